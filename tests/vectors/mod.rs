//! The vectors in `spec/vectors/`: made here from fixed keys, kept in the repository, and judged by both verifiers.
//!
//! One scenario per file: a header of `key: value` lines, an empty line, then the bytes. `SIGCHAIN_VECTORS=write` writes them
//! anew; without it the test fails if what is made differs from what is kept.

mod accepted;
mod keys;
mod refused;
mod strict;
mod unique;

pub use accepted::every_kind;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::fault::Code;
use sigchain::key::KeyId;
use sigchain::text;
use sigchain::verify::{Anchors, Report, Verifier};

use crate::support::{anchored_to, found};

/// One scenario.
pub struct Vector {
    pub name: &'static str,
    pub comment: &'static str,
    pub expect: Expect,
    pub anchors: Anchors,
    /// Whether all event ids are to be compared.
    pub unique: bool,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Intact,
    Unvouched,
    /// Exactly this fault, about this entry.
    Fault(Code, Option<u64>),
}

impl Vector {
    pub fn intact(
        name: &'static str,
        comment: &'static str,
        chain_id: Digest,
        bytes: Vec<u8>,
    ) -> Self {
        let anchors = anchored_to(chain_id);
        Self { name, comment, expect: Expect::Intact, anchors, unique: false, bytes }
    }

    /// A refused file; no anchor is needed to see it.
    pub fn refused(
        name: &'static str,
        comment: &'static str,
        fault: (Code, Option<u64>),
        bytes: Vec<u8>,
    ) -> Self {
        let expect = Expect::Fault(fault.0, fault.1);
        Self { name, comment, expect, anchors: Anchors::default(), unique: false, bytes }
    }

    pub fn unvouched(self) -> Self {
        Self { expect: Expect::Unvouched, ..self }
    }

    pub fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// The report of the library.
    pub fn report(&self) -> Report {
        let verifier = Verifier::new().anchored(self.anchors.clone()).unique(self.unique);
        verifier.run(self.bytes.as_slice()).unwrap()
    }

    pub fn chain_id(mut self, id: Digest) -> Self {
        self.anchors.chain_id = Some(id);
        self
    }

    pub fn key(mut self, id: KeyId) -> Self {
        self.anchors.keys.push(id);
        self
    }

    pub fn held(mut self, checkpoint: Checkpoint) -> Self {
        self.anchors.checkpoints.push(checkpoint);
        self
    }

    fn encode(&self) -> Vec<u8> {
        let mut head = format!("comment: {}\n", self.comment);
        match self.expect {
            Expect::Intact => head += "expect: intact\n",
            Expect::Unvouched => head += "expect: unvouched\n",
            Expect::Fault(code, sequence) => {
                head += &format!("expect: {code}\n");
                if let Some(sequence) = sequence {
                    head += &format!("sequence: {sequence}\n");
                }
            }
        }
        if let Some(id) = self.anchors.chain_id {
            head += &format!("chain-id: {id}\n");
        }
        for id in &self.anchors.keys {
            head += &format!("key: {id}\n");
        }
        for held in &self.anchors.checkpoints {
            head += &format!("checkpoint: {}\n", text::base64url(held.encode().as_bytes()));
        }
        if self.unique {
            head += "unique: yes\n";
        }
        [head.as_bytes(), b"\n", &self.bytes].concat()
    }
}

pub fn all() -> Vec<Vector> {
    let mut vectors = accepted::all();
    vectors.extend(refused::all());
    vectors.extend(keys::all());
    vectors.extend(strict::all());
    vectors.extend(unique::all());
    vectors
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("spec/vectors")
}

#[test]
fn vectors_are_what_is_kept() {
    let vectors = all();
    let names: BTreeSet<_> = vectors.iter().map(|vector| vector.name.to_owned()).collect();
    assert_eq!(names.len(), vectors.len(), "two vectors of one name");
    if std::env::var_os("SIGCHAIN_VECTORS").is_some_and(|value| value == "write") {
        for vector in &vectors {
            fs::write(folder().join(vector.name), vector.encode()).unwrap();
        }
    }
    for vector in &vectors {
        let kept = fs::read(folder().join(vector.name)).unwrap_or_default();
        assert!(kept == vector.encode(), "{}: made and kept differ", vector.name);
    }
    let kept: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    assert_eq!(kept, names, "files without a scenario, or the reverse");
}

