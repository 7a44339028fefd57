//! How a quarantine ends: the original bytes are back and the chain goes on, or an operator accepts the damage and another chain
//! begins where this one can still be proved.

use std::fmt;
use std::fs::File as OsFile;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::directory::Directory;
use crate::disk::{self, Folder, code_of};
use crate::error::{AppendError, OpenError, Refusal};
use crate::frame::Written;
use crate::id::EventId;
use crate::ledger::Ledger;
use crate::ledger::anchoring::place_of;
use crate::ledger::files::Signers;
use crate::ledger::genesis::Genesis;
use crate::ledger::halt::{Aside, Known, Site, found_by_hand};
use crate::ledger::keys::Change;
use crate::ledger::options::Options;
use crate::ledger::repair::Repair;
use crate::limit::{self, FieldError};
use crate::quarantine::machine::{self, Event, State};
use crate::quarantine::{self, Case, Fields, Kind, Log, NOTE_MAX, RECONCILED, cases, fitting};
use crate::reserved::{Predecessor, Reserved, STATEMENT_MAX};
use crate::signer::Signer;
use crate::store::{Frames, Store as _};
use crate::tree::{self, Frontier};
use crate::verify::{self, Seen, Verdict, Verifier};

/// The file of a ledger that continues another, with the path at which that one was.
pub(super) const PREDECESSOR: &str = "predecessor";
/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(60);

/// Who decides, and in what words.
#[derive(Clone, Copy, Debug)]
pub struct Words<'w> {
    /// A name.
    pub by: &'w str,
    /// What they found out, or why they decide so.
    pub text: &'w str,
}

impl Words<'_> {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if limit::is_actor(self.by) && self.text.len() <= NOTE_MAX {
            return Ok(());
        }
        let expected = "a name as an actor has, and at most 4096 bytes of text";
        Err(Refusal::Field(FieldError::new("note", expected, &fitting(self.text))))
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The quarantine.
    pub quarantine: EventId,
    /// The entry that resolves it; of a chain that has ended, its last size that can be proved.
    pub sequence: u64,
    /// The chain that goes on.
    pub chain_id: Digest,
}

/// Why a quarantine is not resolved. The ledger stays halted.
#[derive(Debug)]
pub struct ResolveError {
    /// The stable code.
    pub code: &'static str,
    /// What happened.
    pub what: String,
    /// What to do next.
    pub advice: &'static str,
}

impl ResolveError {
    pub(super) fn new(code: &'static str, what: String, advice: &'static str) -> Self {
        Self { code, what, advice }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.advice)
    }
}

impl std::error::Error for ResolveError {}

const AGAIN: &str = "it stays quarantined: mend that, and decide again";

impl From<io::Error> for ResolveError {
    fn from(error: io::Error) -> Self {
        Self::new(code_of(&error), error.to_string(), AGAIN)
    }
}

impl From<OpenError> for ResolveError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => error.into(),
            OpenError::Stopped { code, what, .. } => Self::new(code, what, AGAIN),
            error => Self::new("LEDGER_STOPPED", error.to_string(), AGAIN),
        }
    }
}

impl From<AppendError> for ResolveError {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            AppendError::Refused(refusal) => refusal.code(),
            AppendError::Uncertain { .. } => "LEDGER_STOPPED",
        };
        Self::new(code, error.to_string(), AGAIN)
    }
}

impl From<Refusal> for ResolveError {
    fn from(refusal: Refusal) -> Self {
        AppendError::Refused(refusal).into()
    }
}

/// A ledger that is halted, and held by whoever resolves that.
struct Halted {
    site: Site,
    id: EventId,
    case: Option<Case>,
    state: State,
}

impl Halted {
    /// Takes hold of a ledger that is halted.
    fn hold(site: Site, options: &Options) -> Result<Self, ResolveError> {
        Directory::hold(&*site.folder, options.files.wait)?;
        let halted = site.known()?.iter().rfind(|known| known.halts()).map(|known| known.id);
        let found = cases(&*site.folder)?;
        // One whose log says that it is resolved, and whose chain does not.
        let last = || {
            let last = found.last()?;
            let view = Directory::view(Arc::clone(&site.folder)).ok()?;
            // What cannot be looked for is as good as not there.
            let found = view.find(&quarantine::resolution_id(&last.id));
            found.ok().flatten().is_none().then_some(last.id)
        };
        let Some(id) = halted.or_else(last).or_else(|| halted_by(&site.folder)) else {
            let what = "expected a ledger that is quarantined, found one that is not".to_owned();
            return Err(ResolveError::new("NOT_QUARANTINED", what, "there is nothing to decide"));
        };
        let case = found.into_iter().find(|case| case.id == id);
        let state = match case.as_ref().map_or(State::Halted, Case::state) {
            // Its log says so; the chain does not.
            State::Sound => State::Resolving,
            state => state,
        };
        Ok(Self { site, id, case, state })
    }

