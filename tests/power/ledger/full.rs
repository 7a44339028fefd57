//! The disk is full, and stays so: appends are refused, the chain says so in the room that the reserve had, and when there is room again it
//! says how many there were. Whatever crashes on the way.

use std::io;

use sigchain::codec::Reader;
use sigchain::directory::Directory;
use sigchain::error::{AppendError, Refusal};
use sigchain::frame::Written;
use sigchain::payload::Part;
use sigchain::store::{Frames, Store as _};

use crate::power::ledger::known::Known;
use crate::power::ledger::through::Through;
use crate::power::ledger::{Hand, check, told};
use crate::power::sim::{Fault, Sim};
use crate::support::{Random, rounds, step};

/// Bytes of the reserve: a few entries.
const RESERVE: u64 = 4000;

/// What a `recovery.refused` says, in the order of its map.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    over: bool,
    cause: String,
    last: i64,
    refused: u64,
    first: i64,
}

fn said(written: &Written<'_>) -> Option<Said> {
    let fields = &written.fields;
    let Part::Whole(leaf) = &written.part else { return None };
    if fields.event_type != "recovery.refused" {
        return None;
    }
    let r = &mut Reader::new(&leaf.bytes);
    assert_eq!(r.map().unwrap(), 5);
    r.key("over").unwrap();
    let over = r.bool().unwrap();
    r.key("cause").unwrap();
    let cause = r.text().unwrap().to_owned();
    r.key("last_us").unwrap();
    let last = r.int().unwrap();
    r.key("refused").unwrap();
    let refused = r.uint().unwrap();
    r.key("first_us").unwrap();
    let first = r.int().unwrap();
    r.finish().unwrap();
    assert!(first <= last && refused > 0, "{first} {last} {refused}");
    Some(Said { over, cause, last, refused, first })
}

/// All that readers find by now: types, and what is said of refusals.
fn story(sim: &Sim) -> (Vec<String>, Vec<Said>) {
    let view = Directory::view(sim.root()).unwrap();
    let (mut types, mut all, mut frames) = (Vec::new(), Vec::new(), Frames::new());
    while let Ok(next) = u64::try_from(types.len()) {
        view.read(next, 100, &mut frames).unwrap();
        if frames.is_empty() {
            break;
        }
        for frame in frames.iter() {
            let written = Written::parse(frame.left, frame.body).unwrap();
            types.push(written.fields.event_type.clone().into_owned());
            all.extend(said(&written));
        }
    }
    (types, all)
}

fn known() -> Known {
    let mut known = Known::default();
    known.reserve = RESERVE;
    known
}

fn is_refused(hand: &mut Hand<'_>) -> bool {
    matches!(hand.known.outcome.take(), Some(AppendError::Refused(Refusal::Store(_))))
}

/// Fills the disk but for so many bytes, asks for so much in vain, makes room and goes on.
fn starve(
    sim: &Sim,
    known: &mut Known,
    (left, len, count): (usize, usize, usize),
) -> io::Result<()> {
    let folder = || Through::plain(sim.root());
    let mut hand = Hand::new(sim, known, &folder, 1 << 20);
    hand.begin()?;
    let ledger = hand.ledger.clone().unwrap();
    hand.known.append(&ledger, 1, 20)?;
    sim.fill(left);
    let first = hand.known.append(&ledger, count, len);
    if sim.has_crashed() {
        return first;
    }
    assert!(first.is_err() && is_refused(&mut hand), "{first:?}");
    let before = sim.ops();
    for _ in 0..3 {
        let next = hand.known.append(&ledger, 1, 0);
        if sim.has_crashed() {
            return next;
        }
        assert!(next.is_err() && is_refused(&mut hand), "{next:?}");
    }
    assert_eq!(sim.ops(), before, "what is refused costs nothing");
    if sim.has_crashed() {
        return first;
    }
    let (types, all) = story(sim);
    assert_eq!(types[types.len() - 2..], ["chain.abandoned", "recovery.refused"]);
    let refused = u64::try_from(count).unwrap();
    assert!(all.len() == 1 && !all[0].over && all[0].refused == refused, "{all:?}");
    // Room for the reserve and hardly more is none.
    sim.fill(usize::try_from(RESERVE).unwrap() + 900);
    let next = hand.known.append(&ledger, 1, 0);
    assert!(next.is_err() && is_refused(&mut hand) && sim.ops() == before, "{next:?}");
    sim.hold(1 << 40);
    hand.known.append(&ledger, 1, 20)?;
    if sim.has_crashed() {
        // The record of what is durable may be what it crashed at: nobody waits for that.
        return first;
    }
    let (types, all) = story(sim);
    assert_eq!(types[types.len() - 2..], ["recovery.refused", "test.call"]);
    let last = &all[1];
    assert!(all.len() == 2 && last.over && last.refused == refused + 4, "{all:?}");
    assert_eq!((&*last.cause, last.first), ("ENOSPC", all[0].first));
    hand.known.close(&ledger)
}

