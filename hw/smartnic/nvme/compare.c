/*
 * Compare and Verify. Where the far side has them, it carries them out; else
 * the blocks are read here, a piece at a time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <errno.h>
#include <string.h>

#define PIECE (128 * 1024u)     /* bytes that are read at a time */

/* The blocks of the command, read piece by piece. */
typedef struct Reading {
    uint64_t offset, len;       /* bytes of the volume that are left */
    uint64_t done;              /* bytes that were read before */
    struct iovec iov;
    uint8_t buf[];              /* a piece */
} Reading;

static void forget(SnCtrlReq *req)
{
    g_free(req->step);
    req->step = NULL;
}

static void read_piece(SnCtrlReq *req);

/* Whether the piece is what the guest's memory has at @at. */
static bool same(const SnCtrlData *data, uint64_t at, const uint8_t *buf,
                 size_t len)
{
    for (unsigned i = 0; len && i < data->iovcnt; i++) {
        size_t size = data->iov[i].iov_len;
        size_t part;

        if (at >= size) {
            at -= size;
            continue;
        }
        part = MIN(len, size - at);
        if (memcmp((char *)data->iov[i].iov_base + at, buf, part)) {
            return false;
        }
        buf += part;
        len -= part;
        at = 0;
    }
    return true;
}

static void piece_read(SnCtrlReq *req, int ret)
{
    Reading *r = req->step;
    size_t len = r->iov.iov_len;

    if (!ret && req->sqe.opcode == nvme_cmd_compare &&
        !same(&req->data, r->done, r->buf, len)) {
        ret = -EILSEQ;
    }
    r->offset += len;
    r->len -= len;
    r->done += len;
    if (ret || !r->len) {
        sn_ctrl_io_done(req, ret);
    } else {
        read_piece(req);
    }
}

static void read_piece(SnCtrlReq *req)
{
    Reading *r = req->step;

    r->iov = (struct iovec){ r->buf, MIN(r->len, PIECE) };
    req->io.op = SN_IO_READ;
    req->io.flags = 0;
    req->io.offset = r->offset;
    req->io.len = r->iov.iov_len;
    req->io.iov = &r->iov;
    req->io.iovcnt = 1;
    sn_ctrl_req_submit(req, piece_read);
}

static SnCtrlStatus begin(SnCtrlReq *req)
{
    uint32_t block_size = sn_ctrl_ns_info(req->ns)->block_size;
    uint64_t len = (uint64_t)sn_ctrl_nlb(req) * block_size;
    Reading *r = g_malloc(sizeof(*r) + MIN(len, PIECE));

    r->offset = sn_ctrl_slba(req) * block_size;
    r->len = len;
    r->done = 0;
    req->step = r;
    req->forget = forget;
    read_piece(req);
    return SN_CTRL_PENDING;
}

SnCtrlStatus sn_ctrl_io_compare(SnCtrlReq *req)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(req->ns);
    uint64_t len = (uint64_t)sn_ctrl_nlb(req) * info->block_size;
    SnCtrlStatus status;

    if (info->compare) {
        return sn_ctrl_io_plain(req, SN_IO_COMPARE);
    }
    status = sn_ctrl_check_blocks(req, sn_ctrl_slba(req), sn_ctrl_nlb(req));
    if (status) {
        return status;
    }
    if (len > SN_CTRL_MAX_TRANSFER) {
        return SN_CTRL_INVALID_FIELD;
    }
    status = sn_ctrl_data_map(req, len, SN_NVME_OUT);
    return status ? status : begin(req);
}

SnCtrlStatus sn_ctrl_io_verify(SnCtrlReq *req)
{
    const SnVolumeNvme *nvme = &sn_ctrl_ns_info(req->ns)->nvme;
    SnCtrlStatus status = sn_ctrl_check_blocks(req, sn_ctrl_slba(req),
                                               sn_ctrl_nlb(req));

    if (status) {
        return status;
    }
    if (nvme->passthrough && nvme->oncs & NVME_CTRL_ONCS_VERIFY) {
        return sn_ctrl_io_passthrough(req);
    }
    return begin(req);
}
