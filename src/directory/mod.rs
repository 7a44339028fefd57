//! A ledger's files: a directory of segments, and the record of how far they are durable.
//!
//! The directory moves frames and knows no entries. One thread at a time commits: it writes a group behind the last one and syncs once.
//! After a write or a sync that failed nothing is ever appended to that file again: the page cache may show bytes that the disk
//! does not have, and a sync that is asked again says that all is well. A new segment then says how much of the old one
//! belongs to the chain.

mod about;
mod archive;
mod begin;
mod follow;
mod handles;
mod indexed;
mod open;
mod pieces;
mod read;
mod record;
mod reserve;
mod salvage;
mod standin;
mod stream;
mod tree;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::len_u64;
use crate::directory::handles::Handles;
use crate::directory::indexed::{Indexes, Tending};
use crate::directory::read::{Cache, Ids};
use crate::directory::reserve::Reserve;
use crate::disk::{DiskError, File, Folder};
use crate::id::EventId;
use crate::segment::{self, Beginning, Needed, Scanner};
use crate::store::{Frames, SealFrame, Store, StoreError, Stored};
use crate::sync::Mutex;
use crate::tree::Shelf;

pub use crate::directory::archive::Archivable;
pub use crate::directory::follow::Follow;
pub(crate) use crate::directory::open::{Ending, Met, Place, Sealed};
pub(crate) use crate::directory::record::Record;
pub use crate::directory::record::Writing;
pub(crate) use crate::directory::standin::{name_of as stand_in_name, put_stand_in};
pub use crate::directory::stream::{Atlas, Stream};

/// Name of the record of what is durable.
const RECORD: &str = "durable";
/// Name of a segment that is being made.
const NEXT: &str = "segment.next";
/// Before the number in the name of one that was not made to the end, and holds entries that were signed.
const ASIDE: &str = "aside-";
/// Before the number in the name of a segment.
const SEGMENT: &str = "segment-";
/// Bytes from which on nothing is added to a segment, whatever the limits say.
const SEGMENT_MAX: u64 = 1 << 31;

/// When a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes from which on a segment is sealed and the next one begun.
    pub bytes: u64,
    /// Age from which on it is, if it has entries.
    pub age: Duration,
    /// Bytes from which on nothing is added to one, sealed or not; at most 2 GiB, since what is in it is found by 32 bits.
    pub most: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, age: Duration::from_secs(24 * 3600), most: SEGMENT_MAX }
    }
}

/// The name of a segment.
pub(crate) fn name_of(ordinal: u64) -> String {
    format!("{SEGMENT}{ordinal:010}")
}

/// The number in the name of a segment.
fn ordinal_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SEGMENT)?;
    let ordinal = digits.parse().ok()?;
    (name_of(ordinal) == name).then_some(ordinal)
}

/// A segment as readers see it.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) beginning: Beginning,
    pub(crate) file: Arc<dyn File>,
    /// Where its first frame is.
    pub(crate) start: u64,
    /// How much of it belongs to the chain, if another segment follows.
    pub(crate) end: Option<u64>,
    /// Whether the file stands in for the segment, and may have gaps.
    pub(crate) is_stand_in: bool,
}

impl Piece {
    /// Goes through its frames from one place to another.
    pub(crate) fn scanner(&self, at: u64, end: u64) -> Scanner<'_> {
        Scanner::new(&*self.file, at, end).with_gaps(self.is_stand_in)
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        if self.is_stand_in {
            standin::name_of(self.beginning.ordinal)
        } else {
            name_of(self.beginning.ordinal)
        }
    }
}

/// What readers see.
#[derive(Debug)]
struct Live {
    pieces: Vec<Arc<Piece>>,
    /// Entries that are durable.
    size: u64,
    /// Bytes of the last segment that are durable.
    end: u64,
    /// Where the frames of the last segment are, from entry `recent` on.
    offsets: Vec<u32>,
    recent: u64,
    /// Where `recent` is, or would be.
    recent_at: u64,
    /// Events of these entries.
    ids: Ids,
}

/// What only whoever commits needs.
#[derive(Debug)]
struct Writer {
    /// The last segment; none in a directory in which nothing was begun.
    file: Option<Arc<dyn File>>,
    /// Whether nothing more is written: a sync has failed, and nothing more is known; or the ledger is closed.
    is_over: bool,
    next_ordinal: u64,
    /// None as long as nobody has said what is needed of what is there.
    authority: Option<Vec<Needed>>,
    record_file: Option<Arc<dyn File>>,
    record: Record,
    /// The record as its file holds it, unless somebody else writes there; none if that is not known.
    left: Option<Vec<u8>>,
    /// The record that was last synced.
    attested: Option<Record>,
    /// When the last segment was begun or opened, and how old it was then.
    begun: Instant,
    aged: Duration,
    /// The first entry of the last segment.
    first: u64,
    /// Who writes from the next group on, and the count of writers then.
    announced: Option<(Writing, u64)>,
    /// What is about to be written; kept for its memory.
    buffer: Vec<u8>,
    reserve: Reserve,
    /// How letting go went, if that was done.
    ended: Option<Result<(), String>>,
}

