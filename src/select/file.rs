//! Reading what is wanted of a chain file, or of JSON lines, from the beginning on.

use std::fmt;
use std::io::{self, Read};

use crate::chainfile::{Block, Ending, OpenError, RawFrame, Reader};
use crate::entry::Fields;
use crate::fault::Misfit;
use crate::frame::{Frame, Kind, Written};
use crate::point::Point;
use crate::select::{Filter, Passage, unreadable};

/// Frames, and about as many bytes, that are read at once.
const BLOCK: (usize, usize) = (8192, 4 << 20);

/// The entries that a filter wants of a file, in order.
///
/// After an error nothing more comes. That the file has no trailer, or that entries are missing in it, is none: that is for those to say
/// who verify it.
pub struct InFile<R> {
    reader: Reader<R>,
    filter: Filter,
    passage: Passage,
    block: Option<Block>,
    /// Frames of the block that were looked at.
    seen: usize,
    is_over: bool,
}

impl<R> fmt::Debug for InFile<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFile").field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl Filter {
    /// The entries that it wants of a chain file or of JSON lines. A point that counts from the head is an error: a file is read once,
    /// from its beginning on.
    pub fn select_in<R: Read>(&self, file: R) -> Result<InFile<R>, OpenError> {
        if let Some(point) = [self.since, self.until].into_iter().flatten().find(Point::is_relative)
        {
            let what = format!(
                "expected points that do not count from the head, which is not known yet, found {point}"
            );
            return Err(OpenError::Io(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        let (filter, passage) = (self.clone(), self.passage());
        let reader = Reader::open(file)?;
        Ok(InFile { reader, filter, passage, block: None, seen: 0, is_over: false })
    }
}

impl<R: Read> InFile<R> {
    /// Shows the next one as it stands in what was read, for whoever needs no copy of it. `None` at the end.
    ///
    /// After an error nothing more comes.
    pub fn next_with<T>(&mut self, each: impl FnOnce(&Written<'_>) -> T) -> io::Result<Option<T>> {
        if self.is_over {
            return Ok(None);
        }
        let found = self.find(each);
        self.is_over = !matches!(found, Ok(Some(_)));
        found
    }

    fn find<T>(&mut self, each: impl FnOnce(&Written<'_>) -> T) -> io::Result<Option<T>> {
        while !self.passage.has_ended() {
            let raw =
                self.block.as_ref().and_then(|block| Some((block, block.frames().get(self.seen)?)));
            let Some((block, raw)) = raw else {
                let block = self.reader.block(BLOCK.0, BLOCK.1)?;
                if block.frames().is_empty() {
                    return match self.reader.ending() {
                        Some(Ending::Damaged(misfit)) => Err(at(self.reader.place(), misfit)),
                        _ => Ok(None),
                    };
                }
                (self.block, self.seen) = (Some(block), 0);
                continue;
            };
            self.seen = self.seen.saturating_add(1);
            if raw.kind == Some(Kind::Entry) {
                let found = take(&self.filter, &mut self.passage, block, raw);
                if let Some(found) = found.map_err(|misfit| at(raw.place, &misfit))? {
                    return Ok(Some(each(&found)));
                }
            }
        }
        Ok(None)
    }
}

/// An entry, if it is wanted. Its payload is looked at only then.
fn take<'b>(
    filter: &Filter,
    passage: &mut Passage,
    block: &'b Block,
    raw: &RawFrame,
) -> Result<Option<Box<Written<'b>>>, Misfit> {
    let mut wants = |fields: &Fields<'_>| passage.takes(fields) && filter.matches(fields);
    let early = block.fields(raw)?.map(|fields| wants(&fields));
    if early == Some(false) {
        return Ok(None);
    }
    let Frame::Entry(written) = block.parse(raw)? else { return Ok(None) };
    let is_wanted = early.unwrap_or_else(|| wants(&written.fields));
    Ok(is_wanted.then_some(written))
}

fn at(place: u64, misfit: &Misfit) -> io::Error {
    unreadable(format!("place {place}: {misfit}"))
}

impl<R: Read> Iterator for InFile<R> {
    type Item = io::Result<Written<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(|written| written.clone().into_owned()).transpose()
    }
}
