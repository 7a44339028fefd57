//! Words of the command line as what they mean. Each says what it expected instead.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sigchain::digest::Digest;
use sigchain::id::{EventId, TraceId};
use sigchain::limit;
use sigchain::point::Point;
use sigchain::select::Filter;
use sigchain::stamp::ValidTime;

use crate::args::extract::Withhold;
use crate::history::Grep;

/// A word that does not mean what it should.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) what: String,
    pub(super) expected: String,
}

impl Unfit {
    pub(super) fn new(found: &str, wanted: &str, expected: &str) -> Self {
        Self { what: format!("\"{found}\" is no {wanted}"), expected: expected.to_owned() }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}", self.what, self.expected)
    }
}

impl Error for Unfit {}

pub(super) fn chain_id(text: &str) -> Result<Digest, Unfit> {
    let expected = "64 hexadecimal digits, or 43 characters of base64url";
    Digest::parse(text).ok_or_else(|| Unfit::new(text, "chain id", expected))
}

pub(super) fn point(text: &str) -> Result<Point, Unfit> {
    Point::parse(text).map_err(|error| Unfit::new(&error.found, "point", error.expected))
}

pub(super) fn seconds(text: &str) -> Result<Duration, Unfit> {
    let parsed = text.parse().ok().filter(|seconds| *seconds <= 86_400);
    let unfit = || Unfit::new(text, "time to wait", "whole seconds, at most 86400");
    parsed.map(Duration::from_secs).ok_or_else(unfit)
}

pub(super) fn bytes(text: &str) -> Result<u64, Unfit> {
    let expected = "a whole number above 0, such as 1048576";
    let unfit = || Unfit::new(text, "number of bytes", expected);
    text.parse().ok().filter(|bytes| *bytes > 0).ok_or_else(unfit)
}

pub(super) fn threads(text: &str) -> Result<usize, Unfit> {
    let unfit = || Unfit::new(text, "number of threads", "a number from 1 to 1024");
    text.parse().ok().filter(|threads| (1..=1024).contains(threads)).ok_or_else(unfit)
}

pub(super) fn trace(text: &str) -> Result<TraceId, Unfit> {
    let unfit = || Unfit::new(text, "trace", "32 lower-case hexadecimal digits");
    TraceId::parse(text).ok_or_else(unfit)
}

pub(super) fn event_id(text: &str) -> Result<EventId, Unfit> {
    let unfit = || Unfit::new(text, "id", "a UUID version 7, as quarantine list prints it");
    EventId::parse(text).ok_or_else(unfit)
}

pub(super) fn time(text: &str) -> Result<ValidTime, Unfit> {
    match Point::parse(text) {
        Ok(Point::Time(time)) => Ok(time),
        _ => Err(Unfit::new(text, "time", "a time such as 2026-11-20T05:00:00Z, with any offset")),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a span is counted from the present, which only the system knows"
)]
pub(super) fn deadline(text: &str) -> Result<ValidTime, Unfit> {
    const EXPECTED: &str =
        "a time (2026-11-20T05:00:00Z), or so long from now: +90s, +15m, +2h, +7d (at most 36500d)";
    let unfit = || Unfit::new(text, "deadline", EXPECTED);
    let Some(span) = text.strip_prefix('+') else {
        return time(text).map_err(|_| unfit());
    };
    let at = span.len().saturating_sub(1);
    let (number, letter) = span.split_at_checked(at).ok_or_else(unfit)?;
    let seconds: i64 = match letter {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(unfit()),
    };
    let number: i64 = number.parse().ok().filter(|n| (0..=36_500).contains(n)).ok_or_else(unfit)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| unfit())?;
    let now = i64::try_from(now.as_micros()).map_err(|_| unfit())?;
    let micros = number.saturating_mul(seconds).saturating_mul(1_000_000);
    ValidTime::from_micros(now.saturating_add(micros)).ok_or_else(unfit)
}

pub(super) fn approvals(text: &str) -> Result<u64, Unfit> {
    let unfit = || Unfit::new(text, "number of approvals", "a number from 1 to 64");
    text.parse().ok().filter(|n| (1..=64).contains(n)).ok_or_else(unfit)
}

pub(super) fn grep(text: &str) -> Result<Grep, Unfit> {
    Grep::new(text).map_err(|error| {
        // The lines before the last one draw where it is.
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Unfit::new(text, "pattern", &format!("a regular expression: {why}"))
    })
}

/// How many entries a sample has: more than this nobody looks at, and their paths and payloads are held in memory.
const SAMPLE_MAX: u64 = 100_000;

pub(super) fn sample(text: &str) -> Result<u64, Unfit> {
    let unfit = || Unfit::new(text, "number of entries", "a number from 1 to 100000");
    text.parse().ok().filter(|count| (1..=SAMPLE_MAX).contains(count)).ok_or_else(unfit)
}

pub(super) fn withhold(text: &str) -> Result<Withhold, Unfit> {
    const EXPECTED: &str = "TYPE or TYPE:FIELD, such as llm.* or tool.call:arguments";
    let (pattern, field) = match text.split_once(':') {
        Some((pattern, field)) => (pattern, Some(field)),
        None => (text, None),
    };
    let unfit = || Unfit::new(text, "payload to withhold", EXPECTED);
    let filter = Filter::new().event_type(pattern).map_err(|_| unfit())?;
    if field.is_some_and(|field| !limit::is_name(field)) {
        return Err(unfit());
    }
    if limit::is_reserved(pattern) {
        let expected =
            "a type that is not the ledger's own: keys and erasures hang on the payloads of those";
        return Err(Unfit::new(text, "payload that can be withheld", expected));
    }
    let (text, field) = (text.to_owned(), field.map(str::to_owned));
    Ok(Withhold { text, filter, field })
}
