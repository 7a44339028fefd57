//! `sigchain archive`: segments leave, once their archives are safe.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sigchain::digest::Digest;
use sigchain::directory::{Archivable, Directory};
use sigchain::ledger::{Moved, Way};

use crate::args::{self, ArchiveOptions, Asked, Command};
use crate::exit::{REFUSED, UNREADABLE};
use crate::ledger::{of_io, tell, view};
use crate::out::{entries, plural, safe};
use crate::retain::file::{self, About};
use crate::retain::{hold, locked, record};
use crate::trouble::Trouble;
use crate::{extract, input};

pub(crate) fn run(options: &ArchiveOptions) -> Result<u8, Trouble> {
    let path = &options.place.ledger;
    if options.older_than.is_none() && options.leave.is_none() {
        let what = "neither --older-than nor --leave";
        return Err(Trouble::usage(what, "one of them: else nobody said what is old"));
    }
    apart(path, &options.to)?;
    let directory = view(path)?;
    let chosen = choose(&directory, options).map_err(|error| of_io(path, &error))?;
    if options.dry_run {
        for segment in &chosen {
            let last = segment.first.saturating_add(segment.count).saturating_sub(1);
            let (number, bytes) = (segment.ordinal, plural(segment.bytes, "byte"));
            tell(&format!(
                "would leave: segment {number}, entries {} to {last}, {bytes}",
                segment.first
            ));
        }
        tell(&format!("{} would leave", plural(as_u64(chosen.len()), "segment")));
        return Ok(0);
    }
    let folder = options.to.join(directory.chain_id().to_string());
    let mut archives = Vec::new();
    if !chosen.is_empty() {
        make_folder(&folder)?;
    }
    for segment in &chosen {
        archives.push(safe_copy(options, &folder, &directory.chain_id(), segment)?);
    }
    drop(directory);
    let (place, by) = (options.to.to_string_lossy().into_owned(), who());
    let moved = chosen.iter().zip(&archives).map(|(segment, about)| Moved {
        first: segment.first,
        count: segment.count,
        root: about.report.root.unwrap_or(Digest::ZERO),
        file: about.hash,
        place: &place,
        by: &by,
    });
    let moved: Vec<Moved<'_>> = moved.collect();
    if !moved.is_empty() {
        // Before they leave: what is not here any more the chain says, whatever happens next.
        record(path, (&options.signing, &options.files), Way::Out, &moved)?;
    }
    let directory = locked(path)?;
    let failed = |error: std::io::Error| of_io(path, &error);
    directory.finish_retiring().map_err(failed)?;
    for segment in &chosen {
        directory.retire(segment.ordinal).map_err(failed)?;
    }
    let count: u64 = chosen.iter().map(|segment| segment.count).sum();
    let segments = plural(as_u64(chosen.len()), "segment");
    tell(&format!(
        "archived {segments}, {}, in \"{}\"",
        entries(count),
        safe(&folder.to_string_lossy())
    ));
    Ok(0)
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Who calls, as the system numbers users: that is not for the environment to say.
pub(super) fn who() -> String {
    format!("uid-{}", rustix::process::getuid().as_raw())
}

/// Refuses a place within the ledger: it would go where the ledger goes.
fn apart(ledger: &Path, to: &Path) -> Result<(), Trouble> {
    let real = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        path.ancestors()
            .find_map(|above| Some(above.canonicalize().ok()?.join(path.strip_prefix(above).ok()?)))
    };
    match (real(ledger), real(to)) {
        (Some(ledger), Some(to)) if to.starts_with(&ledger) => {
            let what = format!("--to \"{}\" lies within the ledger", to.display());
            Err(Trouble::usage(what, "a place that stays when the ledger is gone"))
        }
        _ => Ok(()),
    }
}

