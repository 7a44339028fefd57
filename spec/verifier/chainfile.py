"""The chain file: sections 9.1 and 9.2 of sigchain.md. Also the checks of frame bodies that JSON lines share."""

import zlib

import note
from cbor import Malformed, decode, first_unsigned
from entry import MAX_SEQUENCE, entry_from_item, is_bytes, is_int, payload_from_item
from tree import pieces

MAGIC = bytes.fromhex("895347430d0a1a0a")
MAX_BODY = 17_825_792
MAX_ATTACHMENT = 1 << 24
MAX_SIZE = 1 << 53
MAX_U64 = (1 << 64) - 1
TYPES = b"HEGCSAT"


class Frame:
    """One frame. `problem` is the fault code of a body that could not be read, or of what ends the reading (kind '!')."""

    __slots__ = ("kind", "place", "left", "value", "problem")

    def __init__(self, kind, place, left=0, value=None, problem=None):
        self.kind = kind
        self.place = place
        self.left = left
        self.value = value
        self.problem = problem


def make_gap(first, count, reason, hashes):
    """[S-gap-1]"""
    if not is_int(first, 1, MAX_SIZE) or not is_int(count, 1, MAX_SIZE) or first + count > MAX_SIZE or not is_int(reason, 0, 2):
        raise Malformed("gap")
    if type(hashes) is not list or len(hashes) != len(pieces(first, count)) or not all(is_bytes(h, 32) for h in hashes):
        raise Malformed("hashes of a gap")
    return first, count, reason, hashes


def make_seal(size, head, stamp, frontier, keyring, epoch, quarantined, signer, signature):
    """[S-seal-1]"""
    if not is_int(size, 1, MAX_SIZE) or not is_bytes(head, 32) or not is_int(stamp, 0, MAX_U64):
        raise Malformed("seal")
    if type(frontier) is not list or len(frontier) != len(pieces(0, size)) or not all(is_bytes(h, 32) for h in frontier):
        raise Malformed("frontier")
    if not is_bytes(keyring, 32) or not is_int(epoch, 0, MAX_SEQUENCE) or type(quarantined) is not bool:
        raise Malformed("seal")
    if not is_bytes(signer, 16) or not is_bytes(signature, 64):
        raise Malformed("seal")
    return size, head, stamp, frontier, keyring, epoch, quarantined, signer, signature


def make_attachment(name, kind, number, data):
    """[S-attach-1]"""
    if type(name) is not str or not 1 <= len(name) <= 128 or not all("\x21" <= c <= "\x7e" for c in name):
        raise Malformed("attachment type")
    if not is_int(kind, 0, 2) or not is_int(number, 0, (0, MAX_SEQUENCE, MAX_SIZE)[kind]) or type(data) is not bytes:
        raise Malformed("attachment")
    if len(data) > MAX_ATTACHMENT:
        raise Malformed("attachment too long")
    return name, kind, number, data


def make_trailer(frames, text=None, size=None, root=None):
    """[S-trailer-1] (frames, note or None, size, root)"""
    if not is_int(frames, 0, MAX_SIZE):
        raise Malformed("trailer")
    if text is not None:
        if type(text) is not str:
            raise Malformed("note of the trailer")
        parsed = note.parse(text.encode("utf-8"))
        return frames, parsed, parsed.size, parsed.root
    if not is_int(size, 1, MAX_SIZE) or not is_bytes(root, 32):
        raise Malformed("trailer")
    return frames, None, size, root


def make_header(version, chain_id):
    if not is_int(version, 0, MAX_U64) or not is_bytes(chain_id, 32):
        raise Malformed("header")
    return version, chain_id


def _array(body, *lengths):
    item = decode(body)[0]
    if type(item) is not list or len(item) not in lengths:
        raise Malformed("body")
    return item


def parse_body(kind, body):
    """The body of a frame of any kind but H."""
    if kind == "E":
        first, second = decode(body, 2)
        return entry_from_item(first), payload_from_item(second)
    if kind == "G":
        return make_gap(*_array(body, 4))
    if kind == "C":
        return note.parse(body)
    if kind == "S":
        return make_seal(*_array(body, 9))
    if kind == "A":
        return make_attachment(*_array(body, 4))
    item = _array(body, 2, 3)
    if len(item) == 2:
        if item[1] is None:
            raise Malformed("trailer")
        return make_trailer(item[0], text=item[1])
    return make_trailer(item[0], size=item[1], root=item[2])


class ChainFile:
    """Reads frames from a binary stream, one at a time."""

    form = "chain"

    def __init__(self, stream):
        self.stream = stream
        self.offset = 0

    def _read(self, count):
        data = self.stream.read(count)
        self.offset += len(data)
        return data

    def start(self):
        """(None, chain id) or (fault code, None). The magic has not been read yet."""
        if self._read(8) != MAGIC:
            return "FILE_MAGIC", None
        head = self._read(16)
        if len(head) < 16 or not self._head_ok(head) or head[0:1] != b"H":
            return "FILE_HEADER", None
        length = int.from_bytes(head[4:8], "big")
        body = self._read(length)
        if len(body) < length or zlib.crc32(body) != int.from_bytes(head[8:12], "big"):
            return "FILE_HEADER", None
        if first_unsigned(body) not in (None, 1):
            return "FILE_VERSION", None  # [S-file-2] whatever follows: another version may have another header
        try:
            _, chain_id = make_header(*_array(body, 2))
        except Malformed:
            return "FILE_HEADER", None
        return None, chain_id

    @staticmethod
    def _head_ok(head):
        """[S-frame-1]"""
        if zlib.crc32(head[:12]) != int.from_bytes(head[12:16], "big"):
            return False
        if head[0] not in TYPES or head[1] != 0 or int.from_bytes(head[4:8], "big") > MAX_BODY:
            return False
        return head[0:1] == b"E" or head[2:4] == b"\0\0"

    def place(self):
        """The place of what comes next, or of the end."""
        return self.offset

    def next(self):
        """The next frame; None at the end of the file."""
        place = self.offset
        head = self._read(16)
        if not head:
            return None
        if len(head) < 16:
            return Frame("!", place, problem="FRAME_CUT")
        if not self._head_ok(head):
            return Frame("!", place, problem="FRAME_HEAD")
        length = int.from_bytes(head[4:8], "big")
        body = self._read(length)
        if len(body) < length:
            return Frame("!", place, problem="FRAME_CUT")
        kind = chr(head[0])
        left = int.from_bytes(head[2:4], "big")
        if kind == "H":
            return Frame("H", place)
        if zlib.crc32(body) != int.from_bytes(head[8:12], "big"):  # [S-frame-2]
            return Frame(kind, place, left, problem="FRAME_BODY")
        try:
            return Frame(kind, place, left, parse_body(kind, body))
        except Malformed:
            return Frame(kind, place, left, problem="ENTRY_MALFORMED" if kind == "E" else "FRAME_MALFORMED")

    def more(self):
        """Whether any byte follows."""
        return bool(self.stream.read(1))
