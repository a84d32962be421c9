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

/* Type, information and log page of an event (NVMe Base section 5.2.1). */
#define EVENT(type, info, log) \
    ((type) | (uint32_t)(info) << 8 | (uint32_t)(log) << 16)

static const struct {
    uint32_t dw0;               /* of the response */
    uint32_t config;            /* bit of the feature; 0: there is none */
} notices[NOTICE_COUNT] = {
    [NOTICE_NS_CHANGED] = {
        EVENT(NVME_AER_NOTICE, NVME_AER_NOTICE_NS_CHANGED,
              NVME_LOG_LID_CHANGED_NS), 1u << 8 },
    [NOTICE_RESERVATION] = {
        EVENT(NVME_AER_CSS, NVME_AER_CSS_NVM_RESERVATION,
              NVME_LOG_LID_RESERVATION), 0 },
};

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

static void forget_events(Ctrl *ctrl)
{
    ctrl->event_count = 0;
    memset(ctrl->notice, 0, sizeof(ctrl->notice));
    memset(ctrl->masked, 0, sizeof(ctrl->masked));
    memset(ctrl->changed, 0, sizeof(ctrl->changed));
    memset(ctrl->resv_mask, 0, sizeof(ctrl->resv_mask));
    ctrl->resv_count = 0;
    ctrl->resv_serial = 0;
}

void ctrl_write_cc(Ctrl *ctrl, uint32_t value)
{
    bool enable = NVME_CC_EN(value), enabled = NVME_CC_EN(ctrl->cc);

    ctrl->cc = value;
    if (enabled && !enable) {
        end_io_queues(ctrl);
        ctrl->csts = 0;
        forget_events(ctrl);
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

static bool is_wanted(const Ctrl *ctrl, Notice which)
{
    uint32_t config = notices[which].config;

    return ctrl->notice[which] && !ctrl->masked[which] &&
           (!config || ctrl->event_config & config);
}

static void tell(Ctrl *ctrl)
{
    Conn *admin = ctrl->queue[0];

    for (unsigned i = 0; i < NOTICE_COUNT; i++) {
        if (is_wanted(ctrl, i) && ctrl->event_count &&
            admin->state == CONN_READY) {
            ctrl->masked[i] = true;
            ctrl->notice[i] = false;
            answer_cid(admin, ctrl->events[--ctrl->event_count],
                       notices[i].dw0, 0);
            conn_flush(admin);
        }
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
    ctrl->masked[NOTICE_NS_CHANGED] = false;
    tell(ctrl);
}

void ctrl_ns_changed(uint32_t nsid)
{
    for (unsigned i = 0; i < CTRL_MAX; i++) {
        Ctrl *ctrl = &controllers[i];

        if (ctrl->used && !ctrl->discovery) {
            ctrl->changed[nsid - 1] = true;
            ctrl->notice[NOTICE_NS_CHANGED] = true;
            tell(ctrl);
        }
    }
}

/* ---- reservation notifications (NVMe Base section 8.19) ---- */

struct nvme_resv_notification_log ctrl_resv_page(const Ctrl *ctrl)
{
    struct nvme_resv_notification_log page = { 0 };

    if (ctrl->resv_count) {
        page = ctrl->resv_pages[0];
        page.nalp = ctrl->resv_count - 1;
    }
    return page;
}

void ctrl_resv_read(Ctrl *ctrl, bool retain)
{
    if (ctrl->resv_count) {
        ctrl->resv_count--;
        memmove(&ctrl->resv_pages[0], &ctrl->resv_pages[1],
                ctrl->resv_count * sizeof(ctrl->resv_pages[0]));
    }
    if (!retain) {
        ctrl->masked[NOTICE_RESERVATION] = false;
        ctrl->notice[NOTICE_RESERVATION] = ctrl->resv_count;
        tell(ctrl);
    }
}

static void add_resv_page(Ctrl *ctrl, uint32_t nsid, unsigned rnlpt)
{
    if (ctrl->resv_mask[nsid - 1] >> rnlpt & 1) {
        return;
    }
    ctrl->resv_serial++;
    if (ctrl->resv_count == RESV_PAGES_MAX) {
        /* It is lost; the last page's number says so. */
        ctrl->resv_pages[RESV_PAGES_MAX - 1].lpc = ctrl->resv_serial;
    } else {
        ctrl->resv_pages[ctrl->resv_count++] =
            (struct nvme_resv_notification_log){
                .lpc = ctrl->resv_serial, .rnlpt = rnlpt, .nsid = nsid };
    }
    ctrl->notice[NOTICE_RESERVATION] = true;
    tell(ctrl);
}

void ctrl_resv_notice(const uint8_t *hostid, uint32_t nsid, unsigned rnlpt)
{
    for (unsigned i = 0; i < CTRL_MAX; i++) {
        Ctrl *ctrl = &controllers[i];

        if (ctrl->used && !ctrl->discovery &&
            !memcmp(ctrl->hostid, hostid, sizeof(ctrl->hostid))) {
            add_resv_page(ctrl, nsid, rnlpt);
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
