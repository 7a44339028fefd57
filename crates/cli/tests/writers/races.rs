//! T5, F27: many that want to write at once, one by one, and one after the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ledger::support::{Place, empty, place, text};
use crate::writers::{Dice, EVENT, LINE, log, own, rounds, tell};

const PROCESSES: usize = 64;

/// The program behind a shell that waits for a line, so that all can be let go at once.
fn held(place: &Place, args: &[&str]) -> Child {
    let mut command = place.by("sh");
    command
        .args(["-c", "read line; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_sigchain")])
        .args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn let_go(children: &mut [Child]) {
    for child in children {
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

fn said(child: &mut Child) -> String {
    let mut said = String::new();
    child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    said
}

#[test]
fn of_64_that_race_to_open_one_does() {
    let place = place();
    let count = rounds(2, 100);
    for round in 0..count {
        let args = ["append", "led", "--lines", "--actor", "a"];
        let mut children: Vec<_> = (0..PROCESSES).map(|_| held(&place, &args)).collect();
        let_go(&mut children);
        let start = Instant::now();
        while children.len() > 1 {
            assert!(start.elapsed() < Duration::from_secs(60), "{} are there", children.len());
            std::thread::sleep(Duration::from_millis(5));
            children.retain_mut(|child| {
                let Some(status) = child.try_wait().unwrap() else { return true };
                let said = said(child);
                assert_eq!(status.code(), Some(7), "{said}");
                for part in ["LEDGER_BUSY", "another writer holds this ledger", "  next: "] {
                    assert!(said.contains(part), "{said}");
                }
                false
            });
        }
        // The one that is left has it, and writes.
        let winner = &mut children[0];
        writeln!(winner.stdin.as_mut().unwrap(), "{LINE}").unwrap();
        let mut told = String::new();
        BufReader::new(winner.stdout.as_mut().unwrap()).read_line(&mut told).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["ok"], &told["sequence"]), (&true.into(), &(round + 1).into()), "{told}");
        drop(winner.stdin.take());
        assert_eq!(winner.wait().unwrap().code(), Some(0));
    }
    assert_eq!(log(&place).len(), count + 1);
    place.is_intact();
    tell(&format!("{count} races of {PROCESSES} processes to open: one winner in each"));
}

/// The same for a ledger that is not there yet: one chain, and no keys of others.
#[test]
fn of_many_that_race_to_make_a_ledger_one_does() {
    for _ in 0..rounds(2, 100) {
        let place = empty();
        let args = ["init", "led", "--name", "example.org/agents"];
        let mut children: Vec<_> = (0..16).map(|_| held(&place, &args)).collect();
        let_go(&mut children);
        let outputs: Vec<_> = children.into_iter().map(|c| c.wait_with_output().unwrap()).collect();
        let made = outputs.iter().filter(|output| output.status.code() == Some(0)).count();
        let codes: Vec<_> = outputs.iter().map(|output| output.status.code().unwrap()).collect();
        assert_eq!(made, 1, "{codes:?}");
        for output in outputs.iter().filter(|output| output.status.code() != Some(0)) {
            let said = text(output);
            let is_clear = match output.status.code() {
                Some(2) => said.contains("FS_EXISTS"),
                Some(7) => said.contains("LEDGER_BUSY"),
                Some(4) => said.contains("LEDGER_LOST") || said.contains("PLACE_TAKEN"),
                _ => false,
            };
            assert!(is_clear, "{said}");
        }
        let keys = std::fs::read_dir(place.path("home/keys")).unwrap().count();
        assert_eq!(keys, 2, "{codes:?}: the keys of chains that were not made stay behind");
        let output = place.run(&EVENT);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
}

/// 0600 and 0700 whatever the umask says, of the ledger, the keys and the anchors.
#[test]
fn what_init_makes_is_closed_to_others_whatever_the_umask() {
    fn modes(path: &std::path::Path, found: &mut Vec<(bool, u32)>) {
        let about = path.symlink_metadata().unwrap();
        found.push((about.is_dir(), about.permissions().mode() & 0o7777));
        if about.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                modes(&entry.unwrap().path(), found);
            }
        }
    }
    for umask in ["000", "777"] {
        let place = empty();
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let mut command = place.by("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_sigchain"), "init", "led", "--name", "x"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let mut found = Vec::new();
        modes(&place.path("led"), &mut found);
        modes(&place.path("home"), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for (is_dir, mode) in found {
            assert_eq!(mode, if is_dir { 0o700 } else { 0o600 }, "umask {umask}");
        }
    }
}

