//! The answer in words. Never a verdict without what it rests on.

use std::fmt::{self, Write as _};

use sigchain::chainfile::Form;
use sigchain::fault::{Code, Phase};
use sigchain::key::Role;
use sigchain::reserved::Predecessor;
use sigchain::verify::{End, Report, Verdict};

use crate::input::Places;
use crate::out::{entries, grouped, plural, safe};
use crate::verify::chain::View;
use crate::verify::line;
use crate::verify::words::{UNPROVEN, UNTIED, anchored, beyond as beyond_it, missing, taken};

/// Keys of genesis that are offered for comparison.
const KEYS_SHOWN: usize = 6;

pub(super) fn write(text: &mut String, view: &View<'_>) -> fmt::Result {
    let report = view.report;
    if let Some(compared) = view.compared.filter(|compared| compared.is_split()) {
        compared.write(text)?;
        write!(text, "\"{}\" by itself is ", safe(view.name))?;
    }
    let ungated = view.gate.filter(|gate| gate.without > 0);
    if let Some(gate) = ungated {
        writeln!(
            text,
            "ungated: {} without a gate's intent, of {}",
            plural(gate.without, "outcome"),
            grouped(gate.outcomes)
        )?;
        write!(text, "the chain by itself is ")?;
    }
    headline(text, report)?;
    if !report.faults.is_empty() {
        faults(text, report, view.places)?;
    }
    if report.chain_id.is_some() {
        anchors(text, view)?;
        details(text, view)?;
        if let Some(gate) = view.gate {
            gate.write(text, !report.counts.is_empty())?;
        }
    }
    if let Some(compared) = view.compared.filter(|compared| !compared.is_split()) {
        compared.write(text)?;
    }
    next(text, view)
}

/// The chain, by its name and id.
fn chain(report: &Report) -> String {
    match report.chain_id {
        Some(id) => format!("{} of {}, chain {id}", entries(report.entries), safe(&report.name)),
        None => "a file of which nothing else could be judged".to_owned(),
    }
}

fn headline(text: &mut String, report: &Report) -> fmt::Result {
    let chain = chain(report);
    match report.verdict() {
        Verdict::Intact => writeln!(text, "intact: {chain}"),
        Verdict::Unvouched if report.anchors.is_empty() => {
            writeln!(text, "unvouched: {chain}\n  {UNTIED}")
        }
        Verdict::Unvouched => writeln!(text, "unvouched: {chain}\n  no fault was found, and yet:"),
        Verdict::Unreadable => {
            writeln!(text, "unreadable: no chain file or JSON lines of format version 1")
        }
        Verdict::Faulty | _ => {
            let (content, links) = (report.total_of(Phase::Content), report.total_of(Phase::Chain));
            let total = plural(report.total(), "fault");
            let (content, links) = (grouped(content), grouped(links));
            writeln!(text, "faulty: {total} (content {content}, chain {links}) in {chain}")
        }
    }
}

pub(super) fn faults(text: &mut String, report: &Report, places: &Places) -> fmt::Result {
    for fault in &report.faults {
        let (code, phase, place) = (fault.code, fault.phase(), places.describe(fault));
        let (expected, found) = (safe(&fault.expected), safe(&fault.found));
        writeln!(text, "  {code} ({phase}) at {place}: expected {expected}, found {found}")?;
    }
    for (code, count) in &report.counts {
        let kept = report.faults.iter().filter(|fault| fault.code == *code).count();
        let more = count.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX));
        if more > 0 {
            writeln!(text, "  {code}: {} more, not listed", grouped(more))?;
        }
    }
    for code in report.counts.keys() {
        writeln!(text, "  {code} means: {}", code.meaning().trim())?;
    }
    Ok(())
}

fn anchors(text: &mut String, view: &View<'_>) -> fmt::Result {
    let report = view.report;
    for missed in report.anchors.iter().filter(|anchored| anchored.size.is_none()) {
        if report.counts.is_empty() {
            writeln!(text, "  missing: {}", missing(&missed.anchor))?;
        } else {
            // Why it does not hold is among the faults, or was lost with what they are about.
            writeln!(text, "  not confirmed: {}", missed.anchor)?;
        }
    }
    if report.gaps.any() && !report.gaps.are_proven() {
        writeln!(text, "  {UNPROVEN}")?;
    }
    let farthest = report.anchors.iter().filter(|anchored| anchored.size.is_some());
    let farthest = farthest.max_by_key(|anchored| anchored.size);
    if let Some(best) = farthest
        && let (Some(size), Some(beyond)) = (best.size, report.beyond())
    {
        let beyond = match beyond {
            0 => "no entry lies beyond it".to_owned(),
            n => beyond_it(n, ""),
        };
        let anchor = anchored(&best.anchor, size);
        if report.counts.is_empty() {
            writeln!(text, "  anchored to {anchor}; {beyond}")?;
        } else {
            writeln!(text, "  what you held still fits in one place: {anchor}")?;
        }
        for other in report.anchors.iter().filter(|other| *other != best) {
            if let Some(size) = other.size {
                writeln!(text, "  and to {}", anchored(&other.anchor, size))?;
            }
        }
    }
    if let Some(taken) = taken(report, view.is_word_own) {
        writeln!(text, "  {taken}")?;
    }
    Ok(())
}

