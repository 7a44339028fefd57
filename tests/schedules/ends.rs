//! Closing, with time and without, and handles that go.

use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use sigchain::error::Refusal;

use crate::support::{FOREVER, Mood, Setting, World, happens, pauses};

fn calls(world: &mut World) {
    world.go(|caller| {
        for _ in 0..3 {
            drop(caller.append());
        }
    });
    world.go(|caller| {
        caller.append_batch(2);
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.extend(caller.submit(true).filter(|_| happens(60)));
        }
        for sent in sent {
            caller.wait(sent);
        }
    });
}

pub fn closed_among_appends() {
    let mood = Mood { fail: if happens(40) { 15 } else { 0 }, ..Mood::default() };
    let mut world = World::new(Setting { is_in_process: happens(60), mood, ..Setting::default() });
    calls(&mut world);
    world.go_read(2);
    let ledger = world.ledger.clone();
    world.go(move |_| {
        pauses(20);
        // Another closes too, and both wait.
        drop(ledger.close(FOREVER));
    });
    pauses(40);
    let closed = world.ledger.close(FOREVER);
    let refused =
        world.ledger.append(sigchain::event::Event::new("agent:late", "test.call").unwrap());
    assert_eq!(refused.unwrap_err(), Refusal::Closed.into());
    world.judge(Some(closed)).refused_only(|refusal| {
        matches!(refusal, Refusal::Signer(_) | Refusal::Abandoned | Refusal::Closed)
    });
}

pub fn closed_when_the_deadline_passes() {
    let mood = Mood { hang: 30, ..Mood::default() };
    let setting = Setting::default();
    let time = if happens(50) { FOREVER } else { Duration::from_millis(20) };
    let options = setting.options.clone().signer_time(time);
    let mut world = World::new(Setting { is_in_process: false, mood, options, ..setting });
    calls(&mut world);
    world.go_read(2);
    pauses(80);
    let closed = world.ledger.close(Duration::from_millis(thread_rng().gen_range(0..10)));
    // Callers are through although their signer hangs: they were refused.
    if happens(50) {
        world.join();
    }
    world.gate.open();
    world.judge(Some(closed)).refused_only(|refusal| {
        matches!(refusal, Refusal::SignerTime | Refusal::Abandoned | Refusal::Closed)
    });
}

pub fn the_last_handle_goes() {
    let mut world = World::new(Setting { is_in_process: happens(50), ..Setting::default() });
    for is_waiting in [false, true] {
        world.go(move |caller| {
            let mut sent = Vec::new();
            for _ in 0..3 {
                sent.extend(caller.submit(true));
            }
            let batch = caller.submit_batch(2);
            if is_waiting {
                // A ticket is no handle: it is waited for when there may be no ledger any more.
                caller.let_go();
                for sent in sent {
                    caller.wait(sent);
                }
                if let Some(batch) = batch {
                    caller.poll_batch(batch);
                }
            }
        });
    }
    world.go(|caller| {
        caller.append().unwrap();
    });
    // What was signed is written, though nobody closed the ledger.
    world.judge(None).is_faultless();
}
