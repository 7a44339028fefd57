//! Arguments of `key` and its commands.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use sigchain::reserved::Reason;

use crate::args::Place;
use crate::args::ledger::OfFiles;
use crate::args::signer::SignerOptions;
use crate::trouble::Trouble;

/// The keys of a chain: made, shown, enrolled, rotated, revoked
///
/// A chain has entry keys, which sign entries, and checkpoint keys, which sign checkpoints and seals: both are kept where the
/// ledger is written. Operators' keys are kept offline; only they can revoke, and rotate a key that is lost. What needs an
/// operator goes in three steps: write a PROPOSAL (-o), carry it to the operator's machine and approve it there (key
/// approve), bring the approval back and give it with --approval.
#[derive(Args, Debug)]
#[command(arg_required_else_help = false)]
pub(crate) struct KeyOptions {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    New(KeyNewOptions),
    Show(KeyShowOptions),
    Enroll(KeyEnrollOptions),
    Rotate(KeyRotateOptions),
    Revoke(KeyRevokeOptions),
    Approve(KeyApproveOptions),
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    Entry,
    Checkpoint,
    Operator,
}

/// Why a key is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReasonName {
    Superseded,
    Lost,
    Compromised,
}

impl From<ReasonName> for Reason {
    fn from(name: ReasonName) -> Self {
        match name {
            ReasonName::Superseded => Self::Superseded,
            ReasonName::Lost => Self::Lost,
            ReasonName::Compromised => Self::Compromised,
        }
    }
}

/// A new key, in a file
///
/// Writes FILE, which holds the secret, and FILE.pub, the public half. Without -o the key goes where this machine's signers
/// look, $SIGCHAIN_HOME/keys; an operator's key must not be there, so it needs -o: make it on the machine, or the stick, on
/// which it stays. On a terminal a passphrase is asked for. Prints the path of the public half.
#[derive(Args, Debug)]
#[command(after_help = NEW)]
pub(crate) struct KeyNewOptions {
    /// Where to
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// What it is for; a key by itself has no role yet
    #[arg(long, value_name = "ROLE", default_value = "entry")]
    pub(crate) role: RoleName,
    /// A file whose first line is the new key's passphrase. Without it a terminal is asked
    #[arg(long, value_name = "FILE", env = "SIGCHAIN_PASSPHRASE_FILE", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

const NEW: &str = "\
Exit codes:
  0  made
  2  the call makes no sense, or FILE is there already: nothing is overwritten
  4  FILE, $SIGCHAIN_HOME or the passphrase cannot be read or written";

impl KeyNewOptions {
    /// What cannot be asked for.
    fn check(&self) -> Result<(), Trouble> {
        if self.role == RoleName::Operator && self.output.is_none() {
            let what = "--role operator without -o FILE";
            let expected = "a place for it that is not on this machine for long: -o FILE";
            return Err(Trouble::usage(what, expected));
        }
        Ok(())
    }
}

/// The keys of a chain: role, from where to where, and who has them
///
/// Reads what the ledger says of its keys and verifies nothing. Custody says whether a key's file is in $SIGCHAIN_HOME/keys,
/// with which mode and whether under a passphrase, or in the OpenSSH agent; elsewhere means: not seen here.
#[derive(Args, Debug)]
#[command(after_help = SHOW)]
pub(crate) struct KeyShowOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// One JSON object (spec/sigchain-keys.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

const SHOW: &str = "\
Exit codes:
  0  told
  2  the call makes no sense
  4  unreadable";

/// Where a change of keys comes from, or goes to.
#[derive(Args, Debug)]
#[command(next_help_heading = "What an operator approves")]
pub(crate) struct ChangeOptions {
    /// Change nothing yet: write a proposal to FILE, for sigchain key approve
    #[arg(short, long, value_name = "FILE", conflicts_with = "approval", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Apply what was proposed and approved: the file that sigchain key approve wrote. It says all there is to say
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) approval: Option<PathBuf>,
}

/// What every change of keys takes.
#[derive(Args, Debug)]
pub(crate) struct OfChange {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The receipt, or why there is none, as one JSON object (spec/sigchain-outcome.schema.json)
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) change: ChangeOptions,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
}

/// A key is added: of another writer, of a second signer of checkpoints, of another operator
///
/// For entries no approval is needed. A checkpoint key is approved by the chain's checkpoint key, if that is at hand, else by an
/// operator; another operator by an operator.
#[derive(Args, Debug)]
#[command(after_help = CHANGE)]
pub(crate) struct KeyEnrollOptions {
    /// What it may do
    #[arg(long, value_name = "ROLE", default_value = "entry", conflicts_with = "approval")]
    pub(crate) role: RoleName,
    /// The new key: the id of one in $SIGCHAIN_HOME/keys, or agent:FINGERPRINT; of an operator the file of its public half. Without
    /// it one is made
    #[arg(long, value_name = "NEW", conflicts_with = "approval")]
    pub(crate) new: Option<OsString>,
    #[command(flatten)]
    pub(crate) of: OfChange,
}

