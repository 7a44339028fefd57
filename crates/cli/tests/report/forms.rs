//! The reports for other programs.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sigchain::digest::Digest;
use sigchain::fault::Code;

use crate::ledger::support::Place;
use crate::report::{ENDINGS, beside, desk, is_there};
use crate::schema;

/// Reads `JUnit` as dashboards do, and prints name, tests, failures, skipped and the failed cases of each suite.
const READ: &str = r#"
import sys, xml.etree.ElementTree as T
root = T.parse(sys.argv[1]).getroot()
assert root.tag == "testsuites", root.tag
all = failed = 0
for suite in root:
    assert suite.tag == "testsuite", suite.tag
    cases = list(suite)
    bad = [case.get("name") for case in cases if case.find("failure") is not None]
    left = [case for case in cases if case.find("skipped") is not None]
    assert int(suite.get("tests")) == len(cases) and int(suite.get("failures")) == len(bad)
    assert int(suite.get("skipped")) == len(left) and suite.get("errors") == "0"
    for case in cases:
        assert case.tag == "testcase" and case.get("name") and case.get("classname") == "sigchain." + suite.get("name")
        for child in case:
            assert child.tag in ("failure", "skipped") and child.get("message"), child.tag
    all += len(cases); failed += len(bad)
    print(suite.get("name"), len(cases), ",".join(bad), sep="|")
assert int(root.get("tests")) == all and int(root.get("failures")) == failed
"#;

/// The suites, each as name, cases and those that failed.
#[track_caller]
fn junit(place: &Place) -> Option<Vec<(String, usize, String)>> {
    if !is_there("python3") {
        return None;
    }
    let output = Command::new("python3")
        .args(["-c", READ])
        .arg(beside(place, "junit.xml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let suites = text.lines().map(|line| {
        let parts: Vec<&str> = line.split('|').collect();
        (parts[0].to_owned(), parts[1].parse().unwrap(), parts[2].to_owned())
    });
    Some(suites.collect())
}

/// What SARIF 2.1.0 requires of what we write, and the results.
#[track_caller]
fn sarif(place: &Place) -> Value {
    let value: Value = serde_json::from_slice(&fs::read(beside(place, "sarif")).unwrap()).unwrap();
    assert_eq!(value["version"], "2.1.0");
    assert!(value["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    let [run] = &value["runs"].as_array().unwrap()[..] else { panic!("{value}") };
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "sigchain");
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string());
    }
    let invocation = &run["invocations"][0];
    assert!(invocation["executionSuccessful"].is_boolean() && invocation["exitCode"].is_u64());
    let date = invocation["startTimeUtc"].as_str().unwrap();
    assert!(date.len() == 20 && date.ends_with('Z'), "{date}");
    for result in run["results"].as_array().unwrap() {
        let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[at]["id"], result["ruleId"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        for location in result["locations"].as_array().unwrap() {
            let physical = &location["physicalLocation"];
            let index =
                usize::try_from(physical["artifactLocation"]["index"].as_u64().unwrap()).unwrap();
            assert_eq!(
                physical["artifactLocation"]["uri"],
                run["artifacts"][index]["location"]["uri"]
            );
            let region = &physical["region"];
            assert!(
                region.is_null()
                    || region["byteOffset"].is_u64()
                    || region["startLine"].as_u64().unwrap() > 0
            );
        }
    }
    for artifact in run["artifacts"].as_array().unwrap() {
        assert_eq!(artifact["hashes"]["sha-256"].as_str().unwrap().len(), 64);
    }
    run.clone()
}

/// Writes all four, and returns what --json prints.
#[track_caller]
fn all(place: &Place, args: &[&str], exit: i32) -> Value {
    let mut command = place.command(&["verify", "--json"]);
    command.args(args);
    for ending in ENDINGS {
        let _ = fs::remove_file(beside(place, ending));
        command.arg(format!("--report=out.{ending}"));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(exit), "{said}");
    for ending in ENDINGS {
        let note = json!({"note": format!("wrote the report \"out.{ending}\"")});
        assert!(said.contains(&note.to_string()), "{said}");
    }
    assert_eq!(fs::read(beside(place, "json")).unwrap(), output.stdout);
    let value = serde_json::from_slice(&output.stdout).unwrap();
    schema::check("verify", &value);
    value
}

#[test]
fn an_intact_record_has_no_findings() {
    let place = desk(&["run.sigchain", "run.jsonl", "held.checkpoint", "checkpoint-key.pem"]);
    let answer = all(&place, &["run.sigchain", "--checkpoint", "held.checkpoint"], 0);
    assert_eq!(answer["verdict"], "intact");
    let run = sarif(&place);
    assert_eq!(run["results"].as_array().unwrap().len(), 0);
    assert_eq!(run["properties"]["verdict"], "intact");
    let bytes = fs::read(place.path("run.sigchain")).unwrap();
    assert_eq!(run["artifacts"][0]["hashes"]["sha-256"], Digest::of(&[&bytes]).to_string());
    assert_eq!(run["artifacts"][0]["length"], bytes.len());
    assert_eq!(run["artifacts"][1]["location"]["uri"], "held.checkpoint");
    if let Some(suites) = junit(&place) {
        let cases: usize = suites[..2].iter().map(|(_, cases, _)| cases).sum();
        assert_eq!(cases, Code::ALL.len(), "a case for each code");
        assert!(suites.iter().all(|(_, _, failed)| failed.is_empty()), "{suites:?}");
    }
    all(&place, &["run.jsonl", "--key", "checkpoint-key.pem", "--unique"], 0);
    let text = fs::read_to_string(beside(&place, "junit.xml")).unwrap();
    assert!(
        text.contains("name=\"EVENT_ID\" time=\"0\"/>") && !text.contains("<skipped"),
        "{text}"
    );
}

