//! What is derived from sealed segments, so that neither time nor memory of a look-up grows with the ledger. It is made by a thread
//! that nobody waits for; where it is missing the segments themselves are read.

use std::io;
use std::sync::Arc;

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::read::scan;
use crate::directory::{Directory, Piece};
use crate::disk::Folder;
use crate::id::EventId;
use crate::index::{self, Content, Recent, Runs, Source};

/// Name of the folder.
const INDEX: &str = "index";
/// Bytes that one read takes, unless a single frame is longer.
const READ: u64 = 1 << 20;
/// Entries that one read takes.
const ENTRIES: u64 = 1024;

/// The indexes of one ledger.
#[derive(Debug)]
pub(super) struct Indexes {
    folder: Arc<dyn Folder>,
    recent: Recent,
    runs: Runs,
}

impl Directory {
    /// The sealed segments.
    fn sources(&self) -> Vec<(Arc<Piece>, Source)> {
        let live = self.live.lock();
        let pairs = live.pieces.windows(2).filter_map(|pair| {
            let [piece, next] = pair else { return None };
            let (ordinal, first) = (piece.beginning.ordinal, piece.beginning.first);
            let count = next.beginning.first.saturating_sub(first);
            let length = piece.end?;
            Some((Arc::clone(piece), Source { ordinal, first, count, length }))
        });
        pairs.collect()
    }

    /// The indexes, opened when they are first asked for; nothing if there are none.
    fn indexes(&self, create: bool) -> io::Result<Option<Arc<Indexes>>> {
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
        let opened = Arc::new(Indexes { folder, recent, runs });
        *held = Some(Arc::clone(&opened));
        Ok(Some(opened))
    }

    fn chain_of_pieces(&self) -> Digest {
        self.live.lock().pieces.first().map_or(Digest::ZERO, |piece| piece.beginning.chain_id)
    }

    /// Where entries of a sealed segment are, by its index; nothing if it has none that is sound.
    pub(super) fn indexed(&self, piece: &Piece, first: u64, count: usize) -> Option<(u64, u64)> {
        let (_, source) =
            self.sources().into_iter().find(|(_, s)| s.ordinal == piece.beginning.ordinal)?;
        let indexes = self.indexes(false).ok()??;
        let sealed = indexes.recent.get(&source).ok()??;
        let offset = |sequence| sealed.offset(sequence).ok().map(u64::from);
        let last = source.first.saturating_add(source.count);
        let start = offset(first)?;
        let mut wanted = len_u64(count).min(ENTRIES).min(last.saturating_sub(first)).max(1);
        loop {
            let next = first.saturating_add(wanted);
            let end = if next == last { source.length } else { offset(next)? };
            if wanted == 1 || end.saturating_sub(start) <= READ {
                return Some((start, end));
            }
            wanted /= 2;
        }
    }

    /// Which entry of the sealed segments has an event. An error says that the indexes do not know.
    pub(super) fn indexed_id(&self, id: &EventId) -> io::Result<Option<u64>> {
        match self.indexes(false)? {
            Some(indexes) => indexes.runs.find(id),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// Makes the indexes that are missing. For a thread that nobody waits for.
    pub(super) fn make_indexes(&self) -> io::Result<()> {
        let sources = self.sources();
        if sources.is_empty() {
            return Ok(());
        }
        let Some(indexes) = self.indexes(true)? else { return Ok(()) };
        let chain = self.chain_of_pieces();
        for (piece, source) in sources {
            if indexes.runs.knows(source.ordinal) && indexes.recent.get(&source)?.is_some() {
                continue;
            }
            let (offsets, ids) = scan(&piece, source.length)?.into_parts();
            let content = Content { source, offsets: &offsets, ids: &ids };
            indexes.recent.close(source.ordinal);
            index::write(&*indexes.folder, &chain, &content)?;
            indexes.runs.add(&content)?;
            while indexes.runs.merge_step()? {}
        }
        Ok(())
    }

    /// Forgets which indexes there are: segments have been added by somebody else.
    pub(super) fn forget_indexes(&self) {
        *self.indexes.lock() = None;
    }
}
