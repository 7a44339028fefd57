//! How much of a campaign runs, and the line by which it says what it did. `./torture` collects these lines into its table.
//!
//! `SIGCHAIN_TORTURE` set: all of it. `SIGCHAIN_TORTURE_SCALE=0.01` beside it: that part of it, never less than the sample that runs
//! by default. `SIGCHAIN_SEED`: what is drawn at random is drawn anew from there.
#![expect(clippy::print_stdout, reason = "counts of a campaign, shown with --nocapture")]

use std::env;
use std::thread;
use std::time::Instant;

/// Whether more than a sample is to run.
pub fn is_torture() -> bool {
    env::var_os("SIGCHAIN_TORTURE").is_some()
}

/// How much of the whole is to run.
fn scale() -> f64 {
    let text = env::var("SIGCHAIN_TORTURE_SCALE").ok();
    text.map_or(1.0, |text| {
        let scale: Option<f64> = text.parse().ok().filter(|scale| *scale > 0.0 && *scale <= 1.0);
        scale.unwrap_or_else(|| panic!("SIGCHAIN_TORTURE_SCALE: a number above 0, at most 1"))
    })
}

/// How many there are to be: a sample by default; all, or that part of all, under `./torture`.
pub fn part(sample: usize, all: usize) -> usize {
    if !is_torture() {
        return sample;
    }
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a count need not be exact"
    )]
    let scaled = (all as f64 * scale()).ceil() as usize;
    scaled.max(sample).min(all)
}

/// How many rounds a test goes, noted for the table under the test's name.
pub fn rounds(sample: usize, all: usize) -> usize {
    let count = part(sample, all);
    tally(count);
    count
}

/// Notes for the table how many there were of what a test goes through, under the test's name. What is drawn there at random is the same
/// each time.
pub fn tally(count: usize) {
    if is_torture() {
        let thread = thread::current();
        // The test's, unless tests run on the main thread.
        print(thread.name().unwrap_or("?"), count, 0, "fixed", None);
    }
}

/// How far apart the places are that are looked at: so far by default, each one under `./torture`.
pub fn step(sample: usize) -> usize {
    if !is_torture() {
        return sample;
    }
    // That part of all places, as evenly as it goes.
    (1..=sample).rev().find(|step| part(1, 10_000).saturating_mul(*step) <= 10_000).unwrap_or(1)
}

/// Where what is drawn at random begins.
pub fn seed() -> u64 {
    let text = env::var("SIGCHAIN_SEED").ok();
    let parsed = |text: String| text.parse().unwrap_or_else(|_| panic!("SIGCHAIN_SEED: a number"));
    text.map_or(1, parsed)
}

fn print(what: &str, count: usize, misses: usize, seed: &str, since: Option<Instant>) {
    let seconds =
        since.map_or("-".to_owned(), |since| format!("{:.1}", since.elapsed().as_secs_f64()));
    println!("torture | {what} | {count} | {misses} | {seed} | {seconds}");
}

/// Says something of a campaign that the table has no room for.
pub fn say(line: &str) {
    println!("{line}");
}

/// A campaign under way: so many runs of a kind, and what did not hold in any of them.
#[derive(Debug)]
pub struct Campaign {
    name: &'static str,
    begun: Instant,
    runs: usize,
    misses: Vec<String>,
}

impl Campaign {
    pub fn new(name: &'static str) -> Self {
        Self { name, begun: Instant::now(), runs: 0, misses: Vec::new() }
    }

    /// Notes a run, and what did not hold in it.
    pub fn note(&mut self, run: &str, found: Result<(), String>) {
        self.runs += 1;
        if let Err(what) = found {
            say(&format!("MISS in {}: {run}: {what}", self.name));
            self.misses.push(format!("{run}: {what}"));
        }
    }

    /// Prints the line of the table, and fails if there were misses, or no runs at all.
    #[track_caller]
    pub fn end(self) {
        let Self { name, begun, runs, misses } = self;
        print(name, runs, misses.len(), &seed().to_string(), Some(begun));
        assert!(runs > 0, "{name}: nothing was run");
        let shown = misses.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        assert!(misses.is_empty(), "{name}: {} of {runs}:\n{shown}", misses.len());
    }
}
