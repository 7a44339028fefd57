//! A folder of archives: each by itself, and all of them together, as the entries that have left a ledger.
//!
//! Each archive has all entries of a segment, and for the entries before them the hashes that stand for them in the tree. So the leaves
//! of all archives in their order make a tree whose root each archive states too, at the end of its own entries: if these are the same
//! no entry was exchanged, and whatever vouches for one of them vouches for what stands before it in the others.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::frame::{Gap, GapReason};
use sigchain::tree::{self, Frontier};
use sigchain::verify::{Anchors, Report, Seen, Verdict, Verifier};

use crate::access;
use crate::args::{VerifyOptions, is_stdin};
use crate::exit::{NO, UNREADABLE, UNVOUCHED};
use crate::held::{self, Held};
use crate::input::{self, cannot_read};
use crate::out;
use crate::retain;
use crate::trouble::Trouble;
use crate::verify::{self, listed};

/// One archive, by itself.
pub(super) struct Archive {
    pub(super) path: PathBuf,
    /// The first and the last entry that it is of.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) report: Report,
    /// The root over all entries up to its last, as it has them.
    root: Option<Digest>,
}

/// All of them.
pub(super) struct Whole {
    pub(super) archives: Vec<Archive>,
    /// Ranges between them that no archive has: first and last.
    pub(super) holes: Vec<(u64, u64)>,
    /// What does not fit together.
    pub(super) apart: Vec<String>,
    /// The largest size for which something that was held vouches, and what that is.
    pub(super) tied: Option<(u64, String)>,
    /// What was given and is in none of them.
    pub(super) missing: Vec<String>,
    /// The ledger that they were compared with.
    pub(super) ledger: Option<Beside>,
    pub(super) exit: u8,
}

/// A ledger beside archives.
pub(super) struct Beside {
    pub(super) path: PathBuf,
    pub(super) report: Report,
    /// Places at which its root was compared.
    pub(super) compared: u64,
}

/// The archives in a folder that is no ledger and has some: itself, or in the one folder in it that has.
pub(super) fn folder(path: &Path) -> Result<Option<PathBuf>, Trouble> {
    if is_stdin(path) || !input::about(path)?.is_dir() {
        return Ok(None);
    }
    let failed = |error: io::Error| cannot_read(&input::name(path), &error);
    let (mut below, mut has_archives) = (Vec::new(), false);
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Whatever else is there, it is a ledger, or what is left of one.
        if name == "durable" || name.starts_with("segment") || name.starts_with("standin") {
            return Ok(None);
        }
        has_archives |= retain::named(&entry.path()).is_some();
        if Digest::parse(&name).is_some() && entry.path().is_dir() {
            below.push(entry.path());
        }
    }
    if has_archives {
        return Ok(Some(path.to_owned()));
    }
    below.retain(|folder| retain::within(folder).is_ok_and(|all| !all.is_empty()));
    match below.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        _ => {
            let what = format!("\"{}\" has archives of several chains", path.display());
            Err(Trouble::usage(what, "FOLDER/CHAINID, of one of them"))
        }
    }
}

