//! Where each entry's frame is in a sealed segment: the offsets, four bytes each, 1020 to a block.
//!
//! It holds no event ids. They would lie here a second time beside the runs, and one lookup would have to ask as many files as there are
//! segments; the ids of one segment are a run of their own until they are merged.

use std::io;
use std::sync::Arc;

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::disk::Folder;
use crate::index::block::{self, Blocks, ROOM};
use crate::index::{Content, Source};
use crate::sync::Mutex;

/// What the file is, and its format.
const MAGIC: &[u8; 8] = b"sigoff-1";
const OFFSETS: usize = ROOM / 4;
/// Most indexes that are kept open.
const OPEN_MAX: usize = 32;

fn name(ordinal: u64) -> String {
    format!("{ordinal:010}.index")
}

fn head(chain: &Digest, source: &Source) -> Vec<u8> {
    let Source { ordinal, first, count, length, head: last } = *source;
    let mut head = [MAGIC.as_slice(), chain.as_bytes(), last.as_bytes()].concat();
    for number in [ordinal, first, count, length] {
        head.extend_from_slice(&number.to_be_bytes());
    }
    head
}

/// Writes the index of a sealed segment. One that is there already is replaced.
pub fn write(folder: &dyn Folder, chain: &Digest, content: &Content<'_>) -> io::Result<()> {
    let (source, found) = (&content.source, content.offsets.len());
    if len_u64(found) != source.count {
        let what = format!("expected {} offsets, found {found}", source.count);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let made = block::make(folder, &name(source.ordinal), &head(chain, source), false, |draft| {
        content.offsets.chunks(OFFSETS).try_for_each(|offsets| {
            let bytes: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_be_bytes()).collect();
            draft.push(&bytes)
        })
    });
    made.map(drop)
}

/// The index of a sealed segment.
#[derive(Debug)]
pub struct Sealed {
    source: Source,
    blocks: Blocks,
}

impl Sealed {
    /// Opens the index of a segment. Nothing if there is none, or it is of another segment, or damaged: write it again.
    ///
    /// Reads one block, so damage elsewhere shows only when it is read; [`Sealed::check`] looks for it.
    pub fn open(folder: &dyn Folder, chain: &Digest, source: &Source) -> io::Result<Option<Self>> {
        let opened = Blocks::open(folder, &name(source.ordinal), &head(chain, source), false)?;
        let count = source.count.div_ceil(len_u64(OFFSETS)).saturating_add(1);
        Ok(opened
            .filter(|(blocks, _)| blocks.has(count))
            .map(|(blocks, _)| Self { source: *source, blocks }))
    }

    /// The segment it is of.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Where the frame of an entry begins. Reads one block.
    pub fn offset(&self, sequence: u64) -> io::Result<u32> {
        let Source { first, count, .. } = self.source;
        let index =
            sequence.checked_sub(first).filter(|index| *index < count).ok_or_else(|| {
                let what =
                    format!("expected one of {count} entries from {first} on, found {sequence}");
                io::Error::new(io::ErrorKind::InvalidInput, what)
            })?;
        let (number, at) = (index / len_u64(OFFSETS), index % len_u64(OFFSETS));
        let block = self.blocks.read(number.saturating_add(1))?;
        let offset = usize::try_from(at).ok().and_then(|at| block.records().get(at).copied());
        let missing = || block::damage(&name(self.source.ordinal), format!("no offset {index}"));
        offset.map(u32::from_be_bytes).ok_or_else(missing)
    }

    /// Reads all of it. Says whether it is what was written.
    pub fn check(&self) -> io::Result<bool> {
        self.blocks.check()
    }
}

/// The indexes of the segments that were used last. The others are closed, so that neither handles nor memory grow with the ledger.
#[derive(Debug)]
pub struct Recent {
    folder: Arc<dyn Folder>,
    chain: Digest,
    /// The one used last comes first.
    open: Mutex<Vec<Arc<Sealed>>>,
}

impl Recent {
    /// None open yet.
    pub fn new(folder: Arc<dyn Folder>, chain: Digest) -> Self {
        Self { folder, chain, open: Mutex::new(Vec::new()) }
    }

    /// The index of a segment, as [`Sealed::open`] gives it.
    pub fn get(&self, source: &Source) -> io::Result<Option<Arc<Sealed>>> {
        let mut open = self.open.lock();
        let sealed = match open.iter().position(|sealed| sealed.source == *source) {
            Some(at) => open.remove(at),
            None => match Sealed::open(&*self.folder, &self.chain, source)? {
                Some(sealed) => Arc::new(sealed),
                None => return Ok(None),
            },
        };
        open.truncate(OPEN_MAX - 1);
        open.insert(0, Arc::clone(&sealed));
        Ok(Some(sealed))
    }

    /// Closes the index of a segment, because it is damaged or written again.
    pub fn close(&self, ordinal: u64) {
        self.open.lock().retain(|sealed| sealed.source.ordinal != ordinal);
    }
}
