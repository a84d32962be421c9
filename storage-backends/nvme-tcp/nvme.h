/*
 * The two NVMe structures that libnvme does not define, and the constants that
 * it lacks: queue entries (NVMe Base 2.0 figures 87 and 90, NVMe over Fabrics
 * figures of section 6) in the wire's byte order, little endian.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVME_H
#define SN_NVME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <nvme/types.h>

typedef struct SnNvmeSqe {
    uint8_t opcode;
    uint8_t flags;              /* SN_NVME_PSDT_SGL */
    uint16_t cid;
    uint32_t nsid;              /* Fabrics commands: FCTYPE in byte 4 */
    uint32_t cdw2, cdw3;
    uint64_t mptr;
    uint64_t sgl_addr;
    uint32_t sgl_len;
    uint8_t sgl_reserved[3];
    uint8_t sgl_type;
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
} SnNvmeSqe;
G_STATIC_ASSERT(sizeof(SnNvmeSqe) == 64);

typedef struct SnNvmeCqe {
    uint32_t dw0, dw1;
    uint16_t sqhd;
    uint16_t sqid;
    uint16_t cid;
    uint16_t status;            /* bit 0: phase, not used by Fabrics */
} SnNvmeCqe;
G_STATIC_ASSERT(sizeof(SnNvmeCqe) == 16);

enum {
    SN_NVME_PSDT_SGL = 1 << 6,          /* byte 1: SGLs are used */
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

#endif
