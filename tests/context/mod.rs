//! The context: what each entry changes in it, its one text, its bounds, and whatever else may stand in a payload.

mod bounds;
mod changes;
mod foreign;

use proptest::prelude::*;
use sigchain::context::{Context, ContextError};
use sigchain::digest::Digest;
use sigchain::entry::{Fields, Linked, Place};
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::KeyId;
use sigchain::payload::{Part, Payload};
use sigchain::projection::{Item, Projection as _};
use sigchain::stamp::Stamp;

use crate::support::{Random, event_id};

const START: i64 = 1_795_150_800_000_000;

/// Entries that nobody signed, one a second: a projection sees no signatures.
#[derive(Debug, Default)]
pub struct Line {
    pub items: Vec<(Fields<'static>, Part<'static>)>,
}

/// An event with JSON as its payload.
pub fn says(event_type: &str, json: &str) -> Event {
    let payload = Payload::new("application/json", json).unwrap();
    Event::new("agent:planner", event_type).unwrap().payload(payload)
}

impl Line {
    pub fn next_id(&self) -> EventId {
        event_id(u64::try_from(self.items.len()).unwrap())
    }

    pub fn push(&mut self, event: Event) -> EventId {
        let sequence = u64::try_from(self.items.len()).unwrap();
        let micros = START + i64::try_from(sequence).unwrap() * 1_000_000;
        let place = Place {
            chain_id: Digest::ZERO,
            prior_hash: Digest::ZERO,
            sequence,
            stamp: Stamp::from_micros(micros).unwrap(),
            signer: KeyId::new([1; 16]),
        };
        let id = event_id(sequence);
        let part = event.payload_ref().clone().salted(|| [7; 16]);
        let linked = Linked::new(event, id, Digest::ZERO, &place);
        self.items.push((linked.fields().clone(), part));
        id
    }

    pub fn say(&mut self, event_type: &str, json: &str) -> EventId {
        self.push(says(event_type, json))
    }

    pub fn by_cause(&mut self, event_type: &str, json: &str, cause: EventId) -> EventId {
        self.push(says(event_type, json).caused_by(cause))
    }

    pub fn context(&self) -> Context {
        fold(Context::new(), &self.items)
    }
}

pub fn fold(mut context: Context, items: &[(Fields<'static>, Part<'static>)]) -> Context {
    for (fields, part) in items {
        context.apply(&Item::new(Digest::ZERO, fields, part));
    }
    context
}

/// Types that the context knows, and some that it does not.
const TYPES: [&str; 26] = [
    "session.start",
    "session.end",
    "episode.start",
    "episode.end",
    "llm.request",
    "llm.response",
    "llm.error",
    "tool.call",
    "tool.result",
    "tool.error",
    "retrieval.request",
    "retrieval.result",
    "retrieval.error",
    "mail.send",
    "mail.result",
    "mail.error",
    "call",
    "review.request",
    "review.approve",
    "review.veto",
    "review.expire",
    "handoff.send",
    "capture.gap",
    "correction.made",
    "a.b.call",
    "a.b.result",
];

/// Payloads that are right for some of them.
const PAYLOADS: [&str; 18] = [
    r#"{"capture":"gate","session":"s1","agent":"planner"}"#,
    r#"{"capture":"gate","session":"s2","status":"completed"}"#,
    r#"{"goal":"find \u00e9","session":"s1","capture":"gate"}"#,
    r#"{"status":"completed"}"#,
    r#"{"status":"lost"}"#,
    r#"{"model":"m1","messages":[{"role":"user","content":"hello"},{"role":"assistant","parts":[{"type":"text","content":"hi"}]}]}"#,
    r#"{"model":"m1","messages":"one text"}"#,
    r#"{"model":"m2","input_tokens":12,"output_tokens":3,"messages":[{"role":"assistant","content":"x"}]}"#,
    r#"{"input_tokens":18446744073709551615,"output_tokens":-1}"#,
    r#"{"tool":"search","source":"web","model":"m3"}"#,
    r#"{"kind":"timeout","error_type":"E"}"#,
    r#"{"kind":"panic"}"#,
    r#"{"deadline":"2026-11-20T05:00:10.000000Z","proposal":{"a":1}}"#,
    r#"{"deadline":"2026-11-20T05:01:00.000000Z","policy":{"approvals":2},"proposal":1}"#,
    r#"{"deadline":"soon"}"#,
    r#"{"session":5}"#,
    "[1,2",
    "",
];

