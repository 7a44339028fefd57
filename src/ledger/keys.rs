//! The life of keys: enrolled, rotated and revoked by entries, each alone in the queue.
//!
//! A change is proposed first, because approvals are bound to the event that carries it: an operator signs the change's
//! statement wherever the operator's key is, and only then is it applied.

use std::fmt;
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{AppendError, Refusal};
use crate::fault::{Code, Misfit};
use crate::id::EventId;
use crate::key::{KeyId, PublicKey, Purpose, Role, Signature};
use crate::ledger::Ledger;
use crate::ledger::append::Then;
use crate::ledger::call::{Draft, random};
use crate::ledger::once::Known;
use crate::ledger::shared::{Held, Shared};
use crate::ledger::sign::{ask, record};
use crate::ledger::state::{Linking, State};
use crate::ledger::ticket::Ticket;
use crate::quarantine::OPEN;
use crate::receipt::Receipt;
use crate::reserved::{Approval, Reason, Reserved, Trusted};
use crate::signer::{Signer, Statement};

/// Attempts at a change whose proof is about a size that the ledger's own entries have moved meanwhile.
const ATTEMPTS: usize = 4;

/// A change of the chain's keys that is not applied yet.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a change that is not applied changes nothing"]
pub struct Change {
    chain_id: Digest,
    event_id: EventId,
    reserved: Reserved,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let approvals = self.reserved.approvals().len();
        write!(
            f,
            "Change({}, {}, {approvals} approvals)",
            self.reserved.event_type(),
            self.event_id
        )
    }
}

impl Change {
    /// A change that was proposed elsewhere or earlier, as it comes out of a file: whether it fits this chain, and whether its
    /// approvals hold, is judged when it is applied.
    pub fn of(chain_id: Digest, event_id: EventId, reserved: Reserved) -> Self {
        Self { chain_id, event_id, reserved }
    }

    /// The chain whose keys it changes.
    pub fn chain_id(&self) -> Digest {
        self.chain_id
    }

    /// What an approval signs, for the purpose `Approval`.
    pub fn statement(&self) -> Digest {
        self.reserved.statement(&self.chain_id, self.event_id)
    }

    /// The event that will carry it.
    pub fn event_id(&self) -> EventId {
        self.event_id
    }

    /// What it will be in the chain.
    pub fn reserved(&self) -> &Reserved {
        &self.reserved
    }

    /// Approves it.
    pub fn approved_by(self, signer: &dyn Signer) -> Result<Self, Refusal> {
        let statement = self.statement();
        let signature = ask(signer, &Statement::Digest(Purpose::Approval, &statement), true)?;
        Ok(self.approved(signer.public(), signature))
    }

    /// Adds an approval that was signed elsewhere.
    pub fn approved(mut self, by: &PublicKey, signature: Signature) -> Self {
        self.reserved.add(Approval { public: *by.as_bytes(), signature });
        self
    }
}

impl Ledger {
    /// Proposes to enrol a key: for entries (no approval needed), or for checkpoints (an operator's or a checkpoint key's).
    pub fn propose_enrolment(&self, key: &dyn Signer, role: Role) -> Result<Change, Refusal> {
        self.propose(|chain_id, event_id| {
            let key = record(key, role, chain_id, event_id)?;
            Ok(Reserved::Enroll { approvals: Vec::new(), key })
        })
    }

    /// Proposes that a key takes the place of another.
    pub fn propose_rotation(&self, old: KeyId, new: &dyn Signer) -> Result<Change, Refusal> {
        let held = self.shared().lock();
        // Whether the old key is enrolled at all is for the chain to judge.
        let role = held.state.chain.keyring().get(&old).map_or(Role::Entry, |key| key.role);
        drop(held);
        self.propose(|chain_id, event_id| {
            let key = record(new, role, chain_id, event_id)?;
            Ok(Reserved::Rotate { approvals: Vec::new(), key, old })
        })
    }

    /// Proposes to end a key. If it is compromised: `trusted` is the last checkpoint that another key vouched for.
    pub fn propose_revocation(
        &self,
        key: KeyId,
        reason: Reason,
        trusted: Option<Trusted>,
    ) -> Result<Change, Refusal> {
        let (approvals, consistency) = (Vec::new(), Vec::new());
        self.propose(|_, _| Ok(Reserved::Revoke { approvals, consistency, key, reason, trusted }))
    }

    /// Proposes other operators.
    pub fn propose_operators(&self, operators: &[PublicKey]) -> Result<Change, Refusal> {
        let mut operators: Vec<_> = operators.iter().map(PublicKey::operator_hash).collect();
        operators.sort_unstable();
        self.propose(|_, _| Ok(Reserved::Operators { approvals: Vec::new(), operators }))
    }

    fn propose(
        &self,
        reserved: impl FnOnce(&Digest, EventId) -> Result<Reserved, Refusal>,
    ) -> Result<Change, Refusal> {
        let shared = self.shared();
        let _step = shared.step();
        let chain_id = shared.lock().state.chain.id();
        let event_id = EventId::new(shared.millis(), random()?);
        Ok(Change { chain_id, event_id, reserved: reserved(&chain_id, event_id)? })
    }

