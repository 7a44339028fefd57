//! The limits of the sixteen fields and of payloads, each checked here and nowhere else.
//!
//! A limit that the writer and the verifier each knew for themselves would sooner or later be two limits.

use std::fmt;

use crate::text;

/// Bytes of `actor`.
pub const ACTOR_MAX: usize = 256;
/// Bytes of `correlation_id` and of `episode_id`.
pub const GROUP_MAX: usize = 128;
/// Bytes of `event_type`.
pub const EVENT_TYPE_MAX: usize = 128;
/// Bytes of a payload field's name.
pub const NAME_MAX: usize = 128;
/// Bytes of a media type.
pub const MEDIA_TYPE_MAX: usize = 127;
/// Bytes of a payload, all its leaves together.
pub const PAYLOAD_MAX: usize = 16 << 20;
/// Leaves of a payload that is committed field by field.
pub const LEAVES_MAX: usize = 256;
/// Bytes of the payload of a reserved type.
pub const RESERVED_PAYLOAD_MAX: usize = 65_536;
/// The highest sequence: the largest integer that every JSON reader keeps exactly.
pub const SEQUENCE_MAX: u64 = (1 << 53) - 1;
/// The most entries a chain can have.
pub const SIZE_MAX: u64 = 1 << 53;

/// A value that a field cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field.
    pub field: &'static str,
    /// What it may hold.
    pub expected: &'static str,
    /// What was given, shortened and with control characters escaped.
    pub found: String,
}

impl FieldError {
    /// An error about `found`, which is shortened and escaped.
    pub fn new(field: &'static str, expected: &'static str, found: &str) -> Self {
        const SHOWN: usize = 60;
        Self { field, expected, found: text::shown(found, SHOWN) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found \"{}\"", self.field, self.expected, self.found)
    }
}

impl std::error::Error for FieldError {}

/// Whether `text` may be an actor.
pub fn is_actor(text: &str) -> bool {
    is_label(text, ACTOR_MAX)
}

/// Whether `text` may be a correlation or episode id.
pub fn is_group(text: &str) -> bool {
    is_label(text, GROUP_MAX)
}

/// Whether `text` may be the name of a payload field.
pub fn is_name(text: &str) -> bool {
    is_label(text, NAME_MAX)
}

fn is_label(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && !text.chars().any(text::is_control)
}

/// Whether `text` is dotted lower-case words: `[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*`.
pub fn is_event_type(text: &str) -> bool {
    text.len() <= EVENT_TYPE_MAX
        && text.split('.').all(|word| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        })
}

/// Whether an event type belongs to a family that only the ledger itself writes.
pub fn is_reserved(event_type: &str) -> bool {
    matches!(
        event_type.split_once('.'),
        Some(("chain" | "key" | "epoch" | "clock" | "recovery" | "quarantine" | "erasure", _))
    )
}

/// Whether verification relies on the entries of this type's family, so that none may be elided.
pub fn is_authority(event_type: &str) -> bool {
    matches!(event_type.split_once('.'), Some(("chain" | "key" | "erasure", _)))
}

/// Whether `text` may be a media type; empty says nothing about the bytes.
pub fn is_media_type(text: &str) -> bool {
    text.len() <= MEDIA_TYPE_MAX && text.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// Whether `text` may name a chain: `[a-z0-9]([a-z0-9./-]*[a-z0-9])?`, so that it can stand in the origin of a signed note.
pub fn is_chain_name(text: &str) -> bool {
    let inner = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'/' | b'-');
    let outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 64
        && outer(bytes.first())
        && outer(bytes.last())
        && bytes.iter().all(|b| inner(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types() {
        for good in ["a", "tool.call", "a-b.c_d.e9", "chain.genesis"] {
            assert!(is_event_type(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "A", "1a", "a.1", "a b", "\u{e9}", "a\n"] {
            assert!(!is_event_type(bad), "{bad:?}");
        }
        assert!(is_event_type(&"a".repeat(128)) && !is_event_type(&"a".repeat(129)));
    }

    #[test]
    fn chain_names() {
        assert!(is_chain_name("example.org/agents-1") && is_chain_name("x"));
        for bad in ["", "/x", "x/", "X", "a b", "a+b", "a\u{e9}"] {
            assert!(!is_chain_name(bad), "{bad:?}");
        }
    }
}
