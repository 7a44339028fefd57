//! Short workloads, crashed at every operation of the disk, and what is left crashed at every operation of its recovery.

use crate::power::ledger::known::Known;
use crate::power::ledger::{Act, check, script, told};
use crate::power::sim::{Fault, Sim};
use crate::support::{Random, part, tally};

use Act::{Append, Batch, Close, Leave};

/// Segments end behind 2,200 bytes: an event of 1,300 fills one.
const SHORT: &[&[Act]] = &[
    &[],
    &[Append(20)],
    &[Append(20), Append(20)],
    &[Append(1300), Append(20)],
    &[Batch(3), Append(20)],
    &[Close],
    &[Append(20), Close, Append(20)],
    &[Append(1300), Close, Append(20)],
    &[Leave, Append(20)],
    &[Append(20), Leave, Append(20), Leave],
    &[Append(1300), Leave, Batch(2), Close],
    &[Append(20), Leave, Leave, Append(20)],
];

const CRASHES: [Fault; 5] = [
    Fault::CrashBefore,
    Fault::CrashAmid(1),
    Fault::CrashAmid(150),
    Fault::CrashAmid(450),
    Fault::CrashAfter,
];

/// What a crash leaves: of a kill one thing, of a power cut these many.
fn ends(sim: &Sim, cuts: usize, random: &mut Random) -> Vec<Sim> {
    let killed = [sim.after_kill()];
    killed.into_iter().chain((0..cuts).map(|_| sim.after_power_cut(random.next()))).collect()
}

/// Checks what is left, and, crashed at every operation, what is left of that. Says how many states there were.
fn descend(sims: &[Sim], known: &Known, cuts: usize, random: &mut Random) -> usize {
    let last = &sims[sims.len() - 1];
    let mut states = 0;
    for end in ends(last, cuts, random) {
        let all = [sims, std::slice::from_ref(&end)].concat();
        // The same check each time: it is crashed at each of its operations.
        let seed = random.next();
        // The same machine can be had many times.
        let again = end.after_kill();
        told(&all, || check(&again, &mut Random::new(seed), &mut known.clone()).unwrap());
        states += 1;
        for op in (0..again.ops()).filter(|_| cuts > 1) {
            for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                let second = end.after_kill();
                second.plan(op, false, fault);
                let mut known = known.clone();
                let all = [&all[..], std::slice::from_ref(&second)].concat();
                let crashed =
                    told(&all, || check(&second, &mut Random::new(seed), &mut known).is_err());
                assert!(crashed || second.has_crashed(), "operation {op} was not reached");
                states += descend(&all, &known, 1, random);
            }
        }
    }
    states
}

#[expect(clippy::print_stderr, reason = "figures, for those who ask with --nocapture")]
/// [F-open-4]
#[test]
fn short_workloads_survive_a_crash_at_every_operation() {
    let mut random = Random::new(1);
    let mut states = 0;
    // In the sample the second crash is not looked for.
    let cuts = part(1, 4);
    for acts in SHORT {
        let sim = Sim::new(random.next());
        told(std::slice::from_ref(&sim), || script(&sim, &mut Known::default(), acts).unwrap());
        for op in 0..sim.ops() {
            for fault in CRASHES {
                let sim = Sim::new(random.next());
                sim.plan(op, false, fault);
                let mut known = Known::default();
                let all = [sim.clone()];
                // The last operations may be somebody's who is told nothing of them.
                let _ = told(&all, || script(&sim, &mut known, acts));
                assert!(sim.has_crashed(), "{acts:?}: operation {op} was not reached");
                for _ in 0..part(3, 1) {
                    states += descend(&all, &known, cuts, &mut random);
                }
            }
        }
    }
    tally(states);
    eprintln!("{states} states");
    assert!(states > 2000, "{states}");
}
