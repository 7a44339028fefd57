//! The vocabulary: that spec, schemas and code say the same, and what a ledger does with events that fit and that do not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sigchain::action::ActionError;
use sigchain::error::{AppendError, DecideError, Refusal};
use sigchain::event::{Capture, Event, Stated};
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Genesis, Ledger};
use sigchain::payload::{Part, Payload, Slot};
use sigchain::projection::{Item, Projection};
use sigchain::vocabulary::{self, Change, Form, LlmRequest, Operation, TYPES, ToolCall, Type};

use crate::support::Random;

fn spec(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("spec").join(name)
}

fn is_to_be_written() -> bool {
    std::env::var_os("SIGCHAIN_VECTORS").is_some_and(|value| value == "write")
}

/// What is kept must be what the code says.
fn keep(path: &Path, said: &str) {
    if is_to_be_written() {
        fs::write(path, said).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(kept, said, "{}: SIGCHAIN_VECTORS=write writes it anew", path.display());
}

#[test]
fn schemas_are_those_of_the_table() {
    for known in TYPES {
        keep(&spec(&format!("events/{}.schema.json", known.name)), &known.schema());
    }
    let kept = fs::read_dir(spec("events")).unwrap().count();
    assert_eq!(kept, TYPES.len(), "one schema for each type");
}

fn form(form: Form) -> String {
    match form {
        Form::Count => "count".to_owned(),
        Form::Digest => "digest".to_owned(),
        Form::EventId => "event id".to_owned(),
        Form::Json => "any".to_owned(),
        Form::List(item) => format!("list of {}", self::form(*item)),
        Form::Number => "number".to_owned(),
        Form::OneOf(words) => words.join(", "),
        Form::Record(fields) => {
            let names = fields.iter().map(|field| {
                let mark = if field.is_needed { "!" } else { "" };
                format!("{}{mark}: {}", field.name, self::form(field.form))
            });
            format!("{{{}}}", names.collect::<Vec<_>>().join("; "))
        }
        Form::Reference => "reference".to_owned(),
        Form::Table(item) => format!("by name: {}", self::form(*item)),
        Form::Text => "text".to_owned(),
        Form::Time => "time".to_owned(),
        Form::Truth => "true or false".to_owned(),
        Form::Whole => "whole number".to_owned(),
        other => panic!("{other:?} has no word"),
    }
}

fn section(known: &Type) -> String {
    let mut text = format!("### {}\n\n{}", known.name, known.about);
    let marks: Vec<_> = [(known.has_cause, "cause"), (known.has_episode, "episode")]
        .iter()
        .filter_map(|(is, mark)| is.then_some(*mark))
        .collect();
    if !marks.is_empty() {
        write!(text, " ({})", marks.join(", ")).unwrap();
    }
    text.push_str("\n\n");
    if known.fields.is_empty() {
        return text;
    }
    text.push_str("| field | form | what it says | OpenTelemetry |\n|---|---|---|---|\n");
    for field in known.fields {
        let mark = if field.is_needed { "!" } else { "" };
        let attribute = field.attribute.map(|name| format!("`{name}`")).unwrap_or_default();
        let (name, about, form) = (field.name, field.about, form(field.form));
        writeln!(text, "| `{name}`{mark} | {form} | {about} | {attribute} |").unwrap();
    }
    text.push('\n');
    text
}

/// [S-type-1]: the document lists the types of the table, with their fields.
#[test]
fn the_document_lists_the_table() {
    let path = spec("events.md");
    let kept = fs::read_to_string(&path).unwrap();
    let head = kept.split_inclusive("## 4. The types").next().unwrap();
    let prose = kept[head.len()..].split("### ").next().unwrap();
    let types: String = TYPES.iter().map(section).collect();
    let said = format!("{head}{prose}{}\n", types.trim_end());
    keep(&path, &said);
}

struct Desk {
    ledger: Ledger,
}

impl Desk {
    fn new() -> Self {
        let genesis = Genesis::new("example.org/agents", SigningKey::generate().unwrap());
        Self { ledger: Ledger::in_memory(genesis).unwrap() }
    }

    /// What became of the payload of an event.
    fn recorded(&self, event: Event) -> String {
        let receipt = self.ledger.append(event).unwrap();
        match self.ledger.entry(receipt.sequence).unwrap().unwrap().part {
            Part::Whole(leaf) => String::from_utf8(leaf.bytes.into_owned()).unwrap(),
            Part::Fields(slots) => {
                let leaves = slots.iter().map(|slot| match slot {
                    Slot::Shown(leaf) => format!(
                        "{}={}",
                        leaf.name.as_deref().unwrap(),
                        String::from_utf8_lossy(&leaf.bytes)
                    ),
                    other => panic!("{other:?}"),
                });
                leaves.collect::<Vec<_>>().join(" ")
            }
            other => panic!("{other:?}"),
        }
    }

    fn refused(&self, event: Event) -> String {
        let before = self.ledger.head().sequence;
        let refused = self.ledger.append(event).unwrap_err();
        assert_eq!(self.ledger.head().sequence, before);
        match refused {
            AppendError::Refused(Refusal::IllFormed(ill)) => ill.to_string(),
            other => panic!("{other}"),
        }
    }
}

fn event(event_type: &str, payload: &str) -> Event {
    let event = Event::new("agent:planner", event_type).unwrap();
    event.payload(Payload::new("application/json", payload).unwrap())
}

/// [S-capture-1], [S-type-3], [S-type-4]: the class is the first member, and the rest stays as it was, byte for byte.
#[test]
fn what_fits_is_kept_byte_for_byte() {
    let desk = Desk::new();
    let odd = " {\"tool\" : \"s\\u0065arch\",\"big\":12345678901234567890123, \"x\":1,\"x\":2}\n";
    let kept = desk.recorded(event("tool.call", odd));
    assert_eq!(kept, odd.replacen('{', "{\"capture\":\"manual\",", 1));
    let said = "{\"tool\":\"a\",\"capture\":\"manual\"}";
    assert_eq!(desk.recorded(event("tool.call", said)), said);
    let none = Event::new("a", "review.expire").unwrap().caused_by(EventId::new(1, [7; 10]));
    assert_eq!(desk.recorded(none), "{\"capture\":\"manual\"}");
}

/// [S-type-2], [S-type-3]: what is refused, and where it says it is.
#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let desk = Desk::new();
    let cause = EventId::new(1, [7; 10]);
    for (event_type, payload, says) in [
        ("tool.call", "{}", "#/tool: expected text, found nothing"),
        ("tool.call", "{\"tool\":3}", "#/tool: expected text, found a number"),
        ("tool.call", "{\"tool\":null}", "#/tool: expected text, found null"),
        ("tool.call", "{\"tool\":[\"a\"]}", "#/tool: expected text, found an array"),
        ("tool.call", "{\"tool\":{}}", "#/tool: expected text, found an object"),
        ("tool.call", "{\"tool\":true}", "#/tool: expected text, found true or false"),
        (
            "tool.call",
            "{\"tool\":\"a\",\"tool\":\"b\"}",
            "#/tool: expected each name once, found one that comes twice",
        ),
        (
            "tool.call",
            "{\"tool\":\"a\"} x",
            "#: expected JSON, found something else at line 1, column 14",
        ),
        (
            "tool.call",
            "{\"tool\":\"a\"",
            "#: expected JSON, found a text that ends too early at line 1, column 11",
        ),
        ("tool.call", "[]", "#: expected an object, found an array"),
        ("tool.call", "\"secret\"", "#: expected an object, found text"),
        (
            "tool.call",
            "{\"tool\":\"a\",\"capture\":\"gate\"}",
            "#/capture: expected \"manual\", found another text",
        ),
        (
            "tool.call",
            "{\"tool\":\"a\",\"capture\":1}",
            "#/capture: expected \"manual\", found a number",
        ),
        (
            "llm.request",
            "{\"model\":\"m\",\"max_tokens\":-1}",
            "#/max_tokens: expected a whole number from 0 to 2^53 - 1, found another number",
        ),
        (
            "llm.request",
            "{\"model\":\"m\",\"max_tokens\":9007199254740992}",
            "#/max_tokens: expected a whole number from 0 to 2^53 - 1, found another number",
        ),
        (
            "llm.request",
            "{\"model\":\"m\",\"max_tokens\":1.5}",
            "#/max_tokens: expected a whole number from 0 to 2^53 - 1, found a number",
        ),
        (
            "llm.request",
            "{\"model\":\"m\",\"stop_sequences\":[\"a\",2]}",
            "#/stop_sequences/1: expected text, found a number",
        ),
        (
            "llm.request",
            "{\"model\":\"m\",\"stream\":\"yes\"}",
            "#/stream: expected true or false, found text",
        ),
        (
            "tool.error",
            "{\"kind\":\"secret\"}",
            "#/kind: expected \"cancelled\" or \"error\" or \"panic\" or \"timeout\", found another text",
        ),
        (
            "tool.result",
            "{\"outputs\":{\"a/b~c\":{\"bytes\":1}}}",
            "#/outputs/a~1b~0c/digest: expected a digest (32 bytes, base64url or hexadecimal), found nothing",
        ),
        (
            "commit.done",
            "{\"origin\":\"o\",\"justification\":\"j\",\"changes\":{\"a\":{\"operation\":\"move\"}}}",
            "#/changes/a/operation: expected \"create\" or \"delete\" or \"rename\" or \"update\", found another text",
        ),
        (
            "review.request",
            "{\"proposal\":1,\"deadline\":\"soon\"}",
            "#/deadline: expected a time (2026-11-20T05:00:00Z, any offset), found another text",
        ),
        (
            "correction.made",
            "{\"corrects\":\"x\",\"reason\":\"r\"}",
            "#/corrects: expected an event id (a UUID of version 7), found another text",
        ),
        (
            "tool.cull",
            "{\"tool\":\"a\"}",
            "#event_type: expected tool.call or tool.error or tool.result, or a family of your own, found another word",
        ),
    ] {
        let event = event(event_type, payload).caused_by(cause);
        let said = desk.refused(event);
        assert_eq!(said, format!("{event_type}{says}"));
        assert!(!said.contains("secret"), "{said}");
    }
    assert_eq!(
        desk.refused(event("tool.result", "{}")),
        "tool.result#causation_id: expected the event that it answers, found nothing"
    );
    assert_eq!(
        desk.refused(event("episode.start", "{}")),
        "episode.start#episode_id: expected the episode's id, found nothing"
    );
    let bytes = Payload::new("application/octet-stream", "{}").unwrap();
    assert_eq!(
        desk.refused(Event::new("a", "tool.call").unwrap().payload(bytes)),
        "tool.call#: expected a JSON object (application/json), found a payload of another media type"
    );
}

