//! The ledger that records the run, with a clock that does not make anybody wait, and the frames of what it recorded: what
//! the attackers work on.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};
use sigchain::action::{Begun, Ended, Said};
use sigchain::chainfile::{self, Form, MAGIC, Writer};
use sigchain::checkpoint::Checkpoint;
use sigchain::clock::Time;
use sigchain::digest::Digest;
use sigchain::entry::{Linked, Place};
use sigchain::event::Event;
use sigchain::frame::{Frame, Summary, Trailer, VERSION, Written};
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Genesis, Ledger, Options};
use sigchain::payload::Part;
use sigchain::stamp::Stamp;
use sigchain::store::{Memory, Store as _, Stored};
use sigchain::tree::{self, Frontier};
use sigchain::vocabulary;

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

/// Time that passes when it is told to: the agent thinks for seconds, the demonstration does not.
#[derive(Debug)]
struct Told {
    start: i64,
    micros: AtomicI64,
}

impl Told {
    fn pass(&self, micros: i64) {
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Time for Told {
    fn wall(&self) -> i64 {
        self.micros.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> u64 {
        let micros = self.wall().saturating_sub(self.start);
        u64::try_from(micros).unwrap_or(0).saturating_mul(1000)
    }
}

/// Whether something is done between an event of this type and its outcome.
fn is_action(kind: &str) -> bool {
    matches!(kind, "llm.request" | "tool.call")
}

/// What came of an action.
fn said(payload: &str) -> Outcome<Said> {
    let fields: Map<String, Value> = serde_json::from_str(payload)?;
    Ok(fields.into_iter().fold(Said::nothing(), |said, (name, value)| said.with(&name, value)))
}

/// What was recorded so far: the frames of a file of it.
#[derive(Clone)]
pub(super) struct Record {
    chain_id: Digest,
    origin: String,
    frames: Vec<Frame<'static>>,
}

/// A ledger at work.
pub(super) struct Recorder {
    ledger: Ledger,
    time: Arc<Told>,
    record: Record,
    /// The action that goes on.
    begun: Option<Begun>,
}

impl Recorder {
    /// Begins a chain.
    pub(super) fn begin(name: &str, keys: &Keys, start: i64) -> Outcome<Self> {
        let genesis = Genesis::new(name, keys.entry.clone())
            .checkpoints(keys.checkpoint.clone())
            .operator(keys.operator.public());
        let time = Arc::new(Told { start, micros: AtomicI64::new(start) });
        let options = Options::new().time(Arc::<Told>::clone(&time));
        Self::over(Ledger::create(Memory::new(), genesis, options)?, time, Vec::new())
    }

    /// Goes on with a copy of what was recorded: what a thief of the entry key can do.
    pub(super) fn steal(record: &Record, key: &SigningKey) -> Outcome<Self> {
        let store = Memory::new();
        let mut last = Stamp::new(0);
        for frame in &record.frames {
            if let Frame::Entry(written) = frame {
                let (fields, left) = (&written.fields, written.left);
                let (head, body) = chainfile::encode(frame)?;
                let digest = fields.digest(&record.chain_id);
                let place = (fields.sequence, fields.event_id, digest);
                let stored = Stored::new(place, left, head, body);
                store.commit(&[stored])?;
                last = fields.system_time;
            }
        }
        let start = last.micros();
        let time = Arc::new(Told { start, micros: AtomicI64::new(start) });
        let options = Options::new().time(Arc::<Told>::clone(&time));
        let ledger = Ledger::open(store, key.clone(), options)?;
        Self::over(ledger, time, record.frames.clone())
    }

    fn over(ledger: Ledger, time: Arc<Told>, frames: Vec<Frame<'static>>) -> Outcome<Self> {
        let record = Record { chain_id: ledger.chain_id(), origin: ledger.origin(), frames };
        let mut recorder = Self { ledger, time, record, begun: None };
        if recorder.record.frames.is_empty() {
            let chain_id = recorder.record.chain_id;
            recorder.record.frames.push(Frame::Header { version: VERSION, chain_id });
        }
        recorder.follow()?;
        Ok(recorder)
    }

    /// Takes what has been recorded into the frames.
    fn follow(&mut self) -> Outcome<()> {
        for sequence in self.record.size()..=self.ledger.head().sequence {
            let written = self.ledger.entry(sequence)?.ok_or("a ledger without its own entry")?;
            self.record.frames.push(Frame::Entry(Box::new(written)));
        }
        Ok(())
    }

    /// Records an event, `after` microseconds later. Returns its id, so that others can name it as their cause. Calls of
    /// models and tools are actions, which a gate lets through; all else is appended.
    pub(super) fn record(
        &mut self,
        kind: &str,
        payload: &str,
        event: Event,
        after: i64,
    ) -> Outcome<EventId> {
        self.time.pass(after);
        let receipt = match self.begun.take() {
            Some(begun) if vocabulary::is_outcome(kind) => {
                begun.end(&self.ledger, Ended::Done(said(payload)?))?
            }
            _ if is_action(kind) => {
                let begun = self.ledger.action(event).begin()?;
                *self.begun.insert(begun).intent()
            }
            _ => self.ledger.append(event)?,
        };
        self.follow()?;
        Ok(receipt.event_id)
    }

    /// This time tomorrow.
    pub(super) fn tomorrow(&self) -> String {
        const DAY: i64 = 86_400_000_000;
        let at = Stamp::from_micros(self.time.wall().saturating_add(DAY));
        at.unwrap_or(Stamp::new(u64::MAX)).to_string()
    }

    /// A checkpoint over all entries so far; it goes into the file, and a copy to whoever wants to hold one.
    pub(super) fn checkpoint(&mut self) -> Outcome<Checkpoint> {
        let checkpoint = self.ledger.checkpoint()?;
        self.record.frames.push(Frame::Checkpoint(checkpoint.clone()));
        Ok(checkpoint)
    }

    /// What was recorded so far.
    pub(super) fn so_far(&self) -> Record {
        self.record.clone()
    }

    /// Closes the ledger and gives all that was recorded.
    pub(super) fn finish(self) -> Outcome<Record> {
        self.ledger.close(Duration::from_secs(10))?;
        Ok(self.record)
    }
}

impl Record {
    pub(super) fn chain_id(&self) -> Digest {
        self.chain_id
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn frames(&self) -> &[Frame<'static>] {
        &self.frames
    }

    fn entries(&self) -> impl Iterator<Item = &Written<'static>> {
        self.frames.iter().filter_map(|frame| match frame {
            Frame::Entry(written) => Some(&**written),
            _ => None,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.entries().last().map_or(0, |written| written.fields.sequence + 1)
    }

    /// An entry that would come next, by whoever has this key; it never comes near the ledger.
    pub(super) fn next(&self, event: Event, key: &SigningKey) -> Outcome<Written<'static>> {
        let last = self.entries().last().ok_or("a record without entries")?;
        let (mut salt, mut id) = ([0; 16], [0; 10]);
        getrandom::fill(&mut salt)?;
        getrandom::fill(&mut id)?;
        let part = event.payload_ref().clone().salted(|| salt);
        let commitment = part.commitment().ok_or("a payload without commitment")?;
        let place = Place {
            chain_id: self.chain_id,
            prior_hash: last.entry(&self.chain_id).digest(),
            sequence: self.size(),
            stamp: Stamp::new(last.fields.system_time.as_u64() + 1),
            signer: key.id(),
        };
        let millis = u64::try_from(place.stamp.micros() / 1000)?;
        let linked = Linked::new(event, EventId::new(millis, id), commitment, &place);
        let entry = linked.sign(key).ok_or("a key that is not the one of the place")?;
        Ok(Written::new(0, entry, part))
    }

    /// The frame that ends a file of what is there; unsigned without a key.
    pub(super) fn trailer(&self, key: Option<&SigningKey>) -> Outcome<Frame<'static>> {
        let mut tree = Frontier::new();
        for written in self.entries() {
            let digest = written.entry(&self.chain_id).digest();
            tree.push(tree::leaf_hash(&digest, &written.signature));
        }
        let (size, root) = (tree.size(), tree.root());
        let summary = key.map_or(Summary::Unsigned { size, root }, |key| {
            Summary::Signed(Checkpoint::sign(&self.origin, size, root, key))
        });
        let frames = u64::try_from(self.frames.len())?;
        Ok(Frame::Trailer(Trailer::new(frames, summary)))
    }

    /// A whole file, by the library's own writer.
    pub(super) fn file(&self, form: Form, key: &SigningKey) -> Outcome<Vec<u8>> {
        let mut writer = Writer::new(Vec::new(), form, self.chain_id)?;
        for frame in &self.frames {
            match frame {
                Frame::Checkpoint(checkpoint) => writer.checkpoint(checkpoint.clone())?,
                Frame::Entry(written) => {
                    let entry = written.entry(&self.chain_id);
                    writer.entry(written.left, entry, written.part.clone())?;
                }
                _ => {}
            }
        }
        Ok(writer.finish_signed(&self.origin, key)?)
    }
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
