//! A ledger with which something is wrong: what halts it, what does not set it going again, and what does.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::ledger::support::{Place, flip, place, text};
use crate::schema;

const QUARANTINED: i32 = 8;

/// A ledger with so many events, its operator's key, and a copy of it beside it.
fn with_copy(events: usize) -> Place {
    let place = crate::ledger::support::empty();
    place.expect(&["key", "new", "--role", "operator", "-o", "operator"], 0, &[]);
    let init = ["init", "led", "--name", "example.org/agents", "--operator", "operator.pub"];
    place.expect(&init, 0, &[]);
    for _ in 0..events {
        append(&place, "led", 0);
    }
    copy(&place.path("led"), &place.path("copy"));
    place
}

#[track_caller]
fn append(place: &Place, ledger: &str, exit: i32) -> String {
    let event = ["--type", "test.call", "--actor", "agent:a", "--payload", "1"];
    place.expect(&[&["append", ledger], &event[..]].concat(), exit, &[])
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}

/// Takes the last bytes of the last segment away.
fn cut(place: &Place, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(place.path("led/segment-0000000000"));
    let file = file.unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

fn put_back(place: &Place) {
    for name in ["segment-0000000000", "durable"] {
        fs::copy(place.path("copy").join(name), place.path("led").join(name)).unwrap();
    }
}

fn quarantine(place: &Place) -> Value {
    let found = place.expect(&["quarantine", "show", "led", "--json"], 0, &[]);
    let found: Value = serde_json::from_str(&found).unwrap();
    schema::check("quarantine show", &found);
    found["quarantines"][0].clone()
}

const RECONCILE: [&str; 5] = ["quarantine", "reconcile", "led", "--note", "from the copy"];

/// [F-halt-1] [F-reconcile-1]
#[test]
fn a_ledger_that_lost_its_end_takes_nothing_until_it_is_back() {
    let place = with_copy(5);
    cut(&place, 600);
    let said = append(&place, "led", QUARANTINED);
    assert!(said.contains("LEDGER_DAMAGED") && said.contains("quarantine"), "{said}");
    let found = quarantine(&place);
    assert_eq!(found["status"], "open");
    assert_eq!(found["discontinuity"]["code"], "LEDGER_DAMAGED");
    assert_eq!(found["discontinuity"]["detector"], "open");
    assert_eq!(found["copies"], serde_json::json!(["copy-durable", "copy-segment-0000000000"]));
    append(&place, "led", QUARANTINED);
    place.expect(&["quarantine", "note", "led", "--by", "human:o", "--note", "looked"], 0, &[]);
    place.expect(&["quarantine", "show", "led"], 0, &["looked", "human:o", "last good: entry 4"]);
    // Reading goes on, and status says how it stands.
    place.expect(&["verify", "led"], 1, &["FRAME_HEAD"]);
    place.expect(&["log", "led"], 1, &["test.call"]);
    let status: Value =
        serde_json::from_str(&place.expect(&["status", "led", "--json"], 0, &[])).unwrap();
    schema::check("status", &status);
    assert_eq!(status["quarantined"], true);
    assert_eq!(status["quarantine"]["id"], found["id"]);
    // Nobody sets it going by saying that it is well.
    place.expect(&RECONCILE, QUARANTINED, &["QUARANTINE_UNPROVED"]);
    put_back(&place);
    place.expect(&["verify", "led"], 0, &["intact"]);
    append(&place, "led", QUARANTINED);
    place.expect(&RECONCILE, 0, &["reconciled by entry 6"]);
    append(&place, "led", 0);
    place.expect(&["verify", "led"], 0, &["intact: 8 entries"]);
    assert_eq!(quarantine(&place)["status"], "reconciled");
    place.expect(&RECONCILE, 1, &["NOT_QUARANTINED"]);
    let entry = place.expect(&["show", "led", "6"], 0, &["quarantine.reconciled"]);
    assert!(entry.contains("quarantine"), "{entry}");
}

/// [F-halt-2] Whatever is done to log and mark, alone.
#[test]
fn a_marker_that_is_removed_changed_or_restored_sets_nothing_going() {
    let place = with_copy(3);
    cut(&place, 600);
    append(&place, "led", QUARANTINED);
    put_back(&place);
    let (log, halts) = (place.path("led/quarantine"), place.path("home/halts"));
    copy(&log, &place.path("kept-log"));
    copy(&halts, &place.path("kept-halts"));
    let restore = || {
        let _ = fs::remove_dir_all(&log);
        let _ = fs::remove_dir_all(&halts);
        copy(&place.path("kept-log"), &log);
        copy(&place.path("kept-halts"), &halts);
    };
    // The log is gone.
    fs::remove_dir_all(&log).unwrap();
    append(&place, "led", QUARANTINED);
    restore();
    // The mark is gone.
    fs::remove_dir_all(&halts).unwrap();
    append(&place, "led", QUARANTINED);
    restore();
    // Each byte of the first record, changed.
    let case = fs::read_dir(&log).unwrap().next().unwrap().unwrap().path();
    let record = case.join("record-0000000000");
    let whole = fs::read(&record).unwrap();
    for at in (0..whole.len()).step_by(37) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&record, &changed).unwrap();
        append(&place, "led", QUARANTINED);
    }
    fs::remove_file(&record).unwrap();
    append(&place, "led", QUARANTINED);
    restore();
    place.expect(&RECONCILE, 0, &[]);
    append(&place, "led", 0);
    // Brought back from a copy, they say what the chain knows to be over.
    restore();
    append(&place, "led", 0);
    assert_eq!(quarantine(&place)["status"], "reconciled");
}

