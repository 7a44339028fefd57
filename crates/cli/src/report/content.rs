//! What stands on the page, in its order: the verdict first, how to repeat everything last.

use std::time::Duration;

use sigchain::fault::Fault;
use sigchain::frame::GapReason;
use sigchain::text;
use sigchain::verify::Anchor;

use crate::out::{grouped, plural, safe};
use crate::report::collect::{Collected, Kept, Line, Runs};
use crate::report::page::{Cell, Page, TABLE_MAX};
use crate::report::words::{self, State, Words};
use crate::report::{Subject, plot};

/// Room for the table of faults.
const FAULTS_MAX: usize = 56 << 10;
/// Ranges of entries that are named in one cell.
const RANGES: usize = 12;

pub(super) fn write(page: &mut Page, subject: &Subject<'_>, title: &str) {
    let report = subject.view.report;
    page.markup("<header>\n<p class=\"soft\">Verification of a signed record</p>\n<h1>")
        .foreign(title);
    page.markup("</h1>\n</header>\n<main>\n");
    verdict(page, &words::of(subject));
    identity(page, subject);
    meaning(page, subject, &words::of(subject));
    if !report.counts.is_empty() {
        faults(page, subject);
    }
    gate(page, subject);
    if let Some(collected) = subject.collected.filter(|collected| collected.entries > 0) {
        activity(page, collected);
        open_actions(page, collected);
        payloads(page, collected);
        gaps(page, subject, collected);
        lines(page, &CLOCK, &collected.clock);
        lines(page, &KEYS, &collected.keys);
        lines(page, &ACCESS, &collected.access);
        lines(page, &INTERRUPTIONS, &collected.interruptions);
    }
    materials(page, subject);
    repeat(page, subject);
    page.markup("</main>\n<footer><p>Made by sigchain ").text(env!("CARGO_PKG_VERSION"));
    page.markup(" (format version 1). This page holds no script and loads nothing. Whoever has it can change it: what counts \
                 is to repeat the verification.</p></footer>\n");
}

fn verdict(page: &mut Page, words: &Words) {
    page.markup("<section class=\"verdict ").markup(match words.state {
        State::Bad => "bad",
        State::Good => "good",
        State::Open => "open",
    });
    page.markup("\" aria-label=\"Verdict\">\n<p class=\"word\">").text(words.label);
    page.markup("</p>\n").paragraph(&words.lead).markup("</section>\n");
}

fn identity(page: &mut Page, subject: &Subject<'_>) {
    let report = subject.view.report;
    page.markup("<dl>\n");
    if let Some(id) = report.chain_id {
        page.fact("Chain", &safe(&report.name)).code_fact("Chain id", &id.to_string());
        page.fact("Entries", &grouped(report.entries));
    }
    if let Some(collected) = subject.collected
        && let (Some(first), Some((_, last))) = (collected.first, collected.last)
    {
        let behind = if collected.ended_early { ", up to the first fault" } else { "" };
        page.fact("Recorded", &format!("{} to {}{behind}", plot::short(first), plot::short(last)));
    }
    if let Some(head) = &report.head {
        page.code_fact("Last entry", &format!("{} {}", head.sequence, head.digest));
    }
    if let Some(root) = report.root {
        page.code_fact("Root over all entries", &root.to_string());
    }
    if let Some(before) = &report.predecessor {
        page.code_fact("Continues chain", &before.chain.to_string());
    }
    page.fact(
        "Verified",
        &format!(
            "{}, in {}",
            subject.date().replace('T', " ").replace('Z', " UTC"),
            took(subject.took)
        ),
    );
    page.fact("Exit code", &subject.view.exit.to_string());
    page.markup("</dl>\n");
}

fn took(time: Duration) -> String {
    format!("{}.{:03} s", time.as_secs(), time.subsec_millis())
}

fn meaning(page: &mut Page, subject: &Subject<'_>, words: &Words) {
    page.markup("<h2>What this shows</h2>\n").list(&words.proves);
    page.markup("<h3>What it cannot show</h3>\n").list(&words.not);
    let report = subject.view.report;
    if report.chain_id.is_none() {
        return;
    }
    page.markup("<div class=\"pair\"><div><h3>Checked</h3>\n").list(&words::checked(report));
    page.markup("</div><div><h3>Not checked</h3>\n")
        .list(&words::unchecked(subject))
        .markup("</div></div>\n");
}

