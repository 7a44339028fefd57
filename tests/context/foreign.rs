//! Payloads that are not what their types say.

use sigchain::context::Context;
use sigchain::event::Event;
use sigchain::payload::{Part, Payload};

use crate::context::{Line, PAYLOADS, TYPES, fold, says};

/// [C-read-1] [C-read-2]
#[test]
fn what_cannot_be_read_is_counted_and_the_action_still_ends() {
    let mut line = Line::default();
    let bad =
        ["", "[]", "{", r#"{"tool":5}"#, r#"{"model":"m"}"#, "\u{0}", r#"{"tool":"a","tool":"b"}"#];
    let mut calls = Vec::new();
    for json in bad {
        calls.push(line.say("tool.call", json));
    }
    let state = line.context();
    assert_eq!((state.actions.open.len(), state.unreadable.ill_formed), (7, 7));
    for call in calls {
        line.by_cause("tool.error", "rubbish", call);
    }
    let state = line.context();
    assert!(state.actions.open.is_empty());
    assert_eq!((state.actions.tools.rest.failed, state.unreadable.ill_formed), (7, 14));
    // Bytes in front of which nothing can stand: text, and what is no UTF-8.
    let text = Payload::new("text/plain", r#"{"tool":"a"}"#).unwrap();
    line.push(Event::new("a", "tool.call").unwrap().payload(text));
    let bytes = Payload::new("application/json", vec![0xff; 40]).unwrap();
    line.push(Event::new("a", "tool.call").unwrap().payload(bytes));
    assert_eq!(line.context().unreadable.ill_formed, 16);
}

/// [C-read-1] [C-read-3]
#[test]
fn withheld_erased_and_hidden() {
    let mut line = Line::default();
    let fields =
        [("arguments", "application/json", &b"{}"[..]), ("tool", "application/json", b"\"t\"")];
    let by_field = || Payload::by_field(fields).unwrap();
    for change in 0..4 {
        line.push(Event::new("a", "tool.call").unwrap().payload(by_field()));
        let part = &mut line.items.last_mut().unwrap().1;
        match change {
            0 => *part = Part::Withheld,
            1 => *part = Part::Erased(3),
            2 => assert!(part.hide("tool")),
            // What is hidden does not matter.
            _ => assert!(part.hide("arguments")),
        }
    }
    let state = line.context();
    assert_eq!((state.unreadable.absent, state.unreadable.ill_formed), (3, 0));
    let names: Vec<Option<&str>> = state.actions.open.values().map(|a| a.name.as_deref()).collect();
    assert_eq!(names, [None, None, None, Some("t")]);
}

/// [C-read-4]
#[test]
fn whole_and_by_field_come_to_the_same() {
    let (mut whole, mut by_field) = (Line::default(), Line::default());
    for event_type in TYPES {
        for json in PAYLOADS {
            let Ok(map) = serde_json::from_str::<serde_json::Map<_, _>>(json) else { continue };
            let leaves: Vec<_> = map.iter().map(|(k, v)| (&**k, v.to_string())).collect();
            let leaves = leaves.iter().map(|(k, v)| (*k, "application/json", v.as_bytes()));
            let payload = Payload::by_field(leaves).unwrap();
            let cause = whole.next_id();
            for event in ["run-1", "run-2"] {
                let event = says(event_type, json).episode(event).unwrap().caused_by(cause);
                whole.push(event.clone());
                // A gate that wrote its word first is known either way.
                by_field.push(event.payload(payload.clone()));
            }
        }
    }
    let (mut a, mut b) = (whole.context(), by_field.context());
    // Only a gate's own word is looked for at one place in a whole payload, and anywhere in one by field.
    a.actions.begun = 0;
    b.actions.begun = 0;
    let is_known = |family: &str| !matches!(family, "mail" | "a");
    for state in [&mut a, &mut b] {
        state
            .actions
            .open
            .retain(|_, action| is_known(action.event_type.split('.').next().unwrap()));
        state.actions.other.names.clear();
        state.actions.unexpected = 0;
    }
    assert_eq!(a.encode(), b.encode());
}

/// [C-read-5]
#[test]
fn deep_and_strange_json_is_no_danger() {
    let deep = "[".repeat(200_000);
    let nested = format!("{}{}", "{\"content\":".repeat(10_000), "1");
    let mut line = Line::default();
    let of = |event_type: &str, json: &str| says(event_type, json).episode("e").unwrap();
    line.push(of("episode.start", "{}"));
    for messages in
        [&*deep, &nested, "5", "null", "true", "1e999", "[[[[1]]]]", r#"[{"role":{"a":1}}]"#]
    {
        let json = format!(r#"{{"model":"m","messages":{messages}}}"#);
        line.push(of("llm.request", &json));
    }
    let state = line.context();
    assert_eq!(state.actions.begun, 8);
    assert_eq!(Context::decode(&state.encode()), Ok(state.clone()));
    let again = fold(Context::new(), &line.items);
    assert_eq!(again, state);
}
