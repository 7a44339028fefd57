//! Entries as a table, RFC 4180: a row for each. spec/auditors.md says what the columns are.

use std::io::{self, Write};

use sigchain::digest::Digest;
use sigchain::frame::Written;
use sigchain::payload::{Leaf, Part, Presence, Slot};
use sigchain::text;

/// The names of the columns.
pub(super) const COLUMNS: [&str; 20] = [
    "sequence",
    "time",
    "stamp",
    "event_type",
    "actor",
    "episode_id",
    "correlation_id",
    "trace_id",
    "span_id",
    "causation_id",
    "event_id",
    "schema_version",
    "valid_from",
    "valid_to",
    "payload",
    "media_type",
    "payload_bytes",
    "payload_hash",
    "digest",
    "signer_key_id",
];

/// What an entry is in the table.
pub(super) fn row(written: &Written<'_>, part: &Part<'_>, digest: &Digest) -> Vec<String> {
    fn shown(value: Option<&impl ToString>) -> String {
        value.map(ToString::to_string).unwrap_or_default()
    }
    let fields = &written.fields;
    let (presence, media_type, bytes) = about(part);
    vec![
        fields.sequence.to_string(),
        fields.system_time.to_string(),
        fields.system_time.hex(),
        fields.event_type.to_string(),
        fields.actor.to_string(),
        shown(fields.episode_id.as_ref()),
        shown(fields.correlation_id.as_ref()),
        shown(fields.trace_id.as_ref()),
        shown(fields.span_id.as_ref()),
        shown(fields.causation_id.as_ref()),
        fields.event_id.to_string(),
        fields.schema_version.to_string(),
        shown(fields.valid_from.as_ref()),
        shown(fields.valid_to.as_ref()),
        presence.to_owned(),
        media_type,
        bytes.to_string(),
        fields.payload_hash.to_string(),
        digest.to_string(),
        fields.signer_key_id.to_string(),
    ]
}

/// What can be seen of a payload: how much, its media type if it is one, bytes.
fn about(part: &Part<'_>) -> (&'static str, String, usize) {
    let presence = match part.presence() {
        Presence::Erased => "erased",
        Presence::Partial => "partial",
        Presence::Present => "present",
        _ => "withheld",
    };
    let leaves: Vec<&Leaf<'_>> = match part {
        Part::Whole(leaf) => vec![leaf],
        Part::Fields(slots) => slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Shown(leaf) => Some(leaf),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let media_type = match (part, leaves.first()) {
        (Part::Whole(_), Some(leaf)) => leaf.media_type.to_string(),
        _ => String::new(),
    };
    (presence, media_type, leaves.iter().map(|leaf| leaf.bytes.len()).sum())
}

/// Writes a row. A cell that a spreadsheet would take for a formula begins with an apostrophe, and so does one that begins with an
/// apostrophe itself: whoever strips one has the text back. What could act on a screen is escaped.
pub(super) fn write<W: Write>(sink: &mut W, cells: &[impl AsRef<str>]) -> io::Result<()> {
    let mut line = String::with_capacity(512);
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        push(&mut line, cell.as_ref());
    }
    line.push_str("\r\n");
    sink.write_all(line.as_bytes())
}

fn push(line: &mut String, cell: &str) {
    let is_plain = cell.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'.' | b':'));
    if is_plain {
        return line.push_str(cell);
    }
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'']);
    let cell = text::printable(cell);
    let is_quoted = cell.contains(['"', ',']) || cell.starts_with(' ') || cell.ends_with(' ');
    let quote = if is_quoted { "\"" } else { "" };
    line.push_str(quote);
    if is_formula {
        line.push('\'');
    }
    line.push_str(&cell.replace('"', "\"\""));
    line.push_str(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        for (cell, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\t=1", "'\\t=1"),
            ("\r=1", "'\\r=1"),
            ("'quoted", "''quoted"),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("two\nlines", "two\\nlines"),
            ("\u{202e}evil", "\\u{202e}evil"),
            (" padded", "\" padded\""),
            ("", ""),
        ] {
            let mut line = Vec::new();
            write(&mut line, &[cell, "x"]).unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), format!("{expected},x\r\n"), "{cell:?}");
        }
    }
}
