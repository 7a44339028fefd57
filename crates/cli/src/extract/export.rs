//! `sigchain export`: all of a record, or some of it, as one file.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};
use sigchain::chainfile::Form;
use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::point::Point;
use sigchain::reserved::Predecessor;
use sigchain::select::{Filter, Passage};
use sigchain::verify::{Report, Seen, Shown};

use crate::access::{self, Act};
use crate::args::{ExportOptions, FormName};
use crate::extract::cut::{Cut, Ended, Made, is_always_kept};
use crate::extract::sink::Sink;
use crate::extract::withhold::Withheld;
use crate::extract::{csv, line, not_written};
use crate::held;
use crate::json::object;
use crate::ledger::{self, tell};
use crate::out;
use crate::record::{Points, Record, nothing};
use crate::signing::Hand;
use crate::trouble::Trouble;

/// Which entries are taken, while they come.
pub(super) struct Taken {
    filter: Filter,
    until: Option<Point>,
    passage: Passage,
    /// The first and last entry between the points.
    pub(super) range: Option<(u64, u64)>,
    /// Entries that were selected.
    pub(super) selected: u64,
    /// Entries between the points that are not in the record.
    pub(super) missing: u64,
}

impl Taken {
    pub(super) fn new(filter: Filter, (since, until): Points) -> Self {
        let passage = Passage::between(since, until);
        Self { filter, until, passage, range: None, selected: 0, missing: 0 }
    }

    /// Whether the next entry is selected.
    pub(super) fn takes(&mut self, shown: &Shown<'_>) -> bool {
        let fields = &shown.written.fields;
        if !self.passage.takes(fields) {
            return false;
        }
        let first = self.range.map_or(fields.sequence, |(first, _)| first);
        self.range = Some((first, fields.sequence));
        let is_selected = self.filter.matches(fields);
        self.selected = self.selected.saturating_add(u64::from(is_selected));
        is_selected
    }

    /// Takes note of entries that are not there.
    pub(super) fn gap(&mut self, count: u64) {
        if self.passage.has_begun() && !self.passage.has_ended() {
            self.missing = self.missing.saturating_add(count);
        }
    }

    /// Refuses a selection that selects nothing: a file of it would look like an answer. And one whose end is not there: it would be of
    /// more than was meant.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let is_open = !self.passage.has_ended();
        match self.until.filter(|_| is_open) {
            Some(point @ (Point::Event(_) | Point::Sequence(_))) => {
                let what = format!("--until {point} names no entry of this record");
                return Err(nothing(&what, "an entry that there is", "name another point"));
            }
            Some(point @ (Point::Stamp(_) | Point::Time(_))) => {
                tell(&format!("--until {point} lies behind the head: more may come before it"));
            }
            _ => {}
        }
        if self.selected > 0 {
            return Ok(());
        }
        let next = "see what there is: sigchain log LEDGER";
        if self.range.is_none() {
            let what = "no entry lies between the points";
            return Err(nothing(what, "points with entries between them", next));
        }
        let what = "no entry between the points is selected";
        Err(nothing(what, "a selection of entries that there are", next))
    }

    /// The range, as JSON.
    pub(super) fn range_json(&self) -> Value {
        self.range.map_or(Value::Null, |(first, last)| {
            object([("first", first.into()), ("last", last.into())])
        })
    }
}

/// Where entries go.
enum Target {
    /// Nothing has come yet that says which chain it is.
    Waiting(Option<Sink>),
    File(Box<Cut<Sink>>),
    Table(Sink),
}

struct Export<'o> {
    asked: &'o ExportOptions,
    output: &'o Path,
    /// Whether an entry says what is to be recorded.
    has_policy: bool,
    taken: Taken,
    withheld: Withheld<'o>,
    target: Target,
    held: Vec<Checkpoint>,
}

/// What is exported, and where to.
pub(super) struct Spot<'s> {
    pub(super) ledger: &'s Path,
    pub(super) output: &'s Path,
    /// Of a chain that another goes on from: what that states of it.
    pub(super) within: Option<&'s Predecessor>,
    pub(super) is_told: bool,
}

pub(crate) fn run(asked: &ExportOptions) -> Result<u8, Trouble> {
    if asked.line {
        return line::run(asked).map(|()| 0);
    }
    make(asked, &Spot::of(asked, true)).map(|()| 0)
}

/// The same, for what says by itself what was made.
pub(crate) fn silent(asked: &ExportOptions) -> Result<(), Trouble> {
    make(asked, &Spot::of(asked, false))
}