/// Since 1970.
#[expect(clippy::disallowed_methods, reason = "how old an entry is the wall clock says")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The segments that are to leave.
fn choose(directory: &Directory, options: &ArchiveOptions) -> std::io::Result<Vec<Archivable>> {
    let now = now();
    let holds = hold::all(directory)?;
    let mut kept: u64 = directory.segments()?.iter().map(|(_, bytes, _)| *bytes).sum();
    let mut chosen = Vec::new();
    for segment in directory.archivable()? {
        let last = u64::try_from(segment.last.micros()).unwrap_or(0);
        let age = now.saturating_sub(Duration::from_micros(last));
        let is_young = options.older_than.is_some_and(|least| age < least);
        if is_young || options.leave.is_some_and(|most| kept <= most) {
            break;
        }
        let last = segment.first.saturating_add(segment.count).saturating_sub(1);
        if let Some(hold) = holds.iter().find(|hold| hold.keeps(segment.first, last)) {
            tell(&format!(
                "segment {} stays, and all behind it: {}",
                segment.ordinal,
                hold.words()
            ));
            break;
        }
        kept = kept.saturating_sub(segment.bytes);
        chosen.push(segment);
    }
    Ok(chosen)
}

fn make_folder(folder: &Path) -> Result<(), Trouble> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.and_then(|()| sync(folder)).map_err(|error| not_written(folder, &error))
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn not_written(path: &Path, error: &std::io::Error) -> Trouble {
    let what = format!("cannot write \"{}\": {error}", path.display());
    let next = "see to it, and run it again: what has not left yet stays in the ledger";
    Trouble::of_ledger(UNREADABLE, what, "a place for archives", next)
        .coded(sigchain::disk::code_of(error))
}

/// Makes the archive of a segment and reads it back; or takes the one that an attempt has made.
fn safe_copy(
    options: &ArchiveOptions,
    folder: &Path,
    chain_id: &Digest,
    segment: &Archivable,
) -> Result<About, Trouble> {
    let last = segment.first.saturating_add(segment.count).saturating_sub(1);
    let to = folder.join(file::name(segment.first, last));
    let failed = |error: std::io::Error| not_written(&to, &error);
    if !to.exists() {
        let raw = to.with_extension("raw");
        file::remove(&raw).map_err(failed)?;
        let made = export(options, &raw, (segment.first, last))
            .and_then(|()| file::compress(&raw, &to).map_err(failed));
        file::remove(&raw).map_err(failed)?;
        made?;
        // Looked at before it has its name: whatever has that is whole.
        look(&file::part(&to), chain_id, segment)?;
        fs::rename(file::part(&to), &to).and_then(|()| sync(folder)).map_err(failed)?;
    }
    look(&to, chain_id, segment)
}

/// Verifies an archive as it is on disk, and that it has all of a segment.
fn look(path: &Path, chain_id: &Digest, segment: &Archivable) -> Result<About, Trouble> {
    let mut next = segment.first;
    let end = segment.first.saturating_add(segment.count);
    let about = file::read(path, &mut |written| {
        if written.fields.sequence == next && next < end {
            next = next.saturating_add(1);
        }
    })?;
    if about.report.chain_id == Some(*chain_id) && next == end && about.report.gaps.are_proven() {
        return Ok(about);
    }
    let called = input::name(path);
    let what = format!(
        "ARCHIVE_DIFFERS: \"{called}\" is no whole archive of entries {} on",
        segment.first
    );
    let next = "move it away, see who wrote there, and run it again: nothing has left the ledger";
    Err(Trouble::of_ledger(REFUSED, what, "an archive of this segment", next)
        .coded("ARCHIVE_DIFFERS"))
}

/// What `sigchain export --since --until --sign` makes.
fn export(options: &ArchiveOptions, to: &Path, (first, last): (u64, u64)) -> Result<(), Trouble> {
    let (first, last) = (first.to_string(), last.to_string());
    let mut words: Vec<std::ffi::OsString> =
        ["sigchain", "export", "--sign", "--since", &first, "--until", &last, "-o"]
            .map(Into::into)
            .to_vec();
    words.push(PathBuf::from(to).into());
    words.push("--".into());
    words.push(options.place.ledger.clone().into());
    match args::parse(words.into_iter())? {
        Asked::Command(Command::Export(mut asked), _) => {
            asked.signing = options.signing.clone();
            extract::export(&asked).map(drop)
        }
        _ => Err(Trouble::usage("an export that is none", "an export")),
    }
}