/// Any entries, of these and of rubbish, with causes among those before.
fn anything(seed: u64, count: usize) -> Line {
    let mut random = Random::new(seed);
    let mut line = Line::default();
    for _ in 0..count {
        let event_type = TYPES[random.below(TYPES.len())];
        let json = PAYLOADS[random.below(PAYLOADS.len())];
        let actor = ["agent:planner", "human:dana", "human:eve"][random.below(3)];
        let payload = if random.below(4) == 0 {
            let fields: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(json).unwrap_or_default();
            let leaves: Vec<_> = fields.into_iter().map(|(k, v)| (k, v.to_string())).collect();
            let leaves = leaves.iter().map(|(k, v)| (&**k, "application/json", v.as_bytes()));
            Payload::by_field(leaves).unwrap_or_else(|_| Payload::empty())
        } else {
            let media_type = if random.below(8) == 0 { "text/plain" } else { "application/json" };
            Payload::new(media_type, json).unwrap()
        };
        let mut event = Event::new(actor, event_type).unwrap().payload(payload);
        if random.below(2) == 0 {
            event = event.episode(["run-1", "run-2", "run-3"][random.below(3)]).unwrap();
        }
        if !line.items.is_empty() && random.below(3) > 0 {
            let near = random.below(line.items.len().min(12)) + 1;
            event = event.caused_by(line.items[line.items.len() - near].0.event_id);
        }
        line.push(event);
        let part = &mut line.items.last_mut().unwrap().1;
        match random.below(16) {
            0 => *part = Part::Withheld,
            1 => *part = Part::Erased(9),
            2 => {
                part.hide("model");
            }
            _ => {}
        }
    }
    line
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// [C-text-1] [C-text-2]
    #[test]
    fn a_text_gives_the_state_that_it_was_made_of(seed: u64, count in 1..200_usize, at in 0..200_usize) {
        let line = anything(seed, count);
        let (before, behind) = line.items.split_at(at.min(count));
        let state = fold(Context::new(), before);
        let text = state.encode();
        let again = Context::decode(&text).unwrap();
        prop_assert_eq!(&again, &state);
        prop_assert_eq!(again.encode(), text);
        // And everything that follows from it.
        prop_assert_eq!(fold(again, behind).encode(), line.context().encode());
    }
}

/// [C-text-1]
#[test]
fn keys_ascend_and_nothing_is_between_them() {
    fn check(value: &serde_json::Value, out: &mut String) {
        match value {
            serde_json::Value::Object(map) => {
                let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
                out.push('{');
                for (at, (key, value)) in sorted.into_iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    sigchain::text::json_string(out, key);
                    out.push(':');
                    check(value, out);
                }
                out.push('}');
            }
            serde_json::Value::Array(list) => {
                out.push('[');
                for (at, value) in list.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    check(value, out);
                }
                out.push(']');
            }
            serde_json::Value::String(text) => sigchain::text::json_string(out, text),
            other => out.push_str(&other.to_string()),
        }
    }

    for seed in 0..20 {
        let text = anything(seed, 150).context().encode();
        let mut sorted = String::new();
        check(&serde_json::from_str(&text).unwrap(), &mut sorted);
        assert_eq!(text, sorted);
    }
}

/// [C-text-3]
#[test]
fn another_text_of_the_same_state_is_none() {
    let text = anything(7, 100).context().encode();
    assert!(Context::decode(&text).is_ok());
    let spaced = text.replacen(',', ", ", 1);
    assert_eq!(Context::decode(&spaced), Err(ContextError::Other));
    let other = text.replace("\"version\":2", "\"version\":1");
    assert_eq!(Context::decode(&other), Err(ContextError::Version(1)));
    let more = text.replacen("{\"actions\":", "{\"Actions\":0,\"actions\":", 1);
    assert!(matches!(Context::decode(&more), Err(ContextError::Form(_))));
    for end in 0..text.len() {
        if let Some(start) = text.get(..end) {
            assert!(Context::decode(start).is_err(), "{end}");
        }
    }
    for message in [ContextError::Other, ContextError::Version(1)].map(|e| e.to_string()) {
        assert!(message.starts_with("expected ") && message.contains("found"), "{message}");
    }
}
