//! Whether JSON has the form that fields want: one pass over the text, which builds nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::digest::Digest;
use crate::event::Capture;
use crate::id::EventId;
use crate::limit::SEQUENCE_MAX;
use crate::payload::is_json;
use crate::point::Point;
use crate::receipt::Reference;
use crate::vocabulary::form::{Field, Form};

/// The field in which a payload says by which class of way its event came in.
const CAPTURE: &str = Capture::FIELD;

/// What is not as it should be.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    /// A JSON pointer.
    pub(super) path: String,
    pub(super) expected: String,
    pub(super) found: String,
}

/// What was found besides the form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Whether there are no members at all.
    pub(super) is_empty: bool,
    pub(super) has_capture: bool,
}

/// A payload with fields committed one by one: name, media type, bytes.
pub(super) type Leaf<'l> = (&'l str, &'l str, &'l [u8]);

/// Judges a payload in one piece.
pub(super) fn object(
    json: &[u8],
    fields: &'static [Field],
    capture: Capture,
) -> Result<Found, Wrong> {
    let trail = Trail::default();
    let own = Cell::new(false);
    let members = Members { fields, trail: &trail, top: Some((capture, &own)) };
    let count = parse(json, members, &trail)?;
    Ok(Found { is_empty: count == 0, has_capture: own.get() })
}

/// Judges a payload whose fields are committed one by one. What is in a field that is no JSON, such as one that is encrypted, is not
/// for us to know.
pub(super) fn leaves(
    leaves: &[Leaf<'_>],
    fields: &'static [Field],
    capture: Capture,
) -> Result<Found, Wrong> {
    let mut has_capture = false;
    for (name, media_type, bytes) in leaves {
        let trail = Trail::default();
        if *name == CAPTURE {
            has_capture = true;
            // Of another media type it could be read by nobody who looks for it.
            if is_json(media_type) {
                parse(bytes, class(capture, &trail), &trail)
            } else {
                let found = "a field of another media type".to_owned();
                let expected = format!("\"{}\" as JSON (application/json)", capture.name());
                Err(Wrong { path: String::new(), expected, found })
            }
        } else if let Some(field) = fields.iter().find(|field| field.name == *name)
            && is_json(media_type)
        {
            parse(bytes, Value { form: field.form, trail: &trail }, &trail)
        } else {
            continue;
        }
        .map_err(|wrong| Wrong { path: format!("/{}{}", escaped(name), wrong.path), ..wrong })?;
    }
    let has = |field: &Field| leaves.iter().any(|(name, ..)| *name == field.name);
    if let Some(missing) = fields.iter().find(|field| field.is_needed && !has(field)) {
        return Err(missing_field(missing));
    }
    Ok(Found { is_empty: leaves.is_empty(), has_capture })
}

fn missing_field(field: &Field) -> Wrong {
    let path = format!("/{}", field.name);
    Wrong { path, expected: field.form.to_string(), found: "nothing".to_owned() }
}

fn parse<'j, S: DeserializeSeed<'j>>(
    json: &'j [u8],
    seed: S,
    trail: &Trail,
) -> Result<S::Value, Wrong> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let judged = seed.deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    judged.map_err(|error| trail.wrong(&error))
}

/// Where in the text we are, written down from the inside outwards once something is wrong.
#[derive(Debug, Default)]
struct Trail {
    steps: RefCell<Vec<String>>,
    what: RefCell<Option<(String, String)>>,
}

impl Trail {
    /// Notes what is wrong; the first one counts.
    fn stop<E: serde::de::Error>(&self, expected: impl fmt::Display, found: &str) -> E {
        self.what.borrow_mut().get_or_insert_with(|| (expected.to_string(), found.to_owned()));
        E::custom(found)
    }

    /// Notes the step that led there.
    fn through<T, E>(&self, step: impl fmt::Display, judged: Result<T, E>) -> Result<T, E> {
        judged.inspect_err(|_| self.steps.borrow_mut().push(step.to_string()))
    }

    fn wrong(&self, error: &serde_json::Error) -> Wrong {
        let mut path = String::new();
        for step in self.steps.borrow().iter().rev() {
            path.push('/');
            path.push_str(&escaped(step));
        }
        if let Some((expected, found)) = self.what.take() {
            return Wrong { path, expected, found };
        }
        let what = match error.classify() {
            Category::Eof => "a text that ends too early",
            _ => "something else",
        };
        let found = format!("{what} at line {}, column {}", error.line(), error.column());
        Wrong { path, expected: "JSON".to_owned(), found }
    }
}

/// A step of a JSON pointer.
fn escaped(step: &str) -> String {
    crate::text::shown(&step.replace('~', "~0").replace('/', "~1"), 60)
}

/// The place of a field, as a bit: no type has more than 64.
fn bit(at: usize) -> u64 {
    u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(0)
}

/// Which member a name stands for.
enum Name {
    Capture,
    /// A field, and its place among them.
    Field(usize, &'static Field),
    Other,
}

/// The members of an object; at the top of a payload also the class of way.
#[derive(Clone, Copy)]
struct Members<'t> {
    fields: &'static [Field],
    trail: &'t Trail,
    top: Option<(Capture, &'t Cell<bool>)>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        // `deserialize_map` would word what it finds for itself, with the thing in it.
        deserializer.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for &Members<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for &Members<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        let field = self.fields.iter().enumerate().find(|(_, field)| field.name == name);
        Ok(match field {
            Some((at, field)) => Name::Field(at, field),
            None if name == CAPTURE && self.top.is_some() => Name::Capture,
            None => Name::Other,
        })
    }
}

