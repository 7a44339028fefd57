//! The commands that spec/auditors.md gives to those who trust no program of ours, as they stand there.

use std::process::Command;

use crate::ledger::support::place;
use crate::support::{in_folder, text};

const AUDITORS: &str = include_str!("../../../spec/auditors.md");

#[test]
fn what_auditors_are_told_to_type_works() {
    let (_, section) = AUDITORS.split_once("## 6. With tools that are not ours").unwrap();
    let (_, script) = section.split_once("```sh\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in ["run.sigchain", "held.checkpoint", "checkpoint-key.pem"] {
        std::fs::copy(in_folder(name), folder.path().join(name)).unwrap();
    }
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sigchain")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let run = |script: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-euc", script]).current_dir(folder.path()).env("PATH", &path);
        bash.env("SPEC", concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec")).output().unwrap()
    };
    let output = run(script);
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert_eq!(said.matches("Signature Verified Successfully").count(), 2, "{said}");
    assert!(said.contains("intact"), "{said}");
    // None of them says yes to whatever it is given.
    for (right, wrong) in [
        ("> note.text", "| sed 's/^10$/11/' > note.text"),
        (
            "sigchain show run.sigchain 8 >",
            "sigchain show run.sigchain 8 | sed 's/^digest *./&0/' >",
        ),
        ("sigchain1/key", "sigchain1/kez"),
        ("verify.py\" --checkpoint held.checkpoint run.sigchain", "verify.py\" run.sigchain"),
    ] {
        assert!(script.contains(right));
        let output = run(&script.replace(right, wrong));
        assert!(!output.status.success(), "{wrong}: {}", text(&output));
    }
}

/// Names and places of the examples, as they are in the ledger of the test.
const MEANT: &[(&str, &str)] = &[
    ("LEDGER", "led"),
    ("WHAT", "led"),
    ("4711", "3"),
    ("-n 25", "-n 2"),
    ("2026-07-01T00:00:00Z", "-4"),
    ("2026-09-30T23:59:59.999999Z", "head"),
    ("'payment.*'", "'test.*'"),
    ("'tool.*'", "'test.*'"),
    ("tool.call:arguments", "test.call:arguments"),
    ("SAMPLE/17", "SAMPLE/$(cd SAMPLE; ls *.tlog-proof | head -n 1 | sed 's/.tlog-proof//')"),
    ("--checkpoint HELD --", "--checkpoint HELD.checkpoint --"),
    // What it demands from then on the other examples do not do.
    ("\"sample\",\"verify\"", "\"sample\""),
];

#[test]
fn every_command_for_auditors_works() {
    let place = place();
    for (kind, payload) in [
        ("test.call", "{\"tool\":\"search\"}"),
        ("test.result", "{\"found\":3}"),
        ("test.call", "{\"tool\":\"mail\"}"),
        ("note", "1"),
        ("visits.end", "{}"),
    ] {
        let args = ["append", "led", "--type", kind, "--actor", "agent:a", "--payload", payload];
        place.expect(&args, 0, &[]);
    }
    let commands = AUDITORS.lines().filter_map(|line| {
        let line = line.trim_start();
        let command = line.strip_prefix("$ ").unwrap_or(line);
        command.starts_with("sigchain ").then_some(command)
    });
    let outside = AUDITORS.split_once("## 6.").unwrap().1;
    let mut count = 0;
    for command in commands.filter(|command| !outside.contains(command)) {
        let mut meant = command.to_owned();
        for (word, is) in MEANT {
            meant = meant.replace(word, is);
        }
        let mut bash = place.by("bash");
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_sigchain")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        bash.args(["-c", &meant]).env("PATH", path);
        let output = bash.output().unwrap();
        // What differs, and outcomes without a gate, are answers too.
        let wanted = match command {
            _ if command.starts_with("sigchain diff") => 1,
            _ if command.contains("--require-gate") => 1,
            _ => 0,
        };
        assert_eq!(output.status.code(), Some(wanted), "{command}: {meant}: {}", text(&output));
        count += 1;
    }
    assert!(count >= 10, "{count} commands were found");
}
