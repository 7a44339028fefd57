"""Verification: section 10 of sigchain.md, with the report and the command line.

Read-only, standard library and `cryptography` alone. The state machine follows 10.2 paragraph by paragraph.
"""

import argparse
import base64
import heapq
import json
import re
import sys
import unicodedata
from bisect import bisect_right
from hashlib import sha256

import ed25519
import note
from cbor import Malformed, encode
from chainfile import ChainFile
from entry import ZERO32, signed_message
from jsonl import JsonLines
from keys import (MAX_KEYS, Keyring, approvals_hold, key_id, operator_hash, possession_message, reserved, reserved_map,
                  rotation_record)
from tree import Tree, consistent, leaf_hash

KEPT = 100  # [S-verify-3]
APPROVED = ("chain.resolved", "key.enroll", "key.operators", "key.revoke", "key.rotate")  # types of 6.1 with approvals
GAP_REASONS = ("elided", "lost", "archived")
EXIT = {"intact": 0, "faulty": 1, "unvouched": 3, "unreadable": 4}


class Anchors:
    """What the user holds (10.4): key ids, a chain id, checkpoints as parsed notes."""

    def __init__(self, keys=(), chain_id=None, checkpoints=()):
        self.keys = list(keys)
        self.chain_id = chain_id
        self.checkpoints = list(checkpoints)

    def given(self):
        return bool(self.keys or self.checkpoints or self.chain_id is not None)


class Report:
    def __init__(self):
        self.faults = []
        self.counts = {}
        self.verdict = None
        self.problem = None
        self.expected = 0
        self.payloads = [0, 0, 0, 0]  # present, partial, withheld, erased
        self.gaps = [0, 0, 0]
        self.gaps_proven = True
        self.trailer = "none"
        self.attachments = 0
        self.resolved = []
        self.beyond = None
        self.chain_id = None
        self.head = None
        self.root = None
        self.name = None
        self.predecessor = None
        self.vouched = []
        self.missing = []
        self.other_lines = 0
        self.unique = False  # [S-unique-3] whether event ids were compared

    def fault(self, code, phase, place, sequence=None):
        seen = self.counts.get(code, 0)
        self.counts[code] = seen + 1
        if seen < KEPT:
            self.faults.append((code, phase, place, sequence))

    def exit(self):
        return EXIT[self.verdict]

    def as_json(self):
        return {
            "exit": self.exit(), "verdict": self.verdict,
            "faults": [{"code": c, "phase": p, "place": n, "sequence": s} for c, p, n, s in self.faults],
            "counts": self.counts, "entries": self.expected, "present": self.payloads[0], "partial": self.payloads[1],
            "withheld": self.payloads[2], "erased": self.payloads[3], "gaps": dict(zip(GAP_REASONS, self.gaps)),
            "gaps_proven": self.gaps_proven, "trailer": self.trailer, "attachments": self.attachments,
            "resolved": [list(pair) for pair in self.resolved], "beyond": self.beyond,
            "chain_id": self.chain_id and self.chain_id.hex(), "head": self.head and self.head.hex(),
            "root": self.root and self.root.hex(), "unique": self.unique,
        }


class Claims:
    """Erasure claims `[3, e]` not yet met: a heap of the e, and for each the claiming sequences as ranges."""

    def __init__(self):
        self.heap = []
        self.claimants = {}

    def note(self, e, sequence):
        ranges = self.claimants.get(e)
        if ranges is None:
            self.claimants[e] = [[sequence, sequence]]
            heapq.heappush(self.heap, e)
        elif ranges[-1][1] + 1 == sequence:
            ranges[-1][1] = sequence
        else:
            ranges.append([sequence, sequence])

    def drop_below(self, bound):
        while self.heap and self.heap[0] < bound:
            del self.claimants[heapq.heappop(self.heap)]

    def lowest_from(self, bound):
        """The lowest e that is at least `bound`; those below have been passed."""
        self.drop_below(bound)
        return self.heap[0] if self.heap else None

    def on(self, e):
        return self.claimants.get(e, ())


def _listed(ranges, entries):
    """Whether every claimant is in the list of an erasure.done, which is ascending without overlap or touch."""
    firsts = [first for first, _ in entries]
    for low, high in ranges:
        at = bisect_right(firsts, low) - 1
        if at < 0 or high >= entries[at][0] + entries[at][1]:
            return False
    return True


