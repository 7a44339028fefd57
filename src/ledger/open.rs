//! Creating a ledger and opening one. Neither falls back to the other.

use std::sync::{Arc, OnceLock};

use crate::chain::{Chain, Head, Link};
use crate::clock::Clock;
use crate::digest::Digest;
use crate::entry::{Linked, Place};
use crate::error::{OpenError, Refusal};
use crate::id::EventId;
use crate::key::{Purpose, Role};
use crate::ledger::anchoring::Keeper;
use crate::ledger::call::{ACTOR, Draft, opens_here, random};
use crate::ledger::genesis::Genesis;
use crate::ledger::opening::Opening;
use crate::ledger::options::Options;
use crate::ledger::shared::Shared;
use crate::ledger::sign::{ask, record};
use crate::ledger::state::State;
use crate::ledger::{Handle, Ledger};
use crate::limit::{self, FieldError};
use crate::reserved::{Approval, OPERATORS_MAX, Reserved};
use crate::signer::{Signer, Statement};
use crate::stamp::Stamp;
use crate::store::{Frames, Memory, Store, Stored};
use crate::tree::{self, Frontier};
use crate::{chainfile, frame};

/// Frames that are read at once.
const BLOCK: usize = 256;

impl Ledger {
    /// A new chain, kept in memory: as durable as the process.
    pub fn in_memory(genesis: Genesis) -> Result<Self, OpenError> {
        Self::create(Memory::new(), genesis, Options::default())
    }

    /// A new chain in an empty store.
    pub fn create(
        store: impl Store + 'static,
        genesis: Genesis,
        options: Options,
    ) -> Result<Self, OpenError> {
        Self::create_with(store, genesis, options, Keeper::default())
    }

    /// As `create`, anchored by this keeper.
    pub(super) fn create_with(
        store: impl Store + 'static,
        genesis: Genesis,
        options: Options,
        keeper: Keeper,
    ) -> Result<Self, OpenError> {
        let found = store.size()?;
        if found > 0 {
            let found = format!("one with {found} entries");
            return Err(OpenError::Store { expected: "an empty store", found });
        }
        opens_here();
        let (mut clock, marks) = Clock::open(None, &*options.time).map_err(Refusal::Clock)?;
        let stamp = clock.read(&*options.time).map_err(Refusal::Clock)?.stamp;
        let (chain, stored, leaf) = begin(&genesis, stamp)?;
        let head = chain.head().ok_or(Refusal::Closed)?;
        store.commit(&[stored]).map_err(|error| OpenError::Store {
            expected: "a store that can be written",
            found: error.to_string(),
        })?;
        let mut tree = Frontier::new();
        tree.push(leaf);
        let mut state = State::new(chain, (head, tree), genesis.signer, clock, marks);
        state.checkpoints = genesis.checkpoints;
        Ok(Self::over(state, Box::new(store), keeper, options))
    }

    /// Opens the chain in a store, and verifies all of it. `signer` signs what is appended.
    pub fn open(
        store: impl Store + 'static,
        signer: impl Signer + 'static,
        options: Options,
    ) -> Result<Self, OpenError> {
        let mut opening = Opening::default();
        let mut next = 0;
        let mut block = Frames::new();
        loop {
            store.read(next, BLOCK, &mut block)?;
            if block.is_empty() {
                break;
            }
            for frame in block.iter() {
                opening.take(frame.left, frame.body)?;
                next = frame.sequence.saturating_add(1);
            }
        }
        let (Some(chain), true) = (opening.chain, opening.open.is_empty()) else {
            let expected = "a store with a chain, whose last batch is whole";
            let found = if next == 0 { "an empty one" } else { "one that ends within a batch" };
            return Err(OpenError::Store { expected, found: found.to_owned() });
        };
        let head: Head = chain.head().ok_or(Refusal::Closed)?;
        let (clock, marks) =
            Clock::open(Some(head.stamp), &*options.time).map_err(Refusal::Clock)?;
        let state = State::new(chain, (head, opening.tree), Arc::new(signer), clock, marks);
        Ok(Self::over(state, Box::new(store), Keeper::default(), options))
    }

