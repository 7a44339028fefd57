//! `sigchain sample`: entries drawn by a seed, with a proof of each. spec/auditors.md says how; spec/verifier draws the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::{Map, Value};
use sigchain::chainfile::Form;
use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::frame::Written;
use sigchain::verify::{Report, Seen};

use crate::access::{self, Act};
use crate::args::SampleOptions;
use crate::extract::building::Building;
use crate::extract::cut::{Cut, Made, is_always_kept};
use crate::extract::export::Taken;
use crate::extract::prove::{self, Proving};
use crate::extract::sink::Sink;
use crate::extract::{csv, not_written};
use crate::json::{object, render};
use crate::ledger::tell;
use crate::newfile;
use crate::out::{self, entries, grouped};
use crate::record::{Points, Record};
use crate::trouble::Trouble;

/// What the numbers that are drawn by begin with.
const DOMAIN: &[u8] = b"sigchain1/sample\0";

/// The number by which an entry is drawn: the lowest are.
fn lot(seed: &str, chain_id: &Digest, sequence: u64) -> Digest {
    let length = u64::try_from(seed.len()).unwrap_or(u64::MAX).to_be_bytes();
    let sequence = sequence.to_be_bytes();
    Digest::of(&[DOMAIN, &length, seed.as_bytes(), chain_id.as_bytes(), &sequence])
}

/// What an entry is drawn by, and the entry.
type Lot = ([u8; 32], u64);

/// The entries with the lowest lots so far.
struct Draw<'s> {
    seed: &'s str,
    most: u64,
    lots: BTreeSet<Lot>,
}

impl Draw<'_> {
    fn take(&mut self, chain_id: &Digest, sequence: u64) {
        let lot = (*lot(self.seed, chain_id, sequence).as_bytes(), sequence);
        let is_full = u64::try_from(self.lots.len()).unwrap_or(u64::MAX) >= self.most;
        if is_full && self.lots.last().is_some_and(|last| *last < lot) {
            return;
        }
        self.lots.insert(lot);
        if is_full {
            self.lots.pop_last();
        }
    }
}

/// An entry that was drawn.
struct Drawn {
    rank: u64,
    lot: Digest,
    digest: Digest,
    written: Written<'static>,
}

/// What was drawn, from what.
struct Sample<'o> {
    asked: &'o SampleOptions,
    taken: Taken,
    drawn: BTreeMap<u64, Drawn>,
    checkpoint: Checkpoint,
    basis: &'static str,
    kind: &'static str,
    report: Report,
    made: Made,
}

pub(crate) fn run(asked: &SampleOptions) -> Result<u8, Trouble> {
    let failed = |error: io::Error| not_written(&asked.output, &error);
    newfile::is_free(&asked.output).map_err(failed)?;
    let (mut record, by) =
        prove::open(&asked.place.ledger, asked.checkpoint.as_deref(), &asked.signing)?;
    let mut unsure = None;
    match record.directory() {
        Some(directory) => unsure = access::check(directory, Act::Sample, &asked.record)?,
        None => access::only_in_a_ledger(&asked.record)?,
    }
    let points = record.points(&asked.selection)?;
    let mut proving = Proving::new(by);
    let (taken, lots, root) = draw(asked, &mut record, points, &proving)?;
    if let Some(trouble) = unsure {
        return Err(trouble);
    }
    let building = Building::begin(&asked.output).map_err(failed)?;
    let kept = building.path().join("sample.sigchain");
    let mut chosen = Chosen::new(&kept, lots, record.anchors().to_vec()).map_err(failed)?;
    let report = record.read(&mut |seen| {
        building.go_on().and_then(|()| chosen.take(seen, &mut proving)).map_err(failed)
    })?;
    if report.root != root {
        return Err(failed(io::Error::other("the record changed while it was read twice")));
    }
    let checkpoint = proving.checkpoint(&report)?;
    let (cut, drawn) = chosen.finish().map_err(failed)?;
    let key = proving.key();
    let (sink, made) = cut.finish(key, &report).map_err(failed)?;
    sink.finish().map_err(failed)?;
    let (basis, kind) = (proving.basis(), proving.kind());
    let sample = Sample { asked, taken, drawn, checkpoint, basis, kind, report, made };
    let json = sample.write(building.path(), &proving, failed)?;
    building.sync().map_err(failed)?;
    let about = sample.about(&json);
    let recorded =
        access::record(&asked.place.ledger, (&asked.record, &asked.signing), Act::Sample, about)?;
    building.finish(&asked.output).map_err(|error| match recorded {
        Some(entry) => not_written(&asked.output, &error).advising(&format!(
            "nothing was left there, though entry {entry} says that it was taken out; do it again"
        )),
        None => failed(error),
    })?;
    sample.tell(&json, recorded)?;
    record.tell_basis(&sample.report);
    Ok(0)
}

