//! A layer for `tracing` that records what the application says of itself, as an observer.
//!
//! Marked spans become actions: an intent as they begin, its outcome as they end. Marked events become one entry. Marked is what has
//! a field `sigchain` with the type of the event, what has fields `gen_ai.*` (OpenTelemetry's for generative AI, which become those of the
//! [vocabulary](crate::vocabulary)), and what has the target `sigchain`. Everything else is passed by.
//!
//! ```
//! use sigchain::key::SigningKey;
//! use sigchain::ledger::{Genesis, Ledger};
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! let ledger = Ledger::in_memory(Genesis::new("example.org/agents", SigningKey::generate()?))?;
//! let (observer, keeper) = sigchain::layer::observe(&ledger, "agent:planner")?;
//! let subscriber = tracing_subscriber::registry().with(observer);
//! tracing::subscriber::with_default(subscriber, || {
//!     let span = tracing::info_span!("search", sigchain = "tool.call", gen_ai.tool.name = "search");
//!     span.in_scope(|| tracing::info!("the application goes on"));
//! });
//! assert!(keeper.flush(std::time::Duration::from_secs(10)));
//! assert_eq!(ledger.head().sequence, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # An observer is no gate
//!
//! The application goes on whether or not it is recorded: nothing here blocks it, panics in it or fails it. What is said goes into a queue,
//! and a thread records it; the class of way is `observer`. What the queue has no room for, or the ledger refuses, is counted, and recorded
//! as `capture.gap` once that is possible. To stop an action that cannot be recorded, use
//! [`Ledger::action`].
//!
//! # More than the fields
//!
//! `sigchain.actor`, `sigchain.episode` and `sigchain.correlation` are for a span and all within it; spans and events within a marked span
//! are caused by its intent. `trace_id` and `span_id`, the ids of OpenTelemetry's trace and span as hexadecimal text, are for a span and
//! all within it, too, where the application records them, as the span begins or later: the entries have them as their own. A span failed
//! that has a field `error.type`, or `otel.status_code` with `ERROR`, or that ends in a panic.

mod fields;
mod keeper;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::{fmt, io};

use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event as Said, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::layer::fields::{Fields, Outline};
use crate::layer::keeper::{Gaps, Message};
use crate::ledger::Ledger;
use crate::limit::{self, FieldError};

pub use crate::layer::keeper::Keeper;

/// What the queue holds.
const QUEUE: usize = 8192;

/// Begins to observe. What says no actor of its own is by `actor`. The layer goes to a subscriber; the keeper is to be kept until the
/// end, and flushed then.
pub fn observe(ledger: &Ledger, actor: &str) -> io::Result<(Observer, Keeper)> {
    if !limit::is_actor(actor) {
        let expected = "1 to 256 bytes of text without control characters";
        return Err(io::Error::other(FieldError::new("actor", expected, actor)));
    }
    let (queue, messages) = sync_channel(QUEUE);
    let gaps = Arc::<Gaps>::default();
    let keeper = Keeper::start(ledger, actor, queue.clone(), messages, Arc::clone(&gaps))?;
    let observer = Observer { queue, gaps, next: Arc::default() };
    Ok((observer, keeper))
}

/// The layer: see [`observe`].
#[derive(Clone)]
pub struct Observer {
    queue: SyncSender<Message>,
    gaps: Arc<Gaps>,
    /// Numbers of spans: the registry uses its ids again.
    next: Arc<AtomicU64>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("gaps", &self.gaps).finish_non_exhaustive()
    }
}

/// A span that is marked, or has something to say for those within it.
struct Open {
    /// Its number, if its intent is on its way.
    number: Option<u64>,
    event_type: String,
    outline: Outline,
    /// What was said of it since it began.
    later: Fields,
}

/// Whether spans or events of this kind are marked.
fn is_marked(metadata: &Metadata<'_>) -> bool {
    let is_mark = |name: &str| name == "sigchain" || name.starts_with("gen_ai.");
    metadata.target() == "sigchain" || metadata.fields().iter().any(|field| is_mark(field.name()))
}

/// Whether spans of this kind say something for those within them.
fn has_outline(metadata: &Metadata<'_>) -> bool {
    let is_outline = |name: &str| name.starts_with("sigchain.") || name == "trace_id";
    metadata.fields().iter().any(|field| is_outline(field.name()))
}

impl Observer {
    /// Puts a message into the queue, or counts that there was no room.
    fn send(&self, message: Message) -> bool {
        let is_sent = self.queue.try_send(message).is_ok();
        if !is_sent {
            self.gaps.miss(1, "the queue is full");
        }
        is_sent
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Observer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        let is_marked = is_marked(metadata);
        if !is_marked && !has_outline(metadata) {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let (cause, outline) = above(span.parent());
        let outline = fields.outline(outline);
        let event_type = fields.type_of_span(metadata);
        let mut number = None;
        if is_marked {
            let own = self.next.fetch_add(1, Ordering::Relaxed);
            let (event_type, outline) = (event_type.clone(), outline.clone());
            let begin = Message::Begin { number: own, cause, event_type, fields, outline };
            number = self.send(begin).then_some(own);
        }
        // Within a span that only has something to say, the cause is that of the span itself.
        let number = if is_marked { number } else { cause };
        let open = Open { number, event_type, outline, later: Fields::default() };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.later);
            open.outline.trace = open.later.trace(open.outline.trace);
        }
    }

    fn on_event(&self, event: &Said<'_>, context: Context<'_, S>) {
        if !is_marked(event.metadata()) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (cause, outline) = above(context.event_span(event));
        let outline = fields.outline(outline);
        let event_type = fields.type_of_event(event.metadata());
        self.send(Message::Single { cause, event_type, fields, outline });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if !is_marked(span.metadata()) {
            return;
        }
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let Open { number: Some(number), event_type, outline, later: fields } = open else {
            return;
        };
        let is_panic = std::thread::panicking();
        self.send(Message::End { number, event_type, fields, outline, is_panic });
    }
}

/// The nearest marked span from this one outwards, and what is said for all within.
fn above<'s, S: LookupSpan<'s>>(
    span: Option<tracing_subscriber::registry::SpanRef<'s, S>>,
) -> (Option<u64>, Outline) {
    let Some(span) = span else { return (None, Outline::default()) };
    for span in span.scope() {
        if let Some(open) = span.extensions().get::<Open>() {
            return (open.number, open.outline.clone());
        }
    }
    (None, Outline::default())
}
