//! An event as its parts were given: by flags or by a line, which flags complete.

use clap::Args;
use sigchain::error::Refusal;
use sigchain::event::Event;
use sigchain::id::{EventId, SpanId, TraceId};
use sigchain::limit::FieldError;
use sigchain::payload::Payload;
use sigchain::point::Point;
use sigchain::receipt::Reference;
use sigchain::stamp::ValidTime;

/// What a payload is unless something else is said of it.
const JSON: &str = "application/json";

/// The parts of an event, as text. Those that are not given are none.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "The event")]
pub(crate) struct Draft {
    /// What happened: dotted lower-case words, tool.call
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// Who did it or met it
    #[arg(long, value_name = "ACTOR")]
    pub(crate) actor: Option<String>,
    /// The run or session that it belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) episode: Option<String>,
    /// The event that caused it: an event id, or a reference of another ledger (sigchain1...)
    #[arg(long, value_name = "EVENT")]
    pub(crate) cause: Option<String>,
    /// Your own thread of work
    #[arg(long, value_name = "ID")]
    pub(crate) correlation: Option<String>,
    /// W3C trace (32 hex digits)
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,
    /// The span in that trace (16 hex digits)
    #[arg(long, value_name = "ID")]
    pub(crate) span: Option<String>,
    /// A UUID of version 7: the same event under the same id is recorded once, however often it is sent
    #[arg(long, value_name = "ID")]
    pub(crate) event_id: Option<String>,
    /// From when on it was true (2026-11-20T05:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) valid_from: Option<String>,
    /// Until when it was true
    #[arg(long, value_name = "TIME")]
    pub(crate) valid_to: Option<String>,
    /// What the payload is; application/json unless you say otherwise
    #[arg(long, value_name = "TYPE")]
    pub(crate) media_type: Option<String>,
    #[arg(skip)]
    pub(crate) payload: Option<Vec<u8>>,
}

const EVENT_ID: &str = "a UUID of version 7 in lower case";

impl Draft {
    /// What goes by this name in flags (`--event-id`) and keys (`event_id`): all but the payload.
    pub(crate) fn text(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "type" => &mut self.event_type,
            "actor" => &mut self.actor,
            "episode" => &mut self.episode,
            "cause" => &mut self.cause,
            "correlation" => &mut self.correlation,
            "trace" => &mut self.trace,
            "span" => &mut self.span,
            "event_id" => &mut self.event_id,
            "valid_from" => &mut self.valid_from,
            "valid_to" => &mut self.valid_to,
            "media_type" => &mut self.media_type,
            _ => return None,
        })
    }

    /// With the parts of another where this has none.
    pub(super) fn or(self, other: &Self) -> Self {
        let or = |own: Option<String>, other: &Option<String>| own.or_else(|| other.clone());
        Self {
            event_type: or(self.event_type, &other.event_type),
            actor: or(self.actor, &other.actor),
            episode: or(self.episode, &other.episode),
            cause: or(self.cause, &other.cause),
            correlation: or(self.correlation, &other.correlation),
            trace: or(self.trace, &other.trace),
            span: or(self.span, &other.span),
            event_id: or(self.event_id, &other.event_id),
            valid_from: or(self.valid_from, &other.valid_from),
            valid_to: or(self.valid_to, &other.valid_to),
            media_type: or(self.media_type, &other.media_type),
            payload: self.payload.or_else(|| other.payload.clone()),
        }
    }

    /// The event.
    pub(super) fn event(self) -> Result<Event, Refusal> {
        self.build().map_err(Refusal::Field)
    }

    fn build(self) -> Result<Event, FieldError> {
        let missing = |field, expected| FieldError::new(field, expected, "");
        let actor = self.actor.ok_or_else(|| missing("actor", "who did it or met it"))?;
        let kind = self.event_type.ok_or_else(|| missing("type", "what happened: tool.call"))?;
        let mut event = Event::new(&actor, &kind)?;
        if let Some(text) = &self.cause {
            // A reference names an entry of any chain, and says when it was: what follows from it is stamped above it.
            event = match Reference::parse(text) {
                Some(found) => event.caused_by(found.event_id).after(found),
                None => event.caused_by(parse("cause", EVENT_ID, text, EventId::parse)?),
            };
        }
        if let Some(text) = &self.correlation {
            event = event.correlation(text)?;
        }
        if let Some(text) = &self.episode {
            event = event.episode(text)?;
        }
        if let Some(text) = &self.event_id {
            event = event.id(parse("event_id", EVENT_ID, text, EventId::parse)?);
        }
        let span = self.span.as_deref();
        let span = span.map(|text| parse("span", "16 lower-case digits", text, SpanId::parse));
        match (&self.trace, span.transpose()?) {
            (Some(text), span) => {
                let trace = parse("trace", "32 lower-case digits", text, TraceId::parse)?;
                event = event.trace(trace, span);
            }
            (None, Some(_)) => return Err(missing("trace", "the trace that the span is of")),
            (None, None) => {}
        }
        let (from, to) = (self.valid_from.as_deref(), self.valid_to.as_deref());
        let from = from.map(|text| parse("valid_from", TIME, text, time)).transpose()?;
        let to = to.map(|text| parse("valid_to", TIME, text, time)).transpose()?;
        event = event.valid(from, to)?;
        match (self.payload, self.media_type) {
            (Some(bytes), Some(media_type)) => Ok(event.payload(Payload::new(&media_type, bytes)?)),
            (Some(bytes), None) => Ok(event.payload(Payload::new(JSON, bytes)?)),
            (None, Some(media_type)) => {
                Err(FieldError::new("payload", "bytes of the media type", &media_type))
            }
            (None, None) => Ok(event),
        }
    }
}

const TIME: &str = "a time such as 2026-11-20T05:00:00Z";

fn time(text: &str) -> Option<ValidTime> {
    match Point::parse(text) {
        Ok(Point::Time(time)) => Some(time),
        _ => None,
    }
}

fn parse<T>(
    field: &'static str,
    expected: &'static str,
    text: &str,
    of: impl FnOnce(&str) -> Option<T>,
) -> Result<T, FieldError> {
    of(text).ok_or_else(|| FieldError::new(field, expected, text))
}