/// A key takes the place of another, whose last signature says so
///
/// A routine rotation needs nobody's approval: the old key signs, and the new one is used from then on. If the old key is lost, the
/// new key signs, and an operator has to approve: --lost with -o, then with --approval.
#[derive(Args, Debug)]
#[command(after_help = CHANGE)]
pub(crate) struct KeyRotateOptions {
    /// Which of the two this machine signs with
    #[arg(long, value_name = "ROLE", default_value = "entry", conflicts_with = "approval")]
    pub(crate) role: RoleName,
    /// The id of the key that ends; the one in use unless you say otherwise
    #[arg(long, value_name = "KEY", conflicts_with = "approval")]
    pub(crate) old: Option<OsString>,
    /// The new key: the id of one in $SIGCHAIN_HOME/keys, or agent:FINGERPRINT. Without it one is made
    #[arg(long, value_name = "NEW", conflicts_with = "approval")]
    pub(crate) new: Option<OsString>,
    /// The old key is gone: the new one signs its own enrolment
    #[arg(long)]
    pub(crate) lost: bool,
    #[command(flatten)]
    pub(crate) of: OfChange,
}

/// A key ends, by an operator's word
///
/// Always needs an operator. Of a key that somebody else may have: rotate it first, so that the ledger goes on, then revoke it
/// as compromised with the last checkpoint that you trust; what it signed beyond that is reported by every verifier.
#[derive(Args, Debug)]
#[command(after_help = CHANGE)]
pub(crate) struct KeyRevokeOptions {
    /// entry and checkpoint keys end; an operator is struck from the list
    #[arg(long, value_name = "ROLE", default_value = "entry", conflicts_with = "approval")]
    pub(crate) role: RoleName,
    /// The id of the key that ends; of an operator the file of its public half
    #[arg(
        long,
        value_name = "KEY",
        required_unless_present = "approval",
        conflicts_with = "approval"
    )]
    pub(crate) old: Option<OsString>,
    /// Why
    #[arg(long, value_name = "REASON", default_value = "superseded", conflicts_with = "approval")]
    pub(crate) reason: ReasonName,
    /// If it is compromised: the last checkpoint that you trust, signed by another key
    #[arg(long, value_name = "NOTE", conflicts_with = "approval", value_hint = ValueHint::FilePath)]
    pub(crate) trusted: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) of: OfChange,
}

const CHANGE: &str = "\
Exit codes:
  0  done; with -o: proposed, and nothing is changed yet
  2  the call makes no sense
  4  unreadable: the ledger, a key, the approval
  5  refused, and nothing was changed: an approval is missing, or the chain does not allow it
  6  uncertain: sigchain key show says which keys there are
  7  another writer holds the ledger: a change of keys needs it alone
  8  the ledger is quarantined";

/// An operator approves a change of keys, on the machine where the operator's key is
///
/// Says on standard error what is approved, read from what is signed and from nothing else: look at it before you carry the
/// approval back. Needs no ledger and no network. The approval counts once, and for this change only.
#[derive(Args, Debug)]
#[command(after_help = APPROVE)]
pub(crate) struct KeyApproveOptions {
    /// What -o of enroll, rotate or revoke wrote
    #[arg(value_name = "PROPOSAL", value_hint = ValueHint::FilePath)]
    pub(crate) proposal: PathBuf,
    /// The operator's key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) operator_key: Option<PathBuf>,
    /// Where to; standard output unless you say otherwise
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

const APPROVE: &str = "\
Exit codes:
  0  approved
  2  the call makes no sense, or FILE is there already
  4  unreadable: the proposal or the key; or FILE cannot be written
  5  the signer refused";

impl KeyOptions {
    /// What cannot be asked for together, or is missing.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        match &self.command {
            KeyCommand::New(options) => options.check(),
            KeyCommand::Rotate(options) => options.check(),
            KeyCommand::Revoke(options) => options.check(),
            KeyCommand::Approve(options) => options.check(),
            KeyCommand::Show(_) | KeyCommand::Enroll(_) => Ok(()),
        }
    }
}

impl KeyRotateOptions {
    fn check(&self) -> Result<(), Trouble> {
        if self.role == RoleName::Operator {
            let expected = "sigchain key enroll --role operator, then key revoke --role operator";
            return Err(Trouble::usage("key rotate --role operator", expected));
        }
        if self.lost && self.of.change.output.is_none() && self.of.change.approval.is_none() {
            let what = "--lost without -o PROPOSAL or --approval FILE";
            return Err(Trouble::usage(what, "one of the two: an operator has to approve it"));
        }
        Ok(())
    }
}

impl KeyRevokeOptions {
    fn check(&self) -> Result<(), Trouble> {
        if self.of.change.output.is_none() && self.of.change.approval.is_none() {
            let what = "key revoke without -o PROPOSAL or --approval FILE";
            return Err(Trouble::usage(what, "one of the two: an operator has to approve it"));
        }
        let is_operator = self.role == RoleName::Operator;
        let is_compromised = self.reason == ReasonName::Compromised;
        if self.trusted.is_some() && (is_operator || !is_compromised) {
            let expected = "--reason compromised, of an entry or checkpoint key";
            return Err(Trouble::usage("--trusted without --reason compromised", expected));
        }
        if is_compromised && !is_operator && self.trusted.is_none() {
            let expected = "--trusted NOTE: the last checkpoint that you trust";
            return Err(Trouble::usage("--reason compromised without --trusted", expected));
        }
        Ok(())
    }
}

impl KeyApproveOptions {
    fn check(&self) -> Result<(), Trouble> {
        if self.operator_key.is_some() == (self.signing.signers.len() == 1) {
            let what = "no operator's key, or more than one";
            return Err(Trouble::usage(what, "--operator-key FILE, or --signer agent:FINGERPRINT"));
        }
        Ok(())
    }
}
