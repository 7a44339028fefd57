//! `sigchain replay`: what the entries up to a point come to.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde_json::{Map, Value};
use sigchain::context::Context;
use sigchain::digest::Digest;
use sigchain::point::Point;
use sigchain::projection::{Item, Projection};
use sigchain::replay::{
    Chapter, LineError, Replay, ReplayError, Replayed, Source, Standing, Tally,
};
use sigchain::verify::{Verdict, Verifier};

use crate::args::{self, ReplayOptions};
use crate::exit::{NO, UNVOUCHED};
use crate::held::Held;
use crate::history::way::{self, Way};
use crate::history::{self, Opened, basis, exit_of};
use crate::input::{self, Input, Places};
use crate::json::{object, render};
use crate::ledger;
use crate::out::{self, entries, grouped, safe};
use crate::trouble::Trouble;

/// Names of a kind that are shown; --json has all.
const NAMES_SHOWN: usize = 12;

/// What is counted, and what is open.
#[derive(Clone, Debug, Default)]
pub(super) struct Both {
    tally: Tally,
    context: Context,
}

impl Projection for Both {
    fn apply(&mut self, item: &Item<'_>) {
        self.tally.apply(item);
        self.context.apply(item);
    }
}

type Outcome = Result<Replayed<Both>, ReplayError>;

/// A file of the line.
pub(super) struct Part {
    pub(super) opened: Opened,
    /// The chain that it says it is.
    pub(super) chain_id: Option<Digest>,
}

/// The files of the line before the one that was given: those that were named, or where a ledger says that it goes on from.
fn line(options: &ReplayOptions) -> Vec<PathBuf> {
    if !options.predecessors.is_empty() || options.alone {
        return options.predecessors.clone();
    }
    let line = ledger::line(&options.place.ledger);
    for path in &line {
        out::note(&format!("goes on from \"{}\"", safe(&path.to_string_lossy())));
    }
    line
}

/// What was given, and what this machine has anchored of a ledger: a state of one that was set back would be right, and of long ago.
fn held(options: &ReplayOptions) -> Result<Held, Trouble> {
    let held = Held::load(&options.held)?;
    let path = &options.place.ledger;
    if args::is_stdin(path) || !path.is_dir() {
        return Ok(held);
    }
    let (held, unread) = held.with_own(Input::open(path)?.head());
    unread.map_or(Ok(held), Err)
}

pub(crate) fn run(options: &ReplayOptions) -> Result<u8, Trouble> {
    let held = held(options)?;
    let mut parts: Vec<Part> = Vec::new();
    for path in &line(options) {
        parts.push(Part { opened: history::open(path, Verifier::new())?, chain_id: None });
    }
    let verifier = Verifier::new().anchored(held.anchors());
    parts.push(Part { opened: history::open(&options.place.ledger, verifier)?, chain_id: None });
    let outcome = replay(options, options.until, &mut parts);
    if let Err(ReplayError::Io(error)) = &outcome {
        return Err(input::cannot_read(&input::name(&options.place.ledger), error));
    }
    let way = match &outcome {
        Err(ReplayError::Fault(faulty)) => way::find(options, faulty, &mut parts),
        _ => None,
    };
    let exit = match &outcome {
        Ok(replayed) => exit_of_state(options, &held, replayed),
        Err(error) => exit_of(error),
    };
    if options.json {
        out::print(&json(options, &outcome, way.as_ref(), exit, &parts)?)?;
        return Ok(exit);
    }
    let mut text = String::new();
    let written = match &outcome {
        Ok(replayed) => write(&mut text, replayed, &parts),
        Err(error) => way::write_error(&mut text, error, way.as_ref(), &parts),
    };
    written.map_err(|_| {
        Trouble::unreadable("cannot write the answer", "memory for it", "report this defect")
    })?;
    if outcome.is_ok() {
        out::print(&text)?;
    } else {
        history::hint(text.trim_end());
    }
    Ok(exit)
}

pub(super) fn replay(options: &ReplayOptions, until: Point, parts: &mut [Part]) -> Outcome {
    let mut last = None;
    for part in parts.iter_mut() {
        part.chain_id = part.opened.source.opening()?.map(|opening| opening.chain_id);
        last = part.chain_id;
    }
    let mut sources: Vec<&mut dyn Source> = Vec::new();
    for part in parts {
        sources.push(&mut part.opened.source);
    }
    let replay = Replay::until(until).allow_gaps(options.allow_gaps).alone(options.alone);
    let replayed = replay.run(&mut sources, Both::default())?;
    // What was held, and what counts from the head, is of FILE: nothing may continue it.
    let end = replayed.chapters.last().and_then(|chapter| chapter.chain_id);
    match end.filter(|end| last.is_some_and(|last| last != *end)) {
        Some(end) => Err(LineError::Superfluous(end).into()),
        None => Ok(replayed),
    }
}

