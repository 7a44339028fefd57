//! The tree's nodes in a file.

use rand::RngExt as _;
use sigchain::digest::Digest;
use sigchain::index::FileShelf;
use sigchain::tree::{Frontier, Nodes, Shelf as _, verify_consistency, verify_inclusion};

use crate::index::disk::Disk;
use crate::index::{chain, random, real};

fn leaf(n: u64) -> Digest {
    Digest::of(&[&n.to_be_bytes()])
}

#[expect(clippy::unnecessary_wraps, reason = "as leaves are asked for")]
fn some(n: u64) -> Option<Digest> {
    Some(leaf(n))
}

fn frontier(size: u64) -> Frontier {
    let mut frontier = Frontier::new();
    (0..size).for_each(|n| frontier.push(leaf(n)));
    frontier
}

fn on(disk: &Disk) -> Nodes<FileShelf> {
    Nodes::on(FileShelf::create(disk.folder(), &chain()))
}

fn grow(nodes: &mut Nodes<FileShelf>, size: u64) {
    (nodes.size()..size).for_each(|n| nodes.push(leaf(n)));
}

fn open(disk: &Disk, size: u64) -> Option<FileShelf> {
    FileShelf::open(disk.folder(), &chain(), size, true).unwrap()
}

fn resume(disk: &Disk, frontier: &Frontier) -> Option<Nodes<FileShelf>> {
    Nodes::resume(frontier, open(disk, frontier.size())?, &some)
}

/// Every proof and root of some sizes is the one that a tree in memory gives.
fn agree(a: &Nodes<FileShelf>, b: &Nodes, random: &mut rand::rngs::StdRng) {
    assert_eq!((a.size(), a.root(), a.frontier()), (b.size(), b.root(), b.frontier()));
    let sizes = [b.size(), random.random_range(0..=b.size()), b.size() >> 8 << 8];
    for size in sizes {
        let root = b.root_at(size, &some);
        assert_eq!(a.root_at(size, &some), root);
        let old = random.random_range(0..=size);
        let proof = a.consistency(old, size, &some).unwrap();
        assert_eq!(Some(&proof), b.consistency(old, size, &some).as_ref());
        let old_root = b.root_at(old, &some).unwrap();
        assert!(verify_consistency(old, &old_root, size, &root.unwrap(), &proof));
        assert_eq!(a.hashes(old, size - old, &some), b.hashes(old, size - old, &some));
        if size > 0 {
            let index = random.random_range(0..size);
            let path = a.inclusion(index, size, &some).unwrap();
            assert_eq!(Some(&path), b.inclusion(index, size, &some).as_ref());
            assert!(verify_inclusion(&leaf(index), index, size, &path, &root.unwrap()));
        }
    }
}

#[test]
fn a_tree_in_a_file_is_one_in_memory() {
    let mut random = random(20);
    for round in 0..40 {
        let disk = Disk::new();
        let folder = if round == 0 { real("tree") } else { disk.folder() };
        let mut a = Nodes::on(FileShelf::create(folder.clone(), &chain()));
        let mut b = Nodes::new();
        for _ in 0..random.random_range(1..12) {
            for _ in 0..random.random_range(0..5000) {
                a.push(leaf(b.size()));
                b.push(leaf(b.size()));
            }
            if random.random_bool(0.7) {
                a.shelf_mut().flush().unwrap();
            }
            agree(&a, &b, &mut random);
            assert!(a.shelf().check().unwrap());
        }
        a.shelf_mut().flush().unwrap();
        let shelf = FileShelf::open(folder, &chain(), b.size(), false).unwrap().unwrap();
        let a = Nodes::resume(&b.frontier(), shelf, &some).unwrap();
        agree(&a, &b, &mut random);
    }
}

