//! Files made from valid ones by a script of edits.
//!
//! A script is bytes: which file, in which form, what is held, what to make right again, then edits of frames up to a
//! zero byte, then, if it says so, edits of the file's bytes. Frames have lengths and CRCs that are right unless an edit
//! spoils them; commitments, links, stamps, approvals, signatures, roots and counts are made right as the script says, so
//! that a verifier gets behind the edit.

#[path = "mend.rs"]
mod mend;
#[path = "value.rs"]
mod value;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use sigchain::chainfile::{Form, MAGIC};
use sigchain::checkpoint::{Checkpoint, Seal, SealState};
use sigchain::codec::DecodeError;
use sigchain::digest::Digest;
use sigchain::entry::{Linked, Place};
use sigchain::event::Event;
use sigchain::frame::{Attachment, Frame, Gap, GapReason, Kind, Summary, Target, Trailer, Written};
use sigchain::id::EventId;
use sigchain::jsonl;
use sigchain::key::{KeyId, Role, SigningKey};
use sigchain::payload::{Part, Payload, Slot};
use sigchain::reserved::{self, Cause, KeyRecord, Reason, Reserved, Trusted};
use sigchain::stamp::Stamp;
use sigchain::tree;
use sigchain::verify::Anchors;

/// Files to begin with: small, and without fault.
const SEEDS: [&[u8]; 32] = [
    include_bytes!("../../spec/vectors/every-kind"),
    include_bytes!("../../spec/vectors/genesis-only"),
    include_bytes!("../../spec/vectors/all-fields"),
    include_bytes!("../../spec/vectors/batch-whole"),
    include_bytes!("../../spec/vectors/keys-several"),
    include_bytes!("../../spec/vectors/key-rotated"),
    include_bytes!("../../spec/vectors/key-lost"),
    include_bytes!("../../spec/vectors/key-compromised-in-time"),
    include_bytes!("../../spec/vectors/key-operators"),
    include_bytes!("../../spec/vectors/checkpoint-key-rotated"),
    include_bytes!("../../spec/vectors/approval-by-checkpoint-key"),
    include_bytes!("../../spec/vectors/abandoned-signer"),
    include_bytes!("../../spec/vectors/abandoned-torn"),
    include_bytes!("../../spec/vectors/payload-erased"),
    include_bytes!("../../spec/vectors/payload-fields"),
    include_bytes!("../../spec/vectors/payload-fields-one-hidden"),
    include_bytes!("../../spec/vectors/payload-withheld"),
    include_bytes!("../../spec/vectors/payload-empty"),
    include_bytes!("../../spec/vectors/gap-selection"),
    include_bytes!("../../spec/vectors/gap-in-batch"),
    include_bytes!("../../spec/vectors/gap-range"),
    include_bytes!("../../spec/vectors/open-families"),
    include_bytes!("../../spec/vectors/unsigned-trailer"),
    include_bytes!("../../spec/vectors/succession"),
    include_bytes!("../../spec/vectors/attachment-of-file"),
    include_bytes!("../../spec/vectors/anchor-checkpoint"),
    include_bytes!("../../spec/vectors/every-kind-lines"),
    include_bytes!("../../spec/vectors/all-fields-lines"),
    include_bytes!("../../spec/vectors/open-lines"),
    include_bytes!("../../spec/vectors/attachment-lines"),
    include_bytes!("../../spec/vectors/payload-encrypted-lines"),
    include_bytes!("../../spec/vectors/payload-fields-one-hidden-lines"),
];

const PIECES_MAX: usize = 64;
const EDITS_MAX: usize = 24;

static STARTS: LazyLock<Vec<Start>> =
    LazyLock::new(|| SEEDS.iter().map(|vector| Start::of(vector)).collect());

/// The keys of the vectors, which sign again what was changed.
static KEYS: LazyLock<BTreeMap<KeyId, SigningKey>> = LazyLock::new(|| {
    let keys = (1..=21).map(|seed| SigningKey::from_seed(&[seed; 32]).unwrap());
    keys.map(|key| (key.id(), key)).collect()
});

