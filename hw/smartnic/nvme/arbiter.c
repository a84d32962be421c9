/*
 * Which submission queue is next (NVMe Base 1.4 section 4.13), and fetching
 * from it.
 *
 * Commands are fetched where the doorbell is rung, in one go: a turn of the
 * loop would mean another thread, which takes longer to wake than many commands
 * take. What a guest can make us do in one go is limited, and so is what may be
 * outstanding, without which priorities would mean nothing.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_fetch);

#define MAX_AT_ONCE     256     /* commands, before others have their turn */
#define ALL_QUEUES      UINT64_MAX

/* Feature 01h: the burst of a queue, and the weights less one. */
static unsigned burst(const SnCtrl *ctrl)
{
    unsigned ab = ctrl->features.arbitration & 7;

    return ab == 7 ? MAX_AT_ONCE : 1u << ab;
}

static unsigned weight(const SnCtrl *ctrl, SnCtrlPrio prio)
{
    static const unsigned shift[] = {
        [SN_PRIO_HIGH] = 24, [SN_PRIO_MEDIUM] = 16, [SN_PRIO_LOW] = 8,
    };

    return (ctrl->features.arbitration >> shift[prio] & 0xff) + 1;
}

static bool has_work(const SnCtrl *ctrl, const SnCtrlSq *sq)
{
    /* A guest that takes no completions has to wait with its commands. */
    return sq->head != sq->tail && !sq->cq->waiting.head &&
           !sn_ctrl_sq_at_limit(ctrl, sq);
}

static uint64_t bit_of(const SnCtrlSq *sq)
{
    return sq->id ? UINT64_C(1) << (sq->id - 1) : 0;
}

void sn_ctrl_sq_ready(SnCtrl *ctrl, const SnCtrlSq *sq)
{
    ctrl->ready_sqs |= bit_of(sq);
}

void sn_ctrl_sq_unasked(SnCtrl *ctrl, const SnCtrlSq *sq)
{
    ctrl->unasked_sqs |= bit_of(sq);
}

/* Takes the command at the head, whose copy in the ring is @from. */
static void take_one(SnCtrl *ctrl, SnCtrlSq *sq, const void *from)
{
    SnCtrlReq *req = sn_ctrl_req_get(sq);

    memcpy(&req->sqe, from, sizeof(req->sqe));
    sq->head = sq->head + 1u == sq->entries ? 0 : sq->head + 1;
    sn_trace(nvme_fetch, "id=%s sq=%u cid=%u opcode=0x%02x nsid=%u",
             ctrl->id, sq->id, GUINT16_FROM_LE(req->sqe.cid),
             req->sqe.opcode, GUINT32_FROM_LE(req->sqe.nsid));
    sn_ctrl_req_begin(req);
}

/*
 * Takes up to @max commands of @sq, as far as its ring is in one piece; the
 * rest is for another turn. Returns how many.
 */
static unsigned take(SnCtrl *ctrl, SnCtrlSq *sq, unsigned max)
{
    unsigned end = sq->tail > sq->head ? sq->tail : sq->entries;
    size_t len = MIN(max, end - sq->head) * sizeof(SnNvmeSqe);
    uint64_t addr = sq->base + (uint64_t)sq->head * sizeof(SnNvmeSqe);
    SnDmaHold *hold;
    const uint8_t *ring = ctrl->dma->map(ctrl->dma, addr, &len, false, &hold);
    unsigned n = 0;

    if (!ring || len < sizeof(SnNvmeSqe)) {
        if (ring) {
            ctrl->dma->unmap(ctrl->dma, hold, (void *)ring, 0);
        }
        sn_ctrl_fatal(ctrl, "a submission queue is not in memory any more");
        return 0;
    }
    while (n < len / sizeof(SnNvmeSqe) && has_work(ctrl, sq)) {
        take_one(ctrl, sq, ring + n * sizeof(SnNvmeSqe));
        n++;
    }
    if (sq->fused && sq->head == sq->tail) {
        sn_ctrl_fused_alone(sq);        /* both have to come at once */
    }
    ctrl->dma->unmap(ctrl->dma, hold, (void *)ring, 0);
    return n;
}

/* The next queue in turn with work, of those in @among; NULL: none. */
static SnCtrlSq *next_queue(SnCtrl *ctrl, uint64_t among, unsigned *turn)
{
    uint64_t left = ctrl->ready_sqs & among;

    while (left) {
        uint64_t from_turn = left & ALL_QUEUES << *turn;
        unsigned bit = __builtin_ctzll(from_turn ? from_turn : left);
        SnCtrlSq *sq = ctrl->sqs[bit + 1];

        if (has_work(ctrl, sq)) {
            *turn = (bit + 1) % SN_CTRL_MAX_QUEUE_PAIRS;
            return sq;
        }
        if (sq->head == sq->tail) {
            ctrl->ready_sqs &= ~bit_of(sq);
        }
        left &= ~bit_of(sq);
    }
    return NULL;
}

