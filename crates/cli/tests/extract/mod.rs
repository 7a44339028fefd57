//! What an auditor takes out: exports, proofs, samples, differences, and the record of who took it. Both verifiers judge each result.

mod access;
mod diff;
mod export;
mod failures;
mod lasting;
mod prove;
mod sample;
mod vectors;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::ledger::support::{Place, place};

/// A recorded run: tool calls and answers of two agents in three episodes, some of them hostile, and the checkpoint of all of it
/// in `note`; an earlier one, of 5 entries, in `early`.
fn recorded() -> Place {
    let place = place();
    let line = |number: u64| {
        let kind =
            ["test.call", "test.result", "lab.request"][usize::try_from(number % 3).unwrap()];
        let actor = if number.is_multiple_of(2) { "agent:planner" } else { "agent:worker" };
        json!({
            "type": kind, "actor": actor, "episode": format!("run-{}", number / 6),
            "payload": {"number": number, "text": "=1+1"},
        })
    };
    let mut lines = place.lines(&[]);
    for number in 1..=16 {
        lines.send(&line(number).to_string());
        assert_eq!(lines.outcome().unwrap()["ok"], true);
        if number == 4 {
            // While somebody writes: no seal stands there.
            place.expect(&["checkpoint", "led", "-o", "early"], 0, &["5 entries"]);
        }
    }
    assert_eq!(lines.end().code(), Some(0));
    let actor = "=cmd|'/c calc'!A1,\"\u{202e}";
    let payload = json!({"status": "completed"});
    let hostile =
        json!({"type": "episode.end", "actor": actor, "episode": "run-0", "payload": payload});
    append(&place, [hostile].into_iter());
    place.expect(&["checkpoint", "led", "-o", "note"], 0, &["18 entries"]);
    place
}

fn append(place: &Place, events: impl Iterator<Item = Value>) {
    let lines: Vec<String> = events.map(|event| format!("{event}\n")).collect();
    fs::write(place.path("home/events"), lines.concat()).unwrap();
    let mut command = place.command(&["append", "led", "--lines", "--actor", "agent:a"]);
    let input = fs::File::open(place.path("home/events")).unwrap();
    let output = command.stdin(input).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", crate::ledger::support::text(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.matches("{\"ok\":true").count(), lines.len(), "{told}");
}

/// The verifier in the other language.
fn other(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/verifier").join(name);
    path.to_string_lossy().into_owned()
}

/// Files with the checkpoints and chain ids that they are held against, as the other verifier judges them.
fn judged_elsewhere(place: &Place, files: &[(String, Vec<String>, Option<String>)]) -> Vec<Value> {
    let mut command = place.by("python3");
    command.args([&other("verify.py"), "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let requests: Vec<String> = files
        .iter()
        .map(|(file, notes, chain)| {
            json!({"file": file, "checkpoints": notes, "chain_id": chain}).to_string()
        })
        .collect();
    let sender = std::thread::spawn(move || writeln!(input, "{}", requests.join("\n")).unwrap());
    let output = child.wait_with_output().unwrap();
    sender.join().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), files.len());
    answers
}

/// The sequences of the entries of a file, as `log` shows them.
fn sequences(place: &Place, file: &str) -> Vec<u64> {
    let output = place.run(&["log", file, "--json", "--all"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::ledger::support::text(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let entries = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.map(|entry| entry["sequence"].as_u64().unwrap()).collect()
}

/// What is in the directory of a place, what makes it up aside.
fn left(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.dir.path()).unwrap();
    let mut names: Vec<String> =
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !["home", "led", "note", "early"].contains(&name.as_str()));
    names.sort();
    names
}

/// The chain's checkpoint key as a file that others read: `checkpoint.pem`.
fn public_key(place: &Place) {
    let status = place.status();
    let keys = status["keys"].as_array().unwrap();
    let id = keys.iter().find(|key| key["role"] == "checkpoint").unwrap()["id"].as_str().unwrap();
    let secret = place.path(&format!("home/keys/{id}.pem"));
    let output = Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(secret).output();
    fs::write(place.path("checkpoint.pem"), output.unwrap().stdout).unwrap();
}
