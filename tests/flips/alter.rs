//! What is altered.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use sigchain::codec::Reader;

use crate::flips::subject::{Place, Subject};

const BLOCK: usize = 4096;

/// One change of a ledger's files or its anchors.
#[derive(Clone, Debug)]
pub enum Change {
    /// One bit turned.
    Bit { is_anchor: bool, path: String, at: usize },
    /// One byte of a frame replaced, and its CRCs made right.
    Mended { path: String, frame: Range<usize>, at: usize, bit: u8 },
    /// Two blocks of 4 KiB exchanged: file and number of each.
    Blocks((String, usize), (String, usize)),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bit { is_anchor, path, at } => {
                let of = if *is_anchor { "anchors, " } else { "" };
                write!(f, "{of}{path}, byte {}, bit {}", at / 8, at % 8)
            }
            Self::Mended { path, frame, at, bit } => {
                let offset = at - frame.start;
                write!(
                    f,
                    "{path}, frame at {}, byte {offset} of it, bit {bit}, CRCs right",
                    frame.start
                )
            }
            Self::Blocks((one, at), (other, to)) => {
                write!(f, "block {at} of {one} and block {to} of {other}")
            }
        }
    }
}

impl Change {
    /// What kind of file it is in.
    pub fn path(&self) -> &str {
        match self {
            Self::Bit { is_anchor: true, .. } => "anchors",
            Self::Bit { path, .. } | Self::Mended { path, .. } | Self::Blocks((path, _), _) => {
                path.split(['-', '/']).next().unwrap_or(path)
            }
        }
    }

    /// Whether it is in what a segment says of itself.
    pub fn is_of_beginning(&self) -> bool {
        matches!(self, Self::Mended { frame, .. } if frame.start == 8)
    }

    /// A place like this one, so altered.
    pub fn apply(&self, place: &Place) -> Place {
        let altered = place.copy();
        let get = |path: &str| altered.ledger.get(path).unwrap().to_vec();
        match self {
            Self::Bit { is_anchor, path, at } => {
                let of = if *is_anchor { &altered.home } else { &altered.ledger };
                let mut bytes = of.get(path).unwrap().to_vec();
                bytes[at / 8] ^= 1 << (at % 8);
                of.set(path, bytes);
            }
            Self::Mended { path, frame, at, bit } => {
                let mut bytes = get(path);
                bytes[*at] ^= 1 << bit;
                mend(&mut bytes[frame.clone()]);
                altered.ledger.set(path, bytes);
            }
            Self::Blocks((one, at), (other, to)) => {
                let (at, to) = (at * BLOCK..(at + 1) * BLOCK, to * BLOCK..(to + 1) * BLOCK);
                let (first, second) =
                    (get(one)[at.clone()].to_vec(), get(other)[to.clone()].to_vec());
                for (path, place, block) in [(one, at, second), (other, to, first)] {
                    let mut bytes = altered.ledger.get(path).unwrap().to_vec();
                    bytes[place].copy_from_slice(&block);
                    altered.ledger.set(path, bytes);
                }
            }
        }
        altered
    }
}

/// Gives a frame the CRCs that its bytes want.
pub fn mend(frame: &mut [u8]) {
    let body = crc32fast::hash(&frame[16..]).to_be_bytes();
    frame[8..12].copy_from_slice(&body);
    let head = crc32fast::hash(&frame[..12]).to_be_bytes();
    frame[12..16].copy_from_slice(&head);
}

/// One bit of each byte of all frames, but of lengths and CRCs; all bits of what segments say of themselves.
pub fn mended(subject: &Subject) -> Vec<Change> {
    let mut all = Vec::new();
    for (path, frames) in &subject.frames {
        for frame in frames {
            for at in (frame.start..frame.start + 4).chain(frame.start + 16..frame.end) {
                let of = |bit| Change::Mended { path: path.clone(), frame: frame.clone(), at, bit };
                let one = u8::try_from(at % 8).unwrap();
                let bits = if frame.start == 8 { 0..8 } else { one..one + 1 };
                all.extend(bits.map(of));
            }
        }
    }
    all
}

/// Where each segment but the first says what its first entry is.
pub fn named_first(subject: &Subject) -> Vec<(String, Range<usize>)> {
    let segments = subject.place.segments().into_iter().skip(1);
    let place = |(name, bytes): (String, Arc<Vec<u8>>)| {
        // Behind magic and head: an array of format, chain's id, number of the segment, first entry.
        let body = 8 + 16;
        let r = &mut Reader::new(&bytes[body..]);
        r.array_exact(9).unwrap();
        r.uint().unwrap();
        r.bytes_exact::<32>().unwrap();
        r.uint().unwrap();
        let start = r.at();
        r.uint().unwrap();
        (name, body + start..body + r.at())
    };
    segments.map(place).collect()
}

/// All pairs of whole blocks of the ledger's files that differ.
pub fn blocks(subject: &Subject) -> Vec<Change> {
    let files = subject.place.ledger.files();
    let mut blocks = Vec::new();
    for (path, bytes) in &files {
        let whole = bytes.chunks_exact(BLOCK).enumerate();
        blocks.extend(whole.map(|(n, block)| (path, n, block)));
    }
    let mut pairs = Vec::new();
    for (n, (a, m, one)) in blocks.iter().enumerate() {
        for (b, k, other) in blocks.iter().skip(n + 1).filter(|(.., other)| other != one) {
            let _ = other;
            pairs.push(Change::Blocks(((*a).clone(), *m), ((*b).clone(), *k)));
        }
    }
    pairs
}
