//! A folder in memory that counts, fails where it is told to, and forgets what was not synced.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rand::RngExt as _;
use rand::rngs::StdRng;
use sigchain::disk::{File, Folder};

type Names = BTreeMap<String, Arc<Mutex<Bytes>>>;

#[derive(Clone, Debug, Default)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
}

impl Bytes {
    fn sync(&mut self) {
        self.synced.clone_from(&self.now);
    }
}

#[derive(Default)]
struct Held {
    /// The names as they were after each change since the last sync; the last is now.
    names: Mutex<Vec<Names>>,
    reads: AtomicU64,
    handles: AtomicI64,
    steps: AtomicU64,
    /// The step that fails, and how many after it do too.
    fails: Mutex<Option<(u64, u64)>>,
}

/// The folder. Clones are the same one.
#[derive(Clone)]
pub struct Disk(Arc<Held>);

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

#[derive(Debug)]
struct Open {
    disk: Disk,
    bytes: Arc<Mutex<Bytes>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.disk.0.handles.fetch_sub(1, Relaxed);
    }
}

fn error(kind: io::ErrorKind, what: &str) -> io::Error {
    io::Error::new(kind, what.to_owned())
}

impl Disk {
    pub fn new() -> Self {
        let held = Held { names: Mutex::new(vec![Names::new()]), ..Held::default() };
        Self(Arc::new(held))
    }

    pub fn folder(&self) -> Arc<dyn Folder> {
        Arc::new(self.clone())
    }

    /// Reads of files so far.
    pub fn reads(&self) -> u64 {
        self.0.reads.load(Relaxed)
    }

    /// Files that are open.
    pub fn handles(&self) -> i64 {
        self.0.handles.load(Relaxed)
    }

    /// Changes so far.
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Relaxed)
    }

    /// From `step` on `count` changes fail; those of bytes half-way.
    pub fn fail(&self, step: u64, count: u64) {
        *self.0.fails.lock().unwrap() = Some((step, count));
    }

    pub fn heal(&self) {
        *self.0.fails.lock().unwrap() = None;
    }

    pub fn file_names(&self) -> Vec<String> {
        self.now().into_keys().collect()
    }

    pub fn get(&self, name: &str) -> Vec<u8> {
        self.now()[name].lock().unwrap().now.clone()
    }

    pub fn set(&self, name: &str, content: &[u8]) {
        let bytes = Bytes { now: content.to_vec(), synced: content.to_vec() };
        self.change(|names| names.insert(name.to_owned(), Arc::new(Mutex::new(bytes))));
    }

    /// Makes all as durable as it ever gets.
    pub fn settle(&self) {
        let now = self.now();
        for bytes in now.values() {
            bytes.lock().unwrap().sync();
        }
        *self.0.names.lock().unwrap() = vec![now];
    }

    /// A folder with the same files.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for name in self.file_names() {
            copy.set(&name, &self.get(&name));
        }
        copy.settle();
        copy
    }

    /// What a power cut leaves: of the names any state since the last sync, of the bytes what was synced and any part of the rest.
    pub fn cut(&self, random: &mut StdRng) -> Self {
        let states = self.0.names.lock().unwrap();
        let left = Self::new();
        for (name, bytes) in &states[random.random_range(0..states.len())] {
            let Bytes { now, synced } = bytes.lock().unwrap().clone();
            let mut content = now.clone();
            content.truncate(random.random_range(synced.len().min(now.len())..=now.len()));
            // What was not synced may be anything: here, blocks of zeros.
            for (at, block) in content.chunks_mut(512).enumerate() {
                let was_synced = synced.get(at * 512..at * 512 + block.len());
                if was_synced != Some(&*block) && random.random_bool(0.3) {
                    block.fill(0);
                }
            }
            left.set(name, &content);
        }
        left
    }

    fn now(&self) -> Names {
        self.0.names.lock().unwrap().last().unwrap().clone()
    }

    fn change<T>(&self, with: impl FnOnce(&mut Names) -> T) -> T {
        let mut names = self.now();
        let done = with(&mut names);
        self.0.names.lock().unwrap().push(names);
        done
    }

    fn step(&self) -> io::Result<()> {
        let step = self.0.steps.fetch_add(1, Relaxed);
        let fails = *self.0.fails.lock().unwrap();
        match fails {
            Some((first, count)) if (first..first.saturating_add(count)).contains(&step) => {
                Err(error(io::ErrorKind::StorageFull, "told to fail"))
            }
            _ => Ok(()),
        }
    }

    fn handle(&self, bytes: Arc<Mutex<Bytes>>) -> Box<dyn File> {
        self.0.handles.fetch_add(1, Relaxed);
        Box::new(Open { disk: self.clone(), bytes })
    }
}

impl Folder for Disk {
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.step()?;
        if self.now().contains_key(name) {
            return Err(error(io::ErrorKind::AlreadyExists, name));
        }
        let bytes = Arc::new(Mutex::new(Bytes::default()));
        self.change(|names| names.insert(name.to_owned(), Arc::clone(&bytes)));
        Ok(self.handle(bytes))
    }

    fn open(&self, name: &str, _: bool) -> io::Result<Box<dyn File>> {
        let bytes = self.now().get(name).cloned();
        bytes.map(|b| self.handle(b)).ok_or_else(|| error(io::ErrorKind::NotFound, name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        if self.now().contains_key(to) {
            return Err(error(io::ErrorKind::AlreadyExists, to));
        }
        self.change(|names| {
            let bytes = names.remove(from).ok_or_else(|| error(io::ErrorKind::NotFound, from))?;
            names.insert(to.to_owned(), bytes);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if !self.now().contains_key(name) {
            return Err(error(io::ErrorKind::NotFound, name));
        }
        self.step()?;
        self.change(|names| names.remove(name));
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.file_names())
    }

    fn folder(&self, _: &str, _: bool) -> io::Result<Arc<dyn Folder>> {
        Err(error(io::ErrorKind::Unsupported, "one folder"))
    }

    fn sync(&self) -> io::Result<()> {
        self.step()?;
        let now = self.now();
        *self.0.names.lock().unwrap() = vec![now];
        Ok(())
    }

    fn lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

    fn room(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl File for Open {
    fn write_at(&self, content: &[u8], offset: u64) -> io::Result<()> {
        let failed = self.disk.step();
        let content = if failed.is_ok() { content } else { &content[..content.len() / 2] };
        let mut bytes = self.bytes.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        assert!(start >= bytes.now.len(), "a byte that was written is overwritten");
        bytes.now.resize(start, 0);
        bytes.now.extend_from_slice(content);
        failed
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.0.reads.fetch_add(1, Relaxed);
        let bytes = self.bytes.lock().unwrap();
        let rest = bytes.now.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.step()?;
        self.bytes.lock().unwrap().sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.bytes.lock().unwrap().now.len()).unwrap())
    }
}
