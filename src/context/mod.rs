//! The context: what an agent's chain comes to at a point, in proportion to what is open there.
//!
//! Actions, episodes, sessions and reviews are kept while they are open; what is finished is counted. Everything that somebody
//! else can make grow has a bound, behind which it is only counted. The normative text is `spec/context.md`.

mod actions;
mod diff;
mod episodes;
mod form;
mod reviews;
mod said;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::entry::Fields;
use crate::id::EventId;
use crate::key::{KeyId, Role};
use crate::payload::Part;
use crate::projection::{Item, Projection};
use crate::reserved::Reserved;
use crate::stamp::Stamp;

pub use crate::context::actions::{Action, Actions, Done, OPEN_MAX};
pub use crate::context::diff::{Diff, Turns, diff};
pub use crate::context::episodes::{
    EPISODES_MAX, Episode, Episodes, SESSIONS_MAX, STEPS_MAX, Session, Sessions, Step,
};
pub use crate::context::form::{Latest, NAME_BYTES_MAX, NAMES_MAX, Names};
pub use crate::context::reviews::{REVIEWERS_MAX, REVIEWS_MAX, Review, Reviews};
pub use crate::context::said::{MESSAGE_BYTES_MAX, MESSAGES_MAX, Message, Unreadable};

/// The form of the text that [`Context::encode`] gives.
pub const VERSION: u64 = 2;

/// The entry by which something began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Begun {
    /// Its event.
    #[serde(with = "form::text")]
    pub event_id: EventId,
    /// Its place in its chain.
    pub sequence: u64,
    /// Its stamp.
    #[serde(with = "form::text")]
    pub stamp: Stamp,
}

impl Begun {
    fn by(fields: &Fields<'_>) -> Self {
        Self { event_id: fields.event_id, sequence: fields.sequence, stamp: fields.system_time }
    }
}

/// Payloads that were cut out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Erasures {
    /// Entries that say so.
    pub done: u64,
    /// Entries whose payloads they name.
    pub entries: u64,
}

/// What the entries up to a point come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Context {
    /// Actions: what is open, and how others ended.
    pub actions: Actions,
    /// Entries by actor.
    pub actors: Names<u64>,
    /// Entries.
    pub entries: u64,
    /// Episodes that are open, and how many ended how.
    pub episodes: Episodes,
    /// What was erased.
    pub erasures: Erasures,
    /// Stamp of the first entry.
    #[serde(with = "form::optional")]
    pub first: Option<Stamp>,
    /// Keys of the last chain that may sign what follows, and their roles.
    #[serde(with = "form::table")]
    pub keys: BTreeMap<KeyId, Role>,
    /// Stamp of the last entry.
    #[serde(with = "form::optional")]
    pub last: Option<Stamp>,
    /// Reviews that wait, and how many were decided how.
    pub reviews: Reviews,
    /// Sessions that are open.
    pub sessions: Sessions,
    /// Entries by type.
    pub types: Names<u64>,
    /// Payloads of which something should have been read, and could not.
    pub unreadable: Unreadable,
    /// The form that this is written in.
    version: u64,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            actions: Actions::default(),
            actors: Names::default(),
            entries: 0,
            episodes: Episodes::default(),
            erasures: Erasures::default(),
            first: None,
            keys: BTreeMap::new(),
            last: None,
            reviews: Reviews::default(),
            sessions: Sessions::default(),
            types: Names::default(),
            unreadable: Unreadable::default(),
            version: VERSION,
        }
    }
}

/// Why a text is no state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextError {
    /// It is not the JSON that it should be.
    Form(String),
    /// It says the same as the text of a state, in another way.
    Other,
    /// It is of another version.
    Version(u64),
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(what) => write!(
                f,
                "expected the text of a context, version {VERSION} (spec/context.md), found something else: {what}; \
                 replay the chain instead"
            ),
            Self::Other => f.write_str(
                "expected the one text of this context, with keys ascending and no white space, found another; encode it anew",
            ),
            Self::Version(found) => write!(
                f,
                "expected a context of version {VERSION}, found {found}; replay the chain with this program instead"
            ),
        }
    }
}

impl std::error::Error for ContextError {}

impl Context {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One JSON text for each state: keys ascending, no white space, the same on all machines.
    pub fn encode(&self) -> String {
        // Texts and numbers only: there is nothing in it that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The state of a text that [`Self::encode`] gave, and of no other text.
    pub fn decode(text: &str) -> Result<Self, ContextError> {
        let context = Self::read(text)?;
        if context.encode() == text { Ok(context) } else { Err(ContextError::Other) }
    }

    /// The state of a text, whether or not it says it in the one way: for texts that were signed as [`Self::encode`] gave them.
    pub(crate) fn read(text: &str) -> Result<Self, ContextError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }

        let form = |error: serde_json::Error| ContextError::Form(error.to_string());
        let Versioned { version } = serde_json::from_str(text).map_err(form)?;
        if version != VERSION {
            return Err(ContextError::Version(version));
        }
        serde_json::from_str(text).map_err(form)
    }

    /// Entries of the ledger's own families.
    fn reserved(&mut self, fields: &Fields<'_>, part: &Part<'_>) {
        match Reserved::parse(&fields.event_type, part, fields.sequence) {
            Ok(Reserved::Erased { entries, .. }) => {
                form::count(&mut self.erasures.done);
                let named = entries.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
                self.erasures.entries = self.erasures.entries.saturating_add(named);
            }
            Ok(other) => other.change_keys(&mut self.keys),
            Err(_) => {}
        }
    }
}

impl Projection for Context {
    fn apply(&mut self, item: &Item<'_>) {
        let (fields, part) = (item.fields, item.part);
        form::count(&mut self.entries);
        self.actors.add(&fields.actor);
        self.types.add(&fields.event_type);
        self.first.get_or_insert(fields.system_time);
        self.last = Some(fields.system_time);
        let mut episode = match &fields.episode_id {
            Some(id) => self.episodes.open.get_mut(&**id),
            None => None,
        };
        if let Some(episode) = &mut episode {
            form::count(&mut episode.entries);
        }
        let family = fields.event_type.rsplit_once('.').unwrap_or(("", &fields.event_type));
        let unreadable = &mut self.unreadable;
        match family {
            ("chain" | "key" | "erasure", _) => self.reserved(fields, part),
            ("session", word) => self.sessions.take(word, fields, part, unreadable),
            ("episode", word) => self.episodes.take(word, fields, part, unreadable),
            ("review", word) => self.reviews.take(word, fields, part, unreadable),
            (family, word) => {
                self.actions.take((family, word), fields, part, episode, unreadable);
            }
        }
    }
}
