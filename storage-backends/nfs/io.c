/*
 * Requests as READ, WRITE and COMMIT (RFC 1813 section 3.3), their answers, and
 * cancelling.
 *
 * Data of a write is copied first: until a COMMIT it may have to be written
 * again (uncommitted.c). libnfs copies it once more into its message. What a
 * READ brings is in libnfs's memory, and is copied from there. So no call in
 * flight points into the request's memory, and to cancel a request means to
 * forget it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "backend.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nfs_io_refused);
SN_TRACE_EVENT(nfs_io_short);

#define RETRY_DELAY SN_NS_PER_S

/* Our part of a request. */
typedef struct Scratch {
    SnNfsOp *op;                /* NULL: forgotten */
} Scratch;
G_STATIC_ASSERT(sizeof(Scratch) <= SN_IO_SCRATCH);

static bool send_op(SnNfsOp *op);

static SnNfsOp *op_new(SnBackend *be, SnIo *io)
{
    GList *link = g_queue_pop_head_link(&be->spare);
    SnNfsOp *op = link ? link->data : g_new(SnNfsOp, 1);

    *op = (SnNfsOp){
        .be = be, .io = io, .link = { .data = op }, .type = io->op,
        .offset = io->offset, .len = io->len,
    };
    ((Scratch *)sn_io_scratch(io))->op = op;
    return op;
}

void sn_nfs_op_detach(SnNfsOp *op)
{
    ((Scratch *)sn_io_scratch(op->io))->op = NULL;
    op->io = NULL;
}

void sn_nfs_op_free(SnNfsOp *op)
{
    if (op->io) {
        sn_nfs_op_detach(op);
    }
    if (op->data) {
        sn_nfs_data_drop(op->be, op->data);
    }
    g_queue_push_head_link(&op->be->spare, &op->link);
}

/* The request, if there still is one, is over. */
static void op_done(SnNfsOp *op, int err)
{
    SnIo *io = op->io;

    if (!io) {
        g_queue_unlink(&op->be->orphans, &op->link);
    }
    sn_nfs_op_free(op);
    if (io) {
        sn_backend_done(io, err);
    }
}

void sn_nfs_io_flushed(SnNfsOp *op, int err)
{
    op_done(op, err);
}

/* ------------------------------------------------ waiting to be sent again */

static void arm_retry(SnBackend *be)
{
    int64_t first = SN_TIMER_NEVER;

    for (GList *l = be->retries.head; l; l = l->next) {
        first = MIN(first, ((SnNfsOp *)l->data)->due);
    }
    be->loop->timer_set(be->retry_timer, first);
}

static void retry_later(SnNfsOp *op)
{
    SnBackend *be = op->be;

    if (!op->io) {
        op_done(op, 0);         /* nobody wants it */
        return;
    }
    if (op->type == SN_IO_WRITE) {
        op->done = 0;           /* older data may be written again meanwhile */
    }
    op->due = sn_loop_now(be->loop) + RETRY_DELAY;
    g_queue_push_tail_link(&be->retries, &op->link);
    sn_backend_refused(op->io, op->due);
    arm_retry(be);
}

void sn_nfs_io_retry(void *opaque)
{
    SnBackend *be = opaque;
    int64_t now = sn_loop_now(be->loop);
    GList *l, *next;

    for (l = be->retries.head; l; l = next) {
        SnNfsOp *op = l->data;

        next = l->next;
        if (op->due > now) {
            continue;
        }
        g_queue_unlink(&be->retries, l);
        if (sn_nfs_unc_blocks(be) || !send_op(op)) {
            retry_later(op);
        } else {
            sn_backend_sent_again(op->io);
        }
    }
    arm_retry(be);
    sn_nfs_flush(be);
}

/* ------------------------------------------------------------- answers */

/*
 * Begins the callback of an operation: true when it brings an answer. Else the
 * operation is gone, or a lost write; the volume sends the request again.
 */
static bool op_answered(SnNfsOp *op, int rpc_status, const void *data,
                        const char *what)
{
    SnNfsConn *c = op->conn;

    op->conn = NULL;
    c->in_flight--;
    op->be->in_flight--;
    if (sn_nfs_answered(c, rpc_status, data, what)) {
        return true;
    }
    if (!op->io) {
        g_queue_unlink(&op->be->orphans, &op->link);
    }
    if (op->type == SN_IO_WRITE && !op->done) {
        op->conn = c;
        sn_nfs_lost_add(op);
    } else {
        sn_nfs_op_free(op);
    }
    return false;
}

