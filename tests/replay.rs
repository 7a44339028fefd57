//! Replay against a fold that the test writes itself: every point of chains with every kind of frame, through every path,
//! whole and damaged.

use std::collections::BTreeSet;
use std::io::{self, Cursor};
use std::ops::ControlFlow;

use sigchain::chainfile::{Form, Writer};
use sigchain::checkpoint::Checkpoint;
use sigchain::context::Context;
use sigchain::digest::Digest;
use sigchain::event::Event;
use sigchain::fault::Code;
use sigchain::frame::{Attachment, Frame, GapReason, Summary, Target, Written};
use sigchain::id::EventId;
use sigchain::key::{KeyId, Role, SigningKey};
use sigchain::payload::{Part, Payload, Slot};
use sigchain::point::Point;
use sigchain::projection::{Item, Projection};
use sigchain::replay::{
    ChainFile, Each, End, LineError, Opening, Replay, ReplayError, Replayed, Source, Step, Tally,
    replay,
};
use sigchain::reserved::{KeyRecord, Predecessor, Reason, Reserved, Trusted};
use sigchain::stamp::{Stamp, ValidTime};
use sigchain::verify::{Anchors, Seen, Shown, Verdict, Verifier};

use crate::support::{
    Build, Draft, Random, checkpoint_key, entry_key, event_id, frame_ranges, key, operator_hashes,
    operator_key, rounds,
};
use crate::vectors;
use crate::vectors::every_kind;

const FORMS: [Form; 2] = [Form::ChainFile, Form::JsonLines];

/// Writes down all that a projection is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trace(Vec<String>);

impl Projection for Trace {
    fn apply(&mut self, item: &Item<'_>) {
        let (chain_id, digest) = (item.chain_id, item.digest());
        let (fields, part) = (item.fields, item.part);
        self.0.push(format!("{chain_id} {digest} {fields:?} {part:?}"));
    }
}

/// The entries that stand in the frames, whatever a reader makes of them.
fn entries(build: &Build) -> Vec<&Written<'static>> {
    let entry = |frame: &'_ Frame<'static>| matches!(frame, Frame::Entry(_));
    let entries = build.frames.iter().filter(|frame| entry(frame));
    entries
        .map(|frame| match frame {
            Frame::Entry(written) => &**written,
            _ => unreachable!(),
        })
        .collect()
}

fn digest(build: &Build, written: &Written<'_>) -> Digest {
    let within = if written.fields.sequence == 0 { Digest::ZERO } else { build.chain_id };
    written.fields.digest(&within)
}

/// The fold over a prefix, written without any of the library's reading.
fn trace_of(build: &Build, last: u64) -> Trace {
    let mut trace = Trace::default();
    for written in entries(build).into_iter().filter(|w| w.fields.sequence <= last) {
        let digest = digest(build, written);
        let (chain_id, fields, part) = (build.chain_id, &written.fields, &written.part);
        trace.0.push(format!("{chain_id} {digest} {fields:?} {part:?}"));
    }
    trace
}

fn file(bytes: &[u8]) -> ChainFile<'_> {
    ChainFile::new(Verifier::new().threads(1), Cursor::new(bytes)).unwrap()
}

fn anchored(bytes: &[u8], anchors: Anchors) -> ChainFile<'_> {
    ChainFile::new(Verifier::new().threads(1).anchored(anchors), Cursor::new(bytes)).unwrap()
}

/// Trace and Tally together.
#[derive(Clone, Debug, Default)]
struct Both(Trace, Tally);

impl Projection for Both {
    fn apply(&mut self, item: &Item<'_>) {
        self.0.apply(item);
        self.1.apply(item);
    }
}

fn at(bytes: &[u8], point: Point) -> Result<Replayed<Both>, ReplayError> {
    replay(&mut file(bytes), &point, Both::default())
}

fn record(build: &Build, key: &SigningKey, role: Role) -> KeyRecord {
    KeyRecord::new(key, role, &build.chain_id, event_id(build.sequence))
}

