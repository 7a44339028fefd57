//! The mirror: its lines are the export's, no entry is lost or stands twice, and every file verifies by itself, whatever
//! fails whenever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Cursor, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sigchain::chainfile::Form;
use sigchain::checkpoint::Seal;
use sigchain::digest::Digest;
use sigchain::disk::{self, File, Folder, Lenience, code_of};
use sigchain::event::Event;
use sigchain::fault::Code;
use sigchain::frame::Frame;
use sigchain::jsonl;
use sigchain::key::Role;
use sigchain::mirror::{ASIDE, CURRENT, Mirror, Mirrored, Mirroring, Options};
use sigchain::payload::{Part, Payload};
use sigchain::reserved::{KeyRecord, Reserved};
use sigchain::store::Frames;
use sigchain::tree::Nodes;
use sigchain::verify::{Anchors, Report, Verdict, Verifier};
use tempfile::TempDir;

use crate::fuzz_corpora::second;
use crate::ledger::support::{event, ledger, until};
use crate::support::{Build, Draft, Random, anchored_to, checkpoint_key, event_id, key, verify};

fn byte(number: u64) -> u8 {
    u8::try_from(number).unwrap()
}

/// A ledger that has as much as it is told to have.
#[derive(Debug)]
struct Original {
    chain_id: Digest,
    /// Sequence, `left` and body.
    frames: Vec<(u64, u16, Vec<u8>)>,
    /// What stands in the mirror.
    lines: Vec<String>,
    leaves: Vec<Digest>,
    seals: Vec<Seal>,
    size: AtomicU64,
}

impl Original {
    fn new(build: &Build, seals: Vec<Seal>) -> Arc<Self> {
        let (mut frames, mut lines) = (Vec::new(), Vec::new());
        for frame in &build.frames {
            let Frame::Entry(written) = frame else { continue };
            let fields = &written.fields;
            frames.push((fields.sequence, written.left, frame.body()));
            lines.push(jsonl::encode(frame));
        }
        let size = AtomicU64::new(u64::try_from(frames.len()).unwrap());
        let (chain_id, leaves) = (build.chain_id, build.leaves.clone());
        Arc::new(Self { chain_id, frames, lines, leaves, seals, size })
    }

    fn total(&self) -> u64 {
        u64::try_from(self.frames.len()).unwrap()
    }

    /// Has so many entries, and the rest of the last one's batch: a ledger makes batches durable as a whole.
    fn set(&self, size: u64) -> u64 {
        let rest = usize::try_from(size - 1).unwrap();
        let size = size + u64::from(self.frames[rest].1);
        self.size.store(size, Ordering::SeqCst);
        size
    }
}

impl Mirrored for Original {
    fn chain_id(&self) -> Digest {
        self.chain_id
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size.load(Ordering::SeqCst))
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        let end = first + u64::try_from(count).unwrap();
        assert!(end <= self.size().unwrap(), "asked for what is not durable: {first} to {end}");
        let first = usize::try_from(first).unwrap();
        frames.clear();
        for (sequence, left, body) in &self.frames[first..first + count] {
            frames.push(*sequence, *left, body);
            for seal in self.seals.iter().filter(|seal| seal.state.size == sequence + 1) {
                frames.push_seal(seal.state.size, &Frame::Seal(seal.clone()).body());
            }
        }
        Ok(())
    }

    fn hashes(&self, first: u64, count: u64) -> io::Result<Vec<Digest>> {
        assert!(first + count <= self.size().unwrap());
        let mut nodes = Nodes::new();
        self.leaves.iter().for_each(|leaf| nodes.push(*leaf));
        let leaf = |at| self.leaves.get(usize::try_from(at).unwrap()).copied();
        Ok(nodes.hashes(first, count, &leaf).unwrap())
    }
}

