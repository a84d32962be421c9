/*
 * The NVMe/TCP initiator: every step of connecting against a target that falls
 * silent in it, and the end of an association: an orderly shutdown, and the
 * fence between writes of a lost association and those of the next.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "nvme-world.h"

#define assert_error(w, text) \
    g_test_message("%s", sn_volume_last_error((w)->vol)); \
    g_assert_nonnull(strstr(sn_volume_last_error((w)->vol), text))

/* What each PDU of the target belongs to: data and response are two. */
static const char *const step_names[] = {
    "connecting", "Fabrics Connect", "reading CAP", "enabling the controller",
    "waiting for CSTS.RDY", "Identify Controller", "Identify Controller",
    "identifying limits", "identifying limits", "Identify Namespace",
    "Identify Namespace", "identifying the namespace",
    "identifying the namespace", "reading the ANA log", "reading the ANA log",
    "asking for retry delays", "asking for events", "asking for queues",
    "connecting I/O queues", "connecting I/O queues",
    "connecting I/O queues", "connecting I/O queues",
};

static World *rich_world(void)
{
    World *w = world_new(1);

    w->d->limits = true;
    w->d->ana_state = 1;
    w->d->crdt = 5;
    return w;
}

static void test_silence_in_each_step(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(step_names); i++) {
        World *w = rich_world();
        g_autofree char *text = g_strdup_printf("%s took longer than 10 s",
                                                step_names[i]);

        w->d->answers = i;
        world_open(w, "queues=2&keep-alive-tmo=0");
        test_loop_advance(w->loop, 9 * SN_NS_PER_S);
        g_assert_cmpstr(sn_volume_last_error(w->vol), ==, "");
        test_loop_advance(w->loop, 2 * SN_NS_PER_S);
        assert_error(w, text);
        g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_CONNECTING);
        w->d->answers = UINT32_MAX;
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 15));
        world_free(w);
    }
}

/* Stopping in any step leaves nothing behind, and starting again works. */
static void test_close_in_each_step(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(step_names); i++) {
        World *w = rich_world();

        w->d->answers = i;
        world_open(w, "queues=2");
        test_loop_advance(w->loop, SN_NS_PER_S);
        sn_volume_close(w->vol);
        w->d->answers = UINT32_MAX;
        world_open_ready(w, "queues=2");
        world_free(w);
    }
}

/* A connection that ends in any step is told with that step. */
static void test_end_in_each_step(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(step_names); i++) {
        World *w = rich_world();
        g_autofree char *text = g_strdup_printf("(while %s)", step_names[i]);

        w->d->answers = i;
        world_open(w, "queues=2&keep-alive-tmo=0");
        test_loop_advance(w->loop, SN_NS_PER_S);
        memory_net_end_all(w->d->net, i % 2 ? 0 : -ECONNRESET);
        test_loop_run_bhs(w->loop);
        assert_error(w, text);
        w->d->answers = UINT32_MAX;
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 15));
        world_free(w);
    }
}

static void test_cap_to(void)
{
    World *w = world_new(1);

    w->d->not_ready = UINT32_MAX;
    w->d->cap_to = 50;
    world_open(w, "keep-alive-tmo=0");
    test_loop_advance(w->loop, 24 * SN_NS_PER_S);
    g_assert_cmpstr(sn_volume_last_error(w->vol), ==, "");
    test_loop_advance(w->loop, 2 * SN_NS_PER_S);
    assert_error(w, "waiting for CSTS.RDY took longer than 25 s");
    world_free(w);
}

static void test_limits(void)
{
    World *w = world_new(1);

    world_open_ready(w, "");
    g_assert_cmpuint(sn_volume_info(w->vol)->max_discard, ==, 512ull << 31);
    g_assert_cmpuint(sn_volume_info(w->vol)->nvme.max_verify, ==, 0);
    g_assert_cmpuint(sn_volume_info(w->vol)->nvme.max_write_uncor, ==, 0);
    world_free(w);

    w = world_new(1);
    w->d->limits = true;
    w->d->crdt = 5;
    world_open_ready(w, "");
    g_assert_cmpuint(sn_volume_info(w->vol)->max_discard, ==, 800 * 512);
    g_assert_cmpuint(sn_volume_info(w->vol)->max_write_zeroes, ==, 4 * 4096);
    g_assert_cmpuint(sn_volume_info(w->vol)->nvme.max_verify, ==, 65536);
    g_assert_cmpuint(sn_volume_info(w->vol)->nvme.max_write_uncor, ==, 32768);
    g_assert_true(w->d->behavior);
    g_assert_cmphex(w->d->event_config, ==, 1 << 8);
    world_free(w);
}

