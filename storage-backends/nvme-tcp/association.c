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
/*
 * I/O goes on meanwhile, and a target that is busy with that may be slow with
 * the rest: as patient as Linux with admin commands.
 */
#define READ_LIMIT (60 * SN_NS_PER_S)
/* What a target offers is good to know, but not worth waiting for. */
#define DISCOVERY_LIMIT (3 * SN_NS_PER_S)
#define RETRY_DELAY (100 * SN_NS_PER_MS)
#define CRDT_UNIT (100 * SN_NS_PER_MS)
#define PATH_PATIENCE (10 * SN_NS_PER_S)
#define CAP_TO_UNIT (500 * SN_NS_PER_MS)

SN_TRACE_EVENT(nvmetcp_assoc_step);
SN_TRACE_EVENT(nvmetcp_assoc_ready);
SN_TRACE_EVENT(nvmetcp_assoc_failed);
SN_TRACE_EVENT(nvmetcp_assoc_stopped);
SN_TRACE_EVENT(nvmetcp_assoc_shutdown);

static int64_t step_limit(const SnNvmeAssoc *a)
{
    if (a->discovery.on) {
        return DISCOVERY_LIMIT;
    }
    if (a->state == SN_NVME_ASSOC_WAIT_READY) {
        return MAX(STEP_LIMIT, NVME_CAP_TO(a->ctrl.cap) * CAP_TO_UNIT);
    }
    return a->state == SN_NVME_ASSOC_READY ? READ_LIMIT : STEP_LIMIT;
}

void sn_nvmetcp_assoc_limit_step(SnNvmeAssoc *a)
{
    sn_timer_arm_in(a->config.loop, a->step_timer, step_limit(a));
}

/* The one place where the state changes; each step has its own time limit. */
void sn_nvmetcp_assoc_set_state(SnNvmeAssoc *a, SnNvmeAssocState state)
{
    a->state = state;
    sn_timer_disarm(a->config.loop, a->step_timer);
    switch (state) {
    case SN_NVME_ASSOC_IDLE:
        sn_trace(nvmetcp_assoc_stopped, "id=%s", a->config.id);
        return;
    case SN_NVME_ASSOC_READY:
        sn_trace(nvmetcp_assoc_ready, "id=%s cntlid=0x%04x queues=%u",
                 a->config.id, a->cntlid, a->num_io);
        return;
    case SN_NVME_ASSOC_FAILED:
        sn_trace(nvmetcp_assoc_failed, "id=%s permanent=%d why=%s",
                 a->config.id, a->permanent, a->why);
        return;
    default:
        break;
    }
    sn_trace(nvmetcp_assoc_step, "id=%s step=%s", a->config.id,
             sn_nvmetcp_bring_up_name(a));
    /* The fence has a limit of its own. */
    if (state != SN_NVME_ASSOC_FENCE) {
        sn_nvmetcp_assoc_limit_step(a);
    }
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
    if (sn_nvmetcp_fence_grace(a)) {
        return;
    }
    if (sn_nvmetcp_discovery_goes_on(a)) {
        sn_nvmetcp_assoc_drop(a);
        sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_ADMIN_QUEUE);
        return;
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

    if (a->state == SN_NVME_ASSOC_FAILED) {
        a->config.loop->bh_schedule(a->fail_bh);
    } else if (a->state == SN_NVME_ASSOC_READY) {
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
        .port = sn_nvmetcp_discovery_port(a),
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
    sn_nvmetcp_discovery_cleanup(a);
    g_free(a);
}

void sn_nvmetcp_assoc_start(SnNvmeAssoc *a)
{
    g_assert(a->state == SN_NVME_ASSOC_IDLE);
    if (!a->options->subsysnqn) {
        sn_nvmetcp_discovery_start(a);
    }
    sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_ADMIN_QUEUE);
}

static void ignore(void *opaque, const SnNvmeCqe *cqe)
{
}

/*
 * An orderly shutdown (CC.SHN) as far as it goes without waiting: the target
 * reads it before the end of the connection, or it does not.
 */
static void shut_down(SnNvmeAssoc *a)
{
    SnNvmeRequest req = sn_nvmetcp_set_cc(
        a, a->cc | NVME_CC_SHN_NORMAL << NVME_CC_SHN_SHIFT);

    req.done = ignore;
    if (sn_nvmetcp_queue_send(a->admin, &req)) {
        sn_trace(nvmetcp_assoc_shutdown, "id=%s", a->config.id);
        sn_nvmetcp_queue_push(a->admin);
    }
}

void sn_nvmetcp_assoc_drop(SnNvmeAssoc *a)
{
    sn_nvmetcp_fence_set(a);
    if (a->admin && a->cc) {
        shut_down(a);
    }
    a->cc = 0;
    sn_nvmetcp_watch_stop(a);
    sn_nvmetcp_events_stop(a);
    g_clear_pointer(&a->why, g_free);
    while (a->num_io) {
        sn_nvmetcp_queue_free(a->io[--a->num_io]);
    }
    a->num_up = 0;
    g_clear_pointer(&a->admin, sn_nvmetcp_queue_free);
}

void sn_nvmetcp_assoc_stop(SnNvmeAssoc *a)
{
    sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_IDLE);
    sn_nvmetcp_discovery_stop(a);
    sn_nvmetcp_assoc_drop(a);
}

int64_t sn_nvmetcp_assoc_retry_delay(const SnNvmeAssoc *a,
                                     const SnNvmeCqe *cqe)
{
    unsigned crd = sn_nvme_crd(cqe);

    return MAX(RETRY_DELAY, crd ? a->ctrl.crdt[crd - 1] * CRDT_UNIT : 0);
}

int64_t sn_nvmetcp_assoc_path_patience(const SnNvmeAssoc *a)
{
    return MAX(PATH_PATIENCE, a->ctrl.anatt * SN_NS_PER_S);
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

SnNvmeCmd *sn_nvmetcp_assoc_send_admin(SnNvmeAssoc *a,
                                       const SnNvmeRequest *req,
                                       SnNvmeQueue **q)
{
    if (a->state != SN_NVME_ASSOC_READY ||
        sn_nvmetcp_queue_used(a->admin) >= SN_NVMETCP_ADMIN_FOR_OTHERS) {
        return NULL;
    }
    *q = a->admin;
    return sn_nvmetcp_queue_send(a->admin, req);
}

bool sn_nvmetcp_assoc_cancelled_overlaps(const SnNvmeAssoc *a,
                                         const SnNvmeScope *scope)
{
    for (unsigned i = 0; i < a->num_io; i++) {
        if (sn_nvmetcp_queue_cancelled_overlaps(a->io[i], scope)) {
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
    sn_nvmetcp_queue_push(a->admin);
}

const SnVolumeInfo *sn_nvmetcp_assoc_info(const SnNvmeAssoc *a)
{
    return &a->info;
}
