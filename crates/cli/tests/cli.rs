//! The real binary, on files that `sigchain demo --keep` made and on hostile ones.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use sigchain::chainfile::Reader;
use sigchain::checkpoint::{Checkpoint, vkey};
use sigchain::digest::Digest;
use sigchain::frame::{Attachment, Frame, Summary, Target, Written};
use sigchain::key::SigningKey;
use sigchain::proof::Proof;
use sigchain::tree::{self, Nodes};

use crate::support::{command, expect, in_folder, json, program, run, text};

#[test]
fn intact_names_what_it_rests_on() {
    let held = ["verify", "run.sigchain", "--checkpoint", "held.checkpoint"];
    let said =
        expect(&held, 0, &["intact: 14 entries", "checkpoint of 10 entries; 4 entries lie beyond"]);
    for bare in ["valid", "verified", "OK"] {
        assert!(!said.contains(bare), "{said}");
    }
    for key in ["checkpoint-key.pem", "checkpoint-key.vkey"] {
        expect(&["verify", "run.jsonl", "--key", key], 0, &["vouches for the first 14 entries"]);
    }
    let value = json(&held, 0);
    assert_eq!(value["verdict"], "intact");
    assert_eq!(value["beyond"], 4);
    assert_eq!(value["anchors"][0]["vouched"], 10);
    assert_eq!(value["head"]["sequence"], 13);
    let chain_id = value["chain_id"].as_str().unwrap();
    expect(
        &["verify", "run.sigchain", "--chain-id", chain_id, "--threads", "1"],
        0,
        &["13 entries lie beyond"],
    );
}

#[test]
fn unvouched_is_3_unless_that_is_wanted() {
    let said = expect(&["verify", "run.jsonl"], 3, &["unvouched", "--chain-id", "prove nothing"]);
    assert!(!said.contains("intact"));
    expect(&["verify", "run.jsonl", "--allow-self-asserted"], 0, &["unvouched", "only because"]);
    let value = json(&["verify", "run.jsonl", "--allow-self-asserted"], 0);
    assert_eq!(value["verdict"], "unvouched");
    assert_eq!(value["form"], "json-lines");
    let unknown = [
        "verify",
        "run.jsonl",
        "--allow-self-asserted",
        "--key",
        "00112233445566778899aabbccddeeff",
    ];
    expect(&unknown, 3, &["missing: key 0011"]);
    assert_eq!(json(&unknown, 3)["anchors"][0]["missing"], true);
}

#[test]
fn each_attack_is_faulty() {
    let codes = [
        "FRAME_BODY",
        "SIGNATURE",
        "PAYLOAD_MISMATCH",
        "SEQUENCE",
        "SEQUENCE",
        "KEY_UNKNOWN",
        "SIGNATURE",
        "TRAILER_MISSING",
        "ANCHOR_ROOT",
        "ANCHOR_AHEAD",
    ];
    for (number, code) in (1..).zip(codes) {
        let name = format!("attack-{number}.sigchain");
        let args = ["verify", &name, "--checkpoint", "held.checkpoint"];
        expect(&args, 1, &["faulty:", code, " means: ", "next: keep the file as it is"]);
        let value = json(&args, 1);
        assert_eq!(value["faults"][0]["code"], code);
        assert!(value["counts"][code].as_u64().unwrap() >= 1);
    }
}

