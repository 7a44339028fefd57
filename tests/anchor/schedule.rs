//! Writers of one chain that are copied, set back, paused and opened again, interleaved at every operation on the disk: at most
//! one branch is ever anchored, and whoever is on another stops at its next claim.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use sigchain::anchor::{Anchors, Claim, Claimed, FIRST, Local, Standing, judge};
use sigchain::digest::Digest;

use crate::anchor::hooked::{Op, hooked};
use crate::anchor::{dir, names, note_of, opened};
use crate::support::Random;

const SCHEDULES: u64 = 10_000;
const STEPS: usize = 16;

/// Lets one writer at a time go on, and chooses at random which.
struct Turns {
    state: Mutex<State>,
    /// One for each writer: only that one is woken.
    changed: Vec<Condvar>,
}

struct State {
    random: Random,
    /// How rarely another writer's turn comes.
    patience: usize,
    running: Vec<usize>,
    turn: usize,
}

impl Turns {
    fn new(seed: u64, writers: usize) -> Self {
        let mut random = Random::new(seed);
        let patience = 2 + random.below(20);
        let state = State { random, patience, running: (0..writers).collect(), turn: 0 };
        Self { state: Mutex::new(state), changed: (0..writers).map(|_| Condvar::new()).collect() }
    }

    fn wait(&self, who: usize) {
        let state = self.state.lock().unwrap();
        drop(self.changed[who].wait_while(state, |state| state.turn != who).unwrap());
    }

    /// Before something that others can see.
    fn pass(&self, who: usize) {
        let mut state = self.state.lock().unwrap();
        let patience = state.patience;
        if state.random.below(patience) == 0 {
            state.choose();
            if state.turn != who {
                self.changed[state.turn].notify_one();
                drop(self.changed[who].wait_while(state, |state| state.turn != who).unwrap());
            }
        }
    }

    fn end(&self, who: usize) {
        let mut state = self.state.lock().unwrap();
        state.running.retain(|other| *other != who);
        if !state.running.is_empty() {
            state.choose();
            self.changed[state.turn].notify_one();
        }
    }
}

impl State {
    fn choose(&mut self) {
        let count = self.running.len();
        self.turn = self.running[self.random.below(count)];
    }
}

/// Ends a writer's turns, also if it panics: the others must not wait for it.
struct End<'e>(&'e Turns, usize);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}

/// What is in a writer's directory, and what a running one remembers.
#[derive(Clone, Default)]
struct Writer {
    entries: Vec<u64>,
    next: u64,
}

fn bytes(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.to_be_bytes()).collect()
}

/// As `note_of` has it.
fn root(entries: &[u64]) -> Digest {
    Digest::of(&[&bytes(entries)])
}

/// What all writers of a schedule share.
struct Shared {
    chain_id: Digest,
    turns: Turns,
    /// The copies that were made, of directories and of machines.
    copies: Mutex<Vec<Writer>>,
    /// Every statement that was tried.
    said: Mutex<BTreeMap<Digest, Vec<u64>>>,
    held: Mutex<BTreeMap<u64, Vec<u64>>>,
    fenced: Mutex<usize>,
}

impl Shared {
    /// Reads the latest claim, as a ledger does at open. Nothing if the writer may not go on.
    fn open(&self, anchors: &Local, entries: Vec<u64>) -> Option<Writer> {
        let Some(claim) = anchors.latest(&self.chain_id).unwrap() else {
            return Some(Writer { entries, next: FIRST });
        };
        let own = u64::try_from(entries.len()).unwrap();
        let root_at = |size: u64| entries.get(..usize::try_from(size).unwrap()).map(root);
        let standing = judge(&claim, own, root_at);
        (standing == Standing::Agrees).then(|| Writer { entries, next: claim.next() })
    }

