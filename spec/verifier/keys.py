"""Keys, approvals, the keyring and the reserved payloads: sections 5 and 6 of sigchain.md."""

import re
from hashlib import sha256

import ed25519
from cbor import Malformed, decode, encode
from entry import MAX_SEQUENCE, is_bytes, is_int
from tree import pieces

MAX_KEYS = 1024
MAX_MAP = 65_536
MAX_SIZE = 1 << 53
ALGORITHM = "ed25519"
FAMILIES = ("chain.", "key.", "epoch.", "clock.", "recovery.", "quarantine.", "erasure.")
CLOSED_FAMILIES = ("chain.", "key.", "erasure.")
REASONS = ("superseded", "lost", "compromised")

_NAME = re.compile(r"[a-z0-9]([a-z0-9./-]*[a-z0-9])?")


def key_id(public):
    return sha256(encode(["sigchain1/key\0", ALGORITHM, public])).digest()[:16]


def operator_hash(public):
    return sha256(encode(["sigchain1/operator\0", ALGORITHM, public])).digest()


def possession_message(chain_id, event_id, public, role):
    inner = ["sigchain1/possession\0", chain_id, event_id, ALGORITHM, public, role]
    return b"sigchain/possession\0" + sha256(encode(inner)).digest()


def approval_message(chain_id, event_id, event_type, payload_map):
    body = {k: v for k, v in payload_map.items() if k not in ("approvals", "consistency")}
    inner = ["sigchain1/approval\0", chain_id, event_id, event_type, encode(body)]
    return b"sigchain/approval\0" + sha256(encode(inner)).digest()


class Key:
    """One enrolled key, with what it is seen to have signed."""

    __slots__ = ("id", "public", "role", "start", "until", "reason", "trusted", "last_entry", "vouched", "last_size")

    def __init__(self, public, role, start):
        self.id = key_id(public)
        self.public = public
        self.role = role
        self.start = start
        self.until = None
        self.reason = None
        self.trusted = None
        self.last_entry = -1  # highest sequence of an entry with its accepted signature, strays aside
        self.vouched = 0  # number of entries up to the last such one before the first gap [S-anchor-1]
        self.last_size = 0  # highest size that an accepted checkpoint or seal of it states

    def signed_entry(self, sequence, after_gap):
        self.last_entry = sequence
        if not after_gap:
            self.vouched = sequence + 1

    def signed_size(self, size):
        self.last_size = max(self.last_size, size)

    def active(self):
        """The keyring is the state after all entries so far, so a key that has ended has ended before what comes now."""
        return self.until is None


class Keyring:
    def __init__(self):
        self.operators = []
        self.keys = {}
        self.approvals = {}  # key id, enrolled or an operator's: sequence of the last entry with its approval that took effect

    def get(self, ident):
        return self.keys.get(ident)

    def enroll(self, public, role, sequence):
        key = Key(public, role, sequence)
        self.keys[key.id] = key
        return key

    def end(self, key, sequence, reason):
        """[S-key-6]"""
        if key.until is None:
            key.until = sequence
            key.reason = reason

    def checkpoint_keys(self):
        return [key for key in self.keys.values() if key.role == "checkpoint" and key.until is None]

    def digest(self, chain_id):
        """Section 5, keyring digest."""
        rows = [[k.id, k.public, k.role, k.start, k.until, k.reason, k.trusted] for k in self.keys.values()]
        return sha256(encode(["sigchain1/keyring\0", chain_id, self.operators, rows])).digest()


def _need(condition, what):
    if not condition:
        raise Malformed(what)


def _statement(value):
    _need(type(value) is str and len(value) <= 4096 and len(value.encode("utf-8")) <= 4096, "statement")


def _record(value):
    _closed(value, ("alg", "proof", "public", "role"))
    _need(value["alg"] == ALGORITHM and value["role"] in ("entry", "checkpoint"), "algorithm or role")  # [S-key-4]
    _need(is_bytes(value["proof"], 64) and is_bytes(value["public"], 32), "key record")


def _closed(value, names):
    _need(type(value) is dict and value.keys() == set(names), "keys of a closed map")


def _hashes(value, most):
    _need(type(value) is list and len(value) <= most and all(is_bytes(one, 32) for one in value), "hashes")


def _operators(value):
    _hashes(value, 3)
    _need(all(a < b for a, b in zip(value, value[1:])), "operators not ascending")


def _approvals(value):
    _need(type(value) is list and len(value) <= 3, "approvals")
    before = b""
    for one in value:
        _need(type(one) is list and len(one) == 2 and is_bytes(one[0], 32) and is_bytes(one[1], 64), "approval")
        _need(before < one[0], "approvals not ascending")
        before = one[0]


def _genesis(m):
    _closed(m, ("approvals", "format", "keys", "name", "operators", "predecessor"))
    _approvals(m["approvals"])
    _need(is_int(m["format"], 1, 1), "format")
    _need(type(m["keys"]) is list and 1 <= len(m["keys"]) <= 16, "keys")
    for record in m["keys"]:
        _record(record)
    _need(any(record["role"] == "entry" for record in m["keys"]), "no entry key")
    _need(type(m["name"]) is str and 1 <= len(m["name"]) <= 64 and _NAME.fullmatch(m["name"]), "name")
    _operators(m["operators"])
    old = m["predecessor"]
    if old is not None:
        _closed(old, ("chain", "evidence", "root", "size", "statement"))
        _need(is_bytes(old["chain"], 32) and is_bytes(old["root"], 32), "predecessor")
        _need(old["evidence"] is None or is_bytes(old["evidence"], 32), "evidence")
        _need(is_int(old["size"], 1, MAX_SIZE), "size of predecessor")  # [S-genesis-2]
        _statement(old["statement"])


