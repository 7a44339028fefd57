//! Points of a chain's history, in one grammar for API and command line. Pure: what a point stands for in a given chain is for
//! `replay` to find.

use std::fmt;

use crate::id::EventId;
use crate::limit::FieldError;
use crate::stamp::{Stamp, ValidTime};

/// Digits of a sequence: with one more it would be a stamp.
const DIGITS_MAX: usize = 15;
/// Digits after the second that a time may have; a stamp is shown with six.
const FRACTION_MAX: usize = 9;

const GRAMMAR: &str = "head, -N (N entries before the head), a sequence (at most 15 digits), a stamp (16 lower-case \
                       hexadecimal digits), a time (2026-11-20T05:00:00.25Z, any offset), or an event id (a UUID of version 7)";

/// A place in the history of a chain. It includes the entry that it names and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// So many entries before the head; 0 is the head.
    Back(u64),
    /// The entry of this event.
    Event(EventId),
    /// The last entry.
    Head,
    /// The entry with this sequence, of at most 15 digits.
    Sequence(u64),
    /// The last entry whose stamp is not above this one.
    Stamp(Stamp),
    /// The last entry whose stamp, in whole microseconds as it is shown, is not after this time.
    Time(ValidTime),
}

impl Point {
    /// Parses any form of a point. The error lists the forms.
    ///
    /// ```
    /// use sigchain::point::Point;
    ///
    /// assert_eq!(Point::parse("17")?, Point::Sequence(17));
    /// assert_eq!(Point::parse("-2")?, Point::Back(2));
    /// let utc = Point::parse("2026-11-20T05:00:00.25Z")?;
    /// assert_eq!(Point::parse("2026-11-20 06:00:00.250+01:00")?, utc);
    /// # Ok::<(), sigchain::limit::FieldError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let point = if text == "head" {
            Some(Self::Head)
        } else if let Some(count) = text.strip_prefix('-') {
            number(count).map(Self::Back)
        } else {
            // By length no two of these can be mistaken for each other: 1 to 15, 16, 36, and a time has 20 to 35.
            number(text)
                .map(Self::Sequence)
                .or_else(|| Stamp::parse_hex(text).map(Self::Stamp))
                .or_else(|| EventId::parse(&text.to_ascii_lowercase()).map(Self::Event))
                .or_else(|| time(text).map(Self::Time))
        };
        point.ok_or_else(|| FieldError::new("point", GRAMMAR, text))
    }

    /// Whether it counts from the head, so that it moves when entries are appended.
    pub fn is_relative(&self) -> bool {
        matches!(self, Self::Back(_) | Self::Head)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Back(count) => write!(f, "-{count}"),
            Self::Event(id) => id.fmt(f),
            Self::Head => f.write_str("head"),
            Self::Sequence(sequence) => sequence.fmt(f),
            Self::Stamp(stamp) => f.write_str(&stamp.hex()),
            Self::Time(time) => time.fmt(f),
        }
    }
}

/// A decimal number without sign and leading zero.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let fits = (1..=DIGITS_MAX).contains(&text.len());
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if canonical && fits && digits { text.parse().ok() } else { None }
}

/// So many digits at the beginning, and what follows them.
fn digits(text: &str, len: usize) -> Option<(i64, &str)> {
    let (digits, rest) = text.split_at_checked(len)?;
    let all = digits.bytes().all(|b| b.is_ascii_digit());
    if all { Some((digits.parse().ok()?, rest)) } else { None }
}

/// A time as RFC 3339 has it, cut to microseconds.
fn time(text: &str) -> Option<ValidTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (hour_and_minute, rest) = rest.split_at_checked(5)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (fraction, rest) = fraction(rest)?;
    let offset = offset(rest)?;
    // The calendar is that of `ValidTime`, which takes one text for each moment and nothing else.
    let minute = ValidTime::parse(&format!("{date}T{hour_and_minute}:00.000000Z"))?.micros();
    let in_minute = match second {
        0..=59 => second * 1_000_000 + fraction,
        // A leap second, all of it: clocks that count as ours do have no number for it, and what they stamped in it lies before
        // the next minute.
        60 => 60_000_000,
        _ => return None,
    };
    ValidTime::from_micros(minute + in_minute - offset * 60_000_000)
}

/// Microseconds, cut off, and what follows them.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=FRACTION_MAX).contains(&len) {
        return None;
    }
    let (shown, rest) = rest.split_at_checked(len)?;
    let (micros, _) = digits(&format!("{shown:0<6}"), 6)?;
    Some((micros, rest))
}

/// Minutes that the text's clock is ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = if let Some(rest) = text.strip_prefix('+') {
        (1, rest)
    } else {
        (-1, text.strip_prefix('-')?)
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let fits = hours <= 23 && minutes <= 59 && rest.is_empty();
    fits.then_some(sign * (hours * 60 + minutes))
}
