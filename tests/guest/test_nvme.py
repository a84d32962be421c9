#!/usr/bin/python3
"""The NVMe function, as Linux's driver and nvme-cli see it.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import re
import unittest

from bed import CARD
from native_card import NativeCardTest

UUID = "6b000000-0000-4000-8000-00000000000"    # and a digit

TWO_PROCESSORS = ["-smp", "2"]

# How many requests of a disk were answered
REQUESTS = r"""
requests() { awk '{print $1 + $5}' /sys/block/$1/stat; }
"""

IDENTIFY = rf"""
wait_for $disk || exit
ctrl=/dev/nvme0
id=$(nvme id-ctrl $ctrl)
check id-ctrl '^sn *: SN525400770002' "$id"
check id-ctrl '^ver *: 0x10400$' "$id"
check id-ctrl '^cntrltype *: 1$' "$id"
check id-ctrl '^oaes *: 0x100$' "$id"
# Doorbell Buffer Config and Get LBA Status
check id-ctrl '^oacs *: 0x300$' "$id"
check id-ctrl '^nn *: 256$' "$id"
check id-ctrl '^oncs *: 0xff$' "$id"
check id-ctrl '^vwc *: 0x7$' "$id"
check list "$disk .*SN525400770002 *SmartNIC storage NVMe .* 67.11  MB" \
    "$(nvme list)"
id=$(nvme id-ns $disk)
check id-ns '^nsze *: 0x20000$' "$id"
check id-ns '^nguid *: {(UUID + "1").replace("-", "")}$' "$id"
check id-ns '^lbaf  0 : ms:0   lbads:9 .*in use' "$id"
check ns-descs '^uuid *: {UUID}1$' "$(nvme ns-descs $disk)"
for option in '' -a; do
    # Newer ones write a heading.
    [ "$(nvme list-ns $ctrl $option | grep -v :$)" = '[   0]:0x1' ] ||
        fail "list-ns $option"
done
[ "$(cat $block/wwid)" = uuid.{UUID}1 ] || fail "wwid $(cat $block/wwid)"
say OK
"""

LOGS = r"""
wait_for $disk || exit
ctrl=/dev/nvme0
smart() {
    nvme smart-log $ctrl | awk -F: -v n="$1" 'index($1, n) == 1 {print $2 + 0}'
}
more() { [ $(smart "$1") -gt $2 ] || fail "$1 is not more than $2"; }
reads=$(smart host_read) writes=$(smart host_write)
errors=$(smart num_err)
read_units=$(smart "Data Units Read") written_units=$(smart "Data Units Writ")
dd if=/dev/zero of=$disk bs=1M count=4 oflag=direct 2>/dev/null || fail write
dd if=$disk of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null || fail read
more host_read $reads
more host_write $writes
# Thousands of 512 bytes: 4 MiB are 8.
more "Data Units Read" $((read_units + 7))
more "Data Units Writ" $((written_units + 7))
[ $(smart critical) = 0 ] || fail "critical warning"
[ $(smart power_cycles) = 1 ] || fail "power cycles"
# 131072 blocks are in the namespace
refused 'LBA Out of Range' nvme read $disk -s 131072 -c 7 -z 4096 -d /run/back
[ $(smart num_err) = $((errors + 1)) ] || fail "error log entries"
log=$(nvme error-log $ctrl -e 1)
check error-log '^lba.*: 0x20000$' "$log"
check error-log '^nsid.*: 0x1$' "$log"
check error-log 'LBA Out of Range' "$log"
log=$(nvme error-log $ctrl -e 64 | grep -c '^error_count')
[ $log = 64 ] || fail "$log entries of the error log"
check fw-log '^frs1 .*0.1.0' "$(nvme fw-log $ctrl)"
effects=$(nvme effects-log $ctrl -c 0)
check effects-log 'ACS6 .*Identify' "$effects"
check effects-log 'IOCS1 .*Write' "$effects"
check changed-ns-list-log '^(no ns changed)?$' "$(nvme changed-ns-list-log $ctrl)"
say OK
"""

FEATURES = r"""
wait_for $disk || exit
ctrl=/dev/nvme0
feature() { nvme get-feature $ctrl -f $1 | sed 's/.*value:\(0x\)\?0*//'; }
for f in 1 2 4 5 6 7 8 9 10 11 14; do
    works nvme get-feature $ctrl -n 1 -f $f
    works nvme get-feature $ctrl -n 1 -f $f -s 1        # the default
    works nvme get-feature $ctrl -n 1 -f $f -s 3        # what it can do
