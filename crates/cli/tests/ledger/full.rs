//! A disk that is really full: ext4 on a loop device, in a mount namespace that is gone with the process. Needs root.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ledger::support::{Lines, Place, check, empty};

/// Bytes of the disk.
const DISK: u64 = 16 << 20;
/// Bytes of the reserve.
const RESERVE: u64 = 1 << 20;

/// A command in a namespace of its own, in which the disk is mounted at `mnt`.
fn mounted(place: &Place, script: &str, args: &[&str]) -> Command {
    let mut command = place.by("unshare");
    let script = format!("mount -o loop disk.img mnt && {script}");
    let program = env!("CARGO_BIN_EXE_sigchain");
    command.args(["-m", "--propagation", "private", "sh", "-ec", &script, program]).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[expect(clippy::print_stderr, reason = "what was left out must be seen")]
fn disk() -> Option<Place> {
    let place = empty();
    let image = place.path("disk.img");
    File::create(&image).unwrap().set_len(DISK).unwrap();
    fs::create_dir(place.path("mnt")).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-m", "0", "-b", "4096"]).arg(&image).output();
    let works = made.is_ok_and(|made| made.status.success())
        && mounted(&place, "true", &[]).status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("LEFT OUT: a full disk, which needs root, mkfs.ext4, unshare and a loop device");
    }
    works.then_some(place)
}

/// Takes all room that there is.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for piece in [1 << 20, 4096, 1] {
        while file.write_all(&vec![b'x'; piece]).is_ok() {}
        let error = file.sync_all().err().map_or(io::ErrorKind::StorageFull, |error| error.kind());
        assert_eq!(error, io::ErrorKind::StorageFull);
    }
}

/// One line with a payload of so many bytes, and the code of its outcome; none if it was recorded.
fn ask(lines: &mut Lines, bytes: usize) -> Option<String> {
    lines.send(&format!("{{\"type\":\"a.b\",\"payload\":\"{}\"}}", "y".repeat(bytes)));
    let outcome = lines.outcome().unwrap();
    outcome["code"].as_str().map(str::to_owned)
}

#[test]
fn a_full_disk_is_refused_recorded_and_gone_on_from() {
    let Some(place) = disk() else { return };
    let script = "\"$0\" init mnt/led --name example.org/full >line && exec \"$0\" \"$@\"";
    let args = ["append", "mnt/led", "--lines", "--actor", "agent:a"];
    let mut lines = Lines::of(mounted(&place, script, &args).stdin(Stdio::piped()));
    assert_eq!(ask(&mut lines, 10), None);
    // What is mounted there only it can see.
    let root = PathBuf::from(format!("/proc/{}/root", lines.child.id()));
    let inside = |name: &str| {
        let path = place.path("mnt").join(name);
        root.join(path.strip_prefix("/").unwrap())
    };
    let reserve = inside("led/reserve");
    let found = fs::metadata(&reserve).unwrap();
    assert_eq!((found.len(), found.permissions().mode() & 0o777), (RESERVE, 0o600));
    assert!(found.blocks() * 512 >= RESERVE, "{} blocks", found.blocks());

    fill(&inside("filler"));
    let mut refused = 0;
    // What is left of blocks that are there already takes a few.
    while refused < 5 {
        match ask(&mut lines, 2000).as_deref() {
            Some("STORE_REFUSED") => refused += 1,
            other => assert!(refused == 0 && other.is_none(), "{other:?}"),
        }
    }
    assert!(!reserve.exists());
    fs::remove_file(inside("filler")).unwrap();
    assert_eq!(ask(&mut lines, 10), None);
    assert!(reserve.exists());
    assert_eq!(lines.end().code(), Some(5));

    let verify = "exec \"$0\" verify mnt/led $(cat line)";
    let output = mounted(&place, verify, &[]).output().unwrap();
    check(&["verify"], &output, 0, &["intact: "]);
    let output = mounted(&place, "exec \"$0\" log mnt/led --json --all", &[]).output().unwrap();
    let entries = String::from_utf8(output.stdout).unwrap();
    let of_refusals = entries.matches("\"event_type\":\"recovery.refused\"").count();
    assert_eq!(of_refusals, 2, "{entries}");
}
