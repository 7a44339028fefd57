//! One encoding and no other: what is accepted encodes to the same bytes, and hostile lengths cost nothing.

use ciborium::Value;
use proptest::prelude::*;
use sigchain::chainfile::{Form, Reader as FileReader};
use sigchain::codec::{Reader, Writer};
use sigchain::frame::{Frame, Kind};
use sigchain::jsonl;
use sigchain::payload::Part;

use crate::support::{file, verify};
use crate::vectors::{self, Expect};

fn skip(bytes: &[u8]) -> Result<(), sigchain::codec::DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.skip()?;
    reader.finish()
}

/// What our writer writes for a value that ciborium holds; `None` for what the format does not use.
fn write(value: &Value, w: &mut Writer) -> Option<()> {
    match value {
        Value::Integer(n) => {
            let n = i128::from(*n);
            match (u64::try_from(n), i64::try_from(n)) {
                (Ok(n), _) => w.uint(n),
                (_, Ok(n)) => w.int(n),
                // Below the smallest i64: accepted in open maps, never written by us.
                _ => {
                    let argument = u64::try_from(-1 - n).ok()?;
                    w.item(&[&[0x3b][..], &argument.to_be_bytes()].concat())
                }
            };
        }
        Value::Bytes(bytes) => drop(w.bytes(bytes).as_bytes()),
        Value::Text(text) => drop(w.text(text).as_bytes()),
        Value::Bool(b) => drop(w.bool(*b).as_bytes()),
        Value::Null => drop(w.null().as_bytes()),
        Value::Array(items) => {
            w.array(items.len());
            items.iter().try_for_each(|item| write(item, w))?;
        }
        Value::Map(pairs) => {
            w.map(pairs.len());
            pairs
                .iter()
                .try_for_each(|(key, value)| write(key, w).and_then(|()| write(value, w)))?;
        }
        _ => return None,
    }
    Some(())
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Map(pairs) => {
            let mut pairs: Vec<_> = pairs.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            let encoded = |key: &Value| {
                let mut out = Vec::new();
                ciborium::into_writer(key, &mut out).unwrap();
                out
            };
            pairs.sort_by_key(|(key, _)| encoded(key));
            pairs.dedup_by_key(|(key, _)| encoded(key));
            Value::Map(pairs)
        }
        other => other,
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|n| Value::Integer(n.into())),
        any::<i64>().prop_map(|n| Value::Integer(n.into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        ".{0,20}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(("[a-z]{1,9}".prop_map(Value::Text), inner), 0..6)
                .prop_map(|pairs| sorted(Value::Map(pairs))),
        ]
    })
}

proptest! {
    /// [S-cbor-1] [S-cbor-6] Whatever ciborium writes in deterministic order is what we write, and we accept it.
    #[test]
    fn our_encoding_is_the_deterministic_one(value in values()) {
        let mut theirs = Vec::new();
        ciborium::into_writer(&value, &mut theirs).unwrap();
        let mut w = Writer::new();
        write(&value, &mut w).unwrap();
        prop_assert_eq!(w.as_bytes(), theirs.as_slice());
        prop_assert!(skip(&theirs).is_ok());
    }

    /// [S-cbor-2] Of any bytes: what we accept, ciborium reads, and our encoding of what it read is the same bytes.
    #[test]
    fn what_is_accepted_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        if skip(&bytes).is_ok() {
            let value: Value = ciborium::from_reader(bytes.as_slice()).unwrap();
            let mut w = Writer::new();
            prop_assert!(write(&value, &mut w).is_some());
            prop_assert_eq!(w.as_bytes(), bytes.as_slice());
        }
    }

    /// [S-cbor-5] Nothing may follow.
    #[test]
    fn one_byte_more_is_refused(value in values(), more in any::<u8>()) {
        let mut bytes = Vec::new();
        ciborium::into_writer(&value, &mut bytes).unwrap();
        bytes.push(more);
        prop_assert!(skip(&bytes).is_err());
    }
}