#[test]
fn each_fault_is_a_finding() {
    for number in 1..=10 {
        let name = format!("attack-{number}.sigchain");
        let place = desk(&[&name, "held.checkpoint"]);
        let answer = all(&place, &[&name, "--checkpoint", "held.checkpoint"], 1);
        let run = sarif(&place);
        let faults = answer["faults"].as_array().unwrap();
        let results = run["results"].as_array().unwrap();
        assert_eq!(faults.len(), results.len());
        for (fault, result) in faults.iter().zip(results) {
            assert_eq!(fault["code"], result["ruleId"]);
            let location = &result["locations"][0];
            assert_eq!(location["physicalLocation"]["region"]["byteOffset"], fault["place"]);
            let sequence = fault["sequence"].as_u64().map(|sequence| sequence.to_string());
            assert_eq!(location["logicalLocations"][0]["name"].as_str(), sequence.as_deref());
        }
        if let Some(suites) = junit(&place) {
            let failed = format!("{},{}", suites[0].2, suites[1].2);
            for code in answer["counts"].as_object().unwrap().keys() {
                assert!(failed.contains(code.as_str()), "{failed}");
            }
        }
    }
}

#[test]
fn what_is_no_fault_and_not_as_asked_is_a_finding() {
    let place = desk(&["run.sigchain", "run.jsonl", "attack-9.sigchain", "large.jsonl"]);
    all(&place, &["run.jsonl"], 3);
    let run = sarif(&place);
    assert_eq!(run["results"][0]["ruleId"], "UNVOUCHED");
    assert_eq!(run["results"][0]["level"], "warning");
    if let Some(suites) = junit(&place) {
        assert_eq!(suites[2], ("anchors".to_owned(), 1, "vouched for".to_owned()));
    }
    all(&place, &["run.jsonl", "--allow-self-asserted"], 0);
    assert_eq!(sarif(&place)["results"][0]["level"], "note");
    if let Some(suites) = junit(&place) {
        assert!(suites.iter().all(|(_, _, failed)| failed.is_empty()), "{suites:?}");
    }
    let fork = all(&place, &["run.sigchain", "--against", "attack-9.sigchain"], 1);
    assert_eq!(fork["against"]["result"], "fork");
    let run = sarif(&place);
    assert!(run["results"].as_array().unwrap().iter().any(|result| result["ruleId"] == "FORK"));
    assert_eq!(run["artifacts"][1]["location"]["uri"], "attack-9.sigchain");
    all(&place, &["run.jsonl", "--against", "large.jsonl"], 1);
    let page = fs::read_to_string(beside(&place, "html")).unwrap();
    assert!(page.contains("Of another chain"), "{page}");
    fs::write(place.path("none"), "nothing").unwrap();
    all(&place, &["none"], 4);
    assert_eq!(sarif(&place)["invocations"][0]["executionSuccessful"], false);
}

/// Lines are counted from one, and there are more faults than are listed.
#[test]
fn lines_and_many_faults() {
    let place = desk(&["large.jsonl"]);
    let text = fs::read_to_string(place.path("large.jsonl")).unwrap();
    let text = text.replace("line 299", "LINE 299");
    fs::write(place.path("bad.jsonl"), text).unwrap();
    let answer = all(&place, &["bad.jsonl"], 1);
    let count = answer["counts"]["PAYLOAD_MISMATCH"].as_u64().unwrap();
    assert_eq!(count, 400);
    let run = sarif(&place);
    let first = &run["results"][0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(first["startLine"], answer["faults"][0]["place"]);
    assert_eq!(run["results"].as_array().unwrap().len(), 100);
    let note = &run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"];
    assert_eq!(note, "PAYLOAD_MISMATCH: 300 more, not listed");
    let xml = fs::read_to_string(beside(&place, "junit.xml")).unwrap();
    assert!(xml.contains("300 more, not listed"), "{xml}");
    let page = fs::read_to_string(beside(&place, "html")).unwrap();
    assert!(page.contains("360 more, not listed here."), "{page}");
}

#[test]
fn standard_input_and_a_ledger_can_be_reported_on() {
    let place = desk(&["run.sigchain"]);
    let mut command =
        place.command(&["verify", "-", "--report", "in.html", "--report", "in.sarif"]);
    let file = fs::File::open(place.path("run.sigchain")).unwrap();
    let output = command.stdin(Stdio::from(file)).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let page = fs::read_to_string(place.path("in.html")).unwrap();
    let bytes = fs::read(place.path("run.sigchain")).unwrap();
    assert!(page.contains(&Digest::of(&[&bytes]).to_string()));
    let ledger = crate::ledger::support::place();
    all(&ledger, &["led"], 0);
    sarif(&ledger);
}
