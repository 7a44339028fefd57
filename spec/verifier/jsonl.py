"""JSON lines: section 9.3 of sigchain.md.

[S-json-1] There is one text for each frame, so this is no JSON parser: it walks along the one text and stops at the first
byte that differs. It does not recurse and builds nothing that the line does not spell out.
"""

import base64
import binascii
import re
from datetime import datetime, timedelta

import note
from cbor import Malformed
from chainfile import Frame, make_attachment, make_gap, make_header, make_seal, make_trailer
from entry import make_entry, make_payload

MAX_LINE = 37_748_736  # [S-json-5]
FRAME = b'{"frame":"'

_NUMBER = re.compile(rb"0|[1-9][0-9]{0,19}")
_LOW = re.compile(rb"[\x00-\x1f]")
_ESCAPES = [(b'\\"', b'"'), (b"\\b", b"\x08"), (b"\\t", b"\t"), (b"\\n", b"\n"), (b"\\f", b"\x0c"), (b"\\r", b"\r")]
_ESCAPES += [(b"\\u00%02x" % code, bytes((code,))) for code in range(32) if code not in (8, 9, 10, 12, 13)]
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(rb"[0-9a-f]*")
_DATE = re.compile(rb"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})Z")
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_EPOCH = datetime(1970, 1, 1)
_MICRO = timedelta(microseconds=1)


def _unescape(value):
    """[S-json-3] The byte 0xff, which UTF-8 never has, stands for an escaped backslash meanwhile."""
    if b"\xff" in value:
        raise Malformed("not UTF-8")
    value = value.replace(b"\\\\", b"\xff")
    for escape, byte in _ESCAPES:
        value = value.replace(escape, byte)
    if b"\\" in value:
        raise Malformed("escape")
    return value.replace(b"\xff", b"\\")


