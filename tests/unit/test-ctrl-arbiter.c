/*
 * Unit tests of the NVMe controller's arbitration: which submission queue is
 * next.
 *
 * The backend of the volume holds what it gets, in order, so the order in which
 * commands were fetched is seen there: each queue reads blocks of its own.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-world.h"

#define WRR (1u << NVME_CC_AMS_SHIFT)
#define NO_LIMIT 7              /* arbitration burst */

enum { URGENT, HIGH, MEDIUM, LOW };

typedef struct Bed {
    World *w;
    WorldBackend *be;
} Bed;

/* Feature 01h; the weights as they are meant, not less one. */
static void set_arbitration(World *w, unsigned burst, unsigned high,
                            unsigned medium, unsigned low)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_set_features,
        .cdw10 = NVME_FEAT_FID_ARBITRATION,
        .cdw11 = (high - 1) << 24 | (medium - 1) << 16 | (low - 1) << 8 |
                 burst,
    };

    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
}

/* Queues 1 to @n with priorities @prios. */
static Bed bed_new(uint32_t cc, unsigned n, const unsigned *prios)
{
    World *w = world_new_with(&(SnCtrlConfig){ .entries = 1024 });
    WorldBackend *be = world_add_scripted(w, 1);

    be->info.queue_depth = WORLD_IN_FLIGHT;
    wb_ready(be);
    world_enable_cc(w, cc);
    for (unsigned i = 0; i < n; i++) {
        world_create_queue(w, i + 1, 1024, prios[i]);
    }
    return (Bed){ w, be };
}

static void push(Bed *b, unsigned qid, unsigned n)
{
    SnNvmeSqe sqe = world_rw(nvme_cmd_read, 1, qid, 1, 0x1000, 0);

    while (n--) {
        world_push(b->w, qid, &sqe);
    }
    world_ring(b->w, qid);
}

/* What is pushed comes while nothing is fetched. */
static void hold(Bed *b)
{
    world_set_running(b->w, false);
}

static void let_go(Bed *b)
{
    world_set_running(b->w, true);
    world_run(b->w);
}

/* The queues of the commands that the backend has, as digits. */
static void expect_order(Bed *b, const char *digits)
{
    g_autoptr(GString) got = g_string_new(NULL);

    for (unsigned i = 0; i < b->be->n; i++) {
        g_string_append_printf(got, "%u", (unsigned)(b->be->ios[i]->offset /
                                                     WORLD_BLOCK));
    }
    g_assert_cmpstr(got->str, ==, digits);
}

/* ------------------------------------------------------- round robin */

static void test_round_robin(void)
{
    Bed b = bed_new(0, 3, (unsigned[]){ LOW, URGENT, HIGH });

    /* Priorities mean nothing here. */
    set_arbitration(b.w, 0, 1, 1, 1);
    hold(&b);
    push(&b, 1, 4);
    push(&b, 2, 2);
    push(&b, 3, 3);
    let_go(&b);
    expect_order(&b, "123123131");
    world_free(b.w);
}