fn faults(page: &mut Page, subject: &Subject<'_>) {
    let report = subject.view.report;
    page.markup("<h2>Faults</h2>\n");
    let codes = report.counts.iter().map(|(code, count)| {
        vec![
            Cell::Code(code.to_string()),
            Cell::Number(*count),
            Cell::Text(code.phase().to_string()),
            Cell::Text(code.meaning().trim().to_owned()),
        ]
    });
    let kinds = u64::try_from(report.counts.len()).unwrap_or(u64::MAX);
    page.table("Kinds of faults", &["Code", "Faults", "Phase", "Meaning"], codes, kinds, TABLE_MAX);
    let row = |fault: &Fault| {
        vec![
            Cell::Text(subject.view.places.describe(fault)),
            Cell::Code(fault.code.to_string()),
            // Printable already: to escape it once more would double each backslash.
            Cell::Text(fault.expected.clone()),
            Cell::Text(fault.found.clone()),
        ]
    };
    let heads = ["Place", "Code", "Expected", "Found"];
    page.table(
        "Each fault, in order",
        &heads,
        report.faults.iter().map(row),
        report.total(),
        FAULTS_MAX,
    );
}

fn gate(page: &mut Page, subject: &Subject<'_>) {
    let Some(gate) = subject.view.gate else { return };
    page.markup("<h2>Gates</h2>\n");
    let (outcomes, types) = (plural(gate.outcomes, "outcome"), gate.types());
    page.paragraph(&format!(
        "{outcomes} of {types}; {} without an intent by a gate that stands before it and that it names as its cause.",
        grouped(gate.without)
    ));
    if gate.without == 0 {
        return;
    }
    let rows = gate.listed.iter().map(|found| {
        vec![
            Cell::Number(found.sequence),
            Cell::Time(plot::short(found.time)),
            Cell::Text(found.event_type.clone()),
            Cell::Text(found.actor.clone()),
            Cell::Text(found.why()),
        ]
    });
    let heads = ["Entry", "Time", "Type", "Actor", "Why"];
    page.table("Outcomes that no gate let through", &heads, rows, gate.without, TABLE_MAX);
}

fn activity(page: &mut Page, collected: &Collected) {
    page.markup("<h2>What was recorded</h2>\n");
    if collected.ended_early {
        let last = collected.last.map_or(0, |(last, _)| last);
        page.paragraph(&format!(
            "From here on this report is about the entries before the first fault, 0 to {last}. Nothing behind it is counted."
        ));
    }
    plot::timeline(page, collected);
    plot::names(page, "By type", "Type", &collected.types);
    plot::names(page, "By actor", "Actor", &collected.actors);
    let captures: Vec<(String, u64)> =
        collected.captures().into_iter().map(|(class, n)| (class.to_owned(), n)).collect();
    plot::bars(page, "By way of capture", "Way", &captures);
    page.markup("<p class=\"soft\">How an event says that it came in: a gate can stop the action when recording fails, an observer \
                 cannot. Nothing but the event's own word stands behind it.</p>\n");
}

fn open_actions(page: &mut Page, collected: &Collected) {
    let actions = &collected.actions;
    page.markup("<h2>Open actions</h2>\n");
    page.paragraph(&format!(
        "{} (types that end in .call or .request); {} have no outcome: no later entry of the same family names them as its cause.",
        plural(actions.intents, "intent"),
        grouped(actions.len())
    ));
    if actions.unfollowed > 0 {
        page.paragraph(&format!(
            "{} more were not followed: too many were open at once.",
            plural(actions.unfollowed, "intent")
        ));
    }
    if actions.len() == 0 {
        return;
    }
    let rows = actions.oldest().into_iter().map(|open| {
        vec![
            Cell::Number(open.sequence),
            Cell::Time(plot::short(open.time)),
            Cell::Text(open.event_type.clone()),
            Cell::Text(open.actor.clone()),
        ]
    });
    let heads = ["Entry", "Time", "Type", "Actor"];
    page.table(
        "Intents without an outcome, the oldest first",
        &heads,
        rows,
        actions.len(),
        TABLE_MAX,
    );
}

