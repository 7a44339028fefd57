//! What scenarios are made of: moody signers and stores, callers that write down what they are told, and the schedules.
//!
//! Locks of `std` are held here for no longer than a step, so that no schedule can stop at one.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, MaxSteps, Runner};
use sigchain::clock::Time;
use sigchain::digest::Digest;
use sigchain::error::{AppendError, CloseError};
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::{PublicKey, Purpose, Signature, SigningKey};
use sigchain::ledger::{BatchTicket, Closed, Genesis, Ledger, Options, Ticket};
use sigchain::receipt::Receipt;
use sigchain::signer::{SEVERAL, Signer, SignerError, Statement};
use sigchain::store::{Frames, Memory, Store, StoreError, Stored};

pub const START: i64 = 1_795_150_800_000_000;
/// A time that never passes: who waits for it waits to be woken.
pub const FOREVER: Duration = Duration::from_nanos(u64::MAX);
/// The seed of the operator's key.
pub const OPERATOR: u8 = 9;
/// Schedules of all scenarios together, unless said otherwise.
const SCHEDULES: usize = 6_000;
/// No scenario takes a tenth of it unless it goes round in circles.
const STEPS_MAX: usize = 100_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs a scenario under its share of the schedules.
pub fn every_schedule(name: &str, scenarios: usize, scenario: fn()) {
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.stack_size = 0x4_0000;
        config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
        config.ungraceful_shutdown_config.immediately_return_on_panic = true;
        Runner::new(scheduler, config).run(scenario)
    };
    if let Some(file) = std::env::var_os("SIGCHAIN_REPLAY") {
        run(Box::new(ReplayScheduler::new_from_file(file).unwrap()));
        return;
    }
    let all = number("SIGCHAIN_SCHEDULES").map_or(SCHEDULES, |all| usize::try_from(all).unwrap());
    let each = all.div_ceil(scenarios * 3);
    let seed = number("SIGCHAIN_SEED").unwrap_or(1);
    let started = Instant::now();
    run(Box::new(RandomScheduler::new_from_seed(seed, each)));
    for depth in [3, 5] {
        run(Box::new(PctScheduler::new_from_seed(
            seed + u64::try_from(depth).unwrap(),
            depth,
            each,
        )));
    }
    eprintln!("{name}: {} schedules, {:.1?}", each * 3, started.elapsed());
}

/// A moment at which others may run.
pub fn pause() {
    shuttle::thread::sleep(Duration::ZERO);
}

/// A few such moments.
pub fn pauses(most: u32) {
    for _ in 0..thread_rng().gen_range(0..=most) {
        pause();
    }
}

/// Of a hundred.
pub fn happens(percent: u32) -> bool {
    thread_rng().gen_range(0..100) < percent
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

/// What a caller was told of a call.
#[derive(Debug)]
pub struct Told {
    pub thread: usize,
    pub actors: Vec<String>,
    /// When the call began and when its outcome was there.
    pub started: u64,
    pub ended: u64,
    /// Nothing if the caller did not wait.
    pub outcome: Option<Result<Vec<Receipt>, AppendError>>,
}

/// What happened in one schedule.
#[derive(Debug, Default)]
pub struct Notes {
    ticks: AtomicU64,
    /// Whether signers and stores follow their moods; genesis goes through before.
    is_moody: AtomicBool,
    /// Digests of entries that reached a signer.
    pub seen: Mutex<BTreeSet<Digest>>,
    pub told: Mutex<Vec<Told>>,
    /// What somebody saw in the ledger.
    pub sightings: Mutex<Vec<(u64, Digest)>>,
    /// Entries that a commit has returned for.
    pub durable: AtomicU64,
    written: shuttle::sync::Mutex<u64>,
    grew: shuttle::sync::Condvar,
    /// Whether a write failed part-way, and what of it is not there.
    pub is_uncertain: AtomicBool,
    pub lost: Mutex<Vec<Stored>>,
    pub rotations_refused: AtomicUsize,
    gone: shuttle::sync::Mutex<bool>,
    went: shuttle::sync::Condvar,
}

impl Notes {
    pub fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn is_moody(&self) -> bool {
        self.is_moody.load(Ordering::SeqCst)
    }

    /// Waits until so many entries are durable. Nobody else is woken by that: if nobody ever writes them, shuttle finds a deadlock.
    pub fn until_durable(&self, size: u64) {
        let mut written = self.written.lock().unwrap();
        while *written < size {
            written = self.grew.wait(written).unwrap();
        }
    }

    /// What is to be seen in the ledger: nothing that is not durable.
    pub fn sighted(&self, sequence: u64, digest: Digest) {
        assert!(sequence < self.durable.load(Ordering::SeqCst), "{sequence} is not durable");
        self.sightings.lock().unwrap().push((sequence, digest));
    }
}

/// How often, of a hundred times, a signer does what else than sign.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mood {
    pub fail: u32,
    pub panic: u32,
    pub lie: u32,
    pub hang: u32,
}

