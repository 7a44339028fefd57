//! Event ids that occur twice, beyond what a vector can say: several faults, damage, threads, and both verifiers together.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sigchain::chainfile::Form;
use sigchain::event::Event;
use sigchain::fault::{Code, Fault};
use sigchain::frame::{Frame, GapReason, Summary, Trailer};
use sigchain::key::KeyId;
use sigchain::payload::Payload;
use sigchain::reserved::{Reason, Reserved, Trusted};
use sigchain::verify::{Anchors, Report, Verdict, Verifier};

use crate::differential::{mutate, mutate_frames};
use crate::support::{
    Build, Draft, Random, anchored_to, checkpoint_key, entry_key, event_id, found, frame_ranges,
    operator_key, rounds, second_entry_key,
};
use crate::vectors;

fn asked(file: &[u8], anchors: &Anchors) -> Report {
    Verifier::new().anchored(anchors.clone()).unique(true).run(file).unwrap()
}

fn note(id: u64) -> Draft<'static> {
    let payload = Payload::new("text/plain", "an event").unwrap();
    let event = Event::new("agent:planner", "agent.note").unwrap().payload(payload);
    Draft::new(event).event_id(event_id(id))
}

fn chain(ids: &[u64]) -> Build {
    let mut build = Build::new();
    for id in ids {
        build.push(note(*id));
    }
    build
}

/// [S-unique-1] Each entry that comes second, or third, is a fault of its own.
#[test]
fn each_further_entry_is_a_fault() {
    let mut build = chain(&[1, 2, 1, 3, 0, 1, 4]);
    build.trailer();
    for form in [Form::ChainFile, Form::JsonLines] {
        let report = asked(&build.file(form), &anchored_to(build.chain_id));
        let wanted = [3, 5, 6].map(|sequence| (Code::EventId, Some(sequence)));
        assert_eq!(found(&report), wanted);
        assert_eq!(report.verdict(), Verdict::Faulty);
        assert_eq!(report.faults[0].found, event_id(1).to_string());
    }
}

/// [S-unique-3] The report says whether it was looked at, and says so only where something was.
#[test]
fn the_report_says_whether_it_was_looked_at() {
    let mut build = chain(&[1, 2]);
    build.trailer();
    let file = build.file(Form::ChainFile);
    let anchors = anchored_to(build.chain_id);
    assert!(asked(&file, &anchors).unique);
    assert!(!Verifier::new().run(file.as_slice()).unwrap().unique);
    assert!(!Verifier::new().unique(true).unique(false).run(file.as_slice()).unwrap().unique);
    for unjudged in [&b"no file of ours"[..], &file[..100]] {
        assert!(!asked(unjudged, &anchors).unique);
    }
}

/// An entry with a fault of content has its event id all the same, and so has one that stands in the wrong place.
#[test]
fn faulty_entries_count_if_they_are_part_of_the_chain() {
    let other = Payload::new("text/plain", "not that").unwrap().salted(|| [9; 16]);
    let mut build = chain(&[1, 2]);
    build.push(note(40).part(|part| *part = other.clone()));
    build.push(note(40).part(|part| *part = other.clone()));
    build.push(note(41).fields(|fields| fields.sequence += 3));
    build.push(note(41)).trailer();
    let report = asked(&build.file(Form::ChainFile), &Anchors::default());
    let wanted = [
        (Code::PayloadMismatch, Some(3)),
        (Code::PayloadMismatch, Some(4)),
        (Code::EventId, Some(4)),
        (Code::Sequence, Some(8)),
        (Code::EventId, Some(9)),
    ];
    assert_eq!(found(&report), wanted);
}

/// [S-verify-2] Of two faults of one phase the event id is the later one.
#[test]
fn other_faults_of_the_chain_come_first() {
    let mut late = chain(&[1, 2]);
    late.push(note(1).fields(|fields| fields.system_time = sigchain::stamp::Stamp::new(1)));
    late.push(note(3).left(2)).push(note(3)).push(note(2));
    let report = asked(&late.file(Form::JsonLines), &Anchors::default());
    let wanted = [(Code::Stamp, Some(3)), (Code::Batch, Some(5)), (Code::EventId, Some(6))];
    assert_eq!(found(&report), wanted);

    let mut stolen = chain(&[1, 2, 3]);
    let revoke = revocation(&stolen, entry_key().id(), 2, 3);
    stolen.push(Draft::reserved(&revoke).event_id(event_id(3))).trailer();
    let report = asked(&stolen.file(Form::ChainFile), &Anchors::default());
    assert_eq!(found(&report), [(Code::KeyCompromised, Some(4))]);
}

