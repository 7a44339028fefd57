//! Every input that a fuzzer found worth keeping, once more, on every toolchain. `fuzz/run` looks for new ones.

#[path = "../fuzz/src/targets.rs"]
mod targets;

pub use targets::files::place::ram;
pub use targets::second;

use std::fs;
use std::panic;
use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let inputs = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<_> = inputs.collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no corpus in {}", folder.display());
    let is_refused = |path: &&Path| {
        let data = fs::read(path).unwrap();
        panic::catch_unwind(|| target(&data)).is_err()
    };
    let refused: Vec<_> = inputs.iter().map(AsRef::as_ref).filter(is_refused).collect();
    assert!(refused.is_empty(), "{name}: {refused:#?}");
}

#[test]
fn corpus_of_entry() {
    replay("entry", targets::entry);
}

#[test]
fn corpus_of_chain_file() {
    replay("chain_file", targets::chain_file);
}

#[test]
fn corpus_of_json_lines() {
    replay("json_lines", targets::json_lines);
}

#[test]
fn corpus_of_checkpoint() {
    replay("checkpoint", targets::checkpoint);
}

#[test]
fn corpus_of_proof() {
    replay("proof", targets::proof);
}

#[test]
fn corpus_of_key_file() {
    replay("key_file", targets::key_file);
}

#[test]
fn corpus_of_cbor() {
    replay("cbor", targets::cbor);
}

/// [S-verify-2] Both verifiers agree on files that were changed with intent.
#[test]
fn corpus_of_both_verifiers() {
    replay("both_verifiers", targets::both_verifiers);
}

#[test]
fn corpus_of_encrypted_key() {
    replay("encrypted_key", targets::outside::encrypted_key);
}

#[test]
fn corpus_of_agent() {
    replay("agent", targets::outside::agent);
}

#[test]
fn corpus_of_point() {
    replay("point", targets::outside::point);
}

#[test]
fn corpus_of_reference() {
    replay("reference", targets::outside::reference);
}

#[test]
fn corpus_of_segment() {
    replay("segment", targets::files::segment);
}

#[test]
fn corpus_of_durable() {
    replay("durable", targets::files::durable);
}

#[test]
fn corpus_of_index() {
    replay("index", targets::files::index);
}

#[test]
fn corpus_of_anchor() {
    replay("anchor", targets::files::anchor);
}

#[test]
fn corpus_of_mirror() {
    replay("mirror", targets::apart::mirror);
}

#[test]
fn corpus_of_quarantine() {
    replay("quarantine", targets::apart::quarantine);
}
