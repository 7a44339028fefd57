//! Projections: folds over entries, the same wherever the entries come from.

use crate::digest::Digest;
use crate::entry::Fields;
use crate::payload::Part;

/// An entry as a projection sees it: linked, whether or not it is signed yet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Item<'i> {
    /// The chain that it belongs to. Within entry 0, too, the id that it gives the chain.
    pub chain_id: Digest,
    /// The sixteen fields.
    pub fields: &'i Fields<'i>,
    /// What there is of its payload.
    pub part: &'i Part<'i>,
    /// Its digest, if that was needed before.
    known: Option<Digest>,
}

impl<'i> Item<'i> {
    /// An entry of a chain.
    pub fn new(chain_id: Digest, fields: &'i Fields<'i>, part: &'i Part<'i>) -> Self {
        Self { chain_id, fields, part, known: None }
    }

    /// The same, where its digest is known already.
    pub(crate) fn with_digest(self, digest: Digest) -> Self {
        Self { known: Some(digest), ..self }
    }

    /// Its digest, if it is known already.
    pub(crate) fn known(&self) -> Option<Digest> {
        self.known
    }

    /// Its digest. Computed only here: few projections ask for it, and it costs as much as all else about reading an entry.
    pub fn digest(&self) -> Digest {
        self.known.unwrap_or_else(|| {
            let is_genesis = self.fields.sequence == 0;
            self.fields.digest(if is_genesis { &Digest::ZERO } else { &self.chain_id })
        })
    }
}

/// A fold over entries. It must depend on nothing but the items, in their order: the same chain and point give the
/// same state on every machine.
pub trait Projection {
    /// Takes the next entry into the state. Must not panic: a ledger that folds it refuses to go on.
    fn apply(&mut self, item: &Item<'_>);
}

impl Projection for () {
    fn apply(&mut self, _: &Item<'_>) {}
}