impl<'s> Spot<'s> {
    fn of(asked: &'s ExportOptions, is_told: bool) -> Self {
        Self { ledger: &asked.place.ledger, output: &asked.output, within: None, is_told }
    }
}

pub(super) fn make(asked: &ExportOptions, spot: &Spot<'_>) -> Result<(), Trouble> {
    let held = held::notes(&asked.checkpoints)?;
    let mut record = match spot.within {
        Some(stated) => Record::open_first(spot.ledger, stated.size)?,
        None => Record::open(spot.ledger, &held)?.on_word()?,
    };
    let (mut key, mut unsure) = (None, None);
    if let Some(directory) = record.directory() {
        unsure = access::check(directory, Act::Export, &asked.record)?;
        let signs = asked.sign && spot.within.is_none();
        key = signs.then(|| ledger::checkpoint_key(directory, &asked.signing)).transpose()?;
    } else {
        only_of_a_ledger(asked)?;
    }
    let filter = asked.selection.filter()?;
    let points = record.points(&asked.selection)?;
    let failed = |error: io::Error| not_written(spot.output, &error);
    let sink = Sink::begin(spot.output, asked.record.purpose.is_some()).map_err(failed)?;
    let mut export = Export {
        asked,
        output: spot.output,
        has_policy: false,
        taken: Taken::new(filter, points),
        withheld: Withheld::new(&asked.withhold),
        target: Target::Waiting(Some(sink)),
        held: record.anchors().to_vec(),
    };
    let report = record.read(&mut |seen| export.take(seen).map_err(failed))?;
    // Behind what belongs to the history there may be anything; within it a policy was seen, if there is one.
    if let Some(trouble) = unsure.filter(|_| spot.within.is_none() || export.has_policy) {
        return Err(trouble);
    }
    match spot.within {
        Some(stated) => is_stated(stated, &report)?,
        None => export.taken.check()?,
    }
    export.withheld.conclude()?;
    let (mut sink, made) = export.finish(key.as_ref(), &report).map_err(failed)?;
    let hash = sink.settle().map_err(failed)?;
    let about = export.about(made.as_ref(), hash, &report);
    let recorded = match spot.within {
        // It has ended: that it was taken out the chain says that goes on from it.
        Some(_) => None,
        None => access::record(spot.ledger, (&asked.record, &asked.signing), Act::Export, about)?,
    };
    sink.finish().map_err(|error| match recorded {
        // What is recorded cannot be taken back.
        Some(entry) => not_written(spot.output, &error).advising(&format!(
            "no file was left there, though entry {entry} says that it was taken out; do it again"
        )),
        None => failed(error),
    })?;
    if spot.is_told {
        export.tell(made.as_ref(), &report, recorded);
        record.tell_basis(&report);
    }
    Ok(())
}

/// Refuses what is not what the chain states that goes on from it.
fn is_stated(stated: &Predecessor, report: &Report) -> Result<(), Trouble> {
    if report.chain_id == Some(stated.chain) && report.root == Some(stated.root) {
        return Ok(());
    }
    let what = format!("chain {} is not what the one that goes on from it states", stated.chain);
    let expected = format!("its first {}, root {}", out::entries(stated.size), stated.root);
    Err(nothing(&what, &expected, "sigchain verify LEDGER says more"))
}

/// What takes a ledger: a file has no keys of its own, and nothing can be appended to it.
fn only_of_a_ledger(asked: &ExportOptions) -> Result<(), Trouble> {
    let expected = "a ledger: a file keeps the signature at its end, if it has one";
    if asked.sign {
        return Err(Trouble::usage("--sign with a file", expected));
    }
    access::only_in_a_ledger(&asked.record)
}

