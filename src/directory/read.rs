//! Reading: entries by sequence, and sequences by event id. Nothing here repairs.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::chainfile::{HEAD, Head};
use crate::codec::len_u64;
use crate::directory::{Directory, Live, Piece};
use crate::frame::{Kind, Written};
use crate::id::EventId;
use crate::segment::{Scanned, Scanner};
use crate::store::Frames;

/// Bytes that one read takes, unless a single frame is longer.
const READ: u64 = 1 << 20;
/// Segments whose places are kept in memory.
const CACHED: usize = 4;

/// Event ids, and which entries have them. Most come in ascending order, since the ledger makes them so: those need no tree.
#[derive(Debug, Default)]
pub(super) struct Ids {
    ascending: Vec<(EventId, u64)>,
    others: BTreeMap<EventId, u64>,
}

impl Ids {
    pub(super) fn add(&mut self, id: EventId, sequence: u64) {
        if self.ascending.last().is_none_or(|(last, _)| *last < id) {
            self.ascending.push((id, sequence));
        } else {
            self.others.entry(id).or_insert(sequence);
        }
    }

    pub(super) fn get(&self, id: &EventId) -> Option<u64> {
        let at = self.ascending.binary_search_by(|(known, _)| known.cmp(id));
        let found = at.ok().and_then(|at| self.ascending.get(at)).map(|(_, sequence)| *sequence);
        found.or_else(|| self.others.get(id).copied())
    }

    pub(super) fn clear(&mut self) {
        self.ascending.clear();
        self.others.clear();
    }
}

/// Where the frames of a segment's entries are, and which events they have.
#[derive(Debug, Default)]
pub(super) struct Places {
    offsets: Vec<u32>,
    ids: Ids,
    /// Where the last of them ends.
    end: u64,
}

impl Places {
    /// Offsets and events, in the order of the entries.
    pub(super) fn into_parts(self) -> (Vec<u32>, Vec<EventId>) {
        let Ids { ascending, others } = self.ids;
        let mut ids: Vec<(EventId, u64)> = ascending.into_iter().chain(others).collect();
        ids.sort_unstable_by_key(|(_, sequence)| *sequence);
        (self.offsets, ids.into_iter().map(|(id, _)| id).collect())
    }
}

/// The places of the segments that were last asked for.
#[derive(Debug, Default)]
pub(super) struct Cache(VecDeque<(u64, Arc<Places>)>);

/// Where entries are to be read: of which segment, from where to where.
struct Span {
    piece: Arc<Piece>,
    first: u64,
    start: u64,
    end: u64,
}

