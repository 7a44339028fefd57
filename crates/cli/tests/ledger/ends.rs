//! How recording ends: signals, kills, closed pipes, other writers, disks that fail.

use std::fs;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::ledger::support::{Place, check, place};
use crate::schema;

/// Every outcome is a receipt, in order; as many as there are entries behind entry 0.
fn are_all_recorded(place: &Place, outcomes: &[Value]) {
    for (outcome, number) in outcomes.iter().zip(1..) {
        assert_eq!((&outcome["ok"], &outcome["line"]), (&true.into(), &number.into()), "{outcome}");
        assert_eq!(outcome["sequence"], number);
    }
    let entries = place.status()["entries"].as_u64().unwrap();
    assert_eq!(entries, u64::try_from(outcomes.len()).unwrap() + 1, "each that is there was told");
    place.is_intact();
}

#[test]
fn sigterm_drains_and_closes() {
    for signal in ["TERM", "INT"] {
        let place = place();
        let mut lines = place.lines(&[]);
        let feeder = lines.feed(1000);
        let mut outcomes: Vec<Value> = (0..500).map(|_| lines.outcome().unwrap()).collect();
        lines.signal(signal);
        outcomes.extend(lines.outcomes());
        assert_eq!(lines.end().code(), Some(0), "{signal}");
        feeder.join().unwrap();
        are_all_recorded(&place, &outcomes);
        let status = place.status();
        assert_eq!(status["seal"]["size"], status["entries"], "closed cleanly");
        // So the next writer needs no entry of the ledger's own.
        let next = format!("entry {}", status["entries"]);
        place.expect(&["append", "led", "--type", "a.b", "--actor", "a"], 0, &[&next]);
    }
}

/// Nothing arrives, and then a signal: it does not wait for the next line.
#[test]
fn sigterm_ends_one_that_only_waits() {
    let place = place();
    let mut lines = place.lines(&[]);
    lines.send("{\"type\":\"a.b\",\"payload\":1}");
    assert_eq!(lines.outcome().unwrap()["ok"], true);
    lines.signal("TERM");
    assert_eq!(lines.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_has_a_receipt_survives_a_kill() {
    let place = place();
    let mut sure: Vec<Value> = Vec::new();
    for round in 0..5 {
        let mut lines = place.lines(&[]);
        let feeder = lines.feed(1000);
        for _ in 0..=(round * 300) {
            sure.push(lines.outcome().unwrap());
        }
        lines.signal("KILL");
        sure.extend(lines.outcomes());
        assert_eq!(lines.end().code(), None);
        feeder.join().unwrap();
        place.is_intact();
        let said =
            place.expect(&["append", "led", "--type", "a.c", "--actor", "a", "--json"], 0, &[]);
        sure.push(serde_json::from_str(&said).unwrap());
    }
    let output = place.run(&["log", "led", "--json", "--all"]);
    let log = String::from_utf8(output.stdout).unwrap();
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for outcome in &sure {
        assert_eq!(outcome["ok"], true);
        let at = usize::try_from(outcome["sequence"].as_u64().unwrap()).unwrap();
        assert_eq!(log[at]["event_id"], outcome["event_id"]);
    }
    place.is_intact();
}

#[test]
fn a_second_writer_is_7_or_waits() {
    let place = place();
    let mut lines = place.lines(&[]);
    lines.send("{\"type\":\"a.b\",\"payload\":1}");
    assert_eq!(lines.outcome().unwrap()["ok"], true);
    let event = ["append", "led", "--type", "a.c", "--actor", "b"];
    place.expect(&event, 7, &["LEDGER_BUSY", "another writer holds this ledger"]);
    place.expect(&["append", "led", "--lines"], 7, &["LEDGER_BUSY"]);
    place.expect(&[&event[..], &["--wait", "1"]].concat(), 7, &["LEDGER_BUSY"]);
    let waiting = [&event[..], &["--wait", "60"]].concat();
    let mut waits = place.command(&waiting).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(waits.try_wait().unwrap().is_none(), "it waits");
    assert_eq!(lines.end().code(), Some(0));
    assert_eq!(waits.wait().unwrap().code(), Some(0));
    assert_eq!(place.entries().len(), 2);
    place.is_intact();
}

/// Whoever reads the outcomes is gone: no more lines are read, and what was read is recorded.
#[test]
fn a_closed_output_is_6_and_loses_nothing() {
    let place = place();
    let mut lines = place.lines(&[]);
    let feeder = lines.feed(1000);
    let told: Vec<Value> = (0..100).map(|_| lines.outcome().unwrap()).collect();
    drop(lines.output.take());
    let status = lines.child.wait().unwrap();
    assert_eq!(status.code(), Some(6));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut lines.child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("could not be told") && said.contains("  next: "), "{said}");
    feeder.join().unwrap();
    let entries = place.status()["entries"].as_u64().unwrap();
    assert!(entries > u64::try_from(told.len()).unwrap());
    place.is_intact();
    let state = place.status();
    assert_eq!(state["seal"]["size"], state["entries"], "closed cleanly");
}

/// The same where no line comes any more.
#[test]
fn a_closed_output_ends_one_that_only_waits() {
    let place = place();
    let mut lines = place.lines(&[]);
    lines.send("{\"type\":\"a.b\",\"payload\":1}");
    assert_eq!(lines.outcome().unwrap()["ok"], true);
    drop(lines.output.take());
    assert_eq!(lines.child.wait().unwrap().code(), Some(0), "every outcome was told");
}

/// With so many blocks of 512 bytes for each file, and no signal when there are more: a write that fails.
fn limited(place: &Place, blocks: u32, args: &[&str], input: Option<&str>) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = place.by("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_sigchain")]).args(args);
    if let Some(input) = input {
        fs::write(place.path("in"), input).unwrap();
        command.stdin(fs::File::open(place.path("in")).unwrap());
    }
    command.output().unwrap()
}

