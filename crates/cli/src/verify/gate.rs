//! Outcomes that no gate let through: `--require-gate`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, RandomState};

use serde_json::Value;
use sigchain::entry::Fields;
use sigchain::id::EventId;
use sigchain::select::Filter;
use sigchain::stamp::Stamp;

use crate::actions::{family, is_intent};
use crate::json::object;
use crate::out::{self, grouped, safe};
use crate::report::Capture;
use crate::trouble::Trouble;

/// Outcomes that are listed; the rest is counted.
const LISTED: usize = 100;

/// What is remembered of an entry that may be an intent.
#[derive(Debug)]
struct Intent {
    sequence: u64,
    capture: Capture,
    /// Its family, as a hash: a text for each would take more than all else.
    family: u64,
}

/// Why an outcome counts as not let through.
#[derive(Debug)]
enum Why {
    /// It names no cause.
    NoCause,
    /// What it names is no intent of it that came before it in this file.
    NoIntent,
    /// Its intent came in another way, or that cannot be seen.
    NotByGate(u64, Capture),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCause => f.write_str("it names no cause"),
            Self::NoIntent => f.write_str("it names no intent of it that stands before it here"),
            Self::NotByGate(sequence, capture) => {
                write!(f, "its intent, entry {sequence}, is not by a gate: {}", capture.words())
            }
        }
    }
}

/// An outcome that no gate let through.
#[derive(Debug)]
pub(crate) struct Ungated {
    pub(crate) sequence: u64,
    pub(crate) time: Stamp,
    pub(crate) event_type: String,
    pub(crate) actor: String,
    why: Why,
}

impl Ungated {
    pub(crate) fn why(&self) -> String {
        self.why.to_string()
    }
}

/// Looks at entries in their order.
#[derive(Debug)]
pub(crate) struct Gate {
    types: Vec<String>,
    filter: Filter,
    hasher: RandomState,
    intents: BTreeMap<EventId, Intent>,
    pub(crate) outcomes: u64,
    pub(crate) without: u64,
    pub(crate) listed: Vec<Ungated>,
}

impl Gate {
    /// `None` if nobody asked.
    pub(super) fn new(types: &[String]) -> Result<Option<Self>, Trouble> {
        if types.is_empty() {
            return Ok(None);
        }
        let mut filter = Filter::new();
        for pattern in types {
            filter = filter.event_type(pattern).map_err(|error| {
                let what = format!("--require-gate \"{}\" is no type", error.found);
                Trouble::usage(what, error.expected)
            })?;
        }
        Ok(Some(Self {
            types: types.to_vec(),
            filter,
            hasher: RandomState::new(),
            intents: BTreeMap::new(),
            outcomes: 0,
            without: 0,
            listed: Vec::new(),
        }))
    }

    pub(super) fn take(&mut self, fields: &Fields<'_>, capture: Capture) {
        let is_intent = is_intent(&fields.event_type);
        if !is_intent && self.filter.matches(fields) {
            self.outcome(fields);
        } else if is_intent || capture == Capture::Gate {
            let family = self.hasher.hash_one(family(&fields.event_type));
            let intent = Intent { sequence: fields.sequence, capture, family };
            self.intents.entry(fields.event_id).or_insert(intent);
        }
    }

    fn outcome(&mut self, fields: &Fields<'_>) {
        self.outcomes = self.outcomes.saturating_add(1);
        let family = self.hasher.hash_one(family(&fields.event_type));
        let why = match fields.causation_id.map(|cause| self.intents.get(&cause)) {
            None => Why::NoCause,
            Some(Some(intent)) if intent.family == family => {
                if intent.capture == Capture::Gate {
                    return;
                }
                Why::NotByGate(intent.sequence, intent.capture)
            }
            Some(_) => Why::NoIntent,
        };
        self.without = self.without.saturating_add(1);
        if self.listed.len() < LISTED {
            self.listed.push(Ungated {
                sequence: fields.sequence,
                time: fields.system_time,
                event_type: safe(&fields.event_type),
                actor: safe(&fields.actor),
                why,
            });
        }
    }

    /// What was asked for.
    pub(crate) fn types(&self) -> String {
        self.types.join(", ")
    }

    /// Those that are not listed.
    pub(crate) fn unlisted(&self) -> u64 {
        self.without.saturating_sub(u64::try_from(self.listed.len()).unwrap_or(u64::MAX))
    }

    /// `is_cut` says that a fault kept it from looking at all entries.
    pub(super) fn write(&self, text: &mut String, is_cut: bool) -> fmt::Result {
        let (types, outcomes) = (safe(&self.types()), out::plural(self.outcomes, "outcome"));
        writeln!(
            text,
            "  gate: {outcomes} of {types}; {} without a gate's intent",
            grouped(self.without)
        )?;
        for found in &self.listed {
            let Ungated { sequence, time, event_type, actor, why } = found;
            writeln!(text, "    entry {sequence}, {event_type} by {actor} at {time}: {why}")?;
        }
        if self.unlisted() > 0 {
            writeln!(text, "    {} more, not listed", grouped(self.unlisted()))?;
        }
        if is_cut {
            writeln!(text, "    nothing behind the first fault was looked at for this")?;
        }
        Ok(())
    }

    pub(super) fn json(&self) -> Value {
        let listed = self.listed.iter().map(|found| {
            object([
                ("actor", found.actor.as_str().into()),
                ("sequence", found.sequence.into()),
                ("type", found.event_type.as_str().into()),
                ("why", found.why().into()),
            ])
        });
        object([
            ("listed", listed.collect()),
            ("outcomes", self.outcomes.into()),
            ("types", self.types.iter().map(|name| Value::from(name.as_str())).collect()),
            ("without", self.without.into()),
        ])
    }
}
