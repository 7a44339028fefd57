//! Files that were not there before: whole under their name, or not there at all, and never in the place of another.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

/// Where the system names what a process has open: by such a name a file that has none gets one.
const OPENED: &str = "/proc/self/fd";

/// A file that has no name of its own yet. Dropped before it is finished it leaves nothing behind; where the file system can hold a
/// file without any name, a kill leaves nothing behind either.
#[derive(Debug)]
pub(crate) struct NewFile {
    sink: BufWriter<File>,
    path: PathBuf,
    /// What it is called meanwhile, if it has to be called something.
    temporary: Option<PathBuf>,
}

impl NewFile {
    /// Begins it beside the place that it is for.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        is_free(path)?;
        if path.file_name().is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match nameless(folder(path)) {
            Some(file) => Ok(Self::new(file, path, None)),
            None => Self::begin_named(path),
        }
    }

    /// The same where no file can be without a name.
    fn begin_named(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let temporary = path.with_file_name(meanwhile(name.to_owned()));
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self::new(file, path, Some(temporary)))
    }

    fn new(file: File, path: &Path, temporary: Option<PathBuf>) -> Self {
        Self { sink: BufWriter::with_capacity(BUFFER, file), path: path.to_owned(), temporary }
    }

    /// Has what was written so far on disk: whoever writes much and does so now and then does not wait for all of it at the end.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.sink.flush()?;
        self.sink.get_ref().sync_data()
    }

    /// Has all of it on disk, still without its name.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        self.sink.flush()?;
        self.sink.get_ref().sync_all()
    }

    /// Gives it its name, once all of it is on disk.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.settle()?;
        if let Some(temporary) = &self.temporary {
            name(temporary, &self.path)?;
        } else {
            let opened = format!("{OPENED}/{}", self.sink.get_ref().as_raw_fd());
            rustix::fs::linkat(CWD, opened, CWD, &self.path, AtFlags::SYMLINK_FOLLOW)?;
        }
        File::open(folder(&self.path))?.sync_all()
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
        if let Some(temporary) = &self.temporary {
            // Gone already if it was finished. The name is this process's own.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Whether nothing has this name yet.
pub(crate) fn is_free(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => Ok(()),
    }
}

/// Where a path is.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What something is called until it gets its name.
pub(crate) fn meanwhile(name: OsString) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.part", process::id()));
    temporary
}

/// A file in this folder that has no name. Nothing where the file system has no such files, or could not name it later.
fn nameless(folder: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR).ok()?;
    Path::new(OPENED).exists().then(|| File::from(file))
}

/// As `rename`, but never in the place of another file. Where the file system cannot do that in one step, it can make a second
/// name.
fn name(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

/// The same for a directory, which can have no second name. Where the file system cannot do it in one step, what may be replaced is an
/// empty directory at most, which is what `rename` does.
pub(crate) fn name_folder(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            is_free(to)?;
            fs::rename(from, to)
        }
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

    type Begin = fn(&Path) -> io::Result<NewFile>;

    #[test]
    fn nothing_is_overwritten_and_nothing_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proof");
        write(&path, b"one").unwrap();
        assert_eq!(write(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let ways: [(Begin, &str); 2] = [(NewFile::begin, "late"), (NewFile::begin_named, "later")];
        for (begin, name) in ways {
            let late = dir.path().join(name);
            drop(begin(&late).unwrap());
            let mut file = begin(&late).unwrap();
            file.write_all(b"two").unwrap();
            assert!(!late.exists(), "not before it is whole");
            fs::write(&late, b"one").unwrap();
            assert_eq!(file.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&late).unwrap(), b"one");
            fs::remove_file(&late).unwrap();
            let mut file = begin(&late).unwrap();
            file.write_all(b"two").unwrap();
            file.finish().unwrap();
            assert_eq!(fs::read(&late).unwrap(), b"two");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
