//! A ledger on files: how it is created, and how one is opened that was left in whatever way.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::anchor::Anchors;
use crate::checkpoint::Seal;
use crate::clock::Clock;
use crate::codec::{Reader, len_u64};
use crate::digest::Digest;
use crate::directory::{Directory, Ending, Met, Piece, Place, Record, Sealed};
use crate::disk::{self, Folder};
use crate::error::{OpenError, Refusal};
use crate::frame::Kind;
use crate::key::Role;
use crate::ledger::Ledger;
use crate::ledger::anchoring::{Fence, Keeper, check_place, place_of};
use crate::ledger::call::opens_here;
use crate::ledger::epoch;
use crate::ledger::forked;
use crate::ledger::genesis::Genesis;
use crate::ledger::halt::{Site, Stop};
use crate::ledger::observe;
use crate::ledger::opening::{Opening, listed};
use crate::ledger::options::{Files, Options};
use crate::ledger::scrub;
use crate::ledger::shared::Shared;
use crate::ledger::sinks::{Known, Unanchored, entries};
use crate::ledger::state::State;
use crate::ledger::tail::{age, check_copy};
use crate::quarantine::Phase;
use crate::recovery::{Decision, Stated, Tail, decide};
use crate::segment::{Left, Needed};
use crate::signer::Signer;
use crate::store::Store as _;
use crate::sync::spawn;

/// Who signs for a ledger that is opened.
#[derive(Clone, Debug)]
pub struct Signers {
    pub(super) entries: Arc<dyn Signer>,
    pub(super) checkpoints: Option<Arc<dyn Signer>>,
}

impl Signers {
    /// Signers of entries, and of checkpoints and seals. If the chain does not, or no longer, let that key sign checkpoints, the ledger is
    /// opened as with [`Signers::of_entries`].
    pub fn new(entries: impl Signer + 'static, checkpoints: impl Signer + 'static) -> Self {
        Self { entries: Arc::new(entries), checkpoints: Some(Arc::new(checkpoints)) }
    }

    /// A signer of entries only: the chain's checkpoint key has ended, or is lost. Nothing is sealed or anchored until another one is
    /// enrolled or rotated in and [`Ledger::sign_checkpoints_with`] names its signer; once as much is durable as may be exposed,
    /// events are refused.
    pub fn of_entries(entries: impl Signer + 'static) -> Self {
        Self { entries: Arc::new(entries), checkpoints: None }
    }
}

impl Ledger {
    /// A new chain in a directory that is not there yet, or is empty. Refused where the anchors know that another chain was.
    pub fn create_at(path: &Path, genesis: Genesis, options: Options) -> Result<Self, OpenError> {
        let sinks = options.files.sinks()?;
        let place = place_of(path)?;
        check_place(&sinks, &place, path)?;
        options.files.check_mirror(path)?;
        let folder = disk::create(path, options.files.lenience)?;
        Self::create_over(folder, genesis, options, &sinks, Some(&place))
    }

    /// As [`Ledger::create_at`], in a folder that was opened.
    pub fn create_in(
        folder: Arc<dyn Folder>,
        genesis: Genesis,
        options: Options,
    ) -> Result<Self, OpenError> {
        let sinks = options.files.sinks()?;
        Self::create_over(folder, genesis, options, &sinks, None)
    }

    fn create_over(
        folder: Arc<dyn Folder>,
        genesis: Genesis,
        options: Options,
        sinks: &[Arc<dyn Anchors>],
        place: Option<&str>,
    ) -> Result<Self, OpenError> {
        if genesis.checkpoints.is_none() {
            let (expected, found) = ("a signer of checkpoints, for seals", "none".to_owned());
            return Err(OpenError::Store { expected, found });
        }
        let Files { limits, wait, reserve, .. } = options.files;
        let terms = options.files.terms(options.signer_nanos);
        let place_name = place.map(str::to_owned);
        let site = Site { folder: Arc::clone(&folder), sinks: sinks.to_vec(), place: place_name };
        let directory = Arc::new(Directory::create(folder, limits, wait)?);
        directory.keep_reserve(reserve)?;
        if !directory.has_room() {
            directory.make_room()?;
        }
        directory.announce(epoch::writing(&*genesis.signer), 0);
        let keeper = Keeper::new(Known::of_new(sinks.to_vec()), terms, 0);
        let ledger = Self::create_with(directory, genesis, options, keeper)?;
        ledger.shared().keeper.settle(site);
        // From here on the chain is there, whatever fails.
        if let Some(place) = place {
            ledger.remember(sinks, place);
        }
        ledger.keep()?;
        Ok(ledger)
    }

