//! A file of any length is verified in constant memory: the real binary, with less memory than the file has bytes.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use sigchain::chain::{Candidate, Chain, Link};
use sigchain::chainfile::{Form, Writer};
use sigchain::digest::Digest;
use sigchain::entry::{Linked, Place};
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::{Role, SigningKey};
use sigchain::payload::Payload;
use sigchain::reserved::{KeyRecord, Reserved};
use sigchain::stamp::Stamp;

/// What the program may have in all, in KiB: its threads' stacks, its code, and the blocks in flight.
const MEMORY: u64 = 192 << 10;

fn link(event: Event, commitment: Digest, chain: Option<&Chain>, key: &SigningKey) -> Linked {
    let head = chain.and_then(Chain::head);
    let sequence = head.map_or(0, |head| head.sequence + 1);
    let place = Place {
        chain_id: chain.map_or(Digest::ZERO, Chain::id),
        prior_hash: head.map_or(Digest::ZERO, |head| head.digest),
        sequence,
        stamp: Stamp::new(sequence + 1),
        signer: key.id(),
    };
    Linked::new(event, EventId::new(sequence, [0; 10]), commitment, &place)
}

/// A chain of entries with payloads of a MiB each.
fn write(path: &Path, entries: usize, form: Form) {
    let key = SigningKey::from_seed(&[1; 32]).unwrap();
    let record = KeyRecord::new(&key, Role::Entry, &Digest::ZERO, EventId::new(0, [0; 10]));
    let reserved = Reserved::Genesis {
        approvals: Vec::new(),
        keys: vec![record],
        name: "large".to_owned(),
        operators: Vec::new(),
        predecessor: None,
    };
    let event = reserved.event("sigchain").unwrap();
    let part = event.payload_ref().clone().salted(|| [0; 16]);
    let linked = link(event, part.commitment().unwrap(), None, &key);
    let mut chain = Chain::begin(&Link::new(linked.fields(), linked.digest()), &reserved).unwrap();
    let sink = BufWriter::new(File::create(path).unwrap());
    let mut writer = Writer::new(sink, form, chain.id()).unwrap();
    writer.entry(0, linked.sign(&key).unwrap(), part).unwrap();
    for _ in 0..entries {
        let payload = Payload::new("text/plain", vec![b'x'; 1 << 20]).unwrap();
        let part = payload.salted(|| [0; 16]);
        let event = Event::new("agent:large", "agent.note").unwrap();
        let linked = link(event, part.commitment().unwrap(), Some(&chain), &key);
        let link = Link::new(linked.fields(), linked.digest());
        chain.admit(&Candidate { link, reserved: None, root: None }).unwrap();
        writer.entry(0, linked.sign(&key).unwrap(), part).unwrap();
    }
    writer.finish_unsigned().unwrap().flush().unwrap();
}

/// [S-verify-5]
#[test]
fn a_file_larger_than_memory_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    for (name, form) in [("large.sigchain", Form::ChainFile), ("large.jsonl", Form::JsonLines)] {
        let path = folder.path().join(name);
        write(&path, 256, form);
        assert!(fs::metadata(&path).unwrap().len() > MEMORY << 10);
        let limited = format!("ulimit -v {MEMORY} && exec \"$0\" verify \"$1\" --threads 2");
        let output = Command::new("sh")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_sigchain")])
            .arg(&path)
            .env("MALLOC_ARENA_MAX", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(3), "{name}: {text}");
        assert!(text.contains("257 entries"), "{name}: {text}");
    }
}