/// What hangs, hangs here.
#[derive(Debug, Default)]
pub struct Gate {
    is_open: shuttle::sync::Mutex<bool>,
    opened: shuttle::sync::Condvar,
}

impl Gate {
    pub fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opened.wait(is_open).unwrap();
        }
    }
}

/// A signer with moods.
#[derive(Clone, Debug)]
pub struct Moody {
    key: SigningKey,
    is_in_process: bool,
    at_once: usize,
    mood: Mood,
    gate: Arc<Gate>,
    notes: Arc<Notes>,
}

impl Signer for Moody {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        let Statement::Digest(Purpose::Entry, digest) = statement else {
            return Signer::sign(&self.key, statement);
        };
        self.notes.seen.lock().unwrap().insert(**digest);
        pause();
        let signed = Signer::sign(&self.key, statement);
        if !self.notes.is_moody() {
            return signed;
        }
        let Mood { fail, panic, lie, hang } = self.mood;
        let drawn = thread_rng().gen_range(0..100);
        if drawn < fail {
            return Err(SignerError::new("the mood"));
        }
        if drawn < fail + panic {
            // Not `panic!`: shuttle's hook would take it for the failure of the test.
            std::panic::resume_unwind(Box::new("the mood"));
        }
        if drawn < fail + panic + lie {
            return Ok(Signature::new([7; 64]));
        }
        if drawn < fail + panic + lie + hang {
            self.gate.pass();
        }
        signed
    }

    fn at_once(&self) -> usize {
        self.at_once
    }

    /// All of them are shown to it at once. Its mood may change with each, and then it makes no more.
    fn sign_several(
        &self,
        purpose: Purpose,
        digests: &[Digest],
    ) -> (Vec<Signature>, Option<SignerError>) {
        self.notes.seen.lock().unwrap().extend(digests);
        let mut signatures = Vec::new();
        for digest in digests {
            match self.sign(&Statement::Digest(purpose, digest)) {
                Ok(signature) => signatures.push(signature),
                // Now and then it does not say why.
                Err(error) => return (signatures, Some(error).filter(|_| happens(70))),
            }
        }
        (signatures, None)
    }

    fn is_in_process(&self) -> bool {
        self.is_in_process
    }
}

/// How often, of a hundred times, a store does what else than write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Temper {
    pub refuse: u32,
    pub uncertain: u32,
}

/// A store with a temper, that watches how it is used.
#[derive(Debug)]
struct Watched {
    memory: Memory,
    temper: Temper,
    is_busy: AtomicBool,
    notes: Arc<Notes>,
}

