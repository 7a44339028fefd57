//! Replay: what the entries up to a point come to. Folds them into a projection, in order, from wherever they come.
//!
//! There is a state only if no fault is at the point or before it, no fault later in the file speaks against an entry up to it
//! (a checkpoint that was held, a key that turns out to be stolen), and the point is known for sure: one that counts from
//! the head needs a file whose end is proved, and a time needs the entry that comes after it.

mod error;
mod file;
mod fold;
mod line;
mod tally;

use std::cmp::Ordering;
use std::io;
use std::ops::ControlFlow;

use crate::digest::Digest;
use crate::entry::Fields;
use crate::frame::Gap;
use crate::id::EventId;
use crate::key::Signature;
use crate::point::Point;
use crate::projection::{Item, Projection};
use crate::replay::fold::Fold;
use crate::reserved::Predecessor;
use crate::stamp::Stamp;
use crate::verify::Report;

pub use crate::replay::error::{Faulty, LineError, Reach, ReplayError};
pub use crate::replay::file::ChainFile;
pub use crate::replay::tally::Tally;

/// What a source gives, in the order of the chain.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step<'s> {
    /// The next entry, and its signature if it has one yet.
    Entry(Item<'s>, Option<&'s Signature>),
    /// Entries that are not there.
    Gap(&'s Gap),
}

/// Takes steps, until it breaks.
pub type Each<'e> = dyn FnMut(Step<'_>) -> ControlFlow<()> + 'e;

/// What a chain says of itself in its genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The chain's id.
    pub chain_id: Digest,
    /// The chain that it continues.
    pub predecessor: Option<Predecessor>,
}

/// What is known of a chain when all of it was read.
#[derive(Clone, Debug)]
pub struct End {
    /// Number of entries, gaps included.
    pub entries: u64,
    /// Number of entries, from entry 0 on, that no fault puts in doubt. All of them if there is no fault.
    pub sound: u64,
    /// What verification found, if the source verifies what it gives.
    pub report: Option<Report>,
    /// Digest of the last entry, from a source that says it.
    pub head: Option<Digest>,
}

impl End {
    /// A source that holds nothing it has not verified before, and gave this many entries.
    pub fn whole(entries: u64) -> Self {
        Self { entries, sound: entries, report: None, head: None }
    }

    /// The same, with the digest of the last entry.
    #[must_use]
    pub fn with_head(self, head: Digest) -> Self {
        Self { head: Some(head), ..self }
    }

    /// Whether nothing is wrong with it.
    pub fn is_clean(&self) -> bool {
        self.sound >= self.entries
            && self.report.as_ref().is_none_or(|report| report.counts.is_empty())
    }
}

/// One chain, wherever it is: a file, a ledger's memory, a disk.
pub trait Source {
    /// What its genesis says, as far as that can be known without reading on. Nobody needs to have verified it yet.
    fn opening(&mut self) -> io::Result<Option<Opening>>;

    /// The number of entries, if that can be known before they are read.
    fn size(&mut self) -> io::Result<Option<u64>>;

    /// Whether it has no gaps, and its `End` says the digest of the last entry: then none need be computed on the way.
    fn says_head(&self) -> bool {
        false
    }

    /// Gives its entries in order, from entry 0, none that a fault is about and none after a fault. After a break it gives no
    /// more; but whoever verifies what it gives goes on to the end, since anchors are judged there.
    fn read(&mut self, each: &mut Each<'_>) -> io::Result<End>;
}

/// Where a state stands: the last entry that it includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The chain.
    pub chain_id: Digest,
    /// The entry's place in it.
    pub sequence: u64,
    /// Its event.
    pub event_id: EventId,
    /// Its stamp.
    pub stamp: Stamp,
    /// Its digest.
    pub digest: Digest,
}

impl Standing {
    /// Where an item stands.
    #[cfg(feature = "std")]
    pub(crate) fn of_item(item: &Item<'_>) -> Self {
        Self::of(item, || item.digest())
    }

    /// Where an item stands, with `digest` if its own is not known yet.
    fn of(item: &Item<'_>, digest: impl FnOnce() -> Digest) -> Self {
        let fields = item.fields;
        Self {
            chain_id: item.chain_id,
            sequence: fields.sequence,
            event_id: fields.event_id,
            stamp: fields.system_time,
            digest: item.known().unwrap_or_else(digest),
        }
    }
}

/// One chain of a line that was read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Chapter {
    /// Its id, if it has a sound genesis.
    pub chain_id: Option<Digest>,
    /// What is known of it.
    pub end: End,
    /// How many of its entries belong to the history; the rest lies beyond the size that its successor states.
    pub used: u64,
    /// How many the history takes.
    needed: u64,
    /// Whether another chain continues it.
    is_continued: bool,
}

