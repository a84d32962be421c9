/*
 * Dataset Management: deallocates ranges, one after the other. The other
 * attributes are hints, which nobody here could use.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#define MAX_RANGES 256

typedef struct Ranges {
    unsigned count, next;
    struct nvme_dsm_range range[MAX_RANGES];
} Ranges;

static void forget(SnCtrlReq *req)
{
    g_free(req->step);
    req->step = NULL;
}

static void discard_next(SnCtrlReq *req, int ret)
{
    Ranges *r = req->step;
    uint32_t block_size = sn_ctrl_ns_info(req->ns)->block_size;
    const struct nvme_dsm_range *range;

    while (!ret && r->next < r->count && !r->range[r->next].nlb) {
        r->next++;
    }
    if (ret || r->next == r->count) {
        sn_ctrl_io_done(req, ret);
        return;
    }
    range = &r->range[r->next++];
    req->io.op = SN_IO_DISCARD;
    req->io.flags = 0;
    req->io.offset = GUINT64_FROM_LE(range->slba) * block_size;
    req->io.len = (uint64_t)GUINT32_FROM_LE(range->nlb) * block_size;
    req->io.iovcnt = 0;
    sn_ctrl_req_submit(req, discard_next);
}

static bool is_empty(const Ranges *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        if (r->range[i].nlb) {
            return false;
        }
    }
    return true;
}

static SnCtrlStatus get_ranges(SnCtrlReq *req, Ranges *r)
{
    SnCtrlStatus status = sn_ctrl_data_get(req, r->range,
                                           r->count * sizeof(*r->range));

    for (unsigned i = 0; !status && i < r->count; i++) {
        status = sn_ctrl_check_blocks(req, GUINT64_FROM_LE(r->range[i].slba),
                                      GUINT32_FROM_LE(r->range[i].nlb));
    }
    return status;
}

SnCtrlStatus sn_ctrl_io_dsm(SnCtrlReq *req)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(req->ns);
    bool deallocate = GUINT32_FROM_LE(req->sqe.cdw11) & NVME_DSMGMT_AD;
    Ranges *r = g_new(Ranges, 1);
    SnCtrlStatus status;

    r->count = (GUINT32_FROM_LE(req->sqe.cdw10) & 0xff) + 1;
    r->next = 0;
    req->step = r;
    req->forget = forget;
    status = get_ranges(req, r);
    if (!status && deallocate && info->read_only) {
        status = SN_CTRL_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED);
    }
    if (status || !deallocate || !info->max_discard || is_empty(r)) {
        return status;          /* completing forgets the ranges */
    }
    discard_next(req, 0);
    return SN_CTRL_PENDING;
}