fn fields_payload() -> Payload {
    let fields = [
        ("arguments", "application/json", &br#"{"q":"rust"}"#[..]),
        ("result", "text/plain", b"three pages"),
        ("tool", "text/plain", b"search"),
    ];
    Payload::by_field(fields).unwrap()
}

fn note(n: u64) -> Event {
    let payload = Payload::new("text/plain", format!("note {n}")).unwrap();
    Event::new("human:dana", "agent.note").unwrap().payload(payload)
}

/// Every kind of entry, and every frame but gaps: batches, hidden fields, withheld and erased payloads, keys that come and go.
fn rich() -> Build {
    let mut build = Build::new();
    build.events(2);
    build.push(Draft::new(note(3).payload(fields_payload())).part(|part| {
        part.hide("arguments");
    }));
    build.push(Draft::new(note(4).episode("run-1").unwrap()).left(1));
    build.push(Draft::new(note(5).episode("run-2").unwrap()));
    build.push(Draft::new(note(6)).part(|part| *part = Part::Withheld));
    build.push(Draft::new(note(7)).part(|part| *part = Part::Erased(9)));
    build.event();
    build.reserved(&Reserved::Erased { detail: vec![0xa0], entries: vec![(7, 1)] });
    build.checkpoint();
    let enroll = record(&build, &key(6), Role::Entry);
    build.reserved(&Reserved::Enroll { approvals: Vec::new(), key: enroll });
    build.push(Draft::new(note(11).episode("run-1").unwrap()).key(key(6)));
    let rotated = record(&build, &key(7), Role::Entry);
    let rotate = Reserved::Rotate { approvals: Vec::new(), key: rotated, old: entry_key().id() };
    build.reserved(&rotate);
    build.push(Draft::new(note(13)).key(key(6)));
    let lost = revocation(&build, key(6).id(), Reason::Lost, None);
    build.push(Draft::reserved(&lost).key(key(7)));
    build.seal();
    let attachment = Attachment::new("rfc3161", Target::File, &b"a token"[..]).unwrap();
    build.frame(Frame::Attachment(attachment));
    let open = Reserved::Open { event_type: "clock.anomaly".to_owned(), map: vec![0xa0] };
    build.push(Draft::reserved(&open).key(key(7)));
    build.push(Draft::new(note(16)).key(key(7)));
    build.trailer();
    build
}

fn revocation(build: &Build, key: KeyId, reason: Reason, trusted: Option<u64>) -> Reserved {
    let consistency = trusted.map_or(Vec::new(), |size| {
        build.nodes().consistency(size, build.size(), &|i| build.leaf(i)).unwrap()
    });
    let trusted = trusted.map(|size| Trusted { size, root: build.root_at(size) });
    let reserved = Reserved::Revoke { approvals: Vec::new(), consistency, key, reason, trusted };
    reserved.approved_by(&operator_key(), &build.chain_id, event_id(build.sequence))
}

/// All ways to name the entry with this sequence.
fn names(build: &Build, written: &Written<'_>) -> Vec<Point> {
    let fields = &written.fields;
    let micros = fields.system_time.micros();
    vec![
        Point::Sequence(fields.sequence),
        Point::Back(build.size() - 1 - fields.sequence),
        Point::Stamp(fields.system_time),
        Point::Stamp(Stamp::new(fields.system_time.as_u64() + 1)),
        Point::Time(ValidTime::from_micros(micros).unwrap()),
        Point::Event(fields.event_id),
    ]
}

#[test]
fn every_point_is_the_fold_over_its_prefix() {
    let build = rich();
    let entries = entries(&build);
    assert_eq!(entries.len(), 17);
    let head = entries.last().unwrap().fields.sequence;
    let mut texts: Vec<BTreeSet<String>> = vec![BTreeSet::new(); entries.len()];
    for form in FORMS {
        let bytes = build.file(form);
        for (n, written) in entries.iter().enumerate() {
            let mut points = names(&build, written);
            if written.fields.sequence == head {
                points.retain(|point| *point != Point::Stamp(Stamp::new(build.stamp.as_u64() + 1)));
                points.push(Point::Head);
            } else {
                let micros = written.fields.system_time.micros() + 999_999;
                points.push(Point::Time(ValidTime::from_micros(micros).unwrap()));
            }
            for point in points {
                let replayed = at(&bytes, point).unwrap_or_else(|e| panic!("{point}: {e}"));
                assert_eq!(replayed.at.sequence, written.fields.sequence, "{point}");
                assert_eq!(replayed.at.event_id, written.fields.event_id);
                assert_eq!(replayed.at.stamp, written.fields.system_time);
                assert_eq!(replayed.at.digest, digest(&build, written));
                assert_eq!(replayed.at.chain_id, build.chain_id);
                assert_eq!(replayed.missing, 0);
                let report = replayed.chapters[0].end.report.as_ref().unwrap();
                assert_eq!((report.entries, report.total()), (17, 0));
                assert_eq!(replayed.state.0, trace_of(&build, written.fields.sequence), "{point}");
                texts[n].insert(replayed.state.1.encode());
            }
        }
    }
    for text in &texts {
        assert_eq!(text.len(), 1, "the same bytes through every path: {text:?}");
    }
    assert_eq!(texts.iter().flatten().collect::<BTreeSet<_>>().len(), 17, "and each its own");
}

/// What a Tally says, worked out by hand.
#[test]
fn a_tally_says_what_there_is() {
    let build = rich();
    let Replayed { state, .. } = at(&build.file(Form::ChainFile), Point::Head).unwrap();
    let shown: usize = entries(&build)
        .iter()
        .map(|written| match &written.part {
            Part::Whole(leaf) => leaf.bytes.len(),
            // "three pages" and "search": the arguments are hidden.
            Part::Fields(slots) => {
                assert!(matches!(slots[0], Slot::Hidden(_)));
                17
            }
            _ => 0,
        })
        .sum();
    let mut keys = [(checkpoint_key().id(), "checkpoint"), (key(7).id(), "entry")];
    keys.sort();
    let [(a, role_a), (b, role_b)] = keys;
    let expected = format!(
        "{{\"actors\":{{\"agent:planner\":3,\"human:dana\":8,\"sigchain\":6}},\"entries\":17,\"episodes\":2,\
         \"first\":{{\"stamp\":\"{}\",\"time\":\"2026-11-20T05:00:01.000000Z\"}},\
         \"keys\":{{\"{a}\":\"{role_a}\",\"{b}\":\"{role_b}\"}},\
         \"last\":{{\"stamp\":\"{}\",\"time\":\"2026-11-20T05:00:17.000000Z\"}},\
         \"payloads\":{{\"bytes\":{shown},\"erased\":1,\"partial\":1,\"present\":14,\"withheld\":1}},\
         \"types\":{{\"agent.note\":8,\"chain.genesis\":1,\"clock.anomaly\":1,\"erasure.done\":1,\"key.enroll\":1,\
         \"key.revoke\":1,\"key.rotate\":1,\"tool.call\":3}}}}",
        entries(&build)[0].fields.system_time.hex(),
        build.stamp.hex(),
    );
    assert_eq!(state.1.encode(), expected);
    serde_json::from_str::<serde_json::Value>(&expected).unwrap();
    let active = |point| at(&build.file(Form::ChainFile), point).unwrap().state.1.keys;
    assert_eq!(active(Point::Sequence(0)).len(), 2);
    assert_eq!(active(Point::Sequence(10)).len(), 3);
    assert!(active(Point::Sequence(11)).contains_key(&entry_key().id()));
    assert!(!active(Point::Sequence(12)).contains_key(&entry_key().id()));
    assert!(!active(Point::Sequence(14)).contains_key(&key(6).id()));
    let empty = "{\"actors\":{},\"entries\":0,\"episodes\":0,\"first\":null,\"keys\":{},\"last\":null,\"payloads\":\
                 {\"bytes\":0,\"erased\":0,\"partial\":0,\"present\":0,\"withheld\":0},\"types\":{}}";
    assert_eq!(Tally::new().encode(), empty);
}

#[test]
fn points_outside_are_errors() {
    let build = rich();
    let time = |micros: i64| Point::Time(ValidTime::from_micros(micros).unwrap());
    let (first, last) = (entries(&build)[0].fields.system_time, build.stamp);
    for form in FORMS {
        let bytes = build.file(form);
        for point in [
            Point::Sequence(17),
            Point::Sequence(999_999_999_999_999),
            Point::Stamp(Stamp::new(last.as_u64() + 1)),
            time(last.micros() + 1),
            Point::Stamp(Stamp::new(u64::MAX)),
        ] {
            let error = at(&bytes, point).unwrap_err();
            assert!(
                matches!(&error, ReplayError::Beyond(p, at) if *p == point && at.sequence == 16)
            );
            assert!(error.to_string().contains("say head"), "{error}");
        }
        for point in [
            Point::Back(17),
            Point::Back(999_999_999_999_999),
            Point::Stamp(Stamp::new(first.as_u64() - 1)),
            time(first.micros() - 1),
            time(-1),
        ] {
            let error = at(&bytes, point).unwrap_err();
            assert!(matches!(error, ReplayError::Before(p) if p == point), "{point}: {error}");
        }
        let id = event_id(17);
        let error = at(&bytes, Point::Event(id)).unwrap_err();
        assert!(matches!(error, ReplayError::NotFound { id: found, missing: 0 } if found == id));
    }
}

/// Reads one byte at a time, as a slow pipe may.
struct Drip<'b>(&'b [u8]);

