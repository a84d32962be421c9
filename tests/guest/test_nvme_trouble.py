#!/usr/bin/python3
"""A driver resets, aborts and takes its leave while the target is silent.

The controller has to answer at once, whatever is in flight: when it does not,
the driver says so in the kernel's log after its time limit, and here that is an
error. How long something takes is not looked at; but a driver's own waiting for
its requests may need the target back, and then the job waits for what comes
before that.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import signal
import unittest

from bed import CARD
from native_card import NativeCardTest

PCI = "/sys/bus/pci/devices/0000:00:04.2"
DRIVER = "/sys/bus/pci/drivers/nvme"

# The load goes on until /run/enough is there. Once the target is silent, what
# is in flight stays there.
LOAD = r"""
wait_for $disk || exit
load() {
    until [ -e /run/enough ]; do
        verify $disk 16k 4m --randseed=$(date +%s)
    done &
    load=$!
    until [ $(awk '{print $5}' $block/stat) -gt 50 ]; do usleep 10000; done
}
in_flight() {
    until [ $(awk '{print $9}' $block/stat) -gt 0 ]; do usleep 10000; done
}
end_load() { touch /run/enough; wait $load; }
# How often the driver has set the controller up
times_up() { dmesg | grep -c 'default/read/poll queues'; }
no_timeouts() {
    dmesg | grep -i nvme | grep -iE 'timeout|timed|incomplete|not ready|dead' &&
        fail "the driver waited in vain"
}
"""

FAST_TIMEOUT = "nvme_core.io_timeout=2"
# Seconds: what the user's guide recommends
LONG_TIMEOUT = "nvme_core.io_timeout=4294967295"


class Trouble(NativeCardTest):

    def setUp(self):
        super().setUp()
        self.far = self.target("1,size=64M")

    def start(self, job, parameters="?keep-alive-tmo=0", **kwargs):
        return self.guest(LOAD + job, self.far.url(parameters),
                          extra=["-smp", "2"], **kwargs)

    def stop(self):
        """The target answers nothing; its machine keeps connections."""
        os.kill(self.far.pid, signal.SIGSTOP)

    def cont(self):
        os.kill(self.far.pid, signal.SIGCONT)

    def state(self, guest):
        return guest.property(CARD + "/storage", "controller-state")

    def check_reset(self, command):
        """Three times, with requests in flight to a silent target."""
        guest = self.start(rf"""
load
for round in 1 2 3; do
    step "STOP $round"
    in_flight
    {command} &
    reset=$!
    until [ $(times_up) -gt $round ]; do usleep 10000; done
    # Linux goes on when what it has sent again was answered.
    step "RESET $round"
    wait $reset || fail reset
done
end_load
no_timeouts
say OK
""")
        for round_ in (1, 2, 3):
            guest.wait_for(f"@@ STOP {round_}")
            self.stop()
            guest.write("\n")
            guest.wait_for(f"@@ RESET {round_}", 25)
            self.assertEqual(self.state(guest), "ready")
            self.cont()
            guest.write("\n")
        self.finish(guest)

    def test_controller_reset(self):
        self.check_reset("nvme reset /dev/nvme0")

    def test_function_level_reset(self):
        self.check_reset(f"eval 'echo flr >{PCI}/reset_method && "
                         f"echo 1 >{PCI}/reset'")

    def test_abort(self):
        """What takes the driver too long it aborts, and sends again."""
        guest = self.start(r"""
load
step STOP
until dmesg | grep -q 'Abort status: 0x0'; do usleep 20000; done
step ABORTED
end_load
dmesg | grep -iE 'nvme.*(reset|disabl|dead|I/O error)' &&
    fail "the driver gave up"
say OK
""", cmdline=FAST_TIMEOUT)
        guest.wait_for("@@ STOP")
        self.stop()
        guest.write("\n")
        guest.wait_for("@@ ABORTED")
        self.cont()
        guest.write("\n")
        self.finish(guest)

    def test_driver_gives_up(self):
        """It waits for its own time limit, six times (max_retries)."""
        guest = self.start(r"""
