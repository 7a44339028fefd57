//! Files with exactly one fault each: damage, and what does not fit in its place.

use sigchain::chainfile::{Form, MAGIC};
use sigchain::checkpoint::{Checkpoint, Seal};
use sigchain::digest::Digest;
use sigchain::event::Event;
use sigchain::fault::Code;
use sigchain::frame::{Frame, GapReason, Summary, Trailer, VERSION};
use sigchain::key::{Signature, SigningKey};
use sigchain::payload::{Part, Payload};
use sigchain::reserved::Reserved;
use sigchain::stamp::Stamp;

use super::Vector;
use super::accepted::{erased, resolution};
use crate::support::{
    Build, Draft, checkpoint_key, entry_key, file, frame_ranges, raw_frame, second_entry_key,
};

fn refused(
    name: &'static str,
    comment: &'static str,
    fault: (Code, Option<u64>),
    build: &Build,
) -> Vector {
    Vector::refused(name, comment, fault, build.file(Form::ChainFile))
}

fn plain() -> Build {
    let mut build = Build::new();
    build.events(5).trailer();
    build
}

fn note(text: &str) -> Event {
    let payload = Payload::new("text/plain", text).unwrap();
    Event::new("agent:planner", "agent.note").unwrap().payload(payload)
}

pub fn all() -> Vec<Vector> {
    let mut vectors = damage();
    vectors.extend(content());
    vectors.extend(places());
    vectors.extend(batches_and_gaps());
    vectors.extend(statements());
    vectors.extend(ends());
    vectors.extend(anchors());
    vectors
}

/// A file with some of its bytes changed.
fn bytes(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = plain().file(Form::ChainFile);
    change(&mut bytes);
    bytes
}

/// The plain file with some frames' bytes changed.
fn pieces(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let bytes = plain().file(Form::ChainFile);
    let mut pieces: Vec<Vec<u8>> =
        frame_ranges(&bytes).into_iter().map(|range| bytes[range].to_vec()).collect();
    change(&mut pieces);
    [MAGIC.to_vec(), pieces.concat()].concat()
}

fn damage() -> Vec<Vector> {
    let at = |n: usize| frame_ranges(&plain().file(Form::ChainFile))[n].clone();
    let header = |body: &[u8]| pieces(|pieces| pieces[0] = raw_frame(b'H', 0, 0, body));
    let chain_id = plain().chain_id;
    let two = [&[0x82, 0x02, 0x58, 0x20][..], chain_id.as_bytes()].concat();
    let other = [&[0x82, 0x01, 0x58, 0x1f][..], &chain_id.as_bytes()[..31]].concat();
    let cut = |n: usize| bytes(|bytes| bytes.truncate(n));
    let lines = |text: &[u8]| text.to_vec();
    vec![
        Vector::refused("empty", "no bytes at all", (Code::FileMagic, None), Vec::new()),
        Vector::refused(
            "magic",
            "one byte of the magic",
            (Code::FileMagic, None),
            bytes(|b| b[0] = 0x88),
        ),
        Vector::refused(
            "magic-text-mode",
            "line ends were changed on the way",
            (Code::FileMagic, None),
            bytes(|b| {
                b.remove(4);
            }),
        ),
        Vector::refused(
            "magic-lines",
            "JSON, but no header",
            (Code::FileMagic, None),
            lines(b"{\"actor\":\"a\"}\n"),
        ),
        Vector::refused(
            "header-missing",
            "the magic and nothing else",
            (Code::FileHeader, None),
            cut(8),
        ),
        Vector::refused(
            "header-cut",
            "in the middle of the header",
            (Code::FileHeader, None),
            cut(30),
        ),
        Vector::refused(
            "header-body",
            "a chain id that is too short",
            (Code::FileHeader, None),
            header(&other),
        ),
        Vector::refused(
            "header-flipped",
            "a bit of the header",
            (Code::FileHeader, None),
            bytes(|b| b[40] ^= 1),
        ),
        Vector::refused(
            "header-lines-cut",
            "a header without line feed",
            (Code::FileHeader, None),
            lines(b"{\"frame\":\"header\",\"chain_id\":\""),
        ),
        Vector::refused("version", "format version 2", (Code::FileVersion, None), header(&two)),
        Vector::refused(
            "version-shape",
            "version 2 with another body",
            (Code::FileVersion, None),
            header(b"\x83\x02\x00\x00"),
        ),
        Vector::refused(
            "frame-cut",
            "the last byte is missing",
            (Code::FrameCut, None),
            bytes(|b| {
                b.pop();
            }),
        ),
        Vector::refused(
            "frame-cut-head",
            "in the middle of a head",
            (Code::FrameCut, None),
            cut(at(4).start + 9),
        ),
        Vector::refused(
            "frame-head",
            "a bit of a head",
            (Code::FrameHead, None),
            bytes(|b| b[at(3).start + 6] ^= 2),
        ),
        Vector::refused(
            "frame-head-type",
            "a kind of frame that does not exist",
            (Code::FrameHead, None),
            pieces(|p| p[3] = raw_frame(b'X', 0, 0, b"")),
        ),
        Vector::refused(
            "frame-head-zero",
            "the second byte is not zero",
            (Code::FrameHead, None),
            pieces(|p| p[3] = raw_frame(b'E', 1, 0, b"")),
        ),
        Vector::refused(
            "frame-head-left",
            "a batch of something that is no entry",
            (Code::FrameHead, None),
            pieces(|p| p[3] = raw_frame(b'A', 0, 1, b"")),
        ),
        Vector::refused(
            "frame-body",
            "a bit of an entry's body",
            (Code::FrameBody, Some(2)),
            bytes(|b| b[at(3).start + 50] ^= 0x10),
        ),
        Vector::refused(
            "frame-malformed",
            "a gap that is no array",
            (Code::FrameMalformed, None),
            pieces(|p| p.insert(3, raw_frame(b'S', 0, 0, b"\x80"))),
        ),
        Vector::refused(
            "entry-malformed",
            "an entry that is no array",
            (Code::EntryMalformed, Some(3)),
            pieces(|p| p[4] = raw_frame(b'E', 0, 0, b"\xa0")),
        ),
        Vector::refused(
            "frame-order",
            "a second header",
            (Code::FrameOrder, None),
            pieces(|p| p.insert(2, p[0].clone())),
        ),
        Vector::refused(
            "frame-order-first",
            "an attachment before entry 0",
            (Code::FrameOrder, None),
            pieces(|p| p.insert(1, raw_frame(b'A', 0, 0, b"\x84\x61x\x00\x00\x40"))),
        ),
    ]
}

