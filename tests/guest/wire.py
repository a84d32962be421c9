"""The wire that has faults (tests/targets/wire), between the two machines.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import socket
import subprocess

from machine import TOP, MachineError

WIRE = os.environ.get("LOSSY_WIRE") or os.path.join(
    TOP, "build", "tests", "targets", "wire", "lossy-wire")
KINDS = ("drop", "double", "reorder", "delay", "corrupt")


def seed():
    """The seed of a run: SEED of the environment, to play it again."""
    return int(os.environ.get("SEED") or random.getrandbits(32))


class LossyWire:
    """The wire of @bed, for machines with wire="lossy"."""

    def __init__(self, bed, *options):
        ends = []
        for end, option in (("guest", "--a"), ("storage", "--b")):
            ends += [option, f"{bed.path('wire-' + end)},{bed.path(end)}"]
        control = bed.path("wire-control")
        self._process = subprocess.Popen(
            [WIRE, *ends, "--control", control, *options],
            stdout=subprocess.PIPE)
        bed.add(self)
        if self._process.stdout.readline() != b"ready\n":
            raise MachineError("the wire did not start")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(control)
        self._buffer = b""
        self._spent = 0             # limits of faults reached, not waited for

    def _line(self, timeout=60):
        """The next line."""
        self._socket.settimeout(timeout)
        while b"\n" not in self._buffer:
            data = self._socket.recv(4096)
            if not data:
                raise MachineError("the wire ended")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode()

    def command(self, text):
        """Returns what follows "ok"."""
        self._socket.sendall(text.encode() + b"\n")
        line = self._line()
        while line == "spent":
            self._spent += 1
            line = self._line()
        if not line.startswith("ok"):
            raise MachineError(f"the wire answers {text!r} with {line!r}")
        return line[3:]

    def stats(self):
        """The counters, by name."""
        words = self.command("stats").split()
        return {k: int(v) for k, v in (word.split("=") for word in words)}

    def faults(self):
        """How many faults it did."""
        stats = self.stats()
        return sum(stats[kind] for kind in KINDS)

    def wait_spent(self, timeout=120):
        """Waits until the limit of faults is reached once more."""
        if self._spent:
            self._spent -= 1
            return
        try:
            self._line(timeout)
        except TimeoutError:
            raise MachineError(f"no more faults within {timeout} s: "
                               f"{self.stats()}") from None

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()
        self._socket.close()
