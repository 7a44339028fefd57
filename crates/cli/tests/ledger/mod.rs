//! The real binary on ledgers that are directories, with a second process where that matters; every exit code.

mod ends;
mod reading;
mod recording;
mod support;
