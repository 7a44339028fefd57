//! The report for tools that show findings in code: SARIF 2.1.0, by hand. Rules are the codes of faults.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sigchain::fault::{Code, Fault};
use sigchain::verify::Verdict;

use crate::input::Places;
use crate::json::{self, object};
use crate::out::{grouped, plural};
use crate::report::{Material, Subject};
use crate::trouble::Trouble;
use crate::verify::{Compared, Gate, missing};

/// Findings that are no faults of the file: code and meaning.
const OTHERS: [(&str, &str); 4] = [
    ("DIFFERS", "An entry is not the same in the file that it was compared with."),
    (
        "FORK",
        "Two signed entries of one chain have one sequence, or the files are of different chains.",
    ),
    ("UNGATED", "An outcome without the intent by a gate that was required."),
    (
        "UNVOUCHED",
        "No fault was found, and nothing that was held outside the file vouches for it as was asked.",
    ),
];

fn run_of(subject: &Subject<'_>) -> Value {
    let report = subject.view.report;
    let mut results: Vec<Value> =
        report.faults.iter().map(|fault| of_fault(subject, fault)).collect();
    results.extend(others(subject));
    let mut notes: Vec<Value> = Vec::new();
    for (code, count) in &report.counts {
        let listed = report.faults.iter().filter(|fault| fault.code == *code).count();
        let more = count.saturating_sub(u64::try_from(listed).unwrap_or(u64::MAX));
        if more > 0 {
            notes.push(note(&format!("{code}: {} more, not listed", grouped(more))));
        }
    }
    if let Some(more) = subject.view.gate.map(Gate::unlisted).filter(|more| *more > 0) {
        notes.push(note(&format!("UNGATED: {} more, not listed", grouped(more))));
    }
    let mut invocation = Map::new();
    let mut put = |key: &str, value: Value| invocation.insert(key.to_owned(), value);
    put("executionSuccessful", (report.verdict() != Verdict::Unreadable).into());
    put("exitCode", subject.view.exit.into());
    put("startTimeUtc", subject.date().into());
    put("toolExecutionNotifications", notes.into());
    object([
        ("artifacts", artifacts(subject)),
        ("automationDetails", object([("id", "sigchain/verify/".into())])),
        ("invocations", Value::Array(vec![Value::Object(invocation)])),
        ("properties", properties(subject)),
        ("results", results.into()),
        ("tool", object([("driver", driver())])),
    ])
}

pub(super) fn render(subject: &Subject<'_>) -> Result<String, Trouble> {
    let schema = "https://json.schemastore.org/sarif-2.1.0.json";
    let mut map = Map::new();
    map.insert("$schema".to_owned(), schema.into());
    map.insert("runs".to_owned(), Value::Array(vec![run_of(subject)]));
    map.insert("version".to_owned(), "2.1.0".into());
    json::render(map)
}

fn message(text: &str) -> Value {
    object([("text", text.into())])
}

fn note(text: &str) -> Value {
    object([("level", "note".into()), ("message", message(text))])
}

fn driver() -> Value {
    let faults = Code::ALL
        .iter()
        .map(|code| rule(code.as_str(), code.meaning().trim(), &code.phase().to_string()));
    let others = OTHERS.iter().map(|(id, meaning)| rule(id, meaning, "asked"));
    object([
        ("name", "sigchain".into()),
        ("rules", faults.chain(others).collect()),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ])
}

fn rule(id: &str, meaning: &str, phase: &str) -> Value {
    object([
        ("defaultConfiguration", object([("level", "error".into())])),
        ("fullDescription", message(meaning)),
        ("id", id.into()),
        ("properties", object([("phase", phase.into())])),
        ("shortDescription", message(meaning)),
    ])
}

/// Where a rule stands among the rules.
fn index(id: &str) -> Option<usize> {
    let ids = Code::ALL.iter().map(|code| code.as_str()).chain(OTHERS.iter().map(|(id, _)| *id));
    ids.into_iter().position(|other| other == id)
}

fn result(id: &str, level: &str, text: &str, location: Value) -> Value {
    object([
        ("kind", "fail".into()),
        ("level", level.into()),
        ("locations", Value::Array(vec![location])),
        ("message", message(text)),
        ("ruleId", id.into()),
        ("ruleIndex", index(id).into()),
    ])
}

