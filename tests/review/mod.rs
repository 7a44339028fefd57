//! Reviews: who decides, until when, and what may be done on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use sigchain::action::ActionError;
use sigchain::clock::Time;
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::intent::Asked;
use sigchain::ledger::{Ledger, Options};
use sigchain::payload::{Part, Payload};
use sigchain::review::{Approved, Request, ReviewError, Reviews, Standing};
use sigchain::stamp::ValidTime;
use sigchain::store::Memory;

use crate::ledger::support::{START, Steered, id, ledger, ledger_with, types, verified};
use crate::support::entry_key;

const SECOND: i64 = 1_000_000;
/// Microseconds that a stamp shows whatever it is rounded to.
const MOMENT: i64 = 2;

#[derive(Debug, PartialEq, Eq)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

fn pay(sum: u32) -> Event {
    let payload = Payload::new("application/json", json!({"sum": sum}).to_string()).unwrap();
    Event::new("agent:planner", "payment.send").unwrap().episode("run-7").unwrap().payload(payload)
}

/// A ledger whose clock stands where it is put, and its reviews.
fn steered() -> (Arc<Steered>, Ledger, Reviews) {
    let time = Steered::new();
    let options = Options::new().time(time.clone());
    let ledger = ledger_with(Memory::new(), entry_key(), options);
    let reviews = ledger.reviews().unwrap();
    (time, ledger, reviews)
}

/// So many seconds behind the start.
fn at(seconds: i64) -> ValidTime {
    ValidTime::from_micros(START + seconds * SECOND).unwrap()
}

fn far() -> ValidTime {
    ValidTime::parse("2099-12-31T00:00:00.000000Z").unwrap()
}

fn asked(reviews: &Reviews, intent: &Event, deadline: ValidTime) -> EventId {
    reviews.request(&Request::new(intent, deadline)).unwrap().event_id
}

fn approved(reviews: &Reviews, intent: &Event, deadline: ValidTime) -> Approved {
    let review = asked(reviews, intent, deadline);
    reviews.approve(review, "human:ada", None).unwrap();
    reviews.approved(&review).unwrap()
}

fn last(ledger: &Ledger) -> Written<'static> {
    ledger.entry(ledger.head().sequence).unwrap().unwrap()
}

fn payload(written: &Written<'_>) -> serde_json::Value {
    let Part::Whole(leaf) = &written.part else { panic!() };
    serde_json::from_slice(&leaf.bytes).unwrap()
}

/// Runs it, and counts that.
fn act(
    ledger: &Ledger,
    approved: &Approved,
    intent: Event,
    runs: &AtomicUsize,
) -> Option<ReviewError> {
    let done = ledger.action(intent).after_review(approved).run(|_| {
        runs.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Broken>(())
    });
    match done {
        Ok(()) => None,
        Err(ActionError::NotAllowed(error)) => Some(*error),
        Err(other) => panic!("{other}"),
    }
}

/// [S-review-3]
#[test]
fn what_is_approved_is_done_once() {
    let ledger = ledger();
    let reviews = ledger.reviews().unwrap();
    let intent = pay(5);
    let receipt = reviews.request(&Request::new(&intent, far()).reason("it is due")).unwrap();
    let review = receipt.event_id;
    let request = last(&ledger);
    assert_eq!(request.fields.event_type, "review.request");
    assert_eq!(request.fields.episode_id.as_deref(), Some("run-7"));
    let said = payload(&request);
    assert_eq!(
        said["proposal"],
        json!({"actor": "agent:planner", "type": "payment.send", "payload": {"sum": 5}})
    );
    assert_eq!((&said["reason"], &said["capture"]), (&json!("it is due"), &json!("gate")));
    assert_eq!(reviews.standing(&review), Standing::Pending { missing: 1 });
    let error = reviews.approved(&review).unwrap_err();
    assert!(matches!(error, ReviewError::NotApproved { .. }), "{error}");
    let approval = reviews.approve(review, "human:ada", Some("fine")).unwrap();
    let decision = last(&ledger);
    assert_eq!(decision.fields.causation_id, Some(review));
    assert_eq!(decision.fields.episode_id.as_deref(), Some("run-7"));
    assert_eq!(payload(&decision), json!({"capture": "gate", "reason": "fine"}));
    assert_eq!(reviews.standing(&review), Standing::Approved { by: approval.event_id });
    let approved = reviews.approved(&review).unwrap();
    let runs = AtomicUsize::new(0);
    assert_eq!(act(&ledger, &approved, intent.clone(), &runs), None);
    let sent = ledger.entry(ledger.head().sequence - 1).unwrap().unwrap();
    assert_eq!(sent.fields.causation_id, Some(approval.event_id));
    let by = sent.fields.event_id;
    assert_eq!(reviews.standing(&review), Standing::Used { by });
    let again = act(&ledger, &approved, intent, &runs);
    assert_eq!(again, Some(ReviewError::NotApproved { standing: Standing::Used { by } }));
    assert!(reviews.approved(&review).is_err());
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(verified(&ledger), 5);
}

