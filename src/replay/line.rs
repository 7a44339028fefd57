//! A line of chains, each continuing the one before: which comes first, and whether all are there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::ControlFlow;

use crate::digest::Digest;
use crate::replay::{Chapter, Faulty, LineError, Opening, ReplayError, Source};
use crate::reserved::Predecessor;

/// A chain in its place.
#[derive(Debug)]
pub(super) struct Place {
    /// Which source it is.
    pub(super) at: usize,
    /// What it says of itself; the reading of it has to confirm that.
    pub(super) opening: Option<Opening>,
    /// What its successor says of it.
    pub(super) stated: Option<Predecessor>,
}

/// The places of all sources, oldest first.
pub(super) fn order(
    sources: &mut [&mut dyn Source],
    alone: bool,
) -> Result<Vec<Place>, ReplayError> {
    let is_one = sources.len() == 1;
    let mut openings = BTreeMap::new();
    for (at, source) in sources.iter_mut().enumerate() {
        match source.opening()? {
            Some(opening) => {
                let chain = opening.chain_id;
                if openings.insert(chain, (at, opening)).is_some() {
                    return Err(LineError::Duplicate(chain).into());
                }
            }
            // Verification will say what is wrong with it.
            None if is_one => return Ok(vec![Place { at, opening: None, stated: None }]),
            None => return Err(without_opening(*source)?),
        }
    }
    if alone && is_one {
        let only = openings.into_values().next().ok_or(LineError::Nothing)?;
        return Ok(vec![Place { at: only.0, opening: Some(only.1), stated: None }]);
    }
    Ok(walk(openings)?)
}

/// From the one that nobody continues back to the first.
fn walk(mut openings: BTreeMap<Digest, (usize, Opening)>) -> Result<Vec<Place>, LineError> {
    let before = |(_, opening): &(usize, Opening)| Some(opening.predecessor.as_ref()?.chain);
    let continued: BTreeSet<Digest> = openings.values().filter_map(before).collect();
    if let Some(missing) = continued.iter().find(|chain| !openings.contains_key(chain)) {
        return Err(LineError::Missing(*missing));
    }
    let any = openings.keys().next().copied().ok_or(LineError::Nothing)?;
    let mut ends: Vec<Digest> =
        openings.keys().copied().filter(|chain| !continued.contains(chain)).collect();
    // The longest line is the one that was meant.
    ends.sort_by_key(|end| {
        let line = std::iter::successors(Some(*end), |chain| openings.get(chain).and_then(before));
        line.take(openings.len()).count()
    });
    let last = ends.pop();
    // Without any end they continue each other in a circle, which no digest allows: what they say of themselves is false.
    let Some(last) = last else { return Err(LineError::Superfluous(any)) };
    if let Some(chain) = ends.pop() {
        return Err(LineError::Superfluous(chain));
    }
    let mut places: Vec<Place> = Vec::new();
    let (mut next, mut stated) = (Some(last), None);
    while let Some(chain) = next {
        let (at, opening) = openings.remove(&chain).ok_or(LineError::Superfluous(chain))?;
        let before = opening.predecessor.clone();
        next = before.as_ref().map(|before| before.chain);
        places.push(Place { at, opening: Some(opening), stated });
        stated = before;
    }
    if let Some(chain) = openings.into_keys().next() {
        return Err(LineError::Superfluous(chain));
    }
    places.reverse();
    Ok(places)
}

/// Why a source does not even say which chain it is.
fn without_opening(source: &mut dyn Source) -> io::Result<ReplayError> {
    let end = source.read(&mut |_| ControlFlow::Break(()))?;
    if end.is_clean() {
        let what = "expected a genesis among the first bytes, found none";
        return Ok(ReplayError::Io(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    let chain_id = end.report.as_ref().and_then(|report| report.chain_id);
    let chapters = vec![Chapter { chain_id, end, used: 0, needed: 0, is_continued: false }];
    let faulty = Faulty { chapters, at: 0, reach: None, is_point_unknown: false };
    Ok(ReplayError::Fault(Box::new(faulty)))
}
