//! What led to an entry: its cause, the cause of that, and so on, as far as they are in the same record.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io;
use std::path::Path;

use sigchain::chainfile::OpenError;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::point::Point;
use sigchain::select::Filter;

use crate::args;
use crate::ledger;
use crate::out::safe;

/// Causes that are looked up, one behind the other. In a file each of them means reading it once more, up to there.
const DEPTH: usize = 8;

/// What led to an entry, from the nearest cause on.
#[derive(Debug)]
pub(super) struct Causes {
    /// Sequence, type and actor of each.
    found: Vec<(u64, String, String)>,
    end: End,
}

/// Why there are no more.
#[derive(Debug)]
enum End {
    /// The last one has none.
    First,
    /// It is in no entry of this record.
    Outside(EventId),
    /// It was not looked up.
    Unasked(EventId),
}

impl Causes {
    /// Looks them up. The record was verified just before; this reads it as it stands.
    pub(super) fn of(path: &Path, cause: Option<EventId>) -> io::Result<Self> {
        let mut next = cause;
        let mut found = Vec::new();
        while let Some(id) = next {
            if found.len() == DEPTH || args::is_stdin(path) || !(path.is_dir() || path.is_file()) {
                return Ok(Self { found, end: End::Unasked(id) });
            }
            let Some(written) = entry(path, id)? else {
                return Ok(Self { found, end: End::Outside(id) });
            };
            let fields = &written.fields;
            found.push((fields.sequence, fields.event_type.to_string(), fields.actor.to_string()));
            next = fields.causation_id;
        }
        Ok(Self { found, end: End::First })
    }

    pub(super) fn write(&self, out: &mut String) -> fmt::Result {
        if self.found.is_empty() && matches!(self.end, End::First) {
            return writeln!(out, "it names no cause");
        }
        writeln!(out, "caused by:")?;
        for (sequence, kind, actor) in &self.found {
            writeln!(out, "  {sequence:>7}  {:<16}  {}", safe(kind), safe(actor))?;
        }
        match &self.end {
            End::First => Ok(()),
            End::Outside(id) => {
                writeln!(out, "  {id}: no entry of this record; it may be in another one")
            }
            End::Unasked(id) => writeln!(out, "  {id}: not looked up here"),
        }
    }
}

/// The entry of an event, if the record has it.
fn entry(path: &Path, id: EventId) -> io::Result<Option<Written<'static>>> {
    let filter = Filter::new().since(Point::Event(id)).until(Point::Event(id));
    let first = if path.is_dir() {
        let directory = ledger::view(path).map_err(|trouble| io::Error::other(trouble.what()))?;
        filter.select(&directory).map(|mut found| found.next().transpose())
    } else {
        let found = filter.select_in(File::open(path)?).map_err(|error| match error {
            OpenError::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        });
        found.map(|mut found| found.next().transpose())
    };
    match first.and_then(|first| first) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found,
    }
}
