//! A new file, and the SHA-256 of what goes into it where somebody wants to know.

use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use sigchain::digest::Digest;

use crate::newfile::NewFile;

pub(super) struct Sink {
    file: NewFile,
    hash: Option<Sha256>,
}

impl Sink {
    /// Begins a file for this place.
    pub(super) fn begin(path: &Path, is_hashed: bool) -> io::Result<Self> {
        Ok(Self { file: NewFile::begin(path)?, hash: is_hashed.then(Sha256::new) })
    }

    /// Has all of it on disk, still without its name. The SHA-256 of all bytes, if it was asked for.
    pub(super) fn settle(&mut self) -> io::Result<Option<Digest>> {
        self.file.settle()?;
        Ok(self.hash.take().map(|hash| Digest::new(hash.finalize().into())))
    }

    /// Gives it its name.
    pub(super) fn finish(self) -> io::Result<()> {
        self.file.finish()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes.get(..count).unwrap_or_default());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
