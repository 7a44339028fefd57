//! Actions that were begun and have no outcome: what an agent may still be doing, or what was lost.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};
use sigchain::directory::Directory;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::stamp::Stamp;
use sigchain::store::{Frames, Store as _};

/// Frames that are read at once.
const BLOCK: usize = 1024;

/// What begins an action, and what ends it: an entry that names the first as its cause.
const PAIRS: &[(&str, &str)] = &[("tool.call", "tool.result"), ("llm.request", "llm.response")];

/// An action without an outcome.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) sequence: u64,
    event_type: String,
    time: Stamp,
}

/// What the entries say of actions.
#[derive(Clone, Debug, Default)]
pub(super) struct Actions {
    /// How many were begun.
    pub(super) begun: u64,
    pub(super) open: BTreeMap<EventId, Open>,
}

impl Actions {
    /// Reads all entries: nothing less says what is open. Memory grows with what is open only.
    pub(super) fn read(directory: &Directory) -> io::Result<Self> {
        let mut actions = Self::default();
        let (mut next, end) = (0, directory.entries());
        let mut block = Frames::new();
        while next < end {
            directory.read(next, BLOCK, &mut block)?;
            if block.is_empty() {
                break;
            }
            for frame in block.iter() {
                let written = Written::parse(frame.left, frame.body).map_err(|error| {
                    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
                })?;
                actions.take(&written);
                next = frame.sequence.saturating_add(1);
            }
        }
        Ok(actions)
    }

    fn take(&mut self, written: &Written<'_>) {
        let fields = &written.fields;
        let event_type = &*fields.event_type;
        if PAIRS.iter().any(|(intent, _)| *intent == event_type) {
            self.begun = self.begun.saturating_add(1);
            let (sequence, time) = (fields.sequence, fields.system_time);
            let open = Open { sequence, event_type: event_type.to_owned(), time };
            self.open.insert(fields.event_id, open);
        } else if let Some(cause) = &fields.causation_id
            && let Some((intent, _)) = PAIRS.iter().find(|(_, outcome)| *outcome == event_type)
            && self.open.get(cause).is_some_and(|open| open.event_type == *intent)
        {
            self.open.remove(cause);
        }
    }

    /// The one that was begun first.
    pub(super) fn oldest(&self) -> Option<(&EventId, &Open)> {
        self.open.iter().min_by_key(|(_, open)| open.sequence)
    }

    pub(super) fn json(&self) -> Value {
        let oldest = self.oldest().map(|(id, open)| {
            json!({
                "event_id": id.to_string(),
                "event_type": open.event_type,
                "sequence": open.sequence,
                "time": open.time.to_string(),
            })
        });
        json!({ "begun": self.begun, "oldest": oldest, "open": self.open.len() })
    }

    pub(super) fn describe(&self) -> String {
        let open = crate::out::grouped(self.open.len().try_into().unwrap_or(u64::MAX));
        let begun = crate::out::grouped(self.begun);
        match self.oldest() {
            None => format!("none of {begun} open"),
            Some((id, oldest)) => {
                let Open { sequence, event_type, time } = oldest;
                format!(
                    "{open} of {begun} open; the oldest: entry {sequence}, {event_type}, {time}, {id}"
                )
            }
        }
    }
}