/* Whether a status is good; else the operation was dealt with. */
static bool op_good(SnNfsOp *op, nfsstat3 status)
{
    SnBackend *be = op->be;
    int err;

    if (status == NFS3_OK) {
        return true;
    }
    sn_trace(nfs_io_refused, "id=%s op=%d offset=%" PRIu64 " status=%s",
             be->id, op->type, op->offset, nfsstat3_to_str(status));
    switch (sn_nfs_judge(status, op->type == SN_IO_WRITE, &err)) {
    case SN_NFS_DONE:
        op_done(op, err);
        if (err == -EROFS) {
            sn_nfs_probe_poll_rights(be);
        }
        break;
    case SN_NFS_LATER:
        retry_later(op);
        break;
    case SN_NFS_RESTART:
        sn_nfs_stale(be, status);
        if (!op->io) {
            g_queue_unlink(&be->orphans, &op->link);
        }
        sn_nfs_op_free(op);     /* the volume sends the request again */
        break;
    }
    return false;
}

/* What is left of an operation goes next, or it waits. */
static void go_on(SnNfsOp *op)
{
    sn_trace(nfs_io_short, "id=%s offset=%" PRIu64 " done=%u of %u",
             op->be->id, op->offset, op->done, op->len);
    if (!send_op(op)) {
        retry_later(op);
    }
}

/* Copies to where the request's bytes [done, done + len) belong. */
static void scatter(const SnNfsOp *op, const char *from, uint32_t len)
{
    const SnIo *io = op->io;
    size_t skip = op->done;

    for (unsigned i = 0; i < io->iovcnt && len; i++) {
        size_t n = io->iov[i].iov_len;

        if (skip >= n) {
            skip -= n;
            continue;
        }
        n = MIN(n - skip, len);
        memcpy((char *)io->iov[i].iov_base + skip, from, n);
        skip = 0;
        from += n;
        len -= n;
    }
}

static void take_read(SnNfsOp *op, const READ3resok *ok)
{
    SnBackend *be = op->be;

    if (ok->data.data_len > op->len - op->done) {
        sn_nfs_fail(be, false, "%s: READ gives %u bytes where %u were asked "
                    "for", be->options.host, ok->data.data_len,
                    op->len - op->done);
        retry_later(op);        /* until the volume takes it back */
        return;
    }
    if (op->io) {
        scatter(op, ok->data.data_val, ok->data.data_len);
    }
    op->done += ok->data.data_len;
    if (op->done == op->len || !op->io) {
        op_done(op, 0);
    } else if (ok->eof || !ok->data.data_len) {
        op_done(op, -EIO);      /* the file is shorter now */
        sn_nfs_probe_poll(be);
    } else {
        go_on(op);
    }
}

static void read_answered(struct rpc_context *rpc, int status, void *data,
                          void *opaque)
{
    SnNfsOp *op = opaque;
    SnBackend *be = op->be;
    const READ3res *res = data;

    if (op_answered(op, status, data, "READ") && op_good(op, res->status)) {
        take_read(op, &res->READ3res_u.resok);
    }
    sn_nfs_unc_drained(be);
}

/* All of it was written. */
static void written(SnNfsOp *op, stable_how committed, const char *verf)
{
    SnNfsData *data = op->data;
    SnBackend *be = op->be;
    bool broken = op->stable && committed == UNSTABLE;

    op->data = NULL;
    sn_nfs_unc_written(be, data, committed, verf);
    op_done(op, broken ? -EIO : 0);
}

static void take_write(SnNfsOp *op, const WRITE3resok *ok)
{
    SnBackend *be = op->be;

    if (!sn_nfs_check_written(be, ok, op->len - op->done)) {
        retry_later(op);        /* until the volume takes it back */
    } else if (!ok->count) {
        op_done(op, -EIO);
    } else if (op->done + ok->count == op->len) {
        written(op, ok->committed, ok->verf);
    } else {
        /* The rest, and in a way that needs no second verifier. */
        op->done = ok->committed == UNSTABLE ? 0 : op->done + ok->count;
        op->stable = true;
        go_on(op);
    }
}

static void write_answered(struct rpc_context *rpc, int status, void *data,
                           void *opaque)
{
    SnNfsOp *op = opaque;
    SnBackend *be = op->be;
    const WRITE3res *res = data;

    if (op_answered(op, status, data, "WRITE") && op_good(op, res->status)) {
        take_write(op, &res->WRITE3res_u.resok);
    }
    sn_nfs_unc_drained(be);
}

/* ------------------------------------------------------------- sending */

SnNfsConn *sn_nfs_io_conn(SnBackend *be)
{
    SnNfsConn *best = &be->conns[0];

    for (unsigned i = 1; i < be->options.conns; i++) {
        if (be->conns[i].in_flight < best->in_flight) {
            best = &be->conns[i];
        }
    }
    return best;
}

/* For the call of a READ or WRITE. */
static struct rpc_context *number(SnNfsOp *op)
{
    if (!op->same_call) {
        op->xid = op->be->next_xid++;
    }
    op->same_call = false;
    rpc_set_next_xid(op->conn->rpc, op->xid);
    return op->conn->rpc;
}

