//! `--require-gate`: outcomes that no gate let through.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use sigchain::chainfile::{Form, Reader, Writer};
use sigchain::event::Capture::{self, Gate, Import, Manual};
use sigchain::event::Event;
use sigchain::frame::Frame;
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options};
use sigchain::payload::Part;

use crate::ledger::support::{Place, empty, place, text};
use crate::report::{beside, page, says};
use crate::schema;

fn id(n: u32) -> String {
    format!("01890000-0000-7000-8000-0000000000{n:02}")
}

/// One entry: its number, its type, its cause (0 is none), and the way by which it comes in.
type Line = (u32, &'static str, u32, Capture);

/// A ledger with these entries, each recorded by its own way.
fn by_their_ways(lines: &[Line]) -> Place {
    let place = empty();
    let key = || SigningKey::generate().unwrap();
    let genesis = Genesis::new("example.org/agents", key()).checkpoints(key());
    let options = Options::new().files(Files::new().anchors(Vec::new()));
    let ledger = Ledger::create_at(&place.path("led"), genesis, options).unwrap();
    for (n, kind, cause, way) in lines {
        let id = |n: u32| EventId::parse(&id(n)).unwrap();
        let mut event = Event::new("agent:a", kind).unwrap().id(id(*n));
        if *cause != 0 {
            event = event.caused_by(id(*cause));
        }
        match way {
            Gate => drop(ledger.action(event).begin().unwrap()),
            Import => drop(ledger.import(event).unwrap()),
            _ => drop(ledger.append(event).unwrap()),
        }
    }
    ledger.close(Duration::from_secs(10)).unwrap();
    place
}

#[track_caller]
fn gate(place: &Place, file: &str, types: &[&str], exit: i32) -> Value {
    let mut command = place.command(&["verify", file, "--json", "--allow-self-asserted"]);
    for name in types {
        command.args(["--require-gate", name]);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(exit), "{}", text(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::check("verify", &value);
    assert_eq!(value["exit"], exit);
    value["gate"].clone()
}

/// Outcomes that a gate let through, and others, each for a reason of its own.
fn mixed() -> Place {
    by_their_ways(&[
        (1, "test.call", 0, Gate),
        (2, "test.result", 1, Manual),
        (3, "test.result", 1, Import),
        (4, "test.result", 0, Manual),
        (5, "test.call", 0, Import),
        (6, "test.result", 5, Manual),
        (7, "test.call", 0, Manual),
        (8, "test.result", 7, Manual),
        (9, "lab.request", 0, Gate),
        (10, "test.result", 9, Manual),
        (11, "test.result", 12, Manual),
        (12, "test.call", 0, Gate),
        (13, "test.result", 2, Manual),
        (14, "test.error", 12, Manual),
        (15, "payment.plan", 0, Gate),
        (16, "payment.done", 15, Manual),
    ])
}

/// Each with the reason that makes it one.
#[test]
fn outcomes_without_a_gate_are_found() {
    let place = mixed();
    let found = gate(&place, "led", &["test.result"], 1);
    let listed: Vec<(u64, &str)> = found["listed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (found["sequence"].as_u64().unwrap(), found["why"].as_str().unwrap()))
        .collect();
    let no_intent = "it names no intent of it that stands before it here";
    assert_eq!(
        listed,
        [
            (4, "it names no cause"),
            (6, "its intent, entry 5, is not by a gate: import"),
            (8, "its intent, entry 7, is not by a gate: not stated"),
            (10, no_intent),
            (11, no_intent),
            (13, no_intent),
        ]
    );
    assert_eq!((found["outcomes"].as_u64(), found["without"].as_u64()), (Some(8), Some(6)));
    // An intent of one's own family that ends in no .call, and several TYPEs.
    assert_eq!(gate(&place, "led", &["payment.done"], 0)["outcomes"], 1);
    assert_eq!(gate(&place, "led", &["payment.done", "test.error"], 0)["outcomes"], 2);
    // Intents are no outcomes, whatever pattern they fit; here payment.plan is one, and lets nothing through.
    let all = gate(&place, "led", &["*"], 1);
    assert!(all["listed"].as_array().unwrap().iter().all(|found| found["type"] != "test.call"));
    assert!(all["listed"].as_array().unwrap().iter().any(|found| found["type"] == "payment.done"));
    assert_eq!(gate(&place, "led", &["nothing.like.it"], 0)["outcomes"], 0);
}

#[test]
fn every_report_says_which() {
    let place = mixed();
    let args = [
        "verify",
        "led",
        "--require-gate",
        "test.result",
        "--report",
        "out.sarif",
        "--report",
        "out.junit.xml",
    ];
    place.expect(
        &args,
        1,
        &[
            "ungated: 6 outcomes without a gate's intent, of 8",
            "the chain by itself is unvouched",
            "entry 4, test.result by agent:a",
        ],
    );
    let sarif: Value = serde_json::from_slice(&fs::read(beside(&place, "sarif")).unwrap()).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.iter().filter(|result| result["ruleId"] == "UNGATED").count(), 6);
    assert_eq!(sarif["runs"][0]["artifacts"][0]["location"]["uri"], "led");
    let xml = fs::read_to_string(beside(&place, "junit.xml")).unwrap();
    assert!(
        xml.contains("name=\"gate of test.result\"") && xml.contains("6 outcomes without"),
        "{xml}"
    );
    says(
        &page(&place, "led", &["--require-gate", "test.result"], 1),
        &[
            "Not let through",
            "gate 4 ",
            "import 2 ",
            "Gates 8 outcomes of test.result; 6 without",
            "10 2",
            "agent:a",
        ],
    );
}

/// A chain file in which payloads of a type are withheld, or erased by entry 3.
fn without(place: &Place, kind: &str, part: &Part<'static>, to: &str) {
    let bytes = fs::read(place.path("a.sigchain")).unwrap();
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let chain_id = reader.chain_id();
    let mut writer = Writer::new(Vec::new(), Form::JsonLines, chain_id).unwrap();
    let block = reader.block(100, 1 << 20).unwrap();
    for raw in block.frames() {
        if let Ok(Frame::Entry(written)) = block.parse(raw) {
            let shown = if written.fields.event_type == kind { part } else { &written.part };
            writer.entry(written.left, written.entry(&chain_id), shown.clone()).unwrap();
        }
    }
    fs::write(place.path(to), writer.finish_unsigned().unwrap()).unwrap();
}

/// An intent that cannot be seen lets nothing through, and a fault ends the look.
#[test]
fn what_cannot_be_seen_lets_nothing_through() {
    let place = by_their_ways(&[(1, "test.call", 0, Gate), (2, "test.result", 1, Manual)]);
    place.expect(&["export", "led", "-o", "a.sigchain"], 0, &[]);
    gate(&place, "a.sigchain", &["test.result"], 0);
    without(&place, "test.call", &Part::Withheld, "b.jsonl");
    let found = gate(&place, "b.jsonl", &["test.result"], 1);
    assert_eq!(found["listed"][0]["why"], "its intent, entry 1, is not by a gate: not stated");
    without(&place, "test.result", &Part::Withheld, "c.jsonl");
    gate(&place, "c.jsonl", &["test.result"], 0);
    let text = fs::read_to_string(place.path("c.jsonl")).unwrap();
    fs::write(place.path("d.jsonl"), text.replace("test.call", "test.cull")).unwrap();
    assert_eq!(gate(&place, "d.jsonl", &["test.result"], 1)["outcomes"], 0);
    let args = ["verify", "d.jsonl", "--require-gate", "test.result"];
    place.expect(&args, 1, &["faulty", "nothing behind the first fault was looked at for this"]);
}

/// [S-capture-2]: nothing that a caller appends lets anything through.
#[test]
fn nobody_appends_a_gate() {
    let place = place();
    let append = |payload: &str| {
        ["append", "led", "--type", "payment.send", "--actor", "agent:a", "--payload", payload]
            .map(str::to_owned)
    };
    for payload in [r#"{"capture":"gate","sum":5}"#, r#"{"sum":5,"capt\u0075re":"gate"}"#] {
        let words = append(payload);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        place.expect(
            &words,
            5,
            &["EVENT_ILL_FORMED", "payment.send#/capture", "no class of capture but \"manual\""],
        );
    }
    let entries = place.entries();
    assert!(entries.iter().all(|entry| entry["type"] != "payment.send"), "{entries:?}");
}
