//! A new file, and the SHA-256 of what goes into it where somebody wants to know. A thread of its own writes it and has it on disk piece
//! by piece, while the next entries are verified.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use sha2::{Digest as _, Sha256};
use sigchain::digest::Digest;

use crate::newfile::NewFile;

/// Bytes that are handed over at once.
const PIECE: usize = 1 << 20;
/// Pieces that wait to be written. When the disk is slower than verification, that waits here.
const WAITING: usize = 16;
/// Pieces after which what was written is had on disk. Left for the end, the disk would have nothing to do until then, and whoever waits
/// would wait for all of it. What is left is verification: below an anchor it takes 2 s of one core for a million entries of 524 bytes, and
/// handing on and writing what was verified 0.8 s more, so that two cores write at most some 370 MB a second; without an anchor each
/// signature is looked at, and it is 90. A disk that takes more than twice as much waits for that.
const SYNCED: usize = 32;

/// The file, and the digest of all that went into it.
type Written = io::Result<(NewFile, Option<Digest>)>;

/// One that is being written. Dropped before it is finished it leaves nothing behind.
pub(super) struct Sink {
    /// What was not handed over yet.
    piece: Vec<u8>,
    pieces: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<Written>>,
    settled: Option<NewFile>,
}

impl Sink {
    /// Begins a file for this place.
    pub(super) fn begin(path: &Path, is_hashed: bool) -> io::Result<Self> {
        let file = NewFile::begin(path)?;
        let hash = is_hashed.then(Sha256::new);
        let (pieces, waiting) = sync_channel(WAITING);
        let write = move || write(file, hash, &waiting);
        let writer = thread::Builder::new().name("writer".to_owned()).spawn(write)?;
        let piece = Vec::with_capacity(PIECE);
        Ok(Self { piece, pieces: Some(pieces), writer: Some(writer), settled: None })
    }

    /// Has all of it on disk, still without its name. The SHA-256 of all bytes, if it was asked for.
    pub(super) fn settle(&mut self) -> io::Result<Option<Digest>> {
        if !self.piece.is_empty() {
            self.hand_over()?;
        }
        // Nothing in it says that this was the last. Without it the rest is given up.
        self.hand_over()?;
        let (file, hash) = self.join()?;
        self.settled = Some(file);
        Ok(hash)
    }

    /// Gives it its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.settled.is_none() {
            self.settle()?;
        }
        let settled = self.settled.take();
        settled.ok_or_else(|| io::Error::other("a file that was finished before"))?.finish()
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        match self.pieces.as_ref().map(|pieces| pieces.send(piece)) {
            Some(Ok(())) => Ok(()),
            // It takes no more because it failed, and says why.
            _ => match self.join() {
                Err(error) => Err(error),
                Ok(_) => Err(io::Error::other("a file that was ended before")),
            },
        }
    }

    /// Waits for the thread, which ends at the end, at an error, or when nothing more can come.
    fn join(&mut self) -> Written {
        drop(self.pieces.take());
        let gone = || io::Error::other("the thread that writes has ended early");
        self.writer.take().ok_or_else(gone)?.join().map_err(|_| gone())?
    }
}

fn write(mut file: NewFile, mut hash: Option<Sha256>, pieces: &Receiver<Vec<u8>>) -> Written {
    let mut count: usize = 0;
    loop {
        let piece = pieces.recv().map_err(|_| io::ErrorKind::Interrupted)?;
        if piece.is_empty() {
            file.settle()?;
            return Ok((file, hash.map(|hash| Digest::new(hash.finalize().into()))));
        }
        file.write_all(&piece)?;
        if let Some(hash) = &mut hash {
            hash.update(&piece);
        }
        count = count.saturating_add(1);
        if count.is_multiple_of(SYNCED) {
            file.sync()?;
        }
    }
}

impl Drop for Sink {
    /// The file is gone before anybody is told that nothing was left there.
    fn drop(&mut self) {
        drop(self.join());
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    /// Nothing: all of it is handed over in the end, and only then does anybody ask what became of it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
