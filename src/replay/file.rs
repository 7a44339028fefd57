//! Files as sources: verified while they are replayed, by one pass over the same bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use crate::chainfile::{OpenError, Reader};
use crate::fault::{Code, Fault};
use crate::frame::{Frame, Kind};
use crate::payload::Part;
use crate::replay::{Each, End, Opening, Source, Step};
use crate::reserved::Reserved;
use crate::verify::{Anchor, Report, Seen, Verifier, Watch};

/// Bytes that are looked at to learn which chain it is: more than any genesis needs.
const HEAD: u64 = 256 << 10;
/// Frames, and about as many bytes, that are looked at together when entries are counted.
const BLOCK: (usize, usize) = (8192, 4 << 20);

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

enum Input<'r> {
    /// Can be read again, from this place on.
    Again(Box<dyn ReadSeek + 'r>, u64),
    /// Can be read once; the first bytes of it may have been read already.
    Once(Option<Box<dyn Read + 'r>>, Vec<u8>),
}

/// A chain file or JSON lines. Verified as `verifier` is set up.
pub struct ChainFile<'r> {
    verifier: Verifier,
    input: Input<'r>,
}

impl fmt::Debug for ChainFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainFile").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl<'r> ChainFile<'r> {
    /// What can be read once, such as a pipe. How many entries it has is known only at its end.
    pub fn once(verifier: Verifier, source: impl Read + 'r) -> Self {
        Self { verifier, input: Input::Once(Some(Box::new(source)), Vec::new()) }
    }

    /// A file, from where it stands.
    pub fn new(verifier: Verifier, mut source: impl Read + Seek + 'r) -> io::Result<Self> {
        let start = source.stream_position()?;
        Ok(Self { verifier, input: Input::Again(Box::new(source), start) })
    }

    /// Verifies it and shows what it finds on the way; [`End`] says how much of that can be relied on. `None` if the watcher
    /// ended it. A pipe can be watched once.
    pub fn watch(&mut self, watch: &mut Watch<'_>) -> io::Result<Option<End>> {
        let mut doubts = Doubts::default();
        let verifier = self.verifier.clone();
        let report = verifier.replay(self.reader()?, &mut |seen| {
            doubts.note(seen);
            watch(seen)
        })?;
        Ok(report.map(|report| {
            let sound = doubts.sound(&report);
            End { entries: report.entries, sound, report: Some(report), head: None }
        }))
    }

    fn reader(&mut self) -> io::Result<Box<dyn Read + '_>> {
        match &mut self.input {
            Input::Again(source, start) => {
                source.seek(SeekFrom::Start(*start))?;
                Ok(Box::new(source))
            }
            Input::Once(source, head) => {
                let head = Cursor::new(std::mem::take(head));
                let source = source.take().ok_or_else(|| {
                    io::Error::other("expected a pipe that was not read yet, found one that was")
                })?;
                Ok(Box::new(head.chain(source)))
            }
        }
    }

    fn head(&mut self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        match &mut self.input {
            Input::Again(..) => {
                self.reader()?.take(HEAD).read_to_end(&mut head)?;
            }
            Input::Once(Some(source), read) => {
                if read.is_empty() {
                    source.take(HEAD).read_to_end(read)?;
                }
                head.clone_from(read);
            }
            Input::Once(None, _) => {}
        }
        Ok(head)
    }
}

