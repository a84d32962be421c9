/*
 * I/O commands (NVM Command Set 1.0 section 3.2).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#define NSID_ALL 0xffffffffu

uint64_t sn_ctrl_slba(const SnCtrlReq *req)
{
    return (uint64_t)GUINT32_FROM_LE(req->sqe.cdw11) << 32 |
           GUINT32_FROM_LE(req->sqe.cdw10);
}

uint32_t sn_ctrl_nlb(const SnCtrlReq *req)
{
    return (GUINT32_FROM_LE(req->sqe.cdw12) & 0xffff) + 1;
}

SnCtrlStatus sn_ctrl_check_blocks(const SnCtrlReq *req, uint64_t slba,
                                  uint64_t nlb)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(req->ns);
    uint64_t blocks = info->size / info->block_size;

    return slba > blocks || nlb > blocks - slba
           ? SN_CTRL_GENERIC_DNR(NVME_SC_LBA_RANGE) : 0;
}

void sn_ctrl_io_done(SnCtrlReq *req, int ret)
{
    sn_ctrl_complete(req, ret ? sn_ctrl_status_of(req, ret) : 0);
}

/* FUA, or what stands for it while the guest has the cache switched off. */
unsigned sn_ctrl_fua(const SnCtrlReq *req)
{
    uint32_t control = GUINT32_FROM_LE(req->sqe.cdw12) >> 16;

    return control & NVME_IO_FUA || sn_ctrl_write_through(req->ctrl)
           ? SN_IO_FUA : 0;
}

static void submit_flush(SnCtrlReq *req, void (*done)(SnCtrlReq *, int))
{
    req->io.op = SN_IO_FLUSH;
    req->io.flags = 0;
    req->io.offset = req->io.len = 0;
    req->io.iovcnt = 0;
    sn_ctrl_req_submit(req, done);
}

static void read_to_be_stable(SnCtrlReq *req, int ret)
{
    if (ret) {
        sn_ctrl_io_done(req, ret);
    } else {
        submit_flush(req, sn_ctrl_io_done);
    }
}

/*
 * Whether a Read may only end when what it has read is stable (FUA, section
 * 3.2.4). Not every far side has that for reads; flushing is good for all.
 */
static bool flush_must_follow(const SnCtrlReq *req, SnIoOp op)
{
    uint32_t control = GUINT32_FROM_LE(req->sqe.cdw12) >> 16;

    return op == SN_IO_READ && control & NVME_IO_FUA &&
           sn_ctrl_ns_info(req->ns)->write_cache;
}

SnCtrlStatus sn_ctrl_io_plain(SnCtrlReq *req, SnIoOp op)
{
    uint64_t slba = sn_ctrl_slba(req);
    uint32_t nlb = sn_ctrl_nlb(req);
    uint32_t block_size = sn_ctrl_ns_info(req->ns)->block_size;
    SnCtrlStatus status = sn_ctrl_check_blocks(req, slba, nlb);

    if (status) {
        return status;
    }
    if ((uint64_t)nlb * block_size > SN_CTRL_MAX_TRANSFER) {
        req->error_location = offsetof(SnNvmeSqe, cdw12);
        return SN_CTRL_INVALID_FIELD;
    }
    status = sn_ctrl_data_map(req, nlb * block_size,
                              op == SN_IO_READ ? SN_NVME_IN : SN_NVME_OUT);
    if (status) {
        return status;
    }
    req->io.op = op;
    req->io.flags = op == SN_IO_WRITE ? sn_ctrl_fua(req) : 0;
    req->io.offset = slba * block_size;
    req->io.len = nlb * block_size;
    req->io.iov = req->data.iov;
    req->io.iovcnt = req->data.iovcnt;
    sn_ctrl_req_submit(req, flush_must_follow(req, op) ? read_to_be_stable
                                                       : sn_ctrl_io_done);
    return SN_CTRL_PENDING;
}

static void flushed_one(SnCtrlReq *req, int ret);

