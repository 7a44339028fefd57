//! F20, crash loops: a process that is killed again and again right after it opened the ledger, with and without an event, adds what
//! it was told to record, at most one entry of the ledger's own each time, and no file without bound.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::ledger::support::{Place, place};
use crate::writers::{Dice, EVENT, LINE, log, own, rounds, tell};

fn files(path: &Path) -> usize {
    fs::read_dir(path)
        .unwrap()
        .map(|found| found.unwrap().path())
        .fold(0, |count, path| count + if path.is_dir() { files(&path) } else { 1 })
}

fn segments(place: &Place) -> usize {
    let names = fs::read_dir(place.path("led")).unwrap().map(|f| f.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().starts_with("segment-")).count()
}

#[test]
fn a_crash_loop_adds_no_more_than_a_group_each_time() {
    let place = place();
    let count = rounds(30, 1000);
    let mut sequences = Vec::new();
    for _ in 0..count {
        let mut lines = place.lines(&[]);
        lines.send(LINE);
        let outcome = lines.outcome().unwrap();
        assert_eq!(outcome["ok"], true);
        lines.signal("KILL");
        assert_eq!(lines.end().code(), None);
        sequences.push(outcome["sequence"].as_u64().unwrap());
    }
    let log = log(&place);
    for sequence in &sequences {
        assert_eq!(log[usize::try_from(*sequence).unwrap()]["event_type"], "a.b", "{sequence}");
    }
    let own = own(&log);
    assert_eq!(log.len(), count + own.len(), "each event is there once");
    assert!(own[1..].iter().all(|name| *name == "epoch.begun"), "{own:?}");
    assert!(own.len() <= count + 1, "{} of the ledger's own", own.len());
    // A process that was killed by itself took nothing with it from the page cache: what the record says holds, and the last segment is
    // gone on with.
    assert!(segments(&place) <= 2, "{} segments", segments(&place));
    let anchored = files(&place.path("home/anchors"));
    assert!(anchored <= 65, "{anchored} files at the anchor");
    place.expect(&EVENT, 0, &["recorded"]);
    place.is_intact();
    tell(&format!(
        "{count} kills after an append: {} entries, {} of the ledger's own, {} segments, {} files",
        log.len(),
        own.len(),
        segments(&place),
        files(&place.path("led"))
    ));
}

/// Killed at any moment from its start on, before it was given anything: nothing grows.
#[test]
fn a_crash_loop_without_an_event_adds_nothing() {
    let place = place();
    // The last writer did not close: each opening has something to decide.
    let mut lines = place.lines(&[]);
    lines.send(LINE);
    assert_eq!(lines.outcome().unwrap()["ok"], true);
    lines.signal("KILL");
    lines.end();
    let (before, entries) = (files(&place.path("led")), place.status()["entries"].clone());
    let count = rounds(30, 1000);
    let mut dice = Dice(7);
    for _ in 0..count {
        let lines = place.lines(&[]);
        std::thread::sleep(dice.millis(40));
        lines.signal("KILL");
        assert_eq!(lines.end().code(), None);
    }
    assert_eq!(place.status()["entries"], entries);
    let after = files(&place.path("led"));
    assert!(after <= before + 2, "{before} files, and {after} after {count} kills");
    place.expect(&EVENT, 0, &["recorded"]);
    place.is_intact();
    tell(&format!("{count} kills while opening: {before} files before, {after} after"));
}

/// Killed under load, so that more is written than the record says: a segment each time at most, with little in it.
#[test]
fn kills_under_load_begin_at_most_a_segment_each() {
    let place = place();
    let count = rounds(8, 100);
    let mut dice = Dice(7);
    for _ in 0..count {
        let mut lines = place.lines(&[]);
        let feeder = lines.feed(100);
        assert_eq!(lines.outcome().unwrap()["ok"], true);
        std::thread::sleep(dice.millis(30));
        lines.signal("KILL");
        lines.end();
        feeder.join().unwrap();
    }
    place.expect(&EVENT, 0, &["recorded"]);
    let begun = segments(&place);
    assert!(begun <= count + 2, "{begun} segments");
    let log = log(&place);
    let own = own(&log);
    let epochs = own.iter().filter(|name| **name == "epoch.begun").count();
    assert!(epochs <= count + 1, "{epochs} epochs");
    place.is_intact();
    tell(&format!("{count} kills under load: {begun} segments, {epochs} epochs"));
}

/// Longer than any signer outside the process would be given: what was under way is recorded all the same.
#[test]
fn one_that_slept_goes_on() {
    let place = place();
    let mut lines = place.lines(&[]);
    let feeder = lines.feed(1000);
    let told = (0..100).map(|_| lines.outcome().unwrap()).filter(|told| told["ok"] == true).count();
    lines.signal("STOP");
    std::thread::sleep(Duration::from_secs(11));
    lines.signal("CONT");
    let after: Vec<_> = (0..20_000).map(|_| lines.outcome().unwrap()).collect();
    lines.signal("TERM");
    let rest = lines.outcomes();
    assert_eq!(lines.end().code(), Some(0));
    feeder.join().unwrap();
    assert_eq!(told, 100);
    assert!(after.iter().chain(&rest).all(|told| told["ok"] == true));
    let entries = place.status()["entries"].as_u64().unwrap();
    assert_eq!(entries, u64::try_from(1 + told + after.len() + rest.len()).unwrap());
    place.is_intact();
}
