//! Where a key is: in a file of this user, with the agent, or elsewhere.

use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sigchain::agent::{Agent, Identity, fingerprint};
use sigchain::key::KeyId;
use sigchain::keyfile::{Keys, home};

/// How long the agent is given to say what it holds, where nothing depends on it.
const GLANCE: Duration = Duration::from_millis(500);
/// Bytes of the first line of a key file.
const FIRST_LINE: u64 = 64;

/// A key file.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile {
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    /// None if it cannot be read.
    pub(crate) is_encrypted: Option<bool>,
}

impl KeyFile {
    fn at(path: PathBuf) -> Option<Self> {
        let mode = path.symlink_metadata().ok()?.permissions().mode() & 0o7777;
        let is_encrypted = is_encrypted(&path);
        Some(Self { path, mode, is_encrypted })
    }

    /// Whether others can get at it.
    pub(crate) fn is_open(&self) -> bool {
        self.mode & 0o077 != 0
    }
}

fn is_encrypted(path: &Path) -> Option<bool> {
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?.take(FIRST_LINE)).read_line(&mut line).ok()?;
    Some(line.starts_with("-----BEGIN ENCRYPTED"))
}

/// What this user has: key files, and keys with the agent.
#[derive(Debug, Default)]
pub(crate) struct Custody {
    keys: Option<PathBuf>,
    pub(crate) identities: Vec<Identity>,
    /// Why nothing is known of key files.
    pub(crate) trouble: Option<String>,
}

/// Where one key is.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    pub(crate) file: Option<KeyFile>,
    /// Fingerprint and comment.
    pub(crate) agent: Option<(String, String)>,
}

impl Whereabouts {
    pub(crate) fn is_at_hand(&self) -> bool {
        self.file.is_some() || self.agent.is_some()
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        let mut words = Vec::new();
        if let Some(file) = &self.file {
            let encrypted = match file.is_encrypted {
                Some(true) => "under a passphrase",
                Some(false) => "no passphrase",
                None => "cannot be read",
            };
            words.push(format!("here, mode {:04o}, {encrypted}", file.mode));
        }
        if let Some((fingerprint, _)) = &self.agent {
            words.push(format!("with the agent, {fingerprint}"));
        }
        if words.is_empty() { "elsewhere".to_owned() } else { words.join("; ") }
    }

    pub(crate) fn json(&self) -> Value {
        let file = self.file.as_ref().map(|file| {
            json!({
                "encrypted": file.is_encrypted,
                "mode": format!("{:04o}", file.mode),
                "path": file.path.to_string_lossy(),
            })
        });
        let fingerprint = self.agent.as_ref().map(|(fingerprint, _)| fingerprint);
        json!({ "agent": fingerprint, "file": file })
    }
}

impl Custody {
    /// Looks. Nothing is made, and what cannot be looked at is no trouble for whoever only reads.
    pub(crate) fn look() -> Self {
        let mut custody = Self::default();
        match home() {
            Ok(home) if home.join("keys").is_dir() => match Keys::at(home.join("keys")) {
                Ok(_) => custody.keys = Some(home.join("keys")),
                Err(error) => custody.trouble = Some(error.to_string()),
            },
            Ok(_) => {}
            Err(error) => custody.trouble = Some(error.to_string()),
        }
        if env::var_os("SSH_AUTH_SOCK").is_some_and(|path| !path.is_empty()) {
            let held = Agent::from_env().and_then(|agent| agent.with_timeout(GLANCE).identities());
            custody.identities = held.unwrap_or_default();
        }
        custody
    }

    /// Where the key of this id is.
    pub(crate) fn of(&self, id: KeyId) -> Whereabouts {
        let file = self.keys.as_ref().and_then(|dir| KeyFile::at(dir.join(format!("{id}.pem"))));
        let held = self.identities.iter().find(|identity| identity.public.id() == id);
        let agent = held.map(|held| (fingerprint(&held.public), held.comment.clone()));
        Whereabouts { file, agent }
    }

    /// All key files, whatever they are called.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Some(dir) = &self.keys else { return Vec::new() };
        let folders = [Some(dir.as_path()), dir.parent()];
        let mut files = Vec::new();
        for folder in folders.into_iter().flatten() {
            let Ok(names) = folder.read_dir() else { continue };
            let paths = names.flatten().map(|name| name.path());
            files.extend(paths.filter(|path| path.extension().is_none_or(|end| end != "pub")));
        }
        files.retain(|path| path.is_file());
        files.sort();
        files
    }
}
