//! Anchoring: checkpoints that go, unasked, to where whoever changes the ledger's directory does not change them too.
//!
//! They are claimed under numbers that are given once. A writer whose number is gone is not alone: another copy of the ledger goes
//! on elsewhere, and this one stops, before its next acknowledgement or within a bounded time, as its options say.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::anchor::Anchors;
use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::disk::DiskError;
use crate::error::{OpenError, Refusal};
use crate::ledger::Ledger;
use crate::ledger::asked::Asked;
use crate::ledger::halt::Site;
use crate::ledger::observe;
use crate::ledger::options::Files;
use crate::ledger::scrub::Brake;
use crate::ledger::shared::{Held, Shared};
use crate::ledger::sinks::{Known, RootAt, Sink, Unanchored, entries};
use crate::ledger::snapshots::Make;
use crate::ledger::state::Stage;
use crate::signer::{Signer, SignerError};
use crate::snapshot::EVERY;
use crate::store::{Store, StoreError};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, within};
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

/// How often the thread looks around that has nothing to anchor.
const IDLE: Duration = Duration::from_secs(10);

/// How long after a first failure it is tried again; twice that after the next, and so on up to `IDLE`.
const PAUSE: Duration = Duration::from_millis(100);

/// What a sink may take to answer, unless it is said otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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
    /// Whether there are any.
    is_used: bool,
    /// Whoever signs checkpoints.
    asked: Asked,
    /// Why the last attempt failed.
    trouble: Mutex<Option<String>>,
    /// Whether somebody else was found to hold the next number.
    fenced: AtomicBool,
    wanted: Mutex<Wanted>,
    changed: Condvar,
    /// Entries that every sink has.
    anchored: AtomicU64,
    /// Entries that are durable.
    durable: AtomicU64,
    terms: Terms,
    /// Where the ledger is, and where its quarantines are kept.
    site: Mutex<Option<Arc<Site>>>,
    /// What ends the scrub.
    pub(super) brake: Arc<Brake>,
    /// What makes snapshots.
    pub(super) making: Mutex<Vec<Box<dyn Make>>>,
    /// Entries at which the next snapshot is due, if there are to be any.
    next: AtomicU64,
}

/// On what terms a ledger is anchored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub(super) fence: Option<Fence>,
    /// Entries that may be durable and not at every sink.
    pub(super) most: u64,
    /// What a sink may take to answer.
    pub(super) patience: Duration,
    /// What a signer may.
    pub(super) signer_time: Duration,
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

/// The number of entries at which a snapshot is due next.
const fn due_after(size: u64) -> u64 {
    (size / EVERY).saturating_add(1).saturating_mul(EVERY)
}

/// Why nothing is anchored by a ledger that has no such key.
const NO_SIGNER: &str = "nobody signs checkpoints: the chain has no active checkpoint key here; \
                         enrol or rotate one, or open the ledger with its signer";

impl Keeper {
    /// Keeps these sinks of a ledger that has so many entries.
    pub(super) fn new(known: Known, terms: Terms, size: u64) -> Self {
        let (sinks, trouble) = known.into_parts(size);
        let anchored = sinks.iter().map(Sink::reach).min().unwrap_or(0);
        Self {
            is_used: !sinks.is_empty(),
            sinks: Mutex::new(sinks),
            trouble: Mutex::new(trouble),
            anchored: AtomicU64::new(anchored),
            terms,
            ..Self::default()
        }
    }

    /// Says where the ledger is.
    pub(super) fn settle(&self, site: Site) {
        *self.site.lock() = Some(Arc::new(site));
    }

    /// Where the ledger is; nothing if it is in memory.
    pub(super) fn site(&self) -> Option<Arc<Site>> {
        self.site.lock().clone()
    }

    /// Entries of `size` that are not at every sink yet; all of them, where there are none.
    pub(super) fn exposed(&self, size: u64) -> u64 {
        size.saturating_sub(self.anchored.load(Ordering::Acquire))
    }

