//! The file system, as far as a ledger on files needs it: one folder, files that only grow, and three ways of making sure.
//!
//! A trait, so that tests can have a disk that forgets, tears, reorders and fails. `real` is the one of the machine.
//! Nothing is ever truncated or overwritten through this module but the small record at the start of a file
//! that `write_at` is given offset 0 for; what is set aside is renamed.

mod real;
mod refuse;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use crate::disk::real::{Lenience, create, open, open_to_read};
pub use crate::disk::refuse::{DiskError, code_of};

/// A folder that was opened, and stays the same one whatever becomes of its name.
///
/// A name is one component, made by the ledger out of digits and letters.
pub trait Folder: fmt::Debug + Send + Sync {
    /// A new file, to read and write, mode 0600. That there is one of this name already is an error. The name is durable only after
    /// [`Folder::sync`], the content after [`File::sync`].
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// A regular file that is there, with one name, of this user and closed to all others. `writable` also to write.
    fn open(&self, name: &str, writable: bool) -> io::Result<Box<dyn File>>;

    /// Gives a file another name. That there is one of that name already is an error.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the name of a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files and folders in it, in no particular order.
    fn names(&self) -> io::Result<Vec<String>>;

    /// The folder of this name within it; made, mode 0700, if there is none and `create` says so.
    fn folder(&self, name: &str, create: bool) -> io::Result<Arc<dyn Folder>>;

    /// Makes all names durable as they are now.
    fn sync(&self) -> io::Result<()>;

    /// Locks the folder for whoever holds this handle, until the last of it is gone. Says whether it could.
    fn lock(&self) -> io::Result<bool>;

    /// Lets go of the lock.
    fn unlock(&self) -> io::Result<()>;

    /// Bytes that may still be written.
    fn room(&self) -> io::Result<u64>;

    /// Where it is, for people to read.
    fn place(&self) -> String {
        "the ledger's directory".to_owned()
    }
}

impl dyn Folder + '_ {
    /// Removes the name of a file, if there is one: what an attempt that was broken off may have left.
    pub fn clear(&self, name: &str) -> io::Result<()> {
        match self.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A file. Any number of threads may read while one writes.
pub trait File: fmt::Debug + Send + Sync {
    /// Writes all of it, or fails with any part of it written, and whatever was there before in the rest.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads up to as many bytes as there is room for; none only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes the content and its length durable. After an error nothing is known of anything written since the last success, and asking
    /// again proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Its length.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Bytes that were read, to be gone through as the file that they are of.
impl File for &[u8] {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(<[u8]>::len(self)).unwrap_or(u64::MAX))
    }
}

impl dyn File + '_ {
    /// Reads exactly as many bytes as there is room for; fewer are an error.
    pub fn read_all_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let count = self.read_at(buffer, offset)?;
            if count == 0 {
                let what =
                    format!("expected {} more bytes at {offset}, found the end", buffer.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
            buffer = buffer.get_mut(count..).unwrap_or_default();
            offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}
