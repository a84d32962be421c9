#!/usr/bin/python3
"""Booting from the card's disk: firmware of the machine meets firmware of the
card, with no operating system in between.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

from bed import GuestTest
from machine import Machine

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


class Boot(GuestTest):

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
