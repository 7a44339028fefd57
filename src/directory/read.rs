//! Reading: entries by sequence, and sequences by event id. Nothing here repairs.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::chainfile::{HEAD, Head};
use crate::codec::{Reader, len_u64};
use crate::directory::indexed::ALL;
use crate::directory::{Directory, Live, Piece};
use crate::entry::Fields;
use crate::frame::{self, Frame, GapReason, Kind};
use crate::id::EventId;
use crate::segment::Scanned;
use crate::store::{Absent, Frames, Split};

/// Bytes that one read takes, unless a single frame is longer.
const READ: u64 = 1 << 20;
/// Segments whose places are kept in memory.
const CACHED: usize = 4;

/// Event ids, and which entries have them. Most come in ascending order, since the ledger makes them so: those need no tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    ascending: Vec<(EventId, u64)>,
    /// An id that occurs twice is here twice: an index has as many as there are entries.
    others: BTreeSet<(EventId, u64)>,
}

impl Ids {
    pub(super) fn add(&mut self, id: EventId, sequence: u64) {
        if self.ascending.last().is_none_or(|(last, _)| *last < id) {
            self.ascending.push((id, sequence));
        } else {
            self.others.insert((id, sequence));
        }
    }

    pub(super) fn get(&self, id: &EventId) -> Option<u64> {
        let at = self.ascending.binary_search_by(|(known, _)| known.cmp(id));
        let found = at.ok().and_then(|at| self.ascending.get(at)).map(|(_, sequence)| *sequence);
        let other = || self.others.range((*id, 0)..).next().filter(|(known, _)| known == id);
        found.or_else(|| other().map(|(_, sequence)| *sequence))
    }

    pub(super) fn clear(&mut self) {
        self.ascending.clear();
        self.others.clear();
    }
}

/// Where the frames of a segment's entries are, and which events they have.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    offsets: Vec<u32>,
    ids: Ids,
    /// Up to where it was read.
    end: u64,
    /// Where no frame could be read before that, and what is there instead.
    damage: Option<(u64, String)>,
    /// Entries that are not there, in order.
    gaps: Vec<Gone>,
}

/// Entries that are not there.
#[derive(Clone, Debug)]
struct Gone {
    absent: Absent,
    /// How many entries before them are.
    before: usize,
    /// Whether their events are among the ids.
    is_known: bool,
}

impl Places {
    /// Of a segment of which nothing was read.
    pub(super) fn none(piece: &Piece) -> Self {
        Self { end: piece.start, ..Self::default() }
    }

    /// Whether all of it could be read.
    pub(super) fn whole(&self, piece: &Piece) -> io::Result<()> {
        match &self.damage {
            Some((at, what)) => Err(unreadable(piece, *at, what)),
            None => Ok(()),
        }
    }

