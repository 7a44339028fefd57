//! Snapshots: with them and without, damaged, stale, foreign or forged, the state at every point is the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sigchain::context::Context;
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers, State};
use sigchain::payload::Payload;
use sigchain::point::Point;
use sigchain::projection::{Item, Projection};
use sigchain::replay::{ReplayError, replay};
use sigchain::reserved::Reason;
use sigchain::snapshot::{Kept, Snapshot, Subject, Unused};
use sigchain::stamp::{Stamp, ValidTime};

use crate::support::campaign::{is_torture, tally};
use crate::support::{checkpoint_key, entry_key, key, operator_key};

const SOON: Duration = Duration::from_secs(60);
/// Entries between two snapshots that are made without being told to.
const EVERY: u64 = 8192;

fn options() -> Options {
    Options::new().files(Files::new().anchors(Vec::new()).wait(SOON))
}

fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("snapshots").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn create(path: &Path) -> Ledger {
    let genesis = Genesis::new("example.org/snapshots", entry_key()).checkpoints(checkpoint_key());
    Ledger::create_at(path, genesis.operator(operator_key().public()), options()).unwrap()
}

fn id(number: u64) -> EventId {
    let [.., a, b, c] = number.to_be_bytes();
    EventId::new(1_700_000_000_000 + number, [0, 0, 0, 0, 0, 0, 0, a, b, c])
}

fn says(event_type: &str, json: &str) -> Event {
    let payload = Payload::new("application/json", json).unwrap();
    Event::new("agent:planner", event_type).unwrap().payload(payload)
}

