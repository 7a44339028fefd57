//! Actions: an intent, and the outcome that names it as its cause.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::context::Begun;
use crate::context::episodes::{Episode, Step};
use crate::context::form::{self, ById, Names};
use crate::context::said::{
    self, Answer, AnswerAndTalk, Ask, AskAndTalk, Call, Failure, Look, Str, Talk, Unreadable,
};
use crate::entry::Fields;
use crate::event::{Capture, Stated};
use crate::id::EventId;
use crate::payload::Part;

/// Actions that are kept while they are open. An intent beyond that is counted, and its outcome is one without intent.
pub const OPEN_MAX: usize = 65_536;

/// An action that has no outcome yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Action {
    /// Who began it.
    pub actor: String,
    /// Its intent.
    pub begun: Begun,
    /// The episode that it belongs to.
    pub episode: Option<String>,
    /// The type of its intent.
    pub event_type: String,
    /// The model, tool or source; `None` if the intent does not say it.
    pub name: Option<String>,
}

impl ById for Action {
    fn event_id(&self) -> EventId {
        self.begun.event_id
    }
}

/// How actions ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Done {
    /// Nobody waited for them any more.
    pub cancelled: u64,
    /// With a result.
    pub completed: u64,
    /// With an error, or nobody knows how they failed.
    pub failed: u64,
    /// Tokens that went in, as far as is said.
    pub input_tokens: u64,
    /// Tokens that came out, as far as is said.
    pub output_tokens: u64,
    /// With a panic.
    pub panicked: u64,
    /// Not within their time.
    pub timed_out: u64,
}

/// Actions that are open, and how others ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Actions {
    /// All intents.
    pub begun: u64,
    /// How calls of models ended, by model.
    pub models: Names<Done>,
    /// Those without an outcome, by the ids of their events.
    #[serde(with = "form::list")]
    pub open: BTreeMap<EventId, Action>,
    /// How actions of other families ended, by the types of their intents.
    pub other: Names<Done>,
    /// How retrievals ended, by source.
    pub sources: Names<Done>,
    /// How calls of tools ended, by tool.
    pub tools: Names<Done>,
    /// Outcomes that name no open action as their cause.
    pub unexpected: u64,
    /// Intents that came when too many were open, or with an id that was open.
    pub unfollowed: u64,
}

/// The families that say by a field of their intents what is called.
fn is_named(family: &str) -> bool {
    matches!(family, "llm" | "tool" | "retrieval")
}

/// Whether a type says what came of something. The words of a family of the vocabulary are known; of others, these are.
fn is_outcome(word: &str) -> bool {
    matches!(word, "result" | "response" | "error")
}

fn is_intent((family, word): (&str, &str), part: &Part<'_>) -> bool {
    match (family, word) {
        ("", _) => false,
        (_, "call" | "request") => true,
        // Of the vocabulary no other word begins an action, whoever recorded it.
        (
            "capture" | "commit" | "correction" | "handoff" | "ingest" | "llm" | "query" | "replay"
            | "retrieval" | "tool",
            _,
        ) => false,
        (_, word) => !is_outcome(word) && Capture::stated(part) == Stated::Class(Capture::Gate),
    }
}

impl Actions {
    pub(super) fn take(
        &mut self,
        of: (&str, &str),
        fields: &Fields<'_>,
        part: &Part<'_>,
        episode: Option<&mut Episode>,
        unreadable: &mut Unreadable,
    ) {
        if is_intent(of, part) {
            self.begin(of, fields, part, episode, unreadable);
        } else if is_outcome(of.1)
            && let Some(cause) = fields.causation_id
            && let Some(action) = self.open.get(&cause)
            && family(&action.event_type) == of.0
        {
            if let Some(action) = self.open.remove(&cause) {
                self.end(&action, of, fields, part, episode, unreadable);
            }
        } else if is_outcome(of.1) && !of.0.is_empty() {
            form::count(&mut self.unexpected);
        }
    }