static void test_unusable_namespaces(void)
{
    static const struct {
        uint8_t pi_type, block_shift, csi;
        uint16_t metadata;
        const char *text;
    } cases[] = {
        { 0, 9, 0, 8, "formatted with metadata (8 bytes per block)" },
        { 1, 9, 0, 8, "formatted with protection information (type 1)" },
        { 0, 13, 0, 0, "neither 512 nor 4096 bytes (LBADS is 13)" },
        { 0, 8, 0, 0, "neither 512 nor 4096 bytes (LBADS is 8)" },
        { 0, 9, 2, 0, "it is zoned (command set 2)" },
        { 0, 9, 1, 0, "it is a key value store (command set 1)" },
        { 0, 9, 77, 0, "it is no block device (command set 77)" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = world_new(1);

        w->d->pi_type = cases[i].pi_type;
        w->d->block_shift = cases[i].block_shift;
        w->d->csi = cases[i].csi;
        w->d->metadata = cases[i].metadata;
        world_open(w, "");
        world_settle(w);
        g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_FAILED);
        assert_error(w, cases[i].text);
        world_free(w);
    }
}

/* The target is told of the end when there is somebody to tell. */
static void test_shutdown(void)
{
    World *w = world_new(1);

    world_open_ready(w, "");
    sn_volume_close(w->vol);
    g_assert_cmpuint(w->d->shutdowns, ==, 1);

    /* The admin queue is well when an I/O queue is lost. */
    world_open_ready(w, "queues=2");
    nvme_double_end_io(w->d, -ECONNRESET);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    g_assert_cmpuint(w->d->shutdowns, ==, 2);

    /* Nobody listens. */
    memory_net_end_all(w->d->net, 0);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    sn_volume_close(w->vol);
    g_assert_cmpuint(w->d->shutdowns, ==, 2);
    w->d->net->stalled = true;
    world_open(w, "");
    test_loop_advance(w->loop, SN_NS_PER_S);
    world_free(w);
}

typedef struct FenceCase {
    SnIoOp op;                  /* in flight at the loss */
    bool cancel;
    bool tbkas;
    enum { ALL_CLOSED, IO_CLOSED, TIMED_OUT } how;
    uint16_t cqt;
    unsigned least, most;       /* ms from the loss until READY */
    uint16_t kas;               /* 100 ms; 0: finer than matters */
} FenceCase;

/* The keep alive timeout is 4 s, the loss is 9 s after connecting. */
static const FenceCase fence_cases[] = {
    /* What the target ended is over within CQT. */
    { SN_IO_WRITE, false, false, ALL_CLOSED, 700, 700, 800 },
    { SN_IO_WRITE, true, false, ALL_CLOSED, 700, 700, 800 },
    { SN_IO_WRITE_ZEROES, false, false, ALL_CLOSED, 700, 700, 800 },
    { SN_IO_DISCARD, false, false, ALL_CLOSED, 700, 700, 800 },
    /* Otherwise it has to notice first: the last Keep Alive was at 8 s. */
    { SN_IO_WRITE, false, false, IO_CLOSED, 700, 3600, 3800 },
    { SN_IO_WRITE, false, false, TIMED_OUT, 700, 3600, 3800 },
    { SN_IO_WRITE, false, true, TIMED_OUT, 700, 8600, 8800 },
    /* The timeout is rounded up to 10 s, or to 4.2 s. */
    { SN_IO_WRITE, false, false, TIMED_OUT, 700, 9600, 9800, 100 },
    { SN_IO_WRITE, false, true, TIMED_OUT, 700, 9000, 9200, 6 },
    /* Nothing to fence, or no promise of an end. */
    { SN_IO_READ, false, false, TIMED_OUT, 700, 0, 100 },
    { SN_IO_FLUSH, false, false, TIMED_OUT, 700, 0, 100 },
    { SN_IO_WRITE, false, false, TIMED_OUT, 0, 0, 100 },
};

