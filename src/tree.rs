//! The RFC 6962 tree over the entries, with SHA-256.
//!
//! `Frontier` grows a leaf or a whole subtree at a time and keeps one hash per level: enough for roots, in constant
//! memory. `Nodes` keeps the nodes of level 8 and up on a `Shelf` (a quarter of a byte per entry; in memory, or in a file) and proves
//! inclusion and consistency in logarithmic time, given a way to read the leaf hashes of at most 256 entries around the place.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::digest::Digest;
use crate::key::Signature;

/// The lowest level that `Nodes` stores.
pub const STORED_LEVEL: u32 = 8;

/// Hash of the leaf of an entry.
pub fn leaf_hash(digest: &Digest, signature: &Signature) -> Digest {
    Digest::of(&[&[0], digest.as_bytes(), signature.as_bytes()])
}

/// Hash of an inner node.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// Root of the empty tree.
pub fn empty_root() -> Digest {
    Digest::of(&[])
}

/// Splits [first, first + count) into the maximal subtrees that cover it: (first leaf, level) from left to right.
///
/// The caller keeps `first + count` within `limit::SIZE_MAX`.
pub fn split(first: u64, count: u64) -> Vec<(u64, u32)> {
    let end = first.saturating_add(count);
    let mut pieces = Vec::new();
    let mut at = first;
    while at < end {
        // The largest power of two that divides the place (any, at 0) and fits before the end.
        let level = at.trailing_zeros().min((end - at).ilog2());
        pieces.push((at, level));
        at += 1 << level;
    }
    pieces
}

/// How many hashes `split` gives, without allocating.
pub fn split_len(first: u64, count: u64) -> usize {
    let end = first.saturating_add(count);
    let mut at = first;
    let mut pieces = 0;
    while at < end {
        at += 1 << at.trailing_zeros().min((end - at).ilog2());
        pieces += 1;
    }
    pieces
}

