//! A ledger as what a mirror is of, and the mirror that a ledger on files keeps of itself. Nothing is told to the mirror: it asks, and
//! what it is told is durable.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::digest::Digest;
use crate::disk::{self, DiskError, Lenience};
use crate::ledger::Ledger;
use crate::ledger::observe;
use crate::ledger::shared::Shared;
use crate::mirror::{Mirror, Mirrored, Mirroring, Options};
use crate::store::Frames;

impl Shared {
    fn size(&self) -> u64 {
        self.lock().state.head.sequence.saturating_add(1)
    }
}

impl Mirrored for Shared {
    fn chain_id(&self) -> Digest {
        self.lock().state.chain.id()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(Self::size(self))
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        // A store may have taken more than the ledger has been told that it has.
        let durable = Self::size(self).saturating_sub(first);
        let count = count.min(usize::try_from(durable).unwrap_or(usize::MAX));
        self.store.read(first, count, frames)
    }

    fn hashes(&self, first: u64, count: u64) -> io::Result<Vec<Digest>> {
        let chain_id = Mirrored::chain_id(self);
        let hashes = self.prove(&chain_id, &self.frontier(), |nodes, leaves| {
            nodes.hashes(first, count, leaves)
        })?;
        hashes.ok_or_else(|| {
            io::Error::other(format!("no hashes of {count} entries from {first} on"))
        })
    }
}

impl Mirrored for Ledger {
    fn chain_id(&self) -> Digest {
        Self::chain_id(self)
    }

    fn size(&self) -> io::Result<u64> {
        Mirrored::size(&**self.shared())
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        self.shared().read(first, count, frames)
    }

    fn hashes(&self, first: u64, count: u64) -> io::Result<Vec<Digest>> {
        self.shared().hashes(first, count)
    }
}

/// A ledger that is not kept alive by its mirror: whoever lets go of it must find its files free.
#[derive(Debug)]
struct Behind {
    chain_id: Digest,
    shared: Weak<Shared>,
}

impl Behind {
    fn shared(&self) -> io::Result<Arc<Shared>> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the ledger was let go of");
        self.shared.upgrade().ok_or_else(gone)
    }
}

impl Mirrored for Behind {
    fn chain_id(&self) -> Digest {
        self.chain_id
    }

    fn size(&self) -> io::Result<u64> {
        Mirrored::size(&*self.shared()?)
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        self.shared()?.read(first, count, frames)
    }

    fn hashes(&self, first: u64, count: u64) -> io::Result<Vec<Digest>> {
        self.shared()?.hashes(first, count)
    }
}

/// Where a ledger keeps a mirror of itself, and how.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    path: PathBuf,
    options: Options,
}

impl Wanted {
    pub(super) fn new(path: PathBuf, options: Options) -> Self {
        Self { path, options }
    }

    /// Refuses a place within that of the ledger, or around it: one would take the other's files for its own.
    pub(super) fn check(&self, ledger: &Path) -> io::Result<()> {
        let (own, other) = (resolve(&self.path)?, resolve(ledger)?);
        if !own.starts_with(&other) && !other.starts_with(&own) {
            return Ok(());
        }
        let what = "expected a directory apart from the ledger's, found one within it or around it";
        let refused = DiskError::new(
            "MIRROR_PLACE",
            &self.path.to_string_lossy(),
            what,
            "give the mirror a directory of its own",
        );
        Err(refused.into_io(io::ErrorKind::InvalidInput))
    }

    /// Begins. What goes wrong from here on is told, and tried again.
    fn start(self, shared: &Arc<Shared>, lenience: Lenience) -> io::Result<Mirroring> {
        let Self { path, options } = self;
        let (chain_id, shared) = (Mirrored::chain_id(&**shared), Arc::downgrade(shared));
        let open = move || {
            let of = Arc::new(Behind { chain_id, shared: Weak::clone(&shared) });
            Mirror::open(disk::create(&path, lenience)?, of, options)
        };
        Mirroring::start(open, observe::mirrored)
    }
}

/// Where a path leads, as far as that is there.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let (above, real) = there.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(match path.strip_prefix(above) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    })
}

impl Ledger {
    /// Keeps a mirror from here on, if one is wanted.
    pub(super) fn begin_mirror(&self) -> io::Result<()> {
        let files = self.shared().options.files.clone();
        if let Some(wanted) = files.mirror {
            let begun = wanted.start(self.shared(), files.lenience)?;
            // A ledger is begun once.
            drop(self.handle.mirroring.set(begun));
        }
        Ok(())
    }

    /// The mirror that it keeps, if one was wanted: how far that is, and what is in its way.
    pub fn mirroring(&self) -> Option<&Mirroring> {
        self.handle.mirroring.get()
    }

    /// Has the mirror written to its end. Says what did not go well.
    pub(super) fn end_mirror(&self, deadline: Duration) -> Option<String> {
        let closed = self.mirroring()?.close(deadline);
        closed.err().map(|error| format!("the mirror: {error}"))
    }
}
