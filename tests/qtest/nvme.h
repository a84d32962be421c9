/*
 * A driver for the NVMe storage function, as a test needs it: registers,
 * queues and commands as a guest makes them, and as no guest should.
 *
 * Numbers are those of NVMe Base 1.4, written out where libnvme's header has
 * no name for them: the tests shall not believe what the controller believes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QTEST_NVME_H
#define SMARTNIC_QTEST_NVME_H

#include "machine.h"
#include "smartnic/nvme.h"

/* Section 3.1 */
enum {
    REG_CAP = 0x00,
    REG_VS = 0x08,
    REG_INTMS = 0x0c,
    REG_INTMC = 0x10,
    REG_CC = 0x14,
    REG_CSTS = 0x1c,
    REG_NSSR = 0x20,
    REG_AQA = 0x24,
    REG_ASQ = 0x28,
    REG_ACQ = 0x30,
    REG_CMBLOC = 0x38,
    REG_CMBSZ = 0x3c,
    REG_DOORBELLS = 0x1000,
};

#define CC_EN       1u
#define CC_MPS(mps) ((unsigned)(mps) << 7)
#define CC_AMS(ams) ((unsigned)(ams) << 11)
#define CC_SHN(shn) ((unsigned)(shn) << 14)
/* IOSQES 6 and IOCQES 4: what every driver says */
#define CC_SIZES    (6u << 16 | 4u << 20)

#define CSTS_RDY    1u
#define CSTS_CFS    2u
#define CSTS_SHST   (3u << 2)
#define CSTS_SHUT   (2u << 2)      /* shutdown is complete */

/* Admin and I/O opcodes */
enum {
    OP_DELETE_SQ = 0x00, OP_CREATE_SQ = 0x01, OP_GET_LOG = 0x02,
    OP_DELETE_CQ = 0x04, OP_CREATE_CQ = 0x05, OP_IDENTIFY = 0x06,
    OP_ABORT = 0x08, OP_SET_FEATURES = 0x09, OP_GET_FEATURES = 0x0a,
    OP_ASYNC_EVENT = 0x0c, OP_KEEP_ALIVE = 0x18, OP_DBBUF = 0x7c,
    OP_FORMAT = 0x80,

    OP_FLUSH = 0x00, OP_WRITE = 0x01, OP_READ = 0x02,
    OP_WRITE_UNCORRECTABLE = 0x04, OP_COMPARE = 0x05, OP_WRITE_ZEROES = 0x08,
    OP_DSM = 0x09, OP_VERIFY = 0x0c,
};

/* Status code type and status code (figures 126 to 130), without DNR */
enum {
    ST_OK = 0x000, ST_INVALID_OPCODE = 0x001, ST_INVALID_FIELD = 0x002,
    ST_CID_CONFLICT = 0x003, ST_DATA_TRANSFER = 0x004, ST_ABORTED = 0x007,
    ST_SQ_DELETED = 0x008, ST_FUSED_FAIL = 0x009, ST_FUSED_MISSING = 0x00a,
    ST_INVALID_NS = 0x00b, ST_SEQUENCE = 0x00c,
    ST_SGL_SEGMENT = 0x00d, ST_SGL_COUNT = 0x00e, ST_SGL_LENGTH = 0x00f,
    ST_SGL_TYPE = 0x011, ST_PRP_OFFSET = 0x013, ST_WRITE_PROTECTED = 0x020,
    ST_LBA_RANGE = 0x080, ST_NS_NOT_READY = 0x082,
    ST_CQ_INVALID = 0x100, ST_QID = 0x101, ST_QUEUE_SIZE = 0x102,
    ST_AER_LIMIT = 0x105, ST_VECTOR = 0x108, ST_LOG_PAGE = 0x109,
    ST_QUEUE_DELETION = 0x10c, ST_NOT_SAVEABLE = 0x10d,
    ST_COMPARE = 0x285, ST_PATH = 0x300,
};

