//! Segments: the files of a ledger. Each begins by saying which piece of which chain it is, and goes on with the frames of entries and
//! seals as a chain file has them.
//!
//! One bit is added to the head of a frame: whether it is the first of a group, that is, of what was written and synced at
//! once. It is never set before all that stands before it in the file was synced with success. So the last of
//! these marks tells what the disk has for sure and what only the page cache may have, and damage before a mark is never what a
//! power cut leaves behind.

use std::io;
use std::ops::Range;

use crate::chainfile::{HEAD, Head};
use crate::checkpoint::Seal;
use crate::codec::{DecodeError, Reader, Writer, len_u64};
use crate::digest::Digest;
use crate::disk::File;
use crate::entry::Fields;
use crate::frame::{BODY_MAX, Kind, Written};
use crate::key::Signature;
use crate::limit::SEQUENCE_MAX;
use crate::reserved::Reserved;

/// The first bytes of a segment. Not those of a chain file, which a segment alone is not.
pub(crate) const MAGIC: [u8; 8] = [0x89, b'S', b'G', b'S', b'\r', b'\n', 0x1a, b'\n'];

/// The version of this format.
const FORMAT: u64 = 1;
/// What is expected where another format is found.
const NEWER: &str = "format 1";
/// The letter of the first frame.
const BEGINNING: u8 = b'B';
/// Sequences of changes of keys that a beginning lists, at most; with more it lists none.
const AUTHORITY_MAX: usize = 4096;
/// Bytes of a beginning, at most.
const BEGINNING_MAX: usize = 64 << 10;
/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;
/// What the body of an entry begins with: the head of a CBOR array of 17.
const ENTRY: u8 = 0x91;
/// Bytes of an entry's fields and signature, at most.
const SIGNED_MAX: usize = 2048;
/// No entry's frame is shorter.
pub(crate) const FRAME_MIN: u64 = 128;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) chain_id: Digest,
    /// Number of the segment.
    pub(crate) ordinal: u64,
    /// Sequence of its first entry.
    pub(crate) first: u64,
    /// Digest of the entry before; zeros for entry 0.
    pub(crate) prior: Digest,
    /// The ledger's own count of writers, at its beginning.
    pub(crate) epoch: u64,
    /// How many bytes of the segment before belong to the chain; none for the first segment.
    pub(crate) accepted: Option<u64>,
    /// Sequences of all entries before it that whoever opens the chain needs, if they are few.
    pub(crate) authority: Option<Vec<u64>>,
    /// Bytes of frames that it was begun with: synced before it had its name, with no mark behind them to show it.
    pub(crate) begun: u64,
}

impl Beginning {
    /// Magic and first frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(9).uint(FORMAT).bytes(self.chain_id.as_bytes()).uint(self.ordinal);
        w.uint(self.first).bytes(self.prior.as_bytes()).uint(self.epoch);
        match self.accepted {
            Some(accepted) => w.uint(accepted),
            None => w.null(),
        };
        match self.authority.as_ref().filter(|list| list.len() <= AUTHORITY_MAX) {
            Some(list) => {
                w.array(list.len());
                for sequence in list {
                    w.uint(*sequence);
                }
            }
            None => {
                w.null();
            }
        }
        w.uint(self.begun);
        let body = w.into_bytes();
        let crc = crc32fast::hash(&body);
        let head = Head { letter: BEGINNING, mark: 0, left: 0, length: body.len(), crc };
        [&MAGIC[..], &head.encode(), &body].concat()
    }

    /// Reads the beginning of a segment. Gives also where its first frame is.
    pub(crate) fn read(file: &dyn File) -> io::Result<(Self, u64)> {
        let mut start = [0; MAGIC.len() + HEAD];
        file.read_all_at(&mut start, 0)?;
        let (magic, head) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(damaged("the first bytes of a segment"));
        }
        let head = head.first_chunk().and_then(Head::parse);
        let head = head.filter(|h| h.letter == BEGINNING && h.mark == 0 && h.left == 0);
        let Some(head) = head.filter(|head| head.length <= BEGINNING_MAX) else {
            return Err(damaged("the head of a segment's first frame"));
        };
        let mut body = vec![0; head.length];
        file.read_all_at(&mut body, len_u64(start.len()))?;
        if crc32fast::hash(&body) != head.crc {
            return Err(damaged("a first frame with the CRC that its head states"));
        }
        let beginning = Self::parse(&body).map_err(|error| {
            // A newer format is no damage.
            let is_newer = error.expected == NEWER;
            let kind =
                if is_newer { io::ErrorKind::Unsupported } else { io::ErrorKind::InvalidData };
            io::Error::new(kind, format!("the segment's first frame: {error}"))
        })?;
        Ok((beginning, len_u64(start.len().saturating_add(head.length))))
    }

    fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(body);
        r.array_exact(9)?;
        let at = r.at();
        let format = r.uint()?;
        if format != FORMAT {
            return Err(DecodeError::new(at, NEWER, "a newer one, for a newer sigchain"));
        }
        let chain_id = Digest::new(r.bytes_exact()?);
        let ordinal = r.uint_max(SEQUENCE_MAX)?;
        let first = r.uint_max(SEQUENCE_MAX)?;
        let prior = Digest::new(r.bytes_exact()?);
        let epoch = r.uint_max(SEQUENCE_MAX)?;
        let accepted = r.or_null(Reader::uint)?;
        let authority = r.or_null(|r| {
            let len = r.array_within(0, len_u64(AUTHORITY_MAX))?;
            (0..len).map(|_| r.uint_max(SEQUENCE_MAX)).collect::<Result<Vec<_>, _>>()
        })?;
        let begun = r.uint()?;
        r.finish()?;
        Ok(Self { chain_id, ordinal, first, prior, epoch, accepted, authority, begun })
    }
}

