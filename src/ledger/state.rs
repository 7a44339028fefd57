//! What the ledger's one lock guards: the chain as it will be once everything linked is durable, and the entries that are
//! on their way there. Nothing here waits, signs or writes.
//!
//! Entries go through in order. Linked: in the chain's state and in every projection, by nobody to be seen. Sealed: signed, with
//! its frame. Written: in the hands of whoever leads the commit. Settled: durable, and gone from here. Abandoning takes back an
//! entry that is not yet being written, and all behind it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::chain::{Before, Candidate, Chain, Head, Link};
use crate::clock::{Clock, Mark, Time};
use crate::digest::Digest;
use crate::entry::Linked;
use crate::error::{AppendError, Refusal};
use crate::id::EventId;
use crate::key::KeyId;
use crate::keyring::Keyring;
use crate::ledger::call::{Call, Draft, Note, Owed, Pending};
use crate::ledger::cell::{Cell, Outcome, Phase};
use crate::ledger::ids::{Ids, Use};
use crate::ledger::observe;
use crate::ledger::short::Short;
use crate::ledger::view::Fold;
use crate::limit::SEQUENCE_MAX;
use crate::projection::Item;
use crate::quarantine::{DISMISSED, OPEN, RECONCILED};
use crate::reserved::{Cause, Reserved};
use crate::signer::{SEVERAL, Signer};
use crate::stamp::Stamp;
use crate::store::Stored;
use crate::tree::Frontier;

/// Milliseconds by which the time of a caller's id may be ahead of the stamp.
const ID_AHEAD: u64 = 10 * 60 * 1000;
/// Events of a batch.
pub(super) const BATCH_MAX: usize = 4096;
/// Digests that one `chain.abandoned` lists.
const LISTED_MAX: usize = 1024;
/// Lists that one call takes along: with more, a signer that is down would cost every attempt milliseconds under the lock.
const LISTS_MAX: usize = 4;
/// How often its signer's time an entry may wait for a signer to be free.
const WAITS: u64 = 10;

/// Whether the ledger takes appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// Only what is on its way is brought to an end.
    Closing,
    Closed,
    /// A write failed.
    Failed(String),
    /// Somebody else writes this chain.
    Fenced(String),
    /// Something is wrong with the ledger, and that is not resolved yet.
    Quarantined(String),
    /// This is a child of fork(2): what is on its way is its parent's.
    Forked,
    Panicked,
}

impl Stage {
    /// Why appends are refused.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Open => None,
            Self::Closing | Self::Closed => Some(Refusal::Closed),
            Self::Failed(what) => Some(Refusal::LedgerFailed(what.clone())),
            Self::Fenced(what) => Some(Refusal::Fenced(what.clone())),
            Self::Quarantined(what) => Some(Refusal::Quarantined(what.clone())),
            Self::Forked => Some(Refusal::Forked),
            Self::Panicked => Some(Refusal::Panicked),
        }
    }
}

/// Calls that wait to be signed together, by the ledger's own signer: nothing is linked for another while there are any, since a
/// change of keys is alone in the queue.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    calls: Vec<Call>,
    entries: usize,
}

impl Gathered {
    pub(super) fn add(&mut self, call: Call) {
        self.entries = self.entries.saturating_add(call.entries.len());
        self.calls.push(call);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether there are as many as a signer is asked for at once.
    pub(super) fn is_enough(&self) -> bool {
        self.entries >= SEVERAL
    }

    pub(super) fn take(&mut self) -> Vec<Call> {
        self.entries = 0;
        std::mem::take(&mut self.calls)
    }
}

/// A signed entry as it goes into the store, and its leaf in the tree.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) stored: Stored,
    pub(super) leaf: Digest,
}

/// An entry on its way.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) pending: Arc<Pending>,
    pub(super) cell: Arc<Cell>,
    event_id: EventId,
    /// Whether it is the last of its call, and its outcome the call's.
    pub(super) ends: bool,
    before: Before,
    /// When it was linked.
    pub(super) linked_at: u64,
    sealed: Option<Sealed>,
    /// What it settles, if it is the ledger's own.
    owed: Option<Box<Owed>>,
    weight: usize,
}

/// By whom and under which conditions a call is linked.
#[derive(Debug)]
pub(super) struct Linking<'l> {
    /// Whether what the ledger owes of its own goes first. A key that only becomes one with this entry cannot sign it.
    pub(super) pays: bool,
    pub(super) time: &'l dyn Time,
    /// The key that will sign.
    pub(super) signer: KeyId,
    /// Root over all entries before, where the queue is empty; a revocation as compromised needs it.
    pub(super) root: Option<Digest>,
}