impl Members<'_> {
    fn found<E: serde::de::Error>(&self, found: &str) -> E {
        self.trail.stop("an object", found)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<usize, E> {
        Err(self.found("true or false"))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<usize, E> {
        Err(self.found("a number"))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<usize, E> {
        Err(self.found("a number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<usize, E> {
        Err(self.found("a number"))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<usize, E> {
        Err(self.found("text"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<usize, E> {
        Err(self.found("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<usize, A::Error> {
        Err(self.found("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let trail = self.trail;
        let mut seen: u64 = 0;
        let mut count: usize = 0;
        while let Some(name) = map.next_key_seed(&self)? {
            count = count.saturating_add(1);
            match (name, self.top) {
                (Name::Field(at, field), _) => {
                    let bit = bit(at);
                    if seen & bit != 0 {
                        let twice = trail.stop("each name once", "one that comes twice");
                        return trail.through(field.name, Err(twice));
                    }
                    seen |= bit;
                    let value = Value { form: field.form, trail };
                    trail.through(field.name, map.next_value_seed(value))?;
                }
                (Name::Capture, Some((capture, has_capture))) => {
                    if has_capture.replace(true) {
                        let twice = trail.stop("each name once", "one that comes twice");
                        return trail.through(CAPTURE, Err(twice));
                    }
                    trail.through(CAPTURE, map.next_value_seed(class(capture, trail)))?;
                }
                _ => map.next_value_seed(Anything)?,
            }
        }
        let is_missing = |(at, field): &(usize, &Field)| field.is_needed && seen & bit(*at) == 0;
        match self.fields.iter().enumerate().find(is_missing) {
            Some((_, field)) => {
                let nothing = trail.stop(field.form, "nothing");
                trail.through(field.name, Err(nothing))
            }
            None => Ok(count),
        }
    }
}

/// The class of way, where a caller says it: no other than the right one.
fn class(capture: Capture, trail: &Trail) -> Value<'_> {
    let word: &[&str] = match capture {
        Capture::Gate => &["gate"],
        Capture::Import => &["import"],
        Capture::Manual => &["manual"],
        Capture::Observer => &["observer"],
    };
    Value { form: Form::OneOf(word), trail }
}

/// Any value, looked at to its end: what is only skipped could hold half a surrogate or a number that no reader can hold, and then
/// nobody could read the payload that was let in.
#[derive(Clone, Copy)]
struct Anything;

impl<'de> DeserializeSeed<'de> for Anything {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }
}

/// A value of one form.
#[derive(Clone, Copy)]
struct Value<'t> {
    form: Form,
    trail: &'t Trail,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.form {
            Form::Json => Anything.deserialize(deserializer),
            Form::Record(fields) => {
                let members = Members { fields, trail: self.trail, top: None };
                members.deserialize(deserializer).map(drop)
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl Value<'_> {
    fn found<E: serde::de::Error>(&self, found: &str) -> E {
        self.trail.stop(self.form, found)
    }

    fn whole<E: serde::de::Error>(self, magnitude: u64, is_negative: bool) -> Result<(), E> {
        let fits = match self.form {
            Form::Number => true,
            Form::Count => magnitude <= SEQUENCE_MAX && !is_negative,
            Form::Whole => magnitude <= SEQUENCE_MAX,
            _ => return Err(self.found("a number")),
        };
        if fits { Ok(()) } else { Err(self.found("another number")) }
    }

    fn is(self, text: &str) -> bool {
        match self.form {
            Form::Text => true,
            Form::Digest => Digest::parse(text).is_some(),
            Form::EventId => EventId::parse(text).is_some(),
            Form::OneOf(words) => words.contains(&text),
            Form::Reference => Reference::parse(text).is_some(),
            Form::Time => matches!(Point::parse(text), Ok(Point::Time(_))),
            _ => false,
        }
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.form)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        if self.form == Form::Truth { Ok(()) } else { Err(self.found("true or false")) }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.whole(value.unsigned_abs(), value < 0)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.whole(value, false)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        if self.form == Form::Number { Ok(()) } else { Err(self.found("a number")) }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if self.is(text) {
            return Ok(());
        }
        let is_text = !matches!(
            self.form,
            Form::Digest | Form::EventId | Form::OneOf(_) | Form::Reference | Form::Time
        );
        Err(self.found(if is_text { "text" } else { "another text" }))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Err(self.found("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Form::List(form) = self.form else { return Err(self.found("an array")) };
        let item = Value { form: *form, trail: self.trail };
        let mut at: usize = 0;
        while self.trail.through(at, seq.next_element_seed(item))?.is_some() {
            at = at.saturating_add(1);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Form::Table(form) = self.form else { return Err(self.found("an object")) };
        let item = Value { form: *form, trail: self.trail };
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.contains(&name) {
                let twice = self.trail.stop("each name once", "one that comes twice");
                return self.trail.through(name, Err(twice));
            }
            self.trail.through(&name, map.next_value_seed(item))?;
            seen.insert(name);
        }
        Ok(())
    }
}
