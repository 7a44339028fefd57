//! Which way an event came in, as far as it says so itself.

use sigchain::entry::Fields;
use sigchain::event::{self, Stated};
use sigchain::limit;
use sigchain::payload::Part;

/// The class of way by which an event came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    /// Something that can stop the action when recording fails.
    Gate,
    /// Something that cannot.
    Observer,
    /// From another record, later.
    Import,
    /// By a person.
    Manual,
    /// Another word than these.
    Other,
    /// It does not say, or that cannot be seen.
    Unstated,
    /// The ledger's own.
    Own,
}

impl Capture {
    pub(crate) const ALL: [Self; 7] = [
        Self::Gate,
        Self::Observer,
        Self::Import,
        Self::Manual,
        Self::Other,
        Self::Unstated,
        Self::Own,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Observer => "observer",
            Self::Import => "import",
            Self::Manual => "manual",
            Self::Other => "another word",
            Self::Unstated => "not stated",
            Self::Own => "the ledger's own",
        }
    }

    /// What an entry says.
    pub(crate) fn of(fields: &Fields<'_>, part: &Part<'_>) -> Self {
        if limit::is_reserved(&fields.event_type) {
            return Self::Own;
        }
        match event::Capture::stated(part) {
            Stated::Class(event::Capture::Gate) => Self::Gate,
            Stated::Class(event::Capture::Import) => Self::Import,
            Stated::Class(event::Capture::Manual) => Self::Manual,
            Stated::Class(event::Capture::Observer) => Self::Observer,
            Stated::Nothing => Self::Unstated,
            _ => Self::Other,
        }
    }
}
