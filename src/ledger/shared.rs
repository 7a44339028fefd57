//! The one lock, and what happens around it: waiting for room and for outcomes, leading commits, and refusing for good
//! once something has panicked.
//!
//! Group commit has no thread of its own: whoever waits and finds that nobody leads, leads. It writes all that is signed, in
//! order, syncs once, wakes those whose entries these were, and asks one of the others to lead next. Only where nobody waits
//! (tickets) an attendant does it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::Time;
use crate::error::{AppendError, Refusal};
use crate::id::EventId;
use crate::ledger::anchoring::Keeper;
use crate::ledger::asked::Asked;
use crate::ledger::call::{Pending, opens_here};
use crate::ledger::cell::{Cell, Outcome, Wake};
use crate::ledger::observe;
use crate::ledger::options::Options;
use crate::ledger::proving::Proofs;
use crate::ledger::state::{Ended, Slot, Stage, State};
use crate::store::{Store, StoreError};
use crate::sync::{AtomicU8, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering};

/// How long a wait lasts that nothing limits.
const LONG: Duration = Duration::from_secs(3600);
/// How long the attendant gathers before it writes what nobody waits for: waking it costs as much as a signature.
const LINGER: Duration = Duration::from_millis(1);
/// How long somebody who waits for an anchor waits before looking again.
const ANCHORING: Duration = Duration::from_millis(50);
/// Bytes that one commit takes along, about.
const GROUP_BYTES: usize = 8 << 20;
/// Sealed entries from which on it does not linger.
const ENOUGH: usize = 512;

/// What the attendant is wanted for; the greater includes the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bell {
    Quiet,
    /// Somebody's signer has a time that nobody else looks at.
    Watch,
    /// Something may be written, and nobody waits for it.
    Soon,
    /// Somebody waits.
    Now,
}

/// What the lock guards.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Desk {
    pub(super) state: State,
    pub(super) bell: Bell,
    /// Whether the attendant has been started.
    pub(super) attended: bool,
    /// Whether no handle is left.
    pub(super) retired: bool,
    /// Whether somebody wants the queue empty and stay so.
    gate: bool,
    /// Threads that wait for the queue to change.
    waiting: usize,
    /// Whether entries have left the queue since the lock was taken.
    moved: bool,
    /// How long the lock was held, all times together, if that is measured.
    pub(super) held_for: Duration,
    /// Calls to end when the lock is let go.
    pub(super) ended: Ended,
    /// Slots that are durable: their calls end, and they are dropped, when the lock is let go.
    settled: Vec<Slot>,
    /// When the last of them were written.
    settled_at: u64,
}

/// What all handles of a ledger share.
#[derive(Debug)]
pub(super) struct Shared {
    desk: Mutex<Desk>,
    /// The queue has changed.
    changed: Condvar,
    /// The attendant is wanted.
    rung: Condvar,
    pub(super) store: Box<dyn Store>,
    /// What proofs are made of, as far as they were asked for.
    pub(super) proofs: Mutex<Option<Proofs>>,
    pub(super) options: Options,
    pub(super) keeper: Arc<Keeper>,
    /// Whoever signs seals.
    pub(super) sealing: Asked,
    /// The process that opened the ledger.
    process: u32,
    /// Threads that may spin at once, and those that do.
    spinners: u8,
    spinning: AtomicU8,
    /// Threads that wait for an outcome. Raised under the lock, so that whoever holds it and sees zero need not look for them.
    sleepers: AtomicUsize,
}

/// The lock, held. Let go during a panic it leaves the ledger refusing; calls that ended are woken when it is let go.
pub(super) struct Held<'s> {
    shared: &'s Shared,
    desk: Option<MutexGuard<'s, Desk>>,
    was_panicking: bool,
    /// When the lock was taken, if that is measured.
    since: Option<Instant>,
}

