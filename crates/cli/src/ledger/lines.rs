//! `sigchain append --lines`: lines in, one outcome out for each, in their order, as it becomes durable. See spec/lines.md.
//!
//! One thread reads and sends events on their way; another waits for them in order and tells. So the ledger always has as many
//! under way as there are, and syncs once for all of them. What is between the two is bounded: who reads no outcomes is
//! soon asked for no more lines.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use sigchain::ledger::{Ledger, Ticket};

use crate::exit::{UNCERTAIN, UNREADABLE};
use crate::ledger::draft::Draft;
use crate::ledger::line::{LINE_MAX, Line};
use crate::ledger::outcome::Outcome;
use crate::ledger::stop::{Next, Stop};
use crate::trouble::Trouble;

/// Lines that are under way, or whose outcome was not told yet.
const WINDOW: usize = 4096;
/// Bytes of such lines, about: each is kept until it is told. One that is longer goes through alone.
const WINDOW_BYTES: usize = 64 << 20;
/// Bytes that are read, and about as many that are written, at once.
const BLOCK: usize = 64 << 10;

/// A line that was read.
struct Job {
    line: u64,
    /// Bytes that it holds, about.
    weight: usize,
    reference: Option<String>,
    way: Way,
}

enum Way {
    Known(Outcome),
    Submitted(Ticket),
}

/// Goes on until the input ends or a signal comes. The exit code is that of the worst outcome.
pub(super) fn run(ledger: &Ledger, defaults: &Draft) -> Result<u8, Trouble> {
    let failed = |error| broken("cannot prepare to read lines", &error);
    let stop = Stop::on_signals().map_err(failed)?;
    let input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let (jobs, told) = sync_channel(WINDOW);
    let is_over = &AtomicBool::new(false);
    let over = &|| {
        if !is_over.swap(true, Ordering::Relaxed) {
            stop.ask();
        }
    };
    let room = &Room::default();
    thread::scope(|scope| {
        let teller = thread::Builder::new()
            .spawn_scoped(scope, move || tell(&told, over, room))
            .map_err(|error| broken("cannot start a thread", &error))?;
        let mut reader = Reader { ledger, defaults, jobs, is_over, room, number: 0 };
        let read = reader.read(&stop, input);
        // The teller ends when all that was read is told.
        drop(reader);
        let (mut exit, untold) = teller.join().unwrap_or((UNCERTAIN, 0));
        if untold > 0 {
            let what = format!("standard output broke: {untold} outcomes could not be told");
            let next = "what was sent on its way is recorded or not: sigchain log LEDGER shows it";
            Trouble::of_ledger(UNCERTAIN, what, "somebody who reads the outcomes", next).print();
            exit = UNCERTAIN;
        }
        if let Err(error) = read {
            broken("cannot read on", &error).print();
            exit = exit.max(UNREADABLE);
        }
        Ok(exit)
    })
}

fn broken(what: &str, error: &io::Error) -> Trouble {
    let next = "lines without an outcome were not recorded; send them again";
    Trouble::unreadable(format!("{what}: {error}"), "lines on standard input", next)
}

struct Reader<'l> {
    ledger: &'l Ledger,
    defaults: &'l Draft,
    jobs: SyncSender<Job>,
    /// Whether no line can be recorded or told any more.
    is_over: &'l AtomicBool,
    room: &'l Room,
    number: u64,
}

/// Bytes that are under way.
#[derive(Debug, Default)]
struct Room {
    taken: Mutex<usize>,
    freed: Condvar,
}

impl Room {
    /// Waits until there is room for so many more.
    fn take(&self, weight: usize) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut usize| *taken > 0 && taken.saturating_add(weight) > WINDOW_BYTES;
        let taken = self.freed.wait_while(taken, is_full);
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_add(weight);
    }

    /// Says that nobody gives anything back any more.
    fn close(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        self.freed.notify_one();
    }

    fn give(&self, weight: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(weight);
        self.freed.notify_one();
    }
}

impl Reader<'_> {
    /// Every line that was read whole is sent on its way; a signal ends the reading between two reads.
    fn read(&mut self, stop: &Stop, mut input: File) -> io::Result<()> {
        let mut splitter = Splitter::default();
        let mut buffer = vec![0; BLOCK];
        while !self.is_over.load(Ordering::Relaxed) {
            if stop.wait(&input, io::stdout())? != Next::Input {
                return Ok(());
            }
            let count = match input.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if count == 0 {
                splitter.end(&mut |line| self.send(line));
                return Ok(());
            }
            splitter.feed(buffer.get(..count).unwrap_or_default(), &mut |line| self.send(line));
        }
        Ok(())
    }

    fn send(&mut self, line: Option<&[u8]>) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        self.number = self.number.saturating_add(1);
        // Its head and its receipt are about as long as a short line.
        let weight = line.map_or(0, <[u8]>::len).saturating_add(1024);
        self.room.take(weight);
        let (reference, way) = self.start(line);
        // It fails only if the teller panicked.
        if self.jobs.send(Job { line: self.number, weight, reference, way }).is_err() {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }

    fn start(&self, line: Option<&[u8]>) -> (Option<String>, Way) {
        let Some(line) = line else {
            let what = format!("expected a line of at most {LINE_MAX} bytes, found a longer one");
            return (None, Way::Known(Outcome::of_line("LINE_LENGTH", what)));
        };
        match Line::parse(line) {
            Err(bad) => (bad.reference, Way::Known(Outcome::of_line("LINE", bad.what))),
            Ok(Line { draft, reference, .. }) => {
                let ticket = draft.or(self.defaults).event().map_err(Outcome::from);
                let ticket = ticket.and_then(|event| {
                    self.ledger.submit(event).map_err(|error| Outcome::from(Err(error)))
                });
                (reference, ticket.map_or_else(Way::Known, Way::Submitted))
            }
        }
    }
}

