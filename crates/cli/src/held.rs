//! What the user held before: keys, a chain id, checkpoints, each from the command line or a small file.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use sigchain::anchor::{Anchors as _, Local};
use sigchain::chainfile::Reader;
use sigchain::checkpoint::{self, Checkpoint, NOTE_MAX};
use sigchain::digest::Digest;
use sigchain::disk::Lenience;
use sigchain::key::{KeyId, PublicKey};
use sigchain::verify::Anchors;

use crate::args::HeldOptions;
use crate::input;
use crate::out;
use crate::trouble::Trouble;

/// Bytes of a public key file; a PEM has 113, a vkey some 200.
const KEY_FILE_MAX: usize = 4096;
/// A key that the user named.
#[derive(Debug)]
pub(crate) struct HeldKey {
    pub(crate) id: KeyId,
    /// The key itself, unless only its id was given.
    pub(crate) public: Option<PublicKey>,
    /// The origin that a vkey is for.
    pub(crate) origin: Option<String>,
}

/// The very bytes that something held was read from, for whoever wants to say later what that was.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) what: &'static str,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

impl Origin {
    fn new(what: &'static str, name: String, bytes: &[u8]) -> Self {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { what, name, size, digest: Digest::of(&[bytes]) }
    }
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) chain_id: Option<Digest>,
    pub(crate) keys: Vec<HeldKey>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Of what was in files, in the order of the command line.
    pub(crate) origins: Vec<Origin>,
    /// The size of what this machine has anchored, if that was not given.
    own: Option<u64>,
}

impl Held {
    pub(crate) fn load(options: &HeldOptions) -> Result<Self, Trouble> {
        let mut origins: Vec<Origin> = Vec::new();
        let mut keys: Vec<HeldKey> = Vec::new();
        for given in &options.keys {
            keys.push(key_from(given, &mut origins)?);
        }
        let mut checkpoints: Vec<Checkpoint> = Vec::new();
        for path in &options.checkpoints {
            checkpoints.push(note_from(path, &mut origins)?);
        }
        Ok(Self { chain_id: options.chain_id, keys, checkpoints, origins, own: None })
    }

    /// With what this machine has anchored of the ledger that begins with `head`, unasked: it is what shows that the end of a ledger was
    /// cut, or that all of it was set back. Says so on standard error. If it cannot be read, the verdict rests on less than it could, and
    /// must not pass for a whole one.
    pub(crate) fn with_own(mut self, head: &[u8]) -> (Self, Option<Trouble>) {
        let Ok(reader) = Reader::open(head) else { return (self, None) };
        match own(&reader.chain_id()) {
            Ok(Some(checkpoint)) => {
                let entries = out::entries(checkpoint.size());
                out::note(&format!("anchored on this machine: {entries}"));
                if !self.checkpoints.contains(&checkpoint) {
                    let (what, name) = ("checkpoint", "anchored on this machine".to_owned());
                    let origin = Origin::new(what, name, checkpoint.encode().as_bytes());
                    self.origins.push(origin);
                    self.own = Some(checkpoint.size());
                    self.checkpoints.push(checkpoint);
                }
            }
            Ok(None) => out::note("nothing of this chain is anchored on this machine"),
            Err(error) => {
                let what = format!("what this machine has anchored cannot be read: {error}");
                let next = "nothing was compared with it: mend that, and verify again";
                return (self, Some(Trouble::unreadable(what, "anchors that can be read", next)));
            }
        }
        (self, None)
    }

    /// Whether the largest checkpoint is what this machine has anchored.
    pub(crate) fn is_largest_own(&self) -> bool {
        self.own.is_some() && self.own == self.checkpoints.iter().map(Checkpoint::size).max()
    }

    /// As the verifier of chains takes them: there a key is named by its id, whatever form it came in.
    pub(crate) fn anchors(&self) -> Anchors {
        let mut anchors = Anchors::default();
        anchors.chain_id = self.chain_id;
        anchors.checkpoints.clone_from(&self.checkpoints);
        anchors.keys = self.keys.iter().map(|key| key.id).collect();
        anchors.keys.sort_unstable();
        anchors.keys.dedup();
        anchors
    }
}

/// What this machine has anchored of a chain, if it has anything.
pub(crate) fn own(chain_id: &Digest) -> io::Result<Option<Checkpoint>> {
    let lenience = Lenience { network: true, memory: true };
    let claim = Local::in_home(lenience).and_then(|anchors| anchors.latest(chain_id))?;
    Ok(claim.and_then(|claim| Checkpoint::parse(claim.note.as_bytes()).ok()))
}

/// Checkpoints that were kept in files.
pub(crate) fn notes(paths: &[PathBuf]) -> Result<Vec<Checkpoint>, Trouble> {
    paths.iter().map(|path| note(path)).collect()
}

/// A checkpoint that was kept in a file.
pub(crate) fn note(path: &Path) -> Result<Checkpoint, Trouble> {
    note_from(path, &mut Vec::new())
}

/// The same, and where it came from.
fn note_from(path: &Path, origins: &mut Vec<Origin>) -> Result<Checkpoint, Trouble> {
    let bytes = input::read_small(path, NOTE_MAX)?;
    origins.push(Origin::new("checkpoint", input::name(path), &bytes));
    Checkpoint::parse(&bytes).map_err(|error| {
        Trouble::unreadable(
            format!("\"{}\" is no checkpoint, at byte {}", input::name(path), error.at),
            &format!("{}; found {}", error.expected, error.found),
            "give the note as it was kept, with its empty line and signature lines",
        )
    })
}

pub(crate) fn key(given: &OsStr) -> Result<HeldKey, Trouble> {
    key_from(given, &mut Vec::new())
}

fn key_from(given: &OsStr, origins: &mut Vec<Origin>) -> Result<HeldKey, Trouble> {
    if let Some(text) = given.to_str() {
        if let Some(id) = KeyId::parse(text) {
            return Ok(HeldKey { id, public: None, origin: None });
        }
        if let Some(key) = vkey(text) {
            return key.map_err(|found| unparsable(text, found));
        }
    }
    let path = Path::new(given);
    let bytes = input::read_small(path, KEY_FILE_MAX).map_err(|trouble| {
        trouble.expecting("a key id (32 hex digits), a vkey NAME+HEX+BASE64, or a public key file that can be read")
    })?;
    origins.push(Origin::new("key", input::name(path), &bytes));
    let parsed = std::str::from_utf8(&bytes).map_err(|_| "bytes that are no text");
    let parsed = parsed.and_then(|text| {
        vkey(text.trim_end()).unwrap_or_else(|| {
            let public = PublicKey::from_pem(text).map_err(|error| error.found())?;
            Ok(HeldKey { id: public.id(), public: Some(public), origin: None })
        })
    });
    parsed.map_err(|found| unparsable(&input::name(path), found))
}

fn unparsable(name: &str, found: &str) -> Trouble {
    Trouble::unreadable(
        format!("\"{name}\" is no public key: found {found}"),
        "a key id, a vkey NAME+HEX+BASE64, or a file with -----BEGIN PUBLIC KEY----- of one Ed25519 key",
        "`openssl pkey -in KEY -pubout` writes such a file",
    )
}

/// `None` if it does not look like a vkey at all.
fn vkey(text: &str) -> Option<Result<HeldKey, &'static str>> {
    let held = |(origin, public): (String, PublicKey)| HeldKey {
        id: public.id(),
        public: Some(public),
        origin: Some(origin),
    };
    Some(checkpoint::parse_vkey(text)?.map(held).map_err(|error| error.found()))
}
