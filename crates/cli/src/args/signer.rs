//! Who signs: everywhere by the same flags.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::args::parse::Unfit;

/// Who signs.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Who signs")]
pub(crate) struct SignerOptions {
    /// agent:FINGERPRINT, a key that the OpenSSH agent holds (SHA256:..., as ssh-add -l prints it); agent: alone takes those of its
    /// keys that the chain knows, if there is one for what is to be signed. May be given several times, for entries and for
    /// checkpoints. Without it keys are taken from $SIGCHAIN_HOME/keys
    #[arg(long = "signer", value_name = "SIGNER", value_parser = signer)]
    pub(crate) signers: Vec<SignerName>,
    /// A file whose first line is the passphrase of key files that have one. Without it a terminal is asked
    #[arg(long, value_name = "FILE", env = "SIGCHAIN_PASSPHRASE_FILE", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// A signer outside this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignerName {
    /// The agent's key with this fingerprint or key id.
    Agent(String),
    /// Whichever of the agent's keys fits.
    AnyOfAgent,
}

pub(super) fn signer(text: &str) -> Result<SignerName, Unfit> {
    match text.split_once(':') {
        Some(("agent", "")) => Ok(SignerName::AnyOfAgent),
        Some(("agent", name)) => Ok(SignerName::Agent(name.to_owned())),
        _ => {
            Err(Unfit::new(text, "signer", "agent:SHA256:..., as ssh-add -l prints it, or agent:"))
        }
    }
}
