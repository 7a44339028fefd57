//! No room: appends are refused before anything is linked or signed, and the chain says so, in entries that the store's reserve has room
//! for. A refused event has no sequence, so what is recorded is how many there were, since when, and why.
//!
//! One entry is written when the first of them is refused, and another when there is room again or the ledger is closed. What was refused
//! between two entries is counted in memory only: a process that is killed takes that count along, but not the first entry.

use std::io;
use std::slice;

use crate::codec::{Writer, len_u64};
use crate::error::Refusal;
use crate::ledger::call::Note;
use crate::ledger::observe;
use crate::ledger::shared::{Held, Shared};
use crate::ledger::sign::sign_all;
use crate::ledger::state::State;

/// The type of the entries.
const REFUSED: &str = "recovery.refused";
/// Calls in which all is said that is owed: lists of as many entries as a queue may hold, and what comes behind them.
const CALLS: usize = 64;

/// What the lack of room has cost so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short {
    cause: &'static str,
    /// When the first event was refused, and the last: the wall clock, microseconds since 1970.
    first: i64,
    last: i64,
    /// Events that were refused.
    refused: u64,
    /// How many of them are recorded, or about to be.
    told: u64,
}

impl Short {
    /// Refuses so many more events.
    fn refuse(&mut self, events: u64, cause: &io::Error, now: i64) {
        if self.refused == 0 {
            self.first = now;
        }
        (self.last, self.cause) = (now, name_of(cause));
        self.refused = self.refused.saturating_add(events);
    }

    /// The record of what was refused; nothing if nothing was since the last one. `over` says whether appends are taken again.
    fn note(&mut self, over: bool) -> Option<Note> {
        if self.refused == 0 || (self.told == self.refused && !over) {
            return None;
        }
        self.told = self.refused;
        let mut w = Writer::new();
        w.map(5).text("over").bool(over).text("cause").text(self.cause);
        w.text("last_us").int(self.last).text("refused").uint(self.refused);
        w.text("first_us").int(self.first);
        Some(Note { event_type: REFUSED.to_owned(), map: w.into_bytes() })
    }
}

/// The name of an error as the system calls it: the same on all machines, where its number is not.
fn name_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "ENOSPC",
        io::ErrorKind::QuotaExceeded => "EDQUOT",
        io::ErrorKind::ReadOnlyFilesystem => "EROFS",
        io::ErrorKind::PermissionDenied => "EACCES",
        io::ErrorKind::OutOfMemory => "ENOMEM",
        _ => "EIO",
    }
}

impl State {
    /// From now on nothing is appended until there is room again. So many events were refused for it by now.
    pub(super) fn run_short(&mut self, events: usize, cause: &io::Error, now: i64) {
        let cause_name = name_of(cause);
        let none = Short { cause: cause_name, first: now, last: now, refused: 0, told: 0 };
        observe::room(false);
        let short = self.short.get_or_insert(none);
        if events > 0 {
            short.refuse(len_u64(events), cause, now);
        }
    }

    /// Has recorded what was refused and is not recorded yet. Says whether there was anything.
    pub(super) fn note_short(&mut self) -> bool {
        let note = self.short.as_mut().and_then(|short| short.note(false));
        let is_any = note.is_some();
        if let Some(note) = note {
            self.note(note);
        }
        is_any
    }
}

impl Shared {
    /// Looks whether there is room again for so many events, which are refused and counted if there is none.
    pub(super) fn relieve<'s>(
        &'s self,
        held: Held<'s>,
        events: usize,
    ) -> Result<Held<'s>, Refusal> {
        // Not under the lock: it writes, if there is room.
        drop(held);
        let looking = self.step();
        let made = self.store.make_room();
        drop(looking);
        let mut held = self.lock();
        let Err(error) = made else {
            observe::room(true);
            if let Some(note) = held.state.short.take().and_then(|mut short| short.note(true)) {
                // It is recorded before the event that there is room for.
                held.state.note(note);
            }
            return Ok(held);
        };
        let is_first = held.state.short.is_none_or(|short| short.refused == 0);
        held.state.run_short(events, &error, self.time().wall());
        if is_first {
            held = self.tell(held);
        }
        drop(held);
        Err(Refusal::Store(format!("there is no room: {error}")))
    }

    /// Records that events are refused, with whatever else the ledger owes, in the room that the reserve has left.
    pub(super) fn tell<'s>(&'s self, mut held: Held<'s>) -> Held<'s> {
        held.state.note_short();
        for _ in 0..CALLS {
            if !held.state.owes() || held.state.stage.refusal().is_some() {
                break;
            }
            let Ok((call, signer)) = self.link(&mut held, Vec::new()) else { break };
            drop(held);
            let telling = self.step();
            let frames = sign_all(slice::from_ref(&call), &*signer, 1, &self.options);
            let told = self.wait(self.sealed(frames), &call.cell);
            drop(telling);
            held = self.lock();
            if told.is_err() {
                break;
            }
        }
        held
    }
}
