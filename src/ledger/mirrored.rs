//! A ledger as what a mirror is of. Nothing is told to the mirror: it asks, and what it is told is durable.

use std::io;

use crate::digest::Digest;
use crate::ledger::Ledger;
use crate::mirror::Mirrored;
use crate::store::Frames;

impl Mirrored for Ledger {
    fn chain_id(&self) -> Digest {
        Self::chain_id(self)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.head().sequence.saturating_add(1))
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        // A store may have taken more than the ledger has been told that it has.
        let durable = self.head().sequence.saturating_add(1).saturating_sub(first);
        let count = count.min(usize::try_from(durable).unwrap_or(usize::MAX));
        self.shared().store.read(first, count, frames)
    }

    fn hashes(&self, first: u64, count: u64) -> io::Result<Vec<Digest>> {
        let chain_id = self.chain_id();
        let size = self.size()?;
        let hashes = self
            .shared()
            .prove(&chain_id, size, |nodes, leaves| nodes.hashes(first, count, leaves))?;
        hashes.ok_or_else(|| {
            io::Error::other(format!("no hashes of {count} entries from {first} on"))
        })
    }
}
