//! Event ids of entries that are on their way, and of those that somebody looks up.

use std::collections::BTreeMap;

use crate::id::EventId;

/// What an event id stands for while its entry is not yet durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Somebody looks it up in the store; which of all who did.
    Claimed(u64),
    /// The entry with this sequence has it.
    Linked(u64),
}

/// The ids of entries on their way, and those that are being looked up.
///
/// Nearly all are made by the ledger, and a caller hardly ever comes with one of those: they are only counted, by some of their
/// bits, so that whoever does has the queue searched, and nobody else pays for it.
#[derive(Debug)]
pub(super) struct Ids {
    pub(super) given: BTreeMap<EventId, Use>,
    made: Vec<u16>,
    /// How often ids were claimed.
    claims: u64,
}

impl Ids {
    pub(super) fn new() -> Self {
        Self { given: BTreeMap::new(), made: vec![0; 4096], claims: 0 }
    }

    pub(super) fn count(&mut self, id: EventId) -> Option<&mut u16> {
        let [.., a, b] = *id.as_bytes();
        self.made.get_mut(usize::from(u16::from_be_bytes([a, b]) & 0x0fff))
    }

    pub(super) fn link(&mut self, id: EventId, is_given: bool, sequence: u64) {
        if is_given {
            self.given.insert(id, Use::Linked(sequence));
        } else if let Some(count) = self.count(id) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn unlink(&mut self, id: EventId, sequence: u64) {
        if !self.given.is_empty() && self.given.get(&id) == Some(&Use::Linked(sequence)) {
            self.given.remove(&id);
        } else if let Some(count) = self.count(id) {
            *count = count.saturating_sub(1);
        }
    }

    /// What tells the next claims from all others.
    pub(super) fn number(&mut self) -> u64 {
        self.claims = self.claims.saturating_add(1);
        self.claims
    }

    /// Whether somebody looks it up.
    pub(super) fn is_claimed(&self, id: &EventId) -> bool {
        matches!(self.given.get(id), Some(Use::Claimed(_)))
    }

    /// Claims an id that nobody uses.
    pub(super) fn claim(&mut self, id: EventId, number: u64) {
        self.given.insert(id, Use::Claimed(number));
    }

    /// Gives a claim free that did not become an entry.
    ///
    /// It may have become one that was given up, and be claimed by somebody else by now.
    pub(super) fn release(&mut self, id: &EventId, number: u64) {
        if self.given.get(id) == Some(&Use::Claimed(number)) {
            self.given.remove(id);
        }
    }
}
