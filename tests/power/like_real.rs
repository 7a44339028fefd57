//! As long as nothing fails, the simulated disk and the machine's own file system give the same answers.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sigchain::disk::{self, File, Folder, Lenience};

use crate::power::sim::{Sim, What};
use crate::support::{Random, rounds};

const OPERATIONS: usize = 10_000;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "sub", "deep"];

/// The same thing on both.
type Pair<T> = (T, T);

/// What both give, if it is not an error.
fn both<T>(what: &str, one: io::Result<T>, other: io::Result<T>) -> Option<Pair<T>> {
    let kinds = [&one, &other].map(|result| result.as_ref().err().map(io::Error::kind));
    assert_eq!(kinds[0], kinds[1], "{what}: on the simulated disk and on the real one");
    Some((one.ok()?, other.ok()?))
}

/// What both say, which has to be the same, if it is not an error.
fn same<T: PartialEq + Debug>(what: &str, one: io::Result<T>, other: io::Result<T>) -> Option<T> {
    let (one, other) = both(what, one, other)?;
    assert_eq!(one, other, "{what}: on the simulated disk and on the real one");
    Some(one)
}

struct Two {
    sim: Sim,
    path: PathBuf,
    random: Random,
    folders: Vec<Pair<Arc<dyn Folder>>>,
    files: Vec<Pair<Box<dyn File>>>,
    seen: BTreeSet<String>,
}

impl Two {
    fn roots(&self) -> Pair<Arc<dyn Folder>> {
        (self.sim.root(), disk::open(&self.path, lenience()).unwrap())
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.random.below(NAMES.len())]
    }

    /// Notes that an operation with this outcome was compared.
    fn see<T>(&mut self, what: &str, outcome: Option<T>) -> Option<T> {
        self.seen.insert(format!("{what} {}", outcome.is_some()));
        outcome
    }

    fn step(&mut self) {
        let folder = self.random.below(self.folders.len());
        let folder = (self.folders[folder].0.clone(), self.folders[folder].1.clone());
        let (name, to) = (self.name(), self.name());
        match self.random.below(20) {
            0 | 1 => {
                let made = both("create", folder.0.create(name), folder.1.create(name));
                if let Some(made) = self.see("create", made) {
                    self.files.push(made);
                }
            }
            2 | 3 => {
                let writable = self.random.below(3) > 0;
                let opened =
                    both("open", folder.0.open(name, writable), folder.1.open(name, writable));
                if let Some(opened) = self.see("open", opened) {
                    self.files.push(opened);
                }
            }
            4 => {
                let done = same("rename", folder.0.rename(name, to), folder.1.rename(name, to));
                self.see("rename", done);
            }
            5 => {
                let done = same("remove", folder.0.remove(name), folder.1.remove(name));
                self.see("remove", done);
            }
            6 => {
                let (name, create) = (if to < "d" { name } else { "sub" }, to < "c");
                let found =
                    both("folder", folder.0.folder(name, create), folder.1.folder(name, create));
                if let Some(found) = self.see("folder", found) {
                    self.folders.push(found);
                }
            }
            7 => {
                let locked = same("lock", folder.0.lock(), folder.1.lock());
                self.see(&format!("lock {locked:?}"), locked);
            }
            8 if self.random.below(10) == 0 => {
                same("sync", folder.0.sync(), folder.1.sync()).unwrap();
            }
            9 => self.let_go(),
            10 => self.folders.push(self.roots()),
            _ => self.file_step(),
        }
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        same("names", folder.0.names().map(sorted), folder.1.names().map(sorted)).unwrap();
    }

    fn file_step(&mut self) {
        if self.files.is_empty() {
            return;
        }
        let file = self.random.below(self.files.len());
        let far = if self.random.below(8) == 0 { 20_000 } else { 600 };
        let offset = match self.files[file].0.len().unwrap() {
            len if self.random.below(2) == 0 => len,
            _ => u64::try_from(self.random.below(far)).unwrap(),
        };
        let length = [0, 1, 3, 100, 511, 512, 513, 5000][self.random.below(8)];
        match self.random.below(20) {
            0..=8 => {
                let mut bytes = vec![0; length];
                bytes.fill_with(|| self.random.bytes::<1>()[0]);
                let (one, other) = &self.files[file];
                let done =
                    same("write", one.write_at(&bytes, offset), other.write_at(&bytes, offset));
                self.see("write", done);
            }
            9 => {
                let (one, other) = &self.files[file];
                same("sync", one.sync(), other.sync()).unwrap();
            }
            _ => {
                let (one, other) = &self.files[file];
                let (mut left, mut right) = (vec![7; length], vec![7; length]);
                let read =
                    same("read", one.read_at(&mut left, offset), other.read_at(&mut right, offset));
                assert_eq!(left, right);
                same("len", one.len(), other.len()).unwrap();
                same("is_empty", one.is_empty(), other.is_empty()).unwrap();
                self.see("read", read);
            }
        }
    }

    /// Closes something.
    fn let_go(&mut self) {
        if self.files.len() > 20 {
            let one = self.random.below(self.files.len());
            self.files.swap_remove(one);
        }
        if self.folders.len() > 4 {
            let one = self.random.below(self.folders.len());
            self.folders.swap_remove(one);
        }
    }
}

fn lenience() -> Lenience {
    Lenience { network: true, memory: true }
}

#[test]
fn answers_are_those_of_a_real_folder() {
    let mut seen = BTreeSet::new();
    for seed in 0..u64::try_from(rounds(1, 20)).unwrap() {
        let within = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = within.path().join("disk");
        drop(disk::create(&path, lenience()).unwrap());
        let sim = Sim::new(seed);
        let random = Random::new(seed);
        let (folders, files) = (Vec::new(), Vec::new());
        let mut two = Two { sim, path, random, folders, files, seen: BTreeSet::new() };
        two.folders.push(two.roots());
        for _ in 0..OPERATIONS {
            two.step();
        }
        assert!(two.sim.steps().iter().any(|s| matches!(s.what, What::Write { len: 5000, .. })));
        seen.extend(two.seen);
    }
    let outcomes = ["create", "open", "rename", "remove", "folder", "write"];
    let outcomes = outcomes.iter().flat_map(|o| [format!("{o} true"), format!("{o} false")]);
    let locks = ["lock Some(true) true", "lock Some(false) true", "read true"].map(str::to_owned);
    for outcome in outcomes.chain(locks) {
        assert!(seen.contains(&outcome), "never seen: {outcome}: {seen:?}");
    }
}
