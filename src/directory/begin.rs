//! Beginning: a directory, and one segment after the other. What a name stands for is whole and synced before it has the name.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::handles::Handles;
use crate::directory::read::{Cache, Ids};
use crate::directory::record::Record;
use crate::directory::reserve::{RESERVE, Reserve};
use crate::directory::{Directory, Limits, Live, NEXT, Piece, RECORD, Writer, name_of};
use crate::disk::{DiskError, File, Folder};
use crate::segment::{Beginning, Needed};
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
            return Err(DiskError::new("LEDGER_BUSY", &folder.place(), what, advice).into_io(kind));
        }
        std::thread::sleep(LOCK_EVERY.min(wait.saturating_sub(start.elapsed())));
    }
    Ok(())
}

/// Refuses to take what says that a chain was here for the remains of a creation: its segments are gone, and this is all that shows it.
fn check_left(folder: &dyn Folder, name: &str) -> io::Result<()> {
    if name == RESERVE {
        return Ok(());
    }
    let file = folder.open(name, false)?;
    let lost = if name == NEXT {
        let beginning = Beginning::read(&*file).map(|(beginning, _)| beginning).ok();
        let later = beginning.filter(|beginning| beginning.ordinal > 0);
        later.map(|later| (later.chain_id, later.first))
    } else {
        // Written only once the first segment has its name for good.
        let record = Record::read(&*file)?.filter(|record| record.size > 0);
        record.map(|record| (record.chain_id, record.size))
    };
    let Some((chain, size)) = lost else { return Ok(()) };
    let what = format!(
        "expected a place where no chain was, found by {name} that chain {chain} was here, with at least {size} entries"
    );
    let advice = "bring its segments back from a copy; or give another path";
    Err(DiskError::new("LEDGER_LOST", &folder.place(), what, advice)
        .into_io(io::ErrorKind::AlreadyExists))
}

impl Directory {
    /// Takes an empty folder for a new chain. It is locked; the first commit makes it a ledger.
    pub fn create(folder: Arc<dyn Folder>, limits: Limits, wait: Duration) -> io::Result<Self> {
        lock(&*folder, wait)?;
        let names = folder.names()?;
        // What a creation left that ended before the chain had its first entry. Nothing is removed before all of it is known to be that.
        let (left, others): (Vec<_>, Vec<_>) =
            names.iter().partition(|name| [NEXT, RECORD, RESERVE].contains(&name.as_str()));
        if let Some(name) = others.first() {
            let what = format!("expected an empty directory, found {name}");
            let advice = "open the ledger that is there, or give another path";
            return Err(DiskError::new("FS_EXISTS", &folder.place(), what, advice)
                .into_io(io::ErrorKind::AlreadyExists));
        }
        for name in &left {
            check_left(&*folder, name)?;
        }
        for name in left {
            folder.remove(name)?;
        }
        let record_file = Some(folder.create(RECORD)?.into());
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
        Ok(Self::over(
            Handles::new(folder),
            limits,
            Writer::new(record, record_file, 0, Some(Vec::new())),
            live,
        ))
    }

    pub(super) fn over(handles: Arc<Handles>, limits: Limits, writer: Writer, live: Live) -> Self {
        let folder = handles.folder();
        let cache = Mutex::new(Cache::default());
        let (writer, live, indexes) = (Mutex::new(writer), Mutex::new(live), Mutex::new(None));
        let tending = Mutex::default();
        Self { folder, handles, limits, writer, live, cache, indexes, tending }
    }

    /// Begins the next segment, with these frames in it. Afterwards it is the one that is written to.
    ///
    /// An error before it is to have its name leaves nothing that counts; one after that is uncertain.
    pub(super) fn begin(&self, writer: &mut Writer, frames: &[u8]) -> Result<(), StoreError> {
        let next = self.make(writer, writer.record.length, frames).map_err(StoreError::Refused)?;
        self.put_in_place(writer, next)
    }

