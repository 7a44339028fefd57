//! Reports of a verification, as files for people and for other programs.
//!
//! A report says what the verifier found and what it rests on, and never more: whatever comes from the file that was verified stands
//! in it as text, and is never interpreted.

mod capture;
mod cbor;
mod collect;
mod content;
mod html;
mod junit;
mod page;
mod plot;
mod sarif;
mod timeline;
mod words;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sigchain::digest::Digest;
use sigchain::stamp::ValidTime;

use crate::newfile::NewFile;
use crate::out;
use crate::trouble::Trouble;
use crate::verify::View;

pub(crate) use crate::report::capture::Capture;
pub(crate) use crate::report::collect::Collected;

/// The kinds of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Html,
    Json,
    Junit,
    Sarif,
}

impl Kind {
    pub(crate) const ENDINGS: &str = "a name that ends in .html, .json, .junit.xml or .sarif";

    /// By the ending of the name.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        let endings = [
            (".html", Self::Html),
            (".json", Self::Json),
            (".junit.xml", Self::Junit),
            (".sarif", Self::Sarif),
        ];
        endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, kind)| kind)
    }
}

/// Something that a verdict was made from.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) what: &'static str,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

/// All that there is to say.
pub(crate) struct Subject<'s> {
    pub(crate) view: &'s View<'s>,
    /// What is in the chain, for whoever tells it to people.
    pub(crate) collected: Option<&'s Collected>,
    /// What was verified, first, and what it was held against.
    pub(crate) materials: &'s [Material],
    /// The words of the command line.
    pub(crate) command: &'s [String],
    /// When it began, and how long it took.
    pub(crate) begun: SystemTime,
    pub(crate) took: Duration,
}

impl Subject<'_> {
    /// When it began, to the second.
    fn date(&self) -> String {
        let since = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).ok().and_then(ValidTime::from_micros);
        micros.map_or(String::new(), |time| {
            let text = time.to_string();
            text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
        })
    }
}

/// Whether reports can be written there at all: better known before an hour of verification than behind it.
pub(crate) fn probe(paths: &[PathBuf]) -> Result<(), Trouble> {
    for path in paths {
        drop(NewFile::begin(path).map_err(|error| not_written(path, &error))?);
    }
    Ok(())
}

/// Writes all of them, or none.
pub(crate) fn write(paths: &[PathBuf], subject: &Subject<'_>, json: &str) -> Result<(), Trouble> {
    let mut begun: Vec<(&PathBuf, NewFile)> = Vec::new();
    for path in paths {
        let text = match Kind::of(path) {
            Some(Kind::Html) => html::render(subject),
            Some(Kind::Junit) => junit::render(subject),
            Some(Kind::Sarif) => sarif::render(subject)?,
            Some(Kind::Json) | None => json.to_owned(),
        };
        let written = NewFile::begin(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.flush()?;
            Ok(file)
        });
        begun.push((path, written.map_err(|error| not_written(path, &error))?));
    }
    let named = name(begun)?;
    for path in named {
        out::note(&format!("wrote the report \"{}\"", path.display()));
    }
    Ok(())
}

/// Gives all of them their names, or none.
fn name(begun: Vec<(&PathBuf, NewFile)>) -> Result<Vec<&PathBuf>, Trouble> {
    let mut named: Vec<&PathBuf> = Vec::new();
    for (path, file) in begun {
        if let Err(error) = file.finish() {
            // Made by this very call, a moment ago.
            for path in named {
                let _ = fs::remove_file(path);
            }
            return Err(not_written(path, &error));
        }
        named.push(path);
    }
    Ok(named)
}

fn not_written(path: &Path, error: &io::Error) -> Trouble {
    let shown = path.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        let what = format!("\"{shown}\" exists already");
        let expected = "a name for the report that is not taken: nothing is overwritten";
        return Trouble::usage(what, expected);
    }
    Trouble::unreadable(
        format!("cannot write the report \"{shown}\": {error}"),
        "a directory that can be written to, with room",
        "no report was left behind; give another name or make room, and verify again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody takes the second name while the first is given.
    #[test]
    fn all_are_named_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a.json", "b.json"].map(|name| dir.path().join(name));
        let begun = paths.iter().map(|path| (path, NewFile::begin(path).unwrap())).collect();
        fs::write(&paths[1], "theirs").unwrap();
        name(begun).unwrap_err();
        assert!(!paths[0].exists());
        assert_eq!(fs::read(&paths[1]).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_kind_is_the_end_of_the_name() {
        let of = |name: &str| Kind::of(Path::new(name));
        assert_eq!(of("a/b.junit.xml"), Some(Kind::Junit));
        assert_eq!(of("x.sarif.json"), Some(Kind::Json));
        assert_eq!([of("a.xml"), of("a.HTML"), of(".html/a"), of("/"), of("-")], [None; 5]);
    }
}
