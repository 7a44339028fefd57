//! A chain that is read from a store and verified, entry by entry, before a ledger goes on with it.

use crate::chain::{Before, Candidate, Chain, Head, Link};
use crate::checkpoint::Seal;
use crate::digest::Digest;
use crate::entry::Fields;
use crate::error::OpenError;
use crate::fault::{Code, Misfit};
use crate::frame::{Frame, Kind, Written};
use crate::id::EventId;
use crate::key::{PublicKey, Purpose};
use crate::keyring;
use crate::ledger::halt::Resolution;
use crate::limit;
use crate::quarantine::{DISMISSED, OPEN, RECONCILED};
use crate::reserved::Reserved;
use crate::segment::{Needed, Remains};
use crate::tree::{self, Frontier};

/// The type of the entry that says that another writer begins.
pub(super) const EPOCH: &str = "epoch.begun";

/// An entry whose batch goes on.
pub(super) struct Unsettled {
    fields: Fields<'static>,
    before: Option<Before>,
    digest: Digest,
    leaf: Digest,
}

/// A chain while it is read and verified.
#[derive(Default)]
pub(super) struct Opening {
    pub(super) chain: Option<Chain>,
    pub(super) tree: Frontier,
    /// The entries of the last batch, as long as it goes on.
    pub(super) open: Vec<Unsettled>,
    /// Entries that may have changed the keyring, or list what was abandoned.
    pub(super) authority: Vec<Needed>,
    /// The highest count of writers that an entry states.
    pub(super) epoch: u64,
    /// Whether the chain says that it is halted.
    pub(super) halted: bool,
    /// Entries that resolve a quarantine: event, how, and number. Readers need not see them yet.
    pub(super) resolved: Vec<(EventId, Resolution)>,
    left: u16,
}

impl Opening {
    /// Begins behind a seal, with nothing but the entries that may have changed the keyring: they must come to the keyring that the seal
    /// states, and a key of it must have signed the seal. Nothing if that is not so.
    pub(super) fn behind(seal: &Seal, entries: &[(u16, Vec<u8>)]) -> Option<Self> {
        let mut opening = Self::default();
        for (left, body) in entries {
            let written = Written::parse(*left, body).ok()?;
            let sequence = written.fields.sequence;
            // Only where there is a gap: what is said of the entries right before, such as that a run of lists goes on, would be lost.
            if let Some(chain) = &mut opening.chain
                && sequence > chain.size()
            {
                chain.pass_gap(sequence);
            }
            let chain_id = opening.chain.as_ref().map_or(Digest::ZERO, Chain::id);
            let link = Link::new(&written.fields, written.fields.digest(&chain_id));
            let reserved = content(&written).ok()?;
            opening.admit(&written, &link, reserved.as_ref(), None).ok()?;
            opening.authority.push(Needed::new(sequence, reserved.as_ref()));
        }
        let state = &seal.state;
        let chain = opening.chain.as_mut()?;
        let key = chain.keyring().get(&seal.signer).filter(|key| key.may_seal(state.size))?;
        let is_signed = seal.is_signed_by(&key.public, &chain.id());
        if !is_signed || chain.keyring().digest() != state.keyring {
            return None;
        }
        let sequence = state.size.checked_sub(1)?;
        chain.resume(Head { sequence, digest: state.head, stamp: state.stamp });
        opening.tree = Frontier::from_parts(state.size, state.frontier.clone())?;
        opening.epoch = state.epoch;
        opening.halted = state.quarantined;
        Some(opening)
    }

    /// The sequence of the next entry.
    pub(super) fn next(&self) -> u64 {
        self.chain.as_ref().map_or(0, Chain::size)
    }

    /// The last entry.
    pub(super) fn head(&self) -> Option<Head> {
        self.chain.as_ref().and_then(Chain::head)
    }

