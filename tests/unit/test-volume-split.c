/*
 * Unit tests of requests that take several backend commands: longer than one
 * may be, or FUA without a far side that has it (storage-backends/
 * volume-split.c). The scripted backend takes 16 blocks of data, 64 of discard
 * and 32 of zeroes at once.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "scripted-backend.h"
#include "volume-internal.h"

/* A volume whose far side has a write cache and no FUA. */
static SbVolume *open_without_fua(void)
{
    SbVolume *v = sb_open("scripted://", NULL);

    v->info.fua = false;
    sb_run(v);
    sb_ready(v);
    sb_run(v);
    return v;
}

static TestIo *submit_fua(SbVolume *v, char name, SnIoOp op, uint64_t block,
                          uint64_t blocks)
{
    TestIo *t = tio_new(v, name, op, block, blocks);

    t->io.flags = SN_IO_FUA;
    tio_submit(t);
    return t;
}

static void test_parts(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t = tio_submit_new(v, 'a', SN_IO_READ, 10, 40);

    sb_kick(v);
    sb_expect_in_flight(v, " 10+16 26+16 42+8");
    g_assert_true(v->be->ios[1]->iov[0].iov_base == t->buf + 16 * SB_BLOCK);
    /* One completion, after the last part, whatever their order. */
    sb_done(v, 1, 0);
    sb_done(v, 0, 0);
    sb_run(v);
    sb_expect_completed("");
    sb_done_all(v, 0);
    sb_expect_completed("a");
    g_assert_cmpuint(v->batches, ==, 1);
    tio_expect(t, 0);

    /* Exactly the limit is not split. */
    t = tio_submit_new(v, 'a', SN_IO_READ, 10, 16);
    g_assert_true(v->be->ios[0] == &t->io);
    sb_done_all(v, 0);
    tio_expect(t, 0);
    sb_close(v);
}

static void test_limits_by_operation(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t;

    t = tio_submit_new(v, 'd', SN_IO_DISCARD, 0, 100);
    /* These have no memory; what the iovec says is of no interest. */
    sb_expect_in_flight(v, " 0+64 64+36");
    sb_done_all(v, 0);
    tio_expect(t, 0);
    t = tio_new(v, 'z', SN_IO_WRITE_ZEROES, 0, 33);
    t->io.flags = SN_IO_UNMAP;
    t->io.iov = (void *)1;
    tio_submit(t);
    sb_expect_in_flight(v, " 0+32 32+1");
    g_assert_cmpuint(v->be->ios[1]->flags, ==, SN_IO_UNMAP);
    g_assert_cmpuint(v->be->ios[1]->iovcnt, ==, 0);
    sb_done_all(v, 0);
    tio_expect(t, 0);
    t = tio_submit_new(v, 'c', SN_IO_COMPARE, 0, 17);
    sb_expect_in_flight(v, " 0+16 16+1");
    sb_done_all(v, 0);
    tio_expect(t, 0);

    /* Parts are whole blocks, and never none. */
    v->info.max_transfer = 3 * SB_BLOCK + 100;
    v->info.max_discard = 100;
    sb_flap(v);
    t = tio_submit_new(v, 'r', SN_IO_READ, 0, 4);
    sb_expect_in_flight(v, " 0+3 3+1");
    sb_done_all(v, 0);
    tio_expect(t, 0);
    t = tio_submit_new(v, 'd', SN_IO_DISCARD, 0, 2);
    sb_expect_in_flight(v, " 0+1 1+1");
    sb_done_all(v, 0);
    tio_expect(t, 0);

    v->info.max_transfer = 0;
    sb_flap(v);
    t = tio_submit_new(v, 'r', SN_IO_READ, 0, 500);
    sb_expect_in_flight(v, " 0+500");
    sb_done_all(v, 0);
    tio_expect(t, 0);
    sb_close(v);
}

