//! The life of keys as the ledger records it: each change is judged by the chain's own rules before it is signed, and what comes of it
//! is verified by both verifiers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sigchain::chainfile::Form;
use sigchain::checkpoint::{Checkpoint, Verdict as Judged};
use sigchain::digest::Digest;
use sigchain::error::{AppendError, Refusal};
use sigchain::fault::Code;
use sigchain::key::{KeyId, Purpose, Role, SigningKey};
use sigchain::ledger::{Change, Ledger, Options};
use sigchain::reserved::{Predecessor, Reason, Trusted};
use sigchain::store::Memory;
use sigchain::verify::{Anchors, Verdict, Verifier};

use crate::fuzz_corpora::second;
use crate::ledger::support::{
    Answer, Scripted, Steered, event, genesis, id, ledger_with, listed, types, within,
};
use crate::support::{
    checkpoint_key, entry_key, key, operator_key, second_entry_key, second_operator_key,
};

const SOON: Duration = Duration::from_secs(60);

/// Verified by the library and by the Python verifier, against a checkpoint of it.
fn sound(ledger: &Ledger) -> u64 {
    let anchors = Anchors::new().checkpoint(ledger.checkpoint().unwrap());
    let file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
    let verifier = Verifier::new().anchored(anchors.clone());
    let report = verifier.run(file.as_slice()).unwrap();
    assert_eq!(report.verdict(), Verdict::Intact, "{:?}", report.faults);
    second::compare(&report, &file, &anchors).unwrap();
    let once = Verifier::new().anchored(anchors).unique(true).run(file.as_slice()).unwrap();
    assert_eq!(once.verdict(), Verdict::Intact, "{:?}", once.faults);
    report.entries
}

fn a_ledger() -> Ledger {
    let genesis = genesis(entry_key())
        .key(second_entry_key(), Role::Entry)
        .key(key(6), Role::Checkpoint)
        .operator(second_operator_key().public());
    let options = Options::new().time(Steered::new());
    Ledger::create(Memory::new(), genesis, options).unwrap()
}

fn code(outcome: Result<impl std::fmt::Debug, AppendError>) -> Code {
    match outcome.unwrap_err() {
        AppendError::Refused(Refusal::Chain(misfit)) => misfit.code,
        other => panic!("{other}"),
    }
}

/// What must be the same after a refusal.
fn state(ledger: &Ledger) -> (Digest, Digest) {
    (ledger.head().digest, ledger.keyring().digest())
}

/// Refused with this code, and nothing recorded, signed or changed.
fn refused(ledger: &Ledger, wanted: Code, change: Change) {
    let before = state(ledger);
    assert_eq!(code(ledger.apply(change)), wanted);
    assert_eq!(state(ledger), before);
}

fn active(ledger: &Ledger, id: &KeyId) -> bool {
    ledger.keyring().get(id).is_some_and(sigchain::keyring::Key::is_active)
}

/// The key that signed the last entry.
fn last_signer(ledger: &Ledger) -> KeyId {
    ledger.entry(ledger.head().sequence).unwrap().unwrap().fields.signer_key_id
}

fn trusted(held: &Checkpoint) -> Trusted {
    Trusted { size: held.size(), root: held.root() }
}

#[test]
fn genesis_holds_every_role() {
    let ledger = a_ledger();
    let keyring = ledger.keyring();
    let found: Vec<_> =
        keyring.keys().iter().map(|key| (key.public.id(), key.role, key.from)).collect();
    let wanted = [
        (entry_key().id(), Role::Entry, 0),
        (checkpoint_key().id(), Role::Checkpoint, 0),
        (second_entry_key().id(), Role::Entry, 0),
        (key(6).id(), Role::Checkpoint, 0),
    ];
    assert_eq!(found, wanted);
    assert_eq!(
        keyring.operators(),
        crate::support::operator_hashes(&[operator_key(), second_operator_key()])
    );
    assert_eq!(sound(&ledger), 1);
    // The second writer's key, and the other one for checkpoints.
    ledger.append(event(1)).unwrap();
    ledger.sign_with(second_entry_key()).unwrap();
    ledger.append(event(2)).unwrap();
    assert_eq!(last_signer(&ledger), second_entry_key().id());
    ledger.sign_checkpoints_with(key(6)).unwrap();
    assert_eq!(sound(&ledger), 3);
    // A key for checkpoints signs no entries.
    ledger.sign_with(key(6)).unwrap();
    assert_eq!(code(ledger.append(event(3))), Code::KeyRole);
    ledger.sign_with(key(9)).unwrap();
    assert_eq!(code(ledger.append(event(3))), Code::KeyUnknown);
    ledger.sign_with(entry_key()).unwrap();
    ledger.append(event(3)).unwrap();
    assert_eq!(sound(&ledger), 4);
}

