//! Signers: whoever holds a private key and can be asked to sign, in this process or outside it.
//!
//! A signer may fail, be slow or never answer; what the ledger does then is for `ledger` to say. It is given a
//! [`Statement`], not bytes, so that one that keeps rules of its own can see what it is asked for.

use std::borrow::Cow;
use std::fmt;

use crate::digest::Digest;
use crate::key::{KeyId, PublicKey, Purpose, Signature, SigningKey};

/// What a signer is asked to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Statement<'s> {
    /// A digest, for a purpose.
    Digest(Purpose, &'s Digest),
    /// The text of a signed note, without its signature lines.
    Note(&'s str),
}

impl<'s> Statement<'s> {
    /// The very bytes that Ed25519 signs.
    pub fn message(&self) -> Cow<'s, [u8]> {
        match self {
            Self::Digest(purpose, digest) => {
                Cow::Owned([purpose.prefix(), digest.as_bytes()].concat())
            }
            Self::Note(text) => Cow::Borrowed(text.as_bytes()),
        }
    }

    /// Whether `signature` is this key's over this statement.
    #[must_use = "a signature that nobody looks at proves nothing"]
    pub fn is_signed_by(&self, key: &PublicKey, signature: &Signature) -> bool {
        match self {
            Self::Digest(purpose, digest) => key.accepts(*purpose, digest, signature),
            Self::Note(text) => key.accepts_note(text, signature),
        }
    }
}

/// Why there is no signature. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerError(String);

impl SignerError {
    /// What happened, in words that may be shown to anybody.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SignerError {}

/// Digests that a signer is asked for at once, at most.
pub const SEVERAL: usize = 16;

/// Holds a private key, or reaches somebody who does.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// Signs, or says why not. May block; a ledger gives it a time and goes on without it when that has passed.
    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError>;

    /// How many digests it is best asked for at once. A ledger gathers what nobody waits for, and asks for that many in
    /// [`Signer::sign_several`]; only of signers in its process, and never for more than [`SEVERAL`].
    fn at_once(&self) -> usize {
        1
    }

    /// Signs several digests for one purpose, in order. Fewer signatures than digests come with the reason.
    fn sign_several(
        &self,
        purpose: Purpose,
        digests: &[Digest],
    ) -> (Vec<Signature>, Option<SignerError>) {
        let mut signatures = Vec::with_capacity(digests.len());
        for digest in digests {
            match self.sign(&Statement::Digest(purpose, digest)) {
                Ok(signature) => signatures.push(signature),
                Err(error) => return (signatures, Some(error)),
            }
        }
        (signatures, None)
    }

    /// Whether the key is in this process: such a signer is asked on the caller's own thread, and its signatures are verified before they
    /// are written only where that was asked for. Those of all others always are.
    fn is_in_process(&self) -> bool {
        false
    }

    /// The id of the public half.
    fn id(&self) -> KeyId {
        self.public().id()
    }
}

impl fmt::Debug for dyn Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id())
    }
}

impl Signer for SigningKey {
    fn public(&self) -> &PublicKey {
        Self::public(self)
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        match statement {
            Statement::Digest(purpose, digest) => Ok(Self::sign(self, *purpose, digest)),
            Statement::Note(text) if text.contains('\0') => {
                Err(SignerError::new("a note that holds a NUL"))
            }
            Statement::Note(text) => Ok(self.sign_note(text)),
        }
    }

    fn at_once(&self) -> usize {
        SEVERAL
    }

    fn sign_several(
        &self,
        purpose: Purpose,
        digests: &[Digest],
    ) -> (Vec<Signature>, Option<SignerError>) {
        (Self::sign_several(self, purpose, digests), None)
    }

    fn is_in_process(&self) -> bool {
        true
    }
}
