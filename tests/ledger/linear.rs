//! Histories of calls from many threads, against one sequence of entries: for each history there must be one moment for every call,
//! between its beginning and its end, such that the calls in the order of these moments make sense.
//!
//! The chain itself says in which order the entries came. So one moment is looked for in which each entry came into being for all,
//! and the moments have to be in the order of the entries: after every call that did not see it yet began, before every call that
//! saw it ended. That these bounds leave room for each entry is the same as linearizability of the whole history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sigchain::chain::Head;
use sigchain::digest::Digest;
use sigchain::error::{AppendError, Refusal};
use sigchain::ledger::{Ledger, Options, Ticket};
use sigchain::receipt::Receipt;
use sigchain::reserved::Reserved;

use crate::ledger::support::{
    Moody, Steered, Unsteady, Write, event, id, kept, ledger_with, places, within,
};
use crate::support::{Random, entry_key, rounds};

const THREADS: u64 = 8;
const CALLS: u64 = 50;

/// What was asked, and what came of it.
#[derive(Clone, Debug)]
enum Said {
    /// These events were appended.
    Appended(Vec<u64>, Vec<Receipt>),
    Refused(Vec<u64>),
    Uncertain(Vec<u64>),
    Head(Head),
    Entry(u64, Option<Digest>),
    /// The event with this number.
    Found(u64, Option<Receipt>),
}

#[derive(Clone, Debug)]
struct Call {
    said: Said,
    began: u64,
    /// When the order of a submitted event was settled, if that was before its end.
    ordered: u64,
    ended: u64,
}

/// What the threads of one history share.
struct Shared {
    ledger: Ledger,
    chain_id: Digest,
    moment: AtomicU64,
    /// The highest sequence that anybody has seen.
    high: AtomicU64,
}

impl Shared {
    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }
}

struct Open {
    began: u64,
    ordered: u64,
    number: u64,
    ticket: Ticket,
}

/// One thread of a history.
struct Thread<'s> {
    shared: &'s Shared,
    random: Random,
    next: u64,
    tickets: Vec<Open>,
    calls: Vec<Call>,
}

impl Thread<'_> {
    fn run(mut self) -> Vec<Call> {
        for _ in 0..CALLS {
            match self.random.below(10) {
                0..=2 => self.append(1),
                3 => {
                    let count = 1 + self.random.below(4);
                    self.append(count);
                }
                4 | 5 => self.submit(),
                6 => self.wait(),
                7 => self.head(),
                8 => self.entry(),
                _ => self.find(),
            }
        }
        while !self.tickets.is_empty() {
            self.wait();
        }
        self.calls
    }

    fn numbered(&mut self) -> (u64, sigchain::event::Event) {
        let number = self.next;
        self.next += 1;
        let event = event(number);
        // Half of them with an id that others know beforehand.
        (number, if number.is_multiple_of(2) { event.id(id(number)) } else { event })
    }

    fn note(&mut self, said: Said, began: u64, ordered: Option<u64>) {
        let ended = self.shared.now();
        if let Said::Appended(_, receipts) = &said {
            let last = receipts.last().unwrap().sequence;
            self.shared.high.fetch_max(last, Ordering::Relaxed);
        }
        self.calls.push(Call { said, began, ordered: ordered.unwrap_or(ended), ended });
    }

    fn append(&mut self, count: usize) {
        let (numbers, mut events): (Vec<_>, Vec<_>) = (0..count).map(|_| self.numbered()).unzip();
        let ledger = &self.shared.ledger;
        let began = self.shared.now();
        let outcome = match (count, events.pop()) {
            (1, Some(event)) => ledger.append(event).map(|receipt| vec![receipt]),
            (_, last) => {
                events.extend(last);
                ledger.append_batch(events)
            }
        };
        self.note(appended(numbers, outcome), began, None);
    }

    fn submit(&mut self) {
        let (number, event) = self.numbered();
        let began = self.shared.now();
        match self.shared.ledger.submit(event) {
            Ok(ticket) => {
                let ordered = self.shared.now();
                self.tickets.push(Open { began, ordered, number, ticket });
            }
            Err(error) => self.note(appended(vec![number], Err(error)), began, None),
        }
    }

    fn wait(&mut self) {
        if self.tickets.is_empty() {
            return self.head();
        }
        let at = self.random.below(self.tickets.len());
        let Open { began, ordered, number, ticket } = self.tickets.remove(at);
        let outcome = ticket.wait().map(|receipt| vec![receipt]);
        self.note(appended(vec![number], outcome), began, Some(ordered));
    }

    fn head(&mut self) {
        let began = self.shared.now();
        let head = self.shared.ledger.head();
        self.note(Said::Head(head), began, None);
    }

    fn entry(&mut self) {
        let high = self.shared.high.load(Ordering::Relaxed);
        let back = u64::try_from(self.random.below(6)).unwrap();
        let sequence = (high + 3).saturating_sub(back);
        let began = self.shared.now();
        let written = self.shared.ledger.entry(sequence).unwrap();
        let digest = written.map(|written| written.entry(&self.shared.chain_id).digest());
        self.note(Said::Entry(sequence, digest), began, None);
    }

    fn find(&mut self) {
        let thread = self.random.next() % THREADS;
        let done = self.next % 1000;
        let number = (thread * 1000 + self.random.next() % (done + 2)) & !1;
        let began = self.shared.now();
        let found = self.shared.ledger.find(&id(number)).unwrap();
        self.note(Said::Found(number, found), began, None);
    }
}

