//! Entries as lines, for people or for programs.

use std::io::{self, BufWriter, Write};

use sigchain::frame::{Frame, Written};
use sigchain::jsonl;
use sigchain::limit;
use sigchain::payload::{Leaf, Part, Slot};
use sigchain::select::Filter;

use crate::args::LogOptions;
use crate::history::hint;
use crate::look::{Page, Paint, paint};
use crate::out::{self, entries, safe};
use crate::trouble::Trouble;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 16;

/// Writes those entries to standard output that are wanted.
pub(super) struct Printer<'o> {
    options: &'o LogOptions,
    filter: Filter,
    sink: BufWriter<Page>,
    /// Entries of the ledger's own that were not shown.
    hidden: u64,
}

impl<'o> Printer<'o> {
    pub(super) fn new(options: &'o LogOptions) -> Result<Self, Trouble> {
        let filter = options.selection.filter()?;
        // What goes on as somebody writes is for nobody to page through.
        let page = if options.follow { Page::plain() } else { Page::begin() };
        Ok(Self { options, filter, sink: BufWriter::with_capacity(BUFFER, page), hidden: 0 })
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
        let episode = fields.episode_id.as_deref().map_or("-".to_owned(), safe);
        writeln!(
            self.sink,
            "{}  {}  {}  {:<16}  {:<26}  {episode}",
            paint(Paint::Dim, &format!("{:>7}", fields.sequence)),
            fields.system_time,
            paint(colour(&fields.event_type), &format!("{:<16}", safe(&fields.event_type))),
            safe(&fields.actor),
            payload(&written.part),
        )
    }

    /// Says what was not shown.
    pub(super) fn conclude(&self) {
        if self.hidden > 0 {
            let own = entries(self.hidden);
            hint(&format!("{own} of the ledger's own not shown: --all shows them"));
        }
    }
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
fn payload(part: &Part<'_>) -> String {
    let size = |leaf: &Leaf<'_>| u64::try_from(leaf.bytes.len()).unwrap_or(u64::MAX);
    match part {
        Part::Whole(leaf) if leaf.bytes.is_empty() && leaf.media_type.is_empty() => "-".to_owned(),
        Part::Whole(leaf) => {
            let media_type = if leaf.media_type.is_empty() { "-" } else { &leaf.media_type };
            format!("{} B {}", out::grouped(size(leaf)), safe(media_type))
        }
        Part::Fields(slots) => {
            let shown = slots.iter().filter_map(|slot| match slot {
                Slot::Shown(leaf) => Some(size(leaf)),
                _ => None,
            });
            let (count, bytes) = shown
                .fold((0, 0_u64), |(count, bytes), size| (count + 1, bytes.saturating_add(size)));
            let hidden = match slots.len().saturating_sub(count) {
                0 => String::new(),
                n => format!(", {n} hidden"),
            };
            format!("{} B in {count} fields{hidden}", out::grouped(bytes))
        }
        Part::Erased(by) => format!("erased by entry {by}"),
        Part::Withheld => "withheld".to_owned(),
        _ => "unknown".to_owned(),
    }
}
