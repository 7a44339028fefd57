//! The chains that a ledger goes on from, as its genesis and theirs state them.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sigchain::chainfile::Reader;
use sigchain::frame::{Frame, Kind};
use sigchain::point::Point;
use sigchain::replay::{ChainFile, Source as _};
use sigchain::reserved::Predecessor;
use sigchain::verify::Verifier;

use crate::args::LogOptions;
use crate::history::{self, Opened};
use crate::input::{self, Places};
use crate::ledger;
use crate::out::{self, safe};
use crate::trouble::Trouble;

/// Frames, and about as many bytes, that are looked at together when entries are counted.
const BLOCK: (usize, usize) = (8192, 4 << 20);

/// One of them.
pub(crate) struct Part {
    /// Where it is, if it was found.
    pub(crate) path: Option<PathBuf>,
    /// What the chain says that goes on from it.
    pub(crate) stated: Predecessor,
}

/// All of them, the oldest first. Behind one that is not where it was nobody knows of more.
pub(crate) fn predecessors(path: &Path) -> Result<Vec<Part>, Trouble> {
    let failed = |error| input::cannot_read(&input::name(path), &error);
    let mut opened = history::open(path, Verifier::new())?;
    let mut stated = opened.source.opening().map_err(failed)?.and_then(|found| found.predecessor);
    let mut paths = if opened.places.is_ledger() { ledger::line(path) } else { Vec::new() };
    let mut parts = Vec::new();
    while let Some(before) = stated.take() {
        let path = paths.pop();
        if let Some(path) = &path {
            let mut earlier = history::open_before(path, Verifier::new())?;
            stated = earlier.source.opening().map_err(failed)?.and_then(|found| found.predecessor);
        }
        parts.push(Part { path, stated: before });
    }
    parts.reverse();
    Ok(parts)
}

/// Whether a point is a moment, which all chains of a line have, and not an entry of one.
pub(super) fn is_moment(point: &Point) -> bool {
    matches!(point, Point::Stamp(_) | Point::Time(_))
}

/// Those that are shown before LEDGER, the oldest first. One that is not where it was is said.
pub(super) fn before(options: &LogOptions, opened: &Opened) -> Result<Vec<Part>, Trouble> {
    let begins_within = options.selection.since.is_some_and(|since| !is_moment(&since));
    if options.alone || begins_within || !opened.places.is_ledger() {
        return Ok(Vec::new());
    }
    let mut parts = predecessors(&options.place.ledger)?;
    for Part { path, stated } in &parts {
        let (chain, size) = (stated.chain, out::entries(stated.size));
        out::note(&match path {
            Some(path) => format!("goes on from \"{}\"", safe(&path.to_string_lossy())),
            None => {
                format!("goes on from chain {chain}, {size}, which is not where it was: not shown")
            }
        });
    }
    parts.retain(|part| part.path.is_some());
    Ok(parts)
}

/// Opens so many entries of a ledger that another one goes on from, whatever is behind them.
pub(crate) fn open_first(path: &Path, size: u64, verifier: Verifier) -> Result<Opened, Trouble> {
    let name = input::name(path);
    let failed = |error| input::cannot_read(&name, &error);
    let mut stream = ledger::salvaged(path)?.stream().map_err(failed)?;
    let places = Places::Segments(stream.atlas());
    let end = end_of(&mut stream, size).map_err(failed)?;
    stream.seek(SeekFrom::Start(0)).map_err(failed)?;
    let first = First { source: stream, at: 0, end };
    let source = ChainFile::new(verifier.open_ended(true), first).map_err(failed)?;
    Ok(Opened { source, name, places })
}

/// Where the entry behind so many begins; what belongs to none, such as a seal, stays with those before it.
fn end_of(source: &mut dyn Read, size: u64) -> io::Result<u64> {
    let Ok(mut reader) = Reader::open(source) else { return Ok(u64::MAX) };
    let mut count: u64 = 0;
    loop {
        let block = reader.block(BLOCK.0, BLOCK.1)?;
        if block.frames().is_empty() {
            // Behind the last of them there may be bytes that are no frame.
            return Ok(if count >= size { reader.place() } else { u64::MAX });
        }
        for raw in block.frames() {
            let more = match raw.kind {
                Some(Kind::Entry) => 1,
                Some(Kind::Gap) => match block.parse(raw) {
                    Ok(Frame::Gap(gap)) => gap.count,
                    _ => 0,
                },
                _ => 0,
            };
            if more > 0 && count >= size {
                return Ok(raw.place);
            }
            count = count.saturating_add(more);
        }
    }
}

/// The first bytes of something.
struct First<S> {
    source: S,
    at: u64,
    end: u64,
}

impl<S: Read> Read for First<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let read = self.source.read(buffer.get_mut(..count).unwrap_or_default())?;
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

impl<S: Seek> Seek for First<S> {
    /// Only to the beginning, and to where it stands.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(0) => {
                self.at = self.source.seek(to)?;
                Ok(self.at)
            }
            SeekFrom::Current(0) => Ok(self.at),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "only to the beginning")),
        }
    }
}
