#!/usr/bin/python3
"""A guest's disk on servers of the host, which are not the kernel's: tgt and
nfs-ganesha, through QEMU's user network.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import tempfile
import unittest

import netns
from bed import NVME
from disk_test import DiskTest
from native_target import HOST_SEEN_BY_GUEST
from servers import ISCSI_PATH, NFS_PATH, Server, Unable


class ServerTest(DiskTest):
    """@kind: of the Server."""

    function = NVME

    def setUp(self):
        super().setUp()
        # The loopback of a namespace of its own: their ports are free there.
        self.net = netns.NetNs([], "10.77.0.9/24")
        self.addCleanup(self.net.close)
        self.uplink = {"netdev": "user,id=n0", "ip": "dhcp", "cmdline": "",
                       "wrapper": self.net.wrapper()}

    def start_server(self):
        folder = tempfile.TemporaryDirectory(prefix="smartnic-",
                                             dir="/dev/shm")
        self.addCleanup(folder.cleanup)
        try:
            self.server = Server(self.kind, folder.name, "127.0.0.1",
                                 self.net.wrapper())
        except Unable as e:
            self.skipTest(str(e))
        self.addCleanup(self.server.close)

    def check_restarts(self):
        """Killed, as a crash would have it."""
        self.start_server()
        self.start_load()
        for _ in range(3):
            self.server.tell("stop")
            self.wait_state("lost")
            self.server.tell("start")
            self.wait_state("ready")
            self.wait_progress()
        self.end_load()


@unittest.skipIf(netns.why_not(), netns.why_not())
class Tgt(ServerTest):

    kind = "iscsi"
    url = f"iscsi://{HOST_SEEN_BY_GUEST}/{ISCSI_PATH}"

    def test_operations(self):
        self.start_server()
        self.check_operations()

    def test_restarts(self):
        self.check_restarts()

    def adm(self, arguments):
        self.server.tell("adm " + arguments)

    def update(self, name, value):
        self.adm("--mode target --op update --tid 1 "
                 f"--name {name} --value {value}")

    def account(self, user, secret, options=""):
        self.adm(f"--mode account --op new --user {user} --password {secret}")
        self.adm(f"--mode account --op bind --tid 1 --user {user} {options}")

    def test_small_window(self):
        """CmdSN may be ahead by two commands only."""
        self.start_server()
        self.update("MaxQueueCmd", 1)
        self.check_operations()

    def test_offline(self):
        """Whom it refuses for its own reasons comes again."""
        self.start_server()
        self.start_load()
        self.update("state", "offline")
        self.guest.wait_until(lambda: "Target error" in self.volume("error"),
                              "refused")
        self.update("state", "ready")
        self.wait_state("ready")
        self.end_load()

    def test_chap(self):
        self.start_server()
        self.account("me", "sesame-sesame")
        self.check_chap(self.url)

    def test_mutual_chap(self):
        self.start_server()
        self.account("me", "sesame-sesame")
        self.account("it", "its-own-secret", "--outgoing")
        self.check_mutual_chap(self.url)


@unittest.skipIf(netns.why_not(), netns.why_not())
class Ganesha(ServerTest):

    kind = "nfs"
    url = f"nfs://{HOST_SEEN_BY_GUEST}/{NFS_PATH}"

    def test_operations(self):
        self.start_server()
        self.check_operations()

    def test_restarts(self):
        self.check_restarts()


if __name__ == "__main__":
    unittest.main(verbosity=2)
