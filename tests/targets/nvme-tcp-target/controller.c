/*
 * Controllers: see controller.h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "controller.h"

#include <string.h>

#include "request.h"

#define CTRL_MAX 64

/* A notice that an attribute of a namespace has changed, and its log page
 * (NVMe Base section 5.2.1). */
#define EVENT_NS_CHANGED \
    (2u | 0u << 8 | (uint32_t)NVME_LOG_LID_CHANGED_NS << 16)
#define EVENT_CONFIG_NS (1u << 8)

static Ctrl controllers[CTRL_MAX];
static uint16_t last_cntlid;

static void check_keep_alive(Timer *timer)
{
    Ctrl *ctrl = CONTAINER_OF(timer, Ctrl, keep_alive);
    uint64_t silent = now_ms() - ctrl->heard;

    /* A host that nobody listens to is not given up. */
    if (conn_all_stalled()) {
        ctrl->heard = now_ms();
        silent = 0;
    }
    if (silent >= ctrl->kato) {
        ctrl_expire(ctrl);
    } else {
        timer_set(timer, ctrl->kato - silent, check_keep_alive);
    }
}

void ctrl_set_kato(Ctrl *ctrl, uint32_t kato)
{
    ctrl->kato = kato;
    ctrl->heard = now_ms();
    if (kato) {
        timer_set(&ctrl->keep_alive, kato, check_keep_alive);
    } else {
        timer_stop(&ctrl->keep_alive);
    }
}

void ctrl_heard(Ctrl *ctrl)
{
    ctrl->heard = now_ms();
}

Ctrl *ctrl_new(Conn *admin, bool discovery, uint32_t kato)
{
    Ctrl *ctrl = controllers;

    while (ctrl < controllers + CTRL_MAX && ctrl->used) {
        ctrl++;
    }
    if (ctrl == controllers + CTRL_MAX) {
        return NULL;
    }
    /* A number is not used again soon, nor those with a special meaning. */
    do {
        last_cntlid = last_cntlid % 0xffef + 1;
    } while (ctrl_find(last_cntlid));
    *ctrl = (Ctrl){ .used = true, .cntlid = last_cntlid,
                    .discovery = discovery, .queues = options.queues,
                    .write_cache = true };
    ctrl->queue[0] = admin;
    ctrl_set_kato(ctrl, kato);
    return ctrl;
}

Ctrl *ctrl_find(uint16_t cntlid)
{
    for (Ctrl *ctrl = controllers; ctrl < controllers + CTRL_MAX; ctrl++) {
        if (ctrl->used && ctrl->cntlid == cntlid) {
            return ctrl;
        }
    }
    return NULL;
}

unsigned ctrl_count(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CTRL_MAX; i++) {
        n += controllers[i].used;
    }
    return n;
}

static void end_io_queues(Ctrl *ctrl)
{
    for (unsigned i = 1; i <= IO_QUEUES_MAX; i++) {
        if (ctrl->queue[i]) {
            conn_abort(ctrl->queue[i]);
        }
    }
}

void ctrl_write_cc(Ctrl *ctrl, uint32_t value)
{
    bool enable = NVME_CC_EN(value), enabled = NVME_CC_EN(ctrl->cc);

    ctrl->cc = value;
    if (enabled && !enable) {
        end_io_queues(ctrl);
        ctrl->csts = 0;
        ctrl->event_count = 0;
    } else if (enable && !enabled) {
        /* Only 4 KiB pages and the NVM command set, as CAP says. */
        ctrl->csts = NVME_CC_MPS(value) || NVME_CC_CSS(value)
                     ? NVME_CSTS_CFS_MASK << NVME_CSTS_CFS_SHIFT
                     : NVME_CSTS_RDY_MASK << NVME_CSTS_RDY_SHIFT;
    }
    if (NVME_CC_SHN(value)) {
        ctrl->csts |= NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT;
    }
}

/* ---- events ---- */

static void tell(Ctrl *ctrl)
{
    Conn *admin = ctrl->queue[0];

    if (ctrl->notice && !ctrl->masked && ctrl->event_count &&
        ctrl->event_config & EVENT_CONFIG_NS && admin->state == CONN_READY) {
        ctrl->masked = true;
        ctrl->notice = false;
        answer_cid(admin, ctrl->events[--ctrl->event_count],
                   EVENT_NS_CHANGED, 0);
        conn_flush(admin);
    }
}

bool ctrl_take_event(Ctrl *ctrl, uint16_t cid)
{
    if (ctrl->event_count == EVENTS_MAX) {
        return false;
    }
    ctrl->events[ctrl->event_count++] = cid;
    tell(ctrl);
    return true;
}

bool ctrl_drop_event(Ctrl *ctrl, uint16_t cid)
{
    for (unsigned i = 0; i < ctrl->event_count; i++) {
        if (ctrl->events[i] == cid) {
            ctrl->events[i] = ctrl->events[--ctrl->event_count];
            return true;
        }
    }
    return false;
}

void ctrl_changes_read(Ctrl *ctrl)
{
    memset(ctrl->changed, 0, sizeof(ctrl->changed));
    ctrl->masked = false;
    tell(ctrl);
}

void ctrl_ns_changed(uint32_t nsid)
{
    for (unsigned i = 0; i < CTRL_MAX; i++) {
        Ctrl *ctrl = &controllers[i];

        if (ctrl->used && !ctrl->discovery) {
            ctrl->changed[nsid - 1] = true;
            ctrl->notice = true;
            tell(ctrl);
        }
    }
}

/* ---- the end ---- */

void ctrl_expire(Ctrl *ctrl)
{
    if (ctrl->queue[0]) {
        conn_abort(ctrl->queue[0]);
    }
}

void ctrl_conn_gone(Conn *c)
{
    Ctrl *ctrl = c->ctrl;

    if (!ctrl) {
        return;
    }
    c->ctrl = NULL;
    ctrl->queue[c->qid] = NULL;
    if (c->qid == 0) {
        timer_stop(&ctrl->keep_alive);
        ctrl->used = false;
        end_io_queues(ctrl);
    }
}
