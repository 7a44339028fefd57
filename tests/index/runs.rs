//! Which sequence an event has, over many segments.

use std::collections::BTreeMap;
use std::io;

use rand::RngExt as _;
use rand::rngs::StdRng;
use sigchain::id::EventId;
use sigchain::index::{Runs, Source};

use crate::index::disk::Disk;
use crate::index::{Owned, chain, id_at, random, real};

/// Segments of random ids, and the sequence that each id has.
struct Oracle {
    segments: Vec<Owned>,
    places: BTreeMap<EventId, u64>,
    millis: u64,
}

impl Oracle {
    fn new() -> Self {
        Self { segments: Vec::new(), places: BTreeMap::new(), millis: 1_795_150_800_000 }
    }

    /// Most ids are of now; some are of any earlier time, some differ from another only in their last bits, some were there before.
    fn id(&mut self, random: &mut StdRng) -> EventId {
        self.millis += random.random_range(0..2);
        let known = self.segments.last().and_then(|s| s.ids.last().copied());
        match (random.random_range(0..20), known) {
            (0, _) => id_at(random.random_range(0..self.millis), random),
            (1, Some(known)) => {
                let mut bytes = *known.as_bytes();
                bytes[15] ^= random.random_range(1..=255u8);
                EventId::from_bytes(bytes).unwrap()
            }
            (2, Some(known)) => known,
            _ => id_at(self.millis, random),
        }
    }

    fn grow(&mut self, count: usize, random: &mut StdRng) -> Owned {
        let ids: Vec<_> = (0..count).map(|_| self.id(random)).collect();
        self.add(ids)
    }

    fn add(&mut self, ids: Vec<EventId>) -> Owned {
        let ordinal = u64::try_from(self.segments.len()).unwrap();
        let first = self.segments.last().map_or(0, |s| s.source.first + s.source.count);
        for (id, sequence) in ids.iter().zip(first..) {
            self.places.entry(*id).or_insert(sequence);
        }
        let segment = Owned::new(ordinal, first, ids);
        self.segments.push(segment.clone());
        segment
    }

    fn sources(&self) -> Vec<Source> {
        self.segments.iter().map(|segment| segment.source).collect()
    }

    fn open(&self, disk: &Disk) -> Runs {
        Runs::open(disk.folder(), chain(), &self.sources()).unwrap()
    }

    /// Each id has its lowest sequence, others have none.
    fn agrees(&self, runs: &Runs) {
        for (id, sequence) in &self.places {
            assert_eq!(runs.find(id).unwrap(), Some(*sequence), "{id}");
            let mut bytes = *id.as_bytes();
            bytes[15] ^= 1;
            let near = EventId::from_bytes(bytes).unwrap();
            assert_eq!(runs.find(&near).unwrap(), self.places.get(&near).copied(), "{near}");
        }
    }

    /// Each id has its lowest sequence, or an error says that it is not known. Says how many were found.
    fn right_or_nothing(&self, runs: &Runs) -> usize {
        let mut right = 0;
        for (id, sequence) in &self.places {
            match runs.find(id) {
                Ok(found) => {
                    assert_eq!(found, Some(*sequence), "a wrong sequence of {id}");
                    right += 1;
                }
                Err(error) => {
                    let kinds = [io::ErrorKind::InvalidData, io::ErrorKind::NotFound];
                    assert!(kinds.contains(&error.kind()), "{error}");
                }
            }
        }
        right
    }

    /// Adds what is missing and merges until there is nothing to merge, as the ledger does.
    fn mend(&self, runs: &Runs) -> u64 {
        let mut added = 0;
        if !runs.check().unwrap() {
            assert!(!runs.missing().is_empty());
        }
        for ordinal in runs.missing().into_iter().flatten() {
            runs.add(&self.segments[usize::try_from(ordinal).unwrap()].content()).unwrap();
            added += 1;
        }
        while runs.merge_step().unwrap() {}
        runs.sweep().unwrap();
        assert!(runs.missing().is_empty());
        added
    }
}

fn missing(runs: &Runs) -> Vec<u64> {
    runs.missing().into_iter().flatten().collect()
}

/// The names of the runs of so many segments when nothing is left to merge.
fn merged(segments: u64) -> Vec<String> {
    let (mut names, mut first) = (Vec::new(), 0);
    while first < segments {
        let mut size = 1;
        while first + size * 8 <= segments && first % (size * 8) == 0 {
            size *= 8;
        }
        names.push(format!("ids-{first:010}-{:010}", first + size - 1));
        first += size;
    }
    names
}

