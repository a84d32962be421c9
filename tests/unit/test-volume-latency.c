/*
 * Unit tests of how a volume counts the time that requests took.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "scripted-backend.h"

#define US 1000LL

static const SnLatency *latency(SbVolume *v, SnIoOp op)
{
    return sn_volume_latency(v->vol, op);
}

static uint64_t sum_of_buckets(const SnLatency *l)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < SN_LATENCY_BUCKETS; i++) {
        sum += l->buckets[i];
    }
    return sum;
}

static void take(SbVolume *v, SnIoOp op, int64_t ns, int ret)
{
    TestIo *t = tio_submit_new(v, 'a', op, 0, op != SN_IO_FLUSH);

    sb_kick(v);
    test_loop_advance(v->loop, ns);
    sb_done_all(v, ret);
    tio_expect(t, ret);
}

static void test_buckets(void)
{
    static const struct {
        int64_t ns;
        unsigned bucket;
    } cases[] = {
        { 0, 0 }, { 999, 0 }, { 1 * US, 1 }, { 2 * US - 1, 1 },
        { 2 * US, 2 }, { 4 * US - 1, 2 }, { 4 * US, 3 },
        { 1023 * US + 999, 10 }, { 1024 * US, 11 }, { 1000000 * US, 20 },
        { (1LL << 30) * US - 1, 30 }, { (1LL << 30) * US, 31 },
        { (1LL << 31) * US, 31 }, { (1LL << 40) * US, 31 },
    };
    SbVolume *v = sb_open("scripted://?io-timeout=0", NULL);
    int64_t sum = 0;

    sb_run(v);
    sb_ready(v);
    sb_run(v);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const SnLatency *l = latency(v, SN_IO_READ);
        uint64_t before = l->buckets[cases[i].bucket];

        take(v, SN_IO_READ, cases[i].ns, 0);
        sum += cases[i].ns;
        g_assert_cmpuint(l->buckets[cases[i].bucket], ==, before + 1);
        g_assert_cmpuint(l->count, ==, i + 1);
        g_assert_cmpuint(sum_of_buckets(l), ==, i + 1);
        g_assert_cmpuint(l->sum_ns, ==, sum);
        g_assert_cmpuint(l->max_ns, ==, cases[i].ns);
    }
    take(v, SN_IO_READ, 5, 0);
    g_assert_cmpuint(latency(v, SN_IO_READ)->max_ns, ==, (1LL << 40) * US);
    sb_close(v);
}

/* By kind, and only what succeeded. */
static void test_kinds(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t;

    for (SnIoOp op = SN_IO_READ; op <= SN_IO_COMPARE; op++) {
        g_assert_cmpuint(latency(v, op)->count, ==, 0);
        take(v, op, (op + 1) * US, 0);
        take(v, op, 100 * US, -EIO);
    }
    for (SnIoOp op = SN_IO_READ; op <= SN_IO_COMPARE; op++) {
        g_assert_cmpuint(latency(v, op)->count, ==, 1);
        g_assert_cmpuint(latency(v, op)->sum_ns, ==, (op + 1) * US);
    }
    t = tio_submit_new(v, 'a', (SnIoOp)77, 0, 1);
    sb_run(v);
    tio_expect(t, -EOPNOTSUPP);
    sb_close(v);
}

/* From the submission: waiting for the path, and all parts, are in it. */
static void test_whole(void)
{
    SbVolume *v = sb_open("scripted://", NULL);
    TestIo *t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 40);

    sb_kick(v);
    test_loop_advance(v->loop, 100 * US);
    sb_ready(v);
    test_loop_advance(v->loop, 10 * US);
    sb_done(v, 0, 0);
    sb_flap(v);
    test_loop_advance(v->loop, 5 * US);
    sb_done_all(v, 0);
    tio_expect(t, 0);
    g_assert_cmpuint(latency(v, SN_IO_WRITE)->count, ==, 1);
    g_assert_cmpuint(latency(v, SN_IO_WRITE)->sum_ns, ==,
                     115 * US + 2 * SN_NS_PER_S);
    sb_close(v);
}

static unsigned looks;
static int64_t (*real_now)(SnLoop *loop);

static int64_t counting_now(SnLoop *loop)
{
    looks++;
    return real_now(loop);
}

/* The clock is not cheap everywhere: a batch looks at it once. */
static void test_looks(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *io[32];

    real_now = v->loop->now;
    v->loop->now = counting_now;
    looks = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(io); i++) {
        io[i] = tio_write_new(v, 'a', i);
    }
    sb_kick(v);
    sb_done_all(v, 0);
    g_assert_cmpuint(looks, ==, 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(io); i++) {
        tio_expect(io[i], 0);
    }
    /* But not a later one at the same look. */
    take(v, SN_IO_READ, 7 * US, 0);
    g_assert_cmpuint(latency(v, SN_IO_READ)->sum_ns, ==, 7 * US);
    sb_close(v);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volume-latency/buckets", test_buckets);
    g_test_add_func("/volume-latency/kinds", test_kinds);
    g_test_add_func("/volume-latency/whole", test_whole);
    g_test_add_func("/volume-latency/looks", test_looks);
    return g_test_run();
}
