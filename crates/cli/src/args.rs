//! Arguments, and the help that explains them.

mod history;
mod ledger;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::{Arg, Parser};
use sigchain::digest::Digest;

use crate::args::history::{HELP_LOG, HELP_REPLAY, HELP_SHOW};
use crate::args::ledger::{
    HELP_APPEND, HELP_CHECKPOINT, HELP_EXPORT, HELP_FORGET, HELP_INIT, HELP_STATUS,
};
use crate::bench::Wanted;
use crate::ledger::{Append, Export, Init};
use crate::trouble::Trouble;

pub(crate) use crate::args::history::{LogOptions, ReplayOptions, ShowOptions};

const HELP: &str = "\
sigchain: a tamper-evident record of what software agents did

  sigchain init LEDGER --name NAME   a new chain, in a directory
  sigchain append LEDGER [OPTIONS]   record an event, or one for each line of standard input
  sigchain status LEDGER             how it stands, and who wrote last
  sigchain checkpoint LEDGER         a signed statement about all of it, to be kept elsewhere
  sigchain export LEDGER -o FILE     all of it as one file that proves itself
  sigchain forget LEDGER             a chain that is gone is meant to be: another can be made there

  sigchain verify FILE [OPTIONS]     is this what was signed, whole and in order?
  sigchain log FILE [OPTIONS]        one line for each entry
  sigchain replay FILE [OPTIONS]     what the entries up to a point come to
  sigchain show FILE POINT           all of one entry

  sigchain bench [FOLDER] [--json]   what this machine can do, and what a ledger does on it
  sigchain demo [--keep]             record a run, attack the record, see what is caught
  sigchain help [COMMAND]          more about one of them
  sigchain --version

FILE is a ledger too, by its directory; where none is named, LEDGER and FILE are $SIGCHAIN_LEDGER.

A verdict rests on something that you held before: a key, a chain id, a checkpoint. Without it a file can only be
shown to agree with itself, which anybody can arrange.

Exit codes: 0 done, or intact and tied to what you held; 1 the answer is no: faulty; 2 wrong call; 3 no fault but unvouched;
4 unreadable; 5 refused, nothing of it is recorded; 6 uncertain whether it is; 7 another writer holds the ledger.
";

const HELP_VERIFY: &str = "\
sigchain verify FILE [OPTIONS]

FILE is the directory of a ledger, a chain file (.sigchain), JSON lines (.jsonl), a proof (.tlog-proof) or a checkpoint; - is standard
input; $SIGCHAIN_LEDGER if none is named. A ledger is judged up to what is durable when it begins, whoever writes meanwhile.

What you held before (each may be given several times, except --chain-id):
  --key KEY            a key id (32 hex digits or 22 of base64url), a public key file (PEM) or a vkey (NAME+HEX+BASE64);
                       a proof or a checkpoint by itself needs the PEM or the vkey
  --checkpoint NOTE    a checkpoint that was kept elsewhere
  --chain-id ID        the digest of entry 0 (64 hex digits or 43 of base64url)

Comparing:
  --against OTHER      another file of the same chain: are there two signed entries with one sequence?
  --fork-proof OUT     write the proof of a fork to OUT, which must not exist

Other:
  --resume             take the signatures below your largest checkpoint on its word; the output says how many
  --allow-self-asserted   exit 0 if there is no fault and you gave nothing to tie the file to
  --json               one JSON object (spec/sigchain-report.schema.json) instead of text
  --threads N          as many as there are cores unless you say otherwise
  --unique             compare all event ids: no two entries may have the same. Takes about 35 bytes of memory for each
                       entry, 35 MB for a million; without it memory does not grow, and only approvals are compared

Exit codes:
  0  intact, and tied to something that you held
  1  faulty, or a fork
  2  the call makes no sense
  3  no fault, but you gave no anchor, or one is missing from the file, its gaps are not proven,
     or --against found a difference from which no fork can be proved
  4  unreadable: the file, a checkpoint, a key, or what this machine has anchored of a ledger
";

const HELP_DEMO: &str = "\
sigchain demo [--keep]

Records the run of an agent in a fresh temporary directory, keeps a checkpoint of it, then changes, cuts, swaps, forges and
rolls back copies of the record and shows what verification says to each. Needs no network and leaves nothing behind.

  --keep   leave the directory with the files, so that you can verify them yourself

Exit code 0 if each attack was caught as expected, else 1.
";

const HELP_BENCH: &str = "\
sigchain bench [FOLDER] [OPTIONS]

