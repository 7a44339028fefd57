//! The ledger on files.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sigchain::anchor::Local;
use sigchain::directory::{Directory, Limits};
use sigchain::disk::{self, Lenience};
use sigchain::error::{AppendError, OpenError, Refusal};
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Fence, Files, Genesis, Ledger, Options, Signers};
use sigchain::reserved::Reserved;
use sigchain::verify::Verifier;

use crate::ledger::support::Steered;
use crate::support::{rounds, step};

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn genesis() -> Genesis {
    Genesis::new("example.org/files", key(1)).checkpoints(key(2))
}

fn signers() -> Signers {
    Signers::new(key(1), key(2))
}

fn event(n: u64) -> Event {
    Event::new("agent:tester", "test.call").unwrap().correlation(&n.to_string()).unwrap()
}

/// Without anchors: what the files can show by themselves.
fn options() -> Options {
    options_with(Files::new())
}

fn options_with(files: Files) -> Options {
    Options::new().files(files.anchors(Vec::new()))
}

/// With anchors at a place of the test's own.
fn anchored(at: &Path, files: Files) -> Options {
    let anchors = Local::at(at, Lenience::default());
    Options::new().files(files.anchors(vec![Arc::new(anchors)]))
}

/// A path where nothing is.
fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("directory").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn what_is_appended_is_there_after_closing_and_opening() {
    let path = fresh("reopened");
    let ledger = Ledger::create_at(&path, genesis(), options()).unwrap();
    for n in 1..=10 {
        assert_eq!(ledger.append(event(n)).unwrap().sequence, n);
    }
    let closed = ledger.close(SOON).unwrap();
    assert_eq!(closed.size, 11);
    drop(ledger);
    let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
    assert_eq!(ledger.head(), closed.head);
    // The same writer, and nothing unclean: no entry of the ledger's own.
    assert_eq!(ledger.append(event(11)).unwrap().sequence, 11);
    assert_eq!(ledger.entry(5).unwrap().unwrap().fields.correlation_id.as_deref(), Some("5"));
    let id = ledger.entry(7).unwrap().unwrap().fields.event_id;
    assert_eq!(ledger.find(&id).unwrap().unwrap().sequence, 7);
}

/// [F-epoch-1]
#[test]
fn one_that_was_left_open_goes_on_with_an_epoch() {
    let path = fresh("left");
    let ledger = Ledger::create_at(&path, genesis(), options()).unwrap();
    for n in 1..=5 {
        ledger.append(event(n)).unwrap();
    }
    drop(ledger);
    let ledger = Ledger::open_at(&path, signers(), options_with(Files::new())).unwrap();
    assert_eq!(ledger.head().sequence, 5);
    assert_eq!(ledger.append(event(6)).unwrap().sequence, 7);
    assert_eq!(ledger.entry(6).unwrap().unwrap().fields.event_type, "epoch.begun");
}

fn copy(from: &Path, to: &str) -> PathBuf {
    let path = fresh(to);
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
    }
    path
}

const FIRST: &str = "segment-0000000000";

/// What a verifier says of a directory, and how many entries it has.
fn verified(path: &Path) -> u64 {
    let view = Directory::view(disk::open_to_read(path).unwrap()).unwrap();
    let report = Verifier::new().open_ended(true).unique(true).run(view.stream().unwrap()).unwrap();
    assert_eq!(report.faults, Vec::new(), "{}", path.display());
    assert_eq!(report.entries, view.entries());
    report.entries
}

/// A ledger that nobody closed: five events, of which the last two are a batch.
fn left_open(name: &str) -> PathBuf {
    let path = fresh(name);
    let ledger = Ledger::create_at(&path, genesis(), options()).unwrap();
    for n in 1..=3 {
        ledger.append(event(n)).unwrap();
    }
    ledger.append_batch(vec![event(4), event(5)]).unwrap();
    path
}