    /// Opens the ledger in a directory. What its end looks like, and what the anchors know, decides how it goes on; see
    /// `spec/files.md`.
    pub fn open_at(path: &Path, signers: Signers, options: Options) -> Result<Self, OpenError> {
        options.files.check_mirror(path)?;
        let folder = disk::open(path, options.files.lenience)?;
        let sinks = options.files.sinks()?;
        let place = place_of(path).ok();
        let site = Site { folder, sinks: sinks.clone(), place: place.clone() };
        let ledger = Self::open_over(site, signers, options)?;
        // It may have been moved here, or could not be remembered when it was created.
        if let Some(place) = place {
            ledger.remember(&sinks, &place);
        }
        Ok(ledger)
    }

    /// As [`Ledger::open_at`], in a folder that was opened.
    pub fn open_in(
        folder: Arc<dyn Folder>,
        signers: Signers,
        options: Options,
    ) -> Result<Self, OpenError> {
        let sinks = options.files.sinks()?;
        Self::open_over(Site { folder, sinks, place: None }, signers, options)
    }

    pub(super) fn open_over(
        site: Site,
        signers: Signers,
        options: Options,
    ) -> Result<Self, OpenError> {
        opens_here();
        let Files { limits, wait, fence, patience, resolving, .. } = options.files;
        let opened = Directory::open(Arc::clone(&site.folder), limits, wait);
        let directory =
            Arc::new(opened.map_err(|error| site.not_opened(error, &signers, &options))?);
        let (sinks, chain_id) = (site.sinks.clone(), directory.chain_id());
        let known = Known::ask(sinks, chain_id, fence == Fence::Sync, patience)?;
        let found = Found::read(&directory, &known.sizes())?;
        let to_finish = site.gate(&found.opening, resolving)?;
        let anchored = known.judge(found.whole.size, &found.roots);
        let decision = decide(found.stated, found.tail, anchored);
        if let Some(mut stop) = found.stopped(decision, &known) {
            if matches!(decision, Decision::StopBeside | Decision::StopBehind) {
                stop.proofs = forked::at_opening(known.notes(), &directory);
            }
            let prior = found.opening.head().map_or(Digest::ZERO, |head| head.digest);
            return Err(site.stop(stop, (chain_id, prior), &signers, &options));
        }
        observe::opened(found.whole.size, found.tail.name(), decision.name());
        let terms = options.files.terms(options.signer_nanos);
        let keeper = Keeper::new(known, terms, found.whole.size);
        let (signer, now) = (Arc::clone(&signers.entries), options.time.wall());
        let ledger = found.go_on(directory, decision, signers, keeper, options)?;
        for (id, resolution) in to_finish {
            // What fails is done by whoever opens it next.
            drop(site.finish(&id, resolution, &*signer, now));
        }
        ledger.shared().keeper.settle(site);
        ledger.keep()?;
        Ok(ledger)
    }

    /// Anchors what is there, and starts the thread that does so from now on, and makes indexes; and the mirror's. That it could not be
    /// anchored this time is no reason not to go on, as it is none for a ledger that is open: what may be exposed is bounded.
    fn keep(&self) -> Result<(), OpenError> {
        let shared = self.shared();
        if let Err(Unanchored::Fenced(what)) = shared.anchor() {
            return Err(OpenError::Fenced { what });
        }
        let (keeper, shared) = (Arc::clone(&shared.keeper), Arc::downgrade(shared));
        spawn("sigchain-keeper", move || Shared::keep(&keeper, &shared))?;
        if let Some(pace) = self.shared().options.files.scrub {
            let (handle, brake) =
                (Arc::downgrade(&self.handle), Arc::clone(&self.shared().keeper.brake));
            spawn("sigchain-scrub", move || scrub::keep(&handle, &brake, pace))?;
        }
        self.begin_mirror()?;
        Ok(())
    }
}

/// What is known of a place between two groups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    place: Place,
    size: u64,
    head: Digest,
}

