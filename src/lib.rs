//! A tamper-evident record of what software agents did.
//!
//! A *chain* is a sequence of signed *entries*, each linked to the one before by hash. A [`ledger::Ledger`] makes events into entries:
//! `sigchain::install` one and `sigchain::record` from anywhere; [`action`] does nothing that is not recorded, [`review`] nothing that
//! nobody else agreed to. [`verify::Verifier`] judges the file that it exports,
//! [`replay`] rebuilds the state at any point of it, and [`chain::Chain::admit`] is the one set of rules for all three. Keys are in the
//! process, in files ([`keyfile`]), or with an OpenSSH agent ([`agent`]).
//! The normative text is `spec/sigchain.md`, what the writer does `spec/ledger.md`; modules follow their sections.
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
//! `std` (default): the ledger, signers outside the process, key files, threads, the operating system's clocks and randomness.
//! Without it the crate is pure (format, verification, proofs, replay, context) and builds for `wasm32-unknown-unknown`.
//! `observe` (default): what the ledger does, as metrics and `tracing` events. `tracing-layer`: `layer`, an observer that records
//! what an application says to `tracing`. `tower`: `service`, a gate around services.

#[cfg(all(feature = "std", unix))]
pub mod action;
#[cfg(all(feature = "std", unix))]
pub mod agent;
#[cfg(all(feature = "std", unix))]
pub mod anchor;
pub mod chain;
pub mod chainfile;
pub mod checkpoint;
pub mod clock;
pub mod codec;
pub mod context;
pub mod digest;
#[cfg(all(feature = "std", unix))]
pub mod directory;
#[cfg(all(feature = "std", unix))]
pub mod disk;
pub mod entry;
#[cfg(feature = "std")]
pub mod error;
pub mod event;
pub mod fault;
pub mod fork;
pub mod frame;
pub mod id;
#[cfg(all(feature = "std", unix))]
pub mod index;
pub mod intent;
pub mod jsonl;
pub mod key;
#[cfg(feature = "std")]
pub mod keyfile;
pub mod keyring;
#[cfg(all(feature = "tracing-layer", unix))]
pub mod layer;
#[cfg(all(feature = "std", unix))]
pub mod ledger;
pub mod limit;
#[cfg(all(feature = "std", unix))]
pub mod mirror;
pub mod payload;
pub mod point;
pub mod projection;
pub mod proof;
#[cfg(all(feature = "std", unix))]
pub mod quarantine;
pub mod receipt;
#[cfg(all(feature = "std", unix))]
mod recovery;
pub mod replay;
pub mod reserved;
#[cfg(all(feature = "std", unix))]
pub mod review;
#[cfg(all(feature = "std", unix))]
mod segment;
#[cfg(all(feature = "std", unix))]
pub mod select;
#[cfg(all(feature = "tower", unix))]
pub mod service;
pub mod signer;
#[cfg(all(feature = "std", unix))]
pub mod snapshot;
pub mod stamp;
#[cfg(feature = "std")]
pub mod store;
#[cfg(feature = "std")]
mod sync;
mod terms;
pub mod text;
pub mod tree;
pub mod verify;
pub mod vocabulary;

#[cfg(all(feature = "std", unix))]
pub use crate::ledger::{install, installed, record};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
