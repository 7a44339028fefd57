//! Once and only once: a caller's event id is looked up among the entries on their way and in the store, and the same event
//! again gets the receipt of the first.
//!
//! Ids that the ledger makes need no look-up. A caller's is claimed first, under the lock, so that the look-up in the store can
//! be made without it: whoever else comes with the same id waits for the claim to be settled.

use std::io;
use std::sync::Arc;

use crate::digest::Digest;
use crate::entry::Fields;
use crate::error::Refusal;
use crate::event::Event;
use crate::frame::Written;
use crate::id::EventId;
use crate::ledger::call::{Draft, Pending};
use crate::ledger::cell::Cell;
use crate::ledger::ids::Use;
use crate::ledger::shared::{Held, Shared};
use crate::payload::{Part, Slot};
use crate::receipt::{Receipt, Reference};
use crate::store::{FrameRef, Frames, Store};

/// What is known of a draft's id.
pub(super) enum Known {
    /// Nothing: it is claimed, or needs no claim.
    No,
    /// The same event is durable.
    Durable(Receipt),
    /// The same event is on its way.
    Queued(Arc<Cell>, Arc<Pending>),
}

/// Ids that were claimed. Those that were not linked meanwhile are given free.
pub(super) struct Claims<'s> {
    shared: &'s Shared,
    /// Tells these claims from others' of the same ids, made after these were settled.
    number: u64,
    ids: Vec<EventId>,
}

impl Drop for Claims<'_> {
    fn drop(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let mut held = self.shared.lock();
        for id in &self.ids {
            held.state.ids.release(id, self.number);
        }
        held.freed();
    }
}

impl Shared {
    /// Nothing is claimed yet.
    pub(super) fn claims(&self) -> Claims<'_> {
        Claims { shared: self, number: 0, ids: Vec::new() }
    }
}

impl Claims<'_> {
    /// Claims the ids that the caller gave, unless their events are there already. Says for each what is known.
    ///
    /// All at once: who held one and waited for another would wait for ever for somebody who does the same the other way round, and
    /// a batch on its way might be seen in part. `patient`: waits for others that look one of them up; else it is refused.
    pub(super) fn take(&mut self, drafts: &[Draft], patient: bool) -> Result<Vec<Known>, Refusal> {
        let given: Vec<&Draft> = drafts.iter().filter(|draft| draft.is_given).collect();
        if given.is_empty() {
            return Ok(Vec::new());
        }
        once_each(&given)?;
        if self.shared.is_forked() {
            return Err(Refusal::Forked);
        }
        let mut held = self.shared.lock();
        loop {
            held.state.stage.refusal().map_or(Ok(()), Err)?;
            if !given.iter().any(|draft| held.state.ids.is_claimed(&draft.event_id)) {
                break;
            }
            if !patient {
                return Err(Refusal::IdBusy);
            }
            held = self.shared.help(held);
        }
        self.number = held.state.ids.number();
        let mut known = Vec::with_capacity(given.len());
        for draft in &given {
            let id = draft.event_id;
            if let Some(Use::Linked(sequence)) = held.state.use_of(id) {
                known.push(in_queue(&held, sequence, draft)?);
            } else {
                held.state.ids.claim(id, self.number);
                self.ids.push(id);
                known.push(Known::No);
            }
        }
        let chain_id = held.state.chain.id();
        drop(held);
        for (draft, known) in given.iter().zip(&mut known) {
            if matches!(known, Known::No) {
                *known = self.shared.find_in(chain_id, draft)?;
            }
        }
        Ok(known)
    }
}

fn once_each(drafts: &[&Draft]) -> Result<(), Refusal> {
    let mut ids = std::collections::BTreeSet::new();
    if drafts.iter().all(|draft| ids.insert(draft.event_id)) {
        return Ok(());
    }
    let (expected, found) = ("ids that occur once in a batch", "the same id twice");
    Err(Refusal::Field(crate::limit::FieldError::new("event_id", expected, found)))
}

/// Compares a draft with the entry on its way that has its id.
pub(super) fn in_queue(held: &Held<'_>, sequence: u64, draft: &Draft) -> Result<Known, Refusal> {
    let slot = held.state.queue.iter().find(|slot| slot.pending.sequence() == sequence);
    let Some(slot) = slot else { return Err(Refusal::Abandoned) };
    let (pending, cell) = (&slot.pending, &slot.cell);
    match difference(draft, pending.linked.fields(), &pending.part) {
        None => Ok(Known::Queued(Arc::clone(cell), Arc::clone(pending))),
        Some(differs) => Err(Refusal::IdUsed { first: pending.reference(), differs }),
    }
}

