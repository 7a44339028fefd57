//! Which keys a ledger uses: those that its chain enrols, as far as this user has them in `$SIGCHAIN_HOME/keys` or in an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use sigchain::chainfile::Reader;
use sigchain::digest::Digest;
use sigchain::directory::Directory;
use sigchain::error::Refusal;
use sigchain::frame::{Frame, Written};
use sigchain::key::{KeyId, Role, SigningKey};
use sigchain::keyfile::{self, FileError, Keys};
use sigchain::ledger::Signers;
use sigchain::limit;
use sigchain::reserved::{KeyRecord, Reason, Reserved};
use sigchain::store::{Frames, Store as _};

use crate::args::SignerOptions;
use crate::ledger;
use crate::signing::{Hand, Signing};
use crate::trouble::Trouble;

/// Frames that are read at once.
const BLOCK: usize = 1024;
/// About as many bytes of them.
const BLOCK_BYTES: usize = 1 << 20;

/// A key as the chain knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enrolment {
    pub(crate) role: Role,
    pub(crate) public: [u8; 32],
    /// The entry that enrolled it.
    pub(crate) from: u64,
    /// The entry that ended it.
    pub(crate) until: Option<u64>,
    /// Why, as stated last.
    pub(crate) reason: Option<Reason>,
    /// If it was compromised: the size up to which its signatures can be trusted.
    pub(crate) trusted: Option<u64>,
}

fn malformed(error: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// What the chain says of its keys, read and not verified: whoever appends has the ledger judge them when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Enrolled {
    /// Name of the chain.
    pub(crate) name: String,
    pub(crate) keys: BTreeMap<KeyId, Enrolment>,
    /// Hashes of the operators' keys.
    pub(crate) operators: Vec<Digest>,
}

impl Enrolled {
    /// By the entries that change keys, without reading the others where the files list them.
    pub(crate) fn read(directory: &Directory) -> io::Result<Self> {
        Self::with_head(directory).map(|(found, _)| found)
    }

    /// The same, and the last entry, which is met on the way.
    pub(crate) fn with_head(directory: &Directory) -> io::Result<(Self, Option<Written<'static>>)> {
        let mut found = Self::default();
        let (listed, rest) = directory.authority();
        let mut block = Frames::new();
        let mut next = 0;
        for sequence in listed.iter().flatten().filter(|sequence| **sequence < rest) {
            directory.read(*sequence, 1, &mut block)?;
            found.take_all(&block)?;
        }
        while listed.is_none() && next < rest {
            directory.read(next, BLOCK, &mut block)?;
            let Some(last) = block.iter().last().map(|frame| frame.sequence) else { break };
            found.take_all(&block)?;
            next = last.saturating_add(1);
        }
        directory.last_segment(&mut limit::is_authority, &mut block)?;
        found.take_all(&block)?;
        let head = directory.entries().checked_sub(1);
        if block.is_empty()
            && let Some(head) = head
        {
            // The last segment has no entry yet.
            directory.read(head, 1, &mut block)?;
        }
        let last = block.iter().last().filter(|frame| Some(frame.sequence) == head);
        let last =
            last.map(|frame| Written::parse(frame.left, frame.body).map(Written::into_owned));
        Ok((found, last.transpose().map_err(malformed)?))
    }

    /// By all entries in front of whatever is damaged, if it can be read at all.
    fn in_front_of_damage(directory: &Directory) -> Self {
        let reader = directory.stream().ok().and_then(|stream| Reader::open(stream).ok());
        reader.map(Self::of_file).unwrap_or_default()
    }

    /// By all entries of a file, up to its end or in front of whatever is damaged.
    pub(crate) fn of_file(mut reader: Reader<impl Read>) -> Self {
        let mut found = Self::default();
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
            self.take(&Written::parse(frame.left, frame.body).map_err(malformed)?);
        }
        Ok(())
    }

    fn take(&mut self, written: &Written<'_>) {
        let (fields, part) = (&written.fields, &written.part);
        if !limit::is_authority(&fields.event_type) {
            return;
        }
        let Ok(asked) = Reserved::parse(&fields.event_type, part, fields.sequence) else { return };
        let sequence = fields.sequence;
        match &asked {
            Reserved::Genesis { keys, name, operators, .. } => {
                for key in keys {
                    self.enrol(key, sequence);
                }
                self.name.clone_from(name);
                self.operators.clone_from(operators);
            }
            Reserved::Enroll { key, .. } => self.enrol(key, sequence),
            Reserved::Rotate { key, old, .. } => {
                self.enrol(key, sequence);
                self.end(old, sequence);
            }
            Reserved::Revoke { key, reason, trusted, .. } => {
                self.end(key, sequence);
                if let Some(known) = self.keys.get_mut(key) {
                    known.reason = Some(*reason);
                    known.trusted = known.trusted.or(trusted.map(|trusted| trusted.size));
                }
            }
            Reserved::Operators { operators, .. } => self.operators.clone_from(operators),
            _ => {}
        }
    }

    fn enrol(&mut self, key: &KeyRecord, from: u64) {
        let (role, public) = (key.role, key.public);
        let (until, reason, trusted) = (None, None, None);
        self.keys.insert(key.id(), Enrolment { role, public, from, until, reason, trusted });
    }

    fn end(&mut self, id: &KeyId, sequence: u64) {
        if let Some(key) = self.keys.get_mut(id) {
            key.until.get_or_insert(sequence);
            key.reason.get_or_insert(Reason::Superseded);
        }
    }

    /// Those that may sign in this role.
    pub(crate) fn active(&self, role: Role) -> impl Iterator<Item = KeyId> {
        let keys = self.keys.iter();
        keys.filter(move |(_, key)| key.role == role && key.until.is_none()).map(|(id, _)| *id)
    }
}

