//! Others who are asked and may never answer: a sink of anchors, whoever signs checkpoints. They are asked on a thread that may stay
//! behind, so that what hangs there costs its time and nothing else.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Refusal;
use crate::signer::{Signer, SignerError};
use crate::sync::{AtomicBool, Ordering, within};

/// Why there is no answer. What was asked may have been done all the same.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It did not come in time, or one that was asked for before has not come yet.
    Late,
    Panicked,
    /// There is no thread to ask on.
    Thread(io::Error),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it did not answer in its time"),
            Self::Panicked => f.write_str("it panicked"),
            Self::Thread(error) => write!(f, "no thread to ask it on: {error}"),
        }
    }
}

/// One who is asked. As long as an answer is missing nothing more is asked: else each attempt would leave a thread behind.
#[derive(Debug, Default)]
pub(super) struct Asked {
    is_busy: Arc<AtomicBool>,
}

impl Asked {
    /// Asks, and waits for the answer no longer than `time`.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        time: Duration,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        if self.is_busy.swap(true, Ordering::AcqRel) {
            return Err(Unanswered::Late);
        }
        let is_busy = Arc::clone(&self.is_busy);
        let answer = within(time, move || {
            // Nothing of ours is half-done while it runs.
            let answer = catch_unwind(AssertUnwindSafe(question));
            is_busy.store(false, Ordering::Release);
            answer
        });
        match answer {
            Ok(Some(answer)) => answer.map_err(|_| Unanswered::Panicked),
            Ok(None) => Err(Unanswered::Late),
            Err(error) => {
                self.is_busy.store(false, Ordering::Release);
                Err(Unanswered::Thread(error))
            }
        }
    }

    /// Asks a signer: one in this process here and now, since that takes microseconds.
    pub(super) fn sign<T: Send + 'static>(
        &self,
        signer: &dyn Signer,
        time: Duration,
        question: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        if signer.is_in_process() {
            let answer = catch_unwind(AssertUnwindSafe(question));
            return answer.unwrap_or(Err(Refusal::SignerPanicked));
        }
        self.ask(time, question).unwrap_or_else(|unanswered| {
            Err(match unanswered {
                Unanswered::Late => Refusal::SignerTime,
                Unanswered::Panicked => Refusal::SignerPanicked,
                Unanswered::Thread(_) => Refusal::Signer(SignerError::new(unanswered.to_string())),
            })
        })
    }
}