Measures what this machine can do by itself (sign on one core and on all, verify batches, write and sync) and, beside it in the
same run, what a ledger does, with the ratios. With FOLDER ledgers are on files, in a fresh directory in FOLDER that is removed again;
without it in memory. Keys are thrown away. Takes about half a minute.

  --json      one JSON object (spec/sigchain-bench.schema.json) instead of a table
  --dir DIR   without FOLDER: where the disk is measured; the directory for temporary files unless you say otherwise
  --long      with FOLDER: a million entries, and what an append costs behind them; some minutes, and 600 MB of disk;
              what ten million cost, reading and proofs too: cargo run --release --example long -- PATH
  --quick     a tenth of the time and one round: to see that it works, not to rely on

Exit code 0 if it was measured, whatever the figures.
";

const COMMANDS: &str = "init, append, status, checkpoint, export, forget, verify, log, replay, show, bench, demo or help";

pub(crate) enum Command {
    Append(Box<Append>),
    Bench(Wanted),
    Checkpoint(PathBuf),
    Demo { keep: bool },
    Export(Export),
    Forget(PathBuf),
    Help(&'static str),
    Init(Init),
    Log(Box<LogOptions>),
    Replay(Box<ReplayOptions>),
    Show(ShowOptions),
    Status { ledger: PathBuf, json: bool },
    Verify(Box<Options>),
    Version,
}

/// What `verify` was asked to do.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the call")]
pub(crate) struct Options {
    pub(crate) file: PathBuf,
    pub(crate) keys: Vec<OsString>,
    pub(crate) chain_id: Option<Digest>,
    pub(crate) checkpoints: Vec<PathBuf>,
    pub(crate) json: bool,
    pub(crate) allow_self_asserted: bool,
    pub(crate) resume: bool,
    pub(crate) threads: usize,
    pub(crate) unique: bool,
    pub(crate) against: Option<PathBuf>,
    pub(crate) fork_proof: Option<PathBuf>,
}

impl From<lexopt::Error> for Trouble {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error.to_string(), "one of the commands and options of the help")
    }
}

pub(crate) fn parse(mut parser: Parser) -> Result<Command, Trouble> {
    let Some(first) = parser.next()? else { return Ok(Command::Help(HELP)) };
    match first {
        Arg::Long("help") | Arg::Short('h') => Ok(Command::Help(HELP)),
        Arg::Long("version") | Arg::Short('V') => Ok(Command::Version),
        Arg::Value(command) => match command.to_str() {
            Some("append") => ledger::append(parser),
            Some("bench") => bench(parser),
            Some("checkpoint") => ledger::checkpoint(parser),
            Some("demo") => demo(parser),
            Some("export") => ledger::export(parser),
            Some("forget") => ledger::forget(parser),
            Some("help") => help(&mut parser),
            Some("init") => ledger::init(parser),
            Some("log") => history::log(parser),
            Some("replay") => history::replay(parser),
            Some("show") => history::show(parser),
            Some("status") => ledger::status(parser),
            Some("verify") => verify(parser),
            _ => Err(Trouble::usage(
                format!("there is no command \"{}\"", command.to_string_lossy()),
                COMMANDS,
            )),
        },
        other => Err(other.unexpected().into()),
    }
}

fn help(parser: &mut Parser) -> Result<Command, Trouble> {
    match parser.next()? {
        None => Ok(Command::Help(HELP)),
        Some(Arg::Value(topic)) => match topic.to_str() {
            Some("append") => Ok(Command::Help(HELP_APPEND)),
            Some("checkpoint") => Ok(Command::Help(HELP_CHECKPOINT)),
            Some("export") => Ok(Command::Help(HELP_EXPORT)),
            Some("forget") => Ok(Command::Help(HELP_FORGET)),
            Some("init") => Ok(Command::Help(HELP_INIT)),
            Some("status") => Ok(Command::Help(HELP_STATUS)),
            Some("verify") => Ok(Command::Help(HELP_VERIFY)),
            Some("bench") => Ok(Command::Help(HELP_BENCH)),
            Some("demo") => Ok(Command::Help(HELP_DEMO)),
            Some("log") => Ok(Command::Help(HELP_LOG)),
            Some("replay") => Ok(Command::Help(HELP_REPLAY)),
            Some("show") => Ok(Command::Help(HELP_SHOW)),
            _ => Err(Trouble::usage(
                format!("there is no help about \"{}\"", topic.to_string_lossy()),
                COMMANDS,
            )),
        },
        Some(other) => Err(other.unexpected().into()),
    }
}