/// The right edge of a growing tree: the roots of the maximal subtrees, from left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Digest>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of `size` leaves with these hashes, if they are as many as it has.
    pub fn from_parts(size: u64, hashes: Vec<Digest>) -> Option<Self> {
        (hashes.len() == split_len(0, size)).then_some(Self { size, hashes })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, from left to right.
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Digest) {
        self.push_subtree(leaf, 0);
    }

    /// Adds a subtree of `1 << level` leaves. Its place must be a multiple of its size, as `split` makes it.
    pub fn push_subtree(&mut self, root: Digest, level: u32) {
        let mut hash = root;
        // Each bit that carries joins two subtrees of equal size.
        let mut bit = self.size >> level;
        while bit & 1 == 1 {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
            bit >>= 1;
        }
        self.hashes.push(hash);
        self.size = self.size.saturating_add(1 << level);
    }

    /// The root.
    pub fn root(&self) -> Digest {
        let mut from_right = self.hashes.iter().rev();
        let Some(last) = from_right.next() else { return empty_root() };
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Checks that the leaf with this hash is number `index` of the tree with this size and root.
#[must_use = "a proof that nobody looks at proves nothing"]
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    path: &[Digest],
    root: &Digest,
) -> bool {
    if index >= size {
        return false;
    }
    // RFC 9162 section 2.1.3.2: `node` and `last` are the places of our node and of the level's last one.
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Checks that the tree of `old_size` leaves with `old_root` is the beginning of that of `new_size` with `new_root`.
#[must_use = "a proof that nobody looks at proves nothing"]
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> bool {
    if old_size > new_size {
        return false;
    }
    if old_size == new_size || old_size == 0 {
        let expected = if old_size == 0 { empty_root() } else { *new_root };
        return proof.is_empty() && *old_root == expected;
    }
    // RFC 9162 section 2.1.4.2.
    let mut hashes = proof.iter();
    let first = if old_size.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*first, *first);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old = node_hash(hash, &old);
            new = node_hash(hash, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old == *old_root && new == *new_root
}

/// Where complete nodes of level 8 and up are kept.
pub trait Shelf: fmt::Debug + Send {
    /// Node `index` of `level`, if it is there and undamaged.
    fn get(&self, level: u32, index: u64) -> Option<Digest>;

    /// Keeps a node. They come in the order in which they complete, each once.
    fn put(&mut self, level: u32, index: u64, node: Digest);

    /// Writes out what is only in memory, where there is anything to write it to. Syncs nothing.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Shelf + ?Sized> Shelf for Box<S> {
    fn get(&self, level: u32, index: u64) -> Option<Digest> {
        (**self).get(level, index)
    }

    fn put(&mut self, level: u32, index: u64, node: Digest) {
        (**self).put(level, index, node);
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}

/// In the place of a hash that nobody knows: no hash is so.
const UNKNOWN: Digest = Digest::ZERO;

/// A shelf in memory.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// `levels[k]` holds the nodes of level `STORED_LEVEL + k`, from left to right.
    levels: Vec<Vec<Digest>>,
}

impl Shelf for Levels {
    fn get(&self, level: u32, index: u64) -> Option<Digest> {
        let nodes = self.levels.get(usize::try_from(level.checked_sub(STORED_LEVEL)?).ok()?)?;
        nodes.get(usize::try_from(index).ok()?).copied().filter(|node| *node != UNKNOWN)
    }

    fn put(&mut self, level: u32, index: u64, node: Digest) {
        let Ok(stored) = usize::try_from(level.saturating_sub(STORED_LEVEL)) else { return };
        if self.levels.len() <= stored {
            self.levels.resize_with(stored + 1, Vec::new);
        }
        if let Some(nodes) = self.levels.get_mut(stored) {
            // In between are nodes of entries that are in a gap: nobody knows them.
            nodes.resize(usize::try_from(index).unwrap_or(usize::MAX).max(nodes.len()), UNKNOWN);
            nodes.push(node);
        }
    }
}

/// The nodes of level 8 and up of a growing tree, for proofs about any of its sizes so far.
///
/// What it needs below level 8 of complete blocks it asks for: `leaves(i)` must give the leaf hash of entry `i`, and is called for at
/// most 512 entries a proof.
#[derive(Clone, Debug, Default)]
pub struct Nodes<S = Levels> {
    size: u64,
    /// Leaf hashes of the block of 256 that is not complete yet.
    tail: Vec<Digest>,
    /// Roots of the maximal subtrees of the complete blocks, from left to right: to grow and to know the root, the shelf is not read.
    edge: Vec<Digest>,
    /// The hashes that stand for gaps, by level and index, where they are of a level below those that the shelf has.
    gaps: BTreeMap<(u32, u64), Digest>,
    shelf: S,
}

/// Gives the leaf hash of an entry, or nothing if it cannot be read.
pub type Leaves<'l> = &'l dyn Fn(u64) -> Option<Digest>;

impl Nodes {
    /// The empty tree, in memory.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S: Shelf> Nodes<S> {
    /// The empty tree, on an empty shelf.
    pub fn on(shelf: S) -> Self {
        Self { size: 0, tail: Vec::new(), edge: Vec::new(), gaps: BTreeMap::new(), shelf }
    }

    /// The tree that had this frontier, on a shelf that has its nodes; `leaves` is asked for those of the last block, if it is not
    /// complete. Nothing if the shelf or the leaves are of another tree. The frontier has to come from where it can be believed: a
    /// signed seal.
    pub fn resume(frontier: &Frontier, shelf: S, leaves: Leaves<'_>) -> Option<Self> {
        let nodes = Self::behind(frontier.size(), shelf, leaves)?;
        (nodes.frontier() == *frontier).then_some(nodes)
    }

    /// As `resume`, of whatever tree of this size the shelf has nodes: its root is what has to be compared before any of it is believed.
    pub fn behind(size: u64, shelf: S, leaves: Leaves<'_>) -> Option<Self> {
        let complete = size >> STORED_LEVEL << STORED_LEVEL;
        let stored = |(at, level): (u64, u32)| shelf.get(level, at >> level);
        let edge = split(0, complete).into_iter().map(stored).collect::<Option<_>>()?;
        let tail = (complete..size).map(leaves).collect::<Option<_>>()?;
        Some(Self { size, tail, edge, gaps: BTreeMap::new(), shelf })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the nodes are kept.
    pub fn shelf(&self) -> &S {
        &self.shelf
    }

    /// Where the nodes are kept, to have it written out.
    pub fn shelf_mut(&mut self) -> &mut S {
        &mut self.shelf
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Digest) {
        self.tail.push(leaf);
        self.size = self.size.saturating_add(1);
        self.complete_block();
    }

    /// Adds the leaves of a gap: `hashes` are those that [`split`] wants. Afterwards nothing can be proved of them, and all of the
    /// others. Only for a shelf that need not have all nodes, as [`Levels`].
    pub fn push_gap(&mut self, first: u64, count: u64, hashes: &[Digest]) {
        for ((at, level), hash) in split(first, count).into_iter().zip(hashes) {
            if level >= STORED_LEVEL {
                self.size = self.size.saturating_add(1 << level);
                self.complete(*hash, level, at >> level);
                continue;
            }
            self.gaps.insert((level, at >> level), *hash);
            for _ in 0..1_u64 << level {
                self.tail.push(UNKNOWN);
                self.size = self.size.saturating_add(1);
            }
            self.complete_block();
        }
    }

    /// Completes the last block, if it has all its leaves.
    fn complete_block(&mut self) {
        if !self.size.is_multiple_of(1 << STORED_LEVEL) {
            return;
        }
        let first = self.size - (1 << STORED_LEVEL);
        let leaf =
            |index: u64| self.tail.get(usize::try_from(index.checked_sub(first)?).ok()?).copied();
        let node = self.fold(first, STORED_LEVEL, &leaf).unwrap_or(UNKNOWN);
        self.tail.clear();
        self.complete(node, STORED_LEVEL, first >> STORED_LEVEL);
    }

    /// Takes a node that is complete, and those that it completes.
    fn complete(&mut self, mut node: Digest, mut level: u32, mut index: u64) {
        self.shelf.put(level, index, node);
        // Each right child completes its parent.
        while index & 1 == 1 {
            let Some(left) = self.edge.pop() else { return };
            node = node_hash(&left, &node);
            level += 1;
            index >>= 1;
            self.shelf.put(level, index, node);
        }
        self.edge.push(node);
    }

    /// The right edge, for a seal.
    pub fn frontier(&self) -> Frontier {
        let size = self.size >> STORED_LEVEL << STORED_LEVEL;
        let mut frontier = Frontier { size, hashes: self.edge.clone() };
        for (at, level) in split(size, self.size.saturating_sub(size)) {
            let recent = |index| self.recent(index);
            frontier.push_subtree(self.fold(at, level, &recent).unwrap_or(UNKNOWN), level);
        }
        frontier
    }

    /// The root when the tree had `size` leaves.
    pub fn root_at(&self, size: u64, leaves: Leaves<'_>) -> Option<Digest> {
        if size > self.size {
            return None;
        }
        if size == 0 {
            return Some(empty_root());
        }
        if size == self.size {
            return Some(self.root());
        }
        self.range(0, size, leaves)
    }

    /// The present root.
    pub fn root(&self) -> Digest {
        self.frontier().root()
    }

    /// The path that proves leaf `index` in the tree of `size` leaves.
    pub fn inclusion(&self, index: u64, size: u64, leaves: Leaves<'_>) -> Option<Vec<Digest>> {
        if index >= size || size > self.size {
            return None;
        }
        let (mut first, mut end) = (0, size);
        let mut path = Vec::new();
        while end - first > 1 {
            let middle = first + split_point(end - first);
            if index < middle {
                path.push(self.range(middle, end, leaves)?);
                end = middle;
            } else {
                path.push(self.range(first, middle, leaves)?);
                first = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// The proof that the tree of `old` leaves is the beginning of that of `new`.
    pub fn consistency(&self, old: u64, new: u64, leaves: Leaves<'_>) -> Option<Vec<Digest>> {
        if old > new || new > self.size {
            return None;
        }
        if old == 0 || old == new {
            return Some(Vec::new());
        }
        let (mut first, mut end) = (0, new);
        let mut proof = Vec::new();
        // RFC 6962 section 2.1.2: `old` lies in [first, end); the last subtree is left out if the verifier knows it.
        let mut known = true;
        while old != end {
            let middle = first + split_point(end - first);
            if old <= middle {
                proof.push(self.range(middle, end, leaves)?);
                end = middle;
            } else {
                proof.push(self.range(first, middle, leaves)?);
                first = middle;
                known = false;
            }
        }
        if !known {
            proof.push(self.range(first, end, leaves)?);
        }
        proof.reverse();
        Some(proof)
    }

    /// The subtree roots that stand for the entries [first, first + count) in a gap.
    pub fn hashes(&self, first: u64, count: u64, leaves: Leaves<'_>) -> Option<Vec<Digest>> {
        split(first, count).into_iter().map(|(at, level)| self.node(at, level, leaves)).collect()
    }

    /// Root over [first, end), where `first` is a place at which the tree splits.
    fn range(&self, first: u64, end: u64, leaves: Leaves<'_>) -> Option<Digest> {
        let mut root: Option<Digest> = None;
        for (at, level) in split(first, end - first).into_iter().rev() {
            let left = self.node(at, level, leaves)?;
            root = Some(root.map_or(left, |right| node_hash(&left, &right)));
        }
        root
    }

    /// The leaf hash of an entry of the block that is not complete yet.
    fn recent(&self, index: u64) -> Option<Digest> {
        let complete = self.size >> STORED_LEVEL << STORED_LEVEL;
        self.tail.get(usize::try_from(index.checked_sub(complete)?).ok()?).copied()
    }

    /// Root over the complete subtree of `level` at leaf `at`.
    fn node(&self, at: u64, level: u32, leaves: Leaves<'_>) -> Option<Digest> {
        if level < STORED_LEVEL {
            return self.fold(at, level, &|index| self.recent(index).or_else(|| leaves(index)));
        }
        self.shelf.get(level, at >> level)
    }

    /// Root over a subtree below those that the shelf has.
    fn fold(&self, at: u64, level: u32, leaves: Leaves<'_>) -> Option<Digest> {
        if !self.gaps.is_empty() {
            if let Some(known) = self.gaps.get(&(level, at >> level)) {
                return Some(*known);
            }
            if level > 0 {
                let half = level - 1;
                let left = self.fold(at, half, leaves)?;
                return Some(node_hash(&left, &self.fold(at + (1 << half), half, leaves)?));
            }
        }
        let leaf = |index| leaves(index).filter(|leaf| *leaf != UNKNOWN);
        let hashes: Option<Vec<_>> = (at..at + (1 << level)).map(leaf).collect();
        hashes.map(|hashes| fold_perfect(&hashes))
    }
}

/// The largest power of two below `count`, which is at least 2.
fn split_point(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Root over a number of leaves that is a power of two.
fn fold_perfect(leaves: &[Digest]) -> Digest {
    let mut tree = Frontier::new();
    for leaf in leaves {
        tree.push(*leaf);
    }
    tree.root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::len_u64;

    fn leaf(i: u64) -> Digest {
        Digest::of(&[&i.to_be_bytes()])
    }

    /// RFC 6962 section 2.1 as it is written.
    fn mth(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let k = usize::try_from(split_point(len_u64(many.len()))).unwrap();
                node_hash(&mth(&many[..k]), &mth(&many[k..]))
            }
        }
    }

    #[test]
    fn roots_and_proofs_agree_with_the_rfc() {
        let all: Vec<Digest> = (0..70).map(leaf).collect();
        let mut nodes = Nodes::new();
        let mut frontier = Frontier::new();
        for hash in &all {
            nodes.push(*hash);
            frontier.push(*hash);
            assert_eq!(frontier.root(), mth(&all[..usize::try_from(nodes.size()).unwrap()]));
        }
        let leaves = |i: u64| Some(leaf(i));
        for new in 1..=70u64 {
            let root = mth(&all[..usize::try_from(new).unwrap()]);
            for i in 0..new {
                let path = nodes.inclusion(i, new, &leaves).unwrap();
                assert!(verify_inclusion(&leaf(i), i, new, &path, &root), "{i} of {new}");
                assert!(!verify_inclusion(&leaf(i + 1), i, new, &path, &root));
                assert!(i == 0 || !verify_inclusion(&leaf(i), i - 1, new, &path, &root));
                if let Some((_, short)) = path.split_last() {
                    assert!(!verify_inclusion(&leaf(i), i, new, short, &root));
                }
            }
            for old in 0..=new {
                let proof = nodes.consistency(old, new, &leaves).unwrap();
                let old_root = mth(&all[..usize::try_from(old).unwrap()]);
                assert!(verify_consistency(old, &old_root, new, &root, &proof), "{old} to {new}");
                assert!(!verify_consistency(old, &leaf(0), new, &root, &proof) || old == 1);
                let longer = [proof.as_slice(), &[leaf(7)]].concat();
                assert!(!verify_consistency(old, &old_root, new, &root, &longer));
            }
        }
    }

    #[test]
    fn stored_levels_give_the_same_proofs() {
        let size = 256 * 5 + 37;
        let all: Vec<Digest> = (0..size).map(leaf).collect();
        let mut nodes = Nodes::new();
        for hash in &all {
            nodes.push(*hash);
        }
        let reads = std::cell::Cell::new(0u32);
        let leaves = |i: u64| {
            reads.set(reads.get() + 1);
            Some(leaf(i))
        };
        let root = mth(&all);
        assert_eq!(nodes.root_at(size, &leaves), Some(root));
        for i in [0, 1, 255, 256, 700, 1279, 1280, size - 1] {
            reads.set(0);
            let path = nodes.inclusion(i, size, &leaves).unwrap();
            assert!(verify_inclusion(&leaf(i), i, size, &path, &root));
            assert!(reads.get() <= 512, "{} leaf reads", reads.get());
        }
        for old in [1, 255, 256, 257, 1280, size] {
            let proof = nodes.consistency(old, size, &leaves).unwrap();
            let old_root = nodes.root_at(old, &leaves).unwrap();
            assert!(verify_consistency(old, &old_root, size, &root, &proof));
        }
    }

    #[test]
    fn subtrees_join_as_their_leaves_would() {
        for first in 0..40u64 {
            for count in 1..40 - first {
                let mut whole = Frontier::new();
                let mut pieces = Frontier::new();
                (0..first).for_each(|i| whole.push(leaf(i)));
                (0..first).for_each(|i| pieces.push(leaf(i)));
                (first..first + count).for_each(|i| whole.push(leaf(i)));
                let split = split(first, count);
                assert_eq!(split.len(), split_len(first, count));
                for (at, level) in split {
                    let subtree: Vec<Digest> = (at..at + (1 << level)).map(leaf).collect();
                    pieces.push_subtree(fold_perfect(&subtree), level);
                }
                assert_eq!(whole, pieces, "{first} + {count}");
            }
        }
    }
}
