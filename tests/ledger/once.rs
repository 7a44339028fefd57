//! Once and only once: ids that callers give, the same event again, another event under a used id, and whatever comes between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use sigchain::chainfile::{self, Form};
use sigchain::error::{AppendError, DecideError, Refusal};
use sigchain::event::Event;
use sigchain::frame::{Frame, Kind};
use sigchain::id::{EventId, SpanId, TraceId};
use sigchain::ledger::{Ledger, Options, Ticket};
use sigchain::payload::{Part, Payload};
use sigchain::receipt::Receipt;
use sigchain::stamp::ValidTime;
use sigchain::store::{Frames, Memory, Store};
use sigchain::verify::{Anchors, Verdict, Verifier};

use crate::ledger::support::{
    Answer, Gate, Hand, Handled, Moody, START, Scripted, Steered, Unsteady, Write, event, id, kept,
    ledger, ledger_with, places, until, verified, within,
};
use crate::support::{Random, entry_key, rounds};

const SOON: Duration = Duration::from_secs(20);

fn refusal(outcome: Result<impl std::fmt::Debug, AppendError>) -> Refusal {
    match outcome.unwrap_err() {
        AppendError::Refused(refusal) => refusal,
        other @ AppendError::Uncertain { .. } => panic!("{other}"),
    }
}

/// Verified, and no event id in it twice.
fn unique(ledger: &Ledger) -> u64 {
    let held = ledger.checkpoint().unwrap();
    let file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
    let verifier = Verifier::new().anchored(Anchors::new().checkpoint(held)).unique(true);
    let report = verifier.run(io::Cursor::new(file)).unwrap();
    assert!(report.unique);
    assert_eq!(report.verdict(), Verdict::Intact, "{:?}", report.faults);
    report.entries
}

#[test]
fn ids_that_the_ledger_makes_are_of_their_time_and_new() {
    let time = Steered::new();
    let ledger = ledger_with(Memory::new(), entry_key(), Options::new().time(time.clone()));
    let mut seen = BTreeSet::new();
    for number in 0..200 {
        let receipt = ledger.append(event(number)).unwrap();
        assert!(seen.insert(receipt.event_id));
        let micros = receipt.stamp.micros();
        assert_eq!(receipt.event_id.millis(), u64::try_from(micros / 1000).unwrap());
        assert!((0..2).contains(&(START + i64::try_from(number).unwrap() * 1000 - micros)));
        time.pass(1000);
    }
    // One that the ledger made is a caller's as well as any: again is again, and another is another.
    let first = ledger.entry(1).unwrap().unwrap().fields.event_id;
    assert_eq!(ledger.append(event(0).id(first)).unwrap().sequence, 1);
    assert!(matches!(refusal(ledger.append(event(1).id(first))), Refusal::IdUsed { .. }));
    assert_eq!(unique(&ledger), 201);
}

/// [S-unique-2] Ten minutes ahead of the stamp and no more.
#[test]
fn an_id_from_the_future_is_refused() {
    const AHEAD: u64 = 10 * 60 * 1000;
    let time = Steered::new();
    let options = Options::new().time(time.clone());
    let ledger = ledger_with(Memory::new(), entry_key(), options);
    let now = u64::try_from(START / 1000).unwrap();
    let at = |millis: u64, n: u8| EventId::new(millis, [n; 10]);
    ledger.append(event(1).id(at(now + AHEAD, 1))).unwrap();
    ledger.append_batch(vec![event(2), event(3).id(at(now + AHEAD, 2))]).unwrap();
    let late = at(now + AHEAD + 1, 3);
    let ahead =
        |refusal: Refusal| assert_eq!(refusal, Refusal::IdAhead { event_id: late, by: AHEAD + 1 });
    ahead(refusal(ledger.append(event(4).id(late))));
    ahead(refusal(ledger.submit(event(4).id(late))));
    ahead(refusal(ledger.append_batch(vec![event(4), event(5).id(late)])));
    let DecideError::Append(error) =
        ledger.append_with(|_| Ok::<_, ()>(event(4).id(late))).unwrap_err()
    else {
        panic!("declined")
    };
    ahead(refusal(Err::<(), _>(error)));
    assert_eq!(ledger.head().sequence, 3);
    // From the past, any; and a millisecond later that one too (stamps are rounded down, by less than a microsecond).
    ledger.append(event(6).id(at(0, 4))).unwrap();
    time.pass(1001);
    ledger.append(event(4).id(late)).unwrap();
    assert_eq!(unique(&ledger), 6);
}

