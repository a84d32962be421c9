/*
 * A polling driver for one NVMe function (NVMe Base 1.4): its first namespace,
 * one I/O queue pair, no interrupts.
 *
 * It does what a good driver does and nothing else: one store to each doorbell
 * per batch, or with shadow doorbells (Doorbell Buffer Config, section 5.7) only
 * when the controller asks for it; PRP lists made once.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "blk.h"
#include "clock.h"
#include "console.h"
#include "div.h"
#include "io.h"
#include "pci.h"

#define CLASS_NVME 0x010802
#define PAGE 4096

/* ---- registers: section 3.1, in units of 32 bits ---- */

#define CAP_LOW (0x00 / 4)
#define CAP_HIGH (0x04 / 4)
#define CC (0x14 / 4)
#define CSTS (0x1c / 4)
#define AQA (0x24 / 4)
#define ASQ (0x28 / 4)
#define ACQ (0x30 / 4)
#define DOORBELLS (0x1000 / 4)

#define CC_ENABLE 0x00460001    /* entries of 64 and 16 bytes, 4 KiB pages */
#define CSTS_RDY 1
#define CSTS_CFS 2
#define TO_US 500000            /* CAP.TO counts half seconds */

static volatile uint32_t *regs;

/* ---- queues: section 4 ---- */

#define ENTRIES 1024            /* as Linux has by default */
#define NSID 1

typedef volatile struct Sqe {
    uint32_t cdw0;              /* opcode; the command identifier above */
    uint32_t nsid;
    uint32_t reserved[4];
    uint32_t prp1, prp1_high, prp2, prp2_high;
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
} Sqe;

typedef volatile struct Cqe {
    uint32_t dw0, dw1, dw2;
    uint32_t dw3;               /* command identifier, phase, status */
} Cqe;

#define CQE_PHASE 0x10000

/* A doorbell, and its shadow and event index if there are such. */
typedef struct Doorbell {
    volatile uint32_t *reg, *shadow, *event_index;
} Doorbell;

typedef struct Queue {
    Sqe sq[ENTRIES] __attribute__((aligned(PAGE)));
    Cqe cq[ENTRIES] __attribute__((aligned(PAGE)));
    uint32_t entries, tail, head;
    uint32_t phase;             /* CQE_PHASE or 0: of a new entry */
    Doorbell sq_tail, cq_head;
} Queue;

static Queue admin, io;
static volatile uint32_t shadows[PAGE / 4] __attribute__((aligned(PAGE)));
static volatile uint32_t event_indices[PAGE / 4]
    __attribute__((aligned(PAGE)));

/* ---- the namespace ---- */

static uint64_t blocks;
static uint32_t fuses;          /* FUSES of Identify Controller */
static uint32_t block_shift;    /* of its blocks, against sectors */

/* ---- requests ---- */

#define READ 0x02
#define WRITE 0x01
#define PAGES (BLK_MAX_BYTES / PAGE)

static struct {
    uint32_t prp1, prp2;
    uint64_t list[PAGES] __attribute__((aligned(PAGES * 8)));
} memory[BLK_MAX_DEPTH];
static uint32_t opcode;
static uint32_t nlb;            /* minus 1 */

static void fail_status(const char *what, uint32_t dw3)
{
    fail("%s: status type %u code %u", what, dw3 >> 25 & 7,
         dw3 >> 17 & 0xff);
}

/* Linux asks the same way, and the virtual machines that answer too. */
static inline void ring(const Doorbell *d, uint32_t value)
{
    if (d->shadow) {
        uint16_t old = *d->shadow;

        barrier();              /* the entries come first */
        *d->shadow = value;
        full_barrier();         /* the event index is read afterwards */
        if ((uint16_t)(value - *d->event_index - 1) >=
            (uint16_t)(value - old)) {
            return;
        }
    }
    barrier();
    *d->reg = value;
}

