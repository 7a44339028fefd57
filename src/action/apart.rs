//! Actions whose intent and outcome are recorded apart: for whoever cannot keep the ledger open while they go on.

use std::convert::Infallible;

use crate::action::said::Said;
use crate::action::stem::Stem;
use crate::action::{Action, ActionError, Ready, in_time, not_begun};
use crate::error::{AppendError, Refusal};
use crate::event::Event;
use crate::ledger::Ledger;
use crate::limit::FieldError;
use crate::receipt::Receipt;
use crate::vocabulary::{Failure, Outcomes};

/// What came of an action, as whoever did it knows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Ended {
    /// It came to its end.
    Done(Said),
    /// It failed, in this way.
    Failed(Failure, Said),
}

/// An action that has begun: its intent is durable, and it is for the caller to do it and to say what came of it. Where that is never
/// said, the action stays open.
#[derive(Clone, Debug)]
#[must_use = "an action whose end is not said stays open"]
pub struct Begun {
    intent: Receipt,
    /// The outcome, but for what came of it. No ledger: an action that goes on elsewhere must keep nobody from closing it.
    event: Event,
    types: Outcomes,
}

impl<R> Action<R> {
    /// Records the intent, and leaves the rest to the caller. [`Action::run`] is for all who can keep the ledger open: it misses no end.
    pub fn begin(self) -> Result<Begun, Box<ActionError<(), Infallible>>> {
        let (ready, _) = self.ready().map_err(Box::new)?;
        let Ready { stem, intent, review, .. } = ready;
        let receipt = match &review {
            None => stem.ledger.append(intent).map_err(ActionError::NotRecorded),
            Some(approved) => approved.begin(&stem.ledger, intent).map_err(not_begun),
        }
        .map_err(Box::new)?;
        let stem = stem.caused_by(receipt.event_id);
        if let Err(error) = in_time(review.as_ref(), &receipt) {
            drop(stem.append(&stem.cancelled(&error.to_string())));
            return Err(Box::new(ActionError::NotAllowed(Box::new(error))));
        }
        let (event, types) = stem.into_parts();
        Ok(Begun { intent: receipt, event, types })
    }
}

impl Begun {
    /// The entry of its intent.
    pub fn intent(&self) -> &Receipt {
        &self.intent
    }

    /// Records what came of it, in the ledger that has its intent, which may have been closed and opened again meanwhile.
    pub fn end(self, ledger: &Ledger, ended: Ended) -> Result<Receipt, AppendError> {
        let Self { intent, event, types } = self;
        if ledger.chain_id() != intent.chain_id {
            let found = ledger.chain_id().to_string();
            let error = FieldError::new("ledger", "the one that has the intent", &found);
            return Err(Refusal::Field(error).into());
        }
        let stem = Stem::from_parts(ledger, event, types);
        stem.append(&stem.ended(ended))
    }
}
