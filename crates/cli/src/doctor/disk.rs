//! The disk: what kind of file system, how much room, how long a sync takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, process};

use rustix::fs::statvfs;
use sigchain::disk::{self, Lenience};

use crate::doctor::Findings;
use crate::out::grouped;

/// Syncs that are measured.
const SYNCS: usize = 20;
/// Bytes that are written before each.
const BLOCK: usize = 4096;
/// Slower than this, one who waits for each receipt will notice.
const SLOW: Duration = Duration::from_millis(20);
/// Faster than this no disk is.
const TOO_FAST: Duration = Duration::from_micros(10);
/// Less room than this is soon used up: a few segments.
const LITTLE: u64 = 1 << 30;
/// The reserve of a ledger, and a segment.
const HARDLY_ANY: u64 = 80 << 20;

pub(super) fn look(findings: &mut Findings, ledger: Option<&Path>) {
    let place = match ledger {
        Some(path) => parent(path),
        None => env::temp_dir(),
    };
    if let Some(path) = ledger.filter(|path| path.is_dir()) {
        kind(findings, path);
        room(findings, path);
    }
    sync(findings, &place);
}

fn parent(path: &Path) -> PathBuf {
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let parent = absolute.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// The file system, by the rules that a ledger keeps when it is opened.
fn kind(findings: &mut Findings, path: &Path) {
    let name = mounted(path).map_or(String::new(), |name| format!("{name}: "));
    match disk::open(path, Lenience::default()) {
        Ok(_) => findings
            .ok("file system", format!("{name}a disk of this machine, as far as can be seen")),
        Err(error) => match disk::code_of(&error) {
            code @ ("FS_NETWORK" | "FS_MEMORY") => {
                findings.bad(
                    "file system",
                    format!("{name}{code}: {error}"),
                    "put the ledger on a disk of this machine",
                );
            }
            // Whose it is and who may read it has a line of its own.
            _ => findings
                .ok("file system", format!("{name}a disk of this machine, as far as can be seen")),
        },
    }
}

/// What is mounted there, by its kind and where from.
fn mounted(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let (before, after) = line.split_once(" - ")?;
        let place = before.split(' ').nth(4)?.replace("\\040", " ");
        let kind = after.split(' ').next()?;
        let is_nearer = best.as_ref().is_none_or(|(length, _)| place.len() >= *length);
        if path.starts_with(&place) && is_nearer {
            best = Some((place.len(), kind.to_owned()));
        }
    }
    best.map(|(_, kind)| kind)
}

fn room(findings: &mut Findings, path: &Path) {
    let Ok(about) = statvfs(path) else { return };
    let bytes = about.f_bavail.saturating_mul(about.f_frsize);
    let (room, files) = (format!("{} MB free", grouped(bytes / 1_000_000)), about.f_favail);
    // A file system that makes them as they are needed says 0 of 0.
    if about.f_files > 0 && files < 64 {
        findings.bad(
            "room",
            format!("{room}, and {files} files more can be made"),
            "remove files there",
        );
    } else if bytes < HARDLY_ANY {
        findings.bad("room", room, "make room: soon events are refused");
    } else if bytes < LITTLE {
        findings.note("room", room, "make room before it is used up");
    } else {
        findings.ok("room", room);
    }
}

/// How long writing 4 KiB and making sure of it takes, as the median of twenty.
fn sync(findings: &mut Findings, place: &Path) {
    let shown = place.display();
    let (median, worst) = match measure(place) {
        Ok(times) => times,
        Err(error) => {
            let what = format!("not measured: nothing can be written in \"{shown}\": {error}");
            findings.note("sync", what, "call it as the user who writes the ledger");
            return;
        }
    };
    let times = format!(
        "4 KiB written and synced in {}, at worst {}, in \"{shown}\"",
        words(median),
        words(worst)
    );
    if median > SLOW {
        findings.note(
            "sync",
            times,
            "a slow disk: record in batches or with tickets, or use another one",
        );
    } else if median < TOO_FAST {
        findings.note(
            "sync",
            times,
            "too fast for a disk: does it keep what it says through a power cut?",
        );
    } else {
        findings.ok("sync", times);
    }
}

fn words(time: Duration) -> String {
    let micros = time.as_micros();
    if micros >= 10_000 { format!("{} ms", micros / 1000) } else { format!("{micros} us") }
}

/// A file that is gone when this is.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Its name is this process's own.
        let _ = fs::remove_file(&self.path);
    }
}

fn measure(place: &Path) -> io::Result<(Duration, Duration)> {
    let path = place.join(format!(".sigchain-doctor.{}", process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let mut scratch = Scratch { file, path };
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        scratch.file.write_all(&[0; BLOCK])?;
        scratch.file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let median = times.get(SYNCS / 2).copied().unwrap_or_default();
    Ok((median, times.last().copied().unwrap_or_default()))
}
