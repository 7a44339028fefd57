//! What can be wrong with a key file, in words that say what was found, what was expected and which command mends it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::key::{KEY_FILE_MAX, KeyId};
use crate::keyfile::{PBKDF2_MAX, SCRYPT_WORK_MAX};
use crate::text;

/// What is wrong with a key file, or with the directory of keys.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The system refused what we were doing.
    Io(&'static str, io::Error),
    /// There is a file of that name already, and a key is never overwritten.
    Exists,
    /// A symbolic link.
    Symlink,
    /// No regular file, or no directory where one was expected; this.
    Kind(&'static str),
    /// Another owner.
    Owner {
        /// The user whose file it is.
        found: u32,
        /// The user that this process acts as.
        expected: u32,
    },
    /// A mode that lets the group or others in.
    Mode {
        /// Its permission bits.
        found: u32,
        /// Those that it should have.
        expected: u32,
    },
    /// More than one name; so many.
    Links(u64),
    /// More bytes than a key file has; so many, at least.
    Length(u64),
    /// No key file of one Ed25519 key, but this.
    NotAKey(&'static str),
    /// A key derivation that costs more than we are willing to pay.
    Cost(String),
    /// The file needs a passphrase, and none was given.
    PassphraseMissing,
    /// The passphrase opens nothing; the same is seen where the file was damaged.
    PassphraseWrong,
    /// A passphrase was given for a file that is open to whoever reads it.
    PassphraseUnneeded,
    /// An empty passphrase, which protects nothing.
    PassphraseEmpty,
    /// The key is another one than the file's name says; this one.
    Name(KeyId),
    /// `$SIGCHAIN_HOME` is a relative path, which would be another place for every working directory.
    HomeRelative,
    /// Neither `$SIGCHAIN_HOME` nor `$XDG_STATE_HOME` nor `$HOME` names a place.
    HomeMissing,
}

/// A problem and the path where it is. Never holds a secret.
#[derive(Debug)]
pub struct FileError {
    path: PathBuf,
    problem: Problem,
}

impl FileError {
    pub(crate) fn new(path: &Path, problem: Problem) -> Self {
        Self { path: path.to_owned(), problem }
    }

    /// The file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The path as an argument that can be pasted into a shell.
    fn argument(&self) -> String {
        let shown = text::printable(&self.path.to_string_lossy());
        if self.path.to_str() != Some(shown.as_str()) || shown.starts_with('-') {
            return "PATH".to_owned();
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
        if !shown.is_empty() && shown.chars().all(is_plain) {
            shown
        } else {
            format!("'{}'", shown.replace('\'', r"'\''"))
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.argument();
        match &self.problem {
            Problem::HomeRelative => {
                return write!(
                    f,
                    "SIGCHAIN_HOME is {path}; expected a path that begins with /: `export SIGCHAIN_HOME=/...`"
                );
            }
            Problem::HomeMissing => {
                return f.write_str(
                    "none of SIGCHAIN_HOME, XDG_STATE_HOME, HOME is an absolute path; expected one: \
                     `export SIGCHAIN_HOME=/...`",
                );
            }
            _ => {}
        }
        write!(f, "\"{}\": ", text::printable(&self.path.to_string_lossy()))?;
        self.problem.fmt_of_file(f, &path).unwrap_or_else(|| self.problem.fmt_of_content(f, &path))
    }
}

impl Problem {
    /// What is wrong with the file as the system sees it: `None` if that is not the problem.
    fn fmt_of_file(&self, f: &mut fmt::Formatter<'_>, path: &str) -> Option<fmt::Result> {
        Some(match self {
            Self::Io(doing, error) => write!(f, "cannot {doing}: {error}"),
            Self::Exists => {
                write!(f, "is there already, and no key is overwritten; see `ls -l {path}`")
            }
            Self::Symlink => write!(
                f,
                "a symbolic link; expected the thing itself: give what `readlink -f {path}` prints"
            ),
            Self::Kind(found) => write!(
                f,
                "{found}; expected a key as a regular file, keys in a directory; see `ls -ld {path}`"
            ),
            Self::Owner { found, expected } => write!(
                f,
                "belongs to user {found}; expected user {expected}, as whom this process acts: \
                 `chown {expected} {path}`, if you know that what is in it is yours"
            ),
            Self::Mode { found, expected } => {
                write!(f, "mode {found:04o}; expected {expected:04o}: `chmod {expected:o} {path}`")
            }
            Self::Links(found) => write!(
                f,
                "has {found} names (hard links); expected one: remove the others, which \
                 `find / -xdev -samefile {path}` lists"
            ),
            Self::Length(found) => write!(
                f,
                "{found} bytes; expected at most {KEY_FILE_MAX}: `openssl pkey -in {path}` prints the \
                 key alone"
            ),
            _ => return None,
        })
    }

    fn fmt_of_content(&self, f: &mut fmt::Formatter<'_>, path: &str) -> fmt::Result {
        match self {
            Self::NotAKey(found) => write!(
                f,
                "{found}; expected a PKCS#8 PEM key file of one Ed25519 key, as \
                 `openssl genpkey -algorithm ed25519` writes it"
            ),
            Self::Cost(found) => write!(
                f,
                "asks for {found}; expected scrypt, N a power of two, of at most 64 MiB and N*r*p {SCRYPT_WORK_MAX}, or \
                 PBKDF2 of 1 to {PBKDF2_MAX} rounds: if you know that it is yours, \
                 `openssl pkcs8 -topk8 -scrypt -in {path} -out NEW`"
            ),
            Self::PassphraseMissing => {
                f.write_str("is under a passphrase; expected one, found none")
            }
            Self::PassphraseWrong => write!(
                f,
                "this passphrase does not open it; expected another, or the file is damaged: try \
                 `openssl pkey -in {path} -noout`"
            ),
            Self::PassphraseUnneeded => write!(
                f,
                "a passphrase was given, and the key is open; expected it to be under that passphrase: \
                 `openssl pkcs8 -topk8 -scrypt -in {path} -out NEW`, or give none"
            ),
            Self::PassphraseEmpty => {
                f.write_str("an empty passphrase; expected one that protects, or none at all")
            }
            Self::Name(found) => write!(
                f,
                "holds key {found}; expected the key that its name says: `mv {path} \
                 {found}.pem` in its directory, if you know how that came"
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io(_, error) => Some(error),
            _ => None,
        }
    }
}
