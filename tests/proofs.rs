//! What stands alone: inclusion proofs, fork proofs, reports that rest on what was held before.

use std::collections::BTreeSet;
use std::io::Cursor;

use sigchain::chainfile::Form;
use sigchain::digest::Digest;
use sigchain::event::Event;
use sigchain::fault::Code;
use sigchain::fork::{self, Comparison, ForkError, ForkProof};
use sigchain::frame::{Frame, GapReason};
use sigchain::key::{Role, Signature};
use sigchain::proof::{Proof, ProofError};
use sigchain::reserved::{Cause, KeyRecord, Reserved};
use sigchain::verify::{Anchor, Anchors, Verdict, Verifier};

use crate::support::{
    Build, Draft, anchored_to, checkpoint_key, entry_key, event_id, found, key, operator_key,
    second_entry_key, verify,
};

fn proof_of(build: &Build, index: u64, size: u64) -> Proof {
    let leaves = |i: u64| build.leaf(i);
    let path = build.nodes().inclusion(index, size, &leaves).unwrap();
    let at = usize::try_from(index).unwrap() + 1;
    let Frame::Entry(written) = build.frames[at].clone() else { panic!("an entry") };
    Proof::new(*written, path, build.checkpoint_at(size, &checkpoint_key()))
}

/// [S-proof-1] [S-proof-2] Each entry is proved in each tree that holds it, by the checkpoint key alone.
#[test]
fn every_entry_has_a_proof_that_stands_alone() {
    let mut build = Build::new();
    build.events(20);
    let keys = [checkpoint_key().public().clone()];
    for size in [1, 2, 7, 8, 21] {
        for index in 0..size {
            let proof = proof_of(&build, index, size);
            let text = proof.encode();
            let parsed = Proof::parse(text.as_bytes()).unwrap();
            assert_eq!(parsed, proof);
            let (entry, signers) = parsed.verify(&keys).unwrap();
            assert_eq!((entry.sequence(), signers), (index, vec![checkpoint_key().id()]));
        }
    }
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let mut build = Build::new();
    build.events(20);
    let keys = [checkpoint_key().public().clone()];
    let good = proof_of(&build, 5, 21);
    let mut moved = good.clone();
    moved.index = 6;
    assert_eq!(moved.verify(&keys), Err(ProofError::Entry("one with another sequence")));
    let mut longer = good.clone();
    longer.path.push(Digest::ZERO);
    assert_eq!(longer.verify(&keys), Err(ProofError::Inclusion));
    let mut shorter = good.clone();
    shorter.path.pop();
    assert_eq!(shorter.verify(&keys), Err(ProofError::Inclusion));
    let mut other = good.clone();
    other.entry = proof_of(&build, 6, 21).entry;
    other.index = 6;
    assert_eq!(other.verify(&keys), Err(ProofError::Inclusion));
    let line = String::from_utf8(good.entry.clone().unwrap()).unwrap();
    let mut altered = good.clone();
    altered.entry = Some(line.replace("search", "delete").into_bytes());
    let expected = "one whose payload is not the one it committed to";
    assert_eq!(altered.verify(&keys), Err(ProofError::Entry(expected)));
    assert_eq!(good.verify(&[entry_key().public().clone()]), Err(ProofError::Checkpoint));
    let text = good.encode();
    for (from, to) in
        [("index 5", "index 05"), ("index 5", "index -5"), ("@v1", "@v2"), ("\n\n", "\n")]
    {
        assert!(Proof::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} to {to}");
    }
    let endless = text.replacen("\n\n", &format!("{}\n\n", "\nAAAA".repeat(60)), 1);
    assert!(Proof::parse(endless.as_bytes()).is_err());
}

fn fork_of(a: &[u8], b: &[u8]) -> ForkProof {
    match fork::compare(a, b).unwrap() {
        Comparison::Fork(proof) => *proof,
        other => panic!("{other:?}"),
    }
}

/// Two branches of a chain that part after a number of entries.
fn branches(common: u64) -> (Build, Build) {
    let mut trunk = Build::new();
    trunk.events(common);
    let mut other = trunk.clone();
    trunk.events(6);
    let event = Event::new("agent:planner", "agent.note").unwrap();
    other.push(Draft::new(event));
    other.events(5);
    trunk.trailer();
    other.trailer();
    (trunk, other)
}

