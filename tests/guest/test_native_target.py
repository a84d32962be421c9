#!/usr/bin/python3
"""The native target, judged by the Linux kernel's initiator; and our card
against it.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

from bed import HOST_MAC, GuestTest
from native_target import HOST_SEEN_BY_GUEST, NQN, NativeTarget

UUID = "5a000000-0000-4000-8000-00000000abcd"

# What a job with the kernel's initiator begins with. PORT is set before.
INITIATOR = rf"""
load initiator
to="-t tcp -a {HOST_SEEN_BY_GUEST} -s $PORT"
connect() {{  # connect [OPTION]... : makes $disk of namespace 1
    nvme connect $to -n {NQN} "$@" || {{ dmesg | tail; fail "connect $*"; }}
    node_of 1
    disk=/dev/$node
}}
disconnect() {{
    nvme disconnect -n {NQN} || fail disconnect
    [ ! -e $disk ] || fail "disk after disconnect"
}}
"""

DISCOVER = rf"""
found=$(nvme discover $to) || {{ echo "$found"; fail discover; }}
check discover 'subnqn: *{NQN}' "$found"
check discover 'trtype: *tcp' "$found"
nvme connect $to -n {NQN}.other 2>/dev/null && fail "a wrong NQN"
connect
ctrl=$(nvme id-ctrl /dev/nvme0)
check id-ctrl 'subnqn *: *{NQN}' "$ctrl"
check id-ctrl '^ioccsz *: *516$' "$ctrl"
check id-ctrl '^vwc *: *0x7$' "$ctrl"
# By number: newer kernels scan namespaces in parallel, so names vary.
ns=$(nvme id-ns /dev/nvme0 -n 1)
check id-ns '^nsze *: *0x20000$' "$ns"
check ns-descs '{UUID}' "$(nvme ns-descs /dev/nvme0 -n 1)"
check list-ns '0x7' "$(nvme list-ns /dev/nvme0)"
for log in smart-log error-log fw-log effects-log changed-ns-list-log; do
    nvme $log /dev/nvme0 >/dev/null || fail $log
done
for feature in 1 2 4 5 6 7 0xb 0xf; do
    nvme get-feature /dev/nvme0 -f $feature >/dev/null ||
        fail "feature $feature"
done
nvme flush $disk >/dev/null || fail flush
nvme verify $disk -s 0 -c 7 || fail verify
nvme write-zeroes $disk -s 0 -c 7 || fail write-zeroes
dd if=/dev/zero of=/run/zero bs=4096 count=1 2>/dev/null
dd if=/dev/urandom of=/run/noise bs=4096 count=1 2>/dev/null
nvme compare $disk -s 0 -c 7 -z 4096 -d /run/zero || fail compare
nvme compare $disk -s 0 -c 7 -z 4096 -d /run/noise 2>/dev/null &&
    fail "compare of other data"
nvme read $disk -s 0x1ffff -c 7 -z 4096 >/dev/null 2>&1 &&
    fail "a read behind the end"