    fn begin(
        &mut self,
        of: (&str, &str),
        fields: &Fields<'_>,
        part: &Part<'_>,
        episode: Option<&mut Episode>,
        unreadable: &mut Unreadable,
    ) {
        form::count(&mut self.begun);
        let name = match of {
            ("llm", _) => ask(part, episode, unreadable),
            ("tool", _) => unreadable.note(said::read::<Call<'_>>(part)).and_then(|said| said.tool),
            ("retrieval", _) => {
                unreadable.note(said::read::<Look<'_>>(part)).and_then(|said| said.source)
            }
            _ => None,
        };
        if self.open.len() >= OPEN_MAX || self.open.contains_key(&fields.event_id) {
            form::count(&mut self.unfollowed);
            return;
        }
        let action = Action {
            actor: fields.actor.to_string(),
            begun: Begun::by(fields),
            episode: fields.episode_id.as_ref().map(ToString::to_string),
            event_type: fields.event_type.to_string(),
            name: said::name(name.as_ref()),
        };
        self.open.insert(fields.event_id, action);
    }

    fn end(
        &mut self,
        action: &Action,
        (family, word): (&str, &str),
        fields: &Fields<'_>,
        part: &Part<'_>,
        episode: Option<&mut Episode>,
        unreadable: &mut Unreadable,
    ) {
        let is_error = word == "error";
        let done = self.counted(family, action);
        let mut outcome = "completed";
        if is_error {
            let failure = said::read::<Failure<'_>>(part);
            // What others record of their own errors is their own.
            let failure = if is_named(family) { unreadable.note(failure) } else { failure.ok() };
            let kind = failure.and_then(|said| said.kind);
            let (counter, word) = match kind.as_ref().map(Str::get) {
                Some("cancelled") => (&mut done.cancelled, "cancelled"),
                Some("panic") => (&mut done.panicked, "panicked"),
                Some("timeout") => (&mut done.timed_out, "timed_out"),
                _ => (&mut done.failed, "failed"),
            };
            form::count(counter);
            outcome = word;
        } else {
            form::count(&mut done.completed);
        }
        let mut episode = episode;
        if (family, is_error) == ("llm", false) {
            let (input, output) = answer(part, episode.as_deref_mut(), unreadable);
            let add = |sum: &mut u64, more: Option<u64>| {
                *sum = sum.saturating_add(more.unwrap_or(0));
            };
            add(&mut done.input_tokens, input);
            add(&mut done.output_tokens, output);
        }
        let Some(episode) = episode else { return };
        episode.step(Step {
            action: action.begun.event_id,
            event_type: action.event_type.clone(),
            name: action.name.clone(),
            outcome: outcome.to_owned(),
            sequence: fields.sequence,
            stamp: fields.system_time,
        });
    }

    fn counted(&mut self, family: &str, action: &Action) -> &mut Done {
        let (names, name) = match family {
            "llm" => (&mut self.models, action.name.as_deref()),
            "tool" => (&mut self.tools, action.name.as_deref()),
            "retrieval" => (&mut self.sources, action.name.as_deref()),
            _ => (&mut self.other, Some(&*action.event_type)),
        };
        match name {
            Some(name) => names.of(name),
            None => &mut names.rest,
        }
    }
}

/// The model that is asked. An episode takes what it is told: all that was said so far, each time.
fn ask<'p>(
    part: &'p Part<'_>,
    episode: Option<&mut Episode>,
    unreadable: &mut Unreadable,
) -> Option<Str<'p>> {
    let Some(episode) = episode else {
        return unreadable.note(said::read::<Ask<'_>>(part)).and_then(|said| said.model);
    };
    // In one pass, where nothing is wrong: payloads of this type are the longest that there are.
    let (model, messages) = if let Ok(said) = said::read::<AskAndTalk<'_>>(part) {
        (said.model, said.messages)
    } else {
        let model = unreadable.note(said::read::<Ask<'_>>(part)).and_then(|said| said.model);
        (model, said::read::<Talk<'_>>(part).ok().and_then(|said| said.messages))
    };
    if let Some(messages) = messages {
        episode.messages = messages.0;
    }
    model
}

/// The tokens that went in and out. An episode takes what the model said.
fn answer(
    part: &Part<'_>,
    episode: Option<&mut Episode>,
    unreadable: &mut Unreadable,
) -> (Option<u64>, Option<u64>) {
    let tokens = |said: Answer<'_>| (said.input_tokens, said.output_tokens);
    let Some(episode) = episode else {
        return unreadable.note(said::read(part)).map(tokens).unwrap_or_default();
    };
    let (tokens, messages) = if let Ok(said) = said::read::<AnswerAndTalk<'_>>(part) {
        ((said.input_tokens, said.output_tokens), said.messages)
    } else {
        let tokens = unreadable.note(said::read(part)).map(tokens).unwrap_or_default();
        (tokens, said::read::<Talk<'_>>(part).ok().and_then(|said| said.messages))
    };
    if let Some(messages) = messages {
        said::follow(&mut episode.messages, messages.0);
    }
    tokens
}

/// The type up to its last dot.
fn family(event_type: &str) -> &str {
    event_type.rsplit_once('.').map_or("", |(family, _)| family)
}
