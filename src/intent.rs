//! What an intent asks for, so that two of them can be compared: whether a record has it already, whether a review was about it.
//!
//! Two intents ask for the same if they are of one type and their payloads say the same, apart from what differs with each run: the class
//! of way (`capture`) and the id of the call (`call_id`). Of a payload in JSON the commitment is over its canonical text: no white space,
//! members in the order of their names' bytes, strings escaped as RFC 8785 does; whole numbers of up to 64 bits exactly, others as the
//! nearest double. Of any other payload it is over the bytes, and so it is of JSON in which an object has a name twice: readers differ in
//! what that says.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::codec::Writer;
use crate::digest::Digest;
use crate::event::Event;
use crate::payload::{Media, Part, Slot, is_json};
use crate::text;

/// Members of a payload that differ with each run.
const PASSING: [&str; 2] = ["call_id", "capture"];
/// Characters of arguments that are shown.
const SHOWN: usize = 200;

/// What an intent asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its type.
    pub event_type: String,
    /// The tool, where its payload names one.
    pub tool: Option<String>,
    /// The arguments: that member of the payload, or all of it. Shortened, for people.
    pub arguments: String,
    /// What it comes to. Two intents with the same one ask for the same.
    pub commitment: Digest,
}

/// The leaves of a payload: a name if it is committed by field, a media type, bytes.
type Leaves<'l> = Vec<(Option<&'l str>, &'l str, &'l [u8])>;

impl Asked {
    /// What an event asks for.
    pub fn of(event: &Event) -> Self {
        Self::new(&event.event_type, &leaves_of(event))
    }

    /// What an entry of this type asks for; `None` if some of its payload is not there.
    pub fn of_part(event_type: &str, part: &Part<'_>) -> Option<Self> {
        Some(Self::new(event_type, &leaves(part)?))
    }

    #[cfg(feature = "std")]
    /// What an intent of this type asks for whose payload is this object.
    pub(crate) fn of_object(event_type: &str, payload: &Map<String, Value>) -> Self {
        let text = Value::Object(payload.clone()).to_string();
        Self::new(event_type, &vec![(None, "application/json", text.as_bytes())])
    }

    fn new(event_type: &str, leaves: &Leaves<'_>) -> Self {
        let object = object(leaves);
        let tool = object.as_ref().and_then(|object| object.get("tool")).and_then(Value::as_str);
        let tool = tool.map(str::to_owned);
        let mut writer = Writer::new();
        let arguments = if let Some(mut object) = object {
            for name in PASSING {
                object.remove(name);
            }
            let arguments = object.get("arguments").map(canonical);
            let all = canonical(&Value::Object(object));
            writer.array(4).text("sigchain1/asked\0").text(event_type).uint(0).text(&all);
            arguments.unwrap_or(all)
        } else {
            let is_own = |leaf: &&(Option<&str>, &str, &[u8])| {
                leaf.0.is_none_or(|name| !PASSING.contains(&name))
            };
            let leaves: Vec<_> = leaves.iter().filter(is_own).collect();
            writer.array(3).text("sigchain1/asked\0").text(event_type).array(leaves.len());
            for (name, media_type, bytes) in &leaves {
                writer.array(3).text_or_null(*name).text(media_type).bytes(bytes);
            }
            let bytes: usize = leaves.iter().map(|(_, _, bytes)| bytes.len()).sum();
            format!("{bytes} bytes")
        };
        let arguments = text::shown(&arguments, SHOWN);
        let commitment = Digest::of_cbor(&writer);
        Self { event_type: event_type.to_owned(), tool, arguments, commitment }
    }
}

fn leaves_of(event: &Event) -> Leaves<'_> {
    match event.payload.media() {
        Media::Whole(media_type, bytes) => vec![(None, media_type, bytes)],
        Media::Fields(fields) => {
            fields.into_iter().map(|(name, media, bytes)| (Some(name), media, bytes)).collect()
        }
    }
}

fn leaves<'p>(part: &'p Part<'_>) -> Option<Leaves<'p>> {
    match part {
        Part::Erased(_) | Part::Withheld => None,
        Part::Whole(leaf) => Some(vec![(None, &*leaf.media_type, &*leaf.bytes)]),
        Part::Fields(slots) => {
            let shown = slots.iter().map(|slot| match slot {
                Slot::Hidden(_) => None,
                Slot::Shown(leaf) => Some((leaf.name.as_deref(), &*leaf.media_type, &*leaf.bytes)),
            });
            shown.collect()
        }
    }
}

#[cfg(feature = "std")]
/// The payload of an event, as the JSON object that it is; `None` if it is none.
pub(crate) fn payload_of(event: &Event) -> Option<Map<String, Value>> {
    object(&leaves_of(event))
}

/// The payload of an entry, as the JSON object that it is; `None` if it is none, or not all there.
pub(crate) fn object_of(part: &Part<'_>) -> Option<Map<String, Value>> {
    object(&leaves(part)?)
}

