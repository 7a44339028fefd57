//! What campaigns on a disk that fails need: a draw, tools, and mounts of their own.

use std::env;
use std::process::{Command, Stdio};

use crate::support::campaign;

pub(super) use crate::support::campaign::{Campaign, part as runs};

/// A small stream of random numbers from the seed.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(salt: u64) -> Self {
        Self(campaign::seed() ^ (salt << 32))
    }

    /// `SplitMix64`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// So many of them in any order; all of them, or a part, under `./torture`.
    pub(super) fn sample<T>(&mut self, mut all: Vec<T>, count: usize) -> Vec<T> {
        for at in (1..all.len()).rev() {
            let other = self.below(u64::try_from(at + 1).unwrap());
            all.swap(at, usize::try_from(other).unwrap());
        }
        let whole = all.len();
        all.truncate(campaign::part(count.min(whole), whole));
        all
    }
}

/// Says that a part was left out, and what it needs.
pub(crate) fn leave_out(what: &str, needs: &str) {
    campaign::say(&format!("torture | LEFT OUT: {what}: needs {needs}"));
}

/// Whether what a campaign needs is here: programs, and as root the right to mount. Says what is missing, and what is left out for it.
pub(crate) fn has(name: &str, tools: &[&str], root: bool) -> bool {
    let works = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let mut missing: Vec<&str> = tools.to_vec();
    missing.retain(|tool| !works(&format!("command -v {tool} || test -c {tool}")));
    let mounts = "unshare --mount --propagation private -- mount -t tmpfs none /tmp";
    if root && !(works("test $(id -u) = 0") && works(mounts)) {
        missing.push("the right to mount");
    }
    if !missing.is_empty() {
        leave_out(name, &missing.join(", "));
    }
    missing.is_empty()
}

const INSIDE: &str = "SIGCHAIN_INSIDE";

/// Whether this process has mounts of its own. If not, the test of this name is run again in one that has them, and has succeeded:
/// so whatever a test mounts is gone with it, however it ends.
pub(super) fn is_inside(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    for line in said.lines().filter(|line| line.starts_with("torture |")) {
        println!("{line}");
    }
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "no test of this name: {said}");
    false
}
