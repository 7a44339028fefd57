//! Errors and kills at system calls, by strace; and which calls there are, counted in a run where nothing fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What happens instead of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happens {
    Error(&'static str),
    Kill,
}

/// Something that happens at a call of each thread, counted from 1.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) call: String,
    pub(super) number: usize,
    /// Not only once.
    pub(super) lasts: bool,
    pub(super) happens: Happens,
}

pub(super) const ERRORS: &[&str] =
    &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR", "EMFILE", "ENOMEM"];

/// Calls about files that cannot fail for what a file is, or with which no file is touched.
const OTHER: &[&str] = &["execve", "mmap", "poll", "ppoll", "pipe2", "socketpair", "sendto"];

impl Fault {
    /// What runs a program so that it happens.
    pub(super) fn by(&self, trace: &Path) -> Vec<String> {
        let Self { call, number, lasts, happens } = self;
        let when = match (lasts, happens) {
            (false, _) => number.to_string(),
            // No kernel interrupts a call for ever, and a program that asks again is right.
            (true, Happens::Error("EINTR")) => format!("{number}..{}", number + 20),
            (true, _) => format!("{number}+"),
        };
        let what = match happens {
            Happens::Error(error) => format!("error={error}"),
            Happens::Kill => "signal=SIGKILL".to_owned(),
        };
        strace(trace, call, &["-e".to_owned(), format!("inject={call}:{what}:when={when}")])
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let on = if self.lasts { " and on" } else { "" };
        write!(f, "{:?} at {} number {}{on}", self.happens, self.call, self.number)
    }
}

fn strace(trace: &Path, calls: &str, more: &[String]) -> Vec<String> {
    let mut all: Vec<String> = ["strace", "-f", "-qq", "-e"].map(str::to_owned).into();
    all.push(format!("trace={calls}"));
    all.extend_from_slice(more);
    all.extend(["-o".to_owned(), trace.to_string_lossy().into_owned()]);
    all
}

/// What runs a program so that its calls are written down.
pub(super) fn watching(trace: &Path) -> Vec<String> {
    strace(trace, "%file,%desc", &[])
}

/// The calls about files in what was written down: of the thread that made most of them, those from the first on that came after the
/// program itself had begun, and the last.
pub(super) fn calls(trace: &Path) -> BTreeMap<String, (usize, usize)> {
    let text = fs::read_to_string(trace).unwrap();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut before: BTreeMap<String, usize> = BTreeMap::new();
    let mut has_begun = false;
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, args)) = rest.trim_start().split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        // What loads the program comes first.
        has_begun |= call != "execve" && (args.contains("\"led") || args.contains("/home"));
        if !has_begun {
            *before.entry(call.to_owned()).or_default() += 1;
        }
        *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
    }
    assert!(has_begun, "{text}");
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for ((call, _), count) in counts {
        if OTHER.contains(&call.as_str()) {
            continue;
        }
        // Threads that come later have nothing before: they begin at 1.
        let first = before.get(&call).copied().unwrap_or(0) + 1;
        let last = found.entry(call).or_insert((first, 0));
        last.1 = last.1.max(count);
    }
    found
}

/// Where to write down what strace saw. Gone when it is dropped.
#[derive(Debug)]
pub(super) struct Trace(PathBuf);

impl Trace {
    pub(super) fn new() -> Self {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self(file.keep().unwrap().1)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether what was to happen happened.
    pub(super) fn has_happened(&self) -> bool {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.contains("(INJECTED)") || text.contains("killed by SIGKILL")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}
