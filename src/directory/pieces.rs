//! The segments of a ledger's directory, and whether they are pieces of one chain.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::directory::handles::Handles;
use crate::directory::open::{LOOK, lost, misfit};
use crate::directory::record::Record;
use crate::directory::{NEXT, Piece, name_of, ordinal_of, standin};
use crate::disk::{DiskError, File};
use crate::segment::Beginning;

/// The segments that there are, in order.
pub(super) fn pieces(handles: &Arc<Handles>, writes: bool) -> io::Result<Vec<Arc<Piece>>> {
    // Number of each, and whether something stands in for it.
    let mut ordinals = BTreeMap::new();
    for name in handles.folder().names()? {
        match (ordinal_of(&name), standin::ordinal_of(&name)) {
            (Some(ordinal), _) => drop(ordinals.entry(ordinal).or_insert(false)),
            (_, Some(ordinal)) => drop(ordinals.insert(ordinal, true)),
            _ if [super::SEGMENT, standin::STAND_IN]
                .iter()
                .any(|start| name.starts_with(start))
                && name != NEXT =>
            {
                return Err(misfit(format!("expected segments, found {name}"), LOOK));
            }
            _ => {}
        }
    }
    let mut pieces: Vec<Piece> = Vec::with_capacity(ordinals.len());
    let last = ordinals.last_key_value().map(|(ordinal, _)| *ordinal);
    for (expected, (ordinal, is_stand_in)) in (0..).zip(ordinals) {
        if ordinal != expected {
            return Err(misfit(format!("expected {}, found none", name_of(expected)), LOOK));
        }
        let name = if is_stand_in { standin::name_of(ordinal) } else { name_of(ordinal) };
        let file: Arc<dyn File> = if last == Some(ordinal) {
            handles.folder().open(&name, writes && !is_stand_in)?.into()
        } else {
            handles.shut(name.clone())
        };
        let (beginning, start) = Beginning::read(&*file).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                misfit(format!("{name}: {error}"), LOOK)
            }
            io::ErrorKind::Unsupported => {
                let advice = "use the sigchain that wrote it, or a newer one";
                DiskError::new("LEDGER_FILES", &name, error.to_string(), advice)
                    .into_io(io::ErrorKind::Unsupported)
            }
            // What the disk does not give is no finding about what stands there.
            _ => error,
        })?;
        if beginning.ordinal != ordinal {
            let what = format!("{name} says that it is number {}", beginning.ordinal);
            return Err(misfit(what, LOOK));
        }
        if let Some(before) = pieces.last_mut() {
            // What is said of a segment is not said of what stands in for it: that is as long as it is.
            before.end =
                if before.is_stand_in { Some(before.file.len()?) } else { beginning.accepted };
        }
        pieces.push(Piece { beginning, file, start, end: None, is_stand_in });
    }
    Ok(pieces.into_iter().map(Arc::new).collect())
}

/// Whether the segments are pieces of one chain, one behind the other, and have what is durable by the record.
pub(super) fn check(pieces: &[Arc<Piece>], record: Option<&Record>) -> io::Result<()> {
    for pair in pieces.windows(2) {
        let [before, after] = pair else { continue };
        let (a, b) = (&before.beginning, &after.beginning);
        let name = name_of(b.ordinal);
        if a.chain_id != b.chain_id {
            let what = format!(
                "expected {name} to be of chain {}, found one of {}",
                a.chain_id, b.chain_id
            );
            return Err(misfit(what, LOOK));
        }
        let Some(accepted) = b.accepted else {
            return Err(misfit(
                format!("{name} does not say how much of the one before counts"),
                LOOK,
            ));
        };
        if before.is_stand_in {
            if b.first < a.first {
                let what = format!("{name} begins before the one before it");
                return Err(misfit(what, LOOK));
            }
            continue;
        }
        let found = before.file.len()?;
        // Behind a segment of which nothing counts the next one begins with the same entry.
        if b.first < a.first || (accepted == before.start && b.first > a.first) {
            let what = format!("{name} says that it begins elsewhere than the one before it ends");
            return Err(misfit(what, LOOK));
        }
        if found < accepted || accepted < before.start {
            let what = format!("expected {accepted} bytes before {name}, found {found}");
            return Err(misfit(what, LOOK));
        }
        if let Some(record) = record
            && record.ordinal == a.ordinal
            && record.length > accepted
        {
            let what = format!(
                "{name} counts {accepted} bytes of the one before, {} were durable",
                record.length
            );
            return Err(misfit(what, LOOK));
        }
    }
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(()) };
    if first.beginning.first != 0 || first.beginning.accepted.is_some() {
        let name = name_of(first.beginning.ordinal);
        return Err(misfit(format!("{name} says that it is not the first"), LOOK));
    }
    let Some(record) = record else { return Ok(()) };
    if record.chain_id != last.beginning.chain_id {
        let what = format!(
            "expected segments of chain {}, found of {}",
            record.chain_id, last.beginning.chain_id
        );
        return Err(misfit(what, LOOK));
    }
    if record.ordinal > last.beginning.ordinal {
        return Err(misfit(format!("expected {}, found none", name_of(record.ordinal)), LOOK));
    }
    if last.is_stand_in {
        let found = standin::size_of(last)?;
        if found < record.size {
            return Err(lost(record.size, found));
        }
    }
    Ok(())
}