#[test]
fn a_successor_names_the_chain_before_it() {
    let before = a_ledger();
    before.append(event(1)).unwrap();
    let held = before.checkpoint().unwrap();
    let predecessor = || Predecessor {
        chain: before.chain_id(),
        evidence: None,
        root: held.root(),
        size: held.size(),
        statement: "the store was lost".to_owned(),
    };
    let options = || Options::new().time(Steered::new());
    let good = genesis(key(7)).succeeding(predecessor(), operator_key());
    let ledger = Ledger::create(Memory::new(), good, options()).unwrap();
    ledger.append(event(1)).unwrap();
    assert_eq!(sound(&ledger), 2);
    let bad = genesis(key(7)).succeeding(predecessor(), key(8));
    assert!(Ledger::create(Memory::new(), bad, options()).is_err());
}

#[test]
fn keys_are_enrolled() {
    let ledger = a_ledger();
    let change = ledger.propose_enrolment(&key(10), Role::Entry).unwrap();
    // Proposing changes nothing.
    assert_eq!(ledger.head().sequence, 0);
    assert!(ledger.keyring().get(&key(10).id()).is_none());
    let receipt = ledger.apply(change.clone()).unwrap();
    assert_eq!((receipt.sequence, receipt.event_id), (1, change.event_id()));
    assert_eq!(ledger.keyring().get(&key(10).id()).unwrap().from, 1);
    ledger.sign_with(key(10)).unwrap();
    ledger.append(event(1)).unwrap();
    assert_eq!(last_signer(&ledger), key(10).id());
    sound(&ledger);
    // For checkpoints somebody has to agree: an operator, or who signs checkpoints now.
    let change = || ledger.propose_enrolment(&key(11), Role::Checkpoint).unwrap();
    refused(&ledger, Code::Approval, change());
    refused(&ledger, Code::Approval, change().approved_by(&entry_key()).unwrap());
    refused(&ledger, Code::Approval, change().approved_by(&key(11)).unwrap());
    ledger.apply(change().approved_by(&operator_key()).unwrap()).unwrap();
    let more = ledger.propose_enrolment(&key(12), Role::Checkpoint).unwrap();
    ledger.apply(more.approved_by(&key(11)).unwrap()).unwrap();
    ledger.sign_checkpoints_with(key(12)).unwrap();
    assert_eq!(sound(&ledger), 5);
    // Twice, whatever the role; and no operator's.
    let again = |key: &SigningKey, role| ledger.propose_enrolment(key, role).unwrap();
    refused(&ledger, Code::KeyDuplicate, again(&key(10), Role::Entry));
    refused(&ledger, Code::KeyDuplicate, again(&key(11), Role::Entry));
    refused(&ledger, Code::KeyDuplicate, again(&operator_key(), Role::Entry));
    assert_eq!(sound(&ledger), 5);
}

/// What was proposed is applied by another process, from its parts; and for another chain it is worth nothing.
#[test]
fn a_change_is_made_again_of_its_parts() {
    let ledger = a_ledger();
    let change = ledger.propose_enrolment(&key(11), Role::Checkpoint).unwrap();
    let change = change.approved_by(&operator_key()).unwrap();
    let again = Change::of(change.chain_id(), change.event_id(), change.reserved().clone());
    assert_eq!((&again, again.statement()), (&change, change.statement()));
    let receipt = ledger.apply(again.clone()).unwrap();
    assert_eq!(receipt.event_id, change.event_id());
    assert_eq!(ledger.apply(again).unwrap(), receipt, "it is there already");
    let other = Change::of(Digest::ZERO, change.event_id(), change.reserved().clone());
    assert_ne!(other.statement(), change.statement());
    let elsewhere = a_ledger();
    refused(&elsewhere, Code::KeyPossession, other);
    assert_eq!(sound(&ledger), 2);
}

