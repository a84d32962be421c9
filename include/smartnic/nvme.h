/*
 * NVMe queue entries, which libnvme does not define, and the constants that it
 * lacks (NVMe Base 2.0 figures 87 and 90, NVMe over Fabrics figures of section
 * 6). Shared by the NVMe controller that a guest sees and the initiator that
 * speaks NVMe/TCP. All in the byte order of memory and wire, little endian.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_NVME_H
#define SMARTNIC_NVME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <nvme/types.h>

typedef struct SnNvmeSqe {
    uint8_t opcode;
    uint8_t flags;              /* SN_NVME_PSDT_*, SN_NVME_FUSE_MASK */
    uint16_t cid;
    uint32_t nsid;              /* Fabrics commands: FCTYPE in byte 4 */
    uint32_t cdw2, cdw3;
    uint64_t mptr;
    union {
        struct {
            uint64_t prp1, prp2;
        };
        struct {
            uint64_t sgl_addr;
            uint32_t sgl_len;
            uint8_t sgl_reserved[3];
            uint8_t sgl_type;
        };
    };
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
} SnNvmeSqe;
G_STATIC_ASSERT(sizeof(SnNvmeSqe) == 64);

typedef struct SnNvmeCqe {
    uint32_t dw0, dw1;
    uint16_t sqhd;
    uint16_t sqid;
    uint16_t cid;
    uint16_t status;            /* bit 0: phase, unused by Fabrics */
} SnNvmeCqe;
G_STATIC_ASSERT(sizeof(SnNvmeCqe) == 16);

enum {
    SN_NVME_FUSE_MASK = 3,              /* byte 1: part of a fused pair */
    SN_NVME_FUSE_FIRST = 1,
    SN_NVME_FUSE_SECOND = 2,
    SN_NVME_PSDT_SGL = 1 << 6,          /* byte 1: SGLs are used */
    SN_NVME_PSDT_SGL_MPTR = 2 << 6,     /* likewise, MPTR is one segment */
    SN_NVME_PSDT_MASK = 3 << 6,
    SN_NVME_SGL_IN_CAPSULE = 0x01,      /* data block, address is an offset */
    SN_NVME_SGL_TRANSPORT = 0x5a,       /* transport data block */
    SN_NVME_CONNECT_NO_SQ_FLOW = 1 << 2,        /* CATTR */
    SN_NVME_CNTLID_DYNAMIC = 0xffff,
    SN_NVME_CRD_MAX = 3,                /* retry delays, CRDT1 to CRDT3 */
};

/* Status code type and status code, and the Do Not Retry bit. */
static inline unsigned sn_nvme_status(const SnNvmeCqe *cqe)
{
    return GUINT16_FROM_LE(cqe->status) >> 1 & 0x7ff;
}

static inline bool sn_nvme_dnr(const SnNvmeCqe *cqe)
{
    return GUINT16_FROM_LE(cqe->status) >> 15;
}

/* Command Retry Delay: which of CRDT1 to CRDT3, or 0 for none. */
static inline unsigned sn_nvme_crd(const SnNvmeCqe *cqe)
{
    return GUINT16_FROM_LE(cqe->status) >> 12 & SN_NVME_CRD_MAX;
}

#define SN_NVME_STATUS(sct, sc) ((unsigned)(sct) << 8 | (sc))

/* In what is passed on as a status: do not retry (DNR) belongs to it. */
#define SN_NVME_STATUS_DNR (1u << 14)

/* Which way the data of a command goes. */
typedef enum SnNvmeDir {
    SN_NVME_NO_DATA,
    SN_NVME_IN,                 /* from the controller */
    SN_NVME_OUT,
} SnNvmeDir;

#endif