static int send_read(SnNfsOp *op)
{
    READ3args args = {
        .file = sn_nfs_fh(op->be),
        .offset = op->offset + op->done,
        .count = op->len - op->done,
    };

    return rpc_nfs3_read_async(number(op), read_answered, &args, op);
}

static int send_write(SnNfsOp *op)
{
    WRITE3args args = {
        .file = sn_nfs_fh(op->be),
        .offset = op->offset + op->done,
        .count = op->len - op->done,
        .stable = op->stable ? FILE_SYNC : UNSTABLE,
    };

    args.data.data_len = args.count;
    args.data.data_val = (char *)op->data->bytes + op->done;
    return rpc_nfs3_write_async(number(op), write_answered, &args, op);
}

/* False when there is no memory for it. */
static bool send_op(SnNfsOp *op)
{
    SnBackend *be = op->be;
    SnSockets *before;
    int ret;

    if (!op->same_call) {
        op->conn = sn_nfs_io_conn(be);
    }
    before = sn_nfs_enter(be);
    ret = op->type == SN_IO_READ ? send_read(op) : send_write(op);
    sn_nfs_leave(be, before);
    if (ret) {
        op->conn = NULL;
        return false;
    }
    op->conn->in_flight++;
    be->in_flight++;
    return true;
}

void sn_nfs_io_repeat(SnNfsOp *op)
{
    SnBackend *be = op->be;

    op->same_call = true;
    /* A smaller wtmax than that of the old session would make it another. */
    if (op->len > be->info.max_transfer || !send_op(op)) {
        sn_nfs_op_free(op);
    } else {
        g_queue_push_tail_link(&be->orphans, &op->link);
    }
}

/*
 * A cancelled write may still be on its way to the file. What the submitter
 * does to the same bytes now must not be overtaken by it.
 */
static bool must_wait(SnBackend *be, const SnIo *io)
{
    for (GList *l = be->orphans.head; l; l = l->next) {
        const SnNfsOp *op = l->data;

        if (sn_ranges_overlap(io->offset, io->len, op->offset, op->len)) {
            return true;
        }
    }
    return false;
}

static bool start(SnNfsOp *op)
{
    SnBackend *be = op->be;
    const SnIo *io = op->io;

    if (io->op == SN_IO_WRITE && !sn_nfs_lost_match(op)) {
        op->stable = io->flags & SN_IO_FUA ||
                     !sn_nfs_unc_has_room(be, io->len);
        op->data = sn_nfs_data_new(be, io);
    }
    return send_op(op);
}

bool sn_nfs_io_submit(SnBackend *be, SnIo *io)
{
    SnNfsOp *op;

    if (be->state != SN_NFS_READY || sn_nfs_unc_blocks(be)) {
        return false;
    }
    if (io->op == SN_IO_FLUSH) {
        sn_nfs_unc_flush(be, op_new(be, io));
        return true;
    }
    if (be->in_flight + be->retries.length >= be->options.queue_depth ||
        (io->op == SN_IO_WRITE && sn_nfs_unc_is_full(be))) {
        return false;
    }
    if (io->op == SN_IO_WRITE) {
        sn_nfs_lost_settle(be, io);
    }
    if (must_wait(be, io)) {
        return false;
    }
    op = op_new(be, io);
    if (!start(op)) {
        sn_nfs_op_free(op);
        return false;
    }
    return true;
}

/* ---------------------------------------------------------- cancelling */

void sn_nfs_io_cancel(SnBackend *be, SnIo *io)
{
    SnNfsOp *op = ((Scratch *)sn_io_scratch(io))->op;

    if (!op) {
        return;                 /* the session is failing */
    }
    if (op->conn) {
        op->io = NULL;
        g_queue_push_tail_link(&be->orphans, &op->link);
        return;
    }
    if (op->type != SN_IO_FLUSH) {
        g_queue_unlink(&be->retries, &op->link);
    } else if (g_queue_link_index(&be->unc.flushes, &op->link) >= 0) {
        g_queue_unlink(&be->unc.flushes, &op->link);
    } else {
        g_queue_unlink(&be->unc.flushing, &op->link);
    }
    sn_nfs_op_free(op);
}

void sn_nfs_op_free_all(GQueue *ops)
{
    GList *link;

    while ((link = g_queue_pop_head_link(ops))) {
        sn_nfs_op_free(link->data);
    }
}

void sn_nfs_io_forget(SnBackend *be)
{
    sn_nfs_op_free_all(&be->retries);
    sn_nfs_op_free_all(&be->unc.flushes);
    sn_nfs_op_free_all(&be->unc.flushing);
    sn_timer_disarm(be->loop, be->retry_timer);
    sn_nfs_unc_forget(be);
}

void sn_nfs_io_free(SnBackend *be)
{
    GList *link;

    sn_nfs_lost_forget(be);
    while ((link = g_queue_pop_head_link(&be->spare))) {
        g_free(link->data);
    }
}
