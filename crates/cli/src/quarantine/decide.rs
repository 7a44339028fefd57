//! `sigchain quarantine note`, `halt`, `reconcile` and `dismiss`: what people find out and decide.

use std::path::Path;

use sigchain::key::Role;
use sigchain::ledger::{Genesis, Ledger, Options, ResolveError, Signers, Words};
use sigchain::quarantine::Case;
use sigchain::signer::Signer as _;

use crate::access;
use crate::args::{
    DismissOptions, QuarantineHaltOptions, QuarantineNoteOptions, ReconcileOptions, ScrubOptions,
    SignerOptions, WordsOptions,
};
use crate::exit::{BUSY, NO, QUARANTINED, REFUSED, UNREADABLE};
use crate::held;
use crate::ledger::{self, keys, of_append, tell};
use crate::out;
use crate::quarantine;
use crate::signing::{Hand, Signing};
use crate::trouble::Trouble;

/// Who is named, and what they say.
struct Said<'s> {
    by: String,
    text: &'s str,
}

impl<'s> Said<'s> {
    fn of(options: &'s WordsOptions) -> Self {
        Self { by: access::actor(options.by.as_ref()), text: &options.note }
    }

    fn words(&self) -> Words<'_> {
        Words { by: &self.by, text: self.text }
    }
}

pub(super) fn note(asked: &QuarantineNoteOptions) -> Result<u8, Trouble> {
    let path = &asked.place.ledger;
    let (entries, _) = hands(path, &asked.signing)?;
    let options = Options::new().files(asked.files.files());
    let said = Said::of(&asked.words);
    let id = Ledger::note_at(path, &entries, &options, &said.words()).map_err(|e| of(&e))?;
    tell(&format!("written down in quarantine {id}"));
    Ok(0)
}

pub(super) fn halt(asked: &QuarantineHaltOptions) -> Result<u8, Trouble> {
    let path = &asked.place.ledger;
    let ledger = ledger::open(path, &asked.signing, asked.files.files())?;
    let said = Said::of(&asked.words);
    let id = ledger.halt_by(&said.words()).map_err(|error| of_append(&error))?;
    ledger::close(&ledger);
    tell(&format!("quarantined ({id}): no event is taken until that is resolved"));
    Ok(0)
}

pub(crate) fn scrub(asked: &ScrubOptions) -> Result<u8, Trouble> {
    let path = &asked.place.ledger;
    let ledger = ledger::open(path, &asked.signing, asked.files.files().scrub(None))?;
    let scrubbed = ledger.scrub();
    ledger::close(&ledger);
    let done = scrubbed.map_err(|error| of_append(&error))?;
    let read = format!(
        "{} in {} verified",
        out::entries(done.entries),
        out::plural(done.segments, "segment")
    );
    if let Some(id) = done.quarantine {
        tell(&read);
        let cases = quarantine::read(path)?;
        let found = cases.iter().find(|case| case.id == id).and_then(Case::discontinuity);
        let found = found.map_or_else(|| "something is wrong".to_owned(), |f| f.to_string());
        let next = "sigchain quarantine show LEDGER says what was found, and its help what to do";
        return Err(Trouble::of_ledger(QUARANTINED, found, "a ledger that is as it was", next)
            .coded("LEDGER_QUARANTINED"));
    }
    if done.unreadable > 0 {
        let what =
            format!("the disk does not give all of {}", out::plural(done.unreadable, "segment"));
        let next = "copy what can be read, and see to the disk: sigchain doctor LEDGER";
        return Err(Trouble::of_ledger(NO, what, "files that can be read", next).coded("IO_ERROR"));
    }
    tell(&format!("{read}: nothing is wrong"));
    Ok(0)
}

pub(super) fn reconcile(asked: &ReconcileOptions) -> Result<u8, Trouble> {
    let path = &asked.place.ledger;
    let (entries, checkpoints) = hands(path, &asked.signing)?;
    let held = held::notes(&asked.checkpoints)?;
    let options = Options::new().files(asked.files.files());
    let said = Said::of(&asked.words);
    let signers = match checkpoints {
        Some(checkpoints) => Signers::new(entries, checkpoints),
        None => Signers::of_entries(entries),
    };
    let from = asked.from.as_deref();
    let resolved = Ledger::reconcile_at(path, signers, options, from, (&said.words(), &held))
        .map_err(|error| of(&error))?;
    tell(&format!(
        "reconciled by entry {}: the chain goes on, and says what was (quarantine {})",
        resolved.sequence, resolved.quarantine
    ));
    Ok(0)
}

pub(super) fn dismiss(asked: &DismissOptions) -> Result<u8, Trouble> {
    let path = &asked.place.ledger;
    let (entries, checkpoints) = hands(path, &asked.signing)?;
    let Some(checkpoints) = checkpoints else {
        let what = "there is no key for checkpoints at hand";
        let next =
            "bring the key files of this ledger into $SIGCHAIN_HOME/keys, or name the agent's keys";
        return Err(Trouble::unreadable(what, "the keys that sign entries and checkpoints", next));
    };
    let signing = Signing::open(&asked.signing)?;
    let operator = signing.in_file(&asked.operator_key)?;
    let name = keys::enrolled(&ledger::salvaged(path)?).name;
    let genesis = Genesis::new(&name, entries).checkpoints(checkpoints).operator(operator.public());
    let options = Options::new().files(asked.files.files());
    let said = Said::of(&asked.words);
    let resolved =
        Ledger::dismiss_at(path, &asked.successor, (genesis, operator), options, &said.words())
            .map_err(|error| of(&error))?;
    let place = out::safe(&asked.successor.to_string_lossy());
    tell(&format!(
        "dismissed: the chain ends with {} that can be proved, and goes on in \"{place}\" as {}",
        out::entries(resolved.sequence),
        resolved.chain_id
    ));
    tell("record from now on there, and keep both: together they are one history");
    Ok(0)
}

/// Who signs entries, and checkpoints if that key is at hand, of a ledger whose files may be damaged.
fn hands(path: &Path, by: &SignerOptions) -> Result<(Hand, Option<Hand>), Trouble> {
    let directory = ledger::salvaged(path)?;
    let enrolled = keys::enrolled(&directory);
    let signing = Signing::of(by, &enrolled)?;
    let last = directory.writing().map(|writing| writing.key);
    let entries = keys::load(&enrolled, Role::Entry, last, &signing)?;
    Ok((entries, keys::checkpoints_of(&enrolled, &signing)?))
}

/// Who signs what is found of a ledger.
pub(crate) fn finder(path: &Path, by: &SignerOptions) -> Result<Hand, Trouble> {
    hands(path, by).map(|(entries, _)| entries)
}

/// Why it could not be decided so.
fn of(error: &ResolveError) -> Trouble {
    let exit = match error.code {
        "NOT_QUARANTINED" | "QUARANTINE_STATE" | "QUARANTINE_LOG" => NO,
        "APPROVAL" | "FIELD" => REFUSED,
        "LEDGER_BUSY" => BUSY,
        code if code.starts_with("FS_") || code == "IO_ERROR" => UNREADABLE,
        _ => QUARANTINED,
    };
    let expected = "a decision that can be carried out";
    Trouble::of_ledger(exit, format!("{}: {}", error.code, error.what), expected, error.advice)
        .coded(error.code)
}
