/*
 * What was written UNSTABLE (RFC 1813 section 3.3.7): the server has it, but
 * may lose it when it restarts, until a COMMIT (section 3.3.21) tells that it
 * is safe. The verifier in the answers changes with every start of the server.
 * When it does, everything that is kept here is written again, in the old
 * order and FILE_SYNC; nothing else flows meanwhile.
 *
 * Order matters where writes overlap, so a write that the server made safe by
 * itself is kept, too, when an older one under it is not safe yet: the older
 * one may have to be written again.
 *
 * What is kept outlives the session: the next one begins with a COMMIT for it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "backend.h"
#include "smartnic/iov.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nfs_commit);
SN_TRACE_EVENT(nfs_committed);
SN_TRACE_EVENT(nfs_rewrite);

#define RETRY_DELAY SN_NS_PER_S
/* For a COMMIT that no flush, with its io-timeout, may be waiting for. */
#define COMMIT_TIME (30 * SN_NS_PER_S)

/* ---------------------------------------------------------- what is kept */

SnNfsData *sn_nfs_data_new(SnBackend *be, const SnIo *io)
{
    SnNfsData *d = g_malloc(sizeof(*d) + io->len);

    d->link = (GList){ .data = d };
    d->offset = io->offset;
    d->len = io->len;
    sn_iov_gather(d->bytes, io->iov, io->iovcnt);
    be->unc.bytes += d->len;
    return d;
}

void sn_nfs_data_drop(SnBackend *be, SnNfsData *d)
{
    be->unc.bytes -= d->len;
    g_free(d);
}

/* The first of @q need not be kept any longer. */
static void drop_first(SnBackend *be, GQueue *q)
{
    SnNfsData *d = g_queue_pop_head_link(q)->data;

    be->unc.kept -= d->len;
    sn_nfs_data_drop(be, d);
}

static void drop_all(SnBackend *be, GQueue *q)
{
    while (q->head) {
        drop_first(be, q);
    }
}

/* Puts what is in @from before what is in @to. */
static void put_before(GQueue *from, GQueue *to)
{
    GList *link;

    while ((link = g_queue_pop_tail_link(from))) {
        g_queue_push_head_link(to, link);
    }
}

static void put_behind(GQueue *from, GQueue *to)
{
    GList *link;

    while ((link = g_queue_pop_head_link(from))) {
        g_queue_push_tail_link(to, link);
    }
}

static bool overlaps(const GQueue *q, const SnNfsData *d)
{
    for (GList *l = q->head; l; l = l->next) {
        const SnNfsData *other = l->data;

        if (sn_ranges_overlap(d->offset, d->len, other->offset, other->len)) {
            return true;
        }
    }
    return false;
}

static bool keeps_any(const SnNfsUncommitted *u)
{
    return u->written.head || u->committing.head || u->rewriting.head;
}

bool sn_nfs_unc_has_room(const SnBackend *be, uint64_t len)
{
    return be->unc.bytes + len <= be->options.max_uncommitted;
}

bool sn_nfs_unc_blocks(const SnBackend *be)
{
    return be->unc.rewrite;
}

/* ---------------------------------------------------------- the end of it */

/* Flushes are over; the first one hears of what was lost before. */
static void end_flushes(SnBackend *be, GQueue *flushes, int err)
{
    SnNfsUncommitted *u = &be->unc;
    GList *link;

    while ((link = g_queue_pop_head_link(flushes))) {
        sn_nfs_io_flushed(link->data, err ? err : u->error);
        u->error = 0;
    }
}

/* The guest was told that it is written, so it must hear that it is not. */
static void lost(SnBackend *be, const char *what, int err)
{
    be->unc.error = err;
    sn_log_limited(&be->unc.lost_limit, sn_loop_now(be->loop), SN_LOG_WARN,
                   "volume %s: %s on %s: data that was written cannot be made "
                   "safe: %s: %s; the next flush fails", be->id,
                   be->options.path, be->options.host, what,
                   g_strerror(-err));
}

