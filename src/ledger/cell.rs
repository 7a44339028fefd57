//! What a call waits on: its outcome, or the request to lead a commit; and what keeps a signer and whoever gives up on
//! it from both having their way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::time::Duration;

use crate::error::AppendError;
use crate::sync::{AtomicBool, AtomicU8, Condvar, Mutex, Ordering, spin_loop};

/// How a call ended.
pub(super) type Outcome = Result<(), AppendError>;

/// Turns of the spin before a thread sleeps: some 20 us, the time of a signature and a half. Waking a thread takes longer than that,
/// and with as many threads as cores the entry in front is about to be signed.
const SPINS: u32 = if cfg!(any(shuttle, loom)) { 1 } else { 400 };

/// Why a wait ended.
#[derive(Debug)]
pub(super) enum Wake {
    /// With the outcome.
    Done(Outcome),
    /// Because there is something to look at: a commit to lead, or a time that is up.
    Look,
}

/// Where one call waits. A caller registers under the ledger's lock and waits without it, so that nobody who looks for
/// a waiter under that lock overlooks one.
#[derive(Debug, Default)]
pub(super) struct Cell {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Whether there is something to see, for those who spin.
    touched: AtomicBool,
}

/// Where a future has its waker among those of a cell.
#[derive(Debug, Default)]
pub(super) struct Seat(Option<usize>);

#[derive(Debug, Default)]
struct Waiting {
    outcome: Option<Outcome>,
    lead: bool,
    threads: usize,
    /// One for each future.
    wakers: Vec<Waker>,
}

impl Cell {
    /// Announces a wait.
    pub(super) fn register(&self) {
        self.waiting.lock().threads += 1;
    }

    /// Waits as announced.
    pub(super) fn wait(&self, spin: bool, time: Duration) -> Wake {
        if spin {
            for _ in 0..SPINS {
                if self.touched.load(Ordering::Acquire) {
                    break;
                }
                spin_loop();
            }
        }
        let mut waiting = self.waiting.lock();
        if waiting.outcome.is_none() && !waiting.lead {
            waiting = self.waiting.wait_for(waiting, &self.changed, time);
        }
        waiting.threads = waiting.threads.saturating_sub(1);
        // Who was asked to lead and has no reason of its own any more passes it on: it must not be lost here.
        if waiting.lead {
            waiting.lead = false;
            self.touched.store(false, Ordering::Release);
            return Wake::Look;
        }
        waiting.outcome.clone().map_or(Wake::Look, Wake::Done)
    }

    /// The outcome, if it is there.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.waiting.lock().outcome.clone()
    }

    /// The outcome; or else `waker` is woken when it is there, and nobody any more whom the same seat had before: a future is polled by
    /// one task at a time, and one that comes with a new waker each time must not leave all of them here.
    pub(super) fn poll(&self, seat: &mut Seat, waker: &Waker) -> Option<Outcome> {
        let mut waiting = self.waiting.lock();
        if waiting.outcome.is_some() {
            return waiting.outcome.clone();
        }
        let known = seat.0.and_then(|place| waiting.wakers.get_mut(place));
        let before = match known {
            Some(known) if known.will_wake(waker) => None,
            Some(known) => Some(std::mem::replace(known, waker.clone())),
            None => {
                seat.0 = Some(waiting.wakers.len());
                waiting.wakers.push(waker.clone());
                None
            }
        };
        drop(waiting);
        // Not under the lock: with a waker its task may go, and with that a handle of this ledger.
        drop(before);
        None
    }

    /// Asks one thread that waits here to lead. Says whether there is one.
    pub(super) fn ask_to_lead(&self) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.threads == 0 || waiting.outcome.is_some() {
            return false;
        }
        waiting.lead = true;
        self.touched.store(true, Ordering::Release);
        drop(waiting);
        self.changed.notify_one();
        true
    }

    /// Ends the call, and wakes those who wait for that and nobody else. The first outcome stays.
    ///
    /// Says whether every waker did what a waker does: one that panicked is the caller's, and the others are woken all the same.
    #[must_use = "a panic that nobody sees"]
    pub(super) fn resolve(&self, outcome: Outcome) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.outcome.is_some() {
            return true;
        }
        waiting.outcome = Some(outcome);
        let wakers = std::mem::take(&mut waiting.wakers);
        let threads = waiting.threads;
        self.touched.store(true, Ordering::Release);
        drop(waiting);
        if threads > 0 {
            self.changed.notify_all();
        }
        let wake = |waker: Waker| catch_unwind(AssertUnwindSafe(|| waker.wake())).is_ok();
        let woken: Vec<bool> = wakers.into_iter().map(wake).collect();
        woken.into_iter().all(|woke| woke)
    }
}

const LINKED: u8 = 0;
const HANDED: u8 = 1;
const ABANDONED: u8 = 2;

/// How far an entry has come on its way through a signer.
///
/// Either the signer gets its digest, and then whoever abandons the entry learns of it and lists the digest; or the entry is
/// abandoned first, and the signer never sees it.
#[derive(Debug)]
pub(super) struct Phase(AtomicU8);

impl Phase {
    pub(super) fn linked() -> Self {
        Self(AtomicU8::new(LINKED))
    }

    /// Takes the entry to a signer, unless it was abandoned.
    pub(super) fn hand(&self) -> bool {
        self.0.compare_exchange(LINKED, HANDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the entry was abandoned.
    pub(super) fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABANDONED
    }

    /// Abandons the entry. Says whether a signer has its digest, or may have it.
    pub(super) fn abandon(&self) -> bool {
        self.0.swap(ABANDONED, Ordering::AcqRel) == HANDED
    }
}

/// Every schedule there is, of the smallest part: `RUSTFLAGS="--cfg loom" cargo test -p sigchain --lib schedules`.
#[cfg(all(test, loom))]
mod schedules {
    use std::sync::Arc;
    use std::task::{Wake as Waken, Waker};
    use std::time::Duration;

