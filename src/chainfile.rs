//! Files of frames, in either form: the chain file (binary) and JSON lines. Reading is by blocks of raw frames, so that all
//! cores can work on their content; writing is a frame at a time.
//!
//! Nothing here judges. A reader says where frames begin and end and how the file ended; it never looks for a next frame
//! behind a head that it cannot trust, since then whoever damaged the file would choose what is found.

use std::io::{self, Read, Write};
use std::ops::Range;

use crate::checkpoint::{Checkpoint, Seal};
use crate::codec::{DecodeError, len_u64};
use crate::digest::Digest;
use crate::entry::Entry;
#[cfg(feature = "std")]
use crate::entry::Fields;
use crate::fault::{Code, Fault, Misfit};
use crate::frame::{
    self, Attachment, BODY_MAX, Frame, Gap, Kind, Summary, Trailer, VERSION, Written,
};
use crate::jsonl;
use crate::key::SigningKey;
use crate::payload::Part;
use crate::tree::{self, Frontier};

/// The first bytes of a chain file: the PNG trick, which shows a transfer that changed line ends or cut the eighth bit.
pub const MAGIC: [u8; 8] = [0x89, b'S', b'G', b'C', b'\r', b'\n', 0x1a, b'\n'];

/// Bytes of a frame's head.
pub(crate) const HEAD: usize = 16;
/// Read at a time: what a stated length can make us allocate before its bytes are there.
const CHUNK: usize = 1 << 20;

/// The most bytes that a block is asked for.
const BLOCK_MAX: usize = 64 << 20;

/// How the frames are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Binary, with a head before each frame.
    ChainFile,
    /// One line of text for each.
    JsonLines,
}

/// A frame whose bytes are known and not yet looked at.
#[derive(Clone, Debug)]
pub struct RawFrame {
    /// Byte offset of its head, or number of its line.
    pub place: u64,
    /// Its kind; `None` if a line names one that does not exist.
    pub kind: Option<Kind>,
    /// How many entries of its batch follow, if that stands outside the body.
    pub left: Option<u16>,
    body: Range<usize>,
    crc: Option<u32>,
}

/// A number of frames that stand one after the other.
#[derive(Clone)]
pub struct Block {
    bytes: Vec<u8>,
    frames: Vec<RawFrame>,
}

impl std::fmt::Debug for Block {
    /// Without the bytes: they hold payloads, and are many.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("frames", &self.frames.len()).finish_non_exhaustive()
    }
}

impl Block {
    /// Its frames.
    pub fn frames(&self) -> &[RawFrame] {
        &self.frames
    }

    /// Bytes of memory that it holds.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The version that a header states, if its body is what was written.
    fn stated_version(&self, raw: &RawFrame) -> Option<u64> {
        let body = self.bytes.get(raw.body.clone())?;
        (raw.crc == Some(crc32fast::hash(body))).then(|| frame::stated_version(body)).flatten()
    }

    /// The body of one of its frames, if it is what was written, as far as the form of the file can tell.
    pub(crate) fn body(&self, raw: &RawFrame) -> Result<&[u8], Misfit> {
        let body = self.bytes.get(raw.body.clone()).unwrap_or_default();
        let Some(crc) = raw.crc else { return Ok(body) };
        let found = crc32fast::hash(body);
        if found != crc {
            let expected = format!("a body with CRC {crc:08x}");
            return Err(Misfit::new(Code::FrameBody, expected, format!("{found:08x}")));
        }
        Ok(body)
    }

    /// The whole frame as it stands in a chain file; `None` of a line.
    pub(crate) fn framed(&self, raw: &RawFrame) -> Option<&[u8]> {
        raw.crc?;
        self.bytes.get(raw.body.start.checked_sub(HEAD)?..raw.body.end)
    }

