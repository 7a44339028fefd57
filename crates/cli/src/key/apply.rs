//! A change of keys is applied: the ledger is opened to write, changed, and closed.

use std::path::Path;

use sigchain::error::{AppendError, Refusal};
use sigchain::fault::{Code, Misfit};
use sigchain::key::{KeyId, Role};
use sigchain::ledger::{Change, Signers};
use sigchain::receipt::Receipt;
use sigchain::reserved::Reserved;
use sigchain::signer::Signer as _;

use crate::args::{OfChange, OfFiles, SignerOptions};
use crate::exit;
use crate::key::change;
use crate::ledger::keys;
use crate::ledger::{Outcome, close, of_append, open_with, view};
use crate::out;
use crate::signing::{Hand, Signing};
use crate::trouble::Trouble;

/// Where, and how it is told.
pub(super) struct Wanted<'o> {
    pub(super) path: &'o Path,
    pub(super) signing: &'o SignerOptions,
    pub(super) files: &'o OfFiles,
    pub(super) json: bool,
}

impl<'o> Wanted<'o> {
    pub(super) fn of(of: &'o OfChange) -> Self {
        Self { path: &of.place.ledger, signing: &of.signing, files: &of.files, json: of.json }
    }
}

/// Who signs the change, and what follows.
pub(super) enum How {
    /// The ledger's own key does, and goes on.
    Plain,
    /// The ledger's own key does, and this one goes on in the place of the one that ends.
    Then(Hand),
    /// This one does, which takes the place of a key that is lost.
    By(Hand),
}

/// What became of a change.
pub(super) struct Applied {
    change: Reserved,
    result: Result<Receipt, AppendError>,
    closed: u8,
    json: bool,
}

impl Applied {
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.result, Err(AppendError::Refused(_)))
    }

    /// Tells it, and gives the exit code.
    pub(super) fn answer(self) -> Result<u8, Trouble> {
        if self.json {
            let outcome = Outcome::from(self.result);
            out::print(&outcome.write(0, None))?;
            return Ok(outcome.exit().max(self.closed));
        }
        let receipt = self.result.map_err(|error| of_append(&error))?;
        let done = match &self.change {
            Reserved::Enroll { key, .. } => format!("enrolled: {} key {}", key.role, key.id()),
            Reserved::Rotate { key, old, .. } => {
                format!("rotated: {} key {} in the place of {old}", key.role, key.id())
            }
            Reserved::Revoke { key, reason, .. } => {
                format!("revoked: key {key}, as {}", reason.name())
            }
            _ => "changed: who the operators are".to_owned(),
        };
        let at = format!("  entry      {}", receipt.sequence);
        let by = format!("  signed by  {}", receipt.signer);
        out::print(&format!("{done}\n{at}\n{by}\n"))?;
        Ok(self.closed)
    }
}

/// Applies a change.
pub(super) fn run(wanted: &Wanted<'_>, change: Change, how: How) -> Result<Applied, Trouble> {
    let signers = match &how {
        How::By(new) => {
            let enrolled = keys::enrolled(&view(wanted.path)?);
            let signing = Signing::of(wanted.signing, &enrolled)?;
            keys::with_checkpoints(new.clone(), keys::checkpoints_of(&enrolled, &signing)?)
        }
        // Who signs the end of an entry key is that key, and another that this user has would be another writer's.
        How::Then(_) => keys::signers(wanted.path, wanted.signing, ends(&change))?,
        How::Plain => keys::signers(wanted.path, wanted.signing, None)?,
    };
    apply(wanted, change, how, signers)
}

/// The entry key that a rotation ends.
fn ends(change: &Change) -> Option<KeyId> {
    match change.reserved() {
        Reserved::Rotate { key, old, .. } if key.role == Role::Entry => Some(*old),
        _ => None,
    }
}

fn apply(
    wanted: &Wanted<'_>,
    change: Change,
    how: How,
    signers: Signers,
) -> Result<Applied, Trouble> {
    let ledger = open_with(wanted.path, signers, wanted.files.files())?;
    let reserved = change.reserved().clone();
    let result = if change.chain_id() == ledger.chain_id() {
        match how {
            How::Plain => ledger.apply(change),
            How::Then(new) => ledger.apply_then(change, new),
            How::By(new) => ledger.apply_signed_by(change, new),
        }
    } else {
        Err(of_another(&change, &ledger.chain_id().to_string()).into())
    };
    let closed = close(&ledger);
    Ok(Applied { change: reserved, result, closed, json: wanted.json })
}

/// A change of another chain. Its approvals would not hold here, but that would not say why.
fn of_another(change: &Change, own: &str) -> Refusal {
    let found = format!("one of chain {}", change.chain_id());
    Refusal::Chain(Misfit::new(Code::ChainId, format!("a change of chain {own}"), found))
}

/// Applies what was approved elsewhere.
pub(super) fn approved(wanted: &Wanted<'_>, file: &Path, word: &str) -> Result<u8, Trouble> {
    let change = change::read(file)?;
    let of = match change.reserved() {
        Reserved::Enroll { .. } => "enroll",
        Reserved::Rotate { .. } => "rotate",
        Reserved::Revoke { .. } => "revoke",
        // More of them, fewer of them: both are lists of operators.
        _ => word,
    };
    if of != word {
        let what = format!("this approval is for sigchain key {of}");
        return Err(Trouble::usage(what, &format!("sigchain key {of} LEDGER --approval FILE")));
    }
    if change.reserved().approvals().is_empty() {
        let next = "sigchain key approve PROPOSAL --operator-key FILE -o APPROVAL, where the operator's key is";
        let what = "nothing was changed: this is a proposal that nobody has approved";
        return Err(Trouble::of_ledger(exit::REFUSED, what, "an approval", next).coded("APPROVAL"));
    }
    let signing = Signing::open(wanted.signing)?;
    let mut options = wanted.signing.clone();
    let how = match change.reserved() {
        Reserved::Rotate { key, old, .. } => {
            let new = new_hand(&signing, key.id())?;
            // The chain does not know it yet, and nobody else may sign with what the chain does not know.
            options = signing.others(key.id());
            let is_lost = key.role == Role::Entry && !is_at_hand(old, &signing)?;
            if is_lost { How::By(new) } else { How::Then(new) }
        }
        _ => How::Plain,
    };
    run(&Wanted { signing: &options, ..*wanted }, change, how)?.answer()
}

/// Whether the old key can sign its own end.
fn is_at_hand(old: &KeyId, signing: &Signing) -> Result<bool, Trouble> {
    let is_named = signing.named().any(|hand| hand.id() == *old);
    keys::at_hand().map(|ids| is_named || ids.contains(old))
}

/// The key that the change enrols, wherever it is.
fn new_hand(signing: &Signing, id: KeyId) -> Result<Hand, Trouble> {
    if let Some(hand) = signing.named().find(|hand| hand.id() == id) {
        return Ok(hand);
    }
    if keys::at_hand()?.contains(&id) {
        return signing.in_home(id);
    }
    let what = format!("KEY_MISSING: the new key {id} is not in $SIGCHAIN_HOME/keys");
    let next =
        "call it where the proposal was made, or name the agent's key: --signer agent:SHA256:...";
    Err(Trouble::unreadable(what, "the key that was proposed", next).coded("KEY_MISSING"))
}
