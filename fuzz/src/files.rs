//! The files of a ledger and of the anchors beside it, one of them altered: no answer is wrong.

#[path = "place.rs"]
pub mod place;

use std::sync::LazyLock;

use sigchain::anchor::{Anchors as _, Claimed};
use sigchain::checkpoint::Checkpoint;
use sigchain::digest::Digest;
use sigchain::event::Event;
use sigchain::id::EventId;
use sigchain::index::{self, Content, FileShelf, Runs, Sealed, Source};
use sigchain::select::Filter;
use sigchain::store::Store as _;
use sigchain::tree::{Nodes, Shelf as _};

use place::{PLACE, Place, Ram, Script, WHOLE};

const SEGMENTS: [&str; 3] = ["segment-0000000002", "segment-0000000001", "segment-0000000000"];
const INDEXES: [&str; 4] = [
    "index/0000000000.index",
    "index/0000000001.index",
    "index/ids-0000000000-0000000000",
    "index/ids-0000000001-0000000001",
];
const BLOCK: usize = 4096;
const GUARD: usize = 16;

/// The ledger with this one of some files altered.
fn altered(names: &[&str], script: &Script<'_>, mend: impl Fn(&mut Vec<u8>)) -> Place {
    let place = WHOLE.place.copy();
    let name = names[script.which % names.len()];
    let other = names[(script.which + 1) % names.len()];
    let get = |name: &str| place.ledger.get(name).unwrap();
    let mut bytes = script.apply(&get(name), &get(other));
    if script.is_mended() {
        mend(&mut bytes);
    }
    place.ledger.set(name, bytes);
    place
}

/// A segment.
pub fn segment(data: &[u8]) {
    let Some(script) = Script::parse(data) else { return };
    let place = altered(&SEGMENTS, &script, |bytes| mend_frames(bytes));
    if let Ok(report) = place.verify() {
        WHOLE.is_told(&report);
    }
    if let Ok(view) = place.view() {
        // What is read is not verified: any answer will do.
        for id in &WHOLE.ids {
            let _ = view.find(id);
        }
        let _ = (view.last_seal(), view.entries());
        if let Ok(mut follow) = view.follow(&Filter::new()) {
            while let Ok(Some(_)) = follow.try_next() {}
        }
    }
    if script.flag(1) {
        WHOLE.goes_on(&place);
    }
    if script.flag(0)
        && let Ok(ledger) = place.open()
        && let Ok(receipt) = ledger.append(Event::new("agent:tester", "a.b").unwrap())
    {
        assert!(receipt.sequence >= u64::try_from(WHOLE.entries.len()).unwrap(), "a number twice");
        // If it is behind damage, nobody can tell.
        if let Ok(found) = ledger.find(&receipt.event_id) {
            assert_eq!(found, Some(receipt), "cannot be found again");
        }
    }
}

/// Gives frames the CRCs that their bytes want, as far as the stated lengths lead.
fn mend_frames(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(head) = bytes.get(at..at + 16) {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let end = at.saturating_add(16).saturating_add(usize::try_from(length).unwrap());
        let Some(body) = bytes.get(at + 16..end) else { break };
        let crc = crc32fast::hash(body).to_be_bytes();
        bytes[at + 8..at + 12].copy_from_slice(&crc);
        let crc = crc32fast::hash(&bytes[at..at + 12]).to_be_bytes();
        bytes[at + 12..at + 16].copy_from_slice(&crc);
        at = end;
    }
}

/// The record of what is durable.
pub fn durable(data: &[u8]) {
    let Some(script) = Script::parse(data) else { return };
    let place = altered(&["durable"], &script, |bytes| mend_record(bytes));
    let (found, whole) = (place.ledger.get("durable"), WHOLE.place.ledger.get("durable"));
    if let Ok(report) = place.verify() {
        WHOLE.is_told(&report);
    }
    // One that is whole and says something else is believed by readers; what they then read is still the chain's.
    let is_forged =
        found != whole && found.is_some_and(|bytes| guard_of(&bytes).is_some_and(|(a, b)| a == b));
    match place.view() {
        Ok(view) => WHOLE.answers(&view, is_forged),
        Err(error) => assert!(is_forged, "{error}"),
    }
    if script.flag(1) {
        WHOLE.goes_on(&place);
    }
}

/// What guards a record, and what should.
fn guard_of(bytes: &[u8]) -> Option<([u8; GUARD], [u8; GUARD])> {
    let end = 2 + usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
    let found = bytes.get(end..end + GUARD)?.try_into().ok()?;
    let wanted = *blake3::hash(bytes.get(..end)?).as_bytes().first_chunk()?;
    Some((found, wanted))
}

