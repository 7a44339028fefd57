//! Arguments of the commands that take something out of a record: export, checkpoint, prove, sample.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sigchain::ledger::Files;
use sigchain::point::Point;
use sigchain::select::Filter;

use crate::args::history::PlaceAndPoint;
use crate::args::ledger::OfFiles;
use crate::args::select::Selection;
use crate::args::signer::SignerOptions;
use crate::args::{Place, is_stdin, parse};
use crate::trouble::Trouble;

/// Whether it is recorded who takes something out, and why.
#[derive(Args, Debug)]
#[command(next_help_heading = "Who takes it out, and why")]
pub(crate) struct RecordOptions {
    /// Record in the ledger what is taken out or verified, by whom, and for this PURPOSE; if that cannot be recorded nothing
    /// is taken out. A ledger can demand it
    #[arg(long = "record", value_name = "PURPOSE")]
    pub(crate) purpose: Option<String>,
    /// Who that is; human:USER, by your user name, unless you say otherwise
    #[arg(long = "by", value_name = "ACTOR")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    of_files: OfFiles,
}

impl RecordOptions {
    /// How the ledger's files are to be opened.
    pub(crate) fn files(&self) -> Files {
        self.of_files.files()
    }

    /// What cannot be asked for together, or says nothing.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        match (&self.purpose, &self.by) {
            (None, Some(_)) => Err(Trouble::usage("--by without --record", "--record PURPOSE")),
            (Some(purpose), _) if purpose.trim().is_empty() => {
                let what = "--record with an empty PURPOSE";
                Err(Trouble::usage(what, "what it is taken out for, such as \"audit 2026\""))
            }
            _ => Ok(()),
        }
    }
}

/// All of it, or some of it, as one file that proves itself
///
/// Writes the entries of LEDGER and verifies all of it on the way; the signatures below what this machine has anchored are
/// taken on the word of that. What a selection leaves out, and nothing else, is a gap
/// with the hashes that stand for it, so that roots and checkpoints are those of the whole; the ledger's own entries are always
/// in it, since keys hang on them. Takes no lock: it can run while another process writes. FILE appears whole or not at
/// all, and is never put in the place of another.
#[derive(Args, Debug)]
#[command(after_help = EXPORT)]
pub(crate) struct ExportOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where to
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    /// The chains that LEDGER goes on from as well, each in a file of its own and as far as it belongs to the history: FILE is then a
    /// folder, which must not exist
    #[arg(long = "with-predecessors")]
    pub(crate) line: bool,
    /// A chain file, JSON lines, or a table (CSV) with a row for each entry that is selected, which proves nothing; by the
    /// ending of FILE unless you say otherwise
    #[arg(long, value_name = "FORM")]
    form: Option<FormName>,
    /// Leave out the payloads of this type, or one field of those that are committed field by field; with * for any part
    /// of the type. May be given several times. Where a payload is committed whole, all of it is left out
    #[arg(long, value_name = "TYPE[:FIELD]", value_parser = parse::withhold)]
    pub(crate) withhold: Vec<Withhold>,
    /// End it with a checkpoint by the chain's checkpoint key, from $SIGCHAIN_HOME/keys; after gaps, with a seal too.
    /// Without it nobody says that the end of the file is the end of what there was
    #[arg(long)]
    pub(crate) sign: bool,
    /// A checkpoint that somebody holds: LEDGER is compared with it, and gaps end at its size, so that the file can be
    /// verified against it. May be given several times
    #[arg(long = "checkpoint", value_name = "NOTE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) checkpoints: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) record: RecordOptions,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

const EXPORT: &str = "\
Exit codes:
  0  written
  1  the ledger is faulty, or ends before what this machine has anchored of it, or nothing was selected: nothing was written
  2  the call makes no sense, or FILE is there already
  4  unreadable: the ledger or the key; or FILE cannot be written
  5  the ledger demands --record (ACCESS_POLICY), or refused the record: nothing was written
  6  uncertain whether it is recorded: nothing was written
  7  to be recorded, and another writer holds the ledger: nothing was written";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormName {
    Sigchain,
    Jsonl,
    Csv,
}

impl FormName {
    /// By the ending of a name; a chain file if it says nothing.
    fn of(path: &Path) -> Self {
        let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("jsonl") => Self::Jsonl,
            Some("csv") => Self::Csv,
            _ => Self::Sigchain,
        }
    }

    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sigchain => "sigchain",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// Whose payloads are left out.
#[derive(Clone, Debug)]
pub(crate) struct Withhold {
    /// As it was given.
    pub(crate) text: String,
    /// The entries.
    pub(crate) filter: Filter,
    /// One field of them.
    pub(crate) field: Option<String>,
}

impl ExportOptions {
    pub(crate) fn form(&self) -> FormName {
        self.form.unwrap_or_else(|| FormName::of(&self.output))
    }