/// A resolution that is only in the log is none.
#[test]
fn a_log_that_says_resolved_is_not_believed() {
    let place = with_copy(3);
    cut(&place, 600);
    append(&place, "led", QUARANTINED);
    let damaged = place.path("damaged");
    copy(&place.path("led"), &damaged);
    put_back(&place);
    place.expect(&RECONCILE, 0, &[]);
    // The files as they were before, with the log as it was after.
    let log = place.path("resolved-log");
    copy(&place.path("led/quarantine"), &log);
    fs::remove_dir_all(place.path("led")).unwrap();
    copy(&place.path("copy"), &place.path("led"));
    copy(&log, &place.path("led/quarantine"));
    append(&place, "led", QUARANTINED);
}

#[test]
fn an_operator_halts_a_ledger_and_the_chain_says_so() {
    let place = with_copy(2);
    place.expect(&["quarantine", "halt", "led", "--note", "broken into"], 0, &["quarantined"]);
    append(&place, "led", QUARANTINED);
    place.expect(&["log", "led", "--all"], 0, &["quarantine.open"]);
    place.expect(&["verify", "led"], 0, &["intact"]);
    assert_eq!(quarantine(&place)["discontinuity"]["detector"], "operator");
    // Without log and mark the chain alone says it.
    let log = place.path("led/quarantine");
    copy(&log, &place.path("kept"));
    fs::remove_dir_all(&log).unwrap();
    fs::remove_dir_all(place.path("home/halts")).unwrap();
    append(&place, "led", QUARANTINED);
    place.expect(&RECONCILE, 0, &["reconciled"]);
    append(&place, "led", 0);
    place.expect(&["verify", "led"], 0, &["intact"]);
    // With the log as it was.
    copy(&place.path("kept"), &log);
    append(&place, "led", 0);
}