fn millis(stamp: Stamp) -> u64 {
    u64::try_from(stamp.micros() / 1000).unwrap_or(0)
}

fn too_large(found: usize) -> Refusal {
    Refusal::Batch { found, most: BATCH_MAX }
}

/// Calls to end, once the lock is let go.
pub(super) type Ended = Vec<(Arc<Cell>, Outcome)>;

#[derive(Debug)]
pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) chain: Chain,
    pub(super) signer: Arc<dyn Signer>,
    /// Who signs checkpoints.
    pub(super) checkpoints: Option<Arc<dyn Signer>>,
    clock: Clock,
    pub(super) queue: VecDeque<Slot>,
    /// Calls in the queue that are to be signed together.
    pub(super) gathered: Gathered,
    /// Slots from the front that are sealed.
    sealed: usize,
    /// Those of them that end with a whole batch, and may be written.
    pub(super) ready: usize,
    /// Slots from the front that are being written.
    pub(super) writing: usize,
    /// Whether somebody leads a commit.
    pub(super) leading: bool,
    pub(super) ids: Ids,
    /// Digests that reached a signer and are not in the chain.
    abandoned: BTreeSet<(u64, Digest)>,
    /// Those of them that were found in a torn tail when the ledger was opened.
    torn: BTreeSet<(u64, Digest)>,
    /// What else of the ledger's own is not recorded yet: that another writer begins, say.
    notes: VecDeque<Note>,
    /// Anomalies of the clock that are not recorded yet.
    marks: VecDeque<Mark>,
    /// How many of them were found when it was opened.
    found: usize,
    /// Projections, by the number of their place.
    pub(super) folds: BTreeMap<u64, Box<dyn Fold>>,
    /// Whether there is no room, so that nothing is appended.
    pub(super) short: Option<Short>,
    /// Events of which it is not known whether they are recorded: they were being written when the ledger failed.
    pub(super) in_doubt: Vec<EventId>,
    /// Which key may sign what, as far as is durable.
    pub(super) keyring: Keyring,
    /// The last durable entry.
    pub(super) head: Head,
    /// The tree over all durable entries.
    pub(super) frontier: Frontier,
    /// The ledger's own count of writers.
    pub(super) epoch: u64,
    /// Entries that the last seal covers.
    pub(super) sealed_size: u64,
    /// When a seal that failed may be tried again.
    pub(super) seal_again: u64,
    /// Whether the chain says that it is halted.
    pub(super) quarantined: bool,
    /// Bytes in the queue, about.
    pub(super) weight: usize,
}

impl State {
    /// The state of a ledger whose entries are all durable.
    pub(super) fn new(
        chain: Chain,
        (head, frontier): (Head, Frontier),
        signer: Arc<dyn Signer>,
        clock: Clock,
        marks: Vec<Mark>,
    ) -> Self {
        Self {
            stage: Stage::Open,
            keyring: chain.keyring().clone(),
            chain,
            signer,
            checkpoints: None,
            clock,
            queue: VecDeque::new(),
            gathered: Gathered::default(),
            sealed: 0,
            ready: 0,
            writing: 0,
            leading: false,
            ids: Ids::new(),
            abandoned: BTreeSet::new(),
            torn: BTreeSet::new(),
            notes: VecDeque::new(),
            frontier,
            epoch: 0,
            sealed_size: 0,
            seal_again: 0,
            quarantined: false,
            found: marks.len(),
            marks: marks.into(),
            folds: BTreeMap::new(),
            short: None,
            in_doubt: Vec::new(),
            head,
            weight: 0,
        }
    }

    /// Refuses whatever comes from now on.
    pub(super) fn quarantine(&mut self, why: &str) {
        if matches!(self.stage, Stage::Open | Stage::Closing) {
            self.stage = Stage::Quarantined(why.to_owned());
        }
    }

    /// What an event id stands for, if its entry is not durable yet.
    pub(super) fn use_of(&mut self, id: EventId) -> Option<Use> {
        if let Some(known) = self.ids.given.get(&id) {
            return Some(*known);
        }
        self.ids.count(id).filter(|count| **count > 0)?;
        let slot = self.queue.iter().find(|slot| slot.event_id == id)?;
        Some(Use::Linked(slot.pending.sequence()))
    }