/* One step cannot be cut; of a lost one nobody knows whether it was done. */
static void test_compare_and_write(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t, *waits;

    v->info.max_transfer = SB_BLOCK;
    v->info.write_cache = v->info.fua = true;
    v->be->capacity = 1;
    sb_flap(v);
    t = tio_new(v, 'c', SN_IO_COMPARE_AND_WRITE, 3, 4);
    t->io.flags = SN_IO_FUA;
    tio_submit(t);
    waits = tio_submit_new(v, 'w', SN_IO_COMPARE_AND_WRITE, 3, 1);
    sb_expect_in_flight(v, " 3+4");
    g_assert_cmphex(v->be->ios[0]->flags, ==, SN_IO_FUA);
    sb_flap(v);
    tio_expect(t, -ECONNRESET);
    sb_expect_in_flight(v, " 3+1");     /* this one was not sent before */
    sb_done_all(v, -EILSEQ);
    tio_expect(waits, -EILSEQ);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

/* Cuts anywhere in the iovec give the same bytes in the same order. */
static void test_iovec_slices(void)
{
    static const size_t sizes[][8] = {
        { 1, 16 * SB_BLOCK - 1, 0, 0, 5 * SB_BLOCK, 11 * SB_BLOCK, 100,
          16 * SB_BLOCK - 100 },
        { 40 * SB_BLOCK, 7, 8 * SB_BLOCK - 7, 0, 0, 0, 0, 0 },
        { 0, 0, 0, 48 * SB_BLOCK, 0, 0, 0, 0 },
    };
    SbVolume *v = sb_open_ready();

    v->be->disk = g_malloc0(SB_SIZE);
    for (size_t c = 0; c < G_N_ELEMENTS(sizes); c++) {
        TestIo *t = tio_new(v, 'w', SN_IO_WRITE, c, 48);
        struct iovec iov[8];
        uint8_t *p = t->buf;

        for (int i = 0; i < 8; i++) {
            iov[i] = (struct iovec){ p, sizes[c][i] };
            p += sizes[c][i];
        }
        g_assert_true(p == t->buf + t->io.len);
        for (size_t i = 0; i < t->io.len; i++) {
            t->buf[i] = (i + c) % 251;
        }
        t->io.iov = iov;
        t->io.iovcnt = 8;
        tio_submit(t);
        g_assert_cmpuint(v->be->n, ==, 3);
        for (unsigned i = 0; i < v->be->n; i++) {
            sb_execute(v->be, v->be->ios[i]);
        }
        g_assert_cmpint(memcmp(v->be->disk + t->io.offset, t->buf, t->io.len),
                        ==, 0);
        sb_done_all(v, 0);
        tio_expect(t, 0);
    }
    /* More entries than a part's array has had so far. */
    TestIo *t = tio_new(v, 'w', SN_IO_WRITE, 0, 20);
    struct iovec many[20 * 8];

    for (int i = 0; i < 160; i++) {
        many[i] = (struct iovec){ t->buf + i * 64, 64 };
    }
    t->io.iov = many;
    t->io.iovcnt = 160;
    tio_submit(t);
    g_assert_cmpuint(v->be->ios[0]->iovcnt, ==, 128);
    g_assert_cmpuint(v->be->ios[1]->iovcnt, ==, 32);
    sb_done_all(v, 0);
    tio_expect(t, 0);
    g_free(v->be->disk);
    sb_close(v);
}

static void test_bounded(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t, *other;

    v->info.max_discard = SB_BLOCK;
    sb_flap(v);
    t = tio_submit_new(v, 'a', SN_IO_DISCARD, 0, 10);
    g_assert_cmpuint(v->be->n, ==, 8);
    /* The rest does not hold up what comes later. */
    other = tio_write_new(v, 'b', 100);
    g_assert_cmpuint(v->be->n, ==, 9);
    sb_done(v, 3, 0);
    sb_done(v, 3, 0);
    sb_run(v);
    sb_expect_in_flight(v, " 0+1 1+1 2+1 5+1 6+1 7+1 100+1 8+1 9+1");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    sb_done_all(v, 0);
    /* In the order in which their last answers came. */
    sb_expect_completed("ba");
    tio_expect(t, 0);
    tio_expect(other, 0);
    sb_close(v);
}

/* A far side with room for two commands at a time. */
static void test_backend_full(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a, *b, *c;

    v->be->capacity = 2;
    a = tio_write_new(v, 'a', 0);
    b = tio_submit_new(v, 'b', SN_IO_WRITE, 100, 40);
    c = tio_write_new(v, 'c', 200);
    sb_kick(v);
    sb_expect_in_flight(v, " 0+1 100+16");
    sb_done(v, 0, 0);
    sb_run(v);
    sb_expect_in_flight(v, " 100+16 116+16");
    sb_done_all(v, 0);
    sb_expect_in_flight(v, " 132+8 200+1");
    sb_done_all(v, 0);
    sb_expect_completed("abc");
    tio_expect(a, 0);
    tio_expect(b, 0);
    tio_expect(c, 0);

    /* No room for even one part: it waits like any other. */
    v->be->capacity = 1;
    a = tio_write_new(v, 'a', 0);
    b = tio_submit_new(v, 'b', SN_IO_WRITE, 100, 40);
    c = tio_write_new(v, 'c', 200);
    g_assert_cmpuint(b->io.state, ==, SN_IO_PENDING);
    tio_cancel_free(b);
    sb_done_all(v, 0);
    sb_done_all(v, 0);
    tio_expect(a, 0);
    tio_expect(c, 0);
    sb_close(v);
}

static void test_first_error_wins(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 16 * 20);

    sb_done(v, 2, -ENOSPC);
    sb_done(v, 0, -EIO);
    sb_run(v);
    /* No new parts, and no completion while old ones use the memory. */
    g_assert_cmpuint(v->be->submits, ==, 8);
    g_assert_cmpuint(v->be->n, ==, 6);
    sb_expect_completed("");
    sb_done_all(v, 0);
    sb_expect_completed("a");
    tio_expect(t, -ENOSPC);
    sb_close(v);
}