    fn run(&self, who: usize, seed: u64, anchors: &Local) {
        self.turns.wait(who);
        let mut random = Random::new(seed);
        let mut writer = self.copies.lock().unwrap()[0].clone();
        for _ in 0..STEPS {
            match random.below(20) {
                0..8 => writer.entries.push(random.next()),
                8..15 if !writer.entries.is_empty() => {
                    let size = u64::try_from(writer.entries.len()).unwrap();
                    let note = note_of(&self.chain_id, size, &bytes(&writer.entries));
                    let said = (root(&writer.entries), writer.entries.clone());
                    self.said.lock().unwrap().extend([said]);
                    match anchors.claim(&self.chain_id, writer.next, &note).unwrap() {
                        Claimed::Held => {
                            let entries = writer.entries.clone();
                            let before = self.held.lock().unwrap().insert(writer.next, entries);
                            assert!(before.is_none(), "number {} was held twice", writer.next);
                            writer.next += 1;
                        }
                        Claimed::Taken(claim) => {
                            assert!(claim.number >= writer.next);
                            *self.fenced.lock().unwrap() += 1;
                            return;
                        }
                    }
                }
                15 | 16 => self.copies.lock().unwrap().push(writer.clone()),
                // A copy of a machine, or an older state of this one, goes on.
                17 => {
                    let copies = self.copies.lock().unwrap();
                    writer = copies[random.below(copies.len())].clone();
                }
                // A copy of a directory is opened, or this writer again.
                18 | 19 => {
                    let mut entries = writer.entries.clone();
                    if random.below(2) == 0 {
                        let copies = self.copies.lock().unwrap();
                        entries.clone_from(&copies[random.below(copies.len())].entries);
                    }
                    let Some(opened) = self.open(anchors, entries) else {
                        *self.fenced.lock().unwrap() += 1;
                        return;
                    };
                    writer = opened;
                }
                _ => {}
            }
        }
    }
}

/// Number of claims held, and of writers that had to stop.
fn schedule(path: &Path, seed: u64) -> (usize, usize) {
    let folder = &opened(path);
    let mut random = Random::new(seed);
    let writers = 2 + random.below(2);
    let chain_id = Digest::of(&[b"schedule", &seed.to_be_bytes()]);
    let shared = Arc::new(Shared {
        chain_id,
        turns: Turns::new(random.next(), writers),
        copies: Mutex::new(vec![Writer { entries: Vec::new(), next: FIRST }]),
        said: Mutex::default(),
        held: Mutex::default(),
        fenced: Mutex::default(),
    });
    let seeds: Vec<_> = (0..writers).map(|_| random.next()).collect();
    std::thread::scope(|scope| {
        for (who, seed) in seeds.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            scope.spawn(move || {
                let turns = Arc::clone(&shared);
                let hook = move |_: Op<'_>| -> io::Result<()> {
                    turns.turns.pass(who);
                    Ok(())
                };
                let anchors = Local::within(Arc::new(hooked(Arc::clone(folder), false, hook)));
                let _end = End(&shared.turns, who);
                shared.run(who, seed, &anchors);
            });
        }
    });
    let said = shared.said.lock().unwrap();
    let held = shared.held.lock().unwrap();
    // All that is anchored: also what was claimed by a writer who was passed before it knew.
    let claims = anchored(path, &chain_id);
    let mut before: &[u64] = &[];
    for (expected, claim) in (FIRST..).zip(&claims) {
        assert_eq!(claim.number, expected, "numbers are not in a row");
        let entries = &said[&claim.root];
        assert!(entries.starts_with(before), "number {expected} is on another branch");
        before = entries;
    }
    let find = |number: u64| claims.get(usize::try_from(number - FIRST).unwrap());
    for (number, entries) in &*held {
        assert_eq!(find(*number).map(|claim| claim.root), Some(root(entries)), "{number}");
    }
    (held.len(), *shared.fenced.lock().unwrap())
}

/// All claims, in order. There are fewer than are kept.
fn anchored(path: &Path, chain_id: &Digest) -> Vec<Claim> {
    let folder = path.join("anchors").join(chain_id.to_string());
    let names = if folder.exists() { names(&folder) } else { Vec::new() };
    let read = |name: &String| {
        let note = fs::read(folder.join(name)).unwrap();
        Claim::parse(name, chain_id, name.parse().unwrap(), &note).unwrap()
    };
    names.iter().map(read).collect()
}

fn run(path: &Path, seeds: impl Iterator<Item = u64>) -> (usize, usize) {
    let mut sum = (0, 0);
    for seed in seeds {
        let (held, fenced) = std::panic::catch_unwind(|| schedule(path, seed))
            .unwrap_or_else(|_| panic!("schedule of seed {seed}"));
        sum = (sum.0 + held, sum.1 + fenced);
    }
    sum
}

#[test]
fn at_most_one_branch_is_anchored_in_10_000_schedules() {
    let dir = dir();
    let (held, fenced) = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let path = dir.path();
            scope.spawn(move || run(path, (half..SCHEDULES).step_by(2)))
        });
        let sums = halves.map(|half| half.join().unwrap());
        (sums[0].0 + sums[1].0, sums[0].1 + sums[1].1)
    });
    // Else nothing was tried.
    assert!(held > 20_000 && fenced > 5_000, "{held} held, {fenced} fenced");
    crate::anchor::println_of(&format!("{held} claims held, {fenced} writers stopped"));
}
