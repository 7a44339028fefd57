//! Samples: the same entries by both programs, and a proof of each.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::extract::{judged_elsewhere, left, other, public_key, recorded};
use crate::ledger::support::{Place, text};
use crate::schema;

fn sampled(place: &Place, name: &str, more: &[&str]) -> Value {
    let args = [&["sample", "led", "-o", name, "--json"], more].concat();
    let output = place.run(&args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::check("sample", &value);
    let written = fs::read(place.path(&format!("{name}/sample.json"))).unwrap();
    assert_eq!(written, output.stdout);
    value
}

fn drawn(value: &Value) -> Vec<(u64, u64, String)> {
    let drawn = value["drawn"].as_array().unwrap().iter();
    drawn
        .map(|one| {
            let lot = one["lot"].as_str().unwrap().to_owned();
            (one["sequence"].as_u64().unwrap(), one["rank"].as_u64().unwrap(), lot)
        })
        .collect()
}

#[test]
fn both_programs_draw_the_same() {
    let place = recorded();
    place.expect(&["export", "led", "-o", "all.sigchain"], 0, &[]);
    place.expect(&["export", "led", "-o", "all.jsonl"], 0, &[]);
    let stamp = place.entries()[8]["system_time"].as_str().unwrap().to_owned();
    let event = place.entries()[3]["event_id"].as_str().unwrap().to_owned();
    let kinds: [(&[&str], u64); 9] = [
        (&["-n", "5", "--seed", "2026-Q3"], 18),
        (&["-n", "18", "--seed", ""], 18),
        (&["-n", "1", "--seed", "2026-Q3"], 18),
        (
            &["-n", "4", "--seed", "\u{e9}\u{1f512}", "--type", "test.*", "--type", "episode.end"],
            12,
        ),
        (&["-n", "3", "--seed", "a b", "--actor", "agent:worker"], 8),
        (&["-n", "2", "--seed", "x", "--episode", "run-1", "--since", "7", "--until", "-6"], 5),
        (&["-n", "2", "--seed", "x", "--since", &event, "--until", &stamp], 6),
        (&["-n", "6", "--seed", "x", "--until", "2096-01-01T00:00:00+01:00", "--type", "*"], 18),
        (&["-n", "3", "--seed", "x", "--checkpoint", "early"], 5),
    ];
    let mut first = BTreeSet::new();
    for (number, (more, population)) in kinds.into_iter().enumerate() {
        // A time behind the head says nothing to a file that ends before it.
        let ours = sampled(&place, &format!("s{number}"), more);
        let file = if number % 2 == 0 { "all.sigchain" } else { "all.jsonl" };
        let output = place.by("python3").arg(other("sample.py")).arg(file).args(more).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{more:?}: {}", text(&output));
        let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(drawn(&ours), drawn(&theirs), "{more:?}");
        for same in ["population", "range", "chain_id"] {
            assert_eq!(ours[same], theirs[same], "{more:?}");
        }
        assert_eq!(ours["population"], population, "{more:?}");
        assert_eq!(ours["n"], u64::try_from(drawn(&ours).len()).unwrap());
        if number == 0 {
            first = drawn(&ours).into_iter().map(|(sequence, ..)| sequence).collect();
        }
        if number == 2 {
            assert!(first.contains(&drawn(&ours)[0].0), "fewer are the first of more");
        }
    }
    for (more, exit) in [(&["-n", "19"][..], 2), (&["-n", "1", "--type", "no.such"], 1)] {
        let args = [&["all.sigchain", "--seed", "x"], more].concat();
        let output = place.by("python3").arg(other("sample.py")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{}", text(&output));
    }
}

#[test]
fn each_file_of_a_sample_verifies_alone() {
    let place = recorded();
    public_key(&place);
    let value = sampled(&place, "dir", &["-n", "4", "--seed", "s", "--type", "test.*"]);
    assert_eq!(value["anchor"]["by"], "signed");
    let mut names: Vec<String> = fs::read_dir(place.path("dir"))
        .unwrap()
        .map(|name| name.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected =
        vec!["sample.csv".to_owned(), "sample.json".to_owned(), "sample.sigchain".to_owned()];
    for (sequence, ..) in drawn(&value) {
        let name = format!("{sequence}.tlog-proof");
        let path = format!("dir/{name}");
        place.expect(
            &["verify", &path, "--key", "checkpoint.pem"],
            0,
            &[&format!("intact: entry {sequence} in")],
        );
        place.expect(&["verify", &path, "--checkpoint", "note"], 0, &[]);
        expected.push(name);
    }
    expected.sort();
    assert_eq!(names, expected);
    place.expect(
        &["verify", "dir/sample.sigchain", "--checkpoint", "note"],
        0,
        &["5 present", "13 elided"],
    );
    let file = [("dir/sample.sigchain".to_owned(), vec!["note".to_owned()], None)];
    assert_eq!(judged_elsewhere(&place, &file)[0]["exit"], 0);
    let table = fs::read_to_string(place.path("dir/sample.csv")).unwrap();
    let rows: Vec<&str> = table.trim_end().split("\r\n").collect();
    assert!(rows.len() == 5 && rows[0].starts_with("rank,lot,proof,sequence,"), "{table}");
    for (row, (sequence, rank, lot)) in rows[1..].iter().zip(drawn(&value)) {
        assert!(
            row.starts_with(&format!("{rank},{lot},{sequence}.tlog-proof,{sequence},")),
            "{row}"
        );
    }
    // What people read.
    let said = place.expect(
        &["sample", "led", "-n", "2", "--seed", "\u{1b}[2J", "-o", "shown"],
        0,
        &["population  18 entries, of 18", "range       0 to 17"],
    );
    assert!(said.contains("by seed \"\\u{1b}[2J\"") && !said.contains('\u{1b}'), "{said}");
}

/// An auditor who has a file, and no key of the chain.
#[test]
fn a_sample_of_a_file_rests_on_what_is_signed_or_held() {
    let place = recorded();
    place.expect(&["export", "led", "-o", "signed.sigchain", "--sign"], 0, &[]);
    place.expect(&["export", "led", "-o", "plain.jsonl"], 0, &[]);
    fs::remove_dir_all(place.path("home")).unwrap();
    let draw = ["-n", "3", "--seed", "s"];
    place.expect(
        &[&["sample", "signed.sigchain", "-o", "a"], &draw[..]].concat(),
        0,
        &["the checkpoint at the end of the file"],
    );
    place.expect(&[&["sample", "plain.jsonl", "-o", "b"], &draw[..]].concat(), 1, &["not signed"]);
    place.expect(
        &[&["sample", "plain.jsonl", "-o", "b", "--checkpoint", "note"], &draw[..]].concat(),
        0,
        &["the checkpoint that you hold"],
    );
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(place.path(name)).unwrap()).unwrap()
    };
    let (a, b) = (read("a/sample.json"), read("b/sample.json"));
    assert_eq!(drawn(&a), drawn(&b));
    assert_eq!((&a["anchor"]["by"], &b["anchor"]["by"]), (&"end".into(), &"held".into()));
    place.expect(&["verify", "b/sample.sigchain", "--checkpoint", "note"], 0, &[]);
    place.expect(&[&["sample", "led", "-o", "c"], &draw[..]].concat(), 4, &["KEY_MISSING"]);
    place.expect(
        &[&["sample", "signed.sigchain", "-o", "c", "--record", "x"], &draw[..]].concat(),
        2,
        &["--record with a file"],
    );
    let said = left(&place);
    assert_eq!(said, ["a", "b", "plain.jsonl", "signed.sigchain"]);
}

#[test]
fn what_cannot_be_drawn_is_a_wrong_call() {
    let place = recorded();
    let more = ["sample", "led", "-o", "x", "--seed", "s"];
    place.expect(&[&more[..], &["-n", "19"]].concat(), 2, &["a population of 18", "at most 18"]);
    place.expect(
        &[&more[..], &["-n", "5", "--type", "lab.*", "--until", "9"]].concat(),
        2,
        &["a population of 3"],
    );
    place.expect(&[&more[..], &["-n", "0"]].concat(), 2, &["a number from 1"]);
    place.expect(&[&more[..], &["-n", "-1"]].concat(), 2, &["a number from 1"]);
    place.expect(
        &[&more[..], &["-n", "1", "--type", "no.such"]].concat(),
        1,
        &["nothing was written"],
    );
    place.expect(&["sample", "led", "-o", "x", "-n", "1"], 2, &["--seed"]);
    place.expect(&["sample", "-", "-o", "x", "-n", "1", "--seed", "s"], 2, &["read twice"]);
    assert!(left(&place).is_empty(), "{:?}", left(&place));
}
