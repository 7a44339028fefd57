//! Episodes and sessions: kept from where they begin until they end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::context::Begun;
use crate::context::form::{self, Latest};
use crate::context::said::{self, Begin, Finish, Message, Str, Unreadable};
use crate::entry::Fields;
use crate::id::EventId;
use crate::payload::Part;
use crate::stamp::Stamp;

/// Episodes that are kept while they are open.
pub const EPISODES_MAX: usize = 1024;
/// Sessions that are kept while they are open.
pub const SESSIONS_MAX: usize = 1024;
/// Finished actions of an episode that are kept, the last ones.
pub const STEPS_MAX: usize = 16;

/// An action of an episode that is finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Step {
    /// Its intent.
    #[serde(with = "form::text")]
    pub action: EventId,
    /// The type of its intent.
    pub event_type: String,
    /// The model, tool or source.
    pub name: Option<String>,
    /// How it ended: a name of a field of [`crate::context::Done`].
    pub outcome: String,
    /// Where its outcome stands.
    pub sequence: u64,
    /// The stamp of its outcome.
    #[serde(with = "form::text")]
    pub stamp: Stamp,
}

/// An episode that began and did not end yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Episode {
    /// Who began it.
    pub actor: String,
    /// The agent, as far as is said.
    pub agent: Option<String>,
    /// The entry by which it began.
    pub begun: Begun,
    /// Entries of it behind that one.
    pub entries: u64,
    /// What it is for, from its beginning, of at most 256 bytes.
    pub goal: Option<String>,
    /// What was said to the model last, and by it since.
    pub messages: Latest<Message>,
    /// The session, as far as is said.
    pub session: Option<String>,
    /// Its finished actions.
    pub steps: Latest<Step>,
}

impl Episode {
    pub(super) fn step(&mut self, step: Step) {
        self.steps.push(step, STEPS_MAX);
    }
}

/// Episodes that are open, and how many ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Episodes {
    /// All that began.
    pub begun: u64,
    /// Those that were called off.
    pub cancelled: u64,
    /// Those that came to their end.
    pub completed: u64,
    /// Those that could not go on.
    pub failed: u64,
    /// Those that are open, by their ids.
    pub open: BTreeMap<String, Episode>,
    /// Those that ended, and nobody can read how.
    pub unclear: u64,
    /// Ends of what was not open.
    pub unexpected: u64,
    /// Those that began when too many were open, or with an id that was open.
    pub unfollowed: u64,
}

impl Episodes {
    pub(super) fn take(
        &mut self,
        word: &str,
        fields: &Fields<'_>,
        part: &Part<'_>,
        unreadable: &mut Unreadable,
    ) {
        let Some(id) = &fields.episode_id else { return };
        match word {
            "start" => {
                form::count(&mut self.begun);
                let said = unreadable.note(said::read::<Begin<'_>>(part)).unwrap_or_default();
                if self.open.len() >= EPISODES_MAX || self.open.contains_key(&**id) {
                    form::count(&mut self.unfollowed);
                    return;
                }
                let episode = Episode {
                    actor: fields.actor.to_string(),
                    agent: said::name(said.agent.as_ref()),
                    begun: Begun::by(fields),
                    entries: 0,
                    goal: said::name(said.goal.as_ref()),
                    messages: Latest::default(),
                    session: said::name(said.session.as_ref()),
                    steps: Latest::default(),
                };
                self.open.insert(id.to_string(), episode);
            }
            "end" => {
                let finish = unreadable.note(said::read::<Finish<'_>>(part));
                if self.open.remove(&**id).is_none() {
                    form::count(&mut self.unexpected);
                    return;
                }
                let status = finish.and_then(|said| said.status);
                form::count(match status.as_ref().map(Str::get) {
                    Some("cancelled") => &mut self.cancelled,
                    Some("completed") => &mut self.completed,
                    Some("failed") => &mut self.failed,
                    _ => &mut self.unclear,
                });
            }
            _ => {}
        }
    }
}

/// A session that began and did not end yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Session {
    /// Who began it.
    pub actor: String,
    /// The agent, as far as is said.
    pub agent: Option<String>,
    /// The entry by which it began.
    pub begun: Begun,
}

/// Sessions that are open, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Sessions {
    /// All that began.
    pub begun: u64,
    /// Those that ended.
    pub ended: u64,
    /// Those that are open, by their names.
    pub open: BTreeMap<String, Session>,
    /// Ends of what was not open.
    pub unexpected: u64,
    /// Those that began when too many were open, or with a name that was open.
    pub unfollowed: u64,
}

impl Sessions {
    pub(super) fn take(
        &mut self,
        word: &str,
        fields: &Fields<'_>,
        part: &Part<'_>,
        unreadable: &mut Unreadable,
    ) {
        if !matches!(word, "start" | "end") {
            return;
        }
        let said = unreadable.note(said::read::<said::Visit<'_>>(part));
        let Some(said) = said else { return };
        let Some(name) = said::name(said.session.as_ref()) else { return };
        if word == "start" {
            form::count(&mut self.begun);
            if self.open.len() >= SESSIONS_MAX || self.open.contains_key(&name) {
                form::count(&mut self.unfollowed);
                return;
            }
            let agent = said::name(said.agent.as_ref());
            let session =
                Session { actor: fields.actor.to_string(), agent, begun: Begun::by(fields) };
            self.open.insert(name, session);
        } else {
            let was_open = self.open.remove(&name).is_some();
            form::count(if was_open { &mut self.ended } else { &mut self.unexpected });
        }
    }
}
