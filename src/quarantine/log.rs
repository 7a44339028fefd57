//! The side log: what is found out about a ledger that is halted, in signed records, each a file that appears whole or not at all.
//!
//! It is in no chain while the ledger is halted, so each record names the digest of the one before, and the first the last entry that
//! was good; the entry that resolves the quarantine carries the digest of the last.

use std::io;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::codec::{DecodeError, Reader, Writer, len_u64};
use crate::digest::Digest;
use crate::disk::{File, Folder};
use crate::id::EventId;
use crate::key::{KeyId, PublicKey, Purpose, Signature};
use crate::limit::SEQUENCE_MAX;
use crate::quarantine::Discontinuity;
use crate::quarantine::machine::{Logged, State};
use crate::signer::{Signer, Statement};

/// The folder within a ledger's directory that has a folder for each quarantine.
pub const FOLDER: &str = "quarantine";
/// Before the number in the name of a record.
const RECORD: &str = "record-";
/// Before the name of a file that proves by itself what is wrong.
pub(crate) const PROOF: &str = "proof-";
/// The name of a record that is being made.
const NEXT: &str = "record.next";
/// Bytes of a record.
const RECORD_MAX: u64 = 64 << 10;
const FORMAT: u64 = 1;
/// Bytes of a file that are read at once.
const BLOCK: usize = 1 << 20;

/// The name of the copy of a file that was set aside.
pub(crate) fn copy_name(name: &str) -> String {
    format!("copy-{name}")
}

/// Reads a file from end to end, and hands on each piece with its place. Gives its length and digest.
pub(crate) fn pass(
    from: &dyn File,
    mut each: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<(u64, Digest)> {
    let (mut at, mut hash, mut block) = (0, Sha256::new(), vec![0; BLOCK]);
    loop {
        let count = from.read_at(&mut block, at)?;
        let read = block.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Ok((at, Digest::new(hash.finalize().into())));
        }
        hash.update(read);
        each(read, at)?;
        at = at.saturating_add(len_u64(count));
    }
}

/// Copies a file into a folder: durable, but for its name, when this comes back. Gives its length and digest.
pub(crate) fn copy(from: &dyn File, to: &dyn Folder, name: &str) -> io::Result<(u64, Digest)> {
    let file = to.create(name)?;
    let copied = pass(from, |read, at| file.write_at(read, at))?;
    file.sync()?;
    Ok(copied)
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What was found first.
    Opened,
    /// What was found since.
    Finding,
    /// What was copied.
    Copied,
    /// What somebody has written down.
    Note,
    /// By which event it is about to be resolved.
    Resolving,
    /// By which entry it is resolved, or which chain goes on.
    Resolved,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Opened, Self::Finding, Self::Copied, Self::Note, Self::Resolving, Self::Resolved];

    const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Finding => "finding",
            Self::Copied => "copied",
            Self::Note => "note",
            Self::Resolving => "resolving",
            Self::Resolved => "resolved",
        }
    }
}

/// A record of a side log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// Digest of the one before; of the last good entry of the chain for the first.
    pub prior: Digest,
    /// When it was written: microseconds since 1970 by the wall clock.
    pub at_us: u64,
    /// What it is: `opened`, `finding`, `copied`, `note`, `resolving` or `resolved`.
    pub kind: &'static str,
    /// What it says: a map in deterministic CBOR.
    pub map: Vec<u8>,
    /// The key that has signed it. Whether the chain knows it is for the reader to ask.
    pub key: KeyId,
    /// Its own digest.
    pub digest: Digest,
}

/// A quarantine as its files tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its id.
    pub id: EventId,
    /// The chain.
    pub chain_id: Digest,
    /// Its records up to the first that cannot be used.
    pub entries: Vec<Entry>,
    /// What is wrong with the log, if anything is.
    pub damage: Option<String>,
    /// Names of the files that were set aside, and of those that prove what is wrong.
    pub copies: Vec<String>,
}

