//! Every sync is needed: without it, or with its answer before it is done, something that was acknowledged is lost, and noticed.

use std::io;

use crate::power::drive::Explore;
use crate::power::ledger::known::Known;
use crate::power::ledger::through::Through;
use crate::power::ledger::{check, work, work_in};
use crate::power::sim::{Sim, Step, What};
use crate::support::Random;

type Which = fn(&Step) -> bool;

pub fn is_of_record(step: &Step) -> bool {
    &*step.path == "durable"
}

fn is_of_folder(step: &Step) -> bool {
    step.what == What::SyncFolder
}

/// The operation of a creation that syncs the folder.
const CREATED: u64 = 6;

/// All syncs but that of the record, which `closing` asks for.
const SYNCS: [(&str, Which); 4] = [
    ("of a segment that is made", |step| &*step.path == "segment.next"),
    ("of a group", |step| step.path.starts_with("segment-")),
    ("of the folder when the ledger is created", |step| is_of_folder(step) && step.op == CREATED),
    ("of the folder behind a new segment", |step| is_of_folder(step) && step.op != CREATED),
];

/// How many states it took until it was noticed, if it was.
fn noticed(
    seed: u64,
    prepare: impl Fn(&Sim),
    work: impl Fn(&Sim, &mut Random, &mut Known) -> io::Result<()>,
) -> Option<usize> {
    Explore::new(seed, 2000)
        .kills()
        .prepare(prepare)
        .run(work, check)
        .err()
        .map(|failure| failure.after)
}

#[expect(clippy::print_stderr, reason = "figures, for those who ask with --nocapture")]
/// [F-segment-1]
#[test]
fn every_sync_that_is_left_out_is_noticed() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        work(&sim, &mut Random::new(seed), &mut Known::default()).unwrap();
        for step in sim.syncs().iter().filter(|step| !is_of_record(step)) {
            assert_eq!(SYNCS.iter().filter(|(_, which)| which(step)).count(), 1, "{step:?}");
        }
        assert!(is_of_folder(&sim.steps()[usize::try_from(CREATED).unwrap()]));
    }
    for (name, which) in SYNCS {
        let after = noticed(4, |sim| sim.leave_out(which), work);
        eprintln!("without the sync {name}: noticed after {} states", after.expect(name));
    }
}

#[test]
fn a_sync_that_answers_before_it_is_done_is_noticed() {
    let after = noticed(
        5,
        |_| (),
        |sim, random, known| work_in(&|| Through::hasty(sim.root()), sim, random, known),
    );
    assert!(after.is_some());
}
