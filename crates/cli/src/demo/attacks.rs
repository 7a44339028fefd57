//! What somebody might do to the record, each time on a copy.

use sigchain::fault::Code;
use sigchain::frame::{Frame, Written};

use crate::demo::recorder::{self, Keys, Outcome};
use crate::demo::run::{self, REFUND, Run};

/// A changed copy, and what verification must say about it.
pub(super) struct Attack {
    pub(super) what: &'static str,
    pub(super) file: Vec<u8>,
    /// The code of the first fault.
    pub(super) code: Code,
    /// Whether the file shows nothing by itself, so that only the held checkpoint can.
    pub(super) needs_anchor: bool,
}

pub(super) fn all(run: &Run, other: &Run, keys: &Keys, outsider: &Keys) -> Outcome<Vec<Attack>> {
    let desk = Desk { run, frames: frames(run, keys)? };
    let attack = |what, code, file| Attack { what, file, code, needs_anchor: false };
    let unseen = |what, code, file| Attack { what, file, code, needs_anchor: true };
    Ok(vec![
        attack("one bit of the refund flips on disk", Code::FrameBody, desk.flip()?),
        attack("a letter of its actor changes, CRC made anew", Code::Signature, desk.rename()?),
        attack("its payload says 400 EUR, CRC made anew", Code::PayloadMismatch, desk.raise()?),
        attack("the refund is taken out", Code::Sequence, desk.without()?),
        attack("call and result change places", Code::Sequence, desk.swap()?),
        attack(
            "an outsider adds an entry with his own key",
            Code::KeyUnknown,
            desk.forge(outsider)?,
        ),
        attack(
            "a genuine entry of another run is spliced in",
            Code::Signature,
            desk.splice(other.whole.frames())?,
        ),
        attack("the last three entries are cut off", Code::TrailerMissing, desk.cut()?),
        unseen(
            "a thief of the entry key rewrites the refund",
            Code::AnchorRoot,
            rewrite(run, keys)?,
        ),
        unseen(
            "rolled back to the genuine file of 6 entries",
            Code::AnchorAhead,
            roll_back(run, keys)?,
        ),
    ])
}

/// The frames of the genuine file.
fn frames(run: &Run, keys: &Keys) -> Outcome<Vec<Frame<'static>>> {
    let mut frames = run.whole.frames().to_vec();
    frames.push(run.whole.trailer(Some(&keys.checkpoint))?);
    Ok(frames)
}

struct Desk<'r> {
    run: &'r Run,
    frames: Vec<Frame<'static>>,
}

fn is_entry(frame: &Frame<'_>, sequence: u64) -> bool {
    matches!(frame, Frame::Entry(written) if written.fields.sequence == sequence)
}

fn place_of(frames: &[Frame<'_>], sequence: u64) -> Outcome<usize> {
    let found = frames.iter().position(|frame| is_entry(frame, sequence));
    Ok(found.ok_or("a run without the entry")?)
}

impl Desk<'_> {
    /// The file with one entry changed by somebody who makes the CRCs fit.
    fn edited(
        &self,
        sequence: u64,
        edit: impl FnOnce(&mut Written<'static>) -> Outcome<()>,
    ) -> Outcome<Vec<u8>> {
        let mut frames = self.frames.clone();
        let place = place_of(&frames, sequence)?;
        if let Some(Frame::Entry(written)) = frames.get_mut(place) {
            edit(written)?;
        }
        recorder::assemble(&frames)
    }

    fn flip(&self) -> Outcome<Vec<u8>> {
        const INTO_BODY: usize = 16 + 40;
        let (before, _) = self.frames.split_at(place_of(&self.frames, REFUND)?);
        let at = recorder::assemble(before)?.len() + INTO_BODY;
        let mut file = recorder::assemble(&self.frames)?;
        *file.get_mut(at).ok_or("a file that is too short")? ^= 1;
        Ok(file)
    }

    fn rename(&self) -> Outcome<Vec<u8>> {
        self.edited(REFUND, |written| {
            written.fields.actor = written.fields.actor.replace("planner", "planter").into();
            Ok(())
        })
    }

    fn raise(&self) -> Outcome<Vec<u8>> {
        self.edited(REFUND, |written| {
            let bytes = recorder::whole(&mut written.part).ok_or("a payload by field")?;
            let text = String::from_utf8(bytes.clone())?;
            *bytes = text.replace("40.00", "400.00").into_bytes();
            Ok(())
        })
    }

    fn without(&self) -> Outcome<Vec<u8>> {
        let mut frames = self.frames.clone();
        frames.retain(|frame| !is_entry(frame, REFUND));
        recorder::assemble(&frames)
    }

    fn swap(&self) -> Outcome<Vec<u8>> {
        let mut frames = self.frames.clone();
        let (call, result) = (place_of(&frames, REFUND)?, place_of(&frames, REFUND + 1)?);
        frames.swap(call, result);
        recorder::assemble(&frames)
    }

    fn forge(&self, outsider: &Keys) -> Outcome<Vec<u8>> {
        let written = self.run.whole.next(run::false_refund("agent:planner")?, &outsider.entry)?;
        let mut frames = self.frames.clone();
        let trailer = frames.len().saturating_sub(1);
        frames.insert(trailer, Frame::Entry(Box::new(written)));
        recorder::assemble(&frames)
    }

    fn splice(&self, other: &[Frame<'static>]) -> Outcome<Vec<u8>> {
        let foreign = other.get(place_of(other, REFUND)?).ok_or("another run without the entry")?;
        let mut frames = self.frames.clone();
        let place = place_of(&frames, REFUND)?;
        *frames.get_mut(place).ok_or("a run without the entry")? = foreign.clone();
        recorder::assemble(&frames)
    }

    fn cut(&self) -> Outcome<Vec<u8>> {
        let (kept, _) = self.frames.split_at(place_of(&self.frames, self.run.whole.size() - 3)?);
        recorder::assemble(kept)
    }
}

/// The thief holds no checkpoint key: his file ends unsigned, as an honest export without that key does.
fn rewrite(run: &Run, keys: &Keys) -> Outcome<Vec<u8>> {
    let rewritten = run::rewrite(run, keys)?;
    let mut frames = rewritten.frames().to_vec();
    frames.push(rewritten.trailer(None)?);
    recorder::assemble(&frames)
}

fn roll_back(run: &Run, keys: &Keys) -> Outcome<Vec<u8>> {
    let mut frames = run.early.frames().to_vec();
    frames.push(run.early.trailer(Some(&keys.checkpoint))?);
    recorder::assemble(&frames)
}