/// However little is left, and however much is asked for.
/// [F-full-2]
#[test]
fn a_full_disk_is_on_record() {
    let mut random = Random::new(4);
    for left in (0..1200).step_by(step(61)) {
        for (len, count) in [(1300, 1), (700, 4)] {
            let sim = Sim::new(random.next());
            let mut known = known();
            told(std::slice::from_ref(&sim), || {
                starve(&sim, &mut known, (left, len, count)).unwrap();
                known.look(&sim).unwrap();
            });
        }
    }
}

/// A ledger that is closed while the disk is full says how many were refused by then, and is sealed.
#[test]
fn a_ledger_that_is_closed_on_a_full_disk_says_so() {
    let sim = Sim::new(6);
    let mut known = known();
    let ledger = known.create(Through::plain(sim.root()), 1 << 20).unwrap();
    sim.fill(100);
    for _ in 0..5 {
        known.append(&ledger, 1, 700).unwrap_err();
    }
    known.close(&ledger).unwrap();
    drop(ledger);
    let (types, all) = story(&sim);
    assert_eq!(types[1..], ["chain.abandoned", "recovery.refused", "recovery.refused"]);
    let said: Vec<_> = all.iter().map(|said| (said.over, said.refused)).collect();
    assert_eq!(said, [(false, 1), (false, 5)]);
    // Opened while it is still so it begins to count anew.
    let ledger = known.open(&sim, Through::plain(sim.root()), 1 << 20).unwrap();
    known.append(&ledger, 1, 700).unwrap_err();
    assert_eq!(story(&sim).1.last().map(|said| said.refused), Some(1));
    sim.hold(1 << 40);
    known.append(&ledger, 1, 700).unwrap();
    known.look(&sim).unwrap();
}

/// What a crash leaves of it opens, with room and without, and holds all that is known.
#[test]
fn a_full_disk_and_a_crash_at_every_operation() {
    let mut random = Random::new(5);
    let (mut states, mut told_of) = (0, 0);
    let what = (300, 1300, 1);
    let sim = Sim::new(random.next());
    starve(&sim, &mut known(), what).unwrap();
    for op in 0..sim.ops() {
        for fault in [Fault::CrashBefore, Fault::CrashAmid(200), Fault::CrashAfter] {
            for _ in 0..rounds(1, 50) {
                let sim = Sim::new(random.next());
                sim.plan(op, false, fault);
                let mut known = known();
                let _ = told(std::slice::from_ref(&sim), || starve(&sim, &mut known, what));
                assert!(sim.has_crashed(), "operation {op} was not reached");
                for end in [sim.after_kill(), sim.after_power_cut(random.next())] {
                    let all = [sim.clone(), end.clone()];
                    let mut known = known.clone();
                    told_of += told(&all, || go_on(&end, &mut random, &mut known));
                    states += 1;
                }
            }
        }
    }
    assert!(states > 100 && told_of > states / 4, "{told_of} of {states}");
}

/// Opens it while the disk may be full, asks in vain, makes room, and goes on. Says whether a refusal is on record by then.
fn go_on(sim: &Sim, random: &mut Random, known: &mut Known) -> usize {
    let mut told_of = 0;
    if random.below(2) == 0 {
        // Somebody has taken what there was left.
        sim.fill(random.below(300));
    }
    let folder = || Through::plain(sim.root());
    let opened = known.is_known().then(|| known.open(sim, folder(), 1 << 20).ok()).flatten();
    // Before there is an entry readers find nothing.
    let said = || Directory::view(sim.root()).map_or(0, |_| story(sim).1.len());
    let before = said();
    if let Some(ledger) = opened
        && known.append(&ledger, 1, 1300).is_err()
    {
        assert!(matches!(known.outcome.take(), Some(AppendError::Refused(Refusal::Store(_)))));
        told_of = said() - before;
        sim.hold(1 << 40);
        let next = known.append(&ledger, 1, 20);
        // There may have been no room to say so: then it goes on when it is opened again.
        let found = known.outcome.take();
        let is_failed = matches!(found, Some(AppendError::Refused(Refusal::LedgerFailed(_))));
        assert!(next.is_ok() != is_failed && (told_of == 0 || next.is_ok()), "{next:?}");
    }
    sim.hold(1 << 40);
    check(sim, random, known).unwrap();
    told_of
}
