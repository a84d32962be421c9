/*
 * Queues: doorbells in, completion entries out (NVMe Base 1.4 section 4.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_queue_create);
SN_TRACE_EVENT(nvme_queue_delete);
SN_TRACE_EVENT(nvme_doorbell);
SN_TRACE_EVENT(nvme_doorbell_wrong);

/* ---- making and freeing ---- */

bool sn_ctrl_is_ram(SnCtrl *ctrl, uint64_t base, uint64_t len, bool writable)
{
    if (base > UINT64_MAX - len) {
        return false;
    }
    while (len) {
        size_t part = len;
        SnDmaHold *hold;
        void *ptr = ctrl->dma->map(ctrl->dma, base, &part, writable, &hold);

        if (!ptr) {
            return false;
        }
        ctrl->dma->unmap(ctrl->dma, hold, ptr, 0);
        base += part;
        len -= part;
    }
    return true;
}

SnCtrlCq *sn_ctrl_cq_new(SnCtrl *ctrl, uint16_t id, uint64_t base,
                         unsigned entries, uint16_t vector, bool interrupts)
{
    SnCtrlCq *cq = g_new0(SnCtrlCq, 1);

    sn_trace(nvme_queue_create, "id=%s cq=%u entries=%u vector=%u "
             "interrupts=%d", ctrl->id, id, entries, vector, interrupts);
    cq->id = id;
    cq->entries = entries;
    cq->base = base;
    cq->vector = vector;
    cq->interrupts = interrupts;
    cq->phase = true;
    ctrl->cqs[id] = cq;
    if (interrupts) {
        ctrl->interrupting[id / 64] |= UINT64_C(1) << id % 64;
    }
    sn_ctrl_dbbuf_queue(ctrl, id, true, &cq->shadow);
    return cq;
}

SnCtrlSq *sn_ctrl_sq_new(SnCtrl *ctrl, uint16_t id, uint64_t base,
                         unsigned entries, SnCtrlCq *cq, SnCtrlPrio prio)
{
    SnCtrlSq *sq = g_new0(SnCtrlSq, 1);

    sn_trace(nvme_queue_create, "id=%s sq=%u entries=%u cq=%u priority=%u",
             ctrl->id, id, entries, cq->id, prio);
    sq->id = id;
    sq->entries = entries;
    sq->base = base;
    sq->cq = cq;
    sq->prio = prio;
    sq->ctrl = ctrl;
    sq->chunks = g_ptr_array_new();
    sq->cids = g_malloc0(SN_CTRL_CIDS / 8);
    cq->users++;
    ctrl->sqs[id] = sq;
    sn_ctrl_dbbuf_queue(ctrl, id, false, &sq->shadow);
    if (id) {
        ctrl->prio_sqs[prio] |= UINT64_C(1) << (id - 1);
    }
    return sq;
}

/* Drops what @sq has in @list, which is not its own. */
static void drop_from(SnCtrlReqList *list, SnCtrlSq *sq)
{
    SnCtrlReq *req, *next;

    for (req = list->head; req; req = next) {
        next = req->next;
        if (req->sq == sq) {
            sn_ctrl_req_drop(req);
        }
    }
}

/* Stopping one request may end others (a flush for all), so from the head. */
static void abort_all(SnCtrlSq *sq, SnCtrlReqList *list)
{
    SnCtrlReq *req = list->head;

    while (req) {
        if (req->sq != sq) {
            req = req->next;
            continue;
        }
        sn_ctrl_complete(req, SN_CTRL_GENERIC(NVME_SC_ABORT_QUEUE));
        req = list->head;
    }
}

