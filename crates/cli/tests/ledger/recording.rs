//! Making a ledger, and recording: by flags, by lines, from another language.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::ledger::support::{Place, check, empty, place, text};
use crate::schema;

const ID: &str = "01919191-0000-7000-8000-000000000001";

fn keys(place: &Place) -> usize {
    fs::read_dir(place.path("home/keys")).map_or(0, Iterator::count)
}

#[test]
fn init_ends_with_the_line_that_verify_takes() {
    let place = place();
    assert_eq!(place.line.len(), 4, "{:?}", place.line);
    place.is_intact();
    assert_eq!(keys(&place), 2);
    for file in fs::read_dir(place.path("home/keys")).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let status = place.status();
    assert_eq!((&status["entries"], &status["operators"]), (&1.into(), &0.into()));
    assert!(status["keys"].as_array().unwrap().iter().all(|key| key["at_hand"] == true));
    // A line of another chain.
    let other = crate::ledger::support::place();
    let line: Vec<&str> = other.line.iter().map(String::as_str).collect();
    place.expect(&[&["verify", "led"], &line[..]].concat(), 1, &["ANCHOR_CHAIN"]);
}

#[test]
fn init_says_what_is_at_risk_without_an_operator() {
    let place = empty();
    place.expect(&["init", "led", "--name", "x"], 0, &["AT RISK", "operator.pub"]);
    let key = sigchain::key::SigningKey::generate().unwrap();
    fs::write(place.path("operator.pub"), key.public().to_pem()).unwrap();
    let args = ["init", "with", "--name", "x", "--operator", "operator.pub"];
    let said = place.expect(&args, 0, &["back up both"]);
    assert!(!said.contains("AT RISK"), "{said}");
    let status = place.run(&["status", "with", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["operators"], 1);
}

#[test]
fn init_overwrites_nothing_and_leaves_no_keys_behind() {
    let place = place();
    let before = fs::read(place.path("led/segment-0000000000")).unwrap();
    fs::write(place.path("file"), "mine").unwrap();
    for path in ["led", "file", "."] {
        place.expect(&["init", path, "--name", "x"], 2, &["FS_EXISTS"]);
    }
    place.expect(&["init", "no/where", "--name", "x"], 4, &["FS_MISSING"]);
    place.expect(&["init", "new", "--name", "No Name"], 2, &["no name of a chain"]);
    place.expect(&["init", "new"], 2, &["--name <NAME>"]);
    place.expect(&["init", "--name", "x"], 2, &["SIGCHAIN_LEDGER"]);
    place.expect(&["init", "new", "--name", "x", "--operator", "nope"], 4, &["nope"]);
    let id = "00112233445566778899aabbccddeeff";
    place.expect(&["init", "new", "--name", "x", "--operator", id], 2, &["a key id"]);
    assert_eq!(keys(&place), 2);
    assert!(!place.path("new").exists());
    assert_eq!(fs::read(place.path("led/segment-0000000000")).unwrap(), before);
}

/// What an init leaves that was broken off before there was a chain is in nobody's way.
#[test]
fn init_goes_on_where_one_was_broken_off() {
    let place = empty();
    fs::create_dir(place.path("led")).unwrap();
    fs::set_permissions(place.path("led"), fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["durable", "reserve", "segment.next"] {
        fs::write(place.path("led").join(name), "").unwrap();
        fs::set_permissions(place.path("led").join(name), fs::Permissions::from_mode(0o600))
            .unwrap();
    }
    place.expect(&["init", "led", "--name", "x"], 0, &["made chain"]);
    place.expect(&["append", "led", "--type", "a.b", "--actor", "a"], 0, &["recorded"]);
}

#[test]
fn one_event_by_flags() {
    let place = place();
    let said = place.expect(
        &[
            "append",
            "led",
            "--type",
            "test.call",
            "--actor",
            "agent:a",
            "--payload",
            "{\"b\" :1.0}",
        ],
        0,
        &["recorded: entry 1 of chain", "reference  sigchain1."],
    );
    let reference = said.split_whitespace().find(|word| word.starts_with("sigchain1.")).unwrap();
    let args = [
        ["append", "led", "--json", "--type", "test.result", "--actor", "agent:b"].as_slice(),
        &["--episode", "run-1", "--correlation", "c", "--cause", reference, "--event-id", ID],
        &["--trace", "4bf92f3577b34da6a3ce929d0e0e4736", "--span", "00f067aa0ba902b7"],
        &["--valid-from", "2026-11-20T06:00:00+01:00", "--valid-to", "2026-11-21T00:00:00Z"],
        &["--payload", "-", "--media-type", "text/plain"],
    ];
    let plain = fs::File::open(file(&place, "plain")).unwrap();
    let output = place.command(&args.concat()).stdin(plain).output().unwrap();
    let said = check(&["append", "--json"], &output, 0, &[]);
    let outcome: Value = serde_json::from_str(&said).unwrap();
    schema::check("append", &outcome);
    assert_eq!((&outcome["ok"], &outcome["line"]), (&true.into(), &Value::Null));
    let entries = place.entries();
    assert_eq!(entries[0]["payload"]["text"], "{\"b\" :1.0}");
    assert_eq!(entries[0]["payload"]["media_type"], "application/json");
    let second = &entries[1];
    assert_eq!(second["payload"]["text"], "plain");
    assert_eq!((&second["event_id"], &second["episode_id"]), (&ID.into(), &"run-1".into()));
    assert_eq!(second["causation_id"], entries[0]["event_id"]);
    assert_eq!(second["valid_from"], "2026-11-20T05:00:00.000000Z");
    assert_eq!(second["span_id"], "00f067aa0ba902b7");
    place.expect(&["show", "led", ID], 0, &["agent:b", "| plain"]);
    let by_file = ["append", "led", "--type", "a.b", "--actor", "a", "--payload", "@plain"];
    place.expect(&by_file, 2, &["no JSON", "--media-type"]);
    place.expect(&[&by_file[..], &["--media-type", "text/plain"]].concat(), 0, &["entry 3"]);
    place.is_intact();
    assert_eq!(place.status()["seal"]["size"], 4, "closed cleanly each time");
}

fn file(place: &Place, content: &str) -> std::path::PathBuf {
    let path = place.path("plain");
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn the_ledger_of_the_environment_is_the_default() {
    let place = place();
    let run = |args: &[&str], exit, holds: &[&str]| {
        let output = place.command(args).env("SIGCHAIN_LEDGER", "led").output().unwrap();
        check(args, &output, exit, holds)
    };
    run(&["append", "--type", "a.b", "--actor", "a"], 0, &["entry 1"]);
    run(&["verify"], 0, &["2 entries of example.org/agents", "anchored on this machine: 2"]);
    run(&["log"], 0, &["a.b"]);
    run(&["replay", "--allow-self-asserted"], 0, &["up to entry 1"]);
    run(&["show", "1"], 0, &["entry 1 of example.org/agents"]);
    run(&["show", "-1"], 0, &["entry 0 of example.org/agents"]);
    run(&["show", "led", "1"], 0, &["entry 1 of example.org/agents"]);
    run(&["status"], 0, &["2 entries"]);
    run(&["checkpoint"], 0, &["example.org/agents/"]);
    run(&["export", "-o", "out.sigchain"], 0, &["wrote 2 entries"]);
    for args in [&["verify"][..], &["log"], &["status"], &["append", "--lines"]] {
        place.expect(args, 2, &["SIGCHAIN_LEDGER"]);
    }
}

#[test]
fn what_is_refused_is_5_and_records_nothing() {
    let place = place();
    let event = ["append", "led", "--actor", "a", "--type"];
    for more in [
        &["Bad"][..],
        &["chain.x"],
        &["a.b", "--event-id", "x"],
        &["a.b", "--cause", "x"],
        &["a.b", "--valid-from", "yesterday"],
        &["a.b", "--trace", "x"],
        &["a.b", "--episode", ""],
    ] {
        let args = [&event[..], more].concat();
        place.expect(&args, 5, &["FIELD: not recorded: ", "next: mend the field"]);
        let said = place.expect(&[&args[..], &["--json"]].concat(), 5, &["\"ok\":false"]);
        schema::check("append", &serde_json::from_str(&said).unwrap());
    }
    let first = [&event[..], &["a.b", "--event-id", ID]].concat();
    place.expect(&first, 0, &["entry 1"]);
    place.expect(&first, 0, &["entry 1"]);
    place.expect(&[&first[..], &["--episode", "e"]].concat(), 5, &["EVENT_ID_USED"]);
    assert_eq!(place.status()["entries"], 2);
}

#[test]
fn wrong_calls_are_2() {
    let place = place();
    for args in [
        &["append", "led"][..],
        &["append", "led", "--type", "a.b"],
        &["append", "led", "--type", "a", "--actor", "a", "--event_id", ID],
        &["append", "led", "--type", "a", "--actor", "a", "--media-type", "x"],
        &["append", "led", "--type", "a", "--actor", "a", "--span", "00f067aa0ba902b7"],
        &["append", "led", "--type", "a", "--type", "a", "--actor", "a"],
        &["append", "led", "--lines", "--payload", "1"],
        &["append", "led", "--lines", "--json"],
        &["append", "led", "--lines", "--event-id", ID],
        &["append", "led", "--lines", "--wait", "soon"],
        &["append", "led", "other", "--lines"],
        &["export", "led"],
        &["export", "led", "-o", "x", "--form", "xml"],
        &["checkpoint", "led", "--json"],
        &["status", "led", "x"],
    ] {
        place.expect(args, 2, &[]);
    }
    for command in ["init", "append", "export", "checkpoint", "status"] {
        place.expect(&["help", command], 0, &["Exit codes"]);
        place.expect(&[command, "--help"], 0, &["Exit codes"]);
    }
}

/// One outcome for each line, in order, whatever is between them.
#[test]
fn a_bad_line_is_named_and_harmless() {
    let place = place();
    let mut lines = place.lines(&["--episode", "run-1"]);
    let long = format!("{{\"type\":\"a.b\",\"payload\":\"{}\"}}", "x".repeat(17 << 20));
    let sent = [
        (
            "{\"type\":\"a.b\",\"payload\":{\"z\":1,\"a\":9007199254740993,\"z\":1.50},\"ref\":\"one\"}",
            "true",
        ),
        ("{\"type\":\"a.b\",\"payload\":1,\"ref\":2,\"tpye\":\"x\"}", "LINE"),
        ("{\"type\":\"a.b\",\"payload\":1,\"payload\":1,\"ref\":3}", "LINE"),
        ("", "LINE"),
        ("no json \u{9b}31m", "LINE"),
        ("[1]", "LINE"),
        ("{\"type\":\"a.b\",\"ref\":4}", "LINE"),
        ("{\"type\":7,\"payload\":1}", "LINE"),
        ("{\"payload\":1}", "FIELD"),
        ("{\"type\":\"key.enroll\",\"payload\":1}", "FIELD"),
        (&long, "LINE_LENGTH"),
        (
            "{\"type\":\"a.c\",\"payload\":null,\"episode\":null,\"actor\":\"other\",\"ref\":\"\u{e9}\u{9b}\"}",
            "true",
        ),
        (
            "  {\"type\":\"a.d\", \"payload\" : [ 1 ] , \"media_type\":\"application/x\",\"episode\":\"own\"}\r",
            "true",
        ),
    ];
    for (line, _) in sent {
        lines.send(line);
    }
    drop(lines.input.take());
    let outcomes = lines.outcomes();
    assert_eq!(lines.end().code(), Some(5));
    assert_eq!(outcomes.len(), sent.len());
    for ((outcome, (line, code)), number) in outcomes.iter().zip(sent).zip(1..) {
        assert_eq!(outcome["line"], number);
        let shown = &line[..line.len().min(80)];
        if code == "true" {
            assert_eq!(outcome["ok"], true, "{shown}: {outcome}");
        } else {
            assert_eq!(
                (&outcome["ok"], &outcome["code"]),
                (&false.into(), &code.into()),
                "{shown}"
            );
        }
    }
    let refs: Vec<&Value> = outcomes.iter().map(|outcome| &outcome["ref"]).collect();
    assert_eq!(*refs[0], "one");
    assert_eq!((refs[1], refs[2], refs[6]), (&2.into(), &3.into(), &4.into()));
    assert_eq!(*refs[11], "\u{e9}\u{9b}");
    let entries = place.entries();
    let of = |at: usize, key: &str| entries[at][key].clone();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0]["payload"]["text"], "{\"z\":1,\"a\":9007199254740993,\"z\":1.50}");
    assert_eq!((of(1, "actor"), of(1, "episode_id")), ("other".into(), "run-1".into()));
    assert_eq!(entries[1]["payload"]["text"], "null");
    assert_eq!((of(2, "actor"), of(2, "episode_id")), ("agent:a".into(), "own".into()));
    assert_eq!(entries[2]["payload"]["text"], "[ 1 ]");
    assert_eq!(entries[2]["payload"]["media_type"], "application/x");
    for (outcome, entry) in outcomes.iter().filter(|outcome| outcome["ok"] == true).zip(&entries) {
        assert_eq!(outcome["event_id"], entry["event_id"]);
        assert_eq!(outcome["sequence"], entry["sequence"]);
    }
    place.is_intact();
}

#[test]
fn a_receipt_does_not_wait_for_the_next_line() {
    let place = place();
    let mut lines = place.lines(&[]);
    for number in 1..=3 {
        lines.send(&format!("{{\"type\":\"a.b\",\"payload\":{number},\"event_id\":\"{ID}\"}}"));
        let outcome = lines.outcome().unwrap();
        // The same id with another payload is refused, and the session goes on.
        assert_eq!(outcome["ok"], number == 1, "{outcome}");
    }
    lines.send(&format!("{{\"type\":\"a.b\",\"payload\":1,\"event_id\":\"{ID}\"}}"));
    let again = lines.outcome().unwrap();
    assert_eq!((&again["ok"], &again["sequence"]), (&true.into(), &1.into()), "recorded once");
    // Without a line feed at the end it is a line all the same.
    std::io::Write::write_all(lines.input.as_mut().unwrap(), b"{\"type\":\"a.b\",\"payload\":5}")
        .unwrap();
    drop(lines.input.take());
    assert_eq!(lines.outcomes().len(), 1);
    assert_eq!(lines.end().code(), Some(5));
    assert_eq!(place.status()["entries"], 3);
}

/// Many lines: none lost, none twice, all in order, few syncs.
#[test]
fn many_lines_share_syncs() {
    const LINES: u64 = 20_000;
    let place = place();
    let line = |number| format!("{{\"type\":\"a.b\",\"payload\":{number},\"ref\":{number}}}\n");
    let text: String = (0..LINES).map(line).collect();
    fs::write(place.path("in"), text).unwrap();
    let output = place
        .command(&["append", "led", "--lines", "--actor", "a"])
        .stdin(fs::File::open(place.path("in")).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8(output.stdout).unwrap();
    for (line, number) in told.lines().zip(0..) {
        let outcome: Value = serde_json::from_str(line).unwrap();
        let found =
            (outcome["ref"].as_u64(), outcome["line"].as_u64(), outcome["sequence"].as_u64());
        assert_eq!(found, (Some(number), Some(number + 1), Some(number + 1)));
    }
    assert_eq!(told.lines().count(), 20_000);
    place.is_intact();
    let groups = groups(&place.path("led/segment-0000000000"));
    assert!(groups < 20_000 / 10, "{groups} groups for 20,000 lines");
}

/// The heads of frames that begin a group: the letter of an entry, the mark, and a sound CRC over both.
fn groups(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let is_first = |head: &&[u8]| {
        let crc = u32::from_be_bytes(head[12..16].try_into().unwrap());
        head[..2] == *b"E\x01" && crc32(&head[..12]) == crc
    };
    bytes.windows(16).filter(is_first).count()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// The example of spec/lines.md, as it is printed there.
#[test]
fn another_language_records_by_lines() {
    let place = place();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/append.py");
    let output = place
        .by("python3")
        .arg(example)
        .args(["led", env!("CARGO_BIN_EXE_sigchain")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    let told: Vec<Vec<&str>> = told.lines().map(|line| line.split(' ').collect()).collect();
    let found: Vec<_> = told.iter().map(|words| (words[0], words[1])).collect();
    assert_eq!(found, [("1", "call"), ("2", "0"), ("3", "1")]);
    let entries = place.entries();
    assert_eq!(entries[2]["causation_id"], entries[0]["event_id"]);
    place.is_intact();
}

/// Keys that are elsewhere, and keys that others could read.
#[test]
fn without_the_keys_nothing_is_recorded() {
    let place = place();
    let event = ["append", "led", "--type", "a.b", "--actor", "a"];
    let output = place.command(&event).env("SIGCHAIN_HOME", place.path("other")).output().unwrap();
    check(&event, &output, 4, &["KEY_MISSING", "SIGCHAIN_HOME"]);
    let output = place.command(&event).env("SIGCHAIN_HOME", "relative").output().unwrap();
    check(&event, &output, 4, &["KEY_FILE", "begins with /"]);
    for file in fs::read_dir(place.path("home/keys")).unwrap() {
        let path = file.unwrap().path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    place.expect(&event, 4, &["KEY_FILE", "chmod 600"]);
    assert_eq!(place.status()["entries"], 1);
}

#[test]
fn a_mirror_is_kept_where_it_is_asked_for() {
    let place = place();
    let event = ["append", "led", "--type", "a.b", "--actor", "a", "--payload", "{\"n\":1}"];
    place.expect(&[&event[..], &["--mirror", "mir"]].concat(), 0, &["recorded: entry 1"]);
    // Without it the mirror stays as it is, and the next one catches up.
    place.expect(&event, 0, &[]);
    let mut command = place.command(&["append", "led", "--lines", "--actor", "a"]);
    command.env("SIGCHAIN_MIRROR", place.path("mir")).stdin(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"{\"type\":\"a.b\",\"payload\":2}\n").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let text = fs::read_to_string(place.path("mir/chain.jsonl")).unwrap();
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sequences: Vec<u64> = values.filter_map(|value| value["sequence"].as_u64()).collect();
    assert_eq!(sequences, [0, 1, 2, 3]);
    let line: Vec<&str> = place.line.iter().map(String::as_str).collect();
    place.expect(&[&["verify", "mir/chain.jsonl"], &line[..]].concat(), 0, &["intact: "]);
    // What is wrong with it is told, and is no failure; a place that cannot be one is a wrong call.
    fs::write(place.path("file"), "").unwrap();
    let mut command = place.command(&[&event[..], &["--mirror", "led/mir"]].concat());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("MIRROR_PLACE"), "{said}");
}