fn one(draft: Draft<'_>) -> Build {
    let mut build = Build::new();
    build.event().push(draft).events(2).trailer();
    build
}

fn content() -> Vec<Vector> {
    let flip = |signature: &mut Signature| {
        let mut bytes = *signature.as_bytes();
        bytes[40] ^= 1;
        *signature = Signature::new(bytes);
    };
    let strip = |signature: &mut Signature| *signature = Signature::new([0; 64]);
    let mut altered = one(Draft::new(note("said")));
    if let Frame::Entry(written) = &mut altered.frames[3] {
        written.fields.actor = "agent:somebody-else".into();
    }
    let mut other = Build::genesis(&crate::support::Genesis { salt: 7, ..Default::default() });
    other.event().event();
    let mut spliced = Build::new();
    spliced.events(4).trailer();
    spliced.frames[3] = other.frames[3].clone();
    let change = |part: &mut Part<'static>| {
        if let Part::Whole(leaf) = part {
            leaf.bytes.to_mut()[0] ^= 1;
        }
    };
    let salt = |part: &mut Part<'static>| {
        if let Part::Whole(leaf) = part {
            leaf.salt[0] ^= 1;
        }
    };
    let map = Reserved::Open { event_type: "epoch.open".to_owned(), map: vec![0xa0] };
    let at = Some(2);
    vec![
        refused(
            "signature",
            "a bit of a signature",
            (Code::Signature, at),
            &one(Draft::new(note("x")).signature(flip)),
        ),
        refused(
            "signature-stripped",
            "64 zero bytes in its place",
            (Code::Signature, at),
            &one(Draft::new(note("x")).signature(strip)),
        ),
        refused(
            "signature-of-other-content",
            "the actor was changed afterwards",
            (Code::Signature, at),
            &altered,
        ),
        refused(
            "signature-of-other-chain",
            "an entry of another chain of the same keys",
            (Code::Signature, at),
            &spliced,
        ),
        refused(
            "payload-mismatch",
            "a bit of a payload",
            (Code::PayloadMismatch, at),
            &one(Draft::new(note("x")).part(change)),
        ),
        refused(
            "payload-mismatch-salt",
            "a bit of a salt",
            (Code::PayloadMismatch, at),
            &one(Draft::new(note("x")).part(salt)),
        ),
        refused(
            "payload-erased-by-itself",
            "erased by an entry that is not later",
            (Code::PayloadMismatch, at),
            &one(Draft::new(note("x")).part(|p| *p = Part::Erased(2))),
        ),
        refused(
            "reserved-withheld",
            "an entry of the ledger's own without payload",
            (Code::ReservedPayload, at),
            &one(Draft::reserved(&map).part(|p| *p = Part::Withheld)),
        ),
    ]
}

