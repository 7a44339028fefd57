//! What must hold whatever the schedule was: of what callers were told, of what signers saw, of what the chain says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sigchain::digest::Digest;
use sigchain::error::{AppendError, CloseError, Refusal};
use sigchain::frame::{Frame, Kind, Written};
use sigchain::id::EventId;
use sigchain::ledger::{Closed, Ledger, Options};
use sigchain::reserved::Reserved;
use sigchain::store::Memory;

use crate::support::{Notes, Told, key};

/// An entry of the chain as it is in the end.
#[derive(Debug)]
pub struct Found {
    pub digest: Digest,
    pub actor: String,
    pub event_type: String,
    pub event_id: EventId,
    pub cause: Option<EventId>,
}

impl Found {
    /// Whether it is the ledger's own, and nobody asked for it.
    pub fn is_own(&self) -> bool {
        self.event_type == "chain.abandoned"
    }
}

/// What an entry lists as abandoned.
fn abandoned(written: &Written<'_>, sequence: u64) -> Vec<Digest> {
    let event_type = &written.fields.event_type;
    if event_type != "chain.abandoned" {
        return Vec::new();
    }
    match Reserved::parse(event_type, &written.part, sequence).unwrap() {
        Reserved::Abandoned { entries, .. } => entries.into_iter().map(|(_, d)| d).collect(),
        other => unreachable!("{other:?}"),
    }
}

/// The chain as it is in the end. It has been judged.
pub struct Verdict {
    pub chain: Vec<Found>,
    listed: BTreeSet<Digest>,
    /// What was in doubt and is not there: entries, and what those would have listed.
    lost: BTreeSet<Digest>,
    pub notes: Arc<Notes>,
}

impl Verdict {
    pub fn new(
        memory: &Memory,
        notes: Arc<Notes>,
        closed: Option<Result<Closed, CloseError>>,
    ) -> Self {
        // Verifies all of it: signatures, links, and that the abandoned are listed by the rules.
        let ledger = Ledger::open(memory.clone(), key(1), Options::new()).unwrap();
        let mut listed = BTreeSet::new();
        let mut chain = Vec::new();
        for sequence in 0..=ledger.head().sequence {
            let written = ledger.entry(sequence).unwrap().unwrap();
            let digest = written.entry(&ledger.chain_id()).digest();
            let fields = &written.fields;
            for digest in abandoned(&written, sequence) {
                assert!(listed.insert(digest), "listed twice");
            }
            let (actor, event_type) = (fields.actor.to_string(), fields.event_type.to_string());
            let (event_id, cause) = (fields.event_id, fields.causation_id);
            chain.push(Found { digest, actor, event_type, event_id, cause });
        }
        let mut lost = BTreeSet::new();
        for stored in &*notes.lost.lock().unwrap() {
            let frame = Frame::parse(Kind::Entry, stored.left, &stored.body).unwrap();
            let Frame::Entry(written) = frame else { unreachable!("{frame:?}") };
            lost.insert(written.entry(&ledger.chain_id()).digest());
            lost.extend(abandoned(&written, stored.sequence));
        }
        let verdict = Self { chain, listed, lost, notes };
        verdict.of_outcomes();
        verdict.of_order();
        verdict.of_signers(closed.as_ref());
        verdict.of_sightings();
        if let Some(closed) = closed {
            verdict.of_closing(&closed);
        }
        verdict
    }

    /// Of callers: nothing was refused, and all of it is there.
    pub fn is_faultless(&self) {
        for told in &*self.notes.told.lock().unwrap() {
            assert!(!matches!(told.outcome, Some(Err(_))), "{told:?}");
            assert!(told.actors.iter().all(|actor| self.place(actor).is_some()), "{told:?}");
        }
        assert!(self.listed.is_empty());
    }

    /// Those refusals are all that there were.
    pub fn refused_only(&self, is_expected: impl Fn(&Refusal) -> bool) {
        for told in &*self.notes.told.lock().unwrap() {
            match &told.outcome {
                Some(Err(AppendError::Refused(refusal))) => {
                    assert!(is_expected(refusal), "{told:?}");
                }
                Some(Err(_)) => assert!(self.notes.is_uncertain.load(Ordering::SeqCst), "{told:?}"),
                None | Some(Ok(_)) => {}
            }
        }
    }

    pub fn place(&self, actor: &str) -> Option<usize> {
        self.chain.iter().position(|found| found.actor == actor)
    }

