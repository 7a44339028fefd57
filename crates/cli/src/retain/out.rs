//! `sigchain archive`: segments leave, once their archives are safe.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use sigchain::digest::Digest;
use sigchain::directory::{Archivable, Directory};
use sigchain::ledger::{Moved, Way};

use crate::args::{self, ArchiveOptions, Asked, Command};
use crate::exit::{REFUSED, UNREADABLE};
use crate::json;
use crate::ledger::{of_io, tell, view};
use crate::out::{self, entries, plural, safe};
use crate::retain::file::{self, About};
use crate::retain::hold::{self, Hold};
use crate::retain::{locked, record};
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
    let failed = |error: std::io::Error| of_io(path, &error);
    let (mut chosen, mut kept) = choose(&directory, options).map_err(failed)?;
    let first_kept = kept.clone();
    told(options, kept.as_ref());
    if options.dry_run {
        return would(options, &chosen, kept.as_ref());
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
    if !chosen.is_empty() {
        say(options, &mut chosen, &mut kept, &archives)?;
    }
    let directory = locked(path)?;
    // Nobody records anything from here on. What is held by now stays, though the chain says already that it was about to leave.
    stay(&directory, &mut chosen, &mut kept).map_err(failed)?;
    archives.truncate(chosen.len());
    directory.finish_retiring().map_err(failed)?;
    for segment in &chosen {
        directory.retire(segment.ordinal).map_err(failed)?;
    }
    if options.json {
        return out::print(&render(options, &chosen, &archives, kept.as_ref())?).map(|()| 0);
    }
    if first_kept.map(|(segment, _)| segment) != kept.as_ref().map(|(segment, _)| *segment) {
        told(options, kept.as_ref());
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

/// Says what stays because it is held.
fn told(options: &ArchiveOptions, kept: Option<&(u64, Hold)>) {
    if let Some((segment, hold)) = kept.filter(|_| !options.json) {
        tell(&format!("segment {segment} stays, and all behind it: {}", hold.words()));
    }
}

/// Puts on record what is about to leave, before it does: what is not here any more the chain says, whatever happens next. Archives take
/// their time, and others record meanwhile: what is held once the ledger is ours is not about to leave.
fn say(
    options: &ArchiveOptions,
    chosen: &mut Vec<Archivable>,
    kept: &mut Option<(u64, Hold)>,
    archives: &[(PathBuf, About)],
) -> Result<(), Trouble> {
    let path = &options.place.ledger;
    let (place, by) = (options.to.to_string_lossy().into_owned(), who());
    record(path, (&options.signing, &options.files), Way::Out, || {
        stay(&view(path)?, chosen, kept).map_err(|error| of_io(path, &error))?;
        let moved = chosen.iter().zip(archives).map(|(segment, (_, about))| Moved {
            first: segment.first,
            count: segment.count,
            root: about.report.root.unwrap_or(Digest::ZERO),
            file: about.hash,
            place: &place,
            by: &by,
        });
        Ok(moved.collect())
    })
}

/// Leaves out what is held by now, and all behind it.
fn stay(
    directory: &Directory,
    chosen: &mut Vec<Archivable>,
    kept: &mut Option<(u64, Hold)>,
) -> std::io::Result<()> {
    let holds = hold::all(directory)?;
    let found = chosen.iter().enumerate().find_map(|(at, segment)| {
        let hold = holds.iter().find(|hold| hold.keeps(segment.first, last(segment)))?;
        Some((at, segment.ordinal, hold.clone()))
    });
    if let Some((at, ordinal, hold)) = found {
        chosen.truncate(at);
        *kept = Some((ordinal, hold));
    }
    Ok(())
}

/// Says what would leave.
fn would(
    options: &ArchiveOptions,
    chosen: &[Archivable],
    kept: Option<&(u64, Hold)>,
) -> Result<u8, Trouble> {
    if options.json {
        return out::print(&render(options, chosen, &[], kept)?).map(|()| 0);
    }
    for segment in chosen {
        let (number, bytes) = (segment.ordinal, plural(segment.bytes, "byte"));
        let (first, last) = (segment.first, last(segment));
        tell(&format!("would leave: segment {number}, entries {first} to {last}, {bytes}"));
    }
    tell(&format!("{} would leave", plural(as_u64(chosen.len()), "segment")));
    Ok(0)
}

fn render(
    options: &ArchiveOptions,
    chosen: &[Archivable],
    archives: &[(PathBuf, About)],
    kept: Option<&(u64, Hold)>,
) -> Result<String, Trouble> {
    let of = |(at, segment): (usize, &Archivable)| {
        let archive = archives.get(at);
        json!({
            "archive": archive.map(|(path, _)| path.to_string_lossy()),
            "entries": segment.count,
            "first": segment.first,
            "segments": [segment.ordinal],
            "sha256": archive.map(|(_, about)| about.hash.to_string()),
        })
    };
    let moved: Vec<Value> = chosen.iter().enumerate().map(of).collect();
    let held: Vec<Value> = kept.iter().map(|(_, hold)| hold.json()).collect();
    json::render(Map::from_iter([
        ("dry_run".to_owned(), options.dry_run.into()),
        ("exit".to_owned(), 0.into()),
        ("held".to_owned(), held.into()),
        ("missing".to_owned(), Value::Array(Vec::new())),
        ("moved".to_owned(), moved.into()),
        ("way".to_owned(), "out".into()),
    ]))
}

/// The last entry of a segment.
fn last(segment: &Archivable) -> u64 {
    segment.first.saturating_add(segment.count).saturating_sub(1)
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

/// The segments that are to leave; and the first one that stays because it is held, with that.
type Chosen = (Vec<Archivable>, Option<(u64, Hold)>);

/// The segments that are to leave, and the first one that a hold keeps, with that.
fn choose(directory: &Directory, options: &ArchiveOptions) -> std::io::Result<Chosen> {
    let now = now();
    let holds = hold::all(directory)?;
    let mut kept: u64 = directory.segments()?.iter().map(|(_, bytes, _)| *bytes).sum();
    let mut chosen = Vec::new();
    for segment in directory.archivable()? {
        let stamp = u64::try_from(segment.last.micros()).unwrap_or(0);
        let age = now.saturating_sub(Duration::from_micros(stamp));
        let is_young = options.older_than.is_some_and(|least| age < least);
        if is_young || options.leave.is_some_and(|most| kept <= most) {
            break;
        }
        if let Some(hold) = holds.iter().find(|hold| hold.keeps(segment.first, last(&segment))) {
            return Ok((chosen, Some((segment.ordinal, hold.clone()))));
        }
        kept = kept.saturating_sub(segment.bytes);
        chosen.push(segment);
    }
    Ok((chosen, None))
}

fn make_folder(folder: &Path) -> Result<(), Trouble> {
    // Names that are new have to last, too, before a segment goes.
    let above = |path: &Path| path.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let is_new = |path: &&PathBuf| !path.is_dir();
    let new: Vec<PathBuf> = above(&absolute).iter().take_while(is_new).cloned().collect();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&absolute);
    let synced = made.and_then(|()| {
        let last = new.last().unwrap_or(&absolute).parent().map(Path::to_owned);
        new.iter().chain([&absolute]).chain(&last).try_for_each(|path| sync(path))
    });
    synced.map_err(|error| not_written(folder, &error))
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
) -> Result<(PathBuf, About), Trouble> {
    let to = folder.join(file::name(segment.first, last(segment)));
    let failed = |error: std::io::Error| not_written(&to, &error);
    if !to.exists() {
        let raw = to.with_extension("raw");
        file::remove(&raw).map_err(failed)?;
        let made = export(options, &raw, (segment.first, last(segment)))
            .and_then(|()| file::compress(&raw, &to).map_err(failed));
        file::remove(&raw).map_err(failed)?;
        made?;
        // Looked at before it has its name: whatever has that is whole.
        look(&file::part(&to), chain_id, segment)?;
        fs::rename(file::part(&to), &to).and_then(|()| sync(folder)).map_err(failed)?;
    }
    let about = look(&to, chain_id, segment)?;
    Ok((to, about))
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
            extract::silent(&asked)
        }
        _ => Err(Trouble::usage("an export that is none", "an export")),
    }
}
