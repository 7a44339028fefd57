//! A recorder as small as one can be: links, signs and keeps. A ledger does the same, and survives power cuts besides.

use std::error::Error;

use sigchain::chain::{Candidate, Chain, Link};
use sigchain::chainfile::{self, Form, MAGIC, Writer};
use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::entry::{Linked, Place};
use sigchain::event::Event;
use sigchain::frame::{Frame, Summary, Trailer, VERSION, Written};
use sigchain::id::EventId;
use sigchain::key::{Role, SigningKey};
use sigchain::payload::Part;
use sigchain::reserved::{KeyRecord, Reserved};
use sigchain::stamp::Stamp;
use sigchain::tree::{self, Frontier};

/// Whatever keeps the demonstration from going on; none of it can be the user's doing.
pub(super) type Outcome<T> = Result<T, Box<dyn Error>>;

/// The three kinds of keys of a chain.
pub(super) struct Keys {
    pub(super) entry: SigningKey,
    pub(super) checkpoint: SigningKey,
    pub(super) operator: SigningKey,
}

impl Keys {
    pub(super) fn generate() -> Outcome<Self> {
        Ok(Self {
            entry: SigningKey::generate()?,
            checkpoint: SigningKey::generate()?,
            operator: SigningKey::generate()?,
        })
    }
}

/// A chain, and the frames of a file of it.
#[derive(Clone)]
pub(super) struct Recorder {
    chain: Chain,
    tree: Frontier,
    frames: Vec<Frame<'static>>,
    micros: i64,
}

fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn event_id(micros: i64) -> Outcome<EventId> {
    Ok(EventId::new(u64::try_from(micros / 1000)?, random()?))
}

/// Links and signs an event.
fn seal(event: Event, id: EventId, place: &Place, key: &SigningKey) -> Outcome<Written<'static>> {
    let mut salts = Vec::new();
    for _ in 0..event.payload_ref().leaves() {
        salts.push(random()?);
    }
    let mut salts = salts.into_iter();
    let part = event.payload_ref().clone().salted(|| salts.next().unwrap_or_default());
    let commitment = part.commitment().ok_or("a payload without commitment")?;
    let linked = Linked::new(event, id, commitment, place);
    let entry = linked.sign(key).ok_or("a key that is not the one of the place")?;
    Ok(Written::new(0, entry, part))
}

impl Recorder {
    /// Begins a chain with its genesis.
    pub(super) fn begin(name: &str, keys: &Keys, micros: i64) -> Outcome<Self> {
        let id = event_id(micros)?;
        let record = |key, role| KeyRecord::new(key, role, &Digest::ZERO, id);
        let genesis = Reserved::Genesis {
            approvals: Vec::new(),
            keys: vec![
                record(&keys.entry, Role::Entry),
                record(&keys.checkpoint, Role::Checkpoint),
            ],
            name: name.to_owned(),
            operators: vec![keys.operator.public().operator_hash()],
            predecessor: None,
        };
        let place = Place {
            chain_id: Digest::ZERO,
            prior_hash: Digest::ZERO,
            sequence: 0,
            stamp: stamp(micros)?,
            signer: keys.entry.id(),
        };
        let written = seal(genesis.event("sigchain")?, id, &place, &keys.entry)?;
        let digest = written.fields.digest(&Digest::ZERO);
        let link = Link::new(&written.fields, digest);
        let chain = Chain::begin(&link, &genesis).map_err(|misfit| misfit.to_string())?;
        let mut tree = Frontier::new();
        tree.push(tree::leaf_hash(&digest, &written.signature));
        let header = Frame::Header { version: VERSION, chain_id: digest };
        let frames = vec![header, Frame::Entry(Box::new(written))];
        Ok(Self { chain, tree, frames, micros })
    }

    pub(super) fn chain_id(&self) -> Digest {
        self.chain.id()
    }

    pub(super) fn size(&self) -> u64 {
        self.chain.size()
    }

    pub(super) fn origin(&self) -> String {
        self.chain.origin()
    }

    pub(super) fn frames(&self) -> &[Frame<'static>] {
        &self.frames
    }

