//! Entries in words: a line for each, and what was said below it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::episode::{Line, Said};
use crate::out::{grouped, safe};

/// How much of a text is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    lines: usize,
    characters: usize,
}

impl Limit {
    pub(super) const USUAL: Self = Self { lines: 12, characters: 200 };
    pub(super) const NONE: Self = Self { lines: usize::MAX, characters: usize::MAX };

    /// Whether all of each text is wanted.
    pub(super) fn is_none(self) -> bool {
        self.lines == usize::MAX
    }

    /// The lines of a text, made harmless, and what was left out.
    pub(super) fn lines(self, text: &str) -> Vec<String> {
        let mut shown: Vec<String> =
            text.lines().take(self.lines).map(|line| self.line(line)).collect();
        let more = text.lines().count().saturating_sub(shown.len());
        if more > 0 {
            shown.push(format!("({more} more lines: --whole shows them)"));
        }
        shown
    }

    /// A line of foreign text.
    fn line(self, line: &str) -> String {
        let cut = line.char_indices().nth(self.characters).map(|(at, _)| at);
        let (shown, more) = line.split_at_checked(cut.unwrap_or(line.len())).unwrap_or((line, ""));
        let mut out = sigchain::text::printable(shown);
        if !more.is_empty() {
            let _ = write!(out, "... ({} more bytes)", more.len());
        }
        out
    }
}

/// What the entry says, in one line. `subject` is what the intent is about that it answers.
pub(super) fn headline(line: &Line, subject: Option<&str>) -> String {
    let text = |name: &str| line.text(name).map(safe);
    let named = |name: &str| text(name).unwrap_or_else(|| "(not shown)".to_owned());
    let because = |what: &str, name: &str| match text(name) {
        Some(why) => format!("{what}: {why}"),
        None => what.to_owned(),
    };
    match line.event_type.as_str() {
        "session.start" => format!("begins session {}", named("session")),
        "session.end" => because(&format!("ends session {}", named("session")), "summary"),
        "episode.start" => because("begins", "goal"),
        "episode.end" => because(&format!("ends, {}", named("status")), "summary"),
        "llm.request" => format!("asks model {}", named("model")),
        "llm.response" => answer(line, subject),
        "tool.call" => format!("calls {}{}", named("tool"), value_in_brackets(line, "arguments")),
        "retrieval.request" => {
            let wanted = line.field("query").map(|query| format!(" for {}", safe(&plain(query))));
            format!("looks in {}{}", named("source"), wanted.unwrap_or_default())
        }
        "tool.result" | "retrieval.result" => result(line, subject),
        "handoff.send" => because(&format!("hands over to {}", named("to")), "reason"),
        "handoff.receive" => format!("takes over from {}", named("from")),
        "ingest.done" => format!("takes in {}", named("source")),
        "query.done" => format!("is given {}", count(line, "count", "result")),
        "commit.done" => because(&format!("commits {}", changes(line)), "justification"),
        "replay.run" => format!("runs episode {} again", named("of")),
        "review.request" => {
            because(&format!("asks for a review until {}", clock(&named("deadline"))), "reason")
        }
        "review.approve" => because("approves", "reason"),
        "review.veto" => because("vetoes", "reason"),
        "review.expire" => "nobody decided in time: vetoed".to_owned(),
        "capture.gap" => because(&gap(line), "reason"),
        "correction.made" => because("corrects an earlier event", "reason"),
        other if is_failure(other) => failure(line, subject),
        other => safe(other),
    }
}

