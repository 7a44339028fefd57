//! `sigchain episode`: what happened in one episode, for people.

mod list;
mod say;
mod transcript;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::payload::{Leaf, Part, Slot};
use sigchain::stamp::Stamp;
use sigchain::verify::{Report, Seen};

use crate::actions::Actions;
use crate::args::EpisodeOptions;
use crate::exit::NO;
use crate::json::{object, render};
use crate::out::{self, safe};
use crate::record::Record;
use crate::trouble::Trouble;

/// Entries of an episode that are shown. An episode is what a person reads.
const ENTRIES_MAX: usize = 100_000;

/// An entry of the episode.
#[derive(Debug)]
struct Line {
    sequence: u64,
    event_id: EventId,
    cause: Option<EventId>,
    time: Stamp,
    actor: String,
    event_type: String,
    said: Said,
}

/// What its payload says.
#[derive(Debug)]
enum Said {
    /// Fields by their names; whether some are hidden.
    Fields(Map<String, Value>, bool),
    /// Something else, in our words.
    Other(String),
}

impl Line {
    fn of(written: &Written<'_>) -> Self {
        let fields = &written.fields;
        Self {
            sequence: fields.sequence,
            event_id: fields.event_id,
            cause: fields.causation_id,
            time: fields.system_time,
            actor: fields.actor.to_string(),
            event_type: fields.event_type.to_string(),
            said: said(&written.part),
        }
    }

    /// The same entry with nothing said.
    fn bare(&self) -> Self {
        let (actor, event_type, said) =
            (String::new(), String::new(), Said::Fields(Map::new(), false));
        let Self { sequence, event_id, cause, time, .. } = *self;
        Self { sequence, event_id, cause, time, actor, event_type, said }
    }

    /// A field of its payload.
    fn field(&self, name: &str) -> Option<&Value> {
        match &self.said {
            Said::Fields(fields, _) => fields.get(name),
            Said::Other(_) => None,
        }
    }

    /// A field of its payload that is text.
    fn text(&self, name: &str) -> Option<&str> {
        self.field(name).and_then(Value::as_str)
    }
}

fn said(part: &Part<'_>) -> Said {
    match part {
        Part::Whole(leaf) if leaf.bytes.is_empty() => Said::Fields(Map::new(), false),
        Part::Whole(leaf) => match serde_json::from_slice(&leaf.bytes) {
            Ok(Value::Object(fields)) => Said::Fields(fields, false),
            Ok(other) => Said::Other(other.to_string()),
            Err(_) => Said::Other(bytes(leaf)),
        },
        Part::Fields(slots) => {
            let mut fields = Map::new();
            let mut hides = false;
            for slot in slots {
                let Slot::Shown(leaf) = slot else {
                    hides = true;
                    continue;
                };
                let value = serde_json::from_slice(&leaf.bytes);
                let value = value.unwrap_or_else(|_| Value::String(bytes(leaf)));
                fields.insert(leaf.name.as_deref().unwrap_or_default().to_owned(), value);
            }
            Said::Fields(fields, hides)
        }
        Part::Erased(by) => Said::Other(format!("(erased: entry {by} says so)")),
        Part::Withheld => Said::Other("(withheld)".to_owned()),
        _ => Said::Other("(of another kind)".to_owned()),
    }
}

/// What cannot be read as JSON.
fn bytes(leaf: &Leaf<'_>) -> String {
    let size = u64::try_from(leaf.bytes.len()).unwrap_or(u64::MAX);
    format!("({}, {})", out::plural(size, "byte"), leaf.media_type)
}

/// An episode that was read.
#[derive(Debug)]
struct Episode {
    id: String,
    chain_id: String,
    lines: Vec<Line>,
    /// What each intent is about: the tool, the model, the source.
    subjects: BTreeMap<EventId, String>,
    /// Entries by the class of way by which they came in.
    captures: BTreeMap<String, u64>,
    /// Entries beyond those that are shown.
    more: u64,
    actions: Actions,
    /// Entries of the record that are not in this file, and could be of the episode.
    missing: u64,
}

