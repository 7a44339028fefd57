//! Signing: on the caller's thread where the key is in this process, else on threads of the ledger's own, so that a signer
//! that never answers holds up none of the callers for longer than its time.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::chain;
use crate::chainfile;
use crate::digest::Digest;
use crate::error::Refusal;
use crate::frame::{self, Kind};
use crate::id::EventId;
use crate::key::{Purpose, Role, Signature};
use crate::ledger::call::{Call, Pending};
use crate::ledger::options::Options;
use crate::ledger::shared::{Held, Shared};
use crate::ledger::state::Sealed;
use crate::reserved::KeyRecord;
use crate::signer::{SEVERAL, Signer, SignerError, Statement};
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

/// Asks a signer in this process for several signatures at once. Gives those that it made, and why there are no more.
fn ask_several(
    signer: &dyn Signer,
    digests: &[Digest],
    verify_own: bool,
) -> (Vec<Signature>, Option<Refusal>) {
    let asked = catch_unwind(AssertUnwindSafe(|| {
        let (mut signatures, error) = signer.sign_several(Purpose::Entry, digests);
        let is_own = |(digest, signature): (&Digest, &Signature)| {
            signer.public().accepts(Purpose::Entry, digest, signature)
        };
        let own = digests.iter().zip(&signatures).take_while(|&pair| !verify_own || is_own(pair));
        let own = own.count();
        let is_false = own < signatures.len();
        signatures.truncate(own);
        let refusal =
            if is_false { Some(Refusal::SignerFalse) } else { error.map(Refusal::Signer) };
        (signatures, refusal)
    }));
    asked.unwrap_or_else(|_| (Vec::new(), Some(Refusal::SignerPanicked)))
}

/// Signs the entries of calls, in order and up to `most` at once, as far as the signer goes along.
pub(super) fn sign_all(
    calls: &[Call],
    signer: &dyn Signer,
    most: usize,
    options: &Options,
) -> Signed {
    let mut frames = Vec::with_capacity(calls.iter().map(|call| call.entries.len()).sum());
    // What was abandoned in the meantime no signer needs to see; of a call it is the end, or all.
    let mut entries = calls
        .iter()
        .flat_map(|call| call.entries.iter().take_while(|pending| pending.phase.hand()));
    loop {
        let handed: Vec<&Arc<Pending>> = entries.by_ref().take(most).collect();
        if handed.is_empty() {
            return (frames, None);
        }
        let now = options.time.running();
        for pending in &handed {
            // Set once: only whoever hands it gets here.
            let _ = pending.handed_at.set(now);
        }
        let digests: Vec<Digest> = handed.iter().map(|pending| pending.linked.digest()).collect();
        let (signatures, refusal) = match &*digests {
            [digest] => {
                let statement = Statement::Digest(Purpose::Entry, digest);
                match ask(signer, &statement, options.verify_own) {
                    Ok(signature) => (vec![signature], None),
                    Err(refusal) => (Vec::new(), Some(refusal)),
                }
            }
            digests => ask_several(signer, digests, options.verify_own),
        };
        let count = signatures.len();
        for (pending, signature) in handed.iter().zip(signatures) {
            match seal(pending, signature) {
                Ok(sealed) => frames.push((Arc::clone(pending), sealed)),
                Err(refusal) => return (frames, Some((Arc::clone(pending), refusal))),
            }
        }
        if let Some(pending) = handed.get(count) {
            let few = || Refusal::Signer(SignerError::new("fewer signatures than asked for"));
            return (frames, Some((Arc::clone(pending), refusal.unwrap_or_else(few))));
        }
    }
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
    let place = (pending.sequence(), pending.event_id(), digest);
    let changes_keys = chain::changes_keys(&pending.linked.fields().event_type);
    let stored = Stored::new(place, pending.left, head, body).changing_keys(changes_keys);
    Ok(Sealed { stored, leaf })
}

/// A call for a signer outside this process.
struct Job {
    shared: Arc<Shared>,
    call: Call,
    signer: Arc<dyn Signer>,
}

impl Job {
    fn is_over(&self) -> bool {
        self.call.entries.iter().all(|pending| pending.phase.is_abandoned())
    }
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
        // Where all threads are lost nobody comes for what was abandoned while it waited: it would keep its payloads.
        while jobs.waiting.front().is_some_and(Job::is_over) {
            jobs.waiting.pop_front();
        }
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
            let signed = sign_all(&[call], &*signer, 1, &shared.options);
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
    /// Signs the calls that gather to be signed together.
    pub(super) fn sign_gathered<'s>(&'s self, mut held: Held<'s>) -> Held<'s> {
        let calls = held.state.gathered.take();
        let signer = Arc::clone(&held.state.signer);
        drop(held);
        let _step = self.step();
        self.sealed(sign_all(&calls, &*signer, SEVERAL, &self.options))
    }

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
