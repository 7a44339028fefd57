//! The verdict for somebody who signs no code: what was found, what that proves, and what it does not.

use sigchain::chainfile::Form;
use sigchain::fault::Phase;
use sigchain::verify::{Anchor, End, Report, Verdict};

use crate::out::{entries, grouped, plural};
use crate::report::Subject;
use crate::verify::{Compared, anchored, missing, taken};

/// How a finding looks; each has words too, since not everybody sees colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Bad,
    Good,
    Open,
}

pub(super) struct Words {
    pub(super) state: State,
    pub(super) label: &'static str,
    pub(super) lead: String,
    /// What follows from it, in sentences.
    pub(super) proves: Vec<String>,
    pub(super) not: Vec<String>,
}

pub(super) fn of(subject: &Subject<'_>) -> Words {
    let report = subject.view.report;
    let (state, label, lead) = headline(subject);
    let mut proves: Vec<String> = Vec::new();
    match report.verdict() {
        Verdict::Unreadable => {}
        Verdict::Faulty => of_faulty(report, &mut proves),
        _ => of_sound(report, &mut proves),
    }
    if let Some(gate) = subject.view.gate {
        let (outcomes, types) = (plural(gate.outcomes, "outcome"), gate.types());
        proves.push(match gate.without {
            0 => format!("Gates: each of {outcomes} of {types} names an intent by a gate before it."),
            n => format!(
                "Gates: {} of {outcomes} of {types} name no intent by a gate before them, so nothing here shows that they \
                 were let through.",
                grouped(n)
            ),
        });
    }
    Words { state, label, lead, proves, not: limits(report) }
}

fn headline(subject: &Subject<'_>) -> (State, &'static str, String) {
    let report = subject.view.report;
    let whole = entries(report.entries);
    match subject.view.compared {
        Some(Compared::Fork { .. }) => {
            let lead = "Keys of this chain signed two different entries with one sequence number: two histories were written, \
                        and this file is one of them.";
            return (State::Bad, "Forked", lead.to_owned());
        }
        Some(Compared::OtherChain) => {
            let lead = "The two files that were compared are of different chains. At most one is the record that is meant.";
            return (State::Bad, "Of another chain", lead.to_owned());
        }
        _ => {}
    }
    let ungated = subject.view.gate.filter(|gate| gate.without > 0);
    match (report.verdict(), ungated) {
        (Verdict::Faulty, _) => {
            let (content, chain) = (report.total_of(Phase::Content), report.total_of(Phase::Chain));
            let lead = format!(
                "This is not what was signed. {} found in {whole}: {} in the content of single entries, {} in how they follow \
                 each other.",
                plural(report.total(), "fault"),
                grouped(content),
                grouped(chain)
            );
            (State::Bad, "Faulty", lead)
        }
        (Verdict::Unreadable, _) => {
            let lead = "This is no record of this format that could be read. Nothing of its content was judged.";
            (State::Bad, "Unreadable", lead.to_owned())
        }
        (_, Some(gate)) => {
            let lead = format!(
                "The record itself has no fault. But of {} in it nothing shows that a gate let it through, as was required.",
                plural(gate.without, "outcome")
            );
            (State::Bad, "Not let through", lead)
        }
        (Verdict::Intact, None) => {
            let lead = format!(
                "No fault was found in {whole}, and something that was held outside vouches for it."
            );
            (State::Good, "Intact", lead)
        }
        _ if report.anchors.is_empty() => {
            let lead = format!(
                "No fault was found in {whole}, but nothing that was held outside the file was given to compare it with. It \
                 agrees with itself, and anybody can make such a file."
            );
            (State::Open, "Not vouched for", lead)
        }
        _ => {
            let lead = format!(
                "No fault was found in {whole}, and yet it is not vouched for as was asked."
            );
            (State::Open, "Not vouched for", lead)
        }
    }
}

fn of_faulty(report: &Report, proves: &mut Vec<String>) {
    proves.push(
        "Something was changed, damaged, left out, added or cut, or recorded by somebody who was not entitled to. Below is where."
            .to_owned(),
    );
    let first = report.faults.iter().filter_map(|fault| fault.sequence).min();
    if let Some(first) = first.filter(|first| *first > 0) {
        proves.push(format!(
            "The first fault that can be placed is at entry {first}. Whether the entries before it can be relied upon takes an \
             intact copy that is held elsewhere."
        ));
    }
    for given in &report.anchors {
        proves.push(match given.size {
            Some(size) => {
                let anchor = anchored(&given.anchor, size);
                format!("What was held still fits in one place: {anchor}.")
            }
            None => format!("What was held is not confirmed: {}.", given.anchor),
        });
    }
    proves.push("A fault does not say who caused it, nor whether it was intended.".to_owned());
}

