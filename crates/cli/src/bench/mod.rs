//! `sigchain bench`: the machine's limits and our figures beside them, in one run, with the ratios.

mod figures;
mod files;
mod limits;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use clap::{Args, ValueHint};
use serde_json::json;
use sigchain::key::SigningKey;
use sigchain::ledger::Options;

use crate::out;
use crate::trouble::Trouble;

/// Whatever keeps a measurement from being made.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// What this machine can do, and what a ledger does on it
///
/// Measures what the machine can do by itself (sign on one core and on all, verify batches, write and sync) and, beside it in the same
/// run, what a ledger does, with the ratios. With FOLDER ledgers are on files, in a fresh directory in FOLDER that is removed again;
/// without it in memory. Keys are thrown away. Takes about half a minute.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Exit code 0 if it was measured, whatever the figures.")]
pub(crate) struct Wanted {
    /// Where ledgers on files are made and measured; without it they are in memory
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) files: Option<PathBuf>,
    /// Without FOLDER: where the disk is measured; the directory for temporary files unless you say otherwise
    #[arg(long = "dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,
    /// With FOLDER: a million entries, and what an append costs behind them; some minutes, and 600 MB of disk. What ten million cost,
    /// reading and proofs too: cargo run --release --example long -- PATH
    #[arg(long)]
    pub(crate) long: bool,
    /// A tenth of the time and one round: to see that it works, not to rely on
    #[arg(long)]
    pub(crate) quick: bool,
    /// One JSON object (spec/sigchain-bench.schema.json) instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

impl Wanted {
    /// What cannot be asked for together.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        if self.folder.is_some() && self.files.is_some() {
            return Err(Trouble::usage("--dir with FOLDER", "one of the two"));
        }
        if self.long && (self.files.is_none() || self.quick) {
            let what = "--long without FOLDER, or with --quick";
            return Err(Trouble::usage(what, "--long with FOLDER"));
        }
        Ok(())
    }
}

/// What one round measured: each figure beside the limit as it was right then.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    sign_one: f64,
    sign_all: f64,
    batch: f64,
    one: f64,
    each: f64,
    many: f64,
    tickets: f64,
    verified: f64,
    fold: f64,
    verify: f64,
}

/// One line of the answer.
struct Row {
    name: &'static str,
    unit: &'static str,
    value: f64,
    /// The limit that it is a ratio of, and the ratio.
    of: Option<(&'static str, f64)>,
    wanted: Option<&'static str>,
}

pub(crate) fn run(wanted: &Wanted) -> Result<u8, Trouble> {
    if let Some(parent) = &wanted.files {
        return files::run(wanted, parent);
    }
    let parent = wanted.folder.clone().unwrap_or_else(env::temp_dir);
    let sync = sync_rate(&parent, length(wanted)).map_err(|error| {
        // The name of a directory is a word of the call: that it is printable is seen to where it is shown.
        Trouble::unreadable(
            format!("cannot measure the disk in \"{}\": {error}", parent.display()),
            "a directory that is there, in which files can be made and written",
            "make it, or give another one with --dir DIR; nothing was measured",
        )
    })?;
    let rows = measure(wanted, sync).map_err(|error| broke_off(&*error))?;
    print(wanted, &rows, "ledgers in memory")
}

fn print(wanted: &Wanted, rows: &[Row], of: &str) -> Result<u8, Trouble> {
    let text = if wanted.json { json_of(rows) } else { table(rows, of) };
    out::print(&text).map(|()| 0)
}

fn broke_off(error: &dyn Error) -> Trouble {
    Trouble::unreadable(
        format!("the measurement broke off: {error}"),
        "a machine that lets itself be measured",
        "see what is said above, and run it again",
    )
}

/// How long each measurement takes.
fn length(wanted: &Wanted) -> Duration {
    Duration::from_millis(if wanted.quick { 50 } else { 500 })
}

fn measure(wanted: &Wanted, sync: f64) -> Outcome<Vec<Row>> {
    let (rounds, time) = (if wanted.quick { 1 } else { 5 }, length(wanted));
    let entries = if wanted.quick { 10_000 } else { 200_000 };
    let key = SigningKey::generate()?;
    let ledger = figures::filled(&key, entries)?;
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(round(&key, &ledger, entries, time)?);
    }
    let under_lock = figures::under_lock(&key, entries / 10)?;
    Ok(rows(&all, under_lock, sync))
}