/// [S-type-4]: fields that are committed one by one are judged one by one, and what is encrypted is taken as it is.
#[test]
fn fields_are_judged_one_by_one() {
    let desk = Desk::new();
    let call = ToolCall::new("search").arguments(json!({"q": 1}));
    let kept = desk.recorded(call.event_by_field("agent:planner").unwrap());
    assert_eq!(kept, "arguments={\"q\":1} capture=\"manual\" tool=\"search\"");
    let with = |fields: &[(&str, &str, &[u8])]| {
        let payload = Payload::by_field(fields.iter().copied()).unwrap();
        Event::new("agent:planner", "tool.call").unwrap().payload(payload)
    };
    let json = "application/json";
    let sealed = [("tool", json, &b"\"a\""[..]), ("arguments", "application/jose", b"\0\x01")];
    assert_eq!(desk.recorded(with(&sealed)), "arguments=\0\u{1} capture=\"manual\" tool=\"a\"");
    for (fields, says) in [
        (&[("tool", json, &b"3"[..])][..], "tool.call#/tool: expected text, found a number"),
        (&[("other", json, b"3")], "tool.call#/tool: expected text, found nothing"),
        (
            &[("capture", json, b"\"gate\""), ("tool", json, b"\"a\"")],
            "tool.call#/capture: expected \"manual\", found another text",
        ),
    ] {
        assert_eq!(desk.refused(with(fields)), says);
    }
}

