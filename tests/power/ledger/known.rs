//! What is known outside of a machine of the ledger on it: what was acknowledged, what was refused, what was seen. All of it has to hold
//! whatever becomes of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sigchain::clock::Time;
use sigchain::codec::Reader;
use sigchain::digest::Digest;
use sigchain::directory::{Directory, Limits};
use sigchain::disk::{Folder, code_of};
use sigchain::error::{AppendError, OpenError};
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::key::{PublicKey, Purpose, Signature, SigningKey};
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::payload::Payload;
use sigchain::receipt::Receipt;
use sigchain::reserved::Reserved;
use sigchain::signer::{Signer, SignerError, Statement};
use sigchain::store::{Frames, Store as _};
use sigchain::verify::{Seen, Verifier};

use crate::power::ledger::through::Eye;
use crate::power::sim::Sim;
use crate::support::{checkpoint_key, entry_key};

/// The signatures of entries, by digest.
type Signed = Arc<Mutex<BTreeMap<Digest, Signature>>>;

const SOON: Duration = Duration::from_secs(10);
const START: i64 = 1_795_150_800_000_000;

/// A key that notes which entries it signs.
#[derive(Clone, Debug)]
struct Noting(SigningKey, Signed);

impl Signer for Noting {
    fn public(&self) -> &PublicKey {
        self.0.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        let signature = Signer::sign(&self.0, statement)?;
        if let Statement::Digest(Purpose::Entry, digest) = statement {
            self.1.lock().unwrap_or_else(PoisonError::into_inner).insert(**digest, signature);
        }
        Ok(signature)
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

/// A clock that stands still.
#[derive(Debug)]
struct Still(i64);

impl Time for Still {
    fn wall(&self) -> i64 {
        self.0
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.0).unwrap()
    }
}

/// What is known of a ledger.
#[derive(Clone, Debug, Default)]
pub struct Known {
    signed: Signed,
    /// The chain, once somebody was told of it.
    chain: Option<Digest>,
    /// Events so far: each has its number in its id.
    events: u64,
    /// Entries that somebody was told are there: by a receipt, by a reader, by a ledger that was opened or closed.
    there: BTreeMap<u64, Digest>,
    /// The entries of events with a receipt.
    recorded: BTreeMap<EventId, u64>,
    /// Events that can never appear: they were refused, or not there after an uncertain outcome.
    gone: BTreeSet<EventId>,
    /// Events that may be there, and how large they are.
    unsure: BTreeMap<EventId, usize>,
    /// Events that are there together or not at all.
    batches: Vec<Vec<EventId>>,
    /// Why the last call has no receipt.
    pub outcome: Option<AppendError>,
    /// Bytes that its ledgers keep for the day when the disk is full.
    pub reserve: u64,
    /// Entries that were signed and on the medium at some time, wherever in its files.
    on_disk: BTreeSet<(u64, Digest)>,
}

pub fn other(what: impl fmt::Display) -> io::Error {
    io::Error::other(what.to_string())
}

fn id(number: u64) -> EventId {
    let [.., a, b, c, d] = number.to_be_bytes();
    EventId::new(u64::try_from(START / 1000).unwrap(), [0, 0, 0, 0, 0, 0, a, b, c, d])
}

fn event(id: EventId, len: usize) -> Event {
    let payload = Payload::new("application/octet-stream", vec![b'.'; len]).unwrap();
    Event::new("agent:tester", "test.call").unwrap().id(id).payload(payload)
}

impl Known {
    fn options(&self, bytes: u64) -> Options {
        let limits = Limits { bytes, ..Limits::default() };
        let wall = START + 1_000_000 * i64::try_from(self.events).unwrap();
        let files = Files::new().limits(limits).anchors(Vec::new()).reserve(self.reserve);
        Options::new().time(Arc::new(Still(wall))).files(files)
    }

    /// Whether somebody was told of the chain.
    pub fn is_known(&self) -> bool {
        self.chain.is_some()
    }

    fn signer(&self) -> Noting {
        Noting(entry_key(), Arc::clone(&self.signed))
    }

    pub fn create(&mut self, folder: Arc<dyn Folder>, bytes: u64) -> io::Result<Ledger> {
        let genesis =
            Genesis::new("example.org/worst", self.signer()).checkpoints(checkpoint_key());
        let ledger = Ledger::create_in(folder, genesis, self.options(bytes)).map_err(other)?;
        self.meet(&ledger);
        Ok(ledger)
    }

    /// A ledger says what is there: it has to be there from then on.
    fn meet(&mut self, ledger: &Ledger) {
        let id = ledger.chain_id();
        assert_eq!(*self.chain.get_or_insert(id), id, "another chain");
        let head = ledger.head();
        self.must_be(head.sequence, head.digest);
        let least = self.there.last_key_value().map_or(0, |(sequence, _)| *sequence);
        assert!(head.sequence >= least, "entry {least} is gone, found {}", head.sequence);
    }

