//! JSON lines: the same frames as text, one a line, with exactly one text for each.
//!
//! Parsed by expecting that text and nothing else, so there is no second spelling to refuse afterwards: no white space, no
//! other order of keys, no `1.0`, no needless escape. Types go by field, never by value.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::checkpoint::{Checkpoint, Seal, SealState};
use crate::codec::DecodeError;
use crate::digest::Digest;
use crate::entry::Fields;
use crate::frame::{Attachment, Frame, Gap, GapReason, Kind, Summary, Target, Trailer, Written};
use crate::id::{EventId, SpanId, TraceId};
use crate::key::{KeyId, Signature};
use crate::limit::{self, SEQUENCE_MAX, SIZE_MAX};
use crate::payload::{Leaf, Part, Slot};
use crate::stamp::{Stamp, ValidTime};
use crate::text;

/// Bytes of a line, line feed included.
pub const LINE_MAX: usize = 36 << 20;

/// How a line begins that is no entry.
const FRAME: &str = "{\"frame\":\"";

/// What kind of frame a line holds, as far as its beginning tells; `None` if it names a kind that does not exist.
pub fn kind(line: &[u8]) -> Option<Kind> {
    let Some(rest) = line.strip_prefix(FRAME.as_bytes()) else { return Some(Kind::Entry) };
    let name = rest.get(..rest.iter().position(|b| *b == b'"')?)?;
    Kind::from_name(std::str::from_utf8(name).ok()?)
}

/// The line of a frame, with its line feed.
pub fn encode(frame: &Frame<'_>) -> String {
    let mut out = String::with_capacity(1024);
    push(&mut out, frame);
    out
}

/// Appends the line of a frame, with its line feed.
pub fn push(out: &mut String, frame: &Frame<'_>) {
    match frame {
        Frame::Entry(written) => return push_entry(out, written),
        Frame::Attachment(attachment) => {
            let (kind, number) = attachment.target.numbers();
            put(out, "{\"frame\":\"attachment\",\"bytes\":");
            binary(out, &attachment.bytes);
            put_number(out, ",\"kind\":", kind);
            put_number(out, ",\"number\":", number);
            put_string(out, ",\"type\":", &attachment.type_name);
        }
        Frame::Checkpoint(checkpoint) => {
            put_string(out, "{\"frame\":\"checkpoint\",\"note\":", &checkpoint.encode());
        }
        Frame::Gap(gap) => {
            put_number(out, "{\"frame\":\"gap\",\"count\":", gap.count);
            put_number(out, ",\"first\":", gap.first);
            hashes(out, ",\"hashes\":", &gap.hashes);
            put_number(out, ",\"reason\":", gap.reason.number());
        }
        Frame::Header { version, chain_id } => {
            put_binary(out, "{\"frame\":\"header\",\"chain_id\":", chain_id.as_bytes());
            put_number(out, ",\"version\":", *version);
        }
        Frame::Seal(seal) => {
            let state = &seal.state;
            put_number(out, "{\"frame\":\"seal\",\"epoch\":", state.epoch);
            hashes(out, ",\"frontier\":", &state.frontier);
            put_binary(out, ",\"head\":", state.head.as_bytes());
            put_binary(out, ",\"keyring\":", state.keyring.as_bytes());
            put(out, ",\"quarantined\":");
            put(out, if state.quarantined { "true" } else { "false" });
            put_binary(out, ",\"signature\":", seal.signature.as_bytes());
            put_binary(out, ",\"signer_key_id\":", seal.signer.as_bytes());
            put_number(out, ",\"size\":", state.size);
            put_hex(out, ",\"stamp\":", Some(&state.stamp.as_u64().to_be_bytes()));
        }
        Frame::Trailer(trailer) => {
            put_number(out, "{\"frame\":\"trailer\",\"frames\":", trailer.frames);
            match &trailer.summary {
                Summary::Signed(checkpoint) => {
                    put_string(out, ",\"note\":", &checkpoint.encode());
                }
                Summary::Unsigned { size, root } => {
                    put_binary(out, ",\"root\":", root.as_bytes());
                    put_number(out, ",\"size\":", *size);
                }
            }
        }
    }
    put(out, "}\n");
}

