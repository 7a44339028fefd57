//! Entries as lines, for people or for programs.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use sigchain::digest::Digest;
use sigchain::frame::{Frame, Gap, GapReason, VERSION, Written};
use sigchain::jsonl;
use sigchain::limit;
use sigchain::payload::{Leaf, Part, Slot};
use sigchain::select::Filter;
use sigchain::stamp::Stamp;
use sigchain::text;

use crate::args::LogOptions;
use crate::history::{Grep, hint};
use crate::look::{Page, Paint, painted};
use crate::out::{self, entries, harmless};
use crate::trouble::Trouble;

/// Characters that a payload's size and type take.
const PAYLOAD_WIDTH: usize = 26;
/// Bytes that are written at once.
pub(super) const BUFFER: usize = 1 << 16;

/// Entries as text, those that are wanted.
pub(super) struct Lines<'o> {
    options: &'o LogOptions,
    /// Its own, which other threads need not share.
    grep: Option<Grep>,
    filter: Filter,
    clock: Clock,
    /// What was not written yet.
    pub(super) text: String,
    /// Entries of the ledger's own that were not shown.
    pub(super) hidden: u64,
    /// Entries that are not there.
    pub(super) missing: u64,
}

impl<'o> Lines<'o> {
    pub(super) fn new(options: &'o LogOptions) -> Result<Self, Trouble> {
        let filter = options.selection.filter()?;
        let (grep, clock) = (options.grep.clone(), Clock::default());
        Ok(Self { options, grep, filter, clock, text: String::new(), hidden: 0, missing: 0 })
    }

    /// An entry between the points.
    pub(super) fn entry(&mut self, written: &Written<'_>) {
        if self.filter.matches(&written.fields) {
            self.found(written);
        }
    }

    /// Entries that are not there, said at this place of the text.
    pub(super) fn gap(&mut self, at: usize, gap: &Gap) {
        self.missing = self.missing.saturating_add(gap.count);
        if !self.options.json {
            let why = match gap.reason {
                GapReason::Archived => "archived elsewhere",
                GapReason::Elided => "left out of this file",
                GapReason::Lost => "damaged for good",
                _ => "not in this file",
            };
            let said = format!("{:>7}  {}: {why}\n", gap.first, entries(gap.count));
            self.text.insert_str(at.min(self.text.len()), &said);
        }
    }

    /// An entry that the filter wants.
    pub(super) fn found(&mut self, written: &Written<'_>) {
        let is_named = self.options.all || self.filter.names_types();
        if !is_named && limit::is_reserved(&written.fields.event_type) {
            self.hidden = self.hidden.saturating_add(1);
            return;
        }
        if self.grep.as_ref().is_some_and(|grep| !grep.finds(written)) {
            return;
        }
        if self.options.json {
            jsonl::push_entry(&mut self.text, written);
        } else {
            // Writing to a String cannot fail.
            let _ = line(&mut self.text, &mut self.clock, written);
        }
    }
}

/// Writes those entries to standard output that are wanted.
pub(super) struct Printer<'o> {
    lines: Lines<'o>,
    page: Page,
}

impl<'o> Printer<'o> {
    pub(super) fn new(options: &'o LogOptions) -> Result<Self, Trouble> {
        let lines = Lines::new(options)?;
        // What goes on as somebody writes is for nobody to page through.
        let page = if options.follow { Page::plain() } else { Page::begin() };
        Ok(Self { lines, page })
    }

    /// Whether there is anything that was not written yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.lines.text.is_empty()
    }

    /// Writes what is left, now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let written = self.page.write_all(self.lines.text.as_bytes());
        self.lines.text.clear();
        written.and_then(|()| self.page.flush())
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.lines.text.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    /// Writes what is left, and waits until it has been looked at.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let flushed = self.flush();
        self.page.finish();
        flushed
    }

    /// An entry between the points.
    pub(super) fn entry(&mut self, written: &Written<'_>) -> io::Result<()> {
        self.lines.entry(written);
        self.spill()
    }

    /// Another chain begins.
    pub(super) fn chain(&mut self, chain_id: &Digest) -> io::Result<()> {
        let chain_id = *chain_id;
        if self.lines.options.json {
            let header = Frame::Header { version: VERSION, chain_id };
            self.lines.text.push_str(&jsonl::encode(&header));
        } else {
            // Writing to a String cannot fail.
            let _ = writeln!(self.lines.text, "chain {chain_id}");
        }
        self.spill()
    }

    /// Entries that are not there.
    pub(super) fn gaps(&mut self, gaps: &[Gap]) -> io::Result<()> {
        for gap in gaps {
            self.lines.gap(self.lines.text.len(), gap);
        }
        self.spill()
    }

    /// So many entries are not there, which was said.
    pub(super) fn missing(&mut self, count: u64) {
        self.lines.missing = self.lines.missing.saturating_add(count);
    }

    /// Entries as text that somebody else made, and how many of the ledger's own are not in it.
    pub(super) fn text(&mut self, text: &str, hidden: u64) -> io::Result<()> {
        self.lines.hidden = self.lines.hidden.saturating_add(hidden);
        if text.len() < BUFFER {
            self.lines.text.push_str(text);
            return self.spill();
        }
        self.flush()?;
        self.page.write_all(text.as_bytes())
    }

    /// Says what was not shown.
    pub(super) fn conclude(&self) {
        if self.lines.hidden > 0 {
            let own = entries(self.lines.hidden);
            hint(&format!("{own} of the ledger's own not shown: --all shows them"));
        }
        if self.lines.missing > 0 && self.lines.options.json {
            hint(&format!("{} not in this file", entries(self.lines.missing)));
        }
    }
}