static void test_burst(void)
{
    static const struct {
        unsigned burst;
        const char *order;
    } cases[] = {
        { 0, "1212121212111" },
        { 1, "1122112211211" },
        { 2, "1111222211112" },
        { NO_LIMIT, "1111111122222" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Bed b = bed_new(0, 2, (unsigned[]){ LOW, LOW });

        set_arbitration(b.w, cases[i].burst, 1, 1, 1);
        hold(&b);
        push(&b, 1, 8);
        push(&b, 2, 5);
        let_go(&b);
        expect_order(&b, cases[i].order);
        world_free(b.w);
    }
}

/* Who was served last is last in the next turn as well. */
static void test_turn_goes_on(void)
{
    Bed b = bed_new(0, 3, (unsigned[]){ LOW, LOW, LOW });

    set_arbitration(b.w, 0, 1, 1, 1);
    push(&b, 1, 1);
    world_run(b.w);
    wb_done_all(b.be, 0);
    world_run(b.w);
    hold(&b);
    push(&b, 1, 1);
    push(&b, 2, 1);
    push(&b, 3, 1);
    let_go(&b);
    expect_order(&b, "231");
    world_free(b.w);
}

/* ------------------------------------------------------- weighted */

static void test_urgent_first(void)
{
    Bed b = bed_new(WRR, 4, (unsigned[]){ LOW, MEDIUM, HIGH, URGENT });

    set_arbitration(b.w, 0, 256, 256, 256);
    hold(&b);
    for (unsigned qid = 1; qid <= 4; qid++) {
        push(&b, qid, 3);
    }
    let_go(&b);
    expect_order(&b, "444333222111");
    world_free(b.w);
}

static void test_weights(void)
{
    Bed b = bed_new(WRR, 3, (unsigned[]){ LOW, MEDIUM, HIGH });

    set_arbitration(b.w, 0, 4, 2, 1);
    hold(&b);
    for (unsigned qid = 1; qid <= 3; qid++) {
        push(&b, qid, 8);
    }
    let_go(&b);
    expect_order(&b, "333322133332212212211111");
    world_free(b.w);
}

/* A burst is not longer than what the weight leaves. */
static void test_weight_limits_burst(void)
{
    Bed b = bed_new(WRR, 2, (unsigned[]){ HIGH, LOW });

    set_arbitration(b.w, NO_LIMIT, 3, 1, 2);
    hold(&b);
    push(&b, 1, 7);
    push(&b, 2, 5);
    let_go(&b);
    expect_order(&b, "111221112212");
    world_free(b.w);
}

/* Two queues of one priority share its weight. */
static void test_same_priority(void)
{
    Bed b = bed_new(WRR, 3, (unsigned[]){ HIGH, HIGH, LOW });

    set_arbitration(b.w, 0, 4, 1, 1);
    hold(&b);
    for (unsigned qid = 1; qid <= 3; qid++) {
        push(&b, qid, 4);
    }
    let_go(&b);
    expect_order(&b, "121231212333");
    world_free(b.w);
}

/* A queue that is made anew has the priority that it is made with. */
static void test_new_priority(void)
{
    Bed b = bed_new(WRR, 2, (unsigned[]){ URGENT, HIGH });
    SnNvmeSqe del = { .opcode = nvme_admin_delete_sq, .cdw10 = 1 };

    g_assert_cmphex(world_admin_status(b.w, &del), ==, 0);
    del.opcode = nvme_admin_delete_cq;
    g_assert_cmphex(world_admin_status(b.w, &del), ==, 0);
    world_create_queue(b.w, 1, 1024, LOW);
    set_arbitration(b.w, 0, 256, 1, 1);
    hold(&b);
    push(&b, 1, 3);
    push(&b, 2, 3);
    let_go(&b);
    expect_order(&b, "222111");
    world_free(b.w);
}

/* With a slow volume, priorities decide who gets the place that is free. */
static void test_urgent_overtakes(void)
{
    Bed b = bed_new(WRR, 3, (unsigned[]){ LOW, LOW, URGENT });

    push(&b, 1, 1000);
    push(&b, 2, 1000);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 1024);
    push(&b, 3, 2);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 1024);
    for (unsigned i = 0; i < 3; i++) {
        wb_done(b.be, 0, 0);
        world_run(b.w);
    }
    g_assert_cmpuint(b.be->ios[1021]->offset, ==, 3 * WORLD_BLOCK);
    g_assert_cmpuint(b.be->ios[1022]->offset, ==, 3 * WORLD_BLOCK);
    g_assert_cmpuint(b.be->ios[1023]->offset, !=, 3 * WORLD_BLOCK);
    world_free(b.w);
}

/* ------------------------------------------------------- limits */

