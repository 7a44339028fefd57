//! A ledger's files as one chain file, for whoever verifies: the same frames in the same order, without marks.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::chainfile::{self, HEAD, Head};
use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::open::{LOOK, misfit};
use crate::directory::{Directory, Piece};
use crate::frame::{self, Frame, VERSION};
use crate::segment;
use crate::sync::Mutex;

/// Bytes that are made ready at once.
const BLOCK: usize = 1 << 20;

/// Where in a stream the frames of a segment begin: byte of the stream, number of the segment, byte there.
type Turn = (u64, u64, u64);

/// Says which place of which segment a place in a stream is.
#[derive(Clone, Debug, Default)]
pub struct Atlas(Arc<Mutex<Vec<Turn>>>);

impl Atlas {
    /// Number of the segment, and byte in it, of a byte of the stream that has been read.
    pub fn locate(&self, at: u64) -> Option<(u64, u64)> {
        let turns = self.0.lock();
        let after = turns.partition_point(|(base, ..)| *base <= at);
        let (base, ordinal, start) = turns.get(after.checked_sub(1)?)?;
        Some((*ordinal, start.saturating_add(at.saturating_sub(*base))))
    }
}

/// Reads a ledger's files as one chain file without trailer, up to what was durable when it was made.
#[derive(Debug)]
pub struct Stream {
    chain_id: Digest,
    pieces: Vec<(Arc<Piece>, u64)>,
    number: usize,
    /// Where in the segment the next frame is.
    at: u64,
    /// What was made ready, and behind it what was read before: to wipe that each time would cost as much as to read it.
    ready: Vec<u8>,
    /// Bytes that were made ready, and how many of them were given out.
    length: usize,
    given: usize,
    /// Bytes of the stream that were made ready.
    made: u64,
    atlas: Atlas,
}

impl Stream {
    pub(super) fn new(chain_id: Digest, pieces: Vec<(Arc<Piece>, u64)>) -> io::Result<Self> {
        let mut stream = Self {
            chain_id,
            pieces,
            number: 0,
            at: 0,
            ready: Vec::new(),
            length: 0,
            given: 0,
            made: 0,
            atlas: Atlas::default(),
        };
        stream.rewind()?;
        Ok(stream)
    }

    /// Says which place of which segment a place in the stream is.
    pub fn atlas(&self) -> Atlas {
        self.atlas.clone()
    }

