//! Who took what out: recorded in the ledger itself, before it is there.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::extract::{append, left, recorded};
use crate::ledger::support::Place;

fn payload(entry: &Value) -> Value {
    serde_json::from_str(entry["payload"]["text"].as_str().unwrap()).unwrap()
}

fn sha256(place: &Place, name: &str) -> String {
    let output = Command::new("sha256sum").arg(place.path(name)).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn what_is_taken_out_is_recorded_first() {
    let place = recorded();
    let args = [
        "export",
        "led",
        "-o",
        "x.sigchain",
        "--type",
        "test.*",
        "--since",
        "4",
        "--record",
        "audit \"2026\"",
    ];
    place.expect(&args, 0, &["recorded: entry 18, behind what was taken out"]);
    let draw = [
        "sample",
        "led",
        "-o",
        "x",
        "-n",
        "2",
        "--seed",
        "s",
        "--record",
        "audit",
        "--by",
        "human:auditor",
    ];
    place.expect(&draw, 0, &["recorded: entry 19"]);
    let entries = place.entries();
    let [.., export, sample] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(export["event_type"], "access.export");
    assert_eq!(
        (&sample["event_type"], &sample["actor"]),
        (&"access.sample".into(), &"human:auditor".into())
    );
    let said = payload(export);
    let user = said["by"]["user"].as_str().unwrap();
    assert_eq!(export["actor"], format!("human:{user}"));
    let id = Command::new("id").arg("-un").output().unwrap();
    assert_eq!(user, String::from_utf8(id.stdout).unwrap().trim_end());
    assert!(!said["by"]["host"].as_str().unwrap().is_empty());
    assert_eq!(said["purpose"], "audit \"2026\"");
    assert_eq!(said["sha256"], sha256(&place, "x.sigchain"));
    assert_eq!(said["selection"], json!({"since": ["4"], "type": ["test.*"]}));
    assert_eq!(said["range"], json!({"first": 4, "last": 17}));
    assert_eq!(
        (&said["entries"], &said["selected"], &said["size"]),
        (&10.into(), &9.into(), &18.into())
    );
    assert_eq!(said["form"], "sigchain");
    let said = payload(sample);
    assert_eq!(said["sha256"], sha256(&place, "x/sample.json"));
    assert_eq!(
        (&said["seed"], &said["population"], &said["entries"]),
        (&"s".into(), &19.into(), &2.into())
    );
    // It lies behind what was taken out, and is in what is taken out next.
    place.expect(&["log", "x.sigchain", "--type", "access.*"], 0, &["verified"]);
    place.is_intact();
}

#[test]
fn a_ledger_can_demand_it() {
    let place = recorded();
    let demand = |words: Value| {
        append(&place, [json!({"type": "access.policy", "payload": words})].into_iter());
    };
    let export = ["export", "led", "-o", "x.sigchain"];
    let sample = ["sample", "led", "-o", "x", "-n", "1", "--seed", "s"];
    demand(json!({"require": ["export", "verify"]}));
    place.expect(&export, 5, &["ACCESS_POLICY", "--record PURPOSE", "nothing was taken out"]);
    place.expect(&sample, 0, &[]);
    fs::remove_dir_all(place.path("x")).unwrap();
    demand(json!({"require": ["sample"]}));
    place.expect(&sample, 5, &["ACCESS_POLICY"]);
    place.expect(&export, 0, &[]);
    fs::remove_file(place.path("x.sigchain")).unwrap();
    // What cannot be read may have demanded it.
    demand(json!("nonsense"));
    place.expect(&export, 5, &["cannot be read"]);
    place.expect(&sample, 5, &["cannot be read"]);
    assert!(left(&place).is_empty());
    place.expect(&[&export[..], &["--record", "audit"]].concat(), 0, &["recorded: entry"]);
    // A file is in the hands of whoever has it.
    place.expect(&["export", "x.sigchain", "-o", "y.sigchain"], 0, &[]);
    demand(json!({"require": []}));
    place.expect(&sample, 0, &[]);
}

/// A verification is recorded behind what it judged; what it found is told whatever becomes of the record.
#[test]
fn a_verification_is_recorded() {
    let place = recorded();
    let line: Vec<&str> = place.line.iter().map(String::as_str).collect();
    let verify = |more: &[&'static str]| [&["verify", "led"], &line[..], more].concat();
    let before = place.entries().len();
    let asked =
        verify(&["--record", "audit 2026", "--by", "human:auditor", "--report", "page.html"]);
    place.expect(&asked, 0, &["intact: "]);
    let entries = place.entries();
    assert_eq!(entries.len(), before + 1);
    let last = entries.last().unwrap();
    let about = payload(last);
    assert_eq!(
        (&last["event_type"], &last["actor"]),
        (&json!("access.verify"), &json!("human:auditor"))
    );
    assert_eq!((&about["purpose"], &about["verdict"]), (&json!("audit 2026"), &json!("intact")));
    assert_eq!(about["entries"], last["sequence"]);
    append(
        &place,
        [json!({"type": "access.policy", "payload": {"require": ["verify"]}})].into_iter(),
    );
    place.expect(&verify(&["--report", "two.html"]), 5, &["ACCESS_POLICY", "--record PURPOSE"]);
    let mut held = place.lines(&[]);
    held.send("{\"type\":\"a.b\",\"payload\":1}");
    assert_eq!(held.outcome().unwrap()["ok"], true);
    let said =
        place.expect(&verify(&["--record", "audit", "--report", "two.html"]), 7, &["LEDGER_BUSY"]);
    assert!(said.contains("intact: ") && !place.path("two.html").exists(), "{said}");
    assert_eq!(held.end().code(), Some(0));
    place.expect(&["export", "led", "-o", "x.sigchain"], 0, &[]);
    place.expect(&["verify", "x.sigchain", "--record", "audit"], 2, &["--record with a file"]);
    // An alarm is never kept back for want of a record.
    let path = place.path("led/segment-0000000000");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    place.expect(&verify(&[]), 1, &["faulty: "]);
    place.expect(&verify(&["--record", "audit"]), 1, &["faulty: "]);
}

#[test]
fn what_cannot_be_recorded_is_not_taken_out() {
    let place = recorded();
    let export = ["export", "led", "-o", "x.sigchain", "--record", "audit"];
    let sample = ["sample", "led", "-o", "x", "-n", "1", "--seed", "s", "--record", "audit"];
    let mut held = place.lines(&[]);
    held.send("{\"type\":\"a.b\",\"payload\":1}");
    assert_eq!(held.outcome().unwrap()["ok"], true);
    for args in [&export[..], &sample] {
        place.expect(args, 7, &["LEDGER_BUSY"]);
        place.expect(&[args, &["--wait", "1"]].concat(), 7, &["LEDGER_BUSY"]);
    }
    assert_eq!(held.end().code(), Some(0));
    let before = place.entries().len();
    for args in [&export[..], &sample] {
        let (empty, nobody) = ([args, &["--by", ""]].concat(), [args, &["--by", "\u{7}"]].concat());
        place.expect(&empty, 2, &["is no actor"]);
        place.expect(&nobody, 2, &["is no actor"]);
    }
    place.expect(
        &["export", "led", "-o", "x.sigchain", "--by", "human:me"],
        2,
        &["--by without --record"],
    );
    place.expect(&["export", "led", "-o", "x.sigchain", "--record", " "], 2, &["an empty PURPOSE"]);
    // Without the key that signs entries.
    let keys = place.path("home/keys");
    for entry in fs::read_dir(&keys).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(&place.line[3]) {
            fs::rename(&path, place.path("home/away.pem")).unwrap();
        }
    }
    place.expect(&export, 4, &["KEY_MISSING"]);
    assert!(left(&place).is_empty(), "{:?}", left(&place));
    assert_eq!(place.entries().len(), before);
}
