//! `sigchain key enroll`, `rotate` and `revoke`: what is asked for becomes a change, which is applied, or written down for an operator.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use sigchain::checkpoint::Checkpoint;
use sigchain::clock::{Machine, Time as _};
use sigchain::digest::Digest;
use sigchain::directory::Directory;
use sigchain::id::EventId;
use sigchain::key::{KeyId, PublicKey, Purpose, Role};
use sigchain::keyfile::Keys;
use sigchain::ledger::Change;
use sigchain::reserved::{KeyRecord, Reserved, Trusted};
use sigchain::signer::{Signer as _, Statement};
use sigchain::text;

use crate::args::{
    ChangeOptions, KeyEnrollOptions, KeyRevokeOptions, KeyRotateOptions, RoleName, SignerName,
    SignerOptions,
};
use crate::held;
use crate::key::apply::{self, How, Wanted};
use crate::key::change;
use crate::key::new::not_written;
use crate::ledger::keys::{self, Enrolled};
use crate::ledger::{tell, view};
use crate::newfile;
use crate::signing::{Hand, Signing, of_signer};
use crate::trouble::Trouble;

/// A chain whose keys are to be changed.
struct Chain<'p> {
    path: &'p Path,
    directory: Directory,
    enrolled: Enrolled,
    signing: Signing,
}

/// A key on its way into the chain, and its file if it was made for that.
struct NewKey {
    hand: Hand,
    made: Option<PathBuf>,
}

pub(super) fn enroll(asked: &KeyEnrollOptions) -> Result<u8, Trouble> {
    let wanted = Wanted::of(&asked.of);
    if let Some(file) = &asked.of.change.approval {
        return apply::approved(&wanted, file, "enroll");
    }
    let chain = Chain::read(wanted.path, wanted.signing)?;
    let Some(role) = role_of(asked.role) else {
        let operator = operator(asked.new.as_deref(), "--new")?;
        let mut operators = chain.enrolled.operators.clone();
        operators.push(operator.operator_hash());
        return chain.operators(operators, &asked.of.change, "enroll");
    };
    let new = chain.new_key(asked.new.as_deref())?;
    let change =
        chain.enrolment(&new.hand, role, |key| Reserved::Enroll { approvals: Vec::new(), key });
    let change = new.kept(change, |change| chain.seconded(change, role))?;
    if let Some(output) = &asked.of.change.output {
        return new.kept(write(output, &change, "enroll"), Ok);
    }
    if role == Role::Checkpoint && change.reserved().approvals().is_empty() {
        return Err(new.given_up(needs_operator("enroll", "no active checkpoint key is at hand")));
    }
    let applied = apply::run(&wanted, change, How::Plain);
    new.settled(applied)
}

pub(super) fn rotate(asked: &KeyRotateOptions) -> Result<u8, Trouble> {
    let wanted = Wanted::of(&asked.of);
    if let Some(file) = &asked.of.change.approval {
        return apply::approved(&wanted, file, "rotate");
    }
    let chain = Chain::read(wanted.path, wanted.signing)?;
    let role = role_of(asked.role).unwrap_or(Role::Entry);
    let old = match &asked.old {
        Some(name) => key_id(name)?,
        None if asked.lost => chain.only_active(role)?,
        None => {
            let last = chain.directory.writing().map(|writing| writing.key);
            keys::load(&chain.enrolled, role, last, &chain.signing)?.id()
        }
    };
    let new = chain.new_key(asked.new.as_deref())?;
    let rotated = |key| Reserved::Rotate { approvals: Vec::new(), key, old };
    let change = chain.enrolment(&new.hand, role, rotated);
    if let Some(output) = &asked.of.change.output {
        return new.kept(change.and_then(|change| write(output, &change, "rotate")), Ok);
    }
    // A checkpoint key agrees to its own end; an entry key signs it.
    let change = new.kept(change, |change| match role {
        Role::Checkpoint => {
            let hand = keys::load(&chain.enrolled, role, Some(old), &chain.signing)?;
            change.approved_by(&hand).map_err(|refusal| crate::ledger::of_append(&refusal.into()))
        }
        _ => Ok(change),
    })?;
    let applied = apply::run(&wanted, change, How::Then(new.hand.clone()));
    new.settled(applied)
}

const LAST: &str = "\
AT RISK: it is the only key that signs entries. Once it is revoked nothing can be recorded any more, not even another key: to have
another one in its place, sigchain key rotate LEDGER --lost --old KEY";