/// The files of one ledger.
pub struct Directory {
    folder: Arc<dyn Folder>,
    handles: Arc<Handles>,
    limits: Limits,
    writer: Mutex<Writer>,
    live: Mutex<Live>,
    cache: Mutex<Cache>,
    indexes: Mutex<Option<Arc<Indexes>>>,
    tending: Mutex<Tending>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.live.lock();
        write!(f, "Directory({} entries, {} segments)", live.size, live.pieces.len())
    }
}

impl Directory {
    /// Whether `sequence` may continue what is there.
    fn check(writer: &Writer, group: &[Stored]) -> Result<(), StoreError> {
        let next = writer.record.size;
        let refuse = |what: String| Err(StoreError::Refused(io::Error::other(what)));
        if writer.is_over {
            return refuse("nothing more is written: open the ledger again".to_owned());
        }
        if writer.authority.is_none() {
            // What it would go on from nobody has looked at.
            return refuse("expected a directory that a ledger was opened over".to_owned());
        }
        match group.iter().zip(next..).find(|(stored, at)| stored.sequence != *at) {
            None => Ok(()),
            Some((stored, next)) => {
                refuse(format!("expected entry {next}, found {}", stored.sequence))
            }
        }
    }

    /// Writes bytes behind the last group and syncs. Nothing else is ever written to a segment.
    fn put(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let Some(file) = writer.file.clone() else {
            return Err(StoreError::Refused(io::Error::other("no segment to write to")));
        };
        if let Err(error) = file.write_at(&writer.buffer, writer.record.length) {
            self.give_up_reserve(writer, &error);
            // Any part of it may be in the file, whole entries too: only a segment that does not accept them makes sure that
            // none of it ever counts.
            if self.begin(writer, &[]).is_ok() {
                return Err(StoreError::Refused(error));
            }
            writer.is_over = true;
            return Err(StoreError::Uncertain(error));
        }
        if let Err(error) = file.sync() {
            writer.is_over = true;
            return Err(StoreError::Uncertain(error));
        }
        Ok(())
    }

    /// Whether nobody else has written here. The record shows it: if it is not as this writer left it, the lock did not hold, as where
    /// there are no locks, and whatever is written now would stand in the place of what another has acknowledged. A record that
    /// cannot be read says nothing.
    fn is_alone(writer: &mut Writer) -> Result<(), StoreError> {
        let (Some(file), Some(left)) = (&writer.record_file, &writer.left) else { return Ok(()) };
        let mut found = vec![0; left.len()];
        if file.read_all_at(&mut found, 0).is_err() || found == *left {
            return Ok(());
        }
        writer.is_over = true;
        let what = "another writer has written here since: its lock and this one's did not exclude each other";
        let advice = "have one writer, on a file system whose locks hold; then open it again";
        let place = "the ledger's directory";
        let error = DiskError::new("LEDGER_TAKEN", place, what, advice);
        Err(StoreError::Refused(error.into_io(io::ErrorKind::ResourceBusy)))
    }

    /// Says what is durable now. That readers cannot be told is no reason to call it anything else; that another writer tells them is.
    fn publish(writer: &mut Writer) -> Result<(), StoreError> {
        Self::is_alone(writer).map_err(|error| match error {
            StoreError::Refused(error) | StoreError::Uncertain(error) => {
                StoreError::Uncertain(error)
            }
        })?;
        if let Some(file) = &writer.record_file {
            writer.left = writer.record.write(&**file).ok();
        }
        Ok(())
    }

    fn append(&self, writer: &mut Writer, group: &[Stored]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        // Without a seal, if nobody could make one: behind four gigabytes nothing would be found any more.
        let is_full = writer.record.length >= self.limits.most.min(SEGMENT_MAX);
        let is_new = writer.file.is_none() || is_full;
        let mut bytes = std::mem::take(&mut writer.buffer);
        bytes.clear();
        let mut offsets = Vec::with_capacity(group.len());
        for (at, stored) in group.iter().enumerate() {
            offsets.push(len_u64(bytes.len()));
            let head =
                if at == 0 && !is_new { segment::marked(&stored.head, true) } else { stored.head };
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(&stored.body);
        }
        let written = if is_new {
            if first.sequence == 0 {
                writer.record.chain_id = first.digest;
            }
            let begun = self.begin(writer, &bytes);
            writer.buffer = bytes;
            begun
        } else {
            writer.buffer = bytes;
            self.put(writer)
        };
        written?;
        let base = writer.record.length;
        let len = len_u64(writer.buffer.len());
        // A new segment has its first frames already counted.
        let base = if is_new { base.saturating_sub(len) } else { base };
        writer.record.length = base.saturating_add(len);
        writer.record.size = last.sequence.saturating_add(1);
        writer.record.head = last.digest;
        writer.settle();
        if let Some(list) = &mut writer.authority {
            let of_keys = group.iter().filter(|stored| stored.changes_keys);
            list.extend(of_keys.map(|s| Needed::of_frame(s.sequence, s.left, &s.body)));
        }
        Self::publish(writer)?;
        let mut live = self.live.lock();
        for (stored, offset) in group.iter().zip(offsets) {
            live.offsets.push(u32::try_from(base.saturating_add(offset)).unwrap_or(u32::MAX));
            live.ids.add(stored.event_id, stored.sequence);
        }
        live.size = writer.record.size;
        live.end = writer.record.length;
        Ok(())
    }

