//! Which entries are wanted, and reading just those: from a ledger, from the directory of one, from a chain file.
//!
//! What is read so is not verified. Frames are guarded against accident, and what is damaged is an error. Against people nothing is:
//! neither signatures nor links are looked at, so that a million entries a second can be passed over. It is what
//! [`Ledger::entry`](crate::ledger::Ledger::entry) does too. Whoever needs to know that nobody has changed anything verifies
//! ([`crate::verify`]), and may hold each entry that it shows against a [`Filter`].
//!
//! Stamps strictly increase along a chain. So where entries can be had by their numbers, those of a span of time are found by halving,
//! and nothing before or behind them is read.

mod file;
mod pass;
mod store;

use std::io;
use std::ops::Range;

use crate::entry::Fields;
use crate::id::{EventId, TraceId};
use crate::limit::{self, EVENT_TYPE_MAX, FieldError};
use crate::point::Point;
use crate::stamp::{Stamp, ValidTime};
use crate::store::Store;

pub use crate::select::file::InFile;
pub use crate::select::pass::Passage;
pub use crate::select::store::Selected;
pub(crate) use crate::select::store::{fields, written};

/// Which entries are wanted: all, unless something is said. What is said of different things must hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    since: Option<Point>,
    until: Option<Point>,
    types: Vec<String>,
    actor: Option<String>,
    episode: Option<String>,
    correlation: Option<String>,
    trace: Option<TraceId>,
    valid_from: Option<ValidTime>,
    valid_to: Option<ValidTime>,
}

impl Filter {
    /// All entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// From this point on: the entry that it names is the first. A time stands for the first entry in that microsecond or after it.
    #[must_use]
    pub fn since(self, point: Point) -> Self {
        Self { since: Some(point), ..self }
    }

    /// Up to this point: the entry that it names is the last. A time stands for the last entry up to and in that microsecond.
    #[must_use]
    pub fn until(self, point: Point) -> Self {
        Self { until: Some(point), ..self }
    }

    /// Of this type; `*` stands for any part of one, dots too, so that `llm.*` is a family. Given several times, any of them.
    ///
    /// ```
    /// use sigchain::select::Filter;
    ///
    /// let talk = Filter::new().event_type("llm.*")?.event_type("tool.call")?;
    /// # Ok::<(), sigchain::limit::FieldError>(())
    /// ```
    pub fn event_type(mut self, pattern: &str) -> Result<Self, FieldError> {
        let fits = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*');
        if !(1..=EVENT_TYPE_MAX).contains(&pattern.len()) || !pattern.bytes().all(fits) {
            let expected = "dotted lower-case words, with * for any part of them, such as llm.*";
            return Err(FieldError::new("type", expected, pattern));
        }
        self.types.push(pattern.to_owned());
        Ok(self)
    }

    /// Whether it wants only some types.
    pub fn names_types(&self) -> bool {
        !self.types.is_empty()
    }

    /// Whether it looks at anything of an entry but where it stands.
    fn names_fields(&self) -> bool {
        *self != Self { since: self.since, until: self.until, ..Self::default() }
    }

    /// Of this actor.
    pub fn actor(self, actor: &str) -> Result<Self, FieldError> {
        let actor = Some(text("actor", actor, limit::is_actor)?);
        Ok(Self { actor, ..self })
    }

    /// Of this episode.
    pub fn episode(self, id: &str) -> Result<Self, FieldError> {
        let episode = Some(text("episode", id, limit::is_group)?);
        Ok(Self { episode, ..self })
    }

    /// Of this correlation.
    pub fn correlation(self, id: &str) -> Result<Self, FieldError> {
        let correlation = Some(text("correlation", id, limit::is_group)?);
        Ok(Self { correlation, ..self })
    }

    /// Of this trace.
    #[must_use]
    pub fn trace(self, id: TraceId) -> Self {
        Self { trace: Some(id), ..self }
    }

    /// Of what was true at some time from `from` on and before `to`, as the entry itself says: one that says nothing of it is not
    /// wanted.
    #[must_use]
    pub fn valid(self, from: Option<ValidTime>, to: Option<ValidTime>) -> Self {
        Self { valid_from: from, valid_to: to, ..self }
    }

    /// Whether it asks when something was true, and that was not then.
    fn is_outside(&self, fields: &Fields<'_>) -> bool {
        if self.valid_from.is_none() && self.valid_to.is_none() {
            return false;
        }
        let is_silent = fields.valid_from.is_none() && fields.valid_to.is_none();
        let ends_before =
            self.valid_from.zip(fields.valid_to).is_some_and(|(from, end)| end <= from);
        let begins_after =
            self.valid_to.zip(fields.valid_from).is_some_and(|(to, begin)| begin >= to);
        is_silent || ends_before || begins_after
    }

    /// Whether an entry with these fields is wanted, wherever it stands: points are for [`Filter::passage`].
    pub fn matches(&self, fields: &Fields<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        (self.types.is_empty() || self.types.iter().any(|kind| fits(kind, &fields.event_type)))
            && is(&self.actor, Some(&fields.actor))
            && is(&self.episode, fields.episode_id.as_deref())
            && is(&self.correlation, fields.correlation_id.as_deref())
            && self.trace.is_none_or(|trace| fields.trace_id == Some(trace))
            && !self.is_outside(fields)
    }

