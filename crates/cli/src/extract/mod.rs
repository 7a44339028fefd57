//! What is taken out of a record: `export`, `checkpoint`, `prove`, `sample`. Without a lock.
//!
//! All of them verify all of it first, or on the way: a signature over what nobody has looked at would vouch for whatever somebody has
//! put there.

mod building;
mod csv;
mod cut;
mod export;
mod gap;
mod line;
mod prove;
mod sample;
mod sink;
mod withhold;

use std::io;
use std::path::Path;

use crate::trouble::Trouble;

pub(crate) use crate::extract::export::{run as export, silent};
pub(crate) use crate::extract::prove::{checkpoint, run as prove};
pub(crate) use crate::extract::sample::run as sample;

/// Why a file could not be made.
fn not_written(path: &Path, error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let what = format!("\"{}\" exists already", path.display());
        return Trouble::usage(what, "a name that is not taken: nothing is overwritten");
    }
    Trouble::unreadable(
        format!("cannot write \"{}\": {error}", path.display()),
        "a directory that can be written to, with room",
        "no file was left there; give another name or make room",
    )
}
