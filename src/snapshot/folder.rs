//! The folder of snapshots beside a ledger's segments: a file each, and few enough of them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::codec::len_u64;
use crate::disk::Folder;
use crate::snapshot::{EVERY, HEAD_MAX, STATE_MAX, Snapshot};

/// Its name.
const FOLDER: &str = "snapshots";
/// The last snapshots, which are kept all.
const DENSE: usize = 16;
/// Entries from one of the older ones to the next, where there are few. Measured with 10 million entries of some 550 bytes: about a
/// microsecond of a core for each entry behind the nearest one, and 37 to 41 ms for the worst of 200 points.
const SPARSE: u64 = 4 * EVERY;
/// How many of the older ones there are, at most.
const SPARSE_MAX: usize = 2048;

/// The snapshots of one projection.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    folder: Arc<dyn Folder>,
    /// The id of the projection.
    id: &'static str,
}

impl Snapshots {
    /// Those of a ledger in this folder. With `create` the folder for them is made where there is none.
    pub(crate) fn of(ledger: &dyn Folder, id: &'static str, create: bool) -> io::Result<Self> {
        Ok(Self { folder: ledger.folder(FOLDER, create)?, id })
    }

    fn name(&self, sequence: u64) -> String {
        format!("{}-{sequence:016}", self.id)
    }

    /// The entries of which there are files, whatever is in these.
    pub(crate) fn sequences(&self) -> io::Result<BTreeSet<u64>> {
        let of = |name: String| {
            let sequence = name.strip_prefix(self.id)?.strip_prefix('-')?.parse().ok()?;
            (self.name(sequence) == name).then_some(sequence)
        };
        Ok(self.folder.names()?.into_iter().filter_map(of).collect())
    }

    /// The snapshot of an entry, if its file holds one.
    pub(crate) fn read(&self, sequence: u64) -> io::Result<Option<Snapshot>> {
        let file = self.folder.open(&self.name(sequence), false)?;
        let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if length > STATE_MAX.saturating_add(HEAD_MAX) {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        file.read_all_at(&mut bytes, 0)?;
        Ok(Snapshot::parse(&bytes).ok())
    }

    /// Writes a snapshot, in place of what its file held, unless it is too large to be kept; says whether it was written. It is not synced:
    /// one that a power cut has torn is not used.
    pub(crate) fn write(&self, snapshot: &Snapshot) -> io::Result<bool> {
        if snapshot.size() > len_u64(STATE_MAX) {
            return Ok(false);
        }
        let name = self.name(snapshot.subject().sequence);
        self.remove(&name)?;
        self.folder.create(&name)?.write_at(&snapshot.encode(), 0)?;
        Ok(true)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.folder.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes away those that stand too near to others.
    pub(crate) fn thin(&self) -> io::Result<()> {
        let there = self.sequences()?;
        for sequence in there.difference(&kept(&there)) {
            self.remove(&self.name(*sequence))?;
        }
        Ok(())
    }
}

/// Which of these are kept: the last ones, and of the others the first in each stretch of so many entries, the longer the more there
/// are.
fn kept(there: &BTreeSet<u64>) -> BTreeSet<u64> {
    let old = there.len().saturating_sub(DENSE);
    let mut kept: BTreeSet<u64> = there.iter().skip(old).copied().collect();
    let mut span = SPARSE;
    let sparse = loop {
        let mut last = None;
        let is_first = |sequence: &&u64| last.replace(*sequence / span) != Some(*sequence / span);
        let sparse: Vec<u64> = there.iter().take(old).filter(is_first).copied().collect();
        if sparse.len() <= SPARSE_MAX {
            break sparse;
        }
        span = span.saturating_mul(2);
    };
    kept.extend(sparse);
    kept
}

/// Whether a snapshot that is made of this size would still be kept when there are `size` entries: others are not worth their signature.
pub(crate) fn is_kept(made_at: u64, size: u64) -> bool {
    let near = EVERY.saturating_mul(u64::try_from(DENSE).unwrap_or(u64::MAX));
    size.saturating_sub(made_at) < near || made_at.is_multiple_of(SPARSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_kept_and_near_every_point() {
        let mut there = BTreeSet::new();
        for made in 1..=40_000 {
            there.insert(made * EVERY - 1);
            if made % 8 == 0 || made < 2000 {
                there = kept(&there);
            }
        }
        assert!(there.len() <= SPARSE_MAX + DENSE, "{}", there.len());
        let all: Vec<u64> = there.into_iter().collect();
        let far = all.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        // 40,000 times 8,192 entries, in at most so many stretches.
        assert!(far <= 2 * 8 * SPARSE && all[0] < 8 * SPARSE, "{far}, {}", all[0]);
        let last: Vec<u64> = all.iter().rev().take(DENSE).rev().copied().collect();
        assert!(last.windows(2).all(|pair| pair[1] - pair[0] == EVERY));
    }
}
