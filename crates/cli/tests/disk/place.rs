//! A ledger with its keys and anchors in a directory, and the program there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_sigchain");

/// Kept until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// What removes it in the end; nothing where somebody else does.
    _kept: Option<TempDir>,
    path: PathBuf,
    /// Where keys and anchors are.
    home: PathBuf,
    /// What `init` printed, as arguments for `verify`.
    pub(super) line: Vec<String>,
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn fresh() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let to = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            copy(&found.path(), &to);
        } else {
            fs::copy(found.path(), to).unwrap();
        }
    }
}

impl Place {
    /// Without a ledger yet.
    pub(super) fn empty() -> Self {
        let kept = fresh();
        let path = kept.path().to_owned();
        let home = path.join("home");
        Self { _kept: Some(kept), path, home, line: Vec::new() }
    }

    /// In a directory that somebody else keeps, without a ledger yet. `home` is where keys and anchors go.
    pub(super) fn within(path: &Path, home: &Path) -> Self {
        Self { _kept: None, path: path.to_owned(), home: home.to_owned(), line: Vec::new() }
    }

    /// With a new ledger.
    pub(super) fn new() -> Self {
        let mut place = Self::empty();
        let output = place.run(&INIT);
        assert!(place.is_made_by(&output), "{}", text(&output));
        place
    }

    /// Another one, with copies of all files.
    pub(super) fn twin(&self) -> Self {
        let twin = Self { line: self.line.clone(), ..Self::empty() };
        copy(&self.path("led"), &twin.path("led"));
        copy(&self.home, &twin.home);
        twin
    }

    /// Notes what `init` said, if it was done.
    pub(super) fn is_made_by(&mut self, output: &Output) -> bool {
        let line = String::from_utf8_lossy(&output.stdout);
        self.line = line.split_whitespace().map(str::to_owned).collect();
        output.status.code() == Some(0) && self.line.len() == 4
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whatever runs there as the user would.
    pub(super) fn by(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.path).stdin(Stdio::null());
        command.env("SIGCHAIN_HOME", &self.home).env_remove("SIGCHAIN_LEDGER");
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.by(PROGRAM).args(args).output().unwrap()
    }

    /// Verified against what `init` said.
    pub(super) fn verify(&self) -> Output {
        let line: Vec<&str> = self.line.iter().map(String::as_str).collect();
        self.run(&[&["verify", "led"], &line[..]].concat())
    }

    /// An export of all of it, as the verifier that was written from the spec in another language judges it.
    pub(super) fn judged_elsewhere(&self) -> Result<(), String> {
        let output = self.run(&["export", "led", "-o", "copy.sigchain"]);
        if output.status.code() != Some(0) {
            return Err(format!("export: {}", text(&output)));
        }
        let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/verifier/verify.py");
        let verifier = verifier.to_string_lossy().into_owned();
        let output =
            self.by("python3").args([&verifier, "copy.sigchain"]).args(&self.line).output();
        let output = output.unwrap();
        if output.status.code() != Some(0) {
            return Err(format!("the other verifier: {}", text(&output)));
        }
        fs::remove_file(self.path("copy.sigchain")).map_err(|error| error.to_string())
    }

    /// Puts bytes behind a file, as a write does that was cut.
    pub(super) fn extend(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        let all = [&fs::read(&path).unwrap(), bytes].concat();
        fs::write(&path, all).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

pub(super) const INIT: [&str; 4] = ["init", "led", "--name", "example.org/agents"];
