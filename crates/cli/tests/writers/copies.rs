//! T3, T6: copies of a ledger that go on, older copies in its place, and a place where it no longer is. What the anchors of this machine
//! show, and what they cannot.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use sigchain::fork::ForkProof;

use crate::ledger::support::{Place, check, place};
use crate::writers::{EVENT, LINE, rounds, tell};

impl Place {
    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.path(from), self.path(to));
        drop(fs::remove_dir_all(&to));
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    }

    fn bytes(&self, ledger: &str) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(self.path(ledger)).unwrap().map(|file| file.unwrap().path());
        let files = files.filter(|path| path.is_file());
        let read = |path: std::path::PathBuf| (path.display().to_string(), fs::read(path).unwrap());
        let mut all: Vec<_> = files.map(read).collect();
        all.sort();
        all
    }
}

fn event(ledger: &str) -> [&str; 6] {
    ["append", ledger, "--type", "a.b", "--actor", "a"]
}

#[test]
fn of_two_copies_the_second_to_write_is_refused() {
    for (one, other) in [("led", "copy"), ("copy", "led")] {
        let place = place();
        place.expect(&EVENT, 0, &[]);
        place.copy("led", "copy");
        place.expect(&event(one), 0, &["entry 2"]);
        let before = place.bytes(other);
        let says = ["LEDGER_BEHIND", "2 entries are here", "3 entries", "quarantined"];
        place.expect(&event(other), 8, &says);
        place.expect(&["append", other, "--lines"], 8, &["LEDGER_QUARANTINED"]);
        assert_eq!(place.bytes(other), before);
        // Whoever reads it is told, too.
        place.expect(&["verify", other], 1, &["anchored on this machine: 3 entries"]);
        place.expect(&event(one), 0, &["entry 3"]);
        place.expect(&["verify", one], 0, &["anchored on this machine: 4 entries"]);
    }
}