    /// Whether somebody should lead a commit.
    pub(super) fn wants_leader(&self) -> bool {
        let is_over = !matches!(self.stage, Stage::Open | Stage::Closing | Stage::Closed);
        !self.leading && self.ready > 0 && !is_over
    }

    /// The callers' events at these places of the queue.
    pub(super) fn events(&self, places: Range<usize>) -> Vec<EventId> {
        let slots = self.queue.iter().take(places.end).skip(places.start);
        let events = slots.filter(|slot| slot.owed.is_none());
        events.map(|slot| slot.pending.event_id()).collect()
    }

    /// Digests that reached a signer and are not in the chain. Those of a torn tail are found again by whoever opens it next.
    pub(super) fn unlisted(&self) -> usize {
        self.abandoned.difference(&self.torn).count()
    }

    /// Whether entries of the ledger's own are due before it is closed. That it was opened is none: one that is opened and closed does not
    /// grow.
    pub(super) fn owes_at_end(&self) -> bool {
        self.unlisted() > 0 || self.marks.len() > self.found
    }

    /// Has these digests, found in a torn tail, listed before anything else is recorded.
    pub(super) fn list_torn(&mut self, torn: Vec<(u64, Digest)>) {
        self.abandoned.extend(torn.iter().copied());
        self.torn.extend(torn);
    }

    /// Has this recorded before the next event.
    pub(super) fn note(&mut self, note: Note) {
        self.notes.push_back(note);
    }

    /// Gives up listing abandoned digests: the key that would have to sign the list is lost.
    pub(super) fn disown(&mut self) {
        self.abandoned.clear();
    }

    /// Whether more digests wait to be listed than an event can take along.
    pub(super) fn is_list_long(&self) -> bool {
        self.abandoned.len() > LISTED_MAX.saturating_mul(LISTS_MAX)
    }

    /// Whether entries of the ledger's own are due.
    pub(super) fn owes(&self) -> bool {
        !self.abandoned.is_empty() || !self.marks.is_empty() || !self.notes.is_empty()
    }

    /// Gives a call its place: stamps, numbers and links its events, and before them whatever the ledger owes.
    ///
    /// Of a call that is refused nothing is left but a later clock.
    pub(super) fn link(&mut self, drafts: Vec<Draft>, by: &Linking<'_>) -> Result<Call, Refusal> {
        let stamp = self.stamp(&drafts, by.time)?;
        let start = self.queue.len();
        let due = (self.abandoned.clone(), self.marks.clone(), self.notes.clone());
        let owed = if by.pays { self.owed() } else { Ok(Vec::new()) };
        let linked = owed.and_then(|owed| self.link_all(owed, drafts, stamp, by));
        if linked.is_err() {
            // No signer has seen any of it, so it leaves no trace; nobody waits on its cell yet.
            drop(self.take_back(start));
            self.refold();
            (self.abandoned, self.marks, self.notes) = due;
        }
        linked
    }

    fn link_all(
        &mut self,
        owed: Vec<Draft>,
        drafts: Vec<Draft>,
        stamp: Stamp,
        by: &Linking<'_>,
    ) -> Result<Call, Refusal> {
        let linked_at = by.time.running();
        let (own, all) = (owed.len(), owed.len() + drafts.len());
        let cell = Arc::new(Cell::default());
        let mut entries = Vec::with_capacity(all);
        for (at, mut draft) in owed.into_iter().chain(drafts).enumerate() {
            let stamp = if at == 0 { stamp } else { self.clock.step().map_err(Refusal::Clock)? };
            // The ledger's own entries stand by themselves; the caller's are one batch.
            let (left, batch) = if at < own { (0, 1) } else { (all - at - 1, all - own) };
            let left = u16::try_from(left).map_err(|_| too_large(all))?;
            let batch = u16::try_from(batch).map_err(|_| too_large(all))?;
            let weight = draft.weight();
            let owed = draft.owed.take();
            let (pending, before) = self.link_one(draft, stamp, (left, batch), by)?;
            entries.push(Arc::clone(&pending));
            self.weight = self.weight.saturating_add(weight);
            let (cell, ends) = (Arc::clone(&cell), at + 1 == all);
            let (event_id, sealed) = (pending.event_id(), None);
            self.queue.push_back(Slot {
                pending,
                cell,
                event_id,
                ends,
                before,
                linked_at,
                sealed,
                owed,
                weight,
            });
        }
        Ok(Call { cell, entries, own })
    }