#[test]
fn random_runs_agree_with_a_map() {
    let mut random = random(3);
    for round in 0..4 {
        let (disk, mut oracle) = (Disk::new(), Oracle::new());
        let mut runs = oracle.open(&disk);
        for n in 0..80 {
            let count = if random.random_bool(0.1) { 0 } else { random.random_range(0..60) };
            let segment = oracle.grow(count, &mut random);
            runs.add(&segment.content()).unwrap();
            if round % 2 == 0 || random.random_bool(0.3) {
                runs.merge_step().unwrap();
            }
            if random.random_bool(0.1) {
                runs = oracle.open(&disk);
                assert!(runs.missing().is_empty());
            }
            if n % 26 == 0 {
                oracle.agrees(&runs);
            }
        }
        while runs.merge_step().unwrap() {}
        oracle.agrees(&runs);
        assert!(runs.check().unwrap());
        assert_eq!(disk.file_names(), merged(80));
        oracle.agrees(&oracle.open(&disk));
    }
}

/// The shapes at which a leaf, a node or a level is just full.
#[test]
fn every_shape_of_a_run_finds_all() {
    let (mut random, folder) = (random(4), real("shapes"));
    for count in [0, 1, 169, 170, 171, 340, 43_349, 43_350, 43_351, 43_520, 43_521, 100_000] {
        let (disk, mut oracle) = (Disk::new(), Oracle::new());
        let ids = (0..count).map(|n| id_at(n / 3, &mut random)).collect();
        let segment = oracle.add(ids);
        let runs = oracle.open(&disk);
        assert_eq!(missing(&runs), [0]);
        runs.add(&segment.content()).unwrap();
        // Each, or of many one of each seventh: that goes through all places of a leaf.
        let step = if count > 1000 { 7 } else { 1 };
        segment.ids.iter().step_by(step).for_each(|id| {
            assert_eq!(runs.find(id).unwrap(), Some(oracle.places[id]));
        });
        assert!(runs.check().unwrap());
        let before = disk.reads();
        for segment_id in segment.ids.iter().step_by(97) {
            runs.find(segment_id).unwrap();
        }
        let levels = [0, 1, 171, 43_351].iter().filter(|least| count >= **least).count() - 1;
        let finds = segment.ids.len().div_ceil(97);
        assert_eq!(disk.reads() - before, u64::try_from(finds * levels).unwrap(), "{count} ids");
        // The same from the machine's own files.
        let runs = Runs::open(folder.clone(), chain(), &[]).unwrap();
        runs.add(&segment.content()).unwrap();
        let runs = Runs::open(folder.clone(), chain(), &oracle.sources()).unwrap();
        assert!(runs.missing().is_empty() && runs.check().unwrap());
        segment.ids.iter().step_by(50).for_each(|id| {
            assert_eq!(runs.find(id).unwrap(), Some(oracle.places[id]));
        });
        folder.remove("ids-0000000000-0000000000").unwrap();
    }
}

#[test]
fn an_id_that_fills_leaves_has_its_lowest_sequence() {
    let (disk, mut oracle, mut random) = (Disk::new(), Oracle::new(), random(5));
    let same = id_at(50, &mut random);
    for count in [500, 3, 700, 0, 1, 1, 1, 1] {
        let mut ids: Vec<_> = (0..200).map(|n| id_at(n, &mut random)).collect();
        ids.splice(100..100, std::iter::repeat_n(same, count));
        oracle.add(ids);
    }
    let runs = oracle.open(&disk);
    assert_eq!(oracle.mend(&runs), 8);
    assert_eq!(disk.file_names(), ["ids-0000000000-0000000007"]);
    assert_eq!(runs.find(&same).unwrap(), Some(100));
    oracle.agrees(&runs);
}

#[test]
fn as_long_as_a_segment_is_missing_there_is_no_answer() {
    let (disk, mut oracle, mut random) = (Disk::new(), Oracle::new(), random(6));
    (0..19).for_each(|_| drop(oracle.grow(20, &mut random)));
    oracle.mend(&oracle.open(&disk));
    disk.set("ids-0000000016-0000000016", b"");
    disk.set("something else", b"");
    let runs = oracle.open(&disk);
    assert_eq!(missing(&runs), [16]);
    assert_eq!(oracle.right_or_nothing(&runs), 0);
    assert_eq!(oracle.mend(&runs), 1);
    oracle.agrees(&runs);
    assert!(disk.file_names().contains(&"something else".to_owned()));

    // Files of other segments, of another chain, of fewer segments.
    let mut other = oracle.sources();
    other[3].length += 1;
    let runs = Runs::open(disk.folder(), chain(), &other).unwrap();
    assert!(missing(&runs).into_iter().eq(0..8));
    let runs =
        Runs::open(disk.folder(), sigchain::digest::Digest::ZERO, &oracle.sources()).unwrap();
    assert!(missing(&runs).into_iter().eq(0..19));
    let runs = Runs::open(disk.folder(), chain(), &oracle.sources()[..17]).unwrap();
    assert!(runs.missing().is_empty());
    runs.sweep().unwrap();
    assert!(!disk.file_names().contains(&"ids-0000000017-0000000017".to_owned()));
    let short = Owned { ids: Vec::new(), ..oracle.segments[17].clone() };
    assert!(runs.add(&short.content()).is_err());
}

