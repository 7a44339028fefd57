//! Following a ledger that somebody else writes: its entries, as they become durable.

use std::io;

use crate::digest::Digest;
use crate::directory::{Directory, open};
use crate::frame::{Gap, Written};
use crate::point::Point;
use crate::select::{self, Filter, Passage};
use crate::store::{Frames, read_or_gap};

/// Entries that are read at once.
const BLOCK: usize = 1024;

/// Gives entries in order, none twice and none left out, however often the writer begins another segment, is closed, is killed or
/// recovers what a crash has left.
///
/// Each entry must be linked to the one before it: what was given and what comes are of one history, or there is an error. Whether they
/// are those that were signed is for verification to say, as with all that is read by a [`Filter`].
#[derive(Debug)]
pub struct Follow {
    directory: Directory,
    chain_id: Digest,
    filter: Filter,
    passage: Passage,
    next: u64,
    /// Digest of the last entry that was looked at.
    prior: Option<Digest>,
    block: Frames,
    /// Frames of the block that were looked at.
    seen: usize,
    gaps: Vec<Gap>,
}

impl Directory {
    /// Follows the ledger, with what the filter wants. What is there already comes first. The last point must not count from the head,
    /// which moves; the first may, and means the head as it is now.
    pub fn follow(self, filter: &Filter) -> io::Result<Follow> {
        if let Some(point) = filter.end().filter(Point::is_relative) {
            let what = format!("expected an end that does not move with the head, found {point}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let (next, passage) = filter.start(&self)?;
        let mut follow = Follow {
            chain_id: self.chain_id(),
            directory: self,
            filter: filter.clone(),
            passage,
            next,
            prior: None,
            block: Frames::new(),
            seen: 0,
            gaps: Vec::new(),
        };
        if let Some(before) = next.checked_sub(1)
            && read_or_gap(&follow.directory, before, 1, &mut follow.block)?.is_none()
        {
            let frame = follow.block.get(0).ok_or_else(|| open::lost(next, before))?;
            follow.prior = Some(select::fields(&frame)?.digest(&follow.id_for(before)));
            follow.block.clear();
        }
        Ok(follow)
    }
}

impl Follow {
    /// The next entry that is wanted, if it is durable by now. If there is none it has looked at what the writer says is durable, so
    /// whoever asks again should wait a little first.
    ///
    /// After an error the same call may be made again.
    pub fn try_next(&mut self) -> io::Result<Option<Written<'static>>> {
        self.try_next_with(|written| written.clone().into_owned())
    }

    /// The same, and shows it as it stands in what was read, for whoever needs no copy of it.
    pub fn try_next_with<T>(
        &mut self,
        each: impl FnOnce(&Written<'_>) -> T,
    ) -> io::Result<Option<T>> {
        while !self.is_over() {
            let Some(frame) = self.block.get(self.seen) else {
                if self.next >= self.directory.entries() && !self.directory.refresh()? {
                    return Ok(None);
                }
                self.seen = 0;
                let gap = read_or_gap(&self.directory, self.next, BLOCK, &mut self.block)?;
                if let Some(gap) = gap.map(|absent| absent.gap) {
                    // What the next one is linked to is not there.
                    (self.next, self.prior) = (gap.end(), None);
                    self.gaps.push(gap);
                    continue;
                }
                if self.block.is_empty() {
                    return Err(open::lost(self.next.saturating_add(1), self.next));
                }
                continue;
            };
            let fields = select::fields(&frame)?;
            if self.prior.is_some_and(|prior| prior != fields.prior_hash) {
                return Err(open::beside(fields.sequence));
            }
            let mut passage = self.passage;
            let is_wanted = passage.takes(&fields) && self.filter.matches(&fields);
            let found = if is_wanted { Some(select::written(&frame)?) } else { None };
            self.prior = Some(fields.digest(&self.id_for(fields.sequence)));
            self.passage = passage;
            self.seen = self.seen.saturating_add(1);
            self.next = self.next.saturating_add(1);
            if let Some(found) = found {
                return Ok(Some(each(&found)));
            }
        }
        Ok(None)
    }

    /// The gaps that were passed since this was asked last: entries that are archived or lost. Each stands before the entry that came last.
    pub fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    /// Whether the last point has been reached: nothing more will come.
    pub fn is_over(&self) -> bool {
        self.passage.has_ended()
    }

    /// Number of entries that it has passed, wanted or not.
    pub fn passed(&self) -> u64 {
        self.next
    }

    /// The chain id that the digest of an entry is made with: within entry 0 it is not known yet.
    fn id_for(&self, sequence: u64) -> Digest {
        if sequence == 0 { Digest::ZERO } else { self.chain_id }
    }
}
