//! The reserve: a file that is there to be given up. When the disk is full its room goes to the few entries that say so, and to no others:
//! whoever fills a disk would otherwise act unrecorded, and nobody could tell afterwards that anything was refused.

use std::io;

use crate::codec::len_u64;
use crate::directory::{Directory, Writer};
use crate::disk::DiskError;

/// Name of the file.
pub(super) const RESERVE: &str = "reserve";
/// Bytes that are written at once.
const PIECE: usize = 64 << 10;

/// A reserve that is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserve {
    /// Its bytes; none if no reserve is kept.
    bytes: u64,
    is_there: bool,
}

/// Whether an error says that there is no room, which giving up a file can change.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Directory {
    /// Keeps a reserve of so many bytes from now on, if there is room for it: see [`crate::store::Store::has_room`].
    pub(crate) fn keep_reserve(&self, bytes: u64) -> io::Result<()> {
        let mut writer = self.writer.lock();
        writer.reserve = Reserve { bytes, is_there: false };
        match self.make_reserve(&mut writer) {
            Err(error) if is_full(&error) => Ok(()),
            made => made,
        }
    }

    /// Whether the reserve is there, or none is kept.
    pub(super) fn has_reserve(writer: &Writer) -> bool {
        writer.reserve.is_there || writer.reserve.bytes == 0
    }

    /// Makes the reserve, unless it is there.
    pub(super) fn make_reserve(&self, writer: &mut Writer) -> io::Result<()> {
        if writer.is_over {
            // Somebody else may have the directory by now.
            return Err(io::Error::other("nothing more is written: open the ledger again"));
        }
        if Self::has_reserve(writer) {
            return Ok(());
        }
        let bytes = writer.reserve.bytes;
        match self.folder.open(RESERVE, true) {
            Ok(file) if file.len()? == bytes => {
                writer.reserve.is_there = true;
                return Ok(());
            }
            // One that was not made to the end, or is of another size.
            Ok(_) => self.folder.remove(RESERVE)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // With room for no more than the reserve the next append would cost it again: each time a few more entries of the ledger's own.
        let (room, wanted) = (self.folder.room()?, bytes.saturating_mul(2));
        if room < wanted {
            let what = format!("expected {wanted} bytes of room, found {room}");
            let refused = DiskError::new("FS_FULL", "the ledger's directory", what, "make room");
            return Err(refused.into_io(io::ErrorKind::StorageFull));
        }
        let made = self.fill_reserve(bytes);
        match &made {
            Ok(()) => writer.reserve.is_there = true,
            // Part of one is of no use, and takes the room of what is. If it stays it is removed the next time.
            Err(_) => drop(self.folder.remove(RESERVE)),
        }
        made
    }

    fn fill_reserve(&self, bytes: u64) -> io::Result<()> {
        let file = self.folder.create(RESERVE)?;
        // Neither zeros nor twice the same: a file system that compresses, or keeps no zeros, would set nothing aside for it.
        let mut random = blake3::Hasher::new().update(RESERVE.as_bytes()).finalize_xof();
        let (mut piece, mut at) = (vec![0; PIECE], 0);
        while at < bytes {
            random.fill(&mut piece);
            let left = usize::try_from(bytes.saturating_sub(at)).unwrap_or(usize::MAX);
            let part = piece.get(..left).unwrap_or(&piece);
            file.write_at(part, at)?;
            at = at.saturating_add(len_u64(part.len()));
        }
        file.sync()?;
        self.folder.sync()
    }

    /// Gives up the reserve, if this error says that there is no room. Says whether it did.
    pub(super) fn give_up_reserve(&self, writer: &mut Writer, error: &io::Error) -> bool {
        let gives = writer.reserve.is_there && is_full(error);
        if gives {
            writer.reserve.is_there = false;
            // Synced, because some file systems give the room free only then. If it fails, what is written next fails as it would have.
            drop(self.folder.remove(RESERVE).and_then(|()| self.folder.sync()));
        }
        gives
    }
}
