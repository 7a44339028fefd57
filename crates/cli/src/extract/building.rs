//! A directory that appears whole under its name, or not at all.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::emulate_default_handler;
use signal_hook::{SigId, flag, low_level};

use crate::newfile;

/// One that is being made, beside the place that it is for. Dropped before it is finished it is removed; so it is if a signal asks for the
/// end, which then takes its usual course.
pub(super) struct Building {
    path: PathBuf,
    caught: Arc<AtomicUsize>,
    caught_by: Vec<SigId>,
    is_finished: bool,
}

impl Building {
    pub(super) fn begin(place: &Path) -> io::Result<Self> {
        newfile::is_free(place)?;
        let name = place.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let path = place.with_file_name(newfile::meanwhile(name.to_owned()));
        let caught = Arc::new(AtomicUsize::new(0));
        let mut caught_by = Vec::new();
        for (signal, number) in [(SIGHUP, 1), (SIGINT, 2), (SIGTERM, 3)] {
            caught_by.push(flag::register_usize(signal, Arc::clone(&caught), number)?);
        }
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, caught, caught_by, is_finished: false })
    }

    /// Where it is meanwhile.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The signal that asks for the end, if one does.
    fn signal(&self) -> Option<i32> {
        match self.caught.load(Ordering::Relaxed) {
            1 => Some(SIGHUP),
            2 => Some(SIGINT),
            3 => Some(SIGTERM),
            _ => None,
        }
    }

    /// An error if a signal asks for the end.
    pub(super) fn go_on(&self) -> io::Result<()> {
        self.signal().map_or(Ok(()), |_| Err(io::ErrorKind::Interrupted.into()))
    }

    /// Has its names on disk. Its files are already.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.go_on()?;
        File::open(&self.path)?.sync_all()
    }

    /// Gives it its name.
    pub(super) fn finish(mut self, place: &Path) -> io::Result<()> {
        newfile::name_folder(&self.path, place)?;
        self.is_finished = true;
        File::open(newfile::folder(place))?.sync_all()
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        for id in self.caught_by.drain(..) {
            low_level::unregister(id);
        }
        if self.is_finished {
            return;
        }
        // The name is this process's own.
        let _ = fs::remove_dir_all(&self.path);
        if let Some(signal) = self.signal() {
            let _ = emulate_default_handler(signal);
        }
    }
}