    /// How many bytes it has, its header and what was found to be damaged aside: for whoever shows how far it is.
    pub fn length(&self) -> u64 {
        let of = |(piece, end): &(Arc<Piece>, u64)| end.saturating_sub(piece.start);
        self.pieces.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Makes the next block ready. Nothing is ready afterwards only at the end.
    fn make(&mut self) -> io::Result<()> {
        (self.length, self.given) = (0, 0);
        while self.length == 0 {
            let Some((piece, end)) = self.pieces.get(self.number).cloned() else { return Ok(()) };
            self.atlas.0.lock().push((self.made, piece.beginning.ordinal, self.at));
            self.read_frames(&piece, end)?;
            self.at = self.at.saturating_add(len_u64(self.length));
            if self.length == 0 && self.at < end {
                self.read_rest(&piece, end)?;
                self.number = self.pieces.len();
            } else if self.at >= end {
                self.number = self.number.saturating_add(1);
                self.at = self.pieces.get(self.number).map_or(0, |(piece, _)| piece.start);
            }
            self.made = self.made.saturating_add(len_u64(self.length));
        }
        Ok(())
    }

    /// Reads whole frames, where they are to be given from: to move them once more would cost as much as to read them.
    fn read_frames(&mut self, piece: &Piece, end: u64) -> io::Result<()> {
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let mut wanted = BLOCK.min(left);
        loop {
            let read = self.fill(piece, wanted)?;
            let long = loop {
                let rest = self.ready.get_mut(self.length..read).unwrap_or_default();
                let Ok((_, head)) = segment::head_of(rest, piece.is_stand_in) else { break 0 };
                let long = HEAD.saturating_add(head.length);
                if self.at == piece.start
                    && self.length == 0
                    && let Some((_, body)) = rest.get(..long).and_then(|f| f.split_at_checked(HEAD))
                {
                    check_first(piece, &head, body)?;
                }
                let Some(first) = rest.get_mut(..long).and_then(|frame| frame.first_chunk_mut())
                else {
                    break long;
                };
                *first = segment::marked(first, false);
                self.length = self.length.saturating_add(long);
            };
            // One frame alone may be longer than a block.
            if self.length > 0 || long <= wanted || long > left {
                return Ok(());
            }
            wanted = long;
        }
    }

    /// Reads so many bytes, or all that there are.
    fn fill(&mut self, piece: &Piece, wanted: usize) -> io::Result<usize> {
        if self.ready.len() < wanted {
            self.ready.resize(wanted, 0);
        }
        let mut filled = 0;
        while let Some(room) = self.ready.get_mut(filled..wanted).filter(|room| !room.is_empty()) {
            match piece.file.read_at(room, self.at.saturating_add(len_u64(filled)))? {
                0 => break,
                count => filled = filled.saturating_add(count),
            }
        }
        Ok(filled)
    }

    /// Reads what is no frame: given as it is, for the verifier to say what it is. Nothing behind it is read.
    fn read_rest(&mut self, piece: &Piece, end: u64) -> io::Result<()> {
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        self.length = self.fill(piece, BLOCK.min(left))?;
        if self.length == 0 {
            // The file ends before what was durable, behind a whole frame: without this byte nobody would see that it was cut.
            self.ready = vec![0];
            self.length = 1;
        }
        Ok(())
    }
}

/// Refuses a segment that begins with another entry than it says: a chain file does not hold what it says of itself, and by that
/// readers find entries.
fn check_first(piece: &Piece, head: &Head, body: &[u8]) -> io::Result<()> {
    let said = piece.beginning.first;
    if head.crc != crc32fast::hash(body) {
        // What a damaged frame is the verifier says.
        return Ok(());
    }
    match frame::fields(body) {
        Ok(fields) if fields.sequence != said => {
            let (name, found) = (piece.name(), fields.sequence);
            let what =
                format!("{name} says that it begins with entry {said}, but begins with {found}");
            Err(misfit(what, LOOK))
        }
        _ => Ok(()),
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given >= self.length {
            self.make()?;
        }
        let rest = self.ready.get(self.given..self.length).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given = self.given.saturating_add(count);
        Ok(count)
    }
}

impl Seek for Stream {
    /// Only to the beginning, and to where it stands.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(0) => {
                let (version, chain_id) = (VERSION, self.chain_id);
                let (head, body) = chainfile::encode(&Frame::Header { version, chain_id })?;
                self.ready = [&chainfile::MAGIC[..], &head, &body].concat();
                self.length = self.ready.len();
                self.made = len_u64(self.length);
                self.at = self.pieces.first().map_or(0, |(piece, _)| piece.start);
                (self.number, self.given) = (0, 0);
                self.atlas.0.lock().clear();
                Ok(0)
            }
            SeekFrom::Current(0) => {
                let left = self.length.saturating_sub(self.given);
                Ok(self.made.saturating_sub(len_u64(left)))
            }
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "only to the beginning")),
        }
    }
}

impl Directory {
    /// All that is durable, as one chain file without trailer.
    pub fn stream(&self) -> io::Result<Stream> {
        let live = self.live.lock();
        let pieces =
            live.pieces.iter().map(|piece| (Arc::clone(piece), piece.end.unwrap_or(live.end)));
        let pieces: Vec<_> = pieces.collect();
        drop(live);
        let chain_id = pieces.first().map_or(Digest::ZERO, |(piece, _)| piece.beginning.chain_id);
        Stream::new(chain_id, pieces)
    }
}
