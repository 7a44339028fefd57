//! What each kind of entry changes.

use sigchain::context::{Context, diff};
use sigchain::event::Event;
use sigchain::frame::Frame;
use sigchain::id::EventId;
use sigchain::key::Role;
use sigchain::payload::{Part, Payload};
use sigchain::projection::{Item, Projection as _};
use sigchain::replay::Tally;
use sigchain::reserved::{KeyRecord, Reserved};

use crate::context::{Line, says};
use crate::support::{Build, Draft, entry_key, event_id, key};

/// [C-action-1] [C-action-2]
#[test]
fn an_action_is_open_until_its_outcome() {
    let mut line = Line::default();
    let call = line.push(says("tool.call", r#"{"tool":"search"}"#).episode("run-1").unwrap());
    let ask = line.say("llm.request", r#"{"model":"m1"}"#);
    let state = line.context();
    let open: Vec<EventId> = state.actions.open.keys().copied().collect();
    assert_eq!(open, [call, ask]);
    let action = &state.actions.open[&call];
    assert_eq!((&*action.actor, &*action.event_type), ("agent:planner", "tool.call"));
    assert_eq!(
        (action.name.as_deref(), action.episode.as_deref()),
        (Some("search"), Some("run-1"))
    );
    assert_eq!((action.begun.sequence, action.begun.stamp), (0, line.items[0].0.system_time));

    // Of another family, of no cause, and of a cause that is none.
    line.by_cause("llm.response", "{}", call);
    line.say("tool.result", "{}");
    line.by_cause("tool.result", "{}", line.next_id());
    let state = line.context();
    assert_eq!((state.actions.open.len(), state.actions.unexpected), (2, 3));

    line.by_cause("tool.error", r#"{"kind":"timeout"}"#, call);
    line.by_cause("llm.response", r#"{"input_tokens":7,"output_tokens":2}"#, ask);
    let state = line.context();
    assert!(state.actions.open.is_empty());
    assert_eq!(state.actions.begun, 2);
    assert_eq!(state.actions.tools.get("search").unwrap().timed_out, 1);
    let model = state.actions.models.get("m1").unwrap();
    assert_eq!((model.completed, model.input_tokens, model.output_tokens), (1, 7, 2));
    // It ended, and cannot end again.
    line.by_cause("tool.result", "{}", call);
    assert_eq!(line.context().actions.unexpected, 4);
}

/// [C-action-3]
#[test]
fn every_kind_of_outcome_counts_by_itself() {
    let mut line = Line::default();
    let kinds = ["cancelled", "error", "panic", "timeout", "unheard-of"];
    for (kind, times) in kinds.iter().zip(1..) {
        for _ in 0..times {
            let call = line.say("retrieval.request", r#"{"source":"web"}"#);
            line.by_cause("retrieval.error", &format!(r#"{{"kind":"{kind}"}}"#), call);
        }
    }
    let state = line.context();
    let done = state.actions.sources.get("web").unwrap();
    assert_eq!((done.cancelled, done.panicked, done.timed_out), (1, 3, 4));
    assert_eq!((done.failed, done.completed), (2 + 5, 0));
    assert_eq!(state.unreadable.ill_formed, 0);
}

/// [C-action-4]
#[test]
fn actions_of_other_families() {
    let mut line = Line::default();
    let call = line.say("crm.ticket.call", "not json");
    // Only a gate makes this one an action.
    let gated = line.say("mail.send", r#"{"capture":"gate","to":"x"}"#);
    // Wherever it stands, and however it is spelled; but once, and as JSON.
    let behind = line.say("mail.send", r#"{"to":"x","c\u0061pture":"gate"}"#);
    line.say("mail.send", "{}");
    line.say("mail.send", r#"{"capture":"gate","capture":"gate"}"#);
    line.say("mail.send", r#"{"capture":"gate""#);
    line.say("mail.send", r#"{"mail":{"capture":"gate"}}"#);
    let text = Payload::new("text/plain", r#"{"capture":"gate"}"#).unwrap();
    line.push(Event::new("a", "mail.send").unwrap().payload(text));
    let by_field = Payload::by_field([("capture", "application/json", &b"\"gate\""[..])]).unwrap();
    let leaf = line.push(Event::new("a", "mail.send").unwrap().payload(by_field));
    // An outcome is none, though a gate records it too; nor is what the vocabulary knows, nor a type of one word.
    line.say("mail.result", r#"{"capture":"gate"}"#);
    line.say("handoff.send", r#"{"capture":"gate","to":"x"}"#);
    line.say("call", r#"{"capture":"gate"}"#);
    let open: Vec<EventId> = line.context().actions.open.keys().copied().collect();
    assert_eq!(open, [call, gated, behind, leaf]);
    line.by_cause("crm.ticket.result", "still not json", call);
    line.by_cause("mail.error", "none either", gated);
    let state = line.context();
    assert_eq!(state.actions.other.get("crm.ticket.call").unwrap().completed, 1);
    assert_eq!(state.actions.other.get("mail.send").unwrap().failed, 1);
    assert_eq!((state.unreadable.ill_formed, state.actions.unexpected), (0, 1));
}

/// [C-episode-1] [C-episode-2] [C-episode-3]
#[test]
fn an_episode_has_its_messages_and_steps_until_it_ends() {
    let mut line = Line::default();
    let of = |event_type: &str, json: &str| says(event_type, json).episode("run-1").unwrap();
    // Nobody began it: it is only counted.
    line.push(of("agent.note", "{}"));
    assert!(line.context().episodes.open.is_empty());
    line.push(of("episode.start", r#"{"goal":"find it","session":"s1","agent":"planner"}"#));
    let request = r#"{"model":"m1","messages":[{"role":"user","content":"hello"}]}"#;
    let ask = line.push(of("llm.request", request));
    let answer = r#"{"messages":[{"role":"assistant","parts":[{"type":"text","content":"hi "},{"content":"there"}]}]}"#;
    line.push(of("llm.response", answer).caused_by(ask));
    let state = line.context();
    let episode = &state.episodes.open["run-1"];
    assert_eq!(
        (episode.goal.as_deref(), episode.session.as_deref()),
        (Some("find it"), Some("s1"))
    );
    assert_eq!((episode.entries, episode.begun.sequence), (2, 1));
    let said: Vec<(Option<&str>, &str)> =
        episode.messages.last.iter().map(|m| (m.role.as_deref(), &*m.text)).collect();
    assert_eq!(said, [(Some("user"), "hello"), (Some("assistant"), "hi there")]);
    let step = &episode.steps.last[0];
    assert_eq!((step.action, &*step.outcome, step.sequence), (ask, "completed", 3));
    // The next request says all that was said so far.
    let request = r#"{"model":"m1","messages":["anew"]}"#;
    line.push(of("llm.request", request));
    let state = line.context();
    let messages = &state.episodes.open["run-1"].messages;
    assert_eq!((messages.last.len(), &*messages.last[0].text), (1, "anew"));

    line.push(of("episode.start", "{}"));
    assert_eq!(line.context().episodes.unfollowed, 1);
    line.push(of("episode.end", r#"{"status":"failed"}"#));
    line.push(of("episode.end", r#"{"status":"failed"}"#));
    line.push(of("episode.start", "{}"));
    line.push(of("episode.end", "rubbish"));
    let state = line.context();
    let episodes = &state.episodes;
    assert!(episodes.open.is_empty());
    assert_eq!((episodes.begun, episodes.failed, episodes.unclear), (3, 1, 1));
    assert_eq!((episodes.unexpected, state.unreadable.ill_formed), (1, 1));
}

/// [C-session-1]
#[test]
fn a_session_is_open_until_it_ends() {
    let mut line = Line::default();
    line.say("session.start", r#"{"session":"s1","agent":"planner"}"#);
    line.say("session.start", r#"{"session":"s1"}"#);
    line.say("session.start", r#"{"session":"s2"}"#);
    line.say("session.end", r#"{"session":"s2","status":"completed"}"#);
    line.say("session.end", r#"{"session":"s2","status":"completed"}"#);
    let state = line.context();
    let sessions = &state.sessions;
    assert_eq!(sessions.open.keys().collect::<Vec<_>>(), ["s1"]);
    assert_eq!(sessions.open["s1"].agent.as_deref(), Some("planner"));
    assert_eq!((sessions.begun, sessions.ended), (3, 1));
    assert_eq!((sessions.unfollowed, sessions.unexpected), (1, 1));
}

/// [C-review-2] [C-read-6]: whoever is to act decides nothing, and what asks for nothing is no review.
#[test]
fn whoever_is_to_act_does_not_decide() {
    let deadline = "\"deadline\":\"2026-11-20T05:00:10Z\"";
    let mut line = Line::default();
    let json = format!(r#"{{{deadline},"proposal":{{"actor":"agent:doer"}}}}"#);
    let review = line.say("review.request", &json);
    line.push(by("agent:doer", "review.approve", review));
    line.push(by("agent:doer", "review.veto", review));
    let state = line.context();
    assert_eq!(state.reviews.open[&review].acting.as_deref(), Some("agent:doer"));
    assert_eq!((state.reviews.unexpected, state.reviews.approved), (2, 0));
    line.push(by("human:dana", "review.approve", review));
    for policy in [r#"{"approvals":0}"#, r#"{"reviewers":[]}"#, r#"{"approvals":1,"approvals":1}"#]
    {
        line.say("review.request", &format!(r#"{{{deadline},"proposal":1,"policy":{policy}}}"#));
    }
    let withheld = says("review.request", &format!(r#"{{{deadline},"proposal":1}}"#));
    line.push(withheld);
    line.items.last_mut().unwrap().1 = Part::Withheld;
    let state = line.context();
    assert_eq!((state.reviews.begun, state.reviews.approved), (1, 1));
    assert_eq!((state.unreadable.ill_formed, state.unreadable.absent), (3, 1));
}

fn by(actor: &str, event_type: &str, cause: EventId) -> Event {
    let payload = Payload::new("application/json", "{}").unwrap();
    Event::new(actor, event_type).unwrap().payload(payload).caused_by(cause)
}

/// [C-review-1] [C-review-2] [C-review-3]
#[test]
fn a_review_waits_for_those_who_may_decide() {
    let request = |policy: &str| {
        let deadline = "2026-11-20T05:00:10Z";
        says("review.request", &format!(r#"{{"deadline":"{deadline}","proposal":1{policy}}}"#))
    };
    let mut line = Line::default();
    let about = line.say("agent.plan", "{}");
    let two = line.push(request(r#","policy":{"approvals":2}"#).caused_by(about));
    let named = line.push(request(r#","policy":{"reviewers":["human:dana"]}"#));
    let late = line.push(request(""));
    let state = line.context();
    assert_eq!(state.reviews.open[&two].about, Some(about));
    assert_eq!((&*state.reviews.open[&named].actor, state.reviews.begun), ("agent:planner", 3));

    // By whoever asked; twice by the same; by somebody who is not named; too early to have expired.
    line.push(by("agent:planner", "review.approve", two));
    line.push(by("human:dana", "review.approve", two));
    line.push(by("human:dana", "review.approve", two));
    line.push(by("human:eve", "review.veto", named));
    line.push(by("human:eve", "review.expire", late));
    let state = line.context();
    assert_eq!((state.reviews.open.len(), state.reviews.unexpected), (3, 4));
    assert_eq!(state.reviews.open[&two].approved_by.iter().collect::<Vec<_>>(), ["human:dana"]);

    line.push(by("human:eve", "review.approve", two));
    assert_eq!(line.items.last().unwrap().0.sequence, 9);
    // The deadline is within this very second, and includes it.
    line.push(by("human:dana", "review.veto", named));
    line.push(by("human:dana", "review.approve", late));
    let state = line.context();
    assert_eq!((state.reviews.approved, state.reviews.vetoed, state.reviews.unexpected), (1, 1, 5));
    line.push(by("sigchain", "review.expire", late));
    let state = line.context();
    assert!(state.reviews.open.is_empty());
    assert_eq!((state.reviews.expired, state.actions.begun), (1, 0));
}

/// [C-count-1]
#[test]
fn entries_are_counted_by_type_and_actor() {
    let mut line = Line::default();
    for _ in 0..3 {
        line.say("agent.note", "{}");
    }
    line.push(Event::new("human:dana", "agent.note").unwrap());
    let state = line.context();
    assert_eq!((state.entries, state.types.get("agent.note")), (4, Some(&4)));
    assert_eq!(
        (state.actors.get("agent:planner"), state.actors.get("human:dana")),
        (Some(&3), Some(&1))
    );
    assert_eq!(state.first, Some(line.items[0].0.system_time));
    assert_eq!(state.last, Some(line.items[3].0.system_time));
}

/// [C-key-1] [C-erase-1]
#[test]
fn keys_and_erasures_are_those_of_the_chain() {
    let mut build = Build::new();
    let record = |build: &Build, seed: u8, role| {
        KeyRecord::new(&key(seed), role, &build.chain_id, event_id(build.sequence))
    };
    let enroll = record(&build, 6, Role::Entry);
    build.reserved(&Reserved::Enroll { approvals: Vec::new(), key: enroll });
    let rotated = record(&build, 7, Role::Entry);
    let old = entry_key().id();
    build.reserved(&Reserved::Rotate { approvals: Vec::new(), key: rotated, old });
    let erased = Reserved::Erased { detail: vec![0xa0], entries: vec![(1, 2)] };
    build.push(Draft::reserved(&erased).key(key(6)));
    let (mut context, mut tally) = (Context::new(), Tally::new());
    for frame in &build.frames {
        let Frame::Entry(written) = frame else { continue };
        let item = Item::new(build.chain_id, &written.fields, &written.part);
        context.apply(&item);
        tally.apply(&item);
        assert_eq!(context.keys, tally.keys);
    }
    assert!(context.keys.contains_key(&key(7).id()) && !context.keys.contains_key(&old));
    assert_eq!((context.erasures.done, context.erasures.entries), (1, 2));
    assert_eq!(Context::decode(&context.encode()), Ok(context));
}

/// Both ways, over what opened, closed and changed; and nothing between a state and itself.
#[test]
fn what_lies_between_two_contexts() {
    let mut line = Line::default();
    let of = |event_type: &str, json: &str| says(event_type, json).episode("run/1").unwrap();
    line.push(of("episode.start", "{}"));
    line.say("session.start", r#"{"session":"s1"}"#);
    let call = line.push(of("tool.call", r#"{"tool":"a/b~c"}"#));
    let before = line.context();
    line.push(of("tool.result", "{}").caused_by(call));
    line.say("session.end", r#"{"session":"s1"}"#);
    let ask = line.say("llm.request", r#"{"model":"m"}"#);
    let review = line.say("review.request", r#"{"deadline":"2026-11-20T05:00:10Z"}"#);
    let after = line.context();
    let found = diff(&before, &after);
    assert_eq!((&found.actions.opened, &found.actions.closed), (&vec![ask], &vec![call]));
    assert_eq!(
        (found.reviews.opened.len(), &found.sessions.closed[..]),
        (1, &["s1".to_owned()][..])
    );
    assert_eq!((found.episodes.changed.len(), found.keys.opened.len()), (1, 0));
    assert_eq!(found.counts["/entries"], (3, 7));
    assert_eq!(found.counts["/actions/tools/names/a~1b~0c/completed"], (0, 1));
    assert!(found.counts.keys().all(|place| !place.contains("open")), "{:?}", found.counts);
    let text = found.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("  actions opened: {ask}"));
    assert_eq!(lines[2], "  episodes changed: run/1");
    assert_eq!(lines[3], format!("  reviews opened: {review}"));
    let back = diff(&after, &before);
    assert_eq!((back.actions.opened, back.actions.closed), (vec![call], vec![ask]));
    assert_eq!(back.counts["/entries"], (7, 3));
    assert!(diff(&after, &after).is_empty() && diff(&after, &after).to_string().is_empty());
    let json = found.encode();
    assert!(json.starts_with(r#"{"actions":{"changed":[],"closed":[""#), "{json}");
}
