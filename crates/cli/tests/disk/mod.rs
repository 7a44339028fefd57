//! The real program on a disk that fails: every system call it makes with every error, kills at each of them and at any time, disks that
//! are full, a block that cannot be written, a power cut. What must hold afterwards stands once, in `book`.
//!
//! A sample runs by default, all of it where `SIGCHAIN_TORTURE` is set (`./torture disk`); `SIGCHAIN_SEED` gives other samples. What needs
//! root, strace or qemu-storage-daemon says loudly when it is left out.

#![expect(clippy::print_stdout, reason = "the table of `./torture disk`")]

mod book;
pub(crate) mod campaign;
mod ext4;
mod faults;
mod full;
mod kills;
mod place;
mod reading;
mod record;
mod session;
mod strace;
