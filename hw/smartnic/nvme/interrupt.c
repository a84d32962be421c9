/*
 * Interrupts (NVMe Base 1.4 section 7.5): one for a batch of completion
 * entries, and as many fewer as the guest has asked for.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#define COALESCE_UNIT (100 * 1000LL)    /* ns: feature 08h counts 100 us */

/* The lowest bit of @set, which is not empty; takes it out. */
static unsigned take_bit(uint64_t set[2])
{
    unsigned word = set[0] ? 0 : 1;
    unsigned bit = __builtin_ctzll(set[word]);

    set[word] &= set[word] - 1;
    return word * 64 + bit;
}

static bool is_masked(const SnCtrl *ctrl, const SnCtrlCq *cq)
{
    return ctrl->interrupts != SN_CTRL_MSIX && cq->vector < 32 &&
           ctrl->intms >> cq->vector & 1;
}

static bool wants_pin(SnCtrl *ctrl, SnCtrlCq *cq)
{
    if (is_masked(ctrl, cq)) {
        return false;
    }
    sn_ctrl_dbbuf_cq_head(ctrl, cq);
    return cq->head != cq->tail;
}

void sn_ctrl_update_pin(SnCtrl *ctrl)
{
    uint64_t todo[2] = { ctrl->interrupting[0], ctrl->interrupting[1] };
    bool may = ctrl->running && ctrl->state == SN_CTRL_READY;
    bool level = false;

    if (ctrl->interrupts != SN_CTRL_PIN) {
        return;
    }
    while (may && !level && (todo[0] | todo[1])) {
        level = wants_pin(ctrl, ctrl->cqs[take_bit(todo)]);
    }
    if (level != ctrl->pin) {
        ctrl->pin = level;
        ctrl->config.ops->set_pin(ctrl->config.opaque, level);
    }
}

void sn_ctrl_use_interrupts(SnCtrl *ctrl, SnCtrlInterrupts interrupts)
{
    ctrl->interrupts = interrupts;
    if (interrupts != SN_CTRL_PIN && ctrl->pin) {
        ctrl->pin = false;
        ctrl->config.ops->set_pin(ctrl->config.opaque, false);
    }
    sn_ctrl_update_pin(ctrl);
}

/* Feature 08h and 09h; never for the admin queue. */
static bool may_wait(const SnCtrl *ctrl, const SnCtrlCq *cq)
{
    uint32_t f = ctrl->features.coalescing;

    return cq->id && (f >> 8 & 0xff) &&
           !ctrl->features.coalescing_off[cq->vector] &&
           cq->since_interrupt < (f & 0xff) + 1;
}

static void send(SnCtrl *ctrl, bool all)
{
    uint64_t todo[2] = { ctrl->unnotified[0], ctrl->unnotified[1] };
    uint64_t vectors[2] = { 0, 0 };
    bool waits = false;

    while (todo[0] | todo[1]) {
        SnCtrlCq *cq = ctrl->cqs[take_bit(todo)];

        if (is_masked(ctrl, cq)) {
            continue;           /* INTMC sends it */
        }
        if (!all && may_wait(ctrl, cq)) {
            waits = true;
            continue;
        }
        ctrl->unnotified[cq->id / 64] &= ~(UINT64_C(1) << cq->id % 64);
        cq->since_interrupt = 0;
        if (cq->interrupts) {
            vectors[cq->vector / 64] |= UINT64_C(1) << cq->vector % 64;
        }
    }
    if (waits && !ctrl->coalescing) {
        ctrl->coalescing = true;
        sn_timer_arm_in(ctrl->loop, ctrl->coalesce_timer,
                        (ctrl->features.coalescing >> 8 & 0xff) *
                        COALESCE_UNIT);
    }
    /* A message may be directed at registers that reset the controller. */
    while ((vectors[0] | vectors[1]) && ctrl->state != SN_CTRL_DISABLED &&
           ctrl->state != SN_CTRL_SHUT_DOWN) {
        ctrl->config.ops->notify(ctrl->config.opaque, take_bit(vectors));
    }
}

int64_t sn_ctrl_now(SnCtrl *ctrl)
{
    if (!ctrl->batch_now) {
        ctrl->batch_now = sn_loop_now(ctrl->loop);
    }
    return ctrl->batch_now;
}

void sn_ctrl_notify(SnCtrl *ctrl)
{
    if (ctrl->fetching) {
        return;                 /* comes at the end of it */
    }
    ctrl->batch_now = 0;
    if (!ctrl->running) {
        return;
    }
    send(ctrl, false);
    sn_ctrl_update_pin(ctrl);
}

void sn_ctrl_coalesced(void *opaque)
{
    SnCtrl *ctrl = opaque;

    ctrl->coalescing = false;
    if (ctrl->running) {
        send(ctrl, true);
    }
}

void sn_ctrl_interrupt_reset(SnCtrl *ctrl)
{
    ctrl->coalescing = false;
    sn_timer_disarm(ctrl->loop, ctrl->coalesce_timer);
    ctrl->config.ops->forget_messages(ctrl->config.opaque);
    if (ctrl->pin) {
        ctrl->pin = false;
        ctrl->config.ops->set_pin(ctrl->config.opaque, false);
    }
}
