//! `sigchain verify`: judges a file, and says what the verdict rests on.

mod against;
mod archives;
mod chain;
mod gate;
mod human;
mod json;
mod line;
mod listed;
mod progress;
mod single;
mod words;

use std::io::ErrorKind;
use std::{fmt, fs};

use sigchain::directory::Directory;
use sigchain::disk;
use sigchain::verify::Verdict;

use crate::access;
use crate::args::VerifyOptions;
use crate::exit::{NO, UNREADABLE};
use crate::held::Held;
use crate::input::{Input, Kind};
use crate::look::{Paint, paint};
use crate::out;
use crate::trouble::Trouble;

pub(crate) use crate::verify::against::Compared;
pub(crate) use crate::verify::archives::pass as pass_gap;
pub(crate) use crate::verify::chain::View;
pub(crate) use crate::verify::gate::Gate;
pub(crate) use crate::verify::words::{UNPROVEN, UNTIED, anchored, beyond, missing, taken};

/// Files that are no pieces of one chain any more are a finding, not something that kept anybody from looking.
fn of_files(options: &VerifyOptions, trouble: Trouble) -> Trouble {
    let path = &options.place.ledger;
    let (code, what, _) = trouble.parts();
    let is_segment =
        |name: fs::DirEntry| name.file_name().to_string_lossy().starts_with("segment-");
    let has_segments = fs::read_dir(path).is_ok_and(|names| names.flatten().any(is_segment));
    // Whoever made them may well find nothing wrong with them.
    let is_newer = || {
        let opened = disk::open_to_read(path).and_then(Directory::view);
        opened.is_err_and(|error| error.kind() == ErrorKind::Unsupported)
    };
    if code != "LEDGER_FILES" || !has_segments || is_newer() {
        return trouble;
    }
    let what = format!("\"{}\" is faulty: {what}", path.display());
    let next = "keep the files as they are; who appends finds it quarantined, and then: \
                sigchain quarantine reconcile LEDGER --from COPY --note TEXT";
    Trouble::of_ledger(NO, what, "segments that are pieces of one chain", next).coded(code)
}

pub(crate) fn run(options: &VerifyOptions) -> Result<u8, Trouble> {
    let held = Held::load(&options.held)?;
    if let Some(folder) = archives::folder(&options.place.ledger)? {
        return archives::run(options, &held, &folder);
    }
    let input = Input::open(&options.place.ledger).map_err(|trouble| of_files(options, trouble))?;
    let is_ledger = input.places().is_ledger();
    if !is_ledger {
        access::only_in_a_ledger(&options.record)?;
    }
    match input.kind() {
        Kind::Chain => {
            if !is_ledger {
                if options.resume && held.checkpoints.is_empty() {
                    let what = "--resume of a file without --checkpoint";
                    let expected = "a checkpoint on whose word signatures are taken";
                    return Err(Trouble::usage(what, expected));
                }
                return chain::run(options, &held, input);
            }
            let (held, unread) = held.with_own(input.head());
            drop(input);
            if options.resume && held.checkpoints.is_empty() {
                out::note("there is nothing to resume from: all of it is looked at");
            }
            // Its end is looked for anew: somebody who writes may have anchored what was not there yet when it was opened, and that
            // must not look like an end that was cut.
            let exit = chain::run(options, &held, Input::open(&options.place.ledger)?)?;
            Ok(worse(exit, unread.as_ref()))
        }
        kind => {
            if options.against.is_some() || options.resume || options.unique {
                let what = "--against, --resume or --unique with a proof or a checkpoint";
                return Err(Trouble::usage(what, "a chain file or JSON lines"));
            }
            if !(options.reports.is_empty() && options.gated.is_empty()) {
                let what = "--report or --require-gate with a proof or a checkpoint";
                return Err(Trouble::usage(what, "a ledger, a chain file or JSON lines"));
            }
            single::run(options, &held, input, kind == Kind::Proof)
        }
    }
}

/// The exit code of a verdict; `is_self_asserted` says that nothing was given to tie the file to, and that this is wanted.
fn exit_code(verdict: Verdict, is_self_asserted: bool) -> u8 {
    if verdict == Verdict::Unvouched && is_self_asserted { 0 } else { verdict.exit_code() }
}

fn show(render: impl FnOnce(&mut String) -> fmt::Result) -> Result<(), Trouble> {
    let mut text = String::new();
    render(&mut text).map_err(|_| {
        Trouble::unreadable("cannot write the answer", "memory for it", "report this defect")
    })?;
    out::print(&tinted(&text))
}

/// The verdict, with which the answer begins, in its colour.
fn tinted(text: &str) -> String {
    let verdicts = [
        ("intact:", Paint::Good),
        ("unvouched:", Paint::Odd),
        ("faulty:", Paint::Bad),
        ("forked:", Paint::Bad),
        ("other chain:", Paint::Bad),
        ("unreadable:", Paint::Bad),
    ];
    let verdict = verdicts.iter().find(|(word, _)| text.starts_with(word));
    verdict.map_or(text.to_owned(), |(word, colour)| text.replacen(word, &paint(*colour, word), 1))
}

/// Prints what went wrong besides a verdict that was already given; the worse of the two is the exit code.
fn worse(exit: u8, trouble: Option<&Trouble>) -> u8 {
    let Some(trouble) = trouble else { return exit };
    trouble.print();
    // A fault that was found outweighs whatever could not be done.
    if exit == NO { exit } else { trouble.exit().max(UNREADABLE) }
}
