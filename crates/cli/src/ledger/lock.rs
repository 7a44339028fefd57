//! Who holds a ledger, as the kernel lists it: whoever tried the lock instead would stand in the way of a writer that begins just then.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    /// This process; 0 if it is in another namespace.
    Process(u32),
    /// The system does not say.
    Unknown,
}

/// Who holds the ledger in this directory.
pub(crate) fn holder(path: &Path) -> Holder {
    let (Ok(about), Ok(locks)) = (fs::metadata(path), fs::read_to_string("/proc/locks")) else {
        return Holder::Unknown;
    };
    holder_in(&locks, about.ino())
}

/// A line is `1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF`. The device is that of the file system below, which stat(2) does not
/// name on all of them; the number of the file by itself is as good as always.
fn holder_in(locks: &str, inode: u64) -> Holder {
    for line in locks.lines() {
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "->").collect();
        let [_, "FLOCK", _, "WRITE", process, file, ..] = words.as_slice() else { continue };
        if line.contains("->") || file.rsplit(':').next() != Some(&inode.to_string()) {
            continue;
        }
        return Holder::Process(process.parse().unwrap_or(0));
    }
    Holder::Nobody
}

#[cfg(test)]
mod tests {
    use crate::ledger::lock::{Holder, holder_in};

    #[test]
    fn the_kernels_list_is_read() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 08:01:12 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 08:01:34 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 4712 08:01:56 0 EOF\n3: FLOCK  ADVISORY  READ 9 08:01:78 0 EOF\n";
        assert_eq!(holder_in(locks, 34), Holder::Process(4711));
        for inode in [12, 56, 78, 4, 3] {
            assert_eq!(holder_in(locks, inode), Holder::Nobody, "{inode}");
        }
        assert_eq!(holder_in("", 1), Holder::Nobody);
    }
}
