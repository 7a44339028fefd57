//! Events: what the caller says happened. Unsigned and without a place; every field is bounded here, so that whatever
//! becomes an event can become an entry.

mod capture;

use crate::id::{EventId, SpanId, TraceId};
use crate::limit::{self, FieldError};
use crate::payload::Payload;
use crate::stamp::{Stamp, ValidTime};

pub use crate::event::capture::{Capture, Stated};

/// What the caller says happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the names are those of the sixteen fields")]
pub struct Event {
    pub(crate) actor: String,
    /// What its stamp must exceed.
    pub(crate) after: Option<Stamp>,
    /// How it came in, where that is not by a plain append.
    pub(crate) capture: Option<Capture>,
    pub(crate) causation_id: Option<EventId>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) episode_id: Option<String>,
    pub(crate) event_id: Option<EventId>,
    pub(crate) event_type: String,
    pub(crate) payload: Payload,
    pub(crate) schema_version: u16,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) valid_from: Option<ValidTime>,
    pub(crate) valid_to: Option<ValidTime>,
}

const LABEL: &str = "1 to 128 bytes of text without control characters";

impl Event {
    /// `actor` did, or met, what `event_type` names: dotted lower-case words such as `tool.call`.
    ///
    /// ```
    /// use sigchain::event::Event;
    /// use sigchain::payload::Payload;
    ///
    /// let event = Event::new("agent:planner", "tool.call")?
    ///     .episode("run-7")?
    ///     .payload(Payload::new("application/json", r#"{"tool":"search"}"#)?);
    /// # Ok::<(), sigchain::limit::FieldError>(())
    /// ```
    pub fn new(actor: &str, event_type: &str) -> Result<Self, FieldError> {
        if !limit::is_actor(actor) {
            let expected = "1 to 256 bytes of text without control characters";
            return Err(FieldError::new("actor", expected, actor));
        }
        if !limit::is_event_type(event_type) {
            let expected = "dotted lower-case words, at most 128 bytes";
            return Err(FieldError::new("event_type", expected, event_type));
        }
        if limit::is_reserved(event_type) {
            let expected = "a family that is not the ledger's own";
            return Err(FieldError::new("event_type", expected, event_type));
        }
        Ok(Self::unchecked(actor, event_type))
    }

    /// As `new`, for the ledger's own families too.
    pub(crate) fn unchecked(actor: &str, event_type: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            after: None,
            capture: None,
            causation_id: None,
            correlation_id: None,
            episode_id: None,
            event_id: None,
            event_type: event_type.to_owned(),
            payload: Payload::empty(),
            schema_version: 1,
            span_id: None,
            trace_id: None,
            valid_from: None,
            valid_to: None,
        }
    }

    /// What comes with it.
    #[must_use]
    pub fn payload(self, payload: Payload) -> Self {
        Self { payload, ..self }
    }

    /// What comes with it.
    pub fn payload_ref(&self) -> &Payload {
        &self.payload
    }

    /// Its id, where the caller has one; otherwise it gets one when it is linked.
    #[must_use]
    pub fn id(self, id: EventId) -> Self {
        Self { event_id: Some(id), ..self }
    }

    /// The event that caused it.
    #[must_use]
    pub fn caused_by(self, cause: EventId) -> Self {
        Self { causation_id: Some(cause), ..self }
    }

    #[cfg(feature = "std")]
    /// It came in by such a way.
    #[must_use]
    pub(crate) fn captured(self, capture: Capture) -> Self {
        Self { capture: Some(capture), ..self }
    }

    /// Comes after a moment in another ledger: the receipt of its cause there, the reference that came in a header, or a
    /// stamp. A moment too far ahead of the ledger's own clock is refused when it is appended.
    #[must_use]
    pub fn after(self, moment: impl Into<Stamp>) -> Self {
        Self { after: self.after.max(Some(moment.into())), ..self }
    }

    /// The caller's own thread of work.
    pub fn correlation(self, id: &str) -> Result<Self, FieldError> {
        if !limit::is_group(id) {
            return Err(FieldError::new("correlation_id", LABEL, id));
        }
        Ok(Self { correlation_id: Some(id.to_owned()), ..self })
    }

    /// The episode it belongs to: a session, a run.
    pub fn episode(self, id: &str) -> Result<Self, FieldError> {
        if !limit::is_group(id) {
            return Err(FieldError::new("episode_id", LABEL, id));
        }
        Ok(Self { episode_id: Some(id.to_owned()), ..self })
    }

    /// The version of the event type's payload, as the caller counts; 1 unless said otherwise.
    #[must_use]
    pub fn schema_version(self, version: u16) -> Self {
        Self { schema_version: version, ..self }
    }

    /// The W3C trace it belongs to, and the span within it.
    #[must_use]
    pub fn trace(self, trace: TraceId, span: Option<SpanId>) -> Self {
        Self { trace_id: Some(trace), span_id: span, ..self }
    }

    /// From when and until when (exclusive) it was true.
    pub fn valid(self, from: Option<ValidTime>, to: Option<ValidTime>) -> Result<Self, FieldError> {
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            let found = format!("{to} after {from}");
            return Err(FieldError::new("valid_to", "a time after valid_from", &found));
        }
        Ok(Self { valid_from: from, valid_to: to, ..self })
    }
}