/// One frame, perhaps a wrong one.
#[derive(Clone)]
pub struct Piece {
    letter: u8,
    left: u16,
    body: Vec<u8>,
    /// Which CRC is to be wrong: 1 the body's, 2 the head's.
    flaw: u8,
    /// The reason of the gap that is to stand in its place, plus 1.
    hidden: u8,
    /// What is not to be made right.
    kept: u8,
}

impl Piece {
    pub fn of(frame: &Frame<'_>) -> Self {
        Self::raw(frame.kind().letter(), frame.left(), frame.body())
    }

    fn raw(letter: u8, left: u16, body: Vec<u8>) -> Self {
        Self { letter, left, body, flaw: 0, hidden: 0, kept: 0 }
    }

    pub fn parse(&self) -> Result<Frame<'_>, DecodeError> {
        let kind = Kind::from_letter(self.letter);
        let kind = kind.ok_or(DecodeError::new(0, "a kind of frame", "another letter"))?;
        Frame::parse(kind, self.left, &self.body)
    }

    fn line(&self) -> Vec<u8> {
        match (self.parse(), Kind::from_letter(self.letter)) {
            (Ok(frame), _) if self.flaw == 0 => jsonl::encode(&frame).into_bytes(),
            (_, Some(Kind::Entry)) => b"{\"actor\":\"\"}\n".to_vec(),
            (_, Some(kind)) => format!("{{\"frame\":\"{}\"}}\n", kind.name()).into_bytes(),
            (_, None) => b"{\"frame\":\"other\"}\n".to_vec(),
        }
    }
}

/// A frame of any bytes, with CRCs that are right.
pub fn framed(letter: u8, left: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![letter, 0];
    out.extend(left.to_be_bytes());
    out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    out.extend(crc32fast::hash(body).to_be_bytes());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend(body);
    out
}

/// A file of frames.
pub fn assemble(form: Form, pieces: &[Piece]) -> Vec<u8> {
    if form == Form::JsonLines {
        return pieces.iter().flat_map(Piece::line).collect();
    }
    let mut out = MAGIC.to_vec();
    for piece in pieces {
        let at = out.len();
        out.extend(framed(piece.letter, piece.left, &piece.body));
        match piece.flaw {
            0 => (),
            // The body's CRC stands in the head, whose own is over it.
            1 => {
                out[at + 8] ^= 1;
                let crc = crc32fast::hash(&out[at..at + 12]).to_be_bytes();
                out[at + 12..at + 16].copy_from_slice(&crc);
            }
            _ => out[at + 12] ^= 1,
        }
    }
    out
}

/// Header, entry 0 and trailer.
pub fn genesis_only() -> Vec<Piece> {
    STARTS[1].pieces.clone()
}

/// A file to begin with, and what its owner holds.
struct Start {
    form: Form,
    pieces: Vec<Piece>,
    chain_id: Digest,
    checkpoints: Vec<Checkpoint>,
}

impl Start {
    fn of(vector: &[u8]) -> Self {
        let end = vector.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let file = &vector[end + 2..];
        let is_binary = file.starts_with(&MAGIC);
        let pieces = if is_binary { pieces_of(file) } else { pieces_of_lines(file) };
        let mut checkpoints = Vec::new();
        let mut chain_id = Digest::ZERO;
        for piece in &pieces {
            match piece.parse().unwrap() {
                Frame::Header { chain_id: id, .. } => chain_id = id,
                Frame::Checkpoint(checkpoint) => checkpoints.push(checkpoint),
                Frame::Trailer(Trailer { summary: Summary::Signed(checkpoint), .. }) => {
                    checkpoints.push(checkpoint);
                }
                _ => (),
            }
        }
        let form = if is_binary { Form::ChainFile } else { Form::JsonLines };
        Self { form, pieces, chain_id, checkpoints }
    }
}

fn pieces_of(file: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = &file[MAGIC.len()..];
    while let Some((head, more)) = rest.split_first_chunk::<16>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let (body, more) = more.split_at(usize::try_from(length).unwrap());
        let left = u16::from_be_bytes([head[2], head[3]]);
        pieces.push(Piece::raw(head[0], left, body.to_vec()));
        rest = more;
    }
    pieces
}

