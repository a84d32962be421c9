"""iSCSI and NFS: the card against QEMU's own initiators, to the same server.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import tempfile

from bare_bench import Bare, cases_at, qemu_virtio
from servers import ISCSI_PATH, NFS_PATH, ROOT, Server

MODULES = os.path.join(ROOT, "usr", "lib", "x86_64-linux-gnu", "qemu")


class Peers(Bare):
    """@url: of the disk. @address: of its server."""
    cases = cases_at((1, 32))

    def __init__(self):
        self._server = None
        self._folder = None

    def why_not(self, lab):
        if not os.path.isdir(MODULES):
            return f"{MODULES} is missing: run scripts/peers.sh"
        if lab.wire.name != "tap":
            return "the servers need a network namespace, with a tap"
        return super().why_not(lab)

    def prepare(self, lab):
        """Starts the server, next to the target of the other benches."""
        # Where QEMU looks for block-iscsi.so and block-nfs.so first
        os.environ["QEMU_MODULE_DIR"] = MODULES
        self._folder = tempfile.mkdtemp(prefix="smartnic-", dir="/dev/shm")
        lab.at_end(self.close)
        self._server = Server(self.name, self._folder, self.address + "/24",
                              lab.wire.wrapper)
        self.fill(lab, self.card(lab, "virtio-blk"))

    def server_pid(self, lab):
        return self._server.pid

    def close(self):
        if self._server:
            self._server.close()
        shutil.rmtree(self._folder)

    def card(self, lab, function):
        return lab.bed.card_args(
            self.url, netdev=lab.wire.netdev,
            ip=lab.wire.card_ip, card=f",function={function}")

    def variants(self, lab):
        return {
            "card-nvme": ("", self.card(lab, "nvme")),
            "card-virtio-blk": ("", self.card(lab, "virtio-blk")),
            **qemu_virtio([
                "-drive",
                f"file={self.url},format=raw,if=none,id=disk,cache=none"]),
        }


class Iscsi(Peers):
    """Against block-iscsi, on tgt."""
    name = "iscsi"
    address = "10.77.0.5"
    url = f"iscsi://{address}/{ISCSI_PATH}"


class Nfs(Peers):
    """Against block-nfs, on nfs-ganesha."""
    name = "nfs"
    address = "10.77.0.6"
    url = f"nfs://{address}/{NFS_PATH}"
