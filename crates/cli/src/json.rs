//! JSON that several commands print alike; the schemas in spec/ describe it.

use serde_json::{Map, Value};
use sigchain::fault::Fault;
use sigchain::verify::Anchor;

use crate::input::Places;
use crate::out;
use crate::trouble::Trouble;

/// An object from pairs; each key is written where its value is.
pub(crate) fn object<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// What was held, and how many entries it vouches for.
pub(crate) fn of_anchor(anchor: &Anchor, vouched: Option<u64>) -> Value {
    let missing = ("missing", vouched.is_none().into());
    let vouched = ("vouched", vouched.into());
    match anchor {
        Anchor::ChainId(id) => {
            object([("kind", "chain-id".into()), ("id", id.to_string().into()), vouched, missing])
        }
        Anchor::Checkpoint(size, root) => object([
            ("kind", "checkpoint".into()),
            ("size", (*size).into()),
            ("root", root.to_string().into()),
            vouched,
            missing,
        ]),
        Anchor::Key(id) => {
            object([("kind", "key".into()), ("id", id.to_string().into()), vouched, missing])
        }
        other => object([("kind", other.to_string().into()), vouched, missing]),
    }
}

/// A fault.
pub(crate) fn of_fault(fault: &Fault, places: &Places) -> Value {
    let (segment, place) = places.locate(fault);
    object([
        ("code", fault.code.as_str().into()),
        ("phase", fault.phase().to_string().into()),
        ("place", place.into()),
        ("segment", segment.into()),
        ("sequence", fault.sequence.into()),
        ("expected", fault.expected.as_str().into()),
        ("found", fault.found.as_str().into()),
    ])
}

/// The object on one line, in ASCII only: escaped, nothing from a file can act on a terminal, and no reader loses anything.
pub(crate) fn render(map: Map<String, Value>) -> Result<String, Trouble> {
    let json = serde_json::to_string(&Value::Object(map)).map_err(|error| {
        let what = format!("cannot write the answer as JSON: {error}");
        Trouble::unreadable(what, "an answer that JSON can hold", "report this defect")
    })?;
    Ok(out::ascii(&json) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_is_escaped_and_survives() {
        let hostile = "\u{1b}[2J \u{202e}\u{9b}\u{7f} \u{1f512} plain";
        let map = Map::from_iter([("x".to_owned(), Value::from(hostile))]);
        let line = render(map).unwrap();
        assert!(line.trim_end().bytes().all(|b| (0x20..0x7f).contains(&b)), "{line}");
        let back: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["x"], hostile);
    }
}