wait_for $disk || exit
step STOP
dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &&
    fail "the driver waited"
check tries '^6$' "$(dmesg | grep -c 'timeout, aborting')"
step FAILED
verify $disk 16k 1m
say OK
""", cmdline=FAST_TIMEOUT)
        guest.wait_for("@@ STOP")
        self.stop()
        guest.write("\n")
        guest.wait_for("@@ FAILED")
        self.cont()
        guest.write("\n")
        self.finish(guest)

    def test_driver_with_patience(self):
        """The driver takes the longest time limit that there is."""
        guest = self.start(r"""
wait_for $disk || exit
check milliseconds '^[0-9]{10}$' "$(cat $block/queue/io_timeout)"
dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null || fail read
say OK
""", cmdline=LONG_TIMEOUT)
        self.finish(guest)

    def test_driver_goes_and_comes(self):
        guest = self.start(rf"""
verify $disk 16k 4m
for round in 1 2; do
    step STOP
    echo 0000:00:04.2 >{DRIVER}/unbind || fail unbind
    [ ! -e /dev/nvme0 ] || fail "the controller is still there"
    step GONE
    echo 0000:00:04.2 >{DRIVER}/bind || fail bind
    wait_for $disk || exit
    verify $disk 16k 4m
done
no_timeouts
say OK
""")
        for _ in range(2):
            guest.wait_for("@@ STOP")
            self.stop()
            guest.write("\n")
            guest.wait_for("@@ GONE", 25)
            self.cont()
            guest.write("\n")
        self.finish(guest)

    def test_namespace_goes_while_its_target_is_silent(self):
        url = self.far.url("?keep-alive-tmo=0")
        guest = self.guest(LOAD + r"""
fio --name=load --filename=$disk --rw=randwrite --bs=4k --iodepth=16 \
    --ioengine=libaio --direct=1 --time_based --runtime=1000 \
    >/dev/null 2>&1 &
load=$!
step STOP
in_flight
say REMOVE
wait $load
while [ -e $disk ]; do usleep 10000; done
no_timeouts
say OK
""", volume=None, extra=["-device",
                         f"smartnic-volume,id=v1,bus=nic0.0,url={url}"])
        guest.wait_for("@@ STOP")
        self.stop()
        guest.write("\n")
        guest.wait_for("@@ REMOVE")
        guest.qmp("device_del", id="v1")
        self.finish(guest)

    def test_errors_without_a_path_are_temporary(self):
        """fast-io-fail-tmo: an error that a driver may try again (no DNR)."""
        guest = self.start(r"""
verify $disk 16k 1m
step READY
refused 'Internal Path Error' nvme read $disk -s 0 -c 7 -z 4096 -d /run/back
log=$(nvme error-log /dev/nvme0 -e 1)
check error-log '^status_field.*: 0x300 ?\(' "$log"
dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &&
    fail "a read without a path"
step FAILED
verify $disk 16k 1m
nvme reset /dev/nvme0 || fail reset
say OK
""", "?fast-io-fail-tmo=1&reconnect-delay=1")
        guest.wait_for("@@ READY")
        self.far.command("refuse on")
        self.far.command("drop")
        guest.write("\n")
        guest.wait_for("@@ FAILED")
        self.far.command("refuse off")
        guest.wait_until(lambda: self.bed.volume(guest, "state") == "ready",
                         "ready")
        guest.write("\n")
        self.finish(guest)

    # ---- the end ----

    def check_power_off(self, before, **kwargs):
        guest = self.start(f"{before}\npoweroff -f\n", **kwargs)
        guest.wait_for("@@ STOP")
        self.stop()
        guest.write("\n")
        guest.wait_for("reboot: Power down", 25)
        guest.wait_end()

    def test_power_off(self):
        self.check_power_off("""
dd if=/dev/zero of=$disk bs=64k count=16 oflag=direct 2>/dev/null || fail write
step STOP
""")

    def test_power_off_under_load(self):
        """Linux gives its requests as long as it gives any."""
        self.check_power_off("""
load
step STOP
in_flight
""", cmdline=FAST_TIMEOUT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
