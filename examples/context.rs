//! What a state of long ago costs: fills a ledger with episodes of an agent, has snapshots made, and asks for points all over it.
//!
//! `cargo run --release --example context -- FOLDER [ENTRIES [OPEN]]`: 10,000,000 entries unless said otherwise, which take 5 GB
//! and a few minutes. One episode in OPEN never ends, of 1,000 unless said otherwise: all of these are in the state. Where FOLDER is there
//! from an earlier run, it is measured again.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example is read, and stops at what it does not expect"
)]

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use sigchain::context::Context;
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::payload::Payload;
use sigchain::point::Point;
use sigchain::replay::replay;

/// Points that are asked for.
const POINTS: u64 = 200;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn id(number: u64) -> EventId {
    let [.., a, b, c, d] = number.to_be_bytes();
    EventId::new(1_700_000_000_000 + number, [0, 0, 0, 0, 0, 0, a, b, c, d])
}

/// Episodes of eight entries, of which one in so many never ends.
fn event(number: u64, open: u64) -> Event {
    let (round, step) = (number / 8, number % 8);
    let says = |event_type: &str, json: &str| {
        let payload = Payload::new("application/json", json).unwrap();
        Event::new("agent:planner", event_type).unwrap().payload(payload)
    };
    let event = match step {
        0 => says("episode.start", r#"{"goal":"find the invoice and pay it"}"#),
        1 | 4 => says(
            "llm.request",
            r#"{"model":"m1","messages":[{"role":"user","content":"find the invoice of May and pay it"}]}"#,
        ),
        2 | 5 => says(
            "llm.response",
            r#"{"input_tokens":90,"output_tokens":12,"messages":[{"role":"assistant","content":"searching"}]}"#,
        ),
        3 => says("tool.call", r#"{"tool":"search","arguments":{"query":"invoice May"}}"#),
        6 => says("tool.result", r#"{"result":["a","b","c"]}"#),
        _ if round.is_multiple_of(open) => says("agent.note", "{}"),
        _ => says("episode.end", r#"{"status":"completed"}"#),
    };
    let event = match step {
        2 | 5 => event.caused_by(id(number - 1)),
        6 => event.caused_by(id(number - 3)),
        _ => event,
    };
    event.episode(&format!("run-{round}")).unwrap().id(id(number))
}

fn fill(ledger: &Ledger, entries: u64, open: u64) {
    let start = Instant::now();
    let mut next = 0;
    while next < entries {
        let end = entries.min(next + 1024);
        ledger.append_batch((next..end).map(|number| event(number, open)).collect()).unwrap();
        next = end;
    }
    println!("filled with {entries} entries in {:?}", start.elapsed());
}

/// What this thread has had of a core so far: on a machine that has other work to do, its own clock says little.
fn on_core() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn points(ledger: &Ledger, what: &str) {
    let size = ledger.head().sequence + 1;
    let mut took: Vec<Duration> = Vec::new();
    let (mut without, before) = (0, on_core());
    for number in 0..POINTS {
        let at = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
        let start = Instant::now();
        let state = ledger.context_at(&Point::Sequence(at)).unwrap();
        took.push(start.elapsed());
        without += u64::from(state.from.is_none());
    }
    took.sort_unstable();
    let (median, most) = (took.get(took.len() / 2).unwrap(), took.last().unwrap());
    let each = on_core().saturating_sub(before) / u32::try_from(POINTS).unwrap();
    println!(
        "{what}: median {median:?}, at most {most:?}, {each:?} of a core each; {without} of {POINTS} from entry 0"
    );
}

fn main() {
    let mut args = env::args().skip(1);
    let Some(folder) = args.next() else {
        println!("give a folder that is not there");
        process::exit(2);
    };
    let mut number = |otherwise| args.next().map_or(otherwise, |number| number.parse().unwrap());
    let (entries, open) = (number(10_000_000), number(1000));
    let options = Options::new().files(Files::new().anchors(Vec::new()));
    let path = Path::new(&folder);
    let ledger = if path.exists() {
        Ledger::open_at(path, Signers::new(key(1), key(2)), options).unwrap()
    } else {
        let genesis = Genesis::new("example.org/context", key(1)).checkpoints(key(2));
        let ledger = Ledger::create_at(path, genesis, options).unwrap();
        fill(&ledger, entries, open);
        ledger
    };
    let entries = ledger.head().sequence + 1;

    let (start, before) = (Instant::now(), on_core());
    let whole = replay(&mut ledger.clone(), &Point::Head, Context::new()).unwrap();
    let (took, core) = (start.elapsed(), on_core().saturating_sub(before));
    let size = whole.state.encode().len();
    println!("fold of the whole ledger: {took:?}, {core:?} of a core; the state has {size} bytes");

    let start = Instant::now();
    ledger.keep_snapshots::<Context>();
    // The last one stands behind the head by as many entries as pay for a state of its size, and by some thousands at least.
    let near = entries.saturating_sub(2 * 8192 + u64::try_from(size).unwrap() / 64);
    while ledger.context_at(&Point::Head).unwrap().from.is_none_or(|from| from < near) {
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("snapshots made behind it in {:?}", start.elapsed());
    points(&ledger, "state at a point, once");
    points(&ledger, "state at a point, again");
    let head = ledger.context_at(&Point::Head).unwrap();
    assert_eq!(head.state.encode(), whole.state.encode());
    ledger.close(Duration::from_secs(60)).unwrap();
}
