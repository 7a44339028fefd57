//! `sigchain quarantine`: what was found to be wrong with a ledger, and how it goes on.

mod decide;
mod drill;
mod show;

use std::path::Path;

pub(crate) use crate::quarantine::decide::{finder, scrub};

use sigchain::disk;
use sigchain::quarantine::{Case, cases};

use crate::args::{QuarantineAct, QuarantineOptions};
use crate::ledger::of_io;
use crate::trouble::Trouble;

pub(crate) fn run(options: &QuarantineOptions) -> Result<u8, Trouble> {
    match &options.act {
        QuarantineAct::List(asked) => show::list(&asked.place.ledger, asked.json),
        QuarantineAct::Show(asked) => show::one(&asked.place.ledger, asked.id, asked.json),
        QuarantineAct::Note(asked) => decide::note(asked),
        QuarantineAct::Halt(asked) => decide::halt(asked),
        QuarantineAct::Reconcile(asked) => decide::reconcile(asked),
        QuarantineAct::Dismiss(asked) => decide::dismiss(asked),
        QuarantineAct::Drill(asked) => drill::run(&asked.output),
    }
}

/// The quarantines of the ledger in this directory, the oldest first.
pub(crate) fn read(path: &Path) -> Result<Vec<Case>, Trouble> {
    let found = disk::open_to_read(path).and_then(|folder| cases(&*folder));
    found.map_err(|error| of_io(path, &error))
}
