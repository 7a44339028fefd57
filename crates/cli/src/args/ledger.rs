//! Arguments of the commands about a ledger on files: init, append, status, forget.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sigchain::directory::Limits;
use sigchain::disk::Lenience;
use sigchain::ledger::Files;
use sigchain::mirror;

use crate::args::{Place, SignerOptions, parse};
use crate::ledger::Draft;
use crate::trouble::Trouble;

/// Where a ledger may be, and who else may hold it.
#[derive(Args, Debug)]
#[command(next_help_heading = "The ledger's files")]
pub(crate) struct OfFiles {
    /// Wait for another writer to let go; without it that is exit code 7 at once
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        hide_default_value = true,
        value_parser = parse::seconds,
        allow_negative_numbers = true
    )]
    wait: Duration,
    /// Put up with a file system in memory: a restart takes the chain with it
    #[arg(long)]
    allow_memory: bool,
    /// Put up with a file system of another machine, whose locks and syncs may not hold
    #[arg(long)]
    allow_network: bool,
}

impl OfFiles {
    pub(crate) fn files(&self) -> Files {
        let lenience = Lenience { memory: self.allow_memory, network: self.allow_network };
        Files::new().wait(self.wait).lenience(lenience)
    }

    /// The same, for what has to be recorded now: another writer is waited for so long at least.
    pub(crate) fn patient_files(&self, least: Duration) -> Files {
        self.files().wait(self.wait.max(least))
    }
}

/// A new chain, in a directory that is empty or not there
///
/// Makes its two keys, one for entries and one for checkpoints, in $SIGCHAIN_HOME/keys (by default
/// ~/.local/state/sigchain/keys). Says on standard error what it made; the one line on standard output is to be kept
/// elsewhere: it is what `sigchain verify` takes.
#[derive(Args, Debug)]
#[command(after_help = INIT)]
pub(crate) struct InitOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// What the chain is called, such as example.org/agents; its checkpoints bear it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// The public key (PEM) of an operator, who is kept offline and alone can revoke keys; up to three times. Without one a
    /// stolen key can never be revoked, and a lost one ends the chain
    #[arg(long = "operator", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) operators: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
}

const INIT: &str = "\
Exit codes:
  0  made
  2  the call makes no sense, or something is there already: nothing is overwritten
  4  unreadable: a key, $SIGCHAIN_HOME, or the place for the ledger
  5  refused, and nothing was made
  7  another one is at work there";

impl InitOptions {
    /// What cannot be asked for.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let operators = self.operators.len();
        if operators > 3 {
            let what = format!("--operator was given {operators} times");
            return Err(Trouble::usage(what, "at most three"));
        }
        Ok(())
    }
}

/// Record an event, or one for each line of standard input
///
/// Prints a receipt, which means: signed, linked and on disk. Without a receipt do not act. Keys are taken from
/// $SIGCHAIN_HOME/keys.
#[derive(Args, Debug)]
#[command(after_help = APPEND, override_usage = "\
sigchain append [LEDGER] --type TYPE --actor ACTOR [OPTIONS]
       sigchain append [LEDGER] --lines [OPTIONS]")]
pub(crate) struct AppendOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// One event for each line: a JSON object with these keys: type actor episode cause correlation trace span event_id
    /// valid_from valid_to payload media_type ref. All but type and payload may be missing; the flags above say what then
    /// holds. One line of JSON comes out for each, in order, as it becomes durable. SIGTERM and the end of the input
    /// end it when all that was read is told. For programs: spec/lines.md
    #[arg(long)]
    pub(crate) lines: bool,
    /// The receipt, or why there is none, as one JSON object (spec/sigchain-outcome.schema.json)
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) draft: Draft,
    /// What comes with it; @FILE is a file's bytes, - those of standard input
    #[arg(long, value_name = "JSON")]
    pub(crate) payload: Option<OsString>,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    of_files: OfFiles,
    /// From so many bytes on a file of the ledger is sealed and the next one begun; 67108864 unless you say otherwise
    #[arg(long, value_name = "N", value_parser = parse::bytes, allow_negative_numbers = true, help_heading = "The ledger's files")]
    segment_bytes: Option<u64>,
    /// Keep a live log of all entries in DIR, one JSON object a line, for tail -F, grep and jq; made if it is not there. The
    /// ledger remembers none: an append without it leaves the mirror as it is, and the next with it catches up.
    /// Nothing waits for it but the end of this command, for a minute at most; what goes wrong with it is told and is
    /// no failure
    #[arg(long, value_name = "DIR", env = "SIGCHAIN_MIRROR", hide_env_values = true,
        help_heading = "The ledger's files", value_hint = clap::ValueHint::DirPath)]
    mirror: Option<PathBuf>,
}

