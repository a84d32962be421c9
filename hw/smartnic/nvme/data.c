/*
 * The memory of a command: what its PRPs or SGL describe, mapped.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/iov.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_data_wrong);

static void grow(SnCtrlData *data)
{
    unsigned room = data->room * 4;

    if (data->iov == data->inline_iov) {
        data->iov = g_new(struct iovec, room);
        data->hold = g_new(SnDmaHold *, room);
        memcpy(data->iov, data->inline_iov, sizeof(data->inline_iov));
        memcpy(data->hold, data->inline_hold, sizeof(data->inline_hold));
    } else {
        data->iov = g_renew(struct iovec, data->iov, room);
        data->hold = g_renew(SnDmaHold *, data->hold, room);
    }
    data->room = room;
}

static void shrink(SnCtrlData *data)
{
    g_free(data->iov);
    g_free(data->hold);
    data->iov = data->inline_iov;
    data->hold = data->inline_hold;
    data->room = SN_CTRL_DATA_INLINE;
}

/* What follows the last piece directly makes that one longer. */
static bool merge(SnCtrl *ctrl, SnCtrlData *data, void *ptr, size_t len,
                  SnDmaHold *hold)
{
    struct iovec *last;

    if (!data->iovcnt || data->hold[data->iovcnt - 1] != hold) {
        return false;
    }
    last = &data->iov[data->iovcnt - 1];
    if ((char *)last->iov_base + last->iov_len != ptr) {
        return false;
    }
    last->iov_len += len;
    ctrl->dma->unmap(ctrl->dma, hold, ptr, 0);  /* one hold is enough */
    return true;
}

SnCtrlStatus sn_ctrl_data_add(SnCtrlReq *req, uint64_t addr, size_t len)
{
    SnCtrl *ctrl = req->ctrl;
    SnCtrlData *data = &req->data;

    while (len) {
        size_t part = len;
        SnDmaHold *hold;
        void *ptr = ctrl->dma->map(ctrl->dma, addr, &part, data->writable,
                                   &hold);

        if (!ptr) {
            return SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR);
        }
        if (!merge(ctrl, data, ptr, part, hold)) {
            if (data->iovcnt == data->room) {
                grow(data);
            }
            data->iov[data->iovcnt] = (struct iovec){ ptr, part };
            data->hold[data->iovcnt++] = hold;
        }
        addr += part;
        len -= part;
    }
    return 0;
}

void sn_ctrl_data_add_own(SnCtrlReq *req, void *ptr, size_t len)
{
    SnCtrlData *data = &req->data;

    if (data->iovcnt == data->room) {
        grow(data);
    }
    data->iov[data->iovcnt] = (struct iovec){ ptr, len };
    data->hold[data->iovcnt++] = NULL;
}

void sn_ctrl_data_unmap(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    SnCtrlData *data = &req->data;

    for (unsigned i = 0; i < data->iovcnt; i++) {
        if (data->hold[i]) {
            ctrl->dma->unmap(ctrl->dma, data->hold[i], data->iov[i].iov_base,
                             data->writable ? data->iov[i].iov_len : 0);
        }
    }
    data->iovcnt = 0;
    data->mapped = false;
    if (data->room > SN_CTRL_DATA_KEPT) {
        shrink(data);
    }
}

/* By PSDT; where the metadata is does not matter, as there is none. */
static SnCtrlStatus map_all(SnCtrlReq *req, size_t len)
{
    switch (req->sqe.flags & SN_NVME_PSDT_MASK) {
    case 0:
        return sn_ctrl_prp_map(req, len);
    case SN_NVME_PSDT_SGL:
    case SN_NVME_PSDT_SGL_MPTR:
        return sn_ctrl_sgl_map(req, len);
    default:
        req->error_location = 1 | 6 << 8;
        return SN_CTRL_INVALID_FIELD;
    }
}

SnCtrlStatus sn_ctrl_data_map(SnCtrlReq *req, size_t len, SnNvmeDir dir)
{
    SnCtrlData *data = &req->data;
    SnCtrlStatus status;

    data->iovcnt = 0;
    data->writable = dir == SN_NVME_IN;
    data->mapped = true;
    if (!len) {
        return 0;
    }
    status = map_all(req, len);
    if (status) {
        sn_trace(nvme_data_wrong, "id=%s sq=%u cid=%u len=%zu psdt=%u prp1=0x%"
                 G_GINT64_MODIFIER "x prp2=0x%" G_GINT64_MODIFIER
                 "x status=0x%04x", req->ctrl->id, req->sq->id,
                 GUINT16_FROM_LE(req->sqe.cid), len, req->sqe.flags >> 6,
                 GUINT64_FROM_LE(req->sqe.prp1),
                 GUINT64_FROM_LE(req->sqe.prp2), status);
        data->writable = false;         /* nothing was written */
        sn_ctrl_data_unmap(req);
    }
    return status;
}

SnCtrlStatus sn_ctrl_data_put(SnCtrlReq *req, const void *buf, size_t len)
{
    SnCtrlStatus status = sn_ctrl_data_map(req, len, SN_NVME_IN);
    const char *from = buf;

    if (status) {
        return status;
    }
    for (unsigned i = 0; i < req->data.iovcnt; i++) {
        memcpy(req->data.iov[i].iov_base, from, req->data.iov[i].iov_len);
        from += req->data.iov[i].iov_len;
    }
    sn_ctrl_data_unmap(req);
    return 0;
}

SnCtrlStatus sn_ctrl_data_get(SnCtrlReq *req, void *buf, size_t len)
{
    SnCtrlStatus status = sn_ctrl_data_map(req, len, SN_NVME_OUT);

    if (status) {
        return status;
    }
    sn_iov_gather(buf, req->data.iov, req->data.iovcnt);
    sn_ctrl_data_unmap(req);
    return 0;
}