fn appended(numbers: Vec<u64>, outcome: Result<Vec<Receipt>, AppendError>) -> Said {
    match outcome {
        Ok(receipts) => Said::Appended(numbers, receipts),
        Err(AppendError::Refused(_)) => Said::Refused(numbers),
        Err(AppendError::Uncertain { .. }) => Said::Uncertain(numbers),
    }
}

/// The bounds of the moments at which the entries came into being.
struct Bounds {
    after: Vec<u64>,
    before: Vec<u64>,
}

impl Bounds {
    fn is_there(&mut self, sequence: u64, ended: u64) {
        let at = usize::try_from(sequence).unwrap();
        self.before[at] = self.before[at].min(ended);
    }

    /// What never came to be was rightly not seen.
    fn is_not_there(&mut self, sequence: u64, began: u64) {
        if let Some(after) = self.after.get_mut(usize::try_from(sequence).unwrap()) {
            *after = (*after).max(began);
        }
    }

    /// Whether there are such moments.
    fn check(mut self) -> Result<(), String> {
        for at in (1..self.before.len()).rev() {
            self.before[at - 1] = self.before[at - 1].min(self.before[at]);
        }
        let mut latest = 0;
        for (at, (after, before)) in self.after.iter().zip(&self.before).enumerate() {
            latest = latest.max(*after);
            if latest >= *before {
                return Err(format!("entry {at}: after {latest}, and before {before}"));
            }
        }
        Ok(())
    }
}