impl Watched {
    fn write(&self, group: &[Stored]) -> Result<(), StoreError> {
        let error = || io::Error::other("the temper");
        if self.notes.is_moody() && happens(self.temper.refuse) {
            return Err(StoreError::Refused(error()));
        }
        if self.notes.is_moody() && happens(self.temper.uncertain) {
            // Of what was on its way some whole batches are there, or none.
            let ends: Vec<_> = (0..group.len()).filter(|at| group[*at].left == 0).collect();
            let kept = thread_rng().gen_range(0..=ends.len());
            let kept = kept.checked_sub(1).map_or(0, |at| ends[at] + 1);
            self.memory.commit(&group[..kept])?;
            self.notes.lost.lock().unwrap().extend_from_slice(&group[kept..]);
            self.notes.is_uncertain.store(true, Ordering::SeqCst);
            return Err(StoreError::Uncertain(error()));
        }
        self.memory.commit(group)?;
        let size = self.memory.size().unwrap();
        self.notes.durable.store(size, Ordering::SeqCst);
        *self.notes.written.lock().unwrap() = size;
        self.notes.grew.notify_all();
        Ok(())
    }
}

impl Store for Watched {
    fn commit(&self, group: &[Stored]) -> Result<(), StoreError> {
        assert!(!self.is_busy.swap(true, Ordering::SeqCst), "two lead at once");
        assert!(!self.notes.is_uncertain.load(Ordering::SeqCst), "a write after an uncertain one");
        let mut next = self.memory.size().unwrap();
        let mut left = 0;
        for stored in group {
            assert_eq!(stored.sequence, next, "sequences do not go on");
            assert!(left == 0 || stored.left == left - 1, "a batch is torn");
            (next, left) = (next + 1, stored.left);
        }
        assert!(!group.is_empty() && left == 0, "a group ends within a batch");
        pause();
        let written = self.write(group);
        pause();
        self.is_busy.store(false, Ordering::SeqCst);
        written
    }

    fn find(&self, event_id: &EventId) -> io::Result<Option<u64>> {
        self.memory.find(event_id)
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        self.memory.read(first, count, frames)
    }

    fn size(&self) -> io::Result<u64> {
        self.memory.size()
    }
}

impl Drop for Watched {
    /// The ledger is gone: nobody holds anything of it any more.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            *self.notes.gone.lock().unwrap() = true;
            self.notes.went.notify_all();
        }
    }
}

/// Goes on a little whenever somebody asks how much of a time limit has passed; stands still otherwise.
#[derive(Debug, Default)]
pub struct Ticking {
    running: AtomicU64,
    /// Microseconds by which the wall clock was put ahead.
    ahead: AtomicI64,
}

impl Ticking {
    /// The wall clock is put ahead by an hour, which the ledger notices and records.
    pub fn step(&self) {
        self.ahead.fetch_add(3_600_000_000, Ordering::SeqCst);
    }
}

impl Time for Ticking {
    fn wall(&self) -> i64 {
        START + self.ahead.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> u64 {
        1_000_000_000
    }

    /// A millisecond each time.
    fn running(&self) -> u64 {
        self.running.fetch_add(1_000_000, Ordering::SeqCst)
    }
}

/// A schedule's ledger.
pub struct Setting {
    pub is_in_process: bool,
    /// How many digests the signer is best asked for at once.
    pub at_once: usize,
    pub mood: Mood,
    pub temper: Temper,
    pub options: Options,
}

impl Default for Setting {
    fn default() -> Self {
        let options = Options::new().signer_time(FOREVER).verify_own(happens(50));
        let (mood, temper) = (Mood::default(), Temper::default());
        let at_once = if happens(50) { SEVERAL } else { 1 };
        Self { is_in_process: true, at_once, mood, temper, options }
    }
}

/// A ledger, and everything around it.
pub struct World {
    pub ledger: Ledger,
    pub gate: Arc<Gate>,
    pub notes: Arc<Notes>,
    pub memory: Memory,
    pub time: Arc<Ticking>,
    signer: Moody,
    threads: Vec<JoinHandle<()>>,
}

impl World {
    pub fn new(setting: Setting) -> Self {
        let Setting { is_in_process, at_once, mood, temper, options } = setting;
        let (gate, notes) = (Arc::<Gate>::default(), Arc::<Notes>::default());
        let memory = Memory::new();
        let (is_busy, store) = (AtomicBool::new(false), memory.clone());
        let store = Watched { memory: store, temper, is_busy, notes: Arc::clone(&notes) };
        let signer = Moody {
            key: key(1),
            is_in_process,
            at_once,
            mood,
            gate: Arc::clone(&gate),
            notes: Arc::clone(&notes),
        };
        let genesis = Genesis::new("example.org/agents", signer.clone());
        let genesis = genesis.operator(key(OPERATOR).public());
        let time = Arc::<Ticking>::default();
        let options = options.time(Arc::<Ticking>::clone(&time));
        let ledger = Ledger::create(store, genesis, options).unwrap();
        notes.is_moody.store(true, Ordering::SeqCst);
        Self { ledger, gate, notes, memory, time, signer, threads: Vec::new() }
    }

