//! The offsets of a sealed segment.

use std::sync::Arc;

use rand::RngExt as _;
use sigchain::digest::Digest;
use sigchain::disk::Folder;
use sigchain::index::{self, Content, Recent, Sealed, Source};

use crate::index::disk::Disk;
use crate::index::{Owned, chain, id_at, random, real};

fn segment(ordinal: u64, first: u64, count: usize) -> Owned {
    let mut random = random(ordinal);
    let ids = (0..count).map(|_| id_at(1, &mut random)).collect();
    let mut segment = Owned::new(ordinal, first, ids);
    segment.offsets.iter_mut().for_each(|offset| *offset = random.random());
    segment
}

fn name(ordinal: u64) -> String {
    format!("{ordinal:010}.index")
}

fn open(folder: &dyn Folder, source: &Source) -> Option<Sealed> {
    Sealed::open(folder, &chain(), source).unwrap()
}

/// Whether it gives each offset, or none, or says that it cannot: how many it gave.
fn right_or_nothing(folder: &dyn Folder, segment: &Owned) -> usize {
    let Some(sealed) = open(folder, &segment.source) else { return 0 };
    let mut right = 0;
    for (offset, sequence) in segment.offsets.iter().zip(segment.source.first..) {
        // Of many, some of each block: what is damaged is a block.
        if segment.offsets.len() > 10_000 && !sequence.is_multiple_of(97) {
            right += 1;
            continue;
        }
        match sealed.offset(sequence) {
            Ok(found) => {
                assert_eq!(found, *offset, "a wrong offset of entry {sequence}");
                right += 1;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}"),
        }
    }
    assert_eq!(sealed.check().unwrap(), right == segment.offsets.len(), "check");
    right
}

#[test]
fn every_offset_is_found_with_one_read() {
    let (folder, disk) = (real("offsets"), Disk::new());
    for (ordinal, count) in [0, 1, 2, 1019, 1020, 1021, 2040, 5000].into_iter().enumerate() {
        let segment = segment(u64::try_from(ordinal).unwrap(), 1 << 40, count);
        for folder in [&*folder, &disk] {
            index::write(folder, &chain(), &segment.content()).unwrap();
            // A second time, over what is there.
            index::write(folder, &chain(), &segment.content()).unwrap();
            let sealed = open(folder, &segment.source).unwrap();
            assert_eq!(right_or_nothing(folder, &segment), count);
            let Source { first, count, .. } = segment.source;
            assert!(sealed.offset(first - 1).is_err() && sealed.offset(first + count).is_err());
        }
        let before = disk.reads();
        let sealed = open(&disk, &segment.source).unwrap();
        assert_eq!(disk.reads(), before + 1);
        if count > 0 {
            sealed.offset(segment.source.first + u64::try_from(count).unwrap() - 1).unwrap();
            assert_eq!(disk.reads(), before + 2);
        }
    }
    assert!(folder.names().unwrap().iter().all(|name| name.len() == 16));
}

#[test]
fn an_index_of_anything_else_is_none() {
    let (disk, own) = (Disk::new(), segment(3, 1000, 1500));
    index::write(&disk, &chain(), &own.content()).unwrap();
    let source = own.source;
    for other in [
        Source { first: 1001, ..source },
        Source { count: 1499, ..source },
        Source { length: source.length + 1, ..source },
        Source { ordinal: 4, ..source },
        Source { head: Digest::of(&[b"another branch"]), ..source },
    ] {
        disk.set(&name(other.ordinal), &disk.get(&name(3)));
        assert!(open(&disk, &other).is_none(), "{other:?}");
    }
    let other = Digest::ZERO;
    assert!(Sealed::open(&disk, &other, &source).unwrap().is_none());
    assert!(open(&Disk::new(), &source).is_none());
    let short = Content { offsets: &own.offsets[1..], ..own.content() };
    assert!(index::write(&disk, &chain(), &short).is_err());

    // Good blocks at the wrong place, or of another file, are not taken for its own.
    let whole = disk.get(&name(3));
    let mut swapped = whole.clone();
    swapped[4096..].rotate_left(4096);
    disk.set(&name(3), &swapped);
    assert_eq!(right_or_nothing(&disk, &own), 0);
    let longer = Owned { source: Source { length: source.length + 7, ..source }, ..own.clone() };
    index::write(&disk, &chain(), &longer.content()).unwrap();
    let mixed = [&whole[..4096], &disk.get(&name(3))[4096..]].concat();
    disk.set(&name(3), &mixed);
    assert_eq!(right_or_nothing(&disk, &own), 0);
    disk.set(&name(3), &whole);
    assert_eq!(right_or_nothing(&disk, &own), 1500);
}