class Verifier:
    """The state of 10.2."""

    def __init__(self, source, anchors, unique=False):
        self.source = source
        self.anchors = anchors
        self.event_ids = set() if unique else None  # [S-unique-1] of all entries that are part of the chain
        self.report = Report()
        self.expected = 0
        self.exact = True
        self.prior = None
        self.stamp = None
        self.tree = None
        self.keyring = Keyring()
        self.complete = True
        self.left = None
        self.last_size = 0
        self.claims = Claims()
        self.lost = {}  # (first, count, hashes) -> nothing, until resolved
        self.unproven = False  # a gap that no seal has proven
        self.after_gap = False  # a gap has taken effect
        self.run_start = None  # sequence of the first of the chain.abandoned entries that end here without a break
        self.approved_ids = set()
        self.chain_id = None
        self.origin = None
        self.frames = 1
        self.waiting = sorted(anchors.checkpoints, key=lambda n: n.size)
        self.anchor_at = 0
        self.vouched = []  # (what, number of entries)
        self.missing = []

    # -- the file ------------------------------------------------------------------------------------------------

    def run(self):
        report = self.report
        code, header_id = self.source.start()
        if code:
            report.fault(code, "content", 0 if self.source.form == "chain" else 1)
            report.verdict = "unreadable"
            return report
        if self._entry_zero(header_id):
            self._rest()
            self._finish()
        self._verdict()
        return report

    def _rest(self):
        """Every frame after entry 0, then the end."""
        while True:
            self._judge_anchors()
            frame = self.source.next()
            if frame is None:
                return self._end(False)
            if frame.kind == "!":
                self.report.fault(frame.problem, "content", frame.place)
                return None
            self._frame(frame)
            self.frames += 1
            if frame.kind == "T":
                place = self.source.place()
                if self.source.more():
                    self.report.fault("FILE_TRAILING", "content", place)
                    return None
                self._judge_anchors()
                return self._end(True)

    def _entry_zero(self, header_id):
        """Section 10.2, *Entry 0*. Whether verification goes on."""
        fault = self.report.fault
        frame = self.source.next()
        if frame is None:
            fault("GENESIS", "chain", self.source.place())
            return False
        place = frame.place
        if frame.kind == "!":
            fault(frame.problem, "content", place)
            return False
        if frame.kind != "E":
            fault("FRAME_ORDER", "chain", place)
            return False
        self.frames += 1
        if frame.problem:
            fault(frame.problem, "content", place, 0)
            return False
        entry, part = frame.value
        digest = entry.digest(ZERO32)  # [S-digest-2]
        code, phase, m = self._genesis_fault(entry, part, digest)
        if code is None:
            if header_id != digest:
                code, phase = "CHAIN_ID", "chain"  # [S-file-2]
            else:
                self.chain_id = self.report.chain_id = digest
                self.report.name = m["name"]
                self.report.predecessor = m["predecessor"]
                self.origin = m["name"] + "/" + digest.hex()
                if self.anchors.chain_id is not None and self.anchors.chain_id != digest:
                    code, phase = "ANCHOR_CHAIN", "chain"  # [S-anchor-1]
                elif any(n.origin != self.origin for n in self.anchors.checkpoints):
                    code, phase = "ANCHOR_CHAIN", "chain"
        if code:
            fault(code, phase, place, entry.sequence)
            return False
        self.keyring.operators = m["operators"]
        for record in m["keys"]:
            self.keyring.enroll(record["public"], record["role"], 0)  # [S-key-8]
        self._use_approvals(entry, m)
        self.keyring.get(entry.signer).signed_entry(0, False)
        self.tree = Tree()
        self._take(entry, part, digest)
        if self.event_ids is not None:
            self.event_ids.add(entry.event_id)
            self.report.unique = True
        self.left = frame.left
        return True

    @staticmethod
    def _genesis_fault(entry, part, digest):
        """(code, phase, map): the first check of entry 0 that fails, short of the chain id."""
        if entry.event_type != "chain.genesis":
            return "GENESIS", "chain", None
        try:
            m = reserved_map(entry, part)
        except Malformed:
            return "RESERVED_PAYLOAD", "content", None
        named = [record for record in m["keys"] if key_id(record["public"]) == entry.signer]
        if not named:
            return "KEY_UNKNOWN", "chain", m
        named = [record for record in named if record["role"] == "entry"]
        if not named:
            return "KEY_ROLE", "chain", m
        public = named[0]["public"]
        if not ed25519.acceptable(public):
            return "KEY_INVALID", "chain", m
        if not ed25519.verify(public, signed_message(digest), entry.signature):
            return "SIGNATURE", "content", m
        if part.hash() != entry.payload_hash:
            return "PAYLOAD_MISMATCH", "content", m
        if entry.sequence != 0:
            return "SEQUENCE", "chain", m
        if entry.prior_hash != ZERO32:
            return "LINK", "chain", m
        seen = set()
        for record in m["keys"]:
            public = record["public"]
            if not ed25519.acceptable(public):
                return "KEY_INVALID", "chain", m
            if key_id(public) in seen or operator_hash(public) in m["operators"]:
                return "KEY_DUPLICATE", "chain", m  # [S-key-3]
            seen.add(key_id(public))
            message = possession_message(ZERO32, entry.event_id, public, record["role"])
            if not ed25519.verify(public, message, record["proof"]):
                return "KEY_POSSESSION", "chain", m  # [S-key-2]
        # [S-genesis-2]
        if m["approvals"] and m["predecessor"] is None:
            return "APPROVAL", "chain", m
        if not approvals_hold(ZERO32, entry, m, m["predecessor"] is not None, lambda p: operator_hash(p) in m["operators"]):
            return "APPROVAL", "chain", m
        return None, None, m

    # -- frames --------------------------------------------------------------------------------------------------

    def _frame(self, frame):
        if frame.kind == "H":
            self.report.fault("FRAME_ORDER", "chain", frame.place)
            self.left = None
        elif frame.kind == "E":
            if frame.problem:
                self.report.fault(frame.problem, "content", frame.place, self.expected if self.exact else None)
                self._unusable_entry(frame.left)
            else:
                self._entry(frame)
        elif frame.problem:
            self.report.fault(frame.problem, "content", frame.place)
            if frame.kind == "G":
                self.prior = self.tree = self.run_start = None
                self.exact = self.complete = False
                # What this gap covered is not known, so it can never be proven.
                self.unproven = True
            self.left = None
        elif frame.kind == "G":
            self._gap(frame)
        else:
            self._state_frame(frame)

    def _unusable_entry(self, left):
        self.expected += 1
        self.claims.drop_below(self.expected)
        self.prior = self.tree = self.run_start = None
        self.complete = False
        self.left = left

    def _take(self, entry, part, digest):
        """What an entry that is part of the chain does to the state, keys aside."""
        self.expected = entry.sequence + 1
        self.prior = digest
        self.stamp = entry.system_time
        if self.tree is not None:
            self.tree.add(0, leaf_hash(digest, entry.signature))
        if part.form == 3 and part.erased > entry.sequence:
            self.claims.note(part.erased, entry.sequence)
        self.claims.drop_below(self.expected)
        kind = part.form
        if kind == 1 and not part.hidden():
            kind = 0
        self.report.payloads[kind] += 1

    def _entry(self, frame):
        """An entry after entry 0, step by step. The first check that fails of each phase counts."""
        entry, part = frame.value
        report, sequence = self.report, entry.sequence
        # 1
        digest = entry.digest(self.chain_id)
        # 2, 3
        public, chain = self._signer(entry, part)
        if public is None:
            if chain:
                report.fault(chain, "chain", frame.place, sequence)
            return self._unusable_entry(frame.left)
        if not ed25519.verify(public, signed_message(digest), entry.signature):
            report.fault("SIGNATURE", "content", frame.place, sequence)  # [S-sig-4]
            return self._unusable_entry(frame.left)
        # 4
        content, m = self._payload_fault(entry, part)
        # 5
        stray = sequence < self.expected
        chain = self._place(entry)
        # 6
        if content is None and chain is None and m is not None:
            chain = self._authority(entry, m)
        # 7 [S-file-3]
        if chain is None and self.left and frame.left != self.left - 1:
            chain = "BATCH"
        # 8
        if content is None and chain is None and entry.event_type == "key.revoke" and self._compromised(entry, m):
            chain = "KEY_COMPROMISED"
        # 9 An erasure.done with a faulty payload is none: what it lists is not known.
        if chain is None and self.claims.on(sequence) and (entry.event_type != "erasure.done" or content is not None):
            chain = "ERASURE"  # [S-payload-5]
        # 10
        if self.event_ids is not None and not stray:
            if chain is None and entry.event_id in self.event_ids:
                chain = "EVENT_ID"  # [S-unique-1]
            self.event_ids.add(entry.event_id)

        if content:
            report.fault(content, "content", frame.place, sequence)
        if chain:
            report.fault(chain, "chain", frame.place, sequence)
        self.left = frame.left
        if stray:
            return None
        self._take(entry, part, digest)
        effective = content is None and chain in (None, "KEY_COMPROMISED", "EVENT_ID")
        if effective:
            self._effect(entry, m)
        elif entry.event_type.startswith(("chain.", "key.")):
            self.complete = False
        if not effective or entry.event_type != "chain.abandoned":
            self.run_start = None
        elif self.run_start is None:
            self.run_start = sequence
        key = self.keyring.get(entry.signer)
        if key is not None:  # None: a key.rotate signed by its new key, without effect
            key.signed_entry(sequence, self.after_gap)
        return None

    def _signer(self, entry, part):
        """Step 2, [S-key-5]: (public key, None), or (None, fault code or None) if the entry is unusable."""
        key = self.keyring.get(entry.signer)
        if key is None:
            record = rotation_record(entry, part)
            if record and record["role"] == "entry" and key_id(record["public"]) == entry.signer:
                if ed25519.acceptable(record["public"]):
                    return record["public"], None
                return None, "KEY_INVALID"
            return None, "KEY_UNKNOWN" if self.complete else None
        if key.role != "entry":
            return None, "KEY_ROLE"
        if not key.active():
            return None, "KEY_ENDED"
        return key.public, None

    @staticmethod
    def _payload_fault(entry, part):
        """Step 4: (fault code or None, the map of a reserved type)."""
        commitment = part.hash()
        if commitment is not None and commitment != entry.payload_hash:
            return "PAYLOAD_MISMATCH", None  # [S-payload-4]
        if part.form == 3 and part.erased <= entry.sequence:
            return "PAYLOAD_MISMATCH", None  # [S-payload-5]
        if not reserved(entry.event_type):
            return None, None
        try:
            return None, reserved_map(entry, part)
        except Malformed:
            return "RESERVED_PAYLOAD", None

    def _place(self, entry):
        """Step 5: a fault code or None. A stray changes nothing."""
        if entry.sequence < self.expected:
            return "SEQUENCE"
        skipped = entry.sequence > self.expected
        surprise = skipped and self.exact
        if skipped:
            self.expected = entry.sequence
            self.prior = self.tree = None
            self.complete = False
            self.claims.drop_below(self.expected)
        self.exact = True
        if surprise:
            return "SEQUENCE"  # [S-seq-1]
        if self.prior is not None and entry.prior_hash != self.prior:
            return "LINK"  # [S-link-1]
        if entry.system_time <= self.stamp:
            return "STAMP"  # [S-stamp-1]
        if entry.event_type == "chain.genesis":
            return "GENESIS"  # [S-genesis-1]
        return None

    def _compromised(self, entry, m):
        """Step 8, [S-key-7]: whether a key.revoke leaves anything of its key that is unattributable."""
        if m["trusted"] is None:
            return False
        size = m["trusted"][0]
        key = self.keyring.get(m["key"])
        if entry.signer == key.id:  # this very entry; the trusted size is not above its sequence
            return True
        return key.last_entry >= size or self.keyring.approvals.get(key.id, -1) >= size or key.last_size > size

    # -- section 6.2 -----------------------------------------------------------------------------------------------

    def _is_operator(self, public):
        return operator_hash(public) in self.keyring.operators

    def _is_checkpoint_key(self, public):
        key = self.keyring.get(key_id(public))
        return key is not None and key.role == "checkpoint" and key.active()

    def _approved(self, entry, m, needed, allowed):
        if m["approvals"] and entry.event_id in self.approved_ids:
            return False
        return approvals_hold(self.chain_id, entry, m, needed, allowed)

    def _authority(self, entry, m):
        """Step 6: a fault code or None."""
        kind, keyring = entry.event_type, self.keyring
        record = m["key"] if kind in ("key.enroll", "key.rotate") else None
        if record:
            public, role = record["public"], record["role"]
            if not ed25519.acceptable(public):
                return "KEY_INVALID"
            if keyring.get(key_id(public)) is not None or self._is_operator(public) or len(keyring.keys) >= MAX_KEYS:
                return "KEY_DUPLICATE"
            if not ed25519.verify(public, possession_message(self.chain_id, entry.event_id, public, role), record["proof"]):
                return "KEY_POSSESSION"
        if kind == "chain.abandoned":  # [S-abandon-1] the pairs ascend
            if m["entries"][0][0] < (entry.sequence if self.run_start is None else self.run_start):
                return "ABANDONED"
        elif kind == "key.enroll":  # [S-enroll-1]
            if not self._approved(entry, m, role == "checkpoint", lambda p: self._is_operator(p) or self._is_checkpoint_key(p)):
                return "APPROVAL"
        elif kind == "key.rotate":  # [S-rotate-1]
            old = keyring.get(m["old"])
            if old is None or old.role != role:
                return "KEY_STATE"
            if role == "entry":
                by_new = entry.signer == key_id(public)
                if not by_new and entry.signer != old.id:
                    return "KEY_STATE"
                if not self._approved(entry, m, by_new, self._is_operator):
                    return "APPROVAL"
            elif not self._approved(entry, m, True, lambda p: self._is_operator(p) or old.active() and p == old.public):
                return "APPROVAL"
        elif kind == "key.operators" or kind == "chain.resolved":  # [S-operators-1] [S-resolve-1]
            if kind == "key.operators" and m["approvals"] and any(operator_hash(k.public) in m["operators"] for k in keyring.keys.values()):
                return "KEY_DUPLICATE"  # [S-key-3]
            if not self._approved(entry, m, True, self._is_operator):
                return "APPROVAL"
        elif kind == "key.revoke":  # [S-revoke-1] [S-revoke-2]
            key = keyring.get(m["key"])
            if key is None or key.trusted is not None:
                return "KEY_STATE"
            if not self._approved(entry, m, True, self._is_operator):
                return "APPROVAL"
            if m["trusted"] is not None and self.tree is not None:
                size, root = m["trusted"]
                if not consistent(size, root, entry.sequence, self.tree.root(), m["consistency"]):
                    return "KEY_TRUSTED"
        elif kind == "erasure.done":
            if not _listed(self.claims.on(entry.sequence), m["entries"]):
                return "ERASURE"  # [S-payload-5]
        return None

    def _use_approvals(self, entry, m):
        """[S-approve-2] Approvals that take effect use the event id up; who gave them matters to [S-key-7]."""
        if m["approvals"]:
            self.approved_ids.add(entry.event_id)
        for public, _ in m["approvals"]:
            self.keyring.approvals[key_id(public)] = entry.sequence

    def _effect(self, entry, m):
        """What an entry without fault does to the keyring and to lost ranges."""
        kind, keyring = entry.event_type, self.keyring
        if kind in APPROVED:
            self._use_approvals(entry, m)
        if kind == "key.enroll":
            keyring.enroll(m["key"]["public"], m["key"]["role"], entry.sequence)
        elif kind == "key.rotate":
            keyring.end(keyring.get(m["old"]), entry.sequence, "superseded")
            keyring.enroll(m["key"]["public"], m["key"]["role"], entry.sequence)
        elif kind == "key.revoke":
            key = keyring.get(m["key"])
            keyring.end(key, entry.sequence, m["reason"])
            key.reason = m["reason"]
            if m["trusted"] is not None:
                key.trusted = m["trusted"][0]
        elif kind == "key.operators":
            keyring.operators = m["operators"]
        elif kind == "chain.resolved":
            self.report.resolved.append((m["first"], m["count"]))
            self.lost.pop(self._range_key(m["first"], m["count"], m["hashes"]), None)  # [S-gap-2]

    @staticmethod
    def _range_key(first, count, hashes):
        return first, count, sha256(b"".join(hashes)).digest()

    # -- gaps ------------------------------------------------------------------------------------------------------

    def _gap(self, frame):
        first, count, reason, hashes = frame.value
        self.left = None
        if first < self.expected:
            self.report.fault("SEQUENCE", "chain", frame.place, first)
            return
        chain = None
        sequence = first
        if first > self.expected:
            if self.exact:
                chain = "SEQUENCE"
            self.tree = None
            self.complete = False
        elif self.tree is not None:
            self.tree.add_range(first, count, hashes)
        self.expected = first + count
        self.exact = True
        self.prior = self.run_start = None
        self.unproven = self.after_gap = True
        self.report.gaps[reason] += count
        if reason == 1:
            self.lost[self._range_key(first, count, hashes)] = None
        claimed = self.claims.lowest_from(first)
        if chain is None and claimed is not None and claimed < self.expected:
            chain, sequence = "ERASURE", claimed
        self.claims.drop_below(self.expected)
        if chain:
            self.report.fault(chain, "chain", frame.place, sequence)

    # -- checkpoints, seals, attachments, the trailer ------------------------------------------------------------------

    def _state_frame(self, frame):
        """C, S, A and T."""
        report = self.report
        content = chain = None
        if frame.kind == "C":
            content, chain = self._checkpoint(frame.value, frame.value.size, frame.value.root, False)
        elif frame.kind == "S":
            content, chain = self._seal(frame.value)
        elif frame.kind == "A":
            report.attachments += 1
        else:
            frames, parsed, size, root = frame.value
            content, chain = self._checkpoint(parsed, size, root, True)
            report.trailer = "signed" if parsed else "unsigned"
        if chain is None and self.left:
            chain = "BATCH"
        self.left = None
        if frame.kind == "T" and frames != self.frames and not (content or chain or report.counts.keys() - {"EVENT_ID"}):
            chain = "TRAILER_COUNT"  # [S-trailer-1]
        if frame.kind == "S" and not (content or chain) and self.tree is not None and self.complete:
            self.unproven = False  # [S-gap-3]
        if content:
            report.fault(content, "content", frame.place)
        if chain:
            report.fault(chain, "chain", frame.place)

    def _accepted_by(self, parsed):
        """[S-checkpoint-4] (number of lines by active checkpoint keys, those keys), without keys if the note is not accepted."""
        active = {key.public: key for key in self.keyring.checkpoint_keys()}
        count, good, publics = note.judge(parsed, active)
        return count, [active[public] for public in publics] if good else []

    def _checkpoint(self, parsed, size, root, trailer):
        """(content fault, chain fault). `parsed` is None in an unsigned trailer."""
        if parsed is not None:
            if parsed.origin != self.origin:
                return None, "CHECKPOINT_ORIGIN"  # [S-checkpoint-2]
            count, signers = self._accepted_by(parsed)
            self.report.other_lines += len(parsed.lines) - count
            if not count and not self.complete:
                return None, None
            if not signers:
                return "CHECKPOINT_SIGNATURE", None
            for key in signers:
                key.signed_size(size)
        if not trailer:
            if size <= self.last_size:
                return None, "CHECKPOINT_SIZE"  # [S-checkpoint-5]
            self.last_size = size
        if self.tree is not None:
            if size != self.expected:
                return None, "CHECKPOINT_SIZE"
            if root != self.tree.root():
                return None, "CHECKPOINT_ROOT"
        return None, None

    def _seal(self, value):
        """(content fault, chain fault)"""
        size, head, stamp, frontier, keyring_digest, epoch, quarantined, signer, signature = value
        key = self.keyring.get(signer)
        if key is None and not self.complete:
            return None, None
        inner = ["sigchain1/seal\0", self.chain_id, size, head, stamp, frontier, keyring_digest, epoch, quarantined, signer]
        message = b"sigchain/seal\0" + sha256(encode(inner)).digest()
        if key is None or key.role != "checkpoint" or not key.active() or not ed25519.verify(key.public, message, signature):
            return "SEAL_SIGNATURE", None  # [S-seal-1]
        key.signed_size(size)
        if self.tree is not None:  # [S-seal-2]
            if size != self.expected or frontier != self.tree.frontier():
                return None, "SEAL_MISMATCH"
            if self.prior is not None and (head != self.prior or stamp != self.stamp):
                return None, "SEAL_MISMATCH"
            if self.complete and keyring_digest != self.keyring.digest(self.chain_id):
                return None, "SEAL_MISMATCH"
        return None, None

    # -- the end, anchors, the verdict -----------------------------------------------------------------------------

    def _judge_anchors(self):
        """[S-anchor-1] Each checkpoint given whose size has come up."""
        while self.anchor_at < len(self.waiting) and self.waiting[self.anchor_at].size <= self.expected:
            anchor = self.waiting[self.anchor_at]
            self.anchor_at += 1
            place = self.source.place()
            if anchor.size != self.expected or self.tree is None:
                self.missing.append("checkpoint of size %d" % anchor.size)
                continue
            _, signers = self._accepted_by(anchor)
            for key in signers:
                key.signed_size(anchor.size)
            if not signers:
                self.report.fault("ANCHOR_SIGNATURE", "chain", place)
            elif anchor.root != self.tree.root():
                self.report.fault("ANCHOR_ROOT", "chain", place)
            else:
                self.vouched.append(("checkpoint of size %d" % anchor.size, anchor.size))

    def _end(self, trailer):
        """Section 10.2, *End*. The file has been read to its end."""
        fault, place = self.report.fault, self.source.place()
        if not trailer:
            if self.source.form == "chain":
                fault("TRAILER_MISSING", "chain", place)  # [S-trailer-2]
            elif self.left:
                fault("BATCH", "chain", place)
        if self.tree is not None:
            if self.lost:
                fault("GAP_UNRESOLVED", "chain", place, min(first for first, _, _ in self.lost))
            claimed = self.claims.lowest_from(self.expected)
            if claimed is not None:
                fault("ERASURE", "chain", place, claimed)
        if self.exact:
            while self.anchor_at < len(self.waiting):
                self.anchor_at += 1
                fault("ANCHOR_AHEAD", "chain", place)

    def _finish(self):
        report = self.report
        report.expected = self.expected
        report.head = self.prior
        report.root = self.tree.root() if self.tree is not None else None
        report.gaps_proven = not self.unproven
        for anchor in self.waiting[self.anchor_at:]:
            self.missing.append("checkpoint of size %d" % anchor.size)
        if self.anchors.chain_id is not None:
            self.vouched.append(("chain id " + self.anchors.chain_id.hex(), 1))
        for ident in self.anchors.keys:
            key = self.keyring.get(ident)
            upto = 0 if key is None else max(key.vouched, key.last_size)
            if upto:
                self.vouched.append(("key " + ident.hex(), upto))
            else:
                self.missing.append("key " + ident.hex())
        if self.vouched:
            report.beyond = max(0, self.expected - max(upto for _, upto in self.vouched))  # [S-anchor-2]
        report.vouched, report.missing = self.vouched, self.missing

    def _verdict(self):
        """[S-anchor-3]"""
        report = self.report
        if report.counts:
            report.verdict = "faulty"
        elif not self.vouched or self.missing or not report.gaps_proven:
            report.verdict = "unvouched"
        else:
            report.verdict = "intact"


