//! The transcript: entries in the order of the chain.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sigchain::id::EventId;
use sigchain::stamp::Stamp;

use crate::actions;
use crate::episode::say::{self, Limit};
use crate::episode::{Episode, Line};
use crate::look::{Paint, paint};
use crate::out::{entries, plural, safe};

/// Columns before what is said below a line.
const INDENT: &str = "                  ";

pub(super) fn write(episode: &Episode, limit: Limit) -> String {
    let mut out = head(episode) + &lines(episode, limit);
    foot(&mut out, episode);
    out
}

pub(super) fn lines(episode: &Episode, limit: Limit) -> String {
    let mut out = String::new();
    let mut intents: BTreeMap<EventId, (&str, Stamp)> = BTreeMap::new();
    let mut actor = "";
    for line in &episode.lines {
        if line.actor != actor {
            let _ = writeln!(out, "{}", paint(Paint::Name, &safe(&line.actor)));
            actor = &line.actor;
        }
        // Of what answers its cause; an intent that has the same cause did not take so long.
        let (family, is_intent) =
            (actions::family(&line.event_type), actions::is_intent(&line.event_type));
        let intent = line.cause.and_then(|cause| intents.get(&cause));
        let intent = intent.filter(|(asked, _)| *asked == family && !is_intent);
        let took = intent.map(|(_, from)| took(*from, line.time));
        if is_intent {
            intents.insert(line.event_id, (family, line.time));
        }
        let _ = writeln!(
            out,
            "  {:>7} {} {}{}",
            line.sequence,
            clock(line.time),
            coloured(episode, line),
            took.unwrap_or_default()
        );
        if let Some(detail) = say::detail(line) {
            for row in limit.lines(&detail) {
                let _ = writeln!(out, "{INDENT}{} {row}", paint(Paint::Dim, "|"));
            }
        }
    }
    out
}

pub(super) fn head(episode: &Episode) -> String {
    let span = match (episode.lines.first(), episode.lines.last()) {
        (Some(first), Some(last)) => format!("{} to {}", first.time, last.time),
        _ => String::new(),
    };
    let id = safe(&episode.id);
    format!("episode {id} of chain {}\n{span}\n\n", episode.chain_id)
}

pub(super) fn foot(out: &mut String, episode: &Episode) {
    if episode.more > 0 {
        let _ = writeln!(out, "  and {}, which are not shown", entries(episode.more));
    }
    let shown = u64::try_from(episode.lines.len()).unwrap_or(u64::MAX);
    let all = shown.saturating_add(episode.more);
    let open = episode.actions.len();
    let _ = writeln!(
        out,
        "\n{}, {}, {open} of them without an outcome",
        entries(all),
        plural(episode.actions.intents, "intent")
    );
    let ways = episode.captures.iter().map(|(class, n)| format!("{class} {n}"));
    let _ = writeln!(out, "by way of capture: {}", ways.collect::<Vec<_>>().join(", "));
    for action in episode.actions.oldest() {
        let what = format!("open: {} {} by {}", action.sequence, action.event_type, action.actor);
        let _ = writeln!(out, "  {}", paint(Paint::Bad, &what));
    }
    if episode.missing > 0 {
        let _ = writeln!(
            out,
            "  {} of the chain are not in this file; some of them may be of this episode",
            entries(episode.missing)
        );
    }
}

/// The line in words, what went wrong in red and what people decide apart from the rest.
pub(super) fn coloured(episode: &Episode, line: &Line) -> String {
    let text = say::headline(line, episode.subject(line));
    match line.event_type.as_str() {
        "review.veto" | "review.expire" | "capture.gap" => paint(Paint::Bad, &text),
        kind if say::is_failure(kind) => paint(Paint::Bad, &text),
        kind if kind.starts_with("review.") => paint(Paint::Odd, &text),
        _ => text,
    }
}

/// The time of the day, to milliseconds.
pub(super) fn clock(stamp: Stamp) -> String {
    stamp.to_string().get(11..23).unwrap_or_default().to_owned()
}

fn took(from: Stamp, to: Stamp) -> String {
    let micros = to.micros().saturating_sub(from.micros()).max(0);
    let text = match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{:02} s", micros / 1_000_000, micros / 10_000 % 100),
    };
    format!("  {}", paint(Paint::Dim, &format!("[{text}]")))
}
