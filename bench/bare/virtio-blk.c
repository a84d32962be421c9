/*
 * A polling driver for one virtio-blk function: one split virtqueue (virtio 1.2
 * section 2.7), no interrupts.
 *
 * It does what a good driver does and nothing else: a chain of three
 * descriptors per request made once, one store of the available index and one
 * look at the device's wish to be notified per batch of completions. It makes
 * the flush feature known, so that no device treats writes as write-through.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "blk.h"
#include "console.h"
#include "io.h"
#include "virtio-pci.h"

#define TYPE_BLOCK 2
#define F_BLK_FLUSH (1u << 9)

static VirtioPci blk;
static volatile uint16_t *doorbell;

/* ---- the queue: virtio 1.2 section 2.7 ---- */

#define QUEUE_SIZE 256          /* what we have room for; the device may less */
#define DESC_NEXT 1
#define DESC_WRITE 2
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

static struct {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
} desc[QUEUE_SIZE] __attribute__((aligned(4096)));

static volatile struct {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[QUEUE_SIZE];
} avail __attribute__((aligned(4096)));

static volatile struct {
    uint16_t flags;
    uint16_t idx;
    struct {
        uint32_t id;
        uint32_t len;
    } ring[QUEUE_SIZE];
} used __attribute__((aligned(4096)));

static uint16_t ring_mask;      /* the queue's size, minus 1 */
static uint16_t avail_idx;      /* next to be made available */
static uint16_t used_idx;       /* next to be looked at */

/* ---- requests: section 5.2.6 ---- */

#define T_IN 0
#define T_OUT 1
#define CHAIN 3                 /* descriptors of a request: header, data,
                                   status; the first one's number is its id */

static struct {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} headers[BLK_MAX_DEPTH] __attribute__((aligned(16)));

static volatile uint8_t statuses[BLK_MAX_DEPTH];

static void set_queue_address(volatile uint32_t *reg, volatile void *mem)
{
    reg[0] = (uint32_t)mem;
    reg[1] = 0;
}

static void set_up_queue(void)
{
    VirtioCommon *common = blk.common;
    uint16_t size;

    common->queue_select = 0;
    size = common->queue_size;
    if (size > QUEUE_SIZE) {
        size = QUEUE_SIZE;
        common->queue_size = size;
    }
    if (size < BLK_MAX_DEPTH * CHAIN || size & (size - 1)) {
        fail("a queue of %u is too small", size);
    }
    ring_mask = size - 1;
    avail.flags = AVAIL_NO_INTERRUPT;
    set_queue_address(common->queue_desc, desc);
    set_queue_address(common->queue_driver, &avail);
    set_queue_address(common->queue_device, &used);
    doorbell = (uint16_t *)(blk.notify + common->queue_notify_off *
                            blk.notify_multiplier);
    common->queue_enable = 1;
}

static bool init(bool dbbuf __attribute__((unused)))
{
    if (!virtio_find(&blk, TYPE_BLOCK)) {
        return false;
    }
    virtio_negotiate(&blk, F_BLK_FLUSH);
    set_up_queue();
    blk.common->device_status |= VIRTIO_DRIVER_OK;
    return true;
}

static uint64_t sectors(void)
{
    return (uint64_t)blk.device[1] << 32 | blk.device[0];
}

/* ---- the loop ---- */

static void set_descriptor(unsigned i, volatile void *mem, uint32_t len,
                           uint16_t flags)
{
    desc[i].addr = (uint32_t)mem;
    desc[i].len = len;
    desc[i].flags = flags;
    desc[i].next = i + 1;
}

static void prepare(const BlkCase *c)
{
    for (unsigned i = 0; i < c->depth; i++) {
        headers[i].type = c->write ? T_OUT : T_IN;
        set_descriptor(CHAIN * i, &headers[i], sizeof(headers[i]), DESC_NEXT);
        set_descriptor(CHAIN * i + 1, blk_data[i], c->bytes,
                       DESC_NEXT | (c->write ? 0 : DESC_WRITE));
        set_descriptor(CHAIN * i + 2, &statuses[i], 1, DESC_WRITE);
    }
}

static void submit(const BlkRequest *requests, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = requests[i].slot;

        headers[slot].sector = requests[i].sector;
        statuses[slot] = 0xff;
        avail.ring[avail_idx++ & ring_mask] = CHAIN * slot;
    }
    barrier();
    avail.idx = avail_idx;
    full_barrier();             /* section 2.7.13.4.1 */
    if (!(used.flags & USED_NO_NOTIFY)) {
        *doorbell = 0;          /* the queue's number */
    }
}

/* The request that completed next. */
static inline uint32_t take_one(void)
{
    uint32_t id = used.ring[used_idx++ & ring_mask].id;

    if (id >= CHAIN * BLK_MAX_DEPTH || id % CHAIN) {
        fail("the device completed chain %u", id);
    }
    if (statuses[id / CHAIN] != 0) {
        fail("a request ended with status %u", statuses[id / CHAIN]);
    }
    return id / CHAIN;
}

static uint32_t take(BlkRequest *requests)
{
    uint16_t seen = used.idx;
    uint32_t n = 0;

    barrier();
    while (used_idx != seen) {
        requests[n++].slot = take_one();
    }
    return n;
}

const BlkDriver virtio_blk_driver = {
    .name = "virtio-blk",
    .init = init,
    .sectors = sectors,
    .prepare = prepare,
    .submit = submit,
    .take = take,
};
