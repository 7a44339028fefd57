//! What goes wrong around a ledger: signers that never answer or answer slowly, stores that hang, deadlines, two ledgers over
//! one store, a reader that panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sigchain::error::{AppendError, Refusal};
use sigchain::id::EventId;
use sigchain::key::{PublicKey, Signature, SigningKey};
use sigchain::ledger::{Attached, Ledger, Options};
use sigchain::projection::{Item, Projection};
use sigchain::replay::Tally;
use sigchain::signer::{Signer, SignerError, Statement};
use sigchain::store::{Memory, Store, StoreError, Stored};

use crate::ledger::support::{
    Answer, Counted, Hand, Handled, Scripted, Unsteady, Write, event, genesis, id, ledger,
    ledger_with, listed, types, verified,
};
use crate::support::{entry_key, second_entry_key};

const SOON: Duration = Duration::from_secs(20);

/// A store that takes its time.
#[derive(Debug, Default)]
struct Slow {
    millis: AtomicUsize,
    /// Nothing is written while somebody has it.
    hold: Mutex<()>,
}

impl Hand for Slow {
    fn commit(&self, memory: &Memory, group: &[Stored]) -> Result<(), StoreError> {
        let millis = self.millis.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(u64::try_from(millis).unwrap()));
        let _held = self.hold.lock();
        memory.commit(group)
    }
}

/// Whoever waits for room leads; if it is refused afterwards, what was signed meanwhile still has somebody who writes it.
#[test]
fn a_helper_that_is_refused_leaves_nobody_behind() {
    let store = Arc::new(Handled::<Slow>::default());
    let options = Options::new().queue(4, 1 << 20).signer_time(Duration::from_secs(3600));
    let ledger = ledger_with(store.clone(), entry_key(), options);
    for round in 0..5 {
        store.hand.millis.store(60, Ordering::SeqCst);
        let tickets: Vec<_> = (0..2).map(|n| ledger.submit(event(n)).unwrap()).collect();
        let ahead = EventId::new(u64::MAX >> 16, [7; 10]);
        let helper = ledger.clone();
        let helping = thread::spawn(move || {
            helper.append_batch(vec![event(3), event(4), event(5).id(ahead)]).unwrap_err()
        });
        thread::sleep(Duration::from_millis(20));
        let neighbour = ledger.clone();
        let appending = thread::spawn(move || neighbour.append(event(6)));
        let start = Instant::now();
        while !appending.is_finished() {
            assert!(start.elapsed() < SOON, "round {round}: nobody writes the neighbour's entry");
            thread::sleep(Duration::from_millis(5));
        }
        appending.join().unwrap().unwrap();
        let refused = helping.join().unwrap();
        assert!(matches!(refused, AppendError::Refused(Refusal::IdAhead { .. })), "{refused}");
        for ticket in tickets {
            ticket.wait().unwrap();
        }
    }
}

#[test]
fn signers_that_hang_keep_no_other_from_being_asked() {
    let hanging = Scripted::new(entry_key(), false);
    let options = Options::new().signer_time(Duration::from_millis(400)).signing_threads(2);
    let ledger = ledger_with(Memory::new(), hanging.clone(), options);
    ledger
        .apply(ledger.propose_enrolment(&second_entry_key(), sigchain::key::Role::Entry).unwrap())
        .unwrap();
    hanging.then((0..4).map(|_| Answer::Hang));
    for number in 0..4 {
        let refused = ledger.append(event(number)).unwrap_err();
        assert_eq!(refused, AppendError::Refused(Refusal::SignerTime));
    }
    let healthy = Scripted::new(second_entry_key(), false);
    ledger.sign_with(healthy.clone()).unwrap();
    ledger.append(event(9)).unwrap();
    assert_eq!(listed(&ledger).len(), 4);
    hanging.let_go();
    verified(&ledger);
}

/// A signer that takes 25 ms for each.
struct Unhurried(SigningKey);

impl Signer for Unhurried {
    fn public(&self) -> &PublicKey {
        self.0.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        thread::sleep(Duration::from_millis(25));
        Signer::sign(&self.0, statement)
    }
}