fn payloads(page: &mut Page, collected: &Collected) {
    page.markup("<h2>Payloads that are not here</h2>\n");
    let (withheld, partial) = (&collected.withheld, &collected.partial);
    if withheld.total == 0 && partial.total == 0 && collected.erasures.is_empty() {
        page.paragraph("None: no payload was withheld, hidden in part, or erased.");
        return;
    }
    page.markup("<dl>\n")
        .fact("Withheld", &ranges(withheld))
        .fact("Hidden in part", &ranges(partial))
        .markup("</dl>\n");
    if withheld.total > 0 || partial.total > 0 {
        page.paragraph(
            "Withheld and hidden is in the word of whoever made the file. No entry of the chain authorises it, and none has to: \
             the commitments are here, so what was left out can be shown later and compared.",
        );
    }
    let rows = collected.erasures.iter().map(|(by, erasure)| {
        let (when, who, what) = erasure.by.as_ref().map_or(
            ("-".to_owned(), "-".to_owned(), "not met before the first fault".to_owned()),
            |line| (plot::short(line.time), line.actor.clone(), line.about.clone()),
        );
        vec![
            Cell::Number(*by),
            Cell::Time(when),
            Cell::Text(who),
            Cell::Text(ranges(&erasure.payloads)),
            Cell::Text(what),
        ]
    });
    let total = u64::try_from(collected.erasures.len()).unwrap_or(u64::MAX);
    if total > 0 {
        let heads = ["Authorised by entry", "Time", "Actor", "Erased", "What it says"];
        page.table(
            "Erased payloads, by the entry that authorises it",
            &heads,
            rows,
            total,
            TABLE_MAX,
        );
    }
    if collected.erased_otherwise > 0 {
        page.paragraph(&format!(
            "{} erased by entries that are not listed.",
            plural(collected.erased_otherwise, "payload")
        ));
    }
}

/// `3 payloads: 4 to 5, 9`.
fn ranges(runs: &Runs) -> String {
    if runs.total == 0 {
        return "none".to_owned();
    }
    let named = runs.ranges.iter().take(RANGES).map(|(first, last)| range(*first, *last));
    let is_cut = runs.ranges.len() > RANGES || runs.unlisted > 0;
    let more = if is_cut { ", and others" } else { "" };
    let entries = if runs.total == 1 { "entry" } else { "entries" };
    format!(
        "{}, of {entries} {}{more}",
        plural(runs.total, "payload"),
        named.collect::<Vec<_>>().join(", ")
    )
}

fn range(first: u64, last: u64) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

fn gaps(page: &mut Page, subject: &Subject<'_>, collected: &Collected) {
    page.markup("<h2>Gaps</h2>\n");
    if collected.gaps.total == 0 && !subject.view.report.gaps.any() {
        page.paragraph("None: every entry up to the end is in the file.");
        return;
    }
    page.paragraph(if subject.view.report.gaps.are_proven() {
        "A seal vouches that no entry that changes keys is among those that are missing."
    } else {
        "No seal vouches that no entry that changes keys is among those that are missing."
    });
    let rows = collected.gaps.items.iter().map(|gap| {
        let why = match gap.reason {
            GapReason::Archived => "archived elsewhere",
            GapReason::Elided => "left out of this file",
            GapReason::Lost => "damaged for good",
            _ => "not in this file",
        };
        let last = gap.end().saturating_sub(1);
        vec![
            Cell::Text(range(gap.first, last)),
            Cell::Number(gap.count),
            Cell::Text(why.to_owned()),
        ]
    });
    page.table(
        "Entries that are not in the file",
        &["Entries", "Count", "Why"],
        rows,
        collected.gaps.total,
        TABLE_MAX,
    );
    for (first, count) in subject.view.report.resolved.iter().take(RANGES) {
        let last = first.saturating_add(*count).saturating_sub(1);
        page.paragraph(&format!(
            "An operator has given up as damaged for good: entries {first} to {last}."
        ));
    }
}

/// A section about entries of one kind.
struct Section {
    heading: &'static str,
    none: &'static str,
    about: &'static str,
    caption: &'static str,
}

const CLOCK: Section = Section {
    heading: "<h2>The clock</h2>\n",
    none: "No anomaly of the clock is recorded.",
    about: "Entries that the ledger wrote when its wall clock and its monotonic clock disagreed, and when they agreed again.",
    caption: "Anomalies of the clock",
};
const KEYS: Section = Section {
    heading: "<h2>Keys</h2>\n",
    none: "No entry about keys was met.",
    about: "Which keys the chain admitted, exchanged and revoked, and where.",
    caption: "History of keys",
};
const ACCESS: Section = Section {
    heading: "<h2>Access</h2>\n",
    none: "No entry says that anybody took a part of this record out. Whether anybody did, it cannot show.",
    about: "Who took which part of this record out, and for what purpose, as far as that was recorded.",
    caption: "Entries about access",
};
const INTERRUPTIONS: Section = Section {
    heading: "<h2>Interruptions</h2>\n",
    none: "No recovery, loss, quarantine or gap of capture is recorded.",
    about: "What the ledger wrote about recoveries, entries that were given up, quarantine, and what was not captured.",
    caption: "Interruptions",
};