static void test_admin_first(void)
{
    Bed b = bed_new(0, 1, (unsigned[]){ URGENT });
    SnNvmeSqe sqe = { .opcode = nvme_admin_delete_sq, .cdw10 = 1 };
    SnNvmeCqe cqe;

    hold(&b);
    push(&b, 1, 5);
    world_submit(b.w, 0, &sqe);
    let_go(&b);
    cqe = world_wait_cqe(b.w, 0);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmpuint(b.be->submits, ==, 0);
    world_free(b.w);
}

/* A queue that never ends does not keep the loop from going on. */
static void test_pause_between(void)
{
    Bed b = bed_new(0, 1, (unsigned[]){ LOW });

    push(&b, 1, 700);
    g_assert_cmpuint(b.be->submits, <=, 256);
    g_assert_cmpuint(b.be->kicks, <=, 1);
    world_run(b.w);
    g_assert_cmpuint(b.be->submits, ==, 700);
    g_assert_cmpuint(b.be->kicks, ==, 3);
    world_free(b.w);
}

static void test_one_kick(void)
{
    World *w = world_new();
    WorldBackend *a = world_add_scripted_ready(w, 1);
    WorldBackend *b = world_add_scripted_ready(w, 256);
    WorldBackend *c = world_add_scripted_ready(w, 64);

    world_enable(w);
    world_create_queues(w, 1, 64);
    for (unsigned i = 0; i < 20; i++) {
        SnNvmeSqe sqe = world_rw(nvme_cmd_read, i & 1 ? 1 : 256, i, 1, 0x1000,
                                 0);

        world_push(w, 1, &sqe);
    }
    world_ring(w, 1);
    world_run(w);
    g_assert_cmpuint(a->n, ==, 10);
    g_assert_cmpuint(b->n, ==, 10);
    g_assert_cmpuint(a->kicks, ==, 1);
    g_assert_cmpuint(b->kicks, ==, 1);
    g_assert_cmpuint(c->kicks, ==, 0);
    world_free(w);
}

/* A command that goes on from one volume to the next: that leaves as well. */
static void test_kick_of_next_step(void)
{
    World *w = world_new();
    WorldBackend *a = world_add_scripted_ready(w, 1);
    WorldBackend *b = world_add_scripted_ready(w, 2);
    SnNvmeSqe sqe = { .opcode = nvme_cmd_flush, .nsid = UINT32_MAX };

    world_enable(w);
    world_create_queues(w, 1, 64);
    world_submit(w, 1, &sqe);
    world_run(w);
    for (unsigned i = 0; a->n + b->n; i++) {
        g_assert_cmpuint(i, <, 2);
        g_assert_cmpuint(a->kicks, ==, a->submits);
        g_assert_cmpuint(b->kicks, ==, b->submits);
        wb_done_all(a->n ? a : b, 0);
        world_run(w);
    }
    g_assert_cmpuint(a->submits + b->submits, ==, 2);
    world_wait_cqe(w, 1);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-arbiter/round-robin", test_round_robin);
    g_test_add_func("/ctrl-arbiter/burst", test_burst);
    g_test_add_func("/ctrl-arbiter/turn-goes-on", test_turn_goes_on);
    g_test_add_func("/ctrl-arbiter/urgent-first", test_urgent_first);
    g_test_add_func("/ctrl-arbiter/weights", test_weights);
    g_test_add_func("/ctrl-arbiter/weight-limits-burst",
                    test_weight_limits_burst);
    g_test_add_func("/ctrl-arbiter/same-priority", test_same_priority);
    g_test_add_func("/ctrl-arbiter/new-priority", test_new_priority);
    g_test_add_func("/ctrl-arbiter/urgent-overtakes", test_urgent_overtakes);
    g_test_add_func("/ctrl-arbiter/admin-first", test_admin_first);
    g_test_add_func("/ctrl-arbiter/pause-between", test_pause_between);
    g_test_add_func("/ctrl-arbiter/one-kick", test_one_kick);
    g_test_add_func("/ctrl-arbiter/kick-of-next-step",
                    test_kick_of_next_step);
    return g_test_run();
}
