//! A run of `append --lines` that is sent its lines in bursts, so that there are several groups; with something in between.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::disk::book::{Book, Ended, new_id};
use crate::disk::place::{PROGRAM, Place};

/// How long a run may take: some hundred times what it needs. Then it hangs, and is killed.
const LONG: Duration = Duration::from_secs(60);

/// Lines of each burst.
pub(super) const BURSTS: &[usize] = &[1, 3, 1, 4, 2];
/// A segment is full after a few entries.
pub(super) const SMALL: &str = "1400";

/// A running `append --lines`.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    said: thread::JoinHandle<String>,
    sent: Vec<String>,
    done: Sender<()>,
    watch: thread::JoinHandle<bool>,
    over: Arc<AtomicBool>,
}

/// What runs the program: nothing, or strace and the like, with its arguments.
pub(super) type By<'b> = &'b [String];

impl Session {
    pub(super) fn begin(place: &Place, by: By<'_>, more: &[&str]) -> io::Result<Self> {
        let mut command = runner(place, by);
        command.args(["append", "led", "--lines", "--actor", "agent:a", "--segment-bytes", SMALL]);
        command.args(more).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).process_group(0).spawn()?;
        let mut stderr = child.stderr.take().unwrap();
        let said = thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        });
        let group = child.id();
        let (done, wait) = channel();
        let watch = thread::spawn(move || {
            let hangs = wait.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout);
            if hangs {
                kill(&format!("-{group}"));
            }
            hangs
        });
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let over = Arc::default();
        Ok(Self { child, input, output, said, sent: Vec::new(), done, watch, over })
    }

    /// Sends so many lines, `bytes` of payload each. Says whether they were taken.
    pub(super) fn send(&mut self, book: &mut Book, lines: usize, bytes: usize) -> bool {
        let payload = "x".repeat(bytes);
        let mut all = String::new();
        for _ in 0..lines {
            let id = new_id();
            book.send(&id);
            let line = [
                "{\"type\":\"a.b\",\"payload\":\"",
                &payload,
                "\",\"ref\":\"",
                &id,
                "\",\"event_id\":\"",
                &id,
                "\"}\n",
            ];
            all.extend(line);
            self.sent.push(id);
        }
        self.input.as_mut().is_some_and(|input| input.write_all(all.as_bytes()).is_ok())
    }

    /// Reads the next outcome, if there is one, and notes it.
    pub(super) fn hear(&mut self, book: &mut Book) -> Result<Option<Value>, String> {
        let mut line = String::new();
        // One that was cut by a kill is none.
        if self.output.read_line(&mut line).is_err() || !line.ends_with('\n') {
            return Ok(None);
        }
        if self.over.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let outcome = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        book.hear(&outcome)?;
        Ok(Some(outcome))
    }

    /// Set, it hears nothing more: when the power goes the process goes too, and so does whoever would read what it says. On a disk
    /// that was only shut down it runs on for a while, and what it is told of its syncs then is not what a disk tells.
    pub(super) fn over(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.over)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// No more lines; hears the rest and notes how it ended.
    pub(super) fn end(mut self, book: &mut Book) -> Result<Ended, String> {
        drop(self.input.take());
        while self.hear(book)?.is_some() {}
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let _ = self.done.send(());
        if self.watch.join().unwrap_or(false) {
            return Err("it hung, and was killed".to_owned());
        }
        let said = self.said.join().unwrap_or_default();
        // Whatever it comes to when it is over is as if it had been killed.
        let exit = status.code().filter(|_| !self.over.load(Ordering::SeqCst));
        let ended = Ended { exit, said };
        book.end(&ended, &self.sent)?;
        Ok(ended)
    }
}

/// A command that runs the program by something else.
pub(super) fn runner(place: &Place, by: By<'_>) -> Command {
    let Some((program, args)) = by.split_first() else { return place.by(PROGRAM) };
    let mut command = place.by(program);
    command.args(args).arg(PROGRAM);
    command
}

/// Kills a process, or with a hyphen a group, of ours.
pub(super) fn kill(id: &str) {
    drop(Command::new("kill").args(["-KILL", "--", id]).stderr(Stdio::null()).status());
}

/// A whole run: each burst is sent when the one before has its outcomes.
pub(super) fn run(
    place: &Place,
    by: By<'_>,
    book: &mut Book,
    more: &[&str],
) -> Result<Ended, String> {
    let mut session = Session::begin(place, by, more).map_err(|error| error.to_string())?;
    'all: for lines in BURSTS {
        if !session.send(book, *lines, 60) {
            break;
        }
        for _ in 0..*lines {
            if session.hear(book)?.is_none() {
                break 'all;
            }
        }
    }
    session.end(book)
}
