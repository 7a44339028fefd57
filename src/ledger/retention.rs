//! Entries that leave the ledger's files, and come back, on record in the chain.

use crate::codec::Writer;
use crate::digest::Digest;
use crate::error::Refusal;
use crate::ledger::Ledger;
use crate::ledger::call::Note;

/// Whether entries have left or come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// Archived.
    Out,
    /// Restored.
    Back,
}

/// A range of entries that is archived or brought back, for the record.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever moves entries makes it")]
pub struct Moved<'m> {
    /// The first entry.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Root over all entries that the archive stands for.
    pub root: Digest,
    /// SHA-256 of the archive's file.
    pub file: Digest,
    /// Where it is, as it was given.
    pub place: &'m str,
    /// Who asked.
    pub by: &'m str,
}

impl Ledger {
    /// Records that entries are archived, or come back, before they do: `recovery.archived` and `recovery.restored`.
    pub fn record_moved(&self, way: Way, moved: &Moved<'_>) -> Result<(), Refusal> {
        let event_type = match way {
            Way::Out => "recovery.archived",
            Way::Back => "recovery.restored",
        };
        let mut w = Writer::new();
        w.map(6).text("by").text(moved.by).text("file").bytes(moved.file.as_bytes());
        w.text("root").bytes(moved.root.as_bytes()).text("count").uint(moved.count);
        w.text("first").uint(moved.first).text("place").text(moved.place);
        let note = Note { event_type: event_type.to_owned(), map: w.into_bytes() };
        let shared = self.shared();
        let mut held = shared.lock();
        held.state.stage.refusal().map_or(Ok(()), Err)?;
        held.state.note(note);
        let held = shared.tell(held);
        if held.state.owes() { Err(Refusal::Closed) } else { Ok(()) }
    }
}
