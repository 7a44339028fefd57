//! Tickets that gather to be signed together, and all that comes between: appends, a queue that is full, signers and stores that fail,
//! a change of the key, the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use sigchain::error::{AppendError, Refusal};
use sigchain::signer::SEVERAL;

use crate::support::{Caller, FOREVER, Mood, Setting, Temper, World, happens, pauses};

/// Signers in this process that are asked for sixteen at once.
fn setting() -> Setting {
    Setting { at_once: SEVERAL, ..Setting::default() }
}

/// Submits, and is done with each in its own way.
fn submits(caller: &mut Caller, count: usize) {
    let mut sent = Vec::new();
    for _ in 0..count {
        sent.extend(caller.submit(true).filter(|_| happens(70)));
    }
    if happens(50) {
        sent.reverse();
    }
    for sent in sent {
        if happens(50) {
            caller.poll(sent);
        } else {
            caller.wait(sent);
        }
    }
}

/// Submits batches that are more than is signed at once, or nearly.
fn submits_batches(caller: &mut Caller) {
    let first = caller.submit_batch(thread_rng().gen_range(7..=9));
    let second = caller.submit_batch(thread_rng().gen_range(7..=18));
    for batch in [second, first].into_iter().flatten() {
        if happens(50) {
            caller.poll_batch(batch);
        } else {
            caller.wait_batch(batch);
        }
    }
}

fn calls(world: &mut World) {
    world.go(|caller| submits(caller, 4));
    world.go(|caller| submits(caller, 3));
    if happens(40) {
        world.go(submits_batches);
    }
    world.go(|caller| {
        for _ in 0..2 {
            drop(caller.append());
        }
    });
    if happens(30) {
        world.go_read(2);
    }
}

pub fn tickets_and_appends() {
    let mut world = World::new(setting());
    calls(&mut world);
    world.end().is_faultless();
}

/// Nobody waits for any of it: the ledger's own thread alone.
pub fn nobody_waits() {
    let mut world = World::new(setting());
    let batch = if happens(30) { 17 } else { 1 };
    for _ in 0..3 {
        world.go(move |caller| {
            for _ in 0..3 {
                drop(caller.submit(true));
                pauses(3);
            }
            drop(caller.submit_batch(batch));
            if happens(50) {
                caller.let_go();
            }
        });
    }
    let notes = Arc::clone(&world.notes);
    if happens(60) {
        // The handles are all there: what is written was not for their sake.
        notes.until_durable(1 + 3 * (3 + u64::try_from(batch).unwrap()));
    }
    if happens(50) {
        world.judge(None).is_faultless();
    } else {
        world.end().is_faultless();
    }
}

/// Some wait in a row: whoever is last wants all before it signed, and there may be nobody else.
pub fn each_waits_for_its_own() {
    let mut world = World::new(setting());
    for thread in 0..4 {
        world.go(move |caller| {
            for _ in 0..2 {
                let sent = caller.submit(true).unwrap();
                if thread % 2 == 0 {
                    caller.poll(sent);
                } else {
                    caller.wait(sent);
                }
            }
        });
    }
    world.end().is_faultless();
}

pub fn there_is_little_room() {
    let setting = setting();
    let options = setting.options.clone().queue(thread_rng().gen_range(1..=4), 1 << 20);
    let mut world = World::new(Setting { options, ..setting });
    calls(&mut world);
    world.go(|caller| {
        for _ in 0..3 {
            drop(caller.submit(false));
        }
    });
    world.end().refused_only(|refusal| *refusal == Refusal::Full);
}

pub fn their_signer_fails() {
    let mut setting = setting();
    // What it signs falsely is only found where its signatures are verified.
    let verifies = happens(50);
    setting.options = setting.options.verify_own(verifies);
    setting.mood = Mood { fail: 8, panic: 4, lie: if verifies { 8 } else { 0 }, hang: 0 };
    let mut world = World::new(setting);
    calls(&mut world);
    world.end().refused_only(|refusal| {
        matches!(
            refusal,
            Refusal::Signer(_)
                | Refusal::SignerPanicked
                | Refusal::SignerFalse
                | Refusal::Abandoned
        )
    });
}

/// It hangs with several of them in its hands, on the thread of whoever came for them.
pub fn their_signer_hangs() {
    let mut setting = setting();
    setting.mood = Mood { hang: 20, fail: 3, ..Mood::default() };
    let time = Duration::from_millis(thread_rng().gen_range(1..60));
    setting.options = setting.options.signer_time(time);
    let mut world = World::new(setting);
    calls(&mut world);
    let gate = Arc::clone(&world.gate);
    // Who asks a signer in this process is held up by it: it has to be let go.
    world.go(move |_| {
        pauses(60);
        gate.open();
    });
    world.end().refused_only(|refusal| {
        matches!(refusal, Refusal::Signer(_) | Refusal::SignerTime | Refusal::Abandoned)
    });
}

pub fn their_store_fails() {
    let mut setting = setting();
    let uncertain = if happens(50) { 15 } else { 0 };
    setting.temper = Temper { refuse: 15, uncertain };
    setting.mood = Mood { fail: if happens(30) { 10 } else { 0 }, ..Mood::default() };
    let mut world = World::new(setting);
    calls(&mut world);
    world.end().refused_only(|refusal| {
        matches!(
            refusal,
            Refusal::Store(_) | Refusal::Abandoned | Refusal::Signer(_) | Refusal::LedgerFailed(_)
        )
    });
}

pub fn closed_as_they_gather() {
    let mut setting = setting();
    setting.mood = Mood { fail: if happens(40) { 10 } else { 0 }, ..Mood::default() };
    let mut world = World::new(setting);
    calls(&mut world);
    pauses(40);
    let deadline =
        if happens(60) { FOREVER } else { Duration::from_millis(thread_rng().gen_range(0..30)) };
    let closed = world.ledger.close(deadline);
    world.judge(Some(closed)).refused_only(|refusal| {
        matches!(refusal, Refusal::Signer(_) | Refusal::Abandoned | Refusal::Closed)
    });
}

/// What gathers under a key is signed by it, and the change waits for that.
pub fn the_key_is_rotated_as_they_gather() {
    let mut world = World::new(setting());
    let second = world.signer(2);
    calls(&mut world);
    world.go(move |caller| {
        pauses(20);
        match caller.ledger().rotate(second) {
            Ok(receipt) => caller.notes.sighted(receipt.sequence, receipt.digest),
            Err(AppendError::Refused(refusal)) => unreachable!("{refusal}"),
            Err(error) => unreachable!("{error}"),
        }
        submits(caller, 2);
    });
    let verdict = world.end();
    verdict.is_faultless();
    let rotated = verdict.chain.iter().filter(|found| found.event_type == "key.rotate").count();
    assert_eq!((rotated, verdict.notes.rotations_refused.load(Ordering::SeqCst)), (1, 0));
}