impl io::Read for Drip<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = to.len().min(1);
        io::Read::read(&mut self.0, &mut to[..len])
    }
}

#[test]
fn a_pipe_has_a_head_and_nothing_that_counts_from_it() {
    let build = rich();
    for form in FORMS {
        let bytes = build.file(form);
        let piped = |point| {
            let mut source = ChainFile::once(Verifier::new().threads(1), Drip(&bytes));
            replay(&mut source, &point, Tally::new())
        };
        let head = at(&bytes, Point::Head).unwrap().state.1;
        for point in [Point::Head, Point::Back(0), Point::Sequence(16), Point::Event(event_id(16))]
        {
            assert_eq!(piped(point).unwrap().state, head, "{point}");
        }
        let error = piped(Point::Back(3)).unwrap_err();
        assert!(matches!(error, ReplayError::NoSize(Point::Back(3))));
        assert!(error.to_string().contains("pipe"), "{error}");
    }
}

/// Damage anywhere: no state at or after it, the same state as ever before it.
#[test]
fn a_flipped_byte_hides_what_follows_it_and_nothing_else() {
    let build = rich();
    let mut random = Random::new(0xf11b);
    for form in FORMS {
        let whole = build.file(form);
        let frames = match form {
            Form::ChainFile => frame_ranges(&whole),
            _ => line_ranges(&whole),
        };
        assert_eq!(frames.len(), build.frames.len());
        let mut before = 0;
        for (frame, range) in build.frames.iter().zip(&frames) {
            let is_entry = matches!(frame, Frame::Entry(_));
            let anywhere = (0..rounds(1, 60)).map(|_| range.start + random.below(range.len()));
            for place in anywhere.chain([range.start, range.end - 2]).collect::<Vec<_>>() {
                let mut bytes = whole.clone();
                bytes[place] ^= 1 << random.below(7);
                let report = crate::support::verify(&bytes, &Anchors::default());
                if report.counts.is_empty() {
                    // `left` and attachments of JSON lines are covered by nothing.
                    assert_eq!(form, Form::JsonLines);
                    continue;
                }
                check_damaged(&build, &bytes, before, &format!("{form:?} byte {place}"));
            }
            before += u64::from(is_entry);
        }
    }
}

fn line_ranges(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    ends.map(|end| {
        let range = start..end;
        start = end;
        range
    })
    .collect()
}

/// A file whose first fault stands behind `sound` entries.
fn check_damaged(build: &Build, bytes: &[u8], sound: u64, what: &str) {
    for written in entries(build) {
        let sequence = written.fields.sequence;
        let decided = [
            Point::Sequence(sequence),
            Point::Stamp(written.fields.system_time),
            Point::Event(written.fields.event_id),
        ];
        for point in decided {
            match at(bytes, point) {
                Ok(replayed) => {
                    assert!(sequence < sound, "{what}: a state at {point}");
                    assert_eq!(replayed.state.0, trace_of(build, sequence), "{what}: {point}");
                    let report = replayed.chapters[0].end.report.as_ref().unwrap();
                    assert_ne!(report.verdict(), Verdict::Intact);
                    assert!(report.total() > 0, "{what}: the fault is in the report");
                }
                Err(error) => {
                    assert!(sequence >= sound, "{what}: no state at {point}: {error}");
                    check_reach(build, &error, sound, what);
                }
            }
        }
        // By time the entry that follows decides, and it has to be sound.
        let time =
            Point::Time(ValidTime::from_micros(written.fields.system_time.micros()).unwrap());
        assert_eq!(at(bytes, time).is_ok(), sequence + 1 < sound, "{what}: {time}");
        // A head that is not proved is none to count from.
        let back = Point::Back(build.size() - 1 - sequence);
        check_reach(build, &at(bytes, back).unwrap_err(), sound, what);
    }
    check_reach(build, &at(bytes, Point::Head).unwrap_err(), sound, what);
}

fn check_reach(build: &Build, error: &ReplayError, sound: u64, what: &str) {
    let ReplayError::Fault(faulty) = error else { panic!("{what}: {error}") };
    assert_eq!(faulty.reach.map(|reach| reach.sequence), sound.checked_sub(1), "{what}: {error}");
    assert!(faulty.reach.is_none_or(|reach| reach.chain_id == build.chain_id));
    assert!(faulty.fault().is_some());
}

/// Nothing that is cut off is taken for the head, or for the end of time.
#[test]
fn a_cut_file_has_no_head() {
    let build = rich();
    let whole = build.file(Form::ChainFile);
    let ranges = frame_ranges(&whole);
    let mut before = 0;
    for (frame, range) in build.frames.iter().zip(&ranges) {
        // Without entry 9 nobody erased the payload of entry 7.
        let sound = if before == 8 || before == 9 { 7 } else { before };
        check_damaged(&build, &whole[..range.start], sound, "cut");
        before += u64::from(matches!(frame, Frame::Entry(_)));
    }
}

fn sound_points(bytes: &[u8], anchors: &Anchors, size: u64) -> Vec<u64> {
    let state = |sequence: &u64| {
        let point = Point::Sequence(*sequence);
        replay(&mut anchored(bytes, anchors.clone()), &point, ()).is_ok()
    };
    (0..size).filter(state).collect()
}

fn upto(size: u64) -> Vec<u64> {
    (0..size).collect()
}

