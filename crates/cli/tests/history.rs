//! `sigchain replay`, `log` and `show`, the real binary, with every exit code.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use sigchain::id::EventId;
use sigchain::key::SigningKey;

use crate::schema;
use crate::support::{expect, in_folder, json, out, program, run, text};

const HELD: [&str; 2] = ["--checkpoint", "held.checkpoint"];

#[test]
fn replay_says_what_there_is_and_what_it_rests_on() {
    let args = [&["replay", "run.sigchain"][..], &HELD].concat();
    expect(
        &args,
        0,
        &["up to entry 13", "14 entries from", "anchored to checkpoint of 10", "4 entries up to"],
    );
    let args = [&args[..], &["--until", "9"]].concat();
    expect(
        &args,
        0,
        &["up to entry 9", "10 entries from", "tool.call 2", "the point is not beyond it"],
    );
    // What nobody vouches for is shown, and is no success unless that was said to do.
    let unvouched = ["up to entry 13", "unvouched", "anybody can make such a file"];
    expect(&["replay", "run.jsonl"], 3, &unvouched);
    expect(&["replay", "run.jsonl", "--allow-self-asserted"], 0, &unvouched);
    let strange = ["replay", "run.jsonl", "--key", "00112233445566778899aabbccddeeff"];
    expect(&strange, 3, &["up to entry 13", "not confirmed: key 0011"]);
    expect(&[&strange[..], &["--allow-self-asserted"]].concat(), 3, &["not confirmed"]);
    assert_eq!(json(&["replay", "run.jsonl"], 3)["at"]["sequence"], 13);
    let value = json(&args, 0);
    assert_eq!(value["at"]["sequence"], 9);
    assert_eq!(value["chains"][0]["anchors"][0]["vouched"], 10);
    assert_eq!(value["chains"][0]["verdict"], "intact");
    assert_eq!(value["error"], Value::Null);
    schema::check("context", &value["context"]);
    assert_eq!(value["context"]["entries"], value["state"]["entries"]);
    assert_eq!(value["context"]["types"]["names"], value["state"]["types"]);
    // Somewhere on the way an action is open, and told of.
    let open_at = |at: u64| {
        let value =
            json(&["replay", "run.sigchain", HELD[0], HELD[1], "--until", &at.to_string()], 0);
        let open = value["context"]["actions"]["open"].as_array().unwrap().clone();
        let begun = value["context"]["actions"]["begun"].as_u64().unwrap();
        open.first().map(|first| (at, begun, open.len(), first["begun"]["event_id"].clone()))
    };
    let (at, begun, open, id) = (1..9).find_map(open_at).unwrap();
    let (id, at) = (id.as_str().unwrap(), at.to_string());
    let counted = format!("actions: {begun} begun, {open} open");
    let until = ["replay", "run.sigchain", HELD[0], HELD[1], "--until", &at];
    expect(&until, 0, &[&counted, "open actions: ", &format!("({id})")]);
    // What lies between two points is the difference of what is open there.
    let between = json(&["diff", "run.sigchain", "0", &at], 1);
    let opened = between["context"]["actions"]["opened"].as_array().unwrap();
    assert!(opened.iter().any(|opened| opened == id), "{between}");
    assert_eq!(between["context"]["counts"]["/entries"][0], 1);
    expect(&["diff", "run.sigchain", &at, "0"], 1, &["actions opened: ", id]);
    // Every way to name the entry, in both forms, gives the same state.
    let (id, stamp, time) = (&value["at"]["event_id"], &value["at"]["stamp"], &value["at"]["time"]);
    let texts = [id, stamp, time].map(|value| value.as_str().unwrap().to_owned());
    for file in ["run.sigchain", "run.jsonl"] {
        for point in texts.iter().map(String::as_str).chain(["9", "-4"]) {
            let other = json(&["replay", file, "--until", point], 3);
            assert_eq!(
                (&other["state"], &other["at"], &other["context"]),
                (&value["state"], &value["at"], &value["context"]),
                "{file} {point}"
            );
        }
    }
}

