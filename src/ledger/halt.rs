//! Halting: a ledger with which something is wrong takes no more appends, whoever opens it next, until somebody has resolved that.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::anchor::Anchors;
use crate::chain::Chain;
use crate::digest::Digest;
use crate::directory::Directory;
use crate::disk::{DiskError, Folder, code_of};
use crate::error::{AppendError, OpenError, Refusal};
use crate::frame::Written;
use crate::id::EventId;
use crate::key::Purpose;
use crate::ledger::Ledger;
use crate::ledger::call::random;
use crate::ledger::files::Signers;
use crate::ledger::forked;
use crate::ledger::keys::Change;
use crate::ledger::observe;
use crate::ledger::opening::Opening;
use crate::ledger::options::Options;
use crate::ledger::resolve::Words;
use crate::quarantine::machine::{Chained, Gate, Logged, gate};
use crate::quarantine::{
    self, Case, DISMISSED, Detector, Discontinuity, Fields, Kind, Log, OPEN, Phase, RECONCILED,
    cases, copy_name,
};
use crate::reserved::Reserved;
use crate::signer::Signer;
use crate::store::{Frames, Store as _};

/// Where a ledger is, and where its quarantines are kept.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) folder: Arc<dyn Folder>,
    pub(super) sinks: Vec<Arc<dyn Anchors>>,
    /// What the anchors call it, if it has a path.
    pub(super) place: Option<String>,
}

/// A quarantine, as its log and the anchors tell it.
pub(super) struct Known {
    pub(super) id: EventId,
    logged: Logged,
    marked: bool,
    pub(super) why: String,
}

impl Known {
    /// Whether it halts the ledger, as far as can be told without the chain.
    pub(super) fn halts(&self) -> bool {
        self.logged != Logged::Resolved || self.marked
    }

    fn of(case: &Case, mark: Option<EventId>) -> Self {
        let why = match (&case.damage, case.successor(), case.discontinuity()) {
            (Some(damage), ..) => format!("its log is damaged: {damage}"),
            (None, Some(successor), _) => {
                format!("the chain has ended, and {successor} continues it")
            }
            (None, None, Some(found)) => found.to_string(),
            (None, None, None) => "its log does not say why".to_owned(),
        };
        Self { id: case.id, logged: case.logged(), marked: mark == Some(case.id), why }
    }
}

/// A file that proves what is wrong, and stands by itself.
pub(super) struct Proof {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// What is kept of a ledger that is halted.
#[derive(Default)]
pub(super) struct Aside<'a> {
    /// The files of which copies are made.
    pub(super) names: &'a [String],
    pub(super) proofs: &'a [Proof],
}

/// Why a ledger is not opened.
pub(super) struct Stop {
    pub(super) code: &'static str,
    pub(super) what: String,
    pub(super) phase: Phase,
    /// The first segment that is concerned.
    pub(super) segment: String,
    pub(super) place: String,
    /// Entries before it.
    pub(super) size: u64,
    /// Entries behind it, at least.
    pub(super) affected: u64,
    /// What others have signed that speaks against what is here, and what here was signed.
    pub(super) proofs: Vec<Proof>,
}

impl Stop {
    /// As it is recorded.
    fn record(self, now: i64) -> Result<Discontinuity, Refusal> {
        let detected_us = u64::try_from(now).unwrap_or(0);
        Ok(Discontinuity {
            id: EventId::new(detected_us / 1000, random()?),
            detected_us,
            detector: Detector::Open,
            phase: self.phase,
            code: self.code.to_owned(),
            place: self.place,
            sequence: Some(self.size),
            expected: "files that end as a crash leaves them, and agree with the anchors"
                .to_owned(),
            found: self.what,
            last_good: self.size.checked_sub(1),
            affected: self.affected,
        })
    }
}

/// The error that a ledger is halted.
pub(super) fn quarantined(id: &EventId, why: &str) -> OpenError {
    OpenError::Stopped {
        code: "LEDGER_QUARANTINED",
        what: format!("it is quarantined ({id}): {why}"),
        quarantine: Some(*id),
    }
}

/// Whether an error that a directory could not be opened with says that its files are no pieces of one chain.
fn is_fault(error: &io::Error) -> bool {
    code_of(error) == "LEDGER_FILES" && error.kind() == io::ErrorKind::InvalidData
}

