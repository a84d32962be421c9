/*
 * Write Zeroes. A volume that has no such request gets zeroes written, a piece
 * at a time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

static const uint8_t zeroes[64 * 1024];

static void write_piece(SnCtrlReq *req);

static void piece_written(SnCtrlReq *req, int ret)
{
    req->at += req->io.len;
    req->left -= req->io.len;
    if (ret || !req->left) {
        sn_ctrl_io_done(req, ret);
    } else {
        write_piece(req);
    }
}

static void write_piece(SnCtrlReq *req)
{
    req->zeroes = (struct iovec){ (void *)zeroes,
                                  MIN(req->left, sizeof(zeroes)) };
    req->io.op = SN_IO_WRITE;
    req->io.flags = sn_ctrl_fua(req);
    req->io.offset = req->at;
    req->io.len = req->zeroes.iov_len;
    req->io.iov = &req->zeroes;
    req->io.iovcnt = 1;
    sn_ctrl_req_submit(req, piece_written);
}

SnCtrlStatus sn_ctrl_io_zeroes(SnCtrlReq *req)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(req->ns);
    uint64_t slba = sn_ctrl_slba(req);
    uint32_t nlb = sn_ctrl_nlb(req);
    uint32_t control = GUINT32_FROM_LE(req->sqe.cdw12) >> 16;
    SnCtrlStatus status = sn_ctrl_check_blocks(req, slba, nlb);

    if (status) {
        return status;
    }
    req->at = slba * info->block_size;
    req->left = (uint64_t)nlb * info->block_size;
    if (!info->max_write_zeroes) {
        write_piece(req);
        return SN_CTRL_PENDING;
    }
    req->io.op = SN_IO_WRITE_ZEROES;
    req->io.flags = sn_ctrl_fua(req) |
                    (control & NVME_IO_DEAC ? SN_IO_UNMAP : 0);
    req->io.offset = req->at;
    req->io.len = req->left;
    req->io.iovcnt = 0;
    sn_ctrl_req_submit(req, sn_ctrl_io_done);
    return SN_CTRL_PENDING;
}
