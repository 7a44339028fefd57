//! A line of `append --lines`: one JSON object. The payload stays the very bytes that stand in it.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::ledger::draft::Draft;

/// Bytes of a line: a payload of 16 MiB, and all else with room to spare.
pub(super) const LINE_MAX: usize = 17 << 20;
/// Bytes of a `ref`, which is kept until the outcome is known.
const REF_MAX: usize = 1024;

/// What a line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) draft: Draft,
    /// The caller's own name for it, as JSON.
    pub(super) reference: Option<String>,
    /// The first thing wrong with its keys.
    wrong: Option<String>,
}

/// Why a line says nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// If it was found nonetheless.
    pub(super) reference: Option<String>,
    pub(super) what: String,
}

impl Line {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BadLine> {
        let bad = |what: String| BadLine { reference: None, what };
        let text = std::str::from_utf8(bytes).map_err(|error| bad(format!("no UTF-8: {error}")))?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = reader.deserialize_map(Keys).and_then(|line| reader.end().map(|()| line));
        let mut line = read.map_err(|error| {
            // The number of the line within the line tells nobody anything.
            bad(error.to_string().replace(" at line 1 column ", " at byte "))
        })?;
        if line.wrong.is_none() && line.draft.payload.is_none() {
            line.wrong = Some("expected a payload, found none".to_owned());
        }
        match line.wrong.take() {
            Some(what) => Err(BadLine { reference: line.reference, what }),
            None => Ok(line),
        }
    }

    fn take(&mut self, key: &str, value: &RawValue) -> Result<(), String> {
        let value = value.get();
        if key == "ref" {
            if value.len() > REF_MAX || value.starts_with(['{', '[', 't', 'f']) {
                let expected = format!("a string or number of at most {REF_MAX} bytes");
                return Err(format!("expected \"ref\" to be {expected}, found something else"));
            }
            return once(&mut self.reference, key, value.to_owned());
        }
        if key == "payload" {
            return once(&mut self.draft.payload, key, value.as_bytes().to_vec());
        }
        let Some(slot) = self.draft.text(key) else {
            let key: String = key.chars().take(60).collect();
            return Err(format!("a key that is not known: \"{key}\""));
        };
        match serde_json::from_str::<Option<String>>(value) {
            Ok(Some(text)) => once(slot, key, text),
            // As if it were not there: so do other languages say it.
            Ok(None) => Ok(()),
            Err(_) => Err(format!("expected \"{key}\" to be a string, found something else")),
        }
    }
}

fn once<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), String> {
    if slot.replace(value).is_some() { Err(format!("\"{key}\" stands twice")) } else { Ok(()) }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Line, M::Error> {
        let mut line = Line::default();
        while let Some(key) = map.next_key::<String>()? {
            // All keys are read whatever is wrong with one: the outcome names the line by its `ref`, wherever that stands.
            if let Err(what) = line.take(&key, map.next_value::<&RawValue>()?) {
                line.wrong.get_or_insert(what);
            }
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(text: &str) -> String {
        Line::parse(text.as_bytes()).unwrap_err().what
    }

    #[test]
    fn a_payload_is_the_bytes_of_the_line() {
        for payload in
            ["{\"b\":1.0, \"a\" : 9007199254740993,\"a\":1e999}", "null", "[ 1 ]", "\"\\ud800\""]
        {
            let text =
                format!("{{\"ref\":7,\"type\":\"a.b\",\"payload\": {payload} ,\"actor\":null}}\r");
            let line = Line::parse(text.as_bytes()).unwrap();
            assert_eq!(line.draft.payload.as_deref(), Some(payload.as_bytes()));
            assert_eq!((line.reference.as_deref(), line.draft.actor), (Some("7"), None));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(bad(""), "EOF while parsing a value at byte 0");
        assert!(bad("{\"payload\":1,\"ref\":[1]}").contains("\"ref\" to be a string or number"));
        assert!(bad("{\"payload\":1,\"ref\":true}").contains("\"ref\" to be a string or number"));
        assert!(bad("[]").contains("expected one JSON object"));
        assert!(bad("{\"payload\":1} x").contains("trailing characters"));
        assert!(bad("{\"payload\":1,\"payload\":2}").contains("\"payload\" stands twice"));
        assert!(bad("{\"payload\":1,\"tpye\":\"a\"}").contains("not known: \"tpye\""));
        assert!(bad("{\"type\":1,\"payload\":1}").contains("\"type\" to be a string"));
        assert!(bad("{\"type\":\"a\"}").contains("expected a payload"));
        let late = Line::parse(b"{\"x\":1,\"payload\":1,\"ref\":5}").unwrap_err();
        assert_eq!(late.reference.as_deref(), Some("5"));
        assert!(Line::parse(b"{\"payload\":\"\xff\"}").unwrap_err().what.contains("UTF-8"));
    }
}
