//! Files of every release, which each later one opens, reads, verifies, exports and appends to with the same answers; and files of a newer
//! format, which this one refuses by name.
//!
//! `tests/fixtures/v0.1` was made once, by `cargo test -p sigchain --test sigchain -- --ignored make_fixtures`, and is not made anew: a
//! release adds a folder of its own. `answers` there says what a ledger, files and proofs of that release say. `newer` has the same files
//! with the number of a format raised.

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use sigchain::chainfile::Form;
use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::directory::Directory;
use sigchain::event::Event;
use sigchain::frame::GapReason;
use sigchain::keyfile::{self, Passphrase};
use sigchain::payload::Part;
use sigchain::proof::Proof;
use sigchain::store::{Frames, Store as _};
use sigchain::verify::{Anchors, Verdict, Verifier};

use crate::flips::ram::Ram;
use crate::flips::subject::{Place, SOON, Subject};
use crate::support::{Build, Draft, checkpoint_key, second_entry_key};

const RELEASES: [&str; 1] = ["v0.1"];
const PASSPHRASE: &str = "fixture of sigchain";
const BLOCK: usize = 4096;
const GUARD: usize = 16;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The files below a folder, in memory.
fn load(path: &Path) -> Ram {
    fn add(ram: &Ram, path: &Path, below: &str) {
        for found in fs::read_dir(path).unwrap() {
            let path = found.unwrap().path();
            let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                add(ram, &path, &format!("{name}/"));
            } else {
                ram.set(&name, fs::read(&path).unwrap());
            }
        }
    }
    let ram = Ram::default();
    add(&ram, path, "");
    ram
}

fn place(release: &Path) -> Place {
    Place { ledger: load(&release.join("ledger")), home: load(&release.join("home")) }
}

/// What a ledger says, and files and proofs of it.
fn answers(release: &Path) -> String {
    let place = place(release);
    let mut said = String::new();
    let mut say = |what: &str, value: String| writeln!(said, "{what}: {value}").unwrap();
    let (report, _) = place.verify().unwrap();
    say("ledger", format!("{} of {} entries", report.verdict().as_str(), report.entries));
    say("chain", report.chain_id.unwrap().to_string());
    say("head", report.head.unwrap().digest.to_string());
    say("root", report.root.unwrap().to_string());
    let view = place.view().unwrap();
    let (mut bytes, mut frames) = (Vec::new(), Frames::new());
    for n in 0..view.entries() {
        view.read(n, 1, &mut frames).unwrap();
        bytes.extend_from_slice(frames.iter().next().unwrap().body);
    }
    say("entries", Digest::of(&[&bytes]).to_string());
    say("epoch", view.last_seal().unwrap().unwrap().state.epoch.to_string());
    let copy = place.copy();
    let ledger = copy.open(9000).unwrap();
    say("keyring", ledger.keyring().digest().to_string());
    for (what, form) in [("chain file", Form::ChainFile), ("lines", Form::JsonLines)] {
        let file = ledger.export(Vec::new(), form).unwrap();
        say(&format!("export, {what}"), Digest::of(&[&file]).to_string());
    }
    let proof = Proof::parse(&fs::read(release.join("entry.tlog-proof")).unwrap()).unwrap();
    proof.verify(&[checkpoint_key().public().clone()]).unwrap();
    say("proof", format!("entry {} of {}", proof.index, proof.checkpoint.size()));
    assert_eq!(ledger.prove(proof.index).unwrap().path, proof.path);
    let checkpoint = Checkpoint::parse(&fs::read(release.join("checkpoint")).unwrap()).unwrap();
    say("checkpoint", format!("{} entries, {}", checkpoint.size(), checkpoint.root()));
    for name in ["chain.sigchain", "chain.jsonl"] {
        let file = fs::read(release.join(name)).unwrap();
        let id = Verifier::new().run(Cursor::new(&file)).unwrap().chain_id.unwrap();
        let anchors = Anchors::new().chain_id(id);
        let report = Verifier::new().anchored(anchors).run(Cursor::new(&file)).unwrap();
        let (gaps, payloads) = (report.gaps, report.payloads);
        let gone = (gaps.archived, gaps.elided, payloads.withheld, payloads.present);
        let (verdict, root) = (report.verdict().as_str(), report.root.unwrap());
        say(name, format!("{verdict}, {} entries, {gone:?}, {root}", report.entries));
    }
    said
}