#[test]
fn an_approval_is_for_one_intent_of_one_actor() {
    let ledger = ledger();
    let reviews = ledger.reviews().unwrap();
    let approved = approved(&reviews, &pay(5), far());
    let runs = AtomicUsize::new(0);
    let head = ledger.head();
    assert!(matches!(
        act(&ledger, &approved, pay(6), &runs),
        Some(ReviewError::OtherIntent { .. })
    ));
    let call =
        Event::new("agent:planner", "payment.make").unwrap().payload(pay(5).payload_ref().clone());
    assert!(matches!(act(&ledger, &approved, call, &runs), Some(ReviewError::OtherIntent { .. })));
    let other =
        Event::new("agent:other", "payment.send").unwrap().payload(pay(5).payload_ref().clone());
    assert!(matches!(act(&ledger, &approved, other, &runs), Some(ReviewError::OtherActor { .. })));
    let elsewhere = crate::ledger::support::ledger();
    assert_eq!(act(&elsewhere, &approved, pay(5), &runs), Some(ReviewError::OtherLedger));
    assert_eq!((ledger.head(), runs.load(Ordering::SeqCst)), (head, 0));
    assert_eq!(act(&ledger, &approved, pay(5), &runs), None);
}

/// [S-review-1]
#[test]
fn nobody_decides_for_himself() {
    let ledger = ledger();
    let reviews = ledger.reviews().unwrap();
    let intent = pay(5);
    let review = reviews.request(&Request::new(&intent, far()).by("agent:asker")).unwrap().event_id;
    let head = ledger.head();
    for own in ["agent:planner", "agent:asker"] {
        let error = reviews.approve(review, own, None).unwrap_err();
        assert_eq!(error, ReviewError::Own { actor: own.to_owned() });
        assert!(matches!(reviews.veto(review, own, None), Err(ReviewError::Own { .. })));
    }
    assert_eq!(ledger.head(), head, "nothing is recorded");
    // Nor by an entry that says so all the same.
    let forged = Event::new("agent:planner", "review.approve").unwrap().caused_by(review);
    ledger.append(forged).unwrap();
    assert_eq!(reviews.standing(&review), Standing::Pending { missing: 1 });
}

