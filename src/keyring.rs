//! The keyring: which key may sign what, from where to where, as the chain itself says.
//!
//! A change is judged on the keyring as it was (`judge`) and takes effect only afterwards (`apply`), so that a refused change
//! leaves no trace. Keys are never removed: an ended key never becomes active again.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::Writer;
use crate::digest::Digest;
use crate::fault::{Code, Misfit};
use crate::id::EventId;
use crate::key::{KeyId, PublicKey, Purpose, Role};
use crate::reserved::{KeyRecord, Reason, Reserved, Trusted};
use crate::tree;

/// Keys that a chain may enrol.
pub const KEYS_MAX: usize = 1024;

/// A key of the chain, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// The key.
    pub public: PublicKey,
    /// What it may sign.
    pub role: Role,
    /// The entry that enrolled it.
    pub from: u64,
    /// The entry that ended it.
    pub until: Option<u64>,
    /// Why it ended, as stated last.
    pub reason: Option<Reason>,
    /// If it was compromised: the size up to which its signatures can be trusted.
    pub trusted: Option<u64>,
}

impl Key {
    /// Whether it may sign now.
    pub fn is_active(&self) -> bool {
        self.until.is_none()
    }

    /// Whether it may sign checkpoints and seals of this size.
    pub fn may_seal(&self, size: u64) -> bool {
        let is_within = size > self.from && self.until.is_none_or(|until| size <= until);
        self.role == Role::Checkpoint && is_within
    }
}

/// The entry that asks for a change.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Its event.
    pub event_id: EventId,
    /// Its place.
    pub sequence: u64,
    /// Who signed it.
    pub signer: KeyId,
    /// Root of the tree of all entries before it, if it is known.
    pub root: Option<Digest>,
}

/// A change that was judged, and can take effect.
#[derive(Clone, Debug, Default)]
#[must_use = "a change that is not applied does not take effect"]
pub struct Change {
    enrol: Vec<(PublicKey, Role)>,
    end: Option<(KeyId, Reason, Option<u64>)>,
    operators: Option<Vec<Digest>>,
    approved: Option<EventId>,
}

/// Which keys may sign and approve.
#[derive(Clone, Debug)]
pub struct Keyring {
    chain_id: Digest,
    keys: Vec<Key>,
    places: BTreeMap<KeyId, usize>,
    operators: Vec<Digest>,
    /// Events whose approvals have been used: each counts once.
    approved: BTreeSet<EventId>,
}

/// Who may approve an entry, besides the operators.
enum Approvers<'k> {
    Operators,
    OrActiveCheckpointKeys,
    OrKey(&'k Key),
}

impl Keyring {
    /// The keyring that a genesis sets up; `chain_id` is the digest of that genesis.
    pub fn genesis(
        chain_id: Digest,
        event_id: EventId,
        genesis: &Reserved,
    ) -> Result<Self, Misfit> {
        let Reserved::Genesis { approvals, keys, operators, predecessor, .. } = genesis else {
            return Err(Misfit::new(Code::Genesis, "chain.genesis", genesis.event_type()));
        };
        let mut keyring = Self {
            chain_id: Digest::ZERO,
            keys: Vec::new(),
            places: BTreeMap::new(),
            operators: operators.clone(),
            approved: BTreeSet::new(),
        };
        for record in keys {
            let public = keyring.judge_record(record, event_id)?;
            keyring.enrol(public, record.role, 0);
        }
        if approvals.is_empty() == predecessor.is_some() {
            let expected = "approvals if and only if there is a predecessor";
            return Err(Misfit::new(Code::Approval, expected, "the contrary"));
        }
        keyring.judge_approvals(genesis, event_id, &Approvers::Operators)?;
        if !approvals.is_empty() {
            keyring.approved.insert(event_id);
        }
        keyring.chain_id = chain_id;
        Ok(keyring)
    }

    /// The key with this id.
    pub fn get(&self, id: &KeyId) -> Option<&Key> {
        self.keys.get(*self.places.get(id)?)
    }

    /// All keys, in the order of their enrolment.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Hashes of the operators' keys.
    pub fn operators(&self) -> &[Digest] {
        &self.operators
    }

