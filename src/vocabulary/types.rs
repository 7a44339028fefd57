//! The table: each type of event once, as data and as a typed builder. `spec/events.md` and `spec/events/` say the same; a test
//! compares them.

use serde_json::{Map, Value};

use crate::event::Event;
use crate::limit::FieldError;
use crate::vocabulary::Type;
use crate::vocabulary::form::{self, Field, Form};
use crate::vocabulary::words::{
    Count, Entry, Hash, Id, Json, List, Object, Real, Says, Table, Text, Time, Truth, Whole, Words,
};

/// Words that a field may have.
macro_rules! choices {
    ($($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $means:literal])+ $choice:ident = $word:literal,)+ })+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[doc = $means])+ $choice,)+ }

        impl $name {
            /// The word in the payload.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$choice => $word,)+ }
            }

            /// The choice of this word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$choice),)+ _ => None }
            }
        }

        impl Says for $name {
            type Value = Self;
            const FORM: Form = Form::OneOf(&[$($word,)+]);
            fn json(value: Self) -> Value {
                value.word().into()
            }
        }
    )+};
}

/// The rows of a table of fields.
macro_rules! fields {
    (
        { $($(#[doc = $need_about:literal])+ $need:ident: $need_form:ty $(= $need_attribute:literal)?,)* }
        { $($(#[doc = $may_about:literal])+ $may:ident: $may_form:ty $(= $may_attribute:literal)?,)* }
    ) => {
        &[
            $(Field::new(
                stringify!($need), concat!($($need_about),+), <$need_form as Says>::FORM, true, &[$($need_attribute)?],
            ),)*
            $(Field::new(
                stringify!($may), concat!($($may_about),+), <$may_form as Says>::FORM, false, &[$($may_attribute)?],
            ),)*
        ]
    };
}

/// How a builder begins: with what cannot be left out.
macro_rules! begin {
    ($name:ident, $inner:expr, {}) => {
        impl $name {
            /// With nothing said yet.
            pub fn new() -> Self {
                Self($inner)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
    ($name:ident, $inner:expr, { $($(#[doc = $about:literal])+ $need:ident: $form:ty $(= $attribute:literal)?,)+ }) => {
        impl $name {
            /// With what cannot be left out.
            pub fn new($($need: impl Into<<$form as Says>::Value>),+) -> Self {
                Self($inner$(.with(stringify!($need), <$form as Says>::json($need.into())))+)
            }
        }
    };
}

/// What else a builder can say.
macro_rules! setters {
    ($name:ident, { $($(#[doc = $about:literal])+ $may:ident: $form:ty $(= $attribute:literal)?,)* }) => {
        impl $name {
            $(
                $(#[doc = $about])+
                pub fn $may(self, $may: impl Into<<$form as Says>::Value>) -> Self {
                    Self(self.0.with(stringify!($may), <$form as Says>::json($may.into())))
                }
            )*

            /// A field that the vocabulary does not know: it is kept as it is.
            pub fn with(self, name: &str, value: impl Into<Value>) -> Self {
                Self(self.0.with(name, value))
            }
        }
    };
}

/// Objects within payloads.
macro_rules! records {
    ($($(#[doc = $about:literal])+ $name:ident needs $needs:tt may $may:tt)+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[must_use]
        pub struct $name(Object);

        begin!($name, Object(Map::new()), $needs);
        setters!($name, $may);

        impl Says for $name {
            type Value = Self;
            const FORM: Form = Form::Record(fields!($needs $may));
            fn json(value: Self) -> Value {
                Value::Object(value.0.0)
            }
        }
    )+};
}

/// The types.
macro_rules! types {
    ($(
        $(#[doc = $about:literal])+
        $name:ident = $event_type:literal (cause: $cause:literal, episode: $episode:literal)
        needs $needs:tt may $may:tt
    )+) => {
        /// The types, by family.
        pub const TYPES: &[Type] = &[$(Type {
            name: $event_type,
            about: form::trimmed(concat!($($about),+)),
            has_cause: $cause,
            has_episode: $episode,
            fields: fields!($needs $may),
        },)+];

        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq, Eq)]
            #[must_use = "words that become no event are not recorded"]
            pub struct $name(Words);

            begin!($name, Words::new($event_type), $needs);
            setters!($name, $may);

            impl $name {
                /// The event: `actor` did it.
                pub fn event(self, actor: &str) -> Result<Event, FieldError> {
                    self.0.event(actor)
                }

                /// The event, with each field committed to by itself, so that one can be shown and another withheld or erased.
                pub fn event_by_field(self, actor: &str) -> Result<Event, FieldError> {
                    self.0.event_by_field(actor)
                }
            }

            impl From<$name> for Words {
                fn from(words: $name) -> Self {
                    words.0
                }
            }
        )+
    };
}

choices! {
    /// How something ended.
    Ending {
        /// It was called off.
        Cancelled = "cancelled",
        /// It came to its end.
        Completed = "completed",
        /// It could not go on.
        Failed = "failed",
    }

    /// What kind of failure it was.
    Failure {
        /// Whoever waited for it let go of it.
        Cancelled = "cancelled",
        /// It said so.
        Error = "error",
        /// It panicked, or was ended by a signal.
        Panic = "panic",
        /// It did not end in its time.
        Timeout = "timeout",
    }

    /// What a commit did to a path.
    Operation {
        /// It was not there before.
        Create = "create",
        /// It is not there any more.
        Delete = "delete",
        /// It stands elsewhere.
        Rename = "rename",
        /// It is another than before.
        Update = "update",
    }
}

records! {
    /// What a commit did to one path.
    Change needs {
        /// What was done.
        operation: Operation,
    } may {
        /// SHA-256 of what is there now.
        digest: Hash,
        /// Where it was before.
        from: Text,
    }

    /// What a retrieval found.
    Document needs {
        /// Its name in the source.
        id: Text,
    } may {
        /// SHA-256 of its content.
        digest: Hash,
        /// How well it fits, as the source counts.
        score: Real,
    }

    /// Bytes that came out of an action.
    Output needs {
        /// How many.
        bytes: Count,
        /// SHA-256 of them.
        digest: Hash,
    } may {}

    /// Who may decide a review.
    Policy needs {} may {
        /// How many must approve; 1 unless said otherwise.
        approvals: Count,
        /// The actors who may decide; anybody but the requester unless said otherwise.
        reviewers: List<Text>,
    }
}

types! {
    /// Something was not captured, as far as whoever should have captured it knows.
    CaptureGap = "capture.gap" (cause: false, episode: false)
    needs {
        /// Why.
        reason: Text,
    } may {
        /// When the first of it happened.
        first: Time,
        /// When the last of it happened.
        last: Time,
        /// How many events are missing.
        missed: Count,
        /// Who should have captured them.
        source: Text,
    }

    /// Something was changed for good: files, records, a deployment.
    CommitDone = "commit.done" (cause: false, episode: false)
    needs {
        /// What was done to each path.
        changes: Table<Change>,
        /// Why.
        justification: Text,
        /// Where the wish for it came from.
        origin: Text,
    } may {
        /// Its name elsewhere, such as a commit's id.
        id: Text,
    }

    /// An earlier event said something wrong.
    CorrectionMade = "correction.made" (cause: false, episode: false)
    needs {
        /// The event that it corrects.
        corrects: Id,
        /// What was wrong.
        reason: Text,
    } may {
        /// What is right, by field.
        fields: Table<Json>,
    }

    /// An episode ended.
    EpisodeEnd = "episode.end" (cause: false, episode: true)
    needs {
        /// How.
        status: Ending,
    } may {
        /// What came of it.
        summary: Text,
    }

    /// An episode begins: all events with its id belong to it.
    EpisodeStart = "episode.start" (cause: false, episode: true)
    needs {} may {
        /// Who acts in it.
        agent: Text = "gen_ai.agent.name",
        /// What it is to reach.
        goal: Text,
        /// The session that it belongs to.
        session: Text = "gen_ai.conversation.id",
        /// The workflow that it is a run of.
        workflow: Text = "gen_ai.workflow.name",
    }

    /// Work was taken over from another agent.
    HandoffReceive = "handoff.receive" (cause: false, episode: false)
    needs {
        /// Who handed it over.
        from: Text,
        /// The entry of the other ledger that says so.
        receipt: Entry,
    } may {
        /// What is to be done.
        task: Json,
    }

    /// Work is handed over to another agent.
    HandoffSend = "handoff.send" (cause: false, episode: false)
    needs {
        /// To whom.
        to: Text = "gen_ai.agent.name",
    } may {
        /// Why.
        reason: Text,
        /// What is to be done.
        task: Json,
    }

    /// Data was taken in.
    IngestDone = "ingest.done" (cause: false, episode: false)
    needs {
        /// Where it came from.
        source: Text,
    } may {
        /// How many bytes.
        bytes: Count,
        /// How confidential it is, in the caller's words.
        classification: Text,
        /// SHA-256 of it.
        digest: Hash,
        /// What it is.
        media_type: Text,
    }

    /// A model did not answer.
    LlmError = "llm.error" (cause: true, episode: false)
    needs {
        /// What kind of failure it was.
        kind: Failure,
    } may {
        /// The class of the error.
        error_type: Text = "error.type",
        /// What it says.
        message: Text,
    }

    /// A model is about to be asked.
    LlmRequest = "llm.request" (cause: false, episode: false)
    needs {
        /// The model that is asked for.
        model: Text = "gen_ai.request.model",
    } may {
        /// Who asks.
        agent: Text = "gen_ai.agent.name",
        /// How many answers are wanted.
        choice_count: Count = "gen_ai.request.choice.count",
        /// Penalty for words that were used often.
        frequency_penalty: Real = "gen_ai.request.frequency_penalty",
        /// The most tokens of an answer.
        max_tokens: Count = "gen_ai.request.max_tokens",
        /// What it is asked.
        messages: Json = "gen_ai.input.messages",
        /// What is asked for: chat, embeddings.
        operation: Text = "gen_ai.operation.name",
        /// The form of answer that is wanted.
        output_type: Text = "gen_ai.output.type",
        /// Penalty for words that were used at all.
        presence_penalty: Real = "gen_ai.request.presence_penalty",
        /// Who runs the model.
        provider: Text = "gen_ai.provider.name",
        /// The seed of its randomness.
        seed: Whole = "gen_ai.request.seed",
        /// The session that it belongs to.
        session: Text = "gen_ai.conversation.id",
        /// Texts that end an answer.
        stop_sequences: List<Text> = "gen_ai.request.stop_sequences",
        /// Whether the answer comes in pieces.
        stream: Truth = "gen_ai.request.stream",
        /// What it is told to be.
        system: Json = "gen_ai.system_instructions",
        /// How freely it answers.
        temperature: Real = "gen_ai.request.temperature",
        /// The tools that it may ask for.
        tools: Json = "gen_ai.tool.definitions",
        /// Only so many of the likeliest tokens.
        top_k: Real = "gen_ai.request.top_k",
        /// Only tokens up to this share of likelihood.
        top_p: Real = "gen_ai.request.top_p",
    }

    /// A model answered.
    LlmResponse = "llm.response" (cause: true, episode: false)
    needs {} may {
        /// Tokens that came out of the provider's cache.
        cache_read_tokens: Count = "gen_ai.usage.cache_read.input_tokens",
        /// Tokens that went into the provider's cache.
        cache_write_tokens: Count = "gen_ai.usage.cache_write.input_tokens",
        /// Why it ended, for each answer.
        finish_reasons: List<Text> = "gen_ai.response.finish_reasons",
        /// The provider's id of the answer.
        id: Text = "gen_ai.response.id",
        /// Tokens of what it was asked.
        input_tokens: Count = "gen_ai.usage.input_tokens",
        /// What it answered.
        messages: Json = "gen_ai.output.messages",
        /// The model that answered.
        model: Text = "gen_ai.response.model",
        /// Tokens of what it answered.
        output_tokens: Count = "gen_ai.usage.output_tokens",
        /// Tokens of what it thought.
        reasoning_tokens: Count = "gen_ai.usage.reasoning.output_tokens",
    }

    /// Data was asked for, and this is what was given.
    QueryDone = "query.done" (cause: false, episode: false)
    needs {
        /// SHA-256 of what was returned.
        digest: Hash,
    } may {
        /// How many results.
        count: Count,
        /// What was asked.
        query: Json,
        /// What was asked for it.
        source: Text = "gen_ai.data_source.id",
    }

    /// An earlier episode was run again from its record.
    ReplayRun = "replay.run" (cause: false, episode: false)
    needs {
        /// The episode.
        of: Text,
    } may {
        /// Where it took another way, if it did.
        divergence: Text,
        /// How many outcomes were served from the record.
        served: Count,
    }

    /// A retrieval gave nothing.
    RetrievalError = "retrieval.error" (cause: true, episode: false)
    needs {
        /// What kind of failure it was.
        kind: Failure,
    } may {
        /// The class of the error.
        error_type: Text = "error.type",
        /// What it says.
        message: Text,
    }

    /// Documents are about to be looked for.
    RetrievalRequest = "retrieval.request" (cause: false, episode: false)
    needs {
        /// Where.
        source: Text = "gen_ai.data_source.id",
    } may {
        /// What is looked for.
        query: Json = "gen_ai.retrieval.query.text",
        /// How many are wanted.
        top_k: Count = "gen_ai.request.top_k",
    }

    /// Documents were found.
    RetrievalResult = "retrieval.result" (cause: true, episode: false)
    needs {} may {
        /// How many.
        count: Count,
        /// SHA-256 of all that was returned.
        digest: Hash,
        /// Which.
        documents: List<Document> = "gen_ai.retrieval.documents",
    }

    /// Somebody agrees with what a review asks.
    ReviewApprove = "review.approve" (cause: true, episode: false)
    needs {} may {
        /// Why.
        reason: Text,
    }

    /// A review's deadline passed without a decision, which is a veto.
    ReviewExpire = "review.expire" (cause: true, episode: false)
    needs {} may {}

    /// Somebody else is to decide, before the deadline; silence means no.
    ReviewRequest = "review.request" (cause: false, episode: false)
    needs {
        /// Until when.
        deadline: Time,
        /// What is to be decided.
        proposal: Json,
    } may {
        /// What the action must be that it allows: a commitment to its intent.
        commitment: Hash,
        /// Who may decide.
        policy: Policy,
        /// Why it is asked.
        reason: Text,
    }

    /// Somebody forbids what a review asks.
    ReviewVeto = "review.veto" (cause: true, episode: false)
    needs {} may {
        /// Why.
        reason: Text,
    }

    /// A session ended.
    SessionEnd = "session.end" (cause: false, episode: false)
    needs {
        /// Its id.
        session: Text = "gen_ai.conversation.id",
    } may {
        /// How.
        status: Ending,
        /// What came of it.
        summary: Text,
    }

    /// A session begins: a conversation, or a run of a program.
    SessionStart = "session.start" (cause: false, episode: false)
    needs {
        /// Its id.
        session: Text = "gen_ai.conversation.id",
    } may {
        /// Who acts in it.
        agent: Text = "gen_ai.agent.name",
        /// The agent's id.
        agent_id: Text = "gen_ai.agent.id",
        /// The agent's version.
        agent_version: Text = "gen_ai.agent.version",
        /// What the agent is.
        description: Text = "gen_ai.agent.description",
        /// What the agent was set to.
        settings: Json,
        /// What the agent is told to be.
        system: Json = "gen_ai.system_instructions",
    }

    /// A tool is about to be called.
    ToolCall = "tool.call" (cause: false, episode: false)
    needs {
        /// Which.
        tool: Text = "gen_ai.tool.name",
    } may {
        /// Who calls it.
        agent: Text = "gen_ai.agent.name",
        /// With what.
        arguments: Json = "gen_ai.tool.call.arguments",
        /// The id that the model gave to the call.
        call_id: Text = "gen_ai.tool.call.id",
        /// What the tool does.
        description: Text = "gen_ai.tool.description",
        /// What kind of tool it is: function, extension, datastore.
        tool_type: Text = "gen_ai.tool.type",
    }

    /// A tool failed.
    ToolError = "tool.error" (cause: true, episode: false)
    needs {
        /// What kind of failure it was.
        kind: Failure,
    } may {
        /// The class of the error.
        error_type: Text = "error.type",
        /// A program's exit code.
        exit_code: Whole,
        /// What it says.
        message: Text,
        /// What it wrote, by name.
        outputs: Table<Output>,
    }

    /// A tool gave a result.
    ToolResult = "tool.result" (cause: true, episode: false)
    needs {} may {
        /// SHA-256 of the result, where it is not recorded itself.
        digest: Hash,
        /// A program's exit code.
        exit_code: Whole,
        /// What it wrote, by name.
        outputs: Table<Output>,
        /// What it gave.
        result: Json = "gen_ai.tool.call.result",
    }
}
