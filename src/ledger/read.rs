//! Reading: as far as is durable and no further.

use std::io::{self, Write};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use crate::chain::Head;
use crate::chainfile::{self, Form};
use crate::checkpoint::{Checkpoint, Seal};
use crate::codec::Reader;
use crate::digest::Digest;
use crate::frame::Written;
use crate::id::EventId;
use crate::keyring::Keyring;
use crate::ledger::shared::{Desk, Shared};
use crate::ledger::{Ledger, once};
use crate::receipt::Receipt;
use crate::select::{Filter, Selected};
use crate::signer::Signer;
use crate::store::{Absent, FrameRef, Frames, read_or_gap};

/// Frames that are read at once: few enough that they are still near the core when they are parsed. Measured in memory, with 256 bytes
/// of payload: 3.07 million a second, 2.71 with four times as many.
const BLOCK: usize = 64;

/// What stands in a store.
pub(super) enum Stood<'f> {
    Entry(FrameRef<'f>),
    /// Entries that are not there any more.
    Gap(&'f Absent),
    /// The body of a seal.
    Seal(&'f [u8]),
}

fn seal(body: &[u8]) -> io::Result<Seal> {
    let r = &mut Reader::new(body);
    let seal = Seal::parse(r).and_then(|seal| r.finish().map(|()| seal));
    seal.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("a seal: {error}")))
}

impl Shared {
    /// Gives the durable entries of a range in order, until the callback breaks. That some are not there any more is an error, which says
    /// so.
    pub(super) fn walk(
        &self,
        range: RangeInclusive<u64>,
        mut each: impl FnMut(Written<'_>) -> io::Result<ControlFlow<()>>,
    ) -> io::Result<()> {
        self.walk_all(range, |stood| match stood {
            Stood::Entry(frame) => each(once::parse(frame)?),
            Stood::Gap(absent) => Err(absent.clone().into_io()),
            Stood::Seal(_) => Ok(ControlFlow::Continue(())),
        })
    }

    /// As `walk`, with the seals that stand between the entries and right behind the last of them, and with gaps.
    pub(super) fn walk_all(
        &self,
        range: RangeInclusive<u64>,
        mut each: impl FnMut(Stood<'_>) -> io::Result<ControlFlow<()>>,
    ) -> io::Result<()> {
        let (mut next, end) = range.into_inner();
        let mut block = Frames::new();
        while next <= end {
            if let Some(absent) = read_or_gap(&*self.store, next, BLOCK, &mut block)? {
                next = absent.gap.end();
                let seals = absent.seals.iter().filter(|_| next <= end.saturating_add(1));
                let stood = std::iter::once(Stood::Gap(&absent));
                for stood in stood.chain(seals.map(|body| Stood::Seal(body))) {
                    if each(stood)?.is_break() {
                        return Ok(());
                    }
                }
                continue;
            }
            if block.is_empty() {
                let message = format!("expected entry {next}, found none");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            let mut seals = block.seals().peekable();
            for frame in block.iter().filter(|frame| frame.sequence <= end) {
                if each(Stood::Entry(frame))?.is_break() {
                    return Ok(());
                }
                next = frame.sequence.saturating_add(1);
                while let Some((_, body)) = seals.next_if(|(size, _)| *size <= next) {
                    if each(Stood::Seal(body))?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
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

    /// The durable entries that a filter wants.
    pub fn select(&self, filter: &Filter) -> io::Result<Selected<'_>> {
        filter.select_within(&*self.shared().store, self.head().sequence.saturating_add(1))
    }

    /// The receipt of the event with this id, if it is durable: what to ask after an uncertain outcome.
    pub fn find(&self, event_id: &EventId) -> io::Result<Option<Receipt>> {
        let head = self.head();
        let found = self.shared().store.find(event_id)?;
        let Some(sequence) = found.filter(|sequence| *sequence <= head.sequence) else {
            return Ok(None);
        };
        let frames = once::frame_at(&*self.shared().store, sequence)?;
        Ok(Some(once::receipt(&once::parse_event(&frames, event_id)?, &self.chain_id())))
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

    /// Writes all durable entries, and the seals between them, as a file that proves itself: a chain file or JSON lines. Its end is
    /// signed if somebody signs checkpoints.
    pub fn export<W: Write>(&self, sink: W, form: Form) -> io::Result<W> {
        let held = self.shared().lock();
        let (chain_id, origin) = (held.state.chain.id(), held.state.chain.origin());
        let (end, signer) = (held.state.head.sequence, held.checkpoint_signer()?);
        drop(held);
        let mut writer = chainfile::Writer::new(sink, form, chain_id)?;
        self.shared().walk_all(0..=end, |stood| {
            match stood {
                Stood::Entry(frame) => {
                    let written = once::parse(frame)?;
                    writer.entry(written.left, written.entry(&chain_id), written.part)?;
                }
                Stood::Gap(absent) => writer.gap(absent.gap.clone())?,
                Stood::Seal(body) => writer.seal(seal(body)?)?,
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let Some(signer) = signer else { return writer.finish_unsigned() };
        let checkpoint = Checkpoint::by_signer(&origin, writer.size(), writer.root(), &*signer);
        writer.finish_with(checkpoint.map_err(io::Error::other)?)
    }
}
