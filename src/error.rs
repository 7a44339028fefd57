//! Errors of the ledger: why a call could not be done. What is wrong with the data is a `Fault` and not here.

use std::fmt;

use crate::clock::ClockError;
use crate::fault::{Code, Misfit};
use crate::id::EventId;
use crate::limit::FieldError;
use crate::receipt::{Receipt, Reference};
use crate::signer::SignerError;
use crate::vocabulary::{IllFormed, Unfit};

/// Why an event has no receipt. There are two kinds, and they call for different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Nothing of it is in the chain, and nothing of it can ever appear there.
    Refused(Refusal),
    /// A write failed part-way: it may or may not be in the chain. The ledger is closed; once it is open again, the
    /// event's id tells: append the same event with this id, and it is recorded once.
    Uncertain {
        /// The event; of a batch, its first one, which stands for all of them.
        event_id: EventId,
        /// The other events of a batch, in their order.
        others: Vec<EventId>,
        /// What happened.
        what: String,
    },
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "not recorded: {refusal}"),
            Self::Uncertain { event_id, what, .. } => write!(
                f,
                "it is not known whether event {event_id} is recorded: {what}; \
                 open the ledger again and ask it for this id, or append the same once more under the same ids"
            ),
        }
    }
}

impl std::error::Error for AppendError {}

impl From<Refusal> for AppendError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// An entry before it was given up, and it with that one.
    Abandoned,
    /// A batch of no events, or of more than fit.
    Batch {
        /// How many there were.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The chain's own rules: a key that has ended, an approval that is missing.
    Chain(Misfit),
    /// No stamp.
    Clock(ClockError),
    /// The ledger is closed, or closing.
    Closed,
    /// More entries are durable and not at every anchor yet than may be.
    Exposed {
        /// How many may be.
        most: u64,
        /// Why they could not be anchored.
        why: String,
    },
    /// Somebody else writes this chain: an anchor knows their entries in the place of some of these.
    Fenced(String),
    /// A field.
    Field(FieldError),
    /// This process was forked from the one that opened the ledger.
    Forked,
    /// No room in the queue, where waiting was not wanted.
    Full,
    /// An id from the future.
    IdAhead {
        /// The id.
        event_id: EventId,
        /// Milliseconds by which its time is ahead of the stamp.
        by: u64,
    },
    /// Another call with the same id is under way, and this one could not wait for it.
    IdBusy,
    /// The id was used before, and whether for the same event cannot be told: its payload is no longer there.
    IdIncomparable {
        /// The entry that has it.
        first: Box<Receipt>,
    },
    /// The id was used before, for another event.
    IdUsed {
        /// The entry that has it.
        first: Reference,
        /// What differs.
        differs: &'static str,
    },
    /// It is not of the form that its type has.
    IllFormed(Box<IllFormed>),
    /// A write failed earlier, and nothing has been written since.
    LedgerFailed(String),
    /// Something panicked while the ledger was at work.
    Panicked,
    /// No ledger was installed for `record`.
    NotInstalled,
    /// The system gave no random bytes.
    Randomness(String),
    /// The signer failed.
    Signer(SignerError),
    /// The signer gave a signature that its key does not accept.
    SignerFalse,
    /// Something is wrong with the ledger, and nobody has resolved that yet.
    Quarantined(String),
    /// The signer panicked.
    SignerPanicked,
    /// The signer did not answer in its time.
    SignerTime,
    /// The store wrote nothing, or could not be read.
    Store(String),
}

/// Code, and what to do next.
type Words = (&'static str, &'static str);

