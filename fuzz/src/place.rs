//! A ledger that a release has written, in memory, and how an input alters one of its files.
//!
//! The files are those of `tests/fixtures/v0.1`: the same bytes for ever, so that an input which was kept goes on to mean what it meant.

#[path = "ram.rs"]
pub mod ram;

use std::io;
use std::sync::{Arc, LazyLock};

use sigchain::anchor::{Anchors as _, Local};
use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::directory::{Directory, Limits};
use sigchain::error::OpenError;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Ledger, Options, Signers};
use sigchain::store::{Frames, Store as _};
use sigchain::verify::{Anchors, Report, Verdict, Verifier};

pub use ram::Ram;

/// Where the anchors believe the ledger to be.
pub const PLACE: &str = "/srv/ledger";

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!("../../tests/fixtures/v0.1/", $path)).as_slice())),*]
    };
}

const LEDGER: [(&str, &[u8]); 9] = files![
    "ledger/durable",
    "ledger/index/0000000000.index",
    "ledger/index/0000000001.index",
    "ledger/index/ids-0000000000-0000000000",
    "ledger/index/ids-0000000001-0000000001",
    "ledger/reserve",
    "ledger/segment-0000000000",
    "ledger/segment-0000000001",
    "ledger/segment-0000000002",
];

const HOME: [(&str, &[u8]); 3] = files![
    "home/anchors/43d1c394e2210c28a9e4da52aa4fdcb35743c74824b3187fa328904fe18461af/00000000000000000001",
    "home/anchors/43d1c394e2210c28a9e4da52aa4fdcb35743c74824b3187fa328904fe18461af/00000000000000000002",
    "home/anchors/43d1c394e2210c28a9e4da52aa4fdcb35743c74824b3187fa328904fe18461af/00000000000000000003",
];

/// The ledger as it was written, and what it answers.
pub static WHOLE: LazyLock<Whole> = LazyLock::new(Whole::new);

/// A ledger's directory, and the anchors of the machine beside it.
pub struct Place {
    pub ledger: Ram,
    pub home: Ram,
}

pub struct Whole {
    pub place: Place,
    pub chain_id: Digest,
    pub head: Digest,
    pub root: Digest,
    /// Body of each entry.
    pub entries: Vec<Vec<u8>>,
    pub ids: Vec<EventId>,
    /// The quarantine that the anchors know for [`PLACE`], which is not where this ledger is opened.
    pub quarantine: EventId,
}

impl Whole {
    fn new() -> Self {
        let place = Place { ledger: Ram::default(), home: Ram::default() };
        for (path, bytes) in LEDGER {
            place.ledger.set(path.strip_prefix("ledger/").unwrap(), bytes.to_vec());
        }
        for (path, bytes) in HOME {
            place.home.set(path.strip_prefix("home/").unwrap(), bytes.to_vec());
        }
        let report = place.verify().unwrap();
        assert_eq!(report.verdict(), Verdict::Intact);
        let view = place.view().unwrap();
        let (mut entries, mut ids, mut frames) = (Vec::new(), Vec::new(), Frames::new());
        for n in 0..view.entries() {
            view.read(n, 1, &mut frames).unwrap();
            let frame = frames.iter().next().unwrap();
            ids.push(Written::parse(frame.left, frame.body).unwrap().fields.event_id);
            entries.push(frame.body.to_vec());
        }
        let quarantine = EventId::new(1_795_150_800_000, [7; 10]);
        let chain_id = report.chain_id.unwrap();
        place.local().remember(PLACE, &chain_id, "example.org/agents").unwrap();
        place.local().halt(PLACE, &quarantine).unwrap();
        let (head, root) = (report.head.unwrap().digest, report.root.unwrap());
        Self { place, chain_id, head, root, entries, ids, quarantine }
    }

    /// Whatever was altered: what passes for intact is what was written.
    pub fn is_told(&self, report: &Report) {
        if report.verdict() == Verdict::Intact {
            let found = (report.entries, report.head.map(|head| head.digest), report.root);
            let count = u64::try_from(self.entries.len()).unwrap();
            assert_eq!(found, (count, Some(self.head), Some(self.root)), "passes for intact");
            assert_eq!(report.chain_id, Some(self.chain_id), "passes for intact");
        }
    }

