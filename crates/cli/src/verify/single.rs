//! What stands alone: a checkpoint, or one entry with the proof that it is in a checkpoint's tree.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::iter;

use sigchain::checkpoint::{Checkpoint, NOTE_MAX, Verdict as Judged};
use sigchain::codec::DecodeError;
use sigchain::digest::Digest;
use sigchain::fault::{Code, Fault, Misfit};
use sigchain::frame::{Frame, Written};
use sigchain::jsonl;
use sigchain::payload::{Part, Presence};
use sigchain::proof::{PROOF_MAX, Proof};
use sigchain::text;
use sigchain::tree;
use sigchain::verify::{Anchor, Payloads, Verdict};

use serde_json::Value;

use crate::args::VerifyOptions;
use crate::held::Held;
use crate::input::{Input, Places};
use crate::json::render;
use crate::out::{self, entries, safe};
use crate::trouble::Trouble;
use crate::verify::{self, json};

/// What was found out.
struct Finding<'f> {
    checkpoint: &'f Checkpoint,
    /// The chain that the origin names, if it names one of ours.
    chain_id: Option<Digest>,
    is_proof: bool,
    /// The entry that is proved.
    entry: Option<Box<Written<'f>>>,
    faults: Vec<Fault>,
    anchors: Vec<(Anchor, Option<u64>)>,
}

pub(super) fn run(
    options: &VerifyOptions,
    held: &Held,
    input: Input,
    is_proof: bool,
) -> Result<u8, Trouble> {
    if held.keys.iter().any(|key| key.public.is_none()) {
        let what = "--key with a key id, for a proof or a checkpoint that stands alone";
        return Err(Trouble::usage(
            what,
            "the key itself: a PEM file or a vkey; an id cannot judge a signature",
        ));
    }
    let name = input.name().to_owned();
    if is_proof {
        let proof = Proof::parse(&input.into_bytes(PROOF_MAX)?)
            .map_err(|error| malformed(&name, "proof", &error))?;
        let mut finding = Finding::new(&proof.checkpoint, true);
        finding.judge_proof(&proof);
        finding.judge_checkpoint(held);
        finding.answer(options)
    } else {
        let checkpoint = Checkpoint::parse(&input.into_bytes(NOTE_MAX)?)
            .map_err(|error| malformed(&name, "checkpoint", &error))?;
        let mut finding = Finding::new(&checkpoint, false);
        finding.judge_checkpoint(held);
        finding.answer(options)
    }
}

fn malformed(name: &str, what: &str, error: &DecodeError) -> Trouble {
    Trouble::unreadable(
        format!("\"{name}\" begins like a {what} and is none, at byte {}", error.at),
        &format!("{}; found {}", error.expected, error.found),
        "get it again from whoever made it, byte for byte",
    )
}

impl<'f> Finding<'f> {
    fn new(checkpoint: &'f Checkpoint, is_proof: bool) -> Self {
        let id = checkpoint.origin().rsplit_once('/').and_then(|(_, id)| text::parse_hex(id));
        Self {
            checkpoint,
            chain_id: id.map(Digest::new),
            is_proof,
            entry: None,
            faults: Vec::new(),
            anchors: Vec::new(),
        }
    }

    fn fault(&mut self, code: Code, expected: impl AsRef<str>, found: impl AsRef<str>) {
        let sequence = self.entry.as_ref().map(|written| written.fields.sequence);
        self.faults.push(Misfit::new(code, expected, found).at(0, sequence));
    }

