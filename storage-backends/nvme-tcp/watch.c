/*
 * Watching a controller: Keep Alive, events, and the namespace they tell of.
 * Abort is here too, being the other admin command sent at any time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

#include <string.h>

#include "status.h"

static void request_event(SnNvmeAssoc *a);
static void refresh(SnNvmeAssoc *a);

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
        sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, keep_alive_done);
    }
}

void sn_nvmetcp_watch_keep_alive(SnNvmeAssoc *a)
{
    if (a->options->keep_alive) {
        arm_keep_alive(a);
    }
}

/* Reading CSTS again is the one thing that bringing up waits for by time. */
static void poll_again(void *opaque)
{
    SnNvmeAssoc *a = opaque;

    if (a->state == SN_NVME_ASSOC_WAIT_READY) {
        sn_nvmetcp_bring_up_step(a);
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
    a->abort_in_flight = false;
    a->refreshing = false;
    a->refresh_again = false;
}

/* Whether an answer still matters. */
static bool is_ready(const SnNvmeAssoc *a)
{
    return a->state == SN_NVME_ASSOC_READY;
}

static void refreshed(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;
    SnVolumeInfo old = a->info;

    if (!is_ready(a)) {
        return;
    }
    if (sn_nvme_status(cqe)) {
        sn_nvmetcp_assoc_fail(a, false, "namespace %u of the target: %s",
                              a->options->nsid,
                              sn_nvme_status_text(sn_nvme_status(cqe)));
        return;
    }
    if (!sn_nvmetcp_take_namespace(a)) {
        return;
    }
    if (a->info.block_size != old.block_size) {
        sn_nvmetcp_assoc_fail(a, false, "namespace %u was formatted with "
                              "another block size", a->options->nsid);
        return;
    }
    a->info.queues = old.queues;
    a->info.queue_depth = old.queue_depth;
    /* Some of these came from the list of descriptors. */
    memcpy(a->info.nguid, old.nguid, sizeof(old.nguid));
    memcpy(a->info.eui64, old.eui64, sizeof(old.eui64));
    memcpy(a->info.uuid, old.uuid, sizeof(old.uuid));
    a->refreshing = false;
    sn_backend_info_changed(a->config.vol, &a->info);
    if (a->refresh_again) {
        refresh(a);
    }
}

/* The log has been read, which lets the controller send the next event. */
static void log_read(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;

    if (is_ready(a)) {
        sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_NS, a->options->nsid,
                            refreshed);
    }
}

static void refresh(SnNvmeAssoc *a)
{
    uint32_t dwords = sizeof(a->data) / 4 - 1;
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_get_log_page,
        .nsid = GUINT32_TO_LE(NVME_NSID_ALL),
        .cdw10 = GUINT32_TO_LE(SN_NVME_LOG_CHANGED_NS | dwords << 16),
    };

    if (a->refreshing) {
        a->refresh_again = true;
        return;
    }
    a->refreshing = true;
    a->refresh_again = false;
    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_IN, sizeof(a->data), log_read);
}

static void event(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;
    uint32_t dw0 = GUINT32_FROM_LE(cqe->dw0);

    /* A controller that refuses events is not asked again. */
    if (!is_ready(a) || sn_nvme_status(cqe)) {
        return;
    }
    request_event(a);
    if ((dw0 & 7) == NVME_AER_NOTICE &&
        (dw0 >> 8 & 0xff) == NVME_AER_NOTICE_NS_CHANGED) {
        refresh(a);
    }
}

static void request_event(SnNvmeAssoc *a)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_async_event };

    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, event);
}

void sn_nvmetcp_watch_events(SnNvmeAssoc *a)
{
    request_event(a);
}

static void abort_done(void *opaque, const SnNvmeCqe *cqe)
{
    ((SnNvmeAssoc *)opaque)->abort_in_flight = false;
}

void sn_nvmetcp_assoc_abort(SnNvmeAssoc *a, SnNvmeQueue *q, uint16_t cid)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_abort_cmd,
        .cdw10 = GUINT32_TO_LE((uint32_t)cid << 16 |
                               sn_nvmetcp_queue_id(q)),
    };

    /* One at a time: every controller takes that many (ACL). */
    if (is_ready(a) && !a->abort_in_flight) {
        a->abort_in_flight = true;
        sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, abort_done);
    }
}
