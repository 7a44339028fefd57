//! The class of way by which an event came in, and the one reader of what a payload states of it: where something is believed for its
//! class, and where a plain append is refused that states one, it must be the same.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::payload::{Media, Part, Slot, is_json};

/// The class of way by which an event comes in. It is set by the way and not by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capture {
    /// Something that stops the action when it cannot be recorded.
    Gate,
    /// From another record, later.
    Import,
    /// Somebody said so: a plain append.
    Manual,
    /// Something that sees the action and cannot stop it.
    Observer,
}

/// What a payload states about the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stated {
    /// This class.
    Class(Capture),
    /// Nothing, or nothing that can be seen and that all readers would agree about.
    Nothing,
    /// Something that is no class.
    Other,
}

impl Capture {
    /// The field of a payload that states it.
    pub const FIELD: &str = "capture";

    const ALL: [Self; 4] = [Self::Gate, Self::Import, Self::Manual, Self::Observer];

    /// Its name in payloads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Import => "import",
            Self::Manual => "manual",
            Self::Observer => "observer",
        }
    }

    /// What there is of a payload states this class: the text of the member [`Self::FIELD`] of its one JSON object, or the JSON text in
    /// the field of that name.
    pub fn stated(part: &Part<'_>) -> Stated {
        match part {
            Part::Whole(leaf) => of_object(&leaf.media_type, &leaf.bytes),
            Part::Fields(slots) => {
                let leaves = slots.iter().filter_map(|slot| match slot {
                    Slot::Hidden(_) => None,
                    Slot::Shown(leaf) => {
                        Some((leaf.name.as_deref()?, &*leaf.media_type, &*leaf.bytes))
                    }
                });
                of_fields(leaves)
            }
            Part::Erased(_) | Part::Withheld => Stated::Nothing,
        }
    }

    /// What a payload states that is not yet committed to.
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "only a ledger takes events"))]
    pub(crate) fn stated_in(payload: &Media<'_>) -> Stated {
        match payload {
            Media::Whole(media_type, bytes) => of_object(media_type, bytes),
            Media::Fields(leaves) => of_fields(leaves.iter().copied()),
        }
    }
}

fn of_fields<'l>(mut leaves: impl Iterator<Item = (&'l str, &'l str, &'l [u8])>) -> Stated {
    match leaves.find(|(name, ..)| *name == Capture::FIELD) {
        Some((_, media_type, json)) if is_json(media_type) => {
            serde_json::from_slice(json).map_or(Stated::Nothing, |value| of_value(&value))
        }
        _ => Stated::Nothing,
    }
}

fn of_value(value: &Value) -> Stated {
    let class = |word: &str| Capture::ALL.into_iter().find(|class| class.name() == word);
    value.as_str().and_then(class).map_or(Stated::Other, Stated::Class)
}

