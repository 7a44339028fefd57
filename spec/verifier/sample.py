"""Draws the same sample as `sigchain sample`: section 3 of auditors.md. Verifies the file first, as verify.py does."""

import argparse
import json
import re
import sys
from datetime import datetime, timedelta
from hashlib import sha256

import verify
from cbor import Malformed
from chainfile import ChainFile
from jsonl import JsonLines

DOMAIN = b"sigchain1/sample\0"

_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
_STAMP = re.compile(r"[0-9a-f]{16}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII)


class Wrong(Exception):
    """What was asked for makes no sense here."""


def lot(seed, chain_id, sequence):
    text = seed.encode("utf-8")
    return sha256(DOMAIN + len(text).to_bytes(8, "big") + text + chain_id + sequence.to_bytes(8, "big")).digest()


# -- points --------------------------------------------------------------------------------------------------------


def _time(text):
    """Microseconds since 1970, or None."""
    match = _TIME.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction = int(((match[7] or "") + "000000")[:6])
    micros = 60_000_000 if second == 60 else second * 1_000_000 + fraction
    offset = 0 if match[8] else (1 if match[9] == "+" else -1) * (int(match[10]) * 60 + int(match[11]))
    try:
        start = datetime(year, month, day, hour, minute) - datetime(1970, 1, 1)
    except ValueError:
        return None
    return start // timedelta(microseconds=1) + micros - offset * 60_000_000


def point(text):
    """(kind, value), in the grammar that `sigchain help replay` lists."""
    if text == "head":
        return "back", 0
    if text.startswith("-") and _NUMBER.fullmatch(text[1:]):
        return "back", int(text[1:])
    if _NUMBER.fullmatch(text):
        return "sequence", int(text)
    if _STAMP.fullmatch(text):
        return "stamp", int(text, 16)
    if _UUID.fullmatch(text.lower()):
        return "event", bytes.fromhex(text.lower().replace("-", ""))
    micros = _time(text)
    if micros is None:
        raise argparse.ArgumentTypeError("no point: %r" % text)
    return "time", micros


def _micros(stamp):
    return (stamp >> 32) * 1_000_000 + ((stamp & 0xFFFFFFFF) * 1_000_000 >> 32)


def _first(entries, size, since):
    """Where in `entries` the range begins."""
    kind, value = since
    if kind == "back":
        kind, value = "sequence", max(size - 1 - value, 0)
    for at, entry in enumerate(entries):
        begins = {"sequence": entry.sequence >= value if kind == "sequence" else False,
                  "stamp": entry.system_time >= value if kind == "stamp" else False,
                  "time": _micros(entry.system_time) >= value if kind == "time" else False,
                  "event": entry.event_id == value}[kind]
        if begins:
            return at
    return len(entries)


def _end(entries, size, until):
    """Where in `entries` it ends: behind the last that is meant."""
    kind, value = until
    if kind == "back":
        if value >= size:
            raise Wrong("--until lies before entry 0")
        kind, value = "sequence", size - 1 - value
    for at, entry in enumerate(entries):
        if kind == "event":
            if entry.event_id == value:
                return at + 1
        elif kind == "sequence" and entry.sequence == value:
            return at + 1
        elif {"sequence": entry.sequence, "stamp": entry.system_time, "time": _micros(entry.system_time)}[kind] > value:
            return at
    if kind in ("event", "sequence"):
        raise Wrong("--until names no entry")
    return len(entries)


# -- the population ------------------------------------------------------------------------------------------------


def _pattern(text):
    """A type in which * stands for any part."""
    return re.compile(".*".join(re.escape(part) for part in text.split("*")))


def _wanted(entry, options):
    actor, _, correlation, episode = entry.fields[:4]
    trace = entry.fields[13]
    return ((not options.type or any(one.fullmatch(entry.event_type) for one in options.type))
            and options.actor in (None, actor) and options.episode in (None, episode)
            and options.correlation in (None, correlation)
            and (options.trace is None or trace is not None and options.trace == trace.hex()))


class Tap:
    """A source of frames that remembers the entries it gave."""

    def __init__(self, source):
        self.source = source
        self.form = source.form
        self.entries = []

    def start(self):
        return self.source.start()

    def place(self):
        return self.source.place()

    def more(self):
        return self.source.more()

    def next(self):
        frame = self.source.next()
        if frame is not None and frame.kind == "E" and not frame.problem:
            self.entries.append(frame.value[0])
        return frame


def draw(entries, report, options, limit=None):
    """(population, first and last of the range, [(lot, sequence)] of what is drawn, the lowest lot first)"""
    first = 0 if options.since is None else _first(entries, report.expected, options.since)
    end = len(entries) if options.until is None else _end(entries, report.expected, options.until)
    within = [entry for entry in entries[first:end] if limit is None or entry.sequence < limit]
    population = [entry.sequence for entry in within if _wanted(entry, options)]
    if not population:
        raise Wrong("nothing is selected")
    lots = sorted((lot(options.seed, report.chain_id, sequence), sequence) for sequence in population)
    return len(population), (within[0].sequence, within[-1].sequence), lots[:options.number]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="sample.py", description="Draws a sample of a sigchain file.")
    parser.add_argument("file")
    parser.add_argument("-n", "--number", type=int, required=True, metavar="N")
    parser.add_argument("--seed", required=True)
    parser.add_argument("--checkpoint", metavar="NOTEFILE", help="what is drawn lies before it, and the file is compared with it")
    parser.add_argument("--since", type=point, metavar="POINT")
    parser.add_argument("--until", type=point, metavar="POINT")
    parser.add_argument("--type", type=_pattern, action="append", metavar="TYPE")
    for name in ("actor", "episode", "correlation", "trace"):
        parser.add_argument("--" + name)
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        held = verify.load_checkpoints([options.checkpoint] if options.checkpoint else [])
        with open(options.file, "rb") as stream:
            tap = Tap(JsonLines(stream) if stream.peek(1)[:1] == b"{" else ChainFile(stream))
            report = verify.Verifier(tap, verify.Anchors(checkpoints=held)).run()
    except (OSError, Malformed, verify.BadAnchor) as reason:
        print(verify.shown(reason), file=sys.stderr)
        return 4
    if report.counts:
        verify.print_report(options.file, report)
        return report.exit()
    try:
        population, (first, last), drawn = draw(tap.entries, report, options, held[0].size if held else None)
    except Wrong as reason:
        print(reason, file=sys.stderr)
        return 1
    if not 1 <= options.number <= population:
        print("the population has %d entries" % population, file=sys.stderr)
        return 2
    ranked = sorted((sequence, rank, number.hex()) for rank, (number, sequence) in enumerate(drawn, 1))
    print(json.dumps({
        "chain_id": report.chain_id.hex(), "population": population, "range": {"first": first, "last": last},
        "drawn": [{"sequence": sequence, "rank": rank, "lot": number} for sequence, rank, number in ranked],
    }))
    return 0


if __name__ == "__main__":
    sys.exit(main())
