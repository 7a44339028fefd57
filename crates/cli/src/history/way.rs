//! What to do where `sigchain replay` gives no state, in terms of its options.

use std::fmt::{self, Write as _};

use sigchain::id::EventId;
use sigchain::point::Point;
use sigchain::replay::{Faulty, LineError, Replay, ReplayError};

use crate::args::ReplayOptions;
use crate::history::replay::{Part, faults, replay};
use crate::history::sentence;
use crate::out::safe;

/// How to reach the last entry that can be reached.
pub(super) enum Way {
    /// By this event, in the same call.
    Event(EventId),
    /// By replaying this file, if it has a name, with nothing else.
    File(Option<String>, u64),
    /// By this sequence, in the same call.
    Sequence(u64),
}

/// A sequence means the last chain, so that for another one it takes an event; and that has to lead there.
pub(super) fn find(options: &ReplayOptions, faulty: &Faulty, parts: &mut [Part]) -> Option<Way> {
    let reach = faulty.reach?;
    if parts.last().is_some_and(|file| file.chain_id == Some(reach.chain_id)) {
        return Some(Way::Sequence(reach.sequence));
    }
    let part = parts.iter_mut().find(|part| part.chain_id == Some(reach.chain_id))?;
    let name = (part.opened.name != "standard input").then(|| part.opened.name.clone());
    let alone = Replay::until(Point::Sequence(reach.sequence)).allow_gaps(true).alone(true);
    let event = alone.run(&mut [&mut part.opened.source], ()).ok().map(|found| found.at.event_id);
    let leads_there = |event: &EventId| {
        replay(options, Point::Event(*event), parts).is_ok_and(|found| {
            (found.at.chain_id, found.at.sequence) == (reach.chain_id, reach.sequence)
        })
    };
    Some(event.filter(leads_there).map_or(Way::File(name, reach.sequence), Way::Event))
}

/// Why there is no state, what was expected, what to do, and the faults.
pub(super) fn write_error(
    text: &mut String,
    error: &ReplayError,
    way: Option<&Way>,
    parts: &[Part],
) -> fmt::Result {
    writeln!(text, "sigchain: no state: {}", sentence(error))?;
    let (expected, next) = advice(error, way);
    writeln!(text, "  expected: {expected}\n  next: {next}")?;
    if let ReplayError::Fault(faulty) = error
        && let Some(chapter) = faulty.chapters.get(faulty.at)
    {
        faults(text, parts, &faulty.chapters, chapter)?;
    }
    Ok(())
}

fn advice(error: &ReplayError, way: Option<&Way>) -> (&'static str, String) {
    let (expected, next) = match error {
        ReplayError::Fault(_) => {
            let keep = "keep the file as it is, and get another copy";
            let next = match way {
                None => format!("{keep}; no entry can be reached"),
                Some(Way::Sequence(last)) => {
                    format!("--until {last} is the last entry that can be reached; {keep}")
                }
                Some(Way::Event(last)) => {
                    format!("--until {last} is the last entry that can be reached; {keep}")
                }
                Some(Way::File(Some(name), last)) => {
                    let name = safe(name);
                    format!(
                        "replay that file by itself: sigchain replay {name} --alone --until {last}; {keep}"
                    )
                }
                Some(Way::File(None, last)) => {
                    format!("replay that file by itself, with --alone --until {last}; {keep}")
                }
            };
            return ("no fault at the point or before it", next);
        }
        ReplayError::Gap { .. } => (
            "all entries up to the point",
            "give a file that has them, or an earlier point; --allow-gaps goes without them",
        ),
        ReplayError::Line(LineError::Missing(_)) => (
            "all chains of the line",
            "give it too, with --predecessor FILE; or only FILE, with --alone: not the whole history",
        ),
        ReplayError::Line(LineError::Root { .. } | LineError::Short { .. }) => {
            ("the chain that its successor continues", "get another copy of that chain")
        }
        ReplayError::Line(_) => (
            "each chain of the line once, FILE the last of them",
            "give each with --predecessor FILE, and no other",
        ),
        _ => ("a point of this history", "name another --until; sigchain log lists the entries"),
    };
    (expected, next.to_owned())
}
