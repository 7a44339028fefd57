//! Actions: nothing is done that is not recorded before, and nothing is lost that was done.

mod later;
mod processes;
mod recording;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use serde_json::{Value, json};
use sigchain::action::{Action, ActionError, By, Ended, Plain, Said};
use sigchain::error::{AppendError, Refusal};
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::id::{EventId, SpanId, TraceId};
use sigchain::ledger::{Ledger, Options};
use sigchain::payload::{Part, Payload};
use sigchain::vocabulary::Failure;

use crate::ledger::support::{
    Answer, Scripted, Unsteady, Write, id, ledger, ledger_with, until, verified,
};
use crate::support::entry_key;

/// An error of the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Broken(&'static str);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

fn intent(event_type: &str, payload: &Value) -> Event {
    let payload = Payload::new("application/json", payload.to_string()).unwrap();
    Event::new("agent:planner", event_type).unwrap().payload(payload)
}

fn call(tool: &str) -> Event {
    intent("tool.call", &json!({"tool": tool}))
}

/// The entries behind genesis.
fn entries(ledger: &Ledger) -> Vec<Written<'static>> {
    (1..=ledger.head().sequence).map(|at| ledger.entry(at).unwrap().unwrap()).collect()
}

fn payload(written: &Written<'_>) -> Value {
    let Part::Whole(leaf) = &written.part else { panic!("{:?}", written.part) };
    serde_json::from_slice(&leaf.bytes).unwrap()
}

/// Intent and outcome of the only action in a ledger.
fn pair(ledger: &Ledger) -> [Written<'static>; 2] {
    let pair: [Written<'_>; 2] = entries(ledger).try_into().unwrap();
    assert_eq!(pair[1].fields.causation_id, Some(pair[0].fields.event_id));
    assert_eq!(payload(&pair[0])["capture"], "gate");
    assert_eq!(payload(&pair[1])["capture"], "gate");
    pair
}

/// A waker that wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(Duration::from_secs(10)),
        }
    }
}

#[test]
fn the_intent_is_durable_before_and_the_outcome_after() {
    let ledger = ledger();
    let trace = TraceId::from_bytes([1; 16]).unwrap();
    let span = SpanId::from_bytes([2; 8]);
    let event = intent("tool.call", &json!({"tool": "search", "arguments": {"q": 1}}));
    let event = event.episode("run-7").unwrap().correlation("c").unwrap().trace(trace, span);
    let found = ledger.action(event).run(|act| {
        assert_eq!(ledger.head().sequence, 1, "the intent is there, and nothing else");
        assert_eq!(ledger.head().digest, act.intent().digest);
        Ok::<_, Broken>("three".to_owned())
    });
    assert_eq!(found.unwrap(), "three");
    let [intent, outcome] = pair(&ledger);
    assert_eq!(intent.fields.event_type, "tool.call");
    assert_eq!(outcome.fields.event_type, "tool.result");
    assert_eq!(payload(&outcome), json!({"capture": "gate", "result": "three"}));
    for written in [&intent, &outcome] {
        let fields = &written.fields;
        assert_eq!(fields.actor, "agent:planner");
        assert_eq!(fields.episode_id.as_deref(), Some("run-7"));
        assert_eq!(fields.correlation_id.as_deref(), Some("c"));
        assert_eq!((fields.trace_id, fields.span_id), (Some(trace), span));
    }
    assert_eq!(verified(&ledger), 3);
}

#[test]
fn an_error_is_recorded_and_given_back() {
    let ledger = ledger();
    let error = ledger.action(call("t")).run(|_| Err::<(), _>(Broken("no such file"))).unwrap_err();
    assert!(error.was_done());
    assert_eq!(error.to_string(), "no such file");
    assert!(matches!(error, ActionError::Action(Broken("no such file"))));
    let [_, outcome] = pair(&ledger);
    assert_eq!(outcome.fields.event_type, "tool.error");
    let said = payload(&outcome);
    assert_eq!((&said["kind"], &said["message"]), (&json!("error"), &json!("no such file")));
    assert!(said["error_type"].as_str().unwrap().ends_with("Broken"), "{said}");
}

