//! Anchors: what was said of a chain's head, kept where whoever changes the ledger's directory does not change it too.
//!
//! A ledger cannot show from its own files that its end was cut, that the whole directory is an older copy, or that another
//! copy of it goes on elsewhere. A number outside can: each statement is a *claim* of the next number, each number is given
//! once, and a writer whose number is gone is not alone and stops. [`Local`] keeps claims in a directory of this machine.
//!
//! It is worth as much as it is apart. Who sets back ledger and anchors together (a snapshot of the whole machine) is seen by
//! neither.

mod local;

use std::fmt;
use std::io;

use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::disk::DiskError;
use crate::id::EventId;
use crate::text;

pub use crate::anchor::local::{KEPT, Local};

/// The number of a chain's first claim.
pub const FIRST: u64 = 1;

/// A place where statements about chains are kept.
///
/// # The rule that makes it worth anything
///
/// A writer claims only the successor of the number that it last held, or that it read at open and found to agree with its own
/// chain ([`judge`]); [`FIRST`] if there was none. Two writers that go on from one state (a copied directory, a cloned machine,
/// a writer that was paused while another took its place) then ask for the same number, and one of them gets it.
pub trait Anchors: fmt::Debug + Send + Sync {
    /// The claim with the highest number. `None` only if the chain has none: what is there and cannot be read, is no
    /// checkpoint or is about another chain is an error that says where.
    fn latest(&self, chain_id: &Digest) -> io::Result<Option<Claim>>;

    /// Claims a number for this statement, signed and of durable entries only.
    ///
    /// Nothing that has been claimed is overwritten, and none of two calls for one number is told that it holds the same as
    /// the other. After an error it is not known whether the number is claimed. A later call that finds it taken by this very
    /// text has found its own attempt, or a copy of this writer in this very state; the next number tells these apart.
    fn claim(&self, chain_id: &Digest, number: u64, note: &Checkpoint) -> io::Result<Claimed>;

    /// Notes which chain is at this place (a path without links, or an address), so that somebody who finds the place empty can say
    /// what is lost. Another chain noted there is an error until it is forgotten: the note is all that is left of it.
    fn remember(&self, place: &str, chain_id: &Digest, name: &str) -> io::Result<()>;

    /// The chain noted for this place, and its name.
    fn remembered(&self, place: &str) -> io::Result<Option<(Digest, String)>>;

    /// Drops the note for this place. The chain's claims stay.
    fn forget(&self, place: &str) -> io::Result<()>;

    /// Notes that the ledger at this place is halted by this quarantine, so that nobody who takes its log away sets it going. A sink that
    /// keeps no such notes leaves that to others.
    fn halt(&self, _place: &str, _quarantine: &EventId) -> io::Result<()> {
        Ok(())
    }

    /// The quarantine that halts the ledger at this place, if one was noted. One that cannot be read is an error.
    fn halted(&self, _place: &str) -> io::Result<Option<EventId>> {
        Ok(None)
    }

    /// Drops the note, if it is of this quarantine.
    fn lift(&self, _place: &str, _quarantine: &EventId) -> io::Result<()> {
        Ok(())
    }
}

/// A statement about a chain, under the number that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its number.
    pub number: u64,
    /// The checkpoint, a signed note.
    pub note: String,
    /// Number of entries that it speaks of.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Digest,
}

impl Claim {
    /// Reads the note that was found at a place. Signatures are not judged: they were when it was claimed, or whoever asks
    /// does it.
    pub fn parse(place: &str, chain_id: &Digest, number: u64, note: &[u8]) -> io::Result<Self> {
        const ADVICE: &str = "no crash does this: find out who wrote there, and set it aside";
        let checkpoint = parse_note(chain_id, note).map_err(|(code, what)| {
            DiskError::new(code, place, what, ADVICE).into_io(io::ErrorKind::InvalidData)
        })?;
        let (size, root) = (checkpoint.size(), checkpoint.root());
        // Only one text gives this checkpoint, so what is handed on is what was read.
        Ok(Self { number, note: checkpoint.encode(), size, root })
    }

    /// The number after it. The last number has none, and is its own: it is taken, so nothing is claimed any more.
    pub fn next(&self) -> u64 {
        self.number.saturating_add(1)
    }
}

/// A checkpoint of this chain, or the code and the words for what it is instead.
fn parse_note(chain_id: &Digest, note: &[u8]) -> Result<Checkpoint, (&'static str, String)> {
    let checkpoint = Checkpoint::parse(note)
        .map_err(|error| ("ANCHOR_DAMAGED", format!("expected a checkpoint: {error}")))?;
    let origin = checkpoint.origin();
    if origin.rsplit_once('/').is_some_and(|(_, id)| id == chain_id.to_string()) {
        return Ok(checkpoint);
    }
    let found = text::shown(origin, 256);
    Err((
        "ANCHOR_CHAIN",
        format!("expected a checkpoint of chain {chain_id}, found one of {found}"),
    ))
}

/// What became of an attempt to claim a number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a writer that goes on without its number is a fork"]
pub enum Claimed {
    /// The number is this writer's, durably.
    Held,
    /// It was taken before, or is long past; this is the latest claim. Somebody else writes this chain.
    Taken(Claim),
}

/// How a chain stands to a claim about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a chain that does not agree must not be written"]
pub enum Standing {
    /// What was claimed is its beginning, or all of it.
    Agrees,
    /// It ends before what was claimed: cut, or set back to an older copy.
    Behind {
        /// Entries that the claim speaks of.
        anchored: u64,
        /// Entries that there are.
        own: u64,
    },
    /// Its entries up to there are not those that were claimed: another branch.
    Beside {
        /// Entries that the claim speaks of.
        size: u64,
    },
    /// It is long enough, but could not say what its own root was at that size. Nothing is vouched for.
    Untold {
        /// Entries that the claim speaks of.
        size: u64,
    },
}

/// Compares a claim with a chain of `own_size` entries, which says what its root was at an earlier size.
pub fn judge(claim: &Claim, own_size: u64, root_at: impl Fn(u64) -> Option<Digest>) -> Standing {
    let size = claim.size;
    if size > own_size {
        return Standing::Behind { anchored: size, own: own_size };
    }
    match root_at(size) {
        Some(root) if root == claim.root => Standing::Agrees,
        Some(_) => Standing::Beside { size },
        None => Standing::Untold { size },
    }
}
