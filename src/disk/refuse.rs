//! What a ledger does not put up with on a file system, in words that say what was found, what was expected and what to do.

use std::fmt;
use std::io;

/// Why a file, a folder or a file system is refused. Travels inside an [`io::Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    code: &'static str,
    place: String,
    what: String,
    advice: &'static str,
}

impl DiskError {
    pub(crate) fn new(
        code: &'static str,
        place: &str,
        what: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self { code, place: crate::text::printable(place), what: what.into(), advice }
    }

    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What to do next.
    pub fn advice(&self) -> &'static str {
        self.advice
    }

    /// As an error of input and output, of this kind.
    pub(crate) fn into_io(self, kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, self)
    }

    /// The one inside an error, if it holds one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}; {}", self.place, self.what, self.advice)
    }
}

impl std::error::Error for DiskError {}

/// The stable code of an error of input and output.
pub fn code_of(error: &io::Error) -> &'static str {
    if let Some(refused) = DiskError::of(error) {
        return refused.code;
    }
    match error.kind() {
        io::ErrorKind::NotFound => "FS_MISSING",
        io::ErrorKind::PermissionDenied => "FS_PERMISSION",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "FS_FULL",
        io::ErrorKind::ReadOnlyFilesystem => "FS_READ_ONLY",
        io::ErrorKind::AlreadyExists => "FS_EXISTS",
        _ => "IO_ERROR",
    }
}