def base64url(raw):
    """Base64url without padding, spare bits zero."""
    if len(raw) % 4 == 1 or not _BASE64URL.fullmatch(raw):
        raise Malformed("base64url")
    try:
        data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (binascii.Error, ValueError):
        raise Malformed("base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != raw:
        raise Malformed("base64url with spare bits")
    return data


class _Line:
    __slots__ = ("data", "pos")

    def __init__(self, data):
        self.data = data
        self.pos = 0

    def literal(self, text):
        if not self.data.startswith(text, self.pos):
            raise Malformed("not the one text")
        self.pos += len(text)

    def optional(self, text):
        if self.data.startswith(text, self.pos):
            self.pos += len(text)
            return True
        return False

    def end(self):
        if self.pos != len(self.data):
            raise Malformed("text after the frame")

    def raw(self):
        """A string, unescaped, as bytes [S-json-3]."""
        self.literal(b'"')
        data = self.data
        start = self.pos
        search = start
        while True:
            quote = data.find(b'"', search)
            if quote < 0:
                raise Malformed("string without end")
            back = quote
            while back > start and data[back - 1] == 0x5C:
                back -= 1
            if (quote - back) % 2 == 0:
                break
            search = quote + 1
        value = data[start:quote]
        self.pos = quote + 1
        if _LOW.search(value):
            raise Malformed("control character in a string")
        if b"\\" in value:
            value = _unescape(value)
        return value

    def text(self):
        try:
            return str(self.raw(), "utf-8")  # [S-text-1]
        except UnicodeDecodeError:
            raise Malformed("not UTF-8") from None

    def plain(self):
        """A string that no valid value writes with an escape."""
        before = self.pos
        value = self.raw()
        if self.pos - before != len(value) + 2:
            raise Malformed("escape")
        return value

    def number(self):
        match = _NUMBER.match(self.data, self.pos)
        if not match:
            raise Malformed("number")
        self.pos = match.end()
        return int(match.group())

    def bytes(self):
        return base64url(self.plain())

    def hex(self, length):
        value = self.plain()
        if len(value) != 2 * length or not _HEX.fullmatch(value):
            raise Malformed("hexadecimal")
        return bytes.fromhex(value.decode("ascii"))

    def uuid(self):
        value = self.plain()
        if not _UUID.fullmatch(value):
            raise Malformed("UUID")
        return bytes.fromhex(value.replace(b"-", b"").decode("ascii"))

    def moment(self):
        match = _DATE.fullmatch(self.plain())
        if not match:
            raise Malformed("date")
        try:
            return (datetime(*[int(part) for part in match.groups()]) - _EPOCH) // _MICRO
        except ValueError:
            raise Malformed("date") from None

    def null_or(self, read, *arguments):
        if self.optional(b"null"):
            return None
        return read(*arguments)

    def hashes(self):
        self.literal(b"[")
        out = []
        if self.optional(b"]"):
            return out
        while True:
            out.append(self.bytes())
            if self.optional(b"]"):
                return out
            self.literal(b",")


def _leaf(line, named):
    """(salt, name, media type, bytes) of a payload or a field [S-json-4]."""
    name = None
    if line.optional(b'{"base64":'):
        data = line.bytes()
        line.literal(b',"media_type":')
        media_type = line.text()
        if named:
            line.literal(b',"name":')
            name = line.text()
        line.literal(b',"salt":')
        salt = line.bytes()
        try:
            if not _NO_TEXT.search(str(data, "utf-8")):
                raise Malformed("base64 of what is text")
        except UnicodeDecodeError:
            pass
    else:
        line.literal(b'{"media_type":')
        media_type = line.text()
        if named:
            line.literal(b',"name":')
            name = line.text()
        line.literal(b',"salt":')
        salt = line.bytes()
        line.literal(b',"text":')
        text = line.text()
        if _NO_TEXT.search(text):
            raise Malformed("text with control characters")
        data = text.encode("utf-8")
    line.literal(b"}")
    return salt, name, media_type, data


def _payload(line):
    if line.optional(b'{"withheld":true}'):
        return make_payload(2)
    if line.optional(b'{"erased":'):
        erased = line.number()
        line.literal(b"}")
        return make_payload(3, erased=erased)
    if line.optional(b'{"fields":['):
        leaves = []
        while True:
            if line.optional(b'{"hash":'):
                leaves.append(line.bytes())
                line.literal(b"}")
            else:
                leaves.append(_leaf(line, True))
            if len(leaves) > 256:
                raise Malformed("too many fields")
            if line.optional(b"]}"):
                return make_payload(1, leaves)
            line.literal(b",")
    return make_payload(0, [_leaf(line, False)])


def parse_entry(data):
    """(entry, payload part, left) of a line without its line feed."""
    line = _Line(data)
    line.literal(b'{"actor":')
    actor = line.text()
    line.literal(b',"causation_id":')
    causation = line.null_or(line.uuid)
    line.literal(b',"correlation_id":')
    correlation = line.null_or(line.text)
    line.literal(b',"episode_id":')
    episode = line.null_or(line.text)
    line.literal(b',"event_id":')
    event_id = line.uuid()
    line.literal(b',"event_type":')
    event_type = line.text()
    line.literal(b',"left":')
    left = line.number()
    if left > 65535:
        raise Malformed("left")
    line.literal(b',"payload":')
    payload = _payload(line)
    line.literal(b',"payload_hash":')
    payload_hash = line.bytes()
    line.literal(b',"prior_hash":')
    prior_hash = line.bytes()
    line.literal(b',"schema_version":')
    schema_version = line.number()
    line.literal(b',"sequence":')
    sequence = line.number()
    line.literal(b',"signature":')
    signature = line.bytes()
    line.literal(b',"signer_key_id":')
    signer = line.bytes()
    line.literal(b',"span_id":')
    span_id = line.null_or(line.hex, 8)
    line.literal(b',"system_time":')
    system_time = int.from_bytes(line.hex(8), "big")
    line.literal(b',"trace_id":')
    trace_id = line.null_or(line.hex, 16)
    line.literal(b',"valid_from":')
    valid_from = line.null_or(line.moment)
    line.literal(b',"valid_to":')
    valid_to = line.null_or(line.moment)
    line.literal(b"}")
    line.end()
    entry = make_entry((actor, causation, correlation, episode, event_id, event_type, payload_hash, prior_hash, schema_version,
                        sequence, signer, span_id, system_time, trace_id, valid_from, valid_to), signature)
    return entry, payload, left


def _header(line):
    line.literal(b'{"frame":"header","chain_id":')
    chain_id = line.bytes()
    line.literal(b',"version":')
    version = line.number()
    return make_header(version, chain_id)


def _gap(line):
    line.literal(b'{"frame":"gap","count":')
    count = line.number()
    line.literal(b',"first":')
    first = line.number()
    line.literal(b',"hashes":')
    hashes = line.hashes()
    line.literal(b',"reason":')
    return make_gap(first, count, line.number(), hashes)


def _checkpoint(line):
    line.literal(b'{"frame":"checkpoint","note":')
    return note.parse(line.text().encode("utf-8"))


def _seal(line):
    line.literal(b'{"frame":"seal","epoch":')
    epoch = line.number()
    line.literal(b',"frontier":')
    frontier = line.hashes()
    line.literal(b',"head":')
    head = line.bytes()
    line.literal(b',"keyring":')
    keyring = line.bytes()
    line.literal(b',"quarantined":')
    quarantined = line.optional(b"true")
    if not quarantined:
        line.literal(b"false")
    line.literal(b',"signature":')
    signature = line.bytes()
    line.literal(b',"signer_key_id":')
    signer = line.bytes()
    line.literal(b',"size":')
    size = line.number()
    line.literal(b',"stamp":')
    stamp = int.from_bytes(line.hex(8), "big")
    return make_seal(size, head, stamp, frontier, keyring, epoch, quarantined, signer, signature)


def _attachment(line):
    line.literal(b'{"frame":"attachment","bytes":')
    data = line.bytes()
    line.literal(b',"kind":')
    kind = line.number()
    line.literal(b',"number":')
    number = line.number()
    line.literal(b',"type":')
    return make_attachment(line.text(), kind, number, data)


def _trailer(line):
    line.literal(b'{"frame":"trailer","frames":')
    frames = line.number()
    if line.optional(b',"note":'):
        return make_trailer(frames, text=line.text())
    line.literal(b',"root":')
    root = line.bytes()
    line.literal(b',"size":')
    return make_trailer(frames, size=line.number(), root=root)


_KINDS = {b"gap": ("G", _gap), b"checkpoint": ("C", _checkpoint), b"seal": ("S", _seal), b"attachment": ("A", _attachment),
          b"trailer": ("T", _trailer)}


def _whole(read, data):
    line = _Line(data)
    value = read(line)
    line.literal(b"}")
    line.end()
    return value


class JsonLines:
    """Reads frames from a binary stream of JSON lines, one at a time."""

    form = "jsonl"

    def __init__(self, stream):
        self.stream = stream
        self.lines = 0

    def start(self):
        """(None, chain id) or (fault code, None)."""
        data = self.stream.readline(MAX_LINE + 1)
        self.lines = 1
        if not data.startswith(b'{"frame":"header"'):
            return "FILE_MAGIC", None
        if len(data) > MAX_LINE or not data.endswith(b"\n"):
            return "FILE_HEADER", None
        try:
            version, chain_id = _whole(_header, data[:-1])
        except Malformed:
            return "FILE_HEADER", None
        if version != 1:
            return "FILE_VERSION", None
        return None, chain_id

    def place(self):
        return self.lines + 1

    def next(self):
        place = self.lines + 1
        data = self.stream.readline(MAX_LINE + 1)
        if not data:
            return None
        self.lines += 1
        if len(data) > MAX_LINE:
            return Frame("!", place, problem="FRAME_HEAD")  # [S-json-5]
        if not data.endswith(b"\n"):
            return Frame("!", place, problem="FRAME_CUT")  # [S-json-6]
        data = data[:-1]
        if not data.startswith(FRAME):
            try:
                entry, payload, left = parse_entry(data)
                return Frame("E", place, left, (entry, payload))
            except Malformed:
                return Frame("E", place, None, problem="ENTRY_MALFORMED")
        end = data.find(b'"', len(FRAME))
        name = data[len(FRAME):end] if end >= 0 else b""
        if name == b"header":
            return Frame("H", place)
        kind, read = _KINDS.get(name, ("?", None))
        if read is None:
            return Frame(kind, place, problem="FRAME_MALFORMED")
        try:
            return Frame(kind, place, 0, _whole(read, data))
        except Malformed:
            return Frame(kind, place, problem="FRAME_MALFORMED")

    def more(self):
        return bool(self.stream.read(1))