    fn stamp(&mut self, drafts: &[Draft], time: &dyn Time) -> Result<Stamp, Refusal> {
        for remote in drafts.iter().filter_map(|draft| draft.event.after) {
            let marks = self.clock.observe(remote, time).map_err(Refusal::Clock)?;
            marks.iter().for_each(observe::clock);
            self.marks.extend(marks);
        }
        let reading = self.clock.read(time).map_err(Refusal::Clock)?;
        reading.marks.iter().for_each(observe::clock);
        self.marks.extend(reading.marks);
        let now = millis(reading.stamp);
        for draft in drafts.iter().filter(|draft| draft.is_given) {
            let by = draft.event_id.millis().saturating_sub(now);
            if by > ID_AHEAD {
                return Err(Refusal::IdAhead { event_id: draft.event_id, by });
            }
        }
        Ok(reading.stamp)
    }

    /// The entries of the ledger's own that are due: abandoned digests first, since `chain.abandoned` has to be the first entry
    /// after what it lists.
    fn owed(&mut self) -> Result<Vec<Draft>, Refusal> {
        let most = LISTED_MAX.saturating_mul(LISTS_MAX);
        let listed: Vec<_> = self.abandoned.iter().copied().take(most).collect();
        let mut drafts = Vec::new();
        let (torn, given): (Vec<_>, Vec<_>) =
            listed.iter().copied().partition(|entry| self.torn.contains(entry));
        // Where a store refused, what was signed for it has the cause `signer` too: nothing of it was written.
        for (cause, entries) in [(Cause::Torn, torn), (Cause::Signer, given)] {
            for entries in entries.chunks(LISTED_MAX) {
                let entries = entries.to_vec();
                let reserved = Reserved::Abandoned { cause, entries: entries.clone() };
                let owed = Some(Box::new(Owed::Listed(entries)));
                drafts.push(Draft::reserved(reserved, None, owed)?);
            }
        }
        for entry in &listed {
            self.abandoned.remove(entry);
        }
        if !self.abandoned.is_empty() {
            // The run of lists goes on with the next call; nothing else may come before it ends.
            return Ok(drafts);
        }
        for note in self.notes.drain(..) {
            let Note { event_type, map } = note.clone();
            let reserved = Reserved::Open { event_type, map };
            drafts.push(Draft::reserved(reserved, None, Some(Box::new(Owed::Note(note))))?);
        }
        for mark in &self.marks {
            let (event_type, map) = (mark.event_type().to_owned(), mark.encode());
            let reserved = Reserved::Open { event_type, map };
            drafts.push(Draft::reserved(reserved, None, Some(Box::new(Owed::Mark(*mark))))?);
        }
        self.marks.clear();
        self.found = 0;
        Ok(drafts)
    }

    fn link_one(
        &mut self,
        draft: Draft,
        stamp: Stamp,
        (left, batch): (u16, u16),
        by: &Linking<'_>,
    ) -> Result<(Arc<Pending>, Before), Refusal> {
        if self.chain.size() > SEQUENCE_MAX {
            return Err(Refusal::Store("the chain has as many entries as it can".to_owned()));
        }
        let Draft { event, event_id, is_given, part, commitment, reserved, .. } = draft;
        let event_id = if is_given { event_id } else { event_id.at(millis(stamp)) };
        let place = self.chain.next(stamp, by.signer);
        let place = place.ok_or_else(|| Refusal::Store("a chain without head".to_owned()))?;
        let linked = Linked::new(event, event_id, commitment, &place);
        let link = Link::new(linked.fields(), linked.digest());
        let before = self.chain.before(&link);
        let candidate = Candidate { link, reserved: reserved.as_ref(), root: by.root };
        self.chain.admit(&candidate).map_err(Refusal::Chain)?;
        let pending = Arc::new(Pending {
            linked,
            part,
            left,
            batch,
            chain_id: place.chain_id,
            phase: Phase::linked(),
            handed_at: OnceLock::new(),
            signature: OnceLock::new(),
        });
        self.ids.link(event_id, is_given, pending.sequence());
        if !self.folds.is_empty() {
            let item = pending.item();
            self.folds.values_mut().for_each(|fold| fold.link(&item));
        }
        Ok((pending, before))
    }

    /// Where an entry stands in the queue, if it was not abandoned.
    fn place_of(&self, pending: &Arc<Pending>) -> Option<usize> {
        let first = self.queue.front()?.pending.sequence();
        let at = usize::try_from(pending.sequence().checked_sub(first)?).ok()?;
        // The number may have been given to another entry since.
        self.queue.get(at).is_some_and(|slot| Arc::ptr_eq(&slot.pending, pending)).then_some(at)
    }

