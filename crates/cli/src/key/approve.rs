//! `sigchain key approve`: an operator's signature under a change of keys, made where the operator's key is.

use sigchain::ledger::Change;
use sigchain::signer::Signer as _;
use sigchain::text;

use crate::args::KeyApproveOptions;
use crate::input;
use crate::key::change;
use crate::key::new::not_written;
use crate::ledger::{of_append, tell};
use crate::newfile;
use crate::out;
use crate::signing::{Hand, Signing};
use crate::trouble::Trouble;

pub(crate) fn run(asked: &KeyApproveOptions) -> Result<u8, Trouble> {
    let change = change::read(&asked.proposal)?;
    let signing = Signing::open(&asked.signing)?;
    let operator = operator(asked, &signing)?;
    let name = text::printable(&input::name(&asked.proposal));
    tell(&format!("what \"{name}\" asks for:"));
    for line in change::describe(&change) {
        tell(&format!("  {line}"));
    }
    let approved: Change =
        change.approved_by(&operator).map_err(|refusal| of_append(&refusal.into()))?;
    let file = change::encode(&approved)?;
    let hash = operator.public().operator_hash();
    let name = if let Some(path) = &asked.output {
        newfile::write(path, file.as_bytes()).map_err(|error| not_written(path, &error))?;
        format!("\"{}\"", text::printable(&path.to_string_lossy()))
    } else {
        out::print(&file)?;
        "it".to_owned()
    };
    tell(&format!("approved by operator {hash}: bring {name} back and give it with --approval"));
    Ok(0)
}

fn operator(asked: &KeyApproveOptions, signing: &Signing) -> Result<Hand, Trouble> {
    if let Some(path) = &asked.operator_key {
        return signing.in_file(path);
    }
    signing.first()?.ok_or_else(|| {
        let what = "the agent holds no Ed25519 key";
        Trouble::unreadable(what, "the operator's key", "ssh-add FILE").coded("AGENT")
    })
}
