//! What is derived from sealed segments, so that neither time nor memory of a look-up grows with the ledger. It is made by a thread
//! that nobody waits for; where it is missing the segments themselves are read.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::read::Places;
use crate::directory::{Directory, Piece};
use crate::disk::Folder;
use crate::id::EventId;
use crate::index::{self, Content, FileShelf, Recent, Runs, Source};
use crate::sync::Mutex;
use crate::tree::Nodes;

/// Name of the folder.
const INDEX: &str = "index";
/// Bytes that one read takes, unless a single frame is longer.
const READ: u64 = 1 << 20;
/// The numbers that segments can have.
pub(super) const ALL: Range<u64> = 0..u64::MAX;
/// Entries that one read takes.
const ENTRIES: u64 = 1024;

/// The indexes of one ledger.
#[derive(Debug)]
pub(super) struct Indexes {
    pub(super) folder: Arc<dyn Folder>,
    recent: Recent,
    runs: Runs,
    known: Mutex<Known>,
    /// The tree over the sealed segments, once it is tended.
    pub(super) tree: Mutex<Option<Nodes<FileShelf>>>,
}

/// What is known of the files that say where frames are, by number of the segment.
#[derive(Debug, Default)]
struct Known {
    /// Found whole, or made: need not be opened again to see that they are there.
    done: BTreeSet<u64>,
    /// Found to be wrong, although they begin well: to be made again.
    wrong: BTreeSet<u64>,
}

impl Indexes {
    /// Where entries of a segment are. Nothing if there is no index of it.
    fn range(&self, source: &Source, first: u64, count: usize) -> io::Result<Option<(u64, u64)>> {
        let Some(sealed) = self.recent.get(source)? else { return Ok(None) };
        let offset = |sequence| sealed.offset(sequence).map(u64::from);
        let last = source.first.saturating_add(source.count);
        let start = offset(first)?;
        let mut wanted = len_u64(count).min(ENTRIES).min(last.saturating_sub(first)).max(1);
        loop {
            let next = first.saturating_add(wanted);
            let end = if next == last { source.length } else { offset(next)? };
            if wanted == 1 || end.saturating_sub(start) <= READ {
                return Ok(Some((start, end)));
            }
            wanted /= 2;
        }
    }

    /// Uses the index of a segment no more, and has it made again.
    fn distrust(&self, ordinal: u64) {
        self.recent.close(ordinal);
        let mut known = self.known.lock();
        known.done.remove(&ordinal);
        known.wrong.insert(ordinal);
    }

    /// Whether all that there is to be of a segment is there. Of what stands in for one only its events are indexed.
    fn has(&self, source: &Source, is_stand_in: bool) -> io::Result<bool> {
        let ordinal = source.ordinal;
        if !self.runs.knows(ordinal) {
            return Ok(false);
        }
        let mut known = self.known.lock();
        if known.wrong.contains(&ordinal) {
            return Ok(false);
        }
        if !known.done.contains(&ordinal) && (is_stand_in || self.recent.get(source)?.is_some()) {
            known.done.insert(ordinal);
        }
        Ok(known.done.contains(&ordinal))
    }

    /// Makes what there is to be of a segment.
    fn make(
        &self,
        chain: &Digest,
        (piece, places): (&Piece, Places),
        source: Source,
    ) -> io::Result<()> {
        let (offsets, ids) = places.into_parts(piece)?;
        let content = Content { source, offsets: &offsets, ids: &ids };
        self.recent.close(source.ordinal);
        if !piece.is_stand_in {
            index::write(&*self.folder, chain, &content)?;
        }
        self.runs.add(&content)?;
        let mut known = self.known.lock();
        known.wrong.remove(&source.ordinal);
        known.done.insert(source.ordinal);
        Ok(())
    }
}

/// How far the making of indexes is. Held while it goes on.
#[derive(Debug, Default)]
pub(super) struct Tending {
    is_over: bool,
    /// Segments of which none could be made this time round, and why that was so of the first of them.
    failed: BTreeSet<u64>,
    trouble: Option<io::Error>,
}

/// What the index of a sealed segment is made from: of the segment at this place among them, which another follows.
fn source_at(pieces: &[Arc<Piece>], at: usize) -> Option<(Arc<Piece>, Source)> {
    let (piece, next) = (pieces.get(at)?, pieces.get(at.saturating_add(1))?);
    let (ordinal, first) = (piece.beginning.ordinal, piece.beginning.first);
    let count = next.beginning.first.saturating_sub(first);
    // Of the segment, and not of what may stand in for it by now: what was made of its events stays right.
    let (length, head) = (next.beginning.accepted?, next.beginning.prior);
    Some((Arc::clone(piece), Source { ordinal, first, count, length, head }))
}

