//! What something is taken from: a ledger, a chain file or JSON lines; verified while it is read.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sigchain::checkpoint::Checkpoint;
use sigchain::directory::Directory;
use sigchain::point::Point;
use sigchain::replay::{ReplayError, Source as _, settle};
use sigchain::verify::{Anchors, Report, Seen, Verifier};

use crate::args::{Selection, is_stdin};
use crate::exit::{NO, UNREADABLE};
use crate::history::{self, Opened};
use crate::input;
use crate::ledger;
use crate::out;
use crate::trouble::Trouble;
use crate::{held, out::safe};

/// The answer is no: there is nothing of what was asked for.
pub(crate) fn nothing(what: &str, expected: &str, next: &str) -> Trouble {
    Trouble::of_ledger(NO, what, expected, &format!("nothing was written or signed: {next}"))
}

/// Two points, settled in terms of the record.
pub(crate) type Points = (Option<Point>, Option<Point>);

/// A record that was opened.
pub(crate) struct Record {
    path: PathBuf,
    directory: Option<Directory>,
    opened: Opened,
    /// What it is compared with.
    anchors: Vec<Checkpoint>,
    /// Whether signatures are taken on the word of the largest of these.
    on_word: bool,
}

/// Against these.
fn verifier(held: &[Checkpoint]) -> Verifier {
    let mut anchors = Anchors::default();
    anchors.checkpoints = held.to_vec();
    Verifier::new().anchored(anchors)
}

impl Record {
    /// Opens it, to be compared with what was held, and a ledger with what this machine has anchored too.
    ///
    /// A ledger that was set back to an older copy has no fault of its own: what this machine has anchored shows it, and a checkpoint over
    /// less or over another branch would be a second statement in the key's name.
    pub(crate) fn open(path: &Path, held: &[Checkpoint]) -> Result<Self, Trouble> {
        let mut anchors = held.to_vec();
        let is_directory = !is_stdin(path) && input::about(path)?.is_dir();
        let directory = if is_directory { Some(ledger::view(path)?) } else { None };
        if let Some(directory) = &directory {
            // Read before the ledger is: somebody may be writing, and what is anchored meanwhile must not look like an end that was cut.
            let own = held::own(&directory.chain_id())
                .map_err(|error| input::cannot_read(&input::name(path), &error))?;
            anchors.extend(own.filter(|own| !held.contains(own)));
        }
        let opened = history::open(path, verifier(&anchors))?;
        Ok(Self { path: path.to_owned(), directory, opened, anchors, on_word: false })
    }

    /// So many entries of a ledger that another one goes on from, whatever is behind them. What vouches for them is what that states.
    pub(crate) fn open_first(path: &Path, size: u64) -> Result<Self, Trouble> {
        let opened = history::open_first(path, size, Verifier::new())?;
        let (directory, anchors) = (Some(ledger::salvaged(path)?), Vec::new());
        Ok(Self { path: path.to_owned(), directory, opened, anchors, on_word: false })
    }

    /// A record, where signatures below what this machine has anchored of a ledger are taken on the word of that: whoever reads what
    /// comes of it looks at them. Everything else is verified, and the root over all of it.
    pub(crate) fn on_word(self) -> Result<Self, Trouble> {
        if self.directory.is_none() || self.anchors.is_empty() {
            return Ok(self);
        }
        let opened = history::open(&self.path, verifier(&self.anchors).on_word(true))?;
        Ok(Self { opened, on_word: true, ..self })
    }