fn of_sound(report: &Report, proves: &mut Vec<String>) {
    for anchored in &report.anchors {
        let Some(size) = anchored.size else {
            proves.push(format!("Missing: {}.", missing(&anchored.anchor)));
            continue;
        };
        proves.push(match &anchored.anchor {
            Anchor::Checkpoint(..) => format!(
                "Held checkpoint: the first {} are exactly those that existed when that checkpoint was made. Since then none of \
                 them was changed, removed, added or moved.",
                entries(size)
            ),
            Anchor::Key(id) => format!(
                "Held key {id}: the first {} are those that its holder vouched for, in this order and none missing, unless the \
                 holder of that key made a second record.",
                entries(size)
            ),
            Anchor::ChainId(_) => {
                "Held chain id: this is the chain that was meant, and every entry in it is signed by a key that the chain \
                 itself admitted. By itself it does not show whether the end is the end."
                    .to_owned()
            }
            other => format!("Held: {other}, for the first {}.", entries(size)),
        });
    }
    match report.beyond() {
        None => proves.push(
            "Every entry is signed by a key that the file itself names, and linked to the entry before it. Who holds those keys \
             the file cannot prove."
                .to_owned(),
        ),
        Some(0) => proves.push("No entry lies beyond what is vouched for.".to_owned()),
        Some(beyond) => proves.push(format!(
            "Beyond that: {}, signed by the chain's own keys. Whoever holds such a key could have written them otherwise, or left \
             some out.",
            entries(beyond)
        )),
    }
    if report.gaps.any() && !report.gaps.are_proven() {
        proves.push(
            "Entries are missing from this file, and no seal vouches that none of them changed a key.".to_owned(),
        );
    }
}

/// What no verification of this file can prove.
fn limits(report: &Report) -> Vec<String> {
    let mut not: Vec<String> = vec![
        "That what an entry says is true: it proves what was recorded, and by which key, not what happened.".to_owned(),
        "That everything that happened was recorded. Only a gate can stop what it cannot record; see the ways of capture."
            .to_owned(),
        "That a time is the real time: times are those of the clock of the machine that recorded.".to_owned(),
        "Which person or system holds a key.".to_owned(),
    ];
    if !report.unique {
        not.push("That each event was recorded only once: event ids were not compared (--unique compares them).".to_owned());
    }
    if report.payloads.withheld > 0 {
        not.push("That payloads were withheld for a good reason.".to_owned());
    }
    not.push("That nothing was recorded after the end of what was verified.".to_owned());
    not
}

/// Entries that the file stands for and does not hold.
fn absent(report: &Report) -> u64 {
    let gaps = &report.gaps;
    gaps.archived.saturating_add(gaps.elided).saturating_add(gaps.lost)
}

/// What was looked at.
pub(super) fn checked(report: &Report) -> Vec<String> {
    let p = &report.payloads;
    let seen = p.present.saturating_add(p.partial);
    let which = if report.counts.is_empty() {
        entries(report.entries.saturating_sub(absent(report)))
    } else {
        "as far as entries could be read".to_owned()
    };
    let signatures = match report.taken_on_word {
        0 => "its Ed25519 signature verified".to_owned(),
        n => format!(
            "its Ed25519 signature verified, except for {}, which were taken on the word of a checkpoint",
            plural(n, "signature")
        ),
    };
    let mut done: Vec<String> = vec![
        format!("Content: the digest of each entry was computed anew and {signatures}: {which}."),
        format!(
            "Content: what there is of {} was compared with what the entry committed to.",
            plural(seen, "payload")
        ),
        "Chain: the link of each entry to the one before, sequence numbers, stamps, and whether each \
         key could sign what it signed."
            .to_owned(),
        "Chain: each checkpoint, seal and batch against the entries that stand before it.".to_owned(),
    ];
    if report.unique {
        done.push("Chain: all event ids were compared with each other.".to_owned());
    }
    done
}

/// What was not looked at, or could not be.
pub(super) fn unchecked(subject: &Subject<'_>) -> Vec<String> {
    let report = subject.view.report;
    let mut left: Vec<String> = Vec::new();
    left.extend(taken(report, subject.view.is_word_own).map(|taken| {
        format!("{taken}. The tree over these entries has the root that the checkpoint states.")
    }));
    let p = &report.payloads;
    if p.withheld > 0 {
        left.push(format!(
            "{} withheld by whoever made the file: only their commitments are here.",
            plural(p.withheld, "payload")
        ));
    }
    if p.erased > 0 {
        left.push(format!(
            "{} erased: only their commitments are here.",
            plural(p.erased, "payload")
        ));
    }
    if absent(report) > 0 {
        left.push(format!("{} not in this file.", entries(absent(report))));
    }
    let attached =
        report.attachments.values().sum::<u64>().saturating_add(report.attachments_other);
    if attached > 0 {
        left.push(format!(
            "{}: they are not covered by any signature of the chain.",
            plural(attached, "attachment")
        ));
    }
    if let Some(before) = &report.predecessor {
        left.push(format!("The chain that this one continues, {}.", before.chain));
    }
    if !report.unique {
        left.push("Whether an event id occurs twice, those of approved entries aside.".to_owned());
    }
    if !report.counts.is_empty() {
        left.push(
            "What only follows from a fault: the first fault names the cause, and behind some damage nothing can be read."
                .to_owned(),
        );
    }
    left.push(format!("Whether more was recorded later: what was verified {}.", end(subject)));
    left
}

fn end(subject: &Subject<'_>) -> &'static str {
    let report = subject.view.report;
    match report.end {
        _ if subject.view.places.is_ledger() => {
            "ended where all was durable when this began, and a ledger goes on"
        }
        End::Signed => "ended with a checkpoint of its own",
        End::Unsigned => "ended with a size and root that nobody signed",
        _ if report.form == Some(Form::JsonLines) => "had no trailer, as a live log has none",
        _ => "had no trailer",
    }
}
