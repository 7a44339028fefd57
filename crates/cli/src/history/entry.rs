//! An entry in words: its fields, and what there is of its payload.

use std::fmt::{self, Write as _};

use sigchain::digest::Digest;
use sigchain::frame::Written;
use sigchain::payload::{Leaf, Part, Presence, Slot};
use sigchain::text;

use crate::out::{self, entries, grouped, safe};

/// Bytes of a payload that are shown in hexadecimal.
const BYTES_SHOWN: usize = 256;
/// Lines of a payload that are shown as text, and characters of each.
const LINES_SHOWN: usize = 100;
const CHARACTERS_SHOWN: usize = 1000;

/// All of an entry, in words.
pub(super) fn write(
    out: &mut String,
    name: &str,
    (chain_id, digest): (&Digest, &Digest),
    written: &Written<'_>,
) -> fmt::Result {
    let fields = &written.fields;
    let none = || "-".to_owned();
    writeln!(out, "entry {} of {name}, chain {chain_id}", fields.sequence)?;
    writeln!(out, "  actor            {}", safe(&fields.actor))?;
    let or_dash = |value: Option<String>| value.unwrap_or_else(none);
    writeln!(out, "  causation_id     {}", or_dash(fields.causation_id.map(|id| id.to_string())))?;
    writeln!(
        out,
        "  correlation_id   {}",
        fields.correlation_id.as_deref().map_or_else(none, safe)
    )?;
    writeln!(out, "  episode_id       {}", fields.episode_id.as_deref().map_or_else(none, safe))?;
    writeln!(out, "  event_id         {}", fields.event_id)?;
    writeln!(out, "  event_type       {}", safe(&fields.event_type))?;
    writeln!(out, "  payload_hash     {}", fields.payload_hash)?;
    writeln!(out, "  prior_hash       {}", fields.prior_hash)?;
    writeln!(out, "  schema_version   {}", fields.schema_version)?;
    writeln!(out, "  sequence         {}", fields.sequence)?;
    writeln!(out, "  signer_key_id    {}", fields.signer_key_id)?;
    writeln!(out, "  span_id          {}", or_dash(fields.span_id.map(|id| id.to_string())))?;
    writeln!(
        out,
        "  system_time      {}   (stamp {})",
        fields.system_time,
        fields.system_time.hex()
    )?;
    writeln!(out, "  trace_id         {}", or_dash(fields.trace_id.map(|id| id.to_string())))?;
    writeln!(
        out,
        "  valid_from       {}",
        or_dash(fields.valid_from.map(|time| time.to_string()))
    )?;
    writeln!(out, "  valid_to         {}", or_dash(fields.valid_to.map(|time| time.to_string())))?;
    writeln!(out, "digest      {digest}")?;
    writeln!(out, "signature   {}", text::hex(written.signature.as_bytes()))?;
    writeln!(out, "            accepted, by key {}", fields.signer_key_id)?;
    if written.left > 0 {
        writeln!(out, "batch       {} of it follow", entries(u64::from(written.left)))?;
    }
    payload(out, &written.part)
}

fn payload(out: &mut String, part: &Part<'_>) -> fmt::Result {
    match part {
        Part::Whole(leaf) => {
            write!(out, "payload     ")?;
            value(out, leaf)
        }
        Part::Fields(slots) => {
            let hidden =
                if part.presence() == Presence::Partial { ", not all of them shown" } else { "" };
            let count = u64::try_from(slots.len()).unwrap_or(u64::MAX);
            writeln!(
                out,
                "payload     committed by field, {}{hidden}",
                out::plural(count, "field")
            )?;
            for slot in slots {
                match slot {
                    Slot::Hidden(hash) => hidden_field(out, hash)?,
                    Slot::Shown(leaf) => {
                        write!(
                            out,
                            "  field {}: ",
                            safe(leaf.name.as_deref().unwrap_or_default())
                        )?;
                        value(out, leaf)?;
                    }
                    _ => writeln!(out, "  a field of another kind")?,
                }
            }
            Ok(())
        }
        Part::Erased(by) => writeln!(out, "payload     erased: entry {by} says so"),
        Part::Withheld => {
            writeln!(out, "payload     withheld (in the word of whoever made the file)")
        }
        _ => writeln!(out, "payload     of another kind"),
    }
}

fn hidden_field(out: &mut String, hash: &Digest) -> fmt::Result {
    writeln!(out, "  a hidden field, of hash {hash}")
}

/// Size and type, then the bytes: text line by line, each behind an indent that no line of ours has, or hexadecimal.
fn value(out: &mut String, leaf: &Leaf<'_>) -> fmt::Result {
    let size = u64::try_from(leaf.bytes.len()).unwrap_or(u64::MAX);
    let media_type = if leaf.media_type.is_empty() { "no media type" } else { &leaf.media_type };
    writeln!(out, "{}, {}", out::plural(size, "byte"), safe(media_type))?;
    let is_plain = |c: char| matches!(c, '\t' | '\n' | '\r') || !text::is_control(c);
    match std::str::from_utf8(&leaf.bytes).ok().filter(|text| text.chars().all(is_plain)) {
        Some(text) => plain(out, text),
        None => dump(out, &leaf.bytes),
    }
}

fn plain(out: &mut String, payload: &str) -> fmt::Result {
    let mut is_short = false;
    for (number, line) in payload.lines().enumerate() {
        if number >= LINES_SHOWN {
            is_short = true;
            break;
        }
        is_short |= line.chars().nth(CHARACTERS_SHOWN).is_some();
        writeln!(out, "    | {}", text::shown(line, CHARACTERS_SHOWN))?;
    }
    if is_short {
        writeln!(out, "    (shortened: --json has all of it)")?;
    }
    Ok(())
}

fn dump(out: &mut String, bytes: &[u8]) -> fmt::Result {
    for (row, piece) in bytes.chunks(16).take(BYTES_SHOWN / 16).enumerate() {
        let hex: Vec<String> = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| {
            if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' }
        };
        let ascii: String = piece.iter().map(shown).collect();
        writeln!(out, "    {:06x}  {:<47}  {ascii}", row * 16, hex.join(" "))?;
    }
    let more = bytes.len().saturating_sub(BYTES_SHOWN);
    if more > 0 {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        writeln!(out, "    (shortened: {} more; --json has all of it)", grouped(more))?;
    }
    Ok(())
}