    /// Takes the frame of an entry that was signed; an abandoned one's is dropped.
    pub(super) fn seal(&mut self, pending: &Arc<Pending>, sealed: Sealed) {
        let Some(at) = self.place_of(pending) else { return };
        if let Some(slot) = self.queue.get_mut(at) {
            slot.sealed = Some(sealed);
        }
        while let Some(slot) = self.queue.get(self.sealed).filter(|slot| slot.sealed.is_some()) {
            self.sealed += 1;
            if slot.pending.left == 0 {
                self.ready = self.sealed;
            }
        }
    }

    /// Takes what may be written, in whole batches, up to about `most` bytes, and notes that somebody leads.
    pub(super) fn lead(&mut self, most: usize) -> (Vec<Stored>, Vec<Digest>) {
        let mut weight = 0_usize;
        let mut group = Vec::with_capacity(self.ready.min(1024));
        let mut leaves = Vec::with_capacity(self.ready.min(1024));
        for slot in self.queue.iter_mut().take(self.ready) {
            if let Some(Sealed { stored, leaf }) = slot.sealed.take() {
                group.push(stored);
                leaves.push(leaf);
            }
            weight = weight.saturating_add(slot.weight);
            if slot.pending.left == 0 && weight >= most {
                break;
            }
        }
        self.leading = true;
        self.writing = group.len();
        (group, leaves)
    }

    /// What was written is durable. Gives the slots, whose calls end once the lock is let go.
    ///
    /// The entries themselves are hardly looked at here: they were made on other cores, and each look would keep all others waiting
    /// for the memory.
    pub(super) fn settle(&mut self) -> Vec<Slot> {
        if !self.folds.is_empty() {
            // First, and with all of it still in the queue: if a projection panics, whoever waits for any of it is told.
            for slot in self.queue.iter().take(self.writing) {
                let item = slot.pending.item();
                self.folds.values_mut().for_each(|fold| fold.settle(&item));
            }
        }
        let count = std::mem::take(&mut self.writing);
        self.leading = false;
        self.sealed = self.sealed.saturating_sub(count);
        self.ready = self.ready.saturating_sub(count);
        let settled: Vec<Slot> = self.queue.drain(..count).collect();
        for (slot, sequence) in settled.iter().zip(self.head.sequence.saturating_add(1)..) {
            self.ids.unlink(slot.event_id, sequence);
            self.weight = self.weight.saturating_sub(slot.weight);
        }
        // Changes of keys are alone in the queue: nothing linked behind one has changed them again.
        if settled.iter().any(|slot| slot.before.changes_keys()) {
            self.keyring = self.chain.keyring().clone();
        }
        // What halts the chain, and what resolves that, comes last of its call and nothing is linked behind it; the seal behind it has to
        // say so.
        if let Some(slot) = settled.last() {
            match &*slot.pending.linked.fields().event_type {
                OPEN => self.quarantined = true,
                RECONCILED | DISMISSED => self.quarantined = false,
                _ => {}
            }
        }
        if let Some(slot) = settled.last() {
            self.head = Head {
                sequence: slot.pending.sequence(),
                digest: slot.pending.linked.digest(),
                stamp: slot.pending.linked.fields().system_time,
            };
        }
        settled
    }

    /// The first entry that is not signed, if its signer's time is up at `now`; else how long to wait before looking again.
    ///
    /// A signer's time begins when it is asked. An entry that has not come to that yet waits for a signer to be free, but not for ever.
    pub(super) fn overdue(&self, now: u64, signer_time: u64) -> Option<Result<Arc<Pending>, u64>> {
        // Of a batch the first entries may be signed already; their frames come with the rest.
        let slot = self.queue.iter().skip(self.sealed).find(|slot| !slot.pending.is_signed())?;
        let end = match slot.pending.handed_at.get() {
            Some(handed_at) => handed_at.saturating_add(signer_time),
            None => slot.linked_at.saturating_add(signer_time.saturating_mul(WAITS)),
        };
        Some(match end.checked_sub(now) {
            // The frames of its call's entries before it are with the signer that hangs: the call goes as a whole.
            None | Some(0) => {
                let of_call = |other: &&Slot| Arc::ptr_eq(&other.cell, &slot.cell);
                let first = self.queue.iter().skip(self.sealed).find(of_call).unwrap_or(slot);
                Ok(Arc::clone(&first.pending))
            }
            Some(left) => Err(left.min(signer_time)),
        })
    }

