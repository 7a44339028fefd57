//! Quarantine: a ledger in which something was found to be wrong takes no more appends until somebody has resolved that.
//!
//! What was found is kept in three places that do not go away together: a side log within the ledger's directory (`quarantine/ID/`),
//! a mark where the anchors are, and, if the head of the chain is sound, the chain itself, whose last entry is then
//! `quarantine.open`. Any one of them halts the ledger. It goes on only when the chain itself says that the very quarantine was
//! resolved; [`machine`] has that as a table, and `spec/quarantine.md` the same one.

mod log;
pub mod machine;

use std::collections::BTreeMap;
use std::fmt;

use crate::codec::{DecodeError, Reader, Writer};
use crate::digest::Digest;
use crate::id::EventId;
use crate::limit::SEQUENCE_MAX;

pub use crate::quarantine::log::{Case, Entry, FOLDER, cases};
pub(crate) use crate::quarantine::log::{Kind, Log, PROOF, copy, copy_name, pass};

/// The type of the last entry of a ledger that was halted while its head was sound.
pub const OPEN: &str = "quarantine.open";
/// The type of the entry that says that the original bytes are back.
pub const RECONCILED: &str = "quarantine.reconciled";
/// The type of the entry that says that an operator has accepted the damage.
pub const DISMISSED: &str = "quarantine.dismissed";

/// Bytes of a note.
pub const NOTE_MAX: usize = 4096;

/// Who found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detector {
    /// Whoever opened the ledger.
    Open,
    /// The verification in the background, or on demand.
    Scrub,
    /// A person, or a program that was told to.
    Operator,
}

impl Detector {
    const ALL: [Self; 3] = [Self::Open, Self::Scrub, Self::Operator];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Scrub => "scrub",
            Self::Operator => "operator",
        }
    }
}

/// Of what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// What one frame shows by itself.
    Content,
    /// What it is in its place: link, number, keys, what an anchor knows.
    Chain,
}

impl Phase {
    const ALL: [Self; 2] = [Self::Content, Self::Chain];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Chain => "chain",
        }
    }
}

/// Something that is wrong with a ledger, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discontinuity {
    /// Its id.
    pub id: EventId,
    /// When it was found: microseconds since 1970 by the wall clock.
    pub detected_us: u64,
    /// By whom.
    pub detector: Detector,
    /// Of what kind it is.
    pub phase: Phase,
    /// Its stable code.
    pub code: String,
    /// Where: a segment and a byte, or the whole directory.
    pub place: String,
    /// The first entry that is concerned, if that can be told.
    pub sequence: Option<u64>,
    /// What was expected there.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// The last entry before it that is as it was.
    pub last_good: Option<u64>,
    /// How many entries are concerned, at least.
    pub affected: u64,
}

