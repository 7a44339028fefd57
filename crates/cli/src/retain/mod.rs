//! Entries that leave a ledger for archives, and come back.

mod file;
mod hold;
mod out;
mod restore;

use std::path::Path;
use std::time::Duration;

use sigchain::directory::{Directory, Limits};
use sigchain::disk::{self, Lenience};
use sigchain::ledger::{Ledger, Moved, Way};

use crate::args::{OfFiles, SignerOptions};
use crate::exit::REFUSED;
use crate::ledger;
use crate::trouble::Trouble;

pub(crate) use crate::retain::file::{named, within};
pub(crate) use crate::retain::hold::run as hold;
pub(crate) use crate::retain::out::run as archive;
pub(crate) use crate::retain::restore::run as restore;

/// The files of a ledger, locked, with no ledger over them: for what only moves segments.
fn locked(path: &Path) -> Result<Directory, Trouble> {
    let lenience = Lenience { memory: true, network: true };
    let opened = disk::open(path, lenience);
    let opened =
        opened.and_then(|folder| Directory::open(folder, Limits::default(), Duration::ZERO));
    opened.map_err(|error| ledger::of_io(path, &error))
}

/// Puts on record what has moved, or is about to: what that is is looked at when nobody else can record anything.
fn record<'m>(
    path: &Path,
    (by, files): (&SignerOptions, &OfFiles),
    way: Way,
    all: impl FnOnce() -> Result<Vec<Moved<'m>>, Trouble>,
) -> Result<(), Trouble> {
    let opened: Ledger = ledger::open(path, by, files.files())?;
    let all = all();
    let recorded = match &all {
        Ok(all) => all.iter().try_for_each(|moved| opened.record_moved(way, moved)),
        Err(_) => Ok(()),
    };
    ledger::close(&opened);
    all?;
    recorded.map_err(|refusal| {
        let next = refusal.advice();
        let what = format!("not recorded: {refusal}");
        Trouble::of_ledger(REFUSED, what, "a ledger that can say what has moved", next)
    })
}
