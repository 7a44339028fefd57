//! Ledgers with sealed segments, and stand-ins made by hand, as an independent hand would from the specification.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sigchain::chainfile;
use sigchain::digest::Digest;
use sigchain::directory::{Directory, Limits};
use sigchain::disk;
use sigchain::event::Event;
use sigchain::frame::{Frame, Gap, GapReason, Kind, Written};
use sigchain::id::EventId;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::limit;
use sigchain::tree::{self, Frontier};

pub const SOON: Duration = Duration::from_secs(10);
/// Bytes of the magic of a segment, and of a frame's head.
const MAGIC: usize = 8;
const HEAD: usize = 16;

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

pub fn genesis() -> Genesis {
    Genesis::new("example.org/kept", key(1)).checkpoints(key(2))
}

pub fn signers() -> Signers {
    Signers::new(key(1), key(2))
}

pub fn event(n: u64) -> Event {
    Event::new("agent:tester", "test.call").unwrap().correlation(&format!("{n:05}")).unwrap()
}

/// The id that the test gives to its n-th event.
pub fn id(n: u64) -> EventId {
    let [.., a, b] = n.to_be_bytes();
    EventId::new(1_700_000_000_000, [1, 1, 1, 1, 1, 1, 1, 1, a, b])
}

pub fn options() -> Options {
    let limits = Limits { bytes: 4096, ..Limits::default() };
    Options::new().files(Files::new().anchors(Vec::new()).limits(limits).wait(SOON))
}

pub fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("retention").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

/// A ledger with so many events in segments of some ten entries, closed.
pub fn ledger(name: &str, events: u64) -> PathBuf {
    let path = fresh(name);
    let ledger = Ledger::create_at(&path, genesis(), options()).unwrap();
    for n in 1..=events {
        ledger.append(event(n).id(id(n))).unwrap();
    }
    ledger.close(SOON).unwrap();
    path
}

pub fn open(path: &Path) -> Ledger {
    Ledger::open_at(path, signers(), options()).unwrap()
}

pub fn view(path: &Path) -> Directory {
    Directory::view(disk::open_to_read(path).unwrap()).unwrap()
}

pub fn segment(path: &Path, ordinal: u64) -> PathBuf {
    path.join(format!("segment-{ordinal:010}"))
}

pub fn standin(path: &Path, ordinal: u64) -> PathBuf {
    path.join(format!("standin-{ordinal:010}"))
}

/// A frame as it stands in a segment.
pub struct Found {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    left: u16,
}

/// The beginning of a segment, magic and all, and its frames.
pub fn frames(bytes: &[u8]) -> (Vec<u8>, Vec<Found>) {
    let len = |at: usize| {
        let length = bytes[at + 4..at + 8].try_into().unwrap();
        HEAD + usize::try_from(u32::from_be_bytes(length)).unwrap()
    };
    let mut at = MAGIC + len(MAGIC);
    let beginning = bytes[..at].to_vec();
    let mut found = Vec::new();
    while at < bytes.len() {
        let end = at + len(at);
        let kind = Kind::from_letter(bytes[at]).unwrap();
        let left = u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]);
        found.push(Found { kind, bytes: bytes[at..end].to_vec(), left });
        at = end;
    }
    (beginning, found)
}

fn written(frame: &Found) -> Written<'_> {
    Written::parse(frame.left, &frame.bytes[HEAD..]).unwrap()
}

/// The sequences of the entries in a segment.
pub fn sequences(path: &Path, ordinal: u64) -> Vec<u64> {
    let (_, frames) = frames(&fs::read(segment(path, ordinal)).unwrap());
    let entries = frames.iter().filter(|frame| frame.kind == Kind::Entry);
    entries.map(|frame| written(frame).fields.sequence).collect()
}

/// The bytes of a stand-in for a segment, with gaps for the entries that `drops` names.
pub fn standing_in(
    bytes: &[u8],
    chain_id: &Digest,
    reason: GapReason,
    drops: impl Fn(u64) -> bool,
) -> Vec<u8> {
    let (mut made, found) = frames(bytes);
    let mut leaves: Vec<(u64, Digest)> = Vec::new();
    let end_gap = |made: &mut Vec<u8>, leaves: &mut Vec<(u64, Digest)>| {
        let Some((first, _)) = leaves.first().copied() else { return };
        let count = u64::try_from(leaves.len()).unwrap();
        let roots = tree::split(first, count).into_iter().map(|(at, level)| {
            let mut tree = Frontier::new();
            let start = usize::try_from(at - first).unwrap();
            leaves[start..start + (1 << level)].iter().for_each(|(_, leaf)| tree.push(*leaf));
            tree.root()
        });
        let gap = Gap::new(first, count, reason, roots.collect()).unwrap();
        let (head, body) = chainfile::encode(&Frame::Gap(gap)).unwrap();
        made.extend([&head[..], &body].concat());
        leaves.clear();
    };
    for frame in &found {
        if frame.kind == Kind::Entry {
            let written = written(frame);
            let sequence = written.fields.sequence;
            let is_kept = sequence == 0 || limit::is_authority(&written.fields.event_type);
            if !is_kept && drops(sequence) {
                let entry = written.entry(chain_id);
                leaves.push((sequence, tree::leaf_hash(&entry.digest(), entry.signature())));
                continue;
            }
        }
        end_gap(&mut made, &mut leaves);
        made.extend(&frame.bytes);
    }
    end_gap(&mut made, &mut leaves);
    made
}

/// Puts a stand-in in the place of a segment, which is removed.
pub fn put(path: &Path, ordinal: u64, reason: GapReason, drops: impl Fn(u64) -> bool) {
    let chain_id = view(path).chain_id();
    let bytes = fs::read(segment(path, ordinal)).unwrap();
    write(&standin(path, ordinal), &standing_in(&bytes, &chain_id, reason, drops));
    fs::remove_file(segment(path, ordinal)).unwrap();
}

/// Writes a file as a ledger wants it.
pub fn write(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
