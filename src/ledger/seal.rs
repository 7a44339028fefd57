//! Seals: a signed statement over the whole state, where a piece of the store ends and where a ledger is closed. With it the next
//! one to open the ledger need not read what came before.

use std::sync::Arc;
use std::time::Duration;

use crate::chainfile;
use crate::checkpoint::{Seal, SealState};
use crate::codec::Writer;
use crate::digest::Digest;
use crate::error::Refusal;
use crate::frame::Kind;
use crate::key::Purpose;
use crate::ledger::anchoring::Unanchored;
use crate::ledger::observe;
use crate::ledger::shared::{Held, Shared};
use crate::ledger::sign::ask;
use crate::ledger::state::Stage;
use crate::signer::{Signer, Statement};
use crate::store::{SealFrame, StoreError};

/// How long nothing is sealed after an attempt that failed: a signer that is down must not hold up each commit.
const PAUSE: Duration = Duration::from_secs(10);

/// What is to be sealed, and by whom.
struct Unsigned {
    state: SealState,
    chain_id: Digest,
    signer: Arc<dyn Signer>,
}

impl Unsigned {
    fn sign(self) -> Result<SealFrame, Refusal> {
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
            quarantined: false,
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
        let sealed = unsigned.sign().map(|frame| self.store.seal(&frame, false));
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
                desk.state.fail(Stage::Failed(what.clone()), &what, &mut desk.ended);
            }
            Err(_) | Ok(Err(StoreError::Refused(_))) => {
                let pause = u64::try_from(PAUSE.as_nanos()).unwrap_or(u64::MAX);
                desk.state.seal_again = now.saturating_add(pause);
            }
        }
        held
    }

    /// Seals a ledger that is closed, if there is anything new, and lets go of its store. Says what did not go well.
    pub(super) fn finish(&self, held: Held<'_>) -> Option<String> {
        let size = held.state.head.sequence.saturating_add(1);
        let unsigned = (held.state.sealed_size < size).then(|| Self::unsigned(&held)).flatten();
        drop(held);
        let _step = self.step();
        let sealed = unsigned.map(|unsigned| {
            let frame = unsigned.sign().map_err(|refusal| refusal.to_string())?;
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
        let anchored = match self.anchor() {
            Err(Unanchored::Fenced(what) | Unanchored::Failed(what)) => {
                Some(format!("the anchor: {what}"))
            }
            Ok(()) => None,
        };
        self.keeper.stop();
        observe::closed(size);
        let ended = self.store.end().err().map(|error| format!("the store: {error}"));
        trouble.or(anchored).or(ended)
    }
}
