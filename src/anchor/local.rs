//! Anchors in a directory of this machine, by default in the user's home for sigchain.
//!
//! ```text
//! anchors/CHAINID/NUMBER    a claim: the note as it is; NUMBER has 20 digits
//! places/HASH               which chain is at a place: its origin, and the place
//! halts/HASH                which quarantine halts the ledger at a place: its id, and the place
//! ```
//!
//! A file gets its name when it is whole and durable, by a rename that replaces nothing; so a name is a claim, and what has
//! another name (`NUMBER-RANDOM.new`, after a crash) is nobody's.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::anchor::{Anchors, Claim, Claimed, FIRST, parse_note};
use crate::checkpoint::{Checkpoint, NOTE_MAX};
use crate::digest::Digest;
use crate::disk::{self, DiskError, Folder, Lenience};
use crate::id::EventId;
use crate::{keyfile, limit, text};

/// Claims of a chain that are kept; older ones are removed.
pub const KEPT: u64 = 64;

const ANCHORS: &str = "anchors";
const PLACES: &str = "places";
const HALTS: &str = "halts";
const DIGITS: usize = 20;

/// Anchors in a directory of this machine. Any number of processes may use it at once. A file system that has no rename that
/// replaces nothing (NFS) can be read, and each claim is an error.
#[derive(Clone, Debug)]
pub struct Local {
    root: Root,
}

#[derive(Clone, Debug)]
enum Root {
    /// Opened anew for each call: if somebody moves the directory and puts another in its place, all writers go there.
    Path(PathBuf, Lenience),
    Folder(Arc<dyn Folder>),
}

impl Local {
    /// The anchors in [`keyfile::home`], which need not be there yet.
    pub fn in_home(lenience: Lenience) -> io::Result<Self> {
        let home =
            keyfile::home().map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        Ok(Self::at(home, lenience))
    }

    /// The anchors in this directory, which need not be there yet: it is made, mode 0700, when something is first claimed or
    /// remembered.
    pub fn at(path: impl Into<PathBuf>, lenience: Lenience) -> Self {
        Self { root: Root::Path(path.into(), lenience) }
    }

    /// The anchors in this folder.
    pub fn within(folder: Arc<dyn Folder>) -> Self {
        Self { root: Root::Folder(folder) }
    }

