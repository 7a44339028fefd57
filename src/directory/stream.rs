//! A ledger's files as one chain file, for whoever verifies: the same frames in the same order, without marks.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::chainfile;
use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::{Directory, Piece};
use crate::frame::{Frame, VERSION};
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
    ready: Vec<u8>,
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
        self.ready.clear();
        self.given = 0;
        while self.ready.is_empty() {
            let Some((piece, end)) = self.pieces.get(self.number) else { return Ok(()) };
            let base = self.made;
            self.atlas.0.lock().push((base, piece.beginning.ordinal, self.at));
            let mut scanner = piece.scanner(self.at, *end);
            while self.ready.len() < BLOCK
                && let Some((head, body)) = scanner.next_raw()?
            {
                self.ready.extend_from_slice(&segment::marked(&head, false));
                self.ready.extend_from_slice(body);
            }
            self.at = scanner.at();
            if self.ready.len() < BLOCK && self.at < *end {
                // No frame: given as it is, for the verifier to say what it is. Nothing behind it is read.
                let rest = end.saturating_sub(self.at).min(len_u64(BLOCK));
                let mut bytes = vec![0; usize::try_from(rest).unwrap_or(BLOCK)];
                let count = piece.file.read_at(&mut bytes, self.at)?;
                bytes.truncate(count);
                if count == 0 {
                    // The file ends before what was durable, behind a whole frame: without this byte nobody would see that it was cut.
                    bytes.push(0);
                }
                self.ready.extend_from_slice(&bytes);
                self.number = self.pieces.len();
            } else if self.at >= *end {
                self.number = self.number.saturating_add(1);
                self.at = self.pieces.get(self.number).map_or(0, |(piece, _)| piece.start);
            }
            self.made = base.saturating_add(len_u64(self.ready.len()));
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given >= self.ready.len() {
            self.make()?;
        }
        let rest = self.ready.get(self.given..).unwrap_or_default();
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
                self.made = len_u64(self.ready.len());
                self.at = self.pieces.first().map_or(0, |(piece, _)| piece.start);
                (self.number, self.given) = (0, 0);
                self.atlas.0.lock().clear();
                Ok(0)
            }
            SeekFrom::Current(0) => {
                let left = self.ready.len().saturating_sub(self.given);
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
