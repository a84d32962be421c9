/*
 * A test double of an NVMe/TCP target with a RAM disk.
 *
 * It is written from the specification's byte layouts, not with the
 * initiator's headers, and checks every byte that the initiator sends: what is
 * not allowed fails the test.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef NVME_DOUBLE_H
#define NVME_DOUBLE_H

#include "memory-net.h"

#define DOUBLE_MDTS 5                   /* 128 KiB */

/* What to change in one PDU that the double sends. */
typedef struct NvmeFault {
    uint8_t type;               /* PDU type; 0: no fault */
    unsigned skip;              /* that many PDUs of the type go unharmed */
    unsigned offset;            /* in the PDU */
    unsigned size;              /* bytes of value, little endian */
    uint32_t value;
} NvmeFault;

typedef struct NvmeDouble {
    SnLoop *loop;
    MemoryNet *net;
    GRand *rand;
    GList *conns;
    SnBh *bh;

    /* What it is like; set before connecting. */
    uint8_t cpda;
    uint32_t maxh2cdata;
    uint32_t ioccsz;            /* 16-byte units, with the queue entry */
    uint32_t r2t_max;           /* bytes asked for at a time */
    uint32_t c2h_max;           /* bytes in one C2HData */
    uint8_t c2h_pad;            /* extra bytes before C2HData's data */
    bool success;               /* uses the SUCCESS flag */
    uint8_t block_shift;
    uint16_t metadata;
    uint16_t max_queues;
    uint8_t vwc;
    uint8_t nsattr;
    unsigned not_ready;         /* answers before CSTS.RDY */
    uint16_t connect_status;    /* of Fabrics Connect; 0: success */
    uint32_t connect_dw0;

    /* What happens; may be set at any time. */
    NvmeFault fault;
    bool hold;                  /* I/O commands wait */
    bool deaf;                  /* Keep Alive is not answered */
    uint16_t io_status;         /* for the next io_failures I/O commands */
    unsigned io_failures;
    bool short_read;            /* the last block of a read is not sent */
    bool long_read;             /* one block too many is sent, once */

    /* The disk. */
    uint8_t *disk;
    uint64_t size;

    /* What was seen. */
    uint16_t term_fes;          /* of an H2CTermReq */
    unsigned commands[256];     /* I/O commands by opcode */
    unsigned keep_alives, aborts, connects, r2ts, in_capsule, log_reads;
    uint32_t last_cdw12;        /* of the last write or write zeroes */
    char hostnqn[257];
    uint8_t hostid[16];
    bool have_event;            /* an Asynchronous Event Request waits */
} NvmeDouble;

NvmeDouble *nvme_double_new(SnLoop *loop, uint64_t size, uint32_t seed);
void nvme_double_free(NvmeDouble *d);

/* Lets commands that were held go on. */
void nvme_double_release(NvmeDouble *d);
/* Tells of a changed namespace. */
void nvme_double_event(NvmeDouble *d);
/* Sends raw bytes on the admin connection. */
void nvme_double_inject(NvmeDouble *d, const void *bytes, size_t len);
/* I/O commands that are waiting for data or for their answer. */
unsigned nvme_double_pending(const NvmeDouble *d);

#endif