/// What was found of a ledger's files.
struct Found {
    opening: Opening,
    stated: Stated,
    tail: Tail,
    /// Behind the last whole batch or seal.
    whole: Mark,
    /// Up to where all is durable for sure.
    sure: Mark,
    /// Where the last seal is, if it covers all entries.
    seal: Option<u64>,
    /// What was signed, does not belong to the chain, and is not listed yet.
    dropped: Vec<(u64, Digest)>,
    /// Whether a segment that was being made has entries that may not be durable elsewhere.
    is_in_next: bool,
    /// Bytes behind the end.
    torn: u64,
    /// Entries that the record of what is durable states.
    stated_size: u64,
    /// What is wrong with the first frame that does not belong.
    fault: Option<String>,
    /// Roots of the tree at the sizes that were asked for.
    roots: Vec<(u64, Digest)>,
}

/// What of the frames one walk finds out.
struct Reading {
    opening: Opening,
    wanted: Vec<u64>,
    roots: Vec<(u64, Digest)>,
    whole: Mark,
    marks: Vec<Mark>,
    /// Where the record of what is durable says that the files end, if something ends there.
    ends: Option<Mark>,
    seal: Option<u64>,
    /// Whether a seal covers all entries, be it in this segment or the one before.
    is_sealed: bool,
    fault: Option<String>,
}

impl Found {
    /// Reads the end of the files, from the last seal on that stands before all of these sizes, and notes the roots at them.
    fn read(directory: &Directory, sizes: &[u64]) -> Result<Self, OpenError> {
        let pieces = directory.pieces();
        let most = sizes.first().copied().unwrap_or(u64::MAX);
        let mut reading = match Reading::behind_seal(directory, &pieces, most)? {
            Some(reading) => reading,
            // Without a seal that can be believed all of it has to be read.
            None => Reading::from_start(&pieces),
        };
        let record = directory.record();
        reading.wanted = sizes.to_vec();
        reading.note_root();
        reading.note_end(&record);
        let from = reading.whole.place;
        let ending = directory.walk(from, &mut |met| {
            let here = Mark { place: met.at, ..reading.here() };
            if reading.marks.last().is_none_or(|mark| mark.place.piece < met.at.piece)
                || met.is_marked
            {
                reading.mark(here);
            }
            if let Err(what) = reading.take(met) {
                reading.fault = Some(what);
                return Ok(false);
            }
            reading.note_root();
            if reading.opening.open.is_empty() {
                reading.whole = Mark { place: met.end, ..reading.here() };
                reading.note_end(&record);
            }
            Ok(true)
        })?;
        reading.end(directory, &pieces, &ending)
    }

    /// Does what was decided, and gives the ledger.
    fn go_on(
        mut self,
        directory: Arc<Directory>,
        decision: Decision,
        signers: Signers,
        keeper: Keeper,
        options: Options,
    ) -> Result<Ledger, OpenError> {
        let Some(chain) = self.opening.chain.take() else {
            let what = "entry 0 is not there, or damaged".to_owned();
            return Err(OpenError::Stopped { code: "LEDGER_DAMAGED", what, quarantine: None });
        };
        let said = directory.chain_id();
        if said != chain.id() {
            let found = chain.id();
            let what = format!("expected entry 0 of chain {said}, found that of chain {found}");
            return Err(OpenError::Stopped { code: "LEDGER_FOREIGN", what, quarantine: None });
        }
        let head = chain.head().ok_or(Refusal::Closed)?;
        let tree = std::mem::take(&mut self.opening.tree);
        let (clock, marks) =
            Clock::open(Some(head.stamp), &*options.time).map_err(Refusal::Clock)?;
        let mut state = State::new(chain, (head, tree), signers.entries, clock, marks);
        state.checkpoints = signers.checkpoints;
        if !state.has_checkpoint_signer() {
            state.checkpoints = None;
            observe::unsealed();
        }
        let record = directory.record();
        let now = epoch::writing(&*state.signer);
        let is_clean = decision == Decision::GoOn && self.tail == Tail::Sealed;
        // Any of them may be older than another: a power cut takes a record that was not synced.
        let begun = directory.pieces().last().map_or(0, |piece| piece.beginning.epoch);
        let epoch = record.epoch.max(begun).max(self.opening.epoch);
        state.epoch = epoch;
        state.quarantined = self.opening.halted;
        if self.tail == Tail::Sealed {
            state.sealed_size = self.whole.size;
        }
        if let Some(cause) = epoch::cause(is_clean, record.writing.as_ref(), &now) {
            state.epoch = epoch.saturating_add(1);
            let lost = (self.torn, len_u64(self.dropped.len()));
            state.note(epoch::note(cause, &now, state.epoch, lost));
        }
        state.list_torn(std::mem::take(&mut self.dropped));
        if self.is_in_next {
            directory.set_aside()?;
        }
        directory.keep_reserve(options.files.reserve)?;
        directory.announce(now, state.epoch);
        let authority = std::mem::take(&mut self.opening.authority);
        match decision {
            Decision::GoOn => {
                let Mark { place, size, head } = self.whole;
                directory.accept(place, size, head, authority);
                directory.go_on(self.seal);
                directory.aged(age(&directory, options.time.wall()));
            }
            _ => self.renew(&directory, authority)?,
        }
        if !directory.has_room() {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            state.run_short(0, &full, options.time.wall());
        }
        Ok(Ledger::over(state, Box::new(directory), keeper, options))
    }