/// A chain with batches, keys that come and go, and payloads of all kinds; and a seal here and there.
fn varied(entries: u64) -> Arc<Original> {
    let (mut build, mut seals) = (Build::new(), Vec::new());
    let mut random = Random::new(7);
    while build.size() < entries {
        let at = build.size();
        match random.next() % 8 {
            0 => {
                for left in [2, 1, 0] {
                    build.push(Draft::new(Event::new("agent:a", "test.call").unwrap()).left(left));
                }
            }
            1 if at < 200 => {
                let new = key(u8::try_from(50 + at).unwrap());
                let record = KeyRecord::new(&new, Role::Entry, &build.chain_id, event_id(at));
                build.reserved(&Reserved::Enroll { approvals: Vec::new(), key: record });
            }
            2 => {
                let bytes: Vec<u8> = (0..random.next() % 90).map(byte).collect();
                let payload = Payload::new("application/octet-stream", bytes).unwrap();
                build.push(Draft::new(Event::new("\u{e9}\"\\", "a").unwrap().payload(payload)));
            }
            3 => {
                let fields: [(&str, &str, &[u8]); 2] =
                    [("a", "text/plain", b"\t\"\xc3\xa9"), ("b", "", b"\x00")];
                let payload = Payload::by_field(fields).unwrap();
                build.push(Draft::new(Event::new("b", "a.b").unwrap().payload(payload)));
            }
            _ => drop(build.event()),
        }
        if random.next().is_multiple_of(9) {
            seals.push(Seal::sign(build.seal_state(), &build.chain_id, &checkpoint_key()));
        }
    }
    Original::new(&build, seals)
}

/// A folder of its own.
struct Place {
    _root: TempDir,
    path: PathBuf,
    folder: Arc<dyn Folder>,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = root.path().join("mirror");
        let folder = disk::create(&path, Lenience { network: true, memory: true }).unwrap();
        Self { _root: root, path, folder }
    }

    fn open(&self, of: &Arc<Original>, bytes: u64) -> io::Result<Mirror> {
        Mirror::open(self.folder.clone(), of.clone(), Options::new().file_bytes(bytes))
    }

    /// Names and contents of all files, in order of their names: those that have ended, then the current one, then others.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(&self.path)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn current(&self) -> PathBuf {
        self.path.join(CURRENT)
    }
}

fn write_all(mirror: &mut Mirror) {
    while !mirror.write().unwrap() {}
}

fn run(file: &[u8], anchors: Anchors) -> Report {
    Verifier::new().threads(1).anchored(anchors).run(Cursor::new(file)).unwrap()
}

fn is_mirror(name: &str) -> bool {
    name.starts_with("chain") && Path::new(name).extension().is_some_and(|x| x == "jsonl")
}

/// Every file verifies by itself, and together they hold each entry once, as it is.
fn check(place: &Place, of: &Original, size: u64) {
    let mut next = 0;
    for (name, bytes) in place.files().into_iter().filter(|(name, _)| is_mirror(name)) {
        let report = run(&bytes, anchored_to(of.chain_id));
        assert!(report.faults.is_empty(), "{name}: {:?}", report.faults);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with('\n'));
        if let Some(range) = name.strip_prefix("chain-") {
            assert_eq!(range[..16].parse(), Ok(next), "{name}");
        }
        let mut last = 0;
        for line in text.split_inclusive('\n') {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(sequence) = value["sequence"].as_u64() else { continue };
            assert_eq!(line, of.lines[usize::try_from(sequence).unwrap()], "{name}");
            // Those before it that may not be elided stand in it too.
            if sequence >= next {
                assert_eq!(sequence, next, "{name}");
                next += 1;
            }
            last = sequence;
        }
        if let Some(range) = name.strip_prefix("chain-") {
            assert_eq!(range[17..33].parse(), Ok(last), "{name}");
        }
    }
    assert_eq!(next, size);
}

