//! archive and restore, on real ledgers.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::ledger::support::{Place, place, text};

fn code(place: &Place, args: &[&str]) -> (Option<i32>, String) {
    let output = place.run(args);
    (output.status.code(), text(&output))
}

fn done(place: &Place, args: &[&str]) -> String {
    let (code, said) = code(place, args);
    assert_eq!(code, Some(0), "{args:?}: {said}");
    said
}

/// A ledger with several segments: each time it is opened without a close, another begins. One is enough here: age ends it.
fn filled() -> Place {
    let place = place();
    fill(&place);
    place
}

fn fill(place: &Place) {
    let payload = "x".repeat(300_000);
    fs::write(place.path("payload"), payload).unwrap();
    let line = |n: u32| {
        format!(
            "{{\"type\":\"test.call\",\"actor\":\"agent:a\",\"payload\":\"{}\",\"correlation\":\"{n}\"}}\n",
            "y".repeat(900_000)
        )
    };
    let lines: String = (0..80).map(line).collect();
    fs::write(place.path("lines"), lines).unwrap();
    let mut command = place.command(&["append", "led", "--lines"]);
    let output = command.stdin(fs::File::open(place.path("lines")).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// A quarantine that was resolved stays resolved when the entry that says so is old enough to leave.
#[test]
fn what_was_reconciled_goes_on_behind_an_archive() {
    let place = place();
    done(&place, &["quarantine", "halt", "led", "--note", "to see"]);
    done(&place, &["quarantine", "reconcile", "led", "--note", "all is well"]);
    fill(&place);
    done(&place, &["archive", "led", "--to", "out", "--leave", "1B"]);
    assert!(names(&place).iter().any(|name| name.starts_with("standin-")));
    let event = ["append", "led", "--type", "a.b", "--actor", "a"];
    done(&place, &event);
    fs::remove_dir_all(place.path("led/index")).unwrap();
    done(&place, &event);
    done(&place, &["restore", "led", "--from", "out"]);
    done(&place, &event);
}

fn archives(place: &Place, under: &str) -> Vec<PathBuf> {
    let chain = fs::read_dir(place.path(under)).unwrap().next().unwrap().unwrap().path();
    fs::read_dir(chain).unwrap().map(|found| found.unwrap().path()).collect()
}

fn names(place: &Place) -> Vec<String> {
    let all = fs::read_dir(place.path("led")).unwrap();
    let mut all: Vec<_> =
        all.map(|found| found.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

/// [F-archive-1] [F-archive-2] [F-archive-3] [F-archive-4]
#[test]
fn what_leaves_verifies_by_itself_and_comes_back() {
    let place = filled();
    done(&place, &["checkpoint", "led", "-o", "early.note"]);
    done(&place, &["prove", "led", "3", "-o", "early.tlog-proof"]);
    let first = fs::read(place.path("led/segment-0000000000")).unwrap();
    let before = names(&place);

    let (exit, said) = code(&place, &["archive", "led", "--to", "led/within", "--leave", "1B"]);
    assert_eq!(exit, Some(2), "{said}");
    assert_eq!(code(&place, &["archive", "led", "--to", "out"]).0, Some(2));
    let said = done(&place, &["archive", "led", "--to", "out", "--leave", "1B", "--dry-run"]);
    assert!(said.contains("1 segment would leave"), "{said}");
    done(&place, &["archive", "led", "--to", "out", "--older-than", "1d"]);
    assert_eq!(names(&place), before);
    fs::write(place.path("file"), "no folder").unwrap();
    assert_eq!(code(&place, &["archive", "led", "--to", "file", "--leave", "1B"]).0, Some(4));
    assert_eq!(names(&place), before);

    done(&place, &["archive", "led", "--to", "out", "--leave", "1B"]);
    assert!(!place.path("led/segment-0000000000").exists());
    assert!(place.path("led/standin-0000000000").exists());
    let all = archives(&place, "out");
    assert_eq!(all.len(), 1, "{all:?}");
    let archive = all[0].to_str().unwrap().to_owned();
    assert!(archive.ends_with(".sigchain.zst"));
    // By itself, and what stays, each against what was held before.
    for what in [archive.as_str(), "led"] {
        let said = done(&place, &["verify", what, "--checkpoint", "early.note"]);
        assert!(said.contains("intact"), "{said}");
    }
    done(&place, &["log", "led"]);
    let shown = done(&place, &["log", "led", "--type", "recovery.*"]);
    assert!(shown.contains("recovery.archived"), "{shown}");
    // With nothing derived.
    fs::remove_dir_all(place.path("led/index")).ok();
    done(&place, &["append", "led", "--type", "a.b", "--actor", "agent:a"]);

    // Refused: damaged, of another chain, missing; nothing has changed.
    let held = names(&place);
    let bytes = fs::read(&archive).unwrap();
    for at in [0, 9, bytes.len() / 2, bytes.len() - 1] {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x10;
        fs::write(place.path("wrong.sigchain.zst"), wrong).unwrap();
        let (exit, said) = code(&place, &["restore", "led", "--from", "wrong.sigchain.zst"]);
        assert!(matches!(exit, Some(4 | 5)), "{at}: {exit:?} {said}");
        assert_eq!(names(&place), held);
    }
    done(&place, &["init", "other", "--name", "example.org/other"]);
    done(&place, &["append", "other", "--type", "a.b", "--actor", "agent:a"]);
    done(&place, &["export", "other", "--sign", "-o", "other.sigchain"]);
    assert_eq!(code(&place, &["restore", "led", "--from", "other.sigchain"]).0, Some(5));
    fs::create_dir(place.path("nothing")).unwrap();
    assert_eq!(code(&place, &["restore", "led", "--from", "nothing"]).0, Some(1));
    assert_eq!(names(&place), held);

    done(&place, &["restore", "led", "--from", "out"]);
    assert!(!place.path("led/standin-0000000000").exists());
    // Byte for byte what it was, but for the marks of groups.
    assert_eq!(fs::read(place.path("led/segment-0000000000")).unwrap().len(), first.len());
    let said = done(&place, &["verify", "led", "--checkpoint", "early.note"]);
    assert!(!said.contains("archived elsewhere"), "{said}");
    assert!(done(&place, &["log", "led", "--type", "recovery.*"]).contains("recovery.restored"));
}

/// [F-hold-1] A hold keeps what it names and all behind it, by entries of the chain; released, it leaves.
#[test]
fn what_is_held_stays() {
    let place = filled();
    let hold = ["hold", "led", "--since", "3", "--until", "5", "--note", "case 7"];
    let said = done(&place, &hold);
    let event = said.rsplit_once("--release ").unwrap().1.split(' ').next().unwrap().to_owned();
    done(&place, &["hold", "led", "--list"]).find("entries 3 to 5 are held").unwrap();
    let archive = ["archive", "led", "--to", "out", "--leave", "1B"];
    let before = names(&place);
    let said = done(&place, &archive);
    assert!(said.contains("case 7") && said.contains("0 segments"), "{said}");
    assert_eq!(names(&place), before);
    let release = ["hold", "led", "--release", &event, "--note", "settled"];
    done(&place, &release);
    assert_eq!(code(&place, &release).0, Some(1));
    done(&place, &["hold", "led", "--list"]).find("nothing is held").unwrap();
    let said = done(&place, &archive);
    assert!(!said.contains("0 segments"), "{said}");
    assert!(names(&place).iter().any(|name| name.starts_with("standin-")));
    // A hold says why, and of what is there.
    assert_eq!(code(&place, &["hold", "led", "--since", "999", "--note", "x"]).0, Some(1));
    assert_eq!(code(&place, &["hold", "led"]).0, Some(2));
    done(&place, &["hold", "led", "--note", "all of it"]);
    done(&place, &["hold", "led", "--list"]).find("all of it").unwrap();
}

/// Nothing was looked at and nothing is missed: that is no verdict.
#[test]
fn a_folder_without_archives_is_not_intact() {
    let place = place();
    fs::create_dir_all(place.path("arc").join("0".repeat(64))).unwrap();
    fs::write(place.path("arc").join("0".repeat(64)).join("x.sigchain"), "x").unwrap();
    place.expect(&["verify", "arc", "--against", "led"], 4, &["no archive is in"]);
    place.expect(&["verify", "arc"], 4, &["no archive is in"]);
}

/// [F-hold-1] Archives take their time: one who holds entries meanwhile, in another process, is not too late.
#[test]
fn what_is_held_while_archives_are_made_stays() {
    let place = filled();
    let mut other = place.lines(&[]);
    other.send("{\"type\":\"note\",\"payload\":1}");
    other.outcome();
    // It waits for the other one when it is about to put on record what leaves: its archives are made by then.
    let mut archive =
        place.command(&["archive", "led", "--to", "out", "--leave", "1B", "--wait", "600"]);
    let archive = archive.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let is_made = || {
        let folders = fs::read_dir(place.path("out")).into_iter().flatten().flatten();
        let mut files =
            folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        files.any(|file| file.path().extension().is_some_and(|ending| ending == "zst"))
    };
    while !is_made() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let held = "{\"first\":3,\"last\":5,\"note\":\"case 8\"}";
    other.send(&format!("{{\"type\":\"retention.hold\",\"payload\":{held}}}"));
    assert_eq!(other.outcome().unwrap()["ok"], true);
    drop(other.input.take());
    assert!(other.end().success());
    let output = archive.wait_with_output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("case 8") && said.contains("archived 0 segments"), "{said}");
    let is_left = |name: &String| name.starts_with("standin-");
    assert!(!names(&place).iter().any(is_left), "{:?}", names(&place));
    assert!(!done(&place, &["log", "led"]).contains("recovery.archived"));
}