def verify_stream(stream, anchors, unique=False):
    """`stream` is a buffered binary stream at its beginning; `unique` asks for all event ids to be compared."""
    lines = stream.peek(1)[:1] == b"{"
    return Verifier(JsonLines(stream) if lines else ChainFile(stream), anchors, unique).run()


def _unreadable(problem):
    report = Report()
    report.verdict = "unreadable"
    report.problem = problem
    return report


def verify_path(path, anchors, unique=False):
    try:
        stream = open(path, "rb")
    except (OSError, ValueError) as reason:
        return _unreadable(str(reason))
    with stream:
        try:
            return verify_stream(stream, anchors, unique)
        except OSError as reason:
            return _unreadable(str(reason))


class BadAnchor(Exception):
    pass


def load_checkpoints(paths):
    out = []
    for path in paths:
        try:
            with open(path, "rb") as stream:
                out.append(note.parse(stream.read(note.MAX_NOTE + 1)))
        except (OSError, ValueError, Malformed) as reason:
            raise BadAnchor("%s: not a checkpoint: %s" % (path, reason)) from None
    return out


# -- what people read ----------------------------------------------------------------------------------------------


def shown(text):
    """Text with control, format (bidi among them), surrogate and separator characters escaped."""
    out = []
    for c in str(text):
        if c == "\\" or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            out.append("\\u{%x}" % ord(c))
        else:
            out.append(c)
    return "".join(out)


