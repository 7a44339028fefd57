//! `sigchain init`: the keys and the directory of a new chain.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sigchain::disk;
use sigchain::error::OpenError;
use sigchain::key::PublicKey;
use sigchain::keyfile::Keys;
use sigchain::ledger::{Genesis, Ledger, Options};
use sigchain::limit;
use sigchain::signer::Signer as _;
use sigchain::text;

use crate::args::{InitOptions, SignerOptions};
use crate::held;
use crate::ledger::{close, keys, of_io, of_open, tell};
use crate::out;
use crate::signing::{Hand, Signing};
use crate::trouble::Trouble;

pub(crate) fn run(asked: &InitOptions) -> Result<u8, Trouble> {
    let path = &asked.place.ledger;
    if !limit::is_chain_name(&asked.name) {
        let what = format!("\"{}\" is no name of a chain", asked.name);
        return Err(Trouble::usage(what, "1 to 64 of a-z 0-9 . / -, such as example.org/agents"));
    }
    // Before keys are made that nobody needs; the ledger looks again when it is created.
    if is_taken(path).map_err(|error| of_io(path, &error))? {
        return Err(taken(path));
    }
    let operators = operators(&asked.operators)?;
    let [entries, checkpoints] = hands(&asked.signing)?;
    let (id, checkpoint_id) = (entries.id(), checkpoints.id());
    let made = store(&[&entries, &checkpoints])?;
    let mut genesis = Genesis::new(&asked.name, entries).checkpoints(checkpoints);
    for operator in &operators {
        genesis = genesis.operator(operator);
    }
    let options = Options::new().files(asked.files.files());
    let ledger = match Ledger::create_at(path, genesis, options) {
        Ok(ledger) => ledger,
        Err(OpenError::Io(error)) if disk::code_of(&error) == "FS_EXISTS" => {
            return Err(remove(&made, taken(path)));
        }
        // Of what another one makes there these are not the keys.
        Err(OpenError::Io(error)) if disk::code_of(&error) == "LEDGER_BUSY" => {
            return Err(remove(&made, of_open(path, &OpenError::Io(error))));
        }
        // Something of the chain is there, or all of it, or nobody can look: then its keys must stay.
        Err(error) if is_taken(path).unwrap_or(true) => {
            tell(&format!(
                "the chain may be there all the same; see sigchain status \"{}\"",
                shown(path)
            ));
            tell(&format!("its keys were kept: entries {id}, checkpoints {checkpoint_id}:"));
            list(&made);
            return Err(of_open(path, &error));
        }
        Err(error) => return Err(remove(&made, of_open(path, &error))),
    };
    let (chain, origin) = (ledger.chain_id(), ledger.origin());
    close(&ledger);
    tell(&format!("made chain {origin} in \"{}\"", shown(path)));
    tell(&format!("its keys: entries {id}, checkpoints {checkpoint_id}"));
    match made.len() {
        0 => {}
        1 => tell("back up the one that is in a file:"),
        _ => tell("back up both:"),
    }
    list(&made);
    if operators.is_empty() {
        tell(NO_OPERATOR);
    }
    tell("keep this line elsewhere, where nobody who can write here can: it is what verify takes");
    out::print(&format!("--chain-id {chain} --key {id}\n"))?;
    Ok(0)
}

const NO_OPERATOR: &str = "\
AT RISK: there is no operator. Whoever steals an entry key can sign in its name, and nobody can ever revoke it or replace a key
that is lost: the chain then ends. An operator's key is made once and kept offline, and cannot be added later:
  sigchain key new --role operator -o operator
  sigchain init LEDGER --name NAME --operator operator.pub";

/// Who signs entries, and who checkpoints: as many as were named, in this order, and keys that are made here for the rest.
fn hands(options: &SignerOptions) -> Result<[Hand; 2], Trouble> {
    let signing = Signing::open(options)?;
    let mut named: Vec<Hand> = signing.named().collect();
    if signing.is_any() {
        let Some(hand) = signing.first()?.filter(|_| named.is_empty()) else {
            let expected = "the agent's keys by name: --signer agent:SHA256:...";
            return Err(Trouble::usage("agent: which does not say which key", expected));
        };
        named.push(hand);
    }
    if named.len() > 2 {
        let what = format!("--signer was given {} times", named.len());
        return Err(Trouble::usage(what, "at most two: for entries, and for checkpoints"));
    }
    let mut next = named.into_iter();
    let mut one = || next.next().map_or_else(|| keys::generate().map(Hand::File), Ok);
    Ok([one()?, one()?])
}

/// Writes those keys that were made here. Gives their files.
fn store(hands: &[&Hand]) -> Result<Vec<PathBuf>, Trouble> {
    let mut made = Vec::new();
    for hand in hands {
        let Hand::File(key) = hand else { continue };
        match Keys::in_home().and_then(|store| store.store(key, None)) {
            Ok(path) => made.push(path),
            Err(error) => return Err(remove(&made, keys::of_file(&error))),
        }
    }
    Ok(made)
}

fn list(paths: &[PathBuf]) {
    for path in paths {
        tell(&format!("  {}", shown(path)));
    }
}

/// Whether something is there that a chain would have to share its place with. What an attempt left that was broken off is nothing.
fn is_taken(path: &Path) -> io::Result<bool> {
    let left = ["durable", "reserve", "segment.next"];
    let counts = |name: &OsStr| left.iter().all(|left| name != *left);
    match fs::read_dir(path) {
        Ok(names) => {
            for name in names {
                if counts(&name?.file_name()) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(path.symlink_metadata().is_ok()),
            io::ErrorKind::NotADirectory => Ok(true),
            _ => Err(error),
        },
    }
}

fn taken(path: &Path) -> Trouble {
    let what = format!("FS_EXISTS: \"{}\" is there already", path.display());
    Trouble::usage(what, "a directory that is empty or not there: nothing is overwritten")
        .coded("FS_EXISTS")
}

fn operators(paths: &[PathBuf]) -> Result<Vec<PublicKey>, Trouble> {
    let read = |path: &PathBuf| {
        let key = held::key(path.as_os_str())
            .map_err(|trouble| if path.exists() { trouble } else { not_made(path) })?;
        key.public.ok_or_else(|| {
            let what = format!("\"{}\" is a key id", path.display());
            Trouble::usage(what, "the public key itself: a PEM file")
        })
    };
    paths.iter().map(read).collect()
}

/// There is no such operator's key yet.
fn not_made(path: &Path) -> Trouble {
    let (what, path) = (format!("\"{}\" is not there", path.display()), shown(path));
    let path = path.strip_suffix(".pub").unwrap_or(&path);
    let next = format!(
        "make one, and keep it offline: sigchain key new --role operator -o \"{path}\"; then --operator \"{path}.pub\""
    );
    let expected = "the public half of an operator's key";
    Trouble::unreadable(what, expected, &next).coded("FS_MISSING")
}

/// Takes back the keys of a chain that was not made: they are of no use to anybody.
fn remove(made: &[PathBuf], trouble: Trouble) -> Trouble {
    for path in made {
        let _ = fs::remove_file(path);
    }
    trouble
}

fn shown(path: &Path) -> String {
    text::printable(&path.to_string_lossy())
}