done
[ $(feature 7) = 10001 ] || fail "queues: $(feature 7)"
# Interrupts may come late, but come.
works nvme set-feature $ctrl -f 8 --value=0x0507
[ $(feature 8) = 507 ] || fail "coalescing: $(feature 8)"
verify $disk 4k 1m
works nvme set-feature $ctrl -f 8 --value=0
works nvme set-feature $ctrl -f 4 --value=0x14a
[ $(feature 4) = 14a ] || fail "temperature: $(feature 4)"
[ $(feature 6) = 1 ] || fail "write cache: $(feature 6)"
works nvme set-feature $ctrl -f 6 --value=0
[ -z "$(feature 6)" ] || fail "write cache: $(feature 6)"
verify $disk 4k 1m
works nvme set-feature $ctrl -f 6 --value=1
refused 'Invalid Field' nvme get-feature $ctrl -f 0x1f
refused 'Changeable|Invalid' nvme set-feature $ctrl -f 0x1f --value=1
refused 'not Saveable|Invalid' nvme set-feature $ctrl -f 4 --value=0x150 --save
[ $(feature 4) = 14a ] || fail "temperature: $(feature 4)"
works nvme reset $ctrl
[ $(feature 4) != 14a ] || fail "temperature after a reset: $(feature 4)"
say OK
"""

COMMANDS = r"""
wait_for $disk || exit
ctrl=/dev/nvme0
dd if=/dev/urandom of=/run/noise bs=4096 count=1 2>/dev/null
at="$disk -s 8 -c 7"
works nvme write $at -z 4096 -d /run/noise
works nvme compare $at -z 4096 -d /run/noise
works nvme verify $at
works nvme flush $disk
works nvme read $at -z 4096 -d /run/back
cmp /run/noise /run/back || fail "read"
works nvme write-zeroes $at
refused 'Compare Failure' nvme compare $at -z 4096 -d /run/noise
works nvme compare $at -z 4096 -d /dev/zero
works nvme write $at -z 4096 -d /run/noise --force-unit-access
works nvme dsm $disk -d -s 8 -b 8
works nvme compare $at -z 4096 -d /dev/zero
works nvme write-uncor $at
refused 'Unrecovered Read Error' nvme read $at -z 4096 -d /run/back
refused 'Unrecovered Read Error' nvme verify $at
works nvme admin-passthru $ctrl --opcode=0x86 -n 1 -r -l 1024 --cdw12=255 \
    --cdw13=0x10000000 -b
works nvme write $at -z 4096 -d /run/noise
works nvme compare $at -z 4096 -d /run/noise

unknown='Invalid Command Opcode|Invalid Opcode'
refused "$unknown" nvme format $disk -f
refused "$unknown" nvme device-self-test $ctrl -s 1
refused "$unknown" nvme sanitize $ctrl -a 2
refused "$unknown" nvme delete-ns $ctrl -n 1
refused "$unknown" nvme io-passthru $disk --opcode=0x7d -n 1
refused 'Invalid Namespace' nvme id-ns $ctrl -n 257
refused 'Invalid Queue Identifier' \
    nvme admin-passthru $ctrl --opcode=5 --cdw10=0x30000
works nvme reset $ctrl
verify $disk 4k 1m
say OK
"""

# Each processor has a queue of its own, and with Doorbell Buffer Config, which
# Linux uses when there is one, most commands need no doorbell.
QUEUES = r"""
wait_for $disk || exit
[ $(ls $block/mq | wc -l) = 2 ] || fail "queues: $(ls $block/mq)"
for cpu in 0 1; do
    verify $disk 4k 8m --offset=$((cpu * 8))m --cpus_allowed=$cpu &
done
wait
for bs in 512 20k 1m; do verify $disk $bs 4m; done
say "INTERRUPTS $(awk '/nvme0q[12]/ {print $2 + $3}' /proc/interrupts |
    tr '\n' ' ')"
