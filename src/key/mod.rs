//! Keys and signatures: Ed25519 with one acceptance rule, over keys on which every verifier agrees.
//!
//! `PublicKey` exists only for encodings that are canonical, not of small order and in the subgroup of prime order. For
//! such keys the rule of the spec (the encoding of `[S]B - [k]A` is the very bytes of R) is what OpenSSL, Go, `WebCrypto` and
//! dalek's `verify` decide. Every signature is over a prefix that names the kind of object, so that one kind is
//! never accepted as another.

mod several;

use std::fmt;
use std::hint;
use std::sync::Arc;

use curve25519_dalek::edwards::CompressedEdwardsY;
#[cfg(feature = "std")]
use curve25519_dalek::edwards::EdwardsPoint;
use ed25519_dalek::pkcs8::PrivateKeyInfoRef;
use ed25519_dalek::pkcs8::spki::der::pem::{self, LineEnding};
use ed25519_dalek::pkcs8::spki::der::zeroize::{Zeroize as _, Zeroizing};
use ed25519_dalek::{Signer as _, Verifier as _};

use crate::codec::Writer;
use crate::digest::Digest;
use crate::text;

/// The one algorithm of format version 1.
pub const ALGORITHM: &str = "ed25519";

/// Bytes of a key file, open or under a passphrase: one Ed25519 key needs some 400.
pub(crate) const KEY_FILE_MAX: usize = 4096;
/// What stands before the 32 bytes of an Ed25519 key in an SPKI: two sequences, the OID 1.3.101.112, a bit string.
const SPKI: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// The OID alone.
const OID: [u8; 3] = *b"\x2b\x65\x70";
/// What stands before the 32 secret bytes in PKCS#8 version 1: the version, the OID, an octet string in an octet string.
const PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// What a signature is for. The prefix is signed with the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// An operator's approval.
    Approval,
    /// An entry.
    Entry,
    /// A record of a quarantine.
    Finding,
    /// The proof that whoever enrols a key holds it.
    Possession,
    /// A seal.
    Seal,
    /// The state of a projection that is kept.
    Snapshot,
}

impl Purpose {
    /// The bytes before the digest. With the entry's 15, R, A and message fill exactly one block of SHA-512.
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Approval => b"sigchain/approval\0",
            Self::Entry => b"sigchain/entry\0",
            Self::Finding => b"sigchain/finding\0",
            Self::Possession => b"sigchain/possession\0",
            Self::Seal => b"sigchain/seal\0",
            Self::Snapshot => b"sigchain/snapshot\0",
        }
    }

    /// Prefix and digest, on the stack: one is made for each signature. The prefixes have at most 20 bytes.
    fn message(self, digest: &Digest) -> Message {
        let mut message = Message { bytes: [0; 52], len: 0 };
        let parts = self.prefix().iter().chain(digest.as_bytes());
        for (place, byte) in message.bytes.iter_mut().zip(parts) {
            *place = *byte;
            message.len += 1;
        }
        message
    }
}

/// What is signed.
struct Message {
    bytes: [u8; 52],
    len: usize,
}

impl Message {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
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

