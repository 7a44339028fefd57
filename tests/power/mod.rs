//! Power cuts: a simulated disk that keeps what was synced and nothing else for sure, a driver that explores what it may leave behind,
//! and the proof, on a tiny log, that both notice what they should.

pub mod content;
pub mod drive;
mod held;
mod ledger;
mod like_real;
pub mod names;
pub mod sim;
mod tiny;
