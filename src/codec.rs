//! The one encoding: deterministic CBOR, RFC 8949 section 4.2.1, and no more of it than the format uses.
//!
//! `Writer` cannot produce anything else; `Reader` accepts nothing else and says at which byte it stopped.
//! Knows bytes and numbers only. Invariant: whatever `Reader` accepts, `Writer` encodes to the same bytes.

use std::cell::Cell;
use std::fmt;

/// Deepest nesting that is followed; an item at top level has depth 1.
pub const DEPTH_MAX: usize = 16;

const UINT: u8 = 0;
const NINT: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

/// Where and why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset of the first byte that is wrong, from the start of what was parsed.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
    /// What was found there.
    pub found: &'static str,
}

impl DecodeError {
    /// An error at byte `at`.
    pub fn new(at: usize, expected: &'static str, found: &'static str) -> Self {
        Self { at, expected, found }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: expected {}, found {}", self.at, self.expected, self.found)
    }
}

impl std::error::Error for DecodeError {}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Builds CBOR in its shortest form.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on behind bytes that are there already.
    pub fn over(out: Vec<u8>) -> Self {
        Self { out }
    }

    /// Lends a writer for something that is hashed and forgotten: its room is kept for the next, since digests are made by the
    /// hundred thousand.
    pub(crate) fn lend<T>(write: impl FnOnce(&mut Self) -> T) -> T {
        // Taken out, not borrowed: who is lent one while another is lent gets a new one.
        let mut writer = Self { out: SCRATCH.take() };
        writer.out.clear();
        let written = write(&mut writer);
        SCRATCH.set(writer.out);
        written
    }

    /// The bytes so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The bytes so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    #[expect(clippy::decimal_bitwise_operands, reason = "24 to 27 are how RFC 8949 writes them")]
    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        let be = value.to_be_bytes();
        let [_, _, _, _, b4, b5, b6, b7] = be;
        if value < 24 {
            self.out.push(major | b7);
        } else if value <= 0xff {
            self.out.extend_from_slice(&[major | 24, b7]);
        } else if value <= 0xffff {
            self.out.extend_from_slice(&[major | 25, b6, b7]);
        } else if value <= 0xffff_ffff {
            self.out.extend_from_slice(&[major | 26, b4, b5, b6, b7]);
        } else {
            self.out.push(major | 27);
            self.out.extend_from_slice(&be);
        }
        self
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UINT, value)
    }

    /// An integer of either sign.
    pub fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(UINT, value),
            // -1 - value, which for a negative i64 never overflows.
            Err(_) => self.head(NINT, (!value).unsigned_abs()),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(BYTES, len_u64(value.len()));
        self.out.extend_from_slice(value);
        self
    }

    /// The head of a byte string; `len` bytes must follow.
    pub fn bytes_head(&mut self, len: usize) -> &mut Self {
        self.head(BYTES, len_u64(len))
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(TEXT, len_u64(value.len()));
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    /// The head of an array; `len` items must follow.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.head(ARRAY, len_u64(len))
    }

    /// The head of a map; `len` pairs must follow, in ascending order of their encoded keys.
    pub fn map(&mut self, len: usize) -> &mut Self {
        self.head(MAP, len_u64(len))
    }

    /// `null`.
    pub fn null(&mut self) -> &mut Self {
        self.out.push(NULL);
        self
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.out.push(if value { TRUE } else { FALSE });
        self
    }

    /// One item that is CBOR already.
    pub fn item(&mut self, encoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(encoded);
        self
    }

    /// A byte string or `null`.
    pub fn bytes_or_null(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.bytes(value),
            None => self.null(),
        }
    }

    /// A text string or `null`.
    pub fn text_or_null(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }
}