    /// Whether the entry is one, is where the proof says, and leads to the root. Who vouches for the root is another question.
    fn judge_proof(&mut self, proof: &'f Proof) {
        let Some(line) = proof.entry.as_deref() else { return };
        let written = match jsonl::parse(line) {
            Ok(Frame::Entry(written)) => written,
            Ok(_) => return self.fault(Code::EntryMalformed, "an entry", "another frame"),
            Err(error) => {
                let expected = format!("{} at byte {}", error.expected, error.at);
                return self.fault(Code::EntryMalformed, expected, error.found);
            }
        };
        let Some(chain_id) = self.chain_id else {
            let origin = self.checkpoint.origin();
            return self.fault(Code::CheckpointOrigin, "NAME/CHAINID", origin);
        };
        let fields = &written.fields;
        let (sequence, committed) = (fields.sequence, fields.payload_hash);
        let computed = written.part.commitment().unwrap_or(committed);
        let entry = written.entry(if sequence == 0 { &Digest::ZERO } else { &chain_id });
        let leaf = tree::leaf_hash(&entry.digest(), entry.signature());
        let digest = entry.digest();
        self.entry = Some(written);
        // The leaf covers the commitment, not the payload beside it: that must be compared by itself.
        if computed != committed {
            self.fault(Code::PayloadMismatch, committed.to_string(), computed.to_string());
        }
        if sequence != proof.index {
            self.fault(Code::Sequence, proof.index.to_string(), sequence.to_string());
        } else if sequence == 0 && digest != chain_id {
            self.fault(Code::ChainId, chain_id.to_string(), digest.to_string());
        } else if proof.verify_leaf(&leaf).is_err() {
            let expected = format!("a path to the root {}", self.checkpoint.root());
            self.fault(Code::CheckpointRoot, expected, "one that misses it");
        }
    }

    /// What the anchors make of the checkpoint.
    fn judge_checkpoint(&mut self, held: &Held) {
        let (size, root) = (self.checkpoint.size(), self.checkpoint.root());
        if let Some(id) = held.chain_id {
            if self.chain_id == Some(id) {
                // Anybody can write a note that names the chain: it is the right one, and vouched for by nobody yet.
                self.anchors.push((Anchor::ChainId(id), Some(0)));
            } else {
                self.fault(Code::AnchorChain, id.to_string(), self.checkpoint.origin());
            }
        }
        for kept in &held.checkpoints {
            let is_same = kept.size() == size && kept.root() == root;
            if kept.origin() != self.checkpoint.origin() {
                self.fault(Code::AnchorChain, kept.origin(), self.checkpoint.origin());
            } else if kept.size() == size && !is_same {
                self.fault(Code::AnchorRoot, kept.root().to_string(), root.to_string());
            }
            let anchor = Anchor::Checkpoint(kept.size(), kept.root());
            self.anchors.push((anchor, is_same.then_some(size)));
        }
        for key in &held.keys {
            let is_for_it =
                key.origin.as_ref().is_none_or(|origin| origin == self.checkpoint.origin());
            let Some(public) = key.public.as_ref().filter(|_| is_for_it) else {
                self.anchors.push((Anchor::Key(key.id), None));
                continue;
            };
            let judged = self.checkpoint.judge(iter::once(public));
            if judged == Judged::False {
                let expected = format!("a signature by key {}", key.id);
                self.fault(Code::CheckpointSignature, expected, "a false one");
            }
            let vouched = matches!(judged, Judged::Accepted(_)).then_some(size);
            self.anchors.push((Anchor::Key(key.id), vouched));
        }
    }

    fn verdict(&self) -> Verdict {
        let is_missing = self.anchors.iter().any(|(_, size)| size.is_none());
        let is_vouched = self.anchors.iter().any(|(_, size)| size.is_some_and(|size| size > 0));
        let proves_something = !self.is_proof || self.entry.is_some();
        if !self.faults.is_empty() {
            Verdict::Faulty
        } else if is_vouched && !is_missing && proves_something {
            Verdict::Intact
        } else {
            Verdict::Unvouched
        }
    }

    fn answer(&self, options: &VerifyOptions) -> Result<u8, Trouble> {
        let is_self_asserted = options.held.allow_self_asserted
            && self.anchors.is_empty()
            && (!self.is_proof || self.entry.is_some());
        let exit = verify::exit_code(self.verdict(), is_self_asserted);
        if options.json {
            out::print(&self.json(exit)?)?;
        } else {
            verify::show(|text| self.write(text, exit))?;
        }
        Ok(exit)
    }

