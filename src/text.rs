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
    let mut digits = [0; 64];
    for piece in bytes.chunks(digits.len() / 2) {
        for (pair, byte) in digits.chunks_exact_mut(2).zip(piece) {
            pair.copy_from_slice(&hex_digits(*byte));
        }
        let shown = digits.get(..piece.len() * 2).unwrap_or_default();
        out.push_str(str::from_utf8(shown).unwrap_or_default());
    }
}

/// Appends a number. The machinery of formats takes several times as long, and a line has many.
pub fn push_number(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        from -= 1;
        if number == 0 {
            break;
        }
    }
    out.push_str(str::from_utf8(digits.get(from..).unwrap_or_default()).unwrap_or_default());
}

/// The two digits of a byte.
pub(crate) fn hex_digits(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    [digit(byte >> 4), digit(byte & 15)]
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

/// How many bytes there are before the first that is not plain. Eight at once, as one number, and one after the other only where that
/// seems to hold another: `is_odd` may take a plain byte for one, and never the other way round.
pub(crate) fn plain_len(
    bytes: &[u8],
    is_odd: impl Fn(u64) -> bool,
    is_plain: impl Fn(u8) -> bool,
) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut len = 0;
    for word in words {
        if is_odd(u64::from_be_bytes(*word))
            && let Some(at) = word.iter().position(|byte| !is_plain(*byte))
        {
            return len + at;
        }
        len += 8;
    }
    len + rest.iter().take_while(|byte| is_plain(**byte)).count()
}

/// Each byte of a number the same.
const fn eight(byte: u8) -> u64 {
    u64::from_be_bytes([byte; 8])
}

/// Whether one of the bytes of a number is this one.
pub(crate) fn has_byte(word: u64, byte: u8) -> bool {
    let differs = word ^ eight(byte);
    differs.wrapping_sub(eight(1)) & !differs & eight(0x80) != 0
}

/// Whether one of the bytes of a number is a C0 control character.
pub(crate) fn has_control(word: u64) -> bool {
    word.wrapping_sub(eight(0x20)) & !word & eight(0x80) != 0
}

/// Whether one of the bytes of a number is not ASCII.
pub(crate) fn has_high(word: u64) -> bool {
    word & eight(0x80) != 0
}

/// Appends `text` as a JSON string, escaped as RFC 8785 does.
pub fn json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // What needs no escape is copied by the run: a character at a time costs more than all the rest of a line.
    loop {
        // What is not plain is ASCII, so that this is a boundary.
        let is_odd = |word| has_control(word) || has_byte(word, b'"') || has_byte(word, b'\\');
        let is_plain = |b| !matches!(b, b'"' | b'\\' | ..=0x1f);
        let at = plain_len(rest.as_bytes(), is_odd, is_plain);
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut tail = tail.chars();
        let Some(c) = tail.next() else { break };
        escape(out, c);
        rest = tail.as_str();
    }
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
    fn a_string_is_escaped_wherever_that_begins() {
        for at in 0..70 {
            let (before, behind) = ("\u{e9}x".repeat(at), "y".repeat(40));
            let mut out = String::new();
            json_string(&mut out, &format!("{before}\"{behind}\n"));
            assert_eq!(out, format!("\"{before}\\\"{behind}\\n\""));
        }
        // Each byte at each place of a word, beside each kind of neighbour.
        for byte in 0..=0xff_u8 {
            for (at, beside) in (0..8).flat_map(|at| [0x20, 0x22, 0x7e, 0xff].map(|b| (at, b))) {
                let mut word = [beside; 8];
                word[at] = byte;
                let number = u64::from_be_bytes(word);
                assert_eq!(has_byte(number, b'"'), word.contains(&b'"'), "{word:?}");
                assert_eq!(has_control(number), word.iter().any(|b| *b < 0x20), "{word:?}");
                assert_eq!(has_high(number), !word.is_ascii(), "{word:?}");
            }
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let slow: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex(&bytes), slow.concat());
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
