//! Which way an event came in, as far as it says so itself.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use sigchain::entry::Fields;
use sigchain::limit;
use sigchain::payload::{Leaf, Part, Slot, is_json};

/// The class of way by which an event came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    /// Something that can stop the action when recording fails.
    Gate,
    /// Something that cannot.
    Observer,
    /// From another record, later.
    Import,
    /// By a person.
    Manual,
    /// Another word than these.
    Other,
    /// It does not say, or that cannot be seen.
    Unstated,
    /// The ledger's own.
    Own,
}

impl Capture {
    pub(crate) const ALL: [Self; 7] = [
        Self::Gate,
        Self::Observer,
        Self::Import,
        Self::Manual,
        Self::Other,
        Self::Unstated,
        Self::Own,
    ];

    /// The field of a payload that says it, and the key of JSON lines.
    const FIELD: &str = "capture";

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Observer => "observer",
            Self::Import => "import",
            Self::Manual => "manual",
            Self::Other => "another word",
            Self::Unstated => "not stated",
            Self::Own => "the ledger's own",
        }
    }

    fn of_word(word: &str) -> Self {
        let words = [Self::Gate, Self::Observer, Self::Import, Self::Manual];
        words.into_iter().find(|class| class.words() == word).unwrap_or(Self::Other)
    }

    /// What an entry says. Twice is as good as not at all: readers of JSON differ about which of two counts.
    pub(crate) fn of(fields: &Fields<'_>, part: &Part<'_>) -> Self {
        if limit::is_reserved(&fields.event_type) {
            return Self::Own;
        }
        let stated = match part {
            Part::Whole(leaf) => of_json(leaf),
            Part::Fields(slots) => of_field(slots),
            _ => None,
        };
        stated.unwrap_or(Self::Unstated)
    }
}

fn of_json(leaf: &Leaf<'_>) -> Option<Capture> {
    let text = std::str::from_utf8(&leaf.bytes).ok()?;
    // Most payloads do not say it, and parsing costs more than all else here. With an escape in it a key may be spelled otherwise.
    if !(text.contains("\"capture\"") || text.contains('\\')) || !is_json(&leaf.media_type) {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = reader.deserialize_map(Top).ok()?;
    reader.end().ok()?;
    found
}

fn of_field(slots: &[Slot<'_>]) -> Option<Capture> {
    let leaf = slots.iter().find_map(|slot| match slot {
        Slot::Shown(leaf) if leaf.name.as_deref() == Some(Capture::FIELD) => Some(leaf),
        _ => None,
    })?;
    let text = std::str::from_utf8(&leaf.bytes).ok()?;
    if is_json(&leaf.media_type) {
        return serde_json::from_str::<String>(text).ok().map(|word| Capture::of_word(&word));
    }
    Some(Capture::of_word(text))
}

/// Reads the one field of the outermost object.
struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = Option<Capture>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Option<Capture>, M::Error> {
        let mut found: Vec<Capture> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key != Capture::FIELD {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<Value>()?;
            found.push(value.as_str().map_or(Capture::Other, Capture::of_word));
        }
        Ok(if let [one] = found.as_slice() { Some(*one) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use sigchain::payload::Payload;

    use super::*;

    fn stated(media_type: &str, text: &str) -> Option<Capture> {
        let Part::Whole(leaf) = Payload::new(media_type, text).unwrap().salted(|| [0; 16]) else {
            panic!("a payload committed whole");
        };
        of_json(&leaf)
    }

    #[test]
    fn only_the_outermost_object_of_json_says_it() {
        let json = |text| stated("application/json", text);
        assert_eq!(
            json(r#"{"a":{"capture":"gate"},"capture":"observer"}"#),
            Some(Capture::Observer)
        );
        assert_eq!(json(r#"{"capt\u0075re":"gate"}"#), Some(Capture::Gate));
        assert_eq!(json(r#"{"capture":"Gate"}"#), Some(Capture::Other));
        assert_eq!(json(r#"{"capture":["gate"]}"#), Some(Capture::Other));
        for no in [
            r#"{"a":{"capture":"gate"}}"#,
            r#"["capture","gate"]"#,
            r#"{"capture":"gate","capture":"gate"}"#,
            r#"{"capture":"gate"} {}"#,
            r#"{"capture":"gate""#,
        ] {
            assert_eq!(json(no), None, "{no}");
        }
        let text = r#"{"capture":"gate"}"#;
        assert_eq!(stated("text/plain", text), None);
        for media_type in ["application/json; charset=utf-8", "application/vnd.a+json"] {
            assert_eq!(stated(media_type, text), Some(Capture::Gate), "{media_type}");
        }
    }
}
