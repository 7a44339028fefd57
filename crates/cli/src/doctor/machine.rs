//! The machine and the user: clock, `$SIGCHAIN_HOME`, how many files may be open.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::{Resource, geteuid, getrlimit};
use sigchain::clock::{Machine, Time as _};
use sigchain::keyfile;

use crate::doctor::Findings;
use crate::ledger::view;
use crate::out::grouped;

/// What a ledger takes: 2020 to 2100, in seconds since 1970.
const YEARS: std::ops::Range<u64> = 1_577_836_800..4_102_444_800;
/// When this was written: a clock before it was never set.
const WRITTEN: u64 = 1_763_000_000;
/// Microseconds that two clocks may be apart after all else was looked at.
const APART: u64 = 20_000;
/// Files that a process needs beside one for each segment.
const SPARE: u64 = 64;

/// Both clocks, when the doctor began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    elapsed: u64,
    wall: i64,
}

impl Clocks {
    pub(super) fn read() -> Self {
        Self { elapsed: Machine.elapsed(), wall: Machine.wall() }
    }
}

/// The wall clock: is the year plausible, has it gone as fast as time since the doctor began, does anybody set it?
pub(super) fn clock(findings: &mut Findings, begun: Clocks) {
    let Clocks { elapsed: begun, wall } = begun;
    let (steady, later) = (Machine.elapsed().saturating_sub(begun) / 1000, Machine.wall());
    let seconds = u64::try_from(wall / 1_000_000).unwrap_or_default();
    if !YEARS.contains(&seconds) || seconds < WRITTEN {
        let what =
            format!("the wall clock shows {seconds} seconds since 1970, which is not the present");
        findings.bad("clock", what, "set it: timedatectl, or chrony");
        return;
    }
    let gone = u64::try_from(later.saturating_sub(wall)).unwrap_or_default();
    if gone.abs_diff(steady) > APART {
        let what = "the wall clock was stepped while it was looked at";
        findings.bad("clock", what, "find out who sets it: each step is recorded in the chain");
        return;
    }
    match synchronized() {
        Some(by) => findings.ok("clock", format!("plausible, and as fast as time; set by {by}")),
        None => findings.note(
            "clock",
            "plausible, and as fast as time; whether anybody sets it is not seen here",
            "run chrony or systemd-timesyncd, unless the host does it",
        ),
    }
}

/// Who keeps the clock, where that can be seen without asking anybody.
fn synchronized() -> Option<&'static str> {
    [
        ("/run/systemd/timesync/synchronized", "systemd-timesyncd"),
        ("/run/chrony/chronyd.pid", "chrony"),
        ("/run/chronyd.pid", "chrony"),
        ("/run/ntpd.pid", "ntpd"),
        ("/var/run/ntpd.pid", "ntpd"),
    ]
    .into_iter()
    .find(|(path, _)| Path::new(path).exists())
    .map(|(_, by)| by)
}

/// The place where keys and anchors are.
pub(super) fn home(findings: &mut Findings) {
    let home = match keyfile::home() {
        Ok(home) => home,
        Err(error) => {
            findings.bad("home", error.to_string(), "set SIGCHAIN_HOME to an absolute path");
            return;
        }
    };
    let shown = home.display();
    let Ok(about) = fs::metadata(&home) else {
        let what = format!("\"{shown}\" is not there yet");
        findings.note("home", what, "sigchain init makes it; or set SIGCHAIN_HOME to where it is");
        return;
    };
    for path in [home.clone(), home.join("keys")] {
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        let (shown, mode) = (path.display(), about.permissions().mode() & 0o7777);
        if about.uid() != geteuid().as_raw() {
            let what = format!("\"{shown}\" belongs to user {}", about.uid());
            findings.bad("home", what, "run as the user whose it is, or chown it");
            return;
        }
        if mode & 0o077 != 0 {
            let what = format!("\"{shown}\" has mode {mode:04o}: others can get at what is in it");
            findings.bad("home", what, format!("chmod 700 '{shown}'"));
            return;
        }
    }
    let mode = about.permissions().mode() & 0o7777;
    findings.ok("home", format!("\"{shown}\", mode {mode:04o}"));
}

/// How many files may be open: a ledger has one for each segment.
pub(super) fn open_files(findings: &mut Findings, path: Option<&Path>) {
    let segments = path.and_then(|path| view(path).ok()?.segments().ok());
    let segments = segments.map_or(0, |segments| u64::try_from(segments.len()).unwrap_or(u64::MAX));
    // The program asks for as many as it may have before it does anything else.
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        findings.ok("open files", "any number");
        return;
    };
    let what =
        format!("{} may be open; the ledger has {} segments", grouped(limit), grouped(segments));
    let needed = segments.saturating_add(SPARE);
    if limit < needed {
        findings.bad("open files", what, "ulimit -Hn, or LimitNOFILE= of the service");
    } else if limit < needed.saturating_mul(2) {
        findings.note(
            "open files",
            what,
            "raise it before there are more: ulimit -Hn, LimitNOFILE=",
        );
    } else {
        findings.ok("open files", what);
    }
}
