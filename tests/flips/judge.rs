//! Whether what was altered is found where it is, or is of no effect.

use std::io;

use sigchain::event::Event;
use sigchain::fault::Code;
use sigchain::id::EventId;
use sigchain::ledger::Ledger;
use sigchain::store::{Frames, Store as _};
use sigchain::verify::Verdict;

use crate::flips::subject::{Answers, Place, SOON, Subject};

/// What is looked at besides the verification.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    /// Whether it is opened to append, and something is.
    pub opens: bool,
    /// Whether every entry is read and every id is looked for.
    pub reads: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The verification says so.
    Detected,
    /// Nothing has changed.
    Harmless,
}

/// What was altered of the chain: segment and first byte that is another one, of the first segment; and all segments.
struct Altered {
    first: Option<(usize, usize)>,
    segments: Vec<String>,
    /// Whether only bytes that do not count are others.
    is_dead: bool,
}

fn altered(subject: &Subject, place: &Place) -> Altered {
    let mut altered = Altered { first: None, segments: Vec::new(), is_dead: true };
    let (old, new) = (subject.place.segments(), place.segments());
    for (n, ((name, old), (_, new))) in old.iter().zip(&new).enumerate() {
        let Some(at) = old.iter().zip(new.iter()).position(|(a, b)| a != b) else { continue };
        altered.segments.push(name.clone());
        let counted = subject.frames[n].1.last().unwrap().end;
        if at < counted {
            altered.is_dead = false;
            altered.first = altered.first.or(Some((n, at)));
        }
    }
    altered
}

/// Judges files that were altered.
pub fn judge(subject: &Subject, place: &Place, looks: Looks) -> Result<Outcome, String> {
    let altered = altered(subject, place);
    let outcome = verify(subject, place, &altered)?;
    if looks.reads {
        read(subject, place, &altered)?;
    }
    if looks.opens {
        append(subject, place, &altered, outcome)?;
    }
    Ok(outcome)
}

fn verify(subject: &Subject, place: &Place, altered: &Altered) -> Result<Outcome, String> {
    let right = &subject.right;
    let (report, atlas) = match place.verify() {
        Ok(found) => found,
        Err(error) => {
            let text = error.to_string();
            // Where two segments do not fit it is not known which one was altered.
            let is_named = altered.segments.iter().any(|name| text.contains(name.as_str()))
                || altered.first.is_some_and(|(n, _)| text.contains(&format!("{:010}", n + 1)));
            let is_told = is_named || altered.segments.is_empty();
            return if is_told {
                Ok(Outcome::Detected)
            } else {
                Err(format!("not located: {text}"))
            };
        }
    };
    if report.verdict() == Verdict::Intact {
        let count = usize::try_from(report.entries).unwrap();
        let found = (count, report.head.map(|head| head.digest), report.root, report.chain_id);
        let wanted =
            (right.entries.len(), Some(right.head), Some(right.root), Some(right.chain_id));
        if found == wanted {
            return Ok(Outcome::Harmless);
        }
        return Err(format!("passes for intact: {found:?}"));
    }
    let Some((segment, byte)) = altered.first else { return Ok(Outcome::Detected) };
    let Some(fault) = report.faults.iter().min_by_key(|fault| fault.place) else {
        return Err(format!("{}, but no fault", report.verdict().as_str()));
    };
    let frames = &subject.frames[segment].1;
    let frame = frames.iter().find(|frame| frame.contains(&byte));
    let wanted = frame.map_or(byte, |frame| frame.start);
    // Of how many entries its batch has left an entry is judged by the next one.
    let end = frame.filter(|_| fault.code == Code::Batch).map_or(wanted, |frame| frame.end);
    let found = atlas.locate(fault.place);
    // How much of the segment before counts is said in the next one.
    let is_before = byte < subject.frames[segment].1[0].end
        && found.is_some_and(|(ordinal, _)| usize::try_from(ordinal).unwrap() + 1 == segment);
    let is_there = is_before
        || found.is_some_and(|(ordinal, at)| {
            let at = usize::try_from(at).unwrap();
            usize::try_from(ordinal).unwrap() == segment && (at == wanted || at == end)
        });
    if is_there {
        Ok(Outcome::Detected)
    } else {
        Err(format!("{}: at {found:?}, but it is at {wanted} of {segment}", fault.code))
    }
}