    /// Goes over to the state that follows, if the event is allowed.
    fn step(&mut self, event: Event) -> Result<(), ResolveError> {
        let Some(next) = machine::step(self.state, event) else {
            let (event, state) = (event.name(), self.state.name());
            let what = format!("expected a ledger that is halted, for \"{event}\"; it is {state}");
            let advice =
                "see sigchain quarantine show LEDGER, which says what goes on in its place";
            return Err(ResolveError::new("QUARANTINE_STATE", what, advice));
        };
        self.state = next;
        Ok(())
    }

    /// Adds to the log. One that is gone or damaged takes nothing more: then the chain alone says it.
    fn add(
        &mut self,
        kind: Kind,
        fields: &Fields,
        signer: &dyn Signer,
        now: i64,
    ) -> Result<(), ResolveError> {
        let Some(case) = self.case.as_ref().filter(|case| case.damage.is_none()) else {
            return Ok(());
        };
        let at = u64::try_from(now).unwrap_or(0);
        Log::go_on(&*self.site.folder, case, signer)?.add(kind, at, &fields.encode())?;
        let id = self.id;
        self.case = cases(&*self.site.folder)?.into_iter().find(|case| case.id == id);
        Ok(())
    }

    /// Begins another log, where the first is gone or damaged: that the chain has ended must be said somewhere.
    fn begin_log(
        &mut self,
        chain_id: Digest,
        signer: &dyn Signer,
        now: i64,
    ) -> Result<(), ResolveError> {
        let what = format!("the log of quarantine {} is gone or damaged", self.id);
        let found = found_by_hand("QUARANTINE_LOG", what, now)?;
        self.id = found.id;
        let aside = Aside::default();
        self.site.record((found.id, chain_id, Digest::ZERO), &found, &aside, signer)?;
        let id = self.id;
        self.case = cases(&*self.site.folder)?.into_iter().find(|case| case.id == id);
        Ok(())
    }

    /// What an entry or a record says of the decision.
    fn fields(&self, words: &Words<'_>, kind: &str) -> Fields {
        let found = self.case.as_ref().and_then(Case::discontinuity);
        let mut fields = found.map(|found| found.fields()).unwrap_or_default();
        fields.text("as", kind).id("quarantine", &self.id);
        fields.text("by", words.by).text("text", &fitting(words.text));
        fields.digest("log", &self.case.as_ref().map_or(Digest::ZERO, Case::head));
        fields
    }
}

/// The quarantine that a chain itself says it is halted by: its last entry.
fn halted_by(folder: &Arc<dyn Folder>) -> Option<EventId> {
    let view = Directory::view(Arc::clone(folder)).ok()?;
    let mut frames = Frames::new();
    view.read(view.entries().checked_sub(1)?, 1, &mut frames).ok()?;
    let frame = frames.iter().next()?;
    let written = Written::parse(frame.left, frame.body).ok()?;
    (written.fields.event_type == quarantine::OPEN).then_some(written.fields.event_id)
}

/// The entries of a copy, or of a chain file.
fn source(path: &Path) -> Result<Box<dyn Read>, ResolveError> {
    if path.is_dir() {
        let folder = disk::open_to_read(path)?;
        return Ok(Box::new(Directory::salvage(folder)?.stream()?));
    }
    Ok(Box::new(OsFile::open(path)?))
}

pub(super) fn site_at(path: &Path, options: &Options) -> Result<Site, ResolveError> {
    let folder = disk::open(path, options.files.lenience)?;
    Ok(Site { folder, sinks: options.files.sinks()?, place: place_of(path).ok() })
}

