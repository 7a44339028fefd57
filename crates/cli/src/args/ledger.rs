//! Arguments of the commands about a ledger on files: init, append, export, checkpoint, status.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};
use sigchain::chainfile::Form;
use sigchain::directory::Limits;
use sigchain::disk::Lenience;
use sigchain::ledger::Files;
use sigchain::mirror;

use crate::args::{Command, file_or_ledger, once, path_of_environment};
use crate::ledger::{Append, Draft, Export, Init};
use crate::trouble::Trouble;

pub(super) const HELP_INIT: &str = "\
sigchain init LEDGER --name NAME [OPTIONS]

Makes a new chain in the directory LEDGER, which must be empty or not there, and its two keys, one for entries and one for
checkpoints, in $SIGCHAIN_HOME/keys (by default ~/.local/state/sigchain/keys). Says on standard error what it made; the one line on
standard output is to be kept elsewhere: it is what `sigchain verify` takes.

  --name NAME        what the chain is called, such as example.org/agents; its checkpoints bear it
  --operator FILE    the public key (PEM) of an operator, who is kept offline and alone can revoke keys; up to three times.
                     Without one a stolen key can never be revoked, and a lost one ends the chain
  --wait SECONDS     wait for another who is making a chain there
  --allow-memory     put up with a file system in memory: a restart takes the chain with it
  --allow-network    put up with a file system of another machine, whose locks and syncs may not hold

Exit codes:
  0  made
  2  the call makes no sense, or something is there already: nothing is overwritten
  4  unreadable: a key, $SIGCHAIN_HOME, or the place for the ledger
  5  refused, and nothing was made
  7  another one is at work there
";

pub(super) const HELP_APPEND: &str = "\
sigchain append [LEDGER] --type TYPE --actor ACTOR [OPTIONS]
sigchain append [LEDGER] --lines [OPTIONS]

Records one event, or one for each line of JSON on standard input, in the directory LEDGER; by default $SIGCHAIN_LEDGER. Prints a
receipt, which means: signed, linked and on disk. Without a receipt do not act. Keys are taken from $SIGCHAIN_HOME/keys.

  --type TYPE          what happened: dotted lower-case words, tool.call
  --actor ACTOR        who did it or met it
  --payload JSON       what comes with it; @FILE is a file's bytes, - those of standard input
  --media-type TYPE    what the payload is; application/json unless you say otherwise
  --episode ID         the run or session that it belongs to
  --correlation ID     your own thread of work
  --cause EVENT        the event that caused it: an event id, or a reference of another ledger (sigchain1...)
  --trace ID           W3C trace (32 hex digits), and with it
  --span ID            the span (16 hex digits)
  --event-id ID        a UUID of version 7: the same event under the same id is recorded once, however often it is sent
  --valid-from TIME, --valid-to TIME   when it was true (2026-11-20T05:00:00Z)

  --lines              one JSON object a line, with these keys: type actor episode cause correlation trace span event_id valid_from
                       valid_to payload media_type ref. All but type and payload may be missing; the flags above say what then
                       holds. One line of JSON comes out for each, in order, as it becomes durable. SIGTERM and the end of
                       the input end it when all that was read is told. For programs: spec/lines.md
  --json               the receipt, or why there is none, as one JSON object (spec/sigchain-outcome.schema.json)
  --wait SECONDS       wait for another writer to let go; without it that is exit code 7 at once
  --segment-bytes N    from so many bytes on a file of the ledger is sealed and the next one begun; 67108864 unless you say otherwise
  --allow-memory, --allow-network   as for init; sigchain help init
  --mirror DIR         keep a live log of all entries in DIR, one JSON object a line, for tail -F, grep and jq; made if it is not
                       there, and $SIGCHAIN_MIRROR unless you say otherwise. The ledger remembers none: an append without it
                       leaves the mirror as it is, and the next with it catches up. Nothing waits for it but the end of
                       this command, for a minute at most; what goes wrong with it is told and is no failure

Exit codes:
  0  recorded, all of it
  2  the call makes no sense
  4  unreadable: the ledger, a key, the payload
  5  something was refused: nothing of that is recorded, do not act
  6  uncertain: it may or may not be recorded; sigchain show LEDGER EVENT says which
  7  another writer holds the ledger
";

pub(super) const HELP_EXPORT: &str = "\
sigchain export [LEDGER] -o FILE [OPTIONS]

Writes all durable entries of LEDGER (by default $SIGCHAIN_LEDGER) as one file that proves itself. Verifies them on the way. Takes no
lock: it can run while another process writes. FILE appears whole or not at all, and is never put in the place of another.

  -o, --output FILE   where to
  --form FORM         sigchain (a chain file, which is the default) or jsonl (JSON lines)
  --sign              end it with a checkpoint by the chain's checkpoint key, from $SIGCHAIN_HOME/keys. Without it nobody says
                      that the end of the file is the end of what there was

Exit codes:
  0  written
  1  the ledger is faulty, or ends before what this machine has anchored of it: nothing was written
  2  the call makes no sense, or FILE is there already
  4  unreadable: the ledger or the key; or FILE cannot be written
";

