//! `sigchain restore`: archived segments come back.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sigchain::digest::Digest;
use sigchain::directory::Directory;
use sigchain::frame::{Gap, Written};
use sigchain::ledger::{Moved, Way};

use crate::args::RestoreOptions;
use crate::exit::{NO, REFUSED};
use crate::input;
use crate::json;
use crate::ledger::{of_io, tell, view};
use crate::out::{self, entries, plural, safe};
use crate::retain::file::{self, About};
use crate::retain::out::who;
use crate::retain::{locked, record};
use crate::trouble::Trouble;

/// The gaps of each stand-in.
type Missing = BTreeMap<u64, Vec<Gap>>;

/// What an archive has of what is missing.
struct Back {
    /// The segments, and the gaps of each.
    segments: Missing,
    about: About,
    archive: PathBuf,
}

impl Back {
    fn first(&self) -> u64 {
        self.segments.values().flatten().map(|gap| gap.first).min().unwrap_or(0)
    }

    fn count(&self) -> u64 {
        self.segments.values().flatten().map(|gap| gap.count).sum()
    }
}

pub(crate) fn run(options: &RestoreOptions) -> Result<u8, Trouble> {
    let path = &options.place.ledger;
    let failed = |error: io::Error| of_io(path, &error);
    let directory = view(path)?;
    let mut missing = Missing::new();
    for (ordinal, gap) in directory.archived().map_err(failed)? {
        missing.entry(ordinal).or_default().push(gap);
    }
    if missing.is_empty() {
        if options.json {
            return out::print(&render(&[], &missing)?).map(|()| 0);
        }
        tell("nothing of this ledger is archived");
        return Ok(0);
    }
    // All of them are looked at before anything is changed.
    let mut back = Vec::new();
    for archive in archives(options, &directory.chain_id())? {
        back.extend(look(&directory, archive, &mut missing)?);
    }
    drop(directory);
    let by = who();
    let places: Vec<_> = back.iter().map(|back| back.archive.to_string_lossy()).collect();
    let moved = back.iter().zip(&places).map(|(back, place)| moved(back, place, &by));
    let moved: Vec<Moved<'_>> = moved.collect();
    if !moved.is_empty() {
        // Before they are back: one who is killed in between does it again, and the chain never has back what it does not say is back.
        record(path, (&options.signing, &options.files), Way::Back, || Ok(moved))?;
        let directory = locked(path)?;
        for back in &back {
            take(&directory, back)?;
        }
    }
    if options.json {
        out::print(&render(&back, &missing)?)?;
    } else {
        let from = plural(u64::try_from(back.len()).unwrap_or(u64::MAX), "archive");
        let count = back.iter().map(Back::count).sum();
        tell(&format!("brought {} back from {from}", entries(count)));
    }
    let Some(gap) = missing.values().flatten().next() else { return Ok(0) };
    if options.json {
        return Ok(NO);
    }
    let what = format!("entries from {} on are in none of these archives", gap.first);
    let next = "give those that are missing too";
    Err(Trouble::of_ledger(NO, what, "the archives of all that left", next))
}

fn moved<'b>(back: &Back, place: &'b str, by: &'b str) -> Moved<'b> {
    Moved {
        first: back.first(),
        count: back.count(),
        root: back.about.report.root.unwrap_or(Digest::ZERO),
        file: back.about.hash,
        place,
        by,
    }
}