fn unreadable(piece: &Piece, at: u64, what: &str) -> io::Error {
    let message = format!("segment {}, byte {at}: {what}", piece.beginning.ordinal);
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl Live {
    /// The segment that has this entry, and where it ends for readers.
    fn piece_of(&self, sequence: u64) -> Option<(&Arc<Piece>, u64)> {
        let after = self.pieces.partition_point(|piece| piece.beginning.first <= sequence);
        let at = after.checked_sub(1)?;
        let piece = self.pieces.get(at)?;
        Some((piece, piece.end.unwrap_or(self.end)))
    }
}

/// From where to where up to `count` frames stand from number `at` on, as far as one read takes them; `end` is where the last of
/// all ends.
fn range(offsets: &[u32], at: usize, count: usize, end: u64) -> Option<(u64, u64)> {
    let start = u64::from(*offsets.get(at)?);
    let fits = |end: u64| end.saturating_sub(start) <= READ;
    let most = at.saturating_add(count).min(offsets.len());
    let next = at.saturating_add(1);
    let starts = offsets.get(next..most.saturating_add(1).min(offsets.len())).unwrap_or_default();
    let mut whole = starts.partition_point(|offset| fits(u64::from(*offset)));
    if whole == starts.len() && most == offsets.len() && fits(end) {
        whole = whole.saturating_add(1);
    }
    let after = at.saturating_add(whole.max(1));
    Some((start, offsets.get(after).map_or(end, |offset| u64::from(*offset))))
}

impl Directory {
    pub(super) fn read_frames(
        &self,
        first: u64,
        count: usize,
        frames: &mut Frames,
    ) -> io::Result<()> {
        frames.clear();
        let Some(span) = self.span(first, count)? else { return Ok(()) };
        let Span { piece, first, start, end } = &span;
        let len = usize::try_from(end.saturating_sub(*start)).unwrap_or(usize::MAX);
        frames.fill(len, |bytes| {
            piece.file.read_all_at(bytes, *start)?;
            split(piece, bytes, *start, *first)
        })
    }

    /// Where entries from `first` on are: as many of them as are wanted, as stand in one segment and as one read takes.
    fn span(&self, first: u64, count: usize) -> io::Result<Option<Span>> {
        if count == 0 {
            return Ok(None);
        }
        let (piece, limit) = {
            let live = self.live.lock();
            if first >= live.size {
                return Ok(None);
            }
            let Some((piece, limit)) = live.piece_of(first) else { return Ok(None) };
            if let Some(at) = first.checked_sub(live.recent).and_then(|at| usize::try_from(at).ok())
                && let Some((start, end)) = range(&live.offsets, at, count, limit)
            {
                return Ok(Some(Span { piece: Arc::clone(piece), first, start, end }));
            }
            (Arc::clone(piece), if limit == live.end { live.recent_at } else { limit })
        };
        if piece.end.is_some()
            && let Some((start, end)) = self.indexed(&piece, first, count)
        {
            return Ok(Some(Span { piece, first, start, end }));
        }
        let places = self.places(&piece, limit)?;
        let at = first.saturating_sub(piece.beginning.first);
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let Some((start, end)) = range(&places.offsets, at, count, places.end) else {
            return Err(unreadable(
                &piece,
                limit,
                &format!("expected entry {first}, found the end"),
            ));
        };
        Ok(Some(Span { piece, first, start, end }))
    }

    /// Where the frames of a segment are: found by reading it, if nobody has done so lately.
    fn places(&self, piece: &Arc<Piece>, end: u64) -> io::Result<Arc<Places>> {
        let ordinal = piece.beginning.ordinal;
        {
            let mut cache = self.cache.lock();
            let found =
                cache.0.iter().position(|(known, places)| *known == ordinal && places.end == end);
            if let Some(found) = found.and_then(|at| cache.0.remove(at)) {
                let places = Arc::clone(&found.1);
                cache.0.push_front(found);
                return Ok(places);
            }
        }
        let places = Arc::new(scan(piece, end)?);
        let mut cache = self.cache.lock();
        cache.0.retain(|(known, _)| *known != ordinal);
        cache.0.push_front((ordinal, Arc::clone(&places)));
        cache.0.truncate(CACHED);
        Ok(places)
    }

    pub(super) fn find_id(&self, id: &EventId) -> io::Result<Option<u64>> {
        let mut pieces = {
            let live = self.live.lock();
            if let Some(sequence) = live.ids.get(id) {
                return Ok(Some(sequence));
            }
            let last = live.pieces.len().saturating_sub(1);
            let ends = live.pieces.iter().enumerate().map(|(at, piece)| {
                let end = if at == last { live.recent_at } else { piece.end.unwrap_or(live.end) };
                (Arc::clone(piece), end)
            });
            ends.collect::<Vec<_>>()
        };
        if pieces.len() > 1
            && let Ok(found) = self.indexed_id(id)
        {
            if found.is_some() {
                return Ok(found);
            }
            pieces.drain(..pieces.len().saturating_sub(1));
        }
        for (piece, end) in pieces.iter().rev() {
            if let Some(sequence) = self.places(piece, *end)?.ids.get(id) {
                return Ok(Some(sequence));
            }
        }
        Ok(None)
    }
}

/// Reads a segment up to a length.
pub(super) fn scan(piece: &Piece, end: u64) -> io::Result<Places> {
    let mut places = Places { end, ..Places::default() };
    let mut scanner = Scanner::new(&*piece.file, piece.start, end);
    let mut sequence = piece.beginning.first;
    loop {
        match scanner.next()? {
            Scanned::End => return Ok(places),
            Scanned::Damage(what) => return Err(unreadable(piece, scanner.at(), what)),
            Scanned::Frame(found) if found.kind == Kind::Entry => {
                let written = Written::parse(found.left, scanner.body())
                    .map_err(|error| unreadable(piece, found.at, &error.to_string()))?;
                places.offsets.push(u32::try_from(found.at).unwrap_or(u32::MAX));
                places.ids.add(written.fields.event_id, sequence);
                sequence = sequence.saturating_add(1);
            }
            Scanned::Frame(_) => {}
        }
    }
}

/// The entries' frames in bytes of a segment that begin and end with whole frames.
fn split(
    piece: &Piece,
    bytes: &[u8],
    start: u64,
    first: u64,
) -> io::Result<Vec<(u64, u16, std::ops::Range<usize>)>> {
    let mut found = Vec::new();
    let (mut at, mut sequence) = (0_usize, first);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let place = start.saturating_add(len_u64(at));
        let damaged = |what: &str| unreadable(piece, place, what);
        let head = rest.first_chunk::<HEAD>().and_then(Head::parse);
        let head = head.ok_or_else(|| damaged("expected a frame's head, found other bytes"))?;
        let body = at.saturating_add(HEAD)..at.saturating_add(HEAD).saturating_add(head.length);
        let content = bytes.get(body.clone()).ok_or_else(|| damaged("expected a whole frame"))?;
        if crc32fast::hash(content) != head.crc {
            return Err(damaged("expected a body with the CRC in its head, found another"));
        }
        at = body.end;
        if Kind::from_letter(head.letter) == Some(Kind::Entry) {
            found.push((sequence, head.left, body));
            sequence = sequence.saturating_add(1);
        }
    }
    Ok(found)
}
