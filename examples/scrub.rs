//! What the scrub costs whoever appends: the same appends with it and without it, in turns, to a ledger that has something to scrub.
//!
//! `cargo run --release --example scrub -- FOLDER [ENTRIES]`: FOLDER must not be there, and is left; 10,000,000 entries with payloads of
//! 256 bytes unless said otherwise, which take 6 GB and a few minutes.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example is read, and stops at what it does not expect"
)]

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, process};

use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Pace, Signers};
use sigchain::payload::Payload;

/// Turns of each kind.
const TURNS: usize = 5;
/// How long each of them lasts.
const TURN: Duration = Duration::from_secs(8);

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn event() -> Event {
    let payload = Payload::new("application/octet-stream", vec![b'x'; 256]).unwrap();
    Event::new("agent:planner", "work.done").unwrap().payload(payload)
}

fn options(pace: Option<Pace>) -> Options {
    Options::new().files(Files::new().anchors(Vec::new()).scrub(pace))
}

/// Appends by tickets for a time. Gives how many in a second.
fn append(ledger: &Ledger, time: Duration) -> u64 {
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        let tickets: Vec<_> = (0..4096).map(|_| ledger.submit(event()).unwrap()).collect();
        count += 4096;
        for ticket in tickets {
            ticket.wait().unwrap();
        }
    }
    count * 1000 / u64::try_from(start.elapsed().as_millis()).unwrap().max(1)
}

fn turn(path: &Path, pace: Option<Pace>) -> u64 {
    let ledger = Ledger::open_at(path, Signers::new(key(1), key(2)), options(pace)).unwrap();
    let rate = append(&ledger, TURN);
    ledger.close(Duration::from_secs(60)).unwrap();
    rate
}

fn main() {
    let mut words = env::args().skip(1);
    let Some(path) = words.next() else {
        println!("usage: scrub FOLDER [ENTRIES]");
        process::exit(2);
    };
    let entries: u64 = words.next().map_or(10_000_000, |word| word.parse().unwrap());
    let path = Path::new(&path);
    let genesis = Genesis::new("example.org/scrub", key(1)).checkpoints(key(2));
    let ledger = Ledger::create_at(path, genesis, options(None)).unwrap();
    while ledger.head().sequence < entries {
        append(&ledger, Duration::from_millis(200));
    }
    ledger.close(Duration::from_secs(60)).unwrap();
    let pace = Pace { pause: Duration::from_millis(1), ..Pace::default() };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        without.push(turn(path, None));
        with.push(turn(path, Some(pace)));
    }
    println!("appends a second without the scrub: {without:?}");
    println!("with it, at {} bytes a second: {with:?}", pace.bytes);
    let middle = |rates: &mut Vec<u64>| {
        rates.sort_unstable();
        rates.get(rates.len() / 2).copied().unwrap_or(0)
    };
    let (with, without) = (middle(&mut with), middle(&mut without));
    println!("medians: {with} of {without}, {} in a thousand", with * 1000 / without.max(1));
}