#[test]
fn replay_gives_no_state_at_a_fault() {
    for attack in 1..=10 {
        let file = format!("attack-{attack}.sigchain");
        let args = [&["replay", &file][..], &HELD].concat();
        let said = expect(&args, 1, &["no state: ", "faulty: "]);
        assert!(!said.contains("up to entry"), "{said}");
        assert_eq!(out(&run(&args)), "", "the answer is that there is none");
        assert!(said.starts_with("sigchain: no state: "), "{said}");
        assert!(said.contains("\n  expected: ") && said.contains("\n  next: "), "{said}");
        assert!(!said.contains(" in \n"), "{said}");
        let value = json(&args, 1);
        assert_eq!((&value["state"], &value["at"]), (&Value::Null, &Value::Null));
        assert_ne!(value["error"], Value::Null);
        // Up to what can be reached, if anything can, there is a state, and the fault is told all the same.
        if let Some(reach) = value["reach"]["sequence"].as_u64() {
            let until = reach.to_string();
            let args = [&args[..], &["--until", &until]].concat();
            expect(&args, 1, &[&format!("up to entry {until} of"), "faulty: "]);
            let value = json(&args, 1);
            assert_eq!(value["state"]["entries"], reach + 1);
            assert!(value["chains"][0]["total"].as_u64().unwrap() > 0);
        }
    }
    // A rewritten history gives no state before the rewriting either, if the checkpoint is at hand.
    expect(&["replay", "attack-9.sigchain", "--until", "3"], 3, &["up to entry 3"]);
    let said = expect(
        &["replay", "attack-9.sigchain", "--until", "3", HELD[0], HELD[1]],
        1,
        &["ANCHOR_ROOT"],
    );
    assert!(said.starts_with("sigchain: no state"), "{said}");
    // A fault that leaves the name of the chain unknown is one of the file.
    let other = "0".repeat(64);
    let args = ["replay", "run.sigchain", "--chain-id", &other];
    expect(&args, 1, &["ANCHOR_CHAIN", "faulty: 1 fault in run.sigchain\n"]);
}

#[test]
fn replay_follows_a_line_of_chains() {
    let line = [
        "replay",
        "three.sigchain",
        "--predecessor",
        "two.sigchain",
        "--predecessor",
        "one.sigchain",
    ];
    expect(
        &line,
        3,
        &["6 entries from", "up to entry 1 of chain-4", "1 entry beyond that are no part"],
    );
    let value = json(&line, 3);
    assert_eq!(value["continues"], Value::Null);
    assert_eq!(value["chains"][0]["beyond"], 1);
    assert_eq!(value["chains"].as_array().unwrap().len(), 3);
    let said = expect(&["replay", "three.sigchain"], 2, &["is missing", "expected: "]);
    assert!(said.contains("--predecessor FILE") && said.contains("--alone"), "{said}");
    let alone = ["replay", "three.sigchain", "--alone"];
    let before = value["chains"][1]["chain_id"].as_str().unwrap();
    let missing = format!("not the whole history: continues chain {before}");
    expect(&alone, 3, &["2 entries from", &missing]);
    assert_eq!(json(&alone, 3)["continues"], before);
    expect(&["replay", "three.sigchain", "--predecessor", "two.sigchain"], 2, &["is missing"]);
    expect(&[&line[..], &["--predecessor", "run.sigchain"]].concat(), 2, &["not of the line"]);
    expect(&[&line[..], &["--predecessor", "two.sigchain"]].concat(), 2, &["given twice"]);
    expect(&["replay", "one.sigchain", "--predecessor", "two.sigchain"], 2, &["not of the line"]);
    expect(
        &["replay", "liar.sigchain", "--predecessor", "one.sigchain"],
        1,
        // Long as it is, it is ours, and not cut.
        &["no state: ", "root", "; get another copy of that chain"],
    );
}

const LINE: [&str; 4] = ["replay", "three.sigchain", "--predecessor", "two.sigchain"];

