/*
 * An association's life: its queues, its state and its end.
 *
 * The end may be found anywhere: in what a queue received, in a timer, even
 * while the volume cancels a request. So it is only noted there; a bottom half
 * drops the connections and tells the volume.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

#define STEP_LIMIT (10 * SN_NS_PER_S)
#define CAP_TO_UNIT (500 * SN_NS_PER_MS)

static int64_t step_limit(const SnNvmeAssoc *a)
{
    if (a->state == SN_NVME_ASSOC_WAIT_READY) {
        return MAX(STEP_LIMIT, NVME_CAP_TO(a->ctrl.cap) * CAP_TO_UNIT);
    }
    return STEP_LIMIT;
}

/* The one place where the state changes; each step has its own time limit. */
void sn_nvmetcp_assoc_set_state(SnNvmeAssoc *a, SnNvmeAssocState state)
{
    a->state = state;
    if (state == SN_NVME_ASSOC_IDLE || state >= SN_NVME_ASSOC_READY) {
        sn_timer_disarm(a->config.loop, a->step_timer);
        return;
    }
    sn_timer_arm_in(a->config.loop, a->step_timer, step_limit(a));
    sn_nvmetcp_bring_up_step(a);
}

static void step_timeout(void *opaque)
{
    SnNvmeAssoc *a = opaque;

    sn_nvmetcp_assoc_fail(a, false, "%s took longer than %d s",
                          sn_nvmetcp_bring_up_name(a),
                          (int)(step_limit(a) / SN_NS_PER_S));
}

void sn_nvmetcp_assoc_fail(SnNvmeAssoc *a, bool permanent, const char *fmt,
                           ...)
{
    va_list ap;

    if (a->state == SN_NVME_ASSOC_IDLE || a->state == SN_NVME_ASSOC_FAILED) {
        return;
    }
    va_start(ap, fmt);
    a->why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    a->permanent = permanent;
    sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_FAILED);
    a->config.loop->bh_schedule(a->fail_bh);
}

static void report_failure(void *opaque)
{
    SnNvmeAssoc *a = opaque;
    g_autofree char *why = NULL;

    if (a->state != SN_NVME_ASSOC_FAILED) {
        return;                 /* stopped meanwhile */
    }
    why = g_steal_pointer(&a->why);
    sn_nvmetcp_assoc_stop(a);
    a->forget(a->opaque);
    sn_backend_lost(a->config.vol, a->permanent, "%s", why);
}

static void queue_up(void *opaque, SnNvmeQueue *q)
{
    SnNvmeAssoc *a = opaque;

    if (a->state == SN_NVME_ASSOC_FAILED) {
        return;
    }
    if (q == a->admin) {
        sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_CONNECT);
    } else {
        sn_nvmetcp_bring_up_connect(a, q);
    }
}

static void queue_failed(void *opaque, SnNvmeQueue *q, const char *why)
{
    SnNvmeAssoc *a = opaque;

    if (a->state == SN_NVME_ASSOC_READY) {
        sn_nvmetcp_assoc_fail(a, false, "%s", why);
    } else {
        sn_nvmetcp_assoc_fail(a, false, "%s (while %s)", why,
                              sn_nvmetcp_bring_up_name(a));
    }
}

static const SnNvmeQueueEvents queue_events = {
    .up = queue_up,
    .failed = queue_failed,
};

uint16_t sn_nvmetcp_assoc_io_depth(const SnNvmeAssoc *a)
{
    /* A full queue has one free entry. */
    uint16_t depth = a->queue_size - 1;

    return a->ctrl.maxcmd ? MIN(depth, a->ctrl.maxcmd) : depth;
}

SnNvmeQueue *sn_nvmetcp_assoc_open_queue(SnNvmeAssoc *a, uint16_t qid)
{
    return sn_nvmetcp_queue_new(&(SnNvmeQueueConfig){
        .vol = a->config.vol,
        .net = a->config.net,
        .loop = a->config.loop,
        .id = a->config.id,
        .host = a->options->host,
        .port = a->options->port,
        .hdgst = a->options->hdgst,
        .ddgst = a->options->ddgst,
        .qid = qid,
        .depth = qid ? sn_nvmetcp_assoc_io_depth(a)
                     : SN_NVMETCP_ADMIN_SIZE - 1,
        .in_capsule = qid ? a->ctrl.in_capsule : SN_NVMETCP_FABRICS_IN_CAPSULE,
        .events = &queue_events,
        .opaque = a,
    });
}