/// What was verified, with a region in it, and the entry that it is about.
fn location(subject: &Subject<'_>, region: Option<Value>, sequence: Option<u64>) -> Value {
    let mut physical = Map::new();
    let artifact = object([("index", 0.into()), ("uri", uri(subject.view.name).into())]);
    physical.insert("artifactLocation".to_owned(), artifact);
    if let Some(region) = region {
        physical.insert("region".to_owned(), region);
    }
    let mut location = Map::new();
    location.insert("physicalLocation".to_owned(), Value::Object(physical));
    if let Some(sequence) = sequence {
        let entry = object([
            ("fullyQualifiedName", format!("entry {sequence}").into()),
            ("kind", "element".into()),
            ("name", sequence.to_string().into()),
        ]);
        location.insert("logicalLocations".to_owned(), Value::Array(vec![entry]));
    }
    Value::Object(location)
}

fn of_fault(subject: &Subject<'_>, fault: &Fault) -> Value {
    let places = subject.view.places;
    let region = match places {
        // The first line is line 1; the end of an empty file is none.
        Places::Lines if fault.place == 0 => None,
        Places::Lines => Some(object([("startLine", fault.place.into())])),
        Places::Bytes => {
            Some(object([("byteOffset", fault.place.into()), ("byteLength", 0.into())]))
        }
        // A byte of one of the ledger's files, which the message names.
        Places::Segments(_) => None,
    };
    let (place, code) = (places.describe(fault), fault.code);
    let text = format!("{code} at {place}: expected {}, found {}", fault.expected, fault.found);
    result(code.as_str(), "error", &text, location(subject, region, fault.sequence))
}

/// What is no fault of the file, and yet not as it should be.
fn others(subject: &Subject<'_>) -> Vec<Value> {
    let report = subject.view.report;
    let mut found: Vec<Value> = Vec::new();
    let mut add = |id, level, text: &str, sequence| {
        found.push(result(id, level, text, location(subject, None, sequence)));
    };
    if report.verdict() == Verdict::Unvouched {
        let level = if subject.view.exit == 0 { "note" } else { "warning" };
        let gone = report.anchors.iter().filter(|anchored| anchored.size.is_none());
        let gone: Vec<String> = gone.map(|anchored| missing(&anchored.anchor)).collect();
        let text = if gone.is_empty() {
            "nothing that was held outside vouches for it, or its gaps are not proven".to_owned()
        } else {
            gone.join("; ")
        };
        add("UNVOUCHED", level, &text, None);
    }
    match subject.view.compared {
        Some(Compared::Differ(first)) => {
            let text = format!("entry {first} is not the same in the other file");
            add("DIFFERS", "warning", &text, Some(*first));
        }
        Some(Compared::Fork { proof, .. }) => {
            let sequence = proof.pair.first().map(|written| written.fields.sequence);
            add("FORK", "error", "two signed entries have one sequence", sequence);
        }
        Some(Compared::OtherChain) => {
            add("FORK", "error", "the two files are of different chains", None);
        }
        _ => {}
    }
    for ungated in subject.view.gate.iter().flat_map(|gate| &gate.listed) {
        let (why, event_type, actor) = (ungated.why(), &ungated.event_type, &ungated.actor);
        let text = format!("{event_type} by {actor}: {why}");
        add("UNGATED", "error", &text, Some(ungated.sequence));
    }
    found
}

/// What was verified comes first, also where nobody has digested it.
fn artifacts(subject: &Subject<'_>) -> Value {
    let of = |material: &Material| {
        object([
            ("description", message(material.what)),
            ("hashes", object([("sha-256", material.digest.to_string().into())])),
            ("length", material.size.into()),
            ("location", object([("uri", uri(&material.name).into())])),
        ])
    };
    subject.materials.iter().map(of).collect()
}

fn properties(subject: &Subject<'_>) -> Value {
    let report = subject.view.report;
    let anchors = report.anchors.iter().map(|anchored| Value::from(anchored.anchor.to_string()));
    object([
        ("anchors", anchors.collect()),
        ("chainId", report.chain_id.map(|id| id.to_string()).into()),
        ("entries", report.entries.into()),
        ("faults", plural(report.total(), "fault").into()),
        ("verdict", report.verdict().as_str().into()),
    ])
}

/// A path as a relative reference, or as one of a file if it begins at the root.
fn uri(name: &str) -> String {
    let mut out = String::from(if name.starts_with('/') { "file://" } else { "" });
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("a b/c%.sigchain"), "a%20b/c%25.sigchain");
        assert_eq!(uri("/x/y:z"), "file:///x/y%3Az");
    }

    #[test]
    fn each_rule_has_its_place() {
        let driver = driver();
        let rules = driver["rules"].as_array().unwrap();
        for (at, rule) in rules.iter().enumerate() {
            assert_eq!(index(rule["id"].as_str().unwrap()), Some(at));
        }
        assert_eq!(rules.len(), Code::ALL.len() + OTHERS.len());
    }
}