#[test]
fn a_policy_says_who_and_how_many() {
    let ledger = ledger();
    let reviews = ledger.reviews().unwrap();
    let intent = pay(5);
    let names = ["human:ada", "human:bob", "human:eve"];
    let request = Request::new(&intent, far()).approvals(2).reviewers(names);
    let review = reviews.request(&request).unwrap().event_id;
    let error = reviews.approve(review, "human:mallory", None).unwrap_err();
    assert_eq!(error, ReviewError::NotReviewer { actor: "human:mallory".to_owned() });
    reviews.approve(review, "human:ada", None).unwrap();
    assert_eq!(reviews.standing(&review), Standing::Pending { missing: 1 });
    let error = reviews.approve(review, "human:ada", None).unwrap_err();
    assert_eq!(error, ReviewError::Twice { actor: "human:ada".to_owned() });
    let forged = Event::new("human:ada", "review.approve").unwrap().caused_by(review);
    ledger.append(forged).unwrap();
    assert_eq!(reviews.standing(&review), Standing::Pending { missing: 1 });
    let second = reviews.approve(review, "human:bob", None).unwrap();
    assert_eq!(reviews.standing(&review), Standing::Approved { by: second.event_id });
    // Decided is decided.
    let late = reviews.veto(review, "human:eve", None).unwrap_err();
    assert!(matches!(late, ReviewError::Over { standing: Standing::Approved { .. } }), "{late}");
    // One veto is enough, whoever approved before.
    let review = reviews.request(&Request::new(&intent, far()).approvals(3)).unwrap().event_id;
    reviews.approve(review, "human:ada", None).unwrap();
    let veto = reviews.veto(review, "human:bob", Some("too much")).unwrap();
    assert_eq!(reviews.standing(&review), Standing::Vetoed { by: veto.event_id });
    assert!(matches!(reviews.approve(review, "human:eve", None), Err(ReviewError::Over { .. })));
    assert!(reviews.approved(&review).is_err());
    // Whoever approved may think better of it.
    let review = reviews.request(&Request::new(&intent, far()).approvals(2)).unwrap().event_id;
    reviews.approve(review, "human:ada", None).unwrap();
    let veto = reviews.veto(review, "human:ada", None).unwrap();
    assert_eq!(reviews.standing(&review), Standing::Vetoed { by: veto.event_id });
    for unfit in [
        Request::new(&intent, far()).approvals(0),
        Request::new(&intent, far()).approvals(65),
        Request::new(&intent, far()).reviewers([]),
        Request::new(&intent, far()).reviewers(["human:ada"; 65]),
        Request::new(&intent, far()).reviewers(["a\nb"]),
        Request::new(&intent, far()).approvals(2).reviewers(["human:ada", "human:ada"]),
        Request::new(&intent, far())
            .by("human:bo")
            .approvals(2)
            .reviewers(["human:ada", "human:bo"]),
        Request::new(&intent, far()).reviewers(["agent:planner"]),
    ] {
        assert!(matches!(reviews.request(&unfit), Err(ReviewError::Field(_))));
    }
}

/// [S-review-2]
#[test]
fn silence_is_a_veto() {
    let (time, ledger, reviews) = steered();
    let intent = pay(5);
    let review = asked(&reviews, &intent, at(10));
    time.pass(10 * SECOND);
    // To the very moment it can be decided.
    let in_time = asked(&reviews, &intent, at(10));
    reviews.approve(in_time, "human:ada", None).unwrap();
    time.pass(MOMENT);
    let error = reviews.approve(review, "human:ada", None).unwrap_err();
    assert_eq!(error, ReviewError::Expired { deadline: at(10) });
    // That somebody asked is when it is recorded.
    assert_eq!(last(&ledger).fields.event_type, "review.expire");
    assert_eq!(last(&ledger).fields.causation_id, Some(review));
    assert_eq!(reviews.standing(&review), Standing::Over);
    let head = ledger.head();
    assert!(matches!(reviews.approve(review, "human:ada", None), Err(ReviewError::Over { .. })));
    assert!(matches!(
        reviews.request(&Request::new(&intent, at(10))),
        Err(ReviewError::Expired { .. })
    ));
    assert_eq!(ledger.head(), head);
    // Late entries count for nothing, whoever wrote them.
    let review = asked(&reviews, &intent, at(20));
    time.pass(20 * SECOND);
    ledger.append(Event::new("human:ada", "review.approve").unwrap().caused_by(review)).unwrap();
    assert_eq!(reviews.standing(&review), Standing::Pending { missing: 1 });
    // And nobody expires what is not due.
    let review = asked(&reviews, &intent, at(100));
    ledger.append(Event::new("human:ada", "review.expire").unwrap().caused_by(review)).unwrap();
    assert_eq!(reviews.standing(&review), Standing::Pending { missing: 1 });
}