    /// A folder, if it is there.
    fn find(&self, names: &[&str]) -> io::Result<Option<Arc<dyn Folder>>> {
        let open = || {
            let root = match &self.root {
                Root::Path(path, lenience) => disk::open(path, *lenience)?,
                Root::Folder(folder) => Arc::clone(folder),
            };
            names.iter().try_fold(root, |folder, name| folder.folder(name, false))
        };
        match open() {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A folder, made if it is not there, and durable with all above it.
    fn make(&self, names: &[&str]) -> io::Result<Arc<dyn Folder>> {
        let root = match &self.root {
            Root::Path(path, lenience) => make(path, *lenience)?,
            Root::Folder(folder) => Arc::clone(folder),
        };
        names.iter().try_fold(root, |folder, name| {
            let inner = folder.folder(name, true)?;
            // Also if it was there: who made it may not have come this far.
            folder.sync()?;
            Ok(inner)
        })
    }

    /// Where something is, for people.
    fn shown(&self, names: &[&str]) -> String {
        let mut path = match &self.root {
            Root::Path(path, _) => path.clone(),
            Root::Folder(_) => PathBuf::new(),
        };
        path.extend(names);
        path.to_string_lossy().into_owned()
    }

    /// The highest claim in a folder of claims.
    fn highest(&self, folder: &dyn Folder, chain_id: &Digest) -> io::Result<Option<Claim>> {
        let mut failed = None;
        loop {
            let Some(number) = self.highest_number(folder, chain_id)? else { return Ok(None) };
            let name = name_of(number);
            let claim = read(folder, &name).and_then(|note| {
                let place = self.shown(&[ANCHORS, &chain_id.to_string(), &name]);
                Claim::parse(&place, chain_id, number, &note)
            });
            match claim {
                Ok(claim) => return Ok(Some(claim)),
                Err(error) if failed == Some(number) => return Err(error),
                // It may have been removed since the names were read, by one who claimed a much higher number.
                Err(_) => failed = Some(number),
            }
        }
    }

    fn highest_number(&self, folder: &dyn Folder, chain_id: &Digest) -> io::Result<Option<u64>> {
        let mut highest = None;
        for name in folder.names()?.iter().filter(|name| is_digits(name)) {
            let number: u64 = name.parse().map_err(|_| {
                let place = self.shown(&[ANCHORS, &chain_id.to_string(), name]);
                let what = format!("expected a number up to {}, found a higher one", u64::MAX);
                DiskError::new("ANCHOR_DAMAGED", &place, what, "find out who made it; remove it")
                    .into_io(ErrorKind::InvalidData)
            })?;
            highest = highest.max(Some(number));
        }
        Ok(highest)
    }

    /// The error that claims which this writer built on are no longer there.
    fn lost(&self, chain_id: &Digest, number: u64, found: Option<&Claim>) -> io::Error {
        let place = self.shown(&[ANCHORS, &chain_id.to_string()]);
        let found = found.map_or("none".to_owned(), |claim| format!("claim {}", claim.number));
        let what = match number.checked_sub(FIRST) {
            None => format!("expected to claim a number from {FIRST} on, found {number}"),
            Some(0) => format!("expected claim {number} just made, found {found}"),
            Some(prior) => format!("expected claim {prior} as the latest, found {found}"),
        };
        let advice = "claims were removed or set back: restore them, or open the ledger again";
        DiskError::new("ANCHOR_LOST", &place, what, advice).into_io(ErrorKind::InvalidData)
    }
}

impl Anchors for Local {
    fn latest(&self, chain_id: &Digest) -> io::Result<Option<Claim>> {
        match self.find(&[ANCHORS, &chain_id.to_string()])? {
            Some(folder) => self.highest(&*folder, chain_id),
            None => Ok(None),
        }
    }

    fn claim(&self, chain_id: &Digest, number: u64, note: &Checkpoint) -> io::Result<Claimed> {
        let names = [ANCHORS, &chain_id.to_string()];
        let note = note.encode();
        // What could not be read back would stand in everybody's way.
        parse_note(chain_id, note.as_bytes()).map_err(|(code, what)| {
            let advice = "give a signed checkpoint of this chain";
            DiskError::new(code, &self.shown(&names), what, advice).into_io(ErrorKind::InvalidInput)
        })?;
        // The folders are made and synced before there is a first claim, so whoever finds a claim finds them durable.
        let folder = match number {
            FIRST => self.make(&names)?,
            _ => self.find(&names)?.ok_or_else(|| self.lost(chain_id, number, None))?,
        };
        match self.highest(&*folder, chain_id)? {
            Some(claim) if claim.number >= number => return Ok(Claimed::Taken(claim)),
            latest if latest.as_ref().map_or(FIRST, Claim::next) == number => {}
            latest => return Err(self.lost(chain_id, number, latest.as_ref())),
        }
        let is_mine = publish(&*folder, &name_of(number), note.as_bytes())?;
        // If this writer was paused since it looked, its number may have been claimed and removed in the meantime, and be free
        // again. Then there are higher ones: either the names show one, or 64 more came while they were read, and who made
        // those removed this claim before the ones that the names should have shown. So it counts if no higher one is seen,
        // and it is still there afterwards.
        match self.highest(&*folder, chain_id)? {
            Some(claim) if claim.number == number && is_mine && claim.note == note => {
                prune(&*folder, number);
                Ok(Claimed::Held)
            }
            Some(claim) if claim.number >= number => Ok(Claimed::Taken(claim)),
            latest => Err(self.lost(chain_id, number, latest.as_ref())),
        }
    }

    fn remember(&self, place: &str, chain_id: &Digest, name: &str) -> io::Result<()> {
        let record = record(place, chain_id, name);
        let hash = hash_of(place);
        if !limit::is_chain_name(name) || record.len() > NOTE_MAX {
            let (shown, length) = (text::shown(name, 256), record.len());
            let what = format!(
                "expected a chain's name and at most {NOTE_MAX} bytes, found {shown:?} and {length}"
            );
            let advice = "give the name in the chain's first entry, and a path";
            return Err(DiskError::new("PLACE_INVALID", &text::shown(place, 256), what, advice)
                .into_io(ErrorKind::InvalidInput));
        }
        if self.remembered(place)?.is_none() {
            publish(&*self.make(&[PLACES])?, &hash, record.as_bytes())?;
        }
        // Also if somebody else was faster.
        let found = self.remembered(place)?;
        if found.as_ref().is_some_and(|(id, found)| id == chain_id && found == name) {
            return Ok(());
        }
        let found = found.map_or("none".to_owned(), |(id, name)| format!("{name}/{id}"));
        let place = text::printable(place);
        let what = format!("expected chain {name}/{chain_id} at {place}, found {found}");
        let advice =
            "if that one is meant to be gone, `sigchain forget` it first (Ledger::forget_place)";
        let refused = DiskError::new("PLACE_TAKEN", &self.shown(&[PLACES, &hash]), what, advice);
        Err(refused.into_io(ErrorKind::AlreadyExists))
    }

    fn remembered(&self, place: &str) -> io::Result<Option<(Digest, String)>> {
        let Some(folder) = self.find(&[PLACES])? else { return Ok(None) };
        let hash = hash_of(place);
        let bytes = match read(&*folder, &hash) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = parse_record(place, &bytes).ok_or_else(|| {
            let place = text::printable(place);
            let what = format!("expected which chain is at {place}, found another text");
            let advice = "find out who wrote there, and set it aside";
            DiskError::new("PLACE_DAMAGED", &self.shown(&[PLACES, &hash]), what, advice)
                .into_io(ErrorKind::InvalidData)
        })?;
        Ok(Some(found))
    }

    fn forget(&self, place: &str) -> io::Result<()> {
        let Some(folder) = self.find(&[PLACES])? else { return Ok(()) };
        match folder.remove(&hash_of(place)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => folder.sync(),
        }
    }

    fn halt(&self, place: &str, quarantine: &EventId) -> io::Result<()> {
        let record = halt_record(place, quarantine);
        // One that stands there halts it already, and its log says why.
        publish(&*self.make(&[HALTS])?, &hash_of(place), record.as_bytes()).map(drop)
    }

    fn halted(&self, place: &str) -> io::Result<Option<EventId>> {
        let Some(folder) = self.find(&[HALTS])? else { return Ok(None) };
        let hash = hash_of(place);
        let bytes = match read(&*folder, &hash) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let id = text.lines().next().and_then(EventId::parse);
        let found = id.filter(|id| text == halt_record(place, id)).ok_or_else(|| {
            let place = text::printable(place);
            let what = format!("expected which quarantine halts {place}, found another text");
            let advice =
                "something halts it: see its folder quarantine, and find out who wrote here";
            DiskError::new("PLACE_DAMAGED", &self.shown(&[HALTS, &hash]), what, advice)
                .into_io(ErrorKind::InvalidData)
        })?;
        Ok(Some(found))
    }

    fn lift(&self, place: &str, quarantine: &EventId) -> io::Result<()> {
        if self.halted(place)?.is_none_or(|found| found != *quarantine) {
            return Ok(());
        }
        let Some(folder) = self.find(&[HALTS])? else { return Ok(()) };
        match folder.remove(&hash_of(place)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => folder.sync(),
        }
    }
}

fn halt_record(place: &str, quarantine: &EventId) -> String {
    format!("{quarantine}\n{}\n", text::printable(place))
}

/// Makes a directory and what is missing above it, and syncs each one's parent.
fn make(path: &Path, lenience: Lenience) -> io::Result<Arc<dyn Folder>> {
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
        && !parent.exists()
    {
        make(parent, lenience)?;
    }
    disk::create(path, lenience)
}

/// Puts a file in place, whole and durable, unless there is one of this name. Says whether it did.
fn publish(folder: &dyn Folder, name: &str, bytes: &[u8]) -> io::Result<bool> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    // Of no other process and no other attempt: what somebody else writes must never get a name by our rename.
    let temporary = format!("{name}-{}.new", text::hex(&random));
    let file = folder.create(&temporary)?;
    let written = file.write_at(bytes, 0).and_then(|()| file.sync());
    match written.and_then(|()| folder.rename(&temporary, name)) {
        Ok(()) => {
            folder.sync()?;
            Ok(true)
        }
        Err(error) => {
            // If this fails too, the file stays until a later claim removes it.
            let _ = folder.remove(&temporary);
            match error.kind() {
                // Not found: one who holds this number or a higher one removed it.
                ErrorKind::AlreadyExists | ErrorKind::NotFound => Ok(false),
                _ => Err(error),
            }
        }
    }
}

/// A file that is no larger than a note may be.
fn read(folder: &dyn Folder, name: &str) -> io::Result<Vec<u8>> {
    let file = folder.open(name, false)?;
    let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    // One byte more than a note may have is enough to be refused.
    let mut bytes = vec![0; length.min(NOTE_MAX + 1)];
    file.read_all_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Removes claims that are long past, and what crashes left behind. The claim of `held` stands; if this fails, a later one
/// does it.
fn prune(folder: &dyn Folder, held: u64) {
    let Ok(mut names) = folder.names() else { return };
    names.retain(|name| match name.split_at_checked(DIGITS) {
        Some((digits, rest)) if is_digits(digits) => digits.parse().is_ok_and(|number: u64| {
            if rest.is_empty() {
                number.saturating_add(KEPT) <= held
            } else {
                // Whose it is can no longer get its number.
                number <= held && is_temporary(rest)
            }
        }),
        _ => false,
    });
    // From the lowest up, and none while a lower one stays: `claim` relies on it.
    names.sort_unstable();
    for name in names {
        match folder.remove(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return,
            _ => {}
        }
    }
}

/// What a temporary file's name has behind the name that it was meant to get.
fn is_temporary(rest: &str) -> bool {
    let random = rest.strip_prefix('-').and_then(|rest| rest.strip_suffix(".new"));
    random.is_some_and(|random| text::parse_hex::<16>(random).is_some())
}

fn name_of(number: u64) -> String {
    format!("{number:0DIGITS$}")
}

fn is_digits(name: &str) -> bool {
    name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn hash_of(place: &str) -> String {
    Digest::of(&[b"sigchain1/place\0", place.as_bytes()]).to_string()
}

fn record(place: &str, chain_id: &Digest, name: &str) -> String {
    format!("{name}/{chain_id}\n{}\n", text::printable(place))
}

fn parse_record(place: &str, bytes: &[u8]) -> Option<(Digest, String)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (name, id) = text.lines().next()?.rsplit_once('/')?;
    let chain_id = Digest::new(text::parse_hex(id)?);
    let is_record = limit::is_chain_name(name) && text == record(place, &chain_id, name);
    is_record.then(|| (chain_id, name.to_owned()))
}
