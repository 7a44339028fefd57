//! `sigchain status`: how a ledger stands, as its files say. Nothing is verified, so that it is quick however long the chain is.

mod metrics;

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use sigchain::checkpoint::Seal;
use sigchain::directory::{Directory, Writing};
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::ledger::{Ledger, Options};
use sigchain::text;

use crate::actions::Actions;
use crate::args::StatusOptions;
use crate::held;
use crate::key::custody::Custody;
use crate::ledger::keys::{self, Enrolled};
use crate::ledger::{of_io, salvaged};
use crate::out::{self, entries, grouped, plural, safe};
use crate::trouble::Trouble;

/// Segments that are listed.
const SEGMENTS_SHOWN: usize = 10;

/// What this machine has anchored of a ledger.
enum Anchored {
    /// So many entries.
    At(u64),
    Nothing,
    /// It cannot be read.
    Unknown(String),
}

/// What is said of a ledger.
struct Status {
    directory: Directory,
    enrolled: Enrolled,
    custody: Custody,
    anchored: Anchored,
    /// If all entries were to be read for them.
    actions: Option<Actions>,
    head: Option<Written<'static>>,
    seal: Option<Seal>,
    /// The quarantine that halts it, and why.
    quarantine: Option<(EventId, String)>,
    /// Number, bytes that belong to the chain, and bytes of the file.
    segments: Vec<(u64, u64, u64)>,
}

pub(crate) fn run(options: &StatusOptions) -> Result<u8, Trouble> {
    let path = &options.place.ledger;
    let status = Status::read(path, options.actions)?;
    let mut said = String::new();
    if options.metrics {
        said = metrics::render(&status);
    } else if options.json {
        said = out::ascii(&status.json().to_string()) + "\n";
    } else {
        status.write(&mut said).map_err(|_| {
            Trouble::unreadable("cannot write the answer", "memory for it", "report this defect")
        })?;
    }
    out::print(&said)?;
    match &status.anchored {
        Anchored::Unknown(why) => {
            let what = format!("what this machine has anchored cannot be read: {why}");
            let next = "mend that: whether the ledger was cut or set back is not known";
            Err(Trouble::unreadable(what, "anchors that can be read", next))
        }
        Anchored::Nothing | Anchored::At(_) => Ok(0),
    }
}

/// Nothing, where what is there is damaged: how a ledger stands has to be said then too.
fn readable<T>(found: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        found => found,
    }
}

