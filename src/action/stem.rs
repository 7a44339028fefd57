//! What the outcome of an action has from its intent, and the way in which either is recorded.

use std::any::Any;
use std::fmt::Display;

use crate::action::apart::Ended;
use crate::action::said::{self, Recorder, Said};
use crate::digest::Digest;
use crate::error::{AppendError, Refusal};
use crate::event::{Capture, Event};
use crate::id::EventId;
use crate::ledger::Ledger;
use crate::limit::{self, FieldError};
use crate::payload::Payload;
use crate::receipt::Receipt;
use crate::vocabulary::{self, Outcomes};

/// How often an outcome is appended again that was given up because of an entry before it.
const TRIES: usize = 3;

/// The event of an outcome, but for what came of it.
#[derive(Clone, Debug)]
pub(super) struct Stem {
    pub(super) ledger: Ledger,
    event: Event,
    types: Outcomes,
}

impl Stem {
    /// Of an intent that is not recorded yet. Fails where there could be no outcome: it would be known too late.
    pub(super) fn of(ledger: &Ledger, intent: &Event) -> Result<Self, Refusal> {
        let wrong =
            |expected| Refusal::Field(FieldError::new("event_type", expected, &intent.event_type));
        let types = vocabulary::outcomes(&intent.event_type)
            .ok_or_else(|| wrong("two words or more that name no outcome, such as tool.call"))?;
        let is_known = |of: &str| vocabulary::of(of).is_some();
        if vocabulary::is_known_family(&intent.event_type)
            && !(is_known(&types.result) && is_known(&types.error))
        {
            return Err(wrong("a type that has outcomes, such as tool.call or one of your own"));
        }
        if !limit::is_event_type(&types.result) || !limit::is_event_type(&types.error) {
            return Err(wrong("a type whose outcome has at most 128 bytes"));
        }
        let event = Event {
            after: None,
            event_id: None,
            payload: Payload::empty(),
            valid_from: None,
            valid_to: None,
            ..intent.clone()
        };
        Ok(Self { ledger: ledger.clone(), event: event.captured(Capture::Gate), types })
    }

    /// What is kept of it without a ledger.
    pub(super) fn into_parts(self) -> (Event, Outcomes) {
        (self.event, self.types)
    }

    /// Again with a ledger.
    pub(super) fn from_parts(ledger: &Ledger, event: Event, types: Outcomes) -> Self {
        Self { ledger: ledger.clone(), event, types }
    }

    /// The outcome of this intent, from here on.
    pub(super) fn caused_by(self, intent: EventId) -> Self {
        Self { event: self.event.caused_by(intent), ..self }
    }

    fn with(&self, event_type: &str, said: Said) -> Event {
        let text = said.text();
        // It is far below the limit of a payload.
        let payload = Payload::new("application/json", text).unwrap_or_else(|_| Payload::empty());
        Event { event_type: event_type.to_owned(), payload, ..self.event.clone() }
    }

    /// What came of it, as its function said.
    pub(super) fn outcome<T, E: Display, R: Recorder<T>>(
        &self,
        outcome: &Result<T, E>,
        recorder: R,
    ) -> Event {
        match outcome {
            Ok(value) => self.with(&self.types.result, said::ask(recorder, value)),
            Err(error) => self.with(&self.types.error, Said::of_error(error)),
        }
    }

    /// What came of it, as somebody else says.
    pub(super) fn ended(&self, ended: Ended) -> Event {
        match ended {
            Ended::Done(said) => self.with(&self.types.result, said),
            Ended::Failed(kind, said) => {
                self.with(&self.types.error, said.with("kind", kind.word()))
            }
        }
    }

    /// It panicked.
    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) -> Event {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(|text| &**text));
        self.with(&self.types.error, Said::error("panic", text, "panic"))
    }

    /// Nobody waits for it any more.
    pub(super) fn cancelled(&self, why: &str) -> Event {
        self.with(&self.types.error, Said::error("cancelled", Some(why), "cancelled"))
    }

    /// Records an outcome, and waits until it is durable.
    pub(super) fn append(&self, outcome: &Event) -> Result<Receipt, AppendError> {
        let mut tries = 1;
        loop {
            match self.ledger.append(outcome.clone()) {
                // It was another's entry that failed, and nothing of this one is left.
                Err(AppendError::Refused(Refusal::Abandoned)) if tries < TRIES => {
                    tries = tries.saturating_add(1);
                }
                done => return done,
            }
        }
    }
}

/// Ids of intents that callers gave and that are being acted on, each with its chain: two threads with one id would otherwise both find
/// that nobody has it, and both act.
static BEGUN: std::sync::Mutex<std::collections::BTreeSet<(Digest, EventId)>> =
    std::sync::Mutex::new(std::collections::BTreeSet::new());

/// An id that nobody else acts on, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim(Digest, EventId);

impl Claim {
    /// `None` if somebody acts on it.
    pub(super) fn new(chain: Digest, id: EventId) -> Option<Self> {
        let mut begun = BEGUN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // One that is made and dropped would take the other's away.
        if begun.insert((chain, id)) { Some(Self(chain, id)) } else { None }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut begun = BEGUN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        begun.remove(&(self.0, self.1));
    }
}