#[test]
fn a_signer_that_will_not_prove_possession_is_not_proposed() {
    let ledger = a_ledger();
    let new = Scripted::new(key(10), false);
    new.then([Answer::Fail, Answer::Panic, Answer::Flip(3)]);
    let proposed = || ledger.propose_enrolment(&new, Role::Entry).unwrap_err();
    assert!(matches!(proposed(), Refusal::Signer(_)));
    assert_eq!(proposed(), Refusal::SignerPanicked);
    assert_eq!(proposed(), Refusal::SignerFalse);
    ledger.apply(ledger.propose_enrolment(&new, Role::Entry).unwrap()).unwrap();
    assert_eq!(sound(&ledger), 2);
}

/// The old key signs its own end; from the next entry on it is the new one.
#[test]
fn keys_are_rotated() {
    let ledger = a_ledger();
    ledger.append(event(1)).unwrap();
    let receipt = ledger.rotate(key(10)).unwrap();
    assert_eq!((receipt.sequence, receipt.signer), (2, entry_key().id()));
    assert_eq!(ledger.append(event(2)).unwrap().signer, key(10).id());
    assert_eq!(ledger.keyring().get(&entry_key().id()).unwrap().until, Some(2));
    sound(&ledger);
    // The ended one never comes back.
    ledger.sign_with(entry_key()).unwrap();
    assert_eq!(code(ledger.append(event(3))), Code::KeyEnded);
    ledger.sign_with(key(10)).unwrap();
    let change =
        |old: &SigningKey, new: &SigningKey| ledger.propose_rotation(old.id(), new).unwrap();
    // A key that the ledger uses: whoever signs from then on has to be there too.
    refused(&ledger, Code::KeyState, change(&key(10), &key(11)));
    let again = ledger.apply_then(change(&key(10), &entry_key()), entry_key());
    assert_eq!(code(again), Code::KeyDuplicate);
    let other = ledger.apply_then(change(&key(10), &key(11)), key(12));
    assert_eq!(code(other), Code::KeyState);
    // Another writer's key is not this one's to end, and an unknown one nobody's.
    refused(&ledger, Code::KeyState, change(&second_entry_key(), &key(11)));
    refused(&ledger, Code::KeyState, change(&key(99), &key(11)));
    // A key for checkpoints: an operator agrees, or itself.
    refused(&ledger, Code::Approval, change(&key(6), &key(12)));
    ledger.apply(change(&key(6), &key(12)).approved_by(&key(6)).unwrap()).unwrap();
    refused(&ledger, Code::Approval, change(&key(12), &key(13)).approved_by(&key(6)).unwrap());
    ledger.apply(change(&key(12), &key(13)).approved_by(&operator_key()).unwrap()).unwrap();
    assert!(!active(&ledger, &key(12).id()) && active(&ledger, &key(13).id()));
    ledger.sign_checkpoints_with(key(13)).unwrap();
    assert_eq!(sound(&ledger), 6);
}

/// The key is lost: the new one signs the entry that enrols it, and an operator agrees.
#[test]
fn a_lost_key_is_rotated_by_the_new_one() {
    let lost = Scripted::new(entry_key(), true);
    let ledger = ledger_with(Memory::new(), lost.clone(), Options::new().time(Steered::new()));
    ledger.append(event(1)).unwrap();
    lost.then((0..100).map(|_| Answer::Fail));
    ledger.append(event(2)).unwrap_err();
    ledger.append_batch(vec![event(3), event(4)]).unwrap_err();
    let change = || ledger.propose_rotation(entry_key().id(), &key(10)).unwrap();
    let before = state(&ledger);
    assert_eq!(code(ledger.apply_signed_by(change(), key(10))), Code::Approval);
    let by_nobody = change().approved_by(&checkpoint_key()).unwrap();
    assert_eq!(code(ledger.apply_signed_by(by_nobody, key(10))), Code::Approval);
    // Signed by a third one, which is nobody here.
    let by_another = change().approved_by(&operator_key()).unwrap();
    assert_eq!(code(ledger.apply_signed_by(by_another, key(11))), Code::KeyState);
    assert_eq!(state(&ledger), before);
    let receipt =
        ledger.apply_signed_by(change().approved_by(&operator_key()).unwrap(), key(10)).unwrap();
    assert_eq!((receipt.sequence, receipt.signer), (2, key(10).id()));
    assert_eq!(ledger.append(event(5)).unwrap().signer, key(10).id());
    assert!(listed(&ledger).is_empty());
    assert_eq!(sound(&ledger), 4);
}