/// The caller's own words about time, and a cause from elsewhere that is ahead, change nothing for the better.
#[test]
fn the_ledgers_own_clock_judges() {
    let (time, ledger, reviews) = steered();
    let review = asked(&reviews, &pay(5), at(10));
    // Stamps never go back: what is set back is the wall clock, and not the time of the chain.
    time.pass(11 * SECOND);
    ledger.append(crate::ledger::support::event(1)).unwrap();
    time.step(-11 * SECOND);
    let error = reviews.approve(review, "human:ada", None).unwrap_err();
    assert_eq!(error, ReviewError::Expired { deadline: at(10) });
}

#[test]
fn an_approval_ends_with_the_deadline_too() {
    let (time, ledger, reviews) = steered();
    let approved = approved(&reviews, &pay(5), at(10));
    let runs = AtomicUsize::new(0);
    time.pass(10 * SECOND + MOMENT);
    let head = ledger.head();
    assert_eq!(
        act(&ledger, &approved, pay(5), &runs),
        Some(ReviewError::Expired { deadline: at(10) })
    );
    assert_eq!((ledger.head(), runs.load(Ordering::SeqCst)), (head, 0));
    // It is forgotten with the next entry.
    ledger.append(crate::ledger::support::event(1)).unwrap();
    assert_eq!(reviews.standing(&approved.review()), Standing::Over);
}

#[test]
fn a_sweep_expires_what_is_due() {
    let (time, ledger, reviews) = steered();
    for seconds in [30, 10, 20, 10] {
        asked(&reviews, &pay(1), at(seconds));
    }
    assert_eq!(reviews.next_deadline(), Some(at(10)));
    assert_eq!(reviews.sweep("operator").unwrap(), 0);
    time.pass(20 * SECOND);
    assert_eq!(reviews.sweep("operator").unwrap(), 2);
    let sequences: Vec<_> = reviews.pending(10).iter().map(|pending| pending.sequence).collect();
    assert_eq!(sequences, [3, 1]);
    time.pass(MOMENT);
    assert_eq!(reviews.sweep("operator").unwrap(), 1);
    assert_eq!((reviews.sweep("operator").unwrap(), reviews.next_deadline()), (0, Some(at(30))));
    let expired = types(&ledger).iter().filter(|name| *name == "review.expire").count();
    assert_eq!((expired, last(&ledger).fields.actor.as_ref()), (3, "operator"));
}

/// Of many who act on one approval one does; of many who decide one is first.
#[test]
fn races_have_one_winner() {
    let ledger = ledger();
    let reviews = ledger.reviews().unwrap();
    for round in 0..20 {
        let review = asked(&reviews, &pay(round), far());
        let (decided, runs) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for n in 0..3 {
                let (reviews, ledger, decided, runs) = (&reviews, &ledger, &decided, &runs);
                scope.spawn(move || {
                    let done = if n == 0 {
                        reviews.veto(review, "human:v", None)
                    } else {
                        reviews.approve(review, &format!("human:{n}"), None)
                    };
                    decided.fetch_add(usize::from(done.is_ok()), Ordering::SeqCst);
                    if let Ok(approved) = reviews.approved(&review) {
                        act(ledger, &approved, pay(round), runs);
                    }
                });
            }
        });
        assert_eq!(decided.load(Ordering::SeqCst), 1);
        let is_used = matches!(reviews.standing(&review), Standing::Used { .. });
        assert_eq!(runs.load(Ordering::SeqCst), usize::from(is_used));
    }
    verified(&ledger);
}

/// A clock that goes on by so many seconds at one of the next times that it is asked.
#[derive(Debug)]
struct Leaping {
    steered: Arc<Steered>,
    calls: AtomicUsize,
}

impl Time for Leaping {
    fn wall(&self) -> i64 {
        let calls = &self.calls;
        let left = calls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left == Ok(1) {
            self.steered.pass(20 * SECOND);
        }
        self.steered.wall()
    }

    fn elapsed(&self) -> u64 {
        self.steered.elapsed()
    }
}

