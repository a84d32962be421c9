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

    @classmethod
    def linux(cls, name, cmdline, args, folder, job=None, **kwargs):
        """A machine of the test bed; @job is a shell script for it."""
        args = ["-kernel", KERNEL, "-initrd", INITRAMFS, "-append",
                "console=ttyS0 quiet mitigations=off " + cmdline, *args]
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

    def _qmp_message(self):
        while b"\n" not in self._qmp_buffer:
            data = self._qmp.recv(65536)
            if not data:
                raise MachineError(f"{self.name} closed QMP\n{self.report()}")
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
        self._qmp.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._qmp_message()
            if "error" in answer:
                raise MachineError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]         # else an event

    def property(self, path, name):
        """A QOM property."""
        return self.qmp("qom-get", path=path, property=name)

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
