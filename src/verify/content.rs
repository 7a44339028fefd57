//! The content phase: what each frame of a block shows by itself, given keys. Runs on any core, in any order.

use std::collections::BTreeMap;

use crate::chain::Link;
use crate::chainfile::{Block, RawFrame};
use crate::digest::Digest;
use crate::fault::{Code, Misfit};
use crate::frame::{Frame, Kind, Written};
use crate::key::{KeyId, PublicKey, Signature};
use crate::payload::{Part, Presence};
use crate::tree;

/// Public keys by id. An id never changes its key, so a copy that lacks the newest is only slower.
pub(super) type Keys = BTreeMap<KeyId, PublicKey>;

/// What is known of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// Accepted.
    Accepted,
    /// The key was not known here; whoever knows it must decide.
    Deferred,
    /// Refused.
    False,
    /// Not looked at: a checkpoint vouches for it.
    Vouched,
}

/// What the chain phase needs of an entry.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) link: Link,
    pub(super) signature: Signature,
    pub(super) signed: Signed,
    pub(super) leaf: Digest,
    pub(super) left: u16,
    pub(super) presence: Presence,
    pub(super) erased_by: Option<u64>,
    pub(super) payload: Option<Misfit>,
}

/// What became of one frame.
///
/// Not boxed: a box made by one thread and dropped by another costs more than the room.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are entries")]
pub(super) enum Item {
    Entry(Checked),
    /// A header where none may be.
    Header,
    /// Any other kind, parsed without fault; there are few, and the chain phase parses them again.
    Other,
    Unusable(Misfit),
}

/// Checks all frames of a block of the chain with this id. Signatures of entries below `vouched` are left alone.
pub(super) fn check(block: &Block, chain_id: &Digest, keys: &Keys, vouched: u64) -> Vec<Item> {
    let mut items: Vec<Item> =
        block.frames().iter().map(|raw| check_frame(block, raw, chain_id)).collect();
    for item in &mut items {
        if let Item::Entry(entry) = item
            && entry.link.sequence < vouched
        {
            entry.signed = Signed::Vouched;
        }
    }
    check_signatures(&mut items, keys);
    items
}

fn check_frame(block: &Block, raw: &RawFrame, chain_id: &Digest) -> Item {
    if raw.kind == Some(Kind::Header) {
        return Item::Header;
    }
    match block.parse(raw) {
        Ok(Frame::Entry(written)) => Item::Entry(check_entry(&written, chain_id)),
        Ok(_) => Item::Other,
        Err(misfit) => Item::Unusable(misfit),
    }
}

/// Everything about an entry but its signature.
pub(super) fn check_entry(written: &Written<'_>, chain_id: &Digest) -> Checked {
    let fields = &written.fields;
    let digest = fields.digest(chain_id);
    Checked {
        link: Link::new(fields, digest),
        signature: written.signature,
        signed: Signed::Deferred,
        leaf: tree::leaf_hash(&digest, &written.signature),
        left: written.left,
        presence: written.part.presence(),
        erased_by: match written.part {
            Part::Erased(by) => Some(by),
            _ => None,
        },
        payload: check_payload(written),
    }
}

fn check_payload(written: &Written<'_>) -> Option<Misfit> {
    let fields = &written.fields;
    if let Part::Erased(by) = written.part
        && by <= fields.sequence
    {
        let expected = "a later entry that erased it";
        return Some(Misfit::new(Code::PayloadMismatch, expected, format!("entry {by}")));
    }
    let found = written.part.commitment()?;
    (found != fields.payload_hash).then(|| {
        let expected = fields.payload_hash.to_string();
        Misfit::new(Code::PayloadMismatch, expected, found.to_string())
    })
}

#[cfg(feature = "std")]
fn check_signatures(items: &mut [Item], keys: &Keys) {
    use crate::verify::batch::{self, Claim};

    let mut claims = Vec::with_capacity(items.len());
    let mut claimants = Vec::with_capacity(items.len());
    for item in items {
        let Item::Entry(entry) = item else { continue };
        if entry.signed == Signed::Vouched {
            continue;
        }
        let Some(key) = keys.get(&entry.link.signer) else { continue };
        claims.push(Claim { key, digest: entry.link.digest, signature: entry.signature });
        claimants.push(entry);
    }
    for (entry, accepted) in claimants.into_iter().zip(batch::verify(&claims)) {
        entry.signed = if accepted { Signed::Accepted } else { Signed::False };
    }
}

#[cfg(not(feature = "std"))]
fn check_signatures(items: &mut [Item], keys: &Keys) {
    use crate::key::Purpose;

    for item in items {
        let Item::Entry(entry) = item else { continue };
        if entry.signed == Signed::Vouched {
            continue;
        }
        let Some(key) = keys.get(&entry.link.signer) else { continue };
        let accepted = key.accepts(Purpose::Entry, &entry.link.digest, &entry.signature);
        entry.signed = if accepted { Signed::Accepted } else { Signed::False };
    }
}