/// The deadline passes while a decision, or an intent, is on its way to its place: what counts is the stamp that it gets there.
#[test]
fn the_deadline_passes_in_between() {
    let (mut late_decisions, mut late_intents) = (0, 0);
    for (calls, is_decision) in (0..12).flat_map(|n| [(n, true), (n, false)]) {
        let time = Arc::new(Leaping { steered: Steered::new(), calls: AtomicUsize::new(0) });
        let options = Options::new().time(time.clone());
        let ledger = ledger_with(Memory::new(), entry_key(), options);
        let reviews = ledger.reviews().unwrap();
        let review = asked(&reviews, &pay(5), at(10));
        let runs = AtomicUsize::new(0);
        if is_decision {
            time.calls.store(calls, Ordering::SeqCst);
            let decided = reviews.approve(review, "human:ada", None);
            time.calls.store(0, Ordering::SeqCst);
            match decided {
                Ok(receipt) => assert!(receipt.stamp.micros() <= at(10).micros()),
                Err(error) => {
                    assert_eq!(error, ReviewError::Expired { deadline: at(10) });
                    let types = types(&ledger);
                    assert!(types.iter().any(|name| name == "review.expire"), "{types:?}");
                    late_decisions +=
                        usize::from(types.iter().any(|name| name == "review.approve"));
                }
            }
            continue;
        }
        reviews.approve(review, "human:ada", None).unwrap();
        let approved = reviews.approved(&review).unwrap();
        time.calls.store(calls, Ordering::SeqCst);
        let error = act(&ledger, &approved, pay(5), &runs);
        time.calls.store(0, Ordering::SeqCst);
        let all: Vec<_> =
            (0..=ledger.head().sequence).map(|at| ledger.entry(at).unwrap().unwrap()).collect();
        let intent = all.iter().find(|written| written.fields.event_type == "payment.send");
        let is_late = |written: &Written<'_>| written.fields.system_time.micros() > at(10).micros();
        if intent.is_some_and(is_late) {
            late_intents += 1;
            assert_eq!(payload(all.last().unwrap())["kind"], "cancelled");
        }
        let is_done = intent.is_some_and(|intent| !is_late(intent));
        assert_eq!(runs.load(Ordering::SeqCst), usize::from(is_done));
        assert_eq!(error.is_none(), is_done);
    }
    assert!(late_decisions > 0 && late_intents > 0, "{late_decisions}, {late_intents}");
}

