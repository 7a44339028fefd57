//! Text forms of bytes, and of text that must not do anything to the terminal that shows it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    push_hex(&mut out, bytes);
    out
}

/// Appends lower-case hexadecimal.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }));
        }
    }
}

/// Parses exactly `2 * N` lower-case hexadecimal digits.
pub fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(out)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends base64url without padding.
pub(crate) fn push_base64url(out: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, out);
}

/// Parses base64url without padding; spare bits must be zero.
pub fn parse_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Standard base64 with padding, as signed notes use it.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Parses standard base64 with padding; spare bits must be zero.
pub fn parse_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Parses what a person may have copied: hexadecimal (either case) or base64url.
pub fn parse_binary<const N: usize>(text: &str) -> Option<[u8; N]> {
    parse_hex(&text.to_ascii_lowercase())
        .or_else(|| parse_base64url(text).and_then(|bytes| bytes.try_into().ok()))
}

/// Unicode category Cc: C0, DEL and C1.
pub fn is_control(c: char) -> bool {
    c.is_control()
}

/// Characters that change how the text around them is laid out (bidirectional controls, invisible marks), or are controls.
fn is_unsafe(c: char) -> bool {
    const INVISIBLE: [std::ops::RangeInclusive<char>; 13] = [
        '\u{ad}'..='\u{ad}',
        '\u{115f}'..='\u{1160}',
        '\u{180e}'..='\u{180e}',
        '\u{3164}'..='\u{3164}',
        '\u{ffa0}'..='\u{ffa0}',
        '\u{061c}'..='\u{061c}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
        '\u{fff9}'..='\u{fffb}',
        '\u{e0000}'..='\u{e007f}',
        '\u{e000}'..='\u{f8ff}',
    ];
    is_control(c) || INVISIBLE.iter().any(|range| range.contains(&c))
}

/// The text with everything escaped that could act on a terminal or deceive a reader: `\n`, `\u{202e}`.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) || c == '\\' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// As `printable`, cut after so many characters.
pub fn shown(text: &str, max: usize) -> String {
    let mut shown = printable(&text.chars().take(max).collect::<String>());
    if text.chars().nth(max).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Appends `text` as a JSON string, escaped as RFC 8785 does.
pub fn json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // What needs no escape is copied by the run: a character at a time costs more than all the rest of a line.
    while let Some(at) = rest.bytes().position(|b| matches!(b, b'"' | b'\\' | ..=0x1f)) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut tail = tail.chars();
        escape(out, tail.next().unwrap_or_default());
        rest = tail.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn escape(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        c => {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_and_bidi_character_is_escaped() {
        for c in (0..=0x1f).chain(0x7f..=0x9f).chain(0x202a..=0x202e).chain(0x2066..=0x2069) {
            let c = char::from_u32(c).unwrap();
            let shown = printable(&format!("a{c}b"));
            assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{c:?} shown as {shown:?}");
        }
        assert_eq!(printable("plain, \u{e9}"), "plain, \u{e9}");
    }

    #[test]
    fn binary_is_canonical() {
        assert_eq!(parse_hex::<2>("0aff"), Some([10, 255]));
        assert_eq!(parse_hex::<2>("0AFF"), None);
        assert_eq!(parse_base64url("AA"), Some(vec![0]));
        assert_eq!(parse_base64url("AB"), None, "spare bits");
        assert_eq!(parse_base64url("AA=="), None, "padding");
        assert_eq!(parse_base64("AA"), None, "no padding");
    }
}