    /// Writes a seal behind all entries, and syncs.
    fn write_seal(&self, writer: &mut Writer, seal: &SealFrame) -> Result<(), StoreError> {
        Self::is_alone(writer)?;
        writer.buffer.clear();
        writer.buffer.extend_from_slice(&segment::marked(&seal.head, true));
        writer.buffer.extend_from_slice(&seal.body);
        self.put(writer)?;
        writer.record.seal = Some(writer.record.length);
        writer.record.length = writer.record.length.saturating_add(len_u64(writer.buffer.len()));
        Self::publish(writer)?;
        self.live.lock().end = writer.record.length;
        Ok(())
    }
}

impl Store for Directory {
    fn commit(&self, group: &[Stored]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        Self::check(&writer, group)?;
        Self::is_alone(&mut writer)?;
        let appended = self.append(&mut writer, group);
        if let Err(StoreError::Refused(error)) = &appended {
            self.give_up_reserve(&mut writer, error);
        }
        appended
    }

    fn find(&self, event_id: &EventId) -> io::Result<Option<u64>> {
        self.find_id(event_id)
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        self.read_frames(first, count, frames)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.live.lock().size)
    }

    fn has_gaps(&self) -> bool {
        self.live.lock().pieces.iter().any(|piece| piece.is_stand_in)
    }

    fn wants_seal(&self) -> bool {
        let writer = self.writer.lock();
        let is_long = writer.record.length >= self.limits.bytes.min(self.limits.most / 2);
        let age = writer.begun.elapsed().saturating_add(writer.aged);
        is_long || (age >= self.limits.age && writer.record.size > writer.first)
    }

    fn seal(&self, seal: &SealFrame, is_last: bool) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        if writer.is_over || writer.file.is_none() {
            let what = "no segment that a seal could end";
            return Err(StoreError::Refused(io::Error::other(what)));
        }
        if is_last {
            return self.write_seal(&mut writer, seal);
        }
        // The next segment first: where none can be made, each attempt would leave another seal.
        let len = len_u64(seal.head.len()).saturating_add(len_u64(seal.body.len()));
        let accepted = writer.record.length.saturating_add(len);
        let next = self.make(&writer, accepted, &[]).map_err(StoreError::Refused)?;
        self.write_seal(&mut writer, seal)?;
        self.put_in_place(&mut writer, next)
    }

    fn has_room(&self) -> bool {
        Self::has_reserve(&self.writer.lock())
    }

    fn make_room(&self) -> io::Result<()> {
        self.make_reserve(&mut self.writer.lock())
    }

    fn shelf(&self) -> io::Result<Option<(u64, Box<dyn Shelf>)>> {
        let found = self.tree_shelf(false)?;
        Ok(found.map(|(size, shelf)| {
            let boxed: Box<dyn Shelf> = Box::new(shelf);
            (size, boxed)
        }))
    }

    fn drop_shelf(&self) {
        self.drop_tree();
    }

    fn tend(&self) -> io::Result<bool> {
        self.make_indexes()
    }

    fn attest(&self) -> io::Result<()> {
        let mut writer = self.writer.lock();
        let Some(file) = writer.record_file.clone() else { return Ok(()) };
        let record = writer.record.clone();
        if writer.attested.as_ref() == Some(&record) {
            return Ok(());
        }
        Self::is_alone(&mut writer).map_err(io::Error::other)?;
        // An earlier attempt may have failed, of which nobody was told.
        writer.left = None;
        writer.left = Some(record.write(&*file)?);
        // No group waits for this sync.
        drop(writer);
        file.sync()?;
        writer = self.writer.lock();
        writer.attested = Some(record);
        Ok(())
    }

    fn end(&self) -> io::Result<()> {
        self.end_indexes();
        let mut writer = self.writer.lock();
        if let Some(said) = &writer.ended {
            return said.clone().map_err(io::Error::other);
        }
        let has_failed = std::mem::replace(&mut writer.is_over, true);
        let alone = Self::is_alone(&mut writer).map_err(io::Error::other);
        drop(writer);
        // Without this sync nothing would be lost. But after a power cut nobody could tell that the ledger was closed: the next writer
        // would begin a segment and an epoch, and a seal that was cut off would not be missed.
        let recorded = match alone {
            Ok(()) if !has_failed => self.attest(),
            alone => alone,
        };
        // Whatever failed: nothing more is written here, so somebody else may, in this process too.
        let ended = recorded.and(self.folder.unlock());
        self.writer.lock().ended = Some(ended.as_ref().map_err(ToString::to_string).copied());
        ended
    }
}