/// The time of an entry as text. What it has in common with that of the entry before, which is nearly all of it, is not made again.
#[derive(Debug, Default)]
struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    /// Characters of the text that are the same all through a second: all but six digits and a letter.
    const FIXED: usize = 20;

    fn write(&mut self, out: &mut String, stamp: Stamp) {
        let micros = stamp.micros();
        let (second, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        if self.second != Some(second) {
            self.text = stamp.to_string();
            self.text.truncate(Self::FIXED);
            self.second = Some(second);
        }
        out.push_str(&self.text);
        number(out, u64::try_from(rest).unwrap_or(0), 6, '0');
        out.push('Z');
    }
}

/// A number, with so many characters at least.
fn number(out: &mut String, number: u64, width: u32, fill: char) {
    let digits = number.checked_ilog10().unwrap_or(0).saturating_add(1);
    out.extend((digits..width).map(|_| fill));
    text::push_number(out, number);
}

/// Fills up to a width with spaces.
fn pad(out: &mut String, begin: usize, width: usize) {
    const SPACES: &str = "                                ";
    let shown = out.get(begin..).unwrap_or_default();
    let count = if shown.is_ascii() { shown.len() } else { shown.chars().count() };
    out.push_str(SPACES.get(..width.saturating_sub(count)).unwrap_or(SPACES));
}

/// An entry in a line.
fn line(out: &mut String, clock: &mut Clock, written: &Written<'_>) -> fmt::Result {
    let fields = &written.fields;
    painted(out, Paint::Dim, |out| {
        number(out, fields.sequence, 7, ' ');
        Ok(())
    })?;
    out.push_str("  ");
    clock.write(out, fields.system_time);
    out.push_str("  ");
    painted(out, colour(&fields.event_type), |out| {
        padded(out, &fields.event_type, 16);
        Ok(())
    })?;
    out.push_str("  ");
    padded(out, &fields.actor, 16);
    out.push_str("  ");
    let begin = out.len();
    payload(out, &written.part)?;
    pad(out, begin, PAYLOAD_WIDTH);
    out.push_str("  ");
    out.push_str(&fields.episode_id.as_deref().map_or(Cow::Borrowed("-"), harmless));
    out.push('\n');
    Ok(())
}

/// Foreign text, made harmless.
fn padded(out: &mut String, foreign: &str, width: usize) {
    let begin = out.len();
    out.push_str(&harmless(foreign));
    pad(out, begin, width);
}

/// The ledger's own words stand back, and what went wrong stands out.
fn colour(event_type: &str) -> Paint {
    if limit::is_reserved(event_type) {
        return Paint::Dim;
    }
    let is_wrong = event_type.split('.').any(|word| matches!(word, "error" | "veto" | "expire"));
    match event_type.split('.').next() {
        _ if is_wrong => Paint::Bad,
        Some("review" | "consent" | "capture" | "access") => Paint::Odd,
        _ => Paint::Name,
    }
}

/// Size and media type.
fn payload(out: &mut String, part: &Part<'_>) -> fmt::Result {
    let size = |leaf: &Leaf<'_>| u64::try_from(leaf.bytes.len()).unwrap_or(u64::MAX);
    match part {
        Part::Whole(leaf) if leaf.bytes.is_empty() && leaf.media_type.is_empty() => {
            out.write_char('-')
        }
        Part::Whole(leaf) => {
            let media_type = if leaf.media_type.is_empty() { "-" } else { &leaf.media_type };
            match size(leaf) {
                size @ 0..1000 => number(out, size, 0, ' '),
                size => out.push_str(&out::grouped(size)),
            }
            out.push_str(" B ");
            out.push_str(&harmless(media_type));
            Ok(())
        }
        Part::Fields(slots) => {
            let shown = slots.iter().filter_map(|slot| match slot {
                Slot::Shown(leaf) => Some(size(leaf)),
                _ => None,
            });
            let (count, bytes) = shown
                .fold((0, 0_u64), |(count, bytes), size| (count + 1, bytes.saturating_add(size)));
            write!(out, "{} B in {count} fields", out::grouped(bytes))?;
            match slots.len().saturating_sub(count) {
                0 => Ok(()),
                n => write!(out, ", {n} hidden"),
            }
        }
        Part::Erased(by) => write!(out, "erased by entry {by}"),
        Part::Withheld => out.write_str("withheld"),
        _ => out.write_str("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written by hand is what the machinery of formats writes.
    #[test]
    fn numbers_and_times_are_what_formats_make_of_them() {
        for n in [0, 7, 999_999, 1_000_000, 123_456_789, u64::MAX] {
            let mut text = String::new();
            number(&mut text, n, 7, ' ');
            assert_eq!(text, format!("{n:>7}"));
        }
        let (mut clock, mut text) = (Clock::default(), String::new());
        for (at, micros) in [0, 1, 999_999, 1_000_000, 1_795_150_800_250_000, 1_795_150_800_000_007]
            .into_iter()
            .enumerate()
        {
            text.clear();
            let stamp = Stamp::from_micros(micros).unwrap();
            clock.write(&mut text, stamp);
            assert_eq!(text, stamp.to_string(), "{at}");
        }
        let mut text = String::new();
        padded(&mut text, "\u{e9}", 4);
        assert_eq!(text, "\u{e9}   ");
    }
}
