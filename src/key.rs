//! Keys and signatures: Ed25519 with one acceptance rule, over keys on which every verifier agrees.
//!
//! `PublicKey` exists only for encodings that are canonical, not of small order and in the subgroup of prime order. For
//! such keys the rule of the spec (the encoding of `[S]B - [k]A` is the very bytes of R) is what OpenSSL, Go, `WebCrypto` and
//! dalek's `verify` decide. Every signature is over a prefix that names the kind of object, so that one kind is
//! never accepted as another.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
#[cfg(feature = "std")]
use curve25519_dalek::edwards::EdwardsPoint;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signer as _, Verifier as _};

use crate::codec::Writer;
use crate::digest::Digest;
use crate::text;

/// The one algorithm of format version 1.
pub const ALGORITHM: &str = "ed25519";

/// What a signature is for. The prefix is signed with the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// An operator's approval.
    Approval,
    /// An entry.
    Entry,
    /// The proof that whoever enrols a key holds it.
    Possession,
    /// A seal.
    Seal,
}

impl Purpose {
    /// The bytes before the digest. With the entry's 15, R, A and message fill exactly one block of SHA-512.
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Approval => b"sigchain/approval\0",
            Self::Entry => b"sigchain/entry\0",
            Self::Possession => b"sigchain/possession\0",
            Self::Seal => b"sigchain/seal\0",
        }
    }

    fn message(self, digest: &Digest) -> Vec<u8> {
        [self.prefix(), digest.as_bytes()].concat()
    }
}

/// What an enrolled key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// Checkpoints and seals.
    Checkpoint,
    /// Entries.
    Entry,
}

impl Role {
    /// Its name in key records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Entry => "entry",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Checkpoint, Self::Entry].into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Another encoding of the point, or no point at all.
    NotCanonical,
    /// One of the eight points whose signatures anybody can make.
    SmallOrder,
    /// A point with a part of small order: verifiers disagree about its signatures.
    Torsion,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotCanonical => "no canonical encoding of a point",
            Self::SmallOrder => "a point of small order",
            Self::Torsion => "a point outside the subgroup of prime order",
        })
    }
}

impl std::error::Error for KeyError {}

/// Names a public key: the first 16 bytes of a digest over algorithm and key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// An id that was computed elsewhere.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of the public key with these bytes.
    pub fn of(public: &[u8; 32]) -> Self {
        let mut w = Writer::new();
        w.array(3).text("sigchain1/key\0").text(ALGORITHM).bytes(public);
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            *Digest::of_cbor(&w).as_bytes();
        Self(id)
    }

    /// Parses 32 hexadecimal digits, or 22 characters of base64url.
    pub fn parse(text: &str) -> Option<Self> {
        text::parse_binary(text).map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The 64 bytes of a signature, accepted or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature from its bytes.
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Its two halves.
    pub fn halves(&self) -> ([u8; 32], [u8; 32]) {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        let (first, second) = self.0.split_at(32);
        r.copy_from_slice(first);
        s.copy_from_slice(second);
        (r, s)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", text::hex(&self.0))
    }
}

/// A public key that may be enrolled.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    #[cfg(feature = "std")]
    point: EdwardsPoint,
    key: ed25519_dalek::VerifyingKey,
}