void sn_nvmetcp_assoc_admin(SnNvmeAssoc *a, const SnNvmeSqe *sqe,
                            SnNvmeDir dir, uint32_t len, SnNvmeDone *done)
{
    SnNvmeRequest req = { .sqe = *sqe, .dir = dir, .iov = &a->data_iov,
                          .len = len, .done = done, .opaque = a };

    if (!sn_nvmetcp_queue_send(a->admin, &req)) {
        sn_nvmetcp_assoc_fail(a, false, "the admin queue is stuck");
        return;
    }
    sn_nvmetcp_queue_push(a->admin);
}

SnNvmeAssoc *sn_nvmetcp_assoc_new(const SnBackendConfig *config,
                                  const SnNvmeTcpOptions *options,
                                  void (*forget)(void *), void *opaque)
{
    SnNvmeAssoc *a = g_new0(SnNvmeAssoc, 1);

    a->config = *config;
    a->config.url = NULL;
    a->options = options;
    a->forget = forget;
    a->opaque = opaque;
    a->data_iov = (struct iovec){ a->data, sizeof(a->data) };
    a->step_timer = config->loop->timer_new(config->loop, step_timeout, a);
    a->fail_bh = config->loop->bh_new(config->loop, report_failure, a);
    sn_nvmetcp_watch_init(a);
    return a;
}

void sn_nvmetcp_assoc_free(SnNvmeAssoc *a)
{
    SnLoop *loop = a->config.loop;

    sn_nvmetcp_assoc_stop(a);
    loop->timer_free(a->step_timer);
    loop->timer_free(a->poll_timer);
    loop->timer_free(a->keep_alive_timer);
    loop->bh_free(a->fail_bh);
    g_free(a);
}

void sn_nvmetcp_assoc_start(SnNvmeAssoc *a)
{
    g_assert(a->state == SN_NVME_ASSOC_IDLE);
    sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_ADMIN_QUEUE);
}

void sn_nvmetcp_assoc_stop(SnNvmeAssoc *a)
{
    sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_IDLE);
    sn_nvmetcp_watch_stop(a);
    g_clear_pointer(&a->why, g_free);
    while (a->num_io) {
        sn_nvmetcp_queue_free(a->io[--a->num_io]);
    }
    a->num_up = 0;
    g_clear_pointer(&a->admin, sn_nvmetcp_queue_free);
}

SnNvmeCmd *sn_nvmetcp_assoc_send(SnNvmeAssoc *a, const SnNvmeRequest *req,
                                 SnNvmeQueue **q)
{
    if (a->state != SN_NVME_ASSOC_READY) {
        return NULL;
    }
    for (unsigned i = 0; i < a->num_io; i++) {
        SnNvmeCmd *cmd;

        *q = a->io[a->next_io];
        a->next_io = (a->next_io + 1) % a->num_io;
        cmd = sn_nvmetcp_queue_send(*q, req);
        if (cmd) {
            return cmd;
        }
    }
    return NULL;
}

bool sn_nvmetcp_assoc_cancelled_overlaps(const SnNvmeAssoc *a, uint64_t slba,
                                         uint64_t nlb)
{
    for (unsigned i = 0; i < a->num_io; i++) {
        if (sn_nvmetcp_queue_cancelled_overlaps(a->io[i], slba, nlb)) {
            return true;
        }
    }
    return false;
}

void sn_nvmetcp_assoc_push(SnNvmeAssoc *a)
{
    for (unsigned i = 0; i < a->num_io; i++) {
        sn_nvmetcp_queue_push(a->io[i]);
    }
}

uint32_t sn_nvmetcp_assoc_block_size(const SnNvmeAssoc *a)
{
    return a->info.block_size;
}
