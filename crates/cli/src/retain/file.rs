//! An archive: a chain file of some entries, compressed once it was hashed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use sigchain::digest::Digest;
use sigchain::frame::Written;
use sigchain::verify::{Report, Seen, Verifier};

use crate::exit::REFUSED;
use crate::input::{self, cannot_read};
use crate::trouble::Trouble;

/// What an archive turned out to be.
pub(super) struct About {
    pub(super) report: Report,
    /// SHA-256 of the file as it is.
    pub(super) hash: Digest,
}

/// The name of the archive of these entries.
pub(super) fn name(first: u64, last: u64) -> String {
    format!("{first:010}-{last:010}.sigchain.zst")
}

/// The first and the last entry of an archive, by the name that it was given.
pub(crate) fn named(path: &Path) -> Option<(u64, u64)> {
    let found = path.file_name()?.to_str()?;
    let (first, last) = found.strip_suffix(".sigchain.zst")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && name(first, last) == found).then_some((first, last))
}

/// The archives in a folder, in ascending order of their names.
pub(crate) fn within(folder: &Path) -> Result<Vec<PathBuf>, Trouble> {
    let failed = |error: io::Error| cannot_read(&input::name(folder), &error);
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.to_string_lossy();
        if name.ends_with(".sigchain.zst") || name.ends_with(".sigchain") {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// Verifies an archive, and gives its entries as they come.
pub(super) fn read(path: &Path, each: &mut dyn FnMut(&Written<'_>)) -> Result<About, Trouble> {
    let called = path.to_string_lossy();
    let failed = |error: io::Error| cannot_read(&called, &error);
    let source = input::open_again(path)?;
    let mut watch = |seen: &Seen<'_>| {
        if let Seen::Entry(shown) = seen {
            each(shown.written);
        }
        ControlFlow::Continue(())
    };
    let report = Verifier::new().replay(source, &mut watch).map_err(failed)?;
    let report = report.ok_or_else(|| failed(io::Error::other("it was not read to its end")))?;
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(failed)?;
    let mut block = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut block).map_err(failed)?;
        if count == 0 {
            break;
        }
        hash.update(block.get(..count).unwrap_or_default());
    }
    let hash = Digest::new(hash.finalize().into());
    if let Some(fault) = report.faults.first() {
        let what = format!("ARCHIVE_DIFFERS: \"{called}\" is faulty: {}", fault.code.as_str());
        let next = "take it from another copy; sigchain verify says more";
        return Err(Trouble::of_ledger(REFUSED, what, "an archive as it was written", next)
            .coded("ARCHIVE_DIFFERS"));
    }
    Ok(About { report, hash })
}

/// Compresses a file into what is to be an archive, and syncs that: see [`part`].
pub(super) fn compress(from: &Path, to: &Path) -> io::Result<()> {
    let part = part(to);
    remove(&part)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let written = (|| {
        let mut encoder = zstd::Encoder::new(file, 0)?;
        encoder.include_checksum(true)?;
        io::copy(&mut File::open(from)?, &mut encoder)?;
        let mut file = encoder.finish()?;
        file.flush()?;
        file.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// The name under which an archive is written before it has its own.
pub(super) fn part(to: &Path) -> PathBuf {
    to.with_extension("part")
}

/// Removes what an attempt has left, if it has.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