    /// Applies a change, signed by the ledger's own signer.
    ///
    /// A rotation of a key that the ledger itself uses is refused here: [`Ledger::apply_then`] takes who signs from then on. If the
    /// ledger's own key is revoked, appends are refused until [`Ledger::sign_with`]; if it is that of checkpoints, there are none until
    /// [`Ledger::sign_checkpoints_with`].
    #[expect(clippy::needless_pass_by_value, reason = "a change is applied once")]
    pub fn apply(&self, change: Change) -> Result<Receipt, AppendError> {
        if let Reserved::Rotate { old, .. } = &change.reserved {
            let held = self.shared().lock();
            let state = &held.state;
            let is_used = state.signer.id() == *old
                || state.checkpoints.as_ref().is_some_and(|signer| signer.id() == *old);
            if is_used {
                let expected = "a signer of the new key, for apply_then";
                let misfit =
                    Misfit::new(Code::KeyState, expected, format!("none; {old} is in use"));
                return Err(Refusal::Chain(misfit).into());
            }
        }
        self.apply_as(&change, None, None)
    }

    /// Applies a rotation, signed by the ledger's own signer, and has `new` sign from then on what the old key signed: entries or
    /// checkpoints.
    #[expect(clippy::needless_pass_by_value, reason = "a change is applied once")]
    pub fn apply_then(
        &self,
        change: Change,
        new: impl Signer + 'static,
    ) -> Result<Receipt, AppendError> {
        let new: Arc<dyn Signer> = Arc::new(new);
        self.apply_as(&change, None, Some(&new))
    }

    /// Applies a rotation, signed by the new key itself, which signs from then on: for when the old one is lost. An operator has to
    /// have approved.
    ///
    /// Digests that the lost key's signer saw and did not answer for can no longer be listed as abandoned.
    #[expect(clippy::needless_pass_by_value, reason = "a change is applied once")]
    pub fn apply_signed_by(
        &self,
        change: Change,
        signer: impl Signer + 'static,
    ) -> Result<Receipt, AppendError> {
        let signer: Arc<dyn Signer> = Arc::new(signer);
        self.apply_as(&change, Some(&signer), Some(&signer))
    }

    /// Enrols a new key in the place of the ledger's own, which signs that; the new one signs from then on.
    pub fn rotate(&self, new: impl Signer + 'static) -> Result<Receipt, AppendError> {
        let old = self.shared().lock().state.signer.id();
        let change = self.propose_rotation(old, &new)?;
        let new: Arc<dyn Signer> = Arc::new(new);
        self.apply_as(&change, None, Some(&new))
    }

    /// Has another signer sign entries from now on. Its key has to be enrolled, or appends are refused.
    pub fn sign_with(&self, signer: impl Signer + 'static) -> Result<(), Refusal> {
        let (_gate, mut held) = self.shared().alone()?;
        held.state.signer = Arc::new(signer);
        Ok(())
    }

    /// Has this signer sign checkpoints from now on. Its key has to be enrolled for that.
    pub fn sign_checkpoints_with(&self, signer: impl Signer + 'static) -> Result<(), Refusal> {
        let (_gate, mut held) = self.shared().alone()?;
        held.state.may_sign_checkpoints(&signer.id())?;
        held.state.checkpoints = Some(Arc::new(signer));
        Ok(())
    }

    /// Applies a change, signed by `signer` or else the ledger's own, and has `next` sign from then on: before anybody else comes in,
    /// whose entry would be refused under a key that has just ended.
    fn apply_as(
        &self,
        change: &Change,
        signer: Option<&Arc<dyn Signer>>,
        next: Option<&Arc<dyn Signer>>,
    ) -> Result<Receipt, AppendError> {
        let shared = self.shared();
        let _step = shared.step();
        if let Some(next) = next {
            fits(change, next)?;
        }
        // The tree for the proof is made of all entries: most of them are read before anybody has to wait.
        drop(shared.with_proof(change));
        for _ in 0..ATTEMPTS {
            let (_gate, held) = shared.alone()?;
            let held = self.pay(held, signer.is_some())?;
            let root = Some(held.state.frontier.root());
            // Nothing comes between: the gate keeps others out. Without the lock, since readers, too, may be at the tree.
            drop(held);
            let reserved = shared.with_proof(change);
            let mut held = shared.lock();
            shared.check(&held.state.stage)?;
            let draft = Draft::reserved(reserved, Some(change.event_id), None)?;
            // The queue is empty and stays so: only the store and those who are about to come can have the id.
            if held.state.ids.is_claimed(&change.event_id) {
                return Err(Refusal::IdBusy.into());
            }
            match shared.find_in(change.chain_id, &draft) {
                Ok(Known::Durable(receipt)) => return Ok(receipt),
                // Its id is new, and what keeps it from being looked for may be the very damage that it is about.
                Err(_) if change.reserved.event_type() == OPEN => {}
                known => drop(known?),
            }
            let own = Arc::clone(&held.state.signer);
            let by = signer.unwrap_or(&own);
            let linking =
                Linking { pays: signer.is_none(), time: shared.time(), signer: by.id(), root };
            let linked = held.state.link(vec![draft], &linking);
            // What the clock had to say goes first, and moves the entry away from the size that its proof is about: once more, with
            // that recorded.
            if linked.is_err() && linking.pays && held.state.owes() {
                continue;
            }
            let call = linked?;
            let way = self.go_on(held, call, Arc::clone(by), Then::Wait);
            let receipt = Ticket(way).wait()?;
            let mut held = shared.lock();
            if signer.is_some() {
                held.state.disown();
            }
            held.state.follow(&change.reserved, next);
            let is_strict = shared.keeper.is_strict() && held.state.checkpoints.is_some();
            drop(held);
            // Where nothing is acknowledged before it is anchored: a change of the checkpoint key could not be under the key that it ended.
            if is_strict && let Err(why) = shared.anchor() {
                let (what, event_id) = (why.to_string(), change.event_id);
                shared.lock().fail(shared.failed(what.clone()), &what);
                return Err(AppendError::Uncertain { event_id, others: Vec::new(), what });
            }
            return Ok(receipt);
        }
        Err(Refusal::Abandoned.into())
    }

