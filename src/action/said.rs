//! What of a value is recorded.

use std::any::type_name;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::digest::Digest;

/// Bytes of JSON that are recorded as they are. Of more, digest and length are: what was done does not fail for its size.
const WHOLE_MAX: usize = 1 << 20;
/// Characters of an error that are recorded.
const MESSAGE_MAX: usize = 4096;

/// What is recorded of an outcome: fields of its payload.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "what is not given back is not recorded"]
pub struct Said {
    fields: Map<String, Value>,
}

impl Said {
    /// That it was done, and no more.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// A value, as the field `result`.
    pub fn result(value: impl Into<Value>) -> Self {
        Self::nothing().with("result", value)
    }

    /// The digest of bytes, SHA-256 of nothing but them, and how many there are: for what is too large or too confidential.
    pub fn digest(bytes: &[u8]) -> Self {
        let said = Self::nothing().with("digest", Digest::of(&[bytes]).to_string());
        said.with("bytes", bytes.len())
    }

    /// One more field. The names are those of the type's own payload, or the caller's.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// What is recorded of an error: its type, what it says, and what kind of failure it is.
    pub(super) fn error(error_type: &str, message: Option<&str>, kind: &str) -> Self {
        let said = Self::nothing().with("error_type", error_type).with("kind", kind);
        match message {
            Some(text) if text.chars().nth(MESSAGE_MAX).is_some() => {
                let start: String = text.chars().take(MESSAGE_MAX).collect();
                said.with("message", format!("{start}..."))
            }
            Some(text) => said.with("message", text),
            None => said,
        }
    }

    /// What is recorded of a value of the caller's that says what it is.
    pub(super) fn of_error<E: Display>(error: &E) -> Self {
        // It is the caller's code, and must not take the value along.
        let said = catch_unwind(AssertUnwindSafe(|| error.to_string())).ok();
        Self::error(type_name::<E>(), said.as_deref(), "error")
    }

    /// The payload's text.
    pub(super) fn text(self) -> String {
        let text = Value::Object(self.fields.clone()).to_string();
        if text.len() <= WHOLE_MAX {
            return text;
        }
        // What kind of failure it was, and the like, is small, and a type may need it.
        let mut short = Self::digest(text.as_bytes()).fields;
        for (name, value) in self.fields {
            let is_small =
                value.is_number() || value.as_str().is_some_and(|text| text.len() <= 256);
            if is_small && !short.contains_key(&name) {
                short.insert(name, value);
            }
        }
        Value::Object(short).to_string()
    }
}

/// Values that say what of them is recorded.
pub trait Recorded {
    /// What is recorded of it.
    fn recorded(&self) -> Said;
}

macro_rules! as_result {
    ($($value:ty),+) => {$(
        impl Recorded for $value {
            fn recorded(&self) -> Said {
                Said::result(*self)
            }
        }
    )+};
}

as_result!(bool, f64, i32, i64, u16, u32, u64, usize);

impl Recorded for () {
    fn recorded(&self) -> Said {
        Said::nothing()
    }
}

impl Recorded for str {
    fn recorded(&self) -> Said {
        Said::result(self)
    }
}

impl Recorded for String {
    fn recorded(&self) -> Said {
        Said::result(&**self)
    }
}

impl Recorded for Value {
    fn recorded(&self) -> Said {
        Said::result(self.clone())
    }
}

impl Recorded for [u8] {
    fn recorded(&self) -> Said {
        Said::digest(self)
    }
}

impl Recorded for Vec<u8> {
    fn recorded(&self) -> Said {
        Said::digest(self)
    }
}

impl<T: Recorded + ?Sized> Recorded for &T {
    fn recorded(&self) -> Said {
        (**self).recorded()
    }
}

impl<T: Recorded> Recorded for Option<T> {
    fn recorded(&self) -> Said {
        self.as_ref().map_or_else(|| Said::result(Value::Null), Recorded::recorded)
    }
}

/// Records a value as the JSON that serde makes of it; for [`Action::recording`](crate::action::Action::recording). One that serde
/// cannot write is recorded as done, with what is wrong with it in the field `unwritten`.
pub fn json<T: Serialize>(value: &T) -> Said {
    match serde_json::to_value(value) {
        Ok(value) => Said::result(value),
        Err(error) => Said::nothing().with("unwritten", error.to_string()),
    }
}

/// Says what is recorded of values of a type.
pub trait Recorder<T> {
    /// What is recorded of this one.
    fn record(self, value: &T) -> Said;
}

/// Records what a value says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl<T: Recorded> Recorder<T> for Plain {
    fn record(self, value: &T) -> Said {
        value.recorded()
    }
}

/// Records what a closure says.
#[derive(Clone, Copy, Debug)]
pub struct By<F>(pub(super) F);

impl<T, F: FnOnce(&T) -> Said> Recorder<T> for By<F> {
    fn record(self, value: &T) -> Said {
        (self.0)(value)
    }
}

/// Asks a recorder. If it panics, that is recorded in the place of the value, which goes back to its owner.
pub(super) fn ask<T, R: Recorder<T>>(recorder: R, value: &T) -> Said {
    let said = catch_unwind(AssertUnwindSafe(|| recorder.record(value)));
    said.unwrap_or_else(|_| Said::nothing().with("unwritten", "what should say it panicked"))
}