    fn must_be(&mut self, sequence: u64, digest: Digest) {
        let known = *self.there.entry(sequence).or_insert(digest);
        assert_eq!(known, digest, "another entry {sequence}");
    }

    /// Opens it, or creates it if nobody was ever told that it is there. On a machine that works one of the two succeeds.
    pub fn open(&mut self, sim: &Sim, folder: Arc<dyn Folder>, bytes: u64) -> io::Result<Ledger> {
        self.scan(sim, false);
        // A thread of a ledger that was let go of may have it a little longer. `wait` would look again only after 20 ms.
        let probe = sim.root();
        let started = Instant::now();
        while !probe.lock()? {
            std::thread::yield_now();
            assert!(started.elapsed() < SOON, "nobody has the ledger, and its lock is held");
        }
        drop(probe);
        let signers = Signers::new(self.signer(), checkpoint_key());
        match Ledger::open_in(Arc::clone(&folder), signers, self.options(bytes)) {
            Ok(ledger) => {
                self.meet(&ledger);
                Ok(ledger)
            }
            Err(error) if sim.has_crashed() => Err(other(error)),
            Err(OpenError::Io(error))
                if self.chain.is_none() && code_of(&error) == "LEDGER_FILES" =>
            {
                self.create(folder, bytes)
            }
            Err(error) if sim.errors() > 0 => Err(other(error)),
            Err(error) => panic!("it does not open: {error}"),
        }
    }

    /// So many events in one call.
    pub fn append(&mut self, ledger: &Ledger, count: usize, len: usize) -> io::Result<()> {
        let ids: Vec<_> = (0..count).map(|_| self.next()).collect();
        if count > 1 {
            self.batches.push(ids.clone());
        }
        let outcome = match &*ids {
            [one] => ledger.append(event(*one, len)).map(|receipt| vec![receipt]),
            _ => ledger.append_batch(ids.iter().map(|id| event(*id, len)).collect()),
        };
        self.hear(&ids, len, outcome)
    }

    fn next(&mut self) -> EventId {
        self.events += 1;
        id(self.events)
    }

    pub fn submit(&mut self, ledger: &Ledger, count: usize) -> io::Result<()> {
        let mut tickets = Vec::new();
        for _ in 0..count {
            let id = self.next();
            match ledger.submit(event(id, 20)) {
                Ok(ticket) => tickets.push((id, ticket)),
                Err(error) => self.hear(&[id], 20, Err(error))?,
            }
        }
        let mut all = Ok(());
        for (id, ticket) in tickets {
            all = all.and(self.hear(&[id], 20, ticket.wait().map(|receipt| vec![receipt])));
        }
        all
    }

    /// Appends an event of unknown outcome once more: it is recorded once.
    pub fn retry(&mut self, ledger: &Ledger) -> io::Result<()> {
        let alone = |id: &EventId| !self.batches.iter().any(|batch| batch.contains(id));
        let again = self.unsure.iter().find(|(id, _)| alone(id)).map(|(id, len)| (*id, *len));
        let Some((again, len)) = again else { return self.append(ledger, 1, 20) };
        let found = ledger.find(&again)?;
        let receipt = ledger.append(event(again, len));
        if let (Some(found), Ok(receipt)) = (found, &receipt) {
            assert_eq!(found, *receipt, "recorded again");
        }
        if matches!(receipt, Err(AppendError::Refused(_))) {
            // This call has recorded nothing. The first may have.
            return Err(other("refused once more"));
        }
        self.unsure.remove(&again);
        self.hear(&[again], len, receipt.map(|receipt| vec![receipt]))
    }

