//! Two histories of one chain. What proves it is kept by itself beside what is set aside: it stands alone, and goes to whoever relies on
//! the chain. And the ledger is halted, whichever of the two it has.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::codec::Writer;
use crate::digest::Digest;
use crate::directory::Directory;
use crate::disk::Folder;
use crate::entry::Fields;
use crate::fork::ForkProof;
use crate::id::EventId;
use crate::key::KeyId;
use crate::ledger::Ledger;
use crate::ledger::call::random;
use crate::ledger::halt::{Aside, Known, Proof};
use crate::ledger::options::Options;
use crate::ledger::resolve::{ResolveError, site_at};
use crate::limit::FieldError;
use crate::quarantine::{
    Case, Detector, Discontinuity, FOLDER, Kind, Log, PROOF, Phase, cases, pass,
};
use crate::reserved::{Reason, Reserved};
use crate::select::Filter;
use crate::signer::Signer;

/// The file with the pair of entries.
const FORK: &str = "proof-fork.jsonl";

/// What came of the proof of a fork.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forked {
    /// The quarantine that halts the ledger.
    pub quarantine: EventId,
    /// Where the proof is, within the ledger's directory.
    pub proof: String,
    /// Whether it was there before.
    pub was_known: bool,
}

impl Forked {
    fn of(quarantine: EventId, was_known: bool) -> Self {
        Self { quarantine, proof: place(&quarantine, FORK), was_known }
    }
}

/// Where a proof is kept, within the ledger's directory.
pub(super) fn place(quarantine: &EventId, name: &str) -> String {
    format!("{FOLDER}/{quarantine}/{name}")
}

/// What the anchors have signed against a ledger that is stopped at its opening, and the last seal of what is here: two statements in the
/// name of one chain. They prove it to whoever has these files, which show what the seal is over.
pub(super) fn at_opening(notes: impl Iterator<Item = String>, directory: &Directory) -> Vec<Proof> {
    let mut all: Vec<Proof> = (1_u32..)
        .zip(notes)
        .map(|(at, note)| Proof {
            name: format!("{PROOF}anchor-{at}.note"),
            bytes: note.into_bytes(),
        })
        .collect();
    // Without one the entries themselves are all that speaks for what is here.
    if let Ok(Some(seal)) = directory.last_seal() {
        let mut w = Writer::new();
        seal.encode(&mut w);
        all.push(Proof { name: format!("{PROOF}ledger.seal"), bytes: w.into_bytes() });
    }
    all
}

/// What the first of these proves, and where it is.
pub(super) fn proves(code: &str, quarantine: &EventId, name: &str) -> String {
    let place = place(quarantine, name);
    match code {
        "LEDGER_BEHIND" => format!(
            "what was anchored is in {place}: signed, it proves that there were more entries, and not which"
        ),
        _ => format!(
            "what was anchored is in {place}: signed, it proves that there is another history of this chain, and with these files that \
             there are two"
        ),
    }
}

/// The quarantine that halts the ledger and has this proof already.
fn known(folder: &dyn Folder, cases: &[Case], bytes: &[u8]) -> Option<EventId> {
    let is_it = |case: &&Case| {
        let within = folder.folder(FOLDER, false).ok();
        let within = within.and_then(|all| all.folder(&case.id.to_string(), false).ok());
        let Some(file) = within.and_then(|within| within.open(FORK, false).ok()) else {
            return false;
        };
        let mut found = Vec::new();
        let read = pass(&*file, |block, _| {
            found.extend_from_slice(block);
            Ok(())
        });
        read.is_ok() && found == bytes
    };
    cases
        .iter()
        .filter(|case| case.copies.iter().any(|name| name == FORK))
        .find(is_it)
        .map(|c| c.id)
}

/// What a ledger says of itself that bears on a proof.
#[derive(Default)]
struct Own {
    abandoned: BTreeSet<Digest>,
    /// Keys that have ended: behind which entry none of theirs counts.
    ended: BTreeMap<KeyId, u64>,
}