fn bench(mut parser: Parser) -> Result<Command, Trouble> {
    let mut wanted = Wanted::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("dir") => once(&mut wanted.folder, parser.value()?, "--dir")?,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_BENCH)),
            Arg::Long("json") => wanted.json = true,
            Arg::Long("long") => wanted.long = true,
            Arg::Long("quick") => wanted.quick = true,
            Arg::Value(value) => once(&mut wanted.files, value, "FOLDER")?,
            other => return Err(other.unexpected().into()),
        }
    }
    if wanted.folder.is_some() && wanted.files.is_some() {
        return Err(Trouble::usage("--dir with FOLDER", "one of the two"));
    }
    if wanted.long && (wanted.files.is_none() || wanted.quick) {
        return Err(Trouble::usage("--long without FOLDER, or with --quick", "--long with FOLDER"));
    }
    Ok(Command::Bench(wanted))
}

fn demo(mut parser: Parser) -> Result<Command, Trouble> {
    let mut keep = false;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("keep") => keep = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_DEMO)),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Demo { keep })
}

fn verify(mut parser: Parser) -> Result<Command, Trouble> {
    let mut options = Options::default();
    let mut file = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("against") => once(&mut options.against, parser.value()?, "--against")?,
            Arg::Long("allow-self-asserted") => options.allow_self_asserted = true,
            Arg::Long("chain-id") => options.chain_id = Some(chain_id(&options, &parser.value()?)?),
            Arg::Long("checkpoint") => options.checkpoints.push(parser.value()?.into()),
            Arg::Long("fork-proof") => {
                once(&mut options.fork_proof, parser.value()?, "--fork-proof")?;
            }
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_VERIFY)),
            Arg::Long("json") => options.json = true,
            Arg::Long("key") => options.keys.push(parser.value()?),
            Arg::Long("resume") => options.resume = true,
            Arg::Long("threads") => options.threads = threads(&parser.value()?)?,
            Arg::Long("unique") => options.unique = true,
            Arg::Value(value) => once(&mut file, value, "FILE")?,
            other => return Err(other.unexpected().into()),
        }
    }
    options.file = file_or_ledger(file, "sigchain verify FILE, with - for standard input")?;
    check(&options)?;
    Ok(Command::Verify(Box::new(options)))
}

/// What was named, or the ledger that the environment names.
fn file_or_ledger(named: Option<PathBuf>, call: &str) -> Result<PathBuf, Trouble> {
    let named = named.or_else(ledger_of_environment);
    let expected = format!("{call}; or $SIGCHAIN_LEDGER set");
    named.ok_or_else(|| Trouble::usage("neither a file nor a ledger was named", &expected))
}

fn ledger_of_environment() -> Option<PathBuf> {
    path_of_environment("SIGCHAIN_LEDGER")
}

fn path_of_environment(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn once(slot: &mut Option<PathBuf>, value: OsString, name: &str) -> Result<(), Trouble> {
    if slot.is_some() {
        return Err(Trouble::usage(format!("{name} was given twice"), "one"));
    }
    *slot = Some(value.into());
    Ok(())
}

fn chain_id(options: &Options, value: &OsString) -> Result<Digest, Trouble> {
    if options.chain_id.is_some() {
        return Err(Trouble::usage("--chain-id was given twice", "one"));
    }
    let text = value.to_string_lossy();
    Digest::parse(&text).ok_or_else(|| {
        let what = format!("\"{text}\" is no chain id");
        Trouble::usage(what, "64 hexadecimal digits, or 43 characters of base64url")
    })
}

fn threads(value: &OsString) -> Result<usize, Trouble> {
    let parsed =
        value.to_str().and_then(|text| text.parse().ok()).filter(|n| (1..=1024).contains(n));
    parsed.ok_or_else(|| {
        let what = format!("\"{}\" is no number of threads", value.to_string_lossy());
        Trouble::usage(what, "a number from 1 to 1024")
    })
}

/// Whether `path` names standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What cannot be asked for together.
fn check(options: &Options) -> Result<(), Trouble> {
    let from_stdin = is_stdin(&options.file);
    if options.resume && options.checkpoints.is_empty() {
        let what = "--resume without --checkpoint";
        return Err(Trouble::usage(what, "a checkpoint on whose word signatures are taken"));
    }
    if options.resume && from_stdin {
        let what = "--resume with standard input";
        return Err(Trouble::usage(
            what,
            "a file, which can be read again if something does not fit",
        ));
    }
    let other_from_stdin = options.against.as_deref().is_some_and(is_stdin);
    if other_from_stdin || (options.against.is_some() && from_stdin) {
        let what = "--against with standard input";
        return Err(Trouble::usage(what, "two files, since both are read more than once"));
    }
    let Some(out) = &options.fork_proof else { return Ok(()) };
    if options.against.is_none() {
        return Err(Trouble::usage("--fork-proof without --against", "--against OTHER"));
    }
    if out.symlink_metadata().is_ok() {
        let what = format!("\"{}\" exists already", out.display());
        return Err(Trouble::usage(
            what,
            "a name for the proof that is not taken: nothing is overwritten",
        ));
    }
    Ok(())
}