pub(super) fn run(options: &VerifyOptions, held: &Held, folder: &Path) -> Result<u8, Trouble> {
    access::only_in_a_ledger(&options.record)?;
    let is_more = options.resume || options.unique || options.fork_proof.is_some();
    if is_more || !(options.reports.is_empty() && options.gated.is_empty()) {
        let what = "--resume, --unique, --fork-proof, --report or --require-gate with a folder of archives";
        return Err(Trouble::usage(what, "one archive, or a ledger"));
    }
    let mut together = Together::new(held);
    let mut archives = Vec::new();
    let mut all: Vec<(u64, u64, PathBuf)> = Vec::new();
    for path in retain::within(folder)? {
        match retain::named(&path) {
            Some((first, last)) => all.push((first, last, path)),
            None => out::note(&format!(
                "\"{}\" is not named as an archive is, and was left out",
                path.display()
            )),
        }
    }
    all.sort();
    for (first, last, path) in all {
        archives.push(together.archive(path, (first, last))?);
    }
    let chain_id = archives.iter().find_map(|archive| archive.report.chain_id);
    let mut whole = Whole {
        archives,
        holes: together.holes.clone(),
        apart: Vec::new(),
        tied: None,
        missing: Vec::new(),
        ledger: None,
        exit: 0,
    };
    if let Some(other) = &options.against {
        whole.ledger = Some(together.ledger(other, chain_id, &mut whole.holes)?);
    } else if let Some(own) = chain_id.and_then(|id| held::own(&id).ok().flatten()) {
        // It speaks of more than what has left, so that it is not there is no fault.
        out::note(&format!("anchored on this machine: {}", out::entries(own.size())));
    }
    if whole.archives.is_empty() && whole.holes.is_empty() {
        // Nothing was looked at, and nothing is missed: that is no verdict.
        let what = format!("no archive is in \"{}\"", folder.display());
        let next = "name the folder that sigchain archive LEDGER --to named";
        return Err(Trouble::unreadable(
            what,
            "archives, named as sigchain archive names them",
            next,
        ));
    }
    whole.apart = together.apart;
    whole.tied = together.tied;
    whole.missing = together.wanted.into_iter().filter(|c| !c.is_met).map(|c| c.what).collect();
    whole.exit = exit(options, held, &whole);
    listed::show(options, &whole)?;
    Ok(whole.exit)
}

fn exit(options: &VerifyOptions, held: &Held, whole: &Whole) -> u8 {
    let mut verdicts = whole.archives.iter().map(|archive| archive.report.verdict());
    let ledger = whole.ledger.as_ref().map(|ledger| ledger.report.verdict());
    let is_bad = |verdict: Verdict| matches!(verdict, Verdict::Faulty | Verdict::Unreadable);
    if verdicts.clone().any(|verdict| verdict == Verdict::Unreadable) {
        return UNREADABLE;
    }
    let is_whole = whole.holes.is_empty() && whole.apart.is_empty();
    if verdicts.any(is_bad) || !is_whole || ledger.is_some_and(is_bad) {
        return NO;
    }
    let are_proven = whole.archives.iter().all(|archive| archive.report.gaps.are_proven());
    let is_self_asserted = options.held.allow_self_asserted && held.anchors().is_empty();
    let is_tied = whole.tied.is_some() && whole.missing.is_empty();
    if are_proven && (is_tied || is_self_asserted) { 0 } else { UNVOUCHED }
}

/// Something that was held: whether anything here confirms it.
struct Wanted {
    what: String,
    size: u64,
    root: Option<Digest>,
    is_met: bool,
}

/// What is known of all of them, while they are read one after the other.
struct Together {
    /// What each is verified against by itself.
    anchors: Anchors,
    /// Over the leaves of all archives so far.
    tree: Frontier,
    /// What a root must be, by its size: of archives that speak of more than was read so far. And who says so.
    stated: BTreeMap<u64, Vec<(Digest, String)>>,
    wanted: Vec<Wanted>,
    holes: Vec<(u64, u64)>,
    apart: Vec<String>,
    tied: Option<(u64, String)>,
    chain_id: Option<Digest>,
}

impl Together {
    fn new(held: &Held) -> Self {
        let mut anchors = held.anchors();
        let of = |held: &Checkpoint| Wanted {
            what: format!("checkpoint of {}", out::entries(held.size())),
            size: held.size(),
            root: Some(held.root()),
            is_met: false,
        };
        let mut wanted: Vec<Wanted> = anchors.checkpoints.iter().map(of).collect();
        // They may be over more than an archive speaks of, which is no fault of it: compared here.
        anchors.checkpoints.clear();
        wanted.extend(anchors.keys.iter().map(|key| Wanted {
            what: format!("key {key}"),
            size: 0,
            root: None,
            is_met: false,
        }));
        Self {
            anchors,
            tree: Frontier::new(),
            stated: BTreeMap::new(),
            wanted,
            holes: Vec::new(),
            apart: Vec::new(),
            tied: None,
            chain_id: None,
        }
    }

