//! A tamper-evident record of what software agents did.
//!
//! A *chain* is a sequence of signed *entries*, each linked to the one before by hash. This crate holds the format (entries,
//! payloads, keys, files), its one set of rules ([`chain::Chain::admit`]), and its verification ([`verify::Verifier`]).
//! The normative text is `spec/sigchain.md`; modules follow its sections.
//!
//! # What a clean report proves
//!
//! It depends on what you held before. With a checkpoint: every entry up to it is what was signed, in order, none missing and
//! none changed since. With a key or a chain id: who signed, not where the end is. With nothing: only that the file agrees
//! with itself, which anybody can arrange; such a report is never [`verify::Verdict::Intact`].
//!
//! # What it does not prove
//!
//! That an event is true, that every event was recorded, that a stamp is the real time, that nothing was appended after the end.
//!
//! # What to keep elsewhere
//!
//! Checkpoints (the more recent, the less can be cut unseen), the chain's id, and the operators' keys, which alone can end a
//! stolen key.
//!
//! # Features
//!
//! `std` (default): threads and the operating system's randomness, for batch verification. Without it the crate is pure and
//! builds for `wasm32-unknown-unknown`.

pub mod chain;
pub mod chainfile;
pub mod checkpoint;
pub mod codec;
pub mod digest;
pub mod entry;
pub mod event;
pub mod fault;
pub mod fork;
pub mod frame;
pub mod id;
pub mod jsonl;
pub mod key;
pub mod keyring;
pub mod limit;
pub mod payload;
pub mod proof;
pub mod reserved;
pub mod stamp;
pub mod text;
pub mod tree;
pub mod verify;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
