//! `sigchain replay`, `sigchain diff`, `sigchain log` and `sigchain show`: what a record says, verified while it is read.

mod basis;
mod blocks;
mod causes;
mod diff;
mod entry;
mod grep;
mod line;
mod log;
mod print;
mod replay;
mod show;
mod unverified;
mod way;

use std::fs::Metadata;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use sigchain::fault::Fault;
use sigchain::replay::{ChainFile, LineError, ReplayError};
use sigchain::text;
use sigchain::verify::Verifier;

use crate::args;
use crate::exit::{NO, UNREADABLE, USAGE};
use crate::input::{self, Input, Places};
use crate::ledger;
use crate::out;
use crate::trouble::Trouble;

pub(crate) use crate::history::diff::run as diff;
pub(crate) use crate::history::grep::Grep;
pub(crate) use crate::history::line::{Part, open_first, predecessors};
pub(crate) use crate::history::log::run as log;
pub(crate) use crate::history::replay::run as replay;
pub(crate) use crate::history::show::run as show;

/// Said once by commands that take no anchors.
const ONLY_ITSELF: &str = "verified only against itself, which anybody can arrange; against what you hold: sigchain verify";

/// A file that was opened to be read.
pub(crate) struct Opened {
    pub(crate) source: ChainFile<'static>,
    pub(crate) name: String,
    /// What its places count.
    pub(crate) places: Places,
}

/// Opens a file so that it can be read again, or what is none so that it is read once.
pub(crate) fn open(path: &Path, verifier: Verifier) -> Result<Opened, Trouble> {
    let name = input::name(path);
    let failed = |error| input::cannot_read(&name, &error);
    let about = if args::is_stdin(path) { None } else { Some(input::about(path)?) };
    if about.as_ref().is_some_and(Metadata::is_dir) {
        let stream = input::stream(path)?;
        let places = Places::Segments(stream.atlas());
        let source = ChainFile::new(verifier.open_ended(true), stream).map_err(failed)?;
        return Ok(Opened { source, name, places });
    }
    if !about.is_some_and(|about| about.is_file()) {
        let input = Input::open(path)?;
        let places = input.places().clone();
        return Ok(Opened { source: ChainFile::once(verifier, input.into_reader()), name, places });
    }
    let mut file = input::again(path).map_err(failed)?;
    let mut first = Vec::new();
    (&mut file).take(1).read_to_end(&mut first).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let source = ChainFile::new(verifier, file).map_err(failed)?;
    Ok(Opened { source, name, places: Places::of_file(first.first()) })
}

/// Opens a ledger that another one goes on from: whatever became of it, as far as it can be read.
pub(crate) fn open_before(path: &Path, verifier: Verifier) -> Result<Opened, Trouble> {
    let name = input::name(path);
    let failed = |error| input::cannot_read(&name, &error);
    let stream = ledger::salvaged(path)?.stream().map_err(failed)?;
    let places = Places::Segments(stream.atlas());
    let source = ChainFile::new(verifier.open_ended(true), stream).map_err(failed)?;
    Ok(Opened { source, name, places })
}

/// A fault in a line.
fn describe(fault: &Fault, places: &Places) -> String {
    let (code, phase, place) = (fault.code, fault.phase(), places.describe(fault));
    let (expected, found) = (out::safe(&fault.expected), out::safe(&fault.found));
    format!("{code} ({phase}) at {place}: expected {expected}, found {found}")
}

/// Why there is no state. What comes from a file is cut where it is too long, and what we say ourselves is not.
pub(crate) fn sentence(error: &ReplayError) -> String {
    match error {
        ReplayError::Fault(faulty) => {
            let what = if faulty.is_point_unknown {
                "a fault leaves unknown where the point is"
            } else {
                "a fault at the point or before it"
            };
            let Some(fault) = faulty.fault() else { return what.to_owned() };
            let (expected, found) = (out::safe(&fault.expected), out::safe(&fault.found));
            format!("{what}: {}: expected {expected}, found {found}", fault.code)
        }
        // What to do about it is said in terms of options, where it is known which there are.
        ReplayError::Line(LineError::Missing(chain)) => {
            format!("chain {chain} is missing, which a later one continues")
        }
        other => text::printable(&other.to_string()),
    }
}

/// Says on standard error why there is no answer, and what to do; gives back the exit code. What comes from a file was made harmless
/// before.
fn complain(exit: u8, what: &str, next: &str) -> u8 {
    if out::is_json() {
        Trouble::of_ledger(exit, what, "a record that has what was asked for", next).print();
    } else {
        hint(&format!("sigchain: {what}\n  next: {next}"));
    }
    exit
}

/// Says something on the side, where it does not get between lines that a program reads.
fn hint(what: &str) {
    out::aside(what);
}

/// The exit code of what kept a replay from giving a state.
pub(crate) fn exit_of(error: &ReplayError) -> u8 {
    match error {
        ReplayError::Io(_) => UNREADABLE,
        ReplayError::Fault(faulty)
            if faulty.fault().is_some_and(|fault| fault.code.is_unreadable()) =>
        {
            UNREADABLE
        }
        ReplayError::NoSize(_)
        | ReplayError::Line(
            LineError::Duplicate(_)
            | LineError::Missing(_)
            | LineError::Nothing
            | LineError::Superfluous(_),
        ) => USAGE,
        _ => NO,
    }
}