/// Both are open at once. The one that anchors second finds the number taken, at the latest when it is closed. [F-fork-1] [F-fork-2]
#[test]
fn of_two_copies_that_are_open_one_is_told() {
    let place = place();
    place.copy("led", "copy");
    let mut one = place.lines(&[]);
    let mut command = place.command(&["append", "copy", "--lines", "--actor", "agent:b"]);
    let mut other = crate::ledger::support::Lines::of(
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped()),
    );
    for _ in 0..3 {
        for lines in [&mut one, &mut other] {
            lines.send(LINE);
            assert_eq!(lines.outcome().unwrap()["ok"], true);
        }
    }
    assert_eq!(one.end().code(), Some(0));
    drop(other.input.take());
    let output = other.child.wait_with_output().unwrap();
    let said = check(&["append", "copy", "--lines"], &output, 6, &[]);
    for part in ["another writer of this chain has anchored 4 entries", "copied, or set back"] {
        assert!(said.contains(part), "{said}");
    }
    // What was anchored is kept beside what was set aside, and proves it against these files.
    let said = place.expect(
        &event("copy"),
        8,
        &["LEDGER_BESIDE", "another branch", "proof-anchor-1.note"],
    );
    let (_, note) = said.split_once("what was anchored is in ").unwrap();
    let note = format!("copy/{}", note.split_once(": ").unwrap().0);
    place.expect(&["verify", "copy", "--checkpoint", &note], 1, &["faulty"]);
    place.expect(&["verify", "led", "--checkpoint", &note], 0, &["intact"]);
    place.expect(&event("led"), 0, &["entry 4"]);
    // The pair is a proof that stands by itself: the ledger halts, and has it.
    let says = ["forked", "have sequence 1", "quarantined", "proof-fork.jsonl"];
    let said = place.expect(&["verify", "led", "--against", "copy"], 1, &says);
    let (_, proof) = said.split_once("directory too: ").unwrap();
    let proof = fs::read(place.path("led").join(proof.lines().next().unwrap())).unwrap();
    ForkProof::parse(&proof).unwrap().verify(&BTreeSet::new()).unwrap();
    place.expect(&event("led"), 8, &["LEDGER_QUARANTINED", "FORK"]);
    place.expect(&["quarantine", "show", "led"], 0, &["FORK", "proof-fork.jsonl"]);
    // Told once more it is the same quarantine; and one that was halted before gets it as a finding.
    let again = place.expect(&["verify", "led", "--against", "copy"], 1, &says);
    assert_eq!(
        again.split_once("quarantined (").unwrap().1,
        said.split_once("quarantined (").unwrap().1
    );
    place.expect(&["verify", "copy", "--against", "led"], 1, &says);
    place.expect(&["quarantine", "show", "copy"], 0, &["finding", "FORK", "proof-fork.jsonl"]);
    let listed = place.expect(&["quarantine", "list", "copy"], 0, &["LEDGER_BESIDE"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

/// The documented limit: another machine has anchors of its own, so both copies go on there. What they wrote shows it afterwards.
#[test]
fn on_another_machine_a_copy_goes_on() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    place.copy("led", "copy");
    fs::create_dir(place.path("home2")).unwrap();
    place.copy("home/keys", "home2/keys");
    let closed = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    fs::set_permissions(place.path("home2"), closed).unwrap();
    place.expect(&EVENT, 0, &["entry 2"]);
    let mut command = place.command(&event("copy"));
    let output = command.env("SIGCHAIN_HOME", place.path("home2")).output().unwrap();
    check(&event("copy"), &output, 0, &["entry 2"]);
    let says = ["forked", "have sequence 2"];
    place.expect(&["verify", "led", "--against", "copy"], 1, &says);
    let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/files.md");
    assert!(fs::read_to_string(spec).unwrap().contains("[F-fence-2]"), "the limit is documented");
}

#[test]
fn a_ledger_that_was_set_back_is_refused() {
    let place = place();
    let count = rounds(5, 100);
    let mut sizes = vec![(1, "old-0".to_owned())];
    place.copy("led", "old-0");
    for number in 1..=count {
        place.expect(&EVENT, 0, &[]);
        let name = format!("old-{number}");
        place.copy("led", &name);
        sizes.push((number + 1, name));
    }
    let (newest, last) = sizes.pop().unwrap();
    for (size, old) in &sizes {
        place.copy(old, "led");
        let before = place.bytes("led");
        let are = if *size == 1 { "entry is" } else { "entries are" };
        let here = format!("{size} {are} here");
        let known = format!("{newest} entries");
        let says = ["LEDGER_BEHIND", &here, &known, "set back, or cut", "bring back"];
        place.expect(&EVENT, 8, &says);
        assert_eq!(place.bytes("led"), before);
        // Nor is the newest one, in the place of one that is quarantined, before somebody has said so.
        place.copy(&last, "led");
        place.expect(&EVENT, 8, &["LEDGER_QUARANTINED"]);
        fs::remove_dir_all(place.path("home/halts")).unwrap();
        place.copy(old, "led");
        place.expect(&["verify", "led"], 1, &[&format!("anchored on this machine: {known}")]);
    }
    place.copy(&last, "led");
    place.expect(&EVENT, 0, &[&format!("entry {newest}")]);
    place.is_intact();
    tell(&format!("{} older copies in its place, all refused", sizes.len()));
}

#[test]
fn where_a_ledger_is_gone_none_is_begun() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    let chain = place.status()["chain_id"].as_str().unwrap().to_owned();
    fs::rename(place.path("led"), place.path("away")).unwrap();
    let name = format!("example.org/agents/{chain}");
    for path in ["led", "./led", "led/"] {
        let args = ["init", path, "--name", "example.org/agents"];
        place.expect(&args, 5, &["LEDGER_LOST", &name, "2 entries", "next: bring it back"]);
    }
    // Another path to the same place.
    std::os::unix::fs::symlink(".", place.path("link")).unwrap();
    place.expect(&["init", "link/led", "--name", "x"], 5, &["LEDGER_LOST"]);
    assert!(!place.path("led").exists());
    assert_eq!(fs::read_dir(place.path("home/keys")).unwrap().count(), 2, "keys are left behind");
    place.expect(&["init", "other", "--name", "x"], 0, &[]);
    fs::rename(place.path("away"), place.path("led")).unwrap();
    place.expect(&EVENT, 0, &["entry 2"]);
}
