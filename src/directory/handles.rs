//! Handles: a segment that is full is opened when it is read and may be closed again, so that a ledger does not need more of them the
//! longer it gets. A process that has none left can neither write nor verify.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::directory::standin;
use crate::disk::{DiskError, File, Folder};
use crate::sync::Mutex;

/// Most segments that are kept open, besides the last one.
const OPEN_MAX: usize = 8;

/// The segments that were read last.
#[derive(Debug)]
pub(super) struct Handles {
    folder: Arc<dyn Folder>,
    /// Name and file; the one read last comes first.
    open: Mutex<VecDeque<(String, Arc<dyn File>)>>,
}

impl Handles {
    pub(super) fn new(folder: Arc<dyn Folder>) -> Arc<Self> {
        Arc::new(Self { folder, open: Mutex::default() })
    }

    /// The folder.
    pub(super) fn folder(&self) -> Arc<dyn Folder> {
        Arc::clone(&self.folder)
    }

    /// A segment, or what stands in for it, to read.
    pub(super) fn shut(self: &Arc<Self>, name: String) -> Arc<dyn File> {
        Arc::new(Shut { handles: Arc::clone(self), name })
    }

    fn get(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock();
        let known = open.iter().position(|(known, _)| *known == name);
        let file = match known.and_then(|at| open.remove(at)) {
            Some((_, file)) => file,
            // Only to read: one that is full may well be closed to all writing.
            None => {
                self.folder.open(name, false).map_err(|error| self.explain(name, error))?.into()
            }
        };
        open.truncate(OPEN_MAX - 1);
        open.push_front((name.to_owned(), Arc::clone(&file)));
        Ok(file)
    }

    /// A file that is gone may have been exchanged for one that stands in for it, or the other way round.
    fn explain(&self, name: &str, error: io::Error) -> io::Error {
        let is_exchanged = error.kind() == io::ErrorKind::NotFound
            && standin::other_name(name)
                .is_some_and(|other| self.folder.names().is_ok_and(|names| names.contains(&other)));
        if !is_exchanged {
            return error;
        }
        let what = "entries were archived, or brought back, since it was opened";
        DiskError::new("LEDGER_MOVED", name, what, "open the ledger again")
            .into_io(io::ErrorKind::Other)
    }
}

/// A segment that need not be open.
#[derive(Debug)]
struct Shut {
    handles: Arc<Handles>,
    name: String,
}

impl File for Shut {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a segment that is full is only read"))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.handles.get(&self.name)?.read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a segment that is full is only read"))
    }

    fn len(&self) -> io::Result<u64> {
        self.handles.get(&self.name)?.len()
    }
}
