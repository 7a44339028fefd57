//! Snapshots: what a projection had come to at an entry, so that a replay need not begin at entry 0.
//!
//! A snapshot is never believed over the chain. It is signed by a key that may sign checkpoints, and says of which entry, by its
//! digest, it is the state: whoever can write to the folder can take it away, and do no more. What cannot be used is not used, and no
//! error. The normative text is `spec/context.md`.

mod folder;

use crate::codec::{DecodeError, Reader, Writer, len_u64};
use crate::context::Context;
use crate::digest::Digest;
use crate::key::{KeyId, Purpose, Signature};
use crate::keyring::Keyring;
use crate::limit::SEQUENCE_MAX;
use crate::projection::Projection;
use crate::reserved::Reason;
use crate::signer::{Signer, SignerError, Statement};

pub(crate) use crate::snapshot::folder::{Snapshots, is_kept};

/// Entries from one snapshot to the next, where the chain is young.
pub const EVERY: u64 = 8192;
/// Bytes of a state. A larger one is not kept: it would cost more than it saves.
pub const STATE_MAX: usize = 64 << 20;

/// Before everything else in a file.
const DOMAIN: &str = "sigchain1/snapshot\0";
/// Bytes of a file beside the state, at most.
const HEAD_MAX: usize = 512;

/// A projection whose state can be kept.
pub trait Kept: Projection + Clone + Default + Send + 'static {
    /// Names it: 1 to 32 lower-case letters, digits and hyphens. Two projections of one ledger must not share it.
    const ID: &'static str;
    /// Counts what it does: with every change of what it keeps, or of how that is written, it must change.
    const VERSION: u64;

    /// One form of bytes for each state.
    fn to_bytes(&self) -> Vec<u8>;

    /// The state of these bytes, and of no others.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Kept for Context {
    const ID: &'static str = "context";
    const VERSION: u64 = crate::context::VERSION;

    fn to_bytes(&self) -> Vec<u8> {
        self.encode().into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        // Whoever signed it encoded it; to do that once more only to compare would cost as much again.
        Self::read(str::from_utf8(bytes).ok()?).ok()
    }
}

/// Of what a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The chain.
    pub chain_id: Digest,
    /// The last entry that is in it.
    pub sequence: u64,
    /// Its digest, on which by the links of the chain all entries before it hang.
    pub digest: Digest,
}

/// A state that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    subject: Subject,
    projection: String,
    version: u64,
    state: Vec<u8>,
    signer: KeyId,
    signature: Signature,
}

/// Why a snapshot is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unused {
    /// It is not signed, or by nobody who may sign checkpoints of its size.
    Signer,
    /// It is of another chain, another entry, or another place.
    Subject,
    /// It is of another projection, or another version of it, or its state cannot be read.
    Projection,
}

impl Unused {
    /// In words.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Signer => "not signed by a key that may sign checkpoints of its size",
            Self::Subject => "of another chain or entry",
            Self::Projection => "of another projection or version",
        }
    }
}

impl Snapshot {
    /// Keeps a state. Fails with the signer.
    pub fn make<P: Kept>(
        subject: Subject,
        state: &P,
        signer: &dyn Signer,
    ) -> Result<Self, SignerError> {
        let (projection, state) = (P::ID.to_owned(), state.to_bytes());
        let digest = statement(&subject, &projection, P::VERSION, &state, &signer.public().id());
        let asked = Statement::Digest(Purpose::Snapshot, &digest);
        let signature = signer.sign(&asked)?;
        if !asked.is_signed_by(signer.public(), &signature) {
            return Err(SignerError::new("expected its signature, found another's"));
        }
        let (version, signer) = (P::VERSION, signer.public().id());
        Ok(Self { subject, projection, version, state, signer, signature })
    }

    /// Bytes of the state.
    pub fn size(&self) -> u64 {
        len_u64(self.state.len())
    }

    /// Of what it says to be.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The state, if this is the one of that entry, by a key that this keyring has reason to believe.
    pub fn state<P: Kept>(&self, subject: &Subject, keyring: &Keyring) -> Result<P, Unused> {
        if self.subject != *subject {
            return Err(Unused::Subject);
        }
        if (&*self.projection, self.version) != (P::ID, P::VERSION) {
            return Err(Unused::Projection);
        }
        let size = subject.sequence.saturating_add(1);
        // A key that was lost or stolen may sign anything, under any date.
        let is_safe = |reason: Option<Reason>| matches!(reason, None | Some(Reason::Superseded));
        let key = keyring.get(&self.signer);
        let key = key.filter(|key| key.may_seal(size) && is_safe(key.reason));
        let key = key.ok_or(Unused::Signer)?;
        let (projection, state) = (&self.projection, &self.state);
        let digest = statement(subject, projection, self.version, state, &self.signer);
        if !key.public.accepts(Purpose::Snapshot, &digest, &self.signature) {
            return Err(Unused::Signer);
        }
        P::from_bytes(state).ok_or(Unused::Projection)
    }

    /// The bytes of its file.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::over(Vec::with_capacity(self.state.len().saturating_add(HEAD_MAX)));
        let Subject { chain_id, sequence, digest } = &self.subject;
        w.array(9).text(DOMAIN).bytes(chain_id.as_bytes()).uint(*sequence);
        w.bytes(digest.as_bytes()).text(&self.projection).uint(self.version);
        w.bytes(&self.state).bytes(self.signer.as_bytes()).bytes(self.signature.as_bytes());
        w.into_bytes()
    }

    /// The snapshot in a file, whoever made it.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(bytes);
        r.array_exact(9)?;
        if r.text()? != DOMAIN {
            return Err(r.wrong("a snapshot of version 1", "something else"));
        }
        let chain_id = Digest::new(r.bytes_exact()?);
        let sequence = r.uint_max(SEQUENCE_MAX)?;
        let digest = Digest::new(r.bytes_exact()?);
        let (projection, version) = (r.text()?.to_owned(), r.uint()?);
        let state = r.bytes()?.to_owned();
        let signer = KeyId::new(r.bytes_exact()?);
        let signature = Signature::new(r.bytes_exact()?);
        r.finish()?;
        let subject = Subject { chain_id, sequence, digest };
        Ok(Self { subject, projection, version, state, signer, signature })
    }
}

/// What is signed.
fn statement(
    subject: &Subject,
    projection: &str,
    version: u64,
    state: &[u8],
    signer: &KeyId,
) -> Digest {
    let Subject { chain_id, sequence, digest } = subject;
    let mut w = Writer::new();
    w.array(8).text(DOMAIN).bytes(chain_id.as_bytes()).uint(*sequence).bytes(digest.as_bytes());
    w.text(projection).uint(version).bytes(Digest::of(&[state]).as_bytes());
    w.bytes(signer.as_bytes());
    Digest::of_cbor(&w)
}
