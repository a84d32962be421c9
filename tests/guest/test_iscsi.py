#!/usr/bin/python3
"""A guest's disk on a real iSCSI target (the Linux kernel's LIO).

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

from bed import ISCSI_TARGET, ISCSI_VOLUME, NVME, VIRTIO_BLK
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

    def test_compare_and_write(self):
        """LIO: a block at a time."""
        self.start_storage()
        self.check_compare_and_write()

    def test_filesystem(self):
        self.start_storage()
        self.check_filesystem()

    def test_resize(self):
        """LIO tells nobody; the card asks."""
        self.start_storage()
        self.check_resize("iscsi_resize")


WRITE_THROUGH = r"""
wait_for $disk || exit
verify $disk 16k 4m
verify $disk 4k 256k --fsync=8
verify $disk 4k 256k --sync=1
say OK
"""


class WriteThrough(DiskTest):
    """LIO without a write cache refuses FUA."""

    function = NVME
    service = "iscsi"

    def test_writes(self):
        self.start_storage()
        self.tell(self.storage, "iscsi_write_through")
        self.finish(self.bed.guest(WRITE_THROUGH, volume=ISCSI_VOLUME))


class WriteThroughVirtio(WriteThrough):
    function = VIRTIO_BLK


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

    def test_chap(self):
        self.storage_with("iscsi_chap me sesame-sesame")
        self.check_chap(ISCSI_VOLUME)

    def test_mutual_chap(self):
        self.storage_with("iscsi_chap me sesame-sesame it its-own-secret")
        self.check_mutual_chap(ISCSI_VOLUME)

    def test_unknown_target(self):
        """The message lists what the portal has."""
        self.start_storage()
        self.wait_error(ISCSI_VOLUME.replace("vol0", "vol7"), ISCSI_TARGET)

    def test_unknown_lun(self):
        self.start_storage()
        self.wait_error(ISCSI_VOLUME[:-1] + "9", "LUN 9")


if __name__ == "__main__":
    unittest.main(verbosity=2)
