//! A ledger as a source of replay: what is durable, which the ledger itself linked, signed and wrote.

use std::io;
use std::ops::ControlFlow;

use crate::ledger::{Ledger, once};
use crate::projection::Item;
use crate::replay::{Each, End, Opening, Source, Step};

/// Frames that are read at once.
const BLOCK: usize = 256;

impl Source for Ledger {
    fn opening(&mut self) -> io::Result<Option<Opening>> {
        let held = self.shared().lock();
        let (chain_id, predecessor) = (held.state.chain.id(), held.state.chain.predecessor());
        Ok(Some(Opening { chain_id, predecessor: predecessor.cloned() }))
    }

    fn size(&mut self) -> io::Result<Option<u64>> {
        Ok(Some(self.head().sequence.saturating_add(1)))
    }

    fn says_head(&self) -> bool {
        true
    }

    fn read(&mut self, each: &mut Each<'_>) -> io::Result<End> {
        let (chain_id, last) = (self.chain_id(), self.head());
        let size = last.sequence.saturating_add(1);
        let mut next = 0;
        while next < size {
            let block = self.shared().store.read(next, BLOCK)?;
            if block.is_empty() {
                let message = format!("expected entry {next}, found none");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            for stored in block.iter().filter(|stored| stored.sequence < size) {
                let written = once::parse(stored)?;
                let item = Item::new(chain_id, &written.fields, &written.part);
                if let ControlFlow::Break(()) = each(Step::Entry(item, Some(&written.signature))) {
                    return Ok(End::whole(size).with_head(last.digest));
                }
                next = stored.sequence.saturating_add(1);
            }
        }
        Ok(End::whole(size).with_head(last.digest))
    }
}