def print_report(path, report):
    p = print
    p("%s: %s" % (shown(path), report.verdict))
    if report.problem:
        p("  cannot be read: " + shown(report.problem))
    if report.chain_id:
        p("  chain %s (%s)" % (report.chain_id.hex(), shown(report.name)))
    if report.verdict != "unreadable":
        for what, upto in report.vouched:
            p("  anchor: %s vouches for the first %d entries" % (what, upto))
        for what in report.missing:
            p("  anchor missing: %s says nothing of this file" % what)
        if report.vouched:
            p("  %d of %d entries lie beyond the last that an anchor vouches for" % (report.beyond, report.expected))
        else:
            p("  no anchor holds: at best the file agrees with itself, and anybody can make such a file")
        p("  entries %d; payloads: %d present, %d partly shown, %d withheld (in the word of whoever made the file), %d erased"
          % (report.expected, *report.payloads))
        if any(report.gaps):
            p("  gaps: %d elided, %d lost, %d archived; %s" % (*report.gaps, "proven by a seal" if report.gaps_proven
                                                               else "not proven to leave out no key entry"))
        for first, count in report.resolved[:KEPT]:
            p("  resolved as damaged for good: %d entries from %d" % (count, first))
        if len(report.resolved) > KEPT:
            p("  and %d more resolved ranges" % (len(report.resolved) - KEPT))
        if report.predecessor:
            old = report.predecessor
            p("  continues chain %s of size %d (not checked here): %s"
              % (old["chain"].hex(), old["size"], shown(old["statement"])))
        p("  event ids: %s" % ("compared, as far as entries are here and were judged" if report.unique
                               else "not compared (--unique), those of approvals aside"))
        p("  trailer: %s; attachments not checked: %d; signature lines of others ignored: %d"
          % (report.trailer, report.attachments, report.other_lines))
    for code, phase, place, sequence in report.faults:
        p("  fault %s (%s) at %d%s" % (code, phase, place, "" if sequence is None else ", sequence %d" % sequence))
    for code, count in report.counts.items():
        if count > KEPT:
            p("  %s: %d in all" % (code, count))


