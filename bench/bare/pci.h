/*
 * PCI configuration space.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_PCI_H
#define BARE_PCI_H

#include <stdbool.h>
#include <stdint.h>

/* Where a function is: bus, device and function as in port 0xcf8. */
#define PCI_ADDRESS(bus, dev, fn) \
    ((uint32_t)(bus) << 16 | (uint32_t)(dev) << 11 | (uint32_t)(fn) << 8)

/* Reads the 32 bits at @offset, a multiple of 4. */
uint32_t pci_read(uint32_t address, unsigned offset);

/* Writes the 32 bits at @offset, a multiple of 4. */
void pci_write(uint32_t address, unsigned offset, uint32_t val);

/*
 * Looks for the first function whose register 0 (device << 16 | vendor) is @id
 * or @other_id, on any bus that the firmware numbered, a bridge's before what
 * follows the bridge. False when there is none.
 */
bool pci_find(uint32_t id, uint32_t other_id, uint32_t *address);

/* Likewise for the class code: class << 16 | subclass << 8 | interface. */
bool pci_find_class(uint32_t class, uint32_t *address);

/* Lets the function use memory, but not the interrupt pin. */
void pci_enable(uint32_t address);

/*
 * The memory behind base address register @bar. Fails (see console.h) when it
 * is not memory below 4 GiB.
 */
uint8_t *pci_bar(uint32_t address, unsigned bar);

#endif /* BARE_PCI_H */