#define NVME_BLOCK 512
#define NVME_ALL   0xffffffffu          /* NSID: every namespace */
#define NVME_MDTS  (1024 * 1024)        /* bytes, checked against Identify */

/* Guest memory for data, aligned to the largest page of a controller. */
#define NVME_PAGE_MAX      65536
#define NVME_BUFFER_SIZE   (2 * NVME_MDTS)
#define NVME_ADMIN_ENTRIES 32
#define NVME_MAX_QUEUES    65           /* with the admin queue pair */

typedef struct NvmeQueue {
    unsigned sq_entries, cq_entries;    /* 0: there is none */
    uint64_t sq, cq;                    /* guest addresses, in one block: */
    uint64_t memory;
    unsigned tail, head;
    bool phase;                         /* of the next completion */
} NvmeQueue;

typedef struct Nvme {
    Machine *m;
    QPCIDevice *pci;
    QPCIBar bar;
    uint64_t bar_size;
    uint32_t page_size;                 /* as it was enabled */
    uint64_t arena;                     /* what the next three are in */
    uint64_t buffer;                    /* NVME_BUFFER_SIZE */
    uint64_t list;                      /* NVME_PAGE_MAX: PRP lists, SGLs */
    uint64_t message;                   /* a page: where MSI may write */
    NvmeQueue queues[NVME_MAX_QUEUES];
    uint16_t cid;                       /* of the last command */
    uint32_t result;                    /* dword 0 of the last completion */
    bool dnr;                           /* likewise, Do Not Retry */
} Nvme;

/* ---- the function ---- */

/* The function at @devfn, not yet enabled, bus master. */
void nvme_open(Nvme *n, Machine *m, int devfn);
/* Disables the controller when @n still has a function, and frees. */
void nvme_close(Nvme *n);
/* For a function that is gone: lets go of what @n has of it. */
void nvme_forget(Nvme *n);

/* A machine with the arguments @args, and its card's function. */
void nvme_start(Nvme *n, Machine *m, const char *args);
/* Fails the test unless the function works still; ends the machine. */
void nvme_stop(Nvme *n);

uint32_t nvme_get(Nvme *n, unsigned reg);
uint64_t nvme_get64(Nvme *n, unsigned reg);
void nvme_set(Nvme *n, unsigned reg, uint32_t value);
void nvme_set64(Nvme *n, unsigned reg, uint64_t value);

void nvme_bus_master(Nvme *n, bool on);
/* Function level reset (PCI Express); false when it has none. */
bool nvme_flr(Nvme *n);

/* ---- the controller ---- */

/* Waits until CSTS & @mask is @value. */
void nvme_wait_csts(Nvme *n, uint32_t mask, uint32_t value);
/* Disables, makes an admin queue pair, enables and waits for RDY. */
void nvme_enable(Nvme *n);
/* Likewise, with more bits of CC. */
void nvme_enable_with(Nvme *n, uint32_t cc);
/* All of that but the waiting. */
void nvme_begin_enable(Nvme *n, uint32_t cc);
/* Sets EN to 0, waits for RDY, forgets every queue. */
void nvme_disable(Nvme *n);
/* Enables, makes I/O queue 1 and writes, reads and compares on namespace 1. */
void nvme_assert_works(Nvme *n);

/* ---- queues ---- */

void nvme_queue_alloc(Nvme *n, unsigned qid, unsigned sq_entries,
                      unsigned cq_entries);
void nvme_queue_free(Nvme *n, unsigned qid);
/* The command to create half of queue pair @qid, from what @n has of it. */
SnNvmeSqe nvme_create_cq_cmd(Nvme *n, unsigned qid);
SnNvmeSqe nvme_create_sq_cmd(Nvme *n, unsigned qid, unsigned cqid);
/* An I/O queue pair of @entries; vector @qid with MSI-X, else 0. */
void nvme_create_queues(Nvme *n, unsigned qid, unsigned entries);
/* Both halves; the memory goes too. */
void nvme_delete_queues(Nvme *n, unsigned qid);

