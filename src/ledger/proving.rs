//! Proofs about durable entries. The tree for them is made when the first is asked for: from the nodes that the store keeps, if it keeps
//! any, and from the entries behind those. It is compared with the tree that the ledger signs checkpoints over before any of it is given
//! away.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::frame::Written;
use crate::ledger::read::Stood;
use crate::ledger::shared::Shared;
use crate::ledger::{Ledger, once};
use crate::proof::Proof;
use crate::store::Absent;
use crate::tree::{self, Frontier, Leaves, Levels, Nodes, STORED_LEVEL, Shelf};

type Tree = Nodes<Box<dyn Shelf>>;

/// What proofs are made of.
#[derive(Debug)]
pub(super) struct Proofs {
    nodes: Tree,
    /// Whether some of it is what the store has kept.
    is_kept: bool,
}

impl Proofs {
    /// In memory, from nothing: a quarter of a byte for each entry.
    fn nothing() -> Self {
        Self { nodes: Nodes::on(Box::<Levels>::default()), is_kept: false }
    }
}

/// The leaf of an entry.
fn leaf_of(written: &Written<'_>, chain_id: &Digest) -> Digest {
    let entry = written.entry(chain_id);
    tree::leaf_hash(&entry.digest(), entry.signature())
}

impl Shared {
    /// The leaf hashes of the stored block with this entry, as far as they are durable: read one by one they would take a proof most of
    /// its time.
    fn block(&self, chain_id: &Digest, sequence: u64, size: u64) -> io::Result<(u64, Vec<Digest>)> {
        let first = sequence >> STORED_LEVEL << STORED_LEVEL;
        let last = first.saturating_add((1 << STORED_LEVEL) - 1).min(size.saturating_sub(1));
        let mut leaves = Vec::new();
        self.walk_all(first..=last, |stood| {
            match stood {
                Stood::Entry(frame) => leaves.push(leaf_of(&once::parse(frame)?, chain_id)),
                Stood::Gap(absent) => {
                    // Of some of them only, where the gap begins before the block or ends behind it.
                    let next = first.saturating_add(len_u64(leaves.len()));
                    let kept = absent.gap.end().saturating_sub(next);
                    leaves.extend((0..kept).take(1 << STORED_LEVEL).map(|_| Digest::ZERO));
                }
                Stood::Seal(_) => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((first, leaves))
    }

    /// Adds the leaves up to those of a frontier.
    fn grow(&self, nodes: &mut Tree, chain_id: &Digest, to: &Frontier) -> io::Result<()> {
        if nodes.size() >= to.size() {
            return Ok(());
        }
        self.walk_all(nodes.size()..=to.size().saturating_sub(1), |stood| {
            match stood {
                Stood::Entry(frame) => nodes.push(leaf_of(&once::parse(frame)?, chain_id)),
                Stood::Gap(Absent { gap, .. }) if gap.first == nodes.size() => {
                    nodes.push_gap(gap.first, gap.count, &gap.hashes);
                }
                Stood::Gap(absent) => return Err(absent.clone().into_io()),
                Stood::Seal(_) => {}
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Proves something about durable entries, of which this is the frontier, or one of earlier ones. Nothing if there is no such proof.
    pub(super) fn prove<T>(
        &self,
        chain_id: &Digest,
        frontier: &Frontier,
        proof: impl Fn(&Tree, Leaves<'_>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut held = self.proofs.lock();
        let block = RefCell::new((0, Vec::new()));
        let leaf = |sequence: u64| {
            let mut block = block.borrow_mut();
            let at = |first: u64| usize::try_from(sequence.checked_sub(first)?).ok();
            if at(block.0).is_none_or(|at| at >= block.1.len()) {
                *block = self.block(chain_id, sequence, frontier.size()).ok()?;
            }
            block.1.get(at(block.0)?).copied().filter(|leaf| *leaf != Digest::ZERO)
        };
        let mut proofs = held.take().unwrap_or_else(|| {
            let kept = self.store.shelf().ok().flatten();
            let kept = kept.filter(|(size, _)| *size <= frontier.size());
            let nodes = kept.and_then(|(size, shelf)| Nodes::behind(size, shelf, &leaf));
            nodes.map_or_else(Proofs::nothing, |nodes| Proofs { nodes, is_kept: true })
        });
        self.grow(&mut proofs.nodes, chain_id, frontier)?;
        // One that is longer was compared when it became so.
        let nodes = &proofs.nodes;
        let is_right = nodes.size() > frontier.size() || nodes.frontier() == *frontier;
        let mut made = if is_right { proof(nodes, &leaf) } else { None };
        if made.is_none() && proofs.is_kept {
            // It is damaged, or not of this chain. Without it all entries are read, once.
            self.store.drop_shelf();
            proofs = Proofs::nothing();
            self.grow(&mut proofs.nodes, chain_id, frontier)?;
            made = proof(&proofs.nodes, &leaf);
        }
        *held = Some(proofs);
        Ok(made)
    }

    /// The right edge of the tree over all that is durable.
    pub(super) fn frontier(&self) -> Frontier {
        self.lock().state.frontier.clone()
    }
}

impl Ledger {
    /// Proves that the entry with this sequence is in the chain, by a checkpoint over all that is durable: for whoever has the key of
    /// those who sign checkpoints and nothing else of the ledger.
    pub fn prove(&self, sequence: u64) -> io::Result<Proof> {
        let missing = || {
            let what = format!("expected a durable entry, found none with sequence {sequence}");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        let written = self.entry(sequence)?.ok_or_else(missing)?;
        let (checkpoint, chain_id) = (self.checkpoint()?, self.chain_id());
        let size = checkpoint.size();
        let (shared, root) = (self.shared(), checkpoint.root());
        let leaf = leaf_of(&written, &chain_id);
        let path = shared.prove(&chain_id, &shared.frontier(), |nodes, leaves| {
            let path = nodes.inclusion(sequence, size, leaves)?;
            tree::verify_inclusion(&leaf, sequence, size, &path, &root).then_some(path)
        })?;
        Ok(Proof::new(written, path.ok_or_else(missing)?, checkpoint))
    }
}