impl Export<'_> {
    fn take(&mut self, seen: &Seen<'_>) -> io::Result<()> {
        match seen {
            Seen::Entry(shown) => self.entry(shown),
            Seen::Gap(gap) => {
                self.taken.gap(gap.count);
                self.other(seen)
            }
            _ => self.other(seen),
        }
    }

    fn other(&mut self, seen: &Seen<'_>) -> io::Result<()> {
        match &mut self.target {
            Target::File(cut) => cut.other(seen),
            Target::Table(_) | Target::Waiting(_) => Ok(()),
        }
    }

    fn entry(&mut self, shown: &Shown<'_>) -> io::Result<()> {
        if let Target::Waiting(sink) = &mut self.target
            && let Some(sink) = sink.take()
        {
            self.target = begin(self.asked.form(), sink, shown.item.chain_id, &self.held)?;
        }
        self.has_policy |= shown.written.fields.event_type == access::POLICY;
        let is_selected = self.taken.takes(shown);
        let is_shown = is_selected || is_always_kept(shown);
        let mut part = || self.withheld.part(shown.written);
        match &mut self.target {
            Target::File(cut) => {
                let part: Option<Cow<'_, _>> = is_shown.then(&mut part);
                cut.entry(shown, part.as_deref())
            }
            Target::Table(sink) if is_selected => {
                let row = csv::row(shown.written, &part(), &shown.item.digest());
                csv::write(sink, &row)
            }
            Target::Table(_) | Target::Waiting(_) => Ok(()),
        }
    }

    /// Ends the file. Of a table there is no more to say.
    fn finish(&mut self, key: Option<&Hand>, report: &Report) -> io::Result<(Sink, Option<Made>)> {
        match std::mem::replace(&mut self.target, Target::Waiting(None)) {
            Target::File(cut) => cut.finish(key, report).map(|(sink, made)| (sink, Some(made))),
            Target::Table(sink) | Target::Waiting(Some(sink)) => Ok((sink, None)),
            Target::Waiting(None) => Err(io::Error::other("a file that was finished before")),
        }
    }

    /// What is recorded of it.
    fn about(
        &self,
        made: Option<&Made>,
        hash: Option<Digest>,
        report: &Report,
    ) -> Map<String, Value> {
        let mut about = Map::new();
        let mut put = |key: &str, value: Value| about.insert(key.to_owned(), value);
        let withheld = self.asked.withhold.iter().map(|asked| asked.text.as_str());
        put("entries", made.map_or(self.taken.selected, |made| made.kept).into());
        put("form", self.asked.form().name().into());
        put("range", self.taken.range_json());
        put("root", report.root.map(|root| root.to_string()).into());
        put("selected", self.taken.selected.into());
        put("selection", access::selection(&self.asked.selection));
        put("sha256", hash.map(|hash| hash.to_string()).into());
        put("size", report.entries.into());
        put("withheld", withheld.collect::<Vec<_>>().into());
        about
    }

    /// Says what was written.
    fn tell(&self, made: Option<&Made>, report: &Report, recorded: Option<u64>) {
        let (name, path) = (out::safe(&report.name), self.output.to_string_lossy());
        let (all, path) = (out::entries(report.entries), out::safe(&path));
        let Some(made) = made else {
            let selected = out::entries(self.taken.selected);
            tell(&format!("wrote {selected} of the {all} of {name} to \"{path}\""));
            tell("a table proves nothing: the file to verify is a chain file or JSON lines");
            return tell_missing(self.taken.missing, recorded);
        };
        if made.omitted == 0 {
            tell(&format!("wrote {} of {name} to \"{path}\"", out::entries(made.kept)));
        } else {
            let (kept, selected) = (out::grouped(made.kept), out::grouped(self.taken.selected));
            tell(&format!(
                "wrote {kept} of the {all} of {name} to \"{path}\": the {selected} that are selected, and the ledger's own"
            ));
        }
        tell(&match made.ended {
            Ended::Signed(id) => format!("its end is signed by checkpoint key {id}"),
            Ended::Kept => "its end is signed as the file was that it is taken from".to_owned(),
            Ended::Unsigned => "its end is unsigned: nobody says that this is all; --sign does, with the checkpoint key".to_owned(),
        });
        if report.taken_on_word > 0 {
            let taken = out::entries(report.taken_on_word);
            tell(&format!(
                "the signatures of {taken} were taken on the word of what this machine has anchored; sigchain verify looks at them"
            ));
        }
        if !made.are_gaps_proven {
            tell(
                "its gaps are not proven, for want of a seal behind them: sigchain verify will end with 3; --sign adds one",
            );
        }
        tell_missing(self.taken.missing, recorded);
    }
}

fn tell_missing(missing: u64, recorded: Option<u64>) {
    if missing > 0 {
        tell(&format!(
            "{} between the points are not in the file that it is taken from",
            out::entries(missing)
        ));
    }
    if let Some(entry) = recorded {
        tell(&format!("recorded: entry {entry}, behind what was taken out"));
    }
}

fn begin(
    form: FormName,
    mut sink: Sink,
    chain_id: Digest,
    held: &[Checkpoint],
) -> io::Result<Target> {
    let form = match form {
        FormName::Sigchain => Form::ChainFile,
        FormName::Jsonl => Form::JsonLines,
        FormName::Csv => {
            csv::write(&mut sink, &csv::COLUMNS)?;
            return Ok(Target::Table(sink));
        }
    };
    Ok(Target::File(Box::new(Cut::begin(sink, form, chain_id, held)?)))
}
