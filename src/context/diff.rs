//! Two contexts of one history, side by side: what began and ended between them, and which counts differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::context::Context;
use crate::id::EventId;
use crate::key::KeyId;
use crate::text::printable;

/// Names of a kind that the text shows; the JSON has all.
const NAMES_SHOWN: usize = 12;

/// What has become of things that are open for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Turns<K: Display> {
    /// Those that are open still, and not as they were.
    #[serde(serialize_with = "texts")]
    pub changed: Vec<K>,
    /// Those that were open before and are not any more.
    #[serde(serialize_with = "texts")]
    pub closed: Vec<K>,
    /// Those that are open now and were not before.
    #[serde(serialize_with = "texts")]
    pub opened: Vec<K>,
}

fn texts<K: Display, S: Serializer>(list: &[K], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(list.iter().map(ToString::to_string))
}

impl<K: Display> Default for Turns<K> {
    fn default() -> Self {
        Self { changed: Vec::new(), closed: Vec::new(), opened: Vec::new() }
    }
}

impl<K: Display + Ord + Clone> Turns<K> {
    fn of<V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> Self {
        let missing = |from: &BTreeMap<K, V>, of: &BTreeMap<K, V>| {
            of.keys().filter(|key| !from.contains_key(*key)).cloned().collect()
        };
        let is_changed = |(key, now): &(&K, &V)| before.get(*key).is_some_and(|was| was != *now);
        let changed = after.iter().filter(is_changed).map(|(key, _)| key.clone()).collect();
        Self { changed, closed: missing(after, before), opened: missing(before, after) }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let parts =
            [("opened", &self.opened), ("closed", &self.closed), ("changed", &self.changed)];
        for (what, keys) in parts.into_iter().filter(|(_, keys)| !keys.is_empty()) {
            let shown: Vec<String> =
                keys.iter().take(NAMES_SHOWN).map(|key| printable(&key.to_string())).collect();
            let more = keys.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            writeln!(f, "  {name} {what}: {}{more}", shown.join(", "))?;
        }
        Ok(())
    }
}

/// What lies between two contexts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diff {
    /// Actions, by their intents.
    pub actions: Turns<EventId>,
    /// Counts that differ, before and after, by their place in the text of a context: a JSON pointer (RFC 6901).
    pub counts: BTreeMap<String, (u64, u64)>,
    /// Episodes.
    pub episodes: Turns<String>,
    /// Keys that may sign.
    pub keys: Turns<KeyId>,
    /// Reviews, by their requests.
    pub reviews: Turns<EventId>,
    /// Sessions.
    pub sessions: Turns<String>,
}

/// What lies between two contexts, from the earlier to the later one.
pub fn diff(before: &Context, after: &Context) -> Diff {
    let (was, is) = (counts(before), counts(after));
    let places: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let at = |counts: &BTreeMap<String, u64>, place: &str| counts.get(place).copied().unwrap_or(0);
    let both = |place: &String| (place.clone(), (at(&was, place), at(&is, place)));
    let counts = places.into_iter().map(both).filter(|(_, (was, is))| was != is).collect();
    Diff {
        actions: Turns::of(&before.actions.open, &after.actions.open),
        counts,
        episodes: Turns::of(&before.episodes.open, &after.episodes.open),
        keys: Turns::of(&before.keys, &after.keys),
        reviews: Turns::of(&before.reviews.open, &after.reviews.open),
        sessions: Turns::of(&before.sessions.open, &after.sessions.open),
    }
}

/// All counts of a context, by their places.
fn counts(context: &Context) -> BTreeMap<String, u64> {
    fn collect(value: &Value, place: &str, counts: &mut BTreeMap<String, u64>) {
        match value {
            Value::Number(number) => {
                counts.insert(place.to_owned(), number.as_u64().unwrap_or(0));
            }
            Value::Object(map) => {
                for (name, value) in map {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    collect(value, &format!("{place}/{name}"), counts);
                }
            }
            _ => {}
        }
    }

    let mut found = BTreeMap::new();
    // What is open is not a count: it is looked at by itself.
    let mut value = serde_json::to_value(context).unwrap_or_default();
    for family in ["actions", "episodes", "reviews", "sessions"] {
        if let Some(open) = value.pointer_mut(&format!("/{family}/open")) {
            *open = Value::Null;
        }
    }
    collect(&value, "", &mut found);
    found
}

impl Diff {
    /// Whether nothing lies between them.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// One JSON text: keys ascending, no white space.
    pub fn encode(&self) -> String {
        // Texts and numbers only: there is nothing in it that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Display for Diff {
    /// A line for each kind of change; nothing if there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actions.write(f, "actions")?;
        self.episodes.write(f, "episodes")?;
        self.keys.write(f, "keys")?;
        self.reviews.write(f, "reviews")?;
        self.sessions.write(f, "sessions")
    }
}
