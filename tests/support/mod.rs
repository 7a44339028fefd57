//! What all tests build on: fixed keys, a chain that writes what it is told to (right or wrong), and files of its frames.

pub mod campaign;

use std::io::Cursor;

use sigchain::chain::{Candidate, Chain, Link};
use sigchain::chainfile::{self, Form, MAGIC};
use sigchain::checkpoint::{Checkpoint, Seal, SealState};
use sigchain::digest::Digest;
use sigchain::entry::{Fields, Linked, Place};
use sigchain::event::Event;
use sigchain::fault::Code;
use sigchain::frame::{Frame, Gap, GapReason, Summary, Trailer, VERSION, Written};
use sigchain::id::EventId;
use sigchain::jsonl;
use sigchain::key::{Purpose, Role, Signature, SigningKey};
use sigchain::payload::{Part, Payload};
use sigchain::reserved::{KeyRecord, Predecessor, Reserved};
use sigchain::stamp::Stamp;
use sigchain::tree::{self, Nodes};
use sigchain::verify::{Anchors, Report, Verifier};

pub use crate::support::campaign::{part, rounds, step, tally};

/// A key from a fixed seed.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

pub fn entry_key() -> SigningKey {
    key(1)
}

pub fn second_entry_key() -> SigningKey {
    key(2)
}

pub fn checkpoint_key() -> SigningKey {
    key(3)
}

pub fn operator_key() -> SigningKey {
    key(4)
}

pub fn second_operator_key() -> SigningKey {
    key(5)
}

pub const NAME: &str = "example.org/agents";
const START: i64 = 1_795_150_800_000_000;

