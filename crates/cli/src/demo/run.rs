//! The run that is recorded: an agent looks up an order, refunds it, and a person reviews that.

use sigchain::checkpoint::Checkpoint;
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::payload::Payload;

use crate::demo::recorder::{Keys, Outcome, Record, Recorder};

/// The name that the chain has in its genesis.
pub(super) const NAME: &str = "example.org/agents";
/// The entry that matters: the refund.
pub(super) const REFUND: u64 = 8;
const AGENT: &str = "agent:planner";
const PERSON: &str = "human:dana";
const SECOND: i64 = 1_000_000;
/// All of it is one episode.
pub(super) const EPISODE: &str = "run-7";

/// One step: who, what, with which words, how many microseconds after the one before.
type Step = (&'static str, &'static str, &'static str, i64);

const EARLY: [Step; 5] = [
    (
        AGENT,
        "session.start",
        r#"{"session":"s-7","task":"customer 117 wants order 1881 refunded"}"#,
        SECOND,
    ),
    (
        AGENT,
        "llm.request",
        r#"{"model":"any","messages":"What to do about order 1881?"}"#,
        SECOND / 5,
    ),
    (AGENT, "llm.response", r#"{"messages":"look the order up first"}"#, 2 * SECOND),
    (AGENT, "tool.call", r#"{"tool":"orders.get","arguments":{"order":1881}}"#, SECOND / 10),
    (AGENT, "tool.result", r#"{"result":{"paid":"40.00 EUR","returned":true}}"#, SECOND / 3),
];
const MIDDLE: [Step; 4] = [
    (
        AGENT,
        "llm.request",
        r#"{"model":"any","messages":"Paid 40.00 EUR, returned. Refund?"}"#,
        SECOND / 5,
    ),
    (AGENT, "llm.response", r#"{"messages":"refund 40.00 EUR"}"#, 2 * SECOND),
    (
        AGENT,
        "tool.call",
        r#"{"tool":"payments.refund","arguments":{"order":1881,"amount":"40.00 EUR"}}"#,
        SECOND / 10,
    ),
    (AGENT, "tool.result", r#"{"result":{"refund":"r-5521","amount":"40.00 EUR"}}"#, SECOND),
];
const LATE: [Step; 4] = [
    (
        AGENT,
        "review.request",
        r#"{"proposal":"keep refund r-5521","deadline":"DEADLINE"}"#,
        SECOND / 10,
    ),
    (PERSON, "review.approve", r#"{"reason":"within policy"}"#, 20 * SECOND),
    (AGENT, "message.send", r#"{"to":"customer 117","text":"your refund is on its way"}"#, SECOND),
    (
        AGENT,
        "session.end",
        r#"{"session":"s-7","status":"completed","summary":"refunded"}"#,
        SECOND / 2,
    ),
];

/// What was recorded, and what was put aside on the way.
pub(super) struct Run {
    pub(super) whole: Record,
    /// The same chain when it had 6 entries, as somebody may have kept it.
    pub(super) early: Record,
    /// Just before the refund.
    pub(super) before_refund: Record,
    /// The checkpoint of 10 entries that was kept elsewhere.
    pub(super) held: Checkpoint,
}

pub(super) fn play(keys: &Keys, start: i64) -> Outcome<Run> {
    let mut recorder = Recorder::begin(NAME, keys, start)?;
    let mut cause = None;
    steps(&mut recorder, &mut cause, &EARLY)?;
    let early = recorder.so_far();
    recorder.checkpoint()?;
    let (before, refund) = MIDDLE.split_at(2);
    steps(&mut recorder, &mut cause, before)?;
    let before_refund = recorder.so_far();
    steps(&mut recorder, &mut cause, refund)?;
    let held = recorder.checkpoint()?;
    steps(&mut recorder, &mut cause, &LATE)?;
    Ok(Run { whole: recorder.finish()?, early, before_refund, held })
}

fn steps(recorder: &mut Recorder, cause: &mut Option<EventId>, steps: &[Step]) -> Outcome<()> {
    for (actor, kind, payload, after) in steps {
        let payload = &payload.replace("DEADLINE", &recorder.tomorrow());
        let mut event = event(actor, kind, payload)?.episode(EPISODE)?;
        if let Some(cause) = *cause {
            event = event.caused_by(cause);
        }
        *cause = Some(recorder.record(kind, payload, event, *after)?);
    }
    Ok(())
}

fn event(actor: &str, kind: &str, payload: &str) -> Outcome<Event> {
    Ok(Event::new(actor, kind)?.payload(Payload::new("application/json", payload)?))
}

/// Type and payload of an event that never happened.
const FALSE: (&str, &str) =
    ("tool.call", r#"{"tool":"payments.refund","arguments":{"order":1881,"amount":"400.00 EUR"}}"#);

/// An event that never happened: the refund, but ten times as high.
pub(super) fn false_refund(actor: &str) -> Outcome<Event> {
    Ok(event(actor, FALSE.0, FALSE.1)?.episode(EPISODE)?)
}

/// History rewritten by one who has the entry key: the same chain up to the refund, then another story.
pub(super) fn rewrite(run: &Run, keys: &Keys) -> Outcome<Record> {
    let mut recorder = Recorder::steal(&run.before_refund, &keys.entry)?;
    let mut cause = Some(recorder.record(FALSE.0, FALSE.1, false_refund(AGENT)?, SECOND / 10)?);
    let later = MIDDLE.iter().skip(3).chain(&LATE).copied().collect::<Vec<_>>();
    steps(&mut recorder, &mut cause, &later)?;
    recorder.finish()
}
