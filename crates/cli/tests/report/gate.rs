//! `--require-gate`: outcomes that no gate let through.

use std::fs;

use serde_json::Value;
use sigchain::chainfile::{Form, Reader, Writer};
use sigchain::frame::Frame;
use sigchain::payload::Part;

use crate::ledger::support::{Place, text};
use crate::report::{beside, page, recorded, says};
use crate::schema;

fn id(n: u32) -> String {
    format!("01890000-0000-7000-8000-0000000000{n:02}")
}

/// A line of `append --lines`; no cause is 0.
fn line(n: u32, kind: &str, cause: u32, payload: &str) -> String {
    let cause = if cause == 0 { String::new() } else { format!(",\"cause\":\"{}\"", id(cause)) };
    format!("{{\"type\":\"{kind}\",\"event_id\":\"{}\",\"payload\":{payload}{cause}}}", id(n))
}

const GATE: &str = r#"{"capture":"gate"}"#;

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
    recorded(&[
        line(1, "test.call", 0, GATE),
        line(2, "test.result", 1, "{}"),
        line(3, "test.result", 1, r#"{"capture":"observer"}"#),
        line(4, "test.result", 0, GATE),
        line(5, "test.call", 0, r#"{"capture":"observer"}"#),
        line(6, "test.result", 5, GATE),
        line(7, "test.call", 0, "{}"),
        line(8, "test.result", 7, GATE),
        line(9, "lab.request", 0, GATE),
        line(10, "test.result", 9, GATE),
        line(11, "test.result", 12, GATE),
        line(12, "test.call", 0, GATE),
        line(13, "test.result", 2, GATE),
        line(14, "test.error", 12, "{}"),
        line(15, "payment.plan", 0, GATE),
        line(16, "payment.done", 15, "{}"),
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
            (6, "its intent, entry 5, is not by a gate: observer"),
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
            "the chain by itself is intact",
            "entry 4, test.result by agent:a",
        ],
    );
    let sarif: Value = serde_json::from_slice(&fs::read(beside(&place, "sarif")).unwrap()).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 6);
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "UNGATED");
    assert_eq!(sarif["runs"][0]["artifacts"][0]["location"]["uri"], "led");
    let xml = fs::read_to_string(beside(&place, "junit.xml")).unwrap();
    assert!(
        xml.contains("name=\"gate of test.result\"") && xml.contains("6 outcomes without"),
        "{xml}"
    );
    says(
        &page(&place, "led", &["--require-gate", "test.result"], 1),
        &["Not let through", "Gates 8 outcomes of test.result; 6 without", "10 2", "agent:a"],
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
    let place = recorded(&[line(1, "test.call", 0, GATE), line(2, "test.result", 1, "{}")]);
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
