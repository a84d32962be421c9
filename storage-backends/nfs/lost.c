/*
 * Writes whose answer was lost with the connection. The server may have carried
 * them out, or still be about to. When the volume sends such a request again,
 * the call is the same: it has the old transaction identifier, and a server that
 * keeps its answers to repeated calls (RFC 1813 section 4.5) gives the old one
 * and does not write twice.
 *
 * The volume does not say which of its requests is sent again, nor need it: one
 * with the same bytes for the same place is the same call, as long as nothing
 * else was written there in between. Something else for that place comes when
 * a request was cancelled. Then the lost call is repeated for its own sake, and
 * what is new waits for the answer: the server is through with the old one then.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "backend.h"
#include "smartnic/iov.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nfs_lost);
SN_TRACE_EVENT(nfs_same_call);

void sn_nfs_lost_add(SnNfsOp *op)
{
    SnBackend *be = op->be;

    sn_trace(nfs_lost, "id=%s xid=0x%x offset=%" PRIu64 " len=%u", be->id,
             op->xid, op->offset, op->len);
    if (op->io) {
        sn_nfs_op_detach(op);
    }
    /* Those of an earlier session are the older ones. */
    if (be->lost.length == be->options.queue_depth) {
        sn_nfs_op_free(g_queue_pop_head_link(&be->lost)->data);
    }
    g_queue_push_tail_link(&be->lost, &op->link);
}

/* Stable will do for one that need not be. */
static bool repeats(const SnIo *io, const SnNfsOp *lost)
{
    return io->offset == lost->offset && io->len == lost->len &&
           (lost->stable || !(io->flags & SN_IO_FUA)) &&
           sn_iov_equals(io->iov, io->iovcnt, lost->data->bytes);
}

void sn_nfs_lost_settle(SnBackend *be, const SnIo *io)
{
    GList *next;
    bool sent = false;

    for (GList *l = be->lost.head; l; l = next) {
        SnNfsOp *lost = l->data;

        next = l->next;
        if (!sn_ranges_overlap(io->offset, io->len, lost->offset,
                               lost->len) || repeats(io, lost)) {
            continue;
        }
        g_queue_unlink(&be->lost, l);
        sn_nfs_io_repeat(lost);
        sent = true;
    }
    if (sent) {
        sn_nfs_flush(be);
    }
}

static void become(SnNfsOp *op, SnNfsOp *lost)
{
    sn_trace(nfs_same_call, "id=%s xid=0x%x offset=%" PRIu64 " len=%u",
             op->be->id, lost->xid, lost->offset, lost->len);
    op->data = g_steal_pointer(&lost->data);
    op->conn = lost->conn;
    op->xid = lost->xid;
    op->stable = lost->stable;
    op->same_call = true;
}

bool sn_nfs_lost_match(SnNfsOp *op)
{
    GQueue *q = &op->be->lost;

    for (GList *l = q->head; l; l = l->next) {
        SnNfsOp *lost = l->data;

        if (repeats(op->io, lost)) {
            g_queue_unlink(q, l);
            become(op, lost);
            sn_nfs_op_free(lost);
            return true;
        }
    }
    return false;
}

void sn_nfs_lost_forget(SnBackend *be)
{
    sn_nfs_op_free_all(&be->lost);
}