    /// Makes the next segment, whole and synced, with these frames in it. It does not count before it has its name. Of the last one
    /// `accepted` bytes do then.
    pub(super) fn make(&self, writer: &Writer, accepted: u64, frames: &[u8]) -> io::Result<Next> {
        let beginning = Beginning {
            chain_id: writer.record.chain_id,
            ordinal: writer.next_ordinal,
            first: writer.record.size,
            prior: writer.record.head,
            // Of whoever is about to write: the record has it only once something of theirs is durable.
            epoch: writer.announced.as_ref().map_or(writer.record.epoch, |(_, epoch)| *epoch),
            accepted: writer.file.is_some().then_some(accepted),
            authority: writer.authority.as_ref().map(|list| Needed::at(list, writer.record.size)),
            begun: len_u64(frames.len()),
        };
        // One that an earlier attempt left. Nothing ever counted in it; if it had entries, it was set aside when the ledger was opened.
        self.folder.clear(NEXT)?;
        let mut bytes = beginning.encode();
        let start = len_u64(bytes.len());
        bytes.extend_from_slice(frames);
        let file: Arc<dyn File> = self.folder.create(NEXT)?.into();
        file.write_at(&bytes, 0)?;
        file.sync()?;
        Ok(Next { beginning, file, start })
    }

    /// Gives the next segment its name.
    pub(super) fn put_in_place(&self, writer: &mut Writer, next: Next) -> Result<(), StoreError> {
        let named = self.folder.rename(NEXT, &name_of(next.beginning.ordinal));
        if let Err(error) = named.and_then(|()| self.folder.sync()) {
            // Whether it has its name is not known: nothing that follows could be told from what is in it.
            writer.is_over = true;
            return Err(StoreError::Uncertain(error));
        }
        writer.next_ordinal = next.beginning.ordinal.saturating_add(1);
        self.adopt(writer, next);
        Ok(())
    }

    /// Takes a segment that was begun as the one that is written to and read from.
    fn adopt(&self, writer: &mut Writer, next: Next) {
        let Next { beginning, file, start } = next;
        let mut live = self.live.lock();
        if let Some(last) = live.pieces.pop() {
            let end = beginning.accepted;
            let file = self.handles.shut(last.name());
            let Piece { beginning, start, is_stand_in, .. } = &*last;
            let (beginning, start, is_stand_in) = (beginning.clone(), *start, *is_stand_in);
            live.pieces.push(Arc::new(Piece { beginning, file, start, end, is_stand_in }));
        }
        let Beginning { first, ordinal, begun, .. } = beginning;
        let (of, end, is_stand_in) = (Arc::clone(&file), None, false);
        live.pieces.push(Arc::new(Piece { beginning, file: of, start, end, is_stand_in }));
        live.offsets.clear();
        live.ids.clear();
        live.recent = first;
        live.recent_at = start;
        live.end = start.saturating_add(begun);
        writer.record.ordinal = ordinal;
        writer.record.length = live.end;
        writer.record.seal = None;
        writer.file = Some(file);
        (writer.begun, writer.aged) = (Instant::now(), Duration::ZERO);
        writer.first = first;
    }
}

/// A segment that was made, and has no number yet.
pub(super) struct Next {
    beginning: Beginning,
    file: Arc<dyn File>,
    /// Where its first frame is.
    start: u64,
}

impl Writer {
    pub(super) fn new(
        record: Record,
        record_file: Option<Arc<dyn File>>,
        next_ordinal: u64,
        authority: Option<Vec<Needed>>,
    ) -> Self {
        Self {
            file: None,
            is_over: false,
            next_ordinal,
            authority,
            record_file,
            record,
            left: None,
            attested: None,
            begun: Instant::now(),
            aged: Duration::ZERO,
            first: 0,
            announced: None,
            buffer: Vec::new(),
            reserve: Reserve::default(),
            ended: None,
        }
    }

    /// Notes who writes, once something of theirs is durable.
    pub(super) fn settle(&mut self) {
        if let Some((writing, epoch)) = self.announced.take() {
            (self.record.writing, self.record.epoch) = (Some(writing), epoch);
        }
    }
}