#[test]
fn lines_are_those_of_the_export() {
    let ledger = ledger();
    let mut random = Random::new(3);
    for number in 0..300 {
        let bytes: Vec<u8> = (0..random.next() % 70).map(|_| byte(random.next() % 128)).collect();
        let payload = match number % 4 {
            0 => Payload::new("application/octet-stream", bytes).unwrap(),
            1 => Payload::new("text/plain", format!("\u{85}\u{1f600}\"{number}\n")).unwrap(),
            2 => Payload::by_field([("a", "text/plain", &bytes[..]), ("b", "", b"x")]).unwrap(),
            _ => Payload::empty(),
        };
        ledger.append(event(number).payload(payload)).unwrap();
    }
    let place = Place::new();
    let mut mirror =
        Mirror::open(place.folder.clone(), Arc::new(ledger.clone()), Options::new()).unwrap();
    write_all(&mut mirror);
    assert_eq!(mirror.next(), 301);
    let mut export = ledger.export(Vec::new(), Form::JsonLines).unwrap();
    let found = fs::read(place.current()).unwrap();
    // All but the last line, which is the trailer.
    let trailer = export[..export.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    export.truncate(trailer);
    assert!(found == export);
    let report = run(&found, anchored_to(sigchain::ledger::Ledger::chain_id(&ledger)));
    assert_eq!((report.verdict(), report.entries), (Verdict::Intact, 301));
}

#[test]
fn a_ledger_that_rotates_gives_files_that_verify() {
    let ledger = ledger();
    let place = Place::new();
    let options = Options::new().file_bytes(20_000);
    let mut mirror = Mirror::open(place.folder.clone(), Arc::new(ledger.clone()), options).unwrap();
    for number in 0..1000 {
        drop(ledger.submit(event(number)).unwrap());
        if number % 170 == 0 {
            ledger.append(event(number + 10_000)).unwrap();
            write_all(&mut mirror);
        }
    }
    ledger.close(Duration::from_secs(60)).unwrap();
    write_all(&mut mirror);
    let files = place.files();
    assert!(files.len() > 20, "{}", files.len());
    let mut entries = 0;
    for (name, bytes) in files {
        let report = run(&bytes, anchored_to(sigchain::ledger::Ledger::chain_id(&ledger)));
        assert!(report.faults.is_empty(), "{name}: {:?}", report.faults);
        entries = entries.max(report.entries);
    }
    assert_eq!(mirror.next(), ledger.head().sequence + 1);
}

#[test]
fn files_of_every_size_verify_and_hold_each_entry_once() {
    let of = varied(60);
    let line = of.lines.iter().map(String::len).max().unwrap();
    let sizes = (0..24).map(|n| 1 + n * line / 3).chain([1 << 20]);
    for (seed, bytes) in (0u64..).zip(sizes) {
        let place = Place::new();
        let mut random = Random::new(seed);
        of.set(1);
        let mut mirror = place.open(&of, u64::try_from(bytes).unwrap()).unwrap();
        let mut size = 1;
        loop {
            write_all(&mut mirror);
            if random.next().is_multiple_of(3) {
                mirror = place.open(&of, u64::try_from(bytes).unwrap()).unwrap();
            }
            assert_eq!(mirror.next(), size);
            if size == of.total() {
                break;
            }
            size = of.set((size + 1 + random.next() % 9).min(of.total()));
        }
        assert_eq!(mirror.set_aside(), None);
        check(&place, &of, size);
        if bytes == 1 << 20 {
            assert_eq!(place.files().len(), 1);
        }
    }
}

/// [S-gap-3] With a seal in it a file of the mirror is vouched for; without one it is not.
#[test]
fn a_seal_vouches_for_a_file() {
    let of = varied(80);
    let place = Place::new();
    write_all(&mut place.open(&of, 4000).unwrap());
    check(&place, &of, of.total());
    let (mut sealed, mut unsealed) = (0, 0);
    for (name, bytes) in place.files() {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let gap = text.find("{\"frame\":\"gap\"");
        let has_seal = text.contains("{\"frame\":\"seal\"");
        let verdict = run(&bytes, anchored_to(of.chain_id)).verdict();
        let report = verify(&bytes, &anchored_to(of.chain_id));
        second::compare(&report, &bytes, &anchored_to(of.chain_id)).unwrap();
        if gap.is_none() || has_seal {
            assert_eq!(verdict, Verdict::Intact, "{name}");
            sealed += 1;
        } else {
            assert_eq!(verdict, Verdict::Unvouched, "{name}");
            unsealed += 1;
        }
    }
    assert!(sealed > 2 && unsealed > 0, "{sealed} {unsealed}");
}

/// What goes wrong at one of the steps that change something on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nothing of it happens.
    Fails,
    /// Part of a write happens.
    FailsShort,
    /// It happens, and an error is given all the same.
    FailsLate,
    /// As `Fails`, and the process ends.
    Dies,
    /// As `FailsShort`, and the process ends.
    DiesShort,
    /// It happens, and the process ends.
    DiesLate,
}

impl Way {
    const ALL: [Self; 6] = [
        Self::Fails,
        Self::FailsShort,
        Self::FailsLate,
        Self::Dies,
        Self::DiesShort,
        Self::DiesLate,
    ];

    fn dies(self) -> bool {
        matches!(self, Self::Dies | Self::DiesShort | Self::DiesLate)
    }
}

#[derive(Debug)]
struct Plan {
    steps: AtomicUsize,
    at: usize,
    way: Way,
    dead: AtomicBool,
    log: Mutex<Vec<String>>,
}

