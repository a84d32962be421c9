/*
 * The error log, page 01h (NVMe Base 1.4 section 5.14.1.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

SnCtrlStatus sn_ctrl_bad_field(SnCtrlReq *req, unsigned byte, unsigned bit)
{
    req->error_location = bit << 8 | byte;
    return SN_CTRL_INVALID_FIELD;
}

static bool has_blocks(const SnCtrlReq *req)
{
    switch (req->sqe.opcode) {
    case nvme_cmd_read:
    case nvme_cmd_write:
    case nvme_cmd_compare:
    case nvme_cmd_verify:
    case nvme_cmd_write_zeroes:
    case nvme_cmd_write_uncor:
        return req->sq->id;
    default:
        return false;
    }
}

/* Unrecovered errors of data integrity (section 5.14.1.2). */
static bool is_media_error(SnCtrlStatus status)
{
    unsigned code = status & 0x7ff;

    return code >= SN_NVME_STATUS(NVME_SCT_MEDIA, NVME_SC_WRITE_FAULT) &&
           code <= SN_NVME_STATUS(NVME_SCT_MEDIA, NVME_SC_REFTAG_CHECK);
}

/* That a command was aborted is no error of the controller's. */
static bool is_told(SnCtrlStatus status)
{
    unsigned code = status & 0x7ff;

    return code != SN_CTRL_GENERIC(NVME_SC_ABORT_REQ) &&
           code != SN_CTRL_GENERIC(NVME_SC_ABORT_QUEUE);
}

void sn_ctrl_error_log(SnCtrlReq *req, SnCtrlStatus status)
{
    SnCtrl *ctrl = req->ctrl;
    struct nvme_error_log_page *entry = &ctrl->error_log[ctrl->error_next];

    if (!is_told(status)) {
        return;
    }
    ctrl->error_next = (ctrl->error_next + 1) % SN_CTRL_ERROR_LOG;
    ctrl->counters.errors++;
    if (is_media_error(status)) {
        ctrl->counters.media_errors++;
    }
    *entry = (struct nvme_error_log_page){
        .error_count = GUINT64_TO_LE(ctrl->counters.errors),
        .sqid = GUINT16_TO_LE(req->sq->id),
        .cmdid = req->sqe.cid,
        .status_field = GUINT16_TO_LE(status << 1),
        .parm_error_location = GUINT16_TO_LE(req->error_location),
        .lba = GUINT64_TO_LE(has_blocks(req) ? sn_ctrl_slba(req) : 0),
        .nsid = req->sqe.nsid,
    };
}

void sn_ctrl_error_log_copy(const SnCtrl *ctrl,
                            struct nvme_error_log_page *to)
{
    for (unsigned i = 0; i < SN_CTRL_ERROR_LOG; i++) {
        to[i] = ctrl->error_log[(ctrl->error_next + 2 * SN_CTRL_ERROR_LOG -
                                 1 - i) % SN_CTRL_ERROR_LOG];
    }
}
