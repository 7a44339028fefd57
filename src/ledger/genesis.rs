//! What a new chain begins with.

use std::sync::Arc;

use crate::digest::Digest;
use crate::key::{PublicKey, Role};
use crate::reserved::Predecessor;
use crate::signer::Signer;

/// What a new chain begins with: its name, its keys, and who may change them.
#[derive(Clone, Debug)]
pub struct Genesis {
    pub(super) name: String,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) checkpoints: Option<Arc<dyn Signer>>,
    pub(super) more: Vec<(Arc<dyn Signer>, Role)>,
    pub(super) operators: Vec<Digest>,
    pub(super) predecessor: Option<Predecessor>,
    pub(super) approvers: Vec<Arc<dyn Signer>>,
}

impl Genesis {
    /// A chain of this name (lower-case letters, digits, `.`, `-`, `/`) whose entries this signer signs.
    ///
    /// Without an operator nobody can ever end a stolen key; see [`Genesis::operator`].
    pub fn new(name: &str, signer: impl Signer + 'static) -> Self {
        Self {
            name: name.to_owned(),
            signer: Arc::new(signer),
            checkpoints: None,
            more: Vec::new(),
            operators: Vec::new(),
            predecessor: None,
            approvers: Vec::new(),
        }
    }

    /// Who signs checkpoints and seals. Better not who signs entries: then a thief needs both.
    #[must_use]
    pub fn checkpoints(self, signer: impl Signer + 'static) -> Self {
        Self { checkpoints: Some(Arc::new(signer)), ..self }
    }

    /// Another key from the beginning on: of another writer, say.
    #[must_use]
    pub fn key(mut self, signer: impl Signer + 'static, role: Role) -> Self {
        self.more.push((Arc::new(signer), role));
        self
    }

    /// An operator, whose key is kept offline and alone can revoke: at most three. The chain holds a hash of it.
    #[must_use]
    pub fn operator(mut self, key: &PublicKey) -> Self {
        self.operators.push(key.operator_hash());
        self.operators.sort_unstable();
        self
    }

    /// A succession: the chain that this one continues, as an operator of this genesis says.
    #[must_use]
    pub fn succeeding(mut self, predecessor: Predecessor, operator: impl Signer + 'static) -> Self {
        self.predecessor = Some(predecessor);
        self.approvers.push(Arc::new(operator));
        self
    }
}
