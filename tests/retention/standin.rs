//! Stand-ins: read as what they are by all that reads a ledger's files.

use std::fs;

use sigchain::chainfile::Form;
use sigchain::checkpoint::Checkpoint;
use sigchain::fault::Code;
use sigchain::frame::GapReason;
use sigchain::select::Filter;
use sigchain::store::{Absent, Frames, Store as _};
use sigchain::verify::{Anchors, Report, Verifier};

use crate::retention::support::{
    SOON, event, frames, id, key, ledger, open, put, segment, sequences, standin, standing_in,
    view, write,
};

fn verified(path: &std::path::Path) -> Report {
    Verifier::new().open_ended(true).run(view(path).stream().unwrap()).unwrap()
}

/// [F-standin-1] [F-standin-2] All but the entries of a segment stays: reading, verifying, finding, proving and appending go on.
#[test]
fn what_stands_in_for_a_segment_is_read_with_its_gap() {
    let path = ledger("gap", 60);
    let early = open(&path);
    let checkpoint: Checkpoint = early.checkpoint().unwrap();
    let proof = early.prove(50).unwrap();
    early.close(SOON).unwrap();
    drop(early);
    let all = sequences(&path, 1);
    let (first, last) = (all[0], *all.last().unwrap());
    put(&path, 1, GapReason::Archived, |_| true);
    put(&path, 2, GapReason::Archived, |sequence| sequence % 2 == 0);

    let report = verified(&path);
    assert_eq!(report.faults, Vec::new());
    assert!(report.gaps.are_proven());
    let held = Anchors::new().checkpoint(checkpoint.clone());
    let report = Verifier::new().open_ended(true).anchored(held).run(view(&path).stream().unwrap());
    assert_eq!(report.unwrap().faults, Vec::new());

    let directory = view(&path);
    let mut block = Frames::new();
    let error = directory.read(first, 10, &mut block).unwrap_err();
    let absent = Absent::of(&error).unwrap();
    assert_eq!((absent.gap.first, absent.gap.end()), (first, last + 1));
    assert!(error.to_string().contains("archived elsewhere"), "{error}");
    directory.read(absent.gap.end().next_multiple_of(2) + 1, 10, &mut block).unwrap();
    assert_eq!(block.len(), 1);

    let mut selected = Filter::new().select(&directory).unwrap();
    let shown = selected.by_ref().map(|written| written.unwrap().fields.sequence);
    let shown: Vec<u64> = shown.collect();
    assert!(!shown.contains(&first) && shown.contains(&(last + 5)));
    let missing: u64 = selected.take_gaps().iter().map(|gap| gap.count).sum();
    assert_eq!(u64::try_from(shown.len()).unwrap() + missing, directory.entries());

    let ledger = open(&path);
    assert_eq!(ledger.find(&id(1)).unwrap().unwrap().sequence, 1);
    assert!(Absent::of(&ledger.find(&id(first)).unwrap_err()).is_some());
    // An id that was used stays used.
    ledger.append(event(first).id(id(first))).unwrap_err();
    ledger.append(event(99).id(id(99))).unwrap();
    assert_eq!(proof.verify(&[key(2).public().clone()]).unwrap().0.sequence(), 50);
    let later = ledger.prove(50).unwrap();
    later.verify(&[key(2).public().clone()]).unwrap();
    ledger.prove(first).unwrap_err();
    for form in [Form::ChainFile, Form::JsonLines] {
        let file = ledger.export(Vec::new(), form).unwrap();
        let held = Anchors::new().checkpoint(checkpoint.clone());
        let report = Verifier::new().anchored(held).run(file.as_slice()).unwrap();
        assert_eq!(report.faults, Vec::new());
        assert!(report.gaps.are_proven());
    }
    ledger.close(SOON).unwrap();
}

