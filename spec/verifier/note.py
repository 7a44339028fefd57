"""Checkpoints: C2SP signed notes whose text is a checkpoint, section 8.3."""

import base64
import binascii
import re
from hashlib import sha256

import ed25519
from cbor import Malformed

MAX_NOTE = 65_536
MAX_LINES = 16
MAX_SIZE = 1 << 53

_DECIMAL = re.compile(rb"[1-9][0-9]{0,15}")
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")


def base64_strict(text):
    """Standard base64 with padding and zero spare bits [S-checkpoint-3]."""
    if not _BASE64.fullmatch(text):
        raise Malformed("base64")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("base64") from None
    if base64.b64encode(raw) != text:
        raise Malformed("base64 with spare bits")
    return raw


class Note:
    """A parsed checkpoint. `lines` are (name, key id of 4 bytes, signature)."""

    __slots__ = ("text", "origin", "size", "root", "lines")


def parse(data):
    """[S-checkpoint-1] [S-checkpoint-3]"""
    if len(data) > MAX_NOTE or not data.endswith(b"\n") or _CONTROL.search(data):
        raise Malformed("note")
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        raise Malformed("note is not UTF-8") from None
    lines = data.split(b"\n")
    lines.pop()
    if len(lines) < 5 or not lines[0] or lines[3]:
        raise Malformed("note is no checkpoint of three lines")
    if not 1 <= len(lines) - 4 <= MAX_LINES:
        raise Malformed("note with too many signatures")
    note = Note()
    note.text = b"\n".join(lines[:3]) + b"\n"
    note.origin = str(lines[0], "utf-8")
    if not _DECIMAL.fullmatch(lines[1]) or int(lines[1]) > MAX_SIZE:
        raise Malformed("checkpoint size")
    note.size = int(lines[1])
    note.root = base64_strict(lines[2])
    if len(note.root) != 32:
        raise Malformed("checkpoint root")
    note.lines = []
    for line in lines[4:]:
        parts = str(line, "utf-8").split(" ")
        if len(parts) != 3 or parts[0] != "\u2014":
            raise Malformed("signature line")
        name = parts[1]
        if not name or "+" in name or any(c.isspace() for c in name):
            raise Malformed("key name")
        blob = base64_strict(parts[2].encode("utf-8"))
        if len(blob) < 5:
            raise Malformed("signature")
        note.lines.append((name, blob[:4], blob[4:]))
    return note


def line_id(origin, public):
    """[S-checkpoint-4]"""
    return sha256(origin.encode("utf-8") + b"\n\x01" + public).digest()[:4]


def judge(note, publics):
    """[S-checkpoint-4] The lines that are to be by one of the given keys: (how many, whether each of them is accepted by one
    of the keys with its 4 bytes, the keys that accepted one)."""
    count = 0
    good = True
    signers = []
    keys = {}
    if any(name == note.origin for name, _, _ in note.lines):
        for public in publics:
            keys.setdefault(line_id(note.origin, public), []).append(public)
    for name, ident, signature in note.lines:
        if name != note.origin or ident not in keys:
            continue
        count += 1
        accepting = [public for public in keys[ident] if ed25519.verify(public, note.text, signature)]
        signers += accepting
        good = good and bool(accepting)
    return count, good, signers