/// Whoever shows how far a verification is knows the end of the stream beforehand, and is told of the entries on the way.
#[test]
fn how_far_a_verification_is_can_be_shown() {
    let path = left_open("how-far");
    let view = Directory::view(disk::open_to_read(&path).unwrap()).unwrap();
    let mut all = Vec::new();
    view.stream().unwrap().read_to_end(&mut all).unwrap();
    let length = usize::try_from(view.stream().unwrap().length()).unwrap();
    // The magic and the header are not counted.
    assert!((length..length + 128).contains(&all.len()), "{length} of {}", all.len());
    for threads in [1, 2] {
        let counter = Arc::new(AtomicU64::new(0));
        let verifier = Verifier::new().open_ended(true).threads(threads);
        let report = verifier.counted(Arc::clone(&counter)).run(all.as_slice()).unwrap();
        assert_eq!(counter.load(Ordering::Relaxed), report.entries);
    }
}

/// With the record gone, as after a power cut, every cut is a torn tail: what is whole stays, what was signed and is not is
/// listed, and the bytes stay where they are. With the record nothing durable may be missing.
#[test]
fn a_file_cut_at_any_byte_is_mended_or_refused() {
    let whole = left_open("whole");
    let bytes = fs::read(whole.join(FIRST)).unwrap();
    let mut sizes = Vec::new();
    for cut in ((bytes.len() - 1100)..bytes.len()).step_by(step(23)) {
        let path = copy(&whole, "cut");
        fs::write(path.join(FIRST), &bytes[..cut]).unwrap();
        let error = Ledger::open_at(&path, signers(), options()).unwrap_err();
        assert!(matches!(error, OpenError::Stopped { .. }), "{cut}: {error}");
        assert_eq!(fs::read(path.join(FIRST)).unwrap(), &bytes[..cut], "changed");

        let path = copy(&whole, "cut");
        fs::write(path.join(FIRST), &bytes[..cut]).unwrap();
        fs::remove_file(path.join("durable")).unwrap();
        let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
        let size = ledger.head().sequence + 1;
        ledger.append(event(9)).unwrap();
        ledger.close(SOON).unwrap();
        drop(ledger);
        assert_eq!(fs::read(path.join(FIRST)).unwrap(), &bytes[..cut], "evidence lost");
        let entries = verified(&path);
        assert!(entries > size, "{cut}");
        sizes.push(size);
        let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
        assert_eq!(ledger.append(event(10)).unwrap().sequence, entries);
    }
    assert!(sizes.is_sorted());
    sizes.dedup();
    assert_eq!(sizes, [1, 2, 3, 4], "a batch is all or nothing");
}

/// Types of the entries from a sequence on.
fn types(ledger: &Ledger, from: u64) -> Vec<String> {
    let of = |at| ledger.entry(at).unwrap().unwrap().fields.event_type.into_owned();
    (from..=ledger.head().sequence).map(of).collect()
}

/// What was signed and torn is listed with the first event, however often the ledger was opened before that, and only once.
/// [F-open-3]
#[test]
fn what_was_torn_is_listed_once() {
    let whole = left_open("unlisted");
    let bytes = fs::read(whole.join(FIRST)).unwrap();
    let path = copy(&whole, "listed");
    // Of the batch's second entry only the payload's end is cut: fields and signature are there.
    fs::write(path.join(FIRST), &bytes[..bytes.len() - 1]).unwrap();
    fs::remove_file(path.join("durable")).unwrap();
    for _ in 0..3 {
        let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
        assert_eq!(ledger.head().sequence, 3);
    }
    let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
    ledger.append(event(9)).unwrap();
    assert_eq!(types(&ledger, 4), ["chain.abandoned", "epoch.begun", "test.call"]);
    let list = ledger.entry(4).unwrap().unwrap();
    let Ok(Reserved::Abandoned { entries, .. }) = Reserved::parse("chain.abandoned", &list.part, 4)
    else {
        panic!("no list")
    };
    assert_eq!(entries.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [4, 5]);
    // A seal behind the list, and another writer that has not closed.
    ledger.close(SOON).unwrap();
    drop(ledger);
    for _ in 0..2 {
        let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
        ledger.append(event(10)).unwrap();
    }
    let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
    assert_eq!(types(&ledger, 7), ["test.call", "epoch.begun", "test.call"]);
}