    /// Begins a segment with what may not be durable where it is.
    fn renew(&self, directory: &Directory, authority: Vec<Needed>) -> Result<(), OpenError> {
        let frames = directory.bytes(self.sure.place, self.whole.place)?;
        let ends = (self.whole.place, self.sure.head, self.whole.head);
        check_copy(&frames, &directory.chain_id(), ends)?;
        let before =
            authority.iter().copied().filter(|entry| entry.sequence < self.sure.size).collect();
        let sure = &self.sure;
        directory.accept(sure.place, sure.size, sure.head, before);
        let whole = (self.whole.size, self.whole.head);
        directory.renew(&frames, whole, authority).map_err(|error| OpenError::Store {
            expected: "a directory that a segment can be begun in",
            found: error.to_string(),
        })
    }

    fn stopped(&self, decision: Decision, known: &Known) -> Option<Stop> {
        let (at, segment) = (self.whole.place.at, self.whole.place.segment());
        let (code, what) = match decision {
            Decision::GoOn | Decision::Renew | Decision::Mend => return None,
            Decision::StopDamaged => (
                "LEDGER_DAMAGED",
                format!("entries that were durable are damaged, from byte {at} of {segment} on"),
            ),
            Decision::StopCut => (
                "LEDGER_CUT",
                format!("entries that were durable are gone; {} left", there(self.whole.size)),
            ),
            Decision::StopForeign => {
                let fault = self.fault.clone().unwrap_or_default();
                ("LEDGER_FOREIGN", format!("{segment}, byte {at}: {fault}"))
            }
            Decision::StopBehind => {
                let (found, known) = (there(self.whole.size), known.words());
                (
                    "LEDGER_BEHIND",
                    format!(
                        "{found} here, and the anchor knows {known}: the files were set back, or cut"
                    ),
                )
            }
            Decision::StopBeside => {
                let known = known.words();
                (
                    "LEDGER_BESIDE",
                    format!(
                        "the anchor knows {known}, and others than are here: this is another branch"
                    ),
                )
            }
        };
        let phase = if code == "LEDGER_DAMAGED" { Phase::Content } else { Phase::Chain };
        let place = format!("{segment}, byte {at}");
        let most = known.sizes().last().copied().unwrap_or(0);
        let affected = most.max(self.stated_size).saturating_sub(self.whole.size);
        let (size, proofs) = (self.whole.size, Vec::new());
        Some(Stop { code, what, phase, segment, place, size, affected, proofs })
    }
}

impl Reading {
    fn from_start(pieces: &[Arc<Piece>]) -> Self {
        let at = pieces.first().map_or(0, |piece| piece.start);
        let start = Mark { place: Place { piece: 0, at }, size: 0, head: Digest::ZERO };
        let (opening, whole) = (Opening::default(), start.clone());
        Self::at(opening, whole, start, None)
    }

    /// Behind the last seal over at most `most` entries, if what it says can be believed without reading what it covers.
    fn behind_seal(
        directory: &Directory,
        pieces: &[Arc<Piece>],
        most: u64,
    ) -> Result<Option<Self>, OpenError> {
        let Some(Sealed { seal, at, end }) = directory.seal_before(most)? else { return Ok(None) };
        let authority = pieces.get(at.piece).and_then(|piece| piece.beginning.authority.clone());
        let Some(authority) = authority else { return Ok(None) };
        let before = directory.authority_entries(&authority)?;
        let opening = Opening::behind(&seal, &before).or_else(|| {
            // The keys have changed since the segment began.
            let within = directory.authority_within(at, &before).ok()?;
            Opening::behind(&seal, &within)
        });
        let Some(opening) = opening else { return Ok(None) };
        let (size, head) = (seal.state.size, seal.state.head);
        let whole = Mark { place: end, size, head };
        // A seal is a group by itself: before it all is durable.
        let mark = Mark { place: at, size, head };
        Ok(Some(Self::at(opening, whole, mark, Some(at.at))))
    }

