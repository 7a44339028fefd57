//! Forks: two signed entries of one chain with one sequence. The pair is the proof, and it stands alone.
//!
//! A proof is kept as JSON lines: the header, genesis, whatever entries enrolled the two signers' keys, and the pair last. It
//! does not count if the chain lists either digest as abandoned.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};

use crate::chain::{Candidate, Chain, Link};
use crate::chainfile::{Block, OpenError, Reader};
use crate::digest::Digest;
use crate::fault::Misfit;
use crate::frame::{Frame, VERSION, Written};
use crate::jsonl;
use crate::key::{KeyId, PublicKey, Purpose, Role};
use crate::keyring::{self, KEYS_MAX};
use crate::limit;
use crate::payload::Part;
use crate::reserved::{KeyRecord, Reserved};

/// Two entries of one chain with one sequence, and what it takes to judge them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForkProof {
    /// Id of the chain.
    pub chain_id: Digest,
    /// Entry 0.
    pub genesis: Written<'static>,
    /// Entries that enrolled the keys of the pair, in the order of the chain.
    pub enrolments: Vec<Written<'static>>,
    /// The two.
    pub pair: [Box<Written<'static>>; 2],
}

/// Why two files, or a text, do not make a proof.
#[derive(Debug)]
#[non_exhaustive]
pub enum ForkError {
    /// One of the digests is listed as abandoned by the chain: the pair proves nothing.
    Abandoned,
    /// They are of different chains.
    Chains,
    /// A file could not be read.
    Io(io::Error),
    /// The proof is not what it should be.
    Malformed(&'static str),
    /// An entry or key in it is not sound.
    Unsound(Misfit),
}

impl From<OpenError> for ForkError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => Self::Io(error),
            OpenError::Unreadable(fault) => {
                Self::Unsound(Misfit::new(fault.code, fault.expected, fault.found))
            }
        }
    }
}

impl From<io::Error> for ForkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ForkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abandoned => f.write_str("one of the two entries is listed as abandoned"),
            Self::Chains => f.write_str("the files are of different chains"),
            Self::Io(error) => error.fmt(f),
            Self::Malformed(what) => write!(f, "expected a fork proof, found {what}"),
            Self::Unsound(misfit) => misfit.fmt(f),
        }
    }
}

impl std::error::Error for ForkError {}

/// One file, read entry by entry as far as it can be read, and the chain that its entries make as far as they are sound.
struct Side<R> {
    reader: Reader<R>,
    block: Block,
    at: usize,
    chain: Option<Chain>,
}

impl<R: Read> Side<R> {
    fn open(source: R) -> Result<Self, ForkError> {
        let mut reader = Reader::open(source)?;
        let block = reader.block(1, 0)?;
        Ok(Self { reader, block, at: 0, chain: None })
    }

    fn next(&mut self, seen: &mut Seen) -> io::Result<Option<Written<'static>>> {
        loop {
            let Some(raw) = self.block.frames().get(self.at).cloned() else {
                self.block = self.reader.block(256, 1 << 20)?;
                self.at = 0;
                if self.block.frames().is_empty() {
                    return Ok(None);
                }
                continue;
            };
            self.at += 1;
            match self.block.parse(&raw) {
                Ok(Frame::Entry(written)) => {
                    let written = written.into_owned();
                    self.admit(&written, seen);
                    // Payloads are not judged here, and many of them would be kept.
                    return Ok(Some(Written { part: Part::Withheld, ..written }));
                }
                Ok(Frame::Gap(gap)) => {
                    if let Some(chain) = &mut self.chain
                        && chain.meet_gap(gap.first).is_ok()
                    {
                        chain.pass_gap(gap.end());
                    }
                }
                _ => {}
            }
        }
    }

    /// Follows the chain, and notes what a sound entry says. Behind the first that is not sound nothing is believed: otherwise
    /// whoever can append to a file could disown a branch in the chain's name.
    fn admit(&mut self, written: &Written<'static>, seen: &mut Seen) {
        let chain_id = self.reader.chain_id();
        if written.fields.sequence == 0 {
            self.chain = judge_genesis(written, &chain_id).ok();
            seen.genesis = seen.genesis.take().or(self.chain.is_some().then(|| written.clone()));
            return;
        }
        let Some(chain) = &mut self.chain else { return };
        if let Ok(reserved) = admitted(chain, written, &chain_id) {
            seen.note(written, reserved);
        } else {
            self.chain = None;
        }
    }
}

