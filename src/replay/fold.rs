//! The fold itself, over one chain after the other, and the answer at its end.

use std::io;
use std::ops::ControlFlow;

use crate::digest::Digest;
use crate::frame::Gap;
use crate::key::Signature;
use crate::point::Point;
use crate::projection::{Item, Projection};
use crate::replay::line::Place;
use crate::replay::{
    Chapter, End, Faulty, LineError, Reach, ReplayError, Replayed, Side, Source, Standing, Step,
    side,
};
use crate::reserved::Predecessor;
use crate::tree::{self, Frontier};

/// A range of entries that is not there.
#[derive(Clone, Copy, Debug)]
struct Missing {
    chapter: usize,
    first: u64,
    count: u64,
}

/// Folds what lies up to a point.
#[derive(Debug)]
pub(super) struct Fold<P> {
    /// As it was asked for.
    asked: Point,
    /// The same, settled; `None` if it lies before entry 0.
    until: Option<Point>,
    state: P,
    /// The last entry in the state.
    last: Option<Standing>,
    /// Chapter and sequence of the entry that showed where the point is. From there on nothing goes into the state.
    decided: Option<(usize, u64)>,
    /// Entries that are not there, before the point was decided: at the point or before it, or nobody knows.
    missing: Vec<Missing>,
    is_ambiguous: bool,
}

/// Where in the line a chain stands that is being read.
#[derive(Clone, Copy, Debug)]
struct Reading<'p> {
    number: usize,
    is_last: bool,
    stated: Option<&'p Predecessor>,
    says_head: bool,
}

impl Reading<'_> {
    /// The number of entries that belong to the history.
    fn limit(&self) -> u64 {
        self.stated.map_or(u64::MAX, |stated| stated.size)
    }
}

impl<P: Projection> Fold<P> {
    pub(super) fn new(asked: Point, until: Option<Point>, state: P) -> Self {
        Self {
            asked,
            until,
            state,
            last: None,
            decided: None,
            missing: Vec::new(),
            is_ambiguous: false,
        }
    }