fn places() -> Vec<Vector> {
    let frames = |change: fn(&mut Vec<Frame<'static>>)| {
        let mut build = plain();
        change(&mut build.frames);
        build
    };
    let zero = |n: u64| Stamp::new(n);
    let genesis = Build::new();
    let Frame::Entry(first) = genesis.frames[1].clone() else { panic!("entry 0") };
    let again = Reserved::parse("chain.genesis", &first.part, 0).unwrap();
    let mut not_genesis = Build::empty();
    not_genesis.begin(Draft::new(note("first"))).unsigned_trailer();
    let mut header = plain();
    header.frames[0] = Frame::Header { version: VERSION, chain_id: Digest::of(&[b"another"]) };
    let disowned = Reserved::Abandoned {
        cause: sigchain::reserved::Cause::Signer,
        entries: vec![(1, Digest::of(&[b"a branch that somebody has seen"]))],
    };
    let nothing = file(&plain().frames[..1], Form::ChainFile);
    vec![
        refused(
            "sequence-deleted",
            "an entry is missing",
            (Code::Sequence, Some(3)),
            &frames(|f| drop(f.remove(3))),
        ),
        refused(
            "sequence-doubled",
            "an entry stands twice",
            (Code::Sequence, Some(2)),
            &frames(|f| f.insert(4, f[3].clone())),
        ),
        refused(
            "sequence-inserted",
            "an earlier entry again, later",
            (Code::Sequence, Some(1)),
            &frames(|f| f.insert(5, f[2].clone())),
        ),
        refused(
            "link",
            "linked to something else",
            (Code::Link, Some(2)),
            &one(Draft::new(note("x")).fields(|f| f.prior_hash = Digest::of(&[b"x"]))),
        ),
        refused(
            "stamp-equal",
            "the same stamp as the entry before",
            (Code::Stamp, Some(2)),
            &one(Draft::new(note("x"))
                .fields(|f| f.system_time = Stamp::new(f.system_time.as_u64() - (1 << 32)))),
        ),
        refused(
            "stamp",
            "a stamp that is not after the one before",
            (Code::Stamp, Some(2)),
            &one(Draft::new(note("x")).fields(move |f| f.system_time = zero(5))),
        ),
        refused("genesis-not", "entry 0 is something else", (Code::Genesis, Some(0)), &not_genesis),
        refused(
            "genesis-again",
            "a second genesis",
            (Code::Genesis, Some(2)),
            &one(Draft::reserved(&again)),
        ),
        Vector::refused(
            "genesis-missing",
            "the file ends before entry 0",
            (Code::Genesis, None),
            nothing,
        ),
        refused(
            "genesis-deleted",
            "the file begins with entry 1",
            (Code::Genesis, Some(1)),
            &frames(|f| drop(f.remove(1))),
        ),
        refused(
            "abandoned-later",
            "an entry disowned after its number was issued again",
            (Code::Abandoned, Some(2)),
            &one(Draft::reserved(&disowned)),
        ),
        refused("chain-id", "the header names another chain", (Code::ChainId, Some(0)), &header),
    ]
}