/// A segment counts of the one before only what was durable: damage there is no torn tail, wherever the frames behind it are.
#[test]
fn damage_in_what_a_later_segment_counts_stops() {
    let path = left_open("counted");
    fs::remove_file(path.join("durable")).unwrap();
    let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
    ledger.append(event(6)).unwrap();
    drop(ledger);
    assert!(path.join("segment-0000000001").exists());
    fs::remove_file(path.join("durable")).unwrap();
    let mut bytes = fs::read(path.join(FIRST)).unwrap();
    // The batch stands behind what counts; before it is the last group that does.
    let last = bytes.len() - 700;
    bytes[last] ^= 1;
    fs::write(path.join(FIRST), &bytes).unwrap();
    let error = Ledger::open_at(&path, signers(), options()).unwrap_err();
    assert!(matches!(error, OpenError::Stopped { code: "LEDGER_DAMAGED", .. }), "{error}");
    assert!(!path.join("segment-0000000002").exists());
}

/// What follows the last frame is a torn tail if nothing in it was durable: zeros and garbage as file systems leave them.
/// [F-segment-4]
#[test]
fn zeros_and_garbage_behind_the_end_are_left_where_they_are() {
    let whole = left_open("tail");
    let bytes = fs::read(whole.join(FIRST)).unwrap();
    let tails: [Vec<u8>; 4] = [vec![0; 1], vec![0; 4096], vec![0xa5; 700], bytes[..300].to_vec()];
    for (n, tail) in tails.iter().enumerate() {
        for has_record in [true, false] {
            let path = copy(&whole, "tailed");
            let torn = [&bytes[..], tail].concat();
            fs::write(path.join(FIRST), &torn).unwrap();
            if !has_record {
                fs::remove_file(path.join("durable")).unwrap();
            }
            let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
            assert_eq!(ledger.head().sequence, 5, "{n}");
            assert_eq!(ledger.append(event(6)).unwrap().sequence, 7, "{n}");
            ledger.close(SOON).unwrap();
            assert_eq!(verified(&path), 8, "{n}");
            assert_eq!(fs::read(path.join(FIRST)).unwrap(), torn, "{n}: evidence lost");
        }
    }
}

/// Damage before the end of what is durable is never taken for a torn tail, with or without the record.
/// [F-open-2]
#[test]
fn a_turned_bit_in_what_is_durable_stops() {
    let whole = left_open("turned");
    let bytes = fs::read(whole.join(FIRST)).unwrap();
    // The last group is the batch; without the record nobody can know that it was durable.
    let last_group = bytes.len() - 700;
    for at in (200..last_group).step_by(61) {
        for has_record in [true, false] {
            let path = copy(&whole, "bit");
            let mut turned = bytes.clone();
            turned[at] ^= 0x10;
            fs::write(path.join(FIRST), &turned).unwrap();
            if !has_record {
                fs::remove_file(path.join("durable")).unwrap();
            }
            let error = Ledger::open_at(&path, signers(), options()).unwrap_err();
            assert!(matches!(error, OpenError::Stopped { .. }), "{at}, {has_record}: {error}");
            assert_eq!(fs::read(path.join(FIRST)).unwrap(), turned, "changed");
        }
    }
}