#[test]
fn wrong_calls_are_2() {
    for args in [
        &["verify"][..],
        &["verify", "run.sigchain", "--against", "/dev/null"],
        &["verify", "a", "b"],
        &["verify", "a", "--bogus"],
        &["verify", "a", "--chain-id", "xyz"],
        &["verify", "a", "--threads", "0"],
        &["verify", "run.sigchain", "--resume"],
        &["verify", "a", "--fork-proof", "x"],
        &["verify", "-", "--against", "x"],
        &["verify", "x", "--against", "-"],
        &["verify", "held.checkpoint", "--key", "00112233445566778899aabbccddeeff"],
        &["verify", "held.checkpoint", "--unique"],
        &["bogus"],
        &["--bogus"],
        &["demo", "x"],
        &["help", "bogus"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        let said = text(&output);
        assert!(said.starts_with("sigchain: ") && said.contains("  next: "), "{said}");
    }
}

#[test]
fn unreadable_is_4() {
    fs::write(in_folder("empty"), b"").unwrap();
    fs::write(in_folder("bad.note"), "x\n1\n\n\u{2014} x AAAA\n").unwrap();
    fs::write(in_folder("bad.tlog-proof"), "c2sp.org/tlog-proof@v1\nindex 1\n").unwrap();
    for args in [
        &["verify", "nope"][..],
        &["verify", "."],
        &["verify", "bad.note"],
        &["verify", "bad.tlog-proof"],
        &["verify", "run.jsonl", "--checkpoint", "run.jsonl"],
        &["verify", "run.jsonl", "--key", "run.jsonl"],
        &["verify", "run.jsonl", "--key", "nope"],
        &["verify", "run.jsonl", "--against", "nope"],
        &["verify", "run.jsonl", "--against", "."],
    ] {
        expect(args, 4, &["sigchain: ", "expected: ", "next: "]);
    }
    expect(&["verify", "empty"], 4, &["FILE_MAGIC"]);
    assert_eq!(json(&["verify", "checkpoint-key.pem"], 4)["verdict"], "unreadable");
}

#[test]
fn help_and_version() {
    for args in
        [&["help"][..], &["--help"], &["-h"], &[], &["help", "verify"], &["verify", "--help"]]
    {
        expect(args, 0, &["sigchain", "Exit codes"]);
    }
    expect(&["--version"], 0, &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let mut child = command()
        .args(["verify", "-", "--json", "--checkpoint"])
        .arg(in_folder("held.checkpoint"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let file = fs::read(in_folder("run.jsonl")).unwrap();
    child.stdin.take().unwrap().write_all(&file).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["entries"], 14);
}

#[test]
fn a_closed_pipe_does_not_change_the_verdict() {
    for (args, exit) in [
        (["verify", "run.jsonl"], 3),
        (["verify", "attack-2.sigchain"], 1),
        (["help", "verify"], 0),
    ] {
        let mut command = program();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.args(args).stdout(writer).stderr(Stdio::piped());
        let output = output.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(exit));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn resuming_says_what_it_took_on_word() {
    let args = ["verify", "run.sigchain", "--checkpoint", "held.checkpoint", "--resume"];
    expect(&args, 0, &["9 signatures not looked at"]);
    assert_eq!(json(&args, 0)["taken_on_word"], 9);
    let attacked = ["verify", "attack-2.sigchain", "--checkpoint", "held.checkpoint", "--resume"];
    expect(&attacked, 1, &["SIGNATURE", "all of it is looked at"]);
    assert_eq!(json(&attacked, 1)["taken_on_word"], 0);
    assert_eq!(json(&args, 0)["word"], "given");
}

/// [S-unique-1] [S-unique-3] Whether event ids were compared is said in either case, in words and in JSON.
#[test]
fn event_ids_are_compared_if_that_is_asked_for() {
    let vector = include_bytes!("../../../spec/vectors/event-id-twice");
    let at = vector.windows(2).position(|pair| pair == b"\n\n").unwrap();
    fs::write(in_folder("twice.sigchain"), &vector[at + 2..]).unwrap();
    let plain = ["verify", "twice.sigchain", "--allow-self-asserted"];
    expect(&plain, 0, &["event ids: not compared", "--unique"]);
    assert_eq!(json(&plain, 0)["unique"], false);
    let asked = ["verify", "twice.sigchain", "--allow-self-asserted", "--unique"];
    expect(&asked, 1, &["EVENT_ID (chain)", "1 entry has that of an entry before it"]);
    let value = json(&asked, 1);
    assert_eq!(value["unique"], true);
    assert_eq!(value["faults"][0]["code"], "EVENT_ID");
    assert_eq!(value["faults"][0]["sequence"], 4);
    let whole = ["verify", "run.sigchain", "--checkpoint", "held.checkpoint", "--unique"];
    expect(&whole, 0, &["intact: 14 entries", "no two of the entries that were judged"]);
    assert_eq!(json(&whole, 0)["unique"], true);
    assert_eq!(json(&["verify", "checkpoint-key.pem", "--unique"], 4)["unique"], false);
}

#[test]
fn a_fork_is_found_and_its_proof_written_once() {
    let args = [
        "verify",
        "run.sigchain",
        "--checkpoint",
        "held.checkpoint",
        "--against",
        "attack-9.sigchain",
    ];
    expect(&args, 1, &["forked: ", "sequence 8", "intact: 14 entries"]);
    let value = json(&args, 1);
    assert_eq!(value["verdict"], "faulty");
    assert_eq!(value["against"]["result"], "fork");
    let with_proof = [&args[..], &["--fork-proof", "fork.jsonl"]].concat();
    expect(&with_proof, 1, &["fork.jsonl"]);
    let proof = fs::read(in_folder("fork.jsonl")).unwrap();
    let proof = sigchain::fork::ForkProof::parse(&proof).unwrap();
    proof.verify(&std::collections::BTreeSet::new()).unwrap();
    expect(&with_proof, 2, &["exists already"]);
    assert!(!in_folder("fork.jsonl.part").exists());
    let same =
        ["verify", "run.sigchain", "--checkpoint", "held.checkpoint", "--against", "run.jsonl"];
    assert_eq!(json(&same, 0)["against"]["result"], "no-fork");
    let (other, path) = (tempfile::tempdir().unwrap(), in_folder("run.sigchain"));
    command().args(["demo", "--keep"]).env("TMPDIR", other.path()).output().unwrap();
    let foreign = fs::read_dir(other.path()).unwrap().next().unwrap().unwrap().path();
    let foreign = foreign.join("run.sigchain");
    let args = ["verify", path.to_str().unwrap(), "--against", foreign.to_str().unwrap()];
    assert_eq!(json(&args, 1)["against"]["result"], "other-chain");
}

#[test]
fn files_that_differ_without_a_fork_are_not_called_the_same() {
    let args = ["verify", "run.sigchain", "--checkpoint", "held.checkpoint", "--against"];
    for changed in ["attack-2.sigchain", "attack-5.sigchain"] {
        let value =
            json(&[&args[..], &[changed]].concat(), if changed.contains('2') { 3 } else { 0 });
        let result = if changed.contains('2') { "differ" } else { "no-fork" };
        assert_eq!(value["against"]["result"], result, "{changed}");
    }
    expect(
        &[&args[..], &["attack-2.sigchain"]].concat(),
        3,
        &["compared: entry 8 is not the same"],
    );
}

/// The entries of the demonstration, and the tree over them.
fn entries() -> (Digest, Vec<Written<'static>>, Nodes, Vec<Digest>, Checkpoint) {
    let file = fs::read(in_folder("run.sigchain")).unwrap();
    let mut reader = Reader::open(file.as_slice()).unwrap();
    let id = reader.chain_id();
    let block = reader.block(1000, 1 << 20).unwrap();
    let (mut written, mut nodes, mut leaves, mut last) =
        (Vec::new(), Nodes::new(), Vec::new(), None);
    for raw in block.frames() {
        match block.parse(raw).unwrap() {
            Frame::Entry(entry) => {
                let digest = entry.fields.digest(if entry.fields.sequence == 0 {
                    &Digest::ZERO
                } else {
                    &id
                });
                leaves.push(tree::leaf_hash(&digest, &entry.signature));
                nodes.push(*leaves.last().unwrap());
                written.push(entry.into_owned());
            }
            Frame::Trailer(trailer) => {
                if let Summary::Signed(checkpoint) = trailer.summary {
                    last = Some(checkpoint);
                }
            }
            _ => {}
        }
    }
    (id, written, nodes, leaves, last.unwrap())
}

fn proof(index: usize, edit: impl FnOnce(&mut Proof)) -> String {
    let (_, written, nodes, leaves, checkpoint) = entries();
    let leaf = |i: u64| leaves.get(usize::try_from(i).unwrap()).copied();
    let path = nodes.inclusion(u64::try_from(index).unwrap(), checkpoint.size(), &leaf).unwrap();
    let mut proof = Proof::new(written[index].clone(), path, checkpoint);
    edit(&mut proof);
    proof.encode()
}

fn edit_entry(proof: &mut Proof, from: &str, to: &str) {
    let line = String::from_utf8(proof.entry.take().unwrap()).unwrap();
    let edited = line.replace(from, to);
    assert_ne!(line, edited);
    proof.entry = Some(edited.into_bytes());
}

#[test]
fn proofs() {
    for index in [0, 8] {
        fs::write(in_folder("good.tlog-proof"), proof(index, |_| ())).unwrap();
        let keyed = ["verify", "good.tlog-proof", "--key", "checkpoint-key.pem"];
        expect(
            &keyed,
            0,
            &["intact: entry ", "anchored to its signature", "not checked: the entry's own"],
        );
        assert_eq!(json(&keyed, 0)["entry"], index);
        expect(&["verify", "good.tlog-proof"], 3, &["unvouched"]);
        expect(&["verify", "good.tlog-proof", "--allow-self-asserted"], 0, &["unvouched"]);
        // Of another size than the checkpoint in it.
        expect(&["verify", "good.tlog-proof", "--checkpoint", "held.checkpoint"], 3, &["missing"]);
    }
    let faults = [
        ("PAYLOAD_MISMATCH", proof(8, |proof| edit_entry(proof, "40.00", "400.00"))),
        ("CHECKPOINT_ROOT", proof(8, |proof| edit_entry(proof, "agent:planner", "agent:planter"))),
        ("SEQUENCE", proof(8, |proof| proof.index = 9)),
        ("CHECKPOINT_ROOT", proof(8, |proof| proof.path.swap(0, 1))),
        ("ENTRY_MALFORMED", proof(8, |proof| edit_entry(proof, "\"left\":0", "\"left\":00"))),
    ];
    for (code, text) in faults {
        fs::write(in_folder("bad.proof"), text).unwrap();
        for key in [&[][..], &["--key", "checkpoint-key.pem"]] {
            let args = [&["verify", "bad.proof"], key].concat();
            expect(&args, 1, &["faulty", code]);
            assert_eq!(json(&args, 1)["faults"][0]["code"], code);
        }
    }
    fs::write(in_folder("empty.proof"), proof(8, |proof| proof.entry = None)).unwrap();
    expect(&["verify", "empty.proof", "--key", "checkpoint-key.pem"], 3, &["holds no entry"]);
}

#[test]
fn lone_checkpoints() {
    expect(&["verify", "held.checkpoint"], 3, &["unvouched: checkpoint of 10 entries"]);
    for key in ["checkpoint-key.pem", "checkpoint-key.vkey"] {
        expect(
            &["verify", "held.checkpoint", "--key", key],
            0,
            &["intact: checkpoint of 10 entries"],
        );
    }
    json(&["verify", "held.checkpoint", "--checkpoint", "held.checkpoint"], 0);
    let other = SigningKey::from_seed(&[9; 32]).unwrap();
    let foreign = vkey("example.org/other", other.public());
    expect(&["verify", "held.checkpoint", "--key", &foreign], 3, &["missing"]);
    let note = fs::read_to_string(in_folder("held.checkpoint")).unwrap();
    fs::write(in_folder("raised.checkpoint"), note.replacen("\n10\n", "\n11\n", 1)).unwrap();
    let raised = ["verify", "raised.checkpoint", "--key", "checkpoint-key.pem"];
    expect(&raised, 1, &["CHECKPOINT_SIGNATURE"]);
    let zero = "0".repeat(64);
    expect(&["verify", "held.checkpoint", "--chain-id", &zero], 1, &["ANCHOR_CHAIN"]);
}

/// Nothing that acts on a terminal or turns text around.
#[track_caller]
fn is_harmless(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap();
    let is_bad = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.chars().any(is_bad), "{text:?}");
}

const HOSTILE: &str = "\u{9b}2J\u{202e}\u{2066}\u{7f}";

/// [S-show-1]
#[test]
fn hostile_text_reaches_no_terminal() {
    let key = SigningKey::from_seed(&[9; 32]).unwrap();
    let note = Checkpoint::sign(HOSTILE, 5, Digest::ZERO, &key).encode();
    fs::write(in_folder("hostile.note"), note).unwrap();
    let name = format!("\u{1b}[31m{HOSTILE}.sigchain");
    fs::copy(in_folder("attack-2.sigchain"), in_folder(&name)).unwrap();
    fs::write(in_folder("hostile.sigchain"), with_hostile_attachment()).unwrap();
    for args in [
        &["verify", &name][..],
        &["verify", "hostile.note"],
        &["verify", "run.sigchain", "--checkpoint", "hostile.note"],
        &["verify", "run.sigchain", "--checkpoint", &name],
        &["verify", "run.sigchain", "--against", "attack-9.sigchain", "--fork-proof", HOSTILE],
        &["verify", "hostile.sigchain"],
        &["verify", HOSTILE],
        &[HOSTILE],
        &["verify", "x", HOSTILE],
        &["verify", &format!("--{HOSTILE}")],
    ] {
        for json in [&[][..], &["--json"]] {
            let output = run(&[args, json].concat());
            assert!(matches!(output.status.code(), Some(1..=4)), "{args:?}");
            is_harmless(&output.stdout);
            is_harmless(&output.stderr);
        }
    }
}

/// A file whose attachment type is as odd as the format lets it be.
fn with_hostile_attachment() -> Vec<u8> {
    let file = fs::read(in_folder("run.sigchain")).unwrap();
    let attachment = Attachment::new("\\x1b[31m", Target::File, Vec::new()).unwrap();
    let (head, body) = sigchain::chainfile::encode(&Frame::Attachment(attachment)).unwrap();
    let mut reader = Reader::open(file.as_slice()).unwrap();
    let block = reader.block(1000, 1 << 20).unwrap();
    let trailer = usize::try_from(block.frames().last().unwrap().place).unwrap();
    [&file[..trailer], &head, &body, &file[trailer..]].concat()
}

#[test]
fn the_demonstration_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let output = command().arg("demo").env("TMPDIR", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let said = text(&output);
    assert_eq!(said.matches("caught: ").count(), 10);
    assert!(
        said.contains(
            " 8  3 actions done; in the midst of tool.call {\"capture\":\"gate\",\"tool\":\"payments.refund\""
        ),
        "{said}"
    );
    assert!(said.contains("13  5 actions done; nothing open"), "{said}");
    assert!(said.lines().count() <= 75, "{} lines", said.lines().count());
    is_harmless(said.as_bytes());
    let nowhere = command().arg("demo").env("TMPDIR", Path::new("/nonexistent")).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(4));
}
