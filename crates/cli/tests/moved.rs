//! archive and restore where something goes wrong: kills at their system calls, disks that are full, rights that are missing, archives that
//! are not what was written. And what verifies of a folder of archives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::disk::campaign::has;
use crate::ledger::support::{Place, place, text};
use crate::schema;
use crate::support::campaign::{is_torture, tally};

/// The words of `archive`, as all tests say them.
const OUT: &[&str] = &["archive", "led", "--to", "out", "--leave", "1B"];
const BACK: &[&str] = &["restore", "led", "--from", "out"];

#[track_caller]
fn done(place: &Place, args: &[&str]) -> String {
    place.expect(args, 0, &[])
}

fn json(place: &Place, command: &str, args: &[&str], exit: i32) -> Value {
    let output = place.run(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", text(&output));
    let value = serde_json::from_slice(&output.stdout).unwrap();
    schema::check(command, &value);
    value
}

/// A ledger with several small segments.
fn filled() -> Place {
    let place = place();
    fill(&place, 4);
    place
}

fn fill(place: &Place, times: usize) {
    let line = |n: usize| {
        let text = "y".repeat(1500);
        format!("{{\"type\":\"test.call\",\"actor\":\"agent:a\",\"payload\":\"{n} {text}\"}}\n")
    };
    fs::write(place.path("lines"), (0..9).map(line).collect::<String>()).unwrap();
    for _ in 0..times {
        let mut command = place.command(&["append", "led", "--lines", "--segment-bytes", "9000"]);
        let output = command.stdin(fs::File::open(place.path("lines")).unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|found| found.unwrap().path())
        .filter(|path| path.is_file() && !path.ends_with("durable"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

/// The folder of the chain's archives.
fn folder(place: &Place) -> PathBuf {
    fs::read_dir(place.path("out")).unwrap().next().unwrap().unwrap().path()
}

fn archives(place: &Place) -> Vec<PathBuf> {
    files(&folder(place)).into_iter().map(|(path, _)| path).collect()
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Entries that were recorded, wherever they are: each is in the ledger, or in an archive that verifies.
fn count(place: &Place, story: &str) -> (u64, u64) {
    let report = json(place, "verify", &["verify", "led", "--checkpoint", "early.note"], 0);
    assert_eq!(report["verdict"], "intact", "{story}");
    let (all, away) = (report["entries"].as_u64().unwrap(), &report["gaps"]["archived"]);
    let away = away.as_u64().unwrap();
    if away > 0 {
        let args = ["verify", "out", "--against", "led", "--checkpoint", "early.note"];
        let found = json(place, "verify", &args, 0);
        assert_eq!(found["archives"]["missing"], Value::Array(Vec::new()), "{story}");
        // The chain says where they are.
        let said = done(place, &["log", "led", "--type", "recovery.archived"]);
        assert!(said.contains("recovery.archived"), "{story}");
    }
    (all, away)
}

fn copy(from: &Path, to: &Path) {
    for name in ["led", "home", "out"] {
        drop(fs::remove_dir_all(to.join(name)));
        if from.join(name).exists() {
            let copied =
                Command::new("cp").arg("-a").args([from.join(name), to.join(name)]).status();
            assert!(copied.unwrap().success());
        }
    }
}

/// Kills `args` at this call of this number. Nothing if there is none of that number any more.
fn killed(place: &Place, args: &[&str], call: &str, number: usize) -> Option<Output> {
    let trace = place.path("trace");
    let mut command = place.by("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={number}")]);
    let program = env!("CARGO_BIN_EXE_sigchain");
    let output = command.arg("-o").arg(&trace).arg(program).args(args).output().unwrap();
    let said = fs::read_to_string(&trace).unwrap();
    said.contains("killed by SIGKILL").then_some(output)
}

/// Where it is killed: in the midst of it, or under `./torture` at each call that writes. There are at most 40 of a kind.
fn places(args: &[&str]) -> Vec<(&'static str, usize)> {
    if !is_torture() {
        // A second archive has its name; a stand-in, or a segment, takes the place of the other; that goes.
        let out = args == OUT;
        let put = if out { ("rename", 2) } else { ("fsync", 3) };
        return vec![put, ("renameat2", 2), ("unlinkat", if out { 5 } else { 6 })];
    }
    let calls = ["renameat2", "rename", "unlinkat", "unlink", "fsync", "fdatasync", "pwrite64"];
    calls.into_iter().flat_map(|call| (1..40).map(move |number| (call, number))).collect()
}

/// [F-archive-2] [F-archive-4]
#[test]
fn a_kill_at_any_call_of_archive_and_restore_loses_nothing() {
    if !has("kills of archive and restore", &["strace"], false) {
        return;
    }
    let place = filled();
    done(&place, &["checkpoint", "led", "-o", "early.note"]);
    let all = count(&place, "before").0;
    let (before, between) = (place.path("before"), place.path("between"));
    fs::create_dir_all(&before).unwrap();
    fs::create_dir_all(&between).unwrap();
    copy(place.dir.path(), &before);
    done(&place, OUT);
    copy(place.dir.path(), &between);
    let mut runs = 0;
    for (args, from) in [(OUT, &before), (BACK, &between)] {
        for (call, number) in places(args) {
            copy(from, place.dir.path());
            if killed(&place, args, call, number).is_none() {
                continue;
            }
            let story = format!("{args:?} killed at {call} number {number}");
            let (now, _) = count(&place, &story);
            assert!(now >= all, "{story}");
            done(&place, args);
            let (_, away) = count(&place, &story);
            assert_eq!(away > 0, args == OUT, "{story}");
            done(&place, &["append", "led", "--type", "a.b", "--actor", "a"]);
            runs += 1;
        }
    }
    assert!(runs > 4, "{runs}");
    tally(runs);
}

/// [F-archive-1] Where something is in the way nothing leaves.
#[test]
fn what_cannot_be_archived_stays() {
    let place = filled();
    let before = files(&place.path("led"));
    let within = ["archive", "led", "--to", "led/deep/within", "--leave", "1B"];
    place.expect(&within, 2, &["lies within the ledger"]);
    fs::create_dir(place.path("closed")).unwrap();
    let to = ["archive", "led", "--to", "closed", "--leave", "1B"];
    // A disk that is full.
    if has("a full disk for archives", &["unshare"], true) {
        let script = "mount -t tmpfs -o size=4k none closed && exec \"$0\" \"$@\"";
        let mut command = place.by("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", script]);
        let output = command.arg(env!("CARGO_BIN_EXE_sigchain")).args(to).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("No space left") && said.contains("  next: "), "{said}");
        assert_eq!(files(&place.path("led")), before);
    }
    // Somebody else's, of whom there is one only where root runs this.
    if has("archives without rights", &["setpriv"], true) {
        for entry in ["led", "home", "."] {
            let user = place.by("chown").args(["-R", "65534:65534", entry]).status().unwrap();
            assert!(user.success());
        }
        place.by("chown").args(["0:0", "closed"]).status().unwrap();
        let mut command = place.by("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        let output = command.arg(env!("CARGO_BIN_EXE_sigchain")).args(to).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("Permission denied"), "{said}");
        assert_eq!(files(&place.path("led")), before);
    }
}

/// [F-archive-4] All archives are looked at before anything is changed.
#[test]
fn what_is_not_what_left_does_not_come_back() {
    let place = filled();
    done(&place, OUT);
    let all = archives(&place);
    assert!(all.len() > 2, "{all:?}");
    let before = files(&place.path("led"));
    let [first, second, ..] = all.as_slice() else { panic!("{all:?}") };
    let bytes = fs::read(second).unwrap();
    for at in [20, bytes.len() / 2, bytes.len() - 2] {
        let mut wrong = bytes.clone();
        wrong[at] ^= 4;
        fs::write(second, wrong).unwrap();
        // The first one is right, and does not come back either.
        let exit = place.run(BACK).status.code();
        assert!(matches!(exit, Some(4 | 5)), "{exit:?}");
        assert_eq!(files(&place.path("led")), before);
    }
    fs::write(second, &bytes).unwrap();
    // One that is missing is said, and the others are back.
    let told = json(&place, "restore", &["restore", "led", "--from", name(first)], 1);
    assert_eq!(told["moved"][0]["first"], 1);
    assert!(!told["missing"].as_array().unwrap().is_empty());
    place.expect(&["restore", "led", "--from", name(second)], 1, &["brought", "are in none of"]);
    let told = json(&place, "restore", BACK, 0);
    assert_eq!(told["missing"], Value::Array(Vec::new()));
    json(&place, "restore", BACK, 0);
    let told = json(&place, "archive", &[OUT, &["--dry-run"]].concat(), 0);
    assert_eq!(told["moved"][0]["archive"], Value::Null);
    let told = json(&place, "hold", &["hold", "led", "--note", "case 7"], 0);
    assert_eq!(told["holds"][0]["note"], "case 7");
    let told = json(&place, "archive", OUT, 0);
    assert_eq!(
        (&told["moved"], &told["held"][0]["note"]),
        (&Value::Array(vec![]), &"case 7".into())
    );
    let held = json(&place, "hold", &["hold", "led", "--list"], 0);
    let event = held["holds"][0]["event"].as_str().unwrap();
    let told = json(&place, "hold", &["hold", "led", "--release", event, "--note", "settled"], 0);
    assert_eq!(told["holds"], Value::Array(vec![]));
}

/// [F-archive-5] Each by itself, all together, and with the ledger that they left.
#[test]
fn a_folder_of_archives_verifies() {
    let place = filled();
    done(&place, OUT);
    fill(&place, 3);
    done(&place, &["checkpoint", "led", "-o", "early.note"]);
    done(&place, OUT);
    let all = archives(&place);
    // What says so stays, although its own segment has left.
    let said = done(&place, &["log", "led", "--type", "recovery.archived"]);
    assert_eq!(said.matches("recovery.archived").count(), all.len(), "{said}");
    let line: Vec<&str> = place.line.iter().map(String::as_str).collect();
    let verify = |more: &[&str]| json(&place, "verify", &[&["verify", "out"], more].concat(), 0);
    let unvouched = json(&place, "verify", &["verify", "out"], 3);
    assert_eq!(unvouched["verdict"], "unvouched");
    for more in [&line[..], &["--against", "led"], &["--allow-self-asserted"]] {
        let report = verify(more);
        assert_eq!(report["form"], "archives");
        assert_eq!(report["archives"]["files"].as_array().unwrap().len(), all.len());
    }
    let report = verify(&["--checkpoint", "early.note"]);
    assert_eq!(report["verdict"], "intact", "{report}");
    assert!(verify(&["--against", "led"])["archives"]["ledger"]["compared"].as_u64().unwrap() > 2);
    place.expect(
        &["verify", name(&folder(&place)), "--against", "led"],
        0,
        &["intact: ", "together:"],
    );

    // One is missing: in the middle, and the last.
    for gone in [&all[1], all.last().unwrap()] {
        let away = place.path("away");
        fs::rename(gone, &away).unwrap();
        place.expect(&["verify", "out", "--against", "led"], 1, &["missing: entries"]);
        fs::rename(&away, gone).unwrap();
    }
    fs::rename(&all[1], place.path("away")).unwrap();
    place.expect(&["verify", "out"], 1, &["faulty: ", "missing: entries"]);
    // It is no hole where the ledger has the entries itself.
    place.expect(&["restore", "led", "--from", "away"], 1, &["brought"]);
    place.expect(&["verify", "out", "--against", "led"], 0, &["intact: "]);
    // One takes the name of another.
    fs::copy(&all[0], &all[1]).unwrap();
    place.expect(&["verify", "out"], 1, &["has not all that it is named after"]);
    fs::rename(place.path("away"), &all[1]).unwrap();
    // A byte is another.
    let bytes = fs::read(&all[1]).unwrap();
    let mut wrong = bytes.clone();
    wrong[bytes.len() / 2] ^= 1;
    fs::write(&all[1], wrong).unwrap();
    let exit = place.run(&["verify", "out"]).status.code();
    assert!(matches!(exit, Some(1 | 4)), "{exit:?}");
    fs::write(&all[1], &bytes).unwrap();
    verify(&line);
    // Of another chain, with the same entries.
    done(&place, &["init", "other", "--name", "example.org/other"]);
    place.expect(&["verify", "out", "--against", "other"], 1, &["is of another chain"]);
    place.expect(&["verify", "out", "--resume"], 2, &[]);
    place.expect(&["verify", "out", "--chain-id", &"0".repeat(64)], 1, &[]);
}

/// Gaps are said wherever entries are shown, and an archive is read like any file.
#[test]
fn the_log_says_what_has_left() {
    let place = filled();
    done(&place, OUT);
    for more in [&[][..], &["--unverified"], &["--follow", "--until", "20"]] {
        let said = done(&place, &[&["log", "led"], more].concat());
        let gaps = said.matches("archived elsewhere").count();
        assert!(gaps > 1, "{more:?}: {said}");
        let said = done(&place, &[&["log", "led", "--json"], more].concat());
        assert!(said.contains("not in this file"), "{more:?}: {said}");
    }
    let archive = archives(&place).remove(0);
    for more in [&[][..], &["--unverified"]] {
        let said = done(&place, &[&["log", name(&archive)], more].concat());
        assert!(said.contains("test.call"), "{said}");
    }
}

/// [F-archive-5] Of two copies that went on by themselves, each archive is sound, and those of both do not go together.
#[test]
fn an_archive_of_another_history_does_not_fit() {
    let place = filled();
    let copied =
        Command::new("cp").arg("-a").args([place.path("led"), place.path("copy")]).status();
    assert!(copied.unwrap().success());
    let copied =
        Command::new("cp").arg("-a").args([place.path("home"), place.path("home2")]).status();
    assert!(copied.unwrap().success());
    let elsewhere = |args: &[&str], input: bool| {
        let mut command = place.command(args);
        if input {
            command.stdin(fs::File::open(place.path("lines")).unwrap());
        }
        let output = command.env("SIGCHAIN_HOME", place.path("home2")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    };
    fill(&place, 2);
    for _ in 0..2 {
        elsewhere(&["append", "copy", "--lines", "--segment-bytes", "9000"], true);
    }
    done(&place, OUT);
    elsewhere(&["archive", "copy", "--to", "out2", "--leave", "1B"], false);
    let all = archives(&place);
    place.expect(&["verify", "out", "--allow-self-asserted"], 0, &["together:"]);
    let chain = folder(&place).file_name().unwrap().to_owned();
    let one = all.iter().rev().find_map(|path| {
        let other = place.path("out2").join(&chain).join(path.file_name().unwrap());
        other.exists().then_some((path, other))
    });
    let (path, other) = one.unwrap();
    fs::copy(other, path).unwrap();
    place.expect(&["verify", name(path), "--allow-self-asserted"], 0, &[]);
    place.expect(&["verify", "out", "--allow-self-asserted"], 1, &["does not fit"]);
}
