//! Why a review is not decided, or does not allow what is asked.

use std::fmt;

use crate::digest::Digest;
use crate::error::{AppendError, DecideError};
use crate::limit::FieldError;
use crate::review::Standing;
use crate::stamp::ValidTime;

/// Why a review is not decided, or does not allow what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReviewError {
    /// It could not be recorded.
    Append(AppendError),
    /// Its deadline has passed: it is vetoed.
    Expired {
        /// The deadline.
        deadline: ValidTime,
    },
    /// A field.
    Field(FieldError),
    /// It is about no intent that could be recognised, so that it allows no action.
    NoIntent,
    /// It is not approved.
    NotApproved {
        /// How it stands.
        standing: Standing,
    },
    /// Somebody who may not decide it.
    NotReviewer {
        /// Who.
        actor: String,
    },
    /// What is to be done is not what was approved.
    OtherIntent {
        /// What the approved intent comes to.
        approved: Digest,
        /// What this one does.
        found: Digest,
    },
    /// It was approved for somebody else.
    OtherActor {
        /// For whom.
        approved: String,
        /// Who is about to act.
        found: String,
    },
    /// It was approved in another ledger.
    OtherLedger,
    /// It does not wait for a decision.
    Over {
        /// How it stands.
        standing: Standing,
    },
    /// Whoever asked, or is to act, would decide.
    Own {
        /// Who.
        actor: String,
    },
    /// The same person again.
    Twice {
        /// Who.
        actor: String,
    },
}

impl fmt::Display for ReviewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(error) => error.fmt(f),
            Self::Expired { deadline } => write!(
                f,
                "expected a decision until {deadline}, found none in time, which is a veto; ask for another review"
            ),
            Self::Field(error) => error.fmt(f),
            Self::NoIntent => f.write_str(
                "expected a review of an intent, found one that names none; ask for one with Request::new",
            ),
            Self::NotApproved { standing } => {
                write!(f, "expected a review that is approved, found one that {standing}")
            }
            Self::NotReviewer { actor } => write!(
                f,
                "expected one of the reviewers that its policy names, found {actor}; ask one of them"
            ),
            Self::OtherIntent { approved, found } => write!(
                f,
                "expected the intent that was approved, {approved}, found another, {found}; ask for a review of that one"
            ),
            Self::OtherActor { approved, found } => {
                write!(f, "expected {approved}, who was to act, found {found}")
            }
            Self::OtherLedger => {
                f.write_str("expected a review of this ledger, found one of another")
            }
            Self::Over { standing } => {
                write!(f, "expected a review that waits for a decision, found one that {standing}")
            }
            Self::Own { actor } => write!(
                f,
                "expected a decision by somebody else, found one by {actor}, who asked for it or is to act; ask another person"
            ),
            Self::Twice { actor } => {
                write!(f, "expected somebody else, found {actor}, who has approved it before")
            }
        }
    }
}

impl std::error::Error for ReviewError {}

impl From<AppendError> for ReviewError {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl From<FieldError> for ReviewError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<DecideError<Self>> for ReviewError {
    fn from(error: DecideError<Self>) -> Self {
        match error {
            DecideError::Declined(why) => why,
            DecideError::Append(error) => Self::Append(error),
        }
    }
}
