/*
 * Fused Compare and Write (NVMe Base 1.4 sections 4.12 and 6.2): two commands,
 * one behind the other in the same queue, that are one request to the volume.
 *
 * The first one waits for the second, and then is the one that has the request;
 * when one of them ends with an error, so does the other (sn_ctrl_complete()).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

static unsigned fuse_of(const SnCtrlReq *req)
{
    return req->sqe.flags & SN_NVME_FUSE_MASK;
}

uint16_t sn_ctrl_fuses(SnCtrl *ctrl)
{
    uint16_t fuses = 0;

    for (uint32_t nsid = 1; nsid <= SN_CTRL_MAX_NSID; nsid++) {
        SnCtrlNs *ns = sn_ctrl_ns(ctrl, nsid);

        if (ns && !sn_ctrl_ns_info(ns)->max_compare_and_write) {
            return 0;
        }
        if (ns) {
            fuses = NVME_CTRL_FUSES_COMPARE_AND_WRITE;
        }
    }
    return fuses;
}

void sn_ctrl_fused_alone(SnCtrlSq *sq)
{
    sn_ctrl_complete(sq->fused, SN_CTRL_GENERIC(NVME_SC_FUSED_MISSING));
}

void sn_ctrl_fused_next(SnCtrlReq *req)
{
    SnCtrlReq *first = req->sq->fused;

    if (fuse_of(req) != SN_NVME_FUSE_SECOND) {
        sn_ctrl_fused_alone(req->sq);
        return;
    }
    req->sq->fused = NULL;
    req->partner = first;
    first->partner = req;
}

static void forget(SnCtrlReq *first)
{
    g_free(first->step);
    first->step = NULL;
}

/* What to compare with, then what to write. */
static void submit(SnCtrlReq *first, const SnCtrlReq *second, uint32_t len)
{
    const SnCtrlData *a = &first->data, *b = &second->data;
    struct iovec *iov = g_new(struct iovec, a->iovcnt + b->iovcnt);

    memcpy(iov, a->iov, a->iovcnt * sizeof(*iov));
    memcpy(iov + a->iovcnt, b->iov, b->iovcnt * sizeof(*iov));
    first->step = iov;
    first->forget = forget;
    first->io.op = SN_IO_COMPARE_AND_WRITE;
    first->io.flags = sn_ctrl_fua(second);
    first->io.offset = sn_ctrl_slba(first) *
                       sn_ctrl_ns_info(first->ns)->block_size;
    first->io.len = len;
    first->io.iov = iov;
    first->io.iovcnt = a->iovcnt + b->iovcnt;
    sn_ctrl_req_submit(first, sn_ctrl_io_done);
}

/* Whether both are about the same blocks of the same namespace. */
static bool match(const SnCtrlReq *first, const SnCtrlReq *second)
{
    return first->sqe.nsid == second->sqe.nsid &&
           sn_ctrl_slba(first) == sn_ctrl_slba(second) &&
           sn_ctrl_nlb(first) == sn_ctrl_nlb(second);
}

static SnCtrlStatus run(SnCtrlReq *first, SnCtrlReq *second)
{
    uint32_t nsid = GUINT32_FROM_LE(first->sqe.nsid);
    SnCtrlNs *ns = sn_ctrl_ns(first->ctrl, nsid);
    const SnVolumeInfo *info;
    SnCtrlStatus status;
    uint64_t len;

    if (!match(first, second)) {
        return SN_CTRL_INVALID_FIELD;
    }
    if (!ns) {
        return sn_ctrl_no_namespace(first->ctrl, nsid);
    }
    first->ns = second->ns = ns;        /* SMART counts both */
    status = sn_ctrl_check_blocks(first, sn_ctrl_slba(first),
                                  sn_ctrl_nlb(first));
    if (status) {
        return status;
    }
    info = sn_ctrl_ns_info(ns);
    len = (uint64_t)sn_ctrl_nlb(first) * info->block_size;
    if (len > info->max_compare_and_write) {
        return SN_CTRL_GENERIC_DNR(NVME_SC_AWU_EXCEEDED);
    }
    status = sn_ctrl_data_map(first, len, SN_NVME_OUT);
    if (!status) {
        status = sn_ctrl_data_map(second, len, SN_NVME_OUT);
    }
    if (!status) {
        submit(first, second, len);
    }
    return status;
}

static SnCtrlStatus wrong(SnCtrlReq *req)
{
    req->error_location = offsetof(SnNvmeSqe, flags);
    return SN_CTRL_INVALID_FIELD;
}

SnCtrlStatus sn_ctrl_io_fused(SnCtrlReq *req)
{
    SnCtrlStatus status;

    if (!sn_ctrl_fuses(req->ctrl)) {
        return wrong(req);
    }
    switch (fuse_of(req)) {
    case SN_NVME_FUSE_FIRST:
        if (req->sqe.opcode != nvme_cmd_compare) {
            return wrong(req);
        }
        if (!req->partner) {    /* else it begins again, with the other one */
            req->sq->fused = req;
        }
        return SN_CTRL_PENDING;
    case SN_NVME_FUSE_SECOND:
        if (!req->partner) {
            return SN_CTRL_GENERIC(NVME_SC_FUSED_MISSING);
        }
        if (req->sqe.opcode != nvme_cmd_write) {
            return wrong(req);
        }
        status = run(req->partner, req);
        return status ? status : SN_CTRL_PENDING;
    default:
        return wrong(req);
    }
}
