//! The beginning of a file of the mirror: what the file needs so that it can be verified by itself.
//!
//! It is made of what the ledger says, not of what older files of the mirror hold: those may be gone, or not be what was written.

use std::collections::VecDeque;
use std::io;

use crate::codec::len_u64;
use crate::frame::{Frame, Gap, GapReason, Kind, VERSION, Written};
use crate::jsonl;
use crate::limit;
use crate::mirror::Mirrored;
use crate::store::{FrameRef, Frames};

/// Entries that are read at once.
const BLOCK: usize = 256;

/// Which of the entries before a file must stand in it, and the text that they have made so far.
#[derive(Default)]
pub(super) struct Preface {
    /// Header, entry 0, and gaps between entries that may not be elided. It only grows: one file's preface begins the next one's.
    text: String,
    /// Number of entries that the text stands for.
    end: u64,
    /// Those from `end` on that may not be elided.
    kept: VecDeque<u64>,
}

impl Preface {
    /// With all entries before `first` that are not to be elided. It reads them all: for when no file says which they are.
    pub(super) fn walk(of: &dyn Mirrored, first: u64) -> io::Result<Self> {
        let mut preface = Self::default();
        let mut next = 1;
        let mut block = Frames::new();
        while next < first {
            let left = usize::try_from(first - next).unwrap_or(usize::MAX);
            of.read(next, left.min(BLOCK), &mut block)?;
            if block.is_empty() {
                return Err(missing(next));
            }
            for frame in block.iter() {
                preface.note(&parse(frame)?);
            }
            next = next.saturating_add(len_u64(block.len()));
        }
        Ok(preface)
    }

    /// Takes note of the next entry.
    pub(super) fn note(&mut self, written: &Written<'_>) {
        let fields = &written.fields;
        if fields.sequence > 0 && limit::is_authority(&fields.event_type) {
            self.kept.push_back(fields.sequence);
        }
    }

    /// Takes over what was noted of the entries that come next.
    pub(super) fn append(&mut self, mut noted: Self) {
        self.kept.append(&mut noted.kept);
    }

    /// The preface of a file whose first own entry is this one; at 0 also entry 0, without which no file is one.
    pub(super) fn up_to(&mut self, of: &dyn Mirrored, first: u64) -> io::Result<String> {
        if self.end == 0 {
            let mut text = String::new();
            jsonl::push(&mut text, &Frame::Header { version: VERSION, chain_id: of.chain_id() });
            push_entry(&mut text, of, 0)?;
            (self.text, self.end) = (text, 1);
        }
        while let Some(kept) = self.kept.front().copied().filter(|kept| *kept < first) {
            let mut text = String::new();
            push_gap(&mut text, of, self.end, kept)?;
            push_entry(&mut text, of, kept)?;
            // Only what is whole: a ledger that could not be read is asked again from here.
            self.text.push_str(&text);
            self.end = kept.saturating_add(1);
            self.kept.pop_front();
        }
        let mut text = self.text.clone();
        push_gap(&mut text, of, self.end, first)?;
        Ok(text)
    }
}

fn push_gap(text: &mut String, of: &dyn Mirrored, first: u64, end: u64) -> io::Result<()> {
    let count = end.saturating_sub(first);
    if count == 0 {
        return Ok(());
    }
    let gap = Gap::new(first, count, GapReason::Elided, of.hashes(first, count)?);
    let gap = gap.ok_or_else(|| {
        let message = format!("expected the hashes of entries {first} to {end}, found others");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    jsonl::push(text, &Frame::Gap(gap));
    Ok(())
}

fn push_entry(text: &mut String, of: &dyn Mirrored, sequence: u64) -> io::Result<()> {
    let mut block = Frames::new();
    of.read(sequence, 1, &mut block)?;
    let frame = block.iter().next().ok_or_else(|| missing(sequence))?;
    jsonl::push_entry(text, &parse(frame)?);
    Ok(())
}

/// The entry in a frame of the ledger.
pub(super) fn parse(frame: FrameRef<'_>) -> io::Result<Written<'_>> {
    Written::parse(frame.left, frame.body).map_err(|error| {
        let message = format!("entry {} of the ledger: {error}", frame.sequence);
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// The seal in a frame of the ledger.
pub(super) fn parse_seal(size: u64, body: &[u8]) -> io::Result<Frame<'_>> {
    Frame::parse(Kind::Seal, 0, body).map_err(|error| {
        let message = format!("the seal over {size} entries of the ledger: {error}");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

pub(super) fn missing(sequence: u64) -> io::Error {
    let message = format!("expected entry {sequence} of the ledger, found none");
    io::Error::new(io::ErrorKind::InvalidData, message)
}
