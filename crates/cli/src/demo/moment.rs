//! What the agent was doing at a moment: the record is replayed up to there, verified as it is read.

use std::io::Cursor;

use sigchain::id::EventId;
use sigchain::payload::Part;
use sigchain::point::Point;
use sigchain::projection::{Item, Projection};
use sigchain::replay::{ChainFile, replay};
use sigchain::verify::Verifier;

use crate::actions::is_intent;
use crate::demo::recorder::Outcome;

/// What was begun and has no outcome yet, and how many actions have.
#[derive(Debug, Default)]
pub(super) struct Doing {
    open: Vec<(EventId, String)>,
    done: usize,
}

impl Projection for Doing {
    fn apply(&mut self, item: &Item<'_>) {
        let fields = item.fields;
        let before = self.open.len();
        self.open.retain(|(id, _)| fields.causation_id != Some(*id));
        self.done = self.done.saturating_add(before.saturating_sub(self.open.len()));
        if is_intent(&fields.event_type) {
            let words = match item.part {
                Part::Whole(leaf) => String::from_utf8_lossy(&leaf.bytes).into_owned(),
                _ => String::new(),
            };
            self.open.push((fields.event_id, format!("{} {words}", fields.event_type)));
        }
    }
}

impl Doing {
    /// Of a chain file, at one of its entries.
    pub(super) fn at(file: &[u8], sequence: u64) -> Outcome<Self> {
        let mut source = ChainFile::new(Verifier::new().threads(1), Cursor::new(file))?;
        let replayed = replay(&mut source, &Point::Sequence(sequence), Self::default())?;
        Ok(replayed.state)
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let done = format!("{} actions done", self.done);
        match self.open.first() {
            Some((_, words)) => format!("{done}; in the midst of {words}"),
            None => format!("{done}; nothing open"),
        }
    }
}