/// Revokes a key as compromised from size `trusted` on, in an entry with the event id `id`.
fn revocation(build: &Build, key: KeyId, trusted: u64, id: u64) -> Reserved {
    let consistency = build.nodes().consistency(trusted, build.size(), &|i| build.leaf(i)).unwrap();
    let revoke = Reserved::Revoke {
        approvals: Vec::new(),
        consistency,
        key,
        reason: Reason::Compromised,
        trusted: Some(Trusted { size: trusted, root: build.root_at(trusted) }),
    };
    revoke.approved_by(&operator_key(), &build.chain_id, event_id(id))
}

/// A trailer that counts more frames than there are.
fn miscounted(build: &mut Build) {
    let checkpoint = build.checkpoint_at(build.size(), &checkpoint_key());
    build.frame(Frame::Trailer(Trailer::new(99, Summary::Signed(checkpoint))));
}

/// A wrong count of frames is still found behind an event id that occurs twice: the one does not follow from the other.
#[test]
fn the_count_of_frames_is_judged_all_the_same() {
    let mut build = chain(&[1, 1]);
    miscounted(&mut build);
    let report = asked(&build.file(Form::ChainFile), &Anchors::default());
    assert_eq!(found(&report), [(Code::EventId, Some(2)), (Code::TrailerCount, None)]);
}

/// Entries that are taken on the word of a checkpoint have event ids too.
#[test]
fn resuming_compares_all_of_them() {
    let mut build = chain(&[1, 2]);
    let held = build.checkpoint_at(build.size(), &checkpoint_key());
    build.push(note(2)).trailer();
    let verifier = Verifier::new().anchored(Anchors::new().checkpoint(held)).unique(true);
    let file = std::io::Cursor::new(build.file(Form::ChainFile));
    assert_eq!(found(&verifier.run_resuming(file).unwrap()), [(Code::EventId, Some(3))]);
}

/// Blocks are judged in order, so who comes second does not depend on the number of threads.
#[test]
fn the_second_is_the_second_on_any_number_of_threads() {
    let ids: Vec<u64> = (1..4000).map(|n| if n % 997 == 0 { n - 900 } else { n }).collect();
    let mut build = chain(&ids);
    build.trailer();
    let file = build.file(Form::ChainFile);
    let on = |threads| {
        let report = Verifier::new().unique(true).threads(threads).run(file.as_slice()).unwrap();
        found(&report)
    };
    let wanted = [997, 1994, 2991, 3988].map(|sequence| (Code::EventId, Some(sequence)));
    assert_eq!(on(1), wanted);
    assert_eq!(on(2), wanted);
    assert_eq!(on(7), wanted);
}

/// Files whose entries share event ids at random: plain ones, with gaps, with keys that come and go.
fn crowded(random: &mut Random) -> (Vec<u8>, Anchors) {
    let mut build = Build::new();
    let mut left = 0;
    let count = 6 + random.below(8);
    for _ in 0..count {
        let id = u64::try_from(random.below(10)).unwrap();
        match random.below(12) {
            0 => {
                let reserved =
                    Reserved::Open { event_type: "epoch.open".to_owned(), map: vec![0xa0] };
                build.push(Draft::reserved(&reserved).event_id(event_id(id)).left(left));
            }
            1 => {
                let new = second_entry_key();
                let key = sigchain::reserved::KeyRecord::new(
                    &new,
                    sigchain::key::Role::Entry,
                    &build.chain_id,
                    event_id(id),
                );
                let enroll = Reserved::Enroll { approvals: Vec::new(), key };
                let enroll = enroll.approved_by(&operator_key(), &build.chain_id, event_id(id));
                build.push(Draft::reserved(&enroll).event_id(event_id(id)).left(left));
            }
            2 => {
                let trusted = 1 + random.next() % build.size();
                let revoke = revocation(&build, second_entry_key().id(), trusted, id);
                build.push(Draft::reserved(&revoke).event_id(event_id(id)).left(left));
            }
            3 => {
                build.push(note(id).key(second_entry_key()).left(left));
            }
            4 => {
                build.push(note(id).fields(|fields| fields.sequence += 1).left(left));
            }
            5 => {
                build.checkpoint();
            }
            _ => {
                build.push(note(id).left(left));
            }
        }
        left = left.checked_sub(1).unwrap_or_else(|| u16::from(random.below(6) == 0));
    }
    if random.below(3) == 0 && build.size() == build.sequence && build.size() > 4 {
        build.elide(2, 1 + random.next() % 3, GapReason::Elided).seal();
    }
    if random.below(6) == 0 {
        miscounted(&mut build);
    } else {
        build.trailer();
    }
    let form = if random.below(4) == 0 { Form::JsonLines } else { Form::ChainFile };
    (build.file(form), anchored_to(build.chain_id))
}

