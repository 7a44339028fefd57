//! `sigchain log --grep`: what a pattern is found in.

use regex::bytes::{Regex, RegexBuilder};
use sigchain::frame::Written;
use sigchain::payload::{Leaf, Part, Slot};

/// Bytes that a pattern may take when it is made ready: a pattern is the user's own, and may be a mistake.
const PATTERN_MAX: usize = 1 << 20;

/// Finds a pattern in what an entry says: its type, actor, groups and payload.
#[derive(Clone, Debug)]
pub(crate) struct Grep(Regex);

impl Grep {
    /// A regular expression. Nothing but what it says decides about upper and lower case.
    pub(crate) fn new(pattern: &str) -> Result<Self, regex::Error> {
        RegexBuilder::new(pattern).size_limit(PATTERN_MAX).build().map(Self)
    }

    /// Whether it is found.
    pub(crate) fn finds(&self, written: &Written<'_>) -> bool {
        let fields = &written.fields;
        let groups = [fields.episode_id.as_deref(), fields.correlation_id.as_deref()];
        let texts = [Some(&*fields.event_type), Some(&*fields.actor)].into_iter().chain(groups);
        texts.flatten().any(|text| self.0.is_match(text.as_bytes())) || self.is_in(&written.part)
    }

    fn is_in(&self, part: &Part<'_>) -> bool {
        let holds = |leaf: &Leaf<'_>| {
            let name = leaf.name.as_deref().unwrap_or_default();
            self.0.is_match(&leaf.bytes) || self.0.is_match(name.as_bytes())
        };
        match part {
            Part::Whole(leaf) => holds(leaf),
            Part::Fields(slots) => slots.iter().any(|slot| match slot {
                Slot::Shown(leaf) => holds(leaf),
                _ => false,
            }),
            _ => false,
        }
    }
}
