//! The ledger as its users meet it, over a store in memory.

mod basics;
mod installed;
mod key_life;
mod linear;
mod once;
mod panics;
mod paths;
mod several;
pub mod support;
mod trouble;
