//! `sigchain hold`: entries that must not leave, because somebody has asked for them: a court, an auditor. The chain says which.

use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};
use sigchain::directory::Directory;
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::limit::FieldError;
use sigchain::payload::{Part, Payload};
use sigchain::receipt::Receipt;
use sigchain::select::Filter;

use crate::access;
use crate::args::HoldOptions;
use crate::exit::NO;
use crate::json;
use crate::ledger::{self, of_append, of_io, tell, view};
use crate::out::{self, safe};
use crate::trouble::Trouble;

const HOLD: &str = "retention.hold";
const RELEASE: &str = "retention.release";

/// Entries that must not leave.
#[derive(Clone)]
pub(super) struct Hold {
    event: EventId,
    first: u64,
    last: u64,
    by: String,
    note: String,
}

impl Hold {
    fn of(written: &Written<'_>) -> Option<Self> {
        let fields = &written.fields;
        let content = content(written)?;
        Some(Self {
            event: fields.event_id,
            first: content.get("first")?.as_u64()?,
            last: content.get("last")?.as_u64()?,
            by: fields.actor.to_string(),
            note: content.get("note")?.as_str()?.to_owned(),
        })
    }

    /// Whether it keeps an entry of these.
    pub(super) fn keeps(&self, first: u64, last: u64) -> bool {
        self.first <= last && first <= self.last
    }

    /// What it keeps, for people.
    pub(super) fn words(&self) -> String {
        let Self { event, first, last, by, note } = self;
        format!("entries {first} to {last} are held ({event}) by {}: {}", safe(by), safe(note))
    }
}

impl Hold {
    /// The same, for programs.
    pub(super) fn json(&self) -> Value {
        let Self { event, first, last, by, note } = self;
        json!({ "by": by, "event": event.to_string(), "first": first, "last": last, "note": note })
    }
}

/// What is held, and the entry by which that came about.
fn render(holds: &[Hold], recorded: Option<(EventId, u64)>) -> Result<String, Trouble> {
    let recorded = recorded
        .map(|(event, sequence)| json!({ "event": event.to_string(), "sequence": sequence }));
    let holds: Vec<Value> = holds.iter().map(Hold::json).collect();
    json::render(Map::from_iter([
        ("holds".to_owned(), holds.into()),
        ("recorded".to_owned(), recorded.into()),
    ]))
}

fn content(written: &Written<'_>) -> Option<Value> {
    match &written.part {
        Part::Whole(leaf) => serde_json::from_slice(&leaf.bytes).ok(),
        _ => None,
    }
}

/// What is held: holds that no later entry has released. One that cannot be read is an error: it may hold anything.
pub(super) fn all(directory: &Directory) -> io::Result<Vec<Hold>> {
    let filter = Filter::new().event_type(HOLD).and_then(|filter| filter.event_type(RELEASE));
    let mut holds: Vec<Hold> = Vec::new();
    for written in filter.map_err(io::Error::other)?.select(directory)? {
        let written = written?;
        if written.fields.event_type == HOLD {
            let unreadable = || {
                let what = format!("entry {} holds what cannot be read", written.fields.sequence);
                io::Error::new(io::ErrorKind::InvalidData, what)
            };
            holds.push(Hold::of(&written).ok_or_else(unreadable)?);
        } else if let Some(Value::String(released)) =
            content(&written).and_then(|content| content.get("hold").cloned())
        {
            holds.retain(|hold| hold.event.to_string() != released);
        }
    }
    Ok(holds)
}

pub(crate) fn run(options: &HoldOptions) -> Result<u8, Trouble> {
    let path = &options.place.ledger;
    let directory = view(path)?;
    let failed = |error: io::Error| of_io(path, &error);
    let mut holds = all(&directory).map_err(failed)?;
    if options.list && options.json {
        return out::print(&render(&holds, None)?).map(|()| 0);
    }
    if options.list {
        let lines: Vec<String> = holds.iter().map(|hold| hold.words() + "\n").collect();
        let text = if lines.is_empty() { "nothing is held\n".to_owned() } else { lines.concat() };
        return out::print(&text).map(|()| 0);
    }
    let note = options.note.clone().unwrap_or_default();
    let (kind, payload) = if let Some(released) = options.release {
        if !holds.iter().any(|hold| hold.event == released) {
            let what = format!("there is no hold {released} that is not released");
            let next = "sigchain hold LEDGER --list";
            return Err(Trouble::of_ledger(NO, what, "the event of a hold", next));
        }
        (RELEASE, json!({ "hold": released.to_string(), "note": note }))
    } else {
        let (first, last) = range(&directory, options).map_err(failed)?.ok_or_else(|| {
            let next = "sigchain log LEDGER shows what is there";
            Trouble::of_ledger(NO, "there are no such entries", "entries of this ledger", next)
        })?;
        (HOLD, json!({ "first": first, "last": last, "note": note }))
    };
    drop(directory);
    let by = access::actor(options.by.as_ref());
    let event = event(kind, &by, &payload).map_err(|error| {
        Trouble::usage(format!("\"{}\" is no {}", error.found, error.field), error.expected)
    })?;
    let (receipt, closed) = record(path, options, event)?;
    let (id, sequence) = (receipt.event_id, receipt.sequence);
    let range = payload.get("first").and_then(Value::as_u64);
    let range = range.zip(payload.get("last").and_then(Value::as_u64));
    if options.json {
        holds.retain(|hold| Some(hold.event) != options.release);
        holds.extend(range.map(|(first, last)| Hold { event: id, first, last, by, note }));
        return out::print(&render(&holds, Some((id, sequence)))?).map(|()| closed);
    }
    match range {
        Some((first, last)) => tell(&format!(
            "entries {first} to {last} are held, by entry {sequence}; to release them: \
             sigchain hold LEDGER --release {id} --note TEXT"
        )),
        None => tell(&format!("released, by entry {sequence}")),
    }
    Ok(closed)
}

fn record(path: &Path, options: &HoldOptions, event: Event) -> Result<(Receipt, u8), Trouble> {
    let opened = ledger::open(path, &options.signing, options.files.files())?;
    let appended = opened.append(event);
    let closed = ledger::close(&opened);
    Ok((appended.map_err(|error| of_append(&error))?, closed))
}

fn event(kind: &str, by: &str, payload: &Value) -> Result<Event, FieldError> {
    let event = Event::new(by, kind)?;
    Ok(event.payload(Payload::new("application/json", payload.to_string())?))
}

/// The numbers of the first and the last entry that is meant; all there are by now, if nothing was said.
fn range(directory: &Directory, options: &HoldOptions) -> io::Result<Option<(u64, u64)>> {
    let mut filter = Filter::new();
    if let Some(point) = &options.since {
        filter = filter.since(*point);
    }
    if let Some(point) = &options.until {
        filter = filter.until(*point);
    }
    let mut found = None;
    for written in filter.select(directory)? {
        let sequence = written?.fields.sequence;
        let (first, _) = found.unwrap_or((sequence, sequence));
        found = Some((first, sequence));
    }
    Ok(found)
}