/// [S-type-1], [S-capture-2]: owners' types are not looked into.
#[test]
fn owners_types_are_taken_as_they_are() {
    let desk = Desk::new();
    for payload in ["", "no json", "{\"capture\":\"screenshot\"}"] {
        assert_eq!(desk.recorded(event("payment.send", payload)), payload);
    }
    assert_eq!(desk.recorded(event("tool", "x")), "x");
    assert_eq!(desk.recorded(event("toolbox.call", "x")), "x");
}

/// [S-capture-1], [S-capture-2]: what is imported says so, whosever type it is.
#[test]
fn what_is_imported_says_so() {
    let desk = Desk::new();
    for (event, says) in [
        (event("tool.call", "{\"tool\":\"a\"}"), "{\"capture\":\"import\",\"tool\":\"a\"}"),
        (event("payment.send", "{}"), "{\"capture\":\"import\"}"),
        (Event::new("a", "note").unwrap(), "{\"capture\":\"import\"}"),
    ] {
        let receipt = desk.ledger.import(event).unwrap();
        let part = desk.ledger.entry(receipt.sequence).unwrap().unwrap().part;
        assert!(matches!(part, Part::Whole(leaf) if *leaf.bytes == *says.as_bytes()), "{says}");
    }
    let refused = desk.ledger.import(event("payment.send", "[1]")).unwrap_err();
    assert!(refused.to_string().contains("payment.send#: expected an object, found an array"));
}

