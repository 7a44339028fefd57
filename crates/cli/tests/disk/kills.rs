//! Kills: at each call about files of a run and of a recovery, again while that is recovered from, and at any time.

use std::thread;
use std::time::Duration;

use crate::disk::book::Book;
use crate::disk::campaign::{Campaign, Random, has, runs};
use crate::disk::faults::Left;
use crate::disk::place::Place;
use crate::disk::session::{Session, kill};
use crate::disk::strace::{Fault, Happens};

/// How often one ledger is killed before the next one is taken: each kill leaves a segment.
const OFTEN: usize = 25;
/// Of nested kills.
const DEPTH: usize = 3;

#[test]
fn every_call_of_a_run_and_of_a_recovery_is_the_last() {
    let name = "kill -9 at a call of a run, or of a recovery";
    if !has(name, &["strace"], false) {
        return;
    }
    let mut campaign = Campaign::new(name);
    for (number, left) in Left::all().iter().enumerate() {
        let mut random = Random::of(100 + u64::try_from(number).unwrap());
        for fault in random.sample(left.faults(&[Happens::Kill]), 8) {
            let (place, mut book, ended) = left.suffer(&fault);
            let found = match ended {
                Ok((_, false)) => continue,
                Ok((_, true)) => book.goes_on(&place, &[]),
                Err(what) => Err(what),
            };
            campaign.note(&format!("{}: {fault}", left.name), found);
        }
    }
    campaign.end();
}

/// Killed, and killed again in the recovery, and in the recovery of that.
#[test]
fn every_kill_may_be_followed_by_others() {
    let name = "kill -9 at a call, and at calls of the recoveries after it";
    if !has(name, &["strace"], false) {
        return;
    }
    let mut campaign = Campaign::new(name);
    let mut random = Random::of(200);
    for left in Left::all() {
        let faults = left.faults(&[Happens::Kill]);
        for _ in 0..runs(3, 250) {
            let mut now = Left { place: left.place.twin(), book: left.book.clone(), ..left };
            let chosen: Vec<Fault> = (0..DEPTH)
                .map(|_| {
                    let at = random.below(u64::try_from(faults.len()).unwrap());
                    faults[usize::try_from(at).unwrap()].clone()
                })
                .collect();
            let found = chosen.iter().try_for_each(|fault| {
                let (place, book, ended) = now.suffer(fault);
                now = Left { name: left.name, place, book };
                ended.and_then(|_| now.book.is_sound(&now.place))
            });
            let found = found.and_then(|()| now.book.goes_on(&now.place, &[]));
            let shown: Vec<String> = chosen.iter().map(ToString::to_string).collect();
            campaign.note(&format!("{}: {}", left.name, shown.join(", ")), found);
        }
    }
    campaign.end();
}

/// At any time from the start of the process on, while it writes what it can.
#[test]
fn random_kills_lose_nothing() {
    let mut campaign = Campaign::new("kill -9 at any time");
    let mut random = Random::of(300);
    let (mut place, mut book) = (Place::new(), Book::default());
    for number in 1..=runs(40, 10_000) {
        let after = Duration::from_micros(random.below(30_000));
        let found = one(&place, &mut book, after);
        // Looking at all of it costs more than a kill.
        let found = found.and_then(|()| match number % 5 {
            0 => book.goes_on(&place, &[]),
            _ => Ok(()),
        });
        campaign.note(&format!("number {number}, after {after:?}"), found);
        if number % OFTEN == 0 {
            (place, book) = (Place::new(), Book::default());
        }
    }
    campaign.end();
}

fn one(place: &Place, book: &mut Book, after: Duration) -> Result<(), String> {
    let mut session = Session::begin(place, &[], &[]).map_err(|error| error.to_string())?;
    let id = session.id();
    let killer = thread::spawn(move || {
        thread::sleep(after);
        kill(&id.to_string());
    });
    let mut lines = 1;
    'all: loop {
        lines = lines % 5 + 1;
        if !session.send(book, lines, 60) {
            break;
        }
        for _ in 0..lines {
            if session.hear(book)?.is_none() {
                break 'all;
            }
        }
    }
    drop(killer.join());
    session.end(book).map(drop)
}

/// A power cut may take the record of what is durable. What a segment was begun with is durable without it: so a chain whose first
/// entry is all there is can be read, and gone on with.
#[test]
fn a_ledger_without_its_record_goes_on() {
    for events in 0..4 {
        let (place, mut book) = (Place::new(), Book::default());
        for _ in 0..events {
            book.goes_on(&place, &[]).unwrap();
        }
        std::fs::write(place.path("led/durable"), b"").unwrap();
        book.is_sound(&place).unwrap();
        book.goes_on(&place, &[]).unwrap();
        std::fs::remove_file(place.path("led/durable")).unwrap();
        book.goes_on(&place, &[]).unwrap();
    }
}
