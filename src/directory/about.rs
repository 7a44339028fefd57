//! What a ledger's files say of themselves, for whoever wants to know it without reading all of them. Nothing here is verified.

use std::io;

use crate::checkpoint::Seal;
use crate::directory::Directory;

impl Directory {
    /// The entries before the last segment on which keys hang, if it lists them, and the first entry of that segment: those in it
    /// have to be looked for.
    pub fn authority(&self) -> (Option<Vec<u64>>, u64) {
        let live = self.live.lock();
        live.pieces
            .last()
            .map_or((None, 0), |piece| (piece.beginning.authority.clone(), piece.beginning.first))
    }

    /// The last seal, if it is about no more entries than are durable and can be read.
    pub fn last_seal(&self) -> io::Result<Option<Seal>> {
        Ok(self.seal_before(self.entries())?.map(|sealed| sealed.seal))
    }
}