/// Judges a history by the chain that came of it.
fn judge(calls: &[Call], store: &Unsteady, chain_id: &Digest) -> Result<(), String> {
    let chain = kept(&store.memory);
    let digests: Vec<_> = chain.iter().map(|written| written.entry(chain_id).digest()).collect();
    let places = places(&chain);
    let mut bounds = Bounds { after: vec![0; chain.len()], before: vec![u64::MAX; chain.len()] };
    let is_at = |sequence: u64, digest: &Digest| {
        let is = digests.get(usize::try_from(sequence).unwrap()) == Some(digest);
        is.then_some(()).ok_or_else(|| format!("entry {sequence} is another in the chain"))
    };
    let mut certain_to = u64::MAX;
    for call in calls {
        let Call { said, began, ended, .. } = call;
        let wrong = |what: String| format!("{call:?}: {what}");
        match said {
            Said::Appended(numbers, receipts) => {
                let row = receipts.windows(2).all(|r| r[1].sequence == r[0].sequence + 1);
                if receipts.len() != numbers.len() || !row {
                    return Err(wrong("not one receipt for each, in a row".to_owned()));
                }
                for (number, receipt) in numbers.iter().zip(receipts) {
                    is_at(receipt.sequence, &receipt.digest).map_err(wrong)?;
                    if places.get(number) != Some(&receipt.sequence) {
                        return Err(wrong(format!("event {number} is elsewhere")));
                    }
                    bounds.is_not_there(receipt.sequence, *began);
                    bounds.is_there(receipt.sequence, *ended);
                }
            }
            Said::Refused(numbers) => {
                if numbers.iter().any(|number| places.contains_key(number)) {
                    return Err(wrong("it is in the chain".to_owned()));
                }
            }
            Said::Uncertain(numbers) => {
                certain_to = certain_to.min(*ended);
                let there: Vec<_> = numbers.iter().filter_map(|n| places.get(n)).collect();
                if !there.is_empty() && there.len() != numbers.len() {
                    return Err(wrong("part of a batch is in the chain".to_owned()));
                }
                for at in there {
                    bounds.is_not_there(*at, *began);
                }
            }
            Said::Head(head) => {
                is_at(head.sequence, &head.digest).map_err(wrong)?;
                bounds.is_there(head.sequence, *ended);
                bounds.is_not_there(head.sequence + 1, *began);
            }
            Said::Entry(sequence, Some(digest)) => {
                is_at(*sequence, digest).map_err(wrong)?;
                bounds.is_there(*sequence, *ended);
            }
            Said::Entry(sequence, None) => bounds.is_not_there(*sequence, *began),
            Said::Found(number, Some(receipt)) => {
                is_at(receipt.sequence, &receipt.digest).map_err(wrong)?;
                if places.get(number) != Some(&receipt.sequence) {
                    return Err(wrong("another event was found".to_owned()));
                }
                bounds.is_there(receipt.sequence, *ended);
            }
            Said::Found(number, None) => {
                if let Some(sequence) = places.get(number) {
                    bounds.is_not_there(*sequence, *began);
                }
            }
        }
    }
    bounds.check()?;
    in_order(calls, certain_to)
}

/// What was sent on its way before another call began comes before it, though nobody has waited for it; and after an uncertain
/// outcome there are no receipts.
fn in_order(calls: &[Call], certain_to: u64) -> Result<(), String> {
    let mut moments = Vec::new();
    for call in calls {
        if let Said::Appended(_, receipts) = &call.said {
            if call.began > certain_to {
                return Err(format!("{call:?}: a receipt after an uncertain outcome"));
            }
            moments.push((call.began, receipts[0].sequence, true));
            moments.push((call.ordered, receipts[receipts.len() - 1].sequence, false));
        }
    }
    moments.sort_unstable();
    let mut highest = 0;
    for (moment, sequence, is_beginning) in moments {
        if !is_beginning {
            highest = highest.max(sequence);
        } else if sequence <= highest {
            return Err(format!("entry {sequence}, begun at {moment}, comes before {highest}"));
        }
    }
    Ok(())
}

/// Every digest that a signer saw is in the chain or listed there; gives the number of those that are not.
fn unlisted(store: &Unsteady, chain_id: &Digest, seen: &[Digest]) -> usize {
    let mut known = std::collections::BTreeSet::new();
    for written in kept(&store.memory) {
        known.insert(written.entry(chain_id).digest());
        let parsed =
            Reserved::parse(&written.fields.event_type, &written.part, written.fields.sequence);
        if let Ok(Reserved::Abandoned { entries, .. }) = parsed {
            known.extend(entries.into_iter().map(|(_, digest)| digest));
        }
    }
    seen.iter().filter(|digest| !known.contains(digest)).count()
}

