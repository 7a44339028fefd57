//! The file that is verified: where it comes from, and what its beginning says it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sigchain::chainfile::MAGIC;

use crate::args;
use crate::trouble::Trouble;

/// Bytes that are looked at before anything is decided: more than any genesis needs, and all of any note.
const HEAD: u64 = 256 * 1024;

/// What a file is, judged by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of frames, or nothing that we know: the verifier says which.
    Chain,
    /// A lone checkpoint.
    Note,
    /// A `.tlog-proof`.
    Proof,
}

pub(crate) struct Input {
    name: String,
    head: Vec<u8>,
    source: Box<dyn Read>,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, Trouble> {
        let name = name(path);
        let failed = |error| cannot_read(&name, &error);
        let mut source: Box<dyn Read> = if args::is_stdin(path) {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(path).map_err(failed)?)
        };
        let mut head = Vec::new();
        (&mut source).take(HEAD).read_to_end(&mut head).map_err(failed)?;
        Ok(Self { name, head, source })
    }

    /// What to call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its first bytes.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.head.starts_with(b"c2sp.org/tlog-proof@") {
            Kind::Proof
        } else if self.head.starts_with(&MAGIC) || self.head.first() == Some(&b'{') {
            Kind::Chain
        } else if holds(&self.head, "\n\u{2014} ".as_bytes()) {
            // The dash that begins a signature line of a note.
            Kind::Note
        } else {
            Kind::Chain
        }
    }

    /// All of it, from the beginning.
    pub(crate) fn into_reader(self) -> impl Read {
        io::Cursor::new(self.head).chain(self.source)
    }

    /// All of it, if it is not longer than `limit`; otherwise one byte more than that, which no parser takes.
    pub(crate) fn into_bytes(self, limit: usize) -> Result<Vec<u8>, Trouble> {
        let name = self.name.clone();
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.into_reader().take(limit).read_to_end(&mut bytes);
        read.map_err(|error| cannot_read(&name, &error))?;
        Ok(bytes)
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What to call a file.
pub(crate) fn name(path: &Path) -> String {
    if args::is_stdin(path) {
        "standard input".to_owned()
    } else {
        path.to_string_lossy().into_owned()
    }
}

/// All of a small file; at most one byte more than `limit`.
pub(crate) fn read_small(path: &Path, limit: usize) -> Result<Vec<u8>, Trouble> {
    Input::open(path)?.into_bytes(limit)
}

/// Refuses what cannot be read again from its beginning, such as a pipe, where that is needed.
pub(crate) fn must_be_regular(path: &Path, option: &str) -> Result<(), Trouble> {
    let metadata = path.metadata().map_err(|error| cannot_read(&name(path), &error))?;
    if metadata.is_file() {
        return Ok(());
    }
    let what = format!("{option} with \"{}\", which is no regular file", name(path));
    Err(Trouble::usage(what, "a file that can be read more than once"))
}

pub(crate) fn cannot_read(name: &str, error: &io::Error) -> Trouble {
    Trouble::unreadable(
        format!("cannot read \"{name}\": {error}"),
        "a file that can be read to its end",
        "check the name and your rights; nothing was judged",
    )
}