static void ready_again(SnBackend *be)
{
    if (be->state == SN_NFS_RECOVERING) {
        sn_nfs_session_ready(be);
    }
}

/* A COMMIT, or a WRITE of a rewrite, comes after a while. */
static void retry_later(SnBackend *be)
{
    be->unc.retry_set = true;
    sn_timer_arm_in(be->loop, be->unc.retry_timer, RETRY_DELAY);
}

static void end_retry(SnBackend *be)
{
    be->unc.retry_set = false;
    sn_timer_disarm(be->loop, be->unc.retry_timer);
}

/*
 * Stable writes are kept, too, where they overlap others, so only refusing them
 * bounds what is kept while no COMMIT succeeds.
 */
bool sn_nfs_unc_is_full(SnBackend *be)
{
    SnNfsUncommitted *u = &be->unc;

    if (u->kept <= 2 * be->options.max_uncommitted) {
        return false;
    }
    if (!u->commit_pending && !u->retry_set) {
        retry_later(be);
    }
    return true;
}

/* -------------------------------------------------------- writing it again */

static void rewrite_next(SnBackend *be);

/* The first of those that are to be written again is through. */
static void rewrite_pop(SnBackend *be)
{
    drop_first(be, &be->unc.rewriting);
    be->unc.rewrite_done = 0;
    rewrite_next(be);
}

static void rewritten(struct rpc_context *rpc, int status, void *data,
                      void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    SnNfsUncommitted *u = &be->unc;
    const WRITE3res *res = data;
    const WRITE3resok *ok;
    SnNfsVerdict verdict;
    SnNfsData *d;
    int err;

    if (!sn_nfs_answered(c, status, data, "WRITE")) {
        return;
    }
    ok = &res->WRITE3res_u.resok;
    u->rewrite_pending = false;
    d = u->rewriting.head->data;
    sn_nfs_arm_step(be);
    verdict = sn_nfs_judge(res->status, true, &err);
    if (verdict == SN_NFS_LATER) {
        retry_later(be);
        return;
    }
    if (verdict == SN_NFS_RESTART) {
        sn_nfs_stale(be, res->status);
        return;
    }
    if (!err && !sn_nfs_check_written(be, ok, d->len - u->rewrite_done)) {
        return;
    }
    if (!err && (!ok->count || ok->committed == UNSTABLE)) {
        err = -EIO;
    }
    if (err) {
        lost(be, "WRITE", err);
        rewrite_pop(be);
        return;
    }
    u->rewrite_done += ok->count;
    if (u->rewrite_done == d->len) {
        rewrite_pop(be);
    } else {
        rewrite_next(be);
    }
}

static void rewrite_next(SnBackend *be)
{
    SnNfsUncommitted *u = &be->unc;
    SnNfsConn *c = &be->conns[0];
    SnNfsData *d;
    WRITE3args args = { .file = sn_nfs_fh(be), .stable = FILE_SYNC };

    if (!u->rewriting.head) {
        u->rewrite = false;
        end_flushes(be, &u->flushes, 0);
        if (be->state == SN_NFS_READY) {
            sn_timer_disarm(be->loop, be->step_timer);
        }
        ready_again(be);
        return;
    }
    d = u->rewriting.head->data;
    sn_trace(nfs_rewrite, "id=%s offset=%" PRIu64 " len=%u done=%u", be->id,
             d->offset, d->len, u->rewrite_done);
    args.offset = d->offset + u->rewrite_done;
    /* What this server takes at once may be less than the last one did. */
    args.count = MIN(d->len - u->rewrite_done, be->info.max_transfer);
    args.data.data_len = args.count;
    args.data.data_val = (char *)d->bytes + u->rewrite_done;
    u->rewrite_pending = true;
    if (rpc_nfs3_write_async(sn_nfs_new_call(c), rewritten, &args, c)) {
        sn_nfs_call_failed(c, "WRITE");
    }
}

