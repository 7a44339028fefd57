//! Sinks: where a ledger anchors, and how far each of them is.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::anchor::{Anchors, Claim, Claimed, FIRST, Local, Standing, judge};
use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::disk::Lenience;
use crate::ledger::asked::Asked;
use crate::recovery::Anchored;

/// Where a ledger anchors.
#[derive(Clone, Debug, Default)]
pub(super) enum Where {
    /// In the user's home for sigchain.
    #[default]
    Home,
    /// Here.
    These(Vec<Arc<dyn Anchors>>),
}

impl Where {
    /// The sinks.
    pub(super) fn sinks(&self, lenience: Lenience) -> io::Result<Vec<Arc<dyn Anchors>>> {
        match self {
            Self::Home => Ok(vec![Arc::new(Local::in_home(lenience)?)]),
            Self::These(sinks) => Ok(sinks.clone()),
        }
    }
}

/// Why something was not anchored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanchored {
    /// Somebody else holds the next number.
    Fenced(String),
    /// It could not be done, this time.
    Failed(String),
}

impl fmt::Display for Unanchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Fenced(what) | Self::Failed(what)) = self;
        f.write_str(what)
    }
}

/// Gives the root that this chain had at a size; nothing if it cannot be told.
pub(super) type RootAt<'r> = &'r dyn Fn(u64) -> Option<Digest>;

/// A sink, and how far it is.
#[derive(Debug)]
pub(super) struct Sink {
    anchors: Arc<dyn Anchors>,
    asked: Asked,
    /// Whether it has said what it knows of this chain.
    is_known: bool,
    /// The number that was held last; none before the first.
    held: Option<u64>,
    /// Entries that it has.
    pub(super) size: u64,
    /// Entries that there were when the ledger was opened: from there on it counts as behind, as long as it has not said what it has.
    since: u64,
    /// What was claimed with an error for an answer. It may be held or not: until that is known nothing else is claimed, or this writer
    /// would take its own claim for somebody else's.
    undecided: Option<Checkpoint>,
}

impl Sink {
    fn new(anchors: Arc<dyn Anchors>) -> Self {
        let (asked, undecided) = (Asked::default(), None);
        Self { anchors, asked, is_known: false, held: None, size: 0, since: 0, undecided }
    }

    /// Entries that it has, as far as it is known.
    pub(super) fn reach(&self) -> u64 {
        if self.is_known { self.size } else { self.since }
    }

    /// What it knows.
    fn latest(&self, chain_id: Digest, time: Duration) -> io::Result<Option<Claim>> {
        let anchors = Arc::clone(&self.anchors);
        let answer = self.asked.ask(time, move || anchors.latest(&chain_id));
        answer.unwrap_or_else(|why| {
            Err(io::Error::other(format!("{anchors:?}: {why}", anchors = self.anchors)))
        })
    }

    fn meet(&mut self, claim: Option<&Claim>) {
        self.is_known = true;
        self.held = claim.map(|claim| claim.number);
        self.size = claim.map_or(0, |claim| claim.size);
    }

    /// Asks one that could not be asked when the ledger was opened, and goes on from there if it agrees with this chain.
    pub(super) fn ask_late(
        &mut self,
        chain_id: Digest,
        own_size: u64,
        root_at: RootAt<'_>,
        time: Duration,
    ) -> Result<(), Unanchored> {
        if self.is_known {
            return Ok(());
        }
        let failed = |error: io::Error| Unanchored::Failed(error.to_string());
        let claim = self.latest(chain_id, time).map_err(failed)?;
        match claim.as_ref().map(|claim| judge(claim, own_size, root_at)) {
            None | Some(Standing::Agrees) => {}
            Some(Standing::Untold { size }) => {
                let what = format!("the root over {size} entries, which it knows, cannot be told");
                return Err(Unanchored::Failed(what));
            }
            Some(Standing::Behind { .. } | Standing::Beside { .. }) => {
                return Err(another(claim.as_ref()));
            }
        }
        self.meet(claim.as_ref());
        Ok(())
    }

