//! Actions: an intent before, an outcome after that names it as its cause.

use std::collections::BTreeMap;
use std::io;

use sigchain::directory::Directory;
use sigchain::entry::Fields;
use sigchain::id::EventId;
use sigchain::select::Filter;
use sigchain::stamp::Stamp;
use sigchain::vocabulary;

use crate::out::safe;

/// Intents that are remembered at a time. What is open beyond that is counted, and nobody looks for its outcome.
const OPEN_MAX: usize = 65_536;

/// Whether entries of a type are intents.
pub(crate) fn is_intent(event_type: &str) -> bool {
    matches!(event_type.rsplit_once('.'), Some((_, "call" | "request")))
}

/// The type up to its last dot: what an intent and its outcome have in common.
pub(crate) fn family(event_type: &str) -> &str {
    event_type.rsplit_once('.').map_or("", |(family, _)| family)
}

/// An intent without an outcome so far.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) event_id: EventId,
    pub(crate) sequence: u64,
    pub(crate) time: Stamp,
    pub(crate) event_type: String,
    pub(crate) actor: String,
}

/// Which intents have no outcome.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    open: BTreeMap<EventId, Open>,
    /// All intents.
    pub(crate) intents: u64,
    /// Intents that came when too many were open, and were not followed.
    pub(crate) unfollowed: u64,
}

impl Actions {
    /// Of a ledger, as it stands: all entries are read, since nothing less says what is open.
    pub(crate) fn of(directory: &Directory) -> io::Result<Self> {
        let mut actions = Self::default();
        for written in Filter::new().select(directory)? {
            actions.take(&written?.fields);
        }
        Ok(actions)
    }

    /// Takes note of an entry. They come in order.
    pub(crate) fn take(&mut self, fields: &Fields<'_>) {
        if !is_intent(&fields.event_type) {
            self.close(fields);
            return;
        }
        self.intents = self.intents.saturating_add(1);
        if self.open.len() >= OPEN_MAX {
            self.unfollowed = self.unfollowed.saturating_add(1);
            return;
        }
        let open = Open {
            event_id: fields.event_id,
            sequence: fields.sequence,
            time: fields.system_time,
            event_type: safe(&fields.event_type),
            actor: safe(&fields.actor),
        };
        self.open.entry(fields.event_id).or_insert(open);
    }

    fn close(&mut self, fields: &Fields<'_>) {
        let Some(cause) = fields.causation_id else { return };
        // What else names it as its cause happened within it.
        let is_decision =
            matches!(&*fields.event_type, "review.approve" | "review.veto" | "review.expire");
        if !is_decision && !vocabulary::is_outcome(&fields.event_type) {
            return;
        }
        let is_its = |open: &Open| family(&open.event_type) == family(&fields.event_type);
        if self.open.get(&cause).is_some_and(is_its) {
            self.open.remove(&cause);
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.open.len()).unwrap_or(u64::MAX)
    }

    /// Those that are open, the oldest first.
    pub(crate) fn oldest(&self) -> Vec<&Open> {
        // Event ids ascend with time, but whoever writes them may choose others.
        let mut open: Vec<&Open> = self.open.values().collect();
        open.sort_by_key(|open| open.sequence);
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_and_families() {
        for (event_type, intent, of) in [
            ("tool.call", true, "tool"),
            ("review.request", true, "review"),
            ("a.b.request", true, "a.b"),
            ("tool.result", false, "tool"),
            ("call", false, ""),
            ("tool.recall", false, "tool"),
        ] {
            assert_eq!((is_intent(event_type), family(event_type)), (intent, of), "{event_type}");
        }
    }
}