/// What typed builders make is admitted, and says what was given.
#[test]
fn builders_say_what_is_given() {
    let desk = Desk::new();
    let call = LlmRequest::new("m-1").temperature(0.5).max_tokens(10_u32).stream(true).seed(-3);
    let call = call.stop_sequences(vec!["a".to_owned()]).with("own", json!([1]));
    let kept: Value = serde_json::from_str(&desk.recorded(call.event("a").unwrap())).unwrap();
    let meant = json!({
        "capture": "manual", "max_tokens": 10, "model": "m-1", "own": [1], "seed": -3,
        "stop_sequences": ["a"], "stream": true, "temperature": 0.5
    });
    assert_eq!(kept, meant);
    let refused = desk.refused(LlmRequest::new("m").temperature(f64::NAN).event("a").unwrap());
    assert_eq!(refused, "llm.request#/temperature: expected a number, found null");
    let changes = BTreeMap::from([(
        "src/lib.rs".to_owned(),
        Change::new(Operation::Update).digest(sigchain::digest::Digest::of(&[b"x"])),
    )]);
    let commit = vocabulary::CommitDone::new(changes, "issue 7 asks for it", "issue:7");
    let kept: Value = serde_json::from_str(&desk.recorded(commit.event("a").unwrap())).unwrap();
    assert_eq!(kept["changes"]["src/lib.rs"]["operation"], "update");
    // Once more under the same id: the same event, whatever the ledger has written into it.
    let again = || ToolCall::new("a").event("a").unwrap().id(EventId::new(1, *b"0123456789"));
    assert_eq!(desk.ledger.append(again()).unwrap(), desk.ledger.append(again()).unwrap());
}

/// [S-action-1], [S-action-2]: outcomes by the type of their intents.
#[test]
fn each_intent_has_its_outcomes() {
    for name in ["llm.request", "retrieval.request", "tool.call"] {
        let known = vocabulary::of(name).unwrap();
        let outcomes = vocabulary::outcomes(known.name).unwrap();
        let error = vocabulary::of(&outcomes.error).unwrap();
        assert!(vocabulary::of(&outcomes.result).unwrap().has_cause && error.has_cause);
        let kinds = Form::OneOf(&["cancelled", "error", "panic", "timeout"]);
        assert_eq!(error.field("kind").unwrap().form, kinds);
    }
}

/// What was recorded, of an event that came in as a gate, an import or by hand.
fn come_in(desk: &Desk, way: Capture, event: Event) -> Result<Part<'static>, String> {
    let ledger = &desk.ledger;
    let refused = |error: &AppendError| match error {
        AppendError::Refused(Refusal::IllFormed(ill)) => ill.to_string(),
        other => panic!("{other}"),
    };
    let receipt = match way {
        Capture::Gate => ledger.action(event).begin().map(|begun| *begun.intent()).map_err(
            |error| match *error {
                ActionError::NotRecorded(error) => refused(&error),
                other => panic!("{other}"),
            },
        ),
        Capture::Import => ledger.import(event).map_err(|error| refused(&error)),
        _ => ledger.append(event).map_err(|error| refused(&error)),
    };
    Ok(ledger.entry(receipt?.sequence).unwrap().unwrap().part)
}

