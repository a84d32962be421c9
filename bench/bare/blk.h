/*
 * The disk under test, whatever function it hangs on.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_BLK_H
#define BARE_BLK_H

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

typedef struct BlkRequest {
    uint32_t slot;              /* 0..BLK_MAX_DEPTH - 1, one in flight each */
    uint64_t sector;            /* where it begins */
} BlkRequest;

/* A polling driver for one function; failures end the machine (console.h). */
typedef struct BlkDriver {
    const char *name;
    /* Brings the first function up, without interrupts; false: none. */
    bool (*init)(bool dbbuf);
    /* The size of the disk in sectors of 512 bytes; it is up. */
    uint64_t (*sectors)(void);
    /* What can be done before the requests of a case are made. */
    void (*prepare)(const BlkCase *c);
    /* Makes @n requests at once. */
    void (*submit)(const BlkRequest *requests, uint32_t n);
    /* Fills in the slots of what is over since the last call: how many. */
    uint32_t (*take)(BlkRequest *requests);
    /* See blk_compare_and_write(); NULL: there is no such thing. */
    void (*compare_and_write)(void);
} BlkDriver;

extern const BlkDriver nvme_driver;
extern const BlkDriver virtio_blk_driver;

/* The memory of the requests, by slot. */
extern uint8_t blk_data[BLK_MAX_DEPTH][BLK_MAX_BYTES];

/*
 * Brings up the machine's NVMe function, or without one its virtio-blk
 * function. @dbbuf: with shadow doorbells, which NVMe only may have; fails when
 * the function does not. Returns the driver's name.
 */
const char *blk_init(bool dbbuf);

/* The size of the disk in sectors of 512 bytes. */
uint64_t blk_sectors(void);

/*
 * Makes random requests of @c for @ms milliseconds, @c->depth of them in
 * flight, and waits for the last. Returns how many were made, and in @us the
 * microseconds from the first submission to the last completion. A request
 * that fails ends the machine.
 */
uint32_t blk_run(const BlkCase *c, uint32_t ms, uint32_t *us);

/*
 * Whether fused Compare and Write works, which drivers of operating systems do
 * not make. What is wrong ends the machine.
 */
void blk_compare_and_write(void);

#endif /* BARE_BLK_H */
