//! The flags of all commands, compared: one name means one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command};

use crate::args::command;

/// All commands with what they are called, `key new` too.
fn commands() -> Vec<(String, Command)> {
    let mut all = command();
    all.build();
    let mut found: Vec<(String, Command)> = vec![(String::new(), all)];
    let mut at = 0;
    while at < found.len() {
        let (name, command) = found[at].clone();
        for inner in command.get_subcommands() {
            let words = format!("{name} {}", inner.get_name());
            found.push((words.trim().to_owned(), inner.clone()));
        }
        at += 1;
    }
    found.remove(0);
    found
}

fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| arg.get_long().is_some())
}

/// What a flag is: its short form, the name of its value, and whether it takes one, none or several.
fn kind(arg: &Arg) -> (Option<char>, Vec<String>, String) {
    let values = arg.get_value_names().unwrap_or_default();
    let values = values.iter().map(ToString::to_string).collect();
    (arg.get_short(), values, format!("{:?}", arg.get_action()))
}

/// Flags that are not the same everywhere, and why that is right.
const EXCEPTIONS: &[(&str, &str)] = &[
    // Of an event one, of a selection any number.
    ("type", "append"),
    // What an entry is proved by is one; a verdict can rest on many.
    ("checkpoint", "prove"),
    ("checkpoint", "sample"),
    // Archives are many; what is brought back after damage comes from one place.
    ("from", "restore"),
    // Many files go into a directory.
    ("output", "man"),
    ("output", "sample"),
];

/// Words that begin alike and are not one word cut short.
const APART: &[(&str, &str)] = &[
    ("all", "allow-"),
    ("approval", "approvals"),
    ("old", "older-"),
    ("sign", "signer"),
    ("to", "tool"),
];

#[test]
fn one_flag_is_the_same_in_all_commands() {
    let mut known: BTreeMap<String, (String, _)> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for (name, command) in commands() {
        for arg in flags(&command) {
            let long = arg.get_long().unwrap().to_owned();
            let is_exception = |(flag, of): &(&str, &str)| *flag == long && *of == name;
            if let Some(exception) = EXCEPTIONS.iter().find(|pair| is_exception(pair)) {
                used.insert(*exception);
                continue;
            }
            let kind = kind(arg);
            let (first, wanted) = known.entry(long.clone()).or_insert((name.clone(), kind.clone()));
            assert_eq!(kind, *wanted, "--{long} of {name} is another than that of {first}");
        }
    }
    assert_eq!(used.len(), EXCEPTIONS.len(), "an exception that nobody needs");
    // Two spellings of one thing.
    let spelled = |long: &str| long.replace('-', "").trim_end_matches('s').to_owned();
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for long in known.keys() {
        if let Some(other) = seen.insert(spelled(long), long) {
            let is_apart = |(one, two): &(&str, &str)| other == *one && long == two;
            assert!(APART.iter().any(is_apart), "--{long} and --{other}");
        }
        // One that begins like another is fine only if a word more makes it another thing.
        let is_other = |other: &&String| {
            let is_apart = APART.iter().any(|(one, two)| long == one && other.starts_with(two));
            **other != *long && other.starts_with(long.as_str()) && !is_apart
        };
        for other in known.keys().filter(is_other) {
            assert_eq!(other.as_bytes().get(long.len()), Some(&b'-'), "--{long} and --{other}");
        }
    }
}

#[test]
fn every_command_and_every_flag_has_help() {
    for (name, command) in commands() {
        assert!(command.get_about().is_some(), "{name}");
        let about = command.get_about().unwrap().to_string();
        assert!(!about.ends_with('.') && about.len() < 110, "{name}: {about}");
        let help = flags(&command).find(|arg| arg.get_short() == Some('h'));
        assert_eq!(help.and_then(Arg::get_long), Some("help"), "{name} has no -h");
        for arg in command.get_arguments() {
            let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!text.is_empty() && text.is_ascii(), "{name}: {} has no help", arg.get_id());
        }
        let codes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let says = codes.contains("xit code")
            || matches!(name.as_str(), "key" | "help" | "quarantine" | "review");
        assert!(says, "{name} says nothing of its exit codes");
    }
}

/// What answers nothing that a program would read, or answers in a form of its own.
const WITHOUT_JSON: &[&str] = &[
    "init",           // the one line is the answer, as arguments for verify
    "checkpoint",     // a signed note
    "export",         // the file is the answer
    "prove",          // a proof
    "forget",         // nothing to say
    "action",         // what the program writes is the answer
    "review",         // its commands answer
    "review request", // the id is the answer
    "review approve", // one line for people; the entry is the answer
    "review veto",
    "review expire",
    "demo",       // for people
    "quarantine", // its commands answer
    "quarantine note",
    "quarantine halt",
    "quarantine reconcile",
    "quarantine dismiss",
    "quarantine drill", // for people
    "scrub",            // one line; the exit code is the answer
    "key",              // its commands answer
    "key new",          // the path of the public half
    "key approve",      // the approval, which is JSON
    "completions",      // a script
    "man",              // roff
    "help",
];

/// `--json` says in its help by which schema it answers, and the schema is there.
#[test]
fn every_command_that_answers_does_so_in_json() {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec");
    for (name, command) in commands() {
        let json = flags(&command).find(|arg| arg.get_long() == Some("json"));
        let Some(json) = json else {
            assert!(WITHOUT_JSON.contains(&name.as_str()), "{name} has no --json");
            continue;
        };
        assert!(!WITHOUT_JSON.contains(&name.as_str()), "{name} has one");
        assert!(matches!(json.get_action(), ArgAction::SetTrue));
        let help = json.get_help().unwrap().to_string();
        let file = help.split_once("(spec/").and_then(|(_, rest)| rest.split_once(')'));
        let file = file.map_or_else(|| panic!("{name}: {help}"), |(file, _)| file);
        let schema = fs::read_to_string(spec.join(file)).unwrap();
        assert!(schema.contains("\"$schema\""), "{file}");
    }
}
