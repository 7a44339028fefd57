//! How a ledger shall work.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Machine, Time};
use crate::ledger::files::Files;

/// How a ledger shall work. The defaults are right for most.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) queue_entries: usize,
    pub(super) queue_bytes: usize,
    pub(super) signer_nanos: u64,
    pub(super) signing_threads: usize,
    pub(super) verify_own: bool,
    pub(super) measured: bool,
    pub(super) time: Arc<dyn Time>,
    pub(super) files: Files,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_entries: 8192,
            queue_bytes: 64 << 20,
            signer_nanos: 10_000_000_000,
            signing_threads: 4,
            verify_own: false,
            measured: false,
            time: Arc::new(Machine),
            files: Files::default(),
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries and bytes that may be on their way at once; whoever wants to add more waits. 8,192 and 64 MiB unless said otherwise.
    #[must_use]
    pub fn queue(self, entries: usize, bytes: usize) -> Self {
        Self { queue_entries: entries.max(1), queue_bytes: bytes, ..self }
    }

    /// What a signer may take for one call; 10 seconds unless said otherwise. Then its entry is abandoned, and all behind it.
    #[must_use]
    pub fn signer_time(self, time: Duration) -> Self {
        Self { signer_nanos: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), ..self }
    }

    /// Threads that ask a signer outside the process; 4 unless said otherwise.
    #[must_use]
    pub fn signing_threads(self, threads: usize) -> Self {
        Self { signing_threads: threads.max(1), ..self }
    }

    /// Verifies the signatures of a key in this process too, before they are written. It costs twice the signature, and shows a
    /// miscalculation before it is in the chain, where it would also give the key away.
    #[must_use]
    pub fn verify_own(self, verify: bool) -> Self {
        Self { verify_own: verify, ..self }
    }

    /// Measures how long the ledger's lock is held; see [`crate::ledger::Ledger::held_for`].
    #[must_use]
    pub fn measured(self, measured: bool) -> Self {
        Self { measured, ..self }
    }

    /// What a ledger on files does beside.
    #[must_use]
    pub fn files(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// Another source of time than the machine's clocks.
    #[must_use]
    pub fn time(self, time: Arc<dyn Time>) -> Self {
        Self { time, ..self }
    }
}