/// Lets whoever waits for room go on, to learn that the teller is gone.
struct Telling<'r>(&'r Room);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Cuts what is read into lines. None stands for one that is too long, whose bytes are let go.
#[derive(Debug, Default)]
struct Splitter {
    carry: Vec<u8>,
    is_long: bool,
}

impl Splitter {
    fn feed(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Option<&[u8]>)) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(at);
            bytes = rest.get(1..).unwrap_or_default();
            if self.carry.is_empty() && !self.is_long {
                each(Some(line));
            } else {
                self.keep(line);
                self.end(each);
            }
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.is_long |= self.carry.len().saturating_add(bytes.len()) > LINE_MAX;
        if self.is_long {
            self.carry = Vec::new();
        } else {
            self.carry.extend_from_slice(bytes);
        }
    }

    /// What stands behind the last line feed is a line too.
    fn end(&mut self, each: &mut dyn FnMut(Option<&[u8]>)) {
        if self.is_long {
            each(None);
        } else if !self.carry.is_empty() {
            each(Some(&self.carry));
        }
        self.is_long = false;
        self.carry.clear();
    }
}

/// Tells the outcomes, in order. Gives the exit code and the number of those that nobody heard.
/// Says by `over` that nothing more can be recorded or told.
fn tell(jobs: &Receiver<Job>, over: &dyn Fn(), room: &Room) -> (u8, u64) {
    let mut teller = Teller { text: String::new(), told: 0, untold: 0, is_broken: false };
    let mut exit = 0;
    let _telling = Telling(room);
    loop {
        let job = match jobs.try_recv() {
            Ok(job) => job,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                teller.flush();
                if teller.is_broken {
                    over();
                }
                let Ok(job) = jobs.recv() else { break };
                job
            }
        };
        let outcome = match job.way {
            Way::Known(outcome) => outcome,
            Way::Submitted(ticket) => {
                // Nobody waits for an outcome that is known because a later one is not.
                let (ticket, known) = ask(ticket);
                known.unwrap_or_else(|| {
                    teller.flush();
                    ticket.wait().into()
                })
            }
        };
        room.give(job.weight);
        exit = exit.max(outcome.exit());
        teller.add(&outcome.write(job.line, job.reference.as_deref()));
        if outcome.is_final() || teller.is_broken {
            over();
        }
    }
    teller.flush();
    (exit, teller.untold)
}

/// The outcome of a ticket, if it is known by now.
fn ask(mut ticket: Ticket) -> (Ticket, Option<Outcome>) {
    let known = match Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result.into()),
        Poll::Pending => None,
    };
    (ticket, known)
}

struct Teller {
    text: String,
    /// Outcomes in `text`.
    told: u64,
    untold: u64,
    is_broken: bool,
}

impl Teller {
    fn add(&mut self, line: &str) {
        self.text.push_str(line);
        self.told = self.told.saturating_add(1);
        if self.text.len() >= BLOCK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let mut stdout = io::stdout().lock();
        if self.is_broken
            || stdout.write_all(self.text.as_bytes()).and_then(|()| stdout.flush()).is_err()
        {
            self.is_broken = true;
            self.untold = self.untold.saturating_add(self.told);
        }
        self.text.clear();
        self.told = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_reads_end() {
        let text = b"one\n\ntwo\r\nthree";
        for size in 1..=text.len() {
            let mut lines: Vec<Option<Vec<u8>>> = Vec::new();
            let mut splitter = Splitter::default();
            let mut each = |line: Option<&[u8]>| lines.push(line.map(<[u8]>::to_vec));
            for piece in text.chunks(size) {
                splitter.feed(piece, &mut each);
            }
            splitter.end(&mut each);
            let lines: Vec<_> = lines.into_iter().map(Option::unwrap).collect();
            assert_eq!(lines, [&b"one"[..], b"", b"two\r", b"three"], "pieces of {size}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_let_go_and_the_next_is_read() {
        let mut seen = Vec::new();
        let mut splitter = Splitter::default();
        let mut each = |line: Option<&[u8]>| seen.push(line.map(<[u8]>::len));
        for piece in vec![b'x'; LINE_MAX + 1].chunks(BLOCK) {
            splitter.feed(piece, &mut each);
        }
        splitter.feed(b"\nyy\n", &mut each);
        let _ = each;
        assert!(splitter.carry.capacity() < BLOCK, "memory is bounded");
        assert_eq!(seen, [None, Some(2)]);
    }
}