/// Two writers at once there cannot be; the second may wait for the first.
/// [F-open-1]
#[test]
fn a_second_writer_waits_or_is_refused() {
    let path = fresh("second");
    let ledger = Ledger::create_at(&path, genesis(), options()).unwrap();
    let error = Ledger::open_at(&path, signers(), options()).unwrap_err();
    let OpenError::Io(error) = error else { panic!("{error}") };
    assert_eq!(disk::code_of(&error), "LEDGER_BUSY");
    let waits = std::thread::spawn({
        let path = path.clone();
        move || {
            let options = options_with(Files::new().wait(SOON));
            Ledger::open_at(&path, signers(), options).unwrap().append(event(2)).unwrap().sequence
        }
    });
    ledger.append(event(1)).unwrap();
    ledger.close(SOON).unwrap();
    assert_eq!(waits.join().unwrap(), 2);
    // The first handle is still there, and takes nothing any more.
    ledger.append(event(3)).unwrap_err();
    assert_eq!(ledger.entry(1).unwrap().unwrap().fields.sequence, 1);
}

/// Segments end by size with a seal, and the next goes on; all of it is one chain.
#[test]
fn segments_end_and_go_on() {
    let path = fresh("segments");
    let limits = Limits { bytes: 2000, ..Limits::default() };
    let files = || options_with(Files::new().limits(limits));
    let ledger = Ledger::create_at(&path, genesis(), files()).unwrap();
    for n in 1..=40 {
        ledger.append(event(n)).unwrap();
    }
    let ids: Vec<_> = (0..=40).map(|n| ledger.entry(n).unwrap().unwrap().fields.event_id).collect();
    ledger.close(SOON).unwrap();
    drop(ledger);
    assert!(path.join("segment-0000000005").exists());
    assert_eq!(verified(&path), 41);
    let ledger = Ledger::open_at(&path, signers(), files()).unwrap();
    for (n, id) in (0_u64..).zip(&ids) {
        assert_eq!(ledger.entry(n).unwrap().unwrap().fields.sequence, n);
        assert_eq!(ledger.find(id).unwrap().unwrap().sequence, n);
    }
    assert_eq!(ledger.append(event(41)).unwrap().sequence, 41);
}

/// A thousand programs that append one event each and end leave a thousand events, and no entries of the ledger's own but the first.
#[test]
fn one_shot_appends_add_nothing_of_the_ledgers_own() {
    let path = fresh("shots");
    let ledger = Ledger::create_at(&path, genesis(), options()).unwrap();
    assert_eq!(ledger.close(SOON).unwrap().size, 1);
    let count = u64::try_from(rounds(30, 1000)).unwrap();
    for n in 1..=count {
        let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
        assert_eq!(ledger.append(event(n)).unwrap().sequence, n);
        ledger.close(SOON).unwrap();
    }
    assert_eq!(verified(&path), count + 1);
}

fn stopped(error: &OpenError) -> &'static str {
    match error {
        OpenError::Stopped { code, .. } => code,
        OpenError::Io(error) => disk::code_of(error),
        error => panic!("{error}"),
    }
}

/// A directory that is set back to any older copy of it is refused, and is as it was afterwards. The copy knows nothing of it.
#[test]
fn a_directory_that_was_set_back_is_refused() {
    let (path, home) = (fresh("back"), fresh("back-home"));
    let ledger = Ledger::create_at(&path, genesis(), anchored(&home, Files::new())).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    let count = 6;
    let mut copies = vec![copy(&path, "back-0")];
    for n in 1..=count {
        let ledger = Ledger::open_at(&path, signers(), anchored(&home, Files::new())).unwrap();
        ledger.append(event(n)).unwrap();
        ledger.close(SOON).unwrap();
        drop(ledger);
        copies.push(copy(&path, &format!("back-{n}")));
    }
    let newest = copies.pop().unwrap();
    for copy in &copies {
        let error = Ledger::open_at(copy, signers(), anchored(&home, Files::new())).unwrap_err();
        assert_eq!(stopped(&error), "LEDGER_BEHIND", "{error}");
    }
    let ledger = Ledger::open_at(&newest, signers(), anchored(&home, Files::new())).unwrap();
    assert_eq!(ledger.append(event(9)).unwrap().sequence, count + 1);
}

