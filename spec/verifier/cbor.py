"""Deterministic CBOR, section 2 of sigchain.md.

A strict decoder and an encoder for the one encoding of RFC 8949 section 4.2.1. Only integers, byte strings, text
strings, arrays, maps with text keys, false, true and null exist here. Values are int, bytes, str, list, dict, bool, None.
"""

import struct

MAX_DEPTH = 16  # [S-cbor-3]
# A reserved map of 65,536 bytes has at most as many items, and no other body that can be accepted has more.
MAX_ITEMS = 65_536


class Malformed(Exception):
    """What was read is not what the format allows."""


class _Decoder:
    __slots__ = ("data", "end", "items")

    def __init__(self, data):
        self.data = data
        self.end = len(data)
        self.items = 0

    def head(self, pos):
        """One head at pos: (major type, argument, position behind it)."""
        data = self.data
        if pos >= self.end:
            raise Malformed("cbor: ends early")
        first = data[pos]
        major = first >> 5
        info = first & 31
        pos += 1
        if info < 24:
            return major, info, pos
        if info > 27:
            raise Malformed("cbor: indefinite length or reserved")  # [S-cbor-1]
        width = 1 << (info - 24)
        if self.end - pos < width:
            raise Malformed("cbor: ends early")
        value = int.from_bytes(data[pos:pos + width], "big")
        pos += width
        if major == 7:
            raise Malformed("cbor: floating-point number or other simple value")  # [S-cbor-2]
        if value < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            raise Malformed("cbor: not the shortest form")  # [S-cbor-1]
        return major, value, pos

    def item(self, pos, depth):
        if depth > MAX_DEPTH:
            raise Malformed("cbor: nested too deeply")  # [S-cbor-3]
        self.items += 1
        if self.items > MAX_ITEMS:
            raise Malformed("cbor: too many items")
        major, value, pos = self.head(pos)
        if major == 0:
            return value, pos
        if major == 1:
            return -1 - value, pos
        if major == 2 or major == 3:
            if value > self.end - pos:
                raise Malformed("cbor: length beyond the end")  # [S-cbor-4]
            raw = self.data[pos:pos + value]
            pos += value
            if major == 2:
                return bytes(raw), pos
            try:
                return str(raw, "utf-8"), pos  # [S-text-1]
            except UnicodeDecodeError:
                raise Malformed("cbor: text is not UTF-8") from None
        if major == 4:
            if value > self.end - pos:
                raise Malformed("cbor: length beyond the end")  # [S-cbor-4]
            out = []
            for _ in range(value):
                element, pos = self.item(pos, depth + 1)
                out.append(element)
            return out, pos
        if major == 5:
            if value > (self.end - pos) // 2:
                raise Malformed("cbor: length beyond the end")  # [S-cbor-4]
            result = {}
            before = b""
            for _ in range(value):
                start = pos
                key, pos = self.item(pos, depth + 1)
                if type(key) is not str:
                    raise Malformed("cbor: key that is no text")  # section 2: both formats of map have text keys
                encoded = bytes(self.data[start:pos])
                if encoded <= before:
                    raise Malformed("cbor: keys not in ascending order")  # [S-cbor-1]
                before = encoded
                result[key], pos = self.item(pos, depth + 1)
            return result, pos
        if major == 7:
            if value == 20:
                return False, pos
            if value == 21:
                return True, pos
            if value == 22:
                return None, pos
        raise Malformed("cbor: tag or simple value")  # [S-cbor-2]


def decode(data, count=1):
    """Exactly `count` items and nothing after them [S-cbor-5]. The result is a list of them."""
    decoder = _Decoder(data)
    pos = 0
    out = []
    for _ in range(count):
        value, pos = decoder.item(pos, 1)
        out.append(value)
    if pos != decoder.end:
        raise Malformed("cbor: bytes after the items")
    return out


def first_unsigned(data):
    """The first item of the array that `data` begins with, if that is an unsigned integer, else None. The rest is not read."""
    decoder = _Decoder(data)
    try:
        major, length, pos = decoder.head(0)
        if major != 4 or not 0 < length <= len(data) - pos:
            return None
        major, value, _ = decoder.head(pos)
    except Malformed:
        return None
    return value if major == 0 else None


def _head(major, value):
    if value < 24:
        return bytes((major << 5 | value,))
    if value < 1 << 8:
        return bytes((major << 5 | 24, value))
    if value < 1 << 16:
        return struct.pack(">BH", major << 5 | 25, value)
    if value < 1 << 32:
        return struct.pack(">BI", major << 5 | 26, value)
    return struct.pack(">BQ", major << 5 | 27, value)


def _append(out, value):
    kind = type(value)
    if kind is int:
        out.append(_head(0, value) if value >= 0 else _head(1, -1 - value))
    elif kind is bytes:
        out.append(_head(2, len(value)))
        out.append(value)
    elif kind is str:
        raw = value.encode("utf-8")
        out.append(_head(3, len(raw)))
        out.append(raw)
    elif kind is list or kind is tuple:
        out.append(_head(4, len(value)))
        for element in value:
            _append(out, element)
    elif kind is dict:
        out.append(_head(5, len(value)))
        for key, element in sorted(((encode(k), v) for k, v in value.items()), key=lambda pair: pair[0]):
            out.append(key)
            _append(out, element)
    elif value is None:
        out.append(b"\xf6")
    elif value is True:
        out.append(b"\xf5")
    elif value is False:
        out.append(b"\xf4")
    else:
        raise TypeError(kind)


def encode(value):
    """The one encoding of a value [S-cbor-1]."""
    out = []
    _append(out, value)
    return b"".join(out)
