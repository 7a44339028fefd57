//! What a ledger's files show by themselves, and what must not be made of it: remains for nothing, durable entries for a torn tail, an
//! index for the chain.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use sigchain::digest::Digest;
use sigchain::directory::{Directory, Limits};
use sigchain::disk::{self, Lenience};
use sigchain::error::OpenError;
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::index::{self, Content, Runs, Source};
use sigchain::key::{PublicKey, Purpose, Signature, SigningKey};
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::signer::{Signer, SignerError, Statement};
use sigchain::store::{Frames, Store as _};

use crate::anchor::hooked::{Op, hooked};

const SOON: Duration = Duration::from_secs(10);
const FIRST: &str = "segment-0000000000";
const SECOND: &str = "segment-0000000001";

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn genesis() -> Genesis {
    Genesis::new("example.org/segments", key(1)).checkpoints(key(2))
}

fn signers() -> Signers {
    Signers::new(key(1), key(2))
}

fn event(n: u64) -> Event {
    Event::new("agent:tester", "test.call").unwrap().correlation(&format!("{n:05}")).unwrap()
}

fn id(n: u8) -> EventId {
    EventId::new(1_700_000_000_000, [n; 10])
}

fn options(bytes: u64) -> Options {
    let limits = Limits { bytes, ..Limits::default() };
    // Whoever had it before may be looking after its indexes for a moment.
    Options::new().files(Files::new().anchors(Vec::new()).limits(limits).wait(SOON))
}

/// One segment holds all.
const ONE: u64 = 1 << 20;

fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("segments").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn open(path: &Path) -> Result<Ledger, OpenError> {
    Ledger::open_at(path, signers(), options(ONE))
}

fn fill(ledger: &Ledger, count: u64) {
    for n in 1..=count {
        ledger.append(event(n)).unwrap();
    }
}

fn code(error: &OpenError) -> &'static str {
    match error {
        OpenError::Stopped { code, .. } => code,
        OpenError::Io(error) => disk::code_of(error),
        error => panic!("{error}"),
    }
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// A seal is a group by itself: what stands before it was durable, whatever becomes of the record.
#[test] // [F-mark-1]
fn damage_before_a_marked_seal_is_no_torn_tail() {
    let path = fresh("sealed");
    let ledger = Ledger::create_at(&path, genesis(), options(ONE)).unwrap();
    let ends: Vec<u64> = (1..=5)
        .map(|n| {
            ledger.append(event(n)).unwrap();
            len(&path.join(FIRST))
        })
        .collect();
    ledger.close(SOON).unwrap();
    drop(ledger);
    fs::remove_file(path.join("durable")).unwrap();
    let whole = fs::read(path.join(FIRST)).unwrap();
    // Within the fields, the signature and the payload of the last entry.
    for at in (ends[3]..ends[4]).step_by(37) {
        flip(&path.join(FIRST), at);
        let error = open(&path).unwrap_err();
        assert_eq!(code(&error), "LEDGER_DAMAGED", "{at}: {error}");
        // Nothing was changed but that it is halted: not even the record was made.
        let names = fs::read_dir(&path).unwrap().map(|found| found.unwrap().file_name());
        let known = [FIRST, "reserve", "quarantine"];
        assert!(names.into_iter().all(|name| known.iter().any(|known| name == *known)));
        fs::remove_dir_all(path.join("quarantine")).unwrap();
        fs::write(path.join(FIRST), &whole).unwrap();
    }
    let ledger = open(&path).unwrap();
    assert_eq!(ledger.head().sequence, 5);
}

