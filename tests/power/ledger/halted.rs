//! A ledger that is halted, and a crash at each step on the way in and out: nothing is lost, and nothing goes on that should not.

#![expect(clippy::print_stdout, reason = "the table of `./torture`")]

use std::sync::Arc;

use sigchain::anchor::{Anchors, Local};
use sigchain::directory::{Directory, Limits};
use sigchain::error::OpenError;
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::ledger::{Files, Genesis, Ledger, Options, ResolveError, Signers, Words};
use sigchain::quarantine::cases;
use sigchain::store::{Frames, Store as _};

use crate::power::ledger::SEGMENT;
use crate::power::sim::{Fault, Sim};
use crate::support::{checkpoint_key, entry_key, rounds};

const WORDS: Words<'_> = Words { by: "human:tester", text: "as it was" };
const EVENTS: usize = 9;

/// A machine, and the anchors on another one.
struct Place {
    sim: Sim,
    anchors: Arc<dyn Anchors>,
}

impl Place {
    /// With a ledger that was closed.
    fn new(seed: u64) -> Self {
        let anchors: Arc<dyn Anchors> = Arc::new(Local::within(Sim::new(seed).root()));
        let place = Self { sim: Sim::new(seed), anchors };
        let genesis = Genesis::new("example.org/halt", entry_key()).checkpoints(checkpoint_key());
        let ledger = Ledger::create_in(place.sim.root(), genesis, place.options()).unwrap();
        for _ in 0..EVENTS {
            ledger.append(Event::new("agent:tester", "test.call").unwrap()).unwrap();
        }
        ledger.close(std::time::Duration::from_secs(9)).unwrap();
        place
    }

    fn options(&self) -> Options {
        let limits = Limits { bytes: SEGMENT, ..Limits::default() };
        let files = Files::new().limits(limits).anchors(vec![Arc::clone(&self.anchors)]);
        Options::new().files(files.reserve(0).scrub(None))
    }

    fn open(&self) -> Result<Ledger, OpenError> {
        let signers = Signers::new(entry_key(), checkpoint_key());
        Ledger::open_in(self.sim.root(), signers, self.options())
    }

    fn reconciled(&self) -> Result<(), ResolveError> {
        let signers = Signers::new(entry_key(), checkpoint_key());
        Ledger::reconcile_in(self.sim.root(), signers, self.options(), (&WORDS, &[])).map(drop)
    }

    fn reconcile(&self) -> bool {
        self.reconciled().is_ok()
    }

    /// Changes a byte of what seals the ledger, or back.
    fn flip(&self) {
        let root = self.sim.root();
        let names = root.names().unwrap();
        let last = names.iter().filter(|name| name.starts_with("segment-")).max().unwrap();
        let file = root.open(last, true).unwrap();
        let at = file.len().unwrap() - 90;
        let mut byte = [0];
        file.read_all_at(&mut byte, at).unwrap();
        file.write_at(&[!byte[0]], at).unwrap();
        file.sync().unwrap();
    }

    /// Has a machine that crashes at an operation from now on.
    fn crash_at(&self, op: u64) {
        self.sim.plan(self.sim.ops() + op, false, Fault::CrashBefore);
    }

    /// The next machine, by a power cut or only another process. Nothing if this one has not crashed.
    fn next(&mut self, seed: u64) -> bool {
        if !self.sim.has_crashed() {
            return false;
        }
        self.sim = if seed.is_multiple_of(2) {
            self.sim.after_power_cut(seed)
        } else {
            self.sim.after_kill()
        };
        true
    }

    fn is_halted(&self) -> bool {
        matches!(self.open(), Err(OpenError::Stopped { quarantine: Some(_), .. }))
    }

    fn has_case(&self) -> bool {
        !cases(&*self.sim.root()).unwrap().is_empty()
    }

