//! Signers that fail, panic, lie and hang, in the process and outside it.

use shuttle::rand::{Rng, thread_rng};
use sigchain::error::Refusal;
use std::time::Duration;

use crate::support::{Caller, Mood, Setting, World, happens, pauses};

/// What callers do to a ledger whose signer is not to be relied upon.
fn calls(world: &mut World) {
    world.go(|caller| {
        for _ in 0..3 {
            drop(caller.append());
        }
    });
    world.go(|caller| {
        caller.append_batch(2);
        caller.append_batch(2);
    });
    world.go(|caller: &mut Caller| {
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.extend(caller.submit(true).filter(|_| happens(60)));
        }
        for sent in sent {
            if happens(50) {
                caller.poll(sent);
            } else {
                caller.wait(sent);
            }
        }
    });
    world.go_read(2);
}

pub fn one_in_the_process_fails() {
    let mood = Mood { fail: 12, panic: 12, ..Mood::default() };
    let mut world = World::new(Setting { mood, ..Setting::default() });
    calls(&mut world);
    world.end().refused_only(|refusal| {
        matches!(refusal, Refusal::Signer(_) | Refusal::SignerPanicked | Refusal::Abandoned)
    });
}

pub fn one_outside_signs() {
    let setting = Setting::default();
    let options = setting.options.clone().signing_threads(thread_rng().gen_range(1..=3));
    let mut world = World::new(Setting { is_in_process: false, options, ..setting });
    calls(&mut world);
    world.end().is_faultless();
}

pub fn one_outside_fails() {
    let mood = Mood { fail: 10, panic: 10, lie: 10, ..Mood::default() };
    let setting = Setting::default();
    let options = setting.options.clone().signing_threads(thread_rng().gen_range(1..=3));
    let mut world = World::new(Setting { is_in_process: false, mood, options, ..setting });
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

/// Its time goes on whenever somebody looks, and what hangs is let go at some moment, with signatures that come too late.
pub fn one_outside_hangs() {
    let mood = Mood { hang: 30, fail: 5, ..Mood::default() };
    let setting = Setting::default();
    let time = Duration::from_millis(thread_rng().gen_range(1..60));
    let options = setting.options.clone().signer_time(time);
    let options = options.signing_threads(thread_rng().gen_range(1..=3));
    let mut world = World::new(Setting { is_in_process: false, mood, options, ..setting });
    calls(&mut world);
    let gate = world.gate.clone();
    if happens(70) {
        world.go(move |_| {
            pauses(60);
            gate.open();
        });
    }
    world.join();
    // Whoever waited is through, though what hung may still hang.
    world.gate.open();
    world.end().refused_only(|refusal| {
        matches!(refusal, Refusal::Signer(_) | Refusal::SignerTime | Refusal::Abandoned)
    });
}
