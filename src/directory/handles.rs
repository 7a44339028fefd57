//! Handles: a segment that is full is opened when it is read and may be closed again, so that a ledger does not need more of them the
//! longer it gets. A process that has none left can neither write nor verify.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::directory::name_of;
use crate::disk::{File, Folder};
use crate::sync::Mutex;

/// Most segments that are kept open, besides the last one.
const OPEN_MAX: usize = 8;

/// The segments that were read last.
#[derive(Debug)]
pub(super) struct Handles {
    folder: Arc<dyn Folder>,
    /// Number and file; the one read last comes first.
    open: Mutex<VecDeque<(u64, Arc<dyn File>)>>,
}

impl Handles {
    pub(super) fn new(folder: Arc<dyn Folder>) -> Arc<Self> {
        Arc::new(Self { folder, open: Mutex::default() })
    }

    /// The folder.
    pub(super) fn folder(&self) -> Arc<dyn Folder> {
        Arc::clone(&self.folder)
    }

    /// A segment, to read.
    pub(super) fn shut(self: &Arc<Self>, ordinal: u64) -> Arc<dyn File> {
        Arc::new(Shut { handles: Arc::clone(self), ordinal })
    }

    fn get(&self, ordinal: u64) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock();
        let known = open.iter().position(|(number, _)| *number == ordinal);
        let file = match known.and_then(|at| open.remove(at)) {
            Some((_, file)) => file,
            // Only to read: one that is full may well be closed to all writing.
            None => self.folder.open(&name_of(ordinal), false)?.into(),
        };
        open.truncate(OPEN_MAX - 1);
        open.push_front((ordinal, Arc::clone(&file)));
        Ok(file)
    }
}

/// A segment that need not be open.
#[derive(Debug)]
struct Shut {
    handles: Arc<Handles>,
    ordinal: u64,
}

impl File for Shut {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a segment that is full is only read"))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.handles.get(self.ordinal)?.read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a segment that is full is only read"))
    }

    fn len(&self) -> io::Result<u64> {
        self.handles.get(self.ordinal)?.len()
    }
}
