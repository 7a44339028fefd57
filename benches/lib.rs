//! Nothing: what measures is in `parts.rs` and `figures.rs`.
