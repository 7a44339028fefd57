//! What this machine has anchored, and a ledger without its checkpoint key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::ledger::support::{Place, check, place};

const EVENT: [&str; 6] = ["append", "led", "--type", "a.b", "--actor", "a"];

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Puts an older copy in the place of the ledger.
fn set_back(place: &Place) {
    fs::rename(place.path("led"), place.path("newer")).unwrap();
    fs::rename(place.path("older"), place.path("led")).unwrap();
}

/// An older copy verifies by itself; a checkpoint over it would be a second statement in the key's name.
#[test]
fn nothing_is_signed_over_a_ledger_that_was_set_back() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    copy(&place.path("led"), &place.path("older"));
    place.expect(&EVENT, 0, &[]);
    place.expect(&["checkpoint", "led"], 0, &["example.org/agents/"]);
    set_back(&place);
    let said = place.run(&["checkpoint", "led"]);
    assert!(said.stdout.is_empty());
    check(&["checkpoint"], &said, 1, &["ANCHOR_AHEAD", "nothing was written or signed"]);
    for sign in [&["--sign"][..], &[]] {
        let args = [&["export", "led", "-o", "out.sigchain"][..], sign].concat();
        place.expect(&args, 1, &["ANCHOR_AHEAD"]);
        assert!(!place.path("out.sigchain").exists());
    }
}

/// The file of the checkpoint key is lost: events are still recorded, and it is said what that means.
#[test]
fn without_the_checkpoint_key_events_are_recorded_and_it_is_said() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    let status = place.status();
    let keys = status["keys"].as_array().unwrap();
    let id = keys.iter().find(|key| key["role"] == "checkpoint").unwrap()["id"].as_str().unwrap();
    let file = format!("home/keys/{id}.pem");
    fs::rename(place.path(&file), place.path("kept")).unwrap();
    place.expect(&EVENT, 0, &["AT RISK", "no active checkpoint key", "recorded: entry"]);
    place.expect(&["checkpoint", "led"], 4, &["KEY_MISSING"]);
    fs::rename(place.path("kept"), place.path(&file)).unwrap();
    place.expect(&EVENT, 0, &["recorded: entry"]);
    place.is_intact();
    let status = place.status();
    assert_eq!(status["seal"]["size"], status["entries"]);
}

/// Where nothing can be anchored a chain is made and written to all the same, and that it is not anchored is said.
#[test]
fn a_home_that_takes_no_claims_stops_nothing() {
    let place = crate::ledger::support::empty();
    fs::create_dir(place.path("home")).unwrap();
    // Where a folder should be.
    fs::write(place.path("home/anchors"), b"").unwrap();
    for path in ["home", "home/anchors"] {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let init = ["init", "led", "--name", "example.org/agents"];
    place.expect(&init, 0, &["the anchor: ", "made chain", "--chain-id"]);
    // What it knows cannot be read: that is no ledger to go on with.
    place.expect(&EVENT, 4, &[]);
    fs::remove_file(place.path("home/anchors")).unwrap();
    place.expect(&EVENT, 0, &["recorded: entry 1"]);
}

/// Which chain was where is remembered until it is forgotten.
#[test]
fn a_place_is_forgotten_when_it_is_asked_for() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    fs::remove_dir_all(place.path("led")).unwrap();
    let init = ["init", "led", "--name", "example.org/agents"];
    let said = crate::ledger::support::text(&place.run(&init));
    assert!(said.contains("LEDGER_LOST") && said.contains("sigchain forget"), "{said}");
    place.expect(&["forget"], 2, &[]);
    place.expect(&["forget", "led"], 0, &["no longer knows"]);
    place.expect(&["forget", "led"], 0, &[]);
    place.expect(&init, 0, &["made chain"]);
    // A ledger that is moved is known at its new place as soon as it is opened there.
    fs::rename(place.path("led"), place.path("moved")).unwrap();
    place.expect(&["append", "moved", "--type", "a.b", "--actor", "a"], 0, &[]);
    fs::remove_dir_all(place.path("moved")).unwrap();
    let said = place.run(&["init", "moved", "--name", "example.org/agents"]);
    assert!(crate::ledger::support::text(&said).contains("LEDGER_LOST"));
}
