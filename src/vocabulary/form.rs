//! The forms that a field of a payload can have.

use std::fmt;

/// A field of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    /// What it may hold.
    pub form: Form,
    /// Whether it must be there.
    pub is_needed: bool,
    /// The OpenTelemetry attribute of the same meaning.
    pub attribute: Option<&'static str>,
}

impl Field {
    /// A row of the table. At most one attribute.
    pub(super) const fn new(
        name: &'static str,
        about: &'static str,
        form: Form,
        is_needed: bool,
        attribute: &[&'static str],
    ) -> Self {
        let attribute = match attribute {
            [] => None,
            [attribute, ..] => Some(*attribute),
        };
        Self { name, about: trimmed(about), form, is_needed, attribute }
    }
}

/// The text of a doc comment, without the space that it begins with.
pub(super) const fn trimmed(about: &'static str) -> &'static str {
    match about.as_bytes() {
        [b' ', rest @ ..] => match std::str::from_utf8(rest) {
            Ok(rest) => rest,
            Err(_) => about,
        },
        _ => about,
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// A whole number from 0 to 2^53 - 1.
    Count,
    /// 32 bytes as base64url or hexadecimal text.
    Digest,
    /// A UUID of version 7.
    EventId,
    /// Any JSON value.
    Json,
    /// An array of these.
    List(&'static Self),
    /// Any number.
    Number,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An object of these fields, and others that nobody knows.
    Record(&'static [Field]),
    /// The text form of a reference to an entry, of whatever ledger.
    Reference,
    /// An object whose values, under whatever names, are these.
    Table(&'static Self),
    /// A text.
    Text,
    /// A time as RFC 3339 has it.
    Time,
    /// true or false.
    Truth,
    /// A whole number between -(2^53 - 1) and 2^53 - 1.
    Whole,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "a whole number from 0 to 2^53 - 1",
            Self::Digest => "a digest (32 bytes, base64url or hexadecimal)",
            Self::EventId => "an event id (a UUID of version 7)",
            Self::Json => "any JSON value",
            Self::List(_) => "an array",
            Self::Number => "a number",
            Self::OneOf(words) => {
                for (at, word) in words.iter().enumerate() {
                    write!(f, "{}\"{word}\"", if at == 0 { "" } else { " or " })?;
                }
                return Ok(());
            }
            Self::Record(_) | Self::Table(_) => "an object",
            Self::Reference => "a reference (sigchain1.CHAIN.SEQUENCE.STAMP.EVENT.DIGEST)",
            Self::Text => "text",
            Self::Time => "a time (2026-11-20T05:00:00Z, any offset)",
            Self::Truth => "true or false",
            Self::Whole => "a whole number",
        })
    }
}