fn put(out: &mut String, text: &str) {
    out.push_str(text);
}

fn put_number(out: &mut String, key: &str, number: u64) {
    put(out, key);
    text::push_number(out, number);
}

fn put_string(out: &mut String, key: &str, value: &str) {
    put(out, key);
    text::json_string(out, value);
}

fn put_string_or_null(out: &mut String, key: &str, value: Option<&str>) {
    match value {
        Some(value) => put_string(out, key, value),
        None => put_null(out, key),
    }
}

fn put_binary(out: &mut String, key: &str, bytes: &[u8]) {
    put(out, key);
    binary(out, bytes);
}

fn put_hex(out: &mut String, key: &str, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return put_null(out, key) };
    put(out, key);
    out.push('"');
    text::push_hex(out, bytes);
    out.push('"');
}

fn put_quoted_or_null(out: &mut String, key: &str, value: Option<impl std::fmt::Display>) {
    match value {
        Some(value) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{key}\"{value}\"");
        }
        None => put_null(out, key),
    }
}

fn put_null(out: &mut String, key: &str) {
    put(out, key);
    put(out, "null");
}

fn binary(out: &mut String, bytes: &[u8]) {
    out.push('"');
    text::push_base64url(out, bytes);
    out.push('"');
}

fn hashes(out: &mut String, key: &str, hashes: &[Digest]) {
    out.push_str(key);
    for (at, hash) in hashes.iter().enumerate() {
        out.push(if at == 0 { '[' } else { ',' });
        binary(out, hash.as_bytes());
    }
    out.push_str(if hashes.is_empty() { "[]" } else { "]" });
}

/// Appends the line of an entry, with its line feed. Live logs are made of it, beside the appends: it allocates little.
pub fn push_entry(out: &mut String, written: &Written<'_>) {
    let fields = &written.fields;
    put_string(out, "{\"actor\":", &fields.actor);
    put_quoted_or_null(out, ",\"causation_id\":", fields.causation_id);
    put_string_or_null(out, ",\"correlation_id\":", fields.correlation_id.as_deref());
    put_string_or_null(out, ",\"episode_id\":", fields.episode_id.as_deref());
    put_quoted_or_null(out, ",\"event_id\":", Some(fields.event_id));
    put_string(out, ",\"event_type\":", &fields.event_type);
    put_number(out, ",\"left\":", u64::from(written.left));
    put(out, ",\"payload\":");
    encode_part(out, &written.part);
    put_binary(out, ",\"payload_hash\":", fields.payload_hash.as_bytes());
    put_binary(out, ",\"prior_hash\":", fields.prior_hash.as_bytes());
    put_number(out, ",\"schema_version\":", u64::from(fields.schema_version));
    put_number(out, ",\"sequence\":", fields.sequence);
    put_binary(out, ",\"signature\":", written.signature.as_bytes());
    put_binary(out, ",\"signer_key_id\":", fields.signer_key_id.as_bytes());
    put_hex(out, ",\"span_id\":", fields.span_id.as_ref().map(|id| &id.as_bytes()[..]));
    put_hex(out, ",\"system_time\":", Some(&fields.system_time.as_u64().to_be_bytes()));
    put_hex(out, ",\"trace_id\":", fields.trace_id.as_ref().map(|id| &id.as_bytes()[..]));
    put_quoted_or_null(out, ",\"valid_from\":", fields.valid_from);
    put_quoted_or_null(out, ",\"valid_to\":", fields.valid_to);
    put(out, "}\n");
}

fn encode_part(out: &mut String, part: &Part<'_>) {
    match part {
        Part::Erased(by) => {
            put_number(out, "{\"erased\":", *by);
            out.push('}');
        }
        Part::Withheld => put(out, "{\"withheld\":true}"),
        Part::Whole(leaf) => encode_leaf(out, leaf),
        Part::Fields(slots) => {
            put(out, "{\"fields\":");
            for (at, slot) in slots.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                match slot {
                    Slot::Hidden(hash) => {
                        put_binary(out, "{\"hash\":", hash.as_bytes());
                        out.push('}');
                    }
                    Slot::Shown(leaf) => encode_leaf(out, leaf),
                }
            }
            put(out, "]}");
        }
    }
}