/// A map of a payload, whose keys come in the one order that is accepted.
#[derive(Default)]
pub(crate) struct Fields(BTreeMap<(usize, &'static str), Vec<u8>>);

impl Fields {
    pub(crate) fn put(&mut self, key: &'static str, write: impl FnOnce(&mut Writer)) -> &mut Self {
        let mut w = Writer::new();
        write(&mut w);
        self.0.insert((key.len(), key), w.into_bytes());
        self
    }

    pub(crate) fn text(&mut self, key: &'static str, text: &str) -> &mut Self {
        self.put(key, |w| {
            w.text(text);
        })
    }

    pub(crate) fn uint(&mut self, key: &'static str, value: u64) -> &mut Self {
        self.put(key, |w| {
            w.uint(value);
        })
    }

    pub(crate) fn id(&mut self, key: &'static str, id: &EventId) -> &mut Self {
        self.put(key, |w| {
            w.bytes(id.as_bytes());
        })
    }

    pub(crate) fn digest(&mut self, key: &'static str, digest: &Digest) -> &mut Self {
        self.put(key, |w| {
            w.bytes(digest.as_bytes());
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.map(self.0.len());
        for ((_, key), value) in &self.0 {
            w.text(key).item(value);
        }
        w.into_bytes()
    }
}

/// The id of the event that resolves a quarantine: one for each, so that whoever finds a log or a mark can ask the chain.
pub(crate) fn resolution_id(id: &EventId) -> EventId {
    let bytes = id.as_bytes();
    let mut millis = [0; 8];
    for (to, from) in millis.iter_mut().skip(2).zip(bytes) {
        *to = *from;
    }
    let digest = Digest::of(&[b"sigchain1/resolution\0", bytes]);
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    EventId::new(u64::from_be_bytes(millis), random)
}

/// Text as it fits into a record.
pub(crate) fn fitting(text: &str) -> String {
    let mut end = text.len().min(NOTE_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn or_null(w: &mut Writer, value: Option<u64>) {
    match value {
        Some(value) => w.uint(value),
        None => w.null(),
    };
}

impl Discontinuity {
    /// Its fields, as they stand in the side log and in the chain.
    pub(crate) fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.id("discontinuity", &self.id).uint("detected_us", self.detected_us);
        fields.text("detector", self.detector.name()).text("phase", self.phase.name());
        fields.text("code", &self.code).text("place", &fitting(&self.place));
        fields.text("expected", &fitting(&self.expected)).text("found", &fitting(&self.found));
        fields.put("sequence", |w| or_null(w, self.sequence));
        fields.put("last_good", |w| or_null(w, self.last_good)).uint("affected", self.affected);
        fields
    }

    /// Reads its fields from a map that may have others.
    pub fn parse(map: &[u8]) -> Option<Self> {
        Self::read(map).ok().flatten()
    }

    fn read(map: &[u8]) -> Result<Option<Self>, DecodeError> {
        let r = &mut Reader::new(map);
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        let mut numbers: BTreeMap<&str, Option<u64>> = BTreeMap::new();
        let mut id = None;
        for _ in 0..r.map()? {
            match r.text()? {
                "discontinuity" => id = EventId::from_bytes(r.bytes_exact()?),
                key @ ("detector" | "phase" | "code" | "place" | "expected" | "found") => {
                    texts.insert(key, r.text()?.to_owned());
                }
                key @ ("detected_us" | "sequence" | "last_good" | "affected") => {
                    numbers.insert(key, r.or_null(|r| r.uint_max(SEQUENCE_MAX))?);
                }
                _ => r.skip()?,
            }
        }
        r.finish()?;
        let mut text = |key| texts.remove(key).unwrap_or_default();
        let number = |key| numbers.get(key).copied().flatten();
        let detector = text("detector");
        let detector = Detector::ALL.into_iter().find(|known| known.name() == detector);
        let phase = text("phase");
        let phase = Phase::ALL.into_iter().find(|known| known.name() == phase);
        let (Some(id), Some(detector), Some(phase)) = (id, detector, phase) else {
            return Ok(None);
        };
        Ok(Some(Self {
            id,
            detected_us: number("detected_us").unwrap_or(0),
            detector,
            phase,
            code: text("code"),
            place: text("place"),
            sequence: number("sequence"),
            expected: text("expected"),
            found: text("found"),
            last_good: number("last_good"),
            affected: number("affected").unwrap_or(0),
        }))
    }
}

impl fmt::Display for Discontinuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: expected {}, found {}", self.code, self.place, self.expected, self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discontinuity_comes_back_as_it_was() {
        let whole = Discontinuity {
            id: EventId::new(1, [1; 10]),
            detected_us: 5,
            detector: Detector::Scrub,
            phase: Phase::Chain,
            code: "LINK".to_owned(),
            place: "segment-0000000001, byte 7".to_owned(),
            sequence: Some(3),
            expected: "a".to_owned(),
            found: "b".to_owned(),
            last_good: None,
            affected: 2,
        };
        assert_eq!(Discontinuity::parse(&whole.fields().encode()), Some(whole.clone()));
        let mut more = whole.fields();
        more.text("note", "x");
        assert_eq!(Discontinuity::parse(&more.encode()), Some(whole));
        assert_eq!(Discontinuity::parse(b"\xa0"), None);
        assert_eq!(Discontinuity::parse(b"\xa1"), None);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let long = "\u{e4}".repeat(NOTE_MAX);
        assert_eq!(fitting(&long).len(), NOTE_MAX);
        assert_eq!(fitting("ab"), "ab");
    }
}
