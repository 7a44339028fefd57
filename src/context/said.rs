//! What of a payload the state takes: a few fields, read where they lie, whole or leaf by leaf.
//!
//! Anything may stand there: old payloads, other people's, none. What cannot be read says nothing, and is counted.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::context::form::{self, Latest, NAME_BYTES_MAX, cut};
use crate::payload::{Leaf, Part, Slot};

/// Messages of an episode that are kept, the last ones.
pub const MESSAGES_MAX: usize = 16;
/// Bytes of a message's text that are kept, from its beginning.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// The media type of what is read.
const JSON: &str = "application/json";

/// Why there is nothing to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Withheld, erased, or hidden where it matters.
    Absent,
    /// Not what its type says.
    IllFormed,
}

/// A text that is borrowed where it can be.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Str<'p>(#[serde(borrow)] Cow<'p, str>);

impl Str<'_> {
    pub(super) fn get(&self) -> &str {
        &self.0
    }

    /// As the name of something.
    pub(super) fn name(&self) -> String {
        cut(&self.0, NAME_BYTES_MAX).to_owned()
    }
}

/// A name that may not be said.
pub(super) fn name(said: Option<&Str<'_>>) -> Option<String> {
    said.map(Str::name)
}

/// Fields of a payload.
pub(super) trait Fields<'p>: Deserialize<'p> + Default {
    /// One of them, committed by itself. A name that is none of them says nothing.
    fn leaf(&mut self, name: &str, json: &'p [u8]) -> serde_json::Result<()>;
    /// Whether there is enough of it.
    fn is_enough(&self) -> bool;
}

macro_rules! said {
    ($($(#[doc = $about:literal])+ $name:ident { $($need:ident),* } { $($may:ident),* } { $($field:ident: $of:ty),* })+) => {$(
        $(#[doc = $about])+
        #[derive(Debug, Default, Deserialize)]
        pub(super) struct $name<'p> {
            $(#[serde(borrow, default)] pub(super) $need: Option<Str<'p>>,)*
            $(#[serde(borrow, default)] pub(super) $may: Option<Str<'p>>,)*
            $(#[serde(default)] pub(super) $field: Option<$of>,)*
            #[serde(skip)]
            of: PhantomData<&'p ()>,
        }

        impl<'p> Fields<'p> for $name<'p> {
            fn leaf(&mut self, name: &str, json: &'p [u8]) -> serde_json::Result<()> {
                match name {
                    $(stringify!($need) => self.$need = serde_json::from_slice(json)?,)*
                    $(stringify!($may) => self.$may = serde_json::from_slice(json)?,)*
                    $(stringify!($field) => self.$field = serde_json::from_slice(json)?,)*
                    _ => {}
                }
                Ok(())
            }

            fn is_enough(&self) -> bool {
                true $(&& self.$need.is_some())*
            }
        }
    )+};
}

said! {
    /// `session.start`, `session.end`
    Visit { session } { agent } {}
    /// `episode.start`
    Begin {} { agent, goal, session } {}
    /// `episode.end`
    Finish { status } {} {}
    /// `llm.request`
    Ask { model } {} {}
    /// `llm.response`
    Answer {} {} { input_tokens: u64, output_tokens: u64 }
    /// Both of `llm.request` at once, if both can be read.
    AskAndTalk { model } {} { messages: Messages }
    /// Both of `llm.response` at once, if both can be read.
    AnswerAndTalk {} {} { input_tokens: u64, output_tokens: u64, messages: Messages }
    /// `tool.call`
    Call { tool } {} {}
    /// `retrieval.request`
    Look { source } {} {}
    /// What went wrong with an action.
    Failure { kind } {} {}
    /// Of `llm.request` and `llm.response`, where somebody wants to know.
    Talk {} {} { messages: Messages }
}

/// Reads a payload. One without bytes and media type is an object without members, as it is where it was admitted.
pub(super) fn read<'p, T: Fields<'p>>(part: &'p Part<'_>) -> Result<T, Unread> {
    let said = match part {
        Part::Erased(_) | Part::Withheld => return Err(Unread::Absent),
        Part::Whole(leaf) if leaf.media_type.is_empty() && leaf.bytes.is_empty() => T::default(),
        Part::Whole(leaf) if leaf.media_type == JSON => {
            serde_json::from_slice(&leaf.bytes).map_err(|_| Unread::IllFormed)?
        }
        Part::Whole(_) => return Err(Unread::IllFormed),
        Part::Fields(slots) => return leaves(slots),
    };
    if said.is_enough() { Ok(said) } else { Err(Unread::IllFormed) }
}

fn leaves<'p, T: Fields<'p>>(slots: &'p [Slot<'_>]) -> Result<T, Unread> {
    let mut said = T::default();
    let mut has_hidden = false;
    for slot in slots {
        match slot {
            Slot::Hidden(_) => has_hidden = true,
            Slot::Shown(Leaf { name: Some(name), media_type, bytes, .. }) if media_type == JSON => {
                said.leaf(name, bytes).map_err(|_| Unread::IllFormed)?;
            }
            Slot::Shown(_) => {}
        }
    }
    match (said.is_enough(), has_hidden) {
        (true, _) => Ok(said),
        (false, true) => Err(Unread::Absent),
        (false, false) => Err(Unread::IllFormed),
    }
}

/// What was said to a model or by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Message {
    /// Bytes of the whole text.
    pub bytes: u64,
    /// Who said it, in the words of the payload.
    pub role: Option<String>,
    /// The text from its beginning, of at most 1,024 bytes.
    pub text: String,
}

/// The last of many messages. Takes any JSON: what has another shape than messages have says nothing.
#[derive(Debug, Default)]
pub(super) struct Messages(pub(super) Latest<Message>);

/// A text that grows, and is kept from its beginning.
#[derive(Debug, Default)]
struct Growing {
    bytes: u64,
    kept: String,
    is_full: bool,
}

impl Growing {
    fn push(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let room = MESSAGE_BYTES_MAX.saturating_sub(self.kept.len());
        let start = if self.is_full { "" } else { cut(text, room) };
        self.is_full |= start.len() < text.len();
        self.kept.push_str(start);
    }

    fn join(&mut self, other: &Self) {
        let (bytes, room) = (self.bytes, MESSAGE_BYTES_MAX.saturating_sub(self.kept.len()));
        self.bytes = bytes.saturating_add(other.bytes);
        let start = if self.is_full { "" } else { cut(&other.kept, room) };
        self.is_full |= start.len() < other.kept.len() || other.is_full;
        self.kept.push_str(start);
    }
}

/// A JSON value of any shape, as what it says: its texts, one after the other, and a role.
#[derive(Debug, Default)]
struct Loose {
    role: Option<String>,
    text: Growing,
}

impl<'d> Deserialize<'d> for Loose {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'d> Visitor<'d> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        let mut loose = Loose::default();
        loose.text.push(text);
        Ok(loose)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
        Ok(Loose::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Loose, E> {
        Ok(Loose::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Loose, E> {
        Ok(Loose::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
        Ok(Loose::default())
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::default())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut seq: A) -> Result<Loose, A::Error> {
        let mut all = Loose::default();
        while let Some(part) = seq.next_element::<Loose>()? {
            all.text.join(&part.text);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Loose, A::Error> {
        let mut all = Loose::default();
        while let Some(Str(key)) = map.next_key::<Str<'_>>()? {
            match &*key {
                "content" | "parts" | "text" => {
                    all.text.join(&map.next_value::<Loose>()?.text);
                }
                "role" => {
                    let role = map.next_value::<Loose>()?.text.kept;
                    all.role = Some(cut(&role, NAME_BYTES_MAX).to_owned());
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(all)
    }
}

impl<'d> Deserialize<'d> for Messages {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        struct List;

        impl<'d> Visitor<'d> for List {
            type Value = Latest<Message>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of messages, or one text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                let mut messages = Latest::default();
                push(&mut messages, LooseVisitor.visit_str::<serde_json::Error>(text).ok());
                Ok(messages)
            }

            fn visit_seq<A: SeqAccess<'d>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut messages = Latest::default();
                while let Some(loose) = seq.next_element::<Loose>()? {
                    push(&mut messages, Some(loose));
                }
                Ok(messages)
            }
        }

        from.deserialize_any(List).map(Self)
    }
}

fn push(messages: &mut Latest<Message>, loose: Option<Loose>) {
    let Some(Loose { role, text }) = loose else { return };
    messages.push(Message { bytes: text.bytes, role, text: text.kept }, MESSAGES_MAX);
}

/// Adds what was said to what was said before.
pub(super) fn follow(before: &mut Latest<Message>, more: Latest<Message>) {
    if more.dropped > 0 {
        // Of what was before nothing is left.
        let gone = u64::try_from(before.last.len()).unwrap_or(u64::MAX);
        before.dropped = before.dropped.saturating_add(gone).saturating_add(more.dropped);
        before.last = more.last;
        return;
    }
    for message in more.last {
        before.push(message, MESSAGES_MAX);
    }
}

/// One more, of what could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Unreadable {
    /// Withheld or erased, or hidden in the part that matters.
    pub absent: u64,
    /// Not what their types say.
    pub ill_formed: u64,
}

impl Unreadable {
    /// What was read, or a note of why it was not.
    pub(super) fn note<T>(&mut self, read: Result<T, Unread>) -> Option<T> {
        match read {
            Ok(said) => return Some(said),
            Err(Unread::Absent) => form::count(&mut self.absent),
            Err(Unread::IllFormed) => form::count(&mut self.ill_formed),
        }
        None
    }
}
