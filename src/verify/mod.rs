//! Verification: reads a file of any length in constant memory, on all cores, and says what it rests on.
//!
//! Content and chain are two phases. The content of frames is checked a block at a time, on any core; the blocks are then
//! judged in order by one. The report is the same however many cores there are.

mod claims;
mod content;
mod judge;
mod report;

#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "std")]
mod parallel;

use std::io::{self, Read, Seek};

use crate::chain::Chain;
use crate::chainfile::{Block, Ending, OpenError, Reader};
use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::fault::{Code, Misfit};
use crate::frame::{Frame, Kind, Written};
use crate::key::{KeyId, Purpose};
use crate::keyring;
use crate::reserved::Reserved;
use crate::verify::content::{Checked, Keys};
use crate::verify::judge::Judge;

pub use crate::verify::report::{
    Anchor, Anchored, Anchors, End, Gaps, KEPT, Payloads, Report, Verdict,
};

/// Frames in a block: enough that a batch of signatures pays.
const BLOCK_FRAMES: usize = 8192;
/// Bytes in a block, unless one frame alone is larger.
const BLOCK_BYTES: usize = 4 << 20;

/// A sound entry 0: the chain that it begins, what is known of it, and who approved it.
type Begun = (Chain, Checked, Vec<KeyId>);

/// Verifies files against what was held before.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    anchors: Anchors,
    #[cfg(feature = "std")]
    threads: usize,
}

impl Verifier {
    /// Against nothing: the file can only be shown to agree with itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Against anchors.
    #[must_use]
    pub fn anchored(mut self, anchors: Anchors) -> Self {
        self.anchors = anchors;
        self
    }

    /// With this many threads for the content phase; as many as there are cores unless said otherwise.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Reads and judges a whole file. An error says that it could not be read; what is wrong with it is in the report.
    pub fn run(&self, source: impl Read) -> io::Result<Report> {
        self.run_from(source, 0)
    }

    /// As `run`, but takes the signatures of entries below the largest checkpoint that was held on the word of that
    /// checkpoint, which covers them. The report says so. Whatever then does not fit is looked at again, whole.
    pub fn run_resuming<S: Read + Seek>(&self, mut source: S) -> io::Result<Report> {
        let start = source.stream_position()?;
        let vouched = self.anchors.checkpoints.iter().map(Checkpoint::size).max().unwrap_or(0);
        let report = self.run_from(&mut source, vouched)?;
        if report.counts.is_empty() && !report.is_anchor_missing() {
            return Ok(report);
        }
        source.seek(io::SeekFrom::Start(start))?;
        self.run_from(source, 0)
    }

    fn run_from(&self, source: impl Read, vouched: u64) -> io::Result<Report> {
        let mut report = Report::new();
        let mut reader = match Reader::open(source) {
            Ok(reader) => reader,
            Err(OpenError::Io(error)) => return Err(error),
            Err(OpenError::Unreadable(fault)) => {
                report.add(fault);
                return Ok(report);
            }
        };
        report.form = Some(reader.form());
        let first = reader.block(1, 0)?;
        match self.begin(&reader, &first) {
            Err((place, sequence, misfit)) => {
                report.add(misfit.at(place, sequence));
                Ok(report)
            }
            Ok((chain, genesis, approvers)) => {
                let anchors = self.anchors.clone();
                let judge = Judge::new(chain, reader.form(), &genesis, approvers, anchors, report);
                self.go_on(reader, judge, vouched)
            }
        }
    }

