//! Frames: the units of a file, whatever its form. Entries, gaps, checkpoints, seals, attachments, between a header and a
//! trailer.
//!
//! This module knows what a frame holds and its CBOR body; `chainfile` and `jsonl` know how frames become a file.

use std::borrow::Cow;

use crate::checkpoint::{Checkpoint, Seal};
use crate::codec::{DecodeError, Reader, Writer, len_u64};
use crate::digest::Digest;
use crate::entry::{Entry, Fields};
use crate::key::Signature;
use crate::limit::{PAYLOAD_MAX, SEQUENCE_MAX, SIZE_MAX};
use crate::payload::Part;
use crate::tree;

/// The format version.
pub const VERSION: u64 = 1;
/// Bytes of a body.
pub const BODY_MAX: usize = 17 << 20;

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes added after the fact.
    Attachment,
    /// A signed note.
    Checkpoint,
    /// An entry with what is there of its payload.
    Entry,
    /// Entries that are not there, with the hashes that stand for them.
    Gap,
    /// Format and chain.
    Header,
    /// A signed statement about the whole state.
    Seal,
    /// The end.
    Trailer,
}

impl Kind {
    const ALL: [(Self, u8, &'static str); 7] = [
        (Self::Attachment, b'A', "attachment"),
        (Self::Checkpoint, b'C', "checkpoint"),
        (Self::Entry, b'E', "entry"),
        (Self::Gap, b'G', "gap"),
        (Self::Header, b'H', "header"),
        (Self::Seal, b'S', "seal"),
        (Self::Trailer, b'T', "trailer"),
    ];

    /// Its letter in a frame head.
    pub fn letter(self) -> u8 {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or(0, |(_, letter, _)| *letter)
    }

    /// The kind with this letter.
    pub fn from_letter(letter: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, l, _)| *l == letter).map(|(kind, ..)| *kind)
    }

    /// Its name in JSON lines.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(.., name)| name)
    }

    /// The kind that JSON lines call so. Entries have no such line.
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, _, n)| *n == name).map(|(kind, ..)| *kind);
        found.filter(|kind| *kind != Self::Entry)
    }
}

/// Why entries are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GapReason {
    /// They stand in an archive.
    Archived,
    /// Whoever made the file left them out.
    Elided,
    /// They are damaged for good.
    Lost,
}

impl GapReason {
    /// Its number in the frame.
    pub const fn number(self) -> u64 {
        match self {
            Self::Elided => 0,
            Self::Lost => 1,
            Self::Archived => 2,
        }
    }

    /// The reason with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Elided, Self::Lost, Self::Archived].into_iter().find(|r| r.number() == number)
    }
}

/// Entries that are not there, and the subtree roots that stand for them in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The first of them; never entry 0.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: GapReason,
    /// The roots of `tree::split(first, count)`.
    pub hashes: Vec<Digest>,
}

impl Gap {
    /// A gap, if the range can be one and has as many hashes.
    pub fn new(first: u64, count: u64, reason: GapReason, hashes: Vec<Digest>) -> Option<Self> {
        let fits = Self::fits(first, count) && hashes.len() == tree::split_len(first, count);
        fits.then_some(Self { first, count, reason, hashes })
    }

    fn fits(first: u64, count: u64) -> bool {
        first > 0 && count > 0 && first.checked_add(count).is_some_and(|end| end <= SIZE_MAX)
    }

    /// The sequence after the last of them.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

/// What an attachment is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The checkpoint of this size.
    Checkpoint(u64),
    /// The entry with this sequence.
    Entry(u64),
    /// The file.
    File,
}

impl Target {
    /// Kind and number, as the frame has them.
    pub const fn numbers(self) -> (u64, u64) {
        match self {
            Self::File => (0, 0),
            Self::Entry(sequence) => (1, sequence),
            Self::Checkpoint(size) => (2, size),
        }
    }

    /// The target with this kind and number.
    pub fn from_numbers(kind: u64, number: u64) -> Option<Self> {
        match (kind, number) {
            (0, 0) => Some(Self::File),
            (1, 0..=SEQUENCE_MAX) => Some(Self::Entry(number)),
            (2, 0..=SIZE_MAX) => Some(Self::Checkpoint(number)),
            _ => None,
        }
    }
}