fn encode_leaf(out: &mut String, leaf: &Leaf<'_>) {
    let plain = as_plain_text(&leaf.bytes);
    out.push('{');
    if plain.is_none() {
        put_binary(out, "\"base64\":", &leaf.bytes);
        out.push(',');
    }
    put_string(out, "\"media_type\":", &leaf.media_type);
    if let Some(name) = &leaf.name {
        put_string(out, ",\"name\":", name);
    }
    put_binary(out, ",\"salt\":", &leaf.salt);
    if let Some(plain) = plain {
        put_string(out, ",\"text\":", plain);
    }
    out.push('}');
}

/// The bytes as text, if they are UTF-8 without control characters other than tab, line feed and carriage return.
fn as_plain_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let plain = |c: char| matches!(c, '\t' | '\n' | '\r') || !text::is_control(c);
    // Nearly all text is ASCII throughout, where a look at the bytes is enough.
    let is_plain_ascii = |b: u8| matches!(b, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    let is_odd =
        |word| text::has_high(word) || text::has_control(word) || text::has_byte(word, 0x7f);
    let ascii = text::plain_len(bytes, is_odd, is_plain_ascii);
    let is_plain = text.get(ascii..).is_none_or(|rest| rest.chars().all(plain));
    is_plain.then_some(text)
}

/// Parses a line, without its line feed.
pub fn parse(line: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let line = std::str::from_utf8(line)
        .map_err(|e| DecodeError::new(e.valid_up_to(), "UTF-8", "other bytes"))?;
    let c = &mut Cursor { line, at: 0 };
    let kind = kind(line.as_bytes()).ok_or(c.wrong("a kind of frame", "another name"))?;
    let frame = match kind {
        Kind::Attachment => parse_attachment(c)?,
        Kind::Checkpoint => {
            c.expect("{\"frame\":\"checkpoint\",\"note\":")?;
            Frame::Checkpoint(c.note()?)
        }
        Kind::Entry => Frame::Entry(Box::new(parse_entry(c)?)),
        Kind::Gap => parse_gap(c)?,
        Kind::Header => parse_header(c)?,
        Kind::Seal => Frame::Seal(parse_seal(c)?),
        Kind::Trailer => parse_trailer(c)?,
    };
    c.expect("}")?;
    if c.rest().is_empty() { Ok(frame) } else { Err(c.wrong("the end of the line", "more")) }
}

/// Walks over a line, expecting.
#[derive(Debug)]
struct Cursor<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, expected: &'static str, found: &'static str) -> DecodeError {
        DecodeError::new(self.at, expected, found)
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn expect(&mut self, text: &'static str) -> Result<(), DecodeError> {
        if self.accept(text) { Ok(()) } else { Err(self.wrong(text, "another text")) }
    }

