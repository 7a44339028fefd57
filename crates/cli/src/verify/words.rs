//! What a verdict rests on, in words: the same wherever something that was held is named.

use sigchain::verify::{Anchor, Report};

use crate::out::{entries, grouped};

/// Of what was compared with nothing.
pub(crate) const UNTIED: &str = "it agrees with itself, but nothing that you gave ties it to anything: anybody can make such a file";

/// Of gaps that nobody vouches for.
pub(crate) const UNPROVEN: &str =
    "no seal at or behind the last gap vouches that no entry which changes keys was left out";

/// What an anchor says, and how far.
pub(crate) fn anchored(anchor: &Anchor, size: u64) -> String {
    match anchor {
        Anchor::ChainId(_) => "the chain id, which vouches for entry 0".to_owned(),
        Anchor::Checkpoint(size, _) => format!("checkpoint of {}", entries(*size)),
        Anchor::Key(id) => format!("key {id}, which vouches for the first {}", entries(size)),
        other => format!("{other}, for {}", entries(size)),
    }
}

/// Of what is not in the file, why.
pub(crate) fn missing(anchor: &Anchor) -> String {
    match anchor {
        Anchor::Key(id) => format!("key {id} signed nothing in this file"),
        Anchor::Checkpoint(size, root) => format!(
            "checkpoint of {} (root {root}): the file has a gap at that size",
            entries(*size)
        ),
        other => format!("{other} is not that of this file"),
    }
}

/// How many entries lie beyond what is vouched for; `which` says more of them.
pub(crate) fn beyond(count: u64, which: &str) -> String {
    let signed = "beyond it, signed by the chain's own keys only";
    match count {
        1 => format!("1 entry{which} lies {signed}"),
        n => format!("{} entries{which} lie {signed}", grouped(n)),
    }
}

/// On whose word signatures were not looked at, if any were taken so: the one who held the largest checkpoint.
pub(crate) fn word(is_own: bool) -> &'static str {
    if is_own {
        "the largest checkpoint that this machine has anchored"
    } else {
        "the largest checkpoint that you gave"
    }
}

/// What was not looked at, of a verification that resumed.
pub(crate) fn taken(report: &Report, is_own: bool) -> Option<String> {
    let count = match report.taken_on_word {
        0 => return None,
        1 => "1 signature".to_owned(),
        n => format!("{} signatures", grouped(n)),
    };
    Some(format!("{count} not looked at: taken on the word of {} (--resume)", word(is_own)))
}