/// Two copies of a ledger, each with the keys: the anchor gives each number once, so one of them stops.
/// [F-fence-1]
#[test]
fn of_two_copies_one_is_fenced() {
    for fence in [Fence::Sync, Fence::Interval { entries: 2, time: Duration::from_millis(20) }] {
        let (path, home) = (fresh("clone"), fresh("clone-home"));
        let files = || Files::new().fence(fence);
        let ledger = Ledger::create_at(&path, genesis(), anchored(&home, files())).unwrap();
        ledger.close(SOON).unwrap();
        drop(ledger);
        let copied = copy(&path, "cloned");
        let one = Ledger::open_at(&path, signers(), anchored(&home, files())).unwrap();
        let other = Ledger::open_at(&copied, signers(), anchored(&home, files())).unwrap();
        let (ledgers, start) = ([&one, &other], Instant::now());
        let mut acknowledged = [0, 0];
        let (fenced, error) = 'appending: loop {
            for (n, ledger) in ledgers.iter().enumerate() {
                match ledger.append(event(100)) {
                    Ok(_) => acknowledged[n] += 1,
                    Err(error) => break 'appending (n, error),
                }
            }
            assert!(start.elapsed() < SOON, "never fenced");
        };
        assert!(error.to_string().contains("another writer"), "{error}");
        if fence == Fence::Sync {
            assert_eq!(acknowledged, [1, 0]);
            assert!(matches!(error, AppendError::Uncertain { .. }), "{error}");
        }
        ledgers[fenced].append(event(3)).unwrap_err();
        // The other one goes on, and is the one that the anchor knows.
        ledgers[1 - fenced].append(event(2)).unwrap();
        ledgers[1 - fenced].close(SOON).unwrap();
        drop((one, other));
        let behind = [&path, &copied][fenced];
        let error = Ledger::open_at(behind, signers(), anchored(&home, files())).unwrap_err();
        assert!(["LEDGER_BESIDE", "LEDGER_BEHIND"].contains(&stopped(&error)), "{error}");
    }
}

/// Where a chain was that is gone, none is begun unasked.
/// [F-anchor-6]
#[test]
fn a_lost_chain_is_named_where_another_would_begin() {
    let (path, home) = (fresh("lost"), fresh("lost-home"));
    let ledger = Ledger::create_at(&path, genesis(), anchored(&home, Files::new())).unwrap();
    ledger.append(event(1)).unwrap();
    let closed = ledger.close(SOON).unwrap();
    let chain = ledger.chain_id().to_string();
    drop(ledger);
    fs::remove_dir_all(&path).unwrap();
    let error = Ledger::create_at(&path, genesis(), anchored(&home, Files::new())).unwrap_err();
    assert_eq!(stopped(&error), "LEDGER_LOST");
    let said = error.to_string();
    assert!(said.contains(&chain) && said.contains(&closed.size.to_string()), "{said}");
    assert!(!path.exists());
}

/// More may not be exposed than was said, however the anchor fares.
#[test]
fn what_is_exposed_is_bounded() {
    let (path, home) = (fresh("exposed"), fresh("exposed-home"));
    let fence = Fence::Interval { entries: 1_000_000, time: Duration::from_secs(1000) };
    let files = Files::new().fence(fence).exposed(10);
    let ledger = Ledger::create_at(&path, genesis(), anchored(&home, files)).unwrap();
    for n in 1..=30 {
        ledger.append(event(n)).unwrap();
    }
    // Its folder is gone: what was anchored cannot be gone on with.
    fs::remove_dir_all(&home).unwrap();
    let refused = (31..100).find_map(|n| ledger.append(event(n)).err()).unwrap();
    let AppendError::Refused(Refusal::Exposed { most: 10, .. }) = refused else {
        panic!("{refused}")
    };
    assert!(ledger.head().sequence < 60);
}

