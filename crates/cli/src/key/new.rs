//! `sigchain key new`: a key in a file, and its public half beside it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sigchain::key::SigningKey;
use sigchain::keyfile::{self, FileError, Keys, Problem};
use sigchain::text;

use crate::args::{KeyNewOptions, RoleName};
use crate::ledger::{keys, tell};
use crate::newfile;
use crate::out;
use crate::passphrase;
use crate::trouble::Trouble;

pub(crate) fn run(asked: &KeyNewOptions) -> Result<u8, Trouble> {
    // Before the passphrase is asked for, and before the secret is written: what has the name already would stop it half-way.
    if let Some(path) = asked.output.as_deref() {
        for path in [path, &public_of(path)] {
            if path.symlink_metadata().is_ok() {
                return Err(taken(path));
            }
        }
    }
    let phrase = passphrase::for_new(asked.passphrase_file.as_deref()).map_err(|error| {
        let what = format!("no passphrase for the new key: {error}");
        let next = "no key was made; give a file, or call it at a terminal";
        Trouble::unreadable(what, "a passphrase, or none at all", next).coded("PASSPHRASE")
    })?;
    let key = keys::generate()?;
    let phrase = phrase.as_ref().map(|phrase| phrase.as_str());
    let path = write(&key, asked.output.as_deref(), phrase)?;
    let public = public_of(&path);
    newfile::write(&public, key.public().to_pem().as_bytes()).map_err(|error| {
        // A key of which nobody knows the public half is of no use.
        let _ = fs::remove_file(&path);
        not_written(&public, &error)
    })?;
    let shown = |path: &Path| text::printable(&path.to_string_lossy());
    tell(&format!("made key {} in \"{}\"", key.id(), shown(&path)));
    match phrase {
        Some(_) => tell("it is under the passphrase: without that it is lost"),
        None => tell("it is under no passphrase: whoever reads the file has the key"),
    }
    match asked.role {
        RoleName::Operator => {
            tell(
                "keep it offline, and a copy of it elsewhere: it alone can revoke keys. Only the public half is needed here:",
            );
            tell(&format!("  sigchain init LEDGER --name NAME --operator \"{}\"", shown(&public)));
        }
        RoleName::Entry | RoleName::Checkpoint => {
            let role = if asked.role == RoleName::Entry { "entry" } else { "checkpoint" };
            if asked.output.is_some() {
                let id = key.id();
                tell(&format!(
                    "where it is to sign, keep it as $SIGCHAIN_HOME/keys/{id}.pem, mode 600"
                ));
            }
            tell("it is of no chain yet:");
            tell(&format!("  sigchain key enroll LEDGER --role {role} --new {}", key.id()));
        }
    }
    out::print(&format!("{}\n", shown(&public)))?;
    Ok(0)
}

fn write(key: &SigningKey, path: Option<&Path>, phrase: Option<&str>) -> Result<PathBuf, Trouble> {
    let written = match path {
        Some(path) => keyfile::write(path, key, phrase).map(|()| path.to_owned()),
        None => Keys::in_home().and_then(|keys| keys.store(key, phrase)),
    };
    written.map_err(|error: FileError| match error.problem() {
        Problem::Exists => taken(error.path()),
        _ => keys::of_file(&error),
    })
}

/// The file beside a key file that holds the public half.
fn public_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".pub");
    name.into()
}

pub(super) fn taken(path: &Path) -> Trouble {
    let what = format!("\"{}\" exists already", path.display());
    Trouble::usage(what, "a name that is not taken: nothing is overwritten").coded("FS_EXISTS")
}

pub(super) fn not_written(path: &Path, error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return taken(path);
    }
    let what = format!("cannot write \"{}\": {error}", path.display());
    let next = "no file was left there; give another name or make room";
    let expected = "a directory that can be written to, with room";
    Trouble::unreadable(what, expected, next).coded(sigchain::disk::code_of(error))
}
