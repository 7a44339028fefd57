//! The vocabulary: the types of event that agents share, and what their payloads hold. The normative text is `spec/events.md`; the table
//! in `types` is its data, from which the JSON Schemas in `spec/events/` are written, and each row is a typed builder.
//!
//! A ledger refuses an event of a family in here whose payload lacks a field, or has one of another form; fields that the vocabulary
//! does not know are kept as they are. All other types are their owners', and nobody looks into their payloads.
//!
//! ```
//! use serde_json::json;
//! use sigchain::vocabulary::ToolCall;
//!
//! let call = ToolCall::new("search").arguments(json!({"query": "tides"}));
//! let event = call.event("agent:planner")?.episode("run-7")?;
//! # Ok::<(), sigchain::limit::FieldError>(())
//! ```

#[cfg(feature = "std")]
mod admit;
mod form;
#[cfg(feature = "std")]
mod judge;
mod schema;
mod types;
mod words;

use std::fmt;

#[cfg(feature = "std")]
pub(crate) use crate::vocabulary::admit::{Unfit, admit};
pub use crate::vocabulary::form::{Field, Form};
pub use crate::vocabulary::types::*;
pub use crate::vocabulary::words::{
    Count, Entry, Hash, Id, Json, List, Real, Says, Table, Text, Time, Truth, Whole, Words,
};

/// A type of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Type {
    /// Its name: dotted lower-case words.
    pub name: &'static str,
    /// What it says happened.
    pub about: &'static str,
    /// Whether the event must name the one that caused it.
    pub has_cause: bool,
    /// Whether the event must belong to an episode.
    pub has_episode: bool,
    /// The fields of its payload.
    pub fields: &'static [Field],
}

impl Type {
    /// One of its fields.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field that an OpenTelemetry attribute stands for.
    pub fn field_of_attribute(&self, attribute: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.attribute == Some(attribute))
    }
}

/// The type with this name.
pub fn of(event_type: &str) -> Option<&'static Type> {
    TYPES.iter().find(|known| known.name == event_type)
}

/// Whether the types of this one's family are the vocabulary's: its first word.
pub fn is_known_family(event_type: &str) -> bool {
    let Some((family, _)) = event_type.split_once('.') else { return false };
    FAMILIES.contains(&family)
}

/// First words of the types, ascending.
const FAMILIES: [&str; 13] = [
    "capture",
    "commit",
    "correction",
    "episode",
    "handoff",
    "ingest",
    "llm",
    "query",
    "replay",
    "retrieval",
    "review",
    "session",
    "tool",
];

/// The types of what comes of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// Of what it gave.
    pub result: String,
    /// Of why it gave nothing.
    pub error: String,
}

/// The types of the outcomes of an intent: its own with another last word. `None` for a type of one word, which has no family to share,
/// and for one that is itself an outcome.
///
/// ```
/// let outcomes = sigchain::vocabulary::outcomes("payment.send").unwrap();
/// assert_eq!((&*outcomes.result, &*outcomes.error), ("payment.result", "payment.error"));
/// ```
pub fn outcomes(intent: &str) -> Option<Outcomes> {
    let (family, word) = intent.rsplit_once('.')?;
    if is_outcome(intent) {
        return None;
    }
    let result = if (family, word) == ("llm", "request") { "response" } else { "result" };
    Some(Outcomes { result: format!("{family}.{result}"), error: format!("{family}.error") })
}

/// Whether events of a type say what came of an action.
pub fn is_outcome(event_type: &str) -> bool {
    matches!(event_type.rsplit_once('.'), Some((_, "result" | "response" | "error")))
}

/// Why an event is not of the form that its type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IllFormed {
    /// The type.
    pub event_type: String,
    /// Where: a JSON pointer into the payload; or the name of one of the event's own fields.
    pub path: String,
    /// What may be there.
    pub expected: String,
    /// What kind of thing is there; never the thing itself, which may be somebody's secret.
    pub found: String,
}

impl fmt::Display for IllFormed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_type, path, expected, found } = self;
        write!(f, "{event_type}#{path}: expected {expected}, found {found}")
    }
}

impl std::error::Error for IllFormed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_those_of_the_types() {
        let mut families: Vec<_> =
            TYPES.iter().map(|known| known.name.split_once('.').unwrap().0).collect();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families, FAMILIES);
    }

    #[test]
    fn an_attribute_stands_for_one_field_of_a_type() {
        for known in TYPES {
            let mut attributes: Vec<_> =
                known.fields.iter().filter_map(|field| field.attribute).collect();
            let all = attributes.len();
            attributes.sort_unstable();
            attributes.dedup();
            assert_eq!(attributes.len(), all, "{}", known.name);
            assert!(known.fields.len() <= 64, "{}: a bit each", known.name);
        }
    }

    #[test]
    fn outcomes_of_intents() {
        let of = |intent| outcomes(intent).map(|outcomes| (outcomes.result, outcomes.error));
        let pair = |result: &str, error: &str| Some((result.to_owned(), error.to_owned()));
        assert_eq!(of("tool.call"), pair("tool.result", "tool.error"));
        assert_eq!(of("llm.request"), pair("llm.response", "llm.error"));
        assert_eq!(of("retrieval.request"), pair("retrieval.result", "retrieval.error"));
        assert_eq!(of("a.b.send"), pair("a.b.result", "a.b.error"));
        assert_eq!((of("pay"), of("tool.error"), of("tool.result")), (None, None, None));
    }
}
