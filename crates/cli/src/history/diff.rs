//! `sigchain diff`: what lies between two points.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use sigchain::context::{self, Context};
use sigchain::frame::Gap;
use sigchain::key::{KeyId, Role};
use sigchain::point::Point;
use sigchain::projection::Projection as _;
use sigchain::replay::{Side, Tally, side};
use sigchain::reserved::Reserved;
use sigchain::verify::{Report, Seen, Shown};

use crate::args::DiffOptions;
use crate::exit::NO;
use crate::history::{ONLY_ITSELF, hint};
use crate::json::{object, render};
use crate::out::{self, entries, grouped, safe};
use crate::record::{Record, nothing};
use crate::trouble::Trouble;

/// Names of a kind that are shown; --json has all.
const NAMES_SHOWN: usize = 12;

/// The types of entries that end an episode; the second one in records that were made before there was the first.
const ENDS: [&str; 2] = ["episode.end", "session.end"];

/// A point, while entries come in order.
struct Mark {
    point: Point,
    /// The last entry that it includes, as far as is known.
    at: Option<Value>,
    sequence: Option<u64>,
    /// Whether what comes is behind it.
    is_passed: bool,
    /// Whether its very microsecond was met.
    is_exact: bool,
}

impl Mark {
    fn new(point: Point) -> Self {
        Self { point, at: None, sequence: None, is_passed: false, is_exact: false }
    }

    /// Whether the next entry is still included.
    fn includes(&mut self, shown: &Shown<'_>) -> bool {
        let fields = &shown.written.fields;
        let found = side(&self.point, fields);
        if self.is_passed || found == Side::Behind {
            self.is_passed = true;
            return false;
        }
        self.is_passed = found == Side::At;
        if let Point::Time(time) = self.point {
            self.is_exact |= fields.system_time.micros() == time.micros();
        }
        self.sequence = Some(fields.sequence);
        true
    }

    /// Takes note of entries that are not there. One that they hold the place of cannot be compared.
    fn gap(&mut self, gap: &Gap) -> Result<(), Trouble> {
        let Point::Sequence(sequence) = self.point else { return Ok(()) };
        if (gap.first..gap.end()).contains(&sequence) {
            let what = format!("entry {sequence} is not in this file");
            return Err(nothing(&what, "a point that is", "name another one"));
        }
        Ok(())
    }

    /// Its last entry, if there is one, and no more could belong to it.
    fn reached(&self) -> Result<u64, Trouble> {
        let is_reached = self.is_passed || self.is_exact || self.point.is_relative();
        let what = match self.point {
            Point::Event(id) => format!("no entry that is here is of event {id}"),
            point if self.sequence.is_none() => format!("{point} lies before entry 0"),
            point => format!("{point} lies behind the head"),
        };
        let sequence = self.sequence.filter(|_| is_reached);
        let next = "name a point of this record, such as head";
        sequence.ok_or_else(|| nothing(&what, "two points of this record", next))
    }
}

/// A key that came or went, and by which entry.
type Changed = (KeyId, Option<Role>, u64);

/// What lies between the points.
#[derive(Default)]
struct Between {
    tally: Tally,
    /// What all entries come to up to the earlier point, once that is passed, and to the later one.
    earlier: Option<Context>,
    later: Context,
    /// Episodes that had begun before.
    before: BTreeSet<String>,
    ended: BTreeSet<String>,
    came: Vec<Changed>,
    went: Vec<Changed>,
    /// Entries that erased payloads, and how many payloads.
    erased_by: Vec<u64>,
    erased: u64,
    /// Entries up to the later point that are not there, and those of them between the points.
    missing_before: u64,
    missing: u64,
}

impl Between {
    fn before(&mut self, shown: &Shown<'_>) {
        self.later.apply(&shown.item);
        if let Some(episode) = &shown.written.fields.episode_id
            && !self.before.contains(&**episode)
        {
            self.before.insert(episode.to_string());
        }
    }