/// What is to be read below the line: texts of models, results, proposals; of other types all there is.
pub(super) fn detail(line: &Line) -> Option<String> {
    let hidden = matches!(&line.said, Said::Fields(_, true));
    let said = match (line.event_type.as_str(), &line.said) {
        (_, Said::Other(what)) => Some(what.clone()),
        ("llm.request" | "llm.response", _) => line.field("messages").map(messages),
        ("tool.result", _) => line.field("result").map(plain),
        ("retrieval.result", _) => line.field("documents").and_then(documents),
        ("review.request", _) => Some(proposal(line)),
        ("handoff.send" | "handoff.receive", _) => line.field("task").map(plain),
        ("query.done", _) => line.field("query").map(plain),
        ("correction.made", _) => line.field("fields").map(plain),
        (known, _) if sigchain::vocabulary::of(known).is_some() => None,
        (_, Said::Fields(fields, _)) => {
            let rest = fields.iter().filter(|(name, _)| *name != "capture");
            let rest: Vec<String> =
                rest.map(|(name, value)| format!("{name}: {}", plain(value))).collect();
            (!rest.is_empty()).then(|| rest.join("\n"))
        }
    };
    match (said, hidden) {
        (said, false) => said,
        (said, true) => {
            Some(said.map_or(String::new(), |said| said + "\n") + "(some fields are withheld)")
        }
    }
}

/// What a review is about: an intent in the words that it will have itself, and who may decide.
fn proposal(line: &Line) -> String {
    let Some(proposal) = line.field("proposal") else { return String::new() };
    let text = |name: &str| proposal.get(name).and_then(Value::as_str);
    let mut out = match (text("actor"), text("type"), proposal.get("payload")) {
        (Some(actor), Some(event_type), payload) => {
            let said = match payload {
                Some(Value::Object(fields)) => Said::Fields(fields.clone(), false),
                _ => Said::Fields(Map::new(), false),
            };
            let (actor, event_type) = (actor.to_owned(), event_type.to_owned());
            let intent = Line { actor, event_type, said, ..line.bare() };
            format!("proposed: {} {}", safe(&intent.actor), headline(&intent, None))
        }
        _ => plain(proposal),
    };
    let policy = line.field("policy");
    let member = |name: &str| policy.and_then(|policy| policy.get(name));
    let needed = member("approvals").and_then(Value::as_u64).unwrap_or(1);
    let names = member("reviewers").and_then(Value::as_array);
    let names = names.map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    match names {
        Some(names) => {
            let _ = write!(out, "\n{needed} of these must approve: {}", names.join(", "));
        }
        None if needed > 1 => {
            let _ = write!(out, "\n{needed} people must approve");
        }
        None => {}
    }
    out
}

fn answer(line: &Line, subject: Option<&str>) -> String {
    let model = line.text("model").map(safe).or_else(|| subject.map(ToOwned::to_owned));
    let mut out = match model {
        Some(model) => format!("model {model} answers"),
        None => "the model answers".to_owned(),
    };
    let tokens = |name: &str| line.field(name).and_then(Value::as_u64);
    let mut about = Vec::new();
    if let Some(input) = tokens("input_tokens") {
        about.push(format!("{} tokens in", grouped(input)));
    }
    if let Some(output) = tokens("output_tokens") {
        about.push(format!("{} out", grouped(output)));
    }
    if let Some(reasons) = line.field("finish_reasons").and_then(Value::as_array) {
        about.extend(reasons.iter().filter_map(Value::as_str).map(safe));
    }
    if !about.is_empty() {
        let _ = write!(out, " ({})", about.join(", "));
    }
    out
}

fn result(line: &Line, subject: Option<&str>) -> String {
    if line.event_type == "retrieval.result" {
        return format!(
            "{} gives {}",
            subject.unwrap_or("the source"),
            count(line, "count", "document")
        );
    }
    let mut out = match subject {
        Some(subject) => format!("{subject} gives a result"),
        None => "gets a result".to_owned(),
    };
    if let Some(code) = line.field("exit_code").and_then(Value::as_i64) {
        let _ = write!(out, ", exit code {code}");
    }
    if let Some(outputs) = line.field("outputs").and_then(Value::as_object) {
        for (name, output) in outputs {
            let bytes = output.get("bytes").and_then(Value::as_u64).unwrap_or(0);
            let _ = write!(out, ", {} bytes of {}", grouped(bytes), safe(name));
        }
    }
    out
}

/// The documents that were found, by their ids.
fn documents(value: &Value) -> Option<String> {
    let ids = value.as_array()?.iter().filter_map(|document| document.get("id").map(plain));
    let ids: Vec<String> = ids.collect();
    (!ids.is_empty()).then(|| ids.join("\n"))
}

/// Whether events of a type say that something failed.
pub(super) fn is_failure(event_type: &str) -> bool {
    matches!(event_type.rsplit_once('.'), Some((_, "error")))
}

