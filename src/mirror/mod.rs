//! The mirror: a ledger as a live log of JSON lines, one entry a line, for `tail -f`, `grep`, `jq` and log shippers.
//!
//! It is written behind the ledger, from what is durable there, never read in its place, and never asked for: an append neither waits
//! for it nor fails with it. `spec/ledger.md` says what stands in its files; each verifies by itself.
//!
//! A file is a function of the chain and of the entry that it begins with, so that whatever was cut short, by a crash or by a
//! disk that is full, is completed with the very bytes that were missing. Nothing that others may have read is taken back. What
//! is no beginning of what should stand there is set aside, and the file written anew.
//!
//! [`Mirror`] writes when it is told to, [`Mirroring`] is a thread that does so for as long as it is wanted.

mod keep;
mod preface;
mod scan;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::disk::{DiskError, File, Folder};
use crate::frame::Written;
use crate::jsonl;
use crate::mirror::preface::Preface;
use crate::mirror::scan::Scan;
use crate::payload::Part;
use crate::store::Frames;

pub use crate::mirror::keep::{Mirroring, Progress};

/// The file that is being written. Its name stays the same, so that tools can follow it.
pub const CURRENT: &str = "chain.jsonl";
/// What could not be gone on with, the last one of its kind. No pattern for the mirror's files fits it.
pub const ASIDE: &str = "aside.jsonl";
/// The next file, until all that it begins with is in it: nobody who follows sees half of that.
const NEW: &str = "chain.new";

/// Bytes that are gathered before they are written.
const ENOUGH: usize = 256 << 10;
/// The same, to see a batch whole: until it is, a verifier would say that its end is missing.
const MOST: usize = 8 << 20;
/// Entries that are read at once, if they are small.
const BLOCK: usize = 256;

/// As much of a ledger as a mirror of it needs to know: what is durable, and nothing else.
pub trait Mirrored: fmt::Debug + Send + Sync {
    /// The chain's id.
    fn chain_id(&self) -> Digest;

    /// Number of durable entries: never fewer than before.
    fn size(&self) -> io::Result<u64>;

    /// Reads the frames of up to `count` durable entries from `first` on, in place of what `frames` held, and the seals that stand
    /// between them and right behind them: a file of the mirror that has gaps is vouched for only by a seal in it.
    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()>;

    /// The subtree roots that stand for the entries [first, first + count) in a gap, as [`crate::tree::Nodes::hashes`] has them.
    fn hashes(&self, first: u64, count: u64) -> io::Result<Vec<Digest>>;
}

/// How a mirror shall work.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { file_bytes: 64 << 20 }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes after which a file ends and the next begins; 64 MiB unless said otherwise. The gaps that a file begins with do not count, or a
    /// chain with many keys and erasures would have files that hold little else.
    #[must_use]
    pub fn file_bytes(self, bytes: u64) -> Self {
        Self { file_bytes: bytes }
    }
}

/// Writes a mirror, when it is told to.
pub struct Mirror {
    folder: Arc<dyn Folder>,
    of: Arc<dyn Mirrored>,
    options: Options,
    /// What the next file begins with; `None` if no file says which entries it must hold.
    preface: Option<Preface>,
    current: Option<Current>,
    at: Place,
    /// Why the file under the current name cannot be gone on with.
    damage: Option<String>,
    /// Whether a renaming failed, so that it is not known which file has which name.
    lost: bool,
    set_aside: Option<String>,
    block: usize,
    text: String,
}

/// The file that is being written.
struct Current {
    file: Box<dyn File>,
    /// Its first entry behind the gaps.
    first: u64,
    /// Bytes of lines that are known to be whole. Behind them a part of what comes next may stand.
    len: u64,
}

/// How far the mirror is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The entry that comes next.
    next: u64,
    /// Entries that are missing of the last one's batch.
    left: u16,
    /// Size of the last seal in the file.
    sealed: u64,
    /// Bytes of its entries behind the gaps: a file that has none of its own is not full.
    own: u64,
}

