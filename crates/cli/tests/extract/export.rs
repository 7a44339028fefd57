//! Exports of every kind, and what each proves.

use std::fs;

use serde_json::Value;

use crate::extract::{append, judged_elsewhere, left, recorded, sequences};
use crate::support;

const NOTE: [&str; 2] = ["--checkpoint", "note"];

/// Every selection in both forms, signed and not, against the checkpoint that fits.
#[test]
fn every_selection_proves_itself_to_both_verifiers() {
    let place = recorded();
    let kinds: [(&str, &[&str], usize); 9] = [
        ("whole", &[], 18),
        ("range", &["--since", "4", "--until", "9"], 7),
        ("ends", &["--since", "-2"], 4),
        ("type", &["--type", "test.*"], 12),
        ("actor", &["--actor", "agent:planner", "--type", "lab.*"], 4),
        ("episode", &["--episode", "run-1"], 7),
        ("one", &["--since", "17"], 2),
        ("withheld", &["--withhold", "test.call", "--withhold", "lab.*"], 18),
        ("all-withheld", &["--withhold", "*", "--until", "3"], 4),
    ];
    let mut files = Vec::new();
    for (name, select, entries) in kinds {
        for (form, sign) in [("sigchain", false), ("jsonl", true)] {
            let file = format!("{name}.{form}");
            let sign: &[&str] = if sign { &["--sign"] } else { &[] };
            place.expect(&[&["export", "led", "-o", &file], select, sign].concat(), 0, &["wrote "]);
            let said =
                place.expect(&[&["verify", &file], &NOTE[..]].concat(), 0, &["intact: 18 entries"]);
            let end = if sign.is_empty() { "which nobody signed" } else { "a signed checkpoint" };
            assert!(said.contains(end), "{said}");
            assert_eq!(sequences(&place, &file).len(), entries, "{file}");
            files.push((file, vec!["note".to_owned()], None));
        }
    }
    for (answer, (file, ..)) in judged_elsewhere(&place, &files).iter().zip(&files) {
        assert_eq!(
            (&answer["exit"], &answer["entries"]),
            (&0.into(), &18.into()),
            "{file}: {answer}"
        );
        assert_eq!(answer["beyond"], 0, "{file}");
    }
    assert_eq!(sequences(&place, "range.sigchain"), [0, 4, 5, 6, 7, 8, 9]);
    assert_eq!(sequences(&place, "one.jsonl"), [0, 17]);
}

/// A checkpoint from before the export says nothing of the inside of a gap: gaps end where one was kept, or where one is named.
#[test]
fn a_selection_fits_the_checkpoints_that_are_held() {
    let place = recorded();
    let late = ["--since", "12"];
    place.expect(&[&["export", "led", "-o", "plain.sigchain"], &late[..]].concat(), 0, &[]);
    place.expect(&["verify", "plain.sigchain", "--checkpoint", "early"], 3, &[]);
    let named = [&["export", "led", "-o", "named.sigchain", "--checkpoint", "early"], &late[..]];
    place.expect(&named.concat(), 0, &[]);
    place.expect(
        &["verify", "named.sigchain", "--checkpoint", "early"],
        0,
        &["13 entries lie beyond"],
    );
    let files = [
        ("named.sigchain".to_owned(), vec!["early".to_owned(), "note".to_owned()], None),
        ("plain.sigchain".to_owned(), vec!["early".to_owned()], None),
    ];
    let answers = judged_elsewhere(&place, &files);
    assert_eq!((&answers[0]["exit"], &answers[1]["exit"]), (&0.into(), &3.into()), "{answers:?}");
    // One that is of another chain, or of more than there is, is no checkpoint of this ledger.
    let other = recorded();
    other.expect(
        &["export", "led", "-o", "x", "--checkpoint", place.path("note").to_str().unwrap()],
        1,
        &["ANCHOR_CHAIN"],
    );
    assert!(left(&other).is_empty());
}

/// While somebody writes no seal stands at the end: only a signer can vouch that no key entry is missing.
#[test]
fn gaps_of_a_ledger_that_goes_on_are_proven_by_whoever_signs() {
    let place = recorded();
    let mut lines = place.lines(&[]);
    lines.send("{\"type\":\"test.call\",\"payload\":1}");
    lines.send("{\"type\":\"test.result\",\"payload\":1}");
    assert!(lines.outcome().unwrap()["ok"] == true && lines.outcome().unwrap()["ok"] == true);
    let select = ["--type", "test.call"];
    place.expect(
        &[&["export", "led", "-o", "open.sigchain"], &select[..]].concat(),
        0,
        &["not proven", "--sign"],
    );
    place.expect(
        &[&["export", "led", "-o", "sealed.sigchain", "--sign"], &select[..]].concat(),
        0,
        &[],
    );
    place.expect(&[&["verify", "open.sigchain"], &NOTE[..]].concat(), 3, &[]);
    place.expect(&[&["verify", "sealed.sigchain"], &NOTE[..]].concat(), 0, &["a seal vouches"]);
    let file = |name: &str| (name.to_owned(), vec!["note".to_owned()], None);
    let answers = judged_elsewhere(&place, &[file("open.sigchain"), file("sealed.sigchain")]);
    assert_eq!((&answers[0]["exit"], &answers[1]["exit"]), (&3.into(), &0.into()), "{answers:?}");
    assert_eq!(lines.end().code(), Some(0));
}

