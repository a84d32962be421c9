/*
 * What a controller tells by itself: asynchronous events (NVMe Base 2.0
 * section 5.2), and the namespace that they are about.
 *
 * Reading an event's log page clears the event, so that its kind can come
 * again. Only then the next event is asked for; the controller keeps it until
 * then. So one thing is read at a time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

#include <string.h>

#include "status.h"

SN_TRACE_EVENT(nvmetcp_event);
SN_TRACE_EVENT(nvmetcp_event_request);
SN_TRACE_EVENT(nvmetcp_namespace_changed);
SN_TRACE_EVENT(nvmetcp_reservation);

/* The shortest of the log pages that events name. */
#define SHORT_LOG 512

/* Notices of reservations that are read for one event, if they do not end. */
#define MAX_NOTICES 256

static void work(SnNvmeAssoc *a);

/* Whether an answer still matters. */
static bool is_ready(const SnNvmeAssoc *a)
{
    return a->state == SN_NVME_ASSOC_READY;
}

static void event(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;

    /* A controller that refuses events is not asked again. */
    if (!is_ready(a) || sn_nvme_status(cqe)) {
        return;
    }
    a->event = GUINT32_FROM_LE(cqe->dw0);
    a->event_waits = true;
    sn_trace(nvmetcp_event, "id=%s type=%u info=0x%02x log=0x%02x",
             a->config.id, a->event & 7, a->event >> 8 & 0xff,
             a->event >> 16 & 0xff);
    work(a);
}

static void request_event(SnNvmeAssoc *a)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_async_event };

    sn_trace(nvmetcp_event_request, "id=%s", a->config.id);
    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, event);
}

/* What was begun is over: the next. */
static void read_over(SnNvmeAssoc *a)
{
    a->reading = false;
    sn_timer_disarm(a->config.loop, a->step_timer);
    if (a->event_taken) {
        a->event_taken = false;
        request_event(a);
    }
    work(a);
}

/*
 * The namespace must be the same one: what the guest knows of it and what waits
 * to be written belongs to that.
 */
static void not_the_same(SnNvmeAssoc *a)
{
    sn_nvmetcp_assoc_fail(a, false, "namespace %u of the target was formatted "
                          "or replaced", a->options->nsid);
}

/* The namespace has been read again. */
static void namespace_read(SnNvmeAssoc *a)
{
    SnVolumeInfo *info = &a->new_info;

    if (memcmp(info->nguid, a->info.nguid, sizeof(info->nguid)) ||
        memcmp(info->eui64, a->info.eui64, sizeof(info->eui64)) ||
        memcmp(info->uuid, a->info.uuid, sizeof(info->uuid))) {
        not_the_same(a);
        return;
    }
    info->queues = a->info.queues;
    info->queue_depth = a->info.queue_depth;
    a->info = *info;
    sn_trace(nvmetcp_namespace_changed, "id=%s size=%" G_GUINT64_FORMAT
             " read_only=%d", a->config.id, a->info.size, a->info.read_only);
    sn_backend_info_changed(a->config.vol, &a->info);
    read_over(a);
}

static void descs_read(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;

    if (!is_ready(a)) {
        return;
    }
    if (sn_nvme_status(cqe) && !sn_nvme_status_not_offered(cqe)) {
        /* As when connecting, which will try until it knows. */
        sn_nvmetcp_assoc_fail(a, false, "identifying namespace %u of the "
                              "target again failed: %s (status 0x%03x)",
                              a->options->nsid,
                              sn_nvme_status_text(sn_nvme_status(cqe)),
                              sn_nvme_status(cqe));
        return;
    }
    if (sn_nvme_status(cqe)) {
        /* Not needed. Of the identifiers, this one is nowhere else. */
        memcpy(a->new_info.uuid, a->info.uuid, sizeof(a->info.uuid));
    } else if (!sn_nvmetcp_take_descs(a, &a->new_info)) {
        return;
    }
    namespace_read(a);
}

static void ns_read(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;
    unsigned status = sn_nvme_status(cqe);

    if (!is_ready(a)) {
        return;
    }
    if (status) {
        bool gone = status == SN_NVME_STATUS(NVME_SCT_GENERIC,
                                             NVME_SC_INVALID_NS);

        sn_nvmetcp_assoc_fail(a, gone, "namespace %u of the target: %s",
                              a->options->nsid, gone ? "it was removed" :
                              sn_nvme_status_text(status));
        return;
    }
    if (!sn_nvmetcp_take_namespace(a, &a->new_info, true)) {
        return;
    }
    /* At once: in other blocks, every command is about something else. */
    if (a->new_info.block_size != a->info.block_size) {
        not_the_same(a);
        return;
    }
    sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_NS_DESC_LIST, a->options->nsid,
                        descs_read);
}

