#!/usr/bin/python3
"""Three protocols behind one NVMe controller.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import unittest

from bed import ISCSI_VOLUME, NFS_VOLUME, NVME, VOLUME, GuestTest

# A network namespace in which not even the loopback is up. The wire to the
# storage machine is a socket in the file system.
NO_NETWORK = ["unshare", "-n" if os.geteuid() == 0 else "-rn"]


class Together(GuestTest):
    function = NVME

    def test_all_at_once(self):
        """One cold by volume=, one cold and one hot by smartnic-volume.

        QEMU has no network: what opened a socket of the host, instead of one
        of the card's, would reach nothing.
        """
        self.bed.storage("sn.serve=nvme,iscsi,nfs sn.size=64")
        guest = self.bed.guest(r"""
node_of 1; nvme=/dev/$node
node_of 2; iscsi=/dev/$node
say READY
node_of 3; nfs=/dev/$node
for d in $nvme $iscsi $nfs; do verify $d 16k 8m & done
wait
for d in $nvme $iscsi $nfs; do
    dd if=/dev/urandom of=/run/$(basename $d) bs=64k count=8 2>/dev/null
    dd if=/run/$(basename $d) of=$d bs=64k oflag=direct 2>/dev/null
done
for d in $nvme $iscsi $nfs; do
    dd if=$d bs=64k count=8 iflag=direct 2>/dev/null |
        cmp - /run/$(basename $d) || fail "$d has another's data"
done
say OK
""", volume=VOLUME, wrapper=NO_NETWORK, extra=[
            "-device",
            f"smartnic-volume,id=v2,bus=nic0.0,nsid=2,url={ISCSI_VOLUME}"])
        guest.wait_for("@@ READY")
        guest.qmp("device_add", driver="smartnic-volume", id="v3",
                  bus="nic0.0", nsid=3, url=NFS_VOLUME)
        self.finish(guest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