/// Without the indexes, and without a seal that can be used: the chain passes the gap, and the tree takes its hashes.
#[test]
fn a_ledger_opens_without_indexes_and_from_entry_0() {
    let path = ledger("bare", 60);
    let whole = open(&path);
    let proof = whole.prove(40).unwrap();
    whole.close(SOON).unwrap();
    drop(whole);
    put(&path, 1, GapReason::Archived, |_| true);
    fs::remove_dir_all(path.join("index")).unwrap();
    // No record, and no list of keys to go on from a seal by.
    fs::remove_file(path.join("durable")).unwrap();
    let ledger = open(&path);
    let again = ledger.prove(40).unwrap();
    let keys = [key(2).public().clone()];
    assert_eq!(
        proof.verify(&keys).unwrap().0.sequence(),
        again.verify(&keys).unwrap().0.sequence()
    );
    assert_eq!(again.checkpoint.root(), proof.checkpoint.root());
    // Nobody knows whether it was used.
    assert!(ledger.append(event(99).id(id(99))).unwrap_err().to_string().contains("archived"));
    ledger.append(event(100)).unwrap();
    ledger.close(SOON).unwrap();
}

/// [F-standin-3] Be the segment there or not, the stand-in counts; one that is being made does not.
#[test]
fn a_stand_in_counts_be_the_segment_there_or_not() {
    let path = ledger("both", 60);
    let bytes = fs::read(segment(&path, 1)).unwrap();
    put(&path, 1, GapReason::Archived, |_| true);
    write(&segment(&path, 1), &bytes);
    let (expected, gaps) = (verified(&path).head, verified(&path).gaps);
    assert!(gaps.archived > 0, "{gaps:?}");
    fs::remove_file(standin(&path, 1)).unwrap();
    write(&path.join("standin.next"), b"anything");
    assert_eq!(verified(&path).head, expected);
    assert_eq!(verified(&path).gaps.archived, 0);
}

/// [F-standin-4] Behind one that is the last, a segment begins.
#[test]
fn behind_one_that_is_the_last_a_segment_begins() {
    let path = ledger("last", 30);
    let last = (0..100).take_while(|n| segment(&path, *n).exists()).last().unwrap();
    let head = open(&path).head();
    put(&path, last, GapReason::Archived, |_| false);
    assert_eq!(view(&path).entries(), head.sequence + 1);
    let ledger = open(&path);
    assert_eq!(ledger.head(), head);
    ledger.append(event(31).id(id(31))).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    assert!(segment(&path, last + 1).exists());
    assert_eq!(verified(&path).faults, Vec::new());
    open(&path).append(event(32)).unwrap();
}

/// A segment has no gaps, and a stand-in none that does not fit.
#[test]
fn gaps_elsewhere_are_damage() {
    let path = ledger("misplaced", 30);
    let chain = view(&path).chain_id();
    let bytes = fs::read(segment(&path, 1)).unwrap();
    let made = standing_in(&bytes, &chain, GapReason::Archived, |_| true);
    let mut padded = made.clone();
    padded.resize(bytes.len(), 0);
    write(&segment(&path, 1), &padded);
    assert!(!verified(&path).faults.is_empty());
    // Cut, and of the wrong place.
    write(&segment(&path, 1), &bytes);
    let (_, found) = frames(&bytes);
    assert!(found.len() > 3);
    for wrong in [&made[..made.len() - 7], &made[..made.len() / 2]] {
        write(&standin(&path, 1), wrong);
        let failed = match Verifier::new().open_ended(true).run(
            match sigchain::directory::Directory::view(sigchain::disk::open_to_read(&path).unwrap())
            {
                Ok(directory) => directory.stream().unwrap(),
                Err(_) => continue,
            },
        ) {
            Ok(report) => !report.faults.is_empty(),
            Err(_) => true,
        };
        assert!(failed);
    }
}

/// A range that was lost is said by verification until a resolution names it.
#[test]
fn a_lost_range_is_reported() {
    let path = ledger("lost", 30);
    put(&path, 1, GapReason::Lost, |sequence| sequence % 3 == 0);
    let report = verified(&path);
    let codes: Vec<Code> = report.faults.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, [Code::GapUnresolved]);
    let ledger = open(&path);
    // What is lost is lost: its ids are not known, and new ones are taken.
    ledger.append(event(77).id(id(77))).unwrap();
    ledger.close(SOON).unwrap();
}
