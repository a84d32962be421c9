/*
 * Unit tests of the life of requests in a volume.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "scripted-backend.h"

/* ------------------------------------------------------- checks */

static void test_checks(void)
{
    static const struct {
        SnIoOp op;
        uint64_t offset, len;
        int ret;
    } cases[] = {
        { SN_IO_READ, SB_SIZE, SB_BLOCK, -EINVAL },
        { SN_IO_READ, SB_SIZE - SB_BLOCK, 2 * SB_BLOCK, -EINVAL },
        { SN_IO_READ, UINT64_MAX - SB_BLOCK + 1, SB_BLOCK, -EINVAL },
        { SN_IO_READ, SB_BLOCK, UINT64_MAX - SB_BLOCK + 1, -EINVAL },
        { SN_IO_DISCARD, 0, UINT64_MAX - SB_BLOCK + 1, -EINVAL },
        { SN_IO_READ, 1, SB_BLOCK, -EINVAL },
        { SN_IO_READ, SB_BLOCK / 2, SB_BLOCK, -EINVAL },
        { SN_IO_READ, 0, SB_BLOCK / 2, -EINVAL },
        { SN_IO_WRITE, SB_SIZE, SB_BLOCK, -EINVAL },
        { SN_IO_COMPARE, SB_SIZE, SB_BLOCK, -EINVAL },
        { SN_IO_COMPARE_AND_WRITE, SB_SIZE, SB_BLOCK, -EINVAL },
        { SN_IO_COMPARE_AND_WRITE, 0, 5 * SB_BLOCK, -EINVAL },
        { SN_IO_WRITE_ZEROES, SB_SIZE, SB_BLOCK, -EINVAL },
        { (SnIoOp)77, 0, SB_BLOCK, -EOPNOTSUPP },
        { SN_IO_READ, SB_SIZE + SB_BLOCK, 0, -EINVAL },
        { SN_IO_READ, SB_SIZE, 0, 0 },
        { SN_IO_WRITE, 0, 0, 0 },
        { SN_IO_DISCARD, 0, 0, 0 },
    };
    SbVolume *v = sb_open_ready();

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        TestIo *t = tio_new(v, 'x', cases[i].op, 0, 0);

        t->io.offset = cases[i].offset;
        t->io.len = cases[i].len;
        tio_submit(t);
        g_assert_cmpuint(v->be->submits, ==, 0);
        g_assert_cmpuint(t->completions, ==, 0);
        sb_run(v);
        tio_expect(t, cases[i].ret);
        g_assert_cmpuint(v->batches, ==, i + 1);
    }
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

static void expect_result(SbVolume *v, SnIoOp op, int ret)
{
    TestIo *t = tio_submit_new(v, 'x', op, 0, op != SN_IO_FLUSH);

    if (v->be->n) {
        sb_done_all(v, 0);
    }
    sb_run(v);
    tio_expect(t, ret);
    g_string_truncate(sb_completed, 0);
}

static void test_not_offered(void)
{
    SbVolume *v = sb_open_ready();

    v->info.max_discard = v->info.max_write_zeroes = 0;
    v->info.compare = v->info.write_cache = false;
    sb_flap(v);
    expect_result(v, SN_IO_DISCARD, -EOPNOTSUPP);
    expect_result(v, SN_IO_WRITE_ZEROES, -EOPNOTSUPP);
    v->info.max_compare_and_write = 0;
    sb_flap(v);
    expect_result(v, SN_IO_COMPARE, -EOPNOTSUPP);
    expect_result(v, SN_IO_COMPARE_AND_WRITE, -EOPNOTSUPP);
    expect_result(v, SN_IO_FLUSH, 0);
    g_assert_cmpuint(v->be->submits, ==, 0);

    v->info.max_discard = v->info.max_write_zeroes = 4 * SB_BLOCK;
    v->info.compare = v->info.write_cache = v->info.read_only = true;
    v->info.max_compare_and_write = SB_BLOCK;
    sb_flap(v);
    expect_result(v, SN_IO_WRITE, -EROFS);
    expect_result(v, SN_IO_COMPARE_AND_WRITE, -EROFS);
    expect_result(v, SN_IO_DISCARD, -EROFS);
    expect_result(v, SN_IO_WRITE_ZEROES, -EROFS);
    g_assert_cmpuint(v->be->submits, ==, 0);
    expect_result(v, SN_IO_READ, 0);
    expect_result(v, SN_IO_COMPARE, 0);
    expect_result(v, SN_IO_FLUSH, 0);
    g_assert_cmpuint(v->be->submits, ==, 3);
    sb_close(v);
}