/// The same where the clock has something to say meanwhile: the new key cannot say it before it is one, and so says it after.
#[test]
fn a_lost_key_is_rotated_whatever_the_clock_says() {
    for opens in [false, true] {
        let (memory, time) = (Memory::new(), Steered::new());
        let options = || Options::new().time(Arc::<Steered>::clone(&time));
        let lost = Scripted::new(entry_key(), true);
        let mut ledger = ledger_with(memory.clone(), lost.clone(), options());
        ledger.append(event(1)).unwrap();
        lost.then((0..100).map(|_| Answer::Fail));
        time.step(-3_600_000_000);
        if opens {
            ledger = Ledger::open(memory, key(10), options()).unwrap();
            ledger.sign_checkpoints_with(checkpoint_key()).unwrap();
            assert_eq!(code(ledger.append(event(2))), Code::KeyUnknown);
        } else {
            ledger.append(event(2)).unwrap_err();
        }
        let change = ledger.propose_rotation(entry_key().id(), &key(10)).unwrap();
        let change = change.approved_by(&operator_key()).unwrap();
        let receipt = ledger.apply_signed_by(change, key(10)).unwrap();
        assert_eq!((receipt.sequence, receipt.signer), (2, key(10).id()));
        ledger.append(event(3)).unwrap();
        let found = types(&ledger);
        assert_eq!(found[..3], ["chain.genesis", "test.call", "key.rotate"]);
        assert!(found[3..].contains(&"clock.anomaly".to_owned()), "{found:?}");
        sound(&ledger);
    }
}

#[test]
fn keys_are_revoked() {
    for (reason, approver) in
        [(Reason::Superseded, operator_key()), (Reason::Lost, second_operator_key())]
    {
        let ledger = a_ledger();
        ledger.append(event(1)).unwrap();
        let change = |of: &SigningKey| ledger.propose_revocation(of.id(), reason, None).unwrap();
        refused(&ledger, Code::Approval, change(&second_entry_key()));
        refused(
            &ledger,
            Code::Approval,
            change(&second_entry_key()).approved_by(&checkpoint_key()).unwrap(),
        );
        refused(&ledger, Code::KeyState, change(&key(99)).approved_by(&approver).unwrap());
        for of in [second_entry_key(), key(6)] {
            ledger.apply(change(&of).approved_by(&approver).unwrap()).unwrap();
            assert!(!active(&ledger, &of.id()));
            sound(&ledger);
        }
        // Who ended may be said to have ended otherwise.
        let other = ledger.propose_revocation(key(6).id(), Reason::Lost, None).unwrap();
        ledger.apply(other.approved_by(&approver).unwrap()).unwrap();
        ledger.sign_with(second_entry_key()).unwrap();
        assert_eq!(code(ledger.append(event(2))), Code::KeyEnded);
        ledger.sign_with(entry_key()).unwrap();
        assert_eq!(sound(&ledger), 5);
    }
}

/// The ledger's own key: its end is the last that it signs.
#[test]
fn a_ledger_whose_key_is_revoked_waits_for_another() {
    let ledger = a_ledger();
    ledger.append(event(1)).unwrap();
    let change = ledger.propose_revocation(entry_key().id(), Reason::Lost, None).unwrap();
    let receipt = ledger.apply(change.approved_by(&operator_key()).unwrap()).unwrap();
    assert_eq!(receipt.signer, entry_key().id());
    let before = state(&ledger);
    assert_eq!(code(ledger.append(event(2))), Code::KeyEnded);
    assert_eq!(code(ledger.submit(event(2)).map(drop)), Code::KeyEnded);
    assert_eq!(code(ledger.append_batch(vec![event(2), event(3)])), Code::KeyEnded);
    assert_eq!(state(&ledger), before);
    assert_eq!(sound(&ledger), 3);
    ledger.sign_with(second_entry_key()).unwrap();
    assert_eq!(ledger.append(event(2)).unwrap().sequence, 3);
    // Or it is rotated, though it has ended: the new one signs.
    let change = ledger.propose_rotation(entry_key().id(), &key(10)).unwrap();
    let change = change.approved_by(&operator_key()).unwrap();
    ledger.apply_signed_by(change, key(10)).unwrap();
    assert_eq!(ledger.append(event(3)).unwrap().signer, key(10).id());
    assert_eq!(sound(&ledger), 6);
}

