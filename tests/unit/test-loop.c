/*
 * An SnLoop with virtual time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "test-loop.h"

typedef struct TestLoop {
    SnLoop loop;
    int64_t now;
    GList *timers;
    GList *bhs;
} TestLoop;

struct SnTimer {
    TestLoop *tl;
    SnLoopFunc *cb;
    void *opaque;
    int64_t deadline;
};

struct SnBh {
    TestLoop *tl;
    SnLoopFunc *cb;
    void *opaque;
    bool scheduled;
};

static int64_t tl_now(SnLoop *loop)
{
    return ((TestLoop *)loop)->now;
}

static SnTimer *tl_timer_new(SnLoop *loop, SnLoopFunc *cb, void *opaque)
{
    TestLoop *tl = (TestLoop *)loop;
    SnTimer *t = g_new0(SnTimer, 1);

    *t = (SnTimer){ tl, cb, opaque, SN_TIMER_NEVER };
    tl->timers = g_list_append(tl->timers, t);
    return t;
}

static void tl_timer_set(SnTimer *t, int64_t deadline)
{
    t->deadline = deadline;
}

static void tl_timer_free(SnTimer *t)
{
    t->tl->timers = g_list_remove(t->tl->timers, t);
    g_free(t);
}

static SnBh *tl_bh_new(SnLoop *loop, SnLoopFunc *cb, void *opaque)
{
    TestLoop *tl = (TestLoop *)loop;
    SnBh *bh = g_new0(SnBh, 1);

    *bh = (SnBh){ tl, cb, opaque, false };
    tl->bhs = g_list_append(tl->bhs, bh);
    return bh;
}

static void tl_bh_schedule(SnBh *bh)
{
    bh->scheduled = true;
}

static void tl_bh_free(SnBh *bh)
{
    bh->tl->bhs = g_list_remove(bh->tl->bhs, bh);
    g_free(bh);
}

SnLoop *test_loop_new(void)
{
    TestLoop *tl = g_new0(TestLoop, 1);

    tl->now = SN_NS_PER_S;
    tl->loop = (SnLoop){
        .now = tl_now,
        .timer_new = tl_timer_new,
        .timer_set = tl_timer_set,
        .timer_free = tl_timer_free,
        .bh_new = tl_bh_new,
        .bh_schedule = tl_bh_schedule,
        .bh_free = tl_bh_free,
    };
    return &tl->loop;
}

void test_loop_free(SnLoop *loop)
{
    TestLoop *tl = (TestLoop *)loop;

    g_assert_null(tl->timers);
    g_assert_null(tl->bhs);
    g_free(tl);
}

static bool run_one_bh(TestLoop *tl)
{
    for (GList *l = tl->bhs; l; l = l->next) {
        SnBh *bh = l->data;

        if (bh->scheduled) {
            bh->scheduled = false;
            bh->cb(bh->opaque);
            return true;
        }
    }
    return false;
}

static SnTimer *first_timer(TestLoop *tl)
{
    SnTimer *first = NULL;

    for (GList *l = tl->timers; l; l = l->next) {
        SnTimer *t = l->data;

        if (!first || t->deadline < first->deadline) {
            first = t;
        }
    }
    return first;
}

void test_loop_run_bhs(SnLoop *loop)
{
    while (run_one_bh((TestLoop *)loop)) {
        /* a bottom half may schedule another */
    }
}

int64_t test_loop_next_deadline(SnLoop *loop)
{
    SnTimer *t = first_timer((TestLoop *)loop);

    return t ? t->deadline : SN_TIMER_NEVER;
}

/* Runs what is due first. False when nothing is due until @end. */
static bool step(TestLoop *tl, int64_t end)
{
    SnTimer *t;

    if (run_one_bh(tl)) {
        return true;
    }
    t = first_timer(tl);
    if (!t || t->deadline > end) {
        return false;
    }
    tl->now = MAX(tl->now, t->deadline);
    t->deadline = SN_TIMER_NEVER;
    t->cb(t->opaque);
    return true;
}

void test_loop_advance(SnLoop *loop, int64_t ns)
{
    TestLoop *tl = (TestLoop *)loop;
    int64_t end = tl->now + ns;

    while (step(tl, end)) {
        /* until nothing is due */
    }
    tl->now = end;
}

bool test_loop_run_until(SnLoop *loop, bool (*done)(void *), void *opaque,
                         int64_t ns)
{
    TestLoop *tl = (TestLoop *)loop;
    int64_t end = tl->now + ns;

    while (!done(opaque)) {
        if (!step(tl, end)) {
            return false;
        }
    }
    return true;
}
