//! Event ids that occur twice, which only a verifier that is asked to compare them can see.

use sigchain::chainfile::Form;
use sigchain::event::Event;
use sigchain::fault::Code;
use sigchain::frame::GapReason;
use sigchain::id::EventId;
use sigchain::key::{Role, Signature};
use sigchain::payload::Payload;
use sigchain::reserved::{KeyRecord, Reserved};

use super::{Expect, Vector};
use crate::support::{Build, Draft, event_id, key, operator_key};

/// An entry about another event, under an id that is said.
fn another(id: EventId) -> Draft<'static> {
    let payload = Payload::new("text/plain", "another event").unwrap();
    let event = Event::new("agent:planner", "agent.note").unwrap().payload(payload);
    Draft::new(event).event_id(id)
}

/// Six entries and a trailer; entry 4 has the event id of an entry before it.
fn twice(first: u64) -> Build {
    let mut build = Build::new();
    build.events(3).push(another(event_id(first))).event().trailer();
    build
}

/// The second entry of that id enrols a checkpoint key, and a checkpoint that this key signed is held.
fn enrolment(name: &'static str, comment: &'static str) -> Vector {
    let mut build = Build::new();
    let (id, new) = (event_id(2), key(13));
    build.events(3);
    let record = KeyRecord::new(&new, Role::Checkpoint, &build.chain_id, id);
    let reserved = Reserved::Enroll { approvals: Vec::new(), key: record };
    let reserved = reserved.approved_by(&operator_key(), &build.chain_id, id);
    build.push(Draft::reserved(&reserved).event_id(id)).event().trailer();
    accepted(name, comment, &build).held(build.checkpoint_at(5, &new))
}

/// An entry behind a gap has the event id of entry `first`; the gap stands for entries 2 to 4.
fn gap(first: u64) -> Build {
    let mut build = Build::new();
    build.events(5).push(another(event_id(first)));
    build.elide(2, 3, GapReason::Elided).seal().trailer();
    build
}

/// A stray under an id of its own, and an entry that has the same.
fn stray() -> Build {
    let mut build = Build::new();
    build.events(2);
    let mut aside = build.clone();
    build.event();
    aside.push(another(event_id(40)));
    build.frames.extend(aside.frames.pop());
    build.push(another(event_id(40))).trailer();
    build
}

/// An entry with a false signature, and the same event once more.
fn unusable() -> Build {
    let mut build = Build::new();
    let broken = |signature: &mut Signature| *signature = Signature::new([1; 64]);
    build.events(2).push(another(event_id(40)).signature(broken));
    build.push(another(event_id(40))).trailer();
    build
}

fn accepted(name: &'static str, comment: &'static str, build: &Build) -> Vector {
    Vector::intact(name, comment, build.chain_id, build.file(Form::ChainFile))
}

fn refused(name: &'static str, comment: &'static str, fault: (Code, u64), build: &Build) -> Vector {
    let (code, sequence) = fault;
    Vector::refused(name, comment, (code, Some(sequence)), build.file(Form::ChainFile)).unique()
}

pub fn all() -> Vec<Vector> {
    let of_a_twin = (Code::EventId, 4);
    let lines = twice(2).file(Form::JsonLines);
    let mut replayed = super::keys::all();
    replayed.retain(|vector| vector.name == "approval-replayed");
    let replayed = replayed.pop().unwrap().bytes;
    vec![
        accepted("event-id-twice", "two entries with one event id: nobody looks", &twice(2)),
        refused("event-id-twice-unique", "the same, looked at", of_a_twin, &twice(2)),
        Vector::refused(
            "event-id-twice-unique-lines",
            "the same as JSON lines",
            (Code::EventId, Some(4)),
            lines,
        )
        .unique(),
        refused("event-id-of-genesis-unique", "the event id of entry 0", of_a_twin, &twice(0)),
        enrolment("event-id-reserved", "the second one enrols a key: nobody looks"),
        Vector {
            expect: Expect::Fault(Code::EventId, Some(4)),
            ..enrolment("event-id-reserved-unique", "the key may sign all the same").unique()
        },
        refused(
            "event-id-behind-gap-unique",
            "used again behind a gap",
            (Code::EventId, 6),
            &gap(1),
        ),
        accepted("event-id-in-gap-unique", "one of the two is not in the file", &gap(3)).unique(),
        refused(
            "event-id-of-stray-unique",
            "a stray is none of them",
            (Code::Sequence, 3),
            &stray(),
        ),
        refused(
            "event-id-of-unusable-unique",
            "an entry without an accepted signature is none of them",
            (Code::Signature, 3),
            &unusable(),
        ),
        Vector::refused(
            "event-id-of-approval-unique",
            "an approval used twice is found with and without being asked",
            (Code::Approval, Some(5)),
            replayed,
        )
        .unique(),
        accepted("every-kind-unique", "no event id occurs twice", &super::accepted::every_kind())
            .unique(),
    ]
}