/// Of a run with a node above its leaves, each bit; each is in its head, a leaf or the node.
#[test]
fn every_flipped_bit_of_a_run_is_seen() {
    const NAME: &str = "ids-0000000000-0000000000";
    let (disk, mut oracle, mut random) = (Disk::new(), Oracle::new(), random(7));
    let segment = oracle.add((0..171).map(|n| id_at(n, &mut random)).collect());
    oracle.open(&disk).add(&segment.content()).unwrap();
    let whole = disk.get(NAME);
    assert_eq!(whole.len(), 4 * 4096);
    // Where a flip shows: everywhere, in the first leaf, in the second, everywhere.
    let probes = [[0, 170], [0, 0], [170, 170], [0, 170]].map(|at| at.map(|at| segment.ids[at]));
    let mut bytes = whole.clone();
    for bit in 0..whole.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.set(NAME, &bytes);
        let runs = oracle.open(&disk);
        for id in probes[bit / 8 / 4096] {
            assert!(runs.find(&id).is_err(), "bit {bit}");
        }
        if bit % 997 == 0 {
            assert!(oracle.right_or_nothing(&runs) <= 170);
            assert_eq!(runs.check().unwrap(), bit < 4096 * 8);
            assert_eq!(missing(&runs), [0]);
            oracle.mend(&runs);
            oracle.agrees(&runs);
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.settle();
    }
}

#[test]
fn every_cut_of_a_run_is_seen() {
    const NAME: &str = "ids-0000000000-0000000000";
    let (disk, mut oracle, mut random) = (Disk::new(), Oracle::new(), random(8));
    let segment = oracle.add((0..171).map(|n| id_at(n, &mut random)).collect());
    oracle.open(&disk).add(&segment.content()).unwrap();
    let whole = disk.get(NAME);
    for length in (0..whole.len()).chain([whole.len() + 1, whole.len() + 4096]) {
        let mut bytes = whole.clone();
        bytes.resize(length, 0);
        disk.set(NAME, &bytes);
        assert_eq!(missing(&oracle.open(&disk)), [0], "{length} bytes");
        disk.settle();
    }
}

/// Steps of adding the last of 64 segments, and of the merges that it leads to; each fails once, or everything from it on.
#[test]
fn a_crash_at_any_step_loses_nothing() {
    let (base, mut oracle, mut random) = (Disk::new(), Oracle::new(), random(9));
    (0..63).for_each(|_| drop(oracle.grow(6, &mut random)));
    oracle.mend(&oracle.open(&base));
    let last = oracle.grow(6, &mut random);
    assert_eq!(base.file_names(), merged(63));
    let work = |disk: &Disk| {
        let runs = oracle.open(disk);
        let done = runs.add(&last.content()).and_then(|()| {
            while runs.merge_step()? {}
            Ok(())
        });
        (runs, done)
    };
    let count = {
        let disk = base.copy();
        work(&disk).1.unwrap();
        assert_eq!(disk.file_names(), merged(64));
        disk.steps()
    };
    assert!(count >= 20, "{count} steps");
    let mut added = BTreeMap::new();
    for (step, forever) in (0..=count).flat_map(|step| [(step, 1), (step, u64::MAX)]) {
        let disk = base.copy();
        disk.fail(disk.steps() + step, forever);
        let (runs, done) = work(&disk);
        disk.heal();
        assert_eq!(done.is_ok(), step >= count, "step {step}");
        // The same process goes on.
        oracle.right_or_nothing(&runs);
        // Another one begins, after a crash of the process, or of the machine.
        for left in [disk.cut(&mut random), disk.cut(&mut random), disk.clone()] {
            let runs = oracle.open(&left);
            oracle.right_or_nothing(&runs);
            *added.entry(oracle.mend(&runs)).or_insert(0) += 1;
            oracle.agrees(&runs);
            assert_eq!(left.file_names(), merged(64), "step {step}");
        }
    }
    // What was merged was synced before the rest went: at most the last segment is made again, never eight.
    assert_eq!(added.keys().copied().collect::<Vec<_>>(), [0, 1], "{added:?}");
}