impl Case {
    /// What the log says.
    pub fn logged(&self) -> Logged {
        if self.damage.is_some() || self.entries.is_empty() {
            return Logged::Damaged;
        }
        let kind = self.entries.iter().rev().map(|entry| entry.kind);
        // A finding behind a resolution opens it again.
        let last = kind.into_iter().find(|kind| matches!(*kind, "opened" | "finding" | "resolved"));
        if last == Some(Kind::Resolved.name()) { Logged::Resolved } else { Logged::Open }
    }

    /// How a ledger stands that is not known to be sound.
    pub fn state(&self) -> State {
        let last = self.entries.iter().rev().map(|entry| entry.kind);
        let mut last = last.filter(|kind| !matches!(*kind, "note" | "copied"));
        match (self.successor(), last.next()) {
            (Some(_), _) => State::Ended,
            (None, Some("resolving")) => State::Resolving,
            (None, Some("resolved")) if self.damage.is_none() => State::Sound,
            _ => State::Halted,
        }
    }

    /// What was found first.
    pub fn discontinuity(&self) -> Option<Discontinuity> {
        Discontinuity::parse(&self.entries.first()?.map)
    }

    /// The event by which it is resolved, or about to be.
    pub fn resolution(&self) -> Option<EventId> {
        self.latest("event")
    }

    /// The chain that continues this one.
    pub fn successor(&self) -> Option<Digest> {
        let resolved = self.entries.iter().rev().find(|entry| entry.kind == "resolved")?;
        field(&resolved.map, "successor", |r| r.bytes_exact().map(Digest::new))
    }

    fn latest(&self, key: &str) -> Option<EventId> {
        let is_about = |entry: &&Entry| matches!(entry.kind, "resolving" | "resolved");
        let last = self.entries.iter().rev().find(is_about)?;
        field(&last.map, key, Reader::bytes_exact).and_then(EventId::from_bytes)
    }

    /// The digest of its last record: zeros if there is none.
    pub fn head(&self) -> Digest {
        self.entries.last().map_or(Digest::ZERO, |entry| entry.digest)
    }
}

/// A field of a map.
fn field<'m, T>(
    map: &'m [u8],
    wanted: &str,
    read: impl Fn(&mut Reader<'m>) -> Result<T, DecodeError>,
) -> Option<T> {
    let r = &mut Reader::new(map);
    for _ in 0..r.map().ok()? {
        if r.text().ok()? == wanted {
            return read(r).ok();
        }
        r.skip().ok()?;
    }
    None
}

/// The quarantines of the ledger in this folder, in the order of their ids.
pub fn cases(ledger: &dyn Folder) -> io::Result<Vec<Case>> {
    let folder = match ledger.folder(FOLDER, false) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut ids: Vec<EventId> = folder.names()?.iter().filter_map(|n| EventId::parse(n)).collect();
    ids.sort_unstable();
    let mut cases = Vec::new();
    for id in ids {
        let within = folder.folder(&id.to_string(), false)?;
        let names = within.names()?;
        // Without a record nothing was halted yet by whoever began it: the fault is found again.
        if names.iter().any(|name| name.starts_with(RECORD)) {
            cases.push(read(&*within, id, &names)?);
        }
    }
    Ok(cases)
}

fn read(folder: &dyn Folder, id: EventId, names: &[String]) -> io::Result<Case> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let is_kept = |name: &&String| name.starts_with("copy-") || name.starts_with(PROOF);
    let mut copies: Vec<String> = names.iter().filter(is_kept).cloned().collect();
    copies.sort_unstable();
    let mut case = Case { id, chain_id: Digest::ZERO, entries: Vec::new(), damage: None, copies };
    for (expected, number) in (0..).zip(numbers) {
        if number != expected {
            case.damage = Some(format!("expected record {expected}, found none"));
            break;
        }
        let file = folder.open(&name_of(number), false)?;
        let len = usize::try_from(file.len()?.min(RECORD_MAX)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        file.read_all_at(&mut bytes, 0)?;
        match parse(&bytes, &id) {
            Ok((chain_id, entry)) => {
                let before = case.entries.last();
                let is_next = entry.number == number
                    && before.is_none_or(|before| {
                        entry.prior == before.digest && chain_id == case.chain_id
                    });
                let is_first = (entry.kind == Kind::Opened.name()) == before.is_none();
                if !is_next || !is_first {
                    case.damage = Some(format!("record {number} does not follow the one before"));
                    break;
                }
                case.chain_id = chain_id;
                case.entries.push(entry);
            }
            Err(what) => {
                case.damage = Some(format!("record {number}: {what}"));
                break;
            }
        }
    }
    Ok(case)
}

