//! Figures of ledgers on files, beside what the disk and the cores can do right then.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sigchain::chainfile::Form;
use sigchain::directory::Directory;
use sigchain::disk;
use sigchain::error::AppendError;
use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::mirror;
use sigchain::select::Filter;
use sigchain::verify::Verifier;

use crate::bench::figures::{self, Worked, keep_under_way, measure_open};
use crate::bench::{Outcome, Row, Wanted, broke_off, length, limits, median, print};
use crate::trouble::Trouble;

/// Events of a batch.
const BATCH: usize = 1024;
/// Threads that each wait for each of their events.
const MANY: usize = 64;
/// Entries behind which an append is measured first.
const FEW: usize = 1000;
/// How often one that waits and a bare write and sync take turns.
const ONE_TURNS: u32 = 16;
/// How often few and many are compared: both see the same weather on a machine that is not ours alone.
const TURNS: usize = 5;

/// What one round measured, each beside the limit as it was right then.
#[derive(Clone, Debug, Default)]
struct Round {
    sign_one: f64,
    sign_all: f64,
    tickets: f64,
    /// Until the mirror has all of it, too.
    mirrored: f64,
    batches: f64,
    many: f64,
    /// Seconds that each append took, ascending.
    one_took: Vec<f64>,
    /// Seconds that each bare write and sync took, in turns with these.
    bare_took: Vec<f64>,
    many_took: Vec<f64>,
}

impl Round {
    fn one(&self) -> f64 {
        limits::a_second(&self.one_took)
    }

    fn bare(&self) -> f64 {
        limits::a_second(&self.bare_took)
    }
}

/// What was measured once, on a ledger with many entries.
struct Filled {
    entries: usize,
    /// Seconds.
    open: f64,
    /// Entries a second from its files, and from a chain file.
    verify: f64,
    verify_file: f64,
    /// Entries a second that a filter passes over, in its files and in a chain file.
    scan: f64,
    scan_file: f64,
    /// Median seconds of an append behind few entries and behind all of them, measured by turns.
    appends: Vec<(f64, f64)>,
}

/// A directory of our own, gone when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(wanted: &Wanted, parent: &Path) -> Result<u8, Trouble> {
    let scratch = scratch(parent).map_err(|error| {
        Trouble::unreadable(
            format!("cannot measure in \"{}\": {error}", parent.display()),
            "a directory that is no ledger itself, in which others can be made",
            "make it, or give another one; nothing was measured",
        )
    })?;
    let rows = measure(wanted, &scratch.0).map_err(|error| broke_off(&*error))?;
    print(wanted, &rows, "ledgers on files")
}

fn scratch(parent: &Path) -> Outcome<Scratch> {
    if parent.join("durable").exists() {
        return Err("it is a ledger".into());
    }
    let mut name = [0; 8];
    getrandom::fill(&mut name)?;
    let path = parent.join(format!("sigchain-bench-{:016x}", u64::from_be_bytes(name)));
    fs::create_dir(&path)?;
    Ok(Scratch(path))
}

fn measure(wanted: &Wanted, scratch: &Path) -> Outcome<Vec<Row>> {
    let (rounds, time) = (if wanted.quick { 1 } else { 5 }, length(wanted));
    let (key, checkpoints) = (SigningKey::generate()?, SigningKey::generate()?);
    let keys = (&key, &checkpoints);
    let mut all = Vec::new();
    for number in 0..rounds {
        all.push(round(keys, &scratch.join(number.to_string()), time)?);
        fs::remove_dir_all(scratch.join(number.to_string()))?;
    }
    let entries = match (wanted.long, wanted.quick) {
        (true, _) => 1_000_000,
        (false, true) => 5_000,
        (false, false) => 100_000,
    };
    let filled = filled(keys, &scratch.join("filled"), entries, time)?;
    Ok(rows(&all, &filled))
}

/// Keys of entries and of checkpoints.
type Keys<'k> = (&'k SigningKey, &'k SigningKey);

fn create(keys: Keys<'_>, path: &Path) -> Outcome<Ledger> {
    let genesis = Genesis::new("bench", keys.0.clone()).checkpoints(keys.1.clone());
    Ok(Ledger::create_at(path, genesis, Options::new())?)
}

fn close(ledger: &Ledger) -> Outcome<()> {
    ledger.close(Duration::from_secs(60))?;
    Ok(())
}

