//! Arguments of `diff`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use sigchain::point::Point;

use crate::args::{ledger_of_environment, parse};
use crate::trouble::Trouble;

/// What changed from one point to another
///
/// Entries between the two by type and actor, episodes begun and ended, keys that came and went, payloads erased. Both
/// points are inclusive: what is counted are the entries behind the earlier one, up to the later one. All of it is verified, but only
/// against itself, which anybody can arrange (against what you hold: sigchain verify).
#[derive(Args, Debug)]
#[command(after_help = DIFF, override_usage = "sigchain diff [OPTIONS] [LEDGER] A B")]
pub(crate) struct DiffOptions {
    /// The ledger, unless $SIGCHAIN_LEDGER names it, and two points in either order
    #[arg(value_name = "[LEDGER] A B", num_args = 2..=3, required = true, allow_negative_numbers = true)]
    words: Vec<OsString>,
    /// One JSON object (spec/sigchain-diff.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

const DIFF: &str = "\
A and B are points as `sigchain help replay` lists them: head; -N; a sequence; a stamp; a time; an event id.

Exit codes, as diff(1) has them but for 4:
  0  no entry lies between the two
  1  entries lie between them, or are missing there; or a fault, or no such point: then only standard error says so
  2  the call makes no sense
  4  unreadable";

impl DiffOptions {
    /// The ledger and the points.
    pub(crate) fn place(&self) -> Result<(PathBuf, Point, Point), Trouble> {
        let (ledger, a, b) = match (self.words.as_slice(), ledger_of_environment()) {
            ([ledger, a, b], _) => (PathBuf::from(ledger), a, b),
            ([a, b], Some(ledger)) => (ledger, a, b),
            _ => {
                let what = "no ledger was named, or not two points";
                return Err(Trouble::usage(what, "LEDGER, A and B; or $SIGCHAIN_LEDGER set"));
            }
        };
        let point = |word: &OsString| {
            parse::point(&word.to_string_lossy())
                .map_err(|unfit| Trouble::usage(unfit.what, &unfit.expected))
        };
        Ok((ledger, point(a)?, point(b)?))
    }
}
