//! The chain phase: what each frame is in its place. Sequential; the state is all that a file of any length needs.
//!
//! Follows the procedure of the spec (section 10.2) step by step. A frame gives at most one fault of each phase; what only
//! follows from an earlier fault (a link to an entry that could not be read, a root over it) is not reported again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chain::{Candidate, Chain, Link};
use crate::chainfile::{Block, Ending, RawFrame};
use crate::checkpoint::{Checkpoint, Seal, SealState, Verdict as Judged};
use crate::digest::Digest;
use crate::fault::{Code, Misfit};
use crate::frame::{Frame, Gap, GapReason, Kind, Summary, Trailer};
use crate::key::{KeyId, PublicKey, Purpose, Role};
use crate::reserved::Reserved;
use crate::tree::{self, Frontier};
use crate::verify::claims::{Claims, Losses};
use crate::verify::content::{Checked, Item, Signed};
use crate::verify::ids::Ids;
use crate::verify::report::{Anchor, Anchored, Anchors, End, Report};

/// The most resolved ranges that a report lists.
const RESOLVED_KEPT: usize = 100;

pub(super) struct Judge {
    pub(super) chain: Chain,
    report: Report,
    anchors: Anchors,
    /// Checkpoints that were held, the nearest last.
    held: Vec<Checkpoint>,
    needs_trailer: bool,
    tree: Option<Frontier>,
    /// What the entry before says follows in its batch.
    open: Option<u16>,
    frames: u64,
    has_trailer: bool,
    last_checkpoint: u64,
    claims: Claims,
    losses: Losses,
    ids: Ids,
    /// For each key the highest sequence that it signed.
    signed: BTreeMap<KeyId, u64>,
    /// The same before the first gap: a link over a gap is taken as stated, so no later signature vouches for what is before.
    vouched: BTreeMap<KeyId, u64>,
    /// For each key the largest size of a checkpoint or seal that it signed.
    stated: BTreeMap<KeyId, u64>,
    /// For each key the last entry that it approved.
    approved: BTreeMap<KeyId, u64>,
    pub(super) stopped: bool,
    /// Told how far it is after each block.
    pub(super) counter: Option<Arc<AtomicU64>>,
}

/// A frame that was just judged, for whoever follows along.
pub(super) struct Passed<'j> {
    pub(super) block: &'j Block,
    pub(super) raw: &'j RawFrame,
    /// Digest and leaf of an entry that was parsed.
    pub(super) hashes: Option<(Digest, Digest)>,
    pub(super) chain: Digest,
    /// What was found up to here.
    pub(super) report: &'j Report,
}

/// Follows along, frame by frame, and may end it.
pub(super) type Follower<'f> = dyn FnMut(&Passed<'_>) -> ControlFlow<()> + 'f;

/// A frame on trial.
struct Trial<'b> {
    block: &'b Block,
    raw: &'b RawFrame,
}

