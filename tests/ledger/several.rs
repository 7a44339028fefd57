//! Events that are signed several at a time: tickets that gather, batches, and signers that fail in the middle of either.
//!
//! What gathers is signed a millisecond later at the latest. Where a test has to look at it before, the thread of the ledger's own that
//! would do it is held up in the store.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use sigchain::digest::Digest;
use sigchain::error::{AppendError, Refusal};
use sigchain::key::{PublicKey, Purpose, Signature, SigningKey};
use sigchain::ledger::{Ledger, Options, Ticket};
use sigchain::receipt::Receipt;
use sigchain::signer::{SEVERAL, Signer, SignerError, Statement};
use sigchain::store::{Memory, Store, StoreError, Stored};

use crate::ledger::support::{
    Gate, Hand, Handled, event, id, kept, ledger_with, listed, places, types, until, verified,
    within,
};
use crate::support::{entry_key, second_entry_key};

const SOON: Duration = Duration::from_secs(20);

/// What a signer does when it is asked for several signatures at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// So many, and an error.
    Fail(usize),
    /// So many, and no word about the others.
    Few(usize),
    /// All of them, the one at this place with a bit turned.
    Lie(usize),
    /// More than it was asked for.
    Many,
    Panic,
}

/// A key in this process that is asked for several signatures at once, and does as it is told the next time.
#[derive(Clone, Debug)]
pub struct Bundler {
    key: SigningKey,
    answer: Arc<Mutex<Option<Answer>>>,
    /// Digests of each call.
    seen: Arc<Mutex<Vec<Vec<Digest>>>>,
}

impl Bundler {
    fn new(key: SigningKey) -> Self {
        Self { key, answer: Arc::default(), seen: Arc::default() }
    }

    fn next(&self, answer: Answer) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    /// How many digests it was asked for, call by call.
    pub fn asked(&self) -> Vec<usize> {
        self.seen.lock().unwrap().iter().map(Vec::len).collect()
    }

    /// Forgets what it was asked for.
    fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }
}

