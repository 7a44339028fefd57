//! Arguments of what an operator lives with: doctor, explain, completions, man.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

use crate::trouble::Trouble;

/// Is everything as it should be: clock, disk, rights, keys, anchors?
///
/// One line for each thing that was looked at: ok, note or bad, and what to do about it. Without LEDGER only the machine and
/// $SIGCHAIN_HOME. Verifies no entry (for that: sigchain verify) and takes no lock. To see how long a sync takes it writes a
/// file of 4 KiB beside LEDGER, twenty times, and removes it.
#[derive(Args, Debug)]
#[command(after_help = DOCTOR)]
pub(crate) struct DoctorOptions {
    /// The directory of a ledger
    #[arg(value_name = "LEDGER", env = "SIGCHAIN_LEDGER", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub(crate) ledger: Option<PathBuf>,
    /// One JSON object (spec/sigchain-doctor.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

const DOCTOR: &str = "\
Exit codes:
  0  nothing is bad
  1  something is bad: see its line
  2  the call makes no sense";

/// What a code means, what it may come from, and what to do next
///
/// CODE is a fault (LINK), an error (FS_PERMISSION), an exit code (5) or a verdict (unvouched), in any case of letters. Without
/// CODE all of them are listed.
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN)]
pub(crate) struct ExplainOptions {
    /// As it stands in a message
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// One JSON object (spec/sigchain-explain.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

const EXPLAIN: &str = "\
Exit codes:
  0  told
  2  there is no such code";

/// What completes the commands and flags of this program in a shell
///
/// Prints a script. For bash: sigchain completions bash > ~/.local/share/bash-completion/completions/sigchain; for zsh into a
/// file _sigchain in a directory of $fpath; for fish into ~/.config/fish/completions/sigchain.fish.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 printed; 2 no such shell.")]
pub(crate) struct CompletionsOptions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// The manual pages
///
/// Prints the page of one command, or of the program, in the form that man reads: sigchain man verify | man -l -
#[derive(Args, Debug)]
#[command(after_help = MAN)]
pub(crate) struct ManOptions {
    /// The words of a command, such as verify or key new
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// All pages, each into a file of its own in the directory that -o names
    #[arg(long)]
    pub(crate) all: bool,
    /// Where to, with --all: a directory, made if it is not there; no file in it is replaced
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
}

const MAN: &str = "\
Exit codes:
  0  printed, or written
  2  there is no such command, or a page is there already
  4  the directory cannot be written to";

impl ManOptions {
    /// What cannot be asked for together.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.all != self.output.is_some() {
            let what = "--all and -o DIR belong together";
            return Err(Trouble::usage(what, "both, or neither"));
        }
        if self.all && !self.command.is_empty() {
            return Err(Trouble::usage("--all with COMMAND", "one of the two"));
        }
        Ok(())
    }
}
