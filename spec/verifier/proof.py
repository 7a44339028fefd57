"""Proofs: C2SP .tlog-proof, section 9.4 of sigchain.md."""

import re

import jsonl
import note
import tree
from cbor import Malformed
from entry import ZERO32

MAX_PROOF = 64 * 1024 * 1024
MAX_PATH = 53  # [S-proof-2]

_INDEX = re.compile(rb"0|[1-9][0-9]{0,15}")
_CHAIN = re.compile(r"[0-9a-f]{64}")


class Result:
    """`ok` says whether the proof holds; `reason` why not; the rest is what was read."""

    def __init__(self):
        self.ok = False
        self.reason = None
        self.index = None
        self.size = None
        self.origin = None
        self.digest = None
        self.entry = None
        self.payload = None


def _take(lines, number):
    if number >= len(lines):
        raise Malformed("proof ends early")
    return lines[number]


def _read(text):
    """(extra or None, index, path, note)"""
    if len(text) > MAX_PROOF:
        raise Malformed("proof too large")
    cut = text.find(b"\n\n")
    if cut < 0:
        raise Malformed("no checkpoint")
    lines = text[:cut].split(b"\n")
    if _take(lines, 0) != b"c2sp.org/tlog-proof@v1":
        raise Malformed("not a tlog-proof of version 1")
    at = 1
    extra = None
    if _take(lines, at).startswith(b"extra "):
        extra = note.base64_strict(lines[at][6:])
        at += 1
    index = _take(lines, at)
    if not index.startswith(b"index ") or not _INDEX.fullmatch(index[6:]):
        raise Malformed("index")
    path = lines[at + 1:]
    if len(path) > MAX_PATH:
        raise Malformed("path too long")
    path = [note.base64_strict(one) for one in path]
    if any(len(one) != 32 for one in path):
        raise Malformed("hash in the path")
    return extra, int(index[6:]), path, note.parse(text[cut + 2:])


def verify_proof(text, public_keys, origin=None, leaf=None):
    """Whether the entry at the proof's index is in a tree that one of the checkpoint keys signed.

    The leaf hash comes from `extra` [S-proof-1] or, if there is none, from the caller. Payload commitment is checked if the
    payload is there. The entry's own signature is not: which key signed it is for the chain to say.
    """
    result = Result()
    try:
        extra, result.index, path, checkpoint = _read(bytes(text))
        result.size, result.origin = checkpoint.size, checkpoint.origin
        if origin is not None and checkpoint.origin != origin:
            raise Malformed("origin differs")
        count, good, signers = note.judge(checkpoint, public_keys)
        if not signers or not good:
            raise Malformed("checkpoint is not signed by the given keys")
        if extra is not None:
            name, slash, chain = checkpoint.origin.rpartition("/")
            if not slash or not name or not _CHAIN.fullmatch(chain):
                raise Malformed("origin is no sigchain's")
            result.entry, result.payload, _ = jsonl.parse_entry(extra)
            if result.entry.sequence != result.index:
                raise Malformed("the entry states another sequence")
            chain_id = bytes.fromhex(chain)
            result.digest = result.entry.digest(chain_id if result.index else ZERO32)
            if result.index == 0 and result.digest != chain_id:
                raise Malformed("entry 0 is not that of the chain")
            if result.payload.form <= 1 and result.payload.hash() != result.entry.payload_hash:
                raise Malformed("payload is not the one committed to")
            mine = tree.leaf_hash(result.digest, result.entry.signature)
            if leaf is not None and leaf != mine:
                raise Malformed("leaf differs")
            leaf = mine
        if leaf is None:
            raise Malformed("no entry in the proof and no leaf given")
        if not tree.included(result.index, checkpoint.size, leaf, checkpoint.root, path):
            raise Malformed("path does not lead to the root")
        result.ok = True
    except Malformed as reason:
        result.reason = str(reason)
    return result
