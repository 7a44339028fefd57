//! Stores: what a ledger keeps its frames in. A store moves bytes and knows no entries.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::id::EventId;
use crate::sync::Mutex;

impl fmt::Debug for Stored {
    /// Without the body: it is somebody's payload, and its salt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({}, {}, {} bytes)", self.sequence, self.event_id, self.body.len())
    }
}

/// The frame of an entry, on its way into a store.
#[derive(Clone)]
#[non_exhaustive]
pub struct Stored {
    /// Sequence of the entry.
    pub sequence: u64,
    /// Id of its event.
    pub event_id: EventId,
    /// Entries of the same batch that follow.
    pub left: u16,
    /// The 16 bytes before the body.
    pub head: [u8; 16],
    /// Body of the frame.
    pub body: Vec<u8>,
}

impl Stored {
    /// A frame on its way into a store.
    pub fn new(sequence: u64, event_id: EventId, left: u16, head: [u8; 16], body: Vec<u8>) -> Self {
        Self { sequence, event_id, left, head, body }
    }
}

/// What became of a write that failed.
#[derive(Debug)]
pub enum StoreError {
    /// Nothing of it was written, and nothing of it can ever appear. The store can be written to again.
    Refused(io::Error),
    /// It may or may not appear. The store must not be written to again.
    Uncertain(io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "nothing was written: {error}"),
            Self::Uncertain(error) => write!(f, "what was written is not known: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Keeps the frames of one chain.
///
/// A ledger calls `commit` from one thread at a time; the other methods at any time from any thread.
pub trait Store: fmt::Debug + Send + Sync {
    /// Makes a group of frames durable, in order, and only then returns. They continue what is there: a group that does not is refused,
    /// or two ledgers over one store would each give receipts for the same sequence.
    fn commit(&self, group: &[Stored]) -> Result<(), StoreError>;

    /// Sequence of the entry with this event, if it is durable.
    fn find(&self, event_id: &EventId) -> io::Result<Option<u64>>;

    /// The frames of up to `count` durable entries from `first` on; fewer only at the end.
    fn read(&self, first: u64, count: usize) -> io::Result<Vec<Stored>>;

    /// Number of durable entries.
    fn size(&self) -> io::Result<u64>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn commit(&self, group: &[Stored]) -> Result<(), StoreError> {
        (**self).commit(group)
    }

    fn find(&self, event_id: &EventId) -> io::Result<Option<u64>> {
        (**self).find(event_id)
    }

    fn read(&self, first: u64, count: usize) -> io::Result<Vec<Stored>> {
        (**self).read(first, count)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
}

/// A store in memory: as durable as the process. Clones share what they hold, so that a ledger can be opened again over it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    held: Arc<Mutex<Held>>,
}

/// Bytes of a chunk, unless one frame alone is larger. Frames of their own on the heap would cost it several times their room in
/// bookkeeping: measured, a tenth of the rate of appends.
const CHUNK: usize = 1 << 20;

impl fmt::Debug for Held {
    /// Without the bytes: they are other people's payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames", self.frames.len())
    }
}

#[derive(Default)]
struct Held {
    chunks: Vec<Vec<u8>>,
    frames: Vec<Kept>,
    places: BTreeMap<EventId, u64>,
}

/// A frame, and where its body is.
#[derive(Clone, Copy, Debug)]
struct Kept {
    event_id: EventId,
    left: u16,
    head: [u8; 16],
    chunk: usize,
    start: usize,
    len: usize,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Held {
    fn add(&mut self, stored: &Stored) {
        let len = stored.body.len();
        if self.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < len) {
            self.chunks.push(Vec::with_capacity(len.max(CHUNK)));
        }
        let chunk = self.chunks.len().saturating_sub(1);
        let Some(bytes) = self.chunks.last_mut() else { return };
        let start = bytes.len();
        bytes.extend_from_slice(&stored.body);
        let (event_id, left, head) = (stored.event_id, stored.left, stored.head);
        self.frames.push(Kept { event_id, left, head, chunk, start, len });
        self.places.insert(event_id, stored.sequence);
    }

    fn get(&self, sequence: u64) -> Option<Stored> {
        let kept = self.frames.get(usize::try_from(sequence).ok()?)?;
        let body = self.chunks.get(kept.chunk)?.get(kept.start..)?.get(..kept.len)?.to_vec();
        Some(Stored { sequence, event_id: kept.event_id, left: kept.left, head: kept.head, body })
    }
}

impl Store for Memory {
    fn commit(&self, group: &[Stored]) -> Result<(), StoreError> {
        let held = &mut *self.held.lock();
        let next = u64::try_from(held.frames.len()).unwrap_or(u64::MAX);
        if let Some((stored, next)) = group.iter().zip(next..).find(|(s, at)| s.sequence != *at) {
            let found = stored.sequence;
            let what =
                format!("expected entry {next}, found {found}: another ledger has written to it");
            return Err(StoreError::Refused(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        for stored in group {
            held.add(stored);
        }
        Ok(())
    }

    fn find(&self, event_id: &EventId) -> io::Result<Option<u64>> {
        Ok(self.held.lock().places.get(event_id).copied())
    }

    fn read(&self, first: u64, count: usize) -> io::Result<Vec<Stored>> {
        let held = self.held.lock();
        Ok((first..).take(count).map_while(|sequence| held.get(sequence)).collect())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.held.lock().frames.len()).unwrap_or(u64::MAX))
    }
}
