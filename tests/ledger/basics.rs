//! Appends, batches, tickets, and what happens when signers and stores fail.

use std::thread;
use std::time::Duration;

use sigchain::error::{AppendError, Refusal};
use sigchain::key::SigningKey;
use sigchain::ledger::{Ledger, Options};
use sigchain::reserved::{Cause, Reserved};
use sigchain::store::Memory;

use crate::ledger::support::{
    Answer, Scripted, Steered, Unsteady, Write, event, ledger, ledger_with, listed, types, verified,
};
use crate::support::entry_key;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn an_append_gives_the_next_sequence() {
    let ledger = ledger();
    for sequence in 1..=5 {
        let receipt = ledger.append(event(sequence)).unwrap();
        assert_eq!(receipt.sequence, sequence);
        assert_eq!(ledger.head().digest, receipt.digest);
        assert!(receipt.is_signed_by(entry_key().public()));
        assert_eq!(ledger.find(&receipt.event_id).unwrap(), Some(receipt));
    }
    assert_eq!(verified(&ledger), 6);
    assert_eq!(ledger.close(SOON).unwrap().size, 6);
    let refused = ledger.append(event(9)).unwrap_err();
    assert_eq!(refused, AppendError::Refused(Refusal::Closed));
}

#[test]
fn a_batch_is_in_a_row() {
    let ledger = ledger();
    let receipts = ledger.append_batch((0..100).map(event).collect()).unwrap();
    let sequences: Vec<_> = receipts.iter().map(|receipt| receipt.sequence).collect();
    assert_eq!(sequences, (1..=100).collect::<Vec<_>>());
    let left: Vec<_> = (1..=100).map(|at| ledger.entry(at).unwrap().unwrap().left).collect();
    assert_eq!(left, (0..100).rev().collect::<Vec<u16>>());
    assert_eq!(verified(&ledger), 101);
    for wrong in [0, 4097] {
        let events = (0..wrong).map(event).collect();
        let refused = ledger.append_batch(events).unwrap_err();
        assert!(matches!(refused, AppendError::Refused(Refusal::Batch { .. })), "{refused}");
    }
}

#[test]
fn a_dropped_ticket_is_recorded_all_the_same() {
    let ledger = ledger();
    for number in 0..500 {
        drop(ledger.submit(event(number)).unwrap());
    }
    let last = ledger.submit(event(500)).unwrap();
    assert_eq!(last.wait().unwrap().sequence, 501);
    drop(ledger.submit(event(501)).unwrap());
    assert_eq!(ledger.close(SOON).unwrap().size, 503);
    assert_eq!(verified(&ledger), 503);
}

#[test]
fn many_threads_make_one_chain() {
    let ledger = ledger();
    thread::scope(|scope| {
        for thread in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || {
                let mut last = 0;
                for number in 0..200 {
                    let event = event(thread * 1000 + number);
                    let receipt = if number % 3 == 0 {
                        ledger.submit(event).unwrap().wait().unwrap()
                    } else {
                        ledger.append(event).unwrap()
                    };
                    assert!(receipt.sequence > last);
                    last = receipt.sequence;
                }
            });
        }
    });
    assert_eq!(verified(&ledger), 1601);
}

#[test]
fn a_failing_signer_costs_its_entry_and_no_other() {
    let signer = Scripted::new(entry_key(), true);
    let ledger = ledger_with(Memory::new(), signer.clone(), Options::new());
    ledger.append(event(1)).unwrap();
    signer.then([Answer::Fail]);
    let refused = ledger.append(event(2)).unwrap_err();
    assert!(matches!(refused, AppendError::Refused(Refusal::Signer(_))), "{refused}");
    signer.then([Answer::Panic]);
    let refused = ledger.append(event(3)).unwrap_err();
    // The ledger's own entry, which would list the first, is what the signer panicked over.
    assert_eq!(refused, AppendError::Refused(Refusal::SignerPanicked));
    let receipt = ledger.append(event(4)).unwrap();
    assert_eq!(receipt.sequence, 3);
    assert_eq!(types(&ledger), ["chain.genesis", "test.call", "chain.abandoned", "test.call"]);
    let listed = listed(&ledger);
    assert_eq!(listed.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 2]);
    let seen = signer.seen.lock().unwrap().clone();
    assert!(listed.iter().all(|(_, digest)| seen.contains(digest)));
    assert_eq!(verified(&ledger), 4);
}

/// T19
#[test]
fn a_signature_with_any_bit_turned_is_not_written() {
    for in_process in [true, false] {
        let signer = Scripted::new(entry_key(), in_process);
        let store = Unsteady::default();
        let options = Options::new().verify_own(true);
        let ledger = ledger_with(store.clone(), signer.clone(), options);
        let writes = store.hand.writes.load(std::sync::atomic::Ordering::SeqCst);
        for bit in 0..512 {
            signer.then([Answer::Flip(bit)]);
            let refused = ledger.append(event(1)).unwrap_err();
            assert_eq!(refused, AppendError::Refused(Refusal::SignerFalse), "bit {bit}");
        }
        assert_eq!(store.hand.writes.load(std::sync::atomic::Ordering::SeqCst), writes);
        ledger.append(event(1)).unwrap();
        assert_eq!(listed(&ledger).len(), 512);
        verified(&ledger);
    }
}