    /// The fields of an entry, if they can be had without its payload: not of a line, and not if they are malformed.
    #[cfg(feature = "std")]
    pub(crate) fn fields(&self, raw: &RawFrame) -> Result<Option<Fields<'_>>, Misfit> {
        if raw.crc.is_none() { Ok(None) } else { Ok(frame::fields(self.body(raw)?).ok()) }
    }

    /// The content of one of its frames.
    pub fn parse(&self, raw: &RawFrame) -> Result<Frame<'_>, Misfit> {
        let Some(kind) = raw.kind else {
            return Err(Misfit::new(Code::FrameMalformed, "a kind of frame", "another name"));
        };
        let malformed = |error: DecodeError| {
            let code =
                if kind == Kind::Entry { Code::EntryMalformed } else { Code::FrameMalformed };
            Misfit::new(code, format!("{} at byte {}", error.expected, error.at), error.found)
        };
        let body = self.body(raw)?;
        if raw.crc.is_none() {
            return jsonl::parse(body).map_err(malformed);
        }
        Frame::parse(kind, raw.left.unwrap_or(0), body).map_err(malformed)
    }
}

/// How a file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// Behind a whole frame.
    Clean,
    /// In the middle of one, or at a head that cannot be trusted.
    Damaged(Misfit),
}

/// Reads a file of frames.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    form: Form,
    chain_id: Digest,
    /// Bytes that were read and not yet given out; they begin where a frame does.
    carry: Vec<u8>,
    /// Where in `carry` that is.
    start: usize,
    at_end: bool,
    place: u64,
    ending: Option<Ending>,
}

/// Why a file was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// It could not be read.
    Io(io::Error),
    /// It is none of ours, or of a version that we do not know.
    Unreadable(Fault),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Unreadable(fault) => {
                write!(f, "{}: expected {}, found {}", fault.code, fault.expected, fault.found)
            }
        }
    }
}

impl std::error::Error for OpenError {}

enum Scan {
    Bad(Misfit),
    Frame(RawFrame, usize),
    More,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning: form, version, chain id.
    pub fn open(source: R) -> Result<Self, OpenError> {
        let mut reader = Self {
            source,
            form: Form::ChainFile,
            chain_id: Digest::ZERO,
            carry: Vec::new(),
            start: 0,
            at_end: false,
            place: 0,
            ending: None,
        };
        while reader.carry.len() < MAGIC.len() && reader.fill(0)? {}
        if reader.carry.first() == Some(&b'{') {
            reader.form = Form::JsonLines;
            reader.place = 1;
        } else if reader.carry.starts_with(&MAGIC) {
            reader.start = MAGIC.len();
            reader.place = len_u64(MAGIC.len());
        } else {
            let expected = "a chain file or JSON lines";
            let misfit = Misfit::new(Code::FileMagic, expected, "other bytes");
            return Err(OpenError::Unreadable(misfit.at(0, None)));
        }
        reader.read_header()?;
        Ok(reader)
    }

    fn read_header(&mut self) -> Result<(), OpenError> {
        let place = u64::from(self.form == Form::JsonLines);
        let unreadable = |code, found: String| {
            let misfit = Misfit::new(code, "a header of version 1", found);
            Err(OpenError::Unreadable(misfit.at(place, None)))
        };
        let block = self.block(1, 0)?;
        let Some(raw) = block.frames.first() else {
            if self.form == Form::JsonLines && !self.begins_with_header() {
                return unreadable(Code::FileMagic, "another first line".to_owned());
            }
            return unreadable(Code::FileHeader, "none that is whole".to_owned());
        };
        if raw.kind != Some(Kind::Header) {
            let code = match self.form {
                Form::ChainFile => Code::FileHeader,
                Form::JsonLines => Code::FileMagic,
            };
            return unreadable(code, "another frame".to_owned());
        }
        if let Some(version) = block.stated_version(raw).filter(|version| *version != VERSION) {
            return unreadable(Code::FileVersion, format!("version {version}"));
        }
        match block.parse(raw) {
            Ok(Frame::Header { version: VERSION, chain_id }) => self.chain_id = chain_id,
            Ok(Frame::Header { version, .. }) => {
                return unreadable(Code::FileVersion, format!("version {version}"));
            }
            Ok(_) => return unreadable(Code::FileHeader, "another frame".to_owned()),
            Err(misfit) => return unreadable(Code::FileHeader, misfit.found),
        }
        Ok(())
    }

    fn begins_with_header(&self) -> bool {
        let rest = self.carry.get(self.start..).unwrap_or_default();
        rest.starts_with(b"{\"frame\":\"header\"")
    }

    /// The form of the file.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The chain id that the header states.
    pub fn chain_id(&self) -> Digest {
        self.chain_id
    }