impl Judge {
    /// Goes on behind a sound entry 0.
    pub(super) fn new(
        chain: Chain,
        needs_trailer: bool,
        genesis: &Checked,
        genesis_approvers: Vec<KeyId>,
        anchors: Anchors,
        mut report: Report,
    ) -> Self {
        let mut tree = Frontier::new();
        tree.push(genesis.leaf);
        let mut held = anchors.checkpoints.clone();
        held.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.size()));
        report.chain_id = Some(chain.id());
        chain.name().clone_into(&mut report.name);
        report.predecessor = chain.predecessor().cloned();
        report.payloads.count(genesis.presence);
        Self {
            signed: BTreeMap::from([(genesis.link.signer, 0)]),
            vouched: BTreeMap::from([(genesis.link.signer, 0)]),
            stated: BTreeMap::new(),
            approved: genesis_approvers.into_iter().map(|id| (id, 0)).collect(),
            ids: Ids::new(report.unique, genesis.link.event_id),
            chain,
            report,
            anchors,
            held,
            needs_trailer,
            tree: Some(tree),
            open: Some(genesis.left),
            frames: 2,
            has_trailer: false,
            last_checkpoint: 0,
            claims: Claims::default(),
            losses: Losses::default(),
            stopped: false,
            counter: None,
        }
    }

    fn fault(&mut self, place: u64, sequence: Option<u64>, misfit: Misfit) {
        self.report.add(misfit.at(place, sequence));
    }

    /// Judges the frames of a block, in order.
    pub(super) fn block(
        &mut self,
        block: &Block,
        items: &mut [Item],
        mut follower: Option<&mut Follower<'_>>,
    ) {
        for (at, raw) in block.frames().iter().enumerate() {
            if self.stopped {
                return;
            }
            if self.has_trailer {
                let misfit = Misfit::new(Code::FileTrailing, "the end of the file", "more");
                self.fault(raw.place, None, misfit);
                self.stopped = true;
                return;
            }
            self.judge_anchors(raw.place);
            let trial = Trial { block, raw };
            #[cfg(feature = "std")]
            self.decide_deferred(items, at);
            match items.get(at) {
                Some(Item::Entry(entry)) => self.entry(&trial, entry),
                Some(Item::Header) => {
                    let misfit = Misfit::new(Code::FrameOrder, "one header, first", "another");
                    self.fault(raw.place, None, misfit);
                    self.open = None;
                }
                Some(Item::Unusable(misfit)) => self.unusable(raw, misfit.clone()),
                Some(Item::Other) => self.other(&trial),
                None => {}
            }
            self.frames = self.frames.saturating_add(1);
            if let Some(follow) = follower.as_deref_mut() {
                let hashes = match items.get(at) {
                    Some(Item::Entry(entry)) => Some((entry.link.digest, entry.leaf)),
                    _ => None,
                };
                let (chain, report) = (self.chain.id(), &self.report);
                let passed = Passed { block, raw, hashes, chain, report };
                self.stopped |= follow(&passed).is_break();
            }
        }
        if let Some(counter) = &self.counter {
            counter.store(self.chain.size(), Ordering::Relaxed);
        }
    }

    /// Decides an entry whose key was not known when its block was checked, and with it all others of that key in the block.
    #[cfg(feature = "std")]
    fn decide_deferred(&self, items: &mut [Item], at: usize) {
        let Some(Item::Entry(entry)) = items.get(at) else { return };
        if entry.signed != Signed::Deferred {
            return;
        }
        let signer = entry.link.signer;
        let Some(key) = self.chain.keyring().get(&signer) else { return };
        let waiting: Vec<&mut Checked> = items
            .iter_mut()
            .skip(at)
            .filter_map(|item| match item {
                Item::Entry(entry)
                    if entry.signed == Signed::Deferred && entry.link.signer == signer =>
                {
                    Some(entry)
                }
                _ => None,
            })
            .collect();
        decide(waiting, &key.public);
    }

    fn unusable(&mut self, raw: &RawFrame, misfit: Misfit) {
        let is_entry = raw.kind == Some(Kind::Entry);
        let sequence = (is_entry && self.chain.is_exact()).then(|| self.chain.size());
        self.fault(raw.place, sequence, misfit);
        self.open = None;
        match raw.kind {
            Some(Kind::Entry) => self.pass_unusable(raw.left),
            Some(Kind::Gap) => {
                self.chain.pass_unknown();
                self.tree = None;
            }
            Some(Kind::Trailer) => self.has_trailer = true,
            _ => {}
        }
    }

    fn pass_unusable(&mut self, left: Option<u16>) {
        self.claims.take(self.chain.size());
        self.chain.pass_unusable();
        self.tree = None;
        self.open = left;
    }

    fn entry(&mut self, trial: &Trial<'_>, entry: &Checked) {
        let link = &entry.link;
        let (place, sequence) = (trial.raw.place, Some(link.sequence));
        let reserved = entry.link.is_reserved.then(|| trial.reserved(link.sequence));
        let known = reserved.as_ref().and_then(|reserved| reserved.as_ref().ok());
        let is_accepted = match self.chain.signer(&link.signer, known) {
            Ok(key) => is_signed(entry, &key),
            Err(misfit) => {
                if misfit.code != Code::KeyUnknown || self.chain.is_complete() {
                    self.fault(place, sequence, misfit);
                }
                return self.pass_unusable(Some(entry.left));
            }
        };
        if !is_accepted {
            let expected = format!("a signature by key {} over this content", link.signer);
            self.fault(place, sequence, Misfit::new(Code::Signature, expected, "another"));
            return self.pass_unusable(Some(entry.left));
        }
        let content = entry.payload.clone().or_else(|| {
            let found = reserved.as_ref()?.as_ref().err()?;
            Some(Misfit::new(Code::ReservedPayload, "the payload of its type", found))
        });
        let is_sound = content.is_none();
        if let Some(misfit) = content {
            self.fault(place, sequence, misfit);
        }
        self.place_entry(trial, entry, known, is_sound);
    }

    /// Steps 5 to 10: place, authority, batch, compromise, claims, event id.
    fn place_entry(
        &mut self,
        trial: &Trial<'_>,
        entry: &Checked,
        reserved: Option<&Reserved>,
        is_sound: bool,
    ) {
        let link = entry.link;
        let (place, sequence) = (trial.raw.place, Some(link.sequence));
        // Authority is judged only where nothing failed before; without it only the place is.
        let reserved = reserved.filter(|_| is_sound);
        // Computing the root costs more than all else here, and only a revocation asks for it.
        let asks_root = matches!(reserved, Some(Reserved::Revoke { trusted: Some(_), .. }));
        let root = self.tree.as_ref().filter(|_| asks_root).map(Frontier::root);
        let candidate = Candidate { link, reserved, root };
        let checked = self
            .chain
            .check(&candidate)
            .and_then(|change| self.check_beyond_rules(entry, reserved).map_or(Ok(change), Err));
        let is_stray = link.sequence < self.chain.size();
        let is_ahead = link.sequence > self.chain.size();
        self.open = Some(entry.left);
        let change = checked.map_err(|misfit| self.fault(place, sequence, misfit)).ok();
        if is_stray {
            return;
        }
        if is_ahead {
            self.tree = None;
        }
        // Looked at last and without effect on the state: whoever asks for it sees these faults more, and none less.
        let reused = self.ids.note(link.event_id);
        let mut is_faulty = change.is_none();
        match change.filter(|_| is_sound) {
            None => self.chain.pass(&link),
            Some(change) => {
                if let Some(reserved) = reserved {
                    is_faulty = self.note_authority(place, &link, reserved);
                }
                self.chain.commit(&candidate, change);
            }
        }
        self.follow(entry);
        if let Some(misfit) = reused.filter(|_| !is_faulty) {
            self.fault(place, sequence, misfit);
        }
    }

    /// What verification asks beyond the rules of the chain: batches, and the word of payloads said to be erased.
    fn check_beyond_rules(
        &mut self,
        entry: &Checked,
        reserved: Option<&Reserved>,
    ) -> Option<Misfit> {
        let sequence = entry.link.sequence;
        let claimed = self.claims.take(sequence);
        let erased = match reserved {
            Some(Reserved::Erased { entries, .. }) => Some(entries.as_slice()),
            _ => None,
        };
        let erasure =
            || Misfit::new(Code::Erasure, "an erasure of each entry that names it", "none");
        if let (Some(listed), Some(claimed)) = (erased, &claimed)
            && !claimed.are_within(listed)
        {
            return Some(erasure());
        }
        if let Some(open) = self.open
            && open > 0
            && entry.left != open - 1
        {
            let expected = format!("an entry with {} of its batch to follow", open - 1);
            return Some(Misfit::new(Code::Batch, expected, entry.left.to_string()));
        }
        let compromised =
            reserved.is_some_and(|reserved| self.compromised(&entry.link, reserved).is_some());
        (claimed.is_some() && erased.is_none() && !compromised).then(erasure)
    }

    /// A stolen key that signed beyond what can be trusted of it, and up to where.
    fn compromised(&self, link: &Link, reserved: &Reserved) -> Option<(KeyId, u64, u64)> {
        let Reserved::Revoke { key, trusted: Some(trusted), .. } = reserved else { return None };
        let own = (link.signer == *key).then_some(link.sequence);
        let signed = own.or(self.signed.get(key).copied()).max(self.approved.get(key).copied());
        let signed = signed.filter(|last| *last >= trusted.size);
        let stated = self.stated.get(key).filter(|size| **size > trusted.size).copied();
        Some((*key, trusted.size, signed.max(stated)?))
    }

    /// What an authority that takes effect adds to the state. Whether it has a fault all the same: a stolen key signed too much.
    fn note_authority(&mut self, place: u64, link: &Link, reserved: &Reserved) -> bool {
        let compromised = self.compromised(link, reserved);
        if let Some((key, trusted, last)) = compromised {
            let expected = format!("nothing by key {key} beyond size {trusted}");
            let found = format!("its signature up to {last}");
            let misfit = Misfit::new(Code::KeyCompromised, expected, found);
            self.fault(place, Some(link.sequence), misfit);
        }
        for approval in reserved.approvals() {
            self.approved.insert(KeyId::of(&approval.public), link.sequence);
        }
        if let Reserved::Resolved { first, count, hashes, .. } = reserved {
            self.losses.resolve(*first, *count, hashes);
            if self.report.resolved.len() < RESOLVED_KEPT {
                self.report.resolved.push((*first, *count));
            }
        }
        compromised.is_some()
    }

    /// What an entry that is part of the chain adds to the state.
    fn follow(&mut self, entry: &Checked) {
        let link = &entry.link;
        if let Some(tree) = &mut self.tree {
            tree.push(entry.leaf);
        }
        if let Some(by) = entry.erased_by.filter(|by| *by > link.sequence) {
            self.claims.note(by, link.sequence);
        }
        if self.chain.keyring().get(&link.signer).is_some() {
            self.signed.insert(link.signer, link.sequence);
            // What was taken on a checkpoint's word is not this key's word.
            if !self.report.gaps.any() && entry.signed != Signed::Vouched {
                self.vouched.insert(link.signer, link.sequence);
            }
        }
        self.report.payloads.count(entry.presence);
        if entry.signed == Signed::Vouched {
            self.report.taken_on_word = self.report.taken_on_word.saturating_add(1);
        }
    }

    fn other(&mut self, trial: &Trial<'_>) {
        match trial.block.parse(trial.raw) {
            Ok(Frame::Gap(gap)) => self.gap(trial.raw.place, &gap),
            Ok(Frame::Attachment(attachment)) => {
                self.report.add_attachment(&attachment.type_name);
                self.end_batch(trial.raw.place, None);
            }
            Ok(Frame::Checkpoint(checkpoint)) => {
                let misfit = self.checkpoint(trial.raw.place, &checkpoint, false);
                self.end_batch(trial.raw.place, misfit);
            }
            Ok(Frame::Seal(seal)) => {
                let misfit = self.seal(trial.raw.place, &seal);
                self.end_batch(trial.raw.place, misfit);
            }
            Ok(Frame::Trailer(trailer)) => self.trailer(trial.raw.place, &trailer),
            // The content phase parsed it, and sorted out entries and headers.
            Ok(_) => {}
            Err(misfit) => self.unusable(trial.raw, misfit),
        }
    }

    /// Reports the chain fault of a frame that is no entry; if it has none, an open batch before it is one.
    fn end_batch(&mut self, place: u64, misfit: Option<Misfit>) {
        let open = self.open.take().filter(|open| *open > 0);
        let misfit = misfit.or_else(|| {
            open.map(|open| {
                let expected = format!("{open} more entries of a batch");
                Misfit::new(Code::Batch, expected, "another frame")
            })
        });
        if let Some(misfit) = misfit {
            self.fault(place, None, misfit);
        }
    }

    fn gap(&mut self, place: u64, gap: &Gap) {
        self.open = None;
        let is_stray = gap.first < self.chain.size();
        let is_ahead = gap.first > self.chain.size();
        let mut misfit = self.chain.meet_gap(gap.first).err();
        let mut sequence = gap.first;
        if !is_stray {
            if is_ahead {
                self.tree = None;
            }
            if let Some(tree) = &mut self.tree {
                for ((_, level), hash) in
                    tree::split(gap.first, gap.count).into_iter().zip(&gap.hashes)
                {
                    tree.push_subtree(*hash, level);
                }
            }
            self.chain.pass_gap(gap.end());
            if gap.reason == GapReason::Lost {
                self.losses.note(gap.first, gap.count, &gap.hashes);
            }
            self.report.gaps.count(gap.reason, gap.count, gap.end());
            if let Some(by) = self.claims.take_range(gap.first, gap.end())
                && misfit.is_none()
            {
                sequence = by;
                let expected = "the entry that erased a payload";
                misfit = Some(Misfit::new(Code::Erasure, expected, "a gap"));
            }
        }
        if let Some(misfit) = misfit {
            self.fault(place, Some(sequence), misfit);
        }
    }

    /// Judges a checkpoint; reports the fault of its content, and returns that of its place.
    fn checkpoint(&mut self, place: u64, checkpoint: &Checkpoint, at_end: bool) -> Option<Misfit> {
        let origin = self.chain.origin();
        if checkpoint.origin() != origin {
            return Some(Misfit::new(Code::CheckpointOrigin, origin, checkpoint.origin()));
        }
        let keys = self.chain.keyring().checkpoint_keys();
        match checkpoint.judge(keys) {
            Judged::Accepted(signers) => self.note_statement(&signers, checkpoint.size()),
            Judged::NoneKnown if !self.chain.is_complete() => return None,
            verdict => {
                let found = match verdict {
                    Judged::False => "a false one",
                    _ => "none",
                };
                let expected = "a signature by an active checkpoint key";
                let misfit = Misfit::new(Code::CheckpointSignature, expected, found);
                self.fault(place, None, misfit);
                return None;
            }
        }
        if !at_end {
            if checkpoint.size() <= self.last_checkpoint {
                let expected = format!("a size above {}", self.last_checkpoint);
                let found = checkpoint.size().to_string();
                return Some(Misfit::new(Code::CheckpointSize, expected, found));
            }
            self.last_checkpoint = checkpoint.size();
        }
        self.check_root(checkpoint.size(), &checkpoint.root())
    }

    /// These keys signed a checkpoint or seal of this size.
    fn note_statement(&mut self, signers: &[KeyId], size: u64) {
        for id in signers {
            let stated = self.stated.entry(*id).or_default();
            *stated = size.max(*stated);
        }
    }

    fn check_root(&self, size: u64, root: &Digest) -> Option<Misfit> {
        let tree = self.tree.as_ref()?;
        if size != self.chain.size() {
            let expected = self.chain.size().to_string();
            return Some(Misfit::new(Code::CheckpointSize, expected, size.to_string()));
        }
        let computed = tree.root();
        (computed != *root)
            .then(|| Misfit::new(Code::CheckpointRoot, computed.to_string(), root.to_string()))
    }

    /// Judges a seal; reports the fault of its content, and returns that of its place.
    fn seal(&mut self, place: u64, seal: &Seal) -> Option<Misfit> {
        let key = self.chain.keyring().get(&seal.signer);
        if key.is_none() && !self.chain.is_complete() {
            return None;
        }
        let is_signed = key.is_some_and(|key| {
            key.role == Role::Checkpoint
                && key.is_active()
                && seal.is_signed_by(&key.public, &self.chain.id())
        });
        if !is_signed {
            let expected = "a signature by an active checkpoint key";
            let misfit = Misfit::new(Code::SealSignature, expected, "another");
            self.fault(place, None, misfit);
            return None;
        }
        self.note_statement(&[seal.signer], seal.state.size);
        let tree = self.tree.as_ref()?;
        if let Some(found) = self.differs(&seal.state, tree) {
            let expected = "the state after the entries before it";
            return Some(Misfit::new(Code::SealMismatch, expected, found));
        }
        if self.chain.is_complete() {
            self.report.gaps.sealed = seal.state.size;
        }
        None
    }

    fn differs(&self, state: &SealState, tree: &Frontier) -> Option<&'static str> {
        let head = self.chain.head();
        if state.size != self.chain.size() {
            Some("another size")
        } else if head.is_some_and(|head| head.digest != state.head || head.stamp != state.stamp) {
            Some("another head")
        } else if tree.hashes() != state.frontier {
            Some("another tree")
        } else if self.chain.is_complete() && self.chain.keyring().digest() != state.keyring {
            Some("another keyring")
        } else {
            None
        }
    }

    fn trailer(&mut self, place: u64, trailer: &Trailer) {
        self.has_trailer = true;
        let misfit = match &trailer.summary {
            Summary::Signed(checkpoint) => {
                self.report.end = End::Signed;
                self.checkpoint(place, checkpoint, true)
            }
            Summary::Unsigned { size, root } => {
                self.report.end = End::Unsigned;
                self.check_root(*size, root)
            }
        };
        let misfit = misfit.or_else(|| {
            let is_whole = self.report.counts.keys().all(|code| *code == Code::EventId);
            let is_first = is_whole && self.open.unwrap_or(0) == 0;
            (is_first && trailer.frames != self.frames).then(|| {
                let expected = format!("{} frames", self.frames);
                Misfit::new(Code::TrailerCount, expected, trailer.frames.to_string())
            })
        });
        self.end_batch(place, misfit);
    }

    /// Judges the checkpoints that were held and whose size has been reached.
    fn judge_anchors(&mut self, place: u64) {
        while self.held.last().is_some_and(|held| held.size() <= self.chain.size()) {
            let Some(held) = self.held.pop() else { return };
            let anchor = Anchor::Checkpoint(held.size(), held.root());
            let root = self.tree.as_ref().map(Frontier::root);
            let Some(root) = root.filter(|_| held.size() == self.chain.size()) else {
                self.report.anchors.push(Anchored { anchor, size: None });
                continue;
            };
            let judged = held.judge(self.chain.keyring().checkpoint_keys());
            let misfit = if let Judged::Accepted(signers) = judged {
                self.note_statement(&signers, held.size());
                (root != held.root()).then(|| {
                    let (expected, found) = (held.root().to_string(), root.to_string());
                    Misfit::new(Code::AnchorRoot, expected, found)
                })
            } else {
                let expected = "a signature by a checkpoint key active at its size";
                Some(Misfit::new(Code::AnchorSignature, expected, "none, or a false one"))
            };
            let size = misfit.is_none().then_some(held.size());
            self.report.anchors.push(Anchored { anchor, size });
            if let Some(misfit) = misfit {
                self.fault(place, None, misfit);
            }
        }
    }

    /// Ends: the file has no more frames, or none that can be read.
    pub(super) fn finish(mut self, place: u64, ending: Option<&Ending>) -> Report {
        if !self.stopped {
            match ending {
                Some(Ending::Damaged(_)) if self.has_trailer => {
                    let misfit = Misfit::new(Code::FileTrailing, "the end of the file", "more");
                    self.fault(place, None, misfit);
                }
                Some(Ending::Damaged(misfit)) => {
                    self.judge_anchors(place);
                    self.fault(place, None, misfit.clone());
                }
                _ => self.finish_clean(place),
            }
        }
        self.report.entries = self.chain.size();
        self.report.head = self.chain.head();
        self.report.root = self.tree.as_ref().map(Frontier::root);
        self.summarise_anchors();
        self.report
    }

    fn finish_clean(&mut self, place: u64) {
        self.judge_anchors(place);
        if !self.has_trailer {
            if self.needs_trailer {
                let misfit = Misfit::new(Code::TrailerMissing, "a trailer", "the end of the file");
                self.fault(place, None, misfit);
            } else {
                self.end_batch(place, None);
            }
        }
        if self.tree.is_some() {
            if let Some(first) = self.losses.unresolved() {
                let expected = "an entry that resolves the loss";
                let misfit = Misfit::new(Code::GapUnresolved, expected, "none");
                self.fault(place, Some(first), misfit);
            }
            if let Some(by) = self.claims.first_from(self.chain.size()) {
                let expected = "the entry that erased a payload";
                let misfit = Misfit::new(Code::Erasure, expected, "the end of the file");
                self.fault(place, Some(by), misfit);
            }
        }
        if self.chain.is_exact() {
            for held in self.held.clone().into_iter().rev() {
                let expected = format!("at least {} entries", held.size());
                let found = self.chain.size().to_string();
                self.fault(place, None, Misfit::new(Code::AnchorAhead, expected, found));
            }
        }
    }

    fn summarise_anchors(&mut self) {
        for held in std::mem::take(&mut self.held) {
            let anchor = Anchor::Checkpoint(held.size(), held.root());
            self.report.anchors.push(Anchored { anchor, size: None });
        }
        if let Some(id) = self.anchors.chain_id {
            self.report.anchors.push(Anchored { anchor: Anchor::ChainId(id), size: Some(1) });
        }
        for id in &self.anchors.keys {
            let signed = self.vouched.get(id).map(|sequence| sequence.saturating_add(1));
            let size = signed.max(self.stated.get(id).copied());
            self.report.anchors.push(Anchored { anchor: Anchor::Key(*id), size });
        }
    }
}

fn is_signed(entry: &Checked, key: &PublicKey) -> bool {
    match entry.signed {
        Signed::Accepted | Signed::Vouched => true,
        Signed::False => false,
        Signed::Deferred => key.accepts(Purpose::Entry, &entry.link.digest, &entry.signature),
    }
}

#[cfg(feature = "std")]
fn decide(waiting: Vec<&mut Checked>, key: &PublicKey) {
    use crate::verify::batch::{self, Claim};

    let claims: Vec<_> = waiting
        .iter()
        .map(|entry| Claim { key, digest: entry.link.digest, signature: entry.signature })
        .collect();
    let accepted = batch::verify(&claims);
    for (entry, accepted) in waiting.into_iter().zip(accepted) {
        entry.signed = if accepted { Signed::Accepted } else { Signed::False };
    }
}

impl Trial<'_> {
    /// The payload of an entry of a reserved type, parsed; the error says what is wrong with it.
    fn reserved(&self, sequence: u64) -> Result<Reserved, String> {
        match self.block.parse(self.raw) {
            Ok(Frame::Entry(written)) => {
                Reserved::parse(&written.fields.event_type, &written.part, sequence)
            }
            _ => Err("no entry".to_owned()),
        }
    }
}
