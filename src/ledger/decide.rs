//! Decisions under the lock: whether an event is appended, and which, by what every entry linked so far says.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::{ControlFlow, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::error::{AppendError, DecideError, Refusal};
use crate::event::Event;
use crate::ledger::Ledger;
use crate::ledger::append::Then;
use crate::ledger::call::{Call, Draft};
use crate::ledger::ids::Use;
use crate::ledger::observe;
use crate::ledger::once::{self, Known};
use crate::ledger::shared::Held;
use crate::ledger::ticket::{Ticket, Way};
use crate::ledger::view::{Both, Fold, View};
use crate::projection::{Item, Projection};
use crate::receipt::Receipt;

/// A projection that a ledger keeps up to date: until the last clone of this is dropped, which must not happen within a decision.
#[derive(Debug)]
pub struct Attached<P> {
    place: Arc<Place>,
    kind: PhantomData<fn() -> P>,
}

impl<P> Clone for Attached<P> {
    fn clone(&self) -> Self {
        Self { place: Arc::clone(&self.place), kind: PhantomData }
    }
}

/// Where a projection is among those of a ledger. When it goes, the projection is detached: every append would pay for it, and every
/// entry be kept in it, for nobody.
#[derive(Debug)]
struct Place {
    ledger: Ledger,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let shared = self.ledger.shared();
        // In a child of fork(2) the lock may be held for ever by a thread that is the parent's.
        if shared.is_forked() {
            return;
        }
        let fold = shared.lock().state.folds.remove(&self.number);
        // Not under the lock: it is the caller's, and may be large.
        drop(fold);
    }
}

/// The chain as it is linked, where no projection is wanted.
const NOTHING: () = ();

impl Ledger {
    /// Attaches a projection: folds what is durable into it, then everything that comes, until what this gives is dropped.
    pub fn attach<P: Projection + Clone + Send + 'static>(
        &self,
        mut projection: P,
    ) -> Result<Attached<P>, AppendError> {
        let shared = self.shared();
        let _step = shared.step();
        let chain_id = self.chain_id();
        let mut fold = |range: RangeInclusive<u64>| {
            let folded = shared.walk(range, |written| {
                projection.apply(&Item::new(chain_id, &written.fields, &written.part));
                Ok(ControlFlow::Continue(()))
            });
            folded.map_err(|error| Refusal::Store(error.to_string()))
        };
        // Most of it before anybody has to wait; what has become durable meanwhile, while the queue is kept empty.
        let first = self.head().sequence;
        fold(0..=first)?;
        let (gate, mut held) = shared.alone()?;
        fold(first.saturating_add(1)..=held.state.head.sequence)?;
        let last = held.state.folds.last_key_value();
        let number = last.map_or(0, |(number, _)| number.saturating_add(1));
        let fold = Both { settled: projection.clone(), linked: projection };
        held.state.folds.insert(number, Box::new(fold));
        drop(held);
        drop(gate);
        let place = Arc::new(Place { ledger: self.clone(), number });
        Ok(Attached { place, kind: PhantomData })
    }

    /// Appends what a decision says, made on the last linked entry, with no other entry between.
    ///
    /// `decide` runs under the ledger's lock: it must be quick and do nothing but decide. Were it to call the ledger it would wait for
    /// itself for ever. If it panics, the ledger refuses from then on.
    pub fn append_with<E>(
        &self,
        decide: impl FnOnce(&View<'_, ()>) -> Result<Event, E>,
    ) -> Result<Receipt, DecideError<E>> {
        let time = self.shared().time();
        let decide = |held: &Held<'_>| match held.state.chain.head() {
            Some(head) => decide(&View::new(head, time, &NOTHING)).map_err(DecideError::Declined),
            None => Err(DecideError::Append(Refusal::Closed.into())),
        };
        self.decide(decide, Then::Wait)?.wait().map_err(DecideError::Append)
    }

    fn decide<E>(
        &self,
        decide: impl FnOnce(&Held<'_>) -> Result<Event, DecideError<E>>,
        then: Then,
    ) -> Result<Ticket, DecideError<E>> {
        let refused = |refusal: Refusal| {
            observe::refused(refusal.code());
            DecideError::Append(refusal.into())
        };
        let shared = self.shared();
        let _step = shared.step();
        let patient = then != Then::Leave { patient: false };
        let mut held = self.enter_paid(1, 1024, patient).map_err(refused)?;
        let event = decide(&held)?;
        let draft = Draft::new(event).map_err(refused)?;
        if draft.is_given {
            // Another entry must not come between, so the look-up is made under the lock.
            match self.look_up(&mut held, &draft).map_err(refused)? {
                Known::No => {}
                Known::Durable(receipt) => return Ok(Ticket(Way::Known(vec![receipt]))),
                Known::Queued(cell, pending) => {
                    drop(held);
                    let first = Call { cell, entries: vec![pending], own: 0 };
                    return Ok(Ticket(Way::queued(shared, first)));
                }
            }
        }
        let (call, signer) = shared.link(&mut held, vec![draft]).map_err(refused)?;
        Ok(Ticket(self.go_on(held, call, signer, then)))
    }

    fn look_up(&self, held: &mut Held<'_>, draft: &Draft) -> Result<Known, Refusal> {
        match held.state.use_of(draft.event_id) {
            Some(Use::Linked(sequence)) => once::in_queue(held, sequence, draft),
            // Whoever looks it up elsewhere will link it, or not; neither can be waited for here.
            Some(Use::Claimed(_)) => Err(Refusal::IdBusy),
            None => self.shared().find_in(held.state.chain.id(), draft),
        }
    }
}