    fn hear(
        &mut self,
        ids: &[EventId],
        len: usize,
        outcome: Result<Vec<Receipt>, AppendError>,
    ) -> io::Result<()> {
        let error = match outcome {
            Ok(receipts) => {
                assert!(receipts.iter().map(|receipt| receipt.event_id).eq(ids.iter().copied()));
                for receipt in receipts {
                    self.must_be(receipt.sequence, receipt.digest);
                    self.recorded.insert(receipt.event_id, receipt.sequence);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        if let AppendError::Uncertain { event_id, others, .. } = &error {
            assert!([event_id].into_iter().chain(others).eq(ids), "other events are in doubt");
            self.unsure.extend(ids.iter().map(|id| (*id, len)));
        } else {
            self.gone.extend(ids);
        }
        self.outcome = Some(error.clone());
        Err(other(error))
    }

    pub fn close(&mut self, ledger: &Ledger) -> io::Result<()> {
        let closed = ledger.close(SOON).map_err(other)?;
        self.must_be(closed.head.sequence, closed.head.digest);
        Ok(())
    }

    /// Another process reads. What it finds has to be there from then on.
    pub fn read(&mut self, sim: &Sim) -> io::Result<()> {
        let Ok(view) = Directory::view(sim.root()) else { return Ok(()) };
        if let Some((sequence, digest)) = last(&view)? {
            self.must_be(sequence, digest);
        }
        Ok(())
    }

    /// Somebody looked on all the while.
    pub fn have_shown(&mut self, eye: &Eye) {
        for (sequence, digest) in eye.take() {
            self.must_be(sequence, digest);
        }
    }

    /// Holds all that can be read to all that is known.
    pub fn look(&mut self, sim: &Sim) -> io::Result<()> {
        self.scan(sim, true);
        let view = Directory::view(sim.root())?;
        let last = self.there.last_key_value().map_or(0, |(sequence, _)| *sequence);
        if view.entries() <= last && sim.errors() > 0 {
            return Err(other("readers could not be told of all"));
        }
        let mut digests = Vec::new();
        let mut events = BTreeMap::new();
        let mut listed = BTreeSet::new();
        let report = Verifier::new().open_ended(true).unique(true).threads(1).replay(
            view.stream()?,
            &mut |seen| {
                if let Seen::Entry(shown) = seen {
                    let fields = &shown.written.fields;
                    digests.push(shown.item.digest());
                    events.insert(fields.event_id, fields.sequence);
                    listed.extend(list(shown.written));
                }
                ControlFlow::Continue(())
            },
        )?;
        let report = report.unwrap();
        assert_eq!(report.faults, Vec::new(), "{listed:?}");
        assert_eq!(report.entries, view.entries());
        for (sequence, digest) in &self.there {
            let found = digests.get(usize::try_from(*sequence).unwrap());
            assert_eq!(found, Some(digest), "entry {sequence} of {}", digests.len());
        }
        for (id, sequence) in &self.recorded {
            assert_eq!(events.get(id), Some(sequence), "event {id}");
        }
        for id in &self.gone {
            assert_eq!(events.get(id), None, "event {id} was refused");
        }
        for batch in &self.batches {
            let found = batch.iter().filter(|id| events.contains_key(*id)).count();
            assert!(found == 0 || found == batch.len(), "{found} events of {}", batch.len());
        }
        for (sequence, digest) in &self.on_disk {
            let is_entry = digests.get(usize::try_from(*sequence).unwrap()) == Some(digest);
            let is_listed = listed.contains(&(*sequence, *digest));
            assert!(is_entry || is_listed, "entry {sequence}, {digest}, was signed and written");
        }
        // What is not there by now is not there for good.
        let unsure = std::mem::take(&mut self.unsure);
        self.gone.extend(unsure.into_keys().filter(|id| !events.contains_key(id)));
        Ok(())
    }

    /// Notes all entries that are signed, wherever in the files: fields and signature are enough to show that. With `cached` also those
    /// that a power cut might still take away.
    fn scan(&mut self, sim: &Sim, cached: bool) {
        let Some(chain) = self.chain else { return };
        sim.show_files(cached, |name, bytes| {
            let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == ENTRY);
            for (at, _) in starts.filter(|_| name != "durable") {
                if let Some((sequence, digest, signature)) = signed(&bytes[at..], &chain)
                    && self.signed.lock().unwrap().get(&digest) == Some(&signature)
                {
                    self.on_disk.insert((sequence, digest));
                }
            }
        });
    }
}

/// What fields and signature of an entry begin with: the head of a CBOR array of 17.
const ENTRY: u8 = 0x91;
/// A payload that is not there.
const WITHHELD: [u8; 2] = [0x81, 2];

/// Sequence, digest and signature of an entry whose fields and signature stand here.
fn signed(bytes: &[u8], chain: &Digest) -> Option<(u64, Digest, Signature)> {
    let mut reader = Reader::new(bytes);
    reader.skip().ok()?;
    let body = [&bytes[..reader.at()], &WITHHELD].concat();
    let entry = Written::parse(0, &body).ok()?.entry(chain);
    Some((entry.fields().sequence, entry.digest(), *entry.signature()))
}

fn list(written: &Written<'_>) -> Vec<(u64, Digest)> {
    let fields = &written.fields;
    match Reserved::parse(&fields.event_type, &written.part, fields.sequence) {
        Ok(Reserved::Abandoned { entries, .. }) => entries,
        _ => Vec::new(),
    }
}

/// The last entry that a reader shows.
pub fn last(view: &Directory) -> io::Result<Option<(u64, Digest)>> {
    let Some(sequence) = view.entries().checked_sub(1) else { return Ok(None) };
    let mut frames = Frames::new();
    view.read(sequence, 1, &mut frames)?;
    let frame = frames.iter().next().unwrap();
    let entry = Written::parse(frame.left, frame.body).unwrap().entry(&view.chain_id());
    Ok(Some((sequence, entry.digest())))
}

#[test]
fn a_payload_that_is_not_there_is_written_so() {
    use crate::support::Build;
    use sigchain::frame::Frame;
    use sigchain::payload::Part;

    let frames = Build::new().event().frames.clone();
    let Some(Frame::Entry(mut withheld)) = frames.last().cloned() else { panic!() };
    withheld.part = Part::Withheld;
    let body = Frame::Entry(withheld).body();
    assert_eq!((body[0], &body[body.len() - 2..]), (ENTRY, &WITHHELD[..]));
    assert!(signed(&body, &Digest::ZERO).is_some());
}
