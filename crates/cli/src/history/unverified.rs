//! `sigchain log --unverified` and `--follow`: what is asked for, read as it stands.

use std::io::{self, Read};
use std::time::Duration;

use sigchain::chainfile::OpenError;
use sigchain::directory::Directory;
use sigchain::disk::DiskError;
use sigchain::select::{Filter, InFile};

use crate::args::{self, LogOptions};
use crate::exit::NO;
use crate::history::blocks;
use crate::history::log::not_written;
use crate::history::print::Printer;
use crate::history::{complain, hint};
use crate::input;
use crate::ledger::{self, Stop};
use crate::trouble::Trouble;

/// How often it looks whether there is more.
const LOOK: Duration = Duration::from_millis(50);
/// Entries after which it looks whether it is to end.
const SOME: u32 = 1024;

/// Why it ends before its end.
pub(super) enum End {
    /// It cannot be read.
    Reading(io::Error),
    /// Nobody reads what it says, or that cannot be written.
    Writing(io::Error),
}

pub(super) fn run(options: &LogOptions) -> Result<u8, Trouble> {
    let path = &options.place.ledger;
    let is_ledger = !args::is_stdin(path) && path.is_dir();
    if options.follow && !is_ledger {
        let what = "--follow with what is no directory";
        return Err(Trouble::usage(what, "a ledger: a file that has ended grows no more"));
    }
    let mut printer = Printer::new(options)?;
    let mut filter = options.selection.filter()?;
    if let Some(point) = options.selection.since {
        filter = filter.since(point);
    }
    if let Some(point) = options.selection.until {
        filter = filter.until(point);
    }
    if is_ledger && !options.alone && !ledger::line(path).is_empty() {
        let what = "it goes on from another chain, which is not shown: sigchain log without --unverified and --follow";
        hint(what);
    }
    let done = if options.follow {
        follow(ledger::view(path)?, &filter, &mut printer)
    } else if is_ledger {
        blocks::show(&ledger::view(path)?, options, &filter, &mut printer)
    } else {
        file(options, &filter).map_err(End::Reading).and_then(|all| show(all, &mut printer))
    };
    let done = done.and_then(|()| printer.end().map_err(End::Writing));
    match done {
        Ok(()) => {}
        Err(End::Writing(error)) => return not_written(&error),
        Err(End::Reading(error)) => {
            // What was read before it is worth seeing.
            let _ = printer.end();
            return unreadable(options, &error);
        }
    }
    printer.conclude();
    hint(
        "nothing of this was verified: sigchain verify, or sigchain log without --unverified and --follow",
    );
    Ok(0)
}

fn unreadable(options: &LogOptions, error: &io::Error) -> Result<u8, Trouble> {
    let is_ours = error.raw_os_error().is_none() && DiskError::of(error).is_none();
    match error.kind() {
        io::ErrorKind::InvalidInput if is_ours => {
            Err(Trouble::usage(error.to_string(), "points that do not count from the head"))
        }
        io::ErrorKind::NotFound if is_ours => {
            Ok(complain(NO, &error.to_string(), "name a point of this file, such as head"))
        }
        _ => Err(input::cannot_read(&input::name(&options.place.ledger), error)),
    }
}

/// What is wanted of a file, which is read once.
fn file(options: &LogOptions, filter: &Filter) -> io::Result<InFile<Box<dyn Read>>> {
    let source: Box<dyn Read> = if args::is_stdin(&options.place.ledger) {
        Box::new(io::stdin().lock())
    } else {
        // Compressed or not.
        let opened = input::again(&options.place.ledger);
        opened.map(|file| -> Box<dyn Read> { Box::new(file) })?
    };
    filter.select_in(source).map_err(|error| match error {
        OpenError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    })
}

fn show(mut all: InFile<Box<dyn Read>>, printer: &mut Printer<'_>) -> Result<(), End> {
    while let Some(written) = all.next_with(|found| printer.entry(found)).map_err(End::Reading)? {
        written.map_err(End::Writing)?;
    }
    Ok(())
}

fn follow(directory: Directory, filter: &Filter, printer: &mut Printer<'_>) -> Result<(), End> {
    let stop = Stop::on_signals().map_err(End::Reading)?;
    let mut follow = directory.follow(filter).map_err(End::Reading)?;
    let mut shown = 0_u32;
    loop {
        let found = follow.try_next();
        // Each stands before what came.
        printer.gaps(&follow.take_gaps()).map_err(End::Writing)?;
        let found = found.map_err(End::Reading)?.map(|found| printer.entry(&found));
        let pause = if let Some(written) = found {
            written.map_err(End::Writing)?;
            shown = shown.wrapping_add(1);
            if !shown.is_multiple_of(SOME) {
                continue;
            }
            Duration::ZERO
        } else {
            printer.flush().map_err(End::Writing)?;
            LOOK
        };
        if follow.is_over() || stop.comes_within(pause, io::stdout()).map_err(End::Reading)? {
            return Ok(());
        }
    }
}
