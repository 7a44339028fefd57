//! The names in one simulated folder: what the process sees, what is durable, and what a power cut leaves of the changes between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::support::Random;

/// Names, and the number of the file or folder that each stands for.
pub type Map = BTreeMap<Arc<str>, usize>;

/// A folder's names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    live: Map,
    durable: Map,
    /// Changes since the last successful sync, oldest first.
    pending: Vec<Change>,
    /// How many of `pending` a failed sync has marked clean. As long as nothing is added to them, asking again does nothing and reports
    /// success; a further change makes the next sync write all names.
    tried: usize,
}

#[derive(Clone, Debug)]
enum Change {
    Add(Arc<str>, usize),
    Rename(Arc<str>, Arc<str>),
    Remove(Arc<str>),
}

impl Change {
    fn apply(&self, names: &mut Map) {
        match self {
            Self::Add(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let (one, other) = match self {
            Self::Add(name, _) | Self::Remove(name) => (name, None),
            Self::Rename(from, to) => (from, Some(to)),
        };
        [Some(one), other].into_iter().flatten().map(|name| &**name)
    }
}

impl Names {
    /// A folder after a power cut: all names are durable.
    pub fn durable(names: Map) -> Self {
        Self { live: names.clone(), durable: names, ..Self::default() }
    }

    pub fn get(&self, name: &str) -> Option<usize> {
        self.live.get(name).copied()
    }

    pub fn live(&self) -> &Map {
        &self.live
    }

    /// Those that the medium holds.
    pub fn on_medium(&self) -> &Map {
        &self.durable
    }

    pub fn add(&mut self, name: &str, node: usize) {
        self.change(Change::Add(name.into(), node));
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        self.change(Change::Rename(from.into(), to.into()));
    }

    pub fn remove(&mut self, name: &str) {
        self.change(Change::Remove(name.into()));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// A sync that reports success.
    pub fn sync(&mut self) {
        if self.pending.len() > self.tried {
            self.durable.clone_from(&self.live);
            self.pending.clear();
            self.tried = 0;
        }
    }

    /// A sync that reports failure: nothing became durable, and all of it counts as clean.
    pub fn fail_sync(&mut self) {
        self.tried = self.pending.len();
    }

    /// What a power cut leaves: any of the changes, as long as those of one name stay in order. A rename is one change: the file has
    /// its old name or its new one, never both and never neither.
    pub fn after_cut(&self, random: &mut Random) -> Map {
        let mut names = self.durable.clone();
        let mood = random.below(4);
        let mut behind = BTreeSet::new();
        for change in &self.pending {
            let keeps = match mood {
                0 => true,
                1 => false,
                _ => random.below(2) == 0,
            };
            if keeps && !change.names().any(|name| behind.contains(name)) {
                change.apply(&mut names);
            } else {
                behind.extend(change.names());
            }
        }
        names
    }
}
