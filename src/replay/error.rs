//! Why a replay gives no state.

use std::fmt;
use std::io;

use crate::digest::Digest;
use crate::fault::Fault;
use crate::id::EventId;
use crate::point::Point;
use crate::replay::{Chapter, Standing};

/// The last entry at which a replay could stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// The chain.
    pub chain_id: Digest,
    /// The entry's sequence.
    pub sequence: u64,
}

/// What was found instead of a state.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Faulty {
    /// The chains that were read, oldest first, with their reports.
    pub chapters: Vec<Chapter>,
    /// Which of them has the fault.
    pub at: usize,
    /// The last entry that could be reached; `None` if it is not even entry 0.
    pub reach: Option<Reach>,
    /// Whether the fault is behind everything that could be read, and the point is lost only because nobody knows what followed.
    pub is_point_unknown: bool,
}

impl Faulty {
    /// The first fault of the chain that has it.
    pub fn fault(&self) -> Option<&Fault> {
        self.chapters.get(self.at)?.end.report.as_ref()?.faults.first()
    }
}

/// Why chains are not one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// A chain was given twice.
    Duplicate(Digest),
    /// A chain that another one continues was not given.
    Missing(Digest),
    /// No chain was given.
    Nothing,
    /// The predecessor's tree is not the one that its successor states.
    Root {
        /// The predecessor.
        chain: Digest,
        /// The size that is stated.
        size: u64,
        /// The root that is stated.
        stated: Digest,
        /// The predecessor's own; `None` if entries are missing that it would take to say.
        found: Option<Digest>,
    },
    /// The predecessor ends before the size that its successor states.
    Short {
        /// The predecessor.
        chain: Digest,
        /// The size that is stated.
        stated: u64,
        /// The entries that there are.
        found: u64,
    },
    /// A chain that no other one continues or is continued by.
    Superfluous(Digest),
}

/// Why there is no state.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// The stamps of two chains of the line overlap: entries up to the point lie behind others that are after it.
    Ambiguous(Point),
    /// The point lies before entry 0.
    Before(Point),
    /// The point lies behind the head.
    Beyond(Point, Box<Standing>),
    /// There is a fault at the point or before it, or one that leaves the point unknown.
    Fault(Box<Faulty>),
    /// Entries at the point or before it are missing.
    Gap {
        /// The point.
        point: Point,
        /// The first of them.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Something could not be read.
    Io(io::Error),
    /// The chains are not one line.
    Line(LineError),
    /// The point counts from the head of something that can be read only once.
    NoSize(Point),
    /// There is no entry of this event among those that are there.
    NotFound {
        /// The event.
        id: EventId,
        /// How many entries are missing, and may have it.
        missing: u64,
    },
}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<LineError> for ReplayError {
    fn from(error: LineError) -> Self {
        Self::Line(error)
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(chain) => {
                write!(f, "chain {chain} was given twice; give each chain of the line once")
            }
            Self::Missing(chain) => {
                write!(f, "chain {chain} is missing, which a later one continues; give it too")
            }
            Self::Nothing => f.write_str("no chain was given; give at least one"),
            Self::Root { chain, size, stated, found: Some(found) } => write!(
                f,
                "the first {size} entries of chain {chain} are not those that its successor continues: expected root \
                 {stated}, found {found}; get another copy of that chain"
            ),
            Self::Root { chain, size, stated, found: None } => write!(
                f,
                "nobody can say whether the first {size} entries of chain {chain} have the root {stated}, as its \
                 successor states: some are missing; give a copy that has them"
            ),
            Self::Short { chain, stated, found } => write!(
                f,
                "chain {chain} is cut: expected at least {stated} entries, as its successor states, found {found}; get \
                 another copy of that chain"
            ),
            Self::Superfluous(chain) => write!(
                f,
                "chain {chain} is not of the line that the others make; leave it out, or give what is between"
            ),
        }
    }
}

impl std::error::Error for LineError {}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_point_unknown {
            f.write_str("a fault leaves unknown where the point is")?;
        } else {
            f.write_str("a fault at the point or before it")?;
        }
        if let Some(fault) = self.fault() {
            write!(f, ": {}: expected {}, found {}", fault.code, fault.expected, fault.found)?;
        }
        match self.reach {
            Some(reach) => {
                write!(f, "; entry {} of chain {} can be reached", reach.sequence, reach.chain_id)
            }
            None => f.write_str("; no entry can be reached"),
        }
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambiguous(point) => write!(
                f,
                "{point} lies where two chains of the line overlap in time; name an event id or a sequence"
            ),
            Self::Before(point) => {
                write!(f, "{point} lies before entry 0; expected a point from entry 0 on")
            }
            Self::Beyond(point, head) => write!(
                f,
                "{point} lies beyond the head, entry {} of {}: the chain cannot say what happened later; say head",
                head.sequence, head.stamp
            ),
            Self::Fault(faulty) => faulty.fmt(f),
            Self::Gap { point, first, count } => {
                let last = first.saturating_add(*count).saturating_sub(1);
                write!(
                    f,
                    "entries {first} to {last} are missing, at {point} or before it; expected all of them: give a file that \
                     has them, or a point before entry {first}"
                )
            }
            Self::Io(error) => error.fmt(f),
            Self::Line(error) => error.fmt(f),
            Self::NoSize(point) => write!(
                f,
                "{point} counts from the head of what can be read only once, such as a pipe; give a file, or a sequence"
            ),
            Self::NotFound { id, missing: 0 } => {
                write!(f, "no entry is of event {id}; expected one that is")
            }
            Self::NotFound { id, missing } => write!(
                f,
                "none of the entries that are there is of event {id}, and {missing} are missing; give a file that has them"
            ),
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}
