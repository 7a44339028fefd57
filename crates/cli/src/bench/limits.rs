//! The machine's own limits: what its cores and its disk can do with nothing of ours around it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ed25519_zebra::batch::{self, Item};
use ed25519_zebra::{SigningKey as Raw, VerificationKeyBytes};
use sigchain::digest::Digest;
use sigchain::key::{Purpose, SigningKey};

use crate::bench::Outcome;

/// Signatures in a batch: with more, the time for each hardly falls.
const BATCH: usize = 4096;
/// Bytes of one bare write: about an entry with its payload.
const WRITE: usize = 560;

/// Runs `work` again and again for about `time`; each run does `units`. Units a second.
pub(super) fn rate(time: Duration, units: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut done = 0_u32;
    while start.elapsed() < time {
        work();
        done = done.saturating_add(1);
    }
    f64::from(done) * float(units) / start.elapsed().as_secs_f64()
}

/// A count as a number with a fraction; none of ours is beyond 2^32.
pub(super) fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Signatures a second, on one core.
fn sign(key: &SigningKey, time: Duration) -> f64 {
    let mut digest = Digest::of(&[b"bench"]);
    rate(time, 100, || {
        for _ in 0..100 {
            let signature = key.sign(Purpose::Entry, &digest);
            digest = Digest::of(&[signature.as_bytes()]);
        }
    })
}

/// Signatures a second on `threads` cores at once.
pub(super) fn sign_on(threads: usize, key: &SigningKey, time: Duration) -> f64 {
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| sign(key, time))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

/// Signatures of one key that a batch verifies a second, on one core, by ed25519-zebra.
pub(super) fn verify_batches(time: Duration) -> Outcome<f64> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let key = Raw::from(seed);
    let public = VerificationKeyBytes::from(&key);
    let mut items = Vec::new();
    for number in 0..BATCH {
        let message = Digest::of(&[&number.to_be_bytes()]);
        let signature = key.sign(message.as_bytes());
        items.push(Item::from((public, signature, message.as_bytes())));
    }
    let mut failed = false;
    let found = rate(time, BATCH, || {
        let mut verifier = batch::Verifier::new();
        for item in &items {
            verifier.queue(item.clone());
        }
        failed |= verifier.verify(rand::rng()).is_err();
    });
    if failed { Err("a batch of good signatures was refused".into()) } else { Ok(found) }
}

/// A file that is only written and synced.
pub(super) struct Bare(File);

impl Bare {
    pub(super) fn create(path: &Path) -> Outcome<Self> {
        Ok(Self(OpenOptions::new().create_new(true).append(true).open(path)?))
    }

    /// Writes, each followed by fdatasync, for about `time`. Adds the seconds that each took.
    pub(super) fn sync_for(&mut self, time: Duration, took: &mut Vec<f64>) -> Outcome<()> {
        let bytes = [0x5a; WRITE];
        let start = Instant::now();
        while start.elapsed() < time {
            let begun = Instant::now();
            self.0.write_all(&bytes)?;
            self.0.sync_data()?;
            took.push(begun.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Bare writes a second, each followed by fdatasync.
pub(super) fn write_and_sync(path: &Path, time: Duration) -> Outcome<f64> {
    let mut took = Vec::new();
    Bare::create(path)?.sync_for(time, &mut took)?;
    Ok(a_second(&took))
}

/// How many a second, if each took so many seconds and nothing was between them.
pub(super) fn a_second(took: &[f64]) -> f64 {
    float(took.len()) / took.iter().sum::<f64>()
}