/// [F-version-1]
#[test]
fn what_a_release_wrote_says_the_same_for_ever() {
    for release in RELEASES {
        let path = fixtures().join(release);
        let pinned = fs::read_to_string(path.join("answers")).unwrap();
        assert_eq!(answers(&path), pinned, "{release}");
    }
}

/// [F-version-1]
#[test]
fn what_a_release_wrote_is_gone_on_with() {
    for release in RELEASES {
        let place = place(&fixtures().join(release));
        let before = place.view().unwrap().entries();
        let ledger = place.open(9000).unwrap();
        let receipt = ledger.append(Event::new("agent:later", "a.b").unwrap()).unwrap();
        // Behind an epoch of its own, unless it is the very start of the machine that made them.
        assert!(receipt.sequence == before || receipt.sequence == before + 1, "{release}");
        ledger.close(SOON).unwrap();
        let (report, _) = place.verify().unwrap();
        let entries = receipt.sequence + 1;
        assert_eq!((report.verdict(), report.entries), (Verdict::Intact, entries), "{release}");
        let file = ledger.export(Vec::new(), Form::ChainFile).unwrap();
        let held = fs::read(fixtures().join(release).join("checkpoint")).unwrap();
        let anchors = Anchors::new().checkpoint(Checkpoint::parse(&held).unwrap());
        let report = Verifier::new().anchored(anchors).run(Cursor::new(file)).unwrap();
        assert_eq!(report.verdict(), Verdict::Intact, "{release}");
    }
}

/// [F-version-1]
#[test]
fn a_key_file_of_a_release_is_read() {
    for release in RELEASES {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        keyfile::write(&path, &second_entry_key(), None).unwrap();
        // Whatever git gave it for a mode, a key file is closed to others.
        fs::write(&path, fs::read(fixtures().join(release).join("key.pem")).unwrap()).unwrap();
        let key = keyfile::read(&path, Passphrase::Given(PASSPHRASE)).unwrap();
        assert_eq!(key.id(), second_entry_key().id(), "{release}");
    }
}

/// With one file of a newer format in the place of its own.
fn with_newer(path: &str) -> Place {
    let place = place(&fixtures().join("v0.1"));
    let newer = fs::read(fixtures().join("newer").join(path.replace('/', "-"))).unwrap();
    assert_ne!(**place.ledger.get(path).unwrap(), newer);
    place.ledger.set(path, newer);
    place
}

/// [F-version-1] Nothing is written over that says what is not understood.
#[test]
fn a_newer_format_is_refused_by_name() {
    for (path, words) in
        [("segment-0000000000", "newer sigchain"), ("durable", "expected format 1, found 2")]
    {
        let place = with_newer(path);
        let before = place.ledger.files();
        let error = Directory::view(place.ledger.open()).unwrap_err().to_string();
        assert!(error.contains(path) && error.contains(words), "{error}");
        let error = place.open(9000).unwrap_err().to_string();
        assert!(error.contains(path) && error.contains(words), "{error}");
        assert_eq!(place.ledger.files(), before, "{path}");
    }
    for name in ["chain.sigchain", "chain.jsonl"] {
        let file = fs::read(fixtures().join("newer").join(name)).unwrap();
        let report = Verifier::new().run(Cursor::new(file)).unwrap();
        assert_eq!(report.verdict(), Verdict::Unreadable, "{name}");
        assert_eq!(report.faults[0].found, "version 2", "{name}");
    }
}

