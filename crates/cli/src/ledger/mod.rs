//! Commands about a ledger on files: its making, appending to it, how it stands.

mod append;
mod draft;
mod forget;
mod init;
pub(crate) mod keys;
mod line;
mod lines;
pub(crate) mod lock;
mod outcome;
mod status;
mod stop;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sigchain::directory::Directory;
use sigchain::disk::{self, DiskError};
use sigchain::error::{AppendError, OpenError, Refusal};
use sigchain::ledger::{Files, Ledger, Options, Signers};
use sigchain::text;

use crate::args::SignerOptions;
use crate::exit::{BUSY, QUARANTINED, REFUSED, UNCERTAIN, UNREADABLE};
use crate::out;
use crate::signing::Hand;
use crate::trouble::Trouble;

pub(crate) use crate::ledger::append::run as append;
pub(crate) use crate::ledger::draft::Draft;
pub(crate) use crate::ledger::forget::run as forget;
pub(crate) use crate::ledger::init::run as init;
pub(crate) use crate::ledger::outcome::Outcome;
pub(crate) use crate::ledger::status::run as status;
pub(crate) use crate::ledger::stop::Stop;

/// How long a ledger is given to be closed. What is on its way then has had thousands of times the time that it needs.
const CLOSING: Duration = Duration::from_secs(60);

/// How long a process may have slept.
const SLEEPING: Duration = Duration::from_secs(30 * 24 * 3600);

/// The files of a ledger, to read them up to what is durable. Somebody else may be writing.
pub(crate) fn view(path: &Path) -> Result<Directory, Trouble> {
    let directory = disk::open_to_read(path).and_then(Directory::view);
    directory.map_err(|error| of_io(path, &error))
}

/// As `view`; of files that are no pieces of one chain any more, what can be read of them: for whoever looks at what is left, and for the
/// keys, without which nothing can be recorded about it.
pub(crate) fn salvaged(path: &Path) -> Result<Directory, Trouble> {
    let open = || disk::open_to_read(path);
    match open().and_then(Directory::view) {
        Err(error) if disk::code_of(&error) == "LEDGER_FILES" => {
            let salvaged = open().and_then(Directory::salvage);
            salvaged.map_err(|_| of_io(path, &error))
        }
        found => found.map_err(|error| of_io(path, &error)),
    }
}

/// Chains of a line, at most: nobody has that many.
const LINE_MAX: usize = 64;

/// The ledgers that one goes on from, the first one first, as far as their files say where they were and they are there. What is there is
/// judged by whoever reads it.
pub(crate) fn line(path: &Path) -> Vec<PathBuf> {
    let mut line: Vec<PathBuf> = Vec::new();
    let mut at = path.to_owned();
    while line.len() < LINE_MAX
        && let Ok(text) = std::fs::read_to_string(at.join("predecessor"))
    {
        at = PathBuf::from(text.trim_end_matches('\n'));
        if !at.is_dir() || line.contains(&at) {
            break;
        }
        line.push(at.clone());
    }
    line.reverse();
    line
}

/// The key that signs checkpoints of this ledger, if this user has it.
pub(crate) fn checkpoint_key(directory: &Directory, by: &SignerOptions) -> Result<Hand, Trouble> {
    keys::checkpoints(directory, by)
}

/// Opens it to append.
pub(crate) fn open(path: &Path, by: &SignerOptions, files: Files) -> Result<Ledger, Trouble> {
    open_with(path, keys::signers(path, by, None)?, files)
}

/// Opens it to append, signed by these.
pub(crate) fn open_with(path: &Path, signers: Signers, files: Files) -> Result<Ledger, Trouble> {
    // The keys are in this process, or with an agent that is given a time of its own. One that seems to take long has slept with it
    // (Ctrl-Z, a lid that was closed), and is no reason to refuse what was under way.
    let options = Options::new().signer_time(SLEEPING).files(files);
    Ledger::open_at(path, signers, options).map_err(|error| of_open(path, &error))
}

/// Closes it. That it could not be closed cleanly is no loss: whatever has a receipt is durable, and whoever opens it next looks at
/// its end. The exit code says whether anything is in doubt.
pub(crate) fn close(ledger: &Ledger) -> u8 {
    match ledger.close(CLOSING) {
        Ok(_) => 0,
        // What was told to be recorded is, but not where everybody else looks.
        Err(error) if error.fenced => {
            let next =
                "stop writing here; sigchain verify LEDGER --against COPY shows where the two part";
            let what = error.to_string();
            let trouble = Trouble::of_ledger(UNCERTAIN, what, "one writer of a chain", next);
            trouble.coded("LEDGER_FENCED").print();
            UNCERTAIN
        }
        Err(error) => {
            tell(&text::printable(&error.to_string()));
            if error.in_doubt.is_empty() { 0 } else { UNCERTAIN }
        }
    }
}

