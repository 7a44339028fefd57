//! What a verification found, and what it rests on.

use std::collections::BTreeMap;
use std::fmt;

use crate::chain::Head;
use crate::chainfile::Form;
use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::fault::{Code, Fault, Phase};
use crate::frame::GapReason;
use crate::key::KeyId;
use crate::payload::Presence;
use crate::reserved::Predecessor;

/// Faults of one code that a report keeps; the rest it counts.
pub const KEPT: u64 = 100;
/// Types of attachments that a report names.
const TYPES_KEPT: usize = 64;

/// What the person who verifies held before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anchors {
    /// The chain's id.
    pub chain_id: Option<Digest>,
    /// Keys of role entry or checkpoint.
    pub keys: Vec<KeyId>,
    /// Checkpoints.
    pub checkpoints: Vec<Checkpoint>,
}

impl Anchors {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// And the chain's id.
    #[must_use]
    pub fn chain_id(mut self, id: Digest) -> Self {
        self.chain_id = Some(id);
        self
    }

    /// And a key of role entry or checkpoint.
    #[must_use]
    pub fn key(mut self, id: KeyId) -> Self {
        self.keys.push(id);
        self
    }

    /// And a checkpoint.
    #[must_use]
    pub fn checkpoint(mut self, held: Checkpoint) -> Self {
        self.checkpoints.push(held);
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chain_id.is_none() && self.keys.is_empty() && self.checkpoints.is_empty()
    }
}

/// One anchor, and how far it vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anchored {
    /// Which one.
    pub anchor: Anchor,
    /// The number of entries that it vouches for; `None` if it is missing from the file.
    pub size: Option<u64>,
}

/// Something that was held before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anchor {
    /// The chain's id.
    ChainId(Digest),
    /// A checkpoint of this size and root.
    Checkpoint(u64, Digest),
    /// A key.
    Key(KeyId),
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChainId(id) => write!(f, "chain id {id}"),
            Self::Checkpoint(size, root) => write!(f, "checkpoint of {size} entries, root {root}"),
            Self::Key(id) => write!(f, "key {id}"),
        }
    }
}

/// How the file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Without a trailer.
    Open,
    /// With a checkpoint over all of it.
    Signed,
    /// With a size and root that nobody signed.
    Unsigned,
}

/// The answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// There are faults.
    Faulty,
    /// No fault, and tied to something that was held before.
    Intact,
    /// Not a file of ours, or not one that can be read.
    Unreadable,
    /// No fault, but nothing outside the file vouches for it.
    Unvouched,
}

impl Verdict {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Faulty => "faulty",
            Self::Intact => "intact",
            Self::Unreadable => "unreadable",
            Self::Unvouched => "unvouched",
        }
    }

    /// The exit code of the program.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Intact => 0,
            Self::Faulty => 1,
            Self::Unvouched => 3,
            Self::Unreadable => 4,
        }
    }
}

/// How many payloads can be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payloads {
    /// Cut out, and an entry says so.
    pub erased: u64,
    /// Some fields hidden.
    pub partial: u64,
    /// All there.
    pub present: u64,
    /// Not in this file, in the word of whoever made it.
    pub withheld: u64,
}

impl Payloads {
    pub(super) fn count(&mut self, presence: Presence) {
        let counter = match presence {
            Presence::Erased => &mut self.erased,
            Presence::Partial => &mut self.partial,
            Presence::Present => &mut self.present,
            Presence::Withheld => &mut self.withheld,
        };
        *counter = counter.saturating_add(1);
    }
}

/// How many entries gaps stand for, and whether it is proven that none of them changed a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gaps {
    /// Archived elsewhere.
    pub archived: u64,
    /// Left out.
    pub elided: u64,
    /// Damaged for good.
    pub lost: u64,
    /// End of the last one; 0 if there is none.
    pub(super) end: u64,
    /// Size of the last seal that proves the keys.
    pub(super) sealed: u64,
}

impl Gaps {
    pub(super) fn count(&mut self, reason: GapReason, count: u64, end: u64) {
        let counter = match reason {
            GapReason::Archived => &mut self.archived,
            GapReason::Elided => &mut self.elided,
            GapReason::Lost => &mut self.lost,
        };
        *counter = counter.saturating_add(count);
        self.end = end;
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.end > 0
    }