    /// Claims the next number for this checkpoint.
    pub(super) fn claim(
        &mut self,
        chain_id: Digest,
        note: &Checkpoint,
        time: Duration,
    ) -> Result<(), Unanchored> {
        while self.size < note.size() {
            let number = self.held.map_or(FIRST, |held| held.saturating_add(1));
            let was_tried = self.undecided.is_some();
            let asked = self.undecided.get_or_insert_with(|| note.clone()).clone();
            let (anchors, text, size) = (Arc::clone(&self.anchors), asked.encode(), asked.size());
            let answer = self.asked.ask(time, move || anchors.claim(&chain_id, number, &asked));
            let is_own = |claim: &Claim| was_tried && claim.number == number && claim.note == text;
            match answer {
                Ok(Ok(Claimed::Held)) => {}
                // An attempt of this very writer, of which it did not learn that it had succeeded.
                Ok(Ok(Claimed::Taken(claim))) if is_own(&claim) => {}
                Ok(Ok(Claimed::Taken(claim))) => return Err(another(Some(&claim))),
                Ok(Err(error)) => return Err(Unanchored::Failed(error.to_string())),
                Err(why) => return Err(Unanchored::Failed(format!("{:?}: {why}", self.anchors))),
            }
            (self.held, self.size, self.undecided) = (Some(number), size, None);
        }
        Ok(())
    }
}

/// Somebody else has claimed this.
fn another(claim: Option<&Claim>) -> Unanchored {
    let (number, size) = claim.map_or((0, 0), |claim| (claim.number, claim.size));
    Unanchored::Fenced(format!(
        "another writer of this chain has anchored {size} entries under number {number}: \
         this ledger was copied, or set back"
    ))
}

/// What the sinks know of a chain.
#[derive(Debug)]
pub(super) struct Known {
    sinks: Vec<(Sink, Option<Claim>)>,
    /// Why some could not be asked.
    trouble: Option<String>,
}

impl Known {
    /// Asks them. One that does not answer is asked again later; that none of them does, or not all where `all` have to, is an error.
    pub(super) fn ask(
        sinks: Vec<Arc<dyn Anchors>>,
        chain_id: Digest,
        all: bool,
        time: Duration,
    ) -> io::Result<Self> {
        let mut known = Self { sinks: Vec::with_capacity(sinks.len()), trouble: None };
        let (mut answers, mut failed) = (0_usize, None);
        for anchors in sinks {
            let mut sink = Sink::new(anchors);
            let claim = match sink.latest(chain_id, time) {
                Ok(claim) => {
                    sink.meet(claim.as_ref());
                    answers = answers.saturating_add(1);
                    claim
                }
                // What is there and is no claim is not for want of an answer.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
                Err(error) => {
                    known.trouble = Some(error.to_string());
                    failed = Some(error);
                    None
                }
            };
            known.sinks.push((sink, claim));
        }
        match failed {
            Some(error) if all || answers == 0 => Err(error),
            _ => Ok(known),
        }
    }

    /// Of a chain that has just begun they know nothing.
    pub(super) fn of_new(sinks: Vec<Arc<dyn Anchors>>) -> Self {
        let met = |anchors| {
            let mut sink = Sink::new(anchors);
            sink.meet(None);
            (sink, None)
        };
        Self { sinks: sinks.into_iter().map(met).collect(), trouble: None }
    }

    fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.sinks.iter().filter_map(|(_, claim)| claim.as_ref())
    }

    /// What they have, as it was signed.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.claims().map(|claim| claim.note.clone())
    }

    /// The sizes that they speak of, ascending.
    pub(super) fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.claims().map(|claim| claim.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// How a chain of this size stands to them, that had these roots.
    pub(super) fn judge(&self, size: u64, roots: &[(u64, Digest)]) -> Anchored {
        let root_at = |size| roots.iter().find(|(at, _)| *at == size).map(|(_, root)| *root);
        let mut anchored = Anchored::Nothing;
        for claim in self.claims() {
            match judge(claim, size, root_at) {
                Standing::Agrees => anchored = Anchored::Agrees,
                Standing::Behind { .. } => return Anchored::More,
                // What was claimed ended between two batches of this chain, if it was this chain.
                Standing::Beside { .. } | Standing::Untold { .. } => return Anchored::Other,
            }
        }
        anchored
    }

    /// What they know, in words.
    pub(super) fn words(&self) -> String {
        let sizes: Vec<String> = self.claims().map(|claim| entries(claim.size)).collect();
        sizes.join(", ")
    }

    /// The sinks of a ledger that has so many entries, and why some of them could not be asked.
    pub(super) fn into_parts(self, size: u64) -> (Vec<Sink>, Option<String>) {
        let since = |(sink, _)| Sink { since: size, ..sink };
        (self.sinks.into_iter().map(since).collect(), self.trouble)
    }
}

/// So many entries, in words.
pub(super) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}
