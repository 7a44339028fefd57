//! A folder of the machine with a hook before each operation: to count, to fail, to take turns, and to let others act in between.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use sigchain::disk::{File, Folder};

/// What is about to be done, and to which name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'o> {
    Create(&'o str),
    Open(&'o str),
    Rename(&'o str),
    Remove(&'o str),
    Names,
    /// In the midst of reading names.
    NamesMore,
    Folder(&'o str),
    SyncFolder(&'o str),
    Write(&'o str),
    Read(&'o str),
    Sync(&'o str),
}

type Hook = dyn Fn(Op<'_>) -> io::Result<()> + Send + Sync;

/// A folder whose operations a hook sees first. If the hook fails, nothing is done.
pub struct Hooked {
    inner: Arc<dyn Folder>,
    name: String,
    hook: Arc<Hook>,
    /// Whether syncs reach the machine.
    syncs: bool,
    /// A name that, if it is there when the reading of names begins, is read before all others go.
    early: Option<String>,
}

pub fn hooked(
    inner: Arc<dyn Folder>,
    syncs: bool,
    hook: impl Fn(Op<'_>) -> io::Result<()> + Send + Sync + 'static,
) -> Hooked {
    Hooked { inner, name: String::new(), hook: Arc::new(hook), syncs, early: None }
}

impl Hooked {
    pub fn early(mut self, name: String) -> Self {
        self.early = Some(name);
        self
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooked").field(&self.inner).finish()
    }
}

impl Folder for Hooked {
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        (self.hook)(Op::Create(name))?;
        let inner = self.inner.create(name)?;
        let hook = Arc::clone(&self.hook);
        Ok(Box::new(HookedFile { inner, name: name.to_owned(), hook, syncs: self.syncs }))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Box<dyn File>> {
        (self.hook)(Op::Open(name))?;
        let inner = self.inner.open(name, writable)?;
        let hook = Arc::clone(&self.hook);
        Ok(Box::new(HookedFile { inner, name: name.to_owned(), hook, syncs: self.syncs }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.hook)(Op::Rename(to))?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (self.hook)(Op::Remove(name))?;
        self.inner.remove(name)
    }

    /// What a file system must give: what is there from beginning to end. Of the rest nothing but the early name.
    fn names(&self) -> io::Result<Vec<String>> {
        (self.hook)(Op::Names)?;
        let mut names = self.inner.names()?;
        (self.hook)(Op::NamesMore)?;
        let after = self.inner.names()?;
        names.retain(|name| after.contains(name) || self.early.as_ref() == Some(name));
        Ok(names)
    }

    fn folder(&self, name: &str, create: bool) -> io::Result<Arc<dyn Folder>> {
        (self.hook)(Op::Folder(name))?;
        Ok(Arc::new(Self {
            inner: self.inner.folder(name, create)?,
            name: name.to_owned(),
            hook: Arc::clone(&self.hook),
            syncs: self.syncs,
            early: self.early.clone(),
        }))
    }

    fn sync(&self) -> io::Result<()> {
        (self.hook)(Op::SyncFolder(&self.name))?;
        if self.syncs { self.inner.sync() } else { Ok(()) }
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

struct HookedFile {
    inner: Box<dyn File>,
    name: String,
    hook: Arc<Hook>,
    syncs: bool,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookedFile").field(&self.inner).finish()
    }
}

impl File for HookedFile {
    /// Where the hook fails, half of it is written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = (self.hook)(Op::Write(&self.name)) {
            self.inner.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.inner.write_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (self.hook)(Op::Read(&self.name))?;
        self.inner.read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        (self.hook)(Op::Sync(&self.name))?;
        if self.syncs { self.inner.sync() } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}

/// A hook that writes down what is done, with random parts of names cut off.
pub fn recorder(log: &Arc<Mutex<Vec<String>>>) -> impl Fn(Op<'_>) -> io::Result<()> + use<> {
    let log = Arc::clone(log);
    move |op| {
        let mut line = format!("{op:?}");
        if let Some(at) = line.find('-') {
            line.replace_range(at.., "-\")");
        }
        log.lock().unwrap().push(line);
        Ok(())
    }
}

/// A hook that fails at the operation of this index, and from there on if `for_ever`, as after a crash.
pub fn failing(at: usize, for_ever: bool) -> impl Fn(Op<'_>) -> io::Result<()> {
    let count = Mutex::new(0);
    move |_| {
        let mut count = count.lock().unwrap();
        let index = *count;
        *count += 1;
        if index == at || (for_ever && index > at) {
            return Err(io::Error::other("failed on purpose"));
        }
        Ok(())
    }
}
