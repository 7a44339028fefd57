//! Running an episode again from its record.

use std::io::Cursor;

use serde_json::{Value, json};
use sigchain::action::{Recording, RerunError};
use sigchain::chainfile::Form;
use sigchain::error::AppendError;
use sigchain::event::Event;
use sigchain::ledger::Ledger;
use sigchain::point::Point;
use sigchain::replay::{ChainFile, replay};
use sigchain::verify::Verifier;

use crate::action::{Broken, intent};
use crate::ledger::support::{event, ledger};

fn call(tool: &str, arguments: impl Into<Value>) -> Event {
    let call =
        intent("tool.call", &json!({"tool": tool, "arguments": arguments.into(), "call_id": "c"}));
    call.episode("run-7").unwrap()
}

/// An agent that searches, with an action within one, fails once, and pays.
fn episode(ledger: &Ledger) {
    let search = ledger.action(call("search", json!({"q": "tides", "n": 3})));
    search
        .run(|act| {
            let fetch = act.action(call("fetch", json!("moon")));
            fetch.run(|_| Ok::<_, Broken>("full")).map_err(|_| Broken("fetch"))?;
            Ok::<_, Broken>(json!(["spring", "neap"]))
        })
        .unwrap();
    // Of another episode, of none, and not an action.
    ledger.append(event(1)).unwrap();
    let other = call("other", json!(1)).episode("run-8").unwrap();
    ledger.action(other).run(|_| Ok::<_, Broken>(())).unwrap();
    ledger
        .append(Event::new("agent:planner", "note.made").unwrap().episode("run-7").unwrap())
        .unwrap();
    ledger.action(call("read", json!("x"))).run(|_| Err::<(), _>(Broken("gone"))).unwrap_err();
    let pay = intent("payment.send", &json!({"sum": 5})).episode("run-7").unwrap();
    ledger.action(pay).run(|_| Ok::<_, Broken>(true)).unwrap();
    // Left open.
    ledger.append(call("hang", json!(null))).unwrap();
}

fn pay() -> Event {
    intent("payment.send", &json!({"sum": 5})).episode("run-9").unwrap()
}

fn serves_all(ledger: &Ledger, recording: &Recording) {
    let size = ledger.head().sequence;
    // Written in another order, with another call id, in another episode.
    let search = intent(
        "tool.call",
        &json!({"arguments": {"n": 3, "q": "tides"}, "call_id": "d", "tool": "search"}),
    );
    let found = ledger.action(search).replay(recording).unwrap();
    assert_eq!(found.result(), Some(&json!(["spring", "neap"])));
    assert_eq!((found.intent, found.outcome), (1, 4));
    let failed = ledger.action(call("read", json!("x"))).replay(recording).unwrap_err();
    let RerunError::Failed { error_type, message, .. } = &failed else { panic!("{failed:?}") };
    assert!(error_type.as_ref().unwrap().ends_with("Broken"));
    assert_eq!(message.as_deref(), Some("gone"));
    assert_eq!(ledger.action(pay()).replay(recording).unwrap().result(), Some(&json!(true)));
    assert_eq!(recording.served(), 3);
    let open = ledger.action(call("hang", json!(null))).replay(recording).unwrap_err();
    assert!(matches!(open, RerunError::Open { .. }), "{open}");
    let error = ledger.action(pay()).replay(recording).unwrap_err();
    let RerunError::Differs(difference) = &error else { panic!("{error}") };
    assert_eq!(difference.recorded, None, "nothing is left");
    assert_eq!(ledger.head().sequence, size, "nothing is recorded");
}

#[test]
fn an_episode_is_served_in_its_order() {
    let ledger = ledger();
    episode(&ledger);
    serves_all(&ledger, &Recording::of(&ledger, "run-7").unwrap());
    let file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
    let mut file = ChainFile::new(Verifier::new(), Cursor::new(file)).unwrap();
    let recording = replay(&mut file, &Point::Head, Recording::new("run-7")).unwrap().state;
    serves_all(&ledger, &recording);
    // That it was run again is the caller's to say.
    ledger.append(recording.event("agent:replayer").unwrap()).unwrap();
}

#[test]
fn a_recording_of_what_was_altered_is_none() {
    let ledger = ledger();
    episode(&ledger);
    let mut file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
    let at = file.windows(6).position(|bytes| bytes == b"spring").unwrap();
    file[at] ^= 1;
    let mut file = ChainFile::new(Verifier::new(), Cursor::new(file)).unwrap();
    replay(&mut file, &Point::Head, Recording::new("run-7")).unwrap_err();
}

#[test]
fn the_first_difference_names_both_sides() {
    let ledger = ledger();
    episode(&ledger);
    for (asked, says) in [
        (
            call("search", json!({"q": "tides", "n": 4})),
            r#"found tool.call of search with {"n":4,"q":"tides"}"#,
        ),
        (call("find", json!({"q": "tides", "n": 3})), "found tool.call of find"),
        (call("fetch", json!("moon")), "found tool.call of fetch with \"moon\""),
        (intent("retrieval.request", &json!({"source": "x"})), "found retrieval.request with"),
    ] {
        let recording = Recording::of(&ledger, "run-7").unwrap();
        let error = ledger.action(asked).replay(&recording).unwrap_err();
        let text = error.to_string();
        let expected = r#"expected tool.call of search with {"n":3,"q":"tides"}"#;
        assert!(text.contains(expected) && text.contains("as in entry 1"), "{text}");
        assert!(text.contains(says), "{text}");
        // From there on nothing is served, even if it would fit.
        let again = ledger.action(call("search", json!({"q": "tides", "n": 3}))).replay(&recording);
        assert_eq!(again, Err(error));
        assert_eq!(recording.served(), 0);
        let event = recording.event("agent:replayer").unwrap();
        let entry = ledger.entry(ledger.append(event).unwrap().sequence).unwrap().unwrap();
        let said = crate::action::payload(&entry);
        assert!(said["divergence"].as_str().unwrap().contains("as in entry 1"), "{said}");
    }
}

#[test]
fn what_is_no_action_is_not_asked_for() {
    let ledger = ledger();
    let recording = Recording::of(&ledger, "run-7").unwrap();
    let note = Event::new("agent:planner", "note.made").unwrap().episode("run-7").unwrap();
    ledger.append(note).unwrap();
    assert_eq!(recording.difference(), None);
    let empty = ledger.action(pay()).replay(&Recording::of(&ledger, "run-7").unwrap());
    assert!(matches!(empty, Err(RerunError::Differs(_))));
    let _: Result<_, AppendError> = ledger.append(pay());
}