static void test_cancel(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_write_new(v, 'a', 500);
    TestIo *t = tio_submit_new(v, 'x', SN_IO_WRITE, 0, 16 * 20);

    sb_done(v, 2, 0);
    tio_cancel_free(t);
    sb_run(v);
    sb_expect_in_flight(v, " 500+1");
    g_assert_cmpuint(v->be->cancels, ==, 7);

    /* While a part waits for room. */
    v->be->capacity = 2;
    t = tio_submit_new(v, 'x', SN_IO_WRITE, 0, 32);
    TestIo *b = tio_write_new(v, 'b', 501);
    tio_cancel_free(t);
    sb_run(v);
    sb_expect_in_flight(v, " 500+1 501+1");
    sb_done_all(v, 0);
    sb_expect_completed("ab");
    tio_expect(a, 0);
    tio_expect(b, 0);

    /* After an error, while the others are still out. */
    v->be->capacity = SB_MAX_IN_FLIGHT;
    t = tio_submit_new(v, 'x', SN_IO_WRITE, 0, 48);
    sb_done(v, 0, -EIO);
    sb_run(v);
    tio_cancel_free(t);

    /* Over, not told yet. */
    t = tio_submit_new(v, 'x', SN_IO_WRITE, 0, 32);
    sb_done(v, 0, 0);
    sb_done(v, 0, 0);
    tio_cancel_free(t);

    /* Parts that end while others are taken back. */
    t = tio_submit_new(v, 'x', SN_IO_WRITE, 0, 16 * 20);
    v->be->done_in_cancel = true;
    tio_cancel_free(t);
    v->be->done_in_cancel = false;
    sb_run(v);
    sb_expect_completed("");
    sb_expect_in_flight(v, "");
    sb_close(v);
}

/* Parts that end while others are handed over. */
static void test_done_in_submit(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t;

    v->be->done_in_submit = true;
    t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 16 * 20);
    sb_run(v);
    sb_done_all(v, 0);
    sb_expect_completed("a");
    g_assert_cmpuint(v->be->submits, ==, 20);
    tio_expect(t, 0);
    v->be->capacity = 1;
    t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 16 * 20);
    sb_run(v);
    sb_done_all(v, 0);
    sb_expect_completed("a");
    g_assert_cmpuint(v->be->submits, ==, 40);
    tio_expect(t, 0);
    sb_close(v);
}

