//! Which keys a ledger uses: those that its chain enrols, as far as this user has them in `$SIGCHAIN_HOME/keys`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use sigchain::chainfile::Reader;
use sigchain::directory::Directory;
use sigchain::error::Refusal;
use sigchain::frame::{Frame, Written};
use sigchain::key::{KeyId, Role, SigningKey};
use sigchain::keyfile::{self, FileError, Keys, Passphrase};
use sigchain::ledger::Signers;
use sigchain::limit;
use sigchain::reserved::{KeyRecord, Reserved};
use sigchain::store::{Frames, Store as _};

use crate::ledger;
use crate::trouble::Trouble;

/// Frames that are read at once.
const BLOCK: usize = 1024;
/// About as many bytes of them.
const BLOCK_BYTES: usize = 1 << 20;

/// What the chain says of its keys, read and not verified: whoever appends has the ledger judge them when it is opened.
#[derive(Debug, Default)]
pub(super) struct Enrolled {
    /// Name of the chain.
    pub(super) name: String,
    /// Role of each, and the entry that ended it.
    pub(super) keys: BTreeMap<KeyId, (Role, Option<u64>)>,
    /// How many operators there are.
    pub(super) operators: usize,
}

impl Enrolled {
    /// By the entries that change keys, without reading the others where the files list them.
    pub(super) fn read(directory: &Directory) -> io::Result<Self> {
        let mut found = Self::default();
        let (listed, rest) = directory.authority();
        let mut block = Frames::new();
        let mut next = if listed.is_some() { rest } else { 0 };
        for sequence in listed.into_iter().flatten().filter(|sequence| *sequence < rest) {
            directory.read(sequence, 1, &mut block)?;
            found.take_all(&block)?;
        }
        while next < directory.entries() {
            directory.read(next, BLOCK, &mut block)?;
            let Some(last) = block.iter().last().map(|frame| frame.sequence) else { break };
            found.take_all(&block)?;
            next = last.saturating_add(1);
        }
        Ok(found)
    }

    /// By all entries in front of whatever is damaged, if it can be read at all.
    fn in_front_of_damage(directory: &Directory) -> Self {
        let mut found = Self::default();
        let Some(mut reader) = directory.stream().ok().and_then(|stream| Reader::open(stream).ok())
        else {
            return found;
        };
        while let Ok(block) = reader.block(BLOCK, BLOCK_BYTES)
            && !block.frames().is_empty()
        {
            for raw in block.frames() {
                match block.parse(raw) {
                    Ok(Frame::Entry(written)) => found.take(&written),
                    Ok(_) => {}
                    Err(_) => return found,
                }
            }
        }
        found
    }

    fn take_all(&mut self, block: &Frames) -> io::Result<()> {
        for frame in block.iter() {
            let written = Written::parse(frame.left, frame.body)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            self.take(&written);
        }
        Ok(())
    }

    fn take(&mut self, written: &Written<'_>) {
        let (fields, part) = (&written.fields, &written.part);
        if !limit::is_authority(&fields.event_type) {
            return;
        }
        let Ok(asked) = Reserved::parse(&fields.event_type, part, fields.sequence) else { return };
        let mut enrol = |key: &KeyRecord| self.keys.insert(key.id(), (key.role, None));
        match &asked {
            Reserved::Genesis { keys, name, operators, .. } => {
                for key in keys {
                    enrol(key);
                }
                self.name.clone_from(name);
                self.operators = operators.len();
            }
            Reserved::Enroll { key, .. } => drop(enrol(key)),
            Reserved::Rotate { key, old, .. } => {
                enrol(key);
                self.end(old, fields.sequence);
            }
            Reserved::Revoke { key, .. } => self.end(key, fields.sequence),
            Reserved::Operators { operators, .. } => self.operators = operators.len(),
            _ => {}
        }
    }

    fn end(&mut self, id: &KeyId, sequence: u64) {
        if let Some((_, until)) = self.keys.get_mut(id) {
            until.get_or_insert(sequence);
        }
    }

    /// Those that may sign in this role.
    fn active(&self, role: Role) -> impl Iterator<Item = KeyId> {
        let keys = self.keys.iter();
        keys.filter(move |(_, (of, until))| *of == role && until.is_none()).map(|(id, _)| *id)
    }
}

