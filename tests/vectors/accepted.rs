//! Files that a verifier must accept: the cases of decision 0001, and the rest of what the format can say.

use sigchain::chainfile::Form;
use sigchain::digest::Digest;
use sigchain::event::Event;
use sigchain::frame::{Attachment, Frame, GapReason, Target};
use sigchain::id::{EventId, SpanId, TraceId};
use sigchain::payload::{Part, Payload};
use sigchain::reserved::{Cause, Predecessor, Reserved};
use sigchain::stamp::ValidTime;

use super::Vector;
use crate::support::{Build, Draft, Genesis, checkpoint_key, entry_key, event_id, operator_key};

fn vector(name: &'static str, comment: &'static str, build: &Build) -> Vector {
    Vector::intact(name, comment, build.chain_id, build.file(Form::ChainFile))
}

fn lines(name: &'static str, comment: &'static str, build: &Build) -> Vector {
    Vector::intact(name, comment, build.chain_id, build.file(Form::JsonLines))
}

pub fn fields_payload() -> Payload {
    Payload::by_field([
        ("arguments", "application/json", &br#"{"q":"rust"}"#[..]),
        ("result", "text/plain", b"three pages"),
        ("tool", "text/plain", b"search"),
    ])
    .unwrap()
}

fn note(text: &str) -> Event {
    let payload = Payload::new("text/plain", text).unwrap();
    Event::new("agent:planner", "agent.note").unwrap().payload(payload)
}

fn attachment(build: &mut Build, name: &'static str, target: Target, bytes: &'static [u8]) {
    build.frame(Frame::Attachment(Attachment::new(name, target, bytes).unwrap()));
}

/// A file that holds every kind of frame, and most kinds of entry.
pub fn every_kind() -> Build {
    let mut build = Build::new();
    build.events(2);
    build.push(Draft::new(note("by field").payload(fields_payload())).part(|part| {
        part.hide("arguments");
    }));
    build.push(Draft::new(note("first of a batch")).left(1));
    build.push(Draft::new(note("second of it")));
    build.push(Draft::new(note("withheld")).part(|part| *part = Part::Withheld));
    build.checkpoint();
    build.events(2);
    let event = build.leaves.len();
    assert_eq!(event, 9);
    build.elide(7, 1, GapReason::Elided);
    build.seal();
    attachment(&mut build, "rfc3161", Target::Checkpoint(7), b"a token");
    build.event();
    build.trailer();
    build
}

pub fn erased(list: Vec<(u64, u64)>) -> Build {
    let mut build = Build::new();
    build.event();
    build.push(Draft::new(note("secret")).part(|part| *part = Part::Erased(4)));
    build.push(Draft::new(note("secret too")).part(|part| *part = Part::Erased(4)));
    build.reserved(&Reserved::Erased { detail: vec![0xa0], entries: list });
    build
}

pub fn all() -> Vec<Vector> {
    let mut vectors = shapes();
    vectors.extend(payloads());
    vectors.extend(gaps());
    vectors.extend(ledgers_own());
    vectors.extend(attachments());
    vectors.extend(anchors());
    vectors
}

fn shapes() -> Vec<Vector> {
    let mut genesis_only = Build::new();
    genesis_only.trailer();
    let mut unsigned = Build::new();
    unsigned.events(3).unsigned_trailer();
    let mut batch = Build::new();
    batch.event();
    for left in [2, 1, 0] {
        batch.push(Draft::new(note("one of three")).left(left));
    }
    batch.trailer();
    let mut full = Build::new();
    full.push(Draft::new(everything_said())).trailer();
    let mut open = Build::new();
    open.events(2);
    vec![
        vector("genesis-only", "a chain of one entry", &genesis_only),
        vector("every-kind", "every kind of frame in one file", &every_kind()),
        lines("every-kind-lines", "the same as JSON lines", &every_kind()),
        vector("unsigned-trailer", "an exporter without a checkpoint key", &unsigned),
        vector("batch-whole", "three entries that are there together or not at all", &batch),
        vector("all-fields", "an entry with all sixteen fields, at their limits", &full),
        lines("all-fields-lines", "the same as JSON lines", &full),
        lines("open-lines", "a live log: JSON lines without trailer", &open),
    ]
}

fn everything_said() -> Event {
    let time = |text: &str| ValidTime::parse(text);
    Event::new(&"\u{e9}".repeat(128), &format!("a.{}", "b".repeat(126)))
        .unwrap()
        .caused_by(EventId::new(0xffff_ffff_ffff, [0xff; 10]))
        .correlation(&"c".repeat(128))
        .unwrap()
        .episode("\u{1f980}\"\\ \u{202e}")
        .unwrap()
        .schema_version(65_535)
        .trace(TraceId::from_bytes([1; 16]).unwrap(), SpanId::from_bytes([2; 8]))
        .valid(time("0001-01-01T00:00:00.000000Z"), time("9999-12-31T23:59:59.999999Z"))
        .unwrap()
        .payload(Payload::new(&"~".repeat(127), b"\t\r\n\"\\/\x7e\xf0\x9f\xa6\x80").unwrap())
}

fn payloads() -> Vec<Vector> {
    let mut erased = erased(vec![(2, 2)]);
    erased.trailer();
    let mut by_field = Build::new();
    by_field.push(Draft::new(note("").payload(fields_payload()))).trailer();
    let mut hidden = Build::new();
    let hide = |part: &mut Part<'static>| {
        part.hide("arguments");
    };
    hidden.push(Draft::new(note("").payload(fields_payload())).part(hide)).trailer();
    let mut encrypted = Build::new();
    let ciphertext: Vec<u8> = (0..=255).collect();
    let payload = Payload::new("application/age-encryption", ciphertext).unwrap();
    encrypted.push(Draft::new(note("").payload(payload))).trailer();
    let mut withheld = Build::new();
    withheld.push(Draft::new(note("x")).part(|part| *part = Part::Withheld)).trailer();
    let mut empty = Build::new();
    empty.push(Draft::new(Event::new("a", "b").unwrap())).trailer();
    vec![
        vector("payload-erased", "two payloads cut out, and the entry that says so", &erased),
        vector("payload-fields", "a payload committed field by field", &by_field),
        vector("payload-fields-one-hidden", "one field withheld, two shown", &hidden),
        lines("payload-fields-one-hidden-lines", "the same as JSON lines", &hidden),
        vector("payload-encrypted", "committed as ciphertext; no key is needed", &encrypted),
        lines("payload-encrypted-lines", "binary travels as base64url", &encrypted),
        vector("payload-withheld", "not in this file, in the word of its maker", &withheld),
        vector("payload-empty", "no bytes and no media type", &empty),
    ]
}

