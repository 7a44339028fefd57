//! Leniencies, one each: encodings and texts that say the right thing in a way that is not the one way.

use sigchain::chainfile::{Form, MAGIC};
use sigchain::codec::Writer;
use sigchain::fault::Code;

use super::Vector;
use super::accepted::every_kind;
use crate::support::{Build, Draft, frame_ranges, raw_frame};
use sigchain::payload::{Part, Payload};
use sigchain::reserved::{MEDIA_TYPE, Reserved};

pub fn all() -> Vec<Vector> {
    let mut vectors = entry_items();
    vectors.extend(payload_parts());
    vectors.extend(reserved_maps());
    vectors.extend(other_frames());
    vectors.extend(lines());
    vectors
}

const AT: u64 = 2;

fn plain() -> Vec<u8> {
    let mut build = Build::new();
    build.events(3).trailer();
    build.file(Form::ChainFile)
}

/// The body of an ordinary entry, cut where its items begin.
fn items() -> Vec<Vec<u8>> {
    let file = plain();
    let body = &file[frame_ranges(&file)[3].clone()][16..];
    let mut reader = sigchain::codec::Reader::new(body);
    let mut items = vec![body[..1].to_vec()];
    reader.array().unwrap();
    for _ in 0..17 {
        let from = reader.at();
        reader.skip().unwrap();
        items.push(reader.since(from).to_vec());
    }
    items.push(body[reader.at()..].to_vec());
    items
}

/// A file whose third entry has one of its items replaced.
fn item(name: &'static str, comment: &'static str, field: usize, with: &[u8]) -> Vector {
    let mut items = items();
    items[field] = with.to_vec();
    body(name, comment, &items.concat())
}

fn body(name: &'static str, comment: &'static str, body: &[u8]) -> Vector {
    let file = plain();
    let mut pieces: Vec<Vec<u8>> =
        frame_ranges(&file).into_iter().map(|range| file[range].to_vec()).collect();
    pieces[3] = raw_frame(b'E', 0, 0, body);
    let bytes = [MAGIC.to_vec(), pieces.concat()].concat();
    Vector::refused(name, comment, (Code::EntryMalformed, Some(AT)), bytes)
}

fn text(text: &str) -> Vec<u8> {
    let mut w = Writer::new();
    w.text(text);
    w.into_bytes()
}

fn int(value: i64) -> Vec<u8> {
    let mut w = Writer::new();
    w.int(value);
    w.into_bytes()
}

