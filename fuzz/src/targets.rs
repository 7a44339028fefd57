//! One function for each fuzz target. They panic when a promise is broken and know nothing of libFuzzer, so the test
//! binary of the library replays the corpora with them.

#[path = "apart.rs"]
pub mod apart;
#[path = "files.rs"]
pub mod files;
#[path = "forge.rs"]
mod forge;
#[path = "outside.rs"]
pub mod outside;
#[path = "second.rs"]
pub mod second;

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::LazyLock;

use sigchain::chainfile::{self, Form, MAGIC};
use sigchain::checkpoint::{self, Checkpoint};
use sigchain::codec::Reader;
use sigchain::digest::Digest;
use sigchain::fork::ForkProof;
use sigchain::frame::{Frame, Kind, Summary, Trailer, VERSION};
use sigchain::jsonl;
use sigchain::key::{PublicKey, SigningKey};
use sigchain::proof::Proof;
use sigchain::text;
use sigchain::verify::{Anchors, End, Report, Verifier};

use forge::{Piece, framed};

/// The smallest file: header, entry 0, unsigned trailer.
static SMALLEST: LazyLock<Smallest> = LazyLock::new(Smallest::new);
/// The checkpoint key of all vectors.
static CHECKPOINT_KEY: LazyLock<PublicKey> =
    LazyLock::new(|| SigningKey::from_seed(&[3; 32]).unwrap().public().clone());

/// A header and an entry 0 that are right, so that what stands behind them is looked at.
struct Smallest {
    chain: Vec<u8>,
    lines: Vec<u8>,
    root: Digest,
}

impl Smallest {
    fn new() -> Self {
        let pieces = forge::genesis_only();
        let frames: Vec<_> = pieces.iter().take(2).map(|piece| piece.parse().unwrap()).collect();
        let lines = frames.iter().map(jsonl::encode).collect::<String>().into_bytes();
        let chain = forge::assemble(Form::ChainFile, &pieces[..2]);
        Self { root: verify(&chain).root.unwrap(), chain, lines }
    }
}

fn verify(file: &[u8]) -> Report {
    Verifier::new().threads(1).run(Cursor::new(file)).unwrap()
}

/// A body of an entry frame, after two bytes of `left`: accepted, it encodes to the same bytes, in either form.
pub fn entry(data: &[u8]) {
    if let Some(([high, low], body)) = data.split_first_chunk::<2>() {
        one_body(Kind::Entry, u16::from_be_bytes([*high, *low]), body);
    }
}

fn one_body(kind: Kind, left: u16, body: &[u8]) {
    let Ok(frame) = Frame::parse(kind, left, body) else { return };
    if matches!(frame, Frame::Header { version, .. } if version != VERSION) {
        return;
    }
    assert_eq!(frame.body(), body, "{kind:?}: body differs");
    assert_eq!((frame.kind(), frame.left()), (kind, if kind == Kind::Entry { left } else { 0 }));
    let line = jsonl::encode(&frame);
    let again = jsonl::parse(line.strip_suffix('\n').unwrap().as_bytes());
    assert_eq!(again.as_ref(), Ok(&frame), "{kind:?}: line differs");
    if let Frame::Entry(written) = &frame {
        let _ = (written.part.commitment(), written.part.presence());
        let _ = written.entry(&Digest::ZERO).digest();
    }
}

/// A letter of a frame and its body, set behind an entry 0 that is right; or a whole file, as it is and with its CRCs
/// made right.
pub fn chain_file(data: &[u8]) {
    let kind = data.first().and_then(|letter| Kind::from_letter(*letter));
    if let Some(kind) = kind {
        one_body(kind, 0, &data[1..]);
        let mut file = SMALLEST.chain.clone();
        file.extend(framed(kind.letter(), 0, &data[1..]));
        whole_file(&file);
        let summary = Summary::Unsigned { size: 1, root: SMALLEST.root };
        let trailer = Frame::Trailer(Trailer::new(3, summary));
        file.extend(framed(b'T', 0, &trailer.body()));
        whole_file(&file);
    } else {
        whole_file(data);
        let mended = with_crcs(data);
        if mended != data {
            whole_file(&mended);
        }
    }
}

/// Whatever the bytes are, they are judged; and a file without fault is the only file of its frames, in either form.
fn whole_file(file: &[u8]) {
    let report = verify(file);
    if !report.counts.is_empty() {
        return;
    }
    let mut reader = chainfile::Reader::open(file).unwrap();
    let form = reader.form();
    let header = Frame::Header { version: VERSION, chain_id: reader.chain_id() };
    let mut pieces = vec![Piece::of(&header)];
    loop {
        let block = reader.block(3, 1 << 16).unwrap();
        if block.frames().is_empty() {
            break;
        }
        pieces.extend(block.frames().iter().map(|raw| Piece::of(&block.parse(raw).unwrap())));
    }
    assert!(forge::assemble(form, &pieces) == file, "a second file of the same frames");
    if report.end == End::Open {
        return;
    }
    let other = if form == Form::ChainFile { Form::JsonLines } else { Form::ChainFile };
    let converted = verify(&forge::assemble(other, &pieces));
    assert!(converted.counts.is_empty(), "{other:?}: {:?}", converted.faults);
    assert_eq!((converted.root, converted.entries), (report.root, report.entries));
}