    fn at(opening: Opening, whole: Mark, mark: Mark, seal: Option<u64>) -> Self {
        let (wanted, roots, is_sealed) = (Vec::new(), Vec::new(), seal.is_some());
        let (marks, ends) = (vec![mark], None);
        Self { opening, wanted, roots, whole, marks, ends, seal, is_sealed, fault: None }
    }

    /// Notes the root here, if it is wanted.
    fn note_root(&mut self) {
        let tree = &self.opening.tree;
        if self.wanted.contains(&tree.size())
            && self.roots.last().is_none_or(|(at, _)| *at < tree.size())
        {
            self.roots.push((tree.size(), tree.root()));
        }
    }

    /// Notes the end of what is whole, if it is where the record says that all is durable.
    fn note_end(&mut self, record: &Record) {
        let Mark { place, size, head } = &self.whole;
        if (place.at, *size, *head) == (record.length, record.size, record.head) {
            self.ends = Some(self.whole.clone());
        }
    }

    /// Notes a mark. Of those before what is whole only the last one counts: a tail may have millions.
    fn mark(&mut self, mark: Mark) {
        let before = self.marks.partition_point(|mark| mark.place <= self.whole.place);
        self.marks.drain(..before.saturating_sub(1));
        self.marks.push(mark);
    }

    fn here(&self) -> Mark {
        let head = self.opening.head().map_or(Digest::ZERO, |head| head.digest);
        Mark { place: self.whole.place, size: self.opening.next(), head }
    }

    /// Goes over to a segment that has no batch yet that is whole. All that it was begun with is durable.
    fn enter(&mut self, pieces: &[Arc<Piece>], number: usize) {
        let Some(piece) = pieces.get(number) else { return };
        let place = Place { piece: number, at: piece.start };
        let here = Mark { place, ..self.here() };
        let before = pieces.get(self.whole.place.piece);
        let is_linked = self.opening.head().is_none() || piece.beginning.prior == here.head;
        if piece.beginning.first != here.size || !is_linked {
            let what = "the segment begins with another entry, or behind another, than the one before ends with";
            self.fault = Some(what.to_owned());
        } else if before.is_none_or(|before| before.end != Some(self.whole.place.at)) {
            self.fault = Some("a batch goes on beyond the end of its segment".to_owned());
        }
        self.marks.push(here.clone());
        self.whole = here;
        self.seal = None;
    }

    fn take(&mut self, met: &Met<'_>) -> Result<(), String> {
        if let Some(what) = self.fault.take() {
            return Err(what);
        }
        self.is_sealed = met.kind == Kind::Seal;
        if met.kind == Kind::Entry || met.kind == Kind::Gap {
            self.seal = None;
            if met.kind == Kind::Gap {
                return self.opening.pass(met.body);
            }
            return self.opening.take(met.left, met.body).map_err(|error| error.to_string());
        }
        self.seal = Some(met.at.at);
        self.take_seal(met.body).map_err(str::to_owned)
    }

