//! Where a report cannot be written: the verdict is given all the same, and nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use crate::ledger::support::{Place, check, text};
use crate::report::{desk, names};

#[test]
fn wrong_calls_are_2_and_write_nothing() {
    let place = desk(&["run.sigchain", "held.checkpoint"]);
    fs::write(place.path("taken.html"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("link.html")).unwrap();
    let before = names(place.dir.path());
    let file = ["verify", "run.sigchain"];
    for (more, said) in [
        (&["--report", "a.pdf"][..], "ends in .html, .json, .junit.xml or .sarif"),
        (&["--report", "a.xml"], "ends in .html, .json, .junit.xml or .sarif"),
        (&["--report", "a.HTML"], "ends in .html"),
        (&["--report", ".."], "ends in .html"),
        (&["--report", "a.html", "--report", "a.html"], "stands twice"),
        (&["--report", "a.html", "--report", "taken.html"], "nothing is overwritten"),
        (&["--report", "link.html"], "nothing is overwritten"),
        (&["--require-gate", "A b"], "--require-gate \"A b\" is no type"),
        (&["--report", "a.html", "--resume"], "--resume of a file without --checkpoint"),
    ] {
        place.expect(&[&file, more].concat(), 2, &[said]);
    }
    place.expect(
        &["verify", "held.checkpoint", "--report", "a.html"],
        2,
        &["with a proof or a checkpoint"],
    );
    assert_eq!(names(place.dir.path()), before);
    assert_eq!(fs::read(place.path("taken.html")).unwrap(), b"mine");
}

/// Known before an hour of verification, and said in the form of every trouble.
#[test]
fn a_place_that_cannot_be_written_to_is_4() {
    let place = desk(&["run.sigchain"]);
    let before = names(place.dir.path());
    for report in ["no/such/a.html", "run.sigchain/a.html"] {
        let args = ["verify", "run.sigchain", "--report", "b.sarif", "--report", report];
        let said =
            place.expect(&args, 4, &["cannot write the report", "no report was left behind"]);
        assert!(!said.contains("unvouched"), "{said}");
    }
    assert_eq!(names(place.dir.path()), before);
}

/// As somebody who may not. Needs root.
#[test]
#[expect(clippy::print_stderr, reason = "what was left out must be seen")]
fn without_permission_it_is_4() {
    let place = desk(&["run.sigchain"]);
    fs::create_dir(place.path("theirs")).unwrap();
    for (path, mode) in [("", 0o755), ("theirs", 0o755), ("run.sigchain", 0o644)] {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let args = ["verify", "run.sigchain", "--report", "theirs/a.html"];
    let mut command = place.by("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        env!("CARGO_BIN_EXE_sigchain"),
    ]);
    let Ok(output) = command.args(args).output() else {
        return eprintln!("LEFT OUT: another user, which needs root and setpriv");
    };
    // Without root it may not become another, or not reach the program.
    if output.status.code() == Some(1)
        || output.status.code() == Some(126)
        || output.status.code() == Some(127)
    {
        return eprintln!("LEFT OUT: another user: {}", text(&output));
    }
    check(&args, &output, 4, &["cannot write the report \"theirs/a.html\": Permission denied"]);
    assert!(names(&place.path("theirs")).is_empty());
}

/// In a file system with so much room. `None` if there can be none.
fn on_a_small_disk(place: &Place, bytes: u64, args: &[&str]) -> Option<(Output, String)> {
    fs::create_dir_all(place.path("mnt")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={bytes} tmpfs mnt && {{ \"$0\" \"$@\"; code=$?; ls -A mnt > left; exit $code; }}"
    );
    let mut command = place.by("unshare");
    command.args([
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        &script,
        env!("CARGO_BIN_EXE_sigchain"),
    ]);
    let output = command.args(args).stderr(Stdio::piped()).output().ok()?;
    let left = fs::read_to_string(place.path("left")).ok()?;
    fs::remove_file(place.path("left")).unwrap();
    Some((output, left))
}

/// The one that fits is not left either: a set of reports is whole or it is not there.
#[test]
#[expect(clippy::print_stderr, reason = "what was left out must be seen")]
fn a_full_disk_leaves_nothing() {
    let place = desk(&["run.sigchain", "attack-1.sigchain", "held.checkpoint"]);
    for (file, verdict, exit) in
        [("run.sigchain", "intact: 14 entries", 4), ("attack-1.sigchain", "faulty: ", 1)]
    {
        let reports = ["--report", "mnt/a.json", "--report", "mnt/b.html"];
        let args = [&["verify", file, "--checkpoint", "held.checkpoint"], &reports[..]].concat();
        let Some((output, left)) = on_a_small_disk(&place, 8192, &args) else {
            return eprintln!("LEFT OUT: a full disk, which needs root and unshare");
        };
        let said =
            check(&args, &output, exit, &["cannot write the report \"mnt/b.html\"", verdict]);
        assert!(said.contains("No space left") && left.is_empty(), "{said}, left {left}");
        let Some((output, left)) = on_a_small_disk(&place, 1 << 20, &args) else { return };
        check(&args, &output, if exit == 4 { 0 } else { exit }, &[verdict]);
        assert_eq!(left, "a.json\nb.html\n");
    }
}