/// Entries of two writers, and a checkpoint of every size.
fn two_writers(entries: u64, by_second: u64) -> (Ledger, BTreeMap<u64, Checkpoint>) {
    let ledger = a_ledger();
    ledger.sign_with(second_entry_key()).unwrap();
    let mut held = BTreeMap::new();
    for number in 1..entries {
        if number == by_second {
            ledger.sign_with(entry_key()).unwrap();
        }
        let checkpoint = ledger.checkpoint().unwrap();
        held.insert(checkpoint.size(), checkpoint);
        ledger.append(event(number)).unwrap();
    }
    let checkpoint = ledger.checkpoint().unwrap();
    held.insert(checkpoint.size(), checkpoint);
    (ledger, held)
}

/// What was stolen is trusted up to a checkpoint that another key vouched for, and that is proved to be the beginning of this chain.
#[test]
fn compromised_keys_are_revoked_from_a_checkpoint_on() {
    for entries in [6, 7, 8, 9, 16, 17, 33] {
        let (_, all) = two_writers(entries, 5);
        for size in all.keys().copied().filter(|size| *size >= 5) {
            let (ledger, held) = two_writers(entries, 5);
            let revocation = |of: &SigningKey, trusted: Trusted| {
                let reason = Reason::Compromised;
                let change = ledger.propose_revocation(of.id(), reason, Some(trusted)).unwrap();
                change.approved_by(&operator_key()).unwrap()
            };
            let good = trusted(&held[&size]);
            let stolen = second_entry_key();
            // A root of another size; a size that is not there yet.
            if size < entries {
                let false_root = Trusted { root: trusted(&held[&(size + 1)]).root, ..good };
                refused(&ledger, Code::KeyTrusted, revocation(&stolen, false_root));
            }
            let beyond = Trusted { size: entries + 1, ..good };
            refused_somehow(&ledger, revocation(&stolen, beyond));
            ledger.apply(revocation(&stolen, good)).unwrap();
            let ended = ledger.keyring().get(&stolen.id()).unwrap().clone();
            assert_eq!((ended.until, ended.trusted), (Some(entries), Some(size)));
            refused(&ledger, Code::KeyState, revocation(&stolen, good));
            // One for checkpoints that has signed none, from the very beginning.
            let nothing = Trusted { size: 0, root: Digest::of(&[]) };
            ledger.apply(revocation(&key(6), nothing)).unwrap();
            ledger.append(event(90)).unwrap();
            assert_eq!(sound(&ledger), entries + 3, "{entries} entries, trusted {size}");
        }
    }
}

fn refused_somehow(ledger: &Ledger, change: Change) {
    let before = state(ledger);
    let error = ledger.apply(change).unwrap_err();
    assert!(matches!(error, AppendError::Refused(_)), "{error}");
    assert_eq!(state(ledger), before);
}

/// What the stolen key signed after the checkpoint is in the chain, and no verifier calls that chain intact.
#[test]
fn what_a_stolen_key_signed_since_is_told() {
    let (ledger, held) = two_writers(9, 7);
    let change = ledger
        .propose_revocation(second_entry_key().id(), Reason::Compromised, Some(trusted(&held[&4])))
        .unwrap();
    ledger.apply(change.approved_by(&operator_key()).unwrap()).unwrap();
    let file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
    let anchors = Anchors::new().checkpoint(ledger.checkpoint().unwrap());
    let report = Verifier::new().anchored(anchors.clone()).run(file.as_slice()).unwrap();
    assert_eq!(report.verdict(), Verdict::Faulty);
    assert!(report.faults.iter().any(|fault| fault.code == Code::KeyCompromised));
    second::compare(&report, &file, &anchors).unwrap();
}

