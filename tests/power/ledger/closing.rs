//! A ledger that was closed is found so, whatever happens then.

use sigchain::directory::Directory;

use crate::power::ledger::known::Known;
use crate::power::ledger::syncs::is_of_record;
use crate::power::ledger::through::Through;
use crate::power::ledger::{Act, Hand, SEGMENT, told};
use crate::power::sim::Sim;

/// Closes a ledger with so many events, cuts the power, appends one more event. Says how many entries and segments there are then.
fn closed_and_cut(sim: &Sim, seed: u64, events: usize) -> (u64, usize) {
    let mut known = Known::default();
    let folder = || Through::plain(sim.root());
    let mut hand = Hand::new(sim, &mut known, &folder, SEGMENT);
    hand.begin().unwrap();
    (0..events).for_each(|_| hand.act(Act::Append(20)).unwrap());
    hand.known.close(hand.ledger.as_ref().unwrap()).unwrap();
    drop(hand);
    let cut = sim.after_power_cut(seed);
    told(&[sim.clone(), cut.clone()], || {
        let ledger = known.open(&cut, Through::plain(cut.root()), SEGMENT).unwrap();
        known.append(&ledger, 1, 20).unwrap();
        known.look(&cut).unwrap();
        let view = Directory::view(cut.root()).unwrap();
        (view.entries(), view.segments().unwrap().len())
    })
}

/// Nothing but the event is added, and no segment is begun for it: also where the ledger was closed behind the end of a segment.
#[test]
fn after_a_power_cut_a_closed_ledger_goes_on_as_it_was() {
    let mut lengths = Vec::new();
    for events in 0..14 {
        for seed in 0..10 {
            let (entries, segments) = closed_and_cut(&Sim::new(seed), seed, events);
            assert_eq!(entries, u64::try_from(events).unwrap() + 2, "{events} events");
            lengths.push(segments);
        }
    }
    assert!(lengths.is_sorted() && lengths.last() > Some(&1), "{lengths:?}");
}

/// What the sync of the record is for: without it nothing is lost, but nobody can tell that the ledger was closed.
#[test]
fn without_the_sync_of_the_record_nobody_knows_that_it_was_closed() {
    let unknown = (0..40).filter(|seed| {
        let sim = Sim::new(*seed);
        sim.leave_out(is_of_record);
        closed_and_cut(&sim, *seed, 3).0 > 5
    });
    assert!(unknown.count() > 5);
}

/// What a cut has left of a record, and another brings back: it lacked a byte that was zero, and what is written over it later is lost but
/// for its length. By then a segment counts from where that record did not say. [F-record-3]
#[test]
fn a_record_that_could_not_be_read_never_comes_back() {
    for seed in 0..40 {
        let sim = Sim::new(seed);
        let mut known = Known::default();
        let folder = || Through::plain(sim.root());
        let mut hand = Hand::new(&sim, &mut known, &folder, SEGMENT);
        hand.begin().unwrap();
        hand.act(Act::Append(20)).unwrap();
        hand.act(Act::Append(20)).unwrap();
        hand.known.close(hand.ledger.as_ref().unwrap()).unwrap();
        drop(hand);
        let whole = durable(&sim);
        let put = |sim: &Sim, byte: u8| {
            let file = sim.root().open("durable", true).unwrap();
            file.write_at(&[byte], u64::try_from(whole.len() - 1).unwrap()).unwrap();
            file.sync().unwrap();
        };
        let last = *whole.last().unwrap();
        put(&sim, !last);
        let torn = durable(&sim);
        let ledger = known.open(&sim, Through::plain(sim.root()), SEGMENT).unwrap();
        known.append(&ledger, 1, 20).unwrap();
        let cut = sim.after_power_cut(seed);
        drop(ledger);
        if durable(&cut) == torn {
            put(&cut, last);
        }
        told(&[sim.clone(), cut.clone()], || {
            let ledger = known.open(&cut, Through::plain(cut.root()), SEGMENT).unwrap();
            known.append(&ledger, 1, 20).unwrap();
            known.look(&cut).unwrap();
        });
    }
}

/// The record's bytes on the medium.
fn durable(sim: &Sim) -> Vec<u8> {
    let mut found = Vec::new();
    sim.show_files(false, |name, bytes| {
        if name == "durable" {
            found = bytes.to_vec();
        }
    });
    found
}