    /// Whether a seal shows that no entry that changes keys was left out.
    pub fn are_proven(&self) -> bool {
        self.sealed >= self.end
    }
}

/// All that a verification found.
#[derive(Clone, Debug)]
#[must_use = "a report that nobody reads protects nobody"]
#[non_exhaustive]
pub struct Report {
    /// Form of the file; `None` if it is none of ours.
    pub form: Option<Form>,
    /// Id of the chain; `None` if its genesis is not sound.
    pub chain_id: Option<Digest>,
    /// Its name.
    pub name: String,
    /// Number of entries that the file stands for, gaps included.
    pub entries: u64,
    /// The last entry, if it is known for sure.
    pub head: Option<Head>,
    /// Root of the tree, if it is known for sure.
    pub root: Option<Digest>,
    /// The first faults of each code, in order.
    pub faults: Vec<Fault>,
    /// How many faults there are of each code.
    pub counts: BTreeMap<Code, u64>,
    /// What can be seen of payloads.
    pub payloads: Payloads,
    /// What is not in the file.
    pub gaps: Gaps,
    /// How it ends.
    pub end: End,
    /// Attachments by type; none of them was checked.
    pub attachments: BTreeMap<String, u64>,
    /// Attachments of types beyond the first 64.
    pub attachments_other: u64,
    /// Damaged ranges that an operator resolved: first and count; at most the first 100.
    pub resolved: Vec<(u64, u64)>,
    /// The chain that this one continues.
    pub predecessor: Option<Predecessor>,
    /// Each anchor that was given.
    pub anchors: Vec<Anchored>,
    /// Entries whose signatures were taken on the word of a checkpoint.
    pub taken_on_word: u64,
    /// Whether the event ids of all entries were compared with each other, as far as the file was judged.
    pub unique: bool,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            form: None,
            chain_id: None,
            name: String::new(),
            entries: 0,
            head: None,
            root: None,
            faults: Vec::new(),
            counts: BTreeMap::new(),
            payloads: Payloads::default(),
            gaps: Gaps::default(),
            end: End::Open,
            attachments: BTreeMap::new(),
            attachments_other: 0,
            resolved: Vec::new(),
            predecessor: None,
            anchors: Vec::new(),
            taken_on_word: 0,
            unique: false,
        }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        let count = self.counts.entry(fault.code).or_default();
        *count = count.saturating_add(1);
        if *count <= KEPT {
            self.faults.push(fault);
        }
    }

    pub(super) fn add_attachment(&mut self, type_name: &str) {
        if let Some(count) = self.attachments.get_mut(type_name) {
            *count = count.saturating_add(1);
        } else if self.attachments.len() < TYPES_KEPT {
            self.attachments.insert(type_name.to_owned(), 1);
        } else {
            self.attachments_other = self.attachments_other.saturating_add(1);
        }
    }

    /// Faults in all.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Faults in all of one phase.
    pub fn total_of(&self, phase: Phase) -> u64 {
        self.counts.iter().filter(|(code, _)| code.phase() == phase).map(|(_, n)| n).sum()
    }

    /// Entries after the last that any anchor vouches for; `None` if none does.
    pub fn beyond(&self) -> Option<u64> {
        let vouched = self.anchors.iter().filter_map(|anchored| anchored.size).max()?;
        Some(self.entries.saturating_sub(vouched))
    }

    /// Whether an anchor that was given is not in the file.
    pub fn is_anchor_missing(&self) -> bool {
        self.anchors.iter().any(|anchored| anchored.size.is_none())
    }

    /// The answer in a word.
    pub fn verdict(&self) -> Verdict {
        if self.counts.keys().any(|code| code.is_unreadable()) {
            Verdict::Unreadable
        } else if !self.counts.is_empty() {
            Verdict::Faulty
        } else if self.anchors.is_empty() || self.is_anchor_missing() || !self.gaps.are_proven() {
            Verdict::Unvouched
        } else {
            Verdict::Intact
        }
    }
}
