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

#define DOUBLE_MDTS 5                   /* 128 KiB, unless changed */

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
    uint8_t mdts;
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
    uint8_t dlfeat;
    uint8_t pi_type;
    uint8_t csi;                /* command set of the namespace */
    uint8_t nsid_byte;          /* of every byte of the UUID */
    uint8_t nguid_byte;
    bool removed;               /* the namespace */
    uint8_t changed_nsid;       /* in the list of changed namespaces */
    /* Reports VSL 4, WZSL 2, WUSL 3, DMRSL 1000, DMSL 800. */
    bool limits;
    uint16_t cqt;               /* ms */
    uint16_t kas;               /* 100 ms */
    uint16_t crdt;              /* CRDT2, 100 ms */
    bool tbkas;
    uint8_t ana_state;          /* 0: no ANA */
    unsigned ana_groups;        /* ours is the last */
    uint8_t cap_to;             /* 500 ms */
    unsigned not_ready;         /* answers before CSTS.RDY */
    uint16_t connect_status;    /* of Fabrics Connect; 0: success */
    uint32_t connect_dw0;
    uint16_t refused_port;      /* nobody listens there */

    /* Its discovery service: on that port only, 0: on any. */
    bool discovery;
    uint16_t discovery_port;
    unsigned entries;
    const char *entry_nqn;      /* of all; NULL: numbered ones */
    unsigned log_changes;       /* while it is being read */

    /* What happens; may be set at any time. */
    NvmeFault fault;
    bool hold;                  /* I/O commands wait */
    bool hold_whole;            /* those that lack no data do */
    unsigned answers;           /* PDUs that are still sent */
    bool deaf;                  /* Keep Alive is not answered */
    uint8_t lost_admin;         /* nor are commands with this opcode */
    bool double_r2t;            /* the next R2T is sent twice */
    bool skip_data;             /* a write succeeds without its data */
    uint16_t io_status;         /* for the next io_failures I/O commands */
    unsigned io_failures;
    uint16_t descs_status;      /* for so many of the requests for the */
    unsigned descs_failures;    /* namespace's descriptors */
    bool short_read;            /* the last block of a read is not sent */
    bool long_read;             /* one block too many is sent, once */
    struct {
        uint32_t nsid;
        uint8_t type;
    } notices[8];               /* of reservations, oldest first */
    unsigned n_notices;
    bool endless_notices;       /* the first one stays */
    uint16_t notice_status;     /* with which their log is refused */
    bool hold_admin;            /* what the host passes on waits as well */
    uint16_t admin_status;      /* for what the host passes on; 0: success */
    uint32_t result;            /* dword 0 of the answers to such commands */

    /* The disk. */
    uint8_t *disk;
    uint64_t size;

    /* What was seen. */
    uint16_t term_fes;          /* of an H2CTermReq */
    uint32_t term_fei;
    unsigned term_len;          /* bytes of the wrong PDU in it */
    uint8_t term_type;          /* its type */
    unsigned shutdowns;         /* CC.SHN was set */
    unsigned discoveries;       /* logs that were begun to be read */
    uint8_t last_log;           /* log page that was read last */
    bool behavior;              /* ACRE was set */
    uint32_t event_config;
    unsigned commands[256];     /* I/O commands by opcode */
    unsigned keep_alives, aborts, connects, r2ts, in_capsule, log_reads;
    uint32_t last_cdw12;        /* of the last write or write zeroes */
    uint8_t passed[64];         /* the last command that is not ours alone */
    uint16_t passed_qid;
    uint8_t passed_data[8192];  /* from the host */
    char hostnqn[257];
    uint8_t hostid[16];
    bool have_event;            /* an Asynchronous Event Request waits */
} NvmeDouble;

NvmeDouble *nvme_double_new(SnLoop *loop, uint64_t size, uint32_t seed);
void nvme_double_free(NvmeDouble *d);

/* Lets commands that were held go on. */
static inline void nvme_double_release(NvmeDouble *d)
{
    d->hold = d->hold_whole = false;
    d->loop->bh_schedule(d->bh);
}

/* Any event, by dword 0 of its response. */
void nvme_double_raw_event(NvmeDouble *d, uint32_t dw0);

/* Tells of a changed namespace. */
static inline void nvme_double_event(NvmeDouble *d)
{
    nvme_double_raw_event(d, 2 | 4 << 16);
}

/* Ends the I/O connections only. */
void nvme_double_end_io(NvmeDouble *d, int err);
/* Sends raw bytes on the admin connection. */
void nvme_double_inject(NvmeDouble *d, const void *bytes, size_t len);
/* I/O commands that are waiting for data or for their answer. */
unsigned nvme_double_pending(const NvmeDouble *d);

#endif
