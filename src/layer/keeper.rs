//! Who records what is observed: a thread, so that the application never waits for the ledger.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::error::{AppendError, Refusal};
use crate::event::{Capture, Event};
use crate::id::EventId;
use crate::layer::fields::{Fields, Outline};
use crate::ledger::{Ledger, Ticket};
use crate::limit::FieldError;
use crate::payload::Payload;
use crate::vocabulary;

/// Events that are on their way before somebody looks what became of them.
const WAY_MAX: usize = 256;
/// How long a keeper that goes waits for what is in the queue.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon a gap that could not be recorded is tried again, though nothing else happens.
const AGAIN: Duration = Duration::from_secs(1);

/// What is in the queue.
pub(super) enum Message {
    /// A span begins.
    Begin { number: u64, cause: Option<u64>, event_type: String, fields: Fields, outline: Outline },
    /// It ends.
    End { number: u64, event_type: String, fields: Fields, outline: Outline, is_panic: bool },
    /// An event.
    Single { cause: Option<u64>, event_type: String, fields: Fields, outline: Outline },
    /// Somebody wants to know when all before it is recorded.
    Flush(SyncSender<()>),
}

/// What was not recorded.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    held: Mutex<Missed>,
}

#[derive(Debug, Default)]
struct Missed {
    /// Since the last gap that is recorded.
    count: u64,
    all: u64,
    reason: Option<String>,
}

impl Gaps {
    pub(super) fn miss(&self, count: u64, reason: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.count = held.count.saturating_add(count);
        held.all = held.all.saturating_add(count);
        held.reason.get_or_insert_with(|| reason.to_owned());
    }

    fn all(&self) -> u64 {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// What is to be recorded, if anything.
    fn take(&self) -> Option<(u64, String)> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = held.reason.take()?;
        Some((mem::take(&mut held.count), reason))
    }

    /// It could not be recorded.
    fn give_back(&self, count: u64, reason: String) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.count = held.count.saturating_add(count);
        held.reason = Some(reason);
    }
}

/// The recording side of an [`Observer`](crate::layer::Observer): to be kept as long as the application is observed. When it goes, it
/// waits up to five seconds for what is in the queue.
#[derive(Debug)]
#[must_use = "what is observed last is recorded only if somebody waits for it"]
pub struct Keeper {
    queue: SyncSender<Message>,
    gaps: Arc<Gaps>,
}

impl Keeper {
    pub(super) fn start(
        ledger: &Ledger,
        actor: &str,
        queue: SyncSender<Message>,
        messages: Receiver<Message>,
        gaps: Arc<Gaps>,
    ) -> io::Result<Self> {
        let scribe = Scribe {
            ledger: ledger.clone(),
            actor: actor.to_owned(),
            gaps: Arc::clone(&gaps),
            open: BTreeMap::new(),
            way: Vec::new(),
        };
        Builder::new()
            .name("sigchain-observer".to_owned())
            .spawn(move || scribe.work(&messages))?;
        Ok(Self { queue, gaps })
    }

