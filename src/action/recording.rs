//! Running again: what came of the actions of an earlier episode, served instead of doing them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde_json::{Map, Value};

use crate::action::Action;
use crate::event::Event;
use crate::id::EventId;
use crate::intent::{self, Asked};
use crate::ledger::Ledger;
use crate::limit::FieldError;
use crate::payload::Payload;
use crate::projection::{Item, Projection};
use crate::select::Filter;
use crate::sync::Mutex;
use crate::vocabulary;

/// The actions of one episode, with what came of them, in the order in which they began.
///
/// It is a projection: fold a ledger, a chain file or a line of successions into it, as far as is wanted, with
/// [`replay`](crate::replay::replay). Then it serves each intent the outcome of the next one: of the same type, tool and arguments
/// ([`Asked`]). Actions within one that is served are passed over, since nothing asks for them.
///
/// ```no_run
/// use std::fs::File;
///
/// use sigchain::action::Recording;
/// use sigchain::point::Point;
/// use sigchain::replay::{ChainFile, replay};
/// use sigchain::verify::Verifier;
///
/// let mut file = ChainFile::new(Verifier::new(), File::open("run.sigchain")?)?;
/// let recording = replay(&mut file, &Point::Head, Recording::new("run-7"))?.state;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recording {
    episode: String,
    actions: Vec<Kept>,
    by_id: BTreeMap<EventId, usize>,
    place: Mutex<Place>,
}

/// How far it was served.
#[derive(Debug, Default)]
struct Place {
    /// The next intent that may be served.
    next: usize,
    served: u64,
    /// Where the run took another way: from there on nothing is served.
    differs: Option<Difference>,
}

/// An intent of the recording.
#[derive(Debug)]
struct Kept {
    sequence: u64,
    event_id: EventId,
    cause: Option<EventId>,
    event_type: String,
    /// `None` if its payload is not there.
    asked: Option<Asked>,
    /// Whether it is an action by its own word.
    is_gate: bool,
    outcome: Option<Outcome>,
}

/// What came of it.
#[derive(Debug)]
struct Outcome {
    sequence: u64,
    is_error: bool,
    /// `None` if its payload is not there.
    payload: Option<Map<String, Value>>,
}

/// An outcome that was served instead of doing what was asked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Served {
    /// The intent's entry.
    pub intent: u64,
    /// The outcome's entry.
    pub outcome: u64,
    /// The outcome's payload.
    pub payload: Map<String, Value>,
}

impl Served {
    /// What the action gave, if it was recorded itself.
    pub fn result(&self) -> Option<&Value> {
        self.payload.get("result")
    }
}

/// The first place where a run takes another way than its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What was recorded there, with its sequence; `None` behind the last action.
    pub recorded: Option<(u64, Asked)>,
    /// What the run asks for.
    pub asked: Asked,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let say = |f: &mut fmt::Formatter<'_>, asked: &Asked| {
            write!(f, "{}", asked.event_type)?;
            if let Some(tool) = &asked.tool {
                write!(f, " of {tool}")?;
            }
            write!(f, " with {} ({})", asked.arguments, asked.commitment)
        };
        f.write_str("another way than the recording: expected ")?;
        match &self.recorded {
            Some((sequence, asked)) => {
                say(f, asked)?;
                write!(f, ", as in entry {sequence}")?;
            }
            None => f.write_str("no further action")?,
        }
        f.write_str(", found ")?;
        say(f, &self.asked)
    }
}

/// Why no outcome was served.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RerunError {
    /// The run takes another way than the recording. From there on nothing is served.
    Differs(Box<Difference>),
    /// What was recorded is an error, and so is what is served.
    Failed {
        /// The outcome's entry.
        sequence: u64,
        /// Its type of error, if that is recorded.
        error_type: Option<String>,
        /// What it says, if that is recorded.
        message: Option<String>,
    },
    /// Nothing is recorded of what came of it.
    Open {
        /// The intent's entry.
        sequence: u64,
    },
    /// The payload of an entry that is needed was erased, withheld, or is no JSON object.
    Gone {
        /// The entry.
        sequence: u64,
    },
}

impl fmt::Display for RerunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(difference) => {
                write!(f, "{difference}; run it as it was run then, or for real")
            }
            Self::Failed { sequence, error_type, message } => {
                let error_type = error_type.as_deref().unwrap_or("an error");
                let message = message.as_deref().unwrap_or("no message");
                write!(f, "{error_type}: {message} (served from entry {sequence})")
            }
            Self::Open { sequence } => write!(
                f,
                "expected an outcome of entry {sequence} in the recording, found none: the action was left open; nothing can be served"
            ),
            Self::Gone { sequence } => write!(
                f,
                "expected the payload of entry {sequence}, a JSON object, found none: give a recording that has it"
            ),
        }
    }
}

impl std::error::Error for RerunError {}

impl Recording {
    /// Of this episode; empty until entries are folded into it.
    pub fn new(episode: &str) -> Self {
        let (actions, by_id, place) = (Vec::new(), BTreeMap::new(), Mutex::default());
        Self { episode: episode.to_owned(), actions, by_id, place }
    }

    /// Of this episode, as far as it is durable in a ledger of this process, whose entries are believed.
    pub fn of(ledger: &Ledger, episode: &str) -> io::Result<Self> {
        let mut recording = Self::new(episode);
        let chain_id = ledger.chain_id();
        let filter = Filter::new().episode(episode).map_err(io::Error::other)?;
        for written in ledger.select(&filter)? {
            let written = written?;
            recording.apply(&Item::new(chain_id, &written.fields, &written.part));
        }
        Ok(recording)
    }

