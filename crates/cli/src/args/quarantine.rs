//! Arguments of `sigchain quarantine`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use sigchain::id::EventId;

use crate::args::ledger::OfFiles;
use crate::args::signer::SignerOptions;
use crate::args::{Place, parse};

/// What was found to be wrong with a ledger, and how it goes on
///
/// A ledger in which something is wrong takes no more events (exit code 8); it can still be read, verified and exported. It stays so,
/// whoever opens it and whatever is done to its files, until somebody has resolved that.
#[derive(Args, Debug)]
#[command(after_help = RUNBOOK)]
pub(crate) struct QuarantineOptions {
    #[command(subcommand)]
    pub(crate) act: QuarantineAct,
}

const RUNBOOK: &str = "\
What to do (spec/runbook.md has it in full):
  1  Change nothing. Copy the directory of the ledger, and $SIGCHAIN_HOME, as they are.
  2  sigchain quarantine show LEDGER; sigchain verify LEDGER; sigchain doctor LEDGER. Write down what you find: quarantine note.
  3  Is there a copy, or an export, with the entries that are gone? Put the files back, or give it: quarantine reconcile --from.
  4  If there is none, and an operator agrees: quarantine dismiss begins another chain where this one can still be proved.
  5  Take up work again only when sigchain status LEDGER says so. Tell those who rely on the record what happened.
Practise it: sigchain quarantine drill -o FOLDER";

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineAct {
    List(QuarantineListOptions),
    Show(QuarantineShowOptions),
    Note(QuarantineNoteOptions),
    Halt(QuarantineHaltOptions),
    Reconcile(Box<ReconcileOptions>),
    Dismiss(Box<DismissOptions>),
    Drill(DrillOptions),
}

/// All quarantines of a ledger, one a line
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 listed, be there any or not; 4 it cannot be read.")]
pub(crate) struct QuarantineListOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// One JSON object (spec/sigchain-quarantine.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was found, by whom, what was set aside, and all notes
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 shown; 1 there is no such quarantine; 4 it cannot be read.")]
pub(crate) struct QuarantineShowOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Which one; the last one unless you say otherwise
    #[arg(value_name = "ID", value_parser = parse::event_id)]
    pub(crate) id: Option<EventId>,
    /// One JSON object (spec/sigchain-quarantine.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who decides, and in what words.
#[derive(Args, Debug)]
#[command(next_help_heading = "Who decides, and why")]
pub(crate) struct WordsOptions {
    /// Who that is; human:USER, by your user name, unless you say otherwise
    #[arg(long = "by", value_name = "ACTOR")]
    pub(crate) by: Option<String>,
    /// What you found out, or why you decide so; at most 4,096 bytes. It is signed, and kept for good
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: String,
}

/// Writes down what you found out, signed, in the log of the quarantine
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 written; 1 the ledger is not quarantined; 4 it cannot be read; 7 another writer holds it."
)]
pub(crate) struct QuarantineNoteOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) words: WordsOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

/// Quarantines a ledger by hand
///
/// For when you know something that the ledger does not: that its machine was broken into, that another copy of it with other entries
/// has turned up. The last entry says so, and appends are refused from then on.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 it is quarantined; 4 it cannot be read; 7 another writer holds it; 8 it is quarantined already."
)]
pub(crate) struct QuarantineHaltOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) words: WordsOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

/// The original bytes are back: verifies all of it against a checkpoint that was held, and goes on
///
/// Put the files back yourself, or give a copy of the directory or an export with --from: what is damaged or gone is taken from there,
/// if it is linked to what is here. What was there is kept. The ledger goes on only if all of it then verifies, and a checkpoint that
/// this machine has anchored, or that you give, vouches for it.
#[derive(Args, Debug)]
#[command(after_help = RESOLVED)]
pub(crate) struct ReconcileOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where the entries are that are damaged or gone here: the directory of a copy, or a chain file
    #[arg(long, value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub(crate) from: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere; may be given several times
    #[arg(long = "checkpoint", value_name = "NOTE", value_hint = ValueHint::FilePath)]
    pub(crate) checkpoints: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) words: WordsOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

/// The damage cannot be undone: ends the chain where it can be proved, and begins one that continues it
///
/// Takes the key of an operator of this chain. The ledger stays as it is, for good: it can be read, verified and exported. The one that
/// is made in --successor has the same name and keys, and its first entry says what it continues, and why.
#[derive(Args, Debug)]
#[command(after_help = RESOLVED)]
pub(crate) struct DismissOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The directory of the ledger that goes on: not there yet
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) successor: PathBuf,
    /// The operator's key file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) operator_key: PathBuf,
    #[command(flatten)]
    pub(crate) words: WordsOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

const RESOLVED: &str = "\
Exit codes:
  0  resolved: events can be recorded again
  1  the ledger is not quarantined, or it is not such as to be resolved so
  2  the call makes no sense
  4  something that is needed cannot be read or written
  5  refused: the key that was given may not decide this
  7  another writer holds it
  8  it stays quarantined: what is there does not verify, or nothing that was held vouches for it";

/// Verifies all of a ledger once more, and quarantines it if something is wrong
///
/// As the ledger itself does in the background while it is open, at once and as fast as it goes: every digest, link and commitment, and
/// the tree against the seals. Holds the ledger meanwhile. To judge it against what you held, and without consequences: sigchain verify.
#[derive(Args, Debug)]
#[command(after_help = SCRUB)]
pub(crate) struct ScrubOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) files: OfFiles,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

const SCRUB: &str = "\
Exit codes:
  0  nothing is wrong
  1  the disk does not give all of it: nothing is known of the rest
  2  the call makes no sense
  4  it cannot be opened
  7  another writer holds it: it scrubs itself
  8  something is wrong, and it is quarantined";

/// A ledger to practise on: damaged, with a copy that is not
///
/// Makes FOLDER with a ledger of its own, its keys, an operator's key and a good copy, damages the ledger, and says what to try. It has
/// nothing to do with your own ledgers: it has a $SIGCHAIN_HOME of its own. Remove FOLDER when you are done.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 made; 2 FOLDER is there already; 4 it cannot be written.")]
pub(crate) struct DrillOptions {
    /// Where to make it: a directory that is not there yet
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
}