/// From a file as from a ledger: what is signed stays signed, whatever is left out, and back and forth not a byte changes.
#[test]
fn files_are_taken_from_as_ledgers_are() {
    let place = recorded();
    place.expect(&["export", "led", "-o", "a.sigchain", "--sign"], 0, &[]);
    place.expect(
        &["export", "a.sigchain", "-o", "b.jsonl"],
        0,
        &["signed as the file was", "only against itself"],
    );
    place.expect(
        &["export", "b.jsonl", "-o", "c.sigchain", "--checkpoint", "note"],
        0,
        &["compared with"],
    );
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert_eq!(read("a.sigchain"), read("c.sigchain"));
    place.expect(
        &["export", "a.sigchain", "-o", "d.sigchain", "--type", "lab.*"],
        0,
        &["signed as the file was"],
    );
    place.expect(&[&["verify", "d.sigchain"], &NOTE[..]].concat(), 0, &["a signed checkpoint"]);
    // Less of what is less already.
    place.expect(
        &["export", "d.sigchain", "-o", "e.sigchain", "--until", "9"],
        0,
        &["not in the file that it is taken from"],
    );
    place.expect(&[&["verify", "e.sigchain"], &NOTE[..]].concat(), 0, &["a signed checkpoint"]);
    let from_pipe = "\"$0\" export - -o f.sigchain < a.sigchain";
    let output = place.by("sh").args(["-c", from_pipe, env!("CARGO_BIN_EXE_sigchain")]).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
    assert_eq!(read("a.sigchain"), read("f.sigchain"));
    place.expect(&["export", "a.sigchain", "-o", "x", "--sign"], 2, &["--sign with a file"]);
    place.expect(
        &["export", "a.sigchain", "-o", "x", "--record", "audit"],
        2,
        &["--record with a file"],
    );
    fs::write(place.path("junk"), "junk").unwrap();
    place.expect(&["export", "junk", "-o", "x"], 4, &["FILE_MAGIC"]);
    place.expect(&["export", "missing", "-o", "x"], 4, &["cannot read"]);
    assert!(!place.path("x").exists());
}

