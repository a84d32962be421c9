/*
 * Asynchronous events (NVMe Base 1.4 section 5.2).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_event);

/* The oldest Asynchronous Event Request that waits; NULL: none. */
static SnCtrlReq *first_waiting(SnCtrl *ctrl, unsigned *count)
{
    SnCtrlSq *admin = ctrl->sqs[0];
    SnCtrlReq *found = NULL;

    *count = 0;
    for (SnCtrlReq *r = admin ? admin->active.head : NULL; r; r = r->next) {
        if (r->state == SN_REQ_EVENT) {
            found = found ? found : r;
            ++*count;
        }
    }
    return found;
}

static bool is_masked(const SnCtrl *ctrl, const SnCtrlEvent *event)
{
    return ctrl->masked_events >> event->type & 1;
}

/* Takes the oldest event that may be sent now. */
static bool take_event(SnCtrl *ctrl, SnCtrlEvent *event)
{
    for (unsigned i = 0; i < ctrl->event_count; i++) {
        if (!is_masked(ctrl, &ctrl->events[i])) {
            *event = ctrl->events[i];
            ctrl->event_count--;
            memmove(&ctrl->events[i], &ctrl->events[i + 1],
                    (ctrl->event_count - i) * sizeof(*event));
            return true;
        }
    }
    return false;
}

static uint32_t sent(SnCtrl *ctrl, const SnCtrlEvent *event)
{
    sn_trace(nvme_event, "id=%s type=%u info=%u log=0x%02x", ctrl->id,
             event->type, event->info, event->log);
    /* No more of this type until the guest has read its log. */
    ctrl->masked_events |= 1u << event->type;
    return event->type | event->info << 8 | (uint32_t)event->log << 16;
}

static void send_events(SnCtrl *ctrl)
{
    SnCtrlEvent event;
    SnCtrlReq *req;
    unsigned count;

    while ((req = first_waiting(ctrl, &count)) && take_event(ctrl, &event)) {
        req->result = sent(ctrl, &event);
        sn_ctrl_complete(req, 0);
    }
}

void sn_ctrl_event(SnCtrl *ctrl, uint8_t type, uint8_t info, uint8_t log)
{
    const SnCtrlEvent event = { type, info, log };

    for (unsigned i = 0; i < ctrl->event_count; i++) {
        if (!memcmp(&ctrl->events[i], &event, sizeof(event))) {
            return;             /* it is going to be told */
        }
    }
    if (ctrl->event_count == SN_CTRL_EVENTS) {
        return;
    }
    ctrl->events[ctrl->event_count++] = event;
    send_events(ctrl);
    sn_ctrl_notify(ctrl);
}

bool sn_ctrl_event_wants_ns(const SnCtrl *ctrl)
{
    return ctrl->features.events & NVME_CTRL_OAES_NA;
}

void sn_ctrl_event_ns_changed(SnCtrl *ctrl, uint32_t nsid)
{
    ctrl->changed_ns[nsid / 64] |= 1ULL << nsid % 64;
    if (sn_ctrl_event_wants_ns(ctrl)) {
        sn_ctrl_event(ctrl, NVME_AER_NOTICE, NVME_AER_NOTICE_NS_CHANGED,
                      NVME_LOG_LID_CHANGED_NS);
    }
}

void sn_ctrl_event_bad_doorbell(SnCtrl *ctrl, bool value_is_wrong)
{
    sn_ctrl_event(ctrl, NVME_AER_ERROR,
                  value_is_wrong ? NVME_AER_ERROR_INVALID_DB_VAL
                                 : NVME_AER_ERROR_INVALID_DB_REG,
                  NVME_LOG_LID_ERROR);
}

/* What waits of this type is in the log, too. */
static void forget_events(SnCtrl *ctrl, uint8_t type)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < ctrl->event_count; i++) {
        if (ctrl->events[i].type != type) {
            ctrl->events[kept++] = ctrl->events[i];
        }
    }
    ctrl->event_count = kept;
}

void sn_ctrl_event_unmask(SnCtrl *ctrl, uint8_t type)
{
    /* Wrong doorbells are in no log. */
    if (type != NVME_AER_ERROR) {
        forget_events(ctrl, type);
    }
    ctrl->masked_events &= ~(1u << type);
    send_events(ctrl);
    sn_ctrl_notify(ctrl);
}

SnCtrlStatus sn_ctrl_admin_async_event(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    SnCtrlEvent event;
    unsigned count;

    first_waiting(ctrl, &count);
    if (count == SN_CTRL_AERL) {
        return SN_CTRL_SPECIFIC(NVME_SC_ASYNC_LIMIT);
    }
    if (!count && take_event(ctrl, &event)) {
        req->result = sent(ctrl, &event);
        return 0;
    }
    req->state = SN_REQ_EVENT;  /* the same list */
    return SN_CTRL_PENDING;
}

void sn_ctrl_events_reset(SnCtrl *ctrl)
{
    ctrl->event_count = 0;
    ctrl->masked_events = 0;
    memset(ctrl->changed_ns, 0, sizeof(ctrl->changed_ns));
}
