//! `sigchain prove` and `sigchain checkpoint`: one entry, or all of a chain, for whoever has only the checkpoint key.

use std::io::Write as _;
use std::path::Path;

use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::frame::{Summary, Written};
use sigchain::point::Point;
use sigchain::proof::Proof;
use sigchain::replay::{Side, side};
use sigchain::tree;
use sigchain::verify::{Report, Seen, Shown};

use crate::args::{CheckpointOptions, ProveOptions, SignerOptions};
use crate::extract::cut::origin;
use crate::extract::not_written;
use crate::held;
use crate::ledger::{self, tell};
use crate::newfile::{self, NewFile};
use crate::out::{self, entries};
use crate::paths::Paths;
use crate::record::{Record, nothing};
use crate::signing::{Hand, of_signer};
use crate::trouble::Trouble;

/// What states the root that entries are proved by.
pub(super) enum By {
    /// A checkpoint that was kept elsewhere.
    Held(Box<Checkpoint>),
    /// One that is signed now.
    Key(Box<Hand>),
    /// The one that ends the file.
    End,
}

/// Opens a record, and finds what its entries are to be proved by.
pub(super) fn open(
    path: &Path,
    note: Option<&Path>,
    by: &SignerOptions,
) -> Result<(Record, By), Trouble> {
    let held = note.map(held::note).transpose()?;
    let record = Record::open(path, held.as_slice())?;
    let by = match (held, record.directory()) {
        (Some(held), _) => By::Held(Box::new(held)),
        (None, Some(directory)) => By::Key(Box::new(ledger::checkpoint_key(directory, by)?)),
        (None, None) => By::End,
    };
    Ok((record, by))
}

/// The tree that entries are proved to be in, while a record is read.
pub(super) struct Proving {
    by: By,
    pub(super) paths: Paths,
    /// The checkpoint that ends the file.
    end: Option<Checkpoint>,
}

impl Proving {
    pub(super) fn new(by: By) -> Self {
        Self { by, paths: Paths::default(), end: None }
    }

    /// Whether nothing more belongs to the tree.
    pub(super) fn is_full(&self) -> bool {
        self.limit().is_some_and(|limit| self.paths.size() >= limit)
    }

    /// So many entries can be proved, if not all.
    pub(super) fn limit(&self) -> Option<u64> {
        match &self.by {
            By::Held(held) => Some(held.size()),
            By::Key(_) | By::End => None,
        }
    }

    /// The key that signs, if one does.
    pub(super) fn key(&self) -> Option<&Hand> {
        match &self.by {
            By::Key(key) => Some(key),
            By::Held(_) | By::End => None,
        }
    }

    /// Adds an entry.
    pub(super) fn entry(&mut self, shown: &Shown<'_>, is_watched: bool) {
        if !self.is_full() {
            let leaf = tree::leaf_hash(&shown.item.digest(), &shown.written.signature);
            self.paths.push(leaf, is_watched);
        }
    }

    /// Adds what is no entry.
    pub(super) fn other(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Gap(gap) if !self.is_full() => {
                for ((_, level), hash) in tree::split(gap.first, gap.count).iter().zip(&gap.hashes)
                {
                    self.paths.push_subtree(*hash, *level);
                }
            }
            Seen::Ended(Summary::Signed(checkpoint)) => self.end = Some(checkpoint.clone()),
            _ => {}
        }
    }

    /// The checkpoint over the tree.
    pub(super) fn checkpoint(&self, report: &Report) -> Result<Checkpoint, Trouble> {
        match (&self.by, &self.end) {
            (By::Held(held), _) if self.paths.size() == held.size() => Ok((**held).clone()),
            (By::Held(held), _) => {
                let inside = entries(held.size());
                let what =
                    format!("the checkpoint of {inside} says nothing of the inside of a gap");
                Err(nothing(&what, "one at the size of which no gap stands", "give another one"))
            }
            (By::Key(key), _) => sign(report, key),
            (By::End, Some(end)) => Ok(end.clone()),
            (By::End, None) => {
                let what = "the end of the file is not signed: nothing states a root to prove by";
                let next = "give a checkpoint that you hold, --checkpoint NOTE, or have the file exported with --sign";
                Err(nothing(what, "a checkpoint", next))
            }
        }
    }

    /// What that is, in words.
    pub(super) fn basis(&self) -> &'static str {
        match self.by {
            By::Held(_) => "the checkpoint that you hold",
            By::Key(_) => "a checkpoint that was signed now",
            By::End => "the checkpoint at the end of the file",
        }
    }

    /// The same, for programs.
    pub(super) fn kind(&self) -> &'static str {
        match self.by {
            By::Held(_) => "held",
            By::Key(_) => "signed",
            By::End => "end",
        }
    }
}

/// A checkpoint over all of a record.
fn sign(report: &Report, key: &Hand) -> Result<Checkpoint, Trouble> {
    let root = report.root.ok_or_else(|| {
        let what = "no root is known over this ledger";
        Trouble::unreadable(what, "one over all entries", "sigchain verify LEDGER")
    })?;
    let checkpoint = Checkpoint::by_signer(&origin(report), report.entries, root, key);
    checkpoint.map_err(|error| of_signer(&error))
}

