//! The parts that a verification is made of, one by one, so that a change in `figures` can be traced to its cause.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the unexpected")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sigchain::checkpoint::Checkpoint;
use sigchain::codec::Reader;
use sigchain::context::Context;
use sigchain::digest::Digest;
use sigchain::entry::{Linked, Place};
use sigchain::event::Event;
use sigchain::frame::{Frame, Kind, Written};
use sigchain::id::EventId;
use sigchain::jsonl;
use sigchain::key::{Purpose, SigningKey};
use sigchain::payload::Payload;
use sigchain::projection::{Item, Projection as _};
use sigchain::stamp::Stamp;
use sigchain::tree::{Frontier, leaf_hash};
use sigchain::verify::batch::{self, Claim};

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32]).unwrap()
}

fn written() -> Written<'static> {
    let payload = Payload::new("application/json", vec![b'x'; 256]).unwrap();
    linked(Event::new("agent:planner", "work.done").unwrap(), payload, 1)
}

fn linked(event: Event, payload: Payload, sequence: u64) -> Written<'static> {
    let part = payload.clone().salted(|| [7; 16]);
    let event = event.payload(payload);
    let place = Place {
        chain_id: Digest::ZERO,
        prior_hash: Digest::ZERO,
        sequence,
        stamp: Stamp::new(sequence),
        signer: key().id(),
    };
    let linked = Linked::new(event, id(sequence), part.commitment().unwrap(), &place);
    Written::new(0, linked.sign(&key()).unwrap(), part)
}

fn id(number: u64) -> EventId {
    let [.., a, b, c, d] = number.to_be_bytes();
    EventId::new(number, [0, 0, 0, 0, 0, 0, a, b, c, d])
}

/// Entry `number` of an agent that looks for things, in episodes of eight.
fn step(number: u64) -> Written<'static> {
    let cause = match number % 8 {
        2 | 5 => Some(1),
        6 => Some(3),
        _ => None,
    };
    let (event_type, json) = match number % 8 {
        0 => ("episode.start", r#"{"goal":"find the invoice and pay it"}"#),
        1 | 4 => (
            "llm.request",
            r#"{"model":"m1","messages":[{"role":"user","content":"find the invoice of May and pay it"}]}"#,
        ),
        2 | 5 => (
            "llm.response",
            r#"{"input_tokens":90,"output_tokens":12,"messages":[{"role":"assistant","content":"searching"}]}"#,
        ),
        3 => ("tool.call", r#"{"tool":"search","arguments":{"query":"invoice May"}}"#),
        6 => ("tool.result", r#"{"result":["a","b","c"]}"#),
        _ => ("episode.end", r#"{"status":"completed"}"#),
    };
    let event = Event::new("agent:planner", event_type).unwrap();
    let event = event.episode(&format!("run-{}", number / 8)).unwrap();
    let event = match cause {
        Some(back) => event.caused_by(id(number - back)),
        None => event,
    };
    linked(event, Payload::new("application/json", json).unwrap(), number)
}

/// The fold into a context: by itself, and from the bytes of entries as a replay has them.
fn context(c: &mut Criterion) {
    const ENTRIES: u64 = 8000;
    let entries: Vec<_> = (0..ENTRIES).map(step).collect();
    let bodies = entries.iter().map(|entry| Frame::Entry(Box::new(entry.clone())).body());
    let bodies: Vec<_> = bodies.collect();
    let apply = |state: &mut Context, entry: &Written<'_>| {
        state.apply(&Item::new(Digest::ZERO, &entry.fields, &entry.part));
    };
    let mut group = c.benchmark_group("context");
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("fold", |b| {
        b.iter(|| {
            let mut state = Context::new();
            for entry in &entries {
                apply(&mut state, entry);
            }
            state
        });
    });
    group.bench_function("parse and fold", |b| {
        b.iter(|| {
            let mut state = Context::new();
            for body in &bodies {
                apply(&mut state, &Written::parse(0, body).unwrap());
            }
            state
        });
    });
    group.finish();
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

criterion_group!(benches, entries, signatures, context, foreign);
criterion_main!(benches);
