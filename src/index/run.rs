//! Event ids of one segment or of several in a row, sorted, each with its sequence: a B-tree that is written once, from left to right.
//!
//! A leaf is a block of 170 records: an id and a sequence. A node is a block of the last ids of up to 255 blocks of the level below, and
//! follows the last of them. So a file is written without knowing what comes, in memory of a block per level; each block's place follows
//! from its number; the root is the last block; and a lookup among 10 million ids reads three blocks, where halving would read sixteen.
//!
//! An id that occurs twice is kept twice: the lower sequence comes first, and is the one that is found.

use std::io;
use std::ops::RangeInclusive;
use std::vec;

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::disk::Folder;
use crate::index::block::{self, Block, Blocks, Draft, ROOM};
use crate::index::{Content, Source};

/// What the file is, and its format.
const MAGIC: &[u8; 8] = b"sigids-1";
const ID: usize = 16;
const RECORD: usize = ID + 8;
/// Records of a leaf.
const LEAF: u64 = 170;
/// Children of a node.
const NODE: u64 = 255;

/// An event's id and its entry's sequence.
type Record = ([u8; ID], u64);

/// Segments in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Span {
    pub(super) fn name(self) -> String {
        format!("ids-{:010}-{:010}", self.first, self.last)
    }

    /// The segments that a file of this name is of. No other text than [`Span::name`] is one.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (first, last) = name.strip_prefix("ids-")?.split_once('-')?;
        let span = Self { first: first.parse().ok()?, last: last.parse().ok()? };
        (span.name() == name && span.first <= span.last).then_some(span)
    }

    /// Number of segments.
    pub(super) fn len(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// What a run was made from: segments, and the sums over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) span: Span,
    /// Sequence of the first entry of the first segment.
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) length: u64,
    /// Digest of the last entry of the last segment.
    pub(super) head: Digest,
}

impl Origin {
    /// What the first block begins with; the bounds follow.
    fn head(&self, chain: &Digest) -> Vec<u8> {
        let mut head = [MAGIC.as_slice(), chain.as_bytes(), self.head.as_bytes()].concat();
        for number in [self.span.first, self.span.last, self.first, self.count, self.length] {
            head.extend_from_slice(&number.to_be_bytes());
        }
        head
    }

    /// With what comes after it.
    fn join(self, next: &Self) -> Self {
        Self {
            span: Span { first: self.span.first, last: next.span.last },
            first: self.first,
            count: self.count.saturating_add(next.count),
            length: self.length.saturating_add(next.length),
            head: next.head,
        }
    }
}

/// How many blocks the levels have, from the leaves up to the root.
fn levels(count: u64) -> Vec<u64> {
    let mut levels = vec![count.div_ceil(LEAF)];
    while let Some(below) = levels.last().filter(|blocks| **blocks > 1) {
        levels.push(below.div_ceil(NODE));
    }
    levels
}

/// How many blocks a full subtree has whose root is of this level. Leaves are level 0.
fn subtree(level: usize) -> u64 {
    (0..level).fold(1, |blocks: u64, _| blocks.saturating_mul(NODE).saturating_add(1))
}

/// The block of a leaf: before it come the first block of the file, the leaves before it, and the nodes that those complete.
fn leaf_block(leaf: u64) -> u64 {
    let (mut number, mut full) = (leaf.saturating_add(1), leaf / NODE);
    while full > 0 {
        number = number.saturating_add(full);
        full /= NODE;
    }
    number
}

/// Sorted event ids, in a file.
#[derive(Debug)]
pub(super) struct Run {
    origin: Origin,
    /// The lowest id and the highest: what is not between them is not read for.
    bounds: RangeInclusive<[u8; ID]>,
    blocks: Blocks,
}

impl Run {
    /// The file that was made from this. Nothing if there is none, or another, or it is damaged.
    pub(super) fn open(
        folder: &dyn Folder,
        chain: &Digest,
        origin: Origin,
    ) -> io::Result<Option<Self>> {
        let head = origin.head(chain);
        let Some((blocks, first)) = Blocks::open(folder, &origin.span.name(), &head, false)? else {
            return Ok(None);
        };
        let bounds = first.content().get(head.len()..).unwrap_or_default().as_chunks::<ID>().0;
        let [lowest, highest, ..] = *bounds else { return Ok(None) };
        let count = levels(origin.count).into_iter().fold(1, u64::saturating_add);
        let fits = blocks.has(count);
        Ok(fits.then_some(Self { origin, bounds: lowest..=highest, blocks }))
    }