fn render(back: &[Back], missing: &Missing) -> Result<String, Trouble> {
    let of = |back: &Back| {
        json!({
            "archive": back.archive.to_string_lossy(),
            "entries": back.count(),
            "first": back.first(),
            "segments": back.segments.keys().collect::<Vec<_>>(),
            "sha256": back.about.hash.to_string(),
        })
    };
    let gap = |gap: &Gap| json!({ "count": gap.count, "first": gap.first });
    let back: Vec<Value> = back.iter().map(of).collect();
    let missing: Vec<Value> = missing.values().flatten().map(gap).collect();
    let exit = if missing.is_empty() { 0 } else { NO };
    json::render(Map::from_iter([
        ("dry_run".to_owned(), false.into()),
        ("exit".to_owned(), exit.into()),
        ("held".to_owned(), Value::Array(Vec::new())),
        ("missing".to_owned(), missing.into()),
        ("moved".to_owned(), back.into()),
        ("way".to_owned(), "back".into()),
    ]))
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
        all.extend(file::within(folder)?);
    }
    Ok(all)
}

/// What is missing and in this archive, which is verified whole. Then it is missing no longer.
fn look(
    directory: &Directory,
    archive: PathBuf,
    missing: &mut Missing,
) -> Result<Option<Back>, Trouble> {
    let (about, found) = wanted(&archive, missing)?;
    let called = safe(&input::name(&archive));
    if about.report.chain_id != Some(directory.chain_id()) {
        let what = format!("ARCHIVE_DIFFERS: \"{called}\" is of another chain");
        let next = "give the archives of this ledger; nothing came back";
        return Err(Trouble::of_ledger(REFUSED, what, "an archive of this chain", next)
            .coded("ARCHIVE_DIFFERS"));
    }
    let has =
        |gap: &Gap| u64::try_from(found.iter().filter(|w| is_in(gap, w)).count()) == Ok(gap.count);
    let whole: Vec<u64> = missing
        .iter()
        .filter(|(_, gaps)| gaps.iter().all(has))
        .map(|(ordinal, _)| *ordinal)
        .collect();
    let mut segments = Missing::new();
    for ordinal in whole {
        let gaps = missing.remove(&ordinal).unwrap_or_default();
        let fits = {
            let mut entries = of(&found, &gaps).map(|written| Ok(written.clone()));
            directory.check_back(ordinal, &mut entries)
        };
        fits.map_err(|error| differs(&called, &error, "nothing came back"))?;
        segments.insert(ordinal, gaps);
    }
    Ok((!segments.is_empty()).then_some(Back { segments, about, archive }))
}

fn differs(called: &str, error: &io::Error, left: &str) -> Trouble {
    let what = format!("ARCHIVE_DIFFERS: \"{called}\": {error}");
    let next = format!("take the archive from another copy, and run it again; {left}");
    Trouble::of_ledger(REFUSED, what, "the entries that left", &next).coded("ARCHIVE_DIFFERS")
}

/// The entries of an archive that are in one of these gaps.
fn wanted(archive: &Path, missing: &Missing) -> Result<(About, Vec<Written<'static>>), Trouble> {
    let mut found = Vec::new();
    let about = file::read(archive, &mut |written| {
        if missing.values().flatten().any(|gap| is_in(gap, written)) {
            found.push(written.clone().into_owned());
        }
    })?;
    Ok((about, found))
}

fn is_in(gap: &Gap, written: &Written<'_>) -> bool {
    (gap.first..gap.end()).contains(&written.fields.sequence)
}

/// Those of some gaps.
fn of<'f>(
    found: &'f [Written<'static>],
    gaps: &'f [Gap],
) -> impl Iterator<Item = &'f Written<'static>> {
    found.iter().filter(|written| gaps.iter().any(|gap| is_in(gap, written)))
}

/// Takes what an archive has, which is read once more: of one archive at a time.
fn take(directory: &Directory, back: &Back) -> Result<(), Trouble> {
    let (_, found) = wanted(&back.archive, &back.segments)?;
    let called = safe(&input::name(&back.archive));
    for (ordinal, gaps) in &back.segments {
        let mut entries = of(&found, gaps).map(|written| Ok(written.clone()));
        let left = "what came back before it stays";
        let done = directory.bring_back(*ordinal, &mut entries);
        done.map_err(|error| differs(&called, &error, left))?;
    }
    Ok(())
}
