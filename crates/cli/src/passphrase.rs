//! Passphrases of key files: from a file, or from whoever sits at the terminal. Never from an argument or the environment, which others
//! can read.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use sigchain::text;
use zeroize::Zeroizing;

/// Bytes of a file with a passphrase.
const LONGEST: u64 = 4096;

/// A passphrase, which is wiped when it goes.
pub(crate) type Phrase = Zeroizing<String>;

/// The passphrase of a key file that turned out to need one.
pub(crate) fn of_key(file: Option<&Path>, key: &Path) -> io::Result<Phrase> {
    if let Some(file) = file {
        return from_file(file);
    }
    let key = text::printable(&key.to_string_lossy());
    from_terminal(&format!("passphrase of \"{key}\": "))
}

/// The passphrase for a new key; none if none is wanted, and where nobody can be asked.
pub(crate) fn for_new(file: Option<&Path>) -> io::Result<Option<Phrase>> {
    if let Some(file) = file {
        return from_file(file).map(Some);
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let first = from_terminal("passphrase for the new key (empty for none): ")?;
    if first.is_empty() {
        return Ok(None);
    }
    if *from_terminal("the same once more: ")? != *first {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the two are not the same"));
    }
    Ok(Some(first))
}

/// The first line of a file.
fn from_file(path: &Path) -> io::Result<Phrase> {
    let named = |error: io::Error| {
        let path = text::printable(&path.to_string_lossy());
        io::Error::new(error.kind(), format!("\"{path}\": {error}"))
    };
    let mut line = Zeroizing::new(String::new());
    let file = File::open(path).map_err(named)?;
    BufReader::new(file.take(LONGEST)).read_line(&mut line).map_err(named)?;
    let phrase = Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned());
    if phrase.is_empty() {
        let empty = io::Error::new(io::ErrorKind::InvalidData, "its first line is empty");
        return Err(named(empty));
    }
    Ok(phrase)
}

/// Asks at the terminal, which shows nothing of it meanwhile. It gives us each key, Ctrl-C too: whoever is killed by a signal while the
/// terminal is mute would leave it so.
fn from_terminal(question: &str) -> io::Result<Phrase> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "no terminal to ask at: give --passphrase-file FILE",
        )
    })?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    (&terminal).write_all(question.as_bytes())?;
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let read = typed(&terminal);
    // Whatever came of it.
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    (&terminal).write_all(b"\n")?;
    read
}

/// What is typed up to the end of the line, with the keys that take something back.
fn typed(mut terminal: impl io::Read) -> io::Result<Phrase> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const KILL: u8 = 0x15;
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    let mut key = [0];
    loop {
        let [byte] = match terminal.read(&mut key) {
            Ok(0) => [END],
            Ok(_) => key,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match byte {
            INTERRUPT => return Err(io::Error::new(io::ErrorKind::Interrupted, "Ctrl-C")),
            b'\n' | b'\r' | END => break,
            KILL => line.clear(),
            0x7f | 0x08 => {
                // A letter may have several bytes.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            byte => line.push(byte),
        }
    }
    let text = std::str::from_utf8(&line).map(str::to_owned);
    text.map(Zeroizing::new)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a passphrase that is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_take_back_do() {
        for (keys, wanted) in [
            (&b"open\n"[..], "open"),
            (b"opx\x7fen\rmore", "open"),
            ("op\u{e9}\x7fen\n".as_bytes(), "open"),
            (b"wrong\x15open\x04", "open"),
            (b"open", "open"),
            (b"\n", ""),
        ] {
            assert_eq!(typed(keys).unwrap().as_str(), wanted);
        }
        assert_eq!(typed(&b"op\x03en\n"[..]).unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(typed(&b"\xff\n"[..]).is_err());
    }
}
