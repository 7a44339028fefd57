//! What actions cost, beside the ledger that they are recorded in: 64 threads that act, and 64 threads that only append, in turns.
//!
//! `cargo run --release --example actions -- FOLDER [SECONDS]`: FOLDER must not be there, and is left for `sigchain` to be tried on.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example is read, and stops at what it does not expect"
)]

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options};
use sigchain::payload::Payload;

/// Threads that work at once.
const THREADS: usize = 64;
/// Turns of each kind.
const TURNS: usize = 5;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn intent() -> Event {
    let payload = r#"{"tool":"search","arguments":{"query":"tides","pages":3},"call_id":"call-1"}"#;
    let payload = Payload::new("application/json", payload).unwrap();
    Event::new("agent:planner", "tool.call").unwrap().episode("run-7").unwrap().payload(payload)
}

/// Has all threads do something for a time. Gives how many appends there were in a second.
fn rate(time: Duration, appends: u64, work: impl Fn() + Sync) -> u64 {
    let (start, done) = (Instant::now(), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while start.elapsed() < time {
                    work();
                    done.fetch_add(appends, Ordering::Relaxed);
                }
            });
        }
    });
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap();
    done.load(Ordering::Relaxed) * 1000 / millis.max(1)
}

fn main() {
    let Some(folder) = env::args().nth(1) else {
        println!("usage: actions FOLDER [SECONDS]");
        process::exit(2);
    };
    let seconds = env::args().nth(2).map_or(3, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let options = Options::new().files(Files::new().anchors(Vec::new()).scrub(None));
    let genesis = Genesis::new("example.org/actions", key(1)).checkpoints(key(2));
    let ledger = Ledger::create_at(Path::new(&folder), genesis, options).unwrap();
    let mut ratios = Vec::new();
    for turn in 1..=TURNS {
        let own = rate(time, 1, || {
            ledger.append(intent()).unwrap();
        });
        let acting = rate(time, 2, || {
            let done = ledger.action(intent()).run(|_| Ok::<_, Infallible>("three pages"));
            assert_eq!(done.unwrap(), "three pages");
        });
        let percent = acting * 100 / own.max(1);
        println!("turn {turn}: {own} appends/s, {acting} within actions: {percent} %");
        ratios.push(percent);
    }
    ratios.sort_unstable();
    println!("median: {} %", ratios.get(TURNS / 2).unwrap());
    ledger.close(Duration::from_secs(60)).unwrap();
}