/// [F-standin-1] Whatever became of a segment's file, but for the first one, a copy brings it back; and to verify says that it is faulty.
#[test]
fn a_segment_that_is_gone_cut_or_damaged_comes_back_from_a_copy() {
    let place = with_copy(0);
    let line = r#"{"actor": "agent:a", "payload": 1, "type": "test.call"}"#;
    fs::write(place.path("lines"), format!("{line}\n").repeat(40)).unwrap();
    for _ in 0..4 {
        let mut append = place.command(&["append", "led", "--lines", "--segment-bytes", "4096"]);
        let lines = fs::File::open(place.path("lines")).unwrap();
        assert!(append.stdin(lines).output().unwrap().status.success());
    }
    copy(&place.path("home"), &place.path("home-before"));
    fs::remove_dir_all(place.path("copy")).unwrap();
    copy(&place.path("led"), &place.path("copy"));
    let segment = |number: u32| place.path(&format!("led/segment-{number:010}"));
    assert!(segment(4).exists());
    let cut = |number: u32, bytes: u64| {
        let file = fs::OpenOptions::new().write(true).open(segment(number)).unwrap();
        file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
    };
    let damages: [&dyn Fn(); 10] = [
        &|| cut(1, 1),
        &|| cut(1, 300),
        &|| fs::remove_file(segment(1)).unwrap(),
        &|| fs::remove_file(segment(3)).unwrap(),
        &|| fs::remove_file(segment(4)).unwrap(),
        &|| flip(&segment(1), 40),
        &|| flip(&segment(3), 7),
        &|| flip(&segment(4), 69),
        &|| (2..4).for_each(|number| fs::remove_file(segment(number)).unwrap()),
        &|| fs::copy(segment(1), segment(2)).map(drop).unwrap(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        for (from, to) in [("copy", "led"), ("home-before", "home")] {
            fs::remove_dir_all(place.path(to)).unwrap();
            copy(&place.path(from), &place.path(to));
        }
        damage();
        let verified = place.run(&["verify", "led"]);
        assert_eq!(verified.status.code(), Some(1), "{number}: {}", text(&verified));
        append(&place, "led", QUARANTINED);
        place.expect(&["doctor", "led"], 1, &[]);
        let words = ["quarantine", "reconcile", "led", "--from", "copy", "--note", "from the copy"];
        place.expect(&words, 0, &["reconciled"]);
        place.expect(&["verify", "led"], 0, &["intact: 16"]);
        append(&place, "led", 0);
    }
    // Of the first one nobody can say whose chain it is.
    fs::remove_file(segment(0)).unwrap();
    place.expect(&["verify", "led"], 1, &["is faulty"]);
}

#[test]
fn a_doctor_says_that_a_ledger_is_quarantined() {
    let place = with_copy(1);
    place.expect(&["quarantine", "halt", "led", "--note", "broken into"], 0, &[]);
    place.expect(&["doctor", "led"], 1, &["bad   quarantine", "broken into"]);
}

/// Recorded, and nobody heard it: whoever did it again would have it twice.
#[test]
fn a_receipt_that_cannot_be_written_says_so() {
    let place = with_copy(0);
    for json in [&["--json"][..], &[]] {
        let event =
            ["append", "led", "--type", "test.call", "--actor", "agent:a", "--payload", "1"];
        let mut append = place.command(&[&event[..], json].concat());
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = append.stdout(full).output().unwrap();
        crate::ledger::support::check(json, &output, 6, &["append it again"]);
    }
    place.expect(&["log", "led"], 0, &["test.call"]);
}

/// What this machine has anchored is asked for unasked: a state of long ago is right, and not what was asked for.
#[test]
fn a_ledger_that_was_set_back_has_no_head_to_replay() {
    let place = with_copy(2);
    append(&place, "led", 0);
    let said = place.expect(&["replay", "led"], 0, &["up to entry 3", "anchored to checkpoint"]);
    assert!(!said.contains("unvouched"), "{said}");
    fs::remove_dir_all(place.path("led")).unwrap();
    copy(&place.path("copy"), &place.path("led"));
    place.expect(&["replay", "led"], 1, &["ANCHOR_AHEAD", "--until 2"]);
    place.expect(&["replay", "led", "--until", "2"], 1, &["up to entry 2", "ANCHOR_AHEAD"]);
    // Where nothing is anchored it is a ledger like any other, and nobody vouches for it.
    fs::remove_dir_all(place.path("home/anchors")).unwrap();
    place.expect(&["replay", "led"], 3, &["unvouched"]);
}

/// A source may be as long as it likes: what is behind the last segment that is here goes through memory, and does not stay in it.
#[test]
fn an_end_that_is_long_is_brought_back_in_little_memory() {
    let place = with_copy(0);
    let line = serde_json::json!({"actor": "agent:a", "payload": "x".repeat(1 << 20), "type": "test.call"});
    let lines = format!("{line}\n").repeat(300);
    fs::write(place.path("lines"), lines).unwrap();
    let mut append = place.command(&["append", "led", "--lines"]);
    let output = append.stdin(fs::File::open(place.path("lines")).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    fs::remove_dir_all(place.path("copy")).unwrap();
    copy(&place.path("led"), &place.path("copy"));
    for number in 1..5 {
        fs::remove_file(place.path(&format!("led/segment-{number:010}"))).unwrap();
    }
    fs::remove_file(place.path("led/durable")).unwrap();
    self::append(&place, "led", QUARANTINED);
    // 300 MiB are missing; the program may have half of that, its stacks included.
    let script = "ulimit -d 153600 && exec \"$@\"";
    let program = env!("CARGO_BIN_EXE_sigchain");
    let words = ["-c", script, "sh", program, "quarantine", "reconcile", "led", "--from", "copy"];
    let output = place.by("sh").args(words).args(["--note", "lost"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    self::append(&place, "led", 0);
    place.expect(&["verify", "led"], 0, &["intact: 30"]);
}

/// Of the successor and the chain that it goes on from.
fn is_one_history(place: &Place) {
    // The two are one history: what was dismissed is no fault of it.
    let report = place.run(&["verify", "goes-on", "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    schema::check("verify", &report);
    assert_eq!((&report["line"][0]["sound"], &report["exit"]), (&true.into(), &0.into()));
    place.expect(&["verify", "goes-on"], 0, &["continues chain", "sound up to there", "lost"]);
    let alone = place.expect(&["verify", "goes-on", "--alone"], 0, &["was not looked at"]);
    assert!(!alone.contains("sound up to there"), "{alone}");
    let log = place.expect(&["log", "goes-on", "--all"], 0, &["goes on from"]);
    assert_eq!(log.lines().filter(|line| line.starts_with("chain ")).count(), 2, "{log}");
    assert_eq!(log.matches("chain.genesis").count(), 2, "{log}");
    let alone = place.expect(&["log", "goes-on", "--all", "--alone"], 0, &[]);
    assert_eq!(alone.matches("chain.genesis").count(), 1, "{alone}");
    let since = place.expect(&["log", "goes-on", "--since", "0"], 0, &[]);
    assert!(!since.contains("goes on from"), "{since}");
    let log = place.run(&["log", "goes-on", "--all", "--json"]);
    let log = String::from_utf8(log.stdout).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"chain_id\"")).count(), 2, "{log}");
    // As files, one for each chain.
    place.expect(
        &["export", "goes-on", "--with-predecessors", "-o", "line"],
        0,
        &["one history, of 2 chains"],
    );
    place.expect(
        &["export", "goes-on", "--with-predecessors", "-o", "line"],
        2,
        &["exists already"],
    );
    let mut files: Vec<_> =
        fs::read_dir(place.path("line")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let [first, last] = files.as_slice() else { panic!("{files:?}") };
    let (first, last) = (first.to_str().unwrap(), last.to_str().unwrap());
    place.expect(&["verify", first, "--allow-self-asserted"], 0, &[]);
    let said = place.expect(&["replay", last, "--predecessor", first], 3, &["6 entries"]);
    assert!(!said.contains("FAULT"), "{said}");
    // What the successor states is what has to be there.
    copy(&place.path("led"), &place.path("kept"));
    flip(&place.path("led/segment-0000000000"), 1100);
    place.expect(&["verify", "goes-on"], 1, &["FAULTY", "continues chain"]);
    place.expect(&["log", "goes-on"], 1, &["--alone"]);
    place.expect(
        &["export", "goes-on", "--with-predecessors", "-o", "none"],
        1,
        &["nothing was written"],
    );
    assert!(!place.path("none").exists() && !place.path("none.part").exists());
    fs::remove_dir_all(place.path("led")).unwrap();
    place.expect(&["verify", "goes-on"], 0, &["not where it was"]);
    place.expect(&["log", "goes-on"], 0, &["is not where it was: not shown"]);
    copy(&place.path("kept"), &place.path("led"));
}

/// [F-dismiss-1] [F-dismiss-2] [F-line-1]
#[test]
fn an_operator_dismisses_what_is_lost_and_another_chain_goes_on() {
    let place = with_copy(4);
    append(&place, "led", 0);
    cut(&place, 900);
    append(&place, "led", QUARANTINED);
    place.expect(&["key", "new", "--role", "operator", "-o", "other"], 0, &[]);
    let dismiss = |key: &'static str, to: &'static str| {
        let words = ["quarantine", "dismiss", "led", "--note", "lost"];
        [&words[..], &["--operator-key", key, "--successor", to]].concat()
    };
    place.expect(&dismiss("other", "goes-on"), 5, &["APPROVAL"]);
    assert!(!place.path("goes-on").exists());
    append(&place, "led", QUARANTINED);
    place.expect(&dismiss("operator", "led"), 4, &[]);
    place.expect(&dismiss("operator", "goes-on"), 0, &["dismissed"]);
    append(&place, "goes-on", 0);
    append(&place, "led", QUARANTINED);
    place.expect(&["verify", "goes-on"], 0, &["intact"]);
    assert_eq!(quarantine(&place)["status"], "ended");
    // Once more is the same; somewhere else would be two chains that continue one.
    place.expect(&dismiss("operator", "goes-on"), 0, &[]);
    place.expect(&RECONCILE, 1, &["QUARANTINE_STATE"]);
    is_one_history(&place);
    // A replay tells the damage, which is no part of the history.
    let told = ["goes on from", "6 entries", "faulty: 1 fault", "no part of the history"];
    place.expect(&["replay", "goes-on"], 0, &told);
    let known = fs::read_to_string(place.path("goes-on/predecessor")).unwrap();
    assert_eq!(Path::new(known.trim()), place.path("led").canonicalize().unwrap());
}

/// What was durable and not anchored yet is missed all the same: no older copy passes for the whole, with --from or put in place, and the
/// attempt leaves the way open to an operator.
#[test]
fn an_older_copy_is_not_enough_where_the_anchor_is_older_too() {
    let place = with_copy(3);
    copy(&place.path("home/anchors"), &place.path("older"));
    append(&place, "led", 0);
    append(&place, "led", 0);
    fs::remove_dir_all(place.path("home/anchors")).unwrap();
    copy(&place.path("older"), &place.path("home/anchors"));
    let segment = place.path("led/segment-0000000000");
    fs::copy(place.path("copy/segment-0000000000"), &segment).unwrap();
    let said = append(&place, "led", QUARANTINED);
    assert!(said.contains("LEDGER_CUT"), "{said}");
    place.expect(&RECONCILE, QUARANTINED, &["QUARANTINE_UNPROVED"]);
    let from = [&RECONCILE[..], &["--from", "copy"]].concat();
    place.expect(&from, QUARANTINED, &["QUARANTINE_SOURCE", "6 were durable"]);
    assert_eq!(
        fs::read(&segment).unwrap(),
        fs::read(place.path("copy/segment-0000000000")).unwrap()
    );
    let dismiss = ["quarantine", "dismiss", "led", "--note", "lost", "--operator-key", "operator"];
    place.expect(&[&dismiss[..], &["--successor", "goes-on"]].concat(), 0, &["dismissed"]);
    append(&place, "goes-on", 0);
}

/// [F-reconcile-2]
#[test]
fn a_drill_can_be_gone_through() {
    let place = crate::ledger::support::empty();
    let steps = place.expect(&["quarantine", "drill", "-o", "d"], 0, &["quarantine reconcile"]);
    place.expect(&["quarantine", "drill", "-o", "d"], 2, &["is there already"]);
    let lines: Vec<&str> = steps.lines().filter(|l| l.starts_with("  sigchain ")).collect();
    assert!(lines.len() >= 9, "{steps}");
    let exits = [8, 0, 1, 0, 8, 0, 0, 0];
    for (line, exit) in lines.iter().zip(exits) {
        let line = line.trim().replacen("sigchain", env!("CARGO_BIN_EXE_sigchain"), 1);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &line]).current_dir(place.path("d"));
        shell.env("SIGCHAIN_HOME", place.path("d/home"));
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{line}: {}", text(&output));
    }
}

/// A byte of an entry that was sealed long ago: nobody looks at it who opens the ledger, and the scrub finds it.
#[test]
fn the_scrub_finds_what_opening_does_not_look_at() {
    let place = with_copy(6);
    place.expect(&["scrub", "led"], 0, &["7 entries", "nothing is wrong"]);
    let path = place.path("led/segment-0000000000");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    append(&place, "led", 0);
    place.expect(&["scrub", "led"], QUARANTINED, &["segment-0000000000", "quarantine"]);
    let found = quarantine(&place);
    assert_eq!(found["discontinuity"]["detector"], "scrub");
    append(&place, "led", QUARANTINED);
    place.expect(&["verify", "led"], 1, &["FRAME_BODY"]);
    place.expect(&RECONCILE, QUARANTINED, &["QUARANTINE_UNPROVED"]);
    bytes[at] ^= 1;
    let now = fs::read(&path).unwrap();
    bytes.extend_from_slice(&now[bytes.len()..]);
    fs::write(&path, &bytes).unwrap();
    place.expect(&RECONCILE, 0, &["reconciled"]);
    append(&place, "led", 0);
    place.expect(&["scrub", "led"], 0, &["nothing is wrong"]);
}

#[test]
fn what_is_no_quarantine_is_said() {
    let place = place();
    place.expect(&["quarantine", "list", "led"], 0, &["none"]);
    let listed = place.expect(&["quarantine", "list", "led", "--json"], 0, &[]);
    schema::check("quarantine list", &serde_json::from_str(&listed).unwrap());
    place.expect(&["quarantine", "show", "led"], 1, &["NOT_QUARANTINED"]);
    place.expect(&RECONCILE, 1, &["NOT_QUARANTINED"]);
    place.expect(&["quarantine", "list", "nowhere"], 4, &["FS_MISSING"]);
    let long = "x".repeat(5000);
    place.expect(&["quarantine", "halt", "led", "--note", &long], 5, &["4096"]);
    append(&place, "led", 0);
}
