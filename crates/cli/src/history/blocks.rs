//! The entries of a ledger as text, made on several cores: each makes that of every so many blocks, and they are written in order.

use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use sigchain::directory::Directory;
use sigchain::select::{Filter, Selected};

use crate::args::LogOptions;
use crate::history::print::{BUFFER, Lines, Printer};
use crate::history::unverified::End;

/// Entries of a block.
const BLOCK: u64 = 1024;
/// More threads than this wait for the one that writes.
const THREADS_MAX: usize = 4;
/// Pieces that wait to be written, of each thread.
const WAITING: usize = 8;

/// Some of a block.
struct Piece {
    text: String,
    /// Entries of the ledger's own that are not in it.
    hidden: u64,
    /// Entries that are not there.
    missing: u64,
    /// Whether it is the last of its block.
    is_last: bool,
}

/// A piece, or why there are no more.
type Outcome = io::Result<Piece>;

/// Shows what a filter wants of a ledger, up to where that ends now.
pub(super) fn show(
    directory: &Directory,
    options: &LogOptions,
    filter: &Filter,
    printer: &mut Printer<'_>,
) -> Result<(), End> {
    let mut all = filter.select(directory).map_err(End::Reading)?;
    let range = all.numbers();
    // The first block is made here: it is shown soonest, and where the frames are is then looked for once and not by each thread.
    let first = range.start.saturating_add(BLOCK).min(range.end);
    all.go_on_with(range.start..first);
    each(&mut all, printer)?;
    printer.flush().map_err(End::Writing)?;
    let range = first..range.end;
    all.go_on_with(range.clone());
    let count = range.end.saturating_sub(range.start).div_ceil(BLOCK);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(THREADS_MAX).min(count);
    let shared = thread::scope(|scope| {
        let mut results = Vec::with_capacity(threads);
        for at in 0..threads {
            let (send, receive) = sync_channel(WAITING);
            let worker = Worker { options, range: range.clone(), at, threads };
            let selected = all.clone();
            let work = move || worker.run(selected, &send);
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                return Ok(false);
            }
            results.push(receive);
        }
        for result in results.iter().cycle().take(count) {
            write(result, printer)?;
        }
        Ok(true)
    })?;
    if !shared {
        // Where no more threads are to be had this one does it all.
        each(&mut all, printer)?;
    }
    Ok(())
}

/// Shows what there is, one after the other.
fn each(all: &mut Selected<'_>, printer: &mut Printer<'_>) -> Result<(), End> {
    loop {
        let before = all.next_with(|found| found.clone().into_owned());
        // Each stands before what came.
        printer.gaps(&all.take_gaps()).map_err(End::Writing)?;
        match before.map_err(End::Reading)? {
            Some(found) => printer.entry(&found).map_err(End::Writing)?,
            None => return Ok(()),
        }
    }
}

/// Writes a block. What was found before is shown before this waits for more.
fn write(results: &Receiver<Outcome>, printer: &mut Printer<'_>) -> Result<(), End> {
    let gone = || io::Error::other("a thread that reads ended early");
    loop {
        let outcome = match results.try_recv() {
            Err(TryRecvError::Empty) => {
                if printer.is_behind() {
                    printer.flush().map_err(End::Writing)?;
                }
                results.recv().map_err(|_| gone())
            }
            outcome => outcome.map_err(|_| gone()),
        };
        let piece = outcome.and_then(|outcome| outcome).map_err(End::Reading)?;
        printer.missing(piece.missing);
        printer.text(&piece.text, piece.hidden).map_err(End::Writing)?;
        if piece.is_last {
            return Ok(());
        }
    }
}

/// Makes the text of one block out of `threads`, beginning with number `at`.
struct Worker<'w> {
    options: &'w LogOptions,
    range: Range<u64>,
    at: usize,
    threads: usize,
}

impl Worker<'_> {
    /// Until there is no more, or nobody takes it.
    fn run(&self, selected: Selected<'_>, results: &SyncSender<Outcome>) {
        if let Err(error) = self.read(selected, results) {
            let _ = results.send(Err(error));
        }
    }

    fn read(&self, mut selected: Selected<'_>, results: &SyncSender<Outcome>) -> io::Result<()> {
        // The options were good enough for the one who writes.
        let mut lines = Lines::new(self.options).map_err(|_| io::ErrorKind::InvalidInput)?;
        let give = |lines: &mut Lines<'_>, is_last| {
            let text = std::mem::replace(&mut lines.text, String::with_capacity(BUFFER));
            let hidden = std::mem::take(&mut lines.hidden);
            let missing = std::mem::take(&mut lines.missing);
            results.send(Ok(Piece { text, hidden, missing, is_last })).is_ok()
        };
        let step = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        for first in self.range.clone().step_by(step).skip(self.at).step_by(self.threads) {
            let end = first.saturating_add(BLOCK).min(self.range.end);
            selected.go_on_with(first..end);
            loop {
                let at = lines.text.len();
                let found = selected.next_with(|found| lines.found(found));
                // Each stands before what came, and is said where it begins, not by each block that it reaches into.
                for gap in selected.take_gaps().iter().filter(|gap| gap.first >= first) {
                    lines.gap(at, gap);
                }
                // What stands before damage is shown before that is told.
                let is_last = !matches!(found, Ok(Some(())));
                let is_taken = if is_last || lines.text.len() >= BUFFER {
                    give(&mut lines, found.is_ok() && is_last)
                } else {
                    true
                };
                found?;
                if !is_taken {
                    return Ok(());
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }
}