/// An entry that is not part of the chain, or of which that cannot be known.
struct NotSound;

/// Admits an entry whose signature and payload are right; of reserved types also says what it holds.
fn admitted(
    chain: &mut Chain,
    written: &Written<'_>,
    chain_id: &Digest,
) -> Result<Option<Reserved>, NotSound> {
    let fields = &written.fields;
    let digest = fields.digest(chain_id);
    let reserved = if limit::is_reserved(&fields.event_type) {
        if written.part.commitment() != Some(fields.payload_hash) {
            return Err(NotSound);
        }
        let parsed = Reserved::parse(&fields.event_type, &written.part, fields.sequence);
        Some(parsed.map_err(|_| NotSound)?)
    } else {
        None
    };
    let key = chain.signer(&fields.signer_key_id, reserved.as_ref()).map_err(|_| NotSound)?;
    // Ordinary entries change nothing that is noted here, and the next link shows whether they were changed.
    if reserved.is_some() && !key.accepts(Purpose::Entry, &digest, &written.signature) {
        return Err(NotSound);
    }
    let link = Link::new(fields, digest);
    let candidate = Candidate { link, reserved: reserved.as_ref(), root: None };
    let change = chain.check(&candidate).map_err(|_| NotSound)?;
    chain.commit(&candidate, change);
    Ok(reserved)
}

/// What a comparison keeps of the entries that it has passed.
#[derive(Default)]
struct Seen {
    genesis: Option<Written<'static>>,
    enrolments: BTreeMap<u64, Written<'static>>,
    abandoned: BTreeSet<Digest>,
}

impl Seen {
    fn note(&mut self, written: &Written<'static>, reserved: Option<Reserved>) {
        match reserved {
            Some(Reserved::Abandoned { entries, .. }) => {
                self.abandoned.extend(entries.into_iter().map(|(_, digest)| digest));
            }
            Some(Reserved::Enroll { .. } | Reserved::Rotate { .. }) => {
                self.enrolments.entry(written.fields.sequence).or_insert_with(|| written.clone());
            }
            _ => {}
        }
    }
}

/// Pairs that a comparison keeps, in case that the first turn out to be abandoned.
const PAIRS_MAX: usize = 1024;

fn judge_genesis(written: &Written<'_>, chain_id: &Digest) -> Result<Chain, ForkError> {
    let fields = &written.fields;
    let reserved = Reserved::parse(&fields.event_type, &written.part, 0)
        .map_err(|_| ForkError::Malformed("no genesis"))?;
    let key =
        keyring::genesis_signer(&fields.signer_key_id, &reserved).map_err(ForkError::Unsound)?;
    let digest = fields.digest(&Digest::ZERO);
    let is_sound = digest == *chain_id
        && key.accepts(Purpose::Entry, &digest, &written.signature)
        && written.part.commitment() == Some(fields.payload_hash);
    if !is_sound {
        return Err(ForkError::Malformed("a genesis that is not that of the chain"));
    }
    Chain::begin(&Link::new(fields, digest), &reserved).map_err(ForkError::Unsound)
}

/// How two files of one chain go together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a comparison that nobody looks at shows no fork"]
#[non_exhaustive]
pub enum Comparison {
    /// They differ at this sequence, and it cannot be proved that the chain's keys signed both.
    Differ(u64),
    /// Keys of the chain signed both.
    Fork(Box<ForkProof>),
    /// All entries that both hold, in order, are the same, or one of them was abandoned.
    Same,
}

