//! Segments that leave the directory, and come back: what may leave, the stand-in that takes a segment's place, and the outline of the
//! entries that have left. Where they go, and whether they are safe there, is for those to say who move them.
//!
//! An outline has the event and the leaf of each entry in the gaps of a stand-in, 48 bytes. It is made and synced before the stand-in is:
//! an event id that was used must stay used, and proofs must go on, when the indexes are gone too. A BLAKE3 hash guards it, and its
//! leaves must come to the hashes of the gaps; one that does not is none.

use std::io;
use std::sync::Arc;

use crate::chain;
use crate::chainfile::{self, HEAD};
use crate::codec::len_u64;
use crate::digest::Digest;
use crate::directory::{Directory, Piece, name_of, standin};
use crate::disk::{DiskError, Folder};
use crate::frame::{Frame, Gap, GapReason, Kind, Written};
use crate::id::EventId;
use crate::limit;
use crate::segment::Scanned;
use crate::stamp::Stamp;
use crate::tree::{self, Frontier};

/// What an outline is, and its format.
const MAGIC: &[u8; 8] = b"sigout-1";
/// Before the number in the name of an outline.
const OUTLINE: &str = "outline-";
/// Bytes of an entry in it: its event, and its leaf.
const RECORD: usize = 48;
/// Bytes of the hash at its end.
const GUARD: usize = 32;

/// A segment that may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Archivable {
    /// Its number.
    pub ordinal: u64,
    /// The sequence of its first entry.
    pub first: u64,
    /// How many it has.
    pub count: u64,
    /// Bytes of its file that belong to the chain.
    pub bytes: u64,
    /// The stamp of its last entry.
    pub last: Stamp,
}

/// Whether an entry stays when its segment leaves: whoever opens or verifies the chain, or asks what is held, needs it.
fn stays(sequence: u64, event_type: &str) -> bool {
    // Whether a quarantine is resolved is asked each time the ledger is opened; and where entries are must not be said only where they are.
    let kept = ["retention.", "quarantine.", "recovery.archived", "recovery.restored"];
    let is_kept = kept.iter().any(|family| event_type.starts_with(family));
    sequence == 0 || limit::is_authority(event_type) || is_kept
}

fn outline_name(ordinal: u64) -> String {
    format!("{OUTLINE}{ordinal:010}")
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// An entry that leaves: event and leaf.
pub(super) type Left = (EventId, Digest);

/// The hashes that stand for these leaves in a gap.
fn hashes(first: u64, leaves: &[Left]) -> Vec<Digest> {
    let mut rest = leaves;
    let root = |(_, level): (u64, u32)| {
        let count = usize::try_from(1_u64 << level).unwrap_or(usize::MAX).min(rest.len());
        let (own, behind) = rest.split_at(count);
        rest = behind;
        let mut tree = Frontier::new();
        for (_, leaf) in own {
            tree.push(*leaf);
        }
        tree.root()
    };
    tree::split(first, len_u64(leaves.len())).into_iter().map(root).collect()
}

/// The bytes of an outline.
fn encode(chain_id: &Digest, ordinal: u64, left: &[Left]) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], chain_id.as_bytes(), &ordinal.to_be_bytes()].concat();
    for (event, leaf) in left {
        bytes.extend_from_slice(event.as_bytes());
        bytes.extend_from_slice(leaf.as_bytes());
    }
    let guard = blake3::hash(&bytes);
    bytes.extend_from_slice(guard.as_bytes());
    bytes
}

/// The entries in the bytes of an outline, if they are what was written.
fn parse(bytes: &[u8], chain_id: &Digest, ordinal: u64) -> Option<Vec<Left>> {
    let (body, guard) = bytes.split_at_checked(bytes.len().checked_sub(GUARD)?)?;
    let head = [&MAGIC[..], chain_id.as_bytes(), &ordinal.to_be_bytes()].concat();
    let records = body.strip_prefix(head.as_slice())?;
    if blake3::hash(body).as_bytes() != guard || !records.len().is_multiple_of(RECORD) {
        return None;
    }
    let left = |record: &[u8]| {
        let (event, leaf) = record.split_first_chunk::<16>()?;
        Some((EventId::from_bytes(*event)?, Digest::new(leaf.try_into().ok()?)))
    };
    records.chunks(RECORD).map(left).collect()
}

