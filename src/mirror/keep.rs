//! The thread that keeps a mirror up with its ledger. Nobody has to wake it: it looks. A bell would cost every sync of the ledger a
//! system call, and who follows a log does not see twenty looks a second from more.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::disk::DiskError;
use crate::mirror::Mirror;
use crate::sync::{Condvar, Mutex, spawn};

/// How often it looks whether there is more.
const LOOK: Duration = Duration::from_millis(50);
/// How soon it tries again after an error; twice that after the next, and so on.
const RETRY: Duration = Duration::from_millis(100);
/// The longest that it waits to try again.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often it tries to come to its end before whoever waits for that is told of the trouble.
const TRIES: u64 = 4;

/// A mirror that is being written. When it is dropped, that ends wherever it is; [`Mirroring::close`] waits until all is written.
pub struct Mirroring {
    desk: Arc<Desk>,
    /// The process whose thread it is.
    process: u32,
}

/// How a mirror stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Number of entries that are in the mirror, as far as is known.
    pub next: u64,
    /// Why the mirror does not go on. It tries to, and when it can, there is none any more.
    pub trouble: Option<String>,
    /// What was last set aside, and why.
    pub set_aside: Option<String>,
}

/// What the thread and its owner tell each other.
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    progress: Progress,
    /// Attempts that failed.
    failed: u64,
    wish: Wish,
    ended: bool,
}

/// What the owner wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// That it goes on.
    More,
    /// That it ends once it has all.
    All,
    /// That it ends.
    End,
}

impl fmt::Debug for Mirroring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.desk.state.lock();
        write!(f, "Mirroring({}, {:?})", state.progress.next, state.progress.trouble)
    }
}

impl Mirroring {
    /// Begins. `open` opens the mirror, on the thread, as it reads through a file of it; if it fails it is tried again. `tell` is
    /// told how it stood and how it stands, whenever that is not the same.
    pub fn start(
        open: impl FnMut() -> io::Result<Mirror> + Send + 'static,
        tell: impl FnMut(&Progress, &Progress) + Send + 'static,
    ) -> io::Result<Self> {
        let state =
            State { progress: Progress::default(), failed: 0, wish: Wish::More, ended: false };
        let desk = Arc::new(Desk { state: Mutex::new(state), changed: Condvar::new() });
        let worker = Worker { desk: desk.clone(), mirror: None, open, tell };
        spawn("sigchain-mirror", move || worker.run())?;
        Ok(Self { desk, process: std::process::id() })
    }

    /// How it stands.
    pub fn progress(&self) -> Progress {
        self.desk.state.lock().progress.clone()
    }

    /// Waits until the mirror has all that is durable now, and ends it. Gives the number of entries that it has.
    ///
    /// When the deadline passes, or a few attempts have failed, it says so, and the mirror goes on until it has all or is dropped: what
    /// is then missing is written when it is opened again. Closed again, it waits again.
    pub fn close(&self, deadline: Duration) -> io::Result<u64> {
        let end = Instant::now().checked_add(deadline);
        let mut state = self.desk.state.lock();
        state.wish = Wish::All;
        let enough = state.failed.saturating_add(TRIES);
        self.desk.changed.notify_all();
        loop {
            let Progress { next, trouble, .. } = &state.progress;
            if state.ended && trouble.is_none() {
                return Ok(*next);
            }
            let left = end.map_or(LOOK, |end| end.saturating_duration_since(Instant::now()));
            if state.ended || left.is_zero() || state.failed >= enough {
                let trouble = trouble.as_deref().unwrap_or("the deadline passed");
                let what =
                    format!("expected the mirror to have all entries, found {next}: {trouble}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            state = self.desk.state.wait_for(state, &self.desk.changed, left);
        }
    }
}

impl Drop for Mirroring {
    fn drop(&mut self) {
        // In a child of fork(2) there is no such thread, and it may have held the lock for ever.
        if std::process::id() != self.process {
            return;
        }
        self.desk.state.lock().wish = Wish::End;
        self.desk.changed.notify_all();
    }
}

struct Worker<O, T> {
    desk: Arc<Desk>,
    mirror: Option<Mirror>,
    open: O,
    tell: T,
}

impl<O: FnMut() -> io::Result<Mirror>, T: FnMut(&Progress, &Progress)> Worker<O, T> {
    fn run(mut self) {
        let mut retry = RETRY;
        let mut before = Wish::More;
        loop {
            let wish = self.desk.state.lock().wish;
            if wish != before {
                (before, retry) = (wish, RETRY);
            }
            let done = if wish == Wish::End { return } else { self.step(wish) };
            self.note(done.as_ref().err());
            let pause = match done {
                Ok(false) => {
                    retry = RETRY;
                    continue;
                }
                // What it was asked to do it did knowing that it was the last.
                Ok(true) if wish == Wish::All => return,
                Ok(true) => {
                    retry = RETRY;
                    LOOK
                }
                Err(_) => {
                    let pause = retry;
                    retry = RETRY_MAX.min(retry.saturating_mul(2));
                    pause
                }
            };
            let state = self.desk.state.lock();
            if state.wish == wish {
                drop(self.desk.state.wait_for(state, &self.desk.changed, pause));
            }
        }
    }

    /// Says how it stands.
    fn note(&mut self, error: Option<&io::Error>) {
        let mut progress = self.desk.state.lock().progress.clone();
        if let Some(mirror) = &self.mirror {
            progress.next = mirror.next();
            progress.set_aside = mirror.set_aside().map(ToOwned::to_owned);
        }
        progress.trouble = error.map(|error| match DiskError::of(error) {
            Some(refused) => format!("{}: {error}", refused.code()),
            None => error.to_string(),
        });
        let before = {
            let state = &mut *self.desk.state.lock();
            state.failed = state.failed.saturating_add(u64::from(error.is_some()));
            self.desk.changed.notify_all();
            std::mem::replace(&mut state.progress, progress.clone())
        };
        if before != progress {
            (self.tell)(&before, &progress);
        }
    }

    /// Writes some; in the end also makes it durable.
    fn step(&mut self, wish: Wish) -> io::Result<bool> {
        let mirror = match &mut self.mirror {
            Some(mirror) => mirror,
            None => self.mirror.insert((self.open)()?),
        };
        let done = mirror.write()?;
        if done && wish == Wish::All {
            mirror.sync()?;
        }
        Ok(done)
    }
}

impl<O, T> Drop for Worker<O, T> {
    /// Whoever waits for the end must not wait for a thread that panicked, and finds the folder free.
    fn drop(&mut self) {
        self.mirror = None;
        let mut state = self.desk.state.lock();
        state.ended = true;
        if thread::panicking() {
            state.progress.trouble = Some("the thread of the mirror panicked".to_owned());
        }
        self.desk.changed.notify_all();
    }
}