impl fmt::Debug for Mirror {
    /// Without the text: it is other people's payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Mirror {
    /// Locks the folder, and looks where the mirror in it ends. Writes nothing.
    ///
    /// A mirror that is ahead of its ledger, or of another one, is an error: either the ledger was rolled back, or the folder is not
    /// the right one, and the mirror may then be the only thing that shows it.
    pub fn open(
        folder: Arc<dyn Folder>,
        of: Arc<dyn Mirrored>,
        options: Options,
    ) -> io::Result<Self> {
        if !folder.lock()? {
            let what = "somebody else writes a mirror here";
            let advice = "give each ledger a folder of its own, or wait until the other is closed";
            return Err(DiskError::new("MIRROR_BUSY", CURRENT, what, advice)
                .into_io(io::ErrorKind::ResourceBusy));
        }
        let mut mirror = Self {
            folder,
            of,
            options,
            preface: None,
            current: None,
            at: Place::default(),
            damage: None,
            lost: false,
            set_aside: None,
            block: 1,
            text: String::new(),
        };
        mirror.find()?;
        Ok(mirror)
    }

    /// Looks where the mirror ends.
    fn find(&mut self) -> io::Result<()> {
        let names = self.folder.names()?;
        // Older files may have been taken away; of those that are there the newest says where the current one begins.
        let begun = names.iter().filter_map(|name| past_end(name)).max().unwrap_or(0);
        self.preface = self.preface.take().filter(|_| self.at.next == begun);
        (self.current, self.damage) = (None, None);
        self.at = Place { next: begun, ..Place::default() };
        if names.iter().any(|name| name == CURRENT) {
            let file = self.folder.open(CURRENT, true)?;
            let scan = Scan::of(&*file, CURRENT, &self.of.chain_id(), begun)?;
            self.agrees(&scan)?;
            self.take(file, scan, begun);
        }
        self.is_within(self.of.size()?)
    }

    /// Goes on with a file, or from where it began if it cannot be gone on with.
    fn take(&mut self, file: Box<dyn File>, scan: Scan, begun: u64) {
        let first = scan.first.max(begun);
        if let Some(what) = scan.damage.or_else(|| {
            let what = || format!("expected entries up to {begun}, found none from {}", scan.next);
            (scan.next < begun).then(what)
        }) {
            self.damage = Some(what);
            self.at = Place { next: first, ..Place::default() };
            return;
        }
        self.preface = Some(scan.preface);
        self.at = Place { next: scan.next, left: scan.left, sealed: scan.sealed, own: scan.own };
        self.current = Some(Current { file, first, len: scan.len });
    }

    /// The entry that it wants next: the number of those that it has.
    pub fn next(&self) -> u64 {
        self.at.next
    }

    /// What was last set aside, and why.
    pub fn set_aside(&self) -> Option<&str> {
        self.set_aside.as_deref()
    }

    /// Writes some of what is durable and not yet in the mirror. Says whether that was all.
    ///
    /// After an error the mirror is where it was, and the same call may be made again; what was written of the lines by then is
    /// gone on from.
    pub fn write(&mut self) -> io::Result<bool> {
        if self.lost {
            self.find()?;
            self.lost = false;
        }
        let size = self.of.size()?;
        self.is_within(size)?;
        if self.damage.is_some() {
            self.put_aside()?;
        }
        if self.current.is_none() {
            self.rotate()?;
        }
        let (mut at, mut noted) = self.gather(size)?;
        let is_over = self.is_full(&self.at) && self.at.next < size;
        // If a part of something stands at its end, that is completed first.
        if is_over && self.text.is_empty() && self.beyond()? == Some(0) {
            self.rotate()?;
            (at, noted) = self.gather(size)?;
        }
        if self.append()? {
            self.at = at;
            if let Some(preface) = &mut self.preface {
                preface.append(noted);
            }
        }
        Ok(self.damage.is_none() && self.at.next == size)
    }