/// As `sigchain verify` judges FILE; the chains that it continues are vouched for by what it states of them.
fn exit_of_state(options: &ReplayOptions, held: &Held, replayed: &Replayed<Both>) -> u8 {
    if !replayed.chapters.iter().all(Chapter::is_sound) {
        return NO;
    }
    let reports = || replayed.chapters.iter().filter_map(|chapter| chapter.end.report.as_ref());
    let are_proven = reports().all(|report| report.gaps.are_proven());
    let is_intact = reports().next_back().is_some_and(|report| report.verdict() == Verdict::Intact);
    let is_wanted = options.held.allow_self_asserted && held.anchors().is_empty();
    if are_proven && (is_intact || is_wanted) { 0 } else { UNVOUCHED }
}

/// The file of a chain that was read, by what it says of itself, or because the others are of other chains.
fn file_of<'p>(parts: &'p [Part], chapters: &[Chapter], chapter: &Chapter) -> Option<&'p Opened> {
    let is_other = |part: &&Part| chapters.iter().all(|read| read.chain_id != part.chain_id);
    let found = match chapter.chain_id {
        Some(id) => parts.iter().find(|part| part.chain_id == Some(id)),
        None => parts
            .iter()
            .find(|part| part.chain_id.is_none())
            .or_else(|| parts.iter().find(is_other)),
    };
    found.or(parts.last()).map(|part| &part.opened)
}

/// The faults of a chain that was read.
pub(super) fn faults(
    text: &mut String,
    parts: &[Part],
    chapters: &[Chapter],
    chapter: &Chapter,
) -> fmt::Result {
    match (&chapter.end.report, file_of(parts, chapters, chapter)) {
        (Some(report), Some(file)) => basis::faults(text, report, &file.name, &file.places),
        _ => Ok(()),
    }
}

/// The chain that the oldest one continues, and that was not read.
fn left_out(chapters: &[Chapter]) -> Option<Digest> {
    let report = chapters.first()?.end.report.as_ref()?;
    report.predecessor.as_ref().map(|before| before.chain)
}

fn write(text: &mut String, replayed: &Replayed<Both>, parts: &[Part]) -> fmt::Result {
    let at = &replayed.at;
    let own = replayed.chapters.iter().find(|chapter| chapter.chain_id == Some(at.chain_id));
    let report = own.and_then(|chapter| chapter.end.report.as_ref());
    let name = report.map_or("", |report| report.name.as_str());
    writeln!(text, "up to entry {} of {}, chain {}", at.sequence, safe(name), at.chain_id)?;
    writeln!(text, "  {}, event {}", at.stamp, at.event_id)?;
    writeln!(text, "  digest {}", at.digest)?;
    tally(text, &replayed.state.tally)?;
    open(text, &replayed.state.context)?;
    if replayed.missing > 0 {
        writeln!(
            text,
            "  NOT THE WHOLE HISTORY: {} up to the point are missing",
            entries(replayed.missing)
        )?;
    }
    if let Some(before) = left_out(&replayed.chapters) {
        writeln!(text, "  not the whole history: continues chain {before}, which was left out")?;
    }
    chapters(text, replayed, parts)?;
    basis::write(text, replayed)?;
    match own {
        Some(own) => faults(text, parts, &replayed.chapters, own),
        None => Ok(()),
    }
}

fn tally(text: &mut String, state: &Tally) -> fmt::Result {
    let (first, last) = (state.first, state.last);
    write!(text, "  {}", entries(state.entries))?;
    if let (Some(first), Some(last)) = (first, last) {
        write!(text, " from {first} to {last}")?;
    }
    let episodes = u64::try_from(state.episodes.len()).unwrap_or(u64::MAX);
    writeln!(text, ", {}", out::plural(episodes, "episode"))?;
    let named = |(name, count): (&String, &u64)| format!("{} {}", safe(name), grouped(*count));
    writeln!(text, "  types: {}", listed(state.types.iter().map(named)))?;
    writeln!(text, "  actors: {}", listed(state.actors.iter().map(named)))?;
    let withheld = if state.withheld > 0 { " (in the word of whoever made the file)" } else { "" };
    writeln!(
        text,
        "  payloads: {} present, {} partly shown, {} withheld{withheld}, {} erased; {} to be seen",
        grouped(state.present),
        grouped(state.partial),
        grouped(state.withheld),
        grouped(state.erased),
        out::plural(state.shown, "byte"),
    )?;
    let keys = state.keys.iter().map(|(id, role)| format!("{id} ({role})"));
    writeln!(text, "  active keys: {}", listed(keys))
}