pub(crate) fn run(options: &EpisodeOptions) -> Result<u8, Trouble> {
    let (path, id) = options.place()?;
    let mut record = Record::open(&path, &[])?.on_word()?;
    let Some(id) = id else { return list::run(&mut record, options.json) };
    let (episode, report) = read(&mut record, id)?;
    record.tell_basis(&report);
    if options.json {
        return render(episode.json()).and_then(|text| out::print(&text)).map(|()| 0);
    }
    let limit = if options.whole { say::Limit::NONE } else { say::Limit::USUAL };
    let text = if options.tree {
        tree::write(&episode, limit)
    } else {
        transcript::write(&episode, limit)
    };
    out::page(&text)?;
    Ok(0)
}

/// Reads an episode, and all of the record.
fn read(record: &mut Record, id: String) -> Result<(Episode, Report), Trouble> {
    let mut episode = Episode {
        id,
        chain_id: String::new(),
        lines: Vec::new(),
        subjects: BTreeMap::new(),
        captures: BTreeMap::new(),
        more: 0,
        actions: Actions::default(),
        missing: 0,
    };
    let report = record.read(&mut |seen| {
        episode.take(seen);
        Ok(())
    })?;
    if episode.lines.is_empty() {
        let what = format!("no entry that is here is of episode \"{}\"", safe(&episode.id));
        let next = "see which there are: sigchain episode LEDGER";
        return Err(Trouble::of_ledger(NO, what, "the id of an episode", next));
    }
    if let Some(chain_id) = report.chain_id {
        episode.chain_id = chain_id.to_string();
    }
    Ok((episode, report))
}

/// The lines of an episode's transcript.
pub(crate) fn lines(path: &Path, id: &str) -> Result<String, Trouble> {
    let (episode, _) = read(&mut Record::open(path, &[])?, id.to_owned())?;
    Ok(transcript::lines(&episode, say::Limit::USUAL))
}

impl Episode {
    fn take(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Entry(shown) => {
                let fields = &shown.written.fields;
                if fields.episode_id.as_deref() != Some(&self.id) {
                    return;
                }
                self.actions.take(fields);
                if self.lines.len() < ENTRIES_MAX {
                    self.push(Line::of(shown.written));
                } else {
                    self.more = self.more.saturating_add(1);
                }
            }
            Seen::Gap(gap) => self.missing = self.missing.saturating_add(gap.count),
            _ => {}
        }
    }

    fn push(&mut self, line: Line) {
        let subject = ["tool", "model", "source"].into_iter().find_map(|name| line.text(name));
        if let Some(subject) = subject {
            self.subjects.insert(line.event_id, safe(subject));
        }
        let capture = line.text("capture").map_or_else(|| "not stated".to_owned(), safe);
        let count = self.captures.entry(capture).or_default();
        *count = count.saturating_add(1);
        self.lines.push(line);
    }

    /// What the intent is about that an entry answers.
    fn subject(&self, line: &Line) -> Option<&str> {
        self.subjects.get(&line.cause?).map(String::as_str)
    }

    fn json(&self) -> Map<String, Value> {
        let lines = self.lines.iter().map(|line| {
            object([
                ("sequence", line.sequence.into()),
                ("event_id", line.event_id.to_string().into()),
                ("cause", line.cause.map(|cause| cause.to_string()).into()),
                ("time", line.time.to_string().into()),
                ("actor", line.actor.as_str().into()),
                ("event_type", line.event_type.as_str().into()),
                ("text", say::headline(line, self.subject(line)).into()),
                (
                    "payload",
                    match &line.said {
                        Said::Fields(fields, _) => Value::Object(fields.clone()),
                        Said::Other(what) => what.as_str().into(),
                    },
                ),
            ])
        });
        let open = self.actions.oldest().into_iter().map(|open| Value::from(open.sequence));
        let pairs = [
            ("chain_id", Value::from(self.chain_id.as_str())),
            ("episode_id", self.id.as_str().into()),
            ("entries", lines.collect()),
            ("more", self.more.into()),
            (
                "captures",
                self.captures.iter().map(|(class, n)| (class.clone(), Value::from(*n))).collect(),
            ),
            ("intents", self.actions.intents.into()),
            ("open", open.collect()),
            ("missing", self.missing.into()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}
