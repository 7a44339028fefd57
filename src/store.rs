//! Stores: what a ledger keeps its frames in. A store moves bytes and knows no entries.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::digest::Digest;
use crate::frame::{Gap, GapReason};
use crate::id::EventId;
use crate::sync::Mutex;
use crate::tree::Shelf;

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
    /// Its digest, to which the next entry is linked.
    pub digest: Digest,
    /// Whether it may have changed the keyring: a chain that is opened needs such entries, however old.
    pub changes_keys: bool,
    /// Entries of the same batch that follow.
    pub left: u16,
    /// The 16 bytes before the body.
    pub head: [u8; 16],
    /// Body of the frame.
    pub body: Vec<u8>,
}

impl Stored {
    /// A frame on its way into a store.
    pub fn new(
        (sequence, event_id, digest): (u64, EventId, Digest),
        left: u16,
        head: [u8; 16],
        body: Vec<u8>,
    ) -> Self {
        Self { sequence, event_id, digest, changes_keys: false, left, head, body }
    }

    /// Says whether it may have changed the keyring.
    #[must_use]
    pub fn changing_keys(self, changes_keys: bool) -> Self {
        Self { changes_keys, ..self }
    }
}

/// The frame of a seal, on its way into a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SealFrame {
    /// The 16 bytes before the body.
    pub head: [u8; 16],
    /// Body of the frame.
    pub body: Vec<u8>,
}

impl SealFrame {
    /// A seal on its way into a store.
    pub fn new(head: [u8; 16], body: Vec<u8>) -> Self {
        Self { head, body }
    }
}

/// Frames of entries that were read from a store, in one piece of memory that can be used again: an allocation for each would cost
/// more than reading it.
#[derive(Clone, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// How many of the bytes are in use. Those behind are left of what was read before: to wipe them each time costs as much as to
    /// check what is read.
    used: usize,
    places: Vec<Place>,
    /// Number of entries before each seal, and where its body is.
    seals: Vec<(u64, Range<usize>)>,
}

/// What was found in bytes that were read.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// Sequence, `left` and place of the body of each entry.
    pub(crate) entries: Vec<(u64, u16, Range<usize>)>,
    /// Number of entries before each seal, and place of its body.
    pub(crate) seals: Vec<(u64, Range<usize>)>,
}

/// Where a frame's body is.
#[derive(Clone, Copy, Debug)]
struct Place {
    sequence: u64,
    left: u16,
    start: usize,
    len: usize,
}

/// The frame of an entry in a store.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct FrameRef<'f> {
    /// Sequence of the entry.
    pub sequence: u64,
    /// Entries of the same batch that follow.
    pub left: u16,
    /// Body of the frame.
    pub body: &'f [u8],
}

impl fmt::Debug for FrameRef<'_> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameRef({}, {} bytes)", self.sequence, self.body.len())
    }
}

impl fmt::Debug for Frames {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Frames {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Forgets them, and keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.places.clear();
        self.seals.clear();
    }

    /// Adds bytes, and says where they are.
    fn add(&mut self, body: &[u8]) -> usize {
        let start = self.used;
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(body);
        self.used = self.bytes.len();
        start
    }

    /// Adds one.
    pub fn push(&mut self, sequence: u64, left: u16, body: &[u8]) {
        let start = self.add(body);
        self.places.push(Place { sequence, left, start, len: body.len() });
    }

    /// Adds a seal over so many entries.
    pub fn push_seal(&mut self, size: u64, body: &[u8]) {
        let start = self.add(body);
        self.seals.push((size, start..self.used));
    }

    /// Adds all frames of a piece of memory that `fill` fills.
    pub(crate) fn fill(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<Split>,
    ) -> io::Result<()> {
        let base = self.used;
        let end = base.saturating_add(len);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let found = fill(self.bytes.get_mut(base..end).unwrap_or_default());
        let Split { entries, seals } = found?;
        self.used = end;
        self.places.extend(entries.into_iter().map(|(sequence, left, body)| Place {
            sequence,
            left,
            start: base.saturating_add(body.start),
            len: body.len(),
        }));
        let moved =
            |body: Range<usize>| base.saturating_add(body.start)..base.saturating_add(body.end);
        self.seals.extend(seals.into_iter().map(|(size, body)| (size, moved(body))));
        Ok(())
    }

    /// The seals that stand between them and behind them: over how many entries, and the body of each, in order.
    pub fn seals(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.seals
            .iter()
            .map(|(size, body)| (*size, self.bytes.get(body.clone()).unwrap_or_default()))
    }

    /// The frame at this place among them.
    pub(crate) fn get(&self, at: usize) -> Option<FrameRef<'_>> {
        let Place { sequence, left, start, len } = *self.places.get(at)?;
        Some(FrameRef { sequence, left, body: self.bytes.get(start..start.saturating_add(len))? })
    }

    /// Them, in order.
    pub fn iter(&self) -> impl Iterator<Item = FrameRef<'_>> {
        self.places.iter().map(|place| {
            let Place { sequence, left, start, len } = *place;
            let body = self.bytes.get(start..start.saturating_add(len)).unwrap_or_default();
            FrameRef { sequence, left, body }
        })
    }
}

/// Entries that are not in a store any more: why a read of one of them fails. Travels inside an [`io::Error`]; whoever reads a range
/// finds it there by [`Absent::of`], and goes on at the end of the gap.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Absent {
    /// The entries, why they are not there, and the hashes that stand for them.
    pub gap: Gap,
    /// The bodies of the seals right behind them.
    pub seals: Vec<Vec<u8>>,
}

