//! A folder in memory of which a copy costs next to nothing: thousands of copies are made, and one byte of each is altered.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sigchain::disk::{File, Folder};

/// The bytes of a file, shared with all copies until somebody writes.
type Bytes = Arc<Mutex<Arc<Vec<u8>>>>;

#[derive(Clone, Debug)]
enum Node {
    File(Bytes),
    Folder(Ram),
}

/// The folder. Clones are the same one; [`Ram::copy`] is another.
#[derive(Clone, Default)]
pub struct Ram(Arc<Inner>);

#[derive(Default)]
struct Inner {
    names: Mutex<BTreeMap<String, Node>>,
    is_locked: AtomicBool,
}

impl fmt::Debug for Ram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ram")
    }
}

fn error<T>(kind: ErrorKind) -> io::Result<T> {
    Err(kind.into())
}

impl Ram {
    /// A folder as another process would open it.
    pub fn open(&self) -> Arc<dyn Folder> {
        Arc::new(Handle { ram: self.clone(), is_mine: AtomicBool::new(false) })
    }

    /// Another folder with the same files.
    pub fn copy(&self) -> Self {
        let copied = |(name, node): (&String, &Node)| {
            let node = match node {
                Node::File(bytes) => {
                    Node::File(Arc::new(Mutex::new(Arc::clone(&bytes.lock().unwrap()))))
                }
                Node::Folder(ram) => Node::Folder(ram.copy()),
            };
            (name.clone(), node)
        };
        let names = self.0.names.lock().unwrap().iter().map(copied).collect();
        Self(Arc::new(Inner { names: Mutex::new(names), is_locked: AtomicBool::new(false) }))
    }

    /// Paths and contents of all files, in order.
    pub fn files(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        let mut found = Vec::new();
        for (name, node) in self.0.names.lock().unwrap().iter() {
            match node {
                Node::File(bytes) => found.push((name.clone(), Arc::clone(&bytes.lock().unwrap()))),
                Node::Folder(ram) => {
                    let within = ram.files().into_iter();
                    found.extend(within.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
                }
            }
        }
        found
    }

    /// Gives a file this content; made with the folders above it if it is not there.
    pub fn set(&self, path: &str, content: Vec<u8>) {
        let mut names = self.0.names.lock().unwrap();
        if let Some((first, rest)) = path.split_once('/') {
            let node = names.entry(first.to_owned()).or_insert(Node::Folder(Self::default()));
            let Node::Folder(ram) = node else { panic!("{path}: a file stands above it") };
            ram.set(rest, content);
        } else {
            let bytes = Arc::new(Mutex::new(Arc::new(content)));
            names.insert(path.to_owned(), Node::File(bytes));
        }
    }

    pub fn get(&self, path: &str) -> Option<Arc<Vec<u8>>> {
        self.files().into_iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes)
    }
}

#[derive(Debug)]
struct Handle {
    ram: Ram,
    is_mine: AtomicBool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_mine.load(Ordering::SeqCst) {
            self.ram.0.is_locked.store(false, Ordering::SeqCst);
        }
    }
}

impl Folder for Handle {
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut names = self.ram.0.names.lock().unwrap();
        if names.contains_key(name) {
            return error(ErrorKind::AlreadyExists);
        }
        let bytes = Bytes::default();
        names.insert(name.to_owned(), Node::File(Arc::clone(&bytes)));
        Ok(Box::new(Open(bytes)))
    }

    fn open(&self, name: &str, _: bool) -> io::Result<Box<dyn File>> {
        match self.ram.0.names.lock().unwrap().get(name) {
            Some(Node::File(bytes)) => Ok(Box::new(Open(Arc::clone(bytes)))),
            Some(Node::Folder(_)) => error(ErrorKind::IsADirectory),
            None => error(ErrorKind::NotFound),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = self.ram.0.names.lock().unwrap();
        if names.contains_key(to) {
            return error(ErrorKind::AlreadyExists);
        }
        let Some(node) = names.remove(from) else { return error(ErrorKind::NotFound) };
        names.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.ram.0.names.lock().unwrap().remove(name);
        removed.map_or(error(ErrorKind::NotFound), |_| Ok(()))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.ram.0.names.lock().unwrap().keys().cloned().collect())
    }

    fn folder(&self, name: &str, create: bool) -> io::Result<Arc<dyn Folder>> {
        let mut names = self.ram.0.names.lock().unwrap();
        match names.get(name) {
            Some(Node::Folder(ram)) => Ok(ram.open()),
            Some(Node::File(_)) => error(ErrorKind::NotADirectory),
            None if create => {
                let ram = Ram::default();
                names.insert(name.to_owned(), Node::Folder(ram.clone()));
                Ok(ram.open())
            }
            None => error(ErrorKind::NotFound),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<bool> {
        if !self.is_mine.load(Ordering::SeqCst) {
            let was_free = !self.ram.0.is_locked.swap(true, Ordering::SeqCst);
            self.is_mine.store(was_free, Ordering::SeqCst);
        }
        Ok(self.is_mine.load(Ordering::SeqCst))
    }

    fn unlock(&self) -> io::Result<()> {
        if self.is_mine.swap(false, Ordering::SeqCst) {
            self.ram.0.is_locked.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    fn room(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

#[derive(Debug)]
struct Open(Bytes);

impl File for Open {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        let content = Arc::make_mut(&mut content);
        let at = usize::try_from(offset).unwrap();
        let end = at + bytes.len();
        content.resize(content.len().max(end), 0);
        content[at..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = Arc::clone(&self.0.lock().unwrap());
        content.as_slice().read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.0.lock().unwrap().len()).unwrap())
    }
}