static void test_loss(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a, *b, *c, *d;

    v->be->capacity = 4;
    a = tio_write_new(v, 'a', 500);
    b = tio_submit_new(v, 'b', SN_IO_WRITE, 0, 40);
    c = tio_write_new(v, 'c', 501);
    d = tio_submit_new(v, 'd', SN_IO_WRITE, 100, 17);
    sb_done(v, 1, 0);
    sb_flap(v);
    /* Whole, and at its place. */
    sb_expect_in_flight(v, " 500+1 0+16 16+16 32+8");
    sb_lost(v, false);
    tio_cancel_free(b);
    test_loop_advance(v->loop, 2 * SN_NS_PER_S);
    sb_ready(v);
    sb_run(v);
    sb_expect_in_flight(v, " 500+1 501+1 100+16 116+1");
    sb_done_all(v, 0);
    sb_expect_completed("acd");
    tio_expect(a, 0);
    tio_expect(c, 0);
    tio_expect(d, 0);

    /* With an error among the answers: it is tried again as a whole. */
    a = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 40);
    sb_done(v, 0, -EIO);
    sb_flap(v);
    sb_expect_in_flight(v, " 0+16 16+16 32+8");
    sb_done_all(v, 0);
    tio_expect(a, 0);

    /* For good. */
    a = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 40);
    sb_lost(v, true);
    sb_run(v);
    tio_expect(a, -ENODEV);
    sb_close(v);
}

/* The volume becomes smaller, or read-only, between two parts. */
static void test_changed_meanwhile(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 16 * 9);

    v->info.size = 100 * SB_BLOCK;
    sn_backend_info_changed(v->vol, &v->info);
    sb_done_all(v, 0);
    sb_run(v);
    g_assert_cmpuint(v->be->submits, ==, 8);
    tio_expect(t, -EINVAL);

    v->be->capacity = 1;
    t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 32);
    v->info.read_only = true;
    sn_backend_info_changed(v->vol, &v->info);
    sb_done_all(v, 0);
    sb_run(v);
    tio_expect(t, -EROFS);
    sb_close(v);
}

/* A request's parts are taken from a pool that grows and is kept. */
static void test_pool(void)
{
    SbVolume *v = sb_open_ready();
    SnSplit *first;
    TestIo *t;

    g_assert_null(v->vol->free_splits);
    t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 32);
    sb_done_all(v, 0);
    tio_expect(t, 0);
    first = v->vol->free_splits;
    g_assert_nonnull(first);
    t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 32);
    g_assert_null(v->vol->free_splits);
    tio_cancel_free(t);
    g_assert_true(v->vol->free_splits == first);
    /* Not on the usual path. */
    t = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 16);
    g_assert_true(v->vol->free_splits == first);
    sb_done_all(v, 0);
    tio_expect(t, 0);
    sb_close(v);
}

/* ------------------------------------------------------- FUA */

static void test_fua(void)
{
    SbVolume *v = open_without_fua();
    TestIo *t = submit_fua(v, 'a', SN_IO_WRITE, 5, 1);

    sb_kick(v);
    sb_expect_in_flight(v, " 5+1");
    g_assert_cmpuint(v->be->ios[0]->flags, ==, 0);
    sb_done(v, 0, 0);
    sb_run(v);
    sb_expect_in_flight(v, " -");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    sb_expect_completed("");
    g_assert_cmpuint(v->batches, ==, 0);
    sb_done_all(v, 0);
    sb_expect_completed("a");
    tio_expect(t, 0);

    /* With parts: the flush comes after the last. */
    t = submit_fua(v, 'a', SN_IO_WRITE_ZEROES, 0, 40);
    sb_expect_in_flight(v, " 0+32 32+8");
    sb_done(v, 1, 0);
    sb_run(v);
    sb_expect_in_flight(v, " 0+32");
    sb_done(v, 0, 0);
    sb_run(v);
    sb_expect_in_flight(v, " -");
    sb_done_all(v, -EIO);
    tio_expect(t, -EIO);

    /* No flush after an error. */
    t = submit_fua(v, 'a', SN_IO_WRITE, 0, 1);
    sb_done_all(v, -ENOSPC);
    sb_expect_in_flight(v, "");
    tio_expect(t, -ENOSPC);
    sb_close(v);
}