    /// The ledger, if it is one.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref()
    }

    /// What it is compared with.
    pub(crate) fn anchors(&self) -> &[Checkpoint] {
        &self.anchors
    }

    fn failed(&self, error: &io::Error) -> Trouble {
        input::cannot_read(&input::name(&self.path), error)
    }

    /// A point in terms of the record.
    pub(crate) fn settle(&mut self, point: &Point) -> Result<Point, Trouble> {
        let before = || {
            let what = format!("{point} lies before entry 0");
            nothing(&what, "a point from entry 0 on", "name another one")
        };
        match settle(point, &mut self.opened.source) {
            Ok(settled) => settled.ok_or_else(before),
            Err(ReplayError::Io(error)) => Err(self.failed(&error)),
            Err(error) => {
                let expected = "a file, or a point that does not count from the head";
                Err(Trouble::usage(history::sentence(&error), expected))
            }
        }
    }

    /// The points of a selection in terms of the record. For a beginning, a record that is shorter than what was asked for is no trouble:
    /// all of it is taken.
    pub(crate) fn points(&mut self, selection: &Selection) -> Result<Points, Trouble> {
        let since = match selection.since {
            Some(point) if point.is_relative() => {
                let back = if let Point::Back(back) = point { back } else { 0 };
                let size = self.opened.source.size().map_err(|error| self.failed(&error))?;
                let Some(size) = size else {
                    let what = format!("--since {point} counts from the head of what is read once");
                    let expected = "a file, or a point that does not count from the head";
                    return Err(Trouble::usage(what, expected));
                };
                Some(Point::Sequence(size.saturating_sub(back.saturating_add(1))))
            }
            since => since,
        };
        let until = selection.until.map(|point| self.settle(&point)).transpose()?;
        Ok((since, until))
    }

    /// Verifies all of it and shows it on the way. Faults are trouble, and so is what the watcher finds.
    pub(crate) fn read(
        &mut self,
        watch: &mut dyn FnMut(&Seen<'_>) -> Result<(), Trouble>,
    ) -> Result<Report, Trouble> {
        let mut broken = None;
        let end = self.opened.source.watch(&mut |seen| match watch(seen) {
            Ok(()) => ControlFlow::Continue(()),
            Err(trouble) => {
                broken = Some(trouble);
                ControlFlow::Break(())
            }
        });
        let end = end.map_err(|error| self.failed(&error))?;
        if let Some(trouble) = broken {
            return Err(trouble);
        }
        let report = end.and_then(|end| end.report).ok_or_else(|| {
            self.failed(&io::Error::other("a verification that ended before the end"))
        })?;
        let report = if report.faults.is_empty() { report } else { self.look_again(report)? };
        let Some(fault) = report.faults.first() else { return Ok(report) };
        let (expected, found) = (safe(&fault.expected), safe(&fault.found));
        let (code, place) = (fault.code, self.opened.places.describe(fault));
        let what = format!("faulty: {code} at {place}: expected {expected}, found {found}");
        let exit = if code.is_unreadable() { UNREADABLE } else { NO };
        let next = "nothing was written or signed; sigchain verify LEDGER says more";
        Err(Trouble::of_ledger(exit, what, "a record without faults", next))
    }

    /// What is wrong, where signatures were taken on word: without them the first fault may be another.
    fn look_again(&mut self, report: Report) -> Result<Report, Trouble> {
        if !self.on_word {
            return Ok(report);
        }
        self.opened = history::open(&self.path, verifier(&self.anchors))?;
        let end = self.opened.source.watch(&mut |_| ControlFlow::Continue(()));
        let end = end.map_err(|error| self.failed(&error))?;
        // What was written on the way is of the first reading: if that had faults there is nothing to be had, whatever the second one says.
        let again = end.and_then(|end| end.report).filter(|again| !again.faults.is_empty());
        Ok(again.unwrap_or(report))
    }

    /// Says what the record was compared with, if it is a file: of a ledger this machine knows more.
    pub(crate) fn tell_basis(&self, report: &Report) {
        if self.directory.is_some() {
            return;
        }
        let held = report.anchors.iter().filter_map(|anchored| anchored.size).max();
        ledger::tell(&match held {
            Some(size) => {
                format!("compared with the checkpoint that you hold, of {}", out::entries(size))
            }
            None => "verified only against itself, which anybody can arrange; against what you hold: --checkpoint".to_owned(),
        });
    }
}