/// Compares two files of one chain. Payloads are not looked at.
pub fn compare(a: impl Read, b: impl Read) -> Result<Comparison, ForkError> {
    let (mut a, mut b) = (Side::open(a)?, Side::open(b)?);
    let chain_id = a.reader.chain_id();
    if chain_id != b.reader.chain_id() {
        return Err(ForkError::Chains);
    }
    let mut seen = Seen::default();
    let mut pairs: Vec<[Box<Written<'static>>; 2]> = Vec::new();
    let mut not_kept = None;
    let (mut left, mut right) = (a.next(&mut seen)?, b.next(&mut seen)?);
    while let (Some(x), Some(y)) = (&left, &right) {
        match x.fields.sequence.cmp(&y.fields.sequence) {
            Ordering::Less => left = a.next(&mut seen)?,
            Ordering::Greater => right = b.next(&mut seen)?,
            Ordering::Equal => {
                if x.entry(&chain_id).digest() != y.entry(&chain_id).digest() {
                    if pairs.len() < PAIRS_MAX {
                        pairs.push([Box::new(x.clone()), Box::new(y.clone())]);
                    } else {
                        not_kept = not_kept.or(Some(x.fields.sequence));
                    }
                }
                left = a.next(&mut seen)?;
                right = b.next(&mut seen)?;
            }
        }
    }
    // The entries that abandon what one file holds may go on behind its end.
    while a.next(&mut seen)?.is_some() {}
    while b.next(&mut seen)?.is_some() {}
    let mut differ = None;
    for pair in pairs {
        let is_abandoned =
            pair.iter().any(|w| seen.abandoned.contains(&w.entry(&chain_id).digest()));
        if is_abandoned {
            continue;
        }
        let [first, _] = &pair;
        differ = differ.or(Some(first.fields.sequence));
        let Some(genesis) = seen.genesis.clone() else { continue };
        let enrolments = seen.enrolments.values().cloned().collect();
        let proof = ForkProof { chain_id, genesis, enrolments, pair }.trimmed();
        if proof.verify(&seen.abandoned).is_ok() {
            return Ok(Comparison::Fork(Box::new(proof)));
        }
    }
    Ok(differ.or(not_kept).map_or(Comparison::Same, Comparison::Differ))
}

impl ForkProof {
    /// Without the enrolments that the pair does not need.
    fn trimmed(mut self) -> Self {
        let mut needed: BTreeSet<KeyId> =
            self.pair.iter().map(|written| written.fields.signer_key_id).collect();
        // From the last to the first: an enrolment that is needed needs that of its own signer.
        let mut kept: Vec<_> = self
            .enrolments
            .into_iter()
            .rev()
            .filter(|written| {
                let is_needed =
                    enrolled(written).is_some_and(|record| needed.contains(&record.id()));
                if is_needed {
                    needed.insert(written.fields.signer_key_id);
                }
                is_needed
            })
            .collect();
        kept.reverse();
        self.enrolments = kept;
        self
    }

    /// Judges the proof by itself; `abandoned` are the digests that the chain is known to list as abandoned.
    pub fn verify(&self, abandoned: &BTreeSet<Digest>) -> Result<(), ForkError> {
        let chain = judge_genesis(&self.genesis, &self.chain_id)?;
        let mut keys: BTreeMap<KeyId, PublicKey> = chain
            .keyring()
            .keys()
            .iter()
            .filter(|key| key.role == Role::Entry)
            .map(|key| (key.public.id(), key.public.clone()))
            .collect();
        for written in &self.enrolments {
            let record =
                enrolled(written).ok_or(ForkError::Malformed("an entry that enrols nothing"))?;
            let key = self.judge_enrolment(written, &record, &keys, chain.keyring().operators())?;
            keys.insert(key.id(), key);
        }
        let digests = self.pair.each_ref().map(|written| written.entry(&self.chain_id).digest());
        let [a, b] = &self.pair;
        let [of_a, of_b] = digests;
        if a.fields.sequence != b.fields.sequence || a.fields.sequence == 0 || of_a == of_b {
            return Err(ForkError::Malformed("two entries that do not conflict"));
        }
        for (written, digest) in [(a, of_a), (b, of_b)] {
            let key = keys.get(&written.fields.signer_key_id);
            if !key.is_some_and(|key| key.accepts(Purpose::Entry, &digest, &written.signature)) {
                return Err(ForkError::Malformed("an entry that no key of the chain signed"));
            }
            if abandoned.contains(&digest) {
                return Err(ForkError::Abandoned);
            }
        }
        Ok(())
    }

    fn judge_enrolment(
        &self,
        written: &Written<'_>,
        record: &KeyRecord,
        keys: &BTreeMap<KeyId, PublicKey>,
        operators: &[Digest],
    ) -> Result<PublicKey, ForkError> {
        let digest = written.fields.digest(&self.chain_id);
        let new = PublicKey::from_bytes(&record.public)
            .map_err(|_| ForkError::Malformed("a key that cannot be enrolled"))?;
        let statement = KeyRecord::statement(
            &record.public,
            record.role,
            &self.chain_id,
            written.fields.event_id,
        );
        // A rotation may be signed by the new key itself, if an operator approved it. Only the operators of genesis are known
        // here: a fork by a key that later ones approved is not provable this way.
        let signer = match keys.get(&written.fields.signer_key_id) {
            None if self.is_approved(written, operators) => Some(&new),
            known => known,
        };
        let is_sound = record.role == Role::Entry
            && signer.is_some_and(|key| key.accepts(Purpose::Entry, &digest, &written.signature))
            && new.accepts(Purpose::Possession, &statement, &record.proof)
            && written.part.commitment() == Some(written.fields.payload_hash);
        if is_sound { Ok(new) } else { Err(ForkError::Malformed("an enrolment that is not sound")) }
    }

    fn is_approved(&self, written: &Written<'_>, operators: &[Digest]) -> bool {
        let fields = &written.fields;
        let reserved = Reserved::parse(&fields.event_type, &written.part, fields.sequence);
        let Ok(rotation @ Reserved::Rotate { .. }) = reserved else { return false };
        rotation.approvers(&self.chain_id, fields.event_id).is_ok_and(|approvers| {
            !approvers.is_empty()
                && approvers.iter().all(|key| operators.contains(&key.operator_hash()))
        })
    }

    /// The proof as JSON lines.
    pub fn encode(&self) -> String {
        let header = Frame::Header { version: VERSION, chain_id: self.chain_id };
        let entry =
            |written: &Written<'static>| jsonl::encode(&Frame::Entry(Box::new(written.clone())));
        let mut out = jsonl::encode(&header);
        out.push_str(&entry(&self.genesis));
        self.enrolments.iter().for_each(|written| out.push_str(&entry(written)));
        self.pair.iter().for_each(|written| out.push_str(&entry(written)));
        out
    }

    /// Parses what `encode` wrote.
    pub fn parse(text: &[u8]) -> Result<Self, ForkError> {
        let mut reader = Reader::open(text)?;
        let chain_id = reader.chain_id();
        let block = reader.block(2 + KEYS_MAX + 2, usize::MAX)?;
        let mut all = Vec::new();
        for raw in block.frames() {
            let Ok(Frame::Entry(written)) = block.parse(raw) else {
                return Err(ForkError::Malformed("a line that is no entry"));
            };
            all.push(written.into_owned());
        }
        let (Some(b), Some(a)) = (all.pop(), all.pop()) else {
            return Err(ForkError::Malformed("fewer than two entries"));
        };
        if all.is_empty() {
            return Err(ForkError::Malformed("no genesis"));
        }
        let genesis = all.remove(0);
        Ok(Self { chain_id, genesis, enrolments: all, pair: [Box::new(a), Box::new(b)] })
    }
}

fn enrolled(written: &Written<'_>) -> Option<KeyRecord> {
    let fields = &written.fields;
    match Reserved::parse(&fields.event_type, &written.part, fields.sequence) {
        Ok(Reserved::Enroll { key, .. } | Reserved::Rotate { key, .. }) => Some(key),
        _ => None,
    }
}