impl PublicKey {
    /// The key with these bytes, if every verifier agrees about its signatures.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let compressed = CompressedEdwardsY(*bytes);
        let point = compressed.decompress().ok_or(KeyError::NotCanonical)?;
        if point.compress() != compressed {
            return Err(KeyError::NotCanonical);
        }
        if point.is_small_order() {
            return Err(KeyError::SmallOrder);
        }
        if !point.is_torsion_free() {
            return Err(KeyError::Torsion);
        }
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotCanonical)?;
        Ok(Self {
            id: KeyId::of(bytes),
            #[cfg(feature = "std")]
            point,
            key,
        })
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The point, for batch verification.
    #[cfg(feature = "std")]
    pub(crate) fn point(&self) -> &EdwardsPoint {
        &self.point
    }

    /// Whether `signature` is this key's, for this purpose, over this digest.
    #[must_use = "a signature that nobody looks at proves nothing"]
    pub fn accepts(&self, purpose: Purpose, digest: &Digest, signature: &Signature) -> bool {
        self.accepts_message(&purpose.message(digest), signature)
    }

    /// Whether `signature` is this key's over the text of a signed note.
    #[must_use = "a signature that nobody looks at proves nothing"]
    pub fn accepts_note(&self, text: &str, signature: &Signature) -> bool {
        !text.contains('\0') && self.accepts_message(text.as_bytes(), signature)
    }

    pub(crate) fn accepts_message(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.key.verify(message, &signature).is_ok()
    }

    /// The hash by which a chain knows this key as an operator's.
    pub fn operator_hash(&self) -> Digest {
        let mut w = Writer::new();
        w.array(3).text("sigchain1/operator\0").text(ALGORITHM).bytes(self.as_bytes());
        Digest::of_cbor(&w)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", text::hex(self.as_bytes()))
    }
}

/// A key that can sign. Its secret is in no output of this type, and is wiped from memory on drop.
#[derive(Clone)]
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    public: PublicKey,
}

impl SigningKey {
    /// The key that RFC 8032 derives from 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        // A clamped scalar times the base point cannot fail these checks; a fault in the arithmetic can.
        let public = PublicKey::from_bytes(secret.verifying_key().as_bytes())?;
        Ok(Self { secret, public })
    }

    /// A new key from the system's randomness.
    #[cfg(feature = "std")]
    pub fn generate() -> Result<Self, getrandom::Error> {
        loop {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)?;
            if let Ok(key) = Self::from_seed(&seed) {
                return Ok(key);
            }
        }
    }

    /// Parses a key file: PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it: lines of 64
    /// characters, nothing before or after.
    pub fn from_pem(pem: &str) -> Result<Self, KeyFileError> {
        const LIMIT: usize = 4096;
        if pem.len() > LIMIT {
            return Err(KeyFileError("longer than a key file of one Ed25519 key"));
        }
        let secret = ed25519_dalek::SigningKey::from_pkcs8_pem(pem)
            .map_err(|_| KeyFileError("no PKCS#8 PEM with one Ed25519 private key"))?;
        let public = PublicKey::from_bytes(secret.verifying_key().as_bytes())
            .map_err(|_| KeyFileError("a key that cannot be enrolled"))?;
        Ok(Self { secret, public })
    }

    /// The key file of this key. It holds the secret.
    ///
    /// Without the public half (PKCS#8 version 1): OpenSSL before 3.5 and most other tools refuse a file that has it.
    pub fn to_pem(&self) -> Result<String, KeyFileError> {
        let key = KeypairBytes { secret_key: self.secret.to_bytes(), public_key: None };
        let pem = key.to_pkcs8_pem(LineEnding::LF);
        pem.map(|pem| pem.to_string()).map_err(|_| KeyFileError("a key that has no PKCS#8 form"))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The id of the public half.
    pub fn id(&self) -> KeyId {
        self.public.id
    }

    /// Signs a digest for a purpose.
    pub fn sign(&self, purpose: Purpose, digest: &Digest) -> Signature {
        Signature(self.secret.sign(&purpose.message(digest)).to_bytes())
    }

    /// Signs the text of a note. A text with a NUL, which no note may hold, gets 64 zero bytes, which no key accepts.
    pub fn sign_note(&self, text: &str) -> Signature {
        if text.contains('\0') {
            return Signature([0; 64]);
        }
        Signature(self.secret.sign(text.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, secret not shown)", self.public.id)
    }
}

/// Why text is no key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFileError(&'static str);

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a PKCS#8 PEM key file, found {}", self.0)
    }
}

impl std::error::Error for KeyFileError {}
