//! Epochs: who writes, and when that is another than before.

use crate::codec::Writer;
use crate::digest::Digest;
use crate::directory::Writing;
use crate::ledger::call::Note;
use crate::ledger::opening::EPOCH;
use crate::signer::Signer;

/// The record that another writer begins. What was lost are the bytes behind the end, and the entries that are listed as abandoned.
pub(super) fn note(cause: &str, now: &Writing, epoch: u64, (torn, dropped): (u64, u64)) -> Note {
    let mut w = Writer::new();
    w.map(7).text("boot").bytes(&now.boot).text("host").bytes(&now.host);
    w.text("torn").uint(torn).text("cause").text(cause);
    w.text("epoch").uint(epoch).text("dropped").uint(dropped);
    w.text("process").uint(u64::from(now.process));
    Note { event_type: EPOCH.to_owned(), map: w.into_bytes() }
}

/// Why this is another writer than the last, if it is.
pub(super) fn cause(
    is_clean: bool,
    before: Option<&Writing>,
    now: &Writing,
) -> Option<&'static str> {
    let Some(before) = before else { return Some("unknown") };
    if !is_clean {
        return Some("unclean");
    }
    if before.host != now.host {
        return Some("host");
    }
    if before.boot != now.boot {
        return Some("boot");
    }
    (before.key != now.key).then_some("key")
}

/// Who this process is.
pub(super) fn writing(signer: &dyn Signer) -> Writing {
    let of = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let digest = Digest::of(&[b"sigchain1/host\0", text.trim().as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(digest.as_bytes().split_at(16).0);
        bytes
    };
    Writing {
        // Hashed: the id of a machine is nobody's business, only whether it is another.
        host: of("/etc/machine-id"),
        boot: of("/proc/sys/kernel/random/boot_id"),
        key: signer.id(),
        process: std::process::id(),
    }
}
