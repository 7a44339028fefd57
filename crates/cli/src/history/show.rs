//! `sigchain show`: all of one entry.

use std::fmt::{self, Write as _};
use std::io;
use std::ops::ControlFlow;

use sigchain::digest::Digest;
use sigchain::frame::{Frame, Written};
use sigchain::jsonl;
use sigchain::point::Point;
use sigchain::replay::{
    ChainFile, Each, End, Opening, Replay, ReplayError, Replayed, Side, Source, Step, settle, side,
};
use sigchain::tree;
use sigchain::verify::{Seen, Verifier};

use crate::args::ShowOptions;
use crate::exit::NO;
use crate::history::causes::Causes;
use crate::history::{self, ONLY_ITSELF, basis, complain, entry, exit_of, sentence};
use crate::input;
use crate::out::{self, entries, safe};
use crate::paths::Paths;
use crate::trouble::Trouble;

/// Later entries that are named.
const EFFECTS_SHOWN: usize = 20;
pub(crate) fn run(options: &ShowOptions) -> Result<u8, Trouble> {
    let (path, point) = options.place()?;
    let opened = history::open(&path, Verifier::new())?;
    let mut finder = Finder {
        source: opened.source,
        point,
        is_decided: false,
        found: None,
        effects: Vec::new(),
        more_effects: 0,
        paths: Paths::default(),
    };
    let outcome = find(&mut finder);
    let found = match (outcome, finder.found.take()) {
        (Ok(replayed), Some(found)) if replayed.at.sequence == found.fields.sequence => {
            (replayed, found)
        }
        (Err(ReplayError::Io(error)), _) => return Err(input::cannot_read(&opened.name, &error)),
        (Err(error), _) => {
            let next = "name an entry that is there; sigchain log lists them";
            return Ok(complain(exit_of(&error), &sentence(&error), next));
        }
        _ => {
            let what = "the file changed while it was read";
            return Err(Trouble::unreadable(what, "one that stays as it is", "run it again"));
        }
    };
    let (replayed, written) = found;
    let report = replayed.chapters.first().and_then(|chapter| chapter.end.report.clone());
    let is_clean = report.as_ref().is_some_and(|report| report.counts.is_empty());
    let mut said = String::new();
    if options.json {
        said = jsonl::encode(&Frame::Entry(Box::new(written)));
    } else {
        let causes = Causes::of(&path, written.fields.causation_id);
        let causes = causes.map_err(|error| input::cannot_read(&opened.name, &error))?;
        write(&mut said, &replayed, &written, &finder, &causes, options.proof).map_err(|_| {
            Trouble::unreadable("cannot write the answer", "memory for it", "report this defect")
        })?;
    }
    out::page(&said)?;
    history::hint(ONLY_ITSELF);
    if let Some(report) = report.filter(|_| !is_clean) {
        let mut faults = String::new();
        if basis::faults(&mut faults, &report, &opened.name, &opened.places).is_ok() {
            for line in faults.lines() {
                history::hint(line);
            }
        }
    }
    Ok(if is_clean { 0 } else { NO })
}

fn find(finder: &mut Finder) -> Result<Replayed<()>, ReplayError> {
    if let Point::Head | Point::Back(0) = finder.point
        && let Some(head) = finder.source.size()?.and_then(|size| size.checked_sub(1))
    {
        // Otherwise each entry would be copied, as each may be the last.
        finder.point = Point::Sequence(head);
    } else if let Some(point) = settle(&finder.point, &mut finder.source)? {
        finder.point = point;
    }
    let point = finder.point;
    // An entry stands for itself: what is missing before it does not concern it.
    Replay::until(point).allow_gaps(true).alone(true).run(&mut [finder], ())
}

/// A source that keeps the entry at the point, and notes which later ones name it as their cause.
struct Finder {
    source: ChainFile<'static>,
    point: Point,
    is_decided: bool,
    found: Option<Written<'static>>,
    effects: Vec<(u64, String, String)>,
    more_effects: u64,
    /// The entry's path to the root.
    paths: Paths,
}