/// What a segment was begun with was synced before it had its name, although no mark says so.
#[test]
fn what_a_segment_was_begun_with_is_durable() {
    let path = fresh("begun");
    let ledger = Ledger::create_at(&path, genesis(), options(ONE)).unwrap();
    fill(&ledger, 3);
    let before = fs::read(path.join("durable")).unwrap();
    ledger.append(event(4)).unwrap();
    drop(ledger);
    fs::remove_file(path.join("durable")).unwrap();
    drop(open(&path).unwrap());
    let whole = fs::read(path.join(SECOND)).unwrap();
    // Without a record, and with one that the power cut has set back to before.
    for record in [None, Some(&before)] {
        let put = |bytes: &[u8]| {
            fs::write(path.join(SECOND), bytes).unwrap();
            match record {
                Some(record) => fs::write(path.join("durable"), record).unwrap(),
                None => drop(fs::remove_file(path.join("durable"))),
            }
        };
        put(&whole);
        flip(&path.join(SECOND), u64::try_from(whole.len()).unwrap() - 1);
        let error = open(&path).unwrap_err();
        assert_eq!(code(&error), "LEDGER_DAMAGED", "{error}");
        fs::remove_dir_all(path.join("quarantine")).unwrap();
        // All but the beginning.
        let length = u32::from_be_bytes(whole[12..16].try_into().unwrap());
        put(&whole[..8 + 16 + usize::try_from(length).unwrap()]);
        let error = open(&path).unwrap_err();
        assert_eq!(code(&error), "LEDGER_CUT", "{error}");
        fs::remove_dir_all(path.join("quarantine")).unwrap();
        put(&whole);
        assert_eq!(open(&path).unwrap().head().sequence, 4);
        // Whoever opened it has begun another.
        fs::remove_file(path.join("segment-0000000002")).unwrap();
    }
}

/// What says that a chain was here is not taken for what a creation left.
#[test] // [F-create-1]
fn creating_removes_no_evidence() {
    let path = fresh("evidence");
    let create = || Ledger::create_at(&path, genesis(), options(ONE));
    let ledger = create().unwrap();
    let chain = ledger.chain_id().to_string();
    ledger.append(event(1)).unwrap();
    drop(ledger);
    let record = fs::read(path.join("durable")).unwrap();
    fs::remove_file(path.join("durable")).unwrap();
    // Begins another segment.
    drop(open(&path).unwrap());
    let second = fs::read(path.join(SECOND)).unwrap();
    fs::write(path.join("durable"), &record).unwrap();
    fs::write(path.join("segment.next"), &second).unwrap();
    for name in [FIRST, SECOND] {
        fs::remove_file(path.join(name)).unwrap();
    }
    fs::create_dir(path.join("index")).unwrap();
    let is_kept = |name: &str| assert!(path.join(name).exists(), "{name} is gone");
    assert_eq!(code(&create().unwrap_err()), "FS_EXISTS");
    ["durable", "segment.next", "index"].into_iter().for_each(is_kept);
    fs::remove_dir(path.join("index")).unwrap();
    for gone in ["segment.next", "durable"] {
        let error = create().unwrap_err();
        assert_eq!(code(&error), "LEDGER_LOST", "{error}");
        assert!(error.to_string().contains(&chain), "{error}");
        ["durable", "segment.next"]
            .into_iter()
            .filter(|name| path.join(name).exists())
            .for_each(is_kept);
        fs::write(path.join("segment.next"), &second).unwrap();
        fs::remove_file(path.join(gone)).unwrap();
    }
    // What a creation leaves that was broken off is nothing.
    fs::write(path.join("segment.next"), b"\x89SGS").unwrap();
    fs::write(path.join("durable"), b"").unwrap();
    for name in ["segment.next", "durable"] {
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    create().unwrap();
}

/// What is copied into a new segment is looked at as it is read for that: since it was verified the disk may have shown what it has.
#[test]
fn what_is_copied_is_what_was_verified() {
    let path = fresh("copied");
    let ledger = Ledger::create_at(&path, genesis(), options(ONE)).unwrap();
    fill(&ledger, 4);
    drop(ledger);
    fs::remove_file(path.join("durable")).unwrap();
    let (reads, turn) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(usize::MAX)));
    let run = |path: &Path| {
        let (reads, turn, file) = (Arc::clone(&reads), Arc::clone(&turn), path.join(FIRST));
        reads.store(0, Ordering::Relaxed);
        let folder = hooked(disk::open(path, Lenience::default()).unwrap(), true, move |op| {
            if op == Op::Read(FIRST)
                && reads.fetch_add(1, Ordering::Relaxed) == turn.load(Ordering::Relaxed)
            {
                // The page cache lets go of the last block, which the disk never had.
                flip(&file, len(&file) - 1);
            }
            Ok(())
        });
        Ledger::open_in(Arc::new(folder), signers(), options(ONE)).map(drop)
    };
    let first = fresh("copied-first");
    copy(&path, &first);
    run(&first).unwrap();
    // The last of all reads is the one that is copied.
    turn.store(reads.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    let error = run(&path).unwrap_err();
    assert_eq!(code(&error), "LEDGER_DAMAGED", "{error}");
    assert!(!path.join(SECOND).exists());
    // The next one to open it sees what there is, as after any power cut.
    assert_eq!(open(&path).unwrap().head().sequence, 3);
}