    /// Where the next frame begins; after the last block, where the file ends.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// How the file ended, once no more blocks come.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The next frames: at most `frames`, and about `bytes` of them. Empty when the file has ended.
    ///
    /// After an error nothing was given out: the same call may be made again.
    pub fn block(&mut self, frames: usize, bytes: usize) -> io::Result<Block> {
        let bytes = bytes.min(BLOCK_MAX);
        let mut found = Vec::new();
        let (mut at, mut place) = (0, self.place);
        // How much of what begins at `at` is known to hold no end of a line.
        let mut searched = 0;
        while found.len() < frames && (found.is_empty() || at < bytes) && self.ending.is_none() {
            let rest = self.carry.get(self.start + at..).unwrap_or_default();
            let scan = match self.form {
                Form::ChainFile => scan_frame(rest, place),
                Form::JsonLines => scan_line(rest, place, searched),
            };
            match scan {
                Scan::Frame(mut raw, len) => {
                    raw.body = raw.body.start + at..raw.body.end + at;
                    found.push(raw);
                    at += len;
                    searched = 0;
                    place += match self.form {
                        Form::ChainFile => len_u64(len),
                        Form::JsonLines => 1,
                    };
                }
                Scan::Bad(misfit) => self.ending = Some(Ending::Damaged(misfit)),
                Scan::More => {
                    searched = rest.len();
                    let left = rest.len();
                    if !self.fill(bytes)? {
                        self.ending = Some(Self::end_of_file(left));
                    }
                }
            }
        }
        self.place = place;
        Ok(Block { bytes: self.give(at), frames: found })
    }

    /// Parts with the next `len` bytes: with the buffer itself if they are most of it, with a copy if they are few.
    fn give(&mut self, len: usize) -> Vec<u8> {
        if self.start == 0 && len >= self.carry.len() / 2 {
            let rest = self.carry.split_off(len);
            return std::mem::replace(&mut self.carry, rest);
        }
        let end = self.start + len;
        let given = self.carry.get(self.start..end).unwrap_or_default().to_vec();
        self.start = end;
        given
    }

    fn end_of_file(left: usize) -> Ending {
        if left == 0 {
            return Ending::Clean;
        }
        let found = format!("{left} bytes and the end of the file");
        Ending::Damaged(Misfit::new(Code::FrameCut, "a whole frame", found))
    }

    /// Reads on, with room for a block of `bytes`. Says whether there was anything.
    fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        self.carry.drain(..self.start);
        self.start = 0;
        // Room for the whole block at once: growing by doubling would copy it, and keep twice of it.
        self.carry.reserve_exact((bytes + CHUNK).saturating_sub(self.carry.len()).max(CHUNK));
        // A chunk at a time: a length that lies costs one chunk, not what it says.
        let read = (&mut self.source).take(len_u64(CHUNK)).read_to_end(&mut self.carry)?;
        self.at_end = read < CHUNK;
        Ok(read > 0)
    }
}

/// What the sixteen bytes before a body say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) letter: u8,
    /// Zero in a chain file; a ledger's own files mark the beginning of a group here.
    pub(crate) mark: u8,
    pub(crate) left: u16,
    /// Bytes of body.
    pub(crate) length: usize,
    pub(crate) crc: u32,
}

impl Head {
    /// Parses a head, if its own CRC is right.
    pub(crate) fn parse(head: &[u8; HEAD]) -> Option<Self> {
        let [letter, mark, l0, l1, n0, n1, n2, n3, b0, b1, b2, b3, h0, h1, h2, h3] = *head;
        let (guarded, _) = head.split_at(HEAD - 4);
        if crc32fast::hash(guarded) != u32::from_be_bytes([h0, h1, h2, h3]) {
            return None;
        }
        let length = u32::from_be_bytes([n0, n1, n2, n3]);
        Some(Self {
            letter,
            mark,
            left: u16::from_be_bytes([l0, l1]),
            length: usize::try_from(length).unwrap_or(usize::MAX),
            crc: u32::from_be_bytes([b0, b1, b2, b3]),
        })
    }