/// What is found late speaks against what came early.
#[test]
fn a_held_checkpoint_that_does_not_fit_reaches_back() {
    let mut build = Build::new();
    build.events(4).checkpoint().events(5).trailer();
    let bytes = build.file(Form::ChainFile);
    let held = |size: u64, root: Digest, by: &SigningKey| {
        Anchors::new().checkpoint(Checkpoint::sign(&build.origin(), size, root, by))
    };
    let other = Digest::of(&[b"another history"]);
    let (good, bad) = (checkpoint_key(), key(9));
    let all = |anchors: &Anchors| sound_points(&bytes, anchors, 10);
    assert_eq!(all(&held(8, build.root_at(8), &good)), upto(10));
    // The checkpoint of 5 in the file still agrees; but whoever rewrote the rest may have signed it, too.
    assert_eq!(all(&held(8, other, &good)), upto(0));
    assert_eq!(all(&held(8, build.root_at(8), &bad)), upto(0));
    assert_eq!(all(&held(5, other, &good)), upto(0));
    let both = held(8, other, &good);
    let both = both.checkpoint(build.checkpoint_at(7, &good));
    assert_eq!(all(&both), upto(7));
    // A checkpoint beyond the end says nothing about what is there, but the head is not the head.
    let ahead = held(12, other, &good);
    assert_eq!(all(&ahead), upto(10));
    let error = replay(&mut anchored(&bytes, ahead), &Point::Head, ()).unwrap_err();
    let ReplayError::Fault(faulty) = error else { panic!("{error}") };
    assert!(faulty.is_point_unknown && faulty.reach.unwrap().sequence == 9);
    assert_eq!(faulty.fault().unwrap().code, Code::AnchorAhead);
    // A key that signed nothing is no fault.
    assert_eq!(all(&Anchors::new().key(bad.id())), upto(10));
}

#[test]
fn a_false_root_within_the_file_reaches_back_to_the_last_right_one() {
    let mut build = Build::new();
    build.events(3).checkpoint().events(2);
    let wrong = Checkpoint::sign(&build.origin(), 6, Digest::of(&[b"x"]), &checkpoint_key());
    build.frame(Frame::Checkpoint(wrong)).events(2).trailer();
    assert_eq!(sound_points(&build.file(Form::ChainFile), &Anchors::new(), 8), upto(4));
    let mut build = Build::new();
    build.events(3).seal().events(2);
    let mut state = build.seal_state();
    state.head = Digest::of(&[b"x"]);
    let seal = sigchain::checkpoint::Seal::sign(state, &build.chain_id, &checkpoint_key());
    build.frame(Frame::Seal(seal)).trailer();
    assert_eq!(sound_points(&build.file(Form::ChainFile), &Anchors::new(), 6), upto(4));
}

#[test]
fn a_stolen_key_reaches_back_to_what_can_be_trusted_of_it() {
    let mut build = Build::new();
    build.events(5);
    let rotated = record(&build, &key(7), Role::Entry);
    let rotate = Reserved::Rotate { approvals: Vec::new(), key: rotated, old: entry_key().id() };
    build.reserved(&rotate);
    let stolen = revocation(&build, entry_key().id(), Reason::Compromised, Some(3));
    build.push(Draft::reserved(&stolen).key(key(7)));
    build.push(Draft::new(note(8)).key(key(7))).trailer();
    for form in FORMS {
        let bytes = build.file(form);
        assert_eq!(sound_points(&bytes, &Anchors::new(), 9), upto(3));
        // Also behind another fault: an attachment that is damaged, and concerns nobody.
        let mut frames = build.frames.clone();
        let mut file = crate::support::file(&frames[..3], form);
        file.extend_from_slice(match form {
            Form::ChainFile => &[],
            _ => b"{\"frame\":\"attachment\"}\n",
        });
        if form == Form::ChainFile {
            file.extend(crate::support::raw_frame(b'A', 0, 0, b"junk"));
        }
        file.extend(crate::support::file(&frames.split_off(3), form).split_off(match form {
            Form::ChainFile => sigchain::chainfile::MAGIC.len(),
            _ => 0,
        }));
        let report = crate::support::verify(&file, &Anchors::new());
        assert!(report.counts.contains_key(&Code::KeyCompromised), "{:?}", report.counts);
        assert_eq!(sound_points(&file, &Anchors::new(), 9), upto(2));
    }
}

#[test]
fn an_erasure_that_never_was_reaches_back_to_the_payload() {
    let mut build = Build::new();
    build.events(2);
    build.push(Draft::new(note(3)).part(|part| *part = Part::Erased(6)));
    build.push(Draft::new(note(4)).part(|part| *part = Part::Erased(60)));
    build.events(1);
    build.reserved(&Reserved::Erased { detail: vec![0xa0], entries: vec![(3, 1)] });
    build.events(2);
    let mut ends = build.clone();
    ends.trailer();
    assert_eq!(sound_points(&ends.file(Form::ChainFile), &Anchors::new(), 9), upto(4));
    let mut not_listed = Build::new();
    not_listed.events(2);
    not_listed.push(Draft::new(note(3)).part(|part| *part = Part::Erased(5)));
    not_listed.events(3).trailer();
    assert_eq!(sound_points(&not_listed.file(Form::ChainFile), &Anchors::new(), 7), upto(3));
}

#[test]
fn gaps_are_named_and_passed_only_if_that_is_wanted() {
    for reason in [GapReason::Elided, GapReason::Archived] {
        let mut build = Build::new();
        build.events(9).elide(4, 2, reason).seal().trailer();
        for form in FORMS {
            let bytes = build.file(form);
            assert_eq!(at(&bytes, Point::Sequence(3)).unwrap().state.0, trace_of(&build, 3));
            let third = entries(&build)[3].fields.clone();
            assert_eq!(at(&bytes, Point::Event(third.event_id)).unwrap().at.sequence, 3);
            assert_eq!(at(&bytes, Point::Stamp(third.system_time)).unwrap().at.sequence, 3);
            // What is missing may lie before these.
            let micros = ValidTime::from_micros(third.system_time.micros()).unwrap();
            for point in [
                Point::Sequence(4),
                Point::Sequence(5),
                Point::Sequence(6),
                Point::Head,
                Point::Back(1),
                Point::Time(micros),
                Point::Stamp(Stamp::new(third.system_time.as_u64() + 1)),
                Point::Event(event_id(7)),
                Point::Event(event_id(5)),
            ] {
                let error = at(&bytes, point).unwrap_err();
                assert!(
                    matches!(error, ReplayError::Gap { first: 4, count: 2, .. }),
                    "{point}: {error}"
                );
                assert!(error.to_string().contains("entries 4 to 5"), "{error}");
            }
            let allowed = |point| {
                let mut source = file(&bytes);
                Replay::until(point).allow_gaps(true).run(&mut [&mut source], Trace::default())
            };
            for (point, sequence) in [
                (Point::Sequence(6), 6),
                (Point::Head, 9),
                (Point::Back(0), 9),
                (Point::Back(2), 7),
                (Point::Time(micros), 3),
                (Point::Event(event_id(7)), 7),
            ] {
                let replayed = allowed(point).unwrap();
                assert_eq!((replayed.at.sequence, replayed.missing), (sequence, 2), "{point}");
                assert_eq!(replayed.state, trace_of(&build, sequence));
            }
            // Nobody stands on what is not there.
            for point in [Point::Sequence(4), Point::Sequence(5), Point::Back(4)] {
                let error = allowed(point).unwrap_err();
                assert!(matches!(error, ReplayError::Gap { first: 4, count: 2, .. }), "{point}");
            }
            let error = allowed(Point::Event(event_id(5))).unwrap_err();
            assert!(matches!(error, ReplayError::NotFound { missing: 2, .. }), "{error}");
        }
    }
}

