//! `sigchain forget`: that a chain which is gone is meant to be gone.

use std::path::Path;

use sigchain::ledger::{Files, Ledger};
use sigchain::text;

use crate::ledger::{of_io, tell};
use crate::trouble::Trouble;

pub(crate) fn run(path: &Path) -> Result<u8, Trouble> {
    Ledger::forget_place(path, &Files::new()).map_err(|error| of_io(path, &error))?;
    let shown = text::printable(&path.to_string_lossy());
    tell(&format!(
        "this machine no longer knows of a chain in \"{shown}\": another can be made there"
    ));
    Ok(0)
}
