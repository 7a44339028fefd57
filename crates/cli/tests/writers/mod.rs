//! Many processes on one ledger: races to open it, deployments that overlap, crash loops, copies, readers beside a writer.

mod copies;
mod crashes;
mod races;
mod readers;

use std::time::Duration;

use serde_json::Value;

use crate::ledger::support::Place;
use crate::support::campaign::{rounds, say as tell};

/// What is drawn for a test: the same each time, where the moments that it is for are not.
struct Dice(u64);

impl Dice {
    /// Milliseconds below a bound.
    fn millis(&mut self, most: u64) -> Duration {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % most)
    }
}

const EVENT: [&str; 6] = ["append", "led", "--type", "a.b", "--actor", "a"];
const LINE: &str = "{\"type\":\"a.b\",\"payload\":1}";

/// All entries, also the ledger's own.
fn log(place: &Place) -> Vec<Value> {
    let output = place.run(&["log", "led", "--json", "--all"]);
    assert_eq!(output.status.code(), Some(0));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Types of the ledger's own entries.
fn own(log: &[Value]) -> Vec<&str> {
    let types = log.iter().map(|entry| entry["event_type"].as_str().unwrap());
    types.filter(|name| !name.starts_with("a.")).collect()
}