static inline Sqe *next_sqe(Queue *q)
{
    Sqe *sqe = &q->sq[q->tail];

    q->tail = q->tail + 1 == q->entries ? 0 : q->tail + 1;
    return sqe;
}

static inline bool has_cqe(const Queue *q)
{
    return (q->cq[q->head].dw3 & CQE_PHASE) == q->phase;
}

/* Takes the entry that is there; cq_head is to be rung afterwards. */
static inline uint32_t next_cqe(Queue *q)
{
    uint32_t dw3 = q->cq[q->head].dw3;

    if (++q->head == q->entries) {
        q->head = 0;
        q->phase ^= CQE_PHASE;
    }
    return dw3;
}

static void set_up_queue(Queue *q, unsigned id, bool dbbuf)
{
    uint32_t max = (regs[CAP_LOW] & 0xffff) + 1;
    uint32_t stride = 1 << (regs[CAP_HIGH] & 0xf);
    uint32_t at = 2 * id * stride;

    q->entries = max < ENTRIES ? max : ENTRIES;
    q->phase = CQE_PHASE;
    if (q->entries <= BLK_MAX_DEPTH) {
        fail("a queue of %u is too small", q->entries);
    }
    if (dbbuf && at + stride >= PAGE / 4) {
        fail("the doorbells are too far apart");
    }
    q->sq_tail.reg = &regs[DOORBELLS + at];
    q->cq_head.reg = &regs[DOORBELLS + at + stride];
    if (dbbuf) {
        q->sq_tail.shadow = &shadows[at];
        q->sq_tail.event_index = &event_indices[at];
        q->cq_head.shadow = &shadows[at + stride];
        q->cq_head.event_index = &event_indices[at + stride];
    }
}

/* Waits for CSTS.RDY to be @ready as long as CAP.TO says. */
static void wait_ready(uint32_t ready)
{
    uint32_t timeout = ((regs[CAP_LOW] >> 24) + 1) * TO_US;
    uint32_t start = clock_us();

    while ((regs[CSTS] & CSTS_RDY) != ready) {
        if (regs[CSTS] & CSTS_CFS || clock_us() - start > timeout) {
            fail("the controller does not become %s",
                 ready ? "ready" : "disabled");
        }
    }
}

static void enable(void)
{
    regs[CC] = 0;
    wait_ready(0);
    set_up_queue(&admin, 0, false);
    regs[AQA] = (admin.entries - 1) << 16 | (admin.entries - 1);
    regs[ASQ] = (uint32_t)admin.sq;
    regs[ASQ + 1] = 0;
    regs[ACQ] = (uint32_t)admin.cq;
    regs[ACQ + 1] = 0;
    regs[CC] = CC_ENABLE;
    wait_ready(CSTS_RDY);
}

/* ---- admin commands: section 5 ---- */

#define CREATE_SQ 0x01
#define CREATE_CQ 0x05
#define IDENTIFY 0x06
#define SET_FEATURES 0x09
#define DBBUF_CONFIG 0x7c

#define CNS_NAMESPACE 0
#define CNS_CONTROLLER 1
#define FEATURE_QUEUES 7
#define OACS (256 / 4)          /* of Identify Controller, lower half */
#define FUSES (520 / 4)         /* upper half */
#define OACS_DBBUF 0x100
#define CONTIGUOUS 1

typedef struct Command {
    const char *name;
    uint32_t opcode, nsid;
    volatile void *prp1, *prp2;
    uint32_t cdw10, cdw11;
} Command;

static void admin_command(const Command *c)
{
    Sqe *sqe = next_sqe(&admin);
    uint32_t dw3;

    sqe->cdw0 = c->opcode;
    sqe->nsid = c->nsid;
    sqe->prp1 = (uint32_t)c->prp1;
    sqe->prp2 = (uint32_t)c->prp2;
    sqe->cdw10 = c->cdw10;
    sqe->cdw11 = c->cdw11;
    ring(&admin.sq_tail, admin.tail);
    while (!has_cqe(&admin)) {
        /* it answers soon */
    }
    dw3 = next_cqe(&admin);
    ring(&admin.cq_head, admin.head);
    if (dw3 >> 17) {
        fail_status(c->name, dw3);
    }
}

