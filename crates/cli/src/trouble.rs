//! What kept the program from doing its work: what happened, what was expected, what to do next.

use std::io::{self, Write as _};

use sigchain::text;

/// Exit code of a call that makes no sense.
const USAGE: u8 = 2;
/// Exit code of what cannot be read.
pub(crate) const UNREADABLE: u8 = 4;
/// Exit code of what was refused: nothing of it is recorded.
pub(crate) const REFUSED: u8 = 5;
/// Exit code of what may or may not be recorded.
pub(crate) const UNCERTAIN: u8 = 6;
/// Exit code of a ledger that another writer holds.
pub(crate) const BUSY: u8 = 7;

#[derive(Debug)]
pub(crate) struct Trouble {
    exit: u8,
    what: String,
    expected: String,
    next: String,
}

impl Trouble {
    fn new(exit: u8, what: impl Into<String>, expected: &str, next: &str) -> Self {
        Self { exit, what: what.into(), expected: expected.to_owned(), next: next.to_owned() }
    }

    /// The call makes no sense.
    pub(crate) fn usage(what: impl Into<String>, expected: &str) -> Self {
        Self::new(USAGE, what, expected, "see `sigchain help`")
    }

    /// Something that is needed cannot be read or written.
    pub(crate) fn unreadable(what: impl Into<String>, expected: &str, next: &str) -> Self {
        Self::new(UNREADABLE, what, expected, next)
    }

    /// A ledger does not go along. `exit` is one of the codes above.
    pub(crate) fn of_ledger(exit: u8, what: impl Into<String>, expected: &str, next: &str) -> Self {
        Self::new(exit, what, expected, next)
    }

    /// The same, where more would have been right than the place that failed could know.
    pub(crate) fn expecting(self, expected: &str) -> Self {
        Self { expected: expected.to_owned(), ..self }
    }

    /// The same, where something better than the usual is to be done next.
    pub(crate) fn advising(self, next: &str) -> Self {
        Self { next: next.to_owned(), ..self }
    }

    /// What happened, in words.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn exit(&self) -> u8 {
        self.exit
    }

    /// Writes it to standard error. Names of files and words of arguments are in it, so all of it is made printable.
    pub(crate) fn print(&self) {
        let safe = text::printable;
        let text = format!(
            "sigchain: {}\n  expected: {}\n  next: {}\n",
            safe(&self.what),
            safe(&self.expected),
            safe(&self.next)
        );
        // If even standard error is gone there is nobody left to tell; the exit code still says it.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}
