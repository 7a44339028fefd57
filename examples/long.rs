//! What a long ledger costs: fills one and measures it, as its owner and as somebody who only reads.
//!
//! `cargo run --release --example long -- FOLDER [ENTRIES]`: FOLDER must not be there, and is left for `sigchain` to be tried on;
//! 10,000,000 entries with payloads of 256 bytes unless said otherwise, which take 6 GB and a few minutes. As root it also measures what
//! an empty page cache costs, for the whole machine.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example is read, and stops at what it does not expect"
)]

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use sigchain::directory::Directory;
use sigchain::disk;
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::payload::Payload;
use sigchain::store::{Frames, Store as _};

/// Lookups of each kind.
const LOOKUPS: u64 = 1000;
/// What the second process is told that opens the ledger, appends, and is killed.
const KILLED: &str = "--killed";

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn event() -> Event {
    let payload = Payload::new("application/octet-stream", vec![b'x'; 256]).unwrap();
    Event::new("agent:planner", "work.done").unwrap().payload(payload)
}

fn options() -> Options {
    Options::new().files(Files::new().anchors(Vec::new()))
}

fn open(path: &Path) -> Ledger {
    Ledger::open_at(path, Signers::new(key(1), key(2)), options()).unwrap()
}

fn close(ledger: &Ledger) {
    ledger.close(Duration::from_secs(60)).unwrap();
}

/// Memory of this process that is not a file's: now.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon"));
    line.map_or("unknown".to_owned(), |line| {
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    })
}

/// Median and highest of some times.
fn spread(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |n: usize| took.get(n).copied().unwrap_or_default();
    format!("median {:?}, at most {:?}", at(took.len() / 2), at(took.len().saturating_sub(1)))
}

fn times(count: u64, mut each: impl FnMut(u64)) -> String {
    let one = |n| {
        let start = Instant::now();
        each(n);
        start.elapsed()
    };
    spread((0..count).map(one).collect())
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = run();
    println!("{what:44}{:?}", start.elapsed());
    done
}

/// Says whether the page cache could be emptied.
fn forget_pages() -> bool {
    process::Command::new("sync").status().is_ok()
        && fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Appends until there are so many entries, and says what that costs on the way.
fn fill(ledger: &Ledger, entries: u64) {
    let (start, mut next) = (Instant::now(), 1000);
    let mut size = ledger.head().sequence + 1;
    while size < entries {
        let count = entries.min(next).saturating_sub(size).min(1024);
        ledger.append_batch(vec![event(); usize::try_from(count).unwrap()]).unwrap();
        size += count;
        if size == next {
            let took = times(200, |_| assert!(ledger.append(event()).is_ok()));
            println!("append behind {size:>10} entries{:14}{took}; memory {}", "", memory());
            (size, next) = (size + 200, next * 10);
        }
    }
    println!("filled with {size} entries in {:?}; memory {}", start.elapsed(), memory());
}

/// Which entries are looked for: the same in each run, all over the ledger.
fn places(size: u64) -> Vec<u64> {
    (0..LOOKUPS).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size).collect()
}

fn look(ledger: &Ledger) {
    let size = ledger.head().sequence + 1;
    let places = places(size);
    let id = |n: u64| ledger.entry(n).unwrap().unwrap().fields.event_id;
    let index = |n: u64| usize::try_from(n).unwrap();
    let at = |n: u64| *places.get(index(n)).unwrap();
    println!(
        "entry by sequence, {LOOKUPS} places              {}",
        times(LOOKUPS, |n| assert!(id(at(n)).millis() > 0))
    );
    let ids: Vec<EventId> = places.iter().map(|n| id(*n)).collect();
    let find = |id: &EventId| ledger.find(id).unwrap().map(|receipt| receipt.sequence);
    let found = times(LOOKUPS, |n| assert_eq!(find(ids.get(index(n)).unwrap()), Some(at(n))));
    println!("entry by event id                           {found}");
    let unknown = times(LOOKUPS, |n| {
        let [.., a, b] = n.to_be_bytes();
        assert_eq!(
            find(&EventId::new(ids.first().unwrap().millis(), [7, 7, 7, 7, 7, 7, 7, 7, a, b])),
            None
        );
    });
    println!("an event id that is not there               {unknown}");
    timed("first proof", || drop(ledger.prove(size / 2).unwrap()));
    println!(
        "inclusion proof, with its checkpoint        {}",
        times(LOOKUPS, |n| drop(ledger.prove(at(n)).unwrap()))
    );
    println!("memory by now                               {}", memory());
}

fn view(path: &Path) {
    let view =
        timed("view, as a reader", || Directory::view(disk::open_to_read(path).unwrap()).unwrap());
    let mut frames = Frames::new();
    timed("last ten entries, as a reader", || {
        view.read(view.entries() - 10, 10, &mut frames).unwrap();
        assert_eq!(frames.len(), 10);
    });
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let path = Path::new(args.first().map_or("", String::as_str));
    if args.get(1).is_some_and(|word| word == KILLED) {
        let ledger = open(path);
        ledger.append_batch(vec![event(); 1000]).unwrap();
        // No destructor runs: as with SIGKILL.
        process::abort();
    }
    let entries = args.get(1).map_or(Ok(10_000_000), |count| count.parse()).unwrap();
    if !path.exists() {
        let genesis = Genesis::new("example.org/long", key(1)).checkpoints(key(2));
        let ledger = Ledger::create_at(path, genesis, options()).unwrap();
        fill(&ledger, entries);
        timed("close", || close(&ledger));
    }
    let opened = |what| timed(what, || open(path));
    close(&opened("open after a clean close"));
    close(&opened("open after a clean close, again"));
    if forget_pages() {
        close(&opened("open, nothing of it in the page cache"));
    } else {
        println!("LEFT OUT: an empty page cache, which only root can have");
    }
    let ledger = opened("open");
    println!("memory                                      {}", memory());
    look(&ledger);
    let took = times(1000, |_| assert!(ledger.append(event()).is_ok()));
    println!("append                                      {took}");
    close(&ledger);
    drop(ledger);
    view(path);
    let killed =
        process::Command::new(env::current_exe().unwrap()).arg(path).arg(KILLED).status().unwrap();
    assert!(!killed.success());
    let ledger = opened("open after the writer was killed");
    close(&ledger);
}
