#!/usr/bin/python3
"""Booting from the card's disk: firmware of the machine meets firmware of the
card, with no operating system in between.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import struct
import subprocess
import unittest

from bed import JOB_HELPERS, NVME, VIRTIO_BLK, GuestTest
from machine import EFI, INITRAMFS, KERNEL, Machine
from native_card import NativeCardTest

MARKER = "booted from a remote volume"

# Reads the second sector with the BIOS and prints it on the serial port: so
# the disk answers after the boot sector was loaded, too.
BOOT_CODE = bytes.fromhex(
    "31c0"      # 00        xor ax, ax
    "8ed8"      # 02        mov ds, ax
    "8ec0"      # 04        mov es, ax
    "8ed0"      # 06        mov ss, ax
    "bc007c"    # 08        mov sp, 0x7c00
    "bb007e"    # 0b        mov bx, 0x7e00
    "b80102"    # 0e        mov ax, 0x0201      read one sector
    "b90200"    # 11        mov cx, 2           the second one
    "b600"      # 14        mov dh, 0           (the BIOS has set dl)
    "cd13"      # 16        int 0x13
    "721a"      # 18        jc halt
    "be007e"    # 1a        mov si, 0x7e00
    "ac"        # 1d next:  lodsb
    "84c0"      # 1e        test al, al
    "7412"      # 20        jz halt
    "88c3"      # 22        mov bl, al
    "bafd03"    # 24        mov dx, 0x3fd       line status of COM1
    "ec"        # 27 wait:  in al, dx
    "a820"      # 28        test al, 0x20       room for a byte?
    "74fb"      # 2a        jz wait
    "88d8"      # 2c        mov al, bl
    "baf803"    # 2e        mov dx, 0x3f8
    "ee"        # 31        out dx, al
    "ebe9"      # 32        jmp next
    "f4"        # 34 halt:  hlt
    "ebfd")     # 35        jmp halt


def boot_image():
    """Two sectors: the code, and the text that it prints."""
    return (BOOT_CODE.ljust(510, b"\0") + b"\x55\xaa" +
            f"\n{MARKER}\n".encode().ljust(512, b"\0"))


class SeaBios(GuestTest):

    function = NVME

    def start(self, card):
        """A machine with nothing but the card, for SeaBIOS."""
        return self.bed.add(Machine("guest", self.bed.card_args(card=card),
                                    self.bed.folder, memory=128))

    def storage_with_boot_sector(self):
        octal = "".join(f"\\0{byte:03o}" for byte in boot_image())
        storage = self.bed.storage(job=f"""
printf '%b' '{octal}' | dd of=/dev/nullb0 bs=512 conv=fsync 2>/dev/null
say PREPARED
""")
        storage.wait_for("@@ PREPARED")

    def test_boot(self):
        self.storage_with_boot_sector()
        self.start(",bootindex=1").wait_for(MARKER)


class SeaBiosVirtioBlk(SeaBios):

    function = VIRTIO_BLK


PARTITION = 1 << 20             # where it begins, in bytes
DISK_SIZE = 160 << 20

OPTIONS = "console=ttyS0 quiet mitigations=off sn.role=guest"

# The entry that systemd-boot starts by itself
ENTRY = f"""title Linux
linux /vmlinuz
initrd /initramfs
options {OPTIONS}
"""

SYSLINUX_MBR = "/usr/lib/syslinux/mbr/mbr.bin"
SYSLINUX_CONFIG = f"""serial 0
default linux
label linux
linux /vmlinuz
initrd /initramfs
append {OPTIONS}
"""


def mbr(code=b"", active=False, kind=0xef):
    """One partition: of FAT, or the EFI system partition (UEFI 2.10 section
    5.2.2)."""
    entry = struct.pack("<B3xB3xII", 0x80 if active else 0, kind,
                        PARTITION // 512, (DISK_SIZE - PARTITION) // 512)
    return code[:440].ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa"


class BootDisk(NativeCardTest):
    """A boot loader, a kernel and its initramfs, all from the namespace."""

    def make_disk(self, boot_record, folders, files):
        """@files: text or path of a file -> name on the partition."""
        path = self.bed.path("disk")
        with open(path, "wb") as f:
            f.write(boot_record)
            f.truncate(DISK_SIZE)
        at = ["-i", f"{path}@@{PARTITION}"]
        subprocess.run(["mformat", *at, "-T",
                        str((DISK_SIZE - PARTITION) // 512), "::"], check=True)
        for folder in folders:
            subprocess.run(["mmd", *at, "::/" + folder], check=True)
        for source, to in (*files, (KERNEL, "vmlinuz"),
                           (INITRAMFS, "initramfs")):
            if "\n" in source:
                with open(self.bed.path("text"), "w") as f:
                    f.write(source)
                source = self.bed.path("text")
            subprocess.run(["mcopy", *at, source, "::/" + to], check=True)
        return path

    def check_boot(self, disk, args, job):
        target = self.target(f"1,size={DISK_SIZE >> 20}M,file={disk}")
        path = self.bed.path("job")
        with open(path, "w") as f:
            f.write(JOB_HELPERS + f"""
disk=/dev/nvme0n1
wait_for ${{disk}}p1 || poweroff -f
{job}
dd if=$disk of=/dev/null bs=1M iflag=direct 2>/dev/null || fail read
say OK
""")
        guest = self.bed.add(Machine(
            "guest", [*args, "-smp", "1,maxcpus=2", "-fw_cfg",
                      f"name=opt/org.smartnic/job,file={path}",
                      *self.bed.card_args(volume=target.url(),
                                          netdev="user,id=n0", ip="dhcp",
                                          card=",bootindex=1")],
            self.bed.folder))
        self.finish(guest)


@unittest.skipUnless(shutil.which("mformat"), "mtools is not installed")
class Uefi(BootDisk):

    def test_boot(self):
        disk = self.make_disk(
            mbr(), ("EFI", "EFI/BOOT", "loader", "loader/entries"),
            ((os.path.join(EFI, "bootx64.efi"), "EFI/BOOT/BOOTX64.EFI"),
             (ENTRY, "loader/entries/linux.conf")))
        drives = [f"if=pflash,unit=0,format=raw,readonly=on,"
                  f"file={EFI}/OVMF_CODE_4M.fd",
                  f"if=pflash,unit=1,format=raw,snapshot=on,"
                  f"file={EFI}/OVMF_VARS_4M.fd"]
        self.check_boot(
            disk, [word for drive in drives for word in ("-drive", drive)],
            '[ -d /sys/firmware/efi ] || fail "not booted by UEFI"')


@unittest.skipUnless(shutil.which("syslinux") and os.path.exists(SYSLINUX_MBR),
                     "syslinux is not installed")
class Bios(BootDisk):
    """SeaBIOS, and what SYSLINUX reads with its INT 13h."""

    def test_boot(self):
        with open(SYSLINUX_MBR, "rb") as f:
            boot_record = mbr(f.read(), active=True, kind=0x0c)
        disk = self.make_disk(boot_record, (),
                              ((SYSLINUX_CONFIG, "syslinux.cfg"),))
        subprocess.run(["syslinux", "--offset", str(PARTITION), "--install",
                        disk], check=True)
        self.check_boot(
            disk, [], '[ ! -d /sys/firmware/efi ] || fail "not by the BIOS"')


if __name__ == "__main__":
    unittest.main(verbosity=2)