impl Shared {
    /// Looks a draft's id up in the store, and compares.
    pub(super) fn find_in(&self, chain_id: Digest, draft: &Draft) -> Result<Known, Refusal> {
        let unreadable = |error: io::Error| Refusal::Store(error.to_string());
        let Some(sequence) = self.store.find(&draft.event_id).map_err(unreadable)? else {
            return Ok(Known::No);
        };
        let frames = frame_at(&*self.store, sequence).map_err(unreadable)?;
        let written = parse_event(&frames, &draft.event_id).map_err(unreadable)?;
        let receipt = receipt(&written, &chain_id);
        if differs_in_fields(draft, &written.fields).is_none() && !is_whole(&written.part) {
            return Err(Refusal::IdIncomparable { first: Box::new(receipt) });
        }
        match difference(draft, &written.fields, &written.part) {
            None => Ok(Known::Durable(receipt)),
            Some(differs) => Err(Refusal::IdUsed { first: receipt.reference(), differs }),
        }
    }
}

/// The frame of a durable entry.
pub(super) fn frame_at(store: &dyn Store, sequence: u64) -> io::Result<Frames> {
    let mut frames = Frames::new();
    store.read(sequence, 1, &mut frames)?;
    if frames.iter().next().is_some_and(|frame| frame.sequence == sequence) {
        return Ok(frames);
    }
    let message = format!("expected entry {sequence} in the store, found none");
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// The entry in the first of these frames, which must be of this event: a receipt for another would vouch for what was never
/// recorded.
pub(super) fn parse_event<'f>(frames: &'f Frames, id: &EventId) -> io::Result<Written<'f>> {
    let written = parse_first(frames)?;
    let found = written.fields.event_id;
    if found == *id {
        return Ok(written);
    }
    let sequence = written.fields.sequence;
    let message = format!("expected event {id} in entry {sequence} of the store, found {found}");
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// The entry in the first of these frames.
pub(super) fn parse_first(frames: &Frames) -> io::Result<Written<'_>> {
    frames.iter().next().map_or_else(|| Err(io::Error::other("no frame")), parse)
}

/// The entry in a frame of the store.
pub(super) fn parse(frame: FrameRef<'_>) -> io::Result<Written<'_>> {
    let sequence = frame.sequence;
    let other = |what: String| {
        let message = format!("entry {sequence} of the store: {what}");
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let written =
        Written::parse(frame.left, frame.body).map_err(|error| other(error.to_string()))?;
    match written.fields.sequence {
        found if found == sequence => Ok(written),
        found => Err(other(format!("expected sequence {sequence}, found {found}"))),
    }
}

/// The receipt of a durable entry.
pub(super) fn receipt(written: &Written<'_>, chain_id: &Digest) -> Receipt {
    let entry = written.entry(chain_id);
    let fields = entry.fields();
    let reference = Reference {
        chain_id: *chain_id,
        sequence: fields.sequence,
        stamp: fields.system_time,
        event_id: fields.event_id,
        digest: entry.digest(),
    };
    Receipt::new(reference, fields.signer_key_id, *entry.signature())
}

/// Whether all of a payload is there to compare with.
fn is_whole(part: &Part<'_>) -> bool {
    match part {
        Part::Whole(_) => true,
        Part::Fields(slots) => slots.iter().all(|slot| matches!(slot, Slot::Shown(_))),
        Part::Erased(_) | Part::Withheld => false,
    }
}

/// What differs between a draft and an entry that has its id.
fn difference(draft: &Draft, fields: &Fields<'_>, part: &Part<'_>) -> Option<&'static str> {
    differs_in_fields(draft, fields).or_else(|| {
        // With the salts of the first, the same payload has the same commitment.
        let again = draft.part.salted_as(part);
        (again.commitment() != Some(fields.payload_hash)).then_some("payload")
    })
}

fn differs_in_fields(draft: &Draft, fields: &Fields<'_>) -> Option<&'static str> {
    let event: &Event = &draft.event;
    let text = |given: &Option<String>, first: &Option<std::borrow::Cow<'_, str>>| {
        given.as_deref() != first.as_deref()
    };
    [
        ("actor", event.actor != fields.actor),
        ("causation_id", event.causation_id != fields.causation_id),
        ("correlation_id", text(&event.correlation_id, &fields.correlation_id)),
        ("episode_id", text(&event.episode_id, &fields.episode_id)),
        ("event_type", event.event_type != fields.event_type),
        ("schema_version", event.schema_version != fields.schema_version),
        ("span_id", event.span_id != fields.span_id),
        ("trace_id", event.trace_id != fields.trace_id),
        ("valid_from", event.valid_from != fields.valid_from),
        ("valid_to", event.valid_to != fields.valid_to),
    ]
    .into_iter()
    .find_map(|(name, differs)| differs.then_some(name))
}
