//! Arguments of `verify`, and of what else takes something that was held before.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use sigchain::digest::Digest;

use crate::args::extract::RecordOptions;
use crate::args::signer::SignerOptions;
use crate::args::{Place, is_stdin, parse};
use crate::report::Kind;
use crate::trouble::Trouble;

/// What the user held before.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "What you held before")]
pub(crate) struct HeldOptions {
    /// A key id (32 hex digits or 22 of base64url), a public key file (PEM) or a vkey (NAME+HEX+BASE64); may be given
    /// several times. A proof or a checkpoint by itself needs the PEM or the vkey
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<OsString>,
    /// A checkpoint that was kept elsewhere; may be given several times
    #[arg(long = "checkpoint", value_name = "NOTE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// The digest of entry 0 (64 hex digits or 43 of base64url)
    #[arg(long, value_name = "ID", value_parser = parse::chain_id)]
    pub(crate) chain_id: Option<Digest>,
    /// Exit 0 if there is no fault and you gave nothing to tie the file to
    #[arg(long)]
    pub(crate) allow_self_asserted: bool,
}

/// Is this what was signed, whole and in order?
///
/// LEDGER is a directory, a chain file (.sigchain, .sigchain.zst), JSON lines (.jsonl), a folder of archives as sigchain
/// archive makes it, a proof (.tlog-proof) or a checkpoint; - is standard input. A ledger is judged up to what is durable
/// when it begins, whoever writes meanwhile.
#[derive(Args, Debug)]
#[command(after_help = VERIFY)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the call")]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Another file of the same chain: are there two signed entries with one sequence? A ledger whose keys are here is halted if so,
    /// unless it has revoked the key. With a folder of archives, the ledger that
    /// they left: are they what is missing there?
    #[arg(long, value_name = "OTHER", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) against: Option<PathBuf>,
    /// Write the proof of a fork to OUT, which must not exist
    #[arg(long, value_name = "OUT", value_hint = clap::ValueHint::FilePath)]
    pub(crate) fork_proof: Option<PathBuf>,
    /// Take the signatures below the largest checkpoint on its word: one of yours, or of a ledger what this machine has
    /// anchored. The output says how many; whatever does not fit is looked at again, whole
    #[arg(long)]
    pub(crate) resume: bool,
    /// Compare all event ids: no two entries may have the same. Takes about 35 bytes of memory for each entry; without it
    /// memory does not grow, and only approvals are compared
    #[arg(long)]
    pub(crate) unique: bool,
    /// Only LEDGER, although it goes on from another chain, which is looked at otherwise where it is still there
    #[arg(long)]
    pub(crate) alone: bool,
    /// As many as there are cores unless you say otherwise
    #[arg(long, value_name = "N", value_parser = parse::threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Also write a report to FILE, which must not exist; its ending says of which kind: .html (to read and to print),
    /// .json (what --json prints), .junit.xml or .sarif. May be given several times
    #[arg(long = "report", value_name = "FILE", help_heading = "Reports", value_hint = clap::ValueHint::FilePath)]
    pub(crate) reports: Vec<PathBuf>,
    /// Find outcomes of this type that no gate let through (below); with * for any part of it. May be given several times
    #[arg(long = "require-gate", value_name = "TYPE", help_heading = "Reports")]
    pub(crate) gated: Vec<String>,
    /// One JSON object (spec/sigchain-report.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) held: HeldOptions,
    #[command(flatten)]
    pub(crate) record: RecordOptions,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
}

const VERIFY: &str = "\
--require-gate: an outcome is an entry of one of the TYPEs; entries whose type ends in .call or .request are none, since \
they are intents. A gate let it through if its causation_id names an intent of it by a gate: an earlier entry of this chain, \
of the same family (the type up to its last dot) and itself no outcome, whose JSON payload says \"capture\": \"gate\". One \
intent may stand for several outcomes. What cannot be seen (an intent in a gap, or whose payload is withheld, erased or \
hidden) lets nothing through. Takes up to 100 bytes of memory for each intent.

Exit codes:
  0  intact, and tied to something that you held
  1  faulty, a fork, or an outcome without a gate's intent (--require-gate); an archive is missing; or a chain that it
     goes on from is not what it states of that (what an operator has dismissed there is no fault of it)
  2  the call makes no sense
  3  no fault, but you gave no anchor, or one is missing from the file, its gaps are not proven,
     or --against found a difference from which no fork can be proved
  4  unreadable: the file, a checkpoint, a key, or what this machine has anchored of a ledger;
     or no fault, and a report that could not be written
  5  no fault, and the ledger demands --record (ACCESS_POLICY), or refused the record: no report was written
  6  no fault, and it is uncertain whether it is recorded: no report was written
  7  no fault, and to be recorded, and another writer holds the ledger: no report was written";

impl VerifyOptions {
    /// What cannot be asked for together.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        self.record.check()?;
        let from_stdin = is_stdin(&self.place.ledger);
        if self.resume && from_stdin {
            let expected = "a file, which can be read again if something does not fit";
            return Err(Trouble::usage("--resume with standard input", expected));
        }
        let other_from_stdin = self.against.as_deref().is_some_and(is_stdin);
        if other_from_stdin || (self.against.is_some() && from_stdin) {
            let expected = "two files, since both are read more than once";
            return Err(Trouble::usage("--against with standard input", expected));
        }
        self.check_reports()?;
        let Some(out) = &self.fork_proof else { return Ok(()) };
        if self.against.is_none() {
            return Err(Trouble::usage("--fork-proof without --against", "--against OTHER"));
        }
        if out.symlink_metadata().is_ok() {
            let what = format!("\"{}\" exists already", out.display());
            let expected = "a name for the proof that is not taken: nothing is overwritten";
            return Err(Trouble::usage(what, expected));
        }
        Ok(())
    }

    fn check_reports(&self) -> Result<(), Trouble> {
        for (at, path) in self.reports.iter().enumerate() {
            let shown = path.display();
            if Kind::of(path).is_none() {
                let what = format!("--report \"{shown}\": its ending says no kind of report");
                return Err(Trouble::usage(what, Kind::ENDINGS));
            }
            if self.reports.iter().take(at).any(|other| other == path) {
                let what = format!("--report \"{shown}\" stands twice");
                return Err(Trouble::usage(what, "another file for each report"));
            }
            if path.symlink_metadata().is_ok() {
                let what = format!("\"{shown}\" exists already");
                let expected = "a name for the report that is not taken: nothing is overwritten";
                return Err(Trouble::usage(what, expected));
            }
        }
        Ok(())
    }
}
