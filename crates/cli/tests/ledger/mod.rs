//! The real binary on ledgers that are directories, with a second process where that matters; every exit code.

mod anchors;
mod blocks;
mod ends;
mod full;
mod reading;
mod recording;
mod resuming;
pub(crate) mod support;