fn failure(line: &Line, subject: Option<&str>) -> String {
    let kind = match line.text("kind") {
        Some("panic") => "panics",
        Some("cancelled") => "is cancelled",
        Some("timeout") => "does not end in its time",
        _ => "fails",
    };
    let code = line.field("exit_code").and_then(Value::as_i64);
    let code = code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let class = line.text("error_type").filter(|class| line.text("kind") != Some(class));
    let class = class.map(|class| format!(" ({})", safe(last_of_path(class))));
    let message = line.text("message").map(|message| format!(": {}", safe(message)));
    let model = if line.event_type == "llm.error" { "model " } else { "" };
    let subject = subject.map(|subject| format!("{model}{subject} "));
    format!(
        "{}{kind}{code}{}{}",
        subject.unwrap_or_default(),
        class.unwrap_or_default(),
        message.unwrap_or_default()
    )
}

/// The name of a type of Rust's without the path to it: a reader looks for what went wrong, not for where its name was declared.
fn last_of_path(class: &str) -> &str {
    if class.contains(['<', ' ']) {
        return class;
    }
    class.rsplit_once("::").map_or(class, |(_, last)| last)
}

fn count(line: &Line, name: &str, word: &str) -> String {
    match line.field(name).and_then(Value::as_u64) {
        Some(count) => crate::out::plural(count, word),
        None => format!("{word}s"),
    }
}

/// A time to milliseconds, as the clock at the beginning of a line; whole seconds without.
fn clock(time: &str) -> String {
    match time.split_once('.') {
        Some((second, rest)) if rest.ends_with('Z') => match rest.get(..3) {
            Some("000") | None => format!("{second}Z"),
            Some(millis) => format!("{second}.{millis}Z"),
        },
        _ => time.to_owned(),
    }
}

fn gap(line: &Line) -> String {
    let missed = line.field("missed").and_then(Value::as_u64);
    let missed = missed.map(|missed| format!(", {}", crate::out::plural(missed, "event")));
    let source = line.text("source").map(|source| format!(" of {}", safe(source)));
    format!("NOT CAPTURED{}{}", missed.unwrap_or_default(), source.unwrap_or_default())
}

fn changes(line: &Line) -> String {
    let Some(changes) = line.field("changes").and_then(Value::as_object) else {
        return "changes".to_owned();
    };
    let names: Vec<String> = changes.keys().take(3).map(|path| safe(path)).collect();
    let more = changes.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn value_in_brackets(line: &Line, name: &str) -> String {
    line.field(name).map(|value| format!(" {}", safe(&plain(value)))).unwrap_or_default()
}

/// A value: text as it is, all else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What was said last: conversations repeat all that was said before in each request.
fn messages(value: &Value) -> String {
    let Some(all) = value.as_array() else { return plain(value) };
    let Some(last) = all.last() else { return String::new() };
    let before = all.len().saturating_sub(1);
    let said = message(last);
    if before == 0 { said } else { format!("({before} earlier messages)\n{said}") }
}

/// One message, as OpenTelemetry or the providers shape it.
fn message(value: &Value) -> String {
    let role = value.get("role").and_then(Value::as_str).map(|role| format!("{role}: "));
    let content = match (value.get("parts"), value.get("content")) {
        (Some(Value::Array(parts)), _) | (None, Some(Value::Array(parts))) => {
            parts.iter().map(part).collect::<Vec<_>>().join("\n")
        }
        (_, Some(content)) => plain(content),
        _ => plain(value),
    };
    format!("{}{content}", role.unwrap_or_default())
}

fn part(value: &Value) -> String {
    let text = |name: &str| value.get(name).map(plain);
    match value.get("type").and_then(Value::as_str) {
        Some("tool_call") => format!(
            "wants {} {}",
            text("name").unwrap_or_default(),
            text("arguments").unwrap_or_default()
        ),
        Some("tool_call_response") => {
            format!("was given {}", text("response").or_else(|| text("result")).unwrap_or_default())
        }
        _ => text("content").or_else(|| text("text")).unwrap_or_else(|| plain(value)),
    }
}
