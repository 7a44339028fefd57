//! The indexes of a ledger, and what becomes of its answers when somebody has been at them: never another one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sigchain::directory::{Directory, Limits};
use sigchain::disk;
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::receipt::Receipt;
use sigchain::store::{Frames, Store as _};
use sigchain::tree;

use crate::support::{checkpoint_key, entry_key, step, tally};

const BLOCK: usize = 4096;
const GUARD: usize = 16;
const SOON: Duration = Duration::from_secs(20);

fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("derived").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn options() -> Options {
    let limits = Limits { bytes: 3000, ..Limits::default() };
    Options::new().files(Files::new().limits(limits).anchors(Vec::new()).reserve(0))
}

fn open(path: &Path) -> Ledger {
    Ledger::open_at(path, Signers::new(entry_key(), checkpoint_key()), options()).unwrap()
}

fn append(ledger: &Ledger) -> Receipt {
    ledger.append(Event::new("agent:tester", "test.call").unwrap()).unwrap()
}

fn segments(path: &Path) -> usize {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("segment-")).count()
}

/// Waits until all sealed segments are indexed.
fn await_indexes(path: &Path) {
    let start = Instant::now();
    let last = format!("index/{:010}.index", segments(path) - 2);
    let is_left = || {
        let mut names = fs::read_dir(path.join("index")).unwrap().map(|e| e.unwrap().file_name());
        names.any(|name| name.to_string_lossy().ends_with(".part"))
    };
    while !path.join(&last).exists() || is_left() {
        assert!(start.elapsed() < SOON, "no index is made");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(20));
}

/// A closed ledger of twelve segments with their indexes, of which eight are merged, and the event of each entry.
fn ledger(name: &str) -> (PathBuf, Vec<EventId>) {
    let path = fresh(name);
    let genesis = Genesis::new("example.org/derived", entry_key()).checkpoints(checkpoint_key());
    let ledger = Ledger::create_at(&path, genesis, options()).unwrap();
    while segments(&path) < 13 {
        append(&ledger);
    }
    await_indexes(&path);
    ledger.close(SOON).unwrap();
    drop(ledger);
    let view = Directory::view(disk::open_to_read(&path).unwrap()).unwrap();
    let (mut ids, mut frames) = (Vec::new(), Frames::new());
    for n in 0..view.entries() {
        view.read(n, 1, &mut frames).unwrap();
        let frame = frames.iter().next().unwrap();
        ids.push(Written::parse(frame.left, frame.body).unwrap().fields.event_id);
    }
    (path, ids)
}

/// Every answer is right, whatever the indexes are.
fn is_right(path: &Path, ids: &[EventId], step: usize, what: &str) {
    let view = Directory::view(disk::open_to_read(path).unwrap()).unwrap();
    let mut frames = Frames::new();
    for (n, id) in (0_u64..).zip(ids).step_by(step) {
        view.read(n, 3, &mut frames).unwrap();
        let frame = frames.iter().next().unwrap();
        let fields = Written::parse(frame.left, frame.body).unwrap().fields;
        assert_eq!((frame.sequence, fields.sequence, fields.event_id), (n, n, *id), "{what}");
        assert_eq!(view.find(id).unwrap(), Some(n), "{what}");
    }
    let unknown = EventId::new(ids[5].millis(), [7; 10]);
    assert_eq!(view.find(&unknown).unwrap(), None, "{what}");
}