fn mend_record(bytes: &mut [u8]) {
    if let Some((_, wanted)) = guard_of(bytes) {
        let end = 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        bytes[end..end + GUARD].copy_from_slice(&wanted);
    }
}

/// Gives all blocks but the first, or the first too, the guards that their bytes want.
fn mend_blocks(bytes: &mut [u8]) {
    let room = BLOCK - GUARD;
    let key = bytes.get(..room).map(|head| *blake3::hash(head).as_bytes());
    for (number, block) in (0_u64..).zip(bytes.chunks_exact_mut(BLOCK)) {
        let key = if number == 0 { Some(*b"sigchain index: the first block.") } else { key };
        let mut hasher = blake3::Hasher::new_keyed(&key.unwrap());
        hasher.update(&block[..room]).update(&number.to_be_bytes());
        hasher.finalize_xof().fill(&mut block[room..]);
    }
}

/// A file of the index: of the ledger, whose answers stay right; or one of larger indexes, which answer rightly or not at all.
pub fn index(data: &[u8]) {
    let Some(script) = Script::parse(data) else { return };
    if script.flag(0) {
        let place = altered(&INDEXES, &script, |bytes| mend_blocks(bytes));
        let view = place.view().unwrap();
        WHOLE.answers(&view, script.is_mended());
    } else {
        LARGE.judge(&script);
    }
}

/// Indexes of more entries than the ledger has: of several blocks and levels.
struct Large {
    ram: Ram,
    sealed: Part,
    parts: Vec<Part>,
    leaves: u64,
    tree: Nodes,
}

static LARGE: LazyLock<Large> = LazyLock::new(Large::new);

/// A segment as its indexes know it.
struct Part {
    source: Source,
    offsets: Vec<u32>,
    ids: Vec<EventId>,
}

impl Part {
    fn new(ordinal: u64, first: u64, count: u64) -> Self {
        let id = |n: u64| {
            let digest = Digest::of(&[b"event", &n.to_be_bytes()]);
            EventId::new(1_795_150_800_000 + n / 3, *digest.as_bytes().first_chunk().unwrap())
        };
        let ids = (first..first + count).map(id).collect();
        let offsets = (0..u32::try_from(count).unwrap()).map(|n| 4096 + n * 417).collect();
        let head = Digest::of(&[b"the last entry", &ordinal.to_be_bytes()]);
        let source = Source { ordinal, first, count, length: 4096 + count * 417, head };
        Self { source, offsets, ids }
    }

    fn content(&self) -> Content<'_> {
        Content { source: self.source, offsets: &self.offsets, ids: &self.ids }
    }
}

fn chain() -> Digest {
    Digest::of(&[b"a chain"])
}

fn leaf(n: u64) -> Digest {
    Digest::of(&[&n.to_be_bytes()])
}

impl Large {
    fn new() -> Self {
        let ram = Ram::default();
        let sealed = Part::new(3, 1000, 1100);
        index::write(&*ram.open(), &chain(), &sealed.content()).unwrap();
        let parts: Vec<_> = (0..9).map(|n| Part::new(n, n * 45, 45)).collect();
        let runs = Runs::open(ram.open(), chain(), &[]).unwrap();
        for part in &parts {
            runs.add(&part.content()).unwrap();
        }
        while runs.merge_step().unwrap() {}
        let leaves = 1024;
        let (mut shelf, mut tree) =
            (Nodes::on(FileShelf::create(ram.open(), &chain())), Nodes::new());
        for n in 0..leaves {
            shelf.push(leaf(n));
            tree.push(leaf(n));
        }
        shelf.shelf_mut().flush().unwrap();
        Self { ram, sealed, parts, leaves, tree }
    }

    fn judge(&self, script: &Script<'_>) {
        let ram = self.ram.copy();
        let files = ram.files();
        let (name, bytes) = &files[script.which % files.len()];
        let other = &files[(script.which + 1) % files.len()].1;
        let mut bytes = script.apply(bytes, other);
        if script.is_mended() {
            mend_blocks(&mut bytes);
        }
        ram.set(name, bytes);
        let is_mended = script.is_mended();
        self.offsets(&ram, is_mended);
        self.ids(&ram, is_mended);
        self.nodes(&ram, is_mended);
    }

    fn offsets(&self, ram: &Ram, is_mended: bool) {
        let source = &self.sealed.source;
        let Some(sealed) = Sealed::open(&*ram.open(), &chain(), source).unwrap() else { return };
        for (n, right) in (source.first..).zip(&self.sealed.offsets) {
            let found = sealed.offset(n);
            assert!(is_mended || found.is_err() || found.is_ok_and(|at| at == *right), "entry {n}");
        }
        let _ = sealed.check().unwrap();
    }