/// Says something to people; programs read standard output. If even standard error is gone, the exit code still says the rest.
pub(crate) fn tell(what: &str) {
    out::aside(what);
}

/// Why the files of a ledger cannot be used.
pub(crate) fn of_io(path: &Path, error: &io::Error) -> Trouble {
    let code = disk::code_of(error);
    let exit = match code {
        "LEDGER_BUSY" => BUSY,
        "LEDGER_LOST" => REFUSED,
        _ => UNREADABLE,
    };
    let (what, next) = match DiskError::of(error) {
        Some(refused) => {
            let text = refused.to_string();
            let what = text.strip_suffix(refused.advice()).unwrap_or(&text);
            (what.trim_end_matches("; ").to_owned(), refused.advice())
        }
        None => (format!("\"{}\": {error}", path.display()), "check the name and your rights"),
    };
    Trouble::of_ledger(exit, format!("{code}: {what}"), "a ledger that can be opened", next)
        .coded(code)
}

/// Why a ledger could not be created or opened.
fn of_open(path: &Path, error: &OpenError) -> Trouble {
    const SOUND: &str = "a ledger that ends as a crash would leave it";
    const LOOK: &str = "nothing was changed: sigchain verify LEDGER, and see what happened to it";
    const NEWEST: &str = "the ledger that this machine has anchored, or one that goes on from it";
    const BRING: &str = "nothing was changed: bring back the newest copy of its directory";
    const FIND: &str = "nothing was changed: find the copy that went on, and compare: sigchain verify LEDGER --against COPY";
    const RESOLVE: &str = "it is quarantined: sigchain help quarantine";
    match error {
        OpenError::Io(error) => of_io(path, error),
        OpenError::Append(error) => of_append(error),
        OpenError::Stopped { code, what, quarantine } => {
            let (expected, next) = match *code {
                "LEDGER_BEHIND" => (NEWEST, BRING),
                "LEDGER_BESIDE" => (NEWEST, FIND),
                _ => (SOUND, LOOK),
            };
            let (exit, next) = match quarantine {
                Some(_) => {
                    let next = next.trim_start_matches("nothing was changed: ");
                    (QUARANTINED, format!("{next}; {RESOLVE}"))
                }
                None => (REFUSED, next.to_owned()),
            };
            Trouble::of_ledger(exit, format!("{code}: {what}"), expected, &next).coded(code)
        }
        OpenError::Fenced { .. } => {
            let next =
                "find the copy that went on, and compare: sigchain verify LEDGER --against COPY";
            let what = format!("LEDGER_FENCED: {error}");
            Trouble::of_ledger(REFUSED, what, "one writer of a chain", next).coded("LEDGER_FENCED")
        }
        OpenError::Faulty { sequence, misfit } => {
            let what = format!("entry {sequence} does not verify: {misfit}");
            Trouble::of_ledger(REFUSED, what, "a ledger without faults", LOOK)
                .coded(misfit.code.as_str())
        }
        OpenError::Store { expected, found } => {
            Trouble::of_ledger(UNREADABLE, format!("found {found}"), expected, LOOK)
                .coded("LEDGER_FILES")
        }
        other => Trouble::of_ledger(REFUSED, other.to_string(), SOUND, LOOK),
    }
}

/// Why an event was not recorded, or nobody knows whether it was.
pub(crate) fn of_append(error: &AppendError) -> Trouble {
    match error {
        AppendError::Refused(refusal) => {
            let text = refusal.to_string();
            let aside = format!(" ({}: {})", refusal.code(), refusal.advice());
            let what = text.strip_suffix(&aside).unwrap_or(&text);
            let what = format!("not recorded: {what}");
            let exit = match refusal {
                Refusal::Quarantined(_) => QUARANTINED,
                _ => REFUSED,
            };
            Trouble::of_ledger(exit, what, "an event that can be recorded", refusal.advice())
                .coded(refusal.code())
        }
        AppendError::Uncertain { event_id, what, .. } => {
            let what = format!("it is not known whether event {event_id} is recorded: {what}");
            let next = format!(
                "sigchain show LEDGER {event_id}, or append it again with --event-id {event_id}"
            );
            Trouble::of_ledger(UNCERTAIN, what, "a write and a sync that succeed", &next)
        }
    }
}