/// [S-writer-1] [S-fork-1] Wherever two branches part, the pair is found there, and stands alone as text.
#[test]
fn every_fork_is_found_where_it_begins() {
    for common in [0, 1, 9, 40] {
        let (a, b) = branches(common);
        let (a, b) = (a.file(Form::ChainFile), b.file(Form::JsonLines));
        let proof = fork_of(&a, &b);
        assert_eq!(proof.pair[0].fields.sequence, common + 1);
        let again = ForkProof::parse(proof.encode().as_bytes()).unwrap();
        assert_eq!(again, proof);
        again.verify(&BTreeSet::new()).unwrap();
        let listed = BTreeSet::from([again.pair[1].fields.digest(&again.chain_id)]);
        assert!(matches!(again.verify(&listed), Err(ForkError::Abandoned)));
    }
}

/// [S-fork-2] An entry that its chain abandoned where its number was issued again is no fork.
#[test]
fn an_abandoned_entry_is_no_fork() {
    let mut trunk = Build::new();
    trunk.events(3);
    let mut lost = trunk.clone();
    lost.event();
    let entries = vec![(4, lost.prior)];
    trunk.reserved(&Reserved::Abandoned { cause: Cause::Torn, entries }).trailer();
    lost.trailer();
    let (a, b) = (trunk.file(Form::ChainFile), lost.file(Form::ChainFile));
    assert_eq!(fork::compare(a.as_slice(), b.as_slice()).unwrap(), Comparison::Same);
}

#[test]
fn a_fork_proof_needs_signatures_of_the_chain() {
    let (a, b) = branches(3);
    let (a, b) = (a.file(Form::ChainFile), b.file(Form::ChainFile));
    let proof = fork_of(&a, &b);
    let mut forged = proof.clone();
    forged.pair[1].fields.actor = "agent:somebody-else".into();
    assert!(forged.verify(&BTreeSet::new()).is_err());
    let mut same = proof.clone();
    same.pair[1] = same.pair[0].clone();
    assert!(same.verify(&BTreeSet::new()).is_err());
    let mut other_genesis = proof;
    other_genesis.chain_id = Digest::of(&[b"another chain"]);
    assert!(other_genesis.verify(&BTreeSet::new()).is_err());
    assert_eq!(fork::compare(a.as_slice(), a.as_slice()).unwrap(), Comparison::Same);
}

/// What no key of the chain signed is a difference and no fork, and an entry that nobody signed cannot make it go away.
#[test]
fn a_difference_without_signatures_is_no_fork_and_not_the_same() {
    let mut a = Build::new();
    a.events(6);
    let mut b = a.clone();
    let Frame::Entry(changed) = &mut b.frames[5] else { panic!("an entry") };
    changed.fields.actor = "agent:somebody-else".into();
    let entries = vec![(4, changed.fields.digest(&a.chain_id))];
    let disowned = Reserved::Abandoned { cause: Cause::Signer, entries };
    b.push(Draft::reserved(&disowned).key(key(99)));
    let (a, b) = (a.file(Form::JsonLines), b.file(Form::JsonLines));
    assert_eq!(fork::compare(a.as_slice(), b.as_slice()).unwrap(), Comparison::Differ(4));
}

/// Whoever can append to a file cannot disown a branch in the chain's name: neither with a key of his own, nor, with the chain's,
/// after the number was issued again.
#[test]
fn a_fork_is_not_hidden_by_entries_that_are_not_sound() {
    for by_own_key in [true, false] {
        let (a, mut b) = branches(1);
        let Frame::Entry(shown) = &a.frames[3] else { panic!("an entry") };
        let entries = vec![(2, shown.fields.digest(&a.chain_id))];
        let disowned = Reserved::Abandoned { cause: Cause::Signer, entries };
        b.frames.pop();
        let signer = if by_own_key { entry_key() } else { key(99) };
        b.push(Draft::reserved(&disowned).key(signer));
        let (a, b) = (a.file(Form::ChainFile), b.file(Form::ChainFile));
        assert_eq!(fork_of(&a, &b).pair[0].fields.sequence, 2);
    }
}

