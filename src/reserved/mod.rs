//! The payloads of the ledger's own event types: strict CBOR, each parsed here and written here.
//!
//! Keys and authority hang on them, so their maps are closed: an unknown key is refused, never skipped. Knows their form and
//! the limits that concern the entry alone; whether they may stand where they stand is for `keyring` and `chain`.

use std::collections::BTreeMap;

use crate::codec::{DecodeError, Reader, Writer};
use crate::digest::Digest;
use crate::event::Event;
use crate::id::EventId;
use crate::key::{ALGORITHM, KeyId, PublicKey, Purpose, Role, Signature, SigningKey};
use crate::limit::{self, FieldError, RESERVED_PAYLOAD_MAX, SEQUENCE_MAX};
use crate::payload::{Part, Payload};

mod read;

/// The media type of every reserved payload.
pub const MEDIA_TYPE: &str = "application/cbor";

/// Bytes of a statement.
pub const STATEMENT_MAX: usize = 4096;
/// Operators of a chain.
pub const OPERATORS_MAX: u64 = 3;

const GENESIS: &str = "chain.genesis";
const ABANDONED: &str = "chain.abandoned";
const RESOLVED: &str = "chain.resolved";
const ENROLL: &str = "key.enroll";
const OPERATORS: &str = "key.operators";
const REVOKE: &str = "key.revoke";
const ROTATE: &str = "key.rotate";
const ERASURE: &str = "erasure.done";
const EPOCH: &str = "epoch.begun";

/// A public key on its way into the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its 32 bytes, not yet judged.
    pub public: [u8; 32],
    /// What it shall sign.
    pub role: Role,
    /// Its signature over chain, event, itself and its role.
    pub proof: Signature,
}

impl KeyRecord {
    /// Enrols `key`, in the entry of the event `event_id` of the chain `chain_id` (`Digest::ZERO` in genesis).
    pub fn new(key: &SigningKey, role: Role, chain_id: &Digest, event_id: EventId) -> Self {
        let public = *key.public().as_bytes();
        let statement = Self::statement(&public, role, chain_id, event_id);
        Self { public, role, proof: key.sign(Purpose::Possession, &statement) }
    }

    /// What the proof of possession signs.
    pub fn statement(
        public: &[u8; 32],
        role: Role,
        chain_id: &Digest,
        event_id: EventId,
    ) -> Digest {
        let mut w = Writer::new();
        w.array(6).text("sigchain1/possession\0").bytes(chain_id.as_bytes());
        w.bytes(event_id.as_bytes()).text(ALGORITHM).bytes(public).text(role.name());
        Digest::of_cbor(&w)
    }

    /// The id of the key.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.public)
    }

    fn write(&self, w: &mut Writer) {
        w.map(4).text("alg").text(ALGORITHM).text("role").text(self.role.name());
        w.text("proof").bytes(self.proof.as_bytes()).text("public").bytes(&self.public);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read::map(r, 4)?;
        r.key("alg")?;
        if r.text()? != ALGORITHM {
            return Err(r.wrong("the algorithm ed25519", "another"));
        }
        r.key("role")?;
        let role = r.text()?;
        let role = Role::parse(role).ok_or(r.wrong("a role", "another text"))?;
        r.key("proof")?;
        let proof = Signature::new(r.bytes_exact()?);
        r.key("public")?;
        Ok(Self { public: r.bytes_exact()?, role, proof })
    }
}

/// A signature by somebody whose consent an entry needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The approver's public key, not yet judged.
    pub public: [u8; 32],
    /// Over chain, event and the payload without its approvals.
    pub signature: Signature,
}

/// What an approval signs.
pub fn approval_statement(
    chain_id: &Digest,
    event_id: EventId,
    event_type: &str,
    body: &[u8],
) -> Digest {
    let mut w = Writer::new();
    w.array(5).text("sigchain1/approval\0").bytes(chain_id.as_bytes());
    w.bytes(event_id.as_bytes()).text(event_type).bytes(body);
    Digest::of_cbor(&w)
}

/// The chain that this one continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its id.
    pub chain: Digest,
    /// Digest of the bytes that were set aside.
    pub evidence: Option<Digest>,
    /// Root of its last provable state.
    pub root: Digest,
    /// Size of its last provable state.
    pub size: u64,
    /// The operator's words.
    pub statement: String,
}

/// How far entries had come when they were abandoned; not whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// To a signer and no further: nothing of them was written. It failed, or ran out of its time; but it may as well have been the store
    /// that refused a write, or an entry before them that was given up.
    Signer,
    /// Into the store: they were found behind the end of the chain when it was opened.
    Torn,
}

/// Why a key was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody else may have it.
    Compromised,
    /// Nobody has it any more.
    Lost,
    /// Another has taken its place.
    Superseded,
}

