//! Ledgers for tests: keys that do as they are told, a clock that is steered, a store that fails when it should.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use sigchain::chainfile::Form;
use sigchain::clock::Time;
use sigchain::digest::Digest;
use sigchain::event::Event;
use sigchain::frame::{Frame, Kind, Written};
use sigchain::id::EventId;
use sigchain::key::{PublicKey, Signature, SigningKey};
use sigchain::ledger::{Genesis, Ledger, Options};
use sigchain::payload::{Part, Payload};
use sigchain::projection::{Item, Projection};
use sigchain::signer::{SEVERAL, Signer, SignerError, Statement};
use sigchain::store::{FrameRef, Frames, Memory, Store, StoreError, Stored};
use sigchain::verify::{Anchors, Verdict};

use crate::support::{Random, checkpoint_key, entry_key, operator_key, verify};

/// A clock that stands where it is put.
#[derive(Debug)]
pub struct Steered {
    pub wall: AtomicI64,
    pub elapsed: AtomicU64,
}

pub const START: i64 = 1_795_150_800_000_000;

impl Steered {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { wall: AtomicI64::new(START), elapsed: AtomicU64::new(1_000_000_000) })
    }

    /// Both clocks go on.
    pub fn pass(&self, micros: i64) {
        self.wall.fetch_add(micros, Ordering::SeqCst);
        self.elapsed.fetch_add(u64::try_from(micros).unwrap() * 1000, Ordering::SeqCst);
    }

    /// The wall clock alone.
    pub fn step(&self, micros: i64) {
        self.wall.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Time for Steered {
    fn wall(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> u64 {
        self.elapsed.load(Ordering::SeqCst)
    }
}

/// What a signer does when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Sign,
    Fail,
    Panic,
    /// A signature with one bit turned.
    Flip(usize),
    /// Nothing, until it is let go.
    Hang,
    /// Nothing, until it is let go; then it fails.
    HangThenFail,
}

/// A key that follows a script, and notes every digest that it is shown.
#[derive(Clone, Debug)]
pub struct Scripted {
    key: SigningKey,
    in_process: bool,
    at_once: usize,
    script: Arc<Mutex<VecDeque<Answer>>>,
    pub seen: Arc<Mutex<Vec<Vec<u8>>>>,
    gate: Gate,
    pub asked: Arc<AtomicUsize>,
}

impl Scripted {
    pub fn new(key: SigningKey, in_process: bool) -> Self {
        Self {
            key,
            in_process,
            at_once: 1,
            script: Arc::default(),
            seen: Arc::default(),
            gate: Gate::default(),
            asked: Arc::default(),
        }
    }

    /// It is best asked for several signatures at once.
    pub fn several(self) -> Self {
        Self { at_once: SEVERAL, ..self }
    }

    /// What it does next; when the script is at its end, it signs.
    pub fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().extend(answers);
    }

    /// Lets all go that hang, and all that would.
    pub fn let_go(&self) {
        self.gate.open();
    }
}

impl Signer for Scripted {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Statement::Digest(_, digest) = statement {
            self.seen.lock().unwrap().push(digest.as_bytes().to_vec());
        }
        let answer = self.script.lock().unwrap().pop_front().unwrap_or(Answer::Sign);
        let signed = Signer::sign(&self.key, statement);
        match answer {
            Answer::Sign => signed,
            Answer::Fail => Err(SignerError::new("the script says so")),
            Answer::Panic => panic!("the script says so"),
            Answer::Flip(bit) => {
                let mut bytes = *signed?.as_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                Ok(Signature::new(bytes))
            }
            Answer::Hang => {
                self.gate.pass();
                signed
            }
            Answer::HangThenFail => {
                self.gate.pass();
                Err(SignerError::new("the script says so"))
            }
        }
    }

    fn at_once(&self) -> usize {
        self.at_once
    }

    fn is_in_process(&self) -> bool {
        self.in_process
    }
}

