//! Codes: what a program tests for, and what a person looks up.

use std::fs;

use crate::ledger::support::{check, empty, place};
use crate::operator::{EVENT, json};

/// Each exit code by a real command. 8 comes with quarantine.
#[test]
fn every_exit_code_is_produced() {
    let place = place();
    place.expect(&EVENT, 0, &["recorded"]);
    place.expect(&["show", "led", "99"], 1, &[]);
    place.expect(&["show", "led", "99", "--nope"], 2, &["USAGE"]);
    place.expect(&["export", "led", "-o", "f"], 0, &[]);
    place.expect(&["verify", "f"], 3, &["unvouched"]);
    place.expect(&["verify", "missing"], 4, &["FS_MISSING"]);
    place.expect(&[&EVENT[..4], &["--actor", ""]].concat(), 5, &["FIELD"]);
    // With no room for a single block the write fails part-way.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    let output = place
        .by("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sigchain")])
        .args(EVENT)
        .output()
        .unwrap();
    check(&EVENT, &output, 6, &["UNCERTAIN"]);
    let mut lines = place.lines(&[]);
    lines.send("{\"type\":\"a.b\",\"payload\":1}");
    assert_eq!(lines.outcome().unwrap()["ok"], true);
    place.expect(&EVENT, 7, &["LEDGER_BUSY"]);
    assert_eq!(lines.end().code(), Some(0));
}

/// A message names its code, and the code is explained.
#[test]
fn a_trouble_has_a_code_that_is_explained() {
    let place = place();
    fs::write(place.path("file"), "x").unwrap();
    for (args, exit, code) in [
        (&["verify", "nope"][..], 4, "FS_MISSING"),
        (&["bogus"], 2, "USAGE"),
        (&["init", "led", "--name", "a"], 2, "FS_EXISTS"),
        (&["status", "nope"], 4, "FS_MISSING"),
        (&["status", "file"], 4, "FS_KIND"),
        (&["key", "show", "home"], 4, "LEDGER_FILES"),
        (&["append", "led", "--type", "A", "--actor", "a"], 5, "FIELD"),
    ] {
        let said = place.expect(args, exit, &[&format!("sigchain: {code}: ")]);
        assert_eq!(said.matches(code).count(), 1, "{said}");
        place.expect(&["explain", code], 0, &[code, "means", "causes", "next"]);
    }
}

#[test]
fn explain_knows_codes_numbers_and_verdicts() {
    let place = empty();
    place.expect(&["explain", "LINK"], 0, &["a fault", "Not linked to the entry before"]);
    place.expect(&["explain", "fs-permission:"], 0, &["FS_PERMISSION", "chmod"]);
    place.expect(&["explain", "7"], 0, &["another writer holds the ledger", "sigchain doctor"]);
    place.expect(&["explain", "unvouched"], 0, &["a verdict", "--checkpoint"]);
    let both = place.expect(&["explain", "abandoned"], 0, &["a fault", "an error"]);
    assert_eq!(both.matches("means").count(), 2);
    let all = place.expect(
        &["explain"],
        0,
        &["Exit codes", "Verdicts", "Faults", "Errors", "LEDGER_BUSY"],
    );
    assert!(all.lines().count() > 100);
    place.expect(&["explain", "LIKN"], 2, &["LINK", "sigchain explain lists all"]);
    let said = place.expect(&["explain", "\u{1b}[2J\u{202e}"], 2, &["there is no code"]);
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'));
    let known = json(&place, "explain", &["SIGNATURE"], 0);
    assert_eq!(known["codes"][0]["kind"], "fault");
    let known = json(&place, "explain", &[], 0);
    assert!(known["codes"].as_array().unwrap().len() > 100);
}

/// The help has the table too.
#[test]
fn the_help_names_every_exit_code() {
    let said = empty().expect(&["help"], 0, &["Exit codes: 0 done"]);
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for code in 1..=8 {
        assert!(flat.contains(&format!("; {code} ")), "{code}: {flat}");
    }
}