    /// Compares a root with all that was stated of that size.
    fn meet(&mut self, size: u64, root: &Digest, called: &str) {
        for (stated, by) in self.stated.get(&size).into_iter().flatten() {
            if stated != root {
                self.apart.push(format!(
                    "{called} has another root than {by} over the first {}: {root}, and not {stated}",
                    out::entries(size)
                ));
            }
        }
        let mut tied = None;
        for wanted in self.wanted.iter_mut().filter(|wanted| wanted.size == size) {
            match wanted.root {
                Some(stated) if stated == *root => {
                    wanted.is_met = true;
                    tied = Some((size, wanted.what.clone()));
                }
                Some(stated) => self.apart.push(format!(
                    "{called} has root {root} over the first {}, and what you hold says {stated}",
                    out::entries(size)
                )),
                None => {}
            }
        }
        self.tie(tied);
    }

    fn tie(&mut self, tied: Option<(u64, String)>) {
        let best = self.tied.as_ref().map_or(0, |(size, _)| *size);
        self.tied = tied.filter(|(size, _)| *size > best).or(self.tied.take());
    }

    /// Verifies an archive, and adds its leaves.
    fn archive(&mut self, path: PathBuf, (first, last): (u64, u64)) -> Result<Archive, Trouble> {
        let name = input::name(&path);
        let called = path.file_name().map_or(name.clone(), |n| n.to_string_lossy().into_owned());
        let source = input::open_again(&path)?;
        if first > self.tree.size() {
            self.holes.push((self.tree.size(), first.saturating_sub(1)));
        }
        let mut walk = Walk::default();
        let (mut next, mut root) = (first, None);
        let verifier = Verifier::new().anchored(self.anchors.clone());
        let report = verifier.replay(source, &mut |seen| {
            if let Seen::Entry(shown) = seen {
                let sequence = shown.written.fields.sequence;
                if sequence == first && first > self.tree.size() {
                    // Behind a hole the hashes of this one go on.
                    self.tree = walk.tree.clone();
                }
                if sequence == next && next <= last {
                    next = next.saturating_add(1);
                    if self.tree.size() == sequence {
                        self.tree.push(shown.leaf);
                        let (size, root) = (self.tree.size(), self.tree.root());
                        self.meet(size, &root, "what is in all archives");
                    }
                }
            }
            if let Some(size) = walk.see(seen) {
                let own = walk.tree.root();
                self.meet(size, &own, &called);
                if size == last.saturating_add(1) {
                    root = Some(own);
                }
            }
            ControlFlow::Continue(())
        });
        let report = report.map_err(|error| cannot_read(&name, &error))?;
        let report = report
            .ok_or_else(|| cannot_read(&name, &io::Error::other("it was not read to its end")))?;
        if report.faults.is_empty() && next <= last {
            self.apart
                .push(format!("{called} has not all that it is named after: no entry {next}"));
        }
        self.take(&report, &called, (last, root));
        Ok(Archive { path, first, last, report, root })
    }

    /// What an archive states, for those that come behind it.
    fn take(&mut self, report: &Report, called: &str, (last, root): (u64, Option<Digest>)) {
        match (self.chain_id, report.chain_id) {
            (Some(known), Some(found)) if known != found => {
                self.apart.push(format!("{called} is of another chain, {found}"));
            }
            (None, found) => self.chain_id = found,
            _ => {}
        }
        let size = last.saturating_add(1);
        if let Some(root) = root {
            if self.tree.size() == size && self.tree.root() != root {
                self.apart.push(format!(
                    "{called} has other hashes for the entries before its own than the archives that have them"
                ));
            }
            self.stated.entry(size).or_default().push((root, called.to_owned()));
        }
        if let Some(root) = report.root {
            self.meet(report.entries, &root, called);
            self.stated.entry(report.entries).or_default().push((root, called.to_owned()));
        }
        for anchored in &report.anchors {
            let Some(size) = anchored.size else { continue };
            let what = anchored.anchor.to_string();
            for wanted in self.wanted.iter_mut().filter(|wanted| wanted.what == what) {
                wanted.is_met = true;
            }
            self.tie(Some((size, what)));
        }
    }