fn damaged(expected: &str) -> io::Error {
    let message = format!("expected {expected}, found other bytes");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// A frame of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) left: u16,
    /// Whether it is the first of a group.
    pub(crate) is_marked: bool,
    /// Where its head is.
    pub(crate) at: u64,
    /// Where the next one is.
    pub(crate) end: u64,
}

/// An entry that whoever opens the chain needs although it is old, since it may have changed the keyring or lists what was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) sequence: u64,
    /// The last number for which it is needed: what it lists as abandoned can be met again only as long as its number is not issued.
    until: u64,
}

impl Needed {
    /// An entry of such a type.
    pub(crate) fn new(sequence: u64, content: Option<&Reserved>) -> Self {
        let until = match content {
            Some(Reserved::Abandoned { entries, .. }) => entries.iter().map(|(at, _)| *at).max(),
            _ => None,
        };
        Self { sequence, until: until.unwrap_or(u64::MAX) }
    }

    /// As it stands in a frame.
    pub(crate) fn of_frame(sequence: u64, left: u16, body: &[u8]) -> Self {
        let content = Written::parse(left, body).ok().and_then(|written| {
            Reserved::parse(&written.fields.event_type, &written.part, sequence).ok()
        });
        Self::new(sequence, content.as_ref())
    }

    /// Those that are needed where the next number is this one.
    pub(crate) fn at(list: &[Self], next: u64) -> Vec<u64> {
        list.iter().filter(|entry| entry.until >= next).map(|entry| entry.sequence).collect()
    }
}

/// What is left of an entry where no whole frame need be: fields and signature alone show that it was signed.
pub(crate) struct Remains<'b> {
    pub(crate) fields: Fields<'b>,
    pub(crate) signature: Signature,
    /// Whether a head before it says that it is the first of a group.
    pub(crate) is_marked: bool,
}

/// What is left where no whole frame need be before it.
pub(crate) enum Left<'b> {
    Entry(Remains<'b>),
    /// A seal, whole, whose head says that it is the first of a group.
    Seal(Seal),
}

/// What a scanner met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    Frame(Found),
    /// Bytes that are no frame, or part of one.
    Damage(&'static str),
    /// The end, behind a whole frame.
    End,
}

/// The head in these bytes, if it can be one of a segment's frames; `gaps` says whether of a stand-in's.
pub(crate) fn head_of(bytes: &[u8], gaps: bool) -> Result<(Kind, Head), &'static str> {
    let head = bytes.first_chunk::<HEAD>().ok_or("the end within a frame's head")?;
    let head = Head::parse(head).ok_or("a frame's head whose CRC differs")?;
    let fits =
        |kind: &Kind| matches!(kind, Kind::Entry | Kind::Seal) || (gaps && *kind == Kind::Gap);
    let kind = Kind::from_letter(head.letter).filter(fits);
    let kind = kind.ok_or("a kind of frame that no segment has")?;
    let fits = head.mark <= 1 && head.length <= BODY_MAX && (head.left == 0 || kind == Kind::Entry);
    if fits { Ok((kind, head)) } else { Err("a frame's head beyond the limits") }
}

/// The seal with this head that begins a group, if its body is whole. None is as long as what is looked at for an entry.
fn seal_of(head: &[u8; HEAD], body: &[u8]) -> Option<Seal> {
    if !head.starts_with(&[Kind::Seal.letter(), 1]) {
        return None;
    }
    let head = Head::parse(head)?;
    let body = body.get(..head.length).filter(|body| crc32fast::hash(body) == head.crc)?;
    Seal::parse(&mut Reader::new(body)).ok()
}

