//! Actions and reviews: no outcome without intent, nothing done on a review that does not allow it.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use shuttle::rand::{Rng, thread_rng};
use sigchain::action::{Act, ActionError};
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::receipt::Receipt;
use sigchain::review::{Request, Reviews};
use sigchain::stamp::ValidTime;

use crate::judge::{Found, Verdict};
use crate::support::{Caller, Mood, START, Setting, Temper, World, happens, pause, pauses};

type Done = Result<(), std::fmt::Error>;

/// What began, and whether an outcome of it was told to be recorded.
type Runs = Arc<Mutex<Vec<(EventId, bool)>>>;

/// Begins, with its intent durable.
fn begins(caller: &Caller, act: &Act, runs: &Runs) -> usize {
    let durable = caller.notes.durable.load(Ordering::SeqCst);
    assert!(act.intent().sequence < durable, "done before its intent is durable");
    let mut runs = runs.lock().unwrap();
    runs.push((act.intent().event_id, false));
    runs.len() - 1
}

/// Acts in one way or another.
fn acts(caller: &mut Caller, runs: &Runs) {
    let event = caller.event("payment.send");
    let action = caller.ledger().action(event);
    let drawn = thread_rng().gen_range(0..5);
    let mut at = None;
    match drawn {
        0 => {
            let panics = |act: &Act| -> Done {
                begins(caller, act, runs);
                // Not `panic!`: shuttle's hook would take it for the failure of the test.
                resume_unwind(Box::new("out of paper"))
            };
            drop(catch_unwind(AssertUnwindSafe(|| action.run(panics))));
        }
        1 => {
            let future = action.run_async(|act| {
                begins(caller, &act, runs);
                pending::<Done>()
            });
            let mut future = Box::pin(future);
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..thread_rng().gen_range(0..6) {
                if future.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                pause();
            }
        }
        2 => {
            let future = Box::pin(action.run_async(|act| {
                at = Some(begins(caller, &act, runs));
                ready(Done::Ok(()))
            }));
            let done = shuttle::future::block_on(future);
            told(done, at, runs);
        }
        _ => {
            let done = action.run(|act| {
                at = Some(begins(caller, act, runs));
                pauses(3);
                let inner = act.action(Event::new("agent:inner", "payment.check").unwrap());
                drop(inner.run(|act| {
                    begins(caller, act, runs);
                    if drawn == 3 { Ok(()) } else { Err(std::fmt::Error) }
                }));
                Done::Ok(())
            });
            told(done, at, runs);
        }
    }
}

fn told(done: Result<(), ActionError<(), std::fmt::Error>>, at: Option<usize>, runs: &Runs) {
    match (done, at) {
        (Ok(()), Some(at)) => runs.lock().unwrap()[at].1 = true,
        (Err(ActionError::NotRecorded(_)), None)
        | (Err(ActionError::OutcomeNotRecorded { .. }), Some(_)) => {}
        other => panic!("{other:?}"),
    }
}

fn has_its_intent(chain: &[Found], at: usize) -> bool {
    let cause = chain[at].cause.unwrap();
    let of = |found: &Found| found.event_id == cause && !found.event_type.ends_with(".result");
    chain[..at].iter().any(of)
}

/// Each outcome is behind its intent, and what was told is there.
fn is_consistent(verdict: &Verdict, runs: &Runs) {
    let chain = &verdict.chain;
    let is_outcome =
        |found: &Found| matches!(&*found.event_type, "payment.result" | "payment.error");
    let mut closed = BTreeMap::new();
    for (at, found) in chain.iter().enumerate().filter(|(_, found)| is_outcome(found)) {
        assert!(has_its_intent(chain, at), "an outcome without intent: {found:?}");
        let twice = closed.insert(found.cause.unwrap(), at);
        assert_eq!(twice, None, "two outcomes");
    }
    for (intent, is_told) in &*runs.lock().unwrap() {
        assert!(chain.iter().any(|found| found.event_id == *intent), "done, and not recorded");
        assert!(!is_told || closed.contains_key(intent), "told, and open");
    }
}