    /// Whether nothing is acknowledged before it is anchored.
    pub(super) fn is_strict(&self) -> bool {
        self.is_used && self.terms.fence == Some(Fence::Sync)
    }

    /// Whether somebody else was found to hold the next number.
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    /// Why the last attempt to anchor failed, if it did.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Says that so much is durable.
    pub(super) fn note(&self, size: u64) {
        self.durable.store(size, Ordering::Release);
        let next = self.next.load(Ordering::Relaxed);
        if next > 0 && size >= next {
            // Asked for once each time, not by every commit until the thread is there.
            self.next.store(due_after(size), Ordering::Relaxed);
            self.poke();
        }
        if let Some(Fence::Interval { entries, .. }) = self.terms.fence
            && self.is_used
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

    /// Has snapshots made from now on.
    pub(super) fn want_snapshots(&self) {
        self.next.store(due_after(self.durable.load(Ordering::Acquire)), Ordering::Relaxed);
        self.poke();
    }

    /// Asks a signer for something, for no longer than its time.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        signer: &dyn Signer,
        question: impl FnOnce() -> Result<T, SignerError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let question = move || question().map_err(Refusal::Signer);
        self.asked.sign(signer, self.terms.signer_time, question)
    }

    /// Has the thread end.
    pub(super) fn stop(&self) {
        self.brake.pull();
        // It holds the ledger's folder, and with that its lock.
        *self.site.lock() = None;
        self.wanted.lock().end = true;
        self.changed.notify_one();
    }

