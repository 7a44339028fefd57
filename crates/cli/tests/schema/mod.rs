//! As much of JSON Schema as the schemas in spec/ use; a keyword that it does not know fails the test.

use serde_json::Value;

const ARCHIVE: &str = include_str!("../../../../spec/sigchain-archive.schema.json");
const BENCH: &str = include_str!("../../../../spec/sigchain-bench.schema.json");
const CONTEXT: &str = include_str!("../../../../spec/sigchain-context.schema.json");
const DIFF: &str = include_str!("../../../../spec/sigchain-diff.schema.json");
const DOCTOR: &str = include_str!("../../../../spec/sigchain-doctor.schema.json");
const EPISODE: &str = include_str!("../../../../spec/sigchain-episode.schema.json");
const ERROR: &str = include_str!("../../../../spec/sigchain-error.schema.json");
const EXPLAIN: &str = include_str!("../../../../spec/sigchain-explain.schema.json");
const HOLD: &str = include_str!("../../../../spec/sigchain-hold.schema.json");
const KEYS: &str = include_str!("../../../../spec/sigchain-keys.schema.json");
const OUTCOME: &str = include_str!("../../../../spec/sigchain-outcome.schema.json");
const QUARANTINE: &str = include_str!("../../../../spec/sigchain-quarantine.schema.json");
const REPLAY: &str = include_str!("../../../../spec/sigchain-replay.schema.json");
const REPORT: &str = include_str!("../../../../spec/sigchain-report.schema.json");
const REVIEW: &str = include_str!("../../../../spec/sigchain-review.schema.json");
const SAMPLE: &str = include_str!("../../../../spec/sigchain-sample.schema.json");
const STATUS: &str = include_str!("../../../../spec/sigchain-status.schema.json");

/// Checks the answer of a command with --json.
#[track_caller]
pub(crate) fn check(command: &str, value: &Value) {
    let schema = match command {
        "append" => OUTCOME,
        "archive" | "restore" => ARCHIVE,
        "bench" => BENCH,
        "context" => CONTEXT,
        "diff" => DIFF,
        "doctor" => DOCTOR,
        "episode" => EPISODE,
        "error" => ERROR,
        "explain" => EXPLAIN,
        "hold" => HOLD,
        "key show" => KEYS,
        "quarantine list" | "quarantine show" => QUARANTINE,
        "replay" => REPLAY,
        "review list" => REVIEW,
        "sample" => SAMPLE,
        "status" => STATUS,
        "verify" => REPORT,
        other => panic!("the answer of {other} has no schema"),
    };
    let schema: Value = serde_json::from_str(schema).unwrap();
    if let Err(what) = matches(&schema, value, "$") {
        panic!("{what}: {value}");
    }
}

fn matches(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().unwrap() {
        let fits = match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" | "properties" => true,
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is(name, value)),
                name => is(name, value),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "required" => value.as_object().is_none_or(|object| {
                rule.as_array()
                    .unwrap()
                    .iter()
                    .all(|key| object.contains_key(key.as_str().unwrap()))
            }),
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    matches(rule, item, &format!("{path}[{at}]"))?;
                }
                true
            }
            "additionalProperties" => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    let path = format!("{path}.{key}");
                    match (&schema["properties"][key.as_str()], rule) {
                        (Value::Null, Value::Bool(false)) => {
                            return Err(format!("{path} is unknown"));
                        }
                        (Value::Null, rule) => matches(rule, item, &path)?,
                        (known, _) => matches(known, item, &path)?,
                    }
                }
                true
            }
            other => panic!("a keyword that this checker does not know: {other}"),
        };
        if !fits {
            return Err(format!("{path} breaks {keyword} {rule}"));
        }
    }
    Ok(())
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("a type that this checker does not know: {other}"),
    }
}