/// A tree resumed at any size, from a file of exactly its nodes or of more, grows to the same file.
#[test]
fn a_tree_resumes_at_every_size() {
    const END: u64 = 2100;
    let (whole, mut random) = (Disk::new(), random(21));
    let mut nodes = on(&whole);
    grow(&mut nodes, END);
    nodes.shelf_mut().flush().unwrap();
    let (mut memory, mut exact) = (Nodes::new(), on(&Disk::new()));
    for size in 0..=2000 {
        // More than it needs: the rest may be of entries that were dropped.
        let more = whole.copy();
        let reads = std::cell::Cell::new(0);
        let leaves = |n| {
            reads.set(reads.get() + 1);
            some(n)
        };
        let edge = memory.frontier();
        let mut a = Nodes::resume(&edge, open(&more, size).unwrap(), &leaves).unwrap();
        assert_eq!(reads.get(), size % 256, "leaves that are asked for");
        agree(&a, &memory, &mut random);
        grow(&mut a, END);
        a.shelf_mut().flush().unwrap();
        assert!(a.shelf().check().unwrap());
        assert_eq!(more.get("tree"), whole.get("tree"), "{size}");
        assert_eq!(more.file_names(), ["tree"]);

        // Exactly what it needs.
        let disk = Disk::new();
        grow(&mut exact, size);
        let mut a = if size < 256 { on(&disk) } else { resume(&more, &edge).unwrap() };
        if size < 256 {
            grow(&mut a, size);
        }
        assert_eq!(a.frontier(), exact.frontier());
        memory.push(leaf(size));
    }
}

#[test]
fn a_large_tree_resumes() {
    let (disk, mut random) = (Disk::new(), random(22));
    let (mut nodes, mut memory) = (on(&disk), Nodes::new());
    for size in [1 << 16, 100_000, (1 << 18) - 1, 1 << 18, 300_001] {
        (memory.size()..size).for_each(|n| memory.push(leaf(n)));
        grow(&mut nodes, size);
        nodes.shelf_mut().flush().unwrap();
        nodes = resume(&disk, &memory.frontier()).unwrap();
        agree(&nodes, &memory, &mut random);
        // A path of leaves, a level at a time, and no more.
        let before = disk.reads();
        nodes.inclusion(12_345, size, &some).unwrap();
        assert!(disk.reads() - before <= 30, "{} reads", disk.reads() - before);
    }
    // A quarter of a byte per entry, a guard of a quarter of that, and the first block.
    let length = u64::try_from(disk.get("tree").len()).unwrap();
    assert!(length <= 4096 + 300_001 * 5 / 16, "{length} bytes");
}

#[test]
fn a_file_of_anything_else_resumes_nothing() {
    let disk = Disk::new();
    let mut nodes = on(&disk);
    grow(&mut nodes, 5000);
    assert!(open(&disk, 5000).is_none(), "nothing was flushed");
    nodes.shelf_mut().flush().unwrap();
    let whole = disk.get("tree");
    let edge = frontier(5000);
    assert!(resume(&disk, &edge).is_some());
    assert!(open(&disk, 5120).is_none());
    assert!(FileShelf::open(disk.folder(), &Digest::ZERO, 5000, true).unwrap().is_none());
    // Another tree's frontier, or another tail.
    let mut other = Frontier::new();
    (0..5000).for_each(|n| other.push(leaf(n + 1)));
    assert!(resume(&disk, &other).is_none());
    let shelf = open(&disk, 5000).unwrap();
    assert!(Nodes::resume(&edge, shelf, &|n| some(n + 1)).is_none());
    let shelf = open(&disk, 5000).unwrap();
    assert!(Nodes::resume(&edge, shelf, &|_| None).is_none());
    // Cut anywhere: it is seen, and what is left still resumes an earlier tree.
    for length in 0..whole.len() {
        disk.set("tree", &whole[..length]);
        assert!(open(&disk, 5000).is_none(), "{length} bytes");
        disk.settle();
    }
    assert!(resume(&disk, &frontier(4700)).is_some());
}

#[test]
fn every_flipped_bit_of_a_tree_is_seen() {
    let disk = Disk::new();
    let mut nodes = on(&disk);
    grow(&mut nodes, 7 * 256);
    nodes.shelf_mut().flush().unwrap();
    let whole = disk.get("tree");
    assert_eq!(whole.len(), 4096 + 11 * 40);
    let places: Vec<(u32, u64)> =
        (8..=10).flat_map(|level| (0..7u64 >> (level - 8)).map(move |at| (level, at))).collect();
    let mut bytes = whole.clone();
    let edge = frontier(7 * 256);
    for bit in 0..whole.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.set("tree", &bytes);
        let shelf = open(&disk, 7 * 256);
        assert_eq!(shelf.is_some(), bit >= 4096 * 8);
        if let Some(shelf) = shelf {
            let count = places
                .iter()
                .filter(|(level, at)| match shelf.get(*level, *at) {
                    None => true,
                    found => {
                        assert_eq!(found, nodes.shelf().get(*level, *at), "bit {bit}");
                        false
                    }
                })
                .count();
            assert_eq!((count, shelf.check().unwrap()), (1, false), "bit {bit}");
            // Nothing is made of it, either; a tree on its right edge is not resumed.
            let on_edge = [6, 9, 10].contains(&((bit / 8 - 4096) / 40));
            let resumed = Nodes::resume(&edge, shelf, &some);
            assert_eq!(resumed.is_none(), on_edge, "bit {bit}");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.settle();
    }
}