#[test]
fn an_earlier_chain_is_anchored_through_its_successor() {
    let key = SigningKey::from_seed(&[1; 32]).unwrap().id().to_string();
    let event = EventId::new(2001, [0; 10]).to_string();
    let line = [&LINE[..], &["--predecessor", "one.sigchain", "--until", &event]].concat();
    let anchored = [&line[..], &["--key", &key]].concat();
    let said = expect(
        &anchored,
        0,
        &[
            "up to entry 1 of chain-2",
            "anchored through its successor, chain ",
            "whose genesis states 2 entries with this root: ",
            "is anchored to key ",
        ],
    );
    assert!(!said.contains("unvouched") && !said.contains("nothing that you gave"), "{said}");
    let value = json(&anchored, 0);
    assert_eq!(value["chains"][1]["predecessor"]["size"], 2);
    // Without an anchor, or with one that is missing, nothing vouches for the earlier chain either.
    let said = expect(&line, 3, &["unvouched"]);
    assert!(!said.contains("anchored"), "{said}");
    let strange = [&line[..], &["--key", "00112233445566778899aabbccddeeff"]].concat();
    let said = expect(&strange, 3, &["not confirmed: key 0011"]);
    assert!(!said.contains("anchored"), "{said}");
}

/// As `verify` judges it: what is wrong with a chain behind what its successor continues was dismissed with the rest of it.
#[test]
fn damage_behind_what_a_successor_continues_is_no_fault_of_the_history() {
    let whole = fs::read(in_folder("one.sigchain")).unwrap();
    let event = EventId::new(3001, [0; 10]).to_string();
    let at = whole.windows(10).rposition(|window| window == b"agent.note").unwrap();
    let mut flipped = whole.clone();
    flipped[at] ^= 1;
    for (name, bytes) in [("cut", &whole[..at]), ("flipped", &flipped)] {
        let broken = format!("one-{name}.sigchain");
        fs::write(in_folder(&broken), bytes).unwrap();
        let line = [&LINE[..], &["--predecessor", &broken]].concat();
        expect(&line, 3, &["up to entry 1 of chain-4", "faulty: "]);
        assert_eq!(json(&line, 3)["exit"], 3, "{name}");
        expect(&[&line[..], &["--until", &event]].concat(), 3, &["up to entry 1 of chain-3"]);
    }
}