fn round(keys: Keys<'_>, path: &Path, time: Duration) -> Outcome<Round> {
    let (cores, half) = (limits::cores(), time / 2);
    fs::create_dir(path)?;
    let ledger = create(keys, &path.join("ledger"))?;
    // Limits before and after: on a shared machine they are not the same.
    let before = limits::sign_on(cores, keys.0, half);
    let tickets = measure_open(&ledger, cores, time, keep_under_way)?;
    let mirrored = mirrored(keys, path, time)?;
    let tickets = f64::midpoint(tickets, measure_open(&ledger, cores, time, keep_under_way)?);
    let batches = measure_open(&ledger, cores, time, in_batches)?;
    let (many, many_took) = waiting(&ledger, MANY, time)?;
    let sign_all = f64::midpoint(before, limits::sign_on(cores, keys.0, half));
    let (one_took, bare_took) = one_by_turns(&ledger, &path.join("bare"), time)?;
    close(&ledger)?;
    let sign_one = limits::sign_on(1, keys.0, half);
    Ok(Round {
        sign_one,
        sign_all,
        tickets,
        mirrored,
        batches,
        many,
        one_took,
        bare_took,
        many_took,
    })
}

/// Entries a second of tickets that are durable and in a mirror: one that fell behind would be no mirror in the end.
fn mirrored(keys: Keys<'_>, path: &Path, time: Duration) -> Outcome<f64> {
    let files = Files::new().mirror(path.join("mirror"), mirror::Options::new());
    let genesis = Genesis::new("bench", keys.0.clone()).checkpoints(keys.1.clone());
    let ledger = Ledger::create_at(&path.join("mirrored"), genesis, Options::new().files(files))?;
    let start = Instant::now();
    measure_open(&ledger, limits::cores(), time, keep_under_way)?;
    let size = ledger.head().sequence.saturating_add(1);
    while ledger.mirroring().is_some_and(|mirroring| mirroring.progress().next < size) {
        thread::sleep(Duration::from_millis(1));
    }
    let took = start.elapsed().as_secs_f64();
    close(&ledger)?;
    Ok(limits::float(usize::try_from(size)?) / took)
}

fn in_batches(ledger: &Ledger, event: &Event, stop: &dyn Fn() -> bool) -> Worked {
    while !stop() {
        ledger.append_batch(vec![event.clone(); BATCH])?;
    }
    Ok(())
}

/// Seconds that each append of one thread took, and each bare write and sync, ascending. They take turns: a disk that others use, too, is
/// not the same from one second to the next, and what the ledger does in the background falls on both.
fn one_by_turns(ledger: &Ledger, bare: &Path, time: Duration) -> Outcome<(Vec<f64>, Vec<f64>)> {
    let mut bare = limits::Bare::create(bare)?;
    let (mut one_took, mut bare_took) = (Vec::new(), Vec::new());
    for _ in 0..ONE_TURNS {
        bare.sync_for(time / ONE_TURNS, &mut bare_took)?;
        one_took.extend(waiting(ledger, 1, time / ONE_TURNS)?.1);
    }
    one_took.sort_by(f64::total_cmp);
    bare_took.sort_by(f64::total_cmp);
    Ok((one_took, bare_took))
}

/// Appends a second of `threads` that each wait for each, and how long each took, ascending.
fn waiting(ledger: &Ledger, threads: usize, time: Duration) -> Outcome<(f64, Vec<f64>)> {
    let event = figures::event()?;
    let start = Instant::now();
    let work = || -> Result<Vec<f64>, AppendError> {
        let mut took = Vec::new();
        while start.elapsed() < time {
            let event = event.clone();
            let begun = Instant::now();
            ledger.append(event)?;
            took.push(begun.elapsed().as_secs_f64());
        }
        Ok(took)
    };
    let mut took = thread::scope(|scope| -> Outcome<Vec<f64>> {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for thread in running {
            all.extend(thread.join().map_err(|_| "a thread that appends ended in a panic")??);
        }
        Ok(all)
    })?;
    let rate = limits::float(took.len()) / start.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    Ok((rate, took))
}

fn filled(keys: Keys<'_>, path: &Path, entries: usize, time: Duration) -> Outcome<Filled> {
    let ledger = create(keys, path)?;
    figures::fill(&ledger, entries)?;
    let few = create(keys, &path.with_extension("few"))?;
    figures::fill(&few, FEW)?;
    let mut appends = Vec::new();
    for _ in 0..TURNS {
        let half = |ledger| Outcome::Ok(of_thousand(&waiting(ledger, 1, time / 2)?.1, 500));
        appends.push((half(&few)?, half(&ledger)?));
    }
    close(&few)?;
    let entries = usize::try_from(ledger.head().sequence)?.saturating_add(1);
    close(&ledger)?;
    drop(ledger);
    let signers = Signers::new(keys.0.clone(), keys.1.clone());
    let start = Instant::now();
    let ledger = Ledger::open_at(path, signers, Options::new())?;
    let open = start.elapsed().as_secs_f64();
    let file = path.with_extension("sigchain");
    ledger.export(std::io::BufWriter::new(fs::File::create(&file)?), Form::ChainFile)?;
    close(&ledger)?;
    let directory = Directory::view(disk::open_to_read(path)?)?;
    let verify =
        verified(entries, |verifier| Ok(verifier.open_ended(true).run(directory.stream()?)?))?;
    let verify_file = verified(entries, |verifier| Ok(verifier.run(fs::File::open(&file)?)?))?;
    let filter = Filter::new().event_type("nothing.*")?;
    let scan = passed(entries, || Ok(filter.select(&directory)?.count()))?;
    let scan_file = passed(entries, || Ok(filter.select_in(fs::File::open(&file)?)?.count()))?;
    Ok(Filled { entries, open, verify, verify_file, scan, scan_file, appends })
}

