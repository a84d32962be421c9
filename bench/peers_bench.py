"""iSCSI and NFS: the card against QEMU's own initiators, to the same server.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import subprocess
import tempfile

from bare_bench import Bare
from machine import DEPS

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(DEPS, "peers", "root")
MODULES = os.path.join(ROOT, "usr", "lib", "x86_64-linux-gnu", "qemu")
IQN = "iqn.2026-11.org.smartnic:vol0"


class Peers(Bare):
    """@url: of the disk. @address: of its server."""
    cases = [f"{kind}:{depth}" for kind in ("read:4096", "write:4096",
                                            "read:131072")
             for depth in (1, 32)]

    def __init__(self):
        self._server = None
        self._pid = None
        self._folder = None

    def why_not(self, lab):
        if not os.path.isdir(MODULES):
            return f"{MODULES} is missing: run scripts/bench-peers.sh"
        if lab.wire.name != "tap":
            return "the servers need a network namespace, with a tap"
        return super().why_not(lab)

    def prepare(self, lab):
        """Starts the server, next to the target of the other benches."""
        # Where QEMU looks for block-iscsi.so and block-nfs.so first
        os.environ["QEMU_MODULE_DIR"] = MODULES
        self._folder = tempfile.mkdtemp(prefix="smartnic-", dir="/dev/shm")
        lab.at_end(self.close)
        self._server = subprocess.Popen(
            [*lab.wire.wrapper, "unshare", "-m",
             os.path.join(HERE, "servers.sh"), self.name, ROOT, self._folder,
             self.address + "/24"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "IQN": IQN})
        told = self._server.stdout.readline().split()
        if len(told) != 2:
            raise RuntimeError(f"no {self.name} server")
        self._pid = int(told[1])
        with self.boot(lab, "", self.card(lab, "virtio-blk"), 1000,
                       ["write:131072:16"]) as machine:
            machine.wait_for("^@@ BEGIN")
            machine.write("xx")
            machine.wait_for("^@@ DONE")

    def server_pid(self, lab):
        return self._pid

    def close(self):
        if self._server:
            self._server.stdin.close()
            self._server.wait()
            self._server.stdout.close()
        shutil.rmtree(self._folder)

    def card(self, lab, function):
        return lab.bed.card_args(
            self.url, netdev=lab.wire.netdev,
            ip=lab.wire.card_ip, card=f",function={function}")

    def qemu(self, lab, options="", *more):
        return [*more, "-drive",
                f"file={self.url},format=raw,if=none,id=disk,cache=none",
                "-device", "virtio-blk-pci,drive=disk,disable-legacy=on,"
                "num-queues=1,queue-size=256" + options]

    def variants(self, lab):
        iothread = ["-object", "iothread,id=io"]
        return {
            "card-nvme": ("", self.card(lab, "nvme")),
            "card-virtio-blk": ("", self.card(lab, "virtio-blk")),
            "qemu-virtio-blk": ("", self.qemu(lab)),
            "qemu-virtio-blk-iothread": (
                "", self.qemu(lab, ",iothread=io", *iothread)),
        }


class Iscsi(Peers):
    """Against block-iscsi, on tgt."""
    name = "iscsi"
    address = "10.77.0.5"
    url = f"iscsi://{address}/{IQN}/1"


class Nfs(Peers):
    """Against block-nfs, on nfs-ganesha."""
    name = "nfs"
    address = "10.77.0.6"
    url = f"nfs://{address}/mnt/disk.img"
