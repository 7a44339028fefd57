//! Our own figures: what a ledger does on this machine.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sigchain::chainfile::Form;
use sigchain::error::AppendError;
use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Genesis, Ledger, Options, Ticket};
use sigchain::payload::Payload;
use sigchain::point::Point;
use sigchain::projection::{Item, Projection};
use sigchain::replay::replay;
use sigchain::store::Memory;
use sigchain::verify::Verifier;

use crate::bench::Outcome;
use crate::bench::limits::float;

/// Bytes of each payload.
pub(super) const PAYLOAD: usize = 256;
/// Tickets that a thread has under way.
const WINDOW: usize = 256;

pub(super) fn event() -> Outcome<Event> {
    let payload = Payload::new("application/json", vec![b'x'; PAYLOAD])?;
    Ok(Event::new("agent:planner", "work.done")?.episode("run-7")?.payload(payload))
}

fn ledger(key: &SigningKey, options: Options) -> Outcome<Ledger> {
    Ok(Ledger::create(Memory::new(), Genesis::new("bench", key.clone()), options)?)
}

/// Appends a second of `threads` that each wait for each.
pub(super) fn waiting(
    threads: usize,
    key: &SigningKey,
    options: Options,
    time: Duration,
) -> Outcome<f64> {
    let ledger = ledger(key, options)?;
    measure(&ledger, threads, time, wait_for_each)
}

fn wait_for_each(ledger: &Ledger, event: &Event, stop: &dyn Fn() -> bool) -> Worked {
    while !stop() {
        ledger.append(event.clone())?;
    }
    Ok(())
}

/// Appends a second of `threads` that have up to 256 tickets each.
pub(super) fn tickets(threads: usize, key: &SigningKey, time: Duration) -> Outcome<f64> {
    let ledger = ledger(key, Options::new())?;
    measure(&ledger, threads, time, keep_under_way)
}

pub(super) fn keep_under_way(ledger: &Ledger, event: &Event, stop: &dyn Fn() -> bool) -> Worked {
    let mut under_way: VecDeque<Ticket> = VecDeque::with_capacity(WINDOW);
    while !stop() {
        under_way.push_back(ledger.submit(event.clone())?);
        // The oldest is waited for when there are enough under way; by then it is nearly always durable.
        if under_way.len() == WINDOW
            && let Some(ticket) = under_way.pop_front()
        {
            ticket.wait()?;
        }
    }
    Ok(())
}

/// How the work of a thread ended: an error that stops it would otherwise show as a low rate.
pub(super) type Worked = Result<(), AppendError>;
pub(super) type Work = fn(&Ledger, &Event, &dyn Fn() -> bool) -> Worked;

/// As `measure_open`, and closes the ledger.
fn measure(ledger: &Ledger, threads: usize, time: Duration, work: Work) -> Outcome<f64> {
    let rate = measure_open(ledger, threads, time, work)?;
    ledger.close(Duration::from_secs(10))?;
    Ok(rate)
}

/// Entries a second that become durable while `threads` do `work` until they are told to stop.
pub(super) fn measure_open(
    ledger: &Ledger,
    threads: usize,
    time: Duration,
    work: Work,
) -> Outcome<f64> {
    let event = event()?;
    let first = ledger.head().sequence;
    let start = Instant::now();
    thread::scope(|scope| -> Outcome<()> {
        let start_one = |_| scope.spawn(|| work(ledger, &event, &|| start.elapsed() >= time));
        let running: Vec<_> = (0..threads).map(start_one).collect();
        for thread in running {
            thread.join().map_err(|_| "a thread that appends ended in a panic")??;
        }
        Ok(())
    })?;
    let took = start.elapsed();
    let done = ledger.head().sequence.saturating_sub(first);
    let done = u32::try_from(done).map_or(f64::from(u32::MAX), f64::from);
    Ok(done / took.as_secs_f64())
}

/// Seconds that the lock is held for each entry, by one thread that appends.
pub(super) fn under_lock(key: &SigningKey, entries: usize) -> Outcome<f64> {
    let ledger = ledger(key, Options::new().measured(true))?;
    let event = event()?;
    for _ in 0..1000 {
        ledger.append(event.clone())?;
    }
    let before = ledger.held_for();
    for _ in 0..entries {
        ledger.append(event.clone())?;
    }
    Ok(ledger.held_for().saturating_sub(before).as_secs_f64() / float(entries))
}

/// Counts entries and the bytes of their types.
#[derive(Clone, Debug, Default)]
struct Count {
    entries: u64,
    bytes: usize,
}

impl Projection for Count {
    fn apply(&mut self, item: &Item<'_>) {
        self.entries += 1;
        self.bytes += item.fields.event_type.len();
    }
}

/// A ledger of this many entries, for what follows.
pub(super) fn filled(key: &SigningKey, entries: usize) -> Outcome<Ledger> {
    let ledger = ledger(key, Options::new())?;
    fill(&ledger, entries)?;
    Ok(ledger)
}

/// Appends this many events.
pub(super) fn fill(ledger: &Ledger, entries: usize) -> Outcome<()> {
    let event = event()?;
    let mut left = entries;
    while left > 0 {
        let some = left.min(1024);
        ledger.append_batch(vec![event.clone(); some])?;
        left -= some;
    }
    Ok(())
}

/// Entries a second that are folded from memory into a projection that counts.
pub(super) fn fold(ledger: &Ledger, entries: usize) -> Outcome<f64> {
    let start = Instant::now();
    let replayed = replay(&mut ledger.clone(), &Point::Head, Count::default())?;
    let took = start.elapsed().as_secs_f64();
    if usize::try_from(replayed.state.entries)? < entries {
        return Err("a fold that missed entries".into());
    }
    Ok(float(entries) / took)
}

/// Entries a second that are verified in an exported chain file, signatures and all, on all cores.
pub(super) fn verify(ledger: &Ledger, entries: usize) -> Outcome<f64> {
    let file: Arc<[u8]> = ledger.export(Vec::new(), Form::ChainFile)?.into();
    let start = Instant::now();
    let report = Verifier::new().run(&*file)?;
    let took = start.elapsed().as_secs_f64();
    if report.total() > 0 {
        return Err("a file of our own with a fault".into());
    }
    Ok(float(entries) / took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_that_fails_is_no_low_rate() {
        let works: [Work; 2] = [wait_for_each, keep_under_way];
        for work in works {
            let ledger = ledger(&SigningKey::from_seed(&[1; 32]).unwrap(), Options::new()).unwrap();
            ledger.close(Duration::from_secs(10)).unwrap();
            let error = measure(&ledger, 2, Duration::from_millis(50), work).unwrap_err();
            assert!(error.downcast_ref::<AppendError>().is_some(), "{error}");
        }
    }
}