    fn ids(&self, ram: &Ram, is_mended: bool) {
        let sources: Vec<_> = self.parts.iter().map(|part| part.source).collect();
        let runs = Runs::open(ram.open(), chain(), &sources).unwrap();
        let all = || self.parts.iter().flat_map(|part| part.ids.iter().zip(part.source.first..));
        for (id, n) in all() {
            if let Ok(found) = runs.find(id) {
                assert!(is_mended || found == Some(n), "{id}: {found:?} for {n}");
            }
            let (found, unknown) = runs.find_known(id);
            let is_unknown = unknown.iter().any(|range| range.contains(&(n / 45)));
            assert!(is_mended || found == Some(n) || (found.is_none() && is_unknown), "{id}");
        }
        // What is damaged is taken out and made again; then all answers are right.
        runs.check().unwrap();
        for ordinal in runs.missing().into_iter().flatten() {
            runs.add(&self.parts[usize::try_from(ordinal).unwrap()].content()).unwrap();
        }
        while runs.merge_step().unwrap() {}
        runs.sweep().unwrap();
        let runs = Runs::open(ram.open(), chain(), &sources).unwrap();
        for (id, n) in all().filter(|_| !is_mended) {
            assert_eq!(runs.find(id).unwrap(), Some(n), "{id}, made again");
        }
    }

    fn nodes(&self, ram: &Ram, is_mended: bool) {
        let opened = FileShelf::open(ram.open(), &chain(), self.leaves, true).unwrap();
        let Some(nodes) = opened else { return };
        for (level, index) in (8..11).flat_map(|level| (0..1024 >> level).map(move |n| (level, n)))
        {
            let right = self.tree.shelf().get(level, index);
            let found = nodes.get(level, index);
            // Each node has a guard of its own that is made with the first block.
            assert!(
                is_mended || found.is_none() || found == right,
                "node {index} of level {level}"
            );
        }
        let is_whole = nodes.check().unwrap();
        let leaf = |n| Some(leaf(n));
        if let Some(nodes) = Nodes::resume(&self.tree.frontier(), nodes, &leaf) {
            assert_eq!(nodes.root(), self.tree.root(), "another root");
            let path = nodes.inclusion(77, self.leaves, &leaf);
            let right = self.tree.inclusion(77, self.leaves, &leaf);
            assert!(is_mended || !is_whole || path == right, "another path");
        }
    }
}

/// A file of the anchors: a claim, which chain is at a place, which quarantine halts the ledger there.
pub fn anchor(data: &[u8]) {
    let Some(script) = Script::parse(data) else { return };
    let whole = &*WHOLE;
    let place = whole.place.copy();
    let files = place.home.files();
    let (name, bytes) = &files[script.which % files.len()];
    let altered = script.apply(bytes, &files[(script.which + 1) % files.len()].1);
    place.home.set(name, altered.clone());
    let local = place.local();
    match local.latest(&whole.chain_id) {
        Ok(claim) => {
            let claim = claim.expect("a claim that is there is never none");
            assert_eq!(claim.number, 3, "another number than the highest");
            let note = Checkpoint::parse(claim.note.as_bytes()).unwrap();
            assert!(note.origin().ends_with(&whole.chain_id.to_string()), "of another chain");
            assert!(!name.ends_with('3') || claim.note.as_bytes() == altered, "another text");
            let next = local.claim(&whole.chain_id, 4, &note);
            if matches!(next, Ok(Claimed::Held)) {
                let found = local.latest(&whole.chain_id).unwrap().unwrap();
                assert_eq!((found.number, found.note), (4, note.encode()));
            }
        }
        Err(error) => assert!(name.ends_with('3'), "{name}: {error}"),
    }
    if let Ok(found) = local.remembered(PLACE) {
        let (id, found) = found.expect("what is there is never nothing");
        assert!(
            !name.starts_with("places/")
                || altered == format!("{found}/{id}\n{PLACE}\n").as_bytes()
        );
    }
    if let Ok(found) = local.halted(PLACE) {
        let id = found.expect("what is there is never nothing");
        assert!(!name.starts_with("halts/") || altered == format!("{id}\n{PLACE}\n").as_bytes());
        assert!(name.starts_with("halts/") || id == whole.quarantine);
    }
    if name.starts_with("anchors/") {
        let place = Place { ledger: whole.place.ledger.copy(), home: place.home };
        if let Ok(report) = place.verify() {
            whole.is_told(&report);
        }
        if script.flag(1) {
            whole.goes_on(&place);
        }
    }
}