    /// Gives up an entry and all behind it, atomically. Their numbers will be issued again, their stamps never.
    pub(super) fn abandon(&mut self, pending: &Arc<Pending>, why: &Refusal, ended: &mut Ended) {
        if let Some(at) = self.place_of(pending) {
            self.abandon_from(at, why, ended);
        }
    }

    /// As `abandon`, from a place in the queue that is not being written.
    pub(super) fn abandon_from(&mut self, at: usize, why: &Refusal, ended: &mut Ended) {
        let mut at = at.max(self.writing);
        // A batch is all or nothing: it goes from its first entry on.
        while at > self.writing
            && at
                .checked_sub(1)
                .and_then(|at| self.queue.get(at))
                .is_some_and(|s| s.pending.left > 0)
        {
            at -= 1;
        }
        let culprit = self.queue.get(at).map(|slot| Arc::clone(&slot.cell));
        for cell in self.take_back(at) {
            let is_culprit = culprit.as_ref().is_some_and(|culprit| Arc::ptr_eq(culprit, &cell));
            let why = if is_culprit { why.clone() } else { Refusal::Abandoned };
            ended.push((cell, Err(AppendError::Refused(why))));
        }
        self.refold();
    }

    /// Takes the slots from `at` on out of the queue and out of the chain. Gives the cells of the calls that end with them.
    fn take_back(&mut self, at: usize) -> Vec<Arc<Cell>> {
        let mut cells = Vec::new();
        while self.queue.len() > at
            && let Some(slot) = self.queue.pop_back()
        {
            let pending = &slot.pending;
            if pending.phase.abandon() {
                self.abandoned.insert((pending.sequence(), pending.linked.digest()));
            }
            self.ids.unlink(pending.event_id(), pending.sequence());
            self.chain.undo(pending.linked.fields(), slot.before);
            self.weight = self.weight.saturating_sub(slot.weight);
            if let Some(owed) = slot.owed {
                self.owe(*owed);
            }
            if slot.ends {
                cells.push(slot.cell);
            }
        }
        self.sealed = self.sealed.min(at);
        self.ready = self.ready.min(at);
        cells.reverse();
        cells
    }

    /// An entry of the ledger's own will not be recorded by now: what it would have said is owed again.
    fn owe(&mut self, owed: Owed) {
        match owed {
            Owed::Listed(entries) => self.abandoned.extend(entries),
            Owed::Mark(mark) => self.marks.push_front(mark),
            Owed::Note(note) => self.notes.push_front(note),
        }
    }

    /// Makes the projections what they were without the entries that were taken back.
    fn refold(&mut self) {
        let items: Vec<Item<'_>> = self.queue.iter().map(|slot| slot.pending.item()).collect();
        self.folds.values_mut().for_each(|fold| fold.undo(&items));
    }

    /// A write failed part-way, or something panicked: what was being written is in doubt, all behind it refused.
    pub(super) fn fail(&mut self, stage: Stage, what: &str, ended: &mut Ended) {
        let refusal = stage.refusal().unwrap_or(Refusal::Closed);
        observe::failed(what);
        self.stage = stage;
        let writing = std::mem::take(&mut self.writing);
        self.leading = false;
        self.sealed = 0;
        self.ready = 0;
        self.ids = Ids::new();
        self.gathered = Gathered::default();
        let mut call = Vec::new();
        for (at, slot) in std::mem::take(&mut self.queue).into_iter().enumerate() {
            let was_handed = slot.pending.phase.abandon();
            if at >= writing {
                // It is not in the chain and never will be: whoever closes the ledger is told how many such there are.
                if was_handed {
                    self.abandoned.insert((slot.pending.sequence(), slot.pending.linked.digest()));
                }
                if let Some(owed) = &slot.owed {
                    self.owe(Owed::clone(owed));
                }
            }
            if slot.owed.is_none() {
                call.push(slot.pending.event_id());
            }
            if !slot.ends {
                continue;
            }
            let mut ids = std::mem::take(&mut call).into_iter();
            let event_id = ids.next().unwrap_or_else(|| slot.pending.event_id());
            let others: Vec<EventId> = ids.collect();
            if at < writing {
                self.in_doubt.push(event_id);
                self.in_doubt.extend(&others);
            }
            ended.push((
                slot.cell,
                Err(if at < writing {
                    AppendError::Uncertain { event_id, others, what: what.to_owned() }
                } else {
                    AppendError::Refused(refusal.clone())
                }),
            ));
        }
        self.weight = 0;
    }
}