/// What a store does when it is asked to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Well,
    /// Nothing is written.
    Refuse,
    /// All of it is written, and the sync fails.
    UncertainKept,
    /// Nothing is left, and the sync fails.
    UncertainLost,
    /// What is left ends with the first whole batch, and the sync fails.
    UncertainPart,
}

/// What a test does to a store in memory. What it says nothing of is done as in memory.
pub trait Hand: fmt::Debug + Send + Sync {
    fn commit(&self, memory: &Memory, group: &[Stored]) -> Result<(), StoreError> {
        memory.commit(group)
    }

    fn find(&self, memory: &Memory, event_id: &EventId) -> io::Result<Option<u64>> {
        memory.find(event_id)
    }

    fn read(
        &self,
        memory: &Memory,
        first: u64,
        count: usize,
        frames: &mut Frames,
    ) -> io::Result<()> {
        memory.read(first, count, frames)
    }

    fn size(&self, memory: &Memory) -> io::Result<u64> {
        memory.size()
    }
}

/// A store in memory that a test has a hand in.
#[derive(Clone, Debug, Default)]
pub struct Handled<H> {
    pub memory: Memory,
    pub hand: H,
}

impl<H> Handled<H> {
    pub fn new(hand: H) -> Self {
        Self { memory: Memory::new(), hand }
    }
}

impl<H: Hand> Store for Handled<H> {
    fn commit(&self, group: &[Stored]) -> Result<(), StoreError> {
        self.hand.commit(&self.memory, group)
    }

    fn find(&self, event_id: &EventId) -> io::Result<Option<u64>> {
        self.hand.find(&self.memory, event_id)
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        self.hand.read(&self.memory, first, count, frames)
    }

    fn size(&self) -> io::Result<u64> {
        self.hand.size(&self.memory)
    }
}

/// A store that follows a script.
pub type Unsteady = Handled<Script>;

/// What a store does when it is asked to write; when the script is at its end, it writes.
#[derive(Clone, Debug, Default)]
pub struct Script {
    script: Arc<Mutex<VecDeque<Write>>>,
    pub writes: Arc<AtomicUsize>,
}

impl Unsteady {
    pub fn then(&self, writes: impl IntoIterator<Item = Write>) {
        self.hand.script.lock().unwrap().extend(writes);
    }
}

impl Hand for Script {
    fn commit(&self, memory: &Memory, group: &[Stored]) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let error = || io::Error::other("the script says so");
        match self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            None | Some(Write::Well) => memory.commit(group),
            Some(Write::Refuse) => Err(StoreError::Refused(error())),
            Some(Write::UncertainKept) => {
                memory.commit(group)?;
                Err(StoreError::Uncertain(error()))
            }
            Some(Write::UncertainLost) => Err(StoreError::Uncertain(error())),
            Some(Write::UncertainPart) => {
                let end = group.iter().position(|stored| stored.left == 0).map_or(0, |at| at + 1);
                memory.commit(&group[..end])?;
                Err(StoreError::Uncertain(error()))
            }
        }
    }
}

pub fn genesis(signer: impl Signer + 'static) -> Genesis {
    Genesis::new(crate::support::NAME, signer)
        .checkpoints(checkpoint_key())
        .operator(operator_key().public())
}

/// A ledger with the tests' keys.
pub fn ledger() -> Ledger {
    Ledger::in_memory(genesis(entry_key())).unwrap()
}

pub fn ledger_with(
    store: impl Store + 'static,
    signer: impl Signer + 'static,
    options: Options,
) -> Ledger {
    Ledger::create(store, genesis(signer), options).unwrap()
}

/// An event with its number in it.
pub fn event(number: u64) -> Event {
    let payload = Payload::new("application/json", format!("{{\"n\":{number}}}")).unwrap();
    Event::new("agent:planner", "test.call").unwrap().payload(payload)
}