/// The ids of the keys that this user has.
pub(crate) fn at_hand() -> Result<BTreeSet<KeyId>, Trouble> {
    let keys = Keys::in_home().and_then(|keys| keys.list());
    keys.map(|ids| ids.into_iter().collect()).map_err(|error| of_file(&error))
}

/// Who signs entries, with this key if that can be, and who checkpoints and seals.
pub(crate) fn signers(
    path: &Path,
    by: &SignerOptions,
    preferred: Option<KeyId>,
) -> Result<Signers, Trouble> {
    let directory = ledger::salvaged(path)?;
    let enrolled = enrolled(&directory);
    // Whoever wrote last, if it can be: another key would be another writer, and that takes an entry of the ledger's own.
    let last = directory.writing().map(|writing| writing.key);
    let signing = Signing::of(by, &enrolled)?;
    let entries = load(&enrolled, Role::Entry, preferred.or(last), &signing)?;
    Ok(with_checkpoints(entries, checkpoints_of(&enrolled, &signing)?))
}

/// Who signs checkpoints and seals, if that key is at hand.
pub(crate) fn checkpoints_of(
    enrolled: &Enrolled,
    signing: &Signing,
) -> Result<Option<Hand>, Trouble> {
    find(enrolled, Role::Checkpoint, None, signing)
}

/// Without a key for checkpoints nothing is lost yet, and another one can only be brought in by a ledger that is open.
pub(crate) fn with_checkpoints(entries: Hand, checkpoints: Option<Hand>) -> Signers {
    if let Some(checkpoints) = checkpoints {
        return Signers::new(entries, checkpoints);
    }
    ledger::tell(NO_CHECKPOINTS);
    Signers::of_entries(entries)
}

/// Who signs checkpoints.
pub(crate) fn checkpoints(directory: &Directory, by: &SignerOptions) -> Result<Hand, Trouble> {
    let enrolled = enrolled(directory);
    let signing = Signing::of(by, &enrolled)?;
    load(&enrolled, Role::Checkpoint, None, &signing)
}

/// What can be known of the keys. That there is damage is for those to say who verify; that keys may be missing here does no harm.
pub(crate) fn enrolled(directory: &Directory) -> Enrolled {
    Enrolled::read(directory).unwrap_or_else(|_| Enrolled::in_front_of_damage(directory))
}

const NO_CHECKPOINTS: &str = "\
AT RISK: no active checkpoint key of this chain is in $SIGCHAIN_HOME/keys. Nothing is sealed or anchored: that the end of the ledger was
cut would go unseen, and beyond 100,000 entries events are refused. Copy its file there, or enrol another key";

/// The key that the chain lets sign in this role, if this user has one: with the agent, if that was named, or in a file.
pub(crate) fn find(
    enrolled: &Enrolled,
    role: Role,
    preferred: Option<KeyId>,
    signing: &Signing,
) -> Result<Option<Hand>, Trouble> {
    if let Some(hand) = signing.in_role(enrolled, role)? {
        return Ok(Some(hand));
    }
    let at_hand = at_hand()?;
    let mut fit: Vec<KeyId> = enrolled.active(role).filter(|id| at_hand.contains(id)).collect();
    fit.sort_by_key(|id| Some(*id) != preferred);
    fit.first().map(|id| signing.in_home(*id)).transpose()
}

pub(crate) fn load(
    enrolled: &Enrolled,
    role: Role,
    preferred: Option<KeyId>,
    signing: &Signing,
) -> Result<Hand, Trouble> {
    if let Some(key) = find(enrolled, role, preferred, signing)? {
        return Ok(key);
    }
    let keys = Keys::in_home().map_err(|error| of_file(&error))?;
    let wanted: Vec<String> = enrolled.active(role).map(|id| id.to_string()).collect();
    let place = keys.path(KeyId::new([0; 16]));
    let place = place.parent().unwrap_or(&place).display().to_string();
    let what = format!("KEY_MISSING: no {role} key of this chain is in \"{place}\"");
    let expected = format!("the file of one of these, KEYID.pem: {}", wanted.join(", "));
    let next = "set SIGCHAIN_HOME to where sigchain init put them, copy the file there, mode 600, or --signer agent:";
    Err(Trouble::unreadable(what, &expected, next).coded("KEY_MISSING"))
}

/// What is wrong with a key file: its text says what was expected, and what mends it.
pub(crate) fn of_file(error: &FileError) -> Trouble {
    Trouble::unreadable(
        format!("KEY_FILE: {error}"),
        "keys in $SIGCHAIN_HOME/keys that nobody else can read",
        "mend what is said above; nothing was changed",
    )
    .coded("KEY_FILE")
}

/// Before a secret is in memory. Where the system cannot do it nothing is worse than before.
pub(crate) fn protect() {
    let _ = keyfile::forbid_core_dumps();
}

/// A new key.
pub(crate) fn generate() -> Result<SigningKey, Trouble> {
    protect();
    SigningKey::generate().map_err(|error| {
        let refusal = Refusal::Randomness(error.to_string());
        ledger::of_append(&refusal.into())
    })
}
