//! Snapshots of a ledger: made behind the appends, by the thread that keeps its anchors, and used where a state of long ago is asked
//! for.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::context::Context;
use crate::digest::Digest;
use crate::ledger::observe;
use crate::ledger::shared::Shared;
use crate::ledger::{Ledger, once};
use crate::point::Point;
use crate::projection::Item;
use crate::replay::{LineError, ReplayError, Source as _, Standing, replay};
use crate::signer::Signer;
use crate::snapshot::{self, EVERY, Kept, Snapshot, Snapshots, Subject};

/// Snapshots that are made, or stretches that are folded for them, before the thread looks after something else.
const STEP: u64 = 8;

/// Bytes of snapshots for each entry, at most: one of a large state waits until so many more entries have come.
const BYTES: u64 = 64;

/// A state, where it stands, and what it was made from.
#[derive(Clone, Debug)]
#[must_use = "a state says something only together with where it stands"]
#[non_exhaustive]
pub struct State<P> {
    /// What the entries come to.
    pub state: P,
    /// The last entry that is in it.
    pub at: Standing,
    /// The entry of the snapshot from which it was made; `None` if from entry 0.
    pub from: Option<u64>,
}

/// Makes snapshots of one projection.
pub(super) trait Make: fmt::Debug + Send {
    /// Goes on a little. Says whether there is more to do at once.
    fn step(&mut self, shared: &Shared) -> io::Result<bool>;
}

struct Making<P> {
    /// The state, and how many entries are in it.
    state: Option<(P, u64)>,
    /// Entries from which on the next one is made.
    due: u64,
}

impl<P> fmt::Debug for Making<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<P>())
    }
}

impl<P: Kept> Make for Making<P> {
    fn step(&mut self, shared: &Shared) -> io::Result<bool> {
        let Some(place) = shared.keeper.site() else { return Ok(false) };
        let (size, signer) = {
            let held = shared.lock();
            let signer = held.state.checkpoints.clone();
            let may = |signer: &Arc<dyn Signer>| held.state.may_sign_checkpoints(&signer.id());
            (held.state.head.sequence.saturating_add(1), signer.filter(|s| may(s).is_ok()))
        };
        let Some(signer) = signer.filter(|_| !shared.store.has_gaps()) else { return Ok(false) };
        let kept = Snapshots::of(&*place.folder, P::ID, true)?;
        let (mut state, mut folded) = match self.state.take() {
            Some(state) => state,
            None => shared.nearest::<P>(&kept, size).unwrap_or_default(),
        };
        let mut made = false;
        for _ in 0..STEP {
            let next = (folded / EVERY).saturating_add(1).saturating_mul(EVERY);
            // Whoever lets go of the ledger must soon find its files free.
            if next > size || shared.keeper.site().is_none() {
                break;
            }
            let digest = shared.fold(&mut state, folded, next)?;
            folded = next;
            if next >= self.due && snapshot::is_kept(next, size) {
                let chain_id = shared.chain_id();
                let subject = Subject { chain_id, sequence: next.saturating_sub(1), digest };
                let (copy, by) = (state.clone(), Arc::clone(&signer));
                let asked =
                    shared.keeper.ask(&*signer, move || Snapshot::make(subject, &copy, &*by));
                let written = asked.map_err(io::Error::other).and_then(|snapshot| {
                    self.due = next.saturating_add(snapshot.size() / BYTES);
                    kept.write(&snapshot)
                });
                match written {
                    Ok(is_written) => made |= is_written,
                    Err(error) => {
                        // What was folded is right: with a signer that is down, or a full disk, it is not folded anew each time.
                        self.state = Some((state, folded));
                        return Err(error);
                    }
                }
            }
        }
        self.state = Some((state, folded));
        if made {
            kept.thin()?;
        }
        Ok(size.saturating_sub(folded) >= EVERY)
    }
}

impl Shared {
    fn chain_id(&self) -> Digest {
        self.lock().state.chain.id()
    }

    /// Makes snapshots, if they are wanted. Says whether there is more to do at once.
    pub(super) fn make_snapshots(&self) -> bool {
        let mut making = self.keeper.making.lock();
        let mut has_more = false;
        for make in making.iter_mut() {
            match make.step(self) {
                Ok(more) => has_more |= more,
                Err(error) => observe::no_snapshot(&error.to_string()),
            }
        }
        has_more
    }