impl Own {
    fn of(folder: &Arc<dyn Folder>) -> io::Result<Self> {
        let directory = Directory::view(Arc::clone(folder))?;
        let unfit = |error: FieldError| io::Error::other(error.to_string());
        let filter = Filter::new().event_type("chain.*").map_err(unfit)?;
        let filter = filter.event_type("key.*").map_err(unfit)?;
        let mut own = Self::default();
        for written in filter.select(&directory)? {
            let written = written?;
            let fields = &written.fields;
            match Reserved::parse(&fields.event_type, &written.part, fields.sequence) {
                Ok(Reserved::Abandoned { entries, .. }) => {
                    own.abandoned.extend(entries.into_iter().map(|(_, digest)| digest));
                }
                Ok(Reserved::Rotate { old, .. }) => {
                    own.ended.entry(old).or_insert(fields.sequence);
                }
                Ok(Reserved::Revoke { key, reason, .. }) => {
                    let until = if reason == Reason::Compromised { 0 } else { fields.sequence };
                    let ended = own.ended.entry(key).or_insert(until);
                    *ended = until.min(*ended);
                }
                _ => {}
            }
        }
        Ok(own)
    }

    /// Whether the key of an entry was in force where it claims to stand.
    fn speaks(&self, fields: &Fields<'_>) -> bool {
        self.ended.get(&fields.signer_key_id).is_none_or(|until| fields.sequence <= *until)
    }
}

impl Ledger {
    /// Halts the ledger at this path because keys of its chain have signed two entries of one sequence, as the proof shows; it is written
    /// out beside what is set aside. One that is halted already gets it as a finding. Nothing is appended to the chain: which of the two
    /// histories it goes on from is for people to decide.
    pub fn halt_at_fork(
        path: &Path,
        signer: &dyn Signer,
        options: &Options,
        proof: &ForkProof,
    ) -> Result<Forked, ResolveError> {
        let site = site_at(path, options)?;
        Directory::hold(&*site.folder, options.files.wait)?;
        let chain_id = Directory::chain_in(&*site.folder);
        let unproved = |what: String| {
            let advice = "nothing was changed: give a proof of a fork of this chain";
            ResolveError::new("QUARANTINE_UNPROVED", what, advice)
        };
        if chain_id != proof.chain_id {
            return Err(unproved(format!("expected chain {chain_id}, found {}", proof.chain_id)));
        }
        let own = Own::of(&site.folder).map_err(|error| unproved(error.to_string()))?;
        proof.verify(&own.abandoned).map_err(|error| unproved(error.to_string()))?;
        // Whoever has a stolen key signs whatever he likes: that it was his is known, and no reason to stop.
        if let Some(written) = proof.pair.iter().find(|written| !own.speaks(&written.fields)) {
            let key = written.fields.signer_key_id;
            return Err(unproved(format!(
                "expected entries of keys in force there, found one of {key}, which was revoked"
            )));
        }
        let bytes = proof.encode().into_bytes();
        let all = cases(&*site.folder)?;
        let halting = site.known()?.into_iter().rfind(Known::halts).map(|known| known.id);
        if let Some(id) = known(&*site.folder, &all, &bytes).filter(|id| halting == Some(*id)) {
            return Ok(Forked::of(id, true));
        }
        let found = discontinuity(proof, options)?;
        let proofs = [Proof { name: FORK.to_owned(), bytes }];
        let aside = Aside { names: &[], proofs: &proofs };
        let open = all.iter().find(|case| Some(case.id) == halting && case.damage.is_none());
        // A log has one file of that name.
        let open = open.filter(|case| case.copies.iter().all(|name| name != FORK));
        let id = if let Some(case) = open {
            let mut log = Log::go_on(&*site.folder, case, signer)?;
            log.add(Kind::Finding, found.detected_us, &found.fields().encode())?;
            site.set_aside(&mut log, &aside, found.detected_us)?;
            case.id
        } else {
            site.record((found.id, chain_id, Digest::ZERO), &found, &aside, signer)?;
            found.id
        };
        Ok(Forked::of(id, false))
    }
}

/// What is wrong, as it is recorded.
fn discontinuity(proof: &ForkProof, options: &Options) -> Result<Discontinuity, ResolveError> {
    let detected_us = u64::try_from(options.time.wall()).unwrap_or(0);
    let [a, b] = proof.pair.each_ref().map(|written| written.entry(&proof.chain_id).digest());
    let [first, _] = &proof.pair;
    let sequence = first.fields.sequence;
    Ok(Discontinuity {
        id: EventId::new(detected_us / 1000, random()?),
        detected_us,
        detector: Detector::Operator,
        phase: Phase::Chain,
        code: "FORK".to_owned(),
        place: "the chain".to_owned(),
        sequence: Some(sequence),
        expected: format!("one entry with sequence {sequence}"),
        found: format!("two that keys of the chain have signed, {a} and {b}"),
        last_good: sequence.checked_sub(1),
        affected: 1,
    })
}