    /// A signer like the first, with another key.
    pub fn signer(&self, seed: u8) -> Moody {
        Moody { key: key(seed), ..self.signer.clone() }
    }

    /// A caller, on a thread of its own.
    pub fn go(&mut self, work: impl FnOnce(&mut Caller) + Send + 'static) {
        let thread = self.threads.len();
        let (ledger, notes) = (self.ledger.clone(), Arc::clone(&self.notes));
        let mut caller = Caller { ledger: Some(ledger), notes, thread, calls: 0 };
        self.threads.push(shuttle::thread::spawn(move || work(&mut caller)));
    }

    /// Somebody who looks at the ledger meanwhile.
    pub fn go_read(&mut self, times: u32) {
        self.go(move |caller| {
            for _ in 0..times {
                let head = caller.ledger().head();
                caller.notes.sighted(head.sequence, head.digest);
                let written = caller.ledger().entry(head.sequence).unwrap().unwrap();
                let digest = written.entry(&caller.ledger().chain_id()).digest();
                assert_eq!(digest, head.digest, "the head is another entry");
                let receipt = caller.ledger().find(&written.fields.event_id).unwrap().unwrap();
                caller.notes.sighted(receipt.sequence, receipt.digest);
                assert!(caller.ledger().entry(head.sequence + 100).unwrap().is_none());
            }
        });
    }

    pub fn join(&mut self) {
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }

    /// Waits for the callers, closes the ledger for good, and judges what has become of it.
    pub fn end(mut self) -> crate::judge::Verdict {
        self.join();
        let closed = self.ledger.close(FOREVER);
        self.judge(Some(closed))
    }

    /// Waits until nothing is left of the ledger, and judges.
    pub fn judge(self, closed: Option<Result<Closed, CloseError>>) -> crate::judge::Verdict {
        let Self { ledger, notes, memory, signer, threads, .. } = self;
        for thread in threads {
            thread.join().unwrap();
        }
        drop(ledger);
        let mut gone = notes.gone.lock().unwrap();
        while !*gone {
            gone = notes.went.wait(gone).unwrap();
        }
        drop(gone);
        drop(signer);
        crate::judge::Verdict::new(&memory, notes, closed)
    }
}

/// A thread that appends, and writes down what it is told.
pub struct Caller {
    ledger: Option<Ledger>,
    pub notes: Arc<Notes>,
    pub thread: usize,
    calls: usize,
}

impl Caller {
    pub fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().unwrap()
    }

    /// Gives its handle back.
    pub fn let_go(&mut self) {
        self.ledger = None;
    }

    /// An event like no other, and its actor.
    pub fn event(&mut self, event_type: &str) -> Event {
        Event::new(&self.actor(), event_type).unwrap()
    }

    fn actor(&mut self) -> String {
        self.calls += 1;
        format!("agent:{}-{}", self.thread, self.calls)
    }

    fn events(&mut self, count: usize) -> (Vec<String>, Vec<Event>) {
        let actors: Vec<_> = (0..count).map(|_| self.actor()).collect();
        let event = |actor: &String| Event::new(actor, "test.call").unwrap();
        let events = actors.iter().map(event).collect();
        (actors, events)
    }

    /// A call begins. Gives its place in the notes.
    pub fn begin(&self, actors: Vec<String>) -> usize {
        let (thread, started, ended, outcome) = (self.thread, self.notes.tick(), u64::MAX, None);
        let mut told = self.notes.told.lock().unwrap();
        told.push(Told { thread, actors, started, ended, outcome });
        told.len() - 1
    }

