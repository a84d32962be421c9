/*
 * The life of a command.
 *
 *   free -> running -> active -> (waits for room) -> free
 *              ^          |
 *              +- parked -+      the controller does not run
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_complete);
SN_TRACE_EVENT(nvme_park);
SN_TRACE_EVENT(nvme_drop);

#define CHUNK 32                /* requests that the pool grows by */

/* ---- lists ---- */

static void list_push(SnCtrlReqList *list, SnCtrlReq *req)
{
    req->next = NULL;
    req->prev = list->tail;
    if (list->tail) {
        list->tail->next = req;
    } else {
        list->head = req;
    }
    list->tail = req;
    list->count++;
}

static void list_push_front(SnCtrlReqList *list, SnCtrlReq *req)
{
    req->prev = NULL;
    req->next = list->head;
    if (list->head) {
        list->head->prev = req;
    } else {
        list->tail = req;
    }
    list->head = req;
    list->count++;
}

static void list_remove(SnCtrlReqList *list, SnCtrlReq *req)
{
    if (req->prev) {
        req->prev->next = req->next;
    } else {
        list->head = req->next;
    }
    if (req->next) {
        req->next->prev = req->prev;
    } else {
        list->tail = req->prev;
    }
    req->next = req->prev = NULL;
    list->count--;
}

static SnCtrlReqList *list_of(SnCtrlReq *req)
{
    switch (req->state) {
    case SN_REQ_RUNNING:
    case SN_REQ_ACTIVE:
    case SN_REQ_EVENT:
        return &req->sq->active;
    case SN_REQ_PARKED:
        return &req->ctrl->parked;
    case SN_REQ_COMPLETED:
        return &req->sq->cq->waiting;
    case SN_REQ_FREE:
        break;
    }
    return &req->sq->free;
}

/* The one place that assigns the state. */
static void move(SnCtrlReq *req, SnCtrlReqState state)
{
    list_remove(list_of(req), req);
    req->state = state;
    if (state == SN_REQ_FREE) {
        list_push_front(list_of(req), req);     /* it is in the cache */
    } else {
        list_push(list_of(req), req);
    }
}

/* ---- the pool ---- */

static void grow(SnCtrlSq *sq)
{
    SnCtrlReq *chunk = g_new0(SnCtrlReq, CHUNK);

    g_ptr_array_add(sq->chunks, chunk);
    for (unsigned i = 0; i < CHUNK; i++) {
        SnCtrlReq *req = &chunk[i];

        req->ctrl = sq->ctrl;
        req->sq = sq;
        req->data.iov = req->data.inline_iov;
        req->data.hold = req->data.inline_hold;
        req->data.room = SN_CTRL_DATA_INLINE;
        list_push(&sq->free, req);
    }
}

void sn_ctrl_req_free_pool(SnCtrlSq *sq)
{
    for (unsigned c = 0; c < sq->chunks->len; c++) {
        SnCtrlReq *chunk = g_ptr_array_index(sq->chunks, c);

        for (unsigned i = 0; i < CHUNK; i++) {
            if (chunk[i].data.iov != chunk[i].data.inline_iov) {
                g_free(chunk[i].data.iov);
                g_free(chunk[i].data.hold);
            }
        }
        g_free(chunk);
    }
    g_ptr_array_free(sq->chunks, true);
}

SnCtrlReq *sn_ctrl_req_get(SnCtrlSq *sq)
{
    SnCtrlReq *req;

    if (!sq->free.head) {
        grow(sq);
    }
    req = sq->free.head;
    move(req, SN_REQ_RUNNING);
    req->ns = NULL;
    req->result = 0;
    req->error_location = UINT16_MAX;
    req->known_cid = false;
    req->partner = NULL;
    sq->outstanding++;
    req->fetched = sn_ctrl_now(req->ctrl);
    if (sq->id) {
        req->ctrl->outstanding++;
        sn_ctrl_count_begin(req->ctrl);
    }
    return req;
}

