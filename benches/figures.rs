//! The figures that the format promises, each beside the machine's own limit, measured in one run.
//!
//! These machines are shared and noisy, so a figure is a ratio: both sides are timed in turn, several times, and the
//! best of each counts. `cargo bench -p sigchain-benches --bench figures` prints the table; `-- --entries N` sets the length of the chain.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a benchmark prints, divides and stops at the unexpected"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use ed25519_zebra as zebra;
use sigchain::chain::{Candidate, Chain, Link};
use sigchain::chainfile::{self, Form};
use sigchain::digest::Digest;
use sigchain::entry::{Linked, Place};
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::{Purpose, Role, SigningKey};
use sigchain::payload::{Part, Payload};
use sigchain::reserved::{KeyRecord, Reserved};
use sigchain::stamp::Stamp;
use sigchain::tree::{Nodes, verify_inclusion};
use sigchain::verify::batch::{self, Claim};
use sigchain::verify::{Anchors, Verdict, Verifier};

const CORES: usize = 2;

fn main() {
    let mut args = std::env::args().skip_while(|arg| arg != "--entries").skip(1);
    let entries: u64 = args.next().map_or(1_000_000, |n| n.parse().unwrap());
    let cores = std::thread::available_parallelism().map_or(CORES, usize::from);
    let path =
        std::env::temp_dir().join(format!("sigchain-figures-{}.sigchain", std::process::id()));
    let (chain_id, bytes) = write_chain(&path, entries);
    println!("{entries} entries of 256-byte payloads, {bytes} bytes, {cores} cores");

    let raw = raw_batch_rate();
    let ours = our_batch_rate();
    let limit = raw * cores as f64;
    println!("raw one-key batch, ed25519-zebra   {raw:>12.0} /s a core");
    println!("our batch, one core                {ours:>12.0} /s     {:.2} x raw", ours / raw);

    let mut anchors = Anchors::default();
    anchors.chain_id = Some(chain_id);
    let verifier = Verifier::new().anchored(anchors);
    let rate = best(3, || {
        let started = Instant::now();
        let report = verifier.run(File::open(&path).unwrap()).unwrap();
        assert_eq!(report.verdict(), Verdict::Intact);
        assert_eq!(report.entries, entries);
        entries as f64 / started.elapsed().as_secs_f64()
    });
    let together = raw_batch_rate_together(cores);
    println!(
        "the same on all cores at once      {together:>12.0} /s     {:.2} x cores x raw",
        together / limit
    );
    println!(
        "verify a chain file                {rate:>12.0} /s     {:.2} x cores x raw, {:.2} x all at once; promised 0.65",
        rate / limit,
        rate / together
    );
    println!("resident memory, peak              {:>12} KiB   promised 65536", peak_memory());
    links_alone(entries.min(300_000));
    proofs();
    fs::remove_file(&path).unwrap();
}

fn best(times: usize, measure: impl FnMut() -> f64) -> f64 {
    std::iter::repeat_with(measure).take(times).fold(0.0, f64::max)
}

/// The reference event of the spec, with a payload of 256 bytes.
fn reference_event(n: u64) -> Event {
    let payload = format!("{{\"n\":{n:012},\"text\":\"{}\"}}", "x".repeat(228));
    assert_eq!(payload.len(), 256);
    Event::new("agent:planner", "work.done")
        .unwrap()
        .episode("session-4f2a9c81d0")
        .unwrap()
        .caused_by(EventId::new(n, [7; 10]))
        .payload(Payload::new("application/json", payload).unwrap())
}

struct Bench {
    chain: Chain,
    key: SigningKey,
    checkpoint: SigningKey,
    genesis: (sigchain::entry::Entry<'static>, Part<'static>),
}

fn begin() -> Bench {
    let key = SigningKey::from_seed(&[1; 32]).unwrap();
    let checkpoint = SigningKey::from_seed(&[3; 32]).unwrap();
    let id = EventId::new(0, [0; 10]);
    let record = |key: &SigningKey, role| KeyRecord::new(key, role, &Digest::ZERO, id);
    let reserved = Reserved::Genesis {
        approvals: Vec::new(),
        keys: vec![record(&key, Role::Entry), record(&checkpoint, Role::Checkpoint)],
        name: "bench".to_owned(),
        operators: Vec::new(),
        predecessor: None,
    };
    let event = reserved.event("sigchain").unwrap();
    let part = event.payload_ref().clone().salted(|| [0; 16]);
    let place = Place {
        chain_id: Digest::ZERO,
        prior_hash: Digest::ZERO,
        sequence: 0,
        stamp: Stamp::new(1),
        signer: key.id(),
    };
    let linked = Linked::new(event, id, part.commitment().unwrap(), &place);
    let chain = Chain::begin(&Link::new(linked.fields(), linked.digest()), &reserved).unwrap();
    let entry = linked.sign(&key).unwrap();
    Bench { chain, key, checkpoint, genesis: (entry, part) }
}