fn lines(page: &mut Page, section: &Section, kept: &Kept<Line>) {
    page.markup(section.heading);
    if kept.total == 0 {
        page.paragraph(section.none);
        return;
    }
    page.paragraph(section.about);
    let rows = kept.items.iter().map(|line| {
        vec![
            Cell::Number(line.sequence),
            Cell::Time(plot::short(line.time)),
            Cell::Text(line.event_type.clone()),
            Cell::Text(line.actor.clone()),
            Cell::Text(line.about.clone()),
        ]
    });
    let heads = ["Entry", "Time", "Type", "Actor", "What it says"];
    page.table(section.caption, &heads, rows, kept.total, TABLE_MAX);
}

fn materials(page: &mut Page, subject: &Subject<'_>) {
    page.markup("<h2>What it was made from</h2>\n");
    let rows = subject.materials.iter().map(|material| {
        vec![
            Cell::Text(safe(&material.name)),
            Cell::Text(material.what.to_owned()),
            Cell::Number(material.size),
            Cell::Code(material.digest.to_string()),
        ]
    });
    let total = u64::try_from(subject.materials.len()).unwrap_or(u64::MAX);
    let heads = ["Name", "Used as", "Bytes", "SHA-256"];
    page.table("Inputs", &heads, rows, total, TABLE_MAX);
    if subject.view.places.is_ledger() {
        page.paragraph(
            "The ledger's files were read as one stream, up to what was durable then. A ledger goes on: only an export has a \
             digest that stays.",
        );
    }
    let report = subject.view.report;
    let held: Vec<String> =
        report.anchors.iter().map(|anchored| anchored.anchor.to_string()).collect();
    page.markup("<h3>Held before</h3>\n");
    if held.is_empty() {
        page.paragraph("Nothing.");
    } else {
        page.list(&held);
    }
}

fn repeat(page: &mut Page, subject: &Subject<'_>) {
    let (name, places) = (quoted(subject.view.name), subject.view.places);
    page.markup("<h2>To repeat it</h2>\n<p>As it was called, reports aside:</p>\n");
    commands(page, &[called(subject)]);
    page.markup("<p>To look further, each for itself:</p>\n");
    let mut further = vec![format!("sigchain log {name}"), format!("sigchain replay {name}")];
    if !places.is_ledger() {
        further.insert(0, format!("sha256sum {name}"));
    }
    further.push(format!("sigchain log {name} --type 'access.*' --type 'key.*' --type 'clock.*'"));
    let faulty = subject.view.report.faults.first().and_then(|fault| fault.sequence);
    further.push(match faulty {
        Some(sequence) => format!("sigchain log {name} --unverified --since {sequence}"),
        None => format!("sigchain show {name} 0"),
    });
    commands(page, &further);
    if places.is_ledger() {
        page.paragraph("For the second verifier, which reads files: sigchain export.");
    } else {
        page.markup("<p>With the second verifier, which shares no code with this one (spec/verifier in the source):</p>\n");
        commands(page, &[format!("python3 verify.py{} {name}", python_anchors(subject))]);
    }
}

fn commands(page: &mut Page, lines: &[String]) {
    page.markup("<pre><code>");
    for line in lines {
        page.text(line).markup("\n");
    }
    page.markup("</code></pre>\n");
}

/// The words of the command line, without reports: those files exist now, and nothing is overwritten.
fn called(subject: &Subject<'_>) -> String {
    let mut words = vec!["sigchain".to_owned()];
    let mut given = subject.command.iter().skip(1);
    while let Some(word) = given.next() {
        if word == "--report" {
            given.next();
        } else if !word.starts_with("--report=") {
            words.push(quoted(word));
        }
    }
    let name = subject.view.name;
    let is_named = subject.command.iter().any(|word| word == name || word == "-");
    if !is_named {
        words.insert(0, format!("SIGCHAIN_LEDGER={}", quoted(name)));
    }
    words.join(" ")
}

/// What the second verifier takes of what was held.
fn python_anchors(subject: &Subject<'_>) -> String {
    let notes = subject.materials.iter().filter(|material| material.what == "checkpoint");
    let notes = notes.map(|material| format!(" --checkpoint {}", quoted(&material.name)));
    let ids = subject.view.report.anchors.iter().filter_map(|anchored| match &anchored.anchor {
        Anchor::ChainId(id) => Some(format!(" --chain-id {id}")),
        Anchor::Key(id) => Some(format!(" --key {id}")),
        _ => None,
    });
    notes.chain(ids).collect()
}

/// A word as a shell takes it. What cannot be seen is shown escaped: then it is only to be read.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", text::printable(word).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [
            ("a/b-c.sigchain", "a/b-c.sigchain"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$(rm)", "'$(rm)'"),
            ("a\u{1b}b", "'a\\u{1b}b'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