def _abandoned(m):
    _closed(m, ("cause", "entries"))
    _need(m["cause"] in ("signer", "torn") and type(m["cause"]) is str, "cause")
    _need(type(m["entries"]) is list and 1 <= len(m["entries"]) <= 1024, "entries")  # [S-abandon-1]
    before = None
    for one in m["entries"]:
        _need(type(one) is list and len(one) == 2 and is_int(one[0], 0, MAX_SEQUENCE) and is_bytes(one[1], 32), "pair")
        pair = (one[0], one[1])
        _need(before is None or before < pair, "pairs not ascending")
        before = pair


def _resolved(m, sequence):
    _closed(m, ("approvals", "count", "evidence", "first", "hashes", "statement"))
    _approvals(m["approvals"])
    _need(is_int(m["first"], 1, MAX_SEQUENCE) and is_int(m["count"], 1, MAX_SEQUENCE), "range")  # [S-resolve-1]
    _need(m["first"] + m["count"] <= sequence, "range beyond the entry")
    _need(m["evidence"] is None or is_bytes(m["evidence"], 32), "evidence")
    _hashes(m["hashes"], 128)
    _need(len(m["hashes"]) == len(pieces(m["first"], m["count"])), "number of hashes")
    _statement(m["statement"])


def _enroll(m):
    _closed(m, ("approvals", "key"))
    _approvals(m["approvals"])
    _record(m["key"])


def _new_operators(m):
    _closed(m, ("approvals", "operators"))
    _approvals(m["approvals"])
    _operators(m["operators"])


def _revoke(m, sequence):
    _closed(m, ("approvals", "consistency", "key", "reason", "trusted"))
    _approvals(m["approvals"])
    _hashes(m["consistency"], 128)  # [S-revoke-2]
    _need(is_bytes(m["key"], 16), "key id")
    _need(type(m["reason"]) is str and m["reason"] in REASONS, "reason")
    trusted = m["trusted"]
    _need((trusted is not None) == (m["reason"] == "compromised"), "trusted")  # [S-revoke-1]
    if trusted is None:
        _need(not m["consistency"], "consistency without trusted")
    else:
        _need(type(trusted) is list and len(trusted) == 2 and is_bytes(trusted[1], 32), "trusted")
        _need(is_int(trusted[0], 0, sequence), "trusted size")


def _rotate(m):
    _closed(m, ("approvals", "key", "old"))
    _approvals(m["approvals"])
    _record(m["key"])
    _need(is_bytes(m["old"], 16), "key id")


def _erasure(m, sequence):
    _closed(m, ("detail", "entries"))
    _need(type(m["detail"]) is dict, "detail")
    _need(type(m["entries"]) is list and 1 <= len(m["entries"]) <= 4096, "entries")  # [S-erase-1]
    end = -1
    for one in m["entries"]:
        _need(type(one) is list and len(one) == 2, "pair")
        _need(is_int(one[0], 0, MAX_SEQUENCE) and is_int(one[1], 1, MAX_SEQUENCE), "pair")
        _need(one[0] > end, "pairs overlap or touch")
        end = one[0] + one[1]
    _need(end <= sequence, "range beyond the entry")


def check_map(event_type, m, sequence):
    """The maps of 6.1 with the limits of 6.2 that need nothing but the entry itself."""
    if event_type == "chain.genesis":
        _genesis(m)
    elif event_type == "chain.abandoned":
        _abandoned(m)
    elif event_type == "chain.resolved":
        _resolved(m, sequence)
    elif event_type == "key.enroll":
        _enroll(m)
    elif event_type == "key.operators":
        _new_operators(m)
    elif event_type == "key.revoke":
        _revoke(m, sequence)
    elif event_type == "key.rotate":
        _rotate(m)
    elif event_type == "erasure.done":
        _erasure(m, sequence)
    else:
        raise Malformed("unknown type of a closed family")  # [S-reserved-2]


def reserved(event_type):
    return event_type.startswith(FAMILIES)


def reserved_map(entry, part):
    """[S-reserved-1] The map of an entry of a reserved type; raises Malformed if it is not as section 6 wants."""
    if part.form != 0:
        raise Malformed("reserved payload is not present and whole")
    _, _, media_type, data = part.leaves[0]
    if media_type != "application/cbor" or len(data) > MAX_MAP:
        raise Malformed("reserved payload: media type or size")
    m = decode(data)[0]
    if type(m) is not dict:
        raise Malformed("reserved payload is no map")
    if entry.event_type.startswith(CLOSED_FAMILIES):
        check_map(entry.event_type, m, entry.sequence)
    return m


def rotation_record(entry, part):
    """10.2, step 2: the key record of a key.rotate entry whose payload is as section 6 wants, or None."""
    if entry.event_type != "key.rotate":
        return None
    try:
        return reserved_map(entry, part)["key"]
    except Malformed:
        return None


def approvals_hold(chain_id, entry, m, needed, allowed):
    """[S-approve-1] `allowed` says of a public key whether it may approve this entry."""
    given = m["approvals"]
    if needed and not given:
        return False
    if not given:
        return True
    message = approval_message(chain_id, entry.event_id, entry.event_type, m)
    for public, signature in given:
        if not allowed(public) or not ed25519.acceptable(public) or not ed25519.verify(public, message, signature):
            return False
    return True
