#!/usr/bin/python3
"""A guest's disk on a real NFS server (the Linux kernel's).

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

from bed import NFS_VOLUME, NVME, STORAGE_IP
from disk_test import DiskTest


# Writes under way while the rights change. fio ends when one fails.
RIGHTS = r"""
wait_for $disk || exit
writes() {
    until [ -e /run/enough ]; do
        fio --name=load --filename=$disk --rw=randwrite --bs=16k --size=4m \
            --offset=16m --iodepth=16 --ioengine=libaio --direct=1 --minimal
        usleep 100000
    done >/dev/null 2>&1
}
wait_read_only() { until [ $(cat $block/ro) = $1 ]; do usleep 50000; done; }
writes &
say WRITING
wait_read_only 1
step READ-ONLY
wait_read_only 0
verify $disk 16k 4m
touch /run/enough
wait
verify $disk 16k 4m --offset=16m
say OK
"""

# Ever new blocks, until there is no room.
FULL = r"""
wait_for $disk || exit
part() {
    fio --name=part --filename=$disk --rw=randwrite --bs=16k --size=2m \
        --offset=$((2 * $1))m --iodepth=16 --ioengine=libaio --direct=1 \
        --verify=crc32c --minimal >/run/fio.out 2>&1
}
n=0
say WRITING
while part $n; do n=$((n + 1)); done
grep -q "No space left" /run/fio.out || { cat /run/fio.out; fail "no space"; }
step FULL
works part $n
works part 0
say OK
"""


class NfsTest(DiskTest):
    function = NVME
    service = "nfs"
    url = NFS_VOLUME


class Operations(NfsTest):

    def test_operations(self):
        self.start_storage()
        self.check_operations()

    def test_fixed_ports(self):
        """Nobody asks the port mapper, which could not answer."""
        self.start_storage()
        self.tell(self.storage, "killall rpcbind")
        self.url = NFS_VOLUME.replace(STORAGE_IP, STORAGE_IP + ":2049")
        self.check_operations("?mountport=20048&connections=4")

    def test_filesystem(self):
        self.start_storage()
        self.check_filesystem()

    def test_resize(self):
        self.start_storage()
        self.tell(self.storage,
                  "nfs_resize() { truncate -s $1M /srv/nfs/disk.img; }")
        self.check_resize("nfs_resize")

    def test_size_makes_it_longer(self):
        """An empty file will do, and stays sparse."""
        self.start_storage()
        self.tell(self.storage, ": >/srv/nfs/new.img")
        self.url = NFS_VOLUME.replace("disk.img", "new.img")
        self.check_operations("?size=1G&block-size=4096", size_mb=1024)
        self.tell(self.storage,
                  "[ $(du -m /srv/nfs/new.img | cut -f1) -lt 64 ]")


class Trouble(NfsTest):

    def test_server_restarts(self):
        """Each time with another verifier: what it had not committed is
        written again."""
        self.start_storage()
        self.start_load()
        for _ in range(3):
            self.tell(self.storage, "nfs_stop")
            self.wait_state("lost")
            self.tell(self.storage, "nfs_start")
            self.wait_state("ready")
            self.wait_progress()
        self.end_load()

    def test_restart_between_write_and_commit(self):
        self.start_storage()
        self.guest = guest = self.bed.guest(
            r"""
wait_for $disk || exit
dd if=/dev/urandom of=/run/data bs=64k count=16 2>/dev/null
dd if=/run/data of=$disk bs=64k oflag=direct 2>/dev/null || fail write
step WRITTEN
dd if=/dev/zero of=$disk bs=4k count=0 conv=fsync 2>/dev/null || fail flush
dd if=$disk of=/run/back bs=64k count=16 iflag=direct 2>/dev/null
cmp /run/data /run/back || fail compare
say OK
""", volume=f"{self.url}?{self.fast}", trace="nfs_rewrite")
        guest.wait_for("@@ WRITTEN")
        self.tell(self.storage, "nfs_stop")
        # As a crash of the server would have it.
        self.tell(self.storage, "dd if=/dev/zero of=/srv/nfs/disk.img bs=64k "
                  "count=16 conv=notrunc 2>/dev/null")
        self.tell(self.storage, "nfs_start")
        guest.write("\n")
        self.finish(guest)
        self.assertIn("nfs_rewrite", guest.report())

    def test_answer_lost(self):
        """What the server did, and could not say, it says when it is asked
        again: its cache of replies knows the call."""
        self.start_storage()
        self.start_load(trace="nfs_same_call")
        self.tell(self.storage, "hits() { awk '/^rc/ {print $2}' "
                  "/proc/net/rpc/nfsd; }")
        self.tell(self.storage, "[ $(hits) = 0 ]")
        for _ in range(5):
            self.guest.qmp("set_link", name="n0", up=False)
            self.wait_state("lost")
            self.guest.qmp("set_link", name="n0", up=True)
            self.wait_state("ready")
            self.wait_progress()
        self.tell(self.storage, "[ $(hits) -gt 0 ]")
        self.end_load()
        self.assertIn("nfs_same_call", self.guest.report())

    def test_server_hangs_and_link_flaps(self):
        self.start_storage()
        self.start_load()
        self.check_hang_and_flaps()
        self.end_load()

    def check_error(self, status, export=None, prepare=":"):
        """A write fails, and the driver hears why."""
        self.start_storage()
        self.tell(self.storage, prepare)
        if export:
            self.tell(self.storage, f"nfs_export {export}")
        self.finish(self.bed.guest(rf"""
