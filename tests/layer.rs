//! What an application says of itself by `tracing` is recorded, and the application does not notice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sigchain::frame::Written;
use sigchain::layer::{Keeper, observe};
use sigchain::ledger::{Ledger, Options};
use sigchain::payload::Part;
use tracing::field::Empty;
use tracing::{info, info_span, subscriber};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::ledger::support::{Answer, Scripted, Unsteady, Write, ledger, ledger_with, verified};
use crate::support::entry_key;

const SOON: Duration = Duration::from_secs(20);

/// Runs an application that is observed.
fn observed(ledger: &Ledger, application: impl FnOnce()) -> Keeper {
    let (observer, keeper) = observe(ledger, "agent:app").unwrap();
    let subscriber = tracing_subscriber::registry().with(observer);
    subscriber::with_default(subscriber, application);
    keeper
}

fn entries(ledger: &Ledger) -> Vec<Written<'static>> {
    (1..=ledger.head().sequence).map(|at| ledger.entry(at).unwrap().unwrap()).collect()
}

fn payload(written: &Written<'_>) -> Value {
    let Part::Whole(leaf) = &written.part else { panic!("{:?}", written.part) };
    serde_json::from_slice(&leaf.bytes).unwrap()
}

fn found(ledger: &Ledger) -> Vec<(String, Value)> {
    let found = |written: &Written<'_>| (written.fields.event_type.to_string(), payload(written));
    let is_own = |written: &&Written<'_>| written.fields.event_type.starts_with("chain.");
    entries(ledger).iter().filter(|written| !is_own(written)).map(found).collect()
}

#[test]
fn marked_spans_and_events_are_recorded() {
    let ledger = ledger();
    let keeper = observed(&ledger, || {
        let run = info_span!("run", sigchain.episode = "run-7", sigchain.actor = "agent:planner");
        let _in_run = run.enter();
        info!("not marked");
        let chat = info_span!(
            "chat",
            gen_ai.operation.name = "chat",
            gen_ai.request.model = "m-1",
            gen_ai.system = "example",
            gen_ai.request.max_tokens = 100_u64,
            gen_ai.input.messages = r#"[{"role":"user"}]"#,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.response.finish_reasons = Empty,
            own = true,
        );
        chat.in_scope(|| {
            let tool =
                info_span!("t", gen_ai.tool.name = "search", gen_ai.tool.call.arguments = "{}");
            tool.in_scope(|| info!(target: "sigchain", sigchain = "note.made", text = "found"));
        });
        chat.record("gen_ai.usage.output_tokens", 7_u64);
        chat.record("gen_ai.response.finish_reasons", "[\"stop\"]");
    });
    assert!(keeper.flush(SOON));
    let llm = json!({
        "capture": "observer", "model": "m-1", "provider": "example", "max_tokens": 100,
        "messages": [{"role": "user"}], "operation": "chat", "own": true,
    });
    let expected = [
        ("llm.request", llm),
        ("tool.call", json!({"capture": "observer", "tool": "search", "arguments": {}})),
        ("note.made", json!({"capture": "observer", "text": "found"})),
        ("tool.result", json!({"capture": "observer"})),
        (
            "llm.response",
            json!({"capture": "observer", "output_tokens": 7, "finish_reasons": ["stop"]}),
        ),
    ];
    assert_eq!(found(&ledger), expected.map(|(name, said)| (name.to_owned(), said)));
    let all = entries(&ledger);
    let id = |at: usize| Some(all[at].fields.event_id);
    let causes: Vec<_> = all.iter().map(|written| written.fields.causation_id).collect();
    assert_eq!(causes, [None, id(0), id(1), id(1), id(0)]);
    for written in &all {
        assert_eq!(written.fields.episode_id.as_deref(), Some("run-7"));
        assert_eq!(written.fields.actor, "agent:planner");
    }
    assert_eq!(keeper.missed(), 0);
    assert_eq!(verified(&ledger), 6);
}