/// One history. `fails`: the signer and the store do, now and then.
fn history(seed: u64, fails: bool) {
    let mut random = Random::new(seed);
    let in_process = random.below(2) == 0;
    let one_in = if fails { 4 + random.below(40) } else { 0 };
    let signer = Moody::new(entry_key(), in_process, seed, one_in);
    let shown = Arc::clone(&signer.seen);
    let store = Unsteady::default();
    let queue = [2, 5, 8192][random.below(3)];
    let options = Options::new().queue(queue, 1 << 20).time(Steered::new());
    let ledger = ledger_with(store.clone(), signer, options);
    let ends = fails && random.below(2) == 0;
    if fails {
        store
            .then((0..40).map(|_| if random.below(12) == 0 { Write::Refuse } else { Write::Well }));
    }
    if ends {
        let how = [Write::UncertainKept, Write::UncertainLost, Write::UncertainPart];
        store.then([how[random.below(3)]]);
    }
    let chain_id = ledger.chain_id();
    let (moment, high) = (AtomicU64::new(1), AtomicU64::new(0));
    let shared = Shared { ledger, chain_id, moment, high };
    let mut calls = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let random = Random::new(seed.wrapping_mul(THREADS + 1) + thread);
                let (calls, tickets) = (Vec::new(), Vec::new());
                let next = thread * 1000;
                let thread = Thread { shared: &shared, random, next, tickets, calls };
                scope.spawn(move || thread.run())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    calls.sort_by_key(|call| call.began);
    let closed = shared.ledger.close(Duration::from_secs(20));
    let judged = judge(&calls, &store, &chain_id);
    assert!(judged.is_ok(), "seed {seed}, fails {fails}: {}", judged.unwrap_err());
    // The write that fails may be the last one, of what the ledger lists when it is closed.
    let after = shared.ledger.append(event(9_999)).unwrap_err();
    if after == AppendError::Refused(Refusal::Closed) {
        // What the proof of possession in genesis signs is no entry's digest.
        let missing = unlisted(&store, &chain_id, &shown.lock().unwrap()) - 1;
        let told = closed.map_or_else(|error| error.unlisted, |_| 0);
        assert_eq!(missing, told, "seed {seed}: digests that are neither in the chain nor listed");
    }
    // Verifies all of it.
    Ledger::open(store.memory.clone(), entry_key(), Options::new().time(Steered::new())).unwrap();
}

fn histories(fails: bool, first: u64) {
    for round in 0..u64::try_from(rounds(100, 10_000)).unwrap() {
        let seed = first + round;
        let what = format!("seed {seed}, fails {fails}");
        within(Duration::from_secs(60), &what, move || history(seed, fails));
    }
}

#[test]
fn histories_are_linearizable() {
    histories(false, 1);
}

#[test]
fn histories_with_failures_are_linearizable() {
    histories(true, 1_000_001);
}

/// The judge is no use if it lets everything pass.
#[test]
fn histories_that_are_not_linearizable_are_told() {
    let store = Unsteady::default();
    let ledger = ledger_with(store.clone(), entry_key(), Options::new().time(Steered::new()));
    let receipts: Vec<_> = (0..3).map(|n| ledger.append(event(n).id(id(n))).unwrap()).collect();
    let head = ledger.head();
    let past = Head { sequence: 1, digest: receipts[0].digest, stamp: receipts[0].stamp };
    let call = |said: Said, began, ended| Call { said, began, ordered: ended, ended };
    let one = |n: usize| Said::Appended(vec![u64::try_from(n).unwrap()], vec![receipts[n]]);
    let none = |calls: &[Call]| judge(calls, &store, &ledger.chain_id()).unwrap_err();
    let good =
        [call(one(0), 1, 4), call(one(1), 2, 3), call(Said::Head(head), 3, 6), call(one(2), 5, 7)];
    judge(&good, &store, &ledger.chain_id()).unwrap();
    // The second ended before the first began.
    none(&[call(one(1), 1, 2), call(one(0), 3, 4)]);
    // A head that goes back, and one below a receipt.
    none(&[call(Said::Head(head), 1, 2), call(Said::Head(past), 3, 4)]);
    none(&[call(one(1), 1, 2), call(Said::Head(past), 3, 4)]);
    // A head that knows of what nobody has begun yet.
    none(&[call(Said::Head(head), 1, 2), call(one(2), 3, 4)]);
    // What is there and then is not; what is another.
    none(&[call(Said::Entry(2, Some(receipts[1].digest)), 1, 2), call(Said::Entry(1, None), 3, 4)]);
    none(&[call(one(2), 1, 2), call(Said::Found(0, None), 3, 4)]);
    none(&[call(Said::Entry(2, Some(receipts[0].digest)), 1, 2)]);
    none(&[call(Said::Found(1, Some(receipts[0])), 1, 2)]);
    // Refused, and there all the same; half a batch; a receipt after an uncertain outcome.
    none(&[call(Said::Refused(vec![1]), 1, 2)]);
    none(&[call(Said::Uncertain(vec![1, 9]), 1, 2)]);
    none(&[call(Said::Uncertain(vec![9]), 1, 2), call(one(2), 3, 4)]);
    // On its way first, and behind.
    let sent = Call { ordered: 2, ..call(one(2), 1, 9) };
    none(&[sent, call(one(1), 3, 4)]);
}
