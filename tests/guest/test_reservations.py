#!/usr/bin/python3
"""Two guests, a card in each, and reservations on the namespace they share.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

from bed import JOB_HELPERS, OBEY
from machine import PLUGIN, Machine
from native_card import NativeCardTest

# What a guest is told to do; which of them can write is seen by block I/O, in
# which it is the kernel that has to understand a conflict.
JOB = r"""
wait_for $disk || exit
resv() { _what=$1; shift; nvme resv-$_what $disk "$@"; }
report() {  # report TYPE REGISTRANTS HOLDERS
    out=$(resv report --eds -d 256) || return
    echo "$out" | grep -q "^rtype *: $1\$" &&
        echo "$out" | grep -q "^regctl *: $2\$" &&
        [ "$(echo "$out" | grep -c 'rcsts *: 1$')" = "$3" ] ||
        { echo "$out"; return 1; }
}
can_read() { dd if=$disk of=/dev/null bs=4k count=1 iflag=direct; }
can_write() { dd if=/dev/zero of=$disk bs=4k count=1 oflag=direct; }
cannot() { ! "$@"; }
conflict() {
    refused 'Reservation Conflict' nvme write $disk -c 7 -z 4096 -d /dev/zero
}
notice() {  # the type of the next page of notifications, which is read; or 0
    nvme resv-notif-log /dev/nvme0 |
        sed -n 's/.*Log Page Type[^:]*: \([0-9]*\).*/\1/p'
}
hears() {  # hears TYPE... : waits for these pages, in this order
    for type; do
        until page=$(notice) && [ "$page" != 0 ]; do
            usleep 20000
        done
        [ "$page" = $type ] || { echo "page of type $page"; return 1; }
    done
}
quiet() { [ "$(notice)" = 0 ]; }
persists() {  # persists VALUE : of feature 83h, and in the report
    check feature "value:(0x)?0*$1\$" \
        "$(nvme get-feature /dev/nvme0 -n 1 -f 0x83)"
    check report "^ptpls *: $1\$" "$(resv report --eds -d 256)"
}
""" + OBEY


class Reservations(NativeCardTest):

    def host(self, name, identity):
        """A guest with @identity: (QEMU's arguments, volume's parameters)."""
        args, parameters = identity
        guest = self.bed.add(Machine.linux(
            name, "sn.role=guest",
            ["-plugin", PLUGIN, "-netdev", "user,id=n0", "-device",
             "smartnic-storage,id=nic0,netdev=n0,volume="
             + self.shared.url(parameters), *args],
            self.bed.folder, job="disk=/dev/nvme0n1\n" + JOB_HELPERS + JOB))
        guest.wait_for("@@ OBEYING")
        return guest

    def setUp(self):
        super().setUp()
        self.shared = self.target("1,size=64M")
        self.a = self.host("a", (["-uuid",
                                  "5a000000-0000-4000-8000-0000000000aa"], ""))
        self.b = self.host("b", (
            [], "?hostnqn=nqn.2026-11.org.smartnic:b"))

    def test_write_exclusive_and_preempt(self):
        a, b = self.a, self.b
        self.tell(a, "resv register --nrkey 0xa")
        self.tell(a, "resv acquire --crkey 0xa --rtype 1")
        self.tell(a, "can_write")
        for line in ("report 1 1 1", "can_read", "cannot can_write", "conflict",
                     "cannot resv acquire --crkey 0xb --rtype 1",
                     # a registrant may not write either
                     "resv register --nrkey 0xb", "cannot can_write",
                     "report 1 2 1",
                     # unless it takes over
                     "resv acquire --crkey 0xb --prkey 0xa --rtype 1 --racqa 1",
                     "report 1 1 1", "can_write"):
            self.tell(b, line)
        for line in ("can_read", "cannot can_write", "conflict",
                     "cannot resv release --crkey 0xa --rtype 1"):
            self.tell(a, line)
        self.tell(b, "resv release --crkey 0xb --rtype 1")
        self.tell(a, "report 0 1 0")
        self.tell(a, "can_write")

    def test_exclusive_access_outlives_guests(self):
        a, b = self.a, self.b
        self.tell(a, "resv register --nrkey 0xa")
        self.tell(a, "resv acquire --crkey 0xa --rtype 4")
        self.tell(b, "cannot can_read")
        self.tell(b, "cannot can_write")
        self.tell(b, "resv register --nrkey 0xb")
        self.tell(b, "can_read")
        self.tell(b, "can_write")
        # Whoever reserved stays the same through the loss of a path, and
        # through a restart.
        connects = self.shared.stats()["connect"]
        self.shared.command("drop")
        self.shared.wait_stats(connect=connects + 4)
        self.tell(a, "can_write")
        a.kill()
        self.tell(b, "report 4 2 1")
        a = self.host("a2", (["-uuid", "5a000000-0000-4000-8000-0000000000aa"],
                             ""))
        self.tell(a, "can_write")
        self.tell(a, "resv release --crkey 0xa --rrela 1")
        self.tell(b, "report 0 0 0")

    def test_lost_on_the_way(self):
        """Nobody knows whether it happened. The guest is told so, and it is
        not sent again behind its back."""
        a = self.a
        self.tell(a, "resv register --nrkey 0xa")
        number = self.shared.fault("drop op=resv-acquire")
        before = self.shared.stats()["resv-acquire"]
        self.tell(a, "cannot resv acquire --crkey 0xa --rtype 1")
        self.shared.wait_fired(number)
        self.tell(a, "report 0 1 0")
        self.assertEqual(self.shared.stats()["resv-acquire"], before + 1)
        self.tell(a, "resv acquire --crkey 0xa --rtype 1")
        self.tell(self.b, "report 1 1 1")

    def test_notices(self):
        """A guest hears what another one does to its reservation."""
        a, b = self.a, self.b
        self.tell(a, "resv register --nrkey 0xa")
        self.tell(b, "resv register --nrkey 0xb")
        self.tell(a, "resv acquire --crkey 0xa --rtype 1")
        self.tell(a, "quiet")
        # Registration preempted
        preempt = "resv acquire --crkey 0xb --prkey 0xa --rtype 3 --racqa 1"
        self.tell(b, preempt)
        self.tell(a, "hears 1")
        # Released, and with it the way that it gave to registrants; cleared
        self.tell(a, "resv register --nrkey 0xa")
        self.tell(b, "resv release --crkey 0xb --rtype 3")
        self.tell(b, "resv release --crkey 0xb --rrela 1")
        self.tell(a, "hears 2 3")
        # What is masked is not heard, but what comes after it.
        self.tell(a, "nvme set-feature /dev/nvme0 -n 1 -f 0x82 -v 2")
        self.tell(a, "resv register --nrkey 0xa")
        self.tell(b, "resv register --nrkey 0xb")
        self.tell(b, preempt)
        self.tell(a, "resv register --nrkey 0xa")
        self.tell(b, "resv release --crkey 0xb --rrela 1")
        self.tell(a, "hears 3")
        self.tell(a, "quiet")
        self.tell(b, "quiet")

    def test_persistence(self):
        """A state of the namespace: both guests see what one sets."""
        for value in (1, 0):
            self.tell(self.a, "nvme set-feature /dev/nvme0 -n 1 -f 0x83 "
                      f"-v {value}")
            self.tell(self.a, f"persists {value}")
            self.tell(self.b, f"persists {value}")

    def test_reset_keeps_them(self):
        """A controller reset in a guest takes back nothing."""
        a, b = self.a, self.b
        self.tell(a, "resv register --nrkey 0xa")
        self.tell(a, "resv acquire --crkey 0xa --rtype 1")
        self.tell(a, "nvme reset /dev/nvme0")
        self.tell(b, "conflict")
        self.tell(a, "can_write")


if __name__ == "__main__":
    unittest.main(verbosity=2)