#[test]
fn how_a_span_ended() {
    let ledger = ledger();
    let keeper = observed(&ledger, || {
        let failed = info_span!("payment.send", sigchain = "payment.send", error.type = Empty);
        failed.record("error.type", "Timeout");
        drop(failed);
        let panics = || {
            let _span = info_span!(target: "sigchain", "payment.send").entered();
            std::panic::resume_unwind(Box::new("out of paper"));
        };
        catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
        drop(info_span!("what?", sigchain = "not a type"));
        drop(info_span!("what?", sigchain = "tool.guess"));
    });
    assert!(keeper.flush(SOON));
    let types: Vec<_> =
        found(&ledger).into_iter().map(|(name, said)| (name, said["kind"].clone())).collect();
    let expected = [
        ("payment.send", Value::Null),
        ("payment.error", json!("error")),
        ("payment.send", Value::Null),
        ("payment.error", json!("panic")),
        ("observed.span", Value::Null),
        ("observed.result", Value::Null),
        ("observed.span", Value::Null),
        ("observed.result", Value::Null),
    ];
    assert_eq!(types, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

/// The ledger hangs: the application goes on at its own speed, and what there is no room for is counted and recorded as missing.
#[test]
fn the_application_never_waits() {
    let signer = Scripted::new(entry_key(), false);
    let ledger = ledger_with(Unsteady::default(), signer.clone(), Options::new());
    let (observer, keeper) = observe(&ledger, "agent:app").unwrap();
    let subscriber = Arc::new(tracing_subscriber::registry().with(observer));
    signer.then(vec![Answer::Hang; 40_000]);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            let subscriber = Arc::clone(&subscriber);
            scope.spawn(move || {
                subscriber::with_default(subscriber, || {
                    for n in 0..5000 {
                        info!(sigchain = "note.made", n);
                    }
                });
            });
        }
    });
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(keeper.missed() > 0);
    assert!(!keeper.flush(Duration::from_millis(20)), "nothing is recorded yet");
    signer.let_go();
    assert!(keeper.flush(SOON));
    let missed = keeper.missed();
    let all = found(&ledger);
    let notes = all.iter().filter(|(name, _)| name == "note.made").count();
    let gaps = all.iter().filter(|(name, _)| name == "capture.gap");
    let told: u64 = gaps.map(|(_, said)| said["missed"].as_u64().unwrap()).sum();
    assert_eq!(told, missed);
    assert_eq!(u64::try_from(notes).unwrap() + missed, 20_000);
}

/// What the ledger refuses is counted, and recorded as missing once it takes events again.
#[test]
fn what_is_refused_is_a_gap() {
    let store = Unsteady::default();
    let ledger = ledger_with(store.clone(), entry_key(), Options::new());
    store.then([Write::Refuse, Write::Refuse]);
    let keeper = observed(&ledger, || {
        let span = info_span!("t", sigchain = "payment.send");
        thread::sleep(Duration::from_millis(50));
        drop(span);
        // It lacks the tool's name.
        info!(sigchain = "tool.call", n = 1);
    });
    assert!(keeper.flush(SOON));
    assert!(keeper.flush(SOON));
    let all = found(&ledger);
    assert!(
        all.iter().all(|(name, _)| name == "capture.gap"),
        "an outcome without intent: {all:?}"
    );
    let told: u64 = all.iter().map(|(_, said)| said["missed"].as_u64().unwrap()).sum();
    assert_eq!((told, keeper.missed()), (2, 2));
    assert_eq!(all[0].1["source"], "tracing");
}

/// OpenTelemetry's ids, said as the span begins or later, are those of the entries.
#[test]
fn ids_of_traces_are_taken() {
    let ledger = ledger();
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let keeper = observed(&ledger, || {
        let request = info_span!("request", trace_id = trace, span_id = span);
        let _in_request = request.enter();
        let tool = info_span!("t", sigchain = "payment.send", span_id = Empty, trace_id = "none");
        tool.record("span_id", "00F067AA0BA902B8");
        info!(sigchain = "note.made", trace_id = "0af7651916cd43dd8448eb211c80319c");
    });
    assert!(keeper.flush(SOON));
    let ids = |written: &Written<'_>| {
        let (trace, span) = (written.fields.trace_id, written.fields.span_id);
        (trace.map(|id| id.to_string()), span.map(|id| id.to_string()))
    };
    let found: Vec<_> = entries(&ledger).iter().map(ids).collect();
    let pair = |trace: &str, span: Option<&str>| (Some(trace.to_owned()), span.map(str::to_owned));
    let expected = [
        pair(trace, Some(span)),
        pair("0af7651916cd43dd8448eb211c80319c", None),
        pair(trace, Some("00f067aa0ba902b8")),
    ];
    assert_eq!(found, expected);
    let intent = json!({"capture": "observer", "trace_id": "none"});
    assert_eq!(payload(&entries(&ledger)[0]), intent, "what is no id is a field");
}

/// A ledger that is gone, and a keeper that is: nothing panics, nothing waits.
#[test]
fn it_outlives_its_ledger_and_its_keeper() {
    let ledger = ledger();
    let (observer, keeper) = observe(&ledger, "agent:app").unwrap();
    let subscriber = tracing_subscriber::registry().with(observer);
    subscriber::with_default(subscriber, || {
        info!(sigchain = "note.made", n = 1);
        assert!(keeper.flush(SOON));
        ledger.close(SOON).unwrap();
        info!(sigchain = "note.made", n = 2);
        assert!(keeper.flush(SOON));
        assert_eq!(keeper.missed(), 1);
        drop(keeper);
        info!(sigchain = "note.made", n = 3);
    });
    assert_eq!(ledger.head().sequence, 1);
    let error = observe(&ledger, "").unwrap_err();
    assert!(error.to_string().contains("actor"), "{error}");
}