    /// Takes the next entry, or says what is wrong with it and stays as it was.
    pub(super) fn take(&mut self, left: u16, body: &[u8]) -> Result<(), OpenError> {
        let sequence = self.next();
        let faulty = |misfit: Misfit| OpenError::Faulty { sequence, misfit };
        let written = Written::parse(left, body).map_err(|error| {
            let expected = format!("{} at byte {}", error.expected, error.at);
            faulty(Misfit::new(Code::EntryMalformed, expected, error.found))
        })?;
        let fields = &written.fields;
        let chain_id = self.chain.as_ref().map_or(Digest::ZERO, Chain::id);
        let digest = fields.digest(&chain_id);
        let link = Link::new(fields, digest);
        let reserved = content(&written).map_err(faulty)?;
        if self.left > 0 && left != self.left.saturating_sub(1) {
            let expected = self.left.saturating_sub(1).to_string();
            return Err(faulty(Misfit::new(Code::Batch, expected, left.to_string())));
        }
        let before = self.chain.as_ref().map(|chain| chain.before(&link));
        let needs_root = matches!(reserved, Some(Reserved::Revoke { .. }));
        let root = needs_root.then(|| self.tree.root());
        self.admit(&written, &link, reserved.as_ref(), root).map_err(faulty)?;
        self.epoch = self.epoch.max(reserved.as_ref().and_then(Reserved::epoch).unwrap_or(0));
        match &*written.fields.event_type {
            OPEN => self.halted = true,
            kind @ (RECONCILED | DISMISSED) => {
                let how = if kind == RECONCILED { "reconciled" } else { "dismissed" };
                self.halted = false;
                self.resolved.push((written.fields.event_id, (how, sequence)));
            }
            _ => {}
        }
        if link.changes_keys {
            self.authority.push(Needed::new(sequence, reserved.as_ref()));
        }
        self.left = left;
        let leaf = tree::leaf_hash(&digest, &written.signature);
        let fields = written.fields.into_owned();
        self.open.push(Unsettled { fields, before, digest, leaf });
        if left == 0 {
            for entry in self.open.drain(..) {
                self.tree.push(entry.leaf);
            }
        }
        Ok(())
    }

    /// Goes on behind entries that are not there any more. Those of a batch before it are as they are: what would have ended it is among
    /// them.
    pub(super) fn pass(&mut self, body: &[u8]) -> Result<(), String> {
        let gap = match Frame::parse(Kind::Gap, 0, body) {
            Ok(Frame::Gap(gap)) => gap,
            Ok(_) => return Err("expected a gap, found another frame".to_owned()),
            Err(error) => return Err(format!("a gap that cannot be read: {error}")),
        };
        let chain = self.chain.as_mut().ok_or("a gap before entry 0")?;
        chain.meet_gap(gap.first).map_err(|misfit| misfit.to_string())?;
        chain.pass_gap(gap.end());
        for entry in self.open.drain(..) {
            self.tree.push(entry.leaf);
        }
        self.left = 0;
        for ((_, level), hash) in tree::split(gap.first, gap.count).into_iter().zip(&gap.hashes) {
            self.tree.push_subtree(*hash, level);
        }
        Ok(())
    }

    /// Whether a seal says what the entries before it say. Behind a gap nobody knows the last of them but the seal; it is taken for what it
    /// says if the tree is the one that it states, and then [`Opening::learn`] notes it.
    pub(super) fn agrees(&self, seal: &Seal) -> bool {
        let Some(chain) = &self.chain else { return false };
        let state = &seal.state;
        let is_head = match self.head() {
            Some(head) => (head.digest, head.stamp) == (state.head, state.stamp),
            None => state.frontier == self.tree.hashes() && state.stamp > chain.stamp(),
        };
        is_head && state.size == self.next() && state.keyring == chain.keyring().digest()
    }

    /// Takes the last entry from a seal that was judged, where it is in a gap.
    pub(super) fn learn(&mut self, seal: &Seal) {
        if self.head().is_none()
            && let (Some(chain), Some(sequence)) = (&mut self.chain, seal.state.size.checked_sub(1))
        {
            let (digest, stamp) = (seal.state.head, seal.state.stamp);
            chain.resume(Head { sequence, digest, stamp });
        }
    }

