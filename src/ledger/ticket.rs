//! Tickets: appends that are on their way. Waiting for one is a choice; letting go of it changes nothing.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::AppendError;
use crate::id::EventId;
use crate::ledger::call::Call;
use crate::ledger::cell::{Outcome, Seat};
use crate::ledger::shared::{Bell, Shared};
use crate::receipt::Receipt;

/// A call on its way, as its caller holds it.
pub(super) enum Way {
    /// It was recorded before.
    Known(Vec<Receipt>),
    /// It is in the queue.
    Queued { shared: Arc<Shared>, call: Call, seat: Seat },
}

impl Way {
    /// One in the queue.
    pub(super) fn queued(shared: &Arc<Shared>, call: Call) -> Self {
        Self::Queued { shared: Arc::clone(shared), call, seat: Seat::default() }
    }

    fn receipts(outcome: Outcome, call: &Call) -> Result<Vec<Receipt>, AppendError> {
        outcome?;
        // Durable entries are signed, so that each has one.
        Ok(call.events().filter_map(|pending| pending.receipt()).collect())
    }

    pub(super) fn wait(self) -> Result<Vec<Receipt>, AppendError> {
        match self {
            Self::Known(receipts) => Ok(receipts),
            Self::Queued { shared, call, .. } => {
                let outcome = match call.cell.outcome() {
                    Some(outcome) => outcome,
                    None if shared.is_forked() => return Err(Self::of_the_parent(&call)),
                    None => shared.wait(shared.lock(), &call.cell),
                };
                Self::receipts(outcome, &call)
            }
        }
    }

    /// In a child of fork(2): whether it is recorded is for the parent to know.
    fn of_the_parent(call: &Call) -> AppendError {
        let mut ids = call.events().map(|entry| entry.event_id());
        let what = "the process was forked while it was on its way".to_owned();
        match ids.next() {
            Some(event_id) => AppendError::Uncertain { event_id, others: ids.collect(), what },
            None => AppendError::Refused(crate::error::Refusal::Forked),
        }
    }

    /// Waits for the outcome alone.
    pub(super) fn outcome(self) -> Outcome {
        self.wait().map(drop)
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Result<Vec<Receipt>, AppendError>> {
        match self {
            Self::Known(receipts) => Poll::Ready(Ok(receipts.clone())),
            Self::Queued { shared, call, seat } => {
                if let Some(outcome) = call.cell.poll(seat, context.waker()) {
                    return Poll::Ready(Self::receipts(outcome, call));
                }
                if shared.is_forked() {
                    return Poll::Ready(Err(Self::of_the_parent(call)));
                }
                // Now somebody waits: the attendant need not gather any longer.
                shared.ring(&mut shared.lock(), Bell::Now);
                Poll::Pending
            }
        }
    }

    fn event_ids(&self) -> Vec<EventId> {
        match self {
            Self::Known(receipts) => receipts.iter().map(|receipt| receipt.event_id).collect(),
            Self::Queued { call, .. } => call.events().map(|entry| entry.event_id()).collect(),
        }
    }
}

fn first(receipts: Vec<Receipt>) -> Result<Receipt, AppendError> {
    // A ticket is for one event; a call that came through has a receipt for each.
    receipts.into_iter().next().ok_or(AppendError::Refused(crate::error::Refusal::Closed))
}

/// An event that is on its way into the chain. A future of no particular runtime; or call [`Ticket::wait`].
///
/// Dropping it cancels nothing: the event is recorded all the same.
#[must_use = "whether the event was recorded is known only to who waits"]
pub struct Ticket(pub(super) Way);

impl Ticket {
    /// Waits until the event is durable, or is not going to be.
    pub fn wait(self) -> Result<Receipt, AppendError> {
        self.0.wait().and_then(first)
    }

    /// Id of the event, by which it can be found whatever happens.
    pub fn event_id(&self) -> Option<EventId> {
        self.0.event_ids().first().copied()
    }
}

impl Future for Ticket {
    type Output = Result<Receipt, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context).map(|outcome| outcome.and_then(first))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?})", self.event_id())
    }
}

/// A batch that is on its way into the chain, whole or not at all. As [`Ticket`], for several events.
#[must_use = "whether the batch was recorded is known only to who waits"]
pub struct BatchTicket(pub(super) Way);

impl BatchTicket {
    /// Waits until the batch is durable, or is not going to be. One receipt for each event, in their order.
    pub fn wait(self) -> Result<Vec<Receipt>, AppendError> {
        self.0.wait()
    }

    /// Ids of the events, in their order.
    pub fn event_ids(&self) -> Vec<EventId> {
        self.0.event_ids()
    }
}

impl Future for BatchTicket {
    type Output = Result<Vec<Receipt>, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}

impl fmt::Debug for BatchTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchTicket({:?})", self.event_ids())
    }
}
