//! Whatever bytes of a ledger's directory, or of the anchors beside it, are altered: a verification with the anchors of the machine
//! says so and where, or nothing has changed: not one entry, number, id, proof or head.
//!
//! Segments hold the chain: there every change is found, in the frame that it is in. All other files are derived or say how far the
//! others go: there every answer is right, at most slower.

mod alter;
mod judge;
pub mod subject;

use std::sync::Mutex;
use std::thread;

use sigchain::checkpoint::Seal;
use sigchain::codec::{Reader, Writer};
use sigchain::event::Event;
use sigchain::key::SigningKey;

use crate::flips::alter::{Change, blocks, mend, mended, named_first};
use crate::flips::judge::{Looks, Outcome, judge};
use crate::flips::subject::{SOON, Subject, frames, left_open};
pub use crate::fuzz_corpora::ram;
use crate::support::campaign::{Campaign, part, say, seed};
use crate::support::{Random, checkpoint_key, entry_key, key, operator_key, second_entry_key};

/// Judges these changes, on as many threads as there are cores; counts what was detected and what was of no effect.
fn run(
    campaign: &mut Campaign,
    subject: &Subject,
    changes: &[Change],
    looks: impl Fn(usize, &Change) -> Looks + Sync,
) -> (usize, usize) {
    let found = Mutex::new((campaign, 0, 0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for first in 0..threads {
            let (found, looks) = (&found, &looks);
            scope.spawn(move || {
                for (n, change) in changes.iter().enumerate().skip(first).step_by(threads) {
                    let altered = change.apply(&subject.place);
                    let outcome = judge(subject, &altered, looks(n, change));
                    let mut found = found.lock().unwrap();
                    match &outcome {
                        Ok(Outcome::Detected) => found.1 += 1,
                        Ok(Outcome::Harmless) => found.2 += 1,
                        Err(_) => {}
                    }
                    found.0.note(&change.to_string(), outcome.map(drop));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    (found.1, found.2)
}

/// A sample of them by default, and that part of them under `./torture` that is asked for.
fn sample<T>(mut all: Vec<T>, count: usize, salt: u64) -> Vec<T> {
    let count = part(count.min(all.len()), all.len());
    let mut random = Random::new(seed() ^ (salt << 32));
    for at in 0..count {
        let other = at + random.below(all.len() - at);
        all.swap(at, other);
    }
    all.truncate(count);
    all
}

/// [F-segment-2] [F-index-1] [F-record-1] [F-anchor-1]
#[test]
fn any_bit_of_a_ledger_and_its_anchors() {
    let subject = Subject::new(100, 9000);
    assert!(subject.frames.len() > 4 && subject.right.entries.len() > 100);
    let mut bits = Vec::new();
    for (path, bytes) in subject.place.ledger.files() {
        let of = |at| Change::Bit { is_anchor: false, path: path.clone(), at };
        bits.extend((0..bytes.len() * 8).map(of));
    }
    for (path, bytes) in subject.place.home.files() {
        let of = |at| Change::Bit { is_anchor: true, path: path.clone(), at };
        bits.extend((0..bytes.len() * 8).map(of));
    }
    say(&format!("flips: {} bits of {} files", bits.len(), subject.place.ledger.files().len()));
    // Some of each kind of file, however few bytes it has.
    let (chain, rest): (Vec<_>, Vec<_>) = bits.into_iter().partition(|bit| bit.path() == "segment");
    let (reserve, rest): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|bit| bit.path() == "reserve");
    let (index, small): (Vec<_>, Vec<_>) = rest.into_iter().partition(|bit| bit.path() == "index");
    for (name, bits, count) in [
        ("flips: bits of segments", chain, 150),
        ("flips: bits of indexes", index, 60),
        ("flips: bits of record, anchors and places", small, 60),
        ("flips: bits of the reserve", reserve, 10),
    ] {
        let mut campaign = Campaign::new(name);
        let is_chain = name.ends_with("segments");
        let bits = sample(bits, count, 1);
        let looks =
            |n: usize, _: &Change| Looks { opens: !is_chain || n.is_multiple_of(8), reads: true };
        let (detected, harmless) = run(&mut campaign, &subject, &bits, looks);
        say(&format!("{name}: {detected} detected, {harmless} of no effect"));
        if is_chain {
            assert!(detected > harmless * 20, "{detected} detected, {harmless} of no effect");
        }
        campaign.end();
    }
}

/// An altered byte whose frame's CRCs are made right again, as somebody would who means it.
#[test]
fn any_byte_with_right_crcs() {
    let subject = Subject::new(100, 9000);
    let mut campaign = Campaign::new("flips: bytes of frames with right CRCs");
    let (said, rest) = mended(&subject).into_iter().partition(Change::is_of_beginning);
    let mut changes = sample(said, 60, 2);
    changes.extend(sample(rest, 100, 2));
    // What a frame holds only a verification judges; what a segment says of itself leads readers.
    let looks = |n: usize, change: &Change| Looks {
        opens: n.is_multiple_of(4),
        reads: change.is_of_beginning(),
    };
    let (detected, harmless) = run(&mut campaign, &subject, &changes, looks);
    say(&format!("{detected} detected, {harmless} of no effect"));
    campaign.end();
}

/// Every bit of the number that a segment gives its first entry: it is not signed, and stands before all that readers look for.
#[test]
fn any_bit_of_the_first_entry_that_a_segment_names() {
    let subject = Subject::new(100, 9000);
    let mut campaign = Campaign::new("flips: bits of the first entry that a segment names");
    let places = named_first(&subject);
    assert!(places.len() > 2, "{places:?}");
    let is_named = |change: &Change| matches!(change, Change::Mended { path, at, .. } if places.iter().any(|(name, of)| name == path && of.contains(at)));
    let changes: Vec<_> = mended(&subject).into_iter().filter(is_named).collect();
    let (detected, harmless) =
        run(&mut campaign, &subject, &changes, |_, _| Looks { opens: false, reads: true });
    assert_eq!((detected, harmless), (changes.len(), 0));
    campaign.end();
}

#[test]
fn any_two_blocks_exchanged() {
    let subject = Subject::new(3_600, 200_000);
    let total: usize = subject.place.segments().iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(total > 1 << 20, "{total}");
    let mut campaign = Campaign::new("flips: pairs of 4 KiB blocks exchanged");
    let all = blocks(&subject);
    say(&format!("flips: {} pairs", all.len()));
    let changes = sample(all, 40, 3);
    let looks =
        |n: usize, _: &Change| Looks { opens: n.is_multiple_of(16), reads: n.is_multiple_of(64) };
    let (detected, harmless) = run(&mut campaign, &subject, &changes, looks);
    say(&format!("{detected} detected, {harmless} of no effect"));
    campaign.end();
}

/// [F-open-1] Behind the last seal every entry is verified before a ledger goes on with it: fields, signature and payload of each.
#[test]
fn any_byte_behind_the_last_seal_with_right_crcs() {
    let place = left_open(6);
    drop(place.copy().open(1 << 20).unwrap());
    let (name, bytes) = place.segments().pop().unwrap();
    let frame = frames(&bytes).pop().unwrap();
    let mut campaign = Campaign::new("flips: bytes behind the last seal, opened");
    for at in sample((frame.start + 16..frame.end).collect(), 60, 4) {
        let altered = place.copy();
        let mut other = bytes.to_vec();
        other[at] ^= 1 << (at % 8);
        mend(&mut other[frame.clone()]);
        altered.ledger.set(&name, other);
        let opened = altered.open(1 << 20);
        let found = opened.err().map(drop).ok_or_else(|| "opened".to_owned());
        campaign.note(&format!("byte {} of the last frame", at - frame.start), found);
    }
    campaign.end();
}

/// [F-open-1] A seal counts only if a key of the chain has signed it that may seal: whoever believed another would go on from whatever it
/// says.
#[test]
fn a_seal_of_another_key_is_not_believed() {
    let subject = Subject::new(40, 1 << 20);
    let is_believed = |key: &SigningKey| {
        let place = subject.place.copy();
        let (name, bytes) = place.segments().pop().unwrap();
        let frame = subject.frames.last().unwrap().1.last().unwrap().clone();
        let body = &bytes[frame.start + 16..frame.end];
        let mut state = Seal::parse(&mut Reader::new(body)).unwrap().state;
        // Few enough to be as long as what stood there.
        state.epoch += 10;
        let claimed = state.epoch;
        let mut w = Writer::new();
        Seal::sign(state, &subject.right.chain_id, key).encode(&mut w);
        assert_eq!(w.as_bytes().len(), body.len());
        let mut other = bytes.to_vec();
        other[frame.start + 16..frame.end].copy_from_slice(w.as_bytes());
        mend(&mut other[frame]);
        place.ledger.set(&name, other);
        let Ok(ledger) = place.open(1 << 20) else { return false };
        ledger.append(Event::new("agent:tester", "a.b").unwrap()).unwrap();
        ledger.close(SOON).unwrap();
        drop(ledger);
        place.view().unwrap().last_seal().unwrap().unwrap().state.epoch >= claimed
    };
    assert!(is_believed(&checkpoint_key()), "not even with the right key");
    for other in [entry_key(), second_entry_key(), operator_key(), key(9)] {
        assert!(!is_believed(&other), "{}", other.id());
    }
}
