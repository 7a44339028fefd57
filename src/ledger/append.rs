//! Appending: from an event to its receipt.

use std::ops::ControlFlow;
use std::slice;
use std::sync::Arc;

use crate::codec::len_u64;
use crate::error::{AppendError, Refusal};
use crate::event::{Capture, Event};
use crate::ledger::Ledger;
use crate::ledger::call::{Call, Draft};
use crate::ledger::observe;
use crate::ledger::once::Known;
use crate::ledger::shared::{Bell, Held, Shared};
use crate::ledger::sign::sign_all;
use crate::ledger::state::{BATCH_MAX, Linking};
use crate::ledger::ticket::{BatchTicket, Ticket, Way};
use crate::receipt::Receipt;
use crate::signer::{SEVERAL, Signer};
use crate::sync::spawn;

/// What the caller does after the call is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It waits, and so can lead a commit.
    Wait,
    /// It goes on, or is not to block at all.
    Leave {
        /// Whether it waits for room in the queue, and for others with its ids.
        patient: bool,
    },
}

impl Ledger {
    /// Records an event, and waits until it is durable.
    pub fn append(&self, event: Event) -> Result<Receipt, AppendError> {
        Ticket(self.send(1, [event], Then::Wait)?).wait()
    }

    /// Records an event that another record tells of, and waits until it is durable. Its payload says that it came in this way.
    pub fn import(&self, event: Event) -> Result<Receipt, AppendError> {
        self.append(event.captured(Capture::Import))
    }

    /// Records events as one batch: all of them in a row, or none. One receipt for each.
    pub fn append_batch(&self, events: Vec<Event>) -> Result<Vec<Receipt>, AppendError> {
        self.send(events.len(), events, Then::Wait)?.wait()
    }

    /// Sends an event on its way and returns at once, unless the queue is full: then it waits for room.
    ///
    /// With a key in this process events are signed several at a time, which is faster: here and now if there are enough, else by a
    /// thread of the ledger's own, as soon as somebody waits or a millisecond has passed. A signer elsewhere is asked by other threads.
    pub fn submit(&self, event: Event) -> Result<Ticket, AppendError> {
        Ok(Ticket(self.send(1, [event], Then::Leave { patient: true })?))
    }

    /// As [`Ledger::submit`], but refuses where that would wait for room, or for another call with the same id that is being looked up:
    /// for callers that must not block.
    pub fn try_submit(&self, event: Event) -> Result<Ticket, AppendError> {
        Ok(Ticket(self.send(1, [event], Then::Leave { patient: false })?))
    }

    /// Sends a batch on its way.
    pub fn submit_batch(&self, events: Vec<Event>) -> Result<BatchTicket, AppendError> {
        Ok(BatchTicket(self.send(events.len(), events, Then::Leave { patient: true })?))
    }

    fn send(
        &self,
        count: usize,
        events: impl IntoIterator<Item = Event>,
        then: Then,
    ) -> Result<Way, Refusal> {
        let sent = self.send_on(count, events, then);
        sent.inspect_err(|refusal| observe::refused(refusal.code()))
    }

    fn send_on(
        &self,
        count: usize,
        events: impl IntoIterator<Item = Event>,
        then: Then,
    ) -> Result<Way, Refusal> {
        let shared = &**self.shared();
        let _step = shared.step();
        if !(1..=BATCH_MAX).contains(&count) {
            return Err(Refusal::Batch { found: count, most: BATCH_MAX });
        }
        let mut drafts = Vec::with_capacity(count);
        for event in events {
            drafts.push(Draft::new(event)?);
        }
        let mut claims = shared.claims();
        let patient = then != Then::Leave { patient: false };
        let known = claims.take(&drafts, patient)?;
        if let Some(way) = self.known(known, drafts.len())? {
            return Ok(way);
        }
        let weight = drafts.iter().map(Draft::weight).sum();
        let mut held = self.enter_paid(drafts.len(), weight, patient)?;
        let (call, signer) = shared.link(&mut held, drafts)?;
        Ok(self.go_on(held, call, signer, then))
    }

