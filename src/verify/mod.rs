//! Verification: reads a file of any length in constant memory, on all cores, and says what it rests on.
//!
//! Content and chain are two phases. The content of frames is checked a block at a time, on any core; the blocks are then
//! judged in order by one. The report is the same however many cores there are.

mod claims;
mod content;
mod ids;
mod judge;
mod report;

#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "std")]
mod parallel;

use std::io::{self, Read, Seek};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::chain::Chain;
use crate::chainfile::{Block, Ending, Form, OpenError, Reader};
use crate::checkpoint::{Checkpoint, Seal};
use crate::digest::Digest;
use crate::fault::{Code, Fault, Misfit};
use crate::frame::{Attachment, Frame, Gap, Kind, Summary, Written};
use crate::key::{KeyId, Purpose};
use crate::keyring;
use crate::projection;
use crate::reserved::Reserved;
use crate::verify::content::{Checked, Keys};
use crate::verify::judge::{Follower, Judge, Passed};

pub use crate::verify::report::{
    Anchor, Anchored, Anchors, End, Gaps, KEPT, Payloads, Report, Verdict,
};

/// Frames in a block: enough that a batch of signatures pays.
const BLOCK_FRAMES: usize = 8192;
/// Bytes in a block, unless one frame alone is larger.
const BLOCK_BYTES: usize = 4 << 20;

/// A sound entry 0: the chain that it begins, what is known of it, and who approved it.
type Begun = (Chain, Checked, Vec<KeyId>);