/* Figure 245: of the namespace, its size and the format in use. */
static void take_format(const volatile uint32_t *id)
{
    uint32_t format = id[24 / 4] >> 16 & 0xf;
    uint32_t size_log = id[128 / 4 + format] >> 16 & 0xff;

    blocks = (uint64_t)id[1] << 32 | id[0];
    if (size_log < 9 || size_log > 12) {
        fail("blocks of 2^%u bytes", size_log);
    }
    block_shift = size_log - 9;
}

static void identify(bool dbbuf)
{
    static volatile uint32_t id[PAGE / 4] __attribute__((aligned(PAGE)));

    admin_command(&(Command) { "identify controller", IDENTIFY, 0, id, 0,
                               CNS_CONTROLLER, 0 });
    if (dbbuf && !(id[OACS] & OACS_DBBUF)) {
        fail("the controller has no shadow doorbells");
    }
    fuses = id[FUSES] >> 16;
    admin_command(&(Command) { "identify namespace", IDENTIFY, NSID, id, 0,
                               CNS_NAMESPACE, 0 });
    take_format(id);
}

static void create_io_queues(bool dbbuf)
{
    uint32_t size;

    set_up_queue(&io, 1, dbbuf);
    size = (io.entries - 1) << 16 | 1;
    admin_command(&(Command) { "set features", SET_FEATURES, 0, 0, 0,
                               FEATURE_QUEUES, 0 });
    if (dbbuf) {
        admin_command(&(Command) { "doorbell buffer config", DBBUF_CONFIG, 0,
                                   shadows, event_indices, 0, 0 });
    }
    admin_command(&(Command) { "create cq", CREATE_CQ, 0, io.cq, 0, size,
                               CONTIGUOUS });
    admin_command(&(Command) { "create sq", CREATE_SQ, 0, io.sq, 0, size,
                               1 << 16 | CONTIGUOUS });
    for (uint32_t i = 0; i < io.entries; i++) {
        io.sq[i].nsid = NSID;   /* nobody changes that again */
    }
}

static bool init(bool dbbuf)
{
    uint32_t address;

    if (!pci_find_class(CLASS_NVME, &address)) {
        return false;
    }
    pci_enable(address);
    regs = (volatile uint32_t *)pci_bar(address, 0);
    enable();
    identify(dbbuf);
    create_io_queues(dbbuf);
    return true;
}

static uint64_t sectors(void)
{
    return blocks << block_shift;
}

/* ---- the loop ---- */

static void prepare(const BlkCase *c)
{
    if (c->bytes & ((BLK_SECTOR << block_shift) - 1)) {
        fail("%u bytes are no blocks", c->bytes);
    }
    opcode = c->write ? WRITE : READ;
    nlb = (c->bytes / BLK_SECTOR >> block_shift) - 1;
    for (uint32_t i = 0; i < c->depth; i++) {
        uint32_t pages = (c->bytes + PAGE - 1) / PAGE;

        memory[i].prp1 = (uint32_t)blk_data[i];
        memory[i].prp2 = pages == 1 ? 0 :
                         pages == 2 ? (uint32_t)blk_data[i] + PAGE :
                         (uint32_t)memory[i].list;
        for (uint32_t p = 1; p < pages; p++) {
            memory[i].list[p - 1] = (uint32_t)blk_data[i] + p * PAGE;
        }
    }
}