/// What a segment leaves behind.
struct Stand {
    frames: Vec<u8>,
    left: Vec<Left>,
    /// Where in `left` the gap begins that is not ended yet.
    gap: usize,
}

impl Stand {
    /// Ends the gap before the entry with this sequence.
    fn end_gap(&mut self, next: u64) -> io::Result<()> {
        let leaves = self.left.get(self.gap..).unwrap_or_default();
        let count = len_u64(leaves.len());
        if count > 0 {
            let first = next.saturating_sub(count);
            let gap = Gap::new(first, count, GapReason::Archived, hashes(first, leaves));
            let gap = gap.ok_or_else(|| damaged(format!("no gap of {count} from {first} on")))?;
            self.frames.extend_from_slice(&standin::gap_frame(gap)?);
            self.gap = self.left.len();
        }
        Ok(())
    }

    /// Of a segment.
    fn of(piece: &Piece, end: u64) -> io::Result<Self> {
        let chain_id = piece.beginning.chain_id;
        let mut stand = Self { frames: Vec::new(), left: Vec::new(), gap: 0 };
        let mut scanner = piece.scanner(piece.start, end);
        let mut next = piece.beginning.first;
        loop {
            let found = match scanner.next()? {
                Scanned::End => break,
                Scanned::Damage(what) => {
                    return Err(damaged(format!(
                        "{}, byte {}: {what}",
                        piece.name(),
                        scanner.at()
                    )));
                }
                Scanned::Frame(found) => found,
            };
            let body = scanner.body();
            if found.kind == Kind::Entry {
                let written = Written::parse(found.left, body)
                    .map_err(|error| damaged(format!("entry {next}: {error}")))?;
                let sequence = written.fields.sequence;
                next = sequence.saturating_add(1);
                if !stays(sequence, &written.fields.event_type) {
                    let entry = written.entry(&chain_id);
                    let leaf = tree::leaf_hash(&entry.digest(), entry.signature());
                    stand.left.push((written.fields.event_id, leaf));
                    continue;
                }
                stand.end_gap(sequence)?;
            } else {
                stand.end_gap(next)?;
            }
            let head = chainfile::encode_head(found.kind, found.left, body)?;
            stand.frames.extend_from_slice(&head);
            stand.frames.extend_from_slice(body);
        }
        stand.end_gap(next)?;
        Ok(stand)
    }
}

/// Writes a new file, whole and synced, in the place of what an attempt has left.
fn write_new(folder: &dyn Folder, name: &str, bytes: &[u8]) -> io::Result<()> {
    folder.clear(name)?;
    let file = folder.create(name)?;
    file.write_at(bytes, 0)?;
    file.sync()
}

impl Directory {
    /// The segments that may leave, oldest first: those that are sealed, which the last never is, and have not left yet.
    pub fn archivable(&self) -> io::Result<Vec<Archivable>> {
        let sealed = self.last_seal()?.map_or(0, |seal| seal.state.size);
        let mut found = Vec::new();
        for (piece, source) in self.sources() {
            let end = source.first.saturating_add(source.count);
            if piece.is_stand_in || source.count == 0 || end > sealed {
                continue;
            }
            let mut frames = crate::store::Frames::new();
            self.read_frames(end.saturating_sub(1), 1, &mut frames)?;
            let frame = frames.get(0).ok_or_else(|| damaged(format!("no entry {}", end - 1)))?;
            let fields = crate::frame::fields(frame.body)
                .map_err(|error| damaged(format!("entry {}: {error}", end - 1)))?;
            let (ordinal, first, count) = (source.ordinal, source.first, source.count);
            found.push(Archivable {
                ordinal,
                first,
                count,
                bytes: source.length,
                last: fields.system_time,
            });
        }
        Ok(found)
    }

    /// Has a segment leave: its outline is made, a stand-in takes its place, and its file is removed. Whoever calls it has opened the
    /// directory to append, and holds all entries of the segment safely elsewhere. What an attempt that was broken off has left is taken
    /// up. Readers open the directory again.
    pub fn retire(&self, ordinal: u64) -> io::Result<()> {
        let (piece, end) = self.sealed_piece(ordinal)?;
        let stand = Stand::of(&piece, end)?;
        let outline = encode(&piece.beginning.chain_id, ordinal, &stand.left);
        write_new(&*self.folder, &outline_name(ordinal), &outline)?;
        let mut frames = Some(stand.frames);
        standin::put_stand_in(&*self.folder, &piece.beginning, &mut |block| {
            block.extend_from_slice(&frames.take().unwrap_or_default());
            Ok(false)
        })?;
        self.folder.remove(&name_of(ordinal))?;
        self.folder.sync()
    }

