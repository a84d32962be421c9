/*
 * Watching a controller: Keep Alive. Abort is here too, being the other admin
 * command that is sent at any time and whose answer changes nothing.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

#include "status.h"

#define ABORT_LIMIT (60 * SN_NS_PER_S)

SN_TRACE_EVENT(nvmetcp_keep_alive_send);
SN_TRACE_EVENT(nvmetcp_keep_alive_done);
SN_TRACE_EVENT(nvmetcp_abort_send);

static void arm_keep_alive(SnNvmeAssoc *a)
{
    /* Twice per timeout: one that is late does not cost the association. */
    sn_timer_arm_in(a->config.loop, a->keep_alive_timer,
                    a->options->keep_alive * SN_NS_PER_S / 2);
}

static void keep_alive_done(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;

    a->keep_alive_sent = 0;
    a->keep_alive_heard = sn_loop_now(a->config.loop);
    sn_trace(nvmetcp_keep_alive_done, "id=%s status=0x%03x", a->config.id,
             sn_nvme_status(cqe));
    if (sn_nvme_status(cqe)) {
        sn_nvmetcp_assoc_fail(a, false, "Keep Alive failed: %s (status "
                              "0x%03x)",
                              sn_nvme_status_text(sn_nvme_status(cqe)),
                              sn_nvme_status(cqe));
    }
}

/*
 * A target that answers I/O is alive, even when it is too busy to get around
 * to its admin queue.
 */
static int64_t last_heard(const SnNvmeAssoc *a)
{
    int64_t last = sn_nvmetcp_queue_heard(a->admin);

    for (unsigned i = 0; i < a->num_io; i++) {
        last = MAX(last, sn_nvmetcp_queue_heard(a->io[i]));
    }
    return last;
}

static void keep_alive_tick(void *opaque)
{
    SnNvmeAssoc *a = opaque;
    int64_t now = sn_loop_now(a->config.loop);
    int64_t limit = a->options->keep_alive * SN_NS_PER_S;
    SnNvmeSqe sqe = { .opcode = nvme_admin_keep_alive };

    if (a->keep_alive_sent &&
        now - MAX(a->keep_alive_sent, last_heard(a)) >= limit) {
        sn_nvmetcp_assoc_fail(a, false, "the target did not answer a Keep "
                              "Alive within %u s", a->options->keep_alive);
        return;
    }
    arm_keep_alive(a);
    if (!a->keep_alive_sent) {
        a->keep_alive_sent = now;
        sn_trace(nvmetcp_keep_alive_send, "id=%s", a->config.id);
        sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, keep_alive_done);
    }
}

void sn_nvmetcp_watch_keep_alive(SnNvmeAssoc *a)
{
    a->keep_alive_heard = sn_loop_now(a->config.loop);
    if (a->options->keep_alive) {
        arm_keep_alive(a);
    }
}

/* All that is waited for by time: CSTS.RDY, the fence and its setting. */
static void poll_again(void *opaque)
{
    SnNvmeAssoc *a = opaque;

    if (a->state == SN_NVME_ASSOC_WAIT_READY ||
        a->state == SN_NVME_ASSOC_FENCE) {
        sn_nvmetcp_bring_up_step(a);
    } else if (a->state == SN_NVME_ASSOC_FAILED) {
        sn_nvmetcp_fence_grace_over(a);
    }
}

void sn_nvmetcp_watch_init(SnNvmeAssoc *a)
{
    SnLoop *loop = a->config.loop;

    a->poll_timer = loop->timer_new(loop, poll_again, a);
    a->keep_alive_timer = loop->timer_new(loop, keep_alive_tick, a);
}

void sn_nvmetcp_watch_stop(SnNvmeAssoc *a)
{
    sn_timer_disarm(a->config.loop, a->poll_timer);
    sn_timer_disarm(a->config.loop, a->keep_alive_timer);
    a->keep_alive_sent = 0;
    a->abort_sent = 0;
}

static void abort_done(void *opaque, const SnNvmeCqe *cqe)
{
    ((SnNvmeAssoc *)opaque)->abort_sent = 0;
}

/*
 * One at a time: every controller takes that many (ACL). Not for ever, though,
 * should one get lost; and these do not fill the queue.
 */
static bool may_abort(const SnNvmeAssoc *a, int64_t now)
{
    return !a->abort_sent ||
           (now - a->abort_sent >= ABORT_LIMIT &&
            sn_nvmetcp_queue_used(a->admin) < SN_NVMETCP_ADMIN_FOR_OTHERS);
}

void sn_nvmetcp_assoc_abort(SnNvmeAssoc *a, SnNvmeQueue *q, uint16_t cid)
{
    int64_t now = sn_loop_now(a->config.loop);
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_abort_cmd,
        .cdw10 = GUINT32_TO_LE((uint32_t)cid << 16 |
                               sn_nvmetcp_queue_id(q)),
    };

    if (a->state == SN_NVME_ASSOC_READY && may_abort(a, now)) {
        sn_trace(nvmetcp_abort_send, "id=%s qid=%u cid=%u", a->config.id,
                 sn_nvmetcp_queue_id(q), cid);
        a->abort_sent = now;
        sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, abort_done);
    }
}