fn details(text: &mut String, view: &View<'_>) -> fmt::Result {
    let report = view.report;
    let p = &report.payloads;
    let withheld = if p.withheld > 0 { " (in the word of whoever made the file)" } else { "" };
    writeln!(
        text,
        "  payloads: {} present, {} partly shown, {} withheld{withheld}, {} erased",
        grouped(p.present),
        grouped(p.partial),
        grouped(p.withheld),
        grouped(p.erased)
    )?;
    if report.gaps.any() {
        let gaps = &report.gaps;
        let proven = if gaps.are_proven() {
            "a seal vouches that no key entry is among them"
        } else {
            "unproven"
        };
        writeln!(
            text,
            "  not in the file: {} elided, {} lost, {} archived; {proven}",
            grouped(gaps.elided),
            grouped(gaps.lost),
            grouped(gaps.archived)
        )?;
    }
    for (first, count) in &report.resolved {
        let last = first.saturating_add(*count).saturating_sub(1);
        writeln!(
            text,
            "  resolved by an operator: entries {first} to {last} are damaged for good"
        )?;
    }
    line::write(text, view.line)?;
    if let Some(before) = &report.predecessor {
        if view.line.is_empty() {
            continues(text, before)?;
        } else {
            writeln!(text, "    what the operator said of it: \"{}\"", safe(&before.statement))?;
        }
    }
    writeln!(text, "  event ids: {}", event_ids(report))?;
    writeln!(text, "  ends {}{}", end(view), attachments(report))
}

/// A chain that was not looked at.
fn continues(text: &mut String, before: &Predecessor) -> fmt::Result {
    writeln!(
        text,
        "  continues chain {} behind its first {}; that chain was not looked at: \"{}\"",
        before.chain,
        entries(before.size),
        safe(&before.statement)
    )
}

/// Whether any occurs twice, and whether that was looked at.
fn event_ids(report: &Report) -> String {
    if !report.unique {
        return "not compared, those of approved entries aside; --unique compares all".to_owned();
    }
    match report.counts.get(&Code::EventId).copied().unwrap_or(0) {
        0 => "no two of the entries that were judged have the same".to_owned(),
        1 => "1 entry has that of an entry before it".to_owned(),
        n => format!("{} entries have that of an entry before them", grouped(n)),
    }
}

fn end(view: &View<'_>) -> &'static str {
    let report = view.report;
    match report.end {
        _ if view.places.is_ledger() => "where all was durable when this began: a ledger goes on",
        End::Signed if report.counts.is_empty() => "with a signed checkpoint",
        End::Signed => "with a checkpoint",
        End::Unsigned => "with its size and root, which nobody signed",
        End::Open | _ if report.form == Some(Form::JsonLines) => {
            "without a trailer, as a live log does"
        }
        _ => "without a trailer",
    }
}

fn attachments(report: &Report) -> String {
    let total = report.attachments.values().sum::<u64>().saturating_add(report.attachments_other);
    if total == 0 {
        return String::new();
    }
    let mut types: Vec<String> = report
        .attachments
        .iter()
        .map(|(name, count)| format!("{} {}", safe(name), grouped(*count)))
        .collect();
    if report.attachments_other > 0 {
        types.push(format!("other types {}", grouped(report.attachments_other)));
    }
    format!("; {} not checked ({})", plural(total, "attachment"), types.join(", "))
}

/// The next step, where there is one.
fn next(text: &mut String, view: &View<'_>) -> fmt::Result {
    let report = view.report;
    match report.verdict() {
        Verdict::Intact if view.gate.is_some_and(|gate| gate.without > 0) => writeln!(
            text,
            "next: look at each with sigchain show {} N, and ask who lets actions through without a gate",
            safe(view.name)
        ),
        Verdict::Intact => Ok(()),
        Verdict::Unreadable => writeln!(
            text,
            "next: check that this is the right file and that it arrived whole; a newer version needs a newer sigchain"
        ),
        Verdict::Unvouched if report.anchors.is_empty() => {
            if report.gaps.any() && !report.gaps.are_proven() {
                writeln!(
                    text,
                    "next: ask for a file with a seal behind its last gap, and then for an anchor:"
                )?;
            }
            offer(text, view)?;
            if view.exit == 0 {
                writeln!(text, "exit code 0 only because of --allow-self-asserted")?;
            }
            Ok(())
        }
        Verdict::Unvouched => {
            if report.is_anchor_missing() {
                writeln!(
                    text,
                    "next: ask whoever gave you the file for one that holds what is missing; do not drop the anchor instead"
                )?;
            }
            if !report.gaps.are_proven() {
                writeln!(
                    text,
                    "next: ask whoever made the file for one with a seal behind its last gap"
                )?;
            }
            Ok(())
        }
        Verdict::Faulty | _ => {
            let name = safe(view.name);
            writeln!(
                text,
                "next: keep the file as it is, and do not write to it; get another copy of the chain and compare: \
                 sigchain verify {name} --against OTHER"
            )?;
            if view.places.is_ledger() {
                writeln!(
                    text,
                    "  nobody should append to it meanwhile: unless it is halted already, sigchain quarantine halt {name} --note TEXT"
                )?;
            }
            Ok(())
        }
    }
}

/// What would vouch for the file, with the values that it states itself.
fn offer(text: &mut String, view: &View<'_>) -> fmt::Result {
    let Some(id) = view.report.chain_id else { return Ok(()) };
    writeln!(text, "next: give one of these as you got it by another way than with this file:")?;
    writeln!(text, "  --chain-id {id}")?;
    for (key, role) in view.genesis_keys.iter().take(KEYS_SHOWN) {
        let signs = if *role == Role::Checkpoint { "checkpoints" } else { "entries" };
        writeln!(text, "  --key {key}   (signs {signs})")?;
    }
    writeln!(text, "  --checkpoint NOTE   (of at most {})", entries(view.report.entries))?;
    writeln!(text, "these values come from the file itself: copied from here they prove nothing")
}
