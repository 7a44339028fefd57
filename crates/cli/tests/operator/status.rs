//! `status`: custody, exposure, open actions, and metrics that Prometheus takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::ledger::support::{Place, place};
use crate::operator::{EVENT, file_of, json};

/// As much of the text form's grammar as `promtool check metrics` looks at. Gives each sample with its labels.
fn metrics(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeSet::new());
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    assert!(text.ends_with('\n') && text.is_ascii());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let [what, name, rest] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            assert!(is_name(name) && !rest.is_empty(), "{line}");
            match what {
                "HELP" => assert!(helped.insert(name.to_owned()), "twice: {line}"),
                "TYPE" => {
                    assert!(["gauge", "counter"].contains(&rest), "{line}");
                    assert_eq!(rest == "counter", name.ends_with("_total"), "{line}");
                    assert!(typed.insert(name.to_owned()), "twice: {line}");
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        assert!(helped.contains(name) && typed.contains(name), "{line}");
        assert!(!name.ends_with("_count") && !name.ends_with("_sum"), "{line}");
        let labels = labels.strip_suffix('}').unwrap();
        for label in labels.split(',') {
            let (key, value) = label.split_once('=').unwrap();
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            assert!(is_name(key) && value.is_some_and(|value| !value.contains('"')), "{line}");
        }
        let value: f64 = value.parse().unwrap();
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    assert_eq!(helped, typed);
    samples
}

fn metrics_of(place: &Place, more: &[&str]) -> BTreeMap<String, f64> {
    let output = place.run(&[&["status", "led", "--metrics"], more].concat());
    assert_eq!(output.status.code(), Some(0));
    metrics(&String::from_utf8(output.stdout).unwrap())
}

fn value(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    let found: Vec<_> =
        samples.iter().filter(|(series, _)| series.split('{').next() == Some(name)).collect();
    assert_eq!(found.len(), 1, "{name}");
    *found[0].1
}

#[test]
fn metrics_are_those_that_prometheus_takes() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    let samples = metrics_of(&place, &[]);
    for (name, wanted) in [
        ("audit_chain_ok", 1.0),
        ("audit_entries", 2.0),
        ("audit_anchor_ok", 1.0),
        ("audit_exposed_entries", 0.0),
        ("audit_segments", 1.0),
        ("audit_operators", 0.0),
        ("audit_quarantined", 0.0),
    ] {
        assert!((value(&samples, name) - wanted).abs() < f64::EPSILON, "{name}");
    }
    assert!(value(&samples, "audit_head_timestamp_seconds") > 1.7e9);
    assert!(!samples.keys().any(|series| series.starts_with("audit_open_actions")));
    let samples = metrics_of(&place, &["--actions"]);
    assert!((value(&samples, "audit_open_actions") - 1.0).abs() < f64::EPSILON);
    place.expect(&["status", "led", "--metrics", "--json"], 2, &[]);
}

#[test]
fn open_actions_are_intents_without_their_outcome() {
    let place = place();
    let mut lines = place.lines(&[]);
    let mut begin = |kind: &str| {
        lines.send(&format!("{{\"type\":\"{kind}\",\"payload\":1}}"));
        lines.outcome().unwrap()["event_id"].as_str().unwrap().to_owned()
    };
    let [first, second, third] = ["test.call", "lab.request", "test.call"].map(&mut begin);
    let mut end = |kind: &str, cause: &str| {
        lines.send(&format!("{{\"type\":\"{kind}\",\"cause\":\"{cause}\",\"payload\":1}}"));
        assert_eq!(lines.outcome().unwrap()["ok"], true);
    };
    end("test.result", &first);
    // The outcome of another kind of action, and one twice.
    end("test.result", &second);
    end("test.result", &first);
    assert_eq!(lines.end().code(), Some(0));
    let status = json(&place, "status", &["led", "--actions"], 0);
    assert_eq!((&status["actions"]["begun"], &status["actions"]["open"]), (&3.into(), &2.into()));
    assert_eq!(status["actions"]["oldest"]["event_id"], second.as_str());
    place.expect(
        &["status", "led", "--actions"],
        0,
        &["2 of 3 open; the oldest: entry 2, lab.request", &second],
    );
    place.expect(&["status", "led"], 0, &["actions  not counted"]);
    assert!(json(&place, "status", &["led"], 0)["actions"].is_null());
    let mut lines = place.lines(&[]);
    for (kind, cause) in [("lab.response", second), ("test.result", third)] {
        lines.send(&format!("{{\"type\":\"{kind}\",\"cause\":\"{cause}\",\"payload\":1}}"));
        assert_eq!(lines.outcome().unwrap()["ok"], true);
    }
    assert_eq!(lines.end().code(), Some(0));
    place.expect(&["status", "led", "--actions"], 0, &["none of 3 open"]);
}

#[test]
fn custody_and_exposure_are_told() {
    let place = place();
    place.expect(&["status", "led"], 0, &["here, mode 0600, no passphrase", "exposed: 0 beyond"]);
    let checkpoint = &crate::operator::active(&place, "checkpoint")[0];
    fs::remove_file(file_of(&place, checkpoint)).unwrap();
    place.expect(&EVENT, 0, &["AT RISK"]);
    place.expect(&["status", "led"], 0, &["(checkpoint), elsewhere", "exposed: 1 beyond"]);
    let status = json(&place, "status", &["led"], 0);
    assert_eq!((&status["anchored"], &status["exposed"]), (&1.into(), &1.into()));
    fs::remove_dir_all(place.path("home/anchors")).unwrap();
    place.expect(&["status", "led"], 0, &["anchored nothing on this machine; exposed: 2 entries"]);
}