fn trace(n: u8) -> TraceId {
    TraceId::from_bytes([n; 16]).unwrap()
}

fn span(n: u8) -> SpanId {
    SpanId::from_bytes([n; 8]).unwrap()
}

fn time(micros: i64) -> ValidTime {
    ValidTime::from_micros(micros).unwrap()
}

/// An event with every field.
fn full(actor: &str, event_type: &str) -> Event {
    let payload = Payload::new("text/plain", "what was done").unwrap();
    Event::new(actor, event_type)
        .unwrap()
        .id(id(7))
        .caused_by(id(1))
        .correlation("thread-1")
        .unwrap()
        .episode("run-1")
        .unwrap()
        .schema_version(2)
        .trace(trace(1), Some(span(1)))
        .valid(Some(time(10)), Some(time(20)))
        .unwrap()
        .payload(payload)
}

fn usual() -> Event {
    full("agent:planner", "test.call")
}

/// What of an event can differ, one thing at a time.
fn others() -> Vec<(&'static str, Event)> {
    let bare = || {
        let payload = Payload::new("text/plain", "what was done").unwrap();
        Event::new("agent:planner", "test.call").unwrap().id(id(7)).payload(payload)
    };
    let without = |with: fn(Event) -> Event| with(bare().schema_version(2));
    let payload = |media_type: &str, bytes: &[u8]| Payload::new(media_type, bytes).unwrap();
    let by_field = Payload::by_field([("x", "text/plain", &b"what was done"[..])]).unwrap();
    vec![
        ("actor", full("agent:planner2", "test.call")),
        ("causation_id", usual().caused_by(id(2))),
        (
            "causation_id",
            without(|event| {
                event
                    .correlation("thread-1")
                    .unwrap()
                    .episode("run-1")
                    .unwrap()
                    .trace(trace(1), Some(span(1)))
                    .valid(Some(time(10)), Some(time(20)))
                    .unwrap()
            }),
        ),
        ("correlation_id", usual().correlation("thread-2").unwrap()),
        (
            "correlation_id",
            without(|event| {
                event
                    .caused_by(id(1))
                    .episode("run-1")
                    .unwrap()
                    .trace(trace(1), Some(span(1)))
                    .valid(Some(time(10)), Some(time(20)))
                    .unwrap()
            }),
        ),
        ("episode_id", usual().episode("run-2").unwrap()),
        (
            "episode_id",
            without(|event| {
                event
                    .caused_by(id(1))
                    .correlation("thread-1")
                    .unwrap()
                    .trace(trace(1), Some(span(1)))
                    .valid(Some(time(10)), Some(time(20)))
                    .unwrap()
            }),
        ),
        ("event_type", full("agent:planner", "test.calls")),
        ("schema_version", usual().schema_version(3)),
        ("span_id", usual().trace(trace(1), Some(span(2)))),
        ("span_id", usual().trace(trace(1), None)),
        ("trace_id", usual().trace(trace(2), Some(span(1)))),
        ("valid_from", usual().valid(Some(time(11)), Some(time(20))).unwrap()),
        ("valid_from", usual().valid(None, Some(time(20))).unwrap()),
        ("valid_to", usual().valid(Some(time(10)), Some(time(21))).unwrap()),
        ("valid_to", usual().valid(Some(time(10)), None).unwrap()),
        ("payload", usual().payload(payload("text/plain", b"what was dome"))),
        ("payload", usual().payload(payload("text/plain", b""))),
        ("payload", usual().payload(payload("text/html", b"what was done"))),
        ("payload", usual().payload(Payload::empty())),
        ("payload", usual().payload(by_field)),
    ]
}