    /// Records what the ledger owes of its own, so that a change comes right after what it is about.
    fn pay<'s>(&'s self, mut held: Held<'s>, is_lost: bool) -> Result<Held<'s>, AppendError> {
        while held.state.owes() {
            let (call, signer) = match self.shared().link(&mut held, Vec::new()) {
                // Its key has ended: what it owes can only be given up, once the new key is in its place.
                Err(Refusal::Chain(_)) if is_lost => break,
                linked => linked?,
            };
            let way = self.go_on(held, call, signer, Then::Wait);
            let paid = way.outcome();
            held = self.shared().lock();
            // It may have been closed meanwhile, and then nothing may follow.
            self.shared().check(&held.state.stage)?;
            match paid {
                Ok(()) => {}
                Err(AppendError::Refused(refusal)) if is_lost && refusal.is_signers() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }
}

/// Whether a signer is that of the key that a rotation enrols.
fn fits(change: &Change, next: &Arc<dyn Signer>) -> Result<(), Refusal> {
    let found = match &change.reserved {
        Reserved::Rotate { key, .. } if key.id() == next.id() => return Ok(()),
        Reserved::Rotate { key, .. } => format!("one of {}, for {}", next.id(), key.id()),
        other => other.event_type().to_owned(),
    };
    let expected = "a rotation, and a signer of the key that it enrols";
    Err(Refusal::Chain(Misfit::new(Code::KeyState, expected, found)))
}

impl State {
    /// Whether this key may sign checkpoints now.
    pub(super) fn may_sign_checkpoints(&self, id: &KeyId) -> Result<(), Refusal> {
        let key = self.chain.keyring().get(id);
        let misfit = match key {
            None => Misfit::new(Code::KeyUnknown, "a key of this chain", id.to_string()),
            Some(key) if key.role != Role::Checkpoint => {
                Misfit::new(Code::KeyRole, "a key of role checkpoint", key.role.name())
            }
            Some(key) if !key.is_active() => {
                Misfit::new(Code::KeyEnded, "an active key", format!("key {id}, which has ended"))
            }
            Some(_) => return Ok(()),
        };
        Err(Refusal::Chain(misfit))
    }

    /// Whether somebody signs checkpoints who may.
    pub(super) fn has_checkpoint_signer(&self) -> bool {
        let signer = self.checkpoints.as_ref();
        signer.is_some_and(|signer| self.may_sign_checkpoints(&signer.id()).is_ok())
    }

    /// A change took effect: who signed with a key that has ended does so no more.
    fn follow(&mut self, change: &Reserved, next: Option<&Arc<dyn Signer>>) {
        let ended = self.checkpoints.as_ref().map(|signer| signer.id());
        if ended.is_some_and(|id| self.may_sign_checkpoints(&id).is_err()) {
            self.checkpoints = None;
        }
        // Nobody comes in between: it is the last entry, until another resolves it.
        if change.event_type() == OPEN {
            self.quarantine("its last entry says so");
        }
        let Some(next) = next else { return };
        match change {
            Reserved::Rotate { key, .. } if key.role == Role::Checkpoint => {
                self.checkpoints = Some(Arc::clone(next));
            }
            _ => self.signer = Arc::clone(next),
        }
    }
}

impl Shared {
    /// A revocation as compromised proves that what is still trusted is the beginning of this chain.
    fn with_proof(&self, change: &Change) -> Reserved {
        let (reserved, chain_id) = (change.reserved.clone(), &change.chain_id);
        let Reserved::Revoke { approvals, key, reason, trusted: Some(trusted), .. } = reserved
        else {
            return reserved;
        };
        // A trusted size beyond the end has no proof, and the chain refuses it.
        let frontier = self.frontier();
        let proof = self.prove(chain_id, &frontier, |nodes, leaves| {
            nodes.consistency(trusted.size, frontier.size(), leaves)
        });
        let consistency = proof.ok().flatten().unwrap_or_default();
        Reserved::Revoke { approvals, consistency, key, reason, trusted: Some(trusted) }
    }
}