/// An id in a segment that was sealed and is not indexed yet, or cannot be, is found, and not used a second time.
#[test]
fn an_id_is_found_before_its_segment_is_indexed() {
    let (path, home) = (fresh("unindexed"), fresh("unindexed-home"));
    let limits = Limits { bytes: 3000, ..Limits::default() };
    let files = Files::new().limits(limits);
    let ledger = Ledger::create_at(&path, genesis(), anchored(&home, files)).unwrap();
    let index = path.join("index");
    let start = Instant::now();
    let mut known = Vec::new();
    while !index.join("ids-0000000000-0000000000").exists() {
        assert!(start.elapsed() < SOON, "no index is made");
        known.push(ledger.append(event(1)).unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
    // Where the files of the next ones are to be made a directory is in the way.
    for number in 0..40 {
        drop(fs::create_dir(index.join(format!("ids-{number:010}-{number:010}.part"))));
    }
    for n in 0..60 {
        known.push(ledger.append(event(n)).unwrap());
    }
    assert!(path.join("segment-0000000004").exists());
    for receipt in &known {
        assert_eq!(ledger.find(&receipt.event_id).unwrap().unwrap().sequence, receipt.sequence);
    }
}

/// A ledger that is opened for each event has segments that end by age all the same.
#[test]
fn a_segment_is_as_old_as_its_first_entry() {
    let path = fresh("aged");
    let hour = Duration::from_secs(3600);
    let limits = Limits { age: hour, ..Limits::default() };
    let time = Steered::new();
    let options = || options_with(Files::new().limits(limits)).time(time.clone());
    Ledger::create_at(&path, genesis(), options()).unwrap().close(SOON).unwrap();
    let count = || {
        let names = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("segment-")).count()
    };
    for (passed, segments) in
        [(hour / 2, 1), (hour / 3, 1), (hour / 3, 2), (hour / 3, 2), (hour, 3)]
    {
        time.pass(i64::try_from(passed.as_micros()).unwrap());
        let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
        ledger.append(event(1)).unwrap();
        ledger.close(SOON).unwrap();
        assert_eq!(count(), segments, "{passed:?}");
    }
}

/// Indexes are made by the way; with them, without them and with damaged ones every answer is the same.
#[test]
fn indexes_change_no_answer() {
    let (path, home) = (fresh("indexed"), fresh("indexed-home"));
    let limits = Limits { bytes: 3000, ..Limits::default() };
    let files = || anchored(&home, Files::new().limits(limits));
    let ledger = Ledger::create_at(&path, genesis(), files()).unwrap();
    for n in 1..=150 {
        ledger.append(event(n)).unwrap();
    }
    let start = Instant::now();
    while !path.join("index/ids-0000000000-0000000007").exists() {
        assert!(start.elapsed() < SOON, "no index is made");
        ledger.append(event(9)).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    let size = ledger.head().sequence + 1;
    let ids: Vec<_> =
        (0..size).map(|n| ledger.entry(n).unwrap().unwrap().fields.event_id).collect();
    ledger.close(SOON).unwrap();
    drop(ledger);
    let check = |what: &str| {
        let ledger = Ledger::open_at(&path, signers(), files()).unwrap();
        for (n, id) in (0_u64..).zip(&ids) {
            assert_eq!(ledger.entry(n).unwrap().unwrap().fields.sequence, n, "{what}");
            assert_eq!(ledger.find(id).unwrap().unwrap().sequence, n, "{what}");
        }
        let unknown = EventId::new(1_700_000_000_000, [7; 10]);
        assert_eq!(ledger.find(&unknown).unwrap(), None, "{what}");
    };
    check("with");
    for entry in fs::read_dir(path.join("index")).unwrap() {
        let file = entry.unwrap().path();
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    check("damaged");
    fs::remove_dir_all(path.join("index")).unwrap();
    check("without");
    assert_eq!(verified(&path), size);
}