impl Reason {
    /// Its name in the payload.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compromised => "compromised",
            Self::Lost => "lost",
            Self::Superseded => "superseded",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Compromised, Self::Lost, Self::Superseded].into_iter().find(|r| r.name() == name)
    }
}

/// The last state that a key other than the stolen one vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Digest,
}

/// The payload of a reserved type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reserved {
    /// `chain.abandoned`
    Abandoned {
        /// How far they had come.
        cause: Cause,
        /// Sequence and digest of each, ascending.
        entries: Vec<(u64, Digest)>,
    },
    /// `key.enroll`
    Enroll {
        /// Who agreed.
        approvals: Vec<Approval>,
        /// The new key.
        key: KeyRecord,
    },
    /// `erasure.done`
    Erased {
        /// An open map of the caller's, as CBOR.
        detail: Vec<u8>,
        /// First and count of each range, ascending.
        entries: Vec<(u64, u64)>,
    },
    /// `chain.genesis`
    Genesis {
        /// Who agreed to continue another chain.
        approvals: Vec<Approval>,
        /// The first keys.
        keys: Vec<KeyRecord>,
        /// Name of the chain.
        name: String,
        /// Hashes of the operators' keys, ascending.
        operators: Vec<Digest>,
        /// The chain that this one continues.
        predecessor: Option<Predecessor>,
    },
    /// Any type of the families that carry no authority: a map, whose content is not judged.
    Open {
        /// The type.
        event_type: String,
        /// The map, as CBOR.
        map: Vec<u8>,
    },
    /// `key.operators`
    Operators {
        /// Who agreed.
        approvals: Vec<Approval>,
        /// The new list, ascending.
        operators: Vec<Digest>,
    },
    /// `chain.resolved`
    Resolved {
        /// Who agreed.
        approvals: Vec<Approval>,
        /// Entries that are gone.
        count: u64,
        /// Digest of the bytes that were set aside.
        evidence: Option<Digest>,
        /// The first of them.
        first: u64,
        /// Subtree roots of the range.
        hashes: Vec<Digest>,
        /// The operator's words.
        statement: String,
    },
    /// `key.revoke`
    Revoke {
        /// Who agreed.
        approvals: Vec<Approval>,
        /// Proof that the trusted state is the beginning of this chain.
        consistency: Vec<Digest>,
        /// The key.
        key: KeyId,
        /// Why.
        reason: Reason,
        /// If it is compromised: what can still be trusted.
        trusted: Option<Trusted>,
    },
    /// `key.rotate`
    Rotate {
        /// Who agreed.
        approvals: Vec<Approval>,
        /// The new key.
        key: KeyRecord,
        /// The key whose place it takes.
        old: KeyId,
    },
}

impl Reserved {
    /// The event type.
    pub fn event_type(&self) -> &str {
        match self {
            Self::Abandoned { .. } => ABANDONED,
            Self::Enroll { .. } => ENROLL,
            Self::Erased { .. } => ERASURE,
            Self::Genesis { .. } => GENESIS,
            Self::Open { event_type, .. } => event_type,
            Self::Operators { .. } => OPERATORS,
            Self::Resolved { .. } => RESOLVED,
            Self::Revoke { .. } => REVOKE,
            Self::Rotate { .. } => ROTATE,
        }
    }

