//! Recovery: facts about the end of a ledger's files in, one decision out. Pure, and a table: `spec/files.md` has the same one.
//!
//! A torn tail is what a crash leaves: bytes behind the last sync that was known to have succeeded. Everything else is
//! somebody's doing, or the disk's, and stops: it is never cut away to make the rest look whole.

/// How far the record of what is durable says that the files go, beside how far they can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stated {
    /// There is no record, or none that is whole: a power cut may have taken it.
    Nothing,
    /// Less far. The rest may be in the page cache only.
    Less,
    /// Exactly as far.
    Exactly,
    /// Farther: what was durable is gone.
    More,
}

/// How the files end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Behind a seal over all entries.
    Sealed,
    /// Behind the last entry of a batch.
    Whole,
    /// Behind an entry whose batch goes on.
    Open,
    /// In bytes that are no frame, with nothing behind them that shows that they were durable.
    Torn,
    /// In bytes that are no frame, with an entry behind them before which all was durable.
    Damaged,
    /// In a whole frame that is not the next of this chain.
    Foreign,
}

impl Tail {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Whole => "whole",
            Self::Open => "open",
            Self::Torn => "torn",
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
        }
    }
}

/// What the anchor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchored {
    /// Nothing.
    Nothing,
    /// What is here, or a beginning of it.
    Agrees,
    /// More entries than there are here.
    More,
    /// Other entries.
    Other,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Goes on in the last segment. All of it is durable.
    GoOn,
    /// Begins a segment, and copies there what may not be durable where it is. Nothing is dropped.
    Renew,
    /// As `Renew`, without the incomplete batch or the torn bytes: what was signed of them is listed as abandoned, and the bytes stay
    /// where they are.
    Mend,
    /// Stops: entries that were durable are damaged.
    StopDamaged,
    /// Stops: entries that were durable are gone.
    StopCut,
    /// Stops: entries are there that do not belong there.
    StopForeign,
    /// Stops: the anchor knows more. The files were rolled back, or cut.
    StopBehind,
    /// Stops: the anchor knows another branch.
    StopBeside,
}

impl Decision {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GoOn => "go on",
            Self::Renew => "renew",
            Self::Mend => "mend",
            Self::StopDamaged => "stop: damaged",
            Self::StopCut => "stop: cut",
            Self::StopForeign => "stop: foreign",
            Self::StopBehind => "stop: behind",
            Self::StopBeside => "stop: beside",
        }
    }
}

/// What leads to a decision. An empty list stands for anything.
struct Row(&'static [Stated], &'static [Tail], &'static [Anchored], Decision);

/// The first row that fits decides.
const TABLE: &[Row] = &[
    Row(&[], &[Tail::Foreign], &[], Decision::StopForeign),
    Row(&[], &[Tail::Damaged], &[], Decision::StopDamaged),
    Row(&[Stated::More], &[Tail::Torn], &[], Decision::StopDamaged),
    Row(&[Stated::More], &[], &[], Decision::StopCut),
    // What is durable ends with a whole batch: a record that says otherwise is not of these files.
    Row(&[Stated::Exactly], &[Tail::Open, Tail::Torn], &[], Decision::StopDamaged),
    Row(&[], &[], &[Anchored::More], Decision::StopBehind),
    Row(&[], &[], &[Anchored::Other], Decision::StopBeside),
    Row(&[Stated::Exactly], &[], &[], Decision::GoOn),
    Row(&[], &[Tail::Sealed, Tail::Whole], &[], Decision::Renew),
    Row(&[], &[], &[], Decision::Mend),
];

/// What is to be done.
pub(crate) fn decide(stated: Stated, tail: Tail, anchored: Anchored) -> Decision {
    fn has<T: PartialEq>(list: &[T], fact: &T) -> bool {
        list.is_empty() || list.contains(fact)
    }
    let fits = |row: &&Row| has(row.0, &stated) && has(row.1, &tail) && has(row.2, &anchored);
    // The last row fits everything.
    TABLE.iter().find(fits).map_or(Decision::StopForeign, |row| row.3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATED: [Stated; 4] = [Stated::Nothing, Stated::Less, Stated::Exactly, Stated::More];
    const TAILS: [Tail; 6] =
        [Tail::Sealed, Tail::Whole, Tail::Open, Tail::Torn, Tail::Damaged, Tail::Foreign];
    const ANCHORED: [Anchored; 4] =
        [Anchored::Nothing, Anchored::Agrees, Anchored::More, Anchored::Other];

    /// Every combination, against the table in `spec/files.md`: a row for each pair of facts about the files, a column for each
    /// of what the anchor knows.
    #[test]
    fn every_combination_is_as_the_spec_says() {
        let spec = include_str!("../spec/files.md");
        let rows: Vec<Vec<&str>> = spec
            .lines()
            .filter(|line| line.starts_with("| stated "))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), STATED.len() * TAILS.len());
        let mut seen = 0;
        for stated in STATED {
            for tail in TAILS {
                let name = format!("stated {stated:?}").to_lowercase();
                let row = rows.iter().find(|row| row[0] == name && row[1] == tail.name()).unwrap();
                for (anchored, said) in ANCHORED.into_iter().zip(&row[2..]) {
                    let decided = decide(stated, tail, anchored);
                    let words = decided.name();
                    assert_eq!(words, *said, "{name}, {tail:?}, {anchored:?}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 96);
    }

    /// What was durable is never dropped, whatever the anchor knows.
    #[test]
    fn nothing_durable_is_ever_dropped() {
        for tail in TAILS {
            for anchored in ANCHORED {
                for stated in [Stated::Exactly, Stated::More] {
                    let decided = decide(stated, tail, anchored);
                    assert!(!matches!(decided, Decision::Mend | Decision::Renew), "{tail:?}");
                }
            }
        }
    }
}