/// The ids of the keys that this user has.
pub(super) fn at_hand() -> Result<BTreeSet<KeyId>, Trouble> {
    let keys = Keys::in_home().and_then(|keys| keys.list());
    keys.map(|ids| ids.into_iter().collect()).map_err(|error| of_file(&error))
}

/// Who signs entries, and who checkpoints and seals.
pub(super) fn signers(path: &Path) -> Result<Signers, Trouble> {
    let directory = ledger::view(path)?;
    let enrolled = enrolled(&directory);
    // Whoever wrote last, if it can be: another key would be another writer, and that takes an entry of the ledger's own.
    let last = directory.writing().map(|writing| writing.key);
    let entries = load(&enrolled, Role::Entry, last)?;
    // Without one nothing is lost yet, and another one can only be brought in by a ledger that is open.
    if let Some(checkpoints) = find(&enrolled, Role::Checkpoint, None)? {
        return Ok(Signers::new(entries, checkpoints));
    }
    ledger::tell(NO_CHECKPOINTS);
    Ok(Signers::of_entries(entries))
}

/// Who signs checkpoints.
pub(super) fn checkpoints(directory: &Directory) -> Result<SigningKey, Trouble> {
    load(&enrolled(directory), Role::Checkpoint, None)
}

/// What can be known of the keys. That there is damage is for those to say who verify; that keys may be missing here does no harm.
fn enrolled(directory: &Directory) -> Enrolled {
    Enrolled::read(directory).unwrap_or_else(|_| Enrolled::in_front_of_damage(directory))
}

const NO_CHECKPOINTS: &str = "\
AT RISK: no active checkpoint key of this chain is in $SIGCHAIN_HOME/keys. Nothing is sealed or anchored: that the end of the ledger was
cut would go unseen, and beyond 100,000 entries events are refused. Copy its file there, or enrol another key";

/// The key that the chain lets sign in this role, if this user has one.
fn find(
    enrolled: &Enrolled,
    role: Role,
    preferred: Option<KeyId>,
) -> Result<Option<SigningKey>, Trouble> {
    let keys = Keys::in_home().map_err(|error| of_file(&error))?;
    let at_hand = at_hand()?;
    let mut fit: Vec<KeyId> = enrolled.active(role).filter(|id| at_hand.contains(id)).collect();
    fit.sort_by_key(|id| Some(*id) != preferred);
    let Some(id) = fit.first() else { return Ok(None) };
    protect();
    keys.load(*id, Passphrase::None).map(Some).map_err(|error| of_file(&error))
}

fn load(enrolled: &Enrolled, role: Role, preferred: Option<KeyId>) -> Result<SigningKey, Trouble> {
    if let Some(key) = find(enrolled, role, preferred)? {
        return Ok(key);
    }
    let keys = Keys::in_home().map_err(|error| of_file(&error))?;
    let wanted: Vec<String> = enrolled.active(role).map(|id| id.to_string()).collect();
    let place = keys.path(KeyId::new([0; 16]));
    let place = place.parent().unwrap_or(&place).display().to_string();
    let what = format!("KEY_MISSING: no {role} key of this chain is in \"{place}\"");
    let expected = format!("the file of one of these, KEYID.pem: {}", wanted.join(", "));
    let next =
        "set SIGCHAIN_HOME to where sigchain init put them, or copy the file there, mode 600";
    Err(Trouble::unreadable(what, &expected, next))
}

/// What is wrong with a key file: its text says what was expected, and what mends it.
pub(super) fn of_file(error: &FileError) -> Trouble {
    Trouble::unreadable(
        format!("KEY_FILE: {error}"),
        "keys in $SIGCHAIN_HOME/keys that nobody else can read",
        "mend what is said above; nothing was changed",
    )
}

/// Before a secret is in memory. Where the system cannot do it nothing is worse than before.
fn protect() {
    let _ = keyfile::forbid_core_dumps();
}

/// A new key.
pub(super) fn generate() -> Result<SigningKey, Trouble> {
    protect();
    SigningKey::generate().map_err(|error| {
        let refusal = Refusal::Randomness(error.to_string());
        ledger::of_append(&refusal.into())
    })
}