fn name_of(number: u64) -> String {
    format!("{RECORD}{number:010}")
}

fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix(RECORD)?.parse().ok()?;
    (name_of(number) == name).then_some(number)
}

/// What a record is made of, but for its signature.
struct Unsigned<'r> {
    chain_id: &'r Digest,
    id: &'r EventId,
    number: u64,
    prior: &'r Digest,
    at_us: u64,
    kind: Kind,
    map: &'r [u8],
    public: &'r [u8; 32],
}

impl Unsigned<'_> {
    fn write(&self, w: &mut Writer, domain: Option<&str>) {
        w.array(9);
        match domain {
            Some(domain) => w.text(domain),
            None => w.uint(FORMAT),
        };
        w.bytes(self.chain_id.as_bytes()).bytes(self.id.as_bytes()).uint(self.number);
        w.bytes(self.prior.as_bytes()).uint(self.at_us).text(self.kind.name());
        w.bytes(self.map).bytes(self.public);
    }

    fn digest(&self) -> Digest {
        let mut w = Writer::new();
        self.write(&mut w, Some("sigchain1/finding\0"));
        Digest::of_cbor(&w)
    }
}

/// A record, whose signature was accepted.
fn parse(bytes: &[u8], id: &EventId) -> Result<(Digest, Entry), String> {
    let wrong = |error: DecodeError| error.to_string();
    let r = &mut Reader::new(bytes);
    r.array_exact(2).map_err(wrong)?;
    r.array_exact(9).map_err(wrong)?;
    if r.uint().map_err(wrong)? != FORMAT {
        return Err("another format: use the sigchain that wrote it, or a newer one".to_owned());
    }
    let chain_id = Digest::new(r.bytes_exact().map_err(wrong)?);
    let found: [u8; 16] = r.bytes_exact().map_err(wrong)?;
    if found != *id.as_bytes() {
        return Err("a record of another quarantine".to_owned());
    }
    let number = r.uint_max(SEQUENCE_MAX).map_err(wrong)?;
    let prior = Digest::new(r.bytes_exact().map_err(wrong)?);
    let at_us = r.uint_max(SEQUENCE_MAX).map_err(wrong)?;
    let name = r.text().map_err(wrong)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let kind = kind.ok_or("a record of a kind that is not known")?;
    let map = r.bytes().map_err(wrong)?;
    let public: [u8; 32] = r.bytes_exact().map_err(wrong)?;
    let signature = Signature::new(r.bytes_exact().map_err(wrong)?);
    r.finish().map_err(wrong)?;
    let unsigned = Unsigned {
        chain_id: &chain_id,
        id,
        number,
        prior: &prior,
        at_us,
        kind,
        map,
        public: &public,
    };
    let digest = unsigned.digest();
    let key = PublicKey::from_bytes(&public).map_err(|error| error.to_string())?;
    if !key.accepts(Purpose::Finding, &digest, &signature) {
        return Err("a signature that is not its key's".to_owned());
    }
    let (map, kind, key) = (map.to_vec(), kind.name(), key.id());
    Ok((chain_id, Entry { number, prior, at_us, kind, map, key, digest }))
}

/// A side log that is written.
pub(crate) struct Log<'s> {
    folder: Arc<dyn Folder>,
    chain_id: Digest,
    id: EventId,
    number: u64,
    prior: Digest,
    signer: &'s dyn Signer,
}