pub fn id(number: u64) -> EventId {
    let [.., a, b, c, d] = number.to_be_bytes();
    EventId::new(u64::try_from(START / 1000).unwrap(), [0, 0, 0, 0, 0, 0, a, b, c, d])
}

/// The ledger's own export, verified against a checkpoint of it.
/// Gives the number of entries.
pub fn verified(ledger: &Ledger) -> u64 {
    // First: a list of the ledger's own may become durable between the two, and a checkpoint may not be ahead of the file.
    let held = ledger.checkpoint().unwrap();
    let file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
    let report = verify(&file, &Anchors::new().checkpoint(held));
    assert_eq!(report.verdict(), Verdict::Intact, "{:?}", report.faults);
    report.entries
}

/// Digests that `chain.abandoned` entries list, in the order of the chain, with their sequences.
pub fn listed(ledger: &Ledger) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    for sequence in 0..=ledger.head().sequence {
        let written = ledger.entry(sequence).unwrap().unwrap();
        if written.fields.event_type != "chain.abandoned" {
            continue;
        }
        let parsed =
            sigchain::reserved::Reserved::parse("chain.abandoned", &written.part, sequence);
        let Ok(sigchain::reserved::Reserved::Abandoned { entries, .. }) = parsed else {
            panic!("no list in {sequence}")
        };
        found.extend(entries.into_iter().map(|(at, digest)| (at, digest.as_bytes().to_vec())));
    }
    found
}

/// Types of all entries.
pub fn types(ledger: &Ledger) -> Vec<String> {
    (0..=ledger.head().sequence)
        .map(|at| ledger.entry(at).unwrap().unwrap().fields.event_type.into_owned())
        .collect()
}

/// A door that is shut until it is opened, for good.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar, AtomicUsize)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open.
    pub fn pass(&self) {
        self.0.2.fetch_add(1, Ordering::SeqCst);
        let mut open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.0.1.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until so many have come to it.
    pub fn wait_for(&self, count: usize) {
        until("somebody comes to the gate", || self.0.2.load(Ordering::SeqCst) >= count);
    }
}

/// Waits until something is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it never happened: {what}");
}

/// Runs `work`; what takes longer than `time` fails the test instead of hanging it.
pub fn within<T: Send + 'static>(
    time: Duration,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || drop(sender.send(work())));
    match receiver.recv_timeout(time) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => panic!("{what}: no answer"),
        },
    }
}

/// Panics once, at the call that it was lit for.
#[derive(Clone, Debug, Default)]
pub struct Fuse(Arc<AtomicUsize>);

impl Fuse {
    /// Panics at the `calls`-th call from now.
    pub fn light(&self, calls: usize) {
        self.0.store(calls, Ordering::SeqCst);
    }

    /// Whether it has yet to panic. Puts it out.
    pub fn put_out(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst) > 0
    }

    pub fn burn(&self) {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left == Ok(1) {
            // Without the hook: thousands of these say nothing to anybody.
            std::panic::resume_unwind(Box::new("the fuse"));
        }
    }
}

/// A clock that stands still, and panics when its fuses say so.
#[derive(Debug)]
pub struct FusedTime {
    pub steered: Arc<Steered>,
    pub wall: Fuse,
    pub elapsed: Fuse,
    pub running: Fuse,
}

impl FusedTime {
    pub fn new() -> Arc<Self> {
        let (wall, elapsed, running) = (Fuse::default(), Fuse::default(), Fuse::default());
        Arc::new(Self { steered: Steered::new(), wall, elapsed, running })
    }
}

impl Time for FusedTime {
    fn wall(&self) -> i64 {
        self.wall.burn();
        self.steered.wall()
    }

    fn elapsed(&self) -> u64 {
        self.elapsed.burn();
        self.steered.elapsed()
    }

    fn running(&self) -> u64 {
        self.running.burn();
        self.steered.running()
    }
}

/// A store that panics when its fuses say so.
pub type FusedStore = Handled<Fuses>;