    use loom::model::Builder;
    use loom::thread::{self, JoinHandle};

    use crate::ledger::cell::{Cell, Phase, Seat, Wake};
    use crate::sync::{AtomicBool, Mutex, Ordering};

    /// It never passes: whoever nobody wakes sleeps for ever, and loom says so.
    const NEVER: Duration = Duration::from_secs(3600);

    fn every_schedule(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = Builder::new();
        // What two threads do is explored whole; with more, what four preemptions can bring about.
        builder.preemption_bound = builder.preemption_bound.or(Some(4));
        builder.max_branches = 10_000;
        builder.check(model);
    }

    fn join<T>(thread: JoinHandle<T>) -> T {
        thread.join().unwrap_or_else(|_| unreachable!("loom ends at the first panic"))
    }

    #[test]
    fn who_abandons_knows_whether_a_signer_has_it() {
        every_schedule(|| {
            let phase = Arc::new(Phase::linked());
            let signers = [(); 2].map(|()| {
                let phase = Arc::clone(&phase);
                thread::spawn(move || phase.hand())
            });
            let is_listed = phase.abandon();
            let handed = signers.map(join).into_iter().filter(|was_handed| *was_handed).count();
            assert!(handed <= 1, "two signers have it");
            assert_eq!(handed == 1, is_listed, "handed to {handed}, listed: {is_listed}");
            assert!(!phase.hand(), "handed when it was abandoned");
        });
    }

    /// As much of the ledger as a cell needs.
    #[derive(Default)]
    struct Desk {
        /// Whether a commit is due.
        is_due: bool,
    }

    /// A ledger whose one commit ends its one call.
    #[derive(Default)]
    struct Model {
        desk: Mutex<Desk>,
        cell: Cell,
    }

    impl Model {
        /// As `Shared::wait`. Says whether it led.
        fn wait(&self, spin: bool) -> bool {
            let mut has_led = false;
            loop {
                let mut desk = self.desk.lock();
                if std::mem::take(&mut desk.is_due) {
                    has_led = true;
                    drop(desk);
                    assert!(self.cell.resolve(Ok(())));
                    continue;
                }
                if self.cell.outcome().is_some() {
                    return has_led;
                }
                self.cell.register();
                drop(desk);
                if let Wake::Done(outcome) = self.cell.wait(spin, NEVER) {
                    assert_eq!(outcome, Ok(()));
                    return has_led;
                }
            }
        }

        /// As `Shared::pass_on`, when something has been sealed. Says whether it led.
        fn pass_on(&self) -> bool {
            let mut desk = self.desk.lock();
            desk.is_due = true;
            if self.cell.ask_to_lead() {
                return false;
            }
            let has_led = std::mem::take(&mut desk.is_due);
            drop(desk);
            assert!(self.cell.resolve(Ok(())));
            has_led
        }
    }

    fn wait(model: &Arc<Model>, spin: bool) -> JoinHandle<bool> {
        let model = Arc::clone(model);
        thread::spawn(move || model.wait(spin))
    }

    #[test]
    fn who_waits_is_woken_by_the_outcome() {
        for spin in [false, true] {
            every_schedule(move || {
                let model = Arc::new(Model::default());
                let waiters = [wait(&model, spin), wait(&model, false)];
                drop(model.desk.lock());
                assert!(model.cell.resolve(Ok(())));
                assert!(waiters.map(join).into_iter().all(|has_led| !has_led));
            });
        }
    }

    #[test]
    fn who_is_asked_to_lead_does() {
        for spin in [false, true] {
            every_schedule(move || {
                let model = Arc::new(Model::default());
                let waiters = [wait(&model, spin), wait(&model, false)];
                let has_led = model.pass_on();
                let led = waiters.map(join).into_iter().chain([has_led]).filter(|led| *led);
                assert_eq!(led.count(), 1, "a commit that nobody leads, or two");
                assert!(!Cell::default().ask_to_lead(), "asked where nobody waits");
            });
        }
    }

    #[test]
    fn a_request_to_lead_is_not_lost_to_the_outcome() {
        for spin in [false, true] {
            every_schedule(move || {
                let model = Arc::new(Model::default());
                let waiter = wait(&model, spin);
                let ended = Arc::clone(&model);
                // An earlier commit ends the call in the same moment as the next one is to be led.
                let earlier = thread::spawn(move || assert!(ended.cell.resolve(Ok(()))));
                let has_led = model.pass_on();
                join(earlier);
                assert!(join(waiter) != has_led, "a commit that nobody leads, or two");
                assert!(!model.desk.lock().is_due);
            });
        }
    }

    /// Notes that it was woken.
    struct Noted(AtomicBool);

    impl Waken for Noted {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[test]
    fn who_polls_has_the_outcome_or_is_woken() {
        every_schedule(|| {
            let cell = Arc::new(Cell::default());
            let noted = Arc::new(Noted(AtomicBool::new(false)));
            let polled = {
                let (cell, waker) = (Arc::clone(&cell), Waker::from(Arc::clone(&noted)));
                thread::spawn(move || cell.poll(&mut Seat::default(), &waker).is_some())
            };
            assert!(cell.resolve(Ok(())));
            let has_outcome = join(polled);
            assert!(has_outcome || noted.0.load(Ordering::Acquire), "nobody wakes it");
            assert_eq!(cell.outcome(), Some(Ok(())));
        });
    }
}