wait_for $disk || exit
dd if=$disk of=/dev/null bs=1M count=1 iflag=direct 2>/dev/null || fail read
dd if=/dev/zero of=/run/zero bs=128k count=1 2>/dev/null
refused '{status}' nvme write $disk -s 0 -c 255 -z 131072 -d /run/zero
dd if=$disk of=/dev/null bs=1M count=1 iflag=direct 2>/dev/null || fail read
say OK
""", volume=self.url))

    def test_disk_full(self):
        self.check_error("Capacity Exceeded", prepare="dd if=/dev/zero "
                         "of=/srv/nfs/fill bs=1M 2>/dev/null; sync")

    def test_read_only_export(self):
        self.check_error("read.only|write.protected",
                         export="ro,sync,no_root_squash")

    def test_read_only_for_this_user(self):
        self.check_error("read.only|write.protected",
                         prepare="chmod 444 /srv/nfs/disk.img",
                         export="rw,sync,root_squash")

    def start_writes(self, job):
        self.guest = self.bed.guest(job, volume=f"{self.url}?{self.fast}")
        self.guest.wait_for("@@ WRITING")
        self.wait_progress()

    def test_read_only_and_back(self):
        self.start_storage()
        self.start_writes(RIGHTS)
        self.tell(self.storage, "nfs_export ro,sync,no_root_squash")
        self.guest.wait_for("@@ READ-ONLY")
        self.tell(self.storage, "nfs_export rw,sync,no_root_squash")
        self.guest.write("\n")
        self.finish(self.guest)

    def test_full_and_room_again(self):
        self.start_storage("sn.size=64")
        self.start_writes(FULL)
        self.tell(self.storage,
                  "dd if=/dev/zero of=/srv/nfs/fill bs=1M 2>/dev/null; sync")
        self.guest.wait_for("@@ FULL")
        self.tell(self.storage, "rm /srv/nfs/fill")
        self.guest.write("\n")
        self.finish(self.guest)

    def resize(self, size):
        """To @size MB, and work goes on."""
        self.tell(self.storage, f"truncate -s {size}M /srv/nfs/disk.img")
        self.guest.wait_until(
            lambda: f"to {size << 20} bytes" in self.guest.stderr(), "resized")
        self.wait_progress()

    def test_resize_under_load(self):
        self.start_storage()
        self.start_load()
        self.resize(128)
        self.resize(384)
        self.end_load()

    def test_file_is_moved(self):
        """It is known by its handle; what has its name now is none of ours."""
        self.start_storage("sn.size=32")
        self.start_load()
        self.tell(self.storage, "mv /srv/nfs/disk.img /srv/nfs/old")
        self.tell(self.storage, "cp /etc/protocols /srv/nfs/disk.img; nfs_stop")
        self.wait_state("lost")
        self.tell(self.storage, "nfs_start")
        self.wait_state("ready")
        self.end_load()
        self.tell(self.storage, "cmp /etc/protocols /srv/nfs/disk.img")

    def test_file_is_replaced(self):
        """On a file system that gives the inode's number to the next file."""
        self.start_storage("sn.size=32 sn.fs=ext4")
        self.start_load()
        self.tell(self.storage, "rm /srv/nfs/disk.img; "
                  "cp /etc/protocols /srv/nfs/disk.img; nfs_stop")
        self.wait_state("lost")
        self.tell(self.storage, "nfs_start")
        self.guest.wait_until(
            lambda: "replaced by another file" in self.volume("error"), "told")
        self.assertEqual(self.volume("state"), "lost")
        self.tell(self.storage, "cmp /etc/protocols /srv/nfs/disk.img")

    def check_gone_export(self, line, words):
        self.tell(self.storage, line)
        self.guest.wait_until(lambda: words in self.volume("error"), words)
        self.tell(self.storage, "nfs_export rw,sync,no_root_squash")
        self.wait_state("ready")
        self.wait_progress()

    def test_export_is_gone_for_a_while(self):
        """With none for this client the server does not talk to it; with another
        one it says the same (ESTALE) as of a file that is removed."""
        self.start_storage()
        self.start_load()
        self.check_gone_export("exportfs -ua; exportfs -f", "not accepted")
        self.check_gone_export(
            "echo '/run *(ro,insecure,no_subtree_check,fsid=2)' >/etc/exports; "
            "exportfs -r; exportfs -f", "is not exported now")
        self.end_load()

    def test_mount_service_is_gone(self):
        """The file is known; the kernel knows the export."""
        self.start_storage()
        self.start_load()
        self.tell(self.storage, "killall rpc.mountd")
        self.guest.qmp("set_link", name="n0", up=False)
        self.wait_state("lost")
        self.guest.qmp("set_link", name="n0", up=True)
        self.wait_state("ready")
        self.end_load()


class Mount(NfsTest):

    def test_errors_say_what_is_wrong(self):
        self.start_storage()
        self.wait_error(self.url.replace("disk", "other"), "NFS3ERR_NOENT")
        self.wait_error(f"nfs://{STORAGE_IP}/elsewhere/disk.img",
                        "exports /srv/nfs")
        self.tell(self.storage, "mkdir /srv/nfs/folder")
        self.wait_error(self.url.replace("disk.img", "folder"), "regular file")
        self.tell(self.storage, "chmod 600 /srv/nfs/disk.img")
        self.wait_error(self.url + "?uid=1000&gid=1000",
                        "must not be read by uid 1000")


if __name__ == "__main__":
    unittest.main(verbosity=2)
