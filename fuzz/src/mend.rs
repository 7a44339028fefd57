//! Makes right what hangs on the frames before: as a writer with all the keys would.

use sigchain::chain::{Candidate, Chain, Link};
use sigchain::checkpoint::{Checkpoint, Seal, SealState};
use sigchain::digest::Digest;
use sigchain::frame::{Frame, Gap, GapReason, Summary, Trailer, VERSION, Written};
use sigchain::id::EventId;
use sigchain::key::{KeyId, Purpose, SigningKey};
use sigchain::payload::Part;
use sigchain::reserved::{Approval, KeyRecord, Reserved, Trusted};
use sigchain::stamp::Stamp;
use sigchain::tree::{self, Frontier, Nodes};

use super::{KEYS, Piece};

pub const SEQUENCE: u8 = 1;
pub const LINK: u8 = 1 << 1;
pub const STAMP: u8 = 1 << 2;
const COMMITMENT: u8 = 1 << 3;
const AUTHORITY: u8 = 1 << 4;
const SIGNATURE: u8 = 1 << 5;
const STATEMENTS: u8 = 1 << 6;
const ENDS: u8 = 1 << 7;

/// Makes right what the mask says, but for what a piece is to keep.
pub fn mend(pieces: &mut Vec<Piece>, mask: u8) {
    let mut state = State::new();
    for piece in pieces.iter_mut() {
        let mask = mask & !piece.kept;
        let body = std::mem::take(&mut piece.body);
        let parsed = Piece { body: body.clone(), ..piece.clone() };
        piece.body = match parsed.parse() {
            Ok(frame) => state.frame(frame, mask).body(),
            Err(_) => body,
        };
    }
    hide(pieces, &state);
    for (at, piece) in pieces.iter_mut().enumerate() {
        let ends = mask & ENDS & !piece.kept != 0;
        let Ok(frame) = piece.parse() else { continue };
        let frame = match (frame, &state.chain) {
            (Frame::Header { .. }, Some(chain)) if ends && at == 0 => {
                Frame::Header { version: VERSION, chain_id: chain.id() }
            }
            (Frame::Trailer(trailer), _) if ends => {
                let frames = u64::try_from(at).unwrap();
                Frame::Trailer(Trailer::new(frames, trailer.summary))
            }
            _ => continue,
        };
        piece.body = frame.body();
    }
}

/// Puts gaps in the place of the entries that are to be hidden.
fn hide(pieces: &mut Vec<Piece>, state: &State) {
    let sequence = |piece: &Piece| match piece.parse() {
        Ok(Frame::Entry(written)) => Some(written.fields.sequence),
        _ => None,
    };
    let mut at = 0;
    while at < pieces.len() {
        let hidden = pieces[at].hidden;
        let first = sequence(&pieces[at]);
        if let Some(first) = first
            && hidden != 0
        {
            let run = pieces[at..].iter().take_while(|piece| piece.hidden == hidden);
            let run: Vec<_> = run.map_while(sequence).collect();
            let count = u64::try_from(run.len()).unwrap();
            let reason = GapReason::from_number(u64::from(hidden) - 1).unwrap();
            let gap = state
                .hashes(first, count)
                .and_then(|hashes| Gap::new(first, count, reason, hashes));
            if let Some(gap) = gap {
                pieces.splice(at..at + run.len(), [Piece::of(&Frame::Gap(gap))]);
            }
        }
        at += 1;
    }
}

struct State {
    chain: Option<Chain>,
    started: bool,
    chain_id: Digest,
    prior: Digest,
    stamp: Stamp,
    tree: Frontier,
    leaves: Vec<Digest>,
    /// Whether `leaves` are all leaves so far.
    whole: bool,
}

impl State {
    fn new() -> Self {
        Self {
            chain: None,
            started: false,
            chain_id: Digest::ZERO,
            prior: Digest::ZERO,
            stamp: Stamp::new(0),
            tree: Frontier::new(),
            leaves: Vec::new(),
            whole: true,
        }
    }

