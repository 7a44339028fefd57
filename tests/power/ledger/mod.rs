//! The ledger on files, on the worst disk. Whatever a crash leaves: what was acknowledged is there, what was refused is not, and nobody
//! finds two entries that were signed for one number, unless the chain lists one of them.

mod anchored;
mod archived;
mod closing;
mod every;
mod failing;
mod full;
mod halted;
mod known;
mod sample;
mod shown;
mod syncs;
mod through;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use sigchain::disk::Folder;
use sigchain::ledger::Ledger;

use crate::power::drive::{panic_text, story};
use crate::power::ledger::known::Known;
use crate::power::ledger::through::{Eye, Through};
use crate::power::sim::Sim;
use crate::support::Random;

/// One thing that is done with a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// One event, with so many bytes of payload.
    Append(usize),
    /// So many as a batch.
    Batch(usize),
    /// So many without waiting for any, then all are waited for.
    Submit(usize),
    /// Closes it and opens it again.
    Close,
    /// Lets go of it and opens it again.
    Leave,
    /// Appends what an uncertain outcome is known of once more.
    Retry,
    /// Somebody else reads.
    Read,
}

/// Bytes of a segment: a few entries.
const SEGMENT: u64 = 2200;

/// A ledger, and what is done to it, as its caller sees it.
struct Hand<'h> {
    sim: &'h Sim,
    known: &'h mut Known,
    /// A handle on the ledger's folder, as another process would get it: a lock goes with its handle.
    folder: &'h dyn Fn() -> Arc<dyn Folder>,
    bytes: u64,
    ledger: Option<Ledger>,
}

impl<'h> Hand<'h> {
    fn new(
        sim: &'h Sim,
        known: &'h mut Known,
        folder: &'h dyn Fn() -> Arc<dyn Folder>,
        bytes: u64,
    ) -> Self {
        Self { sim, known, folder, bytes, ledger: None }
    }

    /// Creates the ledger, or opens it if that fails on a machine that goes on.
    fn begin(&mut self) -> io::Result<()> {
        let created = self.known.create((self.folder)(), self.bytes);
        self.ledger = match created {
            Err(_) if self.may_go_on() => return self.reopen(),
            created => Some(created?),
        };
        Ok(())
    }

    fn may_go_on(&self) -> bool {
        self.sim.errors() > 0 && !self.sim.has_crashed()
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.ledger = None;
        self.ledger = Some(self.known.open(self.sim, (self.folder)(), self.bytes)?);
        Ok(())
    }

    /// Does it. What fails on a machine that goes on leads to the ledger being opened again.
    fn act(&mut self, act: Act) -> io::Result<()> {
        let Some(ledger) = &self.ledger else { return self.reopen() };
        self.known.outcome = None;
        let done = match act {
            Act::Append(len) => self.known.append(ledger, 1, len),
            Act::Batch(count) => self.known.append(ledger, count, 20),
            Act::Submit(count) => self.known.submit(ledger, count),
            Act::Retry => self.known.retry(ledger),
            Act::Read => return self.known.read(self.sim),
            Act::Close => self.known.close(ledger),
            Act::Leave => Ok(()),
        };
        match done {
            Ok(()) if matches!(act, Act::Close | Act::Leave) => self.reopen(),
            Ok(()) => Ok(()),
            Err(_) if self.may_go_on() => self.reopen(),
            failed => failed,
        }
    }
}

/// Does these things with a new ledger.
fn script(sim: &Sim, known: &mut Known, acts: &[Act]) -> io::Result<()> {
    let folder = || Through::plain(sim.root());
    let mut hand = Hand::new(sim, known, &folder, SEGMENT);
    hand.begin()?;
    acts.iter().try_for_each(|act| hand.act(*act))
}

/// Does a few things at random with a new ledger, while somebody reads.
fn work(sim: &Sim, random: &mut Random, known: &mut Known) -> io::Result<()> {
    let eye = Eye::new(sim, random.below(8) == 0);
    let done = work_in(&|| Through::watched(sim.root(), &eye), sim, random, known);
    known.have_shown(&eye);
    done
}

fn work_in(
    folder: &dyn Fn() -> Arc<dyn Folder>,
    sim: &Sim,
    random: &mut Random,
    known: &mut Known,
) -> io::Result<()> {
    let bytes = [SEGMENT, 4000, 1 << 20][random.below(3)];
    let mut hand = Hand::new(sim, known, folder, bytes);
    hand.begin()?;
    (0..2 + random.below(5)).try_for_each(|_| hand.act(anything(random)))
}

fn anything(random: &mut Random) -> Act {
    match random.below(64) {
        0..24 => Act::Append([0, 20, 300, 1300][random.below(4)]),
        24..36 => Act::Batch(2 + random.below(3)),
        36..44 => Act::Close,
        44..54 => Act::Leave,
        54..58 => Act::Retry,
        58..63 => Act::Read,
        // Dearer: it starts a thread.
        _ => Act::Submit(1 + random.below(4)),
    }
}

/// Opens what a crash has left, and goes on with it: all that is known must hold.
fn check(sim: &Sim, random: &mut Random, known: &mut Known) -> io::Result<()> {
    let bytes = if random.below(2) == 0 { SEGMENT } else { 1 << 20 };
    let ledger = known.open(sim, Through::plain(sim.root()), bytes)?;
    if random.below(6) == 0 {
        known.retry(&ledger)?;
    }
    known.append(&ledger, 1 + random.below(2), 20)?;
    if random.below(4) == 0 {
        known.close(&ledger)?;
    }
    known.look(sim)
}

/// Runs what asserts, and tells all that was done to these machines if it fails.
fn told<T>(sims: &[Sim], run: impl FnOnce() -> T) -> T {
    let done = panic::catch_unwind(AssertUnwindSafe(run));
    done.unwrap_or_else(|cause| panic!("{}\nit came so:\n{}", panic_text(&*cause), story(sims)))
}
