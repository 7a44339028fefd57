//! Receipts: what an append returns, and the reference to an entry that fits into a header.

use std::fmt;

use crate::digest::Digest;
use crate::id::EventId;
use crate::key::{KeyId, PublicKey, Purpose, Signature};
use crate::limit::SEQUENCE_MAX;
use crate::stamp::Stamp;
use crate::text;

/// Names an entry of any chain, with what another ledger needs to order its own after it.
///
/// Its text form is six parts with full stops between them; it is not signed, and a ledger that orders after it believes
/// its stamp only within the bounds of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Reference {
    /// The chain.
    pub chain_id: Digest,
    /// Place in the chain.
    pub sequence: u64,
    /// Stamp of the entry.
    pub stamp: Stamp,
    /// Its event: what an effect elsewhere names as its cause.
    pub event_id: EventId,
    /// Digest of the entry.
    pub digest: Digest,
}

/// What the text form begins with.
const MARK: &str = "sigchain1";

impl Reference {
    /// Parses the text form; nothing else is accepted.
    ///
    /// ```
    /// assert!(sigchain::receipt::Reference::parse("sigchain2").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        if parts.next()? != MARK {
            return None;
        }
        let parsed = Self {
            chain_id: Digest::parse(parts.next()?)?,
            sequence: parts.next()?.parse().ok().filter(|sequence| *sequence <= SEQUENCE_MAX)?,
            stamp: Stamp::parse_hex(parts.next()?)?,
            event_id: EventId::parse(parts.next()?)?,
            digest: Digest::parse(parts.next()?)?,
        };
        // A leading zero, hexadecimal in the place of base64url, a seventh part: what does not print as it was written is refused.
        (parsed.to_string() == text).then_some(parsed)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (chain, digest) =
            (text::base64url(self.chain_id.as_bytes()), text::base64url(self.digest.as_bytes()));
        let (sequence, stamp, event) = (self.sequence, self.stamp.hex(), self.event_id);
        write!(f, "{MARK}.{chain}.{sequence}.{stamp}.{event}.{digest}")
    }
}

impl From<Reference> for Stamp {
    fn from(reference: Reference) -> Self {
        reference.stamp
    }
}

/// That an event is in the chain, signed and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The chain.
    pub chain_id: Digest,
    /// Place in the chain.
    pub sequence: u64,
    /// Stamp of the entry.
    pub stamp: Stamp,
    /// The event.
    pub event_id: EventId,
    /// Digest of the entry.
    pub digest: Digest,
    /// The key that signed.
    pub signer: KeyId,
    /// Its signature.
    pub signature: Signature,
}

impl Receipt {
    #[cfg(feature = "std")]
    /// The receipt of an entry that is signed and durable.
    pub(crate) fn new(reference: Reference, signer: KeyId, signature: Signature) -> Self {
        let Reference { chain_id, sequence, stamp, event_id, digest } = reference;
        Self { chain_id, sequence, stamp, event_id, digest, signer, signature }
    }

    /// What another ledger needs to order after this entry; also as text for a header.
    pub fn reference(&self) -> Reference {
        let Self { chain_id, sequence, stamp, event_id, digest, .. } = *self;
        Reference { chain_id, sequence, stamp, event_id, digest }
    }

    /// Whether the digest was signed by this key for an entry.
    #[must_use = "a signature that nobody looks at proves nothing"]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.id() == self.signer && key.accepts(Purpose::Entry, &self.digest, &self.signature)
    }
}

impl From<Receipt> for Stamp {
    fn from(receipt: Receipt) -> Self {
        receipt.stamp
    }
}

impl From<&Receipt> for Stamp {
    fn from(receipt: &Receipt) -> Self {
        receipt.stamp
    }
}
