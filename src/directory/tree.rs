//! The tree over the sealed segments, in a file beside the other indexes: without it the first proof would read the whole ledger.

use std::io;
use std::sync::Arc;

use crate::digest::Digest;
use crate::directory::indexed::Indexes;
use crate::directory::{Directory, Piece};
use crate::frame::{Kind, Written};
use crate::index::{FileShelf, Source};
use crate::segment::Scanned;
use crate::store::Frames;
use crate::tree::{self, Nodes, Shelf};

/// The leaf of an entry.
fn leaf_of(left: u16, body: &[u8], chain: &Digest) -> io::Result<Digest> {
    let written = Written::parse(left, body)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    let entry = written.entry(chain);
    Ok(tree::leaf_hash(&entry.digest(), entry.signature()))
}

fn end_of(source: &Source) -> u64 {
    source.first.saturating_add(source.count)
}

impl Directory {
    /// The shelf of the tree as it was at the end of the last segment that it has all nodes of, and how many entries that were.
    pub(super) fn tree_shelf(&self, writable: bool) -> io::Result<Option<(u64, FileShelf)>> {
        let Some(indexes) = self.indexes(writable)? else { return Ok(None) };
        let chain = self.chain_id();
        for (_, source) in self.sources().iter().rev() {
            let (folder, size) = (Arc::clone(&indexes.folder), end_of(source));
            if let Some(shelf) = FileShelf::open(folder, &chain, size, writable)? {
                return Ok(Some((size, shelf)));
            }
        }
        Ok(None)
    }

    fn leaf(&self, sequence: u64, chain: &Digest) -> Option<Digest> {
        let mut frames = Frames::new();
        self.read_frames(sequence, 1, &mut frames).ok()?;
        let frame = frames.iter().next()?;
        leaf_of(frame.left, frame.body, chain).ok()
    }

    /// Adds the first of the sealed segments that the tree does not have yet. Says whether there was one.
    pub(super) fn grow_tree(
        &self,
        indexes: &Indexes,
        sources: &[(Arc<Piece>, Source)],
    ) -> io::Result<bool> {
        let chain = self.chain_id();
        let mut held = indexes.tree.lock();
        let mut nodes = if let Some(nodes) = held.take() {
            nodes
        } else {
            let resumed = self.tree_shelf(true)?.and_then(|(size, shelf)| {
                Nodes::behind(size, shelf, &|sequence| self.leaf(sequence, &chain))
            });
            let fresh = || Nodes::on(FileShelf::create(Arc::clone(&indexes.folder), &chain));
            resumed.unwrap_or_else(fresh)
        };
        let missing = sources.iter().find(|(_, source)| end_of(source) > nodes.size());
        if let Some((piece, source)) = missing {
            let end = piece.end.unwrap_or(source.length);
            if piece.is_stand_in && self.places(piece, end)?.has_gaps() {
                // A shelf has the nodes of all entries, or of those before: proofs about later ones are made in memory.
                *held = Some(nodes);
                return Ok(false);
            }
            let mut scanner = piece.scanner(piece.start, end);
            let mut sequence = source.first;
            while let Scanned::Frame(found) = scanner.next()? {
                if found.kind == Kind::Entry {
                    if sequence >= nodes.size() {
                        nodes.push(leaf_of(found.left, scanner.body(), &chain)?);
                    }
                    sequence = sequence.saturating_add(1);
                }
            }
            if nodes.size() != end_of(source) {
                let what = format!("expected {} entries, found {}", end_of(source), nodes.size());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            nodes.shelf_mut().flush()?;
        }
        *held = Some(nodes);
        Ok(missing.is_some())
    }

    /// Has the tree made anew when the indexes are tended next.
    pub(super) fn drop_tree(&self) {
        if let Ok(Some(indexes)) = self.indexes(false) {
            let empty = FileShelf::create(Arc::clone(&indexes.folder), &self.chain_id());
            *indexes.tree.lock() = Some(Nodes::on(empty));
        }
    }
}
