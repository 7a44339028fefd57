//! Ledgers on files and real processes: writers that were paused, hands that are not the ledger's, readers beside a writer.

mod fencing;
mod foreign;
mod reading;

use std::fmt;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, kill_process, umask};
use sigchain::anchor::{Anchors, Local};
use sigchain::directory::Limits;
use sigchain::disk::{self, File, Folder, Lenience};
use sigchain::error::{AppendError, OpenError};
use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::keyfile::{self, Passphrase};
use sigchain::ledger::{Fence, Files, Genesis, Ledger, Options, Signers};
use sigchain::mirror::{Mirror, Options as MirrorOptions};
use tempfile::TempDir;

const CHILD: &str = "SIGCHAIN_TEST_PROCESS";
const SOON: Duration = Duration::from_secs(20);

fn dir() -> TempDir {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

/// A folder whose lock is none, as on a file system that has no locks, or between two machines.
struct Unlocked(Arc<dyn Folder>);

impl fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unlocked")
    }
}

impl Folder for Unlocked {
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.0.create(name)
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Box<dyn File>> {
        self.0.open(name, writable)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn folder(&self, name: &str, create: bool) -> io::Result<Arc<dyn Folder>> {
        self.0.folder(name, create)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

    fn room(&self) -> io::Result<u64> {
        self.0.room()
    }
}

/// How a process is to use a ledger.
#[derive(Clone, Debug)]
struct Way {
    path: PathBuf,
    /// Where it anchors, if it does.
    home: Option<PathBuf>,
    /// `sync`, or entries and milliseconds.
    fence: String,
    locks: bool,
    /// Bytes of a segment.
    segment: u64,
    /// Entries that may be durable and not anchored.
    exposed: u64,
    /// Whether a file system in memory will do.
    memory: bool,
}

impl Way {
    fn new(path: &Path) -> Self {
        let (path, fence) = (path.to_owned(), "sync".to_owned());
        Self {
            path,
            home: None,
            fence,
            locks: true,
            segment: 64 << 20,
            exposed: 1000,
            memory: false,
        }
    }

    fn anchored(self, home: &Path, fence: &str) -> Self {
        Self { home: Some(home.to_owned()), fence: fence.to_owned(), ..self }
    }

    fn words(&self) -> String {
        let Self { path, home, fence, locks, segment, exposed, memory } = self;
        let home = home.as_ref().map_or("-".to_owned(), |home| home.display().to_string());
        format!("{} {home} {fence} {locks} {segment} {exposed} {memory}", path.display())
    }

    fn parse(words: &[&str]) -> Self {
        let [path, home, fence, locks, segment, exposed, memory] = words else {
            panic!("{words:?}")
        };
        Self {
            path: path.into(),
            home: (*home != "-").then(|| home.into()),
            fence: (*fence).to_owned(),
            locks: locks.parse().unwrap(),
            segment: segment.parse().unwrap(),
            exposed: exposed.parse().unwrap(),
            memory: memory.parse().unwrap(),
        }
    }

    fn lenience(&self) -> Lenience {
        Lenience { memory: self.memory, ..Lenience::default() }
    }

    fn options(&self) -> Options {
        let fence = match self.fence.split_once(':') {
            None => Fence::Sync,
            Some((entries, millis)) => Fence::Interval {
                entries: entries.parse().unwrap(),
                time: Duration::from_millis(millis.parse().unwrap()),
            },
        };
        let local =
            |home: &PathBuf| -> Arc<dyn Anchors> { Arc::new(Local::at(home, self.lenience())) };
        let limits = Limits { bytes: self.segment, ..Limits::default() };
        let files = Files::new()
            .fence(fence)
            .limits(limits)
            .lenience(self.lenience())
            .exposed(self.exposed);
        Options::new().files(files.anchors(self.home.iter().map(local).collect()))
    }

    fn folder(&self, create: bool) -> io::Result<Arc<dyn Folder>> {
        let folder = if create {
            disk::create(&self.path, self.lenience())?
        } else {
            disk::open(&self.path, self.lenience())?
        };
        Ok(if self.locks { folder } else { Arc::new(Unlocked(folder)) })
    }

    fn create(&self) -> Result<Ledger, OpenError> {
        let genesis = Genesis::new("example.org/files", key(1)).checkpoints(key(2));
        Ledger::create_in(self.folder(true)?, genesis, self.options())
    }

    fn open(&self) -> Result<Ledger, OpenError> {
        Ledger::open_in(self.folder(false)?, Signers::new(key(1), key(2)), self.options())
    }
}

fn event() -> Event {
    Event::new("agent:tester", "test.call").unwrap()
}

fn code(error: &OpenError) -> &'static str {
    match error {
        OpenError::Stopped { code, .. } => code,
        OpenError::Io(error) => disk::code_of(error),
        _ => "OTHER",
    }
}

fn in_one_line(text: impl fmt::Display) -> String {
    text.to_string().replace('\n', " ")
}

/// How an append ended.
fn outcome(error: &AppendError) -> String {
    let kind = match error {
        AppendError::Refused(_) => "refused",
        AppendError::Uncertain { .. } => "uncertain",
    };
    in_one_line(format!("{kind} {error}"))
}

/// Answers to one thing that was asked for.
fn answer(line: &str, ledger: &mut Option<Ledger>, say: &dyn Fn(&str)) {
    let words: Vec<&str> = line.split(' ').collect();
    let opened = |opened: Result<Ledger, OpenError>| match opened {
        Ok(ledger) => {
            say(&format!("opened {}", ledger.head().sequence));
            Some(ledger)
        }
        Err(error) => {
            say(&in_one_line(format!("stopped {} {error}", code(&error))));
            None
        }
    };
    match words[..] {
        ["create", ref way @ ..] => *ledger = opened(Way::parse(way).create()),
        ["open", ref way @ ..] => *ledger = opened(Way::parse(way).open()),
        ["append", count] => {
            let ledger = ledger.as_ref().unwrap();
            for _ in 0..count.parse().unwrap() {
                match ledger.append(event()) {
                    Ok(receipt) => say(&format!("ok {} {}", receipt.sequence, receipt.digest)),
                    Err(error) => return say(&outcome(&error)),
                }
            }
            say("done");
        }
        ["close"] => match ledger.take().unwrap().close(SOON) {
            Ok(closed) => say(&format!("closed {}", closed.size)),
            Err(error) => say(&in_one_line(format!("unclosed {error}"))),
        },
        ["mirror", path] => {
            let mirrored = disk::create(Path::new(path), Lenience::default()).and_then(|folder| {
                let of = Arc::new(ledger.clone().unwrap());
                let mut mirror = Mirror::open(folder, of, MirrorOptions::new().file_bytes(2000))?;
                while !mirror.write()? {}
                mirror.sync()
            });
            match mirrored {
                Ok(()) => say("mirrored"),
                Err(error) => {
                    say(&in_one_line(format!("stopped {} {error}", disk::code_of(&error))));
                }
            }
        }
        ["look"] => {
            let ledger = ledger.as_ref().unwrap();
            let head = ledger.head().sequence;
            for at in 0..=head {
                let found = ledger.entry(at).unwrap().unwrap();
                assert_eq!(found.fields.sequence, at);
                assert_eq!(ledger.find(&found.fields.event_id).unwrap().unwrap().sequence, at);
            }
            say(&format!("looked {head}"));
        }
        ["key", path] => match keyfile::read(Path::new(path), Passphrase::None) {
            Ok(_) => say("read"),
            Err(error) => say(&in_one_line(format!("stopped KEY_FILE {error}"))),
        },
        ["umask", mode] => {
            umask(Mode::from_raw_mode(u32::from_str_radix(mode, 8).unwrap()));
            say("set");
        }
        _ => panic!("{line}"),
    }
}

/// What a process of this binary does that was started for one of the tests here.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let say = |answer: &str| {
        let mut out = io::stdout();
        writeln!(out, "ANSWER {answer}").unwrap();
        out.flush().unwrap();
    };
    let mut ledger = None;
    for line in io::stdin().lines() {
        answer(&line.unwrap(), &mut ledger, &say);
    }
}

