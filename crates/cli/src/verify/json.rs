//! The answer as one JSON object. Its keys are stable; spec/sigchain-report.schema.json describes them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sigchain::chain::Head;
use sigchain::chainfile::Form;
use sigchain::digest::Digest;
use sigchain::fault::{Code, Fault};
use sigchain::reserved::Predecessor;
use sigchain::verify::{Anchor, End, Gaps, Payloads, Report, Verdict};

use crate::input::Places;
use crate::json::{object, of_anchor, of_fault, render};
use crate::trouble::Trouble;
use crate::verify::against::Compared;
use crate::verify::chain::View;
use crate::verify::gate::Gate;
use crate::verify::line::Before;

/// What every answer says, whatever was judged.
pub(super) struct Answer<'a> {
    pub(super) verdict: Verdict,
    pub(super) exit: u8,
    pub(super) form: Option<&'static str>,
    pub(super) chain_id: Option<Digest>,
    pub(super) name: &'a str,
    pub(super) entries: u64,
    pub(super) root: Option<Digest>,
    pub(super) anchors: Vec<(Anchor, Option<u64>)>,
    pub(super) faults: &'a [Fault],
    pub(super) counts: BTreeMap<Code, u64>,
    pub(super) payloads: Payloads,
    pub(super) places: &'a Places,
}

fn hex(digest: Option<Digest>) -> Value {
    digest.map(|digest| digest.to_string()).into()
}