    /// Whether a seal says what the entries before it say.
    fn take_seal(&mut self, body: &[u8]) -> Result<(), &'static str> {
        let r = &mut Reader::new(body);
        let seal = Seal::parse(r).map_err(|_| "a seal that cannot be read")?;
        r.finish().map_err(|_| "a seal that cannot be read")?;
        let Some(chain) = self.opening.chain.as_ref().filter(|_| self.opening.open.is_empty())
        else {
            return Err("a seal within a batch, or before entry 0");
        };
        if !self.opening.agrees(&seal) {
            return Err("a seal that says other than the entries before it");
        }
        let key = chain.keyring().get(&seal.signer).filter(|key| key.role == Role::Checkpoint);
        match key {
            Some(key) if seal.is_signed_by(&key.public, &chain.id()) => {
                self.opening.learn(&seal);
                Ok(())
            }
            _ => Err("a seal that no checkpoint key of this chain has signed"),
        }
    }

    /// Whether a seal is one of this chain, over more than can be read: whatever it covers was durable. One over as much shows nothing:
    /// a disk may leave old blocks of this very file in a tail that is torn.
    fn is_stray(&self, seal: &Seal) -> bool {
        let Some(chain) = &self.opening.chain else { return false };
        let key = chain.keyring().get(&seal.signer).filter(|key| key.role == Role::Checkpoint);
        seal.state.size > chain.size()
            && key.is_some_and(|key| seal.is_signed_by(&key.public, &chain.id()))
    }

    /// What the chain lists as abandoned, as far as segments say where that is.
    fn listed(
        &self,
        directory: &Directory,
        pieces: &[Arc<Piece>],
    ) -> Result<BTreeSet<(u64, Digest)>, OpenError> {
        let place = self.whole.place;
        let sequences = pieces.get(place.piece).and_then(|piece| piece.beginning.authority.clone());
        let before = directory.authority_entries(&sequences.unwrap_or_default())?;
        let entries = directory.authority_within(place, &before)?;
        Ok(entries.iter().flat_map(|(left, body)| listed(*left, body)).collect())
    }

    /// Up to where all is durable for sure.
    fn sure(&mut self, directory: &Directory, stated: Stated) -> Mark {
        let record = directory.record();
        if directory.is_stand_in(self.whole.place) {
            // It was whole before it had its name. A segment begins behind it, with none of it.
            return self.whole.clone();
        }
        let mut sure = self.marks.pop().unwrap_or_else(|| self.whole.clone());
        // A group that was torn begins with a mark behind the last whole one.
        while sure.place > self.whole.place {
            sure = self.marks.pop().unwrap_or_else(|| self.whole.clone());
        }
        let by_record = Mark {
            place: Place { at: record.length, ..self.whole.place },
            size: record.size,
            head: record.head,
        };
        // It is not signed: what it says is believed only where a batch or a seal ends that came to just that. Elsewhere a segment would
        // begin in the midst of a frame.
        let is_met = self.ends.as_ref() == Some(&by_record);
        if stated == Stated::Less
            && directory.is_last(record.ordinal)
            && is_met
            && by_record.place > sure.place
        {
            return by_record;
        }
        sure
    }

    /// What stands at the end.
    fn end(
        mut self,
        directory: &Directory,
        pieces: &[Arc<Piece>],
        ending: &Ending,
    ) -> Result<Found, OpenError> {
        let mut dropped = self.opening.drop_open();
        let was_open = !dropped.is_empty();
        let record = directory.record();
        self.opening.end_in_gap((record.size, record.head));
        self.whole.head = self.here().head;
        if self.fault.is_none() && self.whole.place.piece < ending.at.piece {
            self.enter(pieces, ending.at.piece);
        }
        let tail = if self.fault.is_some() {
            Tail::Foreign
        } else if ending.damage.is_some() {
            // What a later segment counts was durable when that was begun.
            let mut was_durable = pieces.len() > ending.at.piece.saturating_add(1);
            directory.search(ending.at, &mut |at, left| match left {
                Left::Entry(remains) => {
                    if let Some(stray) = self.opening.stray(remains) {
                        was_durable |= remains.is_marked && at > ending.at.at;
                        dropped.push(stray);
                    }
                }
                Left::Seal(seal) => was_durable |= at > ending.at.at && self.is_stray(seal),
            })?;
            if was_durable { Tail::Damaged } else { Tail::Torn }
        } else if was_open {
            Tail::Open
        } else if self.is_sealed {
            Tail::Sealed
        } else {
            Tail::Whole
        };
        let length = directory.length(self.whole.place)?;
        let torn = length.saturating_sub(self.whole.place.at);
        let stated = directory.stated(self.whole.place, torn == 0);
        let sure = self.sure(directory, stated);
        let mut is_in_next = false;
        directory.search_aside(self.opening.next(), &mut |is_next, remains| {
            // What else is there of it may be in the page cache only.
            is_in_next |= is_next && remains.fields.sequence >= sure.size;
            dropped.extend(self.opening.stray(remains));
        })?;
        if !dropped.is_empty() {
            let listed = self.listed(directory, pieces)?;
            dropped.retain(|entry| !listed.contains(entry));
            dropped.sort_unstable();
            dropped.dedup();
        }
        let Self { opening, whole, seal, fault, roots, .. } = self;
        Ok(Found {
            opening,
            stated,
            tail,
            whole,
            sure,
            seal,
            dropped,
            is_in_next,
            torn,
            stated_size: directory.record().size,
            fault,
            roots,
        })
    }
}

/// That so many entries are somewhere, in words.
fn there(count: u64) -> String {
    format!("{} {}", entries(count), if count == 1 { "is" } else { "are" })
}