    /// How many outcomes were served.
    pub fn served(&self) -> u64 {
        self.place.lock().served
    }

    /// Where the run took another way, if it did.
    pub fn difference(&self) -> Option<Difference> {
        self.place.lock().differs.clone()
    }

    /// An event that says that the episode was run again, and how far: for whoever wants that on record.
    pub fn event(&self, actor: &str) -> Result<Event, FieldError> {
        let place = self.place.lock();
        let mut said = Map::new();
        said.insert("of".to_owned(), self.episode.clone().into());
        said.insert("served".to_owned(), place.served.into());
        if let Some(difference) = &place.differs {
            said.insert("divergence".to_owned(), difference.to_string().into());
        }
        drop(place);
        let payload = Payload::new("application/json", Value::Object(said).to_string())?;
        Ok(Event::new(actor, "replay.run")?.payload(payload))
    }

    /// Serves the outcome of the next intent, if that asks for the same.
    fn serve(&self, asked: Asked) -> Result<Served, RerunError> {
        let mut place = self.place.lock();
        if let Some(difference) = &place.differs {
            return Err(RerunError::Differs(Box::new(difference.clone())));
        }
        let mut behind = self.actions.iter().enumerate().skip(place.next);
        let kept = behind.find(|(_, kept)| kept.is_action());
        let recorded = match kept {
            None => None,
            Some((_, Kept { asked: None, sequence, .. })) => {
                return Err(RerunError::Gone { sequence: *sequence });
            }
            Some((at, kept @ Kept { asked: Some(known), .. })) => {
                if *known == asked {
                    place.next = self.behind(at, kept);
                    let served = kept.outcome();
                    if !matches!(served, Err(RerunError::Open { .. } | RerunError::Gone { .. })) {
                        place.served = place.served.saturating_add(1);
                    }
                    return served;
                }
                Some((kept.sequence, known.clone()))
            }
        };
        let difference = Difference { recorded, asked };
        place.differs = Some(difference.clone());
        Err(RerunError::Differs(Box::new(difference)))
    }

    /// The first action behind one and all that were done within it, before its outcome.
    fn behind(&self, at: usize, served: &Kept) -> usize {
        let end = served.outcome.as_ref().map_or(u64::MAX, |outcome| outcome.sequence);
        let is_within = |kept: &Kept| {
            let mut cause = kept.cause;
            while let Some(id) = cause.filter(|_| kept.sequence < end) {
                if id == served.event_id {
                    return true;
                }
                // Causes precede what they cause, so that this comes to an end: others are not followed.
                let known = self.by_id.get(&id).and_then(|at| self.actions.get(*at));
                cause = known.filter(|known| known.sequence < kept.sequence).and_then(|k| k.cause);
            }
            false
        };
        let next = at.saturating_add(1);
        let mut behind = self.actions.iter().enumerate().skip(next);
        let first = behind.find(|(_, kept)| kept.is_action() && !is_within(kept));
        first.map_or(self.actions.len(), |(at, _)| at)
    }

    /// Takes note of an outcome, if it is one of an intent that is known.
    fn close(&mut self, item: &Item<'_>) {
        let fields = item.fields;
        let cause = fields.causation_id.and_then(|cause| self.by_id.get(&cause));
        let Some(kept) = cause.and_then(|at| self.actions.get_mut(*at)) else { return };
        let Some(types) = vocabulary::outcomes(&kept.event_type) else { return };
        let is_error = *fields.event_type == *types.error;
        if kept.outcome.is_none() && (is_error || *fields.event_type == *types.result) {
            let payload = intent::object_of(item.part);
            kept.outcome = Some(Outcome { sequence: fields.sequence, is_error, payload });
        }
    }
}

impl Projection for Recording {
    fn apply(&mut self, item: &Item<'_>) {
        let fields = item.fields;
        if fields.episode_id.as_deref() != Some(&*self.episode) {
            return;
        }
        if vocabulary::outcomes(&fields.event_type).is_none() {
            self.close(item);
            return;
        }
        let gate = intent::object_of(item.part).and_then(|mut object| object.remove("capture"));
        let kept = Kept {
            sequence: fields.sequence,
            event_id: fields.event_id,
            cause: fields.causation_id,
            event_type: fields.event_type.clone().into_owned(),
            asked: Asked::of_part(&fields.event_type, item.part),
            is_gate: gate.is_some_and(|gate| gate == "gate"),
            outcome: None,
        };
        self.by_id.entry(kept.event_id).or_insert(self.actions.len());
        self.actions.push(kept);
    }
}

impl Kept {
    /// Whether it is the intent of an action: something came of it, or it is of a kind of which something should.
    fn is_action(&self) -> bool {
        let (family, word) = self.event_type.rsplit_once('.').unwrap_or_default();
        let is_intent = matches!(word, "call" | "request") || self.is_gate;
        self.outcome.is_some() || (is_intent && family != "review")
    }

    fn outcome(&self) -> Result<Served, RerunError> {
        let Some(outcome) = &self.outcome else {
            return Err(RerunError::Open { sequence: self.sequence });
        };
        let sequence = outcome.sequence;
        let payload = outcome.payload.clone().ok_or(RerunError::Gone { sequence })?;
        if outcome.is_error {
            let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
            let (error_type, message) = (text("error_type"), text("message"));
            return Err(RerunError::Failed { sequence, error_type, message });
        }
        Ok(Served { intent: self.sequence, outcome: sequence, payload })
    }
}

impl<R> Action<R> {
    /// Does nothing, and gives what came of it in the recording. Nothing is recorded of that: see [`Recording::event`].
    pub fn replay(self, recording: &Recording) -> Result<Served, RerunError> {
        recording.serve(Asked::of(&self.intent))
    }
}