    /// Removes the files of segments that have left, where that was broken off. Says how many there were.
    pub fn finish_retiring(&self) -> io::Result<u64> {
        let names = self.folder.names()?;
        let mut removed = 0_u64;
        for piece in self.pieces().iter().filter(|piece| piece.is_stand_in) {
            let name = name_of(piece.beginning.ordinal);
            let has_archived =
                Self::gaps_of(piece)?.iter().any(|gap| gap.reason == GapReason::Archived);
            if has_archived && names.contains(&name) {
                self.folder.remove(&name)?;
                removed = removed.saturating_add(1);
            }
        }
        if removed > 0 {
            self.folder.sync()?;
        }
        Ok(removed)
    }

    fn sealed_piece(&self, ordinal: u64) -> io::Result<(Arc<Piece>, u64)> {
        let found =
            self.sources().into_iter().find(|(piece, _)| piece.beginning.ordinal == ordinal);
        let found = found.filter(|(piece, _)| !piece.is_stand_in);
        let found = found.and_then(|(piece, _)| Some((Arc::clone(&piece), piece.end?)));
        found.ok_or_else(|| damaged(format!("expected {}, sealed, found none", name_of(ordinal))))
    }

    fn gaps_of(piece: &Piece) -> io::Result<Vec<Gap>> {
        let mut gaps = Vec::new();
        let mut scanner = piece.scanner(piece.start, piece.file.len()?);
        while let Scanned::Frame(found) = scanner.next()? {
            if found.kind == Kind::Gap
                && let Ok(Frame::Gap(gap)) = Frame::parse(Kind::Gap, 0, scanner.body())
            {
                gaps.push(gap);
            }
        }
        Ok(gaps)
    }

    /// The ranges that have left, oldest first: number of the stand-in, and the gap.
    pub fn archived(&self) -> io::Result<Vec<(u64, Gap)>> {
        let mut all = Vec::new();
        for piece in self.pieces().iter().filter(|piece| piece.is_stand_in) {
            let gaps = Self::gaps_of(piece)?.into_iter();
            let gaps = gaps.filter(|gap| gap.reason == GapReason::Archived);
            all.extend(gaps.map(|gap| (piece.beginning.ordinal, gap)));
        }
        Ok(all)
    }

    /// Events and leaves of the entries in these gaps of a stand-in, by its outline; nothing if there is none that is sound.
    pub(super) fn outline(&self, ordinal: u64, gaps: &[Gap]) -> Option<Vec<Left>> {
        let file = self.folder.open(&outline_name(ordinal), false).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        file.read_all_at(&mut bytes, 0).ok()?;
        let left = parse(&bytes, &self.chain_id(), ordinal)?;
        let mut rest = left.as_slice();
        for gap in gaps {
            let (own, behind) = rest.split_at_checked(usize::try_from(gap.count).ok()?)?;
            if hashes(gap.first, own) != gap.hashes {
                return None;
            }
            rest = behind;
        }
        rest.is_empty().then_some(left)
    }

    /// Whether [`Directory::bring_back`] would take these entries: an error says why not. Changes nothing.
    pub fn check_back(
        &self,
        ordinal: u64,
        entries: &mut dyn Iterator<Item = io::Result<Written<'static>>>,
    ) -> io::Result<()> {
        self.segment_of(ordinal, entries).map(drop)
    }