    /// Waits for room, and first lists what is abandoned if that has become much: an event that took all of it along would be linked
    /// and abandoned with it each time.
    pub(super) fn enter_paid(
        &self,
        count: usize,
        weight: usize,
        patient: bool,
    ) -> Result<Held<'_>, Refusal> {
        let shared = self.shared();
        let mut held = shared.enter(count, weight, patient)?;
        while held.state.is_list_long() {
            let (call, signer) = shared.link(&mut held, Vec::new())?;
            if !patient {
                drop(self.go_on(held, call, signer, Then::Leave { patient }));
                return Err(Refusal::Full);
            }
            match self.go_on(held, call, signer, Then::Wait).outcome() {
                Ok(()) => {}
                Err(AppendError::Refused(refusal)) => return Err(refusal),
                Err(AppendError::Uncertain { what, .. }) => {
                    return Err(Refusal::LedgerFailed(what));
                }
            }
            held = shared.enter(count, weight, patient)?;
        }
        Ok(held)
    }

    /// The way of a call whose events are there already, if they are. Part of a batch does not stand for the whole.
    fn known(&self, known: Vec<Known>, events: usize) -> Result<Option<Way>, Refusal> {
        let mut receipts = Vec::new();
        let mut queued = Vec::new();
        let mut cells = Vec::new();
        for known in known {
            match known {
                Known::No => {}
                Known::Durable(receipt) => receipts.push(receipt),
                Known::Queued(cell, pending) => {
                    queued.push(pending);
                    cells.push(cell);
                }
            }
        }
        if receipts.is_empty() && queued.is_empty() {
            return Ok(None);
        }
        if receipts.len() == events && self.is_whole(&receipts)? {
            return Ok(Some(Way::Known(receipts)));
        }
        let share_a_cell = cells.windows(2).all(|pair| match pair {
            [a, b] => Arc::ptr_eq(a, b),
            _ => true,
        });
        let mut counted = queued.iter().rev().zip(0_u16..);
        let is_one_call = queued.len() == 1
            || (share_a_cell
                && counted.all(|(pending, left)| pending.left == left)
                && queued.first().is_some_and(|pending| usize::from(pending.batch) == events));
        if let (true, true, Some(cell)) = (queued.len() == events, is_one_call, cells.pop()) {
            let call = Call { cell, entries: queued, own: 0 };
            return Ok(Some(Way::queued(self.shared(), call)));
        }
        let first = receipts.first().map(Receipt::reference);
        let first = first.or_else(|| queued.first().map(|pending| pending.reference()));
        first.map_or(Ok(None), |first| Err(Refusal::IdUsed { first, differs: "batch" }))
    }

    /// Whether these are the entries of one whole batch, in their order.
    fn is_whole(&self, receipts: &[Receipt]) -> Result<bool, Refusal> {
        let Some(first) = receipts.first().map(|receipt| receipt.sequence) else {
            return Ok(false);
        };
        // One event by itself is known wherever it stands.
        if receipts.len() == 1 {
            return Ok(true);
        }
        if receipts.iter().zip(first..).any(|(receipt, sequence)| receipt.sequence != sequence) {
            return Ok(false);
        }
        // Nobody else's batch ends within it or runs into it.
        let from = first.saturating_sub(1);
        let mut lefts = Vec::with_capacity(receipts.len().saturating_add(1));
        let end = first.saturating_add(len_u64(receipts.len()));
        self.shared()
            .walk(from..=end.saturating_sub(1), |written| {
                lefts.push((written.fields.sequence, written.left));
                Ok(ControlFlow::Continue(()))
            })
            .map_err(|error| Refusal::Store(error.to_string()))?;
        let before = lefts.iter().find(|(sequence, _)| *sequence == from && from < first);
        let own = lefts.iter().filter(|(sequence, _)| *sequence >= first);
        let is_counted = own.map(|(_, left)| *left).eq((0..receipts.len()).rev().map(|left| {
            // A batch has at most 4,096 events.
            u16::try_from(left).unwrap_or(u16::MAX)
        }));
        Ok(is_counted && before.is_none_or(|(_, left)| *left == 0))
    }

    /// Has a linked call signed, and sees to it that somebody writes it.
    pub(super) fn go_on(
        &self,
        held: Held<'_>,
        call: Call,
        signer: Arc<dyn Signer>,
        then: Then,
    ) -> Way {
        let shared = self.shared();
        let mut held = held;
        if then != Then::Wait {
            self.attend(&mut held);
        }
        if signer.is_in_process() {
            let several = signer.at_once().clamp(1, SEVERAL);
            if then == Then::Wait || several == 1 {
                drop(held);
                let frames = sign_all(slice::from_ref(&call), &*signer, several, &shared.options);
                let held = shared.sealed(frames);
                match then {
                    // The outcome stays with the call's cell, where the ticket finds it.
                    Then::Wait => drop(shared.wait(held, &call.cell)),
                    Then::Leave { .. } => drop(shared.pass_on(held)),
                }
            } else {
                held.state.gathered.add(call.clone());
                // Without an attendant nobody would come for the rest.
                if held.state.gathered.is_enough() || !held.attended {
                    drop(shared.pass_on(shared.sign_gathered(held)));
                } else {
                    shared.ring(&mut held, Bell::Soon);
                }
            }
        } else {
            shared.ring(&mut held, Bell::Watch);
            drop(held);
            self.handle.pool.sign(shared, call.clone(), signer);
        }
        Way::queued(shared, call)
    }

    /// Starts the attendant, for calls that nobody waits for. Where no thread is to be had, whoever comes next leads.
    pub(super) fn attend(&self, held: &mut Held<'_>) {
        if !held.attended {
            let shared = Arc::clone(self.shared());
            held.attended = spawn("sigchain-ledger", move || shared.attend()).is_ok();
        }
    }
}

impl Shared {
    /// The wall clock, for the ids of events.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.time().wall() / 1000).unwrap_or(0)
    }

    /// Links a call for the ledger's own signer.
    pub(super) fn link(
        &self,
        held: &mut Held<'_>,
        drafts: Vec<Draft>,
    ) -> Result<(Call, Arc<dyn Signer>), Refusal> {
        let signer = Arc::clone(&held.state.signer);
        let by = Linking { pays: true, time: self.time(), signer: signer.id(), root: None };
        held.state.link(drafts, &by).map(|call| (call, signer))
    }
}