    /// Reads a chain to its end, and folds what belongs to the state.
    pub(super) fn chapter(
        &mut self,
        source: &mut dyn Source,
        place: &Place,
        number: usize,
        is_last: bool,
    ) -> Result<Chapter, ReplayError> {
        let (stated, says_head) = (place.stated.as_ref(), source.says_head());
        let reading = Reading { number, is_last, stated, says_head };
        let mut tree = reading.stated.map(|_| Frontier::new());
        let mut chain_id = None;
        let end = source.read(&mut |step| {
            match step {
                Step::Entry(item, signature) => {
                    chain_id.get_or_insert(item.chain_id);
                    if item.fields.sequence >= reading.limit() {
                        self.told_by(&item);
                        return ControlFlow::Break(());
                    }
                    grow(tree.as_mut(), &item, signature);
                    self.take(&item, reading);
                }
                Step::Gap(gap) => {
                    if gap.first >= reading.limit() {
                        return ControlFlow::Break(());
                    }
                    grow_by_gap(tree.as_mut(), gap);
                    self.take_gap(gap, reading);
                }
            }
            // A predecessor's root takes all of its entries; otherwise what follows the point is only looked at.
            let is_enough = self.decided.is_some() && tree.is_none();
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        confirm(place, chain_id, &end)?;
        if let (Some(last), Some(head)) = (&mut self.last, end.head)
            && Some(last.chain_id) == chain_id
            && last.sequence.checked_add(1) == Some(end.entries)
        {
            last.digest = head;
        }
        let used = end.entries.min(reading.limit());
        if let (Some(stated), Some(tree)) = (reading.stated, tree) {
            check_root(stated, &tree, &end)?;
        }
        let chain_id = chain_id.filter(|_| end.sound > 0);
        let needed = reading.stated.map_or(used, |stated| stated.size);
        let is_continued = reading.stated.is_some();
        Ok(Chapter { chain_id, end, used, needed, is_continued })
    }

    fn take(&mut self, item: &Item<'_>, reading: Reading<'_>) {
        let Some(until) = self.until else { return };
        let names_last = matches!(until, Point::Back(_) | Point::Head | Point::Sequence(_));
        let side =
            if names_last && !reading.is_last { Side::Before } else { side(&until, item.fields) };
        if let Some((chapter, _)) = self.decided {
            // By time, a later chain that begins before the point is part of the answer and not part of it.
            let is_by_time = matches!(until, Point::Stamp(_) | Point::Time(_));
            self.is_ambiguous |= is_by_time && chapter < reading.number && side != Side::Behind;
            return;
        }
        if side != Side::Before {
            self.decided = Some((reading.number, item.fields.sequence));
        }
        if side == Side::Behind {
            self.told_by(item);
        } else {
            self.state.apply(item);
            // Where more follows, that states the digest of this one, and where nothing does, the source: to compute each of
            // millions would take half of the time.
            let is_told = reading.says_head && side == Side::Before;
            let digest = || if is_told { Digest::ZERO } else { item.digest() };
            self.last = Some(Standing::of(item, digest));
        }
    }

    /// The entry behind the last one of the state says what that one's digest is.
    fn told_by(&mut self, item: &Item<'_>) {
        if let Some(last) = &mut self.last
            && last.chain_id == item.chain_id
            && last.sequence.checked_add(1) == Some(item.fields.sequence)
        {
            last.digest = item.fields.prior_hash;
        }
    }

    fn take_gap(&mut self, gap: &Gap, reading: Reading<'_>) {
        if self.decided.is_none() {
            let count = gap.end().min(reading.limit()).saturating_sub(gap.first);
            self.missing.push(Missing { chapter: reading.number, first: gap.first, count });
        }
    }

    /// The state, or why there is none.
    pub(super) fn finish(
        self,
        chapters: Vec<Chapter>,
        gaps_allowed: bool,
    ) -> Result<Replayed<P>, ReplayError> {
        if let Some((at, is_point_unknown)) = self.faulty(&chapters) {
            let reach = reach(&chapters, at);
            let faulty = Faulty { chapters, at, reach, is_point_unknown };
            return Err(ReplayError::Fault(Box::new(faulty)));
        }
        if self.is_ambiguous {
            return Err(ReplayError::Ambiguous(self.asked));
        }
        let gap = |missing: &Missing| ReplayError::Gap {
            point: self.asked,
            first: missing.first,
            count: missing.count,
        };
        if let Some(missing) = self.missing.first().filter(|_| !gaps_allowed) {
            return Err(gap(missing));
        }
        let missing = self.missing.iter().map(|missing| missing.count).sum();
        let Some((until, at)) = self.until.zip(self.last) else {
            return Err(ReplayError::Before(self.asked));
        };
        // Whatever is allowed: nobody can stand on an entry that is not there.
        if !self.stands(&until, &at, &chapters) {
            // A point that is not found lies in the last chain, or names an event.
            let around = self.missing.last().filter(|missing| {
                missing.chapter + 1 == chapters.len() && missing.first > at.sequence
            });
            return Err(match (until, around) {
                (Point::Event(id), _) => ReplayError::NotFound { id, missing },
                (_, Some(missing)) => gap(missing),
                (_, None) => ReplayError::Beyond(self.asked, Box::new(at)),
            });
        }
        Ok(Replayed { state: self.state, at, chapters, missing })
    }

    /// The first chain with a fault that leaves no state, and whether it only leaves the point unknown.
    fn faulty(&self, chapters: &[Chapter]) -> Option<(usize, bool)> {
        let last = chapters.len().saturating_sub(1);
        let is_short = |(number, chapter): &(usize, &Chapter)| match self.decided {
            Some((decided, sequence)) if *number == decided => chapter.end.sound <= sequence,
            // What follows the point only has to be of the line.
            Some((decided, _)) if *number > decided => chapter.end.sound == 0,
            _ => chapter.end.sound < chapter.needed,
        };
        if let Some((number, _)) = chapters.iter().enumerate().find(is_short) {
            return Some((number, false));
        }
        // What counts from the end, and what was not found before it, takes an end that is proved.
        let needs_end = self.decided.is_none() || self.asked.is_relative();
        let is_clean = chapters.last().is_none_or(|chapter| chapter.end.is_clean());
        let is_read = chapters.last().is_some_and(|chapter| chapter.end.sound > 0);
        (needs_end && !is_clean).then_some((last, is_read))
    }

    /// Whether the last entry of the state is the one that the point names.
    fn stands(&self, until: &Point, at: &Standing, chapters: &[Chapter]) -> bool {
        let last = chapters.last();
        let is_head = last.is_some_and(|last| {
            last.chain_id == Some(at.chain_id)
                && last.end.entries.checked_sub(1) == Some(at.sequence)
        });
        match until {
            Point::Event(_) => self.decided.is_some(),
            Point::Sequence(sequence) => self.decided.is_some() && at.sequence == *sequence,
            Point::Stamp(stamp) => self.decided.is_some() || (is_head && at.stamp == *stamp),
            Point::Time(time) => {
                self.decided.is_some() || (is_head && at.stamp.micros() == time.micros())
            }
            Point::Back(_) | Point::Head => is_head,
        }
    }
}

/// The last entry that could be reached, if this chain is the first with a fault that hinders.
fn reach(chapters: &[Chapter], at: usize) -> Option<Reach> {
    let of = |chapter: &Chapter| {
        let sequence = chapter.end.sound.min(chapter.used).checked_sub(1)?;
        Some(Reach { chain_id: chapter.chain_id?, sequence })
    };
    chapters.iter().take(at.saturating_add(1)).rev().find_map(of)
}

/// Adds an entry to the tree of a predecessor; without its signature the tree stays behind, and no root will agree.
fn grow(tree: Option<&mut Frontier>, item: &Item<'_>, signature: Option<&Signature>) {
    if let (Some(tree), Some(signature)) = (tree, signature)
        && tree.size() == item.fields.sequence
    {
        tree.push(tree::leaf_hash(&item.digest(), signature));
    }
}

fn grow_by_gap(tree: Option<&mut Frontier>, gap: &Gap) {
    let Some(tree) = tree.filter(|tree| tree.size() == gap.first) else { return };
    for ((_, level), hash) in tree::split(gap.first, gap.count).into_iter().zip(&gap.hashes) {
        tree.push_subtree(*hash, level);
    }
}

/// What put a chain in its place in the line was read before it was verified: it must have come out the same.
fn confirm(place: &Place, chain_id: Option<Digest>, end: &End) -> Result<(), ReplayError> {
    let (Some(opening), Some(chain_id)) = (&place.opening, chain_id) else { return Ok(()) };
    let predecessor = end.report.as_ref().map(|report| &report.predecessor);
    if opening.chain_id == chain_id && predecessor.is_none_or(|found| *found == opening.predecessor)
    {
        return Ok(());
    }
    let what = "expected a file that stays as it is, found one that changed while it was read";
    Err(ReplayError::Io(io::Error::other(what)))
}

/// Whether a predecessor is the chain that its successor continues. If it has a fault before that size, the fault is the answer.
fn check_root(stated: &Predecessor, tree: &Frontier, end: &End) -> Result<(), ReplayError> {
    let (chain, size) = (stated.chain, stated.size);
    if end.sound < size && !end.is_clean() {
        return Ok(());
    }
    if end.entries < size {
        let error = LineError::Short { chain, stated: size, found: end.entries };
        return Err(error.into());
    }
    let found = (tree.size() == size).then(|| tree.root());
    if found == Some(stated.root) {
        return Ok(());
    }
    Err(LineError::Root { chain, size, stated: stated.root, found }.into())
}