/* The queue and the controller have one command less. */
static void recycle(SnCtrlReq *req)
{
    SnCtrlSq *sq = req->sq;
    unsigned cid = req->sqe.cid;

    if (req->known_cid) {
        sq->cids[cid / 8] &= ~(1u << cid % 8);
    }
    sq->outstanding--;
    if (sq->id) {
        req->ctrl->outstanding--;
    }
    move(req, SN_REQ_FREE);
}

/* ---- beginning ---- */

void sn_ctrl_execute(SnCtrlReq *req)
{
    SnCtrlStatus status = req->sq->id ? sn_ctrl_io(req) : sn_ctrl_admin(req);

    if (status != SN_CTRL_PENDING) {
        sn_ctrl_complete(req, status);
    } else if (req->state == SN_REQ_RUNNING) {
        req->state = SN_REQ_ACTIVE;     /* the same list */
    }
}

void sn_ctrl_req_begin(SnCtrlReq *req)
{
    unsigned cid = req->sqe.cid;
    uint8_t *cids = req->sq->cids;

    if (req->sq->fused) {
        sn_ctrl_fused_next(req);
    }
    if (cids[cid / 8] >> cid % 8 & 1) {
        sn_ctrl_complete(req, SN_CTRL_GENERIC_DNR(NVME_SC_CMDID_CONFLICT));
        return;
    }
    cids[cid / 8] |= 1u << cid % 8;
    req->known_cid = true;
    sn_ctrl_execute(req);
}

void sn_ctrl_req_restart(SnCtrlReq *req)
{
    move(req, SN_REQ_RUNNING);
    req->result = 0;
    sn_ctrl_execute(req);
}

static void io_complete(SnIo *io, int ret)
{
    SnCtrlReq *req = (SnCtrlReq *)((char *)io - offsetof(SnCtrlReq, io));

    req->submitted = false;
    req->done(req, ret);
}

void sn_ctrl_req_submit(SnCtrlReq *req, void (*done)(SnCtrlReq *req, int ret))
{
    req->done = done;
    req->submitted = true;
    req->io.complete = io_complete;
    req->io.nvme_status = 0;
    req->ctrl->unkicked[req->ns->nsid / 64] |= 1ULL << req->ns->nsid % 64;
    sn_volume_submit(req->ns->vol, &req->io);
}

void sn_ctrl_kick(SnCtrl *ctrl)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ctrl->unkicked); i++) {
        while (ctrl->unkicked[i]) {
            unsigned nsid = i * 64 + __builtin_ctzll(ctrl->unkicked[i]);

            ctrl->unkicked[i] &= ctrl->unkicked[i] - 1;
            if (ctrl->ns[nsid]) {
                sn_volume_kick(ctrl->ns[nsid]->vol);
            }
        }
    }
}

/* ---- ending ---- */

static void cancel_io(SnCtrlReq *req)
{
    if (req->submitted) {
        req->submitted = false;
        sn_io_cancel(&req->io);
    }
}

void sn_ctrl_req_stop(SnCtrlReq *req)
{
    cancel_io(req);
    if (req->partner) {
        cancel_io(req->partner);        /* it is about our memory, too */
    }
    if (req->forget) {
        void (*forget)(SnCtrlReq *) = req->forget;

        req->forget = NULL;
        forget(req);
    }
    if (req->data.mapped) {
        sn_ctrl_data_unmap(req);
    }
}

static void count_latency(SnCtrlReq *req)
{
    uint64_t ns = sn_ctrl_now(req->ctrl) - req->fetched;
    uint64_t us = ns / 1000;
    unsigned bucket = us ? 64 - __builtin_clzll(us) : 0;
    SnLatency *lat = &req->sq->latency;

    lat->count++;
    lat->sum_ns += ns;
    lat->max_ns = MAX(lat->max_ns, ns);
    lat->buckets[MIN(bucket, SN_LATENCY_BUCKETS - 1)]++;
}