    /// Verifies the ledger that they left, and compares.
    fn ledger(
        &mut self,
        path: &Path,
        chain_id: Option<Digest>,
        holes: &mut Vec<(u64, u64)>,
    ) -> Result<Beside, Trouble> {
        let name = input::name(path);
        let source = input::open_again(path)?;
        let mut anchors = self.anchors.clone();
        let own = chain_id.and_then(|id| held::own(&id).ok().flatten());
        anchors.checkpoints.extend(own);
        let is_ledger = path.is_dir();
        let verifier = Verifier::new().anchored(anchors).open_ended(is_ledger);
        let (mut walk, mut compared, mut left) = (Walk::default(), 0_u64, Vec::new());
        let called = format!("\"{name}\"");
        let report = verifier.replay(source, &mut |seen| {
            match seen {
                Seen::Gap(gap) if gap.reason == GapReason::Archived => {
                    left.push((gap.first, gap.end().saturating_sub(1)));
                }
                Seen::Entry(shown) => fill(holes, shown.written.fields.sequence),
                _ => {}
            }
            if let Some(size) = walk.see(seen) {
                compared = compared.saturating_add(u64::from(self.stated.contains_key(&size)));
                self.meet(size, &walk.tree.root(), &called);
            }
            ControlFlow::Continue(())
        });
        let report = report.map_err(|error| cannot_read(&name, &error))?;
        let report = report
            .ok_or_else(|| cannot_read(&name, &io::Error::other("it was not read to its end")))?;
        if chain_id.is_some() && report.chain_id != chain_id {
            self.apart.push(format!("{called} is of another chain"));
        }
        // What has left and lies behind the last archive.
        let end = self.tree.size();
        for (first, last) in left.into_iter().filter(|(_, last)| *last >= end) {
            holes.push((first.max(end), last));
        }
        for anchored in &report.anchors {
            self.tie(anchored.size.map(|size| (size, format!("{called}: {}", anchored.anchor))));
        }
        Ok(Beside { path: path.to_owned(), report, compared })
    }
}

/// Takes an entry that is there out of what is missing; they come in order.
fn fill(holes: &mut Vec<(u64, u64)>, sequence: u64) {
    let Some(at) = holes.iter().position(|(first, last)| (*first..=*last).contains(&sequence))
    else {
        return;
    };
    let (first, last) = holes.remove(at);
    if sequence < last {
        holes.insert(at, (sequence.saturating_add(1), last));
    }
    if first < sequence {
        holes.insert(at, (first, sequence.saturating_sub(1)));
    }
}

/// The tree of one file.
#[derive(Default)]
struct Walk {
    tree: Frontier,
}

impl Walk {
    /// The size up to which it goes now, if it has grown.
    fn see(&mut self, seen: &Seen<'_>) -> Option<u64> {
        match seen {
            Seen::Entry(shown) => self.tree.push(shown.leaf),
            Seen::Gap(gap) => pass(&mut self.tree, gap),
            _ => return None,
        }
        Some(self.tree.size())
    }
}

/// Adds the hashes that stand for the entries of a gap.
pub(crate) fn pass(tree: &mut Frontier, gap: &Gap) {
    let places = tree::split(gap.first, gap.count);
    for ((_, level), hash) in places.into_iter().zip(&gap.hashes) {
        tree.push_subtree(*hash, level);
    }
}

impl Whole {
    /// The answer in a word.
    pub(super) fn verdict(&self) -> Verdict {
        match self.exit {
            UNREADABLE => Verdict::Unreadable,
            NO => Verdict::Faulty,
            _ if self.tied.is_some() && self.missing.is_empty() => Verdict::Intact,
            _ => Verdict::Unvouched,
        }
    }

    /// The one that speaks of most.
    pub(super) fn longest(&self) -> Option<&Archive> {
        self.archives.iter().max_by_key(|archive| archive.report.entries)
    }
}

impl Archive {
    /// Its file, without the folder.
    pub(super) fn called(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        out::safe(&name.to_string_lossy())
    }

    /// The exit code of it by itself.
    pub(super) fn exit(&self) -> u8 {
        verify::exit_code(self.report.verdict(), false)
    }

    /// The root over all entries up to its last.
    pub(super) fn root(&self) -> Option<Digest> {
        self.root
    }
}
