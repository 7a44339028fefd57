//! Paths that prove entries to be in a tree, gathered while the tree grows: of each entry that is watched the siblings, as they become
//! known. What is not watched takes one hash for each level.

use std::collections::BTreeMap;

use sigchain::digest::Digest;
use sigchain::tree;

/// The root of a complete subtree, and the watched entries in it.
struct Subtree {
    root: Digest,
    watched: Vec<u64>,
}

/// A growing tree, and the paths of the entries in it that are watched.
#[derive(Default)]
pub(crate) struct Paths {
    size: u64,
    /// From left to right, the largest first, as in `tree::Frontier`.
    edge: Vec<Subtree>,
    /// Siblings from the leaf up, as far as they are complete.
    known: BTreeMap<u64, Vec<Digest>>,
}

impl Paths {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds the leaf of an entry.
    pub(crate) fn push(&mut self, leaf: Digest, is_watched: bool) {
        let mut watched = Vec::new();
        if is_watched {
            self.known.insert(self.size, Vec::new());
            watched.push(self.size);
        }
        self.add(Subtree { root: leaf, watched }, 0);
    }

    /// Adds the root of a subtree of 2^level leaves that are not there.
    pub(crate) fn push_subtree(&mut self, root: Digest, level: u32) {
        self.add(Subtree { root, watched: Vec::new() }, level);
    }

    /// Watches an entry no longer.
    pub(crate) fn forget(&mut self, sequence: u64) {
        self.known.remove(&sequence);
        for subtree in &mut self.edge {
            subtree.watched.retain(|watched| *watched != sequence);
        }
    }

    fn add(&mut self, new: Subtree, level: u32) {
        let mut new = new;
        // Each bit that carries joins two subtrees of equal size.
        let mut bit = self.size >> level;
        while bit & 1 == 1
            && let Some(left) = self.edge.pop()
        {
            new = join(&mut self.known, left, new);
            bit >>= 1;
        }
        self.edge.push(new);
        self.size = self.size.saturating_add(1 << level);
    }

    /// The paths in the tree as it is.
    pub(crate) fn paths(&self) -> BTreeMap<u64, Vec<Digest>> {
        let mut known = self.known.clone();
        let copy =
            |subtree: &Subtree| Subtree { root: subtree.root, watched: subtree.watched.clone() };
        let mut from_right = self.edge.iter().rev().map(copy);
        if let Some(last) = from_right.next() {
            from_right.fold(last, |right, left| join(&mut known, left, right));
        }
        known
    }
}

/// Joins two neighbours: each is the next sibling of what is watched in the other.
fn join(known: &mut BTreeMap<u64, Vec<Digest>>, left: Subtree, right: Subtree) -> Subtree {
    for (watched, sibling) in [(&left.watched, right.root), (&right.watched, left.root)] {
        for sequence in watched {
            if let Some(path) = known.get_mut(sequence) {
                path.push(sibling);
            }
        }
    }
    let root = tree::node_hash(&left.root, &right.root);
    let mut watched = left.watched;
    watched.extend(right.watched);
    Subtree { root, watched }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigchain::tree::{Frontier, verify_inclusion};

    fn leaf(sequence: u64) -> Digest {
        Digest::of(&[&sequence.to_be_bytes()])
    }

    #[test]
    fn paths_lead_to_the_root_of_every_size() {
        let (mut paths, mut tree) = (Paths::default(), Frontier::new());
        for size in 1..=70 {
            let sequence = size - 1;
            paths.push(leaf(sequence), sequence % 3 == 0);
            tree.push(leaf(sequence));
            if sequence % 9 == 0 {
                paths.forget(sequence);
            }
            let found = paths.paths();
            for watched in (0..size).filter(|at| at % 3 == 0 && at % 9 != 0) {
                let path = &found[&watched];
                let holds = verify_inclusion(&leaf(watched), watched, size, path, &tree.root());
                assert!(holds, "{watched} of {size}");
            }
            assert!(found.keys().all(|at| at % 9 != 0));
        }
    }

    #[test]
    fn subtrees_that_are_not_there_prove_what_is_beside_them() {
        let (mut paths, mut tree) = (Paths::default(), Frontier::new());
        (0..100).for_each(|at| tree.push(leaf(at)));
        (0..5).for_each(|at| paths.push(leaf(at), at == 4));
        for (at, level) in tree::split(5, 70) {
            let mut subtree = Frontier::new();
            (at..at + (1 << level)).for_each(|at| subtree.push(leaf(at)));
            paths.push_subtree(subtree.root(), level);
        }
        (75..100).for_each(|at| paths.push(leaf(at), at == 80));
        for (at, path) in paths.paths() {
            assert!(verify_inclusion(&leaf(at), at, 100, &path, &tree.root()), "{at}");
        }
    }
}
