//! Each call about files fails, once or from then on: in a run, in the recovery that follows a kill, and where a ledger is made.

use std::fs;
use std::process::Output;

use crate::disk::book::{Book, Ended};
use crate::disk::campaign::{Campaign, Random, has};
use crate::disk::place::{INIT, Place, text};
use crate::disk::session::{self, runner};
use crate::disk::strace::{ERRORS, Fault, Happens, Trace, calls, watching};

/// A ledger as it was left, and what was said of its events.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) book: Book,
}

impl Left {
    /// Closed after a run with rotations.
    pub(super) fn closed() -> Self {
        let (place, mut book) = (Place::new(), Book::default());
        let ended = session::run(&place, &[], &mut book, &[]).unwrap();
        assert_eq!(ended.exit, Some(0), "{}", ended.said);
        assert_eq!(book.recorded(), session::BURSTS.iter().sum::<usize>());
        assert!(place.path("led/segment-0000000002").exists(), "it was rotated");
        Self { name: "closed", place, book }
    }

    /// This one, after a run that was killed at a call.
    fn killed(&self, name: &'static str, call: &str, number: usize) -> Self {
        let (place, mut book) = (self.place.twin(), self.book.clone());
        let trace = Trace::new();
        let fault = Fault { call: call.to_owned(), number, lasts: false, happens: Happens::Kill };
        let ended = session::run(&place, &fault.by(trace.path()), &mut book, &[]).unwrap();
        assert_eq!(ended.exit, None, "{fault}: {}", ended.said);
        Self { name, place, book }
    }

    /// The ends that a recovery has to cope with.
    pub(super) fn all() -> Vec<Self> {
        let closed = Self::closed();
        // Bytes of a group that nobody synced, and behind them half a frame.
        let torn = closed.killed("killed before a sync, and torn", "fdatasync", 2);
        let mut last: Vec<_> = fs::read_dir(torn.place.path("led")).unwrap().collect();
        last.retain(|name| {
            let name = name.as_ref().unwrap().file_name().into_string().unwrap();
            name.starts_with("segment-")
        });
        let mut names: Vec<_> =
            last.into_iter().map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        torn.place.extend(&format!("led/{}", names.last().unwrap()), b"E\x01\0\0\0\0\x02");
        // Then a segment that holds what was copied, and has no name yet.
        let copied = torn.killed("killed in the recovery", "renameat2", 1);
        assert!(copied.place.path("led/segment.next").exists());
        let rotated = closed.killed("killed in a rotation", "unlinkat", 1);
        vec![closed, torn, copied, rotated]
    }

    /// Each fault of a run over it, with every call that the run makes.
    pub(super) fn faults(&self, happens: &[Happens]) -> Vec<Fault> {
        let (place, mut book) = (self.place.twin(), self.book.clone());
        let trace = Trace::new();
        let ended = session::run(&place, &watching(trace.path()), &mut book, &[]).unwrap();
        assert_eq!(ended.exit, Some(0), "{}", ended.said);
        all(&trace, happens)
    }

    /// A run over it in which something fails. Gives how it ended, and whether it happened.
    pub(super) fn suffer(&self, fault: &Fault) -> (Place, Book, Result<(Ended, bool), String>) {
        let (place, mut book) = (self.place.twin(), self.book.clone());
        let trace = Trace::new();
        let ended = session::run(&place, &fault.by(trace.path()), &mut book, &[]);
        let ended = ended.map(|ended| {
            let happened = ended.exit.is_none() || trace.has_happened();
            (ended, happened)
        });
        (place, book, ended)
    }
}

fn all(trace: &Trace, happens: &[Happens]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (call, (first, last)) in calls(trace.path()) {
        for number in first..=last {
            for happens in happens {
                for lasts in [false, true] {
                    let call = call.clone();
                    // There is nothing after a kill.
                    if !(lasts && *happens == Happens::Kill) {
                        faults.push(Fault { call, number, lasts, happens: *happens });
                    }
                }
            }
        }
    }
    faults
}

pub(super) fn errors() -> Vec<Happens> {
    ERRORS.iter().map(|error| Happens::Error(error)).collect()
}

#[test]
fn every_call_of_a_run_and_of_a_recovery_fails() {
    let name = "an error at a call of a run, or of a recovery";
    if !has(name, &["strace"], false) {
        return;
    }
    let mut campaign = Campaign::new(name);
    for (number, left) in Left::all().iter().enumerate() {
        let mut random = Random::of(u64::try_from(number).unwrap());
        for fault in random.sample(left.faults(&errors()), 12) {
            let (place, mut book, ended) = left.suffer(&fault);
            let found = match ended {
                Ok((_, false)) => continue,
                Ok((_, true)) => book.goes_on(&place, &[]),
                Err(what) => Err(what),
            };
            let found = found.and_then(|()| match random.below(20) {
                0 => place.judged_elsewhere(),
                _ => Ok(()),
            });
            campaign.note(&format!("{}: {fault}", left.name), found);
        }
    }
    campaign.end();
}

/// A ledger that could not be made can be made later, at the same place; or it is there, and goes on.
#[test]
fn every_call_of_a_creation_fails() {
    let name = "an error or a kill at a call of init";
    if !has(name, &["strace"], false) {
        return;
    }
    let trace = Trace::new();
    let output = runner(&Place::empty(), &watching(trace.path())).args(INIT).output().unwrap();
    assert!(output.status.success());
    let mut random = Random::of(9);
    let happens = [&errors()[..], &[Happens::Kill]].concat();
    let mut campaign = Campaign::new(name);
    for fault in random.sample(all(&trace, &happens), 16) {
        let (mut place, trace) = (Place::empty(), Trace::new());
        let output = runner(&place, &fault.by(trace.path())).args(INIT).output().unwrap();
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        if fault.call == "write" && !said.contains("panicked") {
            // Standard error is written to as well.
            said.clear();
        }
        let ended = Ended { exit: output.status.code(), said };
        if ended.exit.is_some() && !trace.has_happened() {
            continue;
        }
        let found = ended
            .is_as_documented(&[0, 2, 4, 5, 6, 7])
            .and_then(|()| made(&mut place, &output, &[]));
        campaign.note(&fault.to_string(), found.map_err(|what| format!("{what}; {}", ended.said)));
    }
    campaign.end();
}

/// What `init` did not do can be done later; or it is done, and goes on.
pub(super) fn made(place: &mut Place, output: &Output, more: &[&str]) -> Result<(), String> {
    if !place.is_made_by(output) {
        let again = place.run(&[&INIT[..], more].concat());
        if again.status.code() == Some(2) && text(&again).contains("FS_EXISTS") {
            let event = ["append", "led", "--type", "a.c", "--actor", "a"];
            let output = place.run(&[&event[..], more].concat());
            let told = output.status.success();
            return if told { Ok(()) } else { Err(format!("append: {}", text(&output))) };
        }
        if !place.is_made_by(&again) {
            return Err(format!("init again: {}", text(&again)));
        }
    }
    Book::default().goes_on(place, more)
}