    fn frame<'a>(&mut self, frame: Frame<'a>, mask: u8) -> Frame<'a> {
        let states = mask & STATEMENTS != 0;
        match frame {
            Frame::Entry(written) => {
                let mut written = written.into_owned();
                self.entry(&mut written, mask);
                Frame::Entry(Box::new(written))
            }
            Frame::Gap(gap) => {
                self.gap(&gap);
                Frame::Gap(gap)
            }
            Frame::Checkpoint(_) if states => match self.checkpoint() {
                Some(checkpoint) => Frame::Checkpoint(checkpoint),
                None => frame,
            },
            Frame::Seal(seal) if states => Frame::Seal(self.seal(seal)),
            Frame::Trailer(Trailer { frames, summary, .. }) if states => {
                let (size, root) = (self.tree.size(), self.tree.root());
                let summary = match (&summary, self.checkpoint()) {
                    (Summary::Signed(_), Some(checkpoint)) => Summary::Signed(checkpoint),
                    (Summary::Unsigned { .. }, _) => Summary::Unsigned { size, root },
                    _ => summary,
                };
                Frame::Trailer(Trailer::new(frames, summary))
            }
            _ => frame,
        }
    }

    fn entry(&mut self, written: &mut Written<'static>, mask: u8) {
        let is_first = !self.started;
        self.started = true;
        let chain_id = if is_first { Digest::ZERO } else { self.chain_id };
        let size = self.tree.size();
        let fields = &mut written.fields;
        if mask & SEQUENCE != 0 {
            fields.sequence = size;
        }
        if mask & LINK != 0 {
            fields.prior_hash = self.prior;
        }
        if mask & STAMP != 0 && fields.system_time <= self.stamp {
            fields.system_time = Stamp::new(self.stamp.as_u64().saturating_add(1 << 32));
        }
        let reserved = Reserved::parse(&fields.event_type, &written.part, fields.sequence).ok();
        let reserved = reserved.map(|reserved| {
            if mask & AUTHORITY == 0 {
                return reserved;
            }
            let reserved = self.authorised(reserved, &chain_id, fields.event_id, fields.sequence);
            if let Part::Whole(leaf) = &mut written.part
                && !matches!(reserved, Reserved::Open { .. })
            {
                leaf.bytes = reserved.encode(true).into();
            }
            reserved
        });
        if mask & COMMITMENT != 0
            && let Some(commitment) = written.part.commitment()
        {
            fields.payload_hash = commitment;
        }
        let digest = fields.digest(&chain_id);
        if mask & SIGNATURE != 0
            && let Some(key) = KEYS.get(&fields.signer_key_id)
        {
            written.signature = key.sign(Purpose::Entry, &digest);
        }
        self.step(written, digest, reserved.as_ref(), is_first);
    }

    fn step(
        &mut self,
        written: &Written<'_>,
        digest: Digest,
        reserved: Option<&Reserved>,
        is_first: bool,
    ) {
        let link = Link::new(&written.fields, digest);
        if is_first {
            self.chain_id = digest;
            self.chain = reserved.and_then(|reserved| Chain::begin(&link, reserved).ok());
        } else if let Some(chain) = &mut self.chain {
            let candidate = Candidate { link, reserved, root: Some(self.tree.root()) };
            if chain.admit(&candidate).is_err() {
                chain.pass(&link);
            }
        }
        self.prior = digest;
        self.stamp = written.fields.system_time;
        let leaf = tree::leaf_hash(&digest, &written.signature);
        self.leaves.push(leaf);
        self.tree.push(leaf);
    }

    fn gap(&mut self, gap: &Gap) {
        if gap.first == self.tree.size() {
            self.whole = false;
            for ((_, level), hash) in tree::split(gap.first, gap.count).into_iter().zip(&gap.hashes)
            {
                self.tree.push_subtree(*hash, level);
            }
            if let Some(chain) = &mut self.chain {
                chain.pass_gap(gap.end());
            }
        }
    }

    fn leaf(&self, index: u64) -> Option<Digest> {
        self.leaves.get(usize::try_from(index).ok()?).copied()
    }

    /// The subtree roots of a range, if its leaves are known.
    fn hashes(&self, first: u64, count: u64) -> Option<Vec<Digest>> {
        let size = u64::try_from(self.leaves.len()).unwrap();
        if !self.whole || first.checked_add(count)? > size {
            return None;
        }
        let piece = |(at, level): (u64, u32)| {
            let mut tree = Frontier::new();
            (at..at + (1 << level)).for_each(|i| tree.push(self.leaf(i).unwrap()));
            tree.root()
        };
        Some(tree::split(first, count).into_iter().map(piece).collect())
    }

    /// The first checkpoint key that may sign and that is ours.
    fn checkpoint_key(&self) -> Option<&'static SigningKey> {
        let mut keys = self.chain.as_ref()?.keyring().checkpoint_keys();
        keys.find_map(|key| KEYS.get(&key.id()))
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let (chain, key) = (self.chain.as_ref()?, self.checkpoint_key()?);
        Some(Checkpoint::sign(&chain.origin(), self.tree.size(), self.tree.root(), key))
    }

    fn seal(&self, seal: Seal) -> Seal {
        let (Some(chain), Some(key)) = (&self.chain, KEYS.get(&seal.signer)) else { return seal };
        let state = SealState {
            size: self.tree.size(),
            head: self.prior,
            stamp: self.stamp,
            frontier: self.tree.hashes().to_vec(),
            keyring: chain.keyring().digest(),
            ..seal.state
        };
        Seal::sign(state, &self.chain_id, key)
    }

    /// Signs again what keys of ours signed in a payload, and proves again what it says of the tree.
    fn authorised(
        &self,
        mut reserved: Reserved,
        chain_id: &Digest,
        event_id: EventId,
        sequence: u64,
    ) -> Reserved {
        let renew = |record: &mut KeyRecord| {
            if let Some(key) = KEYS.get(&record.id()) {
                *record = KeyRecord::new(key, record.role, chain_id, event_id);
            }
        };
        match &mut reserved {
            Reserved::Genesis { keys, .. } => keys.iter_mut().for_each(renew),
            Reserved::Enroll { key, .. } | Reserved::Rotate { key, .. } => renew(key),
            Reserved::Revoke { consistency, trusted: Some(trusted), .. } if self.whole => {
                self.trust(trusted, consistency, sequence);
            }
            Reserved::Resolved { first, count, hashes, .. } => {
                if let Some(known) = self.hashes(*first, *count) {
                    *hashes = known;
                }
            }
            _ => (),
        }
        let Some(approvals) = approvals(&mut reserved) else { return reserved };
        let ours = |approval: &Approval| KEYS.get(&KeyId::of(&approval.public));
        let signers: Vec<_> = approvals.iter().filter_map(ours).collect();
        approvals.retain(|approval| ours(approval).is_none());
        signers
            .into_iter()
            .fold(reserved, |reserved, key| reserved.approved_by(key, chain_id, event_id))
    }

    fn trust(&self, trusted: &mut Trusted, consistency: &mut Vec<Digest>, sequence: u64) {
        let mut nodes = Nodes::new();
        self.leaves.iter().for_each(|leaf| nodes.push(*leaf));
        let leaves = &|index| self.leaf(index);
        if let Some(root) = nodes.root_at(trusted.size, leaves)
            && let Some(proof) = nodes.consistency(trusted.size, sequence, leaves)
        {
            trusted.root = root;
            *consistency = proof;
        }
    }
}

fn approvals(reserved: &mut Reserved) -> Option<&mut Vec<Approval>> {
    match reserved {
        Reserved::Enroll { approvals, .. }
        | Reserved::Genesis { approvals, .. }
        | Reserved::Operators { approvals, .. }
        | Reserved::Resolved { approvals, .. }
        | Reserved::Revoke { approvals, .. }
        | Reserved::Rotate { approvals, .. } => Some(approvals),
        _ => None,
    }
}