/// Some crowded files, and crowded files and vectors that were changed as damage or an attacker would.
fn corpus(count: usize) -> Vec<(Vec<u8>, Anchors)> {
    let vectors = vectors::all();
    let mut random = Random::new(0x1d5);
    let mut files = Vec::new();
    for _ in 0..count {
        let (file, anchors) = if random.below(4) == 0 {
            let vector = &vectors[random.below(vectors.len())];
            (vector.bytes.clone(), vector.anchors.clone())
        } else {
            crowded(&mut random)
        };
        let is_framed = file.len() > 100 && file[0] == 0x89 && crate::support::is_framed(&file);
        let file = match random.below(4) {
            0 if is_framed && frame_ranges(&file).len() > 2 => mutate_frames(&mut random, &file),
            1 => mutate(&mut random, &file),
            _ => file,
        };
        files.push((file, anchors));
    }
    files
}

fn without_event_ids(report: &Report) -> Vec<Fault> {
    let faults = report.faults.iter().filter(|fault| fault.code != Code::EventId);
    faults.cloned().collect()
}

/// [S-unique-3] Whoever asks gets more of these faults, and everything else as before.
#[test]
fn asking_adds_faults_and_changes_nothing_else() {
    let mut seen = 0;
    for (n, (file, anchors)) in corpus(rounds(600, 30_000)).into_iter().enumerate() {
        let plain = Verifier::new().anchored(anchors.clone()).run(file.as_slice()).unwrap();
        let full = asked(&file, &anchors);
        assert_eq!(plain.faults, without_event_ids(&full), "file {n}");
        let state = |report: &Report| {
            let (head, root) = (report.head, report.root);
            (report.entries, head, root, report.payloads, report.gaps, report.anchors.clone())
        };
        assert_eq!(state(&plain), state(&full), "file {n}");
        assert!(!plain.counts.contains_key(&Code::EventId));
        seen += usize::from(full.counts.contains_key(&Code::EventId));
    }
    assert!(seen > 200, "only {seen} files with an event id twice");
}

/// [S-verify-2] [S-unique-1] Both verifiers find the same entries, in sound files and in damaged ones.
#[test]
fn both_verifiers_agree_when_asked() {
    let files = corpus(rounds(400, 20_000));
    let folder = tempfile::tempdir().unwrap();
    let path = |n: usize| folder.path().join(n.to_string());
    let requests = folder.path().join("requests");
    let mut text = String::new();
    for (n, (file, anchors)) in files.iter().enumerate() {
        fs::write(path(n), file).unwrap();
        let chain_id = anchors.chain_id.map(|id| id.to_string());
        text += &format!("{}\n", json!({"file": path(n), "chain_id": chain_id, "unique": true}));
    }
    fs::write(&requests, text).unwrap();
    let answers = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/verifier/verify.py"))
        .arg("--batch")
        .stdin(Stdio::from(File::open(&requests).unwrap()))
        .output()
        .unwrap();
    let answers = String::from_utf8(answers.stdout).unwrap();
    assert_eq!(answers.lines().count(), files.len());
    for (n, (line, (file, anchors))) in answers.lines().zip(&files).enumerate() {
        let theirs: Value = serde_json::from_str(line).unwrap();
        let mut alone = Anchors::default();
        alone.chain_id = anchors.chain_id;
        let ours = asked(file, &alone);
        let faults: Vec<Value> = ours
            .faults
            .iter()
            .map(|fault| {
                let phase = fault.phase().to_string();
                json!({
                    "code": fault.code.as_str(),
                    "phase": phase,
                    "place": fault.place,
                    "sequence": fault.sequence,
                })
            })
            .collect();
        assert_eq!(theirs["faults"], Value::from(faults), "file {n}");
        assert_eq!(theirs["verdict"], ours.verdict().as_str(), "file {n}");
        assert_eq!(theirs["unique"], ours.unique, "file {n}");
        assert_eq!(theirs["root"], json!(ours.root.map(|root| root.to_string())), "file {n}");
    }
}
