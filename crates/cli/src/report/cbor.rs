//! Small maps of the ledger's own as text, for people.

use sigchain::codec::Reader;
use sigchain::text;

use crate::out::safe;

/// Levels that are shown.
const DEPTH: usize = 4;
/// Members of one map or array that are shown.
const MEMBERS: u64 = 16;
/// Bytes of a string that are shown in hexadecimal.
const BYTES: usize = 16;

/// A map as `key value, key value`; nothing of it can act on whoever reads it.
pub(super) fn describe(bytes: &[u8]) -> String {
    let mut out = String::new();
    if value(&mut Reader::new(bytes), 0, &mut out).is_none() {
        out.push_str("...");
    }
    out
}

/// `None` at what it cannot read; what stands before it is shown.
fn value(r: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
    if r.null() {
        out.push('-');
    } else if let Some(flag) = attempt(r, Reader::bool) {
        out.push_str(if flag { "true" } else { "false" });
    } else if let Some(number) = attempt(r, Reader::uint) {
        out.push_str(&number.to_string());
    } else if let Some(number) = attempt(r, Reader::int) {
        out.push_str(&number.to_string());
    } else if let Some(found) = attempt(r, Reader::text) {
        out.push_str(&safe(found));
    } else if let Some(found) = attempt(r, Reader::bytes) {
        out.push_str(&text::hex(found.get(..BYTES).unwrap_or(found)));
        out.push_str(if found.len() > BYTES { "..." } else { "" });
    } else if let Some(count) = attempt(r, Reader::array) {
        members(r, depth, out, count, false)?;
    } else {
        let count = attempt(r, Reader::map)?;
        members(r, depth, out, count, true)?;
    }
    Some(())
}

fn members(
    r: &mut Reader<'_>,
    depth: usize,
    out: &mut String,
    count: u64,
    is_map: bool,
) -> Option<()> {
    if depth >= DEPTH || count > MEMBERS {
        return None;
    }
    out.push_str(if is_map { if depth > 0 { "{" } else { "" } } else { "[" });
    for at in 0..count {
        out.push_str(if at > 0 { ", " } else { "" });
        if is_map {
            value(r, depth.saturating_add(1), out)?;
            out.push(' ');
        }
        value(r, depth.saturating_add(1), out)?;
    }
    out.push_str(if is_map { if depth > 0 { "}" } else { "" } } else { "]" });
    Some(())
}

/// Reads one kind of thing, or nothing at all.
fn attempt<'r, T, E>(
    r: &mut Reader<'r>,
    read: impl FnOnce(&mut Reader<'r>) -> Result<T, E>,
) -> Option<T> {
    let mut ahead = r.clone();
    let found = read(&mut ahead).ok()?;
    *r = ahead;
    Some(found)
}

#[cfg(test)]
mod tests {
    use sigchain::codec::Writer;

    use super::*;

    #[test]
    fn a_map_is_a_line_and_nothing_in_it_acts() {
        let mut w = Writer::new();
        w.map(4).text("a").uint(7).text("b").null().text("c").array(2).int(-3).bool(true);
        w.text("dd").text("x\u{1b}[2J\u{202e}");
        assert_eq!(describe(w.as_bytes()), r"a 7, b -, c [-3, true], dd x\u{1b}[2J\u{202e}");
        assert_eq!(describe(&[0xff]), "...");
        assert_eq!(describe(&[0x81; 64]), "[[[[...");
    }
}