    fn number(&mut self, max: u64) -> Result<u64, DecodeError> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let digits = self.rest().get(..digits).unwrap_or_default();
        let canonical = digits == "0" || !digits.starts_with('0');
        let number = digits.parse().ok().filter(|number| canonical && *number <= max);
        let number = number.ok_or(self.wrong("a number within its limit", "another"))?;
        self.at += digits.len();
        Ok(number)
    }

    fn bool(&mut self) -> Result<bool, DecodeError> {
        if self.accept("true") {
            return Ok(true);
        }
        self.expect("false").map(|()| false)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.expect("\"")?;
        let body = self.rest();
        let plain = |b: &u8| !matches!(b, b'"' | b'\\' | ..=0x1f);
        let len = body.bytes().take_while(plain).count();
        if body.as_bytes().get(len) == Some(&b'"') {
            self.at += len + 1;
            return Ok(Cow::Borrowed(body.get(..len).unwrap_or_default()));
        }
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let len = rest.bytes().take_while(plain).count();
            out.push_str(rest.get(..len).unwrap_or_default());
            self.at += len;
            match rest.as_bytes().get(len) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.wrong("an escaped control character", "a bare one")),
                None => return Err(self.wrong("the end of a string", "the end of the line")),
            }
        }
    }

    /// The one escape of each character that has one.
    fn escape(&mut self) -> Result<char, DecodeError> {
        const SHORT: [(&str, char); 7] = [
            ("\\\"", '"'),
            ("\\\\", '\\'),
            ("\\b", '\u{8}'),
            ("\\t", '\t'),
            ("\\n", '\n'),
            ("\\f", '\u{c}'),
            ("\\r", '\r'),
        ];
        for (escape, c) in SHORT {
            if self.accept(escape) {
                return Ok(c);
            }
        }
        let wrong = self.wrong("the one escape of a character", "another");
        let digits = self.rest().strip_prefix("\\u00").and_then(|rest| rest.get(..2));
        let byte = digits.and_then(text::parse_hex::<1>).map(|[byte]| byte).ok_or(wrong.clone())?;
        if byte > 0x1f || matches!(byte, 8 | 9 | 10 | 12 | 13) {
            return Err(wrong);
        }
        self.at += 6;
        Ok(char::from(byte))
    }

    fn parsed<T>(
        &mut self,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, DecodeError> {
        let start = self.at;
        let text = self.string()?;
        parse(&text).ok_or(DecodeError::new(start, expected, "another text"))
    }

    fn label(
        &mut self,
        expected: &'static str,
        fits: fn(&str) -> bool,
    ) -> Result<Cow<'a, str>, DecodeError> {
        let start = self.at;
        let text = self.string()?;
        if fits(&text) { Ok(text) } else { Err(DecodeError::new(start, expected, "another text")) }
    }

    fn bytes(&mut self) -> Result<Vec<u8>, DecodeError> {
        self.parsed("base64url without padding", text::parse_base64url)
    }

    fn exact<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let exact = |text: &str| text::parse_base64url(text).and_then(|b| b.try_into().ok());
        self.parsed("base64url of the right length", exact)
    }

    fn digest(&mut self) -> Result<Digest, DecodeError> {
        self.exact().map(Digest::new)
    }

    fn digests(&mut self, max: usize) -> Result<Vec<Digest>, DecodeError> {
        self.expect("[")?;
        let mut digests = Vec::new();
        if self.accept("]") {
            return Ok(digests);
        }
        loop {
            if digests.len() >= max {
                return Err(self.wrong("fewer hashes", "more"));
            }
            digests.push(self.digest()?);
            if self.accept("]") {
                return Ok(digests);
            }
            self.expect(",")?;
        }
    }

    fn or_null<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.accept("null") { Ok(None) } else { read(self).map(Some) }
    }

    fn stamp(&mut self) -> Result<Stamp, DecodeError> {
        self.parsed("16 hexadecimal digits", Stamp::parse_hex)
    }

    fn note(&mut self) -> Result<Checkpoint, DecodeError> {
        let start = self.at;
        let note = self.string()?;
        Checkpoint::parse(note.as_bytes())
            .map_err(|error| DecodeError::new(start, error.expected, error.found))
    }
}

