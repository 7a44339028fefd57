//! The tree of causes: below each entry what names it as its cause.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sigchain::id::EventId;

use crate::episode::Episode;
use crate::episode::say::{self, Limit};
use crate::episode::transcript::{clock, coloured, foot, head};
use crate::out::safe;

/// Levels that are indented; a chain of causes can be as long as the episode.
const LEVELS: usize = 24;

pub(super) fn write(episode: &Episode, limit: Limit) -> String {
    let mut out = head(episode);
    let here: BTreeSet<EventId> = episode.lines.iter().map(|line| line.event_id).collect();
    let mut below: BTreeMap<EventId, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (at, line) in episode.lines.iter().enumerate() {
        // A cause comes before its effect. What names a later entry, or itself, has none: else there would be circles.
        match line.cause.filter(|cause| here.contains(cause) && below.contains_key(cause)) {
            Some(cause) => below.entry(cause).or_default().push(at),
            None => roots.push(at),
        }
        below.entry(line.event_id).or_default();
    }
    let mut next: Vec<(usize, usize)> = roots.into_iter().rev().map(|at| (at, 0)).collect();
    while let Some((at, level)) = next.pop() {
        let Some(line) = episode.lines.get(at) else { continue };
        let indent = "  ".repeat(level.min(LEVELS));
        let deep = if level > LEVELS { format!("({level}) ") } else { String::new() };
        let mark = if level == 0 { "* " } else { "- " };
        let outside = match line.cause {
            Some(cause) if level == 0 => format!("  <- {cause}, elsewhere"),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "  {indent}{mark}{deep}{} {} {} {}{outside}",
            line.sequence,
            clock(line.time),
            safe(&line.actor),
            coloured(episode, line)
        );
        if let Some(detail) = say::detail(line).filter(|_| limit.is_none()) {
            for row in limit.lines(&detail) {
                let _ = writeln!(out, "  {indent}    | {row}");
            }
        }
        let effects = below.get(&line.event_id).into_iter().flatten();
        next.extend(effects.rev().map(|at| (*at, level.saturating_add(1))));
    }
    foot(&mut out, episode);
    out
}