#[test]
fn a_head_that_is_missing_is_no_place_to_stand() {
    let mut build = Build::new();
    build.events(9).elide(7, 3, GapReason::Elided).seal().trailer();
    let bytes = build.file(Form::ChainFile);
    for allowed in [false, true] {
        for point in [Point::Head, Point::Back(1), Point::Sequence(8)] {
            let run = Replay::until(point).allow_gaps(allowed).run(&mut [&mut file(&bytes)], ());
            let error = run.unwrap_err();
            assert!(
                matches!(error, ReplayError::Gap { first: 7, count: 3, .. }),
                "{point}: {error}"
            );
        }
    }
    assert_eq!(at(&bytes, Point::Sequence(6)).unwrap().at.sequence, 6);
}

/// A chain that continues another behind its first `size` entries. Its events have ids of their own.
fn successor(of: &Build, size: u64, tag: u64, events: u64) -> Build {
    let mut build = Build::empty();
    build.stamp = of.stamp;
    let id = |build: &Build| event_id(tag * 1000 + build.sequence);
    let own = id(&build);
    let records = [(entry_key(), Role::Entry), (checkpoint_key(), Role::Checkpoint)];
    let genesis = Reserved::Genesis {
        approvals: Vec::new(),
        keys: records.map(|(key, role)| KeyRecord::new(&key, role, &Digest::ZERO, own)).into(),
        name: build.name.clone(),
        operators: operator_hashes(&[operator_key()]),
        predecessor: Some(Predecessor {
            chain: of.chain_id,
            evidence: None,
            root: of.root_at(size),
            size,
            statement: "the disk was lost".to_owned(),
        }),
    };
    let genesis = genesis.approved_by(&operator_key(), &Digest::ZERO, own);
    build.begin(Draft::reserved(&genesis).event_id(own));
    for _ in 0..events {
        let draft = Draft::new(note(build.sequence)).event_id(id(&build));
        build.push(draft);
    }
    build
}

/// Three chains of one line: 8 entries of which 6 count, 5 of which 5 count, 4.
fn line() -> [Build; 3] {
    let mut first = Build::new();
    first.events(5);
    let mut cut = first.clone();
    first.events(2).trailer();
    // The second begins when the first had six entries; what came later was never part of the line.
    cut.stamp = Stamp::new(cut.stamp.as_u64() + (60 << 32));
    let mut second = successor(&cut, 6, 1, 4);
    let third = {
        let mut third = successor(&second, 5, 2, 3);
        third.trailer();
        third
    };
    second.trailer();
    [first, second, third]
}

fn run_line(files: &[&[u8]], point: Point) -> Result<Replayed<Both>, ReplayError> {
    let mut sources: Vec<_> = files.iter().map(|bytes| file(bytes)).collect();
    let mut given: Vec<&mut dyn Source> = Vec::new();
    for source in &mut sources {
        given.push(source);
    }
    Replay::until(point).run(&mut given, Both::default())
}

#[test]
fn a_line_of_chains_is_one_history() {
    let [first, second, third] = line();
    for form in FORMS {
        let files = [first.file(form), second.file(form), third.file(form)];
        let mut answers = BTreeSet::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let given = order.map(|at| files[at].as_slice());
            let parts = |upto: &[u64]| -> Trace {
                let chains = [&first, &second, &third];
                let traces = chains.iter().zip(upto).flat_map(|(c, last)| trace_of(c, *last).0);
                Trace(traces.collect())
            };
            for last in 0..4 {
                let names = [
                    Point::Sequence(last),
                    Point::Back(3 - last),
                    Point::Event(event_id(2000 + last)),
                    Point::Stamp(
                        entries(&third)[usize::try_from(last).unwrap()].fields.system_time,
                    ),
                ];
                for point in names {
                    let replayed = run_line(&given, point).unwrap();
                    assert_eq!(replayed.at.chain_id, third.chain_id);
                    assert_eq!(replayed.state.0, parts(&[5, 4, last]), "{point}");
                    let used: Vec<_> =
                        replayed.chapters.iter().map(|c| (c.used, c.beyond())).collect();
                    assert_eq!(used, [(6, 2), (5, 0), (4, 0)]);
                    answers.insert(replayed.state.1.encode());
                }
            }
            for (chain, upto, written) in entries(&first)[..6]
                .iter()
                .map(|w| (&first, vec![w.fields.sequence], w))
                .chain(entries(&second).iter().map(|w| (&second, vec![5, w.fields.sequence], w)))
            {
                let fields = &written.fields;
                let time = ValidTime::from_micros(fields.system_time.micros()).unwrap();
                for point in [
                    Point::Event(fields.event_id),
                    Point::Stamp(fields.system_time),
                    Point::Time(time),
                ] {
                    let replayed = run_line(&given, point).unwrap();
                    assert_eq!(replayed.at.chain_id, chain.chain_id);
                    assert_eq!(replayed.state.0, parts(&upto), "{point}");
                }
            }
            // Entries beyond the stated size are no part of the history, although they are there.
            for (_, event) in [(6, event_id(6)), (7, event_id(7))] {
                let error = run_line(&given, Point::Event(event)).unwrap_err();
                assert!(matches!(error, ReplayError::NotFound { .. }), "{error}");
            }
            let error = run_line(&given, Point::Sequence(4)).unwrap_err();
            assert!(matches!(error, ReplayError::Beyond(..)), "{error}");
            let error = run_line(&given, Point::Back(4)).unwrap_err();
            assert!(matches!(error, ReplayError::Before(_)), "{error}");
        }
        assert_eq!(answers.len(), 4);
    }
}

