//! The tree's nodes of level 8 and up, in a file: one record after the other, in the order in which the nodes complete.
//!
//! A node's place follows from its level and index, so nothing else has to be kept. A record is the node and eight bytes of BLAKE3 over
//! it and its place: a damaged node is none, where it would otherwise make proofs that fail only with whoever checks them. That the nodes
//! are those of the chain is seen when a tree is resumed and compared with the frontier of a signed seal.

use std::io;
use std::sync::Arc;

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::disk::Folder;
use crate::index::block::{self, Blocks};
use crate::tree::{STORED_LEVEL, Shelf};

/// What the file is, and its format.
const MAGIC: &[u8; 8] = b"sigtree1";
const NAME: &str = "tree";
/// A node and its guard.
const RECORD: usize = 32 + GUARD;
const GUARD: usize = 8;
/// Records that are read at once when all are.
const MANY: u64 = 1024;

/// How many nodes of level 8 and up are complete when so many leaves are there.
fn nodes_of(size: u64) -> u64 {
    let blocks = size >> STORED_LEVEL;
    blocks.saturating_mul(2).saturating_sub(u64::from(blocks.count_ones()))
}

/// How many nodes are complete before this one.
fn place(level: u32, index: u64) -> Option<u64> {
    let end = index.checked_add(1)?.checked_mul(1u64.checked_shl(level)?)?;
    // Those of the blocks before the one that completes it, and those below it that this one completes too.
    let below = u64::from(level.checked_sub(STORED_LEVEL)?);
    nodes_of(end - (1 << STORED_LEVEL)).checked_add(below)
}

/// Offset of a record: after the first block.
fn offset_of(place: u64) -> u64 {
    place.saturating_mul(len_u64(RECORD)).saturating_add(block::offset_of(1))
}

/// A shelf in a file. What is put there stays in memory until it is flushed.
#[derive(Debug)]
pub struct FileShelf {
    folder: Arc<dyn Folder>,
    head: Vec<u8>,
    key: [u8; 32],
    file: Option<Blocks>,
    /// Records in the file that count.
    held: u64,
    /// Whether the file holds, or may hold, anything behind them: then it is not written to again, but copied.
    is_spent: bool,
    /// Records behind those.
    buffer: Vec<u8>,
}

impl FileShelf {
    /// An empty shelf. The file that is there is replaced at the first flush.
    pub fn create(folder: Arc<dyn Folder>, chain: &Digest) -> Self {
        let head = [MAGIC.as_slice(), chain.as_bytes()].concat();
        let (key, buffer) = (block::key(&head), Vec::new());
        Self { folder, head, key, file: None, held: 0, is_spent: true, buffer }
    }

    /// The shelf of a tree with so many leaves, for [`crate::tree::Nodes::resume`]. Nothing if there is no file of this chain with all
    /// its nodes: an earlier tree may still be resumed, or else all leaves are pushed again on an empty shelf. `writable` also to put.
    ///
    /// Nodes that complete later are passed over: they are of entries that may have been dropped.
    pub fn open(
        folder: Arc<dyn Folder>,
        chain: &Digest,
        size: u64,
        writable: bool,
    ) -> io::Result<Option<Self>> {
        let empty = Self::create(folder, chain);
        let Some((file, _)) = Blocks::open(&*empty.folder, NAME, &empty.head, writable)? else {
            return Ok(None);
        };
        let held = nodes_of(size);
        let (length, expected) = (file.len(), offset_of(held));
        let shelf = Self { file: Some(file), held, is_spent: length > expected, ..empty };
        Ok((length >= expected).then_some(shelf))
    }

    /// Reads all of the file. Says whether it is what was written; if not, all leaves are pushed again on an empty shelf.
    pub fn check(&self) -> io::Result<bool> {
        match self.walk(|_| Ok(())) {
            Err(error) if block::is_damage(&error) => Ok(false),
            walked => walked.map(|()| true),
        }
    }

    /// Goes through the records in the file that count, many at a time, if all of them are what was written.
    fn walk(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut at = 0;
        while at < self.held {
            let count = MANY.min(self.held - at);
            let length = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(RECORD);
            let mut bytes = vec![0; length];
            file.read_bytes(&mut bytes, offset_of(at))?;
            let records = bytes.as_chunks::<RECORD>().0.iter();
            if let Some((_, place)) = records.zip(at..).find(|(r, at)| self.node(r, *at).is_none())
            {
                return Err(block::damage(NAME, format!("node {place} is not what was written")));
            }
            each(&bytes)?;
            at += count;
        }
        Ok(())
    }

    /// The node in a record, if it is what was written at this place.
    fn node(&self, record: &[u8; RECORD], place: u64) -> Option<Digest> {
        let (node, found) = record.split_first_chunk::<32>()?;
        let expected: [u8; GUARD] = block::guard(&self.key, node, place);
        (found == expected).then(|| Digest::new(*node))
    }

    /// Makes a file of the records that count.
    fn copy(&mut self) -> io::Result<()> {
        let copied = block::make(&*self.folder, NAME, &self.head, false, |draft| {
            self.walk(|records| draft.push_bytes(records))
        })?;
        self.file = Some(copied);
        Ok(())
    }
}

impl Shelf for FileShelf {
    fn get(&self, level: u32, index: u64) -> Option<Digest> {
        let place = place(level, index)?;
        if let Some(behind) = place.checked_sub(self.held) {
            let records = self.buffer.as_chunks().0;
            return self.node(records.get(usize::try_from(behind).ok()?)?, place);
        }
        let mut record = [0; RECORD];
        self.file.as_ref()?.read_bytes(&mut record, offset_of(place)).ok()?;
        self.node(&record, place)
    }

    fn put(&mut self, level: u32, index: u64, node: Digest) {
        let Some(place) = place(level, index) else { return };
        // Nodes of entries that are in a gap do not come: in their place is none. Such a shelf is never written out.
        let at = usize::try_from(place.saturating_sub(self.held)).unwrap_or(0);
        self.buffer.resize(at.saturating_mul(RECORD).max(self.buffer.len()), 0);
        let guard: [u8; GUARD] = block::guard(&self.key, node.as_bytes(), place);
        self.buffer.extend_from_slice(node.as_bytes());
        self.buffer.extend_from_slice(&guard);
    }

    /// Writes out what was put. After an error it is still there, and the next attempt begins a new file: to one that has failed
    /// nothing is ever added.
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.is_spent {
            self.copy()?;
        }
        let Some(file) = &self.file else { return Ok(()) };
        self.is_spent = true;
        file.write_bytes(&self.buffer, offset_of(self.held))?;
        self.is_spent = false;
        let count = len_u64(self.buffer.len() / RECORD);
        self.held = self.held.saturating_add(count);
        self.buffer.clear();
        Ok(())
    }
}