    /// The active keys of role checkpoint.
    pub fn checkpoint_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys
            .iter()
            .filter(|key| key.role == Role::Checkpoint && key.is_active())
            .map(|key| &key.public)
    }

    /// The key that signed an entry, if it may sign entries now.
    pub fn signer(&self, id: &KeyId) -> Result<&PublicKey, Misfit> {
        let Some(key) = self.get(id) else {
            return Err(Misfit::new(Code::KeyUnknown, "a key of this chain", id.to_string()));
        };
        if key.role != Role::Entry {
            return Err(Misfit::new(Code::KeyRole, "a key of role entry", key.role.name()));
        }
        match key.until {
            None => Ok(&key.public),
            Some(until) => {
                let found = format!("key {id}, which ended with entry {until}");
                Err(Misfit::new(Code::KeyEnded, "an active key", found))
            }
        }
    }

    /// The new key of a `key.rotate` entry that this key signed itself.
    pub fn signer_of_rotation(
        &self,
        id: &KeyId,
        rotation: &Reserved,
    ) -> Option<Result<PublicKey, Misfit>> {
        let Reserved::Rotate { key, .. } = rotation else { return None };
        if key.role != Role::Entry || key.id() != *id || self.get(id).is_some() {
            return None;
        }
        Some(accepted(&key.public))
    }

    /// Judges what an entry of a reserved type asks for. What changes nothing is an empty change.
    pub fn judge(&self, asked: &Reserved, by: &Asker) -> Result<Change, Misfit> {
        let mut change = Change {
            approved: (!asked.approvals().is_empty()).then_some(by.event_id),
            ..Change::default()
        };
        match asked {
            Reserved::Abandoned { .. } | Reserved::Erased { .. } | Reserved::Open { .. } => {}
            Reserved::Genesis { .. } => {
                let expected = "one genesis, at entry 0";
                return Err(Misfit::new(Code::Genesis, expected, "another"));
            }
            Reserved::Enroll { key, .. } => {
                change.enrol.push((self.judge_record(key, by.event_id)?, key.role));
                let approvers = Approvers::OrActiveCheckpointKeys;
                self.judge_approvals(asked, by.event_id, &approvers)?;
                if key.role == Role::Checkpoint {
                    needs_approval(asked)?;
                }
            }
            Reserved::Rotate { key, old, .. } => {
                let public = self.judge_record(key, by.event_id)?;
                change.end = Some((*old, Reason::Superseded, None));
                self.judge_rotation(asked, key, old, by)?;
                change.enrol.push((public, key.role));
            }
            Reserved::Revoke { key, reason, trusted, consistency, .. } => {
                let known = self.enrolled(key)?;
                if known.trusted.is_some() {
                    let expected = "a key not yet revoked as compromised";
                    return Err(Misfit::new(Code::KeyState, expected, key.to_string()));
                }
                needs_approval(asked)?;
                self.judge_approvals(asked, by.event_id, &Approvers::Operators)?;
                if let Some(trusted) = trusted {
                    judge_trusted(trusted, consistency, by)?;
                }
                change.end = Some((*key, *reason, trusted.map(|trusted| trusted.size)));
            }
            Reserved::Operators { operators, .. } => {
                needs_approval(asked)?;
                // An operator that was also a key of the chain could go on approving after that key was revoked.
                if self.keys.iter().any(|key| operators.contains(&key.public.operator_hash())) {
                    let expected = "operators that are no keys of the chain";
                    return Err(Misfit::new(Code::KeyDuplicate, expected, "one that is"));
                }
                self.judge_approvals(asked, by.event_id, &Approvers::Operators)?;
                change.operators = Some(operators.clone());
            }
            Reserved::Resolved { .. } => {
                needs_approval(asked)?;
                self.judge_approvals(asked, by.event_id, &Approvers::Operators)?;
            }
        }
        Ok(change)
    }

    /// Lets a judged change take effect, as the entry with this sequence.
    pub fn apply(&mut self, change: Change, sequence: u64) {
        if let Some((id, reason, trusted)) = change.end
            && let Some(key) = self.places.get(&id).and_then(|at| self.keys.get_mut(*at))
        {
            // A rotation of a key that has ended leaves it as it was ended; a revocation states its reason anew.
            let rotation = !change.enrol.is_empty();
            if key.until.is_none() || !rotation {
                key.reason = Some(reason);
            }
            key.until.get_or_insert(sequence);
            key.trusted = key.trusted.or(trusted);
        }
        for (public, role) in change.enrol {
            self.enrol(public, role, sequence);
        }
        if let Some(operators) = change.operators {
            self.operators = operators;
        }
        self.approved.extend(change.approved);
    }

    /// Digest over the whole state, for seals.
    pub fn digest(&self) -> Digest {
        let mut w = Writer::new();
        w.array(4).text("sigchain1/keyring\0").bytes(self.chain_id.as_bytes());
        w.array(self.operators.len());
        for operator in &self.operators {
            w.bytes(operator.as_bytes());
        }
        w.array(self.keys.len());
        for key in &self.keys {
            w.array(7).bytes(key.public.id().as_bytes()).bytes(key.public.as_bytes());
            w.text(key.role.name()).uint(key.from);
            uint_or_null(&mut w, key.until);
            w.text_or_null(key.reason.map(Reason::name));
            uint_or_null(&mut w, key.trusted);
        }
        Digest::of_cbor(&w)
    }

    fn enrol(&mut self, public: PublicKey, role: Role, from: u64) {
        self.places.insert(public.id(), self.keys.len());
        self.keys.push(Key { public, role, from, until: None, reason: None, trusted: None });
    }

    fn enrolled(&self, id: &KeyId) -> Result<&Key, Misfit> {
        self.get(id)
            .ok_or_else(|| Misfit::new(Code::KeyState, "a key that is enrolled", id.to_string()))
    }

    fn judge_record(&self, record: &KeyRecord, event_id: EventId) -> Result<PublicKey, Misfit> {
        let public = accepted(&record.public)?;
        let is_operator = self.operators.contains(&public.operator_hash());
        if self.get(&public.id()).is_some() || is_operator || self.keys.len() >= KEYS_MAX {
            let expected = "a key that is neither enrolled nor an operator's, and room for it";
            return Err(Misfit::new(Code::KeyDuplicate, expected, public.id().to_string()));
        }
        let statement = KeyRecord::statement(&record.public, record.role, &self.chain_id, event_id);
        if !public.accepts(Purpose::Possession, &statement, &record.proof) {
            let expected = "a proof of possession by the key itself";
            return Err(Misfit::new(Code::KeyPossession, expected, "a false one"));
        }
        Ok(public)
    }

    fn judge_rotation(
        &self,
        asked: &Reserved,
        new: &KeyRecord,
        old: &KeyId,
        by: &Asker,
    ) -> Result<(), Misfit> {
        let old_key = self.enrolled(old)?;
        if old_key.role != new.role {
            let expected = format!("a key of role {}", old_key.role);
            return Err(Misfit::new(Code::KeyState, expected, new.role.name()));
        }
        if old_key.role == Role::Checkpoint {
            needs_approval(asked)?;
            let approvers =
                if old_key.is_active() { Approvers::OrKey(old_key) } else { Approvers::Operators };
            return self.judge_approvals(asked, by.event_id, &approvers);
        }
        if by.signer == new.id() {
            needs_approval(asked)?;
        } else if by.signer != *old {
            let expected = "an entry signed by the old key or by the new one";
            return Err(Misfit::new(Code::KeyState, expected, by.signer.to_string()));
        }
        self.judge_approvals(asked, by.event_id, &Approvers::Operators)
    }

    fn judge_approvals(
        &self,
        asked: &Reserved,
        event_id: EventId,
        allowed: &Approvers<'_>,
    ) -> Result<(), Misfit> {
        if asked.approvals().is_empty() {
            return Ok(());
        }
        let wrong = |found: &str| Misfit::new(Code::Approval, "approvals by who may", found);
        if self.approved.contains(&event_id) {
            return Err(wrong("an event whose approvals were used before"));
        }
        // Before genesis is sealed the chain has no id, and approvals are over 32 zero bytes.
        for key in asked.approvers(&self.chain_id, event_id).map_err(wrong)? {
            let is_operator = self.operators.contains(&key.operator_hash());
            let is_other = match allowed {
                Approvers::Operators => false,
                Approvers::OrActiveCheckpointKeys => self.checkpoint_keys().any(|k| *k == key),
                Approvers::OrKey(old) => old.public == key,
            };
            if !is_operator && !is_other {
                return Err(wrong("one by a key that may not approve this"));
            }
        }
        Ok(())
    }
}

