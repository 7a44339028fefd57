//! The ledger: the one place in a process where events become entries.
//!
//! An append commits to the payload on the caller's thread, takes its place in the chain under one lock, signs outside it,
//! and joins the next group commit. Its receipt means: signed, linked, durable. There are three outcomes and no fourth: a
//! receipt; [`Refused`](crate::error::AppendError::Refused), and nothing of it can ever appear;
//! [`Uncertain`](crate::error::AppendError::Uncertain), and the ledger is closed.
//!
//! A signer that errs, panics or takes too long gives up its entry and all behind it; their numbers are issued again, and what
//! a signer has seen is listed in the next entry, `chain.abandoned`. Any other panic on an event's way leaves the ledger
//! refusing; one in a reader does not.
//!
//! ```
//! use sigchain::key::SigningKey;
//! use sigchain::ledger::{Genesis, Ledger};
//! use sigchain::vocabulary::ToolCall;
//!
//! let ledger = Ledger::in_memory(Genesis::new("example.org/agents", SigningKey::generate()?))?;
//! let _guard = sigchain::install(ledger)?;
//! let receipt = sigchain::record(ToolCall::new("search").event("agent:planner")?)?;
//! assert_eq!(receipt.sequence, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anchoring;
mod append;
mod asked;
mod call;
mod cell;
mod close;
mod decide;
mod epoch;
mod files;
mod forked;
mod genesis;
mod halt;
mod ids;
mod install;
mod keys;
mod mirrored;
mod observe;
mod once;
mod open;
mod opening;
mod options;
mod proving;
mod read;
mod repair;
mod resolve;
mod retention;
mod scrub;
mod seal;
mod shared;
mod short;
mod sign;
mod sinks;
mod snapshots;
mod source;
mod state;
mod tail;
mod ticket;
mod view;

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::ledger::shared::Shared;
use crate::ledger::sign::Pool;
use crate::mirror::Mirroring;

pub use crate::ledger::anchoring::Fence;
pub use crate::ledger::close::Closed;
pub use crate::ledger::decide::Attached;
pub use crate::ledger::files::Signers;
pub use crate::ledger::forked::Forked;
pub use crate::ledger::genesis::Genesis;
pub use crate::ledger::install::{Guard, InstallError, install, installed, record};
pub use crate::ledger::keys::Change;
pub use crate::ledger::options::{Files, Options};
pub use crate::ledger::resolve::{ResolveError, Resolved, Words};
pub use crate::ledger::retention::{Moved, Way};
pub use crate::ledger::scrub::{Pace, Scrubbed};
pub use crate::ledger::snapshots::State;
pub use crate::ledger::ticket::{BatchTicket, Ticket};
pub use crate::ledger::view::View;

/// A handle to a ledger. Clones are handles to the same one; with the last of them it ends, without a claim that anything was
/// made durable: that is what [`Ledger::close`] says.
#[derive(Clone)]
pub struct Ledger {
    handle: Arc<Handle>,
}

/// What is there once for all handles, and notices when the last one goes.
struct Handle {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    mirroring: OnceLock<Mirroring>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // In a child of fork(2) the threads are the parent's, and a lock may be held by one of them for ever.
        if self.shared.is_forked() {
            return;
        }
        self.pool.close();
        self.shared.keeper.stop();
        self.shared.retire();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shared().is_forked() {
            return f.write_str("Ledger(of another process)");
        }
        let held = self.shared().lock();
        let (chain, last, stage) = (&held.state.chain, held.state.head, &held.state.stage);
        write!(f, "Ledger({}, durable to {}, {stage:?})", chain.origin(), last.sequence)
    }
}

impl Ledger {
    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}
