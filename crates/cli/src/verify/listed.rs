//! What was found of a folder of archives, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::{Value, json};
use sigchain::verify::{Payloads, Verdict};

use crate::args::VerifyOptions;
use crate::input::Places;
use crate::json::render;
use crate::out::{self, entries, plural, safe};
use crate::trouble::Trouble;
use crate::verify::archives::{Archive, Whole};
use crate::verify::human;
use crate::verify::json::Answer;
use crate::verify::{self, UNPROVEN};

pub(super) fn show(options: &VerifyOptions, whole: &Whole) -> Result<(), Trouble> {
    if options.json {
        return out::print(&json(whole)?);
    }
    verify::show(|text| write(text, whole))
}

fn write(text: &mut String, whole: &Whole) -> fmt::Result {
    let count = plural(u64::try_from(whole.archives.len()).unwrap_or(u64::MAX), "archive");
    let of = whole.longest().and_then(|archive| {
        Some(format!("{}, chain {}", safe(&archive.report.name), archive.report.chain_id?))
    });
    let of = of.unwrap_or_else(|| "what nothing else could be judged of".to_owned());
    let word = whole.verdict();
    writeln!(text, "{}: {count} of {of}", word.as_str())?;
    for archive in &whole.archives {
        one(text, archive)?;
    }
    for (first, last) in &whole.holes {
        writeln!(text, "  missing: entries {first} to {last} are in none of them")?;
    }
    for apart in &whole.apart {
        writeln!(text, "  does not fit: {}", safe(apart))?;
    }
    if whole.holes.is_empty() && whole.apart.is_empty() {
        let last = whole.archives.iter().map(|archive| archive.last).max().unwrap_or(0);
        writeln!(text, "  together: entries 0 to {last}, none missing, under one root")?;
    }
    if let Some(ledger) = &whole.ledger {
        let (report, name) = (&ledger.report, safe(&ledger.path.to_string_lossy()));
        let verdict = report.verdict().as_str();
        let places = plural(ledger.compared, "place");
        writeln!(
            text,
            "  compared with \"{name}\", {verdict} by itself, of {}: its root, at {places}",
            entries(report.entries)
        )?;
    }
    if let Some((size, what)) = &whole.tied {
        writeln!(
            text,
            "  anchored to {}, which vouches for the first {}",
            safe(what),
            entries(*size)
        )?;
    }
    for missing in &whole.missing {
        writeln!(text, "  missing: {} is in none of them", safe(missing))?;
    }
    next(text, whole)
}

fn one(text: &mut String, archive: &Archive) -> fmt::Result {
    let (report, name) = (&archive.report, archive.called());
    let by_itself = match report.verdict() {
        // What ties it is said of all of them.
        Verdict::Unvouched => "no fault",
        other => other.as_str(),
    };
    let (first, last, size) = (archive.first, archive.last, entries(report.entries));
    writeln!(text, "  {name}: entries {first} to {last}, {by_itself}; signed over {size}")?;
    if !report.gaps.are_proven() {
        writeln!(text, "    {UNPROVEN}")?;
    }
    if report.faults.is_empty() {
        return Ok(());
    }
    human::faults(text, report, &Places::Bytes)
}

fn next(text: &mut String, whole: &Whole) -> fmt::Result {
    match whole.verdict() {
        Verdict::Intact => Ok(()),
        Verdict::Unvouched => writeln!(
            text,
            "next: give what you hold: --checkpoint, --key or --chain-id; or the ledger that they left: --against LEDGER"
        ),
        _ => writeln!(
            text,
            "next: keep the files as they are; the ledger's entries recovery.archived say where each archive was put, and its SHA-256"
        ),
    }
}

fn json(whole: &Whole) -> Result<String, Trouble> {
    let longest = whole.longest().map(|archive| &archive.report);
    let mut counts = BTreeMap::new();
    let mut payloads = Payloads::default();
    let mut faults = Vec::new();
    for archive in &whole.archives {
        for (code, count) in &archive.report.counts {
            let all: &mut u64 = counts.entry(*code).or_default();
            *all = all.saturating_add(*count);
        }
        faults.extend(archive.report.faults.iter().cloned());
        let p = archive.report.payloads;
        payloads.erased = payloads.erased.saturating_add(p.erased);
        payloads.partial = payloads.partial.saturating_add(p.partial);
        payloads.present = payloads.present.saturating_add(p.present);
        payloads.withheld = payloads.withheld.saturating_add(p.withheld);
    }
    let answer = Answer {
        verdict: whole.verdict(),
        exit: whole.exit,
        form: Some("archives"),
        chain_id: longest.and_then(|report| report.chain_id),
        name: longest.map_or("", |report| &report.name),
        entries: longest.map_or(0, |report| report.entries),
        root: longest.and_then(|report| report.root),
        anchors: Vec::new(),
        faults: &faults,
        counts,
        payloads,
        places: &Places::Bytes,
    };
    let mut map = answer.object();
    let files: Vec<Value> = whole.archives.iter().map(of_archive).collect();
    let range = |(first, last): &(u64, u64)| json!({ "first": first, "last": last });
    let ledger = whole.ledger.as_ref().map(|ledger| {
        json!({
            "entries": ledger.report.entries,
            "compared": ledger.compared,
            "file": ledger.path.to_string_lossy(),
            "verdict": ledger.report.verdict().as_str(),
        })
    });
    let archives = json!({
        "apart": whole.apart,
        "files": files,
        "ledger": ledger,
        "missing": whole.holes.iter().map(range).collect::<Vec<_>>(),
        "unmet": whole.missing,
        "vouched": whole.tied.as_ref().map(|(size, _)| *size),
    });
    map.insert("archives".to_owned(), archives);
    render(map)
}

fn of_archive(archive: &Archive) -> Value {
    let report = &archive.report;
    json!({
        "entries": report.entries,
        "exit": archive.exit(),
        "faults": report.total(),
        "file": archive.path.to_string_lossy(),
        "first": archive.first,
        "last": archive.last,
        "proven": report.gaps.are_proven(),
        "root": archive.root().map(|root| root.to_string()),
        "verdict": report.verdict().as_str(),
    })
}