/// What goes into the next entry, and what is wrong with it.
pub struct Draft<'d> {
    pub event: Event,
    pub key: SigningKey,
    pub left: u16,
    pub event_id: Option<EventId>,
    pub fields: Box<dyn Fn(&mut Fields<'static>) + 'd>,
    pub part: Box<dyn Fn(&mut Part<'static>) + 'd>,
    pub signature: Box<dyn Fn(&mut Signature) + 'd>,
}

impl<'d> Draft<'d> {
    pub fn new(event: Event) -> Self {
        Self {
            event,
            key: entry_key(),
            left: 0,
            event_id: None,
            fields: Box::new(|_| ()),
            part: Box::new(|_| ()),
            signature: Box::new(|_| ()),
        }
    }

    pub fn reserved(reserved: &Reserved) -> Self {
        Self::new(reserved.event("sigchain").unwrap())
    }

    pub fn left(mut self, left: u16) -> Self {
        self.left = left;
        self
    }

    pub fn key(mut self, key: SigningKey) -> Self {
        self.key = key;
        self
    }

    pub fn event_id(mut self, id: EventId) -> Self {
        self.event_id = Some(id);
        self
    }

    pub fn fields(mut self, tweak: impl Fn(&mut Fields<'static>) + 'd) -> Self {
        self.fields = Box::new(tweak);
        self
    }

    pub fn part(mut self, tweak: impl Fn(&mut Part<'static>) + 'd) -> Self {
        self.part = Box::new(tweak);
        self
    }

    pub fn signature(mut self, tweak: impl Fn(&mut Signature) + 'd) -> Self {
        self.signature = Box::new(tweak);
        self
    }
}

/// A chain under construction, and the frames of a file of it.
#[derive(Clone)]
pub struct Build {
    pub chain_id: Digest,
    pub name: String,
    pub sequence: u64,
    pub prior: Digest,
    pub stamp: Stamp,
    pub leaves: Vec<Digest>,
    pub frames: Vec<Frame<'static>>,
    /// The chain as it is after all entries that were right; for keyring digests.
    pub chain: Option<Chain>,
    salts: u64,
}

/// What genesis holds.
pub struct Genesis {
    pub keys: Vec<(SigningKey, Role)>,
    pub operators: Vec<SigningKey>,
    pub predecessor: Option<Predecessor>,
    pub approvers: Vec<SigningKey>,
    pub salt: u64,
}

impl Default for Genesis {
    fn default() -> Self {
        Self {
            keys: vec![(entry_key(), Role::Entry), (checkpoint_key(), Role::Checkpoint)],
            operators: vec![operator_key(), second_operator_key()],
            predecessor: None,
            approvers: Vec::new(),
            salt: 0,
        }
    }
}

pub fn operator_hashes(operators: &[SigningKey]) -> Vec<Digest> {
    let mut hashes: Vec<_> = operators.iter().map(|key| key.public().operator_hash()).collect();
    hashes.sort();
    hashes
}

/// The id of the event that becomes entry `sequence` if nothing else is said.
pub fn event_id(sequence: u64) -> EventId {
    let [.., a, b] = sequence.to_be_bytes();
    EventId::new(1_795_150_800_000 + sequence * 1000, [0, 0, 0, 0, 0, 0, 0, 0, a, b])
}

impl Build {
    /// A chain with nothing in it, not even genesis.
    pub fn empty() -> Self {
        Self {
            chain_id: Digest::ZERO,
            name: NAME.to_owned(),
            sequence: 0,
            prior: Digest::ZERO,
            stamp: Stamp::from_micros(START).unwrap(),
            leaves: Vec::new(),
            frames: Vec::new(),
            chain: None,
            salts: 0,
        }
    }

    pub fn new() -> Self {
        Self::genesis(&Genesis::default())
    }

    pub fn genesis(genesis: &Genesis) -> Self {
        let mut build = Self::empty();
        build.salts = genesis.salt;
        let id = event_id(0);
        let records = genesis
            .keys
            .iter()
            .map(|(key, role)| KeyRecord::new(key, *role, &Digest::ZERO, id))
            .collect();
        let mut reserved = Reserved::Genesis {
            approvals: Vec::new(),
            keys: records,
            name: NAME.to_owned(),
            operators: operator_hashes(&genesis.operators),
            predecessor: genesis.predecessor.clone(),
        };
        for approver in &genesis.approvers {
            reserved = reserved.approved_by(approver, &Digest::ZERO, id);
        }
        let signer = genesis.keys[0].0.clone();
        build.begin(Draft::reserved(&reserved).key(signer));
        build
    }

    /// Entry 0, whatever it is, and the header before it.
    pub fn begin(&mut self, draft: Draft<'_>) -> &mut Self {
        self.push(draft);
        let digest = self.prior;
        self.chain_id = digest;
        self.frames.insert(0, Frame::Header { version: VERSION, chain_id: digest });
        self
    }

    fn salt(&mut self) -> [u8; 16] {
        self.salts += 1;
        let digest = Digest::of(&[b"salt", &self.salts.to_be_bytes()]);
        digest.as_bytes()[..16].try_into().unwrap()
    }

    /// The next entry.
    pub fn push(&mut self, draft: Draft<'_>) -> &mut Self {
        let payload = payload_of(&draft.event);
        let mut part = payload.salted(|| self.salt());
        self.stamp = Stamp::new(self.stamp.as_u64() + (1 << 32));
        let place = Place {
            chain_id: self.chain_id,
            prior_hash: self.prior,
            sequence: self.sequence,
            stamp: self.stamp,
            signer: draft.key.id(),
        };
        let id = draft.event_id.unwrap_or(event_id(self.sequence));
        let linked = Linked::new(draft.event, id, part.commitment().unwrap(), &place);
        let entry = linked.clone().sign(&draft.key).unwrap();
        let mut written = Written::new(draft.left, entry, Part::Withheld);
        (draft.fields)(&mut written.fields);
        let digest = written.fields.digest(&self.chain_id);
        written.signature = draft.key.sign(Purpose::Entry, &digest);
        (draft.signature)(&mut written.signature);
        self.track(&written, digest, &part);
        (draft.part)(&mut part);
        written.part = part;
        self.prior = digest;
        self.sequence = written.fields.sequence + 1;
        self.leaves.push(tree::leaf_hash(&digest, &written.signature));
        self.frames.push(Frame::Entry(Box::new(written)));
        self
    }

    fn track(&mut self, written: &Written<'static>, digest: Digest, part: &Part<'static>) {
        let fields = &written.fields;
        let link = Link::new(fields, digest);
        let reserved = Reserved::parse(&fields.event_type, part, fields.sequence).ok();
        if fields.sequence == 0 {
            self.chain = reserved.and_then(|reserved| Chain::begin(&link, &reserved).ok());
        } else if let Some(chain) = &mut self.chain {
            let candidate = Candidate { link, reserved: reserved.as_ref(), root: None };
            let _ = chain.admit(&candidate);
        }
    }

    pub fn reserved(&mut self, reserved: &Reserved) -> &mut Self {
        self.push(Draft::reserved(reserved))
    }

    /// An ordinary event.
    pub fn event(&mut self) -> &mut Self {
        let text = format!("{{\"tool\":\"search\",\"n\":{}}}", self.sequence);
        let event = Event::new("agent:planner", "tool.call").unwrap();
        let payload = Payload::new("application/json", text).unwrap();
        self.push(Draft::new(event.payload(payload)))
    }

    pub fn events(&mut self, count: u64) -> &mut Self {
        (0..count).for_each(|_| {
            self.event();
        });
        self
    }

    pub fn frame(&mut self, frame: Frame<'static>) -> &mut Self {
        self.frames.push(frame);
        self
    }

    pub fn nodes(&self) -> Nodes {
        let mut nodes = Nodes::new();
        self.leaves.iter().for_each(|leaf| nodes.push(*leaf));
        nodes
    }

    pub fn root_at(&self, size: u64) -> Digest {
        self.nodes().root_at(size, &|i| self.leaf(i)).unwrap()
    }

    pub fn leaf(&self, index: u64) -> Option<Digest> {
        self.leaves.get(usize::try_from(index).unwrap()).copied()
    }

    pub fn size(&self) -> u64 {
        u64::try_from(self.leaves.len()).unwrap()
    }

    pub fn origin(&self) -> String {
        format!("{}/{}", self.name, self.chain_id)
    }

    pub fn checkpoint_at(&self, size: u64, key: &SigningKey) -> Checkpoint {
        Checkpoint::sign(&self.origin(), size, self.root_at(size), key)
    }

    pub fn checkpoint(&mut self) -> &mut Self {
        let checkpoint = self.checkpoint_at(self.size(), &checkpoint_key());
        self.frame(Frame::Checkpoint(checkpoint))
    }

    pub fn seal_state(&self) -> SealState {
        let mut tree = tree::Frontier::new();
        self.leaves.iter().for_each(|leaf| tree.push(*leaf));
        SealState {
            size: self.size(),
            head: self.prior,
            stamp: self.stamp,
            frontier: tree.hashes().to_vec(),
            keyring: self.chain.as_ref().unwrap().keyring().digest(),
            epoch: 1,
            quarantined: false,
        }
    }

    pub fn seal(&mut self) -> &mut Self {
        let seal = Seal::sign(self.seal_state(), &self.chain_id, &checkpoint_key());
        self.frame(Frame::Seal(seal))
    }

    /// The gap that stands for a range of entries.
    pub fn gap(&self, first: u64, count: u64, reason: GapReason) -> Frame<'static> {
        let hashes = self.hashes(first, count);
        Frame::Gap(Gap::new(first, count, reason, hashes).unwrap())
    }

    pub fn hashes(&self, first: u64, count: u64) -> Vec<Digest> {
        let piece = |(at, level): (u64, u32)| {
            let mut tree = tree::Frontier::new();
            (at..at + (1 << level)).for_each(|i| tree.push(self.leaf(i).unwrap()));
            tree.root()
        };
        tree::split(first, count).into_iter().map(piece).collect()
    }

    /// Puts gaps in the place of entries.
    pub fn elide(&mut self, first: u64, count: u64, reason: GapReason) -> &mut Self {
        let gap = self.gap(first, count, reason);
        let range = first..first + count;
        let covered = |frame: &Frame<'_>| match frame {
            Frame::Entry(written) => range.contains(&written.fields.sequence),
            _ => false,
        };
        let at = self.frames.iter().position(covered).unwrap();
        self.frames.retain(|frame| !covered(frame));
        self.frames.insert(at, gap);
        self
    }

    pub fn trailer(&mut self) -> &mut Self {
        let checkpoint = self.checkpoint_at(self.size(), &checkpoint_key());
        let frames = u64::try_from(self.frames.len()).unwrap();
        self.frame(Frame::Trailer(Trailer::new(frames, Summary::Signed(checkpoint))))
    }

    pub fn unsigned_trailer(&mut self) -> &mut Self {
        let (size, root) = (self.size(), self.root_at(self.size()));
        let frames = u64::try_from(self.frames.len()).unwrap();
        self.frame(Frame::Trailer(Trailer::new(frames, Summary::Unsigned { size, root })))
    }

    /// The frames as a file.
    pub fn file(&self, form: Form) -> Vec<u8> {
        file(&self.frames, form)
    }
}

/// The payload of an event goes through its public form only; a test that needs the part rebuilds it here.
fn payload_of(event: &Event) -> Payload {
    event.payload_ref().clone()
}

pub fn file(frames: &[Frame<'_>], form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    if form == Form::ChainFile {
        out.extend_from_slice(&MAGIC);
    }
    for frame in frames {
        if form == Form::JsonLines {
            out.extend_from_slice(jsonl::encode(frame).as_bytes());
        } else {
            let (head, body) = chainfile::encode(frame).unwrap();
            out.extend_from_slice(&head);
            out.extend_from_slice(&body);
        }
    }
    out
}

/// A frame of any bytes, with CRCs that are right.
pub fn raw_frame(letter: u8, zero: u8, left: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let mut head = vec![letter, zero];
    head.extend_from_slice(&left.to_be_bytes());
    head.extend_from_slice(&length.to_be_bytes());
    head.extend_from_slice(&crc32fast::hash(body).to_be_bytes());
    let crc = crc32fast::hash(&head);
    head.extend_from_slice(&crc.to_be_bytes());
    [head, body.to_vec()].concat()
}

/// Byte ranges of the frames of a chain file.
pub fn frame_ranges(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = MAGIC.len();
    while at < file.len() {
        let length = u32::from_be_bytes(file[at + 4..at + 8].try_into().unwrap());
        let end = at + 16 + usize::try_from(length).unwrap();
        ranges.push(at..end);
        at = end;
    }
    ranges
}

/// Whether all frames of a chain file are whole.
pub fn is_framed(file: &[u8]) -> bool {
    let mut at = MAGIC.len();
    while at + 16 <= file.len() {
        let length = u32::from_be_bytes(file[at + 4..at + 8].try_into().unwrap());
        at = at.saturating_add(16).saturating_add(usize::try_from(length).unwrap());
    }
    at == file.len()
}

pub fn verify(file: &[u8], anchors: &Anchors) -> Report {
    Verifier::new().anchored(anchors.clone()).run(Cursor::new(file)).unwrap()
}

pub fn anchored_to(chain_id: Digest) -> Anchors {
    let mut anchors = Anchors::default();
    anchors.chain_id = Some(chain_id);
    anchors
}

/// Codes and sequences of all faults.
pub fn found(report: &Report) -> Vec<(Code, Option<u64>)> {
    report.faults.iter().map(|fault| (fault.code, fault.sequence)).collect()
}

/// A small stream of random numbers from a seed; no test uses any other.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `SplitMix64`.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next().to_be_bytes()[7])
    }
}