impl Status {
    fn read(path: &Path, wants_actions: bool) -> Result<Self, Trouble> {
        let directory = salvaged(path)?;
        let failed = |error: io::Error| of_io(path, &error);
        let anchored = match held::own(&directory.chain_id()) {
            Ok(Some(checkpoint)) => Anchored::At(checkpoint.size()),
            Ok(None) => Anchored::Nothing,
            Err(error) => Anchored::Unknown(error.to_string()),
        };
        // Behind what was anchored: somebody may be writing.
        directory.refresh().map_err(failed)?;
        let (enrolled, head) = match Enrolled::with_head(&directory) {
            // How a ledger stands has to be said where it is damaged, too.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                (keys::enrolled(&directory), None)
            }
            found => found.map_err(failed)?,
        };
        let seal = readable(directory.last_seal()).map_err(failed)?;
        let segments = directory.segments().map_err(failed)?;
        let quarantine = Ledger::quarantined_at(path, &Options::new()).map_err(failed)?;
        let actions = wants_actions.then(|| Actions::of(&directory)).transpose().map_err(failed)?;
        // Whoever only reads has no keys, and maybe no home: that is no trouble.
        let custody = Custody::look();
        Ok(Self {
            directory,
            enrolled,
            custody,
            anchored,
            actions,
            head,
            seal,
            quarantine,
            segments,
        })
    }

    /// Entries that could be cut off, and this machine would not see it; none if that is not known.
    fn exposed(&self) -> Option<u64> {
        let size = self.directory.entries();
        match self.anchored {
            Anchored::At(anchored) => Some(size.saturating_sub(anchored)),
            Anchored::Nothing => Some(size),
            Anchored::Unknown(_) => None,
        }
    }

    fn is_quarantined(&self) -> bool {
        self.quarantine.is_some() || self.seal.as_ref().is_some_and(|seal| seal.state.quarantined)
    }

    /// Bytes that lie behind what counts of segments that were ended, and behind the durable end of the last one.
    fn aside(&self) -> (u64, u64) {
        let behind = |(_, accepted, length): &(u64, u64, u64)| length.saturating_sub(*accepted);
        let Some((last, before)) = self.segments.split_last() else { return (0, 0) };
        (before.iter().map(behind).sum(), behind(last))
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let directory = &self.directory;
        let (name, chain) = (safe(&self.enrolled.name), directory.chain_id());
        writeln!(text, "{} of {name}, chain {chain}", entries(directory.entries()))?;
        if let Some(head) = &self.head {
            let (fields, digest) = (&head.fields, head.entry(&chain).digest());
            writeln!(text, "  head     entry {}, {}", fields.sequence, fields.system_time)?;
            writeln!(text, "           digest {digest}")?;
        }
        for (id, key) in &self.enrolled.keys {
            let state = match key.until {
                Some(at) => format!("ended by entry {at}"),
                None => self.custody.of(*id).describe(),
            };
            writeln!(text, "  key      {id} ({}), {state}", key.role)?;
        }
        match self.enrolled.operators.len() {
            0 => writeln!(text, "  AT RISK  no operator: a stolen key cannot be revoked")?,
            n => writeln!(
                text,
                "  keys can be revoked by {}",
                plural(n.try_into().unwrap_or(0), "operator")
            )?,
        }
        match &self.seal {
            Some(seal) => writeln!(
                text,
                "  sealed   at {} by key {}{}",
                entries(seal.state.size),
                seal.signer,
                if seal.state.size == directory.entries() { "; nothing follows" } else { "" }
            )?,
            None => writeln!(text, "  sealed   not yet")?,
        }
        self.anchors(text)?;
        if self.is_quarantined() {
            writeln!(text, "  QUARANTINED: it takes no events; sigchain quarantine show LEDGER")?;
            if let Some((id, what)) = &self.quarantine {
                writeln!(text, "           {id}: {}", safe(what))?;
            }
        }
        match &self.actions {
            Some(actions) => writeln!(text, "  actions  {}", describe(actions))?,
            None => writeln!(text, "  actions  not counted: --actions reads all entries for that")?,
        }
        match directory.writing() {
            Some(Writing { host, boot, key, process }) => writeln!(
                text,
                "  written  last by process {process}, key {key}\n           host {}, boot {}",
                text::hex(&host),
                text::hex(&boot)
            )?,
            None => writeln!(text, "  written  by whom is not recorded")?,
        }
        self.files(text)?;
        writeln!(text, "nothing of this was verified: sigchain verify LEDGER")
    }

    fn anchors(&self, text: &mut String) -> fmt::Result {
        let size = self.directory.entries();
        match &self.anchored {
            Anchored::At(anchored) if *anchored > size => writeln!(
                text,
                "  BEHIND   {} are anchored on this machine: the files were set back, or cut",
                entries(*anchored)
            ),
            Anchored::At(anchored) => writeln!(
                text,
                "  anchored on this machine: {}; exposed: {} beyond",
                entries(*anchored),
                grouped(size.saturating_sub(*anchored))
            ),
            Anchored::Nothing => {
                writeln!(text, "  anchored nothing on this machine; exposed: {}", entries(size))
            }
            Anchored::Unknown(why) => {
                writeln!(text, "  anchored not known: {}", safe(why))
            }
        }
    }

    fn files(&self, text: &mut String) -> fmt::Result {
        let total: u64 = self.segments.iter().map(|(_, bytes, _)| *bytes).sum();
        let count = u64::try_from(self.segments.len()).unwrap_or(u64::MAX);
        writeln!(text, "  files    {}, {}", plural(count, "segment"), plural(total, "byte"))?;
        let skipped = self.segments.len().saturating_sub(SEGMENTS_SHOWN);
        if skipped > 0 {
            writeln!(text, "           {skipped} not listed: --json lists all")?;
        }
        for (number, bytes, _) in self.segments.iter().skip(skipped) {
            writeln!(text, "           segment {number}: {}", plural(*bytes, "byte"))?;
        }
        let (aside, behind) = self.aside();
        if aside > 0 {
            writeln!(text, "           {} set aside behind accepted ends", grouped(aside))?;
        }
        if behind > 0 {
            let what = "behind the durable end: on their way, or left by a crash";
            writeln!(text, "           {} {what}", grouped(behind))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let chain = self.directory.chain_id();
        let (aside, behind) = self.aside();
        let keys = self.enrolled.keys.iter().map(|(id, key)| {
            let place = self.custody.of(*id);
            json!({
                "at_hand": place.is_at_hand(),
                "custody": place.json(),
                "ended_by": key.until,
                "id": id.to_string(),
                "role": key.role.to_string(),
            })
        });
        let anchored = match self.anchored {
            Anchored::At(size) => Value::from(size),
            Anchored::Nothing | Anchored::Unknown(_) => Value::Null,
        };
        let head = self.head.as_ref().map(|head| {
            let fields = &head.fields;
            json!({
                "digest": head.entry(&chain).digest().to_string(),
                "event_id": fields.event_id.to_string(),
                "sequence": fields.sequence,
                "stamp": fields.system_time.hex(),
                "time": fields.system_time.to_string(),
            })
        });
        let seal = self.seal.as_ref().map(|seal| {
            let (state, signer) = (&seal.state, seal.signer.to_string());
            json!({ "epoch": state.epoch, "quarantined": state.quarantined, "signer": signer, "size": state.size })
        });
        let writer = self.directory.writing().map(|by| {
            let (host, boot) = (text::hex(&by.host), text::hex(&by.boot));
            json!({ "boot": boot, "host": host, "key": by.key.to_string(), "process": by.process })
        });
        let segments = self.segments.iter().map(
            |(number, bytes, file)| json!({ "bytes": bytes, "file_bytes": file, "number": number }),
        );
        json!({
            "actions": self.actions.as_ref().map(json_of),
            "anchored": anchored,
            "behind": behind,
            "chain_id": chain.to_string(),
            "entries": self.directory.entries(),
            "exposed": self.exposed(),
            "head": head,
            "keys": keys.collect::<Vec<_>>(),
            "name": self.enrolled.name,
            "operators": self.enrolled.operators.len(),
            "quarantine": self.quarantine.as_ref().map(|(id, what)| json!({ "id": id.to_string(), "what": what })),
            "quarantined": self.is_quarantined(),
            "seal": seal,
            "segments": segments.collect::<Vec<_>>(),
            "set_aside": aside,
            "writer": writer,
        })
    }
}

/// The last durable entry.
/// How many actions were begun and have no outcome, and the one that was begun first.
fn describe(actions: &Actions) -> String {
    let (open, begun) = (grouped(actions.len()), grouped(actions.intents));
    let beyond = match actions.unfollowed {
        0 => String::new(),
        more => format!("; {} more were not followed", grouped(more)),
    };
    match actions.oldest().first() {
        None => format!("none of {begun} open{beyond}"),
        Some(first) => format!(
            "{open} of {begun} open{beyond}; the oldest: entry {}, {}, {}, {}",
            first.sequence, first.event_type, first.time, first.event_id
        ),
    }
}

fn json_of(actions: &Actions) -> Value {
    let oldest = actions.oldest().first().map(|open| {
        json!({
            "event_id": open.event_id.to_string(),
            "event_type": open.event_type,
            "sequence": open.sequence,
            "time": open.time.to_string(),
        })
    });
    let (begun, open, unfollowed) = (actions.intents, actions.len(), actions.unfollowed);
    json!({ "begun": begun, "oldest": oldest, "open": open, "unfollowed": unfollowed })
}
