"""Runs the verifier over the test vectors: `python3 check_vectors.py ../vectors`.

A vector is a file (names in `.md` aside): header lines `key: value`, an empty line, and the bytes of a sigchain file. `expect`
is `intact`, `unvouched` or the code of the one fault; `sequence` is that of the fault, which has none if the line is missing.
`key`, `chain-id` (hex or base64url) and `checkpoint` (a note in base64url) are the anchors; `unique: yes` asks for
all event ids to be compared. One line per mismatch, then a count; exit code 0 if all agree, else 1.
"""

import base64
import io
import os
import sys

import note
from verify import Anchors, shown, verify_stream

UNREADABLE = ("FILE_MAGIC", "FILE_HEADER", "FILE_VERSION")  # [S-anchor-3]
SAID = ("comment", "expect", "sequence", "key", "chain-id", "checkpoint", "unique")


def binary(text):
    """Base64url without padding, or with it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def ident(text, length):
    raw = bytes.fromhex(text) if len(text) == 2 * length else binary(text)
    if len(raw) != length:
        raise ValueError("id of %d bytes" % len(raw))
    return raw


def split(data):
    """({key: [value, ...]}, bytes of the file)"""
    head, gap, body = data.partition(b"\n\n")
    if not gap:
        raise ValueError("no empty line")
    header = {}
    for line in str(head, "utf-8").split("\n"):
        key, colon, value = line.partition(": ")
        if not colon or key not in SAID:
            raise ValueError("header line %r" % line)
        header.setdefault(key, []).append(value)
    return header, body


def said(verdict, faults):
    return "%s %s" % (verdict, ", ".join("%s at sequence %s" % fault for fault in faults) or "without fault")


def check(data):
    """What differs, or None."""
    header, body = split(data)
    (expect,) = header["expect"]
    (sequence,) = header.get("sequence", [None])
    if expect in ("intact", "unvouched"):
        wanted = (expect, [])
    else:
        wanted = ("unreadable" if expect in UNREADABLE else "faulty", [(expect, None if sequence is None else int(sequence))])
    chain_ids = [ident(one, 32) for one in header.get("chain-id", ())]
    anchors = Anchors([ident(one, 16) for one in header.get("key", ())], chain_ids[0] if chain_ids else None,
                      [note.parse(binary(one)) for one in header.get("checkpoint", ())])
    (unique,) = header.get("unique", [None])
    if unique not in (None, "yes"):
        raise ValueError("unique is %r" % unique)
    report = verify_stream(io.BufferedReader(io.BytesIO(body)), anchors, unique is not None)
    found = (report.verdict, [(code, number) for code, _, _, number in report.faults])
    return None if found == wanted else "expected %s, found %s" % (said(*wanted), said(*found))


def main(arguments):
    if len(arguments) != 1:
        print("usage: check_vectors.py DIRECTORY", file=sys.stderr)
        return 2
    total = wrong = 0
    for entry in sorted(os.scandir(arguments[0]), key=lambda entry: entry.name):
        if not entry.is_file() or entry.name.startswith(".") or entry.name.endswith(".md"):
            continue
        total += 1
        try:
            with open(entry.path, "rb") as stream:
                problem = check(stream.read())
        except Exception as reason:  # a vector that cannot be run is a mismatch, and the others are still to be run
            problem = "%s: %s" % (type(reason).__name__, reason)
        if problem:
            wrong += 1
            print(shown("%s: %s" % (entry.name, problem)))
    print("%d vectors, %d mismatches" % (total, wrong))
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
