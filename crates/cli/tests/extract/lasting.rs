//! What was signed and proved early holds for the life of a chain: through archives, their return, a quarantine that was reconciled and
//! one that ended the chain. Both verifiers say so, of whole files, of proofs of entries and of proofs that one tree begins with another.

use std::fs;
use std::ops::ControlFlow;

use serde_json::{Value, json};
use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::tree::{Nodes, verify_consistency};
use sigchain::verify::{Seen, Verifier};

use crate::extract::prove::proved_elsewhere;
use crate::extract::{judged_elsewhere, other, public_key};
use crate::ledger::support::{Place, empty, text};

/// Events, in segments of a few.
fn record(place: &Place, count: usize) {
    let line = |n| json!({ "type": "test.call", "payload": { "n": n, "text": "y".repeat(400) } });
    let lines: Vec<String> = (0..count).map(|n| format!("{}\n", line(n))).collect();
    fs::write(place.path("lines"), lines.concat()).unwrap();
    let words = ["append", "led", "--lines", "--actor", "agent:a", "--segment-bytes", "4000"];
    let mut command = place.command(&words);
    let output = command.stdin(fs::File::open(place.path("lines")).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// What was signed and proved so far, by the names of the files.
#[derive(Default)]
struct Kept {
    notes: Vec<String>,
    proofs: Vec<String>,
    /// Files, with what they have to hold.
    files: Vec<(String, Vec<String>, Option<String>)>,
}

impl Kept {
    /// All of it holds for this file, and for the ledger; and something more is signed and proved.
    fn stage(&mut self, place: &Place, name: &str) {
        let (note, proof) = (format!("{name}.note"), format!("{name}.tlog-proof"));
        place.expect(&["checkpoint", "led", "-o", &note], 0, &[]);
        // The last entry is never one that has left.
        place.expect(&["prove", "led", "head", "-o", &proof], 0, &[]);
        self.notes.push(note);
        self.proofs.push(proof);
        let file = format!("{name}.sigchain");
        place.expect(&["export", "led", "--sign", "-o", &file], 0, &[]);
        for what in ["led", &file] {
            self.holds(place, what);
        }
    }

    /// Whether a file holds what was kept.
    fn holds(&mut self, place: &Place, what: &str) {
        let mut words = vec!["verify", what];
        self.notes.iter().for_each(|note| words.extend(["--checkpoint", note]));
        place.expect(&words, 0, &["intact: "]);
        if what != "led" {
            self.files.push((what.to_owned(), self.notes.clone(), None));
        }
    }

    /// The same files, in the eyes of the other one.
    fn hold_elsewhere(&self, place: &Place) {
        for (judged, (file, ..)) in judged_elsewhere(place, &self.files).iter().zip(&self.files) {
            assert_eq!(judged["exit"], 0, "{file}: {judged}");
        }
    }

    /// And what was proved of an entry, by itself.
    fn are_proofs(&self, place: &Place) {
        for proof in self.proofs.iter().step_by(2) {
            place.expect(&["verify", proof, "--key", "checkpoint.pem"], 0, &["intact: "]);
            let said = proved_elsewhere(place, proof);
            assert!(said.starts_with("True None "), "{proof}: {said}");
        }
    }

    /// That each tree is the beginning of the later ones, by proofs of the leaves of a file.
    fn is_one_tree(&self, place: &Place, file: &str) {
        let mut leaves: Vec<Digest> = Vec::new();
        let source = fs::File::open(place.path(file)).unwrap();
        let read = Verifier::new().replay(source, &mut |seen| {
            if let Seen::Entry(shown) = seen {
                leaves.push(shown.leaf);
            }
            ControlFlow::Continue(())
        });
        assert_eq!(read.unwrap().unwrap().faults, Vec::new());
        let mut tree = Nodes::new();
        for leaf in &leaves {
            tree.push(*leaf);
        }
        let leaf = |at: u64| leaves.get(usize::try_from(at).unwrap()).copied();
        let read = |note: &String| Checkpoint::parse(&fs::read(place.path(note)).unwrap()).unwrap();
        let notes: Vec<Checkpoint> = self.notes.iter().map(read).collect();
        let mut all = Vec::new();
        for (at, old) in notes.iter().enumerate() {
            for new in notes.iter().skip(at + 1).filter(|new| new.size() <= tree.size()) {
                let proof = tree.consistency(old.size(), new.size(), &leaf).unwrap();
                let (was, is) = (old.root(), new.root());
                assert!(verify_consistency(old.size(), &was, new.size(), &is, &proof));
                let hex = |digest: &Digest| digest.to_string();
                let proof: Vec<String> = proof.iter().map(hex).collect();
                all.push(json!([old.size(), hex(&was), new.size(), hex(&is), proof]));
            }
        }
        assert!(all.len() >= 6, "{all:?}");
        let script = "\
import sys, json; sys.path.insert(0, sys.argv[1])
import tree
h = bytes.fromhex
print(all(tree.consistent(a, h(x), b, h(y), [h(p) for p in ps]) for a, x, b, y, ps in json.loads(sys.argv[2])))";
        let asked = Value::from(all).to_string();
        let output = place.by("python3").args(["-c", script, &other(""), &asked]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "True\n", "{}", text(&output));
    }
}

/// [F-archive-4] [F-reconcile-1] [F-dismiss-1]
#[test]
fn what_was_signed_early_holds_for_good() {
    let place = empty();
    let (keep, done) = (&mut Kept::default(), |args: &[&str]| place.expect(args, 0, &[]));
    done(&["key", "new", "--role", "operator", "-o", "operator"]);
    let operator = ["--operator", "operator.pub"];
    done(&[&["init", "led", "--name", "example.org/agents"], &operator[..]].concat());
    public_key(&place);
    record(&place, 5);
    keep.stage(&place, "early");
    record(&place, 20);
    record(&place, 20);
    keep.stage(&place, "before");
    done(&["archive", "led", "--to", "out", "--leave", "1B"]);
    keep.stage(&place, "archived");
    record(&place, 9);
    done(&["restore", "led", "--from", "out"]);
    keep.stage(&place, "restored");
    done(&["quarantine", "halt", "led", "--note", "to see"]);
    done(&["quarantine", "reconcile", "led", "--note", "all is well"]);
    keep.stage(&place, "reconciled");
    // The end goes, and with it what was recorded last.
    for _ in 0..3 {
        done(&["append", "led", "--type", "a.b", "--actor", "a"]);
    }
    let mut segments: Vec<_> =
        fs::read_dir(place.path("led")).unwrap().map(|f| f.unwrap().path()).collect();
    segments.retain(|path| path.to_string_lossy().contains("segment-"));
    let last = fs::OpenOptions::new().write(true).open(segments.iter().max().unwrap()).unwrap();
    last.set_len(last.metadata().unwrap().len() - 500).unwrap();
    place.expect(&["append", "led", "--type", "a.b", "--actor", "a"], 8, &["quarantined"]);
    let dismiss = ["quarantine", "dismiss", "led", "--note", "lost", "--operator-key", "operator"];
    done(&[&dismiss[..], &["--successor", "goes-on"]].concat());
    done(&["append", "goes-on", "--type", "a.b", "--actor", "a"]);
    done(&["export", "goes-on", "--with-predecessors", "-o", "line"]);
    let mut files: Vec<_> =
        fs::read_dir(place.path("line")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let first = files[0].to_str().unwrap();
    keep.holds(&place, first);
    keep.hold_elsewhere(&place);
    keep.are_proofs(&place);
    keep.is_one_tree(&place, first);
    place.expect(&["verify", "goes-on"], 0, &["intact", "sound up to there"]);
}
