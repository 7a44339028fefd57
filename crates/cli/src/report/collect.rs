//! What a report says about the content of a chain: a fold over the verifier's pass, in bounded memory.

use std::collections::BTreeMap;

use sigchain::entry::Fields;
use sigchain::frame::{Gap, Written};
use sigchain::key::KeyId;
use sigchain::payload::{Leaf, Part, Presence};
use sigchain::reserved::Reserved;
use sigchain::stamp::Stamp;
use sigchain::text;
use sigchain::verify::Seen;

use crate::actions::Actions;
use crate::out::{self, safe};
use crate::report::capture::Capture;
use crate::report::cbor;
use crate::report::timeline::Timeline;

/// Different names that are counted each by itself.
const NAMES_MAX: usize = 1000;
/// Things of one kind that are kept, to be listed; the rest is counted.
const KEPT: usize = 200;
/// Characters of a payload.
const PAYLOAD_SHOWN: usize = 160;

/// The first so many of something, and how many there are.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) items: Vec<T>,
    pub(super) total: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0 }
    }
}

impl<T> Kept<T> {
    fn push(&mut self, make: impl FnOnce() -> T) {
        self.total = self.total.saturating_add(1);
        if self.items.len() < KEPT {
            self.items.push(make());
        }
    }
}

/// How often each name occurs.
#[derive(Debug, Default)]
pub(super) struct Counts {
    names: BTreeMap<String, u64>,
    /// Entries with names beyond the first so many.
    pub(super) other: u64,
}

impl Counts {
    fn add(&mut self, name: &str) {
        if let Some(count) = self.names.get_mut(name) {
            *count = count.saturating_add(1);
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(name.to_owned(), 1);
        } else {
            self.other = self.other.saturating_add(1);
        }
    }

    /// Different names, those aside that came when there were too many.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The most frequent first.
    pub(super) fn ranked(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.names.iter().map(|(name, count)| (&**name, *count)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }
}

/// Entries in ranges.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// First and last of each.
    pub(super) ranges: Vec<(u64, u64)>,
    /// Entries in all, in ranges that are kept or not.
    pub(super) total: u64,
    /// Entries in ranges that are not kept.
    pub(super) unlisted: u64,
}

impl Runs {
    fn add(&mut self, sequence: u64) {
        self.total = self.total.saturating_add(1);
        let is_next = |last: u64| last.checked_add(1) == Some(sequence);
        if let Some((_, last)) = self.ranges.last_mut().filter(|(_, last)| is_next(*last))
            && self.unlisted == 0
        {
            *last = sequence;
        } else if self.ranges.len() < KEPT {
            self.ranges.push((sequence, sequence));
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }
}

/// An entry in a line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sequence: u64,
    pub(super) time: Stamp,
    pub(super) event_type: String,
    pub(super) actor: String,
    /// Of its payload, or what it says.
    pub(super) about: String,
}

/// Payloads that one entry erased.
#[derive(Debug, Default)]
pub(super) struct Erasure {
    pub(super) payloads: Runs,
    /// The entry itself, once it has come.
    pub(super) by: Option<Line>,
}

/// All of it. Texts are harmless already: nothing in them can act on a terminal or deceive a reader.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(super) entries: u64,
    pub(super) first: Option<Stamp>,
    pub(super) last: Option<(u64, Stamp)>,
    pub(super) types: Counts,
    pub(super) actors: Counts,
    captures: [u64; Capture::ALL.len()],
    pub(super) timeline: Timeline,
    pub(super) withheld: Runs,
    pub(super) partial: Runs,
    /// By the entry that erased them.
    pub(super) erasures: BTreeMap<u64, Erasure>,
    /// Payloads that were erased by entries beyond the first so many.
    pub(super) erased_otherwise: u64,
    pub(super) gaps: Kept<Gap>,
    pub(super) keys: Kept<Line>,
    pub(super) clock: Kept<Line>,
    pub(super) access: Kept<Line>,
    /// Interruptions: what the ledger wrote about recoveries, losses and quarantine.
    pub(super) interruptions: Kept<Line>,
    pub(super) actions: Actions,
    /// Checkpoints and seals over exactly the entries before them.
    pub(super) statements: u64,
    /// Whether a fault was met; nothing behind it was looked at here.
    pub(super) ended_early: bool,
}