/// A commit panics before anything is written, and after all of it is.
#[derive(Clone, Debug, Default)]
pub struct Fuses {
    pub commit: Fuse,
    pub committed: Fuse,
    pub find: Fuse,
    pub read: Fuse,
    pub size: Fuse,
}

impl Hand for Fuses {
    fn commit(&self, memory: &Memory, group: &[Stored]) -> Result<(), StoreError> {
        self.commit.burn();
        let written = memory.commit(group);
        self.committed.burn();
        written
    }

    fn find(&self, memory: &Memory, event_id: &EventId) -> io::Result<Option<u64>> {
        self.find.burn();
        memory.find(event_id)
    }

    fn read(
        &self,
        memory: &Memory,
        first: u64,
        count: usize,
        frames: &mut Frames,
    ) -> io::Result<()> {
        self.read.burn();
        memory.read(first, count, frames)
    }

    fn size(&self, memory: &Memory) -> io::Result<u64> {
        self.size.burn();
        memory.size()
    }
}

/// A projection that keeps sequence and digest of what it was given, and panics when its fuse says so.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub seen: Vec<(u64, Digest)>,
    pub fuse: Fuse,
}

impl Projection for Counted {
    fn apply(&mut self, item: &Item<'_>) {
        self.fuse.burn();
        self.seen.push((item.fields.sequence, item.digest()));
    }
}

/// A key whose calls go wrong at random, one in so many; the same ones for the same seed.
#[derive(Debug)]
pub struct Moody {
    key: SigningKey,
    in_process: bool,
    seed: u64,
    one_in: usize,
    calls: AtomicU64,
    pub seen: Arc<Mutex<Vec<Digest>>>,
}

impl Moody {
    /// `one_in` 0: none.
    pub fn new(key: SigningKey, in_process: bool, seed: u64, one_in: usize) -> Self {
        Self { key, in_process, seed, one_in, calls: AtomicU64::new(0), seen: Arc::default() }
    }
}

impl Signer for Moody {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        let signed = Signer::sign(&self.key, statement);
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if let Statement::Digest(_, digest) = statement {
            self.seen.lock().unwrap().push(**digest);
        }
        let mut random = Random::new(self.seed ^ call.wrapping_mul(0x9e37_79b9));
        // The first two calls are genesis.
        if call < 2 || self.one_in == 0 || random.below(self.one_in) > 0 {
            return signed;
        }
        match random.below(3) {
            0 => std::panic::resume_unwind(Box::new("a mood")),
            1 if !self.in_process => {
                let mut bytes = *signed?.as_bytes();
                bytes[40] ^= 4;
                Ok(Signature::new(bytes))
            }
            _ => Err(SignerError::new("a mood")),
        }
    }

    fn is_in_process(&self) -> bool {
        self.in_process
    }
}

/// All entries of a store, whatever its ledger says of them.
pub fn kept(store: &Memory) -> Vec<Written<'static>> {
    let mut all = Frames::new();
    store.read(0, usize::MAX, &mut all).unwrap();
    let parse = |frame: FrameRef<'_>| match Frame::parse(Kind::Entry, frame.left, frame.body) {
        Ok(Frame::Entry(written)) => written.into_owned(),
        other => panic!("{other:?}"),
    };
    all.iter().map(parse).collect()
}

/// The number in an event made by `event`.
pub fn number(written: &Written<'_>) -> Option<u64> {
    let Part::Whole(leaf) = &written.part else { return None };
    let text = std::str::from_utf8(&leaf.bytes).ok()?;
    text.strip_prefix("{\"n\":")?.strip_suffix('}')?.parse().ok()
}

/// Where the numbered events are. None is there twice.
pub fn places(kept: &[Written<'_>]) -> BTreeMap<u64, u64> {
    let mut places = BTreeMap::new();
    for written in kept {
        if let Some(number) = number(written) {
            let before = places.insert(number, written.fields.sequence);
            assert_eq!(before, None, "event {number} is in the chain twice");
        }
    }
    places
}
