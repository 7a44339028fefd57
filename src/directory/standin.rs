//! Stand-ins: files that take the place of segments. What a stand-in has no longer, gaps say: which entries, why, and the hashes that stand
//! for them in the tree.
//!
//! One is made whole before it has its name, and nothing is ever added to it. Its own length is the truth: what other files say of a
//! length is said of the segment that it stands in for.

use std::io;

use crate::chainfile;
use crate::codec::len_u64;
use crate::directory::read::{Places, scan};
use crate::directory::{Piece, SEGMENT};
use crate::disk::{File, Folder};
use crate::frame::{Frame, Gap, Kind};
use crate::segment::{Beginning, Scanned};

/// Before the number in the name of a stand-in.
pub(super) const STAND_IN: &str = "standin-";
/// Name of one that is being made.
pub(super) const NEXT: &str = "standin.next";

/// The name of what stands in for a segment.
pub(crate) fn name_of(ordinal: u64) -> String {
    format!("{STAND_IN}{ordinal:010}")
}

/// The number in the name of a stand-in.
pub(super) fn ordinal_of(name: &str) -> Option<u64> {
    let ordinal = name.strip_prefix(STAND_IN)?.parse().ok()?;
    (name_of(ordinal) == name).then_some(ordinal)
}

/// The name of the file that a segment, or what stands in for it, is exchanged for.
pub(super) fn other_name(name: &str) -> Option<String> {
    let (from, to) = [(SEGMENT, STAND_IN), (STAND_IN, SEGMENT)]
        .into_iter()
        .find(|(from, _)| name.starts_with(from))?;
    name.strip_prefix(from).map(|digits| format!("{to}{digits}"))
}

/// The frame of a gap, for a stand-in.
pub(crate) fn gap_frame(gap: Gap) -> io::Result<Vec<u8>> {
    let (head, body) = chainfile::encode(&Frame::Gap(gap))?;
    Ok([&head[..], &body].concat())
}

/// Number of entries of the chain up to the end of a stand-in, be they in it or in gaps.
pub(super) fn size_of(piece: &Piece) -> io::Result<u64> {
    let mut scanner = piece.scanner(piece.start, piece.file.len()?);
    let mut size = piece.beginning.first;
    while let Scanned::Frame(found) = scanner.next()? {
        match found.kind {
            Kind::Entry => size = size.saturating_add(1),
            Kind::Gap => {
                if let Ok(Frame::Gap(gap)) = Frame::parse(Kind::Gap, 0, scanner.body()) {
                    size = gap.end();
                }
            }
            _ => {}
        }
    }
    Ok(size)
}

/// Puts a stand-in in the place of a segment of this folder, be that there or not; whoever does so holds the ledger's lock.
///
/// `beginning` is that of the segment, or made again from what is known: number, chain and first entry must be right, `prior` is not looked
/// at where the entry before is in a gap, `begun` never. `frames` is called until it says that there are no more; each time it adds whole
/// frames, of entries (unmarked or not), seals, and gaps by [`gap_frame`], in order. They are read back before anything counts.
///
/// Nothing has changed if this fails before the name is given. A segment of that number counts no longer afterwards, and is left for the
/// caller to remove. That there is a stand-in already is an error.
pub(crate) fn put_stand_in(
    folder: &dyn Folder,
    beginning: &Beginning,
    frames: &mut dyn FnMut(&mut Vec<u8>) -> io::Result<bool>,
) -> io::Result<()> {
    folder.clear(NEXT)?;
    let file = folder.create(NEXT)?;
    write(&*file, beginning, frames)?;
    file.sync()?;
    check(file.into(), beginning)?;
    folder.rename(NEXT, &name_of(beginning.ordinal))?;
    folder.sync()
}

fn write(
    file: &dyn File,
    beginning: &Beginning,
    frames: &mut dyn FnMut(&mut Vec<u8>) -> io::Result<bool>,
) -> io::Result<()> {
    let mut block = beginning.encode();
    let mut at = 0;
    loop {
        file.write_at(&block, at)?;
        at = at.saturating_add(len_u64(block.len()));
        block.clear();
        if !frames(&mut block)? {
            return if block.is_empty() { Ok(()) } else { file.write_at(&block, at) };
        }
    }
}

/// Reads it back: one that cannot be read would take the place of what can.
fn check(file: std::sync::Arc<dyn File>, expected: &Beginning) -> io::Result<()> {
    let (beginning, start) = Beginning::read(&*file)?;
    let piece = Piece { beginning, start, end: None, is_stand_in: true, file };
    let end = piece.file.len()?;
    scan(&piece, Places::none(&piece), end)?.whole(&piece)?;
    if piece.beginning == *expected {
        return Ok(());
    }
    let what = "expected the beginning that was written, found another";
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}
