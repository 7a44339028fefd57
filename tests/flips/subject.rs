//! A ledger with all that one can have, in memory, and what it answers: whoever alters its files must get the same answers or a refusal.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sigchain::anchor::{Anchors as _, Local};
use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::directory::{Atlas, Directory, Limits};
use sigchain::error::OpenError;
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::payload::Payload;
use sigchain::store::{Frames, Store as _};
use sigchain::verify::{Anchors, Report, Verifier};

use crate::flips::ram::Ram;
use crate::support::{checkpoint_key, entry_key, operator_key, second_entry_key};

pub const SOON: Duration = Duration::from_secs(30);

/// A ledger's directory, and the anchors of the machine beside it.
#[derive(Clone, Debug)]
pub struct Place {
    pub ledger: Ram,
    pub home: Ram,
}

/// What a ledger answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    pub entries: Vec<Vec<u8>>,
    pub ids: Vec<EventId>,
    pub chain_id: Digest,
    pub head: Digest,
    pub root: Digest,
    pub paths: Vec<Vec<Digest>>,
}

/// A ledger that is whole, and its answers.
#[derive(Clone, Debug)]
pub struct Subject {
    pub place: Place,
    pub right: Answers,
    /// Where in each segment frames are; the first is what it says of itself. Behind the last one stands what does not count.
    pub frames: Vec<(String, Vec<Range<usize>>)>,
}

impl Place {
    fn new() -> Self {
        Self { ledger: Ram::default(), home: Ram::default() }
    }

    /// Another machine with the same files.
    pub fn copy(&self) -> Self {
        Self { ledger: self.ledger.copy(), home: self.home.copy() }
    }

    pub fn view(&self) -> io::Result<Directory> {
        Directory::view(self.ledger.open())
    }

    pub fn open(&self, bytes: u64) -> Result<Ledger, OpenError> {
        let signers = Signers::new(second_entry_key(), checkpoint_key());
        Ledger::open_in(self.ledger.open(), signers, self.options(bytes))
    }

    fn options(&self, bytes: u64) -> Options {
        let files = Files::new().limits(Limits { bytes, ..Limits::default() }).reserve(8192);
        Options::new().files(files.anchors(vec![Arc::new(Local::within(self.home.open()))]))
    }

    /// Verifies all of it with what the machine has anchored, as `sigchain verify LEDGER` does.
    pub fn verify(&self) -> io::Result<(Report, Atlas)> {
        let view = self.view()?;
        let stream = view.stream()?;
        let atlas = stream.atlas();
        let claim = Local::within(self.home.open()).latest(&view.chain_id())?;
        let mut anchors = Anchors::new();
        if let Some(claim) = claim {
            anchors = anchors.checkpoint(Checkpoint::parse(claim.note.as_bytes()).unwrap());
        }
        let verifier = Verifier::new().anchored(anchors).open_ended(true).threads(1);
        Ok((verifier.run(stream)?, atlas))
    }

    /// Names and contents of the segments.
    pub fn segments(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        let files = self.ledger.files().into_iter();
        files.filter(|(name, _)| name.starts_with("segment-")).collect()
    }
}

/// The next event, of a size of its own.
fn event(n: usize) -> Event {
    let text = format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(n * 37 % 120));
    let payload = Payload::new("application/json", text).unwrap();
    Event::new("agent:tester", "test.call").unwrap().payload(payload)
}

impl Subject {
    /// So many entries or a few more, in segments of so many bytes: of two keys and two writers, with a batch that was torn behind what
    /// counts, and entries that are listed as abandoned.
    pub fn new(entries: usize, bytes: u64) -> Self {
        let place = Place::new();
        let genesis = Genesis::new("example.org/flips", entry_key())
            .checkpoints(checkpoint_key())
            .operator(operator_key().public());
        let ledger = Ledger::create_in(place.ledger.open(), genesis, place.options(bytes)).unwrap();
        for n in 0..entries / 4 {
            ledger.append(event(n)).unwrap();
        }
        ledger.rotate(second_entry_key()).unwrap();
        for n in 0..entries / 20 {
            ledger.append_batch((0..5).map(|m| event(n * 5 + m)).collect()).unwrap();
        }
        let place = torn(&place, &ledger, bytes);
        let ledger = place.open(bytes).unwrap();
        while usize::try_from(ledger.head().sequence).unwrap() < entries {
            ledger.append(event(7)).unwrap();
        }
        await_indexes(&place);
        ledger.close(SOON).unwrap();
        drop(ledger);
        let right = answers(&place, bytes);
        let frames = place.segments().into_iter().map(|(name, b)| (name, frames(&b))).collect();
        Self { place, right, frames }
    }
}

/// A ledger whose writer was killed: behind its last seal stand so many entries.
pub fn left_open(entries: usize) -> Place {
    let place = Place::new();
    let genesis =
        Genesis::new("example.org/flips", second_entry_key()).checkpoints(checkpoint_key());
    let ledger = Ledger::create_in(place.ledger.open(), genesis, place.options(1 << 20)).unwrap();
    for n in 0..entries {
        ledger.append(event(n)).unwrap();
    }
    place.copy()
}

/// The place as a power cut leaves it in the midst of a batch: its last entry is cut, and what is durable was recorded before it.
fn torn(place: &Place, ledger: &Ledger, bytes: u64) -> Place {
    ledger.append(event(1)).unwrap();
    let before = place.copy();
    ledger.append_batch((0..3).map(event).collect()).unwrap();
    let after = place.copy();
    let (name, content) = after.segments().pop().unwrap();
    let (last, _) = before.segments().pop().unwrap();
    assert_eq!(name, last, "choose another size than {bytes}: a segment ended here");
    before.ledger.set(&name, content[..content.len() - 40].to_vec());
    before
}

fn await_indexes(place: &Place) {
    let begun = Instant::now();
    loop {
        let files = place.ledger.files();
        let is_part = files.iter().any(|(path, _)| path.contains(".part"));
        let last = format!("index/{:010}.index", place.segments().len() - 2);
        if !is_part && files.iter().any(|(path, _)| *path == last) {
            break;
        }
        assert!(begun.elapsed() < SOON, "no index is made");
        thread::sleep(Duration::from_millis(2));
    }
    thread::sleep(Duration::from_millis(20));
}

fn answers(place: &Place, bytes: u64) -> Answers {
    let (report, _) = place.verify().unwrap();
    assert_eq!(report.faults, []);
    let view = place.view().unwrap();
    let (mut entries, mut ids, mut frames) = (Vec::new(), Vec::new(), Frames::new());
    for n in 0..view.entries() {
        view.read(n, 1, &mut frames).unwrap();
        let frame = frames.iter().next().unwrap();
        ids.push(Written::parse(frame.left, frame.body).unwrap().fields.event_id);
        entries.push(frame.body.to_vec());
    }
    let ledger = place.copy().open(bytes).unwrap();
    let paths = (0..view.entries()).map(|n| ledger.prove(n).unwrap().path).collect();
    let (chain_id, head) = (report.chain_id.unwrap(), report.head.unwrap().digest);
    Answers { entries, ids, chain_id, head, root: report.root.unwrap(), paths }
}

/// Where frames are.
pub fn frames(segment: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 8);
    while let Some(head) = segment.get(at..at + 16) {
        let length = u32::from_be_bytes(head[4..8].try_into().unwrap());
        let end = at + 16 + usize::try_from(length).unwrap();
        if end > segment.len() {
            break;
        }
        found.push(at..end);
        at = end;
    }
    found
}