pub(super) fn revoke(asked: &KeyRevokeOptions) -> Result<u8, Trouble> {
    let wanted = Wanted::of(&asked.of);
    if let Some(file) = &asked.of.change.approval {
        return apply::approved(&wanted, file, "revoke");
    }
    let chain = Chain::read(wanted.path, wanted.signing)?;
    let Some(role) = role_of(asked.role) else {
        let hash = operator(asked.old.as_deref(), "--old")?.operator_hash();
        let mut operators = chain.enrolled.operators.clone();
        operators.retain(|operator| *operator != hash);
        if operators.len() == chain.enrolled.operators.len() {
            let what = format!("operator {hash} is none of this chain");
            let next = "sigchain key show LEDGER lists the operators; nothing was changed";
            return Err(Trouble::usage(what, "one of its operators").advising(next));
        }
        return chain.operators(operators, &asked.of.change, "revoke");
    };
    let key = key_id(asked.old.as_deref().unwrap_or_default())?;
    let known = chain.enrolled.keys.get(&key).filter(|known| known.role == role);
    if known.is_none() {
        let what = format!("key {key} is no {role} key of this chain");
        let next =
            "sigchain key show LEDGER lists the keys, with --role checkpoint those for checkpoints";
        return Err(Trouble::usage(what, "one of its keys").advising(next));
    }
    if role == Role::Entry && chain.enrolled.active(role).all(|active| active == key) {
        tell(LAST);
    }
    let trusted = asked.trusted.as_deref().map(|path| chain.trusted(path)).transpose()?;
    let (approvals, consistency) = (Vec::new(), Vec::new());
    let reason = asked.reason.into();
    let reserved = Reserved::Revoke { approvals, consistency, key, reason, trusted };
    let change = Change::of(chain.directory.chain_id(), event_id()?, reserved);
    match &asked.of.change.output {
        Some(output) => write(output, &change, "revoke"),
        None => Err(needs_operator("revoke", "only an operator revokes")),
    }
}

impl<'p> Chain<'p> {
    fn read(path: &'p Path, options: &SignerOptions) -> Result<Self, Trouble> {
        let directory = view(path)?;
        let enrolled = keys::enrolled(&directory);
        let signing = Signing::of(options, &enrolled)?;
        Ok(Self { path, directory, enrolled, signing })
    }

    /// The one active key of this role.
    fn only_active(&self, role: Role) -> Result<KeyId, Trouble> {
        let active: Vec<KeyId> = self.enrolled.active(role).collect();
        match active.as_slice() {
            [one] => Ok(*one),
            several => {
                let path = text::printable(&self.path.to_string_lossy());
                let what = format!("\"{path}\" has {} active {role} keys", several.len());
                Err(Trouble::usage(what, "the one that is lost: --old KEY"))
            }
        }
    }

    /// The new key that was named, or one that is made.
    fn new_key(&self, name: Option<&OsStr>) -> Result<NewKey, Trouble> {
        let Some(name) = name else {
            let key = keys::generate()?;
            let store = Keys::in_home().map_err(|error| keys::of_file(&error))?;
            let made = store.store(&key, None).map_err(|error| keys::of_file(&error))?;
            return Ok(NewKey { hand: Hand::File(key), made: Some(made) });
        };
        let hand = match name.to_str().and_then(|text| text.strip_prefix("agent:")) {
            Some(fingerprint) => {
                let signers = match fingerprint {
                    "" => vec![SignerName::AnyOfAgent],
                    name => vec![SignerName::Agent(name.to_owned())],
                };
                let options = SignerOptions { signers, passphrase_file: None };
                Signing::open(&options)?.first()?.ok_or_else(|| {
                    let what = "the agent holds no Ed25519 key";
                    Trouble::unreadable(what, "the new key", "ssh-add FILE").coded("AGENT")
                })?
            }
            None => self.signing.in_home(key_id(name)?)?,
        };
        Ok(NewKey { hand, made: None })
    }

    /// A change that enrols a key, with its proof that whoever enrols it has it.
    fn enrolment(
        &self,
        new: &Hand,
        role: Role,
        of: impl FnOnce(KeyRecord) -> Reserved,
    ) -> Result<Change, Trouble> {
        let (chain_id, event_id) = (self.directory.chain_id(), event_id()?);
        let public = *new.public().as_bytes();
        let digest = KeyRecord::statement(&public, role, &chain_id, event_id);
        let statement = Statement::Digest(Purpose::Possession, &digest);
        let proof = new.sign(&statement).map_err(|error| of_signer(&error))?;
        Ok(Change::of(chain_id, event_id, of(KeyRecord { public, role, proof })))
    }

    /// Approved by the chain's own checkpoint key, where that is enough and at hand.
    fn seconded(&self, change: Change, role: Role) -> Result<Change, Trouble> {
        if role != Role::Checkpoint {
            return Ok(change);
        }
        match keys::checkpoints_of(&self.enrolled, &self.signing)? {
            Some(hand) => change
                .approved_by(&hand)
                .map_err(|refusal| crate::ledger::of_append(&refusal.into())),
            None => Ok(change),
        }
    }