/// The ledger has something of its own to say first, which it knew, or learns only as it gives the change its place: the proof is
/// about the size that the chain has by then.
#[test]
fn a_revocation_is_proved_at_its_own_size() {
    for (fails, steps) in [(false, true), (true, false), (true, true)] {
        let time = Steered::new();
        let signer = Scripted::new(entry_key(), true);
        let genesis = genesis(signer.clone()).key(second_entry_key(), Role::Entry);
        let options = Options::new().time(Arc::<Steered>::clone(&time));
        let ledger = Ledger::create(Memory::new(), genesis, options).unwrap();
        for number in 1..6 {
            ledger.append(event(number)).unwrap();
        }
        let held = ledger.checkpoint().unwrap();
        ledger.append(event(6)).unwrap();
        if fails {
            signer.then([Answer::Fail]);
            ledger.append(event(7)).unwrap_err();
        }
        if steps {
            time.step(-3_600_000_000);
        }
        let (of, reason) = (second_entry_key().id(), Reason::Compromised);
        let change = ledger.propose_revocation(of, reason, Some(trusted(&held))).unwrap();
        ledger.apply(change.approved_by(&operator_key()).unwrap()).unwrap();
        let found = types(&ledger);
        assert_eq!(found.last().unwrap(), "key.revoke");
        assert_eq!(found.contains(&"chain.abandoned".to_owned()), fails, "{found:?}");
        assert_eq!(found.contains(&"clock.anomaly".to_owned()), steps, "{found:?}");
        sound(&ledger);
    }
}

#[test]
fn operators_are_exchanged() {
    let ledger = a_ledger();
    let change = |keys: &[SigningKey]| {
        let keys: Vec<_> = keys.iter().map(|key| key.public().clone()).collect();
        ledger.propose_operators(&keys).unwrap()
    };
    refused(&ledger, Code::Approval, change(&[key(20)]));
    refused(&ledger, Code::Approval, change(&[key(20)]).approved_by(&key(20)).unwrap());
    refused(
        &ledger,
        Code::KeyDuplicate,
        change(&[entry_key()]).approved_by(&operator_key()).unwrap(),
    );
    // Agreed by one who is not on the new list, and one more.
    let both = change(&[key(21), key(20)]).approved_by(&operator_key()).unwrap();
    ledger.apply(both.approved_by(&second_operator_key()).unwrap()).unwrap();
    sound(&ledger);
    let revocation = || ledger.propose_revocation(key(6).id(), Reason::Lost, None).unwrap();
    refused(&ledger, Code::Approval, revocation().approved_by(&operator_key()).unwrap());
    let mixed = revocation().approved_by(&key(20)).unwrap();
    refused(&ledger, Code::Approval, mixed.approved_by(&operator_key()).unwrap());
    ledger.apply(revocation().approved_by(&key(21)).unwrap()).unwrap();
    // Four are too many; none is the end of it.
    let four = [key(22), key(23), key(24), key(25)];
    refused_somehow(&ledger, change(&four).approved_by(&key(20)).unwrap());
    ledger.apply(change(&[]).approved_by(&key(20)).unwrap()).unwrap();
    refused(&ledger, Code::Approval, change(&[key(26)]).approved_by(&key(20)).unwrap());
    ledger.append(event(1)).unwrap();
    assert_eq!(sound(&ledger), 5);
}

