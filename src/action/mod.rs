//! Actions: nothing is done before it is recorded that it will be, and what came of it is recorded too.
//!
//! [`Ledger::action`] takes the intent, an event such as `tool.call`. It is durable before anything runs; if it cannot be recorded, nothing
//! does. What comes of it, a value, an error, a panic or its being given up, is a second entry, caused by the intent: `tool.result` or
//! `tool.error`. An intent without one is an open action: whoever did it may or may not have come to its end.
//!
//! ```
//! use serde_json::json;
//! use sigchain::event::Event;
//! use sigchain::key::SigningKey;
//! use sigchain::ledger::{Genesis, Ledger};
//! use sigchain::payload::Payload;
//!
//! let ledger = Ledger::in_memory(Genesis::new("example.org/agents", SigningKey::generate()?))?;
//! let intent = Event::new("agent:planner", "tool.call")?
//!     .episode("run-7")?
//!     .payload(Payload::new("application/json", r#"{"tool":"add","arguments":[1,2]}"#)?);
//! let sum = ledger.action(intent).run(|_| Ok::<_, std::io::Error>(1 + 2))?;
//! assert_eq!((sum, ledger.head().sequence), (3, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Causes
//!
//! What runs gets an [`Act`]. An action that is begun on it has this one as its cause, and is of the same episode, correlation and trace,
//! on whatever thread it runs.
//!
//! # What is guaranteed
//!
//! [`Action::run`] and [`Action::run_async`] return, or resume a panic, when both entries are durable, or say which is not; each is one
//! append. Of a future that is dropped the outcome is sent on its way as it goes, and nobody waits for it: it is recorded unless the ledger
//! fails or the process ends within the next commit, and then the action stays open. If it goes while its intent is still on its way,
//! a thread waits for that, since an outcome must not be there without its intent. A process that is killed leaves open actions.

mod apart;
mod error;
mod later;
mod recording;
mod said;
mod stem;

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::action::stem::{Claim, Stem};
use crate::error::{AppendError, Refusal};
use crate::event::{Capture, Event};
use crate::id::{SpanId, TraceId};
use crate::ledger::Ledger;
use crate::receipt::Receipt;
use crate::review::{Approved, ReviewError};

pub use crate::action::apart::{Begun, Ended};
pub use crate::action::error::ActionError;
pub use crate::action::recording::{Difference, Recording, RerunError, Served};
pub use crate::action::said::{By, Plain, Recorded, Recorder, Said, json};

impl Ledger {
    /// An action with this intent; it begins when it is run. The class of way of its entries is `gate`.
    ///
    /// An intent to which the caller gave an id is acted on once: see [`ActionError::BegunBefore`].
    pub fn action(&self, intent: Event) -> Action<Plain> {
        Action { ledger: self.clone(), intent, review: None, recorder: Plain }
    }
}

/// An action that has not begun.
#[derive(Debug)]
#[must_use = "an action that is not run is not recorded either"]
pub struct Action<R> {
    ledger: Ledger,
    intent: Event,
    review: Option<Approved>,
    recorder: R,
}

/// An action whose intent can be recorded.
struct Ready {
    stem: Stem,
    intent: Event,
    outline: Outline,
    review: Option<Approved>,
    claim: Option<Claim>,
}

/// What actions within one have from it.
#[derive(Clone, Debug)]
struct Outline {
    correlation: Option<String>,
    episode: Option<String>,
    trace: Option<(TraceId, Option<SpanId>)>,
}

impl Action<Plain> {
    /// Has a closure say what of the value is recorded; without it, the value does ([`Recorded`]). [`json`] serves for what serde can
    /// write.
    pub fn recording<T, F: FnOnce(&T) -> Said>(self, record: F) -> Action<By<F>> {
        let Self { ledger, intent, review, .. } = self;
        Action { ledger, intent, review, recorder: By(record) }
    }
}

impl<R> Action<R> {
    /// Only as a review allows: if it is approved, its deadline has not passed, it was about this very intent, and nothing was done on it
    /// before. That is looked at when the intent gets its place in the chain; its cause is the approval.
    pub fn after_review(self, approved: &Approved) -> Self {
        Self { review: Some(approved.clone()), ..self }
    }