/* ------------------------------------------------------- order and batches */

static void test_backend_full(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *io[5];

    v->be->capacity = 2;
    for (int i = 0; i < 5; i++) {
        io[i] = tio_write_new(v, "abcde"[i], i);
    }
    sb_kick(v);
    sb_expect_in_flight(v, " 0+1 1+1");
    /* Once something waits, nothing overtakes it, nor is the backend asked. */
    g_assert_cmpuint(v->be->refused, ==, 1);
    sb_done(v, 1, 0);
    sb_run(v);
    sb_expect_in_flight(v, " 0+1 2+1");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    sb_done_all(v, -EIO);
    sb_expect_in_flight(v, " 3+1 4+1");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    sb_done_all(v, 0);
    sb_expect_completed("bacde");
    tio_expect(io[0], -EIO);
    tio_expect(io[1], 0);
    tio_expect(io[2], -EIO);
    tio_expect(io[3], 0);
    tio_expect(io[4], 0);
    sb_close(v);
}

/* A slot may fall free without a completion: a late answer to a cancelled. */
static void test_batch_without_completion(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a;

    v->be->capacity = 0;
    a = tio_write_new(v, 'a', 0);
    v->be->capacity = 1;
    sn_backend_batch_begin(v->vol);
    sn_backend_batch_end(v->vol);
    sb_expect_in_flight(v, " 0+1");
    g_assert_cmpuint(v->batches, ==, 0);
    sb_done_all(v, 0);
    sb_expect_completed("a");
    tio_expect(a, 0);
    sb_close(v);
}

static void test_batches(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *io[4];

    for (int i = 0; i < 4; i++) {
        io[i] = tio_write_new(v, "abcd"[i], i);
    }
    /* In a batch: at its end, one event. Nested ones count once. */
    sb_in_call = true;
    sn_backend_batch_begin(v->vol);
    sn_backend_batch_begin(v->vol);
    sb_done(v, 0, 0);
    sb_done(v, 0, 0);
    sn_backend_batch_end(v->vol);
    sb_in_call = false;
    sn_backend_batch_end(v->vol);
    sb_expect_completed("ab");
    g_assert_cmpuint(v->batches, ==, 1);
    /* Outside of one: from the loop. */
    sb_in_call = true;
    sb_done(v, 0, 0);
    sb_done(v, 0, 0);
    sb_in_call = false;
    sb_run(v);
    sb_expect_completed("cd");
    g_assert_cmpuint(v->batches, ==, 2);
    for (int i = 0; i < 4; i++) {
        tio_expect(io[i], 0);
    }
    sb_close(v);
}

static void done_inside_calls(bool batch)
{
    SbVolume *v = sb_open_ready();
    TestIo *a, *b, *c;

    v->be->done_in_batch = batch;
    a = tio_write_new(v, 'a', 0);
    v->be->done_in_submit = true;
    b = tio_write_new(v, 'b', 1);
    v->be->done_in_submit = false;
    v->be->done_in_kick = true;
    sb_kick(v);
    v->be->done_in_kick = false;
    sb_expect_completed("ab");
    tio_expect(a, 0);
    tio_expect(b, 0);

    a = tio_write_new(v, 'a', 0);
    b = tio_write_new(v, 'b', 1);
    c = tio_write_new(v, 'c', 2);
    v->be->done_in_cancel = true;
    tio_cancel_free(b);
    v->be->done_in_cancel = false;
    sb_run(v);
    sb_expect_completed("a");
    tio_expect(a, 0);
    tio_cancel_free(c);
    sb_close(v);
}