/// Its time begins when a signer is asked: neither the queue before it nor the other events of a batch count.
#[test]
fn a_slow_signer_is_not_a_hanging_one() {
    let options = Options::new().signer_time(Duration::from_secs(2));
    let ledger = ledger_with(Memory::new(), Unhurried(entry_key()), options);
    ledger.append_batch((0..100).map(event).collect()).unwrap();
    let tickets: Vec<_> = (0..350).map(|n| ledger.submit(event(n)).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert_eq!(listed(&ledger), []);
    assert_eq!(verified(&ledger), 451);
}

#[test]
fn closing_keeps_its_deadline_and_names_what_is_in_doubt() {
    let store = Arc::new(Handled::<Slow>::default());
    let ledger = ledger_with(store.clone(), entry_key(), Options::new());
    // It hangs until the ledger has been closed: a close that waited for it would never come back.
    let hold = store.hand.hold.lock().unwrap();
    let ticket = ledger.submit(event(1).id(id(1))).unwrap();
    let error = ledger.close(Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.in_doubt, [id(1)], "{error}");
    drop(hold);
    // Closed again it waits again, and by then it is known.
    assert_eq!(ledger.close(SOON).unwrap().size, 2);
    assert_eq!(ticket.wait().unwrap().sequence, 1);
}

/// The end of a batch that is on its way is not a batch.
#[test]
fn part_of_a_batch_on_its_way_is_not_the_whole() {
    let signer = Scripted::new(entry_key(), false);
    let ledger = ledger_with(Memory::new(), signer.clone(), Options::new());
    signer.then([Answer::Hang]);
    let of = |number: u64| event(number).id(id(number));
    let whole = ledger.submit_batch((1..4).map(of).collect()).unwrap();
    for part in [2..4, 1..3] {
        let refused = ledger.append_batch(part.map(of).collect()).unwrap_err();
        let is_batch =
            matches!(refused, AppendError::Refused(Refusal::IdUsed { differs: "batch", .. }));
        assert!(is_batch, "{refused}");
    }
    let again = ledger.submit_batch((1..4).map(of).collect()).unwrap();
    signer.let_go();
    assert_eq!(again.wait().unwrap(), whole.wait().unwrap());
    assert_eq!(verified(&ledger), 4);
}

#[test]
fn what_an_uncertain_write_left_in_doubt_is_named_at_the_end() {
    let store = Unsteady::default();
    let ledger = ledger_with(store.clone(), entry_key(), Options::new());
    store.then([Write::UncertainLost]);
    let batch = vec![event(1).id(id(1)), event(2).id(id(2))];
    let uncertain = ledger.append_batch(batch).unwrap_err();
    let AppendError::Uncertain { event_id, others, .. } = uncertain else { panic!("{uncertain}") };
    assert_eq!((event_id, others), (id(1), vec![id(2)]));
    assert_eq!(ledger.close(SOON).unwrap_err().in_doubt, [id(1), id(2)]);
}

#[test]
fn two_ledgers_over_one_store_do_not_share_a_sequence() {
    let memory = Memory::new();
    let first = Ledger::create(memory.clone(), genesis(entry_key()), Options::new()).unwrap();
    let second = Ledger::open(memory.clone(), entry_key(), Options::new()).unwrap();
    let receipt = first.append(event(1)).unwrap();
    let refused = second.append(event(2)).unwrap_err();
    assert!(matches!(refused, AppendError::Refused(Refusal::Store(_))), "{refused}");
    assert_eq!(first.append(event(3)).unwrap().sequence, receipt.sequence + 1);
    assert_eq!(verified(&first), 3);
    assert!(!format!("{memory:?} {first:?}").contains("\"n\""));
}

#[test]
fn a_reader_that_panics_ends_nothing() {
    let ledger = ledger();
    let attached = ledger.attach(Tally::default()).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| attached.read(|_| panic!("a reader"))));
    assert!(panicked.is_err());
    ledger.append(event(1)).unwrap();
}

/// Nobody looks at it any more: it is not kept up to date, and nothing of it is left.
#[test]
fn a_projection_goes_with_the_last_who_could_read_it() {
    let ledger = ledger();
    let alive = Arc::new(());
    let attach = || {
        let counted = Counted::default();
        let (seen, counted) = (counted.fuse.clone(), Kept { counted, _alive: Arc::clone(&alive) });
        (seen, ledger.attach(counted).unwrap())
    };
    let ((first_fuse, first), (_, second), (third_fuse, third)) = (attach(), attach(), attach());
    let count = |attached: &Attached<Kept>| attached.read(|view| view.state.counted.seen.len());
    ledger.append(event(1)).unwrap();
    let clone = first.clone();
    drop(first);
    ledger.append(event(2)).unwrap();
    assert_eq!([&clone, &second, &third].map(count), [Some(3); 3]);
    drop(clone);
    drop(third);
    // It would panic if it were folded.
    first_fuse.light(1);
    third_fuse.light(1);
    ledger.append(event(3)).unwrap();
    assert!(first_fuse.put_out() && third_fuse.put_out());
    // The place of another is nobody's by mistake.
    let (_, fourth) = attach();
    ledger.append(event(4)).unwrap();
    assert_eq!([&second, &fourth].map(count), [Some(5); 2]);
    drop((second, fourth));
    assert_eq!(Arc::strong_count(&alive), 1);
    verified(&ledger);
}

/// A projection, and something by which it can be seen whether it is there.
#[derive(Clone)]
struct Kept {
    counted: Counted,
    _alive: Arc<()>,
}

impl Projection for Kept {
    fn apply(&mut self, item: &Item<'_>) {
        self.counted.apply(item);
    }
}

/// A signer that is down for long costs its own attempts, and when it is back all of them are listed.
#[test]
fn thousands_of_abandoned_digests_are_listed_in_the_end() {
    const FAILURES: usize = 4200;
    let signer = Scripted::new(entry_key(), true);
    let ledger = ledger_with(Memory::new(), signer.clone(), Options::new());
    signer.then((0..FAILURES).map(|_| Answer::Fail));
    for number in 0..FAILURES {
        ledger.append(event(u64::try_from(number).unwrap())).unwrap_err();
    }
    ledger.append(event(1)).unwrap();
    assert_eq!(listed(&ledger).len(), FAILURES);
    let found = types(&ledger);
    assert_eq!(found.iter().filter(|name| *name == "chain.abandoned").count(), 5);
    verified(&ledger);
}