pub(super) const HELP_FORGET: &str = "\
sigchain forget LEDGER

This machine remembers in $SIGCHAIN_HOME which chain was made in which directory, so that init does not begin another one where one was
lost (LEDGER_LOST). This forgets it for the directory LEDGER: for when the chain that is gone is meant to be gone. What was anchored of
it stays, and nothing in LEDGER is touched.

Exit codes:
  0  forgotten, or nothing was remembered
  2  the call makes no sense
  4  unreadable: $SIGCHAIN_HOME, or the path
";

pub(super) const HELP_CHECKPOINT: &str = "\
sigchain checkpoint [LEDGER]

Prints a checkpoint, a C2SP signed note, over all durable entries of LEDGER (by default $SIGCHAIN_LEDGER), by the chain's checkpoint
key from $SIGCHAIN_HOME/keys. Verifies all of them first. Takes no lock. Keep the note where nobody who can write the ledger can:
`sigchain verify LEDGER --checkpoint NOTE` then shows whether anything before it was changed, or cut off.

Exit codes:
  0  signed
  1  the ledger is faulty, or ends before what this machine has anchored of it: nothing was signed
  2  the call makes no sense
  4  unreadable: the ledger or the key
";

pub(super) const HELP_STATUS: &str = "\
sigchain status [LEDGER] [--json]

How LEDGER (by default $SIGCHAIN_LEDGER) stands: chain, head, keys and whether this user has them, last seal, who wrote last, files,
bytes set aside. Reads what the files say and verifies nothing, so that it is quick however long the chain is. Takes no lock.

  --json   one JSON object (spec/sigchain-status.schema.json) instead of text

Exit codes:
  0  told
  2  the call makes no sense
  4  unreadable
";

/// What was said of the files of a ledger that is to be written.
#[derive(Debug, Default)]
struct OfFiles {
    wait: Duration,
    lenience: Lenience,
    segment: Option<u64>,
    mirror: Option<PathBuf>,
}

impl OfFiles {
    fn files(self) -> Files {
        let limits = Limits::default();
        let limits = Limits { bytes: self.segment.unwrap_or(limits.bytes), ..limits };
        let files = Files::new().wait(self.wait).lenience(self.lenience).limits(limits);
        match self.mirror {
            Some(mirror) => files.mirror(&mirror, mirror::Options::new()),
            None => files,
        }
    }
}

pub(super) fn init(mut parser: Parser) -> Result<Command, Trouble> {
    let (mut ledger, mut name, mut files) = (None, None, OfFiles::default());
    let mut operators: Vec<PathBuf> = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_INIT)),
            Arg::Long("name") => text_once(&mut name, parser.value()?, "--name")?,
            Arg::Long("operator") => operators.push(parser.value()?.into()),
            Arg::Long("wait") => files.wait = seconds(&parser.value()?)?,
            Arg::Long("allow-memory") => files.lenience.memory = true,
            Arg::Long("allow-network") => files.lenience.network = true,
            Arg::Value(value) => once(&mut ledger, value, "LEDGER")?,
            other => return Err(other.unexpected().into()),
        }
    }
    if operators.len() > 3 {
        let what = format!("--operator was given {} times", operators.len());
        return Err(Trouble::usage(what, "at most three"));
    }
    let ledger = file_or_ledger(ledger, "sigchain init LEDGER --name NAME")?;
    let expected = "--name NAME, such as example.org/agents";
    let name = name.ok_or_else(|| Trouble::usage("no name was given", expected))?;
    let files = files.files();
    Ok(Command::Init(Init { ledger, name, operators, files }))
}

pub(super) fn append(mut parser: Parser) -> Result<Command, Trouble> {
    let (mut ledger, mut payload, mut files) = (None, None, OfFiles::default());
    let (mut lines, mut json) = (false, false);
    let mut draft = Draft::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_APPEND)),
            Arg::Long("json") => json = true,
            Arg::Long("lines") => lines = true,
            Arg::Long("mirror") => once(&mut files.mirror, parser.value()?, "--mirror")?,
            Arg::Long("payload") => {
                if payload.replace(parser.value()?).is_some() {
                    return Err(Trouble::usage("--payload was given twice", "one"));
                }
            }
            Arg::Long("wait") => files.wait = seconds(&parser.value()?)?,
            Arg::Long("segment-bytes") => files.segment = Some(bytes(&parser.value()?)?),
            Arg::Long("allow-memory") => files.lenience.memory = true,
            Arg::Long("allow-network") => files.lenience.network = true,
            Arg::Long(long) => {
                let long = long.to_owned();
                let flag = format!("--{long}");
                // Keys have underscores where flags have hyphens.
                let key = if long.contains('_') { String::new() } else { long.replace('-', "_") };
                let Some(slot) = draft.text(&key) else {
                    return Err(Arg::Long(&long).unexpected().into());
                };
                text_once(slot, parser.value()?, &flag)?;
            }
            Arg::Value(value) => once(&mut ledger, value, "LEDGER")?,
            other @ Arg::Short(_) => return Err(other.unexpected().into()),
        }
    }
    let ledger = file_or_ledger(ledger, "sigchain append LEDGER")?;
    check(&draft, payload.is_some(), lines, json)?;
    files.mirror = files.mirror.or_else(|| path_of_environment("SIGCHAIN_MIRROR"));
    let files = files.files();
    Ok(Command::Append(Box::new(Append { ledger, draft, payload, lines, json, files })))
}

