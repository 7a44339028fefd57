//! Bringing back what is damaged or gone, from a copy or an export: each segment that is not as it should be gets a stand-in, and what
//! was there stays beside it.
//!
//! What a source gives is put in place only if it is linked to the entry before and leads to the one behind. Whether the whole then
//! verifies is for whoever asked; if it does not the stand-ins go again.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::sync::Arc;

use crate::chainfile::{self, Head, Reader};
use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::{Directory, Record, name_of, put_stand_in, stand_in_name};
use crate::disk::{DiskError, File, Folder};
use crate::frame::{Frame, Kind, Written};
use crate::key::Signature;
use crate::segment::{self, Beginning, Scanned, Scanner};

/// Frames and bytes of a source that are read at once.
const BLOCK: (usize, usize) = (1024, 1 << 20);
/// Bytes from which on what comes behind the last segment goes into a stand-in of its own.
const ENOUGH: usize = 64 << 20;
/// Before the name of what a stand-in takes the place of, where its own name is needed.
const OLD: &str = "old-";
/// The record of what is durable: it speaks of files that do not count any more.
const RECORD: &str = "durable";

/// An entry as it stands in a file.
struct Whole {
    left: u16,
    prior: Digest,
    digest: Digest,
    signature: Signature,
    /// Frame of the entry, without mark, and those of the seals behind it.
    bytes: Vec<u8>,
}

fn refuse(what: String) -> io::Error {
    let advice = "give another copy, or an export that has these entries; nothing was changed";
    DiskError::new("QUARANTINE_SOURCE", "the source", what, advice)
        .into_io(io::ErrorKind::InvalidInput)
}

/// The entries of a source, in order.
struct Entries<R> {
    reader: Reader<R>,
    ready: VecDeque<(u64, Whole)>,
}

impl<R: Read> Entries<R> {
    fn open(source: R) -> io::Result<Self> {
        let reader = Reader::open(source);
        let reader = reader.map_err(|error| refuse(format!("it is no chain file: {error}")))?;
        Ok(Self { reader, ready: VecDeque::new() })
    }

