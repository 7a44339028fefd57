//! What lies between two points.

use serde_json::{Value, json};

use crate::extract::{append, recorded};
use crate::ledger::support::{Place, text};
use crate::schema;
use crate::support;

fn compared(place: &Place, args: &[&str], exit: i32) -> Value {
    let output = place.run(&[&["diff", "--json"], args].concat());
    assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", text(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::check("diff", &value);
    assert_eq!(value["exit"], exit);
    value
}

#[test]
fn what_lies_between_is_counted_in_either_order() {
    let place = recorded();
    let there = compared(&place, &["led", "2", "head"], 1);
    assert_eq!((&there["entries"], &there["order"]), (&15.into(), &"forward".into()));
    assert_eq!(
        there["types"],
        json!({"lab.request": 4, "episode.end": 1, "test.call": 5, "test.result": 5})
    );
    assert_eq!(there["episodes"], json!({"begun": ["run-1", "run-2"], "ended": ["run-0"]}));
    assert_eq!((&there["a"]["sequence"], &there["b"]["sequence"]), (&2.into(), &17.into()));
    let back = compared(&place, &["led", "head", "2"], 1);
    assert_eq!(back["order"], "backward");
    for same in ["entries", "types", "actors", "episodes", "keys", "erased"] {
        assert_eq!(there[same], back[same], "{same}");
    }
    // It is what two replays differ by.
    let state = |until: &str| -> Value {
        let output =
            place.run(&["replay", "led", "--until", until, "--json", "--allow-self-asserted"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["state"].clone()
    };
    let (before, after) = (state("2"), state("head"));
    let of = |state: &Value, kind: &str| state["types"][kind].as_u64().unwrap_or(0);
    for (kind, count) in there["types"].as_object().unwrap() {
        assert_eq!(*count, of(&after, kind) - of(&before, kind), "{kind}");
    }
    let said = place.expect(
        &["diff", "led", "head", "2"],
        1,
        &["from entry 2 to entry 17", "2 lies before head"],
    );
    assert!(said.contains("'/c calc'") && !said.contains('\u{202e}'), "{said}");
    let same = compared(&place, &["led", "5", "5"], 0);
    assert_eq!((&same["entries"], &same["order"]), (&0.into(), &"same".into()));
    place.expect(&["diff", "led", "-0", "head"], 0, &["no entry lies between them"]);
    // Times and events, and what comes later.
    let event = place.entries()[4]["event_id"].as_str().unwrap().to_owned();
    let stamp = place.entries()[8]["system_time"].as_str().unwrap().to_owned();
    assert_eq!(compared(&place, &["led", &event, &stamp], 1)["entries"], 4);
    append(&place, [json!({"type": "a.b", "payload": 1})].into_iter());
    let more = compared(&place, &["led", "17", "head"], 1);
    assert_eq!(more["types"], json!({"a.b": 1}));
}

#[test]
fn points_that_are_not_there_give_no_answer() {
    let place = recorded();
    for (a, b) in [
        ("3", "99"),
        ("-99", "3"),
        ("head", "2096-01-01T00:00:00Z"),
        ("1996-01-01T00:00:00Z", "3"),
        ("01a1fa2e-aed0-7c12-a078-e15533b4a621", "3"),
    ] {
        let output = place.run(&["diff", "led", a, b]);
        assert!(output.stdout.is_empty(), "{a} {b}");
        crate::ledger::support::check(&["diff"], &output, 1, &["  next: "]);
    }
    place.expect(&["diff", "led", "3", "never"], 2, &["is no point"]);
    place.expect(&["diff", "led", "3"], 2, &["not two points"]);
    place.expect(&["diff", "nowhere", "3", "4"], 4, &["cannot read"]);
    let output = place.command(&["diff", "3", "4"]).env("SIGCHAIN_LEDGER", "led").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    // Entries that are left out are said to be, and cannot be a point.
    place.expect(&["export", "led", "-o", "some.sigchain", "--type", "lab.*"], 0, &[]);
    assert_eq!(compared(&place, &["some.sigchain", "2", "5"], 1)["missing"], 2);
    assert_eq!(compared(&place, &["some.sigchain", "5", "8"], 1)["missing_before"], 3);
    place.expect(&["diff", "some.sigchain", "3", "5"], 1, &["entry 3 is not in this file"]);
    crate::ledger::support::flip(&place.path("led/segment-0000000000"), 3000);
    place.expect(&["diff", "led", "1", "2"], 1, &["faulty"]);
}

#[test]
fn erasures_and_keys_are_told() {
    let place = crate::ledger::support::empty();
    let mixed = support::in_folder("mixed.sigchain");
    let found = compared(&place, &[mixed.to_str().unwrap(), "5", "head"], 1);
    assert_eq!(found["erased"], json!({"by": [7], "payloads": 1}));
    for (vector, came, went) in
        [("key-rotated", 1, 1), ("key-lost", 0, 1), ("checkpoint-key-rotated", 1, 1)]
    {
        let file = crate::extract::vectors::unpack(&place, vector);
        let found = compared(&place, &[&file, "0", "head"], 1);
        let count = |what: &str| found["keys"][what].as_array().unwrap().len();
        assert!(count("came") >= came && count("went") >= went, "{vector}: {}", found["keys"]);
    }
}
