//! One simulated file: what the process reads, what is durable, and what a power cut leaves of the writes between the two.

use std::collections::BTreeSet;
use std::mem;
use std::ops::Range;

use crate::support::Random;

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// A file's bytes.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// What the process reads: the page cache.
    cache: Vec<u8>,
    /// What the last successful sync left on the medium.
    durable: Vec<u8>,
    /// Writes since then, oldest first.
    pending: Vec<Write>,
    /// How many of `pending` a failed sync has marked clean: the next sync neither writes them nor complains.
    tried: usize,
    /// Sectors that a failed sync has lost. They read well and are synced without complaint, but the medium keeps what it had.
    lost: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
struct Write {
    offset: usize,
    bytes: Vec<u8>,
    /// The file's length before it.
    before: usize,
}

/// What becomes of one write that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    Dropped,
    /// Each sector written or dropped.
    Torn,
    Garbage,
    /// What another sector of the file holds.
    Stale,
    Zeros,
    /// Each sector with a fate of its own.
    Mixed,
}

const SECTOR_FATES: [Fate; 5] =
    [Fate::Written, Fate::Dropped, Fate::Garbage, Fate::Stale, Fate::Zeros];
const FATES: [Fate; 7] = [
    Fate::Written,
    Fate::Dropped,
    Fate::Torn,
    Fate::Garbage,
    Fate::Stale,
    Fate::Zeros,
    Fate::Mixed,
];

impl Write {
    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }

    fn sectors(&self) -> Range<usize> {
        self.offset / SECTOR..self.end().div_ceil(SECTOR)
    }

    /// The part of a sector that it covers, as a range of the file.
    fn within(&self, sector: usize) -> Range<usize> {
        self.offset.max(sector * SECTOR)..self.end().min((sector + 1) * SECTOR)
    }

    fn put(&self, bytes: &mut [u8], sector: usize) {
        let range = self.within(sector);
        let own = range.start - self.offset..range.end - self.offset;
        bytes[range].copy_from_slice(&self.bytes[own]);
    }
}

impl Content {
    /// A file after a power cut: everything in it is durable.
    pub fn durable(bytes: Vec<u8>) -> Self {
        Self { cache: bytes.clone(), durable: bytes, ..Self::default() }
    }

    /// What the medium holds.
    pub fn on_medium(&self) -> &[u8] {
        &self.durable
    }

    /// What the process reads.
    pub fn in_cache(&self) -> &[u8] {
        &self.cache
    }

    pub fn len(&self) -> usize {
        self.cache.len()
    }

    pub fn read(&self, buffer: &mut [u8], offset: usize) -> usize {
        let found = self.cache.get(offset..).unwrap_or_default();
        let count = found.len().min(buffer.len());
        buffer[..count].copy_from_slice(&found[..count]);
        count
    }

    pub fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let write = Write { offset, bytes: bytes.to_vec(), before: self.cache.len() };
        self.cache.resize(write.before.max(write.end()), 0);
        self.cache[offset..write.end()].copy_from_slice(bytes);
        self.pending.push(write);
    }

    /// A sync that reports success. What was lost before stays lost.
    pub fn sync(&mut self) {
        self.durable.resize(self.cache.len(), 0);
        self.tried = 0;
        for write in mem::take(&mut self.pending) {
            for sector in write.sectors().filter(|sector| !self.lost.contains(sector)) {
                write.put(&mut self.durable, sector);
            }
        }
    }

    /// A sync that reports failure, as on ext4: of what was dirty at least one sector is lost for good, and all of it counts as clean.
    pub fn fail_sync(&mut self, random: &mut Random) {
        let dirty: BTreeSet<_> =
            self.pending[self.tried..].iter().flat_map(Write::sectors).collect();
        self.tried = self.pending.len();
        if dirty.is_empty() {
            return;
        }
        let (all, one) = (random.below(2) == 0, random.below(dirty.len()));
        let lost = dirty.into_iter().enumerate();
        let lost = lost.filter(|(i, _)| all || *i == one || random.below(2) == 0);
        self.lost.extend(lost.map(|(_, sector)| sector));
    }

    /// What a power cut leaves. With `spill` garbage does not stop at synced bytes in the same sector.
    pub fn after_cut(&self, random: &mut Random, spill: bool) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        if self.pending.is_empty() {
            return bytes;
        }
        let length = self.length_after_cut(random);
        bytes.resize(self.cache.len(), 0);
        let mood = random.below(4);
        for write in &self.pending {
            let fate = match mood {
                0 => Fate::Written,
                1 => Fate::Dropped,
                _ => FATES[random.below(FATES.len())],
            };
            for sector in write.sectors().filter(|sector| !self.lost.contains(sector)) {
                self.strike(&mut bytes, write, sector, fate, random, spill);
            }
        }
        bytes.truncate(length);
        bytes
    }

    /// One of the lengths that the file has had since it was synced. A write passes through all between its start and its end.
    fn length_after_cut(&self, random: &mut Random) -> usize {
        let grown: Vec<_> = self.pending.iter().filter(|w| w.end() > w.before).collect();
        match random.below(4) {
            0 => self.durable.len(),
            _ if grown.is_empty() => self.cache.len(),
            1 => self.cache.len(),
            2 => grown[random.below(grown.len())].end(),
            _ => {
                let write = grown[random.below(grown.len())];
                let least = write.before.max(write.offset) + 1;
                least + random.below(write.end() - least + 1)
            }
        }
    }

    fn strike(
        &self,
        bytes: &mut [u8],
        write: &Write,
        sector: usize,
        fate: Fate,
        random: &mut Random,
        spill: bool,
    ) {
        let fate = match fate {
            Fate::Torn => SECTOR_FATES[random.below(2)],
            Fate::Mixed => SECTOR_FATES[random.below(SECTOR_FATES.len())],
            fate => fate,
        };
        let struck = self.struck(write, sector, spill);
        match fate {
            Fate::Written => write.put(bytes, sector),
            Fate::Zeros => bytes[struck].fill(0),
            Fate::Stale => {
                let from = random.below(self.durable.len() / SECTOR + 1) * SECTOR;
                for at in struck {
                    let stale = self.durable.get(from + at % SECTOR);
                    bytes[at] = stale.copied().unwrap_or(0);
                }
            }
            Fate::Garbage => {
                for chunk in bytes[struck].chunks_mut(8) {
                    let count = chunk.len();
                    chunk.copy_from_slice(&random.next().to_be_bytes()[..count]);
                }
            }
            Fate::Dropped | Fate::Torn | Fate::Mixed => {}
        }
    }

    /// The bytes of a sector that garbage may take: all that are not durable, and those that were overwritten. A disk whose sectors
    /// fail as a whole (`spill`) takes the sector: no file that grows in place can be kept on it.
    fn struck(&self, write: &Write, sector: usize, spill: bool) -> Range<usize> {
        let whole = sector * SECTOR..self.cache.len().min((sector + 1) * SECTOR);
        if spill {
            return whole;
        }
        let (own, synced) = (write.within(sector), self.durable.len());
        let start = own.start.min(whole.start.max(synced));
        start..if own.end < synced { own.end } else { whole.end }
    }
}
