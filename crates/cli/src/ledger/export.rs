//! `sigchain export` and `sigchain checkpoint`: what a ledger holds as a file, or as a statement about it. Without its lock.
//!
//! Both verify all of it first: a signature over what nobody has looked at would vouch for whatever somebody has put there.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use sigchain::chainfile::Writer;
use sigchain::checkpoint::Checkpoint;
use sigchain::directory::Directory;
use sigchain::signer::Signer as _;
use sigchain::verify::{Anchors, Report, Seen, Verifier};

use crate::args::{CheckpointOptions, ExportOptions};
use crate::exit;
use crate::held;
use crate::input::{self, Places};
use crate::ledger::{keys, tell, view};
use crate::newfile::NewFile;
use crate::out;
use crate::signing::of_signer;
use crate::trouble::Trouble;

pub(crate) fn run(asked: &ExportOptions) -> Result<u8, Trouble> {
    let directory = view(&asked.place.ledger)?;
    let key = asked.sign.then(|| keys::checkpoints(&directory, &asked.signing)).transpose()?;
    let failed = |error: io::Error| not_written(&asked.output, &error);
    let file = NewFile::begin(&asked.output).map_err(failed)?;
    let mut writer = Writer::new(file, asked.form(), directory.chain_id()).map_err(failed)?;
    let mut broken = None;
    let judged =
        judge(&asked.place.ledger, &directory, &mut |seen| match copy(&mut writer, seen) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                broken = Some(error);
                ControlFlow::Break(())
            }
        })?;
    if let Some(error) = broken {
        return Err(failed(error));
    }
    let Some(report) = judged else { return Ok(exit::NO) };
    let entries = writer.size();
    let file = match &key {
        Some(key) => {
            let (size, root) = (writer.size(), writer.root());
            let checkpoint = Checkpoint::by_signer(&origin(&report), size, root, key);
            writer.finish_with(checkpoint.map_err(|error| of_signer(&error))?)
        }
        None => writer.finish_unsigned(),
    };
    file.and_then(NewFile::finish).map_err(failed)?;
    let of = format!("{} of {}", out::entries(entries), out::safe(&report.name));
    tell(&format!("wrote {of} to \"{}\"", out::safe(&asked.output.to_string_lossy())));
    match &key {
        Some(key) => tell(&format!("its end is signed by checkpoint key {}", key.id())),
        None => tell(
            "its end is unsigned: nobody says that this is all; --sign does, with the checkpoint key",
        ),
    }
    Ok(0)
}

pub(crate) fn checkpoint(asked: &CheckpointOptions) -> Result<u8, Trouble> {
    let path = &asked.place.ledger;
    let directory = view(path)?;
    let key = keys::checkpoints(&directory, &asked.signing)?;
    let Some(report) = judge(path, &directory, &mut |_| ControlFlow::Continue(()))? else {
        return Ok(exit::NO);
    };
    let Some(root) = report.root else {
        let what = "no root is known over this ledger";
        return Err(Trouble::unreadable(what, "one over all entries", "sigchain verify LEDGER"));
    };
    let checkpoint = Checkpoint::by_signer(&origin(&report), report.entries, root, &key);
    out::print(&checkpoint.map_err(|error| of_signer(&error))?.encode())?;
    Ok(0)
}

fn origin(report: &Report) -> String {
    report.chain_id.map_or(String::new(), |id| format!("{}/{id}", report.name))
}

fn copy(writer: &mut Writer<NewFile>, seen: &Seen<'_>) -> io::Result<()> {
    match seen {
        Seen::Entry(shown) => {
            let written = shown.written;
            let entry = written.entry(&shown.item.chain_id);
            writer.entry(written.left, entry, written.part.clone())
        }
        Seen::Gap(gap) => writer.gap((*gap).clone()),
        Seen::Seal(seal) => writer.seal((*seal).clone()),
        _ => Ok(()),
    }
}

/// Verifies all of it, and shows it on the way. Nothing if there are faults, which are then told, or if the watcher ended it.
///
/// A ledger that was set back to an older copy has none of its own: what this machine has anchored shows it, and a checkpoint over less
/// or over another branch would be a second statement in the key's name.
fn judge(
    path: &Path,
    directory: &Directory,
    watch: &mut dyn FnMut(&Seen<'_>) -> ControlFlow<()>,
) -> Result<Option<Report>, Trouble> {
    let failed = |error: io::Error| input::cannot_read(&input::name(path), &error);
    let mut anchors = Anchors::default();
    anchors.checkpoints.extend(held::own(&directory.chain_id()).map_err(failed)?);
    // Behind what was anchored: somebody may be writing.
    directory.refresh().map_err(failed)?;
    let stream = directory.stream().map_err(failed)?;
    let places = Places::Segments(stream.atlas());
    let verifier = Verifier::new().open_ended(true).anchored(anchors);
    let report = verifier.replay(stream, watch).map_err(failed)?;
    let Some(fault) = report.as_ref().and_then(|report| report.faults.first()) else {
        return Ok(report);
    };
    let (expected, found) = (out::safe(&fault.expected), out::safe(&fault.found));
    let place = places.describe(fault);
    tell(&format!(
        "sigchain: faulty: {} at {place}: expected {expected}, found {found}",
        fault.code
    ));
    tell("  next: nothing was written or signed; sigchain verify LEDGER says more");
    Ok(None)
}

fn not_written(path: &Path, error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let what = format!("\"{}\" exists already", path.display());
        return Trouble::usage(what, "a name that is not taken: nothing is overwritten");
    }
    Trouble::unreadable(
        format!("cannot write \"{}\": {error}", path.display()),
        "a directory that can be written to, with room",
        "no file was left there; give another name or make room",
    )
}