impl Collected {
    pub(crate) fn take(&mut self, seen: &Seen<'_>, capture: Capture) {
        match seen {
            Seen::Entry(shown) => self.entry(shown.written, capture),
            Seen::Gap(gap) => self.gaps.push(|| (*gap).clone()),
            Seen::Fault(_) => self.ended_early = true,
            Seen::Seal(_) | Seen::Stated(_) => {
                self.statements = self.statements.saturating_add(1);
            }
            _ => {}
        }
    }

    /// Entries of each class that there is any of.
    pub(super) fn captures(&self) -> Vec<(&'static str, u64)> {
        let counted = Capture::ALL.iter().zip(self.captures);
        counted.filter(|(_, count)| *count > 0).map(|(class, n)| (class.words(), n)).collect()
    }

    fn entry(&mut self, written: &Written<'_>, capture: Capture) {
        let (fields, part) = (&written.fields, &written.part);
        self.entries = self.entries.saturating_add(1);
        self.first.get_or_insert(fields.system_time);
        self.last = Some((fields.sequence, fields.system_time));
        self.types.add(&fields.event_type);
        self.actors.add(&fields.actor);
        let class =
            Capture::ALL.iter().zip(&mut self.captures).find(|(class, _)| **class == capture);
        if let Some((_, count)) = class {
            *count = count.saturating_add(1);
        }
        self.timeline.add(fields.system_time.micros());
        match part.presence() {
            Presence::Withheld => self.withheld.add(fields.sequence),
            Presence::Partial => self.partial.add(fields.sequence),
            _ => {}
        }
        if let Part::Erased(by) = part {
            self.erased(fields.sequence, *by);
        }
        self.actions.take(fields);
        match fields.event_type.split_once('.') {
            Some(("access", _)) => self.access.push(|| line(fields, payload(part))),
            Some(("clock", _)) => self.clock.push(|| line(fields, payload(part))),
            Some(("erasure", _)) => self.erasure(fields, part),
            Some(("chain" | "key", _)) => self.authority(fields, part),
            Some(("recovery" | "quarantine", _) | ("capture", "gap")) => {
                self.interruptions.push(|| line(fields, payload(part)));
            }
            _ => {}
        }
    }

    fn erased(&mut self, sequence: u64, by: u64) {
        if self.erasures.len() >= KEPT && !self.erasures.contains_key(&by) {
            self.erased_otherwise = self.erased_otherwise.saturating_add(1);
            return;
        }
        self.erasures.entry(by).or_default().payloads.add(sequence);
    }

    fn erasure(&mut self, fields: &Fields<'_>, part: &Part<'_>) {
        if self.erasures.len() >= KEPT && !self.erasures.contains_key(&fields.sequence) {
            return;
        }
        let about = match Reserved::parse(&fields.event_type, part, fields.sequence) {
            Ok(Reserved::Erased { detail, entries }) => {
                let count = entries.iter().fold(0, |sum: u64, (_, n)| sum.saturating_add(*n));
                format!("{} named; {}", out::entries(count), cbor::describe(&detail))
            }
            _ => payload(part),
        };
        self.erasures.entry(fields.sequence).or_default().by = Some(line(fields, about));
    }

