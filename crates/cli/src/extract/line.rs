//! `sigchain export --with-predecessors`: a ledger and the chains that it goes on from, a file for each, in a folder that was not there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::args::{ExportOptions, FormName};
use crate::exit::NO;
use crate::extract::export::{Spot, make};
use crate::extract::not_written;
use crate::history::{self, Part};
use crate::ledger::{self, tell};
use crate::out::{self, safe};
use crate::trouble::Trouble;

pub(super) fn run(asked: &ExportOptions) -> Result<(), Trouble> {
    let folder = &asked.output;
    let failed = |error: io::Error| not_written(folder, &error);
    if folder.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let path = &asked.place.ledger;
    let parts = history::predecessors(path)?;
    if let Some(missing) = parts.iter().find(|part| part.path.is_none()) {
        let what = format!("chain {} is not where it was", missing.stated.chain);
        let next = "write its path, one line, into the file predecessor of the ledger that goes on from it; or export LEDGER alone";
        return Err(Trouble::of_ledger(NO, what, "all chains of the line", next));
    }
    // Under another name until all of it is there.
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = folder.with_file_name(name);
    DirBuilder::new().mode(0o700).create(&part).map_err(|error| not_written(&part, &error))?;
    let done = write(asked, path, &parts, &part).and_then(|()| {
        fs::rename(&part, folder)
            .and_then(|()| fs::File::open(above(folder))?.sync_all())
            .map_err(failed)
    });
    if done.is_err() {
        drop(fs::remove_dir_all(&part));
        return done;
    }
    let count =
        out::plural(u64::try_from(parts.len()).unwrap_or(u64::MAX).saturating_add(1), "chain");
    tell(&format!(
        "one history, of {count}, in \"{}\": sigchain replay takes the last, and the others by --predecessor",
        safe(&folder.to_string_lossy())
    ));
    done
}

fn above(folder: &Path) -> &Path {
    folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write(asked: &ExportOptions, path: &Path, parts: &[Part], folder: &Path) -> Result<(), Trouble> {
    let ending = if asked.form() == FormName::Jsonl { "jsonl" } else { "sigchain" };
    let name = |at: usize, chain: &dyn std::fmt::Display| {
        folder.join(format!("{:02}-{chain}.{ending}", at.saturating_add(1)))
    };
    for (at, part) in parts.iter().enumerate() {
        let Some(path) = &part.path else { continue };
        let output: PathBuf = name(at, &part.stated.chain);
        make(
            asked,
            &Spot { ledger: path, output: &output, within: Some(&part.stated), is_told: true },
        )?;
    }
    let chain = ledger::view(path)?.chain_id();
    let output = name(parts.len(), &chain);
    make(asked, &Spot { ledger: path, output: &output, within: None, is_told: true })
}