step VERIFIED
say OK
"""


class Tools(NativeCardTest):
    """nvme-cli."""

    def check_job(self, job):
        target = self.target(f"1,size=64M,uuid={UUID}1")
        self.finish(self.guest(job, target.url(), extra=TWO_PROCESSORS))

    def test_identify(self):
        self.check_job(IDENTIFY)

    def test_logs(self):
        self.check_job(LOGS)

    def test_features(self):
        self.check_job(FEATURES)

    def test_commands(self):
        self.check_job(COMMANDS)


class Namespaces(NativeCardTest):

    def add(self, guest, nsid, url, bus="nic0.0"):
        guest.qmp("device_add", driver="smartnic-volume", id=f"v{nsid}",
                  bus=bus, nsid=nsid, url=url)

    def test_queues(self):
        target = self.target("1,size=64M")
        guest = self.guest(QUEUES, target.url("?queues=2"),
                           extra=TWO_PROCESSORS)
        seen = guest.wait_for(r"@@ INTERRUPTS (\d+) (\d+)", 240).groups()
        self.assertNotIn("0", seen)
        guest.wait_for("@@ VERIFIED")
        queues = guest.property(CARD + "/storage", "queue-latency")
        self.assertEqual([queue["qid"] for queue in queues], [1, 2])
        for queue in queues:
            self.assertGreater(queue["count"], 1000)
        guest.write("\n")
        self.finish(guest)

    def test_hot_add_and_remove(self):
        """Under fio on the first; one comes by NVMe/TCP, one from RAM."""
        target = self.target("1,size=64M", "2,size=32M")
        guest = self.guest(REQUESTS + r"""
wait_for $disk || exit
verify_until_told $disk 16k 4m &
first=$!
for round in 1 2 3; do
    say "ROUND $round"
    loads=
    for nsid in 2 3; do
        node_of $nsid
        verify /dev/$node 4k 1m
        # Until it is taken away; fio may see that, but must end.
        fio --name=$node --filename=/dev/$node --rw=randrw --bs=4k \
            --iodepth=8 --ioengine=libaio --direct=1 --time_based \
            --runtime=1000 >/dev/null 2>&1 &
        loads="$loads $!"
        enough=$(($(requests $node) + 50))
        until [ $(requests $node) -gt $enough ]; do usleep 10000; done
        say "LOAD $nsid"
    done
    wait $loads
    while grep -qx '[23]' /sys/block/nvme0n*/nsid; do usleep 10000; done
done
say GONE
wait $first
say OK
""", target.url(), extra=TWO_PROCESSORS)
        for round_ in (1, 2, 3):
            guest.wait_for(f"@@ ROUND {round_}")
            self.add(guest, 2, target.url("?nsid=2"))
            self.add(guest, 3, "mem://?size=16M")
            for nsid in (2, 3):
                guest.wait_for(f"@@ LOAD {nsid}", 240)
            for nsid in (2, 3):
                guest.qmp("device_del", id=f"v{nsid}")
        guest.wait_for("@@ GONE")
        guest.write("\n")
        self.finish(guest)

    def test_replace(self):
        """Another disk at once in the place of one that is in use."""
        guest = self.guest(REQUESTS + r"""
wait_for $disk || exit
say READY
for mib in 16 24 16; do
    until node_of 2 && [ "$(cat /sys/block/$node/size)" = $((mib * 2048)) ]
    do
        usleep 10000
    done
    verify /dev/$node 4k 1m
    fio --name=load --filename=/dev/$node --rw=randrw --bs=4k --iodepth=8 \
        --ioengine=libaio --direct=1 --time_based --runtime=1000 \
        >/dev/null 2>&1 &
    enough=$(($(requests $node) + 50))
    until [ $(requests $node) -gt $enough ]; do usleep 10000; done
    say "LOAD $mib"
done
wait
say OK
""", "mem://?size=8M")
        guest.wait_for("@@ READY")
        for number, mib in enumerate((16, 24, 16)):
            name = f"disk{number}"
            guest.qmp("device_add", driver="smartnic-volume", id=name,
                      bus="nic0.0", nsid=2, url=f"mem://?size={mib}M")
            guest.wait_for(f"@@ LOAD {mib}")
            guest.qmp("device_del", id=name)
        self.finish(guest)

    def test_resize(self):
        """Nobody rescans by hand."""
        target = self.target("1,size=64M", "2,size=32M")
        guest = self.guest(r"""
