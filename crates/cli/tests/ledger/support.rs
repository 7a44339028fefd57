//! A ledger on real files, and processes that work on it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::schema;

/// A directory with a ledger in it and keys for it.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    /// What `init` printed, as arguments for `verify`.
    pub(crate) line: Vec<String>,
}

/// A directory on the disk of the build: a ledger takes no other.
pub(crate) fn empty() -> Place {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    Place { dir, line: Vec::new() }
}

/// With a new ledger, `led`.
pub(crate) fn place() -> Place {
    let mut place = empty();
    let output = place.run(&["init", "led", "--name", "example.org/agents"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let line = String::from_utf8(output.stdout).unwrap();
    place.line = line.split_whitespace().map(str::to_owned).collect();
    place
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

impl Place {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As the user would call it there; `program` is what runs sigchain.
    pub(crate) fn by(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("SIGCHAIN_HOME", self.path("home")).env_remove("SIGCHAIN_LEDGER");
        command.env_remove("SSH_AUTH_SOCK").env_remove("SIGCHAIN_PASSPHRASE_FILE");
        command
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.by(env!("CARGO_BIN_EXE_sigchain"));
        command.args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn expect(&self, args: &[&str], exit: i32, holds: &[&str]) -> String {
        check(args, &self.run(args), exit, holds)
    }

    /// What was recorded, as `log --json` gives it, without the ledger's own.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let output = self.run(&["log", "led", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn status(&self) -> Value {
        let output = self.run(&["status", "led", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let value = serde_json::from_slice(&output.stdout).unwrap();
        schema::check("status", &value);
        value
    }

    /// Verified against what `init` said.
    #[track_caller]
    pub(crate) fn is_intact(&self) {
        let line: Vec<&str> = self.line.iter().map(String::as_str).collect();
        self.expect(&[&["verify", "led"], &line[..]].concat(), 0, &["intact: "]);
    }

    /// `append --lines`, running.
    pub(crate) fn lines(&self, more: &[&str]) -> Lines {
        let args = [&["append", "led", "--lines", "--actor", "agent:a"], more].concat();
        let mut command = self.command(&args);
        Lines::of(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }
}

#[track_caller]
pub(crate) fn check(args: &[&str], output: &Output, exit: i32, holds: &[&str]) -> String {
    let said = text(output);
    assert_eq!(output.status.code(), Some(exit), "{args:?}: {said}");
    for part in holds {
        assert!(said.contains(part), "{args:?} does not say {part:?}: {said}");
    }
    if (exit == 2 || exit >= 4) && !args.contains(&"--json") {
        assert!(said.contains("sigchain: ") && said.contains("  next: "), "{said}");
    }
    said
}

/// A running `append --lines`.
pub(crate) struct Lines {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: Option<BufReader<ChildStdout>>,
}

impl Lines {
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, input, output }
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next outcome, if there is one.
    pub(crate) fn outcome(&mut self) -> Option<Value> {
        let mut line = String::new();
        // One that was cut by a kill is none.
        let whole = self.output.as_mut().unwrap().read_line(&mut line).unwrap() > 0;
        let value =
            (whole && line.ends_with('\n')).then(|| serde_json::from_str(&line).unwrap())?;
        schema::check("append", &value);
        Some(value)
    }

    pub(crate) fn outcomes(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.outcome()).collect()
    }

    /// Sends lines from a thread until nobody takes them any more, `at_once` of them a millisecond. Their payloads count up.
    pub(crate) fn feed(&mut self, at_once: u64) -> std::thread::JoinHandle<()> {
        let mut input = self.input.take().unwrap();
        std::thread::spawn(move || {
            for number in 0.. {
                if number % at_once == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                let line = format!("{{\"type\":\"a.b\",\"payload\":{number},\"ref\":{number}}}\n");
                if input.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        drop(self.input.take());
        self.child.wait().unwrap()
    }
}

/// Puts another byte in the place of one.
pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}
