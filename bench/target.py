"""The native NVMe/TCP target, serving one disk in memory.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import subprocess

from machine import TOP

PROGRAM = os.environ.get("NVME_TCP_TARGET") or os.path.join(
    TOP, "build", "tests", "targets", "nvme-tcp-target")
NQN = "nqn.2026-11.org.smartnic:bench"


def why_not():
    """A reason why there is no target, or None."""
    if not os.access(PROGRAM, os.X_OK):
        return f"{PROGRAM} is missing: run ninja test-programs"
    return None


class Target:
    """A running target."""

    def __init__(self, wire, size="256M"):
        self._process = subprocess.Popen(
            [*wire.wrapper, PROGRAM, "--listen", wire.listen + ":0",
             "--nqn", NQN, "--ns", f"1,size={size}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        if not line.startswith("ready "):
            self.close()
            raise RuntimeError(f"the target did not start: {line!r}")
        self.pid = self._process.pid
        self.port = int(line.rsplit(":", 1)[1])
        self.address = wire.target_address

    def url(self):
        return f"nvme+tcp://{self.address}:{self.port}/{NQN}"

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
