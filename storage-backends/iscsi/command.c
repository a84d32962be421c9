/*
 * One SCSI command in libiscsi's hands.
 *
 * A target may answer a write before all of its data has been sent, with BUSY
 * or after a reset. libiscsi sends what is left nevertheless, from the task,
 * which it takes for granted. So the task of a write stays until a command that
 * was queued after the answer has an answer, too: PDUs leave in the order of
 * their commands.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "backend.h"
#include "smartnic/iov.h"

typedef struct Late {
    struct scsi_task *task;
    uint64_t after;             /* the newest command at its answer */
    GList link;                 /* in be->late */
} Late;

static bool is_write(const struct scsi_task *task)
{
    return task->xfer_dir == SCSI_XFER_WRITE;
}

/* Data moves through memory of the task's own from here on. */
static void own_data(struct scsi_task *task)
{
    struct scsi_iovector *v = is_write(task) ? &task->iovector_out
                                             : &task->iovector_in;
    struct scsi_iovec *iov;

    if (!v->iov) {
        return;
    }
    iov = scsi_malloc(task, sizeof(*iov) + task->expxferlen);
    g_assert(iov);
    *iov = (struct scsi_iovec){ iov + 1, task->expxferlen };
    if (is_write(task)) {
        sn_iov_gather(iov->iov_base, (struct iovec *)v->iov, v->niov);
    }
    *v = (struct scsi_iovector){ .iov = iov, .niov = 1 };
}

static void late_free(SnBackend *be, Late *late)
{
    g_queue_unlink(&be->late, &late->link);
    scsi_free_scsi_task(late->task);
    g_free(late);
}

/* Those whose data has left before command @number did. */
static void free_before(SnBackend *be, uint64_t number)
{
    Late *late;

    while (be->late.head && (late = be->late.head->data)->after < number) {
        late_free(be, late);
    }
}

static void keep(SnBackend *be, int status, struct scsi_task *task)
{
    Late *late = g_new(Late, 1);

    if (status == SCSI_STATUS_GOOD) {
        /* It had all the data. Has it not, that ends the session. */
        task->iovector_out.iov = NULL;
    } else {
        own_data(task);
    }
    *late = (Late){ task, be->commands, .link.data = late };
    g_queue_push_tail_link(&be->late, &late->link);
}

static void take_task(SnIscsiOp *op)
{
    g_hash_table_remove(op->be->by_itt, GUINT_TO_POINTER(op->task->itt));
    op->task = NULL;
}

static void answered(struct iscsi_context *ctx, int status, void *data,
                     void *opaque)
{
    SnIscsiOp *op = opaque;
    SnBackend *be = op->be;
    uint64_t number = op->number;
    struct scsi_task *task = op->task;

    take_task(op);
    if (is_write(task)) {
        keep(be, status, task);
    }
    op->done(op, status, task);
    if (!is_write(task)) {
        scsi_free_scsi_task(task);
    }
    if (status < SCSI_STATUS_CANCELLED) {
        free_before(be, number);
    }
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
    op->number = ++be->commands;
    op->received = op->asked = 0;
    before = sn_iscsi_enter(be);
    ret = iscsi_scsi_command_async(be->ctx, be->options.lun, task, answered,
                                   NULL, op);
    sn_iscsi_leave(be, before);
    if (ret) {
        op->task = NULL;
        scsi_free_scsi_task(task);
        return false;
    }
    g_hash_table_insert(be->by_itt, GUINT_TO_POINTER(task->itt), op);
    return true;
}

void sn_iscsi_op_detach(SnIscsiOp *op)
{
    own_data(op->task);
}

void sn_iscsi_op_drop(SnIscsiOp *op)
{
    struct scsi_task *task = op->task;

    if (task) {
        take_task(op);
        scsi_free_scsi_task(task);
    }
}

void sn_iscsi_late_free(SnBackend *be)
{
    while (be->late.head) {
        late_free(be, be->late.head->data);
    }
}
