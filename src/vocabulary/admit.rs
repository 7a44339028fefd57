//! What a ledger asks of an event before it takes it, and the class of way by which the event came in, which the ledger writes into the
//! payload: a caller that could say so for itself would call everything a gate.

use crate::event::{Capture, Event, Stated};
use crate::limit::FieldError;
use crate::payload::{Media, Payload, is_json};
use crate::vocabulary::judge::{self, Found};
use crate::vocabulary::words::MEDIA_TYPE;
use crate::vocabulary::{self, IllFormed, TYPES, Type};

/// Why an event is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is not of its type's form.
    Form(Box<IllFormed>),
    /// It would be too large.
    Field(FieldError),
}

impl From<FieldError> for Unfit {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<IllFormed> for Unfit {
    fn from(error: IllFormed) -> Self {
        Self::Form(Box::new(error))
    }
}

/// Looks whether an event has the form of its type, and writes into its payload by which class of way it came in. Events of the
/// caller's own types are taken as they are, unless they came in by another way than a plain append, or say that they did.
pub(crate) fn admit(event: Event) -> Result<Event, Unfit> {
    let known = vocabulary::of(&event.event_type);
    if known.is_none() && vocabulary::is_known_family(&event.event_type) {
        return Err(unknown(&event.event_type).into());
    }
    let capture = match (known, event.capture) {
        (None, None) => return plain(event),
        (_, capture) => capture.unwrap_or(Capture::Manual),
    };
    if let Some(known) = known {
        check_event(known, &event)?;
    }
    let ill = |path: String, expected: String, found: String| IllFormed {
        event_type: event.event_type.clone(),
        path,
        expected,
        found,
    };
    let fields = known.map_or(&[][..], |known| known.fields);
    let payload = event.payload.media();
    let Some(found) = look(&payload, fields, capture).map_err(|wrong| {
        let judge::Wrong { path, expected, found } = wrong;
        ill(path, expected, found)
    })?
    else {
        let found = "a payload of another media type".to_owned();
        return Err(ill(String::new(), "a JSON object (application/json)".to_owned(), found).into());
    };
    if found.has_capture {
        return Ok(event);
    }
    let payload = written(&payload, found, capture)?;
    Ok(event.payload(payload))
}

/// A plain append of a caller's own type. Who could state a class for himself would call it a gate, and whoever asks for gates believes it.
fn plain(event: Event) -> Result<Event, Unfit> {
    match Capture::stated_in(&event.payload.media()) {
        Stated::Class(capture) if capture != Capture::Manual => {
            let wrong = IllFormed {
                event_type: event.event_type,
                path: format!("/{}", Capture::FIELD),
                expected: "no class of capture but \"manual\", since it comes in by a plain append"
                    .to_owned(),
                found: format!("\"{}\"", capture.name()),
            };
            Err(wrong.into())
        }
        _ => Ok(event),
    }
}

/// Judges a payload; `None` if it is neither JSON nor a set of fields.
fn look(
    payload: &Media<'_>,
    fields: &'static [vocabulary::Field],
    capture: Capture,
) -> Result<Option<Found>, judge::Wrong> {
    match payload {
        Media::Whole("", []) => judge::object(b"{}", fields, capture).map(Some),
        Media::Whole(media_type, bytes) if is_json(media_type) => {
            judge::object(bytes, fields, capture).map(Some)
        }
        Media::Whole(..) => Ok(None),
        Media::Fields(leaves) => judge::leaves(leaves, fields, capture).map(Some),
    }
}

/// The payload, with the class in it.
fn written(payload: &Media<'_>, found: Found, capture: Capture) -> Result<Payload, FieldError> {
    let word = format!("\"{}\"", capture.name());
    let member = format!("\"{}\":{word}", Capture::FIELD);
    match payload {
        Media::Whole("", []) => Payload::new(MEDIA_TYPE, format!("{{{member}}}")),
        Media::Whole(media_type, bytes) => {
            // The first member: the rest stays byte for byte what the caller gave.
            let at =
                bytes.iter().position(|byte| *byte == b'{').map_or(0, |at| at.saturating_add(1));
            let (head, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
            let comma = if found.is_empty { "" } else { "," };
            Payload::new(media_type, [head, member.as_bytes(), comma.as_bytes(), rest].concat())
        }
        Media::Fields(leaves) => {
            let leaves = leaves.iter().copied();
            let own = (Capture::FIELD, MEDIA_TYPE, word.as_bytes());
            Payload::by_field(leaves.chain([own]))
        }
    }
}

/// What the event itself must say.
fn check_event(known: &Type, event: &Event) -> Result<(), IllFormed> {
    let missing = |path: &str, expected: &str| IllFormed {
        event_type: known.name.to_owned(),
        path: path.to_owned(),
        expected: expected.to_owned(),
        found: "nothing".to_owned(),
    };
    if known.has_cause && event.causation_id.is_none() {
        return Err(missing("causation_id", "the event that it answers"));
    }
    if known.has_episode && event.episode_id.is_none() {
        return Err(missing("episode_id", "the episode's id"));
    }
    Ok(())
}

fn unknown(event_type: &str) -> IllFormed {
    let (family, _) = event_type.split_once('.').unwrap_or((event_type, ""));
    let of_family = |known: &&Type| known.name.split_once('.').is_some_and(|(of, _)| of == family);
    let names: Vec<_> = TYPES.iter().filter(of_family).map(|known| known.name).collect();
    IllFormed {
        event_type: event_type.to_owned(),
        path: "event_type".to_owned(),
        expected: format!("{}, or a family of your own", names.join(" or ")),
        found: "another word".to_owned(),
    }
}