static void test_done_inside_calls(void)
{
    done_inside_calls(false);
}

static void test_batch_inside_calls(void)
{
    done_inside_calls(true);
}

/* ------------------------------------------------------- complete() calls */

static void then_submit_other(TestIo *t)
{
    tio_submit(t->other);
}

static void then_submit_self(TestIo *t)
{
    tio_submit(t);
}

static void then_cancel_other(TestIo *t)
{
    tio_cancel_free(t->other);
}

static void test_submit_in_complete(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_new(v, 'a', SN_IO_WRITE, 1, 1);
    TestIo *b = tio_new(v, 'b', SN_IO_WRITE, 2, 1);

    a->then = then_submit_other;
    a->other = b;
    tio_submit(a);
    sb_done_all(v, 0);
    sb_expect_in_flight(v, " 2+1");
    sb_done_all(v, 0);
    sb_expect_completed("ab");
    tio_expect(a, 0);
    tio_expect(b, 0);
    sb_close(v);
}

/* A request that fails at once and is submitted again must not hang us. */
static void test_resubmit_forever(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *bad = tio_new(v, 'x', SN_IO_WRITE, SB_SIZE / SB_BLOCK, 1);
    TestIo *good = tio_write_new(v, 'g', 0);

    bad->then = then_submit_self;
    tio_submit(bad);
    for (unsigned i = 1; i <= 5; i++) {
        /* Each is one pass of the loop. */
        sn_backend_batch_begin(v->vol);
        sn_backend_batch_end(v->vol);
        g_assert_cmpuint(bad->completions, ==, i);
    }
    tio_cancel_free(bad);
    tio_cancel_free(good);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

static void test_cancel_in_complete(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_new(v, 'a', SN_IO_WRITE, 0, 1);
    TestIo *b = tio_new(v, 'b', SN_IO_WRITE, 1, 1);
    TestIo *c = tio_new(v, 'c', SN_IO_WRITE, 2, 1);
    TestIo *d = tio_new(v, 'd', SN_IO_WRITE, 3, 1);

    /* a cancels b, which is over in the same batch; c cancels d in flight. */
    a->then = then_cancel_other;
    a->other = b;
    c->then = then_cancel_other;
    c->other = d;
    tio_submit(a);
    tio_submit(b);
    tio_submit(c);
    tio_submit(d);
    sn_backend_batch_begin(v->vol);
    sb_done(v, 0, 0);
    sb_done(v, 0, 0);
    sb_done(v, 0, 0);
    sn_backend_batch_end(v->vol);
    sb_expect_completed("ac");
    tio_expect(a, 0);
    tio_expect(c, 0);
    sb_expect_in_flight(v, "");
    sb_close(v);
}

/* A loop nested in complete(): answers come in, and wait for the outer one. */
static void then_nested_loop(TestIo *t)
{
    sb_done_all(t->v, 0);
    test_loop_run_bhs(t->v->loop);
    sb_expect_completed("a");
}

static void test_nested_loop(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_new(v, 'a', SN_IO_WRITE, 0, 1);
    TestIo *b, *c;

    a->then = then_nested_loop;
    v->be->capacity = 2;
    tio_submit(a);
    b = tio_write_new(v, 'b', 1);
    c = tio_write_new(v, 'c', 2);
    sn_backend_batch_begin(v->vol);
    sb_done(v, 0, 0);
    sn_backend_batch_end(v->vol);
    sb_run(v);
    sb_expect_completed("b");
    sb_expect_in_flight(v, " 2+1");
    sb_done_all(v, 0);
    sb_expect_completed("c");
    tio_expect(a, 0);
    tio_expect(b, 0);
    tio_expect(c, 0);
    sb_close(v);
}

/* ------------------------------------------------------- cancel */

static void test_cancel(void)
{
    SbVolume *v = sb_open("scripted://", NULL);
    TestIo *a, *b, *c, *d;

    /* Before anything is connected. */
    tio_cancel_free(tio_write_new(v, 'x', 0));
    sb_run(v);
    /* Between being ready and being offered. */
    a = tio_write_new(v, 'x', 0);
    sb_ready(v);
    tio_cancel_free(a);
    sb_run(v);
    g_assert_cmpuint(v->be->submits, ==, 0);

    /* In flight; the one that waited for room gets it. */
    v->be->capacity = 1;
    a = tio_write_new(v, 'a', 1);
    b = tio_write_new(v, 'b', 2);
    c = tio_write_new(v, 'c', 3);
    d = tio_write_new(v, 'd', 4);
    tio_cancel_free(a);
    sb_run(v);
    sb_expect_in_flight(v, " 2+1");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    /* Waiting for room, in the middle. */
    tio_cancel_free(c);
    /* Waiting after a loss, first one that was in flight, then another. */
    sb_lost(v, false);
    tio_cancel_free(b);
    tio_cancel_free(d);
    sb_run(v);
    sb_ready(v);
    sb_run(v);
    sb_expect_in_flight(v, "");

    /* Over, but not told yet: by the backend, and by the checks. */
    a = tio_write_new(v, 'a', 1);
    sb_done(v, 0, 0);
    tio_cancel_free(a);
    tio_cancel_free(tio_write_new(v, 'x', SB_SIZE / SB_BLOCK));
    sb_run(v);
    sb_expect_completed("");
    g_assert_cmpuint(v->batches, ==, 0);
    g_assert_cmpuint(v->be->cancels, ==, 1);

    /* Failed for good. */
    sb_lost(v, true);
    tio_cancel_free(tio_write_new(v, 'x', 0));
    sb_run(v);
    sb_expect_completed("");
    sb_close(v);
}

static void test_cancel_after_failure(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_write_new(v, 'a', 1);
    TestIo *b = tio_write_new(v, 'b', 1);

    sb_lost(v, true);
    tio_cancel_free(a);
    sb_run(v);
    sb_expect_completed("b");
    tio_expect(b, -ENODEV);
    sb_close(v);
}

/* A loss in the middle of a batch: what was answered stays answered. */
static void test_loss_in_batch(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_write_new(v, 'a', 1);
    TestIo *b = tio_write_new(v, 'b', 2);

    sb_in_call = true;
    sn_backend_batch_begin(v->vol);
    sb_done(v, 0, 0);
    sb_lost(v, false);
    sb_in_call = false;
    sn_backend_batch_end(v->vol);
    sb_expect_completed("a");
    tio_expect(a, 0);
    sb_run(v);
    sb_ready(v);
    sb_run(v);
    sb_expect_in_flight(v, " 2+1");
    sb_done_all(v, 0);
    sb_expect_completed("b");
    tio_expect(b, 0);
    sb_close(v);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volume/checks", test_checks);
    g_test_add_func("/volume/not-offered", test_not_offered);
    g_test_add_func("/volume/backend-full", test_backend_full);
    g_test_add_func("/volume/batch-without-completion",
                    test_batch_without_completion);
    g_test_add_func("/volume/batches", test_batches);
    g_test_add_func("/volume/done-inside-calls", test_done_inside_calls);
    g_test_add_func("/volume/batch-inside-calls", test_batch_inside_calls);
    g_test_add_func("/volume/submit-in-complete", test_submit_in_complete);
    g_test_add_func("/volume/resubmit-forever", test_resubmit_forever);
    g_test_add_func("/volume/cancel-in-complete", test_cancel_in_complete);
    g_test_add_func("/volume/nested-loop", test_nested_loop);
    g_test_add_func("/volume/cancel", test_cancel);
    g_test_add_func("/volume/cancel-after-failure", test_cancel_after_failure);
    g_test_add_func("/volume/loss-in-batch", test_loss_in_batch);
    return g_test_run();
}
