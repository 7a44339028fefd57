//! The scrub: segments that nobody has read for long are read and verified again, slowly, while the ledger works.
//!
//! It recomputes each entry's digest, link and commitment, and the tree over digests and signatures, and compares that with the seals
//! in the segments, whose signatures it checks. What a seal covers was verified when it was written: if the tree is the same, so is every
//! signature. What the disk does not give is reported as unreadable, and is no finding.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::checkpoint::Seal;
use crate::codec::Reader;
use crate::digest::Digest;
use crate::directory::{Directory, Piece};
use crate::disk::Folder;
use crate::error::{AppendError, Refusal};
use crate::frame::{Kind, Written};
use crate::id::EventId;
use crate::key::Role;
use crate::keyring::Keyring;
use crate::ledger::call::random;
use crate::ledger::observe;
use crate::ledger::{Handle, Ledger};
use crate::quarantine::{Detector, Discontinuity, Phase};
use crate::segment::Scanned;
use crate::sync::{Condvar, Mutex};
use crate::tree::{self, Frontier};

/// How fast the scrub goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes that are read in a second, at most.
    pub bytes: u64,
    /// How long after the ledger was opened, and after each pass, the next one begins.
    pub pause: Duration,
}

impl Default for Pace {
    /// 4 MiB a second, and six hours: a hundredth of a core, and each segment of a ledger of 100 GB once in a day and a half.
    fn default() -> Self {
        Self { bytes: 4 << 20, pause: Duration::from_secs(6 * 3600) }
    }
}

/// Bytes after which it looks whether it goes too fast.
const STEP: u64 = 256 << 10;

/// What one pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scrubbed {
    /// Segments that were read.
    pub segments: u64,
    /// Entries that were verified.
    pub entries: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Segments of which the disk did not give something.
    pub unreadable: u64,
    /// The quarantine that was opened because of what was found.
    pub quarantine: Option<EventId>,
}

/// Something that is wrong.
struct Finding {
    code: &'static str,
    phase: Phase,
    place: String,
    sequence: u64,
    expected: String,
    found: String,
}

/// Why a segment was not read to its end.
enum Stop {
    Found(Box<Finding>),
    Unreadable(io::Error),
    /// Nobody wants it any more.
    Over,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Has a thread stop.
#[derive(Debug, Default)]
pub(super) struct Brake {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Brake {
    /// Ends what goes on, and what would begin.
    pub(super) fn pull(&self) {
        *self.is_over.lock() = true;
        self.changed.notify_all();
    }

    /// Waits. Says whether to go on.
    fn wait(&self, time: Duration) -> bool {
        let start = Instant::now();
        let mut is_over = self.is_over.lock();
        while !*is_over {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return true;
            }
            is_over = self.is_over.wait_for(is_over, &self.changed, left);
        }
        false
    }
}

/// Where a pass is.
struct Pass<'p> {
    keyring: &'p Keyring,
    chain_id: Digest,
    /// The tree, as long as it is known.
    tree: Option<Frontier>,
    /// Digest of the entry before, as long as it is known.
    prior: Option<Digest>,
    next: u64,
    pace: Option<(u64, &'p Brake)>,
    since: Instant,
    read: u64,
    looked: u64,
    done: Scrubbed,
}

impl Pass<'_> {
    /// Goes slower, if it is too fast.
    fn slow(&mut self, bytes: u64) -> Result<(), Stop> {
        self.read = self.read.saturating_add(bytes);
        self.done.bytes = self.done.bytes.saturating_add(bytes);
        let Some((rate, brake)) = self.pace else { return Ok(()) };
        if self.read < self.looked.saturating_add(STEP) {
            return Ok(());
        }
        self.looked = self.read;
        let millis = self.read.saturating_mul(1000).checked_div(rate).unwrap_or(0);
        let due = Duration::from_millis(millis);
        let early = due.saturating_sub(self.since.elapsed());
        if brake.wait(early) { Ok(()) } else { Err(Stop::Over) }
    }