/// An approval is for one event of one chain, and counts once.
#[test]
fn approvals_are_for_what_was_approved() {
    let ledger = a_ledger();
    let revocation = || ledger.propose_revocation(key(6).id(), Reason::Lost, None).unwrap();
    let operator = operator_key();
    let approval = |of: &Change| operator.sign(Purpose::Approval, &of.statement());
    // For the same in another event.
    let (one, other) = (revocation(), revocation());
    refused(&ledger, Code::Approval, one.clone().approved(operator.public(), approval(&other)));
    // For the same in another chain.
    let elsewhere = a_ledger();
    let there = elsewhere.propose_revocation(key(6).id(), Reason::Lost, None).unwrap();
    refused(&ledger, Code::Approval, one.clone().approved(operator.public(), approval(&there)));
    // Made for another purpose, or under another's name, or with one that is good beside it.
    let entry = operator.sign(Purpose::Entry, &one.statement());
    refused(&ledger, Code::Approval, one.clone().approved(operator.public(), entry));
    let named = one.clone().approved(second_operator_key().public(), approval(&one));
    refused(&ledger, Code::Approval, named);
    let beside = one.clone().approved_by(&operator).unwrap().approved_by(&key(30)).unwrap();
    refused(&ledger, Code::Approval, beside);
    // Proposed there, applied here.
    let there = there.approved_by(&operator).unwrap();
    refused(&ledger, Code::Approval, there);
    // What was refused is as good as before; what was applied is there once, and gets its receipt again.
    let good = one.approved_by(&operator).unwrap();
    let receipt = ledger.apply(good.clone()).unwrap();
    let before = state(&ledger);
    assert_eq!(ledger.apply(good).unwrap(), receipt);
    assert_eq!(state(&ledger), before);
    let enrolment = ledger.propose_enrolment(&key(31), Role::Entry).unwrap();
    ledger.apply(enrolment).unwrap();
    refused(&ledger, Code::KeyDuplicate, ledger.propose_enrolment(&key(31), Role::Entry).unwrap());
    assert_ne!(state(&ledger), before);
    assert_eq!(sound(&ledger), 3);
    assert_eq!(elsewhere.head().sequence, 0);
}

/// Its own signer fails: the keys are as before, what was seen is listed, and the same change can be applied again.
#[test]
fn a_change_whose_signer_fails_changes_nothing() {
    for in_process in [true, false] {
        for answer in [Answer::Fail, Answer::Panic, Answer::Flip(7)] {
            let signer = Scripted::new(entry_key(), in_process);
            let options = Options::new().time(Steered::new()).verify_own(true);
            let ledger = ledger_with(Memory::new(), signer.clone(), options);
            ledger.append(event(1)).unwrap();
            let before = state(&ledger);
            let rotation = ledger.propose_rotation(entry_key().id(), &key(10)).unwrap();
            let revocation =
                ledger.propose_revocation(checkpoint_key().id(), Reason::Lost, None).unwrap();
            let revocation = revocation.approved_by(&operator_key()).unwrap();
            signer.then([answer.clone()]);
            refused_by_signer(ledger.apply(revocation.clone()));
            assert_eq!(state(&ledger), before);
            // Now there is something to list first.
            signer.then([Answer::Sign, answer.clone()]);
            refused_by_signer(ledger.apply_then(rotation.clone(), key(10)));
            signer.then([Answer::Sign, answer.clone()]);
            refused_by_signer(ledger.rotate(key(11)));
            let keyring = ledger.keyring();
            assert!(keyring.get(&entry_key().id()).unwrap().is_active());
            assert!(keyring.get(&checkpoint_key().id()).unwrap().is_active());
            assert!(keyring.get(&key(10).id()).is_none() && keyring.get(&key(11).id()).is_none());
            assert_eq!(ledger.append(event(2)).unwrap().signer, entry_key().id());
            assert_eq!(listed(&ledger).len(), 3);
            assert_eq!(sound(&ledger), ledger.head().sequence + 1);
            ledger.apply_then(rotation, key(10)).unwrap();
            let enrolment = ledger.propose_enrolment(&key(12), Role::Checkpoint).unwrap();
            ledger.apply(enrolment.approved_by(&operator_key()).unwrap()).unwrap();
            ledger.apply(revocation).unwrap();
            ledger.sign_checkpoints_with(key(12)).unwrap();
            sound(&ledger);
        }
    }
}

fn refused_by_signer(outcome: Result<impl std::fmt::Debug, AppendError>) {
    let error = outcome.unwrap_err();
    assert!(
        matches!(
            error,
            AppendError::Refused(
                Refusal::Signer(_) | Refusal::SignerPanicked | Refusal::SignerFalse
            )
        ),
        "{error}"
    );
}

