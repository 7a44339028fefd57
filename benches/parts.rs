//! The parts that a verification is made of, one by one, so that a change in `figures` can be traced to its cause.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the unexpected")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sigchain::checkpoint::Checkpoint;
use sigchain::codec::Reader;
use sigchain::digest::Digest;
use sigchain::entry::{Linked, Place};
use sigchain::event::Event;
use sigchain::frame::{Frame, Kind, Written};
use sigchain::id::EventId;
use sigchain::jsonl;
use sigchain::key::{Purpose, SigningKey};
use sigchain::payload::Payload;
use sigchain::stamp::Stamp;
use sigchain::tree::{Frontier, leaf_hash};
use sigchain::verify::batch::{self, Claim};

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32]).unwrap()
}

fn written() -> Written<'static> {
    let payload = Payload::new("application/json", vec![b'x'; 256]).unwrap();
    let event = Event::new("agent:planner", "work.done").unwrap().payload(payload.clone());
    let part = payload.salted(|| [7; 16]);
    let place = Place {
        chain_id: Digest::ZERO,
        prior_hash: Digest::ZERO,
        sequence: 1,
        stamp: Stamp::new(1),
        signer: key().id(),
    };
    let id = EventId::new(1, [1; 10]);
    let linked = Linked::new(event, id, part.commitment().unwrap(), &place);
    Written::new(0, linked.sign(&key()).unwrap(), part)
}

fn entries(c: &mut Criterion) {
    let written = written();
    let frame = Frame::Entry(Box::new(written.clone()));
    let body = frame.body();
    let line = jsonl::encode(&frame);
    let line = line.trim_end().as_bytes();
    let mut group = c.benchmark_group("entry");
    group.throughput(Throughput::Elements(1));
    group.bench_function("crc", |b| b.iter(|| crc32fast::hash(black_box(&body))));
    group.bench_function("parse", |b| {
        b.iter(|| Frame::parse(Kind::Entry, 0, black_box(&body)).unwrap());
    });
    group.bench_function("parse a line", |b| b.iter(|| jsonl::parse(black_box(line)).unwrap()));
    group.bench_function("encode", |b| b.iter(|| black_box(&frame).body()));
    group.bench_function("encode a line", |b| b.iter(|| jsonl::encode(black_box(&frame))));
    group.bench_function("digest", |b| {
        b.iter(|| black_box(&written).fields.digest(black_box(&Digest::ZERO)));
    });
    group.bench_function("commitment", |b| b.iter(|| black_box(&written).part.commitment()));
    group.bench_function("leaf and tree", |b| {
        let digest = written.fields.digest(&Digest::ZERO);
        let mut tree = Frontier::new();
        b.iter(|| tree.push(leaf_hash(black_box(&digest), &written.signature)));
    });
    group.finish();
}

fn signatures(c: &mut Criterion) {
    let key = key();
    let digest = Digest::of(&[b"digest"]);
    let signature = key.sign(Purpose::Entry, &digest);
    let mut group = c.benchmark_group("signature");
    group.bench_function("sign", |b| b.iter(|| key.sign(Purpose::Entry, black_box(&digest))));
    group.bench_function("verify", |b| {
        b.iter(|| assert!(key.public().accepts(Purpose::Entry, black_box(&digest), &signature)));
    });
    for size in [128u64, 1024, 8192] {
        let claims: Vec<_> = (0..size)
            .map(|n| {
                let digest = Digest::of(&[&n.to_be_bytes()]);
                let signature = key.sign(Purpose::Entry, &digest);
                Claim { key: key.public(), digest, signature }
            })
            .collect();
        group.throughput(Throughput::Elements(size));
        group.bench_function(format!("batch of {size}"), |b| b.iter(|| batch::verify(&claims)));
    }
    group.finish();
}

fn foreign(c: &mut Criterion) {
    let deep = vec![0x81u8; 10_000_000];
    c.bench_function("ten million nested arrays refused", |b| {
        b.iter(|| assert!(Reader::new(black_box(&deep)).skip().is_err()));
    });
    let note = Checkpoint::sign("example.org/x", 9, Digest::ZERO, &key()).encode();
    c.bench_function("checkpoint parse", |b| {
        b.iter_batched(
            || note.clone(),
            |note| Checkpoint::parse(note.as_bytes()),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, entries, signatures, foreign);
criterion_main!(benches);