/// Payloads that state a class in all the ways that there are, and some that do not.
fn stating(random: &mut Random) -> Payload {
    let pick = |random: &mut Random, words: &[&'static str]| words[random.below(words.len())];
    let word = pick(
        random,
        &[
            "\"gate\"",
            "\"g\\u0061te\"",
            "\"import\"",
            "\"manual\"",
            "\"observer\"",
            "\"Gate\"",
            "1",
            "[\"gate\"]",
        ],
    );
    let name =
        pick(random, &["capture", "capture", "capture", "c\\u0061pture", "captures", "Capture"]);
    let json = match random.below(8) {
        0 => format!("{{\"tool\":\"t\",\"a\":{{\"{name}\":{word}}}}}"),
        1 => format!("{{\"{name}\":{word},\"tool\":\"t\",\"capture\":\"manual\"}}"),
        2 => format!("[\"tool\",\"{name}\",{word}]"),
        3 => format!("{{\"tool\":\"t\",\"{name}\":{word}"),
        4 => format!("\n {{\"tool\":\"\\\\\\\"\",\"b\":[{{}}], \"{name}\" : {word}}} "),
        _ => format!("{{\"{name}\":{word},\"tool\":\"t\"}}"),
    };
    let media = pick(
        random,
        &[
            "application/json",
            "application/json",
            "application/json; a=b",
            "application/a+json",
            "text/plain",
            "",
        ],
    );
    if random.below(4) == 0 {
        let word = if random.below(8) == 0 { "gate" } else { word };
        let other = if random.below(2) == 0 { "capture" } else { "other" };
        let fields = [("tool", "application/json", &b"\"t\""[..]), (other, media, word.as_bytes())];
        return Payload::by_field(fields).unwrap();
    }
    Payload::new(media, json).unwrap()
}

/// [S-capture-1] [S-capture-2] [S-capture-3]: whatever stands in a payload, what is recorded states no class but that of its way, and a
/// plain append of an owner's own type is refused for that and for nothing else.
#[test]
fn random_payloads_state_their_own_way_or_none() {
    let desk = Desk::new();
    let mut random = Random::new(7);
    let mut counts = [0_u32; 4];
    for _ in 0..3000 {
        let way =
            [Capture::Gate, Capture::Import, Capture::Manual, Capture::Manual][random.below(4)];
        let event_type = ["tool.call", "payment.send", "payment.send"][random.below(3)];
        let payload = stating(&mut random);
        let stated = Capture::stated(&payload.clone().salted(|| [7; 16]));
        let event = Event::new("agent:a", event_type).unwrap().payload(payload.clone());
        let is_plain = (way, event_type) == (Capture::Manual, "payment.send");
        let is_forged = matches!(stated, Stated::Class(class) if class != Capture::Manual);
        let at = format!("{way:?} {event_type} {payload:?}");
        match come_in(&desk, way, event) {
            Ok(part) if is_plain => {
                assert!(!is_forged, "{at}");
                assert_eq!(Capture::stated(&part), stated, "{at}");
                counts[0] += 1;
            }
            Ok(part) => {
                assert_eq!(Capture::stated(&part), Stated::Class(way), "{at}");
                counts[1] += 1;
            }
            Err(why) if is_plain => {
                assert!(is_forged, "{at}: {why}");
                assert!(
                    why.starts_with("payment.send#/capture: expected no class of capture but"),
                    "{why}"
                );
                counts[2] += 1;
            }
            Err(_) => counts[3] += 1,
        }
    }
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}

/// [S-capture-2]: by none of the ways of a plain append.
#[test]
fn nobody_gives_his_word_for_a_gates() {
    let desk = Desk::new();
    let ledger = &desk.ledger;
    let head = ledger.head();
    let forged = || event("payment.send", "{\"sum\":5,\"capture\":\"gate\"}");
    let fair = || event("payment.send", "{\"sum\":5}");
    let attached = ledger.attach(Nothing).unwrap();
    let refusals: [AppendError; 6] = [
        ledger.append(forged()).unwrap_err(),
        ledger.append_batch(vec![fair(), forged()]).unwrap_err(),
        ledger.submit(forged()).map(drop).unwrap_err(),
        ledger.try_submit(forged()).map(drop).unwrap_err(),
        ledger.submit_batch(vec![forged()]).map(drop).unwrap_err(),
        match attached.append_with(|_| Ok::<_, ()>(forged())).unwrap_err() {
            DecideError::Append(error) => error,
            DecideError::Declined(()) => panic!("nobody declined"),
        },
    ];
    for refused in refusals {
        let AppendError::Refused(Refusal::IllFormed(ill)) = refused else { panic!("{refused}") };
        let said = "payment.send#/capture: expected no class of capture but \"manual\", since it comes in by a plain append, found \"gate\"";
        assert_eq!(ill.to_string(), said);
    }
    assert_eq!(ledger.head(), head);
    // What is true may be said, and what is another word is the owner's.
    for kept in
        ["{\"capture\":\"manual\"}", "{\"capture\":\"screenshot\"}", "{\"capture\":[\"gate\"]}"]
    {
        assert_eq!(desk.recorded(event("camera.shot", kept)), kept);
    }
}

#[derive(Clone, Copy, Debug)]
struct Nothing;

impl Projection for Nothing {
    fn apply(&mut self, _: &Item<'_>) {}
}