    /// The count of writers that an entry states by which another one begins; `None` of any other entry.
    pub fn epoch(&self) -> Option<u64> {
        let Self::Open { event_type, map } = self else { return None };
        let read = |r: &mut Reader<'_>| -> Result<u64, DecodeError> {
            let mut epoch = 0;
            for _ in 0..r.map()? {
                match r.text()? {
                    "epoch" => epoch = r.uint()?,
                    _ => r.skip()?,
                }
            }
            Ok(epoch)
        };
        if event_type != EPOCH {
            return None;
        }
        Some(read(&mut Reader::new(map)).unwrap_or(0))
    }

    /// What is left of the keys in force, and their roles, behind this entry.
    pub(crate) fn change_keys(&self, keys: &mut BTreeMap<KeyId, Role>) {
        match self {
            // A chain of a line begins with keys of its own.
            Self::Genesis { keys: first, .. } => {
                *keys = first.iter().map(|record| (record.id(), record.role)).collect();
            }
            Self::Enroll { key, .. } => drop(keys.insert(key.id(), key.role)),
            Self::Rotate { key, old, .. } => {
                keys.remove(old);
                keys.insert(key.id(), key.role);
            }
            Self::Revoke { key, .. } => drop(keys.remove(key)),
            _ => {}
        }
    }

    /// Whether this type is that of entry 0.
    pub fn is_genesis_type(event_type: &str) -> bool {
        event_type == GENESIS
    }

    /// Who agreed.
    pub fn approvals(&self) -> &[Approval] {
        match self {
            Self::Enroll { approvals, .. }
            | Self::Genesis { approvals, .. }
            | Self::Operators { approvals, .. }
            | Self::Resolved { approvals, .. }
            | Self::Revoke { approvals, .. }
            | Self::Rotate { approvals, .. } => approvals,
            Self::Abandoned { .. } | Self::Erased { .. } | Self::Open { .. } => &[],
        }
    }

    /// Adds an approval by `key`, in its place.
    #[must_use]
    pub fn approved_by(mut self, key: &SigningKey, chain_id: &Digest, event_id: EventId) -> Self {
        let statement = self.statement(chain_id, event_id);
        let signature = key.sign(Purpose::Approval, &statement);
        self.add(Approval { public: *key.public().as_bytes(), signature });
        self
    }

    /// What an approval of this signs, in the entry of this event.
    pub fn statement(&self, chain_id: &Digest, event_id: EventId) -> Digest {
        approval_statement(chain_id, event_id, self.event_type(), &self.encode(false))
    }

    /// Adds an approval, in its place. Types that need none take none.
    pub(crate) fn add(&mut self, approval: Approval) {
        if let Self::Enroll { approvals, .. }
        | Self::Genesis { approvals, .. }
        | Self::Operators { approvals, .. }
        | Self::Resolved { approvals, .. }
        | Self::Revoke { approvals, .. }
        | Self::Rotate { approvals, .. } = self
        {
            approvals.push(approval);
            approvals.sort_by_key(|approval| approval.public);
        }
    }

    /// Which of the approvals is by whom: the judged key for each, or the place of the first that is wrong.
    pub(crate) fn approvers(
        &self,
        chain_id: &Digest,
        event_id: EventId,
    ) -> Result<Vec<PublicKey>, &'static str> {
        let statement = self.statement(chain_id, event_id);
        self.approvals()
            .iter()
            .map(|approval| {
                let key = PublicKey::from_bytes(&approval.public)
                    .map_err(|_| "an approver's key that cannot be accepted")?;
                if key.accepts(Purpose::Approval, &statement, &approval.signature) {
                    Ok(key)
                } else {
                    Err("an approval with a false signature")
                }
            })
            .collect()
    }

    /// The event that carries it.
    pub fn event(&self, actor: &str) -> Result<Event, FieldError> {
        if !limit::is_actor(actor) {
            let expected = "1 to 256 bytes of text without control characters";
            return Err(FieldError::new("actor", expected, actor));
        }
        let encoded = self.encode(true);
        let r = &mut Reader::new(&encoded);
        // What we would refuse to read we refuse to write; the rules about its place are for the chain.
        let read = Self::read(self.event_type(), r, &encoded, SEQUENCE_MAX);
        let is_type =
            limit::is_event_type(self.event_type()) && limit::is_reserved(self.event_type());
        if !is_type || read.as_ref() != Ok(self) || encoded.len() > RESERVED_PAYLOAD_MAX {
            let expected = "a payload of its type, of at most 65536 bytes";
            return Err(FieldError::new("payload", expected, self.event_type()));
        }
        let payload = Payload::new(MEDIA_TYPE, encoded)?;
        Ok(Event::unchecked(actor, self.event_type()).payload(payload))
    }

    /// The map; without `approvals` and `consistency` if not `whole`, as approvals sign it.
    pub fn encode(&self, whole: bool) -> Vec<u8> {
        let w = &mut Writer::new();
        let own = |len: usize, signed_apart: usize| if whole { len } else { len - signed_apart };
        match self {
            Self::Abandoned { cause, entries } => {
                w.map(2).text("cause").text(match cause {
                    Cause::Signer => "signer",
                    Cause::Torn => "torn",
                });
                w.text("entries").array(entries.len());
                for (sequence, digest) in entries {
                    w.array(2).uint(*sequence).bytes(digest.as_bytes());
                }
            }
            Self::Enroll { approvals, key } => {
                w.map(own(2, 1)).text("key");
                key.write(w);
                write_approvals(w, approvals, whole);
            }
            Self::Erased { detail, entries } => {
                w.map(2).text("detail").item(detail).text("entries").array(entries.len());
                for (first, count) in entries {
                    w.array(2).uint(*first).uint(*count);
                }
            }
            Self::Genesis { approvals, keys, name, operators, predecessor } => {
                w.map(own(6, 1)).text("keys").array(keys.len());
                for key in keys {
                    key.write(w);
                }
                w.text("name").text(name).text("format").uint(1);
                write_approvals(w, approvals, whole);
                write_hashes(w, "operators", operators);
                write_predecessor(w, predecessor.as_ref());
            }
            Self::Open { map, .. } => {
                w.item(map);
            }
            Self::Operators { approvals, operators } => {
                w.map(own(2, 1));
                write_approvals(w, approvals, whole);
                write_hashes(w, "operators", operators);
            }
            Self::Resolved { approvals, count, evidence, first, hashes, statement } => {
                w.map(own(6, 1)).text("count").uint(*count).text("first").uint(*first);
                write_hashes(w, "hashes", hashes);
                w.text("evidence").bytes_or_null(evidence.as_ref().map(|d| &d.as_bytes()[..]));
                write_approvals(w, approvals, whole);
                w.text("statement").text(statement);
            }
            Self::Revoke { approvals, consistency, key, reason, trusted } => {
                w.map(own(5, 2)).text("key").bytes(key.as_bytes());
                w.text("reason").text(reason.name());
                write_trusted(w, trusted.as_ref());
                write_approvals(w, approvals, whole);
                if whole {
                    write_hashes(w, "consistency", consistency);
                }
            }
            Self::Rotate { approvals, key, old } => {
                w.map(own(3, 1)).text("key");
                key.write(w);
                w.text("old").bytes(old.as_bytes());
                write_approvals(w, approvals, whole);
            }
        }
        std::mem::take(w).into_bytes()
    }

    /// Parses what lies beside an entry of a reserved type with this sequence. The error says what is wrong.
    pub fn parse(event_type: &str, part: &Part<'_>, sequence: u64) -> Result<Self, String> {
        let Part::Whole(leaf) = part else {
            return Err("a payload that is not present as a whole".to_owned());
        };
        if leaf.media_type != MEDIA_TYPE {
            return Err(format!("the media type \"{}\"", leaf.media_type));
        }
        if leaf.bytes.len() > RESERVED_PAYLOAD_MAX {
            return Err(format!("{} bytes", leaf.bytes.len()));
        }
        let r = &mut Reader::new(&leaf.bytes);
        let parsed = Self::read(event_type, r, &leaf.bytes, sequence)
            .and_then(|parsed| r.finish().map(|()| parsed));
        parsed.map_err(|error| format!("a map that is wrong at {error}"))
    }

    fn read(
        event_type: &str,
        r: &mut Reader<'_>,
        all: &[u8],
        sequence: u64,
    ) -> Result<Self, DecodeError> {
        match event_type {
            GENESIS => read::genesis(r),
            ABANDONED => read::abandoned(r),
            RESOLVED => read::resolved(r, sequence),
            ENROLL => {
                read::map(r, 2)?;
                r.key("key")?;
                let key = KeyRecord::read(r)?;
                Ok(Self::Enroll { approvals: read::approvals(r)?, key })
            }
            OPERATORS => {
                read::map(r, 2)?;
                let approvals = read::approvals(r)?;
                Ok(Self::Operators { approvals, operators: read::operators(r)? })
            }
            REVOKE => read::revoke(r, sequence),
            ROTATE => {
                read::map(r, 3)?;
                r.key("key")?;
                let key = KeyRecord::read(r)?;
                r.key("old")?;
                let old = KeyId::new(r.bytes_exact()?);
                Ok(Self::Rotate { approvals: read::approvals(r)?, key, old })
            }
            ERASURE => read::erased(r, sequence),
            _ if limit::is_authority(event_type) => {
                Err(r.wrong("a type that the format knows", "another of its family"))
            }
            _ => {
                r.clone().map()?;
                r.skip()?;
                Ok(Self::Open { event_type: event_type.to_owned(), map: all.to_owned() })
            }
        }
    }
}