/// This test binary as another process.
struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    fn new() -> Self {
        Self::by(&[])
    }

    /// Run by another program, which these are the words of.
    fn by(words: &[&str]) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut command = match words {
            [] => Command::new(&binary),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(&binary);
                command
            }
        };
        let mut child = command
            .args(["--exact", "processes::child", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    fn say(&mut self, line: &str) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// What it says next, after the test harness's own lines; nothing if it has ended.
    fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                return None;
            }
            if let Some((_, answer)) = line.trim_end().split_once("ANSWER ") {
                return Some(answer.to_owned());
            }
        }
    }

    fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear().unwrap_or_else(|| panic!("{line}: it has ended"))
    }

    #[track_caller]
    fn expect(&mut self, line: &str, begins: &str) -> String {
        let answer = self.ask(line);
        assert!(answer.starts_with(begins), "{line}: {answer}");
        answer
    }

    /// Has it append so many. Gives sequence and digest of those that were acknowledged, and what ended it.
    fn append(&mut self, count: u64) -> (Vec<(u64, String)>, String) {
        self.say(&format!("append {count}"));
        let mut acknowledged = Vec::new();
        loop {
            let answer = self.hear().unwrap_or_default();
            match answer.strip_prefix("ok ").and_then(|receipt| receipt.split_once(' ')) {
                Some((sequence, digest)) => {
                    acknowledged.push((sequence.parse().unwrap(), digest.to_owned()));
                }
                None => return (acknowledged, answer),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    /// A test that fails must leave none behind.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::print_stderr, reason = "what a run left out or counted, shown with --nocapture")]
fn tell(line: &str) {
    eprintln!("{line}");
}