    /// The ids of one segment.
    pub(super) fn of_segment(
        folder: &dyn Folder,
        chain: &Digest,
        content: &Content<'_>,
    ) -> io::Result<Self> {
        let source = &content.source;
        let (count, found) = (source.count, content.ids.len());
        if len_u64(found) != count {
            let what = format!("expected {count} ids, found {found}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let span = Span { first: source.ordinal, last: source.ordinal };
        let Source { first, length, head, .. } = *source;
        let origin = Origin { span, first, count, length, head };
        let ids = content.ids.iter().map(|id| *id.as_bytes());
        let mut records: Vec<Record> = ids.zip(source.first..).collect();
        records.sort_unstable();
        let ends = records.first().zip(records.last());
        let bounds = ends.map_or(NOWHERE, |((lowest, _), (highest, _))| *lowest..=*highest);
        let mut records = records.into_iter();
        Self::make(folder, chain, origin, bounds, false, || Ok(records.next()))
    }

    /// The ids of runs that follow each other. Synced, because the runs are then removed. Given up when `is_over` says so.
    pub(super) fn merge<'r>(
        folder: &dyn Folder,
        chain: &Digest,
        runs: impl Iterator<Item = &'r Self> + Clone,
        is_over: impl Fn() -> bool,
    ) -> io::Result<Option<Self>> {
        let origins = runs.clone().map(|run| run.origin);
        let Some(origin) = origins.reduce(|all, next| all.join(&next)) else { return Ok(None) };
        let (mut lowest, mut highest) = NOWHERE.into_inner();
        let mut cursors = Vec::new();
        for run in runs {
            lowest = lowest.min(*run.bounds.start());
            highest = highest.max(*run.bounds.end());
            let mut cursor = Cursor { run, leaf: 0, records: Vec::new().into_iter(), next: None };
            cursor.advance()?;
            cursors.push(cursor);
        }
        let least = || {
            if is_over() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "the ledger was closed"));
            }
            let open = cursors.iter_mut().filter(|cursor| cursor.next.is_some());
            open.min_by_key(|cursor| cursor.next).map_or(Ok(None), Cursor::advance)
        };
        Self::make(folder, chain, origin, lowest..=highest, true, least).map(Some)
    }

    fn make(
        folder: &dyn Folder,
        chain: &Digest,
        origin: Origin,
        bounds: RangeInclusive<[u8; ID]>,
        durable: bool,
        mut next: impl FnMut() -> io::Result<Option<Record>>,
    ) -> io::Result<Self> {
        let head = [&*origin.head(chain), bounds.start(), bounds.end()].concat();
        let name = origin.span.name();
        let blocks = block::make(folder, &name, &head, durable, |draft| {
            let mut growing = Growing { draft, levels: Vec::new(), last: [0; ID] };
            let mut count = 0;
            while let Some(record) = next()? {
                growing.push(&record)?;
                count += 1;
            }
            growing.finish(levels(origin.count).len())?;
            if count != origin.count {
                let found = format!("expected {} ids, found {count}", origin.count);
                return Err(block::damage(&name, found));
            }
            Ok(())
        })?;
        Ok(Self { origin, bounds, blocks })
    }

    /// The segments it is of.
    pub(super) fn span(&self) -> Span {
        self.origin.span
    }

    /// Whether an id lies between its lowest and its highest.
    pub(super) fn may_hold(&self, id: &[u8; ID]) -> bool {
        self.bounds.contains(id)
    }

    /// The lowest sequence with this id. Reads a block per level.
    pub(super) fn find(&self, id: &[u8; ID]) -> io::Result<Option<u64>> {
        if !self.may_hold(id) {
            return Ok(None);
        }
        // The subtree in which the first id is that is not lower: its blocks, the last of which is its root, and its first leaf.
        let (mut start, mut end, mut leaf) = (1, self.blocks.count(), 0);
        for level in (1..levels(self.origin.count).len()).rev() {
            let node = self.blocks.read(end - 1)?;
            let width = subtree(level - 1);
            let children = (end - 1 - start).div_ceil(width);
            let lasts = usize::try_from(children).ok().and_then(|all| node.records().get(..all));
            let child = len_u64(lasts.unwrap_or_default().partition_point(|last| last < id));
            if child >= children {
                let found = format!("block {} ends below the highest id", end - 1);
                return Err(block::damage(&self.origin.span.name(), found));
            }
            start += child * width;
            end = (start + width).min(end - 1);
            leaf += child * NODE.pow(u32::try_from(level - 1).unwrap_or(u32::MAX));
        }
        let block = self.blocks.read(start)?;
        let found = self.records(&block, leaf).find(|(other, _)| other >= id);
        Ok(found.filter(|(other, _)| other == id).map(|(_, sequence)| sequence))
    }

    /// Reads all of it. Says whether it is what was written.
    pub(super) fn check(&self) -> io::Result<bool> {
        self.blocks.check()
    }

    /// The records of a leaf that was read.
    fn records<'b>(&self, block: &'b Block, leaf: u64) -> impl Iterator<Item = Record> + use<'b> {
        let left = self.origin.count.saturating_sub(leaf.saturating_mul(LEAF));
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        let records = block.records::<RECORD>().iter().take(count);
        records.filter_map(|record| {
            let (id, sequence) = record.split_first_chunk()?;
            Some((*id, u64::from_be_bytes(*sequence.first_chunk()?)))
        })
    }
}