    /// Waits until it is due, or may be tried again after so many failures in a row. Says whether to go on.
    fn wait(&self, failures: u32) -> bool {
        let time = match (failures.checked_sub(1), self.terms.fence) {
            (Some(before), _) => PAUSE.saturating_mul(1 << before.min(10)).min(IDLE),
            (None, Some(Fence::Interval { time, .. })) => time,
            (None, _) => IDLE,
        };
        let start = Instant::now();
        let mut wanted = self.wanted.lock();
        // Each commit asks for it while too much is exposed: what has just failed is not tried again for each of them.
        while !wanted.end && (failures > 0 || !wanted.now) {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                break;
            }
            wanted = self.wanted.wait_for(wanted, &self.changed, left);
        }
        wanted.now = false;
        !wanted.end
    }

    /// Notes what became of an attempt.
    fn tell(&self, claimed: &Result<(), Unanchored>) {
        *self.trouble.lock() = claimed.as_ref().err().map(ToString::to_string);
        match claimed {
            Ok(()) => {
                let durable = self.durable.load(Ordering::Acquire);
                observe::anchored(self.anchored.load(Ordering::Acquire), self.exposed(durable));
            }
            Err(why) => {
                self.fenced.fetch_or(matches!(why, Unanchored::Fenced(_)), Ordering::AcqRel);
                observe::not_anchored(&why.to_string());
            }
        }
    }

    /// Claims the next number of every sink for a checkpoint: of all of them, whatever one says. That somebody else writes this chain is
    /// the worst that it can be.
    fn anchor(&self, due: &Due, root_at: RootAt<'_>, store: &dyn Store) -> Result<(), Unanchored> {
        let mut sinks = self.sinks.lock();
        if sinks.iter().all(|sink| sink.size >= due.size) {
            *self.trouble.lock() = None;
            return Ok(());
        }
        let mut claimed = Ok(());
        // Behind what the store says of itself nobody may know more of it.
        let attested = store.attest().map_err(|error| error.to_string());
        let note = attested.and_then(|()| self.checkpoint(due).map_err(|why| why.to_string()));
        match note {
            Err(what) => claimed = Err(Unanchored::Failed(what)),
            Ok(note) => {
                let time = self.terms.patience;
                for sink in sinks.iter_mut().filter(|sink| sink.size < due.size) {
                    let met = sink.ask_late(due.chain_id, due.size, root_at, time);
                    let one = met.and_then(|()| sink.claim(due.chain_id, &note, time));
                    if !matches!(claimed, Err(Unanchored::Fenced(_))) && one.is_err() {
                        claimed = one;
                    }
                }
            }
        }
        let anchored = sinks.iter().map(Sink::reach).min().unwrap_or(0);
        self.anchored.store(anchored, Ordering::Release);
        self.tell(&claimed);
        claimed
    }

    fn checkpoint(&self, due: &Due) -> Result<Checkpoint, Refusal> {
        let Due { origin, size, root, signer, .. } = due;
        let (origin, size, root, by) = (origin.clone(), *size, *root, Arc::clone(signer));
        self.asked.sign(&**signer, self.terms.signer_time, move || {
            Checkpoint::by_signer(&origin, size, root, &*by).map_err(Refusal::Signer)
        })
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

    /// Whether an event has to wait until more is anchored. `since` is when it began to. It is refused if that has failed, if it has
    /// waited long enough, or if it does not wait.
    pub(super) fn is_exposed(
        &self,
        held: &Held<'_>,
        patient: bool,
        since: &mut Option<Instant>,
    ) -> Result<bool, Refusal> {
        let keeper = &self.keeper;
        let Terms { most, patience, .. } = keeper.terms;
        if keeper.is_strict() && !held.state.has_checkpoint_signer() {
            return Err(Refusal::Exposed { most: 0, why: NO_SIGNER.to_owned() });
        }
        if !keeper.is_used || keeper.exposed(held.state.frontier.size()) <= most {
            return Ok(false);
        }
        let waited = since.get_or_insert_with(Instant::now).elapsed();
        keeper.poke();
        let late = || (waited >= patience).then(|| "it has not answered yet".to_owned());
        let now = || (!patient).then(|| "it is being anchored".to_owned());
        match keeper.trouble().or_else(late).or_else(now) {
            Some(why) => Err(Refusal::Exposed { most, why }),
            None => Ok(true),
        }
    }

    /// Anchors what was just written, where nothing is acknowledged before that.
    pub(super) fn anchor_first(
        &self,
        due: Option<Due>,
        frontier: &Frontier,
    ) -> Result<(), StoreError> {
        // Without a signer of checkpoints only changes of keys come so far: they are what brings one.
        let Some(due) = due else { return Ok(()) };
        let due = Due { size: frontier.size(), root: frontier.root(), ..due };
        let anchored = self.keeper.anchor(&due, &|_| None, &*self.store);
        anchored.map_err(|error| StoreError::Uncertain(io::Error::other(error.to_string())))
    }

    /// What a ledger becomes whose write or anchor has failed.
    pub(super) fn failed(&self, what: String) -> Stage {
        if self.keeper.is_fenced() { Stage::Fenced(what) } else { Stage::Failed(what) }
    }

    /// Anchors what is durable and tends the store, now and then, until it is told to end. Between two times it keeps nothing of the
    /// ledger: whoever lets go of that must find its files free.
    pub(super) fn keep(keeper: &Keeper, shared: &Weak<Self>) {
        let mut failures = 0_u32;
        while keeper.wait(failures) {
            let Some(shared) = shared.upgrade() else { return };
            // What fails is tried again, and shows in what is exposed. Without indexes reading is slow, and right.
            failures = match shared.anchor() {
                Ok(()) => 0,
                Err(_) => failures.saturating_add(1),
            };
            match shared.store.tend() {
                // A step at a time: what is to be anchored does not wait until all is done.
                Ok(true) => keeper.poke(),
                Ok(false) => {}
                Err(error) => observe::not_tended(&error.to_string()),
            }
            if shared.make_snapshots() {
                keeper.poke();
            }
        }
    }

    /// As `anchor`, but waits no longer than `time`.
    pub(super) fn anchor_within(self: &Arc<Self>, time: Duration) -> Result<(), Unanchored> {
        if !self.keeper.is_used {
            return Ok(());
        }
        let shared = Arc::clone(self);
        within(time, move || shared.anchor())
            .map_err(|error| Unanchored::Failed(error.to_string()))?
            .unwrap_or_else(|| Err(Unanchored::Failed("it has not answered yet".to_owned())))
    }

    /// Anchors what is durable.
    pub(super) fn anchor(&self) -> Result<(), Unanchored> {
        let held = self.lock();
        let is_done = |why: &Refusal| matches!(why, Refusal::Closed | Refusal::Quarantined(_));
        let is_over = held.state.stage.refusal().is_some_and(|why| !is_done(&why));
        if is_over || !self.keeper.is_used {
            return Ok(());
        }
        let size = held.state.frontier.size();
        let Some(due) = Self::due(&held) else {
            drop(held);
            if self.keeper.exposed(size) == 0 {
                return Ok(());
            }
            let failed = Err(Unanchored::Failed(NO_SIGNER.to_owned()));
            self.keeper.tell(&failed);
            return failed;
        };
        drop(held);
        let root_at = |size| {
            let root = self.prove(&due.chain_id, &self.frontier(), |nodes, leaves| {
                nodes.root_at(size, leaves)
            });
            root.ok().flatten()
        };
        let anchored = self.keeper.anchor(&due, &root_at, &*self.store);
        if let Err(Unanchored::Fenced(what)) = &anchored {
            self.lock().fail(Stage::Fenced(what.clone()), what);
        }
        // Those who wait for it go on, or are refused.
        self.tell_changed();
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

/// Refuses to begin a chain where another one was that is gone. One that is there is not: that nothing is begun there, its files see to.
pub(super) fn check_place(
    sinks: &[Arc<dyn Anchors>],
    place: &str,
    path: &Path,
) -> Result<(), OpenError> {
    let is_there = |name: &OsStr| name.to_string_lossy().starts_with("segment-");
    if let Ok(mut names) = path.read_dir()
        && names.any(|found| found.is_ok_and(|found| is_there(&found.file_name())))
    {
        return Ok(());
    }
    for sink in sinks {
        let Some((chain_id, name)) = sink.remembered(place)? else { continue };
        let size = sink.latest(&chain_id)?.map_or(0, |claim| claim.size);
        let what = format!(
            "expected a place where no chain was, found that {name}/{chain_id} was here, \
             anchored with {}",
            entries(size)
        );
        let advice = "bring it back from a copy; or, if it is meant to be gone, `sigchain forget` it \
                      (Ledger::forget_place)";
        let refused = DiskError::new("LEDGER_LOST", place, what, advice);
        return Err(OpenError::Io(refused.into_io(io::ErrorKind::AlreadyExists)));
    }
    Ok(())
}

impl Ledger {
    /// Has the anchors know which chain is at its place. What fails is told, and done when the ledger is next opened there.
    pub(super) fn remember(&self, sinks: &[Arc<dyn Anchors>], place: &str) {
        let origin = self.origin();
        let Some((name, _)) = origin.rsplit_once('/') else { return };
        for sink in sinks {
            if let Err(error) = sink.remember(place, &self.chain_id(), name) {
                observe::not_remembered(&error.to_string());
            }
        }
    }

    /// Has the anchors forget which chain is at this path, for when one that is gone is meant to be gone: only then another can be created
    /// there. What they know of the chain itself stays.
    pub fn forget_place(path: &Path, files: &Files) -> io::Result<()> {
        let place = place_of(path)?;
        let sinks = files.sinks()?;
        for sink in &sinks {
            if let Some(quarantine) = sink.halted(&place)? {
                sink.lift(&place, &quarantine)?;
            }
            sink.forget(&place)?;
        }
        Ok(())
    }
}
