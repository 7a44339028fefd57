//! What can be read of files that do not open as a ledger any more: for whoever looks at what is left.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::digest::Digest;
use crate::directory::begin::lock;
use crate::directory::handles::Handles;
use crate::directory::open::{LOOK, misfit};
use crate::directory::read::Ids;
use crate::directory::record::Record;
use crate::directory::{Directory, Limits, Live, Piece, Writer, name_of, ordinal_of, standin};
use crate::disk::Folder;
use crate::frame::Kind;
use crate::segment::{Beginning, Scanned};

impl Directory {
    /// Locks the folder of a ledger, as whoever opens it to append does.
    pub(crate) fn hold(folder: &dyn Folder, wait: Duration) -> io::Result<()> {
        lock(folder, wait)
    }

    /// What can be read of a ledger's files from the first segment on: up to the first one that is missing, is of another chain or does
    /// not say what it is, whatever the record says. For whoever looks at what is left.
    pub fn salvage(folder: Arc<dyn Folder>) -> io::Result<Self> {
        let handles = Handles::new(folder);
        let mut pieces: Vec<Piece> = Vec::new();
        for ordinal in 0_u64.. {
            let read = |name: String| {
                let file = handles.shut(name);
                Beginning::read(&*file).ok().map(|(beginning, start)| (file, beginning, start))
            };
            let instead = read(standin::name_of(ordinal));
            let is_stand_in = instead.is_some();
            let found = instead.or_else(|| read(name_of(ordinal)));
            let Some((file, beginning, start)) = found else { break };
            let is_next = beginning.ordinal == ordinal
                && pieces.last().is_none_or(|before| {
                    let (a, b) = (&before.beginning, &beginning);
                    let reaches = before.is_stand_in
                        || before
                            .file
                            .len()
                            .is_ok_and(|len| b.accepted.is_some_and(|to| to <= len));
                    a.chain_id == b.chain_id && a.first <= b.first && reaches
                });
            if !is_next {
                break;
            }
            if let Some(before) = pieces.last_mut() {
                let all = before.file.len()?;
                before.end = if before.is_stand_in { Some(all) } else { beginning.accepted };
            }
            pieces.push(Piece { beginning, file, start, end: None, is_stand_in });
        }
        let Some(last) = pieces.last() else {
            let what = "expected a first segment, found none that can be read".to_owned();
            return Err(misfit(what, LOOK));
        };
        let (first, end, prior) = (last.beginning.first, last.file.len()?, last.beginning.prior);
        let (chain_id, epoch) = (last.beginning.chain_id, last.beginning.epoch);
        let record = Record {
            chain_id,
            ordinal: 0,
            length: 0,
            size: 0,
            head: prior,
            seal: None,
            epoch,
            writing: None,
        };
        let next = last.beginning.ordinal.saturating_add(1);
        // What the last one holds can be read, too: the keys of a chain may be in nothing else.
        let mut size = first;
        let mut scanner = last.scanner(last.start, end);
        while let Scanned::Frame(found) = scanner.next()? {
            size = size.saturating_add(u64::from(found.kind == Kind::Entry));
        }
        let end = scanner.at();
        let live = Live {
            pieces: pieces.into_iter().map(Arc::new).collect(),
            size,
            end,
            offsets: Vec::new(),
            recent: size,
            recent_at: end,
            ids: Ids::default(),
        };
        Ok(Self::over(handles, Limits::default(), Writer::new(record, None, next, None), live))
    }

    /// The number in the name of a segment, or of what stands in its place.
    pub(crate) fn ordinal_in(name: &str) -> Option<u64> {
        ordinal_of(name).or_else(|| standin::ordinal_of(name))
    }

    /// The chain whose segments are in a folder that cannot be opened, as far as one of them says; else zeros.
    pub(crate) fn chain_in(folder: &dyn Folder) -> Digest {
        let names = folder.names().unwrap_or_default();
        let segments = names.iter().filter(|name| ordinal_of(name).is_some());
        let mut said = segments.filter_map(|name| {
            let file = folder.open(name, false).ok()?;
            Beginning::read(&*file).ok().map(|(beginning, _)| beginning.chain_id)
        });
        said.next().unwrap_or(Digest::ZERO)
    }
}
