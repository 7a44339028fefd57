//! Anchoring: checkpoints that go, unasked, to where whoever changes the ledger's directory does not change them too.
//!
//! They are claimed under numbers that are given once. A writer whose number is gone is not alone: another copy of the ledger goes
//! on elsewhere, and this one stops, before its next acknowledgement or within a bounded time, as its options say.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::anchor::{Anchors, Claim, Claimed, FIRST, Local, Standing, judge};
use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::disk::{DiskError, Lenience};
use crate::error::OpenError;
use crate::ledger::observe;
use crate::ledger::shared::{Held, Shared};
use crate::recovery::Anchored;
use crate::signer::Signer;
use crate::store::StoreError;
use crate::sync::{AtomicU64, Condvar, Mutex, Ordering};
use crate::tree::Frontier;

/// When a ledger anchors what is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Before anything is acknowledged: two writers never both acknowledge. Costs a file and its sync for each group.
    Sync,
    /// After so many entries or so much time, by a thread of its own.
    Interval {
        /// Entries after which it is due.
        entries: u64,
        /// Time after which it is due, if there is anything new.
        time: Duration,
    },
}

impl Default for Fence {
    fn default() -> Self {
        Self::Interval { entries: 10_000, time: Duration::from_secs(10) }
    }
}

/// Where a ledger anchors.
#[derive(Clone, Debug, Default)]
pub(super) enum Where {
    /// In the user's home for sigchain.
    #[default]
    Home,
    /// Here.
    These(Vec<Arc<dyn Anchors>>),
}

impl Where {
    /// The sinks.
    pub(super) fn sinks(&self, lenience: Lenience) -> io::Result<Vec<Arc<dyn Anchors>>> {
        match self {
            Self::Home => Ok(vec![Arc::new(Local::in_home(lenience)?)]),
            Self::These(sinks) => Ok(sinks.clone()),
        }
    }
}

/// How often the thread looks around that has nothing to anchor.
const IDLE: Duration = Duration::from_secs(10);

/// A sink, and how far it is.
struct Sink {
    anchors: Arc<dyn Anchors>,
    /// The number that was held last; none before the first.
    held: Option<u64>,
    size: u64,
    /// What was claimed last, if it is not known whether it was held.
    tried: Option<String>,
}

impl Sink {
    /// Claims the next number for this checkpoint.
    fn claim(&mut self, due: &Due, note: &Checkpoint) -> Result<(), Unanchored> {
        loop {
            let number = self.held.map_or(FIRST, |held| held.saturating_add(1));
            match self.anchors.claim(&due.chain_id, number, note) {
                Ok(Claimed::Held) => {
                    (self.held, self.size, self.tried) = (Some(number), due.size, None);
                    return Ok(());
                }
                // An attempt of this very writer, of which it did not learn that it had succeeded.
                Ok(Claimed::Taken(claim))
                    if claim.number == number && self.tried.as_ref() == Some(&claim.note) =>
                {
                    (self.held, self.size, self.tried) = (Some(number), claim.size, None);
                }
                Ok(Claimed::Taken(Claim { number, size, .. })) => {
                    return Err(Unanchored::Fenced(format!(
                        "another writer of this chain has anchored {size} entries under number {number}: \
                         this ledger was copied, or set back"
                    )));
                }
                Err(error) => {
                    self.tried = Some(note.encode());
                    return Err(Unanchored::Failed(error.to_string()));
                }
            }
        }
    }
}

/// What is wanted of the thread that anchors.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    now: bool,
    end: bool,
}

/// Keeps a ledger's anchors.
#[derive(Default)]
pub(super) struct Keeper {
    sinks: Mutex<Vec<Sink>>,
    /// Why the last attempt failed.
    trouble: Mutex<Option<String>>,
    wanted: Mutex<Wanted>,
    changed: Condvar,
    /// Entries that every sink has.
    anchored: AtomicU64,
    /// Entries that may be durable and not anchored.
    most: u64,
    fence: Option<Fence>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({} entries anchored)", self.anchored.load(Ordering::Acquire))
    }
}

/// A checkpoint that is to be made.
pub(super) struct Due {
    pub(super) origin: String,
    pub(super) chain_id: Digest,
    pub(super) size: u64,
    pub(super) root: Digest,
    pub(super) signer: Arc<dyn Signer>,
}

