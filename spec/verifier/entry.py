"""Entries and payloads: sections 1 (text), 3 and 4 of sigchain.md."""

import re
from hashlib import sha256

from cbor import Malformed, encode

MAX_SEQUENCE = (1 << 53) - 1
MAX_PAYLOAD = 16 * 1024 * 1024
MICRO_MIN = -62135596800000000
MICRO_MAX = 253402300799999999
ZERO32 = bytes(32)

_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_MEDIA_TYPE = re.compile("[\x20-\x7e]{0,127}")


def is_int(value, low, high):
    return type(value) is int and low <= value <= high


def is_bytes(value, length):
    return type(value) is bytes and len(value) == length


def is_text(value, low, high):
    """Text of low to high bytes, without characters of category Cc [S-text-2]."""
    if type(value) is not str or len(value) > high:
        return False
    return low <= len(value.encode("utf-8")) <= high and not _CONTROL.search(value)


def is_event_id(value):
    """[S-entry-2]"""
    return is_bytes(value, 16) and value[6] >> 4 == 7 and value[8] >> 6 == 2


class Entry:
    """The sixteen fields, in order, and the signature."""

    __slots__ = ("fields", "signature", "actor", "event_id", "event_type", "payload_hash", "prior_hash", "sequence", "signer",
                 "system_time")

    def digest(self, chain_id):
        """[S-digest-1] [S-digest-2]"""
        return sha256(encode(["sigchain1/entry\0", chain_id, *self.fields])).digest()


def make_entry(fields, signature):
    """[S-entry-1] to [S-entry-4]: checks each field."""
    (actor, causation, correlation, episode, event_id, event_type, payload_hash, prior_hash, schema_version, sequence, signer,
     span_id, system_time, trace_id, valid_from, valid_to) = fields
    if not is_text(actor, 1, 256):
        raise Malformed("actor")
    if causation is not None and not is_event_id(causation):
        raise Malformed("causation_id")
    if correlation is not None and not is_text(correlation, 1, 128):
        raise Malformed("correlation_id")
    if episode is not None and not is_text(episode, 1, 128):
        raise Malformed("episode_id")
    if not is_event_id(event_id):
        raise Malformed("event_id")
    if type(event_type) is not str or not 1 <= len(event_type) <= 128 or not _EVENT_TYPE.fullmatch(event_type):
        raise Malformed("event_type")  # [S-entry-3]
    if not is_bytes(payload_hash, 32) or not is_bytes(prior_hash, 32):
        raise Malformed("hash")
    if not is_int(schema_version, 0, 65535):
        raise Malformed("schema_version")
    if not is_int(sequence, 0, MAX_SEQUENCE):
        raise Malformed("sequence")
    if not is_bytes(signer, 16):
        raise Malformed("signer_key_id")
    if trace_id is not None and (not is_bytes(trace_id, 16) or not any(trace_id)):
        raise Malformed("trace_id")
    if span_id is not None and (not is_bytes(span_id, 8) or not any(span_id) or trace_id is None):
        raise Malformed("span_id")
    if not is_int(system_time, 0, (1 << 64) - 1):
        raise Malformed("system_time")
    for moment in (valid_from, valid_to):
        if moment is not None and not is_int(moment, MICRO_MIN, MICRO_MAX):
            raise Malformed("valid_from or valid_to")  # [S-entry-4]
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        raise Malformed("valid_to")
    if not is_bytes(signature, 64):
        raise Malformed("signature")
    entry = Entry()
    entry.fields = tuple(fields)
    entry.signature = signature
    entry.actor = actor
    entry.event_id = event_id
    entry.event_type = event_type
    entry.payload_hash = payload_hash
    entry.prior_hash = prior_hash
    entry.sequence = sequence
    entry.signer = signer
    entry.system_time = system_time
    return entry


def signed_message(digest):
    """[S-sig-1]"""
    return b"sigchain/entry\0" + digest


def leaf(salt, name, media_type, data):
    return sha256(encode(["sigchain1/leaf\0", salt, name, media_type, data])).digest()


def commitment(kind, leaves):
    return sha256(encode(["sigchain1/payload\0", kind, *leaves])).digest()


class Payload:
    """A payload part. `form` is 0 to 3; `leaves` are (salt, name, media type, bytes) or 32 bytes; `erased` is e of [3, e]."""

    __slots__ = ("form", "leaves", "erased")

    def hash(self):
        """[S-payload-4] What payload_hash has to be, or None where the payload is not there."""
        if self.form > 1:
            return None
        return commitment(self.form, [one if type(one) is bytes else leaf(*one) for one in self.leaves])

    def hidden(self):
        return any(type(one) is bytes for one in self.leaves)


def _leaf_ok(salt, name, media_type, data, by_field):
    """[S-payload-1]"""
    if not is_bytes(salt, 16) or type(data) is not bytes:
        return False
    if type(media_type) is not str or not _MEDIA_TYPE.fullmatch(media_type):
        return False
    return is_text(name, 1, 128) if by_field else name is None


def make_payload(form, leaves=(), erased=None):
    """[S-payload-1] to [S-payload-3]"""
    part = Payload()
    part.form = form
    part.leaves = list(leaves)
    part.erased = erased
    if form == 0:
        if len(part.leaves) != 1 or not _leaf_ok(*part.leaves[0], False):
            raise Malformed("payload")
    elif form == 1:
        if not 1 <= len(part.leaves) <= 256:  # [S-payload-2]
            raise Malformed("number of payload fields")
        before = None
        for one in part.leaves:
            if type(one) is bytes:
                if len(one) != 32:
                    raise Malformed("hidden payload field")
                continue
            if not _leaf_ok(*one, True):
                raise Malformed("payload field")
            name = one[1].encode("utf-8")
            if before is not None and name <= before:
                raise Malformed("order of payload fields")  # [S-payload-3]
            before = name
    elif form == 3:
        if not is_int(erased, 0, MAX_SEQUENCE):
            raise Malformed("erased by")
    elif form != 2:
        raise Malformed("payload form")
    if sum(len(one[3]) for one in part.leaves if type(one) is not bytes) > MAX_PAYLOAD:
        raise Malformed("payload too large")  # [S-payload-1]
    return part


def entry_from_item(item):
    """The entry item, section 3.5."""
    if type(item) is not list or len(item) != 17:
        raise Malformed("entry item")
    return make_entry(item[:16], item[16])


def payload_from_item(item):
    """The payload part, section 4."""
    if type(item) is not list or not item or type(item[0]) is not int:
        raise Malformed("payload part")
    form = item[0]
    if form == 0 and len(item) == 4:
        return make_payload(0, [(item[1], None, item[2], item[3])])
    if form == 1 and len(item) == 2 and type(item[1]) is list and len(item[1]) <= 256:
        leaves = []
        for one in item[1]:
            if type(one) is list and len(one) == 4:
                leaves.append(tuple(one))
            elif type(one) is bytes:
                leaves.append(one)
            else:
                raise Malformed("payload field")
        return make_payload(1, leaves)
    if form == 2 and len(item) == 1:
        return make_payload(2)
    if form == 3 and len(item) == 2:
        return make_payload(3, erased=item[1])
    raise Malformed("payload part")