    /// Every answer is right; or, where it may fail, none.
    pub fn answers(&self, view: &Directory, may_fail: bool) {
        if !may_fail {
            assert_eq!(view.entries(), u64::try_from(self.entries.len()).unwrap());
        }
        let mut frames = Frames::new();
        for (n, (entry, id)) in (0..).zip(self.entries.iter().zip(&self.ids)) {
            match view.read(n, 1, &mut frames) {
                Ok(()) => {
                    let found = frames.iter().next().map(|frame| (frame.sequence, frame.body));
                    let is_it = found == Some((n, entry.as_slice()));
                    assert!(
                        is_it || (found.is_none() && n >= view.entries()),
                        "entry {n} is another"
                    );
                }
                Err(error) => assert!(may_fail, "entry {n}: {error}"),
            }
            match view.find(id) {
                Ok(found) if found == Some(n) => {}
                Ok(None) if may_fail => {}
                Ok(found) => panic!("event of entry {n}: found {found:?}"),
                Err(error) => assert!(may_fail, "event of entry {n}: {error}"),
            }
        }
        let nobodys = EventId::new(self.ids[5].millis(), [7; 10]);
        match view.find(&nobodys) {
            Ok(found) => assert_eq!(found, None, "an event that nobody recorded"),
            Err(error) => assert!(may_fail, "an event that nobody recorded: {error}"),
        }
    }

    /// Opened to append it goes on from the right head, or is refused.
    pub fn goes_on(&self, place: &Place) {
        let Ok(ledger) = place.open() else { return };
        let last = u64::try_from(self.entries.len() - 1).unwrap();
        let head = ledger.head();
        assert!(head.sequence >= last, "opened at entry {} of {last}", head.sequence);
        if head.sequence == last {
            assert_eq!(head.digest, self.head, "opened at another head");
        }
    }
}

impl Place {
    pub fn copy(&self) -> Self {
        Self { ledger: self.ledger.copy(), home: self.home.copy() }
    }

    pub fn local(&self) -> Local {
        Local::within(self.home.open())
    }

    pub fn view(&self) -> io::Result<Directory> {
        Directory::view(self.ledger.open())
    }

    pub fn signers() -> Signers {
        let key = |seed| SigningKey::from_seed(&[seed; 32]).unwrap();
        Signers::new(key(2), key(3))
    }

    pub fn options(&self) -> Options {
        let limits = Limits { bytes: 9000, ..Limits::default() };
        let files = Files::new().limits(limits).reserve(0).scrub(None);
        Options::new().files(files.anchors(vec![Arc::new(self.local())]))
    }

    pub fn open(&self) -> Result<Ledger, OpenError> {
        Ledger::open_in(self.ledger.open(), Self::signers(), self.options())
    }

    /// Verifies all of it with what the machine has anchored, as `sigchain verify LEDGER` does.
    pub fn verify(&self) -> io::Result<Report> {
        let view = self.view()?;
        let stream = view.stream()?;
        let mut anchors = Anchors::new();
        if let Some(claim) = self.local().latest(&view.chain_id())? {
            anchors = anchors.checkpoint(Checkpoint::parse(claim.note.as_bytes()).unwrap());
        }
        Verifier::new().anchored(anchors).open_ended(true).threads(1).run(stream)
    }
}

/// What an input asks for: two bytes that say which file and how, then edits, or what is to stand there instead.
pub struct Script<'d> {
    pub which: usize,
    how: u8,
    rest: &'d [u8],
}

impl<'d> Script<'d> {
    pub fn parse(data: &'d [u8]) -> Option<Self> {
        let ([which, how], rest) = data.split_first_chunk::<2>()?;
        Some(Self { which: usize::from(*which), how: *how, rest })
    }

    /// Whether what guards the file is made right again, as by somebody who means it.
    pub fn is_mended(&self) -> bool {
        self.how & 2 != 0
    }

    /// One of so many other bits, for what a target wants besides.
    pub fn flag(&self, number: u8) -> bool {
        self.how & (4 << number) != 0
    }

    /// The file as the input wants it. Edits have four bytes each: what, where (two), how much or what instead.
    pub fn apply(&self, whole: &[u8], other: &[u8]) -> Vec<u8> {
        if self.how & 1 != 0 {
            return self.rest.to_vec();
        }
        let mut bytes = whole.to_vec();
        for [what, high, low, value] in self.rest.as_chunks::<4>().0 {
            let at = usize::from(u16::from_be_bytes([*high, *low])) % (bytes.len() + 1);
            let count = usize::from(*value);
            let end = (at + count).min(bytes.len());
            match what % 8 {
                0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value),
                1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = *value),
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..end)),
                4 => drop(bytes.splice(at..at, vec![*value; 1 + count % 9])),
                5 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
                6 => bytes[at..end].fill(0),
                // As much of another file, from the same place on.
                _ => {
                    let from = other.get(at..).unwrap_or_default();
                    let from = &from[..from.len().min(count * 16).min(bytes.len() - at)];
                    bytes[at..at + from.len()].copy_from_slice(from);
                }
            }
        }
        bytes
    }
}