/// [S-cbor-3] Ten million levels are refused at the seventeenth: 17 bytes are looked at, nothing is allocated for the rest.
#[test]
fn deep_nesting_is_refused_at_once() {
    let deep = vec![0x81; 10_000_000];
    let error = skip(&deep).unwrap_err();
    assert_eq!(error.at, 16);
    let maps = [&[0xa1, 0x61, b'a'][..]; 1000].concat();
    assert_eq!(skip(&maps).unwrap_err().expected, "nesting of at most 16");
}

/// [S-cbor-4] A length is compared with what is there before anything is allocated for it.
#[test]
fn lengths_are_never_trusted() {
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        for len in [1u64, 1 << 32, u64::MAX] {
            let bytes = [&[head][..], &len.to_be_bytes()].concat();
            assert!(skip(&bytes).is_err(), "{head:02x} {len}");
        }
    }
    let huge = crate::support::raw_frame(b'E', 0, 0, &[]);
    let mut head = huge[..4].to_vec();
    head.extend_from_slice(&(17u32 << 20).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    let crc = crc32fast::hash(&head);
    head.extend_from_slice(&crc.to_be_bytes());
    let genesis = crate::support::Build::new().file(Form::ChainFile);
    let report = verify(&[genesis, head].concat(), &sigchain::verify::Anchors::default());
    assert_eq!(report.faults[0].code, sigchain::fault::Code::FrameCut);
}

/// [S-json-1] [S-entry-5] Every accepted file is the one encoding of its frames, in both forms, and each form gives the other.
#[test]
fn accepted_files_have_one_encoding() {
    for vector in vectors::all().into_iter().filter(|v| v.expect == Expect::Intact) {
        let mut reader = FileReader::open(vector.bytes.as_slice()).unwrap();
        let chain_id = reader.chain_id();
        let mut frames = vec![Frame::Header { version: 1, chain_id }];
        let mut blocks = Vec::new();
        loop {
            let block = reader.block(1, 0).unwrap();
            if block.frames().is_empty() {
                break;
            }
            blocks.push(block);
        }
        frames.extend(blocks.iter().map(|block| block.parse(&block.frames()[0]).unwrap()));
        let form = reader.form();
        assert!(file(&frames, form) == vector.bytes, "{} encodes to other bytes", vector.name);
        let lines = file(&frames, Form::JsonLines);
        let parsed: Vec<_> = lines
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| jsonl::parse(l).unwrap())
            .collect();
        assert_eq!(parsed, frames, "{} as JSON lines", vector.name);
        let binary = file(&frames, Form::ChainFile);
        let again = frames.iter().map(|frame| {
            let body = frame.body();
            Frame::parse(frame.kind(), frame.left(), &body).map(|f| f.body() == body)
        });
        assert!(again.into_iter().all(|same| same == Ok(true)), "{}", vector.name);
        let report = verify(&binary, &vector.anchors);
        let has_trailer = frames.last().is_some_and(|frame| frame.kind() == Kind::Trailer);
        assert_eq!(report.counts.is_empty(), has_trailer, "{} as a chain file", vector.name);
    }
}

proptest! {
    /// [S-json-3] [S-json-4] Any bytes go through a line and come back, in one form only.
    #[test]
    fn payloads_survive_json_lines(bytes in prop::collection::vec(any::<u8>(), 0..60), text in ".{0,30}", as_text in any::<bool>()) {
        let bytes = if as_text { text.into_bytes() } else { bytes };
        let mut build = crate::support::Build::new();
        build.events(1);
        let Frame::Entry(mut written) = build.frames[2].clone() else { panic!("an entry") };
        if let Part::Whole(leaf) = &mut written.part {
            leaf.bytes = bytes.into();
        }
        let frame = Frame::Entry(written);
        let line = jsonl::encode(&frame);
        let parsed = jsonl::parse(line.trim_end_matches('\n').as_bytes());
        prop_assert_eq!(parsed, Ok(frame));
    }

    /// Arbitrary bodies and lines are judged without panic.
    #[test]
    fn arbitrary_bodies_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in [Kind::Attachment, Kind::Checkpoint, Kind::Entry, Kind::Gap, Kind::Header, Kind::Seal, Kind::Trailer] {
            if let Ok(frame) = Frame::parse(kind, 0, &bytes) {
                prop_assert_eq!(frame.body(), bytes.clone());
            }
        }
        let _ = jsonl::parse(&bytes);
    }
}
