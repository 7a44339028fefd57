//! What the fuzzers run. `tests/fuzz_corpora.rs` of the library runs the same on every kept input.

pub mod targets;