    fn take(&mut self, shown: &Shown<'_>) {
        self.earlier.get_or_insert_with(|| self.later.clone());
        self.later.apply(&shown.item);
        self.tally.apply(&shown.item);
        let fields = &shown.written.fields;
        if let Some(episode) =
            fields.episode_id.as_ref().filter(|_| ENDS.contains(&&*fields.event_type))
        {
            self.ended.insert(episode.to_string());
        }
        let is_of_keys = fields.event_type.starts_with("key.");
        if !is_of_keys && fields.sequence != 0 && fields.event_type != "erasure.done" {
            return;
        }
        let (sequence, part) = (fields.sequence, &shown.written.part);
        match Reserved::parse(&fields.event_type, part, sequence) {
            Ok(Reserved::Genesis { keys, .. }) => {
                let keys = keys.iter().map(|key| (key.id(), Some(key.role), sequence));
                self.came.extend(keys);
            }
            Ok(Reserved::Enroll { key, .. }) => {
                self.came.push((key.id(), Some(key.role), sequence));
            }
            Ok(Reserved::Rotate { key, old, .. }) => {
                self.came.push((key.id(), Some(key.role), sequence));
                self.went.push((old, Some(key.role), sequence));
            }
            Ok(Reserved::Revoke { key, .. }) => self.went.push((key, None, sequence)),
            Ok(Reserved::Erased { entries, .. }) => {
                let count: u64 = entries.iter().map(|(_, count)| *count).sum();
                self.erased = self.erased.saturating_add(count);
                self.erased_by.push(sequence);
            }
            _ => {}
        }
    }

    fn begun(&self) -> impl Iterator<Item = &String> {
        self.tally.episodes.difference(&self.before)
    }

    fn context(&self) -> context::Diff {
        context::diff(self.earlier.as_ref().unwrap_or(&self.later), &self.later)
    }

    fn is_empty(&self) -> bool {
        self.tally.entries == 0 && self.missing == 0
    }
}

pub(crate) fn run(options: &DiffOptions) -> Result<u8, Trouble> {
    let (path, a, b) = options.place()?;
    let mut record = Record::open(&path, &[])?;
    let mut marks = [Mark::new(record.settle(&a)?), Mark::new(record.settle(&b)?)];
    let mut between = Between::default();
    let report = record.read(&mut |seen| take(&mut marks, &mut between, seen))?;
    let [first, second] = &marks;
    let order = (first.reached()?, second.reached()?);
    let exit = if between.is_empty() { 0 } else { NO };
    if options.json {
        let points = [first.at.clone(), second.at.clone()];
        out::print(&json(&report, &between, points, order, exit)?)?;
    } else {
        let mut text = String::new();
        write(&mut text, &report, &between, [a, b], order).map_err(|_| {
            Trouble::unreadable("cannot write the answer", "memory for it", "report this defect")
        })?;
        out::print(&text)?;
    }
    hint(ONLY_ITSELF);
    Ok(exit)
}

fn take(marks: &mut [Mark; 2], between: &mut Between, seen: &Seen<'_>) -> Result<(), Trouble> {
    let [a, b] = marks;
    match seen {
        Seen::Entry(shown) => {
            let (in_a, in_b) = (a.includes(shown), b.includes(shown));
            for (mark, is_in) in [(a, in_a), (b, in_b)] {
                if is_in {
                    mark.at = Some(standing(shown));
                }
            }
            match (in_a, in_b) {
                (true, true) => between.before(shown),
                (false, false) => {}
                _ => between.take(shown),
            }
        }
        Seen::Gap(gap) => {
            a.gap(gap)?;
            b.gap(gap)?;
            let missing = match (a.is_passed, b.is_passed) {
                (true, true) => return Ok(()),
                (false, false) => &mut between.missing_before,
                _ => &mut between.missing,
            };
            *missing = missing.saturating_add(gap.count);
        }
        _ => {}
    }
    Ok(())
}

fn standing(shown: &Shown<'_>) -> Value {
    let fields = &shown.written.fields;
    object([
        ("digest", shown.item.digest().to_string().into()),
        ("event_id", fields.event_id.to_string().into()),
        ("sequence", fields.sequence.into()),
        ("stamp", fields.system_time.hex().into()),
        ("time", fields.system_time.to_string().into()),
    ])
}