#[test]
fn a_fork_by_an_enrolled_key_carries_its_enrolment() {
    let mut trunk = Build::new();
    let record = KeyRecord::new(&second_entry_key(), Role::Entry, &trunk.chain_id, event_id(1));
    trunk.reserved(&Reserved::Enroll { approvals: Vec::new(), key: record });
    let mut other = trunk.clone();
    let note =
        |text: &str| Draft::new(Event::new(text, "agent.note").unwrap()).key(second_entry_key());
    trunk.push(note("a"));
    other.push(note("b"));
    let (a, b) = (trunk.file(Form::JsonLines), other.file(Form::JsonLines));
    let proof = fork_of(&a, &b);
    assert_eq!(proof.enrolments.len(), 1);
    ForkProof::parse(proof.encode().as_bytes()).unwrap().verify(&BTreeSet::new()).unwrap();
    let mut bare = proof;
    bare.enrolments.clear();
    assert!(bare.verify(&BTreeSet::new()).is_err());
}

/// A key enrolled by a key that genesis did not enrol, or rotated in by an operator: the proof carries what leads to it.
#[test]
fn a_fork_proof_carries_the_whole_way_to_its_keys() {
    let third = key(31);
    let mut trunk = Build::new();
    let id = event_id(trunk.sequence);
    let record = KeyRecord::new(&second_entry_key(), Role::Entry, &trunk.chain_id, id);
    let rotate = Reserved::Rotate { approvals: Vec::new(), key: record, old: entry_key().id() };
    let rotate = rotate.approved_by(&operator_key(), &trunk.chain_id, id);
    trunk.push(Draft::reserved(&rotate).key(second_entry_key()));
    let record = KeyRecord::new(&third, Role::Entry, &trunk.chain_id, event_id(trunk.sequence));
    let enroll = Reserved::Enroll { approvals: Vec::new(), key: record };
    trunk.push(Draft::reserved(&enroll).key(second_entry_key()));
    let mut other = trunk.clone();
    let note = |text: &str| Draft::new(Event::new(text, "agent.note").unwrap()).key(third.clone());
    trunk.push(note("a"));
    other.push(note("b"));
    let (a, b) = (trunk.file(Form::JsonLines), other.file(Form::JsonLines));
    let proof = fork_of(&a, &b);
    assert_eq!(proof.enrolments.len(), 2);
    ForkProof::parse(proof.encode().as_bytes()).unwrap().verify(&BTreeSet::new()).unwrap();
}

/// [S-verify-6] Taking entries on the word of a held checkpoint gives the same verdict and says so; a file that does not fit
/// the checkpoint is looked at whole.
#[test]
fn resuming_is_never_weaker() {
    let mut build = Build::new();
    build.events(40).trailer();
    let mut anchors = anchored_to(build.chain_id);
    anchors.checkpoints.push(build.checkpoint_at(30, &checkpoint_key()));
    let verifier = Verifier::new().anchored(anchors);
    let whole = build.file(Form::ChainFile);
    let report = verifier.run_resuming(Cursor::new(&whole)).unwrap();
    assert_eq!((report.verdict(), report.taken_on_word), (Verdict::Intact, 29));
    assert_eq!(report.beyond(), Some(11));
    // What is taken on a checkpoint's word is not the word of the key that is said to have signed it.
    let mut unsigned = Build::new();
    let strip = |signature: &mut Signature| *signature = Signature::new([7; 64]);
    unsigned.push(Draft::new(Event::new("a", "b").unwrap()).signature(strip)).trailer();
    let held = unsigned.checkpoint_at(2, &checkpoint_key());
    let anchors = Anchors::new().checkpoint(held).key(entry_key().id());
    let bytes = unsigned.file(Form::ChainFile);
    let report = Verifier::new().anchored(anchors).run_resuming(Cursor::new(&bytes)).unwrap();
    assert_eq!((report.verdict(), report.taken_on_word), (Verdict::Intact, 1));
    let by_key = report.anchors.iter().find(|anchored| matches!(anchored.anchor, Anchor::Key(_)));
    assert_eq!(by_key.unwrap().size, Some(1), "the key's own word ends with entry 0");
    let mut forged = build.clone();
    if let Frame::Entry(written) = &mut forged.frames[10] {
        written.fields.actor = "agent:somebody-else".into();
    }
    let forged = forged.file(Form::ChainFile);
    let report = verifier.run_resuming(Cursor::new(&forged)).unwrap();
    assert_eq!((report.faults[0].code, report.taken_on_word), (Code::Signature, 0));
}