/// [S-unique-2] The same event under a used id gets the receipt of the first, and another event is refused; whichever way it comes.
#[test]
fn a_used_id_is_for_the_same_event() {
    let memory = Memory::new();
    let mut ledger = ledger_with(memory.clone(), entry_key(), Options::new().time(Steered::new()));
    ledger.append(event(1)).unwrap();
    let first = ledger.append(usual()).unwrap();
    for round in 0..2 {
        assert_eq!(ledger.append(usual()).unwrap(), first);
        assert_eq!(ledger.append_batch(vec![usual()]).unwrap(), [first]);
        assert_eq!(ledger.submit(usual()).unwrap().wait().unwrap(), first);
        assert_eq!(ledger.try_submit(usual()).unwrap().event_id(), Some(first.event_id));
        assert_eq!(ledger.append_with(|_| Ok::<_, ()>(usual())).unwrap(), first);
        // What it comes after is no part of it, since it is no part of the entry.
        assert_eq!(ledger.append(usual().after(first)).unwrap(), first);
        for (name, other) in others() {
            let wanted = Refusal::IdUsed { first: first.reference(), differs: name };
            assert_eq!(refusal(ledger.append(other.clone())), wanted);
            assert_eq!(refusal(ledger.submit(other.clone())), wanted);
            assert_eq!(refusal(ledger.append_batch(vec![event(8), other.clone()])), wanted);
            let declined = ledger.append_with(|_| Ok::<_, ()>(other)).unwrap_err();
            assert_eq!(declined, DecideError::Append(wanted.into()));
        }
        assert_eq!(ledger.head().sequence, 2, "round {round}");
        // And when it is opened again.
        ledger.close(SOON).unwrap();
        let options = Options::new().time(Steered::new());
        ledger = Ledger::open(memory.clone(), entry_key(), options).unwrap();
        ledger.sign_checkpoints_with(crate::support::checkpoint_key()).unwrap();
    }
    assert_eq!(unique(&ledger), 3);
}

/// The same while the first is on its way: the second waits for it and has its receipt, or its refusal.
#[test]
fn a_used_id_is_for_the_same_event_while_it_is_on_its_way() {
    for in_process in [true, false] {
        within(SOON, "on its way", move || {
            let signer = Scripted::new(entry_key(), in_process);
            let options = Options::new().time(Steered::new());
            let ledger = ledger_with(Memory::new(), signer.clone(), options);
            signer.then([Answer::Hang]);
            let going = ledger.clone();
            let first = thread::spawn(move || going.append(usual()));
            until("it is linked", || {
                ledger.append_with(|view| Err::<Event, _>(view.next)).unwrap_err()
                    == DecideError::Declined(2)
            });
            for (name, other) in others() {
                let Refusal::IdUsed { first, differs } = refusal(ledger.submit(other)) else {
                    panic!("{name}")
                };
                assert_eq!((first.sequence, differs), (1, name));
            }
            let again = ledger.submit(usual()).unwrap();
            let going = ledger.clone();
            let decided = thread::spawn(move || going.append_with(|_| Ok::<_, ()>(usual())));
            let going = ledger.clone();
            let batch = thread::spawn(move || going.append_batch(vec![usual()]));
            thread::sleep(Duration::from_millis(20));
            signer.let_go();
            let first = first.join().unwrap().unwrap();
            assert_eq!(again.wait().unwrap(), first);
            assert_eq!(decided.join().unwrap().unwrap(), first);
            assert_eq!(batch.join().unwrap().unwrap(), [first]);
            assert_eq!(unique(&ledger), 2);
        });
    }
}

