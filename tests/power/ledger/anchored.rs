//! What readers find after a power cut, before anybody has opened the ledger to append, is no less than an anchor knows: otherwise a
//! crash would look like a ledger that was cut.

use std::sync::Arc;

use sigchain::anchor::{Anchors, Local};
use sigchain::directory::{Directory, Limits};
use sigchain::event::Event;
use sigchain::ledger::{Fence, Files, Genesis, Ledger, Options};

use crate::power::ledger::SEGMENT;
use crate::power::ledger::syncs::is_of_record;
use crate::power::sim::Sim;
use crate::support::{checkpoint_key, entry_key};

/// Entries that the anchor knows, and those that a reader finds, after so many events and a power cut.
fn cut(sim: &Sim, seed: u64, events: usize) -> (u64, u64) {
    // On another disk, which is not cut.
    let anchors: Arc<dyn Anchors> = Arc::new(Local::within(Sim::new(seed).root()));
    let limits = Limits { bytes: SEGMENT, ..Limits::default() };
    let files = Files::new().limits(limits).fence(Fence::Sync);
    let files = files.anchors(vec![Arc::clone(&anchors)]);
    let genesis = Genesis::new("example.org/cut", entry_key()).checkpoints(checkpoint_key());
    let ledger = Ledger::create_in(sim.root(), genesis, Options::new().files(files)).unwrap();
    for _ in 0..events {
        ledger.append(Event::new("agent:tester", "test.call").unwrap()).unwrap();
    }
    let left = sim.after_power_cut(seed);
    let known = anchors.latest(&ledger.chain_id()).unwrap().unwrap().size;
    (known, Directory::view(left.root()).unwrap().entries())
}

/// [F-record-1]
#[test]
fn readers_find_what_is_anchored_after_a_power_cut() {
    for events in 0..12 {
        for seed in 0..10 {
            let (known, found) = cut(&Sim::new(seed), seed, events);
            assert_eq!(known, u64::try_from(events).unwrap() + 1);
            assert!(
                found >= known,
                "{events} events, seed {seed}: {known} anchored, {found} found"
            );
        }
    }
}

/// What the sync of the record is for.
#[test]
fn without_the_sync_of_the_record_they_do_not() {
    let less = (0..40).filter(|seed| {
        let sim = Sim::new(*seed);
        sim.leave_out(is_of_record);
        let (known, found) = cut(&sim, *seed, 3);
        found < known
    });
    assert!(less.count() > 5);
}