/// Prints it, or writes it into a new file.
fn answer(text: &str, output: Option<&Path>) -> Result<(), Trouble> {
    let Some(path) = output else { return out::print(text) };
    let failed = |error| not_written(path, &error);
    let mut file = NewFile::begin(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.finish().map_err(failed)
}

/// Refuses a name that is taken before anything is read.
fn is_free(output: Option<&Path>) -> Result<(), Trouble> {
    match output {
        Some(path) => newfile::is_free(path).map_err(|error| not_written(path, &error)),
        None => Ok(()),
    }
}

pub(crate) fn checkpoint(asked: &CheckpointOptions) -> Result<u8, Trouble> {
    let output = asked.output.as_deref();
    is_free(output)?;
    let mut record = Record::open(&asked.place.ledger, &[])?;
    let Some(directory) = record.directory() else {
        let what = "a file has no key to sign a checkpoint with";
        return Err(Trouble::usage(what, "a ledger, which is a directory"));
    };
    let key = ledger::checkpoint_key(directory, &asked.signing)?;
    let report = record.read(&mut |_| Ok(()))?;
    answer(&sign(&report, &key)?.encode(), output)?;
    if let Some(path) = output {
        let path = out::safe(&path.to_string_lossy());
        let all = entries(report.entries);
        tell(&format!("wrote a checkpoint of {all} of {} to \"{path}\"", out::safe(&report.name)));
    }
    Ok(0)
}

/// The entry that a point names, while entries come in order.
struct Search {
    point: Point,
    found: Option<Box<Written<'static>>>,
    is_over: bool,
}

impl Search {
    /// Whether this one is it, as far as can be known yet.
    fn takes(&mut self, written: &Written<'_>) -> bool {
        if self.is_over {
            return false;
        }
        let at = side(&self.point, &written.fields);
        self.is_over = at != Side::Before;
        // What names a time, or the head, means the last entry before something that is behind it.
        let is_moving = matches!(self.point, Point::Head | Point::Stamp(_) | Point::Time(_));
        let is_it = at == Side::At || (at == Side::Before && is_moving);
        if is_it {
            self.found = Some(Box::new(written.clone().into_owned()));
        }
        is_it
    }
}

pub(crate) fn run(asked: &ProveOptions) -> Result<u8, Trouble> {
    let (path, point) = asked.place()?;
    let output = asked.output.as_deref();
    is_free(output)?;
    let (mut record, by) = open(&path, asked.checkpoint.as_deref(), &asked.signing)?;
    let mut search = Search { point: record.settle(&point)?, found: None, is_over: false };
    let mut proving = Proving::new(by);
    let report = record.read(&mut |seen| {
        let Seen::Entry(shown) = seen else {
            proving.other(seen);
            return Ok(());
        };
        let before = search.found.as_ref().map(|written| written.fields.sequence);
        let is_it = search.takes(shown.written);
        if let Some(before) = before.filter(|_| is_it) {
            proving.paths.forget(before);
        }
        proving.entry(shown, is_it);
        Ok(())
    })?;
    let Some(written) = search.found else {
        let what = format!("no entry that is here is named by {point}");
        let next = "sigchain log LEDGER lists the entries";
        return Err(nothing(&what, "an entry of this record", next));
    };
    if !search.is_over && matches!(search.point, Point::Stamp(_) | Point::Time(_)) {
        let what = format!(
            "{point} lies behind the head: nobody can say which entry is the last before it"
        );
        return Err(nothing(&what, "a point of this record", "name another one, such as head"));
    }
    let checkpoint = proving.checkpoint(&report)?;
    let sequence = written.fields.sequence;
    let Some(hashes) = proving.paths.paths().remove(&sequence) else {
        let size = entries(checkpoint.size());
        let what = format!("entry {sequence} lies behind the checkpoint of {size}");
        return Err(nothing(&what, "an entry before it", "give a later checkpoint"));
    };
    let size = entries(checkpoint.size());
    let chain_id = report.chain_id.unwrap_or(Digest::ZERO);
    let proof = prove(*written, hashes, checkpoint, &chain_id)?;
    answer(&proof, output)?;
    tell(&format!(
        "entry {sequence} of {} is in the tree of {size}: {}",
        out::safe(&report.name),
        proving.basis()
    ));
    record.tell_basis(&report);
    Ok(0)
}

/// The text of a proof, which was held against the root before.
pub(super) fn prove(
    written: Written<'static>,
    path: Vec<Digest>,
    checkpoint: Checkpoint,
    chain_id: &Digest,
) -> Result<String, Trouble> {
    let entry = written.entry(chain_id);
    let leaf = tree::leaf_hash(&entry.digest(), entry.signature());
    let proof = Proof::new(written, path, checkpoint);
    proof.verify_leaf(&leaf).map_err(|error| {
        Trouble::unreadable(error.to_string(), "a proof that holds", "report this defect")
    })?;
    Ok(proof.encode())
}
