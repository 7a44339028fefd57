//! The one test binary.
#![expect(unreachable_pub, reason = "in a binary everything is reachable from nowhere")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets the unexpected must stop"
)]
#![expect(
    clippy::too_many_lines,
    clippy::format_push_string,
    reason = "tables of scenarios are long, and nobody waits for their text"
)]

mod action;
mod agent;
mod anchor;
mod anchored;
mod batch;
mod canary;
mod clock;
mod context;
mod differential;
mod directory;
mod flips;
mod fuzz_corpora;
mod index;
mod keyfile;
mod keys;
mod layer;
mod ledger;
mod mirror;
mod mirrored;
mod observe;
mod point;
mod power;
mod processes;
mod proofs;
mod receipt;
mod replay;
mod retention;
mod review;
mod scrub;
mod segments;
mod select;
mod service;
mod snapshots;
mod strict;
mod support;
mod tamper;
mod tidy;
mod unique;
mod upgrades;
mod vectors;
mod vocabulary;