/// The first reading: how many there are, and which are drawn.
fn draw(
    asked: &SampleOptions,
    record: &mut Record,
    points: Points,
    proving: &Proving,
) -> Result<(Taken, BTreeSet<Lot>, Option<Digest>), Trouble> {
    let limit = proving.limit();
    let mut taken = Taken::new(asked.selection.filter()?, points);
    let mut draw = Draw { seed: &asked.seed, most: asked.number, lots: BTreeSet::new() };
    let report = record.read(&mut |seen| {
        match seen {
            Seen::Entry(shown) => {
                let sequence = shown.written.fields.sequence;
                // What is behind the checkpoint cannot be proved by it.
                if limit.is_none_or(|limit| sequence < limit) && taken.takes(shown) {
                    draw.take(&shown.item.chain_id, sequence);
                }
            }
            Seen::Gap(gap) if limit.is_none_or(|limit| gap.first < limit) => taken.gap(gap.count),
            _ => {}
        }
        Ok(())
    })?;
    taken.check()?;
    if taken.selected < asked.number {
        let (number, population) = (grouped(asked.number), grouped(taken.selected));
        let what = format!("-n {number} of a population of {population}");
        let expected = format!("at most {population}, which are all of them");
        return Err(Trouble::usage(what, &expected));
    }
    Ok((taken, draw.lots, report.root))
}

/// The second reading: what was drawn, with the file of it.
struct Chosen {
    /// By sequence: the place in the draw, and the lot.
    ranks: BTreeMap<u64, (u64, Digest)>,
    drawn: BTreeMap<u64, Drawn>,
    sink: Option<Sink>,
    cut: Option<Cut<Sink>>,
    held: Vec<Checkpoint>,
}

impl Chosen {
    fn new(path: &Path, lots: BTreeSet<Lot>, held: Vec<Checkpoint>) -> io::Result<Self> {
        let ranked = lots.into_iter().zip(1..);
        let ranks = ranked.map(|((lot, sequence), rank)| (sequence, (rank, Digest::new(lot))));
        let (drawn, sink) = (BTreeMap::new(), Some(Sink::begin(path, false)?));
        Ok(Self { ranks: ranks.collect(), drawn, sink, cut: None, held })
    }

    fn take(&mut self, seen: &Seen<'_>, proving: &mut Proving) -> io::Result<()> {
        let Seen::Entry(shown) = seen else {
            proving.other(seen);
            return self.cut.as_mut().map_or(Ok(()), |cut| cut.other(seen));
        };
        if let Some(sink) = self.sink.take() {
            let chain_id = shown.item.chain_id;
            self.cut = Some(Cut::begin(sink, Form::ChainFile, chain_id, &self.held)?);
        }
        let written = shown.written;
        let rank = self.ranks.get(&written.fields.sequence);
        proving.entry(shown, rank.is_some());
        if let Some((rank, lot)) = rank {
            let digest = shown.item.digest();
            let written = written.clone().into_owned();
            let drawn = Drawn { rank: *rank, lot: *lot, digest, written };
            self.drawn.insert(drawn.written.fields.sequence, drawn);
        }
        let is_kept = rank.is_some() || is_always_kept(shown);
        let cut = self.cut.as_mut();
        cut.map_or(Ok(()), |cut| cut.entry(shown, is_kept.then_some(&written.part)))
    }

    /// The file, not yet ended, and what is in it of what was drawn.
    fn finish(self) -> io::Result<(Cut<Sink>, BTreeMap<u64, Drawn>)> {
        let is_whole = self.drawn.len() == self.ranks.len();
        let cut = self.cut.filter(|_| is_whole);
        let cut = cut.ok_or_else(|| io::Error::other("another record than the first time"))?;
        Ok((cut, self.drawn))
    }
}

