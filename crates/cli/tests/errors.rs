//! With --json a failure is one object too, of every command that has --json.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use crate::ledger::support::{Place, place, text};
use crate::schema;

/// The words of each command that answers in JSON, with those that make it fail.
const FAILING: &[(&str, &[&str], i32)] = &[
    ("append", &["nowhere", "--type", "a.b", "--actor", "a"], 4),
    ("archive", &["nowhere", "--to", "x", "--leave", "1B"], 4),
    ("bench", &["--entries", "0"], 2),
    ("diff", &["nowhere", "0", "1"], 4),
    ("doctor", &["led", "other"], 2),
    ("episode", &["nowhere", "run-7"], 4),
    ("explain", &["NO_SUCH_CODE"], 2),
    ("hold", &["nowhere", "--list"], 4),
    ("key enroll", &["nowhere"], 4),
    ("key revoke", &["nowhere", "--old", "00", "-o", "p"], 4),
    ("key rotate", &["nowhere"], 4),
    ("key show", &["nowhere"], 4),
    ("log", &["nowhere"], 4),
    ("quarantine list", &["nowhere"], 4),
    ("quarantine show", &["nowhere"], 4),
    ("replay", &["nowhere"], 4),
    ("restore", &["nowhere", "--from", "x"], 4),
    ("review list", &["nowhere"], 4),
    ("sample", &["nowhere", "-n", "1", "--seed", "s", "-o", "x"], 4),
    ("show", &["nowhere", "0"], 4),
    ("status", &["nowhere"], 4),
    ("verify", &["nowhere"], 4),
];

/// The words of all commands.
fn commands(place: &Place, before: &[&str]) -> BTreeSet<String> {
    let output = place.command(&[&["help"], before].concat()).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let Some((_, listed)) = help.split_once("Commands:\n") else {
        return BTreeSet::from([before.join(" ")]);
    };
    let names = listed.lines().take_while(|line| line.starts_with("  "));
    let mut found = BTreeSet::new();
    for line in names.filter(|line| !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            found.extend(commands(place, &[before, &[name]].concat()));
        }
    }
    found
}

/// The failure that a call with --json tells, as the last line on standard error.
#[track_caller]
fn failure(output: &Output, exit: i32) -> Value {
    let said = text(output);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    assert!(output.stdout.is_empty(), "a failure is no answer: {said}");
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(told.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{told}");
    let mut lines: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().unwrap();
    schema::check("error", &last);
    assert_eq!(last["exit"], exit, "{last}");
    for note in lines {
        assert!(note.as_object().unwrap().len() == 1 && note["note"].is_string(), "{note}");
    }
    last
}

#[test]
fn every_command_that_answers_in_json_fails_in_json() {
    let place = place();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for name in commands(&place, &[]) {
        let words: Vec<&str> = name.split(' ').collect();
        let help = place.command(&[&["help"], &words[..]].concat()).output().unwrap();
        if String::from_utf8(help.stdout).unwrap().contains("--json ") {
            known.insert(name);
        }
    }
    let tested = FAILING.iter().map(|(name, ..)| (*name).to_owned());
    assert_eq!(known, tested.collect());
    for (name, words, exit) in FAILING {
        let name: Vec<&str> = name.split(' ').collect();
        let call = |more: &[&str]| place.command(&[&name[..], words, more].concat()).output();
        let error = failure(&call(&["--json"]).unwrap(), *exit);
        let next = error["next"].as_str().unwrap();
        assert!(!next.is_empty() && !error["what"].as_str().unwrap().is_empty(), "{error}");
        let code = error["code"].as_str().unwrap();
        place.expect(&["explain", code], 0, &[code]);
        // Without it, in words, of the same code.
        let said = text(&call(&[]).unwrap());
        assert!(said.starts_with("sigchain: ") && said.contains(code), "{said}");
        let wrong = failure(&call(&["--json", "--no-such-flag"]).unwrap(), 2);
        assert_eq!(wrong["code"], "USAGE");
    }
}

/// Whatever the answer is no to, and what came before it.
#[test]
fn an_answer_that_is_no_is_told_in_json() {
    let place = place();
    let hostile = "no\u{1b}[2J\u{202e}where";
    for (args, exit, code) in [
        (&["show", "led", "99", "--json"][..], 1, "ANSWER_NO"),
        (&["log", "led", "--since", "99", "--json"], 1, "ANSWER_NO"),
        (
            &["log", "led", "--unverified", "--since", "-1", "--until", "99", "--json"],
            1,
            "ANSWER_NO",
        ),
        (&["log", hostile, "--json"], 4, "FS_MISSING"),
        (&["verify", hostile, "--json"], 4, "FS_MISSING"),
        (&["diff", "led", "0", "99", "--json"], 1, "ANSWER_NO"),
        (&["sample", "led", "-n", "1", "--seed", "s", "-o", "led", "--json"], 2, "USAGE"),
    ] {
        let output = place.command(args).output().unwrap();
        if args.contains(&"--unverified") && output.status.success() {
            continue;
        }
        let error = failure(&output, exit);
        assert_eq!(error["code"], code, "{error}");
        if args.contains(&hostile) {
            assert!(error["what"].as_str().unwrap().contains(hostile), "{error}");
        }
    }
    // Behind -- there are no flags, and a value is none either.
    let output = place.command(&["log", "--", "--json"]).output().unwrap();
    assert!(text(&output).starts_with("sigchain: "), "{}", text(&output));
    let output = place.command(&["log", "led", "--json"]).output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && notes.starts_with("{\"note\":\""), "{notes}");
}