    /// Takes the digest of the last entry, where that is in a gap and no seal says it, from whoever says that so many entries end in it.
    pub(super) fn end_in_gap(&mut self, (size, digest): (u64, Digest)) {
        if let Some(chain) = self.chain.as_mut().filter(|chain| chain.head().is_none())
            && let Some(sequence) = chain.size().checked_sub(1)
        {
            // The link over a gap is looked at by nobody.
            let digest = if chain.size() == size { digest } else { Digest::ZERO };
            chain.resume(Head { sequence, digest, stamp: chain.stamp() });
        }
    }

    /// `root` is that over all entries before, where a revocation needs it. Without it what the entry says of the root is not judged, as
    /// behind a seal: there is no tree, and the seal vouches for the keyring that came of it.
    fn admit(
        &mut self,
        written: &Written<'_>,
        link: &Link,
        reserved: Option<&Reserved>,
        root: Option<Digest>,
    ) -> Result<(), Misfit> {
        let signature_of = |key: &PublicKey| {
            let expected = format!("a signature by key {}", key.id());
            let accepted = key.accepts(Purpose::Entry, &link.digest, &written.signature);
            accepted.then_some(()).ok_or_else(|| Misfit::new(Code::Signature, expected, "another"))
        };
        match (&mut self.chain, reserved) {
            (Some(chain), reserved) => {
                let key = chain.signer(&link.signer, reserved)?;
                signature_of(&key)?;
                let candidate = Candidate { link: *link, reserved, root };
                let change = chain.check(&candidate)?;
                chain.commit(&candidate, change);
                Ok(())
            }
            (none, Some(reserved)) => {
                let key = keyring::genesis_signer(&link.signer, reserved)?;
                signature_of(&key)?;
                *none = Some(Chain::begin(link, reserved)?);
                Ok(())
            }
            (_, None) => {
                Err(Misfit::new(Code::Genesis, "chain.genesis", &*written.fields.event_type))
            }
        }
    }

    /// Takes back the entries of a batch that does not end. Gives their sequences and digests.
    pub(super) fn drop_open(&mut self) -> Vec<(u64, Digest)> {
        let mut dropped = Vec::new();
        while let Some(entry) = self.open.pop() {
            dropped.push((entry.fields.sequence, entry.digest));
            if let (Some(chain), Some(before)) = (&mut self.chain, entry.before) {
                chain.undo(&entry.fields, before);
            }
        }
        self.left = 0;
        let next = self.next();
        self.authority.retain(|entry| entry.sequence < next);
        dropped
    }

    /// Sequence and digest of an entry that does not belong to the chain, if a key of it has signed it and its number is issued again
    /// from here on.
    pub(super) fn stray(&self, remains: &Remains<'_>) -> Option<(u64, Digest)> {
        let Remains { fields, signature, .. } = remains;
        let chain = self.chain.as_ref().filter(|chain| fields.sequence >= chain.size())?;
        let digest = fields.digest(&chain.id());
        let key = chain.signer(&fields.signer_key_id, None).ok()?;
        let is_ours = key.accepts(Purpose::Entry, &digest, signature);
        is_ours.then_some((fields.sequence, digest))
    }
}

/// What an entry lists as abandoned.
pub(super) fn listed(left: u16, body: &[u8]) -> Vec<(u64, Digest)> {
    let content = Written::parse(left, body).ok().and_then(|written| content(&written).ok());
    match content.flatten() {
        Some(Reserved::Abandoned { entries, .. }) => entries,
        _ => Vec::new(),
    }
}

/// The payload, as far as it is there: whether it is the one committed to, and what the ledger's own says.
fn content(written: &Written<'_>) -> Result<Option<Reserved>, Misfit> {
    let fields = &written.fields;
    let found = written.part.commitment();
    if let Some(found) = found.filter(|found| *found != fields.payload_hash) {
        let expected = fields.payload_hash.to_string();
        return Err(Misfit::new(Code::PayloadMismatch, expected, found.to_string()));
    }
    if !limit::is_reserved(&fields.event_type) {
        return Ok(None);
    }
    Reserved::parse(&fields.event_type, &written.part, fields.sequence)
        .map(Some)
        .map_err(|found| Misfit::new(Code::ReservedPayload, "the payload of its type", found))
}
