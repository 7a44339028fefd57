//! Stores that refuse, or do not know.

use sigchain::error::Refusal;

use crate::support::{Mood, Setting, Temper, World, happens};

fn calls(world: &mut World) {
    for _ in 0..2 {
        world.go(|caller| {
            for _ in 0..3 {
                drop(caller.append());
            }
        });
    }
    world.go(|caller| {
        caller.append_batch(3);
        caller.append_batch(2);
    });
    world.go(|caller| {
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.extend(caller.submit(true).filter(|_| happens(60)));
        }
        for sent in sent {
            caller.wait(sent);
        }
    });
    world.go_read(2);
}

pub fn one_refuses() {
    let temper = Temper { refuse: 25, ..Temper::default() };
    let mut world =
        World::new(Setting { is_in_process: happens(60), temper, ..Setting::default() });
    calls(&mut world);
    world.end().refused_only(|refusal| matches!(refusal, Refusal::Store(_) | Refusal::Abandoned));
}

pub fn one_is_uncertain() {
    let temper = Temper { refuse: 10, uncertain: 15 };
    let mood = Mood { fail: if happens(30) { 15 } else { 0 }, ..Mood::default() };
    let mut world =
        World::new(Setting { is_in_process: happens(60), mood, temper, ..Setting::default() });
    calls(&mut world);
    world.end().refused_only(|refusal| {
        matches!(
            refusal,
            Refusal::Store(_) | Refusal::Abandoned | Refusal::Signer(_) | Refusal::LedgerFailed(_)
        )
    });
}