impl Ledger {
    /// The quarantine that halts the ledger at this path, and why, as far as its log and the anchors say. What the chain says is looked
    /// at when it is opened.
    pub fn quarantined_at(path: &Path, options: &Options) -> io::Result<Option<(EventId, String)>> {
        let folder = disk::open_to_read(path)?;
        let site = Site { folder, sinks: options.files.sinks()?, place: place_of(path).ok() };
        let halting = site.known()?.into_iter().rfind(Known::halts);
        Ok(halting.map(|known| (known.id, known.why)))
    }

    /// Writes something down in the log of a ledger that is halted.
    pub fn note_at(
        path: &Path,
        signer: &dyn Signer,
        options: &Options,
        words: &Words<'_>,
    ) -> Result<EventId, ResolveError> {
        words.check()?;
        let mut halted = Halted::hold(site_at(path, options)?, options)?;
        halted.step(Event::Note)?;
        if halted.case.as_ref().is_none_or(|case| case.damage.is_some()) {
            let what = "expected a log that can be gone on with, found none".to_owned();
            let advice = "keep the note elsewhere; the decision itself can carry a text";
            return Err(ResolveError::new("QUARANTINE_LOG", what, advice));
        }
        let mut fields = Fields::default();
        fields.text("by", words.by).text("text", words.text);
        halted.add(Kind::Note, &fields, signer, options.time.wall())?;
        Ok(halted.id)
    }

