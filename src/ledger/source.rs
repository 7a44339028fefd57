//! A ledger as a source of replay: what is durable, which the ledger itself linked, signed and wrote.

use std::io;
use std::ops::ControlFlow;

use crate::ledger::read::Stood;
use crate::ledger::{Ledger, once};
use crate::projection::Item;
use crate::replay::{Each, End, Opening, Source, Step};

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
        !self.shared().store.has_gaps()
    }

    fn read(&mut self, each: &mut Each<'_>) -> io::Result<End> {
        let (chain_id, last) = (self.chain_id(), self.head());
        let size = last.sequence.saturating_add(1);
        self.shared().walk_all(0..=last.sequence, |stood| match stood {
            Stood::Entry(frame) => {
                let written = once::parse(frame)?;
                let item = Item::new(chain_id, &written.fields, &written.part);
                Ok(each(Step::Entry(item, Some(&written.signature))))
            }
            Stood::Gap(absent) => Ok(each(Step::Gap(&absent.gap))),
            Stood::Seal(_) => Ok(ControlFlow::Continue(())),
        })?;
        Ok(End::whole(size).with_head(last.digest))
    }
}