/// What cannot be asked for together, or is missing.
fn check(draft: &Draft, has_payload: bool, lines: bool, json: bool) -> Result<(), Trouble> {
    if lines {
        let own = [
            ("--payload", has_payload),
            ("--event-id", draft.event_id.is_some()),
            ("--json", json),
        ];
        return match own.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(Trouble::usage(
                format!("{flag} with --lines"),
                "each line to say that for itself",
            )),
            None => Ok(()),
        };
    }
    if draft.event_type.is_none() || draft.actor.is_none() {
        let what = "no --type or no --actor";
        return Err(Trouble::usage(what, "both, such as --type tool.call --actor agent:planner"));
    }
    if draft.media_type.is_some() && !has_payload {
        return Err(Trouble::usage("--media-type without --payload", "both"));
    }
    if draft.span.is_some() && draft.trace.is_none() {
        return Err(Trouble::usage("--span without --trace", "both"));
    }
    Ok(())
}

pub(super) fn export(mut parser: Parser) -> Result<Command, Trouble> {
    let (mut ledger, mut out, mut form, mut sign) = (None, None, Form::ChainFile, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("form") => form = form_of(&parser.value()?)?,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_EXPORT)),
            Arg::Long("output") | Arg::Short('o') => once(&mut out, parser.value()?, "-o")?,
            Arg::Long("sign") => sign = true,
            Arg::Value(value) => once(&mut ledger, value, "LEDGER")?,
            other => return Err(other.unexpected().into()),
        }
    }
    let ledger = file_or_ledger(ledger, "sigchain export LEDGER -o FILE")?;
    let expected = "-o FILE, a name that is not taken";
    let out = out.ok_or_else(|| Trouble::usage("no file to write was named", expected))?;
    Ok(Command::Export(Export { ledger, out, form, sign }))
}

pub(super) fn checkpoint(mut parser: Parser) -> Result<Command, Trouble> {
    let mut ledger = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_CHECKPOINT)),
            Arg::Value(value) => once(&mut ledger, value, "LEDGER")?,
            other => return Err(other.unexpected().into()),
        }
    }
    file_or_ledger(ledger, "sigchain checkpoint LEDGER").map(Command::Checkpoint)
}

pub(super) fn forget(mut parser: Parser) -> Result<Command, Trouble> {
    let mut ledger = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_FORGET)),
            Arg::Value(value) => once(&mut ledger, value, "LEDGER")?,
            other => return Err(other.unexpected().into()),
        }
    }
    // By its name alone: what the environment names is in use.
    let expected = "sigchain forget LEDGER";
    let ledger = ledger.ok_or_else(|| Trouble::usage("no ledger was named", expected))?;
    Ok(Command::Forget(ledger))
}

pub(super) fn status(mut parser: Parser) -> Result<Command, Trouble> {
    let (mut ledger, mut json) = (None, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(HELP_STATUS)),
            Arg::Long("json") => json = true,
            Arg::Value(value) => once(&mut ledger, value, "LEDGER")?,
            other => return Err(other.unexpected().into()),
        }
    }
    let ledger = file_or_ledger(ledger, "sigchain status LEDGER")?;
    Ok(Command::Status { ledger, json })
}

fn text_once(slot: &mut Option<String>, value: OsString, name: &str) -> Result<(), Trouble> {
    let text = value.into_string().map_err(|value| {
        let what = format!("{name} \"{}\" is no text", value.to_string_lossy());
        Trouble::usage(what, "UTF-8")
    })?;
    match slot.replace(text) {
        Some(_) => Err(Trouble::usage(format!("{name} was given twice"), "one")),
        None => Ok(()),
    }
}

fn seconds(value: &OsString) -> Result<Duration, Trouble> {
    let parsed = value.to_str().and_then(|text| text.parse().ok()).filter(|n| *n <= 86_400);
    parsed.map(Duration::from_secs).ok_or_else(|| {
        let what = format!("\"{}\" is no time to wait", value.to_string_lossy());
        Trouble::usage(what, "whole seconds, at most 86400")
    })
}

fn bytes(value: &OsString) -> Result<u64, Trouble> {
    let parsed = value.to_str().and_then(|text| text.parse().ok()).filter(|n| *n > 0);
    parsed.ok_or_else(|| {
        let what = format!("\"{}\" is no number of bytes", value.to_string_lossy());
        Trouble::usage(what, "a whole number above 0, such as 1048576")
    })
}

fn form_of(value: &OsString) -> Result<Form, Trouble> {
    match value.to_str() {
        Some("sigchain") => Ok(Form::ChainFile),
        Some("jsonl") => Ok(Form::JsonLines),
        _ => {
            let what = format!("\"{}\" is no form", value.to_string_lossy());
            Err(Trouble::usage(what, "sigchain or jsonl"))
        }
    }
}