fn indexes(path: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(path.join("index")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = found.collect();
    found.sort();
    assert!(found.len() > 14, "{found:?}");
    found
}

/// [F-index-1]
#[test]
fn any_byte_of_an_index_may_be_altered() {
    let (path, ids) = ledger("bytes");
    let mut altered = 0;
    for file in indexes(&path) {
        let bytes = fs::read(&file).unwrap();
        for at in (altered % 97..bytes.len()).step_by(step(397)) {
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            fs::write(&file, &other).unwrap();
            is_right(&path, &ids, 7, &format!("{}, byte {at}", file.display()));
            altered += 1;
        }
        fs::write(&file, &bytes).unwrap();
    }
    tally(altered);
    assert!(altered > 200, "{altered}");
}

/// Cut, gone, of another segment, of another chain.
#[test]
fn any_index_may_be_another() {
    let (path, ids) = ledger("whole");
    let (stranger, _) = ledger("stranger");
    let files = indexes(&path);
    for (n, file) in files.iter().enumerate() {
        let bytes = fs::read(file).unwrap();
        let name = file.display();
        for cut in [0, 1, BLOCK - 1, BLOCK, bytes.len() / 2, bytes.len() - 1] {
            fs::write(file, &bytes[..cut]).unwrap();
            is_right(&path, &ids, 5, &format!("{name} cut at {cut}"));
        }
        fs::write(file, [&bytes[..], &[0; 100]].concat()).unwrap();
        is_right(&path, &ids, 5, &format!("{name}, longer"));
        fs::remove_file(file).unwrap();
        is_right(&path, &ids, 5, &format!("{name}, gone"));
        fs::copy(&files[(n + 1) % files.len()], file).unwrap();
        is_right(&path, &ids, 5, &format!("{name} is the next one"));
        let of_stranger = stranger.join("index").join(file.file_name().unwrap());
        if of_stranger.exists() {
            fs::copy(of_stranger, file).unwrap();
            is_right(&path, &ids, 5, &format!("{name} is that of another chain"));
        }
        fs::write(file, &bytes).unwrap();
    }
}

/// Gives each block the guard that its content wants: as somebody would who knows how.
fn guarded(bytes: &mut [u8]) {
    let mut key = *b"sigchain index: the first block.";
    let first = *blake3::hash(&bytes[..BLOCK - GUARD]).as_bytes();
    for (number, block) in (0_u64..).zip(bytes.chunks_mut(BLOCK)) {
        let (content, guard) = block.split_at_mut(BLOCK - GUARD);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(content).update(&number.to_be_bytes()).finalize_xof().fill(guard);
        key = first;
    }
}

/// An index that was forged, guards and all, is not believed either: what it leads to is looked at.
#[test]
fn a_forged_index_is_not_believed() {
    let (path, ids) = ledger("forged");
    for file in indexes(&path) {
        let bytes = fs::read(&file).unwrap();
        let name = file.display().to_string();
        // Offsets of four bytes, and ids of sixteen with sequences of eight.
        let (unit, value) = if file.extension().is_some_and(|end| end == "index") {
            (4, 0..4)
        } else {
            (24, 16..24)
        };
        let record = |n: usize| BLOCK + n * unit + value.start..BLOCK + n * unit + value.end;
        for (a, b) in [(0, 1), (1, 3), (0, 2)] {
            let mut other = bytes.clone();
            other.copy_within(record(a), record(b).start);
            other[record(a)].copy_from_slice(&bytes[record(b)]);
            guarded(&mut other);
            fs::write(&file, &other).unwrap();
            is_right(&path, &ids, 1, &format!("{name}: {a} and {b} exchanged"));
        }
        let mut other = bytes.clone();
        other[record(1)].fill(0xff);
        guarded(&mut other);
        fs::write(&file, &other).unwrap();
        is_right(&path, &ids, 1, &format!("{name}: nowhere"));
        let mut same = bytes.clone();
        guarded(&mut same);
        assert_eq!(same, bytes, "guards as the library makes them");
        fs::write(&file, &bytes).unwrap();
    }
}

/// A segment that was sealed a moment ago is in no index yet, and is looked through.
#[test]
fn what_no_index_has_yet_is_found() {
    let (path, ids) = ledger("lately");
    let ledger = open(&path);
    assert!(ledger.find(&ids[3]).unwrap().is_some());
    // Indexes cannot be made: where each would be is a folder.
    for n in 12..30 {
        fs::create_dir(path.join(format!("index/ids-{n:010}-{n:010}.part"))).unwrap();
    }
    let before = segments(&path);
    let mut receipts = Vec::new();
    while segments(&path) < before + 3 {
        receipts.push(append(&ledger));
        for receipt in &receipts {
            assert_eq!(ledger.find(&receipt.event_id).unwrap().as_ref(), Some(receipt));
        }
    }
    let again = Event::new("agent:tester", "test.call").unwrap().id(receipts[0].event_id);
    assert_eq!(ledger.append(again).unwrap(), receipts[0], "recorded twice");
}

/// What turned out to be damaged is made again by the ledger that is at work, while others answer.
#[test]
fn damaged_indexes_are_made_again() {
    let (path, ids) = ledger("again");
    let whole: Vec<_> =
        indexes(&path).iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    for (file, bytes) in &whole {
        let mut other = bytes.clone();
        // The first block is sound, so that opening it shows nothing.
        other[BLOCK + 40] ^= 1;
        fs::write(file, other).unwrap();
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let ledger = open(&path);
    for (n, id) in (0_u64..).zip(&ids) {
        assert_eq!(ledger.find(id).unwrap().unwrap().sequence, n);
    }
    let start = Instant::now();
    while whole.iter().any(|(file, bytes)| fs::read(file).ok().as_ref() != Some(bytes)) {
        assert!(start.elapsed() < SOON, "they stay damaged");
        // Each rotation has the store tended.
        append(&ledger);
        std::thread::sleep(Duration::from_millis(2));
        if segments(&path) >= 15 {
            break;
        }
    }
    await_indexes(&path);
    for (file, bytes) in &whole {
        // The runs of single segments may have been merged meanwhile.
        assert!(fs::read(file).map_or(true, |found| found == *bytes), "{}", file.display());
    }
}

/// Proofs lead to the root that is signed, whatever somebody has made of the tree's file; and as long as it is whole they are made of it.
#[test]
fn proofs_hold_whatever_the_tree_is() {
    let path = fresh("tree");
    let limits = Limits { bytes: 40_000, ..Limits::default() };
    let files = || Files::new().limits(limits).anchors(Vec::new()).reserve(0);
    let genesis = Genesis::new("example.org/tree", entry_key()).checkpoints(checkpoint_key());
    let ledger = Ledger::create_at(&path, genesis, Options::new().files(files())).unwrap();
    while segments(&path) < 12 {
        let event = || Event::new("agent:tester", "test.call").unwrap();
        ledger.append_batch((0..20).map(|_| event()).collect()).unwrap();
    }
    await_indexes(&path);
    ledger.close(SOON).unwrap();
    let size = ledger.head().sequence + 1;
    drop(ledger);
    assert!(size > 600, "{size}");
    let file = path.join("index/tree");
    let bytes = fs::read(&file).unwrap();
    let is_right = |step: u64, what: &str| {
        let signers = Signers::new(entry_key(), checkpoint_key());
        let ledger = Ledger::open_at(&path, signers, Options::new().files(files())).unwrap();
        for n in (0..size).step_by(usize::try_from(step).unwrap()).chain([255, 256, size - 1]) {
            let proof = ledger.prove(n).unwrap();
            assert_eq!((proof.index, proof.checkpoint.size()), (n, size), "{what}");
            let entry = ledger.entry(n).unwrap().unwrap().into_owned();
            let entry = entry.entry(&ledger.chain_id());
            let leaf = tree::leaf_hash(&entry.digest(), entry.signature());
            let root = proof.checkpoint.root();
            assert!(tree::verify_inclusion(&leaf, n, size, &proof.path, &root), "{what}: {n}");
        }
        ledger.prove(size).unwrap_err();
    };
    is_right(7, "whole");
    let mut altered = 0;
    for at in (0..bytes.len()).step_by(step(97)) {
        let mut other = bytes.clone();
        other[at] ^= 1 << (at % 8);
        fs::write(&file, other).unwrap();
        is_right(61, &format!("byte {at}"));
        altered += 1;
    }
    for cut in [0, BLOCK, BLOCK + 39, BLOCK + 40, bytes.len() - 1] {
        fs::write(&file, &bytes[..cut]).unwrap();
        is_right(61, &format!("cut at {cut}"));
    }
    // A node of its own kind, guard and all, but another.
    let key = *blake3::hash(&bytes[..BLOCK - GUARD]).as_bytes();
    let mut forged = bytes.clone();
    forged[BLOCK..BLOCK + 32].fill(7);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher
        .update(&[7; 32])
        .update(&0_u64.to_be_bytes())
        .finalize_xof()
        .fill(&mut forged[BLOCK + 32..BLOCK + 40]);
    fs::write(&file, forged).unwrap();
    is_right(7, "forged");
    fs::remove_file(&file).unwrap();
    is_right(61, "gone");
    tally(altered);
    assert!(altered > 40, "{altered}");
}
