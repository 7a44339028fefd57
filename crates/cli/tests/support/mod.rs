//! The real binary, in a folder with everything that a test may want to show it.

#[path = "../../../../tests/support/campaign.rs"]
#[expect(unreachable_pub, dead_code, reason = "the library's tests have it, too")]
pub(crate) mod campaign;
mod chains;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::schema;

/// A demonstration, and beside it files of the kinds that it does not make. One for all tests, in the directory of the build: a static is
/// never dropped.
static FOLDER: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = command().args(["demo", "--keep"]).env("TMPDIR", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let path = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    chains::write(&path);
    (dir, path)
});

/// A file in the folder.
pub(crate) fn in_folder(name: &str) -> PathBuf {
    FOLDER.1.join(name)
}

/// The program, in the folder, with nothing to read.
pub(crate) fn program() -> Command {
    let mut command = command();
    command.current_dir(&FOLDER.1);
    command
}

/// The program, wherever the tests run.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigchain"));
    command.stdin(Stdio::null());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// What it answered.
pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it answered, and what it complained about.
pub(crate) fn text(output: &Output) -> String {
    out(output) + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
pub(crate) fn expect(args: &[&str], exit: i32, holds: &[&str]) -> String {
    let output = run(args);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(exit), "{args:?}: {text}");
    for part in holds {
        assert!(text.contains(part), "{args:?} does not say {part:?}: {text}");
    }
    text
}

/// Runs with --json too, checks the answer against its schema, and returns it.
#[track_caller]
pub(crate) fn json(args: &[&str], exit: i32) -> Value {
    let output = run(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", text(&output));
    let answer = out(&output);
    assert_eq!(answer.matches('\n').count(), 1, "one line: {answer}");
    // Escaped, nothing from a file can act on a terminal.
    assert!(answer.trim_end().bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{answer}");
    let value: Value = serde_json::from_str(&answer).unwrap();
    schema::check(args[0], &value);
    assert_eq!(value["exit"], exit);
    value
}