#[test]
fn all_that_wait_get_their_turn() {
    let place = place();
    let count = rounds(12, 64);
    let args = [&EVENT[..], &["--json", "--wait", "120"]].concat();
    let mut children: Vec<_> = (0..count).map(|_| held(&place, &args)).collect();
    let_go(&mut children);
    let mut sequences = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        sequences.push(told["sequence"].as_u64().unwrap());
    }
    sequences.sort_unstable();
    assert!(sequences.iter().copied().eq(1..=u64::try_from(count).unwrap()), "{sequences:?}");
    assert_eq!(own(&log(&place)), ["chain.genesis"]);
    place.is_intact();
}

#[test]
fn one_shot_appends_add_at_most_three_entries() {
    let place = place();
    let count = rounds(40, 1000);
    for _ in 0..count {
        place.expect(&EVENT, 0, &["recorded"]);
    }
    let log = log(&place);
    let own = own(&log);
    assert!(own.len() <= 3, "{own:?}");
    assert_eq!(log.len(), count + own.len());
    let status = place.status();
    assert_eq!(status["segments"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["seal"]["epoch"], 0);
    place.is_intact();
    tell(&format!("{count} one-shot appends: {} entries of the ledger's own", own.len()));
}

/// Every outcome is a receipt, and they are of these sequences, one after the other.
#[track_caller]
fn follow(outcomes: &[Value], from: u64) -> u64 {
    for (outcome, sequence) in outcomes.iter().zip(from..) {
        assert_eq!((&outcome["ok"], &outcome["sequence"]), (&true.into(), &sequence.into()));
    }
    from + u64::try_from(outcomes.len()).unwrap()
}

/// A deployment: the new process is there and waits while the old one drains.
#[test]
fn a_new_process_waits_while_the_old_one_drains() {
    let count = rounds(2, 100);
    let mut dice = Dice(7);
    let mut moved = 0;
    let place = place();
    let (mut old, mut next) = (place.lines(&[]), 1);
    let mut feeder = old.feed(1000);
    for _ in 0..count {
        let mut told: Vec<Value> = (0..100).map(|_| old.outcome().unwrap()).collect();
        let mut new = place.lines(&["--wait", "30"]);
        let feeder_of_new = new.feed(1000);
        let id = old.child.id();
        let reader = std::thread::spawn(move || {
            let outcomes: Vec<Value> = old.outcomes();
            (outcomes, old.end())
        });
        // It asks for the lock, and the old one is at any point of its work.
        std::thread::sleep(dice.millis(200));
        new_is_waiting(&mut new.child);
        let sent = Command::new("kill").args(["-TERM", &id.to_string()]).status().unwrap();
        assert!(sent.success());
        let (more, status) = reader.join().unwrap();
        assert_eq!(status.code(), Some(0));
        feeder.join().unwrap();
        told.extend(more);
        next = follow(&told, next);
        moved += told.len();
        (old, feeder) = (new, feeder_of_new);
    }
    let first: Vec<Value> = (0..50).map(|_| old.outcome().unwrap()).collect();
    next = follow(&first, next);
    old.signal("TERM");
    let rest = old.outcomes();
    next = follow(&rest, next);
    assert_eq!(old.end().code(), Some(0));
    feeder.join().unwrap();
    let log = log(&place);
    assert_eq!(u64::try_from(log.len()).unwrap(), next, "each that is there was told");
    assert_eq!(own(&log), ["chain.genesis"], "no epoch: each was closed");
    assert_eq!(place.status()["seal"]["epoch"], 0);
    place.is_intact();
    tell(&format!("{count} deployments overlapped under load, {moved} entries, none lost"));
}

fn new_is_waiting(child: &mut Child) {
    assert!(child.try_wait().unwrap().is_none(), "it waits");
}