    /// What cannot be asked for together.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        self.record.check()?;
        if self.sign && self.form() == FormName::Csv {
            return Err(Trouble::usage("--sign with a table", "a form that can hold a signature"));
        }
        if self.line && (self.form() == FormName::Csv || !self.selection.described().is_empty()) {
            let what = "--with-predecessors with a table or a selection";
            return Err(Trouble::usage(what, "all of each chain, as a chain file or JSON lines"));
        }
        Ok(())
    }
}

/// A signed statement about all of it, to be kept elsewhere
///
/// Prints a checkpoint, a C2SP signed note, over all durable entries of LEDGER, by the chain's checkpoint key from
/// $SIGCHAIN_HOME/keys. Verifies all of them first. Takes no lock. Keep the note where nobody who can write the ledger can:
/// `sigchain verify LEDGER --checkpoint NOTE` then shows whether anything before it was changed, or cut off.
#[derive(Args, Debug)]
#[command(after_help = CHECKPOINT)]
pub(crate) struct CheckpointOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Into FILE, which must not exist, instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

const CHECKPOINT: &str = "\
Exit codes:
  0  signed
  1  the ledger is faulty, or ends before what this machine has anchored of it: nothing was signed
  2  the call makes no sense, or FILE is there already
  4  unreadable: the ledger or the key; or FILE cannot be written";

/// Proof that an entry is in the chain, for whoever has only the checkpoint key
///
/// Prints a .tlog-proof (C2SP): the entry, its path in the tree, and the checkpoint that states the root. That is signed
/// now, by the chain's checkpoint key from $SIGCHAIN_HOME/keys, or it is the one that you hold (--checkpoint), or the one at the
/// end of LEDGER if that is a file. Verifies all of LEDGER first. `sigchain verify FILE.tlog-proof --key PEM` judges it.
#[derive(Args, Debug)]
#[command(after_help = PROVE, override_usage = "sigchain prove [OPTIONS] [LEDGER] POINT")]
pub(crate) struct ProveOptions {
    #[command(flatten)]
    words: PlaceAndPoint,
    /// Into FILE, which must not exist, instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: the entry is proved to be in its tree, and no key is needed
    #[arg(long, value_name = "NOTE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

const PROVE: &str = "\
Exit codes:
  0  proved
  1  LEDGER is faulty, or has no such entry, or the entry lies behind the checkpoint: there is no proof
  2  the call makes no sense, or FILE is there already
  4  unreadable: LEDGER, the key or the checkpoint; or FILE cannot be written";

impl ProveOptions {
    /// The ledger and the point.
    pub(crate) fn place(&self) -> Result<(PathBuf, Point), Trouble> {
        self.words.settle()
    }
}

/// Entries drawn by a seed, with a proof of each
///
/// Draws N of the entries that are selected so that whoever repeats it with the same chain, selection, seed and N draws the
/// same, with this program or another (spec/auditors.md): agree on the seed when nobody can choose the entries any more. Writes
/// into DIR a table of them (sample.csv), what was drawn from what (sample.json), one chain file with all of them
/// (sample.sigchain), and for each a proof that verifies alone (SEQ.tlog-proof). DIR appears whole or not at all.
#[derive(Args, Debug)]
#[command(after_help = SAMPLE)]
pub(crate) struct SampleOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many
    #[arg(short = 'n', long = "number", value_name = "N", value_parser = parse::sample, allow_negative_numbers = true)]
    pub(crate) number: u64,
    /// Any text; the same one draws the same entries
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: String,
    /// Where to: a directory, which must not exist
    #[arg(short, long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// A checkpoint that was kept elsewhere: drawn from the entries up to it, and proved by it, so that no key is needed
    #[arg(long, value_name = "NOTE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) checkpoint: Option<PathBuf>,
    /// One JSON object (spec/sigchain-sample.schema.json) instead of text: what is in sample.json
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) record: RecordOptions,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

const SAMPLE: &str = "\
Exit codes:
  0  drawn, and written
  1  LEDGER is faulty, or ends before what this machine has anchored of it, or nothing was selected: nothing was written
  2  the call makes no sense, N is larger than the population, or DIR is there already
  4  unreadable: LEDGER, the key or the checkpoint; or DIR cannot be written
  5  the ledger demands --record (ACCESS_POLICY), or refused the record: nothing was written
  6  uncertain whether it is recorded: nothing was written
  7  to be recorded, and another writer holds the ledger: nothing was written";

impl SampleOptions {
    /// What cannot be asked for together.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        self.record.check()?;
        if is_stdin(&self.place.ledger) {
            let what = "standard input cannot be read twice, as drawing from it takes";
            return Err(Trouble::usage(what, "a ledger or a file"));
        }
        Ok(())
    }
}