const EVENT: [&str; 6] = ["append", "led", "--type", "a.b", "--actor", "a"];
const THREE: &str = "{\"type\":\"a.b\",\"payload\":1,\"ref\":1}\n{\"bad\":1,\"ref\":2}\n{\"type\":\"a.b\",\"payload\":3,\"ref\":3}\n";

/// A write that fails where nothing more can be written: nobody knows, and the event's id tells later.
#[test]
fn a_disk_that_takes_nothing_leaves_it_uncertain() {
    let place = place();
    let output = limited(&place, 0, &EVENT, None);
    let said = check(&EVENT, &output, 6, &["it is not known whether event", "--event-id"]);
    let id = said.split_whitespace().find(|word| word.len() == 36).unwrap();
    place.expect(&["show", "led", id], 1, &["next: "]);
    place.expect(&[&EVENT[..], &["--event-id", id]].concat(), 0, &["recorded"]);
    place.expect(&["show", "led", id], 0, &["a.b"]);

    let output = limited(&place, 0, &[&EVENT[..], &["--json"]].concat(), None);
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::check("append", &outcome);
    assert_eq!((output.status.code(), &outcome["ok"]), (Some(6), &Value::Null));

    let output = limited(&place, 0, &["append", "led", "--lines", "--actor", "a"], Some(THREE));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(6), "{told}");
    let first: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    schema::check("append", &first);
    assert_eq!(
        (&first["ok"], &first["code"], &first["ref"]),
        (&Value::Null, &"UNCERTAIN".into(), &1.into())
    );
    assert!(first["event_id"].as_str().unwrap().len() == 36);
    place.is_intact();
}

/// A write that fails where a new segment can still be begun: it is refused for certain, and the ledger goes on.
#[test]
fn a_full_disk_is_refused_and_then_goes_on() {
    let place = place();
    let output = limited(&place, 2, &["append", "led", "--lines", "--actor", "a"], Some(THREE));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(5), "{told}");
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 3);
    let refused = told.iter().filter(|outcome| outcome["ok"] == false);
    let codes: Vec<&Value> = refused.map(|outcome| &outcome["code"]).collect();
    assert!(codes.contains(&&"STORE_REFUSED".into()), "{told:?}");
    place.expect(&EVENT, 0, &["recorded"]);
    place.is_intact();
}

/// Ledgers on files are measured where it says, and nothing is left there.
#[test]
fn bench_measures_ledgers_on_files() {
    let place = place();
    fs::create_dir(place.path("bench")).unwrap();
    let output = place.run(&["bench", "bench", "--quick", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    let rows = value["rows"].as_array().unwrap();
    let of = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap().clone();
    for name in ["durable append, tickets", "durable append, one that waits", "verify the ledger"] {
        assert!(
            of(name)["value"].as_f64().unwrap() > 0.0 && of(name)["ratio"].is_number(),
            "{name}"
        );
    }
    assert_eq!(fs::read_dir(place.path("bench")).unwrap().count(), 0);
    place.expect(&["bench", "led"], 4, &["it is a ledger", "nothing was measured"]);
    place.expect(&["bench", "nowhere"], 4, &["nothing was measured"]);
    for args in [&["bench", "--long"][..], &["bench", "bench", "--dir", "x"], &["bench", "a", "b"]]
    {
        place.expect(args, 2, &[]);
    }
}

/// What was durable and is damaged: nothing is appended before somebody has looked.
#[test]
fn a_damaged_ledger_takes_no_more() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    place.expect(&EVENT, 0, &[]);
    let path = place.path("led/segment-0000000000");
    // What stands before the last seal is not read again to go on behind it; that is for `verify`.
    crate::ledger::support::flip(
        &path,
        usize::try_from(fs::metadata(&path).unwrap().len()).unwrap() - 50,
    );
    let count = || fs::read_dir(place.path("led")).unwrap().count();
    // What was found is set down in its folder quarantine, and nothing else is touched.
    let before = (fs::read(&path).unwrap(), count() + 1);
    place.expect(&EVENT, 8, &["LEDGER_DAMAGED", "quarantined"]);
    place.expect(&["append", "led", "--lines"], 8, &["LEDGER_QUARANTINED"]);
    assert_eq!((fs::read(&path).unwrap(), count()), before);
}
