//! Projections that a ledger keeps up to date: as far as is durable, for readers, and as far as is linked, for decisions.

use std::any::Any;
use std::fmt;

use crate::chain::Head;
use crate::clock::Time;
use crate::projection::{Item, Projection};
use crate::stamp::Stamp;

/// A projection that the ledger folds, whatever its type.
pub(super) trait Fold: fmt::Debug + Send {
    /// An entry was linked.
    fn link(&mut self, item: &Item<'_>);

    /// The oldest linked entry became durable.
    fn settle(&mut self, item: &Item<'_>);

    /// Linked are only these any more.
    fn undo(&mut self, linked: &[Item<'_>]);

    /// For whoever knows its type.
    fn any(&self) -> &dyn Any;
}

/// A projection twice: an abandoned entry is taken out of `linked` by folding again from `settled`.
pub(super) struct Both<P> {
    pub(super) settled: P,
    pub(super) linked: P,
}

impl<P> fmt::Debug for Both<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<P>())
    }
}

impl<P: Projection + Clone + Send + 'static> Fold for Both<P> {
    fn link(&mut self, item: &Item<'_>) {
        self.linked.apply(item);
    }

    fn settle(&mut self, item: &Item<'_>) {
        self.settled.apply(item);
    }

    fn undo(&mut self, linked: &[Item<'_>]) {
        self.linked = self.settled.clone();
        for item in linked {
            self.linked.apply(item);
        }
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

/// What a decision sees: the state that reflects every linked entry, and where the next one goes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct View<'v, P> {
    /// The sequence that the decided event will have, if the ledger has nothing of its own to record first.
    pub next: u64,
    /// The last linked entry.
    pub head: Head,
    /// The time by the ledger's own clock: an entry that is linked next has no earlier stamp.
    pub now: Stamp,
    /// The state.
    pub state: &'v P,
}

impl<'v, P> View<'v, P> {
    pub(super) fn new(head: Head, time: &dyn Time, state: &'v P) -> Self {
        let wall = Stamp::from_micros(time.wall());
        let now = wall.map_or(head.stamp, |wall| wall.max(head.stamp));
        Self { next: head.sequence.saturating_add(1), head, now, state }
    }
}
