//! A program that is run: what it writes goes through and is digested on the way, signals go on to it, and it has its time.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _, PipeReader, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use sha2::{Digest as _, Sha256};
use sigchain::digest::Digest;
use sigchain::vocabulary::Failure;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// How long a program has after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How long output is waited for that somebody else still holds.
const LINGER: Duration = Duration::from_secs(2);

/// A program to be run.
#[derive(Debug)]
pub(super) struct Child {
    command: Command,
    timeout: Option<Duration>,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum How {
    Exited(i32),
    /// By a signal: because it was asked for, its time was over, or of itself.
    Signalled(i32, Failure),
    NotStarted(io::Error),
    /// It was started, and the system does not say how it ended.
    Unknown(io::Error),
}

/// What it wrote.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) bytes: u64,
    pub(super) digest: Digest,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) how: How,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    /// Whether its output came to an end.
    pub(super) is_whole: bool,
}

/// Bytes that go through.
#[derive(Clone, Debug, Default)]
struct Through {
    bytes: u64,
    hash: Sha256,
    /// Whether some of them are on their way: whoever reads them takes the time that it takes.
    is_writing: bool,
}

impl Through {
    fn output(&self) -> Output {
        let digest = Digest::new(self.hash.clone().finalize().into());
        Output { bytes: self.bytes, digest }
    }
}

impl Child {
    pub(super) fn new(program: &[OsString], timeout: Option<Duration>) -> Self {
        let (name, arguments) = program.split_first().unzip();
        let mut command = Command::new(name.map_or(OsStr::new(""), |name| name.as_os_str()));
        command.args(arguments.unwrap_or_default());
        Self { command, timeout }
    }

    /// With this in its environment.
    pub(super) fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(super) fn run(mut self) -> Finished {
        let none = Through::default().output();
        let not_started = |error| Finished {
            how: How::NotStarted(error),
            stdout: none.clone(),
            stderr: none.clone(),
            is_whole: true,
        };
        // Before it starts: a signal in between would end us and leave it alone.
        let asked = match signals() {
            Ok(asked) => asked,
            Err(error) => return not_started(error),
        };
        // What a program has started is to end with it when its time is over: it gets a group of processes of its own. Without a time it
        // stays in ours, as any command of a shell, and so it does at a terminal: there only one group may read what is typed, and
        // Ctrl-C and Ctrl-Z go to that one.
        let is_group = self.timeout.is_some() && !io::stdin().is_terminal();
        if is_group {
            self.command.process_group(0);
        }
        let command = self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return not_started(error),
        };
        let (done, all_done) = mpsc::channel();
        let stdout = tee(child.stdout.take(), io::stdout(), done.clone());
        let stderr = tee(child.stderr.take(), io::stderr(), done);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let watched = Arc::new(Mutex::new(Watched { pid, is_group, failure: None }));
        let watching = Arc::clone(&watched);
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        thread::spawn(move || watch(&asked, &watching, deadline));
        if let Some(pid) = pid {
            // It stays there until it is collected: a signal that comes now meets nobody else.
            while let Err(rustix::io::Errno::INTR) =
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            {
            }
        }
        let mut held = lock(&watched);
        // Its number is still its own. What it leaves behind has been asked to end as it was.
        if held.failure.is_some() && is_group {
            held.signal(Signal::KILL);
        }
        held.pid = None;
        let failure = held.failure;
        drop(held);
        let how = match child.wait() {
            Ok(status) => how(status, failure),
            Err(error) => How::Unknown(error),
        };
        // As long as a reader takes what comes, or is about to, it is waited for, however slow it is.
        let far = || lock(&stdout).bytes.saturating_add(lock(&stderr).bytes);
        let is_writing = || lock(&stdout).is_writing || lock(&stderr).is_writing;
        let (mut open, mut last) = (2_u8, far());
        while open > 0 {
            match all_done.recv_timeout(LINGER) {
                Ok(()) => open = open.saturating_sub(1),
                Err(_) if is_writing() || far() > last => last = far(),
                Err(_) => break,
            }
        }
        let is_whole = open == 0;
        let (stdout, stderr) = (lock(&stdout).output(), lock(&stderr).output());
        Finished { how, stdout, stderr, is_whole }
    }
}

fn lock<T>(held: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn how(status: ExitStatus, failure: Option<Failure>) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Exited(code),
        (None, signal) => {
            How::Signalled(signal.unwrap_or_default(), failure.unwrap_or(Failure::Panic))
        }
    }
}

/// Passes on what comes, and digests it. A reader that is gone is no reason to stop: the program would notice, and what it writes
/// is recorded all the same.
fn tee(
    from: Option<impl Read + Send + 'static>,
    mut to: impl Write + Send + 'static,
    done: mpsc::Sender<()>,
) -> Arc<Mutex<Through>> {
    let through = Arc::new(Mutex::new(Through::default()));
    let counting = Arc::clone(&through);
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        let mut is_heard = true;
        if let Some(mut from) = from {
            loop {
                let read = match from.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(read) => bytes.get(..read).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                let mut held = lock(&counting);
                held.bytes = held.bytes.saturating_add(u64::try_from(read.len()).unwrap_or(0));
                held.hash.update(read);
                held.is_writing = true;
                drop(held);
                is_heard = is_heard && to.write_all(read).and_then(|()| to.flush()).is_ok();
                lock(&counting).is_writing = false;
            }
        }
        let _ = done.send(());
    });
    through
}

/// The program, as long as it is there, and why it was asked to end.
#[derive(Debug)]
struct Watched {
    pid: Option<Pid>,
    /// Whether it has a group of its own.
    is_group: bool,
    failure: Option<Failure>,
}

impl Watched {
    fn ask(&mut self, signal: Signal, failure: Failure) {
        if self.pid.is_some() {
            self.failure.get_or_insert(failure);
            self.signal(signal);
        }
    }

    fn signal(&self, signal: Signal) {
        let _ = match self.pid {
            Some(pid) if self.is_group => kill_process_group(pid, signal),
            Some(pid) => kill_process(pid, signal),
            None => Ok(()),
        };
    }
}

/// Signals that ask this process to end, as bytes.
fn signals() -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        pipe::register(signal, writer.try_clone()?)?;
    }
    // Where it is ignored, as some parents leave it, nobody could be asked how the program ended.
    flag::register(SIGCHLD, Arc::default())?;
    Ok(reader)
}

/// Passes signals on, and ends what has had its time. Goes with the process.
fn watch(asked: &PipeReader, watched: &Mutex<Watched>, deadline: Option<Instant>) {
    let mut next = deadline.map(|at| (at, Signal::TERM));
    loop {
        let left = next.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec::try_from(left).unwrap_or_default());
        let mut fds = [PollFd::new(asked, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(0) => {
                let Some((_, signal)) = next else { continue };
                lock(watched).ask(signal, Failure::Timeout);
                next = (signal == Signal::TERM).then(|| (Instant::now() + GRACE, Signal::KILL));
            }
            Ok(_) => {
                let mut byte = [0];
                if !matches!((&*asked).read(&mut byte), Ok(1)) {
                    return;
                }
                lock(watched).ask(Signal::TERM, Failure::Cancelled);
                next.get_or_insert((Instant::now() + GRACE, Signal::KILL));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
