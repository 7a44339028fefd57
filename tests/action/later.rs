//! Actions whose work is a future: awaited, dropped at each of their steps, panicking.

use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use serde_json::json;
use sigchain::action::ActionError;
use sigchain::error::{AppendError, Refusal};
use sigchain::ledger::{Ledger, Options};

use crate::action::{Broken, block_on, call, entries, pair, payload};
use crate::ledger::support::{
    Answer, Scripted, Unsteady, Write, ledger, ledger_with, until, verified,
};
use crate::support::entry_key;

/// Lets others run once.
async fn turn() {
    let mut seen = false;
    poll_fn(|context| {
        if std::mem::replace(&mut seen, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_future_is_an_action() {
    let ledger = ledger();
    let done = block_on(ledger.action(call("outer")).run_async(|act| async move {
        turn().await;
        let inner = act.action(call("inner")).run_async(async |_| {
            turn().await;
            Ok::<_, Broken>(2)
        });
        inner.await.map(|n| n + 1).map_err(|_| Broken("inner"))
    }));
    assert_eq!(done.unwrap(), 3);
    let all = entries(&ledger);
    let types: Vec<_> = all.iter().map(|written| written.fields.event_type.clone()).collect();
    assert_eq!(types, ["tool.call", "tool.call", "tool.result", "tool.result"]);
    let id = |at: usize| Some(all[at].fields.event_id);
    let causes: Vec<_> = all.iter().map(|written| written.fields.causation_id).collect();
    assert_eq!(causes, [None, id(0), id(1), id(0)]);
    assert_eq!(verified(&ledger), 5);
}

#[test]
fn an_error_and_a_panic_of_a_future() {
    let first = ledger();
    let error = block_on(first.action(call("t")).run_async(|_| ready(Err::<(), _>(Broken("no")))));
    assert!(matches!(error, Err(ActionError::Action(Broken("no")))));
    assert_eq!(payload(&pair(&first)[1])["kind"], "error");
    // When it is polled, and when it is made.
    for is_made in [false, true] {
        let ledger = ledger();
        let action = ledger.action(call("t")).run_async(|_| {
            assert!(!is_made, "out of paper");
            async {
                turn().await;
                assert!(is_made, "out of paper");
                Ok::<_, Broken>(())
            }
        });
        catch_unwind(AssertUnwindSafe(|| block_on(action))).unwrap_err();
        let [_, outcome] = pair(&ledger);
        let said = payload(&outcome);
        assert_eq!((&said["kind"], &said["message"]), (&json!("panic"), &json!("out of paper")));
    }
}

#[test]
fn it_is_not_called_if_its_intent_is_not_recorded() {
    for write in [Write::Refuse, Write::UncertainLost] {
        let store = Unsteady::default();
        let ledger = ledger_with(store.clone(), entry_key(), Options::new());
        store.then([write]);
        let action = ledger
            .action(call("t"))
            .run_async(|_| -> std::future::Ready<Result<(), Broken>> { unreachable!() });
        assert!(matches!(block_on(action), Err(ActionError::NotRecorded(_))));
    }
}

#[test]
fn what_a_future_gave_comes_back() {
    let ledger = ledger();
    let done = block_on(ledger.action(call("t")).run_async(async |_| {
        ledger.close(Duration::from_secs(5)).unwrap();
        Ok::<_, Broken>(vec![7])
    }));
    let Err(ActionError::OutcomeNotRecorded { value, error, intent }) = done else { panic!() };
    assert_eq!((value, intent.sequence), (Ok(vec![7]), 1));
    assert_eq!(*error, AppendError::Refused(Refusal::Closed));
}

/// Polls a future once after the other has come so far, then drops it.
fn dropped_when(ledger: &Ledger, is_so: impl Fn() -> bool) {
    let action = ledger.action(call("t")).run_async(|_| pending::<Result<(), Broken>>());
    let mut context = Context::from_waker(Waker::noop());
    let mut action = Box::pin(action);
    for _ in 0..5000 {
        assert!(action.as_mut().poll(&mut context).is_pending());
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it never came so far");
}

#[test]
fn a_future_that_is_dropped_was_cancelled() {
    let ledger = ledger();
    let mut action = Box::pin(ledger.action(call("t")).run_async(|_| {
        assert_eq!(ledger.head().sequence, 1);
        pending::<Result<(), Broken>>()
    }));
    let mut context = Context::from_waker(Waker::noop());
    while ledger.head().sequence < 1 {
        assert!(action.as_mut().poll(&mut context).is_pending());
    }
    // Its work has begun.
    assert!(action.as_mut().poll(&mut context).is_pending());
    drop(action);
    until("the outcome is durable", || ledger.head().sequence == 2);
    let [_, outcome] = pair(&ledger);
    assert_eq!(outcome.fields.event_type, "tool.error");
    assert_eq!(payload(&outcome)["kind"], "cancelled");
    assert_eq!(verified(&ledger), 3);
}

/// A future that was never polled is nothing that anybody has to hear of.
#[test]
fn a_future_that_never_began_leaves_no_trace() {
    let ledger = ledger();
    drop(ledger.action(call("t")).run_async(|_| pending::<Result<(), Broken>>()));
    assert_eq!(ledger.head().sequence, 0);
}

/// Its signer hangs, so that its intent is on its way as it goes: then it is cancelled once that is durable, and leaves nothing if that
/// fails.
#[test]
fn a_future_that_goes_before_its_intent_is_durable() {
    for (answer, entries_after) in [(Answer::Hang, 2), (Answer::HangThenFail, 0)] {
        let signer = Scripted::new(entry_key(), false);
        let ledger = ledger_with(Unsteady::default(), signer.clone(), Options::new());
        let asked = signer.asked.load(Ordering::SeqCst);
        signer.then([answer]);
        dropped_when(&ledger, || signer.asked.load(Ordering::SeqCst) > asked);
        assert_eq!(ledger.head().sequence, 0);
        signer.let_go();
        if entries_after == 0 {
            // What is refused is listed with the next entry, and has no outcome.
            until("it was given up", || ledger.append(call("next")).is_ok());
            thread::sleep(Duration::from_millis(20));
            let all = entries(&ledger);
            let is_outcome = |at: usize| all[at].fields.event_type == "tool.error";
            assert!(!(0..all.len()).any(is_outcome), "an outcome without intent");
            continue;
        }
        until("the outcome is durable", || ledger.head().sequence == entries_after);
        let [_, outcome] = pair(&ledger);
        assert_eq!(payload(&outcome)["message"], "nobody waited for it to begin");
    }
}

/// Whoever drops it is not kept waiting, though the store is.
#[test]
fn dropping_does_not_wait() {
    let signer = Scripted::new(entry_key(), false);
    let ledger = ledger_with(Unsteady::default(), signer.clone(), Options::new().queue(2, 1 << 20));
    let began = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&began);
    let mut action = Box::pin(ledger.action(call("t")).run_async(move |_| {
        note.store(true, Ordering::SeqCst);
        pending::<Result<(), Broken>>()
    }));
    let mut context = Context::from_waker(Waker::noop());
    while !began.load(Ordering::SeqCst) {
        assert!(action.as_mut().poll(&mut context).is_pending());
    }
    // The queue is full, and stays so.
    signer.then([Answer::Hang, Answer::Hang]);
    let tickets = [ledger.submit(call("a")).unwrap(), ledger.submit(call("b")).unwrap()];
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        drop(action);
        tell.send(()).unwrap();
    });
    told.recv_timeout(Duration::from_secs(10)).expect("it waits");
    signer.let_go();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    until("the outcome is durable", || ledger.head().sequence == 4);
    let all = entries(&ledger);
    assert_eq!(payload(&all[3])["kind"], "cancelled");
    assert_eq!(all[3].fields.causation_id, Some(all[0].fields.event_id));
}

/// While the queue is full, others have their turns on the same thread.
#[test]
fn a_full_queue_does_not_stop_the_executor() {
    let signer = Scripted::new(entry_key(), false);
    let ledger = ledger_with(Unsteady::default(), signer.clone(), Options::new().queue(1, 1 << 20));
    signer.then([Answer::Hang]);
    let ticket = ledger.submit(call("a")).unwrap();
    let turns = AtomicUsize::new(0);
    let mut acts = Box::pin(ledger.action(call("t")).run_async(async |_| Ok::<_, Broken>(5)));
    let other = async {
        while turns.fetch_add(1, Ordering::SeqCst) < 50 {
            turn().await;
        }
        signer.let_go();
    };
    let mut other = pin!(other);
    let mut other_ended = false;
    let done = block_on(poll_fn(|context| {
        if !other_ended {
            other_ended = other.as_mut().poll(context).is_ready();
        }
        let polled = acts.as_mut().poll(context);
        assert!(polled.is_pending() || other_ended);
        polled
    }));
    assert_eq!(done.unwrap(), 5);
    ticket.wait().unwrap();
}
