//! Arguments of `episode`.

use clap::{Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

use crate::args::ledger_of_environment;
use crate::trouble::Trouble;

/// One episode as a transcript that a person can read, or as a tree of causes; without EPISODE a list of them
///
/// What was asked and answered, which tools were called and what came of it, who approved what, and what is open still. All
/// of the record is verified; a ledger also against what this machine has anchored, a file only against itself (against what you
/// hold: sigchain verify).
#[derive(Args, Debug)]
#[command(after_help = EPISODE, override_usage = "sigchain episode [OPTIONS] [LEDGER] [EPISODE]")]
pub(crate) struct EpisodeOptions {
    /// The ledger, unless $SIGCHAIN_LEDGER names it, and the episode's id
    #[arg(value_name = "[LEDGER] [EPISODE]", num_args = 0..=2, value_hint = ValueHint::AnyPath)]
    words: Vec<OsString>,
    /// What caused what, instead of what came after what
    #[arg(long)]
    pub(crate) tree: bool,
    /// All of each text, however long it is
    #[arg(long)]
    pub(crate) whole: bool,
    /// One JSON object (spec/sigchain-episode.schema.json) instead of text
    #[arg(long, conflicts_with = "tree", conflicts_with = "whole")]
    pub(crate) json: bool,
}

const EPISODE: &str = "\
Where $SIGCHAIN_LEDGER is set one word is the episode; else it is the ledger.

Exit codes:
  0  done, and no fault anywhere
  1  a fault, or no such episode
  2  the call makes no sense
  4  unreadable";

impl EpisodeOptions {
    /// The ledger, and the episode if one is named.
    pub(crate) fn place(&self) -> Result<(PathBuf, Option<String>), Trouble> {
        let (ledger, episode) = match (self.words.as_slice(), ledger_of_environment()) {
            ([ledger, episode], _) => (PathBuf::from(ledger), Some(episode)),
            ([episode], Some(ledger)) => (ledger, Some(episode)),
            ([ledger], None) => (PathBuf::from(ledger), None),
            ([], Some(ledger)) => (ledger, None),
            _ => {
                let expected = "LEDGER, or $SIGCHAIN_LEDGER set";
                return Err(Trouble::usage("no ledger was named", expected));
            }
        };
        Ok((ledger, episode.map(|episode| episode.to_string_lossy().into_owned())))
    }
}
