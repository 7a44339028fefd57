//! What kept the program from doing its work: what happened, what was expected, what to do next.

use sigchain::text;

use crate::{exit, json, out};

#[derive(Debug)]
pub(crate) struct Trouble {
    exit: u8,
    /// What `sigchain explain` knows it by.
    code: &'static str,
    what: String,
    expected: String,
    next: String,
}

impl Trouble {
    fn new(exit: u8, what: impl Into<String>, expected: &str, next: &str) -> Self {
        let (what, code) = (what.into(), usual(exit));
        Self { exit, code, what, expected: expected.to_owned(), next: next.to_owned() }
    }

    /// The call makes no sense.
    pub(crate) fn usage(what: impl Into<String>, expected: &str) -> Self {
        Self::new(exit::USAGE, what, expected, "see `sigchain help`")
    }

    /// Something that is needed cannot be read or written.
    pub(crate) fn unreadable(what: impl Into<String>, expected: &str, next: &str) -> Self {
        Self::new(exit::UNREADABLE, what, expected, next)
    }

    /// A ledger does not go along. `exit` is one of the table's.
    pub(crate) fn of_ledger(exit: u8, what: impl Into<String>, expected: &str, next: &str) -> Self {
        Self::new(exit, what, expected, next)
    }

    /// The same, under the stable code by which `sigchain explain` knows it.
    pub(crate) fn coded(self, code: &'static str) -> Self {
        Self { code, ..self }
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

    /// The stable code, what happened, and what to do: for an answer that has a place for it.
    pub(crate) fn parts(&self) -> (&'static str, &str, &str) {
        (self.code, &self.what, &self.next)
    }

    /// Writes it to standard error. Names of files and words of arguments are in it, so all of it is made printable.
    pub(crate) fn print(&self) {
        if out::is_json() {
            return out::complain(&self.json());
        }
        let safe = text::printable;
        let what = safe(&self.what);
        // Where the text names its code already, once is enough.
        let is_said = self.what.contains(self.code) || stated(&self.what).is_some();
        let code = if is_said { String::new() } else { format!("{}: ", self.code) };
        let (expected, next) = (safe(&self.expected), safe(&self.next));
        out::complain(&format!("sigchain: {code}{what}\n  expected: {expected}\n  next: {next}"));
    }

    /// The same for a program: spec/sigchain-error.schema.json.
    fn json(&self) -> String {
        // Where the text names a closer code than the usual one, that is the code.
        let code = stated(&self.what).filter(|_| self.code == usual(self.exit));
        let error = json::object([
            ("code", code.unwrap_or(self.code).into()),
            ("exit", self.exit.into()),
            ("expected", self.expected.as_str().into()),
            ("next", self.next.as_str().into()),
            ("what", self.what.as_str().into()),
        ]);
        error.to_string()
    }
}

/// The code that a text begins with, if it does.
fn stated(what: &str) -> Option<&str> {
    let (code, _) = what.split_once(": ")?;
    let is_code = code.len() > 2 && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    is_code.then_some(code)
}

/// The code of what ends with this exit code, where nothing closer is known.
fn usual(exit: u8) -> &'static str {
    match exit {
        exit::NO => "ANSWER_NO",
        exit::USAGE => "USAGE",
        exit::REFUSED => "REFUSED",
        exit::UNCERTAIN => "UNCERTAIN",
        exit::BUSY => "LEDGER_BUSY",
        exit::QUARANTINED => "LEDGER_QUARANTINED",
        _ => "UNREADABLE",
    }
}