impl Refusal {
    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.words().0
    }

    /// Whether it is a signer that failed.
    pub(crate) fn is_signers(&self) -> bool {
        let of_signer = matches!(self, Self::Signer(_) | Self::SignerFalse);
        of_signer || matches!(self, Self::SignerPanicked | Self::SignerTime)
    }

    /// What to do next.
    pub fn advice(&self) -> &'static str {
        self.words().1
    }

    fn words(&self) -> Words {
        const REOPEN: &str = "open the ledger again";
        const APART: &str = "stop writing here, find the copy that went on, and compare the two";
        const SIGNER: &str = "see to the signer and append again";
        const RETRY: &str =
            "if this is a retry it is recorded, append nothing; else give it an id of its own";
        match self {
            Self::Abandoned => ("ABANDONED", "append it again"),
            Self::Batch { .. } => ("BATCH_SIZE", "divide it"),
            Self::Chain(misfit) => (misfit.code.as_str(), of_chain(misfit.code)),
            Self::Clock(_) => ("CLOCK", "see to the machine's clock"),
            Self::Closed => ("LEDGER_CLOSED", REOPEN),
            Self::Exposed { .. } => ("EXPOSED", "see to the anchor, and append it again"),
            Self::Fenced(_) => ("LEDGER_FENCED", APART),
            Self::Field(_) => ("FIELD", "mend the field"),
            Self::Forked => {
                ("LEDGER_FORKED", "open a ledger in the new process, or append in the old")
            }
            Self::Full => ("QUEUE_FULL", "wait, and append it again"),
            Self::IdAhead { .. } => ("EVENT_ID_AHEAD", "make ids with the present time"),
            Self::IdBusy => ("EVENT_ID_BUSY", "append it again"),
            Self::IdIncomparable { .. } => ("EVENT_ID_INCOMPARABLE", RETRY),
            Self::IdUsed { .. } => ("EVENT_ID_USED", RETRY),
            Self::IllFormed(_) => {
                ("EVENT_ILL_FORMED", "mend it after spec/events.md, or take a type of your own")
            }
            Self::LedgerFailed(_) => ("LEDGER_FAILED", REOPEN),
            Self::NotInstalled => {
                ("NOT_INSTALLED", "call sigchain::install first and keep its guard")
            }
            Self::Panicked => ("LEDGER_PANICKED", REOPEN),
            Self::Quarantined(_) => {
                ("LEDGER_QUARANTINED", "see `sigchain quarantine show LEDGER` and spec/runbook.md")
            }
            Self::Randomness(_) => ("RANDOMNESS", "see to the system's random source"),
            Self::Signer(_) => ("SIGNER_FAILED", SIGNER),
            Self::SignerFalse => ("SIGNER_FALSE", SIGNER),
            Self::SignerPanicked => ("SIGNER_PANICKED", SIGNER),
            Self::SignerTime => ("SIGNER_TIME", SIGNER),
            Self::Store(_) => ("STORE_REFUSED", "make room or mend the store, and append it again"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abandoned => f.write_str("an entry before it was given up"),
            Self::Batch { found, most } => {
                write!(f, "expected a batch of 1 to {most} events, found {found}")
            }
            Self::Chain(misfit) => write!(f, "{misfit}"),
            Self::Clock(error) => write!(f, "{error}"),
            Self::Closed => f.write_str("the ledger is closed"),
            Self::Exposed { most, why } => {
                write!(f, "expected at most {most} entries without anchor; the anchor: {why}")
            }
            Self::Fenced(what) => write!(f, "somebody else writes this chain: {what}"),
            Self::Field(error) => write!(f, "{error}"),
            Self::Forked => {
                f.write_str("this process was forked from the one that opened the ledger")
            }
            Self::Full => f.write_str("the queue is full"),
            Self::IdAhead { event_id, by } => write!(
                f,
                "expected an event id of at most 10 minutes ahead of the clock, found {event_id}, {by} ms ahead"
            ),
            Self::IdBusy => f.write_str("another call with the same event id is under way"),
            Self::IdIncomparable { first } => write!(
                f,
                "event id {} is that of entry {}, whose payload is no longer there to compare",
                first.event_id, first.sequence
            ),
            Self::IdUsed { first, differs } => write!(
                f,
                "event id {} is that of entry {}, which has another {differs}",
                first.event_id, first.sequence
            ),
            Self::IllFormed(error) => write!(f, "{error}"),
            Self::LedgerFailed(what) => write!(f, "an earlier write failed: {what}"),
            Self::NotInstalled => f.write_str("no ledger is installed"),
            Self::Panicked => f.write_str("something panicked while the ledger was at work"),
            Self::Quarantined(what) => write!(f, "the ledger is quarantined: {what}"),
            Self::Randomness(what) => write!(f, "no random bytes: {what}"),
            Self::Signer(error) => write!(f, "the signer failed: {error}"),
            Self::SignerFalse => {
                f.write_str("the signer gave a signature that its key does not accept")
            }
            Self::SignerPanicked => f.write_str("the signer panicked"),
            Self::SignerTime => f.write_str("the signer did not answer in its time"),
            Self::Store(what) => write!(f, "the store: {what}"),
        }?;
        write!(f, " ({}: {})", self.code(), self.advice())
    }
}