const APPEND: &str = "\
Exit codes:
  0  recorded, all of it
  2  the call makes no sense
  4  unreadable: the ledger, a key, the payload
  5  something was refused: nothing of that is recorded, do not act
  6  uncertain: it may or may not be recorded; sigchain show LEDGER EVENT says which
  7  another writer holds the ledger
  8  the ledger is quarantined";

impl AppendOptions {
    /// How the files are to be written.
    pub(crate) fn files(&self) -> Files {
        let limits = Limits::default();
        let limits = Limits { bytes: self.segment_bytes.unwrap_or(limits.bytes), ..limits };
        let files = self.of_files.files().limits(limits);
        match &self.mirror {
            Some(mirror) => files.mirror(mirror, mirror::Options::new()),
            None => files,
        }
    }

    /// What cannot be asked for together, or is missing.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let (draft, has_payload) = (&self.draft, self.payload.is_some());
        if self.lines {
            let own = [
                ("--payload", has_payload),
                ("--event-id", draft.event_id.is_some()),
                ("--json", self.json),
            ];
            return match own.into_iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => Err(Trouble::usage(
                    format!("{flag} with --lines"),
                    "each line to say that for itself",
                )),
                None => Ok(()),
            };
        }
        if draft.event_type.is_none() || draft.actor.is_none() {
            let what = "no --type or no --actor";
            return Err(Trouble::usage(
                what,
                "both, such as --type tool.call --actor agent:planner",
            ));
        }
        if draft.media_type.is_some() && !has_payload {
            return Err(Trouble::usage("--media-type without --payload", "both"));
        }
        if draft.span.is_some() && draft.trace.is_none() {
            return Err(Trouble::usage("--span without --trace", "both"));
        }
        Ok(())
    }
}

/// This machine need no longer remember what was made at LEDGER
///
/// It remembers in $SIGCHAIN_HOME which chain was made in which directory, so that init does not begin another one where
/// one was lost (LEDGER_LOST). This forgets it: for when the chain that is gone is meant to be gone. What was anchored of it
/// stays, and nothing in LEDGER is touched.
#[derive(Args, Debug)]
#[command(after_help = FORGET)]
pub(crate) struct ForgetOptions {
    // By its name alone: what the environment names is in use.
    /// The directory in which the chain was
    #[arg(value_name = "LEDGER", value_hint = clap::ValueHint::DirPath)]
    pub(crate) ledger: PathBuf,
}

const FORGET: &str = "\
Exit codes:
  0  forgotten, or nothing was remembered
  2  the call makes no sense
  4  unreadable: $SIGCHAIN_HOME, or the path";

/// How it stands, and who wrote last
///
/// Chain, head, keys and who has them, last seal, what is anchored on this machine and how many entries are exposed beyond it,
/// who wrote last, files, bytes set aside. Reads what the files say and verifies nothing, so that it is quick however long the
/// chain is. Takes no lock.
#[derive(Args, Debug)]
#[command(after_help = STATUS)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Count open actions too: a .call or .request that no later entry of its family, such as a .result or .response, names as its
    /// cause. Reads all entries
    #[arg(long)]
    pub(crate) actions: bool,
    /// In the text form that Prometheus reads, for a textfile collector, instead of text for people
    #[arg(long, conflicts_with = "json")]
    pub(crate) metrics: bool,
    /// One JSON object (spec/sigchain-status.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

const STATUS: &str = "\
Exit codes:
  0  told
  2  the call makes no sense
  4  unreadable";
