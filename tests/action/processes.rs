//! A process that acts is killed: before its work, in the midst of it, and behind it. What is left is an open action, or a whole one.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use tempfile::TempDir;

use crate::action::{Broken, call, payload};

const CHILD: &str = "SIGCHAIN_TEST_ACTS";

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn options() -> Options {
    Options::new().files(Files::new().anchors(Vec::new()).wait(Duration::from_secs(10)))
}

fn open(path: &Path) -> Ledger {
    Ledger::open_at(path, Signers::new(key(1), key(2)), options()).unwrap()
}

fn say(what: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{what}").unwrap();
    out.flush().unwrap();
}

/// Not a test: what the process does that is killed. Between its steps it says where it is, and waits.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let ledger = open(Path::new(&path));
    let done = ledger.action(call("slow")).run(|act| {
        act.action(call("within")).run(|_| Ok::<_, Broken>(1)).unwrap();
        say("within");
        std::thread::sleep(Duration::from_millis(30));
        Ok::<_, Broken>(2)
    });
    assert_eq!(done.unwrap(), 2);
    say("done");
    std::thread::sleep(Duration::from_secs(60));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_killed_process_leaves_open_what_it_began() {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("led");
    let genesis = Genesis::new("example.org/actions", key(1)).checkpoints(key(2));
    let ledger = Ledger::create_at(&path, genesis, options()).unwrap();
    ledger.close(Duration::from_secs(5)).unwrap();
    drop(ledger);
    for (moment, expected) in [
        ("within", &["tool.call", "tool.call", "tool.result"][..]),
        ("done", &["tool.call", "tool.call", "tool.result", "tool.result"][..]),
    ] {
        let before = open(&path);
        let first = before.head().sequence + 1;
        before.close(Duration::from_secs(5)).unwrap();
        drop(before);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "action::processes::child", "--nocapture"]).env(CHILD, &path);
        let mut child = Killed(child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let out = BufReader::new(child.0.stdout.take().unwrap());
        let mut lines = out.lines().map(Result::unwrap);
        assert!(lines.any(|line| line == moment), "it ended before {moment}");
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let ledger = open(&path);
        let entries: Vec<_> = (first..=ledger.head().sequence)
            .map(|at| ledger.entry(at).unwrap().unwrap())
            .filter(|written| written.fields.event_type.starts_with("tool."))
            .collect();
        let types: Vec<_> = entries.iter().map(|written| &*written.fields.event_type).collect();
        assert_eq!(types, expected, "{moment}");
        assert_eq!(payload(&entries[0])["tool"], "slow");
        assert_eq!(entries[1].fields.causation_id, Some(entries[0].fields.event_id));
        // What is open can be seen, and closed by whoever knows what came of it.
        let is_closed = entries.iter().any(|written| {
            written.fields.event_type != "tool.call"
                && written.fields.causation_id == Some(entries[0].fields.event_id)
        });
        assert_eq!(is_closed, moment == "done");
        ledger.close(Duration::from_secs(5)).unwrap();
    }
}