    /// What has a receipt is in the chain as the receipt says; what was refused is not.
    fn of_outcomes(&self) {
        let mut actors = BTreeMap::new();
        for (at, found) in self.chain.iter().enumerate() {
            // Outcomes are by whoever acted.
            let is_outcome = found.cause.is_some();
            let twice = actors.insert(&found.actor, at).filter(|_| found.actor != "sigchain");
            let twice = twice.filter(|_| !is_outcome);
            assert!(twice.is_none(), "{} is there twice", found.actor);
        }
        for told in &*self.notes.told.lock().unwrap() {
            let places: Vec<_> =
                told.actors.iter().filter_map(|a| actors.get(a).copied()).collect();
            assert!(places.is_empty() || places.len() == told.actors.len(), "part of {told:?}");
            assert!(places.windows(2).all(|pair| pair[0] + 1 == pair[1]), "not in a row: {told:?}");
            match &told.outcome {
                Some(Ok(receipts)) => {
                    assert_eq!(receipts.len(), told.actors.len(), "{told:?}");
                    assert_eq!(receipts.len(), places.len(), "not in the chain: {told:?}");
                    for (receipt, place) in receipts.iter().zip(&places) {
                        let found = &self.chain[*place];
                        assert_eq!(receipt.sequence, u64::try_from(*place).unwrap(), "{told:?}");
                        assert_eq!(receipt.digest, found.digest, "{told:?}");
                        assert_eq!(receipt.event_id, found.event_id, "{told:?}");
                    }
                }
                Some(Err(AppendError::Refused(_))) => {
                    assert!(places.is_empty(), "refused, and in the chain: {told:?}");
                }
                Some(Err(AppendError::Uncertain { .. })) | None => {}
            }
        }
    }

    /// Receipts are in the order in which calls began on a thread, and ended on different ones; after an uncertain outcome
    /// there is none.
    fn of_order(&self) {
        let all = self.notes.told.lock().unwrap();
        let sequences = |told: &Told| match &told.outcome {
            Some(Ok(receipts)) => {
                receipts.first().map(|r| r.sequence).zip(receipts.last().map(|r| r.sequence))
            }
            _ => None,
        };
        for first in &*all {
            for second in all.iter().filter(|second| second.started > first.started) {
                let is_after = second.thread == first.thread || first.ended < second.started;
                if let (true, Some((_, last)), Some((next, _))) =
                    (is_after, sequences(first), sequences(second))
                {
                    assert!(last < next, "{first:?} and then {second:?}");
                }
                let is_uncertain =
                    matches!(first.outcome, Some(Err(AppendError::Uncertain { .. })));
                if is_uncertain && first.ended < second.started {
                    let refused = matches!(second.outcome, Some(Err(AppendError::Refused(_))));
                    assert!(refused, "after {first:?}: {second:?}");
                }
            }
        }
    }

    /// What reached a signer is in the chain, or listed there as abandoned, or named when the ledger was closed.
    fn of_signers(&self, closed: Option<&Result<Closed, CloseError>>) {
        let seen = self.notes.seen.lock().unwrap();
        let chain: BTreeSet<_> = self.chain.iter().map(|found| found.digest).collect();
        assert!(self.listed.is_disjoint(&chain), "abandoned, and in the chain");
        assert!(chain.is_subset(&seen), "in the chain without a signer");
        assert!(self.listed.is_subset(&seen), "listed without a signer");
        let is_rest = |digest: &&Digest| {
            !chain.contains(*digest)
                && !self.listed.contains(*digest)
                && !self.lost.contains(*digest)
        };
        let rest = seen.iter().filter(is_rest).count();
        match closed {
            Some(Ok(_)) => assert_eq!(rest, 0, "lost, and closed well"),
            Some(Err(error)) => assert_eq!(rest, error.unlisted, "lost, and named: {error:?}"),
            None => {}
        }
    }

    /// What anybody saw is in the chain.
    fn of_sightings(&self) {
        for (sequence, digest) in &*self.notes.sightings.lock().unwrap() {
            let found = &self.chain[usize::try_from(*sequence).unwrap()];
            assert_eq!(found.digest, *digest, "seen at {sequence}, and gone");
        }
    }

    fn of_closing(&self, closed: &Result<Closed, CloseError>) {
        match closed {
            Ok(Closed { head, size, .. }) => {
                assert_eq!(usize::try_from(*size).unwrap(), self.chain.len(), "{closed:?}");
                assert_eq!(Some(head.digest), self.chain.last().map(|found| found.digest));
            }
            Err(CloseError { refused, .. }) => {
                let is_there = |id: &EventId| self.chain.iter().any(|found| found.event_id == *id);
                assert!(!refused.iter().any(is_there), "refused, and in the chain: {closed:?}");
            }
        }
    }
}