/// After an error the same process merges to the same end.
#[test]
fn a_merge_that_failed_is_made_again() {
    let (mut oracle, mut random) = (Oracle::new(), random(10));
    (0..8).for_each(|_| drop(oracle.grow(100, &mut random)));
    for step in 0..20 {
        let disk = Disk::new();
        let runs = oracle.open(&disk);
        oracle.segments.iter().for_each(|segment| runs.add(&segment.content()).unwrap());
        disk.fail(disk.steps() + step, 1);
        let _ = runs.merge_step();
        disk.heal();
        oracle.agrees(&runs);
        assert_eq!(oracle.mend(&runs), 0);
        assert_eq!(disk.file_names(), merged(8));
        oracle.agrees(&runs);
    }
}

/// A damaged run is not merged, and taken out: the others are not held up by it for ever.
#[test]
fn a_damaged_run_is_not_merged() {
    let (disk, mut oracle, mut random) = (Disk::new(), Oracle::new(), random(11));
    (0..8).for_each(|_| drop(oracle.grow(300, &mut random)));
    let runs = oracle.open(&disk);
    oracle.segments.iter().for_each(|segment| runs.add(&segment.content()).unwrap());
    let name = "ids-0000000005-0000000005";
    let mut bytes = disk.get(name);
    bytes[5000] ^= 1;
    disk.set(name, &bytes);
    let runs = oracle.open(&disk);
    assert!(runs.merge_step().unwrap());
    assert_eq!(disk.file_names().len(), 7);
    assert!(runs.check().unwrap());
    assert_eq!(missing(&runs), [5]);
    assert!(!runs.merge_step().unwrap());
    assert_eq!(oracle.mend(&runs), 1);
    oracle.agrees(&runs);
}

/// Lookups go on while runs are merged, from another thread.
#[test]
fn a_merge_disturbs_no_lookup() {
    let (disk, mut oracle, mut random) = (Disk::new(), Oracle::new(), random(12));
    let segments: Vec<_> = (0..128).map(|_| oracle.grow(50, &mut random)).collect();
    let runs = oracle.open(&disk);
    for segment in &segments {
        runs.add(&segment.content()).unwrap();
    }
    std::thread::scope(|scope| {
        let merging = scope.spawn(|| while runs.merge_step().unwrap() {});
        while !merging.is_finished() {
            oracle.agrees(&runs);
        }
    });
    assert_eq!(disk.file_names(), merged(128));
    oracle.agrees(&runs);
}

#[expect(clippy::print_stdout, reason = "a figure, for whoever asks with --nocapture")]
/// What a lookup costs with so many ids in 60 segments: printed, and no more blocks than the levels of the runs that it may be in.
fn cost(count: u64) {
    let disk = Disk::new();
    let runs = Runs::open(disk.folder(), chain(), &[]).unwrap();
    let (mut random, each) = (random(13), count / 60);
    let mut some = Vec::new();
    let started = std::time::Instant::now();
    for ordinal in 0..60 {
        let first = ordinal * each;
        let ids: Vec<_> =
            (first..first + each).map(|n| id_at(1_795_150_800_000 + n / 8, &mut random)).collect();
        some.extend((first..).zip(ids.iter().copied()).step_by(997));
        runs.add(&Owned::new(ordinal, first, ids).content()).unwrap();
        while runs.merge_step().unwrap() {}
        disk.settle();
    }
    let built = started.elapsed();
    let (started, before) = (std::time::Instant::now(), disk.reads());
    for (sequence, id) in &some {
        assert_eq!(runs.find(id).unwrap(), Some(*sequence));
    }
    let finds = u64::try_from(some.len()).unwrap();
    let (reads, took) = (disk.reads() - before, started.elapsed());
    // Random bits of the same millisecond may place an id within two runs; no more.
    assert!(reads <= 4 * finds, "{reads} reads for {finds} lookups");
    let before = disk.reads();
    (0..1000).for_each(|n| assert_eq!(runs.find(&id_at(n, &mut random)).unwrap(), None));
    assert_eq!(disk.reads(), before, "an id of before or after all costs nothing");
    println!(
        "{count} ids, {} runs, made in {built:?}; {:.2} reads and {:?} a lookup; {} files open",
        disk.file_names().len(),
        f64::from(u32::try_from(reads).unwrap()) / f64::from(u32::try_from(finds).unwrap()),
        took / u32::try_from(finds).unwrap(),
        disk.handles(),
    );
}

#[test]
fn a_lookup_reads_a_block_per_level() {
    cost(600_000);
}

#[test]
#[ignore = "ten million ids take a minute"]
fn a_lookup_among_ten_million_reads_a_block_per_level() {
    cost(10_000_000);
}