impl Deref for Held<'_> {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        match &self.desk {
            Some(desk) => desk,
            None => unreachable!("the lock is only let go by `drop` and taken back by `wait`"),
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Desk {
        match &mut self.desk {
            Some(desk) => desk,
            None => unreachable!("the lock is only let go by `drop` and taken back by `wait`"),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(mut desk) = self.desk.take() else { return };
        desk.held_for += self.since.map_or(Duration::ZERO, |since| since.elapsed());
        if !self.was_panicking && thread::panicking() {
            desk.panicked();
        }
        let ended = std::mem::take(&mut desk.ended);
        let settled = std::mem::take(&mut desk.settled);
        let settled_at = desk.settled_at;
        let moved = std::mem::take(&mut desk.moved);
        let (is_awaited, is_over) =
            (moved && desk.waiting > 0, moved && desk.retired && desk.state.queue.is_empty());
        drop(desk);
        if is_awaited {
            self.shared.changed.notify_all();
        }
        if is_over {
            // Somebody else has led the last commit; the attendant would sleep on, and keep the store open.
            self.shared.rung.notify_one();
        }
        self.shared.end(ended);
        for slot in &settled {
            observe::append(settled_at.saturating_sub(slot.linked_at));
        }
        self.shared.end(settled.iter().filter(|slot| slot.ends).map(|slot| (&slot.cell, Ok(()))));
    }
}

impl Desk {
    /// Gives up an entry and all behind it.
    pub(super) fn abandon(&mut self, pending: &Arc<Pending>, why: &Refusal) {
        self.state.abandon(pending, why, &mut self.ended);
        self.moved = true;
    }

    /// Refuses whatever is not being written. Gives the events.
    pub(super) fn give_up(&mut self) -> Vec<EventId> {
        let refused = self.state.events(self.state.writing..self.state.queue.len());
        self.state.abandon_from(0, &Refusal::Closed, &mut self.ended);
        self.moved = true;
        refused
    }

    /// Whether nothing is on its way, and nobody is in the middle of something that nothing may come between: a change of keys is
    /// durable before the ledger has its new signer, and what was linked in that moment would be for a key that has ended.
    pub(super) fn is_quiet(&self) -> bool {
        self.state.queue.is_empty() && !self.gate
    }

    /// Something that others wait for was given free.
    pub(super) fn freed(&mut self) {
        self.moved = true;
    }

    /// What is being written is in doubt, and nothing more is acknowledged.
    pub(super) fn fail(&mut self, stage: Stage, what: &str) {
        self.moved = true;
        self.state.fail(stage, what, &mut self.ended);
    }

    fn panicked(&mut self) {
        let what = "something panicked while it was being written";
        self.moved = true;
        self.state.fail(Stage::Panicked, what, &mut self.ended);
    }
}

/// Notices a panic on the way through the ledger outside its lock.
pub(super) struct Step<'s> {
    shared: &'s Shared,
    /// Whoever records something while it unwinds from a panic of its own has not panicked here.
    was_panicking: bool,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if !self.was_panicking && thread::panicking() {
            let mut held = self.shared.lock();
            if held.state.stage != Stage::Panicked {
                held.panicked();
            }
        }
    }
}

impl Shared {
    pub(super) fn new(
        state: State,
        store: Box<dyn Store>,
        keeper: Keeper,
        options: Options,
    ) -> Self {
        let desk = Desk {
            state,
            bell: Bell::Quiet,
            attended: false,
            retired: false,
            gate: false,
            waiting: 0,
            moved: false,
            held_for: Duration::ZERO,
            ended: Vec::new(),
            settled: Vec::new(),
            settled_at: 0,
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            desk: Mutex::new(desk),
            changed: Condvar::default(),
            rung: Condvar::default(),
            store,
            proofs: Mutex::new(None),
            options,
            keeper: Arc::new(keeper),
            sealing: Asked::default(),
            process: opens_here(),
            spinners: u8::try_from(cores.saturating_sub(1)).unwrap_or(u8::MAX),
            spinning: AtomicU8::new(0),
            sleepers: AtomicUsize::new(0),
        }
    }

    pub(super) fn time(&self) -> &dyn Time {
        &*self.options.time
    }

