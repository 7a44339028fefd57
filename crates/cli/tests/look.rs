//! How answers look: on a terminal, of which `script` makes one, and elsewhere; and what `log --grep` and `show` add to them.

use std::process::{Command, Stdio};

use serde_json::Value;
use sigchain::digest::Digest;
use sigchain::key::Signature;
use sigchain::tree;

use crate::ledger::support::{Place, place};
use crate::support::{expect, run, text};

/// A ledger with what may matter: causes within it and outside, hostile text, an episode.
fn filled() -> Place {
    let place = place();
    let append = |more: &[&str]| -> String {
        let args = [&["append", "led", "--actor", "agent:a", "--json"], more].concat();
        let output = place.run(&args);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        value["event_id"].as_str().unwrap().to_owned()
    };
    let call = append(&["--type", "test.call", "--payload", "{\"tool\":\"Search\"}"]);
    let result = append(&["--type", "test.result", "--cause", &call, "--episode", "run-7"]);
    append(&["--type", "test.error", "--cause", &result, "--payload", "{\"a\":\"\\u001b[2J\"}"]);
    append(&["--type", "note", "--cause", "019a0000-0000-7000-8000-00000000017c"]);
    place
}

/// What a terminal shows of a call.
fn on_terminal(place: &Place, env: &[(&str, &str)], args: &str) -> String {
    let mut command = place.by("script");
    let call = format!("{} {args}", env!("CARGO_BIN_EXE_sigchain"));
    command.args(["-qec", &call, "/dev/null"]).env("TERM", "xterm").envs(env.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

/// ./check says so loudly if it is not there.
fn has_script() -> bool {
    Command::new("script").arg("--version").output().is_ok()
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let place = filled();
    let is_coloured = |shown: &str| {
        shown.contains("\u{1b}[36mtest.call") && shown.contains("\u{1b}[1;31mtest.error")
    };
    let plain = place.expect(&["log", "led"], 0, &[]);
    assert!(!plain.contains('\u{1b}'));
    assert!(is_coloured(&place.expect(&["log", "led", "--color", "always"], 0, &[])));
    let line: Vec<&str> = place.line.iter().map(String::as_str).collect();
    let verdict = [&["--color", "always", "verify", "led"], &line[..]].concat();
    place.expect(&verdict, 0, &["\u{1b}[32mintact:\u{1b}[0m 5 entries"]);
    place.expect(
        &["log", "led", "--color", "often"],
        2,
        &["'often'", "expected: one of auto, always, never"],
    );
    if !has_script() {
        return;
    }
    let cat = ("PAGER", "cat");
    assert!(is_coloured(&on_terminal(&place, &[cat], "log led")));
    for (env, args) in [
        (&[cat, ("NO_COLOR", "1")][..], "log led"),
        (&[cat, ("TERM", "dumb")], "log led"),
        (&[cat], "log led --color never"),
    ] {
        assert!(!on_terminal(&place, env, args).contains('\u{1b}'), "{env:?} {args}");
    }
}

#[test]
fn a_terminal_has_a_pager() {
    let place = filled();
    if !has_script() {
        return;
    }
    let shows = |pager: &str, args: &str| on_terminal(&place, &[("SIGCHAIN_PAGER", pager)], args);
    let paged = shows("sed s/^/>>/", "log led --color never");
    assert_eq!(paged.matches(">>").count(), 4, "{paged}");
    // What is said on the side comes when the pager has been left.
    assert!(paged.rfind(">>").unwrap() < paged.find("verified only against itself").unwrap());
    assert!(shows("sed s/^/>>/", "show led 2").contains(">>entry 2 of"));
    assert!(!shows("sed s/^/>>/", "log led --no-pager").contains(">>"));
    // One that is left early, one that is not there, one of several words.
    assert!(shows("head -n 1", "log led").contains("test.call"));
    assert!(shows("no-such-pager", "log led").contains("test.error"));
    // Elsewhere there is none.
    let mut command = place.command(&["log", "led"]);
    let output = command.env("PAGER", "sed s/^/>>/").output().unwrap();
    assert!(!text(&output).contains(">>"));
}

#[test]
fn log_shows_only_what_a_pattern_is_found_in() {
    let place = filled();
    let count = |pattern: &str| {
        let output = place.run(&["log", "led", "--json", "--grep", pattern]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    let found = ["Search", "search", "(?i)search", "^test\\.", "run-\\d", "agent", "\\.error$"];
    assert_eq!(found.map(count), [1, 0, 1, 3, 1, 4, 1]);
    let args = ["log", "led", "--type", "test.*", "--grep", "^\\{", "--since", "2", "--unverified"];
    let said = place.expect(&args, 0, &["test.error"]);
    assert!(!said.contains("test.call"), "{said}");
    for pattern in ["(", "\\p{x}", "a{1000}{1000}{1000}"] {
        let said = place.expect(&["log", "led", "--grep", pattern], 2, &["is no pattern"]);
        assert!(said.contains("a regular expression: "), "{said}");
    }
}

#[test]
fn log_knows_when_something_was_true() {
    let place = place();
    let spans = [("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"), ("2026-03-01T00:00:00Z", "")];
    for (from, to) in spans {
        let mut args = vec!["append", "led", "--type", "a.b", "--actor", "a", "--valid-from", from];
        if !to.is_empty() {
            args.extend(["--valid-to", to]);
        }
        place.expect(&args, 0, &[]);
    }
    place.expect(&["append", "led", "--type", "a.b", "--actor", "a"], 0, &[]);
    let count = |more: &[&str]| {
        let output = place.run(&[&["log", "led", "--json"], more].concat());
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    assert_eq!(count(&["--valid-from", "2026-01-15T00:00:00Z"]), 2);
    assert_eq!(count(&["--valid-from", "2026-02-01T00:00:00Z"]), 1);
    assert_eq!(count(&["--valid-to", "2026-03-01T00:00:00Z"]), 1);
    assert_eq!(count(&["--valid-to", "2026-01-01T01:00:00+01:00"]), 0);
    place.expect(&["log", "led", "--valid-to", "5"], 2, &["\"5\" is no time", "2026-11-20T05"]);
}

#[test]
fn show_names_causes_and_consequences() {
    let place = filled();
    place.expect(&["export", "led", "-o", "all.sigchain"], 0, &[]);
    place.expect(&["export", "led", "-o", "all.jsonl", "--form", "jsonl"], 0, &[]);
    for file in ["led", "all.sigchain", "all.jsonl"] {
        let said = place.expect(&["show", file, "3"], 0, &["caused by:\n        2  test.result "]);
        assert!(said.contains("\n        1  test.call         agent:a\nno later entry"), "{said}");
        assert!(!said.contains('\u{1b}') && said.contains("\\u001b[2J"), "{said}");
        let outside = "019a0000-0000-7000-8000-00000000017c: no entry of this record";
        place.expect(&["show", file, "4"], 0, &[outside]);
        place.expect(
            &["show", file, "1"],
            0,
            &["it names no cause\nlater entries", "  2  test.result"],
        );
    }
    let mut command = place.command(&["show", "-", "3"]);
    let file = std::fs::File::open(place.path("all.sigchain")).unwrap();
    let output = command.stdin(file).output().unwrap();
    assert!(text(&output).contains(": not looked up here\n"), "{}", text(&output));
    // A circle of causes ends.
    let ids = ["019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-000000000002"];
    for (id, cause) in [(ids[0], ids[1]), (ids[1], ids[0])] {
        let args =
            ["append", "led", "--type", "a.b", "--actor", "a", "--event-id", id, "--cause", cause];
        place.expect(&args, 0, &[]);
    }
    let said = place.expect(&["show", "led", "6"], 0, &["not looked up here"]);
    assert_eq!(said.matches("  a.b  ").count(), 8, "{said}");
}

#[test]
fn the_proof_that_show_gives_is_one() {
    let word = |said: &str, name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    for number in 0..14_u64 {
        let at = number.to_string();
        let said = expect(&["show", "run.sigchain", &at, "--proof"], 0, &["root over 14 entries:"]);
        let digest = Digest::parse(&word(&said, "digest ")).unwrap();
        let signature: Vec<u8> = (0..128)
            .step_by(2)
            .map(|at| u8::from_str_radix(&word(&said, "signature ")[at..at + 2], 16).unwrap())
            .collect();
        let signature = Signature::new(signature.try_into().unwrap());
        let proof = said.lines().skip_while(|line| !line.starts_with("proof ")).skip(1);
        let mut hashes = proof.map_while(|line| Digest::parse(line.trim()));
        let root = hashes.next().unwrap();
        let path: Vec<Digest> = hashes.collect();
        let leaf = tree::leaf_hash(&digest, &signature);
        assert!(tree::verify_inclusion(&leaf, number, 14, &path, &root), "{said}");
    }
    let output = run(&["show", "run.sigchain", "3", "--proof", "--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}