fn batches_and_gaps() -> Vec<Vector> {
    let mut torn = Build::new();
    torn.event().push(Draft::new(note("first of three")).left(2));
    torn.push(Draft::new(note("second of three")).left(1)).trailer();
    let mut skipped = Build::new();
    skipped.push(Draft::new(note("first of three")).left(2));
    skipped.push(Draft::new(note("called the last"))).event().trailer();
    let mut torn_lines = Build::new();
    torn_lines.push(Draft::new(note("first of three")).left(2));
    let mut unresolved = Build::new();
    unresolved.events(9).elide(4, 2, GapReason::Lost).seal().trailer();
    let mut resolved_otherwise = Build::new();
    resolved_otherwise.events(9);
    let other = resolution(&resolved_otherwise, 4, 2, vec![Digest::of(&[b"not this"])]);
    resolved_otherwise.push(Draft::reserved(&other)).elide(4, 2, GapReason::Lost).seal().trailer();
    let mut misplaced = Build::new();
    misplaced.events(9);
    let gap = misplaced.gap(2, 2, GapReason::Elided);
    misplaced.frame(gap).seal().trailer();
    let mut outside = erased(vec![(2, 1)]);
    outside.trailer();
    let mut never = Build::new();
    never.push(Draft::new(note("x")).part(|part| *part = Part::Erased(9))).events(2).trailer();
    let mut no_erasure = Build::new();
    no_erasure.push(Draft::new(note("x")).part(|part| *part = Part::Erased(2))).events(2).trailer();
    let mut in_gap = Build::new();
    in_gap.push(Draft::new(note("x")).part(|part| *part = Part::Erased(3))).events(4);
    in_gap.elide(3, 1, GapReason::Elided).seal().trailer();
    vec![
        refused("batch-cut", "a crash took the last entry of a batch", (Code::Batch, None), &torn),
        refused(
            "batch-short",
            "the second of three calls itself the last",
            (Code::Batch, Some(2)),
            &skipped,
        ),
        Vector::refused(
            "batch-cut-lines",
            "a live log that ends in a batch",
            (Code::Batch, None),
            torn_lines.file(Form::JsonLines),
        ),
        refused(
            "gap-lost-unresolved",
            "damaged, and nobody gave it up",
            (Code::GapUnresolved, Some(4)),
            &unresolved,
        ),
        refused(
            "gap-lost-resolved-otherwise",
            "the resolution names other hashes",
            (Code::GapUnresolved, Some(4)),
            &resolved_otherwise,
        ),
        refused(
            "gap-stray",
            "a gap over entries that are there",
            (Code::Sequence, Some(2)),
            &misplaced,
        ),
        refused(
            "erasure-unauthorised",
            "one of two is not in the list",
            (Code::Erasure, Some(4)),
            &outside,
        ),
        refused("erasure-never", "no such entry in the file", (Code::Erasure, Some(9)), &never),
        refused(
            "erasure-by-another",
            "the entry that is named erased nothing",
            (Code::Erasure, Some(2)),
            &no_erasure,
        ),
        refused(
            "erasure-in-gap",
            "the entry that is named was left out",
            (Code::Erasure, Some(3)),
            &in_gap,
        ),
    ]
}

fn checkpoint(origin: &str, size: u64, root: Digest, key: &SigningKey) -> Frame<'static> {
    Frame::Checkpoint(Checkpoint::sign(origin, size, root, key))
}

fn statements() -> Vec<Vector> {
    let with = |change: &dyn Fn(&Build) -> Frame<'static>| {
        let mut build = Build::new();
        build.events(4);
        let frame = change(&build);
        build.frame(frame).event().trailer();
        build
    };
    let other_key = second_entry_key();
    let mut twice = Build::new();
    twice.events(4).checkpoint().checkpoint().trailer();
    let seal = |change: &dyn Fn(&mut Seal)| {
        with(&|build| {
            let mut seal = Seal::sign(build.seal_state(), &build.chain_id, &checkpoint_key());
            change(&mut seal);
            Frame::Seal(seal)
        })
    };
    let resealed = |change: &dyn Fn(&mut sigchain::checkpoint::SealState)| {
        with(&|build| {
            let mut state = build.seal_state();
            change(&mut state);
            Frame::Seal(Seal::sign(state, &build.chain_id, &checkpoint_key()))
        })
    };
    let wrong_root = Digest::of(&[b"another root"]);
    vec![
        refused(
            "checkpoint-origin",
            "a checkpoint of another chain",
            (Code::CheckpointOrigin, None),
            &with(&|b| checkpoint("example.org/other", 5, b.root_at(5), &checkpoint_key())),
        ),
        refused(
            "checkpoint-root",
            "a root over other entries",
            (Code::CheckpointRoot, None),
            &with(&|b| checkpoint(&b.origin(), 5, wrong_root, &checkpoint_key())),
        ),
        refused(
            "checkpoint-size",
            "a size that is not the one here",
            (Code::CheckpointSize, None),
            &with(&|b| checkpoint(&b.origin(), 4, b.root_at(4), &checkpoint_key())),
        ),
        refused("checkpoint-twice", "sizes must increase", (Code::CheckpointSize, None), &twice),
        refused(
            "checkpoint-signature",
            "signed by a key of no chain",
            (Code::CheckpointSignature, None),
            &with(&|b| checkpoint(&b.origin(), 5, b.root_at(5), &other_key)),
        ),
        refused(
            "checkpoint-by-entry-key",
            "signed by a key of role entry",
            (Code::CheckpointSignature, None),
            &with(&|b| checkpoint(&b.origin(), 5, b.root_at(5), &entry_key())),
        ),
        refused(
            "seal-signature",
            "a bit of a seal's signature",
            (Code::SealSignature, None),
            &seal(&|s| s.signature = Signature::new([1; 64])),
        ),
        refused(
            "seal-signer",
            "a seal by a key of role entry",
            (Code::SealSignature, None),
            &with(&|b| Frame::Seal(Seal::sign(b.seal_state(), &b.chain_id, &entry_key()))),
        ),
        refused(
            "seal-head",
            "a seal over another head",
            (Code::SealMismatch, None),
            &resealed(&|s| s.head = wrong_root),
        ),
        refused(
            "seal-keyring",
            "a seal over other keys",
            (Code::SealMismatch, None),
            &resealed(&|s| s.keyring = wrong_root),
        ),
        refused(
            "seal-stamp",
            "a seal over another stamp",
            (Code::SealMismatch, None),
            &resealed(&|s| s.stamp = Stamp::new(1)),
        ),
        refused(
            "seal-frontier",
            "a seal over another tree",
            (Code::SealMismatch, None),
            &resealed(&|s| s.frontier[0] = wrong_root),
        ),
    ]
}