fn object(leaves: &Leaves<'_>) -> Option<Map<String, Value>> {
    if let [(None, media_type, bytes)] = leaves.as_slice() {
        return match parse(bytes) {
            Some(Value::Object(object)) if is_json(media_type) => Some(object),
            _ if media_type.is_empty() && bytes.is_empty() => Some(Map::new()),
            _ => None,
        };
    }
    let members = leaves.iter().map(|(name, media_type, bytes)| {
        let value = parse(bytes).filter(|_| is_json(media_type))?;
        Some(((*name)?.to_owned(), value))
    });
    members.collect()
}

/// The value of a JSON text, if no object in it has a name twice.
fn parse(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok().map(|Unique(value)| value)
}

/// A value in which no object has a name twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder).map(Self)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which no object has a name twice")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
            if all.insert(name, value).is_some() {
                return Err(Error::custom("a name twice"));
            }
        }
        Ok(Value::Object(all))
    }
}

/// The canonical text of a value.
fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // The map may keep the order in which they came, if somebody's build says so.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                text::json_string(out, name);
                out.push(':');
                write(out, value);
            }
            out.push('}');
        }
        Value::String(string) => text::json_string(out, string),
        Value::Bool(_) | Value::Null | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;

    fn asked(event_type: &str, json: &str) -> Asked {
        let payload = Payload::new("application/json", json).unwrap();
        Asked::of(&Event::new("agent:a", event_type).unwrap().payload(payload))
    }

    /// [S-intent-1]
    #[test]
    fn what_says_the_same_asks_for_the_same() {
        let one = asked("tool.call", r#"{"tool":"t","arguments":{"b":[1,2.50],"a":"\u0041"}}"#);
        for same in [
            r#" {"arguments" : {"a":"A", "b":[1, 2.5]}, "tool":"t"}"#,
            r#"{"call_id":"c9","capture":"gate","tool":"t","arguments":{"a":"A","b":[1,2.5]}}"#,
        ] {
            assert_eq!(asked("tool.call", same), one, "{same}");
        }
        assert_eq!(one.arguments, r#"{"a":"A","b":[1,2.5]}"#);
        assert_eq!(one.tool.as_deref(), Some("t"));
        for (event_type, other) in [
            ("tool.use", r#"{"tool":"t","arguments":{"a":"A","b":[1,2.5]}}"#),
            ("tool.call", r#"{"tool":"u","arguments":{"a":"A","b":[1,2.5]}}"#),
            ("tool.call", r#"{"tool":"t","arguments":{"a":"A","b":[2.5,1]}}"#),
            ("tool.call", r#"{"tool":"t","arguments":{"a":"A","b":[1,2.5]},"more":null}"#),
        ] {
            assert_ne!(asked(event_type, other).commitment, one.commitment, "{other}");
        }
    }

    #[test]
    fn fields_ask_for_the_same_as_the_object_that_they_make() {
        let fields = [
            ("arguments", "application/json", &b"{\"q\":1}"[..]),
            ("tool", "application/json", b"\"t\""),
        ];
        let by_field =
            Event::new("agent:a", "tool.call").unwrap().payload(Payload::by_field(fields).unwrap());
        assert_eq!(Asked::of(&by_field), asked("tool.call", r#"{"tool":"t","arguments":{"q":1}}"#));
    }

    #[test]
    fn a_name_twice_is_another_intent() {
        let once = asked("payment.send", r#"{"sum":5}"#);
        let twice = asked("payment.send", r#"{"sum":5000,"sum":5}"#);
        assert_ne!(once.commitment, twice.commitment);
        assert_ne!(twice.commitment, asked("payment.send", r#"{"sum":5,"sum":5}"#).commitment);
        let within = asked("payment.send", r#"{"a":[{"sum":1,"sum":5}]}"#);
        assert_ne!(within.commitment, asked("payment.send", r#"{"a":[{"sum":5}]}"#).commitment);
    }

    #[test]
    fn bytes_are_compared_as_they_are() {
        let event = |bytes: &str| {
            let payload = Payload::new("text/plain", bytes).unwrap();
            Asked::of(&Event::new("agent:a", "a.b").unwrap().payload(payload))
        };
        assert_eq!(event("{}"), event("{}"));
        assert_ne!(event("{}").commitment, event("{ }").commitment);
        assert_ne!(event("{}").commitment, asked("a.b", "{}").commitment);
        assert_eq!(event("secret").arguments, "6 bytes");
        // The ledger adds a field of its own.
        let fields =
            [("capture", "application/json", &b"\"gate\""[..]), ("text", "text/plain", b"x")];
        let [with, without] = [&fields[..], &fields[1..]].map(|fields| {
            let payload = Payload::by_field(fields.iter().copied()).unwrap();
            Asked::of(&Event::new("agent:a", "a.b").unwrap().payload(payload))
        });
        assert_eq!(with, without);
    }
}
