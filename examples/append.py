#!/usr/bin/env python3
"""Records three events through `sigchain append --lines` (spec/lines.md): LEDGER [SIGCHAIN]."""
import json
import subprocess
import sys


class Recorder:
    """One running `sigchain append --lines`. A receipt means: signed, linked and on disk."""

    def __init__(self, ledger, actor, program="sigchain"):
        command = [program, "append", ledger, "--lines", "--actor", actor, "--wait", "30"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, type, payload, **more):
        """Sends an event on its way. Any number may be under way before their receipts are asked for."""
        line = json.dumps({"type": type, "payload": payload, **more})
        self.process.stdin.write(line.encode() + b"\n")

    def receipt(self):
        """The receipt of the oldest event that has none yet. Without one do not act."""
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        outcome = json.loads(line) if line else {"ok": None, "what": "sigchain has ended"}
        if not outcome["ok"]:
            raise RuntimeError(("refused: " if outcome["ok"] is False else "uncertain: ") + outcome["what"])
        return outcome

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


if __name__ == "__main__":
    recorder = Recorder(sys.argv[1], "agent:example", *sys.argv[2:])
    recorder.send("tool.call", {"tool": "search", "query": "tides"}, episode="run-1", ref="call")
    call = recorder.receipt()  # only now may the tool be called
    for number in range(2):
        recorder.send("tool.result", {"hit": number}, episode="run-1", cause=call["event_id"], ref=number)
    for outcome in [call, recorder.receipt(), recorder.receipt()]:
        print(outcome["sequence"], outcome["ref"], outcome["reference"])
    sys.exit(recorder.close())
