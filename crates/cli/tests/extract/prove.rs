//! Proofs of single entries.

use std::fs;

use serde_json::Value;

use crate::extract::{other, public_key, recorded};
use crate::ledger::support::{Place, check};

/// What the other verifier says of a proof.
pub(super) fn proved_elsewhere(place: &Place, file: &str) -> String {
    let script = "\
import sys; sys.path.insert(0, sys.argv[1])
import proof
from cryptography.hazmat.primitives.serialization import load_pem_public_key, Encoding, PublicFormat
key = load_pem_public_key(open('checkpoint.pem', 'rb').read()).public_bytes(Encoding.Raw, PublicFormat.Raw)
result = proof.verify_proof(open(sys.argv[2], 'rb').read(), [key])
print(result.ok, result.reason, result.index, result.size)";
    let output = place.by("python3").args(["-c", script, &other(""), file]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_entry_is_proved_by_whatever_names_it() {
    let place = recorded();
    public_key(&place);
    let entries = place.entries();
    let seventh = &entries[6];
    assert_eq!(seventh["sequence"], 7);
    let log = place.expect(&["log", "led"], 0, &[]);
    let time = log.lines().find(|line| line.trim_start().starts_with("7 ")).unwrap();
    let time = time.split_whitespace().nth(1).unwrap();
    let names = [
        "7",
        "-10",
        seventh["event_id"].as_str().unwrap(),
        seventh["system_time"].as_str().unwrap(),
        time,
    ];
    for (number, name) in names.iter().enumerate() {
        let file = format!("{number}.tlog-proof");
        place.expect(
            &["prove", "led", name, "-o", &file],
            0,
            &["entry 7 of example.org/agents is in the tree of 18"],
        );
        place.expect(
            &["verify", &file, "--key", "checkpoint.pem"],
            0,
            &["intact: entry 7 in the tree of 18"],
        );
        assert_eq!(proved_elsewhere(&place, &file), "True None 7 18\n");
    }
    for (name, sequence) in [("0", 0), ("head", 17), ("17", 17), ("16", 16)] {
        let output = place.run(&["prove", "led", name]);
        assert_eq!(output.status.code(), Some(0));
        fs::write(place.path("out"), &output.stdout).unwrap();
        let said = place.run(&["verify", "out", "--checkpoint", "note", "--json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!((&said["exit"], &said["entry"]), (&0.into(), &sequence.into()), "{name}");
    }
    // Another key signed nothing of it.
    let stranger = recorded();
    public_key(&stranger);
    let key = stranger.path("checkpoint.pem");
    place.expect(&["verify", "0.tlog-proof", "--key", key.to_str().unwrap()], 3, &["missing"]);
}

/// Whoever holds a checkpoint needs no key, and the proof leads to the root that he holds.
#[test]
fn a_checkpoint_that_is_held_takes_no_key() {
    let place = recorded();
    public_key(&place);
    place.expect(&["export", "led", "-o", "all.sigchain", "--sign"], 0, &[]);
    place.expect(&["export", "led", "-o", "some.jsonl", "--type", "lab.*"], 0, &[]);
    fs::rename(place.path("home/keys"), place.path("home/away")).unwrap();
    place.expect(&["prove", "led", "3"], 4, &["KEY_MISSING"]);
    for (record, note, size) in [
        ("led", "early", "5"),
        ("all.sigchain", "early", "5"),
        ("led", "note", "18"),
        ("some.jsonl", "note", "18"),
    ] {
        let args = ["prove", record, "2", "--checkpoint", note];
        let output = place.run(&args);
        check(
            &args,
            &output,
            0,
            &[&format!("is in the tree of {size} entries: the checkpoint that you hold")],
        );
        fs::write(place.path("out"), &output.stdout).unwrap();
        place.expect(&["verify", "out", "--checkpoint", note], 0, &["intact: entry 2"]);
        assert_eq!(proved_elsewhere(&place, "out"), format!("True None 2 {size}\n"));
    }
    place.expect(&["prove", "all.sigchain", "2"], 0, &["the checkpoint at the end of the file"]);
    place.expect(&["prove", "some.jsonl", "2"], 1, &["not signed", "--checkpoint NOTE"]);
    // What cannot be proved so.
    place.expect(
        &["prove", "led", "5", "--checkpoint", "early"],
        1,
        &["entry 5 lies behind the checkpoint of 5"],
    );
    place.expect(
        &["prove", "some.jsonl", "3", "--checkpoint", "note"],
        1,
        &["no entry that is here"],
    );
    place.expect(&["export", "led", "-o", "late.jsonl", "--since", "12"], 0, &[]);
    let args = ["prove", "late.jsonl", "0", "--checkpoint", "early"];
    place.expect(&args, 1, &["the inside of a gap"]);
    place.expect(&["prove", "led", "99", "--checkpoint", "note"], 1, &["no entry that is here"]);
    place.expect(&["prove", "led", "-99", "--checkpoint", "note"], 1, &["lies before entry 0"]);
    place.expect(
        &["prove", "led", "2096-01-01T00:00:00Z", "--checkpoint", "note"],
        1,
        &["lies behind the head"],
    );
    place.expect(&["prove", "led", "never", "--checkpoint", "note"], 2, &["is no point"]);
    place.expect(&["prove", "led"], 2, &["no entry was named"]);
    place.expect(&["prove", "led", "2", "--checkpoint", "all.sigchain"], 4, &["is no checkpoint"]);
    place.expect(&["prove", "led", "2", "--checkpoint", "nowhere"], 4, &["cannot read"]);
    // A checkpoint that somebody made up is of this chain by its name only.
    let note = fs::read_to_string(place.path("early")).unwrap();
    fs::write(place.path("forged"), note.replacen("\n5\n", "\n6\n", 1)).unwrap();
    place.expect(&["prove", "led", "2", "--checkpoint", "forged"], 1, &["ANCHOR_SIGNATURE"]);
}

#[test]
fn a_checkpoint_goes_into_a_file_that_was_not_there() {
    let place = recorded();
    let before = fs::read(place.path("note")).unwrap();
    place.expect(&["checkpoint", "led", "-o", "note"], 2, &["exists already"]);
    let printed = place.run(&["checkpoint", "led"]);
    assert_eq!((printed.stdout, fs::read(place.path("note")).unwrap()), (before.clone(), before));
    place.expect(&["export", "led", "-o", "all.sigchain"], 0, &[]);
    place.expect(&["checkpoint", "all.sigchain"], 2, &["a file has no key"]);
}