impl Sample<'_> {
    /// Writes all but the chain file; what is in sample.json.
    fn write(
        &self,
        folder: &Path,
        proving: &Proving,
        failed: impl Fn(io::Error) -> Trouble,
    ) -> Result<String, Trouble> {
        let mut paths = proving.paths.paths();
        let mut table = Vec::new();
        let columns: Vec<&str> = OWN_COLUMNS.iter().chain(&csv::COLUMNS).copied().collect();
        csv::write(&mut table, &columns).map_err(&failed)?;
        for (sequence, drawn) in &self.drawn {
            let (chain_id, path) = (self.report.chain_id, paths.remove(sequence));
            let (Some(chain_id), Some(path)) = (chain_id, path) else { continue };
            let written = drawn.written.clone();
            let proof = prove::prove(written, path, self.checkpoint.clone(), &chain_id)?;
            let name = proof_name(*sequence);
            put(&folder.join(&name), proof.as_bytes()).map_err(&failed)?;
            let mut row = vec![drawn.rank.to_string(), drawn.lot.to_string(), name];
            row.extend(csv::row(&drawn.written, &drawn.written.part, &drawn.digest));
            csv::write(&mut table, &row).map_err(&failed)?;
        }
        put(&folder.join("sample.csv"), &table).map_err(&failed)?;
        let json = render(self.json())?;
        put(&folder.join("sample.json"), json.as_bytes()).map_err(&failed)?;
        Ok(json)
    }

    fn json(&self) -> Map<String, Value> {
        let drawn = self.drawn.iter().map(|(sequence, drawn)| {
            object([
                ("digest", drawn.digest.to_string().into()),
                ("event_id", drawn.written.fields.event_id.to_string().into()),
                ("lot", drawn.lot.to_string().into()),
                ("proof", proof_name(*sequence).into()),
                ("rank", drawn.rank.into()),
                ("sequence", (*sequence).into()),
            ])
        });
        let anchor = object([
            ("by", self.kind.into()),
            ("origin", self.checkpoint.origin().into()),
            ("root", self.checkpoint.root().to_string().into()),
            ("size", self.checkpoint.size().into()),
        ]);
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("anchor", anchor);
        put("chain_id", self.report.chain_id.map(|id| id.to_string()).into());
        put("drawn", drawn.collect());
        put("entries", self.report.entries.into());
        put("method", "sigchain1/sample".into());
        put("missing", self.taken.missing.into());
        put("n", self.asked.number.into());
        put("name", self.report.name.as_str().into());
        put("population", self.taken.selected.into());
        put("range", self.taken.range_json());
        put("seed", self.asked.seed.as_str().into());
        put("selection", access::selection(&self.asked.selection));
        map
    }

    /// What is recorded of it.
    fn about(&self, json: &str) -> Map<String, Value> {
        let mut about = Map::new();
        let mut put = |key: &str, value: Value| about.insert(key.to_owned(), value);
        put("entries", self.asked.number.into());
        put("form", "sample".into());
        put("population", self.taken.selected.into());
        put("range", self.taken.range_json());
        put("root", self.checkpoint.root().to_string().into());
        put("seed", self.asked.seed.as_str().into());
        put("selection", access::selection(&self.asked.selection));
        put("sha256", Digest::of(&[json.as_bytes()]).to_string().into());
        put("size", self.checkpoint.size().into());
        about
    }

    /// Says what was drawn.
    fn tell(&self, json: &str, recorded: Option<u64>) -> Result<(), Trouble> {
        let path = out::safe(&self.asked.output.to_string_lossy());
        if self.asked.json {
            out::print(json)?;
        } else {
            out::print(&self.text())?;
        }
        tell(&format!("wrote a table, a chain file, and a proof of each to \"{path}\""));
        if !self.made.are_gaps_proven {
            tell(
                "the gaps of sample.sigchain are not proven, for want of a seal behind them; the proofs do without",
            );
        }
        if self.taken.missing > 0 {
            let missing = entries(self.taken.missing);
            tell(&format!("{missing} of the range are not in the file, and could not be drawn"));
        }
        if let Some(entry) = recorded {
            tell(&format!("recorded: entry {entry}, behind what was taken out"));
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{label:<11} {value}");
        };
        let size = grouped(self.checkpoint.size());
        let population = entries(self.taken.selected);
        line(
            "population",
            &format!("{population}, of {} in the chain", grouped(self.report.entries)),
        );
        if let Some((first, last)) = self.taken.range {
            line("range", &format!("{first} to {last}, without a gap in the numbers"));
        }
        line(
            "drawn",
            &format!("{} by seed \"{}\"", grouped(self.asked.number), out::safe(&self.asked.seed)),
        );
        line(
            "anchor",
            &format!("{}, of {size} entries: root {}", self.basis, self.checkpoint.root()),
        );
        line(
            "chain",
            &format!(
                "{} {}",
                out::safe(&self.report.name),
                self.checkpoint.origin().rsplit('/').next().unwrap_or_default()
            ),
        );
        for (sequence, drawn) in &self.drawn {
            let fields = &drawn.written.fields;
            let (kind, actor) = (out::safe(&fields.event_type), out::safe(&fields.actor));
            let _ = writeln!(text, "{sequence:>11} {}  {kind}  {actor}", fields.system_time);
        }
        text
    }
}

/// The columns of sample.csv before those of every table.
const OWN_COLUMNS: [&str; 3] = ["rank", "lot", "proof"];

fn proof_name(sequence: u64) -> String {
    format!("{sequence}.tlog-proof")
}

/// Writes a file of the directory, and syncs it.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
