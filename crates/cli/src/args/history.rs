//! Arguments of the commands that read a record: replay, log, show.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser};
use sigchain::id::TraceId;
use sigchain::limit::FieldError;
use sigchain::point::Point;
use sigchain::select::Filter;

use crate::args::{
    Command, Options, chain_id, file_or_ledger, is_stdin, ledger_of_environment, once,
};
use crate::trouble::Trouble;

pub(crate) const HELP_REPLAY: &str = "\
sigchain replay FILE [OPTIONS]

What the entries of FILE come to, counted: by type and actor, payloads, episodes, keys in force. FILE is the directory of a ledger, a
chain file or JSON lines; - is standard input; $SIGCHAIN_LEDGER if none is named. All of it is verified; there is no state if a fault
is at the point or before it, or speaks against what is there.

  --until POINT        head unless you say otherwise; includes the entry that it names
  --predecessor FILE   a chain that this one continues; once for each, in any order
  --alone              only FILE, although it continues another chain: not the whole history
  --allow-gaps         although entries are missing at the point or before it: not the whole history
  --allow-self-asserted   exit 0 if there is no fault and you gave nothing to tie the file to
  --json               one JSON object (spec/sigchain-replay.schema.json) instead of text

What you held before, of the chain in FILE (as in `sigchain help verify`):
  --key KEY, --checkpoint NOTE, --chain-id ID

POINT is one of: head; -N (N entries before the head; not from a pipe); a sequence (at most 15 digits); a stamp (16 lower-case
hexadecimal digits); a time (2026-11-20T05:00:00.25Z, any offset; every entry up to and in that microsecond); an event id.

Exit codes:
  0  done, no fault anywhere, and tied to something that you held
  1  a fault, or no such point; with a fault behind the point there is a state all the same
  2  the call makes no sense, or chains are missing or too many
  3  done and no fault, but you gave no anchor, or one is missing from the file, or gaps are not proven
  4  unreadable: a file, a checkpoint or a key
";

pub(crate) const HELP_LOG: &str = "\
sigchain log FILE [OPTIONS]

One line for each entry: sequence, time, type, actor, payload, episode. FILE is the directory of a ledger, a chain file or JSON lines;
- is standard input; $SIGCHAIN_LEDGER if none is named.
Verified while it is read, but only against itself, which anybody can arrange: nothing that you hold is compared (for that:
sigchain verify). Says so on standard error. Stops at the first fault.

  --since POINT      from this entry on
  --until POINT      up to this entry
  --type TYPE        only entries of this type; with * for any part of it: 'llm.*'. Given several times: of any of these
  --actor ACTOR, --episode ID, --correlation ID, --trace ID   only entries of these
  --all              the ledger's own entries too; --type shows them as well, if it fits
  --json             the entries as JSON lines, one object each
  --unverified       verifies nothing, and reads no more than it must: a million entries a second and more are passed over, and in a
                     ledger those between two points are found without reading what is before and behind them
  --follow           goes on with what becomes durable in a LEDGER, until Ctrl-C, SIGTERM or --until: through segments, restarts and
                     recoveries of its writer. Each entry must be linked to the one before; more is not verified

POINT is as in `sigchain help replay`; the entry that it names is shown.

Exit codes:
  0  done, and the file agrees with itself: no more than that; with --unverified and --follow: done
  1  a fault, no such point, or no entry between the two
  2  the call makes no sense
  3  never: no anchor is taken, so that none can be missing
  4  unreadable
";

pub(crate) const HELP_SHOW: &str = "\
sigchain show FILE POINT [--json]

All of one entry: fields, digest, signature, payload, and which later entries name it as their cause. FILE is the directory of a ledger,
a chain file or JSON lines; - is standard input; $SIGCHAIN_LEDGER if none is named. All of it is verified, but only against itself,
which anybody can arrange: nothing that you hold is compared (for that: sigchain verify). Says so on standard error.

POINT is a sequence, an event id, or any other point of `sigchain help replay`.

  --json   the entry as one JSON line

Exit codes:
  0  done, and the file agrees with itself: no more than that
  1  a fault, or no such entry
  2  the call makes no sense
  3  never: no anchor is taken, so that none can be missing
  4  unreadable
";

/// What `replay` was asked to do.
#[derive(Debug)]
pub(crate) struct ReplayOptions {
    pub(crate) file: PathBuf,
    pub(crate) until: Point,
    pub(crate) predecessors: Vec<PathBuf>,
    /// What was held before, as `verify` takes it.
    pub(crate) held: Options,
    pub(crate) allow_gaps: bool,
    pub(crate) alone: bool,
    pub(crate) json: bool,
}

/// What `log` was asked to do.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the call")]
pub(crate) struct LogOptions {
    pub(crate) file: PathBuf,
    pub(crate) since: Option<Point>,
    pub(crate) until: Option<Point>,
    /// What else is wanted of an entry.
    pub(crate) filter: Filter,
    pub(crate) all: bool,
    pub(crate) json: bool,
    pub(crate) unverified: bool,
    pub(crate) follow: bool,
}

/// What `show` was asked to do.
#[derive(Debug)]
pub(crate) struct ShowOptions {
    pub(crate) file: PathBuf,
    pub(crate) point: Point,
    pub(crate) json: bool,
}

