//! The content phase on several cores: blocks go out in order, come back in any, and are judged in order.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::chainfile::{Block, Reader};
use crate::digest::Digest;
use crate::verify::content::{self, Item, Keys};
use crate::verify::judge::{Follower, Judge};
use crate::verify::{BLOCK_BYTES, BLOCK_FRAMES, judge_in_turn, keys_of};

/// More threads than this wait for the one that judges.
const THREADS_MAX: usize = 64;
/// Frames that are checked or wait to be judged, at a few hundred bytes each.
const FRAMES_IN_FLIGHT: usize = 5 * BLOCK_FRAMES;
/// Bytes of the file that are in memory, unless single frames are larger.
const BYTES_IN_FLIGHT: usize = 5 * BLOCK_BYTES;

struct Job {
    number: u64,
    block: Block,
    keys: Arc<Keys>,
}

struct Done {
    number: u64,
    block: Block,
    items: Vec<Item>,
}

/// A block that was checked, or the news that a worker panicked. Without it everybody would wait for that block for ever.
type Outcome = Result<Done, ()>;

/// Reads, checks and judges all blocks. At most `threads + 1` of them are in memory at a time.
pub(super) fn run<R: Read>(
    reader: &mut Reader<R>,
    judge: &mut Judge,
    threads: usize,
    vouched: u64,
    follower: Option<&mut Follower<'_>>,
) -> io::Result<()> {
    let chain_id = judge.chain.id();
    let (jobs, to_do) = channel::<Job>();
    let (report, results) = channel::<Outcome>();
    let to_do = Mutex::new(to_do);
    thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..threads.min(THREADS_MAX) {
            let (to_do, report) = (&to_do, report.clone());
            let worker = move || work(to_do, &report, &chain_id, vouched);
            // Where no more threads are to be had, those that there are do.
            if thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break;
            }
            started += 1;
        }
        if started == 0 {
            return judge_in_turn(reader, judge, vouched, follower);
        }
        // Only the workers hold senders now: if all of them are gone, `recv` says so instead of waiting for ever.
        drop(report);
        let outcome = feed(reader, judge, started, follower, &jobs, &results);
        drop(jobs);
        outcome
    })
}

fn feed<R: Read>(
    reader: &mut Reader<R>,
    judge: &mut Judge,
    threads: usize,
    mut follower: Option<&mut Follower<'_>>,
    jobs: &Sender<Job>,
    results: &Receiver<Outcome>,
) -> io::Result<()> {
    let gone = || io::Error::other("a verification thread ended early");
    let mut keys = Arc::new(keys_of(judge));
    let mut waiting: BTreeMap<u64, Done> = BTreeMap::new();
    let (mut sent, mut judged) = (0, 0);
    let mut at_end = false;
    // All blocks in flight share what the whole verification may take.
    let share = threads + 1;
    let (frames, bytes) = (
        (FRAMES_IN_FLIGHT / share).clamp(256, BLOCK_FRAMES),
        (BYTES_IN_FLIGHT / share).clamp(64 << 10, BLOCK_BYTES),
    );
    loop {
        while !at_end && sent - judged <= u64::try_from(threads).unwrap_or(1) {
            let block = reader.block(frames, bytes)?;
            if block.frames().is_empty() {
                at_end = true;
            } else {
                let job = Job { number: sent, block, keys: Arc::clone(&keys) };
                jobs.send(job).map_err(|_| gone())?;
                sent += 1;
            }
        }
        if judged == sent || judge.stopped {
            return Ok(());
        }
        let done = results.recv().map_err(|_| gone())?.map_err(|()| gone())?;
        waiting.insert(done.number, done);
        while let Some(mut done) = waiting.remove(&judged) {
            judge.block(&done.block, &mut done.items, follower.as_deref_mut());
            judged += 1;
        }
        if judge.chain.keyring().keys().len() != keys.len() {
            keys = Arc::new(keys_of(judge));
        }
    }
}

fn work(to_do: &Mutex<Receiver<Job>>, report: &Sender<Outcome>, chain_id: &Digest, vouched: u64) {
    loop {
        let job = to_do.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { number, block, keys }) = job else { return };
        // What is shared with the closure is only read, so nothing half-done can be seen after a panic.
        let checked =
            catch_unwind(AssertUnwindSafe(|| content::check(&block, chain_id, &keys, vouched)));
        let outcome = checked.map(|items| Done { number, block, items }).map_err(|_| ());
        if report.send(outcome).is_err() {
            return;
        }
    }
}
