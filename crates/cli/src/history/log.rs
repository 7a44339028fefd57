//! `sigchain log`: one line for each entry.

use std::io;
use std::ops::ControlFlow;

use sigchain::digest::Digest;
use sigchain::fault::Fault;
use sigchain::frame::{Gap, Written};
use sigchain::point::Point;
use sigchain::replay::{Source as _, settle};
use sigchain::select::Passage;
use sigchain::tree::Frontier;
use sigchain::verify::{Seen, Verifier};

use crate::args::LogOptions;
use crate::exit::{NO, UNREADABLE};
use crate::history::print::Printer;
use crate::history::{self, ONLY_ITSELF, Opened, complain, describe, exit_of, hint, sentence};
use crate::history::{line, unverified};
use crate::input;
use crate::out;
use crate::trouble::Trouble;
use crate::verify;

pub(crate) fn run(options: &LogOptions) -> Result<u8, Trouble> {
    if options.follow || options.unverified {
        return unverified::run(options);
    }
    let mut opened = history::open(&options.place.ledger, Verifier::new())?;
    let (since, until) = match points(options, &mut opened)? {
        Ok(points) => points,
        Err(exit) => return Ok(exit),
    };
    let mut log = Log {
        printer: Printer::new(options)?,
        until,
        passage: Passage::between(since, until),
        missing: 0,
        within: 0,
        before: 0,
        part: None,
        fault: None,
        last: None,
        broken: None,
    };
    for part in line::before(options, &opened)? {
        if let Some(exit) = log.part(options, &part)? {
            return Ok(exit);
        }
    }
    if log.part.take().is_some() {
        log.before = log.before.saturating_add(log.within);
        (log.within, log.last, log.until) = (0, None, until);
        log.passage = Passage::between(since, until);
        let opening = opened.source.opening();
        let opening = opening.map_err(|error| input::cannot_read(&opened.name, &error))?;
        if let Some(chain) = opening.map(|opening| opening.chain_id) {
            log.printer.chain(&chain).or_else(|error| not_written(&error).map(drop))?;
        }
    }
    let end = opened.source.watch(&mut |seen| log.take(seen));
    let end = end.map_err(|error| input::cannot_read(&opened.name, &error))?;
    if let Err(error) = log.printer.end() {
        log.broken.get_or_insert(error);
    }
    if let Some(error) = &log.broken {
        return not_written(error);
    }
    // A fault that only the end of the file shows, such as a trailer that is missing.
    let late = || end.as_ref()?.report.as_ref()?.faults.first().cloned();
    if let Some(fault) = log.fault.clone().or_else(late) {
        let what = describe(&fault, &opened.places);
        let next = "nothing behind it was shown, and what was shown may be less than there was; sigchain verify says more";
        let exit = if fault.code.is_unreadable() { UNREADABLE } else { NO };
        return Ok(complain(exit, &what, next));
    }
    log.conclude();
    Ok(log.exit(options))
}

/// The points in terms of the file. The inner error is an exit code, and was explained.
#[expect(clippy::type_complexity, reason = "one caller, which takes it apart")]
fn points(
    options: &LogOptions,
    opened: &mut Opened,
) -> Result<Result<(Option<Point>, Option<Point>), u8>, Trouble> {
    let failed = |error| input::cannot_read(&opened.name, &error);
    let mut since = options.selection.since;
    if let Some(point) = since.filter(Point::is_relative) {
        // For a beginning, a file that is shorter than what was asked for is no trouble: all of it is shown.
        let back = if let Point::Back(back) = point { back } else { 0 };
        let Some(size) = opened.source.size().map_err(failed)? else {
            let what =
                format!("--since {point} counts from the head of what can be read only once");
            return Err(Trouble::usage(
                what,
                "a file, or a point that does not count from the head",
            ));
        };
        since = size.checked_sub(1).and_then(|head| head.checked_sub(back)).map(Point::Sequence);
    }
    let Some(until) = options.selection.until else { return Ok(Ok((since, None))) };
    match settle(&until, &mut opened.source) {
        Ok(Some(point)) => Ok(Ok((since, Some(point)))),
        Ok(None) => {
            let what = format!("{until} lies before entry 0");
            Ok(Err(complain(NO, &what, "name a point from entry 0 on")))
        }
        Err(error) => {
            let next = "see `sigchain help replay` for points";
            Ok(Err(complain(exit_of(&error), &sentence(&error), next)))
        }
    }
}

/// A reader that has seen enough is no failure.
pub(super) fn not_written(error: &io::Error) -> Result<u8, Trouble> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(0);
    }
    Err(Trouble::unreadable(
        format!("cannot write to standard output: {error}"),
        "room for the answer",
        "run it again with another output",
    ))
}

/// A chain of the line that is being shown, up to where it belongs to the history.
struct Within {
    size: u64,
    tree: Frontier,
    root: Option<Digest>,
}

struct Log<'o> {
    printer: Printer<'o>,
    until: Option<Point>,
    passage: Passage,
    /// Entries in gaps.
    missing: u64,
    /// Entries between the points, shown or not.
    within: u64,
    /// The same, of chains before.
    before: u64,
    /// What is known of the one that is shown, if another goes on from it.
    part: Option<Within>,
    fault: Option<Fault>,
    /// Of the last entry, shown or not: its time in microseconds.
    last: Option<i64>,
    broken: Option<io::Error>,
}

