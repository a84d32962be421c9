/*
 * Event loop services that the boxes of the card run on.
 *
 * A card and all it owns run in one thread. The boxes never include QEMU, so
 * they get their timers and bottom halves from this table. There are two
 * implementations: QEMU's main loop (hw/smartnic/qemu/loop.c) and a loop with
 * virtual time for unit tests (tests/unit/test-loop.c).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_LOOP_H
#define SMARTNIC_LOOP_H

#include <stdint.h>

typedef struct SnTimer SnTimer;
typedef struct SnBh SnBh;
typedef struct SnLoop SnLoop;

typedef void SnLoopFunc(void *opaque);

/* Pass to timer_set() to disarm a timer. */
#define SN_TIMER_NEVER INT64_MAX

struct SnLoop {
    /* Nanoseconds of a clock that never stops and never goes back. */
    int64_t (*now)(SnLoop *loop);

    /* A new, disarmed timer; the caller owns it and frees it. */
    SnTimer *(*timer_new)(SnLoop *loop, SnLoopFunc *cb, void *opaque);
    /* Fires once at @deadline (the clock of now()); replaces the old one. */
    void (*timer_set)(SnTimer *timer, int64_t deadline);
    void (*timer_free)(SnTimer *timer);

    /*
     * A bottom half: @cb runs once, soon, from the loop itself and never
     * from inside bh_schedule(). Scheduling it twice before it ran is one run.
     */
    SnBh *(*bh_new)(SnLoop *loop, SnLoopFunc *cb, void *opaque);
    void (*bh_schedule)(SnBh *bh);
    /* Also takes back a run that is scheduled. May be called from @cb. */
    void (*bh_free)(SnBh *bh);
};

#define SN_NS_PER_MS 1000000LL
#define SN_NS_PER_S  1000000000LL

static inline int64_t sn_loop_now(SnLoop *loop)
{
    return loop->now(loop);
}

static inline void sn_timer_arm_in(SnLoop *loop, SnTimer *timer, int64_t ns)
{
    loop->timer_set(timer, loop->now(loop) + ns);
}

static inline void sn_timer_disarm(SnLoop *loop, SnTimer *timer)
{
    loop->timer_set(timer, SN_TIMER_NEVER);
}

#endif
