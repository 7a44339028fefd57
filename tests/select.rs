//! Reading what a filter wants, and following a ledger: the same as looking at every entry, whatever the ledger lies in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sigchain::chainfile::Form;
use sigchain::directory::{Directory, Limits};
use sigchain::disk;
use sigchain::entry::Fields;
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::id::{EventId, TraceId};
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::payload::Payload;
use sigchain::point::Point;
use sigchain::select::Filter;
use sigchain::stamp::{Stamp, ValidTime};

use crate::support::Random;

const SOON: Duration = Duration::from_secs(10);

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

/// A path where nothing is.
fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("select").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

/// With segments of a few entries.
fn options() -> Options {
    let limits = Limits { bytes: 6000, ..Limits::default() };
    Options::new().files(Files::new().limits(limits).anchors(Vec::new()))
}

fn create(path: &Path) -> Ledger {
    let genesis = Genesis::new("example.org/select", key(1)).checkpoints(key(2));
    Ledger::create_at(path, genesis, options()).unwrap()
}

fn open(path: &Path) -> Ledger {
    let signers = Signers::new(key(1), key(2));
    // A thread of one that was let go of may have it a little longer.
    let files = Files::new().wait(SOON).anchors(Vec::new());
    let limits = Limits { bytes: 6000, ..Limits::default() };
    Ledger::open_at(path, signers, options().files(files.limits(limits))).unwrap()
}

fn view(path: &Path) -> Directory {
    Directory::view(disk::open_to_read(path).unwrap()).unwrap()
}

const TYPES: [&str; 5] = ["lab.request", "lab.response", "test.call", "lab.test.call", "note"];

fn trace(n: usize) -> TraceId {
    TraceId::from_bytes([u8::try_from(n + 1).unwrap(); 16]).unwrap()
}

/// Microseconds from one on and before another, or without one of the two; a few, so that many meet.
fn span(random: &mut Random) -> (Option<ValidTime>, Option<ValidTime>) {
    let micros = |at: usize| ValidTime::from_micros(i64::try_from(at).unwrap());
    let from = random.below(9);
    let to = from + 1 + random.below(3);
    match random.below(3) {
        0 => (micros(from), None),
        1 => (None, micros(to)),
        _ => (micros(from), micros(to)),
    }
}

/// Whether a microsecond is within both: none of theirs is before 0 or beyond 12.
fn meet(
    (from, to): (Option<ValidTime>, Option<ValidTime>),
    (valid_from, valid_to): (Option<ValidTime>, Option<ValidTime>),
) -> bool {
    let begun = |time: Option<ValidTime>, at: i64| time.is_none_or(|time| time.micros() <= at);
    let over = |time: Option<ValidTime>, at: i64| time.is_some_and(|time| time.micros() <= at);
    (-1..14)
        .any(|at| begun(from, at) && !over(to, at) && begun(valid_from, at) && !over(valid_to, at))
}

fn anything(random: &mut Random) -> Event {
    let mut event =
        Event::new(["agent:a", "agent:b", "a"][random.below(3)], TYPES[random.below(5)]).unwrap();
    if random.below(2) == 0 {
        event = event.episode(["run-1", "run-2"][random.below(2)]).unwrap();
    }
    if random.below(2) == 0 {
        event = event.correlation(["c-1", "c-2"][random.below(2)]).unwrap();
    }
    if random.below(3) == 0 {
        event = event.trace(trace(random.below(2)), None);
    }
    if random.below(2) == 0 {
        let (from, to) = span(random);
        event = event.valid(from, to).unwrap();
    }
    let bytes = vec![b'x'; random.below(200)];
    event.payload(Payload::new("application/octet-stream", bytes).unwrap())
}

/// Some entries in several segments, by writers one of which did not close it.
fn filled(name: &str, entries: usize) -> (PathBuf, Ledger, Vec<Written<'static>>) {
    let path = fresh(name);
    let mut random = Random::new(11);
    let mut ledger = create(&path);
    for number in 0..entries {
        if number == entries / 3 {
            ledger.close(SOON).unwrap();
            ledger = open(&path);
        }
        if number == entries / 2 {
            drop(ledger);
            ledger = open(&path);
        }
        ledger.append(anything(&mut random)).unwrap();
    }
    let size = ledger.head().sequence + 1;
    let all = (0..size).map(|at| ledger.entry(at).unwrap().unwrap()).collect();
    (path, ledger, all)
}

