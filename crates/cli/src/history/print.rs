//! Entries as lines, for people or for programs.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, BufWriter, Write};
use std::iter;

use sigchain::frame::{Frame, Written};
use sigchain::jsonl;
use sigchain::limit;
use sigchain::payload::{Leaf, Part, Slot};
use sigchain::select::Filter;

use crate::args::LogOptions;
use crate::history::hint;
use crate::look::{Page, Paint, painted};
use crate::out::{self, entries, harmless};
use crate::trouble::Trouble;

/// Characters that a payload's size and type take.
const PAYLOAD_WIDTH: usize = 26;
/// Bytes that are written at once.
const BUFFER: usize = 1 << 16;

/// Writes those entries to standard output that are wanted.
pub(super) struct Printer<'o> {
    options: &'o LogOptions,
    filter: Filter,
    sink: BufWriter<Page>,
    /// The line that is being written; kept for its memory.
    line: String,
    /// Entries of the ledger's own that were not shown.
    hidden: u64,
}

impl<'o> Printer<'o> {
    pub(super) fn new(options: &'o LogOptions) -> Result<Self, Trouble> {
        let filter = options.selection.filter()?;
        // What goes on as somebody writes is for nobody to page through.
        let page = if options.follow { Page::plain() } else { Page::begin() };
        let sink = BufWriter::with_capacity(BUFFER, page);
        Ok(Self { options, filter, sink, line: String::new(), hidden: 0 })
    }

    pub(super) fn is_json(&self) -> bool {
        self.options.json
    }

    pub(super) fn sink(&mut self) -> &mut impl Write {
        &mut self.sink
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Writes what is left, and waits until it has been looked at.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let flushed = self.sink.flush();
        self.sink.get_mut().finish();
        flushed
    }

    /// An entry between the points.
    pub(super) fn entry(&mut self, written: &Written<'_>) -> io::Result<()> {
        let fields = &written.fields;
        if !self.filter.matches(fields) {
            return Ok(());
        }
        let is_named = self.options.all || self.filter.names_types();
        if !is_named && limit::is_reserved(&fields.event_type) {
            self.hidden = self.hidden.saturating_add(1);
            return Ok(());
        }
        if self.options.grep.as_ref().is_some_and(|grep| !grep.finds(written)) {
            return Ok(());
        }
        if self.options.json {
            let line = jsonl::encode(&Frame::Entry(Box::new(written.clone())));
            return self.sink.write_all(line.as_bytes());
        }
        self.line.clear();
        line(&mut self.line, written).map_err(io::Error::other)?;
        self.sink.write_all(self.line.as_bytes())
    }

    /// Says what was not shown.
    pub(super) fn conclude(&self) {
        if self.hidden > 0 {
            let own = entries(self.hidden);
            hint(&format!("{own} of the ledger's own not shown: --all shows them"));
        }
    }
}

/// An entry in a line.
fn line(out: &mut String, written: &Written<'_>) -> fmt::Result {
    let fields = &written.fields;
    let (kind, actor) = (harmless(&fields.event_type), harmless(&fields.actor));
    painted(out, Paint::Dim, |out| write!(out, "{:>7}", fields.sequence))?;
    write!(out, "  {}  ", fields.system_time)?;
    painted(out, colour(&fields.event_type), |out| write!(out, "{kind:<16}"))?;
    write!(out, "  {actor:<16}  ")?;
    let begin = out.len();
    payload(out, &written.part)?;
    let width = out.get(begin..).map_or(0, |shown| shown.chars().count());
    out.extend(iter::repeat_n(' ', PAYLOAD_WIDTH.saturating_sub(width)));
    let episode = fields.episode_id.as_deref().map_or(Cow::Borrowed("-"), harmless);
    writeln!(out, "  {episode}")
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
            write!(out, "{} B {}", out::grouped(size(leaf)), harmless(media_type))
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