pub fn nothing_is_done_unrecorded() {
    let fail = if happens(60) { 20 } else { 0 };
    let temper = if happens(30) { Temper { refuse: 10, uncertain: 5 } } else { Temper::default() };
    let is_in_process = happens(60);
    let mood = Mood { fail, ..Mood::default() };
    let mut world = World::new(Setting { is_in_process, mood, temper, ..Setting::default() });
    let runs = Runs::default();
    for _ in 0..3 {
        let runs = Arc::clone(&runs);
        world.go(move |caller| {
            for _ in 0..2 {
                acts(caller, &runs);
            }
        });
    }
    if happens(20) {
        world.go(|caller| {
            pauses(40);
            drop(caller.ledger().close(crate::support::FOREVER));
        });
    }
    is_consistent(&world.end(), &runs);
}

const HALF_AN_HOUR: i64 = 1_800_000_000;

/// Asks, and acts on what it is allowed.
fn asks(caller: &mut Caller, reviews: &Reviews, done: &Mutex<Vec<(EventId, Receipt)>>) {
    let deadline = ValidTime::from_micros(START + HALF_AN_HOUR).unwrap();
    let intent = caller.event("payment.send");
    let Ok(request) = reviews.request(&Request::new(&intent, deadline)) else { return };
    let review = request.event_id;
    for _ in 0..4 {
        pauses(10);
        let Ok(approved) = reviews.approved(&review) else { continue };
        for _ in 0..2 {
            let action = caller.ledger().action(intent.clone()).after_review(&approved);
            drop(action.run(|act| {
                done.lock().unwrap().push((review, *act.intent()));
                Done::Ok(())
            }));
        }
    }
}

pub fn nothing_is_done_that_is_not_approved() {
    let mood = Mood { fail: if happens(50) { 15 } else { 0 }, ..Mood::default() };
    let mut world = World::new(Setting { is_in_process: happens(60), mood, ..Setting::default() });
    let reviews = world.ledger.reviews().unwrap();
    let done: Arc<Mutex<Vec<(EventId, Receipt)>>> = Arc::default();
    for _ in 0..2 {
        let (reviews, done) = (reviews.clone(), Arc::clone(&done));
        world.go(move |caller| asks(caller, &reviews, &done));
    }
    let names = Arc::new(AtomicUsize::new(0));
    for is_veto in [false, true] {
        let (reviews, names) = (reviews.clone(), Arc::clone(&names));
        world.go(move |_| {
            for _ in 0..3 {
                pauses(12);
                for pending in reviews.pending(2) {
                    let name = format!("human:{}", names.fetch_add(1, Ordering::SeqCst));
                    let decided = if is_veto && happens(50) {
                        reviews.veto(pending.id, &name, None)
                    } else {
                        reviews.approve(pending.id, &name, None)
                    };
                    drop(decided);
                }
            }
        });
    }
    let time = Arc::clone(&world.time);
    world.go(move |_| {
        pauses(60);
        if happens(50) {
            time.step();
        }
        drop(reviews.sweep("sweeper"));
    });
    let verdict = world.end();
    let chain = &verdict.chain;
    let mut used = BTreeMap::new();
    for (review, intent) in &*done.lock().unwrap() {
        assert_eq!(used.insert(*review, intent.sequence), None, "done twice");
        assert!(intent.stamp.micros() <= START + HALF_AN_HOUR, "done on an expired review");
        let at = usize::try_from(intent.sequence).unwrap();
        assert_eq!(chain[at].event_id, intent.event_id);
        let first = chain.iter().find(|found| {
            let is_decision = found.event_type != "review.request";
            found.cause == Some(*review) && found.event_type.starts_with("review.") && is_decision
        });
        let first = first.unwrap();
        assert_eq!(first.event_type, "review.approve", "done on a review that was vetoed");
        assert_eq!(chain[at].cause, Some(first.event_id));
    }
}