static void submit(const BlkRequest *requests, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = requests[i].slot;
        uint64_t slba = requests[i].sector >> block_shift;
        Sqe *sqe = next_sqe(&io);

        sqe->cdw0 = slot << 16 | opcode;
        sqe->prp1 = memory[slot].prp1;
        sqe->prp2 = memory[slot].prp2;
        sqe->cdw10 = slba;
        sqe->cdw11 = slba >> 32;
        sqe->cdw12 = nlb;
    }
    ring(&io.sq_tail, io.tail);
}

static uint32_t take(BlkRequest *requests)
{
    uint32_t n = 0;

    while (n < BLK_MAX_DEPTH && has_cqe(&io)) {
        uint32_t dw3 = next_cqe(&io);

        if (dw3 >> 17) {
            fail_status("a request", dw3);
        }
        if ((dw3 & 0xffff) >= BLK_MAX_DEPTH) {
            fail("the device completed command %u", dw3 & 0xffff);
        }
        requests[n++].slot = dw3 & 0xffff;
    }
    if (n) {
        ring(&io.cq_head, io.head);
    }
    return n;
}

/* ---- fused Compare and Write: section 4.12 ---- */

#define COMPARE 0x05
#define FUSED_FIRST 0x100       /* of cdw0 */
#define FUSED_SECOND 0x200
#define COMPARE_FAILED 0x285    /* status types and codes */
#define FUSED_FAILED 0x009

static void fill(uint32_t slot, uint8_t byte)
{
    for (uint32_t i = 0; i < (uint32_t)BLK_SECTOR << block_shift; i++) {
        blk_data[slot][i] = byte;
    }
}

/* Puts a command about one block in the middle, with the data of a slot. */
static void put_block(uint32_t slot, uint32_t flags_opcode)
{
    Sqe *sqe = next_sqe(&io);
    uint64_t slba = blocks / 2;

    sqe->cdw0 = slot << 16 | flags_opcode;
    sqe->prp1 = (uint32_t)blk_data[slot];
    sqe->prp2 = 0;
    sqe->cdw10 = slba;
    sqe->cdw11 = slba >> 32;
    sqe->cdw12 = 0;
}

/* The next completion is that of @slot, with this status. */
static void expect(const char *what, uint32_t slot, uint32_t status)
{
    uint32_t dw3;

    while (!has_cqe(&io)) {
        /* it comes */
    }
    dw3 = next_cqe(&io);
    ring(&io.cq_head, io.head);
    if ((dw3 & 0xffff) != slot || (dw3 >> 17 & 0x7ff) != status) {
        fail_status(what, dw3);
    }
}

static void compare_and_write_block(uint8_t compare, uint8_t write,
                                    uint32_t first, uint32_t second)
{
    fill(0, compare);
    fill(1, write);
    put_block(0, FUSED_FIRST | COMPARE);
    put_block(1, FUSED_SECOND | WRITE);
    ring(&io.sq_tail, io.tail);
    expect("fused compare", 0, first);
    expect("fused write", 1, second);
}

static void compare_and_write(void)
{
    if (!(fuses & 1)) {
        fail("the controller has no fused commands");
    }
    fill(0, 0x11);
    put_block(0, WRITE);
    ring(&io.sq_tail, io.tail);
    expect("write", 0, 0);
    compare_and_write_block(0x11, 0x22, 0, 0);
    compare_and_write_block(0x11, 0x33, COMPARE_FAILED, FUSED_FAILED);
    compare_and_write_block(0x22, 0x44, 0, 0);
    put_block(0, READ);
    ring(&io.sq_tail, io.tail);
    expect("read", 0, 0);
    for (uint32_t i = 0; i < (uint32_t)BLK_SECTOR << block_shift; i++) {
        if (((volatile uint8_t *)blk_data[0])[i] != 0x44) {
            fail("byte %u is not what was written", i);
        }
    }
}

const BlkDriver nvme_driver = {
    .name = "nvme",
    .init = init,
    .sectors = sectors,
    .prepare = prepare,
    .submit = submit,
    .take = take,
    .compare_and_write = compare_and_write,
};