# -- command line --------------------------------------------------------------------------------------------------


def _id(length):
    digits = re.compile("[0-9a-fA-F]{%d}" % (2 * length))
    letters = re.compile("[A-Za-z0-9_-]{%d}" % (-(-length * 4 // 3)))

    def read(text):
        if digits.fullmatch(text):
            return bytes.fromhex(text)
        if letters.fullmatch(text):
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if base64.urlsafe_b64encode(raw).rstrip(b"=") == text.encode():
                return raw
        raise argparse.ArgumentTypeError("needs %d hex digits or base64url" % (2 * length))

    return read


def _answer(line):
    """One request of the batch mode."""
    try:
        request = json.loads(line)
        chain_id = request.get("chain_id")
        keys = [bytes.fromhex(one) for one in request.get("keys") or ()]
        chain_id = bytes.fromhex(chain_id) if chain_id else None
        path, paths, unique = request["file"], request.get("checkpoints") or (), bool(request.get("unique"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as reason:
        return {"exit": 2, "error": "bad request: %s" % reason}
    try:
        anchors = Anchors(keys, chain_id, load_checkpoints(paths))
    except BadAnchor as reason:
        return dict(_unreadable(str(reason)).as_json(), error=str(reason))
    return verify_path(path, anchors, unique).as_json()


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="verify.py", description="Verifies a sigchain file.")
    parser.add_argument("file", nargs="?")
    parser.add_argument("--key", action="append", default=[], type=_id(16), metavar="KEYID")
    parser.add_argument("--chain-id", type=_id(32), metavar="ID")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NOTEFILE")
    parser.add_argument("--allow-self-asserted", action="store_true")
    parser.add_argument("--unique", action="store_true",
                        help="compare all event ids with each other; takes about 110 bytes of memory for each entry")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--batch", action="store_true")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")
    if options.batch:
        if options.file is not None:
            parser.error("--batch reads its requests from stdin")
        for line in sys.stdin.buffer:
            if line.strip():
                print(json.dumps(_answer(line)), flush=True)
        return 0
    if options.file is None:
        parser.error("FILE is missing")
    try:
        anchors = Anchors(options.key, options.chain_id, load_checkpoints(options.checkpoint))
    except BadAnchor as reason:
        print(shown(reason), file=sys.stderr)
        return 4
    report = verify_path(options.file, anchors, options.unique)
    if options.json:
        print(json.dumps(report.as_json()))
    else:
        print_report(options.file, report)
    if report.verdict == "unvouched" and options.allow_self_asserted and not anchors.given() and report.gaps_proven:
        return 0
    return report.exit()


if __name__ == "__main__":
    sys.exit(main())
