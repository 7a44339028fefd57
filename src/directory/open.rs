//! Opening: which segments there are, where the last seal is, and how the files end. What that means is for those to say who know entries.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::chain;
use crate::checkpoint::Seal;
use crate::codec::{Reader, len_u64};
use crate::digest::Digest;
use crate::directory::begin::lock;
use crate::directory::handles::Handles;
use crate::directory::pieces::{check, pieces};
use crate::directory::read::Ids;
use crate::directory::record::Record;
use crate::directory::{
    ASIDE, Directory, Limits, Live, NEXT, Piece, RECORD, Writer, Writing, name_of, standin,
};
use crate::disk::{DiskError, File, Folder};
use crate::frame::{Kind, Written};
use crate::recovery::Stated;
use crate::segment::{Beginning, FRAME_MIN, Left, Needed, Remains, Scanned, Scanner};
use crate::store::{Frames, StoreError};

/// A place in the segments: number in the list of them, and byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) piece: usize,
    pub(crate) at: u64,
}

impl Place {
    /// Name of the segment.
    pub(crate) fn segment(self) -> String {
        name_of(len_u64(self.piece))
    }
}

/// How the last segment ends, as far as frames can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// Behind the last whole frame.
    pub(crate) at: Place,
    /// What is there instead of a frame; nothing if the file ends.
    pub(crate) damage: Option<&'static str>,
}

/// A frame that was met.
pub(crate) struct Met<'f> {
    pub(crate) at: Place,
    /// Behind it.
    pub(crate) end: Place,
    /// Whether it is the first of a group.
    pub(crate) is_marked: bool,
    pub(crate) kind: Kind,
    pub(crate) left: u16,
    pub(crate) body: &'f [u8],
}

pub(super) fn misfit(what: String, advice: &'static str) -> io::Error {
    DiskError::new("LEDGER_FILES", "the ledger's directory", what, advice)
        .into_io(io::ErrorKind::InvalidData)
}

/// Entries that were durable are not there any more.
pub(super) fn lost(expected: u64, found: u64) -> io::Error {
    misfit(format!("expected at least {expected} entries, as there were, found {found}"), LOOK)
}

/// What comes now does not go on from what there was.
pub(super) fn beside(sequence: u64) -> io::Error {
    misfit(format!("expected entry {sequence} to be linked to the one before, found another"), LOOK)
}

/// What stays of a directory that cannot be trusted as it is.
pub(super) const LOOK: &str = "verify it, and see what has become of its files";

impl Directory {
    /// Opens the files of a ledger to append to them, and locks them. Waits for the lock up to `wait`.
    pub fn open(folder: Arc<dyn Folder>, limits: Limits, wait: Duration) -> io::Result<Self> {
        lock(&*folder, wait)?;
        Self::over_folder(folder, limits, true)
    }

    /// Opens the files of a ledger only to read them, up to what is durable. Somebody else may be writing.
    pub fn view(folder: Arc<dyn Folder>) -> io::Result<Self> {
        let directory = Self::over_folder(folder, Limits::default(), false)?;
        directory.settle()?;
        Ok(directory)
    }

