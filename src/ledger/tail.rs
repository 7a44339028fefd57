//! What of the last segment is looked at once more, after it was read: what is to be copied, and how old it is.

use std::time::Duration;

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::{Directory, Place};
use crate::error::OpenError;
use crate::frame::{Kind, Written};
use crate::segment::{Scanned, Scanner};

/// Looks at what is to be copied as it was read for that. It was verified when it was read first, but since then the page cache may have
/// let go of what the disk never had: after a sync that failed, the bytes that come now need not be those.
pub(super) fn check_copy(
    frames: &[u8],
    chain_id: &Digest,
    (place, before, head): (Place, Digest, Digest),
) -> Result<(), OpenError> {
    let mut scanner = Scanner::new(&frames, 0, len_u64(frames.len()));
    let mut last = before;
    loop {
        let damage = match scanner.next()? {
            Scanned::End if last == head => return Ok(()),
            Scanned::End => "other entries",
            Scanned::Damage(what) => what,
            Scanned::Frame(found) => {
                if found.kind == Kind::Entry
                    && let Ok(written) = Written::parse(found.left, scanner.body())
                {
                    last = written.entry(chain_id).digest();
                }
                continue;
            }
        };
        let what = format!(
            "what stands before byte {} of {} was read again, to be copied, and is not what was verified: {damage}; \
             a sync has failed, and the disk does not have what the page cache showed; open it again",
            place.at,
            place.segment(),
        );
        return Err(OpenError::Stopped { code: "LEDGER_DAMAGED", what, quarantine: None });
    }
}

/// How long ago the last segment got its first entry: it ends by age however often it is opened. Where that cannot be read it counts as
/// young: what is damaged is for a verification to find.
pub(super) fn age(directory: &Directory, now: i64) -> Duration {
    let pieces = directory.pieces();
    let Some(piece) = pieces.last() else { return Duration::ZERO };
    let Ok(end) = piece.file.len() else { return Duration::ZERO };
    let mut scanner = Scanner::new(&*piece.file, piece.start, end);
    while let Ok(Scanned::Frame(found)) = scanner.next() {
        if found.kind == Kind::Entry {
            let begun = Written::parse(found.left, scanner.body());
            let begun = begun.map_or(now, |written| written.fields.system_time.micros());
            let age = u64::try_from(now.saturating_sub(begun));
            return age.map_or(Duration::ZERO, Duration::from_micros);
        }
    }
    Duration::ZERO
}