#[test]
fn a_signer_that_hangs_is_given_its_time() {
    let signer = Scripted::new(entry_key(), false);
    let options = Options::new().signer_time(Duration::from_millis(400));
    let ledger = ledger_with(Memory::new(), signer.clone(), options);
    signer.then([Answer::Hang]);
    let refused = ledger.append(event(1)).unwrap_err();
    assert_eq!(refused, AppendError::Refused(Refusal::SignerTime));
    let receipt = ledger.append(event(2)).unwrap();
    assert_eq!(receipt.sequence, 2);
    assert_eq!(listed(&ledger).len(), 1);
    // The late signature changes nothing.
    signer.let_go();
    thread::sleep(Duration::from_millis(20));
    assert_eq!(ledger.append(event(3)).unwrap().sequence, 3);
    verified(&ledger);
}

#[test]
fn a_ticket_nobody_waits_for_is_timed_too() {
    let signer = Scripted::new(entry_key(), false);
    let options = Options::new().signer_time(Duration::from_millis(400));
    let ledger = ledger_with(Memory::new(), signer.clone(), options);
    signer.then([Answer::Hang]);
    let first = ledger.submit(event(1)).unwrap();
    let second = ledger.submit(event(2)).unwrap();
    thread::sleep(Duration::from_millis(1500));
    // Nobody has waited, and both are given up: what follows does not stand behind them.
    assert_eq!(ledger.append(event(3)).unwrap().sequence, 2);
    assert_eq!(first.wait().unwrap_err(), AppendError::Refused(Refusal::SignerTime));
    assert_eq!(second.wait().unwrap_err(), AppendError::Refused(Refusal::Abandoned));
    signer.let_go();
    verified(&ledger);
}

#[test]
fn a_refused_write_leaves_the_ledger_open() {
    let store = Unsteady::default();
    let ledger = ledger_with(store.clone(), entry_key(), Options::new());
    store.then([Write::Refuse]);
    let refused = ledger.append(event(1)).unwrap_err();
    assert!(matches!(refused, AppendError::Refused(Refusal::Store(_))), "{refused}");
    assert_eq!(ledger.append(event(2)).unwrap().sequence, 2);
    assert_eq!(listed(&ledger).len(), 1);
    // It came to a signer and no further, though no signer failed.
    let list = ledger.entry(1).unwrap().unwrap();
    let list = Reserved::parse("chain.abandoned", &list.part, 1).unwrap();
    assert!(matches!(list, Reserved::Abandoned { cause: Cause::Signer, .. }), "{list:?}");
    verified(&ledger);
}

#[test]
fn an_uncertain_write_closes_the_ledger_and_its_id_tells() {
    for (write, is_kept) in [(Write::UncertainKept, true), (Write::UncertainLost, false)] {
        let store = Unsteady::default();
        let ledger = ledger_with(store.clone(), entry_key(), Options::new());
        store.then([write]);
        let uncertain = ledger.append(event(1)).unwrap_err();
        let AppendError::Uncertain { event_id, .. } = uncertain else { panic!("{uncertain}") };
        let refused = ledger.append(event(2)).unwrap_err();
        assert!(matches!(refused, AppendError::Refused(Refusal::LedgerFailed(_))), "{refused}");
        ledger.close(SOON).unwrap_err();
        let again = Ledger::open(store.memory.clone(), entry_key(), Options::new()).unwrap();
        assert_eq!(again.find(&event_id).unwrap().is_some(), is_kept);
        let receipt = again.append(event(1).id(event_id)).unwrap();
        assert_eq!(receipt.sequence, 1);
        assert_eq!(again.head().sequence, 1);
    }
}

#[test]
fn the_clock_is_recorded_when_it_leaves_its_line() {
    let time = Steered::new();
    let options = Options::new().time(time.clone());
    let ledger = ledger_with(Memory::new(), entry_key(), options);
    ledger.append(event(1)).unwrap();
    time.step(-3_600_000_000);
    ledger.append(event(2)).unwrap();
    ledger.append(event(3)).unwrap();
    time.step(3_600_000_000);
    time.pass(1_000_000);
    ledger.append(event(4)).unwrap();
    let found = types(&ledger);
    let count = |name: &str| found.iter().filter(|found| *found == name).count();
    assert_eq!((count("clock.anomaly"), count("clock.restored")), (2, 2), "{found:?}");
    time.step(86_400_000_000 * 2);
    let refused = ledger.append(event(5)).unwrap_err();
    assert!(matches!(refused, AppendError::Refused(Refusal::Clock(_))), "{refused}");
    verified(&ledger);
}

#[test]
fn an_event_comes_after_its_cause_in_another_ledger() {
    let (ours, theirs) = (Steered::new(), Steered::new());
    theirs.step(5_000_000);
    let cause = ledger_with(Memory::new(), entry_key(), Options::new().time(theirs));
    let cause = cause.append(event(1)).unwrap();
    let header = cause.reference().to_string();
    let ledger = ledger_with(
        Memory::new(),
        SigningKey::from_seed(&[9; 32]).unwrap(),
        Options::new().time(ours),
    );
    let parsed = sigchain::receipt::Reference::parse(&header).unwrap();
    let effect = ledger.append(event(2).caused_by(parsed.event_id).after(parsed)).unwrap();
    assert!(effect.stamp > cause.stamp);
    assert_eq!(types(&ledger), ["chain.genesis", "clock.anomaly", "test.call"]);
    verified(&ledger);
}
