//! Appends, tickets and batches from several threads, and ids that several have.

use shuttle::rand::{Rng, thread_rng};
use sigchain::error::{AppendError, DecideError, Refusal};
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::receipt::Receipt;

use crate::support::{Caller, Mood, START, Setting, World, happens, pauses};

pub fn threads_append() {
    let mut world = World::new(Setting::default());
    for _ in 0..4 {
        world.go(|caller| {
            for _ in 0..3 {
                caller.append().unwrap();
            }
        });
    }
    world.go_read(2);
    world.end().is_faultless();
}

pub fn appends_and_tickets() {
    let mut world = World::new(Setting::default());
    world.go(|caller| {
        for _ in 0..3 {
            caller.append().unwrap();
        }
    });
    world.go(|caller| {
        for _ in 0..3 {
            drop(caller.submit(true));
        }
    });
    world.go(|caller| {
        let mut sent: Vec<_> = (0..3).filter_map(|_| caller.submit(true)).collect();
        if happens(50) {
            sent.reverse();
        }
        for sent in sent {
            caller.wait(sent);
        }
    });
    world.go(|caller| {
        for _ in 0..2 {
            let sent = caller.submit(true).unwrap();
            caller.poll(sent);
        }
    });
    world.end().is_faultless();
}

pub fn batches_among_appends() {
    let mut world = World::new(Setting::default());
    world.go(|caller| {
        caller.append_batch(3);
        caller.append_batch(2);
    });
    world.go(|caller| {
        for _ in 0..3 {
            caller.append().unwrap();
        }
    });
    world.go(|caller| {
        let first = caller.submit_batch(2).unwrap();
        let second = caller.submit_batch(3).unwrap();
        caller.poll_batch(second);
        caller.wait_batch(first);
    });
    world.go_read(2);
    world.end().is_faultless();
}

pub fn the_queue_is_short() {
    let setting = Setting::default();
    let options = setting.options.clone().queue(thread_rng().gen_range(1..=3), 1 << 20);
    let mut world = World::new(Setting { is_in_process: happens(50), options, ..setting });
    world.go(|caller| {
        for _ in 0..3 {
            caller.append().unwrap();
        }
    });
    world.go(|caller| {
        caller.append_batch(2);
        drop(caller.submit_batch(4));
    });
    world.go(|caller| {
        for _ in 0..3 {
            drop(caller.submit(true));
        }
    });
    world.go(|caller| {
        for _ in 0..3 {
            if let Some(sent) = caller.submit(false) {
                caller.wait(sent);
            }
        }
    });
    world.end().refused_only(|refusal| *refusal == Refusal::Full);
}

fn id(number: u8) -> EventId {
    EventId::new(u64::try_from(START / 1000).unwrap(), [number; 10])
}

fn event(actor: &str, number: u8) -> Event {
    Event::new(actor, "test.call").unwrap().id(id(number))
}

/// Appends an event that others append too, this way or that.
fn append_same(caller: &Caller, event: Event, way: u32) -> Result<Receipt, AppendError> {
    match way {
        0 => caller.ledger().append(event),
        1 => caller.ledger().submit(event)?.wait(),
        2 => shuttle::future::block_on(caller.ledger().submit(event)?),
        _ => caller.ledger().append_with(|_| Ok::<_, ()>(event)).map_err(|error| match error {
            DecideError::Append(error) => error,
            DecideError::Declined(()) => unreachable!(),
        }),
    }
}

pub fn one_id_from_many() {
    let mood = Mood { fail: if happens(50) { 25 } else { 0 }, ..Mood::default() };
    let mut world = World::new(Setting { is_in_process: happens(70), mood, ..Setting::default() });
    for thread in 0..4 {
        world.go(move |caller| {
            for _ in 0..2 {
                let actor = if thread == 3 { "agent:other" } else { "agent:same" };
                let way = thread_rng().gen_range(0..4);
                let outcome = append_same(caller, event(actor, 1), way);
                match outcome {
                    Ok(receipt) => {
                        assert_eq!(receipt.event_id, id(1));
                        caller.notes.sighted(receipt.sequence, receipt.digest);
                    }
                    // It lost against another with its id, as that one was being looked up.
                    Err(AppendError::Refused(Refusal::IdBusy)) => assert_eq!(way, 3),
                    Err(AppendError::Refused(Refusal::IdUsed { differs, .. })) => {
                        assert_eq!(differs, "actor");
                    }
                    Err(AppendError::Refused(Refusal::Signer(_) | Refusal::Abandoned)) => {
                        assert!(mood.fail > 0);
                    }
                    Err(error) => unreachable!("{error}"),
                }
            }
        });
    }
    let verdict = world.end();
    let count = verdict.chain.iter().filter(|found| found.event_id == id(1)).count();
    assert!(count <= 1, "recorded {count} times");
}

pub fn batches_that_share_ids() {
    let mut world = World::new(Setting { is_in_process: happens(70), ..Setting::default() });
    for numbers in [[1, 2], [2, 1], [2, 3]] {
        world.go(move |caller| {
            pauses(3);
            let events = numbers.iter().map(|n| event(&format!("agent:{n}"), *n)).collect();
            match caller.ledger().append_batch(events) {
                Ok(receipts) => {
                    let ids: Vec<_> = receipts.iter().map(|receipt| receipt.event_id).collect();
                    assert_eq!(ids, numbers.map(id));
                }
                Err(AppendError::Refused(Refusal::IdUsed { differs, .. })) => {
                    assert_eq!(differs, "batch");
                }
                Err(error) => unreachable!("{error}"),
            }
        });
    }
    let verdict = world.end();
    for number in 1..=3 {
        let count = verdict.chain.iter().filter(|found| found.event_id == id(number)).count();
        assert!(count <= 1, "recorded {count} times");
    }
}