impl Log<'_> {
    /// Shows a chain that another goes on from, as far as it belongs to the history. An exit code if that is not what the other states.
    fn part(&mut self, options: &LogOptions, part: &line::Part) -> Result<Option<u8>, Trouble> {
        let Some(path) = &part.path else { return Ok(None) };
        let mut opened = history::open_before(path, Verifier::new())?;
        let failed = |error| input::cannot_read(&input::name(path), &error);
        let opening = opened.source.opening().map_err(failed)?;
        let is_it = opening.is_some_and(|opening| opening.chain_id == part.stated.chain);
        let (since, until) = (options.selection.since, options.selection.until);
        // What else names an entry names one of LEDGER itself, and all that is before that is before it.
        let until = until.filter(line::is_moment);
        self.passage = Passage::between(since, until);
        self.part = Some(Within { size: part.stated.size, tree: Frontier::new(), root: None });
        if is_it {
            self.printer
                .chain(&part.stated.chain)
                .or_else(|error| not_written(&error).map(drop))?;
            opened.source.watch(&mut |seen| self.take(seen)).map_err(failed)?;
        }
        if let Some(error) = &self.broken {
            return not_written(error).map(Some);
        }
        let root = self.part.as_ref().and_then(|within| within.root);
        if root == Some(part.stated.root) {
            return Ok(None);
        }
        drop(self.printer.end());
        let called = out::safe(&input::name(path));
        let what = match &self.fault {
            _ if !is_it => format!("\"{called}\" is not chain {}", part.stated.chain),
            Some(fault) => format!("\"{called}\": {}", describe(fault, &opened.places)),
            None => format!("\"{called}\" is not what the chain that goes on from it states"),
        };
        let next = "nothing behind it was shown; --alone shows LEDGER by itself, and sigchain verify says more";
        Ok(Some(complain(NO, &what, next)))
    }

    fn take(&mut self, seen: &Seen<'_>) -> ControlFlow<()> {
        if let Some(within) = &mut self.part {
            match seen {
                Seen::Entry(shown) => within.tree.push(shown.leaf),
                Seen::Gap(gap) => verify::pass_gap(&mut within.tree, gap),
                _ => {}
            }
        }
        let written = match seen {
            Seen::Entry(shown) => self.entry(shown.written),
            Seen::Gap(gap) => self.gap(gap),
            Seen::Fault(fault) => {
                self.fault = Some((*fault).clone());
                return ControlFlow::Break(());
            }
            _ => Ok(()),
        };
        if let Some(within) = self.part.as_mut().filter(|within| within.tree.size() >= within.size)
        {
            within.root = (within.tree.size() == within.size).then(|| within.tree.root());
            self.broken = written.err();
            return ControlFlow::Break(());
        }
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.broken = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn entry(&mut self, written: &Written<'_>) -> io::Result<()> {
        let fields = &written.fields;
        self.last = Some(fields.system_time.micros());
        if !self.passage.takes(fields) {
            return Ok(());
        }
        self.within = self.within.saturating_add(1);
        self.printer.entry(written)
    }

    fn gap(&mut self, gap: &Gap) -> io::Result<()> {
        if !self.passage.has_begun() || self.passage.has_ended() {
            return Ok(());
        }
        self.missing = self.missing.saturating_add(gap.count);
        self.printer.gaps(std::slice::from_ref(gap))
    }

    /// What was not shown, and what was not asked.
    fn conclude(&self) {
        if self.within > 0 || self.before > 0 {
            hint(ONLY_ITSELF);
        }
        self.printer.conclude();
    }

    /// Whether the points were there.
    fn exit(&self, options: &LogOptions) -> u8 {
        let reached = |point: &Point| match (point, self.last) {
            (Point::Head | Point::Back(_), _) => true,
            // The head itself can be named by its time, although nothing follows that would show where that is.
            (Point::Time(time), Some(last)) => self.passage.has_ended() || last == time.micros(),
            _ => self.passage.has_ended(),
        };
        let not_begun = options.selection.since.filter(|_| !self.passage.has_begun());
        let not_ended =
            options.selection.until.filter(|_| self.until.is_some_and(|until| !reached(&until)));
        let Some(point) = not_begun.or(not_ended) else { return self.found(options) };
        let what = match point {
            Point::Event(id) => format!("no entry of this file is of event {id}"),
            _ => format!("{point} lies beyond the head: the chain cannot say what happened later"),
        };
        complain(NO, &what, "name a point of this file, such as head")
    }

    /// Whether anything was between the points.
    fn found(&self, options: &LogOptions) -> u8 {
        if self.within > 0 || self.missing > 0 || self.before > 0 {
            return 0;
        }
        let (what, next) = match (options.selection.since, options.selection.until) {
            (Some(since), Some(until)) => (
                format!("no entry of this file lies from {since} to {until}"),
                "name a --since that is not behind --until, and an entry between them",
            ),
            (None, Some(until)) => {
                (format!("{until} lies before entry 0"), "name a point from entry 0 on")
            }
            // A file without any entry is a fault; here the verifier has found none.
            _ => ("no entry was found".to_owned(), "see what sigchain verify says of this file"),
        };
        complain(NO, &what, next)
    }
}
