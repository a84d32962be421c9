/*
 * SnDma: how a function of the card, in a box without QEMU, gets at the guest's
 * memory.
 *
 * There are two implementations: QEMU's address space of the PCI function
 * (hw/smartnic/qemu/dma.c), and an array for unit tests and fuzzing. Addresses
 * are those that the guest gives to the device. Only RAM can be reached: what a
 * guest points elsewhere (registers, holes) fails, so nothing here ever causes
 * a call back into a device. With bus mastering off, everything fails.
 *
 * All calls happen in the card's thread.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_DMA_H
#define SMARTNIC_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SnDma SnDma;

/* Keeps mapped memory alive; the implementation's own structure. */
typedef struct SnDmaHold SnDmaHold;

struct SnDma {
    /*
     * Copies @len bytes from, or to, the guest's memory at @addr. False when
     * any of it is not RAM, or for write() read-only; part of it may have been
     * copied then.
     */
    bool (*read)(SnDma *dma, uint64_t addr, void *buf, size_t len);
    bool (*write)(SnDma *dma, uint64_t addr, const void *buf, size_t len);

    /*
     * Maps the guest's memory at @addr. *@len: how much is wanted, at least 1;
     * shortened when only the first part is contiguous for the host. @writable:
     * the device will write. NULL when the first byte is not RAM, or, with
     * @writable, read-only. What is mapped stays valid, whatever the guest does
     * with its memory map, until unmap() is called with the *@hold that was
     * set. The guest may change what is in it at any time. Cheap: a comparison
     * in the common case, so queues are mapped anew for each batch.
     */
    void *(*map)(SnDma *dma, uint64_t addr, size_t *len, bool writable,
                 SnDmaHold **hold);
    /* @written: how many bytes from @ptr on the device has changed. */
    void (*unmap)(SnDma *dma, SnDmaHold *hold, void *ptr, size_t written);
};

#endif
