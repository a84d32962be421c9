/*
 * Requests as SCSI commands (SBC-4), their answers, and cancelling.
 *
 * Data goes straight between the request's memory and the socket. libiscsi
 * adjusts an iovec while it reads or writes and puts it back, so it gets the
 * request's own. A cancelled request leaves its command behind as an orphan,
 * with memory of its own to send from or receive into.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "backend.h"
#include "smartnic/be.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(iscsi_io_refused);

enum {
    OP_UNMAP = 0x42,
    OP_READ_16 = 0x88,
    OP_COMPARE_AND_WRITE = 0x89,
    OP_WRITE_16 = 0x8a,
    OP_SYNCHRONIZE_CACHE_16 = 0x91,
    OP_WRITE_SAME_16 = 0x93,
};
enum { FUA = 1 << 3, WRITE_SAME_UNMAP = 1 << 3 };

enum { MAX_RETRIES = 10 };
#define RETRY_DELAY (100 * SN_NS_PER_MS)
/* Commands that are still there after a reset are answered by then. */
#define CLEARED_DELAY (10 * SN_NS_PER_S)

/* Our part of a request. */
typedef struct Scratch {
    SnIscsiOp *op;              /* NULL: forgotten */
} Scratch;
G_STATIC_ASSERT(sizeof(Scratch) <= SN_IO_SCRATCH);
G_STATIC_ASSERT(sizeof(struct scsi_iovec) == sizeof(struct iovec));

static uint8_t zeroes[4096];    /* a logical block for WRITE SAME */

static void op_free(SnIscsiOp *op)
{
    if (op->io) {
        ((Scratch *)sn_io_scratch(op->io))->op = NULL;
    }
    g_queue_push_head_link(&op->be->spare, &op->link);
}

static bool send_data(SnIscsiOp *op, uint8_t *cdb, SnIscsiDir dir)
{
    const SnIo *io = op->io;

    return sn_iscsi_op_send(op, cdb, 16, dir, sn_io_data_len(io),
                            (struct scsi_iovec *)io->iov, io->iovcnt);
}

static bool send_param(SnIscsiOp *op, uint8_t *cdb, unsigned cdb_len,
                       void *param, uint32_t len)
{
    op->iov = (struct scsi_iovec){ param, len };
    return sn_iscsi_op_send(op, cdb, cdb_len, SN_ISCSI_WRITE, len, &op->iov,
                            1);
}

/* One descriptor: SBC-4 section 5.35. */
static bool send_unmap(SnIscsiOp *op, uint64_t lba, uint32_t blocks)
{
    uint8_t cdb[10] = { OP_UNMAP };

    memset(op->param, 0, sizeof(op->param));
    sn_put_be16(cdb + 7, sizeof(op->param));
    sn_put_be16(op->param, sizeof(op->param) - 2);
    sn_put_be16(op->param + 2, 16);
    sn_put_be64(op->param + 8, lba);
    sn_put_be32(op->param + 16, blocks);
    return send_param(op, cdb, sizeof(cdb), op->param, sizeof(op->param));
}

static bool send_op(SnIscsiOp *op)
{
    const SnIscsiUnit *u = &op->be->unit;
    const SnIo *io = op->io;
    uint32_t block = u->info.block_size;
    uint64_t lba = io->offset / block;
    uint64_t blocks = io->len / block;
    uint8_t cdb[16] = { 0 };

    sn_put_be64(cdb + 2, lba);
    sn_put_be32(cdb + 10, blocks);
    /* Where nothing is cached, FUA may be an invalid field (LIO). */
    cdb[1] = io->flags & SN_IO_FUA && u->info.fua ? FUA : 0;
    switch (io->op) {
    case SN_IO_READ:
        cdb[0] = OP_READ_16;
        return send_data(op, cdb, SN_ISCSI_READ);
    case SN_IO_WRITE:
        cdb[0] = OP_WRITE_16;
        return send_data(op, cdb, SN_ISCSI_WRITE);
    case SN_IO_COMPARE_AND_WRITE:       /* one byte for the blocks */
        cdb[0] = OP_COMPARE_AND_WRITE;
        sn_put_be32(cdb + 10, 0);
        cdb[13] = blocks;
        return send_data(op, cdb, SN_ISCSI_WRITE);
    case SN_IO_DISCARD:
        return send_unmap(op, lba, blocks);
    case SN_IO_WRITE_ZEROES:
        cdb[0] = OP_WRITE_SAME_16;
        cdb[1] = io->flags & SN_IO_UNMAP && u->can_unmap_same
                 ? WRITE_SAME_UNMAP : 0;
        return send_param(op, cdb, sizeof(cdb), zeroes, block);
    default:                    /* flush; the volume offers nothing else */
        memset(cdb, 0, sizeof(cdb));
        cdb[0] = OP_SYNCHRONIZE_CACHE_16;
        return sn_iscsi_op_send(op, cdb, sizeof(cdb), SN_ISCSI_NONE, 0, NULL,
                                0);
    }
}

