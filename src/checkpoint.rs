//! Checkpoints, seals: signed statements about the whole of a chain at one size.
//!
//! A checkpoint is a C2SP signed note, so that witnesses and auditors' tools that know nothing of sigchain can hold it. A
//! seal says more (head, frontier, keyring) to those who know the format. Both are made of durable entries only.

use crate::codec::{DecodeError, Reader, Writer};
use crate::digest::Digest;
use crate::key::{KeyId, PublicKey, PublicKeyError, Purpose, Signature, SigningKey};
use crate::limit::{SEQUENCE_MAX, SIZE_MAX};
use crate::signer::{Signer, SignerError, Statement};
use crate::stamp::Stamp;
use crate::text;
use crate::tree;

/// Bytes of a note.
pub const NOTE_MAX: usize = 65_536;
/// Signature lines of a note.
pub const LINES_MAX: usize = 16;

const DASH: &str = "\u{2014} ";

/// One signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// A signed note over origin, size and root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Digest,
    lines: Vec<Line>,
}

/// What a keyring makes of a checkpoint's signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Signed by these keys, and by none falsely.
    Accepted(Vec<KeyId>),
    /// A line names one of the keys and is not its signature.
    False,
    /// No line names any of the keys.
    NoneKnown,
}

impl Checkpoint {
    /// Signs a statement that the chain of this origin has this root at this size.
    ///
    /// What could not be read back as this statement (a line feed in the origin, a size of 0) gets no signature.
    pub fn sign(origin: &str, size: u64, root: Digest, key: &SigningKey) -> Self {
        let mut checkpoint = Self::unsigned(origin, size, root);
        if checkpoint.is_statement() {
            let signature = key.sign_note(&checkpoint.text());
            checkpoint.add(key.public(), &signature);
        }
        checkpoint
    }

    /// As `sign`, by whoever holds the key.
    pub fn by_signer(
        origin: &str,
        size: u64,
        root: Digest,
        signer: &dyn Signer,
    ) -> Result<Self, SignerError> {
        let mut checkpoint = Self::unsigned(origin, size, root);
        if !checkpoint.is_statement() {
            return Err(SignerError::new("no note can hold this origin or this size"));
        }
        let text = checkpoint.text();
        let statement = Statement::Note(&text);
        let signature = signer.sign(&statement)?;
        if !statement.is_signed_by(signer.public(), &signature) {
            return Err(SignerError::new("a signature that its own key does not accept"));
        }
        checkpoint.add(signer.public(), &signature);
        Ok(checkpoint)
    }

    fn unsigned(origin: &str, size: u64, root: Digest) -> Self {
        Self { origin: origin.to_owned(), size, root, lines: Vec::new() }
    }

    /// Whether it could be read back.
    fn is_statement(&self) -> bool {
        let is_line = !self.origin.is_empty() && !self.origin.bytes().any(|b| b < b' ');
        is_line && (1..=SIZE_MAX).contains(&self.size)
    }

    fn add(&mut self, key: &PublicKey, signature: &Signature) {
        self.lines.push(Line {
            name: self.origin.clone(),
            key_id: note_key_id(&self.origin, key),
            signature: signature.as_bytes().to_vec(),
        });
    }

    /// The chain that it is about, `NAME/CHAINID`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree over them.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// Signature lines.
    pub fn signatures(&self) -> usize {
        self.lines.len()
    }

