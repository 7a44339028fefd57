//! Arguments, and the help that explains them: one declaration of each, from which completions and manual pages come too.
#![expect(
    clippy::doc_markdown,
    reason = "comments on arguments are the help, printed as they stand"
)]

mod act;
mod diff;
mod episode;
mod extract;
#[cfg(test)]
mod flags;
mod history;
mod key;
mod ledger;
mod operate;
mod parse;
mod quarantine;
mod retain;
mod select;
mod signer;
mod verify;

use std::env;
use std::error::Error as _;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{
    ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint,
};

use crate::args::parse::Unfit;
use crate::bench::Wanted;
use crate::exit;
use crate::look::LookOptions;
use crate::trouble::Trouble;

pub(crate) use crate::args::act::{
    ActionOptions, Doing, ReviewAct, ReviewDecideOptions, ReviewExpireOptions, ReviewListOptions,
    ReviewOptions, ReviewRequestOptions,
};
pub(crate) use crate::args::diff::DiffOptions;
pub(crate) use crate::args::episode::EpisodeOptions;
pub(crate) use crate::args::extract::{
    CheckpointOptions, ExportOptions, FormName, ProveOptions, RecordOptions, SampleOptions,
    Withhold,
};
pub(crate) use crate::args::history::{LogOptions, ReplayOptions, ShowOptions};
pub(crate) use crate::args::key::{
    ChangeOptions, KeyApproveOptions, KeyCommand, KeyEnrollOptions, KeyNewOptions, KeyOptions,
    KeyRevokeOptions, KeyRotateOptions, KeyShowOptions, OfChange, RoleName,
};
pub(crate) use crate::args::ledger::{
    AppendOptions, ForgetOptions, InitOptions, OfFiles, StatusOptions,
};
pub(crate) use crate::args::operate::{
    CompletionsOptions, DoctorOptions, ExplainOptions, ManOptions,
};
pub(crate) use crate::args::quarantine::{
    DismissOptions, QuarantineAct, QuarantineHaltOptions, QuarantineNoteOptions, QuarantineOptions,
    ReconcileOptions, ScrubOptions, WordsOptions,
};
pub(crate) use crate::args::retain::{ArchiveOptions, HoldOptions, RestoreOptions};
pub(crate) use crate::args::select::Selection;
pub(crate) use crate::args::signer::{SignerName, SignerOptions};
pub(crate) use crate::args::verify::{HeldOptions, VerifyOptions};

/// A tamper-evident record of what software agents did
#[derive(Debug, Parser)]
#[command(
    name = "sigchain",
    version = concat!(env!("CARGO_PKG_VERSION"), " (format version 1)"),
    max_term_width = 120,
    disable_help_flag = true,
    disable_help_subcommand = true,
    after_help = after()
)]
struct Cli {
    /// This
    #[arg(short, long, global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,
    #[command(flatten)]
    look: LookOptions,
    #[command(subcommand)]
    word: Option<Word>,
}

#[derive(Debug, Subcommand)]
enum Word {
    #[command(flatten)]
    Command(Command),
    /// More about one of them
    Help {
        /// Its words, such as verify or key new
        #[arg(value_name = "COMMAND")]
        topic: Vec<String>,
    },
}

fn after() -> String {
    format!("{AFTER}\n\n{}", exit::sentence())
}

const AFTER: &str = "\
LEDGER is the directory of a ledger; where it is only read, a chain file or JSON lines as well. \
$SIGCHAIN_LEDGER names it where the command line does not.

A verdict rests on something that you held before: a key, a chain id, a checkpoint. Without it a file can only be shown to agree with \
itself, which anybody can arrange. sigchain explain CODE says what any code in a message means, and what to do.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitOptions),
    Append(Box<AppendOptions>),
    Action(Box<ActionOptions>),
    Review(ReviewOptions),
    Status(StatusOptions),
    Archive(ArchiveOptions),
    Hold(Box<HoldOptions>),
    Restore(RestoreOptions),
    Checkpoint(CheckpointOptions),
    Export(Box<ExportOptions>),
    Prove(ProveOptions),
    Sample(Box<SampleOptions>),
    Forget(ForgetOptions),
    Verify(Box<VerifyOptions>),
    Log(Box<LogOptions>),
    Replay(Box<ReplayOptions>),
    Diff(DiffOptions),
    Episode(EpisodeOptions),
    Show(ShowOptions),
    Key(Box<KeyOptions>),
    Quarantine(QuarantineOptions),
    Scrub(ScrubOptions),
    Doctor(DoctorOptions),
    Explain(ExplainOptions),
    Bench(Wanted),
    Demo(DemoOptions),
    Completions(CompletionsOptions),
    Man(ManOptions),
}