impl Site {
    /// The quarantine that the anchors know for this place.
    fn mark(&self) -> io::Result<Option<EventId>> {
        let Some(place) = &self.place else { return Ok(None) };
        let (mut failed, mut has_answered) = (None, false);
        for sink in &self.sinks {
            match sink.halted(place) {
                Ok(Some(id)) => return Ok(Some(id)),
                Ok(None) => has_answered = true,
                Err(error) => failed = Some(error),
            }
        }
        // As with what they have anchored: one that answers is enough, none is not.
        match failed {
            Some(error) if !has_answered => Err(error),
            _ => Ok(None),
        }
    }

    /// Refuses a ledger whose files are no pieces of one chain, and has that recorded. Another error is given as it is.
    pub(super) fn not_opened(
        &self,
        error: io::Error,
        signers: &Signers,
        options: &Options,
    ) -> OpenError {
        if !is_fault(&error) {
            return error.into();
        }
        let what = words(&error);
        let (code, phase, segment) = ("LEDGER_FILES", Phase::Chain, "segment".to_owned());
        let place = "the directory".to_owned();
        let (size, affected, proofs) = (0, 0, Vec::new());
        let stop = Stop { code, what, phase, segment, place, size, affected, proofs };
        let chain_id = Directory::chain_in(&*self.folder);
        match self.known() {
            // What the chain says cannot be asked; one that was resolved is another than what is found now.
            Ok(known) => match known.iter().find(|known| known.halts()) {
                Some(known) => quarantined(&known.id, &known.why),
                None => self.stop(stop, (chain_id, Digest::ZERO), signers, options),
            },
            Err(error) => error.into(),
        }
    }

    /// Records what stops a ledger, and gives the error that says so. One that is opened to resolve a quarantine has that already.
    pub(super) fn stop(
        &self,
        mut stop: Stop,
        (chain_id, prior): (Digest, Digest),
        signers: &Signers,
        options: &Options,
    ) -> OpenError {
        observe::stopped(stop.code, &stop.what);
        let (code, mut what) = (stop.code, stop.what.clone());
        let resolving = options.files.resolving;
        if resolving.is_some() {
            return OpenError::Stopped { code, what, quarantine: resolving };
        }
        let names = concerned(&*self.folder, &stop.segment);
        let proofs = std::mem::take(&mut stop.proofs);
        let aside = Aside { names: &names, proofs: &proofs };
        let recorded = stop.record(options.time.wall()).map_err(|error| error.to_string());
        let recorded = recorded.and_then(|found| {
            let id = found.id;
            let known = self.record((id, chain_id, prior), &found, &aside, &*signers.entries);
            known.map(|()| id).map_err(|error| error.to_string())
        });
        let quarantine = match recorded {
            Ok(id) => {
                if let Some(proof) = proofs.first() {
                    what = format!("{what}; {}", forked::proves(code, &id, &proof.name));
                }
                Some(id)
            }
            Err(why) => {
                what = format!("{what}; it could not be recorded as a quarantine: {why}");
                None
            }
        };
        OpenError::Stopped { code, what, quarantine }
    }

    /// All that logs and anchors know.
    pub(super) fn known(&self) -> io::Result<Vec<Known>> {
        let mark = self.mark()?;
        let mut known: Vec<_> =
            cases(&*self.folder)?.iter().map(|case| Known::of(case, mark)).collect();
        if let Some(id) = mark.filter(|id| known.iter().all(|known| known.id != *id)) {
            let why = "the anchors say so; its log is gone".to_owned();
            known.push(Known { id, logged: Logged::Nothing, marked: true, why });
        }
        Ok(known)
    }

    /// Refuses a ledger that is halted, unless it is opened to resolve that. Gives the quarantines that the chain has resolved and whose
    /// log or mark do not say so yet.
    pub(super) fn gate(
        &self,
        opening: &Opening,
        resolving: Option<EventId>,
    ) -> Result<Vec<(EventId, Resolution)>, OpenError> {
        let mut to_finish = Vec::new();
        let known = self.known()?;
        // Only where there was ever anything: the files are looked at once more for it.
        let view = match opening.chain.as_ref().filter(|_| !known.is_empty()) {
            Some(chain) => {
                Some(Resolver { view: Directory::view(Arc::clone(&self.folder))?, chain })
            }
            None => None,
        };
        for Known { id, logged, marked, why } in &known {
            let event = quarantine::resolution_id(id);
            let met = opening.resolved.iter().find(|(met, _)| *met == event);
            let before = || view.as_ref().and_then(|view| view.resolution(&event));
            let resolution = met.map(|(_, how)| *how).or_else(before);
            let chained = if resolution.is_some() { Chained::Resolved } else { Chained::Nothing };
            match gate(*logged, chained, *marked) {
                Gate::Pass => {}
                Gate::Finish => to_finish.extend(resolution.map(|found| (*id, found))),
                Gate::Halted if resolving == Some(*id) => {}
                Gate::Halted => return Err(quarantined(id, why)),
            }
        }
        if opening.halted && resolving.is_none() {
            let why = "its last entry says so; neither log nor anchors do any more";
            let last = known.last().map_or(EventId::new(0, [0; 10]), |known| known.id);
            return Err(quarantined(&last, why));
        }
        Ok(to_finish)
    }

