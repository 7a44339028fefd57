//! `sigchain restore`: archived segments come back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sigchain::digest::Digest;
use sigchain::directory::Directory;
use sigchain::frame::{Gap, Written};
use sigchain::ledger::{Moved, Way};

use crate::args::RestoreOptions;
use crate::exit::{NO, REFUSED};
use crate::input::{self, cannot_read};
use crate::ledger::{of_io, tell};
use crate::out::{entries, plural, safe};
use crate::retain::file::{self, About};
use crate::retain::out::who;
use crate::retain::{locked, record};
use crate::trouble::Trouble;

/// The gaps of each stand-in.
type Missing = BTreeMap<u64, Vec<Gap>>;

/// What has come back.
struct Back {
    first: u64,
    count: u64,
    about: About,
    from: String,
}

pub(crate) fn run(options: &RestoreOptions) -> Result<u8, Trouble> {
    let path = &options.place.ledger;
    let failed = |error: io::Error| of_io(path, &error);
    let directory = locked(path)?;
    let mut missing = Missing::new();
    for (ordinal, gap) in directory.archived().map_err(failed)? {
        missing.entry(ordinal).or_default().push(gap);
    }
    if missing.is_empty() {
        tell("nothing of this ledger is archived");
        return Ok(0);
    }
    let mut back = Vec::new();
    for archive in archives(options, &directory.chain_id())? {
        take(&directory, &archive, &mut missing, &mut back)?;
    }
    drop(directory);
    let by = who();
    let moved: Vec<Moved<'_>> = back.iter().map(|back| moved(back, &by)).collect();
    if !moved.is_empty() {
        record(path, (&options.signing, &options.files), Way::Back, &moved)?;
    }
    let count: u64 = back.iter().map(|back| back.count).sum();
    let from = plural(u64::try_from(back.len()).unwrap_or(u64::MAX), "archive");
    tell(&format!("brought {} back from {from}", entries(count)));
    let Some(gap) = missing.values().flatten().next() else { return Ok(0) };
    let what = format!("entries from {} on are in none of these archives", gap.first);
    Err(Trouble::of_ledger(
        NO,
        what,
        "the archives of all that left",
        "give those that are missing too",
    ))
}

fn moved<'b>(back: &'b Back, by: &'b str) -> Moved<'b> {
    Moved {
        first: back.first,
        count: back.count,
        root: back.about.report.root.unwrap_or(Digest::ZERO),
        file: back.about.hash,
        place: &back.from,
        by,
    }
}

/// The archives that were named.
fn archives(options: &RestoreOptions, chain_id: &Digest) -> Result<Vec<PathBuf>, Trouble> {
    let mut all = Vec::new();
    for from in &options.from {
        if !input::about(from)?.is_dir() {
            all.push(from.clone());
            continue;
        }
        let own = from.join(chain_id.to_string());
        let folder: &Path = if own.is_dir() { &own } else { from };
        let failed = |error: io::Error| cannot_read(&input::name(folder), &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.to_string_lossy();
            if name.ends_with(".sigchain.zst") || name.ends_with(".sigchain") {
                names.push(path);
            }
        }
        names.sort();
        all.extend(names);
    }
    Ok(all)
}

/// Takes what is missing and in this archive. It is verified first, and read again for what it has: of a segment at a time.
fn take(
    directory: &Directory,
    archive: &Path,
    missing: &mut Missing,
    back: &mut Vec<Back>,
) -> Result<(), Trouble> {
    let mut found: Vec<Written<'static>> = Vec::new();
    let is_missing = |sequence: u64| {
        missing.values().flatten().any(|gap| (gap.first..gap.end()).contains(&sequence))
    };
    let about = file::read(archive, &mut |written| {
        if is_missing(written.fields.sequence) {
            found.push(written.clone().into_owned());
        }
    })?;
    let called = safe(&input::name(archive));
    if about.report.chain_id != Some(directory.chain_id()) {
        let what = format!("ARCHIVE_DIFFERS: \"{called}\" is of another chain");
        let next = "give the archives of this ledger; nothing of this one came back";
        return Err(Trouble::of_ledger(REFUSED, what, "an archive of this chain", next)
            .coded("ARCHIVE_DIFFERS"));
    }
    let has = |gap: &Gap| {
        let within = |w: &&Written<'_>| (gap.first..gap.end()).contains(&w.fields.sequence);
        u64::try_from(found.iter().filter(within).count()).is_ok_and(|count| count == gap.count)
    };
    let whole: Vec<u64> = missing
        .iter()
        .filter(|(_, gaps)| gaps.iter().all(has))
        .map(|(ordinal, _)| *ordinal)
        .collect();
    let mut about = Some(about);
    for ordinal in whole {
        let gaps = missing.remove(&ordinal).unwrap_or_default();
        let within = |w: &&Written<'static>| {
            gaps.iter().any(|gap| (gap.first..gap.end()).contains(&w.fields.sequence))
        };
        let mut entries = found.iter().filter(within).map(|written| Ok(written.clone()));
        directory.bring_back(ordinal, &mut entries).map_err(|error| {
            let what = format!("ARCHIVE_DIFFERS: \"{called}\": {error}");
            let next = "take the archive from another copy; nothing of this one came back";
            Trouble::of_ledger(REFUSED, what, "the entries that left", next)
                .coded("ARCHIVE_DIFFERS")
        })?;
        let first = gaps.first().map_or(0, |gap| gap.first);
        let count = gaps.iter().map(|gap| gap.count).sum();
        if let Some(about) = about.take() {
            back.push(Back { first, count, about, from: archive.to_string_lossy().into_owned() });
        } else if let Some(last) = back.last_mut() {
            last.count = last.count.saturating_add(count);
        }
    }
    Ok(())
}
