//! Whatever fails leaves nothing behind: no room, no right, a kill.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::extract::{append, left, recorded};
use crate::ledger::support::{Place, check, flip};

const TAKING: [&[&str]; 4] = [
    &["export", "led", "-o", "out/x.sigchain"],
    &["export", "led", "-o", "out/x.csv"],
    &["sample", "led", "-n", "12", "--seed", "s", "-o", "out/x"],
    &["prove", "led", "3", "-o", "out/x.tlog-proof"],
];

fn are_all_gone(place: &Place, args: &[&str]) {
    let names: Vec<_> = fs::read_dir(place.path("out")).unwrap().collect();
    assert!(names.is_empty(), "{args:?} left {names:?}");
}

/// A file system of some kilobytes, which is really full.
#[test]
fn a_full_disk_leaves_nothing() {
    let place = recorded();
    let text = "y".repeat(20_000);
    append(&place, (0..20).map(|_| serde_json::json!({"type": "a.b", "payload": text})));
    fs::create_dir(place.path("out")).unwrap();
    let script =
        "mount -t tmpfs -o size=16k none out && { \"$0\" \"$@\"; code=$?; ls -A out; exit $code; }";
    for args in &TAKING[..3] {
        let mut args = args.to_vec();
        if args[0] == "export" && args[3].ends_with("csv") {
            // A table is short: something else takes the room.
            args = vec!["checkpoint", "led", "-o", "out/x"];
        }
        let filling =
            if args[0] == "checkpoint" { "dd if=/dev/zero of=out/f 2>/dev/null;" } else { "" };
        let script = script.replace("{ ", &format!("{{ {filling} "));
        let mut command = place.by("unshare");
        let namespace = ["-m", "--propagation", "private", "sh", "-c", &script];
        command.args(namespace).arg(env!("CARGO_BIN_EXE_sigchain")).args(&args);
        let output = command.output().unwrap();
        check(&args, &output, 4, &["cannot write", "No space left"]);
        let listed = String::from_utf8_lossy(&output.stdout).replace("f\n", "");
        assert_eq!(listed, "", "{args:?}");
    }
}

#[test]
fn faults_and_names_that_are_taken_leave_nothing() {
    let place = recorded();
    fs::create_dir(place.path("out")).unwrap();
    for args in TAKING {
        // Whatever has the name keeps it.
        let name = place.path(args.last().unwrap());
        fs::write(&name, "mine").unwrap();
        place.expect(args, 2, &["exists already"]);
        assert_eq!(fs::read_to_string(&name).unwrap(), "mine");
        fs::remove_file(&name).unwrap();
        std::os::unix::fs::symlink("nowhere", &name).unwrap();
        place.expect(args, 2, &["exists already"]);
        fs::remove_file(&name).unwrap();
        let mut nowhere = args.to_vec();
        *nowhere.last_mut().unwrap() = "no/where";
        place.expect(&nowhere, 4, &["cannot write"]);
    }
    flip(&place.path("led/segment-0000000000"), 3000);
    for args in TAKING {
        place.expect(args, 1, &["faulty", "segment 0, byte", "nothing was written or signed"]);
        are_all_gone(&place, args);
    }
}

/// Somebody who may read the ledger, and not write where the file is to be.
#[test]
fn where_nothing_may_be_written_nothing_is() {
    let place = recorded();
    fs::create_dir(place.path("out")).unwrap();
    place.expect(&["export", "led", "-o", "all.sigchain", "--sign"], 0, &[]);
    let mode = |name: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(place.path(name), mode).unwrap();
    };
    mode(".", 0o755);
    mode("all.sigchain", 0o644);
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_sigchain")];
    for args in TAKING {
        let mut args = args.to_vec();
        args[1] = "all.sigchain";
        let mut command = place.by("setpriv");
        let output = command.args(user).args(&args).env("SIGCHAIN_HOME", "/nonexistent").output();
        check(&args, &output.unwrap(), 4, &["cannot write", "Permission denied"]);
        are_all_gone(&place, &args);
        // And what he may not read he takes nothing from.
        args[1] = "led";
        let mut command = place.by("setpriv");
        let output = command.args(user).args(&args).env("SIGCHAIN_HOME", "/nonexistent").output();
        check(&args, &output.unwrap(), 4, &["FS_PERMISSION"]);
        are_all_gone(&place, &args);
    }
}

/// Even a kill that nothing can catch: what is being written has no name yet.
#[test]
fn a_kill_leaves_nothing() {
    let text = "y".repeat(20_000);
    for signal in ["KILL", "TERM", "INT"] {
        let place = recorded();
        append(&place, (0..30).map(|_| serde_json::json!({"type": "a.b", "payload": text})));
        let mut command = place.command(&["export", "-", "-o", "x.sigchain"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        place.expect(&["export", "led", "-o", "all.sigchain"], 0, &[]);
        let bytes = fs::read(place.path("all.sigchain")).unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), &bytes[..500_000]).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(child.try_wait().unwrap().is_none(), "it waits for more");
        let id = child.id().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &id]).status();
        assert!(sent.unwrap().success());
        assert!(child.wait().unwrap().signal().is_some(), "{signal}");
        assert_eq!(left(&place), ["all.sigchain"]);
    }
}

/// A directory has a name while it is made; a signal takes it away, and then its usual course.
#[test]
fn a_signal_takes_an_unfinished_sample_away() {
    let place = recorded();
    append(&place, (0..30_000).map(|_| serde_json::json!({"type": "a.b", "payload": 1})));
    let mut command = place.command(&["sample", "led", "-n", "5", "--seed", "s", "-o", "x"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while left(&place).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().signal(), Some(15), "{:?}", left(&place));
    assert!(left(&place).is_empty(), "{:?}", left(&place));
}

/// A signature that is false, in frames that are as they were written: exports take signatures below the anchor on its word, and the root
/// shows that these are not the ones it is over.
#[test]
fn a_false_signature_below_the_anchor_is_found() {
    const FORGE: &str = "\
import sys, zlib
path = sys.argv[1]
data = bytearray(open(path, 'rb').read())
at = data.rindex(b'lab.request')
head = max(i for i in range(at) if data[i:i + 1] == b'E' and zlib.crc32(data[i:i + 12]) == int.from_bytes(data[i + 12:i + 16], 'big'))
length = int.from_bytes(data[head + 4:head + 8], 'big')
body = head + 16
data[data.index(b'\\x58\\x40', at) + 9] ^= 1
data[head + 8:head + 12] = zlib.crc32(data[body:body + length]).to_bytes(4, 'big')
data[head + 12:head + 16] = zlib.crc32(data[head:head + 12]).to_bytes(4, 'big')
open(path, 'wb').write(data)";
    let place = recorded();
    let forged =
        place.by("python3").args(["-c", FORGE, "led/segment-0000000000"]).output().unwrap();
    assert!(forged.status.success(), "{}", String::from_utf8_lossy(&forged.stderr));
    place.expect(&["verify", "led"], 1, &["SIGNATURE (content)"]);
    for args in [&["export", "led", "-o", "x"][..], &["checkpoint", "led"], &["prove", "led", "1"]]
    {
        place.expect(args, 1, &["faulty: SIGNATURE at segment 0, byte", "nothing was written"]);
    }
    assert!(left(&place).is_empty());
}