/// The key that signed entry 0, which is one of those that it enrols.
pub fn genesis_signer(id: &KeyId, genesis: &Reserved) -> Result<PublicKey, Misfit> {
    let Reserved::Genesis { keys, .. } = genesis else {
        return Err(Misfit::new(Code::Genesis, "chain.genesis", genesis.event_type()));
    };
    let mut own = keys.iter().filter(|record| record.id() == *id).peekable();
    if own.peek().is_none() {
        return Err(Misfit::new(Code::KeyUnknown, "a key of this genesis", id.to_string()));
    }
    match own.find(|record| record.role == Role::Entry) {
        Some(record) => accepted(&record.public),
        None => Err(Misfit::new(Code::KeyRole, "a key of role entry", "another role")),
    }
}

fn accepted(public: &[u8; 32]) -> Result<PublicKey, Misfit> {
    PublicKey::from_bytes(public).map_err(|error| {
        let expected = "a public key on which all verifiers agree";
        Misfit::new(Code::KeyInvalid, expected, error.to_string())
    })
}

fn needs_approval(asked: &Reserved) -> Result<(), Misfit> {
    if asked.approvals().is_empty() {
        return Err(Misfit::new(Code::Approval, "at least one approval", "none"));
    }
    Ok(())
}

fn judge_trusted(trusted: &Trusted, proof: &[Digest], by: &Asker) -> Result<(), Misfit> {
    // Without the root there is a fault already, and this one would only follow from it.
    let Some(root) = by.root else { return Ok(()) };
    if tree::verify_consistency(trusted.size, &trusted.root, by.sequence, &root, proof) {
        return Ok(());
    }
    let expected = format!("a beginning of this chain with {} entries", trusted.size);
    Err(Misfit::new(Code::KeyTrusted, expected, "a root that is not of it"))
}

fn uint_or_null(w: &mut Writer, value: Option<u64>) {
    match value {
        Some(value) => w.uint(value),
        None => w.null(),
    };
}