/// Why something was not anchored.
pub(super) enum Unanchored {
    /// Somebody else holds the next number.
    Fenced(String),
    /// It could not be done, this time.
    Failed(String),
}

/// What the sinks know of a chain.
pub(super) struct Known(Vec<(Arc<dyn Anchors>, Option<Claim>)>);

impl Known {
    /// Asks them.
    pub(super) fn ask(sinks: Vec<Arc<dyn Anchors>>, chain_id: &Digest) -> io::Result<Self> {
        let ask = |anchors: Arc<dyn Anchors>| {
            let claim = anchors.latest(chain_id)?;
            Ok((anchors, claim))
        };
        sinks.into_iter().map(ask).collect::<io::Result<_>>().map(Self)
    }

    /// The sizes that they speak of, ascending.
    pub(super) fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> =
            self.0.iter().filter_map(|(_, claim)| claim.as_ref().map(|claim| claim.size)).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// How a chain of this size stands to them, that had these roots.
    pub(super) fn judge(&self, size: u64, roots: &[(u64, Digest)]) -> Anchored {
        let root_at = |size| roots.iter().find(|(at, _)| *at == size).map(|(_, root)| *root);
        let mut anchored = Anchored::Nothing;
        for claim in self.0.iter().filter_map(|(_, claim)| claim.as_ref()) {
            match judge(claim, size, root_at) {
                Standing::Agrees => anchored = Anchored::Agrees,
                Standing::Behind { .. } => return Anchored::More,
                // What was claimed ended between two batches of this chain, if it was this chain.
                Standing::Beside { .. } | Standing::Untold { .. } => return Anchored::Other,
            }
        }
        anchored
    }

    /// What they know, in words.
    pub(super) fn words(&self) -> String {
        let claims = self.0.iter().filter_map(|(_, claim)| claim.as_ref());
        let sizes: Vec<String> = claims.map(|claim| format!("{} entries", claim.size)).collect();
        sizes.join(", ")
    }

    /// Keeps them from here on.
    pub(super) fn keep(self, fence: Fence, most: u64) -> Keeper {
        let sinks: Vec<Sink> = self
            .0
            .into_iter()
            .map(|(anchors, claim)| {
                let size = claim.as_ref().map_or(0, |claim| claim.size);
                Sink { anchors, held: claim.map(|claim| claim.number), size, tried: None }
            })
            .collect();
        let anchored = sinks.iter().map(|sink| sink.size).min().unwrap_or(u64::MAX);
        Keeper {
            sinks: Mutex::new(sinks),
            anchored: AtomicU64::new(anchored),
            most,
            fence: Some(fence),
            ..Keeper::default()
        }
    }
}

impl Keeper {
    /// Entries of `size` that no anchor has yet; none where there are no anchors.
    pub(super) fn exposed(&self, size: u64) -> u64 {
        size.saturating_sub(self.anchored.load(Ordering::Acquire))
    }

    /// Whether nothing is acknowledged before it is anchored.
    pub(super) fn is_strict(&self) -> bool {
        self.fence == Some(Fence::Sync)
    }

    /// Whether more is exposed than may be.
    pub(super) fn is_over(&self, size: u64) -> bool {
        self.fence.is_some() && self.exposed(size) > self.most
    }

    /// Why the last attempt to anchor failed, if it did.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// How much may be exposed.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// Says that so much is durable.
    pub(super) fn note(&self, size: u64) {
        if let Some(Fence::Interval { entries, .. }) = self.fence
            && self.exposed(size) >= entries
        {
            self.poke();
        }
    }

    /// Has it anchored soon.
    pub(super) fn poke(&self) {
        self.wanted.lock().now = true;
        self.changed.notify_one();
    }

    /// Has the thread end.
    pub(super) fn stop(&self) {
        self.wanted.lock().end = true;
        self.changed.notify_one();
    }

    /// Waits until it is due. Says whether to go on.
    fn wait(&self) -> bool {
        let time = match self.fence {
            Some(Fence::Interval { time, .. }) => time,
            _ => IDLE,
        };
        let mut wanted = self.wanted.lock();
        if !wanted.now && !wanted.end {
            wanted = self.wanted.wait_for(wanted, &self.changed, time);
        }
        wanted.now = false;
        !wanted.end
    }