fn ends() -> Vec<Vector> {
    let mut cut = plain();
    cut.frames.pop();
    let mut older = Build::new();
    older.events(5);
    let checkpoint = older.checkpoint_at(4, &checkpoint_key());
    let frames = u64::try_from(older.frames.len()).unwrap();
    older.frame(Frame::Trailer(Trailer::new(frames, Summary::Signed(checkpoint))));
    let mut count = Build::new();
    count.events(2).checkpoint().trailer();
    let at = count.frames.len() - 2;
    count.frames.remove(at);
    let mut trailing = plain();
    trailing.unsigned_trailer();
    let mut trailing_lines = plain();
    trailing_lines.unsigned_trailer();
    let junk = bytes(|bytes| bytes.extend_from_slice(b"more"));
    vec![
        refused("trailer-missing", "cut between two frames", (Code::TrailerMissing, None), &cut),
        refused(
            "trailer-older",
            "an older genuine checkpoint in the trailer's place",
            (Code::CheckpointSize, None),
            &older,
        ),
        refused(
            "trailer-count",
            "a frame that nothing signs is gone",
            (Code::TrailerCount, None),
            &count,
        ),
        refused(
            "trailing-frame",
            "a frame after the trailer",
            (Code::FileTrailing, None),
            &trailing,
        ),
        Vector::refused(
            "trailing-bytes",
            "bytes after the trailer",
            (Code::FileTrailing, None),
            junk,
        ),
        Vector::refused(
            "trailing-lines",
            "a line after the trailer",
            (Code::FileTrailing, None),
            trailing_lines.file(Form::JsonLines),
        ),
    ]
}

fn anchors() -> Vec<Vector> {
    let build = plain();
    let longer = {
        let mut build = Build::new();
        build.events(20);
        build
    };
    let mut rewritten = Build::new();
    rewritten.push(Draft::new(note("history as it should have been"))).events(4);
    let origin = build.origin();
    let held = |size, root, key| Checkpoint::sign(&origin, size, root, key);
    let other = Checkpoint::sign("example.org/agents/0", 3, build.root_at(3), &checkpoint_key());
    let fault = |name, comment, code, sequence| refused(name, comment, (code, sequence), &build);
    vec![
        fault("anchor-chain-id", "the file is of another chain", Code::AnchorChain, Some(0))
            .chain_id(Digest::of(&[b"x"])),
        fault(
            "anchor-checkpoint-of-other-chain",
            "the checkpoint is of another chain",
            Code::AnchorChain,
            Some(0),
        )
        .held(other),
        fault("anchor-ahead", "the file was cut or rolled back", Code::AnchorAhead, None)
            .held(longer.checkpoint_at(15, &checkpoint_key())),
        fault("anchor-root", "history was rewritten", Code::AnchorRoot, None).held(held(
            5,
            rewritten.root_at(5),
            &checkpoint_key(),
        )),
        fault("anchor-signature", "no checkpoint key signed it", Code::AnchorSignature, None)
            .held(held(5, build.root_at(5), &second_entry_key())),
    ]
}