impl Plan {
    fn new(at: usize, way: Way) -> Arc<Self> {
        let (steps, dead) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { steps, at, way, dead, log: Mutex::default() })
    }

    /// Nothing goes wrong.
    fn none() -> Arc<Self> {
        Self::new(usize::MAX, Way::Fails)
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead.load(Ordering::SeqCst) { Err(io::Error::other("dead")) } else { Ok(()) }
    }

    fn step(
        &self,
        what: &str,
        whole: impl FnOnce() -> io::Result<()>,
        part: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.alive()?;
        self.log.lock().unwrap().push(what.to_owned());
        if self.steps.fetch_add(1, Ordering::SeqCst) != self.at {
            return whole();
        }
        self.dead.store(self.way.dies(), Ordering::SeqCst);
        match self.way {
            Way::Fails | Way::Dies => {}
            Way::FailsShort | Way::DiesShort => part()?,
            Way::FailsLate | Way::DiesLate => whole()?,
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, "the plan says so"))
    }

    fn came(&self) -> bool {
        self.steps.load(Ordering::SeqCst) > self.at
    }
}

#[derive(Debug)]
struct Unsteady(Arc<dyn Folder>, Arc<Plan>);

#[derive(Debug)]
struct UnsteadyFile(Box<dyn File>, Arc<Plan>);