impl<'s> Log<'s> {
    /// A new log. `prior` is the digest of the last good entry.
    pub(crate) fn begin(
        ledger: &dyn Folder,
        (chain_id, id): (Digest, EventId),
        prior: Digest,
        signer: &'s dyn Signer,
    ) -> io::Result<Self> {
        let outer = ledger.folder(FOLDER, true)?;
        ledger.sync()?;
        let folder = outer.folder(&id.to_string(), true)?;
        outer.sync()?;
        Ok(Self { folder, chain_id, id, number: 0, prior, signer })
    }

    /// Goes on with the log of a quarantine.
    pub(crate) fn go_on(
        ledger: &dyn Folder,
        case: &Case,
        signer: &'s dyn Signer,
    ) -> io::Result<Self> {
        let folder = ledger.folder(FOLDER, false)?.folder(&case.id.to_string(), false)?;
        let (chain_id, id, prior) = (case.chain_id, case.id, case.head());
        Ok(Self { folder, chain_id, id, number: len_u64(case.entries.len()), prior, signer })
    }

    /// Where copies go.
    pub(crate) fn folder(&self) -> &dyn Folder {
        &*self.folder
    }

    /// Adds a record: durable when this comes back.
    pub(crate) fn add(&mut self, kind: Kind, at_us: u64, map: &[u8]) -> io::Result<()> {
        let unsigned = Unsigned {
            chain_id: &self.chain_id,
            id: &self.id,
            number: self.number,
            prior: &self.prior,
            at_us,
            kind,
            map,
            public: self.signer.public().as_bytes(),
        };
        let digest = unsigned.digest();
        let statement = Statement::Digest(Purpose::Finding, &digest);
        let signature = self.signer.sign(&statement).map_err(io::Error::other)?;
        if !statement.is_signed_by(self.signer.public(), &signature) {
            return Err(io::Error::other(
                "the signer gave a signature that its key does not accept",
            ));
        }
        let mut w = Writer::new();
        w.array(2);
        unsigned.write(&mut w, None);
        w.bytes(signature.as_bytes());
        let bytes = w.into_bytes();
        if len_u64(bytes.len()) > RECORD_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a record of more than 64 KiB",
            ));
        }
        self.folder.clear(NEXT)?;
        let file = self.folder.create(NEXT)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.folder.rename(NEXT, &name_of(self.number))?;
        self.folder.sync()?;
        self.number = self.number.saturating_add(1);
        self.prior = digest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;
    use crate::key::SigningKey;
    use crate::quarantine::{Detector, Fields, Phase};

    const CHAIN: Digest = Digest::new([7; 32]);

    fn event(n: u8) -> EventId {
        EventId::new(u64::from(n), [n; 10])
    }

    fn found() -> Discontinuity {
        Discontinuity {
            id: event(1),
            detected_us: 5,
            detector: Detector::Scrub,
            phase: Phase::Chain,
            code: "LINK".to_owned(),
            place: "segment-0000000001, byte 7".to_owned(),
            sequence: Some(3),
            expected: "a".to_owned(),
            found: "b".to_owned(),
            last_good: None,
            affected: 2,
        }
    }

    fn ledger(path: &std::path::Path) -> Arc<dyn Folder> {
        disk::create(&path.join("led"), disk::Lenience::default()).unwrap()
    }

    /// A log with records of these kinds, as it is read.
    fn logged(ledger: &dyn Folder, id: EventId, kinds: &[(Kind, &Fields)]) -> Case {
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        let mut log = Log::begin(ledger, (CHAIN, id), Digest::ZERO, &key).unwrap();
        for (kind, fields) in kinds {
            log.add(*kind, 9, &fields.encode()).unwrap();
        }
        cases(ledger).unwrap().into_iter().find(|case| case.id == id).unwrap()
    }

    #[test]
    fn a_case_stands_as_its_last_record_says_that_is_neither_note_nor_copy() {
        let place = tempfile::tempdir().unwrap();
        let ledger = ledger(place.path());
        let (mut by, mut on, mut more) = (Fields::default(), Fields::default(), Fields::default());
        by.text("a", "first").id("event", &event(2));
        on.digest("successor", &Digest::new([8; 32]));
        more.text("text", "x");
        let opened = found().fields();
        let steps: [(Kind, &Fields, Logged, State, Option<EventId>); 8] = [
            (Kind::Opened, &opened, Logged::Open, State::Halted, None),
            (Kind::Copied, &more, Logged::Open, State::Halted, None),
            (Kind::Resolving, &by, Logged::Open, State::Resolving, Some(event(2))),
            (Kind::Note, &more, Logged::Open, State::Resolving, Some(event(2))),
            (Kind::Resolved, &by, Logged::Resolved, State::Sound, Some(event(2))),
            (Kind::Copied, &more, Logged::Resolved, State::Sound, Some(event(2))),
            (Kind::Finding, &more, Logged::Open, State::Halted, Some(event(2))),
            (Kind::Resolved, &on, Logged::Resolved, State::Ended, None),
        ];
        for count in 1..=steps.len() {
            let kinds: Vec<_> = steps[..count].iter().map(|step| (step.0, step.1)).collect();
            let mut case = logged(&*ledger, event(10 + u8::try_from(count).unwrap()), &kinds);
            let (kind, _, logged, state, resolution) = steps[count - 1];
            assert_eq!(case.damage, None);
            assert_eq!(
                (case.logged(), case.state(), case.resolution()),
                (logged, state, resolution),
                "{kind:?}"
            );
            assert_eq!(case.discontinuity(), Some(found()));
            assert_eq!(case.successor().is_some(), state == State::Ended);
            assert_eq!(case.head(), case.entries[count - 1].digest);
            let names: Vec<_> = steps[..count].iter().map(|step| step.0.name()).collect();
            assert_eq!(case.entries.iter().map(|entry| entry.kind).collect::<Vec<_>>(), names);
            // Whose log is damaged is never sound.
            case.damage = Some("x".to_owned());
            let damaged = if state == State::Sound { State::Halted } else { state };
            assert_eq!((case.logged(), case.state()), (Logged::Damaged, damaged));
        }
        let said: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(said, ["opened", "finding", "copied", "note", "resolving", "resolved"]);
    }

    #[test]
    fn a_record_that_is_missing_doubled_or_of_another_log_is_damage() {
        let place = tempfile::tempdir().unwrap();
        let ledger = ledger(place.path());
        let (opened, more) = (found().fields(), Fields::default());
        let kinds = [(Kind::Opened, &opened), (Kind::Note, &more), (Kind::Note, &more)];
        let damage = |n: u8, kinds: &[(Kind, &Fields)], harm: &dyn Fn(&std::path::Path)| {
            logged(&*ledger, event(n), kinds);
            harm(&place.path().join("led").join(FOLDER).join(event(n).to_string()));
            let case =
                cases(&*ledger).unwrap().into_iter().find(|case| case.id == event(n)).unwrap();
            (case.entries.len(), case.damage)
        };
        assert_eq!(damage(20, &kinds, &|_| ()), (3, None));
        let (kept, what) =
            damage(21, &kinds, &|at| std::fs::remove_file(at.join(name_of(1))).unwrap());
        assert_eq!((kept, what.as_deref()), (1, Some("expected record 1, found none")));
        let twice = |at: &std::path::Path| {
            std::fs::copy(at.join(name_of(1)), at.join(name_of(2))).unwrap();
        };
        let follows = |n| Some(format!("record {n} does not follow the one before"));
        assert_eq!(damage(22, &kinds, &twice), (2, follows(2)));
        // What opens a log stands first and nowhere else.
        assert_eq!(damage(23, &[kinds[1]], &|_| ()), (0, follows(0)));
        assert_eq!(damage(24, &[kinds[0], kinds[0]], &|_| ()), (1, follows(1)));
        // A log of the same id in another chain, or with another past.
        let other = |chain_id: Digest, end: u8| {
            let key = SigningKey::from_seed(&[1; 32]).unwrap();
            let log = |prior| Log {
                folder: ledger
                    .folder(FOLDER, false)
                    .unwrap()
                    .folder(&event(end).to_string(), false)
                    .unwrap(),
                chain_id,
                id: event(end),
                number: 1,
                prior,
                signer: &key,
            };
            let case = logged(&*ledger, event(end), &[kinds[0]]);
            let prior = if chain_id == CHAIN { Digest::new([1; 32]) } else { case.head() };
            log(prior).add(Kind::Note, 9, &more.encode()).unwrap();
            let case =
                cases(&*ledger).unwrap().into_iter().find(|case| case.id == event(end)).unwrap();
            (case.entries.len(), case.damage)
        };
        assert_eq!(other(Digest::new([9; 32]), 25), (1, follows(1)));
        assert_eq!(other(CHAIN, 26), (1, follows(1)));
    }

    #[test]
    fn what_is_kept_beside_the_records_is_named() {
        let place = tempfile::tempdir().unwrap();
        let ledger = ledger(place.path());
        assert_eq!(cases(&*ledger).unwrap(), []);
        let opened = found().fields();
        let case = logged(&*ledger, event(30), &[(Kind::Opened, &opened)]);
        assert_eq!(case.copies, [""; 0]);
        let at = place.path().join("led").join(FOLDER).join(event(30).to_string());
        for name in [&copy_name("segment-0000000001"), "proof-1", "other", "record-1"] {
            std::fs::write(at.join(name), b"x").unwrap();
        }
        let case = cases(&*ledger).unwrap().remove(0);
        assert_eq!((case.entries.len(), case.damage), (1, None));
        assert_eq!(case.copies, ["copy-segment-0000000001", "proof-1"]);
    }

    #[test]
    fn a_record_has_64_kib_and_not_one_more() {
        let place = tempfile::tempdir().unwrap();
        let ledger = ledger(place.path());
        let opened = found().fields();
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        logged(&*ledger, event(40), &[(Kind::Opened, &opened)]);
        let at = place.path().join("led").join(FOLDER).join(event(40).to_string());
        let case = || cases(&*ledger).unwrap().remove(0);
        let add = |len: usize| {
            let mut log = Log::go_on(&*ledger, &case(), &key).unwrap();
            log.add(Kind::Note, 9, &vec![0; len]).map_err(|error| error.kind())
        };
        // What stands around the map is as long for this one as for the next.
        add(60_000).unwrap();
        let around = std::fs::metadata(at.join(name_of(1))).unwrap().len() - 60_000;
        let most = usize::try_from(RECORD_MAX - around).unwrap();
        assert_eq!(add(most + 1), Err(io::ErrorKind::InvalidInput));
        assert_eq!(add(most), Ok(()));
        assert_eq!(std::fs::metadata(at.join(name_of(2))).unwrap().len(), 64 << 10);
        assert_eq!((case().entries.len(), case().damage), (3, None));
    }

    #[test]
    fn a_folder_of_quarantines_that_cannot_be_read_is_not_one_that_is_not_there() {
        let place = tempfile::tempdir().unwrap();
        let ledger = ledger(place.path());
        assert_eq!(cases(&*ledger).unwrap(), []);
        std::fs::write(place.path().join("led").join(FOLDER), b"x").unwrap();
        assert!(cases(&*ledger).is_err());
    }

    #[test]
    fn a_copy_is_whole_however_many_pieces_it_is_read_in() {
        let place = tempfile::tempdir().unwrap();
        let ledger = ledger(place.path());
        let whole: Vec<u8> = (0..=BLOCK * 2).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let from = ledger.create("from").unwrap();
        from.write_at(&whole, 0).unwrap();
        let (len, digest) = copy(&*from, &*ledger, "to").unwrap();
        assert_eq!((len, digest), (2_097_153, Digest::of(&[&whole])));
        assert_eq!(std::fs::read(place.path().join("led/to")).unwrap(), whole);
    }
}