    /// The types of all entries.
    fn types(&self) -> Vec<String> {
        let view = Directory::view(self.sim.root()).unwrap();
        let (mut all, mut frames) = (Vec::new(), Frames::new());
        while let Ok(()) = view.read(all.len().try_into().unwrap(), 100, &mut frames)
            && !frames.is_empty()
        {
            let type_of = |frame: sigchain::store::FrameRef<'_>| {
                Written::parse(frame.left, frame.body).unwrap().fields.event_type.into_owned()
            };
            all.extend(frames.iter().map(type_of));
        }
        all
    }

    /// Nothing is lost, and events are taken: after one entry, and no more, that resolves a quarantine.
    fn is_well(&self, resolved: usize) {
        let ledger = self.open().unwrap();
        ledger.append(Event::new("agent:tester", "test.call").unwrap()).unwrap();
        ledger.close(std::time::Duration::from_secs(9)).unwrap();
        let types = self.types();
        let count = |wanted: &str| types.iter().filter(|found| *found == wanted).count();
        assert_eq!(count("test.call"), EVENTS + 1, "{types:?}");
        assert_eq!(count("quarantine.reconciled"), resolved, "{types:?}");
    }
}

fn seeds() -> u64 {
    u64::try_from(rounds(2, 40)).unwrap()
}

#[test]
fn a_crash_at_any_step_of_halting_sets_nothing_going() {
    let (mut runs, mut recorded) = (0, 0);
    for seed in 0..seeds() {
        for op in 0.. {
            let mut place = Place::new(seed);
            place.flip();
            place.crash_at(op);
            place.open().unwrap_err();
            if !place.next(seed) {
                break;
            }
            place.open().unwrap_err();
            let was_recorded = place.has_case();
            assert_eq!(was_recorded, place.is_halted());
            place.flip();
            assert_eq!(place.is_halted(), was_recorded, "operation {op}");
            assert_eq!(place.reconcile(), was_recorded);
            place.is_well(usize::from(was_recorded));
            runs += 1;
            recorded += usize::from(was_recorded);
        }
    }
    println!("torture | crashes while a ledger is halted | {runs} | 0 | {} | -", seeds());
    assert!(recorded > 0);
}

/// [F-reconcile-3]
#[test]
fn a_crash_at_any_step_of_reconciling_leaves_it_halted_or_well() {
    let (mut runs, mut halted) = (0, 0);
    for seed in 0..seeds() {
        for op in 0.. {
            let mut place = Place::new(seed);
            place.flip();
            place.open().unwrap_err();
            assert!(!place.reconcile());
            place.flip();
            place.crash_at(op);
            let done = place.reconcile();
            let story = format!("{:#?}", place.sim.steps());
            if !place.next(seed) {
                assert!(done);
                break;
            }
            if let Err(error) = place.open() {
                assert!(!done, "operation {op}: {error}\n{story}");
                place.reconciled().unwrap();
                halted += 1;
            }
            place.is_well(1);
            runs += 1;
        }
    }
    println!("torture | crashes while a ledger is reconciled | {runs} | 0 | {} | -", seeds());
    assert!(halted > 0 && halted < runs);
}

#[test]
fn a_crash_at_any_step_of_halting_by_hand_leaves_it_halted_once_that_is_told() {
    let mut runs = 0;
    for seed in 0..seeds() {
        for op in 0.. {
            let mut place = Place::new(seed);
            let ledger = place.open().unwrap();
            place.crash_at(op);
            let done = ledger.halt_by(&WORDS).is_ok();
            drop(ledger);
            if !place.next(seed) {
                assert!(done && place.is_halted());
                break;
            }
            let is_halted = place.is_halted();
            assert!(is_halted || !done && !place.has_case(), "operation {op}");
            assert_eq!(place.reconcile(), is_halted);
            place.is_well(usize::from(is_halted));
            runs += 1;
        }
    }
    println!("torture | crashes while a ledger is halted by hand | {runs} | 0 | {} | -", seeds());
}
