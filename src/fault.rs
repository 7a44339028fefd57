//! Faults: what is wrong with the data, with its place. Not errors: those say why a call could not be done.

use std::fmt;

use crate::text;

/// Characters of a text in a fault.
const TEXT_MAX: usize = 200;

/// The two phases of verification, reported apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// What one frame shows by itself.
    Content,
    /// What it is in its place.
    Chain,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Content => "content",
            Self::Chain => "chain",
        })
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $phase:ident;)+) => {
        /// The stable code of a fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as it is printed.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The phase that finds it.
            pub const fn phase(self) -> Phase {
                match self { $(Self::$name => Phase::$phase,)+ }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    /// Entries that are said to be abandoned, but are not those whose numbers are issued again here.
    Abandoned = "ABANDONED", Chain;
    /// The file ends before the checkpoint that was held: it was cut or rolled back.
    AnchorAhead = "ANCHOR_AHEAD", Chain;
    /// The file is of another chain than the one that was named.
    AnchorChain = "ANCHOR_CHAIN", Chain;
    /// The entries are not those that the held checkpoint covers: history was rewritten.
    AnchorRoot = "ANCHOR_ROOT", Chain;
    /// The held checkpoint is not signed by a key that could sign it.
    AnchorSignature = "ANCHOR_SIGNATURE", Chain;
    /// An approval is missing, wrong, used before, or not by one who may approve.
    Approval = "APPROVAL", Chain;
    /// Entries of one batch do not follow each other down to its end.
    Batch = "BATCH", Chain;
    /// The header names another chain than entry 0 does.
    ChainId = "CHAIN_ID", Chain;
    /// A checkpoint of another chain.
    CheckpointOrigin = "CHECKPOINT_ORIGIN", Chain;
    /// A checkpoint over other entries than these.
    CheckpointRoot = "CHECKPOINT_ROOT", Chain;
    /// A checkpoint that no active checkpoint key signed, or with a false signature.
    CheckpointSignature = "CHECKPOINT_SIGNATURE", Content;
    /// A checkpoint over another number of entries than stand before it, or not above the one before.
    CheckpointSize = "CHECKPOINT_SIZE", Chain;
    /// An entry that cannot be parsed.
    EntryMalformed = "ENTRY_MALFORMED", Content;
    /// An event id that an entry before has: one event was recorded twice, or two events under one name.
    EventId = "EVENT_ID", Chain;
    /// A payload that is said to be erased by an entry that does not say so.
    Erasure = "ERASURE", Chain;
    /// A damaged or unknown header.
    FileHeader = "FILE_HEADER", Content;
    /// Not a chain file and not JSON lines.
    FileMagic = "FILE_MAGIC", Content;
    /// Bytes after the trailer.
    FileTrailing = "FILE_TRAILING", Content;
    /// A format version that this verifier does not know.
    FileVersion = "FILE_VERSION", Content;
    /// A frame whose body is not what was written.
    FrameBody = "FRAME_BODY", Content;
    /// A frame that is cut off by the end of the file.
    FrameCut = "FRAME_CUT", Content;
    /// A frame head that is not what was written; nothing after it can be read.
    FrameHead = "FRAME_HEAD", Content;
    /// A gap, checkpoint, seal, attachment or trailer that cannot be parsed.
    FrameMalformed = "FRAME_MALFORMED", Content;
    /// A frame where it may not stand.
    FrameOrder = "FRAME_ORDER", Chain;
    /// A lost range that no entry resolves.
    GapUnresolved = "GAP_UNRESOLVED", Chain;
    /// Entry 0 is no genesis, or another entry is.
    Genesis = "GENESIS", Chain;
    /// Entries beyond the last trustworthy size of a stolen key: who made them cannot be known.
    KeyCompromised = "KEY_COMPROMISED", Chain;
    /// A key that is enrolled already.
    KeyDuplicate = "KEY_DUPLICATE", Chain;
    /// Signed by a key that had ended.
    KeyEnded = "KEY_ENDED", Chain;
    /// A public key on whose signatures verifiers disagree, or none at all.
    KeyInvalid = "KEY_INVALID", Chain;
    /// No proof that whoever enrolled the key holds it.
    KeyPossession = "KEY_POSSESSION", Chain;
    /// Signed by a key of another role.
    KeyRole = "KEY_ROLE", Chain;
    /// A change of keys that their state does not allow.
    KeyState = "KEY_STATE", Chain;
    /// The last trustworthy size and root of a stolen key are not of this chain.
    KeyTrusted = "KEY_TRUSTED", Chain;
    /// Signed by a key that the chain has not enrolled.
    KeyUnknown = "KEY_UNKNOWN", Chain;
    /// Not linked to the entry before: entries were changed, moved, inserted or deleted.
    Link = "LINK", Chain;
    /// The payload is not the one that the entry committed to.
    PayloadMismatch = "PAYLOAD_MISMATCH", Content;
    /// An entry of the ledger's own without the payload that its type must have.
    ReservedPayload = "RESERVED_PAYLOAD", Content;
    /// A seal about another state than the entries before it show.
    SealMismatch = "SEAL_MISMATCH", Chain;
    /// A seal that no active checkpoint key signed.
    SealSignature = "SEAL_SIGNATURE", Content;
    /// Entries are missing, doubled or out of order.
    Sequence = "SEQUENCE", Chain;
    /// The signature is not over this content by this key.
    Signature = "SIGNATURE", Content;
    /// A stamp that is not after the one before.
    Stamp = "STAMP", Chain;
    /// The trailer counts another number of frames.
    TrailerCount = "TRAILER_COUNT", Chain;
    /// The file ends without a trailer: it was cut.
    TrailerMissing = "TRAILER_MISSING", Chain;
}

impl Code {
    /// The code of that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// Whether the file could not be read as one of ours at all.
    pub fn is_unreadable(self) -> bool {
        matches!(self, Self::FileHeader | Self::FileMagic | Self::FileVersion)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What does not fit, without its place: rules know what is wrong, readers know where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which rule.
    pub code: Code,
    /// What the rule wants.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Misfit {
    /// A misfit. Both texts may come from a file: they are shortened, and nothing in them can act on a terminal.
    pub fn new(code: Code, expected: impl AsRef<str>, found: impl AsRef<str>) -> Self {
        let shown = |text: &str| text::shown(text, TEXT_MAX);
        Self { code, expected: shown(expected.as_ref()), found: shown(found.as_ref()) }
    }

    /// The fault, at a place.
    pub fn at(self, place: u64, sequence: Option<u64>) -> Fault {
        Fault { code: self.code, place, sequence, expected: self.expected, found: self.found }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.code, self.expected, self.found)
    }
}

/// One thing wrong with the data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Which rule.
    pub code: Code,
    /// Byte offset of the frame in a chain file, number of the line in JSON lines; the end for what is about the end.
    pub place: u64,
    /// The entry it is about.
    pub sequence: Option<u64>,
    /// What the rule wants.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Fault {
    /// The phase that found it.
    pub fn phase(&self) -> Phase {
        self.code.phase()
    }
}