/// A point in or beside a chain, whatever names it.
fn point(random: &mut Random, all: &[Written<'_>]) -> Point {
    let fields = &all[random.below(all.len())].fields;
    let stamp = fields.system_time;
    match random.below(7) {
        0 => Point::Sequence(fields.sequence),
        1 => Point::Sequence(u64::try_from(all.len() + random.below(3)).unwrap()),
        2 => Point::Stamp(stamp),
        3 => Point::Stamp(Stamp::new(stamp.as_u64() - 1)),
        4 => Point::Time(ValidTime::from_micros(stamp.micros()).unwrap()),
        5 => Point::Time(ValidTime::from_micros(stamp.micros() + 1).unwrap()),
        _ => Point::Event(fields.event_id),
    }
}

type Question = Box<dyn Fn(&Fields<'_>) -> bool>;

/// What is asked for, as a filter and as plain questions.
struct Asked {
    filter: Filter,
    since: Option<Point>,
    until: Option<Point>,
    holds: Vec<Question>,
}

impl Asked {
    fn new(random: &mut Random, all: &[Written<'_>]) -> Self {
        let mut asked = Self { filter: Filter::new(), since: None, until: None, holds: Vec::new() };
        let mut filter = Filter::new();
        if random.below(2) == 0 {
            asked.since = Some(point(random, all));
        }
        if random.below(2) == 0 {
            asked.until = Some(point(random, all));
        }
        if let Some(since) = asked.since {
            filter = filter.since(since);
        }
        if let Some(until) = asked.until {
            filter = filter.until(until);
        }
        if random.below(2) == 0 {
            filter = filter.event_type("lab.*").unwrap();
            let more = random.below(2) == 0;
            if more {
                filter = filter.event_type("note").unwrap();
            }
            asked.holds.push(Box::new(move |fields| {
                fields.event_type.starts_with("lab.") || (more && fields.event_type == "note")
            }));
        }
        if random.below(3) == 0 {
            filter = filter.actor("agent:a").unwrap();
            asked.holds.push(Box::new(|fields| fields.actor == "agent:a"));
        }
        if random.below(3) == 0 {
            filter = filter.episode("run-2").unwrap();
            asked.holds.push(Box::new(|fields| fields.episode_id.as_deref() == Some("run-2")));
        }
        if random.below(3) == 0 {
            filter = filter.correlation("c-1").unwrap();
            asked.holds.push(Box::new(|fields| fields.correlation_id.as_deref() == Some("c-1")));
        }
        if random.below(3) == 0 {
            filter = filter.trace(trace(0));
            asked.holds.push(Box::new(|fields| fields.trace_id == Some(trace(0))));
        }
        if random.below(4) == 0 {
            let asks = span(random);
            filter = filter.valid(asks.0, asks.1);
            asked.holds.push(Box::new(move |fields| {
                let says = (fields.valid_from, fields.valid_to);
                says != (None, None) && meet(asks, says)
            }));
        }
        asked.filter = filter;
        asked
    }

    /// By looking at every entry.
    fn slowly(&self, all: &[Written<'static>]) -> Vec<Written<'static>> {
        let event = |id: EventId| all.iter().find(|one| one.fields.event_id == id).unwrap();
        let not_before = |fields: &Fields<'_>| match self.since {
            None => true,
            Some(Point::Sequence(sequence)) => fields.sequence >= sequence,
            Some(Point::Stamp(stamp)) => fields.system_time >= stamp,
            Some(Point::Time(time)) => fields.system_time.micros() >= time.micros(),
            Some(Point::Event(id)) => fields.sequence >= event(id).fields.sequence,
            Some(_) => unreachable!(),
        };
        let not_behind = |fields: &Fields<'_>| match self.until {
            None => true,
            Some(Point::Sequence(sequence)) => fields.sequence <= sequence,
            Some(Point::Stamp(stamp)) => fields.system_time <= stamp,
            Some(Point::Time(time)) => fields.system_time.micros() <= time.micros(),
            Some(Point::Event(id)) => fields.sequence <= event(id).fields.sequence,
            Some(_) => unreachable!(),
        };
        let is_wanted = |one: &&Written<'static>| {
            let fields = &one.fields;
            not_before(fields) && not_behind(fields) && self.holds.iter().all(|holds| holds(fields))
        };
        all.iter().filter(is_wanted).cloned().collect()
    }
}

fn collect(found: impl Iterator<Item = io::Result<Written<'static>>>) -> Vec<Written<'static>> {
    found.map(Result::unwrap).collect()
}

#[test]
fn what_is_found_is_what_a_look_at_every_entry_finds_wherever_the_chain_lies() {
    let (path, ledger, all) = filled("found", 120);
    let view = view(&path);
    let file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
    let lines = ledger.export(Vec::new(), Form::JsonLines).unwrap();
    assert!(view.segments().unwrap().len() > 5);
    let mut random = Random::new(5);
    let (mut found, mut empty) = (0, 0);
    for round in 0..2000 {
        let asked = Asked::new(&mut random, &all);
        let expected = asked.slowly(&all);
        let (filter, said) = (&asked.filter, format!("{round}: {:?}", asked.filter));
        assert_eq!(collect(ledger.select(filter).unwrap()), expected, "{said}");
        assert_eq!(collect(filter.select(&view).unwrap()), expected, "{said}");
        if round % 10 == 0 {
            assert_eq!(collect(filter.select_in(&file[..]).unwrap()), expected, "{said}");
            assert_eq!(collect(filter.select_in(&lines[..]).unwrap()), expected, "{said}");
        }
        if expected.is_empty() { empty += 1 } else { found += 1 }
    }
    assert!(found > 500 && empty > 100, "{found} {empty}");
}

#[test]
fn points_that_count_from_the_head_mean_the_head_of_now() {
    let (path, ledger, all) = filled("relative", 30);
    let view = view(&path);
    let last = |count: usize| all[all.len() - count..].to_vec();
    for (filter, expected) in [
        (Filter::new().since(Point::Head), last(1)),
        (Filter::new().since(Point::Back(0)), last(1)),
        (Filter::new().since(Point::Back(4)), last(5)),
        (Filter::new().since(Point::Back(1000)), all.clone()),
        (Filter::new().until(Point::Head), all.clone()),
        (Filter::new().until(Point::Back(2)), all[..all.len() - 2].to_vec()),
        (Filter::new().until(Point::Back(1000)), Vec::new()),
    ] {
        assert_eq!(collect(ledger.select(&filter).unwrap()), expected, "{filter:?}");
        assert_eq!(collect(filter.select(&view).unwrap()), expected, "{filter:?}");
        let file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
        assert!(filter.select_in(&file[..]).unwrap_err().to_string().contains("not known yet"));
    }
    let unknown = Filter::new().since(Point::Event(EventId::new(7, [7; 10])));
    assert_eq!(ledger.select(&unknown).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_is_damaged_is_an_error_and_ends_it() {
    let (path, ledger, all) = filled("damaged", 60);
    ledger.close(SOON).unwrap();
    drop(ledger);
    let file = path.join("segment-0000000001");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let view = view(&path);
    let mut found = Filter::new().event_type("nothing").unwrap().select(&view).unwrap();
    let error = found.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("segment 1, byte"), "{error}");
    assert!(found.next().is_none());
    // What is asked for only elsewhere does not meet it.
    let filter = Filter::new().since(Point::Back(3));
    assert_eq!(collect(filter.select(&view).unwrap()), all[all.len() - 4..]);
}

#[test]
fn a_pattern_that_no_type_can_fit_is_refused() {
    for pattern in ["", "LLM.*", "llm.?", "a b"] {
        assert!(Filter::new().event_type(pattern).is_err(), "{pattern}");
    }
    assert!(Filter::new().actor("").is_err() && Filter::new().episode("\n").is_err());
}

/// All that a follower has to give by now.
fn give(follow: &mut sigchain::directory::Follow) -> Vec<Written<'static>> {
    std::iter::from_fn(|| follow.try_next().unwrap()).collect()
}

/// A record as an earlier one, and bytes of a group that was never finished, behind the last segment.
fn tear(path: &Path, record: &[u8]) {
    fs::write(path.join("durable"), record).unwrap();
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment-"))
        .collect();
    names.sort();
    let last = names.pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, [&bytes[..], &bytes[bytes.len() - 40..]].concat()).unwrap();
}

#[test]
fn a_follower_sees_every_entry_once_through_segments_restarts_and_recoveries() {
    let path = fresh("followed");
    let mut random = Random::new(3);
    let mut ledger = create(&path);
    let mut follow = view(&path).follow(&Filter::new()).unwrap();
    let mut late = view(&path).follow(&Filter::new()).unwrap();
    let only = Filter::new().event_type("lab.*").unwrap().since(Point::Sequence(40));
    let mut some = view(&path).follow(&only).unwrap();
    let (mut seen, mut seen_of_some) = (give(&mut follow), Vec::new());
    assert_eq!(seen.len(), 1);
    for number in 0..200 {
        match random.below(20) {
            0 => {
                ledger.close(SOON).unwrap();
                drop(ledger);
                ledger = open(&path);
            }
            1 => {
                drop(ledger);
                ledger = open(&path);
            }
            2 => {
                // As a crash leaves it: the record is of a moment ago. Nobody reads meanwhile: they went with the machine.
                drop(ledger);
                let record = fs::read(path.join("durable")).unwrap();
                tear(&path, &record);
                ledger = open(&path);
            }
            _ => {}
        }
        ledger.append(anything(&mut random)).unwrap();
        if number % 3 == 0 {
            seen.extend(give(&mut follow));
            seen_of_some.extend(give(&mut some));
            assert_eq!(seen.last().unwrap().fields.sequence, ledger.head().sequence);
        }
    }
    seen.extend(give(&mut follow));
    seen_of_some.extend(give(&mut some));
    let all = collect(ledger.select(&Filter::new()).unwrap());
    assert!(all.len() > 210 && view(&path).segments().unwrap().len() > 15);
    assert_eq!(seen, all);
    assert_eq!(give(&mut late), all);
    assert_eq!(seen_of_some, collect(ledger.select(&only).unwrap()));
    assert_eq!(follow.passed(), ledger.head().sequence + 1);
}

/// The record may be missing, as after a restore of the segments alone: whoever writes next makes one.
#[test]
fn a_follower_sees_a_record_that_comes_later() {
    let path = fresh("recordless");
    let ledger = create(&path);
    let event = || Event::new("agent:a", "test.call").unwrap();
    ledger.append(event()).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    fs::remove_file(path.join("durable")).unwrap();
    let mut follow = view(&path).follow(&Filter::new()).unwrap();
    let before = give(&mut follow).len();
    let ledger = open(&path);
    for _ in 0..3 {
        ledger.append(event()).unwrap();
    }
    let all = usize::try_from(ledger.head().sequence).unwrap() + 1;
    assert_eq!(before + give(&mut follow).len(), all);
}

#[test]
fn a_follower_begins_and_ends_where_it_is_told() {
    let path = fresh("points");
    let ledger = create(&path);
    let mut random = Random::new(4);
    for _ in 0..10 {
        ledger.append(anything(&mut random)).unwrap();
    }
    let sequences = |found: Vec<Written<'_>>| -> Vec<u64> {
        found.iter().map(|written| written.fields.sequence).collect()
    };
    let id = EventId::new(1, [9; 10]);
    let mut head = view(&path).follow(&Filter::new().since(Point::Head)).unwrap();
    let mut back = view(&path).follow(&Filter::new().since(Point::Back(2))).unwrap();
    let later = Filter::new().since(Point::Sequence(12)).until(Point::Sequence(13));
    let mut later = view(&path).follow(&later).unwrap();
    let mut event = view(&path).follow(&Filter::new().since(Point::Event(id))).unwrap();
    assert_eq!(sequences(give(&mut head)), [10]);
    assert_eq!(sequences(give(&mut back)), [8, 9, 10]);
    assert_eq!((give(&mut later), give(&mut event)), (Vec::new(), Vec::new()));
    for number in 11..16 {
        let event = anything(&mut random);
        let event = if number == 14 { event.id(id) } else { event };
        ledger.append(event).unwrap();
    }
    assert_eq!(sequences(give(&mut head)), [11, 12, 13, 14, 15]);
    assert_eq!(sequences(give(&mut back)), [11, 12, 13, 14, 15]);
    assert!(!later.is_over());
    assert_eq!(sequences(give(&mut later)), [12, 13]);
    assert!(later.is_over() && !head.is_over());
    assert_eq!(sequences(give(&mut event)), [14, 15]);
    let error = view(&path).follow(&Filter::new().until(Point::Back(1))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

/// Puts the bytes of one ledger's files into those of another, which somebody holds open.
fn put(from: &[(String, Vec<u8>)], to: &Path) {
    for (name, bytes) in from {
        fs::write(to.join(name), bytes).unwrap();
    }
}

fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files
        .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
        .collect()
}

#[test]
fn a_follower_notices_that_the_ledger_was_set_back_or_exchanged() {
    let path = fresh("back");
    let ledger = create(&path);
    // Each as long as any other, so that what comes stands where it is looked for.
    let event = || Event::new("agent:a", "test.call").unwrap();
    ledger.append(event()).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    let early = files(&path);
    let ledger = open(&path);
    for _ in 0..3 {
        ledger.append(event()).unwrap();
    }
    drop(ledger);
    let mut follow = view(&path).follow(&Filter::new()).unwrap();
    assert_eq!(give(&mut follow).len(), 5);
    put(&early, &path);
    let error = follow.try_next().unwrap_err();
    assert!(error.to_string().contains("expected at least 5 entries"), "{error}");
    // And from there on another way, further than before.
    let ledger = open(&path);
    for _ in 0..4 {
        ledger.append(event()).unwrap();
    }
    let error = follow.try_next().unwrap_err();
    assert!(error.to_string().contains("entry 5 to be linked to the one before"), "{error}");
}
