//! A small projection: what there is, counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use crate::codec::len_u64;
use crate::key::{KeyId, Role};
use crate::payload::{Part, Presence, Slot};
use crate::projection::{Item, Projection};
use crate::reserved::Reserved;
use crate::stamp::Stamp;
use crate::text;

/// Counts entries, by type and by actor, payloads and episodes, and keeps the keys that are active after the last entry.
///
/// Memory grows with the number of different types, actors and episode ids, not with that of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Entries by actor.
    pub actors: BTreeMap<String, u64>,
    /// Entries.
    pub entries: u64,
    /// The different episode ids.
    pub episodes: BTreeSet<String>,
    /// Stamp of the first entry.
    pub first: Option<Stamp>,
    /// Keys of the last chain that may sign what follows the last entry, and their roles.
    pub keys: BTreeMap<KeyId, Role>,
    /// Stamp of the last entry.
    pub last: Option<Stamp>,
    /// Bytes of payloads that can be seen.
    pub shown: u64,
    /// Payloads that were erased.
    pub erased: u64,
    /// Payloads with some fields hidden.
    pub partial: u64,
    /// Payloads that can be seen whole.
    pub present: u64,
    /// Payloads that are withheld.
    pub withheld: u64,
    /// Entries by type.
    pub types: BTreeMap<String, u64>,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One JSON text for each state: keys ascending, no white space.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        out.push_str("{\"actors\":");
        counts(out, &self.actors)?;
        write!(out, ",\"entries\":{},\"episodes\":{}", self.entries, self.episodes.len())?;
        moment(out, "first", self.first)?;
        out.push_str(",\"keys\":{");
        for (at, (id, role)) in self.keys.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(out, "{comma}\"{id}\":\"{}\"", role.name())?;
        }
        out.push('}');
        moment(out, "last", self.last)?;
        write!(out, ",\"payloads\":{{\"bytes\":{},\"erased\":{}", self.shown, self.erased)?;
        write!(out, ",\"partial\":{},\"present\":{}", self.partial, self.present)?;
        write!(out, ",\"withheld\":{}}},\"types\":", self.withheld)?;
        counts(out, &self.types)?;
        out.push('}');
        Ok(())
    }

    fn count_payload(&mut self, part: &Part<'_>) {
        let counter = match part.presence() {
            Presence::Erased => &mut self.erased,
            Presence::Partial => &mut self.partial,
            Presence::Present => &mut self.present,
            Presence::Withheld => &mut self.withheld,
        };
        *counter = counter.saturating_add(1);
        let shown = match part {
            Part::Whole(leaf) => len_u64(leaf.bytes.len()),
            Part::Fields(slots) => slots.iter().map(shown_in).sum(),
            Part::Erased(_) | Part::Withheld => 0,
        };
        self.shown = self.shown.saturating_add(shown);
    }

    fn count_keys(&mut self, item: &Item<'_>) {
        let fields = item.fields;
        let family = fields.event_type.split_once('.');
        if !matches!(family, Some(("chain" | "key", _))) {
            return;
        }
        if let Ok(reserved) = Reserved::parse(&fields.event_type, item.part, fields.sequence) {
            reserved.change_keys(&mut self.keys);
        }
    }
}

impl Projection for Tally {
    fn apply(&mut self, item: &Item<'_>) {
        let fields = item.fields;
        self.entries = self.entries.saturating_add(1);
        add(&mut self.actors, &fields.actor);
        add(&mut self.types, &fields.event_type);
        if let Some(episode) = &fields.episode_id
            && !self.episodes.contains(&**episode)
        {
            self.episodes.insert(episode.to_string());
        }
        self.first.get_or_insert(fields.system_time);
        self.last = Some(fields.system_time);
        self.count_payload(item.part);
        self.count_keys(item);
    }
}

fn shown_in(slot: &Slot<'_>) -> u64 {
    match slot {
        Slot::Hidden(_) => 0,
        Slot::Shown(leaf) => len_u64(leaf.bytes.len()),
    }
}

/// Adds one, without a copy of the name where it is known already.
fn add(counts: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_add(1);
    } else {
        counts.insert(name.to_owned(), 1);
    }
}

fn counts(out: &mut String, counts: &BTreeMap<String, u64>) -> fmt::Result {
    for (at, (name, count)) in counts.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        text::json_string(out, name);
        write!(out, ":{count}")?;
    }
    out.push_str(if counts.is_empty() { "{}" } else { "}" });
    Ok(())
}

fn moment(out: &mut String, name: &str, stamp: Option<Stamp>) -> fmt::Result {
    match stamp {
        Some(stamp) => {
            let hex = stamp.hex();
            write!(out, ",\"{name}\":{{\"stamp\":\"{hex}\",\"time\":\"{stamp}\"}}")
        }
        None => write!(out, ",\"{name}\":null"),
    }
}