/// Keys change while four threads append: nobody is refused for it.
#[test]
fn keys_change_while_others_append() {
    for in_process in [true, false] {
        within(SOON, "racing", move || {
            let signer = |n: u8| Scripted::new(key(n), in_process);
            let genesis = genesis(signer(40)).key(second_entry_key(), Role::Entry);
            let options = Options::new().time(Steered::new()).queue(16, 1 << 20);
            let ledger = Ledger::create(Memory::new(), genesis, options).unwrap();
            let done = AtomicBool::new(false);
            let appended: u64 = thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|thread: u64| {
                        let (ledger, done) = (&ledger, &done);
                        scope.spawn(move || {
                            let mut count = 0;
                            while !done.load(Ordering::SeqCst) || count < 40 {
                                let event = event(thread * 100_000 + count);
                                match count % 4 {
                                    0 => drop(ledger.append(event).unwrap()),
                                    1 => drop(ledger.submit(event).unwrap().wait().unwrap()),
                                    2 => drop(ledger.append_batch(vec![event]).unwrap()),
                                    _ => drop(ledger.append_with(|_| Ok::<_, ()>(event)).unwrap()),
                                }
                                count += 1;
                            }
                            count
                        })
                    })
                    .collect();
                for n in 41..61 {
                    ledger.rotate(signer(n)).unwrap();
                    let enrolment = ledger.propose_enrolment(&key(n + 100), Role::Entry).unwrap();
                    ledger.apply(enrolment).unwrap();
                    let held = ledger.checkpoint().unwrap();
                    let of = key(n + 100).id();
                    let reason = Reason::Compromised;
                    let change =
                        ledger.propose_revocation(of, reason, Some(trusted(&held))).unwrap();
                    ledger.apply(change.approved_by(&operator_key()).unwrap()).unwrap();
                }
                done.store(true, Ordering::SeqCst);
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(sound(&ledger), 1 + appended + 60);
        });
    }
}

/// Whoever signs checkpoints is a signer like any other, and may fail; the ledger itself goes on.
#[test]
fn a_signer_signs_checkpoints() {
    for in_process in [true, false] {
        let ledger = a_ledger();
        ledger.append(event(1).id(id(1))).unwrap();
        let signer = Scripted::new(checkpoint_key(), in_process);
        ledger.sign_checkpoints_with(signer.clone()).unwrap();
        let held = ledger.checkpoint().unwrap();
        assert_eq!((held.size(), held.origin()), (2, ledger.origin().as_str()));
        assert!(matches!(held.judge(ledger.keyring().checkpoint_keys()), Judged::Accepted(_)));
        assert_eq!(sound(&ledger), 2);
        signer.then([Answer::Fail]);
        assert!(ledger.checkpoint().is_err());
        signer.then([Answer::Fail]);
        assert!(ledger.export(Vec::new(), Form::ChainFile).is_err());
        ledger.append(event(2)).unwrap();
        assert_eq!(sound(&ledger), 3);
        // Revoked, its checkpoints count no more.
        let change = ledger.propose_revocation(checkpoint_key().id(), Reason::Superseded, None);
        let change = change.unwrap().approved_by(&operator_key()).unwrap();
        ledger.apply(change).unwrap();
        ledger.append(event(3)).unwrap();
        assert!(ledger.checkpoint().is_err());
        let unsigned = ledger.export(Vec::new(), Form::ChainFile).unwrap();
        assert!(crate::support::verify(&unsigned, &Anchors::new()).faults.is_empty());
        let refused = ledger.sign_checkpoints_with(checkpoint_key()).unwrap_err();
        assert_eq!(refused.code(), "KEY_ENDED");
        let refused = ledger.sign_checkpoints_with(key(99)).unwrap_err();
        assert_eq!(refused.code(), "KEY_UNKNOWN");
        ledger.sign_checkpoints_with(key(6)).unwrap();
        assert_eq!(sound(&ledger), 5);
    }
}

/// A change is an event like any other: under its id there is one entry, and applied again it gets the first receipt.
#[test]
fn a_change_is_applied_once() {
    let ledger = a_ledger();
    let change = ledger.propose_enrolment(&key(10), Role::Entry).unwrap();
    let first = ledger.apply(change.clone()).unwrap();
    assert_eq!(ledger.apply(change.clone()).unwrap(), first);
    let other = ledger.propose_enrolment(&key(11), Role::Entry).unwrap();
    let taken = ledger.append(event(1).id(other.event_id())).unwrap();
    let refused = ledger.apply(other).unwrap_err();
    let AppendError::Refused(Refusal::IdUsed { first, .. }) = refused else { panic!("{refused}") };
    assert_eq!(first, taken.reference());
    sound(&ledger);
}
