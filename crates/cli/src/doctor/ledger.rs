//! The ledger itself: rights, who writes, keys and who has them, anchors.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::geteuid;
use sigchain::directory::Directory;
use sigchain::key::{PublicKey, Role};
use sigchain::keyfile::{self, Passphrase};
use sigchain::ledger::{Ledger, Options};

use crate::doctor::Findings;
use crate::held;
use crate::key::custody::Custody;
use crate::ledger::keys::{self, Enrolled};
use crate::ledger::{lock, view};
use crate::out::{entries, grouped, plural};

/// Entries beyond the last anchor from which on it is worth a word: when a ledger that runs anchors by itself.
const MANY: u64 = 10_000;

pub(super) fn look(findings: &mut Findings, path: &Path) {
    let directory = match view(path) {
        Ok(directory) => directory,
        Err(trouble) => {
            findings.trouble("ledger", &trouble);
            return;
        }
    };
    let enrolled = keys::enrolled(&directory);
    let (name, chain) = (&enrolled.name, directory.chain_id());
    findings.ok("ledger", format!("{} of {name}, chain {chain}", entries(directory.entries())));
    halted(findings, path);
    rights(findings, path);
    writer(findings, path);
    let own = Custody::look();
    custody(findings, &enrolled, &own);
    operators(findings, &enrolled, &own);
    anchors(findings, &directory);
}

/// Whether it takes events at all.
fn halted(findings: &mut Findings, path: &Path) {
    // Of marks that cannot be read the anchors speak, which are beside them.
    if let Ok(Some((id, why))) = Ledger::quarantined_at(path, &Options::new()) {
        let what = format!("it takes no events: quarantined ({id}): {why}");
        findings.bad("quarantine", what, "sigchain quarantine show LEDGER says what was found");
    }
}

/// Whose the files are, and who can get at them.
fn rights(findings: &mut Findings, path: &Path) {
    let mut paths = vec![path.to_owned()];
    if let Ok(names) = fs::read_dir(path) {
        paths.extend(names.flatten().map(|name| name.path()));
    }
    for path in &paths {
        let Ok(about) = fs::symlink_metadata(path) else { continue };
        let (shown, mode) = (path.display(), about.permissions().mode() & 0o7777);
        let wanted = if about.is_dir() { 700 } else { 600 };
        if about.uid() != geteuid().as_raw() {
            let what = format!("FS_OWNER: \"{shown}\" belongs to user {}", about.uid());
            findings.bad("rights", what, "run as the user whose ledger it is");
            return;
        }
        if mode & 0o077 != 0 {
            let what = format!("FS_PERMISSION: \"{shown}\" has mode {mode:04o}");
            findings.bad("rights", what, format!("close it to others: chmod {wanted} '{shown}'"));
            return;
        }
    }
    let files = paths.len().saturating_sub(1);
    findings.ok("rights", format!("{files} files, open to this user alone"));
}

fn writer(findings: &mut Findings, path: &Path) {
    match lock::holder(path) {
        lock::Holder::Nobody => findings.ok("writer", "nobody holds the ledger"),
        lock::Holder::Process(0) => {
            findings.ok("writer", "a process that is not seen from here holds the ledger");
        }
        lock::Holder::Process(id) => {
            findings.ok("writer", format!("process {id} holds the ledger"));
        }
        lock::Holder::Unknown => findings.note(
            "writer",
            "this system does not say who holds the ledger",
            "an append that ends with exit code 7 says that somebody does",
        ),
    }
}