/// A close that fails says so as often as it is asked, and keeps nobody out.
#[test]
fn a_close_that_fails_lets_go_and_stays_failed() {
    let path = fresh("unlocked");
    let fails = Arc::new(AtomicBool::new(false));
    let hook = Arc::clone(&fails);
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let folder = hooked(disk::open(&path, Lenience::default()).unwrap(), true, move |op| {
        let is_it = op == Op::Sync("durable") && hook.load(Ordering::Relaxed);
        if is_it { Err(io::Error::other("no such luck")) } else { Ok(()) }
    });
    let ledger = Ledger::create_in(Arc::new(folder), genesis(), options(ONE)).unwrap();
    ledger.append(event(1)).unwrap();
    fails.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let error = ledger.close(SOON).unwrap_err();
        assert!(error.what.contains("no such luck"), "{error}");
        fails.store(false, Ordering::Relaxed);
    }
    let other = open(&path).unwrap();
    assert_eq!(other.append(event(2)).unwrap().sequence, 2);
}

/// Segments are numbered from 0: a ledger without its first one is no other ledger, and no whole one.
#[test] // [F-segment-2]
fn a_first_segment_that_is_missing_is_missed() {
    let path = fresh("missing");
    let ledger = Ledger::create_at(&path, genesis(), options(1000)).unwrap();
    fill(&ledger, 9);
    drop(ledger);
    fs::remove_file(path.join(FIRST)).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(code(&error), "LEDGER_FILES");
    assert!(error.to_string().contains(FIRST), "{error}");
    let error = Directory::view(disk::open_to_read(&path).unwrap()).unwrap_err();
    assert!(error.to_string().contains(FIRST), "{error}");
}

/// What a newer sigchain has recorded is not written over by one that cannot read it.
#[test] // [F-record-1]
fn a_record_of_another_format_is_refused() {
    let path = fresh("newer");
    let ledger = Ledger::create_at(&path, genesis(), options(ONE)).unwrap();
    ledger.append(event(1)).unwrap();
    drop(ledger);
    let mut record = fs::read(path.join("durable")).unwrap();
    let length = usize::from(u16::from_be_bytes([record[0], record[1]])) + 2;
    assert_eq!(record[3], 1);
    record[3] = 2;
    let guard = blake3::hash(&record[..length]);
    record[length..length + 16].copy_from_slice(&guard.as_bytes()[..16]);
    fs::write(path.join("durable"), &record).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(code(&error), "LEDGER_FILES", "{error}");
    assert!(error.to_string().contains("found 2"), "{error}");
    Directory::view(disk::open_to_read(&path).unwrap()).unwrap_err();
    assert_eq!(fs::read(path.join("durable")).unwrap(), record);
}