impl Signer for Bundler {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        if let Statement::Digest(Purpose::Entry, digest) = statement {
            self.seen.lock().unwrap().push(vec![**digest]);
        }
        Signer::sign(&self.key, statement)
    }

    fn at_once(&self) -> usize {
        // No more than it is asked for all the same.
        SEVERAL * 2
    }

    fn sign_several(
        &self,
        purpose: Purpose,
        digests: &[Digest],
    ) -> (Vec<Signature>, Option<SignerError>) {
        self.seen.lock().unwrap().push(digests.to_vec());
        let mut signatures = self.key.sign_several(purpose, digests);
        let answer = self.answer.lock().unwrap().take();
        match answer {
            None => {}
            Some(Answer::Fail(count)) => {
                signatures.truncate(count);
                return (signatures, Some(SignerError::new("it was told to")));
            }
            Some(Answer::Few(count)) => signatures.truncate(count),
            Some(Answer::Lie(place)) => {
                let mut bytes = *signatures[place].as_bytes();
                bytes[40] ^= 4;
                signatures[place] = Signature::new(bytes);
            }
            Some(Answer::Many) => signatures.extend_from_within(..1),
            Some(Answer::Panic) => std::panic::resume_unwind(Box::new("it was told to")),
        }
        (signatures, None)
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

/// A store that hangs in its next write, if it is told to.
#[derive(Clone, Debug, Default)]
struct Stuck {
    is_told: Arc<Mutex<bool>>,
    gate: Gate,
}

impl Hand for Stuck {
    fn commit(&self, memory: &Memory, group: &[Stored]) -> Result<(), StoreError> {
        let is_told = std::mem::take(&mut *self.is_told.lock().unwrap());
        if is_told {
            self.gate.pass();
        }
        memory.commit(group)
    }
}

/// A ledger whose own thread is held up in the store, with the ticket of event 0: what is submitted now stays as it is.
pub struct Scene {
    pub ledger: Ledger,
    pub signer: Bundler,
    store: Handled<Stuck>,
    pub first: Ticket,
}

impl Scene {
    pub fn new(options: Options) -> Self {
        let (signer, store) = (Bundler::new(entry_key()), Handled::<Stuck>::default());
        let ledger = ledger_with(store.clone(), signer.clone(), options);
        *store.hand.is_told.lock().unwrap() = true;
        let first = ledger.submit(event(0)).unwrap();
        store.hand.gate.wait_for(1);
        signer.forget();
        Self { ledger, signer, store, first }
    }

    pub fn submit(&self, numbers: Range<u64>) -> Vec<Ticket> {
        numbers.map(|number| self.ledger.submit(event(number)).unwrap()).collect()
    }

    /// Lets the ledger's own thread go on.
    pub fn let_go(&self) {
        self.store.hand.gate.open();
    }

    /// Numbers of the events, in the order of the chain.
    pub fn numbers(&self) -> Vec<u64> {
        let kept = kept(&self.store.memory);
        kept.iter().filter_map(crate::ledger::support::number).collect()
    }
}

fn outcomes(tickets: Vec<Ticket>) -> Vec<Result<Receipt, AppendError>> {
    tickets.into_iter().map(Ticket::wait).collect()
}

#[test]
fn tickets_are_signed_sixteen_at_once() {
    within(SOON, "sixteen", || {
        let scene = Scene::new(Options::new().verify_own(true));
        let mut tickets = scene.submit(1..16);
        assert!(scene.signer.asked().is_empty(), "{:?}", scene.signer.asked());
        // The sixteenth has all of them signed, there and then.
        tickets.extend(scene.submit(16..17));
        assert_eq!(scene.signer.asked(), [16]);
        // The next ones are the first of others. A batch stays together and is signed as it comes.
        tickets.extend(scene.submit(17..22));
        let batch = scene.ledger.submit_batch((22..42).map(event).collect()).unwrap();
        assert_eq!(scene.signer.asked(), [16, 16, 9]);
        scene.let_go();
        let mut receipts: Vec<_> = outcomes(tickets).into_iter().collect::<Result<_, _>>().unwrap();
        receipts.extend(batch.wait().unwrap());
        assert!(receipts.iter().map(|receipt| receipt.sequence).eq(2..43));
        assert_eq!(scene.first.wait().unwrap().sequence, 1);
        let seen = scene.signer.seen.lock().unwrap().concat();
        assert!(receipts.iter().map(|receipt| receipt.digest).eq(seen));
        assert_eq!(verified(&scene.ledger), 43);
    });
}

/// Wherever it fails among sixteen tickets: those before have receipts, those from there on are refused, and all that it was shown
/// of them is listed.
#[test]
fn a_signer_that_fails_among_several_costs_what_comes_from_there() {
    for count in 0..16 {
        for answer in [Answer::Fail(count), Answer::Few(count), Answer::Lie(count)] {
            fails_among_tickets(answer, count, Options::new().verify_own(true));
        }
        fails_among_tickets(Answer::Fail(count), count, Options::new());
    }
    for own in [true, false] {
        // Which it was that it panicked over nobody knows.
        fails_among_tickets(Answer::Panic, 0, Options::new().verify_own(own));
        fails_among_tickets(Answer::Many, 16, Options::new().verify_own(own));
    }
}

fn fails_among_tickets(answer: Answer, count: usize, options: Options) {
    within(SOON, &format!("{answer:?}"), move || {
        let scene = Scene::new(options);
        let mut tickets = scene.submit(1..16);
        scene.signer.next(answer);
        tickets.extend(scene.submit(16..17));
        assert_eq!(scene.signer.asked(), [16]);
        // Linked behind what was given up, and not with it.
        let behind = scene.submit(17..20);
        scene.let_go();
        let outcomes = outcomes(tickets);
        for (place, outcome) in outcomes.iter().enumerate() {
            let refusal = match outcome {
                Ok(receipt) => {
                    assert!(place < count, "{answer:?}, {place}: {receipt:?}");
                    continue;
                }
                Err(AppendError::Refused(refusal)) => refusal,
                Err(error) => panic!("{error}"),
            };
            let is_right = match (answer, refusal) {
                (_, Refusal::Abandoned) => place > count,
                (Answer::Fail(_) | Answer::Few(_), Refusal::Signer(_))
                | (Answer::Lie(_), Refusal::SignerFalse)
                | (Answer::Panic, Refusal::SignerPanicked) => place == count,
                _ => false,
            };
            assert!(is_right, "{answer:?}, {place}: {refusal}");
        }
        let goes_on = scene.ledger.append(event(20)).unwrap();
        for ticket in behind {
            assert!(ticket.wait().unwrap().sequence < goes_on.sequence);
        }
        let shown = scene.signer.seen.lock().unwrap().first().unwrap().clone();
        is_listed(&scene.ledger, &shown[count..], 2 + u64::try_from(count).unwrap());
        let kept: Vec<u64> = (0..=u64::try_from(count).unwrap()).chain(17..21).collect();
        assert_eq!(scene.numbers(), kept, "{answer:?}");
        verified(&scene.ledger);
    });
}

/// Listed are these and no others, from this sequence on.
fn is_listed(ledger: &Ledger, digests: &[Digest], first: u64) {
    let expected: Vec<_> =
        (first..).zip(digests).map(|(at, digest)| (at, digest.as_bytes().to_vec())).collect();
    assert_eq!(listed(ledger), expected);
}

/// A batch is signed sixteen at once too. If that fails it is gone as a whole, and what was not yet shown to the signer is not listed.
#[test]
fn of_a_batch_that_fails_only_what_was_shown_is_listed() {
    for count in 0..16 {
        for answer in [Answer::Fail(count), Answer::Few(count), Answer::Lie(count), Answer::Panic] {
            let signer = Bundler::new(entry_key());
            let options = Options::new().verify_own(true);
            let ledger = ledger_with(Memory::new(), signer.clone(), options);
            ledger.append_batch((0..40).map(event).collect()).unwrap();
            assert_eq!(signer.asked(), [1, 16, 16, 8]);
            signer.forget();
            signer.next(answer);
            let refused = ledger.append_batch((40..80).map(event).collect()).unwrap_err();
            assert!(matches!(refused, AppendError::Refused(_)), "{answer:?}: {refused}");
            assert_eq!(signer.asked(), [16]);
            let shown = signer.seen.lock().unwrap().concat();
            ledger.append(event(80)).unwrap();
            is_listed(&ledger, &shown, 41);
            assert_eq!(types(&ledger)[41..], ["chain.abandoned", "test.call"]);
            verified(&ledger);
        }
    }
}

/// Several calls are signed at once, and the one that fails is in the middle of them.
#[test]
fn of_gathered_batches_those_before_the_failure_are_whole() {
    for count in 0..15 {
        within(SOON, &format!("batches, {count}"), move || {
            let scene = Scene::new(Options::new());
            let batch = |from: u64, count: u64| {
                let events = (from..from + count).map(event).collect();
                scene.ledger.submit_batch(events).unwrap()
            };
            let (first, second) = (batch(1, 6), batch(7, 9));
            assert!(scene.signer.asked().is_empty());
            scene.signer.next(Answer::Fail(count));
            // All three are seventeen: sixteen are shown at once, and the last one never.
            let third = batch(16, 2);
            assert_eq!(scene.signer.asked(), [16]);
            scene.let_go();
            let outcomes = [first.wait(), second.wait(), third.wait()];
            let good = usize::from(count >= 6);
            for (place, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    Ok(receipts) => assert!(place < good && receipts.len() > 1, "{outcomes:?}"),
                    Err(AppendError::Refused(Refusal::Signer(_))) => assert_eq!(place, good),
                    Err(AppendError::Refused(Refusal::Abandoned)) => assert!(place > good),
                    Err(error) => panic!("{error}"),
                }
            }
            scene.ledger.append(event(20)).unwrap();
            let shown = scene.signer.seen.lock().unwrap().first().unwrap().clone();
            let from = good * 6;
            is_listed(&scene.ledger, &shown[from..], 2 + u64::try_from(from).unwrap());
            verified(&scene.ledger);
        });
    }
}

