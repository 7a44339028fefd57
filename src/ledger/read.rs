//! Reading: as far as is durable and no further.

use std::io::{self, Write};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use crate::chain::Head;
use crate::chainfile::{self, Form};
use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::frame::Written;
use crate::id::EventId;
use crate::keyring::Keyring;
use crate::ledger::shared::{Desk, Shared};
use crate::ledger::{Ledger, once};
use crate::receipt::Receipt;
use crate::signer::Signer;
use crate::store::Frames;
use crate::tree::{self, Leaves, Nodes};

/// Frames that are read at once.
const BLOCK: usize = 256;

impl Shared {
    /// Gives the durable entries of a range in order, until the callback breaks.
    pub(super) fn walk(
        &self,
        range: RangeInclusive<u64>,
        mut each: impl FnMut(Written<'_>) -> io::Result<ControlFlow<()>>,
    ) -> io::Result<()> {
        let (mut next, end) = range.into_inner();
        let mut block = Frames::new();
        while next <= end {
            self.store.read(next, BLOCK, &mut block)?;
            if block.is_empty() {
                let message = format!("expected entry {next}, found none");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            for frame in block.iter().filter(|frame| frame.sequence <= end) {
                if each(once::parse(frame)?)?.is_break() {
                    return Ok(());
                }
                next = frame.sequence.saturating_add(1);
            }
        }
        Ok(())
    }

    /// The leaf hash of a durable entry, if it can be read.
    fn leaf(&self, chain_id: &Digest, sequence: u64) -> Option<Digest> {
        let frames = once::frame_at(&*self.store, sequence).ok()?;
        let written = once::parse_first(&frames).ok()?;
        let entry = written.entry(chain_id);
        Some(tree::leaf_hash(&entry.digest(), entry.signature()))
    }

    /// Proves something about the first `size` entries, all of them durable. The tree for it is made when it is first asked for, and
    /// grows from then on: most ledgers never prove anything, and reading all entries when one is opened would cost more.
    pub(super) fn prove<T>(
        &self,
        chain_id: &Digest,
        size: u64,
        make: impl FnOnce(&Nodes, Leaves<'_>) -> T,
    ) -> io::Result<T> {
        let mut nodes = self.proofs.lock();
        if nodes.size() < size {
            self.walk(nodes.size()..=size.saturating_sub(1), |written| {
                let entry = written.entry(chain_id);
                nodes.push(tree::leaf_hash(&entry.digest(), entry.signature()));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let leaf = |sequence| self.leaf(chain_id, sequence);
        Ok(make(&nodes, &leaf))
    }
}

impl Desk {
    /// Who signs checkpoints, if anybody does. One whose key may not is an error: verification would call what it signs false.
    fn checkpoint_signer(&self) -> io::Result<Option<Arc<dyn Signer>>> {
        if let Some(signer) = &self.state.checkpoints {
            let may = self.state.may_sign_checkpoints(&signer.id());
            may.map_err(|refusal| io::Error::new(io::ErrorKind::InvalidInput, refusal))?;
        }
        Ok(self.state.checkpoints.clone())
    }
}

impl Ledger {
    /// The chain's id.
    pub fn chain_id(&self) -> Digest {
        self.shared().lock().state.chain.id()
    }

    /// The origin line of the chain's checkpoints, `NAME/CHAINID`.
    pub fn origin(&self) -> String {
        self.shared().lock().state.chain.origin()
    }

    /// The last durable entry.
    pub fn head(&self) -> Head {
        self.shared().lock().state.head
    }

    /// Which key may sign what, as of the last durable entry.
    pub fn keyring(&self) -> Keyring {
        self.shared().lock().state.keyring.clone()
    }

    /// How long the ledger's lock was held so far, all times together; zero unless the options say that it is measured.
    pub fn held_for(&self) -> Duration {
        self.shared().lock().held_for
    }

    /// The entry with this sequence, if it is durable.
    pub fn entry(&self, sequence: u64) -> io::Result<Option<Written<'static>>> {
        if sequence > self.head().sequence {
            return Ok(None);
        }
        let frames = once::frame_at(&*self.shared().store, sequence)?;
        once::parse_first(&frames).map(|written| Some(written.into_owned()))
    }

    /// The receipt of the event with this id, if it is durable: what to ask after an uncertain outcome.
    pub fn find(&self, event_id: &EventId) -> io::Result<Option<Receipt>> {
        let head = self.head();
        let found = self.shared().store.find(event_id)?;
        let Some(sequence) = found.filter(|sequence| *sequence <= head.sequence) else {
            return Ok(None);
        };
        let frames = once::frame_at(&*self.shared().store, sequence)?;
        Ok(Some(once::receipt(&once::parse_first(&frames)?, &self.chain_id())))
    }

    /// A checkpoint over all durable entries, by whoever signs checkpoints: to be kept where nobody who can write the ledger
    /// can.
    pub fn checkpoint(&self) -> io::Result<Checkpoint> {
        let held = self.shared().lock();
        let (origin, last) = (held.state.chain.origin(), held.state.head);
        let root = held.state.frontier.root();
        let signer = held.checkpoint_signer()?;
        drop(held);
        let signer = signer.ok_or_else(|| {
            let message = "expected a signer of checkpoints, found none; see sign_checkpoints_with";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        let size = last.sequence.saturating_add(1);
        Checkpoint::by_signer(&origin, size, root, &*signer).map_err(io::Error::other)
    }

    /// Writes all durable entries as a file that proves itself: a chain file or JSON lines. Its end is signed if somebody signs
    /// checkpoints.
    pub fn export<W: Write>(&self, sink: W, form: Form) -> io::Result<W> {
        let held = self.shared().lock();
        let (chain_id, origin) = (held.state.chain.id(), held.state.chain.origin());
        let (end, signer) = (held.state.head.sequence, held.checkpoint_signer()?);
        drop(held);
        let mut writer = chainfile::Writer::new(sink, form, chain_id)?;
        self.shared().walk(0..=end, |written| {
            writer.entry(written.left, written.entry(&chain_id), written.part)?;
            Ok(ControlFlow::Continue(()))
        })?;
        let Some(signer) = signer else { return writer.finish_unsigned() };
        let checkpoint = Checkpoint::by_signer(&origin, writer.size(), writer.root(), &*signer);
        writer.finish_with(checkpoint.map_err(io::Error::other)?)
    }
}