/* The next cache after the one that was flushed; 0: all were. */
static SnCtrlStatus flush_next(SnCtrlReq *req)
{
    while (++req->at <= SN_CTRL_MAX_NSID) {
        req->ns = sn_ctrl_ns(req->ctrl, req->at);
        if (!req->ns || !sn_ctrl_ns_info(req->ns)->write_cache) {
            continue;
        }
        if (!req->sq->id && sn_volume_state(req->ns->vol) == SN_VOLUME_LOST) {
            return SN_CTRL_PATH_LOST;
        }
        submit_flush(req, flushed_one);
        return SN_CTRL_PENDING;
    }
    return 0;
}

static void flushed_one(SnCtrlReq *req, int ret)
{
    SnCtrlStatus status;

    if (ret) {
        sn_ctrl_io_done(req, ret);
        return;
    }
    status = flush_next(req);
    if (status == SN_CTRL_PENDING) {
        sn_ctrl_wake(req->ctrl);        /* which kicks the other volume */
    } else {
        sn_ctrl_complete(req, status);
    }
}

/* One after the other: it is rare. */
SnCtrlStatus sn_ctrl_flush_all(SnCtrlReq *req)
{
    req->at = 0;
    return flush_next(req);
}

void sn_ctrl_io_ns_gone(SnCtrlReq *req)
{
    if (req->submitted && (req->done == flushed_one ||
                           GUINT32_FROM_LE(req->sqe.nsid) == NSID_ALL)) {
        sn_ctrl_req_stop(req);
        req->done(req, 0);      /* goes on with the next one */
    } else {
        sn_ctrl_complete(req, SN_CTRL_INVALID_NS);
    }
}

SnCtrlStatus sn_ctrl_no_namespace(SnCtrl *ctrl, uint32_t nsid)
{
    SnCtrlNs *ns = nsid <= SN_CTRL_MAX_NSID ? ctrl->ns[nsid] : NULL;

    if (!ns || sn_ctrl_ns_is_removed(ctrl, nsid)) {
        return SN_CTRL_INVALID_NS;
    }
    /* Its volume was never there, and may still come. */
    return sn_volume_state(ns->vol) == SN_VOLUME_FAILED
           ? SN_CTRL_GENERIC_DNR(NVME_SC_NS_NOT_READY)
           : SN_CTRL_GENERIC(NVME_SC_NS_NOT_READY);
}

SnCtrlStatus sn_ctrl_io(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);

    if (!sn_ctrl_io_supported(ctrl, req->sqe.opcode)) {
        req->error_location = offsetof(SnNvmeSqe, opcode);
        return SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    }
    if (req->sqe.flags & SN_NVME_FUSE_MASK) {
        return sn_ctrl_io_fused(req);
    }
    if (req->sqe.opcode == nvme_cmd_flush && nsid == NSID_ALL) {
        return sn_ctrl_flush_all(req);
    }
    req->ns = sn_ctrl_ns(ctrl, nsid);
    if (!req->ns) {
        req->error_location = offsetof(SnNvmeSqe, nsid);
        return sn_ctrl_no_namespace(ctrl, nsid);
    }
    switch (req->sqe.opcode) {
    case nvme_cmd_flush:
        submit_flush(req, sn_ctrl_io_done);
        return SN_CTRL_PENDING;
    case nvme_cmd_read:
        return sn_ctrl_io_plain(req, SN_IO_READ);
    case nvme_cmd_write:
        return sn_ctrl_io_plain(req, SN_IO_WRITE);
    case nvme_cmd_compare:
        return sn_ctrl_io_compare(req);
    case nvme_cmd_verify:
        return sn_ctrl_io_verify(req);
    case nvme_cmd_write_zeroes:
        return sn_ctrl_io_zeroes(req);
    case nvme_cmd_dsm:
        return sn_ctrl_io_dsm(req);
    default:
        return sn_ctrl_io_passthrough(req);
    }
}