    /// Looks how far the files go by now. Says whether farther than before; less far is an error: the ledger was set back.
    pub fn refresh(&self) -> io::Result<bool> {
        let (before, known) = {
            let live = self.live.lock();
            (live.size, live.pieces.last().map(|piece| piece.beginning.ordinal))
        };
        let (record, last) = {
            let mut writer = self.writer.lock();
            if writer.record_file.is_none() {
                // There was none when this was opened; whoever writes by now has made one.
                writer.record_file = match self.folder.open(RECORD, false) {
                    Ok(file) => Some(file.into()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(error) => return Err(error),
                };
            }
            let record = match &writer.record_file {
                Some(file) => Record::read(&**file)?,
                None => None,
            };
            (record, writer.record.clone())
        };
        // Not by what readers were shown: marks may have led farther than a record that a power cut has left out of date.
        let Some(record) = record.filter(|record| *record != last) else { return Ok(false) };
        if record.size < last.size {
            // What a writer has said to be durable it never takes back.
            return Err(lost(last.size, record.size));
        }
        if known != Some(record.ordinal) {
            let pieces = pieces(&self.handles, false)?;
            check(&pieces, Some(&record))?;
            self.live.lock().pieces = pieces;
            self.forget_indexes();
        }
        self.writer.lock().record = record;
        self.settle()?;
        let size = self.live.lock().size;
        if size < before { Err(lost(before, size)) } else { Ok(size > before) }
    }

    /// Has readers end where all is durable: where the record says, which may be out of date, or behind the last group that another
    /// followed.
    fn settle(&self) -> io::Result<()> {
        let record = self.record();
        let mut live = self.live.lock();
        if let Some(piece) = live.pieces.last().cloned() {
            // A record that speaks of another segment is out of date, and does not say whether the name of this one is durable; nor does
            // the segment. A reader does not sync the directory to find out: it would be told of a failure in the writer's place.
            let (mut size, mut at) = (piece.beginning.first, piece.start);
            if record.length > 0 && record.ordinal == piece.beginning.ordinal {
                (size, at) = (record.size, record.length);
            }
            (live.size, live.end) = (size, at);
            if piece.is_stand_in {
                // It was whole before it had its name.
                (live.size, live.end) = (standin::size_of(&piece)?, piece.file.len()?);
            } else {
                let mut scanner = piece.scanner(at, piece.file.len()?);
                while let Scanned::Frame(found) = scanner.next()? {
                    if found.is_marked {
                        (live.size, live.end) = (size, found.at);
                    }
                    size = size.saturating_add(u64::from(found.kind == Kind::Entry));
                }
            }
        }
        (live.recent, live.recent_at) = (live.size, live.end);
        live.offsets.clear();
        live.ids.clear();
        let Some(piece) = live.pieces.pop() else { return Ok(()) };
        // Whatever the next segment counted of it, readers end here.
        let Piece { beginning, file, start, is_stand_in, .. } = &*piece;
        let (beginning, file, start) = (beginning.clone(), Arc::clone(file), *start);
        let (end, is_stand_in) = (None, *is_stand_in);
        live.pieces.push(Arc::new(Piece { beginning, file, start, end, is_stand_in }));
        Ok(())
    }

    /// Number of durable entries.
    pub fn entries(&self) -> u64 {
        self.live.lock().size
    }

    /// Id of the chain.
    pub fn chain_id(&self) -> Digest {
        self.live.lock().pieces.first().map_or(Digest::ZERO, |piece| piece.beginning.chain_id)
    }

    /// Who wrote last, if that is recorded.
    pub fn writing(&self) -> Option<Writing> {
        self.record().writing
    }

    /// Bytes of the last segment that are durable.
    pub(crate) fn durable_end(&self) -> u64 {
        self.live.lock().end
    }

    /// Number, length that belongs to the chain, and length of the file, of each segment.
    pub fn segments(&self) -> io::Result<Vec<(u64, u64, u64)>> {
        let (pieces, last_end) = {
            let live = self.live.lock();
            (live.pieces.clone(), live.end)
        };
        let of = |piece: &Arc<Piece>| {
            Ok((piece.beginning.ordinal, piece.end.unwrap_or(last_end), piece.file.len()?))
        };
        pieces.iter().map(of).collect()
    }

    fn over_folder(folder: Arc<dyn Folder>, limits: Limits, appends: bool) -> io::Result<Self> {
        // The record first: what it says is durable is in the segments, however many are added meanwhile.
        let record_file: Option<Arc<dyn File>> = match folder.open(RECORD, appends) {
            Ok(file) => Some(file.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let record = match &record_file {
            Some(file) => Record::read(&**file)?,
            None => None,
        };
        let handles = Handles::new(folder);
        let pieces = pieces(&handles, appends)?;
        let Some(last) = pieces.last() else {
            let what = "expected segments of a ledger, found none".to_owned();
            let advice = "create a ledger there, or give the directory of one";
            if record.is_none_or(|record| record.size == 0) {
                let place = "the ledger's directory";
                return Err(DiskError::new("LEDGER_FILES", place, what, advice)
                    .into_io(io::ErrorKind::NotFound));
            }
            return Err(misfit(what, LOOK));
        };
        check(&pieces, record.as_ref())?;
        let Beginning { chain_id, first, epoch, .. } = last.beginning;
        let next_ordinal = last.beginning.ordinal.saturating_add(1);
        let last_start = last.start;
        let is_recorded = record.is_some();
        let record = record.unwrap_or(Record {
            chain_id,
            ordinal: 0,
            length: 0,
            size: 0,
            head: last.beginning.prior,
            seal: None,
            epoch,
            writing: None,
        });
        let live = Live {
            pieces,
            size: first,
            end: last_start,
            offsets: Vec::new(),
            recent: first,
            recent_at: last_start,
            ids: Ids::default(),
        };
        let left = is_recorded.then(|| record.encode());
        let writer = Writer { left, ..Writer::new(record, record_file, next_ordinal, None) };
        Ok(Self::over(handles, limits, writer, live))
    }

    /// The segments.
    pub(crate) fn pieces(&self) -> Vec<Arc<Piece>> {
        self.live.lock().pieces.clone()
    }

    /// The record of what is durable, as it was found.
    pub(crate) fn record(&self) -> Record {
        self.writer.lock().record.clone()
    }

    /// How far the record says that the files go, beside how far they can be read. `is_end` says whether the file ends there.
    pub(crate) fn stated(&self, at: Place, is_end: bool) -> Stated {
        let record = self.record();
        let pieces = self.pieces();
        let piece = pieces.get(at.piece);
        let begun = piece.map(|p| p.start.saturating_add(p.beginning.begun));
        if piece.is_some_and(|piece| piece.is_stand_in) {
            // What the record and its beginning say is said of the segment. All of it was durable before it had its name.
            return if is_end { Stated::Less } else { Stated::More };
        }
        if begun.is_some_and(|begun| begun > at.at) {
            // What a segment was begun with was synced before it had its name: the segment says so itself.
            return Stated::More;
        }
        if record.length == 0 {
            return Stated::Nothing;
        }
        let ordinal = pieces.get(at.piece).map_or(0, |piece| piece.beginning.ordinal);
        match (record.ordinal, record.length).cmp(&(ordinal, at.at)) {
            std::cmp::Ordering::Equal if is_end => Stated::Exactly,
            std::cmp::Ordering::Less | std::cmp::Ordering::Equal => Stated::Less,
            std::cmp::Ordering::Greater => Stated::More,
        }
    }

    /// Goes through the frames from a place on, segment by segment, as far as each belongs to the chain, until one cannot be read
    /// or `each` says that it is enough.
    pub(crate) fn walk(
        &self,
        from: Place,
        each: &mut dyn FnMut(&Met<'_>) -> io::Result<bool>,
    ) -> io::Result<Ending> {
        let pieces = self.pieces();
        let mut ending = Ending { at: from, damage: None };
        for (number, piece) in pieces.iter().enumerate().skip(from.piece) {
            let at = if number == from.piece { from.at } else { piece.start };
            let end = match piece.end {
                Some(end) => end,
                None => piece.file.len()?,
            };
            let mut scanner = piece.scanner(at, end);
            loop {
                ending.at = Place { piece: number, at: scanner.at() };
                match scanner.next()? {
                    Scanned::End => break,
                    Scanned::Damage(what) => {
                        ending.damage = Some(what);
                        return Ok(ending);
                    }
                    Scanned::Frame(found) => {
                        let end = Place { piece: number, at: found.end };
                        let (is_marked, kind, left) = (found.is_marked, found.kind, found.left);
                        let body = scanner.body();
                        let met = Met { at: ending.at, end, is_marked, kind, left, body };
                        if !each(&met)? {
                            return Ok(ending);
                        }
                    }
                }
            }
        }
        Ok(ending)
    }

    /// Looks for what is left of entries, and for seals, behind a place where no frame is. Gives where each is.
    pub(crate) fn search(
        &self,
        from: Place,
        each: &mut dyn FnMut(u64, &Left<'_>),
    ) -> io::Result<()> {
        let pieces = self.pieces();
        let Some(piece) = pieces.get(from.piece) else { return Ok(()) };
        search(&*piece.file, from.at, piece.file.len()?, each)
    }

    /// Looks for what is left of entries from number `size` on in all that does not belong to the chain: behind what a segment counts
    /// of the one before, and in segments that never got their number. Says of each whether it is in the one of these that the next
    /// attempt would take the place of.
    pub(crate) fn search_aside(
        &self,
        size: u64,
        each: &mut dyn FnMut(bool, &Remains<'_>),
    ) -> io::Result<()> {
        // What was dropped there went on from `first`, frame behind frame: there are no more of them than fit.
        let may_have = |first: u64, len: u64| first.saturating_add(len / FRAME_MIN) >= size;
        let mut each = |is_next: bool, left: &Left<'_>| {
            if let Left::Entry(remains) = left {
                each(is_next, remains);
            }
        };
        for pair in self.pieces().windows(2) {
            let [before, after] = pair else { continue };
            if before.is_stand_in {
                continue;
            }
            let (from, end) = (before.end.unwrap_or(0), before.file.len()?);
            if end > from && may_have(after.beginning.first, end.saturating_sub(from)) {
                search(&*before.file, from, end, &mut |_, left| each(false, left))?;
            }
        }
        for name in self.folder.names()? {
            let is_next = name == NEXT;
            if !is_next && !name.starts_with(ASIDE) {
                continue;
            }
            let file = self.folder.open(&name, false)?;
            let end = file.len()?;
            let first = Beginning::read(&*file).map_or(size, |(beginning, _)| beginning.first);
            if is_next || may_have(first, end) {
                search(&*file, 0, end, &mut |_, left| each(is_next, left))?;
            }
        }
        Ok(())
    }

    /// Gives the segment that was being made another name: the next one to be made would take its place.
    pub(crate) fn set_aside(&self) -> io::Result<()> {
        let names = self.folder.names()?;
        let mut free = (0_u64..).map(|number| format!("{ASIDE}{number:010}"));
        match free.find(|name| !names.contains(name)) {
            Some(name) => self.folder.rename(NEXT, &name),
            None => Ok(()),
        }
    }

    /// The last seal over at most `most` entries: found by the record, or else by looking through the segments from the last one on.
    pub(crate) fn seal_before(&self, most: u64) -> io::Result<Option<Sealed>> {
        let pieces = self.pieces();
        let record = self.record();
        let last = pieces.len().saturating_sub(1);
        if let (Some(at), Some(piece)) = (record.seal, pieces.last())
            && piece.beginning.ordinal == record.ordinal
            && !piece.is_stand_in
            && let Some(found) = last_seal_in(last, piece, at, most)?
        {
            return Ok(Some(found));
        }
        for (number, piece) in pieces.iter().enumerate().rev() {
            if let Some(found) = last_seal_in(number, piece, piece.start, most)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Entry 0 and the entries with these sequences, `left` and body of each.
    pub(crate) fn authority_entries(&self, sequences: &[u64]) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let mut entries = Vec::new();
        if let Some(first) = self.pieces().first() {
            let mut scanner = first.scanner(first.start, first.file.len()?);
            if let Scanned::Frame(found) = scanner.next()? {
                entries.push((found.left, scanner.body().to_vec()));
            }
        }
        let mut frames = Frames::new();
        for sequence in sequences.iter().filter(|sequence| **sequence > 0) {
            self.read_frames(*sequence, 1, &mut frames)?;
            entries.extend(frames.iter().map(|frame| (frame.left, frame.body.to_vec())));
        }
        Ok(entries)
    }

    /// As many entries, and those behind them in the segment of a place, up to there, that may have changed the keyring.
    pub(crate) fn authority_within(
        &self,
        to: Place,
        before: &[(u16, Vec<u8>)],
    ) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let mut entries = before.to_vec();
        let pieces = self.pieces();
        let Some(piece) = pieces.get(to.piece) else { return Ok(entries) };
        let mut scanner = piece.scanner(piece.start, to.at);
        while let Scanned::Frame(found) = scanner.next()? {
            let written = Written::parse(found.left, scanner.body());
            let is_key = |written: Written<'_>| {
                written.fields.sequence > 0 && chain::changes_keys(&written.fields.event_type)
            };
            if found.kind == Kind::Entry && written.is_ok_and(is_key) {
                entries.push((found.left, scanner.body().to_vec()));
            }
        }
        Ok(entries)
    }

    /// Says who writes from now on. It is recorded with the next group.
    pub(crate) fn announce(&self, writing: Writing, epoch: u64) {
        self.writer.lock().announced = Some((writing, epoch));
    }

    /// Whether a place is in what stands in for a segment.
    pub(crate) fn is_stand_in(&self, at: Place) -> bool {
        self.pieces().get(at.piece).is_some_and(|piece| piece.is_stand_in)
    }

    /// Bytes of the segment in which a place is.
    pub(crate) fn length(&self, at: Place) -> io::Result<u64> {
        self.pieces().get(at.piece).map_or(Ok(0), |piece| piece.file.len())
    }

    /// Whether the last segment has this number.
    pub(crate) fn is_last(&self, ordinal: u64) -> bool {
        self.pieces().last().is_some_and(|piece| piece.beginning.ordinal == ordinal)
    }

    /// The bytes from one place of a segment to another.
    pub(crate) fn bytes(&self, from: Place, to: Place) -> io::Result<Vec<u8>> {
        let pieces = self.pieces();
        let Some(piece) = pieces.get(from.piece) else { return Ok(Vec::new()) };
        let len = usize::try_from(to.at.saturating_sub(from.at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        piece.file.read_all_at(&mut bytes, from.at)?;
        Ok(bytes)
    }

    /// Takes the files as they are up to a place in the last segment.
    pub(crate) fn accept(&self, at: Place, size: u64, head: Digest, authority: Vec<Needed>) {
        let mut writer = self.writer.lock();
        if let Some(piece) = self.live.lock().pieces.get(at.piece) {
            writer.record.ordinal = piece.beginning.ordinal;
            writer.record.chain_id = piece.beginning.chain_id;
            writer.file = Some(Arc::clone(&piece.file));
        }
        (writer.record.length, writer.record.size, writer.record.head) = (at.at, size, head);
        writer.record.seal = None;
        writer.authority = Some(authority);
    }

    /// Goes on in the last segment, behind what was accepted. `seal` is where its last seal is.
    pub(crate) fn go_on(&self, seal: Option<u64>) {
        let mut writer = self.writer.lock();
        writer.record.seal = seal;
        let mut live = self.live.lock();
        (live.size, live.end) = (writer.record.size, writer.record.length);
        (live.recent, live.recent_at) = (live.size, live.end);
        live.offsets.clear();
        live.ids.clear();
    }

    /// Says how long ago the last segment was begun.
    pub(crate) fn aged(&self, age: Duration) {
        self.writer.lock().aged = age;
    }

    /// Makes the file of the record, if there is none.
    fn make_record(&self, writer: &mut Writer) -> io::Result<()> {
        if writer.record_file.is_none() {
            writer.record_file = Some(self.folder.create(RECORD)?.into());
        }
        Ok(())
    }

    /// Writes a record in the place of one that could not be read, and syncs it, before a segment says otherwise than that one did. A power
    /// cut may have left it a byte short; the next one may leave the length of what is written now and not the bytes, and the zero in
    /// their place be the byte that was missing: it would say again what was durable once, and no segment would fit it.
    fn rewrite_record(writer: &Writer) -> io::Result<()> {
        match &writer.record_file {
            Some(file) if writer.left.is_none() => {
                writer.record.write(&**file)?;
                file.sync()
            }
            _ => Ok(()),
        }
    }

    /// Begins a segment behind what was accepted, with the frames that follow there. Gives up nothing: the file before stays as it is.
    pub(crate) fn renew(
        &self,
        frames: &[u8],
        (size, head): (u64, Digest),
        authority: Vec<Needed>,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        Self::rewrite_record(&writer).map_err(StoreError::Refused)?;
        self.make_record(&mut writer).map_err(StoreError::Refused)?;
        if let Err(error) = self.begin(&mut writer, frames) {
            let StoreError::Refused(cause) = &error else { return Err(error) };
            if !self.give_up_reserve(&mut writer, cause) {
                return Err(error);
            }
            self.begin(&mut writer, frames)?;
        }
        (writer.record.size, writer.record.head) = (size, head);
        writer.authority = Some(authority);
        Self::publish(&mut writer)?;
        let mut live = self.live.lock();
        live.size = writer.record.size;
        (live.recent, live.recent_at) = (live.size, live.end);
        Ok(())
    }
}

/// A seal that was found.
pub(crate) struct Sealed {
    pub(crate) seal: Seal,
    /// Where it is.
    pub(crate) at: Place,
    /// Behind it.
    pub(crate) end: Place,
}

/// Looks for what is left of entries, and for seals, from one place to another, at each byte: a torn write has them anywhere.
fn search(
    file: &dyn File,
    from: u64,
    end: u64,
    each: &mut dyn FnMut(u64, &Left<'_>),
) -> io::Result<()> {
    let mut scanner = Scanner::new(file, from, end);
    for at in from..end {
        if let Some(left) = scanner.remains(at)? {
            each(at, &left);
        }
    }
    Ok(())
}

/// The last seal over at most `most` entries in a segment, from a place on.
fn last_seal_in(number: usize, piece: &Piece, at: u64, most: u64) -> io::Result<Option<Sealed>> {
    let end = match piece.end {
        Some(end) => end,
        None => piece.file.len()?,
    };
    let mut found = None;
    let mut scanner = piece.scanner(at, end);
    while let Scanned::Frame(frame) = scanner.next()? {
        if frame.kind != Kind::Seal {
            continue;
        }
        let seal = Seal::parse(&mut Reader::new(scanner.body())).ok();
        if let Some(seal) = seal.filter(|seal| seal.state.size <= most) {
            let at = Place { piece: number, at: frame.at };
            let end = Place { piece: number, at: frame.end };
            found = Some(Sealed { seal, at, end });
        }
    }
    Ok(found)
}
