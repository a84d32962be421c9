/*
 * What an I/O command is about: see scope.h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "scope.h"

/* NVM Command Set 1.0 section 3.2: those that have a range have it there. */
static SnNvmeScope range(const SnNvmeSqe *sqe, bool changes)
{
    return (SnNvmeScope){
        .changes = changes,
        .slba = (uint64_t)GUINT32_FROM_LE(sqe->cdw11) << 32 |
                GUINT32_FROM_LE(sqe->cdw10),
        .nlb = (GUINT32_FROM_LE(sqe->cdw12) & 0xffff) + 1,
    };
}

SnNvmeScope sn_nvme_scope(const SnNvmeSqe *sqe)
{
    switch (sqe->opcode) {
    case nvme_cmd_read:
    case nvme_cmd_compare:
    case nvme_cmd_verify:
        return range(sqe, false);
    case nvme_cmd_write:
    case nvme_cmd_write_zeroes:
    case nvme_cmd_write_uncor:
        return range(sqe, true);
    case nvme_cmd_flush:
    case nvme_cmd_resv_report:
        return (SnNvmeScope){ .changes = false };
    default:
        /*
         * The ranges of DSM are in its data. Reservations are about all blocks:
         * another host may write what this one has let go of. Others may be
         * about anything.
         */
        return (SnNvmeScope){ .changes = true, .nlb = UINT64_MAX };
    }
}

/* Written for numbers from a guest: no sum can overflow. */
bool sn_nvme_scopes_overlap(const SnNvmeScope *a, const SnNvmeScope *b)
{
    if (!a->nlb || !b->nlb) {
        return false;
    }
    return a->slba <= b->slba ? b->slba - a->slba < a->nlb
                              : a->slba - b->slba < b->nlb;
}