/* Ends what is in the way of posting @req's completion. */
static void finish(SnCtrlReq *req, SnCtrlStatus status)
{
    sn_ctrl_req_stop(req);
    req->status = status;
    sn_trace(nvme_complete, "id=%s sq=%u cid=%u opcode=0x%02x status=0x%04x",
             req->ctrl->id, req->sq->id, GUINT16_FROM_LE(req->sqe.cid),
             req->sqe.opcode, status);
    if (status) {
        sn_ctrl_error_log(req, status);
    }
    if (req->sq->id) {
        sn_ctrl_count_end(req, status);
        count_latency(req);
    }
}

void sn_ctrl_req_posted(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;

    /* What could not be fetched for the limit can be now. */
    if (sn_ctrl_sq_at_limit(ctrl, req->sq)) {
        sn_ctrl_wake(ctrl);
    }
    recycle(req);
}

/* No pair any more. Returns the other one. */
static SnCtrlReq *part(SnCtrlReq *req)
{
    SnCtrlReq *partner = req->partner;

    if (partner) {
        req->partner = partner->partner = NULL;
    }
    if (req->sq->fused == req) {
        req->sq->fused = NULL;
    }
    return partner;
}

void sn_ctrl_complete(SnCtrlReq *req, SnCtrlStatus status)
{
    SnCtrlCq *cq = req->sq->cq;
    SnCtrlReq *partner;

    finish(req, status);
    partner = part(req);
    if (!cq->waiting.head && sn_ctrl_cq_post(req->ctrl, cq, req)) {
        sn_ctrl_req_posted(req);
    } else {
        move(req, SN_REQ_COMPLETED);
    }
    if (partner) {
        sn_ctrl_complete(partner,
                         status ? SN_CTRL_GENERIC(NVME_SC_FUSED_FAIL) : 0);
    }
}

/*
 * One that must not be sent twice, and was sent: its fate is not known. The
 * guest hears of it when the controller runs.
 */
static bool must_not_restart(const SnCtrlReq *req)
{
    return req->submitted && sn_io_is_once(&req->io);
}

void sn_ctrl_req_park(SnCtrlReq *req)
{
    SnCtrlReq *partner;

    sn_trace(nvme_park, "id=%s sq=%u cid=%u", req->ctrl->id, req->sq->id,
             GUINT16_FROM_LE(req->sqe.cid));
    if (must_not_restart(req)) {
        finish(req, SN_NVME_STATUS(NVME_SCT_PATH,
                                   NVME_SC_ANA_INTERNAL_PATH_ERROR));
        move(req, SN_REQ_COMPLETED);
        partner = part(req);
        if (partner) {
            finish(partner, SN_CTRL_GENERIC(NVME_SC_FUSED_FAIL));
            move(partner, SN_REQ_COMPLETED);
        }
        return;
    }
    sn_ctrl_req_stop(req);
    req->ns = NULL;
    move(req, SN_REQ_PARKED);
}

void sn_ctrl_req_drop(SnCtrlReq *req)
{
    bool counted = req->state == SN_REQ_COMPLETED;

    sn_trace(nvme_drop, "id=%s sq=%u cid=%u", req->ctrl->id, req->sq->id,
             GUINT16_FROM_LE(req->sqe.cid));
    sn_ctrl_req_stop(req);
    part(req);
    if (req->sq->id && !counted) {
        sn_ctrl_count_dropped(req->ctrl);
    }
    recycle(req);
}

SnCtrlReq *sn_ctrl_req_find(SnCtrlSq *sq, uint16_t cid)
{
    const SnCtrlReqList *lists[] = { &sq->active, &sq->ctrl->parked };

    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
        for (SnCtrlReq *req = lists[i]->head; req; req = req->next) {
            if (req->sq == sq && req->state != SN_REQ_RUNNING &&
                GUINT16_FROM_LE(req->sqe.cid) == cid) {
                return req;
            }
        }
    }
    return NULL;
}
