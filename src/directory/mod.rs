//! A ledger's files: a directory of segments, and the record of how far they are durable.
//!
//! The directory moves frames and knows no entries. One thread at a time commits: it writes a group behind the last one and syncs once.
//! After a write or a sync that failed nothing is ever appended to that file again: the page cache may show bytes that the disk
//! does not have, and a sync that is asked again says that all is well. A new segment then says how much of the old one
//! belongs to the chain.

mod about;
mod begin;
mod indexed;
mod open;
mod read;
mod record;
mod stream;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::len_u64;
use crate::directory::indexed::Indexes;
use crate::directory::read::{Cache, Ids};
use crate::directory::record::Record;
use crate::disk::{File, Folder};
use crate::id::EventId;
use crate::segment::{self, Beginning};
use crate::store::{Frames, SealFrame, Store, StoreError, Stored};
use crate::sync::Mutex;

pub(crate) use crate::directory::open::{Ending, Met, Place, Sealed};
pub use crate::directory::record::Writing;
pub use crate::directory::stream::{Atlas, Stream};

/// Name of the record of what is durable.
const RECORD: &str = "durable";
/// Name of a segment that is being made.
const NEXT: &str = "segment.next";
/// Before the number in the name of one that was not made to the end, and holds entries that were signed.
const ASIDE: &str = "aside-";
/// Before the number in the name of a segment.
const SEGMENT: &str = "segment-";
/// Bytes of a segment, at most: what is in it is found by 32 bits.
const SEGMENT_MAX: u64 = 1 << 31;

/// When a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes from which on a segment is sealed and the next one begun.
    pub bytes: u64,
    /// Age from which on it is, if it has entries.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, age: Duration::from_secs(24 * 3600) }
    }
}

/// The name of a segment.
fn name_of(ordinal: u64) -> String {
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
    /// Whether a write to it has failed.
    is_spent: bool,
    /// Whether nothing more is written: a sync has failed, and nothing more is known; or the ledger is closed.
    is_over: bool,
    next_ordinal: u64,
    authority: Option<Vec<u64>>,
    record_file: Option<Box<dyn File>>,
    record: Record,
    begun: Instant,
    /// The first entry of the last segment.
    first: u64,
    /// Who writes from the next group on, and the count of writers then.
    announced: Option<(Writing, u64)>,
    /// What is about to be written; kept for its memory.
    buffer: Vec<u8>,
}

/// The files of one ledger.
pub struct Directory {
    folder: Arc<dyn Folder>,
    limits: Limits,
    writer: Mutex<Writer>,
    live: Mutex<Live>,
    cache: Mutex<Cache>,
    indexes: Mutex<Option<Arc<Indexes>>>,
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
            writer.is_spent = true;
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

    /// Says what is durable now. That readers cannot be told is no reason to call it anything else.
    fn publish(writer: &Writer) {
        if let Some(file) = &writer.record_file {
            drop(writer.record.write(&**file));
        }
    }

    fn append(&self, writer: &mut Writer, group: &[Stored]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        let is_new = writer.file.is_none() || writer.is_spent;
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
            list.extend(of_keys.map(|stored| stored.sequence));
        }
        Self::publish(writer);
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
        if writer.is_over || writer.is_spent || writer.file.is_none() {
            let what = "no segment that a seal could end";
            return Err(StoreError::Refused(io::Error::other(what)));
        }
        writer.buffer.clear();
        writer.buffer.extend_from_slice(&segment::marked(&seal.head, true));
        writer.buffer.extend_from_slice(&seal.body);
        self.put(writer)?;
        writer.record.seal = Some(writer.record.length);
        writer.record.length = writer.record.length.saturating_add(len_u64(writer.buffer.len()));
        Self::publish(writer);
        self.live.lock().end = writer.record.length;
        Ok(())
    }
}

impl Store for Directory {
    fn commit(&self, group: &[Stored]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        Self::check(&writer, group)?;
        self.append(&mut writer, group)
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

    fn wants_seal(&self) -> bool {
        let writer = self.writer.lock();
        let is_long = writer.record.length >= self.limits.bytes.min(SEGMENT_MAX / 2);
        is_long || (writer.begun.elapsed() >= self.limits.age && writer.record.size > writer.first)
    }

    fn seal(&self, seal: &SealFrame, is_last: bool) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        self.write_seal(&mut writer, seal)?;
        if is_last { Ok(()) } else { self.begin(&mut writer, &[]) }
    }

    fn tend(&self) -> io::Result<()> {
        self.make_indexes()
    }

    fn end(&self) -> io::Result<()> {
        let mut writer = self.writer.lock();
        if writer.is_over {
            return Ok(());
        }
        writer.is_over = true;
        // Without this sync nothing would be lost. But after a power cut nobody could tell that the ledger was closed: the next writer
        // would begin a segment and an epoch, and a seal that was cut off would not be missed.
        if let Some(file) = &writer.record_file {
            writer.record.write(&**file)?;
            file.sync()?;
        }
        self.folder.unlock()
    }
}
