/*
 * Doorbell Buffer Config (NVMe Base 1.4 sections 5.7 and 7.13): the guest
 * writes its doorbells to memory, and to the register only when the value
 * passes the event index that we publish there.
 *
 * The race is between the guest, which writes the doorbell and then reads the
 * event index, and us, who write the event index and then read the doorbell:
 * with a full barrier between the two on either side, one sees the other.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_dbbuf);

/* One dword of the guest's memory, to be read or written at once. */
static uint32_t *map_dword(SnCtrl *ctrl, uint64_t addr, bool writable,
                           SnDmaHold **hold)
{
    size_t len = sizeof(uint32_t);

    return ctrl->dma->map(ctrl->dma, addr, &len, writable, hold);
}

static bool load(SnCtrl *ctrl, uint64_t addr, uint32_t *value)
{
    SnDmaHold *hold;
    uint32_t *ptr = map_dword(ctrl, addr, false, &hold);

    if (!ptr) {
        return false;
    }
    *value = GUINT32_FROM_LE(__atomic_load_n(ptr, __ATOMIC_ACQUIRE));
    ctrl->dma->unmap(ctrl->dma, hold, ptr, 0);
    return true;
}

static bool store(SnCtrl *ctrl, uint64_t addr, uint32_t value)
{
    SnDmaHold *hold;
    uint32_t *ptr = map_dword(ctrl, addr, true, &hold);

    if (!ptr) {
        return false;
    }
    __atomic_store_n(ptr, GUINT32_TO_LE(value), __ATOMIC_RELEASE);
    ctrl->dma->unmap(ctrl->dma, hold, ptr, sizeof(*ptr));
    return true;
}

/*
 * Both begin at @value, where the queue is; memory may have what an older one
 * left. The second pair of dwords is for I/O queue 1, as with the registers.
 */
static void attach(SnCtrl *ctrl, uint16_t id, bool is_cq, SnCtrlShadow *shadow,
                   uint16_t value)
{
    unsigned at = id * 8 + (is_cq ? 4 : 0);
    bool was_on = shadow->doorbell;

    /* The admin queue is not in it: it has to work before and after. */
    if (!ctrl->dbbuf[0] || !id) {
        *shadow = (SnCtrlShadow){ 0 };
        return;
    }
    shadow->doorbell = ctrl->dbbuf[0] + at;
    shadow->event_index = ctrl->dbbuf[1] + at;
    store(ctrl, shadow->doorbell, value);
    store(ctrl, shadow->event_index, value);
    if (!was_on) {
        ctrl->config.ops->doorbell_event(ctrl->config.opaque,
                                         SN_CTRL_DOORBELLS + at, true);
    }
}

void sn_ctrl_dbbuf_queue(SnCtrl *ctrl, uint16_t id, bool is_cq,
                         SnCtrlShadow *shadow)
{
    attach(ctrl, id, is_cq, shadow, 0);
}

void sn_ctrl_dbbuf_set(SnCtrl *ctrl, uint64_t shadow, uint64_t event_index)
{
    sn_trace(nvme_dbbuf, "id=%s doorbells=0x%" G_GINT64_MODIFIER
             "x event-indices=0x%" G_GINT64_MODIFIER "x", ctrl->id, shadow,
             event_index);
    ctrl->dbbuf[0] = shadow;
    ctrl->dbbuf[1] = event_index;
    for (unsigned i = 1; i <= SN_CTRL_MAX_QUEUE_PAIRS; i++) {
        SnCtrlSq *sq = ctrl->sqs[i];
        SnCtrlCq *cq = ctrl->cqs[i];

        /* What the registers said until now is where the copies begin. */
        if (sq) {
            attach(ctrl, i, false, &sq->shadow, sq->tail);
            sn_ctrl_sq_unasked(ctrl, sq);
        }
        if (cq) {
            attach(ctrl, i, true, &cq->shadow, cq->head);
        }
    }
}

void sn_ctrl_sq_update_tail(SnCtrl *ctrl, SnCtrlSq *sq)
{
    uint32_t tail;

    if (!sq->shadow.doorbell) {
        return;
    }
    if (!load(ctrl, sq->shadow.doorbell, &tail)) {
        sn_ctrl_fatal(ctrl, "the doorbell buffer is not in memory any more");
    } else if (tail >= sq->entries) {
        sn_ctrl_event_bad_doorbell(ctrl, true);
    } else {
        sq->tail = tail;
        sn_ctrl_sq_ready(ctrl, sq);
    }
}

bool sn_ctrl_dbbuf_sq_idle(SnCtrl *ctrl, SnCtrlSq *sq)
{
    uint16_t seen = sq->tail;

    if (!sq->shadow.doorbell) {
        return true;
    }
    if (!store(ctrl, sq->shadow.event_index, seen)) {
        sn_ctrl_fatal(ctrl, "the doorbell buffer is not in memory any more");
        return true;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    sn_ctrl_sq_update_tail(ctrl, sq);
    return sq->tail == seen;
}

/*
 * The head matters only when there is no room, so nobody is to ring for it
 * before: the event index stays where it was, and moves on when we wait.
 */
void sn_ctrl_dbbuf_cq_head(SnCtrl *ctrl, SnCtrlCq *cq)
{
    uint32_t head;

    if (!cq->shadow.doorbell) {
        return;
    }
    store(ctrl, cq->shadow.event_index, cq->head);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (load(ctrl, cq->shadow.doorbell, &head) &&
        !sn_ctrl_cq_set_head(ctrl, cq, head)) {
        sn_ctrl_event_bad_doorbell(ctrl, true);
    }
}
