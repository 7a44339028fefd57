//! The process-wide ledger: installed once, reached from anywhere, closed by a guard.

use std::error::Error;
use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::error::{AppendError, CloseError, Refusal};
use crate::event::Event;
use crate::ledger::{Closed, Ledger};
use crate::receipt::Receipt;

static INSTALLED: RwLock<Option<Ledger>> = RwLock::new(None);

/// What a guard that is only dropped waits for.
const DEADLINE: Duration = Duration::from_secs(10);

/// Another ledger is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstallError;

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected no ledger to be installed, found one; drop or close its guard first")
    }
}

impl Error for InstallError {}

/// Makes a ledger the one that `record` uses, until the guard is dropped: keep it in a variable with a name (`let _ = ` drops it at
/// once, and `record` then says that nothing is installed).
pub fn install(ledger: Ledger) -> Result<Guard, InstallError> {
    let mut installed = INSTALLED.write().unwrap_or_else(PoisonError::into_inner);
    if installed.is_some() {
        return Err(InstallError);
    }
    *installed = Some(ledger.clone());
    Ok(Guard { ledger, deadline: DEADLINE, is_closed: false })
}

/// The ledger that is installed.
pub fn installed() -> Option<Ledger> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Records an event in the ledger that is installed, and waits until it is durable.
pub fn record(event: Event) -> Result<Receipt, AppendError> {
    // The handle is cloned so that no lock is held while the event is recorded.
    installed().ok_or(Refusal::NotInstalled)?.append(event)
}

/// Keeps a ledger installed; when it goes, the ledger is taken out and closed.
#[derive(Debug)]
#[must_use = "the ledger is closed when its guard is dropped"]
pub struct Guard {
    ledger: Ledger,
    deadline: Duration,
    is_closed: bool,
}

impl Guard {
    /// What closing may take when the guard is dropped; 10 seconds unless said otherwise.
    pub fn deadline(self, deadline: Duration) -> Self {
        let mut guard = self;
        guard.deadline = deadline;
        guard
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes the ledger out and closes it. Dropping the guard does the same and cannot tell how it went.
    pub fn close(mut self, deadline: Duration) -> Result<Closed, CloseError> {
        self.is_closed = true;
        take_out();
        self.ledger.close(deadline)
    }
}

fn take_out() {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = None;
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_closed {
            take_out();
            // Nobody is there to hear it; whoever wants to know calls `close`.
            drop(self.ledger.close(self.deadline));
        }
    }
}
