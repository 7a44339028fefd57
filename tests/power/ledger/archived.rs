//! A ledger whose segments leave for archives and come back, and a crash at each step of both: an entry that was acknowledged is in the
//! ledger, or in an archive of which the chain says that it was made; and whoever does it again gets to the end.

#![expect(clippy::print_stdout, reason = "the table of `./torture`")]

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use sigchain::digest::Digest;
use sigchain::directory::{Archivable, Directory, Limits};
use sigchain::event::Event;
use sigchain::frame::{Gap, GapReason, Written};
use sigchain::ledger::{Files, Genesis, Ledger, Moved, Options, Signers, Way};
use sigchain::store::{Absent, Frames, Store as _};
use sigchain::verify::Verifier;

use crate::power::ledger::SEGMENT;
use crate::power::sim::{Fault, Sim};
use crate::support::{checkpoint_key, entry_key, rounds};

const SOON: Duration = Duration::from_secs(9);
const EVENTS: usize = 30;

fn limits() -> Limits {
    Limits { bytes: SEGMENT, ..Limits::default() }
}

fn options() -> Options {
    let files = Files::new().limits(limits()).anchors(Vec::new());
    Options::new().files(files.reserve(0).scrub(None))
}

fn open(sim: &Sim) -> io::Result<Ledger> {
    let signers = Signers::new(entry_key(), checkpoint_key());
    Ledger::open_in(sim.root(), signers, options())
        .map_err(|error| io::Error::other(error.to_string()))
}

/// A machine with a ledger of several segments, closed.
fn filled(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    let genesis = Genesis::new("example.org/kept", entry_key()).checkpoints(checkpoint_key());
    let ledger = Ledger::create_in(sim.root(), genesis, options()).unwrap();
    for _ in 0..EVENTS {
        ledger.append(Event::new("agent:tester", "test.call").unwrap()).unwrap();
    }
    ledger.close(SOON).unwrap();
    sim
}

/// All entries, as an archive has them.
fn entries(sim: &Sim) -> Vec<Written<'static>> {
    let view = Directory::view(sim.root()).unwrap();
    let mut frames = Frames::new();
    let read = |sequence: u64| {
        view.read(sequence, 1, &mut frames).unwrap();
        let frame = frames.iter().next().unwrap();
        Written::parse(frame.left, frame.body).unwrap().into_owned()
    };
    (0..view.entries()).map(read).collect()
}

/// Puts on record what has moved, or is about to.
fn record(sim: &Sim, way: Way, ranges: &[(u64, u64)]) -> io::Result<()> {
    let ledger = open(sim)?;
    for (first, count) in ranges {
        let moved = Moved {
            first: *first,
            count: *count,
            root: Digest::ZERO,
            file: Digest::ZERO,
            place: "elsewhere",
            by: "human:tester",
        };
        let recorded = ledger.record_moved(way, &moved);
        recorded.map_err(|error| io::Error::other(error.to_string()))?;
    }
    ledger.close(SOON).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(())
}

/// What `sigchain archive` does, once the archives are safe.
fn archive(sim: &Sim) -> io::Result<()> {
    let chosen = Directory::view(sim.root())?.archivable()?;
    if !chosen.is_empty() {
        let range = |segment: &Archivable| (segment.first, segment.count);
        record(sim, Way::Out, &chosen.iter().map(range).collect::<Vec<_>>())?;
    }
    let directory = Directory::open(sim.root(), limits(), Duration::ZERO)?;
    directory.finish_retiring()?;
    chosen.iter().try_for_each(|segment| directory.retire(segment.ordinal))
}

