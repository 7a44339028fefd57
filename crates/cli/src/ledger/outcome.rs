//! What became of an event, as the one line of JSON that spec/lines.md describes.

use std::fmt::Write as _;

use sigchain::error::{AppendError, Refusal};
use sigchain::receipt::Receipt;
use sigchain::text;

use crate::exit::{REFUSED, UNCERTAIN};
use crate::out;

/// What became of a line, or of an event that was given by flags.
#[derive(Debug)]
pub(crate) enum Outcome {
    Recorded(Box<Receipt>),
    /// Code, what happened, what to do.
    Refused(&'static str, String, &'static str),
    /// Which event, and what happened.
    Uncertain(String, String),
}

impl Outcome {
    /// Something that is wrong with a line itself.
    pub(super) fn of_line(code: &'static str, what: String) -> Self {
        Self::Refused(code, what, "mend the line; all others are as if it had not been there")
    }

    /// What it makes of the exit code.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Recorded(_) => 0,
            Self::Refused(..) => REFUSED,
            Self::Uncertain(..) => UNCERTAIN,
        }
    }

    /// Whether nothing more can be recorded before the ledger is opened again.
    pub(super) fn is_final(&self) -> bool {
        let over = ["LEDGER_CLOSED", "LEDGER_FAILED", "LEDGER_FENCED", "LEDGER_PANICKED"];
        match self {
            Self::Recorded(_) => false,
            Self::Refused(code, ..) => over.contains(code),
            Self::Uncertain(..) => true,
        }
    }

    /// As a line, with its line feed. `line` is 0 where there was none.
    pub(crate) fn write(&self, line: u64, reference: Option<&str>) -> String {
        let mut json = String::with_capacity(640);
        let ok = match self {
            Self::Recorded(_) => "true",
            Self::Refused(..) => "false",
            Self::Uncertain(..) => "null",
        };
        let number = if line == 0 { "null".to_owned() } else { line.to_string() };
        let reference = reference.unwrap_or("null");
        // Writing to a String cannot fail.
        let _ = write!(json, "{{\"ok\":{ok},\"ref\":{reference},\"line\":{number}");
        match self {
            Self::Recorded(receipt) => {
                let _ = write!(
                    json,
                    ",\"sequence\":{},\"event_id\":\"{}\",\"digest\":\"{}\",\"stamp\":\"{}\",\"reference\":\"{}\"",
                    receipt.sequence,
                    receipt.event_id,
                    receipt.digest,
                    receipt.stamp.hex(),
                    receipt.reference()
                );
            }
            Self::Refused(code, what, advice) => {
                put(&mut json, "code", code);
                put(&mut json, "what", what);
                put(&mut json, "advice", advice);
            }
            Self::Uncertain(event_id, what) => {
                put(&mut json, "event_id", event_id);
                put(&mut json, "code", "UNCERTAIN");
                put(&mut json, "what", what);
                put(
                    &mut json,
                    "advice",
                    "open the ledger again and ask it for this event, or append it again under this id",
                );
            }
        }
        json.push('}');
        // Whatever is not printable stands in strings, where it can be escaped.
        if !json.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            json = out::ascii(&json);
        }
        json + "\n"
    }
}

fn put(json: &mut String, key: &str, value: &str) {
    let _ = write!(json, ",\"{key}\":");
    text::json_string(json, value);
}

impl From<Result<Receipt, AppendError>> for Outcome {
    fn from(result: Result<Receipt, AppendError>) -> Self {
        match result {
            Ok(receipt) => Self::Recorded(Box::new(receipt)),
            Err(AppendError::Refused(refusal)) => refusal.into(),
            Err(AppendError::Uncertain { event_id, what, .. }) => {
                Self::Uncertain(event_id.to_string(), what)
            }
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        let aside = format!(" ({}: {})", refusal.code(), refusal.advice());
        let what = text.strip_suffix(&aside).unwrap_or(&text).to_owned();
        Self::Refused(refusal.code(), what, refusal.advice())
    }
}
