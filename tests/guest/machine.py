"""A QEMU process: started, watched on its serial port, and taken down.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import time

QEMU = os.environ.get("QEMU") or shutil.which("qemu-system-x86_64")
TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PLUGIN = os.environ.get("SMARTNIC_PLUGIN") or os.path.join(
    TOP, "build", "smartnic.so")
DEPS = os.environ.get("DEPS") or os.path.join(TOP, ".deps")
KERNEL = os.path.join(DEPS, "testbed", "vmlinuz")
INITRAMFS = os.path.join(DEPS, "testbed", "initramfs.cpio")
EFI = os.path.join(DEPS, "testbed", "efi")
# See bench/bare
BARE_GUEST = os.environ.get("BARE_GUEST") or os.path.join(
    TOP, "build", "bench", "bare", "bare-guest.elf")

# For Machine.own_memory(); of a machine with memory=512
SHARED_RAM = ["-object", "memory-backend-memfd,id=ram,size=512M,share=on",
              "-machine", "memory-backend=ram"]


class MachineError(Exception):
    """A machine died, or did not do what was waited for; says which."""


def accelerator():
    """KVM only where the processor has it: /dev/kvm alone does not tell."""
    with open("/proc/cpuinfo") as f:
        capable = re.search(r"^flags.*\b(vmx|svm)\b", f.read(), re.M)
    if capable and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", "max"]


class Machine:
    """One virtual machine.

    Its serial port is read only while somebody waits for something there, so
    there is no thread; what the machine says meanwhile stays in a socket.
    """

    def __init__(self, name, args, folder, memory=512, wrapper=(), echo=None):
        self.name = name
        self.log = ""
        self.echo = echo
        self._seen = 0
        self._qmp_buffer = b""
        self._serial, serial = socket.socketpair()
        self._qmp, qmp = socket.socketpair()
        self._stderr = open(os.path.join(folder, name + ".stderr"), "w+b")
        command = [*wrapper, QEMU, "-name", name, "-nodefaults",
                   "-no-user-config", "-no-reboot", "-machine", "q35",
                   *accelerator(), "-m", str(memory), "-display", "none",
                   "-chardev", f"socket,id=ser,fd={serial.fileno()}",
                   "-serial", "chardev:ser",
                   "-chardev", f"socket,id=qmp,fd={qmp.fileno()}",
                   "-mon", "chardev=qmp,mode=control", *args]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._stderr,
            stderr=self._stderr, pass_fds=(serial.fileno(), qmp.fileno()))
        serial.close()
        qmp.close()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._serial, selectors.EVENT_READ)
        self._qmp.settimeout(60)
        self._qmp_ready = False
        self._events = []

    @classmethod
    def linux(cls, name, cmdline, args, folder, job=None, **kwargs):
        """A machine of the test bed; @job is a shell script for it."""
        args = ["-kernel", KERNEL, "-initrd", INITRAMFS, "-append",
                "console=ttyS0 quiet mitigations=off " + cmdline,
                # Where there can be one processor only, TCG takes memory
                # barriers out, and a driver's notification can get lost.
                "-smp", "1,maxcpus=2", *args]
        if job is not None:
            path = os.path.join(folder, name + ".job")
            with open(path, "w") as f:
                f.write(job)
            args += ["-fw_cfg", "name=opt/org.smartnic/job,file=" + path]
        return cls(name, args, folder, **kwargs)

    # ---- the serial port ----

    def _read_serial(self, timeout):
        """False when the machine has closed it."""
        if not self._selector.select(max(timeout, 0)):
            return True
        try:
            data = self._serial.recv(65536)
        except ConnectionResetError:
            data = b""
        text = data.decode(errors="replace").replace("\r", "")
        self.log += text
        if self.echo and text:
            self.echo(text)
        return bool(data)

    def wait_for(self, pattern, timeout=120):
        """Waits for a line that matches, after those waited for before.

        Returns the match object.
        """
        deadline = time.monotonic() + timeout
        alive = True
        while True:
            lines = self.log.rfind("\n") + 1      # only whole ones
            match = re.compile(pattern, re.M).search(self.log, self._seen,
                                                     lines)
            if match:
                self._seen = match.end()
                return match
            left = deadline - time.monotonic()
            if not alive:
                raise MachineError(f"{self.name} ended before it said "
                                   f"{pattern!r}\n{self.report()}")
            if left <= 0:
                raise MachineError(f"{self.name} did not say {pattern!r} "
                                   f"within {timeout} s\n{self.report()}")
            alive = self._read_serial(left)

    def wait_end(self, timeout=120):
        """Waits until the process has ended in order."""
        deadline = time.monotonic() + timeout
        while self._read_serial(deadline - time.monotonic()):
            if time.monotonic() > deadline:
                raise MachineError(f"{self.name} still runs after {timeout} s"
                                   f"\n{self.report()}")
        code = self.process.wait(timeout=10)
        if code != 0:
            raise MachineError(f"{self.name} ended with status {code}\n"
                               f"{self.report()}")

    def write(self, text):
        """Types on the serial port."""
        self._serial.sendall(text.encode())

    def stderr(self):
        """What QEMU itself said so far."""
        self._stderr.flush()
        with open(self._stderr.name, errors="replace") as f:
            return f.read()

    def report(self):
        """For a failure message: what the machine said."""
        return (f"--- serial port of {self.name}\n{self.log[-6000:]}\n"
                f"--- QEMU of {self.name}\n{self.stderr()[-3000:]}")

    # ---- QMP ----

    def _ended(self, what):
        """The error that it ended too early, with all that it said."""
        while self._read_serial(1):
            pass
        return MachineError(f"{self.name} ended before {what}\n"
                            f"{self.report()}")

    def _qmp_message(self):
        while b"\n" not in self._qmp_buffer:
            data = self._qmp.recv(65536)
            if not data:
                raise self._ended("QMP's answer")
            self._qmp_buffer += data
        line, self._qmp_buffer = self._qmp_buffer.split(b"\n", 1)
        return json.loads(line)

    def qmp(self, command, **arguments):
        """Executes a QMP command and returns its result."""
        if not self._qmp_ready:
            self._qmp_ready = True
            self._qmp_message()                 # the greeting
            self.qmp("qmp_capabilities")
        request = {"execute": command, "arguments": arguments}
        try:
            self._qmp.sendall(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._ended(command) from None
        while True:
            answer = self._qmp_message()
            if "error" in answer:
                raise MachineError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def wait_event(self, name, timeout=60, **data):
        """Waits for a QMP event with this in its data; others are forgotten."""
        self._qmp.settimeout(timeout)
        while True:
            event = self._events.pop(0) if self._events else \
                self._qmp_message()
            if event.get("event") == name and \
                    data.items() <= event.get("data", {}).items():
                self._qmp.settimeout(60)
                return event

    def property(self, path, name):
        """A QOM property."""
        return self.qmp("qom-get", path=path, property=name)

    def wait_until(self, predicate, what, timeout=120):
        """For what no event tells, as properties: asks, not too often."""
        deadline = time.monotonic() + timeout
        while not predicate():
            if self.process.poll() is not None:
                raise self._ended(what)
            if time.monotonic() > deadline:
                raise MachineError(f"{self.name}: not {what} within "
                                   f"{timeout} s\n{self.report()}")
            time.sleep(0.02)

    def own_memory(self):
        """Resident memory that QEMU itself has allocated, in KiB.

        Not the guest's, which is to be SHARED_RAM, nor translated code, which
        is executable and grows with whatever the guest runs.
        """
        total, counts = 0, False
        with open(f"/proc/{self.process.pid}/smaps") as f:
            for line in f:
                mapping = re.match(r"[\da-f]+-[\da-f]+ (\S+) \S+ (\S+) \S+"
                                   r" *(.*)", line)
                if mapping:
                    perms, device, name = mapping.groups()
                    counts = (perms == "rw-p" and device == "00:00" and
                              (not name or name == "[heap]"))
                elif counts and line.startswith("Rss:"):
                    total += int(line.split()[1])
        return total

    # ---- the end ----

    def kill(self):
        """At once, as a power failure would."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        """Takes it down if it still runs. Harmless when done already."""
        self.kill()
        self._selector.close()
        for f in (self._serial, self._qmp, self._stderr):
            f.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def require_testbed():
    """Ends the program in words when the machines were not made yet."""
    for path in (PLUGIN, KERNEL, INITRAMFS):
        if not os.path.exists(path):
            sys.exit(f"{path} is missing: run scripts/setup.sh all and "
                     "make build")