    /// The head's bytes.
    pub(crate) fn encode(&self) -> [u8; HEAD] {
        let [l0, l1] = self.left.to_be_bytes();
        // A head is only made for bodies that were measured.
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let [n0, n1, n2, n3] = length.to_be_bytes();
        let [b0, b1, b2, b3] = self.crc.to_be_bytes();
        let guarded = [self.letter, self.mark, l0, l1, n0, n1, n2, n3, b0, b1, b2, b3];
        let [h0, h1, h2, h3] = crc32fast::hash(&guarded).to_be_bytes();
        [self.letter, self.mark, l0, l1, n0, n1, n2, n3, b0, b1, b2, b3, h0, h1, h2, h3]
    }
}

fn scan_frame(rest: &[u8], place: u64) -> Scan {
    let Some(head) = rest.first_chunk::<HEAD>() else { return Scan::More };
    let bad =
        |expected: &str, found: String| Scan::Bad(Misfit::new(Code::FrameHead, expected, found));
    let Some(Head { letter, mark, left, length, crc }) = Head::parse(head) else {
        return bad("a frame head", "bytes whose CRC differs".to_owned());
    };
    let Some(kind) = Kind::from_letter(letter) else {
        return bad("a kind of frame", format!("0x{letter:02x}"));
    };
    if mark != 0 || length > BODY_MAX || (left != 0 && kind != Kind::Entry) {
        return bad("a frame head within the limits", format!("{length} bytes, left {left}"));
    }
    if rest.len() < HEAD + length {
        return Scan::More;
    }
    let body = HEAD..HEAD + length;
    let raw = RawFrame { place, kind: Some(kind), left: Some(left), body, crc: Some(crc) };
    Scan::Frame(raw, HEAD + length)
}

fn scan_line(rest: &[u8], place: u64, searched: usize) -> Scan {
    let window = rest.get(..jsonl::LINE_MAX).unwrap_or(rest);
    let new = window.get(searched..).unwrap_or_default();
    let Some(len) = new.iter().position(|b| *b == b'\n').map(|at| at + searched) else {
        if rest.len() >= jsonl::LINE_MAX {
            let found = "a longer one".to_owned();
            return Scan::Bad(Misfit::new(Code::FrameHead, "a line of at most 36 MiB", found));
        }
        return Scan::More;
    };
    let kind = jsonl::kind(rest.get(..len).unwrap_or_default());
    Scan::Frame(RawFrame { place, kind, left: None, body: 0..len, crc: None }, len + 1)
}

/// Writes a file of frames. Counts them and grows the tree, so that the trailer is right by construction.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    form: Form,
    frames: u64,
    tree: Frontier,
}

impl<W: Write> Writer<W> {
    /// Begins a file of the chain with this id.
    pub fn new(mut sink: W, form: Form, chain_id: Digest) -> io::Result<Self> {
        if form == Form::ChainFile {
            sink.write_all(&MAGIC)?;
        }
        let mut writer = Self { sink, form, frames: 0, tree: Frontier::new() };
        writer.write(&Frame::Header { version: VERSION, chain_id })?;
        Ok(writer)
    }

    /// Number of entries so far, gaps included.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Root over them.
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// The tree over them.
    pub fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// Writes an entry of whose batch `left` entries follow.
    pub fn entry(&mut self, left: u16, entry: Entry<'_>, part: Part<'_>) -> io::Result<()> {
        self.expect(entry.sequence(), "an entry")?;
        self.tree.push(tree::leaf_hash(&entry.digest(), entry.signature()));
        self.write(&Frame::Entry(Box::new(Written::new(left, entry, part))))
    }

