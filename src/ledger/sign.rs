//! Signing: on the caller's thread where the key is in this process, else on threads of the ledger's own, so that a signer
//! that never answers holds up none of the callers for longer than its time.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::chainfile;
use crate::digest::Digest;
use crate::error::Refusal;
use crate::frame::{self, Kind};
use crate::id::EventId;
use crate::key::{Purpose, Role, Signature};
use crate::ledger::call::{Call, Pending};
use crate::ledger::shared::{Held, Shared};
use crate::ledger::state::Sealed;
use crate::reserved::KeyRecord;
use crate::signer::{Signer, Statement};
use crate::store::Stored;
use crate::sync::{Condvar, Mutex, spawn};
use crate::tree;

/// What became of signing the entries of a call: the frames of those that were signed, and why the next one was not.
type Signed = (Vec<(Arc<Pending>, Sealed)>, Option<(Arc<Pending>, Refusal)>);

/// Asks a signer for a signature, whatever it does.
pub(super) fn ask(
    signer: &dyn Signer,
    statement: &Statement<'_>,
    verify_own: bool,
) -> Result<Signature, Refusal> {
    // Nothing of ours is half-done while it runs: if it panics, it is a signer that has failed.
    let asked = catch_unwind(AssertUnwindSafe(|| {
        let signature = signer.sign(statement)?;
        let is_trusted = signer.is_in_process() && !verify_own;
        Ok((signature, is_trusted || statement.is_signed_by(signer.public(), &signature)))
    }));
    match asked.map_err(|_| Refusal::SignerPanicked)?.map_err(Refusal::Signer)? {
        (signature, true) => Ok(signature),
        (_, false) => Err(Refusal::SignerFalse),
    }
}

/// A key on its way into the chain, with the proof that its signer holds it.
pub(super) fn record(
    key: &dyn Signer,
    role: Role,
    chain_id: &Digest,
    event_id: EventId,
) -> Result<KeyRecord, Refusal> {
    let digest = KeyRecord::statement(key.public().as_bytes(), role, chain_id, event_id);
    let proof = ask(key, &Statement::Digest(Purpose::Possession, &digest), true)?;
    Ok(KeyRecord { public: *key.public().as_bytes(), role, proof })
}

/// Signs the entries of a call, in order, as far as the signer goes along.
pub(super) fn sign_all(call: &Call, signer: &dyn Signer, shared: &Shared) -> Signed {
    let mut frames = Vec::with_capacity(call.entries.len());
    for pending in &call.entries {
        // Abandoned in the meantime: no signer needs to see it.
        if !pending.phase.hand() {
            break;
        }
        // Set once: only whoever hands it gets here.
        let _ = pending.handed_at.set(shared.time().running());
        let digest = pending.linked.digest();
        let statement = Statement::Digest(Purpose::Entry, &digest);
        let sealed = ask(signer, &statement, shared.options.verify_own)
            .and_then(|signature| seal(pending, signature));
        match sealed {
            Ok(sealed) => frames.push((Arc::clone(pending), sealed)),
            Err(refusal) => return (frames, Some((Arc::clone(pending), refusal))),
        }
    }
    (frames, None)
}

/// The frame of a signed entry.
fn seal(pending: &Pending, signature: Signature) -> Result<Sealed, Refusal> {
    let digest = pending.linked.digest();
    let body = frame::entry_body(pending.linked.fields(), &signature, &pending.part);
    let head = chainfile::encode_head(Kind::Entry, pending.left, &body)
        .map_err(|error| Refusal::Store(error.to_string()))?;
    let leaf = tree::leaf_hash(&digest, &signature);
    // The entry is signed once: nobody else has set it.
    let _ = pending.signature.set(signature);
    let (sequence, event_id) = (pending.sequence(), pending.event_id());
    Ok(Sealed { stored: Stored::new(sequence, event_id, pending.left, head, body), leaf })
}

/// A call for a signer outside this process.
struct Job {
    shared: Arc<Shared>,
    call: Call,
    signer: Arc<dyn Signer>,
}

/// The threads that ask signers outside this process; as many as are busy, up to a bound.
#[derive(Default)]
pub(super) struct Pool {
    jobs: Mutex<Jobs>,
    added: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// When the time of those calls is up that threads are busy with, by the number of the thread.
    busy: BTreeMap<u64, u64>,
    next: u64,
    closed: bool,
}

/// All threads of a pool, those included that a signer keeps.
const THREADS_MAX: usize = 64;

impl Jobs {
    /// The threads without those whose call has run out of time: a signer that never answers must not keep others from being asked.
    fn working(&self, now: u64) -> usize {
        let lost = self.busy.values().filter(|end| **end <= now).count();
        self.threads.saturating_sub(lost)
    }

    /// Whether one more thread is needed and may be.
    fn wants_thread(&self, now: u64, most: usize) -> bool {
        self.idle < self.waiting.len() && self.working(now) < most && self.threads < THREADS_MAX
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// Has a call signed by one of the threads. Its entries are sealed, or abandoned, in time.
    pub(super) fn sign(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        call: Call,
        signer: Arc<dyn Signer>,
    ) {
        let now = shared.time().running();
        let most = shared.options.signing_threads;
        let mut jobs = self.jobs.lock();
        jobs.waiting.push_back(Job { shared: Arc::clone(shared), call, signer });
        if jobs.wants_thread(now, most) {
            let pool = Arc::clone(self);
            jobs.next += 1;
            let number = jobs.next;
            // Where no more threads are to be had, those that there are do; with none the signer's time passes, and says so.
            if spawn("sigchain-signer", move || pool.work(number, most)).is_ok() {
                jobs.threads += 1;
            }
        }
        drop(jobs);
        self.added.notify_one();
    }

    fn work(&self, number: u64, most: usize) {
        loop {
            let mut jobs = self.jobs.lock();
            jobs.idle += 1;
            while jobs.waiting.is_empty() && !jobs.closed {
                jobs = self.jobs.wait(jobs, &self.added);
            }
            jobs.idle = jobs.idle.saturating_sub(1);
            let Some(job) = jobs.waiting.pop_front() else {
                jobs.threads = jobs.threads.saturating_sub(1);
                return;
            };
            drop(jobs);
            let Job { shared, call, signer } = job;
            let _step = shared.step();
            let each = u64::try_from(call.entries.len()).unwrap_or(u64::MAX);
            let time = shared.options.signer_nanos.saturating_mul(each);
            let end = shared.time().running().saturating_add(time);
            self.jobs.lock().busy.insert(number, end);
            let signed = sign_all(&call, &*signer, &shared);
            drop(shared.pass_on(shared.sealed(signed)));
            let now = shared.time().running();
            let mut jobs = self.jobs.lock();
            jobs.busy.remove(&number);
            if jobs.working(now) > most {
                // It was lost, and another has taken its place.
                jobs.threads = jobs.threads.saturating_sub(1);
                return;
            }
        }
    }

    /// Lets the threads end.
    pub(super) fn close(&self) {
        self.jobs.lock().closed = true;
        self.added.notify_all();
    }
}

impl Shared {
    /// Takes what was signed, and abandons from where it was not.
    pub(super) fn sealed(&self, (signed, failed): Signed) -> Held<'_> {
        let mut held = self.lock();
        for (pending, sealed) in signed {
            held.state.seal(&pending, sealed);
        }
        if let Some((pending, refusal)) = failed {
            held.abandon(&pending, &refusal);
        }
        held
    }
}