disconnect
say OK
"""

# Each operation, with data compared.
OPERATIONS = r"""
operations() {
    for bs in 4k 32k 256k 1m; do verify $disk $bs 4m; done
    /bin/blkdiscard -o 0 -l 4M $disk || fail discard
    cmp -n 4194304 $disk /dev/zero || fail "discarded blocks"
    verify $disk 64k 4m
    /bin/blkdiscard -z -o 1M -l 2M $disk || fail "write zeroes"
    dd if=$disk bs=1M skip=1 count=2 2>/dev/null | cmp -n 2097152 - /dev/zero ||
        fail "zeroed blocks"
}
"""

# Of a machine that is two hosts to the target. Block devices, so that it is
# the kernel that takes a conflict for one.
RESERVATIONS = rf"""
connect
a=$disk b=/dev/nvme1n1
connect_second() {{
    # nvme-cli thinks of one host only.
    echo "transport=tcp,traddr={HOST_SEEN_BY_GUEST},trsvcid=$PORT,nqn={NQN},\
hostnqn=nqn.2026-11.org.smartnic:second,\
hostid=5a000000-0000-4000-8000-0000000000aa" >/dev/nvme-fabrics ||
        fail "second host"
    wait_for $b || poweroff -f
}}
may() {{  # may DEVICE rw|r-|--: what it can do
    did=$(dd if=$1 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &&
          echo r || echo -)
    did=$did$(dd if=/dev/zero of=$1 bs=4k count=1 oflag=direct 2>/dev/null &&
              echo w || echo -)
    [ "$did" = "$2" ] || fail "$1 does $did, not $2 ($3)"
}}
conflict() {{ refused 'RESERVATION_CONFLICT|Reservation Conflict|0x4?083' "$@"; }}
report() {{  # report DEVICE TYPE REGISTRANTS HOLDERS
    out=$(nvme resv-report $1 --eds -d 256) || fail "report on $1"
    check "type on $1" "^rtype *: $2\$" "$out"
    check "registrants on $1" "^regctl *: $3\$" "$out"
    [ "$(echo "$out" | grep -c 'rcsts *: 1$')" = "$4" ] ||
        {{ echo "$out"; fail "holders"; }}
}}
connect_second
check rescap '^rescap *: *0xff$' "$(nvme id-ns /dev/nvme0 -n 1)"
check nmic '^nmic *: *0x1$' "$(nvme id-ns /dev/nvme0 -n 1)"
check oncs '^oncs *: *0xaf$' "$(nvme id-ctrl /dev/nvme0)"
report $a 0 0 0
conflict nvme resv-acquire $a --crkey 0xa --rtype 1
works nvme resv-register $a --nrkey 0xa
works nvme resv-acquire $a --crkey 0xa --rtype 1
report $b 1 1 1
may $a rw "write exclusive, holder"
may $b r- "write exclusive"
works nvme resv-register $b --nrkey 0xb
may $b r- "write exclusive, registrant"
conflict nvme resv-acquire $b --crkey 0xb --rtype 1
conflict nvme resv-register $b --crkey 0xc --nrkey 0xd --rrega 2
report $a 1 2 1
works nvme resv-acquire $b --crkey 0xb --prkey 0xa --rtype 4 --racqa 1
report $a 4 1 1
may $a -- "exclusive access, registrants only"
may $b rw "exclusive access, registrants only, holder"
works nvme resv-register $a --nrkey 0xa
may $a rw "exclusive access, registrants only, registrant"
works nvme resv-release $b --crkey 0xb --rtype 4
report $a 0 2 0
works nvme resv-acquire $a --crkey 0xa --rtype 5
report $b 5 2 2
# A reservation outlives the connection of who holds it.
nvme disconnect -d nvme1 >/dev/null || fail "disconnect of one"
report $a 5 2 2
connect_second
may $b rw "write exclusive, all registrants"
works nvme resv-register $b --crkey 0xb --rrega 1
may $b r- "write exclusive, all registrants, no registrant"
works nvme resv-release $a --crkey 0xa --rrela 1
report $a 0 0 0
may $b rw "no reservation"
nvme disconnect -n {NQN} >/dev/null || fail disconnect
say OK
"""

BAD_BLOCKS = r"""
connect
dd if=/dev/urandom of=/run/noise bs=4096 count=1 2>/dev/null
read_at() {
    dd if=$disk of=/run/read bs=4096 skip=$1 count=1 iflag=direct 2>/dev/null
}
write_at() {
    dd if=/run/noise of=$disk bs=4096 seek=$1 count=1 oflag=direct 2>/dev/null
}
nvme write-uncor $disk -s 8 -c 15 >/dev/null || fail write-uncor
# Get LBA Status of all: one descriptor, the range complete; 16 from 8 on.
nvme admin-passthru $disk --opcode=0x86 -n 1 -r -l 1024 --cdw12=255 \
    --cdw13=0x10000000 -b >/run/status 2>/run/out || fail "$(cat /run/out)"
check get-lba-status '^1 2 8 0 16 0 $' "$(od -An -tu4 -N 24 /run/status |
                                         tr -s '\n ' ' ' | sed 's/^ //')"
read_at 0 || fail "a block before"
read_at 1 && fail "a bad block"
read_at 2 && fail "another bad block"
read_at 3 || fail "a block behind"
nvme verify $disk -s 8 -c 0 >/dev/null 2>&1 && fail "verify of a bad block"
nvme verify $disk -s 24 -c 7 >/dev/null || fail "verify of good ones"
nvme compare $disk -s 8 -c 7 -z 4096 -d /run/noise >/dev/null 2>&1 &&
    fail "compare with a bad block"
write_at 1 || fail "rewriting"
read_at 1 || fail "a rewritten block"
cmp /run/read /run/noise || fail "a rewritten block's content"
read_at 2 && fail "the other bad block"
/bin/blkdiscard -f -z -o 8192 -l 4096 $disk || fail "write zeroes"
read_at 2 || fail "a zeroed block"
disconnect
say OK
"""

# The kernel puts a notice of namespaces into effect by itself.
RESIZE = r"""
connect
say "SIZE $(cat /sys/block/nvme0n1/size)"
until [ "$(cat /sys/block/nvme0n1/size)" = 196608 ]; do usleep 50000; done
say RESIZED
until [ -e /dev/nvme0n2 ]; do usleep 50000; done
say ADDED
until [ ! -e /dev/nvme0n2 ]; do usleep 50000; done
disconnect
say OK
"""

# The kernel gives up a request that it cannot send five times in a row, so what
# meets a fault may fail; what comes after it has recovered may not.
RECONNECT = r"""
connect -c 1 -l 60
while verify $disk 4k 1m; do
    say ROUND
    read -r more </dev/ttyS0
    [ "$more" = more ] || break
    dd if=/dev/zero of=$disk bs=4k count=64 oflag=direct 2>/dev/null
    dd if=$disk of=/dev/null bs=4k count=64 iflag=direct 2>/dev/null
    say AGAIN
    read -r _ </dev/ttyS0
    until [ "$(cat /sys/class/nvme/nvme0/state)" = live ]; do usleep 20000; done