    fn text(&self) -> String {
        let root = text::base64(self.root.as_bytes());
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// The note.
    pub fn encode(&self) -> String {
        let mut note = self.text();
        note.push('\n');
        for line in &self.lines {
            let bytes = [&line.key_id[..], &line.signature].concat();
            for part in [DASH, &line.name, " ", &text::base64(&bytes), "\n"] {
                note.push_str(part);
            }
        }
        note
    }

    /// Parses a note that is a checkpoint, strictly.
    pub fn parse(note: &[u8]) -> Result<Self, DecodeError> {
        let wrong = |at, expected, found| DecodeError::new(at, expected, found);
        if note.len() > NOTE_MAX {
            return Err(wrong(NOTE_MAX, "a note of at most 65536 bytes", "a longer one"));
        }
        let note = std::str::from_utf8(note)
            .map_err(|e| wrong(e.valid_up_to(), "UTF-8", "other bytes"))?;
        if let Some(at) = note.bytes().position(|b| b < b' ' && b != b'\n') {
            return Err(wrong(at, "no control character", "one"));
        }
        let mut lines = note.split('\n');
        let mut next = |expected| lines.next().ok_or(wrong(note.len(), expected, "the end"));
        let origin = next("an origin")?;
        if origin.is_empty() {
            return Err(wrong(0, "an origin", "an empty line"));
        }
        let size = next("a size")?;
        let size_at = origin.len() + 1;
        let parsed: u64 =
            size.parse().map_err(|_| wrong(size_at, "a size in decimal", "another text"))?;
        if parsed.to_string() != size || !(1..=SIZE_MAX).contains(&parsed) {
            return Err(wrong(size_at, "a size from 1 to 2^53", "another number"));
        }
        let root = next("a root")?;
        let root_at = size_at + size.len() + 1;
        let root: [u8; 32] = text::parse_base64(root)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(wrong(root_at, "32 bytes in base64", "another text"))?;
        let lines_at = root_at + 45;
        if !next("an empty line")?.is_empty() {
            return Err(wrong(lines_at, "an empty line", "an extension line"));
        }
        let mut signatures: Vec<&str> = lines.collect();
        if signatures.pop() != Some("") {
            return Err(wrong(note.len(), "a line feed", "the end"));
        }
        if !(1..=LINES_MAX).contains(&signatures.len()) {
            return Err(wrong(lines_at, "1 to 16 signature lines", "another number"));
        }
        let lines = signatures
            .into_iter()
            .map(|line| parse_line(line).ok_or(wrong(lines_at, "a signature line", "another line")))
            .collect::<Result<_, _>>()?;
        Ok(Self { origin: origin.to_owned(), size: parsed, root: Digest::new(root), lines })
    }

    /// Judges the signatures by the keys that may sign.
    pub fn judge<'k>(&self, keys: impl Iterator<Item = &'k PublicKey>) -> Verdict {
        let text = self.text();
        let keys: Vec<_> = keys.map(|key| (note_key_id(&self.origin, key), key)).collect();
        let mut accepted = Vec::new();
        for line in self.lines.iter().filter(|line| line.name == self.origin) {
            // The four bytes only select: if two keys share them, the line may be of either.
            let mut named = keys.iter().filter(|(id, _)| *id == line.key_id).peekable();
            if named.peek().is_none() {
                continue;
            }
            let signature = <[u8; 64]>::try_from(line.signature.as_slice()).map(Signature::new);
            let Ok(signature) = signature else { return Verdict::False };
            match named.find(|(_, key)| key.accepts_note(&text, &signature)) {
                Some((_, key)) => accepted.push(key.id()),
                None => return Verdict::False,
            }
        }
        if accepted.is_empty() { Verdict::NoneKnown } else { Verdict::Accepted(accepted) }
    }
}

fn parse_line(line: &str) -> Option<Line> {
    let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
        return None;
    }
    let bytes = text::parse_base64(signature)?;
    let (key_id, signature) = bytes.split_first_chunk::<4>()?;
    let signature = signature.to_vec();
    (!signature.is_empty()).then(|| Line { name: name.to_owned(), key_id: *key_id, signature })
}