impl<P: Projection + Clone + Send + 'static> Attached<P> {
    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.place.ledger
    }

    /// As [`Ledger::append_with`], with the state that reflects every linked entry.
    pub fn append_with<E>(
        &self,
        decide: impl FnOnce(&View<'_, P>) -> Result<Event, E>,
    ) -> Result<Receipt, DecideError<E>> {
        self.decide(decide, Then::Wait)?.wait().map_err(DecideError::Append)
    }

    /// As `append_with`, but does not wait until the event is durable, and refuses where it would have to wait for room.
    pub fn try_submit_with<E>(
        &self,
        decide: impl FnOnce(&View<'_, P>) -> Result<Event, E>,
    ) -> Result<Ticket, DecideError<E>> {
        self.decide(decide, Then::Leave { patient: false })
    }

    fn decide<E>(
        &self,
        decide: impl FnOnce(&View<'_, P>) -> Result<Event, E>,
        then: Then,
    ) -> Result<Ticket, DecideError<E>> {
        let ledger = self.ledger();
        let time = ledger.shared().time();
        let decide = |held: &Held<'_>| match (held.state.chain.head(), self.both(held)) {
            (Some(head), Some(both)) => {
                decide(&View::new(head, time, &both.linked)).map_err(DecideError::Declined)
            }
            _ => Err(DecideError::Append(Refusal::Closed.into())),
        };
        ledger.decide(decide, then)
    }

    /// Looks at the state as far as it is durable. Runs under the ledger's lock, so it should be quick.
    pub fn read<T>(&self, look: impl FnOnce(&View<'_, P>) -> T) -> Option<T> {
        let shared = self.ledger().shared();
        let held = shared.lock();
        let both = self.both(&held)?;
        // Who only looks must not end the ledger for everybody: a panic goes on where the lock is let go.
        let view = || View::new(held.state.head, shared.time(), &both.settled);
        let look = AssertUnwindSafe(|| look(&view()));
        let looked = catch_unwind(look);
        drop(held);
        looked.map_or_else(|panic| resume_unwind(panic), Some)
    }

    fn both<'h>(&self, held: &'h Held<'_>) -> Option<&'h Both<P>> {
        let fold: &dyn Fold = &**held.state.folds.get(&self.place.number)?;
        let any: &dyn Any = fold.any();
        any.downcast_ref()
    }
}