/// Goes through the frames of a segment, one after the other, up to a length.
pub(crate) struct Scanner<'f> {
    file: &'f dyn File,
    end: u64,
    /// Whether there may be gaps: only where a file stands in for a segment.
    gaps: bool,
    /// Bytes of the file from `base` on.
    buffer: Vec<u8>,
    base: u64,
    at: u64,
    body: Range<usize>,
}

impl<'f> Scanner<'f> {
    pub(crate) fn new(file: &'f dyn File, at: u64, end: u64) -> Self {
        Self { file, end, gaps: false, buffer: Vec::new(), base: at, at, body: 0..0 }
    }

    /// Takes gaps as well, or no longer.
    pub(crate) fn with_gaps(self, gaps: bool) -> Self {
        Self { gaps, ..self }
    }

    /// Where the next frame would be.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Body of the frame that was found last.
    pub(crate) fn body(&self) -> &[u8] {
        self.buffer.get(self.body.clone()).unwrap_or_default()
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> io::Result<Scanned> {
        if self.at >= self.end {
            return Ok(Scanned::End);
        }
        let gaps = self.gaps;
        let (kind, head) = match head_of(self.look(HEAD)?, gaps) {
            Ok(found) => found,
            Err(what) => return Ok(Scanned::Damage(what)),
        };
        let len = HEAD.saturating_add(head.length);
        let body = self.look(len)?.get(HEAD..len);
        let Some(body) = body else {
            return Ok(Scanned::Damage("the end within a frame's body"));
        };
        if crc32fast::hash(body) != head.crc {
            return Ok(Scanned::Damage("a frame's body whose CRC differs"));
        }
        let start = self.offset().saturating_add(HEAD);
        self.body = start..start.saturating_add(head.length);
        let at = self.at;
        self.at = at.saturating_add(len_u64(len));
        let is_marked = head.mark == 1;
        Ok(Scanned::Frame(Found { kind, left: head.left, is_marked, at, end: self.at }))
    }

    /// What is left of an entry whose head was here, which is not asked for the rest of its frame; or the seal that is here.
    pub(crate) fn remains(&mut self, at: u64) -> io::Result<Option<Left<'_>>> {
        self.jump(at);
        let bytes = self.look(HEAD.saturating_add(SIGNED_MAX))?;
        let Some((head, body)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        if body.first() != Some(&ENTRY) {
            return Ok(seal_of(head, body).map(Left::Seal));
        }
        let Ok((fields, signature)) = Fields::parse(&mut Reader::new(body)) else {
            return Ok(None);
        };
        let is_marked = Head::parse(head).is_some_and(|head| head.mark == 1);
        Ok(Some(Left::Entry(Remains { fields, signature, is_marked })))
    }

    /// Goes on at another place, be there a frame or not.
    fn jump(&mut self, at: u64) {
        self.at = at;
        if at < self.base || at > self.base.saturating_add(len_u64(self.buffer.len())) {
            self.buffer.clear();
            self.base = at;
        }
    }

    fn offset(&self) -> usize {
        usize::try_from(self.at.saturating_sub(self.base)).unwrap_or(usize::MAX)
    }

    /// Up to `len` bytes from here on; fewer at the end.
    fn look(&mut self, len: usize) -> io::Result<&[u8]> {
        let start = self.offset();
        if self.buffer.len().saturating_sub(start) < len {
            self.buffer.drain(..start.min(self.buffer.len()));
            self.base = self.at;
            let left = usize::try_from(self.end.saturating_sub(self.base)).unwrap_or(usize::MAX);
            let want = len.max(BLOCK).min(left);
            let had = self.buffer.len();
            if want > had {
                self.buffer.resize(want, 0);
                let mut filled = had;
                while let Some(rest) = self.buffer.get_mut(filled..).filter(|r| !r.is_empty()) {
                    let from = self.base.saturating_add(len_u64(filled));
                    let count = self.file.read_at(rest, from)?;
                    if count == 0 {
                        break;
                    }
                    filled = filled.saturating_add(count);
                }
                self.buffer.truncate(filled);
            }
        }
        let start = self.offset();
        let end = start.saturating_add(len).min(self.buffer.len());
        Ok(self.buffer.get(start..end).unwrap_or_default())
    }
}

/// A frame's bytes with its mark set as wanted.
pub(crate) fn marked(head: &[u8; HEAD], is_marked: bool) -> [u8; HEAD] {
    let [_, mark, ..] = *head;
    if mark == u8::from(is_marked) {
        return *head;
    }
    match Head::parse(head) {
        Some(parsed) => Head { mark: u8::from(is_marked), ..parsed }.encode(),
        None => *head,
    }
}
