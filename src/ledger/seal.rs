//! Seals: a signed statement over the whole state, where a piece of the store ends and where a ledger is closed. With it the next
//! one to open the ledger need not read what came before.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::chainfile;
use crate::checkpoint::{Seal, SealState};
use crate::codec::Writer;
use crate::digest::Digest;
use crate::error::Refusal;
use crate::frame::Kind;
use crate::key::Purpose;
use crate::ledger::asked::Asked;
use crate::ledger::observe;
use crate::ledger::shared::{Held, Shared};
use crate::ledger::sign::ask;
use crate::ledger::state::Stage;
use crate::signer::{Signer, Statement};
use crate::store::{SealFrame, StoreError};
use crate::sync::within;

/// How long nothing is sealed after an attempt that failed: a signer that is down must not hold up each commit.
const PAUSE: Duration = Duration::from_secs(10);

/// How much longer than it took to fail that is, at least.
const SHARE: u64 = 20;

/// What is to be sealed, and by whom.
struct Unsigned {
    state: SealState,
    chain_id: Digest,
    signer: Arc<dyn Signer>,
}

impl Unsigned {
    /// Has it signed, in this time.
    fn sign(self, asked: &Asked, time: Duration) -> Result<SealFrame, Refusal> {
        let signer = Arc::clone(&self.signer);
        asked.sign(&*signer, time, move || self.sign_now())
    }

    fn sign_now(self) -> Result<SealFrame, Refusal> {
        let statement = self.state.statement(&self.chain_id, &self.signer.id());
        let signature = ask(&*self.signer, &Statement::Digest(Purpose::Seal, &statement), true)?;
        let mut w = Writer::new();
        Seal::new(self.state, self.signer.id(), signature).encode(&mut w);
        let body = w.into_bytes();
        let head = chainfile::encode_head(Kind::Seal, 0, &body)
            .map_err(|error| Refusal::Store(error.to_string()))?;
        Ok(SealFrame::new(head, body))
    }
}

impl Shared {
    /// What a seal over all that is durable says; nothing if nobody signs seals.
    fn unsigned(held: &Held<'_>) -> Option<Unsigned> {
        let state = &held.state;
        let signer = Arc::clone(state.checkpoints.as_ref()?);
        state.may_sign_checkpoints(&signer.id()).ok()?;
        let (chain_id, size) = (state.chain.id(), state.head.sequence.saturating_add(1));
        let frontier = state.frontier.hashes().to_vec();
        let state = SealState {
            size,
            head: state.head.digest,
            stamp: state.head.stamp,
            frontier,
            keyring: state.keyring.digest(),
            epoch: state.epoch,
            quarantined: state.quarantined,
        };
        Some(Unsigned { state, chain_id, signer })
    }

    /// Has a seal written, after a commit, by whoever led it: nobody else leads meanwhile, and those who waited for the commit do not
    /// wait for the seal.
    pub(super) fn rotate<'s>(&'s self, mut held: Held<'s>) -> Held<'s> {
        let now = self.time().running();
        if now < held.state.seal_again || held.state.stage.refusal().is_some() {
            return held;
        }
        let Some(unsigned) = Self::unsigned(&held) else { return held };
        held.state.leading = true;
        drop(held);
        let sealing = self.step();
        let size = unsigned.state.size;
        let time = Duration::from_nanos(self.options.signer_nanos);
        let sealed = unsigned.sign(&self.sealing, time).map(|frame| self.store.seal(&frame, false));
        // One that hangs holds up all commits meanwhile: most of the time they must not wait for it.
        let took = self.time().running().saturating_sub(now);
        let is_short = !self.store.has_room();
        drop(sealing);
        let mut held = self.lock();
        let desk = &mut *held;
        desk.state.leading = false;
        match sealed {
            Ok(Ok(())) => {
                desk.state.sealed_size = size;
                self.keeper.poke();
            }
            Ok(Err(StoreError::Uncertain(error))) => {
                let what = error.to_string();
                desk.fail(Stage::Failed(what.clone()), &what);
            }
            not_sealed => {
                if let Ok(Err(StoreError::Refused(error))) = &not_sealed
                    && is_short
                {
                    desk.state.run_short(0, error, self.time().wall());
                }
                let what = match not_sealed {
                    Err(refusal) => refusal.to_string(),
                    Ok(sealed) => sealed.err().map(|error| error.to_string()).unwrap_or_default(),
                };
                observe::not_sealed(&what);
                let pause = u64::try_from(PAUSE.as_nanos()).unwrap_or(u64::MAX);
                let pause = pause.max(took.saturating_mul(SHARE));
                desk.state.seal_again = self.time().running().saturating_add(pause);
            }
        }
        held
    }

    /// Seals a ledger that is closed, if there is anything new, does what is to be done `before` its store is let go of, and lets go of
    /// it. Says what did not go well. `left` says how much time there is.
    pub(super) fn finish(
        self: &Arc<Self>,
        held: Held<'_>,
        left: impl Fn() -> Duration,
        before: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        let size = held.state.head.sequence.saturating_add(1);
        // Behind a seal nobody would know that the writer before did not close it, if that is still to be recorded.
        let is_due = held.state.sealed_size < size && !held.state.owes();
        let unsigned = is_due.then(|| Self::unsigned(&held)).flatten();
        drop(held);
        let _step = self.step();
        let time = Duration::from_nanos(self.options.signer_nanos);
        let sealed = unsigned.map(|unsigned| {
            let frame = unsigned.sign(&self.sealing, time.min(left()));
            let frame = frame.map_err(|refusal| refusal.to_string())?;
            self.store.seal(&frame, true).map_err(|error| error.to_string())
        });
        let trouble = match sealed {
            None => None,
            Some(Ok(())) => {
                self.lock().state.sealed_size = size;
                None
            }
            Some(Err(what)) => Some(format!("the seal: {what}")),
        };
        let anchored = self.anchor_within(left()).err().map(|why| format!("the anchor: {why}"));
        // Before somebody else can open the ledger, and write a mirror of it in the same place.
        let mirrored = before();
        observe::closed(size);
        let ended = self.release().err().map(|error| format!("the store: {error}"));
        trouble.or(anchored).or(mirrored).or(ended)
    }

    /// Has nothing more done for a ledger that is over, and lets go of its store.
    fn release(&self) -> io::Result<()> {
        self.keeper.stop();
        self.store.end()
    }

    /// As `release`, for one that has failed: as soon as whatever may still be under way in its store is over, and without waiting for that
    /// any longer than `time`.
    pub(super) fn give_up(self: &Arc<Self>, time: Duration) {
        let shared = Arc::clone(self);
        // What is wrong with it was told.
        drop(within(time, move || drop(shared.release())));
    }
}