impl Source for ChainFile<'_> {
    fn opening(&mut self) -> io::Result<Option<Opening>> {
        let head = self.head()?;
        let Ok(mut reader) = Reader::open(head.as_slice()) else { return Ok(None) };
        let block = reader.block(1, 0)?;
        let Some(Ok(Frame::Entry(written))) = block.frames().first().map(|raw| block.parse(raw))
        else {
            return Ok(None);
        };
        let fields = &written.fields;
        match Reserved::parse(&fields.event_type, &written.part, fields.sequence) {
            Ok(Reserved::Genesis { predecessor, .. }) => {
                Ok(Some(Opening { chain_id: reader.chain_id(), predecessor }))
            }
            _ => Ok(None),
        }
    }

    /// By a pass over the file that looks at nothing else, if it can be read again.
    fn size(&mut self) -> io::Result<Option<u64>> {
        if matches!(self.input, Input::Once(..)) {
            return Ok(None);
        }
        let mut reader = match Reader::open(self.reader()?) {
            Ok(reader) => reader,
            Err(OpenError::Io(error)) => return Err(error),
            Err(OpenError::Unreadable(_)) => return Ok(Some(0)),
        };
        let mut size: u64 = 0;
        loop {
            let block = reader.block(BLOCK.0, BLOCK.1)?;
            if block.frames().is_empty() {
                return Ok(Some(size));
            }
            for raw in block.frames() {
                let count = match raw.kind {
                    Some(Kind::Entry) => 1,
                    Some(Kind::Gap) => match block.parse(raw) {
                        Ok(Frame::Gap(gap)) => gap.count,
                        _ => 0,
                    },
                    _ => 0,
                };
                size = size.saturating_add(count);
            }
        }
    }

    fn read(&mut self, each: &mut Each<'_>) -> io::Result<End> {
        let mut flow = ControlFlow::Continue(());
        let end = self.watch(&mut |seen| {
            if flow.is_continue() {
                flow = match seen {
                    Seen::Entry(shown) => {
                        each(Step::Entry(shown.item, Some(&shown.written.signature)))
                    }
                    Seen::Gap(gap) => each(Step::Gap(gap)),
                    _ => ControlFlow::Continue(()),
                };
            }
            ControlFlow::Continue(())
        })?;
        end.ok_or_else(|| io::Error::other("expected a verification to its end, found a part"))
    }
}

/// How far back what was found puts entries in doubt.
///
/// A fault concerns its own frame and whatever follows. Some concern what stands before them: a root that differs says that
/// some entry under it does, and the last root that agreed says which are not meant; a stolen key, from where it cannot
/// be trusted; an erasure that never happened, the payload that is said to be erased.
#[derive(Debug, Default)]
struct Doubts {
    /// Entries shown, gaps included: those before the first fault.
    shown: u64,
    /// The largest size at which a checkpoint or seal agreed.
    stated: u64,
    /// The lowest size that a revocation trusts.
    trusted: Option<u64>,
    /// By the entry that is said to have erased payloads: the first entry that says so. Grows with the number of such entries.
    claims: BTreeMap<u64, u64>,
}

impl Doubts {
    fn note(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Entry(shown) => {
                let sequence = shown.item.fields.sequence;
                self.shown = sequence.saturating_add(1);
                if let Part::Erased(by) = shown.item.part {
                    self.claims.entry(*by).or_insert(sequence);
                }
            }
            Seen::Gap(gap) => self.shown = gap.end(),
            Seen::Revoked(size) => {
                self.trusted = Some(self.trusted.map_or(*size, |trusted| trusted.min(*size)));
            }
            Seen::Seal(seal) => self.stated = self.stated.max(seal.state.size),
            Seen::Stated(checkpoint) => self.stated = self.stated.max(checkpoint.size()),
            _ => {}
        }
    }

    fn sound(&self, report: &Report) -> u64 {
        if report.counts.is_empty() {
            return report.entries;
        }
        let sound = self.shown.min(self.trusted.unwrap_or(u64::MAX));
        report.faults.iter().map(|fault| self.reach(fault, report)).fold(sound, u64::min)
    }

    /// The number of entries that a fault does not concern.
    fn reach(&self, fault: &Fault, report: &Report) -> u64 {
        match fault.code {
            // Whoever rewrote the history may hold the keys of the chain: only what was held elsewhere confirms anything.
            Code::AnchorRoot | Code::AnchorSignature => self.held(report),
            Code::CheckpointRoot | Code::CheckpointSize | Code::SealMismatch => {
                self.held(report).max(self.stated)
            }
            Code::Erasure => {
                let later = self.claims.range(fault.sequence.unwrap_or(0)..);
                later.map(|(_, first)| *first).min().unwrap_or(u64::MAX)
            }
            Code::GapUnresolved => fault.sequence.unwrap_or(0),
            _ => u64::MAX,
        }
    }

    /// The largest size of a held checkpoint that agreed, before the first fault.
    fn held(&self, report: &Report) -> u64 {
        let anchors = report.anchors.iter().filter_map(|anchored| match anchored.anchor {
            Anchor::Checkpoint(..) => anchored.size.filter(|size| *size <= self.shown),
            _ => None,
        });
        anchors.max().unwrap_or(0)
    }
}