/// Whether this user can sign, and how well the keys are kept.
fn custody(findings: &mut Findings, enrolled: &Enrolled, custody: &Custody) {
    if let Some(what) = &custody.trouble {
        findings.bad("keys", what.clone(), "mend that: keys are not read from there");
        return;
    }
    for (role, name, loss) in [
        (Role::Entry, "entry key", "nothing can be recorded by this user"),
        (Role::Checkpoint, "checkpoint key", "nothing is sealed or anchored by this user"),
    ] {
        let active: Vec<_> = enrolled.active(role).collect();
        let found: Vec<_> = active.iter().map(|id| (id, custody.of(*id))).collect();
        let here: Vec<_> = found.iter().filter(|(_, place)| place.is_at_hand()).collect();
        if here.is_empty() {
            let count = plural(active.len().try_into().unwrap_or(u64::MAX), "active one");
            let what =
                format!("no {role} key of this chain is at hand ({count} elsewhere): {loss}");
            let next = "copy its file to $SIGCHAIN_HOME/keys, mode 600; or start its agent";
            findings.bad(name, what, next);
        }
        for (id, place) in here {
            let what = format!("{id}, {}", place.describe());
            match &place.file {
                Some(file) if file.is_open() => {
                    let path = file.path.display();
                    findings.bad(
                        name,
                        what,
                        format!("chmod 600 '{path}'; who could read it, has it"),
                    );
                }
                Some(file) if file.is_encrypted.is_none() => {
                    findings.bad(name, what, "see to its rights, and that it is a key");
                }
                Some(_) => findings.ok(name, format!("{what}; keep a copy of the file elsewhere")),
                None => findings.ok(name, what),
            }
        }
    }
}

/// Operators' keys have to exist, and not here.
fn operators(findings: &mut Findings, enrolled: &Enrolled, custody: &Custody) {
    if enrolled.operators.is_empty() {
        let what =
            "AT RISK: no operator. A stolen key cannot be revoked, and a lost one ends the chain";
        findings.note(
            "operator",
            what,
            "begin the next chain with one: sigchain key new --role operator -o FILE",
        );
        return;
    }
    keys::protect();
    for path in custody.files() {
        if public_of(&path).is_some_and(|key| enrolled.operators.contains(&key.operator_hash())) {
            let what = format!("an operator's key is on this machine: \"{}\"", path.display());
            let next =
                "take it offline: who steals the keys here gets the right to change them as well";
            findings.bad("operator", what, next);
            return;
        }
    }
    let is_operator =
        |key: &sigchain::agent::Identity| enrolled.operators.contains(&key.public.operator_hash());
    if custody.identities.iter().any(is_operator) {
        let what = "the agent of this session holds an operator's key";
        findings.bad("operator", what, "ssh-add -d FILE, and keep it offline");
        return;
    }
    let count = plural(enrolled.operators.len().try_into().unwrap_or(u64::MAX), "operator");
    findings.ok("operator", format!("{count}, and no key of theirs is seen here"));
}

/// The public half of the key in a file: of one under a passphrase, as far as it lies beside it.
fn public_of(path: &Path) -> Option<PublicKey> {
    if let Ok(key) = keyfile::read(path, Passphrase::None) {
        return Some(key.public().clone());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    PublicKey::from_pem(&fs::read_to_string(beside).ok()?).ok()
}

/// What this machine has anchored, and how far behind that is.
fn anchors(findings: &mut Findings, directory: &Directory) {
    let own = match held::own(&directory.chain_id()) {
        Ok(own) => own,
        Err(error) => {
            let what = format!("what this machine has anchored cannot be read: {error}");
            findings.bad("anchor", what, "mend that: a cut or a rollback would go unseen");
            return;
        }
    };
    // Behind what was anchored: somebody may be writing.
    let _ = directory.refresh();
    let size = directory.entries();
    let elsewhere = "keep checkpoints elsewhere too: sigchain checkpoint LEDGER";
    match own.map(|own| own.size()) {
        None => {
            let what = "nothing of this chain is anchored on this machine: a cut or a rollback would go unseen";
            findings.note("anchor", what, elsewhere);
        }
        Some(anchored) if anchored > size => {
            let what = format!(
                "LEDGER_BEHIND: {} here, and {} are anchored: the files were set back, or cut",
                entries(size),
                grouped(anchored)
            );
            findings.bad(
                "anchor",
                what,
                "change nothing; bring back the newest copy of the directory",
            );
        }
        Some(anchored) => {
            let beyond = size.saturating_sub(anchored);
            let what = format!(
                "{} anchored on this machine, {} beyond",
                entries(anchored),
                grouped(beyond)
            );
            if beyond > MANY {
                findings.note(
                    "anchor",
                    what,
                    "the writer anchors by itself: is its checkpoint key at hand?",
                );
            } else {
                findings.ok("anchor", what);
            }
        }
    }
}