    /// Writes down what is wrong: log, mark, copies. From the first record on the ledger is halted, whatever fails then.
    pub(super) fn record(
        &self,
        (id, chain_id, prior): (EventId, Digest, Digest),
        found: &Discontinuity,
        aside: &Aside<'_>,
        signer: &dyn Signer,
    ) -> io::Result<()> {
        let mut log = Log::begin(&*self.folder, (chain_id, id), prior, signer)?;
        log.add(Kind::Opened, found.detected_us, &found.fields().encode())?;
        // It is halted from here on. A mark or a copy that cannot be made is told, and makes it no less so.
        let marked = self
            .place
            .iter()
            .flat_map(|place| self.sinks.iter().map(move |sink| sink.halt(place, &id)));
        let copied = self.set_aside(&mut log, aside, found.detected_us);
        for error in marked.chain([copied]).filter_map(Result::err) {
            observe::not_remembered(&error.to_string());
        }
        Ok(())
    }

    /// Writes down what proves it, and sets copies of these files aside, as far as there is room.
    pub(super) fn set_aside(
        &self,
        log: &mut Log<'_>,
        aside: &Aside<'_>,
        now: u64,
    ) -> io::Result<()> {
        let (mut copied, mut missing) = (Vec::new(), Vec::new());
        for Proof { name, bytes } in aside.proofs {
            match quarantine::copy(&bytes.as_slice(), log.folder(), name) {
                Ok((bytes, digest)) => copied.push((name, bytes, digest)),
                Err(error) => missing.push((name, error.to_string())),
            }
        }
        for name in aside.names {
            let done = self.folder.open(name, false).and_then(|file| {
                let room = self.folder.room()?;
                if room < file.len()?.saturating_mul(2) {
                    return Err(io::Error::from(io::ErrorKind::StorageFull));
                }
                quarantine::copy(&*file, log.folder(), &copy_name(name))
            });
            match done {
                Ok((bytes, digest)) => copied.push((name, bytes, digest)),
                Err(error) => missing.push((name, error.to_string())),
            }
        }
        let mut fields = Fields::default();
        fields.put("files", |w| {
            w.array(copied.len());
            for (name, bytes, digest) in &copied {
                w.array(3).text(name).uint(*bytes).bytes(digest.as_bytes());
            }
        });
        fields.put("missing", |w| {
            w.array(missing.len());
            for (name, why) in &missing {
                w.array(2).text(name).text(why);
            }
        });
        log.add(Kind::Copied, now, &fields.encode())
    }

    /// Says in log and mark what the chain says.
    pub(super) fn finish(
        &self,
        id: &EventId,
        (kind, sequence): Resolution,
        signer: &dyn Signer,
        now: i64,
    ) -> io::Result<()> {
        for case in cases(&*self.folder)?.iter().filter(|case| case.id == *id) {
            if case.logged() != Logged::Open {
                continue;
            }
            let mut fields = Fields::default();
            fields.text("as", kind).id("event", &quarantine::resolution_id(id));
            fields.uint("sequence", sequence);
            let at = u64::try_from(now).unwrap_or(0);
            Log::go_on(&*self.folder, case, signer)?.add(Kind::Resolved, at, &fields.encode())?;
        }
        self.lift(id)
    }

    /// Has the anchors forget the mark.
    pub(super) fn lift(&self, id: &EventId) -> io::Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        self.sinks.iter().try_for_each(|sink| sink.lift(place, id))
    }
}

/// How a quarantine is resolved, and by which entry.
pub(super) type Resolution = (&'static str, u64);

/// Asks a chain what it has resolved.
struct Resolver<'r> {
    view: Directory,
    chain: &'r Chain,
}

