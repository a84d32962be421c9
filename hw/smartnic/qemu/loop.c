/*
 * SnLoop on QEMU's main loop.
 *
 * Timers use the realtime clock: the card is a computer of its own and does
 * not stop when the guest's vCPUs do.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"

#include "loop.h"

struct SnTimer {
    QEMUTimer qtimer;
};

/*
 * A QEMUBH may be freed while it runs, and so may the SnBh around it:
 * trampoline() does not touch it after the callback.
 */
struct SnBh {
    QEMUBH *qbh;
    SnLoopFunc *cb;
    void *opaque;
};

static int64_t loop_now(SnLoop *loop)
{
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

static SnTimer *loop_timer_new(SnLoop *loop, SnLoopFunc *cb, void *opaque)
{
    SnTimer *timer = g_new0(SnTimer, 1);

    timer_init_ns(&timer->qtimer, QEMU_CLOCK_REALTIME, cb, opaque);
    return timer;
}

static void loop_timer_set(SnTimer *timer, int64_t deadline)
{
    if (deadline == SN_TIMER_NEVER) {
        timer_del(&timer->qtimer);
    } else {
        timer_mod_ns(&timer->qtimer, deadline);
    }
}

static void loop_timer_free(SnTimer *timer)
{
    timer_del(&timer->qtimer);
    g_free(timer);
}

static void trampoline(void *opaque)
{
    SnBh *bh = opaque;

    bh->cb(bh->opaque);
}

static SnBh *loop_bh_new(SnLoop *loop, SnLoopFunc *cb, void *opaque)
{
    SnBh *bh = g_new0(SnBh, 1);

    bh->cb = cb;
    bh->opaque = opaque;
    bh->qbh = qemu_bh_new(trampoline, bh);
    return bh;
}

static void loop_bh_schedule(SnBh *bh)
{
    qemu_bh_schedule(bh->qbh);
}

static void loop_bh_free(SnBh *bh)
{
    qemu_bh_delete(bh->qbh);
    g_free(bh);
}

static SnLoop qemu_loop = {
    .now = loop_now,
    .timer_new = loop_timer_new,
    .timer_set = loop_timer_set,
    .timer_free = loop_timer_free,
    .bh_new = loop_bh_new,
    .bh_schedule = loop_bh_schedule,
    .bh_free = loop_bh_free,
};

SnLoop *sn_qemu_loop(void)
{
    return &qemu_loop;
}