    /// Judges entry 0. Without a sound one nothing else can be judged, so the first fault ends it.
    fn begin<R: Read>(
        &self,
        reader: &Reader<R>,
        block: &Block,
    ) -> Result<Begun, (u64, Option<u64>, Misfit)> {
        let Some(raw) = block.frames().first() else {
            let misfit = match reader.ending() {
                Some(Ending::Damaged(misfit)) => misfit.clone(),
                _ => Misfit::new(Code::Genesis, "an entry 0", "the end of the file"),
            };
            return Err((reader.place(), None, misfit));
        };
        if raw.kind != Some(Kind::Entry) {
            let misfit = Misfit::new(Code::FrameOrder, "entry 0 after the header", "another frame");
            return Err((raw.place, None, misfit));
        }
        match block.parse(raw) {
            Ok(Frame::Entry(written)) => self
                .genesis(&written, &reader.chain_id())
                .map_err(|misfit| (raw.place, Some(written.fields.sequence), misfit)),
            Ok(_) => Err((raw.place, Some(0), Misfit::new(Code::Genesis, "entry 0", "another"))),
            Err(misfit) => Err((raw.place, Some(0), misfit)),
        }
    }

    fn genesis(&self, written: &Written<'_>, stated: &Digest) -> Result<Begun, Misfit> {
        let fields = &written.fields;
        if !Reserved::is_genesis_type(&fields.event_type) {
            return Err(Misfit::new(Code::Genesis, "chain.genesis", &*fields.event_type));
        }
        let reserved = Reserved::parse(&fields.event_type, &written.part, fields.sequence)
            .map_err(|found| {
                Misfit::new(Code::ReservedPayload, "the payload of a genesis", found)
            })?;
        let key = keyring::genesis_signer(&fields.signer_key_id, &reserved)?;
        let checked = content::check_entry(written, &Digest::ZERO);
        let digest = checked.link.digest;
        if !key.accepts(Purpose::Entry, &digest, &written.signature) {
            let expected = format!("a signature by key {} over this content", key.id());
            return Err(Misfit::new(Code::Signature, expected, "another"));
        }
        if let Some(misfit) = &checked.payload {
            return Err(misfit.clone());
        }
        let chain = Chain::begin(&checked.link, &reserved)?;
        if digest != *stated {
            return Err(Misfit::new(Code::ChainId, digest.to_string(), stated.to_string()));
        }
        if let Some(held) = self.anchors.chain_id
            && held != digest
        {
            return Err(Misfit::new(Code::AnchorChain, held.to_string(), digest.to_string()));
        }
        let origin = chain.origin();
        let other = self.anchors.checkpoints.iter().find(|held| held.origin() != origin);
        if let Some(held) = other {
            return Err(Misfit::new(Code::AnchorChain, held.origin(), origin));
        }
        let approvers = reserved.approvals().iter().map(|by| KeyId::of(&by.public)).collect();
        Ok((chain, checked, approvers))
    }

    fn go_on<R: Read>(
        &self,
        mut reader: Reader<R>,
        mut judge: Judge,
        vouched: u64,
    ) -> io::Result<Report> {
        self.judge_blocks(&mut reader, &mut judge, vouched)?;
        Ok(judge.finish(reader.place(), reader.ending()))
    }

    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "threads need std"))]
    fn judge_blocks<R: Read>(
        &self,
        reader: &mut Reader<R>,
        judge: &mut Judge,
        vouched: u64,
    ) -> io::Result<()> {
        #[cfg(feature = "std")]
        {
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            let threads = if self.threads == 0 { cores() } else { self.threads };
            if threads > 1 {
                return parallel::run(reader, judge, threads, vouched);
            }
        }
        judge_in_turn(reader, judge, vouched)
    }
}

/// Checks and judges one block after the other.
fn judge_in_turn<R: Read>(
    reader: &mut Reader<R>,
    judge: &mut Judge,
    vouched: u64,
) -> io::Result<()> {
    let chain_id = judge.chain.id();
    while !judge.stopped {
        let block = reader.block(BLOCK_FRAMES, BLOCK_BYTES)?;
        if block.frames().is_empty() {
            break;
        }
        let mut items = content::check(&block, &chain_id, &keys_of(judge), vouched);
        judge.block(&block, &mut items);
    }
    Ok(())
}

fn keys_of(judge: &Judge) -> Keys {
    let keys = judge.chain.keyring().keys();
    keys.iter().map(|key| (key.public.id(), key.public.clone())).collect()
}