    /// Waits until all that was observed so far is recorded, or is not going to be. False if that takes longer.
    pub fn flush(&self, patience: Duration) -> bool {
        let until = Instant::now().checked_add(patience);
        let left =
            || until.map_or(patience, |until| until.saturating_duration_since(Instant::now()));
        let (tell, told) = sync_channel(1);
        let mut message = Message::Flush(tell);
        loop {
            // There may be no room just now.
            match self.queue.try_send(message) {
                Ok(()) => return told.recv_timeout(left()).is_ok(),
                Err(std::sync::mpsc::TrySendError::Full(back)) if !left().is_zero() => {
                    message = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(_) => return false,
            }
        }
    }

    /// How many spans and events were observed and not recorded, since the start.
    pub fn missed(&self) -> u64 {
        self.gaps.all()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.flush(PATIENCE);
    }
}

/// The thread's own.
struct Scribe {
    ledger: Ledger,
    actor: String,
    gaps: Arc<Gaps>,
    /// Intents of spans that have not ended.
    open: BTreeMap<u64, EventId>,
    /// What is on its way, and of which span it is the intent.
    way: Vec<(Ticket, Option<u64>)>,
}

impl Scribe {
    fn work(mut self, messages: &Receiver<Message>) {
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.settle();
                    match messages.recv_timeout(AGAIN) {
                        Ok(message) => message,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
            };
            self.take(message);
            if self.way.len() >= WAY_MAX {
                self.settle();
            }
        }
        self.settle();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Flush(tell) => {
                self.settle();
                // Whoever asked may have gone.
                let _ = tell.send(());
            }
            Message::Begin { number, cause, event_type, fields, outline } => {
                let payload = fields.payload(&event_type);
                let event = self.event(&event_type, payload, outline, self.cause(cause));
                self.send(event, Some(number));
            }
            Message::Single { cause, event_type, fields, outline } => {
                let payload = fields.payload(&event_type);
                let event = self.event(&event_type, payload, outline, self.cause(cause));
                self.send(event, None);
            }
            Message::End { number, event_type, fields, outline, is_panic } => {
                // An intent that is on its way may yet be given up. Then its outcome, sent behind it, would be there alone.
                if self.way.iter().any(|(_, of)| *of == Some(number)) {
                    self.settle();
                }
                // Without its intent the outcome would say nothing; that one is counted already.
                let Some(intent) = self.open.remove(&number) else { return };
                let Some(types) = vocabulary::outcomes(&event_type) else { return };
                let is_error = is_panic || fields.is_error();
                let event_type = if is_error { types.error } else { types.result };
                let mut payload = fields.payload(&event_type);
                if is_error {
                    payload
                        .insert("kind".to_owned(), if is_panic { "panic" } else { "error" }.into());
                }
                let event = self.event(&event_type, payload, outline, Some(intent));
                self.send(event, None);
            }
        }
    }

    fn cause(&self, number: Option<u64>) -> Option<EventId> {
        self.open.get(&number?).copied()
    }

    fn event(
        &self,
        event_type: &str,
        payload: Map<String, Value>,
        outline: Outline,
        cause: Option<EventId>,
    ) -> Result<Event, FieldError> {
        let actor = outline.actor.as_deref().unwrap_or(&self.actor);
        let payload = Payload::new("application/json", Value::Object(payload).to_string())?;
        let event = Event::new(actor, event_type)?.payload(payload).captured(Capture::Observer);
        Ok(Event {
            causation_id: cause,
            correlation_id: outline.correlation,
            episode_id: outline.episode,
            trace_id: outline.trace.map(|(trace, _)| trace),
            span_id: outline.trace.and_then(|(_, span)| span),
            ..event
        })
    }

    fn send(&mut self, event: Result<Event, FieldError>, number: Option<u64>) {
        let sent = event
            .map_err(|error| AppendError::Refused(Refusal::Field(error)))
            .and_then(|event| self.ledger.submit(event));
        match sent {
            Ok(ticket) => {
                if let (Some(number), Some(id)) = (number, ticket.event_id()) {
                    self.open.insert(number, id);
                }
                self.way.push((ticket, number));
            }
            Err(error) => self.gaps.miss(1, &error.to_string()),
        }
    }

    /// Looks what became of all that is on its way, and records what is missing.
    fn settle(&mut self) {
        for (ticket, number) in mem::take(&mut self.way) {
            if let Err(error) = ticket.wait() {
                self.gaps.miss(1, &error.to_string());
                number.and_then(|number| self.open.remove(&number));
            }
        }
        let Some((missed, reason)) = self.gaps.take() else { return };
        let said = json!({"missed": missed, "reason": reason, "source": "tracing"});
        let Value::Object(said) = said else { return };
        let event = self.event("capture.gap", said, Outline::default(), None);
        let recorded = event
            .map_err(|error| AppendError::Refused(Refusal::Field(error)))
            .and_then(|event| self.ledger.append(event));
        if recorded.is_err() {
            self.gaps.give_back(missed, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::key::{PublicKey, Signature, SigningKey};
    use crate::ledger::Genesis;
    use crate::signer::{Signer, SignerError, Statement};

    /// A key that can be made to refuse once.
    struct Refusing {
        key: SigningKey,
        refuses: Arc<AtomicBool>,
    }

    impl Signer for Refusing {
        fn public(&self) -> &PublicKey {
            self.key.public()
        }

        fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
            if self.refuses.swap(false, Ordering::SeqCst) {
                return Err(SignerError::new("not this one"));
            }
            Signer::sign(&self.key, statement)
        }
    }

    /// [S-action-1]: an intent is given up before its span ends, and nobody has looked yet what became of it.
    #[test]
    fn no_outcome_without_its_intent() {
        let refuses = Arc::new(AtomicBool::new(false));
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let signer = Refusing { key, refuses: Arc::clone(&refuses) };
        let ledger = Ledger::in_memory(Genesis::new("example.org/agents", signer)).unwrap();
        let mut scribe = Scribe {
            ledger: ledger.clone(),
            actor: "agent:app".to_owned(),
            gaps: Arc::default(),
            open: BTreeMap::new(),
            way: Vec::new(),
        };
        let (fields, outline) = (Fields::default, Outline::default);
        let event_type = || "payment.send".to_owned();
        let begin = |number| Message::Begin {
            number,
            cause: None,
            event_type: event_type(),
            fields: fields(),
            outline: outline(),
        };
        let end = |number| Message::End {
            number,
            event_type: event_type(),
            fields: fields(),
            outline: outline(),
            is_panic: false,
        };
        refuses.store(true, Ordering::SeqCst);
        scribe.take(begin(1));
        // Whatever is linked behind the refusal is given up with it: once something is recorded, that is over.
        let note = || Event::new("agent:app", "note.made").unwrap();
        while ledger.append(note()).is_err() {}
        assert!(!refuses.load(Ordering::SeqCst), "it was asked");
        scribe.take(end(1));
        scribe.take(begin(2));
        scribe.take(end(2));
        scribe.settle();
        let types: Vec<_> = (1..=ledger.head().sequence)
            .map(|at| ledger.entry(at).unwrap().unwrap().fields)
            .filter(|fields| fields.event_type.starts_with("payment."))
            .collect();
        let [intent, outcome] = types.as_slice() else {
            panic!("an outcome without intent: {types:?}")
        };
        assert_eq!((&*intent.event_type, &*outcome.event_type), ("payment.send", "payment.result"));
        assert_eq!(outcome.causation_id, Some(intent.event_id));
        assert_eq!(scribe.gaps.all(), 1);
    }
}