fn parse_entry<'a>(c: &mut Cursor<'a>) -> Result<Written<'a>, DecodeError> {
    const EVENT_ID: &str = "a UUID of version 7";
    const GROUP: &str = "1 to 128 bytes of text without control characters";
    let event_id = |c: &mut Cursor<'a>| c.parsed(EVENT_ID, EventId::parse);
    let time = |c: &mut Cursor<'a>| c.parsed("YYYY-MM-DDTHH:MM:SS.ffffffZ", ValidTime::parse);
    c.expect("{\"actor\":")?;
    let actor = c.label("1 to 256 bytes of text without control characters", limit::is_actor)?;
    c.expect(",\"causation_id\":")?;
    let causation_id = c.or_null(event_id)?;
    c.expect(",\"correlation_id\":")?;
    let correlation_id = c.or_null(|c| c.label(GROUP, limit::is_group))?;
    c.expect(",\"episode_id\":")?;
    let episode_id = c.or_null(|c| c.label(GROUP, limit::is_group))?;
    c.expect(",\"event_id\":")?;
    let event_id = event_id(c)?;
    c.expect(",\"event_type\":")?;
    let event_type = c.label("dotted lower-case words", limit::is_event_type)?;
    c.expect(",\"left\":")?;
    let left = u16::try_from(c.number(0xffff)?).unwrap_or(u16::MAX);
    c.expect(",\"payload\":")?;
    let part = parse_part(c)?;
    c.expect(",\"payload_hash\":")?;
    let payload_hash = c.digest()?;
    c.expect(",\"prior_hash\":")?;
    let prior_hash = c.digest()?;
    c.expect(",\"schema_version\":")?;
    let schema_version = u16::try_from(c.number(0xffff)?).unwrap_or(u16::MAX);
    c.expect(",\"sequence\":")?;
    let sequence = c.number(SEQUENCE_MAX)?;
    c.expect(",\"signature\":")?;
    let signature = Signature::new(c.exact()?);
    c.expect(",\"signer_key_id\":")?;
    let signer_key_id = KeyId::new(c.exact()?);
    c.expect(",\"span_id\":")?;
    let span_id = c.or_null(|c| c.parsed("a span id", SpanId::parse))?;
    c.expect(",\"system_time\":")?;
    let system_time = c.stamp()?;
    c.expect(",\"trace_id\":")?;
    let trace_id = c.or_null(|c| c.parsed("a trace id", TraceId::parse))?;
    c.expect(",\"valid_from\":")?;
    let valid_from = c.or_null(time)?;
    c.expect(",\"valid_to\":")?;
    let valid_to = c.or_null(time)?;
    let fields = Fields {
        actor,
        causation_id,
        correlation_id,
        episode_id,
        event_id,
        event_type,
        payload_hash,
        prior_hash,
        schema_version,
        sequence,
        signer_key_id,
        span_id,
        system_time,
        trace_id,
        valid_from,
        valid_to,
    };
    fields.check().map_err(|expected| DecodeError::new(0, expected, "another"))?;
    Ok(Written { left, fields, signature, part })
}

fn parse_part<'a>(c: &mut Cursor<'a>) -> Result<Part<'a>, DecodeError> {
    let start = c.at;
    let part = if c.accept("{\"erased\":") {
        let by = c.number(SEQUENCE_MAX)?;
        c.expect("}")?;
        Part::Erased(by)
    } else if c.accept("{\"withheld\":true}") {
        Part::Withheld
    } else if c.accept("{\"fields\":[") {
        let mut slots = Vec::new();
        loop {
            if slots.len() >= limit::LEAVES_MAX {
                return Err(c.wrong("at most 256 fields", "more"));
            }
            if c.accept("{\"hash\":") {
                slots.push(Slot::Hidden(c.digest()?));
                c.expect("}")?;
            } else {
                slots.push(Slot::Shown(parse_leaf(c, true)?));
            }
            if c.accept("]}") {
                break;
            }
            c.expect(",")?;
        }
        Part::Fields(slots)
    } else {
        Part::Whole(parse_leaf(c, false)?)
    };
    part.check_sizes().map_err(|expected| DecodeError::new(start, expected, "another"))?;
    Ok(part)
}

fn parse_leaf<'a>(c: &mut Cursor<'a>, named: bool) -> Result<Leaf<'a>, DecodeError> {
    c.expect("{")?;
    let binary = if c.accept("\"base64\":") {
        let start = c.at;
        let bytes = c.bytes()?;
        if as_plain_text(&bytes).is_some() {
            return Err(DecodeError::new(start, "text, where the bytes are text", "base64"));
        }
        c.expect(",")?;
        Some(bytes)
    } else {
        None
    };
    c.expect("\"media_type\":")?;
    let media_type = c.label("a media type", limit::is_media_type)?;
    let name = if named {
        c.expect(",\"name\":")?;
        Some(c.label("a field name", limit::is_name)?)
    } else {
        None
    };
    c.expect(",\"salt\":")?;
    let salt = c.exact()?;
    let bytes = match binary {
        Some(bytes) => Cow::Owned(bytes),
        None => parse_plain_text(c)?,
    };
    c.expect("}")?;
    Ok(Leaf { salt, name, media_type, bytes })
}

