//! What typed builders are made of: the forms as Rust types, and the payload that grows field by field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::event::Event;
use crate::id::EventId;
use crate::limit::FieldError;
use crate::payload::Payload;
use crate::receipt::Reference;
use crate::stamp::ValidTime;
use crate::vocabulary::form::Form;

/// The media type of payloads in JSON.
pub(super) const MEDIA_TYPE: &str = "application/json";

/// A form, as what a caller gives for it.
pub trait Says {
    /// What a caller gives.
    type Value;
    /// The form.
    const FORM: Form;
    /// How it is written.
    fn json(value: Self::Value) -> Value;
}

macro_rules! says {
    ($($(#[doc = $about:literal])+ $name:ident($given:ty) = $form:expr, |$value:ident| $json:expr;)+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl Says for $name {
            type Value = $given;
            const FORM: Form = $form;
            fn json($value: $given) -> Value {
                $json
            }
        }
    )+};
}

says! {
    /// A whole number, from 0 on.
    Count(u64) = Form::Count, |value| value.into();
    /// A reference to an entry.
    Entry(Reference) = Form::Reference, |value| value.to_string().into();
    /// A digest.
    Hash(Digest) = Form::Digest, |value| value.to_string().into();
    /// An event.
    Id(EventId) = Form::EventId, |value| value.to_string().into();
    /// Any JSON value.
    Json(Value) = Form::Json, |value| value;
    /// A number. One that is none, or not finite, is refused with its event.
    Real(f64) = Form::Number, |value| value.into();
    /// A text.
    Text(String) = Form::Text, |value| value.into();
    /// A time.
    Time(ValidTime) = Form::Time, |value| value.to_string().into();
    /// True or false.
    Truth(bool) = Form::Truth, |value| value.into();
    /// A whole number.
    Whole(i64) = Form::Whole, |value| value.into();
}

/// Many of one form.
#[derive(Clone, Copy, Debug)]
pub struct List<F>(F);

impl<F: Says> Says for List<F> {
    type Value = Vec<F::Value>;
    const FORM: Form = Form::List(&F::FORM);
    fn json(value: Self::Value) -> Value {
        value.into_iter().map(F::json).collect()
    }
}

/// Many of one form, each under a name.
#[derive(Clone, Copy, Debug)]
pub struct Table<F>(F);

impl<F: Says> Says for Table<F> {
    type Value = BTreeMap<String, F::Value>;
    const FORM: Form = Form::Table(&F::FORM);
    fn json(value: Self::Value) -> Value {
        Value::Object(value.into_iter().map(|(name, value)| (name, F::json(value))).collect())
    }
}

/// The words of an event: its type, and the fields of its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "words that become no event are not recorded"]
pub struct Words {
    event_type: &'static str,
    fields: Map<String, Value>,
}

impl Words {
    pub(super) fn new(event_type: &'static str) -> Self {
        Self { event_type, fields: Map::new() }
    }

    /// Adds a field. One that the vocabulary does not know is kept as it is.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The type of the event.
    pub fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// One of the fields, as it was given.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// What `actor` did, in one piece.
    pub fn event(self, actor: &str) -> Result<Event, FieldError> {
        let payload = Payload::new(MEDIA_TYPE, Value::Object(self.fields).to_string())?;
        Ok(Event::new(actor, self.event_type)?.payload(payload))
    }

    /// What `actor` did, each field committed to by itself, so that one can be shown and another withheld or erased.
    pub fn event_by_field(self, actor: &str) -> Result<Event, FieldError> {
        let event = Event::new(actor, self.event_type)?;
        let fields: Vec<_> =
            self.fields.into_iter().map(|(name, value)| (name, value.to_string())).collect();
        if fields.is_empty() {
            return Ok(event);
        }
        let leaves = fields.iter().map(|(name, json)| (&**name, MEDIA_TYPE, json.as_bytes()));
        Ok(event.payload(Payload::by_field(leaves)?))
    }
}

/// The fields of an object within a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Object(pub(super) Map<String, Value>);

impl Object {
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}