    /// Reads a segment up to a place.
    fn segment(&mut self, piece: &Piece, end: u64) -> Result<(), Stop> {
        let name = piece.name();
        let beginning = &piece.beginning;
        if self.prior.is_none() && self.tree.is_none() {
            self.next = beginning.first;
        }
        let expected = (self.next, self.prior.unwrap_or(beginning.prior));
        if (beginning.first, beginning.prior) != expected {
            let what = format!("entry {} behind {}", expected.0, expected.1);
            let found = format!("entry {} behind {}", beginning.first, beginning.prior);
            return Err(self.wrong("SEGMENT", Phase::Chain, (&name, 0), (what, found)));
        }
        self.prior = Some(beginning.prior);
        let mut scanner = piece.scanner(piece.start, end);
        let mut before = piece.start;
        loop {
            let at = scanner.at();
            let (kind, left) = match scanner.next()? {
                Scanned::End => return Ok(()),
                Scanned::Damage(what) => {
                    let words = ("a whole frame".to_owned(), what.to_owned());
                    return Err(self.wrong("FRAME_BODY", Phase::Content, (&name, at), words));
                }
                Scanned::Frame(found) => (found.kind, found.left),
            };
            match kind {
                Kind::Entry => self.entry(left, scanner.body(), (&name, at))?,
                Kind::Seal => self.seal(scanner.body(), (&name, at))?,
                // Entries that are not here: the next seal says how it goes on.
                _ => (self.tree, self.prior) = (None, None),
            }
            self.slow(scanner.at().saturating_sub(before))?;
            before = scanner.at();
        }
    }

    fn entry(&mut self, left: u16, body: &[u8], at: (&str, u64)) -> Result<(), Stop> {
        let written = match Written::parse(left, body) {
            Ok(written) => written,
            Err(error) => {
                let words = (error.expected.to_owned(), error.found.to_owned());
                return Err(self.wrong("ENTRY_MALFORMED", Phase::Content, at, words));
            }
        };
        let fields = &written.fields;
        let commitment = written.part.commitment();
        if let Some(found) = commitment.filter(|found| *found != fields.payload_hash) {
            let words = (fields.payload_hash.to_string(), found.to_string());
            return Err(self.wrong("PAYLOAD_MISMATCH", Phase::Content, at, words));
        }
        if self.prior.is_none() {
            // Behind a gap.
            self.next = fields.sequence;
        }
        if fields.sequence != self.next {
            let words = (self.next.to_string(), fields.sequence.to_string());
            return Err(self.wrong("SEQUENCE", Phase::Chain, at, words));
        }
        if let Some(prior) = self.prior.filter(|prior| *prior != fields.prior_hash) {
            let words = (prior.to_string(), fields.prior_hash.to_string());
            return Err(self.wrong("LINK", Phase::Chain, at, words));
        }
        let chain_id = if self.next == 0 { Digest::ZERO } else { self.chain_id };
        let digest = fields.digest(&chain_id);
        if self.next == 0 && digest != self.chain_id {
            let words = (self.chain_id.to_string(), digest.to_string());
            return Err(self.wrong("CHAIN_ID", Phase::Chain, at, words));
        }
        if let Some(tree) = &mut self.tree {
            tree.push(tree::leaf_hash(&digest, &written.signature));
        }
        self.prior = Some(digest);
        self.next = self.next.saturating_add(1);
        self.done.entries = self.done.entries.saturating_add(1);
        Ok(())
    }