wait_for $disk || exit
dd if=/dev/urandom of=/run/noise bs=512 count=1 2>/dev/null
verify_until_told $disk 16k 4m &
while read -r nsid size; do
    node_of $nsid
    until [ "$(cat /sys/block/$node/size)" = $size ]; do usleep 20000; done
    dd if=/run/noise of=/dev/$node bs=512 seek=$((size - 1)) count=1 \
        oflag=direct 2>/dev/null || fail "the last block of $nsid"
    say "RESIZED $nsid"
done <<@@END
1 196608
2 131072
1 65536
@@END
wait
say OK
""", target.url(), extra=[
            *TWO_PROCESSORS, "-device", "smartnic-volume,bus=nic0.0,nsid=2,"
            f"url={target.url('?nsid=2')}"])
        guest.wait_for("@@ VERIFYING", 240)
        for nsid, size in ((1, "96M"), (2, "64M"), (1, "32M")):
            target.command(f"resize {nsid} {size}")
            guest.wait_for(f"@@ RESIZED {nsid}")
        guest.write("\n")
        self.finish(guest)

    def test_identity_is_stable(self):
        """The far namespace's own; one made up where there is none."""
        target = self.target(f"1,size=64M,uuid={UUID}1",
                             f"2,size=64M,uuid={UUID}2")

        def look():
            guest = self.guest(r"""
for nsid in 1 2 5; do
    node_of $nsid
    say "WWID $nsid $(cat /sys/block/$node/wwid)"
done
say OK
""", target.url(), extra=[
                "-device", "smartnic-volume,bus=nic0.0,nsid=2,"
                f"url={target.url('?nsid=2')}", "-device",
                "smartnic-volume,id=ram,bus=nic0.0,nsid=5,url=mem://?size=8M"])
            self.finish(guest)
            return dict(re.findall(r"@@ WWID (\d+) (\S+)", guest.log))

        first = look()
        self.assertEqual(first["1"], f"uuid.{UUID}1")
        self.assertEqual(first["2"], f"uuid.{UUID}2")
        self.assertRegex(first["5"], r"^(uuid|nguid|eui)\.")
        self.assertEqual(len(set(first.values())), 3)
        self.assertEqual(look(), first)


class Controllers(NativeCardTest):

    def test_second_controller_is_hot_plugged(self):
        """It comes with a namespace and goes, under fio on both."""
        target = self.target("1,size=64M", "2,size=32M")
        guest = self.guest(r"""
wait_for $disk || exit
verify_until_told $disk 16k 4m &
first=$!
for round in 1 2 3; do
    say "ROUND $round"
    wait_for /dev/nvme1n1 || exit
    verify /dev/nvme1n1 4k 1m
    fio --name=load --filename=/dev/nvme1n1 --rw=randrw --bs=4k --iodepth=8 \
        --ioengine=libaio --direct=1 --time_based --runtime=1000 \
        >/dev/null 2>&1 &
    load=$!
    until [ $(awk '{print $9}' /sys/block/nvme1n1/stat) -gt 2 ]; do :; done
    say LOAD
    wait $load
    while [ -e /dev/nvme1n1 -o -e /dev/nvme1 ]; do usleep 10000; done
done
say GONE
wait $first
say OK
""", target.url(), extra=[
            *TWO_PROCESSORS, "-device",
            "pcie-root-port,id=port0,chassis=1,slot=1"])
        for round_ in (1, 2, 3):
            guest.wait_for(f"@@ ROUND {round_}", 240)
            guest.qmp("device_add", driver="smartnic-nvme", id="ctl1",
                      bus="port0", nic="nic0", volume=target.url("?nsid=2"))
            guest.wait_for("@@ LOAD", 240)
            guest.qmp("device_del", id="ctl1")
            guest.wait_event("DEVICE_DELETED", device="ctl1")
        guest.wait_for("@@ GONE")
        guest.write("\n")
        self.finish(guest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
