//! What an operator lives with: keys, agents, codes, doctor, status, completions and pages.

mod agent;
mod codes;
mod doctor;
mod keys;
mod shell;
mod status;

use serde_json::Value;

use crate::ledger::support::{Place, empty, text};
use crate::schema;

/// An event.
pub(crate) const EVENT: [&str; 6] = ["append", "led", "--type", "test.call", "--actor", "agent:a"];

/// A ledger with an operator, whose key is in `op.pem`.
pub(crate) fn with_operator() -> Place {
    let mut place = empty();
    place.expect(&["key", "new", "--role", "operator", "-o", "op.pem"], 0, &["keep it offline"]);
    let init = ["init", "led", "--name", "example.org/agents", "--operator", "op.pem.pub"];
    let output = place.run(&init);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let line = String::from_utf8(output.stdout).unwrap();
    place.line = line.split_whitespace().map(str::to_owned).collect();
    place
}

/// Runs with --json, checks the answer against its schema, and gives it.
#[track_caller]
pub(crate) fn json(place: &Place, command: &str, args: &[&str], exit: i32) -> Value {
    let words: Vec<&str> =
        command.split(' ').chain(args.iter().copied()).chain(["--json"]).collect();
    let output = place.run(&words);
    assert_eq!(output.status.code(), Some(exit), "{words:?}: {}", text(&output));
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.trim_end().bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{answer}");
    let value = serde_json::from_str(&answer).unwrap();
    schema::check(command, &value);
    value
}

/// The keys of a ledger that are active in this role.
pub(crate) fn active(place: &Place, role: &str) -> Vec<String> {
    let shown = json(place, "key show", &["led"], 0);
    let keys = shown["keys"].as_array().unwrap();
    let wanted = keys.iter().filter(|key| key["role"] == role && key["until"].is_null());
    wanted.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

/// The file of a key.
pub(crate) fn file_of(place: &Place, id: &str) -> std::path::PathBuf {
    place.path(&format!("home/keys/{id}.pem"))
}
