/*
 * The NVMe/TCP target of the fuzzer: one that answers rightly by itself, so
 * that the initiator gets far, and wrongly where the input says so.
 *
 * Unlike the test double (tests/unit/nvme-double.h) it forgives what the
 * initiator sends, which answers to wrong answers.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef NVME_TARGET_H
#define NVME_TARGET_H

#include "memory-net.h"

#define TARGET_SIZE   (1u << 20)
#define TARGET_FAULTS 8
/* The disk is full of it, and so are writes. */
#define TARGET_BYTE   0xa1

typedef enum FaultKind {
    FAULT_NONE,
    FAULT_HEADER,               /* XORs bytes of the header; digests fit */
    FAULT_HEADER_RAW,           /* the same after the digests were made */
    FAULT_DATA,                 /* XORs bytes of the data; digests fit */
    FAULT_DROP,
    FAULT_TWICE,
    FAULT_CUT,                  /* only the first bytes are sent */
    FAULT_LATE,                 /* after the next one */
    FAULT_END,                  /* in order, after this one */
    FAULT_RESET,
    FAULT_KINDS,
} FaultKind;

/* What is wrong with one PDU. */
typedef struct Fault {
    FaultKind kind;
    unsigned skip;              /* so many PDUs before it are right */
    uint16_t at;
    uint32_t value;
} Fault;

typedef struct Target {
    SnLoop *loop;
    MemoryNet *net;
    SnBh *bh;
    GList *conns;

    /* What it is like. */
    uint8_t cpda, pad, block_shift;
    uint32_t maxh2cdata, ioccsz, r2t_max, c2h_max;
    bool success, ana, discovery;
    uint16_t cqt, crdt;

    /* What happens. */
    Fault faults[TARGET_FAULTS];
    bool hold;                  /* nothing is answered */
    bool deaf;                  /* Keep Alive is not */
    bool removed;               /* the namespace */
    uint64_t size;              /* of the namespace, at most TARGET_SIZE */
    uint16_t io_status;         /* for the next io_failures I/O commands */
    unsigned io_failures;
    bool admin_lied;            /* a fault hit the admin queue */
    bool notice;                /* of a reservation: the log had one last */

    GByteArray *late;           /* FAULT_LATE: held back */
} Target;

Target *target_new(SnLoop *loop, uint32_t seed);
/* The initiator must have closed everything. */
void target_free(Target *t);

/* From now on it is as it was at first, and answers what waits. */
void target_mend(Target *t);

/* Any bytes on connection @i, of those that there are. */
void target_send_raw(Target *t, unsigned i, const void *bytes, size_t len);
/*
 * A well-formed PDU of @type about command @nth that is waiting there (or
 * about none), with any @offset, @len and @flags, and with data if it may have.
 */
void target_send_made_up(Target *t, unsigned i, uint8_t type, unsigned nth,
                         uint8_t flags, uint32_t offset, uint32_t len);
void target_end(Target *t, unsigned i, int err);
/* No byte moves in either direction, and no connection ends, while @on. */
void target_stall(Target *t, bool on);
/* Completes an Asynchronous Event Request, if one waits. */
void target_event(Target *t, uint32_t dw0);

#endif