/// A key that says that it is asked for several at once, and leaves to the trait how.
#[derive(Clone, Debug)]
struct Plain {
    key: SigningKey,
    asked: Arc<AtomicUsize>,
    /// At which call it fails, counted from one.
    fails: Arc<AtomicUsize>,
}

impl Signer for Plain {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        if self.asked.fetch_add(1, Ordering::SeqCst) + 1 == self.fails.load(Ordering::SeqCst) {
            return Err(SignerError::new("it was told to"));
        }
        Signer::sign(&self.key, statement)
    }

    fn at_once(&self) -> usize {
        SEVERAL
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

/// What the trait does of itself is one after the other, up to the first that fails.
#[test]
fn a_signer_of_single_signatures_gives_several() {
    let (asked, fails) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let signer = Plain { key: entry_key(), asked: Arc::clone(&asked), fails: Arc::clone(&fails) };
    let digests: Vec<_> = (0..40_u8).map(|n| Digest::of(&[&[n]])).collect();
    let expected = entry_key().sign_several(Purpose::Seal, &digests);
    for count in 0..=40 {
        asked.store(0, Ordering::SeqCst);
        fails.store(count, Ordering::SeqCst);
        let (signatures, error) = signer.sign_several(Purpose::Seal, &digests);
        let made = count.checked_sub(1).unwrap_or(40);
        assert_eq!(signatures, expected[..made]);
        assert_eq!(error.is_some(), count > 0);
        assert_eq!(asked.load(Ordering::SeqCst), (made + 1).min(40));
    }
    // In a ledger all that it was to be shown is listed: where it stopped looking is not known.
    fails.store(0, Ordering::SeqCst);
    let ledger = ledger_with(Memory::new(), signer, Options::new());
    asked.store(0, Ordering::SeqCst);
    fails.store(20, Ordering::SeqCst);
    ledger.append_batch((0..40).map(event).collect()).unwrap_err();
    ledger.append(event(40)).unwrap();
    assert_eq!(listed(&ledger).len(), 32);
    verified(&ledger);
}

#[test]
fn what_gathers_is_recorded_though_nobody_waits() {
    let signer = Bundler::new(entry_key());
    let store = Memory::new();
    let ledger = ledger_with(store.clone(), signer, Options::new());
    let mut next = 0;
    for count in 1..40 {
        for _ in 0..count {
            drop(ledger.submit(event(next)).unwrap());
            next += 1;
        }
        until("all are recorded", || places(&kept(&store)).len() == usize::try_from(next).unwrap());
    }
    assert_eq!(verified(&ledger), next + 1);
    // And though the last handle goes.
    drop(ledger.submit(event(next)).unwrap());
    drop(ledger);
    until("the last is recorded", || places(&kept(&store)).contains_key(&next));
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future until it is ready, and no more often than it is woken.
fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) =
            std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(&waker))
        {
            return output;
        }
        thread::park();
    }
}