    /// Writes an entry that was read from another file of its chain, with `part` beside it. `leaf` is its own in the tree, which whoever
    /// verified it knows: computing it takes as long as all the rest of this.
    pub fn copy(&mut self, written: &Written<'_>, part: &Part<'_>, leaf: Digest) -> io::Result<()> {
        self.expect(written.fields.sequence, "an entry")?;
        self.tree.push(leaf);
        match self.form {
            Form::ChainFile => {
                let body = frame::entry_body(&written.fields, &written.signature, part);
                self.sink.write_all(&encode_head(Kind::Entry, written.left, &body)?)?;
                self.sink.write_all(&body)?;
            }
            Form::JsonLines => {
                let written = Written { part: part.clone(), ..written.clone() };
                let line = jsonl::encode(&Frame::Entry(Box::new(written)));
                self.sink.write_all(line.as_bytes())?;
            }
        }
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    /// The same where all of it is kept: a frame that was read from another chain file of its chain, as it stands there, and its leaf in
    /// the tree. Each entry has one frame only, so that whoever verified it knows that encoding it again would give the same bytes.
    pub fn copy_frame(&mut self, sequence: u64, leaf: Digest, frame: &[u8]) -> io::Result<()> {
        self.expect(sequence, "an entry")?;
        if self.form != Form::ChainFile {
            let message = "expected a chain file to copy a frame to, found JSON lines";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.tree.push(leaf);
        self.sink.write_all(frame)?;
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    /// Writes a gap.
    pub fn gap(&mut self, gap: Gap) -> io::Result<()> {
        self.expect(gap.first, "a gap")?;
        for ((_, level), hash) in tree::split(gap.first, gap.count).into_iter().zip(&gap.hashes) {
            self.tree.push_subtree(*hash, level);
        }
        self.write(&Frame::Gap(gap))
    }

    /// Writes a checkpoint.
    pub fn checkpoint(&mut self, checkpoint: Checkpoint) -> io::Result<()> {
        self.write(&Frame::Checkpoint(checkpoint))
    }

    /// Writes a seal.
    pub fn seal(&mut self, seal: Seal) -> io::Result<()> {
        self.write(&Frame::Seal(seal))
    }

    /// Writes an attachment.
    pub fn attachment(&mut self, attachment: Attachment<'_>) -> io::Result<()> {
        self.write(&Frame::Attachment(attachment))
    }

    /// Ends the file with a checkpoint over exactly what it holds.
    pub fn finish_signed(mut self, origin: &str, key: &SigningKey) -> io::Result<W> {
        let checkpoint = Checkpoint::sign(origin, self.size(), self.root(), key);
        self.trailer(Summary::Signed(checkpoint))?;
        Ok(self.sink)
    }

    /// Ends the file with a checkpoint that was signed elsewhere, over exactly what the file holds.
    pub fn finish_with(mut self, checkpoint: Checkpoint) -> io::Result<W> {
        if (checkpoint.size(), checkpoint.root()) != (self.size(), self.root()) {
            let message = format!(
                "expected a checkpoint over {} entries with the root of this file, found one over {}",
                self.size(),
                checkpoint.size()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.trailer(Summary::Signed(checkpoint))?;
        Ok(self.sink)
    }

    /// Ends the file with its size and root, unsigned.
    pub fn finish_unsigned(mut self) -> io::Result<W> {
        let (size, root) = (self.size(), self.root());
        self.trailer(Summary::Unsigned { size, root })?;
        Ok(self.sink)
    }

    /// Leaves the file without a trailer, as a live log of JSON lines is.
    pub fn leave_open(self) -> W {
        self.sink
    }

    /// What is written must go on where the file stands.
    fn expect(&self, sequence: u64, what: &str) -> io::Result<()> {
        if sequence == self.size() {
            return Ok(());
        }
        let message = format!("expected {what} at {}, found one at {sequence}", self.size());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    fn trailer(&mut self, summary: Summary) -> io::Result<()> {
        if self.size() == 0 {
            let message = "expected a file with entry 0, found none to end";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let frames = self.frames;
        self.write(&Frame::Trailer(Trailer::new(frames, summary)))?;
        self.sink.flush()
    }

    fn write(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        match self.form {
            Form::ChainFile => {
                let (head, body) = encode(frame)?;
                self.sink.write_all(&head)?;
                self.sink.write_all(&body)?;
            }
            Form::JsonLines => self.sink.write_all(jsonl::encode(frame).as_bytes())?,
        }
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }
}

/// Head and body of a frame.
pub fn encode(frame: &Frame<'_>) -> io::Result<([u8; HEAD], Vec<u8>)> {
    let body = frame.body();
    Ok((encode_head(frame.kind(), frame.left(), &body)?, body))
}

/// The head of a frame with this body.
pub(crate) fn encode_head(kind: Kind, left: u16, body: &[u8]) -> io::Result<[u8; HEAD]> {
    if body.len() > BODY_MAX {
        let message = format!("a frame of {} bytes; at most {BODY_MAX} fit", body.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let (letter, length, crc) = (kind.letter(), body.len(), crc32fast::hash(body));
    Ok(Head { letter, mark: 0, left, length, crc }.encode())
}
