//! Files that were not there before: whole under their name, or not there at all, and never in the place of another.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

/// A file that has no name of its own yet. Dropped before it is finished it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct NewFile {
    sink: BufWriter<File>,
    path: PathBuf,
    temporary: PathBuf,
}

impl NewFile {
    /// Begins it beside the place that it is for.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.part", process::id()));
        let temporary = path.with_file_name(temporary);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { sink: BufWriter::with_capacity(BUFFER, file), path: path.to_owned(), temporary })
    }

    /// Gives it its name, once all of it is on disk.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.sink.flush()?;
        self.sink.get_ref().sync_all()?;
        name(&self.temporary, &self.path)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Gone already if it was finished. The name is this process's own.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// As `rename`, but never in the place of another file. Where the file system cannot do that in one step, it can make a second
/// name.
fn name(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

/// Writes all of a new file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = NewFile::begin(path)?;
    file.write_all(bytes)?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_and_nothing_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proof");
        write(&path, b"one").unwrap();
        assert_eq!(write(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let late = dir.path().join("late");
        let mut file = NewFile::begin(&late).unwrap();
        file.write_all(b"two").unwrap();
        assert!(!late.exists(), "not before it is whole");
        fs::write(&late, b"one").unwrap();
        assert_eq!(file.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&late).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