/// What an agent does, over and over, and does not always bring to an end.
fn event(number: u64) -> Event {
    let (round, step) = (number / 10, number % 10);
    let episode = format!("run-{}", round % 700);
    let caused = |event: Event| event.caused_by(id(number - 1));
    let event = match step {
        0 => says("episode.start", r#"{"goal":"find it"}"#),
        1 => {
            says("llm.request", r#"{"model":"m1","messages":[{"role":"user","content":"hello"}]}"#)
        }
        2 => caused(says("llm.response", r#"{"input_tokens":9,"output_tokens":2}"#)),
        3 => says("tool.call", &format!(r#"{{"tool":"t{}"}}"#, round % 5)),
        4 if round % 50 == 0 => says("agent.note", "{}"),
        4 => caused(says("tool.result", "{}")),
        5 => says("review.request", r#"{"deadline":"2099-01-01T00:00:00.000000Z","proposal":{}}"#),
        6 if round % 3 == 0 => says("agent.note", "{}"),
        6 => {
            let approve = Event::new("human:dana", "review.approve").unwrap();
            caused(approve.payload(Payload::new("application/json", "{}").unwrap()))
        }
        7 => says("session.start", &format!(r#"{{"session":"s{round}"}}"#)),
        8 => says("session.end", &format!(r#"{{"session":"s{round}"}}"#)),
        _ => says("episode.end", r#"{"status":"completed"}"#),
    };
    event.episode(&episode).unwrap().id(id(number))
}

fn fill(ledger: &Ledger, entries: u64) {
    let all: Vec<Event> = (0..entries).map(event).collect();
    for some in all.chunks(2048) {
        ledger.append_batch(some.to_vec()).unwrap();
    }
}

/// The state of every prefix, as a fold that knows no snapshots and no ledger's reading of ranges says it.
fn prefixes(ledger: &Ledger, mut each: impl FnMut(u64, &Context, Subject)) {
    let (chain_id, last) = (ledger.chain_id(), ledger.head().sequence);
    let mut context = Context::new();
    for sequence in 0..=last {
        let written = ledger.entry(sequence).unwrap().unwrap();
        let item = Item::new(chain_id, &written.fields, &written.part);
        context.apply(&item);
        each(sequence, &context, Subject { chain_id, sequence, digest: item.digest() });
    }
}

fn file(path: &Path, sequence: u64) -> PathBuf {
    path.join("snapshots").join(format!("context-{sequence:016}"))
}

fn put(path: &Path, sequence: u64, bytes: &[u8]) {
    let to = file(path, sequence);
    let folder = to.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    drop(fs::remove_file(&to));
    fs::write(&to, bytes).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
}

fn keep(path: &Path, subject: Subject, context: &Context, by: &SigningKey) {
    let snapshot = Snapshot::make(subject, context, by).unwrap();
    put(path, subject.sequence, &snapshot.encode());
}

fn at(ledger: &Ledger, sequence: u64) -> State<Context> {
    ledger.context_at(&Point::Sequence(sequence)).unwrap()
}

/// [C-snap-1] [C-snap-2]
#[test]
fn every_prefix_is_the_same_with_snapshots_and_without() {
    let path = fresh("prefixes");
    let ledger = create(&path);
    fill(&ledger, 10_000);
    let (seldom, often) = if is_torture() { (1, 1) } else { (211, 7) };
    let mut looked = 0;
    prefixes(&ledger, |sequence, context, subject| {
        if sequence % seldom == 0 {
            let state = at(&ledger, sequence);
            assert_eq!((state.from, state.at.digest), (None, subject.digest));
            assert_eq!(state.state.encode(), context.encode(), "{sequence}, without");
            looked += 1;
        }
    });
    prefixes(&ledger, |sequence, context, subject| {
        if sequence % 64 == 63 {
            keep(&path, subject, context, &checkpoint_key());
        }
    });
    prefixes(&ledger, |sequence, context, subject| {
        if sequence % often == 0 {
            let state = at(&ledger, sequence);
            assert_eq!(state.from, ((sequence + 1) / 64 * 64).checked_sub(1));
            assert_eq!((state.at.sequence, state.at.digest), (sequence, subject.digest));
            assert_eq!(state.state.encode(), context.encode(), "{sequence}, with");
            looked += 1;
        }
    });
    tally(looked);
    fs::remove_dir_all(path.join("snapshots")).unwrap();
    assert_eq!(at(&ledger, 9999).from, None);
}

/// [C-snap-3] [C-snap-7]
#[test]
fn they_are_made_behind_the_appends_and_outlive_the_ledger() {
    let path = fresh("made");
    let ledger = create(&path);
    fill(&ledger, 3000);
    ledger.keep_snapshots::<Context>();
    fill_on(&ledger, 3000, 2 * EVERY + 10);
    let start = Instant::now();
    while !file(&path, 2 * EVERY - 1).exists() || at(&ledger, 2 * EVERY).from.is_none() {
        assert!(start.elapsed() < SOON, "none was made");
        std::thread::sleep(Duration::from_millis(5));
    }
    let head = ledger.head().sequence;
    assert_eq!(at(&ledger, EVERY + 5).from, Some(EVERY - 1));
    let expected = replay(&mut ledger.clone(), &Point::Head, Context::new()).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    let signers = Signers::new(entry_key(), checkpoint_key());
    let ledger = Ledger::open_at(&path, signers, options()).unwrap();
    // Nobody has them made any more, and what is there is used.
    let state = at(&ledger, head);
    assert_eq!((state.from, state.at), (Some(2 * EVERY - 1), expected.at));
    assert_eq!(state.state.encode(), expected.state.encode());
}

fn fill_on(ledger: &Ledger, from: u64, to: u64) {
    let all: Vec<Event> = (from..to).map(event).collect();
    for some in all.chunks(2048) {
        ledger.append_batch(some.to_vec()).unwrap();
    }
}

/// [C-snap-4]
#[test]
fn a_byte_that_was_changed_changes_no_answer() {
    let path = fresh("flipped");
    let ledger = create(&path);
    fill(&ledger, 40);
    let mut kept = None;
    prefixes(&ledger, |sequence, context, subject| {
        if sequence == 30 {
            kept = Some(Snapshot::make(subject, context, &checkpoint_key()).unwrap().encode());
        }
    });
    let (whole, expected) = (kept.unwrap(), at(&ledger, 35).state.encode());
    put(&path, 30, &whole);
    assert_eq!(at(&ledger, 35).from, Some(30));
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        put(&path, 30, &bytes);
        let state = at(&ledger, 35);
        assert_eq!((state.from, state.state.encode() == expected), (None, true), "byte {place}");
    }
    for length in (0..whole.len()).step_by(41) {
        put(&path, 30, &whole[..length]);
        let state = at(&ledger, 35);
        assert_eq!((state.from, state.state.encode() == expected), (None, true), "cut to {length}");
    }
    tally(whole.len());
    let longer = [&*whole, b"x"].concat();
    put(&path, 30, &longer);
    assert_eq!(at(&ledger, 35).from, None);
    put(&path, 30, &whole);
    assert_eq!(at(&ledger, 35).from, Some(30));
}

/// The context as a later version of this program keeps it.
#[derive(Clone, Default)]
struct Later(Context);

impl Projection for Later {
    fn apply(&mut self, item: &Item<'_>) {
        self.0.apply(item);
    }
}

impl Kept for Later {
    const ID: &'static str = "context";
    const VERSION: u64 = sigchain::context::VERSION + 1;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Context::from_bytes(bytes).map(Self)
    }
}

/// Another projection, as a caller may have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Notes(u64);

impl Projection for Notes {
    fn apply(&mut self, item: &Item<'_>) {
        self.0 += u64::from(item.fields.event_type == "agent.note");
    }
}

impl Kept for Notes {
    const ID: &'static str = "notes";
    const VERSION: u64 = 7;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

/// [C-snap-4] [C-snap-5]
#[test]
fn forged_stale_and_foreign_ones_are_not_used() {
    let path = fresh("forged");
    let (ledger, other) = (create(&path), create(&fresh("other")));
    fill(&ledger, 100);
    fill(&other, 100);
    let mut subjects = Vec::new();
    let mut contexts = Vec::new();
    prefixes(&ledger, |_, context, subject| {
        subjects.push(subject);
        contexts.push(context.clone());
    });
    let expected = contexts[95].encode();
    let lie = &contexts[20];
    let check = |what: &str, from: Option<u64>| {
        let state = at(&ledger, 95);
        assert_eq!((state.from, state.state.encode() == expected), (from, true), "{what}");
    };
    keep(&path, subjects[90], lie, &checkpoint_key());
    assert_ne!(at(&ledger, 95).state.encode(), expected, "a key of the chain's own is believed");
    keep(&path, subjects[90], lie, &key(9));
    check("a key that nobody enrolled", None);
    keep(&path, subjects[90], lie, &entry_key());
    check("a key that signs entries", None);
    keep(&path, subjects[90], lie, &operator_key());
    check("a key of an operator", None);
    let stale = Snapshot::make(subjects[20], lie, &checkpoint_key()).unwrap().encode();
    put(&path, 90, &stale);
    check("another entry's, under this name", None);
    let wrong = Subject { digest: subjects[89].digest, ..subjects[90] };
    keep(&path, wrong, lie, &checkpoint_key());
    check("another digest", None);
    let mut foreign = None;
    prefixes(&other, |sequence, context, subject| {
        if sequence == 90 {
            foreign = Some(Snapshot::make(subject, context, &checkpoint_key()).unwrap().encode());
        }
    });
    put(&path, 90, &foreign.unwrap());
    check("another chain's, by the same key", None);
    let later = Later(lie.clone());
    let later = Snapshot::make(subjects[90], &later, &checkpoint_key()).unwrap();
    put(&path, 90, &later.encode());
    check("a later version's", None);
    let notes = Snapshot::make(subjects[90], &Notes(5), &checkpoint_key()).unwrap();
    put(&path, 90, &notes.encode());
    check("another projection's", None);
    // Behind the last of them that cannot be used there may be one that can.
    keep(&path, subjects[50], &contexts[50], &checkpoint_key());
    check("an older one", Some(50));
    // And what is behind the point is not looked at.
    keep(&path, subjects[96], lie, &checkpoint_key());
    check("one behind the point", Some(50));
    let counted = ledger.state_at::<Notes>(&Point::Head).unwrap();
    let expected = replay(&mut ledger.clone(), &Point::Head, Notes::default()).unwrap();
    assert_eq!((counted.state, counted.from), (expected.state, None));
}

/// [C-snap-5]
#[test]
fn a_key_that_was_lost_is_not_believed_any_more() {
    let ledger = create(&fresh("lost"));
    fill(&ledger, 10);
    let mut kept = None;
    prefixes(&ledger, |sequence, context, subject| {
        if sequence == 5 {
            let snapshot = Snapshot::make(subject, context, &checkpoint_key()).unwrap();
            kept = Some((subject, snapshot, context.clone()));
        }
    });
    let (subject, snapshot, context) = kept.unwrap();
    assert_eq!(snapshot.state::<Context>(&subject, &ledger.keyring()), Ok(context));
    let revoke = ledger.propose_revocation(checkpoint_key().id(), Reason::Lost, None).unwrap();
    ledger.apply(revoke.approved_by(&operator_key()).unwrap()).unwrap();
    let found = snapshot.state::<Context>(&subject, &ledger.keyring());
    assert_eq!(found, Err(Unused::Signer));
}

/// [C-snap-6]
#[test]
fn every_form_of_a_point_names_the_same_entry_as_in_a_replay() {
    let path = fresh("points");
    let ledger = create(&path);
    fill(&ledger, 120);
    let mut stamps: Vec<Stamp> = Vec::new();
    prefixes(&ledger, |sequence, context, subject| {
        stamps.push(ledger.entry(sequence).unwrap().unwrap().fields.system_time);
        if sequence % 25 == 24 {
            keep(&path, subject, context, &checkpoint_key());
        }
    });
    let mut points = vec![Point::Head, Point::Event(id(60)), Point::Event(id(5000))];
    for number in [0, 1, 24, 25, 60, 119, 120, 121, 5000] {
        points.extend([Point::Sequence(number), Point::Back(number)]);
    }
    for at in [0, 1, 24, 60, 119, 120] {
        let stamp = stamps[at].as_u64();
        for near in [stamp - 1, stamp, stamp + 1] {
            points.push(Point::Stamp(Stamp::new(near)));
        }
        for micros in [-1, 0, 1] {
            let time = ValidTime::from_micros(stamps[at].micros() + micros).unwrap();
            points.push(Point::Time(time));
        }
    }
    let mut found = [0, 0];
    for point in points {
        let expected = replay(&mut ledger.clone(), &point, Context::new());
        match (ledger.context_at(&point), expected) {
            (Ok(state), Ok(expected)) => {
                assert_eq!((state.at, &state.state), (expected.at, &expected.state), "{point}");
                found[0] += 1;
            }
            (Err(error), Err(expected)) => {
                assert_eq!(error.to_string(), expected.to_string());
                found[1] += 1;
            }
            (found, expected) => panic!("{point}: {found:?}, expected {expected:?}"),
        }
    }
    assert!(found[0] > 30 && found[1] > 8, "{found:?}");
}

/// [C-snap-1]
#[test]
fn a_ledger_in_memory_has_none() {
    let genesis = Genesis::new("example.org/snapshots", entry_key());
    let ledger = Ledger::in_memory(genesis).unwrap();
    ledger.keep_snapshots::<Context>();
    fill(&ledger, 30);
    let state = ledger.context_at(&Point::Back(3)).unwrap();
    let expected = replay(&mut ledger.clone(), &Point::Back(3), Context::new()).unwrap();
    assert_eq!((state.from, state.at), (None, expected.at));
    assert!(matches!(ledger.context_at(&Point::Back(99)), Err(ReplayError::Before(_))));
}