/// [S-unique-2] An id whose first use was refused is as good as new, for any event.
#[test]
fn an_id_whose_first_use_was_refused_is_free() {
    for in_process in [true, false] {
        let (signer, store) = (Scripted::new(entry_key(), in_process), Unsteady::default());
        let options = Options::new().time(Steered::new());
        let ledger = ledger_with(store.clone(), signer.clone(), options);
        signer.then([Answer::Fail]);
        let why = refusal(ledger.append(event(1).id(id(7))));
        assert!(matches!(why, Refusal::Signer(_)));
        // What it left behind is listed first: that is signed too.
        signer.then([Answer::Sign, Answer::Panic]);
        let why = refusal(ledger.append_batch(vec![event(2).id(id(7)), event(3).id(id(8))]));
        assert_eq!(why, Refusal::SignerPanicked);
        until("the list is written", || ledger.head().sequence == 1);
        store.then([Write::Refuse]);
        let why = refusal(ledger.append(event(4).id(id(8))));
        assert!(matches!(why, Refusal::Store(_)));
        ledger.append_with(|_| Ok::<_, ()>(event(5).id(id(8)))).unwrap();
        let receipt = ledger.append(usual()).unwrap();
        assert_eq!(ledger.append(usual()).unwrap(), receipt);
        unique(&ledger);
    }
}

#[test]
fn a_batch_is_known_as_a_whole_or_not() {
    let ledger = ledger();
    let made = |n: u64| event(n).id(EventId::new(0, [u8::try_from(n).unwrap(); 10]));
    let one = ledger.append(made(1)).unwrap();
    let batch = ledger.append_batch(vec![made(2), made(3), made(4)]).unwrap();
    let head = ledger.head();
    assert_eq!(ledger.append_batch(vec![made(2), made(3), made(4)]).unwrap(), batch);
    let ticket = ledger.submit_batch(vec![made(2), made(3), made(4)]).unwrap();
    assert_eq!(ticket.event_ids(), batch.iter().map(|r| r.event_id).collect::<Vec<_>>());
    assert_eq!(ticket.wait().unwrap(), batch);
    assert_eq!(ledger.append(made(3)).unwrap(), batch[1]);
    for part in [
        vec![made(1), made(9)],
        vec![made(9), made(1)],
        vec![made(1), event(9)],
        vec![made(9), event(9), made(1)],
    ] {
        let wanted = Refusal::IdUsed { first: one.reference(), differs: "batch" };
        assert_eq!(refusal(ledger.append_batch(part)), wanted);
    }
    for twice in [vec![made(9), made(9)], vec![made(9), event(9), made(9)], vec![made(1), made(1)]]
    {
        let Refusal::Field(error) = refusal(ledger.append_batch(twice)) else { panic!() };
        assert_eq!(error.field, "event_id");
    }
    assert_eq!(ledger.head(), head);
    // The id that was in all of these is free.
    ledger.append(made(9)).unwrap();
    assert_eq!(unique(&ledger), 6);
}

#[test]
fn a_payload_by_field_is_the_same_in_any_order() {
    let ledger = ledger();
    let payload =
        |fields: &[(&str, &str, &[u8])]| Payload::by_field(fields.iter().copied()).unwrap();
    let of = |fields: &[(&str, &str, &[u8])]| {
        Event::new("a", "b.c").unwrap().id(EventId::new(0, [1; 10])).payload(payload(fields))
    };
    let (a, b, c): (_, _, (_, _, &[u8])) =
        (("a", "", &b"1"[..]), ("b", "text/plain", &b"2"[..]), ("c", "", b""));
    let first = ledger.append(of(&[a, b, c])).unwrap();
    for same in [[a, b, c], [c, b, a], [b, c, a]] {
        assert_eq!(ledger.append(of(&same)).unwrap(), first);
    }
    let whole = of(&[a]).payload(Payload::new("", "1").unwrap());
    let others = [
        of(&[a, b]),
        of(&[a, b, c, ("d", "", b"")]),
        of(&[a, b, ("d", "", b"")]),
        of(&[("a", "", b"2"), ("b", "text/plain", b"1"), c]),
        of(&[a, ("b", "text/html", b"2"), c]),
        whole,
    ];
    for other in others {
        let wanted = Refusal::IdUsed { first: first.reference(), differs: "payload" };
        assert_eq!(refusal(ledger.append(other)), wanted);
    }
    assert_eq!(unique(&ledger), 2);
}

