//! `sigchain key show`: the keys of a chain, from where to where, and who has them.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use sigchain::agent::fingerprint;
use sigchain::chainfile::Reader;
use sigchain::digest::Digest;
use sigchain::key::{KeyId, PublicKey};
use sigchain::reserved::Reason;
use sigchain::text;

use crate::args::{KeyShowOptions, is_stdin};
use crate::input::{self, Input};
use crate::json;
use crate::key::custody::{Custody, Whereabouts};
use crate::ledger::keys::{Enrolled, Enrolment};
use crate::ledger::{of_io, view};
use crate::out::{self, safe};
use crate::trouble::Trouble;

pub(crate) fn run(asked: &KeyShowOptions) -> Result<u8, Trouble> {
    let (chain_id, enrolled) = read(&asked.place.ledger)?;
    let custody = Custody::look();
    let mut keys: Vec<(&KeyId, &Enrolment)> = enrolled.keys.iter().collect();
    keys.sort_by_key(|(id, key)| (key.until.is_some(), key.role.name() != "entry", key.from, **id));
    let text = if asked.json {
        let keys = keys.iter().map(|(id, key)| of_key(id, key, &custody.of(**id)));
        let operators = enrolled.operators.iter().map(ToString::to_string);
        json::render(Map::from_iter([
            ("chain_id".to_owned(), chain_id.to_string().into()),
            ("keys".to_owned(), keys.collect::<Vec<_>>().into()),
            ("name".to_owned(), enrolled.name.clone().into()),
            ("operators".to_owned(), operators.collect::<Vec<_>>().into()),
        ]))?
    } else {
        let mut text = format!("{}, chain {}\n", safe(&enrolled.name), chain_id);
        for (id, key) in keys {
            let _ = writeln!(text, "  {:<10}  {id}  {}", key.role.name(), life(key));
            let _ = writeln!(text, "              {}", custody.of(*id).describe());
        }
        for operator in &enrolled.operators {
            let _ = writeln!(text, "  operator    {operator}");
        }
        match enrolled.operators.len() {
            0 => text.push_str("  AT RISK     no operator: a stolen key cannot be revoked\n"),
            _ => text.push_str(
                "              operators' keys stay offline; the chain knows their hashes\n",
            ),
        }
        text.push_str("nothing of this was verified: sigchain verify LEDGER\n");
        text
    };
    out::print(&text).map(|()| 0)
}

/// What a ledger or a file says of its keys.
fn read(path: &Path) -> Result<(Digest, Enrolled), Trouble> {
    if !is_stdin(path) && input::about(path)?.is_dir() {
        let directory = view(path)?;
        let enrolled = Enrolled::read(&directory).map_err(|error| of_io(path, &error))?;
        return Ok((directory.chain_id(), enrolled));
    }
    let reader = Reader::open(Input::open(path)?.into_reader()).map_err(|error| {
        let what = format!("\"{}\" is no ledger and no chain file: {error}", input::name(path));
        let next = "give the directory of a ledger, or what sigchain export wrote";
        Trouble::unreadable(what, "a ledger, a chain file or JSON lines", next).coded("FILE_MAGIC")
    })?;
    Ok((reader.chain_id(), Enrolled::of_file(reader)))
}

fn life(key: &Enrolment) -> String {
    let from = format!("from entry {}", key.from);
    let Some(until) = key.until else { return format!("{from} on") };
    let why = key.reason.map_or("ended", Reason::name);
    match key.trusted {
        Some(size) => {
            format!(
                "{from}, ended by entry {until}: {why}, trusted for the first {}",
                out::entries(size)
            )
        }
        None => format!("{from}, ended by entry {until}: {why}"),
    }
}

fn of_key(id: &KeyId, key: &Enrolment, custody: &Whereabouts) -> Value {
    let print = PublicKey::from_bytes(&key.public).map(|key| fingerprint(&key)).ok();
    json!({
        "custody": custody.json(),
        "fingerprint": print,
        "from": key.from,
        "id": id.to_string(),
        "public": text::hex(&key.public),
        "reason": key.reason.map(Reason::name),
        "role": key.role.name(),
        "trusted": key.trusted,
        "until": key.until,
    })
}
