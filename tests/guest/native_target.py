"""The native NVMe/TCP target: started, given faults, and taken down.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import select
import socket
import subprocess
import time

from machine import TOP, MachineError

PROGRAM = os.environ.get("NVME_TCP_TARGET") or os.path.join(
    TOP, "build", "tests", "targets", "nvme-tcp-target")
NQN = "nqn.2026-11.org.smartnic:native"
# Where QEMU's user network has the host's loopback
HOST_SEEN_BY_GUEST = "10.0.2.2"


class NativeTarget:
    """A running target, with a connection to its control socket.

    @namespaces are operands of --ns. After kill(), start() serves again at the
    same port; what is in memory is gone then, what is in files is not.
    """

    def __init__(self, folder, namespaces=("1,size=64M",), args=(),
                 listen="127.0.0.1", nqn=NQN, wrapper=(), name="target",
                 port=0):
        self.nqn = nqn
        self.port = port
        self.log = []           # the lines "fired ...", as they came
        self._wrapper = list(wrapper)
        self._listen = listen
        self._control = os.path.join(folder, name + ".control")
        self._args = ["--nqn", nqn, "--control", self._control, *args]
        for ns in namespaces:
            self._args += ["--ns", ns]
        self._process = None
        self._socket = None
        self._buffer = b""
        self._waiting = []      # of log, those not waited for yet
        self.start()

    def start(self):
        """Serves; at the port of the last time, if there was one."""
        self._process = subprocess.Popen(
            [*self._wrapper, PROGRAM, "--listen",
             f"{self._listen}:{self.port}", *self._args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        if not line.startswith("ready "):
            raise MachineError(f"the target did not start: {line!r}")
        self.port = int(line.rsplit(":", 1)[1])
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(self._control)
        self._buffer = b""
        self._waiting = []

    @property
    def pid(self):
        return self._process.pid

    def url(self, parameters="", address=HOST_SEEN_BY_GUEST):
        """The volume of a card."""
        return f"nvme+tcp://{address}:{self.port}/{self.nqn}{parameters}"

    # ---- the control socket ----

    def _line(self, timeout):
        """The next line, or None when none came in time."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if not select.select([self._socket], [], [], max(left, 0))[0]:
                return None
            data = self._socket.recv(65536)
            if not data:
                raise MachineError("the target has closed its control socket")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode()

    def command(self, text, timeout=30):
        """Runs a command; returns what follows the "ok"."""
        self._socket.sendall(text.encode() + b"\n")
        while True:
            line = self._line(timeout)
            if line is None:
                raise MachineError(f"the target did not answer {text!r}")
            if line.startswith("fired "):
                self._remember(line)
            elif line == "ok" or line.startswith("ok "):
                return line[3:]
            else:
                raise MachineError(f"the target says to {text!r}: {line}")

    def _remember(self, line):
        self.log.append(line)
        self._waiting.append(line)

    def fault(self, text):
        """Adds a fault ("drop op=read after=3"); returns its number."""
        return int(self.command("fault " + text))

    def wait_fired(self, number, timeout=60):
        """Waits until that fault strikes (once more); returns the line."""
        pattern = re.compile(rf"fired {number} ")
        deadline = time.monotonic() + timeout
        while True:
            for line in self._waiting:
                if pattern.match(line):
                    self._waiting.remove(line)
                    return line
            line = self._line(deadline - time.monotonic())
            if line is None:
                raise MachineError(f"fault {number} did not strike within "
                                   f"{timeout} s: {self.command('faults')}")
            self._remember(line)

    def stats(self):
        """The target's counters, by name."""
        pairs = (word.split("=") for word in self.command("stats").split())
        return {name: int(value) for name, value in pairs}

    def wait_stats(self, timeout=60, **wanted):
        """Waits until those counters have these values."""
        deadline = time.monotonic() + timeout
        while True:
            stats = self.stats()
            if all(stats[name] == value for name, value in wanted.items()):
                return
            if time.monotonic() > deadline:
                raise MachineError(f"the target's counters are {stats}, "
                                   f"not {wanted}")
            line = self._line(0.05)
            if line:
                self._remember(line)

    # ---- the end ----

    def kill(self):
        """At once, as a crash would. Harmless when done already."""
        if self._socket:
            self._socket.close()
            self._socket = None
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    close = kill
