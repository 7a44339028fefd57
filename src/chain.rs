//! The chain: every rule of place, link, time and keys, and the state to apply them. Pure.
//!
//! `admit` is the one way into a chain, for writer, verifier, recovery and replay alike: nothing is ever written that
//! verification would refuse. A verifier that met a fault goes on through the methods at the end, which say what is no
//! longer known and are not for writers.

use std::borrow::Cow;

use crate::digest::Digest;
use crate::entry::{Fields, Place};
use crate::fault::{Code, Misfit};
use crate::id::EventId;
use crate::key::{KeyId, PublicKey};
use crate::keyring::{self, Asker, Change, Keyring};
use crate::limit;
use crate::reserved::{Predecessor, Reserved};
use crate::stamp::Stamp;

/// The last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its place.
    pub sequence: u64,
    /// Its digest.
    pub digest: Digest,
    /// Its stamp.
    pub stamp: Stamp,
}

/// What of an entry ties it into its chain.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Its place.
    pub sequence: u64,
    /// Digest of the entry before, as it states it.
    pub prior_hash: Digest,
    /// Its stamp.
    pub stamp: Stamp,
    /// Its own digest.
    pub digest: Digest,
    /// Its event.
    pub event_id: EventId,
    /// The key that it names.
    pub signer: KeyId,
    is_genesis: bool,
    pub(crate) is_reserved: bool,
    pub(crate) changes_keys: bool,
}

/// What a chain was before an entry was admitted, so that a writer can take the entry back.
#[cfg(feature = "std")]
#[derive(Clone, Debug)]
pub(crate) struct Before {
    stamp: Stamp,
    abandoning: Option<u64>,
    keyring: Option<Box<Keyring>>,
}

#[cfg(feature = "std")]
impl Before {
    /// Whether the entry may have changed the keyring.
    pub(crate) fn changes_keys(&self) -> bool {
        self.keyring.is_some()
    }
}

impl Link {
    /// What ties an entry with these fields and this digest into its chain.
    pub fn new(fields: &Fields<'_>, digest: Digest) -> Self {
        Self {
            sequence: fields.sequence,
            prior_hash: fields.prior_hash,
            stamp: fields.system_time,
            digest,
            event_id: fields.event_id,
            signer: fields.signer_key_id,
            is_genesis: Reserved::is_genesis_type(&fields.event_type),
            is_reserved: limit::is_reserved(&fields.event_type),
            changes_keys: changes_keys(&fields.event_type),
        }
    }
}

/// Whether an entry of this type may change which key may sign what.
pub(crate) fn changes_keys(event_type: &str) -> bool {
    matches!(event_type.split_once('.'), Some(("chain" | "key", _)))
}

/// An entry that asks to be admitted. Its signature is not looked at here: a ledger links before it signs, a verifier
/// verifies on all cores before it links.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'c> {
    /// What ties it into the chain.
    pub link: Link,
    /// Its payload, if its type is reserved and the payload is as the type wants.
    pub reserved: Option<&'c Reserved>,
    /// Root over all entries before it, if it is known; only a revocation needs it.
    pub root: Option<Digest>,
}

/// State and rules of one chain.
#[derive(Clone, Debug)]
pub struct Chain {
    id: Digest,
    name: String,
    predecessor: Option<Predecessor>,
    keyring: Keyring,
    expected: u64,
    exact: bool,
    prior: Option<Digest>,
    stamp: Stamp,
    complete: bool,
    /// Where the run of `chain.abandoned` entries began that the last entry belongs to.
    abandoning: Option<u64>,
}

impl Chain {
    /// Begins with entry 0. `reserved` is its payload.
    pub fn begin(link: &Link, reserved: &Reserved) -> Result<Self, Misfit> {
        let Reserved::Genesis { name, predecessor, .. } = reserved else {
            return Err(Misfit::new(Code::Genesis, "chain.genesis", reserved.event_type()));
        };
        keyring::genesis_signer(&link.signer, reserved)?;
        if link.sequence != 0 {
            return Err(Misfit::new(Code::Sequence, "0", link.sequence.to_string()));
        }
        if link.prior_hash != Digest::ZERO {
            let found = link.prior_hash.to_string();
            return Err(Misfit::new(Code::Link, "32 zero bytes", found));
        }
        Ok(Self {
            id: link.digest,
            name: name.clone(),
            predecessor: predecessor.clone(),
            keyring: Keyring::genesis(link.digest, link.event_id, reserved)?,
            expected: 1,
            exact: true,
            prior: Some(link.digest),
            stamp: link.stamp,
            complete: true,
            abandoning: None,
        })
    }

