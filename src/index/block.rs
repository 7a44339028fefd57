//! Files of blocks: 4096 bytes each, of which the last 16 are a BLAKE3 over the others, their place and the file's first block.
//!
//! So a block that is damaged, torn, zeroed, of another file or at another place is seen when it is read, and no more of the file has to
//! be read for it. The first block says what the file is and was made from.

use std::io;

use crate::codec::len_u64;
use crate::disk::{DiskError, File, Folder};

/// Bytes of a block, as the page cache reads them.
pub(super) const BLOCK: usize = 4096;
/// Bytes of its content: a multiple of 4, 16 and 24, so that no record crosses a block.
pub(super) const ROOM: usize = BLOCK - GUARD;
const GUARD: usize = 16;
/// Bytes gathered before they are written.
const BUFFER: usize = 16 * BLOCK;
/// Guards the first block; its content is the key of all others.
const FIRST: &[u8; 32] = b"sigchain index: the first block.";

/// What guards bytes at a place of a file.
pub(super) fn guard<const N: usize>(key: &[u8; 32], bytes: &[u8], place: u64) -> [u8; N] {
    let mut guard = [0; N];
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(bytes).update(&place.to_be_bytes()).finalize_xof().fill(&mut guard);
    guard
}

/// What guards all but the first block of a file that begins like this.
pub(super) fn key(head: &[u8]) -> [u8; 32] {
    let mut first = head.to_vec();
    first.resize(ROOM, 0);
    *blake3::hash(&first).as_bytes()
}

/// Offset of a block.
pub(super) fn offset_of(number: u64) -> u64 {
    number.saturating_mul(len_u64(BLOCK))
}

/// Bytes are not what was written. The kind tells it from a disk that cannot be read.
pub(super) fn damage(name: &str, found: String) -> io::Error {
    let advice = "it is derived data: have it made again from the segments";
    DiskError::new("INDEX_DAMAGED", name, found, advice).into_io(io::ErrorKind::InvalidData)
}

/// Whether an error says that a file is not what was written, and not that it cannot be read.
pub(super) fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Makes a file whose first block begins with `head` and whose others are what `fill` pushes. It has its name only when it is whole;
/// `durable`: and synced.
pub(super) fn make(
    folder: &dyn Folder,
    name: &str,
    head: &[u8],
    durable: bool,
    fill: impl FnOnce(&mut Draft) -> io::Result<()>,
) -> io::Result<Blocks> {
    let part = format!("{name}.part");
    let made = draft(folder, &part, head, fill).and_then(|blocks| {
        if durable {
            blocks.file.sync()?;
        }
        // What has the name is of no use, or this file would not be made.
        folder.clear(name)?;
        folder.rename(&part, name)?;
        Ok(Blocks { name: name.to_owned(), ..blocks })
    });
    if made.is_err() {
        // A disk that is full is one reason to be here. If it cannot be removed either, the next attempt does.
        let _ = folder.remove(&part);
    }
    made
}

fn draft(
    folder: &dyn Folder,
    part: &str,
    head: &[u8],
    fill: impl FnOnce(&mut Draft) -> io::Result<()>,
) -> io::Result<Blocks> {
    folder.clear(part)?;
    let made = folder.create(part)?;
    let mut draft = Draft { file: made, key: *FIRST, count: 0, buffer: Vec::new(), written: 0 };
    draft.push(head)?;
    draft.key = key(head);
    fill(&mut draft)?;
    draft.write_out()?;
    let Draft { file, key, written, .. } = draft;
    Ok(Blocks { file, name: part.to_owned(), key, length: written })
}

/// A file in the making.
#[derive(Debug)]
pub(super) struct Draft {
    file: Box<dyn File>,
    key: [u8; 32],
    count: u64,
    buffer: Vec<u8>,
    written: u64,
}

impl Draft {
    /// Adds a block with this content, and zeros behind it if it is shorter than a block's.
    pub(super) fn push(&mut self, content: &[u8]) -> io::Result<()> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(content);
        self.buffer.resize(start.saturating_add(ROOM), 0);
        let content = self.buffer.get(start..).unwrap_or_default();
        let guard: [u8; GUARD] = guard(&self.key, content, self.count);
        self.buffer.extend_from_slice(&guard);
        self.count = self.count.saturating_add(1);
        if self.buffer.len() < BUFFER { Ok(()) } else { self.write_out() }
    }

    /// Adds bytes that are in no block: they have guards of their own, and no block may follow.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.write_out()
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written = self.written.saturating_add(len_u64(self.buffer.len()));
        self.buffer.clear();
        Ok(())
    }
}

/// A block that was read and is what was written.
pub(super) struct Block([u8; BLOCK]);

impl Block {
    /// Its content.
    pub(super) fn content(&self) -> &[u8] {
        self.0.split_last_chunk::<GUARD>().map_or(&[], |(content, _)| content)
    }

    /// Its content, as records of the same length.
    pub(super) fn records<const N: usize>(&self) -> &[[u8; N]] {
        self.content().as_chunks().0
    }
}

/// A file of blocks, to read.
#[derive(Debug)]
pub(super) struct Blocks {
    file: Box<dyn File>,
    name: String,
    key: [u8; 32],
    length: u64,
}

impl Blocks {
    /// Opens a file whose first block begins with `head`, and gives that block. Nothing if there is none, or another, or what is left of
    /// one.
    pub(super) fn open(
        folder: &dyn Folder,
        name: &str,
        head: &[u8],
        writable: bool,
    ) -> io::Result<Option<(Self, Block)>> {
        let file = match folder.open(name, writable) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let length = file.len()?;
        let mut blocks = Self { file, name: name.to_owned(), key: *FIRST, length };
        let first = match blocks.read(0) {
            Err(error) if is_damage(&error) => return Ok(None),
            read => read?,
        };
        blocks.key = key(first.content());
        Ok(first.content().starts_with(head).then_some((blocks, first)))
    }

    /// Bytes it had when it was opened.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Number of blocks, the first included.
    pub(super) fn count(&self) -> u64 {
        self.length / len_u64(BLOCK)
    }

    /// Whether it consists of so many blocks.
    pub(super) fn has(&self, count: u64) -> bool {
        self.length == offset_of(count)
    }

    /// Reads a block.
    pub(super) fn read(&self, number: u64) -> io::Result<Block> {
        let mut block = Block([0; BLOCK]);
        self.file.read_all_at(&mut block.0, offset_of(number))?;
        let key = if number == 0 { FIRST } else { &self.key };
        let expected: [u8; GUARD] = guard(key, block.content(), number);
        if !block.0.ends_with(&expected) {
            return Err(damage(&self.name, format!("block {number} is not what was written")));
        }
        Ok(block)
    }

    /// Reads all of it. Says whether it is what was written.
    pub(super) fn check(&self) -> io::Result<bool> {
        for number in 0..self.count() {
            match self.read(number) {
                Err(error) if is_damage(&error) => return Ok(false),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(true)
    }

    /// Reads bytes that are in no block.
    pub(super) fn read_bytes(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_all_at(bytes, offset)
    }

    /// Writes bytes that are in no block.
    pub(super) fn write_bytes(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
}
