/*
 * A PCI Express slot with native hot-plug, and the guest's part in it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QTEST_SLOT_H
#define SMARTNIC_QTEST_SLOT_H

#include "machine.h"

/* QEMU's arguments for it; the card says bus=port0. */
#define SLOT \
    "-machine q35 " \
    "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off " \
    "-device pcie-root-port,id=port0,chassis=1,addr=5 "

/* The functions of what is plugged, as libqos takes them: bus 1, device 0. */
#define SLOT_DEVFN(fn) (1 << 8 | (fn))

typedef struct Slot {
    Machine *m;
    QPCIDevice *port;
    uint8_t cap;                /* offset of the PCI Express capability */
} Slot;

/* Gives the port its bus number and its window, as a firmware does. */
void slot_open(Slot *slot, Machine *m);
void slot_close(Slot *slot);

/* Whether the guest sees something in it. */
bool slot_is_occupied(Slot *slot);

/* Without power, what is in the slot may be taken out, and QEMU does. */
void slot_set_power(Slot *slot, bool on);

/*
 * Where the slot control register is in memory, and what takes the power away
 * when it is written there, by whomever. Makes configuration space visible in
 * memory.
 */
uint64_t slot_control_address(Slot *slot);
#define SLOT_POWER_OFF 0x0700

#endif