/// What a watcher sees of a file, in its order.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Seen<'s> {
    /// Bytes that were added after the fact, in a file without fault up to here. Not checked.
    Attached(&'s Attachment<'s>),
    /// The end that the file states, in a file without fault up to here and at it.
    Ended(&'s Summary),
    /// An entry without fault, in a file without fault up to here.
    Entry(Shown<'s>),
    /// The first fault. No entry, gap or statement is shown after it.
    Fault(&'s Fault),
    /// Entries that are not in the file, which is without fault up to here.
    Gap(&'s Gap),
    /// A key was revoked as compromised that had signed beyond this size: from there on nobody can know who made what. A fault,
    /// and shown wherever it stands.
    Revoked(u64),
    /// A seal over exactly the entries before it, in a file without fault up to here.
    Seal(&'s Seal),
    /// A checkpoint over exactly the entries before it, in a file without fault up to here.
    Stated(&'s Checkpoint),
}

/// An entry as a watcher sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Shown<'s> {
    /// As a projection sees it.
    pub item: projection::Item<'s>,
    /// As it stands in the file.
    pub written: &'s Written<'s>,
    /// Its leaf in the tree.
    pub leaf: Digest,
    /// Its frame, if the file is a chain file: the very bytes.
    pub frame: Option<&'s [u8]>,
}

/// Whoever watches a verification. Breaking ends it.
pub type Watch<'w> = dyn FnMut(&Seen<'_>) -> ControlFlow<()> + 'w;

/// Verifies files against what was held before.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    anchors: Anchors,
    unique: bool,
    open_ended: bool,
    on_word: bool,
    counter: Option<Arc<AtomicU64>>,
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

    /// Whether all event ids are compared with each other. Takes memory for every entry, about 35 bytes.
    #[must_use]
    pub fn unique(self, unique: bool) -> Self {
        Self { unique, ..self }
    }

    /// Whether the source ends without a trailer: the files of a ledger do, which goes on.
    #[must_use]
    pub fn open_ended(self, open_ended: bool) -> Self {
        Self { open_ended, ..self }
    }

    /// Whether signatures of entries below the largest checkpoint that was held are taken on the word of that checkpoint, which covers
    /// them; the report says of how many. If it has faults, or the checkpoint is missing, they have to be looked at again without this:
    /// [`Verifier::run_resuming`] does so by itself.
    #[must_use]
    pub fn on_word(self, on_word: bool) -> Self {
        Self { on_word, ..self }
    }

    /// The size below which signatures are taken on word.
    fn vouched(&self) -> u64 {
        if !self.on_word {
            return 0;
        }
        self.anchors.checkpoints.iter().map(Checkpoint::size).max().unwrap_or(0)
    }

    /// Sets `counter` to the number of entries that were judged, a block at a time: for whoever shows how far it is. It says nothing about
    /// what was found.
    #[must_use]
    pub fn counted(self, counter: Arc<AtomicU64>) -> Self {
        Self { counter: Some(counter), ..self }
    }

    /// With this many threads for the content phase; as many as there are cores unless said otherwise.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Reads and judges a whole file. An error says that it could not be read; what is wrong with it is in the report.
    pub fn run(&self, source: impl Read) -> io::Result<Report> {
        self.run_from(source, self.vouched(), None)
    }

    /// As `run`, and shows what it has verified while it goes on: the very bytes that were judged, read once, one entry after the
    /// other on the caller's thread. Until the end nobody can say that nothing later speaks against it.
    ///
    /// `None` if the watcher ended it: of half a file there is no report.
    pub fn replay(&self, source: impl Read, watch: &mut Watch<'_>) -> io::Result<Option<Report>> {
        let mut watcher = Watcher { watch, told: false, revoked: 0, ended: false };
        let vouched = self.vouched();
        let report = self.run_from(source, vouched, Some(&mut |passed| watcher.follow(passed)))?;
        Ok(if watcher.ended { None } else { Some(report) })
    }

    /// As `run`, but takes the signatures of entries below the largest checkpoint that was held on the word of that
    /// checkpoint, which covers them. The report says so. Whatever then does not fit is looked at again, whole.
    pub fn run_resuming<S: Read + Seek>(&self, mut source: S) -> io::Result<Report> {
        let start = source.stream_position()?;
        let report = self.clone().on_word(true).run(&mut source)?;
        if report.counts.is_empty() && !report.is_anchor_missing() {
            return Ok(report);
        }
        source.seek(io::SeekFrom::Start(start))?;
        self.clone().on_word(false).run(source)
    }

    fn run_from(
        &self,
        source: impl Read,
        vouched: u64,
        mut follower: Option<&mut Follower<'_>>,
    ) -> io::Result<Report> {
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
                report.unique = self.unique;
                let anchors = self.anchors.clone();
                let digest = genesis.link.digest;
                let hashes = Some((digest, genesis.leaf));
                if let (Some(follow), Some(raw)) = (follower.as_deref_mut(), first.frames().first())
                {
                    let (block, report) = (&first, &report);
                    let passed = Passed { block, raw, hashes, chain: digest, report };
                    if follow(&passed).is_break() {
                        return Ok(report.clone());
                    }
                }
                let needs_trailer = reader.form() == Form::ChainFile && !self.open_ended;
                let mut judge =
                    Judge::new(chain, needs_trailer, &genesis, approvers, anchors, report);
                judge.counter.clone_from(&self.counter);
                self.go_on(reader, judge, vouched, follower)
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
        follower: Option<&mut Follower<'_>>,
    ) -> io::Result<Report> {
        self.judge_blocks(&mut reader, &mut judge, vouched, follower)?;
        Ok(judge.finish(reader.place(), reader.ending()))
    }

    #[cfg_attr(not(feature = "std"), expect(clippy::unused_self, reason = "threads need std"))]
    fn judge_blocks<R: Read>(
        &self,
        reader: &mut Reader<R>,
        judge: &mut Judge,
        vouched: u64,
        follower: Option<&mut Follower<'_>>,
    ) -> io::Result<()> {
        #[cfg(feature = "std")]
        {
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            let threads = if self.threads == 0 { cores() } else { self.threads };
            if threads > 1 {
                return parallel::run(reader, judge, threads, vouched, follower);
            }
        }
        judge_in_turn(reader, judge, vouched, follower)
    }
}

/// Checks and judges one block after the other.
fn judge_in_turn<R: Read>(
    reader: &mut Reader<R>,
    judge: &mut Judge,
    vouched: u64,
    mut follower: Option<&mut Follower<'_>>,
) -> io::Result<()> {
    let chain_id = judge.chain.id();
    while !judge.stopped {
        let block = reader.block(BLOCK_FRAMES, BLOCK_BYTES)?;
        if block.frames().is_empty() {
            break;
        }
        let mut items = content::check(&block, &chain_id, &keys_of(judge), vouched);
        judge.block(&block, &mut items, follower.as_deref_mut());
    }
    Ok(())
}

fn keys_of(judge: &Judge) -> Keys {
    let keys = judge.chain.keyring().keys();
    keys.iter().map(|key| (key.public.id(), key.public.clone())).collect()
}

/// Turns judged frames into what a watcher sees.
struct Watcher<'w, 'f> {
    watch: &'w mut Watch<'f>,
    /// Whether the first fault was shown.
    told: bool,
    /// Revocations shown.
    revoked: u64,
    ended: bool,
}

impl Watcher<'_, '_> {
    fn follow(&mut self, passed: &Passed<'_>) -> ControlFlow<()> {
        let flow = if passed.report.counts.is_empty() {
            self.show(passed)
        } else {
            self.show_faults(passed)
        };
        self.ended |= flow.is_break();
        flow
    }

    /// A frame without fault, parsed a second time, from the same bytes in memory: the parts of it that the content phase kept
    /// are those that judging needs.
    fn show(&mut self, passed: &Passed<'_>) -> ControlFlow<()> {
        let Ok(frame) = passed.block.parse(passed.raw) else { return ControlFlow::Continue(()) };
        match &frame {
            Frame::Entry(written) => {
                let Some((digest, leaf)) = passed.hashes else {
                    return ControlFlow::Continue(());
                };
                let frame = passed.block.framed(passed.raw);
                let (fields, part) = (&written.fields, &written.part);
                let item = projection::Item::new(passed.chain, fields, part).with_digest(digest);
                (self.watch)(&Seen::Entry(Shown { item, written, leaf, frame }))
            }
            Frame::Gap(gap) => (self.watch)(&Seen::Gap(gap)),
            // While there is no fault the tree is known, and with it each of these was compared.
            Frame::Checkpoint(checkpoint) => (self.watch)(&Seen::Stated(checkpoint)),
            Frame::Seal(seal) => (self.watch)(&Seen::Seal(seal)),
            Frame::Attachment(attachment) => (self.watch)(&Seen::Attached(attachment)),
            Frame::Trailer(trailer) => (self.watch)(&Seen::Ended(&trailer.summary)),
            Frame::Header { .. } => ControlFlow::Continue(()),
        }
    }

    fn show_faults(&mut self, passed: &Passed<'_>) -> ControlFlow<()> {
        if let Some(fault) = passed.report.faults.first().filter(|_| !self.told) {
            self.told = true;
            (self.watch)(&Seen::Fault(fault))?;
        }
        let revoked = passed.report.counts.get(&Code::KeyCompromised).copied().unwrap_or(0);
        if revoked == self.revoked {
            return ControlFlow::Continue(());
        }
        self.revoked = revoked;
        let Ok(Frame::Entry(written)) = passed.block.parse(passed.raw) else {
            return ControlFlow::Continue(());
        };
        let fields = &written.fields;
        match Reserved::parse(&fields.event_type, &written.part, fields.sequence) {
            Ok(Reserved::Revoke { trusted: Some(trusted), .. }) => {
                (self.watch)(&Seen::Revoked(trusted.size))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
