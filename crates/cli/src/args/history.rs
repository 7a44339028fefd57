//! Arguments of the commands that read a record: replay, log, show.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use sigchain::point::Point;

use crate::args::select::Selection;
use crate::args::verify::HeldOptions;
use crate::args::{Place, is_stdin, ledger_of_environment, parse};
use crate::history::Grep;
use crate::trouble::Trouble;

macro_rules! point {
    () => {
        "\
POINT is one of: head; -N (N entries before the head; not from a pipe); a sequence (at most 15 digits); a stamp (16 lower-case \
hexadecimal digits); a time (2026-11-20T05:00:00.25Z, any offset; every entry up to and in that microsecond); an event id."
    };
}

/// What the entries up to a point come to, counted
///
/// By type and actor, payloads, episodes, keys in force. All of it is verified; there is no state if a fault is at the
/// point or before it, or speaks against what is there.
#[derive(Args, Debug)]
#[command(after_help = REPLAY)]
pub(crate) struct ReplayOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Up to this entry, and with it
    #[arg(long, value_name = "POINT", default_value = "head", value_parser = parse::point, allow_negative_numbers = true)]
    pub(crate) until: Point,
    /// A chain that this one continues; once for each, in any order
    #[arg(long = "predecessor", value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) predecessors: Vec<PathBuf>,
    /// Only LEDGER, although it continues another chain: not the whole history
    #[arg(long)]
    pub(crate) alone: bool,
    /// Although entries are missing at the point or before it: not the whole history
    #[arg(long)]
    pub(crate) allow_gaps: bool,
    /// One JSON object (spec/sigchain-replay.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) held: HeldOptions,
}

const REPLAY: &str = concat!(
    point!(),
    "

Exit codes:
  0  done, no fault anywhere, and tied to something that you held, or that this machine has anchored of a ledger
  1  a fault, or no such point; with a fault behind the point there is a state all the same
  2  the call makes no sense, or chains are missing or too many
  3  done and no fault, but there is no anchor, or one is missing from the file, or gaps are not proven
  4  unreadable: a file, a checkpoint or a key"
);

/// One line for each entry: sequence, time, type, actor, payload, episode
///
/// Verified while it is read, but only against itself, which anybody can arrange: nothing that you hold is compared (for
/// that: sigchain verify). Says so on standard error. Stops at the first fault.
#[derive(Args, Debug)]
#[command(after_help = LOG)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the call")]
pub(crate) struct LogOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The ledger's own entries too; --type shows them as well, if it fits
    #[arg(long)]
    pub(crate) all: bool,
    /// The entries as JSON lines, one object each (spec/sigchain-jsonl.schema.json)
    #[arg(long)]
    pub(crate) json: bool,
    /// Verify nothing, and read no more than it must: in a ledger the entries between two points are found without
    /// reading what is before and behind them
    #[arg(long)]
    pub(crate) unverified: bool,
    /// Only LEDGER, although it goes on from another chain: otherwise those come first, as far as they belong to its history, with a
    /// line where each begins (of --json its header). A --since or --until that is no time is of LEDGER
    #[arg(long)]
    pub(crate) alone: bool,
    /// Go on with what becomes durable in a ledger, until Ctrl-C, SIGTERM or --until: through segments, restarts and
    /// recoveries of its writer. Each entry must be linked to the one before; more is not verified
    #[arg(long)]
    pub(crate) follow: bool,
    /// Only what PATTERN is found in, a regular expression: type, actor, episode, correlation or payload; '(?i)' before it makes upper
    /// and lower case alike
    #[arg(long, value_name = "PATTERN", value_parser = parse::grep)]
    pub(crate) grep: Option<Grep>,
    #[command(flatten)]
    pub(crate) selection: Selection,
}

const LOG: &str = concat!(
    point!(),
    " The entry that it names is shown.

Exit codes:
  0  done, and the file agrees with itself: no more than that; with --unverified and --follow: done
  1  a fault, no such point, or no entry between the two
  2  the call makes no sense
  4  unreadable"
);

/// All of one entry: fields, digest, signature, payload, proof, what caused it and what it caused
///
/// All of the record is verified, but only against itself, which anybody can arrange: nothing that you hold is compared
/// (for that: sigchain verify). Says so on standard error.
#[derive(Args, Debug)]
#[command(after_help = SHOW, override_usage = "sigchain show [OPTIONS] [LEDGER] POINT")]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    words: PlaceAndPoint,
    /// The hashes too that prove it to be part of the tree
    #[arg(long, conflicts_with = "json")]
    pub(crate) proof: bool,
    /// The entry as one JSON line (spec/sigchain-jsonl.schema.json)
    #[arg(long)]
    pub(crate) json: bool,
}

const SHOW: &str = concat!(
    point!(),
    "

Exit codes:
  0  done, and the file agrees with itself: no more than that
  1  a fault, or no such entry
  2  the call makes no sense
  4  unreadable"
);

/// A ledger, which the environment may name, and a point.
#[derive(Args, Debug)]
pub(crate) struct PlaceAndPoint {
    /// The ledger, unless $SIGCHAIN_LEDGER names it, and which entry: a sequence, an event id or another POINT
    #[arg(value_name = "[LEDGER] POINT", num_args = 1..=2, required = true, allow_negative_numbers = true)]
    words: Vec<OsString>,
}

impl PlaceAndPoint {
    /// The ledger and the point.
    pub(super) fn settle(&self) -> Result<(PathBuf, Point), Trouble> {
        let (ledger, word) = match (self.words.as_slice(), ledger_of_environment()) {
            ([ledger, word], _) => (PathBuf::from(ledger), word),
            ([word], Some(ledger)) => (ledger, word),
            _ => {
                let expected = "LEDGER and POINT, such as a sequence or an event id";
                return Err(Trouble::usage("no entry was named", expected));
            }
        };
        let point = parse::point(&word.to_string_lossy());
        let point = point.map_err(|unfit| Trouble::usage(unfit.what, &unfit.expected))?;
        Ok((ledger, point))
    }
}

impl ShowOptions {
    /// The ledger and the point.
    pub(crate) fn place(&self) -> Result<(PathBuf, Point), Trouble> {
        self.words.settle()
    }
}

impl ReplayOptions {
    /// What cannot be asked for together.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let files = self.predecessors.iter().chain([&self.place.ledger]);
        if files.filter(|path| is_stdin(path)).count() > 1 {
            let what = "standard input was named more than once";
            return Err(Trouble::usage(what, "one of the files at most"));
        }
        if self.alone && !self.predecessors.is_empty() {
            return Err(Trouble::usage("--alone with --predecessor", "one of the two"));
        }
        Ok(())
    }
}

impl LogOptions {
    /// What cannot be asked for together.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.follow && self.selection.until.is_some_and(|until| until.is_relative()) {
            let what = "--follow with an --until that counts from the head";
            return Err(Trouble::usage(what, "a point that stays where it is"));
        }
        Ok(())
    }
}
