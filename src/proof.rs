//! Proofs that stand alone: one entry in the tree of a checkpoint, as a C2SP `.tlog-proof` that other tools read too.

use std::fmt;

use crate::checkpoint::{Checkpoint, Verdict};
use crate::codec::DecodeError;
use crate::digest::Digest;
use crate::entry::Entry;
use crate::frame::{Frame, Written};
use crate::jsonl;
use crate::key::{KeyId, PublicKey};
use crate::text;
use crate::tree;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of a path: the depth of the largest tree.
pub const PATH_MAX: usize = 53;
/// Bytes of a proof: the longest line of JSON in base64, and room for the rest.
pub const PROOF_MAX: usize = jsonl::LINE_MAX / 3 * 4 + 128 * 1024;

/// An inclusion proof with its checkpoint, and perhaps the entry itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// The entry as a line of JSON, without line feed.
    pub entry: Option<Vec<u8>>,
    /// The entry's sequence.
    pub index: u64,
    /// The sibling hashes from the leaf up.
    pub path: Vec<Digest>,
    /// The tree's size and root, signed.
    pub checkpoint: Checkpoint,
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// No key that was given signed the checkpoint, or one did falsely.
    Checkpoint,
    /// The entry in it is not one of the chain, or stands elsewhere than the proof says.
    Entry(&'static str),
    /// The path does not lead from the entry to the root.
    Inclusion,
    /// It cannot be parsed.
    Malformed(DecodeError),
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => {
                write!(f, "expected a checkpoint signed by a key that was given, found another")
            }
            Self::Entry(what) => write!(f, "expected the entry that is proved, found {what}"),
            Self::Inclusion => {
                write!(f, "expected a path from the entry to the root, found one that misses it")
            }
            Self::Malformed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProofError {}

impl From<DecodeError> for ProofError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl Proof {
    /// A proof that `written` is in the tree of `checkpoint`.
    pub fn new(written: Written<'_>, path: Vec<Digest>, checkpoint: Checkpoint) -> Self {
        let index = written.fields.sequence;
        let mut line = jsonl::encode(&Frame::Entry(Box::new(written))).into_bytes();
        line.pop();
        Self { entry: Some(line), index, path, checkpoint }
    }

    /// The text of the proof.
    pub fn encode(&self) -> String {
        let mut out = format!("{FIRST_LINE}\n");
        if let Some(entry) = &self.entry {
            for part in ["extra ", &text::base64(entry), "\n"] {
                out.push_str(part);
            }
        }
        for part in ["index ", &self.index.to_string(), "\n"] {
            out.push_str(part);
        }
        for hash in &self.path {
            out.push_str(&text::base64(hash.as_bytes()));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.checkpoint.encode());
        out
    }

    /// Parses the text of a proof, strictly.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wrong = DecodeError::new;
        if bytes.len() > PROOF_MAX {
            return Err(wrong(PROOF_MAX, "a proof within its limit", "a longer one"));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| wrong(error.valid_up_to(), "UTF-8", "other bytes"))?;
        let (head, note) = text.split_once("\n\n").ok_or(wrong(
            bytes.len(),
            "an empty line and a checkpoint",
            "the end",
        ))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(wrong(0, FIRST_LINE, "another line"));
        }
        let at = FIRST_LINE.len() + 1;
        let entry = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => {
                let extra = text::parse_base64(extra);
                lines.next();
                Some(extra.ok_or(wrong(at, "base64", "another text"))?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.ok_or(wrong(at, "index and a number", "another line"))?;
        let parsed: u64 = index.parse().map_err(|_| wrong(at, "a number", "another text"))?;
        if parsed.to_string() != index {
            return Err(wrong(at, "a number without leading zeros", "another text"));
        }
        let path: Vec<Digest> = lines
            .map(|line| {
                let hash = text::parse_base64(line).and_then(|bytes| bytes.try_into().ok());
                hash.map(Digest::new).ok_or(wrong(at, "32 bytes in base64", "another text"))
            })
            .collect::<Result<_, _>>()?;
        if path.len() > PATH_MAX {
            return Err(wrong(at, "at most 53 hashes", "more"));
        }
        let checkpoint = Checkpoint::parse(note.as_bytes())?;
        Ok(Self { entry, index: parsed, path, checkpoint })
    }

    /// Checks that the entry which the proof holds is in a tree that one of these keys vouched for. Returns the entry and the
    /// keys. Whether the entry's own signature is accepted is another question: it needs the chain's keyring.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<(Entry<'_>, Vec<KeyId>), ProofError> {
        let Verdict::Accepted(signers) = self.checkpoint.judge(keys.iter()) else {
            return Err(ProofError::Checkpoint);
        };
        let line = self.entry.as_deref().ok_or(ProofError::Entry("none"))?;
        let Frame::Entry(written) = jsonl::parse(line)? else {
            return Err(ProofError::Entry("another frame"));
        };
        if written.fields.sequence != self.index {
            return Err(ProofError::Entry("one with another sequence"));
        }
        let chain_id =
            self.checkpoint.origin().rsplit_once('/').and_then(|(_, id)| text::parse_hex(id));
        let chain_id = chain_id.map(Digest::new);
        let chain_id = chain_id.ok_or(ProofError::Entry("a checkpoint of no chain"))?;
        let entry = written.entry(&chain_id);
        if self.index == 0 && entry.digest() != chain_id {
            return Err(ProofError::Entry("an entry 0 of another chain"));
        }
        if written.part.commitment().is_some_and(|found| found != written.fields.payload_hash) {
            return Err(ProofError::Entry("one whose payload is not the one it committed to"));
        }
        self.verify_leaf(&tree::leaf_hash(&entry.digest(), entry.signature()))?;
        Ok((entry, signers))
    }

    /// Checks that a leaf is where the proof says.
    pub fn verify_leaf(&self, leaf: &Digest) -> Result<(), ProofError> {
        let (size, root) = (self.checkpoint.size(), self.checkpoint.root());
        if tree::verify_inclusion(leaf, self.index, size, &self.path, &root) {
            Ok(())
        } else {
            Err(ProofError::Inclusion)
        }
    }
}
