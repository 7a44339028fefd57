//! How a ledger shall work.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::anchor::Anchors;
use crate::clock::{Machine, Time};
use crate::directory::Limits;
use crate::disk::Lenience;
use crate::id::EventId;
use crate::ledger::anchoring::{Fence, PATIENCE, Terms};
use crate::ledger::mirrored::Wanted;
use crate::ledger::scrub::Pace;
use crate::ledger::sinks::Where;
use crate::mirror;

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

/// What a ledger on files does beside what every ledger does. The defaults are right for most.
#[derive(Clone, Debug)]
pub struct Files {
    pub(super) limits: Limits,
    pub(super) wait: Duration,
    pub(super) lenience: Lenience,
    pub(super) anchors: Where,
    pub(super) fence: Fence,
    pub(super) exposed: u64,
    pub(super) mirror: Option<Wanted>,
    pub(super) reserve: u64,
    pub(super) patience: Duration,
    /// How fast it is scrubbed, if it is.
    pub(super) scrub: Option<Pace>,
    /// The quarantine that it is opened to resolve.
    pub(super) resolving: Option<EventId>,
}

/// Bytes that a reserve has unless said otherwise: enough to list a full queue that was refused, several times.
const RESERVE: u64 = 1 << 20;

impl Default for Files {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            wait: Duration::ZERO,
            lenience: Lenience::default(),
            anchors: Where::default(),
            fence: Fence::default(),
            exposed: 100_000,
            mirror: None,
            reserve: RESERVE,
            patience: PATIENCE,
            scrub: Some(Pace::default()),
            resolving: None,
        }
    }
}

impl Files {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// When a segment ends: at 64 MiB or after a day unless said otherwise.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// How long to wait for another writer to let go; not at all unless said otherwise. Where one process takes over from another, as
    /// in a deployment, half a minute is right.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Where to anchor, instead of the user's home for sigchain ([`crate::anchor::Local::in_home`]); nowhere, if there are none: then
    /// nobody sees that the end of the ledger was cut, or that all of it was set back.
    #[must_use]
    pub fn anchors(self, anchors: Vec<Arc<dyn Anchors>>) -> Self {
        Self { anchors: Where::These(anchors), ..self }
    }

    /// When to anchor: after 10,000 entries or ten seconds unless said otherwise.
    #[must_use]
    pub fn fence(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// Entries that may be durable and not at every anchor yet, 100,000 unless said otherwise: what somebody could take away unseen who
    /// has the other anchors too. Beyond that appends wait for the anchor, or are refused if it fails. One that could not be asked when the
    /// ledger was opened is taken to have had all of it then.
    #[must_use]
    pub fn exposed(self, most: u64) -> Self {
        Self { exposed: most, ..self }
    }

    /// Keeps a mirror ([`crate::mirror`]) in a directory of its own, which is made if it is not there. A thread writes it behind the
    /// ledger: no append waits for it or fails with it, and what is missing when the ledger is let go of is written when it is next
    /// opened with the same mirror. [`Ledger::mirroring`](crate::ledger::Ledger::mirroring) says how it stands.
    #[must_use]
    pub fn mirror(self, path: impl Into<PathBuf>, options: mirror::Options) -> Self {
        Self { mirror: Some(Wanted::new(path.into(), options)), ..self }
    }

    /// Bytes that are set aside for the day when the disk is full, 1 MiB unless said otherwise: then appends are refused, and this is room
    /// for the entries that say so. It has to hold what a full queue takes to be listed, 43 bytes an entry. None with 0: then a full
    /// disk closes the ledger, and the chain does not say why.
    #[must_use]
    pub fn reserve(self, bytes: u64) -> Self {
        Self { reserve: bytes, ..self }
    }

    /// What an anchor may take to answer; 10 seconds unless said otherwise. Then it has failed, and is asked again later.
    #[must_use]
    pub fn anchor_time(self, time: Duration) -> Self {
        Self { patience: time, ..self }
    }

    /// How fast segments that were ended are verified again in the background; [`Pace::default`] unless said otherwise, not at all with
    /// `None`. What is found to be wrong halts the ledger.
    #[must_use]
    pub fn scrub(self, pace: Option<Pace>) -> Self {
        Self { scrub: pace, ..self }
    }

    /// The anchors.
    pub(super) fn sinks(&self) -> io::Result<Vec<Arc<dyn Anchors>>> {
        self.anchors.sinks(self.lenience)
    }

    pub(super) fn terms(&self, signer_nanos: u64) -> Terms {
        Terms {
            fence: Some(self.fence),
            most: self.exposed,
            patience: self.patience,
            signer_time: Duration::from_nanos(signer_nanos),
        }
    }

    /// What to put up with of a file system.
    #[must_use]
    pub fn lenience(self, lenience: Lenience) -> Self {
        Self { lenience, ..self }
    }

    pub(super) fn check_mirror(&self, ledger: &Path) -> io::Result<()> {
        self.mirror.as_ref().map_or(Ok(()), |wanted| wanted.check(ledger))
    }
}
