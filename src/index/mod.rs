//! What is derived from the segments of a ledger on files, beside them in the folder `index`: where each entry's frame is ([`Sealed`]),
//! which sequence an event has ([`Runs`]), and the nodes of the tree ([`FileShelf`]).
//!
//! All of it can be deleted and is made again from the segments. None of it is believed over the chain: BLAKE3 guards it against
//! accident, and whoever writes to the folder can make it say anything. So a wrong bit is seen, and a lookup answers rightly or not at
//! all; who uses the answer still verifies the entry that it leads to.
//!
//! Nothing here is synced while a caller waits. After a power cut a file may be missing, short or damaged; it is then made again. Only
//! a merge syncs, in the background, before the files that it replaces are removed: they stand for many segments.
//!
//! | name | content |
//! |---|---|
//! | `NNNNNNNNNN.index` | the offsets of the frames of segment N |
//! | `ids-NNNNNNNNNN-MMMMMMMMMM` | the event ids of segments N to M, sorted |
//! | `tree` | the tree's nodes of level 8 and up |
//! | `*.part` | a file in the making, or what a crash left of it |

mod block;
mod run;
mod runs;
mod sealed;
mod shelf;

use crate::digest::Digest;
use crate::id::EventId;

pub use crate::index::runs::Runs;
pub use crate::index::sealed::{Recent, Sealed, write};
pub use crate::index::shelf::FileShelf;

/// The sealed segment that derived data is made from. Data made from another one, or from less or more of it, is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the ledger on files makes them")]
pub struct Source {
    /// The segment's place among the segments.
    pub ordinal: u64,
    /// Sequence of its first entry.
    pub first: u64,
    /// Number of its entries.
    pub count: u64,
    /// Its length in bytes, as far as it is accepted.
    pub length: u64,
    /// Digest of its last entry: of another branch of the chain nothing else need differ.
    pub head: Digest,
}

/// What a sealed segment holds, as far as it is indexed.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the ledger on files makes them")]
pub struct Content<'c> {
    /// The segment.
    pub source: Source,
    /// Where the frame of each entry begins, in order.
    pub offsets: &'c [u32],
    /// The event of each entry, in order.
    pub ids: &'c [EventId],
}