    /// The stand-in of a segment, and the bytes of the segment with the entries of its gaps.
    fn segment_of(
        &self,
        ordinal: u64,
        entries: &mut dyn Iterator<Item = io::Result<Written<'static>>>,
    ) -> io::Result<(Arc<Piece>, Vec<u8>)> {
        let pieces = self.pieces();
        let piece = pieces.iter().find(|p| p.beginning.ordinal == ordinal && p.is_stand_in);
        let piece = piece.ok_or_else(|| damaged(format!("{} has not left", name_of(ordinal))))?;
        let mut bytes = piece.beginning.encode();
        let mut scanner = piece.scanner(piece.start, piece.file.len()?);
        while let Scanned::Frame(found) = scanner.next()? {
            let body = scanner.body();
            if found.kind == Kind::Gap {
                let Ok(Frame::Gap(gap)) = Frame::parse(Kind::Gap, 0, body) else {
                    return Err(damaged("a gap that cannot be read".to_owned()));
                };
                put_entries(&mut bytes, &gap, &piece.beginning.chain_id, entries)?;
            } else {
                bytes.extend_from_slice(&chainfile::encode_head(found.kind, found.left, body)?);
                bytes.extend_from_slice(body);
            }
        }
        Self::check_length(&pieces, ordinal, len_u64(bytes.len()))?;
        Ok((Arc::clone(piece), bytes))
    }

    /// Brings a segment back whose entries have left. `entries` gives those of its gaps, in order. Nothing is changed before all of
    /// them are there and come to the hashes that stand for them.
    pub fn bring_back(
        &self,
        ordinal: u64,
        entries: &mut dyn Iterator<Item = io::Result<Written<'static>>>,
    ) -> io::Result<()> {
        let (piece, bytes) = self.segment_of(ordinal, entries)?;
        write_new(&*self.folder, standin::NEXT, &bytes)?;
        self.folder.clear(&name_of(ordinal))?;
        self.folder.rename(standin::NEXT, &name_of(ordinal))?;
        self.folder.sync()?;
        // From here on either is the whole truth; the stand-in counts as long as it is there.
        self.folder.remove(&piece.name())?;
        self.folder.sync()?;
        self.folder.clear(&outline_name(ordinal))
    }

    /// Whether the segment would be as long as the one behind it says that it was.
    fn check_length(pieces: &[Arc<Piece>], ordinal: u64, found: u64) -> io::Result<()> {
        let next = pieces.iter().find(|piece| {
            piece.beginning.accepted.is_some()
                && piece.beginning.ordinal == ordinal.saturating_add(1)
        });
        match next.and_then(|next| next.beginning.accepted) {
            Some(accepted) if accepted == found => Ok(()),
            accepted => {
                let what =
                    format!("expected {accepted:?} bytes of {}, found {found}", name_of(ordinal));
                let advice = "bring it back from an archive that has all payloads as they were";
                let error = DiskError::new("ARCHIVE_DIFFERS", &name_of(ordinal), what, advice);
                Err(error.into_io(io::ErrorKind::InvalidData))
            }
        }
    }
}

/// Adds the frames of the entries of a gap, if they are those.
fn put_entries(
    bytes: &mut Vec<u8>,
    gap: &Gap,
    chain_id: &Digest,
    entries: &mut dyn Iterator<Item = io::Result<Written<'static>>>,
) -> io::Result<()> {
    let mut left = Vec::new();
    for sequence in gap.first..gap.end() {
        let written =
            entries.next().unwrap_or_else(|| Err(damaged(format!("no entry {sequence}"))))?;
        let fields = &written.fields;
        let is_whole = written.part.commitment() == Some(fields.payload_hash)
            || matches!(written.part, crate::payload::Part::Erased(_));
        if fields.sequence != sequence || !is_whole || chain::changes_keys(&fields.event_type) {
            let found = fields.sequence;
            return Err(damaged(format!(
                "expected entry {sequence} with its payload, found entry {found}"
            )));
        }
        let entry = written.entry(chain_id);
        left.push((fields.event_id, tree::leaf_hash(&entry.digest(), entry.signature())));
        let body = crate::frame::entry_body(fields, &written.signature, &written.part);
        let head: [u8; HEAD] = chainfile::encode_head(Kind::Entry, written.left, &body)?;
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&body);
    }
    if hashes(gap.first, &left) == gap.hashes {
        return Ok(());
    }
    let (first, end) = (gap.first, gap.end());
    let what = format!("expected entries {first} to {end} of this ledger, found others");
    let advice = "give the archive that the ledger's entry recovery.archived names";
    let error = DiskError::new("ARCHIVE_DIFFERS", "the archive", what, advice);
    Err(error.into_io(io::ErrorKind::InvalidData))
}
