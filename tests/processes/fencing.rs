//! F29, T5, T6: two writers where there should be one, with the directory's lock off. What stops the second is tested by itself: the
//! record of what is durable (no lock, no anchors), and the anchors (two copies of the directory have nothing else in common).
//! The lock by itself is tested in `directory.rs`, the process id in `ledger/installed.rs`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use sigchain::directory::Directory;
use sigchain::disk;
use sigchain::verify::Verifier;

use crate::processes::{Process, Way, dir, tell};
use crate::support::{Random, rounds};

impl Process {
    /// Stops it wherever it is, and waits until every thread of it stands.
    fn pause(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        let stands = |task: &Path| {
            let stat = fs::read_to_string(task.join("stat")).unwrap();
            stat.rsplit_once(')').unwrap().1.trim_start().starts_with('T')
        };
        while !fs::read_dir(&tasks).unwrap().all(|task| stands(&task.unwrap().path())) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn go_on(&self) {
        self.signal(Signal::CONT);
    }
}

/// The chain is sound, and has all of these.
#[track_caller]
fn has_all(way: &Way, receipts: &[(u64, String)]) {
    let view = Directory::view(disk::open_to_read(&way.path).unwrap()).unwrap();
    let report = Verifier::new().open_ended(true).unique(true).run(view.stream().unwrap()).unwrap();
    assert_eq!(report.faults, Vec::new());
    assert_eq!(report.entries, view.entries());
    let ledger = way.open().unwrap();
    for (sequence, digest) in receipts {
        let entry = ledger.entry(*sequence).unwrap().unwrap();
        assert_eq!(entry.entry(&ledger.chain_id()).digest().to_string(), *digest, "{sequence}");
    }
}

fn is_told(answer: &str) {
    assert!(answer.contains("another writer"), "{answer}");
}

/// One round: a writer is paused while another takes over, and maybe ends. Says how the first learned of it.
///
/// It is paused between two appends. In the midst of one it may have looked at the record already: then only the lock would have kept it
/// from writing.
fn takes_over(way: &Way, random: &mut Random) -> String {
    let (mut old, mut new) = (Process::new(), Process::new());
    old.expect(&format!("create {}", way.words()), "opened 0");
    let count = 1 + random.next() % 9;
    let (mut receipts, done) = old.append(count);
    assert_eq!(done, "done");
    old.pause();
    new.expect(&format!("open {}", way.words()), "opened ");
    let (more, done) = new.append(5);
    assert_eq!((more.len(), done.as_str()), (5, "done"));
    receipts.extend(more);
    let is_closed = random.next().is_multiple_of(2);
    if is_closed {
        new.expect("close", "closed ");
    }
    old.go_on();
    let (more, told) = old.append(1);
    assert_eq!(more, []);
    is_told(&told);
    // It does not come back, and what it leaves is the other's.
    assert_eq!(old.append(1).0, []);
    old.expect("close", "unclosed ");
    if !is_closed {
        let (more, done) = new.append(5);
        assert_eq!((more.len(), done.as_str()), (5, "done"));
        receipts.extend(more);
        new.expect("close", "closed ");
    }
    let mut next = Process::new();
    next.expect(&format!("open {}", way.words()), "opened ");
    let (more, done) = next.append(2);
    assert_eq!((more.len(), done.as_str()), (2, "done"));
    receipts.extend(more);
    next.expect("close", "closed ");
    has_all(way, &receipts);
    told
}

/// [F-record-2]
#[test]
fn a_paused_writer_finds_that_another_took_over() {
    let mut random = Random::new(41);
    let (mut refused, mut uncertain) = (0, 0);
    for round in 0..rounds(12, 1000) {
        let dir = dir();
        let way = Way { locks: false, ..Way::new(&dir.path().join("led")) };
        // Every other time without anchors: then only the record shows it.
        let home = dir.path().join("home");
        let way = if round % 2 == 0 { way } else { way.anchored(&home, "sync") };
        let told = takes_over(&way, &mut random);
        refused += usize::from(told.starts_with("refused"));
        uncertain += usize::from(told.starts_with("uncertain"));
    }
    tell(&format!("paused writers: {refused} refused, {uncertain} uncertain, seed 41"));
}

fn copied(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// The directory is copied while its writer is paused, and the copy written to with the same keys: nothing but the anchors knows.
#[test]
fn of_a_paused_writer_and_one_on_a_copy_one_is_fenced_by_the_anchor() {
    let mut random = Random::new(42);
    let most = 50;
    let mut worst = 0;
    for round in 0..rounds(6, 1000) {
        let dir = dir();
        let (path, home) = (dir.path().join("led"), dir.path().join("home"));
        let fence = if round % 2 == 0 { "sync" } else { "5:20" };
        let way = Way { exposed: most, ..Way::new(&path).anchored(&home, fence) };
        let copy = Way { path: dir.path().join("copy"), ..way.clone() };
        let (mut old, mut new) = (Process::new(), Process::new());
        old.expect(&format!("create {}", way.words()), "opened 0");
        let (before, _) = old.append(1 + random.next() % 10);
        old.pause();
        copied(&path, &copy.path);
        new.expect(&format!("open {}", copy.words()), "opened ");
        let (mut receipts, done) = new.append(12);
        assert_eq!((receipts.len(), done.as_str()), (12, "done"));
        new.expect("close", "closed ");
        old.go_on();
        let (after, told) = old.append(1_000_000);
        is_told(&told);
        let after = u64::try_from(after.len()).unwrap();
        assert!(after <= if fence == "sync" { 0 } else { most + 1 }, "{after} after {fence}");
        worst = worst.max(after);
        old.kill();
        // What the anchor knows goes on; the other is refused from the beginning.
        let stopped = Process::new().ask(&format!("open {}", way.words()));
        assert!(
            stopped.starts_with("stopped LEDGER_BE") && stopped.contains("the anchor knows"),
            "{stopped}"
        );
        receipts.extend(before);
        has_all(&copy, &receipts);
    }
    tell(&format!("paused beside a copy: at most {worst} acknowledged after it, seed 42"));
}

/// The lock by itself, with none of the others: whoever comes second gets nothing, paused or not.
#[test]
fn a_lock_that_works_keeps_the_second_out() {
    let dir = dir();
    let way = Way::new(&dir.path().join("led"));
    let (mut old, mut new) = (Process::new(), Process::new());
    old.expect(&format!("create {}", way.words()), "opened 0");
    old.pause();
    new.expect(&format!("open {}", way.words()), "stopped LEDGER_BUSY");
    old.go_on();
    let (receipts, done) = old.append(3);
    assert_eq!((receipts.len(), done.as_str()), (3, "done"));
    // It goes with its process, however that ends.
    old.pause();
    old.kill();
    new.expect(&format!("open {}", way.words()), "opened 3");
    has_all_after(new, &way, &receipts);
}

fn has_all_after(mut last: Process, way: &Way, receipts: &[(u64, String)]) {
    last.expect("close", "closed ");
    drop(last);
    has_all(way, receipts);
}