done
disconnect
say OK
"""

CARD_RESIZE = r"""
wait_for $disk || exit
say "SIZE $(cat $block/size)"
until [ "$(cat $block/size)" = 196608 ]; do usleep 50000; done
dd if=/dev/urandom of=/run/data bs=1M count=1 2>/dev/null
dd if=/run/data of=$disk bs=1M seek=95 oflag=direct 2>/dev/null || fail write
dd if=$disk bs=1M skip=95 iflag=direct 2>/dev/null | cmp - /run/data ||
    fail "what was added"
say RESIZED
read -r _ </dev/ttyS0
dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &&
    fail "a read from what was removed"
say OK
"""


class KernelInitiator(GuestTest):
    """Does somebody else's initiator agree with the target?"""

    def start(self, job, namespaces=(f"1,size=64M,uuid={UUID}",), args=(),
              cmdline=""):
        target = NativeTarget(self.bed.folder, namespaces, args)
        self.addCleanup(target.close)
        guest = self.bed.guest(
            f"PORT={target.port}\n" + INITIATOR + job,
            args=["-netdev", "user,id=n0", "-device",
                  f"virtio-net-pci,netdev=n0,romfile=,mac={HOST_MAC}"],
            cmdline="sn.ip=10.0.2.15/24 " + cmdline)
        return target, guest

    def check_operations(self, connect="connect", **kwargs):
        target, guest = self.start(
            OPERATIONS + f"{connect}\noperations\ndisconnect\nsay OK\n",
            **kwargs)
        self.finish(guest)
        stats = target.stats()
        self.assertEqual(stats["controllers"], 0)
        self.assertEqual(stats["term-reqs"], 0)
        for op in ("read", "write", "dsm", "write-zeroes"):
            self.assertGreater(stats[op], 0, op)

    def test_discover_and_identify(self):
        _, guest = self.start(DISCOVER, (f"1,size=64M,uuid={UUID}",
                                         "7,size=1G,block=4096"))
        self.finish(guest)

    def test_operations(self):
        self.check_operations()

    def test_digests_and_queues(self):
        self.check_operations("connect --hdr-digest --data-digest -i 4 -Q 64")

    def test_small_pieces(self):
        self.check_operations(
            "connect --hdr-digest", namespaces=("1,size=64M,block=4096",),
            args=["--max-r2t", "4", "--r2t-size", "8k", "--c2h-size", "12k",
                  "--ioccsz", "0", "--mdts", "128k", "--success", "off"])

    def test_resize_add_remove(self):
        target, guest = self.start(RESIZE)
        guest.wait_for("@@ SIZE 131072")
        target.command("resize 1 96M")
        guest.wait_for("@@ RESIZED")
        target.command("add 2 16M")
        guest.wait_for("@@ ADDED")
        target.command("remove 2")
        self.finish(guest)

    def test_reconnect_after_faults(self):
        target, guest = self.start(RECONNECT)
        connects = 2                    # an admin and an I/O queue
        for fault in ("drop op=write after=9", "term-req op=read after=9",
                      "half-close queue=io op=write after=9",
                      "truncated op=read after=9"):
            guest.wait_for("@@ ROUND")
            number = target.fault(fault)
            guest.write("more\n")
            target.wait_fired(number)
            connects += 2
            target.wait_stats(connect=connects)
            guest.wait_for("@@ AGAIN")
            guest.write("\n")
        guest.wait_for("@@ ROUND")
        guest.write("enough\n")
        self.finish(guest)
        self.assertEqual(target.stats()["connect"], connects)

    def test_reservations(self):
        # Otherwise the kernel makes one disk of what both hosts see.
        target, guest = self.start(RESERVATIONS,
                                   cmdline="nvme_core.multipath=N")
        self.finish(guest)
        stats = target.stats()
        for op in ("register", "report", "acquire", "release"):
            self.assertGreater(stats["resv-" + op], 0, op)
        self.assertEqual(stats["term-reqs"], 0)

    def test_bad_blocks(self):
        target, guest = self.start(BAD_BLOCKS)
        self.finish(guest)
        self.assertGreater(target.stats()["get-lba-status"], 0)

    def test_host_that_is_gone(self):
        # The keep-alive timeout of the association is 2 s here.
        # Two queues and so three connections, which all go.
        target, guest = self.start(
            "connect -i 2 -k 2\nsay READY\nread -r _ </dev/ttyS0\n")
        guest.wait_for("@@ READY")
        self.assertEqual(target.stats()["controllers"], 1)
        guest.qmp("stop")
        target.wait_stats(connections=0, controllers=0)


