//! `sigchain append`: one event by flags, or lines.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use serde::de::IgnoredAny;
use sigchain::error::AppendError;
use sigchain::limit::PAYLOAD_MAX;
use sigchain::receipt::Receipt;

use crate::args::AppendOptions;
use crate::exit::UNCERTAIN;
use crate::input;
use crate::ledger::outcome::Outcome;
use crate::ledger::{close, lines, of_append, open};
use crate::out;
use crate::trouble::Trouble;

pub(crate) fn run(mut asked: AppendOptions) -> Result<u8, Trouble> {
    if asked.lines {
        let ledger = open(&asked.place.ledger, &asked.signing, asked.files())?;
        let exit = lines::run(&ledger, &asked.draft)?;
        return Ok(exit.max(close(&ledger)));
    }
    if let Some(given) = asked.payload.take() {
        asked.draft.payload = Some(payload(&given, asked.draft.media_type.is_some())?);
    }
    let event = match std::mem::take(&mut asked.draft).event() {
        Ok(event) => event,
        Err(refusal) => return answer(Err(refusal.into()), asked.json),
    };
    let ledger = open(&asked.place.ledger, &asked.signing, asked.files())?;
    // Told before the ledger is closed: it is durable already.
    let exit = answer(ledger.append(event), asked.json);
    let closed = close(&ledger);
    exit.map(|exit| exit.max(closed))
}

fn answer(result: Result<Receipt, AppendError>, json: bool) -> Result<u8, Trouble> {
    if json {
        let outcome = Outcome::from(result);
        let printed = out::print(&outcome.write(0, None));
        printed.map_err(|trouble| untold(&trouble, None))?;
        return Ok(outcome.exit());
    }
    let receipt = result.map_err(|error| of_append(&error))?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "recorded: entry {} of chain {}", receipt.sequence, receipt.chain_id);
    let _ = writeln!(text, "  event      {}", receipt.event_id);
    let _ = writeln!(text, "  digest     {}", receipt.digest);
    let _ = writeln!(text, "  stamp      {}   ({})", receipt.stamp, receipt.stamp.hex());
    let _ = writeln!(text, "  reference  {}", receipt.reference());
    out::print(&text).map(|()| 0).map_err(|trouble| untold(&trouble, Some(&receipt)))
}

/// Recorded, and nobody heard it: to do it again would record it twice.
fn untold(trouble: &Trouble, receipt: Option<&Receipt>) -> Trouble {
    let next = match receipt {
        Some(receipt) => format!(
            "do not append it again: it is entry {}, event {}",
            receipt.sequence, receipt.event_id
        ),
        None => {
            "sigchain log LEDGER shows whether it is recorded; append it again only if it is not"
                .to_owned()
        }
    };
    Trouble::of_ledger(UNCERTAIN, trouble.what(), "somebody who hears the outcome", &next)
}

/// The bytes of a payload, as they are. Where nothing says what they are they have to be JSON.
fn payload(given: &OsString, is_typed: bool) -> Result<Vec<u8>, Trouble> {
    let bytes = match given.to_str() {
        Some("-") => input::read_small(Path::new("-"), PAYLOAD_MAX)?,
        Some(text) => match text.strip_prefix('@') {
            Some(path) => input::read_small(Path::new(path), PAYLOAD_MAX)?,
            None => text.as_bytes().to_vec(),
        },
        None => {
            let what = "--payload with bytes that are no text";
            return Err(Trouble::usage(what, "JSON, @FILE or - for standard input"));
        }
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string());
    let json = text.and_then(|text| {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())
    });
    match json {
        Err(why) if !is_typed => {
            let what = format!("the payload is no JSON: {why}");
            Err(Trouble::usage(what, "JSON, or --media-type for whatever else it is"))
        }
        _ => Ok(bytes),
    }
}
