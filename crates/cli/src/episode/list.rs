//! The episodes of a record, one line for each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};
use sigchain::frame::Written;
use sigchain::stamp::Stamp;
use sigchain::verify::Seen;

use crate::episode::Line;
use crate::json::{object, render};
use crate::out::{self, entries, grouped, safe};
use crate::record::Record;
use crate::trouble::Trouble;

/// Episodes that are told apart; of the rest it is said how many entries they have.
const EPISODES_MAX: usize = 100_000;

#[derive(Debug)]
struct About {
    first: Stamp,
    last: Stamp,
    entries: u64,
    actor: String,
    goal: Option<String>,
    status: Option<String>,
}

pub(super) fn run(record: &mut Record, json: bool) -> Result<u8, Trouble> {
    let mut found: BTreeMap<String, About> = BTreeMap::new();
    let mut others: u64 = 0;
    let report = record.read(&mut |seen| {
        let Seen::Entry(shown) = seen else { return Ok(()) };
        let fields = &shown.written.fields;
        let Some(id) = fields.episode_id.as_deref() else { return Ok(()) };
        if !found.contains_key(id) {
            if found.len() >= EPISODES_MAX {
                others = others.saturating_add(1);
                return Ok(());
            }
            let (first, actor) = (fields.system_time, fields.actor.to_string());
            let about = About { first, last: first, entries: 0, actor, goal: None, status: None };
            found.insert(id.to_owned(), about);
        }
        let Some(about) = found.get_mut(id) else { return Ok(()) };
        about.entries = about.entries.saturating_add(1);
        about.last = fields.system_time;
        let text = |name| text_of(shown.written, name);
        match &*fields.event_type {
            "episode.start" => about.goal = text("goal"),
            "episode.end" => about.status = text("status"),
            _ => {}
        }
        Ok(())
    })?;
    record.tell_basis(&report);
    let mut episodes: Vec<(&String, &About)> = found.iter().collect();
    episodes.sort_by_key(|(_, about)| about.first);
    if json {
        return render(answer(&episodes, others)).and_then(|text| out::print(&text)).map(|()| 0);
    }
    let mut text = String::new();
    for (id, about) in &episodes {
        let status = about.status.as_deref().unwrap_or("-");
        let goal = about.goal.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<20}  {}  {:>7}  {:<9}  {}  {}",
            safe(id),
            about.first,
            grouped(about.entries),
            safe(status),
            safe(&about.actor),
            safe(goal)
        );
    }
    if others > 0 {
        let _ = writeln!(text, "and {} of other episodes", entries(others));
    }
    out::page(&text)?;
    Ok(0)
}

/// A field of an entry's payload that is text.
fn text_of(written: &Written<'_>, name: &str) -> Option<String> {
    Line::of(written).text(name).map(ToOwned::to_owned)
}

fn answer(episodes: &[(&String, &About)], others: u64) -> Map<String, Value> {
    let listed = episodes.iter().map(|(id, about)| {
        object([
            ("episode_id", id.as_str().into()),
            ("actor", about.actor.as_str().into()),
            ("entries", about.entries.into()),
            ("first", about.first.to_string().into()),
            ("last", about.last.to_string().into()),
            ("goal", about.goal.clone().into()),
            ("status", about.status.clone().into()),
        ])
    });
    let pairs = [("episodes", listed.collect::<Value>()), ("other_entries", others.into())];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
