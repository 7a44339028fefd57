//! A type as JSON Schema: what `spec/events/` holds, for readers in other languages.

use serde_json::{Map, Value, json};

use crate::event::Capture;
use crate::vocabulary::Type;
use crate::vocabulary::form::{Field, Form};

impl Type {
    /// The JSON Schema of its payload, with a line feed at its end.
    pub fn schema(&self) -> String {
        let Self { name, about, fields, .. } = self;
        let mut schema = object(fields);
        let classes = json!({
            "description": "By which class of way the event came in; the ledger writes it.",
            "enum": ["gate", "import", "manual", "observer"],
        });
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert(Capture::FIELD.to_owned(), classes);
        }
        schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        schema.insert("title".to_owned(), (*name).into());
        schema.insert("description".to_owned(), (*about).into());
        let mut text = String::new();
        pretty(&mut text, &Value::Object(schema), 0);
        text.push('\n');
        text
    }
}

fn object(fields: &[Field]) -> Map<String, Value> {
    let properties: Map<_, _> =
        fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let required: Vec<_> =
        fields.iter().filter(|field| field.is_needed).map(|field| field.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = form(field.form);
    schema.insert("description".to_owned(), field.about.into());
    if let Some(attribute) = field.attribute {
        schema.insert("x-otel".to_owned(), attribute.into());
    }
    Value::Object(schema)
}

fn form(form_of: Form) -> Map<String, Value> {
    const MOST: u64 = crate::limit::SEQUENCE_MAX;
    let schema = match form_of {
        Form::Count => json!({"type": "integer", "minimum": 0, "maximum": MOST}),
        Form::Digest => json!({"type": "string", "pattern": "^([A-Za-z0-9_-]{43}|[0-9a-f]{64})$"}),
        Form::EventId => json!({"type": "string", "format": "uuid"}),
        Form::Json => json!({}),
        Form::List(item) => json!({"type": "array", "items": form(*item)}),
        Form::Number => json!({"type": "number"}),
        Form::OneOf(words) => json!({"enum": words}),
        Form::Record(fields) => Value::Object(object(fields)),
        Form::Reference => json!({"type": "string", "pattern": "^sigchain1\\."}),
        Form::Table(item) => json!({"type": "object", "additionalProperties": form(*item)}),
        Form::Text => json!({"type": "string"}),
        Form::Time => json!({"type": "string", "format": "date-time"}),
        Form::Truth => json!({"type": "boolean"}),
        Form::Whole => {
            json!({"type": "integer", "minimum": -9_007_199_254_740_991_i64, "maximum": MOST})
        }
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// Two spaces a level; what is short stands on one line.
fn pretty(out: &mut String, value: &Value, level: usize) {
    const SHORT: usize = 100;
    let flat = value.to_string();
    let is_nested = match value {
        Value::Object(members) => members.values().any(Value::is_object),
        _ => false,
    };
    let Value::Object(members) = value else {
        out.push_str(&flat);
        return;
    };
    if members.is_empty() || (flat.len() <= SHORT && !is_nested) {
        out.push_str(&flat);
        return;
    }
    let indent = "  ".repeat(level.saturating_add(1));
    for (at, (name, member)) in members.iter().enumerate() {
        out.push_str(if at == 0 { "{\n" } else { ",\n" });
        out.push_str(&indent);
        out.push_str(&Value::String(name.clone()).to_string());
        out.push_str(": ");
        pretty(out, member, level.saturating_add(1));
    }
    out.push('\n');
    out.push_str(&"  ".repeat(level));
    out.push('}');
}
