//! Why an action has no value to give, or more than that to say.

use std::fmt;

use crate::error::AppendError;
use crate::id::EventId;
use crate::receipt::Receipt;
use crate::review::ReviewError;

/// Why an action gave no value, or could not be recorded to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum ActionError<T, E> {
    /// The intent is not recorded, or nobody knows whether it is: nothing was done.
    NotRecorded(AppendError),
    /// An intent with this id was recorded before, or is being acted on now: nothing was done, since that would be the second time.
    BegunBefore {
        /// The id that the caller gave.
        event_id: EventId,
        /// The intent that has it, if it is durable.
        first: Option<Box<Receipt>>,
    },
    /// The review that it was to be done after does not allow it: nothing was done.
    NotAllowed(Box<ReviewError>),
    /// It was done and failed; that is recorded.
    Action(E),
    /// It was done, and what came of it could not be recorded: the intent stays open. Nothing of what was done is lost.
    OutcomeNotRecorded {
        /// What came of it.
        value: Result<T, E>,
        /// Why that is not recorded.
        error: Box<AppendError>,
        /// The intent.
        intent: Box<Receipt>,
    },
}

impl<T, E> ActionError<T, E> {
    /// Whether it was done.
    pub fn was_done(&self) -> bool {
        matches!(self, Self::Action(_) | Self::OutcomeNotRecorded { .. })
    }
}

impl<T, E: fmt::Display> fmt::Display for ActionError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRecorded(error) => write!(f, "not done, since its intent: {error}"),
            Self::BegunBefore { event_id, first: Some(first) } => write!(
                f,
                "not done: expected an id that is new, found {event_id}, that of entry {}, which began it before; see what came of \
                 that, and give a new id to do it again",
                first.sequence
            ),
            Self::BegunBefore { event_id, first: None } => write!(
                f,
                "not done: expected an id that is new, found {event_id}, with which it is being done now; wait for what comes of that"
            ),
            Self::NotAllowed(error) => write!(f, "not done: {error}"),
            Self::Action(error) => error.fmt(f),
            Self::OutcomeNotRecorded { value, error, intent } => {
                let how = if value.is_ok() { "done" } else { "done, and it failed" };
                write!(
                    f,
                    "{how}, but what came of it: {error}; entry {} stays an open action: record its outcome, caused by event {}",
                    intent.sequence, intent.event_id
                )
            }
        }
    }
}

// Not only for errors of `Error`'s kind: a boxed one is none, and is what many actions fail with.
impl<T: fmt::Debug, E: fmt::Debug + fmt::Display> std::error::Error for ActionError<T, E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotRecorded(error) => Some(error),
            Self::OutcomeNotRecorded { error, .. } => Some(&**error),
            Self::NotAllowed(error) => Some(&**error),
            Self::Action(_) | Self::BegunBefore { .. } => None,
        }
    }
}
