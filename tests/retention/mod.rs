//! Entries that have left a ledger: what stands in for them, and what goes on as before.

mod standin;
mod support;
