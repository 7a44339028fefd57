//! Beginning: a directory, and one segment after the other. What a name stands for is whole and synced before it has the name.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::read::{Cache, Ids};
use crate::directory::record::Record;
use crate::directory::{Directory, Limits, Live, NEXT, Piece, RECORD, Writer, name_of};
use crate::disk::{DiskError, File, Folder};
use crate::segment::Beginning;
use crate::store::StoreError;
use crate::sync::Mutex;

/// How often a lock is asked for that somebody else holds.
const LOCK_EVERY: Duration = Duration::from_millis(20);

/// Locks a folder, and waits for it up to `wait`.
pub(super) fn lock(folder: &dyn Folder, wait: Duration) -> io::Result<()> {
    let start = Instant::now();
    while !folder.lock()? {
        if start.elapsed() >= wait {
            let what = "another writer holds this ledger";
            let advice = "close it there, or wait for it longer";
            let kind = io::ErrorKind::ResourceBusy;
            return Err(
                DiskError::new("LEDGER_BUSY", "the ledger's directory", what, advice).into_io(kind)
            );
        }
        std::thread::sleep(LOCK_EVERY.min(wait.saturating_sub(start.elapsed())));
    }
    Ok(())
}

impl Directory {
    /// Takes an empty folder for a new chain. It is locked; the first commit makes it a ledger.
    pub fn create(folder: Arc<dyn Folder>, limits: Limits, wait: Duration) -> io::Result<Self> {
        lock(&*folder, wait)?;
        let mut names = folder.names()?;
        // What a creation left that ended before the chain had its first entry.
        for name in [NEXT, RECORD] {
            if let Some(at) = names.iter().position(|found| found == name)
                && !names.iter().any(|found| found.starts_with(super::SEGMENT) && found != NEXT)
            {
                folder.remove(name)?;
                names.swap_remove(at);
            }
        }
        if let Some(name) = names.first() {
            let what = format!("expected an empty directory, found {name}");
            let advice = "open the ledger that is there, or give another path";
            return Err(DiskError::new("FS_EXISTS", "the ledger's directory", what, advice)
                .into_io(io::ErrorKind::AlreadyExists));
        }
        let record_file = Some(folder.create(RECORD)?);
        let record = Record {
            chain_id: Digest::ZERO,
            ordinal: 0,
            length: 0,
            size: 0,
            head: Digest::ZERO,
            seal: None,
            epoch: 0,
            writing: None,
        };
        let live = Live {
            pieces: Vec::new(),
            size: 0,
            end: 0,
            offsets: Vec::new(),
            recent: 0,
            recent_at: 0,
            ids: Ids::default(),
        };
        Ok(Self::over(folder, limits, Writer::new(record, record_file, 0, Some(Vec::new())), live))
    }

    pub(super) fn over(
        folder: Arc<dyn Folder>,
        limits: Limits,
        writer: Writer,
        live: Live,
    ) -> Self {
        let cache = Mutex::new(Cache::default());
        let (writer, live, indexes) = (Mutex::new(writer), Mutex::new(live), Mutex::new(None));
        Self { folder, limits, writer, live, cache, indexes }
    }

    /// Begins the next segment, with these frames in it. Afterwards it is the one that is written to.
    ///
    /// An error before it is to have its name leaves nothing that counts; one after that is uncertain.
    pub(super) fn begin(&self, writer: &mut Writer, frames: &[u8]) -> Result<(), StoreError> {
        let beginning = Beginning {
            chain_id: writer.record.chain_id,
            ordinal: writer.next_ordinal,
            first: writer.record.size,
            prior: writer.record.head,
            epoch: writer.record.epoch,
            accepted: writer.file.is_some().then_some(writer.record.length),
            authority: writer.authority.clone(),
        };
        let (file, start) = self.make(&beginning, frames).map_err(StoreError::Refused)?;
        let named = self.folder.rename(NEXT, &name_of(beginning.ordinal));
        if let Err(error) = named.and_then(|()| self.folder.sync()) {
            // Whether it has its name is not known: nothing that follows could be told from what is in it.
            writer.is_over = true;
            return Err(StoreError::Uncertain(error));
        }
        writer.next_ordinal = beginning.ordinal.saturating_add(1);
        self.adopt(writer, beginning, file, start, len_u64(frames.len()));
        Ok(())
    }

    /// Makes the file of the next segment, whole and synced.
    fn make(&self, beginning: &Beginning, frames: &[u8]) -> io::Result<(Arc<dyn File>, u64)> {
        // One that an earlier attempt left. Nothing ever counted in it; if it had entries, it was set aside when the ledger was opened.
        match self.folder.remove(NEXT) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut bytes = beginning.encode();
        let start = len_u64(bytes.len());
        bytes.extend_from_slice(frames);
        let file: Arc<dyn File> = self.folder.create(NEXT)?.into();
        file.write_at(&bytes, 0)?;
        file.sync()?;
        Ok((file, start))
    }

    /// Takes a segment that was begun as the one that is written to and read from.
    fn adopt(
        &self,
        writer: &mut Writer,
        beginning: Beginning,
        file: Arc<dyn File>,
        start: u64,
        frames: u64,
    ) {
        let mut live = self.live.lock();
        if let Some(last) = live.pieces.pop() {
            let end = beginning.accepted;
            let Piece { beginning, file, start, .. } = &*last;
            let (beginning, file, start) = (beginning.clone(), Arc::clone(file), *start);
            live.pieces.push(Arc::new(Piece { beginning, file, start, end }));
        }
        let (first, ordinal) = (beginning.first, beginning.ordinal);
        live.pieces.push(Arc::new(Piece { beginning, file: Arc::clone(&file), start, end: None }));
        live.offsets.clear();
        live.ids.clear();
        live.recent = first;
        live.recent_at = start;
        live.end = start.saturating_add(frames);
        writer.record.ordinal = ordinal;
        writer.record.length = live.end;
        writer.record.seal = None;
        writer.file = Some(file);
        writer.is_spent = false;
        writer.begun = Instant::now();
        writer.first = first;
    }
}

impl Writer {
    pub(super) fn new(
        record: Record,
        record_file: Option<Box<dyn File>>,
        next_ordinal: u64,
        authority: Option<Vec<u64>>,
    ) -> Self {
        Self {
            file: None,
            is_spent: false,
            is_over: false,
            next_ordinal,
            authority,
            record_file,
            record,
            begun: Instant::now(),
            first: 0,
            announced: None,
            buffer: Vec::new(),
        }
    }

    /// Notes who writes, once something of theirs is durable.
    pub(super) fn settle(&mut self) {
        if let Some((writing, epoch)) = self.announced.take() {
            (self.record.writing, self.record.epoch) = (Some(writing), epoch);
        }
    }
}