impl Folder for Unsteady {
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut made = None;
        self.1.step(
            &format!("create {name}"),
            || self.0.create(name).map(|file| made = Some(file)),
            || Ok(()),
        )?;
        Ok(Box::new(UnsteadyFile(made.unwrap(), self.1.clone())))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Box<dyn File>> {
        self.1.alive()?;
        Ok(Box::new(UnsteadyFile(self.0.open(name, writable)?, self.1.clone())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.1.step(&format!("rename {from} {to}"), || self.0.rename(from, to), || Ok(()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.1.step(&format!("remove {name}"), || self.0.remove(name), || Ok(()))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.1.alive()?;
        self.0.names()
    }

    fn folder(&self, name: &str, create: bool) -> io::Result<Arc<dyn Folder>> {
        self.0.folder(name, create)
    }

    fn sync(&self) -> io::Result<()> {
        // No power is cut here, and a disk that is asked a hundred thousand times is what the test would wait for.
        self.1.step("sync folder", || Ok(()), || Ok(()))
    }

    fn lock(&self) -> io::Result<bool> {
        self.0.lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }

    fn room(&self) -> io::Result<u64> {
        self.0.room()
    }
}

impl File for UnsteadyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Nothing that somebody may have read is written over.
        assert!(offset >= self.0.len().unwrap(), "written over at {offset}");
        let part = &bytes[..bytes.len() * 2 / 3];
        self.1.step("write", || self.0.write_at(bytes, offset), || self.0.write_at(part, offset))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.alive()?;
        self.0.read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.step("sync", || Ok(()), || Ok(()))
    }

    fn len(&self) -> io::Result<u64> {
        self.1.alive()?;
        self.0.len()
    }
}

/// Grows the ledger a few entries at a time and writes the mirror after each. Ends early if the process dies.
fn grow(
    place: &Place,
    of: &Arc<Original>,
    plan: &Arc<Plan>,
    bytes: u64,
    seed: u64,
) -> Option<Mirror> {
    let folder = Arc::new(Unsteady(place.folder.clone(), plan.clone()));
    let mut mirror = Mirror::open(folder, of.clone(), Options::new().file_bytes(bytes)).unwrap();
    let mut random = Random::new(seed);
    let mut size = of.size().unwrap();
    loop {
        for tries in 0.. {
            assert!(tries < 1000, "it does not go on");
            match mirror.write() {
                Ok(true) => break,
                Err(_) if plan.dead.load(Ordering::SeqCst) => return None,
                Ok(false) | Err(_) => {}
            }
        }
        if size == of.total() {
            return Some(mirror);
        }
        size = of.set((size + 1 + random.next() % 12).min(of.total()));
    }
}

/// What others may have read by now: the files, by their inodes.
fn seen(place: &Place) -> Vec<(u64, Vec<u8>)> {
    let files = place.files().into_iter().filter(|(name, _)| is_mirror(name));
    files.map(|(name, bytes)| (fs::metadata(place.path.join(name)).unwrap().ino(), bytes)).collect()
}

#[test]
fn whatever_fails_at_any_step_no_entry_is_lost_or_stands_twice() {
    let mut cases = 0;
    for (entries, bytes) in [(14, 1), (40, 2500), (40, 6000)] {
        let of = varied(entries);
        for way in Way::ALL {
            for at in 0.. {
                let place = Place::new();
                let plan = Plan::new(at, way);
                of.set(1);
                let mirror = grow(&place, &of, &plan, bytes, bytes);
                if !plan.came() {
                    break;
                }
                cases += 1;
                if mirror.is_none() {
                    let before = seen(&place);
                    for (name, bytes) in place.files().iter().filter(|(name, _)| is_mirror(name)) {
                        let faults = run(bytes, Anchors::new()).faults;
                        let is_end = |code| matches!(code, Code::FrameCut | Code::Batch);
                        assert!(
                            faults.iter().all(|fault| is_end(fault.code)),
                            "{name}: {faults:?}"
                        );
                        assert!(name == CURRENT || faults.is_empty());
                    }
                    let plan = Plan::none();
                    let mirror = grow(&place, &of, &plan, bytes, bytes).unwrap();
                    assert_eq!(mirror.set_aside(), None, "{way:?} at {at}");
                    let after = seen(&place);
                    for (inode, bytes) in before {
                        let now = after.iter().find(|(other, _)| *other == inode).unwrap();
                        assert!(now.1.starts_with(&bytes), "taken back: {way:?} at {at}");
                    }
                }
                check(&place, &of, of.total());
            }
        }
    }
    assert!(cases > 500, "{cases}");
}

/// What a name stands for is durable before it has that name.
#[test]
fn a_rotation_makes_durable_before_it_names() {
    let of = varied(30);
    let (place, plan) = (Place::new(), Plan::none());
    of.set(1);
    grow(&place, &of, &plan, 4000, 1).unwrap();
    let log = plan.log.lock().unwrap();
    let mut rotations = 0;
    for at in (0..log.len()).filter(|at| log[*at].starts_with("rename chain.jsonl")) {
        let before = ["write", "sync", "remove chain.new", "create chain.new", "write", "sync"];
        assert!(log[at - 6..at] == before, "{:?}", &log[at - 6..at]);
        assert!(log[at + 1..at + 3] == ["rename chain.new chain.jsonl", "sync folder"]);
        rotations += 1;
    }
    assert!(rotations > 2, "{rotations}");
}

/// Payloads that are larger than what is gathered at once, and a batch of them.
#[test]
fn large_payloads() {
    let mut build = Build::new();
    for left in [0, 2, 1, 0, 0] {
        let payload = Payload::new("text/plain", vec![b'x'; 5 << 20]).unwrap();
        build.push(Draft::new(Event::new("a", "b").unwrap().payload(payload)).left(left));
    }
    build.events(3);
    let of = Original::new(&build, Vec::new());
    for bytes in [1, 1 << 20] {
        let place = Place::new();
        write_all(&mut place.open(&of, bytes).unwrap());
        check(&place, &of, of.total());
        let batch = place
            .files()
            .into_iter()
            .any(|(name, _)| name == format!("chain-{:016}-{:016}.jsonl", 2, 4));
        assert!(batch);
    }
}

#[test]
fn killed_again_and_again() {
    let of = varied(60);
    for seed in 0..150 {
        let (place, mut random) = (Place::new(), Random::new(seed));
        of.set(1);
        let bytes = 1 + random.next() % 8000;
        let mut deaths = 0;
        while deaths < 40 {
            let way = Way::ALL[usize::try_from(random.next() % 6).unwrap()];
            let at = usize::try_from(random.next() % 25).unwrap();
            if grow(&place, &of, &Plan::new(at, way), bytes, random.next()).is_some() {
                break;
            }
            deaths += 1;
        }
        grow(&place, &of, &Plan::none(), bytes, 0).unwrap();
        check(&place, &of, of.total());
    }
}

/// Cuts the last line everywhere.
#[test]
fn a_cut_line_is_completed() {
    let of = varied(20);
    let place = Place::new();
    let mut mirror = place.open(&of, 1 << 20).unwrap();
    write_all(&mut mirror);
    let whole = fs::read(place.current()).unwrap();
    let start = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for cut in start..whole.len() {
        fs::OpenOptions::new()
            .write(true)
            .open(place.current())
            .unwrap()
            .set_len(u64::try_from(cut).unwrap())
            .unwrap();
        let inode = fs::metadata(place.current()).unwrap().ino();
        let mut mirror = place.open(&of, 1 << 20).unwrap();
        write_all(&mut mirror);
        assert!(fs::read(place.current()).unwrap() == whole);
        assert_eq!(fs::metadata(place.current()).unwrap().ino(), inode);
        assert_eq!(mirror.set_aside(), None);
    }
}

type Spoil = dyn Fn(&mut Vec<u8>);

/// What a power cut, an editor or logrotate's copytruncate leaves.
#[test]
fn what_cannot_be_gone_on_with_is_set_aside_and_written_anew() {
    let of = varied(60);
    let spoil: &[(&str, &Spoil)] = &[
        ("zeros behind the end", &|file| file.extend([0; 4096])),
        ("zeros in the midst", &|file| {
            let at = file.len() / 2;
            file[at..at + 600].fill(0);
        }),
        ("a line taken out", &|file| {
            let end = file[..file.len() - 1].iter().rposition(|b| *b == b'\n').unwrap();
            let start = file[..end].iter().rposition(|b| *b == b'\n').unwrap();
            file.drain(start..end);
        }),
        ("a foreign line", &|file| file.extend(b"hello\n")),
        ("another text behind the end", &|file| file.extend(b"{\"actor\":\"somebody else")),
        ("no header", &|file| drop(file.drain(..9))),
        ("emptied", &|file| file.clear()),
        ("only a header", &|file| {
            file.truncate(file.iter().position(|b| *b == b'\n').unwrap() + 1);
        }),
    ];
    for bytes in [1 << 20, 5000] {
        for (name, spoil) in spoil {
            for keep_past in [true, false] {
                let place = Place::new();
                of.set(50);
                write_all(&mut place.open(&of, bytes).unwrap());
                if !keep_past {
                    for (name, _) in place.files().iter().filter(|(name, _)| name.contains('-')) {
                        fs::remove_file(place.path.join(name)).unwrap();
                    }
                }
                let mut file = fs::read(place.current()).unwrap();
                spoil(&mut file);
                fs::write(place.current(), &file).unwrap();
                let size = of.set(60);
                let mut mirror = place.open(&of, bytes).unwrap();
                write_all(&mut mirror);
                assert!(mirror.set_aside().is_some(), "{name}");
                assert!(fs::read(place.path.join(ASIDE)).unwrap() == file, "{name}");
                if keep_past || bytes == 1 << 20 {
                    check(&place, &of, size);
                } else {
                    for (name, bytes) in place.files().iter().filter(|(name, _)| is_mirror(name)) {
                        assert!(run(bytes, Anchors::new()).faults.is_empty(), "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_emptied_or_moved_while_it_is_written() {
    let of = varied(60);
    let place = Place::new();
    of.set(20);
    let mut mirror = place.open(&of, 1 << 20).unwrap();
    write_all(&mut mirror);
    fs::OpenOptions::new().write(true).open(place.current()).unwrap().set_len(0).unwrap();
    let size = of.set(30);
    write_all(&mut mirror);
    assert!(mirror.set_aside().is_some());
    check(&place, &of, size);
    // Somebody else rotates it: what follows stands in that file until it is full.
    let mut mirror = place.open(&of, 20_000).unwrap();
    let moved = place.path.join("moved.jsonl");
    fs::rename(place.current(), &moved).unwrap();
    of.set(of.total());
    write_all(&mut mirror);
    let last = run(&fs::read(&moved).unwrap(), Anchors::new()).entries - 1;
    fs::rename(moved, place.path.join(format!("chain-{:016}-{last:016}.jsonl", 0))).unwrap();
    check(&place, &of, of.total());
    assert_eq!(mirror.next(), of.total());
}

/// A sync that failed may have dropped what it should have made durable, and the next would not say so.
#[test]
fn a_file_whose_sync_failed_is_written_anew() {
    let of = varied(60);
    let place = Place::new();
    let size = of.set(30);
    let mut mirror = place.open(&of, 1 << 20).unwrap();
    write_all(&mut mirror);
    let inode = fs::metadata(place.current()).unwrap().ino();
    let plan = Plan::new(0, Way::FailsLate);
    let folder = Arc::new(Unsteady(place.folder.clone(), plan));
    let mut mirror = Mirror::open(folder, of.clone(), Options::new()).unwrap();
    assert!(mirror.sync().is_err());
    write_all(&mut mirror);
    assert!(mirror.set_aside().unwrap().contains("durable"));
    assert_ne!(fs::metadata(place.current()).unwrap().ino(), inode);
    check(&place, &of, size);
}

#[test]
fn a_mirror_ahead_of_its_ledger_or_of_another_is_refused_and_left_alone() {
    let of = varied(60);
    let other = {
        let mut build = Build::new();
        build.events(70);
        Original::new(&build, Vec::new())
    };
    for bytes in [1, 3000, 1 << 20] {
        let place = Place::new();
        write_all(&mut place.open(&of, bytes).unwrap());
        let before = place.files();
        // Rolled back.
        let size = of.set(40);
        let error = place.open(&of, bytes).unwrap_err();
        assert_eq!(code_of(&error), "MIRROR_AHEAD");
        let text = error.to_string();
        let last = format!("entry {}", of.total() - 1);
        assert!(text.contains(&format!("{size} entries")) && text.contains(&last), "{text}");
        of.set(of.total());
        // Rolled back, and grown again otherwise: the two chains have one genesis.
        assert_eq!(other.chain_id, of.chain_id);
        let error = place.open(&other, bytes).unwrap_err();
        assert_eq!(code_of(&error), "MIRROR_AHEAD");
        // Of another chain.
        let genesis = crate::support::Genesis { salt: 9, ..Default::default() };
        let mut build = Build::genesis(&genesis);
        let third = Original::new(build.events(80), Vec::new());
        let error = place.open(&third, bytes).unwrap_err();
        assert_eq!(code_of(&error), "MIRROR_OTHER");
        assert!(error.to_string().contains(&of.chain_id.to_string()));
        assert!(place.files() == before);
    }
    // While it is open.
    let place = Place::new();
    let mut mirror = place.open(&of, 1 << 20).unwrap();
    write_all(&mut mirror);
    let before = place.files();
    of.set(30);
    assert_eq!(code_of(&mirror.write().unwrap_err()), "MIRROR_AHEAD");
    assert!(place.files() == before);
}

/// An erasure names the entry that says so, which may stand in another file: there it would be a fault.
#[test]
fn what_was_erased_is_withheld() {
    let mut build = Build::new();
    build.events(5);
    build.push(Draft::new(Event::new("a", "b").unwrap()).part(|part| *part = Part::Erased(30)));
    build.events(24);
    let erased = Reserved::Erased { detail: vec![0xa0], entries: vec![(6, 1)] };
    build.reserved(&erased);
    build.events(3);
    let of = Original::new(&build, Vec::new());
    for bytes in [1, 1 << 20] {
        let place = Place::new();
        write_all(&mut place.open(&of, bytes).unwrap());
        for (name, bytes) in place.files() {
            assert!(run(&bytes, Anchors::new()).faults.is_empty(), "{name}");
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("\"erased\":"));
            assert!(name != CURRENT || text.contains("\"event_type\":\"erasure.done\""));
        }
    }
}

/// Reads on in every file of the mirror, whatever it is called by now, as `tail -F` and log shippers do.
fn follow(place: &Place, stop: &AtomicBool) -> Vec<Vec<u8>> {
    let mut files: BTreeMap<u64, (fs::File, Vec<u8>)> = BTreeMap::new();
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        for entry in fs::read_dir(&place.path).unwrap().map(|entry| entry.unwrap()) {
            // A name may be gone, or be another file's, by the time that it is opened.
            let is_mirror = is_mirror(entry.file_name().to_str().unwrap());
            if is_mirror && let Ok(file) = fs::File::open(entry.path()) {
                let inode = file.metadata().unwrap().ino();
                files.entry(inode).or_insert((file, Vec::new()));
            }
        }
        for (file, seen) in files.values_mut() {
            file.read_to_end(seen).unwrap();
        }
        if stopping {
            return files.into_values().map(|(_, seen)| seen).collect();
        }
    }
}

#[test]
fn a_follower_sees_every_entry_in_whole_lines() {
    let of = varied(250);
    let mut deaths = 0;
    for seed in 0..5 {
        let (place, stop) = (Place::new(), AtomicBool::new(false));
        of.set(1);
        let files = std::thread::scope(|scope| {
            let follower = scope.spawn(|| follow(&place, &stop));
            let mut random = Random::new(seed);
            loop {
                let way = Way::ALL[usize::try_from(random.next() % 6).unwrap()];
                let at = usize::try_from(random.next() % 40).unwrap();
                if grow(&place, &of, &Plan::new(at, way), 30_000, seed).is_some() {
                    break;
                }
                deaths += 1;
                // Time to see the end of a file that is cut.
                std::thread::sleep(Duration::from_millis(2));
            }
            stop.store(true, Ordering::SeqCst);
            follower.join().unwrap()
        });
        let mut found = BTreeSet::new();
        for file in &files {
            for line in std::str::from_utf8(file).unwrap().split_inclusive('\n') {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                let Some(sequence) = value["sequence"].as_u64() else { continue };
                assert_eq!(line, of.lines[usize::try_from(sequence).unwrap()]);
                found.insert(sequence);
            }
        }
        assert!(found.into_iter().eq(0..of.total()));
        assert_eq!(files.len(), place.files().len());
    }
    assert!(deaths > 5, "{deaths}");
}

#[test]
fn files_are_closed_to_others() {
    let of = varied(30);
    let place = Place::new();
    write_all(&mut place.open(&of, 1).unwrap());
    for (name, _) in place.files() {
        let mode = fs::metadata(place.path.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // A file that others may read is not gone on with.
    fs::set_permissions(place.current(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(code_of(&place.open(&of, 1).unwrap_err()), "FS_PERMISSION");
}

fn start(place: &Place, plan: &Arc<Plan>, of: Arc<dyn Mirrored>) -> Mirroring {
    let folder = Arc::new(Unsteady(place.folder.clone(), plan.clone()));
    let open = move || Mirror::open(folder.clone(), of.clone(), Options::new().file_bytes(50_000));
    Mirroring::start(open, |_, _| ()).unwrap()
}

#[test]
fn a_thread_keeps_up_and_catches_up_at_the_end() {
    let (ledger, place) = (ledger(), Place::new());
    let mirroring = start(&place, &Plan::none(), Arc::new(ledger.clone()));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0..200 {
                    ledger.append(event(thread * 1000 + n)).unwrap();
                }
            });
        }
    });
    until("it looks by itself", || mirroring.progress().next == 801);
    for n in 0..100 {
        ledger.append(event(9000 + n)).unwrap();
    }
    ledger.close(Duration::from_secs(10)).unwrap();
    assert_eq!(mirroring.close(Duration::from_secs(10)).unwrap(), 901);
    for (name, bytes) in place.files() {
        assert!(run(&bytes, Anchors::new()).faults.is_empty(), "{name}");
    }
}

#[test]
fn trouble_is_told_appends_go_on_and_so_does_the_mirror_when_it_is_over() {
    let (ledger, place) = (ledger(), Place::new());
    let plan = Plan::none();
    let mirroring = start(&place, &plan, Arc::new(ledger.clone()));
    until("it begins", || mirroring.progress().next == 1);
    plan.dead.store(true, Ordering::SeqCst);
    for n in 0..50 {
        ledger.append(event(n)).unwrap();
    }
    until("it is told", || mirroring.progress().trouble.is_some());
    assert_eq!(
        (mirroring.progress().next, mirroring.progress().trouble.as_deref()),
        (1, Some("dead"))
    );
    plan.dead.store(false, Ordering::SeqCst);
    until("it goes on", || mirroring.progress().next == 51);
    assert_eq!(mirroring.progress().trouble, None);
    // And again, until it is given up.
    plan.dead.store(true, Ordering::SeqCst);
    ledger.append(event(60)).unwrap();
    let began = Instant::now();
    let error = mirroring.close(Duration::from_millis(300)).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("found 51: dead"), "{error}");
}

#[derive(Debug)]
struct Panics;

impl Mirrored for Panics {
    fn chain_id(&self) -> Digest {
        Digest::ZERO
    }

    fn size(&self) -> io::Result<u64> {
        std::panic::resume_unwind(Box::new("the test says so"))
    }

    fn read(&self, _: u64, _: usize, _: &mut Frames) -> io::Result<()> {
        Ok(())
    }

    fn hashes(&self, _: u64, _: u64) -> io::Result<Vec<Digest>> {
        Ok(Vec::new())
    }
}

#[test]
fn nobody_waits_for_a_thread_that_panicked() {
    let place = Place::new();
    let mirroring = start(&place, &Plan::none(), Arc::new(Panics));
    let error = mirroring.close(Duration::from_secs(60)).unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}