    /// Its outcome is there.
    pub fn told(&self, call: usize, outcome: Result<Vec<Receipt>, AppendError>) {
        let durable = self.notes.durable.load(Ordering::SeqCst);
        for receipt in outcome.iter().flatten() {
            assert!(receipt.sequence < durable, "a receipt for what is not durable");
        }
        if let Err(AppendError::Uncertain { .. }) = outcome {
            assert!(self.notes.is_uncertain.load(Ordering::SeqCst), "uncertain without a cause");
        }
        let ended = self.notes.tick();
        let told = &mut self.notes.told.lock().unwrap()[call];
        assert!(told.outcome.is_none(), "two outcomes");
        (told.ended, told.outcome) = (ended, Some(outcome));
    }

    pub fn append(&mut self) -> Result<Receipt, AppendError> {
        let (actors, mut events) = self.events(1);
        let call = self.begin(actors);
        let outcome = self.ledger().append(events.remove(0));
        self.told(call, outcome.clone().map(|receipt| vec![receipt]));
        outcome
    }

    pub fn append_batch(&mut self, count: usize) {
        let (actors, events) = self.events(count);
        let call = self.begin(actors);
        let outcome = self.ledger().append_batch(events);
        self.told(call, outcome);
    }

    /// Sends an event on its way. Nothing if it was refused at once.
    pub fn submit(&mut self, is_patient: bool) -> Option<Sent<Ticket>> {
        let (actors, mut events) = self.events(1);
        let call = self.begin(actors);
        let event = events.remove(0);
        let ledger = self.ledger();
        let ticket = if is_patient { ledger.submit(event) } else { ledger.try_submit(event) };
        match ticket {
            Ok(ticket) => Some(Sent { call, ticket }),
            Err(error) => {
                self.told(call, Err(error));
                None
            }
        }
    }

    pub fn submit_batch(&mut self, count: usize) -> Option<Sent<BatchTicket>> {
        let (actors, events) = self.events(count);
        let call = self.begin(actors);
        match self.ledger().submit_batch(events) {
            Ok(ticket) => Some(Sent { call, ticket }),
            Err(error) => {
                self.told(call, Err(error));
                None
            }
        }
    }

    pub fn wait(&self, sent: Sent<Ticket>) {
        let event_id = sent.ticket.event_id().unwrap();
        let outcome = sent.ticket.wait();
        self.is_findable(event_id, &outcome);
        self.told(sent.call, outcome.map(|receipt| vec![receipt]));
    }

    pub fn wait_batch(&self, sent: Sent<BatchTicket>) {
        self.told(sent.call, sent.ticket.wait());
    }

    /// As a future.
    pub fn poll(&self, sent: Sent<Ticket>) {
        let event_id = sent.ticket.event_id().unwrap();
        let outcome = shuttle::future::block_on(sent.ticket);
        self.is_findable(event_id, &outcome);
        self.told(sent.call, outcome.map(|receipt| vec![receipt]));
    }

    pub fn poll_batch(&self, sent: Sent<BatchTicket>) {
        self.told(sent.call, shuttle::future::block_on(sent.ticket));
    }

    /// What has a receipt is found, what was refused is not.
    fn is_findable(&self, event_id: EventId, outcome: &Result<Receipt, AppendError>) {
        let Some(ledger) = &self.ledger else { return };
        let found = ledger.find(&event_id).unwrap();
        match outcome {
            Ok(receipt) => assert_eq!(found, Some(*receipt)),
            Err(AppendError::Refused(_)) => assert_eq!(found, None, "refused, and found"),
            // It may be there, but not before the store is opened again and all of it verified.
            Err(AppendError::Uncertain { .. }) => assert_eq!(found, None, "in doubt, and found"),
        }
    }
}

/// What a caller has sent on its way.
pub struct Sent<T> {
    call: usize,
    ticket: T,
}
