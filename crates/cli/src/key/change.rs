//! A change of keys as a file: what is proposed, what an operator approves, and what is applied are the same file, with more and more
//! approvals in it.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value, json};
use sigchain::digest::Digest;
use sigchain::fault::Code;
use sigchain::id::EventId;
use sigchain::key::{KeyId, PublicKey};
use sigchain::ledger::Change;
use sigchain::limit::SEQUENCE_MAX;
use sigchain::payload::{Leaf, Part};
use sigchain::reserved::{MEDIA_TYPE, Reserved};
use sigchain::text;

use crate::input;
use crate::out;
use crate::trouble::Trouble;

/// What the file says it is.
const FORM: &str = "sigchain change of keys, version 1";
/// Bytes of such a file; a payload has at most 64 KiB.
const LONGEST: usize = 128 * 1024;

/// The file. `about` is for people who open it with an editor; nobody reads it back.
pub(super) fn encode(change: &Change) -> Result<String, Trouble> {
    let reserved = change.reserved();
    let value = json!({
        "about": describe(change),
        "chain_id": change.chain_id().to_string(),
        "event_id": change.event_id().to_string(),
        "event_type": reserved.event_type(),
        "form": FORM,
        "payload": text::base64(&reserved.encode(true)),
    });
    let json = serde_json::to_string_pretty(&value).map_err(|error| {
        let what = format!("cannot write the change as JSON: {error}");
        Trouble::unreadable(what, "a change that JSON can hold", "report this defect")
    })?;
    Ok(out::ascii(&json).replace("\\u000a", "\n") + "\n")
}

/// Reads such a file. Only changes of keys: an operator's approval of anything else is not given here.
pub(super) fn read(path: &Path) -> Result<Change, Trouble> {
    let bytes = input::read_small(path, LONGEST)?;
    parse(&bytes).map_err(|found| {
        let what = format!("\"{}\" is no change of keys: {found}", input::name(path));
        let expected = "what sigchain key enroll, rotate or revoke wrote with -o, or key approve";
        let next = "bring it over again, as it was written; nothing was changed";
        Trouble::unreadable(what, expected, next).coded("CHANGE_FILE")
    })
}

fn parse(bytes: &[u8]) -> Result<Change, String> {
    if bytes.len() > LONGEST {
        return Err(format!("more than {LONGEST} bytes"));
    }
    let map: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("no JSON object: {error}"))?;
    let of = |key: &str| {
        let text = map.get(key).and_then(Value::as_str);
        text.ok_or_else(|| format!("no text \"{key}\""))
    };
    if of("form")? != FORM {
        return Err("another form".to_owned());
    }
    let chain_id = Digest::parse(of("chain_id")?).ok_or("a chain id that is none")?;
    let event_id = EventId::parse(of("event_id")?).ok_or("an event id that is none")?;
    let event_type = of("event_type")?;
    let bytes = text::parse_base64(of("payload")?).ok_or("a payload that is no base64")?;
    let leaf = Leaf {
        salt: [0; 16],
        name: None,
        media_type: Cow::Borrowed(MEDIA_TYPE),
        bytes: Cow::Owned(bytes),
    };
    let reserved = Reserved::parse(event_type, &Part::Whole(leaf), SEQUENCE_MAX)?;
    let is_of_keys = matches!(
        reserved,
        Reserved::Enroll { .. }
            | Reserved::Rotate { .. }
            | Reserved::Revoke { .. }
            | Reserved::Operators { .. }
    );
    if !is_of_keys {
        let shown = text::shown(event_type, 100);
        return Err(format!("an entry of type \"{shown}\", which changes no keys"));
    }
    Ok(Change::of(chain_id, event_id, reserved))
}

/// What it does, in words, from what is signed and nothing else.
pub(super) fn describe(change: &Change) -> Vec<String> {
    let mut lines = vec![format!("chain {}", change.chain_id())];
    match change.reserved() {
        Reserved::Enroll { key, .. } => {
            lines.push(format!("enrolls {} key {}", key.role, key.id()));
            lines.push(format!("  public half {}", text::hex(&key.public)));
        }
        Reserved::Rotate { key, old, .. } => {
            lines.push(format!("ends key {old}"));
            lines.push(format!("enrolls {} key {} in its place", key.role, key.id()));
            lines.push(format!("  public half {}", text::hex(&key.public)));
        }
        Reserved::Revoke { key, reason, trusted, .. } => {
            lines.push(format!("revokes key {key} as {}", reason.name()));
            if let Some(trusted) = trusted {
                let (size, root) = (out::entries(trusted.size), trusted.root);
                lines.push(format!("  nothing of it is believed beyond {size}, root {root}"));
            }
        }
        Reserved::Operators { operators, .. } => {
            lines.push(format!(
                "from then on there are {}, by the hashes of their keys:",
                out::plural(operators.len().try_into().unwrap_or(u64::MAX), "operator")
            ));
            lines.extend(operators.iter().map(|hash| format!("  {hash}")));
        }
        other => lines.push(format!("is an entry of type {}", other.event_type())),
    }
    lines.push(format!("event {}", change.event_id()));
    let approvers = change.reserved().approvals().iter();
    lines.extend(approvers.map(|by| match PublicKey::from_bytes(&by.public) {
        Ok(key) => format!("approved by key {}, operator {}", key.id(), key.operator_hash()),
        Err(_) => format!("approved by {} ({})", KeyId::of(&by.public), Code::KeyInvalid),
    }));
    lines
}

#[cfg(test)]
mod tests {
    use sigchain::key::{Role, SigningKey};
    use sigchain::reserved::{KeyRecord, Reason};

    use super::*;

    fn change() -> Change {
        let (chain, event) = (Digest::of(&[b"chain"]), EventId::new(1, [7; 10]));
        let key = SigningKey::from_seed(&[3; 32]).unwrap();
        let key = KeyRecord::new(&key, Role::Entry, &chain, event);
        Change::of(chain, event, Reserved::Enroll { approvals: Vec::new(), key })
    }

    #[test]
    fn a_change_survives_its_file() {
        let operator = SigningKey::from_seed(&[9; 32]).unwrap();
        let approved = change().approved_by(&operator).unwrap();
        for change in [change(), approved] {
            let file = encode(&change).unwrap();
            assert!(file.is_ascii());
            assert_eq!(parse(file.as_bytes()).unwrap(), change);
        }
    }

    #[test]
    fn what_is_no_change_of_keys_is_refused() {
        let file = encode(&change()).unwrap();
        let revoke = Reserved::Revoke {
            approvals: Vec::new(),
            consistency: Vec::new(),
            key: KeyId::new([1; 16]),
            reason: Reason::Lost,
            trusted: None,
        };
        let other = text::base64(&revoke.encode(true));
        let payload = file.split("\"payload\": \"").nth(1).unwrap().trim_end_matches("\"\n}\n");
        for (from, to) in [
            ("version 1", "version 2"),
            (payload, "AAAA"),
            (payload, &other),
            ("key.enroll", "session.start"),
            ("\"chain_id\": \"", "\"chain_id\": \"x"),
            ("\"event_id\"", "\"event\""),
        ] {
            let changed = file.replace(from, to);
            assert_ne!(changed, file);
            assert!(parse(changed.as_bytes()).is_err(), "{from}");
        }
        assert!(parse(b"").is_err() && parse(b"[]").is_err());
        assert!(parse(&vec![b' '; LONGEST + 1]).is_err());
    }
}