#[test]
fn every_flipped_bit_is_seen() {
    let (disk, own) = (Disk::new(), segment(0, 0, 3));
    index::write(&disk, &chain(), &own.content()).unwrap();
    let whole = disk.get(&name(0));
    let mut bytes = whole.clone();
    for bit in 0..whole.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.set(&name(0), &bytes);
        assert_eq!(right_or_nothing(&disk, &own), 0, "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.settle();
    }
}

#[test]
fn every_cut_is_seen() {
    let (disk, own) = (Disk::new(), segment(0, 0, 1025));
    index::write(&disk, &chain(), &own.content()).unwrap();
    let whole = disk.get(&name(0));
    for length in 0..whole.len() {
        disk.set(&name(0), &whole[..length]);
        assert!(open(&disk, &own.source).is_none(), "{length} bytes");
        disk.settle();
    }
    for more in [1, 4095, 4096] {
        disk.set(&name(0), &[whole.as_slice(), &vec![0; more]].concat());
        assert!(open(&disk, &own.source).is_none(), "{more} bytes more");
    }
}

#[test]
fn a_crash_at_any_step_leaves_an_index_or_none() {
    let own = segment(0, 0, 40_000);
    let count = {
        let disk = Disk::new();
        index::write(&disk, &chain(), &own.content()).unwrap();
        disk.steps()
    };
    assert!(count > 4);
    let mut random = random(1);
    for was_there in [false, true] {
        for (step, forever) in (0..=count + 1).flat_map(|step| [(step, 1), (step, u64::MAX)]) {
            let disk = Disk::new();
            if was_there {
                // One of less of the segment, so that it is written again.
                let less = segment(0, 0, 39_000);
                index::write(&disk, &chain(), &less.content()).unwrap();
            }
            disk.settle();
            disk.fail(disk.steps() + step, forever);
            let written = index::write(&disk, &chain(), &own.content());
            disk.heal();
            for left in [disk.clone(), disk.cut(&mut random), disk.cut(&mut random)] {
                right_or_nothing(&left, &own);
                index::write(&left, &chain(), &own.content()).unwrap();
                assert_eq!(right_or_nothing(&left, &own), 40_000);
                assert_eq!(left.file_names(), [name(0)]);
            }
            if written.is_ok() {
                assert_eq!(right_or_nothing(&disk, &own), 40_000);
            }
        }
    }
}

#[test]
fn few_indexes_stay_open() {
    let disk = Disk::new();
    let segments: Vec<_> = (0..100).map(|n| segment(n, n * 10, 10)).collect();
    for segment in &segments {
        index::write(&disk, &chain(), &segment.content()).unwrap();
    }
    let recent = Recent::new(disk.folder(), chain());
    let mut random = random(2);
    for _ in 0..2000 {
        let segment = &segments[random.random_range(0..100)];
        let sealed = recent.get(&segment.source).unwrap().unwrap();
        assert_eq!(sealed.offset(segment.source.first + 3).unwrap(), segment.offsets[3]);
        drop(sealed);
        assert!(disk.handles() <= 32, "{} open", disk.handles());
    }
    assert_eq!(disk.handles(), 32);
    // The one used last is not read again; one that is closed is.
    let first = recent.get(&segments[0].source).unwrap().unwrap();
    let before = disk.reads();
    assert!(Arc::ptr_eq(&first, &recent.get(&segments[0].source).unwrap().unwrap()));
    assert_eq!(disk.reads(), before);
    recent.close(0);
    recent.get(&segments[0].source).unwrap().unwrap();
    assert!(disk.reads() > before);
    // One of more of the segment is another.
    let more = Source { length: 1, ..segments[0].source };
    assert!(recent.get(&more).unwrap().is_none());
}