impl Answer<'_> {
    /// The object, with the keys that only a chain fills in their empty form.
    pub(super) fn object(&self) -> Map<String, Value> {
        let vouched = self.anchors.iter().filter_map(|(_, size)| *size).max();
        let beyond = vouched.map(|vouched| self.entries.saturating_sub(vouched));
        let total: u64 = self.counts.values().sum();
        let counts: Map<String, Value> = self
            .counts
            .iter()
            .map(|(code, count)| (code.as_str().to_owned(), Value::from(*count)))
            .collect();
        let p = &self.payloads;
        let payloads = [
            ("erased", p.erased.into()),
            ("partial", p.partial.into()),
            ("present", p.present.into()),
            ("withheld", p.withheld.into()),
        ];
        let pairs: [(&str, Value); 28] = [
            ("against", Value::Null),
            (
                "anchors",
                self.anchors.iter().map(|(anchor, size)| of_anchor(anchor, *size)).collect(),
            ),
            ("archives", Value::Null),
            ("attachments", Value::Object(Map::new())),
            ("attachments_other", 0.into()),
            ("beyond", beyond.into()),
            ("chain_id", hex(self.chain_id)),
            ("counts", Value::Object(counts)),
            ("entries", self.entries.into()),
            ("entry", Value::Null),
            ("exit", self.exit.into()),
            ("faults", self.faults.iter().map(|fault| of_fault(fault, self.places)).collect()),
            ("form", self.form.into()),
            ("gaps", of_gaps(&Gaps::default())),
            ("gate", Value::Null),
            ("head", Value::Null),
            ("line", Value::Array(Vec::new())),
            ("name", self.name.into()),
            ("payloads", object(payloads)),
            ("predecessor", Value::Null),
            ("resolved", Value::Array(Vec::new())),
            ("root", hex(self.root)),
            ("taken_on_word", 0.into()),
            ("word", Value::Null),
            ("total", total.into()),
            ("trailer", "none".into()),
            ("unique", false.into()),
            ("verdict", self.verdict.as_str().into()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// The answer about a chain.
pub(super) fn chain(view: &View<'_>) -> Result<String, Trouble> {
    let report = view.report;
    let is_split = view.compared.is_some_and(Compared::is_split);
    let answer = Answer {
        // A fork is no fault of this file alone, but whoever reads only this word must not take it for intact.
        verdict: if is_split { Verdict::Faulty } else { report.verdict() },
        exit: view.exit,
        form: report.form.map(|of| if view.places.is_ledger() { "ledger" } else { form(of) }),
        chain_id: report.chain_id,
        name: &report.name,
        entries: report.entries,
        root: report.root,
        anchors: report.anchors.iter().map(|given| (given.anchor.clone(), given.size)).collect(),
        faults: &report.faults,
        counts: report.counts.clone(),
        payloads: report.payloads,
        places: view.places,
    };
    let mut map = answer.object();
    fill(&mut map, report);
    map.insert("against".to_owned(), view.compared.map(of_comparison).into());
    if report.taken_on_word > 0 {
        let word = if view.is_word_own { "machine" } else { "given" };
        map.insert("word".to_owned(), word.into());
    }
    let line: Vec<Value> = view.line.iter().map(Before::json).collect();
    map.insert("line".to_owned(), line.into());
    map.insert("gate".to_owned(), view.gate.map(Gate::json).into());
    render(map)
}

fn fill(map: &mut Map<String, Value>, report: &Report) {
    let attachments: Map<String, Value> = report
        .attachments
        .iter()
        .map(|(name, count)| (name.clone(), Value::from(*count)))
        .collect();
    let resolved = report
        .resolved
        .iter()
        .map(|(first, count)| object([("first", (*first).into()), ("count", (*count).into())]));
    let trailer = match report.end {
        End::Signed => "signed",
        End::Unsigned => "unsigned",
        End::Open | _ => "none",
    };
    let pairs: [(&str, Value); 9] = [
        ("attachments", Value::Object(attachments)),
        ("attachments_other", report.attachments_other.into()),
        ("gaps", of_gaps(&report.gaps)),
        ("head", report.head.as_ref().map(of_head).into()),
        ("predecessor", report.predecessor.as_ref().map(of_predecessor).into()),
        ("resolved", resolved.collect()),
        ("taken_on_word", report.taken_on_word.into()),
        ("trailer", trailer.into()),
        ("unique", report.unique.into()),
    ];
    for (key, value) in pairs {
        map.insert(key.to_owned(), value);
    }
}

fn form(form: Form) -> &'static str {
    match form {
        Form::ChainFile => "chain-file",
        Form::JsonLines => "json-lines",
        _ => "other",
    }
}

fn of_gaps(gaps: &Gaps) -> Value {
    object([
        ("archived", gaps.archived.into()),
        ("elided", gaps.elided.into()),
        ("lost", gaps.lost.into()),
        ("proven", gaps.any().then(|| gaps.are_proven()).into()),
    ])
}

fn of_head(head: &Head) -> Value {
    object([
        ("digest", head.digest.to_string().into()),
        ("sequence", head.sequence.into()),
        ("stamp", head.stamp.hex().into()),
        ("time", head.stamp.to_string().into()),
    ])
}

fn of_predecessor(before: &Predecessor) -> Value {
    object([
        ("chain", before.chain.to_string().into()),
        ("evidence", hex(before.evidence)),
        ("root", before.root.to_string().into()),
        ("size", before.size.into()),
        ("statement", before.statement.as_str().into()),
    ])
}

fn of_comparison(compared: &Compared) -> Value {
    let result = match compared {
        Compared::Differ(_) => "differ",
        Compared::Fork { .. } => "fork",
        Compared::None => "no-fork",
        Compared::OtherChain => "other-chain",
    };
    let (mut sequence, mut digests, mut proof) = (Value::Null, Vec::new(), Value::Null);
    if let Compared::Differ(first) = compared {
        sequence = (*first).into();
    }
    let mut quarantine = Value::Null;
    if let Compared::Fork { proof: found, written, halted } = compared {
        if let Some(Ok(forked)) = halted {
            quarantine = forked.quarantine.to_string().into();
        }
        sequence = found.pair.first().map(|written| written.fields.sequence).into();
        digests = Compared::pair(found)
            .into_iter()
            .map(|(digest, _)| digest.to_string().into())
            .collect();
        proof = written.as_ref().map(|path| path.to_string_lossy().into_owned()).into();
    }
    object([
        ("digests", Value::Array(digests)),
        ("proof", proof),
        ("quarantine", quarantine),
        ("result", result.into()),
        ("sequence", sequence),
    ])
}