    /// Makes durable what was written. Nothing depends on it: what a power cut takes is written again.
    pub fn sync(&mut self) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        current.file.sync().inspect_err(|error| {
            // A sync that failed may have dropped any part of the file, and another would not say so.
            self.damage = Some(format!("could not be made durable: {error}"));
        })
    }

    fn is_full(&self, at: &Place) -> bool {
        at.own >= self.options.file_bytes.max(1) && at.left == 0
    }

    /// Whether the ledger has all that the mirror has.
    fn is_within(&self, size: u64) -> io::Result<()> {
        if self.at.next <= size {
            return Ok(());
        }
        let last = self.at.next.saturating_sub(1);
        Err(ahead(format!(
            "expected at most {size} entries, as the ledger has, found entry {last}"
        )))
    }

    /// Whether the last entry of a file is that of the ledger, and with it, by their links, all before it.
    fn agrees(&self, scan: &Scan) -> io::Result<()> {
        let Some((sequence, found)) = scan.last else { return Ok(()) };
        let size = self.of.size()?;
        if sequence >= size {
            let what = format!(
                "expected at most {size} entries, as the ledger has, found entry {sequence}"
            );
            return Err(ahead(what));
        }
        let mut block = Frames::new();
        self.of.read(sequence, 1, &mut block)?;
        let frame = block.iter().next().ok_or_else(|| preface::missing(sequence))?;
        let expected = preface::parse(frame)?.entry(&self.of.chain_id()).digest();
        if expected == found {
            return Ok(());
        }
        Err(ahead(format!(
            "expected entry {sequence} to be {expected}, as in the ledger, found {found}"
        )))
    }

    /// Gathers the lines that come next: as many as are worth a write, and a batch whole if it is not too large. Says where the mirror is
    /// when they are written, and which of them no later file may elide.
    fn gather(&mut self, size: u64) -> io::Result<(Place, Preface)> {
        self.text.clear();
        let (mut at, mut noted) = (self.at, Preface::default());
        let mut block = Frames::new();
        // What was the ledger's last entry when it was written may have been sealed since.
        if let Some(last) = at.next.checked_sub(1).filter(|_| at.sealed < at.next && at.left == 0) {
            self.of.read(last, 1, &mut block)?;
            block.seals().try_for_each(|seal| self.push_seal(&mut at, seal))?;
        }
        while at.next < size && !self.is_full(&at) {
            let count = usize::try_from(size.saturating_sub(at.next)).unwrap_or(usize::MAX);
            self.of.read(at.next, count.min(self.block), &mut block)?;
            if block.is_empty() {
                return Err(preface::missing(at.next));
            }
            let mut seals = block.seals().peekable();
            for frame in block.iter() {
                if self.is_full(&at) {
                    return Ok((at, noted));
                }
                let mut written = preface::parse(frame)?;
                noted.note(&written);
                self.push_entry(&mut at, &mut written);
                while let Some(seal) = seals.next_if(|(size, _)| *size <= at.next) {
                    self.push_seal(&mut at, seal)?;
                }
            }
            // Payloads may have 16 MiB each: many at once are only read where they are small.
            let read: usize = block.iter().map(|stored| stored.body.len()).sum();
            self.block =
                if read > ENOUGH { self.block / 2 } else { self.block * 2 }.clamp(1, BLOCK);
            if self.text.len() >= ENOUGH && (at.left == 0 || self.text.len() >= MOST) {
                break;
            }
        }
        Ok((at, noted))
    }

    fn push_entry(&mut self, at: &mut Place, written: &mut Written<'_>) {
        // Who erased it may stand in another file, and a claim that a file cannot show would be a fault in it.
        if matches!(written.part, Part::Erased(_)) {
            written.part = Part::Withheld;
        }
        let start = self.text.len();
        jsonl::push_entry(&mut self.text, written);
        at.own = at.own.saturating_add(len_u64(self.text.len() - start));
        (at.next, at.left) = (written.fields.sequence.saturating_add(1), written.left);
    }

    /// Writes a seal if it stands here and is not written yet.
    fn push_seal(&mut self, at: &mut Place, (size, body): (u64, &[u8])) -> io::Result<()> {
        if size == at.next && at.sealed < size && at.left == 0 {
            jsonl::push(&mut self.text, &preface::parse_seal(size, body)?);
            at.sealed = size;
        }
        Ok(())
    }

    /// Bytes of the file behind the lines that are known; `None` if not even those are there.
    fn beyond(&self) -> io::Result<Option<u64>> {
        let Some(current) = &self.current else { return Ok(None) };
        Ok(current.file.len()?.checked_sub(current.len))
    }

    /// Writes what was gathered behind the whole lines. If something stands there it must be the beginning of just that, and only the
    /// rest is written. Says whether it could.
    fn append(&mut self) -> io::Result<bool> {
        let beyond = self.beyond()?;
        let text = self.text.as_bytes();
        let Some(current) = &mut self.current else { return Ok(false) };
        let Some(beyond) = beyond.filter(|beyond| *beyond == 0 || !text.is_empty()) else {
            let found = current.file.len()?;
            self.damage = Some(format!("expected {} bytes, found {found}", current.len));
            return Ok(false);
        };
        let beyond = usize::try_from(beyond).unwrap_or(usize::MAX).min(text.len());
        let mut there = vec![0; beyond];
        current.file.read_all_at(&mut there, current.len)?;
        let Some(rest) = text.strip_prefix(there.as_slice()) else {
            let (next, len) = (self.at.next, current.len);
            self.damage =
                Some(format!("expected entry {next} behind byte {len}, found another text"));
            return Ok(false);
        };
        if !rest.is_empty() {
            current.file.write_at(rest, current.len.saturating_add(len_u64(beyond)))?;
        }
        current.len = current.len.saturating_add(len_u64(text.len()));
        Ok(true)
    }

    /// Makes the file that begins with the entry that comes next, under a name that nobody follows.
    fn prepare(&mut self) -> io::Result<Current> {
        let first = self.at.next;
        let mut preface = match self.preface.take() {
            Some(preface) => preface,
            None => Preface::walk(&*self.of, first)?,
        };
        let text = preface.up_to(&*self.of, first);
        self.preface = Some(preface);
        let text = text?;
        unless_missing(self.folder.remove(NEW))?;
        let file = self.folder.create(NEW)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync()?;
        Ok(Current { file, first, len: len_u64(text.len()) })
    }

    /// Ends the current file, if there is one, and begins the next.
    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        let new = self.prepare()?;
        self.lost = true;
        if let Some(old) = self.current.take() {
            let name = past_name(old.first, self.at.next.saturating_sub(1));
            // Somebody else may have moved it already.
            unless_missing(self.folder.rename(CURRENT, &name))?;
        }
        self.folder.rename(NEW, CURRENT)?;
        self.folder.sync()?;
        self.lost = false;
        self.at = Place { next: new.first.max(1), ..Place::default() };
        self.current = Some(new);
        Ok(())
    }

    /// Moves the current file out of the way, to write it anew from where it began.
    fn put_aside(&mut self) -> io::Result<()> {
        unless_missing(self.folder.remove(ASIDE))?;
        unless_missing(self.folder.rename(CURRENT, ASIDE))?;
        if let Some(current) = self.current.take() {
            self.at = Place { next: current.first, ..Place::default() };
        }
        // It may know entries that are to be written again.
        self.preface = None;
        self.set_aside = self.damage.take();
        Ok(())
    }
}

fn ahead(what: String) -> io::Error {
    let advice =
        "find out which of the two is right: if it is the ledger, move the mirror's files away";
    DiskError::new("MIRROR_AHEAD", CURRENT, what, advice).into_io(io::ErrorKind::InvalidData)
}

/// That it is not there is as good.
fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The name of a file that has ended, by its first and last entry.
fn past_name(first: u64, last: u64) -> String {
    format!("chain-{first:016}-{last:016}.jsonl")
}

/// The entry after the last one of a file that has ended, by its name.
fn past_end(name: &str) -> Option<u64> {
    let (first, last) = name.strip_prefix("chain-")?.strip_suffix(".jsonl")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (past_name(first, last) == name).then(|| last.saturating_add(1))
}