    /// Records the intent, does the work on this thread, and records what came of it.
    ///
    /// A panic is recorded and goes on. Where that too could not be recorded, the action stays open.
    pub fn run<T, E>(self, work: impl FnOnce(&Act) -> Result<T, E>) -> Result<T, ActionError<T, E>>
    where
        R: Recorder<T>,
        E: Display,
    {
        let (ready, recorder) = self.ready()?;
        let Ready { stem, intent, outline, review, claim } = ready;
        let receipt = match &review {
            None => stem.ledger.append(intent).map_err(ActionError::NotRecorded)?,
            Some(approved) => approved.begin(&stem.ledger, intent).map_err(not_begun)?,
        };
        let stem = stem.caused_by(receipt.event_id);
        if let Err(error) = in_time(review.as_ref(), &receipt) {
            drop(stem.append(&stem.cancelled(&error.to_string())));
            return Err(ActionError::NotAllowed(Box::new(error)));
        }
        let act = Act { ledger: stem.ledger.clone(), intent: receipt, outline };
        let done = catch_unwind(AssertUnwindSafe(|| work(&act)));
        let outcome = match done {
            Ok(outcome) => outcome,
            Err(panic) => {
                // Nobody can be told, and the panic is what the caller has to hear of.
                drop(stem.append(&stem.panicked(&*panic)));
                drop(claim);
                resume_unwind(panic)
            }
        };
        let told = stem.append(&stem.outcome(&outcome, recorder));
        finish(outcome, told, receipt)
    }

    /// Looks whether it can begin.
    fn ready<T, E>(self) -> Result<(Ready, R), ActionError<T, E>> {
        let Self { ledger, intent, review, recorder } = self;
        let refused = |refusal: Refusal| ActionError::NotRecorded(AppendError::Refused(refusal));
        let stem = Stem::of(&ledger, &intent).map_err(refused)?;
        let claim = match intent.event_id {
            None => None,
            Some(event_id) => {
                let before = |first| ActionError::BegunBefore { event_id, first };
                let claim = Claim::new(ledger.chain_id(), event_id).ok_or_else(|| before(None))?;
                let first = ledger.find(&event_id);
                let first = first.map_err(|error| refused(Refusal::Store(error.to_string())))?;
                if first.is_some() {
                    return Err(before(first.map(Box::new)));
                }
                Some(claim)
            }
        };
        let outline = Outline {
            correlation: intent.correlation_id.clone(),
            episode: intent.episode_id.clone(),
            trace: intent.trace_id.map(|trace| (trace, intent.span_id)),
        };
        let intent = intent.captured(Capture::Gate);
        Ok((Ready { stem, intent, outline, review, claim }, recorder))
    }
}

/// Why there is no intent, of an action after a review.
fn not_begun<T, E>(error: ReviewError) -> ActionError<T, E> {
    match error {
        ReviewError::Append(error) => ActionError::NotRecorded(error),
        other => ActionError::NotAllowed(Box::new(other)),
    }
}

/// The deadline may have passed just when the intent got its stamp.
fn in_time(review: Option<&Approved>, intent: &Receipt) -> Result<(), ReviewError> {
    review.map_or(Ok(()), |approved| approved.is_in_time(intent))
}

fn finish<T, E>(
    outcome: Result<T, E>,
    recorded: Result<Receipt, AppendError>,
    intent: Receipt,
) -> Result<T, ActionError<T, E>> {
    match recorded {
        Ok(_) => outcome.map_err(ActionError::Action),
        Err(error) => {
            let (error, intent) = (Box::new(error), Box::new(intent));
            Err(ActionError::OutcomeNotRecorded { value: outcome, error, intent })
        }
    }
}

/// An action that goes on: for what is done within it.
#[derive(Clone, Debug)]
pub struct Act {
    ledger: Ledger,
    intent: Receipt,
    outline: Outline,
}

impl Act {
    /// The entry of its intent.
    pub fn intent(&self) -> &Receipt {
        &self.intent
    }

    /// An action within this one: caused by it, and of the same episode, correlation and trace, unless the intent says otherwise.
    pub fn action(&self, intent: Event) -> Action<Plain> {
        self.ledger.action(self.within(intent))
    }

    /// Makes any event one within this action: caused by it, and of the same episode, correlation and trace, unless it says otherwise.
    #[must_use]
    pub fn within(&self, event: Event) -> Event {
        let Outline { correlation, episode, trace } = self.outline.clone();
        let (trace_id, span_id) = match (event.trace_id, trace) {
            (None, Some((trace, span))) => (Some(trace), span),
            (own, _) => (own, event.span_id),
        };
        Event {
            causation_id: event.causation_id.or(Some(self.intent.event_id)),
            correlation_id: event.correlation_id.or(correlation),
            episode_id: event.episode_id.or(episode),
            trace_id,
            span_id,
            ..event
        }
    }
}
