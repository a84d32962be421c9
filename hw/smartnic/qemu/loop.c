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
#include "qemu/queue.h"
#include "qemu/timer.h"

#include "loop.h"

struct SnTimer {
    QEMUTimer qtimer;
    SnLoopFunc *cb;
    void *opaque;
};

struct SnBh {
    SnLoopFunc *cb;
    void *opaque;
    bool scheduled;
    bool once;                  /* freed before it is called */
    QTAILQ_ENTRY(SnBh) next;
};

/*
 * Bottom halves have a queue of their own, which one of QEMU's runs: what they
 * schedule in turn comes without a turn of the main loop, and its system calls,
 * in between. But others wait for that loop, and for the BQL: see RUN_NS.
 */
static QTAILQ_HEAD(, SnBh) scheduled = QTAILQ_HEAD_INITIALIZER(scheduled);
static QEMUBH *run_bh;
/*
 * How much is on the stack that bottom halves must not run inside of. QEMU's
 * may: where a guest's memory access ends in the reset of a device that waits
 * for its requests, that waits in a main loop of its own (aio_poll).
 */
static unsigned depth;

#define RUN_NS 50000            /* then the main loop gets its turn */

static int64_t loop_now(SnLoop *loop)
{
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

/* A timer may be freed by its callback. */
static void run_timer(void *opaque)
{
    SnTimer *timer = opaque;

    sn_qemu_loop_hold();
    timer->cb(timer->opaque);
    sn_qemu_loop_release();
}

static SnTimer *loop_timer_new(SnLoop *loop, SnLoopFunc *cb, void *opaque)
{
    SnTimer *timer = g_new0(SnTimer, 1);

    timer->cb = cb;
    timer->opaque = opaque;
    timer_init_ns(&timer->qtimer, QEMU_CLOCK_REALTIME, run_timer, timer);
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

/* A bottom half may be freed while it runs, and by others before. */
static void run_scheduled(void *opaque)
{
    int64_t end = get_clock() + RUN_NS;
    SnBh *bh;

    if (depth) {
        return;                 /* they run when that is over */
    }
    depth++;
    while ((bh = QTAILQ_FIRST(&scheduled)) && get_clock() < end) {
        SnLoopFunc *cb = bh->cb;
        void *arg = bh->opaque;

        QTAILQ_REMOVE(&scheduled, bh, next);
        bh->scheduled = false;
        if (bh->once) {
            g_free(bh);
        }
        cb(arg);
    }
    depth--;
    if (bh) {
        qemu_bh_schedule(run_bh);
    }
}

static SnBh *loop_bh_new(SnLoop *loop, SnLoopFunc *cb, void *opaque)
{
    SnBh *bh = g_new0(SnBh, 1);

    if (!run_bh) {
        run_bh = qemu_bh_new(run_scheduled, NULL);
    }
    bh->cb = cb;
    bh->opaque = opaque;
    return bh;
}

static void loop_bh_schedule(SnBh *bh)
{
    if (bh->scheduled) {
        return;
    }
    bh->scheduled = true;
    QTAILQ_INSERT_TAIL(&scheduled, bh, next);
    if (!depth) {
        qemu_bh_schedule(run_bh);
    }
}

static void loop_bh_free(SnBh *bh)
{
    if (bh->scheduled) {
        QTAILQ_REMOVE(&scheduled, bh, next);
    }
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

void sn_qemu_loop_once(SnLoopFunc *cb, void *opaque)
{
    SnBh *bh = loop_bh_new(&qemu_loop, cb, opaque);

    bh->once = true;
    loop_bh_schedule(bh);
}

void sn_qemu_loop_hold(void)
{
    depth++;
}

void sn_qemu_loop_release(void)
{
    if (!--depth && !QTAILQ_EMPTY(&scheduled)) {
        qemu_bh_schedule(run_bh);
    }
}

void sn_qemu_loop_enter(void)
{
    depth++;
}

void sn_qemu_loop_leave(void)
{
    if (!--depth && !QTAILQ_EMPTY(&scheduled)) {
        run_scheduled(NULL);
    }
}

SnLoop *sn_qemu_loop(void)
{
    return &qemu_loop;
}
