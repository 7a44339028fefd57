//! Closing: what is on its way is brought to an end, and what cannot be is named.

use std::time::Duration;

use crate::chain::Head;
use crate::error::CloseError;
use crate::ledger::Ledger;
use crate::ledger::append::Then;
use crate::ledger::shared::Held;
use crate::ledger::state::Stage;

/// How often a ledger that is closed tries to have its own entries signed.
const DEBT_TRIES: usize = 3;

/// What a ledger that has failed is given at least to let go of its store: that takes a lock and a sync.
const LEAST: Duration = Duration::from_secs(1);

/// How a ledger was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The last entry: durable, as are all before it.
    pub head: Head,
    /// Number of entries.
    pub size: u64,
}

impl Closed {
    /// One that was halted is closed by then: whoever did that seals it, and lets go of its store.
    fn at(head: Head) -> Self {
        Self { head, size: head.sequence.saturating_add(1) }
    }
}

impl Ledger {
    /// Takes no more appends, waits until all that is on its way is durable, and says where the chain ends. A mirror has all of it then.
    ///
    /// When the deadline passes: what is not being written is refused, and what is being written is in doubt and named. Closed again, it
    /// waits again, and says what is so by then.
    pub fn close(&self, deadline: Duration) -> Result<Closed, CloseError> {
        let shared = self.shared();
        if shared.is_forked() {
            let what = "this process was forked from the one that opened the ledger".to_owned();
            let (in_doubt, refused) = (Vec::new(), Vec::new());
            return Err(CloseError { in_doubt, refused, unlisted: 0, fenced: false, what });
        }
        let _step = shared.step();
        let end = shared.time().running().saturating_add(nanos(deadline));
        let mut held = shared.lock();
        // Somebody else leads while this one looks at the time: a store that hangs must not hang it.
        if !held.is_quiet() {
            self.attend(&mut held);
        }
        if held.state.stage == Stage::Open {
            held.state.stage = Stage::Closing;
        }
        held = self.drain(held, end);
        let is_short = held.state.note_short();
        // The ledger's own entries come last: nothing is owed again behind them.
        for _ in 0..DEBT_TRIES {
            let is_drained = held.state.stage == Stage::Closing && held.is_quiet();
            let owes = held.state.owes_at_end() || is_short && held.state.owes();
            if is_drained && owes {
                held = self.settle_debts(held);
                held = self.drain(held, end);
            }
        }
        let mut refused = Vec::new();
        if matches!(held.state.stage, Stage::Closing | Stage::Closed) {
            refused = held.give_up();
            held.state.stage = Stage::Closed;
        }
        let mut in_doubt = held.state.in_doubt.clone();
        in_doubt.extend(held.state.events(0..held.state.writing));
        let unlisted = held.state.unlisted();
        let mut what = unclean(&held, !refused.is_empty());
        let last = held.state.head;
        if matches!(held.state.stage, Stage::Quarantined(_)) {
            return Ok(Closed::at(last));
        }
        let left = || Duration::from_nanos(end.saturating_sub(shared.time().running()));
        // What is on its way may still come to an end: closed again, it may end well.
        let is_over = held.state.queue.is_empty() && held.state.stage != Stage::Forked;
        if what.is_none() {
            what = shared.finish(held, left, || self.end_mirror(left()));
        } else {
            drop(held);
            // What is durable it may have all the same; what is wrong with it is the lesser trouble.
            drop(self.end_mirror(left()));
            if is_over {
                shared.give_up(left().max(LEAST));
            }
        }
        match what {
            None => Ok(Closed::at(last)),
            Some(what) => {
                let fenced = shared.keeper.is_fenced();
                Err(CloseError { in_doubt, refused, unlisted, fenced, what })
            }
        }
    }

    /// Waits until nothing is on its way, or it is `end`.
    fn drain<'s>(&'s self, mut held: Held<'s>, end: u64) -> Held<'s> {
        let shared = self.shared();
        while !held.is_quiet() {
            let left = end.saturating_sub(shared.time().running());
            if left == 0 {
                break;
            }
            held = shared.await_change(held, Duration::from_nanos(left));
        }
        held
    }

    /// Sends what the ledger owes of its own on its way. If the signer does not go along it stays owed, and `close` says so.
    fn settle_debts<'s>(&'s self, mut held: Held<'s>) -> Held<'s> {
        if !held.state.owes() {
            return held;
        }
        let Ok((call, signer)) = self.shared().link(&mut held, Vec::new()) else { return held };
        drop(self.go_on(held, call, signer, Then::Leave { patient: true }));
        self.shared().lock()
    }
}

/// Why a ledger is not closed cleanly, if that can be known before it is sealed.
fn unclean(held: &Held<'_>, has_refused: bool) -> Option<String> {
    let state = &held.state;
    match &state.stage {
        Stage::Failed(what) | Stage::Fenced(what) => Some(what.clone()),
        Stage::Forked => Some("the process was forked".to_owned()),
        Stage::Panicked => Some("something panicked".to_owned()),
        _ if !state.queue.is_empty() || has_refused => Some("the deadline passed".to_owned()),
        _ if state.unlisted() > 0 => Some("the signer failed".to_owned()),
        _ => None,
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