/// Bytes added after the fact: a witness's cosignature, a time stamp, a signature of another kind. Never part of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attachment<'a> {
    /// Name of its type.
    pub type_name: Cow<'a, str>,
    /// What it is about.
    pub target: Target,
    /// The bytes.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Attachment<'a> {
    /// An attachment, if the name of its type is 1 to 128 visible ASCII characters and it has at most 16 MiB.
    pub fn new(
        type_name: impl Into<Cow<'a, str>>,
        target: Target,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Option<Self> {
        let (type_name, bytes) = (type_name.into(), bytes.into());
        let fits = Self::is_type_name(&type_name) && bytes.len() <= PAYLOAD_MAX;
        fits.then_some(Self { type_name, target, bytes })
    }

    fn is_type_name(name: &str) -> bool {
        (1..=128).contains(&name.len()) && name.bytes().all(|b| (0x21..=0x7e).contains(&b))
    }
}

/// What a trailer says about the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Summary {
    /// A checkpoint over exactly this size.
    Signed(Checkpoint),
    /// Size and root, from an exporter that holds no checkpoint key.
    Unsigned {
        /// Number of entries that the file stands for.
        size: u64,
        /// Root over them.
        root: Digest,
    },
}

/// The end of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trailer {
    /// Frames before it, header included.
    pub frames: u64,
    /// What it vouches for.
    pub summary: Summary,
}

impl Trailer {
    /// A trailer.
    pub fn new(frames: u64, summary: Summary) -> Self {
        Self { frames, summary }
    }
}

/// An entry as it stands in a file: not yet bound to a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written<'a> {
    /// How many entries of its batch follow.
    pub left: u16,
    /// The sixteen fields.
    pub fields: Fields<'a>,
    /// The signature, not yet judged.
    pub signature: Signature,
    /// What is there of its payload.
    pub part: Part<'a>,
}

impl<'a> Written<'a> {
    /// An entry on its way into a file.
    pub fn new(left: u16, entry: Entry<'a>, part: Part<'a>) -> Self {
        let (fields, signature) = entry.into_parts();
        Self { left, fields, signature, part }
    }

    /// Parses the body of an entry's frame.
    pub fn parse(left: u16, body: &'a [u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(body);
        let (fields, signature) = Fields::parse(r)?;
        let part = Part::parse(r)?;
        r.finish()?;
        Ok(Self { left, fields, signature, part })
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Written<'static> {
        Written {
            left: self.left,
            fields: self.fields.into_owned(),
            signature: self.signature,
            part: self.part.into_owned(),
        }
    }

    /// The entry, read as one of the chain with this id.
    pub fn entry(&self, chain_id: &Digest) -> Entry<'a> {
        // The id is the digest of entry 0, which therefore cannot hold it.
        let chain_id = if self.fields.sequence == 0 { &Digest::ZERO } else { chain_id };
        Entry::from_parts(self.fields.clone(), self.signature, chain_id)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// Bytes added after the fact.
    Attachment(Attachment<'a>),
    /// A signed note.
    Checkpoint(Checkpoint),
    /// An entry.
    Entry(Box<Written<'a>>),
    /// Entries that are not there.
    Gap(Gap),
    /// Format version and chain id.
    Header {
        /// The format version.
        version: u64,
        /// Id of the chain.
        chain_id: Digest,
    },
    /// A signed statement about the whole state.
    Seal(Seal),
    /// The end.
    Trailer(Trailer),
}

impl<'a> Frame<'a> {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Attachment(_) => Kind::Attachment,
            Self::Checkpoint(_) => Kind::Checkpoint,
            Self::Entry(_) => Kind::Entry,
            Self::Gap(_) => Kind::Gap,
            Self::Header { .. } => Kind::Header,
            Self::Seal(_) => Kind::Seal,
            Self::Trailer(_) => Kind::Trailer,
        }
    }

    /// The entries of its batch that follow; 0 for whatever is no entry.
    pub fn left(&self) -> u16 {
        match self {
            Self::Entry(written) => written.left,
            _ => 0,
        }
    }

    /// The CBOR body.
    pub fn body(&self) -> Vec<u8> {
        let mut w = Writer::over(Vec::with_capacity(512));
        match self {
            Self::Attachment(attachment) => {
                let (kind, number) = attachment.target.numbers();
                w.array(4).text(&attachment.type_name).uint(kind).uint(number);
                w.bytes(&attachment.bytes);
            }
            Self::Checkpoint(checkpoint) => {
                w.item(checkpoint.encode().as_bytes());
            }
            Self::Entry(written) => {
                return entry_body(&written.fields, &written.signature, &written.part);
            }
            Self::Gap(gap) => {
                w.array(4).uint(gap.first).uint(gap.count).uint(gap.reason.number());
                w.array(gap.hashes.len());
                gap.hashes.iter().for_each(|hash| {
                    w.bytes(hash.as_bytes());
                });
            }
            Self::Header { version, chain_id } => {
                w.array(2).uint(*version).bytes(chain_id.as_bytes());
            }
            Self::Seal(seal) => seal.encode(&mut w),
            Self::Trailer(trailer) => match &trailer.summary {
                Summary::Signed(checkpoint) => {
                    w.array(2).uint(trailer.frames).text(&checkpoint.encode());
                }
                Summary::Unsigned { size, root } => {
                    w.array(3).uint(trailer.frames).uint(*size).bytes(root.as_bytes());
                }
            },
        }
        w.into_bytes()
    }

