//! Decisions on projections, and changes of the key.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use sigchain::digest::Digest;
use sigchain::error::{AppendError, DecideError, Refusal};
use sigchain::ledger::Attached;
use sigchain::projection::{Item, Projection};

use crate::support::{Caller, FOREVER, Mood, OPERATOR, Setting, World, happens, key, pauses};

/// Every entry, in order, and whether consent was withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Story {
    entries: Vec<Digest>,
    is_withdrawn: bool,
}

impl Projection for Story {
    fn apply(&mut self, item: &Item<'_>) {
        self.entries.push(item.digest());
        self.is_withdrawn |= item.fields.event_type == "consent.withdrawn";
    }
}

type Decided = Arc<Mutex<Vec<(Story, u64)>>>;

/// Looks at data as long as it may.
fn access(caller: &mut Caller, story: &Attached<Story>, decided: &Decided) {
    for _ in 0..3 {
        let event = caller.event("data.access");
        let mut view = None;
        let outcome = story.append_with(|found| {
            assert_eq!(found.state.entries.last(), Some(&found.head.digest));
            view = Some(found.state.clone());
            if found.state.is_withdrawn { Err("withdrawn") } else { Ok(event) }
        });
        match outcome {
            Ok(receipt) => {
                caller.notes.sighted(receipt.sequence, receipt.digest);
                decided.lock().unwrap().push((view.unwrap(), receipt.sequence));
            }
            Err(DecideError::Declined(_)) => assert!(view.unwrap().is_withdrawn),
            Err(DecideError::Append(error)) => {
                assert!(matches!(
                    error,
                    AppendError::Refused(Refusal::Signer(_) | Refusal::Abandoned)
                ));
            }
        }
    }
}

/// What is to be read is the fold over a durable beginning of the chain.
fn read(caller: &Caller, story: &Attached<Story>) {
    let (head, found) = story.read(|view| (view.head, view.state.clone())).unwrap();
    assert_eq!(found.entries.last(), Some(&head.digest));
    for (sequence, digest) in (0..).zip(&found.entries) {
        caller.notes.sighted(sequence, *digest);
    }
}

pub fn consent_is_not_overtaken() {
    let mood = Mood { fail: if happens(70) { 20 } else { 0 }, ..Mood::default() };
    let mut world = World::new(Setting { is_in_process: happens(60), mood, ..Setting::default() });
    let story = world.ledger.attach(Story::default()).unwrap();
    let decided = Decided::default();
    for _ in 0..2 {
        let (story, decided) = (story.clone(), Arc::clone(&decided));
        world.go(move |caller| access(caller, &story, &decided));
    }
    world.go(|caller| {
        pauses(30);
        let event = caller.event("consent.withdrawn");
        drop(caller.ledger().append(event));
        drop(caller.submit(true));
    });
    world.go(|caller| {
        drop(caller.append());
        // Attached while others append, it is the same fold.
        let story = caller.ledger().attach(Story::default()).unwrap();
        read(caller, &story);
        drop(caller.append());
        read(caller, &story);
    });
    world.go(move |caller| {
        for _ in 0..3 {
            read(caller, &story);
        }
    });
    let verdict = world.end();
    let chain = &verdict.chain;
    for (story, sequence) in &*decided.lock().unwrap() {
        let sequence = usize::try_from(*sequence).unwrap();
        let known = story.entries.len();
        let digests: Vec<_> = chain[..known].iter().map(|found| found.digest).collect();
        assert_eq!(digests, story.entries, "decided on what is not in the chain");
        let between = &chain[known..sequence];
        assert!(between.iter().all(crate::judge::Found::is_own), "overtaken by {between:?}");
    }
    let withdrawn = chain.iter().position(|found| found.event_type == "consent.withdrawn");
    let last = chain.iter().rposition(|found| found.event_type == "data.access");
    if let (Some(withdrawn), Some(last)) = (withdrawn, last) {
        assert!(last < withdrawn, "an access after the withdrawal");
    }
}

pub fn the_key_is_rotated() {
    let mut world = World::new(Setting { is_in_process: happens(60), ..Setting::default() });
    rotate(&mut world);
    let verdict = world.end();
    verdict.is_faultless();
    assert_eq!(verdict.chain.iter().filter(|found| found.event_type == "key.rotate").count(), 2);
}

/// Appends, and two rotations. They may be refused if the ledger is closed or its signer fails, but not for the key.
fn rotate(world: &mut World) {
    let (second, third) = (world.signer(2), world.signer(3));
    world.go(|caller| {
        for _ in 0..3 {
            drop(caller.append());
        }
    });
    world.go(|caller| {
        caller.append_batch(2);
        if let Some(sent) = caller.submit(true) {
            caller.wait(sent);
        }
    });
    world.go(move |caller| {
        for signer in [second, third] {
            match caller.ledger().rotate(signer) {
                Ok(receipt) => caller.notes.sighted(receipt.sequence, receipt.digest),
                Err(AppendError::Refused(refusal)) => {
                    assert!(!matches!(refusal, Refusal::Chain(_)), "{refusal}");
                    caller.notes.rotations_refused.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => unreachable!("{error}"),
            }
        }
    });
    world.go_read(2);
}

/// The change is durable before the ledger has its new signer. Whoever closes it in that moment must wait for that: what is owed
/// could not be signed any more, and an anomaly of the clock would be forgotten.
pub fn a_lost_key_is_replaced_as_it_closes() {
    let mut world = World::new(Setting { is_in_process: happens(60), ..Setting::default() });
    let next = world.signer(2);
    let replaced = Arc::new(Mutex::new(None));
    let (said, time) = (Arc::clone(&replaced), Arc::clone(&world.time));
    world.go(move |caller| {
        let ledger = caller.ledger();
        let change = ledger.propose_rotation(key(1).id(), &next).unwrap();
        let change = change.approved_by(&key(OPERATOR)).unwrap();
        time.step();
        *said.lock().unwrap() = Some(ledger.apply_signed_by(change, next));
    });
    pauses(40);
    let closed = world.ledger.close(FOREVER);
    assert!(closed.is_ok(), "{closed:?}");
    let chain = world.judge(Some(closed)).chain;
    let of_type = |name: &str| chain.iter().filter(|found| found.event_type == name).count();
    match replaced.lock().unwrap().take().unwrap() {
        Ok(_) => assert_eq!((of_type("key.rotate"), of_type("clock.anomaly")), (1, 1)),
        Err(AppendError::Refused(Refusal::Closed)) => assert_eq!(of_type("key.rotate"), 0),
        Err(error) => unreachable!("{error}"),
    }
}

pub fn the_key_is_rotated_as_it_closes() {
    let mood = Mood { fail: if happens(50) { 15 } else { 0 }, ..Mood::default() };
    let mut world = World::new(Setting { is_in_process: happens(60), mood, ..Setting::default() });
    rotate(&mut world);
    pauses(100);
    let closed = world.ledger.close(FOREVER);
    let notes = Arc::clone(&world.notes);
    let verdict = world.judge(Some(closed));
    verdict.refused_only(|refusal| {
        matches!(refusal, Refusal::Signer(_) | Refusal::Abandoned | Refusal::Closed)
    });
    let rotated = verdict.chain.iter().filter(|found| found.event_type == "key.rotate").count();
    let refused = notes.rotations_refused.load(Ordering::SeqCst);
    assert_eq!(rotated + refused, 2, "a rotation was refused, and is in the chain");
}
