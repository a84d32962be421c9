#!/usr/bin/python3
"""A guest's disk on a real iSCSI target (the Linux kernel's LIO).

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

from bed import ISCSI_TARGET, ISCSI_VOLUME, NVME
from disk_test import DiskTest


class Operations(DiskTest):
    function = NVME
    service = "iscsi"
    url = ISCSI_VOLUME

    def test_operations(self):
        """LIO on a loop device: UNMAP and WRITE SAME, too."""
        self.start_storage()
        self.check_operations(discard=True, zeroes=True)

    def test_header_digest(self):
        self.start_storage()
        self.check_operations(parameters="?header-digest=crc32c")

    def test_filesystem(self):
        self.start_storage()
        self.check_filesystem()

    def test_resize(self):
        """LIO tells nobody; the card asks."""
        self.start_storage()
        self.check_resize("iscsi_resize")


class Trouble(DiskTest):
    function = NVME
    service = "iscsi"
    url = ISCSI_VOLUME

    def test_target_restarts(self):
        self.start_storage()
        self.start_load()
        for _ in range(3):
            self.tell(self.storage, "iscsi_stop")
            self.wait_state("lost")
            self.tell(self.storage, "iscsi_start")
            self.wait_state("ready")
            self.wait_progress()
        self.end_load()

    def test_lun_reset(self):
        """By another initiator: aborted commands are carried out again, in
        the same session."""
        self.start_storage()
        self.start_load()
        for _ in range(20):
            self.tell(self.storage, "iscsi_lun_reset")
            self.wait_progress()
        self.assertEqual(self.volume("reconnects"), 0)
        self.end_load()

    def test_target_hangs_and_link_flaps(self):
        self.start_storage()
        self.start_load()
        self.check_hang_and_flaps()
        self.end_load()


class Login(DiskTest):
    function = NVME
    service = "iscsi"

    def storage_with(self, line):
        self.start_storage()
        self.tell(self.storage, line)

    def secrets(self, **secrets):
        return [word for name, value in secrets.items() for word in
                ("-object", f"secret,id={name},data={value}")]

    def check_login(self, url, **secrets):
        guest = self.bed.guest("wait_for $disk || exit\nverify $disk 4k 1m\n"
                               "say OK\n", volume=url,
                               extra=self.secrets(**secrets))
        self.finish(guest)

    def wait_error(self, url, pattern, **secrets):
        guest = self.bed.guest("sleep 1000\n", volume=url,
                               extra=self.secrets(**secrets))
        self.guest = guest
        guest.wait_until(lambda: pattern in self.volume("error"), pattern)
        self.assertEqual(self.volume("state"), "connecting")
        for value in secrets.values():
            self.assertNotIn(value, guest.report())
        guest.close()

    def test_chap(self):
        url = ISCSI_VOLUME.replace("://", "://me@")
        self.storage_with("iscsi_chap me sesame-sesame")
        self.check_login(url + "?secret=s0", s0="sesame-sesame")
        self.wait_error(url + "?secret=s0", "Authentication failure",
                        s0="another-secret")

    def test_mutual_chap(self):
        url = (ISCSI_VOLUME.replace("://", "://me@") +
               "?secret=s0&mutual-user=it&mutual-secret=s1")
        self.storage_with("iscsi_chap me sesame-sesame it its-own-secret")
        self.check_login(url, s0="sesame-sesame", s1="its-own-secret")
        self.wait_error(url, "login", s0="sesame-sesame", s1="somebody-else")

    def test_unknown_target(self):
        """The message lists what the portal has."""
        self.start_storage()
        self.wait_error(ISCSI_VOLUME.replace("vol0", "vol7"), ISCSI_TARGET)

    def test_unknown_lun(self):
        self.start_storage()
        self.wait_error(ISCSI_VOLUME[:-1] + "9", "LUN 9")


if __name__ == "__main__":
    unittest.main(verbosity=2)
