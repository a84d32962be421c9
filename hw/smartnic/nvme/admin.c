/*
 * Admin commands: which handler one goes to (Base 1.4 section 5).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

typedef SnCtrlStatus Handler(SnCtrlReq *req);

static Handler *const handlers[256] = {
    [nvme_admin_delete_sq] = sn_ctrl_admin_delete_sq,
    [nvme_admin_create_sq] = sn_ctrl_admin_create_sq,
    [nvme_admin_get_log_page] = sn_ctrl_admin_get_log,
    [nvme_admin_delete_cq] = sn_ctrl_admin_delete_cq,
    [nvme_admin_create_cq] = sn_ctrl_admin_create_cq,
    [nvme_admin_identify] = sn_ctrl_admin_identify,
    [nvme_admin_abort_cmd] = sn_ctrl_admin_abort,
    [nvme_admin_set_features] = sn_ctrl_admin_set_features,
    [nvme_admin_get_features] = sn_ctrl_admin_get_features,
    [nvme_admin_async_event] = sn_ctrl_admin_async_event,
    [nvme_admin_dbbuf] = sn_ctrl_admin_dbbuf,
    [nvme_admin_get_lba_status] = sn_ctrl_admin_passthrough,
};

SnCtrlStatus sn_ctrl_admin(SnCtrlReq *req)
{
    const SnNvmeSqe *sqe = &req->sqe;

    if (!sn_ctrl_admin_supported(req->ctrl, sqe->opcode)) {
        return SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    }
    /* Figure 104: nothing is fused, and over PCIe there are only PRPs here. */
    if (sqe->flags & SN_NVME_FUSE_MASK) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, flags), 0);
    }
    if (sqe->flags & SN_NVME_PSDT_MASK) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, flags), 6);
    }
    return handlers[sqe->opcode](req);
}
