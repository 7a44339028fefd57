//! What spans and events say in their fields, and what of that becomes which field of a payload.

use std::fmt::{Debug, Write as _};

use serde_json::{Map, Value};
use tracing_core::Metadata;
use tracing_core::field::{Field, Visit};

use crate::id::{SpanId, TraceId};
use crate::limit;
use crate::vocabulary::{self, Form};

/// Bytes of a value that are recorded, of those that only say how they are shown.
const SHOWN_MAX: usize = 1 << 16;

/// Names that were in use before, and what they are called now.
const FORMER: &[(&str, &str)] = &[
    ("gen_ai.completion", "gen_ai.output.messages"),
    ("gen_ai.prompt", "gen_ai.input.messages"),
    ("gen_ai.system", "gen_ai.provider.name"),
    ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    ("gen_ai.usage.completion_tokens", "gen_ai.usage.output_tokens"),
    ("gen_ai.usage.prompt_tokens", "gen_ai.usage.input_tokens"),
];

/// What a span says for all within it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outline {
    pub(super) actor: Option<String>,
    pub(super) correlation: Option<String>,
    pub(super) episode: Option<String>,
    pub(super) trace: Option<(TraceId, Option<SpanId>)>,
}

/// Fields by their names.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.values.insert(field.name().to_owned(), value.into());
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }

    /// Takes out what is said for a span and all within it; what is not said is as around it.
    pub(super) fn outline(&mut self, around: Outline) -> Outline {
        let trace = self.trace(around.trace);
        let mut take = |name: &str, is_fit: fn(&str) -> bool| match self.values.remove(name) {
            Some(Value::String(text)) if is_fit(&text) => Some(text),
            _ => None,
        };
        Outline {
            actor: take("sigchain.actor", limit::is_actor).or(around.actor),
            correlation: take("sigchain.correlation", limit::is_group).or(around.correlation),
            episode: take("sigchain.episode", limit::is_group).or(around.episode),
            trace,
        }
    }

    /// Takes out the ids of OpenTelemetry's trace and span, as hexadecimal text. A span's id alone is one in the trace around it. What is
    /// no id stays a field like others.
    pub(super) fn trace(
        &mut self,
        around: Option<(TraceId, Option<SpanId>)>,
    ) -> Option<(TraceId, Option<SpanId>)> {
        let id = |name| self.text(name).map(str::to_ascii_lowercase);
        let own = id("trace_id").and_then(|text| TraceId::parse(&text));
        let span = id("span_id").and_then(|text| SpanId::parse(&text));
        let is_other = own.is_some_and(|own| around.is_none_or(|(trace, _)| trace != own));
        let trace = own.or(around.map(|(trace, _)| trace))?;
        if own.is_some() {
            self.values.remove("trace_id");
        }
        if span.is_some() {
            self.values.remove("span_id");
        }
        // The span around it is of another trace.
        let span_around = around.and_then(|(_, span)| span).filter(|_| !is_other);
        Some((trace, span.or(span_around)))
    }

    /// The type that is said in so many words.
    fn type_said(&mut self) -> Option<String> {
        let said = self.values.remove("sigchain");
        said.and_then(|said| said.as_str().map(str::to_owned)).filter(|said| is_type(said))
    }

    /// The type of a span's intent.
    pub(super) fn type_of_span(&mut self, metadata: &Metadata<'_>) -> String {
        if let Some(said) = self.type_said().filter(|said| vocabulary::outcomes(said).is_some()) {
            return said;
        }
        let own = |name: String| if is_type(&name) { name } else { "observed.span".to_owned() };
        match self.text("gen_ai.operation.name") {
            Some("chat" | "embeddings" | "generate_content" | "text_completion") => {
                "llm.request".to_owned()
            }
            Some("execute_tool") => "tool.call".to_owned(),
            Some("retrieval") => "retrieval.request".to_owned(),
            Some(operation) => own(format!("gen_ai.{operation}")),
            None if self.values.contains_key("gen_ai.tool.name") => "tool.call".to_owned(),
            None if self.values.contains_key("gen_ai.request.model") => "llm.request".to_owned(),
            None => own(metadata.name().to_owned()),
        }
    }

    /// The type of an event.
    pub(super) fn type_of_event(&mut self, metadata: &Metadata<'_>) -> String {
        let name = metadata.name();
        let own = || if is_type(name) { name.to_owned() } else { "observed.event".to_owned() };
        self.type_said().unwrap_or_else(own)
    }

    /// Whether they say that the span failed.
    pub(super) fn is_error(&self) -> bool {
        self.values.contains_key("error.type")
            || self.text("otel.status_code").is_some_and(|code| code.eq_ignore_ascii_case("error"))
    }

    /// The payload of an event of this type: each attribute as the field that it stands for, others under their own names.
    pub(super) fn payload(self, event_type: &str) -> Map<String, Value> {
        let known = vocabulary::of(event_type);
        let named = self.values.into_iter().map(|(name, value)| {
            let former = FORMER.iter().find(|(former, _)| *former == name);
            let attribute = former.map_or(&*name, |(_, now)| now);
            match known.and_then(|known| known.field_of_attribute(attribute)) {
                Some(field) => (field.name.to_owned(), formed(field.form, value)),
                None => (name, value),
            }
        });
        named.collect()
    }
}

/// Families of the vocabulary have its types and no others; a family needs two words.
fn is_type(name: &str) -> bool {
    let is_fit = limit::is_event_type(name) && !limit::is_reserved(name) && name.contains('.');
    is_fit && (vocabulary::of(name).is_some() || !vocabulary::is_known_family(name))
}

/// A value of a form, as far as it can be made one: fields of `tracing` are numbers and texts, and what is neither comes as the JSON text
/// or as it is shown.
fn formed(form: Form, value: Value) -> Value {
    let Value::String(text) = value else { return value };
    let parsed = match form {
        Form::Json | Form::List(_) | Form::Record(_) | Form::Table(_) => {
            serde_json::from_str(&text).ok().filter(|value: &Value| !value.is_string())
        }
        Form::Count | Form::Number | Form::Truth | Form::Whole => serde_json::from_str(&text).ok(),
        _ => None,
    };
    match (parsed, form) {
        (Some(value), _) => value,
        (None, Form::List(_)) => Value::Array(vec![Value::String(text)]),
        (None, _) => Value::String(text),
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut shown = Shown(String::new());
        // What cannot be shown, or is longer, is cut there.
        let _ = write!(shown, "{value:?}");
        self.set(field, shown.0);
    }
}

/// Text up to a size.
struct Shown(String);

impl std::fmt::Write for Shown {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            if self.0.len() >= SHOWN_MAX {
                return Err(std::fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}