/* Section 4.13.2: urgent ones always first, the others by their weights. */
static SnCtrlSq *next_weighted(SnCtrl *ctrl)
{
    SnCtrlSq *sq = next_queue(ctrl, ctrl->prio_sqs[SN_PRIO_URGENT],
                              &ctrl->next_sq[SN_PRIO_URGENT]);

    if (sq) {
        return sq;
    }
    for (int round = 0; round < 2; round++) {
        for (SnCtrlPrio p = SN_PRIO_HIGH; p < SN_PRIO_COUNT; p++) {
            if (!ctrl->credits[p]) {
                continue;
            }
            sq = next_queue(ctrl, ctrl->prio_sqs[p], &ctrl->next_sq[p]);
            if (sq) {
                return sq;
            }
        }
        for (SnCtrlPrio p = SN_PRIO_HIGH; p < SN_PRIO_COUNT; p++) {
            ctrl->credits[p] = weight(ctrl, p);
        }
    }
    return NULL;
}

static bool is_weighted(const SnCtrl *ctrl)
{
    return NVME_CC_AMS(ctrl->cc) == NVME_CC_AMS_WRRU;
}

/* Up to @max I/O commands; returns how many. */
static unsigned take_io(SnCtrl *ctrl, unsigned max)
{
    unsigned n = 0;

    while (n < max) {
        bool weighted = is_weighted(ctrl);
        SnCtrlSq *sq = weighted
                       ? next_weighted(ctrl)
                       : next_queue(ctrl, ALL_QUEUES,
                                    &ctrl->next_sq[SN_PRIO_COUNT]);
        unsigned part, got;
        SnCtrlPrio prio;

        if (!sq) {
            break;
        }
        prio = sq->prio;
        part = MIN(burst(ctrl), max - n);
        if (weighted && prio != SN_PRIO_URGENT) {
            part = MIN(part, ctrl->credits[prio]);
        }
        got = take(ctrl, sq, part);
        if (!got) {
            break;              /* CFS */
        }
        ctrl->credits[prio] -= MIN(got, ctrl->credits[prio]);
        n += got;
    }
    return n;
}

static void look_up_tails(SnCtrl *ctrl)
{
    for (uint64_t left = ctrl->unasked_sqs; left; left &= left - 1) {
        sn_ctrl_sq_update_tail(ctrl, ctrl->sqs[__builtin_ctzll(left) + 1]);
    }
}

/*
 * Publishes that the queues that are empty now want their doorbell rung. True
 * when one has got something meanwhile.
 */
static bool has_missed_some(SnCtrl *ctrl)
{
    bool missed = false;

    for (uint64_t left = ctrl->unasked_sqs; left; left &= left - 1) {
        SnCtrlSq *sq = ctrl->sqs[__builtin_ctzll(left) + 1];

        if (sq->head != sq->tail) {
            continue;
        }
        if (sn_ctrl_dbbuf_sq_idle(ctrl, sq)) {
            ctrl->unasked_sqs &= ~bit_of(sq);
        } else {
            missed = true;
        }
    }
    return missed;
}

static bool can_fetch(const SnCtrl *ctrl)
{
    return ctrl->running && ctrl->state == SN_CTRL_READY;
}

/* Returns how many commands it began. */
static unsigned fetch_some(SnCtrl *ctrl, unsigned max)
{
    unsigned n = 0, got;

    while (n < max && ctrl->parked.head) {
        sn_ctrl_req_restart(ctrl->parked.head);
        n++;
    }
    do {
        look_up_tails(ctrl);
        got = 0;
        while (n + got < max && can_fetch(ctrl) &&
               has_work(ctrl, ctrl->sqs[0])) {
            unsigned taken = take(ctrl, ctrl->sqs[0], max - n - got);

            if (!taken) {
                break;
            }
            got += taken;
        }
        if (can_fetch(ctrl)) {
            got += take_io(ctrl, max - n - got);
        }
        n += got;
    } while (got && n < max && can_fetch(ctrl));
    return n;
}

void sn_ctrl_fetch(void *opaque)
{
    SnCtrl *ctrl = opaque;
    unsigned n = 0;
    bool again;

    if (ctrl->fetching) {
        sn_ctrl_wake(ctrl);     /* from a completion: afterwards */
        return;
    }
    if (!can_fetch(ctrl)) {
        return;
    }
    ctrl->fetching = true;
    ctrl->batch_now = 0;
    do {
        n += fetch_some(ctrl, MAX_AT_ONCE - n);
        again = can_fetch(ctrl) && n < MAX_AT_ONCE && has_missed_some(ctrl);
    } while (again);
    sn_ctrl_kick(ctrl);
    ctrl->fetching = false;
    sn_ctrl_notify(ctrl);
    if (n >= MAX_AT_ONCE) {
        sn_ctrl_wake(ctrl);
    }
}

void sn_ctrl_wake(SnCtrl *ctrl)
{
    ctrl->loop->bh_schedule(ctrl->fetch_bh);
}