/// The same bytes with each frame's CRCs made right, as far as the stated lengths lead.
fn with_crcs(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    let mut at = MAGIC.len();
    while let Some(head) = out.get(at..at + 16) {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let end = at.saturating_add(16).saturating_add(usize::try_from(length).unwrap());
        let Some(body) = out.get(at + 16..end) else { break };
        let crc = crc32fast::hash(body).to_be_bytes();
        out[at + 8..at + 12].copy_from_slice(&crc);
        let crc = crc32fast::hash(&out[at..at + 12]).to_be_bytes();
        out[at + 12..at + 16].copy_from_slice(&crc);
        at = end;
    }
    out
}

/// Lines, one by one; all of them as a file; all of them behind an entry 0 that is right; all of them as a fork proof.
pub fn json_lines(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(frame) = jsonl::parse(line) {
            let again = jsonl::encode(&frame);
            assert_eq!(again.strip_suffix('\n').unwrap().as_bytes(), line, "a second text");
            if !matches!(frame, Frame::Header { version, .. } if version != VERSION) {
                let body = frame.body();
                let left = frame.left();
                assert_eq!(Frame::parse(frame.kind(), left, &body).as_ref(), Ok(&frame));
            }
        }
    }
    whole_file(data);
    whole_file(&[&SMALLEST.lines, data].concat());
    if let Ok(proof) = ForkProof::parse(data) {
        let _ = proof.verify(&BTreeSet::new());
        assert_eq!(ForkProof::parse(proof.encode().as_bytes()).unwrap(), proof);
    }
}

/// A note.
pub fn checkpoint(data: &[u8]) {
    if let Ok(parsed) = Checkpoint::parse(data) {
        assert_eq!(parsed.encode().as_bytes(), data, "a second note");
        let _ = parsed.judge([&*CHECKPOINT_KEY].into_iter());
        let _ = checkpoint::vkey(parsed.origin(), &CHECKPOINT_KEY);
    }
}

/// A proof of inclusion.
pub fn proof(data: &[u8]) {
    if let Ok(parsed) = Proof::parse(data) {
        assert_eq!(parsed.encode().as_bytes(), data, "a second proof");
        if let Ok((entry, _)) = parsed.verify(std::slice::from_ref(&CHECKPOINT_KEY)) {
            assert!(entry.sequence() == parsed.index && parsed.index < parsed.checkpoint.size());
        }
        let _ = parsed.verify_leaf(&Digest::ZERO);
    }
}

/// A key file; or DER, which is put into one.
pub fn key_file(data: &[u8]) {
    let armoured = |der: &[u8]| {
        let base64 = text::base64(der);
        let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    };
    let pem = match data.first() {
        Some(0x30) => armoured(data),
        _ => String::from_utf8_lossy(data).into_owned(),
    };
    if let Ok(key) = SigningKey::from_pem(&pem) {
        let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.id(), key.id(), "another key");
    }
}

/// One item of CBOR: what our reader accepts, another library reads as the same bytes and writes as the same bytes.
pub fn cbor(data: &[u8]) {
    let mut reader = Reader::new(data);
    if reader.skip().is_ok() {
        let item = &data[..reader.at()];
        let mut rest = data;
        let value: ciborium::Value = ciborium::from_reader(&mut rest).unwrap();
        assert_eq!(data.len() - rest.len(), item.len(), "another length");
        let mut again = Vec::new();
        ciborium::into_writer(&value, &mut again).unwrap();
        assert_eq!(again, item, "a second encoding");
    }
    let reader = Reader::new(data);
    let _ = (reader.clone().int(), reader.clone().uint(), reader.clone().bytes());
    let _ = (reader.clone().text(), reader.clone().array(), reader.clone().map());
    let _ = (reader.clone().bool(), reader.clone().null(), reader.clone().skip_below(15));
}

/// A script of edits on a valid file. This library and the Python verifier judge the outcome alike; and so does this
/// library when it takes signatures on the word of a checkpoint that the chain's owner made.
pub fn both_verifiers(data: &[u8]) {
    let forged = forge::forge(data);
    agree(&forged.file, &forged.anchors);
}

fn agree(file: &[u8], anchors: &Anchors) {
    let verifier = Verifier::new().threads(1).anchored(anchors.clone());
    let report = verifier.run(Cursor::new(file)).unwrap();
    if let Err(difference) = second::compare(&report, file, anchors) {
        panic!("the two verifiers differ: {difference}");
    }
    let resumed = verifier.run_resuming(Cursor::new(file)).unwrap();
    assert_eq!(resumed.counts, report.counts, "on the word of a checkpoint");
    assert_eq!(resumed.verdict(), report.verdict(), "on the word of a checkpoint");
}
