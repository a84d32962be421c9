/*
 * What a volume's error is to the guest. Do Not Retry is set when the same
 * command cannot get right, and clear when the path to the volume is the
 * trouble (NVMe Base 1.4 section 4.6.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <errno.h>

#define MEDIA(sc) ((SnCtrlStatus)SN_NVME_STATUS(NVME_SCT_MEDIA, sc))

static bool is_reading(uint8_t opcode)
{
    return opcode == nvme_cmd_read || opcode == nvme_cmd_compare ||
           opcode == nvme_cmd_verify;
}

SnCtrlStatus sn_ctrl_status_of(const SnCtrlReq *req, int ret)
{
    if (req->io.nvme_status) {
        return req->io.nvme_status;
    }
    switch (ret) {
    case -ENOSPC:
        return SN_CTRL_GENERIC(NVME_SC_CAP_EXCEEDED);
    case -EROFS:
        return SN_CTRL_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED);
    case -EINVAL:
        /* What is passed on names no blocks to the volume, but a length. */
        return req->io.op == SN_IO_NVME
               ? SN_CTRL_INVALID_FIELD : SN_CTRL_GENERIC_DNR(NVME_SC_LBA_RANGE);
    case -EOPNOTSUPP:
        return SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    case -EILSEQ:
        return MEDIA(NVME_SC_COMPARE_FAILED) | SN_NVME_STATUS_DNR;
    case -ENODEV:
        return SN_CTRL_GENERIC_DNR(NVME_SC_NS_NOT_READY);
    case -EBADE:
        return SN_CTRL_GENERIC_DNR(NVME_SC_RESERVATION_CONFLICT);
    case -ETIMEDOUT:
    case -ECONNRESET:
        return SN_NVME_STATUS(NVME_SCT_PATH, NVME_SC_ANA_INTERNAL_PATH_ERROR);
    default:
        return is_reading(req->sqe.opcode) ? MEDIA(NVME_SC_READ_ERROR)
                                           : MEDIA(NVME_SC_WRITE_FAULT);
    }
}