/// Bounds that hold nothing.
const NOWHERE: RangeInclusive<[u8; ID]> = [u8::MAX; ID]..=[0; ID];

/// Reads a run from its beginning, a leaf at a time.
struct Cursor<'r> {
    run: &'r Run,
    leaf: u64,
    records: vec::IntoIter<Record>,
    next: Option<Record>,
}

impl Cursor<'_> {
    /// Gives the record at hand and goes to the next.
    fn advance(&mut self) -> io::Result<Option<Record>> {
        let mut next = self.records.next();
        if next.is_none() && self.leaf < self.run.origin.count.div_ceil(LEAF) {
            let block = self.run.blocks.read(leaf_block(self.leaf))?;
            self.records = self.run.records(&block, self.leaf).collect::<Vec<_>>().into_iter();
            self.leaf += 1;
            next = self.records.next();
        }
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// A run in the making.
struct Growing<'d> {
    draft: &'d mut Draft,
    /// The block of each level that is not full yet.
    levels: Vec<Vec<u8>>,
    /// The last id.
    last: [u8; ID],
}

impl Growing<'_> {
    fn push(&mut self, (id, sequence): &Record) -> io::Result<()> {
        self.last = *id;
        let is_full = self.put(0, id, &sequence.to_be_bytes());
        if is_full { self.write(0) } else { Ok(()) }
    }

    /// Adds to the block of a level. Says whether it is now full.
    fn put(&mut self, level: usize, id: &[u8; ID], sequence: &[u8]) -> bool {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, || Vec::with_capacity(ROOM));
        }
        self.levels.get_mut(level).is_some_and(|block| {
            block.extend_from_slice(id);
            block.extend_from_slice(sequence);
            block.len() >= ROOM
        })
    }

    /// Writes the block of a level, and whatever that fills above it.
    fn write(&mut self, mut level: usize) -> io::Result<()> {
        loop {
            let Some(block) = self.levels.get_mut(level) else { return Ok(()) };
            self.draft.push(block)?;
            block.clear();
            level += 1;
            let last = self.last;
            if !self.put(level, &last, &[]) {
                return Ok(());
            }
        }
    }

    /// Writes what is not full, from the leaf to the root, the last of `count` levels.
    fn finish(mut self, count: usize) -> io::Result<()> {
        for level in 0..count {
            if self.levels.get(level).is_some_and(|block| !block.is_empty()) {
                self.write(level)?;
            }
        }
        Ok(())
    }
}
