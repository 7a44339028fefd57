//! `sigchain show`: all of one entry.

use std::fmt::{self, Write as _};
use std::io;
use std::ops::ControlFlow;

use sigchain::digest::Digest;
use sigchain::frame::{Frame, Written};
use sigchain::jsonl;
use sigchain::payload::{Leaf, Part, Presence, Slot};
use sigchain::point::Point;
use sigchain::replay::{
    ChainFile, Each, End, Opening, Replay, ReplayError, Replayed, Side, Source, Step, settle, side,
};
use sigchain::text;
use sigchain::verify::{Seen, Verifier};

use crate::args::ShowOptions;
use crate::history::{self, NO, ONLY_ITSELF, basis, complain, exit_of, sentence};
use crate::input;
use crate::out::{self, entries, grouped, safe};
use crate::trouble::Trouble;

/// Later entries that are named.
const EFFECTS_SHOWN: usize = 20;
/// Bytes of a payload that are shown in hexadecimal.
const BYTES_SHOWN: usize = 256;
/// Lines of a payload that are shown as text, and characters of each.
const LINES_SHOWN: usize = 100;
const CHARACTERS_SHOWN: usize = 1000;

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
    };
    let outcome = find(&mut finder);
    let found = match (outcome, finder.found.take()) {
        (Ok(replayed), Some(found)) if replayed.at.sequence == found.fields.sequence => {
            (replayed, found)
        }
        (Err(ReplayError::Io(error)), _) => return Err(input::cannot_read(&opened.name, &error)),
        (Err(error), _) => {
            complain(&sentence(&error), "name an entry that is there; sigchain log lists them");
            return Ok(exit_of(&error));
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
        write(&mut said, &replayed, &written, &finder).map_err(|_| {
            Trouble::unreadable("cannot write the answer", "memory for it", "report this defect")
        })?;
    }
    out::print(&said)?;
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
}

impl Source for Finder {
    fn opening(&mut self) -> io::Result<Option<Opening>> {
        self.source.opening()
    }

    fn size(&mut self) -> io::Result<Option<u64>> {
        self.source.size()
    }