    pub(super) fn over(
        state: State,
        store: Box<dyn Store>,
        keeper: Keeper,
        options: Options,
    ) -> Self {
        let shared = Arc::new(Shared::new(state, store, keeper, options));
        Self {
            handle: Arc::new(Handle { shared, pool: Arc::default(), mirroring: OnceLock::new() }),
        }
    }
}

/// Entry 0, signed.
fn begin(genesis: &Genesis, stamp: Stamp) -> Result<(Chain, Stored, Digest), Refusal> {
    let millis = u64::try_from(stamp.micros() / 1000).unwrap_or(0);
    let event_id = EventId::new(millis, random()?);
    let reserved = reserved(genesis, event_id)?;
    let draft = Draft::reserved(reserved.clone(), Some(event_id), None)?;
    let signer = genesis.signer.id();
    let (chain_id, prior_hash) = (Digest::ZERO, Digest::ZERO);
    let place = Place { chain_id, prior_hash, sequence: 0, stamp, signer };
    let linked = Linked::new(draft.event, event_id, draft.commitment, &place);
    let link = Link::new(linked.fields(), linked.digest());
    let chain = Chain::begin(&link, &reserved).map_err(Refusal::Chain)?;
    let digest = linked.digest();
    let signature = ask(&*genesis.signer, &Statement::Digest(Purpose::Entry, &digest), true)?;
    let body = frame::entry_body(linked.fields(), &signature, &draft.part);
    let head = chainfile::encode_head(frame::Kind::Entry, 0, &body)
        .map_err(|error| Refusal::Store(error.to_string()))?;
    let leaf = tree::leaf_hash(&digest, &signature);
    Ok((chain, Stored::new((0, event_id, digest), 0, head, body).changing_keys(true), leaf))
}

fn reserved(genesis: &Genesis, event_id: EventId) -> Result<Reserved, Refusal> {
    if !limit::is_chain_name(&genesis.name) {
        let expected = "1 to 64 lower-case letters, digits, dots, hyphens, slashes";
        let error = FieldError::new("name of the chain", expected, &genesis.name);
        return Err(Refusal::Field(error));
    }
    let (count, distinct) = (genesis.operators.len(), genesis.operators.is_sorted_by(|a, b| a < b));
    if u64::try_from(count).is_ok_and(|count| count > OPERATORS_MAX) || !distinct {
        let found = if distinct { count.to_string() } else { "one of them twice".to_owned() };
        let error = FieldError::new("operators", "at most three, each once", &found);
        return Err(Refusal::Field(error));
    }
    let own = [(&genesis.signer, Role::Entry)];
    let checkpoints = genesis.checkpoints.iter().map(|signer| (signer, Role::Checkpoint));
    let more = genesis.more.iter().map(|(signer, role)| (signer, *role));
    let of =
        |(signer, role): (&Arc<dyn Signer>, Role)| record(&**signer, role, &Digest::ZERO, event_id);
    let keys = own.into_iter().chain(checkpoints).chain(more).map(of);
    let mut reserved = Reserved::Genesis {
        approvals: Vec::new(),
        keys: keys.collect::<Result<_, _>>()?,
        name: genesis.name.clone(),
        operators: genesis.operators.clone(),
        predecessor: genesis.predecessor.clone(),
    };
    let statement = reserved.statement(&Digest::ZERO, event_id);
    for approver in &genesis.approvers {
        let signature = ask(&**approver, &Statement::Digest(Purpose::Approval, &statement), true)?;
        reserved.add(Approval { public: *approver.public().as_bytes(), signature });
    }
    // Whatever else the format cannot hold is refused here, where it can still be mended.
    reserved.event(ACTOR).map_err(Refusal::Field)?;
    Ok(reserved)
}
