/*
 * One SCSI command in libiscsi's hands.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "backend.h"

static void answered(struct iscsi_context *ctx, int status, void *data,
                     void *opaque)
{
    SnIscsiOp *op = opaque;
    struct scsi_task *task = op->task;

    op->task = NULL;
    op->done(op, status, task);
    scsi_free_scsi_task(task);
}

bool sn_iscsi_op_send(SnIscsiOp *op, const uint8_t *cdb, unsigned cdb_len,
                      SnIscsiDir dir, uint32_t len, struct scsi_iovec *iov,
                      unsigned iovcnt)
{
    SnBackend *be = op->be;
    struct scsi_task *task = scsi_create_task(cdb_len, (unsigned char *)cdb,
                                              dir, len);
    SnSockets *before;
    int ret;

    if (!task) {
        return false;
    }
    if (iovcnt && dir == SN_ISCSI_WRITE) {
        scsi_task_set_iov_out(task, iov, iovcnt);
    } else if (iovcnt) {
        scsi_task_set_iov_in(task, iov, iovcnt);
    }
    op->task = task;
    before = sn_iscsi_enter(be);
    ret = iscsi_scsi_command_async(be->ctx, be->options.lun, task, answered,
                                   NULL, op);
    sn_iscsi_leave(be, before);
    if (ret) {
        op->task = NULL;
        scsi_free_scsi_task(task);
    }
    return ret == 0;
}