    /// Parses what `openssl pkey -pubout` writes: an SPKI in PEM, of this one key and nothing else.
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        const FIRST: &str = "-----BEGIN PUBLIC KEY-----";
        const LAST: &str = "-----END PUBLIC KEY-----";
        if text.contains("PRIVATE KEY-----") {
            return Err(PublicKeyError("a private key, which no verifier needs"));
        }
        let mut lines = text.lines().map(str::trim_end).skip_while(|line| line.is_empty());
        if lines.next() != Some(FIRST) {
            return Err(PublicKeyError("another first line"));
        }
        let mut base64 = String::new();
        loop {
            match lines.next() {
                Some(LAST) => break,
                Some(line) => base64.push_str(line),
                None => return Err(PublicKeyError("no end line")),
            }
        }
        if lines.any(|line| !line.is_empty()) {
            return Err(PublicKeyError("more than one key"));
        }
        let der = text::parse_base64(&base64).ok_or(PublicKeyError("text that is no base64"))?;
        let bytes = der.strip_prefix(&SPKI).ok_or(PublicKeyError("a key of another algorithm"))?;
        Self::from_slice(bytes)
    }

    /// The key in the form that [`Self::from_pem`] reads.
    pub fn to_pem(&self) -> String {
        let der = text::base64(&[&SPKI[..], self.as_bytes()].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    /// The key in what a PEM or a vkey holds. One on which verifiers disagree is none.
    pub(crate) fn from_slice(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let bytes = bytes.try_into().map_err(|_| PublicKeyError("a key of another length"))?;
        Self::from_bytes(bytes)
            .map_err(|_| PublicKeyError("a key on whose signatures verifiers disagree"))
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
        self.accepts_message(purpose.message(digest).as_bytes(), signature)
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

/// A key that can sign. Its secret is in no output of this type, and is wiped from memory when the last clone is dropped; what
/// the arithmetic of a signature leaves on the stack is not.
#[derive(Clone)]
pub struct SigningKey {
    /// In one place for all clones: each move of a value leaves a copy behind that nobody wipes.
    secret: Arc<ed25519_dalek::SigningKey>,
    public: PublicKey,
}

impl SigningKey {
    /// The key that RFC 8032 derives from 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Self::expand(seed);
        wipe_stack();
        key
    }

    #[inline(never)]
    fn expand(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = Arc::new(ed25519_dalek::SigningKey::from_bytes(seed));
        // A clamped scalar times the base point cannot fail these checks; a fault in the arithmetic can.
        let public = PublicKey::from_bytes(secret.verifying_key().as_bytes())?;
        Ok(Self { secret, public })
    }

    /// A new key from the system's randomness.
    #[cfg(feature = "std")]
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        loop {
            getrandom::fill(&mut *seed)?;
            if let Ok(key) = Self::from_seed(&seed) {
                return Ok(key);
            }
        }
    }

    /// Parses a key file: PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it: lines of 64
    /// characters, nothing before or after.
    pub fn from_pem(pem: &str) -> Result<Self, KeyFileError> {
        const NO_PEM: KeyFileError = KeyFileError("no PKCS#8 PEM with one Ed25519 private key");
        if pem.len() > KEY_FILE_MAX {
            return Err(KeyFileError("longer than a key file of one Ed25519 key"));
        }
        // The library for PEM skips what stands before the first line.
        if !pem.starts_with("-----BEGIN") {
            return Err(NO_PEM);
        }
        // Not its `from_pkcs8_pem`: where the DER is wrong, that drops the decoded bytes without wiping them.
        let mut der = Zeroizing::new([0; KEY_FILE_MAX]);
        match pem::decode(pem.as_bytes(), &mut *der) {
            Ok(("PRIVATE KEY", der)) => Self::from_pkcs8(der),
            _ => Err(NO_PEM),
        }
    }

    /// Parses the DER of a key file. It makes no copy of the secret but the key's own.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyFileError> {
        let info = PrivateKeyInfoRef::try_from(der)
            .map_err(|_| KeyFileError("no PKCS#8 PEM with one Ed25519 private key"))?;
        if info.algorithm.oid.as_bytes() != OID || info.algorithm.parameters.is_some() {
            return Err(KeyFileError("a key of another algorithm"));
        }
        let seed = match info.private_key.as_bytes() {
            [0x04, 0x20, seed @ ..] => <&[u8; 32]>::try_from(seed).ok(),
            _ => None,
        };
        let seed = seed.ok_or(KeyFileError("a secret of another length"))?;
        let key =
            Self::from_seed(seed).map_err(|_| KeyFileError("a key that cannot be enrolled"))?;
        match info.public_key {
            Some(public) if public.as_bytes() != Some(key.public.as_bytes()) => {
                Err(KeyFileError("a public half of another key"))
            }
            _ => Ok(key),
        }
    }

    /// The key file of this key. It holds the secret.
    ///
    /// Without the public half (PKCS#8 version 1): OpenSSL before 3.5 and most other tools refuse a file that has it.
    pub fn to_pem(&self) -> Result<String, KeyFileError> {
        let pem = pem::encode_string("PRIVATE KEY", LineEnding::LF, &*self.to_pkcs8());
        pem.map_err(|_| KeyFileError("a key that has no PKCS#8 form"))
    }

    /// The DER of the key file. It holds the secret, and is wiped on drop.
    pub(crate) fn to_pkcs8(&self) -> Zeroizing<[u8; 48]> {
        let mut der = Zeroizing::new([0; 48]);
        let (head, secret) = der.split_at_mut(PKCS8.len());
        head.copy_from_slice(&PKCS8);
        secret.copy_from_slice(self.secret.as_bytes());
        der
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
        Signature(self.secret.sign(purpose.message(digest).as_bytes()).to_bytes())
    }

    /// Signs the text of a note. A text with a NUL, which no note may hold, gets 64 zero bytes, which no key accepts.
    pub fn sign_note(&self, text: &str) -> Signature {
        if text.contains('\0') {
            return Signature([0; 64]);
        }
        Signature(self.secret.sign(text.as_bytes()).to_bytes())
    }
}

/// Overwrites what the calls that have just returned left of a secret on the stack. A compiler could lay frames out otherwise;
/// tests/canary.rs looks at a core file.
#[inline(never)]
fn wipe_stack() {
    let mut below = [0_u8; 12 * 1024];
    below.zeroize();
    hint::black_box(&below);
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, secret not shown)", self.public.id)
    }
}

/// Why text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKeyError(&'static str);

impl PublicKeyError {
    pub(crate) const fn new(found: &'static str) -> Self {
        Self(found)
    }

    /// What was found in its place.
    pub const fn found(&self) -> &'static str {
        self.0
    }
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a public key (PEM or vkey) of one Ed25519 key, found {}", self.0)
    }
}

impl std::error::Error for PublicKeyError {}

/// Why text is no key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFileError(&'static str);

impl KeyFileError {
    /// What was found in its place.
    pub const fn found(&self) -> &'static str {
        self.0
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a PKCS#8 PEM key file, found {}", self.0)
    }
}

impl std::error::Error for KeyFileError {}