impl Resolver<'_> {
    /// How and by which entry a quarantine is resolved that this event resolves: one that a key of the chain has signed. What cannot be
    /// read says nothing.
    fn resolution(&self, event: &EventId) -> Option<Resolution> {
        let sequence = self.view.find(event).ok().flatten()?;
        let mut frames = Frames::new();
        self.view.read(sequence, 1, &mut frames).ok()?;
        let frame = frames.iter().next()?;
        let written = Written::parse(frame.left, frame.body).ok()?;
        let fields = &written.fields;
        let kinds = [(RECONCILED, "reconciled"), (DISMISSED, "dismissed")];
        let (_, kind) = kinds.into_iter().find(|(known, _)| *known == fields.event_type)?;
        let key = self.chain.keyring().get(&fields.signer_key_id)?;
        let digest = fields.digest(&self.chain.id());
        let is_signed = key.public.accepts(Purpose::Entry, &digest, &written.signature);
        is_signed.then_some((kind, sequence))
    }
}

impl Ledger {
    /// Halts the ledger because somebody says so, who knows something that it does not.
    pub fn halt_by(&self, words: &Words<'_>) -> Result<EventId, AppendError> {
        words.check()?;
        let shared = self.shared();
        let what = format!("{}: {}", words.by, words.text);
        let mut found = found_by_hand("OPERATOR", what, shared.time().wall())?;
        found.last_good = shared.frontier().size().checked_sub(1);
        self.halt(&found)
    }

    /// Halts the ledger: what is on its way is brought to an end, the chain's last entry says what was found, and from then on appends are
    /// refused, by this process and by whoever opens it, until that is resolved (`spec/quarantine.md`). Gives the quarantine's id.
    pub(super) fn halt(&self, found: &Discontinuity) -> Result<EventId, AppendError> {
        let shared = self.shared();
        let _step = shared.step();
        let held = shared.lock();
        shared.check(&held.state.stage)?;
        let (chain_id, signer) = (held.state.chain.id(), Arc::clone(&held.state.signer));
        let prior = held.state.head.digest;
        drop(held);
        let id = EventId::new(shared.millis(), random()?);
        // Before the chain says so: whatever happens from here on, nobody goes on with it.
        let recorded = shared.keeper.site().map_or(Ok(()), |site| {
            site.record((id, chain_id, prior), found, &Aside::default(), &*signer)
        });
        observe::stopped("LEDGER_QUARANTINED", &found.to_string());
        let reserved = Reserved::Open { event_type: OPEN.to_owned(), map: found.fields().encode() };
        let applied = self.apply(Change::of(chain_id, id, reserved));
        let mut held = shared.lock();
        let why = format!("{id}: {found}");
        held.state.quarantine(&why);
        // Nobody leads from here on: what is not being written would wait for ever.
        drop(held.give_up());
        let end = Instant::now() + FINISHING;
        while !held.is_quiet() && Instant::now() < end {
            held = shared.await_change(held, FINISHING);
        }
        if held.is_quiet() {
            drop(shared.finish(held, || FINISHING, || None));
        } else {
            drop(held);
        }
        let failed = |error: io::Error| {
            let refusal = Refusal::Store(format!("the quarantine could not be recorded: {error}"));
            AppendError::Refused(refusal)
        };
        recorded.map_err(failed)?;
        applied.map(|_| id)
    }
}

/// What somebody says who knows something that the ledger does not.
pub(super) fn found_by_hand(code: &str, found: String, now: i64) -> Result<Discontinuity, Refusal> {
    let detected_us = u64::try_from(now).unwrap_or(0);
    Ok(Discontinuity {
        id: EventId::new(detected_us / 1000, random()?),
        detected_us,
        detector: Detector::Operator,
        phase: Phase::Chain,
        code: code.to_owned(),
        place: "the ledger".to_owned(),
        sequence: None,
        expected: "a ledger that can be relied on".to_owned(),
        found,
        last_good: None,
        affected: 0,
    })
}

/// How long what is being written may take when a ledger is halted.
const FINISHING: Duration = Duration::from_secs(10);
/// Files that are set aside, at most: with more the record of them would not fit, and opening would take as long as a backup.
const COPIES: usize = 16;

/// What of the ledger is to be set aside, where it stops from one segment on.
fn concerned(folder: &dyn Folder, from: &str) -> Vec<String> {
    let mut names = folder.names().unwrap_or_default();
    names.retain(|name| {
        let is_piece = name.starts_with("segment") || name.starts_with("standin");
        name == "durable" || is_piece && name.as_str() >= from
    });
    names.sort_unstable();
    names.truncate(COPIES);
    names
}

/// Where something is wrong, if it is not known more exactly.
fn words(error: &io::Error) -> String {
    DiskError::of(error).map_or_else(|| error.to_string(), ToString::to_string)
}
