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
use sigchain::text;

use crate::args::InitOptions;
use crate::held;
use crate::ledger::{close, keys, of_io, of_open, tell};
use crate::out;
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
    let (entries, checkpoints) = (keys::generate()?, keys::generate()?);
    let (id, checkpoint_id) = (entries.id(), checkpoints.id());
    let store = Keys::in_home().map_err(|error| keys::of_file(&error))?;
    let mut made = Vec::new();
    for key in [&entries, &checkpoints] {
        match store.store(key, None) {
            Ok(path) => made.push(path),
            Err(error) => return Err(remove(&made, keys::of_file(&error))),
        }
    }
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
            for key in &made {
                tell(&format!("  {}", shown(key)));
            }
            return Err(of_open(path, &error));
        }
        Err(error) => return Err(remove(&made, of_open(path, &error))),
    };
    let (chain, origin) = (ledger.chain_id(), ledger.origin());
    close(&ledger);
    tell(&format!("made chain {origin} in \"{}\"", shown(path)));
    tell(&format!("its keys: entries {id}, checkpoints {checkpoint_id}; back up both:"));
    for path in &made {
        tell(&format!("  {}", shown(path)));
    }
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
  openssl genpkey -algorithm ed25519 -out operator.pem && openssl pkey -in operator.pem -pubout -out operator.pub
  sigchain init LEDGER --name NAME --operator operator.pub";

/// Whether something is there that a chain would have to share its place with. What an attempt left that was broken off is nothing.
fn is_taken(path: &Path) -> io::Result<bool> {
    let counts = |name: &OsStr| name != "durable" && name != "segment.next";
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
}

fn operators(paths: &[PathBuf]) -> Result<Vec<PublicKey>, Trouble> {
    let read = |path: &PathBuf| {
        let key = held::key(path.as_os_str())?;
        key.public.ok_or_else(|| {
            let what = format!("\"{}\" is a key id", path.display());
            Trouble::usage(what, "the public key itself: a PEM file")
        })
    };
    paths.iter().map(read).collect()
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