impl Source for Finder {
    fn opening(&mut self) -> io::Result<Option<Opening>> {
        self.source.opening()
    }

    fn size(&mut self) -> io::Result<Option<u64>> {
        self.source.size()
    }

    fn read(&mut self, each: &mut Each<'_>) -> io::Result<End> {
        let Self { source, point, is_decided, found, effects, more_effects, paths } = self;
        let mut flow = ControlFlow::Continue(());
        let end = source.watch(&mut |seen| {
            match seen {
                Seen::Entry(shown) => {
                    let fields = shown.item.fields;
                    let mut is_own = false;
                    let cause = found.as_ref().map(|found| found.fields.event_id);
                    if !*is_decided {
                        let side = side(point, fields);
                        let may_be = !matches!(point, Point::Sequence(_) | Point::Event(_));
                        if side == Side::At || (side == Side::Before && may_be) {
                            if let Some(before) = found.take() {
                                paths.forget(before.fields.sequence);
                            }
                            *found = Some(shown.written.clone().into_owned());
                            is_own = true;
                        }
                        *is_decided = side != Side::Before;
                    }
                    paths.push(shown.leaf, is_own);
                    if *is_decided && cause.is_some() && fields.causation_id == cause {
                        if effects.len() < EFFECTS_SHOWN {
                            let (kind, actor) =
                                (fields.event_type.to_string(), fields.actor.to_string());
                            effects.push((fields.sequence, kind, actor));
                        } else {
                            *more_effects = more_effects.saturating_add(1);
                        }
                    }
                    if flow.is_continue() {
                        flow = each(Step::Entry(shown.item, Some(&shown.written.signature)));
                    }
                }
                Seen::Gap(gap) => {
                    for ((_, level), hash) in
                        tree::split(gap.first, gap.count).iter().zip(&gap.hashes)
                    {
                        paths.push_subtree(*hash, *level);
                    }
                    if flow.is_continue() {
                        flow = each(Step::Gap(gap));
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        end.ok_or_else(|| io::Error::other("a verification that was left"))
    }
}

fn write(
    out: &mut String,
    replayed: &Replayed<()>,
    written: &Written<'_>,
    finder: &Finder,
    causes: &Causes,
    is_proven: bool,
) -> fmt::Result {
    let at = &replayed.at;
    let report = replayed.chapters.first().and_then(|chapter| chapter.end.report.as_ref());
    let name = report.map_or(String::new(), |report| safe(&report.name));
    entry::write(out, &name, (&at.chain_id, &at.digest), written)?;
    // Behind a fault nothing was seen, so that nobody knows the tree over all.
    if let Some(report) = report.filter(|report| report.counts.is_empty())
        && let Some(root) = report.root
        && let Some(path) = finder.paths.paths().get(&written.fields.sequence)
    {
        proof(out, path, (report.entries, &root), is_proven)?;
    }
    causes.write(out)?;
    effects(out, finder)
}

/// How it is part of the tree that checkpoints are over.
fn proof(
    out: &mut String,
    path: &[Digest],
    (size, root): (u64, &Digest),
    is_shown: bool,
) -> fmt::Result {
    let count = u64::try_from(path.len()).unwrap_or(u64::MAX);
    let (hashes, size) = (out::hashes(count), entries(size));
    writeln!(out, "proof       by {hashes} it is under the root over {size}:")?;
    writeln!(out, "            {root}")?;
    if !is_shown {
        return writeln!(
            out,
            "            (--proof shows them; sigchain prove puts them into a file)"
        );
    }
    for hash in path {
        writeln!(out, "    {hash}")?;
    }
    Ok(())
}

fn effects(out: &mut String, finder: &Finder) -> fmt::Result {
    if finder.effects.is_empty() {
        return writeln!(out, "no later entry names it as its cause");
    }
    writeln!(out, "later entries that name it as their cause:")?;
    for (sequence, kind, actor) in &finder.effects {
        writeln!(out, "  {sequence:>7}  {:<16}  {}", safe(kind), safe(actor))?;
    }
    match finder.more_effects {
        0 => Ok(()),
        more => writeln!(out, "  and {}", entries(more)),
    }
}