/// Lengths in memory are at most 64 bits on every machine that Rust supports.
pub(crate) fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Reads CBOR strictly, without copying.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `all`.
    pub fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// An error at the next byte.
    pub fn wrong(&self, expected: &'static str, found: &'static str) -> DecodeError {
        DecodeError::new(self.at, expected, found)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    /// Fails unless everything was read.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.wrong("the end", "more bytes")) }
    }

    /// The bytes read since `from`.
    pub fn since(&self, from: usize) -> &'a [u8] {
        self.all.get(from..self.at).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.all.get(self.at).copied()
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = self.all.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or(self.wrong(what, "the end"))?;
        self.at += len;
        Ok(taken)
    }

    fn argument(&mut self, info: u8) -> Result<u64, DecodeError> {
        let start = self.at;
        let (width, least) = match info {
            0..=23 => return Ok(u64::from(info)),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            28..=30 => return Err(self.wrong("a length", "a reserved length")),
            _ => return Err(self.wrong("a definite length", "an indefinite one")),
        };
        let value = self
            .take(width, "an integer")?
            .iter()
            .fold(0u64, |value, byte| (value << 8) | u64::from(*byte));
        if value < least {
            return Err(DecodeError::new(start, "the shortest form", "a longer one"));
        }
        Ok(value)
    }

    fn head(&mut self, major: u8, expected: &'static str) -> Result<u64, DecodeError> {
        let Some(initial) = self.peek() else {
            return Err(self.wrong(expected, "the end"));
        };
        if initial >> 5 != major {
            return Err(self.wrong(expected, kind(initial)));
        }
        self.at += 1;
        self.argument(initial & 0x1f)
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        self.head(UINT, "an unsigned integer")
    }

    /// An unsigned integer of at most `max`.
    pub fn uint_max(&mut self, max: u64) -> Result<u64, DecodeError> {
        let start = self.at;
        let value = self.uint()?;
        if value > max {
            return Err(DecodeError::new(start, "a smaller number", "one above the limit"));
        }
        Ok(value)
    }

    /// An integer of either sign.
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        let start = self.at;
        let negative = self.peek().is_some_and(|initial| initial >> 5 == NINT);
        let value = self.head(if negative { NINT } else { UINT }, "an integer")?;
        let value = i64::try_from(value)
            .map_err(|_| DecodeError::new(start, "an integer of 64 bits", "a larger one"))?;
        Ok(if negative { !value } else { value })
    }

    fn string(&mut self, major: u8, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let len = self.head(major, what)?;
        let rest = len_u64(self.all.len().saturating_sub(self.at));
        if len > rest {
            return Err(DecodeError::new(start, "a length within the data", "a longer one"));
        }
        // `len` is at most the length of a slice, so the conversion cannot fail.
        self.take(usize::try_from(len).unwrap_or(usize::MAX), what)
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        self.string(BYTES, "a byte string")
    }

    /// A byte string of exactly `N` bytes.
    pub fn bytes_exact<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let start = self.at;
        self.bytes()?.try_into().map_err(|_| {
            DecodeError::new(start, "a byte string of the right length", "another length")
        })
    }

    /// A text string.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        let bytes = self.string(TEXT, "a text string")?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::new(start, "UTF-8", "other bytes"))
    }

    /// The head of an array: how many items follow.
    pub fn array(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let len = self.head(ARRAY, "an array")?;
        self.items_fit(start, len)
    }

    /// The head of an array of exactly `len` items.
    pub fn array_exact(&mut self, len: u64) -> Result<(), DecodeError> {
        let start = self.at;
        if self.array()? == len {
            Ok(())
        } else {
            Err(DecodeError::new(start, "an array of the right length", "another length"))
        }
    }

    /// The head of an array of `min` to `max` items.
    pub fn array_within(&mut self, min: u64, max: u64) -> Result<u64, DecodeError> {
        let start = self.at;
        let len = self.array()?;
        if (min..=max).contains(&len) {
            Ok(len)
        } else {
            Err(DecodeError::new(start, "an array within its limits", "another length"))
        }
    }

    /// The head of a map: how many pairs follow.
    pub fn map(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let len = self.head(MAP, "a map")?;
        self.items_fit(start, len.saturating_mul(2))?;
        Ok(len)
    }

    /// Every item takes a byte at least: a count that cannot fit is refused before anybody allocates for it.
    fn items_fit(&self, start: usize, items: u64) -> Result<u64, DecodeError> {
        if items > len_u64(self.all.len().saturating_sub(self.at)) {
            return Err(DecodeError::new(start, "as many items as there are bytes", "more"));
        }
        Ok(items)
    }

    /// The key of a closed map that must come next.
    pub fn key(&mut self, key: &'static str) -> Result<(), DecodeError> {
        let start = self.at;
        if self.text()? == key { Ok(()) } else { Err(DecodeError::new(start, key, "another key")) }
    }

    /// `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let value = match self.peek() {
            Some(TRUE) => true,
            Some(FALSE) => false,
            Some(other) => return Err(self.wrong("a boolean", kind(other))),
            None => return Err(self.wrong("a boolean", "the end")),
        };
        self.at += 1;
        Ok(value)
    }

    /// Whether the next item is `null`; if so it is read.
    pub fn null(&mut self) -> bool {
        let null = self.peek() == Some(NULL);
        if null {
            self.at += 1;
        }
        null
    }

    /// `null`, or what `read` reads.
    pub fn or_null<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.null() { Ok(None) } else { read(self).map(Some) }
    }

    /// Reads one item of any kind that the format knows, with its children, and drops it.
    ///
    /// Not recursive: what is still open is a list of at most `DEPTH_MAX` counts, so ten million nested arrays
    /// are refused at the seventeenth. Map keys must be text in ascending order of their encodings.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.skip_below(0)
    }

    /// As `skip`, for an item that stands `above` levels deep already.
    pub fn skip_below(&mut self, above: usize) -> Result<(), DecodeError> {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            if above + open.len() >= DEPTH_MAX {
                return Err(self.wrong("nesting of at most 16", "more"));
            }
            if let Some(Open { is_map: true, last_key, .. }) = open.last_mut() {
                let start = self.at;
                self.text()?;
                let key = self.since(start);
                if last_key.is_some_and(|last| last >= key) {
                    return Err(DecodeError::new(start, "keys in ascending order", "another"));
                }
                *last_key = Some(key);
            }
            let initial = self.peek().ok_or(self.wrong("an item", "the end"))?;
            match initial >> 5 {
                UINT => drop(self.uint()?),
                NINT => drop(self.head(NINT, "an integer")?),
                BYTES => drop(self.bytes()?),
                TEXT => drop(self.text()?),
                ARRAY => {
                    let left = self.array()?;
                    open.push(Open { left: left + 1, is_map: false, last_key: None });
                }
                MAP => {
                    let left = self.map()?;
                    open.push(Open { left: left + 1, is_map: true, last_key: None });
                }
                _ if matches!(initial, FALSE | TRUE | NULL) => self.at += 1,
                _ => return Err(self.wrong("an item of the format", kind(initial))),
            }
            // The item just read counts down the innermost open one; a full one counts down its parent.
            loop {
                let Some(innermost) = open.last_mut() else { return Ok(()) };
                innermost.left -= 1;
                if innermost.left > 0 {
                    break;
                }
                open.pop();
                if open.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

/// An array or map of which `left - 1` items or pairs are still to come (one more while its head is counted).
#[derive(Debug)]
struct Open<'a> {
    left: u64,
    is_map: bool,
    last_key: Option<&'a [u8]>,
}

fn kind(initial: u8) -> &'static str {
    match (initial >> 5, initial) {
        (UINT, _) => "an unsigned integer",
        (NINT, _) => "a negative integer",
        (BYTES, _) => "a byte string",
        (TEXT, _) => "a text string",
        (ARRAY, _) => "an array",
        (MAP, _) => "a map",
        (SIMPLE, FALSE | TRUE) => "a boolean",
        (SIMPLE, NULL) => "null",
        (SIMPLE, 0xf9..=0xfb) => "a floating-point number",
        (SIMPLE, _) => "a simple value",
        _ => "a tag",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip_all(bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.skip()?;
        reader.finish()
    }

    #[test]
    fn integers_survive_both_ways() {
        for value in [0, 1, 23, 24, 255, 256, 65_535, 65_536, i64::MAX, -1, -24, -25, i64::MIN] {
            let mut w = Writer::new();
            w.int(value);
            let mut r = Reader::new(w.as_bytes());
            assert_eq!(r.int(), Ok(value));
            assert_eq!(r.finish(), Ok(()));
        }
    }

    #[test]
    fn an_error_says_where_and_what() {
        let error = skip_all(&[0x18, 0x17]).unwrap_err();
        let said = format!("byte {}: expected {}, found {}", error.at, error.expected, error.found);
        assert_eq!(error.to_string(), said);
        assert!(error.expected.len() > 3 && error.found.len() > 3, "{said}");
    }

    #[test]
    fn depth_counts_from_one() {
        let mut fits = vec![0x81; DEPTH_MAX - 1];
        fits.push(0x00);
        assert_eq!(skip_all(&fits), Ok(()));
        let mut deep = vec![0x81; DEPTH_MAX];
        deep.push(0x00);
        assert_eq!(skip_all(&deep).unwrap_err().expected, "nesting of at most 16");
    }

    #[test]
    fn empty_containers_close() {
        for bytes in [&[0x80][..], &[0xa0], &[0x82, 0x80, 0xa0], &[0xa1, 0x61, b'a', 0x80]] {
            assert_eq!(skip_all(bytes), Ok(()), "{bytes:02x?}");
        }
    }

    #[test]
    fn what_stands_in_the_place_of_another_is_named() {
        for (initial, found) in [
            (0x00, "an unsigned integer"),
            (0x20, "a negative integer"),
            (0x40, "a byte string"),
            (0x60, "a text string"),
            (0x80, "an array"),
            (0xa0, "a map"),
            (0xc0, "a tag"),
            (0xe0, "a simple value"),
            (FALSE, "a boolean"),
            (TRUE, "a boolean"),
            (NULL, "null"),
            (0xf7, "a simple value"),
            (0xf8, "a simple value"),
            (0xf9, "a floating-point number"),
            (0xfa, "a floating-point number"),
            (0xfb, "a floating-point number"),
            (0xfc, "a simple value"),
        ] {
            let bytes = [initial];
            let mut reader = Reader::new(&bytes);
            let error = if initial == 0x00 { reader.text().err() } else { reader.uint().err() };
            assert_eq!(error.unwrap().found, found, "{initial:02x}");
        }
    }

    #[test]
    fn lengths_that_rfc_8949_keeps_for_later_are_told_from_indefinite_ones() {
        for (initial, found) in
            [(0x1c, "a reserved length"), (0x1e, "a reserved length"), (0x1f, "an indefinite one")]
        {
            assert_eq!(Reader::new(&[initial]).uint().unwrap_err().found, found, "{initial:02x}");
        }
    }

    #[test]
    fn a_writer_goes_on_behind_what_is_there() {
        let mut w = Writer::over(vec![0x82, 0x01]);
        w.uint(2);
        assert_eq!(w.into_bytes(), [0x82, 0x01, 0x02]);
    }
}
