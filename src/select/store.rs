//! Reading what is wanted by the numbers of entries.

use std::io;
use std::ops::Range;

use crate::entry::Fields;
use crate::frame::Gap;
use crate::frame::{self, Written};
use crate::id::EventId;
use crate::select::{Filter, Places, unreadable};
use crate::stamp::Stamp;
use crate::store::{FrameRef, Frames, Store, read_or_gap};

/// Entries that are read at once.
const BLOCK: usize = 1024;

/// The entries that a filter wants, in order, up to where the chain ended when they were asked for.
///
/// After an error nothing more comes.
#[derive(Clone, Debug)]
pub struct Selected<'s> {
    store: &'s dyn Store,
    filter: Filter,
    next: u64,
    end: u64,
    block: Frames,
    /// Frames of the block that were looked at.
    seen: usize,
    gaps: Vec<Gap>,
}

impl Filter {
    /// The entries that it wants of a store, such as a [`Directory`](crate::directory::Directory).
    pub fn select<'s>(&self, store: &'s dyn Store) -> io::Result<Selected<'s>> {
        self.select_within(store, store.size()?)
    }

    /// As `select`, of the first `size` entries.
    pub(crate) fn select_within<'s>(
        &self,
        store: &'s dyn Store,
        size: u64,
    ) -> io::Result<Selected<'s>> {
        let mut chain = InStore { store, size, frames: Frames::new() };
        let range = self.range(size, &mut chain)?;
        let (next, end) = (range.start, range.end);
        let (filter, block) = (self.clone(), Frames::new());
        Ok(Selected { store, filter, next, end, block, seen: 0, gaps: Vec::new() })
    }
}

impl Selected<'_> {
    /// The gaps that were passed since this was asked last: entries that are archived or lost, wanted or not, and nobody can say which.
    /// Each stands before the entry that came last.
    pub fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    /// The number of the entry that is looked at next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The numbers of the entries that are still to be looked at, be they wanted or not.
    pub fn numbers(&self) -> Range<u64> {
        self.next..self.end
    }

    /// Goes on with the entries of these numbers: for several that share them out among themselves.
    pub fn go_on_with(&mut self, numbers: Range<u64>) {
        self.block.clear();
        (self.next, self.end, self.seen) = (numbers.start, numbers.end, 0);
    }

    /// Shows the next one as it stands in what was read, for whoever needs no copy of it. `None` at the end.
    ///
    /// After an error nothing more comes.
    pub fn next_with<T>(&mut self, each: impl FnOnce(&Written<'_>) -> T) -> io::Result<Option<T>> {
        let found = self.find(each);
        if found.is_err() {
            self.next = self.end;
        }
        found
    }

    fn find<T>(&mut self, each: impl FnOnce(&Written<'_>) -> T) -> io::Result<Option<T>> {
        while self.next < self.end {
            let Some(frame) = self.block.get(self.seen) else {
                let left = usize::try_from(self.end.saturating_sub(self.next));
                let count = BLOCK.min(left.unwrap_or(BLOCK));
                self.seen = 0;
                if let Some(absent) = read_or_gap(self.store, self.next, count, &mut self.block)? {
                    self.next = absent.gap.end();
                    self.gaps.push(absent.gap);
                    continue;
                }
                if self.block.is_empty() {
                    return Err(unreadable(format!("expected entry {}, found none", self.next)));
                }
                continue;
            };
            let found = if self.filter.names_fields() {
                let is_wanted = self.filter.matches(&fields(&frame)?);
                if is_wanted { Some(written(&frame)?) } else { None }
            } else {
                Some(written(&frame)?)
            };
            self.seen = self.seen.saturating_add(1);
            self.next = self.next.saturating_add(1);
            if let Some(found) = found {
                return Ok(Some(each(&found)));
            }
        }
        Ok(None)
    }
}

impl Iterator for Selected<'_> {
    type Item = io::Result<Written<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(|written| written.clone().into_owned()).transpose()
    }
}

/// The sixteen fields in a frame, which must say that they are where they were looked for.
pub(crate) fn fields<'f>(frame: &FrameRef<'f>) -> io::Result<Fields<'f>> {
    let sequence = frame.sequence;
    let fields = frame::fields(frame.body)
        .map_err(|error| unreadable(format!("entry {sequence}: {error}")))?;
    is_at(sequence, &fields)?;
    Ok(fields)
}

/// The entry in a frame, which must say that it is where it was looked for.
pub(crate) fn written<'f>(frame: &FrameRef<'f>) -> io::Result<Written<'f>> {
    let sequence = frame.sequence;
    let written = Written::parse(frame.left, frame.body)
        .map_err(|error| unreadable(format!("entry {sequence}: {error}")))?;
    is_at(sequence, &written.fields)?;
    Ok(written)
}

fn is_at(sequence: u64, fields: &Fields<'_>) -> io::Result<()> {
    if fields.sequence == sequence {
        return Ok(());
    }
    Err(unreadable(format!("expected entry {sequence}, found entry {}", fields.sequence)))
}

struct InStore<'s> {
    store: &'s dyn Store,
    size: u64,
    frames: Frames,
}

impl Places for InStore<'_> {
    fn stamp(&mut self, sequence: u64, before: bool) -> io::Result<Stamp> {
        let mut sequence = sequence;
        // Entry 0 is never in a gap.
        while let Some(absent) = read_or_gap(self.store, sequence, 1, &mut self.frames)? {
            let end = absent.gap.end();
            if !before && end >= self.size {
                return Ok(Stamp::new(u64::MAX));
            }
            sequence = if before { absent.gap.first.saturating_sub(1) } else { end };
        }
        match self.frames.get(0) {
            Some(frame) => Ok(fields(&frame)?.system_time),
            None => Err(unreadable(format!("expected entry {sequence}, found none"))),
        }
    }

    fn find(&mut self, event: &EventId) -> io::Result<u64> {
        self.store.find(event)?.ok_or_else(|| {
            let what = format!("expected an entry of event {event}, found none");
            io::Error::new(io::ErrorKind::NotFound, what)
        })
    }
}