/// Every answer is right, or an error where the chain itself was altered.
fn read(subject: &Subject, place: &Place, altered: &Altered) -> Result<(), String> {
    let Answers { entries, ids, .. } = &subject.right;
    let may_fail = !altered.is_dead;
    let view = match place.view() {
        Ok(view) => view,
        Err(_) if may_fail => return Ok(()),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let count = usize::try_from(view.entries()).unwrap();
    if count != entries.len() {
        return Err(format!("expected {} entries, found {count}", entries.len()));
    }
    let fails = |what: String, error: &io::Error| {
        if may_fail { Ok(()) } else { Err(format!("{what}: {error}")) }
    };
    let mut frames = Frames::new();
    for (n, (entry, id)) in (0..).zip(entries.iter().zip(ids)) {
        match view.read(n, 1, &mut frames) {
            Ok(()) => {
                let found = frames.iter().next().map(|frame| (frame.sequence, frame.body));
                if found != Some((n, entry.as_slice())) {
                    return Err(format!("entry {n} is another"));
                }
            }
            Err(error) => fails(format!("entry {n}"), &error)?,
        }
        match view.find(id) {
            Ok(found) if found == Some(n) => {}
            Ok(found) => return Err(format!("event of entry {n}: found {found:?}")),
            Err(error) => fails(format!("event of entry {n}"), &error)?,
        }
    }
    match view.find(&EventId::new(ids[5].millis(), [7; 10])) {
        Ok(None) => Ok(()),
        Ok(found) => Err(format!("an event that nobody recorded: {found:?}")),
        Err(error) => fails("an event that nobody recorded".to_owned(), &error),
    }
}

/// Opened to append it goes on from the right head, or is refused; and what was wrong before stays so.
fn append(
    subject: &Subject,
    place: &Place,
    altered: &Altered,
    outcome: Outcome,
) -> Result<(), String> {
    let right = &subject.right;
    let copy = place.copy();
    let ledger = match copy.open(9000) {
        Ok(ledger) => ledger,
        Err(_) if outcome == Outcome::Detected => return Ok(()),
        Err(error) => return Err(format!("not opened: {error}")),
    };
    let head = ledger.head();
    if head.digest != right.head {
        return Err(format!("opened at entry {}, another head", head.sequence));
    }
    prove(&ledger, right, outcome)?;
    let receipt = ledger
        .append(Event::new("agent:tester", "test.call").unwrap())
        .map_err(|error| format!("not appended: {error}"))?;
    if usize::try_from(receipt.sequence).unwrap() < right.entries.len() {
        return Err(format!("number {} twice", receipt.sequence));
    }
    ledger.close(SOON).map_err(|error| format!("not closed: {error}"))?;
    drop(ledger);
    let (report, _) = match copy.verify() {
        Ok(found) => found,
        Err(_) if outcome == Outcome::Detected => return Ok(()),
        Err(error) => return Err(format!("after an append: {error}")),
    };
    let is_intact = report.verdict() == Verdict::Intact;
    match outcome {
        Outcome::Detected if is_intact && !altered.is_dead => {
            Err("after an append it passes for intact".to_owned())
        }
        Outcome::Harmless if !is_intact => Err(format!("after an append: {:?}", report.faults)),
        _ if is_intact && report.entries <= receipt.sequence => {
            Err(format!("after an append: {} entries", report.entries))
        }
        _ => Ok(()),
    }
}

fn prove(ledger: &Ledger, right: &Answers, outcome: Outcome) -> Result<(), String> {
    for (n, path) in (0_u64..).zip(&right.paths).step_by(1 + right.paths.len() / 7) {
        match ledger.prove(n) {
            Ok(proof) => {
                if proof.path != *path || proof.checkpoint.root() != right.root {
                    return Err(format!("another proof of entry {n}"));
                }
            }
            Err(_) if outcome == Outcome::Detected => {}
            Err(error) => return Err(format!("proof of entry {n}: {error}")),
        }
    }
    Ok(())
}