fn pieces_of_lines(file: &[u8]) -> Vec<Piece> {
    let lines = file.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
    lines.map(|line| Piece::of(&jsonl::parse(line).unwrap())).collect()
}

/// Reads a script; behind its end there are zeros.
struct Script<'a> {
    rest: &'a [u8],
}

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *byte
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A number below `bound`, or 0. Small bounds take one byte.
    fn below(&mut self, bound: usize) -> usize {
        let number = if bound <= 256 { u16::from(self.byte()) } else { self.word() };
        usize::from(number).checked_rem(bound).unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte() % 64).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        bytes.to_vec()
    }

    /// A number: small ones, those at limits, or any.
    fn number(&mut self) -> u64 {
        const LIMITS: [u64; 14] = [
            23,
            24,
            255,
            256,
            0xffff,
            0x1_0000,
            0xffff_ffff,
            0x1_0000_0000,
            (1 << 53) - 1,
            1 << 53,
            (1 << 53) + 1,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
        ];
        match self.byte() {
            small @ 0..=0xbf => u64::from(small % 8),
            small @ 0xc0..=0xdf => u64::from(small % 32),
            0xe0..=0xfd => self.pick(&LIMITS),
            _ => (0..8).fold(0, |number, _| (number << 8) | u64::from(self.byte())),
        }
    }

    fn key(&mut self) -> SigningKey {
        let seed = self.pick(&[1, 1, 1, 1, 2, 2, 3, 4, 5, 13, 13, 14, 14, 15, 20, 21]);
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    /// A frame's place: most often behind header and entry 0, without which nothing is judged.
    fn place(&mut self, len: usize) -> usize {
        match self.byte() {
            rare @ 0xf8.. => usize::from(rare & 1).min(len),
            byte => 2 + usize::from(byte).checked_rem(len.saturating_sub(2)).unwrap_or(0),
        }
    }

    /// What is to be made right: most often everything.
    fn mask(&mut self) -> u8 {
        match self.byte() {
            0xe0.. => self.byte(),
            _ => u8::MAX,
        }
    }

    /// An event id, one of few: they are to meet.
    fn event_id(&mut self) -> EventId {
        let mut bytes = [0x70; 16];
        bytes[8] = 0x80;
        bytes[15] = self.byte();
        EventId::from_bytes(bytes).unwrap()
    }
}

/// What came out.
pub struct Forged {
    pub file: Vec<u8>,
    pub anchors: Anchors,
}

/// Carries out a script.
pub fn forge(script: &[u8]) -> Forged {
    let s = &mut Script { rest: script };
    let start = &STARTS[s.below(SEEDS.len())];
    let (how, held, mask) = (s.byte(), s.byte(), s.mask());
    let mut pieces = start.pieces.clone();
    for _ in 0..EDITS_MAX {
        let edit = s.byte();
        if edit == 0 {
            break;
        }
        edit_pieces(edit, &mut pieces, s);
        pieces.truncate(PIECES_MAX);
    }
    if mask != 0 {
        mend::mend(&mut pieces, mask);
    }
    let form = match (how & 1 == 0, start.form) {
        (true, form) => form,
        (false, Form::ChainFile) => Form::JsonLines,
        (false, _) => Form::ChainFile,
    };
    let mut file = assemble(form, &pieces);
    let edits = if how & 6 == 6 { EDITS_MAX } else { 0 };
    for _ in 0..edits {
        if s.rest.is_empty() {
            break;
        }
        edit_bytes(&mut file, s);
    }
    Forged { file, anchors: anchors(held, start) }
}

fn anchors(held: u8, start: &Start) -> Anchors {
    let is_held = |bit: u8| held & (1 << bit) != 0;
    let mut anchors = Anchors::default();
    anchors.chain_id = is_held(0).then_some(start.chain_id);
    for (bit, seed) in [(1, 1), (2, 2), (3, 3), (4, 20)] {
        if is_held(bit) {
            anchors.keys.push(SigningKey::from_seed(&[seed; 32]).unwrap().id());
        }
    }
    if is_held(5) {
        anchors.checkpoints.extend(start.checkpoints.first().cloned());
    }
    if is_held(6) {
        anchors.checkpoints.extend(start.checkpoints.iter().skip(1).cloned());
    }
    anchors
}