fn gaps() -> Vec<Vector> {
    let long = || {
        let mut build = Build::new();
        build.events(99);
        build
    };
    let sealed = |build: &mut Build| {
        build.seal();
        build.trailer();
    };
    let mut range = long();
    range.elide(1, 39, GapReason::Elided).elide(60, 40, GapReason::Elided);
    sealed(&mut range);
    let mut selection = long();
    for (first, count) in [(1, 6), (8, 1), (10, 31), (42, 57)] {
        selection.elide(first, count, GapReason::Elided);
    }
    sealed(&mut selection);
    let mut archived = long();
    archived.elide(1, 63, GapReason::Archived);
    sealed(&mut archived);
    let mut unsealed = long();
    unsealed.elide(1, 39, GapReason::Elided).trailer();
    let mut lost = long();
    let hashes = lost.hashes(20, 3);
    let resolved = resolution(&lost, 20, 3, hashes);
    lost.push(Draft::reserved(&resolved)).elide(20, 3, GapReason::Lost);
    sealed(&mut lost);
    let mut in_batch = Build::new();
    in_batch.push(Draft::new(note("kept")).left(2));
    in_batch.push(Draft::new(note("left out")).left(1));
    in_batch.push(Draft::new(note("kept too")));
    in_batch.elide(2, 1, GapReason::Elided);
    sealed(&mut in_batch);
    vec![
        vector("gap-range", "entries 40 to 59 of 100", &range),
        lines("gap-range-lines", "the same as JSON lines", &range),
        vector("gap-selection", "four entries of 100, proved by the gaps between", &selection),
        vector("gap-archived-front", "the front of the chain is elsewhere", &archived),
        vector("gap-unsealed", "no seal shows that no key entry is left out", &unsealed)
            .unvouched(),
        vector("gap-lost-resolved", "damaged for good, and resolved by an operator", &lost),
        vector("gap-in-batch", "the middle of a batch left out", &in_batch),
    ]
}