fn entry_items() -> Vec<Vector> {
    let [actor, cause, correlation, episode, id, kind] = [1, 2, 3, 4, 5, 6];
    let [version, sequence, span, trace, from, to] = [9, 10, 12, 14, 15, 16];
    let mut v4 = items()[id].clone();
    v4[7] = 0x40 | (v4[7] & 0x0f);
    let mut trailing = items().concat();
    trailing.push(0);
    let mut both = items();
    both[from] = int(5);
    both[to] = int(5);
    let mut bad_utf8 = text("agent");
    bad_utf8[1] = 0xff;
    vec![
        item("cbor-long-integer", "1 written as 24 01", version, &[0x18, 0x01]),
        item("cbor-longer-integer", "1 in eight bytes", version, &[0x1b, 0, 0, 0, 0, 0, 0, 0, 1]),
        item("cbor-long-length", "a text length in two bytes", actor, b"\x79\x00\x01a"),
        item("cbor-indefinite-text", "text in chunks", actor, b"\x7f\x61a\xff"),
        item("cbor-indefinite-array", "an array without length", 0, &[0x9f]),
        item("cbor-tag", "a tag before an integer", version, &[0xc1, 0x01]),
        item("cbor-float", "1.0 for 1", version, &[0xf9, 0x3c, 0x00]),
        item("cbor-undefined", "undefined for null", cause, &[0xf7]),
        item("cbor-bool", "false for null", cause, &[0xf4]),
        item("cbor-trailing", "a byte behind the payload part", 0, &[]).with_body(&trailing),
        item(
            "cbor-length-too-large",
            "a length beyond the data",
            actor,
            b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        item("cbor-not-utf8", "bytes that are no text", actor, &bad_utf8),
        item("field-array-length", "sixteen items", 0, &[0x90]),
        item("field-actor-empty", "no actor", actor, &text("")),
        item("field-actor-too-long", "257 bytes", actor, &text(&"a".repeat(257))),
        item("field-actor-control", "an escape sequence", actor, &text("a\u{1b}[2J")),
        item("field-actor-c1", "a control character above ASCII", actor, &text("a\u{9b}2J")),
        item("field-correlation-too-long", "129 bytes", correlation, &text(&"a".repeat(129))),
        item("field-episode-empty", "empty is not absent", episode, &text("")),
        item("field-event-id-version", "a UUID of version 4", id, &v4),
        item("field-event-id-short", "fifteen bytes", id, &[&[0x4f][..], &[0x77; 15]].concat()),
        item("field-event-type-upper", "an upper-case letter", kind, &text("Tool.call")),
        item("field-event-type-dot", "an empty word", kind, &text("tool..call")),
        item("field-event-type-too-long", "129 bytes", kind, &text(&"a".repeat(129))),
        item("field-version-too-large", "65536", version, &int(65_536)),
        item("field-sequence-too-large", "2^53", sequence, &int(1 << 53)),
        item("field-sequence-negative", "-1", sequence, &int(-1)),
        item(
            "field-span-without-trace",
            "a span of no trace",
            span,
            &[&[0x48][..], &[1; 8]].concat(),
        ),
        item("field-trace-zero", "sixteen zero bytes", trace, &[&[0x50][..], &[0; 16]].concat()),
        item("field-valid-too-late", "year 10000", from, &int(253_402_300_800_000_000)),
        item("field-valid-too-early", "year 0", to, &int(-62_135_596_800_000_001)),
        body("field-valid-empty", "valid_to is not after valid_from", &both.concat()),
        item("field-signature-short", "63 bytes", 17, &[&[0x58, 63][..], &[0; 63]].concat()),
    ]
}

impl Vector {
    fn with_body(self, with: &[u8]) -> Self {
        body(self.name, self.comment, with)
    }
}

fn part(name: &'static str, comment: &'static str, bytes: &[u8]) -> Vector {
    item(name, comment, 18, bytes)
}

fn payload_parts() -> Vec<Vector> {
    let salt = [&[0x50][..], &[7; 16]].concat();
    let leaf = |name: &str| [&[0x84][..], &salt, &text(name), &text("t"), &[0x41, 1]].concat();
    let fields = |leaves: &[Vec<u8>]| {
        let count = u8::try_from(leaves.len()).unwrap();
        [&[0x82, 0x01, 0x80 | count][..], &leaves.concat()].concat()
    };
    vec![
        part("payload-unknown-form", "a fifth form", &[0x81, 0x04]),
        part("payload-missing", "an entry without payload part", &[]),
        part(
            "payload-short-salt",
            "fifteen bytes of salt",
            &[&[0x84, 0x00, 0x4f][..], &[7; 15], &[0x60, 0x40]].concat(),
        ),
        part(
            "payload-media-type",
            "a media type with a line feed",
            &[&[0x84, 0x00][..], &salt, &text("a\nb"), &[0x40]].concat(),
        ),
        part(
            "payload-fields-unsorted",
            "names in descending order",
            &fields(&[leaf("b"), leaf("a")]),
        ),
        part("payload-fields-twice", "a name twice", &fields(&[leaf("a"), leaf("a")])),
        part("payload-fields-none", "no fields at all", &fields(&[])),
        part("payload-field-name", "a name with a control character", &fields(&[leaf("a\u{7}")])),
        part(
            "payload-erased-too-far",
            "by an entry that cannot be",
            &[0x82, 0x03, 0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0],
        ),
    ]
}

/// An entry of a reserved type whose payload is these bytes.
fn map(
    name: &'static str,
    comment: &'static str,
    event_type: &str,
    media_type: &str,
    bytes: &[u8],
) -> Vector {
    let mut build = Build::new();
    build.event();
    let open = Reserved::Open { event_type: "epoch.open".to_owned(), map: vec![0xa0] };
    let event_type = event_type.to_owned();
    // The entry commits to what it carries: only the form of the payload is wrong.
    let mut salted = Payload::new(media_type, bytes).unwrap().salted(|| [7; 16]);
    let commitment = salted.commitment().unwrap();
    let replaced = std::mem::replace(&mut salted, Part::Withheld);
    build.push(
        Draft::reserved(&open)
            .fields(move |fields| {
                fields.payload_hash = commitment;
                fields.event_type = event_type.clone().into();
            })
            .part(move |part| *part = replaced.clone()),
    );
    build.events(1).trailer();
    let file = build.file(Form::ChainFile);
    Vector::refused(name, comment, (Code::ReservedPayload, Some(AT)), file)
}

fn reserved_maps() -> Vec<Vector> {
    let cbor =
        |name, comment, event_type, bytes: &[u8]| map(name, comment, event_type, MEDIA_TYPE, bytes);
    let deep = [&[0xa1, 0x61, b'a'][..], &[0x81; 15], &[0x00]].concat();
    let nested = [&[0xa1, 0x61, b'a'][..], &vec![0x81; 60_000], &[0x00]].concat();
    let abandoned = |entries: &[u8]| [&b"\xa2\x65cause\x66signer\x67entries"[..], entries].concat();
    let pair = |n: u8| [&[0x82, n, 0x58, 0x20][..], &[1; 32]].concat();
    let erased = |entries: &[u8]| [&b"\xa2\x66detail\xa0\x67entries"[..], entries].concat();
    let record = |alg: &str, role: &str| {
        let mut w = Writer::new();
        w.map(2).text("key").map(4).text("alg").text(alg).text("role").text(role);
        w.text("proof").bytes(&[0; 64]).text("public").bytes(&[1; 32]);
        w.text("approvals").array(0);
        w.into_bytes()
    };
    let mut long = Writer::new();
    long.map(1).text("a").bytes(&vec![0; 65_536]);
    vec![
        map(
            "reserved-media-type",
            "JSON is no reserved payload",
            "epoch.open",
            "application/json",
            b"{}",
        ),
        cbor("reserved-array", "an array where a map must be", "epoch.open", &[0x80]),
        cbor("reserved-too-long", "more than 65536 bytes", "epoch.open", long.as_bytes()),
        cbor("reserved-too-deep", "seventeen levels", "epoch.open", &deep),
        cbor("reserved-much-too-deep", "sixty thousand levels", "epoch.open", &nested),
        cbor("reserved-keys-unsorted", "b before a", "epoch.open", b"\xa2\x61b\x00\x61a\x00"),
        cbor(
            "reserved-keys-by-length",
            "a longer key before a shorter one",
            "epoch.open",
            b"\xa2\x62aa\x00\x61b\x00",
        ),
        cbor("reserved-key-twice", "one key twice", "epoch.open", b"\xa2\x61a\x00\x61a\x00"),
        cbor("reserved-key-not-text", "an integer as key", "epoch.open", b"\xa1\x00\x00"),
        cbor("reserved-float", "a floating-point number", "epoch.open", b"\xa1\x61a\xf9\x3c\x00"),
        cbor("reserved-tag", "a tag", "epoch.open", b"\xa1\x61a\xc1\x00"),
        cbor("reserved-simple", "a simple value of no meaning", "epoch.open", b"\xa1\x61a\xf8\x20"),
        cbor("reserved-trailing", "a byte behind the map", "epoch.open", &[0xa0, 0x00]),
        cbor(
            "reserved-unknown-type",
            "a type of a closed family that does not exist",
            "chain.renamed",
            &[0xa0],
        ),
        cbor("reserved-unknown-key", "a key that its type does not have", "key.enroll", &[0xa0]),
        cbor(
            "reserved-algorithm",
            "an algorithm of another format",
            "key.enroll",
            &record("ed448", "entry"),
        ),
        cbor(
            "reserved-role",
            "a role that does not exist",
            "key.enroll",
            &record("ed25519", "witness"),
        ),
        cbor("abandoned-none", "an empty list", "chain.abandoned", &abandoned(&[0x80])),
        cbor(
            "abandoned-unsorted",
            "9 before 8",
            "chain.abandoned",
            &abandoned(&[&[0x82][..], &pair(9), &pair(8)].concat()),
        ),
        cbor(
            "erasure-of-itself",
            "a range that ends behind the entry",
            "erasure.done",
            &erased(&[0x81, 0x82, 0x01, 0x02]),
        ),
        cbor(
            "erasure-touching",
            "two ranges that are one",
            "erasure.done",
            &erased(&[0x82, 0x82, 0x00, 0x01, 0x82, 0x01, 0x01]),
        ),
    ]
}

fn trailer_frames() -> Vector {
    let file = plain();
    let last = frame_ranges(&file).pop().unwrap();
    let body = [&b"\x83\x1b\x00\x20\x00\x00\x00\x00\x00\x01\x01\x58\x20"[..], &[7; 32]].concat();
    let bytes = [&file[..last.start], &raw_frame(b'T', 0, 0, &body)].concat();
    let fault = (Code::FrameMalformed, None);
    Vector::refused("trailer-frames", "a count of frames above 2^53", fault, bytes)
}

fn other_frames() -> Vec<Vector> {
    let insert = |name, comment, letter: u8, body: &[u8]| {
        let file = plain();
        let mut pieces: Vec<Vec<u8>> =
            frame_ranges(&file).into_iter().map(|range| file[range].to_vec()).collect();
        pieces.insert(4, raw_frame(letter, 0, 0, body));
        let bytes = [MAGIC.to_vec(), pieces.concat()].concat();
        Vector::refused(name, comment, (Code::FrameMalformed, None), bytes)
    };
    let hash = [&[0x58, 0x20][..], &[1; 32]].concat();
    let gap = |first: u8, count: u8, reason: u8, hashes: &[Vec<u8>]| {
        let len = u8::try_from(hashes.len()).unwrap();
        [&[0x84, first, count, reason, 0x80 | len][..], &hashes.concat()].concat()
    };
    let note = |text: &str| text.as_bytes().to_vec();
    let root = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let line = "\u{2014} example.org/x AAAAAAA=\n";
    let good = |size: &str, root: &str, line: &str| note(&format!("o\n{size}\n{root}\n\n{line}"));
    vec![
        insert(
            "gap-hashes",
            "fewer hashes than subtrees",
            b'G',
            &gap(3, 3, 0, std::slice::from_ref(&hash)),
        ),
        insert(
            "gap-genesis",
            "a gap over entry 0",
            b'G',
            &gap(0, 1, 0, std::slice::from_ref(&hash)),
        ),
        insert("gap-empty", "a gap over nothing", b'G', &gap(4, 0, 0, &[])),
        insert("gap-reason", "a reason that does not exist", b'G', &gap(4, 1, 3, &[hash])),
        insert("attachment-type", "a type name with a space", b'A', b"\x84\x63a b\x00\x00\x40"),
        insert("attachment-target", "the file has no number", b'A', b"\x84\x61a\x00\x01\x40"),
        trailer_frames(),
        insert("note-size-zero", "a checkpoint over nothing", b'C', &good("0", root, line)),
        insert("note-size-leading-zero", "04", b'C', &good("04", root, line)),
        insert("note-root-padding", "base64 without padding", b'C', &good("4", &root[..43], line)),
        insert(
            "note-root-spare-bits",
            "base64 with spare bits",
            b'C',
            &good("4", &root.replace("E=", "F="), line),
        ),
        insert(
            "note-extension",
            "an extension line",
            b'C',
            &note(&format!("o\n4\n{root}\nmore\n\n{line}")),
        ),
        insert("note-unsigned", "no signature line", b'C', &good("4", root, "")),
        insert(
            "note-carriage-return",
            "line ends of another kind",
            b'C',
            &note(&format!("o\r\n4\n{root}\n\n{line}")),
        ),
        insert(
            "note-name-plus",
            "a plus in the name of a key",
            b'C',
            &good("4", root, &line.replace("org/", "org+")),
        ),
        insert(
            "note-no-line-feed",
            "the last line feed is missing",
            b'C',
            &good("4", root, line.trim_end()),
        ),
    ]
}

/// The lines of a file that holds every kind, with one of them changed.
fn line(
    name: &'static str,
    comment: &'static str,
    code: Code,
    sequence: Option<u64>,
    from: &str,
    to: &str,
) -> Vector {
    let text = String::from_utf8(every_kind().file(Form::JsonLines)).unwrap();
    assert!(text.contains(from), "{name}: no {from}");
    let bytes = text.replacen(from, to, 1).into_bytes();
    Vector::refused(name, comment, (code, sequence), bytes)
}

fn carriage_return() -> Vector {
    let mut bytes = every_kind().file(Form::JsonLines);
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    bytes.insert(ends[2], b'\r');
    let comment = "a carriage return before the line feed";
    Vector::refused("lines-carriage-return", comment, (Code::EntryMalformed, Some(1)), bytes)
}

fn lines() -> Vec<Vector> {
    let entry =
        |name, comment, from, to| line(name, comment, Code::EntryMalformed, Some(1), from, to);
    let at = "\"event_type\":\"tool.call\",\"left\":0";
    vec![
        entry(
            "lines-space",
            "white space outside a string",
            at,
            "\"event_type\": \"tool.call\",\"left\":0",
        ),
        entry(
            "lines-number-zeros",
            "leading zeros",
            at,
            "\"event_type\":\"tool.call\",\"left\":00",
        ),
        entry("lines-number-point", "0.0 for 0", at, "\"event_type\":\"tool.call\",\"left\":0.0"),
        entry(
            "lines-number-exponent",
            "0e0 for 0",
            at,
            "\"event_type\":\"tool.call\",\"left\":0e0",
        ),
        entry("lines-number-minus", "-0 for 0", at, "\"event_type\":\"tool.call\",\"left\":-0"),
        entry(
            "lines-number-string",
            "a number as string",
            at,
            "\"event_type\":\"tool.call\",\"left\":\"0\"",
        ),
        entry("lines-bool", "false for 0", at, "\"event_type\":\"tool.call\",\"left\":false"),
        entry(
            "lines-escape",
            "a needless escape",
            at,
            "\"event_type\":\"tool\\u002ecall\",\"left\":0",
        ),
        entry(
            "lines-key-twice",
            "one key twice",
            at,
            "\"event_type\":\"tool.call\",\"event_type\":\"tool.call\",\"left\":0",
        ),
        entry(
            "lines-key-order",
            "two keys exchanged",
            at,
            "\"left\":0,\"event_type\":\"tool.call\"",
        ),
        entry(
            "lines-key-unknown",
            "a key of no field",
            at,
            "\"event_type\":\"tool.call\",\"extra\":1,\"left\":0",
        ),
        entry(
            "lines-base64-for-text",
            "text that travels as base64",
            "{\"media_type\":\"application/json\",\"salt\"",
            "{\"base64\":\"e30\",\"media_type\":\"application/json\",\"salt\"",
        ),
        entry("lines-surrogate", "half a character", "\"search", "\"\\ud800search"),
        entry(
            "lines-byte-order-mark",
            "a mark before the line",
            "{\"actor\":\"agent:planner\"",
            "\u{feff}{\"actor\":\"agent:planner\"",
        ),
        carriage_return(),
        line(
            "lines-unknown-frame",
            "a kind of line that does not exist",
            Code::FrameMalformed,
            None,
            "{\"frame\":\"checkpoint\"",
            "{\"frame\":\"checkmate\"",
        ),
        line(
            "lines-gap",
            "an upper-case hexadecimal digit is no number",
            Code::FrameMalformed,
            None,
            "\"first\":7",
            "\"first\":A",
        ),
    ]
}