/// What `sigchain restore` does.
fn restore(sim: &Sim, archive: &[Written<'static>]) -> io::Result<()> {
    let mut missing: BTreeMap<u64, Vec<Gap>> = BTreeMap::new();
    for (ordinal, gap) in Directory::view(sim.root())?.archived()? {
        missing.entry(ordinal).or_default().push(gap);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let range = |gaps: &Vec<Gap>| (gaps[0].first, gaps.iter().map(|gap| gap.count).sum());
    record(sim, Way::Back, &missing.values().map(range).collect::<Vec<_>>())?;
    let directory = Directory::open(sim.root(), limits(), Duration::ZERO)?;
    for (ordinal, gaps) in &missing {
        let within = |written: &&Written<'_>| {
            let sequence = written.fields.sequence;
            gaps.iter().any(|gap| (gap.first..gap.end()).contains(&sequence))
        };
        let mut wanted = archive.iter().filter(within).map(|written| Ok(written.clone()));
        directory.bring_back(*ordinal, &mut wanted)?;
    }
    Ok(())
}

/// How many entries of the archive are not in the ledger. It verifies, what it has is what it had, and what it has not it says has left.
fn missing(sim: &Sim, archive: &[Written<'static>], story: &str) -> usize {
    let view = Directory::view(sim.root()).unwrap();
    let report = Verifier::new().open_ended(true).run(view.stream().unwrap()).unwrap();
    assert_eq!(report.faults, Vec::new(), "{story}");
    assert!(report.gaps.are_proven(), "{story}");
    let (mut frames, mut missing) = (Frames::new(), 0);
    for expected in archive {
        match view.read(expected.fields.sequence, 1, &mut frames) {
            Ok(()) => {
                let frame = frames.iter().next().unwrap();
                let found = Written::parse(frame.left, frame.body).unwrap();
                assert_eq!(found, *expected, "{story}");
            }
            Err(error) => {
                let absent = Absent::of(&error).unwrap_or_else(|| panic!("{error}\n{story}"));
                assert_eq!(absent.gap.reason, GapReason::Archived, "{story}");
                missing += 1;
            }
        }
    }
    let mut types = Vec::new();
    for sequence in u64::try_from(archive.len()).unwrap()..view.entries() {
        if view.read(sequence, 1, &mut frames).is_err() {
            // What came later may have left, too.
            continue;
        }
        let frame = frames.iter().next().unwrap();
        types.push(Written::parse(frame.left, frame.body).unwrap().fields.event_type.into_owned());
    }
    assert!(missing == 0 || types.iter().any(|found| found == "recovery.archived"), "{story}");
    missing
}

/// Events are taken, behind all that was there.
fn goes_on(sim: &Sim) {
    let before = Directory::view(sim.root()).unwrap().entries();
    let ledger = open(sim).unwrap();
    let receipt = ledger.append(Event::new("agent:tester", "test.call").unwrap()).unwrap();
    assert!(receipt.sequence >= before);
    ledger.close(SOON).unwrap();
}

/// The files of this kind.
fn files(sim: &Sim, kind: &str) -> Vec<String> {
    let mut names = sim.root().names().unwrap();
    names.retain(|name| name.starts_with(kind));
    names.sort();
    names
}

fn seeds() -> u64 {
    u64::try_from(rounds(2, 40)).unwrap()
}

/// As the next process finds the machine: after a power cut, or only after a kill.
fn next(sim: &Sim, seed: u64) -> Sim {
    if seed.is_multiple_of(2) { sim.after_power_cut(seed) } else { sim.after_kill() }
}

/// Ends a machine at each of its operations while something is done with it, and hands on what is left.
fn crashes(
    base: &Sim,
    seed: u64,
    done: impl Fn(&Sim) -> io::Result<()>,
    look: impl Fn(&Sim, &str),
) -> u64 {
    for op in 0.. {
        let sim = base.after_kill();
        sim.plan(sim.ops() + op, false, Fault::CrashBefore);
        let ended = done(&sim);
        if !sim.has_crashed() {
            ended.unwrap();
            return op;
        }
        let story = format!("seed {seed}, operation {op}: {:#?}", sim.steps());
        look(&next(&sim, seed), &story);
    }
    0
}

/// [F-archive-2]
#[test]
fn a_crash_at_any_step_of_archiving_loses_nothing() {
    let (mut runs, mut partly) = (0, 0);
    for seed in 0..seeds() {
        let base = filled(seed);
        let all = entries(&base);
        assert!(Directory::view(base.root()).unwrap().archivable().unwrap().len() > 1);
        let is_partly = std::cell::Cell::new(0);
        runs += crashes(&base, seed, archive, |sim, story| {
            let gone = missing(sim, &all, story);
            goes_on(sim);
            archive(sim).unwrap();
            let in_the_end = missing(sim, &all, story);
            assert!(in_the_end >= gone && in_the_end > 0, "{story}");
            // No segment stays beside what stands in for it.
            for name in files(sim, "standin-") {
                let segment = name.replace("standin", "segment");
                assert!(!files(sim, "segment-").contains(&segment), "{story}");
            }
            goes_on(sim);
            is_partly.set(is_partly.get() + u64::from(gone > 0 && gone < in_the_end));
        });
        partly += is_partly.get();
    }
    println!("torture | crashes while segments leave | {runs} | 0 | {}", seeds());
    assert!(partly > 0);
}

/// [F-archive-4]
#[test]
fn a_crash_at_any_step_of_restoring_loses_nothing() {
    let (mut runs, mut partly) = (0, 0);
    for seed in 0..seeds() {
        let base = filled(seed);
        let all = entries(&base);
        archive(&base).unwrap();
        let away = missing(&base, &all, "archived");
        let is_partly = std::cell::Cell::new(0);
        runs += crashes(
            &base,
            seed,
            |sim| restore(sim, &all),
            |sim, story| {
                let still = missing(sim, &all, story);
                goes_on(sim);
                restore(sim, &all).unwrap();
                assert_eq!(missing(sim, &all, story), 0, "{story}");
                assert_eq!(files(sim, "standin"), Vec::<String>::new(), "{story}");
                goes_on(sim);
                // And out again, over whatever was left.
                archive(sim).unwrap();
                assert!(missing(sim, &all, story) >= away, "{story}");
                is_partly.set(is_partly.get() + u64::from(still > 0 && still < away));
            },
        );
        partly += is_partly.get();
    }
    println!("torture | crashes while segments come back | {runs} | 0 | {}", seeds());
    assert!(partly > 0);
}
