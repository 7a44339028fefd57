//! Comparing with another file of the same chain: two signed entries with one sequence are a fork, and the pair proves it.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use sigchain::digest::Digest;
use sigchain::fork::{self, Comparison, ForkError, ForkProof};
use sigchain::ledger::{Files, Forked, Ledger, Options};

use crate::args::VerifyOptions;
use crate::input;
use crate::newfile;
use crate::out;
use crate::quarantine;
use crate::trouble::Trouble;

/// What the comparison found.
pub(crate) enum Compared {
    Fork {
        proof: Box<ForkProof>,
        written: Option<PathBuf>,
        /// What became of the ledger, if it is one.
        halted: Option<Result<Forked, String>>,
    },
    /// They differ at this sequence, and no fork could be proved.
    Differ(u64),
    /// All entries that both hold are the same, or abandoned.
    None,
    /// The files are not of one chain.
    OtherChain,
}

impl Compared {
    /// Whether the two files cannot both be the one history.
    pub(crate) fn is_split(&self) -> bool {
        matches!(self, Self::Fork { .. } | Self::OtherChain)
    }

    /// For each entry of the pair: digest, and a line about it.
    pub(crate) fn pair(proof: &ForkProof) -> [(Digest, String); 2] {
        proof.pair.each_ref().map(|written| {
            let fields = &written.fields;
            let about = format!(
                "{} by {} at {}, signed by key {}",
                out::safe(&fields.event_type),
                out::safe(&fields.actor),
                fields.system_time,
                fields.signer_key_id
            );
            (fields.digest(&proof.chain_id), about)
        })
    }

    pub(crate) fn write(&self, text: &mut String) -> fmt::Result {
        match self {
            Self::Differ(sequence) => writeln!(
                text,
                "  compared: entry {sequence} is not the same in the other file, and yet no fork could be proved: \
                 one of the two may have been changed without a key\nnext: verify the other file by itself, and keep both"
            ),
            Self::None => writeln!(
                text,
                "  compared: the entries that both files hold in order are the same (payloads aside); the other file was not judged"
            ),
            Self::OtherChain => writeln!(
                text,
                "other chain: the two files are of different chains, so at most one is the chain that you mean"
            ),
            Self::Fork { proof, written, halted } => {
                let [(a, about_a), (b, about_b)] = Self::pair(proof);
                let sequence = proof.pair.first().map_or(0, |written| written.fields.sequence);
                writeln!(
                    text,
                    "forked: two signed entries of chain {} have sequence {sequence}",
                    proof.chain_id
                )?;
                writeln!(text, "  here:  {a}\n         {about_a}")?;
                writeln!(text, "  there: {b}\n         {about_b}")?;
                writeln!(
                    text,
                    "  keys of the chain signed both and the chain lists neither as abandoned: two histories were written"
                )?;
                match halted {
                    Some(Ok(forked)) => writeln!(
                        text,
                        "  quarantined ({}): it takes no events until that is resolved; the proof is in its directory too: {}",
                        forked.quarantine, forked.proof
                    )?,
                    Some(Err(why)) => writeln!(
                        text,
                        "  NOT HALTED: {}\n  next: whoever holds its keys should halt it: sigchain quarantine halt LEDGER --note TEXT",
                        out::safe(why)
                    )?,
                    None => {}
                }
                match written {
                    Some(path) => writeln!(
                        text,
                        "  the proof is in \"{}\"; it stands alone, so send it to everybody who relies on this chain",
                        out::safe(&path.to_string_lossy())
                    ),
                    None => writeln!(
                        text,
                        "next: keep both files; --fork-proof OUT writes the proof, which stands alone"
                    ),
                }
            }
        }
    }
}

/// Compares, and writes the proof if one was found and asked for. What the writing ran into comes beside the finding.
pub(super) fn compare(
    file: &Path,
    other: &Path,
    options: &VerifyOptions,
) -> Result<(Compared, Option<Trouble>), Trouble> {
    let failed = |error: &dyn fmt::Display| {
        Trouble::unreadable(
            format!("cannot compare with \"{}\": {error}", input::name(other)),
            "two readable files of one chain",
            "verify the other file by itself",
        )
    };
    let proof = match fork::compare(input::open_again(file)?, input::open_again(other)?) {
        Ok(Comparison::Fork(proof)) => proof,
        Ok(Comparison::Differ(first)) => return Ok((Compared::Differ(first), None)),
        Ok(_) => return Ok((Compared::None, None)),
        Err(ForkError::Chains) => return Ok((Compared::OtherChain, None)),
        Err(error) => return Err(failed(&error)),
    };
    let mut trouble = None;
    let mut written = None;
    if let Some(path) = &options.fork_proof {
        match newfile::write(path, proof.encode().as_bytes()) {
            Ok(()) => written = Some(path.clone()),
            Err(error) => {
                trouble = Some(Trouble::unreadable(
                    format!("cannot write the proof to \"{}\": {error}", path.display()),
                    "a name that is not taken, in a directory that can be written to",
                    "keep both files and run it again with another name",
                ));
            }
        }
    }
    let halted = file.is_dir().then(|| halt(file, options, &proof));
    Ok((Compared::Fork { proof, written, halted }, trouble))
}

/// Halts the ledger that has one of the two histories, where whoever asks holds its keys.
fn halt(path: &Path, options: &VerifyOptions, proof: &ForkProof) -> Result<Forked, String> {
    let said = |trouble: &Trouble| trouble.what().to_owned();
    let signer = quarantine::finder(path, &options.signing).map_err(|trouble| said(&trouble))?;
    let options = Options::new().files(Files::new());
    let forked = Ledger::halt_at_fork(path, &signer, &options, proof);
    forked.map_err(|error| format!("{}: {}", error.code, error.what))
}
