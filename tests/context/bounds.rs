//! What grows has a bound, behind which it is only counted.

use sigchain::context::{
    Context, EPISODES_MAX, MESSAGE_BYTES_MAX, MESSAGES_MAX, NAME_BYTES_MAX, NAMES_MAX, OPEN_MAX,
    REVIEWS_MAX, SESSIONS_MAX, STEPS_MAX,
};
use sigchain::event::Event;

use crate::context::{Line, fold, says};

/// [C-bound-1]
#[test]
fn names_are_counted_up_to_a_number_of_them() {
    let mut line = Line::default();
    let max = NAMES_MAX;
    for at in 0..max + 10 {
        line.push(Event::new(&format!("agent:{at}"), &format!("note.n{at}")).unwrap());
    }
    line.push(Event::new("agent:0", "note.n0").unwrap());
    let long = "x".repeat(NAME_BYTES_MAX - 1);
    let call = line.say("tool.call", &format!(r#"{{"tool":"{long}\u00e9\u00e9"}}"#));
    line.by_cause("tool.result", "{}", call);
    let state = line.context();
    assert_eq!((state.types.names.len(), state.types.rest), (NAMES_MAX, 12));
    assert_eq!((state.actors.rest, state.actors.get("agent:0")), (12, Some(&2)));
    // Cut before the character that does not fit.
    assert_eq!(state.actions.tools.names.keys().collect::<Vec<_>>(), [&long]);
}

/// [C-bound-2]
#[test]
fn what_is_open_is_kept_up_to_a_number_of_it() {
    let mut line = Line::default();
    for at in 0..=SESSIONS_MAX {
        line.say("session.start", &format!(r#"{{"session":"s{at}"}}"#));
    }
    for at in 0..=EPISODES_MAX {
        line.push(says("episode.start", "{}").episode(&format!("e{at}")).unwrap());
    }
    let state = line.context();
    assert_eq!((state.sessions.open.len(), state.sessions.unfollowed), (SESSIONS_MAX, 1));
    assert_eq!((state.episodes.open.len(), state.episodes.unfollowed), (EPISODES_MAX, 1));

    let mut line = Line::default();
    for _ in 0..=OPEN_MAX {
        line.say("tool.call", "{}");
    }
    let state = line.context();
    assert_eq!((state.actions.open.len(), state.actions.unfollowed), (OPEN_MAX, 1));
    let mut line = Line::default();
    for _ in 0..=REVIEWS_MAX {
        line.say("review.request", r#"{"deadline":"2026-11-20T05:00:10Z"}"#);
    }
    let state = line.context();
    assert_eq!((state.reviews.open.len(), state.reviews.unfollowed), (REVIEWS_MAX, 1));
}

/// [C-bound-3]
#[test]
fn an_episode_keeps_its_last_messages_and_steps() {
    let mut line = Line::default();
    let of = |event_type: &str, json: &str| says(event_type, json).episode("e").unwrap();
    line.push(of("episode.start", "{}"));
    let all: Vec<String> = (0..MESSAGES_MAX + 3).map(|at| format!("\"m{at}\"")).collect();
    let ask =
        line.push(of("llm.request", &format!(r#"{{"model":"m","messages":[{}]}}"#, all.join(","))));
    let text = "y".repeat(MESSAGE_BYTES_MAX + 1);
    line.push(of("llm.response", &format!(r#"{{"messages":["{text}"]}}"#)).caused_by(ask));
    for _ in 0..STEPS_MAX {
        let call = line.push(of("tool.call", r#"{"tool":"t"}"#));
        line.push(of("tool.result", "{}").caused_by(call));
    }
    let state = line.context();
    let episode = &state.episodes.open["e"];
    assert_eq!((episode.messages.last.len(), episode.messages.dropped), (MESSAGES_MAX, 4));
    assert_eq!(episode.messages.last[0].text, "m4");
    let last = episode.messages.last.back().unwrap();
    assert_eq!((last.text.len(), last.bytes), (MESSAGE_BYTES_MAX, 1025));
    assert_eq!((episode.steps.last.len(), episode.steps.dropped), (STEPS_MAX, 1));
    assert_eq!(episode.steps.last[0].event_type, "tool.call");
}

/// [C-bound-4]
#[test]
fn what_is_finished_takes_no_room() {
    let mut line = Line::default();
    let mut lengths = Vec::new();
    for round in 0..40 {
        line.push(says("episode.start", r#"{"goal":"g"}"#).episode(&format!("e{round}")).unwrap());
        for _ in 0..20 {
            let call = line.say("tool.call", r#"{"tool":"t"}"#);
            line.by_cause("tool.result", r#"{"result":[1,2,3]}"#, call);
        }
        let end = says("episode.end", r#"{"status":"completed"}"#);
        line.push(end.episode(&format!("e{round}")).unwrap());
        lengths.push(fold(Context::new(), &line.items).encode().len());
    }
    // Only the digits of the counts grow.
    assert!(lengths[39] - lengths[0] < 32, "{lengths:?}");
}
