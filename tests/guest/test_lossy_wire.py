#!/usr/bin/python3
"""Nothing is lost or changed over a wire that loses and changes frames.

The faults follow from a seed, which each test prints; SEED=n in the environment
plays them again, as far as the machines send the same frames.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import sys
import unittest

import wire
from bed import NVME, VIRTIO_BLK, VOLUME, GuestTest


class Lossy(GuestTest):

    def check(self, faults, bs, size, parameters, card, **chances):
        """@faults frames meet a fault while fio verifies."""
        seed = wire.seed()
        options = [word for kind, chance in chances.items()
                   for word in ("--" + kind, chance)]
        cable = wire.LossyWire(self.bed, "--faults", "0", "--seed", str(seed),
                               *options)
        self.bed.storage(wire="lossy")
        guest = self.bed.guest(f"wait_for $disk 1200 || exit\n"
                               f"verify_until_told $disk {bs} {size}\n"
                               "say OK\n", wire="lossy", card=card,
                               volume=VOLUME + parameters)
        guest.wait_for("@@ VERIFYING")
        cable.command(f"faults {faults}")
        guest.wait_until(lambda: cable.faults() >= faults, "faults enough",
                         300)
        guest.write("\n")
        print(f"SEED={seed}", cable.stats(), "reconnects",
              self.bed.volume(guest, "reconnects"), file=sys.stderr)
        self.finish(guest)


class Nvme(Lossy):

    function = NVME

    def test_all_kinds(self):
        self.check(3000, "16k", "8m", "?queues=4", ",num-queues=4",
                   drop="1/200", double="1/60", reorder="1/60", delay="1/200",
                   corrupt="1/200")

    def test_bad_day(self):
        """Every tenth frame is gone, and the connection with them at times."""
        self.check(300, "4k", "1m", "?queues=2", ",num-queues=2",
                   drop="1/10", double="1/20", reorder="1/20", corrupt="1/20")


class VirtioBlk(Lossy):

    function = VIRTIO_BLK

    def test_digests(self):
        self.check(1000, "32k", "8m", "?queues=2&hdgst=on&ddgst=on",
                   ",num-queues=2", drop="1/300", double="1/100",
                   reorder="1/100", corrupt="1/100")


if __name__ == "__main__":
    unittest.main(verbosity=2)
