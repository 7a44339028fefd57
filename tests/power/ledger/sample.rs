//! A sample of all that may happen: anything is done with a ledger, it ends somewhere in a crash, and what is left crashes again.

use std::time::Instant;

use crate::power::drive::{Explore, Explored, Failure};
use crate::power::ledger::{check, work};
use crate::support::rounds;

#[expect(clippy::print_stderr, reason = "figures, for those who ask with --nocapture")]
fn run(name: &str, explore: &Explore<'_>) -> Result<Explored, Failure> {
    let started = Instant::now();
    let explored = explore.run(work, check)?;
    let millis = usize::try_from(started.elapsed().as_millis()).unwrap();
    eprintln!("{name}: {explored:?}, {} states a second", explored.states * 1000 / millis);
    Ok(explored)
}

/// [F-write-1]
#[test]
fn the_ledger_survives_every_power_cut() {
    let states = rounds(10_000, 500_000);
    let explored = run("power cuts", &Explore::new(1, states)).unwrap();
    assert!(explored.by_depth.iter().all(|count| *count > states / 4), "{explored:?}");
}

#[test]
fn the_ledger_survives_power_cuts_and_kills() {
    let states = rounds(10_000, 250_000);
    let explored = run("power cuts and kills", &Explore::new(2, states).kills()).unwrap();
    assert!(explored.kills > states / 2, "{explored:?}");
}

#[test]
fn the_ledger_survives_power_cuts_kills_and_errors_together() {
    let states = rounds(10_000, 250_000);
    let explored = run("and errors", &Explore::new(3, states).kills().errors()).unwrap();
    assert!(explored.errors > states / 10, "{explored:?}");
}