/// What is begun in one chain is ended in the next, and what came behind the stated size was never there.
#[test]
fn a_context_goes_on_over_successions() {
    let says = |event_type: &str, json: &str| {
        let payload = Payload::new("application/json", json).unwrap();
        let event = Event::new("agent:planner", event_type).unwrap().payload(payload);
        event.episode("run-1").unwrap()
    };
    let mut first = Build::new();
    let asks = r#"{"deadline":"2099-01-01T00:00:00.000000Z","proposal":{}}"#;
    for event in [
        says("episode.start", r#"{"goal":"pay"}"#),
        says("tool.call", r#"{"tool":"search"}"#),
        says("review.request", asks),
    ] {
        first.push(Draft::new(event));
    }
    let (begun, asked, size) = (event_id(2), event_id(3), first.sequence);
    let mut cut = first.clone();
    // Behind what its successor takes over: the result of another history.
    first.push(Draft::new(says("tool.result", "{}").caused_by(begun))).trailer();
    cut.stamp = Stamp::new(cut.stamp.as_u64() + (60 << 32));
    let mut second = successor(&cut, size, 1, 0);
    let approval = Event::new("human:dana", "review.approve").unwrap();
    let approval = approval.payload(Payload::new("application/json", "{}").unwrap());
    for (number, event) in [
        says("tool.error", r#"{"kind":"timeout","error_type":"Elapsed"}"#).caused_by(begun),
        approval.caused_by(asked),
        says("episode.end", r#"{"status":"completed"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let id = event_id(1001 + u64::try_from(number).unwrap());
        second.push(Draft::new(event).event_id(id));
    }
    second.trailer();
    let by_hand = |last: u64| {
        let mut context = Context::new();
        let taken = entries(&first).into_iter().take(usize::try_from(size).unwrap());
        let parts = [(&first, taken.collect::<Vec<_>>()), (&second, entries(&second))];
        for (build, written) in parts {
            let is_last = build.chain_id == second.chain_id;
            for entry in written.iter().filter(|e| !is_last || e.fields.sequence <= last) {
                context.apply(&Item::new(build.chain_id, &entry.fields, &entry.part));
            }
        }
        context
    };
    for form in FORMS {
        let files = [second.file(form), first.file(form)];
        let mut sources = files.each_ref().map(|bytes| file(bytes));
        let [a, b] = &mut sources;
        let mut states = Vec::new();
        for last in 0..4 {
            let given: &mut [&mut dyn Source] = &mut [&mut *a, &mut *b];
            let replayed = Replay::until(Point::Sequence(last)).run(given, Context::new()).unwrap();
            assert_eq!(replayed.state.encode(), by_hand(last).encode(), "{last}");
            states.push(replayed.state);
        }
        let [start, .., end] = &*states else { unreachable!() };
        assert_eq!((start.actions.open.len(), start.reviews.open.len()), (1, 1));
        assert_eq!((end.actions.open.len(), end.actions.unexpected), (0, 0));
        assert_eq!(end.actions.tools.get("search").unwrap().timed_out, 1);
        assert_eq!((end.reviews.open.len(), end.reviews.approved), (0, 1));
        assert!(end.episodes.open.is_empty());
    }
}

#[test]
fn a_line_that_is_none_is_refused() {
    let [first, second, third] = line();
    let files = [&first, &second, &third].map(|build| build.file(Form::ChainFile));
    let [a, b, c] = [0, 1, 2].map(|at| files[at].as_slice());
    let why = |files: &[&[u8]]| match run_line(files, Point::Head).unwrap_err() {
        ReplayError::Line(error) => error,
        other => panic!("{other}"),
    };
    assert_eq!(why(&[c]), LineError::Missing(second.chain_id));
    assert_eq!(why(&[b, c]), LineError::Missing(first.chain_id));
    assert_eq!(why(&[a, c]), LineError::Missing(second.chain_id));
    assert_eq!(why(&[a, b, c, b]), LineError::Duplicate(second.chain_id));
    assert_eq!(why(&[a, a]), LineError::Duplicate(first.chain_id));
    assert_eq!(why(&[]), LineError::Nothing);
    let mut stranger = Build::genesis(&crate::support::Genesis { salt: 77, ..Default::default() });
    stranger.events(2).trailer();
    let other = stranger.file(Form::ChainFile);
    assert_eq!(why(&[&other, a, b, c]), LineError::Superfluous(stranger.chain_id));
    // Two that continue the same chain.
    let mut rival = successor(&first, 6, 3, 1);
    rival.trailer();
    let rival_file = rival.file(Form::ChainFile);
    assert_eq!(why(&[a, b, &rival_file, c]), LineError::Superfluous(rival.chain_id));
    // Alone it can be replayed, if that is said.
    let alone = Replay::until(Point::Head).alone(true).run(&mut [&mut file(c)], Trace::default());
    assert_eq!(alone.unwrap().state, trace_of(&third, 3));
    assert!(at(a, Point::Head).is_ok(), "the first of a line is whole by itself");
    for error in [
        LineError::Nothing,
        LineError::Missing(Digest::ZERO),
        LineError::Root { chain: Digest::ZERO, size: 1, stated: Digest::ZERO, found: None },
    ] {
        assert!(error.to_string().contains("give"), "{error}");
    }
}

/// [S-succession-1]
#[test]
fn a_predecessor_must_have_the_root_that_is_stated() {
    let [first, second, third] = line();
    // The second states another root for the first.
    let mut other = first.clone();
    other.leaves[3] = Digest::of(&[b"another entry"]);
    let mut liar = successor(&other, 6, 1, 4);
    liar.trailer();
    let files = [first.file(Form::ChainFile), liar.file(Form::ChainFile)];
    let root = |files: [&[u8]; 2], point| match run_line(&files, point).unwrap_err() {
        ReplayError::Line(LineError::Root { chain, size, found, .. }) => (chain, size, found),
        other => panic!("{other}"),
    };
    let found = (first.chain_id, 6, Some(first.root_at(6)));
    assert_eq!(root([&files[0], &files[1]], Point::Head), found);
    assert_eq!(
        root([&files[0], &files[1]], Point::Event(event_id(2))),
        found,
        "whatever the point"
    );
    // It states more entries than there are.
    let mut longer = first.clone();
    longer.frames.pop();
    longer.events(3);
    let mut greedy = successor(&longer, 11, 1, 1);
    greedy.trailer();
    let error = run_line(&[&files[0], &greedy.file(Form::ChainFile)], Point::Head).unwrap_err();
    let short = LineError::Short { chain: first.chain_id, stated: 11, found: 8 };
    assert!(matches!(&error, ReplayError::Line(found) if *found == short), "{error}");
    // The same, and the end of the first is cut off: the fault is the answer.
    let whole = first.file(Form::ChainFile);
    let ranges = frame_ranges(&whole);
    for entries in [3, 6, 7] {
        let cut = &whole[..ranges[1 + entries].start];
        let error = run_line(&[cut, &greedy.file(Form::ChainFile)], Point::Head).unwrap_err();
        assert!(matches!(error, ReplayError::Fault(_)), "{error}");
        let run = run_line(
            &[cut, &second.file(Form::ChainFile), &third.file(Form::ChainFile)],
            Point::Head,
        );
        // What is behind the stated size may be damaged: that is why there is a successor.
        assert_eq!(run.is_ok(), entries >= 6, "{entries}");
    }
    // A gap within the stated size: the root still agrees, the entries are missing; across it nobody can say.
    let mut elided = first.clone();
    elided.frames.pop();
    elided.elide(2, 1, GapReason::Elided).seal().trailer();
    let files =
        [elided.file(Form::ChainFile), second.file(Form::ChainFile), third.file(Form::ChainFile)];
    let given = [files[0].as_slice(), &files[1], &files[2]];
    let error = run_line(&given, Point::Head).unwrap_err();
    assert!(matches!(error, ReplayError::Gap { first: 2, count: 1, .. }), "{error}");
    assert_eq!(run_line(&given, Point::Event(event_id(1))).unwrap().at.sequence, 1);
    let mut across = first.clone();
    across.frames.pop();
    across.elide(5, 2, GapReason::Elided).seal().trailer();
    let across = across.file(Form::ChainFile);
    assert_eq!(root([&across, &files[1]], Point::Event(event_id(1))), (first.chain_id, 6, None));
}

#[test]
fn a_fault_in_a_line_counts_where_it_is() {
    let builds = line();
    let whole = builds.each_ref().map(|build| build.file(Form::ChainFile));
    let ranges = whole.each_ref().map(|file| frame_ranges(file));
    // One point in the middle of each chain, and the number of entries of each chain that the history takes.
    let points = [Point::Event(event_id(3)), Point::Event(event_id(1002)), Point::Sequence(2)];
    let needed = [6, 5, 4];
    for (damaged, needed) in needed.into_iter().enumerate() {
        for entry in 0..builds[damaged].size() {
            let mut files = whole.clone();
            let place = ranges[damaged][1 + usize::try_from(entry).unwrap()].end - 3;
            files[damaged][place] ^= 4;
            let given: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            for (chapter, point) in points.into_iter().enumerate() {
                let own = if chapter == 0 { 3 } else { 2 };
                let expected = match damaged.cmp(&chapter) {
                    std::cmp::Ordering::Less => entry >= needed,
                    std::cmp::Ordering::Equal => entry > own,
                    // What follows needs a genesis, which states the root of what is before; if it is itself continued, its own
                    // root takes all entries up to the stated size.
                    std::cmp::Ordering::Greater => entry > 0,
                };
                let found = run_line(&given, point);
                assert_eq!(
                    found.is_ok(),
                    expected,
                    "chain {damaged} entry {entry} at {point}: {found:?}"
                );
                if let Err(error) = found {
                    let ReplayError::Fault(faulty) = &error else { panic!("{error}") };
                    assert!(faulty.fault().is_some());
                    // Without its genesis a chain has no place in the line.
                    assert_eq!(faulty.at, if entry == 0 { 0 } else { damaged });
                }
            }
        }
    }
}

#[test]
fn chains_of_a_line_whose_times_overlap_are_not_cut_by_time() {
    let mut first = Build::new();
    first.events(9).trailer();
    let mut early = first.clone();
    // The clock of the second chain begins before the first ended.
    early.stamp = entries(&first)[4].fields.system_time;
    let mut second = successor(&early, 10, 1, 9);
    second.trailer();
    let files = [first.file(Form::ChainFile), second.file(Form::ChainFile)];
    let given = [files[0].as_slice(), &files[1]];
    let within = entries(&first)[7].fields.system_time;
    for point in
        [Point::Stamp(within), Point::Time(ValidTime::from_micros(within.micros()).unwrap())]
    {
        let error = run_line(&given, point).unwrap_err();
        assert!(matches!(error, ReplayError::Ambiguous(p) if p == point), "{error}");
    }
    let before = entries(&first)[3].fields.system_time;
    assert_eq!(run_line(&given, Point::Stamp(before)).unwrap().at.sequence, 3);
    assert_eq!(run_line(&given, Point::Event(event_id(7))).unwrap().at.sequence, 7);
}

/// A ledger in memory: no signatures yet, nothing to verify.
struct Memory<'b>(&'b Build, usize);

impl Source for Memory<'_> {
    fn opening(&mut self) -> io::Result<Option<Opening>> {
        Ok(Some(Opening { chain_id: self.0.chain_id, predecessor: None }))
    }

    fn size(&mut self) -> io::Result<Option<u64>> {
        Ok(Some(self.0.size()))
    }

    fn read(&mut self, each: &mut Each<'_>) -> io::Result<End> {
        for written in entries(self.0) {
            self.1 += 1;
            let (fields, part) = (&written.fields, &written.part);
            let item = Item::new(self.0.chain_id, fields, part);
            assert_eq!(item.digest(), digest(self.0, written));
            if each(Step::Entry(item, None)).is_break() {
                break;
            }
        }
        Ok(End::whole(self.0.size()))
    }
}

#[test]
fn a_source_without_files_gives_the_same_state() {
    let build = rich();
    let bytes = build.file(Form::ChainFile);
    for written in entries(&build) {
        for point in names(&build, written) {
            let mut memory = Memory(&build, 0);
            let (Ok(one), Ok(other)) =
                (replay(&mut memory, &point, Both::default()), at(&bytes, point))
            else {
                assert_eq!(written.fields.sequence, 16, "a stamp behind the head");
                continue;
            };
            assert_eq!(one.state.1.encode(), other.state.1.encode(), "{point}");
            assert_eq!((one.state.0, one.at), (other.state.0, other.at));
            assert!(
                memory.1 <= usize::try_from(one.at.sequence).unwrap() + 2,
                "it goes no further"
            );
        }
    }
}

/// The watcher sees the prefix without fault, all of it, in order, on however many cores, and the report stays what it was.
#[test]
fn watching_changes_nothing() {
    for vector in vectors::all() {
        let run = |threads: usize| {
            let mut seen = Vec::new();
            let mut faulty = None;
            let verifier = Verifier::new().threads(threads);
            let report = verifier.replay(vector.bytes.as_slice(), &mut |step| {
                match step {
                    Seen::Entry(shown) => {
                        assert!(faulty.is_none(), "{}", vector.name);
                        assert_eq!(shown.item.fields, &shown.written.fields);
                        seen.push((shown.item.fields.sequence, shown.item.digest()));
                    }
                    Seen::Fault(fault) => faulty = Some((*fault).clone()),
                    _ => {}
                }
                ControlFlow::Continue(())
            });
            (report.unwrap().unwrap(), seen, faulty)
        };
        let (report, seen, faulty) = run(1);
        let (other, also_seen, _) = run(3);
        let plain = Verifier::new().threads(1).run(vector.bytes.as_slice()).unwrap();
        assert_eq!(format!("{report:?}"), format!("{plain:?}"), "{}", vector.name);
        assert_eq!(format!("{other:?}"), format!("{plain:?}"), "{}", vector.name);
        assert_eq!(seen, also_seen);
        assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
        if let Some(first) = &faulty {
            assert_eq!(first, &report.faults[0], "{}", vector.name);
        } else if report.total() == 0 {
            let gone = report.gaps.archived + report.gaps.elided + report.gaps.lost;
            assert_eq!(u64::try_from(seen.len()).unwrap() + gone, report.entries);
            assert_eq!(
                seen.last().map(|last| last.1),
                report.head.map(|head| head.digest).or(seen.last().map(|last| last.1))
            );
        }
    }
}

/// Whoever watches a sound file sees all that it takes to write it again, byte for byte.
#[test]
fn what_is_seen_of_a_sound_file_is_all_of_it() {
    let mut copied = 0;
    for vector in vectors::all() {
        let (mut writer, mut end) = (None, None);
        let report = Verifier::new().threads(1).replay(vector.bytes.as_slice(), &mut |seen| {
            let id = |shown: &Shown<'_>| shown.item.chain_id;
            if let (None, Seen::Entry(shown)) = (&writer, seen) {
                let form =
                    if vector.bytes.starts_with(b"{") { Form::JsonLines } else { Form::ChainFile };
                writer = Some(Writer::new(Vec::new(), form, id(shown)).unwrap());
            }
            let Some(writer) = &mut writer else { return ControlFlow::Break(()) };
            let written = match seen {
                Seen::Entry(shown) => {
                    let written = shown.written;
                    writer.copy(written, &written.part, shown.leaf)
                }
                Seen::Gap(gap) => writer.gap((*gap).clone()),
                Seen::Seal(seal) => writer.seal((*seal).clone()),
                Seen::Stated(checkpoint) => writer.checkpoint((*checkpoint).clone()),
                Seen::Attached(attachment) => writer.attachment((*attachment).clone()),
                Seen::Ended(summary) => {
                    end = Some((*summary).clone());
                    Ok(())
                }
                _ => Ok(()),
            };
            written.unwrap();
            ControlFlow::Continue(())
        });
        let is_sound = report.unwrap().is_some_and(|report| report.total() == 0);
        let Some(writer) = writer.filter(|_| is_sound) else { continue };
        let bytes = match end {
            Some(Summary::Signed(checkpoint)) => writer.finish_with(checkpoint),
            Some(_) => writer.finish_unsigned(),
            None => Ok(writer.leave_open()),
        };
        assert!(bytes.unwrap() == vector.bytes, "{}", vector.name);
        copied += 1;
    }
    assert!(copied > 40, "{copied}");
}

/// More entries than a block holds: order over blocks, and the end of a watch in the midst of them.
#[test]
fn a_long_file_is_seen_in_order_and_can_be_left() {
    let mut build = Build::new();
    let size = u64::try_from(rounds(20_000, 60_000)).unwrap();
    build.events(size - 1).unsigned_trailer();
    let bytes = build.file(Form::ChainFile);
    for threads in [1, 2, 4] {
        let verifier = Verifier::new().threads(threads);
        let mut seen = 0;
        let report = verifier.replay(bytes.as_slice(), &mut |step| {
            if let Seen::Entry(shown) = step {
                assert_eq!(shown.item.fields.sequence, seen);
                seen += 1;
            }
            ControlFlow::Continue(())
        });
        assert_eq!((report.unwrap().unwrap().entries, seen), (size, size));
        for until in [0, 1, 9_000] {
            let mut seen = 0;
            let report = verifier.replay(bytes.as_slice(), &mut |_| {
                seen += 1;
                if seen > until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert!(report.unwrap().is_none(), "of half a file there is no report");
            assert_eq!(seen, until + 1, "not once more after the break");
        }
        let mut source = ChainFile::new(verifier, Cursor::new(&bytes)).unwrap();
        let point = Point::Back(size / 2);
        let replayed = replay(&mut source, &point, Tally::new()).unwrap();
        assert_eq!(replayed.at.sequence, size - 1 - size / 2);
        assert_eq!(replayed.state.entries, size - size / 2);
    }
}

#[test]
fn what_is_no_chain_gives_no_state() {
    for bytes in [&b""[..], b"{", b"\x89SGC", b"{\"frame\":\"header\"", b"hello"] {
        for point in [Point::Head, Point::Sequence(0), Point::Back(2)] {
            let error = at(bytes, point).unwrap_err();
            let ReplayError::Fault(faulty) = &error else { panic!("{error}") };
            assert!(faulty.reach.is_none() && faulty.fault().unwrap().code.is_unreadable());
            assert!(error.to_string().contains("no entry can be reached"), "{error}");
        }
    }
    let good = rich().file(Form::ChainFile);
    let error = run_line(&[&good, b"hello"], Point::Head).unwrap_err();
    assert!(matches!(error, ReplayError::Fault(_)), "{error}");
}

/// A file that begins where the stream stands is read from there, each time.
#[test]
fn a_file_is_read_from_where_it_stands() {
    let build = every_kind();
    let bytes = [b"something before it".to_vec(), build.file(Form::ChainFile)].concat();
    let mut cursor = Cursor::new(&bytes);
    cursor.set_position(19);
    let mut source = ChainFile::new(Verifier::new(), cursor).unwrap();
    assert_eq!(source.size().unwrap(), Some(10));
    assert_eq!(source.opening().unwrap().unwrap().chain_id, build.chain_id);
    for _ in 0..2 {
        let run = Replay::until(Point::Back(1)).allow_gaps(true);
        assert_eq!(run.run(&mut [&mut source], ()).unwrap().at.sequence, 8);
    }
}

#[test]
fn an_event_id_that_occurs_twice_means_the_first() {
    let mut build = Build::new();
    let twice = EventId::new(7, [7; 10]);
    build.event().push(Draft::new(note(2)).event_id(twice));
    build.push(Draft::new(note(3)).event_id(twice)).trailer();
    let replayed = at(&build.file(Form::ChainFile), Point::Event(twice)).unwrap();
    assert_eq!(replayed.at.sequence, 2);
}