    /// Its points, for whoever meets all entries in order. Points that count from the head have to be settled before: nobody knows
    /// where the head is until it has come.
    pub fn passage(&self) -> Passage {
        Passage::between(self.since, self.until)
    }

    /// Its last point.
    pub(crate) fn end(&self) -> Option<Point> {
        self.until
    }

    /// Where to begin in a chain that goes on, and its points from there on.
    pub(crate) fn start(&self, chain: &dyn Store) -> io::Result<(u64, Passage)> {
        let size = chain.size()?;
        let since = match self.since {
            Some(Point::Back(back)) => {
                Some(Point::Sequence(size.saturating_sub(back.saturating_add(1))))
            }
            Some(Point::Head) => Some(Point::Sequence(size.saturating_sub(1))),
            since => since,
        };
        let first = Self { since, until: None, ..Self::default() }.select(chain);
        match first {
            Ok(first) => Ok((first.next(), Passage::between(since, self.until))),
            // It may be of an event that is still to come.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok((size, Passage::between(since, self.until)))
            }
            Err(error) => Err(error),
        }
    }

    /// The numbers of the entries between its points, in a chain with so many entries.
    fn range(&self, size: u64, chain: &mut dyn Places) -> io::Result<Range<u64>> {
        let first = match self.since {
            None => 0,
            Some(Point::Back(back)) => size.saturating_sub(back.saturating_add(1)),
            Some(Point::Head) => size.saturating_sub(1),
            Some(Point::Sequence(sequence)) => sequence,
            Some(Point::Event(id)) => chain.find(&id)?,
            Some(Point::Stamp(point)) => halve(size, chain, false, |stamp| stamp < point)?,
            Some(Point::Time(time)) => {
                halve(size, chain, false, |stamp| stamp.micros() < time.micros())?
            }
        };
        let end = match self.until {
            None | Some(Point::Head) => size,
            Some(Point::Back(back)) => size.saturating_sub(back),
            Some(Point::Sequence(sequence)) => sequence.saturating_add(1),
            Some(Point::Event(id)) => chain.find(&id)?.saturating_add(1),
            Some(Point::Stamp(point)) => halve(size, chain, true, |stamp| stamp <= point)?,
            Some(Point::Time(time)) => {
                halve(size, chain, true, |stamp| stamp.micros() <= time.micros())?
            }
        };
        let end = end.min(size);
        Ok(first.min(end)..end)
    }
}

/// Where something is in a chain.
trait Places {
    /// The stamp of an entry; of one that is in a gap, that of the entry before the gap or of the one behind it.
    fn stamp(&mut self, sequence: u64, before: bool) -> io::Result<Stamp>;

    /// The entry of an event. That there is none is an error.
    fn find(&mut self, event: &EventId) -> io::Result<u64>;
}

/// The first entry of which this does not hold; it holds of all before.
///
/// A gap of which nobody knows on which side it lies is counted to what is wanted: on either side it is then said that it is there.
fn halve(
    size: u64,
    chain: &mut dyn Places,
    before: bool,
    holds: impl Fn(Stamp) -> bool,
) -> io::Result<u64> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low.midpoint(high);
        if holds(chain.stamp(middle, before)?) {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn text(
    field: &'static str,
    text: &str,
    fits: impl FnOnce(&str) -> bool,
) -> Result<String, FieldError> {
    let expected = "text that is not empty, not too long and without control characters";
    if fits(text) { Ok(text.to_owned()) } else { Err(FieldError::new(field, expected, text)) }
}

/// Whether a type fits a pattern: the parts between stars stand in it, in order, the first at its beginning and the last at its end.
fn fits(pattern: &str, event_type: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == event_type };
    let Some(mut left) = event_type.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match left.split_once(part) {
            Some((_, behind)) => left = behind,
            None => return false,
        }
    }
    left.ends_with(last)
}

fn unreadable(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

#[cfg(test)]
mod tests {
    use crate::select::fits;

    /// By trying every way to share the type out among the stars.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|at| slowly(rest, &text[at..])),
            (Some((a, rest)), Some((b, behind))) => a == b && slowly(rest, behind),
            _ => false,
        }
    }

    #[test]
    fn patterns_fit_as_a_slow_search_says() {
        for (pattern, text, expected) in [
            ("llm.*", "llm.request", true),
            ("llm.*", "llm.a.b", true),
            ("llm.*", "llm", false),
            ("*.call", "tool.call", true),
            ("*", "a", true),
            ("a", "a.b", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
        let words = |letters: &[u8], len: usize| {
            let mut all = vec![Vec::new()];
            for _ in 0..len {
                let longer = all.iter().flat_map(|word: &Vec<u8>| {
                    letters.iter().map(move |letter| [word.as_slice(), &[*letter]].concat())
                });
                let longer: Vec<_> = longer.collect();
                all.extend(longer);
                all.sort();
                all.dedup();
            }
            all
        };
        let (patterns, texts) = (words(b"ab*", 5), words(b"ab", 5));
        for pattern in &patterns {
            for text in &texts {
                let found =
                    fits(std::str::from_utf8(pattern).unwrap(), std::str::from_utf8(text).unwrap());
                assert_eq!(found, slowly(pattern, text), "{pattern:?} {text:?}");
            }
        }
    }
}