#[test]
fn each_vector_gets_its_verdict() {
    let mut wrong = Vec::new();
    for vector in all() {
        let report = vector.report();
        let wanted = match vector.expect {
            Expect::Intact | Expect::Unvouched => Vec::new(),
            Expect::Fault(code, sequence) => vec![(code, sequence)],
        };
        let exit = match vector.expect {
            Expect::Intact => 0,
            Expect::Unvouched => 3,
            Expect::Fault(code, _) if code.is_unreadable() => 4,
            Expect::Fault(..) => 1,
        };
        let got = found(&report);
        if got != wanted || report.verdict().exit_code() != exit {
            wrong.push(format!(
                "{}: wanted {wanted:?} {exit}, got {got:?} {} {:?}",
                vector.name,
                report.verdict().exit_code(),
                report.faults.first().map(|f| format!("{} / {}", f.expected, f.found))
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// [S-verify-1] Each code has a phase, and each is what some vector must give.
#[test]
fn every_code_has_a_vector() {
    let mut seen: BTreeMap<Code, u32> = BTreeMap::new();
    for vector in all() {
        if let Expect::Fault(code, _) = vector.expect {
            *seen.entry(code).or_default() += 1;
        }
    }
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains_key(code)).collect();
    assert!(missing.is_empty(), "no vector for {missing:?}");
}

/// The table of codes in the spec is the table in the code.
#[test]
fn codes_are_those_of_the_spec() {
    let spec = include_str!("../../spec/sigchain.md");
    let table = spec.split("### 10.5 Codes").nth(1).unwrap().split("## 11").next().unwrap();
    let mut listed = BTreeMap::new();
    for cells in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        for pair in [[1, 2], [4, 5]] {
            let code = cells[pair[0]].trim_matches('`');
            if !code.is_empty() {
                listed.insert(code.to_owned(), cells[pair[1]].to_owned());
            }
        }
    }
    let known: BTreeMap<_, _> =
        Code::ALL.iter().map(|code| (code.to_string(), code.phase().to_string())).collect();
    assert_eq!(listed, known);
}

/// Which vectors show that a clause holds. Clauses that no file can show are cited by the tests that do.
const CLAUSES: &[(&str, &[&str])] = &[
    ("[S-text-1]", &["cbor-not-utf8", "lines-surrogate"]),
    ("[S-text-2]", &["field-actor-control", "field-actor-c1", "payload-field-name"]),
    (
        "[S-entry-1]",
        &["all-fields", "field-actor-too-long", "field-version-too-large", "field-trace-zero"],
    ),
    ("[S-entry-2]", &["field-event-id-version", "field-event-id-short"]),
    ("[S-entry-3]", &["field-event-type-upper", "field-event-type-dot"]),
    ("[S-entry-4]", &["all-fields", "field-valid-too-late", "field-valid-too-early"]),
    ("[S-sig-4]", &["signature", "signature-stripped"]),
    ("[S-payload-1]", &["payload-short-salt", "payload-media-type"]),
    ("[S-payload-2]", &["payload-fields", "payload-fields-none"]),
    ("[S-payload-3]", &["payload-fields-unsorted", "payload-fields-twice"]),
    ("[S-payload-4]", &["payload-mismatch", "payload-mismatch-salt"]),
    (
        "[S-payload-5]",
        &["payload-erased", "payload-erased-by-itself", "erasure-unauthorised", "erasure-never"],
    ),
    ("[S-payload-6]", &["payload-encrypted"]),
    ("[S-key-1]", &["key-small-order", "key-mixed-order", "key-non-canonical"]),
    ("[S-key-2]", &["key-possession-of-other-chain", "key-possession-of-other-role"]),
    ("[S-key-3]", &["key-duplicate", "genesis-key-duplicate"]),
    ("[S-key-4]", &["reserved-algorithm", "reserved-role"]),
    ("[S-key-5]", &["key-role", "checkpoint-by-entry-key", "seal-signer", "keys-several"]),
    ("[S-key-7]", &["key-compromised", "key-compromised-checkpoint", "key-compromised-in-time"]),
    ("[S-key-8]", &["every-kind", "seal-keyring"]),
    ("[S-approve-1]", &["approval-false", "approval-one-of-two", "approval-by-other"]),
    ("[S-approve-2]", &["approval-replayed"]),
    (
        "[S-reserved-1]",
        &["reserved-withheld", "reserved-media-type", "reserved-too-long", "reserved-array"],
    ),
    ("[S-reserved-2]", &["reserved-unknown-type", "reserved-unknown-key", "open-families"]),
    ("[S-genesis-1]", &["genesis-not", "genesis-again", "genesis-key-role", "genesis-missing"]),
    ("[S-genesis-2]", &["genesis-unapproved", "genesis-approved-needlessly"]),
    (
        "[S-abandon-1]",
        &["abandoned-signer", "abandoned-torn", "abandoned-unsorted", "abandoned-later"],
    ),
    ("[S-resolve-1]", &["gap-lost-resolved", "gap-lost-resolved-otherwise"]),
    ("[S-enroll-1]", &["keys-several", "approval-missing", "approval-by-checkpoint-key"]),
    ("[S-rotate-1]", &["key-rotated", "key-lost", "key-state-role", "key-state-signer"]),
    ("[S-revoke-1]", &["key-revoked", "key-state-unknown"]),
    ("[S-revoke-2]", &["key-compromised-in-time", "key-trusted"]),
    ("[S-operators-1]", &["key-operators"]),
    ("[S-erase-1]", &["erasure-of-itself", "erasure-touching"]),
    ("[S-stamp-1]", &["stamp"]),
    ("[S-unique-1]", &["event-id-twice", "event-id-twice-unique", "event-id-of-stray-unique"]),
    ("[S-succession-1]", &["succession"]),
    ("[S-tree-1]", &["genesis-only", "checkpoint-root"]),
    ("[S-tree-2]", &["gap-range", "gap-selection", "gap-hashes"]),
    ("[S-checkpoint-1]", &["note-size-zero", "note-extension"]),
    ("[S-checkpoint-2]", &["checkpoint-origin"]),
    (
        "[S-checkpoint-3]",
        &["note-root-padding", "note-root-spare-bits", "note-carriage-return", "note-unsigned"],
    ),
    ("[S-checkpoint-4]", &["checkpoint-signature", "checkpoint-by-entry-key"]),
    ("[S-seal-1]", &["seal-signature", "seal-signer"]),
    ("[S-seal-2]", &["seal-head", "seal-stamp", "seal-frontier", "seal-keyring"]),
    ("[S-file-1]", &["magic", "frame-order", "trailing-frame", "trailing-bytes"]),
    ("[S-file-2]", &["version", "chain-id"]),
    ("[S-file-3]", &["batch-whole", "batch-cut", "batch-short", "gap-in-batch"]),
    ("[S-gap-1]", &["gap-stray", "gap-genesis", "gap-empty", "gap-reason"]),
    ("[S-gap-2]", &["gap-lost-unresolved"]),
    ("[S-gap-3]", &["gap-unsealed", "gap-range"]),
    ("[S-attach-1]", &["attachment-cosignature", "attachment-of-file", "attachment-target"]),
    ("[S-json-2]", &["lines-number-string", "lines-bool", "all-fields-lines"]),
    ("[S-json-6]", &["open-lines", "batch-cut-lines"]),
    ("[S-anchor-2]", &["anchor-checkpoint", "anchor-key"]),
    (
        "[S-anchor-3]",
        &["self-asserted", "anchor-key-missing", "anchor-in-gap", "anchor-root", "version"],
    ),
];

#[test]
fn clauses_name_vectors_that_exist() {
    let names: BTreeSet<_> = all().into_iter().map(|vector| vector.name).collect();
    for (clause, shown_by) in CLAUSES {
        for name in *shown_by {
            assert!(names.contains(name), "{clause}: no vector {name}");
        }
    }
}

/// The JSON Schema is for tools, and must know the same keys as the lines have.
#[test]
fn the_schema_knows_every_line() {
    use serde_json::Value;
    use sigchain::chainfile::Form;

    let schema: Value =
        serde_json::from_str(include_str!("../../spec/sigchain-jsonl.schema.json")).unwrap();
    let text = String::from_utf8(every_kind().file(Form::JsonLines)).unwrap();
    let mut known: Vec<BTreeSet<String>> = Vec::new();
    collect(&schema, &mut known);
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let keys: BTreeSet<String> = line.as_object().unwrap().keys().cloned().collect();
        assert!(known.contains(&keys), "no schema with exactly {keys:?}");
    }
}

/// The sets of required keys of all objects in a schema that allow no others.
fn collect(schema: &serde_json::Value, known: &mut Vec<BTreeSet<String>>) {
    if let Some(object) = schema.as_object() {
        let keys = |name: &str| object.get(name).cloned().unwrap_or_default();
        if keys("additionalProperties") == false {
            let required = keys("required");
            let required = required.as_array().into_iter().flatten();
            known.push(required.map(|key| key.as_str().unwrap().to_owned()).collect());
        }
        object.values().for_each(|value| collect(value, known));
    }
    schema.as_array().into_iter().flatten().for_each(|value| collect(value, known));
}

/// What the chain phase refuses of a whole file, `admit` refuses of a writer: no writer can make these files with it.
#[test]
fn admit_refuses_what_verification_refuses() {
    use Code::{
        Abandoned, Approval, Genesis, KeyDuplicate, KeyEnded, KeyInvalid, KeyPossession, KeyRole,
        KeyState, KeyTrusted, KeyUnknown, Link, ReservedPayload, Sequence, Stamp,
    };
    let by_admit = [
        Abandoned,
        Approval,
        Genesis,
        KeyDuplicate,
        KeyEnded,
        KeyInvalid,
        KeyPossession,
        KeyRole,
        KeyState,
        KeyTrusted,
        KeyUnknown,
        Link,
        ReservedPayload,
        Sequence,
        Stamp,
    ];
    let mut judged = 0;
    for vector in all() {
        let Expect::Fault(code, _) = vector.expect else { continue };
        let is_whole = by_admit.contains(&code) && crate::support::is_framed(&vector.bytes);
        if let Some(is_written) = is_whole.then(|| write_again(&vector.bytes)).flatten() {
            assert!(!is_written, "{} could be written", vector.name);
            judged += 1;
        }
    }
    assert!(judged > 50, "{judged}");
    for vector in all().iter().filter(|v| v.expect == Expect::Intact && v.bytes[0] == 0x89) {
        assert_ne!(write_again(&vector.bytes), Some(false), "{}", vector.name);
    }
}

/// Whether a writer could have admitted all entries of a file; `None` of a file with gaps or without entries.
fn write_again(bytes: &[u8]) -> Option<bool> {
    use sigchain::chain::{Candidate, Chain, Link};
    use sigchain::chainfile::Reader;
    use sigchain::frame::Frame;
    use sigchain::limit;
    use sigchain::reserved::Reserved;
    use sigchain::tree::{Frontier, leaf_hash};

    let mut reader = Reader::open(bytes).ok()?;
    let chain_id = reader.chain_id();
    let block = reader.block(usize::MAX, usize::MAX).unwrap();
    let mut tree = Frontier::new();
    let mut chain: Option<Chain> = None;
    for raw in block.frames() {
        let written = match block.parse(raw) {
            Ok(Frame::Entry(written)) => written,
            Ok(Frame::Gap(_)) => return None,
            _ => continue,
        };
        let fields = &written.fields;
        let entry = written.entry(&chain_id);
        let link = Link::new(fields, entry.digest());
        let reserved = limit::is_reserved(&fields.event_type)
            .then(|| Reserved::parse(&fields.event_type, &written.part, fields.sequence).ok())
            .flatten();
        let is_admitted = match &mut chain {
            None => {
                chain = reserved.and_then(|reserved| Chain::begin(&link, &reserved).ok());
                chain.is_some()
            }
            Some(chain) => {
                let root = Some(tree.root());
                chain.admit(&Candidate { link, reserved: reserved.as_ref(), root }).is_ok()
            }
        };
        if !is_admitted {
            return Some(false);
        }
        tree.push(leaf_hash(&entry.digest(), entry.signature()));
    }
    chain.map(|_| true)
}