void sn_nfs_unc_drained(SnBackend *be)
{
    SnNfsUncommitted *u = &be->unc;

    if ((be->state != SN_NFS_READY && be->state != SN_NFS_RECOVERING) ||
        !u->rewrite || be->in_flight || u->commit_pending ||
        u->rewrite_pending || u->rewriting.head) {
        return;
    }
    end_retry(be);              /* of a COMMIT that has no use any more */
    put_behind(&u->written, &u->rewriting);
    u->new_bytes = 0;
    u->rewrite_done = 0;
    /* A write whose answer is remembered would not come after these. */
    sn_nfs_lost_forget(be);
    sn_nfs_arm_step(be);
    rewrite_next(be);
}

/* ---------------------------------------------------------------- COMMIT */

static bool enough(const SnBackend *be)
{
    return be->unc.new_bytes > be->options.max_uncommitted / 2;
}

static void arm_commit(SnBackend *be, int64_t ns)
{
    be->unc.commit_due = sn_loop_now(be->loop) + ns;
    be->loop->timer_set(be->unc.commit_timer, be->unc.commit_due);
}

static void commit_is_over(void *opaque)
{
    SnBackend *be = opaque;

    if (sn_nfs_was_stuck(be, be->unc.commit_due)) {
        arm_commit(be, SN_NFS_GRACE);
    } else {
        sn_nfs_fail(be, false, "no answer to COMMIT from %s within %d s",
                    be->options.host, (int)(COMMIT_TIME / SN_NS_PER_S));
    }
}

static void committed(struct rpc_context *rpc, int status, void *data,
                      void *opaque);

/* One at a time: flushes that come meanwhile share the next one. */
static void commit(SnBackend *be)
{
    SnNfsUncommitted *u = &be->unc;
    SnNfsConn *c = sn_nfs_io_conn(be);
    COMMIT3args args = { .file = sn_nfs_fh(be) };
    SnSockets *before;

    if (u->commit_pending || u->rewrite || u->retry_set) {
        return;
    }
    put_behind(&u->written, &u->committing);
    u->new_bytes = 0;
    put_behind(&u->flushes, &u->flushing);
    u->commit_pending = true;
    arm_commit(be, COMMIT_TIME);
    sn_trace(nfs_commit, "id=%s writes=%u flushes=%u", be->id,
             u->committing.length, u->flushing.length);
    before = sn_nfs_enter(be);
    if (rpc_nfs3_commit_async(sn_nfs_new_call(c), committed, &args, c)) {
        sn_nfs_call_failed(c, "COMMIT");
    }
    sn_nfs_leave(be, before);
}

/* The COMMIT under way said nothing about its writes. */
static void take_back(SnNfsUncommitted *u)
{
    for (GList *l = u->committing.head; l; l = l->next) {
        u->new_bytes += ((SnNfsData *)l->data)->len;
    }
    put_before(&u->committing, &u->written);
    put_before(&u->flushing, &u->flushes);
}

static bool is_verf(const SnNfsUncommitted *u, const char *verf)
{
    return !memcmp(u->verf, verf, sizeof(u->verf));
}

static void commit_refused(SnBackend *be, nfsstat3 status)
{
    SnNfsUncommitted *u = &be->unc;
    int err;

    switch (sn_nfs_judge(status, true, &err)) {
    case SN_NFS_LATER:
        take_back(u);
        retry_later(be);
        if (be->state == SN_NFS_RECOVERING) {
            sn_nfs_arm_step(be);
        }
        break;
    case SN_NFS_RESTART:
        take_back(u);
        sn_nfs_stale(be, status);
        break;
    case SN_NFS_DONE:
        if (!u->flushing.head) {
            lost(be, "COMMIT", err);
        }
        end_flushes(be, &u->flushing, err);
        take_back(u);
        if (u->flushes.head) {
            commit(be);         /* they have an answer of their own */
        }
        ready_again(be);
        break;
    }
}

