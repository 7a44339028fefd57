//! The thread that keeps a mirror up with its ledger. Nobody has to wake it: it looks. A bell would cost every sync of the ledger a
//! system call, and who follows a log does not see twenty looks a second from more.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::mirror::Mirror;
use crate::sync::{Condvar, Mutex, spawn};

/// How often it looks whether there is more.
const LOOK: Duration = Duration::from_millis(50);
/// How soon it tries again after an error; twice that after the next, and so on.
const RETRY: Duration = Duration::from_millis(100);
/// The longest that it waits to try again.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A mirror that is being written. When it is dropped, that ends wherever it is; [`Mirroring::close`] waits until all is written.
pub struct Mirroring {
    desk: Arc<Desk>,
}

/// What the thread and its owner tell each other.
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    next: u64,
    trouble: Option<String>,
    set_aside: Option<String>,
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
        write!(f, "Mirroring({}, {:?})", state.next, state.trouble)
    }
}

impl Mirroring {
    /// Begins. `open` opens the mirror, on the thread, as it reads through a file of it; if it fails it is tried again.
    pub fn start(open: impl FnMut() -> io::Result<Mirror> + Send + 'static) -> io::Result<Self> {
        let state =
            State { next: 0, trouble: None, set_aside: None, wish: Wish::More, ended: false };
        let desk = Arc::new(Desk { state: Mutex::new(state), changed: Condvar::new() });
        let worker = Worker { desk: desk.clone(), mirror: None, open };
        spawn("sigchain mirror", move || worker.run())?;
        Ok(Self { desk })
    }

    /// Number of entries that are in the mirror, as far as is known.
    pub fn next(&self) -> u64 {
        self.desk.state.lock().next
    }

    /// Why the mirror does not go on. It tries to, and when it can, there is none any more.
    pub fn trouble(&self) -> Option<String> {
        self.desk.state.lock().trouble.clone()
    }

    /// What was last set aside, and why.
    pub fn set_aside(&self) -> Option<String> {
        self.desk.state.lock().set_aside.clone()
    }

    /// Waits until the mirror has all that is durable now, and ends it. Gives the number of entries that it has.
    ///
    /// When the deadline passes it ends where it is: what is missing is written when it is opened again.
    pub fn close(self, deadline: Duration) -> io::Result<u64> {
        let end = Instant::now().checked_add(deadline);
        let mut state = self.desk.state.lock();
        state.wish = Wish::All;
        self.desk.changed.notify_all();
        loop {
            if state.ended && state.trouble.is_none() {
                return Ok(state.next);
            }
            let left = end.map_or(LOOK, |end| end.saturating_duration_since(Instant::now()));
            if state.ended || left.is_zero() {
                let trouble = state.trouble.as_deref().unwrap_or("the deadline passed");
                let what = format!(
                    "expected the mirror to have all entries, found {}: {trouble}",
                    state.next
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            state = self.desk.state.wait_for(state, &self.desk.changed, left);
        }
    }
}

impl Drop for Mirroring {
    fn drop(&mut self) {
        self.desk.state.lock().wish = Wish::End;
        self.desk.changed.notify_all();
    }
}

struct Worker<O> {
    desk: Arc<Desk>,
    mirror: Option<Mirror>,
    open: O,
}

impl<O: FnMut() -> io::Result<Mirror>> Worker<O> {
    fn run(mut self) {
        let mut retry = RETRY;
        loop {
            let wish = self.desk.state.lock().wish;
            let done = if wish == Wish::End { return } else { self.step(wish) };
            let mut state = self.desk.state.lock();
            if let Some(mirror) = &self.mirror {
                state.next = mirror.next();
                state.set_aside = mirror.set_aside().map(ToOwned::to_owned);
            }
            state.trouble = done.as_ref().err().map(ToString::to_string);
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
            if state.wish == wish {
                drop(self.desk.state.wait_for(state, &self.desk.changed, pause));
            }
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

impl<O> Drop for Worker<O> {
    /// Whoever waits for the end must not wait for a thread that panicked.
    fn drop(&mut self) {
        let mut state = self.desk.state.lock();
        state.ended = true;
        if thread::panicking() {
            state.trouble = Some("the thread of the mirror panicked".to_owned());
        }
        self.desk.changed.notify_all();
    }
}
