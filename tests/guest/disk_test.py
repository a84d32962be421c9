"""What every disk must do whose backend is in a module, for each protocol.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

from bed import OBEY, GuestTest
from machine import BARE_GUEST, Machine

OPERATIONS = r"""
wait_for $disk || exit
say "SIZE $(cat $block/size)"
for bs in 4k 20k 128k 1m; do verify $disk $bs 24m; done
[ -z "$discard" ] || {
    dd if=/dev/zero of=/run/zero bs=1M count=8 2>/dev/null
    /bin/blkdiscard -o 0 -l 8M $disk || fail discard
    dd if=$disk of=/run/back bs=1M count=8 iflag=direct 2>/dev/null
    cmp /run/zero /run/back || fail "discarded blocks"
    verify $disk 64k 8m
}
[ -z "$zeroes" ] || {
    /bin/blkdiscard -z -o 1M -l 4M $disk || fail "write zeroes"
    dd if=$disk of=/run/back bs=1M skip=1 count=4 iflag=direct 2>/dev/null
    head -c 4194304 /run/zero | cmp - /run/back || fail "zeroed blocks"
}
verify $disk 4k 1m --fsync=8
verify $disk 4k 1m --sync=1
say OK
"""

FILESYSTEM = r"""
wait_for $disk || exit
mkfs.ext4 -q -F $disk && mount -t ext4 $disk /mnt || fail mkfs
dd if=/dev/urandom of=/run/data bs=64k count=320 2>/dev/null
cp /run/data /mnt/data && sync && umount /mnt || fail write
mount -t ext4 $disk /mnt && cmp /run/data /mnt/data || fail compare
umount /mnt
say OK
"""

LOAD = """
wait_for $disk 1200 || exit
verify_until_told $disk 16k 8m
say OK
"""

RESIZE = r"""
wait_for $disk || exit
say READY
until [ "$(cat $block/size)" = 786432 ]; do usleep 50000; done
dd if=/dev/urandom of=/run/data bs=1M count=1 2>/dev/null
dd if=/run/data of=$disk bs=1M seek=383 oflag=direct 2>/dev/null || fail write
dd if=$disk bs=1M skip=383 iflag=direct 2>/dev/null | cmp - /run/data ||
    fail "what was added"
step GROWN
until [ "$(cat $block/size)" = 262144 ]; do usleep 50000; done
verify $disk 64k 4m
say OK
"""


class DiskTest(GuestTest):
    """@service: of the storage machine; @url: of its volume. @uplink: for
    Bed.guest(), where it is not the storage machine's wire."""

    uplink = {}
    fast = "keep-alive-tmo=1&reconnect-delay=1"

    def start_storage(self, cmdline=""):
        self.storage = self.bed.storage(f"sn.serve={self.service} {cmdline}",
                                        job=OBEY)
        self.storage.wait_for("@@ OBEYING")

    def volume(self, name):
        return self.bed.volume(self.guest, name)

    def wait_state(self, state):
        self.guest.wait_until(lambda: self.volume("state") == state, state)

    def written(self):
        return self.volume("latency-write")["count"]

    def wait_progress(self):
        """Requests are answered, ones that came after this call too."""
        done = self.written() + 100
        self.guest.wait_until(lambda: self.written() > done, "working")

    def check_operations(self, parameters="", discard=False, zeroes=False,
                         size_mb=256):
        flags = "".join(f"{name}={'y' if on else ''}\n" for name, on in
                        (("discard", discard), ("zeroes", zeroes)))
        guest = self.bed.guest(flags + OPERATIONS, **self.uplink,
                               volume=self.url + parameters)
        sectors = guest.wait_for(r"@@ SIZE (\d+)").group(1)
        self.assertEqual(int(sectors), size_mb * 2048)
        self.finish(guest)

    def check_compare_and_write(self):
        """With the bare guest, as no system's driver makes fused commands."""
        guest = self.bed.add(Machine(
            "guest", ["-kernel", BARE_GUEST, "-append", "compare-and-write",
                      *self.bed.card_args(self.url)],
            self.bed.folder, memory=128))
        guest.wait_for("^@@ COMPARED")
        guest.wait_end()

    def check_filesystem(self):
        self.finish(self.bed.guest(FILESYSTEM, volume=self.url))

    def check_resize(self, command):
        """@command SIZE_IN_MB on the storage machine."""
        self.guest = guest = self.bed.guest(
            RESIZE, volume=f"{self.url}?{self.fast}")
        guest.wait_for("@@ READY")
        self.tell(self.storage, command + " 384")
        guest.wait_for("@@ GROWN")
        self.tell(self.storage, command + " 128")
        guest.write("\n")
        self.finish(guest)

    def start_load(self, parameters="", **kwargs):
        self.guest = self.bed.guest(
            LOAD, volume=f"{self.url}?{self.fast}{parameters}",
            **self.uplink, **kwargs)
        self.guest.wait_for("@@ VERIFYING")
        self.wait_progress()

    def end_load(self):
        """Some more work, then the guest's fio must have seen no error."""
        self.wait_progress()
        self.guest.write("\n")
        self.finish(self.guest)

    def check_hang_and_flaps(self):
        self.storage.qmp("stop")
        self.wait_state("lost")
        self.storage.qmp("cont")
        self.wait_state("ready")
        for _ in range(5):
            self.guest.qmp("set_link", name="n0", up=False)
            self.guest.qmp("set_link", name="n0", up=True)
            self.wait_progress()
        self.guest.qmp("set_link", name="n0", up=False)
        self.wait_state("lost")
        self.guest.qmp("set_link", name="n0", up=True)
        self.wait_state("ready")

    # ---- beginning a session ----

    @staticmethod
    def secrets(**secrets):
        return [word for name, value in secrets.items() for word in
                ("-object", f"secret,id={name},data={value}")]

    def check_login(self, url, **secrets):
        """@secrets: QEMU's objects of that name."""
        self.finish(self.bed.guest(
            "wait_for $disk || exit\nverify $disk 4k 1m\nsay OK\n", volume=url,
            extra=self.secrets(**secrets), **self.uplink))

    def wait_error(self, url, pattern, **secrets):
        """It does not come to be, and says why."""
        self.guest = self.bed.guest("sleep 1000\n", volume=url,
                                    extra=self.secrets(**secrets),
                                    **self.uplink)
        self.guest.wait_until(lambda: pattern in self.volume("error"), pattern)
        self.assertEqual(self.volume("state"), "connecting")
        for value in secrets.values():
            self.assertNotIn(value, self.guest.report())
        self.guest.close()

    def check_chap(self, volume):
        """The target knows "me" by sesame-sesame."""
        url = volume.replace("://", "://me@") + "?secret=s0"
        self.check_login(url, s0="sesame-sesame")
        self.wait_error(url, "Authentication failure", s0="another-secret")

    def check_mutual_chap(self, volume):
        """And is "it" itself, by its-own-secret."""
        url = (volume.replace("://", "://me@") +
               "?secret=s0&mutual-user=it&mutual-secret=s1")
        self.check_login(url, s0="sesame-sesame", s1="its-own-secret")
        self.wait_error(url, "login", s0="sesame-sesame", s1="somebody-else")
