//! Files of an earlier release in the hands of this program, and files of a newer format, which it refuses with the exit code that is
//! documented.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::ledger::support::{Place, empty, text};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

/// Copies a file or a folder, closed to others whatever git gave it for modes.
fn copy(from: &Path, to: &Path) {
    let is_folder = from.is_dir();
    if is_folder {
        fs::create_dir_all(to).unwrap();
        for found in fs::read_dir(from).unwrap() {
            let from = found.unwrap().path();
            copy(&from, &to.join(from.file_name().unwrap()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
    let mode = if is_folder { 0o700 } else { 0o600 };
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
}

/// A machine with what release 0.1 has left on it.
fn machine() -> Place {
    let place = empty();
    let release = fixtures("v0.1");
    copy(&release.join("ledger"), &place.path("led"));
    copy(&release.join("home"), &place.path("home"));
    let key = sigchain::key::SigningKey::from_seed(&[2; 32]).unwrap().public().id();
    fs::create_dir(place.path("home/keys")).unwrap();
    copy(&release.join("key.pem"), &place.path(&format!("home/keys/{key}.pem")));
    fs::set_permissions(place.path("home/keys"), fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["chain.sigchain", "chain.jsonl", "checkpoint", "entry.tlog-proof"] {
        copy(&release.join(name), &place.path(name));
    }
    fs::write(place.path("passphrase"), "fixture of sigchain\n").unwrap();
    fs::set_permissions(place.path("passphrase"), fs::Permissions::from_mode(0o600)).unwrap();
    place
}

/// [F-version-1]
#[test]
fn this_program_goes_on_with_what_release_0_1_wrote() {
    let place = machine();
    place.expect(&["verify", "led"], 0, &["intact", "61 entries"]);
    place.expect(&["verify", "led", "--checkpoint", "checkpoint"], 0, &["intact"]);
    place.expect(&["status", "led"], 0, &["61 entries"]);
    place.expect(&["log", "led", "--json"], 0, &["tool.call"]);
    place.expect(&["export", "led", "-o", "out.sigchain"], 0, &[]);
    place.expect(&["verify", "out.sigchain", "--checkpoint", "checkpoint"], 0, &["intact"]);
    for name in ["chain.sigchain", "chain.jsonl"] {
        place.expect(&["verify", name], 3, &["17 entries"]);
    }
    let append = ["append", "led", "--type", "a.b", "--actor", "later"];
    let args = [&append[..], &["--passphrase-file", "passphrase"]].concat();
    place.expect(&args, 0, &["recorded"]);
    place.expect(&["verify", "led", "--checkpoint", "checkpoint"], 0, &["intact"]);
}

/// [F-version-1]
#[test]
fn a_newer_format_exits_with_unreadable() {
    for (name, words) in [("segment-0000000000", "newer sigchain"), ("durable", "found 2")] {
        let place = machine();
        let newer = fixtures("newer").join(name);
        copy(&newer, &place.path("led").join(name));
        for args in
            [&["verify", "led"][..], &["log", "led"], &["status", "led"], &["show", "led", "3"]]
        {
            place.expect(args, 4, &[name, words]);
        }
        let append = ["append", "led", "--type", "a.b", "--actor", "later"];
        let args = [&append[..], &["--passphrase-file", "passphrase"]].concat();
        place.expect(&args, 4, &[words]);
        assert_eq!(fs::read(place.path("led").join(name)).unwrap(), fs::read(newer).unwrap());
    }
    let place = machine();
    for name in ["chain.sigchain", "chain.jsonl"] {
        copy(&fixtures("newer").join(name), &place.path(name));
        let output = place.run(&["verify", name]);
        assert_eq!(output.status.code(), Some(4), "{name}: {}", text(&output));
        assert!(text(&output).contains("found version 2"), "{name}: {}", text(&output));
    }
    copy(&fixtures("newer/index-0000000000.index"), &place.path("led/index/0000000000.index"));
    place.expect(&["verify", "led"], 0, &["intact"]);
    place.expect(&["show", "led", "3"], 0, &[]);
}

/// [F-version-1] What has no number of its own says what it is in its first line.
#[test]
fn a_newer_note_proof_or_key_file_is_refused() {
    let place = machine();
    let edit = |name: &str, from: &str, to: &str| {
        let text = fs::read_to_string(place.path(name)).unwrap();
        assert!(text.contains(from), "{name}");
        fs::write(place.path(name), text.replace(from, to)).unwrap();
    };
    edit("entry.tlog-proof", "tlog-proof@v1", "tlog-proof@v2");
    place.expect(&["verify", "entry.tlog-proof"], 4, &[]);
    let keys = fs::read_dir(place.path("home/keys")).unwrap();
    let key = keys.map(|found| found.unwrap().file_name()).next().unwrap();
    let key = format!("home/keys/{}", key.to_str().unwrap());
    edit(&key, "ENCRYPTED PRIVATE KEY", "SIGCHAIN PRIVATE KEY 2");
    let append = ["append", "led", "--type", "a.b", "--actor", "later"];
    let args = [&append[..], &["--passphrase-file", "passphrase"]].concat();
    place.expect(&args, 4, &[&key]);
    let anchors = place.path("home/anchors");
    let chain = fs::read_dir(anchors).unwrap().next().unwrap().unwrap().path();
    let last = chain.join("00000000000000000003");
    let note = fs::read_to_string(&last).unwrap();
    fs::write(&last, format!("sigchain anchor 2\n{note}")).unwrap();
    place.expect(&["verify", "led"], 4, &["cannot be read"]);
}