pub(super) fn replay(mut parser: Parser) -> Result<Command, Trouble> {
    let (mut file, mut until) = (None, None);
    let mut predecessors: Vec<PathBuf> = Vec::new();
    let mut held = Options::default();
    let (mut allow_gaps, mut alone, mut json) = (false, false, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("allow-gaps") => allow_gaps = true,
            Arg::Long("allow-self-asserted") => held.allow_self_asserted = true,
            Arg::Long("alone") => alone = true,
            Arg::Long("chain-id") => held.chain_id = Some(chain_id(&held, &parser.value()?)?),
            Arg::Long("checkpoint") => held.checkpoints.push(parser.value()?.into()),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_REPLAY)),
            Arg::Long("json") => json = true,
            Arg::Long("key") => held.keys.push(parser.value()?),
            Arg::Long("predecessor") => predecessors.push(parser.value()?.into()),
            Arg::Long("until") => point_once(&mut until, &parser.value()?, "--until")?,
            Arg::Value(value) => once(&mut file, value, "FILE")?,
            other => return Err(other.unexpected().into()),
        }
    }
    let file = named(file, "sigchain replay FILE")?;
    let from_stdin = predecessors.iter().chain([&file]).filter(|path| is_stdin(path)).count();
    if from_stdin > 1 {
        let what = "standard input was named more than once";
        return Err(Trouble::usage(what, "one of the files at most"));
    }
    if alone && !predecessors.is_empty() {
        return Err(Trouble::usage("--alone with --predecessor", "one of the two"));
    }
    let until = until.unwrap_or(Point::Head);
    let options = ReplayOptions { file, until, predecessors, held, allow_gaps, alone, json };
    Ok(Command::Replay(Box::new(options)))
}

pub(super) fn log(mut parser: Parser) -> Result<Command, Trouble> {
    let (mut file, mut since, mut until) = (None, None, None);
    let (mut all, mut json, mut unverified, mut follow) = (false, false, false, false);
    let mut filter = Filter::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("all") => all = true,
            Arg::Long("follow") => follow = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_LOG)),
            Arg::Long("json") => json = true,
            Arg::Long("since") => point_once(&mut since, &parser.value()?, "--since")?,
            Arg::Long("unverified") => unverified = true,
            Arg::Long("until") => point_once(&mut until, &parser.value()?, "--until")?,
            Arg::Long(name @ ("type" | "actor" | "episode" | "correlation" | "trace")) => {
                let name = name.to_owned();
                filter = narrow(filter, &name, &parser.value()?.to_string_lossy())?;
            }
            Arg::Value(value) => once(&mut file, value, "FILE")?,
            other => return Err(other.unexpected().into()),
        }
    }
    if follow && until.is_some_and(|until| until.is_relative()) {
        let what = "--follow with an --until that counts from the head";
        return Err(Trouble::usage(what, "a point that stays where it is"));
    }
    let file = named(file, "sigchain log FILE")?;
    let options = LogOptions { file, since, until, filter, all, json, unverified, follow };
    Ok(Command::Log(Box::new(options)))
}

/// Wants less than before.
fn narrow(filter: Filter, name: &str, value: &str) -> Result<Filter, Trouble> {
    let narrowed = match name {
        "type" => filter.event_type(value),
        "actor" => filter.actor(value),
        "episode" => filter.episode(value),
        "correlation" => filter.correlation(value),
        _ => match TraceId::parse(value) {
            Some(id) => Ok(filter.trace(id)),
            None => Err(FieldError::new("trace", "32 lower-case hexadecimal digits", value)),
        },
    };
    narrowed.map_err(|error| {
        Trouble::usage(format!("\"{}\" is no {}", error.found, error.field), error.expected)
    })
}

pub(super) fn show(mut parser: Parser) -> Result<Command, Trouble> {
    let (mut file, mut at) = (None, None);
    let mut json = false;
    loop {
        // -3 is a point here, and no option.
        if let Some(back) = dashed_number(&mut parser) {
            point_once(&mut at, &back, "POINT")?;
            continue;
        }
        match parser.next()? {
            None => break,
            Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help(HELP_SHOW)),
            Some(Arg::Long("json")) => json = true,
            Some(Arg::Value(value)) if file.is_none() => once(&mut file, value, "FILE")?,
            Some(Arg::Value(value)) => point_once(&mut at, &value, "POINT")?,
            Some(other) => return Err(other.unexpected().into()),
        }
    }
    // With the ledger in the environment the one word that is left is the point.
    if at.is_none()
        && ledger_of_environment().is_some()
        && let Some(word) = file.take()
    {
        point_once(&mut at, &word.into(), "POINT")?;
    }
    let file = named(file, "sigchain show FILE POINT")?;
    let expected = "sigchain show FILE POINT, such as a sequence or an event id";
    let point = at.ok_or_else(|| Trouble::usage("no entry was named", expected))?;
    Ok(Command::Show(ShowOptions { file, point, json }))
}

fn named(file: Option<PathBuf>, call: &str) -> Result<PathBuf, Trouble> {
    file_or_ledger(file, &format!("{call}, with - for standard input"))
}

fn point_once(slot: &mut Option<Point>, value: &OsString, name: &str) -> Result<(), Trouble> {
    if slot.is_some() {
        return Err(Trouble::usage(format!("{name} was given twice"), "one"));
    }
    let parsed = Point::parse(&value.to_string_lossy());
    *slot = Some(parsed.map_err(|error| {
        Trouble::usage(format!("\"{}\" is no point", error.found), error.expected)
    })?);
    Ok(())
}

fn dashed_number(parser: &mut Parser) -> Option<OsString> {
    let mut raw = parser.try_raw_args()?;
    let digits = raw.peek()?.to_str()?.strip_prefix('-')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number { raw.next() } else { None }
}
