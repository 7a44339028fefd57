//! The machine's own limits: what its cores and its disk can do with nothing of ours around it.

use std::fs::OpenOptions;
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

/// Bare writes a second, each followed by fdatasync.
pub(super) fn write_and_sync(path: &Path, time: Duration) -> Outcome<f64> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    let bytes = vec![0x5a; WRITE];
    let mut failed = None;
    let found = rate(time, 1, || {
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        failed = failed.take().or(written.err());
    });
    failed.map_or(Ok(found), |error| Err(error.into()))
}