#[test]
fn a_gathered_ticket_that_is_polled_ends() {
    within(SOON, "polled", || {
        let ledger = ledger_with(Memory::new(), Bundler::new(entry_key()), Options::new());
        for number in 0..200 {
            let ticket = ledger.submit(event(number)).unwrap();
            assert_eq!(block_on(ticket).unwrap().sequence, number + 1);
        }
        // The last of them first; and one whose signer fails.
        let tickets: Vec<_> =
            (200..210).map(|number| ledger.submit(event(number)).unwrap()).collect();
        let ended = tickets.into_iter().rev().map(|ticket| block_on(ticket).unwrap().sequence);
        assert!(ended.eq((201..211).rev()));
        verified(&ledger);
        let scene = Scene::new(Options::new());
        let mut tickets = scene.submit(1..16);
        scene.signer.next(Answer::Fail(3));
        tickets.extend(scene.submit(16..17));
        scene.let_go();
        let ended: Vec<bool> = tickets.into_iter().map(|ticket| block_on(ticket).is_ok()).collect();
        assert!(ended.iter().enumerate().all(|(place, is_ok)| *is_ok == (place < 3)), "{ended:?}");
    });
}

/// Whoever waits does not wait for the ledger's own thread: it has signed what gathers before it.
#[test]
fn an_append_signs_what_gathers_before_it() {
    within(SOON, "an append", || {
        let scene = Scene::new(Options::new());
        let tickets = scene.submit(1..6);
        let ledger = scene.ledger.clone();
        let appending = thread::spawn(move || ledger.append(event(6)));
        until("what gathers is signed", || scene.signer.asked().contains(&5));
        // One of the tickets is waited for while two more gather; these are signed as well.
        let more = scene.submit(7..9);
        let mut tickets = tickets.into_iter();
        let ticket = tickets.next().unwrap();
        let waiting = thread::spawn(move || ticket.wait());
        until("these are signed", || scene.signer.asked().contains(&2));
        scene.let_go();
        assert_eq!(waiting.join().unwrap().unwrap().sequence, 2);
        assert_eq!(appending.join().unwrap().unwrap().sequence, 7);
        let sequences: Vec<_> =
            tickets.chain(more).map(|ticket| ticket.wait().unwrap().sequence).collect();
        assert_eq!(sequences, [3, 4, 5, 6, 8, 9]);
        assert_eq!(scene.numbers(), (0..9).collect::<Vec<_>>());
    });
}