void sn_ctrl_sq_free(SnCtrl *ctrl, SnCtrlSq *sq, bool post)
{
    sn_trace(nvme_queue_delete, "id=%s sq=%u outstanding=%u", ctrl->id,
             sq->id, sq->outstanding);
    if (post) {
        abort_all(sq, &sq->active);
        abort_all(sq, &ctrl->parked);
    }
    while (sq->active.head) {
        sn_ctrl_req_drop(sq->active.head);
    }
    drop_from(&ctrl->parked, sq);
    /* Those without room go with the queue: the pool is theirs. */
    drop_from(&sq->cq->waiting, sq);
    if (sq->shadow.doorbell) {
        ctrl->config.ops->doorbell_event(ctrl->config.opaque,
                                         SN_CTRL_DOORBELLS + sq->id * 8,
                                         false);
    }
    sq->cq->users--;
    ctrl->sqs[sq->id] = NULL;
    if (sq->id) {
        uint64_t others = ~(UINT64_C(1) << (sq->id - 1));

        ctrl->prio_sqs[sq->prio] &= others;
        ctrl->ready_sqs &= others;
        ctrl->unasked_sqs &= others;
    }
    sn_ctrl_req_free_pool(sq);
    g_free(sq->cids);
    g_free(sq);
}

void sn_ctrl_cq_free(SnCtrl *ctrl, SnCtrlCq *cq)
{
    sn_trace(nvme_queue_delete, "id=%s cq=%u", ctrl->id, cq->id);
    if (cq->shadow.doorbell) {
        ctrl->config.ops->doorbell_event(ctrl->config.opaque,
                                         SN_CTRL_DOORBELLS + cq->id * 8 + 4,
                                         false);
    }
    ctrl->cqs[cq->id] = NULL;
    ctrl->unnotified[cq->id / 64] &= ~(UINT64_C(1) << cq->id % 64);
    ctrl->interrupting[cq->id / 64] &= ~(UINT64_C(1) << cq->id % 64);
    g_free(cq);
    sn_ctrl_update_pin(ctrl);
}

/* ---- completion entries ---- */

static bool cq_is_full(const SnCtrlCq *cq)
{
    return (cq->tail + 1u) % cq->entries == cq->head;
}

/*
 * The dword with the phase tag last: from then on the entry is the guest's
 * (section 4.6).
 */
static bool write_entry(SnCtrl *ctrl, SnCtrlCq *cq, const SnCtrlReq *req)
{
    uint64_t addr = cq->base + (uint64_t)cq->tail * sizeof(SnNvmeCqe);
    size_t len = sizeof(SnNvmeCqe);
    SnDmaHold *hold;
    uint32_t *cqe = ctrl->dma->map(ctrl->dma, addr, &len, true, &hold);
    uint32_t status = (uint32_t)req->status << 1 | cq->phase;

    if (!cqe) {
        return false;
    }
    if (len < sizeof(SnNvmeCqe)) {      /* aligned, so only a hostile guest */
        ctrl->dma->unmap(ctrl->dma, hold, cqe, 0);
        return false;
    }
    cqe[0] = GUINT32_TO_LE(req->result);
    cqe[1] = 0;
    cqe[2] = GUINT32_TO_LE((uint32_t)req->sq->id << 16 | req->sq->head);
    __atomic_store_n(&cqe[3],
                     GUINT32_TO_LE(status << 16 |
                                   GUINT16_FROM_LE(req->sqe.cid)),
                     __ATOMIC_RELEASE);
    ctrl->dma->unmap(ctrl->dma, hold, cqe, sizeof(SnNvmeCqe));
    return true;
}

bool sn_ctrl_cq_post(SnCtrl *ctrl, SnCtrlCq *cq, const SnCtrlReq *req)
{
    if (!ctrl->running || ctrl->state != SN_CTRL_READY) {
        return false;
    }
    if (cq_is_full(cq)) {
        sn_ctrl_dbbuf_cq_head(ctrl, cq);
        if (cq_is_full(cq)) {
            return false;
        }
    }
    if (!write_entry(ctrl, cq, req)) {
        sn_ctrl_fatal(ctrl, "a completion queue is not in memory any more");
        return false;
    }
    cq->tail++;
    if (cq->tail == cq->entries) {
        cq->tail = 0;
        cq->phase = !cq->phase;
    }
    ctrl->unnotified[cq->id / 64] |= UINT64_C(1) << cq->id % 64;
    cq->since_interrupt++;
    return true;
}