/// The report does not depend on how many cores looked.
#[test]
fn one_thread_or_many_give_the_same_report() {
    // Several blocks; a key enrolled in one signs in the next; a fault in each; frames behind the trailer.
    let mut build = Build::new();
    build.events(5000);
    let id = event_id(build.sequence);
    let record = KeyRecord::new(&second_entry_key(), Role::Entry, &build.chain_id, id);
    build.reserved(&Reserved::Enroll { approvals: Vec::new(), key: record });
    let note = || Draft::new(Event::new("agent:planner", "agent.note").unwrap());
    (0..9000).for_each(|_| {
        build.push(note().key(second_entry_key()));
    });
    build.events(7000).elide(40, 5, GapReason::Elided).trailer().events(10);
    for at in [100, 9000, 17_000] {
        if let Frame::Entry(written) = &mut build.frames[at] {
            written.fields.schema_version = 9;
        }
    }
    let file = build.file(Form::ChainFile);
    let run = |threads| Verifier::new().threads(threads).run(file.as_slice()).unwrap();
    let one = run(1);
    assert_eq!(found(&one).iter().filter(|(code, _)| *code == Code::Signature).count(), 3);
    assert_eq!(one.total(), 4, "{:?}", found(&one));
    for threads in [2, 3, 8] {
        assert_eq!(format!("{:?}", run(threads)), format!("{one:?}"), "{threads} threads");
    }
}

/// [S-text-3] Two texts that look alike and differ in bytes are two texts.
#[test]
fn text_is_never_normalised() {
    let digest = |actor: &str| {
        let mut build = Build::new();
        build.push(Draft::new(Event::new(actor, "agent.note").unwrap()));
        build.prior
    };
    assert_ne!(digest("caf\u{e9}"), digest("cafe\u{301}"));
}

/// [S-json-5] A line that is too long ends the reading, before it is held in memory whole.
#[test]
fn an_endless_line_ends_the_reading() {
    let mut build = Build::new();
    build.events(1);
    let file = build.file(Form::JsonLines);
    let endless = std::io::Read::chain(file.as_slice(), std::io::repeat(b'x'));
    let report = Verifier::new().run(endless).unwrap();
    assert_eq!((report.faults[0].code, report.faults[0].place), (Code::FrameHead, 4));
}

/// T28: integers above 2^53 in a payload are bytes like all others, and none is taken for another.
#[test]
fn large_integers_never_collide() {
    let commitment = |n: u64| {
        let payload = sigchain::payload::Payload::new("application/json", n.to_string()).unwrap();
        payload.salted(|| [0; 16]).commitment().unwrap()
    };
    let around: BTreeSet<_> = (0..1000).map(|n| commitment((1 << 53) - 500 + n)).collect();
    assert_eq!(around.len(), 1000);
}

/// [S-verify-4] What lies beyond an anchor is counted, and nothing is intact without one.
#[test]
fn what_lies_beyond_is_counted() {
    let mut build = Build::new();
    build.events(9).trailer();
    let file = build.file(Form::ChainFile);
    assert_eq!(verify(&file, &Anchors::default()).beyond(), None);
    assert_eq!(verify(&file, &Anchors::default()).verdict(), Verdict::Unvouched);
    assert_eq!(verify(&file, &anchored_to(build.chain_id)).beyond(), Some(9));
    let mut anchors = Anchors::default();
    anchors.checkpoints.push(build.checkpoint_at(4, &checkpoint_key()));
    assert_eq!(verify(&file, &anchors).beyond(), Some(6));
    anchors.keys.push(entry_key().id());
    assert_eq!(verify(&file, &anchors).beyond(), Some(0));
}

/// [S-anchor-1] A link over a gap is taken as stated, so an entry key vouches for nothing before one.
#[test]
fn an_entry_key_vouches_only_before_the_first_gap() {
    let mut build = Build::new();
    build.events(20).elide(5, 5, GapReason::Elided).seal().trailer();
    let file = build.file(Form::ChainFile);
    let mut anchors = Anchors::default();
    anchors.keys.push(entry_key().id());
    assert_eq!(verify(&file, &anchors).beyond(), Some(16));
    anchors.keys[0] = checkpoint_key().id();
    assert_eq!(verify(&file, &anchors).beyond(), Some(0));
}