/// Whoever waits for room has what gathers signed: it would wait for it otherwise.
#[test]
fn what_gathers_makes_room() {
    within(SOON, "room", || {
        let scene = Scene::new(Options::new().queue(4, 1 << 20));
        let tickets = scene.submit(1..4);
        let full = scene.ledger.try_submit(event(4)).unwrap_err();
        assert_eq!(full, AppendError::Refused(Refusal::Full));
        assert!(scene.signer.asked().is_empty());
        let ledger = scene.ledger.clone();
        let waiting = thread::spawn(move || ledger.submit(event(4)).map(Ticket::wait));
        until("what gathers is signed", || scene.signer.asked() == [3]);
        scene.let_go();
        assert_eq!(waiting.join().unwrap().unwrap().unwrap().sequence, 5);
        assert!(outcomes(tickets).into_iter().all(|outcome| outcome.is_ok()));
    });
}

#[test]
fn closing_records_what_gathers() {
    within(SOON, "closing", || {
        let scene = Scene::new(Options::new());
        let tickets = scene.submit(1..8);
        let ledger = scene.ledger.clone();
        let closing = thread::spawn(move || ledger.close(SOON));
        until("it takes no more", || format!("{:?}", scene.ledger).contains("Closing"));
        scene.let_go();
        assert_eq!(closing.join().unwrap().unwrap().size, 9);
        assert!(outcomes(tickets).into_iter().all(|outcome| outcome.is_ok()));
        assert_eq!(verified(&scene.ledger), 9);
    });
}

/// When the deadline passes, what gathers is refused and named, and no signer has seen it.
#[test]
fn closing_refuses_what_gathers_when_the_deadline_passes() {
    within(SOON, "a deadline", || {
        let scene = Scene::new(Options::new());
        let given = |number: u64| scene.ledger.submit(event(number).id(id(number))).unwrap();
        let tickets: Vec<_> = (1..8).map(given).collect();
        let error = scene.ledger.close(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.refused, (1..8).map(id).collect::<Vec<_>>());
        assert_eq!((error.in_doubt.len(), error.unlisted), (1, 0), "{error}");
        let refused = |outcome: Result<Receipt, AppendError>| outcome.unwrap_err();
        let mut refused = outcomes(tickets).into_iter().map(refused);
        assert_eq!(refused.next().unwrap(), AppendError::Refused(Refusal::Closed));
        assert!(refused.all(|error| error == AppendError::Refused(Refusal::Abandoned)));
        scene.let_go();
        assert_eq!(scene.ledger.close(SOON).unwrap().size, 2);
        assert!(scene.signer.asked().is_empty());
    });
}

/// What gathers is signed by the key under which it was linked.
#[test]
fn a_change_of_keys_comes_after_what_gathers() {
    within(SOON, "a change", || {
        let scene = Scene::new(Options::new());
        let tickets = scene.submit(1..8);
        let ledger = scene.ledger.clone();
        let second = Bundler::new(second_entry_key());
        let next = second.clone();
        let rotating = thread::spawn(move || ledger.rotate(next));
        until("what gathers is signed", || scene.signer.asked().contains(&7));
        scene.let_go();
        assert_eq!(rotating.join().unwrap().unwrap().sequence, 9);
        assert!(outcomes(tickets).into_iter().all(|outcome| outcome.is_ok()));
        let after = scene.ledger.submit(event(8)).unwrap().wait().unwrap();
        assert_eq!(after.signer, second_entry_key().id());
        assert_eq!(second.asked(), [1]);
        verified(&scene.ledger);
    });
}
