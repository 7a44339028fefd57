//! Actions whose work is a future. No runtime of any kind is asked for, and nothing here waits on a thread.

use std::fmt::Display;
use std::future::poll_fn;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::action::stem::{Claim, Stem};
use crate::action::{Act, Action, ActionError, Ready, Recorder, finish, in_time, not_begun};
use crate::error::{AppendError, Refusal};
use crate::event::Event;
use crate::ledger::{Ledger, Ticket};
use crate::receipt::Receipt;
use crate::review::{Approved, ReviewError};
use crate::sync::spawn;

/// How often the executor is given a turn while the queue is full, before the thread waits for room.
const TURNS: usize = 1000;

impl<R> Action<R> {
    /// As [`Action::run`], for work that is a future. It is called, and polled, once the intent is durable.
    ///
    /// If what this gives is dropped before its end, the outcome says that it was cancelled.
    pub async fn run_async<T, E, W>(
        self,
        work: impl FnOnce(Act) -> W,
    ) -> Result<T, ActionError<T, E>>
    where
        R: Recorder<T>,
        E: Display,
        W: Future<Output = Result<T, E>>,
    {
        let (ready, recorder) = self.ready()?;
        let Ready { stem, intent, outline, review, claim } = ready;
        let ticket = match &review {
            None => send(&stem.ledger, &intent).await.map_err(ActionError::NotRecorded)?,
            Some(approved) => {
                send_after(approved, &stem.ledger, &intent).await.map_err(not_begun)?
            }
        };
        let mut watch = Watch { phase: Phase::Sent(stem.clone(), ticket), claim };
        let sent = poll_fn(|context| match &mut watch.phase {
            Phase::Sent(_, ticket) => Pin::new(ticket).poll(context),
            _ => Poll::Ready(Err(Refusal::Closed.into())),
        });
        let receipt = match sent.await {
            Ok(receipt) => receipt,
            Err(error) => {
                watch.phase = Phase::Over;
                return Err(ActionError::NotRecorded(error));
            }
        };
        let stem = stem.caused_by(receipt.event_id);
        watch.phase = Phase::Runs(stem.clone());
        if let Err(error) = in_time(review.as_ref(), &receipt) {
            drop(watch.end(&stem, stem.cancelled(&error.to_string())).await);
            return Err(ActionError::NotAllowed(Box::new(error)));
        }
        let act = Act { ledger: stem.ledger.clone(), intent: receipt, outline };
        let (outcome, event) = match caught(|| work(act)).await {
            Ok(outcome) => {
                let event = stem.outcome(&outcome, recorder);
                (Ok(outcome), event)
            }
            Err(panic) => {
                let event = stem.panicked(&*panic);
                (Err(panic), event)
            }
        };
        let told = watch.end(&stem, event).await;
        drop(watch);
        match outcome {
            Ok(outcome) => finish(outcome, told, receipt),
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// What the future gives, or its panic.
async fn caught<T, W: Future<Output = T>>(
    work: impl FnOnce() -> W,
) -> Result<T, Box<dyn std::any::Any + Send>> {
    let work = catch_unwind(AssertUnwindSafe(work))?;
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// Whether there is no room now, and may soon be.
fn is_full(error: &AppendError) -> bool {
    matches!(error, AppendError::Refused(Refusal::Full | Refusal::IdBusy))
}

/// Sends an event on its way. While the queue is full others have their turns.
async fn send(ledger: &Ledger, event: &Event) -> Result<Ticket, AppendError> {
    for _ in 0..TURNS {
        match ledger.try_submit(event.clone()) {
            Err(error) if is_full(&error) => yield_now().await,
            sent => return sent,
        }
    }
    ledger.submit(event.clone())
}

/// As `send`, for an intent that a review has to allow.
async fn send_after(
    approved: &Approved,
    ledger: &Ledger,
    intent: &Event,
) -> Result<Ticket, ReviewError> {
    for _ in 0..TURNS {
        match approved.try_begin(ledger, intent.clone()) {
            Err(ReviewError::Append(error)) if is_full(&error) => yield_now().await,
            sent => return sent,
        }
    }
    Err(ReviewError::Append(Refusal::Full.into()))
}

async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Where an action is, for the case that its future goes.
struct Watch {
    phase: Phase,
    /// Until the outcome is recorded, or nobody is left to record one.
    claim: Option<Claim>,
}

enum Phase {
    /// Nothing is left to do.
    Over,
    /// The intent is on its way.
    Sent(Stem, Ticket),
    /// The work has begun.
    Runs(Stem),
    /// The outcome is known, and is to be sent on its way.
    Ends(Stem, Box<Event>),
}

impl Watch {
    /// Records the outcome.
    async fn end(&mut self, stem: &Stem, outcome: Event) -> Result<Receipt, AppendError> {
        self.phase = Phase::Ends(stem.clone(), Box::new(outcome.clone()));
        let ticket = send(&stem.ledger, &outcome).await;
        self.phase = Phase::Over;
        let first = match ticket {
            Ok(ticket) => ticket.await,
            Err(error) => Err(error),
        };
        match first {
            // It was another's entry that failed, and nothing of this one is left.
            Err(AppendError::Refused(Refusal::Abandoned)) => {
                send(&stem.ledger, &outcome).await?.await
            }
            done => done,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Over => {}
            Phase::Runs(stem) => leave(stem.ledger.clone(), stem.cancelled("nobody waits for it")),
            Phase::Ends(stem, outcome) => leave(stem.ledger, *outcome),
            Phase::Sent(stem, ticket) => {
                let claim = self.claim.take();
                let wait = move || {
                    if let Ok(receipt) = ticket.wait() {
                        let stem = stem.caused_by(receipt.event_id);
                        drop(stem.append(&stem.cancelled("nobody waited for it to begin")));
                    }
                    drop(claim);
                };
                // Without a thread the action stays open, which is true: nobody will say what came of it.
                drop(spawn("sigchain-action", wait));
            }
        }
    }
}

/// Sends an outcome on its way for nobody. This may be an executor's thread: it must not wait.
fn leave(ledger: Ledger, outcome: Event) {
    match ledger.try_submit(outcome.clone()) {
        Err(error) if is_full(&error) => {
            drop(spawn("sigchain-action", move || drop(ledger.append(outcome))));
        }
        // Dropping a ticket cancels nothing; and there is nobody to be told of a refusal.
        sent => drop(sent),
    }
}