static void read_namespace(SnNvmeAssoc *a)
{
    a->check_waits = false;
    sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_NS, a->options->nsid, ns_read);
}

/* Whether our namespace is in the Changed Namespace List. */
static bool list_names_us(const SnNvmeAssoc *a)
{
    const uint32_t *list = (const uint32_t *)a->data;

    for (unsigned i = 0; i < sizeof(a->data) / sizeof(*list); i++) {
        uint32_t nsid = GUINT32_FROM_LE(list[i]);

        /* All: there are more than fit. */
        if (nsid == NVME_NSID_ALL || nsid == a->options->nsid) {
            return true;
        }
        if (!nsid) {
            return false;
        }
    }
    return false;
}

static void changed_list_read(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;

    if (!is_ready(a)) {
        return;
    }
    /* Without a list it may be any. */
    if (sn_nvme_status(cqe) || list_names_us(a)) {
        read_namespace(a);
    } else {
        read_over(a);
    }
}

static void ana_read(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;

    if (!is_ready(a) ||
        (!sn_nvme_status(cqe) && !sn_nvmetcp_ana_take(a, ana_read))) {
        return;
    }
    /* A change that is under way ends with another event, or the requests
     * that are refused meanwhile lose their patience. */
    if (sn_nvme_status(cqe) || a->ana_state == NVME_ANA_STATE_CHANGE ||
        sn_nvmetcp_ana_check(a)) {
        read_over(a);
    }
}

static void read_notice(SnNvmeAssoc *a);

static void notice_read(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;
    const struct nvme_resv_notification_log *log = (const void *)a->data;

    if (!is_ready(a)) {
        return;
    }
    if (sn_nvme_status(cqe) || !log->rnlpt) {
        read_over(a);
        return;
    }
    /* We hear of all namespaces of the subsystem. */
    if (GUINT32_FROM_LE(log->nsid) == a->options->nsid &&
        log->rnlpt <= NVME_RESV_NOTIFY_RNLPT_RESERVATION_PREEMPTED) {
        sn_trace(nvmetcp_reservation, "id=%s type=%u", a->config.id,
                 log->rnlpt);
        sn_backend_reservation(a->config.vol, log->rnlpt);
    }
    if (++a->notices < MAX_NOTICES) {
        read_notice(a);
    } else {
        read_over(a);
    }
}

/*
 * Takes the oldest page off the queue (NVMe Base 2.0 section 8.19). Exactly one
 * is asked for, until there is none: Linux answers one of any length, SPDK with
 * as many as fit, and how many are left (NALP) is not to be relied on.
 */
static void read_notice(SnNvmeAssoc *a)
{
    sn_nvmetcp_get_log(a, NVME_LOG_LID_RESERVATION, 0, 0,
                       sizeof(struct nvme_resv_notification_log), notice_read);
}

static void log_read(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;

    if (is_ready(a)) {
        read_over(a);
    }
}

/* Begins with what is to be read, unless something is being read. */
static void work(SnNvmeAssoc *a)
{
    unsigned type = a->event & 7, info = a->event >> 8 & 0xff;
    uint8_t log = a->event >> 16 & 0xff;

    if (a->reading || !is_ready(a) || (!a->event_waits && !a->check_waits)) {
        return;
    }
    a->reading = true;
    sn_nvmetcp_assoc_limit_step(a);
    if (!a->event_waits) {
        read_namespace(a);
        return;
    }
    a->event_waits = false;
    a->event_taken = true;
    if (type == NVME_AER_NOTICE && info == NVME_AER_NOTICE_NS_CHANGED) {
        sn_nvmetcp_get_log(a, NVME_LOG_LID_CHANGED_NS, 0, 0, sizeof(a->data),
                           changed_list_read);
    } else if (type == NVME_AER_NOTICE && info == NVME_AER_NOTICE_ANA &&
               a->ctrl.ana && a->ana_group) {
        sn_nvmetcp_ana_begin(a, ana_read);
    } else if (type == NVME_AER_CSS && info == NVME_AER_CSS_NVM_RESERVATION) {
        a->notices = 0;
        read_notice(a);
    } else if (log) {
        /* Of no interest, but reading it clears the event. */
        sn_nvmetcp_get_log(a, log, 0, 0, SHORT_LOG, log_read);
    } else {
        read_over(a);
    }
}

void sn_nvmetcp_assoc_check_namespace(SnNvmeAssoc *a)
{
    a->check_waits = true;
    work(a);
}

void sn_nvmetcp_events_start(SnNvmeAssoc *a)
{
    request_event(a);
}

void sn_nvmetcp_events_stop(SnNvmeAssoc *a)
{
    a->reading = false;
    a->event_waits = false;
    a->event_taken = false;
    a->check_waits = false;
}