fn edit_bytes(file: &mut Vec<u8>, s: &mut Script<'_>) {
    const TEXTS: [&[u8]; 20] = [
        b"null",
        b"true",
        b"\"",
        b"\\",
        b"\n",
        b"\r",
        b"0",
        b"-1",
        b"1e3",
        b"1.0",
        b" ",
        b"\\u0041",
        b"\\n",
        b"\xed\xa0\x80",
        b"\xc2\x85",
        b"{",
        b"}",
        b"[]",
        b",",
        b"\"\"",
    ];
    let at = s.below(file.len() + 1);
    match s.byte() % 8 {
        0 if at < file.len() => file[at] ^= 1 << (s.byte() % 8),
        1 if at < file.len() => file[at] = s.byte(),
        2 if at < file.len() => drop(file.remove(at)),
        3 => file.insert(at, s.byte()),
        4 => file.truncate(at),
        5 => {
            let end = at.saturating_add(s.below(64)).min(file.len());
            file.drain(at..end);
        }
        6 => {
            let end = at.saturating_add(s.below(64)).min(file.len());
            let copy = file[at..end].to_vec();
            let to = s.below(file.len() + 1);
            file.splice(to..to, copy);
        }
        _ => {
            let text = s.pick(&TEXTS);
            file.splice(at..at, text.iter().copied());
        }
    }
}

fn edit_pieces(edit: u8, pieces: &mut Vec<Piece>, s: &mut Script<'_>) {
    let at = s.place(pieces.len());
    match edit % 16 {
        0 | 1 => insert(pieces, at, fresh_entry(s)),
        2 => {
            if let Some(piece) = fresh_frame(s) {
                insert(pieces, at, piece);
            }
        }
        3 => {
            let from = &STARTS[s.below(SEEDS.len())].pieces;
            insert(pieces, at, from[s.below(from.len())].clone());
        }
        _ if at >= pieces.len() => (),
        4 => drop(pieces.remove(at)),
        5 => {
            let other = s.place(pieces.len()).min(pieces.len() - 1);
            pieces.swap(at, other);
        }
        6 => {
            let to = s.place(pieces.len());
            insert(pieces, to, pieces[at].clone());
        }
        7 => {
            let end = at.saturating_add(s.below(8)).min(pieces.len() - 1);
            let reason = 1 + s.byte() % 3;
            pieces[at..=end].iter_mut().for_each(|piece| piece.hidden = reason);
        }
        8 => pieces[at].kept = s.byte(),
        9 => edit_head(&mut pieces[at], s),
        10 => edit_body(&mut pieces[at].body, s),
        11 => edit_part(&mut pieces[at], s),
        12 => edit_fields(&mut pieces[at], s),
        _ => value::edit(&mut pieces[at].body, s),
    }
}

fn insert(pieces: &mut Vec<Piece>, at: usize, piece: Piece) {
    pieces.insert(at.min(pieces.len()), piece);
}

fn edit_head(piece: &mut Piece, s: &mut Script<'_>) {
    match s.byte() % 4 {
        0 => piece.letter = s.pick(b"ACEGHSTX"),
        1 => piece.flaw = s.byte() % 3,
        2 => piece.left = s.word(),
        _ => piece.left = u16::from(s.byte() % 4),
    }
}

fn edit_body(body: &mut Vec<u8>, s: &mut Script<'_>) {
    let at = s.below(body.len() + 1);
    match s.byte() % 4 {
        0 => {
            let bytes = s.bytes();
            body.splice(at..at, bytes);
        }
        1 => {
            let end = at.saturating_add(s.below(64)).min(body.len());
            body.drain(at..end);
        }
        _ if at >= body.len() => (),
        2 => body[at] = s.byte(),
        _ => body[at] ^= 1 << (s.byte() % 8),
    }
}