    fn authority(&mut self, fields: &Fields<'_>, part: &Part<'_>) {
        let Ok(reserved) = Reserved::parse(&fields.event_type, part, fields.sequence) else {
            return;
        };
        let approved = match reserved.approvals().len() {
            0 => String::new(),
            1 => "; approved by 1 key".to_owned(),
            n => format!("; approved by {n} keys"),
        };
        let is_key = |id: &KeyId, role: &str| format!("{role} key {id}");
        let about = match &reserved {
            Reserved::Genesis { keys, operators, .. } => {
                let keys = keys.iter().map(|key| is_key(&key.id(), key.role.name()));
                let operators = u64::try_from(operators.len()).unwrap_or(u64::MAX);
                let keys = keys.collect::<Vec<_>>().join(", ");
                format!("begins with {keys}; {}", out::plural(operators, "operator"))
            }
            Reserved::Enroll { key, .. } => {
                format!("enrolled: {}", is_key(&key.id(), key.role.name()))
            }
            Reserved::Rotate { key, old, .. } => {
                format!("rotated: {} in the place of {old}", is_key(&key.id(), key.role.name()))
            }
            Reserved::Revoke { key, reason, trusted, .. } => {
                let trusted = trusted.map_or(String::new(), |trusted| {
                    format!("; trusted for the first {}", out::entries(trusted.size))
                });
                format!("revoked: key {key}, {}{trusted}", reason.name())
            }
            Reserved::Operators { operators, .. } => {
                let count = u64::try_from(operators.len()).unwrap_or(u64::MAX);
                format!("operators from here on: {}", out::plural(count, "key"))
            }
            Reserved::Abandoned { entries, .. } => {
                let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
                let about =
                    format!("{} signed or numbered and never part of it", out::entries(count));
                return self.interruptions.push(|| line(fields, about));
            }
            Reserved::Resolved { first, count, statement, .. } => {
                let last = first.saturating_add(*count).saturating_sub(1);
                let said = text::shown(statement, PAYLOAD_SHOWN);
                let about =
                    format!("entries {first} to {last} given up as damaged: {said}{approved}");
                return self.interruptions.push(|| line(fields, about));
            }
            _ => return,
        };
        self.keys.push(|| line(fields, about + &approved));
    }
}

fn line(fields: &Fields<'_>, about: String) -> Line {
    Line {
        sequence: fields.sequence,
        time: fields.system_time,
        event_type: safe(&fields.event_type),
        actor: safe(&fields.actor),
        about,
    }
}

/// A payload in a few words.
fn payload(part: &Part<'_>) -> String {
    match part {
        Part::Whole(leaf) => value(leaf),
        Part::Fields(_) => "committed by field".to_owned(),
        Part::Erased(by) => format!("erased by entry {by}"),
        Part::Withheld => "withheld".to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn value(leaf: &Leaf<'_>) -> String {
    if leaf.media_type == "application/cbor" {
        return cbor::describe(&leaf.bytes).chars().take(2 * PAYLOAD_SHOWN).collect();
    }
    let bytes = leaf.bytes.get(..4 * PAYLOAD_SHOWN).unwrap_or(&leaf.bytes);
    match std::str::from_utf8(bytes) {
        Ok(found) => text::shown(found, PAYLOAD_SHOWN),
        // Cut within a character.
        Err(error) if error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            text::shown(&String::from_utf8_lossy(whole), PAYLOAD_SHOWN)
        }
        Err(_) => out::plural(u64::try_from(leaf.bytes.len()).unwrap_or(u64::MAX), "byte"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let mut counts = Counts::default();
        (0..2 * NAMES_MAX).for_each(|n| counts.add(&n.to_string()));
        counts.add("0");
        assert_eq!((counts.len(), counts.other), (NAMES_MAX, 1000));
        assert_eq!(counts.ranked()[0], ("0", 2));
        let mut runs = Runs::default();
        for n in [1, 2, 3, 7] {
            runs.add(n);
        }
        assert_eq!((&runs.ranges[..], runs.total), (&[(1, 3), (7, 7)][..], 4));
        (0..1000).for_each(|n| runs.add(10 + 2 * n));
        assert_eq!((runs.ranges.len(), runs.total, runs.unlisted), (KEPT, 1004, 1002 - 200));
        let mut kept = Kept::default();
        (0..1000).for_each(|n| kept.push(|| n));
        assert_eq!((kept.items.len(), kept.total), (KEPT, 1000));
    }
}