impl Directory {
    /// The sealed segments.
    pub(super) fn sources(&self) -> Vec<(Arc<Piece>, Source)> {
        let live = self.live.lock();
        (0..live.pieces.len()).filter_map(|at| source_at(&live.pieces, at)).collect()
    }

    /// The indexes, opened when they are first asked for; nothing if there are none.
    pub(super) fn indexes(&self, create: bool) -> io::Result<Option<Arc<Indexes>>> {
        let mut held = self.indexes.lock();
        if let Some(found) = &*held {
            return Ok(Some(Arc::clone(found)));
        }
        let folder = match self.folder.folder(INDEX, create) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let sources: Vec<Source> = self.sources().iter().map(|(_, source)| *source).collect();
        let chain = self.chain_of_pieces();
        let runs = Runs::open(Arc::clone(&folder), chain, &sources)?;
        let recent = Recent::new(Arc::clone(&folder), chain);
        let (known, tree) = (Mutex::default(), Mutex::new(None));
        let opened = Arc::new(Indexes { folder, recent, runs, known, tree });
        *held = Some(Arc::clone(&opened));
        Ok(Some(opened))
    }

    fn chain_of_pieces(&self) -> Digest {
        self.live.lock().pieces.first().map_or(Digest::ZERO, |piece| piece.beginning.chain_id)
    }

    /// Where entries of a sealed segment are, by its index; nothing if it has none that is sound.
    pub(super) fn indexed(&self, piece: &Piece, first: u64, count: usize) -> Option<(u64, u64)> {
        if piece.is_stand_in {
            // In it they are elsewhere.
            return None;
        }
        let ordinal = piece.beginning.ordinal;
        let (_, source) = {
            let live = self.live.lock();
            let at = live.pieces.partition_point(|piece| piece.beginning.ordinal < ordinal);
            source_at(&live.pieces, at)?
        };
        let indexes = self.indexes(false).ok()??;
        let found = indexes.range(&source, first, count);
        found.unwrap_or_else(|_| {
            indexes.distrust(ordinal);
            None
        })
    }

    /// Uses the index of a segment no more: what it led to is not what it said.
    pub(super) fn distrust(&self, ordinal: u64) {
        if let Ok(Some(indexes)) = self.indexes(false) {
            indexes.distrust(ordinal);
        }
    }

    /// Which entry has an event, as far as that is indexed, and the numbers of the segments of which nothing is known.
    pub(super) fn indexed_id(&self, id: &EventId) -> (Option<u64>, Vec<Range<u64>>) {
        match self.indexes(false) {
            Ok(Some(indexes)) => indexes.runs.find_known(id),
            _ => (None, vec![ALL]),
        }
    }

    /// Makes the indexes of one segment that lacks them, or merges some. Says whether there may be more to do. What fails is passed over,
    /// and said when all else is done.
    pub(super) fn make_indexes(&self) -> io::Result<bool> {
        let tending = &mut *self.tending.lock();
        let sources = self.sources();
        if tending.is_over || sources.is_empty() {
            return Ok(false);
        }
        let Some(indexes) = self.indexes(true)? else { return Ok(false) };
        let chain = self.chain_of_pieces();
        for (piece, source) in &sources {
            let source = *source;
            if tending.failed.contains(&source.ordinal)
                || indexes.has(&source, piece.is_stand_in)?
            {
                continue;
            }
            let end = piece.end.unwrap_or(source.length);
            let made = self
                .look(piece, Places::none(piece), end)
                .and_then(|places| indexes.make(&chain, (piece, places), source));
            match made {
                Ok(()) => return Ok(true),
                Err(error) => {
                    tending.failed.insert(source.ordinal);
                    tending.trouble.get_or_insert(error);
                }
            }
        }
        if indexes.runs.merge_step()? || self.grow_tree(&indexes, &sources)? {
            return Ok(true);
        }
        tending.failed.clear();
        tending.trouble.take().map_or(Ok(false), Err)
    }

    /// Makes no more indexes, and waits until none is being made: whoever has the ledger next makes them in the same place.
    pub(super) fn end_indexes(&self) {
        let indexes = self.indexes.lock().clone();
        if let Some(indexes) = indexes {
            indexes.runs.stop();
        }
        self.tending.lock().is_over = true;
    }

    /// Forgets which indexes there are: segments have been added by somebody else.
    pub(super) fn forget_indexes(&self) {
        *self.indexes.lock() = None;
    }
}