    /// The entry with this number, if it has it.
    fn take(&mut self, sequence: u64) -> io::Result<Option<Whole>> {
        loop {
            while let Some((found, _)) = self.ready.front() {
                if *found > sequence {
                    return Ok(None);
                }
                let taken = self.ready.pop_front();
                if let Some((found, whole)) = taken
                    && found == sequence
                {
                    return Ok(Some(whole));
                }
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads on. Says whether there was anything. A frame that cannot be used is passed over: what it was is missing then.
    fn fill(&mut self) -> io::Result<bool> {
        let chain_id = self.reader.chain_id();
        let block = self.reader.block(BLOCK.0, BLOCK.1)?;
        for raw in block.frames() {
            let Ok(frame) = block.parse(raw) else { continue };
            match &frame {
                Frame::Entry(written) => {
                    let whole = whole(written, &chain_id)?;
                    self.ready.push_back((written.fields.sequence, whole));
                }
                Frame::Seal(_) => {
                    let (head, body) = chainfile::encode(&frame)?;
                    if let Some((_, before)) = self.ready.back_mut() {
                        before.bytes.extend_from_slice(&head);
                        before.bytes.extend_from_slice(&body);
                    }
                }
                _ => {}
            }
        }
        Ok(!block.is_empty())
    }
}

fn whole(written: &Written<'_>, chain_id: &Digest) -> io::Result<Whole> {
    let digest = written.fields.digest(chain_id_of(written, chain_id));
    // What does not belong to its commitment is no entry, wherever it comes from.
    if written.part.commitment().is_some_and(|found| found != written.fields.payload_hash) {
        return Err(refuse(format!("entry {} has another payload", written.fields.sequence)));
    }
    let (head, body) = chainfile::encode(&Frame::Entry(Box::new(written.clone())))?;
    let bytes = [&head[..], &body].concat();
    let (left, prior, signature) = (written.left, written.fields.prior_hash, written.signature);
    Ok(Whole { left, prior, digest, signature, bytes })
}

/// The chain id that is part of an entry's digest: none yet in entry 0.
fn chain_id_of<'d>(written: &Written<'_>, chain_id: &'d Digest) -> &'d Digest {
    if written.fields.sequence == 0 { &Digest::ZERO } else { chain_id }
}

/// What is there of a segment.
#[derive(Default)]
struct Own {
    beginning: Option<Beginning>,
    entries: BTreeMap<u64, Whole>,
    /// Whether entries of it are elsewhere, or lost for good.
    has_gap: bool,
    /// Bytes of its file up to the end of the last frame that could be read.
    end: u64,
    /// Whether the one behind it counts more bytes of it than there are.
    is_short: bool,
}

impl Own {
    fn beginning(
        folder: &dyn Folder,
        ordinal: u64,
    ) -> Option<(Beginning, u64, Box<dyn File>, bool)> {
        let found = [(stand_in_name(ordinal), true), (name_of(ordinal), false)];
        found.into_iter().find_map(|(name, is_stand_in)| {
            let file = folder.open(&name, false).ok()?;
            let (beginning, start) = Beginning::read(&*file).ok()?;
            (beginning.ordinal == ordinal).then_some((beginning, start, file, is_stand_in))
        })
    }

    fn read(folder: &dyn Folder, ordinal: u64, chain_id: &Digest) -> io::Result<Self> {
        let mut own = Self::default();
        let Some((beginning, start, file, is_stand_in)) = Self::beginning(folder, ordinal) else {
            return Ok(own);
        };
        own.beginning = Some(beginning);
        let mut end = file.len()?;
        let next = Self::beginning(folder, ordinal.saturating_add(1));
        if let Some((Beginning { accepted: Some(accepted), .. }, ..)) = next
            && !is_stand_in
        {
            own.is_short = accepted > end;
            end = end.min(accepted);
        }
        own.end = start;
        own.walk(&*file, (start, end), chain_id)?;
        Ok(own)
    }

    /// Reads all that can be read: a body that is damaged is passed over, a head ends it.
    fn walk(
        &mut self,
        file: &dyn File,
        (start, end): (u64, u64),
        chain_id: &Digest,
    ) -> io::Result<()> {
        let mut scanner = Scanner::new(file, start, end).with_gaps(true);
        let mut last = None;
        loop {
            self.end = self.end.max(scanner.at());
            match scanner.next()? {
                Scanned::End => return Ok(()),
                Scanned::Damage(_) => {
                    let mut head = [0; chainfile::HEAD];
                    let at = scanner.at();
                    if file.read_all_at(&mut head, at).is_err() {
                        return Ok(());
                    }
                    let Some(head) = Head::parse(&head) else { return Ok(()) };
                    let behind = at.saturating_add(len_u64(chainfile::HEAD));
                    let behind = behind.saturating_add(len_u64(head.length));
                    if behind >= end {
                        return Ok(());
                    }
                    scanner = Scanner::new(file, behind, end).with_gaps(true);
                    last = None;
                }
                Scanned::Frame(found) if found.kind == Kind::Entry => {
                    let parsed = Written::parse(found.left, scanner.body());
                    let parsed = parsed.ok().and_then(|w| {
                        whole(&w, chain_id).ok().map(|whole| (w.fields.sequence, whole))
                    });
                    last = parsed.as_ref().map(|(sequence, _)| *sequence);
                    self.entries.extend(parsed);
                }
                Scanned::Frame(found) if found.kind == Kind::Seal => {
                    let head = chainfile::encode_head(Kind::Seal, 0, scanner.body())?;
                    if let Some(before) = last.and_then(|last| self.entries.get_mut(&last)) {
                        before.bytes.extend_from_slice(&segment::marked(&head, false));
                        before.bytes.extend_from_slice(scanner.body());
                    }
                }
                Scanned::Frame(found) => self.has_gap |= found.kind == Kind::Gap,
            }
        }
    }
}

/// What is gathered for the place of one segment.
struct Place {
    beginning: Beginning,
    entries: Vec<Whole>,
    /// Bytes of these.
    size: usize,
}

impl Place {
    fn new(beginning: Beginning) -> Self {
        Self { beginning, entries: Vec::new(), size: 0 }
    }

    fn add(&mut self, whole: Whole) {
        self.size = self.size.saturating_add(whole.bytes.len());
        self.entries.push(whole);
    }

    /// Whether it is time for the next one, and a batch ends here.
    fn is_full(&self) -> bool {
        self.size >= ENOUGH && self.entries.last().is_some_and(|whole| whole.left == 0)
    }

    /// The end of a chain is the end of a batch.
    fn end_with_a_batch(&mut self, is_last: bool) {
        while is_last && self.entries.last().is_some_and(|whole| whole.left > 0) {
            self.entries.pop();
        }
    }

    /// Goes on behind a file of so many bytes that holds what was gathered.
    fn go_on(&mut self, accepted: u64) {
        let Self { beginning, entries, .. } = self;
        let prior = entries.last().map_or(beginning.prior, |whole| whole.digest);
        *self = Self::new(Beginning {
            ordinal: beginning.ordinal.saturating_add(1),
            first: beginning.first.saturating_add(len_u64(entries.len())),
            prior,
            accepted: Some(accepted),
            authority: None,
            begun: 0,
            ..beginning.clone()
        });
    }
}

/// What was put in place.
pub(super) struct Repair {
    put: Vec<u64>,
    /// Names that were changed, and what they were.
    renamed: Vec<(String, String)>,
}

/// How far a repair has come.
struct Progress {
    next: u64,
    prior: Digest,
    epoch: u64,
    /// Bytes of the last file that belong to the chain.
    end: u64,
}

impl Repair {
    /// Has every segment hold what it should, as far as this source and what is there give it.
    pub(super) fn make(folder: &Arc<dyn Folder>, source: impl Read) -> io::Result<Self> {
        let mut entries = Entries::open(source)?;
        let chain_id = entries.reader.chain_id();
        let own = Directory::chain_in(&**folder);
        if own != Digest::ZERO && own != chain_id {
            return Err(refuse(format!("expected one of chain {own}, found chain {chain_id}")));
        }
        let names = folder.names()?;
        let last = names.iter().filter_map(|name| Directory::ordinal_in(name)).max().unwrap_or(0);
        let mut progress = Progress { next: 0, prior: Digest::ZERO, epoch: 0, end: 0 };
        let mut made = Self { put: Vec::new(), renamed: Vec::new() };
        for ordinal in 0..=last {
            let done = made.segment(&**folder, (ordinal, last), &mut entries, &mut progress);
            if let Err(error) = done {
                made.withdraw(&**folder)?;
                return Err(error);
            }
        }
        // What was durable, by what is there and by what an attempt before has renamed.
        let durable = stated(&**folder)?;
        if progress.next < durable {
            made.withdraw(&**folder)?;
            let what = format!("it leads to {} entries, and {durable} were durable", progress.next);
            return Err(refuse(what));
        }
        // The last segment may have been there without an entry: all is here, and the record speaks of a file that is not.
        let record = match folder.open(RECORD, false) {
            Ok(file) => Record::read(&*file)?,
            Err(_) => None,
        };
        if record.is_some_and(|record| record.ordinal > last) {
            made.rename(&**folder, RECORD)?;
        }
        Ok(made)
    }

    /// Looks at one segment, and puts a stand-in in its place if it needs one.
    fn segment(
        &mut self,
        folder: &dyn Folder,
        (ordinal, last): (u64, u64),
        source: &mut Entries<impl Read>,
        progress: &mut Progress,
    ) -> io::Result<()> {
        let chain_id = source.reader.chain_id();
        let mut own = Own::read(folder, ordinal, &chain_id)?;
        let is_last = ordinal == last;
        let next = Own::beginning(folder, ordinal.saturating_add(1));
        if let Some((behind, ..)) = next.as_ref().filter(|_| own.has_gap) {
            // What was archived is brought back by other means.
            (progress.next, progress.prior) = (behind.first, behind.prior);
            return Ok(());
        }
        let after = own.entries.keys().next_back().map_or(progress.next, |n| n.saturating_add(1));
        let until = match next {
            Some((beginning, ..)) => Some(beginning.first),
            None if is_last => None,
            None => Some(after.max(progress.next)),
        };
        let (first, prior) = (progress.next, progress.prior);
        let mut is_bad = own.is_short
            || own.beginning.as_ref().is_none_or(|beginning| {
                (beginning.first, beginning.prior, beginning.chain_id) != (first, prior, chain_id)
            });
        let beginning = own.beginning.clone().unwrap_or(Beginning {
            chain_id,
            ordinal,
            first,
            prior,
            epoch: progress.epoch,
            accepted: (ordinal > 0).then_some(progress.end),
            authority: None,
            begun: 0,
        });
        progress.epoch = beginning.epoch;
        let mut place = Place::new(Beginning { chain_id, first, prior, ..beginning });
        while until.is_none_or(|until| progress.next < until) {
            let sequence = progress.next;
            let here = own.entries.remove(&sequence);
            let Some(whole) = choose(source.take(sequence)?, here, progress.prior, &mut is_bad)
            else {
                if until.is_some() {
                    let what =
                        format!("entry {sequence} is neither here nor there as it should be");
                    return Err(refuse(what));
                }
                break;
            };
            (progress.next, progress.prior) = (sequence.saturating_add(1), whole.digest);
            place.add(whole);
            // What comes behind all that is here has no end that is known, and is not kept until it has.
            let is_behind = own.entries.range(progress.next..).next().is_none();
            if is_last && is_bad && is_behind && place.is_full() {
                self.put(folder, &mut place, is_last)?;
            }
        }
        place.end_with_a_batch(is_last);
        progress.end = own.end;
        if !is_bad {
            return Ok(());
        }
        if !(place.entries.is_empty() && self.put.contains(&ordinal)) {
            self.put(folder, &mut place, is_last)?;
        }
        progress.end = place.beginning.accepted.unwrap_or(0);
        Ok(())
    }

    /// Puts what is gathered in the place of a segment, and makes it the place behind.
    fn put(&mut self, folder: &dyn Folder, place: &mut Place, is_last: bool) -> io::Result<()> {
        if is_last {
            self.rename(folder, RECORD)?;
        }
        let name = stand_in_name(place.beginning.ordinal);
        self.rename(folder, &name)?;
        let mut entries = place.entries.iter();
        put_stand_in(folder, &place.beginning, &mut |bytes| {
            let Some(whole) = entries.next() else { return Ok(false) };
            bytes.extend_from_slice(&whole.bytes);
            Ok(entries.len() > 0)
        })?;
        self.put.push(place.beginning.ordinal);
        place.go_on(folder.open(&name, false)?.len()?);
        Ok(())
    }

    /// Keeps a file that something else takes the place of, under the first name that is free.
    fn rename(&mut self, folder: &dyn Folder, name: &str) -> io::Result<()> {
        let names = folder.names()?;
        if !names.iter().any(|found| found == name) {
            return Ok(());
        }
        let mut old = format!("{OLD}{name}");
        for number in 1_u64.. {
            if !names.contains(&old) {
                break;
            }
            old = format!("{OLD}{name}-{number}");
        }
        folder.rename(name, &old)?;
        self.renamed.push((name.to_owned(), old));
        Ok(())
    }

    /// Takes back what was put in place.
    pub(super) fn withdraw(self, folder: &dyn Folder) -> io::Result<()> {
        for ordinal in self.put {
            folder.remove(&stand_in_name(ordinal))?;
        }
        for (name, old) in self.renamed {
            folder.rename(&old, &name)?;
        }
        folder.sync()
    }
}

/// Entries that were durable, as records of it say: the present one, and those that were kept.
fn stated(folder: &dyn Folder) -> io::Result<u64> {
    let mut most = 0;
    let kept = format!("{OLD}{RECORD}");
    for name in folder.names()?.iter().filter(|n| *n == RECORD || n.starts_with(&kept)) {
        if let Some(record) = Record::read(&*folder.open(name, false)?)? {
            most = most.max(record.size);
        }
    }
    Ok(most)
}

/// The entry that goes on from the one before: that of the source, or else what is here. Notes where the two are not the same.
fn choose(
    theirs: Option<Whole>,
    ours: Option<Whole>,
    prior: Digest,
    is_bad: &mut bool,
) -> Option<Whole> {
    let fits = |whole: &Whole| whole.prior == prior;
    match (theirs.filter(fits), ours.filter(fits)) {
        (Some(theirs), Some(ours)) => {
            // Of one entry, ours: what was withheld or erased in one of the two is no damage in the other.
            let is_same = (theirs.digest, theirs.left) == (ours.digest, ours.left);
            if is_same && theirs.signature == ours.signature {
                return Some(ours);
            }
            *is_bad = true;
            Some(theirs)
        }
        (Some(theirs), None) => {
            *is_bad = true;
            Some(theirs)
        }
        (None, Some(ours)) => Some(ours),
        (None, None) => None,
    }
}