uint64_t nvme_sq_doorbell(unsigned qid);
uint64_t nvme_cq_doorbell(unsigned qid);

/* ---- commands ---- */

/* Puts it at the tail, with a CID of its own, which is returned. */
uint16_t nvme_put(Nvme *n, unsigned qid, SnNvmeSqe cmd);
/* Likewise, with the CID that it has. */
void nvme_put_as_is(Nvme *n, unsigned qid, const SnNvmeSqe *cmd);
/* Tells the controller of the tail. */
void nvme_ring(Nvme *n, unsigned qid);
uint16_t nvme_submit(Nvme *n, unsigned qid, SnNvmeSqe cmd);
/* The next completion, if there is one; the head moves, and is rung. */
bool nvme_poll(Nvme *n, unsigned qid, SnNvmeCqe *cqe);
/* Likewise, but the controller is not told. */
bool nvme_peek(Nvme *n, unsigned qid, SnNvmeCqe *cqe);
void nvme_ring_head(Nvme *n, unsigned qid);
/* Waits for the next completion of any command. */
SnNvmeCqe nvme_wait_any(Nvme *n, unsigned qid);
/* Waits for the next completion, which must be of @cid. Its status. */
unsigned nvme_wait(Nvme *n, unsigned qid, uint16_t cid);
/* A whole command. Its status; see also n->result. */
unsigned nvme_command(Nvme *n, unsigned qid, SnNvmeSqe cmd);
unsigned nvme_admin(Nvme *n, SnNvmeSqe cmd);
/* That fails the test unless it succeeds. */
void nvme_admin_ok(Nvme *n, SnNvmeSqe cmd);
/* No queue has a completion, after giving the controller time for some. */
void nvme_assert_quiet(Nvme *n);

/* PRP1, PRP2 and the list for @len bytes at @addr. */
void nvme_set_prps(Nvme *n, SnNvmeSqe *cmd, uint64_t addr, size_t len);
/* @op at @slba, data at n->buffer. */
SnNvmeSqe nvme_rw_cmd(Nvme *n, uint8_t op, uint32_t nsid, uint64_t slba,
                      unsigned blocks);
/* Through I/O queue 1 and n->buffer, of whole blocks. */
unsigned nvme_read(Nvme *n, uint32_t nsid, uint64_t slba, void *data,
                   size_t len);
unsigned nvme_write(Nvme *n, uint32_t nsid, uint64_t slba, const void *data,
                    size_t len);
/* Data structures of @len bytes; the status. */
unsigned nvme_identify(Nvme *n, uint8_t cns, uint32_t nsid, void *data);
unsigned nvme_get_log(Nvme *n, uint8_t lid, uint64_t offset, void *data,
                      size_t len);
unsigned nvme_get_feature(Nvme *n, uint8_t fid, uint32_t cdw11);
unsigned nvme_set_feature(Nvme *n, uint8_t fid, uint32_t value);

/* Fails the test, with where it is, when the status is another. */
#define nvme_assert_status(got, expected) \
    g_assert_cmphex((got), ==, (expected))

/* ---- interrupts ---- */

/* MSI-X is enabled, every vector writes its number plus 1 to a word. */
void nvme_msix_enable(Nvme *n);
void nvme_msix_disable(Nvme *n);
void nvme_msix_mask(Nvme *n, unsigned vector, bool masked);
/* Where vector @vector writes */
uint64_t nvme_msix_word(Nvme *n, unsigned vector);
/* Directs vector @vector to any address, with any data. */
void nvme_msix_direct(Nvme *n, unsigned vector, uint64_t address,
                      uint32_t data);
/* Whether vector @vector was raised since the last question. */
bool nvme_msix_raised(Nvme *n, unsigned vector);
void nvme_msix_wait(Nvme *n, unsigned vector);
unsigned nvme_msix_vectors(Nvme *n);
/* The level of the interrupt pin, as configuration space shows it. */
bool nvme_pin(Nvme *n);

#endif