/// Changes the entry in a piece, if there is one.
fn change(piece: &mut Piece, what: impl FnOnce(&mut Written<'static>)) {
    let body = piece.body.clone();
    let left = piece.left;
    if piece.letter == b'E'
        && let Ok(Frame::Entry(written)) = Frame::parse(Kind::Entry, left, &body)
    {
        let mut written = written.into_owned();
        what(&mut written);
        let frame = Frame::Entry(Box::new(written));
        let kept = Piece { body: frame.body(), ..piece.clone() };
        *piece = kept;
    }
}

fn edit_part(piece: &mut Piece, s: &mut Script<'_>) {
    change(piece, |written| match s.byte() % 6 {
        0 => written.part = Part::Withheld,
        1 | 2 => written.part = Part::Erased(s.number()),
        3 => {
            if let Part::Fields(slots) = &mut written.part
                && let at = s.below(slots.len())
                && let Some(slot) = slots.get_mut(at)
                && let Slot::Shown(leaf) = &*slot
            {
                *slot = Slot::Hidden(leaf.hash());
            }
        }
        4 => {
            let values = [s.bytes(), s.bytes(), s.bytes()];
            let fields = ["a", "b", "c"].into_iter().zip(&values);
            let fields = fields.map(|(name, value)| (name, "text/plain", value.as_slice()));
            if let Ok(payload) = Payload::by_field(fields) {
                written.part = payload.salted(|| [7; 16]);
            }
        }
        _ => {
            if let Ok(payload) = Payload::new("application/cbor", s.bytes()) {
                written.part = payload.salted(|| [8; 16]);
            }
        }
    });
}

fn edit_fields(piece: &mut Piece, s: &mut Script<'_>) {
    const TYPES: [&str; 12] = [
        "tool.call",
        "chain.genesis",
        "chain.other",
        "chain.abandoned",
        "chain.resolved",
        "key.enroll",
        "key.rotate",
        "key.revoke",
        "key.operators",
        "erasure.done",
        "epoch.began",
        "quarantine.on",
    ];
    let mut kept = 0;
    change(piece, |written| {
        let fields = &mut written.fields;
        match s.byte() % 8 {
            0 | 1 => fields.signer_key_id = s.key().id(),
            2 => {
                fields.sequence = s.number();
                kept = mend::SEQUENCE;
            }
            3 => {
                fields.system_time = Stamp::new(s.number() << 32);
                kept = mend::STAMP;
            }
            4 | 5 => fields.event_type = Cow::Borrowed(s.pick(&TYPES)),
            6 => fields.event_id = s.event_id(),
            _ => {
                fields.prior_hash = Digest::ZERO;
                kept = mend::LINK;
            }
        }
    });
    piece.kept |= kept;
}

/// A frame that is no entry.
fn fresh_frame(s: &mut Script<'_>) -> Option<Piece> {
    let frame = match s.byte() % 6 {
        0 | 1 => Frame::Checkpoint(Checkpoint::sign("a/b", 1, Digest::ZERO, &s.key())),
        2 => {
            let state = SealState {
                size: 1,
                head: Digest::ZERO,
                stamp: Stamp::new(0),
                frontier: vec![Digest::ZERO],
                keyring: Digest::ZERO,
                epoch: s.number(),
                quarantined: false,
            };
            Frame::Seal(Seal::sign(state, &Digest::ZERO, &s.key()))
        }
        3 | 4 => {
            let (first, count) = (s.number(), s.number());
            let reason = GapReason::from_number(u64::from(s.byte() % 3))?;
            let hashes =
                vec![Digest::ZERO; tree::split_len(first.min(1 << 53), count.min(1 << 53))];
            Frame::Gap(Gap::new(first, count, reason, hashes)?)
        }
        _ => {
            let target = Target::from_numbers(u64::from(s.byte() % 3), s.number())?;
            Frame::Attachment(Attachment::new("x", target, s.bytes())?)
        }
    };
    Some(Piece::of(&frame))
}

/// An entry that was not there: of any type, by any key. What ties it to its place is for `mend`.
fn fresh_entry(s: &mut Script<'_>) -> Piece {
    let id = s.event_id();
    let key = s.key();
    let event = Event::new("agent", "tool.call").unwrap();
    let reserved = fresh_reserved(id, s);
    // Not by `Reserved::event`, which refuses what verification would refuse.
    let event = match &reserved {
        Some(reserved) => {
            event.payload(Payload::new(reserved::MEDIA_TYPE, reserved.encode(true)).unwrap())
        }
        None => event,
    };
    let part = event.payload_ref().clone().salted(|| [9; 16]);
    let place = Place {
        chain_id: Digest::ZERO,
        prior_hash: Digest::ZERO,
        sequence: 1,
        stamp: Stamp::new(0),
        signer: key.id(),
    };
    let linked = Linked::new(event, id, part.commitment().unwrap(), &place);
    let left = u16::from(s.byte() / 86);
    let mut written = Written::new(left, linked.sign(&key).unwrap(), part);
    if let Some(reserved) = &reserved {
        written.fields.event_type = reserved.event_type().to_owned().into();
    }
    Piece::of(&Frame::Entry(Box::new(written)))
}

fn fresh_reserved(id: EventId, s: &mut Script<'_>) -> Option<Reserved> {
    let approvals = Vec::new();
    let record = |s: &mut Script<'_>| {
        let role = if s.byte() & 1 == 0 { Role::Entry } else { Role::Checkpoint };
        KeyRecord::new(&s.key(), role, &Digest::ZERO, id)
    };
    let operators = |s: &mut Script<'_>| {
        let mut hashes: Vec<_> =
            (0..s.byte() % 4).map(|_| s.key().public().operator_hash()).collect();
        hashes.sort();
        hashes.dedup();
        hashes
    };
    let mut reserved = match s.byte() % 11 {
        0 => Reserved::Enroll { approvals, key: record(s) },
        1 => Reserved::Rotate { approvals, key: record(s), old: s.key().id() },
        2 | 3 => {
            let reason = s.pick(&[Reason::Compromised, Reason::Lost, Reason::Superseded]);
            let trusted = Trusted { size: s.number(), root: tree::empty_root() };
            let trusted = (reason == Reason::Compromised).then_some(trusted);
            let key = s.key().id();
            Reserved::Revoke { approvals, consistency: Vec::new(), key, reason, trusted }
        }
        4 => Reserved::Operators { approvals, operators: operators(s) },
        5 | 6 => {
            let (mut end, ranges) = (0, 1 + s.byte() % 3);
            let range = |_| {
                let first = s.number().saturating_add(end);
                let count = s.number().min(1 << 40) % 6 + u64::from(s.byte() < 0xf0);
                end = first.saturating_add(count).saturating_add(1);
                (first, count)
            };
            let entries = (0..ranges).map(range).collect();
            Reserved::Erased { detail: vec![0xa0], entries }
        }
        7 => {
            let entries = (0..=s.byte() % 3).map(|n| (s.number(), Digest::of(&[&[n]])));
            Reserved::Abandoned { cause: Cause::Torn, entries: entries.collect() }
        }
        8 => {
            let (first, count) = (s.number(), s.number().min(1 << 20));
            let hashes = vec![Digest::ZERO; tree::split_len(first.min(1 << 53), count)];
            let statement = String::new();
            Reserved::Resolved { approvals, count, evidence: None, first, hashes, statement }
        }
        9 => Reserved::Open { event_type: "epoch.began".to_owned(), map: vec![0xa0] },
        _ => return None,
    };
    let mask = match s.byte() {
        rare @ 0xc0.. => rare.rotate_left(4),
        byte => [0, 1, 1, 1, 2, 3, 4, 5][usize::from(byte % 8)],
    };
    let approvers = [4, 5, 3, 20, 13, 14, 2, 21].into_iter().enumerate();
    for (_, seed) in approvers.filter(|(bit, _)| mask & (1 << bit) != 0) {
        let key = SigningKey::from_seed(&[seed; 32]).unwrap();
        reserved = reserved.approved_by(&key, &Digest::ZERO, id);
    }
    Some(reserved)
}
