//! The chains that a ledger goes on from: what it states of them against what is there.

use std::fmt::{self, Write as _};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sigchain::digest::Digest;
use sigchain::replay::Source as _;
use sigchain::reserved::Predecessor;
use sigchain::tree::Frontier;
use sigchain::verify::{Report, Seen, Verifier};

use crate::exit::{NO, UNREADABLE, UNVOUCHED};
use crate::history;
use crate::ledger;
use crate::out::{entries, plural, safe};
use crate::trouble::Trouble;
use crate::verify::archives;

/// A chain that another one goes on from.
pub(crate) struct Before {
    chain_id: Digest,
    /// Where it is, if it was found.
    path: Option<PathBuf>,
    /// How many of its first entries belong to the history.
    size: u64,
    /// Entries and faults behind these.
    beyond: u64,
    dismissed: u64,
    /// What is wrong with those that belong to the history, or why that cannot be said.
    wrong: Option<String>,
    exit: u8,
}

/// All that the ledger at this path goes on from, the oldest first, as far as it can be found. `stated` is what its genesis says.
pub(super) fn judge(path: &Path, stated: Option<&Predecessor>) -> Result<Vec<Before>, Trouble> {
    let mut stated = stated.cloned();
    let mut paths = ledger::line(path);
    let mut all = Vec::new();
    while let Some(wanted) = stated.take() {
        let (before, next) = one(&wanted, paths.pop())?;
        let is_found = before.path.is_some();
        all.push(before);
        stated = next.filter(|_| is_found);
    }
    all.reverse();
    Ok(all)
}

/// One chain, and the one that it goes on from itself.
fn one(
    stated: &Predecessor,
    path: Option<PathBuf>,
) -> Result<(Before, Option<Predecessor>), Trouble> {
    let mut before = Before {
        chain_id: stated.chain,
        path: None,
        size: stated.size,
        beyond: 0,
        dismissed: 0,
        wrong: None,
        exit: 0,
    };
    let Some(path) = path else { return Ok((before, None)) };
    let mut opened = match history::open_before(&path, Verifier::new()) {
        Ok(opened) => opened,
        Err(trouble) => {
            (before.wrong, before.exit) = (Some(trouble.what().to_owned()), UNREADABLE);
            before.path = Some(path);
            return Ok((before, None));
        }
    };
    let failed = |error: io::Error| crate::input::cannot_read(&path.to_string_lossy(), &error);
    let opening = opened.source.opening().map_err(failed)?;
    let opening = opening.filter(|opening| opening.chain_id == stated.chain);
    let (mut tree, mut root) = (Frontier::new(), None);
    let end = opened.source.watch(&mut |seen| {
        match seen {
            Seen::Entry(shown) => tree.push(shown.leaf),
            Seen::Gap(gap) => archives::pass(&mut tree, gap),
            _ => {}
        }
        if tree.size() == stated.size {
            root = root.or(Some(tree.root()));
        }
        ControlFlow::Continue(())
    });
    let end = end.map_err(failed)?;
    let report = end.as_ref().and_then(|end| end.report.as_ref());
    let sound = end.as_ref().map_or(0, |end| end.sound);
    before.beyond = report.map_or(0, |report| report.entries.saturating_sub(stated.size));
    let total = report.map_or(0, Report::total);
    if opening.is_none() {
        before.wrong = Some("another chain is there".to_owned());
    } else if root != Some(stated.root) {
        let found = root.map_or("none".to_owned(), |root| root.to_string());
        let what = format!("expected root {} over them, found {found}", stated.root);
        before.wrong = Some(what);
    } else if sound < stated.size {
        let fault = report.and_then(|report| report.faults.first());
        before.wrong = Some(fault.map_or("it cannot be judged".to_owned(), |fault| {
            format!("{}: expected {}, found {}", fault.code, fault.expected, fault.found)
        }));
    } else if report.is_some_and(|report| report.gaps.any() && !report.gaps.are_proven()) {
        before.exit = UNVOUCHED;
    }
    if before.wrong.is_some() {
        before.exit = NO;
    } else {
        before.dismissed = total;
    }
    before.path = Some(path);
    Ok((before, opening.and_then(|opening| opening.predecessor)))
}

/// The exit code of a ledger and all that it goes on from: what was dismissed is no fault of it.
pub(super) fn exit(own: u8, line: &[Before]) -> u8 {
    let all = line.iter().map(|before| before.exit).chain([own]);
    if all.clone().any(|exit| exit == NO) { NO } else { all.max().unwrap_or(own) }
}

pub(super) fn write(text: &mut String, line: &[Before]) -> fmt::Result {
    for before in line.iter().rev() {
        let Before { chain_id, size, .. } = before;
        write!(text, "  continues chain {chain_id} behind its first {}", entries(*size))?;
        let Some(path) = &before.path else {
            writeln!(text, ": it is not where it was, and was not looked at")?;
            continue;
        };
        write!(text, ", in \"{}\": ", safe(&path.to_string_lossy()))?;
        match &before.wrong {
            Some(wrong) => writeln!(text, "FAULTY: {}", safe(wrong))?,
            None => writeln!(text, "sound up to there, and what is stated")?,
        }
        if before.dismissed > 0 || before.beyond > 0 {
            writeln!(
                text,
                "    behind that, dismissed and no part of the history: {}, {}",
                entries(before.beyond),
                plural(before.dismissed, "fault")
            )?;
        }
    }
    Ok(())
}

impl Before {
    pub(super) fn json(&self) -> Value {
        json!({
            "beyond": self.beyond,
            "chain_id": self.chain_id.to_string(),
            "dismissed": self.dismissed,
            "exit": self.exit,
            "file": self.path.as_ref().map(|path| path.to_string_lossy()),
            "size": self.size,
            "sound": self.path.is_some() && self.wrong.is_none(),
            "what": self.wrong,
        })
    }
}