fn link(chain: &mut Chain, event: Event, commitment: Digest, key: &SigningKey) -> Linked {
    let head = chain.head().unwrap();
    let place = Place {
        chain_id: chain.id(),
        prior_hash: head.digest,
        sequence: head.sequence + 1,
        stamp: Stamp::new(head.stamp.as_u64() + 1),
        signer: key.id(),
    };
    let linked = Linked::new(event, EventId::new(head.sequence, [1; 10]), commitment, &place);
    let link = Link::new(linked.fields(), linked.digest());
    chain.admit(&Candidate { link, reserved: None, root: None }).unwrap();
    linked
}

fn write_chain(path: &Path, entries: u64) -> (Digest, u64) {
    let Bench { mut chain, key, checkpoint, genesis: (entry, part) } = begin();
    let sink = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut writer = chainfile::Writer::new(sink, Form::ChainFile, chain.id()).unwrap();
    writer.entry(0, entry, part).unwrap();
    for n in 1..entries {
        let event = reference_event(n);
        let part = event.payload_ref().clone().salted(|| [9; 16]);
        let linked = link(&mut chain, event, part.commitment().unwrap(), &key);
        writer.entry(0, linked.sign(&key).unwrap(), part).unwrap();
    }
    writer.finish_signed(&chain.origin(), &checkpoint).unwrap().flush().unwrap();
    let bytes = fs::metadata(path).unwrap().len();
    println!(
        "disk, reference event              {:>12.1} bytes over its payload; promised 320",
        bytes as f64 / entries as f64 - 256.0
    );
    (chain.id(), bytes)
}

const BATCH: usize = 8192;

fn digests() -> Vec<Digest> {
    (0..BATCH).map(|n| Digest::of(&[&n.to_be_bytes()])).collect()
}

/// The rate of all cores at once, each with batches of its own: what is left of the limit when they share caches and clock.
fn raw_batch_rate_together(cores: usize) -> f64 {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(raw_batch_rate)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// Signatures of one key over 47-byte messages, verified in one batch by the library that does it fastest.
fn raw_batch_rate() -> f64 {
    let key = zebra::SigningKey::from([1; 32]);
    let public = zebra::VerificationKeyBytes::from(&key);
    let signed: Vec<_> = digests()
        .iter()
        .map(|digest| {
            let message = [Purpose::Entry.prefix(), digest.as_bytes()].concat();
            (key.sign(&message), message)
        })
        .collect();
    best(5, || {
        let started = Instant::now();
        let mut verifier = zebra::batch::Verifier::new();
        for (signature, message) in &signed {
            verifier.queue((public, *signature, message));
        }
        verifier.verify(rand::rng()).unwrap();
        BATCH as f64 / started.elapsed().as_secs_f64()
    })
}

fn our_batch_rate() -> f64 {
    let key = SigningKey::from_seed(&[1; 32]).unwrap();
    let claims: Vec<Claim<'_>> = digests()
        .into_iter()
        .map(|digest| Claim {
            key: key.public(),
            digest,
            signature: key.sign(Purpose::Entry, &digest),
        })
        .collect();
    best(5, || {
        let started = Instant::now();
        assert!(batch::verify(&claims).iter().all(|accepted| *accepted));
        BATCH as f64 / started.elapsed().as_secs_f64()
    })
}

/// Digest, link and admit of entries that are in memory, without payload and signature.
fn links_alone(entries: u64) {
    let rate = best(3, || {
        let Bench { mut chain, key, .. } = begin();
        let event = reference_event(1);
        let commitment = Digest::of(&[b"payload"]);
        let events: Vec<Event> = vec![event; usize::try_from(entries).unwrap()];
        let started = Instant::now();
        for event in events {
            link(&mut chain, event, commitment, &key);
        }
        entries as f64 / started.elapsed().as_secs_f64()
    });
    println!(
        "digest, link and admit             {rate:>12.0} /s     {:.2} us each; promised 1 us and 1.5 M/s",
        1e6 / rate
    );
}

fn proofs() {
    const SIZE: u64 = 1_000_000;
    let leaf = |n: u64| Digest::of(&[&n.to_be_bytes()]);
    let mut nodes = Nodes::new();
    (0..SIZE).for_each(|n| nodes.push(leaf(n)));
    let leaves = |n: u64| Some(leaf(n));
    let root = nodes.root_at(SIZE, &leaves).unwrap();
    let mut slowest = Duration::ZERO;
    for index in (0..SIZE).step_by(9973) {
        let started = Instant::now();
        let path = nodes.inclusion(index, SIZE, &leaves).unwrap();
        slowest = slowest.max(started.elapsed());
        assert!(verify_inclusion(&leaf(index), index, SIZE, &path, &root));
    }
    println!(
        "inclusion proof at 1,000,000       {:>12.1} us at worst; promised 1000",
        slowest.as_secs_f64() * 1e6
    );
}

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