fn parse_plain_text<'a>(c: &mut Cursor<'a>) -> Result<Cow<'a, [u8]>, DecodeError> {
    c.expect(",\"text\":")?;
    let start = c.at;
    let text = c.string()?;
    if as_plain_text(text.as_bytes()).is_none() {
        let expected = "base64, where the bytes hold control characters";
        return Err(DecodeError::new(start, expected, "text"));
    }
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

fn parse_attachment<'a>(c: &mut Cursor<'a>) -> Result<Frame<'a>, DecodeError> {
    c.expect("{\"frame\":\"attachment\",\"bytes\":")?;
    let bytes = c.bytes()?;
    c.expect(",\"kind\":")?;
    let kind = c.number(2)?;
    c.expect(",\"number\":")?;
    let number = c.number(SIZE_MAX)?;
    let target = Target::from_numbers(kind, number).ok_or(c.wrong("a target", "another number"))?;
    c.expect(",\"type\":")?;
    let wrong = c.wrong("a type of 1 to 128 visible characters, 16 MiB", "another");
    Attachment::new(c.string()?, target, bytes).map(Frame::Attachment).ok_or(wrong)
}

fn parse_gap<'a>(c: &mut Cursor<'a>) -> Result<Frame<'a>, DecodeError> {
    c.expect("{\"frame\":\"gap\",\"count\":")?;
    let count = c.number(SIZE_MAX)?;
    c.expect(",\"first\":")?;
    let first = c.number(SIZE_MAX)?;
    c.expect(",\"hashes\":")?;
    let hashes = c.digests(128)?;
    c.expect(",\"reason\":")?;
    let wrong = c.wrong("a range behind entry 0 with as many hashes as it has subtrees", "another");
    let reason = GapReason::from_number(c.number(2)?).ok_or(wrong.clone())?;
    Gap::new(first, count, reason, hashes).map(Frame::Gap).ok_or(wrong)
}

fn parse_header<'a>(c: &mut Cursor<'a>) -> Result<Frame<'a>, DecodeError> {
    c.expect("{\"frame\":\"header\",\"chain_id\":")?;
    let chain_id = c.digest()?;
    c.expect(",\"version\":")?;
    Ok(Frame::Header { version: c.number(u64::MAX)?, chain_id })
}

fn parse_seal(c: &mut Cursor<'_>) -> Result<Seal, DecodeError> {
    c.expect("{\"frame\":\"seal\",\"epoch\":")?;
    let epoch = c.number(SEQUENCE_MAX)?;
    c.expect(",\"frontier\":")?;
    let frontier = c.digests(64)?;
    c.expect(",\"head\":")?;
    let head = c.digest()?;
    c.expect(",\"keyring\":")?;
    let keyring = c.digest()?;
    c.expect(",\"quarantined\":")?;
    let quarantined = c.bool()?;
    c.expect(",\"signature\":")?;
    let signature = Signature::new(c.exact()?);
    c.expect(",\"signer_key_id\":")?;
    let signer = KeyId::new(c.exact()?);
    c.expect(",\"size\":")?;
    let size = c.number(SIZE_MAX)?;
    c.expect(",\"stamp\":")?;
    let stamp = c.stamp()?;
    if size == 0 || frontier.len() != crate::tree::split_len(0, size) {
        return Err(c.wrong("a size of at least 1 and its frontier", "another"));
    }
    let state = SealState { size, head, stamp, frontier, keyring, epoch, quarantined };
    Ok(Seal { state, signer, signature })
}

fn parse_trailer<'a>(c: &mut Cursor<'a>) -> Result<Frame<'a>, DecodeError> {
    c.expect("{\"frame\":\"trailer\",\"frames\":")?;
    let frames = c.number(SIZE_MAX)?;
    if c.accept(",\"note\":") {
        return Ok(Frame::Trailer(Trailer::new(frames, Summary::Signed(c.note()?))));
    }
    c.expect(",\"root\":")?;
    let root = c.digest()?;
    c.expect(",\"size\":")?;
    let size = c.number(SIZE_MAX)?;
    if size == 0 {
        return Err(c.wrong("a size of at least 1", "0"));
    }
    Ok(Frame::Trailer(Trailer::new(frames, Summary::Unsigned { size, root })))
}