    /// The next entry, `after` microseconds later, signed but not yet part of the chain.
    pub(super) fn next(
        &self,
        event: Event,
        after: i64,
        key: &SigningKey,
    ) -> Outcome<Written<'static>> {
        let micros = self.micros.saturating_add(after);
        let head = self.chain.head().ok_or("a chain without head")?;
        let place = Place {
            chain_id: self.chain.id(),
            prior_hash: head.digest,
            sequence: self.chain.size(),
            stamp: stamp(micros)?,
            signer: key.id(),
        };
        seal(event, event_id(micros)?, &place, key)
    }

    /// Records an event. Returns its id, so that others can name it as their cause.
    pub(super) fn record(
        &mut self,
        event: Event,
        after: i64,
        key: &SigningKey,
    ) -> Outcome<EventId> {
        let written = self.next(event, after, key)?;
        let digest = written.fields.digest(&self.chain.id());
        let link = Link::new(&written.fields, digest);
        // The same rules that a verifier applies: nothing is recorded that verification would refuse.
        let candidate = Candidate { link, reserved: None, root: None };
        self.chain.admit(&candidate).map_err(|misfit| misfit.to_string())?;
        self.tree.push(tree::leaf_hash(&digest, &written.signature));
        self.micros = self.micros.saturating_add(after);
        let id = written.fields.event_id;
        self.frames.push(Frame::Entry(Box::new(written)));
        Ok(id)
    }

    /// A checkpoint over all entries so far; it goes into the file, and a copy to whoever wants to hold one.
    pub(super) fn checkpoint(&mut self, key: &SigningKey) -> Checkpoint {
        let checkpoint = self.summary(key);
        self.frames.push(Frame::Checkpoint(checkpoint.clone()));
        checkpoint
    }

    fn summary(&self, key: &SigningKey) -> Checkpoint {
        Checkpoint::sign(&self.chain.origin(), self.chain.size(), self.tree.root(), key)
    }

    /// The frame that ends a file of what is there so far; unsigned without a key.
    pub(super) fn trailer(&self, key: Option<&SigningKey>) -> Outcome<Frame<'static>> {
        let (size, root) = (self.chain.size(), self.tree.root());
        let summary =
            key.map_or(Summary::Unsigned { size, root }, |key| Summary::Signed(self.summary(key)));
        let frames = u64::try_from(self.frames.len())?;
        Ok(Frame::Trailer(Trailer::new(frames, summary)))
    }

    /// A whole file, by the library's own writer.
    pub(super) fn file(&self, form: Form, key: &SigningKey) -> Outcome<Vec<u8>> {
        let id = self.chain.id();
        let mut writer = Writer::new(Vec::new(), form, id)?;
        for frame in &self.frames {
            match frame {
                Frame::Checkpoint(checkpoint) => writer.checkpoint(checkpoint.clone())?,
                Frame::Entry(written) => {
                    let chain = if written.fields.sequence == 0 { Digest::ZERO } else { id };
                    writer.entry(written.left, written.entry(&chain), written.part.clone())?;
                }
                _ => {}
            }
        }
        Ok(writer.finish_signed(&self.chain.origin(), key)?)
    }
}

fn stamp(micros: i64) -> Outcome<Stamp> {
    Ok(Stamp::from_micros(micros).ok_or("a clock before 1970 or after 2106")?)
}

/// A chain file of any frames, with the CRCs that fit them: what somebody with an editor for the format can make.
pub(super) fn assemble(frames: &[Frame<'_>]) -> Outcome<Vec<u8>> {
    let mut file = MAGIC.to_vec();
    for frame in frames {
        let (head, body) = chainfile::encode(frame)?;
        file.extend_from_slice(&head);
        file.extend_from_slice(&body);
    }
    Ok(file)
}

/// The part of an entry that holds its payload as a whole.
pub(super) fn whole<'p>(part: &'p mut Part<'static>) -> Option<&'p mut Vec<u8>> {
    match part {
        Part::Whole(leaf) => Some(leaf.bytes.to_mut()),
        _ => None,
    }
}
