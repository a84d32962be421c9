/*
 * The fence between a lost association and the next one.
 *
 * When the path is lost, the target may have received writes that it has not
 * answered; they are sent again on the next connection. Should the target get
 * around to the old ones only after that, they could undo what the guest wrote
 * later. A controller that reports a Command Quiesce Time promises an end:
 * within that time from when it learns of the loss (NVMe Base 2.1 section 9.6).
 * So a new association takes no I/O before. One that does not report it
 * promises nothing that could be waited for.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

SN_TRACE_EVENT(nvmetcp_fence_set);
SN_TRACE_EVENT(nvmetcp_fence_wait);

/* The ends of a target's connections arrive one after the other. */
#define GRACE (100 * SN_NS_PER_MS)
#define KAS_UNIT (100 * SN_NS_PER_MS)

static bool writes_pending(const SnNvmeAssoc *a)
{
    for (unsigned i = 0; i < a->num_io; i++) {
        if (sn_nvmetcp_queue_writes_pending(a->io[i])) {
            return true;
        }
    }
    return false;
}

/* Whether the target ended @all of the queues (or any): it knows then. */
static bool ended_by_target(const SnNvmeAssoc *a, bool all)
{
    for (unsigned i = 0; i < a->num_io; i++) {
        if (sn_nvmetcp_queue_ended_by_peer(a->io[i]) != all) {
            return !all;
        }
    }
    return sn_nvmetcp_queue_ended_by_peer(a->admin);
}

/* What the target has made of our keep alive timeout; it rounds up. */
static int64_t keep_alive_timeout(const SnNvmeAssoc *a)
{
    int64_t asked = a->options->keep_alive * SN_NS_PER_S;
    int64_t unit = a->ctrl.kas * KAS_UNIT;

    return unit ? (asked + unit - 1) / unit * unit : 0;
}

/* When the target learns of the loss at the latest; SnLoop's clock, ns. */
static int64_t noticed(const SnNvmeAssoc *a, int64_t now)
{
    int64_t timeout = keep_alive_timeout(a);

    if (ended_by_target(a, true)) {
        return now;
    }
    if (a->ctrl.tbkas) {
        /* Every command counts, but is looked for only once per timeout. */
        return now + 2 * timeout;
    }
    /* One that is not answered may have arrived just now. */
    return MAX((a->keep_alive_sent ? now : a->keep_alive_heard) + timeout,
               now);
}

static bool needed(const SnNvmeAssoc *a)
{
    return a->num_io && a->ctrl.cqt && writes_pending(a);
}

bool sn_nvmetcp_fence_grace(SnNvmeAssoc *a)
{
    if (a->grace == SN_NVME_GRACE_OVER || !needed(a) ||
        !ended_by_target(a, false) || ended_by_target(a, true)) {
        return false;
    }
    if (a->grace == SN_NVME_GRACE_NONE) {
        a->grace = SN_NVME_GRACE_RUNS;
        sn_timer_arm_in(a->config.loop, a->poll_timer, GRACE);
    }
    return true;
}

void sn_nvmetcp_fence_grace_over(SnNvmeAssoc *a)
{
    a->grace = SN_NVME_GRACE_OVER;
    a->config.loop->bh_schedule(a->fail_bh);
}

void sn_nvmetcp_fence_set(SnNvmeAssoc *a)
{
    int64_t now = sn_loop_now(a->config.loop);
    int64_t until;

    a->grace = SN_NVME_GRACE_NONE;
    if (!needed(a)) {
        return;
    }
    until = noticed(a, now) + a->ctrl.cqt * SN_NS_PER_MS;
    a->fence = MAX(a->fence, until);
    sn_trace(nvmetcp_fence_set, "id=%s ms=%d", a->config.id,
             (int)((a->fence - now) / SN_NS_PER_MS));
}

void sn_nvmetcp_fence_begin(SnNvmeAssoc *a)
{
    int64_t now = sn_loop_now(a->config.loop);

    if (now < a->fence) {
        sn_trace(nvmetcp_fence_wait, "id=%s ms=%d", a->config.id,
                 (int)((a->fence - now) / SN_NS_PER_MS));
        a->config.loop->timer_set(a->poll_timer, a->fence);
        return;
    }
    sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_READY);
    sn_nvmetcp_events_start(a);
    sn_backend_ready(a->config.vol, &a->info);
}
