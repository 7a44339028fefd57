//! `doctor`: a healthy ledger, and each illness.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::ledger::support::{Place, empty, place, text};
use crate::operator::{EVENT, active, file_of, json, with_operator};

/// The lines about one thing.
fn about<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    value["checks"].as_array().unwrap().iter().filter(|check| check["check"] == name).collect()
}

/// It is bad, and it is about this, and it says so.
#[track_caller]
fn is_ill(place: &Place, name: &str, says: &str) {
    let value = json(place, "doctor", &["led"], 1);
    assert_eq!(value["healthy"], false);
    let bad: Vec<&Value> = value["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["state"] == "bad")
        .collect();
    let found = bad.iter().find(|check| check["check"] == name);
    let found = found.unwrap_or_else(|| panic!("{bad:?}"));
    assert!(found["what"].as_str().unwrap().contains(says), "{found}");
    // What follows from it may be bad as well, and nothing else.
    assert!(bad.len() <= 2, "{bad:?}");
    assert!(bad.iter().all(|check| check["next"].as_str().is_some_and(|next| next.len() > 5)));
}

#[track_caller]
fn is_healthy(place: &Place) -> Value {
    let value = json(place, "doctor", &["led"], 0);
    assert_eq!(value["healthy"], true, "{value}");
    value
}

fn chmod(place: &Place, name: &str, mode: u32) {
    fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_healthy_ledger() {
    let place = with_operator();
    place.expect(&EVENT, 0, &[]);
    let before: Vec<_> =
        fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    let said =
        place.expect(&["doctor", "led"], 0, &["healthy", "synced in", "1 operator", "MB free"]);
    assert!(!said.contains("bad "), "{said}");
    let value = is_healthy(&place);
    for name in [
        "clock",
        "home",
        "ledger",
        "rights",
        "writer",
        "entry key",
        "checkpoint key",
        "operator",
        "anchor",
        "file system",
        "room",
        "sync",
        "open files",
    ] {
        assert_eq!(about(&value, name).len(), 1, "{name}: {value}");
    }
    let after: Vec<_> =
        fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(before.len(), after.len(), "nothing is left there");
    // Without a ledger only the machine and the home.
    let value = json(&place, "doctor", &[], 0);
    assert!(about(&value, "ledger").is_empty() && about(&value, "home").len() == 1);
    place.is_intact();
}

#[test]
fn rights_that_let_others_in() {
    let place = with_operator();
    for (name, check, wide, narrow) in [
        ("led", "rights", 0o755, 0o700),
        ("led/segment-0000000000", "rights", 0o644, 0o600),
        ("home", "home", 0o750, 0o700),
        ("home/anchors", "anchor", 0o750, 0o700),
    ] {
        chmod(&place, name, wide);
        is_ill(&place, check, &format!("{wide:o}"));
        chmod(&place, name, narrow);
        is_healthy(&place);
    }
    let key = format!("home/keys/{}.pem", active(&place, "entry")[0]);
    chmod(&place, &key, 0o640);
    is_ill(&place, "entry key", "mode 0640");
}

#[test]
fn keys_that_are_missing_or_should_not_be_there() {
    let place = with_operator();
    fs::copy(place.path("op.pem"), place.path("home/keys/forgotten")).unwrap();
    is_ill(&place, "operator", "an operator's key is on this machine");
    fs::remove_file(place.path("home/keys/forgotten")).unwrap();
    // One under a passphrase is known by its public half.
    fs::copy(place.path("op.pem.pub"), place.path("home/forgotten.pub")).unwrap();
    is_healthy(&place);
    fs::write(place.path("home/forgotten"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
    is_ill(&place, "operator", "an operator's key is on this machine");
    fs::remove_file(place.path("home/forgotten")).unwrap();
    for (role, check) in [("entry", "entry key"), ("checkpoint", "checkpoint key")] {
        let file = file_of(&place, &active(&place, role)[0]);
        let aside = place.path("aside");
        fs::rename(&file, &aside).unwrap();
        is_ill(&place, check, "no ");
        fs::rename(&aside, &file).unwrap();
    }
    is_healthy(&place);
}

#[test]
fn a_ledger_that_was_set_back() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    let copy = |from: &str, to: &str| {
        let run = Command::new("cp").arg("-a").args([place.path(from), place.path(to)]).status();
        assert!(run.unwrap().success());
    };
    copy("led", "old");
    place.expect(&EVENT, 0, &[]);
    fs::remove_dir_all(place.path("led")).unwrap();
    copy("old", "led");
    is_ill(&place, "anchor", "LEDGER_BEHIND");
    let metrics = place.expect(&["status", "led", "--metrics"], 0, &[]);
    assert!(
        metrics.lines().any(|line| line.starts_with("audit_chain_ok{") && line.ends_with(" 0"))
    );
    place.expect(&["status", "led"], 0, &["BEHIND", "3 entries are anchored"]);
    // Anchors that cannot be read are no anchors.
    fs::rename(place.path("home/anchors"), place.path("aside")).unwrap();
    fs::write(place.path("home/anchors"), "x").unwrap();
    let value = json(&place, "doctor", &["led"], 1);
    assert_eq!(about(&value, "anchor")[0]["state"], "bad");
}

#[test]
fn who_writes_is_named_and_what_is_no_ledger_is_bad() {
    let place = place();
    let mut lines = place.lines(&[]);
    lines.send("{\"type\":\"a.b\",\"payload\":1}");
    assert_eq!(lines.outcome().unwrap()["ok"], true);
    let value = is_healthy(&place);
    let what = about(&value, "writer")[0]["what"].as_str().unwrap().to_owned();
    assert_eq!(what, format!("process {} holds the ledger", lines.child.id()));
    assert_eq!(lines.end().code(), Some(0));
    for (name, says) in [("nope", "FS_MISSING"), ("home", "LEDGER_FILES")] {
        let value = json(&place, "doctor", &[name], 1);
        assert!(about(&value, "ledger")[0]["what"].as_str().unwrap().contains(says), "{value}");
    }
    let nowhere = empty();
    let mut command = nowhere.command(&["doctor"]);
    let output = command.env("SIGCHAIN_HOME", "relative").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    nowhere.expect(&["doctor"], 0, &["is not there yet", "healthy"]);
    assert!(!nowhere.path("home").exists(), "looking makes nothing");
    // Hostile names act on no terminal.
    fs::create_dir(nowhere.path("\u{1b}[2J\u{202e}")).unwrap();
    let said = nowhere.expect(&["doctor", "\u{1b}[2J\u{202e}"], 1, &[]);
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'));
}

/// In memory there is no ledger that outlives the machine.
#[test]
fn a_file_system_in_memory_is_bad() {
    let dir = tempfile::tempdir_in("/dev/shm");
    let Ok(dir) = dir else { return };
    let place = empty();
    let led = dir.path().join("led");
    let led = led.to_str().unwrap();
    place.expect(&["init", led, "--name", "a.org/x", "--allow-memory"], 0, &[]);
    let value = json(&place, "doctor", &[led], 1);
    assert!(
        about(&value, "file system")[0]["what"].as_str().unwrap().contains("FS_MEMORY"),
        "{value}"
    );
}