    /// Whether entries are not there.
    pub(super) fn has_gaps(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// The sequence behind the last entry or gap.
    fn next(&self, piece: &Piece) -> u64 {
        let (from, before) = self
            .gaps
            .last()
            .map_or((piece.beginning.first, 0), |gone| (gone.absent.gap.end(), gone.before));
        from.saturating_add(len_u64(self.offsets.len().saturating_sub(before)))
    }

    /// Which of the offsets is that of an entry, and how many there are from it up to the next gap. `first` is the first entry of the
    /// segment.
    fn place_of(&self, sequence: u64, first: u64) -> Result<(usize, usize), Absent> {
        let after = self.gaps.partition_point(|gone| gone.absent.gap.first <= sequence);
        let last = after.checked_sub(1).and_then(|at| self.gaps.get(at));
        let (from, before) = match last {
            Some(gone) if sequence < gone.absent.gap.end() => return Err(gone.absent.clone()),
            Some(gone) => (gone.absent.gap.end(), gone.before),
            None => (first, 0),
        };
        let at = usize::try_from(sequence.saturating_sub(from)).unwrap_or(usize::MAX);
        let at = at.saturating_add(before);
        let end = self.gaps.get(after).map_or(self.offsets.len(), |gone| gone.before);
        Ok((at, end.saturating_sub(at)))
    }

    /// Takes a gap, if it begins where the next entry would be.
    fn take_gap(&mut self, piece: &Piece, body: &[u8]) -> Result<(), String> {
        let gap = match Frame::parse(Kind::Gap, 0, body) {
            Ok(Frame::Gap(gap)) => gap,
            Ok(_) => return Err("another frame".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let next = self.next(piece);
        if gap.first != next {
            return Err(format!("expected entry {next}, found a gap from {} on", gap.first));
        }
        let absent = Absent::new(gap, Vec::new());
        self.gaps.push(Gone { absent, before: self.offsets.len(), is_known: false });
        Ok(())
    }

    /// Takes a seal that stands right behind a gap: whoever reads on behind that would not meet it.
    fn take_seal(&mut self, body: &[u8]) {
        let len = self.offsets.len();
        if let Some(gone) = self.gaps.last_mut().filter(|gone| gone.before == len) {
            gone.absent.seals.push(body.to_vec());
        }
    }

    /// Offsets and events, in the order of the entries.
    pub(super) fn into_parts(self, piece: &Piece) -> io::Result<(Vec<u32>, Vec<EventId>)> {
        self.whole(piece)?;
        let Ids { ascending, others } = self.ids;
        let mut ids: Vec<(EventId, u64)> = ascending.into_iter().chain(others).collect();
        for Gone { absent, .. } in self.gaps.into_iter().filter(|gone| !gone.is_known) {
            if absent.gap.reason == GapReason::Archived {
                return Err(absent.into_io());
            }
            // Of what is lost nobody knows the events any more. No event has this id.
            let none = EventId::new(0, [0; 10]);
            ids.extend((absent.gap.first..absent.gap.end()).map(|sequence| (none, sequence)));
        }
        ids.sort_unstable_by_key(|(_, sequence)| *sequence);
        Ok((self.offsets, ids.into_iter().map(|(id, _)| id).collect()))
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
    is_indexed: bool,
}

/// Reads the frames of a span.
fn fill(span: &Span, frames: &mut Frames) -> io::Result<()> {
    let Span { piece, first, start, end, .. } = span;
    frames.clear();
    let len = usize::try_from(end.saturating_sub(*start)).unwrap_or(usize::MAX);
    frames.fill(len, |bytes| {
        piece.file.read_all_at(bytes, *start)?;
        split(piece, bytes, *start, *first)
    })
}

/// Whether the first of these frames is of the entry with this sequence.
fn begins_with(frames: &Frames, sequence: u64) -> bool {
    frames.iter().next().is_some_and(|frame| {
        let fields = Fields::parse(&mut Reader::new(frame.body));
        fields.is_ok_and(|(fields, _)| fields.sequence == sequence)
    })
}

fn unreadable(piece: &Piece, at: u64, what: &str) -> io::Error {
    let kind = if piece.is_stand_in { "stand-in" } else { "segment" };
    let message = format!("{kind} {}, byte {at}: {what}", piece.beginning.ordinal);
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
        let Some(span) = self.span(first, count, true)? else { return Ok(()) };
        let read = fill(&span, frames);
        if span.is_indexed && !(read.is_ok() && begins_with(frames, first)) {
            // An index is never believed over the chain: the segment itself says what is damaged, if not the index.
            self.distrust(span.piece.beginning.ordinal);
            let Some(span) = self.span(first, count, false)? else { return Ok(()) };
            fill(&span, frames)?;
        } else {
            read?;
        }
        self.add_seals(span.piece.beginning.ordinal, frames)
    }

    /// Adds the seals behind the last of these frames that stand in a later segment: one that was begun with a copy of them.
    fn add_seals(&self, ordinal: u64, frames: &mut Frames) -> io::Result<()> {
        let Some(size) = frames.iter().last().map(|frame| frame.sequence.saturating_add(1)) else {
            return Ok(());
        };
        self.seals_behind(ordinal, size, &mut |body| frames.push_seal(size, body))
    }

    /// The seals over so many entries in segments behind this one, before any further entry.
    fn seals_behind(&self, ordinal: u64, size: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let pieces: Vec<_> = {
            let live = self.live.lock();
            let at = live.pieces.partition_point(|piece| piece.beginning.ordinal <= ordinal);
            let later = live.pieces.iter().skip(at).take_while(|p| p.beginning.first == size);
            let end = |piece: &Piece| piece.end.unwrap_or(live.end);
            later.map(|piece| (Arc::clone(piece), end(piece))).collect()
        };
        for (piece, end) in pieces {
            let mut scanner = piece.scanner(piece.start, end);
            while let Scanned::Frame(found) = scanner.next()? {
                match found.kind {
                    Kind::Seal => each(scanner.body()),
                    Kind::Entry | Kind::Gap => break,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Where entries from `first` on are: as many of them as are wanted, as stand in one segment and as one read takes.
    fn span(&self, first: u64, count: usize, by_index: bool) -> io::Result<Option<Span>> {
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
                let (piece, is_indexed) = (Arc::clone(piece), false);
                return Ok(Some(Span { piece, first, start, end, is_indexed }));
            }
            // Places of the last segment from `recent` on are known; of the others all, be they as long as it may.
            (Arc::clone(piece), if piece.end.is_none() { live.recent_at } else { limit })
        };
        if by_index
            && piece.end.is_some()
            && let Some((start, end)) = self.indexed(&piece, first, count)
        {
            return Ok(Some(Span { piece, first, start, end, is_indexed: true }));
        }
        let places = self.places(&piece, limit)?;
        let (at, follow) = match places.place_of(first, piece.beginning.first) {
            Ok(found) => found,
            Err(mut absent) => {
                let (ordinal, size) = (piece.beginning.ordinal, absent.gap.end());
                if size == places.next(&piece) {
                    let mut add = |body: &[u8]| absent.seals.push(body.to_vec());
                    self.seals_behind(ordinal, size, &mut add)?;
                }
                return Err(absent.into_io());
            }
        };
        let count = count.min(follow.max(1));
        let (end, damage) = match &places.damage {
            Some((at, what)) => (*at, what.clone()),
            None => (places.end, format!("expected entry {first}, found the end")),
        };
        let Some((start, end)) = range(&places.offsets, at, count, end) else {
            return Err(unreadable(&piece, end, &damage));
        };
        Ok(Some(Span { piece, first, start, end, is_indexed: false }))
    }

    /// Where the frames of a segment are: found by reading it, if nobody has done so lately.
    pub(super) fn places(&self, piece: &Arc<Piece>, end: u64) -> io::Result<Arc<Places>> {
        let ordinal = piece.beginning.ordinal;
        let mut before = Places::none(piece);
        {
            let mut cache = self.cache.lock();
            let found = cache.0.iter().position(|(known, _)| *known == ordinal);
            if let Some((_, places)) = found.and_then(|at| cache.0.remove(at)) {
                if places.end == end {
                    cache.0.push_front((ordinal, Arc::clone(&places)));
                    return Ok(places);
                }
                if places.end < end && places.damage.is_none() {
                    // The segment has grown: whoever follows a writer must not read all of it again each time.
                    before = Arc::try_unwrap(places).unwrap_or_else(|places| (*places).clone());
                }
            }
        }
        let places = Arc::new(self.look(piece, before, end)?);
        let mut cache = self.cache.lock();
        cache.0.retain(|(known, _)| *known != ordinal);
        cache.0.push_front((ordinal, Arc::clone(&places)));
        cache.0.truncate(CACHED);
        Ok(places)
    }

    /// Reads a segment, and the outline of what has left it.
    pub(super) fn look(&self, piece: &Piece, before: Places, end: u64) -> io::Result<Places> {
        let mut places = scan(piece, before, end)?;
        let archived = |gone: &&mut Gone| gone.absent.gap.reason == GapReason::Archived;
        let gone: Vec<&mut Gone> = places.gaps.iter_mut().filter(archived).collect();
        let gaps: Vec<_> = gone.iter().map(|gone| gone.absent.gap.clone()).collect();
        if !gaps.is_empty()
            && let Some(left) = self.outline(piece.beginning.ordinal, &gaps)
        {
            for gone in gone {
                gone.is_known = true;
            }
            let sequences = gaps.iter().flat_map(|gap| gap.first..gap.end());
            for (sequence, (id, _)) in sequences.zip(left) {
                places.ids.add(id, sequence);
            }
        }
        Ok(places)
    }

    pub(super) fn find_id(&self, id: &EventId) -> io::Result<Option<u64>> {
        if let Some(sequence) = self.live.lock().ids.get(id) {
            return Ok(Some(sequence));
        }
        let (found, unknown) = self.indexed_id(id);
        match found {
            Some(sequence) if self.has_id(sequence, id)? => Ok(found),
            // What an index says is not so: then nothing that it says counts.
            Some(_) => self.find_within(id, &[ALL]),
            None => self.find_within(id, &unknown),
        }
    }

    /// Whether an entry is of this event. Of one that is not there any more an index is believed: the id was used.
    fn has_id(&self, sequence: u64, id: &EventId) -> io::Result<bool> {
        let mut frames = Frames::new();
        match self.read_frames(sequence, 1, &mut frames) {
            Err(error) if Absent::of(&error).is_some() => return Ok(true),
            read => read?,
        }
        Ok(frames.iter().next().is_some_and(|frame| {
            let fields = Fields::parse(&mut Reader::new(frame.body));
            let is_it = |fields: &Fields<'_>| fields.sequence == sequence && fields.event_id == *id;
            fields.is_ok_and(|(fields, _)| is_it(&fields))
        }))
    }

    /// Looks for an event in the segments with these numbers, from the last one on, by reading them.
    fn find_within(&self, id: &EventId, ranges: &[Range<u64>]) -> io::Result<Option<u64>> {
        let pieces: Vec<_> = {
            let live = self.live.lock();
            let before = |number| live.pieces.partition_point(|p| p.beginning.ordinal < number);
            let within =
                ranges.iter().filter_map(|r| live.pieces.get(before(r.start)..before(r.end)));
            let end = |piece: &Piece| piece.end.unwrap_or(live.recent_at);
            within.flatten().map(|piece| (Arc::clone(piece), end(piece))).collect()
        };
        for (piece, end) in pieces.iter().rev() {
            let places = self.places(piece, *end)?;
            if let Some(sequence) = places.ids.get(id) {
                return Ok(Some(sequence));
            }
            // It may be behind that: to say that there is none would have it recorded twice.
            places.whole(piece)?;
            // Nor is it known of entries that are archived. Of what is lost nobody will ever know.
            let archived =
                |gone: &&Gone| !gone.is_known && gone.absent.gap.reason == GapReason::Archived;
            if let Some(gone) = places.gaps.iter().find(archived) {
                return Err(gone.absent.clone().into_io());
            }
        }
        Ok(None)
    }
}

/// Reads a segment up to a length, or to where no frame can be read, from where it was read before.
pub(super) fn scan(piece: &Piece, before: Places, end: u64) -> io::Result<Places> {
    let mut scanner = piece.scanner(before.end, end);
    let mut places = Places { end, ..before };
    let mut sequence = places.next(piece);
    loop {
        match scanner.next()? {
            Scanned::End => return Ok(places),
            Scanned::Damage(what) => {
                places.damage = Some((scanner.at(), what.to_owned()));
                return Ok(places);
            }
            Scanned::Frame(found) if found.kind == Kind::Entry => {
                let fields = match frame::fields(scanner.body()) {
                    Ok(fields) => fields,
                    Err(error) => {
                        places.damage = Some((found.at, error.to_string()));
                        return Ok(places);
                    }
                };
                if fields.sequence != sequence {
                    // A segment says by itself, unsigned, what its first entry is: nobody may be led to another entry by it.
                    let what = format!("expected entry {sequence}, found {}", fields.sequence);
                    places.damage = Some((found.at, what));
                    return Ok(places);
                }
                places.offsets.push(u32::try_from(found.at).unwrap_or(u32::MAX));
                places.ids.add(fields.event_id, sequence);
                sequence = sequence.saturating_add(1);
            }
            Scanned::Frame(found) if found.kind == Kind::Gap => {
                if let Err(what) = places.take_gap(piece, scanner.body()) {
                    places.damage = Some((found.at, what));
                    return Ok(places);
                }
                sequence = places.next(piece);
            }
            Scanned::Frame(_) => places.take_seal(scanner.body()),
        }
    }
}

/// The frames of entries and seals in bytes of a segment that begin and end with whole frames: all of them, or those before the first
/// that is damaged. An error if that is the first.
fn split(piece: &Piece, bytes: &[u8], start: u64, first: u64) -> io::Result<Split> {
    let mut found = Split::default();
    let (mut at, mut sequence) = (0_usize, first);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let (head, body) = match frame_in(rest) {
            Ok((head, body)) => (head, at.saturating_add(body.start)..at.saturating_add(body.end)),
            Err(what) if found.entries.is_empty() => {
                return Err(unreadable(piece, start.saturating_add(len_u64(at)), what));
            }
            // Whoever reads on is told there.
            Err(_) => break,
        };
        at = body.end;
        match Kind::from_letter(head.letter) {
            Some(Kind::Entry) => {
                found.entries.push((sequence, head.left, body));
                sequence = sequence.saturating_add(1);
            }
            Some(Kind::Seal) => found.seals.push((sequence, body)),
            // What stands behind it comes with the gap.
            Some(Kind::Gap) => break,
            _ => {}
        }
    }
    Ok(found)
}

/// The frame that bytes begin with: its head, and where its body is.
fn frame_in(bytes: &[u8]) -> Result<(Head, Range<usize>), &'static str> {
    let head = bytes.first_chunk::<HEAD>().and_then(Head::parse);
    let head = head.ok_or("expected a frame's head, found other bytes")?;
    let body = HEAD..HEAD.saturating_add(head.length);
    let content = bytes.get(body.clone()).ok_or("expected a whole frame")?;
    if crc32fast::hash(content) != head.crc {
        return Err("expected a body with the CRC in its head, found another");
    }
    Ok((head, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::segment::Beginning;

    fn piece() -> Piece {
        let beginning = Beginning {
            chain_id: Digest::ZERO,
            ordinal: 0,
            first: 0,
            prior: Digest::ZERO,
            epoch: 0,
            accepted: None,
            authority: None,
            begun: 0,
        };
        Piece { beginning, file: Arc::new(&[][..]), start: 0, end: None, is_stand_in: false }
    }

    #[test]
    fn frames_before_damage_are_given() {
        let body = [7; 40];
        let (letter, crc) = (Kind::Entry.letter(), crc32fast::hash(&body));
        let head = Head { letter, mark: 0, left: 0, length: body.len(), crc }.encode();
        let frame = [&head[..], &body].concat();
        let mut bytes = frame.repeat(3);
        assert_eq!(split(&piece(), &bytes, 0, 5).unwrap().entries.len(), 3);
        bytes[2 * frame.len() + 20] ^= 1;
        let found = split(&piece(), &bytes, 0, 5).unwrap();
        assert_eq!(
            found.entries.iter().map(|(sequence, ..)| *sequence).collect::<Vec<_>>(),
            [5, 6]
        );
        bytes[20] ^= 1;
        split(&piece(), &bytes, 0, 5).unwrap_err();
    }

    /// An index has as many ids as there are entries, or it is never made.
    #[test]
    fn an_id_that_occurs_again_is_kept() {
        let id = |n| EventId::new(1, [n; 10]);
        let mut places = Places::default();
        for (sequence, n) in (0..).zip([3, 1, 3, 1, 1]) {
            places.ids.add(id(n), sequence);
        }
        assert_eq!([id(1), id(2), id(3)].map(|id| places.ids.get(&id)), [Some(1), None, Some(0)]);
        let (_, ids) = places.into_parts(&piece()).unwrap();
        assert_eq!(ids, [id(3), id(1), id(3), id(1), id(1)]);
    }
}
