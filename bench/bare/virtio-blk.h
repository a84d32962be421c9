/*
 * A polling driver for one virtio-blk function.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_VIRTIO_BLK_H
#define BARE_VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

#define BLK_MAX_DEPTH 64
#define BLK_MAX_BYTES 131072
#define BLK_SECTOR 512

/* What all requests of a case have in common. */
typedef struct BlkCase {
    bool write;
    uint32_t bytes;             /* of a request: 512..BLK_MAX_BYTES */
    uint32_t depth;             /* requests in flight: 1..BLK_MAX_DEPTH */
} BlkCase;

/*
 * Finds the first virtio-blk function and brings it up with one queue and
 * without interrupts. Fails (see console.h) when it cannot.
 */
void blk_init(void);

/* The size of the disk in sectors of 512 bytes. */
uint64_t blk_sectors(void);

/*
 * Makes random requests of @c for @ms milliseconds, @c->depth of them in
 * flight, and waits for the last. Returns how many were made, and in @us the
 * microseconds from the first submission to the last completion. A request
 * that fails ends the machine.
 */
uint32_t blk_run(const BlkCase *c, uint32_t ms, uint32_t *us);

#endif /* BARE_VIRTIO_BLK_H */