/// The ledger or file that a command is about.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The ledger or file; - is standard input where it is only read
    #[arg(value_name = "LEDGER", env = "SIGCHAIN_LEDGER", hide_env_values = true, value_hint = ValueHint::AnyPath)]
    pub(crate) ledger: PathBuf,
}

/// Records an agent's run, attacks copies of the record, and shows what is caught
///
/// In a fresh temporary directory: keeps a checkpoint of the run, then changes, cuts, swaps, forges and rolls back copies of the
/// record and shows what verification says to each. Needs no network and leaves nothing behind.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 0 if each attack was caught as expected, else 1.")]
pub(crate) struct DemoOptions {
    /// Leave the directory with the files, so that you can verify them yourself
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What was asked for; text where only that is to be said.
pub(crate) enum Asked {
    Command(Command, LookOptions),
    Text(String),
}

pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Asked, Trouble> {
    let parsed = command().try_get_matches_from(words);
    match parsed.and_then(|found| Cli::from_arg_matches(&found)) {
        Ok(Cli { word: None, .. }) => help(&[]),
        Ok(Cli { word: Some(Word::Help { topic }), .. }) => help(&topic),
        Ok(Cli { word: Some(Word::Command(command)), look, .. }) => {
            command.check().map(|command| Asked::Command(command, look))
        }
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Asked::Text(format!("{}\n", error.render().to_string().trim_end())))
            }
            _ => Err(trouble(&error)),
        },
    }
}

/// The declarations, as completions and manual pages are made from them.
pub(crate) fn declared() -> clap::Command {
    Cli::command()
}

/// The declarations, with what there is to say about each command at once: there is one kind of help, and all of it is in it.
pub(crate) fn command() -> clap::Command {
    explained(Cli::command())
}

fn explained(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|command| {
        let command = explained(command);
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let all = command.get_long_about().map(ToString::to_string).unwrap_or_default();
        let more = all.strip_prefix(&about).unwrap_or_default().trim_end().to_owned();
        let gap = if more.is_empty() { "\n\n" } else { "{before-help}" };
        let template =
            format!("{{about}}{gap}{{usage-heading}} {{usage}}\n\n{{all-args}}{{after-help}}");
        command.before_help(more).help_template(template)
    })
}

fn help(topic: &[String]) -> Result<Asked, Trouble> {
    let mut all = command();
    // What a command inherits is settled by this.
    all.build();
    let mut found = &mut all;
    for word in topic {
        let names: Vec<String> =
            found.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        found = found.find_subcommand_mut(word).ok_or_else(|| {
            let what = format!("there is no command \"{}\"", topic.join(" "));
            Trouble::usage(what, &names.join(", "))
        })?;
    }
    Ok(Asked::Text(found.render_help().to_string()))
}

impl Command {
    /// Refuses what cannot be asked for together.
    fn check(self) -> Result<Self, Trouble> {
        match &self {
            Self::Append(options) => options.check()?,
            Self::Bench(wanted) => wanted.check()?,
            Self::Export(options) => options.check()?,
            Self::Init(options) => options.check()?,
            Self::Key(options) => options.check()?,
            Self::Log(options) => options.check()?,
            Self::Man(options) => options.check()?,
            Self::Replay(options) => options.check()?,
            Self::Sample(options) => options.check()?,
            Self::Verify(options) => options.check()?,
            _ => {}
        }
        Ok(self)
    }
}

/// What is wrong with the call: in the form of every other trouble.
fn trouble(error: &clap::Error) -> Trouble {
    let rendered = error.render().to_string();
    let first = rendered.lines().next().unwrap_or_default();
    let mut what = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    let mut expected = usage(error);
    if let Some(unfit) = error.source().and_then(|source| source.downcast_ref::<Unfit>()) {
        let flag = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        what = format!("{}: {}", flag.unwrap_or_default(), unfit.what);
        expected.clone_from(&unfit.expected);
    }
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let missing = error.get(ContextKind::InvalidArg).map(ToString::to_string);
        let missing = missing.unwrap_or_default();
        if missing.contains("<LEDGER>") {
            expected.push_str("; or $SIGCHAIN_LEDGER set");
        }
        what = format!("missing: {missing}");
    }
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        expected = format!("one of {}", values.join(", "));
    }
    let tips = rendered.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    let next: Vec<&str> = tips.chain(["see `sigchain help`"]).collect();
    Trouble::usage(what, &expected).advising(&next.join("; "))
}

/// How the command is called.
fn usage(error: &clap::Error) -> String {
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => Cli::command().render_usage().to_string(),
    };
    let lines = usage.trim_start_matches("Usage:").lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn ledger_of_environment() -> Option<PathBuf> {
    env::var_os("SIGCHAIN_LEDGER").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether `path` names standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