/// What is pending is there again when the ledger is opened.
#[test]
fn reviews_outlast_the_process() {
    let store = Memory::new();
    let first = ledger_with(store.clone(), entry_key(), Options::new());
    let reviews = first.reviews().unwrap();
    let pending = asked(&reviews, &pay(1), far());
    let vetoed = asked(&reviews, &pay(2), far());
    reviews.veto(vetoed, "human:ada", None).unwrap();
    let approval = approved(&reviews, &pay(3), far());
    first.close(Duration::from_secs(5)).unwrap();
    drop((first, reviews));
    let again = Ledger::open(store, entry_key(), Options::new()).unwrap();
    let reviews = again.reviews().unwrap();
    assert_eq!(reviews.standing(&pending), Standing::Pending { missing: 1 });
    assert!(matches!(reviews.standing(&vetoed), Standing::Vetoed { .. }));
    let approval = reviews.approved(&approval.review()).unwrap();
    let runs = AtomicUsize::new(0);
    assert_eq!(act(&again, &approval, pay(3), &runs), None);
    reviews.approve(pending, "human:ada", None).unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// As a future, too.
#[test]
fn a_future_is_done_after_review() {
    let ledger = ledger();
    let reviews = ledger.reviews().unwrap();
    let approved = approved(&reviews, &pay(5), far());
    for is_first in [true, false] {
        let action = ledger.action(pay(5)).after_review(&approved);
        let done = crate::action::block_on(action.run_async(async |_| Ok::<_, Broken>(7)));
        match done {
            Ok(7) => assert!(is_first),
            Err(ActionError::NotAllowed(error)) => {
                assert!(!is_first && matches!(*error, ReviewError::NotApproved { .. }));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Requests that are ill-formed can be approved by nobody; those of another kind allow no action.
#[test]
fn what_is_no_intent_allows_no_action() {
    let ledger = ledger();
    let reviews = ledger.reviews().unwrap();
    let plain = json!({"deadline": "2099-12-31T00:00:00Z", "proposal": "shall we?"});
    let payload = Payload::new("application/json", plain.to_string()).unwrap();
    let request = Event::new("agent:a", "review.request").unwrap().payload(payload);
    let review = ledger.append(request).unwrap().event_id;
    reviews.approve(review, "human:ada", None).unwrap();
    assert_eq!(reviews.approved(&review).unwrap_err(), ReviewError::NoIntent);
    let unknown = reviews.approve(id(77), "human:ada", None).unwrap_err();
    assert_eq!(unknown, ReviewError::Over { standing: Standing::Over });
}

/// People decide by what they are shown: a request whose commitment is another intent's allows neither.
#[test]
fn what_is_shown_is_what_is_allowed() {
    let ledger = ledger();
    let reviews = ledger.reviews().unwrap();
    let runs = AtomicUsize::new(0);
    for (shown, meant, is_allowed) in [(5, 5000, false), (5000, 5000, true)] {
        let proposal =
            json!({"actor": "agent:planner", "type": "payment.send", "payload": {"sum": shown}});
        let commitment = Asked::of(&pay(meant)).commitment.to_string();
        let asked = json!({"deadline": "2099-12-31T00:00:00Z", "proposal": proposal, "commitment": commitment});
        let payload = Payload::new("application/json", asked.to_string()).unwrap();
        let request = Event::new("agent:a", "review.request").unwrap().payload(payload);
        let review = ledger.append(request).unwrap().event_id;
        reviews.approve(review, "human:ada", None).unwrap();
        match reviews.approved(&review) {
            Ok(approved) => {
                assert!(is_allowed);
                assert!(act(&ledger, &approved, pay(5), &runs).is_some());
                assert_eq!(act(&ledger, &approved, pay(meant), &runs), None);
            }
            Err(error) => assert_eq!((error, is_allowed), (ReviewError::NoIntent, false)),
        }
    }
    assert_eq!(runs.into_inner(), 1);
}

/// Many that wait cost little: nothing else about the ledger gets slower with them.
#[test]
fn ten_thousand_wait() {
    let (time, ledger, reviews) = steered();
    let all: Vec<_> = (0..10_000)
        .map(|n| {
            let intent = pay(n);
            (n, intent)
        })
        .collect();
    let started = Instant::now();
    let ids: Vec<_> = all
        .iter()
        .map(|(n, intent)| asked(&reviews, intent, at(1000 + i64::from(n % 100))))
        .collect();
    let asking = started.elapsed();
    assert_eq!(reviews.pending(usize::MAX).len(), 10_000);
    assert_eq!(reviews.next_deadline(), Some(at(1000)));
    let started = Instant::now();
    for review in &ids[..1000] {
        reviews.approve(*review, "human:ada", None).unwrap();
    }
    let approving = started.elapsed();
    time.pass(1000 * SECOND + MOMENT);
    assert_eq!(reviews.sweep("operator").unwrap(), 90);
    let started = Instant::now();
    let again = ledger.reviews().unwrap();
    let attaching = started.elapsed();
    assert_eq!(again.pending(usize::MAX).len(), 8910);
    assert_eq!(again.pending(usize::MAX), reviews.pending(usize::MAX));
    let each = |time: Duration, n: u32| time / n;
    tell(&format!(
        "reviews: {:?} a request, {:?} an approval with 10,000 waiting, {attaching:?} to build again",
        each(asking, 10_000),
        each(approving, 1000),
    ));
    // Ten times what was measured.
    assert!(each(approving, 1000) < Duration::from_millis(5));
}

#[expect(clippy::print_stderr, reason = "what is measured is told")]
fn tell(what: &str) {
    eprintln!("{what}");
}