/// What is done to a payload that lies in a store.
type Change = fn(&mut Part<'static>);

/// A store out of which payloads were taken since they were written.
#[derive(Debug)]
struct Altered {
    changes: BTreeMap<u64, Change>,
}

impl Hand for Altered {
    fn read(
        &self,
        memory: &Memory,
        first: u64,
        count: usize,
        frames: &mut Frames,
    ) -> io::Result<()> {
        let mut found = Frames::new();
        memory.read(first, count, &mut found)?;
        frames.clear();
        for frame in found.iter() {
            let Some(change) = self.changes.get(&frame.sequence) else {
                frames.push(frame.sequence, frame.left, frame.body);
                continue;
            };
            let Ok(Frame::Entry(written)) = Frame::parse(Kind::Entry, frame.left, frame.body)
            else {
                panic!("no entry")
            };
            let mut written = written.into_owned();
            change(&mut written.part);
            let (_, body) = chainfile::encode(&Frame::Entry(Box::new(written))).unwrap();
            frames.push(frame.sequence, frame.left, &body);
        }
        Ok(())
    }
}

/// [S-unique-2] Whether it is the same event cannot be told if the payload of the first is gone. It is said that it cannot.
#[test]
fn an_event_whose_payload_is_gone_cannot_be_compared() {
    let memory = Memory::new();
    let options = || Options::new().time(Steered::new());
    let ledger = ledger_with(memory.clone(), entry_key(), options());
    let fields = [("a", "", &b"1"[..]), ("b", "", &b"2"[..])];
    let parted =
        |n: u64| event(n).id(id(n)).payload(Payload::by_field(fields).unwrap()).schema_version(5);
    let first: Vec<Receipt> = vec![
        ledger.append(event(1).id(id(1))).unwrap(),
        ledger.append(event(2).id(id(2))).unwrap(),
        ledger.append(parted(3)).unwrap(),
        ledger.append(parted(4)).unwrap(),
    ];
    ledger.append(event(5)).unwrap();
    ledger.close(SOON).unwrap();
    let mut changes: BTreeMap<u64, Change> = BTreeMap::new();
    changes.insert(1, |part| *part = Part::Erased(5));
    changes.insert(2, |part| *part = Part::Withheld);
    changes.insert(3, |part| assert!(part.hide("b")));
    changes.insert(4, |part| assert!(part.hide("a") && part.hide("b")));
    let store = Handled { memory, hand: Altered { changes } };
    let ledger = Ledger::open(store, entry_key(), options()).unwrap();
    let again = [event(1).id(id(1)), event(2).id(id(2)), parted(3), parted(4)];
    for (event, first) in again.into_iter().zip(&first) {
        let wanted = Refusal::IdIncomparable { first: Box::new(*first) };
        assert_eq!(refusal(ledger.append(event.clone())), wanted);
        assert_eq!(refusal(ledger.submit(event.clone())), wanted);
        assert_eq!(refusal(ledger.append_batch(vec![event.clone()])), wanted);
        let declined = ledger.append_with(|_| Ok::<_, ()>(event.clone())).unwrap_err();
        assert_eq!(declined, DecideError::Append(wanted.clone().into()));
        // Another payload might be the one that is gone; another actor cannot be.
        let other = event.clone().payload(Payload::empty());
        assert_eq!(refusal(ledger.append(other)), wanted);
        let other = event.episode("run-9").unwrap();
        let wanted = Refusal::IdUsed { first: first.reference(), differs: "episode_id" };
        assert_eq!(refusal(ledger.append(other)), wanted);
    }
    assert_eq!(ledger.head().sequence, 5);
    assert_eq!(ledger.append(event(6)).unwrap().sequence, 6);
}

/// A store in which the second one who looks up an event finds nothing yet, and then stands at a gate.
#[derive(Clone, Debug)]
struct Slow {
    of: EventId,
    gate: Gate,
    looked: Arc<AtomicUsize>,
}

impl Hand for Slow {
    fn find(&self, memory: &Memory, event_id: &EventId) -> io::Result<Option<u64>> {
        let found = memory.find(event_id);
        let is_it = *event_id == self.of;
        // The first one is let through, and the third.
        if self.looked.fetch_add(usize::from(is_it), Ordering::SeqCst) == 1 && is_it {
            self.gate.pass();
        }
        found
    }
}

struct Shut(Gate);

impl Wake for Shut {
    fn wake(self: Arc<Self>) {
        self.0.pass();
    }
}

/// Whoever had an id and was refused must not give free what somebody else has claimed meanwhile: a third would come in, and the
/// event be there twice.
#[test]
fn a_claim_is_given_free_by_whoever_made_it() {
    within(SOON, "three with one id", || {
        let (gate, looked) = (Gate::default(), Arc::default());
        let store = Handled::new(Slow { of: id(7), gate: gate.clone(), looked });
        let signer = Scripted::new(entry_key(), true);
        let ledger =
            ledger_with(store.clone(), signer.clone(), Options::new().time(Steered::new()));
        // The first links its event and hangs in its signer; behind it is a ticket whose waker will hold it up.
        signer.then([Answer::HangThenFail]);
        let going = ledger.clone();
        let first = thread::spawn(move || going.append(event(7).id(id(7))));
        until("it is signed", || {
            ledger.append_with(|view| Err::<Event, _>(view.next)).unwrap_err()
                == DecideError::Declined(2)
        });
        let waker = Gate::default();
        let mut behind = ledger.submit(event(8)).unwrap();
        let woken = Waker::from(Arc::new(Shut(waker.clone())));
        assert!(
            std::pin::Pin::new(&mut behind).poll(&mut Context::from_waker(&woken)).is_pending()
        );
        // Both are given up, and the first one's thread stands at the waker: its event's id is free, its claim not yet gone.
        signer.let_go();
        waker.wait_for(1);
        let going = ledger.clone();
        let second = thread::spawn(move || going.append(event(7).id(id(7))));
        gate.wait_for(1);
        waker.open();
        assert!(matches!(refusal(first.join().unwrap()), Refusal::Signer(_)));
        let going = ledger.clone();
        let third = thread::spawn(move || going.append(event(7).id(id(7))));
        thread::sleep(Duration::from_millis(100));
        gate.open();
        let second = second.join().unwrap().unwrap();
        assert_eq!(third.join().unwrap().unwrap(), second);
        drop(behind.wait());
        assert_eq!(places(&kept(&store.memory))[&7], second.sequence);
        unique(&ledger);
    });
}

/// Who must not block does not wait until somebody else has looked its id up.
#[test]
fn who_must_not_block_is_told_that_an_id_is_being_looked_up() {
    within(SOON, "busy", || {
        let (gate, looked) = (Gate::default(), Arc::new(AtomicUsize::new(1)));
        let store = Handled::new(Slow { of: id(7), gate: gate.clone(), looked });
        let ledger = ledger_with(store, entry_key(), Options::new().time(Steered::new()));
        let going = ledger.clone();
        let first = thread::spawn(move || going.append(event(7).id(id(7))));
        gate.wait_for(1);
        assert_eq!(refusal(ledger.try_submit(event(7).id(id(7)))), Refusal::IdBusy);
        let going = ledger.clone();
        let patient = thread::spawn(move || going.submit(event(7).id(id(7))).map(Ticket::wait));
        ledger.try_submit(event(8).id(id(8))).unwrap().wait().unwrap();
        gate.open();
        let first = first.join().unwrap().unwrap();
        assert_eq!(patient.join().unwrap().unwrap().unwrap(), first);
        assert_eq!(ledger.try_submit(event(7).id(id(7))).unwrap().wait().unwrap(), first);
        unique(&ledger);
    });
}

/// Notes that it was woken.
struct Noted(AtomicUsize);

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Each ticket has one waker, the last that it was polled with, though several wait for the same call.
#[test]
fn a_ticket_keeps_the_last_of_its_wakers() {
    within(SOON, "wakers", || {
        let signer = Scripted::new(entry_key(), false);
        let options = Options::new().time(Steered::new());
        let ledger = ledger_with(Memory::new(), signer.clone(), options);
        signer.then([Answer::Hang]);
        let mut tickets: Vec<_> =
            (0..3).map(|_| ledger.submit(event(7).id(id(7))).unwrap()).collect();
        let mut poll = |which: usize, noted: &Arc<Noted>| {
            let waker = Waker::from(Arc::clone(noted));
            let polled =
                std::pin::Pin::new(&mut tickets[which]).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        };
        let mut last: Vec<Arc<Noted>> = Vec::new();
        for round in 0..300 {
            let noted = Arc::new(Noted(AtomicUsize::new(0)));
            poll(round % 3, &noted);
            // The same once more is nothing new.
            poll(round % 3, &noted);
            assert_eq!(Arc::strong_count(&noted), 2);
            last.push(noted);
            if last.len() > 3 {
                let before = last.remove(0);
                assert_eq!(Arc::strong_count(&before), 1, "round {round}: kept");
            }
        }
        signer.let_go();
        until("all are woken", || last.iter().all(|noted| noted.0.load(Ordering::SeqCst) == 1));
        assert!(last.iter().all(|noted| Arc::strong_count(noted) == 1));
        let receipts: Vec<_> = tickets.into_iter().map(|ticket| ticket.wait().unwrap()).collect();
        assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    });
}

/// Batches with the same ids in other orders, at once: nobody holds one id and waits for another.
#[test]
fn batches_with_the_same_ids_do_not_wait_for_each_other() {
    within(SOON, "crossed batches", || {
        let signer = Moody::new(entry_key(), true, 5, 7);
        let ledger = ledger_with(Memory::new(), signer, Options::new().time(Steered::new()));
        let of = |first: u64, turned: bool| {
            let mut events: Vec<Event> = (first..first + 3).map(|n| event(n).id(id(n))).collect();
            if turned {
                events.reverse();
            }
            events
        };
        thread::scope(|scope| {
            for thread in 0..6 {
                let ledger = &ledger;
                scope.spawn(move || {
                    for round in 0..200 {
                        let outcome = ledger.append_batch(of(round * 3, thread % 2 == 0));
                        match outcome {
                            Ok(receipts) => assert_eq!(receipts.len(), 3),
                            // The same events in another order are another batch.
                            Err(AppendError::Refused(Refusal::IdUsed { differs, .. })) => {
                                assert_eq!(differs, "batch");
                            }
                            Err(AppendError::Refused(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        unique(&ledger);
    });
}

/// One submission of a random sequence.
#[derive(Clone, Debug)]
enum Asked {
    Append(u64, u64),
    Batch(Vec<(u64, u64)>),
    Submit(u64, u64),
    Decide(u64, u64),
}

fn asked(random: &mut Random) -> Asked {
    let mut one = || (random.next() % 6, random.next() % 8 / 7);
    let (which, number) = one();
    match which {
        0 | 1 => Asked::Append(one().0, number),
        2 | 3 => Asked::Batch((0..=number + 1).map(|_| one()).collect()),
        4 => Asked::Submit(one().0, number),
        _ => Asked::Decide(one().0, number),
    }
}

/// Two events for each of six ids.
fn of((which, kind): (u64, u64)) -> Event {
    event(which * 10 + kind).id(id(which))
}

/// [S-unique-2] Whatever is submitted under six ids, by however many, with signers and stores that fail: each is there at most once,
/// all receipts for it are the same one, and whoever got none under an id that is taken was told why.
#[test]
fn random_submissions_are_recorded_at_most_once() {
    for seed in 0..u64::try_from(rounds(150, 20_000)).unwrap() {
        within(SOON, &format!("seed {seed}"), move || submissions(seed));
    }
}

fn submissions(seed: u64) {
    let mut random = Random::new(seed);
    let threads = 1 + random.below(4);
    let signer = Moody::new(entry_key(), random.below(2) == 0, seed, random.below(2) * 9);
    let store = Unsteady::default();
    let fails = random.below(2) == 0;
    let options = Options::new().time(Steered::new()).queue(1 + random.below(6), 1 << 20);
    let ledger = ledger_with(store.clone(), signer, options);
    store.then(
        (0..20).map(|_| if fails && random.below(8) == 0 { Write::Refuse } else { Write::Well }),
    );
    let receipts: Vec<((u64, u64), Receipt)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let ledger = &ledger;
                let random = Random::new(seed * 7 + u64::try_from(thread).unwrap());
                scope.spawn(move || one_thread(ledger, random))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let chain = kept(&store.memory);
    let places = places(&chain);
    let mut firsts = BTreeMap::new();
    for ((which, kind), receipt) in receipts {
        assert_eq!(receipt.event_id, id(which));
        assert_eq!(places.get(&(which * 10 + kind)), Some(&receipt.sequence), "seed {seed}");
        assert_eq!(*firsts.entry(which).or_insert(receipt), receipt, "seed {seed}");
    }
    // The other event of an id is nowhere.
    let taken =
        |which: &u64| (0..2).filter(|kind| places.contains_key(&(which * 10 + kind))).count();
    assert!((0..6).all(|which| taken(&which) <= 1), "seed {seed}");
    unique(&ledger);
    verified(&ledger);
}

/// What one thread submits. Gives what it has receipts for.
fn one_thread(ledger: &Ledger, mut random: Random) -> Vec<((u64, u64), Receipt)> {
    let mut got = Vec::new();
    let mut tickets: Vec<((u64, u64), Ticket)> = Vec::new();
    for _ in 0..12 {
        let asked = asked(&mut random);
        let outcome = match asked.clone() {
            Asked::Append(which, kind) => {
                ledger.append(of((which, kind))).map(|receipt| vec![((which, kind), receipt)])
            }
            Asked::Submit(which, kind) => ledger.submit(of((which, kind))).map(|ticket| {
                tickets.push(((which, kind), ticket));
                Vec::new()
            }),
            Asked::Decide(which, kind) => {
                match ledger.append_with(|_| Ok::<_, ()>(of((which, kind)))) {
                    Ok(receipt) => Ok(vec![((which, kind), receipt)]),
                    Err(DecideError::Append(error)) => Err(error),
                    Err(DecideError::Declined(())) => panic!("declined"),
                }
            }
            Asked::Batch(all) => ledger
                .append_batch(all.iter().copied().map(of).collect())
                .map(|receipts| all.into_iter().zip(receipts).collect()),
        };
        match outcome {
            Ok(receipts) => got.extend(receipts),
            Err(error) => is_understood(&error),
        }
    }
    for (asked, ticket) in tickets {
        match ticket.wait() {
            Ok(receipt) => got.push((asked, receipt)),
            Err(error) => is_understood(&error),
        }
    }
    got
}

fn is_understood(error: &AppendError) {
    let AppendError::Refused(refusal) = error else { panic!("{error}") };
    assert!(
        matches!(
            refusal,
            Refusal::IdUsed { .. }
                | Refusal::Field(_)
                | Refusal::IdBusy
                | Refusal::Signer(_)
                | Refusal::SignerFalse
                | Refusal::SignerPanicked
                | Refusal::Store(_)
                | Refusal::Abandoned
        ),
        "{refusal}"
    );
}
