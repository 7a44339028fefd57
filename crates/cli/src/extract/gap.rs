//! Entries that are left out, as the hashes of a gap: the roots of the largest subtrees that cover them.

use sigchain::digest::Digest;
use sigchain::frame::{Gap, GapReason};
use sigchain::tree;

/// A subtree of 2^level leaves.
struct Subtree {
    level: u32,
    root: Digest,
}

/// Entries in a row that are left out.
#[derive(Default)]
pub(super) struct Omitted {
    first: u64,
    count: u64,
    /// From left to right: a leaf at a time they become what `tree::split` makes of the range.
    subtrees: Vec<Subtree>,
}

impl Omitted {
    /// Leaves out one more, the next one.
    pub(super) fn push(&mut self, sequence: u64, leaf: Digest) {
        if self.count == 0 {
            self.first = sequence;
        }
        self.count = self.count.saturating_add(1);
        let mut new = Subtree { level: 0, root: leaf };
        // Two of one size are halves of a larger one if that begins where the left one does: at a multiple of its size.
        let mut end = sequence.saturating_add(1);
        while end.is_multiple_of(2)
            && let Some(left) = self.subtrees.pop_if(|left| left.level == new.level)
        {
            new = Subtree { level: new.level + 1, root: tree::node_hash(&left.root, &new.root) };
            end /= 2;
        }
        self.subtrees.push(new);
    }

    /// The gap that stands for all of them, if there are any; then there are none.
    pub(super) fn take(&mut self) -> Option<Gap> {
        let Self { first, count, subtrees } = std::mem::take(self);
        let hashes = subtrees.into_iter().map(|subtree| subtree.root).collect();
        Gap::new(first, count, GapReason::Elided, hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigchain::tree::{Frontier, split};

    fn leaf(sequence: u64) -> Digest {
        Digest::of(&[&sequence.to_be_bytes()])
    }

    #[test]
    fn a_gap_has_the_roots_of_the_subtrees_that_cover_it() {
        for first in 1..40 {
            for count in 1..40 {
                let mut omitted = Omitted::default();
                (first..first + count).for_each(|at| omitted.push(at, leaf(at)));
                let gap = omitted.take().unwrap();
                assert_eq!((gap.first, gap.count), (first, count));
                for ((at, level), hash) in split(first, count).into_iter().zip(&gap.hashes) {
                    let mut subtree = Frontier::new();
                    (at..at + (1 << level)).for_each(|at| subtree.push(leaf(at)));
                    assert_eq!(*hash, subtree.root(), "{first} + {count}, at {at}");
                }
                assert_eq!(omitted.take(), None);
            }
        }
    }
}
