/*
 * The loop that keeps the disk under test busy.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "blk.h"
#include "clock.h"
#include "console.h"
#include "div.h"

uint8_t blk_data[BLK_MAX_DEPTH][BLK_MAX_BYTES] __attribute__((aligned(4096)));

static const BlkDriver *driver;

const char *blk_init(bool dbbuf)
{
    driver = &nvme_driver;
    if (!driver->init(dbbuf)) {
        driver = &virtio_blk_driver;
        if (dbbuf || !driver->init(false)) {
            fail("no %s function", dbbuf ? "NVMe" : "NVMe or virtio-blk");
        }
    }
    return driver->name;
}

uint64_t blk_sectors(void)
{
    return driver->sectors();
}

/* Marsaglia's xorshift32 */
static uint32_t random32(void)
{
    static uint32_t x = 2463534242u;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

/* Gives @n requests, whose slots are known, their places and makes them. */
static inline void submit(BlkRequest *requests, uint32_t n, uint32_t blocks,
                          uint32_t sectors)
{
    for (uint32_t i = 0; i < n; i++) {
        /* The upper half of the product: evenly from 0 to blocks - 1. */
        uint32_t block = (uint64_t)random32() * blocks >> 32;

        requests[i].sector = (uint64_t)block * sectors;
    }
    driver->submit(requests, n);
}

uint32_t blk_run(const BlkCase *c, uint32_t ms, uint32_t *us)
{
    static BlkRequest requests[BLK_MAX_DEPTH];
    uint32_t sectors = c->bytes / BLK_SECTOR;
    uint32_t blocks = div64(blk_sectors(), sectors);
    uint32_t submitted = c->depth, completed = 0;
    uint64_t end = ticks() + (uint64_t)ticks_per_us * 1000 * ms;
    uint32_t start = clock_us();

    driver->prepare(c);
    for (uint32_t i = 0; i < c->depth; i++) {
        requests[i].slot = i;
    }
    submit(requests, c->depth, blocks, sectors);
    while (completed < submitted) {
        uint32_t n = driver->take(requests);

        completed += n;
        if (n && ticks() < end) {
            submit(requests, n, blocks, sectors);
            submitted += n;
        }
    }
    *us = clock_us() - start;
    return completed;
}

void blk_compare_and_write(void)
{
    if (!driver->compare_and_write) {
        fail("%s has no compare and write", driver->name);
    }
    driver->compare_and_write();
}
