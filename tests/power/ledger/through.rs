//! Folders that pass everything on to another, and do one thing beside. There is no folder in them: indexes are made by a thread of
//! their own, at a time of its own, and a run could not be had again.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use sigchain::digest::Digest;
use sigchain::directory::Directory;
use sigchain::disk::{File, Folder};

use crate::power::ledger::known::last;
use crate::power::sim::Sim;

/// Another process that reads, whenever something is about to be synced.
#[derive(Clone, Debug)]
pub struct Eye(Option<Arc<(Sim, Mutex<Seen>)>>);

#[derive(Debug, Default)]
struct Seen {
    view: Option<Directory>,
    shown: Vec<(u64, Digest)>,
}

impl Eye {
    /// It may be shut: reading costs more than all the rest.
    pub fn new(sim: &Sim, is_open: bool) -> Self {
        Self(is_open.then(|| Arc::new((sim.clone(), Mutex::default()))))
    }

    /// What it was shown.
    pub fn take(&self) -> Vec<(u64, Digest)> {
        let Some(inner) = &self.0 else { return Vec::new() };
        std::mem::take(&mut inner.1.lock().unwrap().shown)
    }

    fn look(&self) {
        let Some(inner) = &self.0 else { return };
        let seen = &mut *inner.1.lock().unwrap_or_else(PoisonError::into_inner);
        match &seen.view {
            // There may be nothing to read yet.
            None => seen.view = Directory::view(inner.0.root()).ok(),
            Some(view) => {
                let _ = view.refresh();
            }
        }
        if let Some(Ok(Some(shown))) = seen.view.as_ref().map(last) {
            seen.shown.push(shown);
        }
    }
}

/// What is done whenever something is about to be synced.
#[derive(Clone)]
struct Before(Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Before")
    }
}

/// A folder over another.
#[derive(Clone, Debug)]
pub struct Through {
    inner: Arc<dyn Folder>,
    before: Before,
    /// Whether a sync of a file says that it is done before it is: it is done before the next write.
    hasty: bool,
}

impl Through {
    /// As it is.
    pub fn plain(inner: Arc<dyn Folder>) -> Arc<dyn Folder> {
        Self::watched(inner, &Eye(None))
    }

    /// With a reader.
    pub fn watched(inner: Arc<dyn Folder>, eye: &Eye) -> Arc<dyn Folder> {
        let eye = eye.clone();
        Self::before_syncs(inner, move || eye.look())
    }

    /// With something that is done whenever something is about to be synced.
    pub fn before_syncs(
        inner: Arc<dyn Folder>,
        before: impl Fn() + Send + Sync + 'static,
    ) -> Arc<dyn Folder> {
        Arc::new(Self { inner, before: Before(Arc::new(before)), hasty: false })
    }

    /// With syncs of files that say too early that they are done.
    pub fn hasty(inner: Arc<dyn Folder>) -> Arc<dyn Folder> {
        Arc::new(Self { inner, before: Before(Arc::new(|| ())), hasty: true })
    }

    fn file(&self, inner: Box<dyn File>) -> Box<dyn File> {
        let Self { before, hasty, .. } = self.clone();
        Box::new(ThroughFile { inner, before, hasty, owed: Mutex::new(false) })
    }
}

#[derive(Debug)]
struct ThroughFile {
    inner: Box<dyn File>,
    before: Before,
    hasty: bool,
    owed: Mutex<bool>,
}

impl Folder for Through {
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(self.file(self.inner.create(name)?))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Box<dyn File>> {
        Ok(self.file(self.inner.open(name, writable)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.inner.names()
    }

    fn folder(&self, _: &str, create: bool) -> io::Result<Arc<dyn Folder>> {
        // No indexes, and no quarantine.
        Err(if create { Errno::NOTDIR } else { Errno::NOENT }.into())
    }

    fn sync(&self) -> io::Result<()> {
        (self.before.0)();
        self.inner.sync()
    }

    fn lock(&self) -> io::Result<bool> {
        self.inner.lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }

    fn room(&self) -> io::Result<u64> {
        self.inner.room()
    }
}

impl File for ThroughFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if std::mem::take(&mut *self.owed.lock().unwrap()) {
            self.inner.sync()?;
        }
        self.inner.write_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        (self.before.0)();
        if self.hasty {
            *self.owed.lock().unwrap() = true;
            return Ok(());
        }
        self.inner.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
