//! What a ledger's files say of themselves, for whoever wants to know it without reading all of them. Nothing here is verified.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::checkpoint::Seal;
use crate::directory::Directory;
use crate::frame::{self, Kind};
use crate::segment::{Scanned, Scanner};
use crate::store::Frames;

impl Directory {
    /// The entries before the last segment on which keys hang, if it lists them, and the first entry of that segment: those in it
    /// have to be looked for.
    pub fn authority(&self) -> (Option<Vec<u64>>, u64) {
        let live = self.live.lock();
        live.pieces
            .last()
            .map_or((None, 0), |piece| (piece.beginning.authority.clone(), piece.beginning.first))
    }

    /// The entries of the last segment whose type is wanted, and the last of all: by one pass over its frames that keeps nothing else, so
    /// that it is over before anybody notices however long the chain is.
    pub fn last_segment(
        &self,
        wants: &mut dyn FnMut(&str) -> bool,
        frames: &mut Frames,
    ) -> io::Result<()> {
        frames.clear();
        let (piece, end, size) = {
            let live = self.live.lock();
            let Some(piece) = live.pieces.last() else { return Ok(()) };
            (Arc::clone(piece), live.end, live.size)
        };
        let mut scanner = Scanner::new(&*piece.file, piece.start, end);
        let mut sequence = piece.beginning.first;
        while sequence < size {
            let at = scanner.at();
            let damaged = |what: &dyn fmt::Display| {
                let what = format!("segment {}, byte {at}: {what}", piece.beginning.ordinal);
                io::Error::new(io::ErrorKind::InvalidData, what)
            };
            match scanner.next()? {
                Scanned::Frame(found) if found.kind == Kind::Entry => {
                    let kind =
                        frame::event_type(scanner.body()).map_err(|error| damaged(&error))?;
                    if wants(kind) || sequence.saturating_add(1) == size {
                        frames.push(sequence, found.left, scanner.body());
                    }
                    sequence = sequence.saturating_add(1);
                }
                Scanned::Frame(_) => {}
                Scanned::Damage(what) => return Err(damaged(&what)),
                Scanned::End => return Err(damaged(&"expected an entry, found the end")),
            }
        }
        Ok(())
    }

    /// The last seal, if it is about no more entries than are durable and can be read.
    pub fn last_seal(&self) -> io::Result<Option<Seal>> {
        Ok(self.seal_before(self.entries())?.map(|sealed| sealed.seal))
    }
}