    /// Another list of operators.
    fn operators(
        &self,
        mut operators: Vec<Digest>,
        asked: &ChangeOptions,
        word: &str,
    ) -> Result<u8, Trouble> {
        if self.enrolled.operators.is_empty() {
            let what = "this chain was begun without operators, and nobody can add one";
            let next = "begin a chain with one: sigchain init LEDGER --name NAME --operator FILE";
            let expected = "an operator who approves";
            return Err(
                Trouble::of_ledger(crate::exit::REFUSED, what, expected, next).coded("APPROVAL")
            );
        }
        operators.sort_unstable();
        operators.dedup();
        // Without the last one nobody could revoke anything any more, nor bring one back.
        if !(1..=3).contains(&operators.len()) {
            let what = format!("{} operators", operators.len());
            return Err(Trouble::usage(what, "one at least, and at most three"));
        }
        let reserved = Reserved::Operators { approvals: Vec::new(), operators };
        let change = Change::of(self.directory.chain_id(), event_id()?, reserved);
        match &asked.output {
            Some(output) => write(output, &change, word),
            None => Err(needs_operator(word, "only operators change who is one")),
        }
    }

    fn trusted(&self, path: &Path) -> Result<Trusted, Trouble> {
        let note = held::note(path)?;
        let id = self.directory.chain_id().to_string();
        if note.origin().rsplit_once('/').is_none_or(|(_, of)| of != id) {
            let origin = text::shown(note.origin(), 200);
            let what = format!("the checkpoint is of \"{origin}\"");
            return Err(Trouble::usage(what, &format!("one of chain {id}")));
        }
        let of = |note: &Checkpoint| Trusted { size: note.size(), root: note.root() };
        Ok(of(&note))
    }
}

impl NewKey {
    /// Goes on, or takes back a key that was made for nothing.
    fn kept<T, U>(
        &self,
        done: Result<T, Trouble>,
        then: impl FnOnce(T) -> Result<U, Trouble>,
    ) -> Result<U, Trouble> {
        done.and_then(then).map_err(|trouble| self.given_up(trouble))
    }

    fn given_up(&self, trouble: Trouble) -> Trouble {
        if let Some(made) = &self.made {
            let _ = fs::remove_file(made);
        }
        trouble
    }

    /// What became of it: a key that may be in the chain stays.
    fn settled(&self, applied: Result<apply::Applied, Trouble>) -> Result<u8, Trouble> {
        let applied = applied.map_err(|trouble| self.given_up(trouble))?;
        if let Some(made) = &self.made {
            if applied.is_refused() {
                let _ = fs::remove_file(made);
            } else {
                let made = text::printable(&made.to_string_lossy());
                tell(&format!("the new key is in \"{made}\": back it up"));
            }
        }
        applied.answer()
    }
}

/// The role in the chain; none for an operator, who has none.
fn role_of(name: RoleName) -> Option<Role> {
    match name {
        RoleName::Entry => Some(Role::Entry),
        RoleName::Checkpoint => Some(Role::Checkpoint),
        RoleName::Operator => None,
    }
}

fn key_id(name: &OsStr) -> Result<KeyId, Trouble> {
    let text = name.to_string_lossy();
    KeyId::parse(&text).ok_or_else(|| {
        let what = format!("\"{text}\" is no key id");
        Trouble::usage(what, "32 hexadecimal digits, as sigchain key show prints them")
    })
}

fn operator(name: Option<&OsStr>, flag: &str) -> Result<PublicKey, Trouble> {
    let expected = format!("{flag} FILE, the public half that sigchain key new wrote");
    let Some(name) = name else {
        return Err(Trouble::usage("an operator of whom nothing is said", &expected));
    };
    held::key(name)?.public.ok_or_else(|| {
        let what = format!("\"{}\" is a key id", name.to_string_lossy());
        Trouble::usage(what, &expected)
    })
}

/// An id of this moment.
fn event_id() -> Result<EventId, Trouble> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| {
        let what = format!("no random bytes: {error}");
        let next = "see to the system's random source";
        Trouble::unreadable(what, "random bytes", next).coded("RANDOMNESS")
    })?;
    let millis = u64::try_from(Machine.wall() / 1000).unwrap_or_default();
    Ok(EventId::new(millis, random))
}

fn write(path: &Path, change: &Change, word: &str) -> Result<u8, Trouble> {
    let file = change::encode(change)?;
    newfile::write(path, file.as_bytes()).map_err(|error| not_written(path, &error))?;
    let path = text::printable(&path.to_string_lossy());
    tell(&format!("proposed in \"{path}\"; nothing is changed yet:"));
    for line in change::describe(change) {
        tell(&format!("  {line}"));
    }
    tell("where the operator's key is:");
    tell(&format!("  sigchain key approve \"{path}\" --operator-key FILE -o APPROVAL"));
    tell("and back here:");
    tell(&format!("  sigchain key {word} LEDGER --approval APPROVAL"));
    Ok(0)
}

fn needs_operator(word: &str, why: &str) -> Trouble {
    let what = format!("nothing was changed: {why}");
    let next = format!(
        "sigchain key {word} ... -o PROPOSAL; there: sigchain key approve PROPOSAL --operator-key FILE -o APPROVAL; \
         then sigchain key {word} LEDGER --approval APPROVAL"
    );
    Trouble::of_ledger(crate::exit::REFUSED, what, "an operator's approval", &next)
        .coded("APPROVAL")
}