    /// Folds the durable entries from one on up to another, which is not in it any more. Gives the digest of the last.
    fn fold<P: Kept>(&self, state: &mut P, from: u64, to: u64) -> io::Result<Digest> {
        let (chain_id, last) = (self.chain_id(), to.saturating_sub(1));
        let mut digest = Digest::ZERO;
        self.walk(from..=last, |written| {
            let item = Item::new(chain_id, &written.fields, &written.part);
            state.apply(&item);
            if written.fields.sequence == last {
                digest = item.digest();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(digest)
    }

    /// The state of the last snapshot that can be used and has no more than so many entries, and how many it has.
    fn nearest<P: Kept>(&self, kept: &Snapshots, size: u64) -> Option<(P, u64)> {
        let (chain_id, keyring) = {
            let held = self.lock();
            (held.state.chain.id(), held.state.keyring.clone())
        };
        let sequences = kept.sequences().ok()?;
        for sequence in sequences.into_iter().filter(|sequence| *sequence < size).rev() {
            let used = || -> io::Result<Result<P, &'static str>> {
                let Some(found) = kept.read(sequence)? else { return Ok(Err("damaged")) };
                let frames = once::frame_at(&*self.store, sequence)?;
                let written = once::parse_first(&frames)?;
                let digest = Item::new(chain_id, &written.fields, &written.part).digest();
                let subject = Subject { chain_id, sequence, digest };
                Ok(found.state(&subject, &keyring).map_err(snapshot::Unused::why))
            };
            match used() {
                Ok(Ok(state)) => return Some((state, sequence.saturating_add(1))),
                Ok(Err(why)) => observe::snapshot_ignored(sequence, why),
                Err(error) => observe::snapshot_ignored(sequence, &error.to_string()),
            }
        }
        None
    }
}

impl Ledger {
    /// Has snapshots of a projection made from now on, beside the ledger's files and behind its appends, each 8,192 entries. Costs the
    /// fold of every entry, on the thread that keeps the anchors. A ledger in memory, one whose chain continues another, and one where
    /// nobody signs checkpoints has none.
    pub fn keep_snapshots<P: Kept>(&self) {
        let shared = self.shared();
        if shared.lock().state.chain.predecessor().is_some() {
            return;
        }
        shared.keeper.making.lock().push(Box::new(Making::<P> { state: None, due: 0 }));
        shared.keeper.want_snapshots();
    }

    /// The context at a point: as [`Ledger::state_at`].
    pub fn context_at(&self, point: &Point) -> Result<State<Context>, ReplayError> {
        self.state_at(point)
    }

    /// The state of a projection at a point: what [`replay`] gives, from the nearest snapshot that can be used.
    pub fn state_at<P: Kept>(&self, point: &Point) -> Result<State<P>, ReplayError> {
        let shared = self.shared();
        let last = self.head();
        let opening = self.clone().opening()?;
        if let Some(before) = opening.and_then(|opening| opening.predecessor) {
            return Err(LineError::Missing(before.chain).into());
        }
        // What is not there any more, a replay has to say; nor is a snapshot of more than is there believed.
        if shared.store.has_gaps() {
            let replayed = replay(&mut self.clone(), point, P::default())?;
            return Ok(State { state: replayed.state, at: replayed.at, from: None });
        }
        let sequence = self.sequence_of(point, last.sequence)?;
        let kept = shared.keeper.site().map(|site| Snapshots::of(&*site.folder, P::ID, false));
        let nearest = match kept {
            Some(Ok(kept)) => shared.nearest::<P>(&kept, sequence.saturating_add(1)),
            _ => None,
        };
        let from = nearest.as_ref().and_then(|(_, size)| size.checked_sub(1));
        let (mut state, folded) = nearest.unwrap_or_default();
        if folded <= sequence {
            shared.fold(&mut state, folded, sequence.saturating_add(1))?;
        }
        Ok(State { state, at: self.standing(sequence)?, from })
    }

    fn standing(&self, sequence: u64) -> io::Result<Standing> {
        let frames = once::frame_at(&*self.shared().store, sequence)?;
        let written = once::parse_first(&frames)?;
        let chain_id = self.chain_id();
        Ok(Standing::of_item(&Item::new(chain_id, &written.fields, &written.part)))
    }

    /// The entry that a point names.
    fn sequence_of(&self, point: &Point, last: u64) -> Result<u64, ReplayError> {
        let beyond = || -> Result<u64, ReplayError> {
            Err(ReplayError::Beyond(*point, Box::new(self.standing(last)?)))
        };
        match *point {
            Point::Head => Ok(last),
            Point::Back(back) => last.checked_sub(back).ok_or(ReplayError::Before(*point)),
            Point::Sequence(sequence) if sequence <= last => Ok(sequence),
            Point::Sequence(_) => beyond(),
            Point::Event(id) => {
                let found = self.find(&id)?.map(|receipt| receipt.sequence);
                let found = found.filter(|sequence| *sequence <= last);
                found.ok_or(ReplayError::NotFound { id, missing: 0 })
            }
            Point::Stamp(stamp) => self.last_until(
                point,
                last,
                |at| at.stamp.cmp(&stamp).is_le(),
                |at| at.stamp == stamp,
            ),
            Point::Time(time) => self.last_until(
                point,
                last,
                |at| at.stamp.micros() <= time.micros(),
                |at| at.stamp.micros() == time.micros(),
            ),
        }
    }

    /// The last entry that is not after a moment. Stamps ascend. At the head nobody knows what followed, unless that is the very moment.
    fn last_until(
        &self,
        point: &Point,
        last: u64,
        is_within: impl Fn(&Standing) -> bool,
        is_exact: impl Fn(&Standing) -> bool,
    ) -> Result<u64, ReplayError> {
        let head = self.standing(last)?;
        if is_within(&head) {
            let error = || ReplayError::Beyond(*point, Box::new(head));
            return if is_exact(&head) { Ok(last) } else { Err(error()) };
        }
        // The first `low` entries are within it, entry `high` is not.
        let (mut low, mut high) = (0, last);
        while low < high {
            let middle = low.midpoint(high);
            if is_within(&self.standing(middle)?) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).ok_or(ReplayError::Before(*point))
    }
}