#[test]
fn a_panic_is_recorded_and_goes_on() {
    let ledger = ledger();
    let action = ledger.action(intent("payment.send", &json!({})));
    let run =
        || action.run(|act| -> Result<(), Broken> { panic!("out of {}", act.intent().sequence) });
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "out of 1");
    let [_, outcome] = pair(&ledger);
    assert_eq!(outcome.fields.event_type, "payment.error");
    let said = payload(&outcome);
    assert_eq!((&said["kind"], &said["message"]), (&json!("panic"), &json!("out of 1")));
    // It leaves the ledger as it was.
    assert_eq!(ledger.action(call("t")).run(|_| Ok::<_, Broken>(1)).unwrap(), 1);
    assert_eq!(verified(&ledger), 5);
}

#[test]
fn families_have_outcomes_of_their_own() {
    let ledger = ledger();
    for (of, result) in [
        ("llm.request", "llm.response"),
        ("retrieval.request", "retrieval.result"),
        ("a.b.send", "a.b.result"),
    ] {
        let words = json!({"model": "m", "source": "s"});
        ledger.action(intent(of, &words)).run(|_| Ok::<_, Broken>(())).unwrap();
        assert_eq!(entries(&ledger).last().unwrap().fields.event_type, result);
    }
}

fn refused<T: std::fmt::Debug, E: std::fmt::Debug>(error: ActionError<T, E>) -> Refusal {
    match error {
        ActionError::NotRecorded(AppendError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_can_have_no_outcome_does_not_begin() {
    let ledger = ledger();
    let long = format!("a.{}", "b".repeat(126));
    let fits = format!("{}.b", "a".repeat(121));
    for event_type in [
        "pay",
        "tool.result",
        "tool.error",
        "llm.response",
        "handoff.send",
        "commit.done",
        "review.request",
    ] {
        let event = Event::new("agent:a", event_type).unwrap();
        let error = ledger.action(event).run(|_| -> Result<(), Broken> { unreachable!() });
        assert!(matches!(refused(error.unwrap_err()), Refusal::Field(_)), "{event_type}");
    }
    assert_eq!(ledger.head().sequence, 0);
    for event_type in [long, fits] {
        let event = Event::new("agent:a", &event_type).unwrap();
        ledger.action(event).run(|_| Ok::<_, Broken>(())).unwrap();
    }
    let event = Event::new("agent:a", &format!("{}.b", "a".repeat(122))).unwrap();
    let error = ledger.action(event).run(|_| -> Result<(), Broken> { unreachable!() });
    assert!(matches!(refused(error.unwrap_err()), Refusal::Field(_)));
}

/// A disk that is full, a disk that is gone, a ledger that is closed, a signer that fails: in none of them anything runs.
#[test]
fn it_does_not_run_if_its_intent_is_not_recorded() {
    for write in [Write::Refuse, Write::UncertainKept, Write::UncertainLost] {
        let store = Unsteady::default();
        let ledger = ledger_with(store.clone(), entry_key(), Options::new());
        store.then([write]);
        let error = ledger.action(call("t")).run(|_| -> Result<(), Broken> { unreachable!() });
        let error = error.unwrap_err();
        assert!(!error.was_done());
        let ActionError::NotRecorded(error) = error else { panic!("{error:?}") };
        assert_eq!(matches!(error, AppendError::Refused(_)), write == Write::Refuse, "{error}");
        if write == Write::Refuse {
            // There is room again.
            assert_eq!(ledger.action(call("t")).run(|_| Ok::<_, Broken>(2)).unwrap(), 2);
            continue;
        }
        let again = ledger.action(call("t")).run(|_| -> Result<(), Broken> { unreachable!() });
        assert!(matches!(refused(again.unwrap_err()), Refusal::LedgerFailed(_)));
    }
    let signer = Scripted::new(entry_key(), true);
    let ledger = ledger_with(Unsteady::default(), signer.clone(), Options::new());
    for answer in [Answer::Fail, Answer::Panic] {
        signer.then([answer]);
        let error = ledger.action(call("t")).run(|_| -> Result<(), Broken> { unreachable!() });
        let refusal = refused(error.unwrap_err());
        assert!(matches!(refusal, Refusal::Signer(_) | Refusal::SignerPanicked), "{refusal}");
    }
    ledger.close(Duration::from_secs(5)).unwrap();
    let error = ledger.action(call("t")).run(|_| -> Result<(), Broken> { unreachable!() });
    assert_eq!(refused(error.unwrap_err()), Refusal::Closed);
}

#[test]
fn what_was_done_comes_back_though_its_outcome_is_not_recorded() {
    for outcome in [Ok(vec![1, 2, 3]), Err(Broken("no"))] {
        let ledger = ledger();
        let done = ledger.action(call("t")).run(|_| {
            ledger.close(Duration::from_secs(5)).unwrap();
            outcome.clone()
        });
        let error = done.unwrap_err();
        assert!(error.was_done());
        let text = error.to_string();
        assert!(text.contains("entry 1 stays an open action"), "{text}");
        let ActionError::OutcomeNotRecorded { value, error, intent } = error else { panic!() };
        assert_eq!((value, intent.sequence), (outcome, 1));
        assert_eq!(*error, AppendError::Refused(Refusal::Closed));
        assert_eq!(entries(&ledger).len(), 1, "an open action");
    }
    // A disk that fails in between leaves it open whether the outcome is recorded.
    let store = Unsteady::default();
    let ledger = ledger_with(store.clone(), entry_key(), Options::new());
    store.then([Write::Well, Write::UncertainKept]);
    let error = ledger.action(call("t")).run(|_| Ok::<_, Broken>(7_u64)).unwrap_err();
    let ActionError::OutcomeNotRecorded { value, error, .. } = error else { panic!() };
    assert_eq!(value, Ok(7));
    assert!(matches!(*error, AppendError::Uncertain { .. }));
}

#[test]
fn a_panic_goes_on_though_it_cannot_be_recorded() {
    let ledger = ledger();
    let run = || {
        ledger.action(call("t")).run(|_| -> Result<(), Broken> {
            ledger.close(Duration::from_secs(5)).unwrap();
            panic!("out of paper")
        })
    };
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "out of paper");
    assert_eq!(entries(&ledger).len(), 1);
}

/// Two appends for an action, and no third.
#[test]
fn it_costs_two_commits() {
    let store = Unsteady::default();
    let ledger = ledger_with(store.clone(), entry_key(), Options::new());
    let before = store.hand.writes.load(Ordering::SeqCst);
    ledger.action(call("t")).run(|_| Ok::<_, Broken>(())).unwrap();
    assert_eq!(store.hand.writes.load(Ordering::SeqCst), before + 2);
}

#[test]
fn actions_within_one_have_it_as_their_cause() {
    let ledger = ledger();
    let trace = TraceId::from_bytes([3; 16]).unwrap();
    let outer = call("outer").episode("run-7").unwrap().correlation("c").unwrap();
    let outer = outer.trace(trace, SpanId::from_bytes([4; 8]));
    ledger
        .action(outer)
        .run(|act| {
            thread::scope(|scope| {
                let all: Vec<_> = (0..8)
                    .map(|n| {
                        scope.spawn(move || {
                            act.action(call(&format!("inner-{n}"))).run(|act| {
                                act.action(call(&format!("innermost-{n}")))
                                    .run(|_| Ok::<_, Broken>(n))
                                    .map_err(|_| Broken("inner"))
                            })
                        })
                    })
                    .collect();
                for (n, thread) in (0..).zip(all) {
                    assert_eq!(thread.join().unwrap().unwrap(), n);
                }
            });
            let own = call("own").caused_by(id(1)).episode("other").unwrap();
            act.action(own).run(|_| Ok::<_, Broken>(())).map_err(|_| Broken("own"))
        })
        .unwrap();
    let all = entries(&ledger);
    let cause = |written: &Written<'_>| {
        let cause = written.fields.causation_id?;
        all.iter().find(|other| other.fields.event_id == cause)
    };
    let tool = |written: &Written<'_>| payload(written)["tool"].as_str().map(str::to_owned);
    let mut inner = 0;
    for written in &all {
        let of = cause(written).map(|of| tool(of).unwrap());
        let fields = &written.fields;
        match (tool(written).as_deref(), of.as_deref()) {
            (Some("outer"), None) => {}
            (Some("own"), None) => assert_eq!(fields.causation_id, Some(id(1))),
            (Some(name), Some(of)) if name.starts_with("inner-") => assert_eq!(of, "outer"),
            (Some(name), Some(of)) => {
                assert_eq!(name.replace("most", ""), of);
                inner += 1;
            }
            (None, of) => assert!(of.is_some(), "an outcome without intent"),
            other => panic!("{other:?}"),
        }
        let episode = if fields.causation_id == Some(id(1)) { "other" } else { "run-7" };
        if tool(written).is_some() {
            assert_eq!(fields.episode_id.as_deref(), Some(episode));
            assert_eq!(
                (fields.trace_id, fields.span_id),
                (Some(trace), SpanId::from_bytes([4; 8]))
            );
            assert_eq!(fields.correlation_id.as_deref(), Some("c"));
        }
    }
    assert_eq!((inner, all.len()), (8, 2 * (1 + 8 + 8 + 1)));
}

/// With an id the same action is begun once, by whoever comes first.
#[test]
fn an_id_is_acted_on_once() {
    let signer = Scripted::new(entry_key(), false);
    let ledger = ledger_with(Unsteady::default(), signer.clone(), Options::new());
    let begin = || ledger.action(call("t").id(id(5))).run(|_| Ok::<_, Broken>(1));
    let asked = signer.asked.load(Ordering::SeqCst);
    // The intent of the first is on its way, and nobody can find it yet.
    signer.then([Answer::Hang]);
    thread::scope(|scope| {
        let first = scope.spawn(begin);
        until("its signer is asked", || signer.asked.load(Ordering::SeqCst) > asked);
        let second = scope.spawn(|| {
            let error = begin().unwrap_err();
            assert!(error.to_string().contains("being done now"), "{error}");
            matches!(error, ActionError::BegunBefore { first: None, .. })
        });
        until("the second is told", || second.is_finished());
        signer.let_go();
        assert!(second.join().unwrap());
        assert_eq!(first.join().unwrap().unwrap(), 1);
    });
    let error = begin().unwrap_err();
    assert!(error.to_string().contains("that of entry 1"), "{error}");
    let ActionError::BegunBefore { event_id, first } = error else { panic!() };
    assert_eq!((event_id, first.unwrap().sequence), (id(5), 1));
    // Another one goes on, and what was not recorded can be tried again with the same id.
    ledger.action(call("t").id(id(6))).run(|_| Ok::<_, Broken>(())).unwrap();
    let store = Unsteady::default();
    let ledger = ledger_with(store.clone(), entry_key(), Options::new());
    store.then([Write::Refuse]);
    ledger.action(call("t").id(id(5))).run(|_| Ok::<_, Broken>(())).unwrap_err();
    ledger.action(call("t").id(id(5))).run(|_| Ok::<_, Broken>(())).unwrap();
}

#[test]
fn what_is_recorded_of_a_value() {
    let ledger = ledger();
    let last = || payload(entries(&ledger).last().unwrap());
    ledger.action(call("t")).run(|_| Ok::<_, Broken>(())).unwrap();
    assert_eq!(last(), json!({"capture": "gate"}));
    ledger.action(call("t")).run(|_| Ok::<_, Broken>(json!({"a": [1]}))).unwrap();
    assert_eq!(last(), json!({"capture": "gate", "result": {"a": [1]}}));
    ledger.action(call("t")).run(|_| Ok::<_, Broken>(b"abc".to_vec())).unwrap();
    // SHA-256 of "abc", FIPS 180-2.
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(last(), json!({"capture": "gate", "digest": digest, "bytes": 3}));
    ledger.action(call("t")).run(|_| Ok::<_, Broken>(Some(4_u32))).unwrap();
    assert_eq!(last(), json!({"capture": "gate", "result": 4}));
    let by_closure = ledger
        .action(call("t"))
        .recording(|value: &Duration| Said::nothing().with("seconds", value.as_secs()));
    by_closure.run(|_| Ok::<_, Broken>(Duration::from_secs(9))).unwrap();
    assert_eq!(last(), json!({"capture": "gate", "seconds": 9}));
    let by_serde = ledger.action(call("t")).recording(sigchain::action::json);
    by_serde.run(|_| Ok::<_, Broken>((1, "b"))).unwrap();
    assert_eq!(last(), json!({"capture": "gate", "result": [1, "b"]}));
    // What says it panics, what is said is too large: the value comes back, and its outcome is recorded.
    let panics = ledger.action(call("t")).recording(|_: &u8| panic!("what to say?"));
    assert_eq!(panics.run(|_| Ok::<_, Broken>(3)).unwrap(), 3);
    assert_eq!(last()["unwritten"], "what should say it panicked");
    let large = "x".repeat(17 << 20);
    assert_eq!(ledger.action(call("t")).run(|_| Ok::<_, Broken>(large.clone())).unwrap(), large);
    assert_eq!(last()["bytes"], large.len() + r#"{"result":""}"#.len());
    let message: &'static str = "y".repeat(5000).leak();
    ledger.action(call("t")).run(|_| Err::<(), _>(Broken(message))).unwrap_err();
    assert_eq!(last()["message"].as_str().unwrap().len(), 4096 + 3);
    assert_eq!(verified(&ledger), 1 + 2 * 9);
}

/// An action has a type that a caller can name, to keep it or to pass it on.
#[test]
fn an_action_can_be_named() {
    type Telling = fn(&u8) -> Said;

    fn prepared(ledger: &Ledger) -> Action<Plain> {
        ledger.action(call("t"))
    }

    fn told(ledger: &Ledger) -> Action<By<Telling>> {
        ledger.action(call("t")).recording(|value| Said::result(*value))
    }

    let ledger = ledger();
    assert_eq!(prepared(&ledger).run(|_| Ok::<_, Broken>(1_u32)).unwrap(), 1);
    assert_eq!(told(&ledger).run(|_| Ok::<_, Broken>(2)).unwrap(), 2);
}

/// Many at once share their commits, and each outcome has its own intent.
#[test]
fn many_threads_act() {
    let ledger = ledger();
    thread::scope(|scope| {
        for thread in 0..16 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0..20 {
                    let name = format!("{thread}-{n}");
                    let done = ledger.action(call(&name)).run(|_| Ok::<_, Broken>(name.clone()));
                    assert_eq!(done.unwrap(), name);
                }
            });
        }
    });
    let all = entries(&ledger);
    let of = |id: EventId| all.iter().find(|written| written.fields.event_id == id).unwrap();
    let mut outcomes = 0;
    for written in all.iter().filter(|written| written.fields.event_type == "tool.result") {
        let intent = of(written.fields.causation_id.unwrap());
        assert!(intent.fields.sequence < written.fields.sequence);
        assert_eq!(payload(intent)["tool"], payload(written)["result"]);
        outcomes += 1;
    }
    assert_eq!((outcomes, all.len()), (320, 640));
}

/// What was done does not fail for its size, and what kind of failure it was is kept.
#[test]
fn a_large_failure_keeps_its_kind() {
    let ledger = ledger();
    let begun = ledger.action(call("dump")).begin().unwrap();
    let said = Said::nothing().with("exit_code", 3).with("output", "x".repeat(2 << 20));
    begun.end(&ledger, Ended::Failed(Failure::Timeout, said)).unwrap();
    let found = payload(&entries(&ledger)[1]);
    assert_eq!((&found["kind"], &found["exit_code"]), (&json!("timeout"), &json!(3)));
    assert!(found["digest"].is_string() && found.get("output").is_none(), "{found}");
    let other = crate::ledger::support::ledger();
    let begun = ledger.action(call("dump")).begin().unwrap();
    let refused = begun.end(&other, Ended::Done(Said::nothing())).unwrap_err();
    assert!(refused.to_string().contains("the one that has the intent"), "{refused}");
}