void sn_ctrl_cq_flush(SnCtrl *ctrl, SnCtrlCq *cq)
{
    while (cq->waiting.head && sn_ctrl_cq_post(ctrl, cq, cq->waiting.head)) {
        sn_ctrl_req_posted(cq->waiting.head);
    }
}

/* ---- doorbells ---- */

static void wrong(SnCtrl *ctrl, unsigned offset, uint32_t value,
                  bool value_is_wrong)
{
    sn_trace(nvme_doorbell_wrong, "id=%s offset=0x%x value=%u", ctrl->id,
             SN_CTRL_DOORBELLS + offset, value);
    sn_ctrl_event_bad_doorbell(ctrl, value_is_wrong);
}

bool sn_ctrl_cq_set_head(SnCtrl *ctrl, SnCtrlCq *cq, uint32_t head)
{
    unsigned used = (cq->tail + cq->entries - cq->head) % cq->entries;
    unsigned moved;

    if (head >= cq->entries) {
        return false;
    }
    moved = (head + cq->entries - cq->head) % cq->entries;
    if (moved > used) {
        return false;           /* beyond what was posted */
    }
    cq->head = head;
    return true;
}

static void took_some(SnCtrl *ctrl, SnCtrlCq *cq)
{
    if (cq->waiting.head) {
        sn_ctrl_cq_flush(ctrl, cq);
        sn_ctrl_notify(ctrl);
        sn_ctrl_wake(ctrl);     /* fetching may have stopped for room */
    }
    sn_ctrl_update_pin(ctrl);
}

static void ring_cq(SnCtrl *ctrl, SnCtrlCq *cq, unsigned offset, uint32_t head)
{
    if (!sn_ctrl_cq_set_head(ctrl, cq, head)) {
        wrong(ctrl, offset, head, true);
        return;
    }
    took_some(ctrl, cq);
}

static void ring_sq(SnCtrl *ctrl, SnCtrlSq *sq, unsigned offset, uint32_t tail)
{
    if (tail >= sq->entries) {
        wrong(ctrl, offset, tail, true);
        return;
    }
    if (sq->shadow.doorbell) {
        sn_ctrl_sq_unasked(ctrl, sq);   /* what counts is in memory */
    } else {
        sq->tail = tail;
        sn_ctrl_sq_ready(ctrl, sq);
    }
    sn_ctrl_fetch(ctrl);
}

void sn_ctrl_ring(SnCtrl *ctrl, unsigned offset, uint32_t value)
{
    unsigned qid = offset / 8;
    bool is_cq = offset & 4;

    if (ctrl->state != SN_CTRL_READY) {
        return;
    }
    sn_trace(nvme_doorbell, "id=%s %s=%u value=%u", ctrl->id,
             is_cq ? "cq" : "sq", qid, value);
    if (qid > SN_CTRL_MAX_QUEUE_PAIRS ||
        (is_cq ? !ctrl->cqs[qid] : !ctrl->sqs[qid])) {
        wrong(ctrl, offset, value, false);
    } else if (is_cq) {
        ring_cq(ctrl, ctrl->cqs[qid], offset, value);
    } else {
        ring_sq(ctrl, ctrl->sqs[qid], offset, value);
    }
}

void sn_ctrl_doorbell_event(SnCtrl *ctrl, unsigned offset)
{
    unsigned at = offset - SN_CTRL_DOORBELLS;
    unsigned qid = at / 8;
    SnCtrlSq *sq;
    SnCtrlCq *cq;

    if (ctrl->state != SN_CTRL_READY || at >= SN_CTRL_DOORBELLS ||
        qid > SN_CTRL_MAX_QUEUE_PAIRS) {
        return;                 /* it was on its way when the queue went */
    }
    if (!ctrl->running) {
        return;                 /* all doorbells are looked up afterwards */
    }
    sq = ctrl->sqs[qid];
    cq = ctrl->cqs[qid];
    if (!(at & 4)) {
        if (sq && sq->shadow.doorbell) {
            sn_ctrl_sq_unasked(ctrl, sq);
        }
        sn_ctrl_fetch(ctrl);
    } else if (cq) {
        sn_ctrl_dbbuf_cq_head(ctrl, cq);
        took_some(ctrl, cq);
    }
}
