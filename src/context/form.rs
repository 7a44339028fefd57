//! How the state is written: one text for each value, and the same value from it again.
//!
//! The structs of the state have their fields in ascending order, as the JSON has them.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::id::EventId;
use crate::key::{KeyId, Role};
use crate::stamp::{Stamp, ValidTime};

/// Different names that are counted each by itself.
pub const NAMES_MAX: usize = 1024;
/// Bytes of a name; of a longer one only the beginning counts.
pub const NAME_BYTES_MAX: usize = 256;

/// What has one text.
pub(in crate::context) trait Text: Sized {
    fn show(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

macro_rules! texts {
    ($($of:ty: $show:expr, $read:expr;)+) => {$(
        impl Text for $of {
            fn show(&self) -> String {
                ($show)(self)
            }
            fn read(text: &str) -> Option<Self> {
                ($read)(text)
            }
        }
    )+};
}

texts! {
    EventId: EventId::to_string, EventId::parse;
    KeyId: KeyId::to_string, KeyId::parse;
    Role: |role: &Role| role.name().to_owned(), Role::parse;
    Stamp: |stamp: &Stamp| stamp.hex(), Stamp::parse_hex;
    ValidTime: ValidTime::to_string, ValidTime::parse;
}

/// What stands in a map under the id of its event, and is written as an item of a list.
pub(in crate::context) trait ById {
    fn event_id(&self) -> EventId;
}

/// A value as its text.
pub(in crate::context) mod text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::context::form::Text;

    pub(in crate::context) fn serialize<T: Text, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.show())
    }

    pub(in crate::context) fn deserialize<'d, T: Text, D: Deserializer<'d>>(
        from: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        T::read(&text).ok_or_else(|| D::Error::custom("a text of another form"))
    }
}

/// A value that may be missing, as its text or null.
pub(in crate::context) mod optional {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::context::form::Text;

    #[expect(clippy::ref_option, reason = "the form that serde asks for")]
    pub(in crate::context) fn serialize<T: Text, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_str(&value.show()),
            None => to.serialize_none(),
        }
    }

    pub(in crate::context) fn deserialize<'d, T: Text, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let value = T::read(&text).ok_or_else(|| D::Error::custom("a text of another form"))?;
        Ok(Some(value))
    }
}

/// A map from texts to texts.
pub(in crate::context) mod table {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::context::form::Text;

    pub(in crate::context) fn serialize<K: Text, V: Text, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(map.iter().map(|(key, value)| (key.show(), value.show())))
    }

    pub(in crate::context) fn deserialize<'d, K: Text + Ord, V: Text, D: Deserializer<'d>>(
        from: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(from)?;
        let pair = |(key, value): (String, String)| Some((K::read(&key)?, V::read(&value)?));
        let map: Option<BTreeMap<K, V>> = texts.into_iter().map(pair).collect();
        map.ok_or_else(|| D::Error::custom("a text of another form"))
    }
}

/// A map by event ids, as a list of what stands in it.
pub(in crate::context) mod list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::context::form::ById;
    use crate::id::EventId;

    pub(in crate::context) fn serialize<T: Serialize, S: Serializer>(
        map: &BTreeMap<EventId, T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.values())
    }

    pub(in crate::context) fn deserialize<'d, T: Deserialize<'d> + ById, D: Deserializer<'d>>(
        from: D,
    ) -> Result<BTreeMap<EventId, T>, D::Error> {
        let list = Vec::<T>::deserialize(from)?;
        Ok(list.into_iter().map(|item| (item.event_id(), item)).collect())
    }
}

/// The beginning of a text, of at most so many bytes, that ends with a whole character.
pub(in crate::context) fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// What belongs to names that come from elsewhere: to the first of them each its own, to all the others one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Names<T> {
    /// By name.
    pub names: BTreeMap<String, T>,
    /// What belongs to the names for which there was no room.
    pub rest: T,
}

impl<T: Default> Names<T> {
    /// Where that name counts. Makes no copy of one that is known.
    pub(in crate::context) fn of(&mut self, name: &str) -> &mut T {
        let name = cut(name, NAME_BYTES_MAX);
        // Twice looked up where it is known: a borrow that is given away cannot be given up again.
        if self.names.contains_key(name) {
            return self.names.get_mut(name).unwrap_or(&mut self.rest);
        }
        if self.names.len() >= NAMES_MAX {
            return &mut self.rest;
        }
        self.names.entry(name.to_owned()).or_default()
    }

    /// What belongs to a name of which something is known by itself.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.names.get(name)
    }
}

impl Names<u64> {
    pub(in crate::context) fn add(&mut self, name: &str) {
        // One look-up, of the two that each entry takes.
        let count = match self.names.get_mut(cut(name, NAME_BYTES_MAX)) {
            Some(count) => count,
            None => self.of(name),
        };
        *count = count.saturating_add(1);
    }
}

/// The last few of something, and how many there were before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Latest<T> {
    /// How many there were before them.
    pub dropped: u64,
    /// The last of them, oldest first.
    pub last: VecDeque<T>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { dropped: 0, last: VecDeque::new() }
    }
}

impl<T> Latest<T> {
    pub(in crate::context) fn push(&mut self, item: T, max: usize) {
        if self.last.len() >= max {
            self.last.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.last.push_back(item);
    }
}

/// One more.
pub(in crate::context) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