    fn json(&self, exit: u8) -> Result<String, Trouble> {
        let mut counts: BTreeMap<Code, u64> = BTreeMap::new();
        for fault in &self.faults {
            let count = counts.entry(fault.code).or_default();
            *count = count.saturating_add(1);
        }
        let origin = self.checkpoint.origin();
        let answer = json::Answer {
            verdict: self.verdict(),
            exit,
            form: Some(if self.is_proof { "tlog-proof" } else { "checkpoint" }),
            chain_id: self.chain_id,
            name: origin
                .rsplit_once('/')
                .filter(|_| self.chain_id.is_some())
                .map_or(origin, |(name, _)| name),
            entries: self.checkpoint.size(),
            root: Some(self.checkpoint.root()),
            anchors: self.anchors.clone(),
            faults: &self.faults,
            counts,
            payloads: self.payloads(),
            places: &Places::Bytes,
        };
        let mut map = answer.object();
        map.insert(
            "entry".to_owned(),
            self.entry.as_ref().map(|written| written.fields.sequence).into(),
        );
        map.insert("beyond".to_owned(), Value::Null);
        render(map)
    }

    fn payloads(&self) -> Payloads {
        let mut payloads = Payloads::default();
        match self.entry.as_ref().map(|written| written.part.presence()) {
            Some(Presence::Erased) => payloads.erased = 1,
            Some(Presence::Partial) => payloads.partial = 1,
            Some(Presence::Present) => payloads.present = 1,
            Some(Presence::Withheld) => payloads.withheld = 1,
            _ => {}
        }
        payloads
    }

    fn write(&self, text: &mut String, exit: u8) -> fmt::Result {
        let verdict = self.verdict();
        let (origin, size) = (safe(self.checkpoint.origin()), entries(self.checkpoint.size()));
        let about = match &self.entry {
            Some(written) => {
                format!("entry {} in the tree of {size} of {origin}", written.fields.sequence)
            }
            None if self.is_proof => format!("a proof about {size} of {origin}"),
            None => format!("checkpoint of {size} of {origin}"),
        };
        writeln!(text, "{}: {about}", verdict.as_str())?;
        for fault in &self.faults {
            let (code, phase) = (fault.code, fault.phase());
            let (expected, found) = (safe(&fault.expected), safe(&fault.found));
            writeln!(text, "  {code} ({phase}): expected {expected}, found {found}")?;
        }
        for (anchor, size) in &self.anchors {
            let label = match (anchor, size) {
                (Anchor::ChainId(_), Some(_)) => "it names the chain that you gave:",
                (Anchor::Key(_), Some(_)) => "anchored to its signature by",
                (_, Some(_)) => "anchored to",
                (Anchor::Key(_), None) => "missing: an accepted signature by",
                (_, None) => "missing: not of the size and root of",
            };
            writeln!(text, "  {label} {anchor}")?;
        }
        writeln!(text, "  root {}", self.checkpoint.root())?;
        if self.is_proof {
            self.write_entry(text)?;
        } else if verdict == Verdict::Intact {
            writeln!(text, "  it says what the log was at that size; no entry was looked at")?;
        }
        next(text, verdict, exit)
    }

    fn write_entry(&self, text: &mut String) -> fmt::Result {
        let Some(written) = &self.entry else {
            return writeln!(
                text,
                "  it holds no entry that can be read, so it cannot be said what it proves"
            );
        };
        let fields = &written.fields;
        let (kind, actor) = (safe(&fields.event_type), safe(&fields.actor));
        writeln!(text, "  {kind} by {actor} at {}", fields.system_time)?;
        let payload = match &written.part {
            Part::Withheld => "withheld, in the word of whoever made the proof",
            Part::Erased(_) => "erased, in the word of whoever made the proof",
            part if part.presence() == Presence::Partial => "partly shown",
            _ => "present",
        };
        writeln!(text, "  payload {payload}")?;
        writeln!(
            text,
            "  not checked: the entry's own signature by key {}, which takes the chain's keys",
            fields.signer_key_id
        )
    }
}

fn next(text: &mut String, verdict: Verdict, exit: u8) -> fmt::Result {
    match verdict {
        Verdict::Faulty => {
            writeln!(text, "next: keep it as it is; ask for the whole chain and verify that")
        }
        Verdict::Unvouched => {
            writeln!(
                text,
                "next: give the chain's checkpoint key as you got it by another way: --key PEMFILE or --key VKEY"
            )?;
            if exit == 0 {
                writeln!(text, "exit code 0 only because of --allow-self-asserted")?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