/// Entries a second of which none is wanted. What is read is in memory: it was verified just before.
fn passed(entries: usize, run: impl Fn() -> Outcome<usize>) -> Outcome<f64> {
    let start = Instant::now();
    if run()? > 0 {
        return Err("a filter that wants nothing has found something".into());
    }
    Ok(limits::float(entries) / start.elapsed().as_secs_f64())
}

/// Entries a second that are verified, signatures and all, on all cores.
fn verified(
    entries: usize,
    run: impl FnOnce(Verifier) -> Outcome<sigchain::verify::Report>,
) -> Outcome<f64> {
    let start = Instant::now();
    let report = run(Verifier::new())?;
    let took = start.elapsed().as_secs_f64();
    if report.total() > 0 || usize::try_from(report.entries)? != entries {
        return Err("a ledger of our own with a fault".into());
    }
    Ok(limits::float(entries) / took)
}

/// The one that so many of a thousand do not exceed.
fn of_thousand(ascending: &[f64], count: usize) -> f64 {
    let at = ascending.len().saturating_mul(count) / 1000;
    ascending.get(at).or(ascending.last()).copied().unwrap_or(f64::NAN)
}

fn rows(all: &[Round], filled: &Filled) -> Vec<Row> {
    let row = |name, unit, value| Row { name, unit, value, of: None, wanted: None };
    let limit = |name, value: fn(&Round) -> f64| row(name, "/s", median(all, value));
    let ratio = |name, value: fn(&Round) -> f64, of, by: fn(&Round) -> f64, wanted| Row {
        of: Some((of, median(all, |round| value(round) / by(round)))),
        wanted: Some(wanted),
        ..row(name, "/s", median(all, value))
    };
    let took = |name, of: fn(&Round) -> &[f64], count| {
        row(name, " us", median(all, |round| of_thousand(of(round), count)) * 1e6)
    };
    let (every, sync) = ("sign, all cores", "write and fdatasync");
    let plain = "durable append, tickets";
    // What the one who waits cannot do without.
    let least = |round: &Round| of_thousand(&round.bare_took, 500) + 1.0 / round.sign_one;
    let half = |round: &Round| of_thousand(&round.one_took, 500);
    let mut rows = vec![
        limit("sign, one core", |r| r.sign_one),
        limit(every, |r| r.sign_all),
        limit(sync, Round::bare),
        ratio(plain, |r| r.tickets, every, |r| r.sign_all, "0.85"),
        Row {
            of: Some((plain, median(all, |r| r.mirrored / r.tickets))),
            wanted: Some("0.67"),
            ..limit("durable append, tickets, with a mirror that has them", |r| r.mirrored)
        },
        ratio("durable append, batches", |r| r.batches, every, |r| r.sign_all, "0.85"),
        ratio("durable append, 64 threads that wait", |r| r.many, every, |r| r.sign_all, "0.50"),
        ratio("durable append, one that waits", Round::one, sync, Round::bare, "0.85"),
        Row {
            of: Some(("write, fdatasync and sign", median(all, |r| half(r) / least(r)))),
            wanted: Some("at most 1.25"),
            ..took("one that waits, p50", |r| &r.one_took, 500)
        },
        took("one that waits, p99", |r| &r.one_took, 990),
        took("one that waits, p99.9", |r| &r.one_took, 999),
        took("64 threads that wait, p50", |r| &r.many_took, 500),
        took("64 threads that wait, p99", |r| &r.many_took, 990),
        took("64 threads that wait, p99.9", |r| &r.many_took, 999),
    ];
    rows.extend([
        row("entries of the ledger of what follows", "", limits::float(filled.entries)),
        Row {
            of: Some(("behind a thousand", median(&filled.appends, |(few, all)| all / few))),
            wanted: Some("1.00"),
            ..row("one that waits, p50, behind them", " us", median(&filled.appends, |t| t.1) * 1e6)
        },
        Row {
            wanted: Some("at most 50"),
            ..row("open after a clean close", " ms", filled.open * 1e3)
        },
        row("verify a chain file", "/s", filled.verify_file),
        Row {
            of: Some(("verify a chain file", filled.verify / filled.verify_file)),
            wanted: Some("1.00"),
            ..row("verify the ledger", "/s", filled.verify)
        },
        Row {
            wanted: Some("1,000,000"),
            ..row("pass over entries of the ledger", "/s", filled.scan)
        },
        Row {
            wanted: Some("1,000,000"),
            ..row("pass over entries of a chain file", "/s", filled.scan_file)
        },
    ]);
    rows
}
