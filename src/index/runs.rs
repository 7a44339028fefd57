//! Which sequence an event has: sorted runs of event ids, merged by eights.
//!
//! Each sealed segment adds a run. Eight of one size that stand where one of the next size would are merged into it, so that of n
//! segments there are at most seven runs of each size up to n. Most ids are made in the order of the entries: the runs overlap little,
//! and a lookup reads one of them. A caller's id may have any earlier time; it may have to be looked for in each.
//!
//! No file says which runs there are: their names do. A run of segments that a larger one covers was merged and not yet removed; one
//! that is damaged, or was made from other segments than there are, does not count. Which segments are then in no run, [`Runs::missing`]
//! says, and as long as there are any, no answer is given: an id that is not found would be taken for one that was never used.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::digest::Digest;
use crate::disk::{DiskError, Folder};
use crate::id::EventId;
use crate::index::run::{Origin, Run, Span};
use crate::index::{Content, Source, block};
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Runs that are merged into one.
const EIGHT: usize = 8;

/// The event ids of all sealed segments.
///
/// Any thread may look up while another adds, merges or checks; those wait for each other. Adding and merging belong to one background
/// thread, a step of merging after each segment: each run keeps its file open.
#[derive(Debug)]
pub struct Runs {
    folder: Arc<dyn Folder>,
    chain: Digest,
    live: Mutex<Live>,
    /// Held by whoever writes to the folder.
    work: Mutex<()>,
    /// Whether nothing more is to be merged.
    is_over: AtomicBool,
}

#[derive(Debug)]
struct Live {
    /// All segments that there should be runs of.
    ordinals: Range<u64>,
    /// From the first segment to the last, none twice.
    runs: Vec<Arc<Run>>,
    /// Whether one was damaged, and its file is still there.
    is_littered: bool,
}

impl Live {
    /// Segments that are in no run.
    fn missing(&self) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut next = self.ordinals.start;
        for span in self.runs.iter().map(|run| run.span()) {
            missing.push(next..span.first);
            next = span.last.saturating_add(1);
        }
        missing.push(next..self.ordinals.end);
        missing.retain(|gap| !gap.is_empty());
        missing
    }

    /// Puts a run in the place of those that it covers.
    fn put(&mut self, run: Run) {
        let span = run.span();
        self.runs.retain(|other| !other.span().overlaps(span));
        let at = self.runs.partition_point(|other| other.span() < span);
        self.runs.insert(at, Arc::new(run));
    }

    /// Eight runs that can be merged.
    fn eight(&self) -> Option<Vec<Arc<Run>>> {
        let fits = |eight: &&[Arc<Run>]| {
            let spans = || eight.iter().map(|run| run.span());
            let Some(Span { first, last }) = spans().next() else { return false };
            let size = (last - first).saturating_add(1);
            let is_begin = first.is_multiple_of(size.saturating_mul(8));
            let firsts = (0..).map(|n: u64| first.saturating_add(size.saturating_mul(n)));
            is_begin && spans().zip(firsts).all(|(span, at)| (span.first, span.len()) == (at, size))
        };
        self.runs.windows(EIGHT).find(fits).map(<[_]>::to_vec)
    }
}

/// Sums over the segments of a span, if all of them are there.
fn origin_of(segments: &BTreeMap<u64, &Source>, span: Span) -> Option<Origin> {
    let mut found = segments.range(span.first..=span.last).map(|(_, source)| **source);
    let Source { first, mut count, mut length, mut head, .. } = found.next()?;
    let mut segments = 1;
    for source in found {
        head = source.head;
        segments += 1;
        count = count.saturating_add(source.count);
        length = length.saturating_add(source.length);
    }
    (segments == span.len()).then_some(Origin { span, first, count, length, head })
}

impl Runs {
    /// Opens what there is of the runs of these sealed segments, in any order. Changes nothing: what is of no use is passed over until
    /// [`Runs::sweep`].
    pub fn open(folder: Arc<dyn Folder>, chain: Digest, sources: &[Source]) -> io::Result<Self> {
        let segments: BTreeMap<u64, &Source> = sources.iter().map(|s| (s.ordinal, s)).collect();
        let ends = segments.first_key_value().zip(segments.last_key_value());
        let ordinals = ends.map_or(0..0, |((first, _), (last, _))| *first..last.saturating_add(1));
        let mut spans: Vec<Span> =
            folder.names()?.iter().filter_map(|name| Span::parse(name)).collect();
        spans.sort_unstable_by_key(|span| Reverse(span.len()));
        let mut live = Live { ordinals, runs: Vec::new(), is_littered: false };
        for span in spans {
            if live.runs.iter().any(|run| run.span().overlaps(span)) {
                continue;
            }
            if let Some(origin) = origin_of(&segments, span)
                && let Some(run) = Run::open(&*folder, &chain, origin)?
            {
                live.put(run);
            }
        }
        Ok(Self {
            folder,
            chain,
            live: Mutex::new(live),
            work: Mutex::new(()),
            is_over: AtomicBool::new(false),
        })
    }

    /// The segments whose ids are in no run: add each of them.
    pub fn missing(&self) -> Vec<Range<u64>> {
        self.live.lock().missing()
    }

    /// Whether the ids of this segment are in a run.
    pub fn knows(&self, ordinal: u64) -> bool {
        let live = self.live.lock();
        live.runs.iter().any(|run| (run.span().first..=run.span().last).contains(&ordinal))
    }