impl Chapter {
    /// Whether it has no fault that counts: behind what a successor continues there may be any.
    pub fn is_sound(&self) -> bool {
        self.end.is_clean() || self.is_continued && self.end.sound >= self.needed
    }

    /// Its entries that are no part of the history.
    pub fn beyond(&self) -> u64 {
        self.end.entries.saturating_sub(self.used)
    }
}

/// A state, and where it stands.
#[derive(Clone, Debug)]
#[must_use = "a state says something only together with where it stands"]
#[non_exhaustive]
pub struct Replayed<P> {
    /// What the entries come to.
    pub state: P,
    /// The last entry that is in it.
    pub at: Standing,
    /// The chains that were read, oldest first. Faults after the point are in their reports.
    pub chapters: Vec<Chapter>,
    /// Entries up to the point that were missing, which the caller allowed.
    pub missing: u64,
}

/// Folds all entries up to a point, of one chain. As [`Replay`], which can do more.
pub fn replay<P: Projection>(
    source: &mut dyn Source,
    until: &Point,
    projection: P,
) -> Result<Replayed<P>, ReplayError> {
    Replay::until(*until).run(&mut [source], projection)
}

/// A replay, and what it may do without.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    until: Point,
    gaps_allowed: bool,
    alone: bool,
}

impl Replay {
    /// Up to this point.
    pub fn until(until: Point) -> Self {
        Self { until, gaps_allowed: false, alone: false }
    }

    /// Although entries are missing before the point: the state is then that of those that are there.
    #[must_use]
    pub fn allow_gaps(self, gaps_allowed: bool) -> Self {
        Self { gaps_allowed, ..self }
    }

    /// Of this chain alone, although it continues another one: the state is then not that of the whole history.
    #[must_use]
    pub fn alone(self, alone: bool) -> Self {
        Self { alone, ..self }
    }

    /// Reads the chains of one line, given in any order, and folds them one after the other. Sequences, and what counts from
    /// the head, mean the last chain; stamps, times and events are found in any.
    pub fn run<P: Projection>(
        &self,
        sources: &mut [&mut dyn Source],
        projection: P,
    ) -> Result<Replayed<P>, ReplayError> {
        let places = line::order(sources, self.alone)?;
        let mut until = Some(self.until);
        if let Some(source) = places.last().and_then(|place| sources.get_mut(place.at)) {
            until = settle(&self.until, *source)?;
        }
        let mut fold = Fold::new(self.until, until, projection);
        let mut chapters = Vec::new();
        for (number, place) in places.iter().enumerate() {
            let Some(source) = sources.get_mut(place.at) else { continue };
            let is_last = number + 1 == places.len();
            chapters.push(fold.chapter(*source, place, number, is_last)?);
        }
        fold.finish(chapters, self.gaps_allowed)
    }
}

/// A point that counts from the head as a sequence: `head` and -0 stay what they are. `None` if it lies before entry 0.
pub fn settle(point: &Point, source: &mut dyn Source) -> Result<Option<Point>, ReplayError> {
    match *point {
        Point::Head | Point::Back(0) => Ok(Some(Point::Head)),
        Point::Back(back) => {
            let size = source.size()?.ok_or(ReplayError::NoSize(*point))?;
            let head = size.checked_sub(1);
            Ok(head.and_then(|head| head.checked_sub(back)).map(Point::Sequence))
        }
        other => Ok(Some(other)),
    }
}

/// On which side of a point an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is the one that the point names.
    At,
    /// Before it, or what comes after it has to tell.
    Before,
    /// Behind it.
    Behind,
}

/// On which side of a point an entry with these fields lies. What counts from the head has to be settled before.
pub fn side(point: &Point, fields: &Fields<'_>) -> Side {
    let compared = match point {
        Point::Sequence(sequence) => fields.sequence.cmp(sequence),
        Point::Stamp(stamp) => fields.system_time.cmp(stamp),
        Point::Time(time) => {
            // Not `At` in that very microsecond: the next entry may be shown with the same.
            let is_behind = fields.system_time.micros() > time.micros();
            return if is_behind { Side::Behind } else { Side::Before };
        }
        Point::Event(id) if fields.event_id == *id => return Side::At,
        Point::Event(_) | Point::Back(_) | Point::Head => return Side::Before,
    };
    match compared {
        Ordering::Less => Side::Before,
        Ordering::Equal => Side::At,
        Ordering::Greater => Side::Behind,
    }
}