/// Entries that were dropped leave nodes behind; those that came instead have theirs in a new file.
#[test]
fn nodes_of_dropped_entries_are_never_used() {
    let disk = Disk::new();
    let mut nodes = on(&disk);
    grow(&mut nodes, 3000);
    nodes.shelf_mut().flush().unwrap();
    let edge = frontier(1000);
    let mut nodes = resume(&disk, &edge).unwrap();
    let other = |n: u64| if n < 1000 { leaf(n) } else { leaf(n + 7) };
    let mut memory = Nodes::new();
    (0..1000).for_each(|n| memory.push(other(n)));
    for n in 1000..2800 {
        nodes.push(other(n));
        memory.push(other(n));
        if n % 300 == 0 {
            nodes.shelf_mut().flush().unwrap();
        }
        let leaves = |n| Some(other(n));
        assert_eq!(nodes.inclusion(999, n, &leaves), memory.inclusion(999, n, &leaves));
    }
    nodes.shelf_mut().flush().unwrap();
    let shelf = open(&disk, 2800).unwrap();
    assert!(shelf.check().unwrap());
    assert!(Nodes::resume(&memory.frontier(), shelf, &|n| Some(other(n))).is_some());
    // A damaged node is not copied: what is there stays as it is.
    let mut bytes = disk.get("tree");
    bytes[4096] ^= 1;
    disk.set("tree", &bytes);
    let edge = frontier(1000);
    let mut nodes = resume(&disk, &edge).unwrap();
    grow(&mut nodes, 2000);
    assert!(nodes.shelf_mut().flush().is_err());
    assert_eq!(disk.get("tree"), bytes);
    assert_eq!(nodes.root(), frontier(2000).root());
}

#[test]
fn a_crash_at_any_step_leaves_a_tree_that_can_be_made_again() {
    let base = Disk::new();
    let mut nodes = on(&base);
    grow(&mut nodes, 3000);
    nodes.shelf_mut().flush().unwrap();
    let (mut random, mut resumed) = (random(23), 0);
    for (step, forever) in (0..12).flat_map(|step| [(step, 1), (step, u64::MAX)]) {
        let disk = base.copy();
        let mut nodes = resume(&disk, &frontier(1000)).unwrap();
        disk.fail(disk.steps() + step, forever);
        for size in [2000, 2500, 4000] {
            grow(&mut nodes, size);
            let _ = nodes.shelf_mut().flush();
            assert_eq!(nodes.root_at(1500, &some), Some(frontier(1500).root()));
        }
        disk.heal();
        for left in [disk.cut(&mut random), disk.cut(&mut random), disk.copy()] {
            for size in [4000, 2500, 2000, 1000] {
                if let Some(nodes) = resume(&left, &frontier(size)) {
                    // A hole that a power cut left may be anywhere: then there is no proof, but none that is wrong.
                    if nodes.shelf().check().unwrap() {
                        resumed += 1;
                        let path = nodes.inclusion(700, size, &some).unwrap();
                        let root = frontier(size).root();
                        assert!(verify_inclusion(&leaf(700), 700, size, &path, &root));
                    }
                }
            }
            let mut again = on(&left);
            grow(&mut again, 4000);
            again.shelf_mut().flush().unwrap();
            assert!(resume(&left, &frontier(4000)).is_some());
            assert_eq!(left.file_names(), ["tree"]);
        }
        // The same process goes on, in a new file.
        grow(&mut nodes, 5000);
        nodes.shelf_mut().flush().unwrap();
        assert!(resume(&disk, &frontier(5000)).unwrap().shelf().check().unwrap());
    }
    assert!(resumed > 20, "{resumed}");
}