/// A ledger over a folder whose operations a hook sees first.
fn over(
    path: &Path,
    bytes: u64,
    hook: impl Fn(Op<'_>) -> io::Result<()> + Send + Sync + 'static,
) -> Ledger {
    let is_new = !path.exists();
    if is_new {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let folder = hooked(disk::open(path, Lenience::default()).unwrap(), true, hook);
    let (folder, options) = (Arc::new(folder), options(bytes));
    let ledger = if is_new {
        Ledger::create_in(folder, genesis(), options)
    } else {
        Ledger::open_in(folder, signers(), options)
    };
    ledger.unwrap()
}

/// Whether this is the name of an index in the making.
fn is_part(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "part")
}

fn no_room() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

/// Appends until a file is there.
fn append_until(ledger: &Ledger, file: &Path) {
    let start = Instant::now();
    while !file.exists() {
        assert!(start.elapsed() < SOON, "{} is not made", file.display());
        ledger.append(event(0)).unwrap();
    }
}

fn wait_for(file: &Path) {
    let start = Instant::now();
    while !file.exists() {
        assert!(start.elapsed() < SOON, "{} is not made", file.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An event whose segment has been sealed and has no index yet is found, though there are indexes of others.
#[test]
fn an_event_is_found_where_no_index_is_yet() {
    let path = fresh("unindexed");
    let stops = Arc::new(AtomicBool::new(false));
    let hook = Arc::clone(&stops);
    let ledger = over(&path, 1200, move |op| match op {
        Op::Create(name) if is_part(name) && hook.load(Ordering::Relaxed) => Err(no_room()),
        _ => Ok(()),
    });
    append_until(&ledger, &path.join(SECOND));
    wait_for(&path.join("index/ids-0000000000-0000000000"));
    // Opens them.
    assert_eq!(ledger.find(&id(1)).unwrap(), None);
    stops.store(true, Ordering::Relaxed);
    let first = ledger.append(event(1).id(id(1))).unwrap();
    for n in 2..6 {
        append_until(&ledger, &path.join(format!("segment-000000000{n}")));
        let again = ledger.append(event(1).id(id(1))).unwrap();
        assert_eq!(again.sequence, first.sequence, "recorded twice");
    }
    assert_eq!(ledger.find(&id(1)).unwrap().unwrap().sequence, first.sequence);
    assert_eq!(ledger.find(&id(2)).unwrap(), None);
}

/// Indexes that were left from another branch of the chain, with the same numbers and lengths, answer nothing.
#[test]
fn an_index_of_another_branch_is_not_believed() {
    let path = fresh("branch");
    let ledger = over(&path, 1200, |_| Ok(()));
    ledger.close(SOON).unwrap();
    drop(ledger);
    let older = fresh("branch-older");
    copy(&path, &older);
    let grow = |with: u8, hook: fn(Op<'_>) -> io::Result<()>| {
        let ledger = over(&path, 1200, hook);
        for n in 0..12 {
            ledger.append(event(1).id(id(with + n))).unwrap();
        }
        ledger
    };
    let ledger = grow(10, |_| Ok(()));
    wait_for(&path.join("index/ids-0000000001-0000000001"));
    wait_for(&path.join("index/ids-0000000002-0000000002"));
    ledger.close(SOON).unwrap();
    drop(ledger);
    // The files are set back, the indexes stay.
    for name in fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()) {
        if name != "index" {
            fs::remove_file(path.join(&name)).unwrap();
            drop(fs::copy(older.join(&name), path.join(&name)));
        }
    }
    let none: fn(Op<'_>) -> io::Result<()> = |op| match op {
        Op::Create(name) if is_part(name) => Err(no_room()),
        _ => Ok(()),
    };
    let ledger = grow(100, none);
    ledger.close(SOON).unwrap();
    drop(ledger);
    let ledger = over(&path, 1200, none);
    for n in 0..12 {
        assert_eq!(ledger.find(&id(10 + n)).unwrap(), None, "{n}");
        assert!(ledger.find(&id(100 + n)).unwrap().is_some(), "{n}");
    }
    let receipt = ledger.append(event(1).id(id(12))).unwrap();
    assert_eq!(receipt.event_id, id(12));
    assert_eq!(ledger.entry(receipt.sequence).unwrap().unwrap().fields.event_id, id(12));
}

/// Nor is one believed that leads elsewhere, although it says that it was made from this very segment.
#[test]
fn where_an_index_leads_is_looked_at() {
    let path = fresh("forged");
    let ledger = over(&path, 1200, |op| match op {
        Op::Folder("index") => Err(no_room()),
        _ => Ok(()),
    });
    for n in 0..12 {
        ledger.append(event(1).id(id(n))).unwrap();
    }
    let chain = ledger.chain_id();
    ledger.close(SOON).unwrap();
    drop(ledger);
    fs::create_dir(path.join("index")).unwrap();
    fs::set_permissions(path.join("index"), fs::Permissions::from_mode(0o700)).unwrap();
    let folder = disk::open(&path.join("index"), Lenience::default()).unwrap();
    // The body of the frame that the segment behind it begins with: number and first sequence have a byte each, then comes the digest.
    let next = &fs::read(path.join(SECOND)).unwrap()[24..];
    let (count, head) = (u64::from(next[37]), next[40..72].try_into().unwrap());
    let (length, head) = (len(&path.join(FIRST)), Digest::new(head));
    let source = Source { ordinal: 0, first: 0, count, length, head };
    let ids: Vec<_> = (0..count).map(|n| id(100 + u8::try_from(n).unwrap())).collect();
    let offsets = vec![200; ids.len()];
    let content = Content { source, offsets: &offsets, ids: &ids };
    index::write(&*folder, &chain, &content).unwrap();
    Runs::open(folder, chain, &[]).unwrap().add(&content).unwrap();
    let ledger = over(&path, 1200, |op| match op {
        Op::Create(name) if is_part(name) => Err(no_room()),
        _ => Ok(()),
    });
    for n in 0..12 {
        assert_eq!(ledger.find(&id(100 + n)).unwrap(), None);
    }
    for n in 0..count {
        assert_eq!(ledger.entry(n).unwrap().unwrap().fields.sequence, n);
    }
    let receipt = ledger.append(event(1).id(id(101))).unwrap();
    assert_eq!((receipt.event_id, receipt.sequence), (id(101), ledger.head().sequence));
}

/// Indexes that begin well and are damaged behind that are made again, and the others are made and merged meanwhile.
#[test]
fn damaged_indexes_are_made_again() {
    remade("remade", "");
    remade("remade-offsets", ".index");
}

/// Damages the indexes whose names end so.
fn remade(name: &str, suffix: &str) {
    let path = fresh(name);
    let ledger = over(&path, 1200, |_| Ok(()));
    append_until(&ledger, &path.join("segment-0000000007"));
    let ids: Vec<_> = (0..ledger.head().sequence)
        .map(|n| ledger.entry(n).unwrap().unwrap().fields.event_id)
        .collect();
    wait_for(&path.join("index/ids-0000000006-0000000006"));
    ledger.close(SOON).unwrap();
    drop(ledger);
    let files = || fs::read_dir(path.join("index")).unwrap().map(|entry| entry.unwrap().path());
    // A power cut has left the first block of each, and zeros for the others.
    for file in files().filter(|file| file.to_str().unwrap().ends_with(suffix)) {
        let mut bytes = fs::read(&file).unwrap();
        bytes[4096..].fill(0);
        fs::write(&file, bytes).unwrap();
    }
    let ledger = over(&path, 1200, |_| Ok(()));
    let check = || {
        for (n, id) in (0_u64..).zip(&ids) {
            assert_eq!(ledger.find(id).unwrap().unwrap().sequence, n);
            assert_eq!(ledger.entry(n).unwrap().unwrap().fields.sequence, n);
        }
    };
    check();
    append_until(&ledger, &path.join("segment-0000000009"));
    wait_for(&path.join("index/ids-0000000000-0000000007"));
    check();
    let is_sound = |file: &PathBuf| fs::read(file).unwrap()[4096..].iter().any(|byte| *byte != 0);
    let start = Instant::now();
    while !files().filter(|file| file.exists()).all(|file| is_sound(&file)) {
        assert!(start.elapsed() < SOON, "not made again");
        append_until(&ledger, &path.join("segment-0000000012"));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What is anchored does not wait until all indexes are made; and once the ledger is closed none is made any more.
#[test]
fn indexes_are_made_a_step_at_a_time_and_not_after_the_end() {
    let path = fresh("steps");
    let ledger = over(&path, 700, |op| match op {
        Op::Folder("index") => Err(no_room()),
        _ => Ok(()),
    });
    append_until(&ledger, &path.join("segment-0000000019"));
    ledger.close(SOON).unwrap();
    drop(ledger);
    let folder = disk::open(&path, Lenience::default()).unwrap();
    let directory = Directory::open(folder, Limits::default(), Duration::ZERO).unwrap();
    let made = || fs::read_dir(path.join("index")).map_or(0, Iterator::count);
    assert!(directory.tend().unwrap());
    assert_eq!(made(), 2);
    assert!(directory.tend().unwrap());
    assert_eq!(made(), 4);
    directory.end().unwrap();
    assert!(!directory.tend().unwrap());
    assert_eq!(made(), 4);
}

/// Damage somewhere makes nothing unreadable that stands before it.
#[test]
fn what_stands_before_damage_can_be_read() {
    let path = fresh("before");
    let ledger = Ledger::create_at(&path, genesis(), options(ONE)).unwrap();
    let mut ids = Vec::new();
    (1..=50).for_each(|n| ids.push(ledger.append(event(n)).unwrap().event_id));
    let end = len(&path.join(FIRST));
    drop(ledger);
    flip(&path.join(FIRST), end - 1);
    let view = Directory::view(disk::open_to_read(&path).unwrap()).unwrap();
    let mut frames = Frames::new();
    view.read(3, 1, &mut frames).unwrap();
    assert_eq!(frames.iter().map(|frame| frame.sequence).collect::<Vec<_>>(), [3]);
    view.read(40, 100, &mut frames).unwrap();
    assert_eq!(frames.len(), 10);
    assert_eq!(view.find(&ids[8]).unwrap(), Some(9));
    let error = view.read(50, 1, &mut frames).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    // Whether this one was recorded nobody can say.
    view.find(&id(1)).unwrap_err();
}

/// While a segment gives way to the next, all that is in the others can be read, however long they are.
#[test]
fn all_can_be_read_while_a_segment_ends() {
    let path = fresh("ending");
    let known: Arc<Mutex<Option<Weak<Ledger>>>> = Arc::default();
    let (hook, seen) = (Arc::clone(&known), Arc::new(AtomicUsize::new(0)));
    let counts = Arc::clone(&seen);
    let ledger = Arc::new(over(&path, 700, move |op| match op {
        Op::Folder("index") => Err(no_room()),
        Op::Rename(_) => {
            if let Some(ledger) = hook.lock().unwrap().as_ref().and_then(Weak::upgrade) {
                for sequence in 0..=ledger.head().sequence {
                    let entry = ledger.entry(sequence).expect("readable").unwrap();
                    assert_eq!(entry.fields.sequence, sequence);
                }
                counts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
        _ => Ok(()),
    }));
    *known.lock().unwrap() = Some(Arc::downgrade(&ledger));
    for n in 0..60 {
        ledger.append(event(n)).unwrap();
    }
    assert!(seen.load(Ordering::Relaxed) > 5);
}

/// Names of the files of a ledger that this process has open, and whether to write.
fn handles(path: &Path) -> Vec<(String, bool)> {
    let path = path.canonicalize().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let number = entry.unwrap().file_name().into_string().unwrap();
        let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        if target.parent() != Some(&path) {
            continue;
        }
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let writes = i64::from_str_radix(flags, 8).unwrap() & 3 != 0;
        found.push((target.file_name().unwrap().to_str().unwrap().to_owned(), writes));
    }
    found
}

/// A ledger needs no more handles the longer it gets, and writes to no segment but the last.
#[test]
fn handles_do_not_grow_with_the_ledger() {
    let path = fresh("handles");
    let ledger = over(&path, 700, |op| match op {
        Op::Folder("index") => Err(no_room()),
        _ => Ok(()),
    });
    append_until(&ledger, &path.join("segment-0000000029"));
    let check = |ledger: &Ledger| {
        let last = ledger.head().sequence;
        for n in 0..=last {
            ledger.entry(n).unwrap().unwrap();
        }
        assert_eq!(ledger.find(&id(1)).unwrap(), None);
        let open: Vec<_> = handles(&path);
        let segments = open.iter().filter(|(name, _)| name.starts_with("segment-"));
        assert!(segments.clone().count() <= 12, "{open:?}");
        let written: Vec<_> = segments.filter(|(_, writes)| *writes).collect();
        assert_eq!(written.len(), 1, "{open:?}");
    };
    check(&ledger);
    ledger.close(SOON).unwrap();
    drop(ledger);
    // Its thread for anchors may still be on its way out, with handles of its own.
    while !handles(&path).is_empty() {
        std::thread::yield_now();
    }
    let ledger = open(&path).unwrap();
    check(&ledger);
    assert_eq!(written_last(&path), "segment-0000000029");
}

fn written_last(path: &Path) -> String {
    handles(path)
        .into_iter()
        .find(|(name, writes)| *writes && name.starts_with("segment-"))
        .unwrap()
        .0
}

/// Where no segment can be begun no seal is written either: there would be another with each attempt.
#[test]
fn no_seal_is_written_where_no_segment_can_follow() {
    let path = fresh("unsealed");
    let (fails, tried) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (hook, count) = (Arc::clone(&fails), Arc::clone(&tried));
    let ledger = over(&path, 700, move |op| match op {
        Op::Create("segment.next") if hook.load(Ordering::Relaxed) => {
            // The first one is the ledger's own beginning.
            if count.fetch_add(1, Ordering::Relaxed) == 0 { Ok(()) } else { Err(no_room()) }
        }
        _ => Ok(()),
    });
    for n in 1..=8 {
        ledger.append(event(n)).unwrap();
    }
    assert!(tried.load(Ordering::Relaxed) > 1);
    let view = Directory::view(disk::open_to_read(&path).unwrap()).unwrap();
    assert_eq!(view.last_seal().unwrap(), None);
    assert_eq!(view.entries(), 9);
}

/// With nobody to seal it a segment ends nevertheless before it is too long to be read.
#[test] // [F-segment-3]
fn a_segment_that_nobody_seals_ends_at_its_limit() {
    let path = fresh("limit");
    let limits = Limits { bytes: ONE, most: 2000, ..Limits::default() };
    let files = || Options::new().files(Files::new().anchors(Vec::new()).limits(limits));
    let genesis = Genesis::new("example.org/limit", key(1)).checkpoints(Failing(key(2)));
    let ledger = Ledger::create_at(&path, genesis, files()).unwrap();
    let receipts: Vec<_> = (1..=30).map(|n| ledger.append(event(n)).unwrap()).collect();
    for receipt in &receipts {
        assert_eq!(ledger.find(&receipt.event_id).unwrap().as_ref(), Some(receipt));
    }
    drop(ledger);
    assert!(path.join("segment-0000000003").exists());
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        let is_segment = entry.file_name().to_string_lossy().starts_with("segment-");
        assert!(!is_segment || entry.metadata().unwrap().len() < 3000);
    }
    let ledger = Ledger::open_at(&path, signers(), files()).unwrap();
    assert_eq!(ledger.head().sequence, 30);
}

/// Signs everything but seals.
struct Failing(SigningKey);

impl Signer for Failing {
    fn public(&self) -> &PublicKey {
        Signer::public(&self.0)
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        match statement {
            Statement::Digest(Purpose::Seal, _) => Err(SignerError::new("not today")),
            other => Signer::sign(&self.0, other),
        }
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

/// What was abandoned is listed at the beginning of a segment only as long as it can be met again: a ledger that is killed often would
/// else, at some time, list nothing, and have all of it verified at each opening.
#[test]
fn what_was_abandoned_is_not_listed_for_ever() {
    let path = fresh("abandoned");
    drop(Ledger::create_at(&path, genesis(), options(ONE)).unwrap());
    let beginning = |n: u64| {
        let bytes = fs::read(path.join(format!("segment-{n:010}"))).unwrap();
        u32::from_be_bytes(bytes[12..16].try_into().unwrap())
    };
    for n in 0..8 {
        let ledger = open(&path).unwrap();
        ledger.append(event(1)).unwrap();
        ledger.append(event(2)).unwrap();
        drop(ledger);
        // A power cut: the last entry is torn, and listed when the next is appended.
        fs::remove_file(path.join("durable")).unwrap();
        let last = path.join(format!("segment-{n:010}"));
        let bytes = fs::read(&last).unwrap();
        fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    }
    let ledger = open(&path).unwrap();
    let is_list = |n: &u64| {
        let entry = ledger.entry(*n).unwrap().unwrap();
        entry.fields.event_type == "chain.abandoned"
    };
    assert_eq!((0..=ledger.head().sequence).filter(is_list).count(), 7);
    assert!(beginning(8) <= beginning(1) + 4, "{} and {}", beginning(1), beginning(8));
}