    /// Parses a CBOR body.
    pub fn parse(kind: Kind, left: u16, body: &'a [u8]) -> Result<Self, DecodeError> {
        if kind == Kind::Checkpoint {
            return Checkpoint::parse(body).map(Self::Checkpoint);
        }
        let r = &mut Reader::new(body);
        let frame = match kind {
            Kind::Attachment => parse_attachment(r)?,
            Kind::Entry => {
                return Written::parse(left, body).map(|written| Self::Entry(Box::new(written)));
            }
            Kind::Gap => parse_gap(r)?,
            Kind::Header => {
                r.array_exact(2)?;
                let version = r.uint()?;
                Self::Header { version, chain_id: Digest::new(r.bytes_exact()?) }
            }
            Kind::Seal => Self::Seal(Seal::parse(r)?),
            Kind::Checkpoint | Kind::Trailer => parse_trailer(r)?,
        };
        r.finish()?;
        Ok(frame)
    }
}

/// The sixteen fields in the body of an entry's frame. Nothing behind them is looked at.
#[cfg(feature = "std")]
pub(crate) fn fields(body: &[u8]) -> Result<Fields<'_>, DecodeError> {
    Fields::parse(&mut Reader::new(body)).map(|(fields, _)| fields)
}

/// The type in the body of an entry's frame, and nothing else of it: for whoever passes over many entries to find a few.
#[cfg(feature = "std")]
pub(crate) fn event_type(body: &[u8]) -> Result<&str, DecodeError> {
    let r = &mut Reader::new(body);
    r.array_exact(17)?;
    // actor, causation, correlation, episode, event id
    for _ in 0..5 {
        r.skip()?;
    }
    r.text()
}

/// The body of an entry's frame.
pub(crate) fn entry_body(fields: &Fields<'_>, signature: &Signature, part: &Part<'_>) -> Vec<u8> {
    let mut w = Writer::over(Vec::with_capacity(512 + part.shown_bytes()));
    w.array(17);
    fields.encode(&mut w);
    w.bytes(signature.as_bytes());
    part.encode(&mut w);
    w.into_bytes()
}

fn parse_attachment<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, DecodeError> {
    r.array_exact(4)?;
    let start = r.at();
    let type_name = r.text()?;
    let (kind, number) = (r.uint()?, r.uint()?);
    let target = Target::from_numbers(kind, number).ok_or(r.wrong("a target", "another"))?;
    Attachment::new(type_name, target, r.bytes()?).map(Frame::Attachment).ok_or(DecodeError::new(
        start,
        "a type of 1 to 128 visible characters, and 16 MiB",
        "another",
    ))
}

fn parse_gap<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, DecodeError> {
    r.array_exact(4)?;
    let start = r.at();
    let (first, count) = (r.uint_max(SIZE_MAX)?, r.uint_max(SIZE_MAX)?);
    if !Gap::fits(first, count) {
        return Err(DecodeError::new(start, "a range behind entry 0", "another"));
    }
    let start = r.at();
    let reason = GapReason::from_number(r.uint()?).ok_or(DecodeError::new(
        start,
        "reason 0, 1 or 2",
        "another",
    ))?;
    let len = tree::split_len(first, count);
    r.array_exact(len_u64(len))?;
    let hashes = (0..len).map(|_| r.bytes_exact().map(Digest::new)).collect::<Result<_, _>>()?;
    Ok(Frame::Gap(Gap { first, count, reason, hashes }))
}

/// The version that the body of a header states, whatever else stands in it: the rest is for those who know that version.
pub(crate) fn stated_version(body: &[u8]) -> Option<u64> {
    let mut r = Reader::new(body);
    if r.array().ok()? == 0 {
        return None;
    }
    r.uint().ok()
}

fn parse_trailer<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, DecodeError> {
    let items = r.array_within(2, 3)?;
    let frames = r.uint_max(SIZE_MAX)?;
    let summary = if items == 2 {
        Summary::Signed(Checkpoint::parse(r.text()?.as_bytes())?)
    } else {
        let start = r.at();
        let size = r.uint_max(SIZE_MAX)?;
        if size == 0 {
            return Err(DecodeError::new(start, "a size of at least 1", "0"));
        }
        Summary::Unsigned { size, root: Digest::new(r.bytes_exact()?) }
    };
    Ok(Frame::Trailer(Trailer { frames, summary }))
}