impl std::error::Error for Refusal {}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Field(error) => Self::Field(error),
            Unfit::Form(error) => Self::IllFormed(error),
        }
    }
}

/// What to do about a rule of the chain.
fn of_chain(code: Code) -> &'static str {
    match code {
        Code::Approval => "have it approved by who may, for this very event",
        Code::KeyDuplicate => "take a key that is not in use here, as whatever",
        Code::KeyEnded | Code::KeyUnknown | Code::KeyRole => {
            "give the ledger a signer that may sign"
        }
        Code::KeyState => "name a key that is enrolled, and use the call that its change needs",
        Code::KeyTrusted => "name a checkpoint of this very chain",
        _ => "see what the rule wants in spec/sigchain.md, section 6",
    }
}

/// Why a ledger could not be created or opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A store that holds something where nothing may be, or nothing where a chain is needed.
    Store {
        /// What was needed.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Its first entry could not be recorded.
    Append(AppendError),
    /// Its files could not be opened or read, or are not such as a ledger puts up with.
    Io(std::io::Error),
    /// Its files do not end as a crash would leave them: nothing was changed, and nothing is appended before somebody has looked.
    Stopped {
        /// The stable code.
        code: &'static str,
        /// What was found.
        what: String,
        /// The quarantine that halts it, if that could be recorded.
        quarantine: Option<EventId>,
    },
    /// Somebody else writes this chain: an anchor has given the number to another that this one asked for.
    Fenced {
        /// What was found.
        what: String,
    },
    /// What is there does not verify.
    Faulty {
        /// The entry.
        sequence: u64,
        /// What is wrong with it.
        misfit: Misfit,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Append(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Stopped { what, quarantine, .. } => {
                let next = match quarantine {
                    Some(_) => "it is quarantined: it can be read, and takes no events",
                    None => "nothing was changed: verify the ledger, and see what happened to it",
                };
                write!(f, "{what}; {next}")
            }
            Self::Fenced { what } => write!(f, "{}", Refusal::Fenced(what.clone())),
            Self::Faulty { sequence, misfit } => {
                write!(f, "entry {sequence} does not verify: {misfit}; nothing was changed")
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl From<AppendError> for OpenError {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        Self::Append(AppendError::Refused(refusal))
    }
}

impl From<std::io::Error> for OpenError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why `append_with` has no receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecideError<E> {
    /// The decision was against it.
    Declined(E),
    /// It was decided, and could not be recorded.
    Append(AppendError),
}

impl<E: fmt::Display> fmt::Display for DecideError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined(why) => write!(f, "declined: {why}"),
            Self::Append(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for DecideError<E> {}

/// What a ledger could not bring to an end when it was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseError {
    /// Events of which it is not known whether they are recorded.
    pub in_doubt: Vec<EventId>,
    /// Events that were refused because the deadline passed before they were signed.
    pub refused: Vec<EventId>,
    /// Digests that reached a signer, are not in the chain, and could not be listed there.
    pub unlisted: usize,
    /// Whether an anchor knows another writer's entries in the place of some of this one's: what has receipts since the last time that
    /// it agreed is on a branch of its own.
    pub fenced: bool,
    /// Why.
    pub what: String,
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { in_doubt, refused, unlisted, what, .. } = self;
        write!(f, "closed, but not cleanly: {what}; {} events in doubt", in_doubt.len())?;
        for id in in_doubt.iter().take(10) {
            write!(f, " {id}")?;
        }
        write!(f, ", {} refused, {unlisted} abandoned digests not listed", refused.len())
    }
}

impl std::error::Error for CloseError {}
