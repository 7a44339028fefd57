//! What a file says early and must prove late: payloads that a later entry erased, ranges that a later entry gives up.

use std::collections::BTreeMap;

use crate::digest::Digest;

/// Runs of entries, first and end, that name one later entry as the one that erased them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claimed(Vec<(u64, u64)>);

impl Claimed {
    /// Whether every one of them lies in a list of ranges (first, count), ascending and apart from each other.
    pub(super) fn are_within(&self, listed: &[(u64, u64)]) -> bool {
        self.0.iter().all(|(first, end)| {
            let after = listed.partition_point(|(start, _)| start <= first);
            let around = after.checked_sub(1).and_then(|at| listed.get(at));
            around.is_some_and(|(start, count)| start.saturating_add(*count) >= *end)
        })
    }
}

/// Payloads that are said to be erased, by the entry that is said to have erased them.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(BTreeMap<u64, Claimed>);

impl Claims {
    /// Entry `sequence` says that entry `by` erased its payload.
    pub(super) fn note(&mut self, by: u64, sequence: u64) {
        let runs = &mut self.0.entry(by).or_default().0;
        match runs.last_mut() {
            Some((_, end)) if *end == sequence => *end = sequence.saturating_add(1),
            _ => runs.push((sequence, sequence.saturating_add(1))),
        }
    }

    /// What was said of this entry.
    pub(super) fn take(&mut self, by: u64) -> Option<Claimed> {
        if self.0.is_empty() { None } else { self.0.remove(&by) }
    }

    /// Drops what was said of the entries from `first` to `end`; the lowest of them, if there are any.
    pub(super) fn take_range(&mut self, first: u64, end: u64) -> Option<u64> {
        let named: Vec<u64> = self.0.range(first..end).map(|(by, _)| *by).collect();
        for by in &named {
            self.0.remove(by);
        }
        named.first().copied()
    }

    /// The lowest entry from `size` on of which something was said: one that never came.
    pub(super) fn first_from(&self, size: u64) -> Option<u64> {
        self.0.range(size..).next().map(|(by, _)| *by)
    }
}

/// Lost ranges that no entry has resolved.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses(BTreeMap<u64, (u64, Digest)>);

impl Losses {
    /// The range is lost.
    pub(super) fn note(&mut self, first: u64, count: u64, hashes: &[Digest]) {
        self.0.insert(first, (count, digest(hashes)));
    }

    /// An entry gives up a range.
    pub(super) fn resolve(&mut self, first: u64, count: u64, hashes: &[Digest]) {
        if self.0.get(&first) == Some(&(count, digest(hashes))) {
            self.0.remove(&first);
        }
    }

    /// The first of the lowest range that is not resolved.
    pub(super) fn unresolved(&self) -> Option<u64> {
        self.0.first_key_value().map(|(first, _)| *first)
    }
}

fn digest(hashes: &[Digest]) -> Digest {
    let parts: Vec<&[u8]> = hashes.iter().map(|hash| &hash.as_bytes()[..]).collect();
    Digest::of(&parts)
}