    pub(super) fn lock(&self) -> Held<'_> {
        let desk = Some(self.desk.lock_soon());
        let since = self.options.measured.then(Instant::now);
        Held { shared: self, desk, was_panicking: thread::panicking(), since }
    }

    /// Whatever is done until the step is dropped must not panic.
    pub(super) fn step(&self) -> Step<'_> {
        Step { shared: self, was_panicking: thread::panicking() }
    }

    /// Ends calls. Not under the lock: a waker is foreign code.
    fn end(&self, ended: impl IntoIterator<Item = (impl AsRef<Cell>, Outcome)>) {
        let mut all_woke = true;
        for (cell, outcome) in ended {
            if let Err(AppendError::Refused(refusal)) = &outcome {
                observe::refused(refusal.code());
            }
            all_woke &= cell.as_ref().resolve(outcome);
        }
        if !all_woke {
            self.lock().panicked();
        }
    }

    /// Has those look again who wait for the queue to change.
    pub(super) fn tell_changed(&self) {
        self.changed.notify_all();
    }

    /// Lets go of the lock until the queue changes, or `time` is up.
    fn wait_changed<'s>(&'s self, mut held: Held<'s>, time: Duration) -> Held<'s> {
        if held.moved || !held.ended.is_empty() {
            return self.let_go(held);
        }
        held.waiting += 1;
        if let Some(desk) = held.desk.take() {
            held.desk = Some(self.desk.wait_for(desk, &self.changed, time));
            held.since = self.options.measured.then(Instant::now);
        }
        held.waiting = held.waiting.saturating_sub(1);
        held
    }

    pub(super) fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }

    /// In a child of fork(2), lets go of all that its parent has on its way: the parent writes it, and nobody else may.
    pub(super) fn leave_to_parent(&self, held: &mut Held<'_>) {
        if self.is_forked() && held.state.stage != Stage::Forked {
            let desk = &mut **held;
            desk.moved = true;
            // All of it may well be recorded: by the parent.
            desk.state.writing = desk.state.queue.len();
            desk.state.fail(Stage::Forked, "the process was forked meanwhile", &mut desk.ended);
        }
    }

    /// Whether appends can be taken at all.
    pub(super) fn check(&self, stage: &Stage) -> Result<(), Refusal> {
        // A child of fork(2) has the queue and the file, but none of the other threads; two writers would fork the chain.
        if self.is_forked() {
            return Err(Refusal::Forked);
        }
        stage.refusal().map_or(Ok(()), Err)
    }

    /// Waits for room for `count` more entries of `weight` bytes.
    pub(super) fn enter(
        &self,
        count: usize,
        weight: usize,
        patient: bool,
    ) -> Result<Held<'_>, Refusal> {
        // Before the lock: the system call would take a tenth of the time under it.
        if self.is_forked() {
            return Err(Refusal::Forked);
        }
        let mut held = self.lock();
        let mut exposed_since = None;
        loop {
            held.state.stage.refusal().map_or(Ok(()), Err)?;
            if held.state.short.is_some() {
                held = self.relieve(held, count)?;
                continue;
            }
            let fits = held.state.queue.len().saturating_add(count) <= self.options.queue_entries
                && held.state.weight.saturating_add(weight) <= self.options.queue_bytes;
            let is_exposed = self.is_exposed(&held, patient, &mut exposed_since)?;
            // What is larger than the whole queue goes through it alone.
            if !held.gate && !is_exposed && (fits || held.state.queue.is_empty()) {
                return Ok(held);
            }
            if !patient {
                return Err(Refusal::Full);
            }
            held = self.help_for(held, if is_exposed { ANCHORING } else { LONG });
        }
    }

    /// Waits until the queue is empty, and keeps others out until the gate is dropped: after the lock, which it takes.
    pub(super) fn alone(&self) -> Result<(Gate<'_>, Held<'_>), Refusal> {
        if self.is_forked() {
            return Err(Refusal::Forked);
        }
        let gate;
        let mut held = self.lock();
        if held.state.short.is_some() {
            held = self.relieve(held, 1)?;
        }
        while held.gate {
            self.check(&held.state.stage)?;
            held = self.help(held);
        }
        self.check(&held.state.stage)?;
        held.gate = true;
        gate = Gate(self);
        while !held.state.queue.is_empty() {
            self.check(&held.state.stage)?;
            held = self.help(held);
        }
        self.check(&held.state.stage)?;
        Ok((gate, held))
    }

    /// Does what brings the queue forward, or waits for others to do it.
    pub(super) fn help<'s>(&'s self, held: Held<'s>) -> Held<'s> {
        self.help_for(held, LONG)
    }

    /// As `help_for`, but leaves the writing to the attendant, if there is one.
    pub(super) fn await_change<'s>(&'s self, mut held: Held<'s>, time: Duration) -> Held<'s> {
        if !held.attended {
            return self.help_for(held, time);
        }
        let time = self.expire(&mut held).min(time);
        if time.is_zero() {
            return self.let_go(held);
        }
        self.ring(&mut held, Bell::Now);
        self.wait_changed(held, time)
    }

    /// As `help`, but comes back after `time` at the latest.
    pub(super) fn help_for<'s>(&'s self, mut held: Held<'s>, time: Duration) -> Held<'s> {
        if !held.state.gathered.is_empty() {
            return self.pass_on(self.sign_gathered(held));
        }
        if held.state.wants_leader() {
            // Whoever helps may be refused next and gone: somebody else has to be found for what was signed meanwhile.
            return self.pass_on(self.lead(held));
        }
        let time = self.expire(&mut held).min(time);
        if time.is_zero() {
            return held;
        }
        self.ring(&mut held, Bell::Now);
        self.wait_changed(held, time)
    }

    /// Abandons the first entry whose signer's time is up. Says how long there is nothing to look after; nothing if something was
    /// abandoned.
    pub(super) fn expire(&self, held: &mut Held<'_>) -> Duration {
        let desk = &mut **held;
        match desk.state.overdue(self.time().running(), self.options.signer_nanos) {
            None => LONG,
            Some(Err(left)) => Duration::from_nanos(left).min(LONG),
            Some(Ok(pending)) => {
                desk.abandon(&pending, &Refusal::SignerTime);
                Duration::ZERO
            }
        }
    }

    /// Writes all that is ready, and syncs.
    pub(super) fn lead<'s>(&'s self, mut held: Held<'s>) -> Held<'s> {
        let (stored, leaves) = held.state.lead(GROUP_BYTES);
        let mut frontier = held.state.frontier.clone();
        let due = self.keeper.is_strict().then(|| Self::due(&held)).flatten();
        held.bell = Bell::Quiet;
        drop(held);
        // Not under the lock, and right before the data: whatever else was overlooked, a child of fork(2) writes nothing.
        if self.is_forked() {
            let mut held = self.lock();
            self.leave_to_parent(&mut held);
            return held;
        }
        let leading = self.step();
        let start = Instant::now();
        let written = self.store.commit(&stored);
        let failure = written.as_ref().err().map(ToString::to_string);
        observe::commit(stored.len(), start.elapsed(), failure.as_deref());
        let written_at = self.time().running();
        for leaf in leaves {
            frontier.push(leaf);
        }
        drop(stored);
        let written = written.and_then(|()| self.anchor_first(due, &frontier));
        let wants_seal = written.is_ok() && self.store.wants_seal();
        let is_short = written.is_err() && !self.store.has_room();
        drop(leading);
        let mut held = self.lock();
        let desk = &mut *held;
        desk.moved = true;
        match written {
            Ok(()) => {
                desk.settled = desk.state.settle();
                desk.settled_at = written_at;
                // A projection may have panicked, or the ledger failed meanwhile: head and tree are about the same entries at any time.
                if frontier.size() == desk.state.head.sequence.saturating_add(1) {
                    desk.state.frontier = frontier;
                }
                let size = desk.state.frontier.size();
                self.keeper.note(size);
                observe::durable(size, desk.state.queue.len(), self.keeper.exposed(size));
            }
            Err(StoreError::Refused(error)) => {
                desk.state.leading = false;
                desk.state.writing = 0;
                if is_short {
                    let events = desk.state.events(0..desk.state.queue.len()).len();
                    desk.state.run_short(events, &error, self.time().wall());
                }
                desk.state.abandon_from(0, &Refusal::Store(error.to_string()), &mut desk.ended);
            }
            Err(StoreError::Uncertain(error)) => {
                let what = error.to_string();
                desk.state.fail(self.failed(what.clone()), &what, &mut desk.ended);
            }
        }
        match (wants_seal, is_short) {
            (true, _) => self.rotate(held),
            (_, true) => self.tell(held),
            _ => held,
        }
    }

    /// Finds somebody to lead the next commit, if one is due; leads itself if there is nobody.
    pub(super) fn pass_on<'s>(&'s self, mut held: Held<'s>) -> Held<'s> {
        while held.state.wants_leader() {
            let ready = held.state.ready;
            let is_anybody_there = self.sleepers.load(Ordering::SeqCst) > 0;
            let mut slots = held.state.queue.iter().take(ready);
            if is_anybody_there && slots.any(|slot| slot.cell.ask_to_lead()) {
                break;
            }
            if held.attended && !held.retired {
                self.ring(&mut held, if ready < ENOUGH { Bell::Soon } else { Bell::Now });
                break;
            }
            held = self.lead(held);
        }
        held
    }

    /// Wants the attendant.
    pub(super) fn ring(&self, held: &mut Held<'_>, bell: Bell) {
        if held.attended && bell > held.bell {
            held.bell = bell;
            self.rung.notify_one();
        }
    }

    /// Waits for the outcome of a call, and leads commits meanwhile.
    pub(super) fn wait<'s>(&'s self, mut held: Held<'s>, cell: &Cell) -> Outcome {
        loop {
            if let Some(outcome) = cell.outcome() {
                drop(self.pass_on(held));
                return outcome;
            }
            if !held.state.gathered.is_empty() {
                // What stands before this call may be among them, or all of it.
                held = self.sign_gathered(held);
                continue;
            }
            if held.state.wants_leader() {
                // The calls that it ends are ended when the lock is let go; this one, if it was signed, is among them.
                drop(self.pass_on(self.lead(held)));
                if let Some(outcome) = cell.outcome() {
                    return outcome;
                }
                held = self.lock();
                continue;
            }
            let time = self.expire(&mut held);
            if time.is_zero() {
                held = self.let_go(held);
                continue;
            }
            cell.register();
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            drop(held);
            let spin = self.spinning.fetch_add(1, Ordering::Relaxed) < self.spinners;
            let wake = cell.wait(spin, time);
            self.spinning.fetch_sub(1, Ordering::Relaxed);
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
            if let Wake::Done(outcome) = wake {
                return outcome;
            }
            held = self.lock();
        }
    }

    /// The attendant: leads what nobody waits for, and looks after signers' times. Ends when no handle is left.
    pub(super) fn attend(&self) {
        let mut held = self.lock();
        let mut lingered = false;
        loop {
            let is_signed = held.state.gathered.is_empty();
            if held.state.wants_leader() || !is_signed {
                let is_full = held.state.ready >= ENOUGH;
                if lingered || held.bell == Bell::Now || is_full || held.retired {
                    if !is_signed {
                        held = self.sign_gathered(held);
                    }
                    if held.state.wants_leader() {
                        lingered = false;
                        held = self.lead(held);
                    }
                    held = self.let_go(held);
                } else {
                    held = self.nap(held, Some(LINGER));
                    lingered = true;
                }
                continue;
            }
            lingered = false;
            if held.retired && held.state.queue.is_empty() {
                return;
            }
            let time = self.expire(&mut held);
            if time.is_zero() {
                held = self.let_go(held);
                continue;
            }
            if held.state.queue.is_empty() {
                held.bell = Bell::Quiet;
                held = self.nap(held, None);
            } else {
                held.bell = Bell::Watch;
                held = self.nap(held, Some(time));
            }
        }
    }

    /// Lets others in, and ends calls.
    fn let_go<'s>(&'s self, held: Held<'s>) -> Held<'s> {
        drop(held);
        self.lock()
    }

    fn nap<'s>(&'s self, mut held: Held<'s>, time: Option<Duration>) -> Held<'s> {
        if let Some(desk) = held.desk.take() {
            held.desk = Some(match time {
                Some(time) => self.desk.wait_for(desk, &self.rung, time),
                None => self.desk.wait(desk, &self.rung),
            });
            held.since = self.options.measured.then(Instant::now);
        }
        held
    }

    /// No handle is left: what is signed is still written, and nothing is waited for.
    pub(super) fn retire(&self) {
        let mut held = self.lock();
        held.retired = true;
        self.rung.notify_one();
        if !held.attended {
            drop(self.pass_on(held));
        }
    }
}

/// Keeps others out of the queue while it is there.
pub(super) struct Gate<'s>(&'s Shared);

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.0.lock().gate = false;
        self.0.changed.notify_all();
    }
}
