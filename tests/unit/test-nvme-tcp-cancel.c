/*
 * The NVMe/TCP initiator: writes that are cancelled while the target has them,
 * or still asks for their data.
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

static void write_submit(World *w, Req *r, uint64_t offset, uint32_t len,
                         uint8_t byte)
{
    g_autofree uint8_t *buf = g_malloc(len);

    memset(buf, byte, len);
    req_submit(w, r, SN_IO_WRITE, 0, offset, len, buf, w->d->rand);
    sn_volume_kick(w->vol);
}

/* Whether all of these bytes of the disk are the same. */
static bool disk_is(const World *w, uint64_t offset, uint32_t len,
                    uint8_t byte)
{
    const uint8_t *at = w->d->disk + offset;

    return *at == byte && !memcmp(at, at + 1, len - 1);
}

/* The target asks for the data only after it is gone: there is a copy. */
static void test_r2t_afterwards(void)
{
    static const char *const params[] = {
        "", "ddgst=on", "hdgst=on&queues=2", "queue-size=3",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(params); i++) {
        World *w = world_new(1);
        Req r = { 0 }, other = { 0 };

        w->d->r2t_max = 3 * 4096;
        world_open_ready(w, params[i]);
        w->d->hold = true;
        write_submit(w, &r, 0, 65536, 0x44);
        write_submit(w, &other, 131072, 65536, 0x45);
        world_settle(w);
        req_cancel(&r);
        nvme_double_release(w->d);
        test_loop_advance(w->loop, SN_NS_PER_S);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
        g_assert_true(disk_is(w, 0, 65536, 0x44));
        g_assert_false(other.busy);
        g_assert_cmpint(other.ret, ==, 0);
        g_assert_true(disk_is(w, 131072, 65536, 0x45));
        req_clear(&other);
        world_free(w);
    }
}

static bool count_down(void *opaque)
{
    return !(*(unsigned *)opaque)--;
}

/* A write whose data has left in part, at whatever place. */
static void test_in_the_middle(void)
{
    unsigned partly = 0;

    for (unsigned seed = 0; seed < 100; seed++) {
        World *w = world_new(seed);
        Req r = { 0 };
        unsigned turns = 2 * seed;

        w->d->r2t_max = seed % 2 ? UINT32_MAX : 8192;
        w->d->net->grain = 1460;
        world_open_ready(w, seed % 3 ? "queue-size=2" : "ddgst=on");
        write_submit(w, &r, 4096, 131072, 0x46);
        test_loop_run_until(w->loop, count_down, &turns, 0);
        if (r.busy) {
            partly += w->d->r2ts > 0;
            req_cancel(&r);
        }
        req_clear(&r);
        world_settle(w);
        g_assert_true(disk_is(w, 4096, 131072, 0x46));
        g_assert_cmpuint(nvme_double_pending(w->d), ==, 0);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
        world_free(w);
    }
    g_assert_cmpuint(partly, >, 10);
}

/* What a cancelled write may still do stays in sight, on any queue. */
static void newer_data_stays(const char *params)
{
    World *w = world_new(1);
    Req old = { 0 }, big = { 0 }, newer = { 0 };

    world_open_ready(w, params);
    w->d->hold = true;
    write_submit(w, &old, 0, 4096, 1);
    write_submit(w, &big, 65536, 65536, 2);
    world_settle(w);
    req_cancel(&old);
    req_cancel(&big);
    /* The target asks for the data of the one and still has the other. */
    w->d->hold_whole = true;
    w->d->hold = false;
    w->d->loop->bh_schedule(w->d->bh);
    write_submit(w, &newer, 0, 4096, 3);
    test_loop_advance(w->loop, SN_NS_PER_S);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    g_assert_cmpuint(w->d->commands[1], ==, 2);
    nvme_double_release(w->d);
    world_settle(w);
    g_assert_false(newer.busy);
    g_assert_true(disk_is(w, 0, 4096, 3));
    g_assert_true(disk_is(w, 65536, 65536, 2));
    req_clear(&newer);
    world_free(w);
}

static void test_newer_data_stays(void)
{
    newer_data_stays("");
    newer_data_stays("queues=2");
    newer_data_stays("queues=3");
}

/* The copies have a limit, beyond which the connection is given up. */
static void test_too_many(void)
{
    enum { LEN = 1 << 20, FIT = 32 };
    World *w = world_new(1);
    Req r[FIT + 1] = { 0 };

    w->d->mdts = 8;
    world_open_ready(w, "");
    for (unsigned more = 0; more < 2; more++) {
        w->d->hold = true;
        for (unsigned i = 0; i < FIT + more; i++) {
            write_submit(w, &r[i], 0, LEN, 0x47);
        }
        world_settle(w);
        for (unsigned i = 0; i < FIT + more; i++) {
            req_cancel(&r[i]);
        }
        nvme_double_release(w->d);
        test_loop_advance(w->loop, SN_NS_PER_S);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, more);
        g_assert_cmpuint(nvme_double_pending(w->d), ==, 0);
    }
    assert_error(w, "a write that was cancelled");
    world_free(w);
}

/* The path is lost, or given up for good, with copies that nobody asked for. */
static void test_loss(void)
{
    for (unsigned closed = 0; closed < 2; closed++) {
        World *w = world_new(1);
        Req r = { 0 };

        world_open_ready(w, "");
        w->d->hold = true;
        write_submit(w, &r, 0, 65536, 0x48);
        world_settle(w);
        req_cancel(&r);
        if (!closed) {
            memory_net_end_all(w->d->net, -ECONNRESET);
            g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
            g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
        }
        world_free(w);
    }
}

/* Aborts that are not answered end neither all others nor the connection. */
static void test_lost_aborts(void)
{
    World *w = world_new(1);
    Req r = { 0 };

    world_open_ready(w, "");
    w->d->lost_admin = 0x08;
    for (unsigned minutes = 0; minutes < 30; minutes++) {
        unsigned aborts = w->d->aborts;

        for (unsigned i = 0; i < 2; i++) {
            w->d->hold = true;
            write_submit(w, &r, 0, 512, 1);
            world_settle(w);
            req_cancel(&r);
            nvme_double_release(w->d);
            world_settle(w);
        }
        /* One of the two, and not more than find room. */
        g_assert_cmpuint(w->d->aborts, ==, aborts + (minutes < 15));
        test_loop_advance(w->loop, 60 * SN_NS_PER_S);
    }
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    memory_net_end_all(w->d->net, 0);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme-tcp/cancel/r2t-afterwards", test_r2t_afterwards);
    g_test_add_func("/nvme-tcp/cancel/in-the-middle", test_in_the_middle);
    g_test_add_func("/nvme-tcp/cancel/newer-data-stays",
                    test_newer_data_stays);
    g_test_add_func("/nvme-tcp/cancel/too-many", test_too_many);
    g_test_add_func("/nvme-tcp/cancel/loss", test_loss);
    g_test_add_func("/nvme-tcp/cancel/lost-aborts", test_lost_aborts);
    return g_test_run();
}
