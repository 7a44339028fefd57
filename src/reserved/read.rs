//! Reading the closed maps, one function for each type: exactly the keys that it has, in their one order.

use crate::codec::{DecodeError, Reader, len_u64};
use crate::digest::Digest;
use crate::key::{KeyId, Role, Signature};
use crate::limit::{self, SEQUENCE_MAX, SIZE_MAX};
use crate::reserved::{
    Approval, Cause, KeyRecord, OPERATORS_MAX, Predecessor, Reason, Reserved, STATEMENT_MAX,
    Trusted,
};
use crate::tree;

/// The head of a closed map.
pub(super) fn map(r: &mut Reader<'_>, len: u64) -> Result<(), DecodeError> {
    let start = r.at();
    if r.map()? == len {
        Ok(())
    } else {
        Err(DecodeError::new(start, "a map with the keys of its type", "more or fewer"))
    }
}

fn ascending<T: Ord>(
    r: &Reader<'_>,
    items: Vec<T>,
    expected: &'static str,
) -> Result<Vec<T>, DecodeError> {
    if items.is_sorted_by(|a, b| a < b) {
        Ok(items)
    } else {
        Err(r.wrong(expected, "another order"))
    }
}

fn hash(r: &mut Reader<'_>) -> Result<Digest, DecodeError> {
    r.bytes_exact().map(Digest::new)
}

fn statement(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    r.key("statement")?;
    let start = r.at();
    let text = r.text()?;
    if text.len() > STATEMENT_MAX {
        return Err(DecodeError::new(start, "at most 4096 bytes", "more"));
    }
    Ok(text.to_owned())
}

pub(super) fn approvals(r: &mut Reader<'_>) -> Result<Vec<Approval>, DecodeError> {
    r.key("approvals")?;
    let count = r.array_within(0, OPERATORS_MAX)?;
    let mut approvals: Vec<Approval> = Vec::new();
    for _ in 0..count {
        r.array_exact(2)?;
        let public = r.bytes_exact()?;
        if approvals.last().is_some_and(|last| last.public >= public) {
            return Err(r.wrong("approvals in ascending order", "another"));
        }
        approvals.push(Approval { public, signature: Signature::new(r.bytes_exact()?) });
    }
    Ok(approvals)
}

pub(super) fn operators(r: &mut Reader<'_>) -> Result<Vec<Digest>, DecodeError> {
    r.key("operators")?;
    let count = r.array_within(0, OPERATORS_MAX)?;
    let operators = (0..count).map(|_| hash(r)).collect::<Result<_, _>>()?;
    ascending(r, operators, "operators in ascending order")
}

pub(super) fn genesis(r: &mut Reader<'_>) -> Result<Reserved, DecodeError> {
    map(r, 6)?;
    r.key("keys")?;
    let count = r.array_within(1, 16)?;
    let keys: Vec<KeyRecord> = (0..count).map(|_| KeyRecord::read(r)).collect::<Result<_, _>>()?;
    if !keys.iter().any(|key| key.role == Role::Entry) {
        return Err(r.wrong("a key of role entry", "none"));
    }
    r.key("name")?;
    let name = r.text()?;
    if !limit::is_chain_name(name) {
        return Err(r.wrong("a name of a-z 0-9 . / -", "another text"));
    }
    r.key("format")?;
    if r.uint()? != 1 {
        return Err(r.wrong("format 1", "another"));
    }
    let approvals = approvals(r)?;
    let operators = operators(r)?;
    r.key("predecessor")?;
    let predecessor = r.or_null(|r| {
        map(r, 5)?;
        r.key("root")?;
        let root = hash(r)?;
        r.key("size")?;
        let size = r.uint_max(SIZE_MAX)?;
        if size == 0 {
            return Err(r.wrong("a size of at least 1", "0"));
        }
        r.key("chain")?;
        let chain = hash(r)?;
        r.key("evidence")?;
        let evidence = r.or_null(hash)?;
        Ok(Predecessor { chain, evidence, root, size, statement: statement(r)? })
    })?;
    Ok(Reserved::Genesis { approvals, keys, name: name.to_owned(), operators, predecessor })
}