pub fn resolution(build: &Build, first: u64, count: u64, hashes: Vec<Digest>) -> Reserved {
    let resolved = Reserved::Resolved {
        approvals: Vec::new(),
        count,
        evidence: Some(Digest::of(&[b"the bytes set aside"])),
        first,
        hashes,
        statement: "disk 3 failed; no copy".to_owned(),
    };
    resolved.approved_by(&operator_key(), &build.chain_id, event_id(build.sequence))
}

fn ledgers_own() -> Vec<Vector> {
    let abandoned = |cause| {
        let mut build = Build::new();
        build.events(6);
        let entries = [7u64, 8, 9].map(|n| (n, Digest::of(&[&n.to_be_bytes()]))).to_vec();
        build.reserved(&Reserved::Abandoned { cause, entries: entries.clone() });
        // More than fit: the list goes on in the next entry.
        build.reserved(&Reserved::Abandoned { cause, entries }).events(2).trailer();
        build
    };
    let mut open = Build::new();
    for event_type in ["epoch.open", "clock.anomaly", "quarantine.open", "recovery.any-name"] {
        let map = b"\xa2\x61a\x20\x61b\x83\xf4\xf5\xf6".to_vec();
        open.reserved(&Reserved::Open { event_type: event_type.to_owned(), map });
    }
    open.trailer();
    let predecessor = Predecessor {
        chain: Digest::of(&[b"the chain before"]),
        evidence: Some(Digest::of(&[b"what was set aside"])),
        root: Digest::of(&[b"its last root"]),
        size: 4711,
        statement: "head not provable after the fire".to_owned(),
    };
    let mut succession = Build::genesis(&Genesis {
        predecessor: Some(predecessor),
        approvers: vec![operator_key()],
        ..Genesis::default()
    });
    succession.event().trailer();
    vec![
        vector("abandoned-signer", "entries behind a failed signer", &abandoned(Cause::Signer)),
        vector("abandoned-torn", "entries found in a torn tail", &abandoned(Cause::Torn)),
        vector("open-families", "entries of the ledger's own that carry no authority", &open),
        vector("succession", "a chain that continues another", &succession),
    ]
}

fn attachments() -> Vec<Vector> {
    let with = |name: &'static str, target, bytes: &'static [u8]| {
        let mut build = Build::new();
        build.events(2).checkpoint();
        attachment(&mut build, name, target, bytes);
        build.event().trailer();
        build
    };
    let cosignature =
        with("c2sp.org/tlog-cosignature", Target::Checkpoint(3), b"\x04 a cosignature");
    let token = with("rfc3161", Target::Checkpoint(3), b"\x30\x82 a token");
    let quantum = with("ml-dsa-44", Target::Entry(1), b"a post-quantum signature");
    let of_file = with("x", Target::File, b"");
    vec![
        vector("attachment-cosignature", "a witness, after the fact", &cosignature),
        vector("attachment-rfc3161", "a time stamp, after the fact", &token),
        vector("attachment-post-quantum", "a signature of another kind", &quantum),
        vector("attachment-of-file", "about the file, of an unknown type", &of_file),
        lines("attachment-lines", "an attachment as JSON lines", &quantum),
    ]
}

fn anchors() -> Vec<Vector> {
    let mut build = Build::new();
    build.events(5).checkpoint().events(5).trailer();
    let bytes = build.file(Form::ChainFile);
    let file = |name, comment| {
        let mut vector = Vector::intact(name, comment, build.chain_id, bytes.clone());
        vector.anchors.chain_id = None;
        vector
    };
    let held = build.checkpoint_at(8, &checkpoint_key());
    let mut ranged = Build::new();
    ranged.events(20);
    let inside = ranged.checkpoint_at(9, &checkpoint_key());
    ranged.elide(5, 10, GapReason::Elided).seal().trailer();
    let ranged_bytes = ranged.file(Form::ChainFile);
    vec![
        file("self-asserted", "nothing outside the file vouches for it").unvouched(),
        file("anchor-checkpoint", "three entries lie beyond the checkpoint").held(held),
        file("anchor-key", "the key signed all of it").key(entry_key().id()),
        file("anchor-checkpoint-key", "the key signed the trailer").key(checkpoint_key().id()),
        file("anchor-key-missing", "a key that signed nothing here")
            .key(operator_key().id())
            .unvouched(),
        Vector::intact(
            "anchor-in-gap",
            "its size lies inside a gap",
            ranged.chain_id,
            ranged_bytes,
        )
        .held(inside)
        .unvouched(),
    ]
}
