"""tgt and nfs-ganesha on this machine.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import subprocess

from machine import DEPS, TOP, MachineError

ROOT = os.path.join(DEPS, "peers", "root")
ISCSI_PATH = "iqn.2026-11.org.smartnic:vol0/1"
NFS_PATH = "mnt/disk.img"


class Unable(MachineError):
    """This machine cannot run that server."""


class Server:
    """tests/targets/servers.sh, running.

    @kind: "iscsi" or "nfs". @folder: an empty one, for its disk, too. @address:
    where it listens; see the script. @wrapper: see NetNs.wrapper().
    """

    def __init__(self, kind, folder, address, wrapper=()):
        self._process = subprocess.Popen(
            [*wrapper, "unshare", "-m",
             os.path.join(TOP, "tests", "targets", "servers.sh"), kind, ROOT,
             folder, address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "IQN": ISCSI_PATH.split("/", 1)[0]})
        told = self._process.stdout.readline()
        if not told.startswith("ready "):
            self.close()
            error = Unable if told.startswith("unable") else MachineError
            raise error(f"no {kind} server: {told.strip()}")
        self.pid = int(told.split()[1])

    def tell(self, line):
        """Has the script carry out @line."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "did\n":
            raise MachineError(f"server: failed: {line}")

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