    /// Adds the ids of a sealed segment: the next one, or one that is missing. One that is there already stays as it is.
    pub fn add(&self, content: &Content<'_>) -> io::Result<()> {
        let _work = self.work.lock();
        let ordinal = content.source.ordinal;
        if std::mem::take(&mut self.live.lock().is_littered) {
            // What is damaged would count again when the runs are opened, until somebody reads what is wrong with it.
            self.remove_others()?;
        }
        let own = Span { first: ordinal, last: ordinal };
        if self.live.lock().runs.iter().any(|run| run.span().overlaps(own)) {
            return Ok(());
        }
        let run = Run::of_segment(&*self.folder, &self.chain, content)?;
        let mut live = self.live.lock();
        if live.ordinals.is_empty() {
            live.ordinals = ordinal..ordinal;
        }
        live.ordinals.start = live.ordinals.start.min(ordinal);
        live.ordinals.end = live.ordinals.end.max(ordinal.saturating_add(1));
        live.put(run);
        Ok(())
    }

    /// The lowest sequence of an entry with this event, in all sealed segments. If what it reads is damaged (`INDEX_DAMAGED`), see
    /// [`Runs::check`].
    pub fn find(&self, event_id: &EventId) -> io::Result<Option<u64>> {
        let id = event_id.as_bytes();
        let live = self.live.lock();
        if let Some(gap) = live.missing().first() {
            let what = format!("expected the event ids of segment {}, found none", gap.start);
            let advice = "add those of all segments that are missing";
            return Err(DiskError::new("INDEX_MISSING", "index", what, advice)
                .into_io(io::ErrorKind::NotFound));
        }
        let runs: Vec<_> = live.runs.iter().filter(|run| run.may_hold(id)).cloned().collect();
        // A merge meanwhile does no harm: a file that is open can be read when its name is gone.
        drop(live);
        let mut lowest: Option<u64> = None;
        for run in runs {
            let found = run.find(id)?;
            lowest = lowest.into_iter().chain(found).min();
        }
        Ok(lowest)
    }

    /// The lowest sequence of an entry with this event in the segments that are in runs, and the numbers of all others: of those nothing is
    /// known. A run that cannot be read is as one that is missing; one that is damaged is taken out, so that its segments are added
    /// again.
    pub fn find_known(&self, event_id: &EventId) -> (Option<u64>, Vec<Range<u64>>) {
        let id = event_id.as_bytes();
        let runs = self.live.lock().runs.clone();
        let (mut lowest, mut unknown): (Option<u64>, _) = (None, Vec::new());
        let mut next = 0;
        for run in runs {
            let Span { first, last } = run.span();
            match run.find(id) {
                Ok(found) => {
                    lowest = lowest.into_iter().chain(found).min();
                    unknown.push(next..first);
                    next = last.saturating_add(1);
                }
                Err(error) if block::is_damage(&error) => self.take_out(&run),
                Err(_) => {}
            }
        }
        unknown.push(next..u64::MAX);
        unknown.retain(|gap| !gap.is_empty());
        (lowest, unknown)
    }

    /// Has no look-up read a run any more.
    fn take_out(&self, run: &Arc<Run>) {
        let mut live = self.live.lock();
        live.runs.retain(|other| !Arc::ptr_eq(other, run));
        live.is_littered = true;
    }

    /// Ends a merge that is under way, and begins no other.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Merges eight runs, if there are eight that fit, or takes out those that turn out to be damaged. Says whether it did either.
    pub fn merge_step(&self) -> io::Result<bool> {
        let work = self.work.lock();
        let Some(eight) = self.live.lock().eight() else { return Ok(false) };
        let runs = eight.iter().map(|run| &**run);
        let is_over = || self.is_over.load(Ordering::Acquire);
        let merged = match Run::merge(&*self.folder, &self.chain, runs, is_over) {
            // Else the same eight would be tried, in vain, for ever.
            Err(error) if block::is_damage(&error) && !self.check_runs(&eight)? => return Ok(true),
            merged => merged?,
        };
        let Some(merged) = merged else { return Ok(false) };
        // Its name must last before the names of those that it stands for are gone.
        self.folder.sync()?;
        self.live.lock().put(merged);
        drop(work);
        self.sweep()?;
        Ok(true)
    }

    /// Reads all runs, and takes out those that are damaged. Says whether there were none; otherwise see [`Runs::missing`].
    pub fn check(&self) -> io::Result<bool> {
        let _work = self.work.lock();
        let runs = self.live.lock().runs.clone();
        self.check_runs(&runs)
    }

    fn check_runs(&self, runs: &[Arc<Run>]) -> io::Result<bool> {
        let mut is_sound = true;
        for run in runs {
            if !run.check()? {
                is_sound = false;
                self.take_out(run);
                // It would be taken for a good one when it is opened again, as long as nobody reads what is wrong with it.
                self.folder.clear(&run.span().name())?;
            }
        }
        Ok(is_sound)
    }

    /// Removes what a crash or a merge has left: files of runs that do not count.
    pub fn sweep(&self) -> io::Result<()> {
        let _work = self.work.lock();
        self.remove_others()
    }

    fn remove_others(&self) -> io::Result<()> {
        let live: Vec<String> = self.live.lock().runs.iter().map(|run| run.span().name()).collect();
        for name in self.folder.names()? {
            if name.starts_with("ids-") && !live.contains(&name) {
                self.folder.clear(&name)?;
            }
        }
        Ok(())
    }
}