/// What is open, and how much there was of it.
fn open(text: &mut String, state: &Context) -> fmt::Result {
    let ended = |all: u64, open: usize| {
        let open = u64::try_from(open).unwrap_or(u64::MAX);
        format!("{} begun, {} open", grouped(all), grouped(open))
    };
    let actions = &state.actions;
    if actions.begun > 0 {
        writeln!(text, "  actions: {}", ended(actions.begun, actions.open.len()))?;
        let named = |at: &sigchain::context::Action| {
            let name = at.name.as_deref().map(|name| format!(" {}", safe(name)));
            let (name, id) = (name.unwrap_or_default(), at.begun.event_id);
            format!("{}{name} by {} ({id})", safe(&at.event_type), safe(&at.actor))
        };
        if !actions.open.is_empty() {
            writeln!(text, "  open actions: {}", listed(actions.open.values().map(named)))?;
        }
    }
    let (episodes, sessions, reviews) = (&state.episodes, &state.sessions, &state.reviews);
    if episodes.begun > 0 {
        writeln!(text, "  followed episodes: {}", ended(episodes.begun, episodes.open.len()))?;
    }
    if !episodes.open.is_empty() {
        let open = episodes.open.keys().map(|id| safe(id));
        writeln!(text, "  open episodes: {}", listed(open))?;
    }
    if sessions.begun > 0 {
        writeln!(text, "  sessions: {}", ended(sessions.begun, sessions.open.len()))?;
    }
    if reviews.begun > 0 {
        writeln!(text, "  reviews: {}", ended(reviews.begun, reviews.open.len()))?;
        let waits = |review: &sigchain::context::Review| {
            let id = review.begun.event_id;
            format!("{id} by {} until {}", safe(&review.actor), review.deadline)
        };
        if !reviews.open.is_empty() {
            writeln!(text, "  open reviews: {}", listed(reviews.open.values().map(waits)))?;
        }
    }
    Ok(())
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let mut shown: Vec<String> = names.take(NAMES_SHOWN).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

/// The chains of the line, if it has more than one.
fn chapters(text: &mut String, replayed: &Replayed<Both>, parts: &[Part]) -> fmt::Result {
    if replayed.chapters.len() < 2 {
        return Ok(());
    }
    for chapter in &replayed.chapters {
        let id = chapter.chain_id.map_or("unknown".to_owned(), |id| id.to_string());
        let beyond = match chapter.beyond() {
            0 => String::new(),
            n => format!("; {} beyond that are no part of the history", entries(n)),
        };
        writeln!(text, "  chain {id}: {}{beyond}", entries(chapter.used))?;
        // Those of the chain of the point are told with what it rests on.
        if chapter.chain_id != Some(replayed.at.chain_id) {
            faults(text, parts, &replayed.chapters, chapter)?;
            if chapter.is_sound() && !chapter.end.is_clean() {
                writeln!(
                    text,
                    "    behind what is continued: dismissed, and no part of the history"
                )?;
            }
        }
    }
    Ok(())
}

fn of_standing(at: &Standing) -> Value {
    let pairs: [(&str, Value); 6] = [
        ("chain_id", at.chain_id.to_string().into()),
        ("digest", at.digest.to_string().into()),
        ("event_id", at.event_id.to_string().into()),
        ("sequence", at.sequence.into()),
        ("stamp", at.stamp.hex().into()),
        ("time", at.stamp.to_string().into()),
    ];
    object(pairs)
}

fn json(
    options: &ReplayOptions,
    outcome: &Outcome,
    way: Option<&Way>,
    exit: u8,
    parts: &[Part],
) -> Result<String, Trouble> {
    let defect = |_| {
        Trouble::unreadable("cannot write the answer", "what JSON can hold", "report this defect")
    };
    let (mut at, mut state, mut context, mut error, mut reach) =
        (Value::Null, Value::Null, Value::Null, Value::Null, Value::Null);
    let (mut missing, mut read): (u64, &[Chapter]) = (0, &[]);
    match outcome {
        Ok(replayed) => {
            at = of_standing(&replayed.at);
            state = serde_json::from_str(&replayed.state.tally.encode()).map_err(defect)?;
            context = serde_json::from_str(&replayed.state.context.encode()).map_err(defect)?;
            missing = replayed.missing;
            read = &replayed.chapters;
        }
        Err(found) => {
            error = found.to_string().into();
            if let ReplayError::Fault(faulty) = found {
                read = &faulty.chapters;
                let event = match way {
                    Some(Way::Event(id)) => id.to_string().into(),
                    _ => Value::Null,
                };
                reach = faulty.reach.map_or(Value::Null, |reach| {
                    object([
                        ("chain_id", reach.chain_id.to_string().into()),
                        ("event_id", event),
                        ("sequence", reach.sequence.into()),
                    ])
                });
            }
        }
    }
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("at", at);
    let chain = |chapter| {
        let places =
            file_of(parts, read, chapter).map_or(Places::Bytes, |file| file.places.clone());
        basis::chapter(chapter, &places)
    };
    put("chains", read.iter().map(chain).collect());
    put("context", context);
    put("continues", left_out(read).map(|chain| chain.to_string()).into());
    put("error", error);
    put("exit", exit.into());
    put("missing", missing.into());
    put("reach", reach);
    put("state", state);
    put("until", options.until.to_string().into());
    render(map)
}