/// The four bytes by which a note's signature line names an Ed25519 key.
fn note_key_id(name: &str, key: &PublicKey) -> [u8; 4] {
    const ED25519: &[u8] = &[0x01];
    let digest = Digest::of(&[name.as_bytes(), b"\n", ED25519, key.as_bytes()]);
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

/// The verifier key of a checkpoint key in the form that tools for signed notes read: `NAME+KEYID+BASE64`.
pub fn vkey(origin: &str, key: &PublicKey) -> String {
    let id = text::hex(&note_key_id(origin, key));
    format!("{origin}+{id}+{}", text::base64(&[&[0x01], &key.as_bytes()[..]].concat()))
}

/// Parses a verifier key into the origin that it is for and the key: `None` if it does not look like one at all.
pub fn parse_vkey(text: &str) -> Option<Result<(String, PublicKey), PublicKeyError>> {
    let (origin, rest) = text.split_once('+')?;
    let (hash, data) = rest.split_once('+')?;
    text::parse_hex::<4>(hash)?;
    let bytes = text::parse_base64(data)?;
    let parsed = match bytes.split_first() {
        Some((0x01, bytes)) => PublicKey::from_slice(bytes),
        _ => Err(PublicKeyError::new("a vkey of another algorithm")),
    };
    Some(parsed.and_then(|public| {
        // The four bytes of hash bind name and key; a vkey that was pieced together does not come out the same.
        if vkey(origin, &public) != text {
            return Err(PublicKeyError::new("a vkey whose hash is of another name or key"));
        }
        Ok((origin.to_owned(), public))
    }))
}

/// The state of a chain after `size` entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealState {
    /// Number of entries, at least 1.
    pub size: u64,
    /// Digest of the last one.
    pub head: Digest,
    /// Its stamp.
    pub stamp: Stamp,
    /// Subtree roots, from left to right.
    pub frontier: Vec<Digest>,
    /// Digest of the keyring.
    pub keyring: Digest,
    /// The ledger's own count of writers.
    pub epoch: u64,
    /// Whether the ledger refuses to go on.
    pub quarantined: bool,
}

/// A signed statement about the whole state of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// What it says.
    pub state: SealState,
    /// The key that signed.
    pub signer: KeyId,
    /// Its signature, not yet judged.
    pub signature: Signature,
}

impl Seal {
    /// A seal over the state of a chain, with a signature that was made elsewhere.
    pub fn new(state: SealState, signer: KeyId, signature: Signature) -> Self {
        Self { state, signer, signature }
    }

    /// Signs the state of a chain.
    pub fn sign(state: SealState, chain_id: &Digest, key: &SigningKey) -> Self {
        let statement = state.statement(chain_id, &key.id());
        Self { signer: key.id(), signature: key.sign(Purpose::Seal, &statement), state }
    }

    /// Whether this key signed it for this chain.
    #[must_use = "a signature that nobody looks at proves nothing"]
    pub fn is_signed_by(&self, key: &PublicKey, chain_id: &Digest) -> bool {
        let statement = self.state.statement(chain_id, &self.signer);
        key.id() == self.signer && key.accepts(Purpose::Seal, &statement, &self.signature)
    }

    /// Writes the body of its frame.
    pub fn encode(&self, w: &mut Writer) {
        w.array(9);
        self.state.encode(w);
        w.bytes(self.signer.as_bytes()).bytes(self.signature.as_bytes());
    }

    /// Reads the body of its frame.
    pub fn parse(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array_exact(9)?;
        let start = r.at();
        let size = r.uint_max(SIZE_MAX)?;
        if size == 0 {
            return Err(DecodeError::new(start, "a size of at least 1", "0"));
        }
        let head = Digest::new(r.bytes_exact()?);
        let stamp = Stamp::new(r.uint()?);
        let len = tree::split_len(0, size);
        r.array_exact(crate::codec::len_u64(len))?;
        let frontier =
            (0..len).map(|_| r.bytes_exact().map(Digest::new)).collect::<Result<_, _>>()?;
        let keyring = Digest::new(r.bytes_exact()?);
        let epoch = r.uint_max(SEQUENCE_MAX)?;
        let quarantined = r.bool()?;
        let state = SealState { size, head, stamp, frontier, keyring, epoch, quarantined };
        let signer = KeyId::new(r.bytes_exact()?);
        Ok(Self { state, signer, signature: Signature::new(r.bytes_exact()?) })
    }
}

impl SealState {
    fn encode(&self, w: &mut Writer) {
        w.uint(self.size).bytes(self.head.as_bytes()).uint(self.stamp.as_u64());
        w.array(self.frontier.len());
        for hash in &self.frontier {
            w.bytes(hash.as_bytes());
        }
        w.bytes(self.keyring.as_bytes()).uint(self.epoch).bool(self.quarantined);
    }

    /// What a seal's signature is over.
    pub fn statement(&self, chain_id: &Digest, signer: &KeyId) -> Digest {
        let mut w = Writer::new();
        w.array(10).text("sigchain1/seal\0").bytes(chain_id.as_bytes());
        self.encode(&mut w);
        w.bytes(signer.as_bytes());
        Digest::of_cbor(&w)
    }
}
