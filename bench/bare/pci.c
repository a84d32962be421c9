/*
 * PCI configuration space through ports 0xcf8 and 0xcfc (PCI 3.0, 3.2.2.3.2).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "console.h"
#include "io.h"
#include "pci.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define ENABLE 0x80000000

#define COMMAND 0x04
#define COMMAND_MEMORY 0x0002
#define COMMAND_MASTER 0x0004
#define COMMAND_NO_INTX 0x0400
#define CLASS 0x08              /* bits 8..31 of it */
#define HEADER_TYPE 0x0c        /* bits 16..23 of it */
#define BRIDGE 0x01
#define MULTI_FUNCTION 0x80
#define BUS_NUMBERS 0x18        /* of a bridge: primary, secondary, ... */
#define BASE_ADDRESSES 0x10
#define NO_DEVICE 0xffffffff

uint32_t pci_read(uint32_t address, unsigned offset)
{
    outl(CONFIG_ADDRESS, ENABLE | address | offset);
    return inl(CONFIG_DATA);
}

void pci_write(uint32_t address, unsigned offset, uint32_t val)
{
    outl(CONFIG_ADDRESS, ENABLE | address | offset);
    outl(CONFIG_DATA, val);
}

/* What is looked for: one of two values in a register, after a shift. */
typedef struct Wanted {
    unsigned offset, shift;
    uint32_t value, other;
} Wanted;

static bool find_on_bus(unsigned bus, const Wanted *w, uint32_t *address)
{
    unsigned step = 1;

    for (unsigned slot = 0; slot < 256; slot += step) {
        uint32_t at = PCI_ADDRESS(bus, slot >> 3, slot & 7);
        uint32_t id = pci_read(at, 0);
        uint32_t found = pci_read(at, w->offset) >> w->shift;
        uint8_t type = pci_read(at, HEADER_TYPE) >> 16;
        unsigned behind = pci_read(at, BUS_NUMBERS) >> 8 & 0xff;

        if (slot % 8 == 0) {
            step = id != NO_DEVICE && type & MULTI_FUNCTION ? 1 : 8;
        }
        if (id == NO_DEVICE) {
            continue;
        }
        if (found == w->value || found == w->other) {
            *address = at;
            return true;
        }
        /* A bridge that the firmware left out has no number, 0. */
        if ((type & ~MULTI_FUNCTION) == BRIDGE && behind > bus &&
            find_on_bus(behind, w, address)) {
            return true;
        }
    }
    return false;
}

bool pci_find(uint32_t id, uint32_t other_id, uint32_t *address)
{
    return find_on_bus(0, &(Wanted) { 0, 0, id, other_id }, address);
}

bool pci_find_class(uint32_t class, uint32_t *address)
{
    return find_on_bus(0, &(Wanted) { CLASS, 8, class, class }, address);
}

void pci_enable(uint32_t address)
{
    pci_write(address, COMMAND, COMMAND_MEMORY | COMMAND_MASTER |
              COMMAND_NO_INTX);
}

uint8_t *pci_bar(uint32_t address, unsigned bar)
{
    uint32_t low = pci_read(address, BASE_ADDRESSES + 4 * bar);
    bool wide = (low & 0x7) == 0x4;

    if (low & 1 || !(low & ~0xfu) ||
        (wide && pci_read(address, BASE_ADDRESSES + 4 * bar + 4))) {
        fail("BAR %u is not memory below 4 GiB", bar);
    }
    return (uint8_t *)(low & ~0xfu);
}