/// [F-version-1] [F-index-1]
#[test]
fn a_newer_index_is_made_anew() {
    let release = fixtures().join("v0.1");
    let wanted = place(&release).ledger.get("index/0000000000.index").unwrap();
    let place = with_newer("index/0000000000.index");
    let (view, right) = (place.view().unwrap(), self::place(&release).view().unwrap());
    let (mut one, mut other) = (Frames::new(), Frames::new());
    for n in 0..right.entries() {
        view.read(n, 1, &mut one).unwrap();
        right.read(n, 1, &mut other).unwrap();
        let body = |frames: &Frames| frames.iter().next().unwrap().body.to_vec();
        assert_eq!(body(&one), body(&other), "{n}");
    }
    let ledger = place.open(9000).unwrap();
    let begun = std::time::Instant::now();
    while *place.ledger.get("index/0000000000.index").unwrap() != *wanted {
        assert!(begun.elapsed() < SOON, "it stays as it is");
        std::thread::sleep(std::time::Duration::from_millis(5));
        ledger.append(Event::new("agent:later", "a.b").unwrap()).unwrap();
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Gives a frame's CRCs the values that its bytes want.
fn mend(frame: &mut [u8]) {
    let body = crc32fast::hash(&frame[16..]).to_be_bytes();
    frame[8..12].copy_from_slice(&body);
    let head = crc32fast::hash(&frame[..12]).to_be_bytes();
    frame[12..16].copy_from_slice(&head);
}

/// The first frame behind the magic, with the number of its format raised.
fn raised(mut file: Vec<u8>) -> Vec<u8> {
    let length = u32::from_be_bytes(file[12..16].try_into().unwrap());
    let end = 24 + usize::try_from(length).unwrap();
    assert_eq!(file[25], 1, "an array, and the number of the format");
    file[25] = 2;
    mend(&mut file[8..end]);
    file
}

#[test]
#[ignore = "writes tests/fixtures: made once for each release"]
fn make_fixtures() {
    let (release, newer) = (fixtures().join("v0.1"), fixtures().join("newer"));
    let place = Subject::new(60, 9000).place;
    for (folder, ram) in [("ledger", &place.ledger), ("home", &place.home)] {
        for (path, bytes) in ram.files() {
            write(&release.join(folder).join(path), &bytes);
        }
    }
    let ledger = place.copy().open(9000).unwrap();
    write(&release.join("checkpoint"), ledger.checkpoint().unwrap().encode().as_bytes());
    let proof = ledger.prove(7).unwrap();
    write(&release.join("entry.tlog-proof"), proof.encode().as_bytes());
    let mut build = Build::new();
    build.events(12);
    build.push(Draft::new(Event::new("agent:planner", "tool.call").unwrap()).part(|part| {
        *part = Part::Withheld;
    }));
    build.checkpoint().events(3).seal();
    build.elide(3, 4, GapReason::Elided).trailer();
    for (name, form) in [("chain.sigchain", Form::ChainFile), ("chain.jsonl", Form::JsonLines)] {
        write(&release.join(name), &build.file(form));
    }
    drop(fs::remove_file(release.join("key.pem")));
    keyfile::write(&release.join("key.pem"), &second_entry_key(), Some(PASSPHRASE)).unwrap();
    write(&release.join("answers"), answers(&release).as_bytes());

    let of = |path: &str| place.ledger.get(path).unwrap().to_vec();
    write(&newer.join("segment-0000000000"), &raised(of("segment-0000000000")));
    write(&newer.join("chain.sigchain"), &raised(build.file(Form::ChainFile)));
    let lines = String::from_utf8(build.file(Form::JsonLines)).unwrap();
    let lines = lines.replacen("\"version\":1", "\"version\":2", 1);
    write(&newer.join("chain.jsonl"), lines.as_bytes());
    let mut record = of("durable");
    let length = usize::from(u16::from_be_bytes([record[0], record[1]])) + 2;
    assert_eq!(record[3], 1);
    record[3] = 2;
    let guard = blake3::hash(&record[..length]);
    record[length..length + GUARD].copy_from_slice(&guard.as_bytes()[..GUARD]);
    write(&newer.join("durable"), &record);
    let mut index = of("index/0000000000.index");
    assert_eq!(&index[..8], b"sigoff-1");
    index[7] = b'2';
    let mut key = *b"sigchain index: the first block.";
    let first = *blake3::hash(&index[..BLOCK - GUARD]).as_bytes();
    for (number, block) in (0_u64..).zip(index.chunks_mut(BLOCK)) {
        let (content, guard) = block.split_at_mut(BLOCK - GUARD);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(content).update(&number.to_be_bytes()).finalize_xof().fill(guard);
        key = first;
    }
    write(&newer.join("index-0000000000.index"), &index);
}