static void test_fua_native(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *t = submit_fua(v, 'a', SN_IO_WRITE, 0, 20);

    sb_expect_in_flight(v, " 0+16 16+4");
    g_assert_cmpuint(v->be->ios[0]->flags, ==, SN_IO_FUA);
    g_assert_cmpuint(v->be->ios[1]->flags, ==, SN_IO_FUA);
    sb_done_all(v, 0);
    tio_expect(t, 0);

    /* For all but one operation. */
    v->info.no_fua_zeroes = true;
    sb_flap(v);
    t = submit_fua(v, 'a', SN_IO_WRITE_ZEROES, 0, 8);
    sb_expect_in_flight(v, " 0+8");
    g_assert_cmpuint(v->be->ios[0]->flags, ==, 0);
    sb_done(v, 0, 0);
    sb_run(v);
    sb_expect_in_flight(v, " -");
    sb_done_all(v, 0);
    tio_expect(t, 0);

    /* Without a write cache everything is stable at once. */
    v->info.fua = v->info.write_cache = false;
    sb_flap(v);
    t = submit_fua(v, 'a', SN_IO_WRITE, 0, 1);
    g_assert_true(v->be->ios[0] == &t->io);
    sb_done_all(v, 0);
    tio_expect(t, 0);
    sb_close(v);
}

static void test_fua_loss(void)
{
    SbVolume *v = open_without_fua();
    TestIo *a = submit_fua(v, 'a', SN_IO_WRITE, 5, 1);
    TestIo *b = tio_write_new(v, 'b', 6);

    sb_done(v, 0, 0);
    sb_run(v);
    sb_expect_in_flight(v, " 6+1 -");
    /* The far side may have lost its cache: the data goes again too. */
    sb_flap(v);
    sb_expect_in_flight(v, " 5+1 6+1");
    sb_done_all(v, 0);
    sb_expect_in_flight(v, " -");
    sb_expect_completed("b");
    tio_expect(b, 0);
    tio_cancel_free(a);
    sb_expect_in_flight(v, "");
    sb_close(v);
}

/* The backend has no room for the flush at first. */
static void test_fua_full(void)
{
    SbVolume *v = open_without_fua();
    TestIo *a, *b, *c;

    v->be->capacity = 1;
    a = submit_fua(v, 'a', SN_IO_WRITE, 5, 1);
    b = tio_write_new(v, 'b', 6);
    sb_done_all(v, 0);
    sb_expect_in_flight(v, " -");
    c = tio_write_new(v, 'c', 7);
    sb_done_all(v, 0);
    sb_done_all(v, 0);
    sb_done_all(v, 0);
    sb_expect_completed("abc");
    tio_expect(a, 0);
    tio_expect(b, 0);
    tio_expect(c, 0);
    sb_close(v);
}

/* A flush is not held back by writes, nor they by it. */
static void test_flush_is_no_barrier(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_write_new(v, 'a', 0);
    TestIo *f = tio_submit_new(v, 'f', SN_IO_FLUSH, 0, 0);
    TestIo *b = tio_write_new(v, 'b', 1);

    sb_expect_in_flight(v, " 0+1 - 1+1");
    sb_done(v, 1, 0);
    sb_run(v);
    sb_expect_completed("f");
    sb_done_all(v, 0);
    tio_expect(a, 0);
    tio_expect(b, 0);
    tio_expect(f, 0);
    sb_close(v);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volume-split/parts", test_parts);
    g_test_add_func("/volume-split/limits-by-operation",
                    test_limits_by_operation);
    g_test_add_func("/volume-split/compare-and-write", test_compare_and_write);
    g_test_add_func("/volume-split/iovec-slices", test_iovec_slices);
    g_test_add_func("/volume-split/bounded", test_bounded);
    g_test_add_func("/volume-split/backend-full", test_backend_full);
    g_test_add_func("/volume-split/first-error-wins", test_first_error_wins);
    g_test_add_func("/volume-split/cancel", test_cancel);
    g_test_add_func("/volume-split/done-in-submit", test_done_in_submit);
    g_test_add_func("/volume-split/loss", test_loss);
    g_test_add_func("/volume-split/changed-meanwhile", test_changed_meanwhile);
    g_test_add_func("/volume-split/pool", test_pool);
    g_test_add_func("/volume-split/fua", test_fua);
    g_test_add_func("/volume-split/fua-native", test_fua_native);
    g_test_add_func("/volume-split/fua-loss", test_fua_loss);
    g_test_add_func("/volume-split/fua-full", test_fua_full);
    g_test_add_func("/volume-split/flush-is-no-barrier",
                    test_flush_is_no_barrier);
    return g_test_run();
}
