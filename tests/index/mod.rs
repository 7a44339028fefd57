//! What is derived from the segments: it answers rightly or not at all, whatever becomes of its files.

mod disk;
mod ledger;
mod runs;
mod sealed;
mod tree;

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sigchain::digest::Digest;
use sigchain::id::EventId;
use sigchain::index::{Content, Source};

/// A segment's content that is owned.
#[derive(Clone, Debug)]
struct Owned {
    source: Source,
    offsets: Vec<u32>,
    ids: Vec<EventId>,
}

impl Owned {
    /// A segment whose entries have these ids.
    fn new(ordinal: u64, first: u64, ids: Vec<EventId>) -> Self {
        let count = u64::try_from(ids.len()).unwrap();
        let offsets = (0..u32::try_from(count).unwrap()).map(|n| 4096 + n * 417).collect();
        let head = Digest::of(&[b"the last entry", &ordinal.to_be_bytes()]);
        let source = Source { ordinal, first, count, length: 4096 + count * 417, head };
        Self { source, offsets, ids }
    }

    fn content(&self) -> Content<'_> {
        Content { source: self.source, offsets: &self.offsets, ids: &self.ids }
    }
}

fn chain() -> Digest {
    Digest::of(&[b"a chain"])
}

fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn id_at(millis: u64, random: &mut StdRng) -> EventId {
    EventId::new(millis, random.random())
}

/// A folder of the machine's, empty.
fn real(name: &str) -> Arc<dyn sigchain::disk::Folder> {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("index-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    let lenience = sigchain::disk::Lenience { network: true, memory: true };
    sigchain::disk::create(&path, lenience).unwrap()
}