    fn seal(&mut self, body: &[u8], at: (&str, u64)) -> Result<(), Stop> {
        let Ok(seal) = Seal::parse(&mut Reader::new(body)) else {
            let words = ("a seal".to_owned(), "other bytes".to_owned());
            return Err(self.wrong("FRAME_MALFORMED", Phase::Content, at, words));
        };
        let key = self.keyring.get(&seal.signer).filter(|key| key.role == Role::Checkpoint);
        if !key.is_some_and(|key| seal.is_signed_by(&key.public, &self.chain_id)) {
            let words =
                ("a seal by a checkpoint key of this chain".to_owned(), "another".to_owned());
            return Err(self.wrong("SEAL_SIGNATURE", Phase::Content, at, words));
        }
        let state = &seal.state;
        if let Some(tree) = &self.tree
            && (state.size, &state.frontier[..]) != (tree.size(), tree.hashes())
        {
            let words = (
                format!("the tree over {} entries that it states", state.size),
                "another".to_owned(),
            );
            return Err(self.wrong("SEAL_MISMATCH", Phase::Chain, at, words));
        }
        self.tree = Frontier::from_parts(state.size, state.frontier.clone());
        (self.next, self.prior) = (state.size, Some(state.head));
        Ok(())
    }

    fn wrong(
        &self,
        code: &'static str,
        phase: Phase,
        (name, at): (&str, u64),
        (expected, found): (String, String),
    ) -> Stop {
        let place = format!("{name}, byte {at}");
        Stop::Found(Box::new(Finding { code, phase, place, sequence: self.next, expected, found }))
    }

    /// Goes through a segment. What the disk does not give is told, and the next one goes on.
    fn run(&mut self, piece: &Piece, end: u64) -> Result<(), Stop> {
        match self.segment(piece, end) {
            Err(Stop::Unreadable(error)) => {
                observe::unreadable(piece.beginning.ordinal, &error.to_string());
                self.done.unreadable = self.done.unreadable.saturating_add(1);
                // Nothing is known of what follows before the next seal.
                (self.tree, self.prior) = (None, None);
            }
            done => done?,
        }
        self.done.segments = self.done.segments.saturating_add(1);
        observe::scrubbed(self.done.entries, self.done.bytes);
        Ok(())
    }
}

/// What a pass needs to know of a ledger: nothing that keeps it open.
struct Subject {
    folder: Arc<dyn Folder>,
    view: Directory,
    keyring: Keyring,
    chain_id: Digest,
    wall: u64,
}

impl Subject {
    /// Goes through the segments: those that were ended, from a number on, or all there is.
    fn pass(&self, from: Option<u64>, pace: Option<(u64, &Brake)>) -> (Scrubbed, Result<(), Stop>) {
        let mut pass = Pass {
            keyring: &self.keyring,
            chain_id: self.chain_id,
            tree: None,
            prior: None,
            next: 0,
            pace,
            since: Instant::now(),
            read: 0,
            looked: 0,
            done: Scrubbed::default(),
        };
        let gone = self.through(&mut pass, from);
        (pass.done, gone)
    }

    fn through(&self, pass: &mut Pass<'_>, from: Option<u64>) -> Result<(), Stop> {
        let (mut pieces, mut end) = (self.view.pieces(), self.view.durable_end());
        if let Some(from) = from {
            // The last one is written to: whoever opens the ledger looks at it. One before the first, whose seal says how it goes on.
            if let Some(last) = pieces.pop() {
                end = last.start;
            }
            let at = pieces.partition_point(|p| p.beginning.ordinal < from.saturating_sub(1));
            pieces.drain(..at);
        }
        if pieces.first().is_none_or(|piece| piece.beginning.ordinal == 0) {
            pass.tree = Some(Frontier::new());
        }
        for piece in &pieces {
            pass.run(piece, piece.end.unwrap_or(end))?;
            if from.is_some() {
                note(&*self.folder, piece.beginning.ordinal.saturating_add(1));
            }
        }
        if from.is_some() {
            note(&*self.folder, 0);
        }
        Ok(())
    }

    fn discontinuity(&self, found: Finding) -> Result<Discontinuity, Refusal> {
        let Finding { code, phase, place, sequence, expected, found } = found;
        Ok(Discontinuity {
            id: EventId::new(self.wall / 1000, random()?),
            detected_us: self.wall,
            detector: Detector::Scrub,
            phase,
            code: code.to_owned(),
            place,
            sequence: Some(sequence),
            expected,
            found,
            last_good: sequence.checked_sub(1),
            affected: 1,
        })
    }
}