static void run_fence(const FenceCase *c)
{
    World *w = world_new(1);
    Req r = { 0 };
    uint8_t block[512] = { 1 };
    int64_t lost;
    unsigned ms;

    w->d->cqt = c->cqt;
    w->d->kas = MAX(c->kas, 1);
    w->d->tbkas = c->tbkas;
    world_open_ready(w, "keep-alive-tmo=4");
    test_loop_advance(w->loop, 9 * SN_NS_PER_S);
    w->d->hold = true;
    req_submit(w, &r, c->op, 0, 0, c->op == SN_IO_FLUSH ? 0 : 512, block,
               w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_cmpuint(nvme_double_pending(w->d), ==, 1);
    if (c->cancel) {
        req_cancel(&r);
    }
    if (c->how == ALL_CLOSED) {
        memory_net_end_all(w->d->net, 0);
    } else {
        nvme_double_end_io(w->d, c->how == TIMED_OUT ? -ETIMEDOUT : 0);
    }
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    lost = sn_loop_now(w->loop);
    nvme_double_release(w->d);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 20));
    ms = (sn_loop_now(w->loop) - lost) / SN_NS_PER_MS;
    g_assert_cmpuint(ms, >=, c->least);
    g_assert_cmpuint(ms, <=, c->most);
    world_settle(w);
    g_assert_false(r.busy);
    req_clear(&r);

    /* Once is enough. */
    memory_net_end_all(w->d->net, 0);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    lost = sn_loop_now(w->loop);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 1));
    world_free(w);
}

static void test_fence(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fence_cases); i++) {
        g_test_message("case %u", i);
        run_fence(&fence_cases[i]);
    }
}

/* The fence survives a try that fails, and closing while it holds. */
static void test_fence_again(void)
{
    World *w = world_new(1);
    Req r = { 0 };
    uint8_t block[512] = { 1 };
    int64_t lost;

    w->d->cqt = 9000;
    world_open_ready(w, "");
    w->d->hold = true;
    req_submit(w, &r, SN_IO_WRITE, 0, 0, 512, block, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    memory_net_end_all(w->d->net, -ECONNRESET);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    lost = sn_loop_now(w->loop);
    test_loop_advance(w->loop, 3 * SN_NS_PER_S);
    memory_net_end_all(w->d->net, -ECONNRESET);
    world_settle(w);
    assert_error(w, "(while waiting for writes of the lost connection)");
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_LOST);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 20));
    g_assert_cmpint(sn_loop_now(w->loop) - lost, >=, 9 * SN_NS_PER_S);
    g_assert_cmpint(sn_loop_now(w->loop) - lost, <=, 12 * SN_NS_PER_S);
    world_settle(w);
    memory_net_end_all(w->d->net, -ECONNRESET);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    test_loop_advance(w->loop, SN_NS_PER_S);
    req_cancel(&r);
    world_free(w);

    /* Closed while it is seen whether the other queues end as well. */
    w = world_new(1);
    w->d->cqt = 9000;
    world_open_ready(w, "queues=2");
    w->d->hold = true;
    req_submit(w, &r, SN_IO_WRITE, 0, 0, 512, block, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    nvme_double_end_io(w->d, 0);
    world_settle(w);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
    req_cancel(&r);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme-tcp/steps/silence", test_silence_in_each_step);
    g_test_add_func("/nvme-tcp/steps/close", test_close_in_each_step);
    g_test_add_func("/nvme-tcp/steps/end", test_end_in_each_step);
    g_test_add_func("/nvme-tcp/steps/cap-to", test_cap_to);
    g_test_add_func("/nvme-tcp/steps/limits", test_limits);
    g_test_add_func("/nvme-tcp/steps/unusable-namespaces",
                    test_unusable_namespaces);
    g_test_add_func("/nvme-tcp/end/shutdown", test_shutdown);
    g_test_add_func("/nvme-tcp/end/fence", test_fence);
    g_test_add_func("/nvme-tcp/end/fence-again", test_fence_again);
    return g_test_run();
}