fn write_hashes(w: &mut Writer, key: &str, hashes: &[Digest]) {
    w.text(key).array(hashes.len());
    for hash in hashes {
        w.bytes(hash.as_bytes());
    }
}

fn write_approvals(w: &mut Writer, approvals: &[Approval], whole: bool) {
    if !whole {
        return;
    }
    w.text("approvals").array(approvals.len());
    for approval in approvals {
        w.array(2).bytes(&approval.public).bytes(approval.signature.as_bytes());
    }
}

fn write_trusted(w: &mut Writer, trusted: Option<&Trusted>) {
    w.text("trusted");
    match trusted {
        Some(Trusted { size, root }) => w.array(2).uint(*size).bytes(root.as_bytes()),
        None => w.null(),
    };
}

fn write_predecessor(w: &mut Writer, predecessor: Option<&Predecessor>) {
    w.text("predecessor");
    let Some(predecessor) = predecessor else {
        w.null();
        return;
    };
    w.map(5).text("root").bytes(predecessor.root.as_bytes());
    w.text("size").uint(predecessor.size).text("chain").bytes(predecessor.chain.as_bytes());
    w.text("evidence").bytes_or_null(predecessor.evidence.as_ref().map(|d| &d.as_bytes()[..]));
    w.text("statement").text(&predecessor.statement);
}
