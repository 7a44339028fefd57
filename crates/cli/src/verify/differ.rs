//! Where two files of one chain differ, whether or not a fork can be proved from it: "no proof" is not "the same".

use std::collections::BTreeSet;
use std::io::Read;

use sigchain::chainfile::{Block, OpenError, Reader};
use sigchain::digest::Digest;
use sigchain::frame::{Frame, Written};
use sigchain::reserved::Reserved;

/// Differing pairs that are kept until it is known which of them the chain abandoned; more are not waited for.
const PAIRS_KEPT: usize = 1024;

struct Walk<R> {
    reader: Reader<R>,
    block: Block,
    at: usize,
    abandoned: BTreeSet<Digest>,
}

impl<R: Read> Walk<R> {
    fn open(source: R) -> Result<Self, OpenError> {
        let mut reader = Reader::open(source)?;
        let block = reader.block(1, 0)?;
        Ok(Self { reader, block, at: 0, abandoned: BTreeSet::new() })
    }

    /// Sequence and digest of the next entry that can be read.
    fn next(&mut self) -> Result<Option<(u64, Digest)>, OpenError> {
        loop {
            let Some(raw) = self.block.frames().get(self.at) else {
                self.block = self.reader.block(256, 1 << 20)?;
                self.at = 0;
                if self.block.frames().is_empty() {
                    return Ok(None);
                }
                continue;
            };
            self.at += 1;
            if let Ok(Frame::Entry(written)) = self.block.parse(raw) {
                let found = abandoned(&written);
                let sequence = written.fields.sequence;
                let id = if sequence == 0 { Digest::ZERO } else { self.reader.chain_id() };
                let digest = written.fields.digest(&id);
                self.abandoned.extend(found);
                return Ok(Some((sequence, digest)));
            }
        }
    }
}

/// The digests that this entry lists as abandoned.
fn abandoned(written: &Written<'_>) -> Vec<Digest> {
    let fields = &written.fields;
    if !fields.event_type.starts_with("chain.") {
        return Vec::new();
    }
    match Reserved::parse(&fields.event_type, &written.part, fields.sequence) {
        Ok(Reserved::Abandoned { entries, .. }) => {
            entries.into_iter().map(|(_, digest)| digest).collect()
        }
        _ => Vec::new(),
    }
}

/// The first sequence that both files hold with different entries, neither of them abandoned.
pub(super) fn first(a: impl Read, b: impl Read) -> Result<Option<u64>, OpenError> {
    let (mut a, mut b) = (Walk::open(a)?, Walk::open(b)?);
    let mut pairs = Vec::new();
    let (mut left, mut right) = (a.next()?, b.next()?);
    while let (Some((x, of_x)), Some((y, of_y))) = (left, right) {
        if x == y && of_x != of_y && pairs.len() < PAIRS_KEPT {
            pairs.push((x, of_x, of_y));
        }
        if x <= y {
            left = a.next()?;
        }
        if y <= x {
            right = b.next()?;
        }
    }
    // What abandons an entry may stand in the longer file only.
    while left.is_some() {
        left = a.next()?;
    }
    while right.is_some() {
        right = b.next()?;
    }
    let is_abandoned = |digest| a.abandoned.contains(digest) || b.abandoned.contains(digest);
    let mut real = pairs.iter().filter(|(_, x, y)| !is_abandoned(x) && !is_abandoned(y));
    Ok(real.next().map(|(sequence, ..)| *sequence))
}
