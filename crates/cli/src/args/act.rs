//! Arguments of `action` and `review`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Subcommand};
use sigchain::id::EventId;
use sigchain::stamp::ValidTime;

use crate::args::ledger::OfFiles;
use crate::args::signer::SignerOptions;
use crate::args::{Place, parse};

/// What is to be done: a program, as the call of a tool.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "The event")]
pub(crate) struct Doing {
    /// Who did it or met it
    #[arg(long, value_name = "ACTOR", env = "SIGCHAIN_ACTOR", hide_env_values = true)]
    pub(crate) actor: String,
    /// What the tool is called; the program's name unless you say otherwise
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Option<String>,
    /// The run or session that it belongs to
    #[arg(long, value_name = "ID", env = "SIGCHAIN_EPISODE", hide_env_values = true)]
    pub(crate) episode: Option<String>,
    /// The event that caused it: an event id, or a reference of another ledger (sigchain1...)
    #[arg(long, value_name = "EVENT", env = "SIGCHAIN_CAUSE", hide_env_values = true)]
    pub(crate) cause: Option<String>,
    /// Your own thread of work
    #[arg(long, value_name = "ID")]
    pub(crate) correlation: Option<String>,
    /// Record the digest of the program's arguments instead of them. What can be guessed can be found by its digest
    #[arg(long)]
    pub(crate) hide_arguments: bool,
    /// The program, and its arguments
    #[arg(value_name = "PROGRAM", required = true, last = true, allow_hyphen_values = true)]
    pub(crate) program: Vec<OsString>,
}

/// Run a program as an action: recorded before it runs, and what came of it after
///
/// It does not run if that cannot be recorded. What it writes goes through, and digest and length of that are recorded with its exit
/// code. The ledger is free while it runs. It finds SIGCHAIN_LEDGER, SIGCHAIN_CAUSE and SIGCHAIN_EPISODE in its environment, so that
/// actions within it name this one as their cause.
#[derive(Args, Debug)]
#[command(after_help = ACTION, override_usage = "sigchain action LEDGER --actor ACTOR [OPTIONS] -- PROGRAM [ARGUMENTS]")]
pub(crate) struct ActionOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) doing: Doing,
    /// Only if this review of it is approved, and nothing was done on that yet
    #[arg(long, value_name = "EVENT", value_parser = parse::event_id)]
    pub(crate) after_review: Option<EventId>,
    /// End it after so long, with SIGTERM and ten seconds later with SIGKILL; unless it reads from a terminal, all that it started too
    #[arg(long, value_name = "SECONDS", value_parser = parse::seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) of_files: OfFiles,
}

const ACTION: &str = "\
Exit codes: that of the program, and as env(1) and timeout(1) have it
  124  it ran, and what came of it is not recorded: the action stays open, and standard error says what came of it;
       or the system does not say how it ended, which is recorded
  125  it did not run: it could not be recorded, or no review allows it; standard error says why
  126  it could not be run; 127 it was not found: both are recorded
  128  and the number of the signal that ended it
  2    the call makes no sense";

/// Have somebody else decide before something is done
///
/// A review is about one action, has a deadline, and is approved or vetoed by others than whoever asks or is to act. Silence is a veto.
/// An approved one allows the action once, until the same deadline: sigchain action --after-review.
#[derive(Args, Debug)]
pub(crate) struct ReviewOptions {
    #[command(subcommand)]
    pub(crate) act: ReviewAct,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReviewAct {
    Request(Box<ReviewRequestOptions>),
    List(ReviewListOptions),
    Approve(Box<ReviewDecideOptions>),
    Veto(Box<ReviewDecideOptions>),
    Expire(Box<ReviewExpireOptions>),
}

/// Ask whether a program may be run; prints the review's id
#[derive(Args, Debug)]
#[command(
    after_help = DECIDED,
    override_usage = "sigchain review request LEDGER --actor ACTOR --deadline TIME [OPTIONS] -- PROGRAM [ARGUMENTS]"
)]
pub(crate) struct ReviewRequestOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) doing: Doing,
    /// Until when it can be decided and acted on (2026-11-20T05:00:00Z, or +15m: so long from now)
    #[arg(long, value_name = "TIME", value_parser = parse::deadline)]
    pub(crate) deadline: ValidTime,
    /// How many must approve; 1 unless you say otherwise
    #[arg(long, value_name = "N", value_parser = parse::approvals, allow_negative_numbers = true)]
    pub(crate) approvals: Option<u64>,
    /// Only these may decide; once for each
    #[arg(long = "reviewer", value_name = "ACTOR")]
    pub(crate) reviewers: Vec<String>,
    /// Why it is asked, or decided so
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) of_files: OfFiles,
}

const DECIDED: &str = "\
Exit codes:
  0  recorded
  1  the answer is no: it is decided or over, its deadline has passed, or it is not yours to decide
  2  the call makes no sense
  4  unreadable: the ledger or a key
  5  refused: nothing is recorded
  6  uncertain: it may or may not be recorded; sigchain show LEDGER EVENT says which
  7  another writer holds the ledger
  8  the ledger is quarantined";

/// Reviews that wait for a decision, the earliest deadline first
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 listed, be there any or not; 1 a fault; 4 it cannot be read."
)]
pub(crate) struct ReviewListOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// One JSON object (spec/sigchain-review.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Decide a review
#[derive(Args, Debug)]
#[command(after_help = DECIDED)]
pub(crate) struct ReviewDecideOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The review: the event id that `review request` printed
    #[arg(value_name = "EVENT", value_parser = parse::event_id)]
    pub(crate) review: EventId,
    /// Who did it or met it
    #[arg(long, value_name = "ACTOR", env = "SIGCHAIN_ACTOR", hide_env_values = true)]
    pub(crate) actor: String,
    /// Why it is asked, or decided so
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) of_files: OfFiles,
}

/// Record that the deadlines of undecided reviews have passed
#[derive(Args, Debug)]
#[command(after_help = DECIDED)]
pub(crate) struct ReviewExpireOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Who did it or met it
    #[arg(long, value_name = "ACTOR", env = "SIGCHAIN_ACTOR", hide_env_values = true)]
    pub(crate) actor: String,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) of_files: OfFiles,
}
