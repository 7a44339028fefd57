//! Standard output, and how numbers and foreign text look on it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use sigchain::text;

use crate::look::Page;
use crate::trouble::Trouble;

/// Characters of one foreign text that are shown; a note's origin may have 65,000.
const SHOWN: usize = 300;

/// Writes all of it. A reader who closes the pipe has seen enough: that is no failure, and the exit code stays the verdict's.
pub(crate) fn print(text: &str) -> Result<(), Trouble> {
    let mut stdout = io::stdout().lock();
    of_output(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

fn of_output(written: io::Result<()>) -> Result<(), Trouble> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Trouble::unreadable(
            format!("cannot write to standard output: {error}"),
            "room for the answer",
            "nothing was judged that you could see; run it again with another output",
        )),
        _ => Ok(()),
    }
}

/// As [`print`], through a pager where there is one.
pub(crate) fn page(text: &str) -> Result<(), Trouble> {
    let mut page = Page::begin();
    let written = page.write_all(text.as_bytes()).and_then(|()| page.flush());
    page.finish();
    of_output(written)
}

/// Whether a program reads what is said.
static IS_JSON: OnceLock<bool> = OnceLock::new();

/// Decides it, once: by the words of the call as they stand, since what is wrong with them is said in JSON too.
pub(crate) fn decide(mut words: impl Iterator<Item = OsString>) {
    let _ = IS_JSON.set(words.any(|word| word == "--json"));
}

/// Whether what is said on standard error is to be JSON, one object on each line.
pub(crate) fn is_json() -> bool {
    IS_JSON.get().copied().unwrap_or(false)
}

/// Says something beside the answer, on standard error.
pub(crate) fn note(text: &str) {
    aside(&safe(text));
}

/// The same for what is harmless, and may have several lines.
pub(crate) fn aside(text: &str) {
    let line = if is_json() {
        let mut line = "{\"note\":".to_owned();
        text::json_string(&mut line, text);
        line + "}"
    } else {
        text.to_owned()
    };
    complain(&line);
}

/// Writes a line to standard error.
pub(crate) fn complain(line: &str) {
    let line = if is_json() { ascii(line) } else { line.to_owned() };
    // Where nobody reads it there is nobody to tell; the exit code still says it.
    let _ = io::stderr().lock().write_all((line + "\n").as_bytes());
}

/// `1204` as `1,204`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 entry`, `1,204 entries`.
pub(crate) fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{} entries", grouped(number)) }
}

/// `1 hash`, `24 hashes`.
pub(crate) fn hashes(number: u64) -> String {
    if number == 1 { "1 hash".to_owned() } else { format!("{} hashes", grouped(number)) }
}

/// `1 fault`, `1,204 faults`; for words that take an s.
pub(crate) fn plural(number: u64, word: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {word}{end}", grouped(number))
}

/// Text from a file, made harmless and not too long.
pub(crate) fn safe(foreign: &str) -> String {
    harmless(foreign).into_owned()
}

/// The same, without a copy of what was harmless and short: nearly all that there is.
pub(crate) fn harmless(foreign: &str) -> Cow<'_, str> {
    let is_plain = |b: u8| matches!(b, b' '..=b'~') && b != b'\\';
    if foreign.len() <= SHOWN && foreign.bytes().all(is_plain) {
        return Cow::Borrowed(foreign);
    }
    let mut shown = text::printable(&foreign.chars().take(SHOWN).collect::<String>());
    if foreign.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    Cow::Owned(shown)
}

/// JSON in ASCII only: escaped, nothing from a file can act on a terminal, and no reader loses anything.
pub(crate) fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if matches!(c, ' '..='~') {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups_of_three() {
        let shown = [0, 7, 999, 1000, 1204, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "1,204", "1,234,567"]);
        assert_eq!((entries(1), plural(2, "fault")), ("1 entry".to_owned(), "2 faults".to_owned()));
    }
}
