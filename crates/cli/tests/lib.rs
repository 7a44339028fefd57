//! The one test binary of the program.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it did not expect has failed"
)]

mod act;
mod agent;
mod cli;
mod deploying;
mod disk;
mod episode;
mod errors;
mod extract;
mod foreign;
mod history;
mod ledger;
mod look;
mod memory;
mod moved;
mod operator;
mod quarantine;
mod readme;
mod report;
mod retain;
mod schema;
mod support;
mod upgrades;
mod writers;