static bool start(SnIscsiOp *op)
{
    if (!send_op(op)) {
        return false;
    }
    g_queue_push_tail_link(&op->be->sent, &op->link);
    return true;
}

static void arm_retry(SnBackend *be)
{
    int64_t first = SN_TIMER_NEVER;

    for (GList *l = be->retries.head; l; l = l->next) {
        first = MIN(first, ((SnIscsiOp *)l->data)->due);
    }
    be->loop->timer_set(be->retry_timer, first);
}

static void retry_later(SnIscsiOp *op, int64_t delay)
{
    SnBackend *be = op->be;

    op->due = sn_loop_now(be->loop) + delay;
    g_queue_push_tail_link(&be->retries, &op->link);
    sn_backend_refused(op->io, op->due);
    arm_retry(be);
}

void sn_iscsi_io_retry(void *opaque)
{
    SnBackend *be = opaque;
    int64_t now = sn_loop_now(be->loop);
    GList *l, *next;

    for (l = be->retries.head; l; l = next) {
        SnIscsiOp *op = l->data;

        next = l->next;
        if (op->due > now) {
            continue;
        }
        g_queue_unlink(&be->retries, l);
        if (start(op)) {
            sn_backend_sent_again(op->io);
        } else {
            retry_later(op, RETRY_DELAY);
        }
    }
    arm_retry(be);
    sn_iscsi_flush(be);
}

/* It comes instead of the command (SAM-5 section 5.14). */
static bool is_unit_attention(int status, const struct scsi_task *task)
{
    return status == SCSI_STATUS_CHECK_CONDITION &&
           task->sense.key == SCSI_SENSE_UNIT_ATTENTION;
}

/* Whether the answer of a request is not the last word. */
static bool wants_retry(SnIscsiOp *op, int status, struct scsi_task *task,
                        int *err)
{
    SnIscsiVerdict verdict = sn_iscsi_judge(status, task, err);

    if (*err || verdict != SN_ISCSI_DONE) {
        g_autofree char *text = sn_iscsi_status_text(status, task);

        sn_trace(iscsi_io_refused, "id=%s op=%d offset=%" G_GUINT64_FORMAT
                 " %s", op->be->id, op->io->op, op->offset, text);
    }
    switch (verdict) {
    case SN_ISCSI_DONE:
        return false;
    case SN_ISCSI_AGAIN:
        if (sn_io_is_once(op->io) && !is_unit_attention(status, task)) {
            *err = -ECONNRESET;
            return false;
        }
        if (op->retries++ == MAX_RETRIES) {
            *err = -EIO;
            return false;
        }
        retry_later(op, 0);
        return true;
    case SN_ISCSI_LATER:
        break;
    }
    retry_later(op, RETRY_DELAY);
    return true;
}

/* Some announce it that do not have it (tgt): it is not offered any more. */
static void no_compare_and_write(SnBackend *be)
{
    be->no_compare_and_write = true;
    be->unit.info.max_compare_and_write = 0;
    sn_backend_info_changed(be->vol, &be->unit.info);
}

static void io_answered(SnIscsiOp *op, int status, struct scsi_task *task)
{
    SnBackend *be = op->be;
    SnIo *io = op->io;
    int err;

    g_queue_unlink(io ? &be->sent : &be->orphans, &op->link);
    if (status >= SCSI_STATUS_CANCELLED) {
        sn_iscsi_over(be);
    } else if (be->state == SN_ISCSI_READY) {
        sn_iscsi_heed(be, status, task);
    }
    if (!io || be->state != SN_ISCSI_READY) {
        op_free(op);            /* the volume sends the request again */
        return;
    }
    if (!wants_retry(op, status, task, &err)) {
        if (!err && io->op == SN_IO_READ && op->received != io->len) {
            err = -EIO;         /* the rest was not mentioned */
        }
        if (io->op == SN_IO_COMPARE_AND_WRITE && err == -EOPNOTSUPP) {
            no_compare_and_write(be);
        }
        op_free(op);
        sn_backend_done(io, err);
    }
}