fn of_object(media_type: &str, json: &[u8]) -> Stated {
    if !is_json(media_type) {
        return Stated::Nothing;
    }
    let Some(text) = std::str::from_utf8(json).ok().filter(|text| may_state(text)) else {
        return Stated::Nothing;
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let stated = reader.deserialize_map(Top);
    stated.and_then(|stated| reader.end().map(|()| stated)).unwrap_or(Stated::Nothing)
}

/// Whether the text of an object can have the member at all. Most do not, and to parse them costs more than all else that is done with
/// an event before it is signed. A letter of the name can be spelled in one other way: as an escape of six characters.
fn may_state(text: &str) -> bool {
    text.contains("\"capture\"") || (text.contains('\\') && text.contains("\\u00"))
}

/// Reads the one member of the outermost object. Twice is as good as not at all: readers of JSON differ about which of two counts.
struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = Stated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Stated, M::Error> {
        let (mut stated, mut count) = (Stated::Nothing, 0_u8);
        while let Some(is_it) = map.next_key::<IsField>()? {
            if is_it.0 {
                stated = of_value(&map.next_value::<Value>()?);
                count = count.saturating_add(1);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(if count == 1 { stated } else { Stated::Nothing })
    }
}

/// Whether a name is that of the field. No copy is made of it.
struct IsField(bool);

impl<'de> serde::Deserialize<'de> for IsField {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = IsField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<IsField, E> {
                Ok(IsField(name == Capture::FIELD))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;

    fn stated(media_type: &str, text: &str) -> Stated {
        let payload = Payload::new(media_type, text).unwrap();
        let before = Capture::stated_in(&payload.media());
        assert_eq!(Capture::stated(&payload.clone().salted(|| [0; 16])), before, "{text}");
        before
    }

    /// [S-capture-3]
    #[test]
    fn only_the_outermost_object_of_json_states_it() {
        let json = |text| stated("application/json", text);
        for (text, class) in [
            (r#"{"a":{"capture":"gate"},"capture":"observer"}"#, Capture::Observer),
            (" {\n\"capture\" :\t\"manual\"} ", Capture::Manual),
            (r#"{"capt\u0075re":"gate"}"#, Capture::Gate),
            (r#"{"\u0063\u0061\u0070\u0074\u0075\u0072\u0065":"gate"}"#, Capture::Gate),
            (r#"{"c\u0061pture":"\u0069mport","b":"\\"}"#, Capture::Import),
        ] {
            assert_eq!(json(text), Stated::Class(class), "{text}");
        }
        for text in [
            r#"{"capture":"Gate"}"#,
            r#"{"capture":["gate"]}"#,
            r#"{"capture":1}"#,
            r#"{"capture":null}"#,
        ] {
            assert_eq!(json(text), Stated::Other, "{text}");
        }
        for text in [
            "",
            "{}",
            r#"{"a":{"capture":"gate"}}"#,
            r#"["capture","gate"]"#,
            r#""capture""#,
            r#"{"a":"capture","b":"gate"}"#,
            r#"{"capture":"gate","capture":"gate"}"#,
            r#"{"capture":"gate","captur\u0065":"manual"}"#,
            r#"{"capture":"gate"} {}"#,
            r#"{"capture":"gate""#,
            r#"{"Capture":"gate"}"#,
        ] {
            assert_eq!(json(text), Stated::Nothing, "{text}");
        }
        let text = r#"{"capture":"gate"}"#;
        assert_eq!(
            (stated("text/plain", text), stated("", text)),
            (Stated::Nothing, Stated::Nothing)
        );
        for media_type in ["application/json; charset=utf-8", "application/vnd.a+json"] {
            assert_eq!(stated(media_type, text), Stated::Class(Capture::Gate), "{media_type}");
        }
        assert_eq!(json("{\"capture\":\"gate\",\"b\":\"\u{e9}\"}"), Stated::Class(Capture::Gate));
        let torn = Payload::new("application/json", [text.as_bytes(), b"\xff"].concat()).unwrap();
        assert_eq!(Capture::stated_in(&torn.media()), Stated::Nothing);
    }

    /// [S-capture-3]
    #[test]
    fn one_field_states_it() {
        let stated = |name: &str, media_type: &str, json: &str| {
            let fields = [("a", "text/plain", &b"x"[..]), (name, media_type, json.as_bytes())];
            let payload = Payload::by_field(fields).unwrap();
            let before = Capture::stated_in(&payload.media());
            let mut part = payload.salted(|| [0; 16]);
            assert_eq!(Capture::stated(&part), before);
            part.hide(name);
            assert_eq!(Capture::stated(&part), Stated::Nothing);
            before
        };
        let json = "application/json";
        assert_eq!(stated("capture", json, " \"gate\""), Stated::Class(Capture::Gate));
        assert_eq!(stated("capture", json, "\"g\\u0061te\""), Stated::Class(Capture::Gate));
        assert_eq!(stated("capture", json, "{\"gate\":1}"), Stated::Other);
        assert_eq!(stated("capture", json, "gate"), Stated::Nothing);
        assert_eq!(stated("capture", "text/plain", "\"gate\""), Stated::Nothing);
        assert_eq!(stated("b", json, "{\"capture\":\"gate\"}"), Stated::Nothing);
        assert_eq!(Capture::stated(&Part::Withheld), Stated::Nothing);
    }
}