/// Where the segments are noted up to which the last pass came: beside the indexes, and as derived as they are.
const NOTES: &str = "index";
const NOTE: &str = "scrub";
const DIGITS: usize = 10;

/// Notes where a pass that is broken off goes on. That it cannot be noted costs the next one the way to here.
fn note(ledger: &dyn Folder, ordinal: u64) {
    let Ok(folder) = ledger.folder(NOTES, true) else { return };
    let file = folder.open(NOTE, true).or_else(|_| folder.create(NOTE));
    drop(file.and_then(|file| file.write_at(format!("{ordinal:0DIGITS$}\n").as_bytes(), 0)));
}

/// The segment at which the next pass begins.
fn noted(ledger: &dyn Folder) -> u64 {
    let read = || {
        let file = ledger.folder(NOTES, false)?.open(NOTE, false)?;
        let mut bytes = [0; DIGITS];
        file.read_all_at(&mut bytes, 0)?;
        Ok::<_, io::Error>(bytes)
    };
    let noted = read().ok().and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
    noted.unwrap_or(0)
}

impl Ledger {
    fn subject(&self) -> io::Result<Option<Subject>> {
        let shared = self.shared();
        let Some(site) = shared.keeper.site() else { return Ok(None) };
        let folder = Arc::clone(&site.folder);
        // Before the keys: a seal by one that was brought in since would be by nobody.
        let view = Directory::view(Arc::clone(&folder))?;
        let held = shared.lock();
        let (keyring, chain_id) = (held.state.keyring.clone(), held.state.chain.id());
        drop(held);
        let wall = u64::try_from(shared.time().wall()).unwrap_or(0);
        Ok(Some(Subject { folder, view, keyring, chain_id, wall }))
    }

    /// Verifies all that is durable once more, without waiting for anything; if something is wrong the ledger is halted, and the answer
    /// says by which quarantine. Of a ledger in memory there is nothing to read.
    pub fn scrub(&self) -> Result<Scrubbed, AppendError> {
        let subject = self.subject().map_err(|error| Refusal::Store(error.to_string()))?;
        let Some(subject) = subject else { return Ok(Scrubbed::default()) };
        let (mut done, gone) = subject.pass(None, None);
        match gone {
            Ok(()) | Err(Stop::Over) => Ok(done),
            Err(Stop::Unreadable(error)) => Err(Refusal::Store(error.to_string()).into()),
            Err(Stop::Found(found)) => {
                done.quarantine = Some(self.halt(&subject.discontinuity(*found)?)?);
                Ok(done)
            }
        }
    }
}

/// Scrubs a ledger now and then, until it is told to end. Meanwhile it keeps nothing of it.
pub(super) fn keep(handle: &Weak<Handle>, brake: &Brake, pace: Pace) {
    while brake.wait(pace.pause) {
        let Some(ledger) = handle.upgrade().map(|handle| Ledger { handle }) else { return };
        let subject = match ledger.subject() {
            Ok(Some(subject)) => subject,
            Ok(None) => return,
            Err(error) => {
                observe::unreadable(0, &error.to_string());
                continue;
            }
        };
        drop(ledger);
        let from = noted(&*subject.folder);
        let (done, gone) = subject.pass(Some(from), Some((pace.bytes, brake)));
        match gone {
            Ok(()) => observe::scrub_ended(done.entries, done.unreadable),
            Err(Stop::Over) => return,
            Err(Stop::Unreadable(error)) => observe::unreadable(0, &error.to_string()),
            Err(Stop::Found(found)) => {
                let Some(handle) = handle.upgrade() else { return };
                // What fails is found again by whoever scrubs next; the ledger refuses from here on.
                drop(subject.discontinuity(*found).map(|found| Ledger { handle }.halt(&found)));
                return;
            }
        }
    }
}