#[test]
fn one_field_of_a_payload_is_left_out_and_the_others_shown() {
    let mixed = support::in_folder("mixed.sigchain");
    let place = crate::ledger::support::empty();
    let mixed = mixed.to_str().unwrap();
    let field = ["--withhold", "agent.note:city"];
    // Those that are committed whole cannot show the rest: they are left out, and it is said.
    let said = place.expect(
        &[&["export", mixed, "-o", "out.jsonl"], &field[..]].concat(),
        0,
        &["left out of 4", "commit the payload whole"],
    );
    assert!(said.contains("3 entries of these"), "{said}");
    let text = fs::read_to_string(place.path("out.jsonl")).unwrap();
    assert!(!text.contains("Bonn") && !text.contains("first line"), "{text}");
    place.expect(
        &["verify", "out.jsonl", "--allow-self-asserted"],
        0,
        &["1 partly shown, 4 withheld"],
    );
    let answers = judged_elsewhere(&place, &[("out.jsonl".to_owned(), Vec::new(), None)]);
    assert_eq!(
        (&answers[0]["exit"], &answers[0]["withheld"]),
        (&3.into(), &4.into()),
        "{answers:?}"
    );
    // In either form, though frames of a chain file are copied where nothing of them is left out.
    let whole = fs::read(support::in_folder("mixed.sigchain")).unwrap();
    let holds = |bytes: &[u8], text: &str| {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(holds(&whole, "Bonn") && holds(&whole, "first line"));
    place.expect(&[&["export", mixed, "-o", "out.sigchain"], &field[..]].concat(), 0, &[]);
    let bytes = fs::read(place.path("out.sigchain")).unwrap();
    assert!(!holds(&bytes, "Bonn") && !holds(&bytes, "first line"));
    place.expect(
        &["verify", "out.sigchain", "--allow-self-asserted"],
        0,
        &["1 partly shown, 4 withheld"],
    );
    // A slip of the pen must not show what was not to be shown.
    let only = ["--type", "agent.note", "--since", "4", "--until", "4"];
    let slip = ["--withhold", "agent.note:cita"];
    let args = [&["export", mixed, "-o", "slip.jsonl"], &only[..], &slip[..]].concat();
    place.expect(&args, 1, &["none of 1 entry has a field \"cita\"", "nothing was written"]);
    assert!(!place.path("slip.jsonl").exists());
    let fields = Value::from(fs::read_to_string(place.path("out.jsonl")).unwrap());
    assert!(fields.as_str().unwrap().contains("\"fields\":[{\"hash\":"));
    for own in ["key.rotate", "chain.*", "erasure.done", "epoch.*"] {
        let args = ["export", mixed, "-o", "own.jsonl", "--withhold", own];
        place.expect(&args, 2, &["keys and erasures hang on"]);
    }
    for unfit in ["", ":x", "A", "a.b:", "a b"] {
        place.expect(
            &["export", mixed, "-o", "own.jsonl", "--withhold", unfit],
            2,
            &["TYPE:FIELD"],
        );
    }
    place.expect(
        &["export", mixed, "-o", "stars.jsonl", "--withhold", "*"],
        0,
        &["the ledger's own entries are in it"],
    );
    assert!(!place.path("own.jsonl").exists());
}

/// One row an entry, nothing that a spreadsheet would run, nothing that a screen would obey.
#[test]
fn a_table_has_a_row_for_each_entry_that_is_selected() {
    let place = recorded();
    place.expect(
        &["export", "led", "-o", "t.csv", "--since", "15"],
        0,
        &["wrote 3 entries", "a table proves nothing"],
    );
    let table = fs::read_to_string(place.path("t.csv")).unwrap();
    assert!(table.ends_with("\r\n") && table.is_ascii(), "{table}");
    let rows: Vec<&str> = table.trim_end().split("\r\n").collect();
    assert_eq!(rows.len(), 4);
    assert!(rows[0].starts_with("sequence,time,stamp,event_type,actor,"), "{table}");
    let columns = rows[0].split(',').count();
    assert_eq!(rows[1].split(',').count(), columns);
    assert!(
        rows[3].contains(",episode.end,\"'=cmd|'/c calc'!A1,\"\"\\u{202e}\",run-0,"),
        "{table}"
    );
    // As another reader has it.
    let script = "import csv,sys,json; print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='')))))";
    let output = place.by("python3").args(["-c", script, "t.csv"]).output().unwrap();
    let read: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let entries = place.entries();
    for (row, entry) in read.iter().zip(&entries[entries.len() - 3..]) {
        assert_eq!(row["sequence"], entry["sequence"].to_string());
        for same in ["event_type", "episode_id", "event_id"] {
            assert_eq!(row[same], entry[same], "{row}");
        }
        assert_eq!(row["stamp"], entry["system_time"]);
        assert_eq!(row["payload"], "present");
    }
    assert_eq!(read[2]["actor"], "'=cmd|'/c calc'!A1,\"\\u{202e}");
    // A name says what form it is, and a flag says more.
    place.expect(&["export", "led", "-o", "lines.csv", "--form", "jsonl"], 0, &[]);
    place.expect(&[&["verify", "lines.csv"], &NOTE[..]].concat(), 0, &["intact"]);
    place.expect(&["export", "led", "-o", "UPPER.JSONL"], 0, &[]);
    assert!(fs::read(place.path("UPPER.JSONL")).unwrap().starts_with(b"{\"frame\""));
    place.expect(&["export", "led", "-o", "x.csv", "--sign"], 2, &["--sign with a table"]);
    place.expect(
        &["export", "led", "-o", "w.csv", "--withhold", "episode.*"],
        0,
        &["1 entry left out"],
    );
    assert_eq!(
        fs::read_to_string(place.path("w.csv")).unwrap().matches(",withheld,,0,").count(),
        1
    );
}

#[test]
fn a_selection_of_nothing_is_no_file() {
    let place = recorded();
    for select in [
        &["--type", "no.such"][..],
        &["--since", "9", "--until", "4"],
        &["--since", "99"],
        &["--until", "-99"],
        &["--until", "18"],
        &["--until", "01a1fa2e-aed0-7c12-a078-e15533b4a621"],
        &["--actor", "nobody"],
        &["--since", "2096-01-01T00:00:00Z"],
    ] {
        let args = [&["export", "led", "-o", "x.sigchain"], select].concat();
        place.expect(&args, 1, &["nothing was written"]);
    }
    place.expect(&["export", "led", "-o", "x", "--since", "never"], 2, &["is no point"]);
    place.expect(&["export", "led", "-o", "x", "--actor", ""], 2, &["is no actor"]);
    let behind = ["export", "led", "-o", "home/x", "--until", "2096-01-01T00:00:00Z"];
    place.expect(&behind, 0, &["wrote 18 entries", "more may come before it"]);
    place.expect(&["export", "-", "-o", "x", "--since", "head"], 2, &["counts from the head"]);
    assert!(left(&place).is_empty(), "{:?}", left(&place));
    append(&place, std::iter::empty());
}