/// A sequence means the last chain: for another one the way is an event.
#[test]
fn a_fault_in_a_predecessor_leaves_a_way_that_leads_somewhere() {
    let mut bytes = fs::read(in_folder("one.sigchain")).unwrap();
    let at = bytes.windows(10).position(|window| window == b"agent.note").unwrap();
    bytes[at] ^= 1;
    fs::write(in_folder("one-broken.sigchain"), &bytes).unwrap();
    let line = [&LINE[..], &["--predecessor", "one-broken.sigchain"]].concat();
    let event = EventId::new(2000, [0; 10]).to_string();
    let said = expect(&line, 1, &[&format!("next: --until {event} is the last entry"), "faulty: "]);
    assert!(!said.contains("--until 0 "), "{said}");
    assert_eq!(json(&line, 1)["reach"]["event_id"], event.as_str());
    expect(&[&line[..], &["--until", &event]].concat(), 1, &["up to entry 0 of chain-2"]);
    // What can be read only once does not say which event that is.
    let mut child = program()
        .args([&LINE[..], &["--predecessor", "-"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("replay that file by itself"), "{said}");
}

#[test]
fn log_of_nothing_is_no_success() {
    for (range, part) in [
        (&["--until", "2000-01-01T00:00:00Z"][..], "before entry 0"),
        (&["--until", "0000000000000000"], "before entry 0"),
        (&["--until", "-14"], "before entry 0"),
        (&["--since", "5", "--until", "3"], "no entry of this file lies from 5 to 3"),
    ] {
        for (form, next) in [(&[][..], "  next: "), (&["--json"], "\"next\":")] {
            let args = [&["log", "run.jsonl"], range, form].concat();
            expect(&args, 1, &[part, next]);
            assert_eq!(out(&run(&args)), "");
        }
    }
    // The ledger's own entry is there, although it is not shown.
    expect(&["log", "run.jsonl", "--until", "0"], 0, &["1 entry of the ledger's own"]);
}

#[test]
fn bench_says_first_what_is_wrong_with_its_directory() {
    let begun = std::time::Instant::now();
    let said = expect(&["bench", "--dir", "no/such/place"], 4, &["no/such/place", "--dir DIR"]);
    assert!(said.contains("  expected: ") && said.contains("  next: "), "{said}");
    // In a second, where the measurements take half a minute.
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}

#[test]
fn bench_says_what_it_measured_and_what_that_is_a_ratio_of() {
    let output = run(&["bench", "--quick", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let value: Value = serde_json::from_str(&out(&output)).unwrap();
    schema::check("bench", &value);
    let rows = value["rows"].as_array().unwrap();
    let names: BTreeSet<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rows.len(), "two rows of one name: {value}");
    for row in rows {
        assert_eq!(row["of"].is_null(), row["ratio"].is_null(), "{row}");
        if let Some(of) = row["of"].as_str() {
            assert!(names.contains(of) || of == "verify one-key batches, all cores", "{row}");
        }
    }
}

#[test]
fn points_and_calls_that_make_no_sense() {
    for args in [
        &["replay"][..],
        &["replay", "a", "b"],
        &["replay", "run.jsonl", "--until", "yesterday"],
        &["replay", "run.jsonl", "--until", "1", "--until", "2"],
        &["replay", "-", "--predecessor", "-"],
        &["replay", "run.jsonl", "--alone", "--predecessor", "x"],
        &["replay", "run.jsonl", "--all"],
        &["log"],
        &["log", "run.jsonl", "--since", "01"],
        &["log", "run.jsonl", "--until"],
        &["log", "-", "--since", "-1"],
        &["show", "run.jsonl"],
        &["show", "run.jsonl", "x"],
        &["show", "run.jsonl", "1", "2"],
        &["show", "run.jsonl", "-x"],
        &["log", "-", "--until", "-3"],
        &["show", "-", "-3"],
    ] {
        let output = run(args);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{said}");
        assert!(said.starts_with("sigchain: ") && said.contains("  next: "), "{said}");
    }
    expect(
        &["replay", "run.jsonl", "--until", "yesterday"],
        2,
        &["no point", "head", "-N", "event id"],
    );
    for point in ["14", "ffffffffffffffff", "2100-01-01T00:00:00Z"] {
        expect(&["replay", "run.jsonl", "--until", point], 1, &["beyond the head"]);
        expect(&["show", "run.jsonl", point], 1, &["beyond the head"]);
        expect(&["log", "run.jsonl", "--until", point], 1, &["beyond the head"]);
        expect(&["log", "run.jsonl", "--since", point], 1, &["beyond the head"]);
    }
    for point in ["-14", "2000-01-01T00:00:00Z"] {
        expect(&["replay", "run.jsonl", "--until", point], 1, &["before entry 0"]);
        expect(&["show", "run.jsonl", point], 1, &["before entry 0"]);
    }
    let unknown = "019f714c-5d3a-7fff-bfff-ffffffffffff";
    for args in
        [["replay", "run.jsonl", "--until", unknown], ["log", "run.jsonl", "--since", unknown]]
    {
        expect(&args, 1, &["event"]);
    }
    for args in [
        &["replay", "nope"][..],
        &["log", "nope"],
        &["show", "nope", "1"],
        &["log", "."],
        &["log", "held.checkpoint"],
    ] {
        expect(args, 4, &["sigchain: "]);
    }
    for args in [&["replay", "held.checkpoint"][..], &["show", "held.checkpoint", "1"]] {
        expect(args, 4, &["FILE_MAGIC"]);
    }
    expect(&["replay", "held.checkpoint"], 4, &["faulty: 1 fault in held.checkpoint\n"]);
    for topic in ["replay", "log", "show"] {
        expect(&["help", topic], 0, &["Exit codes", "POINT", "\n  4  unreadable"]);
        expect(&[topic, "--help"], 0, &["Exit codes"]);
    }
}

#[test]
fn log_shows_a_line_for_each_entry() {
    let output = run(&["log", "run.sigchain"]);
    let lines: Vec<String> = out(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 13);
    for (n, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], (n + 1).to_string());
        assert_eq!(words[words.len() - 1], "run-7");
    }
    assert!(lines[7].contains("tool.call") && lines[7].contains("91 B application/json"));
    assert!(text(&output).contains("1 entry of the ledger's own not shown: --all"));
    let all = run(&["log", "run.sigchain", "--all"]);
    assert_eq!(out(&all).lines().count(), 14);
    let said = String::from_utf8_lossy(&all.stderr).into_owned();
    assert_eq!(said.matches("verified only against itself").count(), 1, "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let numbers = |args: &[&str]| -> Vec<u64> {
        let output = run(&[&["log", "run.jsonl", "--all"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        out(&output)
            .lines()
            .map(|l| l.split_whitespace().next().unwrap().parse().unwrap())
            .collect()
    };
    let ids: Vec<(String, String)> = json_lines("run.jsonl")
        .iter()
        .map(|line| {
            (
                line["event_id"].to_string().replace('"', ""),
                line["system_time"].to_string().replace('"', ""),
            )
        })
        .collect();
    assert_eq!(numbers(&["--since", "4", "--until", "6"]), [4, 5, 6]);
    assert_eq!(numbers(&["--since", &ids[4].0, "--until", &ids[6].0]), [4, 5, 6]);
    assert_eq!(numbers(&["--since", &ids[4].1, "--until", &ids[6].1]), [4, 5, 6]);
    assert_eq!(numbers(&["--since", "-1"]), [12, 13]);
    assert_eq!(numbers(&["--since", "head"]), [13]);
    assert_eq!(numbers(&["--until", "-12"]), [0, 1]);
    assert_eq!(numbers(&["--since", "-100", "--until", "1"]), [0, 1]);
    assert_eq!(numbers(&["--since", "2000-01-01T00:00:00Z"]).len(), 14);
    let times: Vec<String> =
        out(&all).lines().map(|l| l.split_whitespace().nth(1).unwrap().to_owned()).collect();
    assert_eq!(numbers(&["--since", &times[4], "--until", &times[6]]), [4, 5, 6], "inclusive");
    assert_eq!(numbers(&["--since", &times[13], "--until", &times[13]]), [13]);
}

fn json_lines(file: &str) -> Vec<Value> {
    let bytes = fs::read_to_string(in_folder(file)).unwrap();
    let lines = bytes.lines().filter(|line| !line.starts_with("{\"frame\""));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of `log --json` are those of the file.
#[test]
fn log_and_show_give_the_canonical_lines() {
    let bytes = fs::read_to_string(in_folder("run.jsonl")).unwrap();
    let lines: Vec<&str> = bytes.lines().filter(|line| !line.starts_with("{\"frame\"")).collect();
    for file in ["run.sigchain", "run.jsonl"] {
        let all = out(&run(&["log", file, "--json", "--all"]));
        assert_eq!(all.lines().collect::<Vec<_>>(), lines);
        assert_eq!(out(&run(&["log", file, "--json"])).lines().collect::<Vec<_>>(), lines[1..]);
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(out(&run(&["show", file, &n.to_string(), "--json"])).trim_end(), *line);
        }
    }
}

#[test]
fn log_stops_at_the_first_fault() {
    let said = expect(&["log", "attack-2.sigchain", "--all"], 1, &["(content) at byte", "next: "]);
    let shown = said.lines().filter(|line| line.contains("Z  ")).count();
    assert!((1..14).contains(&shown), "{said}");
    expect(&["log", "attack-8.sigchain"], 1, &["TRAILER_MISSING (chain)"]);
    expect(&["log", "empty.none"], 4, &["cannot read"]);
}

/// [S-show-1]
#[test]
fn nothing_from_a_file_acts_on_the_terminal() {
    for args in [
        &["log", "mixed.sigchain"][..],
        &["replay", "mixed.sigchain"],
        &["show", "mixed.sigchain", "1"],
        &["show", "mixed.sigchain", "2"],
        &["show", "mixed.sigchain", "3"],
        &["show", "mixed.sigchain", "4"],
    ] {
        let exit = if args[0] == "replay" { 3 } else { 0 };
        let said = expect(args, exit, &[r"agent:\u{202e}evil"]);
        assert!(said.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{args:?}: {said:?}");
    }
    // In JSON it is escaped, and all there.
    let actors = &json(&["replay", "mixed.sigchain"], 3)["state"]["actors"];
    assert_eq!(actors["agent:\u{202e}evil"], 6);
}

#[test]
fn show_says_all_about_an_entry() {
    let said = expect(
        &["show", "run.sigchain", "8"],
        0,
        &[
            "tool.call",
            "run-7",
            "accepted, by key",
            "payments.refund",
            "later entries that name it",
            "9  tool.result",
        ],
    );
    let id =
        said.lines().find(|l| l.contains("event_id")).unwrap().split_whitespace().nth(1).unwrap();
    assert_eq!(expect(&["show", "run.jsonl", id], 0, &[]), said);
    assert_eq!(expect(&["show", "run.jsonl", "-5"], 0, &[]), said);
    expect(&["show", "run.jsonl", "head"], 0, &["entry 13", "no later entry"]);
    assert_eq!(said.matches("verified only against itself").count(), 1, "{said}");
    assert!(!out(&run(&["show", "run.jsonl", "head"])).contains("against itself"));
    expect(&["show", "mixed.sigchain", "1"], 0, &["66 69 72 73 74", "bytes, text/plain"]);
    expect(&["show", "mixed.sigchain", "2"], 0, &["    | line one\n", r"    | line \u{202e}two"]);
    expect(&["show", "mixed.sigchain", "3"], 0, &["000010  10 11", "shortened: 512 more"]);
    expect(
        &["show", "mixed.sigchain", "4"],
        0,
        &["by field, 2 fields, not all", "field city: 4 bytes", "| Bonn", "hidden field"],
    );
    expect(&["show", "mixed.sigchain", "5"], 0, &["withheld (in the word of"]);
    expect(&["show", "mixed.sigchain", "6"], 0, &["erased: entry 7 says so"]);
    expect(&["show", "large.jsonl", "6"], 0, &["| line 99\n", "shortened: --json"]);
    // Before the fault an entry can be shown, at it none.
    let reach = json(&["replay", "attack-2.sigchain"], 1)["reach"]["sequence"].as_u64().unwrap();
    expect(
        &["show", "attack-2.sigchain", &reach.to_string()],
        1,
        &["accepted, by key", "faulty: "],
    );
    let output = run(&["show", "attack-2.sigchain", &(reach + 1).to_string()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn log_names_what_cannot_be_seen() {
    expect(
        &["log", "mixed.sigchain", "--all"],
        0,
        &[
            "768 B text/plain",
            "4 B in 1 fields, 1 hidden",
            "withheld",
            "erased by entry 7",
            "erasure.done",
        ],
    );
    expect(&["log", "mixed.sigchain"], 0, &["2 entries of the ledger's own"]);
}

#[test]
fn standard_input_and_a_closed_pipe() {
    let bytes = fs::read(in_folder("large.jsonl")).unwrap();
    for args in [
        &["log", "-", "--json"][..],
        &["log", "-"],
        &["replay", "-"],
        &["show", "-", "6"],
        &["show", "-", "head"],
    ] {
        for is_closed in [false, true] {
            let mut child = program()
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            if is_closed {
                drop(child.stdout.take());
            }
            let mut stdin = child.stdin.take().unwrap();
            let bytes = bytes.clone();
            // It may stop reading when nobody listens any more.
            let feed = std::thread::spawn(move || {
                let _ = stdin.write_all(&bytes);
            });
            let output = child.wait_with_output().unwrap();
            feed.join().unwrap();
            let exit = if args[0] == "replay" { 3 } else { 0 };
            assert_eq!(output.status.code(), Some(exit), "{args:?} {is_closed}: {}", text(&output));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!said.contains("panicked") && !said.contains("pipe"), "{args:?}: {said}");
            assert_eq!(is_closed, output.stdout.is_empty(), "{args:?}");
        }
    }
}