static void commit_done(SnBackend *be, const char *verf)
{
    SnNfsUncommitted *u = &be->unc;

    if (u->rewrite || (u->committing.head && !is_verf(u, verf))) {
        take_back(u);
        u->rewrite = true;
        return;
    }
    drop_all(be, &u->committing);
    end_flushes(be, &u->flushing, 0);
    if (u->flushes.head || enough(be)) {
        commit(be);
    }
    ready_again(be);
}

static void committed(struct rpc_context *rpc, int status, void *data,
                      void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    const COMMIT3res *res = data;

    if (!sn_nfs_answered(c, status, data, "COMMIT")) {
        return;
    }
    be->unc.commit_pending = false;
    sn_timer_disarm(be->loop, be->unc.commit_timer);
    sn_trace(nfs_committed, "id=%s status=%s", be->id,
             nfsstat3_to_str(res->status));
    if (res->status == NFS3_OK) {
        commit_done(be, res->COMMIT3res_u.resok.verf);
    } else {
        commit_refused(be, res->status);
    }
    sn_nfs_unc_drained(be);
}

/* A COMMIT or a rewrite that the server was not ready for. */
static void again(void *opaque)
{
    SnBackend *be = opaque;
    SnNfsUncommitted *u = &be->unc;
    SnSockets *before = sn_nfs_enter(be);

    u->retry_set = false;
    if (!u->rewrite) {
        commit(be);
    } else if (u->rewriting.head) {
        rewrite_next(be);
    }                           /* else it begins when all is drained */
    sn_nfs_leave(be, before);
    sn_nfs_flush(be);
}

void sn_nfs_unc_flush(SnBackend *be, SnNfsOp *op)
{
    g_queue_push_tail_link(&be->unc.flushes, &op->link);
    commit(be);
}

void sn_nfs_unc_written(SnBackend *be, SnNfsData *d, stable_how how,
                        const char *verf)
{
    SnNfsUncommitted *u = &be->unc;

    if (how != UNSTABLE && !overlaps(&u->written, d) &&
        !overlaps(&u->committing, d)) {
        sn_nfs_data_drop(be, d);
        return;
    }
    if (!keeps_any(u)) {
        memcpy(u->verf, verf, sizeof(u->verf));
    } else if (!is_verf(u, verf)) {
        u->rewrite = true;      /* as soon as nothing is in flight */
    }
    g_queue_push_tail_link(&u->written, &d->link);
    u->kept += d->len;
    u->new_bytes += d->len;
    if (enough(be)) {
        commit(be);
    }
}

/* ---------------------------------------------------------------- sessions */

void sn_nfs_unc_recover(SnBackend *be)
{
    SnNfsUncommitted *u = &be->unc;

    sn_nfs_set_state(be, SN_NFS_RECOVERING);
    sn_nfs_arm_step(be);
    if (!keeps_any(u)) {
        sn_nfs_session_ready(be);
    } else if (u->rewrite) {
        sn_nfs_unc_drained(be);
    } else {
        commit(be);
    }
}

void sn_nfs_unc_forget(SnBackend *be)
{
    SnNfsUncommitted *u = &be->unc;

    u->commit_pending = false;
    u->rewrite_pending = false;
    take_back(u);
    put_before(&u->rewriting, &u->written);
    end_retry(be);
    sn_timer_disarm(be->loop, u->commit_timer);
}

void sn_nfs_unc_init(SnBackend *be)
{
    be->unc.lost_limit = (SnLogLimit){ .burst = 3,
                                       .interval_ns = 60 * SN_NS_PER_S };
    be->unc.retry_timer = be->loop->timer_new(be->loop, again, be);
    be->unc.commit_timer = be->loop->timer_new(be->loop, commit_is_over, be);
}

void sn_nfs_unc_free(SnBackend *be)
{
    drop_all(be, &be->unc.written);
    be->loop->timer_free(be->unc.retry_timer);
    be->loop->timer_free(be->unc.commit_timer);
}