fn round(
    key: &SigningKey,
    ledger: &sigchain::ledger::Ledger,
    entries: usize,
    time: Duration,
) -> Outcome<Round> {
    let cores = limits::cores();
    let half = time / 2;
    let before = limits::sign_on(cores, key, half);
    let each = figures::waiting(cores, key, Options::new(), time)?;
    let tickets = figures::tickets(cores, key, time)?;
    // Limits before and after: on a shared machine they are not the same.
    let sign_all = f64::midpoint(before, limits::sign_on(cores, key, half));
    Ok(Round {
        sign_one: limits::sign_on(1, key, half),
        sign_all,
        batch: limits::verify_batches(half)?,
        one: figures::waiting(1, key, Options::new(), time)?,
        each,
        many: figures::waiting(64, key, Options::new(), time)?,
        tickets,
        verified: figures::waiting(cores, key, Options::new().verify_own(true), time)?,
        fold: figures::fold(ledger, entries)?,
        verify: figures::verify(ledger, entries)?,
    })
}

/// First of all: a directory that does not do is better known before half a minute than after it.
fn sync_rate(parent: &Path, time: Duration) -> Outcome<f64> {
    let mut name = [0; 8];
    getrandom::fill(&mut name)?;
    let folder = parent.join(format!("sigchain-bench-{:016x}", u64::from_be_bytes(name)));
    fs::create_dir(&folder)?;
    let found = limits::write_and_sync(&folder.join("bare"), time);
    fs::remove_dir_all(&folder)?;
    found
}

/// The one in the middle.
fn median<R>(rounds: &[R], value: impl Fn(&R) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rows(all: &[Round], under_lock: f64, sync: f64) -> Vec<Row> {
    let cores = limits::float(limits::cores());
    let limit = |name, value| Row { name, unit: "/s", value, of: None, wanted: None };
    let ratio = |name, value: fn(&Round) -> f64, of, by: fn(&Round) -> f64, wanted| Row {
        name,
        unit: "/s",
        value: median(all, value),
        of: Some((of, median(all, |round| value(round) / by(round)))),
        wanted,
    };
    let (one, every) = ("sign, one core", "sign, all cores");
    vec![
        limit(one, median(all, |r| r.sign_one)),
        limit(every, median(all, |r| r.sign_all)),
        limit("verify one-key batches, one core", median(all, |r| r.batch)),
        limit("write and fdatasync", sync),
        ratio("append, one thread", |r| r.one, one, |r| r.sign_one, None),
        ratio("append, a thread a core", |r| r.each, every, |r| r.sign_all, Some("0.80")),
        ratio("append, 64 threads", |r| r.many, every, |r| r.sign_all, None),
        ratio("append, tickets", |r| r.tickets, every, |r| r.sign_all, Some("0.85")),
        ratio("append, own signatures verified", |r| r.verified, every, |r| r.sign_all, None),
        Row {
            name: "append, time under the lock",
            unit: " us",
            value: under_lock * 1e6,
            of: None,
            wanted: Some("at most 1"),
        },
        Row {
            wanted: Some("3,000,000"),
            ..limit("fold in memory, counting", median(all, |r| r.fold))
        },
        Row {
            of: Some((
                "verify one-key batches, all cores",
                median(all, |r| r.verify / r.batch) / cores,
            )),
            ..limit("verify a chain file", median(all, |r| r.verify))
        },
    ]
}

fn json_of(rows: &[Row]) -> String {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "unit": row.unit.trim(),
                "value": round(row.value),
                "of": row.of.map(|(of, _)| of),
                "ratio": row.of.map(|(_, ratio)| round(ratio)),
                "wanted": row.wanted,
            })
        })
        .collect();
    let answer =
        json!({ "cores": limits::cores(), "payload_bytes": figures::PAYLOAD, "rows": rows });
    format!("{answer:#}\n")
}

fn table(rows: &[Row], of: &str) -> String {
    let mut text = format!(
        "{} cores, payloads of {} bytes, {of}; each ratio is to a limit measured beside it\n\n",
        limits::cores(),
        figures::PAYLOAD
    );
    for row in rows {
        let value = if row.value < 100.0 {
            format!("{:.2}", row.value)
        } else {
            let whole = format!("{:.0}", row.value);
            whole.parse().map_or(whole, out::grouped)
        };
        let ratio = row.of.map_or(String::new(), |(of, ratio)| format!("{ratio:.2} x {of}"));
        let wanted = row.wanted.map_or(String::new(), |wanted| format!("  (wanted {wanted})"));
        let shown = format!("{value}{}", row.unit);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:40}{shown:>14}  {ratio}{wanted}", row.name);
    }
    text
}
