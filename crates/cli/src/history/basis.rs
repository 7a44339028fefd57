//! What a state rests on, in the words of `sigchain verify`.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use sigchain::replay::{Chapter, Replayed};
use sigchain::verify::Report;

use crate::history::describe;
use crate::input::Places;
use crate::json::{object, of_anchor, of_fault};
use crate::out::{entries, grouped, plural, safe};
use crate::verify::{self, UNPROVEN, UNTIED};

/// Faults that are shown; `sigchain verify` shows all.
const FAULTS_SHOWN: usize = 10;

/// What the state rests on: what was held is of the last chain, and each chain vouches for what it continues.
pub(super) fn write<P>(text: &mut String, replayed: &Replayed<P>) -> fmt::Result {
    let chapters = &replayed.chapters;
    let reports = chapters.iter().filter_map(|chapter| chapter.end.report.as_ref());
    let Some(last) = reports.clone().next_back() else { return Ok(()) };
    if last.anchors.is_empty() {
        writeln!(text, "unvouched: {UNTIED}")?;
    }
    let is_earlier = chapters.last().is_some_and(|end| end.chain_id != Some(replayed.at.chain_id));
    if is_earlier && is_anchored(last) {
        through(text, replayed)?;
    }
    let size = replayed.at.sequence.saturating_add(1);
    for anchored in &last.anchors {
        match anchored.size {
            None => writeln!(text, "not confirmed: {}", anchored.anchor)?,
            Some(vouched) if is_earlier => {
                let id = last.chain_id.map_or("unknown".to_owned(), |id| id.to_string());
                writeln!(
                    text,
                    "chain {id} is anchored to {}",
                    verify::anchored(&anchored.anchor, vouched)
                )?;
            }
            Some(vouched) => {
                let beyond = beyond(size.saturating_sub(vouched));
                writeln!(
                    text,
                    "anchored to {}; {beyond}",
                    verify::anchored(&anchored.anchor, vouched)
                )?;
            }
        }
    }
    if reports.clone().any(|report| !report.gaps.are_proven()) {
        writeln!(text, "{UNPROVEN}")?;
    }
    Ok(())
}

fn beyond(count: u64) -> String {
    match count {
        0 => "the point is not beyond it".to_owned(),
        n => verify::beyond(n, " up to the point"),
    }
}

/// Whether something that was held vouches for its genesis, which states what it continues.
fn is_anchored(report: &Report) -> bool {
    report.anchors.iter().any(|anchored| anchored.size.is_some_and(|size| size > 0))
}

/// What a successor states of the chain of the point: that root was found to be the chain's own.
fn through<P>(text: &mut String, replayed: &Replayed<P>) -> fmt::Result {
    let at = replayed.at.chain_id;
    for report in replayed.chapters.iter().filter_map(|chapter| chapter.end.report.as_ref()) {
        let stated = report.predecessor.as_ref().filter(|stated| stated.chain == at);
        if let (Some(stated), Some(successor)) = (stated, report.chain_id) {
            writeln!(
                text,
                "anchored through its successor, chain {successor}, whose genesis states {} with this root: {}",
                entries(stated.size),
                stated.root
            )?;
        }
    }
    Ok(())
}

/// The faults of a chain. Where they leave its name unknown, that of the file has to do.
pub(super) fn faults(
    text: &mut String,
    report: &Report,
    file: &str,
    places: &Places,
) -> fmt::Result {
    if report.counts.is_empty() {
        return Ok(());
    }
    let name = if report.name.is_empty() { file } else { &report.name };
    writeln!(text, "faulty: {} in {}", plural(report.total(), "fault"), safe(name))?;
    for fault in report.faults.iter().take(FAULTS_SHOWN) {
        writeln!(text, "  {}", describe(fault, places))?;
    }
    let shown = report.faults.len().min(FAULTS_SHOWN);
    let more = report.total().saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
    if more > 0 {
        writeln!(text, "  {} more: sigchain verify lists them", grouped(more))?;
    }
    Ok(())
}

/// A chain that was read, as JSON, with the words of the report of `sigchain verify`.
pub(super) fn chapter(chapter: &Chapter, places: &Places) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("beyond", chapter.beyond().into());
    put("chain_id", chapter.chain_id.map(|id| id.to_string()).into());
    put("entries", chapter.end.entries.into());
    put("used", chapter.used.into());
    if let Some(report) = &chapter.end.report {
        put("anchors", report.anchors.iter().map(|a| of_anchor(&a.anchor, a.size)).collect());
        put("faults", report.faults.iter().map(|fault| of_fault(fault, places)).collect());
        put("name", report.name.as_str().into());
        let predecessor = report.predecessor.as_ref().map(|before| {
            let (chain, root) = (before.chain.to_string(), before.root.to_string());
            object([
                ("chain_id", chain.into()),
                ("root", root.into()),
                ("size", before.size.into()),
            ])
        });
        put("predecessor", predecessor.into());
        put("total", report.total().into());
        put("verdict", report.verdict().as_str().into());
    }
    Value::Object(map)
}