fn write(
    text: &mut String,
    report: &Report,
    between: &Between,
    [a, b]: [Point; 2],
    order: (u64, u64),
) -> fmt::Result {
    let (from, to) = (order.0.min(order.1), order.0.max(order.1));
    let id = report.chain_id.map(|id| id.to_string()).unwrap_or_default();
    writeln!(text, "from entry {from} to entry {to} of {}, chain {id}", safe(&report.name))?;
    if order.0 > order.1 {
        writeln!(text, "  {b} lies before {a}: counted is what came after {b}, up to {a}")?;
    }
    if between.is_empty() {
        return writeln!(text, "  no entry lies between them");
    }
    let tally = &between.tally;
    write!(text, "  {}", entries(tally.entries))?;
    match (tally.first, tally.last) {
        (Some(first), Some(last)) => writeln!(text, " from {first} to {last}")?,
        _ => writeln!(text)?,
    }
    let named = |(name, count): (&String, &u64)| format!("{} {}", safe(name), grouped(*count));
    writeln!(text, "  types: {}", listed(tally.types.iter().map(named)))?;
    writeln!(text, "  actors: {}", listed(tally.actors.iter().map(named)))?;
    writeln!(text, "  episodes begun: {}", listed(between.begun().map(|id| safe(id))))?;
    writeln!(text, "  episodes ended: {}", listed(between.ended.iter().map(|id| safe(id))))?;
    let key = |(id, role, sequence): &Changed| {
        let role = role.map(|role| format!("{role}, ")).unwrap_or_default();
        format!("{id} ({role}entry {sequence})")
    };
    writeln!(text, "  keys that came: {}", listed(between.came.iter().map(key)))?;
    writeln!(text, "  keys that went: {}", listed(between.went.iter().map(key)))?;
    let by = listed(between.erased_by.iter().map(u64::to_string));
    writeln!(text, "  payloads erased: {}, by entries {by}", grouped(between.erased))?;
    // Keys are told above, each with its entry.
    let mut context = between.context();
    context.keys = context::Turns::default();
    write!(text, "{context}")?;
    if between.missing > 0 {
        writeln!(text, "  NOT ALL OF IT: {} between them are missing", entries(between.missing))?;
    }
    if between.missing_before > 0 {
        writeln!(
            text,
            "  {} before them are missing: what began in these is said to begin later",
            entries(between.missing_before)
        )?;
    }
    Ok(())
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    let more = all.len().saturating_sub(NAMES_SHOWN);
    let mut shown: Vec<String> = all.into_iter().take(NAMES_SHOWN).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn json(
    report: &Report,
    between: &Between,
    [a, b]: [Option<Value>; 2],
    order: (u64, u64),
    exit: u8,
) -> Result<String, Trouble> {
    let tally = &between.tally;
    let counts = |counts: &BTreeMap<String, u64>| -> Value {
        Value::Object(counts.iter().map(|(name, n)| (name.clone(), (*n).into())).collect())
    };
    let key = |(id, role, sequence): &Changed| {
        object([
            ("id", id.to_string().into()),
            ("role", role.map(|role| role.to_string()).into()),
            ("sequence", (*sequence).into()),
        ])
    };
    let order = match order.0.cmp(&order.1) {
        std::cmp::Ordering::Less => "forward",
        std::cmp::Ordering::Equal => "same",
        std::cmp::Ordering::Greater => "backward",
    };
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("a", a.into());
    put("actors", counts(&tally.actors));
    put("b", b.into());
    put("context", serde_json::from_str(&between.context().encode()).unwrap_or_default());
    put("chain_id", report.chain_id.map(|id| id.to_string()).into());
    put("entries", tally.entries.into());
    let begun: Vec<&str> = between.begun().map(String::as_str).collect();
    let ended: Vec<&str> = between.ended.iter().map(String::as_str).collect();
    put("episodes", object([("begun", begun.into()), ("ended", ended.into())]));
    let by = between.erased_by.clone();
    put("erased", object([("by", by.into()), ("payloads", between.erased.into())]));
    put("exit", exit.into());
    let (came, went) = (between.came.iter().map(key), between.went.iter().map(key));
    put("keys", object([("came", came.collect()), ("went", went.collect())]));
    put("missing", between.missing.into());
    put("missing_before", between.missing_before.into());
    put("name", report.name.as_str().into());
    put("order", order.into());
    put("types", counts(&tally.types));
    render(map)
}