class Card(GuestTest):
    """Our card against it."""

    def start(self, job, parameters="", args=(), card="",
              namespaces=("1,size=64M",)):
        target = NativeTarget(self.bed.folder, namespaces, args)
        self.addCleanup(target.close)
        guest = self.bed.guest(job, netdev="user,id=n0", ip="dhcp",
                               cmdline="", volume=target.url(parameters),
                               card=card)
        return target, guest

    def check_operations(self, **kwargs):
        target, guest = self.start(
            OPERATIONS + "wait_for $disk || exit\noperations\n"
            "say OK\n", **kwargs)
        self.finish(guest)
        self.assertGreater(target.stats()["write"], 0)

    def test_operations(self):
        self.check_operations()

    def test_digests_and_small_pieces(self):
        self.check_operations(
            parameters="?hdgst=on&ddgst=on&queues=4", card=",num-queues=4",
            args=["--max-r2t", "4", "--r2t-size", "8k", "--c2h-size", "12k",
                  "--ioccsz", "0", "--mdts", "128k", "--success", "off"])

    def test_resize_and_removal(self):
        target, guest = self.start(CARD_RESIZE)
        guest.wait_for("@@ SIZE 131072")
        target.command("resize 1 96M")
        guest.wait_for("@@ RESIZED")
        target.command("remove 1")
        guest.write("\n")
        self.finish(guest)

    def volume(self, guest, name):
        return self.bed.volume(guest, name)

    def wait_state(self, guest, state):
        guest.wait_until(lambda: self.volume(guest, "state") == state, state)

    def test_path_time_limits(self):
        target, guest = self.start(r"""
wait_for $disk || exit
one() { dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; }
step() { say "$1"; read -r _ </dev/ttyS0; }
one || fail "with a path"
step READY
one && fail "no error without a path (fast-io-fail-tmo)"
step FAST-FAIL
one || fail "with a path again"
step BACK
one && fail "no error after the loss (ctrl-loss-tmo)"
say OK
""", "?fast-io-fail-tmo=1&ctrl-loss-tmo=6&reconnect-delay=1")
        guest.wait_for("@@ READY")
        target.command("refuse on")
        target.command("drop")
        guest.write("\n")
        guest.wait_for("@@ FAST-FAIL")
        target.command("refuse off")
        self.wait_state(guest, "ready")
        guest.write("\n")
        guest.wait_for("@@ BACK")
        target.kill()
        self.wait_state(guest, "failed")
        self.assertIn("ctrl-loss-tmo", self.volume(guest, "error"))
        target.start()
        guest.write("\n")
        self.finish(guest)

    def test_io_timeout(self):
        target, guest = self.start(r"""
wait_for $disk || exit
say READY
read -r _ </dev/ttyS0
dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null ||
    fail "the guest saw an error"
say ANSWERED
read -r _ </dev/ttyS0
say OK
""", "?io-timeout=2&keep-alive-tmo=0")
        guest.wait_for("@@ READY")
        number = target.fault("stall op=read")
        guest.write("\n")
        target.wait_fired(number)
        guest.wait_for("@@ ANSWERED")
        self.assertEqual(self.volume(guest, "error"),
                         "no answer to a read within 2 s")
        self.assertEqual(self.volume(guest, "reconnects"), 1)
        self.assertGreater(self.volume(guest, "latency-read")["max-ns"], 2e9)
        guest.write("\n")
        self.finish(guest)

    def test_restart_with_a_file(self):
        path = self.bed.path("disk")
        target, guest = self.start(r"""
wait_for $disk || exit
dd if=/dev/urandom of=/run/data bs=1M count=4 2>/dev/null
dd if=/run/data of=$disk bs=1M oflag=direct conv=fsync 2>/dev/null
say WRITTEN
read -r _ </dev/ttyS0
dd if=$disk bs=1M count=4 iflag=direct 2>/dev/null | cmp - /run/data ||
    fail "after the restart"
verify $disk 4k 1m
say OK
""", namespaces=(f"1,size=64M,file={path}",))
        guest.wait_for("@@ WRITTEN")
        target.kill()
        target.start()
        guest.write("\n")
        self.finish(guest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