static SnIscsiOp *op_new(SnBackend *be, SnIo *io)
{
    GList *link = g_queue_pop_head_link(&be->spare);
    SnIscsiOp *op = link ? link->data : g_new(SnIscsiOp, 1);

    *op = (SnIscsiOp){
        .be = be, .done = io_answered, .io = io, .link = { .data = op },
        .offset = io->offset, .len = io->len,
    };
    return op;
}

/*
 * A cancelled write may still be on its way to the disk. What the submitter
 * does to the same blocks now must not be overtaken by it.
 */
static bool must_wait(SnBackend *be, const SnIo *io)
{
    for (GList *l = be->orphans.head; l; l = l->next) {
        const SnIscsiOp *op = l->data;

        if (sn_ranges_overlap(io->offset, io->len, op->offset, op->len)) {
            return true;
        }
    }
    return false;
}

bool sn_iscsi_io_submit(SnBackend *be, SnIo *io)
{
    Scratch *scratch = sn_io_scratch(io);
    SnIscsiOp *op;

    if (be->state != SN_ISCSI_READY ||
        be->sent.length + be->orphans.length + be->retries.length >=
        be->options.queue_depth ||
        must_wait(be, io)) {
        return false;
    }
    op = op_new(be, io);
    if (!start(op)) {
        op->io = NULL;
        op_free(op);
        return false;
    }
    scratch->op = op;
    return true;
}

void sn_iscsi_io_cancel(SnBackend *be, SnIo *io)
{
    SnIscsiOp *op = ((Scratch *)sn_io_scratch(io))->op;

    if (!op) {
        return;                 /* the session is failing */
    }
    if (!op->task) {
        g_queue_unlink(&be->retries, &op->link);
        op_free(op);
        return;
    }
    sn_iscsi_op_detach(op);
    op->io = NULL;
    g_queue_unlink(&be->sent, &op->link);
    g_queue_push_tail_link(&be->orphans, &op->link);
}

static void forget_all(GQueue *ops)
{
    GList *link;

    while ((link = g_queue_pop_head_link(ops))) {
        sn_iscsi_op_drop(link->data);
        op_free(link->data);
    }
}

/* After a logout libiscsi 1.19 drops commands without a word. */
void sn_iscsi_io_forget(SnBackend *be)
{
    forget_all(&be->retries);
    forget_all(&be->sent);
    forget_all(&be->orphans);
    sn_timer_disarm(be->loop, be->retry_timer);
    sn_timer_disarm(be->loop, be->cleared_timer);
    be->cleared = 0;
}

/*
 * A reset by somebody else drops commands, and a target need not tell (TAS=0 in
 * the control mode page, SPC-5 section 7.5.10). That a later one meets the unit
 * attention says that there may be such commands.
 */
void sn_iscsi_io_cleared(SnBackend *be)
{
    if (!be->cleared) {
        be->cleared = be->commands;
        sn_timer_arm_in(be->loop, be->cleared_timer, CLEARED_DELAY);
    }
}

static bool has_old(const GQueue *ops, uint64_t newest)
{
    for (GList *l = ops->head; l; l = l->next) {
        if (((const SnIscsiOp *)l->data)->number <= newest) {
            return true;
        }
    }
    return false;
}

void sn_iscsi_io_check_cleared(void *opaque)
{
    SnBackend *be = opaque;

    if (has_old(&be->sent, be->cleared) ||
        has_old(&be->orphans, be->cleared)) {
        sn_iscsi_fail(be, false, "LUN %u of %s: commands were dropped in a "
                      "reset", be->options.lun, be->options.target);
    }
    be->cleared = 0;
}

void sn_iscsi_io_free(SnBackend *be)
{
    GList *link;

    while ((link = g_queue_pop_head_link(&be->spare))) {
        g_free(link->data);
    }
}