impl Absent {
    /// These entries, with the seals right behind them.
    pub fn new(gap: Gap, seals: Vec<Vec<u8>>) -> Self {
        Self { gap, seals }
    }

    /// The one inside an error, if it holds one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// As an error of input and output.
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gap { first, count, .. } = self.gap;
        match count {
            1 => write!(f, "entry {first} is ")?,
            _ => write!(f, "entries {first} to {} are ", self.gap.end().saturating_sub(1))?,
        }
        match self.gap.reason {
            GapReason::Archived => {
                f.write_str("archived elsewhere; bring them back by `sigchain restore`, or read the archive")
            }
            GapReason::Lost => f.write_str(
                "damaged for good, and an operator has said so; read them in a copy or an export, if there is one",
            ),
            GapReason::Elided => f.write_str("left out; read them where all of the chain is"),
        }
    }
}

impl std::error::Error for Absent {}

/// Reads as [`Store::read`] does; gives the gap that the first entry is in, if it is in one.
pub(crate) fn read_or_gap<S: Store + ?Sized>(
    store: &S,
    first: u64,
    count: usize,
    frames: &mut Frames,
) -> io::Result<Option<Absent>> {
    match store.read(first, count, frames) {
        Ok(()) => Ok(None),
        Err(error) => Absent::of(&error).cloned().map_or(Err(error), |absent| Ok(Some(absent))),
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

    /// Reads the frames of up to `count` durable entries from `first` on, in place of what `frames` held: at least one, and none only at
    /// the end. Durable seals that stand between these, or right behind the last of them, come with them. If the first is not there any
    /// more, that is an error which holds an [`Absent`].
    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()>;

    /// Number of durable entries.
    fn size(&self) -> io::Result<u64>;

    /// Whether entries may not be there any more: reading one of them is then an error which holds an [`Absent`].
    fn has_gaps(&self) -> bool {
        false
    }

    /// Whether a seal is due: the store would begin a new piece behind it.
    fn wants_seal(&self) -> bool {
        false
    }

    /// Makes a seal over all entries durable. Then a new piece begins, unless it is the last one.
    fn seal(&self, seal: &SealFrame, is_last: bool) -> Result<(), StoreError> {
        let _ = (seal, is_last);
        Ok(())
    }

    /// Whether there is room for more than what the ledger has to say of itself. A store that is full gives up a reserve for that; from
    /// then on the ledger writes nothing else to it before [`Store::make_room`] has succeeded.
    fn has_room(&self) -> bool {
        true
    }

    /// Makes the reserve anew, unless it is there. Asked again whenever something is to be appended meanwhile: an error should be quick.
    fn make_room(&self) -> io::Result<()> {
        Ok(())
    }

    /// The nodes of the tree over the first entries, if they are kept, and over how many: what comes of them is believed only if it leads
    /// to a root that is known.
    fn shelf(&self) -> io::Result<Option<(u64, Box<dyn Shelf>)>> {
        Ok(None)
    }

    /// The shelf has led to another root, or to none: it is made anew.
    fn drop_shelf(&self) {}

    /// Does a piece of what nobody waits for, such as making indexes, and says whether there is more of it. Called now and then by a
    /// thread of the ledger's own, which has other things to do in between.
    fn tend(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Makes durable what it says of itself to readers, before others are told how far it goes: whoever compares the two after a power
    /// cut must not find less here than there.
    fn attest(&self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing more will be written: what keeps other writers out may be let go.
    fn end(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn commit(&self, group: &[Stored]) -> Result<(), StoreError> {
        (**self).commit(group)
    }

    fn find(&self, event_id: &EventId) -> io::Result<Option<u64>> {
        (**self).find(event_id)
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        (**self).read(first, count, frames)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn has_gaps(&self) -> bool {
        (**self).has_gaps()
    }

    fn wants_seal(&self) -> bool {
        (**self).wants_seal()
    }

    fn seal(&self, seal: &SealFrame, is_last: bool) -> Result<(), StoreError> {
        (**self).seal(seal, is_last)
    }

    fn has_room(&self) -> bool {
        (**self).has_room()
    }

    fn make_room(&self) -> io::Result<()> {
        (**self).make_room()
    }

    fn shelf(&self) -> io::Result<Option<(u64, Box<dyn Shelf>)>> {
        (**self).shelf()
    }

    fn drop_shelf(&self) {
        (**self).drop_shelf();
    }

    fn tend(&self) -> io::Result<bool> {
        (**self).tend()
    }

    fn attest(&self) -> io::Result<()> {
        (**self).attest()
    }

    fn end(&self) -> io::Result<()> {
        (**self).end()
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

/// Where the body of a frame is.
#[derive(Clone, Copy, Debug)]
struct Kept {
    left: u16,
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
        self.frames.push(Kept { left: stored.left, chunk, start, len });
        self.places.entry(stored.event_id).or_insert(stored.sequence);
    }

    fn get(&self, sequence: u64) -> Option<(u16, &[u8])> {
        let kept = self.frames.get(usize::try_from(sequence).ok()?)?;
        let body = self.chunks.get(kept.chunk)?.get(kept.start..)?.get(..kept.len)?;
        Some((kept.left, body))
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

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        frames.clear();
        let held = self.held.lock();
        for sequence in (first..).take(count) {
            let Some((left, body)) = held.get(sequence) else { break };
            frames.push(sequence, left, body);
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.held.lock().frames.len()).unwrap_or(u64::MAX))
    }
}