    /// Claims the next number of every sink for a checkpoint.
    pub(super) fn anchor(&self, due: &Due) -> Result<(), Unanchored> {
        let mut sinks = self.sinks.lock();
        if sinks.iter().all(|sink| sink.size >= due.size) {
            return Ok(());
        }
        let note = Checkpoint::by_signer(&due.origin, due.size, due.root, &*due.signer);
        let note = note.map_err(|error| Unanchored::Failed(error.to_string()));
        let claimed = note.and_then(|note| {
            let mut behind = sinks.iter_mut().filter(|sink| sink.size < due.size);
            behind.try_for_each(|sink| sink.claim(due, &note))
        });
        match &claimed {
            Ok(()) => observe::anchored(due.size, 0),
            Err(Unanchored::Fenced(what) | Unanchored::Failed(what)) => observe::not_anchored(what),
        }
        *self.trouble.lock() = match &claimed {
            Ok(()) => None,
            Err(Unanchored::Fenced(what) | Unanchored::Failed(what)) => Some(what.clone()),
        };
        if claimed.is_ok() {
            self.anchored.store(due.size, Ordering::Release);
        }
        claimed
    }
}

impl Shared {
    /// The checkpoint over all that is durable; nothing if nobody signs checkpoints.
    pub(super) fn due(held: &Held<'_>) -> Option<Due> {
        let state = &held.state;
        let signer = Arc::clone(state.checkpoints.as_ref()?);
        state.may_sign_checkpoints(&signer.id()).ok()?;
        Some(Due {
            origin: state.chain.origin(),
            chain_id: state.chain.id(),
            size: state.frontier.size(),
            root: state.frontier.root(),
            signer,
        })
    }

    /// Anchors what was just written, where nothing is acknowledged before that.
    pub(super) fn anchor_first(
        &self,
        due: Option<Due>,
        frontier: &Frontier,
    ) -> Result<(), StoreError> {
        let Some(due) = due else { return Ok(()) };
        let due = Due { size: frontier.size(), root: frontier.root(), ..due };
        self.keeper.anchor(&due).map_err(|error| {
            let (Unanchored::Fenced(what) | Unanchored::Failed(what)) = error;
            StoreError::Uncertain(io::Error::other(what))
        })
    }

    /// Anchors what is durable and tends the store, now and then, until it is told to end. Between two times it keeps nothing of the
    /// ledger: whoever lets go of that must find its files free.
    pub(super) fn keep(keeper: &Keeper, shared: &Weak<Self>) {
        while keeper.wait() {
            let Some(shared) = shared.upgrade() else { return };
            // What fails is tried again, and shows in what is exposed. Without indexes reading is slow, and right.
            drop(shared.anchor());
            drop(shared.store.tend());
        }
    }

    /// Anchors what is durable.
    pub(super) fn anchor(&self) -> Result<(), Unanchored> {
        let held = self.lock();
        if held.state.stage.refusal().is_some_and(|why| why != crate::error::Refusal::Closed) {
            return Ok(());
        }
        let Some(due) = Self::due(&held) else { return Ok(()) };
        drop(held);
        let anchored = self.keeper.anchor(&due);
        if let Err(Unanchored::Fenced(what)) = &anchored {
            self.lock().fence(what);
        }
        if anchored.is_ok() {
            self.tell_changed();
        }
        anchored
    }
}

/// The name under which anchors know a path.
pub(super) fn place_of(path: &Path) -> io::Result<String> {
    let name = path.file_name().ok_or_else(|| {
        let what = "expected a path that ends with a name";
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok(parent.canonicalize()?.join(name).to_string_lossy().into_owned())
}

/// Refuses to begin a chain where another one was that is gone.
pub(super) fn check_place(sinks: &[Arc<dyn Anchors>], place: &str) -> Result<(), OpenError> {
    for sink in sinks {
        let Some((chain_id, name)) = sink.remembered(place)? else { continue };
        let size = sink.latest(&chain_id)?.map_or(0, |claim| claim.size);
        let what = format!(
            "expected a place where no chain was, found that {name}/{chain_id} was here, \
             anchored with {size} entries"
        );
        let advice = "bring it back from a copy; or, if it is meant to be gone, forget it";
        let refused = DiskError::new("LEDGER_LOST", place, what, advice);
        return Err(OpenError::Io(refused.into_io(io::ErrorKind::AlreadyExists)));
    }
    Ok(())
}