    fn read(&mut self, each: &mut Each<'_>) -> io::Result<End> {
        let Self { source, point, is_decided, found, effects, more_effects } = self;
        let mut flow = ControlFlow::Continue(());
        let end = source.watch(&mut |seen| {
            match seen {
                Seen::Entry(shown) => {
                    let fields = shown.item.fields;
                    let cause = found.as_ref().map(|found| found.fields.event_id);
                    if !*is_decided {
                        let side = side(point, fields);
                        let may_be = !matches!(point, Point::Sequence(_) | Point::Event(_));
                        if side == Side::At || (side == Side::Before && may_be) {
                            *found = Some(shown.written.clone().into_owned());
                        }
                        *is_decided = side != Side::Before;
                    }
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
                Seen::Gap(gap) if flow.is_continue() => flow = each(Step::Gap(gap)),
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
) -> fmt::Result {
    let (at, fields) = (&replayed.at, &written.fields);
    let none = || "-".to_owned();
    let report = replayed.chapters.first().and_then(|chapter| chapter.end.report.as_ref());
    let name = report.map_or(String::new(), |report| safe(&report.name));
    writeln!(out, "entry {} of {name}, chain {}", fields.sequence, at.chain_id)?;
    writeln!(out, "  actor            {}", safe(&fields.actor))?;
    let cause = fields.causation_id.map(|cause| format!("{cause}   (sigchain show FILE {cause})"));
    writeln!(out, "  causation_id     {}", cause.unwrap_or_else(none))?;
    writeln!(
        out,
        "  correlation_id   {}",
        fields.correlation_id.as_deref().map_or_else(none, safe)
    )?;
    writeln!(out, "  episode_id       {}", fields.episode_id.as_deref().map_or_else(none, safe))?;
    writeln!(out, "  event_id         {}", fields.event_id)?;
    writeln!(out, "  event_type       {}", safe(&fields.event_type))?;
    writeln!(out, "  payload_hash     {}", fields.payload_hash)?;
    writeln!(out, "  prior_hash       {}", fields.prior_hash)?;
    writeln!(out, "  schema_version   {}", fields.schema_version)?;
    writeln!(out, "  sequence         {}", fields.sequence)?;
    writeln!(out, "  signer_key_id    {}", fields.signer_key_id)?;
    let or_dash = |value: Option<String>| value.unwrap_or_else(none);
    writeln!(out, "  span_id          {}", or_dash(fields.span_id.map(|id| id.to_string())))?;
    writeln!(
        out,
        "  system_time      {}   (stamp {})",
        fields.system_time,
        fields.system_time.hex()
    )?;
    writeln!(out, "  trace_id         {}", or_dash(fields.trace_id.map(|id| id.to_string())))?;
    writeln!(
        out,
        "  valid_from       {}",
        or_dash(fields.valid_from.map(|time| time.to_string()))
    )?;
    writeln!(out, "  valid_to         {}", or_dash(fields.valid_to.map(|time| time.to_string())))?;
    writeln!(out, "digest      {}", at.digest)?;
    writeln!(out, "signature   {}", text::hex(written.signature.as_bytes()))?;
    writeln!(out, "            accepted, by key {}", fields.signer_key_id)?;
    if written.left > 0 {
        writeln!(out, "batch       {} of it follow", entries(u64::from(written.left)))?;
    }
    payload(out, &written.part)?;
    effects(out, finder)
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

fn payload(out: &mut String, part: &Part<'_>) -> fmt::Result {
    match part {
        Part::Whole(leaf) => {
            write!(out, "payload     ")?;
            value(out, leaf)
        }
        Part::Fields(slots) => {
            let hidden =
                if part.presence() == Presence::Partial { ", not all of them shown" } else { "" };
            let count = u64::try_from(slots.len()).unwrap_or(u64::MAX);
            writeln!(
                out,
                "payload     committed by field, {}{hidden}",
                out::plural(count, "field")
            )?;
            for slot in slots {
                match slot {
                    Slot::Hidden(hash) => hidden_field(out, hash)?,
                    Slot::Shown(leaf) => {
                        write!(
                            out,
                            "  field {}: ",
                            safe(leaf.name.as_deref().unwrap_or_default())
                        )?;
                        value(out, leaf)?;
                    }
                    _ => writeln!(out, "  a field of another kind")?,
                }
            }
            Ok(())
        }
        Part::Erased(by) => writeln!(out, "payload     erased: entry {by} says so"),
        Part::Withheld => {
            writeln!(out, "payload     withheld (in the word of whoever made the file)")
        }
        _ => writeln!(out, "payload     of another kind"),
    }
}

fn hidden_field(out: &mut String, hash: &Digest) -> fmt::Result {
    writeln!(out, "  a hidden field, of hash {hash}")
}

/// Size and type, then the bytes: text line by line, each behind an indent that no line of ours has, or hexadecimal.
fn value(out: &mut String, leaf: &Leaf<'_>) -> fmt::Result {
    let size = u64::try_from(leaf.bytes.len()).unwrap_or(u64::MAX);
    let media_type = if leaf.media_type.is_empty() { "no media type" } else { &leaf.media_type };
    writeln!(out, "{}, {}", out::plural(size, "byte"), safe(media_type))?;
    let is_plain = |c: char| matches!(c, '\t' | '\n' | '\r') || !text::is_control(c);
    match std::str::from_utf8(&leaf.bytes).ok().filter(|text| text.chars().all(is_plain)) {
        Some(text) => plain(out, text),
        None => dump(out, &leaf.bytes),
    }
}

fn plain(out: &mut String, payload: &str) -> fmt::Result {
    let mut is_short = false;
    for (number, line) in payload.lines().enumerate() {
        if number >= LINES_SHOWN {
            is_short = true;
            break;
        }
        is_short |= line.chars().nth(CHARACTERS_SHOWN).is_some();
        writeln!(out, "    | {}", text::shown(line, CHARACTERS_SHOWN))?;
    }
    if is_short {
        writeln!(out, "    (shortened: --json has all of it)")?;
    }
    Ok(())
}

fn dump(out: &mut String, bytes: &[u8]) -> fmt::Result {
    for (row, piece) in bytes.chunks(16).take(BYTES_SHOWN / 16).enumerate() {
        let hex: Vec<String> = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| {
            if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' }
        };
        let ascii: String = piece.iter().map(shown).collect();
        writeln!(out, "    {:06x}  {:<47}  {ascii}", row * 16, hex.join(" "))?;
    }
    let more = bytes.len().saturating_sub(BYTES_SHOWN);
    if more > 0 {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        writeln!(out, "    (shortened: {} more; --json has all of it)", grouped(more))?;
    }
    Ok(())
}
