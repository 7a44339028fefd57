//! Calls that fail, once or for ever: the outcome is right, nothing is acknowledged on top of it, and what is left opens.

use rustix::io::Errno;
use sigchain::error::{AppendError, Refusal};

use crate::power::ledger::known::Known;
use crate::power::ledger::through::Through;
use crate::power::ledger::{Act, Hand, SEGMENT, check, script, told};
use crate::power::sim::{Fault, Sim};
use crate::support::{Random, part, step, tally};

use Act::{Append, Batch, Close, Leave};

const ACTS: &[&[Act]] = &[
    &[Append(20), Batch(3), Append(20)],
    &[Append(1300), Append(1300), Append(20)],
    &[Append(20), Close, Append(20), Close],
    &[Append(20), Leave, Batch(2), Leave, Append(20)],
];

const ERRORS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS];

fn faults(errno: Errno) -> [Fault; 5] {
    let short = |count| Fault::Short(count, errno);
    [Fault::Fail(errno), Fault::FailDone(errno), short(1), short(300), short(700)]
}

/// After an outcome that is not a receipt: the ledger goes on, or refuses all that follows and touches nothing.
fn goes_on_or_refuses(hand: &mut Hand<'_>, heals: bool) {
    let ledger = hand.ledger.as_ref().unwrap();
    let Some(outcome) = hand.known.outcome.take() else { return };
    let before = hand.sim.ops();
    let next = hand.known.append(ledger, 1, 20);
    let failed =
        |outcome: &AppendError| matches!(outcome, AppendError::Refused(Refusal::LedgerFailed(_)));
    match outcome {
        AppendError::Uncertain { .. } => {
            assert!(hand.known.outcome.as_ref().is_some_and(failed), "went on: {next:?}");
            assert_eq!(hand.sim.ops(), before, "the disk was touched after an uncertain outcome");
        }
        outcome if !failed(&outcome) && heals => next.unwrap(),
        AppendError::Refused(_) => {}
    }
}

/// Does these things, asks for one more after each that failed, and opens the ledger again then.
fn suffer(sim: &Sim, known: &mut Known, acts: &[Act], heals: bool) {
    let folder = || Through::plain(sim.root());
    let mut hand = Hand::new(sim, known, &folder, SEGMENT);
    if hand.begin().is_err() {
        return;
    }
    for act in acts {
        let Some(ledger) = &hand.ledger else {
            let _ = hand.reopen();
            continue;
        };
        hand.known.outcome = None;
        let done = match act {
            Append(len) => hand.known.append(ledger, 1, *len),
            Batch(count) => hand.known.append(ledger, *count, 20),
            Close => hand.known.close(ledger),
            _ => Ok(()),
        };
        if done.is_err() {
            goes_on_or_refuses(&mut hand, heals);
        }
        if done.is_err() || matches!(act, Close | Leave) {
            let _ = hand.reopen();
        }
    }
}

/// What is left, on this machine and after a crash.
fn is_left_well(sim: &Sim, known: &Known, random: &mut Random) {
    for end in [sim.after_kill(), sim.after_power_cut(random.next())] {
        let all = [sim.clone(), end.clone()];
        let mut known = known.clone();
        end.hold(1 << 40);
        told(&all, || check(&end, random, &mut known).unwrap());
        // What is there by now survives a power cut: it may have been found in the cache only.
        let cut = end.after_power_cut(random.next());
        let all = [sim.clone(), end, cut.clone()];
        told(&all, || check(&cut, random, &mut known).unwrap());
    }
}

/// [F-write-2]
#[test]
fn any_call_may_fail_in_any_way() {
    let mut random = Random::new(1);
    let mut states = 0;
    for acts in ACTS {
        let sim = Sim::new(0);
        script(&sim, &mut Known::default(), acts).unwrap();
        for op in 0..sim.ops() {
            for (errno, for_ever) in ERRORS.into_iter().flat_map(|e| [(e, false), (e, true)]) {
                for fault in faults(errno) {
                    // The ledger does not ask which error it was: a sample has each of them once in four.
                    if part(random.below(4), 0) > 0 {
                        continue;
                    }
                    let sim = Sim::new(random.next());
                    sim.plan(op, for_ever, fault);
                    let mut known = Known::default();
                    told(std::slice::from_ref(&sim), || suffer(&sim, &mut known, acts, !for_ever));
                    is_left_well(&sim, &known, &mut random);
                    states += 1;
                }
            }
        }
    }
    tally(states);
    assert!(states > 500, "{states}");
}

/// The disk is full at each of these sizes; then somebody makes room.
#[test]
fn the_disk_may_be_full_at_any_size() {
    let mut random = Random::new(2);
    let mut full = 0;
    for capacity in (0..6500).step_by(step(29)) {
        let acts = ACTS[capacity % ACTS.len()];
        let sim = Sim::new(random.next());
        sim.hold(capacity);
        let mut known = Known::default();
        told(std::slice::from_ref(&sim), || suffer(&sim, &mut known, acts, false));
        full += usize::from(sim.errors() > 0);
        is_left_well(&sim, &known, &mut random);
    }
    assert!(full > 100, "{full}");
}

/// As soon as there is room again the same process goes on, with the ledger opened again: what did not fit filled the disk, so that
/// there was no room either to say that it does not count.
/// [F-full-1]
#[test]
fn after_a_full_disk_the_same_process_goes_on() {
    let mut random = Random::new(3);
    let mut count = 0;
    for capacity in (870..6500).step_by(step(37)) {
        let sim = Sim::new(random.next());
        sim.hold(capacity);
        let mut known = Known::default();
        told(std::slice::from_ref(&sim), || {
            let folder = || Through::plain(sim.root());
            let mut hand = Hand::new(&sim, &mut known, &folder, 1 << 20);
            hand.begin().unwrap();
            while hand.known.append(hand.ledger.as_ref().unwrap(), 1, 100).is_ok() {}
            assert!(matches!(hand.known.outcome, Some(AppendError::Uncertain { .. })));
            count += 1;
            sim.hold(1 << 40);
            hand.reopen().unwrap();
            hand.act(Append(20)).unwrap();
            hand.act(Close).unwrap();
        });
        is_left_well(&sim, &known, &mut random);
    }
    assert!(count > 100, "{count}");
}