pub(super) fn abandoned(r: &mut Reader<'_>) -> Result<Reserved, DecodeError> {
    map(r, 2)?;
    r.key("cause")?;
    let cause = match r.text()? {
        "signer" => Cause::Signer,
        "torn" => Cause::Torn,
        _ => return Err(r.wrong("signer or torn", "another text")),
    };
    r.key("entries")?;
    let count = r.array_within(1, 1024)?;
    let entries = (0..count)
        .map(|_| {
            r.array_exact(2)?;
            Ok((r.uint_max(SEQUENCE_MAX)?, hash(r)?))
        })
        .collect::<Result<_, DecodeError>>()?;
    let entries = ascending(r, entries, "entries in ascending order")?;
    Ok(Reserved::Abandoned { cause, entries })
}

pub(super) fn resolved(r: &mut Reader<'_>, sequence: u64) -> Result<Reserved, DecodeError> {
    map(r, 6)?;
    r.key("count")?;
    let count = r.uint_max(sequence)?;
    r.key("first")?;
    let first = r.uint_max(sequence)?;
    if first == 0 || count == 0 || first + count > sequence {
        return Err(r.wrong("a range between entry 0 and this one", "another"));
    }
    r.key("hashes")?;
    let wanted = tree::split_len(first, count);
    r.array_exact(len_u64(wanted))?;
    let hashes = (0..wanted).map(|_| hash(r)).collect::<Result<_, _>>()?;
    r.key("evidence")?;
    let evidence = r.or_null(hash)?;
    let approvals = approvals(r)?;
    let statement = statement(r)?;
    Ok(Reserved::Resolved { approvals, count, evidence, first, hashes, statement })
}

pub(super) fn revoke(r: &mut Reader<'_>, sequence: u64) -> Result<Reserved, DecodeError> {
    map(r, 5)?;
    r.key("key")?;
    let key = KeyId::new(r.bytes_exact()?);
    r.key("reason")?;
    let reason = r.text()?;
    let reason = Reason::parse(reason).ok_or(r.wrong("a reason", "another text"))?;
    r.key("trusted")?;
    let trusted = r.or_null(|r| {
        r.array_exact(2)?;
        Ok(Trusted { size: r.uint_max(sequence)?, root: hash(r)? })
    })?;
    if trusted.is_some() != (reason == Reason::Compromised) {
        return Err(r.wrong("a trusted size if and only if compromised", "the contrary"));
    }
    let approvals = approvals(r)?;
    r.key("consistency")?;
    let count = r.array_within(0, if trusted.is_some() { 128 } else { 0 })?;
    let consistency = (0..count).map(|_| hash(r)).collect::<Result<_, _>>()?;
    Ok(Reserved::Revoke { approvals, consistency, key, reason, trusted })
}

pub(super) fn erased(r: &mut Reader<'_>, sequence: u64) -> Result<Reserved, DecodeError> {
    map(r, 2)?;
    r.key("detail")?;
    r.clone().map()?;
    let start = r.at();
    r.skip_below(1)?;
    let detail = r.since(start).to_owned();
    r.key("entries")?;
    let count = r.array_within(1, 4096)?;
    let mut entries: Vec<(u64, u64)> = Vec::new();
    for _ in 0..count {
        r.array_exact(2)?;
        let (first, count) = (r.uint_max(sequence)?, r.uint_max(sequence)?);
        let end = entries.last().map(|(first, count)| first + count);
        if count == 0 || first + count > sequence || end.is_some_and(|end| first <= end) {
            return Err(r.wrong("ranges before this entry that do not touch", "another"));
        }
        entries.push((first, count));
    }
    Ok(Reserved::Erased { detail, entries })
}
