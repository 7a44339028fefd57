//! A call on its way: events with their payloads committed to, then entries that wait to be signed, then frames.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::clock::Mark;
use crate::digest::Digest;
use crate::entry::Linked;
use crate::error::Refusal;
use crate::event::Event;
use crate::id::EventId;
use crate::key::Signature;
use crate::ledger::cell::{Cell, Phase};
use crate::payload::{Part, Payload, Salt};
use crate::projection::Item;
use crate::receipt::{Receipt, Reference};
use crate::reserved::Reserved;
use crate::vocabulary;

/// The actor of the ledger's own entries.
pub(super) const ACTOR: &str = "sigchain";

/// Random bytes from the system, a block of them at a time: a system call for each append would cost a thirtieth of it.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let pooled = POOL.try_with(|pool| pool.try_borrow_mut().ok().map(|mut pool| pool.take()));
    // A thread that ends has no pool any more, and may still record from a destructor.
    pooled.ok().flatten().unwrap_or_else(|| {
        let mut bytes = [0; N];
        fill(&mut bytes)?;
        Ok(bytes)
    })
}

fn fill(bytes: &mut [u8]) -> Result<(), Refusal> {
    getrandom::fill(bytes).map_err(|error| Refusal::Randomness(error.to_string()))
}

/// Random bytes of one thread that nobody has had yet.
struct Pool {
    bytes: Box<[u8; 1024]>,
    next: usize,
    /// The process that they are for: after fork(2) both would have the same.
    process: u32,
}

/// The process that last opened a ledger here. To ask the system each time would cost as much as the bytes themselves.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Notes that this process opens a ledger. A child of fork(2) can only use one that it opens itself.
pub(super) fn opens_here() -> u32 {
    let process = std::process::id();
    PROCESS.store(process, Ordering::Relaxed);
    process
}

thread_local! {
    static POOL: RefCell<Pool> =
        RefCell::new(Pool { bytes: Box::new([0; 1024]), next: 1024, process: 0 });
}

impl Pool {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let process = PROCESS.load(Ordering::Relaxed);
        if self.process != process || self.bytes.len().saturating_sub(self.next) < N {
            self.next = self.bytes.len();
            fill(&mut *self.bytes)?;
            (self.next, self.process) = (0, process);
        }
        let mut taken = [0; N];
        let rest = self.bytes.get_mut(self.next..).unwrap_or_default();
        for (taken, byte) in taken.iter_mut().zip(rest) {
            // What was given out is not kept: it is the salt of somebody's payload.
            *taken = std::mem::take(byte);
        }
        self.next = self.next.saturating_add(N);
        Ok(taken)
    }
}

/// What of the ledger's own an entry settles; if the entry is abandoned, it is owed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// Digests that it lists as abandoned.
    Listed(Vec<(u64, Digest)>),
    /// An anomaly of the clock that it records.
    Mark(Mark),
    /// Something else that it records.
    Note(Note),
}

/// Something that the ledger has to say about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// A type of a reserved family that carries no authority.
    pub(super) event_type: String,
    /// Its payload: a map in deterministic CBOR.
    pub(super) map: Vec<u8>,
}

/// An event whose payload is committed to.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) event: Event,
    pub(super) event_id: EventId,
    /// Whether the caller gave the id.
    pub(super) is_given: bool,
    pub(super) part: Part<'static>,
    pub(super) commitment: Digest,
    pub(super) reserved: Option<Reserved>,
    /// What it settles, if it is the ledger's own and settles something.
    pub(super) owed: Option<Box<Owed>>,
}

impl Draft {
    /// Commits to the payload, with what the ledger says in it. If the event has no id it gets one, whose time is that of its stamp.
    pub(super) fn new(event: Event) -> Result<Self, Refusal> {
        let mut event = vocabulary::admit(event)?;
        let payload = std::mem::replace(&mut event.payload, Payload::TAKEN);
        // One call for all that has to be random about an event with a whole payload.
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, salt @ ..]: [u8; 26] = random()?;
        let id = [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9];
        let mut first: Option<Salt> = Some(salt);
        let mut failed = None;
        let part = payload.salted(|| {
            let salt = first.take().map_or_else(random, Ok);
            salt.unwrap_or_else(|refusal| {
                failed = Some(refusal);
                Salt::default()
            })
        });
        if let Some(refusal) = failed {
            return Err(refusal);
        }
        let commitment = part.commitment().unwrap_or(Digest::ZERO);
        let is_given = event.event_id.is_some();
        let event_id = event.event_id.unwrap_or_else(|| EventId::new(0, id));
        let (reserved, owed) = (None, None);
        Ok(Self { event, event_id, is_given, part, commitment, reserved, owed })
    }

    /// An entry of the ledger's own.
    pub(super) fn reserved(
        reserved: Reserved,
        event_id: Option<EventId>,
        owed: Option<Box<Owed>>,
    ) -> Result<Self, Refusal> {
        let mut event = reserved.event(ACTOR).map_err(Refusal::Field)?;
        event.event_id = event_id;
        let draft = Self::new(event)?;
        Ok(Self { reserved: Some(reserved), owed, ..draft })
    }

    /// Bytes that it will hold in the queue, about.
    pub(super) fn weight(&self) -> usize {
        self.part.shown_bytes().saturating_add(1024)
    }
}

/// An entry that has its place and waits to be signed.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) linked: Linked,
    pub(super) part: Part<'static>,
    pub(super) left: u16,
    /// Events of its batch, itself included.
    pub(super) batch: u16,
    pub(super) chain_id: Digest,
    pub(super) phase: Phase,
    /// When its signer was asked.
    pub(super) handed_at: OnceLock<u64>,
    pub(super) signature: OnceLock<Signature>,
}

impl Pending {
    pub(super) fn sequence(&self) -> u64 {
        self.linked.fields().sequence
    }

    pub(super) fn event_id(&self) -> EventId {
        self.linked.fields().event_id
    }

    pub(super) fn is_signed(&self) -> bool {
        self.signature.get().is_some()
    }

    /// As projections see it.
    pub(super) fn item(&self) -> Item<'_> {
        let item = Item::new(self.chain_id, self.linked.fields(), &self.part);
        item.with_digest(self.linked.digest())
    }

    pub(super) fn reference(&self) -> Reference {
        let fields = self.linked.fields();
        Reference {
            chain_id: self.chain_id,
            sequence: fields.sequence,
            stamp: fields.system_time,
            event_id: fields.event_id,
            digest: self.linked.digest(),
        }
    }

    /// What the caller gets once the entry is durable; until it is signed there is none.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        let signature = *self.signature.get()?;
        Some(Receipt::new(self.reference(), self.linked.fields().signer_key_id, signature))
    }
}

/// The entries of one call: the ledger's own that were due, then the caller's.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) cell: Arc<Cell>,
    pub(super) entries: Vec<Arc<Pending>>,
    /// How many of them are the ledger's own.
    pub(super) own: usize,
}

impl Call {
    /// The caller's entries.
    pub(super) fn events(&self) -> impl Iterator<Item = &Arc<Pending>> {
        self.entries.iter().skip(self.own)
    }
}