    /// Its id: the digest of entry 0.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Its name, from genesis.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The origin line of its checkpoints.
    pub fn origin(&self) -> String {
        format!("{}/{}", self.name, self.id)
    }

    /// The chain that this one continues.
    pub fn predecessor(&self) -> Option<&Predecessor> {
        self.predecessor.as_ref()
    }

    /// Which key may sign what.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The sequence of the next entry: the number of entries so far.
    pub fn size(&self) -> u64 {
        self.expected
    }

    /// The last entry, if it is known for sure.
    pub fn head(&self) -> Option<Head> {
        let digest = self.prior?;
        Some(Head { sequence: self.expected.checked_sub(1)?, digest, stamp: self.stamp })
    }

    /// Where the next entry goes; `None` if the last one is not known for sure.
    pub fn next(&self, stamp: Stamp, signer: KeyId) -> Option<Place> {
        let prior_hash = self.prior?;
        Some(Place { chain_id: self.id, prior_hash, sequence: self.expected, stamp, signer })
    }

    /// The last stamp: the next one must be greater.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The key that signed an entry, if it may. A `key.rotate` entry may be signed by the key that it enrols.
    pub fn signer(
        &self,
        id: &KeyId,
        reserved: Option<&Reserved>,
    ) -> Result<Cow<'_, PublicKey>, Misfit> {
        let of_rotation =
            reserved.and_then(|reserved| self.keyring.signer_of_rotation(id, reserved));
        match of_rotation {
            Some(key) => key.map(Cow::Owned),
            None => self.keyring.signer(id).map(Cow::Borrowed),
        }
    }

    /// Admits the next entry, or says what does not fit and stays as it was.
    ///
    /// A candidate of a reserved type without its payload, or a revocation as compromised without the root, is refused: what
    /// cannot be judged is not admitted.
    pub fn admit(&mut self, candidate: &Candidate<'_>) -> Result<(), Misfit> {
        let link = &candidate.link;
        self.signer(&link.signer, candidate.reserved)?;
        if link.is_reserved && candidate.reserved.is_none() {
            let expected = "the payload of a reserved type";
            return Err(Misfit::new(Code::ReservedPayload, expected, "none"));
        }
        let asks_root =
            matches!(candidate.reserved, Some(Reserved::Revoke { trusted: Some(_), .. }));
        if asks_root && candidate.root.is_none() {
            return Err(Misfit::new(Code::KeyTrusted, "the root of the entries before", "none"));
        }
        let change = self.check(candidate)?;
        self.commit(candidate, change);
        Ok(())
    }

    #[cfg(feature = "std")]
    /// What is needed to take back the entry with this link, if it is admitted next.
    pub(crate) fn before(&self, link: &Link) -> Before {
        Before {
            stamp: self.stamp,
            abandoning: self.abandoning,
            keyring: link.changes_keys.then(|| Box::new(self.keyring.clone())),
        }
    }

    #[cfg(feature = "std")]
    /// Takes an entry back that was admitted and has not left the writer. The last admitted goes first.
    pub(crate) fn undo(&mut self, fields: &Fields<'_>, before: Before) {
        self.expected = fields.sequence;
        self.prior = Some(fields.prior_hash);
        self.stamp = before.stamp;
        self.abandoning = before.abandoning;
        if let Some(keyring) = before.keyring {
            self.keyring = *keyring;
        }
    }

    /// Lets a candidate that was checked take effect.
    pub(crate) fn commit(&mut self, candidate: &Candidate<'_>, change: Change) {
        self.keyring.apply(change, candidate.link.sequence);
        let run = self.abandoning.unwrap_or(candidate.link.sequence);
        self.step(&candidate.link);
        self.abandoning =
            matches!(candidate.reserved, Some(Reserved::Abandoned { .. })).then_some(run);
    }

    /// The part of `admit` that a verifier can ask for with less than all knowledge: place and authority.
    pub(crate) fn check(&self, candidate: &Candidate<'_>) -> Result<Change, Misfit> {
        let link = &candidate.link;
        self.check_place(link)?;
        let Some(reserved) = candidate.reserved else { return Ok(Change::default()) };
        if let Reserved::Abandoned { entries, .. } = reserved {
            self.check_abandoned(link.sequence, entries)?;
        }
        let by = Asker {
            event_id: link.event_id,
            sequence: link.sequence,
            signer: link.signer,
            root: candidate.root,
        };
        self.keyring.judge(reserved, &by)
    }

    /// Abandoned are only entries whose numbers are issued again from here on: otherwise whoever forked the chain could disown one
    /// branch at any later time.
    fn check_abandoned(&self, sequence: u64, entries: &[(u64, Digest)]) -> Result<(), Misfit> {
        let from = self.abandoning.unwrap_or(sequence);
        match entries.iter().find(|(listed, _)| *listed < from) {
            None => Ok(()),
            Some((listed, _)) => {
                let expected = format!("entries from {from} on");
                Err(Misfit::new(Code::Abandoned, expected, listed.to_string()))
            }
        }
    }

    fn check_place(&self, link: &Link) -> Result<(), Misfit> {
        let found = link.sequence;
        if found < self.expected || (self.exact && found > self.expected) {
            let expected = self.expected.to_string();
            return Err(Misfit::new(Code::Sequence, expected, found.to_string()));
        }
        // Where the place is not known exactly, the link is not known either: whatever makes it so clears both.
        if let Some(prior) = self.prior
            && prior != link.prior_hash
        {
            let found = link.prior_hash.to_string();
            return Err(Misfit::new(Code::Link, prior.to_string(), found));
        }
        if link.stamp <= self.stamp {
            let expected = format!("a stamp after {}", self.stamp);
            return Err(Misfit::new(Code::Stamp, expected, link.stamp.to_string()));
        }
        if link.is_genesis {
            return Err(Misfit::new(Code::Genesis, "one genesis, at entry 0", "another"));
        }
        Ok(())
    }

    fn step(&mut self, link: &Link) {
        self.expected = link.sequence.saturating_add(1);
        self.exact = true;
        self.prior = Some(link.digest);
        self.stamp = link.stamp;
        self.abandoning = None;
    }

    /// Whether the number of entries so far is known exactly.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether every entry that could have changed the keyring was seen and in order.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Goes on behind an entry that was refused but stands where it stands: its digest is linked to all the same.
    ///
    /// For readers of files. A writer that calls it writes what verification refuses.
    pub fn pass(&mut self, link: &Link) {
        if link.sequence > self.expected || link.changes_keys {
            self.complete = false;
        }
        self.step(link);
    }

    /// Goes on behind an entry of which nothing is known but that it was there.
    pub(crate) fn pass_unusable(&mut self) {
        self.expected = self.expected.saturating_add(1);
        self.prior = None;
        self.complete = false;
        self.abandoning = None;
    }

    /// Goes on behind something of which not even the number of entries is known.
    pub(crate) fn pass_unknown(&mut self) {
        self.exact = false;
        self.prior = None;
        self.complete = false;
        self.abandoning = None;
    }

    /// Goes on behind a gap that stands for the entries up to `end`. Its place was checked. For readers of files.
    pub fn pass_gap(&mut self, end: u64) {
        self.expected = end;
        self.exact = true;
        self.prior = None;
        self.abandoning = None;
    }

    /// Goes on behind entries that a seal vouches for, which says what the last of them is. Its keyring has to be the one that the seal
    /// states.
    #[cfg(feature = "std")]
    pub(crate) fn resume(&mut self, head: Head) {
        self.expected = head.sequence.saturating_add(1);
        self.exact = true;
        self.prior = Some(head.digest);
        self.stamp = head.stamp;
        self.abandoning = None;
    }

    /// Whether a gap may begin here. Where it is refused but lies ahead, entries are missing before it, and that is noted.
    pub(crate) fn meet_gap(&mut self, first: u64) -> Result<(), Misfit> {
        if first == self.expected || (first > self.expected && !self.exact) {
            return Ok(());
        }
        if first > self.expected {
            self.complete = false;
        }
        Err(Misfit::new(Code::Sequence, self.expected.to_string(), first.to_string()))
    }
}