    /// Ends the quarantine of a ledger whose original bytes are back: all of it verifies, against a checkpoint of its anchors or one of
    /// `held`. The chain goes on, and says what was.
    pub fn reconcile_at(
        path: &Path,
        signers: Signers,
        options: Options,
        from: Option<&Path>,
        (words, held): (&Words<'_>, &[Checkpoint]),
    ) -> Result<Resolved, ResolveError> {
        let site = site_at(path, &options)?;
        let source = from.map(source).transpose()?;
        Self::reconcile_over(site, signers, options, source, (words, held))
    }

    /// As [`Ledger::reconcile_at`], in a folder that was opened.
    pub fn reconcile_in(
        folder: Arc<dyn Folder>,
        signers: Signers,
        options: Options,
        (words, held): (&Words<'_>, &[Checkpoint]),
    ) -> Result<Resolved, ResolveError> {
        let site = Site { folder, sinks: options.files.sinks()?, place: None };
        Self::reconcile_over(site, signers, options, None, (words, held))
    }

    fn reconcile_over(
        site: Site,
        signers: Signers,
        mut options: Options,
        source: Option<Box<dyn Read>>,
        (words, held): (&Words<'_>, &[Checkpoint]),
    ) -> Result<Resolved, ResolveError> {
        words.check()?;
        let mut halted = Halted::hold(site, &options)?;
        let (signer, now) = (Arc::clone(&signers.entries), options.time.wall());
        if machine::step(halted.state, Event::Restored).is_none() {
            // Before anything is put in place.
            halted.step(Event::Restored)?;
        }
        let repaired = match source {
            Some(source) => Some(Repair::make(&halted.site.folder, source)?),
            None => None,
        };
        if let Err(unrestored) = vouched(&halted.site, held) {
            // What came from the source goes again, and what was there counts as before.
            if let Some(repaired) = repaired {
                repaired.withdraw(&*halted.site.folder)?;
            }
            return Err(unrestored);
        }
        options.files.resolving = Some(halted.id);
        // What was put in place stays, whatever fails from here on: all of it is vouched for, and a segment may have been begun behind it.
        let ledger = Self::open_over(halted.site.clone(), signers, options)?;
        if halted.state == State::Halted {
            halted.step(Event::Restored)?;
            let mut fields = Fields::default();
            fields.text("as", "reconciled").id("event", &quarantine::resolution_id(&halted.id));
            halted.add(Kind::Resolving, &fields, &*signer, now)?;
        }
        halted.step(Event::Restored)?;
        let map = halted.fields(words, "reconciled").encode();
        let (id, event_id) = (halted.id, quarantine::resolution_id(&halted.id));
        let reserved = Reserved::Open { event_type: RECONCILED.to_owned(), map };
        let chain_id = ledger.chain_id();
        let receipt = ledger.apply(Change::of(chain_id, event_id, reserved))?;
        halted.site.finish(&id, ("reconciled", receipt.sequence), &*signer, now)?;
        ledger.close(CLOSING).map_err(|error| {
            ResolveError::new("LEDGER_CLOSED", error.to_string(), "it is resolved: open it again")
        })?;
        Ok(Resolved { quarantine: id, sequence: receipt.sequence, chain_id })
    }

    /// Ends the quarantine of a ledger whose damage cannot be undone, with the consent of an operator of its chain: the chain ends where
    /// it can still be proved, and `genesis` begins another one in `successor`, which is not there yet. This ledger is never opened to
    /// append again; it can be read, verified and exported.
    pub fn dismiss_at(
        path: &Path,
        successor: &Path,
        (genesis, operator): (Genesis, impl Signer + 'static),
        options: Options,
        words: &Words<'_>,
    ) -> Result<Resolved, ResolveError> {
        words.check()?;
        if place_of(path)? == place_of(successor)? {
            let what =
                "expected another place for the chain that goes on, found this one".to_owned();
            let advice = "name a directory that is not there yet: this one is kept as it is";
            return Err(ResolveError::new("FS_EXISTS", what, advice));
        }
        let mut halted = Halted::hold(site_at(path, &options)?, &options)?;
        let (signer, now) = (Arc::clone(&genesis.signer), options.time.wall());
        let proved = Proved::read(&halted.site.folder)?;
        let hash = operator.public().operator_hash();
        if !proved.operators.contains(&hash) {
            let what = format!(
                "expected the key of an operator of chain {}, found {}",
                proved.chain_id,
                operator.id()
            );
            let advice = "sigchain key show LEDGER says which operators there are; a chain without one cannot be dismissed";
            return Err(ResolveError::new("APPROVAL", what, advice));
        }
        halted.step(Event::Succeed)?;
        let predecessor = proved.predecessor(&halted.site, words)?;
        let chain_id = begin(successor, genesis.succeeding(predecessor, operator), options, path)?;
        if halted.case.as_ref().is_none_or(|case| case.damage.is_some()) {
            halted.begin_log(proved.chain_id, &*signer, now)?;
        }
        let mut fields = halted.fields(words, "dismissed");
        fields.digest("successor", &chain_id).uint("size", proved.size);
        if halted.case.as_ref().and_then(Case::successor).is_none() {
            halted.add(Kind::Resolved, &fields, &*signer, now)?;
        }
        Ok(Resolved { quarantine: halted.id, sequence: proved.size, chain_id })
    }
}

/// Begins the chain that goes on, or finds the one that an earlier attempt has begun.
fn begin(
    successor: &Path,
    genesis: Genesis,
    options: Options,
    before: &Path,
) -> Result<Digest, ResolveError> {
    let expected = genesis.predecessor.as_ref().map(|predecessor| predecessor.chain);
    let lenience = options.files.lenience;
    let chain_id = match Ledger::create_at(successor, genesis, options) {
        Ok(ledger) => {
            let chain_id = ledger.chain_id();
            ledger.close(CLOSING).map_err(|error| io::Error::other(error.to_string()))?;
            chain_id
        }
        Err(error) => {
            let found = continues(successor);
            match found.filter(|(_, before)| Some(*before) == expected) {
                Some((chain_id, _)) => chain_id,
                None => return Err(error.into()),
            }
        }
    };
    let folder = disk::open(successor, lenience)?;
    if !folder.names()?.iter().any(|name| name == PREDECESSOR) {
        let next = format!("{PREDECESSOR}.next");
        folder.clear(&next)?;
        let file = folder.create(&next)?;
        file.write_at(format!("{}\n", place_of(before)?).as_bytes(), 0)?;
        file.sync()?;
        folder.rename(&next, PREDECESSOR)?;
        folder.sync()?;
    }
    Ok(chain_id)
}

/// The chain in a directory, and the one that it continues.
fn continues(path: &Path) -> Option<(Digest, Digest)> {
    let view = Directory::view(disk::open_to_read(path).ok()?).ok()?;
    let mut found = None;
    let stream = view.stream().ok()?;
    let done = Verifier::new().open_ended(true).replay(stream, &mut |seen| {
        if let Seen::Entry(shown) = seen
            && let Some(Reserved::Genesis { predecessor, .. }) = reserved(shown.written)
        {
            found = predecessor.map(|predecessor| predecessor.chain);
        }
        ControlFlow::Break(())
    });
    done.ok()?;
    Some((view.chain_id(), found?))
}

fn reserved(written: &Written<'_>) -> Option<Reserved> {
    let fields = &written.fields;
    if !limit::is_reserved(&fields.event_type) {
        return None;
    }
    Reserved::parse(&fields.event_type, &written.part, fields.sequence).ok()
}

/// Whether all of a ledger verifies, against something that was held.
fn vouched(site: &Site, held: &[Checkpoint]) -> Result<(), ResolveError> {
    const LOOK: &str = "it stays quarantined: bring the original bytes back, from a copy or an export, and decide again";
    let unproved = |what: String| ResolveError::new("QUARANTINE_UNPROVED", what, LOOK);
    let view = Directory::view(Arc::clone(&site.folder))?;
    let mut checkpoints = held.to_vec();
    for sink in &site.sinks {
        if let Some(claim) = sink.latest(&view.chain_id())? {
            let checkpoint = Checkpoint::parse(claim.note.as_bytes());
            checkpoints.push(checkpoint.map_err(io::Error::other)?);
        }
    }
    if checkpoints.is_empty() {
        let what = "expected a checkpoint that was held before, found none: neither the anchors have one, nor was one given";
        return Err(unproved(what.to_owned()));
    }
    let mut anchors = verify::Anchors::default();
    anchors.checkpoints.extend(checkpoints);
    let verifier = Verifier::new().anchored(anchors).open_ended(true);
    let report = verifier.run(view.stream()?)?;
    match (report.verdict(), report.faults.first()) {
        (Verdict::Intact, _) => Ok(()),
        (_, Some(fault)) => Err(unproved(format!(
            "it does not verify: {}: expected {}, found {}",
            fault.code, fault.expected, fault.found
        ))),
        _ => {
            Err(unproved("it verifies, but no checkpoint that was held vouches for it".to_owned()))
        }
    }
}

/// How far a chain can be proved.
struct Proved {
    chain_id: Digest,
    size: u64,
    root: Digest,
    operators: Vec<Digest>,
}

impl Proved {
    /// Verifies it up to the first fault.
    fn read(folder: &Arc<dyn Folder>) -> Result<Self, ResolveError> {
        let salvaged = Directory::salvage(Arc::clone(folder))?;
        let (mut tree, mut operators) = (Frontier::new(), Vec::new());
        let (mut size, mut root) = (0, tree::empty_root());
        let verifier = Verifier::new().open_ended(true);
        verifier.replay(salvaged.stream()?, &mut |seen| {
            match seen {
                Seen::Entry(shown) => {
                    let written = shown.written;
                    tree.push(tree::leaf_hash(&shown.item.digest(), &written.signature));
                    if let Some(
                        Reserved::Genesis { operators: found, .. }
                        | Reserved::Operators { operators: found, .. },
                    ) = reserved(written)
                    {
                        operators = found;
                    }
                    if written.left == 0 {
                        (size, root) = (tree.size(), tree.root());
                    }
                }
                Seen::Fault(_) => return ControlFlow::Break(()),
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        if size == 0 {
            let what = "expected a chain whose entry 0 can be proved, found none".to_owned();
            let advice = "nothing continues it: begin a new ledger, and keep this one as it is";
            return Err(ResolveError::new("QUARANTINE_UNPROVED", what, advice));
        }
        Ok(Self { chain_id: salvaged.chain_id(), size, root, operators })
    }

    fn predecessor(&self, site: &Site, words: &Words<'_>) -> Result<Predecessor, ResolveError> {
        let mut statement = format!("{}: {}", words.by, words.text);
        while statement.len() > STATEMENT_MAX {
            statement.pop();
        }
        let evidence = Some(evidence(&*site.folder)?);
        let Self { chain_id: chain, root, size, .. } = *self;
        Ok(Predecessor { chain, evidence, root, size, statement })
    }
}

/// The digest of all that is set aside: of the files that hold entries, or say how far they go.
pub(crate) fn evidence(folder: &dyn Folder) -> io::Result<Digest> {
    let mut names = folder.names()?;
    let kinds = ["segment", "standin", "aside-", "old-", "durable"];
    names.retain(|name| kinds.iter().any(|kind| name.starts_with(kind)));
    names.sort_unstable();
    let mut all = Sha256::new();
    for name in names {
        let file = folder.open(&name, false)?;
        let (length, digest) = quarantine::pass(&*file, |_, _| Ok(()))?;
        all.update(name.as_bytes());
        all.update([0]);
        all.update(length.to_be_bytes());
        all.update(digest.as_bytes());
    }
    Ok(Digest::new(all.finalize().into()))
}
